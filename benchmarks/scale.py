"""A whole workflow in one process, at the size of MovieLens 32M: seconds and memory of each stage.

The process is one of its own, so that nothing else counts:

    python benchmarks/scale.py --users 200948 --items 84432 --interactions 32000000
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from harness import Part, Table
from workloads import Size

from lightfm_clone import LightFM
from lightfm_clone.cross_validation import random_train_test_split
from lightfm_clone.data import Dataset
from lightfm_clone.datasets import synthetic_catalogue
from lightfm_clone.evaluation import precision_at_k

NO_COMPONENTS, LEARNING_RATE, TEST_PERCENTAGE, TOP = 20, 0.25, 0.25, 10
ALLOWED = 24  # bytes per interaction in training, beside 3 x the model's arrays
MB = 1e6


# ---- time and memory of stages ----------------------------------------------------------------


def memory(kind: str) -> int:
    """Bytes of resident memory: VmRSS, that of now, or VmHWM, the most since `forget_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(kind):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status does not tell {kind}")


def forget_peak() -> None:
    """Start measuring VmHWM from now on, with what was freed given back to the system."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def costs_of(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """What a call returns, its seconds, and the most memory in MB that it took beside its data."""
    forget_peak()
    before, start = memory("VmRSS"), time.perf_counter()
    result = call()
    return result, time.perf_counter() - start, (memory("VmHWM") - before) / MB


class Stages:
    def __init__(self) -> None:
        self.stages: list[dict[str, Any]] = []

    @contextmanager
    def stage(self, name: str):
        forget_peak()
        before = memory("VmRSS")
        start, cpu = time.perf_counter(), time.process_time()
        yield
        took, cpu = time.perf_counter() - start, time.process_time() - cpu
        peak = memory("VmHWM")
        facts = {"name": name, "seconds": took, "cpu": cpu, "peak": peak, "growth": peak - before}
        self.stages.append(facts)
        print(
            f"  {name:<52} {took:8.2f} s, peak {peak / MB:8,.0f} MB, "
            f"{(peak - before) / MB:8,.0f} MB more",
            flush=True,
        )


# ---- the workflow -----------------------------------------------------------------------------


def ratings_like_movielens(users: int, items: int, n: int) -> np.ndarray:
    """(user id, item id, rating) in a float array, as read from ratings.csv; ids have gaps."""
    interactions = synthetic_catalogue(users, items, n, random_state=0).interactions
    rng = np.random.default_rng(0)
    item_ids = np.sort(rng.choice(np.arange(1, 3 * items + 1), items, replace=False))
    table = np.empty((n, 3))
    table[:, 0] = interactions.row + 1
    table[:, 1] = item_ids[interactions.col]
    table[:, 2] = rng.integers(1, 11, n) / 2
    return table


def workflow(
    users: int, items: int, n: int, epochs: int, asked: int, threads: int
) -> dict[str, Any]:
    clock = Stages()
    with clock.stage(f"(made {n:,} synthetic ratings)"):
        table = ratings_like_movielens(users, items, n)
    with clock.stage("Dataset.fit"):
        dataset = Dataset()
        dataset.fit(table[:, 0], table[:, 1])
    with clock.stage("build_interactions"):
        interactions, _ = dataset.build_interactions(table)
    with clock.stage(f"random_train_test_split, {TEST_PERCENTAGE:.0%} for the test"):
        train, test = random_train_test_split(
            interactions, TEST_PERCENTAGE, random_state=np.random.RandomState(0)
        )
    model = LightFM(NO_COMPONENTS, loss="warp", learning_rate=LEARNING_RATE, random_state=0)
    with clock.stage(f"fit, {epochs} epochs, {threads} threads"):
        model.fit(train, epochs=epochs, num_threads=threads)
    fit = clock.stages[-1]
    arrays = sum(array.nbytes for array in vars(model).values() if isinstance(array, np.ndarray))
    fit["per interaction"] = (fit["growth"] - 3 * arrays) / train.nnz
    print(f"  training: {fit['per interaction']:.1f} bytes an interaction beside 3 x the model")

    rng = np.random.default_rng(0)
    some = np.sort(rng.choice(interactions.shape[0], min(asked, interactions.shape[0]), False))
    with clock.stage("train and test as CSR"):
        known, wanted = train.tocsr(), test.tocsr()
    with clock.stage(f"recommend the top {TOP} to {len(some):,} users"):
        best, _ = model.recommend(some, k=TOP, exclude=known, num_threads=threads)
    with clock.stage(f"precision_at_k of {len(some):,} users"):
        chosen = sp.diags(np.isin(np.arange(interactions.shape[0]), some).astype(np.float32))
        precision = precision_at_k(
            model, chosen @ wanted, train_interactions=chosen @ known, k=TOP, num_threads=threads
        )
    # The two agree unless scores are tied. Only users with test items have a precision.
    hits = np.asarray(wanted[np.repeat(some, TOP), best.ravel()]).reshape(len(some), TOP)
    with_test = np.diff(wanted.indptr)[some] > 0
    return {
        "stages": clock.stages,
        "trained": train.nnz,
        "arrays": arrays,
        "precision": float(precision.mean()),
        "precision of the lists": float((hits[with_test] > 0).mean()),
    }


# ---- the part ---------------------------------------------------------------------------------


def measure(size: Size, wanted: Callable[[str], bool]) -> Part:
    users, items, n, epochs, asked = size.scale
    part = Part("scale", "A whole workflow in one process")
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "scale.json"
        numbers = {"users": users, "items": items, "interactions": n, "epochs": epochs}
        options = [f"--{name}={value}" for name, value in {**numbers, "asked": asked}.items()]
        command = [sys.executable, __file__, *options, f"--json={result}"]
        subprocess.run(command, check=True)
        found = json.loads(result.read_text())
    part.tables = [
        Table(
            f"{users:,} users x {items:,} items x {n:,} ratings, WARP of {NO_COMPONENTS} "
            f"components, learning rate {LEARNING_RATE}",
            ["stage", "seconds", "peak MB", "MB more than before"],
            [
                [each["name"], each["seconds"], each["peak"] / MB, each["growth"] / MB]
                for each in found["stages"]
            ],
            [
                f"precision@{TOP} of these users: {found['precision']:.4f}; of the lists: "
                f"{found['precision of the lists']:.4f}.",
                *(
                    f"Training took {each['per interaction']:.1f} bytes for each of "
                    f"{found['trained']:,} interactions beyond the caller's matrices and 3 x the "
                    f"model's arrays of {found['arrays'] / MB:.0f} MB (target: at most {ALLOWED})."
                    for each in found["stages"]
                    if "per interaction" in each
                ),
                "Peak: the most resident memory during the stage, all of the process included.",
            ],
        )
    ]
    return part


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=200_948)
    parser.add_argument("--items", type=int, default=84_432)
    parser.add_argument("--interactions", type=int, default=32_000_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--asked", type=int, default=10_000, help="users to recommend for")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", type=Path, help="where to write the results")
    given = parser.parse_args()
    outcome = workflow(
        given.users, given.items, given.interactions, given.epochs, given.asked, given.threads
    )
    print(f"  precision@{TOP} {outcome['precision']:.4f}")
    if given.json:
        given.json.write_text(json.dumps(outcome))
