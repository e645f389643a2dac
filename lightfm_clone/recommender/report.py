"""What a fit found in its tables: sizes, what was removed, and what is seldom meant."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable, Container, Hashable, Iterable, Iterator
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

_LOOKED_AT = 100_000  # rows of a table, or ids, for what takes a look at values
_SHOWN = 3  # examples in a sentence
_DAY = 86_400.0  # seconds

_MUCH_REMOVED = 0.1  # share of the rows of events
_LITTLE_SHARED = 0.1  # share of the ids of the smaller side of a join
_ALIKE = 0.01  # share of the ids without a partner that have one in another form
_FADED = 1e-6  # of the highest weight; some 20 half-lives
_LONG_AGO = 315_532_800.0  # 1980: numbers that make earlier times are no times, most likely
_ENOUGH = 100  # events, of which some can be far from the others
_STRAY = 0.05  # share of the events at either end that may be strays
_FAST = 10  # times the rate of the fastest hundredth of all users
_AT_LEAST = 100  # events a day, and distinct items, for a machine
_READ_AS_MISSING = {"", "nan", "NaN", "NaT", "None", "none", "null", "NULL", "<NA>"}
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
        kinds: dict[Any, int] = {}
        if log.kinds is not None:
            codes, names = log.kinds
            kinds = {name: int(np.count_nonzero(codes == i)) for i, name in enumerate(names)}
            if is_update:
                kinds = {name: count for name, count in kinds.items() if count}
        removed = log.removed
        if pairs.n_repeats:
            removed += (Removed("told again", pairs.n_repeats, "nothing to do: each counts once"),)
        n_events = len(log.users.codes) - pairs.n_repeats
        findings = [
            *_of_events(log, n_events, len(pairs.indices), kinds, removed),
            *_of_times(log),
            *_robots(log),
        ]
        for role, ids, described in (("user", log.users, users), ("item", log.items, items)):
            name = log.columns[role]
            findings += _of_ids(ids, f"events, column {name!r}")
            if described is not None:
                argument = f"{role}s"
                findings += _of_ids(described.ids, f"{argument}, column {name!r}")
                findings += _of_rows(described.ids, name, argument)
                findings += _of_join(ids, described.ids, name, argument)
                findings += _of_columns(described.table, name, argument, decided)
        period = None
        if log.times is not None and len(log.times):
            period = _moment(log.times.min()), _moment(log.times.max())
        return cls(
            tuple(sorted(findings, key=lambda finding: finding.severity != "warning")),
            log.n_rows,
            n_events,
            len(pairs.indices),
            len(log.users.values),
            len(log.items.values),
            period,
            kinds,
            removed,
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


def _of_events(
    log: Log, n_events: int, n_pairs: int, kinds: dict[Any, int], removed: tuple[Removed, ...]
) -> Iterator[Finding]:
    where = "events"
    for what, n, remedy in removed:
        severity: Severity = "warning" if n > _MUCH_REMOVED * log.n_rows else "note"
        said = f"removed {_share_of(n, log.n_rows, 'rows')}, {what}"
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
            f"{where}, column {log.columns['event']!r}",
            f"no event that counts is of the kind {_listed(absent)}, which has a weight; there are "
            f"{there or 'none'}",
            len(absent),
            absent,
            "write the kinds in event_weights as they are in the column",
        )
    if log.time_unit is not None and log.times is not None and len(log.times):
        said = f"numbers taken for {log.time_unit} since 1970"
        is_odd = log.times.max() < _LONG_AGO
        if is_odd:
            said += f", which makes the last {_moment(log.times.max())}"
        yield Finding(
            "warning" if is_odd else "note",
            f"{where}, column {log.columns['timestamp']!r}",
            said,
            len(log.times),
            (),
            "make them dates first if they are something else: pandas.to_datetime(..., unit=...) "
            "or (..., format='%Y%m%d')",
        )
    if log.weights is not None and log.times is not None and len(log.times):
        n_faded = int(np.count_nonzero(log.weights < _FADED * log.weights.max()))
        if n_faded > len(log.times) / 2:
            latest = np.datetime64(int(log.times.max()), "s")
            yield Finding(
                "warning",
                f"{where}, column {log.columns['timestamp']!r}",
                f"{_share_of(n_faded, len(log.times), 'events')} weigh next to nothing beside the "
                f"others; the latest is of {latest}",
                n_faded,
                (),
                "if that is in the future, drop it; or choose a longer half_life",
            )


def _of_times(log: Log) -> Iterator[Finding]:
    """Events whose dates can hardly be: far from all others, or still to come."""
    times = log.times
    if times is None or not len(times):
        return
    earliest, latest = _usual(times)
    is_far = (times < earliest) | (times > latest)
    is_to_come = ~is_far & (times > time.time() + _DAY)
    for bad, said in (
        (is_far, "lie far from all others in time"),
        (is_to_come, "lie in the future"),
    ):
        stray = times[bad]
        if not len(stray):
            continue
        examples = tuple(str(_moment(one)) for one in sorted({stray.min(), stray.max()}))
        yield Finding(
            "warning",
            f"events, column {log.columns['timestamp']!r}",
            f"{_share_of(len(stray), len(times), 'events')} {said}: {_listed(examples)}",
            len(stray),
            examples,
            "drop them, or mend their dates: the last event of all is what half_life counts from",
        )


def _usual(times: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The range of times beyond which there are strays alone.

    Strays are few, and lie beyond a gap that is longer than the time of nearly all events.
    """
    if len(times) < _ENOUGH:
        return -np.inf, np.inf
    some = np.sort(times[:: -(-len(times) // _LOOKED_AT)])
    some = np.concatenate(([times.min()], some, [times.max()]))
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
    counts = np.bincount(users, minlength=n_users)
    begin, end = np.full(n_users, np.inf), np.full(n_users, -np.inf)
    np.minimum.at(begin, users, times)
    np.maximum.at(end, users, times)
    rate = counts / np.maximum((end - begin) / _DAY, 1)
    is_fast = rate > max(_AT_LEAST, _FAST * float(np.quantile(rate, 0.99)))
    if not is_fast.any():
        return np.flatnonzero(is_fast), rate
    among = is_fast[users]
    pairs = np.unique(users[among].astype(np.int64) * n_items + items[among])
    n_distinct = np.bincount(pairs // n_items, minlength=n_users)
    return np.flatnonzero(n_distinct >= _AT_LEAST), rate


def _robots(log: Log) -> Iterator[Finding]:
    """Users with far more events a day than others, on many items."""
    codes, names = log.users
    if log.times is None or not len(names):
        return
    sizes = len(names), len(log.items.values)
    robots, rate = machines_of(codes, log.items.codes, log.times, *sizes)
    if not len(robots):
        return
    counts = np.bincount(codes, minlength=len(names))
    robots = robots[np.argsort(-counts[robots], kind="stable")]
    examples = tuple(names[robot] for robot in robots)
    user, n_events = log.columns["user"], int(counts[robots].sum())
    yield Finding(
        "warning",
        f"events, column {user!r}",
        f"{len(robots):,} of {len(names):,} users act at the rate of a machine, with "
        f"{rate[robots].min():,.0f} or more events a day: {_listed(examples)}; theirs are "
        f"{_share_of(n_events, len(codes), 'events')}",
        len(robots),
        examples,
        f"leave them out: events[~events[{user!r}].isin([{_listed(examples, 10)}])]",
    )


# ---- ids -----------------------------------------------------------------------------------------


def _of_ids(ids: Codes, where: str) -> Iterator[Finding]:
    """What is odd about the ids of one column."""
    values = ids.values
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
    some = values[:_LOOKED_AT]
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
    missing = tuple(sorted(_READ_AS_MISSING.intersection(values)))
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


def _of_join(seen: Codes, described: Codes, name: Hashable, argument: str) -> Iterator[Finding]:
    """Ids that are in the events only, or in the table only."""
    in_table, in_events = set(described.values), set(seen.values)
    only_seen = [value for value in seen.values if value not in in_table]
    only_described = [value for value in described.values if value not in in_events]
    n_shared = len(in_events) - len(only_seen)
    where = f"events and {argument}, column {name!r}"
    smaller = min(len(in_events), len(in_table))
    is_apart = n_shared < _LITTLE_SHARED * smaller
    if only_seen and only_described:
        alike = _alike(only_seen, only_described)
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
        lost = np.zeros(len(seen.values), dtype=bool)
        lost[[place for place, value in enumerate(seen.values) if value not in in_table]] = True
        n_events = int(np.count_nonzero(lost[seen.codes]))
        yield Finding(
            "note",
            where,
            f"{_share_of(len(only_seen), len(in_events), 'ids')} of events have no row in "
            f"{argument}, and so no features; theirs are "
            f"{_share_of(n_events, len(seen.codes), 'events')}",
            len(only_seen),
            tuple(only_seen[:_SHOWN]),
            f"add their rows to {argument} if there are any",
        )
    if only_described:
        yield Finding(
            "note",
            where,
            f"{_share_of(len(only_described), len(in_table), 'ids')} of {argument} have no events, "
            "and are known by their features alone",
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


def _alike(seen: list[Any], described: list[Any]) -> tuple[_Form, int, tuple[Any, Any]] | None:
    """The form in which ids without a partner have one, how many of ``seen``, and a pair."""
    some = seen[:_LOOKED_AT]
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
    return form, count * len(seen) // len(some), examples


# ---- columns -------------------------------------------------------------------------------------


def _of_columns(
    table: Table, ids: Hashable, argument: str, decided: Container[Hashable]
) -> Iterator[Finding]:
    """Columns that may be something else than what they look like, by their first rows."""
    head = table.head(_LOOKED_AT) if hasattr(table, "head") else table.slice(0, _LOOKED_AT)
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
