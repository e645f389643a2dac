"""What a fit found in its tables: sizes, what was removed, and what is seldom meant."""

from __future__ import annotations

import html
import re
import time
from collections.abc import (
    Callable,
    Container,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from lightfm_clone._printed import Printed
from lightfm_clone._tables import make
from lightfm_clone.data import columns as columns_of
from lightfm_clone.data.columns import Codes, Column
from lightfm_clone.data.rules import are_dates, are_vectors
from lightfm_clone.persistence.plain import to_plain
from lightfm_clone.recommender.events import Log, Pairs, Removed, of_missing_ids
from lightfm_clone.typing import Table

Severity: TypeAlias = Literal["warning", "note"]

LOOKED_AT = 100_000  # rows of a table, or ids, for what takes a look at values
_SHOWN = 3  # examples in a sentence
_DAY = 86_400.0  # seconds

_MUCH_REMOVED = 0.1  # share of the rows of events
_LITTLE_SHARED = 0.1  # share of the ids of the smaller side of a join
_ALIKE = 0.01  # share of the ids without a partner that have one in another form
_FADED = 1e-6  # of the highest weight; some 20 half-lives
_LONG_AGO = 315_532_800.0  # 1980: numbers that make earlier times are no times, most likely
_ENOUGH = 100  # events, of which some can be far from the others
_STRAY = 0.05  # share of the events at either end that may be strays
FASTEST = 0.99  # where the fastest hundredth begins
_FAST = 10  # times the rate of the fastest hundredth of all users
AT_LEAST = 100  # events a day, and distinct items, for a machine
READ_AS_MISSING = {"", "nan", "NaN", "NaT", "None", "none", "null", "NULL", "<NA>"}
_FAR, _TO_COME = "lie far from all others in time", "lie in the future"
# Names of columns whose numbers have no order.
_CODES = re.compile(r"(id|code|key|zip|plz|postcode|category|type|class|brand|sku|ean|isbn)s?$")


class Finding(NamedTuple):
    """One thing that was found, and what to do."""

    severity: Severity
    where: str  # "events", "users" or "items", with the column where it is one
    what: str
    how_many: int  # of rows, ids or whatever `what` is about
    examples: tuple[Any, ...]
    remedy: str


class Described(NamedTuple):
    """A table of users or items, and the ids in it."""

    table: Table
    ids: Codes  # for each row; -1 where it is missing


class Seen(NamedTuple):
    """The ids of one column of events."""

    n: int
    some: list[Any]  # distinct ones: all, or as many as are looked at
    missing: tuple[str, ...]  # those that read like missing values, of all

    @classmethod
    def merged(cls, parts: Sequence[Seen]) -> Seen:
        """Those of parts that have no id in common."""
        some = [value for part in parts for value in part.some]
        missing = sorted(value for part in parts for value in part.missing)
        return cls(sum(part.n for part in parts), some, tuple(missing))


class Join(NamedTuple):
    """Which ids of events and of a table of users or items are in both."""

    n_seen: int  # distinct ids of events
    n_described: int  # distinct ids of the table
    n_only_seen: int
    only_seen: list[Any]  # all, or as many as are looked at
    only_described: list[Any]
    n_events: int  # of ids that are only seen

    @property
    def n_shared(self) -> int:
        return self.n_seen - self.n_only_seen


class Robots(NamedTuple):
    """Users who act at the rate of a machine."""

    ids: list[Any]  # most events first; all, or the first of them
    n: int
    rate: float  # of the slowest of them, events a day
    n_events: int


class Strays(NamedTuple):
    """Events whose dates can hardly be."""

    said: str
    n: int
    first: float  # seconds since 1970
    last: float

    @classmethod
    def merged(cls, parts: Iterable[tuple[Strays, ...]]) -> tuple[Strays, ...]:
        """What `strays_of` finds in all parts together."""
        by_said: dict[str, list[Strays]] = {said: [] for said in (_FAR, _TO_COME)}
        for part in parts:
            for one in part:
                by_said[one.said].append(one)
        return tuple(
            cls(
                said,
                sum(one.n for one in found),
                min(one.first for one in found),
                max(one.last for one in found),
            )
            for said, found in by_said.items()
            if found
        )


class Facts(NamedTuple):
    """What a report says of the events of a table, wherever they were counted."""

    n_rows: int
    n_kept: int  # that are read; the next ones are without what was told again
    n_events: int
    n_pairs: int
    kinds: dict[Any, int]
    removed: tuple[Removed, ...]
    columns: dict[str, Hashable]
    time_unit: str | None
    period: tuple[float, float] | None
    n_faded: int  # events that weigh next to nothing
    strays: tuple[Strays, ...]
    robots: Robots | None
    users: Seen
    items: Seen


@dataclass(frozen=True, eq=False, repr=False)
class DataReport:
    """What a fit found in its tables. `print` shows the warnings, `to_frame` has everything.

    Attributes
    ----------
    findings : tuple of Finding
        Warnings first. Each has its severity, where and what it is, how many are concerned,
        examples, and the remedy.
    n_rows, n_events, n_pairs, n_users, n_items : int
        Rows of the table of events, events that count, pairs of a user and an item that they make,
        and how many users and items they are of.
    period : tuple of two datetime64, or None
        Times of the first and the last event, in UTC.
    kinds : dict from kind to int
        How many of the events that count are of each kind.
    removed : tuple of Removed
        Why the other rows do not count, how many they are, and what would keep them.
    """

    findings: tuple[Finding, ...]
    n_rows: int
    n_events: int
    n_pairs: int
    n_users: int
    n_items: int
    period: tuple[np.datetime64, np.datetime64] | None
    kinds: dict[Any, int]
    removed: tuple[Removed, ...]

    @classmethod
    def of(
        cls,
        log: Log,
        pairs: Pairs,
        *,
        users: Described | None = None,
        items: Described | None = None,
        decided: Container[Hashable] = (),
        is_update: bool = False,
    ) -> DataReport:
        """The report of what was read.

        Columns in ``decided`` have a rule by the caller. The events of an update need not be of all
        kinds.
        """
        joins = {
            role: join_of(ids, described.ids)
            for role, ids, described in (("user", log.users, users), ("item", log.items, items))
            if described is not None
        }
        facts = facts_of(log, pairs)
        if is_update:
            kinds = {name: count for name, count in facts.kinds.items() if count}
            facts = facts._replace(kinds=kinds)
        return cls.of_facts(facts, users=users, items=items, joins=joins, decided=decided)

    @classmethod
    def of_facts(
        cls,
        facts: Facts,
        *,
        users: Described | None,
        items: Described | None,
        joins: Mapping[str, Join],
        decided: Container[Hashable],
    ) -> DataReport:
        """The report of what was counted; `joins` are those of tables, by "user" and "item"."""
        findings = [*_of_events(facts), *_of_times(facts), *_of_robots(facts)]
        for role, seen, described in (("user", facts.users, users), ("item", facts.items, items)):
            name = facts.columns[role]
            findings += _of_ids(seen.some, f"events, column {name!r}", seen.missing)
            if described is not None:
                argument = f"{role}s"
                ids = described.ids
                findings += _of_ids(ids.values, f"{argument}, column {name!r}")
                findings += _of_rows(ids, name, argument)
                findings += _of_join(joins[role], name, argument, facts.n_kept)
                findings += _of_columns(described.table, name, argument, decided)
        period = facts.period
        return cls(
            tuple(sorted(findings, key=lambda finding: finding.severity != "warning")),
            facts.n_rows,
            facts.n_events,
            facts.n_pairs,
            facts.users.n,
            facts.items.n,
            None if period is None else (_moment(period[0]), _moment(period[1])),
            facts.kinds,
            facts.removed,
        )

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that seldom are meant."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    def to_frame(self, kind: str | None = None) -> Table:
        """All findings as a table, the warnings first.

        Parameters
        ----------
        kind : {"pandas", "polars", "pyarrow"}, default the first that is installed

        Returns
        -------
        table
            With the columns "severity", "where", "what", "how_many", "examples" (a text) and
            "remedy".
        """
        return make(kind, self._columns())

    def _columns(self) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {
            name: [getattr(finding, name) for finding in self.findings]
            for name in ("severity", "where", "what", "how_many")
        }
        columns["examples"] = [_listed(finding.examples) for finding in self.findings]
        columns["remedy"] = [finding.remedy for finding in self.findings]
        return columns

    def _summary(self) -> Iterator[str]:
        period = ""
        if self.period is not None:
            start, end = (moment.astype("datetime64[D]") for moment in self.period)
            period = f", {start} to {end}"
        yield (
            f"{self.n_events:,} events of {self.n_users:,} users and {self.n_items:,} items make "
            f"{self.n_pairs:,} pairs{period}"
        )
        if self.kinds:
            yield ", ".join(f"{kind} {count:,}" for kind, count in self.kinds.items())
        if self.removed:
            causes = ", ".join(f"{n:,} {what}" for what, n, _ in self.removed)
            n_removed = _share_of(self.n_rows - self.n_events, self.n_rows, "rows")
            yield f"removed {n_removed}: {causes}"

    def __str__(self) -> str:
        lines = list(self._summary())
        for finding in self.warnings:
            lines += [f"! {finding.where}: {finding.what}", f"  {finding.remedy}"]
        n_notes = len(self.findings) - len(self.warnings)
        if n_notes:
            lines.append(f"and {n_notes} note{'s' * (n_notes > 1)}: see report_.to_frame()")
        return "\n".join(lines)

    def __repr__(self) -> str:
        n = len(self.warnings)
        return (
            f"DataReport({self.n_events} events, {n} warnings, {len(self.findings) - n} notes; "
            "print it to read them)"
        )

    def _repr_html_(self) -> str:
        columns = self._columns()
        rows = [list(map(str, row)) for row in zip(*columns.values(), strict=True)]
        summary = "<br>".join(map(html.escape, self._summary()))
        return f"<p>{summary}</p>" + Printed([list(columns), *rows], n_left=len(columns)).html()


# ---- events --------------------------------------------------------------------------------------


def facts_of(log: Log, pairs: Pairs) -> Facts:
    """What a report says of a log and its pairs."""
    kinds: dict[Any, int] = {}
    if log.kinds is not None:
        codes, names = log.kinds
        kinds = {name: int(np.count_nonzero(codes == i)) for i, name in enumerate(names)}
    n_kept, times = len(log.users.codes), log.times
    period, n_faded, robots = None, 0, None
    strays: tuple[Strays, ...] = ()
    if times is not None and len(times):
        period = float(times.min()), float(times.max())
        usual = usual_range(n_kept, times[:: step_of(n_kept)], period)
        strays = strays_of(times, usual)
        if log.weights is not None:
            n_faded = count_faded(log.weights, log.weights.max())
        robots = _robots(log, times)
    return Facts(
        log.n_rows,
        n_kept,
        n_kept - pairs.n_repeats,
        len(pairs.indices),
        kinds,
        with_repeats(log.removed, pairs.n_repeats),
        log.columns,
        log.time_unit,
        period,
        n_faded,
        strays,
        robots,
        *(
            Seen(len(ids.values), ids.values, missing_in(ids.values))
            for ids in (log.users, log.items)
        ),
    )


def with_repeats(removed: tuple[Removed, ...], n_repeats: int) -> tuple[Removed, ...]:
    """What was removed, and what was told again."""
    again = Removed("told again", n_repeats, "nothing to do: each counts once")
    return (*removed, again) if n_repeats else removed


def count_faded(weights: npt.NDArray[Any], highest: float) -> int:
    """How many events weigh next to nothing beside the highest weight of all."""
    return int(np.count_nonzero(weights < _FADED * highest))


def _of_events(facts: Facts) -> Iterator[Finding]:
    where = "events"
    n_events, n_pairs, kinds = facts.n_events, facts.n_pairs, facts.kinds
    for what, n, remedy in facts.removed:
        severity: Severity = "warning" if n > _MUCH_REMOVED * facts.n_rows else "note"
        said = f"removed {_share_of(n, facts.n_rows, 'rows')}, {what}"
        yield Finding(severity, where, said, n, (), remedy)
    if n_events > n_pairs:
        yield Finding(
            "note",
            where,
            f"{n_events:,} events make {n_pairs:,} pairs of a user and an item",
            n_events - n_pairs,
            (),
            "duplicates= says which weight a pair of several events has",
        )
    absent = tuple(kind for kind, count in kinds.items() if not count)
    if absent and n_events:
        there = _listed([kind for kind, count in kinds.items() if count], len(kinds))
        yield Finding(
            "warning",
            f"{where}, column {facts.columns['event']!r}",
            f"no event that counts is of the kind {_listed(absent)}, which has a weight; there are "
            f"{there or 'none'}",
            len(absent),
            absent,
            "write the kinds in event_weights as they are in the column",
        )
    if facts.period is None:
        return
    latest = facts.period[1]
    column = f"{where}, column {facts.columns['timestamp']!r}"
    if facts.time_unit is not None:
        said = f"numbers taken for {facts.time_unit} since 1970"
        is_odd = latest < _LONG_AGO
        if is_odd:
            said += f", which makes the last {_moment(latest)}"
        yield Finding(
            "warning" if is_odd else "note",
            column,
            said,
            facts.n_kept,
            (),
            "make them dates first if they are something else: pandas.to_datetime(..., unit=...) "
            "or (..., format='%Y%m%d')",
        )
    if facts.n_faded > facts.n_kept / 2:
        yield Finding(
            "warning",
            column,
            f"{_share_of(facts.n_faded, facts.n_kept, 'events')} weigh next to nothing beside the "
            f"others; the latest is of {_moment(latest)}",
            facts.n_faded,
            (),
            "if that is in the future, drop it; or choose a longer half_life",
        )


def strays_of(times: npt.NDArray[np.float64], usual: tuple[float, float]) -> tuple[Strays, ...]:
    """Events far from all others, beyond the `usual_range`, and events that are still to come."""
    is_far = (times < usual[0]) | (times > usual[1])
    is_to_come = ~is_far & (times > time.time() + _DAY)
    return tuple(
        Strays(said, len(stray), float(stray.min()), float(stray.max()))
        for stray, said in (
            (times[is_far], _FAR),
            (times[is_to_come], _TO_COME),
        )
        if len(stray)
    )


def _of_times(facts: Facts) -> Iterator[Finding]:
    for said, n, first, last in facts.strays:
        examples = tuple(str(_moment(one)) for one in sorted({first, last}))
        yield Finding(
            "warning",
            f"events, column {facts.columns['timestamp']!r}",
            f"{_share_of(n, facts.n_kept, 'events')} {said}: {_listed(examples)}",
            n,
            examples,
            "drop them, or mend their dates: the last event of all is what half_life counts from",
        )


def step_of(n: int) -> int:
    """From how many events on each a time is looked at."""
    return -(-n // LOOKED_AT)


def usual_range(
    n: int, some: npt.NDArray[np.float64], period: tuple[float, float]
) -> tuple[float, float]:
    """The range of times beyond which there are strays alone, of n events.

    Strays are few, and lie beyond a gap that is longer than the time of nearly all events. `some`
    are the times of every `step_of` n-th event.
    """
    if n < _ENOUGH:
        return -np.inf, np.inf
    some = np.concatenate((period[:1], np.sort(some), period[1:]))
    low, high = np.quantile(some, [_STRAY, 1 - _STRAY])
    span = max(high - low, _DAY)
    middle = len(some) // 2
    is_gap = np.diff(some) > span
    before, after = np.flatnonzero(is_gap[:middle]), np.flatnonzero(is_gap[middle:])
    return (
        some[before[-1] + 1] - span if len(before) else -np.inf,
        some[middle + after[0]] + span if len(after) else np.inf,
    )


def machines_of(
    users: npt.NDArray[Any],
    items: npt.NDArray[Any],
    times: npt.NDArray[np.float64],
    n_users: int,
    n_items: int,
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Who acts at the rate of a machine, ascending, and everybody's events a day.

    A machine has 100 events a day or more, 10 times as many as the fastest hundredth of all users,
    on 100 distinct items or more. The arguments are numbers of users and items, and seconds, for
    each event; each user has one.
    """
    _, rate = rates(users, times, n_users)
    is_fast = rate > fast(float(np.quantile(rate, FASTEST)))
    if not is_fast.any():
        return np.flatnonzero(is_fast), rate
    among = is_fast[users]
    pairs = np.unique(users[among].astype(np.int64) * n_items + items[among])
    n_distinct = np.bincount(pairs // n_items, minlength=n_users)
    return np.flatnonzero(n_distinct >= AT_LEAST), rate


def rates(
    users: npt.NDArray[Any], times: npt.NDArray[np.float64], n_users: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """How many events everybody has, and how many a day."""
    counts = np.bincount(users, minlength=n_users)
    begin, end = np.full(n_users, np.inf), np.full(n_users, -np.inf)
    np.minimum.at(begin, users, times)
    np.maximum.at(end, users, times)
    return counts, counts / np.maximum((end - begin) / _DAY, 1)


def fast(usual: float) -> float:
    """The rate that only machines pass, where that of the fastest hundredth begins at `usual`."""
    return max(AT_LEAST, _FAST * usual)


def _robots(log: Log, times: npt.NDArray[np.float64]) -> Robots | None:
    """Users with far more events a day than others, on many items."""
    codes, names = log.users
    robots, rate = machines_of(codes, log.items.codes, times, len(names), len(log.items.values))
    if not len(robots):
        return None
    counts = np.bincount(codes, minlength=len(names))
    robots = robots[np.argsort(-counts[robots], kind="stable")]
    ids = [names[robot] for robot in robots]
    return Robots(ids, len(ids), float(rate[robots].min()), int(counts[robots].sum()))


def _of_robots(facts: Facts) -> Iterator[Finding]:
    if facts.robots is None:
        return
    ids, n, rate, n_events = facts.robots
    user = facts.columns["user"]
    yield Finding(
        "warning",
        f"events, column {user!r}",
        f"{n:,} of {facts.users.n:,} users act at the rate of a machine, with {rate:,.0f} or more "
        f"events a day: {_listed(ids)}; theirs are {_share_of(n_events, facts.n_kept, 'events')}",
        n,
        tuple(ids),
        f"leave them out: events[~events[{user!r}].isin([{_listed(ids, 10)}])]",
    )


# ---- ids -----------------------------------------------------------------------------------------


def _of_ids(
    values: list[Any], where: str, missing: tuple[str, ...] | None = None
) -> Iterator[Finding]:
    """What is odd about the ids of one column; `missing` are those that read so."""
    types = set(map(type, values))
    first = {of: next(value for value in values if type(value) is of) for of in types}
    kinds = sorted(set(map(_kind, types)))
    if len(kinds) > 1:
        yield Finding(
            "warning",
            where,
            f"ids of several types, {', '.join(kinds)}, of which no two are equal: 7 is not '7'",
            len(values),
            tuple(first.values()),
            "read the column as text: pandas.read_csv(path, dtype=str), or astype(str)",
        )
    unsaved = {of: example for of, example in first.items() if not _can_be_saved(example)}
    if unsaved:
        names = ", ".join(sorted(of.__name__ for of in unsaved))
        yield Finding(
            "warning",
            where,
            f"ids of type {names} cannot be saved or written into files: "
            f"{_listed(unsaved.values())}",
            sum(type(value) in unsaved for value in values),
            tuple(unsaved.values()),
            "make texts of them in all tables, with str(): column.astype(str), or column.map(str)",
        )
    some = values[:LOOKED_AT]
    if types == {float} and all(map(float.is_integer, some)):
        yield Finding(
            "warning",
            where,
            f"ids that are whole numbers, but floats, as where some are missing: {_listed(some)}",
            len(values),
            tuple(some[:_SHOWN]),
            "read the column as text, or as what holds missing whole numbers: "
            "pandas.read_csv(path, dtype={column: 'Int64'})",
        )
    missing = missing_in(values) if missing is None else missing
    if missing:
        yield Finding(
            "warning",
            where,
            f"ids that read like missing values: {_listed(missing)}",
            len(missing),
            missing,
            "make them missing, so that they are no user or item: column.replace(...)",
        )
    padded = [text for text in some if isinstance(text, str) and text != text.strip()]
    if padded:
        yield Finding(
            "warning",
            where,
            f"{len(padded):,} ids begin or end with blanks, and equal none without: "
            f"{_listed(padded)}",
            len(padded),
            tuple(padded[:_SHOWN]),
            "take the blanks away: column.str.strip()",
        )


def missing_in(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(sorted(READ_AS_MISSING.intersection(values)))


def _can_be_saved(value: Any) -> bool:
    try:
        to_plain(value)
    except TypeError:
        return False
    return True


def _of_rows(ids: Codes, name: Hashable, argument: str) -> Iterator[Finding]:
    """Rows of a table of users or items that do not count."""
    present = ids.codes[ids.codes >= 0]
    n_missing = len(ids.codes) - len(present)
    if n_missing:
        yield Finding(
            "note",
            argument,
            f"{_share_of(n_missing, len(ids.codes), 'rows')} have no value in {name!r} and are "
            "left out",
            n_missing,
            (),
            of_missing_ids(argument[:-1]),
        )
    counts = np.bincount(present, minlength=len(ids.values))
    repeated = np.flatnonzero(counts > 1)
    if len(repeated):
        examples = tuple(ids.values[place] for place in repeated[:_SHOWN])
        yield Finding(
            "note",
            argument,
            f"{len(repeated):,} ids have several rows, of which the last counts: "
            f"{_listed(examples)}",
            int((counts[repeated] - 1).sum()),
            examples,
            f"keep one row of each: {argument}.drop_duplicates({name!r})",
        )


def join_of(seen: Codes, described: Codes) -> Join:
    """What is in the events only, or in the table only."""
    in_table, in_events = set(described.values), set(seen.values)
    is_lost = np.array([value not in in_table for value in seen.values], dtype=bool)
    only_seen = [seen.values[place] for place in np.flatnonzero(is_lost)]
    only_described = [value for value in described.values if value not in in_events]
    n_events = int(np.count_nonzero(is_lost[seen.codes]))
    sizes = len(in_events), len(in_table), len(only_seen)
    return Join(*sizes, only_seen, only_described, n_events)


def _of_join(join: Join, name: Hashable, argument: str, n_kept: int) -> Iterator[Finding]:
    """Ids that are in the events only, or in the table only."""
    only_seen, only_described, n_shared = join.only_seen, join.only_described, join.n_shared
    where = f"events and {argument}, column {name!r}"
    smaller = min(join.n_seen, join.n_described)
    is_apart = n_shared < _LITTLE_SHARED * smaller
    if only_seen and only_described:
        alike = _alike(only_seen, join.n_only_seen, only_described)
        if alike is not None:
            form, count, examples = alike
            yield Finding(
                "warning",
                where,
                f"{count:,} ids of events have no row in {argument} because of {form.because}: "
                f"{examples[0]!r} is not {examples[1]!r}; each of them is two in the model, one "
                "without features and one without events",
                count,
                examples,
                form.remedy.format(name=name, argument=argument),
            )
        elif is_apart:
            examples = (only_seen[0], only_described[0])
            kinds = [_kind(type(example)) for example in examples]
            yield Finding(
                "warning",
                where,
                f"{n_shared:,} of {smaller:,} ids are in both: events have {examples[0]!r} "
                f"({kinds[0]}), {argument} have {examples[1]!r} ({kinds[1]})",
                smaller - n_shared,
                examples,
                f"look whether {name!r} means the same in both",
            )
    if only_seen:
        yield Finding(
            "note",
            where,
            f"{_share_of(join.n_only_seen, join.n_seen, 'ids')} of events have no row in "
            f"{argument}, and so no features; theirs are "
            f"{_share_of(join.n_events, n_kept, 'events')}",
            join.n_only_seen,
            tuple(only_seen[:_SHOWN]),
            f"add their rows to {argument} if there are any",
        )
    if only_described:
        yield Finding(
            "note",
            where,
            f"{_share_of(len(only_described), join.n_described, 'ids')} of {argument} have no "
            "events, and are known by their features alone",
            len(only_described),
            tuple(only_described[:_SHOWN]),
            f"nothing to do, or leave out of {argument} what is not for sale any more"
            if argument == "items"
            else "nothing to do",
        )


class _Form(NamedTuple):
    """What ids that are meant to be equal may differ in."""

    because: str
    of: Callable[[Any], str]
    remedy: str


def _as_text(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value)


_READ_AS_TEXT = (
    "read the column as text in both tables: pandas.read_csv(path, dtype={{{name!r}: str}})"
)
# Each is of the text that the one before it makes.
_FORMS = (
    _Form("their types", _as_text, _READ_AS_TEXT),
    _Form("blanks", str.strip, "take the blanks away in both: column.str.strip()"),
    _Form("upper and lower case", str.casefold, "write both alike: column.str.lower()"),
    _Form(
        "leading zeros",
        lambda text: text.lstrip("0"),
        _READ_AS_TEXT + "; zeros that are lost already come back with column.str.zfill(...)",
    ),
)


def _alike(
    seen: list[Any], n_seen: int, described: list[Any]
) -> tuple[_Form, int, tuple[Any, Any]] | None:
    """The form in which ids without a partner have one, how many of ``n_seen``, and a pair."""
    some = seen[:LOOKED_AT]
    left, right = list(some), list(described)
    found = []
    for form in _FORMS:
        left, right = list(map(form.of, left)), list(map(form.of, right))
        partners = dict(zip(right, described, strict=True))
        at = [place for place, value in enumerate(left) if value in partners]
        if at:
            found.append((form, len(at), (some[at[0]], partners[left[at[0]]])))
    if not found or found[-1][1] < _ALIKE * len(some):
        return None
    form, count, examples = next(f for f in found if f[1] >= 0.99 * found[-1][1])
    return form, count * n_seen // len(some), examples


# ---- columns -------------------------------------------------------------------------------------


def _of_columns(
    table: Table, ids: Hashable, argument: str, decided: Container[Hashable]
) -> Iterator[Finding]:
    """Columns that may be something else than what they look like, by their first rows."""
    head = table.head(LOOKED_AT) if hasattr(table, "head") else table.slice(0, LOOKED_AT)
    for name, column in columns_of.by_name(head, argument).items():
        if name == ids or name in decided:
            continue
        where = f"{argument}, column {name!r}"
        missing = column.missing()
        n_missing, n_present = int(np.count_nonzero(missing)), int(np.count_nonzero(~missing))
        leave_out = f"leave it out: columns={{{name!r}: None}}"
        if not n_present:
            yield Finding("note", where, "no value at all", n_missing, (), leave_out)
            continue
        if n_missing > n_present:
            said = f"no value in {_share_of(n_missing, len(missing), 'rows')}"
            remedy = f"keep it if what is there tells something, or {leave_out}"
            yield Finding("note", where, said, n_missing, (), remedy)
        if column.kind == "other":
            yield Finding(
                "warning",
                where,
                f"no rule reads {column.dtype}, so it makes no features",
                n_present,
                (),
                "turn it into texts, numbers or lists (durations with column.dt.total_seconds()), "
                f"or {leave_out}",
            )
        elif column.kind == "list" and are_vectors(column):
            yield Finding(
                "warning",
                where,
                "lists of numbers that are no names, as those of vectors, which make no features",
                n_present,
                (),
                f"give each number a column of its own, or {leave_out}",
            )
        elif column.kind == "category":
            yield from _of_texts(column, name, where, n_present, leave_out)
        elif column.kind == "number":
            yield from _of_numbers(column, name, where, leave_out)


def _of_texts(
    column: Column, name: Hashable, where: str, n_present: int, leave_out: str
) -> Iterator[Finding]:
    values = column.codes().values
    if are_dates(values):
        return
    texts = [value for value in values if isinstance(value, str)]
    for separator in "|", ";", ",":
        parted = [text for text in texts if separator in text]
        if len(parted) < 2 or len(parted) < 0.1 * len(texts):
            continue
        parts = [part.strip() for text in parted for part in text.split(separator)]
        # Tags recur, the halves of a sentence do not.
        if 2 * len(set(parts)) <= len(parts):
            yield Finding(
                "warning",
                where,
                f"lists in texts, parted by {separator!r}: {_listed(parted)}; what they have "
                "in common is not seen",
                len(parted),
                tuple(parted[:_SHOWN]),
                f"columns={{{name!r}: split({separator!r})}}",
            )
            return
    if any("." in text for text in texts) and all(map(_is_number, texts)):
        yield Finding(
            "warning",
            where,
            f"numbers as texts: {_listed(texts)}; nothing goes by how large they are",
            len(texts),
            tuple(texts[:_SHOWN]),
            f"columns={{{name!r}: bins(10)}}, which reads texts as numbers",
        )
    elif len(values) > 50 and 2 * len(values) > n_present:
        yield Finding(
            "note",
            where,
            f"nearly a value of its own in each row, {len(values):,} in {n_present:,}: "
            f"{_listed(values)}",
            len(values),
            tuple(values[:_SHOWN]),
            f"{leave_out}; or make categories of it",
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _of_numbers(column: Column, name: Hashable, where: str, leave_out: str) -> Iterator[Finding]:
    """Whole numbers that are labels: by the column's name, or all of one length, but no years."""
    numbers = column.numbers()
    numbers = numbers[np.isfinite(numbers)]
    values = np.unique(numbers)
    if len(values) <= 10 or (values % 1 != 0).any() or values[0] < 0:
        return
    low, high = values[0], values[-1]
    has_name = _CODES.search(str(name).lower()) is not None
    one_length = low >= 100 and len(str(int(low))) == len(str(int(high)))
    is_years = 1800 <= low and high <= 2100
    if not has_name and (not one_length or is_years):
        return
    examples = tuple(int(value) for value in values[:_SHOWN])
    yield Finding(
        "warning" if has_name else "note",
        where,
        f"whole numbers that look like codes, {len(values):,} of them: {_listed(examples)}; they "
        "are taken for amounts, in their order",
        len(values),
        examples,
        leave_out if 2 * len(values) > len(numbers) else f"columns={{{name!r}: 'category'}}",
    )


# ---- words ---------------------------------------------------------------------------------------


def _moment(seconds: float) -> np.datetime64:
    return np.datetime64(int(seconds), "s")


def _kind(of: type) -> str:
    """The name of a type of ids, one for all numbers, which equal each other."""
    return "number" if issubclass(of, (int, float)) else of.__name__


def _listed(values: Iterable[Any], most: int = _SHOWN) -> str:
    texts = [repr(value) for value in values]
    return ", ".join(texts[:most]) + (", ..." if len(texts) > most else "")


def _share_of(count: int, n: int, what: str) -> str:
    share = "<0.1%" if 0 < count < 0.001 * n else f"{count / n:.1%}"
    return f"{count:,} of {n:,} {what} ({share})"
