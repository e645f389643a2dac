"""Splits of interactions into a training and a test set."""

from __future__ import annotations

from math import isqrt
from numbers import Real

import numpy as np
import scipy.sparse as sp
from scipy.linalg.lapack import dlaswp, slaswp, zlaswp

from lightfm_clone._validation import check_random_state

# Up to this many entries everything lies in the cache and NumPy's own shuffle is as fast.
_PLAIN_SHUFFLE = 1 << 18

# LAPACK's row interchange by item size; it copies items whole, so their meaning is no matter.
_INTERCHANGE = {4: (slaswp, np.float32), 8: (dlaswp, np.float64), 16: (zlaswp, np.complex128)}


def random_train_test_split(
    interactions: sp.spmatrix | sp.sparray,
    test_percentage: float = 0.2,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
) -> tuple[sp.coo_matrix | sp.coo_array, sp.coo_matrix | sp.coo_array]:
    """Split interactions at random into a training and a test set.

    Every stored entry, duplicates and zeros included, lands in exactly one of the two. The
    entries, in the order of ``interactions.tocoo()``, are permuted as ``RandomState.shuffle``
    permutes ``arange(nnz)``; the first ``int((1 - test_percentage) * nnz)`` of them are the
    training set, in that order. The same seed therefore splits two matrices with the same
    entries in the same order, such as interactions and their weights, alike.

    Parameters
    ----------
    interactions : sparse matrix or array, shape (n_users, n_items)
        Any format and dtype. It is left as it is.
    test_percentage : float, default 0.2
        Share of the entries that go to the test set, from 0 to 1.
    random_state : int, RandomState, Generator or None, default None
        Seed of the permutation. A RandomState is advanced exactly as ``shuffle`` advances it;
        None draws a new permutation at every call.

    Returns
    -------
    train, test : coo_matrix
        Both of the shape and dtype of ``interactions``, sharing no memory with it or each
        other; ``coo_array`` when ``interactions`` is a sparse array.

    Raises
    ------
    ValueError
        When ``interactions`` is not a two-dimensional sparse matrix, ``test_percentage`` lies
        outside [0, 1] or ``random_state`` is not a seed.
    """
    if not sp.issparse(interactions):
        raise ValueError(
            "interactions must be a scipy.sparse matrix or array, got "
            f"{type(interactions).__name__}; convert it with scipy.sparse.coo_matrix(...)"
        )
    if interactions.ndim != 2:
        raise ValueError(
            f"interactions must have two dimensions, users and items, got {interactions.ndim}"
        )
    if not isinstance(test_percentage, Real) or not 0 <= test_percentage <= 1:
        raise ValueError(
            "test_percentage must be a share between 0 and 1 (0.2 holds out a fifth), got "
            f"{test_percentage!r}"
        )
    random_state = check_random_state(random_state)

    coo = interactions.tocoo()
    row, col, data = _shuffled([coo.row, coo.col, coo.data], random_state)
    container = sp.coo_array if isinstance(interactions, sp.sparray) else sp.coo_matrix
    n_train = int((1 - test_percentage) * coo.nnz)
    train, test = (
        container((data[part], (row[part], col[part])), shape=coo.shape)
        for part in (slice(None, n_train), slice(n_train, None))
    )
    return train, test


def _shuffled(arrays: list[np.ndarray], random_state: np.random.RandomState) -> list[np.ndarray]:
    """Copies of the arrays, each in the order that ``random_state.shuffle`` would give it.

    The shuffle walks i from n - 1 down to 1, draws a partner j from 0 to i and swaps items i
    and j. One by one, these steps wait for mispredicted branches and for memory. So the
    partners in a long array are drawn vectorised first, and the swaps are left to LAPACK.
    """
    length = len(arrays[0])
    if not _PLAIN_SHUFFLE < length < 2**31:
        order = np.arange(length)
        random_state.shuffle(order)
        return [array.take(order) for array in arrays]

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
        drawn = words.compress(kept)
        partners[i - len(drawn) + 1 : i + 1] = drawn[::-1]
        i -= len(drawn)
    rest = np.arange(i + 1)
    random_state.shuffle(rest)

    def shuffled(array: np.ndarray) -> np.ndarray:
        if array.itemsize not in _INTERCHANGE or array.dtype.hasobject:
            return array.take(shuffled(np.arange(length)))
        interchange, stand_in = _INTERCHANGE[array.itemsize]
        column = array.copy().view(stand_in).reshape(-1, 1)
        array = interchange(column, partners, inc=-1, overwrite_a=True).ravel().view(array.dtype)
        array[: len(rest)] = array.take(rest)
        return array

    return [shuffled(array) for array in arrays]
