"""Inputs that no sane caller passes, and what must hold for whatever is made of them.

Every generator takes a source of choices, so that hypothesis, a seeded random generator and
Atheris can all drive it: an object with ``pick(options)`` and ``integer(low, high)``.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import math
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from hypothesis import strategies as st

# What a call may raise. Their subclasses are welcome, but not those of LookupError and the like.
DOCUMENTED = (ValueError, TypeError, OSError, MemoryError)


class Random:
    """Choices from a seed."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)

    def pick(self, options: Sequence[Any]) -> Any:
        return options[int(self._random.random() * len(options))]

    def integer(self, low: int, high: int) -> int:
        return low + int(self._random.random() * (high - low + 1))


class Drawn:
    """Choices of hypothesis, from ``st.data()``."""

    def __init__(self, data: st.DataObject) -> None:
        self._draw = data.draw

    def pick(self, options: Sequence[Any]) -> Any:
        return options[self._draw(st.integers(0, len(options) - 1))]

    def integer(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))


# ---- sparse matrices -----------------------------------------------------------------------------

_FORMATS = ("coo", "csr", "csc", "bsr", "lil", "dok", "dia")
_DTYPES = ("f4", "f4", "f8", "i4", "i8", "i1", "u1", "?", "u2", "g", "u8", "u4", "c8")
# Half of the matrices are merely unusual.
_FLAWS = (
    *["none"] * 12,
    *("unsorted", "duplicated", "explicit zeros", "negative values", "int64 indices", "read-only"),
    *("strided", "memory-mapped", "array container", "foreign byte order", "stale flags"),
    *("row beyond", "row negative", "column beyond", "column negative", "column huge"),
    *("indptr short", "indptr long", "indptr falls", "indptr starts late", "indptr ends late"),
    *("indptr negative", "indices short", "data short", "data long", "data 2-D", "indices 2-D"),
    *("float indices", "bool indices", "int16 indices", "uint64 indices", "object indices"),
    *("NaN", "infinity", "beyond float32", "object data", "text data", "complex data"),
    *("huge shape", "int64 shape", "shape shrunk", "shape grown", "no rows", "no columns"),
    *("indptr None", "data None", "list data", "shape lies"),
)
_NOT_SPARSE = (
    *(None, 3, "a matrix", b"", [[1, 0], [0, 1]], (), {}, object(), np.float32(1), 1j),
    *(np.ones(3), np.ones((2, 2, 2)), np.array(1.0), np.array([["a"]]), np.array([[None]])),
    *(np.ma.masked_all((2, 2)), np.zeros((2, 2), [("x", "f4")]), type),
)


def matrix(c: Any, n_rows: int, n_columns: int) -> Any:
    """A matrix of about that shape, with a flaw or none."""
    if c.integer(0, 30) == 0:
        return c.pick(_NOT_SPARSE)
    flaw = c.pick(_FLAWS)
    if flaw == "no rows":
        n_rows = 0
    elif flaw == "no columns":
        n_columns = 0
    elif flaw == "shape shrunk":
        n_rows, n_columns = max(n_rows - c.integer(0, 2), 0), max(n_columns - c.integer(0, 2), 0)
    elif flaw == "shape grown":
        n_rows, n_columns = n_rows + c.integer(0, 3), n_columns + c.integer(0, 3)
    elif flaw == "huge shape":
        # A CSR matrix of 2**31 rows takes 8 GB and more, and products of as many columns: both
        # are refused where memory has a limit.
        many = 2**31 - 1 if memory_is_limited() else 10**6
        n_rows, n_columns = c.pick([(many, 3), (3, many), (many, many)])
    elif flaw == "int64 shape":
        n_rows, n_columns = c.pick([(2**40, 3), (3, 2**62), (2**31, 2**31)])
    n_entries = c.integer(0, 24) if n_rows and n_columns else 0
    rows = np.array([c.integer(0, n_rows - 1) for _ in range(n_entries)], np.int64)
    columns = np.array([c.integer(0, n_columns - 1) for _ in range(n_entries)], np.int64)
    values = np.array([c.pick((1, 1, 1, 2, 4)) for _ in range(n_entries)], c.pick(_DTYPES))
    if flaw == "negative values" and values.dtype.kind in "if":
        values = -values
    if flaw == "explicit zeros":
        values[::2] = 0
    coo = sp.coo_matrix((values, (rows, columns)), (n_rows, n_columns))
    if flaw == "duplicated" and n_entries:
        coo = sp.coo_matrix(
            (np.tile(values, 3), (np.tile(rows, 3), np.tile(columns, 3))), coo.shape
        )
    kind = c.pick(_FORMATS)
    if max(n_rows, n_columns) >= 10**6:
        # Other formats take 16 GB before anybody has asked us anything.
        kind = "csr" if n_rows < 10**6 and c.integer(0, 1) else "coo"
    if flaw == "array container":
        coo = sp.coo_array(coo)
    if kind == "dok" and flaw == "duplicated":
        coo.sum_duplicates()
    try:
        made = coo if kind == "coo" else coo.asformat(kind)
    except (ValueError, TypeError, NotImplementedError):  # SciPy has not every type in every format
        made = coo
    try:
        return _flawed(c, made, flaw)
    except (ValueError, TypeError, AttributeError, IndexError, OverflowError):
        return made  # SciPy or NumPy would not even hold it


def _index_names(made: Any) -> list[str]:
    return {"coo": ["row", "col"], "dia": ["offsets"]}.get(made.format, ["indices", "indptr"])


def _flawed(c: Any, made: Any, flaw: str) -> Any:
    if made.format in ("lil", "dok"):
        return _flawed_by_python(made, flaw)
    indices = _index_names(made)[0]
    columns = _index_names(made)[-1] if made.format == "coo" else indices
    last = _index_names(made)[-1]

    def change(name: str, value: Any) -> None:
        if made.format == "coo" and hasattr(made, "coords") and name in ("row", "col"):
            row, col = made.coords
            made.coords = (value, col) if name == "row" else (row, value)
        else:
            setattr(made, name, value)

    def poke(name: str, value: Any) -> None:
        array = getattr(made, name).copy()
        array.reshape(-1)[c.integer(0, array.size - 1)] = value
        change(name, array)

    if flaw == "unsorted":
        for name in [*_index_names(made)[:1], "data"]:
            change(name, getattr(made, name)[::-1])
    elif flaw in ("row beyond", "column beyond"):
        poke(indices if flaw == "row beyond" else columns, max(made.shape) + c.integer(0, 3))
    elif flaw in ("row negative", "column negative"):
        poke(indices if flaw == "row negative" else columns, -c.integer(1, 3))
    elif flaw == "column huge":
        poke(columns, c.pick([2**31 - 1, -(2**31)]))
    elif flaw == "indptr short":
        change(last, getattr(made, last)[:-1])
    elif flaw == "indptr long":
        change(last, np.append(getattr(made, last), getattr(made, last)[-1:]))
    elif flaw == "indptr falls":
        change(last, getattr(made, last)[::-1].copy())
    elif flaw == "indptr starts late":
        change(last, getattr(made, last) + 1)
    elif flaw == "indptr ends late":
        array = getattr(made, last).copy()
        array[-1] += c.pick([1, 1000, 2**30])
        change(last, array)
    elif flaw == "indptr negative":
        poke(last, -1)
    elif flaw == "indices short":
        change(indices, getattr(made, indices)[:-1])
    elif flaw == "data short":
        made.data = made.data[:-1]
    elif flaw == "data long":
        made.data = np.concatenate([made.data, made.data[:1]])
    elif flaw == "data 2-D":
        made.data = made.data.reshape(1, -1)
    elif flaw == "indices 2-D":
        change(indices, getattr(made, indices).reshape(1, -1))
    elif flaw == "indptr None":
        change(last, None)
    elif flaw == "data None":
        made.data = None
    elif flaw == "list data":
        made.data = made.data.tolist()
    elif flaw == "shape lies":
        made._shape = (max(made.shape[0] - 2, 0), max(made.shape[1] - 2, 0))
    elif flaw.endswith(" indices"):
        kind = {
            "int64": "i8",
            "float": "f8",
            "bool": "?",
            "int16": "i2",
            "uint64": "u8",
            "object": "O",
        }[flaw.split()[0]]
        for name in _index_names(made):
            change(name, getattr(made, name).astype(kind))
    elif flaw in ("NaN", "infinity", "beyond float32"):
        made.data = made.data.astype(np.float64)
        poke("data", {"NaN": math.nan, "infinity": c.pick([math.inf, -math.inf])}.get(flaw, 1e300))
    elif flaw in ("object data", "text data", "complex data"):
        made.data = made.data.astype({"o": "O", "t": "U", "c": "c16"}[flaw[0]])
    elif flaw == "foreign byte order":
        made.data = made.data.astype(made.data.dtype.newbyteorder())
    elif flaw == "read-only":
        for name in [*_index_names(made), "data"]:
            array = getattr(made, name).copy()
            array.flags.writeable = False
            change(name, array)
    elif flaw == "strided":
        for name in [*_index_names(made), "data"]:
            change(name, np.repeat(getattr(made, name), 2, axis=-1)[..., ::2])
    elif flaw == "memory-mapped":
        for name in [*_index_names(made), "data"]:
            change(name, mapped(getattr(made, name)))
    elif flaw == "stale flags":
        made.has_sorted_indices = made.has_canonical_format = True
        if made.format != "coo":
            change(indices, getattr(made, indices)[::-1].copy())
    return made


def _flawed_by_python(made: Any, flaw: str) -> Any:
    """A flaw in a format whose entries are Python objects."""
    entry = {"column beyond": made.shape[1] + 1, "column negative": -1, "column huge": 2**40}
    if made.format == "lil" and made.shape[0]:
        if flaw in entry:
            made.rows[0] = [entry[flaw]]
            made.data[0] = [1]
        elif flaw == "data short":
            made.rows[0] = [0, 1]
            made.data[0] = [1]
        elif flaw == "NaN":
            made.rows[0], made.data[0] = [0], [math.nan]
        elif flaw == "text data":
            made.rows[0], made.data[0] = [0], ["a"]
        elif flaw == "float indices":
            made.rows[0], made.data[0] = [0.5], [1]
        elif flaw == "object indices":
            made.rows[0], made.data[0] = [None], [1]
    elif made.format == "dok" and flaw in entry and hasattr(made, "_dict"):
        made._dict[(0, entry[flaw])] = 1
    return made


def mapped(array: np.ndarray) -> np.ndarray:
    """The same, read-only from a file. Nothing that is empty can be mapped."""
    if array is None or not array.size:
        return array
    with tempfile.NamedTemporaryFile() as file:
        file.write(np.ascontiguousarray(array).tobytes())
        file.flush()
        return np.memmap(file.name, array.dtype, "r", shape=array.shape)


def entries(made: Any) -> dict[tuple[int, int], float] | None:
    """The entries of a COO or compressed matrix, summed up; None if it is not a valid one.

    Independent of SciPy, which trusts what it holds.
    """
    parts = [np.asarray(getattr(made, name)) for name in [*_index_names(made), "data"]]
    if any(part.ndim != 1 or part.dtype.kind not in "biuf" for part in parts):
        return None
    first, second, data = (part.tolist() for part in parts)
    if made.format == "coo":
        rows, columns = first, second
        if not len(rows) == len(columns) == len(data):
            return None
    else:
        n_major = made.shape[0] if made.format == "csr" else made.shape[1]
        if len(second) != n_major + 1 or second[0] != 0 or second != sorted(second):
            return None
        if second[-1] > min(len(first), len(data)):
            return None
        ends = [int(end) for end in second]
        major = [at for at in range(n_major) for _ in range(ends[at + 1] - ends[at])]
        minor, data = first[: ends[-1]], data[: ends[-1]]
        rows, columns = (major, minor) if made.format == "csr" else (minor, major)
    found: dict[tuple[int, int], float] = {}
    for row, column, value in zip(rows, columns, data, strict=True):
        if not (0 <= row < made.shape[0] and 0 <= column < made.shape[1]):
            return None
        found[int(row), int(column)] = found.get((int(row), int(column)), 0.0) + float(value)
    return found


# ---- ids -----------------------------------------------------------------------------------------

_INTEGERS = (0, 0, 1, 2, 3, 5, -1, 255, 256, 2**15, 2**31 - 1, 2**31, -(2**31), 2**32, 2**63, 2**70)
_ODD = (
    *(None, True, 0.0, 1.0, 0.5, -0.0, math.nan, math.inf, -math.inf, 1e300, 1j, "0", "", "a"),
    *(b"0", (), (0,), [], [0], {}, object(), int, Ellipsis, range(3), slice(2), "\ud800", "\0"),
    *(decimal.Decimal(1), fractions.Fraction(2), datetime.date(2020, 1, 1), memoryview(b"\0\1")),
    *(np.int8(1), np.int64(-1), np.uint64(2**63), np.float32(1), np.float64("nan"), np.bool_(1)),
    *(np.str_("1"), np.datetime64("2020"), np.timedelta64(1, "s"), np.complex64(1), np.array(1)),
    *(np.array("a"), np.array(None), frozenset({1}), bytearray(b"\1"), 10**400),
)
_ID_DTYPES = ("i4", "i8", "i1", "i2", "u1", "u2", "u4", "u8", "f4", "f8", "f2", "g", "O", "?", "U")


def ids(c: Any, n: int) -> Any:
    """Ids of [0, n), or nearly so, as any container of anything."""
    if c.integer(0, 9) == 0:
        return c.pick(_ODD)
    length = c.integer(0, 6)
    values = [c.integer(0, n - 1) for _ in range(length)]
    trouble = c.integer(0, 5)
    if trouble == 0 and length:
        values[c.integer(0, length - 1)] = c.pick(_INTEGERS)
    elif trouble == 1 and length:
        values[c.integer(0, length - 1)] = c.pick(_ODD)
    shape = c.integer(0, 13)
    if shape == 0 and length:
        return values[0]
    if shape == 1:
        return tuple(values)
    if shape == 2:
        return range(c.integer(-1, n), c.integer(0, n + 1), c.pick([1, 1, 2, -1]))
    if shape == 3:
        return dict.fromkeys(map(str, values))
    if shape == 4:
        return iter(tuple(values))
    if shape == 5:
        return [values, values]
    if shape < 12:
        try:
            array = np.array(values, dtype=c.pick(_ID_DTYPES))
        except (ValueError, TypeError, OverflowError):
            return values
        form = c.integer(0, 8)
        if array.ndim != 1:
            return array
        if form == 0:
            return np.repeat(array, 2)[::2]
        if form == 1:
            return array[::-1]
        if form == 2:
            array.flags.writeable = False
        elif form == 3 and array.dtype.kind in "iuf":
            return array.astype(array.dtype.newbyteorder())
        elif form == 4:
            return array.reshape(-1, 1)
        elif form == 5 and array.dtype.kind in "iuf":
            return mapped(array)
        elif form == 6:
            mask = [bool(c.integer(0, 1)) for _ in array]
            return np.ma.masked_array(array, mask=mask)
        elif form == 7 and array.dtype.kind != "O":
            content = b"\0" + array.tobytes()  # not aligned
            return np.frombuffer(content, np.uint8)[1:].view(array.dtype)
        return array
    return values


def whole_numbers(value: Any) -> list[int] | None:
    """What ids stand for, however they are stored; None where that is no list of integers."""
    if isinstance(value, str | bytes | dict | frozenset):
        return None
    if isinstance(value, bytearray | memoryview):
        return list(value)
    if isinstance(value, np.ndarray):
        value = list(value) if value.dtype.char == "g" else value.tolist()
    elif isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, int | float | decimal.Decimal | fractions.Fraction):
        value = [value]
    if not isinstance(value, list | tuple | range):
        return None
    found = []
    for element in value:
        if isinstance(element, np.generic | np.ndarray):
            if np.ndim(element):
                return None
            element = element if isinstance(element, np.longdouble) else element.item()
        if isinstance(element, int):
            found.append(int(element))
        elif (
            isinstance(element, float | np.longdouble) and np.isfinite(element) and not element % 1
        ):
            found.append(int(element))
        else:
            return None
    return found


# ---- parameters ----------------------------------------------------------------------------------

_NUMBERS = (
    *(0, 1, 2, 3, 5, 7, -1, 10, 2**16, 2**20, 2**31 - 1, 2**31, 2**63, 2**64, 10**30, 10**400),
    *(0.0, -0.0, 0.05, 0.5, 1.0, 1e-6, 1e-45, 5e-324, 1e38, 1e39, 1e300, -1e-9, -5.0, 1 - 1e-16),
    *(math.nan, math.inf, -math.inf, np.float32(0.5), np.int8(3), np.float64(1e-320), True),
    *(fractions.Fraction(1, 3), decimal.Decimal("0.1"), np.float16(0.1), np.longdouble(1)),
)
_WORDS = ("warp", "bpr", "logistic", "warp-kos", "mse", "softmax", "adagrad", "adadelta", "sgd")


def parameter(c: Any) -> Any:
    kind = c.integer(0, 9)
    if kind < 5:
        return c.pick(_NUMBERS)
    if kind < 8:
        return c.pick(_WORDS)
    return c.pick(_ODD)


# ---- arrays that users assign --------------------------------------------------------------------


def array_like(c: Any, shape: tuple[int, ...]) -> Any:
    """An array of that shape, or nearly so, in a type and a layout of any kind."""
    if c.integer(0, 9) == 0:
        return c.pick(_ODD)
    if shape and c.integer(0, 9) == 0:
        shape = c.pick([shape[:-1], (*shape, 1), (0, *shape[1:]), (shape[0] + 1, *shape[1:])])
    scale = c.pick([0.1, 0.1, 0.1, 1.0, 0.0, 1e-40, 1e10, 1e38])
    values = np.asarray(np.random.RandomState(c.integer(0, 9)).normal(size=shape) * scale)
    if c.integer(0, 9) == 0 and values.size:
        values.reshape(-1)[0] = c.pick([math.nan, math.inf, -math.inf, 1e300])
    with np.errstate(over="ignore"):
        array = np.asarray(values.astype(c.pick(["f4", "f4", "f8", "f2", "g", ">f4"])))
    form = c.integer(0, 6)
    if form == 0:
        return np.asfortranarray(array)
    if form == 1:
        array.flags.writeable = False
    elif form == 2 and array.ndim:
        return np.repeat(array, 2, axis=0)[::2]
    elif form == 3:
        return array.tolist()
    elif form == 4 and array.ndim:
        return mapped(array)
    return array


# ---- what must hold ------------------------------------------------------------------------------


def content(value: Any) -> Any:
    """Something that changes when a value is changed by those it was lent to."""
    if isinstance(value, np.ndarray):
        value = np.asarray(value.view(np.ndarray))  # a masked array shows what it likes
        body = repr(value.tolist()) if value.dtype.hasobject else value.tobytes()
        return value.dtype.str, value.shape, value.strides, value.flags.writeable, body
    if sp.issparse(value):
        held = {**vars(value)}
        if value.format == "dok":
            held["entries"] = repr(sorted(map(repr, value.items())))
        parts = [held[name] for name in sorted(held)]
        # SciPy keeps notes on order and duplicates on the side; they are not content.
        return value.format, [content(part) for part in parts if not isinstance(part, bool | int)]
    if isinstance(value, list | tuple):
        return [content(element) for element in value]
    if isinstance(value, dict):
        return [(key, content(element)) for key, element in value.items()]
    if type(value).__module__ == "builtins" and not hasattr(value, "__next__"):
        return repr(value)
    return None


def refused(error: BaseException) -> bool:
    """Whether this is a refusal as documented. Anything else is a failure."""
    return isinstance(error, DOCUMENTED) and bool(str(error) or isinstance(error, MemoryError))


def memory_is_limited() -> bool:
    if not sys.platform.startswith("linux"):
        return False
    import resource

    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def scratch_folder() -> str:
    """Where many small files cost least."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
