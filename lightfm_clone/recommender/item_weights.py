"""The nearest items of each item, and their weights by least squares: what the core is told to do,
in parts of which each takes a tenth of a second or so.

After each part `advance` hears how far it is. What is found is the same for any number of threads
and any parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from lightfm_clone import _core
from lightfm_clone.typing import Floats

# Additions of a part. No loop has more parts than _MOST_PARTS.
_STEPS_IN_PART, _MOST_PARTS = 100_000_000, 100
# Solving a system of n equations takes the time of n^3 / _CUBES_OF_ADDITION additions.
_CUBES_OF_ADDITION = 24

_Int32s = npt.NDArray[np.int32]
_Int64s = npt.NDArray[np.int64]


def nearest_items(
    indptr: _Int64s,
    items: _Int32s,
    values: Floats | None,
    user_weights: Floats,
    item_scales: Floats,
    k: int,
    num_threads: int,
    advance: Callable[[int], object] | None = None,
) -> tuple[_Int32s, Floats]:
    """The k items that share most with each item: (neighbours int32 [n_items, k], sorted, and
    similarities float32 [n_items, k]), with -1 and 0 behind them where there are fewer.

    The similarity of two items is the product of their scales and a sum over the users who have
    both, of the user's weight times both values. Only what is above 0 counts; of equal ones the
    item with the lower number is nearer. It takes as many additions as the squares of the lengths
    of the users' lists sum up to.

    Parameters
    ----------
    indptr : int64 array [n_users + 1]
    items : int32 array [nnz]
        The sorted distinct items of each user.
    values : float32 array [nnz] or None
        None when all are 1.
    user_weights : float32 array [n_users]
    item_scales : float32 array [n_items]
    k : int
    num_threads : int
    advance : callable, optional
        Called now and then with the share of the work that is done, as a number of items.

    Raises
    ------
    ValueError
        If an array is not as said above, or k is below 1.
    KeyboardInterrupt
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    found = _core.Similarities(indptr, items, values, user_weights, item_scales, k, num_threads)
    n_items = len(item_scales)
    order, additions = found.steps()
    for begin, end, share in _parts(additions + n_items // 4 + 1):
        found.find(order[begin:end])
        if advance is not None:
            advance(int(n_items * share))
    return found.neighbours, found.similarities


def ridge_weights(
    indptr: _Int64s,
    items: _Int32s,
    values: Floats | None,
    user_weights: Floats,
    neighbours: _Int32s,
    l2: float,
    num_threads: int,
    most_bytes: int,
    advance: Callable[[int], object] | None = None,
) -> Floats:
    """The weights, float32 [n_items, k], by which least squares makes each item of its neighbours.

    With G = X^T D X of the interactions X and the users' weights D, the weights b of an item i with
    neighbours N solve (G_NN + l2 I) b = G_Ni. Behind the neighbours of an item they are 0. They are
    the same for any `most_bytes`.

    Parameters
    ----------
    indptr, items, values, user_weights, num_threads, advance
        As for `nearest_items`. Users' weights must not be negative.
    neighbours : int32 array [n_items, k]
        As `nearest_items` gives them.
    l2 : float
    most_bytes : int
        What the parts of G may take that are held at a time, 2 k (k + 1) an item. The fewer, the
        more often rows of G are made. One item is always held.

    Raises
    ------
    ValueError
        If an array is not as said above, or an item's weights are not finite numbers, because its
        system is not positive definite, or values are too large.
    KeyboardInterrupt
    """
    if not 0 <= l2 < np.inf:
        raise ValueError(f"l2 must be a finite number of at least 0, got {l2}")
    ridge = _core.Ridge(indptr, items, values, user_weights, neighbours, num_threads)
    weights = ridge.weights
    n_items = len(weights) if weights.size else 0
    last = 0
    while last < n_items:
        first = last
        most = ridge.begins[first] + max(most_bytes, 0) // 4
        last = max(first + 1, int(np.searchsorted(ridge.begins, most, "right")) - 1)
        rows, additions = ridge.turn_to(first, last)
        making = additions + 1
        solving = ridge.counts[first:last] ** 3 // _CUBES_OF_ADDITION + 1
        share = making.sum() / (making.sum() + solving.sum())
        for begin, end, done in _parts(making):
            ridge.make(rows[begin:end])
            if advance is not None:
                advance(int(first + (last - first) * share * done))
        for begin, end, done in _parts(solving):
            ridge.solve(first + begin, first + end, l2)
            if advance is not None:
                advance(int(first + (last - first) * (share * (1 - done) + done)))
        failed = np.flatnonzero(~np.isfinite(weights[first:last]).all(axis=1))
        if len(failed):
            raise ValueError(
                f"the weights of the neighbours of item {first + failed[0]} have no finite "
                "solution; l2 must be above 0, and values and weights must be finite and not so "
                "large that their sums overflow"
            )
    return weights


def _parts(steps: _Int64s) -> Iterator[tuple[int, int, float]]:
    """(first, last, share) of parts of things that take so many additions each: all things
    [first, last), and the share of the whole that is done after them."""
    done = np.cumsum(steps, dtype=np.float64)
    total = done.max(initial=0)
    n = int(min(max(total // _STEPS_IN_PART, 1), _MOST_PARTS))
    ends = np.searchsorted(done, total * np.arange(1, n) / n)
    bounds = np.unique([0, *ends, len(done)]).tolist()
    for first, last in zip(bounds, bounds[1:], strict=False):
        yield first, last, float(done[last - 1] / total)
