"""How good a model on a cluster ranks: each shard sends sums, and nobody sees all users' values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import numpy as np

from lightfm_clone import evaluation
from lightfm_clone.dask.asking import ItemSide, Served, check_threads, chosen, threads_of
from lightfm_clone.dask.shards import Array, ShardData, ShardState
from lightfm_clone.evaluation import groups as groups_of
from lightfm_clone.evaluation.results import METRICS, NO_TEST, Means, wanted
from lightfm_clone.evaluation.sums import Sums
from lightfm_clone.typing import Id

# By group, None for all users, and by metric.
_Tally = dict[Id | None, dict[str, Sums]]


class Evaluation(Means):
    """Means by metric over the users of all shards, and the same by group.

    The means are those that `evaluation.evaluate` gives for the same model on one machine, to the
    last digit. Values of single users stay on the cluster: ask `to_local()` for a model that can
    be evaluated on one machine, where confidence intervals or values of users are wanted.
    """

    def __init__(
        self,
        sums: Mapping[str, Sums],
        groups: dict[Id, Evaluation] | None = None,
        left_out: dict[str, int] | None = None,
    ) -> None:
        self._sums = dict(sums)
        self._means = {name: of.mean for name, of in sums.items()}
        self.groups = groups or {}
        self.left_out = left_out or {}

    @property
    def n_users(self) -> int:
        return next(iter(self._sums.values())).n

    @property
    def standard_errors(self) -> dict[str, float]:
        """Of the means, by metric; NaN of a single user."""
        return {name: of.standard_error for name, of in self._sums.items()}

    @property
    def users(self) -> NoReturn:
        raise _values_are_away("users")

    @property
    def per_user(self) -> NoReturn:
        raise _values_are_away("per_user")

    @property
    def confidence_intervals(self) -> NoReturn:
        raise _values_are_away("confidence_intervals")


def _values_are_away(name: str) -> AttributeError:
    return AttributeError(
        f"{name} needs the values of single users, which stay on the cluster; evaluate the model "
        "that to_local() gives, or look at standard_errors"
    )


def evaluate(
    served: Served,
    client: Any,
    test: list[Any],
    train: Any = None,
    metrics: str | Iterable[str] = METRICS,
    groups: str | None = None,
    *,
    left_out: dict[str, int] | None = None,
    num_threads: int | None = None,
    check_intersections: bool = True,
) -> Evaluation:
    """As `evaluation.evaluate`, where test and training interactions lie on the cluster.

    A pair of user and item that is there several times counts once.

    Parameters
    ----------
    test : list of futures of ShardData
        Of each shard, as `tables.deal_like` gives them.
    train : "known" or list of futures of ShardData, default None
        Items left out of the rankings: those of the interactions of the fit, or others.
    metrics, check_intersections
        As in `evaluation.evaluate`.
    groups : "activity" or "cold", default None
    left_out : dict of str to int, optional
        What could not be evaluated, in words, and how much.
    num_threads : int or None, default None
        Of each task; None is those of its worker.

    Raises
    ------
    ValueError
        As `evaluation.evaluate`.
    RuntimeError, TimeoutError
        As `Served.ask`.
    """
    names = tuple(wanted(metrics))
    check_threads(num_threads)
    known = chosen(served, train, "train_interactions")
    labels: tuple[Id, ...] = ()
    bounds: list[float] = []
    if groups is not None:
        if not isinstance(groups, str):
            raise ValueError(
                f"groups must be 'activity' or 'cold' on a cluster, got {type(groups).__name__}; "
                "for labels of your own evaluate the model that to_local() gives"
            )
        groups_of.check_named(groups, train is not None)
        labels = groups_of.LABELS[groups]
        if groups == "activity":
            histories = [client.submit(_histories, data, pure=False) for data in known]
            bounds = groups_of.quartiles(*together(served.results(client, histories)))
    further = (names, groups, bounds, num_threads, check_intersections)
    each = ((shard, (test[shard], known[shard], *further)) for shard in range(len(test)))
    tallies: list[_Tally] = served.ask(client, _tally, each)
    parts = {
        label: merged([tally[label] for tally in tallies if label in tally])
        for label in (None, *labels)
        if any(label in tally for tally in tallies)
    }
    if not parts:
        raise ValueError(NO_TEST)
    whole = parts.pop(None)
    of_groups = {label: Evaluation(part) for label, part in parts.items()}
    return Evaluation(whole, of_groups, left_out)


def merged(parts: list[dict[str, Sums]]) -> dict[str, Sums]:
    """Sums by metric of all parts together."""
    return {name: Sums.merged(part[name] for part in parts) for name in parts[0]}


def together(histories: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """What `groups.counted` gives for all shards together."""
    counts, inverse = np.unique(
        np.concatenate([counts for counts, _ in histories]), return_inverse=True
    )
    n_users = np.zeros(len(counts), np.int64)
    np.add.at(n_users, inverse, np.concatenate([n_users for _, n_users in histories]))
    return counts, n_users


# ---- tasks ---------------------------------------------------------------------------------------


def _histories(data: ShardData) -> tuple[Array, Array]:
    return groups_of.counted(_n_entries(_once(data.interactions)))


def _tally(
    side: ItemSide,
    data: ShardData,
    state: ShardState,
    test: ShardData,
    train: ShardData | None,
    names: tuple[str, ...],
    groups: str | None,
    bounds: list[float],
    num_threads: int | None,
    check_intersections: bool,
) -> _Tally:
    """The sums of a shard; nothing where none of its users has test items."""
    liked = _once(test.interactions)
    if not liked.nnz:
        return {}
    known = None if train is None else _once(train.interactions)
    labels = None
    if groups is not None:
        positions = groups_of.by_history(groups, _n_entries(known), bounds)
        labels = np.array(groups_of.LABELS[groups])[positions]
    found = evaluation.evaluate(
        side.model(state),
        liked,
        known,
        names,
        labels,
        user_features=data.user_features,
        item_features=side.features,
        num_threads=threads_of(num_threads),
        check_intersections=check_intersections,
    )
    return {None: sums_of(found), **{label: sums_of(part) for label, part in found.groups.items()}}


def _once(interactions: Any) -> Any:
    """The interactions with one entry for each pair, as a matrix has them."""
    if interactions.has_canonical_format:
        return interactions
    once = interactions.copy()
    once.sum_duplicates()
    return once


def _n_entries(interactions: Any) -> Array:
    n_entries: Array = np.diff(interactions.indptr).astype(np.int64)
    return n_entries


def sums_of(found: evaluation.Evaluation) -> dict[str, Sums]:
    return {name: Sums.of(values) for name, values in found.per_user.items()}
