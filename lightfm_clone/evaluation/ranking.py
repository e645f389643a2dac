"""The one ranking pass behind every metric: where a model places the test items of each user."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from lightfm_clone._checks import as_csr
from lightfm_clone.typing import CsrMatrix, FeatureMatrix, Interactions


class Ranker(Protocol):
    """All that is asked of a model. `LightFM` is one; so is anything with such a method."""

    def predict_rank(
        self,
        test_interactions: Interactions,
        *,
        train_interactions: Interactions | None,
        user_features: FeatureMatrix | None,
        item_features: FeatureMatrix | None,
        num_threads: int | None,
        check_intersections: bool,
    ) -> CsrMatrix:
        """CSR matrix with the entries of test_interactions, their ranks as values; 0 is best."""


class Ranks(NamedTuple):
    """Ranks of the test entries, grouped by user, and what the metrics need besides."""

    users: npt.NDArray[np.int64]  # [nnz], the user of each rank
    ranks: npt.NDArray[np.int64]  # [nnz], ascending for each user
    before: npt.NDArray[np.int64]  # [nnz], the user's test items that come before: 0, 1, 2 ...
    n_test: npt.NDArray[np.int64]  # [n_users]
    n_train: npt.NDArray[np.int64]  # [n_users]
    n_items: int

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """Ranks, raised so that at most k of a user's test items are among the first k.

        The same as `ranks` unless test items are in train, too: those are left out of each other's
        ranks, so that several can have the same one.
        """
        return np.maximum(self.ranks, self.before)

    @property
    def best(self) -> npt.NDArray[np.float64]:
        """The best rank of each user [n_users]; infinity where there is no test item."""
        best = np.full(len(self.n_test), np.inf)
        best[self.n_test > 0] = self.ranks[self.before == 0]
        return best

    def sum_by_user(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Sums [n_users] of values [nnz]."""
        sums = np.bincount(self.users, weights=values, minlength=len(self.n_test))
        return sums.astype(np.float64, copy=False)  # without any entry they are integers


def rank(
    model: Ranker,
    test_interactions: Interactions,
    train_interactions: Interactions | None,
    user_features: FeatureMatrix | None,
    item_features: FeatureMatrix | None,
    num_threads: int | None,
    check_intersections: bool,
) -> Ranks:
    """Rank the test items of all users, without their training items."""
    train = train_interactions
    if train is not None:
        train = as_csr(train, "train_interactions")
    ranked = model.predict_rank(
        test_interactions,
        train_interactions=train,
        user_features=user_features,
        item_features=item_features,
        num_threads=num_threads,
        check_intersections=check_intersections,
    )
    return ranks_of(ranked, train)


def ranks_of(ranked: CsrMatrix, train: CsrMatrix | None = None) -> Ranks:
    """The ranks that `predict_rank` returned; `train`, CSR or None, is what it left out."""
    n_test = np.diff(ranked.indptr).astype(np.int64)
    n_train = np.zeros_like(n_test) if train is None else np.diff(train.indptr).astype(np.int64)
    users = np.repeat(np.arange(len(n_test), dtype=np.int64), n_test)
    # Sorted within each user: ranks are whole numbers below 2**31, so user and rank make one key.
    ranks = np.sort(users << 32 | ranked.data.astype(np.int64)) & 0xFFFFFFFF
    before = np.arange(len(ranks)) - (np.cumsum(n_test) - n_test)[users]
    return Ranks(users, ranks, before, n_test, n_train, ranked.shape[1])
