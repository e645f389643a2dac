"""A `Recommender` whose users lie in shards on a cluster: its fit, and what it is made of.

It is many plain recommenders. Each shard has one (`Shard`) of its users, who have numbers of their
own there, and of all items; the client has one of all items and of no user, the *front*, for
strangers. So what is asked of a recommender is asked of those that have the users, and answered by
the code of one machine. What must be counted over all users, they are given: how many people have
each item, what a dial of popularity is worth, and the rows of the features that tables tell of.

The path of a fit: `logs.read` of each partition -> what all partitions say together (`logs.Facts`)
-> `tables.deal` (users to shards, items numbered, tables of users and items to rows of features)
-> `logs.pairs_of` (one entry a pair) -> `DataReport` -> `fitting.train` -> `Known`, which all
shards and the front share. The client sees the tables of users and items, ids of items, and counts.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from itertools import accumulate, chain
from typing import Any, NamedTuple

import dask.dataframe
import numpy as np
import scipy.sparse as sp

from lightfm_clone import _checks as checks
from lightfm_clone._model.fold_in import sampled_step
from lightfm_clone._model.state import ARRAYS
from lightfm_clone._sparse import empty_rows
from lightfm_clone.dask import blocks as blocks_of
from lightfm_clone.dask import features, inputs, logs, tables
from lightfm_clone.dask import fitting as training
from lightfm_clone.dask.asking import Served
from lightfm_clone.dask.blocks import Names
from lightfm_clone.dask.dealing import Array, kind_of
from lightfm_clone.dask.evaluating import together
from lightfm_clone.dask.features import Encoded, Rows
from lightfm_clone.dask.inputs import Blocks
from lightfm_clone.dask.shards import USER_ARRAYS, Dealt, ShardData, ShardState, local_model
from lightfm_clone.data import Dataset, sources
from lightfm_clone.data.item_columns import ItemColumns
from lightfm_clone.evaluation import groups
from lightfm_clone.lightfm import LightFM
from lightfm_clone.recommender import Recommender, fitting, report, serving
from lightfm_clone.recommender import events as events_of
from lightfm_clone.recommender import sides as sides_of
from lightfm_clone.recommender.events import Pairs, Removed
from lightfm_clone.recommender.report import (
    DataReport,
    Described,
    Facts,
    Join,
    Robots,
    Seen,
    Strays,
)
from lightfm_clone.recommender.sides import Side, SideTable, numbers_of

_EVENTS = (
    "a dask DataFrame, paths of Parquet files, or a pandas or polars DataFrame or a pyarrow Table"
)
_ITEM_ROWS = ("item_embeddings", "item_biases")  # what scores depend on
_USER_ROWS = ("user_embeddings", "user_biases")
_SETTINGS = ("_rules", "_duplicates", "_kinds", "_kind")


# ---- what it is made of --------------------------------------------------------------------------


class Known(NamedTuple):
    """What all shards know."""

    settings: dict[str, Any]  # the attributes of a recommender that have these names
    users: Side  # without users
    items: Side
    item_ids: Array
    item_features: Any
    item_columns: ItemColumns | None
    parameters: dict[str, Any]  # of the model
    learned: dict[str, Any]  # see `shards.local_model`
    item_rows: dict[str, Array]  # what scores depend on; of the schedule's states there are none
    told_rows: dict[str, Array]  # of the features that a table of users tells of, by the encoder
    typical: dict[str, Array]  # the median row of the schedule's states, where a fold-in begins
    of_all: dict[str, Any]  # attributes of `Serving` that are counted over all users


class _Serving(serving.Serving):
    def __init__(self, shop: Shard) -> None:
        super().__init__(shop)
        self.__dict__.update(shop._of_all)  # in the place of what would be counted here alone


class Shard(Recommender):
    """A recommender of some users, beside others."""

    _of_all: dict[str, Any]

    @cached_property
    def _serving(self) -> serving.Serving:
        return _Serving(self)


def front_of(known: Known) -> Shard:
    """The recommender of no users."""
    n_items, none = len(known.item_ids), np.empty(0, np.int32)
    kinds = known.settings["_kinds"]
    pairs = Pairs(
        (0, n_items),
        np.zeros(1, np.int32),
        none,
        None,
        np.empty(0, np.uint64) if kinds else None,
        None,
        0,
        0,
    )
    width = 0 if known.users.encoder is None else len(known.users.encoder.feature_names_)
    own = {name: rows[:0] for name, rows in known.told_rows.items()}
    return _built(known, np.empty(0, object), pairs, empty_rows(0, width), own)


def of_shard(known: Known, data: ShardData, rows: Rows | None, state: ShardState) -> Shard:
    """The recommender of a shard; a task. `rows` are None without a table of users."""
    encoded, columns = empty_rows(data.n_users, 0), np.arange(data.n_users)
    if rows is not None:
        assert data.private is not None
        encoded, columns = rows.matrix, blocks_of.places_of(rows.own, data.private)[0]
    own = {name: state.arrays[name][columns] for name in _USER_ROWS}
    return _built(known, data.ids, data.counted.pairs, encoded, own)


def _built(known: Known, ids: Array, pairs: Pairs, encoded: Any, own: Mapping[str, Array]) -> Shard:
    shop: Shard = object.__new__(Shard)
    shop.__dict__.update(known.settings)
    users, items = copy.copy(known.users), copy.copy(known.items)
    users.encoded, users.has_own = encoded, np.diff(pairs.indptr) > 0
    arrays = {name: np.concatenate([own[name], known.told_rows[name]]) for name in own}
    arrays |= known.typical
    model = local_model(
        known.parameters,
        known.learned,
        known.item_rows,
        ShardState(arrays, np.random.RandomState(0)),
    )
    shop.__dict__.update(
        model=model,
        model_=model,
        dataset_=_numbered(ids, known.item_ids, users, items),
        pairs_=pairs,
        _users=users,
        _items=items,
        item_columns_=known.item_columns,
        item_features_=known.item_features,
        report_=None,
        _of_all=known.of_all,
    )
    shop.user_features_ = users.matrix(shop.dataset_)
    return shop


def _numbered(ids: Array, item_ids: Array, *sides: Side) -> Dataset:
    dataset = Dataset()
    names = (() if side.encoder is None else side.encoder.feature_names_ for side in sides)
    dataset.fit(ids.tolist(), item_ids.tolist(), *names)
    return dataset


def to_local(shop: Any) -> Recommender:
    """All of it as a recommender of one machine, its users in the order of their ids."""
    client, model = shop.model_.client_, shop.model_
    served = model._now()
    dealt: Dealt = served.dealt
    shards: list[ShardData] = served.results(client, dealt.data)
    ids = np.concatenate([data.ids for data in shards])
    order = np.argsort(ids)
    made = Recommender(LightFM(**fitting.unfitted(shop.model_).get_params()))
    made.__dict__.update({name: getattr(shop, name) for name in _SETTINGS})
    made.pairs_ = _stacked([data.counted.pairs for data in shards], order)
    made._users, made._items = copy.copy(shop._users), copy.copy(shop._items)
    made.dataset_ = _numbered(ids[order], item_ids_of(dealt), made._users, made._items)
    made.item_columns_, made.report_ = shop.item_columns_, shop.report_
    local = model.to_local()
    made._users.encoded = empty_rows(len(ids), 0)
    if dealt.users_told is not None:
        rows = served.results(client, dealt.users_told.rows)
        made._users.encoded = sp.vstack([part.matrix for part in rows], format="csr")[order]
        own = np.concatenate([part.own for part in rows])[order]
        columns = np.concatenate([own, dealt.users_told.places])
        for name in USER_ARRAYS:
            setattr(local, name, getattr(local, name)[columns])
    made.model_ = local
    fitting.settle(made)
    return made


def item_ids_of(dealt: Dealt) -> Array:
    assert dealt.item_ids is not None
    return dealt.item_ids


def _stacked(parts: list[Pairs], order: Array) -> Pairs:
    """The pairs of all users, in this order of them."""
    indptr = np.append(0, np.cumsum(np.concatenate([np.diff(part.indptr) for part in parts])))
    n = len(indptr) - 1
    places = sp.csr_matrix(
        (
            np.arange(indptr[-1]),
            np.concatenate([part.indices for part in parts]),
            indptr,
        ),
        shape=(n, parts[0].shape[1]),
    )[order]
    at = places.data

    def of(name: str) -> Any:
        arrays = [getattr(part, name) for part in parts]
        return None if any(array is None for array in arrays) else np.concatenate(arrays)[at]

    return Pairs(
        (n, parts[0].shape[1]),
        places.indptr.astype(parts[0].indptr.dtype),
        places.indices,
        of("weights"),
        of("kinds"),
        of("times"),
        sum(part.n_events for part in parts),
        sum(part.n_repeats for part in parts),
    )


# ---- the fit -------------------------------------------------------------------------------------


class Log(NamedTuple):
    """Events on the cluster, settled."""

    blocks: Blocks
    sizes: list[int]  # events of each block
    facts: logs.Facts
    kinds: list[Any] | None


def read(client: Any, events: Any, rules: dict[str, Any], known_kinds: list[Any]) -> Log:
    """The events that count, of whatever a fit takes, block by block."""
    workers = list(client.nthreads())
    events = inputs.opened(events, "events")
    there = inputs.columns_of_table(events)
    if there is None:
        kind = f"{type(events).__module__}.{type(events).__qualname__}"
        raise ValueError(f"events must be {_EVENTS}, got {kind}")
    wanted = events_of.columns_read(rules)
    taken = [name for name in there if name in wanted]  # who reads them says what is missing
    parts = inputs.of_partitions(
        client, events, taken, len(workers), logs.read, rules, known_kinds, "events"
    )
    found = client.gather(client.map(logs.facts_of, parts))
    facts = logs.Facts.merged(found, "events")
    latest = None
    if rules["half_life"] is not None and facts.period is not None:
        latest = facts.period[1], rules["half_life"]
    kinds = None if facts.kinds is None else [*facts.kinds]
    settled = client.map(logs.settle, parts, kinds=kinds, unit=facts.time_unit, latest=latest)
    names = Names(rules["user"], rules["item"], None, None)
    return Log(Blocks(settled, None, names), [one.n_events for one in found], facts, kinds)


def fit(
    shop: Any,
    events: Any,
    users: Any,
    items: Any,
    columns: Any,
    rules: dict[str, Any],
    duplicates: str,
    epochs: int,
    num_threads: int | None,
    verbose: bool,
    further: dict[str, Any],
) -> None:
    """See `Recommender.fit`."""
    if not hasattr(shop.model, "client_"):
        raise TypeError(
            f"model must be a DaskLightFM here, got {shop.model!r}; make a new Recommender of it"
        )
    client = shop.model.client_
    workers = list(client.nthreads())
    checks.check_epochs(epochs)
    checks.check_num_threads(num_threads)
    is_frame = isinstance(events, dask.dataframe.DataFrame | list | tuple)
    kind = sources.kind_of(None if is_frame else events)
    fresh = fitting.begun(shop, kind, rules, duplicates, further)
    fitting.check_half_life(fresh, shop.model.loss)
    rules = fresh._rules
    log = read(client, events, rules, [])
    facts = log.facts
    removed = tuple(cause.removed() for cause in facts.causes if cause.how_many)
    events_of.refuse_empty(facts.n_events, facts.n_rows, removed)
    of_users, of_items = (
        _table(given, side, rules[side]) for given, side in ((users, "user"), (items, "item"))
    )
    fitting.make_sides(fresh, columns or {}, of_users, of_items)
    encoded = [
        None if given is None else _encoded(side, given, kinds)
        for side, given, kinds in (
            (fresh._users, of_users, facts.user_kinds),
            (fresh._items, of_items, facts.item_kinds),
        )
    ]
    highest = max(client.gather(client.map(logs.heaviest, log.blocks.futures)))
    dealt = tables.deal(
        client,
        log.blocks,
        *encoded,
        n_shards=max(len(workers), 1),
        addresses=workers,
        make=partial(logs.pairs_of, kinds=log.kinds, duplicates=duplicates, highest=highest),
    )
    shares: list[logs.Shares] = client.gather(
        client.map(logs.shares_of, dealt.data, n_shards=len(dealt.data))
    )
    fresh.report_ = DataReport.of_facts(
        _facts(client, log, dealt, removed, shares),
        users=of_users and Described(of_users.table, of_users.ids),
        items=of_items and Described(of_items.table, of_items.ids),
        joins=_joins(client, dealt, of_users, of_items, shares),
        decided={*fresh._users.rules, *fresh._items.rules},
    )
    if verbose:
        print(fresh.report_)
    dealt, liked = _weighed(client, dealt, shop.model.loss)
    fresh._kinds = log.kinds or []
    del log
    model = fitting.unfitted_copy(fresh, shop.model)
    model._reset_state()
    if fitting.is_table(further.get("validation")):
        later = read(client, further["validation"], rules | {"half_life": None}, fresh._kinds)
        held_out = tables.made_of(
            client, later.blocks, dealt, logs.held_out, dealt.data, addresses=workers
        )
        further = further | {"validation": tables.DealtLike(held_out, {})}
    training.train(model, client, dealt, epochs=epochs, verbose=verbose, **further)
    fresh.model_ = model
    fresh.item_features_ = dealt.whole.item_features
    fresh._items.has_own = dealt.whole.item_counts > 0
    if of_items is not None:
        fresh._items.encoded = dealt.items_told.rows.matrix
        mapping = {one: number for number, one in enumerate(item_ids_of(dealt).tolist())}
        of_rows = np.append(numbers_of(of_items.ids.values, mapping), -1)[of_items.ids.codes]
        fresh.item_columns_ = ItemColumns.of(
            of_items.table,
            of_rows,
            len(mapping),
            id=fresh._items.column,
            rules=fresh._items.encoder.columns,
        )
    else:
        fresh._items.encoded = empty_rows(dealt.whole.n_items, 0)
    few = groups.quartiles(*together([one.lists for one in shares]))[1]
    of_all = {"n_people": dealt.whole.item_counts, "liked": liked, "few": few}
    fresh._known = _known(fresh, client, of_all)
    fresh._front = front_of(fresh._known)
    fresh._shards = None
    shop.__dict__ = fresh.__dict__  # at once; what others are making now stays with the old one


def _table(given: Any, side: str, column: Any) -> SideTable | None:
    """A table of users or items, which is in the memory of the client."""
    return sides_of.read(computed(given), side, column)


def computed(given: Any) -> Any:
    return given.compute() if isinstance(given, dask.dataframe.DataFrame) else given


def _encoded(side: Side, given: SideTable, kinds: frozenset[str]) -> Encoded:
    """What becomes of a table's columns, by the distinct ids that it has."""
    label = f"the column {side.column!r} of {side.name}s"
    ids = blocks_of.as_ids(given.ids.values, side.name, label)
    (of_events,) = kinds
    if len(ids) and kind_of(ids) != of_events:
        raise ValueError(
            f"{label} must hold {of_events}, as that of events, got {kind_of(ids)} such as "
            f"{ids[0]!r}; convert one of them, and mind leading zeros"
        )
    _, matrix = side.encode(given)
    encoder = side.encoder
    assert encoder is not None
    return Encoded(
        features.new(ids, matrix), encoder, side.column, encoder.is_told_by(given.columns)
    )


def _weighed(client: Any, dealt: Dealt, loss: str) -> tuple[Dealt, Any]:
    """The shards as the loss should get them, and what an item in a history counts."""
    parts = client.gather(client.map(logs.weights_of, dealt.data))
    weights = [part for part in parts if part is not None]
    are_values = events_of.predicts_values(loss)
    factor, highest = None, max((part.highest for part in weights), default=1.0)
    if weights and min(part.lowest for part in weights) < highest:
        mean = sum(part.total for part in weights) / sum(part.n for part in weights)
        factor = events_of.factor_of(mean, highest, loss, dealt.whole.n_items)
    counts = client.submit(sum, client.map(logs.item_counts, dealt.data)).result()
    data = [client.submit(logs.weigh, one, factor, are_values) for one in dealt.data]
    whole = dealt.whole._replace(item_counts=counts)
    return dealt._replace(data=data, whole=whole), np.float32(highest if are_values else 1)


def _known(shop: Any, client: Any, of_all: dict[str, Any]) -> Known:
    served = shop.model_._now()
    dealt: Dealt = served.dealt
    d = served.items["item_embeddings"].shape[1]
    n_told = 0 if dealt.users_told is None else len(dealt.users_told.places)
    told = {name: np.zeros((n_told, d)[: ARRAYS[name]], np.float32) for name in _USER_ROWS}
    if n_told:
        futures = [
            client.submit(_told_rows, data, kept.at_hand(), dealt.whole.shared, places, pure=False)
            for data, kept in zip(dealt.data, served.states, strict=True)
            for places in [dealt.users_told.places]
        ]
        for at, rows in served.results(client, futures):
            for name, values in rows.items():
                told[name][at] = values
    return Known(
        {name: getattr(shop, name) for name in _SETTINGS},
        shop._users,
        shop._items,
        item_ids_of(dealt),
        dealt.whole.item_features,
        shop.item_columns_,
        served.parameters,
        served.learned,
        {name: rows if name in _ITEM_ROWS else rows[:0] for name, rows in served.items.items()},
        told,
        _typical(client, served),
        of_all,
    )


def _told_rows(
    data: ShardData, state: ShardState, shared: Array, places: Array
) -> tuple[Array, dict[str, Array]]:
    """The rows of those told features that a shard has, and which they are; a task."""
    assert data.private is not None
    columns = np.concatenate([data.private, shared])
    order = np.argsort(columns)
    at, found = blocks_of.places_of(places, columns[order])
    return np.flatnonzero(found), {
        name: state.arrays[name][order[at[found]]] for name in _USER_ROWS
    }


def _typical(client: Any, served: Served) -> dict[str, Array]:
    """The median of the states of users' rows, as `LightFM.fold_in_users` takes it."""
    dealt = served.dealt
    step = sampled_step(dealt.whole.n_user_features)
    futures = [
        client.submit(_some_states, data, kept.at_hand(), step, shard == 0, pure=False)
        for shard, (data, kept) in enumerate(zip(dealt.data, served.states, strict=True))
    ]
    parts = served.results(client, futures)
    return {
        name: np.median(np.concatenate([part[name] for part in parts]), axis=0, keepdims=True)
        for name in parts[0]
    }


def _some_states(
    data: ShardData, state: ShardState, step: int, with_shared: bool
) -> dict[str, Array]:
    """The schedule's states of every so-many-th row; a task."""
    end = None if with_shared else data.n_private
    return {name: state.arrays[name][:end:step] for name in USER_ARRAYS if name not in _USER_ROWS}


# ---- the report ----------------------------------------------------------------------------------


def _facts(
    client: Any,
    log: Log,
    dealt: Dealt,
    removed: tuple[Removed, ...],
    shares: list[logs.Shares],
) -> Facts:
    """What the parts say together: what a report of one machine says, to the last number.

    Of more than 100,000 ids, or events, others are looked at as examples.
    """
    of, n_kept = log.facts, log.facts.n_events
    n_repeats = sum(one.n_repeats for one in shares)
    strays: tuple[Strays, ...] = ()
    robots = None
    if of.period is not None:
        step = report.step_of(n_kept)
        before = [*accumulate(log.sizes[:-1], initial=0)]
        some = client.gather(client.map(logs.some_times, log.blocks.futures, before, step=step))
        usual = report.usual_range(n_kept, np.concatenate(some), of.period)
        found = client.gather(client.map(logs.strays, log.blocks.futures, usual=usual))
        strays = Strays.merged(found)
        robots = _robots(client, dealt.data, sum(one.n_users for one in shares))
    items = item_ids_of(dealt)[dealt.whole.item_counts > 0].tolist()
    return Facts(
        of.n_rows,
        n_kept,
        n_kept - n_repeats,
        sum(one.n_pairs for one in shares),
        of.kinds or {},
        report.with_repeats(removed, n_repeats),
        of.columns,
        of.time_unit,
        of.period,
        sum(one.n_faded for one in shares),
        strays,
        robots,
        Seen.merged([one.seen for one in shares]),
        Seen(len(items), items, report.missing_in(items)),
    )


def _robots(client: Any, data: list[Any], n_users: int) -> Robots | None:
    place = report.FASTEST * (n_users - 1)
    n = n_users - int(place)  # so many are as fast, or the one below
    tops = client.gather(client.map(logs.fastest, data, n=n))
    top = np.sort(np.concatenate(tops))[-n:][:2]
    rate = report.fast(float(np.quantile(top, place - int(place))))
    found = client.gather(client.map(logs.machines, data, rate=rate))
    robots = sorted(chain.from_iterable(found), key=lambda one: -one[1])
    if not robots:
        return None
    ids, n_events, rates = zip(*robots, strict=True)
    return Robots([*ids], len(ids), min(rates), sum(n_events))


def _joins(
    client: Any,
    dealt: Dealt,
    of_users: SideTable | None,
    of_items: SideTable | None,
    shares: list[logs.Shares],
) -> dict[str, Join]:
    """Which ids of events are in the tables of users and items."""
    joins = {}
    if of_users is not None:
        ids = blocks_of.as_ids(of_users.ids.values, "user", "the table")
        shard_of = dealt.deal.shard_of(ids)
        futures = [
            client.submit(logs.joined_with, one, ids[shard_of == shard], len(dealt.data))
            for shard, one in enumerate(dealt.data)
        ]
        n, n_events, some, alone = zip(*client.gather(futures), strict=True)
        joins["user"] = Join(
            sum(one.n_users for one in shares),
            len(ids),
            sum(n),
            [*chain.from_iterable(some)],
            _among(of_users, chain.from_iterable(alone)),
            sum(n_events),
        )
    if of_items is not None:
        counts = dealt.whole.item_counts
        ids = blocks_of.as_ids(of_items.ids.values, "item", "the table")
        is_told = np.zeros(len(counts), bool)
        is_told[blocks_of.numbering(item_ids_of(dealt)).of(ids)] = True
        is_lost = (counts > 0) & ~is_told
        only_seen = item_ids_of(dealt)[is_lost].tolist()
        joins["item"] = Join(
            int(np.count_nonzero(counts)),
            len(ids),
            len(only_seen),
            only_seen,
            _among(of_items, item_ids_of(dealt)[counts == 0].tolist()),
            int(counts[is_lost].sum()),
        )
    return joins


def _among(given: SideTable, ids: Iterable[Any]) -> list[Any]:
    """Ids in the order of a table."""
    wanted = {*ids}
    return [one for one in given.ids.values if one in wanted]


# ---- what is asked -------------------------------------------------------------------------------


def ask(
    shop: Any, task: Callable[..., Any], of_shards: Iterable[tuple[int, tuple[Any, ...]]]
) -> list[Any]:
    """What ``task(recommender of the shard, *further)`` returns, for each (shard, further).

    Raises
    ------
    RuntimeError, TimeoutError
        As `asking.Served.ask`.
    """
    client, served = shop.model_.client_, shop.model_._now()
    each = list(of_shards)
    while True:
        shards = _shards(shop)
        futures = [
            client.submit(task, shards[shard], *further, pure=False) for shard, further in each
        ]
        try:
            found: list[Any] = served.results(client, futures)
            return found
        except BaseException as error:
            client.cancel(futures)
            # A worker may have died with what was made of the shard.
            if not isinstance(error, Exception) or _shards(shop) is shards:
                raise


def _shards(shop: Any) -> list[Any]:
    """The recommenders of the shards, futures, which are made when the first request comes."""
    client, served = shop.model_.client_, shop.model_._now()
    made = shop._shards
    if made is None or any(
        one.client is not client or one.status in ("cancelled", "lost", "error") for one in made
    ):
        dealt: Dealt = served.dealt
        known = client.scatter(shop._known, broadcast=True, hash=False)
        rows = [None] * len(dealt.data) if dealt.users_told is None else dealt.users_told.rows
        shop._shards = made = [
            client.submit(of_shard, known, data, told, kept.at_hand(), pure=False)
            for data, told, kept in zip(dealt.data, rows, served.states, strict=True)
        ]
    futures: list[Any] = made
    return futures
