"""How good the lists are: evaluation on later events, and several models on the same ones.

People and items of the later events are looked up as in `Recommender.recommend`: who is new counts
with what is known about them, and an item that the recommender does not know cannot be recommended,
so its events are left out, and counted.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lightfm_clone import evaluation
from lightfm_clone._checks import check_num_threads
from lightfm_clone.evaluation import Comparison, Evaluation
from lightfm_clone.recommender import events as events_of
from lightfm_clone.recommender import people as people_of
from lightfm_clone.recommender.people import POPULAR, People, vectors_of
from lightfm_clone.recommender.serving import Serving, in_blocks, rows_at, rules
from lightfm_clone.recommender.sides import numbers_of

GROUPS = ("new", "few", "many")


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


def read(shop: Any, table: Any, relevant: Any, users: Any, exclude: Any) -> Later:
    """Later events as people and matrices."""
    log = events_of.read(table, **{**shop._event_rules, "half_life": None})
    keep = np.ones(len(log.users.codes), bool)
    if relevant is not None:
        keep = log.is_kind(relevant)
    items = numbers_of(log.items.values, shop.dataset_.mapping()[2])[log.items.codes]
    left_out = {"events on unknown items": int((keep & (items < 0)).sum())}
    keep &= items >= 0
    codes = log.users.codes[keep]
    present, rows = np.unique(codes, return_inverse=True)
    values = log.users.values
    ids = [values[code] for code in present]
    people = people_of.with_rows(shop, ids, users)
    shape = len(ids), len(shop.item_ids_)
    test = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, items[keep])), shape=shape)
    test.sum_duplicates()
    test.data[:] = 1
    left = shop._left_out(exclude)
    known = sp.csr_matrix(shape, dtype=np.float32) if left is None else rows_at(left, people.numbers)
    before = test.nnz
    test = test - test.multiply(known.astype(bool))
    test.eliminate_zeros()
    left_out["pairs that people had already"] = before - test.nnz
    n_pairs = rows_at(shop.pairs_.matrix(), people.numbers).getnnz(axis=1)
    all_pairs = np.diff(shop.pairs_.indptr)
    middle = np.median(all_pairs[all_pairs > 0])
    groups = np.array(GROUPS, dtype=object)[(n_pairs > 0) + (n_pairs > middle).astype(int)]
    return Later(people, sp.csr_matrix(test), sp.csr_matrix(known), groups.astype(str), left_out)


def evaluate(shop: Any, later: Later, metrics: Any, num_threads: int | None) -> Evaluation:
    """The metrics for all, by how much people have done, and on items without interactions."""
    if not later.test.nnz:
        raise ValueError(
            "events must hold something new that people did with items that are known, but nothing "
            f"is left: {_said(later.left_out)}; pass later events, or exclude=False to count what "
            "people have already"
        )
    ranks = _ranks(shop, later, num_threads)
    names = ("precision@10", "recall@10", "ndcg@10", "map@10", "mrr", "auc")
    metrics = names if metrics is None else metrics
    result = evaluation.evaluate(_Ranked(ranks), later.test, None, metrics, later.groups)
    groups = {name: result.groups[name] for name in GROUPS if name in result.groups}
    is_new = ~shop._items.has_own
    on_new = later.test.multiply(is_new.astype(np.float32)).tocsr()
    on_new.eliminate_zeros()
    if on_new.nnz:
        of_new = ranks.copy()
        of_new.data += 1  # so that a rank of 0 stays an entry
        of_new = of_new.multiply(is_new.astype(np.float32)).tocsr()
        of_new.eliminate_zeros()
        of_new.data -= 1
        groups["new items"] = evaluation.evaluate(_Ranked(of_new), on_new, None, metrics)
    return Evaluation(result.users, result.per_user, groups)


def _ranks(shop: Any, later: Later, num_threads: int | None) -> Any:
    """Ranks of the test entries, by the model or, for who is unknown, by popularity."""
    vectors, source = vectors_of(shop, later.people, check_num_threads(num_threads))
    serving: Serving = shop._serving
    parts, order = [], []
    for items, at in (
        (serving.items, np.flatnonzero(source != POPULAR)),
        (serving.popular, np.flatnonzero(source == POPULAR)),
    ):
        if len(at):
            users = vectors[0][at], vectors[1][at]
            parts.append(
                items.ranks(users, later.test[at], later.known[at], num_threads=num_threads)
            )
            order.append(at)
    return sp.vstack(parts, format="csr")[np.argsort(np.concatenate(order))]


def measures(shop: Any, later: Later, k: int, exclude: Any, num_threads: int | None) -> dict[str, float]:
    """What the lists of these people are like, right or wrong."""
    given = rules(
        shop,
        exclude=exclude,
        items=None,
        deny=None,
        where=None,
        at_most=None,
        popularity=0.0,
        diversity=0.0,
        n_people=len(later.people),
    )
    parts = in_blocks(shop, later.people, k, given, num_threads)
    ids = np.concatenate([part.ids for part in parts])
    interactions = shop.pairs_.matrix()
    told = shop._items.encoded if shop._items.encoder is not None else shop._yardstick
    return {
        f"coverage@{k}": evaluation.catalogue_coverage(ids, interactions.shape[1]),
        f"novelty@{k}": float(np.nanmean(evaluation.novelty(ids, interactions))),
        f"diversity@{k}": float(np.nanmean(evaluation.intra_list_diversity(ids, told))),
    }


def _said(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {what}" for what, n in counts.items() if n) or "there are no events"
