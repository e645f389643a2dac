"""Events to one entry a pair of user and item, with counts of what was removed on the way.

`read` takes the rows of a table that count, `pairs` makes one entry of all events of a pair, and
`merge` adds the pairs of new events to old ones. Merging day by day equals all at once, but that
events which are told again on another day are not known to be the same.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lightfm_clone._checks import is_real
from lightfm_clone._model.losses import LOSSES
from lightfm_clone.data import columns as columns_of
from lightfm_clone.data import sources, tables
from lightfm_clone.data.columns import Codes, Column
from lightfm_clone.data.rules import finite
from lightfm_clone.recommender.ageing import half_life_seconds
from lightfm_clone.typing import Floats, Id, Table

DUPLICATES = ("max", "sum", "last")

_DAY = 86_400.0  # seconds
# Up to which number a time counts what since 1970: in each unit that is the year 5138.
_SINCE_1970 = ((1e11, "seconds", 1.0), (1e14, "milliseconds", 1e3), (1e17, "microseconds", 1e6))
UNITS = {unit: parts for _, unit, parts in _SINCE_1970} | {"nanoseconds": 1e9}  # in a second
_MOST_KINDS = 64  # bits of the largest mask
_NAMED = 5  # kinds in a message


class Removed(NamedTuple):
    """Events that do not count, for one reason."""

    what: str
    how_many: int
    remedy: str


class Cause(NamedTuple):
    """Why events do not count. Each reading by the same rules has the same causes, in this order.

    So those of the parts of a table can be added up.
    """

    what: str
    how_many: int  # it may be none
    remedy: str
    kinds: tuple[str, ...] = ()  # of events that are concerned, for the message

    def removed(self) -> Removed:
        what, names = self.what, self.kinds
        if names:
            listed = ", ".join(names[:_NAMED])
            if len(names) > _NAMED:
                listed += f" and {len(names) - _NAMED} more"
            what += f" ({listed})"
        return Removed(what, self.how_many, self.remedy)

    def __add__(self, other: Cause) -> Cause:  # type: ignore[override]
        """The same cause in two parts of a table."""
        return Cause(
            self.what,
            self.how_many + other.how_many,
            min(self.remedy, other.remedy, key=len),  # what is said further is so of all rows alone
            tuple(dict.fromkeys(self.kinds + other.kinds)),
        )


class Log(NamedTuple):
    """The rows of a table of events that count, in its order."""

    users: Codes  # int32; every value occurs
    items: Codes
    kinds: Codes | None  # uint8 into all kinds with a weight, whether they occur or not
    weights: Floats | None  # at the time of the latest event; None where each event counts 1
    times: npt.NDArray[np.float64] | None  # seconds since 1970
    causes: tuple[Cause, ...]
    kept: npt.NDArray[np.bool_]  # bool [n_rows of the table]: which are here
    columns: dict[str, Hashable]  # by role: "user", "item", "timestamp", "event"
    time_unit: str | None  # what the numbers were taken for, where times are numbers

    @property
    def n_rows(self) -> int:
        """Of the table."""
        return len(self.kept)

    @property
    def removed(self) -> tuple[Removed, ...]:
        return tuple(cause.removed() for cause in self.causes if cause.how_many)


@dataclass(frozen=True, eq=False)
class Pairs:
    """One entry for each pair of user and item with events, as CSR with sorted items."""

    shape: tuple[int, int]
    indptr: npt.NDArray[np.integer[Any]]  # int32, or int64 from 2**31 events on
    indices: npt.NDArray[np.int32]
    weights: Floats | None  # None where each pair counts 1
    kinds: npt.NDArray[np.unsignedinteger[Any]] | None  # bit masks of the kinds of its events
    times: npt.NDArray[np.float64] | None  # of its latest event, seconds since 1970
    n_events: int  # that the entries are made of
    n_repeats: int  # events that were there more than once, left out here

    def rows(self, kinds: int | None = None) -> sp.csr_matrix:
        """The pairs as a matrix of float32 ones, or those that have any of the kinds of a mask."""
        indptr, indices = self.indptr, self.indices
        if kinds is not None:
            if self.kinds is None:
                raise ValueError(
                    "kinds must be None where events have no kinds; name their column with event="
                )
            has = (self.kinds & self.kinds.dtype.type(kinds)) != 0
            indices = indices[has]
            indptr = np.concatenate(([0], np.cumsum(has, dtype=indptr.dtype)))[indptr]
        ones = np.ones(len(indices), dtype=np.float32)
        matrix = sp.csr_matrix((ones, indices, indptr), shape=self.shape)
        matrix.has_canonical_format = True
        return matrix


# ---- from a table to the rows that count ---------------------------------------------------------


def read(
    events: Table,
    *,
    user: Id,
    item: Id,
    timestamp: Id | None = None,
    event: Id | None = None,
    event_weights: Mapping[Id, float] | None = None,
    weight: Id | None = None,
    half_life: Any = None,
    watched: Id | tuple[Id, ...] | list[Id] | None = None,
    min_watched: float = 0.1,
    known_kinds: Iterable[Id] = (),
    argument: str = "events",
) -> Log:
    """The events of a table that count, with their weights.

    An event counts when it has all that is read of it, and a weight above 0. Its weight is the
    product of what ``event_weights``, ``weight`` and ``half_life`` say.

    Parameters
    ----------
    events : table
        A row for each event.
    user, item : column name
        The columns of ids.
    timestamp : column name, optional
        The column of times: dates, texts of dates as ISO 8601 writes them, or numbers since 1970,
        in seconds, milliseconds, microseconds or nanoseconds, whichever makes them dates.
    event : column name, optional
        The column of kinds, such as view and purchase.
    event_weights : dict from kind to number, optional
        What an event of each kind counts, 1 by default. Kinds that are not named, or weigh 0, do
        not count.
    weight : column name, optional
        The column of what each event counts, numbers >= 0, such as ratings or quantities.
    half_life : str, number of days or timedelta, optional
        The age, from the latest event on, at which an event counts half: "30d", "12h".
    watched : column name, or tuple or list of two or three, optional
        How much of the item was watched (heard, read): a share from 0 to 1; or (what was watched,
        the length of all); or (start, end, the length of all). Start and end are read as
        ``timestamp``, and the length then is in seconds; positions, numbers from 0 on, are in the
        unit of the length.
    min_watched : float, default 0.1
        Events with a lower share do not count.
    known_kinds : iterable of kinds
        Kinds that come first in the numbering of kinds: those of earlier events.

    Raises
    ------
    ValueError
        When a column is not there, a weight is negative, or an argument cannot be.
    TypeError
        When ``events`` is no table, or a column holds what it cannot be used for.
    """
    columns = columns_of.by_name(events, argument)
    named = {"user": user, "item": item, "timestamp": timestamp, "event": event, "weight": weight}
    of = {
        role: tables.column_of(columns, name, role, argument)
        for role, name in named.items()
        if name is not None
    }
    if event_weights is not None:
        if event is None:
            raise ValueError(
                "event_weights need the column of kinds; name it with event=, which is None"
            )
        _check_event_weights(event_weights)
    if half_life is not None:
        half_life_seconds(half_life)  # which checks it
        if timestamp is None:
            raise ValueError("half_life needs times; name their column with timestamp=")

    kept = _Kept(len(of["user"].missing()))
    times = time_unit = None
    if timestamp is not None:
        times, time_unit = times_of(of["timestamp"], "the timestamp")
        kept.complete(np.isnan(times), of["timestamp"])
    users, items = (_ids(of[role], role, kept) for role in ("user", "item"))
    kinds = weights = None
    if event is not None:
        kinds, weights = _kinds(of["event"], event_weights, known_kinds, kept)
    if weight is not None:
        given = _weights(of["weight"])
        kept.complete(np.isnan(given), of["weight"])
        kept.without(given == 0, "with a weight of 0", "give them a higher one to keep them")
        weights = given if weights is None else weights * given
    if watched is not None:
        _watch(columns, watched, min_watched, kept, argument)

    if not kept.rows.all():
        users, items = (
            _without_gaps(Codes(kept.of(ids.codes), ids.values)) for ids in (users, items)
        )
        kinds = kinds and Codes(kept.of(kinds.codes), kinds.values)
        times = None if times is None else kept.of(times)
        weights = None if weights is None else kept.of(weights)
    if half_life is not None and times is not None and len(times):
        weights = aged(weights, times, times.max(), half_life)
    return Log(
        users,
        items,
        kinds,
        weights,
        times,
        tuple(kept.causes),
        kept.rows,
        {role: name for role, name in named.items() if name is not None},
        time_unit,
    )


def aged(weights: Floats | None, times: npt.NDArray[Any], latest: float, half_life: Any) -> Floats:
    """Weights of events, halved with every half-life before the latest one."""
    # In place, and rounded once: the precision of float32 is in the age, not in the date.
    decay = np.empty(len(times), dtype=np.float32)
    np.subtract(times, latest, out=decay, casting="same_kind")
    decay /= half_life_seconds(half_life)
    np.exp2(decay, out=decay)
    return decay if weights is None else np.multiply(weights, decay, out=decay)


def columns_read(rules: Mapping[str, Any]) -> list[Id]:
    """The columns that `read` reads by these arguments."""
    named = [rules.get(role) for role in ("user", "item", "timestamp", "event", "weight")]
    named += _several(rules.get("watched"))
    return list(dict.fromkeys(name for name in named if name is not None))


def of_source(source: Any, rules: Mapping[str, Any], *, known_kinds: Iterable[Id] = ()) -> Log:
    """The events of whatever `sources.read` takes that count; `rules` are arguments of `read`.

    Of a file, only the columns that rules name are read, and nothing of them is kept.
    """
    table = sources.read(source, "events", [rules["user"], rules["item"]], columns_read(rules))
    log = read(table, **rules, known_kinds=known_kinds)
    del table
    sources.give_back()
    return log


def refuse_empty(
    n_events: int, n_rows: int, removed: Iterable[Removed], argument: str = "events"
) -> None:
    """Refuse a table without a single event that counts."""
    if n_events:
        return
    causes = "".join(f"; {n} {what}: {remedy}" for what, n, remedy in removed)
    raise ValueError(
        f"{argument} must have at least one event that counts, got {n_rows} rows{causes}"
    )


class _Kept:
    """Which rows count, and why the others do not: the first reason that is found."""

    def __init__(self, n_rows: int) -> None:
        self.rows = np.ones(n_rows, dtype=bool)
        self.causes: list[Cause] = []

    def without(
        self, bad: npt.NDArray[np.bool_], what: str, remedy: str, kinds: tuple[str, ...] = ()
    ) -> None:
        how_many = int(np.count_nonzero(bad & self.rows))
        self.causes.append(Cause(what, how_many, remedy, kinds))
        if how_many:
            self.rows &= ~bad

    def complete(
        self,
        missing: npt.NDArray[np.bool_],
        column: Column,
        remedy: str = "fill it in to keep them",
    ) -> None:
        """Leave out the rows without a value in a column."""
        self.without(missing, f"without a value in {column.label}", remedy)

    def of(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return values[self.rows]


def _ids(column: Column, role: str, kept: _Kept) -> Codes:
    codes, values = tables.ids_of(column, role)
    codes = codes.astype(np.int32, copy=False)
    kept.complete(codes < 0, column, of_missing_ids(role))
    return Codes(codes, values)


def of_missing_ids(role: str) -> str:
    """The remedy for rows without the id of a user (an item)."""
    return (
        "give each an id of its own to keep them; one for all, as fillna() makes, would be one "
        f"giant {role}"
    )


def _without_gaps(ids: Codes) -> Codes:
    """The ids that still occur, as the removed rows had some for themselves."""
    occurs = np.zeros(len(ids.values), dtype=bool)
    occurs[ids.codes] = True
    if occurs.all():
        return ids
    numbers = np.cumsum(occurs, dtype=np.int32) - np.int32(1)
    values = [ids.values[place] for place in np.flatnonzero(occurs).tolist()]
    return Codes(numbers[ids.codes], values)


def times_of(column: Column, role: str) -> tuple[npt.NDArray[np.float64], str | None]:
    """Seconds since 1970, NaN where there is none, and the unit that numbers were taken for."""
    if column.kind == "number":
        return _since_1970(column.numbers(), column, role)
    if column.kind == "time":
        return _of_dates(column.times()), None
    if column.kind == "category":
        codes, texts = column.codes()
        if all(isinstance(text, str) for text in texts):
            values, unit = _of_texts(texts, column, role)
            return np.append(values, np.nan)[codes], unit  # -1 is the last
    elif column.kind == "empty":
        return np.full(len(column.missing()), np.nan), None
    raise TypeError(
        f"{column.label} must hold dates, numbers since 1970 or texts of ISO 8601 to be {role}, "
        f"got {column.dtype}; convert it first, for instance with pandas.to_datetime"
    )


def _of_dates(dates: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    values = dates.astype("datetime64[us]", copy=False).view(np.int64) / 1e6
    values[np.isnat(dates)] = np.nan
    return values


def _of_texts(
    texts: list[str], column: Column, role: str
) -> tuple[npt.NDArray[np.float64], str | None]:
    try:
        return _since_1970(np.array(texts, dtype=np.float64), column, role)
    except ValueError:
        pass
    try:
        if not {"now", "today"}.isdisjoint(texts):  # which NumPy would take for dates
            raise ValueError("'now' and 'today' are none")
        with warnings.catch_warnings():  # that datetime64 has no zones: UTC is what we want
            warnings.simplefilter("ignore")
            return _of_dates(np.array(texts, dtype="datetime64[us]")), None
    except ValueError as error:
        raise ValueError(
            f"{column.label} must hold texts of dates such as '2024-12-31 23:59:59' to be {role}: "
            f"{error}; convert it first, for instance with pandas.to_datetime(..., "
            "format='%d.%m.%Y')"
        ) from None


def _since_1970(
    values: npt.NDArray[Any], column: Column, role: str
) -> tuple[npt.NDArray[np.float64], str]:
    values = values.astype(np.float64, copy=False)
    largest = max(np.fmax.reduce(values, initial=0), -np.fmin.reduce(values, initial=0))
    if largest >= 2**63:  # more nanoseconds than there are dates
        raise ValueError(
            f"{column.label} must hold finite numbers since 1970, of seconds down to nanoseconds, "
            f"to be {role}, got {largest:g}"
        )
    for most, unit, parts in _SINCE_1970:
        if largest < most:
            return (values if parts == 1 else values / parts), unit
    return values / UNITS["nanoseconds"], "nanoseconds"


def _check_event_weights(event_weights: Mapping[Id, float]) -> None:
    if not isinstance(event_weights, Mapping):
        raise TypeError(
            "event_weights must be a dict from kinds to numbers, such as {'view': 1, 'purchase': "
            f"10}}, got {type(event_weights).__name__}"
        )
    for kind, value in event_weights.items():
        if isinstance(value, bool) or not is_real(value):
            raise TypeError(
                f"event_weights must hold numbers, got {type(value).__name__} for {kind!r}"
            )
        if not 0 <= value < math.inf:
            raise ValueError(
                f"event_weights must be numbers >= 0, got {value} for {kind!r}; 0 leaves a kind out"
            )
    if not any(event_weights.values()):
        raise ValueError(
            f"event_weights must have a kind with a weight above 0, got {dict(event_weights)!r}"
        )


def _kinds(
    column: Column,
    event_weights: Mapping[Id, float] | None,
    known: Iterable[Id],
    kept: _Kept,
) -> tuple[Codes, Floats | None]:
    """The kinds of events, numbered, and the weights; kinds that do not count leave ``kept``."""
    codes, values = tables.ids_of(column, "event")
    kept.complete(codes < 0, column)
    counting = values
    if event_weights is not None:
        _leave_kinds_out(codes, values, event_weights, kept)
        counting = [kind for kind, value in event_weights.items() if value > 0]
    numbers = {kind: number for number, kind in enumerate(dict.fromkeys([*known, *counting]))}
    check_number_of_kinds(len(numbers), column.label)
    # The last place is that of -1, a missing kind; rows of number 0 for want of a better one
    # have left before.
    of_value = np.array([numbers.get(kind, 0) for kind in values] + [0], dtype=np.uint8)
    numbered = Codes(of_value[codes], list(numbers))
    if event_weights is None:
        return numbered, None
    weigh = np.array([event_weights.get(kind, 0) for kind in numbers], dtype=np.float32)
    return numbered, None if (weigh == 1).all() else weigh[numbered.codes]


def check_number_of_kinds(n: int, label: str) -> None:
    if n > _MOST_KINDS:
        raise ValueError(
            f"{label} must have at most {_MOST_KINDS} kinds of events, got {n}; is it the column "
            "of kinds? Name those that count with event_weights="
        )


def _leave_kinds_out(
    codes: npt.NDArray[Any], values: list[Any], event_weights: Mapping[Id, float], kept: _Kept
) -> None:
    """Leave out the events of kinds that weigh 0, or are not named."""
    weighs_0 = np.array([event_weights.get(kind) == 0 for kind in values] + [False])
    unnamed = np.array([kind not in event_weights for kind in values] + [False])
    for out, what, remedy in (
        (weighs_0, "weighs 0", "give it a weight above 0 in event_weights to keep them"),
        (unnamed, "event_weights does not name", "name it there to keep them"),
    ):
        names = tuple(repr(values[code]) for code in np.flatnonzero(out))
        kept.without(out[codes], f"of a kind that {what}", remedy, names)


def _weights(column: Column) -> Floats:
    if column.kind not in ("number", "boolean", "empty"):
        raise TypeError(f"{column.label} must hold numbers to be weights, got {column.dtype}")
    values: Floats = finite(column.numbers(), column, np.float32).astype(np.float32)
    bad = np.flatnonzero(values < 0)
    if len(bad):
        raise ValueError(
            f"{column.label} must hold finite weights >= 0, got {values[bad[0]]:g} in row {bad[0]} "
            f"({len(bad)} such rows); drop these rows, or shift the column"
        )
    return values


def _watch(
    columns: dict[Hashable, Column],
    watched: Id | tuple[Id, ...] | list[Id],
    min_watched: float,
    kept: _Kept,
    argument: str,
) -> None:
    """Leave out what was watched too little."""
    if isinstance(min_watched, bool) or not is_real(min_watched):
        raise TypeError(f"min_watched must be a number, got {type(min_watched).__name__}")
    if not 0 < min_watched <= 1:
        raise ValueError(f"min_watched must be a share above 0, up to 1, got {min_watched}")
    is_one = not isinstance(watched, list) and watched in columns  # a name may be a tuple
    names = [watched] if is_one else _several(watched)
    if not 1 <= len(names) <= 3:
        raise ValueError(
            "watched must be a column of shares, or a tuple, (what was watched, length) or (start, "
            f"end, length), got {watched!r}"
        )
    values: list[npt.NDArray[np.float64]] = []
    for place, name in enumerate(names):
        column = tables.column_of(columns, name, "watched", argument)
        if column.kind != "other" and len(names) == 3 and place < 2:
            values.append(times_of(column, "the start or the end of what was watched")[0])
        elif column.kind in ("number", "empty"):
            values.append(column.numbers())
        else:
            raise TypeError(
                f"{column.label} must hold numbers to say what was watched (start and end may be "
                f"dates), got {column.dtype}; column.dt.total_seconds() makes numbers of durations"
            )
    share = values[0]
    if len(values) > 1:
        *start, end, length = values
        seen = end - start[0] if start else end
        kept.without(
            seen < 0,
            "that end before they begin" if start else "with less than nothing watched",
            f"look whether watched={watched!r} names the right columns, in this order",
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(length > 0, seen / length, np.nan)
    present = share[~np.isnan(share)]
    if len(names) == 1 and len(present) and present.max() > 1:
        raise ValueError(
            f"the column {watched!r} of {argument} must hold shares from 0 to 1, got "
            f"{present.max():g}; divide it by 100 if it holds per cent, or give the column of "
            "lengths, too: watched=(column, length)"
        )
    if len(present) and np.median(present) > 10:
        raise ValueError(
            f"watched={watched!r} must have one unit for what was watched and for the length, got "
            f"shares of {np.median(present):g} in the median; milliseconds and seconds? From date "
            "to date, seconds count"
        )
    filled_in = "fill in the columns of watched="
    little = "lower min_watched to keep them"
    if len(names) > 1:
        filled_in += ", with lengths above 0"
        if present.max(initial=-np.inf) < min_watched:
            little += (
                "; or is the length in another unit, as none is watched further? From date to "
                "date, seconds count"
            )
    kept.without(np.isnan(share), "without a share that was watched", filled_in)
    kept.without(share < min_watched, f"with less than {min_watched:.0%} watched", little)


def _several(names: Any) -> list[Any]:
    """One name or several, as a list."""
    return list(names) if isinstance(names, tuple | list) else [names]


# ---- from events to pairs ------------------------------------------------------------------------


def pairs(
    rows: npt.NDArray[Any],
    cols: npt.NDArray[Any],
    shape: tuple[int, int],
    log: Log,
    *,
    duplicates: str,
) -> Pairs:
    """One entry for each pair, whose weight is the highest, the sum or that of the last event.

    Events that are the same in all that was read, time included, are one event told twice: they
    count once. Times that are whole days, or not there, cannot tell, and then each event counts.

    Parameters
    ----------
    rows, cols : int array, shape (n_events,)
        The rows of users and items in a matrix of this shape, for each event of the log.
    log : Log
        Their weights, kinds and times.
    duplicates : {"max", "sum", "last"}
        "last" is the latest event, of those at the same time, or without times, the one that comes
        last in the table.
    """
    check_duplicates(duplicates)
    indptr, indices, order = _by_pair(rows, cols, shape)
    first = np.empty(len(order), dtype=bool)
    first[:1] = True
    np.not_equal(indices[1:], indices[:-1], out=first[1:])
    first[indptr[:-1][indptr[:-1] < len(first)]] = True

    n_repeats = 0
    if log.times is not None and not first.all():
        _sort_by_time(order, first, log.times)
        again = _told_again(order, first, log)
        n_repeats = len(again)
        if n_repeats:
            indptr = indptr - np.searchsorted(again, indptr).astype(indptr.dtype)
            indices, order, first = (np.delete(a, again) for a in (indices, order, first))
    n_events = len(order)
    # Most pairs have one event. Of the others, all events, and where each pair begins there.
    last = np.append(first[1:], np.ones(min(n_events, 1), dtype=bool))
    several = np.flatnonzero(~(first & last))
    begins = np.flatnonzero(first[several])
    places = np.flatnonzero(~first[last])  # of these pairs among all
    events = order[several]
    if len(begins):
        indices = indices[first]
        indptr = indptr - np.searchsorted(several[~first[several]], indptr).astype(indptr.dtype)
        order = order[last]

    def combined(values: npt.NDArray[Any], how: Any) -> npt.NDArray[Any]:
        made: npt.NDArray[Any] = values[order]
        if len(begins):
            made[places] = how.reduceat(values[events], begins)
        return made

    weights: Floats | None = None
    if log.weights is not None:
        by_last = duplicates == "last"
        weights = log.weights[order] if by_last else combined(log.weights, _AT_ONCE[duplicates])
    elif duplicates == "sum":
        weights = np.ones(len(order), dtype=np.float32)
        weights[places] = np.diff(begins, append=len(events))
    kinds = None
    if log.kinds is not None:
        bits = np.left_shift(np.uint64(1), np.arange(len(log.kinds.values), dtype=np.uint64))
        bits = bits.astype(np.min_scalar_type(int(bits.sum())))
        kinds = combined(bits[log.kinds.codes], np.bitwise_or)
    times = None if log.times is None else log.times[order]
    return Pairs(shape, indptr, indices, weights, kinds, times, n_events, n_repeats)


_AT_ONCE: dict[str, Any] = {"max": np.maximum, "sum": np.add}


def check_duplicates(duplicates: Any) -> None:
    if duplicates not in DUPLICATES:
        raise ValueError(
            f"duplicates must be one of {', '.join(map(repr, DUPLICATES))}, got {duplicates!r}"
        )


def _by_pair(
    rows: npt.NDArray[Any], cols: npt.NDArray[Any], shape: tuple[int, int]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32], npt.NDArray[Any]]:
    """The events in order of users, then items, then as they came: (indptr, items, order).

    Conversions between sparse formats are counting sorts, and stable: one by item, one by user.
    """
    n = len(rows)
    numbers: Any = np.arange(n, dtype=np.int32 if n < 2**31 else np.int64)
    events = sp.coo_matrix((numbers, (cols, rows)), shape=shape[::-1], copy=False)
    events.has_canonical_format = True  # or repeated pairs would be summed
    by_item = events.tocsr()
    del events, numbers
    by_user = by_item.tocsc()
    # From 2**31 events on SciPy has both numbers as int64, and files hold items as int32.
    return by_user.indptr, by_user.indices.astype(np.int32, copy=False), by_user.data


def _sort_by_time(
    order: npt.NDArray[Any], first: npt.NDArray[np.bool_], times: npt.NDArray[np.float64]
) -> None:
    """Sort the events of each pair by time, in place; those at the same time stay as they came."""
    among = ~first
    among[:-1] |= ~first[1:]
    at = np.flatnonzero(among)
    events, begins = order[at], first[at]
    when = times[events]
    if (begins[1:] | (when[1:] >= when[:-1])).all():
        return
    order[at] = events[np.lexsort((when, np.cumsum(begins)))]


def _told_again(
    order: npt.NDArray[Any], first: npt.NDArray[np.bool_], log: Log
) -> npt.NDArray[np.intp]:
    """The places of events that are the same as an earlier one, in order."""
    assert log.times is not None
    later: npt.NDArray[np.intp] = np.flatnonzero(~first)
    later = later[log.times[order[later]] == log.times[order[later - 1]]]
    if not len(later) or not ((log.times[order[later]] % _DAY).any() or (log.times % _DAY).any()):
        return later[:0]  # there is none, or times are dates
    # All events that share pair and time with another, and where each such group begins.
    at = np.union1d(later - 1, later)
    group = np.cumsum(~np.isin(at, later, assume_unique=True))
    same = [group]
    if log.kinds is not None:
        same.append(log.kinds.codes[order[at]])
    if log.weights is not None:
        same.append(log.weights[order[at]])
    sorting = np.lexsort(same)
    again = np.ones(len(at) - 1, dtype=bool)
    for values in same:
        values = values[sorting]
        again &= values[1:] == values[:-1]
    places: npt.NDArray[np.intp] = at[sorting[1:][again]]
    places.sort()
    return places


def merge(old: Pairs, new: Pairs, *, duplicates: str, half_life: Any = None) -> Pairs:
    """The pairs of old and new events together, as if they had come at once.

    Parameters
    ----------
    old : Pairs
        Stays as it is. Its rows are the first rows of the new shape.
    new : Pairs
        On the shape of the result, with kinds numbered as in ``old`` and perhaps more of them.
    duplicates : {"max", "sum", "last"}
        As both were made.
    half_life : str, number of days or timedelta, optional
        As both were made. All weights are at the time of the latest event, old or new.
    """
    check_duplicates(duplicates)
    n_items = new.shape[1]
    # What was known, on the new shape.
    indptr = np.append(
        old.indptr, np.full(new.shape[0] - old.shape[0], old.indptr[-1], old.indptr.dtype)
    )
    old_keys, new_keys = (
        np.repeat(np.arange(new.shape[0]), np.diff(begin)) * n_items + items
        for begin, items in ((indptr, old.indices), (new.indptr, new.indices))
    )
    at = np.searchsorted(old_keys, new_keys)
    known = at < len(old_keys)
    known[known] = old_keys[at[known]] == new_keys[known]
    del old_keys
    both, place = at[known], at[~known]

    def joined(
        of_old: npt.NDArray[Any], of_new: npt.NDArray[Any], of_both: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        values = of_old.astype(np.promote_types(of_old.dtype, of_new.dtype))
        values[both] = of_both
        return np.insert(values, place, of_new[~known])

    is_later = None
    times = None
    if old.times is not None and new.times is not None:
        is_later = new.times[known] >= old.times[both]
        times = joined(old.times, new.times, np.maximum(old.times[both], new.times[known]))
    weights: Floats | None = None
    if old.weights is not None or new.weights is not None:
        of_old, of_new = _at_one_time(old, new, half_life)
        if duplicates != "last":
            of_both = _AT_ONCE[duplicates](of_old[both], of_new[known])
        elif is_later is None:
            of_both = of_new[known]
        else:
            of_both = np.where(is_later, of_new[known], of_old[both])
        weights = joined(of_old, of_new, of_both)
    kinds = None
    if old.kinds is not None and new.kinds is not None:
        kinds = joined(old.kinds, new.kinds, old.kinds[both] | new.kinds[known])
    indices = np.insert(old.indices, place, new.indices[~known])
    n_before = np.concatenate(([0], np.cumsum(~known)))[new.indptr]
    return Pairs(
        new.shape,
        (indptr + n_before).astype(np.promote_types(indptr.dtype, new.indptr.dtype)),
        indices,
        weights,
        kinds,
        times,
        old.n_events + new.n_events,
        old.n_repeats + new.n_repeats,
    )


def _at_one_time(old: Pairs, new: Pairs, half_life: Any) -> tuple[Floats, Floats]:
    """The weights of both, as they are at the time of the latest event of all."""
    weights = [
        np.ones(len(of.indices), dtype=np.float32) if of.weights is None else of.weights
        for of in (old, new)
    ]
    if half_life is not None:
        ends = [
            -math.inf if of.times is None else of.times.max(initial=-math.inf) for of in (old, new)
        ]
        for place, end in enumerate(ends):
            if -math.inf < end < max(ends):
                age = (max(ends) - end) / half_life_seconds(half_life)
                weights[place] = weights[place] * np.float32(2.0**-age)
    return weights[0], weights[1]


# ---- what others ask -----------------------------------------------------------------------------


def mask_of(kinds: list[Any], names: Id | Iterable[Id], argument: str) -> int:
    """The bit mask of kinds, given by one name or several; a tuple is one if it is a kind."""
    is_one = isinstance(names, str | bytes) or not isinstance(names, Iterable)
    is_one = is_one or (isinstance(names, tuple) and names in kinds)
    mask = 0
    for name in [names] if is_one else names:  # type: ignore[union-attr]
        if name not in kinds:
            raise ValueError(
                f"{argument} must name kinds of events, got {name!r}; there are "
                f"{', '.join(map(repr, kinds)) or 'none'}"
            )
        mask |= 1 << kinds.index(name)
    return mask


def predicts_values(loss: str | None) -> bool:
    """Whether a model of this loss takes the weights of events for values to predict: ratings."""
    return loss in LOSSES and LOSSES[loss].predicts_values


def loss_weights(weights: Floats | None, loss: str | None, n_items: int) -> Floats | None:
    """Weights as the loss should get them: 1 in the mean, and whole.

    The WARP losses cut the product of weight and rank at 10. For them weights are scaled down
    until the highest passes at the worst rank among ``n_items``. None where all are equal.
    """
    if weights is None or not len(weights) or (weights == weights[0]).all():
        return None
    mean, highest = weights.mean(dtype=np.float64), float(weights.max())
    return scaled(weights, factor_of(mean, highest, loss, n_items))


def factor_of(mean: float, highest: float, loss: str | None, n_items: int) -> float:
    """What `loss_weights` multiplies weights of this mean with."""
    factor = 1 / mean
    if loss in LOSSES and LOSSES[loss].searches_violations:
        most = 10 / math.log(max(n_items - 1, 2))
        factor = min(factor, most * (1 - 1e-6) / highest)  # however it is rounded
    return factor


def scaled(weights: Floats, factor: float) -> Floats:
    return (weights * np.float32(factor)).astype(np.float32, copy=False)
