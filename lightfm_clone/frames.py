"""Tables of pandas, polars and pyarrow, read column by column into NumPy arrays.

None of the three libraries is needed, nor imported before a table of its own is given. What is in
a table becomes plain arrays and lists here; `Dataset.from_frame` numbers it and makes matrices.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from datetime import date
from decimal import Decimal
from functools import cached_property
from itertools import chain
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

SCALINGS = ("standard", "minmax", None)


class Codes(NamedTuple):
    """A column as numbers into its distinct values."""

    codes: np.ndarray  # integers, one per row of the column; -1 where the value is missing
    values: list[Any]  # Python values in order of first appearance


class Features(NamedTuple):
    """The features that a table lists, one entry for each value that is not missing."""

    ids: Codes
    names: list[str]
    row: np.ndarray  # of the table
    col: np.ndarray  # numbers into names
    value: np.ndarray  # float32
    numeric: set[Hashable]  # the columns of numbers


class Tables(NamedTuple):
    users: Codes
    items: Codes
    weights: np.ndarray | None  # float32
    timestamps: np.ndarray | None
    user_features: Features | None
    item_features: Features | None


def read(
    interactions: Any,
    user_features: Any,
    item_features: Any,
    *,
    user: Hashable,
    item: Hashable,
    weight: Hashable | None,
    timestamp: Hashable | None,
    numeric: Any,
) -> Tables:
    """All that is in the tables of `Dataset.from_frame`, whose arguments these are."""
    for scaling in numeric.values() if isinstance(numeric, Mapping) else [numeric]:
        if not (scaling is None or isinstance(scaling, str)) or scaling not in SCALINGS:
            raise ValueError(
                "numeric must be 'standard', 'minmax' or None, or a dict from columns to these, "
                f"got {numeric!r}"
            )
    columns = _columns(interactions, "interactions")
    users = _ids(columns, user, "user", "interactions")
    items = _ids(columns, item, "item", "interactions")
    weights = timestamps = None
    if weight is not None:
        column = _complete(columns, weight, "weight", "interactions")
        if column.kind not in ("number", "boolean"):
            raise TypeError(f"{column.label} must hold numbers to be weights, got {column.dtype}")
        weights = _finite(column.numbers(), column)
    if timestamp is not None:
        column = _complete(columns, timestamp, "timestamp", "interactions")
        if column.kind not in ("number", "time"):
            raise TypeError(
                f"{column.label} must hold numbers or dates to be timestamps, got {column.dtype}; "
                "convert it first, text for instance with pandas.to_datetime"
            )
        timestamps = column.times().copy()  # the libraries' own may be read-only
    features = [
        None if frame is None else _features(frame, side, name, numeric)
        for frame, side, name in ((user_features, "user", user), (item_features, "item", item))
    ]
    if isinstance(numeric, Mapping):
        unknown = set(numeric).difference(*(given.numeric for given in features if given))
        if unknown:
            raise ValueError(
                f"numeric names {', '.join(map(repr, unknown))}, which is no column of numbers in "
                "user_features or item_features"
            )
    return Tables(users, items, weights, timestamps, *features)


def _features(frame: Any, side: str, name: Hashable, numeric: Any) -> Features:
    """The features of the users or items (``side``) in the column ``name``."""
    argument = f"{side}_features"
    columns = _columns(frame, argument)
    ids = _ids(columns, name, side, argument)
    names: dict[str, Hashable] = {}  # and the column that each comes from
    entries = [(np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.float32))]
    for key, column in columns.items():
        if key == name or column.kind == "empty":
            continue
        if column.kind == "number":
            scaling = numeric.get(key, "standard") if isinstance(numeric, Mapping) else numeric
            value = _scaled(column, scaling)
            row = np.flatnonzero(~np.isnan(value))
            col, value, new = np.zeros(len(row), dtype=np.intp), value[row], [str(key)]
        elif column.kind == "boolean":
            row = np.flatnonzero(column.numbers() == 1)
            col, new = np.zeros(len(row), dtype=np.intp), [str(key)]
            value = np.ones(len(row), dtype=np.float32)
        elif column.kind in ("category", "list"):
            row, elements = column.elements() if column.kind == "list" else (None, column)
            if elements.kind in ("list", "other"):
                raise TypeError(f"{column.label} must hold lists of names, got {column.dtype}")
            codes, values = elements.codes()
            present = np.flatnonzero(codes >= 0)
            row = present if row is None else row[present]
            texts = [f"{key}:{value}" for value in values]
            new = list(dict.fromkeys(texts))  # 1 and "1" read the same
            col = codes[present]
            if len(new) < len(texts):
                places = {text: place for place, text in enumerate(new)}
                col = np.array([places[text] for text in texts])[col]
            value = np.ones(len(row), dtype=np.float32)
        else:
            raise TypeError(
                f"{column.label} must hold numbers, booleans, categories, texts or lists of names, "
                f"got {column.dtype}; turn it into one of these or leave the column out"
            )
        entries.append((row, col + len(names), value))
        for text in new:
            if names.setdefault(text, key) != key:
                raise ValueError(
                    f"the columns {names[text]!r} and {key!r} of {argument} both make a feature "
                    f"{text!r}; rename one of them"
                )
    row, col, value = map(np.concatenate, zip(*entries, strict=True))
    numbers = {key for key, column in columns.items() if column.kind == "number"} - {name}
    return Features(ids, list(names), row, col, value, numbers)


def _scaled(column: Column, scaling: str | None) -> np.ndarray:
    """The numbers of a column as float32, NaN where they are missing."""
    values = column.numbers()
    present = values[~np.isnan(values)]
    _finite(present, column)
    if scaling is not None and len(present):
        low, span = present.min(), np.ptp(present)
        values = (values - low) / (span or 1)
        if scaling == "standard" and span:
            present = (present - low) / span
            values = (values - present.mean()) / present.std()
    return values.astype(np.float32)


def _finite(values: np.ndarray, column: Column) -> np.ndarray:
    """The values as float32."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(single))
    if len(bad):
        raise ValueError(
            f"{column.label} must hold finite numbers that fit 32 bits, got {values[bad[0]]}"
        )
    return single


def _ids(columns: dict[Hashable, Column], name: Hashable, role: str, argument: str) -> Codes:
    column = _complete(columns, name, role, argument)
    try:
        codes = column.codes()
        if column.kind in ("list", "other"):
            set(codes.values)
    except (TypeError, NotImplementedError):  # not hashable, for the library or for Python
        raise TypeError(
            f"{column.label} must hold {role} ids, hashable values, got {column.dtype}"
        ) from None
    return codes


def _complete(columns: dict[Hashable, Column], name: Hashable, role: str, argument: str) -> Column:
    """The column of this name, which must not have missing values."""
    if name not in columns:
        raise ValueError(
            f"{argument} must have the column {name!r} (the {role}), got the columns "
            f"{', '.join(map(repr, columns)) or 'none'}; an index of pandas becomes a column with "
            "reset_index()"
        )
    column = columns[name]
    missing = np.flatnonzero(column.missing())
    if len(missing):
        raise ValueError(
            f"{column.label} must not have missing values (it is the {role}), got {len(missing)} "
            f"of them, the first in row {missing[0]}; fill them in or drop these rows"
        )
    return column


def _columns(frame: Any, argument: str) -> dict[Hashable, Column]:
    """The columns of a table by name."""
    libraries = {kind.__module__.split(".")[0] for kind in type(frame).__mro__}
    if "pandas" in libraries and hasattr(frame, "iloc") and frame.ndim == 2:
        keys = frame.columns.tolist()
        columns = [frame.iloc[:, position] for position in range(len(keys))]
        adapter: Any = _pandas_column
    elif "polars" in libraries and hasattr(frame, "get_columns"):
        keys, columns, adapter = frame.columns, frame.get_columns(), _Polars
    elif "pyarrow" in libraries and hasattr(frame, "column_names"):
        keys, columns, adapter = frame.column_names, frame.columns, _Arrow
    else:
        hint = "; call its collect() first" if hasattr(frame, "collect") else ""
        raise TypeError(
            f"{argument} must be a pandas or polars DataFrame or a pyarrow Table, got "
            f"{type(frame).__module__}.{type(frame).__qualname__}{hint}"
        )
    repeated = next((key for key in keys if keys.count(key) > 1), None)
    if repeated is not None:
        raise ValueError(f"{argument} must have each column once, got {repeated!r} again")
    return {
        key: adapter(column, f"the column {key!r} of {argument}")
        for key, column in zip(keys, columns, strict=True)
    }


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

    def missing(self) -> np.ndarray:
        return self.series.isna().to_numpy()

    def codes(self) -> Codes:
        codes, values = self.series.factorize()
        # Objects may be scalars of NumPy still.
        is_numpy = (np.number, np.bool_)
        return Codes(
            codes,
            [value.item() if isinstance(value, is_numpy) else value for value in values.tolist()],
        )

    def numbers(self) -> np.ndarray:
        if self.series.dtype != object:
            return self.series.to_numpy(dtype=np.float64, na_value=np.nan)
        numbers = np.full(len(self.series), np.nan)
        present = ~self.missing()
        try:
            numbers[present] = self.series.to_numpy()[present].astype(np.float64)
        except OverflowError as error:
            raise ValueError(f"{self.label} holds numbers beyond floats: {error}") from error
        return numbers

    def times(self) -> np.ndarray:
        import pandas as pd

        series = self.series
        if self.kind == "number":
            if series.dtype == object:
                return np.array(series.tolist())
            # Integers stay integers: nanoseconds since 1970 do not fit a float.
            return series.to_numpy(getattr(series.dtype, "numpy_dtype", None))
        if series.dtype == object:
            series = pd.to_datetime(series, utc=True)
        # Of a column with a time zone, what UTC says.
        return (series.dt.tz_convert(None) if series.dt.tz else series).to_numpy()

    def elements(self) -> tuple[np.ndarray, _Pandas]:
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

    def missing(self) -> np.ndarray:
        return self.series.is_null().to_numpy()

    def codes(self) -> Codes:
        if self.kind == "other":
            set(self.series.to_list())  # TypeError for objects that would make polars panic
        rows = self.series.to_frame("value").with_row_index("row").drop_nulls("value")
        groups = rows.group_by("value", maintain_order=True).agg("row")
        codes = np.full(len(self.series), -1, dtype=np.int64)
        sizes = groups["row"].list.len().to_numpy()
        codes[groups["row"].explode().to_numpy()] = np.repeat(np.arange(len(sizes)), sizes)
        return Codes(codes, groups["value"].to_list())

    def numbers(self) -> np.ndarray:
        import polars as pl

        return self.series.cast(pl.Float64).to_numpy()

    def times(self) -> np.ndarray:
        return self.series.to_numpy()

    def elements(self) -> tuple[np.ndarray, _Polars]:
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

    def missing(self) -> np.ndarray:
        return self.column.is_null().to_numpy()

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

    def numbers(self) -> np.ndarray:
        import pyarrow as pa

        return self.column.cast(pa.float64(), safe=False).to_numpy()

    def times(self) -> np.ndarray:
        return self.column.to_numpy()

    def elements(self) -> tuple[np.ndarray, _Arrow]:
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


Column = _Pandas | _Polars | _Arrow
