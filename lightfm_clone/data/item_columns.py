"""The columns of a table of items, by the items' numbers: what rules about lists go by."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lightfm_clone._checks import is_real
from lightfm_clone._tables import is_missing
from lightfm_clone.data import columns as columns_of
from lightfm_clone.data.columns import Column
from lightfm_clone.data.rows import shown
from lightfm_clone.data.rules import (
    Array,
    Rule,
    are_dates,
    bins,
    moment,
    moments,
    numbers,
    part,
    scaled,
    split,
)
from lightfm_clone.persistence.datasets import keys_from_arrays, keys_to_arrays
from lightfm_clone.persistence.plain import from_plain, to_plain
from lightfm_clone.typing import Table

Mask: TypeAlias = npt.NDArray[np.bool_]

_DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True)
class between:
    """A range for ``where``, both ends included.

    Parameters
    ----------
    low, high : number, date or text of a date, optional
        None leaves an end open. A date without a time is the whole day.
    """

    low: Any = None
    high: Any = None


class ItemColumns:
    """The values of each item in the columns of a table, missing where the table lacks them.

    Parameters
    ----------
    n_items : int
    columns : dict
        The contents by name; `of` makes them of a table.
    """

    def __init__(self, n_items: int, columns: Mapping[Hashable, _Numbers | _Values]) -> None:
        self.n_items = n_items
        self._columns = dict(columns)

    @classmethod
    def of(
        cls,
        table: Table,
        rows: Array,
        n_items: int,
        *,
        id: Hashable = None,
        rules: Mapping[Hashable, Rule | None] | None = None,
        argument: str = "items",
    ) -> ItemColumns:
        """The columns of a table whose row i is of the item ``rows[i]``.

        Parameters
        ----------
        table : table
        rows : ndarray of int [n_rows]
            The item of each row; -1 leaves a row out. Of several rows the last one counts.
        n_items : int
        id : column name, optional
            A column that is left out.
        rules : dict, optional
            Those of a `FeatureEncoder`. What it splits are lists here, what it reads as numbers or
            dates are numbers and dates.
        argument : str, default "items"
            What messages call the table.
        """
        rules = rules or {}
        columns: dict[Hashable, _Numbers | _Values] = {}
        for key, column in columns_of.by_name(table, argument).items():
            if key != id and (form := _form(column, rules.get(key))) is not None:
                columns[key] = _missing(form)
        return cls(0, columns).put(table, rows, n_items, argument=argument)

    @property
    def names(self) -> list[Hashable]:
        """The columns there are; what is neither a value, a list nor a date is not among them."""
        return list(self._columns)

    def put(
        self, table: Table, rows: Array, n_items: int, *, argument: str = "items"
    ) -> ItemColumns:
        """These columns with the rows of a table in place of what they say of the same items.

        Parameters are those of `of`. Columns that the table lacks keep what they hold; columns that
        are not there yet are left out. This object stays as it is.

        Raises
        ------
        TypeError, ValueError
            When a column holds what it did not hold before, numbers instead of texts for instance.
        """
        source = np.full(n_items, -1, np.intp)
        present = np.flatnonzero(rows >= 0)
        source[rows[present]] = present
        given = columns_of.by_name(table, argument)
        return ItemColumns(
            n_items,
            {key: column.put(given.get(key), source) for key, column in self._columns.items()},
        )

    def grown(self, n_items: int) -> ItemColumns:
        """These columns with further items, of which they say nothing."""
        nothing = np.full(n_items, -1, np.intp)
        columns = {key: column.put(None, nothing) for key, column in self._columns.items()}
        return ItemColumns(n_items, columns)

    def mask(self, where: Mapping[Hashable, Any]) -> Mask:
        """Which items fulfil all conditions.

        Parameters
        ----------
        where : dict
            For each column a value, a list or set of values of which one is enough, or a
            `between`. A list in the table fulfils it with any element. What is missing never does.

        Returns
        -------
        ndarray of bool [n_items]

        Raises
        ------
        ValueError, TypeError
            When there is no such column, or its values are of another type.
        """
        if not isinstance(where, Mapping):
            raise TypeError(
                "where must be a dict from columns to values, such as {'brand': 'acme', 'price': "
                f"between(10, 25)}}, got {shown(where)}"
            )
        mask: Mask = np.ones(self.n_items, bool)
        for name, wanted in where.items():
            mask &= self._column(name, "where").mask(wanted, self.n_items, f"where[{name!r}]")
        return mask

    def codes(self, name: Hashable) -> npt.NDArray[np.int32]:
        """A number for each item, equal where the values of the column are, -1 where missing.

        Raises
        ------
        ValueError, TypeError
            When there is no such column, or it holds lists.
        """
        return self._column(name, "the quota").codes(self.n_items, repr(name))

    def take(self, rows: Array) -> dict[Hashable, Any]:
        """The values of items, by column: arrays of numbers or dates, or lists.

        Parameters
        ----------
        rows : ndarray of int
            Items; -1 makes a missing value.
        """
        return {name: column.take(rows) for name, column in self._columns.items()}

    def first(self, name: Hashable, rows: Array, argument: str) -> Array | list[Any]:
        """One value for each item in a column: of a list the first.

        Parameters
        ----------
        name : hashable
        rows : ndarray of int
        argument : str
            What messages call the argument that names the column.

        Returns
        -------
        array or list
            Of numbers or dates an array, NaN or NaT where they are missing; of others a list, with
            None where they are.

        Raises
        ------
        ValueError
            When there is no such column.
        """
        return self._column(name, argument).first(rows)

    def _column(self, name: Hashable, argument: str) -> _Numbers | _Values:
        if name not in self._columns:
            raise ValueError(
                f"{argument} must name a column of the items, got {name!r}; there are "
                f"{', '.join(map(repr, self._columns)) or 'none'}"
            )
        return self._columns[name]

    def to_arrays(self, prefix: str) -> tuple[dict[str, Any], dict[str, Array]]:
        """A description in terms of JSON, and arrays, whose names begin with ``prefix``."""
        arrays: dict[str, Array] = {}
        described = []
        for place, (name, column) in enumerate(self._columns.items()):
            values, own = column.to_arrays()
            arrays |= {f"{prefix}{place}_{key}": array for key, array in own.items()}
            key = to_plain(name, "a column's name")
            described.append({"name": key, "form": column.form, "values": values})
        return {"n_items": self.n_items, "columns": described}, arrays

    @classmethod
    def from_arrays(cls, plain: Any, arrays: Mapping[str, Array], prefix: str) -> ItemColumns:
        """The columns of `to_arrays`, or a ValueError."""
        try:
            n_items = plain["n_items"]
            if type(n_items) is not int or n_items < 0:
                raise ValueError(f"n_items cannot be {n_items!r}")
            columns: dict[Hashable, _Numbers | _Values] = {}
            for place, one in enumerate(plain["columns"]):
                kind = _Numbers if one["form"] in _OF_NUMBERS else _Values
                start = f"{prefix}{place}_"
                own = {
                    key.removeprefix(start): array
                    for key, array in arrays.items()
                    if key.startswith(start)
                }
                columns[from_plain(one["name"])] = kind.from_arrays(one, own, n_items)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the columns of items cannot be read: {error}") from error
        return cls(n_items, columns)


# A form says how a column is kept and read again: "number", "integer", "time", "value", "list", or
# "split" and what its texts are split at.
_OF_NUMBERS = ("number", "integer", "time")


def _form(column: Column, rule: Rule | None) -> str | None:
    if isinstance(rule, split) and column.kind != "list":
        return f"split{rule.sep}"
    if isinstance(rule, part):
        return "time"
    if isinstance(rule, bins | scaled) and column.kind == "category":
        return "number"
    if column.kind == "number":
        return "integer" if "int" in column.dtype.lower() else "number"
    if column.kind in ("list", "time"):
        return column.kind
    if rule is None and column.kind == "category" and are_dates(column.codes().values):
        return "time"  # as the encoder takes them
    return None if column.kind == "other" else "value"


def _missing(form: str) -> _Numbers | _Values:
    """A column of no items."""
    if form in _OF_NUMBERS:
        return _Numbers(form, np.empty(0, "M8[us]" if form == "time" else np.float64))
    return _Values(form, np.empty(0, np.int32), np.empty(0, np.int32), [])


class _Numbers:
    """Numbers or dates [n_items], NaN or NaT where they are missing."""

    def __init__(self, form: str, values: Array) -> None:
        self.form = form
        self.values = values

    def put(self, column: Column | None, source: Array) -> _Numbers:
        values = np.full(len(source), np.nan if self.form != "time" else "NaT", self.values.dtype)
        values[: len(self.values)] = self.values
        if column is not None:
            new = moments(column) if self.form == "time" else numbers(column)
            at = np.flatnonzero(source >= 0)
            values[at] = new[source[at]]
        return _Numbers(self.form, values)

    def mask(self, wanted: Any, n_items: int, whose: str) -> Mask:
        mask: Mask
        if isinstance(wanted, between):
            mask = ~self._missing
            if wanted.low is not None:
                mask &= self.values >= self._read(wanted.low, whose)
            if wanted.high is not None:
                mask &= self.values <= self._last(wanted.high, whose)
            return mask
        if isinstance(wanted, tuple) and len(wanted) == 2:  # meant as a range more often than not
            low, high = wanted
            raise TypeError(
                f"{whose} was given {shown(wanted)}, which could mean two things; write "
                f"between({shown(low)}, {shown(high)}) for the range, or [{shown(low)}, "
                f"{shown(high)}] for either of the two"
            )
        mask = np.zeros(n_items, bool)
        for value in _all_of(wanted):
            mask |= (self.values >= self._read(value, whose)) & (
                self.values <= self._last(value, whose)
            )
        return mask

    def codes(self, n_items: int, whose: str) -> npt.NDArray[np.int32]:
        codes: npt.NDArray[np.int32] = np.full(n_items, -1, np.int32)
        present = np.flatnonzero(~self._missing)
        codes[present] = np.unique(self.values[present], return_inverse=True)[1]
        return codes

    def take(self, rows: Array) -> Array:
        nothing = np.array(["NaT" if self.form == "time" else np.nan], self.values.dtype)
        taken: Array = np.append(self.values, nothing)[rows]
        if self.form == "integer" and not self._missing.any() and (rows >= 0).all():
            return taken.astype(np.int64)
        return taken

    first = take  # there is one each

    @property
    def _missing(self) -> Mask:
        return np.isnat(self.values) if self.form == "time" else np.isnan(self.values)

    def _last(self, value: Any, whose: str) -> Any:
        """The last number or moment that a value stands for: a day is all of it."""
        read = self._read(value, whose)
        is_day = isinstance(value, date) and not isinstance(value, datetime)
        if isinstance(value, str) and self.form == "time":
            is_day = len(value.strip()) == len("2024-03-31")
        return read + np.timedelta64(_DAY - 1, "us") if is_day else read

    def _read(self, value: Any, whose: str) -> Any:
        if self.form == "time":
            return np.datetime64(moment(value, whose) or "NaT", "us")
        if not is_real(value):
            raise TypeError(f"{whose} must be a number, as the column holds, got {shown(value)}")
        return float(value)

    def to_arrays(self) -> tuple[None, dict[str, Array]]:
        values = self.values.view(np.int64) if self.form == "time" else self.values
        return None, {"numbers": values}

    @classmethod
    def from_arrays(cls, plain: Any, arrays: Mapping[str, Array], n_items: int) -> _Numbers:
        values = arrays["numbers"]
        is_time = plain["form"] == "time"
        if values.shape != (n_items,) or values.dtype != (np.int64 if is_time else np.float64):
            raise ValueError(f"{plain['name']!r} cannot be {values.dtype} of shape {values.shape}")
        return cls(plain["form"], values.view("M8[us]") if is_time else values)


class _Values:
    """Any values: one entry for each value of each item, as a number into the distinct ones."""

    def __init__(self, form: str, row: Array, code: Array, values: list[Any]) -> None:
        self.form = form
        self.row = row  # int32, in order
        self.code = code  # int32
        self.values = values

    # Found once, as there may be as many as items, and requests are to be fast.

    @cached_property
    def _places(self) -> dict[Any, int]:
        return {value: place for place, value in enumerate(self.values)}

    @cached_property
    def _are_texts(self) -> set[bool]:
        return {isinstance(value, str) for value in self.values}

    @cached_property
    def _objects(self) -> Array:
        """The values, and None behind them."""
        return np.array([*self.values, None], object)

    def put(self, column: Column | None, source: Array) -> _Values:
        if column is None:
            return self
        in_table, code, values = self._read(column)
        self._check_types(values, column)
        places = self._places.copy()
        into = [places.setdefault(value, len(places)) for value in map(_plain, values)]
        at = np.flatnonzero(source >= 0)
        item: Array = np.full(len(column.missing()), -1, np.int32)
        item[source[at]] = at
        new = np.flatnonzero(item[in_table] >= 0)
        old = np.flatnonzero(source[self.row] < 0)
        row = np.append(self.row[old], item[in_table[new]])
        code = np.append(self.code[old], np.array(into, np.int32)[code[new]])
        order = np.argsort(row, kind="stable")
        return _Values(self.form, row[order], code[order].astype(np.int32), list(places))

    def _read(self, column: Column) -> tuple[Array, Array, list[Any]]:
        """Rows of the table, numbers into the values, and these."""
        if self.form.startswith("split"):
            pieces = split(self.form.removeprefix("split")).of_column(column)
            return pieces.row, pieces.code, pieces.labels
        if column.kind == "empty":
            return np.empty(0, np.intp), np.empty(0, np.intp), []
        if (column.kind == "list") != (self.form == "list") or column.kind == "other":
            held = "lists" if self.form == "list" else "values"
            raise TypeError(f"{column.label} must hold {held}, as before, got {column.dtype}")
        rows, elements = column.elements() if self.form == "list" else (None, column)
        codes, values = elements.codes()
        present = np.flatnonzero(codes >= 0)
        return present if rows is None else rows[present], codes[present], values

    def _check_types(self, values: list[Any], column: Column) -> None:
        """Refuse numbers where there were texts, and texts where there were none."""
        known = self._are_texts
        if len(known) == 1 and {isinstance(value, str) for value in values} - known:
            held = "texts" if True in known else "no texts"
            raise TypeError(
                f"{column.label} must hold {held}, as before, got {column.dtype}; read it as it "
                "was read then (dtype=str keeps leading zeros)"
            )

    def mask(self, wanted: Any, n_items: int, whose: str) -> Mask:
        if isinstance(wanted, between):
            raise TypeError(
                f"{whose} must be values, as the column holds neither numbers nor dates, got "
                f"{wanted}; numbers and dates that are texts become such by a rule in columns, "
                "scaled() or part('year')"
            )
        hit: Mask = np.zeros(len(self.values), bool)
        for value in _all_of(wanted):
            if is_missing(value) or not isinstance(value, Hashable):
                raise ValueError(f"{whose} must be values that a column can hold, got {value!r}")
            if self._are_texts and isinstance(value, str) not in self._are_texts:
                raise TypeError(
                    f"{whose} must be of the type of the column's values, such as "
                    f"{self.values[0]!r}, got {shown(value)}"
                )
            if value in self._places:
                hit[self._places[value]] = True
        mask: Mask = np.zeros(n_items, bool)
        mask[self.row[hit[self.code]]] = True
        return mask

    def codes(self, n_items: int, whose: str) -> npt.NDArray[np.int32]:
        if self.form != "value":
            raise TypeError(
                f"{whose} must be a column with one value an item, but it holds lists; choose "
                "another"
            )
        codes: npt.NDArray[np.int32] = np.full(n_items, -1, np.int32)
        codes[self.row] = self.code
        return codes

    def first(self, rows: Array) -> list[Any]:
        begins, ends = self._range(rows)
        codes = np.full(len(begins), -1)
        found = begins < ends
        codes[found] = self.code[begins[found]]
        taken: list[Any] = self._objects[codes].tolist()
        return taken

    def _range(self, rows: Array) -> tuple[Array, Array]:
        """Where the entries of items begin and end."""
        return np.searchsorted(self.row, rows, "left"), np.searchsorted(self.row, rows, "right")

    def take(self, rows: Array) -> list[Any]:
        if self.form == "value":
            return self.first(rows)
        begins, ends = self._range(rows)
        lists = [
            self._objects[self.code[begin:end]].tolist() if begin < end else None
            for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
        ]
        if self.form == "list":
            return lists
        sep = self.form.removeprefix("split")
        return [None if one is None else sep.join(one) for one in lists]

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, Array]]:
        layout, arrays = keys_to_arrays(self.values, "value of a column")
        arrays = {f"values{suffix}": array for suffix, array in arrays.items()}
        return layout, {"row": self.row, "code": self.code, **arrays}

    @classmethod
    def from_arrays(cls, plain: Any, arrays: Mapping[str, Array], n_items: int) -> _Values:
        form, values = plain["form"], keys_from_arrays("values", plain["values"], dict(arrays))
        if type(form) is not str or not (form in ("value", "list") or form[:5] == "split"):
            raise ValueError(f"a column cannot have the form {form!r}")
        if form[:5] == "split":
            split(form[5:])  # which says what may stand between
        row, code = arrays["row"], arrays["code"]
        if not all(type(value) in _KEPT for value in values) or len(set(values)) < len(values):
            raise ValueError(f"the values of {plain['name']!r} must be plain and distinct")
        for array, size in ((row, n_items), (code, len(values))):
            if array.dtype != np.int32 or array.shape != (len(row),):
                raise ValueError(f"{plain['name']!r} cannot be {array.dtype} of {array.shape}")
            if len(array) and not 0 <= array.min() <= array.max() < size:
                raise ValueError(f"{plain['name']!r} holds numbers beyond {size}")
        steps = np.diff(row)
        if (steps < 0).any() or (form == "value" and (steps == 0).any()):
            raise ValueError(f"the items of {plain['name']!r} must be in order")
        return cls(form, row, code, values)


# Values that are kept as they are; others become texts.
_KEPT = (str, bytes, int, float, bool)


def _plain(value: Any) -> Any:
    return value if type(value) in _KEPT else str(value)


def _all_of(wanted: Any) -> Iterable[Any]:
    """The values of a condition, of which one is enough."""
    if isinstance(wanted, np.ndarray):
        wanted = wanted.tolist()
    return wanted if isinstance(wanted, list | tuple | set | frozenset) else (wanted,)
