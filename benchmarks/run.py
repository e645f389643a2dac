"""Run the benchmarks: every row of the table of targets, and the measurements beside it.

    python benchmarks/run.py quick                 # two minutes: does everything run?
    python benchmarks/run.py daily                 # twenty minutes, 1M interactions
    python benchmarks/run.py full                  # 20M and 32M interactions
    python benchmarks/run.py daily --only ranking --only floor
    python benchmarks/run.py daily --rows "WARP d=64"   # prints, and writes nothing

The results are written to `benchmarks/results/SIZE/PART.json`, and from all that lie there,
`benchmarks/results/SIZE.md` with its plots. Run it in an environment that has this library and
`benchmarks/requirements.txt`, on a machine with nothing else to do.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import floor
import growth
import harness
import latency
import load
import losses
import plots
import preparation
import quality
import ranking
import recommender
import scale
import training
import updates
from models import peer_library
from threadpoolctl import threadpool_limits
from workloads import SIZES

PARTS = {
    "training": training.measure,
    "threads": training.measure_threads,
    "load": load.measure,
    "ranking": ranking.measure,
    "latency": latency.measure,
    "preparation": preparation.measure,
    "floor": floor.measure,
    "growth": growth.measure,
    "quality": quality.measure,
    "losses": losses.measure,
    "softmax": losses.measure_speed,
    "scale": scale.measure,
    "updates": updates.measure,
    "recommender": recommender.measure,
}


def main() -> None:
    summary, *_ = __doc__.splitlines()
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("--only", action="append", choices=PARTS, help="parts to run")
    parser.add_argument("--rows", help="rows to run, by a part of their name; writes no results")
    parser.add_argument("--results", type=Path, default=harness.RESULTS, help="where to write")
    parser.add_argument("--no-plots", action="store_true")
    given = parser.parse_args()
    size = SIZES[given.size]
    peer_library()

    facts = harness.machine()
    print(*(f"{name}: {fact}" for name, fact in facts.items()), sep="\n")
    folder = given.results / size.name
    start = time.perf_counter()
    for name in given.only or size.parts:
        print(f"\n{name}", flush=True)
        begun = time.perf_counter()
        # Other libraries are told a number of threads; BLAS would take all there are.
        with threadpool_limits(1, user_api="blas"):
            part = PARTS[name](size, lambda row: given.rows is None or given.rows in row)
        part.machine = facts
        print(f"({name} took {time.perf_counter() - begun:.0f} s)", flush=True)
        if given.rows is None:
            harness.save(part, folder)
            write_report(size.name, folder, with_plots=not given.no_plots)
    print(f"\nAll took {time.perf_counter() - start:.0f} s.")


def write_report(size: str, folder: Path, with_plots: bool) -> None:
    """The page and the plots of all parts whose results lie in the folder."""
    paths = [folder / f"{name}.json" for name in PARTS]
    parts = [harness.load(path) for path in paths if path.is_file()]
    images = {
        part.name: [f"{folder.name}/{image}" for image in plots.draw(part, folder)]
        for part in parts
        if with_plots
    }
    title = f"Benchmarks, {size} size"
    (folder.parent / f"{size}.md").write_text(harness.report(title, parts, images))


if __name__ == "__main__":
    main()
