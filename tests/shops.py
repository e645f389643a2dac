"""What the tests of `Recommender` share: a small shop, fits of it, tables as rows, plain lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from helpers import all_scores

from lightfm_clone import LightFM, Recommender
from lightfm_clone.data import bins, split
from lightfm_clone.datasets import synthetic_shop

pd = pytest.importorskip("pandas")
pytest.importorskip("narwhals")

SHOP = synthetic_shop(300, 60, 4000, random_state=0)
EVENTS, VISITORS, PRODUCTS = SHOP.to_frames("pandas")
IS_LATE = EVENTS["timestamp"] > EVENTS["timestamp"].quantile(0.8)
PAST, LATER = EVENTS[~IS_LATE], EVENTS[IS_LATE]
NAMES = {"user": "visitorid", "item": "itemid"}
KINDS = {
    "event": "event",
    "event_weights": {"view": 1, "addtocart": 4, "transaction": 10},
    "timestamp": "timestamp",
}
TABLES = {
    "users": VISITORS,
    "items": PRODUCTS,
    "columns": {"tags": split("|"), "price": bins(5), "signup_date": "year"},
}
QUIET = {"epochs": 3, "num_threads": 1, "verbose": False}


def model(**parameters: Any) -> LightFM:
    return LightFM(**{"loss": "warp", "no_components": 8, "random_state": 0, **parameters})


def fitted(events: Any = EVENTS, of: Any = None, **options: Any) -> Recommender:
    """The whole shop, on one thread; options replace arguments of the fit."""
    given = {**NAMES, **KINDS, **TABLES, **QUIET, **options}
    return Recommender(model() if of is None else of).fit(events, **given)


def small(events: dict[str, list[Any]], of: Any = None, **options: Any) -> Recommender:
    """A few events of the columns u and i, and others that options name."""
    of = model(no_components=4) if of is None else of
    return Recommender(of).fit(
        pd.DataFrame(events), **{"user": "u", "item": "i", **QUIET, **options}
    )


def rows(table: Any) -> list[tuple[Any, ...]]:
    """The rows of a table of any library."""
    if hasattr(table, "to_pylist"):
        return [tuple(row.values()) for row in table.to_pylist()]
    if hasattr(table, "iter_rows"):
        return list(table.iter_rows())
    return list(zip(*(table[name].tolist() for name in table.columns), strict=True))


def lists(table: Any) -> dict[Any, list[Any]]:
    """The items of each user, in order."""
    found: dict[Any, list[Any]] = {}
    for user, rank, item, *_ in rows(table):
        found.setdefault(user, []).append(item)
        assert rank == len(found[user])
    return found


def scores_of(shop: Recommender) -> np.ndarray:
    """Of all known users and items, by `predict` and with all features."""
    return all_scores(
        shop.model_,
        len(shop.user_ids_),
        len(shop.item_ids_),
        user_features=shop.user_features_,
        item_features=shop.item_features_,
    )


def numbers(ids: Iterable[Any], all_ids: Any) -> list[int]:
    places = {one: place for place, one in enumerate(all_ids.tolist())}
    return [places[one] for one in ids]


def assert_best(items: list[int], scores: np.ndarray, allowed: np.ndarray, k: int) -> None:
    """Whether these are k best of the allowed items, up to a rounding of scores."""
    assert len(set(items)) == len(items) == min(k, int(allowed.sum()))
    assert allowed[items].all()
    expected = np.sort(scores[allowed])[::-1][: len(items)]
    np.testing.assert_allclose(scores[items], expected, atol=1e-5)


def same_state(left: Recommender, right: Recommender) -> None:
    """Whether all that lists and updates go by is equal, bit for bit."""
    for ours, theirs in zip(left.dataset_.mapping(), right.dataset_.mapping(), strict=True):
        assert list(ours.items()) == list(theirs.items())
    for name in ("indptr", "indices", "weights", "kinds", "times"):
        ours, theirs = getattr(left.pairs_, name), getattr(right.pairs_, name)
        assert (ours is None) == (theirs is None), name
        if ours is not None:
            np.testing.assert_array_equal(ours, theirs, err_msg=name)
    for name in ("user_features_", "item_features_"):
        ours, theirs = getattr(left, name), getattr(right, name)
        assert (ours is None) == (theirs is None), name
        if ours is not None:
            assert ours.shape == theirs.shape and (ours != theirs).nnz == 0, name
    np.testing.assert_array_equal(scores_of(left), scores_of(right))
