"""Which loss when: the quality of each, tuned on a validation set, and what softmax costs.

    python benchmarks/losses.py     # tries all of GRIDS on the validation parts, prints the best
    python benchmarks/losses.py --split FOLDER     # a split of the graph papers (published.py)

The best settings stand in CHOSEN. The part `losses` trains with them on training and validation
data together and reports the test. Item neighbours stand beside the models in BESIDE.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import published
import scipy.sparse as sp
import workloads
from harness import Part, Table
from models import PEER, Epoch, both_libraries, peer_library, state_of
from scale import costs_of
from workloads import Size

from lightfm_clone import ItemNeighbours, LightFM, WithNeighbours
from lightfm_clone.data import activity_weights
from lightfm_clone.evaluation import evaluate

THREADS = 2
POPULARITY = "popularity"


# ---- tasks ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """Interactions in three parts, and how a model of them is judged."""

    name: str
    metrics: tuple[str, ...]  # settings are chosen by the first
    train: sp.coo_matrix
    validation: sp.coo_matrix
    test: sp.coo_matrix
    # Of a cold-start task: the tags of items. Items of the validation and the test set are ranked
    # among themselves.
    tags: sp.csr_matrix | None = None


def _positives(users: np.ndarray, items: np.ndarray, shape: tuple[int, int]) -> sp.coo_matrix:
    return sp.coo_matrix((np.ones(len(users), np.float32), (users, items)), shape)


def _in_parts(users: Any, items: Any, shape: Any, of: np.ndarray) -> list[sp.coo_matrix]:
    return [_positives(users[of == part], items[of == part], shape) for part in range(3)]


@lru_cache
def tasks() -> list[Task]:
    """Those whose data are here."""
    found = []
    files = {name: workloads.DATA / f"{name}.npz" for name in ("ml-1m", "lastfm-hetrec2011")}
    rng = np.random.default_rng(0)
    if files["ml-1m"].is_file():
        data = np.load(files["ml-1m"])
        rated, items = np.unique(data["all_item"], return_inverse=True)
        users, shape = data["all_user"], (6040, len(rated))
        parts = _in_parts(users, items, shape, data["all_split"])
        found.append(Task("ML-1M", ("ndcg@10", "recall@20", "auc"), *parts))
        is_cold = data["suggested_cold_item"][rated].astype(bool)
        found.append(
            _cold("ML-1M", users, items, shape, is_cold, workloads.csr(data, "item_genre")[rated])
        )
    if files["lastfm-hetrec2011"].is_file():
        data = np.load(files["lastfm-hetrec2011"])
        users, items = data["all_user"], data["all_item"]
        shape = (int(data["n_users"]), int(data["n_items"]))
        of = np.where(data["suggested_warm_test"], 2, (rng.random(len(users)) < 0.1).astype(int))
        parts = _in_parts(users, items, shape, of)
        found.append(Task("Last.fm", ("ndcg@20", "recall@20", "auc"), *parts))
        is_cold = data["suggested_cold_item"].astype(bool)
        tags = workloads.csr(data, "item_tag")
        tags.data[:] = 1.0
        found.append(_cold("Last.fm", users, items, shape, is_cold, tags))
    return found


def _cold(
    name: str, users: Any, items: Any, shape: Any, is_cold: np.ndarray, tags: sp.csr_matrix
) -> Task:
    """Cold items are the test; a tenth of the others with tags are cold for the validation."""
    rng = np.random.default_rng(1)
    has_tags = np.diff(tags.indptr) > 0
    of_item = np.where(is_cold, 2, (~is_cold & has_tags & (rng.random(shape[1]) < 0.1)).astype(int))
    parts = _in_parts(users, items, shape, of_item[items])
    norms = np.maximum(np.asarray(tags.sum(axis=1)), 1)
    return Task(
        f"{name}, cold items", ("ndcg@20", "auc"), *parts, sp.diags(1 / norms.ravel()) @ tags
    )


# ---- methods ----------------------------------------------------------------------------------

GRIDS: dict[str, dict[str, tuple]] = {
    "softmax": {"temperature": (0.1, 0.15, 0.2, 0.3), "epochs": (10, 25)},
    "warp": {"learning_rate": (0.02, 0.05), "max_sampled": (10, 50), "epochs": (10, 30)},
    "bpr": {"learning_rate": (0.02, 0.05), "epochs": (10, 30)},
    "logistic": {"learning_rate": (0.02, 0.05), "epochs": (5, 20)},
    "ALS (implicit)": {"regularization": (0.1, 10.0), "alpha": (1.0, 10.0), "iterations": (15,)},
    "EASE": {"l2": (100.0, 200.0, 500.0, 1000.0, 2000.0)},
}
CHOSEN: dict[str, dict[str, dict[str, Any]]] = {
    "ML-1M": {
        POPULARITY: {},
        "softmax": {"temperature": 0.2, "epochs": 25},
        "softmax, d=128": {
            "temperature": 0.15,
            "epochs": 15,
            "no_components": 128,
            "learning_rate": 0.2,
            "user_power": 0.5,
        },
        "warp": {"learning_rate": 0.02, "max_sampled": 50, "epochs": 30},
        "bpr": {"learning_rate": 0.02, "epochs": 10},
        "logistic": {"learning_rate": 0.05, "epochs": 20},
        "ALS (implicit)": {"regularization": 10.0, "alpha": 1.0, "iterations": 15},
        "EASE": {"l2": 1000.0},
        "neighbours": {},
        "neighbours, cosine": {"method": "cosine"},
    },
    "ML-1M, cold items": {
        "softmax": {"temperature": 0.15, "epochs": 25},
        "softmax, identity dropout": {
            "temperature": 0.15,
            "epochs": 25,
            "negatives": "seen",
            "identity_dropout": 0.3,
        },
        "warp": {"learning_rate": 0.05, "max_sampled": 50, "epochs": 10},
        "bpr": {"learning_rate": 0.05, "epochs": 30},
    },
    "Last.fm, cold items": {
        "softmax": {"temperature": 0.1, "epochs": 10},
        "softmax, identity dropout": {
            "temperature": 0.1,
            "epochs": 5,
            "negatives": "seen",
            "identity_dropout": 0.5,
        },
        "warp": {"learning_rate": 0.05, "max_sampled": 50, "epochs": 10},
    },
    "Last.fm": {
        POPULARITY: {},
        "softmax": {"temperature": 0.1, "epochs": 25},
        "softmax, d=128": {"temperature": 0.1, "epochs": 25, "no_components": 128},
        "warp": {"learning_rate": 0.05, "max_sampled": 50, "epochs": 10},
        "bpr": {"learning_rate": 0.02, "epochs": 30},
        "logistic": {"learning_rate": 0.02, "epochs": 20},
        "ALS (implicit)": {"regularization": 10.0, "alpha": 10.0, "iterations": 15},
        "neighbours": {},
        "neighbours, cosine": {"method": "cosine"},
    },
}
# Models that get neighbours beside them, with their weight; None is chosen on the validation part.
BESIDE: dict[str, float | None] = {
    "softmax": 5.0,
    "softmax, d=128": 5.0,
    "warp": None,
    "bpr": None,
    "logistic": None,
}
WEIGHTS = (0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 1000)
NEIGHBOURS = "neighbours"
WITHOUT_SEED = (POPULARITY, "EASE", NEIGHBOURS)
WARM_ONLY = ("ALS (implicit)", "EASE")
NO_COMPONENTS = 64


class Scored:
    """What `evaluate` needs of a model, for scores of all pairs."""

    def __init__(self, scores: Callable[[np.ndarray], np.ndarray]) -> None:
        self._scores = scores

    def predict_rank(self, test: Any, train_interactions: Any = None, **_: Any) -> sp.csr_matrix:
        test, ranks = test.tocsr(), test.tocsr().astype(np.float32)
        for user in np.flatnonzero(np.diff(test.indptr)):
            own = slice(*test.indptr[user : user + 2])
            scores = self._scores(np.array([user]))[0]
            if train_interactions is not None:
                known = train_interactions.indices[
                    slice(*train_interactions.indptr[user : user + 2])
                ]
                scores[known] = -np.inf
            places = np.sort(scores)
            wanted = scores[test.indices[own]]
            ranks.data[own] = len(scores) - np.searchsorted(places, wanted) - 1
        return ranks


def _with_arrays(**arrays: np.ndarray) -> LightFM:
    model = LightFM(no_components=arrays["user_embeddings"].shape[1])
    for name, array in arrays.items():
        setattr(model, name, np.ascontiguousarray(array, np.float32))
    return model


def _popularity(train: sp.coo_matrix) -> LightFM:
    users, items = train.shape
    return _with_arrays(
        user_embeddings=np.zeros((users, 1)),
        item_embeddings=np.zeros((items, 1)),
        user_biases=np.zeros(users),
        item_biases=np.bincount(train.col, minlength=items),
    )


def _als(train: sp.coo_matrix, settings: dict[str, Any], seed: int) -> LightFM:
    peer_library()
    from implicit.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(
        factors=NO_COMPONENTS, random_state=seed, num_threads=THREADS, **settings
    )
    model.fit(train.tocsr(), show_progress=False)
    return _with_arrays(
        user_embeddings=np.asarray(model.user_factors),
        item_embeddings=np.asarray(model.item_factors),
        user_biases=np.zeros(train.shape[0]),
        item_biases=np.zeros(train.shape[1]),
    )


def _ease(train: sp.coo_matrix, l2: float, known: sp.csr_matrix) -> Scored:
    """Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019."""
    matrix = train.tocsr()
    gram = (matrix.T @ matrix).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += l2
    inverse = np.linalg.inv(gram)
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return Scored(lambda users: known[users] @ weights)


def trained(
    task: Task, method: str, settings: dict[str, Any], train: sp.coo_matrix, seed: int
) -> Any:
    if method == POPULARITY:
        return _popularity(train)
    if method == "EASE":
        return _ease(train, known=train.tocsr(), **settings)
    if method == NEIGHBOURS:
        return ItemNeighbours(**settings).fit(train, num_threads=THREADS)
    if method in WARM_ONLY:
        return _als(train, settings, seed)
    settings = dict(settings)
    epochs, no_components = settings.pop("epochs"), settings.pop("no_components", NO_COMPONENTS)
    power = settings.pop("user_power", 0.0)
    model = LightFM(no_components, loss=method, random_state=seed, **settings)
    features = None
    if task.tags is not None:
        features = sp.hstack([sp.identity(task.tags.shape[0]), task.tags], format="csr")
    return model.fit(
        train,
        item_features=features,
        sample_weight=activity_weights(train, power) if power else None,
        epochs=epochs,
        num_threads=THREADS,
    )


def chosen_weight(task: Task, method: str, settings: dict[str, Any]) -> float:
    """The weight of neighbours that is best on the validation part, of one seed."""
    model = trained(task, method, settings, task.train, seed=0)
    neighbours = trained(task, NEIGHBOURS, {}, task.train, seed=0)
    beside = WithNeighbours(model, neighbours)
    beside.choose_weight(
        task.validation,
        task.train,
        metric=task.metrics[0],
        weights=WEIGHTS,
        num_threads=THREADS,
    )
    return beside.weight


def judged(task: Task, model: Any, known: sp.coo_matrix, wanted: sp.coo_matrix) -> dict[str, float]:
    if task.tags is None:
        result = evaluate(model, wanted, known, metrics=task.metrics, num_threads=THREADS)
    else:
        # A new item has its tags, and no embedding of its own.
        cold = np.unique(wanted.col)
        features = sp.hstack(
            [sp.csr_matrix((len(cold), task.tags.shape[0])), task.tags[cold]], format="csr"
        )
        wanted = wanted.tocsr()[:, cold]
        if model.item_embeddings.shape[0] == task.tags.shape[0]:  # popularity knows no tags
            return dict.fromkeys(task.metrics, float("nan"))
        result = evaluate(
            model, wanted, item_features=features, metrics=task.metrics, num_threads=THREADS
        )
    return {name: float(result[name]) for name in task.metrics}


@dataclass
class Fits:
    """Models of a method, a seed each, and what they took."""

    models: list[Any]
    seconds: float  # the median
    megabytes: float  # the most that one took beside its data

    @classmethod
    def of(cls, seeds: int, fit: Callable[[int], Any]) -> Fits:
        models, took, more = [], [], []
        for seed in range(seeds):
            model, seconds, megabytes = costs_of(partial(fit, seed))
            models.append(model)
            took.append(seconds)
            more.append(megabytes)
        return cls(models, statistics.median(took), max(more))


def _row(task: Task, name: str, settings: dict[str, Any], fits: Fits, known: Any) -> list[Any]:
    row = [name, ", ".join(f"{name} {value}" for name, value in settings.items())]
    found = [judged(task, model, known, task.test) for model in fits.models]
    for metric in task.metrics:
        values = [each[metric] for each in found]
        spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        row.append(f"{statistics.mean(values):.4f}{spread}")
    row += [fits.seconds, fits.megabytes]
    print(task.name, *row, sep="  ", flush=True)
    return row


def measure(size: Size, wanted: Callable[[str], bool]) -> Part:
    part = Part("losses", "Quality of the losses")
    part.notes = [
        "Settings were chosen on the validation part, of one seed; models are then trained on "
        f"training and validation data together, with {THREADS} threads, and judged on the test "
        f"part, known items masked. d={NO_COMPONENTS} where nothing else is said; means and "
        "standard deviations over 3 seeds. Seconds are those of a fit; MB the most memory that it "
        "took beside its data.",
        "ML-1M: the third-party split, all 3,706 rated items ranked. Last.fm: the suggested warm "
        "test.",
        'Neighbours: `ItemNeighbours` with its defaults. "+ neighbours": `WithNeighbours` of '
        "the model above it; a weight other than 5 was chosen on the validation part. user_power: "
        "the sample weights are `activity_weights`.",
        "Cold items: the suggested masks; the test items, new to the model, are ranked among "
        "themselves by genres (ML-1M) or tags (Last.fm). Identity dropout: as in "
        "docs/guide/losses.md.",
    ]
    for task in tasks():
        if task.name not in CHOSEN or not wanted(task.name):
            continue
        together = sp.coo_matrix(task.train.tocsr() + task.validation.tocsr())
        columns = ["method", "settings", *task.metrics, "seconds", "MB"]
        table = Table(task.name, columns, [])
        part.tables.append(table)
        neighbours = Fits.of(1, partial(trained, task, NEIGHBOURS, {}, together))
        for name, settings in CHOSEN[task.name].items():
            method = name.split(",")[0]
            seeds = 1 if method in WITHOUT_SEED else 3
            fits = Fits.of(seeds, partial(trained, task, method, settings, together))
            table.rows.append(_row(task, name, settings, fits, together))
            if task.tags is None and name in BESIDE:
                weight = BESIDE[name] or chosen_weight(task, method, settings)
                beside = Fits(
                    [WithNeighbours(model, *neighbours.models, weight) for model in fits.models],
                    fits.seconds + neighbours.seconds,
                    max(fits.megabytes, neighbours.megabytes),
                )
                row = _row(task, f"{name} + neighbours", {"weight": weight}, beside, together)
                table.rows.append(row)
    return part


# ---- what an epoch of softmax costs -------------------------------------------------------------


def measure_speed(size: Size, wanted: Callable[[str], bool]) -> Part:
    part = Part("softmax", "An epoch of softmax beside LightFM's WARP")
    part.notes = [
        f"Softmax with 256 negatives, d={NO_COMPONENTS}, against an epoch of {PEER}'s WARP with "
        "its default settings, each after 3 epochs of its own; timed as the training is.",
    ]
    table = Table("Arithmetic", ["case", "kFLOP an example", "GFLOP/s"], [])
    part.tables = [table]
    libraries = both_libraries()
    sets = {
        f"{size.users:,} x {size.items:,} x {size.interactions:,}": workloads.interactions(
            size.users, size.items, size.interactions
        )
    }
    if tasks():
        sets["ML-1M"] = tasks()[0].train
    for name, matrix in sets.items():
        epochs = {}
        for library, loss in ((PEER, "warp"), ("ours", "softmax")):
            parameters = {"loss": loss, "no_components": NO_COMPONENTS}
            warm = LightFM(**parameters, random_state=0).fit(matrix, epochs=3, num_threads=2)
            sample = workloads.sampled(matrix, min(size.examples, matrix.nnz))
            epochs[library] = Epoch(state_of(warm), parameters, sample)
        for threads in (1, 2):
            row = f"{name}, {threads} thread{'s' * (threads > 1)}"
            if not wanted(row):
                continue
            sides = {
                library: partial(epochs[library].nanoseconds, libraries[library], threads)
                for library in epochs
            }
            part.compare(row, "ns/example", sides, size.slow_rounds, least=1, aim=2)
            # Scores, user gradients and negative gradients: a product each, of 256 x d.
            flop = 3 * 2 * 256 * NO_COMPONENTS
            table.rows.append(
                [row, flop / 1e3, flop / statistics.median(part.comparisons[-1].ours)]
            )
        row = f"{name}, 2 threads over 1"
        if wanted(row):
            sides = {
                threads: partial(epochs["ours"].nanoseconds, LightFM, threads) for threads in (1, 2)
            }
            sides = {f"{n} thread": side for n, side in sides.items()}
            part.compare(row, "ns/example", sides, size.rounds, least=1.85, aim=1.95)
    return part


def combinations(grid: dict[str, tuple]) -> list[dict[str, Any]]:
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def tune() -> None:
    """Print the best settings of each method on each task's validation part, of one seed."""
    for task in tasks():
        for method, grid in GRIDS.items():
            if task.tags is not None and method in WARM_ONLY:
                continue
            results = []
            for settings in combinations(grid):
                model = trained(task, method, settings, task.train, seed=0)
                found = judged(task, model, task.train, task.validation)
                results.append((found[task.metrics[0]], settings))
                print("   ", task.name, method, settings, found, flush=True)
            print(f"{task.name}: {method}: {max(results, key=lambda each: each[0])}", flush=True)


def main() -> None:
    summary, *_ = __doc__.splitlines()
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--split", type=Path, help="a folder of train.txt and test.txt")
    split = parser.parse_args().split
    if split is None:
        tune()
    else:
        published.report(split)


if __name__ == "__main__":
    main()
