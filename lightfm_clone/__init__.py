"""Hybrid recommendation on a plain CPU: a drop-in successor of LightFM."""

from lightfm_clone import callbacks, cross_validation, data, datasets, evaluation, search
from lightfm_clone._config import show_config
from lightfm_clone._dropin import install_as_lightfm
from lightfm_clone._version import __version__
from lightfm_clone.lightfm import LightFM

__all__ = [
    "LightFM",
    "__version__",
    "callbacks",
    "cross_validation",
    "data",
    "datasets",
    "evaluation",
    "install_as_lightfm",
    "search",
    "show_config",
]
