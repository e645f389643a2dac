"""What a recommender shows of itself: sizes, events, epochs, columns, and warnings of the data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lightfm_clone._model.reading import last_of
from lightfm_clone._printed import Printed


def text(shop: Any) -> str:
    """The parameters, and what a fit made of the tables, line by line."""
    if not hasattr(shop, "model_"):
        return repr(shop)
    facts, *others = _tables(shop)
    facts = facts._replace(rows=facts.rows[1:])  # the parameters are no column of the others
    return "\n\n".join([f"{shop!r}\n{facts.text()}", *(table.text() for table in others)])


def html(shop: Any) -> str:
    """The same as tables."""
    if not hasattr(shop, "model_"):
        return Printed([[repr(shop), "not fitted"]], n_left=2).html()
    return "".join(table.html() for table in _tables(shop))


def _tables(shop: Any) -> Iterator[Printed]:
    facts = [[repr(shop), "fitted"], *map(list, _facts(shop))]
    yield Printed(facts, n_left=2)
    for side in (shop._users, shop._items):
        if side.encoder is not None:
            decisions = side.encoder.decisions_.items()
            rows = [[str(column), words] for column, words in decisions]
            yield Printed([[f"columns of {side.name}s", "became"], *rows], n_left=2)
    warnings = () if shop.report_ is None else shop.report_.warnings
    if warnings:
        rows = [[f"{one.where}: {one.what}", one.remedy] for one in warnings]
        yield Printed([["warnings of the data", "remedy"], *rows], n_left=2)


def _facts(shop: Any) -> Iterator[tuple[str, str]]:
    pairs = shop.pairs_
    for side, n in zip((shop._users, shop._items), pairs.shape, strict=True):
        said = f"{n:,}, {np.count_nonzero(side.has_own):,} of them with events"
        if side.encoder is not None:
            said += f"; {len(side.encoder.feature_names_):,} features of columns"
        yield f"{side.name}s", said
    yield "events", f"{pairs.n_events:,}, which make {len(pairs.indices):,} pairs"
    if shop._kinds:
        of_kinds = (1 << place for place in range(len(shop._kinds)))
        counts = (np.count_nonzero(pairs.kinds & pairs.kinds.dtype.type(bit)) for bit in of_kinds)
        each = (f"{kind} {n:,}" for kind, n in zip(shop._kinds, counts, strict=True))
        yield "pairs by kind", ", ".join(each)
    if pairs.times is not None and len(pairs.times):
        days = (
            np.datetime64(int(time), "s").astype("datetime64[D]")
            for time in (pairs.times.min(), pairs.times.max())
        )
        yield "last events of pairs", " to ".join(map(str, days))
    history = getattr(shop.model_, "history_", [])
    if history:
        yield "epochs", f"{len(history):,}"
        yield from last_of(history)
