"""Hyper-parameter search with scikit-learn's tools, over interactions.

scikit-learn splits the rows of an array. So here a row is an interaction, and any splitter of
scikit-learn's holds out interactions; a search over a sparse matrix would hold out whole users.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lightfm_clone._checks import check_ids, is_integer, name_here
from lightfm_clone._model.parameters import Default
from lightfm_clone.evaluation import evaluate
from lightfm_clone.lightfm import LightFM
from lightfm_clone.typing import FeatureMatrix


def _defaults(function: Any) -> dict[str, Any]:
    """Parameters of a function, or a class's constructor, by name; a default may be missing."""
    parameters = inspect.signature(function).parameters.values()
    return {one.name: one.default for one in parameters if one.kind is not one.VAR_KEYWORD}


_MODEL_DEFAULTS = _defaults(LightFM)


class InteractionEstimator:
    """LightFM as an estimator for scikit-learn's searches, its samples being interactions.

    It works in GridSearchCV, RandomizedSearchCV, the halving searches (``resource="epochs"``
    included), cross_val_score and the like, with any splitter and ``n_jobs``. All parameters can be
    searched by their plain names, ``no_components`` as well as ``epochs`` or ``item_features``.
    The class itself does not need scikit-learn.

    ``cv=5`` means blocks of rows to scikit-learn, which of interactions sorted by user are blocks
    of users. Either have the rows in random order, as those of a training set from
    `random_train_test_split` are, or pass ``cv=KFold(5, shuffle=True)``.

    Parameters
    ----------
    shape : (int, int)
        Numbers of users and items, ``interactions.shape``. A fold cannot know them.
    epochs : int, default 10
    num_threads : int or None, default 1
        Threads for training and scoring. With ``n_jobs`` there are that many for each job.
    user_features, item_features : sparse matrices, default identity
        As in `LightFM.fit`.
    metric : str, default "ndcg@10"
        What `score` returns: one of the metrics of `lightfm_clone.evaluation.evaluate`.
    **model_parameters
        The parameters of `LightFM`, with its defaults. Note that its loss is ``"logistic"`` unless
        you ask for another; for positive interactions alone that is ``"warp"`` or ``"bpr"``. With
        an integer as `random_state` each fit starts from the same seed.

    Attributes
    ----------
    model_ : LightFM
        The model of the last fit; of a search, ``search.best_estimator_.model_``.

    Raises
    ------
    TypeError
        For a parameter that neither it nor LightFM has. Values are checked when it is fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV
    >>> from lightfm_clone.cross_validation import random_train_test_split
    >>> from lightfm_clone.datasets import synthetic_catalogue
    >>> from lightfm_clone.search import InteractionEstimator
    >>> interactions = synthetic_catalogue(300, 200, 6_000).interactions
    >>> train, test = random_train_test_split(interactions, random_state=0)
    >>> X = np.column_stack([train.row, train.col])
    >>> search = GridSearchCV(
    ...     InteractionEstimator(train.shape, loss="warp", random_state=0),
    ...     {"learning_rate": [0.0001, 0.05], "no_components": [8, 16]},
    ...     cv=3,
    ... ).fit(X)
    >>> search.best_params_["learning_rate"]
    0.05
    >>> best = search.best_estimator_.model_
    >>> best.loss, len(best.item_biases)
    ('warp', 200)
    """

    def __init__(
        self,
        shape: tuple[int, int],
        *,
        epochs: int = 10,
        num_threads: int | None = 1,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
        metric: str = "ndcg@10",
        **model_parameters: Any,
    ) -> None:
        self.shape = shape
        self.epochs = epochs
        self.num_threads = num_threads
        self.user_features = user_features
        self.item_features = item_features
        self.metric = metric
        unknown = sorted(set(model_parameters) - set(_MODEL_DEFAULTS))
        if unknown:
            raise TypeError(f"unknown parameter {unknown[0]!r}; {name_here(unknown[0], _DEFAULTS)}")
        # As they are: scikit-learn insists on getting back the very objects it gave.
        self.__dict__.update({**_MODEL_DEFAULTS, **model_parameters})

    def __repr__(self) -> str:
        shown = [
            f"{name}={'...' if sp.issparse(value) else repr(value)}"
            for name, value in self.get_params().items()
            if value is not _DEFAULTS[name] and not isinstance(value, Default)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """All parameters, LightFM's included; `deep` makes no difference."""
        return {name: getattr(self, name) for name in _DEFAULTS}

    def set_params(self, **params: Any) -> InteractionEstimator:
        """Set parameters by name; a ValueError for an unknown one, and nothing is changed then."""
        unknown = sorted(set(params) - set(_DEFAULTS))
        if unknown:
            raise ValueError(
                f"unknown parameter {unknown[0]!r}; the parameters are {', '.join(_DEFAULTS)}"
            )
        self.__dict__.update(params)
        return self

    def __sklearn_tags__(self) -> Any:
        # Only scikit-learn calls this, so it is there.
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            input_tags=InputTags(),
        )

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike | None = None) -> InteractionEstimator:
        """Train a new model on the interactions.

        Parameters
        ----------
        X : array-like [n, 2] or [n, 3]
            A row for each interaction: row number of the user, row number of the item and, if
            there are three columns, sample weight.
        y : array-like [n], default all 1
            The interactions' values, such as 1 and -1 for ``loss="logistic"``.

        Returns
        -------
        InteractionEstimator
            Itself, with the trained `model_`.

        Raises
        ------
        ValueError
            When `X`, `y` or a parameter does not fit, and as `LightFM.fit`.
        """
        users, items, weights, values = self._samples(X, y)
        interactions = sp.coo_matrix((values, (users, items)), shape=self.shape)
        sample_weight = None
        if weights is not None:
            sample_weight = sp.coo_matrix((weights, (users, items)), shape=self.shape)
        model = LightFM(**{name: getattr(self, name) for name in _MODEL_DEFAULTS})
        model.fit(
            interactions,
            user_features=self.user_features,
            item_features=self.item_features,
            sample_weight=sample_weight,
            epochs=self.epochs,
            num_threads=self.num_threads,
        )
        self.model_ = model
        self._known = self._pattern(users, items)
        return self

    def score(self, X: npt.ArrayLike, y: npt.ArrayLike | None = None) -> float:
        """Mean of `metric` over the users, with the positive interactions of `X` as test items.

        The interactions of the fit are left out of the rankings, except those in `X`. So
        the score of the training set is its score among all items, not an error.

        Parameters
        ----------
        X, y
            As in `fit`; interactions with y <= 0 are no test items, and weights do not matter.

        Returns
        -------
        float
            The higher the better.

        Raises
        ------
        ValueError
            Before `fit`, when `X` or `y` does not fit or has nothing positive, for an unknown
            metric, and as `LightFM.predict_rank`.
        """
        if not hasattr(self, "model_"):
            raise ValueError("the estimator is not fitted yet: call fit first")
        users, items, _, values = self._samples(X, y)
        test = self._pattern(users[values > 0], items[values > 0])
        result = evaluate(
            self.model_,
            test,
            self._known > test,
            metrics=[self.metric],
            user_features=self.user_features,
            item_features=self.item_features,
            num_threads=self.num_threads,
            check_intersections=False,  # there are none
        )
        return result[self.metric]

    def _pattern(self, users: np.ndarray, items: np.ndarray) -> sp.csr_matrix:
        return sp.csr_matrix((np.ones(len(users), bool), (users, items)), shape=self.shape)

    def _samples(
        self, X: npt.ArrayLike, y: npt.ArrayLike | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]:
        """Users int32 [n], items int32 [n], weights [n] or None, and values [n]."""
        is_pair = isinstance(self.shape, tuple | list) and len(self.shape) == 2
        if not is_pair or not all(is_integer(n) and n >= 1 for n in self.shape):
            raise ValueError(
                "shape must be the pair (n_users, n_items), such as interactions.shape, got "
                f"{self.shape!r}"
            )
        rows = None if sp.issparse(X) else np.asarray(X)
        if rows is None or rows.ndim != 2 or rows.shape[1] not in (2, 3) or not len(rows):
            given = type(X).__name__ if rows is None else f"shape {rows.shape}"
            raise ValueError(
                "X must be an array with a row for each interaction and two or three columns, "
                f"user, item and weight, got {given}; make one with "
                "numpy.column_stack([interactions.row, interactions.col])"
            )
        users, items = (
            check_ids(rows[:, i], f"X[:, {i}]", self.shape[i], f"{side}s in shape", side)
            for i, side in enumerate(("user", "item"))
        )
        values = np.ones(len(rows), np.float32) if y is None else np.asarray(y)
        if values.shape != (len(rows),) or values.dtype.kind not in "biuf":
            raise ValueError(
                f"y must be None or hold a number for each of the {len(rows)} interactions in X, "
                f"got dtype {values.dtype} and shape {values.shape}"
            )
        return users, items, rows[:, 2] if rows.shape[1] == 3 else None, values


_DEFAULTS = _defaults(InteractionEstimator) | _MODEL_DEFAULTS
