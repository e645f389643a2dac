"""Events in order, and what is counted along it.

One counting sort brings the events of each person together, in order of time; sessions, dwell
times and steps are then differences of neighbours, and sums over people and sessions are sums over
stretches of the arrays.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lightfm_clone.clickstream.calendar import DAY

Numbers = npt.NDArray[Any]


class Stretches:
    """Neighbouring elements that belong together, none of them empty: people, or sessions."""

    def __init__(self, begins: Numbers, n: int) -> None:
        self.begins = begins  # int64 [how many], ascending from 0
        self.n = n  # elements in all

    def __len__(self) -> int:
        return len(self.begins)

    @property
    def ends(self) -> Numbers:
        """Their last elements."""
        return np.append(self.begins[1:], self.n)[: len(self)] - 1

    @property
    def sizes(self) -> Numbers:
        return np.diff(self.begins, append=self.n)

    @property
    def owners(self) -> npt.NDArray[np.int32]:
        """The number of the stretch that each element is in."""
        return np.repeat(np.arange(len(self), dtype=np.int32), self.sizes)

    def sum(self, values: Numbers) -> Numbers:
        """Sums as int64 of whole numbers and truth values, as float64 of others."""
        dtype = np.float64 if values.dtype.kind == "f" else np.int64
        if not len(self):
            return np.zeros(0, dtype)
        made: Numbers = np.add.reduceat(values, self.begins, dtype=dtype)
        return made

    def max(self, values: Numbers) -> Numbers:
        if not len(self):
            return values[:0]
        made: Numbers = np.maximum.reduceat(values, self.begins)
        return made

    def mean(self, values: Numbers) -> npt.NDArray[np.float64]:
        """Means of what is no NaN; NaN where nothing is."""
        return _mean(self.sum(_filled(values)), self.sum(~np.isnan(values)))

    def variation(self, values: Numbers) -> npt.NDArray[np.float64]:
        """Standard deviations over means; NaN where fewer than 2 values are there."""
        counts = self.sum(~np.isnan(values))
        counts = np.where(counts < 2, 0, counts)
        mean = _mean(self.sum(_filled(values)), counts)
        squares = _mean(self.sum(_filled(values.astype(np.float64) ** 2)), counts)
        with np.errstate(invalid="ignore", divide="ignore"):
            varies: npt.NDArray[np.float64] = np.sqrt(np.maximum(squares - mean**2, 0)) / mean
        return np.where(mean > 0, varies, np.nan)


def _filled(values: Numbers) -> Numbers:
    return np.nan_to_num(values, nan=0.0) if values.dtype.kind == "f" else values


def _mean(sums: Numbers, counts: Numbers) -> npt.NDArray[np.float64]:
    """NaN where nothing is counted."""
    made = np.full(len(sums), np.nan)
    np.divide(sums, counts, out=made, where=counts > 0)
    return made


def mean_by(groups: Numbers, values: Numbers, n: int) -> npt.NDArray[np.float64]:
    """Means of what is no NaN by the number of a group; NaN where nothing is."""
    sums = np.bincount(groups, _filled(values), minlength=n)
    return _mean(sums, np.bincount(groups[~np.isnan(values)], minlength=n))


def grouped(codes: Numbers, n: int) -> tuple[Numbers, Numbers]:
    """Where each of n groups begins, and the places of its members: a stable counting sort.

    That is what the conversion of a sparse matrix does.
    """
    size = len(codes)
    places: Any = np.arange(size, dtype=np.int32 if size < 2**31 else np.int64)
    one_column = np.zeros(size, dtype=np.int32)
    matrix = sp.coo_matrix((places, (codes, one_column)), shape=(n, 1), copy=False)
    matrix.has_canonical_format = True  # or all would be summed
    rows = matrix.tocsr()
    return rows.indptr, rows.data


class Ordered(NamedTuple):
    """Events by person, then time, then as they came; every person and item has some."""

    people: Stretches
    n_items: int
    items: npt.NDArray[np.int32]
    times: npt.NDArray[np.float64]  # seconds since 1970
    kinds: npt.NDArray[np.uint8] | None
    watched: npt.NDArray[np.float32] | None  # seconds, NaN where it is not known
    lengths: npt.NDArray[np.float32] | None  # seconds, NaN where it is not known

    @classmethod
    def of(
        cls,
        people: Numbers,
        n_people: int,
        n_items: int,
        items: Numbers,
        times: Numbers,
        *others: Numbers | None,
    ) -> Ordered:
        """Put events into order."""
        by_time = None
        if len(times) and (times[1:] < times[:-1]).any():
            by_time = np.argsort(times, kind="stable")
            people = people[by_time]
        begins, order = grouped(people, n_people)
        if by_time is not None:
            order = by_time[order]
        stretches = Stretches(begins[:-1].astype(np.int64), len(times))
        columns = (None if of is None else of[order] for of in (items, times, *others))
        return cls(stretches, n_items, *columns)  # type: ignore[arg-type]

    def only(self, kept: npt.NDArray[np.bool_]) -> tuple[Ordered, Numbers, Numbers]:
        """Some of the events, and the numbers of the people and items that are left."""
        n_left = self.people.sum(kept)
        people = np.flatnonzero(n_left)
        begins = np.cumsum(n_left[people]) - n_left[people]
        columns = [None if of is None else of[kept] for of in self[2:]]
        occurs = np.zeros(self.n_items, dtype=bool)
        occurs[columns[0]] = True
        columns[0] = (np.cumsum(occurs, dtype=np.int32) - np.int32(1))[columns[0]]
        items = np.flatnonzero(occurs)
        stretches = Stretches(begins, int(n_left.sum()))
        return Ordered(stretches, len(items), *columns), people, items  # type: ignore[arg-type]


class Counted:
    """What follows from the order of events, made when it is asked for."""

    def __init__(self, events: Ordered, gap: float) -> None:
        self.events = events
        self._gap = gap

    @cached_property
    def sessions(self) -> Stretches:
        """A session ends where nothing happens for longer than the gap.

        What somebody watches is no idleness: the gap begins where it ends.
        """
        events = self.events
        idle = np.diff(events.times)
        if events.watched is not None:
            idle -= _filled(events.watched[:-1])
        first = np.ones(len(events.times), dtype=bool)
        np.greater(idle, self._gap, out=first[1:])
        first[events.people.begins] = True
        return Stretches(np.flatnonzero(first), len(first))

    @cached_property
    def session_of(self) -> npt.NDArray[np.int32]:
        """The session of each event, numbered over all people."""
        return self.sessions.owners

    @cached_property
    def people_of_sessions(self) -> npt.NDArray[np.int32]:
        return self.events.people.owners[self.sessions.begins]

    @cached_property
    def dwell(self) -> npt.NDArray[np.float32]:
        """Seconds until the next event of the session, NaN for its last."""
        times = self.events.times
        dwell = np.full(len(times), np.nan, dtype=np.float32)
        dwell[:-1] = np.diff(times)
        dwell[self.sessions.ends] = np.nan
        return dwell

    @property
    def completion(self) -> npt.NDArray[np.float32] | None:
        """What share of the item was watched, from 0 to 1; NaN where it is not known."""
        watched, lengths = self.events.watched, self.events.lengths
        if watched is None or lengths is None:
            return None
        with np.errstate(invalid="ignore"):
            share: npt.NDArray[np.float32] = np.minimum(watched / lengths, np.float32(1))
        return share

    @cached_property
    def by_pair(self) -> tuple[Numbers, npt.NDArray[np.bool_]]:
        """The events by person, item and time: their places, and where each pair begins."""
        events = self.events
        order = self.in_order(events.items, events.n_items)
        items = events.items[order]
        first = np.ones(len(order), dtype=bool)
        np.not_equal(items[1:], items[:-1], out=first[1:])
        first[events.people.begins] = True
        return order, first

    def in_order(self, codes: Numbers, n: int) -> Numbers:
        """The places of the events by person, then a code below n, then time."""
        people = self.events.people
        _, by_code = grouped(codes, n)
        _, by_person = grouped(people.owners[by_code], len(people))
        order: Numbers = by_code[by_person]
        return order

    @property
    def seen_before(self) -> npt.NDArray[np.int32]:
        """How many earlier events the person has with the item."""
        order, first = self.by_pair
        places = np.arange(len(order), dtype=np.int32)
        seen = np.empty_like(places)
        seen[order] = places - np.maximum.accumulate(np.where(first, places, 0))
        return seen

    def n_items_of_sessions(self) -> Numbers:
        """How many distinct items each session has."""
        order, first = self.by_pair
        session = self.session_of[order]
        new = first.copy()
        new[1:] |= session[1:] != session[:-1]
        return np.bincount(session[new], minlength=len(self.sessions))

    def n_completed(self, from_share: float) -> Numbers:
        """How many items were completed in each session."""
        completion = self.completion
        assert completion is not None
        order, first = self.by_pair
        pair = np.cumsum(first)
        done = completion[order] >= from_share
        pair, session = pair[done], self.session_of[order[done]]
        # Of an item that was completed twice in a session, the first time.
        new = np.ones(len(pair), dtype=bool)
        new[1:] = (pair[1:] != pair[:-1]) | (session[1:] != session[:-1])
        return np.bincount(session[new], minlength=len(self.sessions))

    def n_distinct(self, numbers: Numbers) -> Numbers:
        """How many values each person has of numbers that never fall along a person's events."""
        new = np.ones(len(numbers), dtype=bool)
        np.not_equal(numbers[1:], numbers[:-1], out=new[1:])
        new[self.events.people.begins] = True
        return self.events.people.sum(new)

    def busiest_hour(self) -> Numbers:
        """The most events that each person has within one hour of the clock."""
        people = self.events.people
        hour = np.floor(self.events.times / 3600)
        new = np.ones(len(hour), dtype=bool)
        np.not_equal(hour[1:], hour[:-1], out=new[1:])
        new[people.begins] = True
        begins = np.flatnonzero(new)
        first = np.cumsum(new)[people.begins] - 1  # of each person
        return Stretches(first, len(begins)).max(np.diff(begins, append=len(hour)))

    def told_again(self, within: float, n_kinds: int) -> npt.NDArray[np.bool_]:
        """Events that repeat one of the same person, item and kind so many seconds before.

        Times that are whole days cannot tell.
        """
        events = self.events
        again = np.zeros(len(events.times), dtype=bool)
        if not (events.times % DAY).any():
            return again
        order, first = self.by_pair
        if events.kinds is not None:
            codes = events.items.astype(np.int64) * n_kinds + events.kinds
            order = self.in_order(codes, events.n_items * n_kinds)
            codes = codes[order]
            first = np.ones(len(order), dtype=bool)
            np.not_equal(codes[1:], codes[:-1], out=first[1:])
            first[events.people.begins] = True
        times = events.times[order]
        repeats = ~first
        repeats[1:] &= np.diff(times) <= within
        again[order[repeats]] = True
        return again
