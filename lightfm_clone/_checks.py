"""Every check and conversion of what a caller passes to a model.

The functions return what the compiled core takes and leave the caller's objects as they were.
"""

from __future__ import annotations

import os
import sys
import warnings
from copy import copy
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from lightfm_clone import _core

MAX_ID = np.iinfo(np.int32).max
MAX_COMPONENTS = 2**20
MAX_NEGATIVES = 2**16

# What a loss makes of the constructor's defaults.
_OF_LOSS = {"softmax": {"learning_schedule": ("adagrad", "sgd"), "learning_rate": (0.05, 0.1)}}


class ParameterError(ValueError, AssertionError):
    """A parameter has a bad value. (LightFM raised AssertionError for most of them.)"""


class UnsupportedError(ValueError, NotImplementedError):
    """A combination of arguments that is not supported."""


# ---- parameters ----------------------------------------------------------------------------------


def check_random_state(random_state: Any) -> np.random.RandomState:
    """Turn a seed into a ``numpy.random.RandomState``.

    None gives fresh entropy, a RandomState is returned as it is (and shared), a Generator
    seeds a new RandomState and is advanced by that.
    """
    if isinstance(random_state, np.random.RandomState):
        return random_state
    if random_state is None:
        return np.random.RandomState()
    if isinstance(random_state, np.random.Generator):
        return np.random.RandomState(random_state.integers(2**32, size=8, dtype=np.uint32))
    if isinstance(random_state, Integral) and 0 <= random_state < 2**32:
        return np.random.RandomState(int(random_state))
    raise ValueError(
        "random_state must be None, an integer from 0 to 2**32 - 1, a numpy RandomState or "
        f"a numpy Generator, got {random_state!r}"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and bool(np.isfinite(value))


def check_parameters(parameters: dict[str, Any], *, least_max_sampled: int = 1) -> dict[str, Any]:
    """The constructor's parameters, with `k`, `n` as int and `random_state` as a RandomState.

    Raises ParameterError for the first bad value.
    """

    def require(name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ParameterError(f"{name} must be {expected}, got {parameters[name]!r}")

    checked = dict(parameters)
    for name in ("k", "n"):
        require(name, _is_number(parameters[name]), "an integer >= 1")
        checked[name] = int(parameters[name])
    checked["random_state"] = check_random_state(parameters["random_state"])
    least = {"no_components": 1, "k": 1, "n": 1, "max_sampled": least_max_sampled}
    least["n_negatives"] = 1
    most = {"no_components": MAX_COMPONENTS, "n_negatives": MAX_NEGATIVES}
    for name, low in least.items():
        high = most.get(name, MAX_ID)
        holds = isinstance(checked[name], Integral) and low <= checked[name] <= high
        require(name, holds, f"an integer from {low} to {high}")
    for name, names in (("loss", _core.LOSSES), ("learning_schedule", _core.SCHEDULES)):
        require(name, parameters[name] in names, f"one of {', '.join(map(repr, names))}")
        checked[name] = str(parameters[name])  # a search may give a numpy.str_
    for name in ("item_alpha", "user_alpha", "epsilon"):
        require(name, _is_number(parameters[name]) and parameters[name] >= 0, "a number >= 0")
    holds = _is_number(parameters["rho"]) and 0 < parameters["rho"] < 1
    require("rho", holds, "a number in (0, 1)")
    share = parameters["stored_negatives"]
    require("stored_negatives", _is_number(share) and 0 <= share <= 1, "a number in [0, 1]")
    holds = _is_number(parameters["temperature"]) and parameters["temperature"] > 0
    require("temperature", holds, "a number > 0")
    require("learning_rate", _is_number(parameters["learning_rate"]), "a finite number")
    return checked


def training_settings(parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters a fit works with: checked, and defaults replaced by those of the loss."""
    settings = check_parameters(parameters, least_max_sampled=0)
    for name, (default, meant) in _OF_LOSS.get(settings["loss"], {}).items():
        if settings[name] == default:
            settings[name] = meant
    return settings


def directions(vectors: np.ndarray) -> np.ndarray:
    """Vectors float32 [n, d] divided by their lengths; a vector of zeros stays one."""
    # In double precision, where squares of small components do not vanish.
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return (vectors / np.where(norms == 0, 1, norms)[:, None]).astype(np.float32)


def check_num_threads(num_threads: int | None) -> int:
    """Number of threads to use; None means all CPUs this process may use."""
    if num_threads is None:
        return _core.threads_available()
    if not isinstance(num_threads, Integral) or not 1 <= num_threads <= MAX_ID:
        raise ValueError(
            f"num_threads must be an integer >= 1, or None for all CPUs, got {num_threads!r}"
        )
    return int(num_threads)


def check_growth(n: int | None, name: str, n_rows: int) -> int:
    """How many rows there are to be added to n_rows to make it n; None means none."""
    if n is None:
        return 0
    if not isinstance(n, Integral) or not n_rows <= n <= MAX_ID:
        raise ValueError(
            f"{name} must be an integer of at least {n_rows}, the number the model has, got {n!r}; "
            "a model cannot shrink: call fit to start afresh"
        )
    return int(n) - n_rows


def check_epochs(epochs: int) -> int:
    if not isinstance(epochs, Integral) or epochs < 0:
        raise ValueError(f"epochs must be an integer >= 0, got {epochs!r}")
    return int(epochs)


# ---- arrays --------------------------------------------------------------------------------------


def contiguous(array: Any, dtype: Any = None) -> np.ndarray:
    """A contiguous and aligned array, as the core reads it; the same one where it is both."""
    array = np.ascontiguousarray(array, dtype=dtype)
    return array if array.flags.aligned else array.copy()  # views of other types' bytes are not


# ---- matrices ------------------------------------------------------------------------------------


# The index arrays of the formats that have some.
_INDICES = {
    "coo": ("row", "col"),
    "csr": ("indptr", "indices"),
    "csc": ("indptr", "indices"),
    "bsr": ("indptr", "indices"),
    "dia": ("offsets",),
}


def as_valid_sparse(matrix: Any, name: str) -> Any:
    """A COO or compressed matrix of any type whose indices are within its shape.

    SciPy checks what a matrix is made of, but trusts what it holds later: on arrays that do not fit
    each other its conversions fail with any exception, or read and write beyond the arrays' ends.
    """
    try:
        return _checked(matrix)
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"{name} is not a valid sparse matrix: {error}") from error


def _checked(matrix: Any) -> Any:
    if sp.issparse(matrix):
        for part in _INDICES.get(matrix.format, ()):
            indices = getattr(matrix, part)
            # A masked array hides values from the checks, not from those who trust in them.
            masked = isinstance(indices, np.ma.MaskedArray)
            if masked or indices.ndim != 1 or indices.dtype.kind not in "iu":
                raise ValueError(f"its {part} must be a flat array of integers")
            if not isinstance(matrix.data, np.ndarray):
                raise ValueError("its data must be an array")
        if matrix.format in ("csr", "csc", "bsr"):
            matrix = copy(matrix)  # check_format tidies up the object it is called on
            matrix.check_format(full_check=True)
            if matrix.indptr[-1] <= 0 and matrix.indptr.any():  # SciPy looks no further there
                raise ValueError("index pointers must not fall")
            return matrix
        if matrix.format == "dia":
            # Made anew, it is checked; diagonals beyond its corners hold nothing.
            inside = (matrix.offsets > -matrix.shape[0]) & (matrix.offsets < matrix.shape[1])
            parts = matrix.data[inside], matrix.offsets[inside]
            matrix = type(matrix)(parts, shape=matrix.shape)
        elif matrix.format == "lil":
            lengths, others = ([*map(len, part)] for part in (matrix.rows, matrix.data))
            if len(lengths) != matrix.shape[0] or lengths != others:
                raise ValueError("its rows and data must be lists of the same lengths")
    coo = matrix.tocoo() if sp.issparse(matrix) else sp.coo_matrix(matrix)
    if not len(coo.row) == len(coo.col) == len(coo.data):
        raise ValueError(
            f"there must be as many rows and columns as values, got {len(coo.row)}, "
            f"{len(coo.col)} and {len(coo.data)}"
        )
    for axis, indices in enumerate((coo.row, coo.col)):
        if len(indices) and (indices.min() < 0 or indices.max() >= coo.shape[axis]):
            raise ValueError(
                f"there are {'row' if axis == 0 else 'column'} indices from {indices.min()} to "
                f"{indices.max()}, outside its shape {coo.shape}"
            )
    return coo


def _as_sparse(matrix: Any, name: str) -> Any:
    """A COO or compressed matrix of numbers whose indices are within its shape."""
    is_dense = isinstance(matrix, np.ndarray) and not isinstance(matrix, np.ma.MaskedArray)
    if not sp.issparse(matrix) and not (is_dense and matrix.ndim == 2):
        raise ValueError(
            f"{name} must be a scipy sparse matrix or a two-dimensional numpy array, got "
            f"{type(matrix).__name__}; build one with lightfm_clone.data.Dataset or "
            "scipy.sparse.coo_matrix"
        )
    if matrix.ndim != 2:
        raise ValueError(f"{name} must have two dimensions, got shape {matrix.shape}")
    if max(matrix.shape) > MAX_ID:
        raise ValueError(f"{name} may have at most 2**31 - 1 rows and columns, got {matrix.shape}")
    dtype = getattr(matrix, "dtype", None)  # SciPy asks the data, whatever it has been replaced by
    if dtype is not None and dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, got dtype {dtype}")
    return as_valid_sparse(matrix, name)


def _check_finite(values: np.ndarray, name: str) -> None:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity; remove or replace them")


def as_coo(matrix: Any, name: str) -> Any:
    """A COO matrix with valid entries; shares its arrays with the caller's where it can."""
    coo = _as_sparse(matrix, name).tocoo()
    _check_finite(coo.data, name)
    return coo


def as_csr(matrix: Any, name: str) -> Any:
    """A CSR float32 matrix with valid entries; shares its arrays with the caller's where it can."""
    csr = _as_sparse(matrix, name).tocsr()
    _check_finite(csr.data, name)
    if csr.dtype != np.float32:
        with np.errstate(over="ignore"):
            csr = csr.astype(np.float32)
        _check_finite(csr.data, name)
    return csr


def csr_parts(csr: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the core reads of a CSR matrix: indptr int64, indices int32, data."""
    return (
        contiguous(csr.indptr, dtype=np.int64),
        contiguous(csr.indices, dtype=np.int32),
        contiguous(csr.data),
    )


class TrainingSet(NamedTuple):
    """Stored interactions as parallel arrays in the caller's order."""

    rows: np.ndarray  # int32
    cols: np.ndarray  # int32
    positive: np.ndarray | None  # bool, None when every value is > 0
    values: np.ndarray | None  # float64, None unless the loss uses them
    weights: np.ndarray | None  # float32, None when every weight is 1
    shape: tuple[int, int]

    def mean(self) -> float:
        """The weighted mean of the values; 0 where there are none."""
        weights = np.ones(len(self.rows)) if self.weights is None else self.weights
        total = weights.sum(dtype=np.float64)
        return float(np.dot(self.values, weights) / total) if total > 0 else 0.0


def _check_weights(sample_weight: Any, interactions: Any, coo: Any) -> np.ndarray | None:
    """Sample weights as float32 [nnz], or None where all are 1; `coo` are the interactions."""
    if not sp.issparse(sample_weight) or sample_weight.format != "coo":
        raise ValueError(
            "sample_weight must be a COO matrix with the entries of interactions, got "
            f"{type(sample_weight).__name__}; Dataset.build_interactions makes one"
        )
    if sample_weight.shape != coo.shape:
        raise ValueError(
            f"sample_weight must have the shape of interactions, {coo.shape}, got "
            f"{sample_weight.shape}"
        )
    given = coo if sample_weight is interactions else as_coo(sample_weight, "sample_weight")
    if not (np.array_equal(given.row, coo.row) and np.array_equal(given.col, coo.col)):
        raise ValueError(
            "sample_weight must have the entries of interactions in the same order: its row "
            "and col arrays differ from theirs"
        )
    with np.errstate(over="ignore"):
        weights = contiguous(given.data, dtype=np.float32)
    _check_finite(weights, "sample_weight")
    return None if (weights == 1).all() else weights


def check_training_set(interactions: Any, sample_weight: Any, loss: str) -> TrainingSet:
    """Check interactions and their weights."""
    coo = as_coo(interactions, "interactions")
    positive = coo.data > 0
    values = weights = None
    if loss == "mse":
        with np.errstate(over="ignore"):
            _check_finite(coo.data.astype(np.float32), "interactions")
        values = coo.data.astype(np.float64)
    if sample_weight is not None:
        try:
            weights = _check_weights(sample_weight, interactions, coo)
        except ValueError as error:
            if loss != "warp-kos":
                raise
            # LightFM has no weights for warp-kos and raises NotImplementedError for any.
            raise UnsupportedError(str(error)) from error
    return TrainingSet(
        contiguous(coo.row, dtype=np.int32),
        contiguous(coo.col, dtype=np.int32),
        None if positive.all() else positive,
        values,
        weights,
        coo.shape,
    )


class Features(NamedTuple):
    """A feature matrix for training."""

    n_rows: int
    n_columns: int
    parts: tuple[np.ndarray, np.ndarray, np.ndarray] | None  # of CSR; None is the identity


def check_features(features: Any, name: str, n_rows: int) -> Features:
    """Check a feature matrix for the users or items of the interactions; None is the identity."""
    if features is None:
        return Features(n_rows, n_rows, None)
    csr = as_csr(features, name)
    if csr.shape[0] < n_rows:
        raise ValueError(
            f"{name} must have a row for each of the {n_rows} {name.split('_')[0]}s of "
            f"interactions, got {csr.shape[0]} rows"
        )
    # An explicit identity is the same model as none, and trains faster as none.
    return Features(*csr.shape, None if is_identity(csr) else csr_parts(csr))


def warn_without_features(name: str) -> None:
    """Warn that a model fitted with a feature matrix is used without one, where that is done."""
    # The first caller outside this package, however many of its functions lie between.
    # (Python 3.12 has skip_file_prefixes for this.)
    package = os.path.join(os.path.dirname(__file__), "")
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(package):
        frame, level = frame.f_back, level + 1
    warnings.warn(
        f"the model was fitted with {name} and is used without: ids are taken as single features; "
        f"pass the {name} of the fit",
        stacklevel=level,
    )


def is_identity(csr: Any) -> bool:
    """Whether a CSR matrix is a square identity matrix."""
    n = csr.shape[0]
    return (
        csr.shape == (n, n)
        and csr.nnz == n
        and bool((csr.data == 1).all())
        and np.array_equal(csr.indptr, np.arange(n + 1))
        and np.array_equal(csr.indices, np.arange(n))
    )


# ---- ids -----------------------------------------------------------------------------------------


def check_ids(ids: Any, name: str, n_rows: int, rows_name: str) -> np.ndarray:
    """Ids of [0, n_rows) as an int32 array [n], or [1] for a single integer.

    Lists, tuples, ranges, pandas Series and Index, arrays of any integer dtype, and floats that
    are whole numbers are accepted.
    """
    if np.ma.is_masked(ids):  # the values behind the mask would escape the checks below
        raise ValueError(f"{name} must not be masked; leave out what is missing")
    if isinstance(ids, np.ndarray) and ids.dtype.kind == "i" and ids.ndim == 1 and ids.size:
        array = np.asarray(ids)
    elif isinstance(ids, str | bytes):
        raise ValueError(f"{name} must be integers, got the string {ids!r}")
    else:
        try:
            array = np.asarray(ids)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{name} must be a flat sequence of integers: {error}") from error
        if array.ndim > 1:
            raise ValueError(f"{name} must be one-dimensional, got shape {array.shape}")
        array = array.reshape(-1)
        if array.size == 0:
            raise ValueError(f"{name} is empty: there is nothing to score")
        if array.dtype.kind == "f":
            if not np.isfinite(array).all() or (array != np.trunc(array)).any():
                raise ValueError(f"{name} must be whole numbers, got fractions, NaN or infinity")
        elif array.dtype.kind == "O":
            if not all(isinstance(value, Integral) for value in array.tolist()):
                raise ValueError(
                    f"{name} must be integers that fit 32 bits, got objects; map your own ids to "
                    "row numbers with Dataset.mapping()"
                )
        elif array.dtype.kind not in "iu":
            raise ValueError(
                f"{name} must be integers, got {array.dtype}; map your own ids to row numbers "
                "with Dataset.mapping()"
            )
    if array.dtype.kind == "i":  # negative ones are the highest of all when read as unsigned
        fits = array.view(array.dtype.str.replace("i", "u")).max() < n_rows
    else:
        fits = array.min() >= 0 and array.max() < n_rows
    if not fits:
        low, high = array.min(), array.max()
        if low < 0:
            raise ValueError(f"{name} must not be negative, got {low}")
        if high > MAX_ID:
            raise ValueError(f"{name} must fit a 32-bit integer, got {high}")
        raise ValueError(f"{name} must be below {n_rows}, the number of {rows_name}, got {high}")
    return contiguous(array, dtype=np.int32)


def check_exclude(exclude: Any, n_rows: int, exactly: bool, n_items: int) -> Any:
    """Interactions to leave out, as CSR with n_items columns and n_rows rows (or more).

    Shares its arrays with the caller's where it can; the values mean nothing, and stay as they are.
    """
    csr = _as_sparse(exclude, "exclude").tocsr()
    if csr.shape[0] < n_rows or (exactly and csr.shape[0] != n_rows):
        raise ValueError(
            f"exclude must have {n_rows} rows{'' if exactly else ' or more'}, one for each user"
            f"{' asked for' if exactly else ', so that row i is that of user i'}; got "
            f"{csr.shape[0]}"
        )
    if csr.shape[1] > n_items:
        raise ValueError(
            f"exclude must not have more columns than there are items, {n_items}, got "
            f"{csr.shape[1]}; pass the item_features of all items"
        )
    return type(csr)((csr.data, csr.indices, csr.indptr), shape=(csr.shape[0], n_items))


def check_representations(
    given: Any, name: str, no_components: int
) -> tuple[np.ndarray, np.ndarray]:
    """Biases float32 [n] and embeddings float32 [n, no_components]."""
    try:
        biases, embeddings = (contiguous(part, dtype=np.float32) for part in given)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be a pair of arrays, biases [n] and embeddings [n, no_components], as "
            f"fold_in_users and get_user_representations return them: {error}"
        ) from error
    if embeddings.shape != (biases.size, no_components) or biases.ndim != 1:
        raise ValueError(
            f"{name} must be biases [n] and embeddings [n, {no_components}], got shapes "
            f"{biases.shape} and {embeddings.shape}"
        )
    return biases, embeddings


def check_rankable(
    side: str, biases: np.ndarray, vectors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The representations of users or items, if there is an order among what they score."""
    if not (np.isfinite(biases).all() and np.isfinite(vectors).all()):
        raise ValueError(
            f"the representations of some {side}s are NaN or infinite, so there is no ranking; "
            "check the arrays that were assigned to the model"
        )
    return biases, vectors


def check_lists(ids: Any, n_items: int) -> np.ndarray:
    """Recommended lists, one per row, as an integer array [n, k]; -1 stands for no item."""
    try:
        array = np.asarray(ids)
    except ValueError:
        array, found = None, "rows of different lengths"
    else:
        found = f"{array.dtype} of shape {array.shape}"
    if array is None or array.ndim != 2 or array.dtype.kind not in "iu":
        raise ValueError(
            "ids must be an integer array [n, k] of item ids, the first of the two that "
            f"model.recommend returns, with -1 to fill up short lists; got {found}"
        )
    if array.size and not (array.min() >= -1 and array.max() < n_items):
        raise ValueError(
            f"ids must be below {n_items}, the number of items, or -1 for none, got values from "
            f"{array.min()} to {array.max()}"
        )
    return array
