"""A fit on a cluster of Dask beside one in one process with as many cores: seconds, bytes, memory.

Workers are processes of this machine with one thread each, so what they send each other goes
through the loopback device. The epochs of both sides take turns.
"""

from __future__ import annotations

import statistics
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
    matrix = workloads.interactions(users, items, n)
    part = Part("cluster", f"{n:,} interactions of {users:,} users with {items:,} items")
    settings = {"loss": "warp", "learning_rate": LEARNING_RATE}
    with tempfile.TemporaryDirectory() as folder:
        write_parquet(matrix, folder)
        rows = []
        if selected("overhead"):
            rows.append(_overhead(matrix, folder, epochs, size.rounds, settings))
        runs = [_run(folder, n_workers, epochs, settings) for n_workers in (1, 2, 4, 8)]
    part.tables += [
        Table(
            "Two workers with one thread each over one process with two threads",
            ["an epoch", "threads, s", "workers, s", "ratio of medians", "of each round"],
            rows,
        ),
        Table(
            f"WARP, d={NO_COMPONENTS}, one thread a worker, two cores, read from Parquet",
            [
                "workers",
                "first epoch, s",
                "later ones, s",
                "a merge, s",
                "MB sent a merge",
                "MB kept a step",
                "reading and dealing, s",
                "the fit, s",
                "peak of a worker, MB",
                "of the client, MB",
            ],
            runs,
        ),
    ]
    return part


def _overhead(
    matrix: sp.coo_matrix, folder: str, epochs: int, rounds: int, settings: dict[str, Any]
) -> list[Any]:
    """Epochs after the first one, which has many merges, in turns."""
    costs: dict[str, list[float]] = {"threads": [], "workers": []}
    with cluster(2) as client:
        for _ in range(rounds):
            model = LightFM(NO_COMPONENTS, random_state=0, **settings)
            model.fit(matrix, epochs=epochs, num_threads=2)
            costs["threads"].append(_later(model))
            costs["workers"].append(_later(fit(client, folder, epochs, **settings)[0]))
    ratios = [ours / one for one, ours in zip(costs["threads"], costs["workers"], strict=True)]
    threads, workers = (statistics.median(costs[side]) for side in ("threads", "workers"))
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    return [epochs, f"{threads:.2f}", f"{workers:.2f}", f"{workers / threads:.2f}", spread]


def _later(model: Any) -> float:
    """Seconds of an epoch, the mean over all of them, the first one with its merges included."""
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
