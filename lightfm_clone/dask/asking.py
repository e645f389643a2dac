"""What is asked of a fitted model: a task for each shard, which Dask runs where the shard is.

The client finds the shards of the users that it is asked about, sends each its own, and puts the
answers back in the order of the request. The items go to the workers once for each model.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from threading import Lock
from typing import Any, NamedTuple

import distributed
import numpy as np
from dask.sizeof import sizeof

from lightfm_clone import _checks as checks
from lightfm_clone._model.prepared import PreparedItems, best_among
from lightfm_clone._model.state import Rows
from lightfm_clone.dask import blocks
from lightfm_clone.dask.shards import (
    ITEM_ARRAYS,
    Array,
    Dealt,
    KeptState,
    ShardData,
    ShardState,
    local_model,
)
from lightfm_clone.lightfm import LightFM
from lightfm_clone.typing import RankedLists

_PAIRS = 1 << 18  # that a task is sent
_BLOCK = 8192  # users whose lists are made at a time
# Seconds: between two looks at what has become of tasks, of which Dask may have lost some on the
# way, and without a worker.
_LOOK, _PATIENCE = 1, 30
_SHOWN = 5  # unknown ids


class ItemSide:
    """What a task needs beside its shard: the items, and what the model is.

    Only what scores depend on: the state of the learning schedule stays with the client.
    """

    def __init__(
        self,
        parameters: dict[str, Any],
        learned: dict[str, Any],
        items: dict[str, Array],
        dealt: Dealt,
    ) -> None:
        self._parameters = parameters
        self._learned = learned
        self._items = {name: items[name] for name in ("item_embeddings", "item_biases")}
        self.features = dealt.whole.item_features
        self.ids = dealt.item_ids
        self.n_items = dealt.whole.n_items
        self._prepared: PreparedItems | None = None
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_prepared": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state | {"_lock": Lock()})

    def __sizeof__(self) -> int:  # which Dask asks for, to plan what it sends and spills
        return int(sum(map(sizeof, (self._items, self.features, self.ids))))

    def model(self, state: ShardState) -> LightFM:
        """A model of the users of a shard, to be asked and not to be trained."""
        return local_model(self._parameters, self._learned, self._items, state)

    def prepared(self, model: LightFM) -> PreparedItems:
        """The items of any shard's model, packed by the first task on a worker that asks."""
        with self._lock:
            if self._prepared is None:
                self._prepared = PreparedItems.of(model, self.features)
            return self._prepared


class Served:
    """A model whose users lie in shards on a cluster.

    Parameters
    ----------
    parameters : dict
        Of the constructor.
    learned : dict
        See `shards.local_model`.
    items : dict of arrays
        The six of the item side. They must not change.
    dealt : Dealt
    states : list of KeptState
        Of each shard.
    """

    def __init__(
        self,
        parameters: dict[str, Any],
        learned: dict[str, Any],
        items: dict[str, Array],
        dealt: Dealt,
        states: Sequence[KeptState],
    ) -> None:
        self.parameters = parameters
        self.learned = learned
        self.items = items
        self.dealt = dealt
        self.states = list(states)
        self._side: Any = None  # a future of ItemSide

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_side": None}

    def side(self, client: Any) -> Any:
        """A future of the items, which are sent to all workers when the first request comes."""
        side = self._side
        if side is None or side.client is not client or side.status in ("cancelled", "lost"):
            made = ItemSide(self.parameters, self.learned, self.items, self.dealt)
            self._side = side = client.scatter(made, broadcast=True, hash=False)
        return side

    def secure(self, client: Any) -> None:
        """See that every state is on two workers, if there are two; what lacks comes by us."""
        for shard, kept in enumerate(self.states):
            held = {each for found in client.who_has(kept.copies()).values() for each in found}
            others = [each for each in client.nthreads() if each not in held]
            if len(held) < 2 and others:
                (state,) = self.ask(client, _state, [(shard, ())], needs_items=False)
                (another,) = client.scatter([state], workers=others[:1], hash=False)
                self.states[shard] = KeptState(kept.at_hand(), another)

    def item_rows(self, given: Any, argument: str) -> Array:
        """The numbers of items, int32, that are named as the interactions name them."""
        if self.dealt.item_ids is None:
            rows: Array = checks.check_ids(
                given, argument, self.dealt.whole.n_items, "items of the fit", "item"
            )
            return rows
        ids = _listed(given, argument)
        rows = self._numbering.of(ids)
        _refuse_unknown(argument, [_Unknown.of(ids[rows < 0])])
        return rows

    @cached_property
    def _numbering(self) -> blocks.Numbering:
        assert self.dealt.item_ids is not None
        return blocks.numbering(self.dealt.item_ids)

    def shards_of(self, ids: Array) -> list[tuple[int, Array]]:
        """The shards that have any of these users, and the places of their own among the ids."""
        shards = self.dealt.deal.shard_of(ids)
        order = np.argsort(shards, kind="stable")
        ends = np.cumsum(np.bincount(shards, minlength=len(self.states)))
        places = np.split(order, ends[:-1])
        return [(shard, own) for shard, own in enumerate(places) if len(own)]

    def ask(
        self,
        client: Any,
        task: Callable[..., Any],
        of_shards: Iterable[tuple[int, tuple[Any, ...]]],
        *,
        needs_items: bool = True,
    ) -> list[Any]:
        """What ``task(side, data, state, *further)`` returns, for each (shard, further).

        Without `needs_items` the side is None.

        Raises
        ------
        RuntimeError
            If what was learned of the users of a shard is lost.
        TimeoutError
            If there are no workers.
        """
        given, data = list(of_shards), self.dealt.data
        while True:
            side, states = before = self._at_hand(client, needs_items)
            futures = [
                client.submit(task, side, data[shard], states[shard], *further, pure=False)
                for shard, further in given
            ]
            try:
                return results_of(client, futures)
            except BaseException as error:
                client.cancel(futures)
                self._check_there(error, {shard for shard, _ in given})
                # A worker may have died with one of the copies.
                is_other = before != self._at_hand(client, needs_items)
                if not (is_other and isinstance(error, Exception)):
                    raise

    def _at_hand(self, client: Any, needs_items: bool) -> tuple[Any, list[Any]]:
        """Futures of the items and of the states that are there."""
        side = self.side(client) if needs_items else None
        return side, [state.at_hand() for state in self.states]

    def results(self, client: Any, futures: list[Any]) -> list[Any]:
        """The results of other tasks on the shards, with the errors of `ask`."""
        try:
            return results_of(client, futures)
        except Exception as error:
            self._check_there(error, range(len(self.states)))
            raise

    def _check_there(self, error: BaseException, shards: Iterable[int]) -> None:
        """Raise a RuntimeError in place of the error, if it is that states are lost."""
        lost = [
            shard
            for shard in sorted(shards)
            if self.states[shard].at_hand().status in ("error", "lost", "cancelled")
        ]
        if lost and isinstance(error, Exception):
            raise RuntimeError(
                f"what was learned of the users of shard {', '.join(map(str, lost))} is lost, as "
                "all workers that held it are gone; load the last checkpoint, or call fit again"
            ) from error


def predict(
    served: Served, client: Any, user_ids: Any, item_ids: Any, *, num_threads: int | None = None
) -> Array:
    """Scores of pairs of users and items, float32 [n].

    Parameters
    ----------
    user_ids : id or ids [n]
        As the interactions name users; a single one is paired with every item.
    item_ids : ids [n]
    num_threads : int or None, default None
        Of each task; None is those of its worker.

    Raises
    ------
    ValueError
        For ids that are not known or of another kind, and where the lengths differ.
    RuntimeError, TimeoutError
        As `Served.results`.
    """
    check_threads(num_threads)
    items = served.item_rows(item_ids, "item_ids")
    users = _listed(user_ids, "user_ids")
    if np.ndim(user_ids) == 0:
        users = np.repeat(users, len(items))
    if len(users) != len(items):
        raise ValueError(
            f"user_ids and item_ids must have the same length, got {len(users)} and {len(items)}; "
            "a single user is paired with every item"
        )
    asked = [
        (shard, some)
        for shard, own in served.shards_of(users)
        for some in np.array_split(own, -(-len(own) // _PAIRS))
    ]
    each = ((shard, (users[own], items[own], num_threads)) for shard, own in asked)
    answers = served.ask(client, _scores, each)
    _refuse_unknown("user_ids", answers)
    scores = np.empty(len(users), np.float32)
    for (_, own), of_shard in zip(asked, answers, strict=True):
        scores[own] = of_shard
    return scores


def recommend(
    served: Served,
    client: Any,
    user_ids: Any = None,
    k: int = 10,
    *,
    exclude: Any = None,
    items: Any = None,
    num_threads: int | None = None,
) -> RankedLists:
    """The k best items of each user, best first, as `LightFM.recommend` gives them.

    Parameters
    ----------
    user_ids : id or ids [n], default all
        As the interactions name users; all are those of `all_users`.
    k : int, default 10
    exclude : "known" or list of futures of ShardData, default None
        Items to leave out: those of the interactions of the fit, or others, by shard.
    items : ids, default all
        The only items to choose from.
    num_threads : int or None, default None
        Of each task; None is those of its worker.

    Returns
    -------
    item_ids : int32 [n, k]
        Numbers of items, -1 where fewer than k are left; `Dealt.item_ids` has their ids.
    scores : float32 [n, k]

    Raises
    ------
    ValueError, RuntimeError, TimeoutError
        As `predict`.
    """
    checks.check_k(k)
    check_threads(num_threads)
    candidates = candidates_of(served, items)
    left_out = chosen(served, exclude, "exclude")
    users = all_users(served, client) if user_ids is None else _listed(user_ids, "user_ids")
    asked = served.shards_of(users)
    each = (
        (shard, (users[own], k, left_out[shard], candidates, num_threads)) for shard, own in asked
    )
    answers = served.ask(client, _lists, each)
    _refuse_unknown("user_ids", answers)
    ids, scores = np.empty((len(users), k), np.int32), np.empty((len(users), k), np.float32)
    for (_, own), (of_ids, of_scores) in zip(asked, answers, strict=True):
        ids[own], scores[own] = of_ids, of_scores
    return ids, scores


def all_users(served: Served, client: Any) -> Array:
    """The ids of all users, ascending: of the rows of a local model without user features."""
    futures = [client.submit(_ids, data, pure=False) for data in served.dealt.data]
    return np.sort(np.concatenate(served.results(client, futures)))


def to_local(served: Served, client: Any) -> LightFM:
    """A plain model of all users and items, in the memory of the client.

    Row i of its users is the i-th of `all_users`, or user feature i where there is a matrix. Its
    `random_state` is that of the first shard.
    """
    columns = served.results(
        client, [client.submit(own_columns, data, pure=False) for data in served.dealt.data]
    )
    # One at a time, as they are large.
    states = (
        served.ask(client, _state, [(shard, ())], needs_items=False)[0]
        for shard in range(len(served.states))
    )
    return put_together(served, columns, states)


def put_together(
    served: Served, columns: Sequence[tuple[Array, bool]], states: Iterable[ShardState]
) -> LightFM:
    """The plain model of all shards: what `own_columns` has of each, and what it has learned."""
    whole = served.dealt.whole
    arrays: dict[str, Array] = {}
    random_states = []
    ids = np.sort(np.concatenate([own for own, _ in columns]))
    for (own, are_ids), state in zip(columns, states, strict=True):
        rows = np.append(np.searchsorted(ids, own) if are_ids else own, whole.shared)
        for name, values in state.arrays.items():
            if name not in arrays:
                arrays[name] = np.zeros((whole.n_user_features, *values.shape[1:]), values.dtype)
            arrays[name][rows] = values
        random_states.append(state.random_state)
    items = {name: served.items[name].copy() for name in ITEM_ARRAYS}
    return local_model(
        served.parameters, served.learned, items, ShardState(arrays, random_states[0])
    )


# ---- what is given -------------------------------------------------------------------------------


def candidates_of(served: Served, items: Any) -> Array | None:
    """The numbers of the only items to choose from, ascending; None is all."""
    if items is None:
        return None
    rows: Array = np.unique(served.item_rows(items, "items"))
    return rows if len(rows) < served.dealt.whole.n_items else None


def chosen(served: Served, given: Any, argument: str) -> list[Any]:
    """Interactions by shard, futures of ShardData: those of the fit, others, or None for none."""
    if given is None:
        return [None] * len(served.states)
    if isinstance(given, str):
        if given != "known":
            raise ValueError(f"{argument} must be None, 'known' or interactions, got {given!r}")
        if served.dealt.n_examples is None:
            raise ValueError(
                f"{argument} must be None or interactions, got 'known', but files and pickles of a "
                "model do not hold those of its fit; pass them"
            )
        return served.dealt.data
    return list(given)


def check_threads(num_threads: int | None) -> None:
    """As a task will, but before it is sent."""
    if num_threads is not None:
        checks.check_num_threads(num_threads)


def _listed(given: Any, argument: str) -> Array:
    """Ids as a flat array, a single one as an array of one."""
    ids = np.asarray(given)
    if ids.ndim > 1 or checks.is_sparse(given):
        raise ValueError(f"{argument} must be one-dimensional, got shape {np.shape(given)}")
    ids = ids.reshape(-1)
    if not len(ids):
        raise ValueError(f"{argument} is empty: there is nothing to score")
    return ids.astype(object) if ids.dtype.kind in "UT" else ids


class _Unknown(NamedTuple):
    """Ids that nobody knows: some, and how many they are."""

    some: list[Any]
    n: int

    @classmethod
    def of(cls, ids: Array) -> _Unknown:
        return cls(ids[:_SHOWN].tolist(), len(ids))


def _refuse_unknown(argument: str, answers: Sequence[Any]) -> None:
    unknown = [answer for answer in answers if isinstance(answer, _Unknown) and answer.n]
    if unknown:
        some = [one for answer in unknown for one in answer.some][:_SHOWN]
        n = sum(answer.n for answer in unknown)
        raise ValueError(
            f"{argument} must hold ids that the interactions of the fit have, got "
            f"{', '.join(map(repr, some))} ({n} such ids); leave them out, or fit with them"
        )


# ---- waiting -------------------------------------------------------------------------------------


def results_of(client: Any, futures: list[Any]) -> list[Any]:
    """The results of tasks, or the first error, or a TimeoutError where there are no workers."""
    completed: Any = distributed.as_completed
    left = set(futures)
    seen = time.monotonic()
    while left:
        failed = None
        try:
            for future in completed(list(left), timeout=_LOOK):
                if future.status != "finished":
                    failed = future
                    break
                left.discard(future)
        except (TimeoutError, asyncio.TimeoutError):
            pass
        if failed is not None:
            failed.result()  # which raises
        if client.nthreads():
            seen = time.monotonic()
        elif time.monotonic() - seen > _PATIENCE:
            raise TimeoutError(
                f"the cluster has had no workers for {_PATIENCE} seconds, and {len(left)} tasks "
                "wait for one; start workers, and ask again"
            )
    found: list[Any] = client.gather(futures)
    return found


# ---- tasks ---------------------------------------------------------------------------------------


def _scores(
    side: ItemSide,
    data: ShardData,
    state: ShardState,
    ids: Array,
    items: Array,
    num_threads: int | None,
) -> Array | _Unknown:
    """Scores of pairs of users of the shard and items."""
    rows = _rows_of(data, ids)
    if isinstance(rows, _Unknown):
        return rows
    return side.model(state).predict(
        rows,
        items,
        user_features=data.user_features,
        item_features=side.features,
        num_threads=threads_of(num_threads),
    )


def _lists(
    side: ItemSide,
    data: ShardData,
    state: ShardState,
    ids: Array,
    k: int,
    exclude: ShardData | None,
    candidates: Array | None,
    num_threads: int | None,
) -> RankedLists | _Unknown:
    """The lists of some users of the shard."""
    rows = _rows_of(data, ids)
    if isinstance(rows, _Unknown):
        return rows
    best = lists_of(side, data, state, k, exclude, candidates, num_threads)
    parts = [best(rows[first : first + _BLOCK]) for first in range(0, len(rows), _BLOCK)]
    of_ids, of_scores = zip(*parts, strict=True)
    return np.concatenate(of_ids), np.concatenate(of_scores)


def lists_of(
    side: ItemSide,
    data: ShardData,
    state: ShardState,
    k: int,
    exclude: ShardData | None,
    candidates: Array | None,
    num_threads: int | None,
) -> Callable[[Array], RankedLists]:
    """A function from rows of the shard, some thousand at a time, to their lists."""
    model, threads = side.model(state), threads_of(num_threads)
    users = Rows(model, "user", data.user_features)
    prepared = side.prepared(model)
    if candidates is not None:
        prepared = PreparedItems(prepared.biases[candidates], prepared.vectors[candidates])
    best = partial(best_among, prepared, candidates, num_threads=threads)
    shift = np.float32(model.global_mean_)

    def of(rows: Array) -> RankedLists:
        biases, vectors = users.representations(rows)
        left_out = None if exclude is None else exclude.interactions[rows]
        return best((biases + shift, vectors), k, exclude=left_out)

    return of


def threads_of(num_threads: int | None) -> int:
    """The threads of a task: so many, or those of its worker."""
    if num_threads is None:
        return int(distributed.get_worker().state.nthreads)
    return num_threads


def _rows_of(data: ShardData, ids: Array) -> Array | _Unknown:
    """The rows of users in their shard, unless some are unknown."""
    places, found = blocks.places_of(ids, data.ids)
    return places.astype(np.int32) if found.all() else _Unknown.of(ids[~found])


def _state(_: None, data: ShardData, state: ShardState) -> ShardState:
    return state


def own_columns(data: ShardData) -> tuple[Array, bool]:
    """The ids of the users, and True; with a matrix of features their private ones, and False."""
    return (data.ids, True) if data.private is None else (data.private, False)


def _ids(data: ShardData) -> Array:
    return data.ids
