"""What a fit on many workers takes, by arithmetic: seconds, bytes sent, bytes held.

    python benchmarks/scale_model.py --measure     # the constants of this machine, two minutes
    python benchmarks/scale_model.py               # tables for 100M users and 10G interactions

`model` multiplies constants, which were measured on one core, by what a worker has to do. It takes
cores to be alike and to slow each other down by `sharing`, and workers to have equal shares; what
latency and stragglers add is not in it.
"""

from __future__ import annotations

import argparse
import io
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import harness
import numpy as np

from lightfm_clone import LightFM
from lightfm_clone._model import parameters, state
from lightfm_clone._model.examples import check_examples
from lightfm_clone._model.training import TrainedSide, Training
from lightfm_clone.datasets import synthetic_catalogue

SAVED = harness.RESULTS / "scale" / "constants.json"
LOSSES = ("warp", "bpr", "softmax")
D = 64
FLOAT = 4
PAIR = 8  # bytes of an interaction on its way: two int32
ENTRY = 16  # bytes of an interaction in a fit: its words, and those of the epoch's order
KNOWN = 4 + 13 / 8  # bytes of a known item: its number, and its bits of the filter
TOP = 10


@dataclass(frozen=True)
class Constants:
    """What one core of a machine takes, at d=64.

    `example_ns` are of WARP, BPR and softmax, after two epochs, with rows beyond the caches.
    """

    example_ns: dict[str, float]
    sharing: float  # time of an example where two cores are busy, over that where one is
    read_ns: float  # a row of two int64 columns of Parquet
    number_ns: float  # an id to a number
    prepare_ns: float  # an interaction packed, and its item found among the user's
    hand_out_ns: float  # a float of the arrays, out of the packed rows
    take_in_ns: float  # and back
    contribute_ns: float  # a float of the values to what a worker adds
    add_ns: float  # a float added to the sum of the workers before
    merge_ns: float  # a float of the values merged
    score_ns: float  # an item scored for a user's list, of all items
    loopback: float  # bytes a second through a socket of this machine


class Phase(NamedTuple):
    """What a worker does in one phase, once."""

    seconds: float
    sent: float = 0.0  # bytes, and as many received
    held: float = 0.0  # bytes kept from here on


# ---- the model ---------------------------------------------------------------------------------


def model(
    constants: Constants,
    users: int,
    items: int,
    interactions: int,
    d: int,
    workers: int,
    cores: int,
    gbit: float,
    merges: int,
    loss: str = "warp",
) -> dict[str, Phase]:
    """Seconds and bytes of each phase, for one worker.

    Parameters
    ----------
    constants : Constants
    users, items, interactions : int
        Of the whole.
    d : int
        Components. Times of an example and a score go by d / 64.
    workers : int
    cores : int
        Of a worker.
    gbit : float
        Gbit/s that a worker sends, and at the same time receives.
    merges : int
        Merges an epoch.
    loss : {"warp", "bpr", "softmax"}
        The softmax has sgd, whose rows have no state; the others have adagrad.

    Returns
    -------
    dict of str to Phase
        A phase's name tells how often it comes: in a fit, an epoch, a merge, a sub-epoch. "an
        epoch" and "a round" sum up what makes them.
    """
    c, link = constants, gbit * 1e9 / 8
    sheets = 1 if loss == "softmax" else 2  # values and states
    own, entries = users / workers, interactions / workers
    others = (workers - 1) / workers
    busy = 1e-9 * (c.sharing if cores > 1 else 1.0) / cores  # seconds of a nanosecond's work
    sheet = d + 1  # floats of a row
    shared, mine = items * sheet, own * sheet
    packed = 1.05  # a packed row over its arrays: cache lines, the bias's place
    example = c.example_ns[loss] * d / D

    train = Phase(entries * example * busy)
    hand_over = sheets * shared * (c.hand_out_ns + c.take_in_ns) * busy
    scatter = sheets * shared * FLOAT * others
    gather = scatter
    merging = shared * (c.contribute_ns + others * c.add_ns + c.merge_ns / workers)
    keep = sheets * mine * FLOAT if workers > 1 else 0.0
    merge_steps = {
        "a merge: rows handed out and taken in": Phase(hand_over),
        "a merge: contributions, sums, rule": Phase(merging * busy if workers > 1 else 0.0),
        "a merge: reduce-scatter": Phase(scatter / link, scatter),
        "a merge: all-gather": Phase(gather / link, gather),
        "a merge: user rows to a keeper": Phase(keep / link, keep),
    }
    block = sheets * shared / workers  # floats
    sub_epoch = Phase(block * FLOAT / link * (workers > 1), block * FLOAT * (workers > 1))
    regroup = Phase(entries * c.prepare_ns * busy)
    users_held = sheets * mine * FLOAT * (1 + packed)
    entries_held = entries * (ENTRY + KNOWN)
    sheets_held = sheets * shared * FLOAT
    table = {
        "a fit: Parquet read": Phase(entries * c.read_ns * busy),
        "a fit: ids to numbers": Phase(2 * entries * c.number_ns * busy),
        "a fit: interactions to their user's worker": Phase(
            entries * PAIR * others / link, entries * PAIR * others
        ),
        "a fit: packed, known items": Phase(entries * c.prepare_ns * busy, held=entries_held),
        "a fit: user rows, and a copy of another's": Phase(0.0, held=users_held + keep),
        # Packed rows, arrays, and the rows before the slice; in a merge the contribution besides.
        "a fit: item rows of every worker": Phase(
            0.0, held=sheets_held * (packed + 1 + (2 if workers > 1 else 0))
        ),
        "an epoch: training": train,
        **merge_steps,
        "an epoch": _sum(train, *merges * [*merge_steps.values()]),
        "rotation, a round: grouped by block": regroup,
        "rotation, a sub-epoch: a block to the next worker": sub_epoch,
        # Two blocks, one of them on its way.
        "rotation, a fit: item rows": Phase(0.0, held=2 * block * FLOAT * (1 + packed)),
        "rotation, a round": _sum(train, regroup, *workers * [sub_epoch]),
        f"lists of {TOP} for all users": Phase(own * items * c.score_ns * d / D * busy),
    }
    return table


def _sum(*phases: Phase) -> Phase:
    return Phase(sum(each.seconds for each in phases), sum(each.sent for each in phases))


def held(table: dict[str, Phase], *, rotates: bool) -> float:
    """Bytes that a worker holds at most."""
    left_out = "a fit: item rows of every worker" if rotates else "rotation, a fit: item rows"
    return sum(phase.held for name, phase in table.items() if name != left_out)


# ---- the constants -----------------------------------------------------------------------------


def measured(
    users: int = 500_000, items: int = 200_000, interactions: int = 3_000_000
) -> Constants:
    """The constants of this machine. Time on a CPU, so that other processes cost little."""
    catalogue = synthetic_catalogue(users, items, interactions, random_state=0).interactions
    example_ns = {}
    for loss in LOSSES:
        training, settings = _training(catalogue, loss)
        n = training.n_examples // (8 if loss == "softmax" else 1) // 512 * 512
        for _ in range(2 if loss != "softmax" else 1):
            training.shuffle(1, 1)
            training.part(settings, 0, training.n_examples)
        training.shuffle(2, 1)
        training.part(settings, 0, 512)  # makes the order
        example_ns[loss] = _ns(lambda: training.part(settings, 512, n), n - 512)
        if loss == "warp":
            floats = 2 * (users + items) * (D + 1)
            hand_out_ns = _best(training.write, floats)
            take_in_ns = _best(training.read, floats)
            training.shuffle(3, 1)
            one = harness.seconds(training.part, settings, 0, training.n_examples)
            training.shuffle(3, 2)
            two = 2 * harness.seconds(training.part, settings, 0, training.n_examples)
    contribute_ns, add_ns, merge_ns = _merging(items)
    return Constants(
        example_ns=example_ns,
        sharing=max(two / one, 1.0),
        read_ns=_reading(interactions),
        number_ns=_numbering(interactions, users),
        prepare_ns=_preparing(catalogue),
        hand_out_ns=hand_out_ns,
        take_in_ns=take_in_ns,
        contribute_ns=contribute_ns,
        add_ns=add_ns,
        merge_ns=merge_ns,
        score_ns=_scoring(items),
        loopback=_loopback(),
    )


def _ns(call: Callable[[], Any], n: float) -> float:
    start = time.process_time()
    call()
    return 1e9 * (time.process_time() - start) / n


def _best(call: Callable[[], Any], n: float, rounds: int = 3) -> float:
    return min(_ns(call, n) for _ in range(rounds))


def _training(interactions: Any, loss: str) -> tuple[Training, dict[str, Any]]:
    fresh = LightFM(D, loss=loss, random_state=0).fit(interactions, epochs=0)
    settings = parameters.settings(fresh)
    schedule = settings["learning_schedule"]
    users, items = (
        TrainedSide(*state.with_states(fresh, side, schedule)) for side in ("user", "item")
    )
    examples = check_examples(interactions, None, parameters.loss_of(fresh))
    return Training(examples, users, items, interactions.shape[1], schedule), settings


def _preparing(interactions: Any) -> float:
    """Packing, and the known items, which the first part of one example asks for."""
    training, settings = _training(interactions, "warp")
    start = time.process_time()
    again = Training(
        training.examples, *training._sides, training.n_items, settings["learning_schedule"]
    )
    again._interactions.known()
    both = time.process_time() - start
    start = time.process_time()
    again.read()
    rows = time.process_time() - start
    return 1e9 * (both - rows) / training.n_examples


def _merging(rows: int, workers: int = 2) -> tuple[float, float, float]:
    from lightfm_clone.dask.merging import Merging

    rng = np.random.default_rng(0)
    merging = Merging(parameters.settings(LightFM(D, loss="warp")))
    before = [rng.random((rows, D + 1), np.float32) + 1 for _ in range(2)]
    after = [sheet + rng.random(sheet.shape, np.float32) for sheet in before]
    sums = merging.contribution(before, after)
    other = [each.copy() for each in sums]

    def add() -> None:
        for whole, each in zip(sums, other, strict=True):
            np.add(whole, each, out=whole)

    n = rows * (D + 1)
    return (
        _best(lambda: merging.contribution(before, after), n),
        _best(add, n),
        _best(lambda: merging.merge(before, sums), n),
    )


def _reading(rows: int) -> float:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    file = io.BytesIO()
    columns = {name: rng.integers(1 << 40, size=rows) for name in ("user", "item")}
    pq.write_table(pa.table(columns), file)

    def read() -> None:
        file.seek(0)
        pq.read_table(file, use_threads=False)

    return _best(read, rows)


def _numbering(rows: int, different: int) -> float:
    import pandas as pd

    ids = np.random.default_rng(0).integers(different, size=rows) << 20
    return _best(lambda: pd.factorize(ids), rows)


def _scoring(items: int, users: int = 500) -> float:
    rng = np.random.default_rng(0)
    fresh = LightFM(D, loss="warp", random_state=0)
    import scipy.sparse as sp

    fresh.fit(sp.coo_matrix((users, items), dtype=np.float32), epochs=0)
    for name in ("user_embeddings", "item_embeddings"):
        setattr(fresh, name, rng.normal(size=getattr(fresh, name).shape).astype(np.float32))
    return _best(lambda: fresh.recommend(np.arange(users), TOP, num_threads=1), users * items)


def _loopback(size: int = 1 << 28) -> float:
    """Wall clock: sender and receiver are two threads, which wait for the system most of the
    time."""
    data, buffer = bytearray(size), bytearray(size)
    speeds = []
    for _ in range(3):
        with socket.create_server(("127.0.0.1", 0)) as server:
            with socket.create_connection(server.getsockname()) as sender:
                receiver, _ = server.accept()
                sending = threading.Thread(target=sender.sendall, args=(data,))
                start = time.perf_counter()
                sending.start()
                view, got = memoryview(buffer), 0
                while got < size:
                    got += receiver.recv_into(view[got:])
                speeds.append(size / (time.perf_counter() - start))
                sending.join()
                receiver.close()
    return max(speeds)


# ---- the tables --------------------------------------------------------------------------------


def saved(path: Path = SAVED) -> Constants:
    return Constants(**json.loads(path.read_text())["constants"])


def markdown(tables: dict[str, dict[str, Phase]]) -> str:
    """Phases down, cases across: seconds, and GB sent where there are any; then GB held."""
    first, *_ = tables.values()
    rows: list[list[Any]] = []
    for name in first:
        cells = []
        for table in tables.values():
            phase = table[name]
            parts = [f"{harness.number(phase.seconds)} s"] * (phase.seconds > 0)
            parts += [f"{harness.number(phase.sent / 1e9)} GB sent"] * (phase.sent > 0)
            parts += [f"{harness.number(phase.held / 1e9)} GB held"] * (phase.held > 0)
            cells.append(", ".join(parts) or "0")
        rows.append([name, *cells])
    for name, rotates in (("memory, all items held", False), ("memory, rotating", True)):
        cells = [f"{harness.number(held(table, rotates=rotates) / 1e9)} GB"
                 for table in tables.values()]  # fmt: skip
        rows.append([name, *cells])
    return harness.markdown_table(["a worker", *tables], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="measure the constants, save them")
    parser.add_argument("--saved", type=Path, default=SAVED)
    given = parser.parse_args()
    if given.measure:
        facts = {"machine": harness.machine(), "constants": asdict(measured())}
        given.saved.parent.mkdir(parents=True, exist_ok=True)
        given.saved.write_text(json.dumps(facts, indent=1) + "\n")
    constants = saved(given.saved)
    for name, value in asdict(constants).items():
        print(f"{name}: {value}")
    for loss in LOSSES:
        tables = {
            f"{items // 1_000_000}M items": model(
                constants, 100_000_000, items, 10_000_000_000, D, 64, 16, 10, 1, loss
            )
            for items in (1_000_000, 10_000_000)
        }
        print(f"\n{loss}\n\n{markdown(tables)}")


if __name__ == "__main__":
    main()
