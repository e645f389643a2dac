"""From rows of interactions to the entries of their matrices."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from lightfm_clone import _core
from lightfm_clone.data import columns, numbering
from lightfm_clone.data import rows as row_reading
from lightfm_clone.data.rows import Entries

# Rows are taken in long blocks, so that the mappings of users and items do not drive each other
# out of the cache at every turn, yet never are all rows of a generator held at once.
BLOCK = 1 << 18

_SELECT = ", as table[[user, item]] or, in pyarrow, table.select([user, item])"
_EXPECTED = "(user id, item id) or (user id, item id, weight)"


def entries(data: Any, users: dict[Hashable, int], items: dict[Hashable, int]) -> Entries:
    """Row numbers, column numbers and weights of ``data``, in its order."""
    return row_reading.joined(list(_blocks(data, _core.Numbers(users), _core.Numbers(items))))


def _blocks(data: Any, users: _core.Numbers, items: _core.Numbers) -> Iterator[Entries]:
    if isinstance(data, Mapping):
        raise TypeError(
            "data must be an iterable of rows, got a mapping, which iterates over its keys; pass "
            f"zip(*data.values()) if its values are columns {_EXPECTED}"
        )
    row_reading.refuse_unreadable(data)
    split = columns.split(data)
    if split is not None:
        names, parts = split
        yield from _of_columns(parts, len(data), users, items, names)
        return
    if isinstance(data, np.ndarray) and data.ndim == 2:
        yield from _of_columns(list(np.asarray(data).T), len(data), users, items)
        return
    for start, rows in row_reading.blocks(data, BLOCK):
        found = _core.numbers_of_rows(users, items, rows)
        if found is not None:
            row, col, values = found
            yield Entries(row, col, values.astype(np.float32))
            continue
        # Something is amiss, or not as plain as most data are.
        lengths = row_reading.check(rows, start, {2, 3}, _EXPECTED)
        if lengths == {2}:
            of_users, of_items = [user for user, _ in rows], [item for _, item in rows]
            if any(hasattr(kind, "iloc") for kind in set(map(type, of_items))):
                row_reading.refuse_records(rows, start, _EXPECTED)
            weights = np.ones(len(rows), dtype=np.float32)
        else:
            if 2 in lengths:
                rows = [row if len(row) == 3 else (*row, 1.0) for row in rows]
            of_users, of_items = [user for user, _, _ in rows], [item for _, item, _ in rows]
            weights = row_reading.weights_of([weight for _, _, weight in rows])
        yield _numbered(of_users, of_items, weights, users, items)


def _of_columns(
    parts: list[Any],
    n_rows: int,
    users: _core.Numbers,
    items: _core.Numbers,
    names: list[Hashable] | None = None,
) -> Iterator[Entries]:
    """The entries of columns, which have names if they are those of a table."""
    if not n_rows:
        return
    if len(parts) not in (2, 3):
        raise ValueError(
            f"data must have the columns {_EXPECTED}, got {len(parts)} columns"
            + (f", {', '.join(map(repr, names))}" if names else "")
            + f"; pass those alone{_SELECT if names else ''}, or call Dataset.from_frame(table, "
            "user=..., item=...)"
        )
    of_users, of_items, *rest = map(numbering.plain, parts)
    weights = row_reading.weights_of(*rest) if rest else np.ones(n_rows, dtype=np.float32)
    order = ""
    if names:
        roles = ("user ids", "item ids", "weights")
        order = (
            "the columns of a table are read in their order, "
            + ", ".join(f"{name!r} as {role}" for name, role in zip(names, roles, strict=False))
            + f": pass them in the order of these{_SELECT}"
        )
    yield _numbered(of_users, of_items, weights, users, items, order)


def _numbered(
    of_users: numbering.Ids,
    of_items: numbering.Ids,
    weights: npt.NDArray[np.float32],
    users: _core.Numbers,
    items: _core.Numbers,
    order: str = "",
) -> Entries:
    """Entries of the users and items of these ids; ``order`` is what to say of their columns."""

    def advise(side: str, unknown: Hashable) -> str:
        """What to say of an unknown id, besides that it is unknown."""
        ids, partners, known, others = of_users, of_items, users.mapping, items.mapping
        if side == "item":
            ids, partners, known, others = of_items, of_users, items.mapping, users.mapping
        partner = partners[list(ids).index(unknown)]
        swapped = unknown in others and numbering.is_hashable(partner) and partner in known
        advice = [f"are users and items swapped? Rows are {_EXPECTED}"] if swapped else []
        return "; ".join([*advice, order] if order else advice)

    return Entries(
        numbering.numbers_of(of_users, users, "users", advice=partial(advise, "user")),
        numbering.numbers_of(of_items, items, "items", advice=partial(advise, "item")),
        weights,
    )
