"""The section with people drawn at random: what they had, what they get, and why."""

from __future__ import annotations

from itertools import chain, zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt

from lightfm_clone.recommender import serving
from lightfm_clone.recommender.judging import GROUPS
from lightfm_clone.recommender.people import FEATURES, KNOWN, SOURCES
from lightfm_clone.reporting.judged import Judged
from lightfm_clone.reporting.parts import Cell, Note, Part, Person, Section, Table, apart, shown
from lightfm_clone.typing import Id

_ITEMS = 10  # of a list, and of what somebody had
_REASONS = 3
_BY = {
    "known": "what they did and what is known about them",
    "features": "what is known about them",
    "popular": "what is popular, as nothing is known about them",
}


def people(of: Judged, n_people: int) -> Section:
    rows = _drawn(of, n_people)
    ids, source = of.lists(rows)
    parts: list[Part] = [
        Note(
            "They were drawn at random: one who had done much, one who had done little, one who "
            "was new, and so on. ✓ marks what they did later. Each item has its reasons, with what "
            "they add to its score: features of the item, items that the person had (if neighbours "
            "stand beside the model), and “in general”, which is the same for everybody. The "
            f"{_REASONS} largest are shown; Recommender.explain has them all."
        )
    ]
    for row, items, by in zip(rows.tolist(), ids, source.tolist(), strict=True):
        parts.append(_person(of, row, items[items >= 0][:_ITEMS], by))
    return Section("people", "Some people, and their lists", parts)


def _drawn(of: Judged, n_people: int) -> npt.NDArray[np.intp]:
    """Some people, in turn of each group."""
    order = of.random().permutation(len(of.later.people))
    order = order[np.diff(of.later.test.indptr)[order] > 0]
    groups = [order[of.later.groups[order] == group] for group in reversed(GROUPS)]
    turns = chain.from_iterable(zip_longest(*(group[:n_people].tolist() for group in groups)))
    return np.array([row for row in turns if row is not None][:n_people], np.intp)


def _person(of: Judged, row: int, items: npt.NDArray[np.int32], by: int) -> Part:
    later = of.later
    had = _had(of, int(later.people.numbers[row]))
    test = later.test[row].indices
    names = of.names(items)
    reasons = [_reasons(of, row, int(item), by) for item in items]
    is_hit = np.isin(items, test).tolist()
    table: list[list[str | Cell]] = []
    nearest = _nearest(of, items, had)
    for place, name in enumerate(names):
        line: list[str | Cell] = [
            str(place + 1),
            Cell(name, reasons[place], "hit" if is_hit[place] else ""),
        ]
        table.append(line if nearest is None else [*line, nearest[place]])
    head = ["rank", "item, and why"]
    if nearest is not None:
        head.append("of theirs, most like")
    done = test[np.argsort(~np.isin(test, items), kind="stable")][:_ITEMS]
    kept = set(items.tolist())
    return Person(
        shown(later.people.labels[row]),
        f"{len(had):,} items before, {len(test):,} new ones later. The list goes by "
        f"{_BY[SOURCES[by]]}.",
        of.names(had[:_ITEMS]),
        [
            Cell(name, mark="hit" if item in kept else "")
            for item, name in zip(done.tolist(), of.names(done), strict=True)
        ],
        Table(f"The first {len(items)} of the list", head, table, n_left=len(head)),
    )


def _had(of: Judged, number: int) -> npt.NDArray[np.int32]:
    """What somebody had: the latest first where times are known, else what weighs most."""
    pairs = of.shop.pairs_
    if number < 0:
        return np.empty(0, np.int32)
    at = slice(pairs.indptr[number], pairs.indptr[number + 1])
    items: npt.NDArray[np.int32] = pairs.indices[at]
    by = pairs.weights if pairs.times is None else pairs.times
    return items if by is None else items[np.argsort(-by[at], kind="stable")]


def _nearest(
    of: Judged, items: npt.NDArray[np.int32], had: npt.NDArray[np.int32]
) -> list[str | Cell] | None:
    """For each item the one that somebody had whose vector is nearest, with the cosine."""
    if not of.has_vectors or not len(had):
        return None
    prepared = of.shop._serving.items
    cosines = prepared.cosines(items, np.tile(had, (len(items), 1)))
    best = cosines.argmax(axis=1)
    names = of.names(had[best])
    values = cosines[np.arange(len(items)), best].tolist()
    return [Cell(name, f"cosine {value:.2f}") for name, value in zip(names, values, strict=True)]


def _reasons(of: Judged, row: int, item: int, by: int) -> str:
    """The largest parts of a score that speak for the item."""
    shop = of.shop
    if by not in (KNOWN, FEATURES) or not hasattr(shop.model_, "explain"):
        return f"{of.counts[item]:,} people have it"
    of_item = shop.item_ids_[item]
    sums: dict[tuple[str, Id], float] = {}
    person = of.later.people.part(slice(row, row + 1))
    for one in serving.explain(shop, person, of_item).contributions:
        if not one.is_same_for_every_item:
            about = one.user_feature if one.kind == "history" else one.item_feature
            key = (one.kind, None if one.kind == "item bias" else about)
            sums[key] = sums.get(key, 0.0) + one.value
    best = sorted(sums.items(), key=lambda pair: -pair[1])[:_REASONS]
    said = [f"{_why(of, *key, of_item)} {value:+.3g}" for key, value in best if value > 0]
    return " · ".join(said) or "nothing speaks for it, but less against it than against others"


def _why(of: Judged, kind: str, about: Any, item: Id) -> str:
    if kind == "history":
        return f"had {apart(of.name(about))}"
    if kind == "item bias":
        return "in general"
    return "the item itself" if about == item else apart(shown(about, 40))
