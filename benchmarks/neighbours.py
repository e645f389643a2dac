"""What item neighbours cost: fits by the size of the data, lists with them beside factors."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial

import scipy.sparse as sp
import workloads
from harness import Part, Table, interleaved, seconds
from scale import costs_of
from workloads import Size

from lightfm_clone import ItemNeighbours, LightFM, WithNeighbours

THREADS = (1, 2)
NO_COMPONENTS = 64
TOP = 10
MOST = 1.5  # times as long as lists of factors alone
ML_1M = "MovieLens 1M"
# Users, items, interactions, and the most seconds that two threads may take.
SHAPES = ((100_000, 41_000, 1_000_000, 15.0), (200_948, 84_432, 32_000_000, 300.0))
MOST_OF_ML_1M = 3.0


def measure(size: Size, wanted: Callable[[str], bool]) -> Part:
    part = Part("neighbours", "Neighbours")
    part.notes = [
        "`ItemNeighbours().fit` with its defaults: the ridge on 100 neighbours. MB is the most "
        "memory that it took beside the interactions.",
        f"Lists: `recommend` of the {TOP} best items that a user does not know, d={NO_COMPONENTS}, "
        f"all users in one call, by a `LightFM` alone and with neighbours beside it; medians of "
        f"{size.rounds} interleaved rounds.",
    ]
    fits = Table("Fits", ["data", "threads", "s", "at most s, 2 threads", "MB"], [])
    lists = Table("Lists", ["data", "threads", "alone us", "with us", "ratio", "at most"], [])
    part.tables = [fits, lists]
    if wanted(ML_1M):
        ratings = workloads.movielens("ML-1M")
        if ratings is None:
            part.skip(ML_1M, workloads.NO_DATA)
        else:
            data = sp.coo_matrix(ratings[0] + ratings[1])
            fits.rows += [_fit(ML_1M, data, MOST_OF_ML_1M, threads) for threads in THREADS]
    for users, items, n, most in SHAPES[: 2 if size.name == "full" else 1]:
        row = f"{users:,} x {items:,} x {n:,}"
        if wanted(row):
            data = workloads.interactions(users, items, n)
            fits.rows += [_fit(row, data, most, threads) for threads in THREADS]
    users, items, n = size.lists
    row = f"lists, {users:,} x {items:,} x {n:,}"
    if wanted(row):
        data = workloads.interactions(users, items, n)
        model = LightFM(NO_COMPONENTS, loss="softmax", random_state=0)
        both = WithNeighbours(model).fit(data, epochs=2, num_threads=THREADS[-1])
        known = data.tocsr()
        for threads in THREADS:
            ask = {"k": TOP, "exclude": known, "num_threads": threads}
            sides = {
                name: partial(seconds, one.recommend, **ask)
                for name, one in (("alone", model), ("with", both))
            }
            times = interleaved(sides, size.rounds)
            alone, together = (1e6 * statistics.median(times[name]) / users for name in sides)
            lists.rows.append([row, threads, alone, together, together / alone, MOST])
            print("   ", *lists.rows[-1], flush=True)
    return part


def _fit(name: str, data: sp.coo_matrix, most: float, threads: int) -> list[object]:
    _, took, megabytes = costs_of(partial(ItemNeighbours().fit, data, num_threads=threads))
    row = [name, threads, took, most, megabytes]
    print("   ", *row, flush=True)
    return row
