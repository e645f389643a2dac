"""A fit on a cluster of Dask beside one in one process with as many cores: seconds, bytes, memory.

Workers are processes of this machine with one thread each, so what they send each other goes
through the loopback device. The epochs of both sides take turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import workloads
from harness import Part, Table
from scale import MB, memory
from workloads import Size

from lightfm_clone import LightFM

NO_COMPONENTS, LEARNING_RATE = 32, 0.05
N_FILES = 16


@contextmanager
def cluster(n_workers: int) -> Iterator[Any]:
    """The client of so many processes with one thread each."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None) as made,
        Client(made) as client,
    ):
        yield client


def write_parquet(matrix: sp.coo_matrix, folder: str) -> None:
    """The interactions as files, in their order."""
    table = pd.DataFrame({"user": matrix.row, "item": matrix.col})
    for number, part in enumerate(np.array_split(np.arange(matrix.nnz), N_FILES)):
        table.iloc[part].to_parquet(Path(folder) / f"{number:02}.parquet")


class Steps:
    """What the steps of a fit cost, by phase, as its driver hears from the hosts."""

    def __init__(self) -> None:
        self.seconds: list[dict[str, float]] = []  # of the slowest host
        self.n_bytes: list[dict[str, int]] = []  # sent by all hosts

    @contextmanager
    def watched(self) -> Iterator[Steps]:
        from lightfm_clone.dask.driver import Drive

        step = Drive.step

        def watch(drive: Any, *arguments: Any) -> Any:
            totals = step(drive, *arguments)
            phases = drive.dones[0].seconds
            self.seconds.append(
                {phase: max(done.seconds[phase] for done in drive.dones) for phase in phases}
            )
            kinds = drive.dones[0].n_bytes
            self.n_bytes.append(
                {kind: sum(done.n_bytes[kind] for done in drive.dones) for kind in kinds}
            )
            return totals

        Drive.step = watch  # type: ignore[method-assign]
        try:
            yield self
        finally:
            Drive.step = step  # type: ignore[method-assign]


def peak(dask_worker: Any = None) -> int:
    """The most memory of a process, in bytes."""
    return memory("VmHWM")


def fit(client: Any, given: Any, epochs: int, **settings: Any) -> tuple[Any, Steps, float]:
    """A fit on a cluster: the model, its steps, and the seconds of all of it."""
    from lightfm_clone.dask import DaskLightFM

    model = DaskLightFM(NO_COMPONENTS, random_state=0, client=client, **settings)
    steps = Steps()
    begin = time.perf_counter()
    with steps.watched():
        model.fit(given, epochs=epochs)
    return model, steps, time.perf_counter() - begin


def measure(size: Size, selected: Callable[[str], bool]) -> Part:
    """Overhead of workers over threads; a merge, an epoch and a fit for 1, 2, 4 and 8 workers."""
    users, items, n, epochs = size.cluster
    part = Part("cluster", "Fits on a cluster of Dask, beside one process")
    if not selected("cluster"):
        return part
    # In a process of its own: its workers begin with what it has imported.
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [sys.executable, __file__, "--json", file.name, "--rounds", str(size.rounds)]
        command += ["--users", str(users), "--items", str(items)]
        command += ["--interactions", str(n), "--epochs", str(epochs)]
        subprocess.run(command, check=True)
        found = json.loads(Path(file.name).read_text())
    part.tables += [
        Table(
            f"{n:,} interactions: two workers of one thread over one process of two threads",
            ["epochs", "threads, s an epoch", "workers, s", "ratio of medians", "of each round"],
            [found["overhead"]],
            [
                f"WARP, d={NO_COMPONENTS}; the mean of a fit's epochs, merges of the first "
                "one included; in turns."
            ],
        ),
        Table(
            f"{n:,} interactions, read from Parquet, one thread a worker, on this machine",
            [
                "workers",
                "first epoch, s",
                "later ones, s",
                "a merge, s",
                "MB sent a merge",
                "MB kept a step",
                "reading, dealing and the rest, s",
                "the fit, s",
                "peak of a worker, MB",
                "of the client, MB",
            ],
            found["runs"],
            ["Sent are bytes of all workers together; on one machine they go through memory."],
        ),
    ]
    return part


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    for name, default in (("users", 60_000), ("items", 30_000), ("interactions", 1_000_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4, 8])
    given = parser.parse_args()
    matrix = workloads.interactions(given.users, given.items, given.interactions)
    settings = {"loss": "warp", "learning_rate": LEARNING_RATE}
    with tempfile.TemporaryDirectory() as folder:
        write_parquet(matrix, folder)
        found = {"overhead": _overhead(matrix, folder, given.epochs, given.rounds, settings)}
        print(found["overhead"], flush=True)
        found["runs"] = []
        for n_workers in given.workers:
            found["runs"].append(_run(folder, n_workers, given.epochs, settings))
            print(found["runs"][-1], flush=True)
    if given.json:
        given.json.write_text(json.dumps(found))


def _overhead(
    matrix: sp.coo_matrix, folder: str, epochs: int, rounds: int, settings: dict[str, Any]
) -> list[Any]:
    """Seconds of an epoch on either side, in turns."""
    costs: dict[str, list[float]] = {"threads": [], "workers": []}
    with cluster(2) as client:
        for _ in range(rounds):
            model = LightFM(NO_COMPONENTS, random_state=0, **settings)
            model.fit(matrix, epochs=epochs, num_threads=2)
            costs["threads"].append(_mean_epoch(model))
            costs["workers"].append(_mean_epoch(fit(client, folder, epochs, **settings)[0]))
    ratios = [ours / one for one, ours in zip(costs["threads"], costs["workers"], strict=True)]
    threads, workers = (statistics.median(costs[side]) for side in ("threads", "workers"))
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    return [epochs, f"{threads:.2f}", f"{workers:.2f}", f"{workers / threads:.2f}", spread]


def _mean_epoch(model: Any) -> float:
    """Seconds of an epoch, the mean over all of them."""
    return statistics.mean(record["seconds"] for record in model.history_)


def _run(folder: str, n_workers: int, epochs: int, settings: dict[str, Any]) -> list[Any]:
    with cluster(n_workers) as client:
        model, steps, took = fit(client, folder, epochs, **settings)
        first, *later = (record["seconds"] for record in model.history_)
        peaks = client.run(peak).values()
        merges = [each["merge"] for each in steps.seconds]
        return [
            n_workers,
            f"{first:.2f}",
            f"{statistics.median(later):.2f}",
            f"{statistics.median(merges):.3f}",
            f"{statistics.median(each['parts'] + each['rows'] for each in steps.n_bytes) / MB:.1f}",
            f"{statistics.median(each['keep'] for each in steps.n_bytes) / MB:.1f}",
            f"{took - first - sum(later):.1f}",
            f"{took:.1f}",
            f"{max(peaks) / MB:,.0f}",
            f"{peak() / MB:,.0f}",
        ]


if __name__ == "__main__":
    main()
