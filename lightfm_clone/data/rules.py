"""Rules: what becomes of the values of a column, in a table or one by one."""

from __future__ import annotations

import dataclasses
import math
import re
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lightfm_clone._checks import is_integer
from lightfm_clone._tables import is_missing
from lightfm_clone.data.columns import Column
from lightfm_clone.data.rows import shown
from lightfm_clone.persistence.plain import from_plain, to_plain

Array = npt.NDArray[Any]

SCALINGS = ("standard", "minmax", None)
PARTS = ("year", "month", "day", "weekday", "hour")
_DATE = re.compile(r"\s*(\d{4}-\d{2}-\d{2}|$)")  # a year alone is a number
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Pieces(NamedTuple):
    """What a rule reads in a column: one entry for each label of each row."""

    row: Array  # of the table, in order
    code: Array  # integers, into the labels
    labels: list[str]
    value: Array | None = None  # float32; None is 1 throughout


NOTHING = Pieces(np.empty(0, np.intp), np.empty(0, np.intp), [])


class Rule:
    """What becomes of the values of a column.

    A rule reads labels in values; each label is a feature. `of_column` and `of_value` read alike.
    """

    # How often a label has to occur to become a feature; 0: also when it does not.
    min_count = 0
    # Whether it has learned what it has to.
    is_settled = True

    def settled(self, column: Column) -> Rule:
        """The rule with what it has to learn from a column, such as the edges of bins."""
        return self

    def of_column(self, column: Column) -> Pieces:
        raise NotImplementedError

    def of_value(self, value: Any, whose: str) -> tuple[Iterable[str], float]:
        """The labels of a value that is not missing, and the value of their features."""
        raise NotImplementedError

    def name(self, column: Hashable, label: str) -> str:
        return f"{column}:{label}"

    def words(self, labels: Sequence[str]) -> str:
        """What became of a column, for its reader."""
        raise NotImplementedError


# What the caller writes in `columns`: bins(5), split("|"). So their names are those of functions.


@dataclass(frozen=True)
class categories(Rule):
    """A feature for each distinct value, or for each distinct element where values are lists.

    Parameters
    ----------
    min_count : int, default 1
        How often a value has to occur to become a feature. Rarer ones make no entry.

    Raises
    ------
    ValueError
        When `min_count` is no integer of at least 1.
    """

    min_count: int = 1

    def __post_init__(self) -> None:
        if not is_integer(self.min_count) or self.min_count < 1:
            raise ValueError(
                f"min_count must be an integer of at least 1, got {shown(self.min_count)}"
            )

    def of_column(self, column: Column) -> Pieces:
        rows, elements = column.elements() if column.kind == "list" else (None, column)
        if elements.kind in ("list", "other"):
            held = "lists of names" if rows is not None else "categories, hashable values"
            raise TypeError(
                f"{column.label} must hold {held}, got {column.dtype}; turn it into texts, or "
                "leave the column out with None"
            )
        codes, values = elements.codes()
        present = np.flatnonzero(codes >= 0)
        # Whole numbers are floats where some are missing.
        text = _whole if elements.kind == "number" else str
        row = present if rows is None else rows[present]
        return Pieces(row, codes[present], list(map(text, values)))

    def of_value(self, value: Any, whose: str) -> tuple[Iterable[str], float]:
        if isinstance(value, list | tuple | set | frozenset | np.ndarray):
            return _elements(value), 1.0
        return (str(value),), 1.0

    def words(self, labels: Sequence[str]) -> str:
        return f"categories, {_some(labels)}"


@dataclass(frozen=True)
class flag(Rule):
    """One feature with the name of the column, 1 where the value is true."""

    def of_column(self, column: Column) -> Pieces:
        values = numbers(column)
        row = np.flatnonzero(~np.isnan(values) & (values != 0))
        return Pieces(row, np.zeros(len(row), np.intp), ["true"])

    def of_value(self, value: Any, whose: str) -> tuple[Iterable[str], float]:
        number = _number(value, whose)
        return ("true",) if number and number == number else (), 1.0

    def name(self, column: Hashable, label: str) -> str:
        return str(column)

    def words(self, labels: Sequence[str]) -> str:
        return "one feature, 1 where it is true"


@dataclass(frozen=True)
class split(Rule):
    """A feature for each distinct part of texts such as ``"red|large|new"``.

    Blanks around the parts do not count, empty parts make no entry. Lists are taken as they are.

    Parameters
    ----------
    sep : str
        What stands between the parts.

    Raises
    ------
    ValueError
        When `sep` is no text, or empty.
    """

    sep: str

    def __post_init__(self) -> None:
        if type(self.sep) is not str or not self.sep:
            raise ValueError(f"sep must be a text such as '|', got {shown(self.sep)}")

    def of_column(self, column: Column) -> Pieces:
        if column.kind == "list":
            return categories().of_column(column)
        if column.kind == "empty":
            return NOTHING
        codes, values = _codes(column, "texts to split")
        present = np.flatnonzero(codes >= 0)
        places: dict[str, int] = {}
        parts = [
            [places.setdefault(part, len(places)) for part in self._parts(value, column.label)]
            for value in values
        ]
        sizes = np.fromiter(map(len, parts), np.intp, len(parts))
        flat = np.fromiter((place for of_one in parts for place in of_one), np.intp, sizes.sum())
        of_rows = codes[present]
        at = runs((np.cumsum(sizes) - sizes)[of_rows], sizes[of_rows])
        return Pieces(np.repeat(present, sizes[of_rows]), flat[at], list(places))

    def of_value(self, value: Any, whose: str) -> tuple[Iterable[str], float]:
        if isinstance(value, list | tuple | set | frozenset | np.ndarray):
            return _elements(value), 1.0
        return self._parts(value, whose), 1.0

    def _parts(self, value: Any, whose: str) -> list[str]:
        if not isinstance(value, str):
            raise TypeError(
                f"{whose} must hold texts to split at {self.sep!r}, got {shown(value)}; use "
                "categories() for values that are no texts"
            )
        return [part for piece in value.split(self.sep) if (part := piece.strip())]

    def words(self, labels: Sequence[str]) -> str:
        return f"texts split at {self.sep!r}, {_some(labels)}"


@dataclass(frozen=True)
class bins(Rule):
    """A feature for each range of numbers.

    Parameters
    ----------
    edges : int or sequence of float
        A number of bins, with edges at the quantiles of the column, so that each bin holds as much
        as the others; equal quantiles are merged. Or the edges themselves: ``[10, 25]`` makes the
        bins ``<10``, ``[10, 25)`` and ``>=25``.

    Raises
    ------
    ValueError
        When it is neither an integer of at least 2 nor one or more finite numbers.
    """

    edges: int | Sequence[float]

    def __post_init__(self) -> None:
        given: Any = self.edges
        if not is_integer(given):
            try:
                # A set, as equal edges are one.
                edges = tuple(sorted({float(edge) for edge in given}))
            except (TypeError, ValueError):
                edges = ()
            if not edges or isinstance(given, str) or not all(map(math.isfinite, edges)):
                raise ValueError(
                    "bins must be a number of bins or a list of their edges, finite numbers such "
                    f"as [10, 25], got {shown(given)}"
                )
            object.__setattr__(self, "edges", edges)
        elif given < 2:
            raise ValueError(f"bins must be 2 or more, got {given}")

    def __repr__(self) -> str:
        edges = self.edges
        return f"bins({list(map(_tidy, edges)) if isinstance(edges, tuple) else edges})"

    @property
    def is_settled(self) -> bool:  # type: ignore[override]
        return isinstance(self.edges, tuple)

    def settled(self, column: Column) -> Rule:
        if isinstance(self.edges, tuple):
            numbers(column)  # which refuses what cannot be one
            return self
        values = finite(numbers(column), column)
        present = values[~np.isnan(values)]
        if not len(present):
            raise ValueError(
                f"{column.label} must hold numbers to have quantiles, got nothing but missing "
                "values; give the edges of its bins, bins([10, 25]), or leave it out with None"
            )
        count: Any = self.edges
        exact = np.unique(np.quantile(present, np.arange(1, count) / count))
        # Below the smallest number there is nothing.
        exact = exact[exact > present.min()] if present.min() < exact[-1] else exact
        short = np.unique([float(f"{edge:g}") for edge in exact])
        return bins((short if len(short) == len(exact) else exact).tolist())

    def of_column(self, column: Column) -> Pieces:
        values = finite(numbers(column), column)
        row = np.flatnonzero(~np.isnan(values))
        edges, labels = self._ranges
        return Pieces(row, np.searchsorted(edges, values[row], "right"), labels)

    def of_value(self, value: Any, whose: str) -> tuple[Iterable[str], float]:
        number = _number(value, whose)
        if number != number:
            return (), 1.0
        edges, labels = self._ranges
        return (labels[bisect_right(edges, number)],), 1.0

    @cached_property
    def _ranges(self) -> tuple[tuple[float, ...], list[str]]:
        """The edges and the labels of the bins between them."""
        assert isinstance(self.edges, tuple)  # settled
        texts = list(map(_text, self.edges))
        inner = [f"[{low}, {high})" for low, high in zip(texts, texts[1:], strict=False)]
        return self.edges, [f"<{texts[0]}", *inner, f">={texts[-1]}"]

    def words(self, labels: Sequence[str]) -> str:
        edges = ", ".join(map(_text, self._ranges[0]))
        return f"numbers in {len(labels)} bins, edges {edges}"


@dataclass(frozen=True)
class scaled(Rule):
    """One feature with the name of the column, whose value is the number itself, scaled.

    Parameters
    ----------
    how : {"standard", "minmax", None}, default "standard"
        To mean 0 and standard deviation 1, to the range from 0 to 1, or not at all. A column that
        is all the same becomes 0.
    learned : tuple of 4 float, optional
        What a fit fills in: lowest number, range, and mean and deviation after these.

    Raises
    ------
    ValueError
        When `how` is none of the three.
    """

    how: str | None = "standard"
    learned: tuple[float, float, float, float] | None = dataclasses.field(
        default=None, kw_only=True, repr=False
    )

    def __post_init__(self) -> None:
        if not (self.how is None or isinstance(self.how, str)) or self.how not in SCALINGS:
            raise ValueError(f"scaled must be 'standard', 'minmax' or None, got {shown(self.how)}")
        if self.learned is not None:
            line = tuple(map(float, self.learned))
            if len(line) != 4 or not all(map(math.isfinite, line)) or 0 in (line[1], line[3]):
                raise ValueError(f"learned must be 4 finite numbers, got {shown(self.learned)}")
            object.__setattr__(self, "learned", line)

    @property
    def is_settled(self) -> bool:  # type: ignore[override]
        return self.learned is not None

    def settled(self, column: Column) -> Rule:
        values = numbers(column)
        present = finite(values[~np.isnan(values)], column, np.float32)
        low, span, mean, deviation = 0.0, 1.0, 0.0, 1.0
        if self.how is not None and len(present):
            low, span = float(present.min()), float(np.ptp(present))
            if self.how == "standard" and span:
                within = (present - low) / span
                mean, deviation = float(within.mean()), float(within.std())
        return dataclasses.replace(self, learned=(low, span or 1.0, mean, deviation))

    def of_column(self, column: Column) -> Pieces:
        values = finite(numbers(column), column, np.float32)
        row = np.flatnonzero(~np.isnan(values))
        value = self._scaled(values[row]).astype(np.float32)
        return Pieces(row, np.zeros(len(row), np.intp), ["number"], value)

    def of_value(self, value: Any, whose: str) -> tuple[Iterable[str], float]:
        number = _number(value, whose)
        return ("number",) if number == number else (), self._scaled(number)

    def _scaled(self, values: Any) -> Any:
        assert self.learned is not None  # settled
        low, span, mean, deviation = self.learned
        return ((values - low) / span - mean) / deviation

    def name(self, column: Hashable, label: str) -> str:
        return str(column)

    def words(self, labels: Sequence[str]) -> str:
        to = {"standard": "scaled to mean 0 and deviation 1", "minmax": "scaled to 0 to 1"}
        return f"one feature, the number {to.get(self.how or '', 'as it is')}"


@dataclass(frozen=True)
class part(Rule):
    """A feature for each distinct year, month, day of the month, weekday or hour of dates.

    Texts are read as dates of ISO 8601 (``2024-03-31``, ``2024-03-31T12:00:00+02:00``). With a
    time zone, UTC counts.

    Parameters
    ----------
    of : {"year", "month", "day", "weekday", "hour"}

    Raises
    ------
    ValueError
        When it is none of these.
    """

    of: str

    def __post_init__(self) -> None:
        if not isinstance(self.of, str) or self.of not in PARTS:
            raise ValueError(
                f"part must be one of {', '.join(map(repr, PARTS))}, got {shown(self.of)}"
            )

    def of_column(self, column: Column) -> Pieces:
        times = moments(column)
        row = np.flatnonzero(~np.isnat(times))
        code, values = by_appearance(_part_of(times[row], self.of))
        return Pieces(row, code, list(map(self._label, values)))

    def of_value(self, value: Any, whose: str) -> tuple[Iterable[str], float]:
        time = moment(value, whose)
        if time is None:
            return (), 1.0
        number = time.weekday() if self.of == "weekday" else getattr(time, self.of)
        return (self._label(number),), 1.0

    def _label(self, number: int) -> str:
        return f"{self.of} {WEEKDAYS[number] if self.of == 'weekday' else number}"

    def words(self, labels: Sequence[str]) -> str:
        return f"dates by {self.of}, {_some(labels)}"


@dataclass(frozen=True, init=False)
class cross(Rule):
    """A feature for each pair (or triple ...) of labels that the rules of several columns make.

    It is named by a key of its own in ``columns``:
    ``{"age": bins([25, 50]), "country and age": cross("country", "age")}``.

    Parameters
    ----------
    *columns : column name
        Two or more columns, each with categories or bins of its own.

    Raises
    ------
    ValueError
        When they are fewer than two, or one is named twice.
    """

    columns: tuple[Hashable, ...]

    def __init__(self, *columns: Hashable) -> None:
        if len(columns) < 2 or len(set(columns)) < len(columns):
            raise ValueError(f"cross must name two or more different columns, got {columns}")
        object.__setattr__(self, "columns", columns)

    def __repr__(self) -> str:
        return f"cross({', '.join(map(repr, self.columns))})"

    def words(self, labels: Sequence[str]) -> str:
        return f"{' x '.join(map(str, self.columns))}, {_some(labels)}"


_BY_NAME: dict[str, type[Rule]] = {
    kind.__name__: kind for kind in (categories, flag, split, bins, scaled, part, cross)
}
_SHORT: dict[str, Rule] = {
    "category": categories(),
    "number": scaled(),
    **{name: part(name) for name in PARTS},
}


def rule_of(given: Any, column: Hashable) -> Rule | None:
    """The rule that the caller gives for a column, which may be a short word for it."""
    if isinstance(given, str) and given in _SHORT:
        return _SHORT[given]
    if given is None or isinstance(given, Rule):
        return given
    raise (ValueError if isinstance(given, str) else TypeError)(
        f"columns must give a rule for {column!r}, such as bins(5), split('|'), categories(), "
        f"scaled(), part('year') or cross('a', 'b'), one of the words {', '.join(_SHORT)}, or "
        f"None to leave it out, got {shown(given)}"
    )


def rule_to_plain(rule: Rule | None) -> Any:
    """The rule in terms of JSON."""
    if rule is None:
        return None
    fields: Any = dataclasses.fields(rule)  # type: ignore[arg-type]
    values = {field.name: to_plain(getattr(rule, field.name)) for field in fields}
    return {"rule": type(rule).__name__, **values}


def rule_from_plain(plain: Any) -> Rule | None:
    """The rule of `rule_to_plain`, or a ValueError."""
    if plain is None:
        return None
    try:
        values = {key: from_plain(value) for key, value in plain.items() if key != "rule"}
        kind = _BY_NAME[plain["rule"]]
        return kind(*values["columns"]) if kind is cross else kind(**values)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"a rule cannot be {shown(plain)}: {error}") from error


# ---- values --------------------------------------------------------------------------------------


def runs(starts: Array, sizes: Array) -> Array:
    """The numbers from each start on, as many as its size."""
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    numbers: Array = np.arange(total) + np.repeat(starts - (ends - sizes), sizes)
    return numbers


def by_appearance(values: Array) -> tuple[Array, list[int]]:
    """Integers as numbers into the distinct ones, which come in order of first appearance."""
    distinct, first, code = np.unique(values, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return place[code], distinct[order].tolist()


def numbers(column: Column) -> Array:
    """The numbers of a column as float64, NaN where they are missing; texts are read."""
    if column.kind in ("number", "boolean"):
        given: Array = column.numbers()
        return given
    if column.kind == "empty":
        return np.full(len(column.missing()), np.nan)
    codes, values = _codes(column, "numbers")
    read = np.array([*(_number(value, column.label, infinite=True) for value in values), np.nan])
    return read[codes]


def finite(values: Array, column: Column, dtype: Any = np.float64) -> Array:
    """The values, if none is infinite as ``dtype``."""
    with np.errstate(over="ignore"):
        bad = np.flatnonzero(np.isinf(values.astype(dtype, copy=False)))
    if len(bad):
        single = " that fit 32 bits" if dtype == np.float32 else ""
        raise ValueError(
            f"{column.label} must hold finite numbers{single}, got {values[bad[0]]}; put a missing "
            "value in its place"
        )
    return values


def moments(column: Column) -> Array:
    """The dates of a column as datetime64, NaT where they are missing; texts are read."""
    if column.kind == "time":
        return column.times()
    if column.kind == "empty":
        return np.full(len(column.missing()), np.datetime64("NaT", "us"))
    codes, values = _codes(column, "dates")
    read = [*(moment(value, column.label) for value in values), None]
    return np.array(read, dtype="datetime64[us]")[codes]


def are_dates(values: Sequence[Any]) -> bool:
    """Whether all values are texts of whole dates, as `part` reads them, or blank."""
    if not all(isinstance(text, str) and _DATE.match(text) for text in values):
        return False
    try:
        return any([moment(text, "") for text in values])
    except ValueError:
        return False


def are_vectors(column: Column) -> bool:
    """Whether the lists of a column hold numbers that are not whole, as embeddings do."""
    _, elements = column.elements()
    if elements.kind != "number":
        return False
    values = elements.numbers()
    values = values[~np.isnan(values)]
    return bool((values != np.trunc(values)).any())


def _codes(column: Column, what: str) -> tuple[Array, list[Any]]:
    if column.kind != "category":
        remedy = {
            "number": "pandas.to_datetime(..., unit='s') makes dates of numbers"
            if what == "dates"
            else "use bins() or categories()",
            "time": "use part('year') for dates",
            "list": "use categories() for lists of names, and a column for each number of vectors",
            "boolean": "use categories() for booleans",
        }.get(column.kind, "leave the column out with None")
        raise TypeError(f"{column.label} must hold {what}, got {column.dtype}; {remedy}")
    return column.codes()


def _number(value: Any, whose: str, infinite: bool = False) -> float:
    """The value as a number; NaN where it is blank."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        if isinstance(value, str) and not value.strip():
            return math.nan
        raise ValueError(
            f"{whose} must hold numbers, or texts of numbers, got {shown(value)}; put a missing "
            "value in its place, or use categories() for texts"
        ) from None
    if math.isinf(number) and not infinite:
        raise ValueError(
            f"{whose} must hold finite numbers, got {number}; put a missing value in its place"
        )
    return number


def moment(value: Any, whose: str) -> datetime | None:
    """The value as a date and time in UTC without a zone; None where it is blank."""
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        try:
            # Before Python 3.11 it does not know the Z for UTC.
            value = datetime.fromisoformat(f"{text[:-1]}+00:00" if text[-1] in "zZ" else text)
        except ValueError:
            pass
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    raise ValueError(
        f"{whose} must hold dates, or texts such as '2024-03-31', got {shown(value)}; convert it "
        "first, with pandas.to_datetime for instance, or use categories() for texts"
    )


def _part_of(times: Array, of: str) -> Array:
    """Years, months from 1, days from 1, weekdays from 0 (Monday), or hours."""
    unit = {"year": "Y", "month": "M", "hour": "h"}.get(of, "D")
    count: Array = times.astype(f"datetime64[{unit}]").astype(np.int64)
    if of == "year":
        return count + 1970
    if of == "month":
        return count % 12 + 1
    if of == "hour":
        return count % 24
    if of == "weekday":
        return (count + 3) % 7
    days = times.astype("datetime64[D]")
    in_month: Array = (days - days.astype("datetime64[M]")).astype(np.int64)
    return in_month + 1


def _elements(values: Any) -> list[str]:
    """The elements of a list that are not missing, as labels."""
    elements = values.tolist() if isinstance(values, np.ndarray) else values
    return [str(element) for element in elements if not is_missing(element)]


def _whole(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _text(number: float) -> str:
    """A number as short as it can be written without becoming another."""
    text = f"{number:g}"
    return text if float(text) == number else str(_tidy(number))


def _tidy(number: float) -> float | int:
    return int(number) if number.is_integer() and abs(number) < 1e16 else number


def _some(labels: Sequence[str]) -> str:
    """How many labels there are, and the first."""
    first = ", ".join(label if len(label) <= 30 else f"{label[:27]}..." for label in labels[:5])
    return f"{len(labels)} different: {first}{', ...' if len(labels) > 5 else ''}"
