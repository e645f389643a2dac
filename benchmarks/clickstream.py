"""A clickstream of millions of events: seconds and memory of each stage.

The process is one of its own, so that nothing else counts:

    python benchmarks/clickstream.py --events 32000000
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from harness import Part, Table
from scale import MB, Stages
from workloads import Size

from lightfm_clone.clickstream import Clickstream
from lightfm_clone.datasets import synthetic_clickstream

A_PERSON = 80  # events of the synthetic log in 90 days
PEOPLE = 20_000  # of the log that is drawn; others are the same people again, at other times
AT_MOST = 60.0  # seconds for 32 million events
ROLES = {
    "user": "user",
    "item": "item",
    "timestamp": "timestamp",
    "watched": "watched",
    "length": "length",
}


def events_of(n: int, n_items: int) -> pa.Table:
    """So many plays in no order, with numbers as ids, as a log of Parquet files has them."""
    drawn = synthetic_clickstream(min(PEOPLE, max(n // A_PERSON, 20)), n_items, n_machines=0)
    log = drawn.events
    there = np.flatnonzero(
        [a is not None and b is not None for a, b in zip(log["user"], log["item"], strict=True)]
    )
    numbers = [
        np.unique(log[name][there].astype(str), return_inverse=True) for name in ("user", "item")
    ]
    (users, people), (_, items) = numbers
    random = np.random.default_rng(0)
    rows = random.permutation(n)
    copy, row = rows // len(there), there[rows % len(there)]
    of = rows % len(there)
    del rows
    columns: dict[str, Any] = {"user": (copy * len(users) + people[of]).astype(np.int32)}
    columns["item"] = items[of].astype(np.int32)
    columns["timestamp"] = log["timestamp"][row] + 60_000 * copy
    columns["watched"] = log["watched"][row].astype(np.float32)
    columns["length"] = log["length"][row].astype(np.float32)
    return pa.table(columns)


def workflow(n: int, n_items: int) -> dict[str, Any]:
    clock = Stages()
    with clock.stage(f"(made {n:,} synthetic events)"):
        table = events_of(n, n_items)
    with clock.stage("read and put into order"):
        stream = Clickstream(table, **ROLES)
    with clock.stage("clean"):
        stream = stream.clean()
    for name in ("sessions", "people", "items", "transitions", "paths"):
        with clock.stage(name):
            made = getattr(stream, name)()
        del made
    counts = stream.n_events, stream.n_people, stream.n_items, stream.n_sessions
    with clock.stage("(to_frame: all events as a table)"):
        stream.to_frame()
    return {"stages": clock.stages, "counts": counts, "table": table.nbytes}


def measure(size: Size, wanted: Callable[[str], bool]) -> Part:
    part = Part("clickstream", "Clickstream: from events to sessions, people, items and paths")
    n, n_items = size.clicks
    if wanted("clickstream"):
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            command = [sys.executable, __file__, "--json", file.name]
            subprocess.run([*command, "--events", str(n), "--items", str(n_items)], check=True)
            found = json.loads(Path(file.name).read_text())
        part.tables.append(_table(n, found))
    return part


def _table(n: int, found: dict[str, Any]) -> Table:
    stages = [stage for stage in found["stages"] if not stage["name"].startswith("(")]
    rows = [[s["name"], s["seconds"], s["cpu"], s["peak"] / MB] for s in found["stages"]]
    total = [sum(stage[what] for stage in stages) for what in ("seconds", "cpu")]
    peak = max(stage["peak"] for stage in stages) / MB
    rows.append(["all but what is in brackets", *total, peak])
    events, people, items, sessions = found["counts"]
    return Table(
        f"{n:,} events",
        ["stage", "s", "CPU s", "peak MB"],
        rows,
        [
            f"{events:,} events of {people:,} people and {items:,} items in {sessions:,} sessions; "
            f"the table of events takes {found['table'] / MB:,.0f} MB, and all peaks hold it.",
            f"32 million events should take less than {AT_MOST:.0f} s of an idle CPU, which is the "
            "CPU s, as all but the first stage runs on one.",
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=32_000_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print(f"{os.cpu_count()} CPUs")
    found = workflow(given.events, given.items)
    if given.json is not None:
        given.json.write_text(json.dumps(found))
    table = _table(given.events, found)
    print(*table.notes, *table.rows[-1:], sep="\n")


if __name__ == "__main__":
    main()
