"""How good the lists are: evaluation on later events, and several models on the same ones.

People and items of the later events are looked up as in `Recommender.recommend`: who is new counts
with what is known about them, and an item that the recommender does not know cannot be recommended,
so its events are left out, and counted.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lightfm_clone import evaluation
from lightfm_clone._sparse import empty_rows, rows_at
from lightfm_clone.data.columns import Codes
from lightfm_clone.evaluation import Comparison, Evaluation
from lightfm_clone.recommender import events as events_of
from lightfm_clone.recommender import fitting
from lightfm_clone.recommender import people as people_of
from lightfm_clone.recommender.people import People, vectors_of
from lightfm_clone.recommender.serving import NO_RULES, Serving, lists_of
from lightfm_clone.typing import Id

METRICS = ("precision@10", "recall@10", "ndcg@10", "map@10", "mrr", "auc")
GROUPS = ("new", "few", "many")
NEW_ITEMS = "new items"
OWN = "recommender"  # the name of the one that compares


class Later(NamedTuple):
    """What people did later, a row of the matrices for each person who did something."""

    people: People
    test: Any  # csr [n, n_items]
    known: Any  # csr [n, n_items], what is left out of the rankings
    groups: npt.NDArray[Any]  # a label for each
    left_out: dict[str, int]


class _Ranked:
    """Ranks that have been found, for `evaluation.evaluate`."""

    def __init__(self, ranks: Any) -> None:
        self._ranks = ranks

    def predict_rank(self, test_interactions: Any, **given: Any) -> Any:
        return self._ranks


def read(shop: Any, events: Any, relevant: Any, users: Any, exclude: Any) -> Later:
    """Later events as people and matrices."""
    # What an event weighed does not matter here, but that it counted.
    log = events_of.of_source(events, shop._rules | {"half_life": None}, known_kinds=shop._kinds)
    mapping = shop.dataset_.mapping()[2]
    items = people_of.known_numbers(log.items.values, mapping, "events")[log.items.codes]
    return of_events(shop, log.users, items, log.kinds, relevant, users, exclude)


def of_events(
    shop: Any,
    of_users: Codes,
    items: npt.NDArray[Any],
    kinds: Codes | None,
    relevant: Any,
    users: Any,
    exclude: Any,
) -> Later:
    """Later events as people and matrices; `items` are numbers, -1 where one is not known."""
    keep = np.ones(len(of_users.codes), bool)
    if relevant is not None:
        if kinds is None:
            raise ValueError(
                "relevant names kinds of events, and the recommender was fitted without any; "
                "call fit(..., event=column)"
            )
        mask = events_of.mask_of(kinds.values, relevant, "relevant")
        is_relevant = [mask >> kind & 1 for kind in range(len(kinds.values))]
        keep = np.array(is_relevant, bool)[kinds.codes]
    left_out = {"events with items that are not known": int((keep & (items < 0)).sum())}
    keep &= items >= 0
    present, rows = np.unique(of_users.codes[keep], return_inverse=True)
    people = people_of.of_ids(shop, [of_users.values[code] for code in present], users)
    shape = len(people), len(shop.item_ids_)
    entries = np.ones(len(rows), np.float32), (rows, items[keep])
    test = sp.csr_matrix(entries, shape=shape)  # which adds up what is there twice
    left = shop._left_out(exclude)
    known = empty_rows(*shape) if left is None else rows_at(left, people.numbers)
    fresh = test - test.multiply(known.astype(bool))
    fresh.eliminate_zeros()
    left_out["pairs that people had already"] = test.nnz - fresh.nnz
    n_pairs = np.append(np.diff(shop.pairs_.indptr), 0)[people.numbers]  # -1 is nobody
    groups = np.array(GROUPS)[(n_pairs > 0).astype(int) + (n_pairs > shop._serving.few)]
    return Later(people, sp.csr_matrix(fresh), known, groups, left_out)


def evaluate(shop: Any, later: Later, metrics: Any, num_threads: int | None) -> Evaluation:
    """The metrics for all, by how much people have done, and on items without interactions."""
    if not later.test.nnz:
        raise nothing_left(later.left_out)
    ranks = _ranks(shop, later, num_threads)
    metrics = METRICS if metrics is None else metrics
    result = evaluation.evaluate(_Ranked(ranks), later.test, later.known, metrics, later.groups)
    groups: dict[Id, Evaluation] = {
        name: result.groups[name] for name in GROUPS if name in result.groups
    }
    is_new = ~shop._items.has_own
    on_new = later.test.multiply(is_new.astype(np.float32)).tocsr()
    on_new.eliminate_zeros()
    if on_new.nnz:
        of_new = ranks.copy()
        of_new.data += 1  # so that a rank of 0 stays an entry
        of_new = of_new.multiply(is_new.astype(np.float32)).tocsr()
        of_new.eliminate_zeros()
        of_new.data -= 1
        groups[NEW_ITEMS] = evaluation.evaluate(_Ranked(of_new), on_new, later.known, metrics)
    return Evaluation(result.users, result.per_user, groups, later.left_out)


def nothing_left(left_out: Mapping[str, int]) -> ValueError:
    return ValueError(
        "events must hold something new that people did with items that are known, but nothing is "
        f"left: {_said(left_out)}; pass later events, or exclude=False to count what people have "
        "already"
    )


def _ranks(shop: Any, later: Later, num_threads: int | None) -> Any:
    """Ranks of the test entries, by the model or, for who is unknown, by popularity."""
    of = vectors_of(shop, later.people, num_threads)
    serving: Serving = shop._serving
    parts, order = [], []
    for items, at in (
        (serving.items, np.flatnonzero(of.by_model)),
        (serving.popular, np.flatnonzero(~of.by_model)),
    ):
        if len(at):
            users, test, known = of.at(at), later.test[at], later.known[at]
            parts.append(items.ranks(users, test, known, num_threads=num_threads))
            order.append(at)
    return sp.vstack(parts, format="csr")[np.argsort(np.concatenate(order))]


def compare(
    shop: Any,
    models: Mapping[str, Any],
    later: Later,
    metrics: Any,
    k: int,
    epochs: int,
    exclude: Any,
    num_threads: int | None,
    verbose: bool,
) -> Comparison:
    """See `Recommender.compare`."""
    if not isinstance(models, Mapping):
        raise TypeError(
            "models must be a dict from names to models, such as {'popular': Popularity()}, got "
            f"{models!r}"
        )
    if OWN in models:
        raise ValueError(f"models cannot have the name {OWN!r}, which is this recommender's own")
    found, of_lists = {}, {}
    for name in (OWN, *models):
        other = shop
        if name != OWN:
            other = copy.copy(shop)
            other.model_ = fitting.train(shop, models[name], epochs, num_threads, verbose)
        found[name] = evaluate(other, later, metrics, num_threads)
        of_lists[name] = measures(other, later, k, exclude, num_threads, shop)
    return Comparison(found, baseline=OWN, measures=of_lists)


def measures(
    shop: Any, later: Later, k: int, exclude: Any, num_threads: int | None, yardstick: Any
) -> dict[str, float]:
    """What the lists of these people are like, right or wrong.

    Diversity is that of the features of items or, without any, of the vectors of `yardstick`.
    """
    parts = lists_of(shop, later.people, k, num_threads, **NO_RULES | {"exclude": exclude})
    ids = np.concatenate([part.ids for part in parts])
    interactions = shop.pairs_.rows()
    told = shop._items.encoded
    if shop._items.encoder is None:
        told = yardstick._serving.items.vectors
    return {
        f"coverage@{k}": evaluation.catalogue_coverage(ids, interactions.shape[1]),
        f"novelty@{k}": _mean(evaluation.novelty(ids, interactions)),
        f"diversity@{k}": _mean(evaluation.intra_list_diversity(ids, told)),
    }


def _mean(values: npt.NDArray[Any]) -> float:
    """The mean of what is no NaN, or NaN if nothing is left."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else math.nan


def _said(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {what}" for what, n in counts.items() if n) or "there are no events"
