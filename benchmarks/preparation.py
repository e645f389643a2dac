"""From ids to matrices: `Dataset` and the random split."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from harness import Part, seconds
from models import PEER, peer_library
from workloads import Size

import lightfm_clone.cross_validation
import lightfm_clone.data

TAGS_PER_ITEM = 10


def measure(size: Size, wanted: Callable[[str], bool]) -> Part:
    part = Part("preparation", "Preparing data")
    part.notes = [
        "`Dataset` rows are `fit` and `build_interactions`. The results are checked to be equal; "
        f"interleaved rounds: {size.slow_rounds}.",
    ]
    n_rows, n_items, n_entries = size.dataset_rows, size.featured_items, size.split_entries
    rows = {
        f"Dataset, array of {n_rows:,} x 2 integer ids": (
            partial(_integers, n_rows), 20, 50,
        ),
        f"Dataset, lists of {n_rows:,} x 2 string ids": (
            partial(_strings, n_rows), 4, 8,
        ),
        f"build_item_features, {n_items:,} items x {TAGS_PER_ITEM} tags": (
            partial(_item_features, n_items), 4, 8,
        ),
        f"random_train_test_split, {n_entries:,} entries": (
            partial(_split, n_entries), 2, 4,
        ),
    }  # fmt: skip
    libraries = {PEER: peer_library(), "ours": lightfm_clone}
    for name, (prepare, least, aim) in rows.items():
        if not wanted(name):
            continue
        task = prepare()
        _check_equal(name, *map(task, libraries.values()))
        sides = {side: partial(seconds, task, library) for side, library in libraries.items()}
        part.compare(name, "s", sides, size.slow_rounds, least, aim)
    return part


# Each makes its input and returns what is timed: a function of a library.
Task = Callable[[Any], tuple[sp.spmatrix, ...]]


def _ids(n: int) -> tuple[np.ndarray, np.ndarray]:
    """User and item ids in random order, some far more frequent than others."""
    rng = np.random.default_rng(0)
    users, items = 60_000 * rng.random(n) ** 2, 30_000 * rng.random(n) ** 3
    return users.astype(np.int64), items.astype(np.int64)


def _interactions(users: Any, items: Any, pairs: Any, library: Any) -> tuple[sp.spmatrix, ...]:
    dataset = library.data.Dataset()
    dataset.fit(users, items)
    return dataset.build_interactions(pairs)


def _integers(n: int) -> Task:
    pairs = np.stack(_ids(n), axis=1)
    return partial(_interactions, pairs[:, 0], pairs[:, 1], pairs)


def _strings(n: int) -> Task:
    # A string object of its own for each, as read from a file.
    users, items = (list(map(str, ids.tolist())) for ids in _ids(n))
    return partial(_interactions, users, items, list(zip(users, items, strict=True)))


def _item_features(n: int) -> Task:
    names = [f"tag{k}" for k in range(1000)]
    drawn = (1000 * np.random.default_rng(0).random((n, TAGS_PER_ITEM)) ** 2).astype(int)
    items = [f"item{k}" for k in range(n)]
    rows = ([names[k] for k in row] for row in drawn.tolist())
    tags = list(zip(items, rows, strict=True))
    datasets = {}

    def build(library: Any) -> tuple[sp.spmatrix, ...]:
        if library not in datasets:
            datasets[library] = library.data.Dataset()
            datasets[library].fit(["user"], items, item_features=names)
        return (datasets[library].build_item_features(tags),)

    return build


def _split(n: int) -> Task:
    users, items = _ids(n)
    matrix = sp.coo_matrix(
        (np.ones(n, np.float32), (users.astype(np.int32), items.astype(np.int32)))
    )

    def split(library: Any) -> tuple[sp.spmatrix, ...]:
        return library.cross_validation.random_train_test_split(
            matrix, random_state=np.random.RandomState(0)
        )

    return split


def _check_equal(name: str, theirs: tuple[sp.spmatrix, ...], ours: tuple[sp.spmatrix, ...]) -> None:
    for a, b in zip(theirs, ours, strict=True):
        if a.format == "csr":
            equal = a.shape == b.shape and abs(a - b).max() < 1e-6
        else:
            equal = a.shape == b.shape and all(
                np.array_equal(getattr(a, of), getattr(b, of)) for of in ("row", "col", "data")
            )
        if not equal:
            raise SystemExit(f"{name}: the two libraries give different results")
