"""Run the benchmarks: every row of the table of targets, and the measurements beside it.

    python benchmarks/run.py quick                 # three minutes: does everything run?
    python benchmarks/run.py daily                 # half an hour, 1M interactions
    python benchmarks/run.py full                  # 20M and 32M interactions
    python benchmarks/run.py daily --only ranking --only floor
    python benchmarks/run.py daily --rows "WARP d=64"   # prints, and writes nothing

The results are written to `benchmarks/results/SIZE/PROCESSOR/PART.json`, so that the last ones of
each processor are kept, and from all that lie there, the pages (`pages.py`). Run it in an
environment that has this library and `benchmarks/requirements.txt`, on a machine with nothing else
to do.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import ablation
import clickstream
import cluster
import few
import growth
import harness
import latency
import load
import losses
import neighbours
import pages
import preparation
import quality
import ranking
import recommender
import scale
import scheduling
import server
import sweeps
import training
import updates
from models import peer_library
from threadpoolctl import threadpool_limits
from workloads import SIZES

PARTS = {
    "training": training.measure,
    "threads": training.measure_threads,
    "load": load.measure,
    "scheduling": scheduling.measure,
    "ranking": ranking.measure,
    "latency": latency.measure,
    "preparation": preparation.measure,
    "floor": training.measure_floor,
    "growth": growth.measure,
    "quality": quality.measure,
    "losses": losses.measure,
    "ablation": ablation.measure,
    "few": few.measure,
    "sweeps": sweeps.measure,
    "neighbours": neighbours.measure,
    "softmax": losses.measure_speed,
    "scale": scale.measure,
    "updates": updates.measure,
    "recommender": recommender.measure,
    "server": server.measure,
    "clickstream": clickstream.measure,
    "cluster": cluster.measure,
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
    own = folder / pages.processor(facts)
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
            harness.save(part, own)
            pages.write(folder, with_plots=not given.no_plots)
    print(f"\nAll took {time.perf_counter() - start:.0f} s.")


if __name__ == "__main__":
    main()
