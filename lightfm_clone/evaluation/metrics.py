"""The ranking metrics: each a function from ranks to one value per user, with its definition.

Each is written below as a function of ranks. A decorator enters that one in METRICS, under the name
that `evaluate` takes, and makes the public function of it, of a model and matrices.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from lightfm_clone._checks import names_ours
from lightfm_clone.evaluation.ranking import Ranker, Ranks, rank
from lightfm_clone.typing import FeatureMatrix, Interactions

_Function = TypeVar("_Function", bound=Callable[..., Any])

# float64 [n_users]; users without test items have the value that `preserve_rows` documents.
Values = npt.NDArray[np.float64]

# What "ndcg@k" and "auc" mean: functions of ranks, and of k where there is one.
METRICS: dict[str, Callable[..., Values]] = {}


def metric(name: str) -> Callable[[Ranks], Values]:
    """The function from ranks to one value per user that a name like "ndcg@10" or "auc" means."""
    kind, at, k = name.partition("@") if isinstance(name, str) else ("", "", "")
    definition = METRICS.get(f"{kind}@k" if at else kind)
    if definition is None or (at and not (k.isascii() and k.isdigit() and int(k) >= 1)):
        raise ValueError(
            f"metrics must be among {', '.join(METRICS)}, with a whole number of at least 1 for "
            f"k, as in 'ndcg@10'; got {name!r}"
        )
    return partial(definition, k=int(k)) if at else definition


# ---- what makes public functions of the definitions ---------------------------------------------


class Metric(Protocol):
    """A public metric."""

    def __call__(
        self,
        model: Ranker,
        test_interactions: Interactions,
        train_interactions: Interactions | None = None,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
        preserve_rows: bool = False,
        num_threads: int | None = 1,
        check_intersections: bool = True,
    ) -> npt.NDArray[np.floating[Any]]: ...


class MetricAtK(Protocol):
    """A public metric of the first k recommended items."""

    def __call__(
        self,
        model: Ranker,
        test_interactions: Interactions,
        train_interactions: Interactions | None = None,
        k: int = 10,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
        preserve_rows: bool = False,
        num_threads: int | None = 1,
        check_intersections: bool = True,
    ) -> npt.NDArray[np.floating[Any]]: ...


def _public(
    name: str, dtype: type[np.floating[Any]] = np.float64
) -> Callable[[Callable[..., Values]], Metric]:
    """Enter a definition as `name`, and make a public function of it, of that dtype."""

    def decorate(definition: Callable[..., Values]) -> Metric:
        METRICS[name] = definition

        def function(
            model: Ranker,
            test_interactions: Interactions,
            train_interactions: Interactions | None = None,
            user_features: FeatureMatrix | None = None,
            item_features: FeatureMatrix | None = None,
            preserve_rows: bool = False,
            num_threads: int | None = 1,
            check_intersections: bool = True,
        ) -> npt.NDArray[np.floating[Any]]:
            return _values(
                definition,
                dtype,
                preserve_rows,
                model,
                test_interactions,
                train_interactions,
                user_features,
                item_features,
                num_threads,
                check_intersections,
            )

        return _named_after(definition, function)

    return decorate


def _public_at_k(
    name: str, dtype: type[np.floating[Any]] = np.float64, k_is: type = Integral
) -> Callable[[Callable[..., Values]], MetricAtK]:
    """As `_public`, for a definition with a k."""

    def decorate(definition: Callable[..., Values]) -> MetricAtK:
        METRICS[name] = definition

        def function(
            model: Ranker,
            test_interactions: Interactions,
            train_interactions: Interactions | None = None,
            k: int = 10,
            user_features: FeatureMatrix | None = None,
            item_features: FeatureMatrix | None = None,
            preserve_rows: bool = False,
            num_threads: int | None = 1,
            check_intersections: bool = True,
        ) -> npt.NDArray[np.floating[Any]]:
            if not isinstance(k, k_is) or not k >= 1:
                noun = "number" if k_is is Real else "whole number"
                raise ValueError(f"k must be a {noun} of at least 1, got {k!r}")
            return _values(
                partial(definition, k=k),
                dtype,
                preserve_rows,
                model,
                test_interactions,
                train_interactions,
                user_features,
                item_features,
                num_threads,
                check_intersections,
            )

        return _named_after(definition, function)

    return decorate


def _values(
    definition: Callable[[Ranks], Values],
    dtype: type[np.floating[Any]],
    preserve_rows: bool,
    *ranking: Any,
) -> npt.NDArray[np.floating[Any]]:
    """What every public function does; `ranking` are the arguments of `rank`."""
    ranks = rank(*ranking)
    values = definition(ranks).astype(dtype, copy=False)
    return values if preserve_rows else values[ranks.n_test > 0]


def _named_after(definition: Callable[..., Values], function: _Function) -> _Function:
    # Not by functools.wraps: what is public has its own signature.
    for name in ("__name__", "__qualname__", "__doc__"):
        setattr(function, name, getattr(definition, name))
    return names_ours(function)


# ---- the metrics --------------------------------------------------------------------------------


@_public_at_k("precision@k", np.float32, k_is=Real)
def precision_at_k(ranks: Ranks, k: float) -> Values:
    """Share of the first k recommended items that are test items: hits among the first k / k.

    Parameters
    ----------
    model : LightFM
        A fitted model, or anything with its `predict_rank`.
    test_interactions : sparse matrix [n_users, n_items]
        Each stored entry is an item the user likes.
    train_interactions : sparse matrix [n_users, n_items], optional
        Items left out of the rankings.
    k : int, default 10
    user_features, item_features : sparse matrices, default identity
    preserve_rows : bool, default False
        Whether users without test items are kept, with the value 0.
    num_threads : int or None, default 1
    check_intersections : bool, default True
        Whether an entry in both test and train is an error.

    Returns
    -------
    float32 [n_users, or the number of users with test items]

    Raises
    ------
    ValueError
        As `LightFM.predict_rank`, and for k < 1.
    """
    return ranks.sum_by_user(ranks.ranks < k) / k


@_public_at_k("recall@k", k_is=Real)
def recall_at_k(ranks: Ranks, k: float) -> Values:
    """Share of a user's test items that are among the first k: hits among the first k / test items.

    Parameters and errors are those of `precision_at_k`.

    Returns
    -------
    float64 [n_users, or the number of users with test items]
        NaN for users without test items, where they are kept.
    """
    with np.errstate(invalid="ignore"):
        return ranks.sum_by_user(ranks.ranks < k) / ranks.n_test


@_public_at_k("ndcg@k")
def ndcg_at_k(ranks: Ranks, k: int) -> Values:
    """Normalised discounted cumulative gain of the first k recommended items.

    With r_1 <= ... <= r_p the ranks (0 is best) of a user's p test items, each worth 1::

        NDCG@k = sum over r_j < k of 1 / log2(r_j + 2)
                 / sum over j = 1 .. min(k, p) of 1 / log2(j + 1)

    so a list that opens with the test items has 1 even if there are fewer than k. Ties count
    against the test item. (Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR
    techniques", ACM TOIS 20(4), 2002.)

    Parameters and errors are those of `precision_at_k`, but k must be a whole number.

    Returns
    -------
    float64 [n_users, or the number of users with test items]
        0 for users without test items, where they are kept.

    Examples
    --------
    Of five items, best first, the second and the fourth are test items:

    >>> import numpy as np, scipy.sparse as sp
    >>> from lightfm_clone import LightFM
    >>> from lightfm_clone.evaluation import ndcg_at_k
    >>> test = sp.csr_matrix([[0, 1, 0, 1, 0]])
    >>> model = LightFM().fit(test, epochs=0)
    >>> model.item_biases = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    >>> ndcg_at_k(model, test, k=3).round(4)
    array([0.3869])
    """
    k = min(k, ranks.n_items)
    discounts = 1 / np.log2(np.arange(2, k + 2))
    gained = ranks.sum_by_user(np.append(discounts, 0)[np.minimum(ranks.places, k)])
    ideal = np.append(0, np.cumsum(discounts))[np.minimum(ranks.n_test, k)]
    return gained / np.where(ranks.n_test, ideal, 1)


@_public_at_k("map@k")
def average_precision_at_k(ranks: Ranks, k: int) -> Values:
    """Mean of the precisions at the places of the test items among the first k.

    With r_1 <= ... <= r_p the ranks (0 is best) of a user's p test items::

        AP@k = sum over r_j < k of j / (r_j + 1)  /  min(k, p)

    so a list that opens with the test items has 1. Its mean over users is MAP@k. Ties count against
    the test item. Some tools (trec_eval, ranx) divide by p instead: multiply by min(k, p) / p to
    compare. (Voorhees and Harman, "TREC: Experiment and Evaluation in Information Retrieval", 2005,
    chapter 3.)

    Parameters and errors are those of `precision_at_k`, but k must be a whole number.

    Returns
    -------
    float64 [n_users, or the number of users with test items]
        0 for users without test items, where they are kept.

    Examples
    --------
    Of five items, best first, the second and the fourth are test items:

    >>> import numpy as np, scipy.sparse as sp
    >>> from lightfm_clone import LightFM
    >>> from lightfm_clone.evaluation import average_precision_at_k
    >>> test = sp.csr_matrix([[0, 1, 0, 1, 0]])
    >>> model = LightFM().fit(test, epochs=0)
    >>> model.item_biases = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    >>> average_precision_at_k(model, test, k=3).round(4)
    array([0.25])
    """
    places = ranks.places
    gained = ranks.sum_by_user(np.where(places < k, (ranks.before + 1) / (places + 1), 0))
    return gained / np.maximum(np.minimum(ranks.n_test, k), 1)


@_public_at_k("hit_rate@k")
def hit_rate_at_k(ranks: Ranks, k: int) -> Values:
    """Whether any test item is among the first k recommended items.

    With r_1 the best rank (0 is best) of a user's test items::

        HR@k = 1 if r_1 < k else 0

    Its mean over users is the share of users with a hit. (Deshpande and Karypis, "Item-based top-N
    recommendation algorithms", ACM TOIS 22(1), 2004.)

    Parameters and errors are those of `precision_at_k`, but k must be a whole number.

    Returns
    -------
    float64 [n_users, or the number of users with test items]
        0 for users without test items, where they are kept.

    Examples
    --------
    Of five items, best first, the second and the fourth are test items:

    >>> import numpy as np, scipy.sparse as sp
    >>> from lightfm_clone import LightFM
    >>> from lightfm_clone.evaluation import hit_rate_at_k
    >>> test = sp.csr_matrix([[0, 1, 0, 1, 0]])
    >>> model = LightFM().fit(test, epochs=0)
    >>> model.item_biases = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    >>> hit_rate_at_k(model, test, k=3).round(4)
    array([1.])
    """
    return (ranks.best < k).astype(np.float64)


@_public("mrr", np.float32)
def reciprocal_rank(ranks: Ranks, k: float = np.inf) -> Values:
    """One over the place of a user's best ranked test item: 1 / (best rank + 1).

    Parameters and errors are those of `precision_at_k`, without k.

    Returns
    -------
    float32 [n_users, or the number of users with test items]
        0 for users without test items, where they are kept.
    """
    return np.where(ranks.best < k, 1 / (ranks.best + 1), 0)


# Cut at k, which `evaluate` alone knows.
METRICS["mrr@k"] = METRICS["mrr"]


@_public("auc", np.float32)
def auc_score(ranks: Ranks) -> Values:
    """Area under the ROC curve: the probability that a test item ranks above another item.

    With the ranks of a user's p test items sorted, the mean over j = 0 .. p - 1 of
    ``1 - max(0, rank_j - j) / n_neg``, where n_neg is the number of items that are neither test
    nor training items of the user. Ties count against the test item, also those with other test
    items: where many tie, the value can be below 0.

    Parameters and errors are those of `precision_at_k`, without k.

    Returns
    -------
    float32 [n_users, or the number of users with test items]
        0.5 for users without test items, where they are kept, and where every item is a test or
        training item.
    """
    n_negatives = ranks.n_items - ranks.n_test - ranks.n_train
    undefined = (ranks.n_test == 0) | (n_negatives <= 0)
    above = ranks.sum_by_user(ranks.places - ranks.before)
    pairs = np.where(undefined, 1, ranks.n_test * n_negatives)
    return np.where(undefined, 0.5, 1 - above / pairs)
