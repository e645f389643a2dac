"""Splits of interactions into a training and a test set.

Every split puts each stored entry, duplicates and zeros included, into exactly one of the two
parts, keeps shape and dtype, and leaves its input as it is. "Entry i" is the i-th in the order of
``interactions.tocoo()``, for a COO matrix the order in which it stores them.

A pair of user and item that is stored more than once can land on both sides; where that would be
a leak, call ``interactions.sum_duplicates()`` first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isqrt
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lightfm_clone import _core
from lightfm_clone._checks import (
    as_valid_sparse,
    check_random_state,
    is_integer,
    is_real,
    is_sparse,
    names_ours,
)
from lightfm_clone.typing import Seed, SparseMatrix

# Train, test, then a pair of them for each matrix of `also`.
Split: TypeAlias = tuple[Any, ...]

# Up to this many entries everything lies in the cache and NumPy's own shuffle is as fast.
_PLAIN_SHUFFLE = 1 << 18

# Items of these sizes are copied as bits, so their meaning is no matter.
_BITS = {4: np.uint32, 8: np.uint64}


@names_ours
def random_train_test_split(
    interactions: SparseMatrix,
    test_percentage: float = 0.2,
    random_state: Seed = None,
    *,
    also: Sequence[SparseMatrix] = (),
) -> Split:
    """Split interactions at random into a training and a test set.

    The entries are permuted as ``RandomState.shuffle`` permutes ``arange(nnz)``; the first
    ``int((1 - test_percentage) * nnz)`` of them are the training set, in that order. The same
    seed therefore splits two matrices with the same entries in the same order alike, as `also`
    does in one call.

    Parameters
    ----------
    interactions : sparse matrix or array, shape (n_users, n_items)
        Any format and dtype. It is left as it is.
    test_percentage : float, default 0.2
        Share of the entries that go to the test set, from 0 to 1.
    random_state : int, RandomState, Generator or None, default None
        Seed of the permutation. A RandomState is advanced exactly as ``shuffle`` advances it;
        None draws a new permutation at every call.
    also : sequence of sparse matrices or arrays, default ()
        Further matrices, such as weights, with the very entries of `interactions` in the same
        order and values of their own. They are split alike.

    Returns
    -------
    train, test : coo_matrix
        Both of the shape and dtype of ``interactions``, sharing no memory with it or each
        other; ``coo_array`` when ``interactions`` is a sparse array.
    (train, test), ... : one pair for each matrix of `also`
        So ``train, test, (w_train, w_test) = random_train_test_split(X, also=(weights,))``.

    Raises
    ------
    ValueError
        When ``interactions`` is not a two-dimensional sparse matrix, ``test_percentage`` lies
        outside [0, 1], ``random_state`` is not a seed, or a matrix of `also` has other entries.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from lightfm_clone.cross_validation import random_train_test_split
    >>> interactions = sp.coo_matrix([[1, 0, 1], [0, 1, 1]])
    >>> weights = sp.coo_matrix([[0.1, 0, 0.3], [0, 0.5, 0.6]])
    >>> train, test, (w_train, w_test) = random_train_test_split(
    ...     interactions, test_percentage=0.25, random_state=0, also=(weights,)
    ... )
    >>> train.nnz, test.nnz, w_test.toarray().tolist()
    (3, 1, [[0.1, 0.0, 0.0], [0.0, 0.0, 0.0]])
    """
    matrices = _check_matrices(interactions, also)
    n_train = _n_train(matrices[0].nnz, test_percentage)
    random_state = check_random_state(random_state)
    row, col, *values = _shuffle(
        [matrices[0].row, matrices[0].col, *(matrix.data for matrix in matrices)], random_state
    )
    return _parts(matrices, row, col, values, slice(None, n_train), slice(n_train, None))


@names_ours
def time_split(
    interactions: SparseMatrix,
    timestamps: npt.ArrayLike,
    test_percentage: float = 0.2,
    *,
    also: Sequence[SparseMatrix] = (),
) -> Split:
    """Split interactions at one moment in time: the past trains, the future tests.

    The moment is the one after which `test_percentage` of the entries happened, so nothing in the
    training set is later than anything in the test set. Entries of the very same time stay
    together; those at the boundary go to the side that brings the test set's size closer to
    `test_percentage`, to the test set if both do.

    Users and items that first appear after that moment have no training entry.

    Parameters
    ----------
    interactions : sparse matrix or array, shape (n_users, n_items)
        Any format and dtype. It is left as it is.
    timestamps : array-like [nnz] of numbers or datetime64, or a pandas Series
        When each stored entry happened, in the order of ``interactions.tocoo()``.
    test_percentage : float, default 0.2
        Share of the entries that go to the test set, from 0 to 1.
    also : sequence of sparse matrices or arrays, default ()
        As in `random_train_test_split`.

    Returns
    -------
    train, test, then a pair for each matrix of `also`
        As from `random_train_test_split`, with the entries in the order of ``interactions``.

    Raises
    ------
    ValueError
        As `random_train_test_split`, and when there is not exactly one time stamp for each stored
        entry, or one is missing (NaN, NaT).

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from lightfm_clone.cross_validation import time_split
    >>> interactions = sp.coo_matrix(([1, 1, 1, 1], ([0, 0, 1, 1], [0, 1, 1, 2])))
    >>> train, test = time_split(interactions, [3, 1, 4, 2], test_percentage=0.5)
    >>> train.toarray().tolist(), test.toarray().tolist()
    ([[0, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 0]])
    """
    matrices = _check_matrices(interactions, also)
    n_train = _n_train(matrices[0].nnz, test_percentage)
    times = _check_timestamps(timestamps, matrices[0].nnz)
    in_train = np.ones(len(times), dtype=bool)
    if n_train < len(times):
        boundary = np.partition(times, n_train)[n_train]
        before, until = times < boundary, times <= boundary
        is_closer = n_train - before.sum() <= until.sum() - n_train
        in_train = before if is_closer else until
    return _split(matrices, ~in_train)


@names_ours
def leave_last_out(
    interactions: SparseMatrix,
    timestamps: npt.ArrayLike,
    n: int = 1,
    *,
    also: Sequence[SparseMatrix] = (),
) -> Split:
    """Hold out the last n entries of each user.

    Users with n entries or fewer stay in the training set whole, so every user of the test set
    has something to learn from. Of a user's entries of the very same time, the one that is stored
    later counts as the later one.

    The split is in time for each user, not for all together: the training entries of one user can
    be later than the test entries of another. Where that matters use `time_split`.

    Parameters
    ----------
    interactions : sparse matrix or array, shape (n_users, n_items)
        Any format and dtype. It is left as it is.
    timestamps : array-like [nnz] of numbers or datetime64, or a pandas Series
        When each stored entry happened, in the order of ``interactions.tocoo()``.
    n : int, default 1
        Number of entries to hold out of each user, at least 1.
    also : sequence of sparse matrices or arrays, default ()
        As in `random_train_test_split`.

    Returns
    -------
    train, test, then a pair for each matrix of `also`
        As from `random_train_test_split`, with the entries in the order of ``interactions``.

    Raises
    ------
    ValueError
        As `time_split`, and for an `n` that is no integer of at least 1.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from lightfm_clone.cross_validation import leave_last_out
    >>> interactions = sp.coo_matrix(([1, 1, 1, 1], ([0, 0, 0, 1], [0, 1, 2, 2])))
    >>> train, test = leave_last_out(interactions, [10, 30, 20, 40])
    >>> train.toarray().tolist(), test.toarray().tolist()
    ([[1, 0, 1], [0, 0, 1]], [[0, 1, 0], [0, 0, 0]])
    """
    matrices = _check_matrices(interactions, also)
    times = _check_timestamps(timestamps, matrices[0].nnz)
    if not is_integer(n) or n < 1:
        raise ValueError(f"n must be an integer of at least 1, got {n!r}")
    n_users, n_entries = matrices[0].shape[0], len(times)
    order = np.argsort(times, kind="stable")
    # SciPy groups the entries by user in linear time and leaves the order in each group as it is:
    # a third of the time that a sort by user and time takes.
    users = matrices[0].row[order]
    grouped = sp.csr_matrix((order, (users, np.arange(n_entries))), shape=(n_users, n_entries))
    counts = np.diff(grouped.indptr)
    to_the_end = np.repeat(grouped.indptr[1:], counts) - np.arange(n_entries)
    in_test = np.zeros(n_entries, dtype=bool)
    in_test[grouped.data[(to_the_end <= n) & np.repeat(counts > n, counts)]] = True
    return _split(matrices, in_test)


@names_ours
def k_fold(
    interactions: SparseMatrix,
    n_splits: int = 5,
    random_state: Seed = None,
    *,
    also: Sequence[SparseMatrix] = (),
) -> Iterator[Split]:
    """Split interactions at random into k folds, each of them the test set once.

    Parameters
    ----------
    interactions : sparse matrix or array, shape (n_users, n_items)
        Any format and dtype. It is left as it is.
    n_splits : int, default 5
        Number of folds, from 2 to the number of entries. Their sizes differ by one at most.
    random_state : int, RandomState, Generator or None, default None
        Seed of the folds.
    also : sequence of sparse matrices or arrays, default ()
        As in `random_train_test_split`.

    Returns
    -------
    iterator of (train, test, then a pair for each matrix of `also`), one per fold
        As from `random_train_test_split`, with the entries in the order of ``interactions``. Each
        fold is made when it is asked for.

    Raises
    ------
    ValueError
        As `random_train_test_split`, and for a bad `n_splits`; at the call, not at the first fold.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from lightfm_clone.cross_validation import k_fold
    >>> interactions = sp.coo_matrix([[1, 0, 1], [0, 1, 1], [1, 0, 0]])
    >>> for train, test in k_fold(interactions, n_splits=3, random_state=0):
    ...     print(train.nnz, test.nnz)
    3 2
    3 2
    4 1
    """
    matrices = _check_matrices(interactions, also)
    n_entries = matrices[0].nnz
    if not is_integer(n_splits) or not 2 <= n_splits <= n_entries:
        raise ValueError(
            f"n_splits must be an integer from 2 to the number of entries, {n_entries}, got "
            f"{n_splits!r}"
        )
    (folds,) = _shuffle([np.arange(n_entries) % n_splits], check_random_state(random_state))
    return (_split(matrices, folds == fold) for fold in range(n_splits))


@names_ours
def cold_user_split(
    interactions: SparseMatrix,
    test_percentage: float = 0.2,
    random_state: Seed = None,
    *,
    also: Sequence[SparseMatrix] = (),
) -> Split:
    """Hold out users drawn at random with all their entries, to see how new users are served.

    Parameters
    ----------
    interactions : sparse matrix or array, shape (n_users, n_items)
        Any format and dtype. It is left as it is.
    test_percentage : float, default 0.2
        Share of the users to hold out, from 0 to 1. Users without entries do not count: of m
        users with entries, ``int((1 - test_percentage) * m)`` stay in the training set.
    random_state : int, RandomState, Generator or None, default None
        Seed of the draw.
    also : sequence of sparse matrices or arrays, default ()
        As in `random_train_test_split`.

    Returns
    -------
    train, test, then a pair for each matrix of `also`
        As from `random_train_test_split`, with the entries in the order of ``interactions``. A
        user with entries in one part has none in the other.

    Raises
    ------
    ValueError
        As `random_train_test_split`.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from lightfm_clone.cross_validation import cold_user_split
    >>> interactions = sp.coo_matrix([[1, 0, 1], [0, 1, 1], [1, 0, 0]])
    >>> train, test = cold_user_split(interactions, test_percentage=1 / 3, random_state=0)
    >>> train.toarray().tolist(), test.toarray().tolist()
    ([[0, 0, 0], [0, 1, 1], [1, 0, 0]], [[1, 0, 1], [0, 0, 0], [0, 0, 0]])
    """
    return _cold_split(0, interactions, test_percentage, random_state, also)


@names_ours
def cold_item_split(
    interactions: SparseMatrix,
    test_percentage: float = 0.2,
    random_state: Seed = None,
    *,
    also: Sequence[SparseMatrix] = (),
) -> Split:
    """Hold out items drawn at random with all their entries, to see how new items are ranked.

    Parameters, returned values and errors are those of `cold_user_split`, with items for users.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from lightfm_clone.cross_validation import cold_item_split
    >>> interactions = sp.coo_matrix([[1, 0, 1], [0, 1, 1], [1, 0, 0]])
    >>> train, test = cold_item_split(interactions, test_percentage=1 / 3, random_state=0)
    >>> train.toarray().tolist(), test.toarray().tolist()
    ([[0, 0, 1], [0, 1, 1], [0, 0, 0]], [[1, 0, 0], [0, 0, 0], [1, 0, 0]])
    """
    return _cold_split(1, interactions, test_percentage, random_state, also)


def _cold_split(
    axis: int,
    interactions: SparseMatrix,
    test_percentage: float,
    random_state: Seed,
    also: Sequence[SparseMatrix],
) -> Split:
    """Hold out rows (axis 0) or columns (axis 1) whole."""
    matrices = _check_matrices(interactions, also)
    numbers = (matrices[0].row, matrices[0].col)[axis]
    is_cold = np.zeros(matrices[0].shape[axis], dtype=bool)
    is_cold[numbers] = True
    (shuffled,) = _shuffle([np.flatnonzero(is_cold)], check_random_state(random_state))
    is_cold[shuffled[: _n_train(len(shuffled), test_percentage)]] = False
    return _split(matrices, is_cold[numbers])


def _check_matrices(interactions: Any, also: Sequence[Any]) -> list[Any]:
    """Interactions and all of `also` as COO, after a check that their entries are the same."""
    if sp.issparse(also):
        raise ValueError("also must be a sequence of matrices, got one; write also=(weights,)")
    given = {"interactions": interactions}
    given |= {f"also[{i}]": matrix for i, matrix in enumerate(also)}
    matrices: list[Any] = []
    for name, matrix in given.items():
        if not is_sparse(matrix):
            raise ValueError(
                f"{name} must be a scipy.sparse matrix or array, got {type(matrix).__name__}; "
                "convert it with scipy.sparse.coo_matrix(...)"
            )
        if matrix.ndim != 2:
            raise ValueError(f"{name} must have two dimensions, users and items, got {matrix.ndim}")
        coo = as_valid_sparse(matrix, name).tocoo()
        first = matrices[0] if matrices else coo
        if coo.shape != first.shape:
            raise ValueError(
                f"{name} must have the shape of interactions, {first.shape}, got {coo.shape}"
            )
        if coo is not first and not (
            np.array_equal(coo.row, first.row) and np.array_equal(coo.col, first.col)
        ):
            raise ValueError(
                f"{name} must have the entries of interactions in the same order, but its "
                f"{coo.nnz} rows and columns differ from their {first.nnz}; build both from the "
                "same arrays, as Dataset.build_interactions does, and convert neither"
            )
        matrices.append(coo)
    return matrices


def _check_timestamps(timestamps: npt.ArrayLike, n_entries: int) -> np.ndarray:
    times = np.asarray(timestamps)
    if times.dtype == object and getattr(getattr(timestamps, "dtype", None), "kind", "") == "M":
        times = np.asarray(timestamps, dtype="datetime64[ns]")  # pandas, with a time zone
    if times.dtype.kind not in "biufmM":
        raise ValueError(
            f"timestamps must be numbers or datetime64, got dtype {times.dtype}; convert them, for "
            "instance with pandas.to_datetime(...)"
        )
    if times.shape != (n_entries,):
        raise ValueError(
            f"timestamps must be one-dimensional with one for each of the {n_entries} stored "
            f"entries of interactions, got shape {times.shape}"
        )
    missing = np.count_nonzero(times != times)  # only NaN and NaT differ from themselves
    if missing:
        raise ValueError(f"timestamps must not be NaN or NaT, got {missing} of them; fill them in")
    return times


def _n_train(n: int, test_percentage: float) -> int:
    """How many of n things stay in the training set."""
    if not is_real(test_percentage) or not 0 <= test_percentage <= 1:
        raise ValueError(
            "test_percentage must be a share between 0 and 1 (0.2 holds out a fifth), got "
            f"{test_percentage!r}"
        )
    return int((1 - test_percentage) * n)


def _split(matrices: list[Any], in_test: np.ndarray) -> Split:
    """The result of a split, from which entries are in the test set."""
    return _parts(
        matrices,
        matrices[0].row,
        matrices[0].col,
        [matrix.data for matrix in matrices],
        np.flatnonzero(~in_test),
        np.flatnonzero(in_test),
    )


def _parts(
    matrices: list[Any],
    row: np.ndarray,
    col: np.ndarray,
    values: list[np.ndarray],
    train: slice | np.ndarray,
    test: slice | np.ndarray,
) -> Split:
    """Train, test and further pairs: one matrix for each values and part of the entries."""
    pairs: list[tuple[Any, ...]] = []
    for matrix, data in zip(matrices, values, strict=True):
        container = sp.coo_array if isinstance(matrix, sp.sparray) else sp.coo_matrix
        # Slices would share their rows and columns with the pair before.
        copy = bool(pairs) and isinstance(train, slice)
        pairs.append(
            tuple(
                container((data[part], (row[part], col[part])), shape=matrix.shape, copy=copy)
                for part in (train, test)
            )
        )
    return *pairs[0], *pairs[1:]


def _shuffle(arrays: list[np.ndarray], random_state: np.random.RandomState) -> list[np.ndarray]:
    """Copies of the arrays, each in the order that ``random_state.shuffle`` would give it.

    The shuffle walks i from n - 1 down to 1, draws a partner j from 0 to i and swaps items i
    and j. One by one, these steps wait for mispredicted branches and for memory. So the
    partners in a long array are drawn vectorised first, and the swaps and all that follows ask
    for memory ahead of time.
    """
    length = len(arrays[0])
    if not _PLAIN_SHUFFLE < length < 2**31:
        places = np.arange(length)
        random_state.shuffle(places)
        return [array.take(places) for array in arrays]

    partners = np.arange(length, dtype=np.int32)
    i = length - 1
    while i >= _PLAIN_SHUFFLE:
        # NumPy masks 32-bit words with the smallest 2**b - 1 >= i and drops those above i. The
        # positions half..i share a mask, and each takes at least one word: drawing no more
        # words than there are positions leaves the stream exactly where NumPy leaves it.
        half = 1 << (i.bit_length() - 1)
        n_words = min(i - half + 1, 3 * isqrt(i))
        words = random_state.randint(0, 1 << 32, size=n_words, dtype=np.uint32)
        words &= np.uint32(2 * half - 1)
        kept = words <= i
        # i falls by one with every word kept. That only matters to words just below it, and
        # thanks to the square root there is but a handful of them.
        for k in np.flatnonzero(kept & (words > i - n_words)):
            kept[k] = words[k] <= i - np.count_nonzero(kept[:k])
        words = words.compress(kept)
        partners[i - len(words) + 1 : i + 1] = words[::-1]
        i -= len(words)
    rest = np.arange(i + 1)
    random_state.shuffle(rest)
    order = np.arange(length, dtype=np.int32)
    _core.swap_with_partners(order, partners, len(rest))
    order[: len(rest)] = order.take(rest)

    def in_order(array: np.ndarray) -> np.ndarray:
        if array.itemsize not in _BITS or array.dtype.hasobject:
            return array.take(order)
        bits, taken = _BITS[array.itemsize], np.empty_like(array, order="C")
        source = np.require(array, requirements=["C", "A"])
        _core.take_in_order(source.view(bits), order, taken.view(bits))
        return taken

    return [in_order(array) for array in arrays]
