"""One hyper-parameter at a time, all others as they are: what it is worth."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from harness import Part, Table
from losses import judged, tasks, trained
from workloads import Size

START: dict[str, dict[str, Any]] = {
    "warp": {
        "no_components": 32,
        "learning_rate": 0.05,
        "epochs": 10,
        "max_sampled": 10,
        "item_alpha": 0.0,
        "user_alpha": 0.0,
    },
    "softmax": {
        "no_components": 32,
        "learning_rate": 0.1,
        "epochs": 10,
        "temperature": 0.15,
        "n_negatives": 256,
    },
}
TRIED: dict[str, dict[str, tuple]] = {
    "warp": {
        "no_components": (8, 16, 64, 128),
        "learning_rate": (0.01, 0.02, 0.1, 0.2),
        "epochs": (3, 5, 20, 40),
        "max_sampled": (3, 30, 100),
        "item_alpha": (1e-6, 1e-5, 1e-4, 1e-3),
        "user_alpha": (1e-6, 1e-5, 1e-4, 1e-3),
    },
    "softmax": {
        "no_components": (8, 16, 64, 128),
        "learning_rate": (0.03, 0.05, 0.2, 0.4),
        "epochs": (3, 5, 20, 40),
        "temperature": (0.05, 0.1, 0.2, 0.3, 0.5),
        "n_negatives": (64, 1024),
    },
}
SEEDS = {"ML-1M": 1, "Last.fm": 3}


def measure(size: Size, wanted: Callable[[str], bool]) -> Part:
    part = Part("sweeps", "One hyper-parameter at a time")
    part.notes = [
        "On the validation parts of the tasks of the losses: NDCG@10 of ML-1M (one seed), NDCG@20 "
        "of Last.fm (means of three seeds). All else is as in the first row, or the default.",
    ]
    for task in tasks():
        if task.tags is not None:
            continue
        for loss, start in START.items():
            if not wanted(f"{task.name}, {loss}"):
                continue
            metric = task.metrics[0]
            table = Table(f"{task.name}, {loss}", ["changed", "to", metric], [])
            part.tables.append(table)
            changes: list[tuple[str, Any]] = [("nothing", "")]
            changes += [(name, value) for name, of in TRIED[loss].items() for value in of]
            for name, value in changes:
                settings = start if name == "nothing" else start | {name: value}
                found = []
                for seed in range(SEEDS[task.name]):
                    model = trained(task, loss, settings, task.train, seed)
                    found.append(judged(task, model, task.train, task.validation)[metric])
                table.rows.append([name, f"{value}", f"{statistics.mean(found):.4f}"])
                print(task.name, loss, *table.rows[-1], sep="  ", flush=True)
    return part
