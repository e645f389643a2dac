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
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import harness
import numpy as np
import scipy.sparse as sp

from lightfm_clone import LightFM
from lightfm_clone._model import parameters, state
from lightfm_clone._model.examples import check_examples
from lightfm_clone._model.training import TrainedSide, Training
from lightfm_clone.dask.merging import Merging
from lightfm_clone.dask.passing import Parcel
from lightfm_clone.datasets import synthetic_catalogue

SAVED = harness.RESULTS / "scale" / "constants.json"
LOSSES = ("warp", "bpr", "softmax")
D = 64
FLOAT = 4
PAIR = 8  # bytes of an interaction on its way: two int32
ENTRY = 16  # bytes of an interaction in a fit: its words, and those of the epoch's order
KNOWN = 4 + 13 / 8  # bytes of a known item: its number, and its bits of the filter
PACKED = 1.05  # packed rows over their arrays: they begin at cache lines
TOP = 10


@dataclass(frozen=True)
class Constants:
    """What one core of a machine takes, at d=64.

    `example_ns` are of WARP, BPR and softmax, after an epoch, with rows beyond the caches.
    """

    example_ns: dict[str, float]
    sharing: float  # time of an example where two cores are busy, over that where one is
    read_ns: float  # a row of two int64 columns of Parquet
    number_ns: float  # an id to a number
    prepare_ns: float  # an interaction packed, and its item found among the user's
    hand_out_ns: float  # a float of the arrays, out of the packed rows
    take_in_ns: float  # and back
    # A float of the values made into what a worker adds, and merged: by the schedule.
    contribute_ns: dict[str, float]
    merge_ns: dict[str, float]
    add_ns: float  # a float added to another, or copied
    score_ns: float  # an item scored for a user's list, of all items
    loopback: float  # bytes a second through a socket of this machine, a core busy at each end
    parcel: float  # bytes a second into memory that another process sees


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
    cores: float,
    gbit: float,
    merges: int,
    loss: str = "warp",
    *,
    busy: int | None = None,
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
    cores : float
        Of a worker; less than 1 where workers share one.
    gbit : float
        Gbit/s that a worker sends, and at the same time receives.
    merges : int
        Merges an epoch.
    loss : {"warp", "bpr", "softmax"}
        The softmax has sgd, whose rows have no state; the others have adagrad.
    busy : int, optional
        Cores of a machine that work at a time; None: those of a worker.

    Returns
    -------
    dict of str to Phase
        A phase's name tells how often it comes: in a fit, an epoch, a merge, a sub-epoch. "an
        epoch" and "an epoch of one round" sum up what makes them.

    Notes
    -----
    Rows are held packed, as arrays, and in copies to go back to. Of users these are the last two
    snapshots, and two of another worker's users. Of items: the merged rows before and after the
    step, and what is sent and has arrived. While items rotate, a worker has one block packed and
    as arrays, another on its way, and two as they were when the epoch began: its own first one,
    and another worker's.
    """
    c = constants
    schedule, sheets = ("sgd", 1) if loss == "softmax" else ("adagrad", 2)  # values and states
    link = min(gbit * 1e9 / 8, c.loopback)
    others = (workers - 1) / workers
    alone = (cores if busy is None else busy) <= 1
    # Seconds that a nanosecond's work takes on one core, and on all that a worker has.
    core = 1e-9 * (1.0 if alone else c.sharing) / min(cores, 1)
    all_cores = core / max(cores, 1)
    entries = interactions / workers
    shared, own = items * (d + 1), users / workers * (d + 1)  # floats of a sheet
    of_items, of_users = FLOAT * sheets * shared, FLOAT * sheets * own
    contribution = FLOAT * items * (2 * (d + 1) if schedule == "adagrad" else d + 2)

    train = Phase(entries * c.example_ns[loss] * d / D * all_cores)
    hand_over = sheets * (shared + own) * (c.hand_out_ns + c.take_in_ns) * all_cores
    # NumPy, on one core: the sheets copied out and in, the own range summed over the workers.
    rule = shared * (
        c.contribute_ns[schedule] + c.merge_ns[schedule] / workers + 3 * sheets * c.add_ns
    )
    merge = {"a merge: rows handed out and taken in": Phase(hand_over)}
    if workers > 1:
        merge |= {
            "a merge: contributions, sums, rule": Phase(rule * core),
            "a merge: reduce-scatter": _sending(contribution * others, link),
            "a merge: all-gather": _sending(of_items * others, link),
            "a merge: user rows to a keeper": _sending(of_users, link),
        }
    grouping = Phase(entries * c.prepare_ns * all_cores)
    handing_on = _sending(of_items / workers * (workers > 1), link)
    keeping = _sending((of_users + of_items / workers) * (workers > 1), link)
    return {
        "a fit: Parquet read": Phase(entries * c.read_ns * all_cores),
        "a fit: ids to numbers": Phase(2 * entries * c.number_ns * all_cores),
        "a fit: interactions to their user's worker": _sending(entries * PAIR * others, link),
        "a fit: packed, known items": Phase(
            entries * c.prepare_ns * all_cores, held=entries * (ENTRY + KNOWN)
        ),
        "a fit: user rows": Phase(0.0, held=of_users * (PACKED + (5 if workers > 1 else 2))),
        "a fit: item rows": Phase(0.0, held=of_items * (PACKED + (5 if workers > 1 else 2))),
        "an epoch: training": train,
        **merge,
        "an epoch": _sum(train, *merges * [*merge.values()]),
        "rotation, a fit: item rows": Phase(0.0, held=of_items / workers * (2 * (PACKED + 1) + 2)),
        "rotation, an epoch: interactions grouped by block": grouping,
        "rotation, a sub-epoch: a block to the next worker": handing_on,
        "rotation, a round more in an epoch": _sum(*workers * [handing_on]),
        "rotation, an epoch: user rows and a block to a keeper": keeping,
        # The last one deals the items anew.
        "rotation, an epoch of one round": _sum(
            train, grouping, keeping, *(workers + 1) * [handing_on]
        ),
        f"lists of {TOP} for all users": Phase(
            users / workers * items * c.score_ns * d / D * all_cores
        ),
    }


def _sending(n_bytes: float, link: float) -> Phase:
    return Phase(n_bytes / link, n_bytes)


def _sum(*phases: Phase) -> Phase:
    return Phase(sum(each.seconds for each in phases), sum(each.sent for each in phases))


def held(table: dict[str, Phase], *, rotates: bool) -> float:
    """Bytes that a worker holds at most."""
    left_out = "a fit: item rows" if rotates else "rotation, a fit: item rows"
    return sum(phase.held for name, phase in table.items() if name != left_out)


# ---- the constants -----------------------------------------------------------------------------


def measured(
    users: int = 200_000, items: int = 200_000, interactions: int = 2_000_000
) -> Constants:
    """The constants of this machine. Time on a CPU, so that other processes cost little."""
    catalogue = synthetic_catalogue(users, items, interactions, random_state=0).interactions
    example_ns = {}
    for loss in LOSSES[::-1]:  # WARP last: more is measured on its training
        n = interactions // (8 if loss == "softmax" else 1) // 512 * 512
        training, settings = _training(catalogue, loss)
        _examples(training, settings, n)
        example_ns[loss] = min(_examples(training, settings, n) for _ in range(2))
    on_two = min(_examples(training, settings, n, num_threads=2) for _ in range(2))
    floats = 2 * (users + items) * (D + 1)
    merging = {"adagrad": _merging(items, "warp"), "sgd": _merging(items, "softmax")}
    return Constants(
        example_ns=example_ns,
        sharing=max(on_two / example_ns["warp"], 1.0),
        read_ns=_reading(interactions),
        number_ns=_numbering(interactions, users),
        prepare_ns=_preparing(catalogue),
        hand_out_ns=_best(training.write, floats),
        take_in_ns=_best(training.read, floats),
        contribute_ns={schedule: of for schedule, (of, _) in merging.items()},
        merge_ns={schedule: of for schedule, (_, of) in merging.items()},
        add_ns=_adding(items * (D + 1)),
        score_ns=_scoring(items),
        loopback=_loopback(),
        parcel=_parcel(),
    )


def _examples(training: Training, settings: dict[str, Any], n: int, num_threads: int = 1) -> float:
    """Nanoseconds of an example, all threads' summed, with its share of the shuffle."""
    cut = training.shuffle(n, num_threads)
    return _ns(partial(training.part, settings, 0, n // cut * cut), n)


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
    sides, schedule = training._sides, settings["learning_schedule"]

    def prepare() -> None:
        again = Training(training.examples, *sides, training.n_items, schedule)
        again._interactions.known()

    n = training.n_examples
    return _best(prepare, n) - _best(training.read, n)  # the rows are packed, too


def _merging(rows: int, loss: str) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    settings = parameters.settings(LightFM(D, loss=loss))
    merging = Merging(settings)
    sheets = 2 if settings["learning_schedule"] == "adagrad" else 1
    before = [rng.random((rows, D + 1), np.float32) + 1 for _ in range(sheets)]
    after = [sheet + rng.random(sheet.shape, np.float32) for sheet in before]
    sums = merging.contribution(before, after)
    n = rows * (D + 1)
    return (
        _best(lambda: merging.contribution(before, after), n),
        _best(lambda: merging.merge(before, sums), n),
    )


def _adding(n: int) -> float:
    total, other = np.ones(n, np.float32), np.ones(n, np.float32)
    return _best(lambda: np.add(total, other, out=total), n)


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
    fresh.fit(sp.coo_matrix((users, items), dtype=np.float32), epochs=0)
    for name in ("user_embeddings", "item_embeddings"):
        setattr(fresh, name, rng.normal(size=getattr(fresh, name).shape).astype(np.float32))
    return _best(lambda: fresh.recommend(np.arange(users), TOP, num_threads=1), users * items)


def _loopback(size: int = 1 << 28) -> float:
    """A thread at each end, both in this process, so that its time is that of both."""
    data, buffer = bytearray(size), memoryview(bytearray(size))

    def send() -> None:
        sending = threading.Thread(target=sender.sendall, args=(data,))
        sending.start()
        got = 0
        while got < size:
            got += receiver.recv_into(buffer[got:])
        sending.join()

    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as sender,
        server.accept()[0] as receiver,
    ):
        return 1e9 / _best(send, 2 * size)


def _parcel(size: int = 1 << 24) -> float:
    content = np.ones(size // FLOAT, np.float32)

    def write() -> None:
        parcel = Parcel.of(content)
        parcel.opened().max()  # each page is mapped once more
        parcel.close()

    return 1e9 / _best(write, size)


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
