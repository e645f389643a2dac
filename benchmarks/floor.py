"""Distance to the machine: time per example beside what its memory traffic costs by itself.

The floor of a loss is measured, not computed: the rows that the loss reads and updates, example by
example, are written down as a trace, and a small C program (`floor.c`) serves this trace as fast as
the memory can: it asks for rows 16 or 64 accesses ahead, whatever is faster, and does no work but
touching them. The trace holds the rows of embeddings and their optimiser state alone; a kernel also
reads the examples, looks up known items and, where no_components is a multiple of 16, keeps biases
elsewhere.
"""

from __future__ import annotations

import ctypes
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import harness
import numpy as np
import scipy.sparse as sp
import workloads
from harness import Part, Table, interleaved
from models import State
from training import Case, prepared
from workloads import Size

from lightfm_clone import LightFM

LOSSES = ("warp", "bpr", "logistic")
DIMENSIONS = (10, 64, 128)
MAX_SAMPLED = 10  # LightFM's default
BLOCK = 10_000  # examples simulated at a time
AHEAD = (16, 64)  # accesses that rows are asked for in advance
ROUNDS = 3
READ_ONLY = np.uint32(0x80000000)
SOURCE = Path(__file__).with_suffix(".c")


# ---- what a loss touches ----------------------------------------------------------------------


def warp_tries(
    state: State, matrix: sp.coo_matrix, users: np.ndarray, items: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The search for a violation by WARP's law, for the examples (users, items).

    Returns the negatives drawn [n, MAX_SAMPLED], the number tried [n], and whether the last of
    them was a violation [n].
    """
    rng = np.random.default_rng(seed)
    n_items = matrix.shape[1]
    known = np.unique(matrix.row.astype(np.int64) * n_items + matrix.col)
    drawn = rng.integers(n_items, size=(len(users), MAX_SAMPLED), dtype=np.int32)
    violates = np.empty(drawn.shape, dtype=bool)
    vectors, biases = state["item_embeddings"], state["item_biases"]
    for start in range(0, len(users), BLOCK):
        part = slice(start, start + BLOCK)
        of_user = state["user_embeddings"][users[part]]
        positive = np.einsum("nd,nd->n", of_user, vectors[items[part]]) + biases[items[part]]
        scores = np.einsum("nd,nsd->ns", of_user, vectors[drawn[part]]) + biases[drawn[part]]
        violates[part] = scores > positive[:, None] - 1
    pairs = users[:, None].astype(np.int64) * n_items + drawn
    wrong = pairs[violates]
    violates[violates] = known[np.searchsorted(known, wrong).clip(max=len(known) - 1)] != wrong
    found = violates.any(axis=1)
    return drawn, np.where(found, violates.argmax(axis=1) + 1, MAX_SAMPLED), found


def trace(
    loss: str, state: State, matrix: sp.coo_matrix, n: int
) -> tuple[np.ndarray, float | None]:
    """The rows that `n` examples touch, users' before items', and WARP's mean number of tries."""
    examples = workloads.sampled(matrix, n)
    users, items = examples.row, examples.col
    own = [users, items + matrix.shape[0]]
    if loss == "logistic":
        return np.stack(own, axis=1).ravel().astype(np.uint32), None
    if loss == "bpr":
        drawn = np.random.default_rng(0).choice(matrix.col, len(users))
        rows = np.stack([*own, drawn + matrix.shape[0]], axis=1)
        return rows.ravel().astype(np.uint32), None
    drawn, tries, found = warp_tries(state, matrix, users, items)
    rows = np.column_stack([*own, drawn + matrix.shape[0]]).astype(np.uint32)
    # Negatives are read only, except a violation; without one, so are the user and the positive.
    place = np.arange(-1, MAX_SAMPLED + 1)
    updated = found[:, None] & ((place < 1) | (place == tries[:, None]))
    return (rows | np.where(updated, 0, READ_ONLY))[place <= tries[:, None]], float(tries.mean())


# ---- how fast it is served --------------------------------------------------------------------


def compiled(no_components: int, folder: str) -> ctypes.CDLL:
    """`floor.c` for rows of this length, which is rounded up to cache lines."""
    lines = -(-no_components // 16)
    # Sums may be reordered; -ffast-math as a whole would also switch off subnormal numbers for
    # the process that loads the library.
    reordered = ["-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math"]
    return harness.compiled(SOURCE, folder, f"floor{lines}", *reordered, f"-DLINES={lines}")


def served(library: ctypes.CDLL, rows: np.ndarray, n_rows: int) -> float:
    """Seconds that a trace takes on a table of `n_rows` rows, at best."""
    rows = np.ascontiguousarray(rows, dtype=np.uint32)
    fastest = []
    for ahead in AHEAD:
        times = (ctypes.c_double * ROUNDS)()
        failed = library.serve(
            rows.ctypes.data_as(ctypes.POINTER(ctypes.c_uint32)),
            ctypes.c_int64(len(rows)),
            ctypes.c_int64(n_rows),
            ctypes.c_int32(ahead),
            ctypes.c_int32(ROUNDS),
            times,
        )
        if failed:
            raise MemoryError(f"no memory for a table of {n_rows} rows")
        fastest.append(min(times))
    return min(fastest)


# ---- the part ---------------------------------------------------------------------------------


def measure(size: Size, wanted: Callable[[str], bool]) -> Part:
    part = Part("floor", "Distance to the machine, 1 thread")
    part.notes = [
        "The floor is the time in which this machine serves the rows that the examples touch, "
        f"and nothing else; measured on a table of {size.users + size.items:,} rows. Rows of "
        "examples follow the popularity of the data, WARP's negatives are uniform, and their "
        "number is that of WARP's law on the model as it is after 5 epochs.",
    ]
    losses = Table(
        "Time per example over its floor",
        ["loss", "no_components", "tries", "floor ns", "ours ns", "ours / floor"],
        [],
    )
    bandwidth = Table(
        "Random rows, uniformly drawn",
        ["no_components", "bytes a row", "read ns", "read GB/s", "update ns", "update GB/s"],
        [],
        ["Read: the values, half of a row. Update: values and state, read and written; the bytes "
         "are counted both ways."],
    )  # fmt: skip
    n_rows, n = size.users + size.items, min(size.examples, 200_000)
    matrix = workloads.interactions(size.users, size.items, size.interactions)
    uniform = np.random.default_rng(0).integers(n_rows, size=4 * n).astype(np.uint32)
    with tempfile.TemporaryDirectory() as folder:
        for no_components in DIMENSIONS:
            library = compiled(no_components, folder)
            of_row = 8 * (-(-no_components // 16) * 16)
            read, update = (
                1e9 * served(library, rows, n_rows) / len(rows)
                for rows in (uniform | READ_ONLY, uniform)
            )
            bandwidth.rows.append(
                [no_components, of_row, read, of_row / 2 / read, update, 2 * of_row / update]
            )
            for loss in LOSSES:
                case = Case(f"{loss} d={no_components}", 0, 0, loss, no_components)
                if not wanted(case.name):
                    continue
                epoch = prepared(case, size)
                rows, tries = trace(loss, epoch.state, matrix, n)
                sides = {
                    "floor": lambda rows=rows, library=library: (
                        1e9 * served(library, rows, n_rows) / n
                    ),
                    "ours": partial(epoch.nanoseconds, LightFM),
                }
                floor, ours = map(statistics.median, interleaved(sides, size.rounds).values())
                shown = "" if tries is None else tries
                losses.rows.append([loss, no_components, shown, floor, ours, ours / floor])
                print(
                    f"{case.name:<20} floor {floor:6.1f}, ours {ours:6.1f} ns/example: "
                    f"{ours / floor:.2f} x the floor",
                    flush=True,
                )
    part.tables = [losses, bandwidth]
    return part
