"""Hybrid recommendation on a plain CPU: a drop-in successor of LightFM."""

from importlib.util import find_spec as _find_spec

if _find_spec(f"{__name__}._core") is None:
    raise ImportError(
        f"lightfm_clone is not built in {__path__[0]}: its compiled module _core is missing; run "
        "`pip install .` (or `make build`) in the folder above it, or start Python in another "
        "folder to use the package that is installed"
    )

from lightfm_clone._cpus import short_spins as _short_spins

with _short_spins():
    from lightfm_clone import _core as _core

from lightfm_clone import callbacks, cross_validation, data, datasets, evaluation, plots, search
from lightfm_clone._config import show_config
from lightfm_clone._dropin import install_as_lightfm
from lightfm_clone._model.advice import FitWarning
from lightfm_clone._model.recommend import PreparedModel
from lightfm_clone._version import __version__
from lightfm_clone.cross_validation import random_train_test_split
from lightfm_clone.data import Dataset
from lightfm_clone.datasets import fetch_movielens
from lightfm_clone.evaluation import (
    auc_score,
    evaluate,
    precision_at_k,
    recall_at_k,
    reciprocal_rank,
)
from lightfm_clone.lightfm import LightFM
from lightfm_clone.recommender import (
    ItemNeighbours,
    MarkovChain,
    Popularity,
    Random,
    Recommender,
    WithNeighbours,
)

__all__ = [
    "Dataset",
    "FitWarning",
    "ItemNeighbours",
    "LightFM",
    "MarkovChain",
    "Popularity",
    "PreparedModel",
    "Random",
    "Recommender",
    "WithNeighbours",
    "__version__",
    "auc_score",
    "callbacks",
    "cross_validation",
    "data",
    "datasets",
    "evaluate",
    "evaluation",
    "fetch_movielens",
    "install_as_lightfm",
    "plots",
    "precision_at_k",
    "random_train_test_split",
    "recall_at_k",
    "reciprocal_rank",
    "search",
    "show_config",
]
