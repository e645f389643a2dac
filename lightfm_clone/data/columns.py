"""Columns of tables of pandas, polars, pyarrow and others, as NumPy arrays and Python values.

narwhals knows the tables of each library, and Arrow reads their columns; neither is imported before
a table is given.
"""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterable
from datetime import date
from decimal import Decimal
from functools import cached_property
from itertools import chain, compress
from numbers import Number, Real
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from lightfm_clone import _core
from lightfm_clone._tables import is_missing
from lightfm_clone.data import dense


def library(thing: Any) -> str | None:
    """The library of tables that the thing is of."""
    modules = {kind.__module__.split(".")[0] for kind in type(thing).__mro__}
    return next((name for name in ("pandas", "polars", "pyarrow") if name in modules), None)


def split(table: Any) -> tuple[list[Hashable], list[Any]] | None:
    """The names and the columns of a table, or None if it is none."""
    if hasattr(table, "iloc") and table.ndim == 2:  # of pandas, or of what takes after it
        keys = table.columns.tolist()
        return keys, [table.iloc[:, position] for position in range(len(keys))]
    of = library(table)
    if of == "polars" and hasattr(table, "get_columns"):
        return table.columns, table.get_columns()
    if of == "pyarrow" and hasattr(table, "column_names"):
        return table.column_names, table.columns
    return None


def is_record(value: Any, index: Any) -> bool:
    """Whether this is a row of a pandas frame, as ``iterrows()`` gives it with its index."""
    if not hasattr(value, "iloc") or value.ndim != 1:
        return False
    name = value.name
    return name is index or bool(type(name) is type(index) and name == index)


def by_name(table: Any, argument: str) -> dict[Hashable, Column]:
    """The columns of a table by name."""
    nw = narwhals()
    is_batch = library(table) == "pyarrow" and hasattr(table, "__arrow_c_array__")
    if is_batch and split(table) is not None:
        frame = nw.from_arrow(table, backend="pyarrow")
    else:
        try:
            frame = nw.from_native(table, pass_through=True)
        except nw.exceptions.DuplicateError:
            keys, _ = split(table) or ([], [])
            repeated = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(
                f"{argument} must have each column once, got {repeated!r} again; rename one of the "
                "two"
            ) from None
    if not isinstance(frame, nw.DataFrame):
        remedy = "pandas.DataFrame(...) makes one of a dict of columns or a list of rows"
        if library(table) or isinstance(frame, nw.LazyFrame):
            methods = ("collect", "read_all", "to_table", "to_arrow_table")
            found = next((method for method in methods if hasattr(table, method)), None)
            remedy = f"call its {found}() first" if found else "make a table of it"
        raise TypeError(
            f"{argument} must be a pandas or polars DataFrame or a pyarrow Table, got "
            f"{type(table).__module__}.{type(table).__qualname__}; {remedy}"
        )
    return {
        key: _column(series, f"the column {key!r} of {argument}")
        for key, series in zip(frame.columns, frame.iter_columns(), strict=True)
    }


def meant(name: Hashable, names: Iterable[Hashable]) -> str:
    """What to add to a message about a name that is not there: the name that is most like it."""
    alike = difflib.get_close_matches(str(name), map(str, names), 1)
    return f"; did you mean {alike[0]!r}?" if alike else ""


def narwhals() -> Any:
    """The library through which tables of all others are read."""
    try:
        import narwhals.stable.v2  # its promise: what is written for it works with all later ones
        import pyarrow  # noqa: F401  (what columns are read through)
    except ImportError as error:
        raise ImportError(
            f"tables need {error.name}, which is not installed; pip install "
            '"lightfm-clone[tables]" brings it'
        ) from error
    return narwhals.stable.v2


class Codes(NamedTuple):
    """A column as numbers into its distinct values."""

    codes: npt.NDArray[
        np.integer[Any]
    ]  # integers, one per row of the column; -1 where the value is missing
    values: list[Any]  # Python values in order of first appearance


# Each of the two below is one column. `kind` is "number", "boolean", "category", "list", "time",
# "empty" (not a single value and no type), or, of what is none of these, "other".


class _Typed:
    """A column of a type that Arrow has, too, read as Arrow's."""

    def __init__(self, series: Any, label: str) -> None:
        self.series = series  # of narwhals
        self.label = label

    @property
    def dtype(self) -> str:
        native = self.series.to_native()
        return f"dtype {native.dtype}" if hasattr(native, "dtype") else f"type {native.type}"

    @cached_property
    def kind(self) -> str:
        nw, dtype = narwhals(), self.series.dtype
        if dtype.is_numeric():
            return "number"
        kinds = {
            "boolean": (nw.Boolean,),
            "category": (nw.String, nw.Categorical, nw.Enum),
            "list": (nw.List, nw.Array),
            "time": (nw.Date, nw.Datetime),
        }
        return next((kind for kind, types in kinds.items() if isinstance(dtype, types)), "other")

    @cached_property
    def column(self) -> Any:
        """The chunks of Arrow, which share the memory of the table where they can."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self.series.to_native()
        if not isinstance(column, pa.ChunkedArray):
            column = self.series.to_arrow()
        if isinstance(column, pa.Array):
            column = pa.chunked_array([column])
        if pa.types.is_dictionary(column.type):  # its values need not come in order of appearance
            column = column.cast(column.type.value_type)
        if pa.types.is_floating(column.type):
            nan = pc.is_nan(column)
            if pc.any(nan).as_py():
                column = pc.if_else(nan, pa.scalar(None, column.type), column)
        return column

    def missing(self) -> npt.NDArray[Any]:
        return np.asarray(self.column.is_null().to_numpy())

    def codes(self) -> Codes:
        import pyarrow as pa

        if pa.types.is_integer(self.column.type) and not self.column.null_count:
            parts = [chunk.to_numpy() for chunk in self.column.chunks]
            span = dense.span_of(*parts)
            if span is not None:
                return Codes(*dense.codes(parts, span))
        column = self.column.dictionary_encode().combine_chunks()  # the chunks share a dictionary
        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0)
        codes = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return Codes(codes, column.dictionary.to_pylist())

    def numbers(self) -> npt.NDArray[Any]:
        import pyarrow as pa

        return np.asarray(self.column.cast(pa.float64(), safe=False).to_numpy())

    def times(self) -> npt.NDArray[Any]:
        """Numbers or datetime64; of a column with a time zone, what UTC says."""
        return np.asarray(self.column.to_numpy())

    def elements(self) -> tuple[npt.NDArray[Any], Column]:
        """The row that each element of the lists is in, and the elements as a column."""
        import pyarrow.compute as pc

        sizes = pc.list_value_length(self.column).fill_null(0).to_numpy()
        row = np.repeat(np.arange(len(sizes)), sizes)
        flat = narwhals().from_native(pc.list_flatten(self.column), series_only=True)
        return row, _column(flat, self.label)


class _Objects:
    """A column of Python's objects: what pandas has of no type, or of a type of its own."""

    # Nothing of these types is missing.
    WHOLE = {str, bytes, int, bool, tuple, list}

    def __init__(self, values: list[Any], label: str, dtype: str = "") -> None:
        self.values = values
        self.label = label
        self.given_dtype = dtype

    @property
    def dtype(self) -> str:
        names = sorted(kind.__name__ for kind in self._types)
        return self.given_dtype or f"objects of type {', '.join(names) or 'none'}"

    @cached_property
    def _missing(self) -> npt.NDArray[np.bool_]:
        if set(map(type, self.values)) <= self.WHOLE:
            return np.zeros(len(self.values), dtype=bool)
        return np.fromiter(map(is_missing, self.values), bool, len(self.values))

    @cached_property
    def _present(self) -> list[Any]:
        return list(compress(self.values, ~self._missing)) if self._missing.any() else self.values

    @cached_property
    def _types(self) -> set[type]:
        return set(map(type, self._present))

    @cached_property
    def kind(self) -> str:
        if not self._types:
            return "empty"

        def all_are(*wanted: type) -> bool:
            return all(issubclass(kind, wanted) for kind in self._types)

        if all_are(list, tuple, set, frozenset, np.ndarray):
            return "list"
        if all_are(bool, np.bool_):
            return "boolean"
        if all_are(Real, Decimal):
            return "number"
        if all_are(date):
            return "time"
        is_category = all(kind.__hash__ for kind in self._types) and not all_are(Number)
        return "category" if is_category else "other"

    def missing(self) -> npt.NDArray[Any]:
        return self._missing

    def codes(self) -> Codes:
        numbers = _core.Numbers({})
        numbers.add(self._present)
        codes = np.full(len(self.values), -1, dtype=np.int32)
        codes[~self._missing] = numbers.of(self._present)
        scalars = (np.number, np.bool_, np.str_)
        values = [v.item() if isinstance(v, scalars) else v for v in numbers.mapping]
        return Codes(codes, values)

    def numbers(self) -> npt.NDArray[Any]:
        numbers = np.full(len(self.values), np.nan)
        try:
            numbers[~self._missing] = np.array(self._present, dtype=np.float64)
        except OverflowError as error:
            raise ValueError(f"{self.label} holds numbers beyond floats: {error}") from error
        return numbers

    def times(self) -> npt.NDArray[Any]:
        if self.kind == "number":  # integers stay integers: nanoseconds do not fit a float
            return self.numbers() if self._missing.any() else np.array(self.values)
        import pandas as pd  # whose columns these are, as other libraries have a type for them

        return np.asarray(pd.to_datetime(self.values, utc=True).tz_convert(None).to_numpy())

    def elements(self) -> tuple[npt.NDArray[Any], Column]:
        sizes = np.fromiter(map(len, self._present), np.intp, len(self._present))
        elements = _Objects(list(chain.from_iterable(self._present)), self.label)
        return np.repeat(np.flatnonzero(~self._missing), sizes), elements


Column: TypeAlias = _Typed | _Objects


def _column(series: Any, label: str) -> Column:
    """The column of a series of narwhals."""
    if not _has_no_type(series):
        return _Typed(series, label)
    dtype = getattr(series.to_native(), "dtype", np.dtype(object))
    return _Objects(series.to_list(), label, "" if dtype == np.dtype(object) else f"dtype {dtype}")


def _has_no_type(series: Any) -> bool:
    """Whether the values can be had as Python's objects alone."""
    nw = narwhals()
    if isinstance(series.dtype, nw.Object | nw.Unknown | nw.Int128 | nw.UInt128):
        return True
    dtype = getattr(series.to_native(), "dtype", None)
    categories: Any = getattr(dtype, "categories", None)
    if hasattr(categories, "to_series"):  # of pandas; they may be of any kind, intervals of cut()
        return _has_no_type(nw.from_native(categories.to_series(), series_only=True))
    return bool(dtype == np.dtype(object))  # narwhals calls it texts if the first are
