"""Quality of training on shards of users whose shared rows are merged, beside one machine's.

    python benchmarks/dealt.py RUNS.jsonl                 # all that RUNS.jsonl has not
    python benchmarks/dealt.py RUNS.jsonl --only warp ml --shards 8 --seeds 1
    python benchmarks/dealt.py RUNS.jsonl --only warp large --merges 4 --shards 8
    python benchmarks/dealt.py RUNS.jsonl --table         # what it has, as Markdown

A simulation in one process: shards train one after the other, by the code that a cluster uses
(`lightfm_clone.dask.shard` and `.merging`). No time means anything.
MovieLens 1M by the third-party split, Last.fm by the suggested warm test; where it is asked for,
items that nobody has in training (`--only fm-cold`), and a synthetic catalogue whose items have
3,000 interactions each (`--only large`). d=32, 15 epochs, a thread a shard. One row of the file is
one fit.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import workloads
from harness import markdown_table

from lightfm_clone import LightFM
from lightfm_clone._model import parameters
from lightfm_clone.cross_validation import random_train_test_split
from lightfm_clone.dask import merging
from lightfm_clone.dask.merging import Merging, of_a_shard, slices
from lightfm_clone.dask.shard import Piece, Shard
from lightfm_clone.dask.shards import ITEM_ARRAYS, USER_ARRAYS, ShardData, ShardState, Whole
from lightfm_clone.datasets import synthetic_catalogue
from lightfm_clone.evaluation import evaluate

NO_COMPONENTS, EPOCHS = 32, 15
DATA = {
    "ml": "ML-1M",
    "fm": "Last.fm",
    "ml-cold": "ML-1M, cold items",
    "fm-cold": "Last.fm, cold items",
    "large": "large",
}
DEALING = 1000  # what seeds of the dealing of users start at
LIKED = 4


# ---- cases ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A model; learning rates were chosen on one machine."""

    name: str
    loss: str
    has_features: bool = False
    has_weights: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    of_data: dict[str, dict[str, Any]] = field(default_factory=dict)  # more, by data set
    measure: str = "ndcg@10"

    def of(self, data: str) -> dict[str, Any]:
        return {"loss": self.loss, **self.settings, **self.of_data.get(data.split("-")[0], {})}


TEMPERATURES = {
    "ml": {"temperature": 0.2},
    "fm": {"temperature": 0.1},
    "large": {"temperature": 0.1},
}
SGD, ADADELTA = {"learning_schedule": "sgd"}, {"learning_schedule": "adadelta"}
L2 = {"item_alpha": 1e-5, "user_alpha": 1e-5}
CASES = [
    *(Case(loss, loss) for loss in ("warp", "bpr", "warp-kos", "logistic")),
    Case("mse", "mse", measure="rmse"),
    Case("softmax", "softmax", of_data=TEMPERATURES),
    *(Case(f"{loss}, features", loss, True) for loss in ("warp", "warp-kos")),
    # Items that nobody has, with tags that many have, come first here: lists are worth nothing.
    *(Case(f"{loss}, features", loss, True, measure="auc") for loss in ("bpr", "logistic")),
    Case("mse, features", "mse", True, measure="rmse"),
    Case("softmax, features", "softmax", True, of_data=TEMPERATURES),
    Case("warp, sgd", "warp", settings=SGD | {"learning_rate": 0.01}),
    Case(
        "bpr, sgd",
        "bpr",
        settings=SGD,
        of_data={"ml": {"learning_rate": 0.02}, "fm": {"learning_rate": 0.05}},
    ),
    Case("warp, adadelta", "warp", settings=ADADELTA),
    Case("bpr, adadelta", "bpr", settings=ADADELTA),
    *(Case(f"{loss}, weights", loss, has_weights=True) for loss in ("warp", "bpr")),
    Case("warp, L2", "warp", settings=L2),
    Case("softmax, L2", "softmax", settings=L2, of_data=TEMPERATURES),
]


# ---- data -------------------------------------------------------------------------------------


class Data(NamedTuple):
    train: sp.coo_matrix
    test: sp.coo_matrix
    known: sp.coo_matrix  # what is masked
    item_tags: sp.csr_matrix
    user_columns: sp.csr_matrix | None
    weights: sp.coo_matrix | None  # of the interactions, 1 in the mean


def large() -> Data:
    """A catalogue of fewer items than MovieLens 1M has, for eight times as many users."""
    catalogue = synthetic_catalogue(40_000, 4_000, 12_000_000, random_state=0)
    train, test = random_train_test_split(catalogue.interactions, 0.1, random_state=0)
    return Data(train, test, train, catalogue.item_tags, None, None)


@lru_cache
def data_of(name: str, loss: str) -> Data:
    if name == "large":
        return large()
    name, *cold = name.split("-")
    archive = np.load(workloads.DATA / {"ml": "ml-1m.npz", "fm": "lastfm-hetrec2011.npz"}[name])
    users, items = archive["all_user"], archive["all_item"]
    is_cold = archive["suggested_cold_item"].astype(bool)
    if name == "ml":
        rated, items = np.unique(items, return_inverse=True)
        shape, is_cold = (int(archive["n_users"]), len(rated)), is_cold[rated]
        values, of = archive["all_rating"].astype(np.float32), archive["all_split"]
        tags = workloads.csr(archive, "item_genre")[rated]
        columns = workloads.csr(archive, "user_feature")
    else:
        shape = int(archive["n_users"]), int(archive["n_items"])
        values = np.log1p(archive["all_weight"]).astype(np.float32)
        of = 2 * archive["suggested_warm_test"].astype(int)
        tags, columns = workloads.csr(archive, "item_tag"), None
    if cold:
        of = 2 * is_cold[items]
    is_test = of == 2
    weights = values / values[of == 0].mean()
    if loss == "logistic" and name == "ml":
        is_test &= values >= LIKED
        values = np.where(values >= LIKED, 1, -1).astype(np.float32)
    elif loss != "mse":
        values = np.ones_like(values)

    def part(chosen: np.ndarray, values: np.ndarray = values) -> sp.coo_matrix:
        return sp.coo_matrix((values[chosen], (users[chosen], items[chosen])), shape)

    known = part(of != 2)
    if cold:  # lists of cold items alone
        known = sp.csr_matrix(np.tile(~is_cold, (shape[0], 1)), dtype=np.float32)
    return Data(part(of == 0), part(is_test), known, tags, columns, part(of == 0, weights))


def with_identity(columns: sp.csr_matrix) -> sp.csr_matrix:
    """A feature of its own and its columns for each row, which sum to 1, as `Dataset` has them."""
    matrix = sp.hstack([sp.identity(columns.shape[0]), columns > 0], format="csr")
    return sp.csr_matrix(sp.diags(1 / matrix.sum(axis=1).A1) @ matrix, dtype=np.float32)


# ---- shards -----------------------------------------------------------------------------------


def shard_of(
    users: np.ndarray,
    train: sp.csr_matrix,
    weights: sp.csr_matrix | None,
    user_features: sp.csr_matrix | None,
) -> ShardData:
    """The data of some users, whose own features come first in `with_identity`."""
    n_users, own = train.shape[0], None
    if user_features is not None:
        n_features = user_features.shape[1]
        own = user_features[users][:, np.r_[users, n_users:n_features]]
    return ShardData(
        users,
        train[users],
        None if weights is None else weights[users].data,
        own,
        None if user_features is None else users,
    )


def train_dealt(
    model: LightFM,
    train: sp.coo_matrix,
    weights: sp.coo_matrix | None,
    features: tuple[Any, Any],
    n_shards: int,
    seed: int,
) -> None:
    """Train a model whose parameters are drawn, on users dealt to shards."""
    n_users, n_items = train.shape
    user_features, item_features = features
    counts = np.bincount(train.col, minlength=n_items).astype(np.int64)
    whole = Whole(
        n_items, counts, item_features, np.arange(n_users, len(model.user_biases)), n_users
    )
    settings, shares_features = parameters.settings(model), whole.shares_features
    own = of_a_shard(settings, n_shards, shared_users=user_features is not None)
    rule = Merging(settings, shared_features=shares_features)
    by_user = train.tocsr(), None if weights is None else weights.tocsr()
    dealt = np.random.RandomState(DEALING + seed).permutation(n_users)
    users_of = [np.sort(dealt[number::n_shards]) for number in range(n_shards)]
    given = parameters.of(model) | {"random_state": None}
    learned = {"global_mean_": model.global_mean_}
    items = {name: getattr(model, name) for name in ITEM_ARRAYS}
    shards = []
    for number, users in enumerate(users_of):
        rows = np.r_[users, whole.shared]
        state = ShardState(
            {name: getattr(model, name)[rows] for name in USER_ARRAYS},
            np.random.RandomState([seed, number]),
        )
        data = shard_of(users, *by_user, user_features)
        shards.append(Shard(data, whole, given, learned, items, state, counts, None, 1))
    n_rows = shards[0].n_shared
    sheets = shards[0].sheets(0, n_rows)
    for epoch in range(EPOCHS):
        for part in slices(settings, epoch, n_shards, shared_features=shares_features):
            piece = Piece(epoch, EPOCHS, *part)
            sums: list[Any] = []
            for shard in shards:
                shard.train(piece, own)
                added = rule.contribution(sheets, shard.sheets(0, n_rows), piece.done)
                sums = [a + b for a, b in zip(sums, added, strict=True)] if sums else added
            sheets = rule.merge(sheets, sums, piece.done)
            for shard in shards:
                shard.put(sheets)
    model.__dict__ |= shards[0].items(sheets)
    for users, shard in zip(users_of, shards, strict=True):
        rows = np.r_[users, whole.shared]
        for name in USER_ARRAYS:
            getattr(model, name)[rows] = getattr(shard.model, name)


def fit(case: Case, name: str, n_shards: int, seed: int) -> dict[str, float]:
    data = data_of(name, case.loss)
    features: tuple[Any, Any] = None, None
    if case.has_features:
        columns = data.user_columns
        features = (
            None if columns is None else with_identity(columns),
            with_identity(data.item_tags),
        )
    model = LightFM(NO_COMPONENTS, random_state=seed, **case.of(name))
    weights = data.weights if case.has_weights else None
    model.fit(data.train, *features, weights, epochs=0 if n_shards > 1 else EPOCHS)
    if n_shards > 1:
        if case.loss == "mse":
            model.global_mean_ = float(data.train.data.mean())
        train_dealt(model, data.train, weights, features, n_shards, seed)
    named = dict(zip(("user_features", "item_features"), features, strict=True))
    metrics = "ndcg@10", "auc"
    found = evaluate(model, data.test, data.known, metrics=metrics, **named)
    row = {name: float(found[name]) for name in metrics}
    if case.measure == "rmse":
        errors = model.predict(data.test.row, data.test.col, **named) - data.test.data
        row["rmse"] = float(np.sqrt(np.square(errors).mean()))
    return row


# ---- results ----------------------------------------------------------------------------------


def saved(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in ("case", "data", "shards", "seed", "merges"))


def table(rows: list[dict[str, Any]]) -> str:
    """Means over seeds, and the difference to one machine's in percent with its standard error."""
    values: dict[tuple[str, str, int], dict[int, float]] = defaultdict(dict)
    measures = {case.name: case.measure for case in CASES}
    for row in rows:
        if "merges" in row:  # tried, and not what a cluster does
            continue
        value = row[measures[row["case"]]]
        values[row["case"], row["data"], row["shards"]][row["seed"]] = value
    shards = sorted({row["shards"] for row in rows} - {1})
    lines = []
    for case in CASES:
        for data, title in DATA.items():
            alone = list(values[case.name, data, 1].values())
            if not alone:
                continue
            cells = [f"{statistics.mean(alone):.4f}"]
            for n in shards:
                cells.append(_difference(alone, list(values[case.name, data, n].values())))
            lines.append([case.name, title, case.measure, *cells])
    columns = ["model", "data", "measure", "one machine", *(f"{n} shards" for n in shards)]
    return markdown_table(columns, lines)


def _difference(alone: list[float], dealt: list[float]) -> str:
    if not dealt:
        return ""
    mean = statistics.mean(alone)
    difference = f"{100 * (statistics.mean(dealt) / mean - 1):+.1f}"
    if len(dealt) == 1 or len(alone) == 1:
        return f"{difference} (1 seed)"
    error = (
        statistics.variance(alone) / len(alone) + statistics.variance(dealt) / len(dealt)
    ) ** 0.5
    seeds = "" if len(dealt) == 4 else f" ({len(dealt)} seeds)"
    return f"{difference} ± {100 * error / mean:.1f}{seeds}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--only", nargs="*", default=[], help="names of cases and data sets")
    parser.add_argument("--shards", type=int, nargs="*", default=[1, 8, 32, 2])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument(
        "--merges", type=float, help="of the first epoch on many shards, instead of a cluster's"
    )
    arguments = parser.parse_args()
    if arguments.table:
        print(table(saved(arguments.runs)))
        return
    chosen, merges = set(arguments.only), arguments.merges
    if merges:
        merging.first_merges = lambda settings, shared_features: merges
    done = {key_of(row) for row in saved(arguments.runs)}
    for seed in range(arguments.seeds):
        for n_shards in arguments.shards:
            for case in CASES:
                for data in sorted(chosen & set(DATA)) or ("fm", "ml"):
                    cases = chosen & {each.name for each in CASES}
                    if cases and case.name not in cases:
                        continue
                    row = {"case": case.name, "data": data, "shards": n_shards, "seed": seed}
                    if merges:
                        row["merges"] = merges
                    if key_of(row) in done:
                        continue
                    row |= case.of(data) | fit(case, data, n_shards, seed)
                    with arguments.runs.open("a") as file:
                        file.write(json.dumps(row) + "\n")
                    print(*row.values(), flush=True)


if __name__ == "__main__":
    main()
