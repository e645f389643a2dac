"""A fit on a cluster of Dask beside one in one process with as many cores: seconds, bytes, memory.

Workers are processes of this machine with one thread each, so what they send each other goes
through memory that both see. Fits of both sides take turns.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import workloads
from harness import Part, Table
from scale import MB, memory
from workloads import Size

from lightfm_clone import LightFM
from lightfm_clone._model import parameters

NO_COMPONENTS, LEARNING_RATE = 64, 0.05
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


def write_parquet(users: int, items: int, n: int, folder: str) -> None:
    """The interactions as files, in their order."""
    matrix = workloads.interactions(users, items, n)
    table = pd.DataFrame({"user": matrix.row, "item": matrix.col})
    for number, part in enumerate(np.array_split(np.arange(matrix.nnz), N_FILES)):
        table.iloc[part].to_parquet(Path(folder) / f"{number:02}.parquet")


class Steps:
    """What the steps of a fit cost, as its driver hears from the hosts."""

    def __init__(self) -> None:
        self.training: list[float] = []  # seconds of the slowest host
        self.after: list[float] = []  # from there on until the last one is done
        self.n_bytes: list[dict[str, int]] = []  # sent by all hosts

    @contextmanager
    def watched(self) -> Iterator[Steps]:
        from lightfm_clone.dask.driver import Drive

        step = Drive.step

        def watch(drive: Any, *arguments: Any) -> Any:
            totals = step(drive, *arguments)
            training = max(done.seconds["train"] for done in drive.dones)
            self.training.append(training)
            self.after.append(max(sum(done.seconds.values()) for done in drive.dones) - training)
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
            ["seconds of", "threads", "workers", "ratio of medians", "of each round"],
            found["overhead"],
            [f"WARP, d={NO_COMPONENTS}; means over the epochs of a fit; fits in turns."],
        ),
        Table(
            f"{n:,} interactions, read from Parquet, one thread a worker, on this machine",
            [
                "workers",
                "first epoch, s",
                "later ones, s",
                "their training",
                "merges of the first",
                "of the last",
                "a merge, ms",
                "MB sent a merge",
                "MB kept a step",
                "reading, dealing and the rest, s",
                "the fit, s",
                "peak of a worker, MB",
                "of the client, MB",
            ],
            found["runs"],
            [
                "A merge is all that comes after the slowest worker's training of a slice. "
                "Sent are bytes of all workers together; on one machine they go through memory."
            ],
        ),
        Table(
            "The same by arithmetic (scale_model.py), over what was measured above",
            ["workers", "training, a later epoch", "a merge", "a later epoch", "MB sent a merge"],
            found["model"],
            [
                "Ratios; 1 is agreement. The constants were measured after these runs. Beyond "
                "two workers, two cores are shared."
            ],
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
    import scale_model  # it needs Dask, without which the other parts can be run

    shape = given.users, given.items, given.interactions
    settings = {"loss": "warp", "learning_rate": LEARNING_RATE}
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own, so that the client's memory is that of a client.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as another:
            another.submit(write_parquet, *shape, folder).result()
        runs = []
        for n_workers in given.workers:
            runs.append(Run.of(folder, n_workers, given.epochs, settings))
            print(runs[-1], flush=True)
        constants = scale_model.measured()
        print(constants, flush=True)
        found = {
            "runs": [run.row() for run in runs],
            "model": [run.beside(constants, *shape) for run in runs],
            "overhead": _overhead(shape, folder, given.epochs, given.rounds, settings),
        }
        print(*found.values(), sep="\n")
    if given.json:
        given.json.write_text(json.dumps(found))


def _overhead(
    shape: tuple[int, int, int], folder: str, epochs: int, rounds: int, settings: dict[str, Any]
) -> list[list[Any]]:
    """Seconds of epochs on either side, in turns."""
    matrix = workloads.interactions(*shape)
    costs: dict[str, list[list[float]]] = {"threads": [], "workers": []}
    with cluster(2) as client:
        for _ in range(rounds):
            model = LightFM(NO_COMPONENTS, random_state=0, **settings)
            model.fit(matrix, epochs=epochs, num_threads=2)
            costs["threads"].append(_seconds(model))
            costs["workers"].append(_seconds(fit(client, folder, epochs, **settings)[0]))
    return [
        _compared("the first epoch", costs, slice(0, 1)),
        _compared("a later one", costs, slice(1, None)),
        _compared(f"an epoch of {epochs}", costs, slice(None)),
    ]


def _seconds(model: Any) -> list[float]:
    return [record["seconds"] for record in model.history_]


def _compared(name: str, costs: dict[str, list[list[float]]], epochs: slice) -> list[Any]:
    threads, workers = (
        [statistics.mean(seconds[epochs]) for seconds in costs[side]]
        for side in ("threads", "workers")
    )
    ratios = [ours / one for one, ours in zip(threads, workers, strict=True)]
    of_threads, of_workers = statistics.median(threads), statistics.median(workers)
    return [
        name,
        f"{of_threads:.2f}",
        f"{of_workers:.2f}",
        f"{of_workers / of_threads:.2f}",
        f"{min(ratios):.2f} to {max(ratios):.2f}",
    ]


@dataclass
class Run:
    """A fit on a cluster."""

    n_workers: int
    seconds: list[float]  # of each epoch
    n_merges: list[int]
    training: float  # of a later epoch: the slowest workers', summed over its slices
    merge: float
    sent: float  # bytes a merge
    kept: float
    took: float
    peaks: tuple[int, int]  # of a worker, of the client

    @classmethod
    def of(cls, folder: str, n_workers: int, epochs: int, settings: dict[str, Any]) -> Run:
        from lightfm_clone.dask.merging import slices

        with cluster(n_workers) as client:
            model, steps, took = fit(client, folder, epochs, **settings)
            peaks = max(client.run(peak).values()), peak()
        n_merges = [
            len(slices(parameters.settings(model), epoch, n_workers)) for epoch in range(epochs)
        ]
        return cls(
            n_workers,
            _seconds(model),
            n_merges,
            sum(steps.training[n_merges[0] :]) / (epochs - 1),
            statistics.median(steps.after),
            statistics.median(each["parts"] + each["rows"] for each in steps.n_bytes),
            statistics.median(each["keep"] for each in steps.n_bytes),
            took,
            peaks,
        )

    @property
    def later(self) -> float:
        """Seconds of a later epoch."""
        return statistics.mean(self.seconds[1:])

    def row(self) -> list[Any]:
        of_worker, of_client = self.peaks
        return [
            self.n_workers,
            f"{self.seconds[0]:.2f}",
            f"{self.later:.2f}",
            f"{self.training:.2f}",
            self.n_merges[0],
            self.n_merges[-1],
            f"{1000 * self.merge:.0f}",
            f"{self.sent / MB:.1f}",
            f"{self.kept / MB:.1f}",
            f"{self.took - sum(self.seconds):.1f}",
            f"{self.took:.1f}",
            f"{of_worker / MB:,.0f}",
            f"{of_client / MB:,.0f}",
        ]

    def beside(self, constants: Any, users: int, items: int, interactions: int) -> list[Any]:
        """By how many times the model is off.

        Beyond as many workers as cores they share these. What they send each other goes through
        memory, by the hand of a core.
        """
        import scale_model

        n_merges = statistics.mean(self.n_merges[1:])
        n, cores = self.n_workers, len(os.sched_getaffinity(0))
        share = min(cores / n, 1.0)
        link = 8e-9 * constants.parcel * share
        table = scale_model.model(
            constants, users, items, interactions, NO_COMPONENTS, n, share, link, 1,
            busy=min(n, cores),
        )  # fmt: skip
        merge = [phase for name, phase in table.items() if name.startswith("a merge")]
        training = table["an epoch: training"].seconds
        a_merge = sum(phase.seconds for phase in merge)
        among = (table["a merge: reduce-scatter"], table["a merge: all-gather"]) if n > 1 else ()
        sent = n * sum(phase.sent for phase in among)
        return [
            n,
            f"{training / self.training:.2f}",
            f"{a_merge / self.merge:.2f}",
            f"{(training + n_merges * a_merge) / self.later:.2f}",
            f"{sent / self.sent:.2f}" if n > 1 else "",
        ]


if __name__ == "__main__":
    main()
