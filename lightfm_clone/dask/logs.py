"""Events in partitions: what the tasks do for a `Recommender` that lies on a cluster.

`read` takes the rows of a partition that count. What must be known of all partitions, the client
gathers (`facts_of`, `Facts.merged`): the latest time, the kinds of events, the unit of times.
`settle` makes blocks of that, which are dealt to shards, and `pairs_of` one entry of all events of
a pair, as `recommender.events` does on one machine. All events of a user are in one shard, in the
order of the table, so the pairs are the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import numpy as np

from lightfm_clone.dask import blocks as blocks_of
from lightfm_clone.dask.blocks import Block
from lightfm_clone.dask.dealing import Array, kind_of
from lightfm_clone.dask.shards import ShardData
from lightfm_clone.data.columns import Codes
from lightfm_clone.evaluation import groups
from lightfm_clone.recommender import events as events_of
from lightfm_clone.recommender import report
from lightfm_clone.recommender.events import UNITS, Cause, Log, Pairs
from lightfm_clone.recommender.report import Seen, Strays


class Part(NamedTuple):
    """The events of a partition that count."""

    block: Block  # kinds by the numbers of this partition
    kinds: list[Any] | None
    causes: tuple[Cause, ...]
    n_rows: int  # of the partition
    columns: dict[str, Any]
    time_unit: str | None


class Facts(NamedTuple):
    """What is known of a partition, or of several."""

    n_rows: int
    n_events: int
    causes: tuple[Cause, ...]
    columns: dict[str, Any]
    kinds: dict[Any, int] | None  # how many events are of each
    period: tuple[float, float] | None
    time_unit: str | None
    user_kinds: frozenset[str]  # see `dealing.kind_of`
    item_kinds: frozenset[str]

    @classmethod
    def merged(cls, parts: Sequence[Facts], argument: str) -> Facts:
        """Those of all partitions, in their order."""
        first = parts[0]
        units = [part.time_unit for part in parts if part.time_unit is not None]
        unit = max(units, key=[*UNITS].index, default=None)  # as the largest number of all says
        periods = [
            [_in_unit(time, part.time_unit, unit) for time in part.period]
            for part in parts
            if part.period is not None
        ]
        kinds: dict[Any, int] | None = None
        if first.kinds is not None:
            kinds = {}
            for part in parts:
                for kind, n in (part.kinds or {}).items():
                    kinds[kind] = kinds.get(kind, 0) + n
            label = f"the column {first.columns['event']!r} of {argument}"
            events_of.check_number_of_kinds(len(kinds), label)
        merged = cls(
            sum(part.n_rows for part in parts),
            sum(part.n_events for part in parts),
            tuple(reduce(add, same) for same in zip(*(part.causes for part in parts), strict=True)),
            first.columns,
            kinds,
            (min(a for a, _ in periods), max(b for _, b in periods)) if periods else None,
            unit,
            frozenset[str]().union(*(part.user_kinds for part in parts)),
            frozenset[str]().union(*(part.item_kinds for part in parts)),
        )
        for role, found in (("user", merged.user_kinds), ("item", merged.item_kinds)):
            if len(found) > 1:
                column = merged.columns[role]
                raise ValueError(
                    f"the column {column!r} of {argument} must hold ids of one kind, got whole "
                    "numbers in some partitions and texts in others; convert it with "
                    f"astype({{{column!r}: str}})"
                )
        return merged


class Counted(NamedTuple):
    """What a shard knows of the events of its users."""

    pairs: Pairs
    n_events: Array  # int [n_users], those told again among them
    rates: Array | None  # float64 [n_users], events a day; None without times
    n_faded: int  # see `report.count_faded`


# ---- partitions ----------------------------------------------------------------------------------


def read(table: Any, rules: Mapping[str, Any], known_kinds: Sequence[Any], argument: str) -> Part:
    """The rows of a partition that count, at the age of their own time."""
    rules = {**rules, "half_life": None}
    log = events_of.read(table, **rules, known_kinds=known_kinds, argument=argument)
    users, items = (
        blocks_of.as_ids(ids.values, role, f"the column {rules[role]!r} of {argument}")
        for role, ids in (("user", log.users), ("item", log.items))
    )
    kinds = None if log.kinds is None else log.kinds.codes
    block = Block(
        users,
        log.users.codes,
        items,
        log.items.codes,
        None,
        log.weights,
        len(items),
        kinds,
        log.times,
    )
    names = None if log.kinds is None else log.kinds.values
    return Part(block, names, log.causes, log.n_rows, log.columns, log.time_unit)


def facts_of(part: Part) -> Facts:
    block, times = part.block, part.block.times
    kinds = None
    if part.kinds is not None and block.kinds is not None:
        counts = np.bincount(block.kinds, minlength=len(part.kinds)).tolist()
        kinds = dict(zip(part.kinds, counts, strict=True))
    period = None
    if times is not None and len(times):
        period = float(times.min()), float(times.max())
    assert block.items is not None
    return Facts(
        part.n_rows,
        len(block.rows),
        part.causes,
        part.columns,
        kinds,
        period,
        part.time_unit,
        *(frozenset({kind_of(ids)} if len(ids) else ()) for ids in (block.users, block.items)),
    )


def _in_unit(times: Any, unit: str | None, of_all: str | None) -> Any:
    """Seconds, of numbers that were taken for one unit and are of another."""
    if unit is None or of_all is None or unit == of_all:
        return times
    return times * UNITS[unit] / UNITS[of_all]


def settle(part: Part, kinds: list[Any] | None, unit: str | None, latest: Any) -> Block:
    """The block of a partition, as the whole asks for it.

    Parameters
    ----------
    kinds : list or None
        All kinds by number.
    unit : str or None
        Of the times of all.
    latest : (float, half-life) or None
        The time of the latest event, from which weights age.
    """
    block = part.block
    codes, times, weights = block.kinds, block.times, block.weights
    if codes is not None and kinds is not None and part.kinds != kinds:
        of_part = np.array([kinds.index(kind) for kind in part.kinds or ()], np.uint8)
        codes = of_part[codes]
    if times is not None:
        times = _in_unit(times, part.time_unit, unit)
        if latest is not None:
            weights = events_of.aged(weights, times, *latest)
    return block._replace(kinds=codes, times=times, weights=weights)


def heaviest(block: Block) -> float:
    """The highest weight."""
    return 1.0 if block.weights is None else float(block.weights.max(initial=0))


def some_times(block: Block, first: int, step: int) -> Array:
    """Times of every so-many-th event of all, of which `first` come before this block."""
    assert block.times is not None
    return block.times[-first % step :: step]


def strays(block: Block, usual: tuple[float, float]) -> tuple[Strays, ...]:
    assert block.times is not None
    return report.strays_of(block.times, usual)


# ---- shards --------------------------------------------------------------------------------------


def pairs_of(
    pieces: Sequence[Block],
    ids: Array,
    rows: Array,
    cols: Array,
    n_items: int,
    *,
    kinds: list[Any] | None,
    duplicates: str,
    highest: float,
) -> ShardData:
    """One entry for each pair; ``blocks.joined`` calls this. `highest` is the weight of all."""
    codes, weights, times = (
        np.concatenate(arrays) if all(array is not None for array in arrays) and arrays else None
        for arrays in ([getattr(one, name) for one in pieces] for name in _OF_EVENTS)
    )
    none: list[Any] = []
    log = Log(
        Codes(rows, none),
        Codes(cols, none),
        None if codes is None or kinds is None else Codes(codes, kinds),
        weights,
        times,
        (),
        np.ones(len(rows), bool),
        {},
        None,
    )
    pairs = events_of.pairs(rows, cols, (len(ids), n_items), log, duplicates=duplicates)
    rates, n_faded = None, 0
    n_events = np.bincount(rows, minlength=len(ids))
    if times is not None:
        n_events, rates = report.rates(rows, times, len(ids))
        n_faded = 0 if weights is None else report.count_faded(weights, highest)
    counted = Counted(pairs, n_events, rates, n_faded)
    return ShardData(ids, pairs.rows(), None, None, None, counted)


_OF_EVENTS = ("kinds", "weights", "times")


class Weights(NamedTuple):
    """What the weights of a shard's pairs come to."""

    total: float
    n: int
    lowest: float
    highest: float


def weights_of(data: ShardData) -> Weights | None:
    """None where there are none."""
    weights = data.counted.pairs.weights
    if weights is None or not len(weights):
        return None
    total = float(weights.sum(dtype=np.float64))
    return Weights(total, len(weights), float(weights.min()), float(weights.max()))


def weigh(data: ShardData, factor: float | None, are_values: bool) -> ShardData:
    """Let a shard be trained with the weights of its pairs, or on them as values."""
    weights = data.counted.pairs.weights
    if weights is None:
        return data
    if are_values:
        interactions = data.counted.pairs.rows()
        interactions.data = weights
        return data._replace(interactions=interactions)
    return data if factor is None else data._replace(weights=events_of.scaled(weights, factor))


def item_counts(data: ShardData) -> Array:
    """How many users have each item."""
    pairs: Pairs = data.counted.pairs
    return np.bincount(pairs.indices, minlength=pairs.shape[1])


class Shares(NamedTuple):
    """What a report says of a shard."""

    n_users: int  # with events
    n_pairs: int
    n_repeats: int
    n_faded: int
    seen: Seen  # users with events
    lists: tuple[Array, Array]  # the distinct numbers of pairs that users have, and how many have


def shares_of(data: ShardData, n_shards: int) -> Shares:
    counted: Counted = data.counted
    is_active = counted.n_events > 0
    active = data.ids[is_active]
    some = active[: report.LOOKED_AT // n_shards + 1].tolist()
    found = np.array([*report.READ_AS_MISSING], object)
    missing: tuple[str, ...] = ()
    if len(active) and kind_of(active) == "texts":
        missing = tuple(found[blocks_of.places_of(found, active)[1]].tolist())
    n_pairs = np.diff(counted.pairs.indptr)
    return Shares(
        len(active),
        len(counted.pairs.indices),
        counted.pairs.n_repeats,
        counted.n_faded,
        Seen(len(active), some, missing),
        groups.counted(n_pairs),
    )


def joined_with(
    data: ShardData, table: Array, n_shards: int
) -> tuple[int, int, list[Any], list[Any]]:
    """Of the users of a shard with events, those that a table of users lacks; `table` has its ids.

    How many they are and how many events they have, some of them, and who is in the table alone.
    """
    n_events = data.counted.n_events
    is_told = np.zeros(len(data.ids), bool)
    is_told[blocks_of.places_of(table, data.ids)[0]] = len(table) > 0
    is_lost = (n_events > 0) & ~is_told
    some = data.ids[is_lost][: report.LOOKED_AT // n_shards + 1].tolist()
    alone = data.ids[n_events == 0].tolist()
    return int(np.count_nonzero(is_lost)), int(n_events[is_lost].sum()), some, alone


def fastest(data: ShardData, n: int) -> Array:
    """The highest rates of users, so many of them, ascending."""
    rates = data.counted.rates[data.counted.n_events > 0]
    return np.sort(rates)[-n:]


def machines(data: ShardData, rate: float) -> list[tuple[Any, int, float]]:
    """Users who act faster, with their number of events and their rate, on many items."""
    counted: Counted = data.counted
    assert counted.rates is not None
    n_items = np.diff(counted.pairs.indptr)
    at = np.flatnonzero((counted.rates > rate) & (n_items >= report.AT_LEAST))
    of_these = data.ids[at].tolist(), counted.n_events[at].tolist(), counted.rates[at].tolist()
    return list(zip(*of_these, strict=True))


# ---- later events --------------------------------------------------------------------------------


class Later(NamedTuple):
    """Later events of the users who belong to a shard, known or not."""

    users: Codes
    items: Array  # numbers, -1 where one is not known
    kinds: Array | None


def later(pieces: Sequence[Block]) -> Later:
    pieces = [piece for piece in pieces if len(piece.rows)]
    ids = blocks_of.union([piece.users for piece in pieces]) if pieces else np.empty(0, object)
    rows, cols = blocks_of.entries_of(pieces, ids)
    kinds = [piece.kinds for piece in pieces if piece.kinds is not None]
    codes = np.concatenate(kinds) if kinds else None
    return Later(Codes(rows, ids.tolist()), cols, codes)


def held_out(pieces: Sequence[Block], data: ShardData) -> ShardData:
    """The pairs of later events that can be foreseen: known on both sides, and new together."""
    known, _ = blocks_of.join_known(pieces, data)
    pairs: Any = known.interactions
    pairs.sum_duplicates()
    pairs.data[:] = 1
    pairs -= pairs.multiply(data.counted.pairs.rows())
    pairs.eliminate_zeros()
    return known._replace(interactions=pairs)
