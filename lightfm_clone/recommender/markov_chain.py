"""What comes next: lists from the order in which people took items.

The path of a fit: the interactions by user and time -> one step from each item to the next -> the
shares of the steps that leave an item (`transitions_`). Scores are sums over a history
(`_model/beside.py`), in which the latest item counts most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lightfm_clone import _checks as checks
from lightfm_clone._model.beside import Beside
from lightfm_clone._model.examples import Examples
from lightfm_clone._sparse import check_csr
from lightfm_clone.recommender.ageing import seconds
from lightfm_clone.recommender.by_history import ByHistory
from lightfm_clone.typing import (
    CsrMatrix,
    FeatureMatrix,
    Floats,
    Interactions,
    RankedLists,
    Representations,
    SampleWeight,
)

if TYPE_CHECKING:
    from typing_extensions import Self

_LEAST = 0.01  # weight of an item of a history, beside that of the last, that is worth keeping


class MarkovChain(ByHistory):
    """What people took next, after what somebody took last.

    Each person's items, in order of time, are a path, and P_ji is the share of the steps from item
    j that lead to item i. The score of a user u and an item i is ::

        (1 - smoothing) * sum over the items j of u of h_uj P_ji  +  smoothing * p_i

    where p_i is the share of all interactions that item i has, and h_uj falls by `decay` from each
    item of the user to the one before, and adds up to 1. With ``decay=0`` the last item alone
    speaks, and the score is the probability of the next item in a chain of first order.

    A baseline for data with an order in time, such as plays or page views. It knows no item that
    nobody has taken, and somebody without a history gets what is popular.

    Parameters
    ----------
    decay : float in [0, 1), default 0.5
        What an item of a history counts beside the one that came after it. For lists of days to
        come rather than of the next item, values near 1 are better.
    smoothing : float in (0, 1), default 0.1
        The share of popularity, which decides where no step is known.

    Attributes
    ----------
    popularity_ : float64 [n_items]
        The share of each item in all interactions; None before the fit.
    n_users_, n_items_ : int
        Of the fit; None before.

    Raises
    ------
    ValueError
        For a bad parameter.

    Notes
    -----
    The interactions hold each pair of user and item once, so a path goes through each item once: in
    a `Recommender`, which calls the fit with the times of its events, at its latest event. Items at
    the very same time are taken in the order of their numbers. `lightfm_clone.clickstream` counts
    steps between all events, within sessions.

    A weight is what the step to that item counts. Histories of strangers come without an order:
    all their items count the same.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> taken = sp.coo_matrix(([1, 1, 1, 1, 1], ([0, 0, 0, 1, 2], [0, 1, 2, 0, 1])), shape=(3, 3))
    >>> chain = MarkovChain(decay=0).fit(taken, timestamps=[10, 20, 30, 10, 10])
    >>> chain.transitions_.toarray()
    array([[0., 1., 0.],
           [0., 0., 1.],
           [0., 0., 0.]], dtype=float32)
    >>> chain.recommend([1, 2], k=1, exclude=taken)[0].tolist()
    [[1], [2]]
    """

    _learned = (
        *ByHistory._learned,
        "popularity_",
        "next_indptr_",
        "next_items_",
        "next_shares_",
        "history_indptr_",
        "history_items_",
        "history_weights_",
    )

    popularity_: npt.NDArray[np.float64] | None = None
    next_indptr_: npt.NDArray[np.int64] | None = None
    next_items_: npt.NDArray[np.int32] | None = None
    next_shares_: Floats | None = None
    history_indptr_: npt.NDArray[np.int64] | None = None
    history_items_: npt.NDArray[np.int32] | None = None
    history_weights_: Floats | None = None

    @checks.names_ours
    def __init__(self, decay: float = 0.5, smoothing: float = 0.1) -> None:
        if not checks.is_real(decay) or not 0 <= decay < 1:
            raise ValueError(
                f"decay must be a number from 0 up to, not including, 1, got {decay!r}"
            )
        if not checks.is_real(smoothing) or not 0 < smoothing < 1:
            raise ValueError(f"smoothing must be a number between 0 and 1, got {smoothing!r}")
        self.decay = decay
        self.smoothing = smoothing

    # ---- fit -------------------------------------------------------------------------------------

    @checks.names_ours
    def fit(
        self,
        interactions: Interactions,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
        sample_weight: SampleWeight | None = None,
        epochs: int = 1,
        num_threads: int | None = 1,
        verbose: bool = False,
        *,
        timestamps: npt.ArrayLike | None = None,
    ) -> Self:
        """Count the steps, forgetting those of an earlier fit.

        Parameters
        ----------
        interactions : sparse matrix [n_users, n_items] of any format and numeric dtype
            Each stored entry with a value > 0 is something a user took.
        user_features : sparse matrix [n_users or more, any number], optional
        item_features : sparse matrix [n_items or more, any number], optional
            They say how many users and items there are, and nothing else.
        sample_weight : COO matrix [n_users, n_items], default all 1
            What the step to each entry counts, with the very entries of `interactions` in the same
            order, none negative.
        epochs, num_threads, verbose
            Taken as `LightFM.fit` takes them, and ignored: there is nothing to train.
        timestamps : array of numbers or datetime64 [n_interactions]
            When each stored entry of `interactions` happened, in their order; numbers are seconds.
            They must be given. `Recommender` passes those of ``timestamp=``.

        Returns
        -------
        MarkovChain
            The model itself.

        Raises
        ------
        ValueError
            For bad input, and without times; the model is as it was before the call then.
        """
        features = user_features, item_features
        self._count_afresh(interactions, *features, sample_weight, timestamps=timestamps)
        return self

    def fit_partial(self, *args: Any, **kwargs: Any) -> Self:
        """Refused: new steps begin at old items, whose times are not kept.

        Raises
        ------
        NotImplementedError
            Always; it is a ValueError, too.
        """
        raise checks.UnsupportedError(
            "a MarkovChain keeps no times, which new steps would need; call fit with old and new "
            "interactions together, which takes no longer than counting"
        )

    def _learn(
        self, examples: Examples, n_items: int, *, timestamps: Any = None, **options: Any
    ) -> None:
        if timestamps is None:
            raise ValueError(
                "timestamps must be given, because the order of items is all that a MarkovChain "
                "goes by: pass timestamps=array, one for each stored entry of interactions, or "
                "name the column of times in Recommender.fit(..., timestamp=column)"
            )
        rows, cols = examples.rows, examples.cols
        weights = np.ones(len(rows), np.float32) if examples.weights is None else examples.weights
        if (weights < 0).any():
            raise ValueError(
                f"sample_weight must not be negative, got {weights.min()}: nothing is taken less "
                "than not at all; leave such interactions out"
            )
        times = seconds(timestamps, "timestamps", len(cols))
        if examples.positive is not None:
            rows, cols, weights, times = (
                of[examples.positive] for of in (rows, cols, weights, times)
            )
        counts = np.bincount(cols, weights, minlength=n_items)
        self.popularity_ = counts / (counts.sum() or 1)

        order = np.lexsort((cols, times, rows))
        rows, cols, weights = rows[order], cols[order], weights[order]
        step = (rows[1:] == rows[:-1]) & (cols[1:] != cols[:-1]) & (weights[1:] > 0)
        entries = weights[1:][step], (cols[:-1][step], cols[1:][step])
        steps: Any = sp.coo_matrix(entries, shape=(n_items, n_items), dtype=np.float64).tocsr()
        total = np.repeat(np.asarray(steps.sum(axis=1)).ravel(), np.diff(steps.indptr))
        self.next_indptr_, self.next_items_ = _numbers(steps)
        self.next_shares_ = (steps.data / total).astype(np.float32)

        histories = _by_age(rows, cols, self.decay, (examples.shape[0], n_items))
        self.history_indptr_, self.history_items_ = _numbers(histories)
        self.history_weights_ = histories.data
        self._made = None

    @property
    def transitions_(self) -> CsrMatrix:
        """P, CSR float32 [n_items, n_items]: the share of the steps from each item to each other.

        Raises
        ------
        ValueError
            Before the fit.
        """
        n = self._n("item", None)
        parts: Any = self.next_shares_, self.next_items_, self.next_indptr_
        return sp.csr_matrix(parts, shape=(n, n))

    def _make_beside(self) -> Beside:
        influence: Any = self.transitions_ * np.float32(1 - self.smoothing)
        by_next = influence.tocsc()
        columns = (*_numbers(by_next), by_next.data)
        parts: Any = self.history_weights_, self.history_items_, self.history_indptr_
        assert self.history_indptr_ is not None
        shape = len(self.history_indptr_) - 1, influence.shape[0]
        return _Evenly(influence, columns, sp.csr_matrix(parts, shape=shape), 1.0)

    # ---- what is asked of a model ----------------------------------------------------------------

    def _item_vectors(self, n: int) -> Representations:
        biases, embeddings = super()._item_vectors(n)
        assert self.popularity_ is not None  # for the type checker: whoever asks has asked `_n`
        biases[: len(self.popularity_)] = self.smoothing * self.popularity_
        return biases, embeddings

    def similar_items(self, *args: Any, **kwargs: Any) -> RankedLists:
        """Refused: what comes next need not be alike.

        Raises
        ------
        NotImplementedError
            Always; it is a ValueError, too.
        """
        raise checks.UnsupportedError(
            "a MarkovChain does not know which items are alike, but what comes next: see its "
            "transitions_, or ask an ItemNeighbours for similar_items"
        )

    # ---- saving ----------------------------------------------------------------------------------

    def _plain_params(self) -> dict[str, Any]:
        return self.get_params()

    def _check_learned(self) -> None:
        super()._check_learned()
        learned = [getattr(self, name) for name in self._learned[2:]]
        if all(array is None for array in learned):
            return
        n = self.n_items_ or 0
        popularity, *parts = learned
        for name, array, dtype in (
            ("popularity_", popularity, np.float64),
            ("next_shares_", parts[2], np.float32),
            ("history_weights_", parts[5], np.float32),
        ):
            if array is None or array.dtype != dtype or array.ndim != 1:
                raise ValueError(f"{name} must be numbers of {np.dtype(dtype)}")
            if not (np.isfinite(array).all() and (array >= 0).all() and (array <= 1 + 1e-6).all()):
                raise ValueError(f"{name} must hold shares from 0 to 1")
        if len(popularity) != n:
            raise ValueError("popularity_ must have a share for each item")
        for what, (indptr, items, shares) in (("next", parts[:3]), ("history", parts[3:])):
            check_csr(indptr, items, (n if what == "next" else len(indptr) - 1, n), what)
            if len(shares) != len(items):
                raise ValueError(f"{what} must have a share for each item")


class _Evenly(Beside):
    """Histories of new people have no order: their items share a weight of 1."""

    def weighted(self, likes: Any) -> Any:
        m = self.influence.shape[0]
        known = likes[:, :m]
        sizes = np.diff(known.indptr)
        each = np.repeat(1 / np.maximum(sizes, 1), sizes).astype(np.float32)
        return sp.csr_matrix((each, known.indices, known.indptr), shape=(likes.shape[0], m))


def _numbers(matrix: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Where rows begin, and the numbers in them, in types that do not depend on the size."""
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32, copy=False)


def _by_age(
    rows: npt.NDArray[Any], cols: npt.NDArray[Any], decay: float, shape: tuple[int, int]
) -> Any:
    """Histories, CSR float32 [n_users, n_items], of pairs that are ordered by user and time."""
    ends = np.cumsum(np.bincount(rows, minlength=shape[0]))
    age = ends[rows] - 1 - np.arange(len(rows))  # 0 for the last of a user
    weights = np.power(float(decay), age)
    kept = weights >= _LEAST
    histories: Any = sp.coo_matrix((weights[kept], (rows[kept], cols[kept])), shape=shape).tocsr()
    total = np.asarray(histories.sum(axis=1)).ravel()
    histories.data /= np.repeat(total, np.diff(histories.indptr))
    return histories.astype(np.float32)
