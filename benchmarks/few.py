"""Which model when people have done little: quality over the number of interactions a user has."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
import workloads
from harness import Part, Table
from workloads import Size

from lightfm_clone import ItemNeighbours, LightFM, Popularity, WithNeighbours
from lightfm_clone.evaluation import evaluate

THREADS, SEEDS, EPOCHS, NO_COMPONENTS = 2, 3, 20, 32
NUMBERS = 2, 5, 10, 20
METRIC = "ndcg@10"


SOFTMAX = {"loss": "softmax", "temperature": 0.2}
# What they are named, and what they are beside the defaults above.
MODELS: dict[str, dict[str, Any]] = {
    "popularity": {},
    "neighbours": {},
    "bpr": {"loss": "bpr"},
    "warp": {"loss": "warp"},
    "warp, 5 epochs": {"loss": "warp", "epochs": 5},
    "warp with genres": {"loss": "warp"},
    "softmax": SOFTMAX,
    "softmax, d=64": {**SOFTMAX, "no_components": 64},
    "softmax with genres": SOFTMAX,
    "softmax and neighbours": SOFTMAX,
}


def _trained(
    name: str, seed: int, train: sp.csr_matrix, genres: sp.csr_matrix
) -> tuple[Any, dict[str, Any]]:
    """The model of a name, and the features it is asked with."""
    if name == "popularity":
        return Popularity().fit(train), {}
    if name == "neighbours":
        return ItemNeighbours().fit(train, num_threads=THREADS), {}
    settings = {"no_components": NO_COMPONENTS, "epochs": EPOCHS, **MODELS[name]}
    epochs = settings.pop("epochs")
    model: Any = LightFM(random_state=seed, **settings)
    if "neighbours" in name:
        model = WithNeighbours(model)
    features = {"item_features": genres} if "genres" in name else {}
    return model.fit(train, epochs=epochs, num_threads=THREADS, **features), features


def measure(size: Size, wanted: Callable[[str], bool]) -> Part:
    part = Part("few", "Few interactions")
    part.notes = [
        "ML-1M, all ratings are likes: so many interactions of each user's, drawn at random, are "
        "for training; the test is that of the third-party split, what they know left out. "
        f"NDCG@10, means and standard deviations of {SEEDS} draws. d={NO_COMPONENTS} and {EPOCHS} "
        "epochs where nothing else is said, everything else as it stands (the softmax: temperature "
        "0.2); with genres, the identity of a film has 1 and its k genres 1/sqrt(k) each.",
    ]
    path = workloads.DATA / "ml-1m.npz"
    if not path.is_file():
        part.skip("ML-1M", workloads.NO_DATA)
        return part
    data = np.load(path)
    rated, items = np.unique(data["all_item"], return_inverse=True)
    users, is_test = data["all_user"], data["all_split"] == 2
    shape = int(data["n_users"]), len(rated)
    test = _pairs(users[is_test], items[is_test], shape)
    genres = workloads.csr(data, "item_genre")[rated]
    scale = sp.diags(1 / np.sqrt(np.maximum(genres.getnnz(axis=1), 1)))
    genres = sp.hstack([sp.identity(len(rated)), scale @ genres], format="csr")

    table = Table("ML-1M", ["model", *(f"{n} each" for n in NUMBERS)], [])
    part.tables.append(table)
    trains = {
        (n, seed): _pairs(*_some(users[~is_test], items[~is_test], n, seed), shape)
        for n in NUMBERS
        for seed in range(SEEDS)
    }
    for name in MODELS:
        if not wanted(name):
            continue
        row = [name]
        for n in NUMBERS:
            found = []
            for seed in range(SEEDS):
                train = trains[n, seed]
                model, features = _trained(name, seed, train, genres)
                result = evaluate(
                    model, test, train, metrics=METRIC, num_threads=THREADS, **features
                )
                found.append(result[METRIC])
            row.append(f"{statistics.mean(found):.4f} ± {statistics.stdev(found):.4f}")
        table.rows.append(row)
        print(*row, sep="  ", flush=True)
    return part


def _pairs(users: np.ndarray, items: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    return sp.csr_matrix((np.ones(len(users), np.float32), (users, items)), shape)


def _some(users: np.ndarray, items: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """At most n of each user's, drawn at random."""
    order = np.random.default_rng(seed).permutation(len(users))
    order = order[np.argsort(users[order], kind="stable")]
    starts = np.searchsorted(users[order], users[order])
    chosen = order[np.arange(len(order)) - starts < n]
    return users[chosen], items[chosen]
