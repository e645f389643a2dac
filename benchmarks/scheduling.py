"""What it costs threads to share an epoch: cache lines that travel between them, and CPU time.

The lines are counted with simulated threads that share the epoch of the product
(`scheduling.cpp`), so for more threads than the machine has, and alike on every machine.
"""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import harness
import numpy as np
import workloads
from harness import Part, Table
from workloads import Size

PROGRAM = Path(__file__).with_name("scheduling.cpp")
THREADS = (2, 8, 32, 64, 128)
BLOCK = 128  # examples of a block, on average, as in `_core.pyx`
SLOW = 4.0  # how many times as slow every eighth thread is in the second count
ROUNDS = 7
ROW_LINES = 8  # of 64 components with adagrad's state


class Scheduling:
    """The program, and an epoch's interactions for it."""

    def __init__(self, folder: str, users: int, items: int, pairs: np.ndarray) -> None:
        flags = ("-std=c++17", "-fopenmp", "-lstdc++")
        self._library = harness.compiled(PROGRAM, folder, "scheduling", *flags)
        self._library.cost.restype = ctypes.c_double
        self._library.count_moved.restype = ctypes.c_int64
        self._users, self._items = users, items
        self._pairs = np.ascontiguousarray(pairs, dtype=np.uint32)

    def moved(self, threads: int, slow: float = 1.0) -> tuple[int, np.ndarray]:
        """How many examples were given to threads; and for each, the lines of the scheduling, and
        the rows of users, positives and negatives, that travelled to another thread."""
        moved = np.zeros(4, dtype=np.int64)
        given = self._library.count_moved(
            _pointer(self._pairs),
            ctypes.c_int64(len(self._pairs)),
            ctypes.c_int32(self._users),
            ctypes.c_int32(self._items),
            *self._classes(threads),
            ctypes.c_int32(threads),
            ctypes.c_double(slow),
            _pointer(moved),
        )
        return given, moved / len(self._pairs)

    def cost(self, threads: int) -> tuple[float, float]:
        """CPU nanoseconds of an example, and CPU microseconds of an epoch without examples."""
        start = ctypes.c_double()
        nanoseconds = self._library.cost(
            _pointer(self._pairs),
            ctypes.c_int64(len(self._pairs)),
            *self._classes(threads),
            ctypes.c_int32(threads),
            ctypes.byref(start),
        )
        return nanoseconds, start.value

    def _classes(self, threads: int) -> tuple[ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64]:
        """The classes of items, dealt as the product deals them; how many; and the window."""
        popular = np.argsort(-np.bincount(self._pairs[:, 1], minlength=self._items))
        turn, at = np.divmod(np.arange(self._items), threads)
        self._dealt = np.empty(self._items, dtype=np.uint8)
        self._dealt[popular] = np.where(turn % 2 == 0, at, threads - 1 - at)
        return _pointer(self._dealt), ctypes.c_int32(threads), ctypes.c_int64(BLOCK * threads)


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)


def measure(size: Size, wanted: Callable[[str], bool]) -> Part:
    part = Part("scheduling", "Scheduling")
    matrix = workloads.sampled(
        workloads.interactions(size.users, size.items, size.interactions), size.examples
    )
    lines = Table(
        f"What travels between threads, for an example of {matrix.nnz:,}",
        [
            "threads",
            f"lines of the scheduling, for {BLOCK} examples",
            f"some threads {SLOW:g} times as slow",
            "rows of users",
            "of positives",
            "of BPR's negatives",
        ],
        [],
        [
            "Simulated threads, each on a CPU of its own, take turns by their clocks. A line "
            "travels to who reads it and has not got it, and to who writes it and is not the only "
            "one to have it. Beside the lines of the scheduling a block has one that says where it "
            "begins, and an example an eighth of one for its own words.",
            f"A row of 64 components with adagrad's state is {ROW_LINES} lines and its bias one "
            "more. Rows are counted as if nothing ever left a cache.",
        ],
    )
    costs = Table(
        "CPU time of giving examples to threads that do nothing",
        ["threads", "ns an example", "from", "to", "us an epoch besides"],
        [],
        [f"Medians and extremes of {ROUNDS} means of 20 epochs, on the CPUs of this machine."],
    )
    part.tables = [lines, costs]
    with tempfile.TemporaryDirectory() as folder:
        scheduling = Scheduling(
            folder, size.users, size.items, np.column_stack([matrix.row, matrix.col])
        )
        for threads in filter(lambda threads: wanted(f"{threads} threads"), THREADS):
            _, moved = scheduling.moved(threads)
            _, with_slow = scheduling.moved(threads, SLOW)
            lines.rows.append(
                [threads, *map(float, (BLOCK * moved[0], BLOCK * with_slow[0], *moved[1:]))]
            )
            found = [scheduling.cost(threads) for _ in range(ROUNDS)]
            times, starts = zip(*found, strict=True)
            costs.rows.append([threads, median(times), min(times), max(times), median(starts)])
            print(lines.rows[-1], costs.rows[-1], flush=True)
    return part
