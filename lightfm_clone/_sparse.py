"""CSR matrices: rows by their numbers, parts out of files."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp


def rows_at(matrix: Any, numbers: npt.NDArray[np.int64]) -> Any:
    """The rows of a CSR matrix with these numbers, empty ones for -1."""
    if (numbers >= 0).all():
        return matrix[numbers]
    nothing = empty_rows(1, matrix.shape[1])
    known = numbers >= 0
    places = np.where(known, np.cumsum(known) - 1, known.sum())
    return sp.vstack([matrix[numbers[known]], nothing], format="csr")[places]


def empty_rows(n: int, n_columns: int) -> Any:
    """A CSR matrix of float32 without entries."""
    empty: Any = sp.csr_matrix
    return empty((n, n_columns), dtype=np.float32)


def check_csr(
    indptr: Any, indices: Any, shape: tuple[int, int], what: str, *, rows_rise: bool = True
) -> None:
    """Check that parts from a file make a CSR matrix, unless told otherwise with sorted, distinct
    indices."""
    n_rows, n_columns = shape
    if indptr.dtype != np.int64 or indptr.shape != (n_rows + 1,):
        raise ValueError(f"{what}/indptr cannot be {indptr.dtype} of shape {indptr.shape}")
    if indices.dtype != np.int32 or indices.ndim != 1:
        raise ValueError(f"the numbers of {what} cannot be {indices.dtype} of {indices.ndim} axes")
    if indptr[0] != 0 or (np.diff(indptr) < 0).any() or indptr[-1] != len(indices):
        raise ValueError(f"{what}/indptr must rise from 0 to {len(indices)}")
    if len(indices) and not 0 <= indices.min() <= indices.max() < n_columns:
        raise ValueError(f"{what} must hold numbers below {n_columns}")
    if not rows_rise:
        return
    falls = np.flatnonzero(np.diff(indices) <= 0) + 1
    if len(np.setdiff1d(falls, indptr)):
        raise ValueError(f"the numbers of each row of {what} must rise")
