"""A fit on the cluster: from what the caller passes to the steps, and what is left behind."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import reduce
from time import perf_counter
from typing import Any

import numpy as np
from distributed import Client

from lightfm_clone import _checks as checks
from lightfm_clone._core import Totals
from lightfm_clone._model import parameters
from lightfm_clone._model import state as state_of
from lightfm_clone._model.advice import FitWarning
from lightfm_clone._model.losses import LOSSES
from lightfm_clone._model.progress import Reports, check_callbacks, read_validation
from lightfm_clone._model.training import NONE, plus, record_of
from lightfm_clone._warn import warn
from lightfm_clone.dask import asking, evaluating, tables
from lightfm_clone.dask.asking import Served
from lightfm_clone.dask.driver import Drive, StartAgainError
from lightfm_clone.dask.host import Terms
from lightfm_clone.dask.merging import advice, of_a_shard, slices
from lightfm_clone.dask.shard import Piece, carry, copy_of, names_of, pick
from lightfm_clone.dask.shards import (
    ITEM_ARRAYS,
    USER_ARRAYS,
    Dealt,
    KeptState,
    ShardData,
    ShardState,
    Whole,
)


@contextmanager
def restored_after_errors(model: Any) -> Iterator[None]:
    """Put all back as it was when something is raised; nothing on the cluster changes anyway.

    An interrupt from the keyboard alone leaves what has been trained, if anything has.
    """
    before = dict(model.__dict__)
    try:
        yield
    except BaseException as error:
        has_trained = model._served is not None and model._served is not before["_served"]
        if has_trained and isinstance(error, KeyboardInterrupt):
            raise
        model.__dict__.clear()
        model.__dict__.update(before)
        raise


def draw_items(model: Any, dealt: Dealt) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Fresh rows: the items' six arrays, those of shared features of users, and the stream then."""
    whole = dealt.whole
    fresh = copy.copy(model)
    fresh.random_state = copy_of(model.random_state)
    fresh._initialize(model.no_components, whole.n_item_features, len(whole.shared))
    arrays = {name: getattr(fresh, name) for name in state_of.ARRAYS}
    items = {name: arrays[name] for name in ITEM_ARRAYS}
    return items, {name: arrays[name] for name in USER_ARRAYS}, fresh.random_state


def streams(first: np.random.RandomState, n: int) -> list[np.random.RandomState]:
    """A stream of random numbers for each shard: the model's own goes to the first.

    So a single shard draws what a model on one machine draws.
    """
    entropy = copy_of(first).randint(0, 2**32, size=4, dtype=np.uint32)
    others = [
        np.random.RandomState(np.random.MT19937(np.random.SeedSequence([*entropy.tolist(), shard])))
        for shard in range(1, n)
    ]
    return [copy_of(first), *others]


def fit_partial(
    model: Any,
    client: Client,
    interactions: Any,
    *,
    user_features: Any,
    item_features: Any,
    sample_weight: Any,
    epochs: int,
    num_threads: int | None,
    verbose: bool,
    validation: Any,
    callbacks: Any,
    resize: bool,
    known_interactions: Any,
) -> None:
    """See `DaskLightFM.fit_partial`."""
    checks.check_epochs(epochs)
    checks.check_num_threads(num_threads)
    parameters.settings(model)  # which checks them, before anything is read
    if known_interactions is not None:
        raise checks.UnsupportedError(
            "known_interactions must be None on a cluster; pass interactions of all that is known, "
            "or fit to_local()"
        )
    workers = list(client.nthreads())
    before: Served | None = None if model._served is None else model._now()
    n_shards = max(len(workers), 1)
    if before is not None:  # which worker has a shard makes no difference, how many there are does
        n_shards = max(n_shards, before.dealt.deal.n_wanted)
    dealt = tables.deal(
        client,
        interactions,
        user_features,
        item_features,
        sample_weight,
        n_shards=n_shards,
        addresses=workers,
        known=None if before is None else before.dealt,
        resize=resize,
    )
    train(
        model,
        client,
        dealt,
        epochs=epochs,
        verbose=verbose,
        validation=validation,
        callbacks=callbacks,
    )


def train(
    model: Any,
    client: Client,
    dealt: Dealt,
    *,
    epochs: int,
    verbose: bool,
    validation: Any = None,
    callbacks: Any = (),
) -> None:
    """Train a model on what is dealt, from what it has learned before if it has."""
    epochs = checks.check_epochs(epochs)
    settings = parameters.settings(model)  # checks them
    before: Served | None = model._served
    reports = Reports(*_judged(client, dealt, callbacks, validation), verbose)
    is_first = before is None
    whole, n = dealt.whole, len(dealt.data)
    model.random_state = copy_of(settings["random_state"])
    states: Callable[[], list[KeptState]] | None = None
    if before is None:
        items, shared, first = draw_items(model, dealt)
        random_states = streams(first, n)
    else:
        items, shared, states, random_states = carried(model, client, before, dealt)
    learned = {
        "global_mean_": _mean(client, dealt, settings) if is_first else model.global_mean_,
        "_fitted_with": model._fitted_with | _features_of(whole),
        "_seen_items": model._seen_items,
    }
    candidates = None
    if model.negatives == "seen":
        learned["_seen_items"] = seen = state_of.seen_items(model, whole.n_items)
        seen[: whole.n_items] |= whole.item_counts > 0
        candidates = np.flatnonzero(seen[: whole.n_items]).astype(np.int32)
    given = parameters.of(model) | {"random_state": None}
    # A single shard counts its own, as a model on one machine does.
    counts = None if n == 1 else whole.item_counts
    assert dealt.n_examples is not None  # as it is of what was dealt for a fit
    loses = advice(settings, dealt.n_examples)
    if loses and epochs:
        warn(loses, FitWarning)
    terms = Terms(given, learned, whole, counts, candidates, shared)
    with Drive(client, dealt, terms, items, states, random_states) as drive:

        def adopt() -> None:
            """Let the model be what has been trained by now."""
            kept = drive.states()
            take_over(model, Served(given, learned, drive.items(), dealt, kept))
            (model.random_state,) = (its[0] for its in drive.ask("streams") if 0 in its)

        try:
            found = _train(model, drive, whole, epochs, reports, is_first, adopt)
        except KeyboardInterrupt:
            if drive.has_trained:
                with suppress(StartAgainError):  # then there is nothing left to be kept
                    drive.go_back()
                    adopt()
                    reports.end(model)
            raise
        if epochs:
            reports.end(model)
        if reports.need_arrays:  # a callback may have gone back to another epoch
            model._served.secure(client)
    for message in found:
        warn(message, FitWarning)


def carried(
    model: Any, client: Client, before: Served, dealt: Dealt
) -> tuple[
    dict[str, Any], dict[str, Any], Callable[[], list[KeptState]], list[np.random.RandomState]
]:
    """What was learned before, as it begins another call.

    Returns the items' six arrays, those of shared features of users, a function that has the states
    of the shards made, from the copies that are there by then, and the streams of random numbers.
    What is new is drawn: items and shared features here, in the order of `LightFM.resize`, and a
    shard's own rows where it is.
    """
    whole, old = dealt.whole, before.dealt
    stream = copy_of(model.random_state)
    new_shared = whole.shared[whole.shared >= old.whole.n_user_features]
    n_new = whole.n_item_features - len(model.item_biases)
    fresh = state_of.draw_rows(model, len(new_shared), n_new, stream)
    items = {
        name: np.concatenate([np.asarray(getattr(model, name), np.float32), getattr(fresh, name)])
        for name in ITEM_ARRAYS
    }
    drawn = {name: getattr(fresh, name) for name in USER_ARRAYS}
    n = len(dealt.data)
    is_same = dealt.deal is old.deal or n == len(old.data) == 1
    random_states = streams(fresh.random_state, n)
    # Users of a table who had no features become features, shard by shard (`features.py`).
    become_features = whole.has_user_features and old.item_ids is not None
    firsts = np.cumsum([0, *old.n_users]).tolist() if become_features else [None] * len(old.data)

    def states() -> list[KeptState]:
        names = [
            client.submit(names_of, data, old.whole.shared, first)
            for data, first in zip(old.data, firsts, strict=False)
        ]
        known = [kept.at_hand() for kept in before.states]
        return [KeptState(carried_by(shard, names, known)) for shard in range(n)]

    def carried_by(shard: int, names: list[Any], known: list[Any]) -> Any:
        wanted = client.submit(names_of, dealt.data[shard], whole.shared, None)
        # Features move between shards as users come that have them.
        own = is_same and not whole.has_user_features and not old.whole.has_user_features
        sources = [shard] if own else range(len(old.data))
        picked = [client.submit(pick, wanted, names[at], known[at]) for at in sources]
        if len(new_shared):
            picked.append(client.submit(pick, wanted, new_shared, ShardState(drawn, stream)))
        going_on: Any = random_states[shard]
        if is_same and shard:  # the first one's is the model's own
            going_on = client.submit(operator.attrgetter("random_state"), known[shard])
        return client.submit(carry, before.parameters, wanted, picked, going_on)

    # What a shard has of shared rows before it is brought back from another worker.
    shape = {name: (len(whole.shared), *array.shape[1:]) for name, array in drawn.items()}
    shared = {name: np.zeros(shape[name], np.float32) for name in USER_ARRAYS}
    return items, shared, states, random_states


def take_over(model: Any, served: Served) -> None:
    """Let a model be what has been trained."""
    d = served.items["item_embeddings"].shape[1]
    nobody = {name: np.zeros((0, d)[: state_of.ARRAYS[name]], np.float32) for name in USER_ARRAYS}
    model.__dict__.update(served.learned, **served.items, **nobody)
    model._served = served


def _train(
    model: Any,
    drive: Drive,
    whole: Whole,
    epochs: int,
    reports: Reports,
    is_first: bool,
    adopt: Callable[[], None],
) -> list[str]:
    """Run epochs, from the first one again where what was trained is lost; what there is to say."""
    history = model.history_
    while True:
        model.history_ = [*history]
        try:
            found = _epochs(model, drive, whole, epochs, reports, is_first, adopt) if epochs else []
            adopt()
            return found
        except StartAgainError:
            drive.start()


def _epochs(
    model: Any,
    drive: Drive,
    whole: Whole,
    epochs: int,
    reports: Reports,
    is_first: bool,
    adopt: Callable[[], None],
) -> list[str]:
    total: dict[int, Totals] = {}
    reports.begin(model)
    with reports.display(epochs) as display:
        for epoch in range(epochs):
            settings = parameters.settings(model)
            del settings["random_state"]
            number = len(model.history_) + 1
            display.begin(epoch)
            start = perf_counter()
            drive.balance()
            sums: dict[int, Totals] = {}
            of_shard = of_a_shard(settings, drive.n_shards, shared_users=len(whole.shared) > 0)
            for begin, end in slices(
                settings, number - 1, drive.n_shards, shared_features=whole.shares_features
            ):
                done = drive.step(Piece(epoch, epochs, begin, end), of_shard)
                sums = {shard: plus(sums.get(shard, NONE), done[shard]) for shard in sorted(done)}
                display.advance(epoch + end)
            drive.ask("check", sums, settings, number)
            total = {shard: plus(total.get(shard, NONE), sums[shard]) for shard in sums}
            of_all = reduce(plus, sums.values(), NONE)
            record = record_of(number, perf_counter() - start, settings["loss"], of_all)
            model.history_.append(record)
            if reports.need_arrays:
                adopt()
            if reports.epoch(model, record, 1, display):
                break
    return _in_common(drive.ask("advice", total, settings, is_first))


def _in_common(found: list[dict[int, list[str]]]) -> list[str]:
    """What there is to say about the shard with the most to be said of, if all shards have as much.

    Numbers in a message are then those of one shard.
    """
    by_shard = [messages for each in found for messages in each.values()]
    return min(by_shard, key=len, default=[])


def _features_of(whole: Whole) -> frozenset[str]:
    given = {"item_features": whole.item_features is not None}
    given["user_features"] = whole.has_user_features
    return frozenset(name for name, is_given in given.items() if is_given)


def _mean(client: Client, dealt: Dealt, settings: dict[str, Any]) -> float:
    """What values are trained around: their weighted mean, for a loss that predicts them."""
    if not LOSSES[settings["loss"]].predicts_values:
        return 0.0
    parts = client.gather(client.map(_sums_of_values, dealt.data, pure=False))
    total = sum(weight for _, weight in parts)
    return sum(value for value, _ in parts) / total if total > 0 else 0.0


def _sums_of_values(data: ShardData) -> tuple[float, float]:
    values = data.interactions.data.astype(np.float64)
    weights = np.ones(len(values)) if data.weights is None else data.weights
    return float(np.dot(values, weights)), float(weights.sum(dtype=np.float64))


def _judged(
    client: Client, dealt: Dealt, callbacks: Any, given: Any
) -> tuple[tuple[Any, ...], Any]:
    """The callbacks of a fit, checked, and its validation."""
    callbacks, needed = check_callbacks(callbacks, has_validation=given is not None)
    return callbacks, None if given is None else _Validation(client, dealt, given, needed)


class _Validation:
    """Metrics of a model on held-out interactions, as `Reports` asks for them."""

    def __init__(self, client: Client, dealt: Dealt, given: Any, needed: list[str]) -> None:
        self._client = client
        given, metrics = read_validation(given, ("interactions", "exclude", "metrics"), needed)
        workers = list(client.nthreads())
        self._test, self._left_out = tables.deal_like(
            client, given["interactions"], dealt, addresses=workers
        )
        self._metrics = metrics
        self._exclude: list[Any] | None = dealt.data
        name = "interactions"
        if "exclude" in given:
            name, self._exclude = "validation['exclude']", None
            if given["exclude"] is not None:
                self._exclude, _ = tables.deal_like(
                    client, given["exclude"], dealt, addresses=workers
                )
        self._check(name)

    def _check(self, name: str) -> None:
        exclude = self._exclude or [None] * len(self._test)
        each = self._client.map(_overlap, self._test, exclude, pure=False)
        n_test, n_shared = np.sum(asking.results_of(self._client, each), axis=0).tolist()
        if not n_test:
            raise ValueError("validation must hold interactions to be ranked, got none")
        if n_shared:
            raise ValueError(
                f"validation must not share entries with {name}, which are left out of its "
                f"rankings, got {n_shared} that they share; remove them from one, or pass "
                "validation={'interactions': ..., 'exclude': None} to leave nothing out"
            )

    def measure(self, model: Any, threads: int) -> dict[str, float]:
        found = evaluating.evaluate(
            model._served,
            self._client,
            self._test,
            self._exclude,
            self._metrics,
            left_out=self._left_out,
            check_intersections=False,
        )
        return {name: float(found[name]) for name in self._metrics}


def _overlap(test: ShardData, exclude: ShardData | None) -> tuple[int, int]:
    """How many interactions there are to be ranked, and how many of them are left out."""
    matrix = test.interactions
    if exclude is None:
        return matrix.nnz, 0
    return matrix.nnz, int(matrix.astype(bool).multiply(exclude.interactions).nnz)
