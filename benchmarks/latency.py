"""What a request costs: scores and lists of one user, by the size of what the service holds.

A prepared model keeps the vectors of its items, 4 bytes a component, and codes of them, 1 byte a
component and 4 an item: 256 and 68 bytes an item with 64 components.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from harness import Part, Table, interleaved, mean_seconds, number
from models import PEER, both_libraries
from workloads import Size

from lightfm_clone import LightFM
from lightfm_clone._model.prepared import PreparedItems

CANDIDATES = 50
COMPONENTS = 32
FEATURES_EACH = 5
# Users and items. LightFM takes the whole matrices at every call.
SHAPES = ((10_000, 5_000), (100_000, 20_000), (1_000_000, 50_000))
WITH, WITHOUT = 50.0, 30.0  # us, at most
# One list of one user: items, and us at most.
LISTS = ((84_000, 500.0), (1_000_000, 9_000.0))
LIST_COMPONENTS, LIST_USERS = 64, 1_000
US = 1e6


def measure(size: Size, wanted: Callable[[str], bool]) -> Part:
    part = Part("latency", "Requests, 1 thread")
    part.notes = [
        f"`predict` for one user, another at each call, and {CANDIDATES} items, d={COMPONENTS}; "
        f"with features, each user and item has its identity and {FEATURES_EACH} more. Medians of "
        f"interleaved rounds: {size.rounds}.",
        f"{PEER} checks nothing of the matrices it is given; ours checks the rows it reads.",
    ]
    targets: list[list[Any]] = []
    for n_users, n_items in SHAPES[: 2 if size.name == "quick" else None]:
        users, items = _features(n_users, 100), _features(n_items, 200)
        features = {"user_features": users, "item_features": items}
        for loss, given, most in (
            ("warp", features, WITH),
            ("warp", {}, WITHOUT),
            ("softmax", {}, None),
        ):
            kind = "with features" if given else "without features"
            row = f"predict, {loss}, {n_users:,} users, {kind}"
            if wanted(row):
                ours = _compare(part, row, size, loss, n_users, n_items, given)
                if most is not None:
                    verdict = "reached" if ours <= most else "NOT REACHED"
                    targets.append([row, number(ours), number(most), verdict])
        row = f"recommend, {CANDIDATES} candidates, {n_users:,} users, with features"
        if wanted(row):
            model = _model(LightFM, "warp", n_users, n_items, features)
            call = _caller(
                lambda user, candidates, model=model, features=features: model.recommend(
                    user, items=candidates, **features
                ),
                n_users,
                n_items,
            )
            (costs,) = interleaved({"ours": partial(mean_seconds, call)}, size.rounds).values()
            targets.append([row, number(US * statistics.median(costs)), "-", ""])
    for n_items, most in LISTS[: 1 if size.name == "quick" else None]:
        row = f"one list of one user, {n_items:,} items, d={LIST_COMPONENTS}"
        if wanted(row):
            costs = interleaved(_list_calls(n_items), size.rounds)
            scan, codes = (US * statistics.median(costs[name]) for name in ("scan", "codes"))
            targets.append([f"{row}, plain scan", number(scan), "-", ""])
            verdict = "reached" if codes <= most else "NOT REACHED"
            targets.append([f"{row}, prepared", number(codes), number(most), verdict])
    part.tables.append(Table("Microseconds a request", ["request", "ours", "at most", ""], targets))
    for line in targets:
        print("  ", *line, flush=True)
    return part


def _list_calls(n_items: int) -> dict[str, Callable[[], float]]:
    """Lists of ten, of another user at each call, by vectors alone and by codes."""
    rng = np.random.default_rng(0)
    items = PreparedItems(*_normals(rng, n_items))
    model = LightFM(no_components=LIST_COMPONENTS, random_state=0)
    model.fit(sp.coo_matrix((LIST_USERS, 1), dtype=np.float32), epochs=0)
    model.item_biases, model.item_embeddings = items.biases, items.vectors
    model.user_biases, model.user_embeddings = _normals(rng, LIST_USERS)
    service = model.prepare()
    service.recommend(np.arange(12))  # asked often enough for codes
    users = itertools.cycle(range(LIST_USERS))

    def scan() -> None:
        # Items that nobody has asked before have no codes.
        biases, vectors = model.get_user_representations()
        at = [next(users)]
        PreparedItems(items.biases, items.vectors).best((biases[at], vectors[at]), 10)

    return {
        "scan": partial(mean_seconds, scan),
        "codes": partial(mean_seconds, lambda: service.recommend(next(users))),
    }


def _normals(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    vectors = rng.normal(size=(n, LIST_COMPONENTS))
    return rng.normal(size=n).astype(np.float32), vectors.astype(np.float32)


def _compare(
    part: Part,
    row: str,
    size: Size,
    loss: str,
    n_users: int,
    n_items: int,
    features: dict[str, sp.csr_matrix],
) -> float:
    """Ours, in microseconds; the peer has no softmax, so its WARP stands beside it."""
    sides = {}
    for name, make in both_libraries().items():
        model = _model(make, "warp" if name == PEER else loss, n_users, n_items, features)
        call = _caller(partial(_predict, model, features), n_users, n_items)
        sides[name] = partial(lambda call: US * mean_seconds(call), call)
    part.compare(row, "us/call", sides, size.rounds)
    return statistics.median(part.comparisons[-1].ours)


def _predict(model: Any, features: dict[str, Any], user: int, candidates: np.ndarray) -> Any:
    return model.predict(user, candidates, **features)


def _model(make: Callable[..., Any], loss: str, n_users: int, n_items: int, features: Any) -> Any:
    rng = np.random.default_rng(0)
    entries = rng.integers(n_users, size=1000), rng.integers(n_items, size=1000)
    interactions = sp.coo_matrix((np.ones(1000, np.float32), entries), shape=(n_users, n_items))
    model = make(loss=loss, no_components=COMPONENTS, random_state=0)
    return model.fit(interactions, **features)


def _caller(
    call: Callable[[int, np.ndarray], Any], n_users: int, n_items: int
) -> Callable[[], Any]:
    """The call for one user after another, and always the same items."""
    rng = np.random.default_rng(1)
    users = itertools.cycle(rng.integers(n_users, size=100_000).tolist())
    candidates = rng.choice(n_items, CANDIDATES, replace=False).astype(np.int32)
    return lambda: call(next(users), candidates)


def _features(n_rows: int, n_features: int) -> sp.csr_matrix:
    """The identity, and some features of each row."""
    rng = np.random.default_rng(2)
    n = n_rows * FEATURES_EACH
    entries = (
        np.ones(n, np.float32),
        rng.integers(n_features, size=n),
        np.arange(0, n + 1, FEATURES_EACH),
    )
    tags = sp.csr_matrix(entries, shape=(n_rows, n_features))
    matrix = sp.hstack([sp.identity(n_rows, dtype=np.float32), tags], format="csr")
    matrix.sum_duplicates()
    return matrix.astype(np.float32)
