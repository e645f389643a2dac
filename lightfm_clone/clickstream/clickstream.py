"""The class `Clickstream`: reading, cleaning, and the tables that come out."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lightfm_clone import _checks as checks
from lightfm_clone._checks import is_integer, is_real
from lightfm_clone._tables import make
from lightfm_clone.clickstream import calendar, paths
from lightfm_clone.clickstream.calendar import DAY
from lightfm_clone.clickstream.ordered import Counted, Numbers, Ordered, mean_by
from lightfm_clone.clickstream.paths import Steps, Transitions
from lightfm_clone.data import columns as columns_of
from lightfm_clone.data import sources, tables
from lightfm_clone.data.columns import Column
from lightfm_clone.data.rules import finite
from lightfm_clone.recommender import events as events_of
from lightfm_clone.recommender.ageing import Span, span_seconds
from lightfm_clone.recommender.events import Removed
from lightfm_clone.recommender.people import as_column
from lightfm_clone.recommender.report import machines_of
from lightfm_clone.typing import Id, Path, Table

if TYPE_CHECKING:
    from typing_extensions import Self

_PARTS_OF_DAY = ("night", "morning", "afternoon", "evening")  # six hours each
_SATURDAY = 5
_ONE_UNIT = 10  # times its length that nobody watches of an item, in the median


class Clickstream:
    """Events in order of time, and what can be said of the people and the items in them.

    A table of events as `Recommender` takes it is read and sorted once. What comes out are tables
    of the kind that came in, with the names of its columns, so `to_frame` can be given to a
    `Recommender`, and `people` and `items` are features.

    Parameters
    ----------
    events : table or path
        A row for each event, in any order: a play, a page view, a purchase. See `Recommender`.
    user, item : column name
        The ids. Rows without one are left out, and counted.
    timestamp : column name
        When it began: dates, ISO texts, or numbers since 1970 (in s, ms, us or ns, by their size).
        Dates without a time zone are taken for UTC. Rows without one are left out, and counted.
    event : column name, optional
        What happened, at most 64 kinds. Rows without one are left out, and counted.
    watched : column name, optional
        How many seconds were watched (heard, read). Missing where it is not known; rows with less
        than nothing are left out, and counted.
    length : column name, optional
        How many seconds the item has. Missing, or not above 0, where it is not known.
    timezone : str, optional
        Where clocks are read for hours, weekdays and days, as "Europe/Berlin"; UTC by default. All
        times in tables are UTC.
    gap : str or timedelta, default "30min"
        A session ends where nothing happens for longer. With `watched`, that begins when watching
        ends.
    completed : float, default 0.9
        From what share on an item counts as watched to its end.
    binge : int, default 3
        From how many items on, watched to their end in one session, that is a binge.

    Attributes
    ----------
    removed : tuple of Removed
        What was left out: named tuples ``(what, how_many, remedy)``.
    machines : list of ids
        Who was taken for a machine by `clean`.
    n_rows : int
        Of the table.
    n_events, n_people, n_items, n_sessions : int
        Of what is left.
    period : (datetime64, datetime64) or None
        Of the first and the last event; None without events.

    Raises
    ------
    ImportError
        If narwhals or pyarrow is missing: the extra ``tables``.
    ValueError, TypeError
        For columns that are not there or hold what they cannot be used for, and bad arguments.

    Notes
    -----
    Events at the same time stay in the order of the table. In memory are 17 bytes for each event
    (25 with what was watched), and 5 to 25 more for what follows from their order, once it is asked
    for. Reading and asking take up to 90 bytes for each event for a while. Tables as large as that
    of the events come from `to_frame` alone.

    Examples
    --------
    >>> log = {
    ...     "who": ["ann", "ann", "bob", "ann", "ann"],
    ...     "what": ["news", "film", "news", "film", "news"],
    ...     "when": ["2024-05-03T20:00", "2024-05-03T20:05", "2024-05-04T07:30",
    ...              "2024-05-04T21:00", "2024-05-04T21:02"],
    ... }
    >>> stream = Clickstream(log, user="who", item="what", timestamp="when")
    >>> stream
    Clickstream(5 events, 2 people, 2 items, 3 sessions)
    >>> people = stream.people()
    >>> dict(zip(people["who"], people["n_sessions"]))
    {'ann': 2, 'bob': 1}
    >>> stream.transitions().probabilities.toarray()
    array([[0., 1.],
           [1., 0.]])
    """

    removed: tuple[Removed, ...]
    machines: list[Any]
    n_rows: int
    _counted: Counted
    _users: Any  # ids by number, arrays
    _items: Any
    _kinds: list[Any]
    _end: float  # up to when the log goes, seconds since 1970

    @checks.names_ours
    def __init__(
        self,
        events: Table | Path,
        *,
        user: Id,
        item: Id,
        timestamp: Id,
        event: Id | None = None,
        watched: Id | None = None,
        length: Id | None = None,
        timezone: str | None = None,
        gap: Span = "30min",
        completed: float = 0.9,
        binge: int = 3,
    ) -> None:
        self._zone = calendar.zone_of(timezone)
        self._gap = span_seconds(gap, "gap")
        if not is_real(completed) or not 0 < completed <= 1:
            raise ValueError(f"completed must be a share above 0, up to 1, got {completed!r}")
        if not is_integer(binge) or binge < 1:
            raise ValueError(f"binge must be an integer of at least 1, got {binge!r}")
        if length is not None and watched is None:
            raise ValueError(
                "length needs what was watched of it; name the column of seconds with watched="
            )
        self._completed, self._binge = float(completed), int(binge)
        named = {
            "user": user,
            "item": item,
            "timestamp": timestamp,
            "event": event,
            "watched": watched,
            "length": length,
        }
        self._names = {role: name for role, name in named.items() if name is not None}
        _check_names(self._names)
        self._kind = sources.kind_of(events)
        self.machines = []
        self._read(events)

    def _read(self, source: Any) -> None:
        names = self._names
        ids = [names["user"], names["item"]]
        table = sources.read(source, "events", ids, list(names.values()))
        log = events_of.read(
            table,
            user=names["user"],
            item=names["item"],
            timestamp=names["timestamp"],
            event=names.get("event"),
        )
        removed, amounts = list(log.removed), []
        if "watched" in names:
            columns = columns_of.by_name(table, "events")
            for role in ("watched", "length"):
                column = role in names and tables.column_of(columns, names[role], role, "events")
                amounts.append(_seconds(column, role)[log.kept] if column else None)
        watched, lengths = amounts or (None, None)
        del table
        users, items, times = log.users.codes, log.items.codes, log.times
        kinds = None if log.kinds is None else log.kinds.codes.astype(np.uint8, copy=False)
        user_ids, item_ids = as_column(log.users.values), as_column(log.items.values)
        self.n_rows, self._kinds = log.n_rows, [] if log.kinds is None else log.kinds.values
        if lengths is not None:
            lengths[~(lengths > 0)] = np.nan
            _check_unit(watched, lengths, names)
        del log
        assert times is not None
        sizes = len(user_ids), len(item_ids)
        events = Ordered.of(users, *sizes, items, times, kinds, watched, lengths)
        del users, items, times, kinds, watched, lengths, amounts
        sources.give_back()
        self._end = float(events.times.max(initial=-np.inf))
        self._users, self._items = user_ids, item_ids
        self._counted = Counted(events, self._gap)
        if events.watched is not None:
            less = events.watched < 0
            if less.any():
                self._keep(~less)
                what = "with less than nothing watched"
                remedy = f"look whether watched={names['watched']!r} names the right column"
                removed.append(Removed(what, int(less.sum()), remedy))
        self.removed = tuple(removed)

    def _keep(self, kept: npt.NDArray[np.bool_]) -> None:
        """Keep some of the events."""
        events, people, items = self._counted.events.only(kept)
        self._users, self._items = self._users[people], self._items[items]
        self._counted = Counted(events, self._gap)

    def _with(self, kept: npt.NDArray[np.bool_]) -> Self:
        """A clickstream of some of the events."""
        other = copy.copy(self)
        vars(other).pop("_steps", None)
        other._keep(kept)
        return other

    # ---- cleaning --------------------------------------------------------------------------------

    def clean(self, *, within: Span = "0s", per_day: float | None = None) -> Self:
        """Without events that are told again, and without machines.

        Parameters
        ----------
        within : str or timedelta, default "0s"
            An event of the same person, item and kind, so long after another or less, is told
            again. By default these are events of the same time, unless all times are whole days,
            which cannot tell.
        per_day : float, optional
            Who has more events a day, from their first to their last (a day at least), is a
            machine. By default it is who has 100 or more, 10 times as many as the fastest hundredth
            of all people, on 100 items or more: what `Recommender` warns of.

        Returns
        -------
        Clickstream
            Another one, whose `removed` counts both, and whose `machines` are named.

        Raises
        ------
        ValueError
            For a bad argument.
        """
        seconds = span_seconds(within, "within")
        if per_day is not None and (not is_real(per_day) or not 0 < per_day < np.inf):
            raise ValueError(
                f"per_day must be a number of events above 0, or None, got {per_day!r}"
            )
        made, removed = self, list(self.removed)
        again = self._counted.told_again(seconds, len(self._kinds))
        if again.any():
            removed.append(
                Removed("told again", int(again.sum()), "nothing to do: each counts once")
            )
            made = made._with(~again)
        events = made._counted.events
        owners = events.people.owners
        sizes = len(events.people), events.n_items
        found: Numbers = np.zeros(0, np.intp)
        if len(events.people):
            found, rate = machines_of(owners, events.items, events.times, *sizes)
            if per_day is not None:
                found = np.flatnonzero(rate > per_day)
        if len(found):
            is_machine = np.zeros(len(events.people), dtype=bool)
            is_machine[found] = True
            theirs = is_machine[owners]
            what = f"of {len(found):,} machines"
            remedy = "give a higher per_day to keep them"
            removed.append(Removed(what, int(theirs.sum()), remedy))
            names = made._users[found].tolist()
            made = made._with(~theirs)
            made.machines = [*self.machines, *names]
        if made is self:
            made = copy.copy(self)
        made.removed = tuple(removed)
        return made

    def before(self, time: Any) -> Self:
        """The events before a time, as if the log ended there.

        What `people` says of them then knows nothing of later, which is how a model that is to
        foresee something must be trained.

        Parameters
        ----------
        time : date, datetime, ISO text, or number since 1970
            As in the column of times; without a time zone it is UTC.

        Returns
        -------
        Clickstream

        Raises
        ------
        ValueError, TypeError
            If it is no time.
        """
        end = _instant(time)
        made = self._with(self._counted.events.times < end)
        made._end = end
        return made

    def since(self, time: Any) -> Self:
        """The events from a time on; all is as in `before`."""
        return self._with(self._counted.events.times >= _instant(time))

    # ---- tables ----------------------------------------------------------------------------------

    def to_frame(self) -> Table:
        """The events that are left, by person and time.

        Returns
        -------
        table
            With the columns that were read, by their own names, and

            - "session": its number, over all people;
            - "dwell": seconds until the next event of the session, missing for its last;
            - "completion", where lengths are known: the share of the item that was watched, up
              to 1;
            - "hour" (0 to 23) and "weekday" (0 for Monday to 6), in `timezone`;
            - "seen_before": how many earlier events the person has with the item.
        """
        counted, events, names = self._counted, self._counted.events, self._names
        local = calendar.local(events.times, self._zone)
        own: dict[Any, Any] = {
            names["user"]: self._users[events.people.owners],
            names["item"]: self._items[events.items],
            names["timestamp"]: calendar.dates(events.times),
        }
        if events.kinds is not None:
            own[names["event"]] = as_column(self._kinds)[events.kinds]
        for role, values in (("watched", events.watched), ("length", events.lengths)):
            if values is not None:
                own[names[role]] = values
        columns: dict[str, Any] = {"session": counted.session_of, "dwell": counted.dwell}
        completion = counted.completion
        if completion is not None:
            columns["completion"] = completion
        columns["hour"] = calendar.hours(local)
        columns["weekday"] = calendar.weekdays(local)
        columns["seen_before"] = counted.seen_before
        return self._table(own, columns)

    def sessions(self) -> Table:
        """A row for each session, by person and time.

        Returns
        -------
        table
            With the column of people by its own name, and

            - "session": its number;
            - "start" and "end": of its first event, and of its last (of what was watched there);
            - "duration": seconds between the two;
            - "n_events", "n_items";
            - "hour" and "weekday" of its start, in `timezone`;
            - "watched": seconds, where they are known;
            - "completion": the mean share that was watched, "n_completed": how many items to their
              end, "binge": whether these are at least `binge`; where lengths are known.
        """
        counted, events = self._counted, self._counted.events
        sessions = counted.sessions
        start = events.times[sessions.begins]
        end = events.times[sessions.ends]
        if events.watched is not None:
            end = end + np.nan_to_num(events.watched[sessions.ends])
        local = calendar.local(start, self._zone)
        own = {self._names["user"]: self._users[counted.people_of_sessions]}
        columns: dict[str, Any] = {
            "session": np.arange(len(sessions)),
            "start": calendar.dates(start),
            "end": calendar.dates(end),
            "duration": end - start,
            "n_events": sessions.sizes,
            "n_items": counted.n_items_of_sessions(),
            "hour": calendar.hours(local),
            "weekday": calendar.weekdays(local),
        }
        if events.watched is not None:
            columns["watched"] = sessions.sum(np.nan_to_num(events.watched))
        completion = counted.completion
        if completion is not None:
            columns["completion"] = sessions.mean(completion)
            columns["n_completed"] = counted.n_completed(self._completed)
            columns["binge"] = columns["n_completed"] >= self._binge
        return self._table(own, columns)

    def people(self) -> Table:
        """A row for each person: how much, how often, how lately, and in what way.

        Returns
        -------
        table
            With the column of people by its own name, and

            - "n_events", "n_items" (distinct), "n_sessions", "n_days" (with events);
            - "first" and "last": their first and last event;
            - "recency": days from the last event to the end of the log, which is that of
              `before`, or the latest event;
            - "tenure": days from the first event to the end of the log;
            - "repeats": the share of the events with an item that they had before;
            - "night" (0 to 6 o'clock), "morning" (to 12), "afternoon" (to 18), "evening" (to 24),
              and "weekend": shares of the events, in `timezone`;
            - "busiest_hour": the most events within one hour of the clock;
            - "dwell": mean seconds between events of a session, and "dwell_variation": their
              standard deviation over their mean, which is small for machines;
            - "surprise": mean bits of their steps, -log2 of the share of people's steps from an
              item that lead to the next: how unusual their paths are;
            - "watched": seconds, where they are known;
            - "completion": the mean share that was watched, "completed": the share of events
              watched to the end, and "n_binges": sessions that are binges; where lengths are known.

            A mean of nothing is missing.
        """
        counted, events = self._counted, self._counted.events
        people = events.people
        first, last = events.times[people.begins], events.times[people.ends]
        local = calendar.local(events.times, self._zone)
        n_events = people.sizes
        with np.errstate(invalid="ignore"):
            n_items = people.sum(counted.by_pair[1])
            columns: dict[str, Any] = {
                "n_events": n_events,
                "n_items": n_items,
                "n_sessions": np.bincount(counted.people_of_sessions, minlength=len(people)),
                "n_days": counted.n_distinct(np.floor(local / DAY)),
                "first": calendar.dates(first),
                "last": calendar.dates(last),
                "recency": (self._end - last) / DAY,
                "tenure": (self._end - first) / DAY,
                "repeats": (n_events - n_items) / n_events,
                **self._parts_of_day(local),
                "weekend": people.sum(calendar.weekdays(local) >= _SATURDAY) / n_events,
                "busiest_hour": counted.busiest_hour(),
            }
        del local
        columns["dwell"] = people.mean(counted.dwell)
        columns["dwell_variation"] = people.variation(counted.dwell)
        steps = self._steps
        columns["surprise"] = mean_by(people.owners[steps.places], steps.bits, len(people))
        if events.watched is not None:
            columns["watched"] = people.sum(np.nan_to_num(events.watched))
        completion = counted.completion
        if completion is not None:
            columns["completion"] = people.mean(completion)
            whole = np.where(np.isnan(completion), np.nan, completion >= self._completed)
            columns["completed"] = people.mean(whole)
            binges = counted.n_completed(self._completed) >= self._binge
            owners = counted.people_of_sessions[binges]
            columns["n_binges"] = np.bincount(owners, minlength=len(people))
        return self._table({self._names["user"]: self._users}, columns)

    def items(self) -> Table:
        """A row for each item: how much of it, by how many, and where in sessions.

        Returns
        -------
        table
            With the column of items by its own name, and

            - "n_events", "n_people" (distinct);
            - "first" and "last": its first and last event;
            - "recency": days from the last event to the end of the log;
            - "repeats": the share of its events by people who had it before;
            - "starts" and "ends": the shares of its events that begin and that end a session;
            - "watched": seconds, and "completion": the mean share that was watched, where they are
              known.
        """
        counted, events, n = self._counted, self._counted.events, self._counted.events.n_items
        of, sessions = events.items, counted.sessions
        n_events = np.bincount(of, minlength=n)
        order, is_first = counted.by_pair
        n_people = np.bincount(of[order[is_first]], minlength=n)
        first, last = np.full(n, np.inf), np.full(n, -np.inf)
        np.minimum.at(first, of, events.times)
        np.maximum.at(last, of, events.times)
        columns: dict[str, Any] = {
            "n_events": n_events,
            "n_people": n_people,
            "first": calendar.dates(first),
            "last": calendar.dates(last),
            "recency": (self._end - last) / DAY,
            "repeats": (n_events - n_people) / n_events,
            "starts": np.bincount(of[sessions.begins], minlength=n) / n_events,
            "ends": np.bincount(of[sessions.ends], minlength=n) / n_events,
        }
        if events.watched is not None:
            columns["watched"] = np.bincount(of, np.nan_to_num(events.watched), minlength=n)
        completion = counted.completion
        if completion is not None:
            columns["completion"] = mean_by(of, completion, n)
        return self._table({self._names["item"]: self._items}, columns)

    # ---- paths -----------------------------------------------------------------------------------

    def transitions(self) -> Transitions:
        """How often each item led to each other within sessions.

        Returns
        -------
        Transitions
            With the counts as a sparse matrix, probabilities, and a table. Other columns than items
            make other chains: ``Clickstream(events, item="page_type", ...)``.
        """
        return Transitions(self._items, self._steps.counts, self._kind)

    def paths(self, length: int = 3, k: int = 20) -> Table:
        """The most frequent ways through items within sessions.

        Parameters
        ----------
        length : int, default 3
            Items of a path, at least 2. Events of one item in a row are one stay.
        k : int, default 20
            How many paths, at most.

        Returns
        -------
        table
            With the columns "item_1", "item_2" ..., "count", and "probability": of those who came
            this way up to the item before the last and went on, the share that went to the last.
            Of equal counts, items that come first in the table come first.

        Raises
        ------
        ValueError
            For a bad argument.
        """
        for name, value, least in (("length", length, 2), ("k", k, 1)):
            if not is_integer(value) or value < least:
                raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
        found, counts, shares = paths.frequent(self._counted, int(length), int(k))
        columns: dict[str, Any] = {
            f"item_{step + 1}": self._items[found[:, step]] for step in range(length)
        }
        return make(self._kind, columns | {"count": counts, "probability": shares})

    @cached_property
    def _steps(self) -> Steps:
        return paths.steps_of(self._counted)

    def _parts_of_day(self, local: npt.NDArray[np.float64]) -> dict[str, Numbers]:
        """The share of each person's events in each quarter of the day."""
        people, hours = self._counted.events.people, calendar.hours(local)
        return {
            name: people.sum(hours // 6 == number) / people.sizes
            for number, name in enumerate(_PARTS_OF_DAY)
        }

    def _table(self, own: dict[Any, Any], made: dict[str, Any]) -> Table:
        """A table of columns with the caller's names, and of those that are made."""
        clash = next((name for name in own if name in made), None)
        if clash is not None:
            raise ValueError(
                f"the column {clash!r} of events has the name of a column that is made of them; "
                "rename it first"
            )
        return make(self._kind, own | made)

    # ---- reading ---------------------------------------------------------------------------------

    @property
    def n_events(self) -> int:
        return len(self._counted.events.times)

    @property
    def n_people(self) -> int:
        return len(self._users)

    @property
    def n_items(self) -> int:
        return len(self._items)

    @property
    def n_sessions(self) -> int:
        return len(self._counted.sessions)

    @property
    def period(self) -> tuple[np.datetime64, np.datetime64] | None:
        times = self._counted.events.times
        if not len(times):
            return None
        first, last = calendar.dates(np.array([times.min(), times.max()]))
        return first, last

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.n_events:,} events, {self.n_people:,} people, "
            f"{self.n_items:,} items, {self.n_sessions:,} sessions)"
        )

    def __str__(self) -> str:
        period = ""
        if self.period is not None:
            first, last = (moment.astype("datetime64[D]") for moment in self.period)
            period = f", {first} to {last}"
        lines = [
            f"{self.n_events:,} events of {self.n_people:,} people and {self.n_items:,} items make "
            f"{self.n_sessions:,} sessions{period}"
        ]
        for what, how_many, remedy in self.removed:
            share = how_many / max(self.n_rows, 1)
            lines.append(f"removed {how_many:,} rows ({share:.1%}), {what}: {remedy}")
        return "\n".join(lines)


def _check_names(names: dict[str, Any]) -> None:
    """Each column has one role."""
    roles: dict[Any, str] = {}
    for role, name in names.items():
        if name in roles:
            raise ValueError(
                f"{roles[name]} and {role} must be two columns of events, got {name!r} for both"
            )
        roles[name] = role


def _seconds(column: Column, role: str) -> npt.NDArray[np.float32]:
    if column.kind not in ("number", "empty"):
        raise TypeError(
            f"{column.label} must hold numbers of seconds to be {role}, got {column.dtype}; "
            "column.dt.total_seconds() makes numbers of durations"
        )
    return finite(column.numbers(), column, np.float32).astype(np.float32)


def _check_unit(watched: Any, lengths: Any, names: dict[str, Any]) -> None:
    with np.errstate(invalid="ignore"):
        share = watched / lengths
    share = share[~np.isnan(share)]
    if len(share) and np.median(share) > _ONE_UNIT:
        raise ValueError(
            f"watched={names['watched']!r} and length={names['length']!r} must both be seconds, "
            f"got {np.median(share):g} times the length in the median; milliseconds or minutes?"
        )


def _instant(time: Any) -> float:
    """A time in seconds since 1970, by the rules of columns of times."""
    if isinstance(time, np.generic):
        time = time.astype("datetime64[us]").item() if time.dtype.kind == "M" else time.item()
    try:
        table = make("pyarrow", {"time": [time]})
        column = columns_of.by_name(table, "the argument")["time"]
        seconds = float(events_of.times_of(column, "the time")[0][0])
    except (TypeError, ValueError, OverflowError, ArithmeticError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"time must be a date, a text of one or a number: {error}") from None
    if np.isnan(seconds):
        raise ValueError(f"time must be a date, a text of one or a number, got {time!r}")
    return seconds
