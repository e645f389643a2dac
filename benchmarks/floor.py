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
from functools import cache
from pathlib import Path

import harness
import numpy as np
import scipy.sparse as sp
import workloads
from harness import Table
from models import State

LOSSES = ("warp", "bpr", "logistic")
MAX_SAMPLED = 10  # LightFM's default
BLOCK = 10_000  # examples simulated at a time
AHEAD = (16, 64)  # accesses that rows are asked for in advance
ROUNDS = 3
EXAMPLES = 200_000  # of a trace, at most
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


@cache
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


class Floor:
    """The floor of a loss on a state: what `n` of its examples cost in memory traffic alone.

    `tries` is the mean number of negatives that WARP draws for an example, None of other losses.
    """

    def __init__(self, loss: str, state: State, matrix: sp.coo_matrix, folder: str) -> None:
        no_components = state["item_embeddings"].shape[1]
        self._library, self._n_rows = compiled(no_components, folder), sum(matrix.shape)
        self._n = min(matrix.nnz, EXAMPLES)
        self._rows, self.tries = trace(loss, state, matrix, self._n)

    def nanoseconds(self) -> float:
        """Time per example on one thread."""
        return 1e9 * served(self._library, self._rows, self._n_rows) / self._n


def random_rows() -> Table:
    """What a row costs that is drawn uniformly, to be filled by `add_random_row`."""
    return Table(
        "Random rows, uniformly drawn",
        ["no_components", "bytes a row", "read ns", "read GB/s", "update ns", "update GB/s"],
        [],
        ["Read: the values, half of a row. Update: values and state, read and written; the bytes "
         "are counted both ways."],
    )  # fmt: skip


def add_random_row(table: Table, no_components: int, n_rows: int, folder: str) -> None:
    """Measure rows of this length, in a table of `n_rows`, unless the table has them already."""
    if no_components in (row[0] for row in table.rows):
        return
    library = compiled(no_components, folder)
    drawn = np.random.default_rng(0).integers(n_rows, size=4 * EXAMPLES).astype(np.uint32)
    read, update = (
        1e9 * served(library, rows, n_rows) / len(rows) for rows in (drawn | READ_ONLY, drawn)
    )
    of_row = 8 * (-(-no_components // 16) * 16)
    table.rows.append([no_components, of_row, read, of_row / 2 / read, update, 2 * of_row / update])
