"""The section with a map of the items: their vectors in two dimensions, coloured by a column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lightfm_clone.reporting import charts
from lightfm_clone.reporting.judged import Judged, columns_of
from lightfm_clone.reporting.parts import (
    Cell,
    Figure,
    Note,
    Part,
    Section,
    Table,
    four,
    percent,
    shown,
)

_POINTS = 1_500  # of a map; more would hide one another
_NUMBERED = 10  # items that most people have
_NEAREST = 10  # whose groups are counted
_COLOURS = 6
_RANGES = 4


class _Groups(NamedTuple):
    """Which group each of some items is of."""

    exact: npt.NDArray[np.intp]  # by value or range; -1 where it is missing
    names: list[str]  # of those that have a colour, the first
    others: str  # what those without a colour are

    @property
    def drawn(self) -> npt.NDArray[np.intp]:
        """The groups that have a colour; -1 for all others."""
        return np.where(self.exact < len(self.names), self.exact, -1)


def item_map(of: Judged, colour_by: Hashable | None) -> Section:
    title = "A map of the items"
    n_items = len(of.counts)
    if not of.has_vectors:
        what = type(of.shop.model_).__name__
        return Section("map", title, [Note(f"A {what} has no vectors of items to make a map of.")])
    if n_items < 3:
        return Section("map", title, [Note(f"{n_items} items make no map.")])
    vectors = of.shop._serving.items.vectors
    numbered = np.argsort(-of.counts, kind="stable")[:_NUMBERED]
    numbered = numbered[of.counts[numbered] > 0]
    rows = np.arange(n_items)
    if n_items > _POINTS:
        drawn = of.random().choice(n_items, _POINTS, replace=False)
        rows = np.union1d(drawn, numbered)
    points, shares = _principal(vectors, rows)
    by = "the number of people who have it" if colour_by is None else shown(colour_by)
    groups = _groups(of, colour_by, rows)
    whose = f"{len(rows):,} items"
    if len(rows) < n_items:
        whose += f", drawn from {n_items:,},"
    parts: list[Part] = [
        Note(
            f"Each point is an item, coloured by {by}; {whose} are shown. The axes are the two "
            "directions in which the vectors of all items differ most (principal components). "
            "Items that are near each other go to the same people. A plane shows only a part of "
            "that: what is near here need not be near in all dimensions."
        )
    ]
    found = _alike(of, rows, groups.exact)
    if found is not None:
        near, chance = found
        parts.append(
            Note(
                f"In all dimensions, {percent(near)} of the {_NEAREST} items nearest to an item "
                f"(by the cosine, among those shown) are of its own group by {by}. By chance it "
                f"would be {percent(chance)}."
            )
        )
    legend, table = [], []
    for place, name in [*enumerate(groups.names), (-1, groups.others)]:
        own = points[groups.drawn == place]
        if len(own):
            legend.append((f"series-{place}", name))
            row: list[str | Cell] = [name, f"{len(own):,}", *map(four, own.mean(axis=0).tolist())]
            table.append(row)
    parts.append(
        Figure(
            charts.scatter(
                points,
                groups.drawn,
                np.searchsorted(rows, numbered).tolist(),
                shares,
                f"Map of {len(rows):,} items by their vectors, coloured by {by}",
            ),
            "Numbers are the items that most people have.",
            Table(
                "Where the groups lie",
                ["group", "items", "mean, axis 1", "mean, axis 2"],
                table,
                is_folded=True,
            ),
            tuple(legend),
            tuple(of.names(numbered)),
        )
    )
    return Section("map", title, parts)


def _principal(
    vectors: npt.NDArray[np.float32], rows: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Items on the first two principal components of all, and the components' shares."""
    middle = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - middle.astype(np.float32)
    values, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    order = np.argsort(-values)[:2]
    axes = axes[:, order]
    # A direction may be turned around: its largest part is above 0.
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    points = np.zeros((len(rows), 2))
    points[:, : axes.shape[1]] = centred[rows] @ axes
    shares = np.zeros(2)
    shares[: len(order)] = values[order].clip(0) / (values.clip(0).sum() or 1)
    return points, shares


def _groups(of: Judged, colour_by: Hashable | None, rows: npt.NDArray[np.intp]) -> _Groups:
    if colour_by is None:
        return _by_range(of.counts[rows].astype(np.float64))
    values = columns_of(of.shop, "colour_by").first(colour_by, rows, "colour_by")
    if isinstance(values, np.ndarray):
        present = values[values == values]
        if len(np.unique(present)) > _COLOURS:
            return _by_range(values)
        values = [str(one) if one == one else None for one in values.tolist()]
    return _by_value(values)


def _by_value(values: list[Any]) -> _Groups:
    """The most frequent values, and the others as one."""
    counts = Counter(value for value in values if value is not None)
    places = {value: place for place, (value, _) in enumerate(counts.most_common())}
    exact = np.array([places.get(value, -1) for value in values], np.intp)
    names = [shown(value, 40) for value in places]
    if len(names) <= _COLOURS:
        return _Groups(exact, names, "not known")
    others = f"{len(names) - _COLOURS:,} others"
    if (exact < 0).any():
        others += ", or not known"
    return _Groups(exact, names[:_COLOURS], others)


def _by_range(values: npt.NDArray[Any]) -> _Groups:
    """Numbers or dates in ranges of about as many each."""
    is_there = values == values
    present = values[is_there]
    groups = np.full(len(values), -1, np.intp)
    if not len(present):
        return _Groups(groups, [], "not known")
    ends = np.unique(np.quantile(present, np.arange(1, _RANGES) / _RANGES, method="lower"))
    groups[is_there] = np.searchsorted(ends, present)
    numbers = np.unique(groups[is_there], return_inverse=True)[1]
    groups[is_there] = numbers
    names = []
    for place in range(int(numbers.max()) + 1):
        own = values[groups == place]
        low, high = (_text(one) for one in (own.min(), own.max()))
        names.append(low if low == high else f"{low} to {high}")
    return _Groups(groups, names, "not known")


def _text(value: Any) -> str:
    if isinstance(value, np.datetime64):
        return str(value.astype("M8[D]"))
    return f"{value:,.6g}".replace("-", "−")


def _alike(
    of: Judged, rows: npt.NDArray[np.intp], groups: npt.NDArray[np.intp]
) -> tuple[float, float] | None:
    """The share of nearest items that are of the same group, and what it would be by chance."""
    told = groups >= 0
    rows, groups = rows[told], groups[told]
    if len(rows) <= _NEAREST:
        return None
    directions = of.shop._serving.items.as_directions.vectors[rows]
    cosines = directions @ directions.T
    np.fill_diagonal(cosines, -np.inf)
    nearest = np.argpartition(-cosines, _NEAREST, axis=1)[:, :_NEAREST]
    sizes = np.bincount(groups)
    chance = float((sizes * (sizes - 1)).sum() / (len(rows) * (len(rows) - 1)))
    return float((groups[nearest] == groups[:, None]).mean()), chance
