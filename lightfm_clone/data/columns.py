"""Columns of tables of pandas, polars and pyarrow, as NumPy arrays and Python values.

None of the three libraries is needed, nor imported before a table of its own is given.
"""

from __future__ import annotations

from collections.abc import Hashable
from datetime import date
from decimal import Decimal
from functools import cached_property
from itertools import chain
from numbers import Real
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt


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


def is_missing(value: Any) -> bool:
    """Whether the value is None, NaN, NaT or NA."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except Exception:  # NA of pandas has no truth value; what else does not is not missing
        return type(value).__name__ == "NAType"


def by_name(table: Any, argument: str) -> dict[Hashable, Column]:
    """The columns of a table by name."""
    of, parts = library(table), split(table)
    if of is None or parts is None:
        remedy = "pandas.DataFrame(...) makes one of a dict of columns or a list of rows"
        for method in ("collect", "read_all", "to_table"):
            if of is not None and hasattr(table, method):
                remedy = f"call its {method}() first"
        raise TypeError(
            f"{argument} must be a pandas or polars DataFrame or a pyarrow Table, got "
            f"{type(table).__module__}.{type(table).__qualname__}; {remedy}"
        )
    keys, columns = parts
    repeated = next((key for key in keys if keys.count(key) > 1), None)
    if repeated is not None:
        raise ValueError(
            f"{argument} must have each column once, got {repeated!r} again; rename one of the two"
        )
    adapter: Any = {"pandas": _pandas_column, "polars": _Polars, "pyarrow": _Arrow}[of]
    return {
        key: adapter(column, f"the column {key!r} of {argument}")
        for key, column in zip(keys, columns, strict=True)
    }


class Codes(NamedTuple):
    """A column as numbers into its distinct values."""

    codes: npt.NDArray[
        np.integer[Any]
    ]  # integers, one per row of the column; -1 where the value is missing
    values: list[Any]  # Python values in order of first appearance


# Each of the three below wraps one column. `kind` is "number", "boolean", "category", "list",
# "time", "empty" (not a single value and no type), or, of what is none of these, "other".


class _Pandas:
    def __init__(self, series: Any, label: str) -> None:
        self.series = series
        self.label = label

    @property
    def dtype(self) -> str:
        if self.series.dtype != object:
            return f"dtype {self.series.dtype}"
        names = sorted(kind.__name__ for kind in self._types())
        return f"objects of type {', '.join(names) or 'none'}"

    def _types(self) -> set[type]:
        return set(map(type, self.series[self.series.notna()]))

    @cached_property
    def kind(self) -> str:
        import pandas as pd

        dtype, types = self.series.dtype, pd.api.types
        if isinstance(dtype, pd.CategoricalDtype):
            return "category"
        if types.is_bool_dtype(dtype):
            return "boolean"
        if types.is_numeric_dtype(dtype) and not types.is_complex_dtype(dtype):
            return "number"
        if types.is_datetime64_any_dtype(dtype):
            return "time"
        if isinstance(dtype, pd.StringDtype):
            return "category"
        if not types.is_object_dtype(dtype):
            return "other"
        kinds = self._types()
        if not kinds:
            return "empty"

        def all_are(*wanted: type) -> bool:
            return all(issubclass(kind, wanted) for kind in kinds)

        if all_are(list, tuple, set, frozenset, np.ndarray):
            return "list"
        if all_are(bool, np.bool_):
            return "boolean"
        if all_are(Real, Decimal):
            return "number"
        if all_are(date):
            return "time"
        return "category" if all(kind.__hash__ for kind in kinds) else "other"

    def missing(self) -> npt.NDArray[Any]:
        return np.asarray(self.series.isna().to_numpy())

    def codes(self) -> Codes:
        codes, values = self.series.factorize()
        # Objects may be scalars of NumPy still.
        is_numpy = (np.number, np.bool_)
        return Codes(
            codes,
            [value.item() if isinstance(value, is_numpy) else value for value in values.tolist()],
        )

    def numbers(self) -> npt.NDArray[Any]:
        if self.series.dtype != object:
            return np.asarray(self.series.to_numpy(dtype=np.float64, na_value=np.nan))
        numbers = np.full(len(self.series), np.nan)
        present = ~self.missing()
        try:
            numbers[present] = self.series.to_numpy()[present].astype(np.float64)
        except OverflowError as error:
            raise ValueError(f"{self.label} holds numbers beyond floats: {error}") from error
        return numbers

    def times(self) -> npt.NDArray[Any]:
        import pandas as pd

        series = self.series
        if self.kind == "number":
            if series.dtype == object:
                return np.array(series.tolist())
            # Integers stay integers: nanoseconds since 1970 do not fit a float.
            return np.asarray(series.to_numpy(getattr(series.dtype, "numpy_dtype", None)))
        if series.dtype == object:
            series = pd.to_datetime(series, utc=True)
        # Of a column with a time zone, what UTC says.
        return np.asarray((series.dt.tz_convert(None) if series.dt.tz else series).to_numpy())

    def elements(self) -> tuple[npt.NDArray[Any], _Pandas]:
        """The row that each element of the lists is in, and the elements as a column."""
        import pandas as pd

        present = ~self.missing()
        lists = self.series.to_numpy()[present]
        sizes = np.fromiter(map(len, lists), np.intp, len(lists))
        elements = pd.Series(list(chain.from_iterable(lists)), dtype=object)
        return np.repeat(np.flatnonzero(present), sizes), _Pandas(elements, self.label)


class _Polars:
    KINDS = {
        "Boolean": "boolean",
        "Categorical": "category",
        "Enum": "category",
        "String": "category",
        "List": "list",
        "Array": "list",
        "Date": "time",
        "Datetime": "time",
        "Null": "empty",
    }

    def __init__(self, series: Any, label: str) -> None:
        dtype = series.dtype
        name = dtype.base_type().__name__
        self.given = series
        self.label = label
        self.dtype = f"dtype {dtype}"
        self.kind = "number" if dtype.is_numeric() else self.KINDS.get(name, "other")

    @cached_property
    def series(self) -> Any:
        if self.given.dtype.is_float():
            return self.given.fill_nan(None)
        is_array = self.given.dtype.base_type().__name__ == "Array"
        return self.given.arr.to_list() if is_array else self.given

    def missing(self) -> npt.NDArray[Any]:
        return np.asarray(self.series.is_null().to_numpy())

    def codes(self) -> Codes:
        if self.kind == "other":
            set(self.series.to_list())  # TypeError for objects that would make polars panic
        rows = self.series.to_frame("value").with_row_index("row").drop_nulls("value")
        groups = rows.group_by("value", maintain_order=True).agg("row")
        codes = np.full(len(self.series), -1, dtype=np.int64)
        sizes = groups["row"].list.len().to_numpy()
        codes[groups["row"].explode().to_numpy()] = np.repeat(np.arange(len(sizes)), sizes)
        return Codes(codes, groups["value"].to_list())

    def numbers(self) -> npt.NDArray[Any]:
        import polars as pl

        return np.asarray(self.series.cast(pl.Float64).to_numpy())

    def times(self) -> npt.NDArray[Any]:
        return np.asarray(self.series.to_numpy())

    def elements(self) -> tuple[npt.NDArray[Any], _Polars]:
        sizes = self.series.list.len().fill_null(0)
        row = np.repeat(np.arange(len(sizes)), sizes.to_numpy())
        return row, _Polars(self.series.filter(sizes > 0).explode(), self.label)


class _Arrow:
    def __init__(self, column: Any, label: str) -> None:
        self.given = column
        self.label = label
        self.dtype = f"type {column.type}"

    @cached_property
    def column(self) -> Any:
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self.given
        if isinstance(column, pa.Array):  # of a RecordBatch
            column = pa.chunked_array([column])
        if pa.types.is_floating(column.type):
            nan = pc.is_null(column, nan_is_null=True)
            column = pc.if_else(nan, pa.scalar(None, column.type), column)
        return column

    @cached_property
    def kind(self) -> str:
        import pyarrow as pa

        of, types = self.given.type, pa.types
        if types.is_boolean(of):
            return "boolean"
        if types.is_integer(of) or types.is_floating(of) or types.is_decimal(of):
            return "number"
        if types.is_dictionary(of) or types.is_string(of) or types.is_large_string(of):
            return "category"
        if types.is_list(of) or types.is_large_list(of) or types.is_fixed_size_list(of):
            return "list"
        if types.is_timestamp(of) or types.is_date(of):
            return "time"
        return "empty" if types.is_null(of) else "other"

    def missing(self) -> npt.NDArray[Any]:
        return np.asarray(self.column.is_null().to_numpy())

    def codes(self) -> Codes:
        import pyarrow as pa

        column = self.column
        if pa.types.is_dictionary(column.type):  # its values need not come in order of appearance
            column = column.cast(column.type.value_type)
        column = column.dictionary_encode().unify_dictionaries().combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0)
        codes = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return Codes(codes, column.dictionary.to_pylist())

    def numbers(self) -> npt.NDArray[Any]:
        import pyarrow as pa

        return np.asarray(self.column.cast(pa.float64(), safe=False).to_numpy())

    def times(self) -> npt.NDArray[Any]:
        return np.asarray(self.column.to_numpy())

    def elements(self) -> tuple[npt.NDArray[Any], _Arrow]:
        import pyarrow.compute as pc

        sizes = pc.list_value_length(self.column).fill_null(0).to_numpy()
        row = np.repeat(np.arange(len(sizes)), sizes)
        return row, _Arrow(pc.list_flatten(self.column), self.label)


def _pandas_column(series: Any, label: str) -> _Pandas | _Arrow:
    import pandas as pd

    if isinstance(series.dtype, pd.ArrowDtype):
        import pyarrow as pa

        return _Arrow(pa.array(series), label)
    return _Pandas(series, label)


Column: TypeAlias = _Pandas | _Polars | _Arrow
