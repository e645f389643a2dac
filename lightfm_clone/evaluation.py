"""Ranking metrics per user, all from one ranking pass.

Every metric is a function of a user's test ranks: for each of her test items, how many other items
the model places at least as high, her training items left out.
"""

from __future__ import annotations

from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from lightfm_clone._validation import as_csr


class _Ranks(NamedTuple):
    """Ranks of the test entries, grouped by user, and what the metrics need besides."""

    users: np.ndarray  # int64 [nnz], the user of each rank
    ranks: np.ndarray  # float32 [nnz]
    n_test: np.ndarray  # int64 [n_users]
    n_train: np.ndarray  # int64 [n_users]
    n_items: int

    def per_user(self, values: np.ndarray) -> np.ndarray:
        """Sum of values [nnz] by user."""
        return np.bincount(self.users, weights=values, minlength=len(self.n_test))


def _rank(
    model: Any,
    test_interactions: Any,
    train_interactions: Any,
    user_features: Any,
    item_features: Any,
    num_threads: int | None,
    check_intersections: bool,
) -> _Ranks:
    """The one ranking pass behind a metric."""
    if train_interactions is not None:
        train_interactions = as_csr(train_interactions, "train_interactions")
    ranked = model.predict_rank(
        test_interactions,
        train_interactions=train_interactions,
        user_features=user_features,
        item_features=item_features,
        num_threads=num_threads,
        check_intersections=check_intersections,
    )
    n_test = np.diff(ranked.indptr).astype(np.int64)
    n_train = np.zeros_like(n_test)
    if train_interactions is not None:
        n_train = np.diff(train_interactions.indptr).astype(np.int64)
    users = np.repeat(np.arange(len(n_test), dtype=np.int64), n_test)
    return _Ranks(users, ranked.data, n_test, n_train, ranked.shape[1])


def _keep(values: np.ndarray, ranks: _Ranks, preserve_rows: bool) -> np.ndarray:
    return values if preserve_rows else values[ranks.n_test > 0]


def _check_k(k: int) -> None:
    if not isinstance(k, Real) or not k >= 1:
        raise ValueError(f"k must be a number of at least 1, got {k!r}")


def precision_at_k(
    model: Any,
    test_interactions: Any,
    train_interactions: Any = None,
    k: int = 10,
    user_features: Any = None,
    item_features: Any = None,
    preserve_rows: bool = False,
    num_threads: int | None = 1,
    check_intersections: bool = True,
) -> np.ndarray:
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
    _check_k(k)
    ranks = _rank(
        model,
        test_interactions,
        train_interactions,
        user_features,
        item_features,
        num_threads,
        check_intersections,
    )
    precision = (ranks.per_user(ranks.ranks < k) / k).astype(np.float32)
    return _keep(precision, ranks, preserve_rows)


def recall_at_k(
    model: Any,
    test_interactions: Any,
    train_interactions: Any = None,
    k: int = 10,
    user_features: Any = None,
    item_features: Any = None,
    preserve_rows: bool = False,
    num_threads: int | None = 1,
    check_intersections: bool = True,
) -> np.ndarray:
    """Share of a user's test items that are among the first k: hits among the first k / test items.

    Parameters and errors are those of `precision_at_k`.

    Returns
    -------
    float64 [n_users, or the number of users with test items]
        NaN for users without test items, where they are kept.
    """
    _check_k(k)
    ranks = _rank(
        model,
        test_interactions,
        train_interactions,
        user_features,
        item_features,
        num_threads,
        check_intersections,
    )
    with np.errstate(invalid="ignore"):
        recall = ranks.per_user(ranks.ranks < k) / ranks.n_test
    return _keep(recall, ranks, preserve_rows)


def auc_score(
    model: Any,
    test_interactions: Any,
    train_interactions: Any = None,
    user_features: Any = None,
    item_features: Any = None,
    preserve_rows: bool = False,
    num_threads: int | None = 1,
    check_intersections: bool = True,
) -> np.ndarray:
    """Area under the ROC curve: the probability that a test item ranks above another item.

    With the ranks of a user's p test items sorted, the mean over j = 0 .. p - 1 of
    ``1 - max(0, rank_j - j) / n_neg``, where n_neg is the number of items that are neither test
    nor training items of hers.

    Parameters and errors are those of `precision_at_k`, without k.

    Returns
    -------
    float32 [n_users, or the number of users with test items]
        0.5 for users without test items, where they are kept, and where every item is a test or
        training item.
    """
    ranks = _rank(
        model,
        test_interactions,
        train_interactions,
        user_features,
        item_features,
        num_threads,
        check_intersections,
    )
    n_negatives = ranks.n_items - ranks.n_test - ranks.n_train
    undefined = (ranks.n_test == 0) | (n_negatives <= 0)
    # Sorted within each user: ranks are whole numbers below 2**31, so user and rank make one key.
    sorted_ranks = np.sort(ranks.users << 32 | ranks.ranks.astype(np.int64)) & 0xFFFFFFFF
    first = np.cumsum(ranks.n_test) - ranks.n_test
    places = np.arange(len(sorted_ranks)) - first[ranks.users]
    above = ranks.per_user(np.maximum(sorted_ranks - places, 0))
    pairs = np.where(undefined, 1, ranks.n_test * n_negatives)
    auc = np.where(undefined, 0.5, 1 - above / pairs).astype(np.float32)
    return _keep(auc, ranks, preserve_rows)


def reciprocal_rank(
    model: Any,
    test_interactions: Any,
    train_interactions: Any = None,
    user_features: Any = None,
    item_features: Any = None,
    preserve_rows: bool = False,
    num_threads: int | None = 1,
    check_intersections: bool = True,
) -> np.ndarray:
    """One over the place of a user's best ranked test item: 1 / (best rank + 1).

    Parameters and errors are those of `precision_at_k`, without k.

    Returns
    -------
    float32 [n_users, or the number of users with test items]
        0 for users without test items, where they are kept.
    """
    ranks = _rank(
        model,
        test_interactions,
        train_interactions,
        user_features,
        item_features,
        num_threads,
        check_intersections,
    )
    best = np.zeros(len(ranks.n_test), dtype=np.float32)
    np.maximum.at(best, ranks.users, 1 / (ranks.ranks + 1))
    return _keep(best, ranks, preserve_rows)
