"""A synthetic clickstream: plays of a service for films and series, with what only its maker knows.

People are of four segments, which differ in what they like, when they watch, how often, and how
many leave. What happens in a session follows known laws (see `synthetic_clickstream`), so what is
made of the events can be checked against `Plays.truth`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lightfm_clone._checks import check_random_state, is_integer, is_real
from lightfm_clone.datasets._drawn import Column, Columns, Tables, ids
from lightfm_clone.typing import Floats, Seed

GENRES = ("Drama", "Comedy", "Crime", "Documentary", "Sci-Fi", "Family", "Music", "Sports")
DEVICES = ("tv", "phone", "tablet", "computer")
N_SEGMENTS = 4  # each likes two genres of its own
FAVOURITES = 0.7  # of a segment's taste: its two genres
# When sessions of a segment begin, from 6 to 24 o'clock: around these hours.
HOURS, HOURS_SPREAD = np.array([8, 13, 19, 22]), 2.0
DAYS_WITH = np.array([0.35, 0.15, 0.3, 0.2])  # of a segment's people, the share with a session
LEAVES = np.array([0.15, 0.25, 0.35, 0.45])  # the share of a segment's people who leave
FADES = 21  # days over which who leaves gets rare
DEVICE_SHARES = np.array(
    [[0.1, 0.6, 0.2, 0.1], [0.4, 0.1, 0.4, 0.1], [0.7, 0.1, 0.1, 0.1], [0.3, 0.2, 0.1, 0.4]]
)
CONTINUES = 0.75  # a session after each play
LONGEST, MOST_PLAYS = 5 * 3600.0, 30  # of a session
SUCCESSORS = np.array([0.5, 0.3, 0.2])  # the shares of the planted paths from an item
SHARE_LEVEL, SHARE_TASTE, SHARE_SPREAD = -1.3, 4.0, 0.7  # of the logarithm of what is watched
IDLE, MOST_IDLE = 60.0, 1200.0  # seconds between plays
START = 1_735_689_600  # 2025-01-01, in seconds
DAY = 86_400.0

Numbers = npt.NDArray[np.int64]


class PlaysTruth(NamedTuple):
    """What only the maker of a clickstream knows.

    Attributes
    ----------
    user_ids : str [n_people]
        All people, those too who never come.
    item_ids : str [n_items]
    segments : int64 [n_people]
        The segment of each, 0 to 3.
    tastes : float32 [n_people, n_genres]
        What share of their choices goes to each genre.
    genres : int64 [n_items]
        A number into the genres.
    successors : int64 [n_items, 3]
        The items that paths lead to from each.
    leaves : datetime64 [n_people]
        When they leave for good; NaT for those who stay.
    n_sessions : int64 [n_people]
    machines : str [n_machines]
        The users who are none.
    """

    user_ids: Column
    item_ids: Column
    segments: Numbers
    tastes: Floats
    genres: Numbers
    successors: Numbers
    leaves: npt.NDArray[np.datetime64]
    n_sessions: Numbers
    machines: Column


@dataclass(frozen=True, eq=False, repr=False)
class Plays(Tables):
    """Tables of plays, people and items, as columns by name, and the truth behind them.

    Attributes
    ----------
    events, people, items : dict of str to array
        Texts are arrays of objects, None where they are missing.
    truth : PlaysTruth
    """

    events: Columns
    people: Columns
    items: Columns
    truth: PlaysTruth

    TABLES = "events", "people", "items"


def synthetic_clickstream(
    n_people: int = 1_000,
    n_items: int = 200,
    *,
    days: int = 90,
    n_machines: int = 8,
    by_path: float = 0.5,
    random_state: Seed = 0,
) -> Plays:
    """Draw the log of a service for films and series, by known laws.

    - Each person is of one of four segments. Their taste, a distribution over eight genres, is
      drawn from a Dirichlet distribution around that of the segment, which gives 0.7 to two genres.
    - On each day a person has one session or none, by chance. The rate is that of the segment (15
      to 35 %) times one of their own (gamma, of mean 1). Sessions begin around an hour that depends
      on the segment; after five hours, or 30 plays, no further play begins.
    - 15 to 45 % of the people of a segment leave, at a time between 30 and 90 % of the log, and get
      rare in the 21 days before, linearly. They never come back.
    - A session starts with an item by taste: a genre of the person's taste, then one of its items
      by popularity. Each play is followed by another with probability 0.75. With probability
      `by_path` the next item is one of three that follow the last (with 0.5, 0.3 and 0.2: a Markov
      chain), else again one by taste.
    - Of an item of length L somebody with the taste t for its genre watches min(L, L s), where
      log s is normal with mean -1.3 + 4 t and standard deviation 0.7. The next play begins an
      exponential time of mean 60 seconds after, at most 20 minutes.
    - Half of the machines play some hundred to some thousand items within two days, at a steady
      pace, and watch 1 to 5 seconds. The other half come on six days of ten, for 3 to 12 plays, and
      watch and wait like people with a taste of 0.3 for everything. All choose any item with the
      same probability, whatever was before.
    - One event in 200 is told twice; one in 2,000 has no user, and one in 2,000 no item.

    Parameters
    ----------
    n_people, n_items : int, default 1000 and 200
        Numbers of people, at least 20, and of items, at least 32. A person has some 80 plays in 90
        days.
    days : int, default 90
        How long the log is, from 1 January 2025 on; at least 2.
    n_machines : int, default 8
        Users who are none.
    by_path : float, default 0.5
        The share of plays after the first of a session that follow a planted path.
    random_state : int, RandomState, Generator or None, default 0
        Seed. The same seed gives the same log on the same version of NumPy; None gives another one
        every time.

    Returns
    -------
    Plays
        With the columns

        - ``events``, in no order: user, item, timestamp (int64, milliseconds since 1970, when the
          play began), watched and length (seconds);
        - ``people``: user, device (the one they use most, which depends on the segment);
        - ``items``: item, title, genre, length;

        and what only the maker knows, as `truth`.

    Raises
    ------
    ValueError
        If a number is too small, or `by_path` is no share.

    Examples
    --------
    >>> plays = synthetic_clickstream()
    >>> list(plays.events)
    ['user', 'item', 'timestamp', 'watched', 'length']
    >>> events, people, items = plays.to_frames("pandas")
    >>> len(people), len(items), len(plays.truth.machines)
    (1008, 200, 8)
    """
    for name, value, least in (
        ("n_people", n_people, 20),
        ("n_items", n_items, 4 * len(GENRES)),
        ("days", days, 2),
        ("n_machines", n_machines, 0),
    ):
        if not is_integer(value) or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    if not is_real(by_path) or not 0 <= by_path <= 1:
        raise ValueError(f"by_path must be a share from 0 to 1, got {by_path!r}")
    n_people, n_items, n_machines, days = int(n_people), int(n_items), int(n_machines), int(days)
    seeds = check_random_state(random_state).randint(2**32, size=8, dtype=np.uint32)
    rng = np.random.default_rng(seeds)

    people = _draw_people(rng, n_people, days)
    goods = _draw_goods(rng, n_items)
    sessions = _sessions(rng, people, days)
    log = _plays(rng, sessions, people, goods, float(by_path))
    n_sessions = np.bincount(sessions.users, minlength=n_people)
    crawls = _machines(rng, n_machines, n_people, days, goods)
    log = _joined([log, crawls])

    user_ids, item_ids = ids(rng, n_people + n_machines, 8), ids(rng, n_items, 5)
    leaves = np.full(n_people, np.datetime64("NaT", "s"))
    gone = np.flatnonzero(np.isfinite(people.leaves))
    leaves[gone] = (START + people.leaves[gone] * DAY).astype(np.int64).view("datetime64[s]")
    truth = PlaysTruth(
        user_ids[:n_people],
        item_ids,
        people.segments,
        people.tastes.astype(np.float32),
        goods.genres,
        goods.successors,
        leaves,
        n_sessions,
        user_ids[n_people:],
    )
    return Plays(
        _events(rng, log, user_ids, item_ids, goods),
        _people(rng, people, user_ids),
        _items(rng, goods, item_ids),
        truth,
    )


# ---- the truth -----------------------------------------------------------------------------------


class _People(NamedTuple):
    segments: Numbers
    tastes: npt.NDArray[np.float64]  # [n, n_genres], rows of sum 1
    rates: npt.NDArray[np.float64]  # sessions a day
    leaves: npt.NDArray[np.float64]  # days from the start; inf for who stays


class _Goods(NamedTuple):
    genres: Numbers
    popularity: npt.NDArray[np.float64]
    lengths: npt.NDArray[np.float64]  # seconds
    successors: Numbers  # [n, 3]


class _Sessions(NamedTuple):
    users: Numbers
    begins: npt.NDArray[np.float64]  # seconds from the start


class _Log(NamedTuple):
    users: Numbers
    items: Numbers
    times: npt.NDArray[np.float64]  # seconds from the start
    watched: npt.NDArray[np.float64]  # seconds


def _draw_people(rng: np.random.Generator, n: int, days: int) -> _People:
    segments = rng.integers(N_SEGMENTS, size=n)
    typical = np.full((N_SEGMENTS, len(GENRES)), (1 - FAVOURITES) / (len(GENRES) - 2))
    for segment in range(N_SEGMENTS):
        typical[segment, 2 * segment : 2 * segment + 2] = FAVOURITES / 2
    tastes = rng.standard_gamma(10 * typical[segments]) + 1e-6
    tastes /= tastes.sum(axis=1, keepdims=True)
    rates = np.minimum(DAYS_WITH[segments] * rng.gamma(3, 1 / 3, n), 0.95)
    leaves = np.full(n, np.inf)
    gone = np.flatnonzero(rng.random(n) < LEAVES[segments])
    leaves[gone] = rng.uniform(0.3, 0.9, len(gone)) * days
    return _People(segments, tastes, rates, leaves)


def _draw_goods(rng: np.random.Generator, n: int) -> _Goods:
    genres = rng.permutation(np.arange(n) % len(GENRES))
    popularity = 1 / (rng.permutation(n) + 5) ** 0.8
    lengths = np.rint(np.exp(rng.normal(np.log(1800), 0.6, n)).clip(300, 9000))
    successors = np.empty((n, len(SUCCESSORS)), np.int64)
    for genre in range(len(GENRES)):  # paths stay within a genre, and lead through all of it
        own = rng.permutation(np.flatnonzero(genres == genre))
        for place in range(len(SUCCESSORS)):
            successors[own, place] = np.roll(own, -1 - place)
    return _Goods(genres, popularity, lengths, successors)


def _sessions(rng: np.random.Generator, people: _People, days: int) -> _Sessions:
    users, begins = [], []
    for day in range(days):
        left = np.clip((people.leaves - day) / FADES, 0, 1)
        come = np.flatnonzero(rng.random(len(left)) < people.rates * left)
        hours = HOURS[people.segments[come]] + HOURS_SPREAD * rng.standard_normal(len(come))
        hours = 6 + (hours - 6) % 18
        begin = day * DAY + hours * 3600
        stays = begin < people.leaves[come] * DAY
        users.append(come[stays])
        begins.append(begin[stays])
    return _Sessions(np.concatenate(users), np.concatenate(begins))


def _plays(
    rng: np.random.Generator, sessions: _Sessions, people: _People, goods: _Goods, by_path: float
) -> _Log:
    """The plays of all sessions, a step of all of them at a time."""
    by_taste = _ByTaste(people, goods)
    users, times = sessions.users, sessions.begins
    end = times + LONGEST
    items = by_taste.draw(rng, users)
    parts = []
    for _ in range(MOST_PLAYS):
        taste = people.tastes[users, goods.genres[items]]
        share = np.exp(
            SHARE_LEVEL + SHARE_TASTE * taste + SHARE_SPREAD * rng.standard_normal(len(users))
        )
        watched = goods.lengths[items] * np.minimum(share, 1)
        parts.append(_Log(users, items, times, watched))
        times = times + watched + np.minimum(rng.exponential(IDLE, len(users)), MOST_IDLE)
        goes_on = (rng.random(len(users)) < CONTINUES) & (times < end)
        users, items = users[goes_on], items[goes_on]
        times, end = times[goes_on], end[goes_on]
        chosen = by_taste.draw(rng, users)
        place = rng.choice(len(SUCCESSORS), len(users), p=SUCCESSORS)
        follows = rng.random(len(users)) < by_path
        items = np.where(follows, goods.successors[items, place], chosen)
    return _joined(parts)


def _joined(parts: list[_Log]) -> _Log:
    columns: Any = map(np.concatenate, zip(*parts, strict=True))
    return _Log(*columns)


class _ByTaste:
    """Items by a person's taste for genres, and by popularity within a genre.

    Each choice is one search in all cumulative tastes, each person's behind those of the one
    before, and one in the cumulative popularity of the items, sorted by genre.
    """

    def __init__(self, people: _People, goods: _Goods) -> None:
        cumulative = people.tastes.cumsum(axis=1)[:, :-1] + np.arange(len(people.tastes))[:, None]
        self._tastes = cumulative.ravel()
        self._order = np.argsort(goods.genres, kind="stable")
        self._popularity = goods.popularity[self._order].cumsum()
        sizes = np.bincount(goods.genres, minlength=len(GENRES))
        self._ends = np.append(0, self._popularity[sizes.cumsum() - 1])

    def draw(self, rng: np.random.Generator, users: Numbers) -> Numbers:
        genres = np.searchsorted(self._tastes, users + rng.random(len(users)))
        genres = np.clip(genres - users * (len(GENRES) - 1), 0, len(GENRES) - 1)
        low, high = self._ends[genres], self._ends[genres + 1]
        places = np.searchsorted(
            self._popularity, low + (high - low) * rng.random(len(users)), side="right"
        )
        drawn: Numbers = self._order[np.minimum(places, len(self._order) - 1)]
        return drawn


def _machines(rng: np.random.Generator, n: int, first: int, days: int, goods: _Goods) -> _Log:
    parts = [_Log(*(np.zeros(0, dtype) for dtype in (np.int64, np.int64, float, float)))]
    for machine in range(n):
        if machine % 2 == 0:
            size = int(np.exp(rng.uniform(np.log(300), np.log(3000))))
            watched = rng.uniform(1, 5, size)
            pace = min(days, 2) * DAY / size * rng.uniform(0.3, 1)
            begin = rng.random() * max(days - 2, 0) * DAY
            times = begin + pace * (np.arange(size) + 0.02 * rng.random(size))
            items = rng.integers(len(goods.genres), size=size)
        else:
            at = np.flatnonzero(rng.random(days) < 0.6)
            sizes = rng.integers(3, 13, len(at))
            size = int(sizes.sum())
            items = rng.integers(len(goods.genres), size=size)
            share = np.exp(rng.normal(SHARE_LEVEL + SHARE_TASTE * 0.3, SHARE_SPREAD, size))
            watched = goods.lengths[items] * np.minimum(share, 1)
            waits = watched + np.minimum(rng.exponential(IDLE, size), MOST_IDLE)
            waited = np.append(0, np.cumsum(waits))
            before = waited[np.cumsum(sizes) - sizes]  # each visit
            begins = (at + rng.uniform(0.25, 0.6, len(at))) * DAY - before
            times = np.repeat(begins, sizes) + waited[:-1]
        parts.append(_Log(np.full(size, first + machine), items, times, watched))
    return _joined(parts)


# ---- the tables ----------------------------------------------------------------------------------


def _events(
    rng: np.random.Generator, log: _Log, user_ids: Column, item_ids: Column, goods: _Goods
) -> Columns:
    columns: dict[str, Any] = {
        "user": user_ids[log.users],
        "item": item_ids[log.items],
        "timestamp": np.int64(1000) * START + (1000 * log.times).astype(np.int64),
        "watched": log.watched.round(1),
        "length": goods.lengths[log.items],
    }
    n = len(log.users)
    n_faults = np.array([max(n // 2000, 1), max(n // 2000, 1), max(n // 200, 1)])
    no_item, no_user, again = np.split(
        rng.choice(n, n_faults.sum(), replace=False), n_faults.cumsum()[:-1]
    )
    columns["item"][no_item] = None
    columns["user"][no_user] = None
    order = rng.permutation(np.concatenate([np.arange(n), again]))
    return {name: column[order] for name, column in columns.items()}


def _people(rng: np.random.Generator, people: _People, user_ids: Column) -> Columns:
    shares = DEVICE_SHARES[people.segments].cumsum(axis=1)
    devices = (rng.random(len(shares))[:, None] > shares[:, :-1]).sum(axis=1)
    of_machines = rng.integers(len(DEVICES), size=len(user_ids) - len(shares))
    names = np.array(DEVICES, dtype=object)
    return {"user": user_ids, "device": names[np.concatenate([devices, of_machines])]}


def _items(rng: np.random.Generator, goods: _Goods, item_ids: Column) -> Columns:
    names = np.array(GENRES, dtype=object)[goods.genres]
    titles = [f"{name} {number}" for number, name in enumerate(names.tolist(), 1)]
    return {
        "item": item_ids,
        "title": np.array(titles, dtype=object),
        "genre": names,
        "length": goods.lengths,
    }
