"""The rotation of blocks of items among workers, simulated: what does it cost in quality?

    python benchmarks/rotation.py --only "WARP" --workers 2 8     # runs what is not yet there
    python benchmarks/rotation.py --table                     # the saved runs as Markdown

Where no worker can hold all items, users are dealt to S workers and items into S blocks. In
sub-epoch r worker w trains the interactions of its users with the items of block (w + r) mod S,
which it alone holds meanwhile; its negatives come from that block. Nobody writes a row that another
has, so there is nothing to merge. (Stratified: Gemulla, Nijkamp, Haas and Sismanis, "Large-scale
matrix factorization with distributed stochastic gradient descent", KDD 2011; Yun, Yu, Hsieh,
Vishwanathan and Dhillon, "NOMAD", VLDB 2014. Both train ratings. A ranking loss compares items, and
so it matters which items share a block.)

One process runs the cells (worker, block) one after the other on the compiled core, one thread.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import numpy as np
import scipy.sparse as sp
from losses import Task, tasks

from lightfm_clone import LightFM
from lightfm_clone._core import Parameters
from lightfm_clone._model import parameters, state
from lightfm_clone._model.examples import Examples
from lightfm_clone._model.losses import LOSSES as LOSSES_OF
from lightfm_clone._model.training import TrainedSide, Training
from lightfm_clone.evaluation import evaluate

SAVED = harness.RESULTS / "scale" / "rotation.json"
EPOCHS, NO_COMPONENTS = 15, 32
# Near the settings in losses.py, and the same with a rotation as on one machine.
LOSSES: dict[str, dict[str, dict[str, Any]]] = {
    "ML-1M": {
        "WARP": {"loss": "warp", "learning_rate": 0.02, "max_sampled": 50},
        "BPR": {"loss": "bpr", "learning_rate": 0.02},
        "softmax": {"loss": "softmax", "temperature": 0.2},
        "logistic": {"loss": "logistic"},
    },
    "Last.fm": {
        "WARP": {"loss": "warp"},
        "BPR": {"loss": "bpr"},
        "softmax": {"loss": "softmax", "temperature": 0.1},
        "logistic": {"loss": "logistic", "learning_rate": 0.02},
    },
}


@dataclass(frozen=True)
class Plan:
    """How items are cut into blocks, and how these go round."""

    # "popularity": items in the order of their counts are dealt a round at a time, so that blocks
    # are alike in numbers and counts; "load": items in random order, cut where counts are equal;
    # "sorted": the same with the most popular items first.
    cut: str = "popularity"
    redraw: bool = True  # cut anew before every round
    blocks: int = 1  # for each worker
    passes: int = 1  # rounds an epoch, each with its share of the interactions
    first_passes: int = 0  # the same of the first epoch, where it has more
    # Whether a block's items stand for all items where a loss counts what it draws from: WARP's
    # estimate of a rank, the softmax's sum over all items.
    counts_all: bool = False

    def __str__(self) -> str:
        parts = [self.cut, "redrawn" if self.redraw else "fixed"]
        parts += [f"{self.blocks} blocks a worker"] * (self.blocks > 1)
        parts += [f"{self.passes} rounds an epoch"] * (self.passes > 1)
        parts += [f"{self.first_passes} in the first"] * (self.first_passes > 0)
        return ", ".join(parts + ["counts all items"] * self.counts_all)


PLANS = {
    "best": Plan(first_passes=16, counts_all=True),
    "counting blocks": Plan(first_passes=16),
    "one round": Plan(counts_all=True),
    "plain": Plan(),
    "fixed": Plan(first_passes=16, counts_all=True, redraw=False),
    "by load": Plan(first_passes=16, counts_all=True, cut="load"),
    "sorted": Plan(first_passes=16, counts_all=True, cut="sorted", redraw=False),
    "finer": Plan(first_passes=16, counts_all=True, blocks=2),
    "4 rounds": Plan(passes=4, counts_all=True),
    "8 rounds": Plan(passes=8, counts_all=True),
    "16 rounds": Plan(passes=16, counts_all=True),
}


# ---- dealing -----------------------------------------------------------------------------------


def dealt(counts: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """A class below n for each row: in the order of counts, every n rows go to n classes."""
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order], kind="stable")]
    rounds = rng.permuted(np.tile(np.arange(n), (-(-len(counts) // n), 1)), axis=1)
    classes = np.empty(len(counts), np.int64)
    classes[order] = rounds.ravel()[: len(counts)]
    return classes


def cut_by_load(counts: np.ndarray, n: int, order: np.ndarray) -> np.ndarray:
    """A class below n for each row: the rows in this order, cut where counts are about equal."""
    before = np.cumsum(counts[order]) - counts[order]
    classes = np.empty(len(counts), np.int64)
    classes[order] = np.minimum(before * n // max(counts.sum(), 1), n - 1)
    return classes


def places(classes: np.ndarray, n: int) -> tuple[list[np.ndarray], np.ndarray]:
    """The rows of each class, and each row's place within its class (int32)."""
    rows = [np.flatnonzero(classes == each) for each in range(n)]
    place = np.empty(len(classes), np.int32)
    for of_class in rows:
        place[of_class] = np.arange(len(of_class))
    return rows, place


# ---- the simulation ----------------------------------------------------------------------------


class Packed:
    """Some rows of a side of a model, packed, as one worker holds them."""

    def __init__(self, arrays: tuple[list, list], rows: np.ndarray) -> None:
        self._arrays, self._rows = arrays, rows
        self._own = tuple([array[rows] for array in group] for group in arrays)
        self._packed = Parameters(*self._own)

    def side(self, features: Any = None) -> TrainedSide:
        return TrainedSide(*self._own, features=features, packed=self._packed)

    def write(self) -> None:
        """Put the rows back into the model's arrays."""
        self._packed.unpack(*self._own)
        for group, own in zip(self._arrays, self._own, strict=True):
            for array, values in zip(group, own, strict=True):
                array[self._rows] = values


class Cell:
    """The interactions of a worker's users with a block's items, by their places in both.

    `copies` of each item make the block as large as the catalogue: rows of one and the same
    feature, so that they are one item to the model. `mine` are the interactions of this round; the
    others are known, too.
    """

    def __init__(
        self,
        rows: np.ndarray,
        cols: np.ndarray,
        mine: np.ndarray,
        n_users: int,
        counts: np.ndarray,
        copies: int,
    ) -> None:
        self._rows, self._cols = rows[mine], cols[mine]
        n_items = len(counts)
        self._shape = n_users, n_items * copies
        self._known = _known(rows, cols, n_users, n_items, copies)
        self._counts = np.tile(counts, copies) if counts.any() else None
        self._features = None
        if copies > 1:
            self._features = (
                np.arange(n_items * copies + 1, dtype=np.int64),
                np.tile(np.arange(n_items, dtype=np.int32), copies),
                np.ones(n_items * copies, np.float32),
            )

    def training(self, users: Packed, items: Packed, schedule: str) -> Training:
        return Training(
            Examples(self._rows, self._cols, None, None, None, self._shape, None),
            users.side(),
            items.side(self._features),
            self._shape[1],
            schedule,
            known=self._known,
            item_counts=self._counts,
        )


def _known(
    rows: np.ndarray, cols: np.ndarray, n_users: int, n_items: int, copies: int
) -> tuple[np.ndarray, np.ndarray]:
    """The sorted items of each user, all copies of them, as `Training` takes them."""
    order = np.argsort(rows.astype(np.int64) * n_items + cols)
    rows, cols = rows[order], cols[order]
    numbers = np.bincount(rows, minlength=n_users)
    indptr = np.concatenate([[0], np.cumsum(numbers)])
    items = np.empty(len(rows) * copies, np.int32)
    for copy in range(copies):
        places = (copies - 1) * indptr[rows] + copy * numbers[rows] + np.arange(len(rows))
        items[places] = cols + copy * n_items
    return indptr * copies, items


def trained(
    matrix: sp.coo_matrix, settings: dict[str, Any], plan: Plan, workers: int, seed: int
) -> tuple[LightFM, float]:
    """A model after `EPOCHS` of rotation, and how long the busiest worker of a sub-epoch trains,
    in the measure of the mean."""
    model = LightFM(NO_COMPONENTS, random_state=seed, **settings).fit(matrix, epochs=0)
    checked = parameters.settings(model)
    arrays = {side: state.with_states(model, side, checked["learning_schedule"])
              for side in state.SIDES}  # fmt: skip
    rng = np.random.default_rng(seed)
    counts = np.bincount(matrix.col, minlength=matrix.shape[1]).astype(np.int64)
    shards = dealt(np.bincount(matrix.row, minlength=matrix.shape[0]), workers, rng)
    members, user_places = places(shards, workers)
    users = [Packed(arrays["user"], rows) for rows in members]
    busiest = []
    blocks = _cut(counts, plan, workers, rng)
    n_blocks = plan.blocks * workers
    copies = n_blocks if plan.counts_all and LOSSES_OF[checked["loss"]].draws_uniformly else 1
    for epoch in range(EPOCHS):
        n_passes = max(plan.passes, 0 if epoch else plan.first_passes)
        passes = rng.permutation(matrix.nnz) % n_passes
        for at in range(n_passes):
            if plan.redraw:
                blocks = _cut(counts, plan, workers, rng)
            of_block, item_places = places(blocks, n_blocks)
            items = [Packed(arrays["item"], rows) for rows in of_block]
            cells = {
                (worker, block): Cell(
                    user_places[matrix.row[those]],
                    item_places[matrix.col[those]],
                    passes[those] == at,
                    len(members[worker]),
                    counts[of_block[block]],
                    copies,
                )
                for worker, block, those in _cells(shards[matrix.row], blocks[matrix.col], n_blocks)
            }
            for step in range(n_blocks):
                done = [(epoch + (at + (step + i) / n_blocks) / n_passes) / EPOCHS for i in (0, 1)]
                took = np.zeros(workers)
                for worker in range(workers):
                    block = (worker * plan.blocks + step) % n_blocks
                    if (worker, block) not in cells:
                        continue
                    training = cells[worker, block].training(
                        users[worker], items[block], checked["learning_schedule"]
                    )
                    training.shuffle(int(rng.integers(2**63)), 1)
                    training.part(checked, 0, training.n_examples, *done)
                    training.settle()
                    took[worker] = training.n_examples
                busiest.append(took.max() * workers / max(took.sum(), 1))
            for block in items:
                block.write()
    for shard in users:
        shard.write()
    return model, float(np.mean(busiest))


def _cut(counts: np.ndarray, plan: Plan, workers: int, rng: np.random.Generator) -> np.ndarray:
    n = plan.blocks * workers
    if plan.cut == "popularity":
        return dealt(counts, n, rng)
    is_sorted = plan.cut == "sorted"
    return cut_by_load(
        counts, n, np.argsort(-counts) if is_sorted else rng.permutation(len(counts))
    )


def _cells(
    shards: np.ndarray, blocks: np.ndarray, n_blocks: int
) -> Iterator[tuple[int, int, np.ndarray]]:
    """(worker, block, the interactions) of each pair that has any."""
    keys = shards * n_blocks + blocks
    order = np.argsort(keys, kind="stable")
    found, begins = np.unique(keys[order], return_index=True)
    for key, at in zip(found, np.split(order, begins[1:]), strict=True):
        yield int(key // n_blocks), int(key % n_blocks), at


def on_one_machine(matrix: sp.coo_matrix, settings: dict[str, Any], seed: int) -> LightFM:
    model = LightFM(NO_COMPONENTS, random_state=seed, **settings)
    return model.fit(matrix, epochs=EPOCHS, num_threads=1)


# ---- runs --------------------------------------------------------------------------------------


def run(task: Task, loss: str, plan: Plan | None, workers: int, seed: int) -> dict[str, Any]:
    """One fit and its NDCG@10; without a plan, of one machine."""
    known = sp.coo_matrix(task.train.tocsr() + task.validation.tocsr())
    settings, busiest = LOSSES[task.name][loss], 1.0
    if plan is None:
        model = on_one_machine(known, settings, seed)
    else:
        model, busiest = trained(known, settings, plan, workers, seed)
    result = evaluate(model, task.test, known, metrics=("ndcg@10",), num_threads=1)
    return {
        "set": task.name,
        "loss": loss,
        "plan": "one machine" if plan is None else str(plan),
        "workers": workers,
        "seed": seed,
        "ndcg@10": round(float(result["ndcg@10"]), 5),
        "busiest": round(busiest, 3),
    }


KEY = ("set", "loss", "plan", "workers", "seed")


def load(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text()) if path.is_file() else []


def save(runs: list[dict[str, Any]], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    runs = sorted(runs, key=lambda each: tuple(each[name] for name in KEY))
    path.write_text("[\n" + ",\n".join(json.dumps(each) for each in runs) + "\n]\n")


def table(runs: list[dict[str, Any]]) -> str:
    """Means, and the difference from one machine in per cent with its standard error."""
    found: dict[tuple, list[dict[str, Any]]] = defaultdict(list)
    for each in runs:
        found[tuple(each[name] for name in KEY[:4])].append(each)
    rows = []
    for (data, loss, plan, workers), of in sorted(found.items()):
        base = found.get((data, loss, "one machine", 1))
        if not base:
            continue
        values, whole = (np.array([each["ndcg@10"] for each in some]) for some in (of, base))
        row = [data, loss, plan, workers, len(values), f"{values.mean():.4f}", "", ""]
        if plan != "one machine":
            row[6] = _difference(values, whole)
            row[7] = f"{np.mean([each['busiest'] for each in of]):.2f}"
        rows.append(row)
    columns = ["set", "loss", "plan", "workers", "seeds", "NDCG@10", "difference", "busiest"]
    return harness.markdown_table(columns, rows)


def _difference(values: np.ndarray, whole: np.ndarray) -> str:
    difference = 100 * (values.mean() / whole.mean() - 1)
    if min(len(values), len(whole)) < 2:
        return f"{difference:+.1f} %"
    error = np.sqrt(values.var(ddof=1) / len(values) + whole.var(ddof=1) / len(whole))
    return f"{difference:+.1f} ± {100 * error / whole.mean():.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", nargs="+", default=list(LOSSES), choices=LOSSES)
    parser.add_argument("--only", nargs="+", default=["WARP", "BPR", "softmax"], help="losses")
    parser.add_argument("--plans", nargs="+", default=["best"], choices=PLANS)
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 4, 8, 32])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--saved", type=Path, default=SAVED)
    parser.add_argument("--table", action="store_true", help="only print what is saved")
    given = parser.parse_args()
    runs = load(given.saved)
    done = {tuple(each[name] for name in KEY) for each in runs}
    wanted = [] if given.table else [task for task in tasks() if task.name in given.set]
    for seed in range(given.seeds):
        for task in wanted:
            for loss in given.only:
                plans = [
                    (PLANS[name], workers) for name in given.plans for workers in given.workers
                ]
                for plan, workers in [(None, 1), *plans]:
                    name = "one machine" if plan is None else str(plan)
                    if (task.name, loss, name, workers, seed) in done:
                        continue
                    runs.append(run(task, loss, plan, workers, seed))
                    print(*runs[-1].values(), sep="  ", flush=True)
                    save(runs, given.saved)
    print(table(runs))


if __name__ == "__main__":
    main()
