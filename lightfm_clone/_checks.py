"""Checks and conversions of what a caller passes to a model, whatever it is passed for.

The functions return what the compiled core takes and leave the caller's objects as they were.
(The constructor's parameters are checked in `_model/parameters.py`.)
"""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from copy import copy
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import scipy.sparse as sp

from lightfm_clone import _core

MAX_ID = np.iinfo(np.int32).max
_EARLIEST = 1e6  # numbers of at least this size may be times, in seconds


class UnsupportedError(ValueError, NotImplementedError):
    """A combination of arguments that is not supported."""


# ---- names ---------------------------------------------------------------------------------------

# What other libraries call an argument, and what it is called here, where a function has it.
_OURS = {
    "n_jobs": ("num_threads",),
    "n_threads": ("num_threads",),
    "threads": ("num_threads",),
    "N": ("k",),
    "top_k": ("k",),
    "topk": ("k",),
    "num_items": ("k",),
    "factors": ("no_components",),
    "n_factors": ("no_components",),
    "num_factors": ("no_components",),
    "n_components": ("no_components",),
    "num_components": ("no_components",),
    "embedding_dim": ("no_components",),
    "weight": ("sample_weight",),
    "weights": ("sample_weight",),
    "sample_weights": ("sample_weight",),
    "features": ("user_features", "item_features"),
    "iterations": ("epochs",),
    "n_iter": ("epochs",),
    "n_epochs": ("epochs",),
    "num_epochs": ("epochs",),
    "lr": ("learning_rate",),
    "seed": ("random_state",),
    "test_size": ("test_percentage",),
    "test_fraction": ("test_percentage",),
    "regularization": ("item_alpha", "user_alpha"),
    "alpha": ("item_alpha", "user_alpha"),
    "filter_items": ("exclude",),
    "train": ("train_interactions", "exclude", "interactions"),
    "test": ("test_interactions",),
    "users": ("user_ids",),
    "items": ("item_ids",),
    "userid": ("user_ids",),
    "itemid": ("item_ids",),
    "userids": ("user_ids",),
    "itemids": ("item_ids",),
}

# Names that some functions have here, and what others have instead.
_INSTEAD = {
    "n": ("k",),
    "train_interactions": ("exclude", "interactions"),
    "interactions": ("test_interactions", "exclude"),
}

_Function = TypeVar("_Function", bound=Callable[..., Any])


def name_here(name: str, names: Iterable[str]) -> str:
    """What to say of an argument that is unknown: its name among these, if it has one."""
    names = list(names)
    ours = [one for one in (_OURS | _INSTEAD).get(name, ()) if one in names]
    if "n" in names and ours == ["k"]:  # those of warp-kos, no number of items
        ours = []
    alike = [one for one in names if not _other_side(name, one)]
    ours = ours or difflib.get_close_matches(name, alike, 1, 0.7)
    if ours:
        return f"it is called {' or '.join(ours)} here"
    elsewhere = ""
    if name in _OURS:
        elsewhere = f"{' or '.join(_OURS[name])}, as it is called, belongs elsewhere, and "
    return f"{elsewhere}the arguments are {', '.join(sorted(names))}"


def _other_side(name: str, other: str) -> bool:
    """Whether one of two names is about users and the other about items."""
    return any(a in name and b in other for a, b in (("user", "item"), ("item", "user")))


def names_ours(function: _Function) -> _Function:
    """Make a function answer unknown keywords, and too many positions, with the names it has."""
    taken = inspect.signature(function).parameters
    takes_any = any(one.kind is one.VAR_KEYWORD for one in taken.values())
    places = [one.name for one in taken.values() if one.kind is one.POSITIONAL_OR_KEYWORD]
    by_place = [name for name in places if name != "self"]
    by_name = [one.name for one in taken.values() if one.kind is one.KEYWORD_ONLY]

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if not (takes_any or kwargs.keys() <= taken.keys()):
            name = next(name for name in kwargs if name not in taken)
            free = [one for one in [*taken][len(args) :] if one not in kwargs and one != "self"]
            raise TypeError(
                f"{checked.__qualname__}() got an unexpected keyword argument {name!r}; "
                f"{name_here(name, free)}"
            )
        if len(args) > len(places) and by_name:
            n_passed = len(args) - len(places) + len(by_place)
            raise TypeError(
                f"{checked.__qualname__}() takes {len(by_place)} arguments by their place "
                f"({', '.join(by_place)}) and got {n_passed}; pass the others by name, as "
                f"{', '.join(f'{name}=...' for name in by_name[:2])}"
            )
        return function(*args, **kwargs)

    return cast(_Function, checked)


# ---- types ---------------------------------------------------------------------------------------

# They answer bool, and narrow nothing. To a type checker no int is an Integral and no float a Real,
# so it takes what follows such an isinstance for unreachable, and does not look at it.


def is_integer(value: object) -> bool:
    """Whether this is a whole number of any type, of NumPy's too."""
    return isinstance(value, Integral)


def is_real(value: object) -> bool:
    """Whether this is a number of any type, of NumPy's too, but for complex ones."""
    return isinstance(value, Real)


def is_sparse(value: object) -> bool:
    """Whether this is a sparse matrix or array of SciPy, of any format."""
    return bool(sp.issparse(value))


# ---- numbers -------------------------------------------------------------------------------------


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
    if is_integer(random_state) and 0 <= random_state < 2**32:
        return np.random.RandomState(int(random_state))
    raise ValueError(
        "random_state must be None, an integer from 0 to 2**32 - 1, a numpy RandomState or "
        f"a numpy Generator, got {random_state!r}"
    )


def check_num_threads(num_threads: int | None) -> int:
    """Number of threads to use; None means all CPUs this process may use."""
    if type(num_threads) is int and 1 <= num_threads <= MAX_ID:  # as nearly every request asks
        return num_threads
    if num_threads is None:
        return _core.threads_available()
    if not is_integer(num_threads) or not 1 <= num_threads <= MAX_ID:
        raise ValueError(
            f"num_threads must be an integer >= 1, or None for all CPUs, got {num_threads!r}"
        )
    return int(num_threads)


def check_growth(n: int | None, name: str, n_rows: int) -> int:
    """How many rows there are to be added to n_rows to make it n; None means none."""
    if n is None:
        return 0
    if not is_integer(n) or not n_rows <= n <= MAX_ID:
        raise ValueError(
            f"{name} must be an integer of at least {n_rows}, the number the model has, got {n!r}; "
            "a model cannot shrink: call fit to start afresh"
        )
    return int(n) - n_rows


def check_epochs(epochs: int) -> int:
    if not is_integer(epochs) or epochs < 0:
        raise ValueError(f"epochs must be an integer >= 0, got {epochs!r}")
    return int(epochs)


def check_k(k: Any) -> None:
    """Check the length of lists."""
    if not is_integer(k) or not 1 <= k <= MAX_ID:
        is_matrix = is_sparse(k) or np.ndim(k) > 1
        given = "a matrix; to leave out known items, pass exclude=matrix" if is_matrix else repr(k)
        raise ValueError(f"k must be an integer from 1 to {MAX_ID}, got {given}")


# ---- arrays --------------------------------------------------------------------------------------


def contiguous(array: Any, dtype: Any = None) -> Any:
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
    if is_sparse(matrix):
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
    coo = matrix.tocoo() if is_sparse(matrix) else sp.coo_matrix(matrix)
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


def check_matrix(matrix: Any, name: str) -> None:
    """Check what can be told of a matrix without looking at its entries."""
    is_dense = isinstance(matrix, np.ndarray) and not isinstance(matrix, np.ma.MaskedArray)
    if not is_sparse(matrix) and not (is_dense and matrix.ndim == 2):
        raise ValueError(
            f"{name} must be a scipy sparse matrix or a two-dimensional numpy array, got "
            f"{type(matrix).__name__}; {_matrix_maker(matrix, name)}"
        )
    if matrix.ndim != 2:
        raise ValueError(f"{name} must have two dimensions, got shape {matrix.shape}")
    if max(matrix.shape) > MAX_ID:
        raise ValueError(f"{name} may have at most 2**31 - 1 rows and columns, got {matrix.shape}")
    dtype = getattr(matrix, "dtype", None)  # SciPy asks the data, whatever it has been replaced by
    if dtype is not None and dtype.kind not in "biuf":
        remedy = "convert it with astype('float32')"
        if is_dense and isinstance(matrix.flat[0] if matrix.size else None, str | bytes):
            remedy = _matrix_maker(matrix, name)
        raise ValueError(f"{name} must hold real numbers, got dtype {dtype}; {remedy}")


def _matrix_maker(given: Any, name: str) -> str:
    """What makes the matrix of this name of what was given."""
    library = type(given).__module__.split(".")[0]
    is_table = library in ("pandas", "polars", "pyarrow")
    if name.endswith("_features"):
        if is_table:
            return f"lightfm_clone.data.Dataset.from_frame takes such a table as {name}"
        return f"lightfm_clone.data.Dataset.build_{name} makes one of (id, names) pairs"
    if is_table:
        array = "table.to_pandas().to_numpy()" if library == "pyarrow" else "table.to_numpy()"
        return (
            "lightfm_clone.data.Dataset.from_frame makes matrices of a table with a row for each "
            f"interaction, and scipy.sparse.coo_matrix({array}) of one with a row for each user "
            "and a column for each item, 0 where there is none"
        )
    return (
        "lightfm_clone.data.Dataset.build_interactions makes one of (user, item) pairs, and "
        "scipy.sparse.coo_matrix one of arrays of numbers"
    )


def check_finite(values: Any, name: str) -> None:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(
            f"{name} must be finite, got NaN or infinity; remove or replace them: in a table "
            "with NaN for pairs that are missing, numpy.nan_to_num(table) leaves these out"
        )


def as_float32(values: Any, name: str) -> Any:
    """The values as a contiguous float32 array, if all are finite in it."""
    with np.errstate(over="ignore"):
        single = contiguous(values, dtype=np.float32)
    check_finite(single, name)
    return single


def as_coo(matrix: Any, name: str) -> Any:
    """A COO matrix with valid entries; shares its arrays with the caller's where it can."""
    check_matrix(matrix, name)
    coo = as_valid_sparse(matrix, name).tocoo(copy=False)
    check_finite(coo.data, name)
    return coo


class CheckedCsr(sp.csr_matrix):
    """A CSR float32 matrix that has been checked, so that it is not checked again."""


def trusted(csr: Any) -> CheckedCsr:
    """A valid CSR matrix as float32, which is not checked again, its rows sorted."""
    with np.errstate(over="ignore"):
        data = csr.data.astype(np.float32, copy=False)
    matrix = CheckedCsr((data, csr.indices, csr.indptr), shape=csr.shape)
    return matrix if matrix.has_sorted_indices else matrix.sorted_indices()


def as_csr(matrix: Any, name: str) -> Any:
    """A CSR float32 matrix with valid entries; shares its arrays with the caller's where it can."""
    if isinstance(matrix, CheckedCsr):
        return matrix
    check_matrix(matrix, name)
    csr = as_valid_sparse(matrix, name).tocsr()
    check_finite(csr.data, name)
    if csr.dtype != np.float32:
        with np.errstate(over="ignore"):
            csr = csr.astype(np.float32)
        check_finite(csr.data, name)
    return csr


def csr_parts(csr: Any) -> tuple[Any, Any, Any]:
    """What the core reads of a CSR matrix: indptr int64, indices int32, data."""
    return (
        contiguous(csr.indptr, dtype=np.int64),
        contiguous(csr.indices, dtype=np.int32),
        contiguous(csr.data),
    )


def csr_rows(csr: Any, rows: Any, name: str) -> tuple[Any, Any, Any, Any]:
    """Arrays for `_core.sum_features`: indptr, indices, data, and which rows of them.

    Those of the matrix itself where the core reads their types, whatever its size; else copies of
    the rows asked for. What they hold is checked by the core.
    """
    indptr, indices, data = csr.indptr, csr.indices, csr.data
    for part in (indptr, indices, data):
        if not isinstance(part, np.ndarray) or part.ndim != 1 or np.ma.isMaskedArray(part):
            raise ValueError(f"{name} is not a valid sparse matrix: its parts must be flat arrays")
    if len(indptr) != csr.shape[0] + 1 or len(indices) != len(data):
        raise ValueError(f"{name} is not a valid sparse matrix: its parts do not fit its shape")
    parts = indptr, indices, data
    if (
        all(part.flags.c_contiguous and part.flags.aligned for part in parts)
        and indptr.dtype == indices.dtype
        and indices.dtype in (np.int32, np.int64)
        and data.dtype in (np.float32, np.float64)
    ):
        return indptr, indices, data, rows
    begins, ends = indptr[rows].astype(np.int64), indptr[rows + 1].astype(np.int64)
    if (begins < 0).any() or (ends < begins).any() or (ends > len(indices)).any():
        raise ValueError(f"{name} is not a valid sparse matrix: index pointers must not fall")
    of_rows = np.append(0, np.cumsum(ends - begins))
    at = np.arange(of_rows[-1]) + np.repeat(begins - of_rows[:-1], ends - begins)
    return (
        of_rows,
        indices[at].astype(np.int64),
        data[at].astype(np.float64),
        np.arange(len(rows), dtype=np.int32),
    )


def check_pairs(interactions: Any, name: str) -> None:
    """Refuse a dense array whose rows are pairs of ids, with a weight and a time perhaps.

    Read as a table with a row for each user and a column for each item it would train silently on
    two to four items. Whole numbers above 1 in so few columns are hardly ever anything else.
    """
    if not isinstance(interactions, np.ndarray) or interactions.ndim != 2:
        return
    n, width = interactions.shape
    if width not in (2, 3, 4) or n < 2 or interactions.dtype.kind not in "iuf":
        return
    if width == 4 and not interactions[:, 3].min() >= _EARLIEST:
        return
    ids = interactions[:, :2]
    if ids.min() < 0 or ids.max() <= 1 or (ids % 1 != 0).any():  # NaN is no whole number
        return
    if len(np.unique(ids)) <= 5 and ids.max() <= 5 and interactions.dtype.kind == "f":
        return  # a toy table of ratings
    what = ", ".join(["user", "item", "weight", "time"][:width])
    raise ValueError(
        f"{name} must be a matrix [n_users, n_items], got an array of shape {(n, width)} that "
        f"looks like rows of ({what}); Dataset.build_interactions makes the matrix of rows of "
        "(user, item) or (user, item, weight), and scipy.sparse.coo_matrix((values, (users, "
        f"items))) that of row numbers. If it is a table of {width} items, pass "
        "scipy.sparse.coo_matrix(array)"
    )


class Features(NamedTuple):
    """A feature matrix for training."""

    n_rows: int
    n_columns: int
    parts: tuple[Any, Any, Any] | None  # of CSR; None is the identity
    matrix: Any  # the whole, checked; None where none was given


def check_features(features: Any, name: str, n_rows: int) -> Features:
    """Check a feature matrix for the users or items of the interactions; None is the identity."""
    if features is None:
        return Features(n_rows, n_rows, None, None)
    csr = as_csr(features, name)
    if csr.shape[0] < n_rows:
        raise ValueError(
            f"{name} must have a row for each of the {n_rows} {name.split('_')[0]}s of "
            f"interactions, got {csr.shape[0]} rows"
        )
    # An explicit identity is the same model as none, and trains faster as none.
    n, n_columns = csr.shape
    return Features(n, n_columns, None if is_identity(csr) else csr_parts(csr), csr)


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


_PLAIN_IDS = (np.dtype(np.int32), np.dtype(np.int64))


def check_ids(ids: Any, name: str, n_rows: int, noun: str, side: str) -> Any:
    """Row numbers in [0, n_rows) as an int32 array [n], or [1] for a single integer.

    Lists, tuples, ranges, pandas Series and Index, arrays of any integer dtype, and floats that
    are whole numbers are accepted. `noun` says what the rows are, `side` whose.
    """
    # As a service asks: it shall not wait for NumPy, nor for several passes.
    if type(ids) is int and 0 <= ids < n_rows:
        return np.array([ids], dtype=np.int32)
    if type(ids) is np.ndarray and ids.dtype in _PLAIN_IDS and ids.ndim == 1 and ids.size:
        if ids.flags.c_contiguous and ids.flags.aligned:
            rows = _core.rows_of_ids(ids, n_rows)
            if rows is not None:
                return rows
    if isinstance(ids, np.ma.MaskedArray) and np.ma.is_masked(ids):
        # The values behind the mask would escape the checks below.
        raise ValueError(f"{name} must not be masked; leave out what is missing")
    remedy = f"Dataset.{side}s_to_ids gives the row numbers of your own ids"
    if isinstance(ids, np.ndarray) and ids.dtype.kind == "i" and ids.ndim == 1 and ids.size:
        array = np.asarray(ids)
    elif isinstance(ids, str | bytes):
        raise ValueError(f"{name} must be integers, row numbers, got the text {ids!r}; {remedy}")
    elif is_sparse(ids) or getattr(ids, "ndim", 1) > 1:
        raise ValueError(
            f"{name} must be one-dimensional row numbers, got a matrix of shape {ids.shape}"
            + ("; to leave out known items, pass exclude=matrix" if side == "user" else "")
        )
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
            if not all(is_integer(value) for value in array.tolist()):
                raise ValueError(
                    f"{name} must be integers that fit 32 bits, got objects such as "
                    f"{array.tolist()[0]!r}; {remedy}"
                )
        elif array.dtype.kind not in "iu":
            raise ValueError(
                f"{name} must be integers, row numbers, got {array.dtype} such as "
                f"{array.tolist()[0]!r}; {remedy}"
            )
    if array.dtype.kind == "i":  # negative ones are the highest of all when read as unsigned
        fits = array.view(_UNSIGNED[array.dtype.str]).max() < n_rows
    else:
        fits = array.min() >= 0 and array.max() < n_rows
    if not fits:
        low, high = array.min(), array.max()
        if low < 0:
            raise ValueError(f"{name} must not be negative, got {low}")
        if high > MAX_ID:
            raise ValueError(f"{name} must fit a 32-bit integer, got {high}")
        raise ValueError(f"{name} must be below {n_rows}, the number of {noun}, got {high}")
    return contiguous(array, dtype=np.int32)


# The unsigned integers of the same bytes.
_UNSIGNED = {
    f"{order}i{size}": np.dtype(f"{order}u{size}")
    for order, size in [("|", 1), *((order, size) for order in "<>" for size in (2, 4, 8))]
}


def check_exclude(exclude: Any, n_rows: int, exactly: bool, n_items: int) -> Any:
    """Interactions to leave out, as CSR with n_items columns and n_rows rows (or more).

    Shares its arrays with the caller's where it can; the values mean nothing, and stay as they are.
    """
    check_matrix(exclude, "exclude")
    csr = as_valid_sparse(exclude, "exclude").tocsr()
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


def check_representations(given: Any, name: str, no_components: int) -> tuple[Any, Any]:
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


def check_rankable(side: str, biases: Any, vectors: Any) -> tuple[Any, Any]:
    """The representations, if there is an order among what they score."""
    if not (np.isfinite(biases).all() and np.isfinite(vectors).all()):
        raise ValueError(
            f"the representations of some {side}s are NaN or infinite, so there is no ranking; "
            "check the arrays that were assigned to the model"
        )
    return biases, vectors


def check_lists(ids: Any, n_items: int) -> Any:
    """Recommended lists, one per row, as an integer array [n, k]; -1 stands for no item."""
    array: Any = None
    try:
        array = np.asarray(ids)
    except ValueError:
        found = "rows of different lengths"
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
