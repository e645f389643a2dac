"""The `Recommender`: from tables to a model and to lists, with the stages; what one list costs.

Each way from a file to a model is a process of its own, so that its peak of memory is its own:

    python benchmarks/recommender.py make ratings.parquet --interactions 32000000
    python benchmarks/recommender.py recommender ratings.parquet --epochs 2
    python benchmarks/recommender.py arrays ratings.parquet --epochs 2
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import Part, Table, interleaved
from scale import MB, forget_peak, memory, ratings_like_movielens
from workloads import Size

from lightfm_clone import LightFM, Recommender
from lightfm_clone.data import Dataset, bins, sources, split
from lightfm_clone.datasets import synthetic_shop
from lightfm_clone.recommender import events as events_of
from lightfm_clone.recommender import fitting

COMPONENTS, EPOCHS = 32, 2  # of the model of ratings
MOST_TIME, MOST_BYTES = 1.15, 40  # of the arrays' time; an interaction, beside table and 3 x model
SHOP_COMPONENTS, SHOP_EPOCHS, SHOP_SECONDS = 64, 10, 10.0
REQUEST_COMPONENTS, REQUEST_MS, REQUESTS = 64, 2.0, 500
REPEATED = 0.002  # of the ratings: rated again
FEW = 1_000_000  # ratings; with fewer, what does not depend on their number counts
MS = 1e3


def measure(size: Size, wanted: Callable[[str], bool]) -> Part:
    part = Part("recommender", "Recommender: from tables to lists")
    threads = min(2, os.cpu_count() or 1)
    rows = {"ratings": _measure_ratings, "shop": _measure_shop, "requests": _measure_requests}
    with tempfile.TemporaryDirectory() as folder:
        for row, measured in rows.items():
            if wanted(row):
                table = measured(size, threads, Path(folder))
                part.tables.append(table)
                print(table.title, *table.rows, *table.notes, sep="\n  ", flush=True)
    return part


def _in_a_process(*arguments: object) -> Any:
    """What a fresh process of this file finds."""
    with tempfile.NamedTemporaryFile(suffix=".json") as found:
        command = [sys.executable, __file__, *map(str, arguments), f"--json={found.name}"]
        subprocess.run(command, check=True)
        return json.load(found)


# ---- from a file of ratings to a model -----------------------------------------------------------


def write_ratings(path: Path, users: int, items: int, n: int) -> None:
    """Ratings like MovieLens's as a Parquet file, in the order of time, a few of them repeated."""
    import pyarrow as pa
    import pyarrow.parquet

    ratings = ratings_like_movielens(users, items, n)
    rng = np.random.default_rng(1)
    again = rng.choice(n, int(REPEATED * n), replace=False)
    ratings[again] = ratings[rng.permutation(again)]
    columns = {
        "userId": ratings[:, 0].astype(np.int64),
        "movieId": ratings[:, 1].astype(np.int64),
        "rating": ratings[:, 2],
        "timestamp": 1_000_000_000 + np.sort(rng.integers(600_000_000, size=n)),
    }
    pyarrow.parquet.write_table(pa.table(columns), path)


class Stages:
    """Time and memory from the beginning of one stage to that of the next."""

    def __init__(self) -> None:
        # Imported once, so that no stage has its time and memory.
        import narwhals.stable.v2  # noqa: F401
        import pyarrow.compute
        import pyarrow.dataset
        import pyarrow.parquet  # noqa: F401

        forget_peak()
        self.stages: list[dict[str, Any]] = []
        self._before = memory("VmRSS")
        self._name, self._start, self._cpu = "", 0.0, 0.0

    def begin(self, name: str) -> None:
        """End the stage that runs, and begin another one."""
        took, cpu = time.perf_counter() - self._start, time.process_time() - self._cpu
        if self._name:
            peak = memory("VmHWM") - self._before
            self.stages.append({"name": self._name, "seconds": took, "cpu": cpu, "peak": peak})
            Path("/proc/self/clear_refs").write_text("5")
        self._name, self._start, self._cpu = name, time.perf_counter(), time.process_time()

    def begin_with(self, owner: Any, function: str, name: str) -> None:
        """Let a stage begin where a function is called."""
        called = getattr(owner, function)

        @functools.wraps(called)
        def begins(*args: Any, **named: Any) -> Any:
            self.begin(name)
            return called(*args, **named)

        setattr(owner, function, begins)

    def found(self, model: LightFM, n: int, n_columns: int) -> dict[str, Any]:
        self.begin("")
        arrays = sum(each.nbytes for each in vars(model).values() if isinstance(each, np.ndarray))
        total: dict[str, Any] = {"name": "all"}
        total |= {of: sum(stage[of] for stage in self.stages) for of in ("seconds", "cpu")}
        total["peak"] = max(stage["peak"] for stage in self.stages)
        beside = (total["peak"] - 3 * arrays) / n - 8 * n_columns
        return {"stages": [*self.stages, total], "model": arrays, "beside": beside}


def _model() -> LightFM:
    return LightFM(COMPONENTS, loss="warp", negatives="seen", random_state=0)


def by_recommender(
    path: Path, epochs: int, threads: int, timestamp: str | None = None
) -> dict[str, Any]:
    """From the file to a model, by a `Recommender`."""
    clock = Stages()
    for owner, function, name in (
        (sources, "read", "read the file"),
        (events_of, "read", "ids to codes, times, what counts"),
        (Dataset, "fit_partial", "numbering"),
        (events_of, "pairs", "interactions"),
        (fitting, "settle", "features"),
        (fitting, "_report", "report"),
        (fitting, "train", "training"),
    ):
        clock.begin_with(owner, function, name)
    shop = Recommender(_model()).fit(
        path,
        user="userId",
        item="movieId",
        timestamp=timestamp,
        epochs=epochs,
        num_threads=threads,
        verbose=False,
    )
    return clock.found(shop.model_, shop.report_.n_rows, 2 + (timestamp is not None))


def by_arrays(path: Path, epochs: int, threads: int) -> dict[str, Any]:
    """From the file to a model, by `Dataset` and `LightFM` on arrays."""
    import pyarrow.parquet

    clock = Stages()
    clock.begin("read the file")
    table = pyarrow.parquet.read_table(path, columns=["userId", "movieId"])
    users, items = (column.to_numpy() for column in table.columns)
    n = len(users)
    del table
    clock.begin("numbering")
    dataset = Dataset()
    dataset.fit(users, items)
    clock.begin("interactions")
    interactions, _ = dataset.build_interactions(np.column_stack([users, items]))
    del users, items
    clock.begin("training")
    model = _model().fit(interactions, epochs=epochs, num_threads=threads)
    return clock.found(model, n, 2)


WAYS: dict[str, Callable[..., dict[str, Any]]] = {
    "arrays": by_arrays,
    "recommender": by_recommender,
    "with-times": functools.partial(by_recommender, timestamp="timestamp"),
}


def _measure_ratings(size: Size, threads: int, folder: Path) -> Table:
    users, items, n = size.ratings
    path = folder / "ratings.parquet"
    _in_a_process("make", path, f"--users={users}", f"--items={items}", f"--interactions={n}")
    options = f"--epochs={EPOCHS}", f"--threads={threads}"
    calls = {way: functools.partial(_in_a_process, way, path, *options) for way in WAYS}
    runs: Any = interleaved(calls, size.slow_rounds)
    path.unlink()

    names: dict[str, None] = {}
    for found in runs["with-times"]:
        names |= dict.fromkeys(stage["name"] for stage in found["stages"])
    of = {way: {name: _medians(found, name) for name in names} for way, found in runs.items()}
    rows = [[name, *(value for way in WAYS for value in of[way][name].values())] for name in names]
    notes = [
        f"Of {users:,} users and {items:,} items; {EPOCHS} epochs of WARP with {COMPONENTS} "
        f"components, {threads} threads. Medians of interleaved rounds: {size.slow_rounds}; each "
        "is a process of its own. With times, a pair of several events goes by the latest one.",
        "MB: the most resident memory during a stage, beyond that of before, when all is imported. "
        f"Load average of the machine {os.getloadavg()[0]:.1f}.",
    ]
    for way in ("recommender", "with-times"):
        ratios = [of[way]["all"][what] / of["arrays"]["all"][what] for what in ("s", "CPU s")]
        beside = statistics.median(found["beside"] for found in runs[way])
        verdict = "reached" if ratios[0] <= MOST_TIME and beside <= MOST_BYTES else "NOT REACHED"
        if n < FEW:
            verdict = "too few ratings to tell"
        notes.append(
            f"{way}: {ratios[0]:.2f} times the arrays' time ({ratios[1]:.2f} of the CPU's; at most "
            f"{MOST_TIME}), and {beside:.1f} bytes an interaction beside the columns that are read "
            f"and 3 x the model (at most {MOST_BYTES}): {verdict}."
        )
    columns = [f"{way}: {what}" for way in WAYS for what in ("s", "CPU s", "MB")]
    return Table(
        f"From a Parquet file of {n:,} ratings to a model", ["stage", *columns], rows, notes
    )


def _medians(runs: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Seconds, CPU seconds and MB of a stage, medians of all runs; empty where there is none."""
    stages = [each for run in runs for each in run["stages"] if each["name"] == name]
    if not stages:
        return {"s": "", "CPU s": "", "MB": ""}
    of = {
        what: statistics.median(each[what] for each in stages)
        for what in ("seconds", "cpu", "peak")
    }
    return {"s": of["seconds"], "CPU s": of["cpu"], "MB": of["peak"] / MB}


# ---- the shop ------------------------------------------------------------------------------------


def by_shop(users: int, items: int, n: int, threads: int) -> dict[str, Any]:
    """From the tables of a shop to lists of everybody."""
    events, visitors, products = synthetic_shop(users, items, n, random_state=0).to_frames()
    clock = Stages()
    clock.begin("tables to matrices, report")
    clock.begin_with(fitting, "train", "training")
    shop = Recommender(LightFM(SHOP_COMPONENTS, loss="softmax", random_state=0)).fit(
        events,
        user="visitorid",
        item="itemid",
        timestamp="timestamp",
        event="event",
        event_weights={"view": 1, "addtocart": 4, "transaction": 10},
        users=visitors,
        items=products,
        columns={
            "tags": split("|"),
            "price": bins(5),
            "age": bins([25, 35, 45, 55, 65]),
            "signup_date": "year",
            "title": None,
        },
        epochs=SHOP_EPOCHS,
        num_threads=threads,
        verbose=False,
    )
    clock.begin("lists of everybody")
    lists = shop.recommend(k=10, num_threads=threads)
    return {**clock.found(shop.model_, n, 0), "rows": len(lists)}


def _measure_shop(size: Size, threads: int, folder: Path) -> Table:
    users, items, n = size.shop
    shape = f"--users={users}", f"--items={items}", f"--interactions={n}"
    runs = [
        _in_a_process("shop", folder, *shape, f"--threads={threads}")
        for _ in range(size.slow_rounds)
    ]
    rows = [[stage["name"], *_medians(runs, stage["name"]).values()] for stage in runs[0]["stages"]]
    verdict = "reached" if rows[-1][1] < SHOP_SECONDS else "NOT REACHED"
    return Table(
        f"A shop of {users:,} visitors, {items:,} products and {n:,} events, tables to top 10",
        ["stage", "s", "CPU s", "MB"],
        rows,
        [
            f"{SHOP_EPOCHS} epochs of softmax with {SHOP_COMPONENTS} components, tables of "
            f"visitors and products, weights of events, {threads} threads; {runs[0]['rows']:,} "
            f"rows of lists. Medians of {size.slow_rounds} processes; load average of the machine "
            f"{os.getloadavg()[0]:.1f}. All in less than {SHOP_SECONDS:g} seconds on two cores: "
            f"{verdict}.",
        ],
    )


# ---- one list ------------------------------------------------------------------------------------


def requests(path: Path) -> dict[str, dict[str, float]]:
    """Milliseconds of single requests to a recommender from a file, in this process."""
    shop = Recommender.load(path, mmap=True)
    rng = np.random.default_rng(1)
    users = rng.choice(shop.user_ids_, REQUESTS).tolist()
    items = rng.choice(shop.item_ids_, (REQUESTS, 5)).tolist()
    asked: dict[str, list[dict[str, Any]]] = {
        "known": [{"users": user} for user in users],
        "known, at most 3 a brand": [{"users": user, "at_most": {"brand": 3}} for user in users],
        "a stranger's row": [
            {"users": {"country": "c", "age": 20 + k % 50}} for k in range(REQUESTS)
        ],
        "a history of 5": [{"history": [some]} for some in items],
    }
    found = {}
    for name, calls in asked.items():
        shop.recommend(**calls[0], num_threads=1)  # packs what is packed once
        walls, cpus = [], []
        for call in calls:
            start, cpu = time.perf_counter(), time.process_time()
            shop.recommend(**call, num_threads=1)
            walls.append(MS * (time.perf_counter() - start))
            cpus.append(MS * (time.process_time() - cpu))
        found[name] = {
            "median": statistics.median(walls),
            "fastest tenth": float(np.quantile(walls, 0.1)),
            "CPU": statistics.median(cpus),
        }
    return found


def _measure_requests(size: Size, threads: int, folder: Path) -> Table:
    import pandas as pd

    users, items, n = size.requests
    rng = np.random.default_rng(0)
    events = pd.DataFrame(
        {
            "user": (users * rng.random(n) ** 2).astype(int),
            "item": (items * rng.random(n) ** 2).astype(int),
        }
    )
    people = pd.DataFrame(
        {
            "user": np.arange(users),
            "country": rng.choice(list("abcdefgh"), users),
            "age": rng.integers(18, 80, users),
        }
    )
    goods = pd.DataFrame(
        {
            "item": np.arange(items),
            "brand": rng.integers(500, size=items).astype(str),
            "price": rng.random(items),
        }
    )
    shop = Recommender(LightFM(REQUEST_COMPONENTS, loss="softmax", random_state=0))
    path = folder / "shop.rec"
    shop.fit(
        events,
        user="user",
        item="item",
        users=people,
        items=goods,
        epochs=1,
        num_threads=threads,
        verbose=False,
    ).save(path)
    found = _in_a_process("requests", path)
    path.unlink()
    verdict = "reached" if found["known"]["median"] < REQUEST_MS else "NOT REACHED"
    return Table(
        f"One list of one visitor from a loaded file, {items:,} items, milliseconds",
        ["request", *found["known"]],
        [[name, *each.values()] for name, each in found.items()],
        [
            f"`recommend` with k=10 and {REQUEST_COMPONENTS} components, from a file that is "
            f"mapped, in a fresh process, 1 thread, tables out of pandas; medians of {REQUESTS} "
            f"calls. One list of somebody known in less than {REQUEST_MS:g} ms: {verdict}. A "
            "history trains a vector, 20 passes over it.",
        ],
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["make", *WAYS, "shop", "requests"])
    parser.add_argument("path", type=Path)
    parser.add_argument("--users", type=int, default=200_948)
    parser.add_argument("--items", type=int, default=84_432)
    parser.add_argument("--interactions", type=int, default=32_000_000)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", type=Path, help="where to write what was found")
    given = parser.parse_args()
    outcome: Any = None
    if given.what == "make":
        write_ratings(given.path, given.users, given.items, given.interactions)
    elif given.what == "shop":
        outcome = by_shop(given.users, given.items, given.interactions, given.threads)
    elif given.what == "requests":
        outcome = requests(given.path)
    else:
        outcome = WAYS[given.what](given.path, given.epochs, given.threads)
    if given.json:
        given.json.write_text(json.dumps(outcome))
    elif outcome is not None:
        print(json.dumps(outcome, indent=1))
