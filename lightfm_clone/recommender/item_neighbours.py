"""Lists from what people have in common: items that speak for other items.

The path of a fit: `check_examples` -> the histories of all users, one sparse row each -> the items
nearest to each item (`nearest_items`) -> what each of them says, by least squares
(`ridge_weights`). Scores are sums over a history (`_model/beside.py`), so a list for a new
person needs a row of what they like and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lightfm_clone import _checks as checks
from lightfm_clone._model.beside import Beside, weighted_rows
from lightfm_clone._model.examples import Examples
from lightfm_clone._model.progress import bar
from lightfm_clone._sparse import check_csr
from lightfm_clone.recommender import item_weights
from lightfm_clone.recommender.by_history import ByHistory, likes_of
from lightfm_clone.typing import (
    FeatureMatrix,
    Floats,
    Interactions,
    RankedLists,
    Rows,
    SampleWeight,
)

if TYPE_CHECKING:
    from typing_extensions import Self

METHODS = ("ridge", "cosine")
# Sums over all pairs of a user's items grow with the square of their number. Of who has more, so
# many are drawn for the sums, evenly; scores go by the whole history.
MOST_ITEMS = 4000
_BYTES = 1 << 30  # of systems of equations that are held at a time


class ItemNeighbours(ByHistory):
    """Items that speak for other items: what people who have the one have, too.

    The score of a user u and an item i is a sum over what the user has, n_u items, of weights::

        n_u^(-1/2) * sum over the items j of u of B_ji

    where B has a weight for each of the `n_neighbours` items most like i.

    - ``method="ridge"``: EASE, kept to neighbours. With X the interactions, D_u = diag(n_u), d_i
      the number of users of item i, N(i) the items j with the largest
      (X' D_u^-1 X)_ji / sqrt(d_i d_j), and G = X' D_u^(-1/2) X, the weights b of N(i) solve
      (G_NN + l2 I) b = G_N,i. So very active users count less, and of two items that say the same
      both say half.
    - ``method="cosine"``: the weights are the cosines of the two items' columns of X.

    The weights are linear in a history, so `explain` is exact, and a new person needs nothing but
    their items. Alone this is a strong baseline; beside a model, see `WithNeighbours`.

    Parameters
    ----------
    n_neighbours : int, default 100
        More gain a little where people have many items, and cost time and memory in proportion.
    method : {"ridge", "cosine"}, default "ridge"
    l2 : float, default 3.0
        Of ``"ridge"``: what is added to the diagonal.

    Attributes
    ----------
    neighbours_ : int32 [n_items, n_neighbours]
        For each item those that speak for it, ascending; -1 at the end where there are fewer.
    weights_ : float32 [n_items, n_neighbours]
        What they say. Weights of a ridge may be negative.
    similarities_ : float32 [n_items, n_neighbours]
        What they were chosen by, with which `similar_items` answers.
    n_users_, n_items_ : int
        Of the fit; all of these are None before.

    Raises
    ------
    ValueError
        For a bad parameter.

    Notes
    -----
    Memory: 12 bytes for each neighbour of each item, and 4 (8 with weights) for each interaction;
    from the first request on, 16 more for each neighbour and 4 for each interaction.
    A fit takes besides a row of n_items floats a thread and, at a time, at most 1 GB of equations.
    Of a user with more than 4,000 items, 4,000 of them are drawn for X.

    References
    ----------
    H. Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019 (the ridge over all
    items). X. Ning and G. Karypis, "SLIM: sparse linear methods for top-N recommender systems",
    ICDM 2011 (fsSLIM: regression on an item's nearest neighbours).

    Examples
    --------
    >>> from lightfm_clone.datasets import synthetic_catalogue
    >>> films = synthetic_catalogue(random_state=0)
    >>> model = ItemNeighbours().fit(films.interactions)
    >>> ids, scores = model.recommend([3, 7], k=4, exclude=films.interactions)
    >>> ids.shape
    (2, 4)
    """

    _learned = (
        *ByHistory._learned,
        "neighbours_",
        "weights_",
        "similarities_",
        "history_indptr_",
        "history_items_",
        "history_weights_",
    )

    neighbours_: npt.NDArray[np.int32] | None = None
    weights_: Floats | None = None
    similarities_: Floats | None = None
    history_indptr_: npt.NDArray[np.int64] | None = None
    history_items_: npt.NDArray[np.int32] | None = None
    history_weights_: Floats | None = None  # None where all are 1

    @checks.names_ours
    def __init__(self, n_neighbours: int = 100, method: str = "ridge", l2: float = 3.0) -> None:
        if not checks.is_integer(n_neighbours) or not 1 <= n_neighbours <= checks.MAX_ID:
            raise ValueError(f"n_neighbours must be an integer >= 1, got {n_neighbours!r}")
        if method not in METHODS:
            raise ValueError(f"method must be 'ridge' or 'cosine', got {method!r}")
        if not checks.is_real(l2) or not 0 < l2 < np.inf:
            raise ValueError(f"l2 must be a finite number above 0, got {l2!r}")
        self.n_neighbours = n_neighbours
        self.method = method
        self.l2 = l2

    # ---- fit -------------------------------------------------------------------------------------

    @checks.names_ours
    def fit(  # type: ignore[override]
        self,
        interactions: Interactions,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
        sample_weight: SampleWeight | None = None,
        epochs: int = 1,
        num_threads: int | None = 1,
        verbose: bool = False,
    ) -> Self:
        """Find the neighbours of all items, forgetting those of an earlier fit.

        Parameters
        ----------
        interactions : sparse matrix [n_users, n_items] of any format and numeric dtype
            Each stored entry with a value > 0 is something a user likes; of one that is stored
            twice the larger weight counts.
        user_features : sparse matrix [n_users or more, any number], optional
        item_features : sparse matrix [n_items or more, any number], optional
            They say how many users and items there are, and nothing else.
        sample_weight : COO matrix [n_users, n_items], default all 1
            What each entry counts, with the very entries of `interactions` in the same order, none
            negative. The values of X are the weights divided by their mean.
        epochs : int
            Taken as `LightFM.fit` takes it, and ignored.
        num_threads : int or None, default 1
            None uses all CPUs this process may use. The result is the same for any number.
        verbose : bool, default False
            Show a progress bar, if tqdm is installed.

        Returns
        -------
        ItemNeighbours
            The model itself.

        Raises
        ------
        ValueError
            For bad input; the model is as it was before the call then.
        """
        features = user_features, item_features
        options: dict[str, Any] = {"num_threads": num_threads, "verbose": verbose}
        self._count_afresh(interactions, *features, sample_weight, **options)
        return self

    @checks.names_ours
    def fit_partial(  # type: ignore[override]
        self,
        interactions: Interactions,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
        sample_weight: SampleWeight | None = None,
        epochs: int = 1,
        num_threads: int | None = 1,
        verbose: bool = False,
        *,
        resize: bool = False,
    ) -> Self:
        """Add interactions to those that are known, and find all neighbours anew.

        Parameters, returned value and errors are those of `fit`, and `resize`: whether there may be
        more users or items than before, as for `LightFM.fit_partial`.
        """
        type(self)(**self.get_params())  # which checks what was assigned
        features = user_features, item_features
        options: dict[str, Any] = {"num_threads": num_threads, "verbose": verbose}
        self._count(interactions, *features, sample_weight, resize=resize, **options)
        return self

    def _learn(
        self,
        examples: Examples,
        n_items: int,
        *,
        num_threads: int | None = 1,
        verbose: bool = False,
        **options: Any,
    ) -> None:
        threads = checks.check_num_threads(num_threads)
        likes = likes_of(examples, n_items, self._likes())
        found = neighbours_of(
            likes, self.n_neighbours, self.method, self.l2, threads, verbose=verbose
        )
        self.neighbours_, self.weights_, self.similarities_ = found
        self.history_indptr_ = likes.indptr.astype(np.int64)
        self.history_items_ = likes.indices.astype(np.int32, copy=False)
        self.history_weights_ = None if (likes.data == 1).all() else likes.data
        self._made = None

    def _likes(self) -> Any:
        """What the users of the fits like, CSR float32 [n_users, n_items]; None before a fit."""
        if self.history_items_ is None or self.history_indptr_ is None:
            return None
        weights = self.history_weights_
        if weights is None:
            weights = np.ones(len(self.history_items_), np.float32)
        shape = len(self.history_indptr_) - 1, self.n_items_ or 0
        parts = weights, self.history_items_, self.history_indptr_
        return sp.csr_matrix(parts, shape=shape, copy=False)

    def _make_beside(self) -> Beside:
        assert self.neighbours_ is not None and self.weights_ is not None
        n = len(self.neighbours_)
        there = self.neighbours_ >= 0
        indptr = np.append(0, np.cumsum(there.sum(axis=1))).astype(np.int64)
        columns = indptr, self.neighbours_[there], self.weights_[there]
        influence: Any = sp.csc_matrix(columns[::-1], shape=(n, n))
        return Beside(influence.tocsr(), columns, weighted_rows(self._likes(), n), 1.0)

    # ---- what is asked of a model ----------------------------------------------------------------

    @checks.names_ours
    def similar_items(  # type: ignore[override]
        self,
        item_ids: Rows | None = None,
        k: int = 10,
        *,
        item_features: FeatureMatrix | None = None,
        among: Rows | None = None,
        num_threads: int | None = 1,
    ) -> RankedLists:
        """The k items most like each of the given ones, by `similarities_`.

        Parameters
        ----------
        item_ids : int or integers [n], default all
        k : int, default 10
        item_features : sparse matrix, optional
            It says how many items there are, and nothing else.
        among : integers, default all
            The only items to choose from.
        num_threads
            Taken as `LightFM.similar_items` takes it, and ignored.

        Returns
        -------
        ids : int32 [n, k]
            Of equal similarities the lower id comes first. -1 where there is no further neighbour.
        similarities : float32 [n, k]
            -infinity where there is no item.
        """
        n = self._n("item", item_features)
        checks.check_k(k)
        assert self.neighbours_ is not None and self.similarities_ is not None
        asked = np.arange(n)
        if item_ids is not None:
            asked = checks.check_ids(item_ids, "item_ids", n, "items", "item")
        ids = np.full((n, max(k, self.neighbours_.shape[1])), -1, np.int32)
        scores = np.full(ids.shape, -np.inf, np.float32)
        places = np.s_[: len(self.neighbours_), : self.neighbours_.shape[1]]
        ids[places], scores[places] = self.neighbours_, self.similarities_
        ids, scores = ids[asked], scores[asked]
        left_out = ids < 0
        if among is not None:
            allowed = np.zeros(n, bool)
            allowed[checks.check_ids(among, "among", n, "items", "item")] = True
            left_out |= ~allowed[ids]
        scores[left_out], ids[left_out] = -np.inf, -1
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)

    # ---- saving ----------------------------------------------------------------------------------

    def _plain_params(self) -> dict[str, Any]:
        return self.get_params()

    def _check_learned(self) -> None:
        super()._check_learned()
        names = self._learned[2:5]
        found: list[Any] = [getattr(self, name) for name in names]
        if all(array is None for array in found):
            return
        types = np.int32, np.float32, np.float32
        for name, array, dtype in zip(names, found, types, strict=True):
            if array is None or array.dtype != dtype or array.shape[:1] != (self.n_items_,):
                raise ValueError(f"{name} must have {dtype.__name__} rows for all items")
            if array.shape != found[0].shape or not np.isfinite(array).all():
                raise ValueError(f"{name} must have the shape of neighbours_ and be finite")
        neighbours = found[0]
        if neighbours.size and not -1 <= neighbours.min() <= neighbours.max() < len(neighbours):
            raise ValueError("neighbours_ must be items, or -1")
        if not _are_ascending(neighbours):
            raise ValueError("neighbours_ must be ascending in each row, and -1 at its end alone")
        indptr, items, weights = (getattr(self, name) for name in self._learned[5:])
        check_csr(indptr, items, (len(indptr) - 1, self.n_items_ or 0), "history")
        if weights is not None and not (
            weights.dtype == np.float32
            and weights.shape == items.shape
            and np.isfinite(weights).all()
            and (weights >= 0).all()
        ):
            raise ValueError("history_weights_ must be a number >= 0 for each item of a history")


def _are_ascending(neighbours: Any) -> bool:
    left, right = neighbours[:, :-1], neighbours[:, 1:]
    return bool(((right > left) & (left >= 0) | (right == -1)).all())


# ---- from interactions to weights ----------------------------------------------------------------


def neighbours_of(
    likes: Any, k: int, method: str, l2: float, num_threads: int, *, verbose: bool = False
) -> tuple[npt.NDArray[np.int32], Floats, Floats]:
    """Neighbours, their weights and their similarities, [n_items, k] each; see `ItemNeighbours`.

    `likes` is a canonical CSR matrix float32 [n_users, n_items].
    """
    n_users, n_items = likes.shape
    k = min(k, max(n_items - 1, 1))
    sizes = np.diff(likes.indptr)
    counted = _drawn(likes, MOST_ITEMS)
    parts = (
        counted.indptr.astype(np.int64),
        counted.indices.astype(np.int32, copy=False),
        None if (counted.data == 1).all() else counted.data,
    )
    squares = np.bincount(counted.indices, counted.data**2, minlength=n_items)
    scales = (1 / np.sqrt(np.maximum(squares, 1e-12))).astype(np.float32)
    by_user = 1 / np.maximum(sizes, 1)
    chosen_by = by_user if method == "ridge" else np.ones(n_users)
    n_steps = n_items if method == "cosine" else 2 * n_items
    with bar(n_steps, "neighbours", verbose) as move:
        steps = _Steps(move, n_items)
        neighbours, similarities = item_weights.nearest_items(
            *parts, chosen_by.astype(np.float32), scales, k, num_threads, steps.to
        )
        steps.next_stage()
        if method == "cosine":
            return neighbours, similarities, similarities
        gram_weights = np.sqrt(by_user).astype(np.float32)
        weights = item_weights.ridge_weights(
            *parts, gram_weights, neighbours, l2, num_threads, _BYTES, steps.to
        )
        steps.next_stage()
    return neighbours, weights, similarities


class _Steps:
    """A bar over stages of n items each, of which the core tells how far it has come."""

    def __init__(self, move: Callable[[int], Any], n: int) -> None:
        self._move, self._n, self._done = move, n, 0

    def to(self, done: float) -> None:
        self._move(int(done) - self._done)
        self._done = int(done)

    def next_stage(self) -> None:
        self.to(self._n)
        self._done = 0


def _drawn(likes: Any, most: int) -> Any:
    """The same rows, and of those with more than `most` entries so many, drawn evenly."""
    sizes = np.diff(likes.indptr)
    long = np.flatnonzero(sizes > most)
    if not len(long):
        return likes
    stays = np.ones(likes.nnz, bool)
    stream = np.random.RandomState(0)
    for user in long:
        first, end = likes.indptr[user], likes.indptr[user + 1]
        stays[first:end] = False
        stays[first + stream.choice(end - first, most, replace=False)] = True
    indptr = np.append(0, np.cumsum(np.minimum(sizes, most)))
    return sp.csr_matrix((likes.data[stays], likes.indices[stays], indptr), shape=likes.shape)
