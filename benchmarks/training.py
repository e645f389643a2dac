"""Training: time per example, and what a second thread brings."""

from __future__ import annotations

import ctypes
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import floor
import harness
import workloads
from floor import Floor
from harness import Part, Table, interleaved, seconds
from models import Epoch, both_libraries, peer_library, state_of
from workloads import Size

from lightfm_clone import LightFM

UNIT = "ns/example"
FLOOR_NOTE = (
    "Floor: what the rows that the examples touch cost by themselves, one thread, in the same "
    "rounds; the rows of tags and of other state than adagrad's are not traced."
)
CORES = Path(__file__).with_name("cores.c")
HANDOVERS = 20_000


@dataclass(frozen=True)
class Case:
    """A model and its data, and the ratio wanted of it."""

    name: str
    least: float
    aim: float
    loss: str = "warp"
    no_components: int = 64
    epochs_before: int = 5
    item_tags: int = 0
    user_tags: int = 0
    weighted: bool = False
    alpha: float = 0.0
    learning_schedule: str = "adagrad"

    @property
    def has_floor(self) -> bool:
        """Do its examples touch one row for each user and item, with adagrad's state?"""
        tags = self.item_tags or self.user_tags
        return self.loss in floor.LOSSES and not tags and self.learning_schedule == "adagrad"


WARP_LEAST = {10: (7, 4), 30: (8, 5), 64: (5.5, 5), 128: (4.5, 4)}  # late and first epoch
WARP = [
    Case(f"WARP d={d}, {when}", least, aim, no_components=d, epochs_before=epochs)
    for d, leasts in WARP_LEAST.items()
    for when, least, aim, epochs in zip(
        ("after 5 epochs", "first epoch"), leasts, (10, 8), (5, 0), strict=True
    )
]
BPR = Case("BPR d=64", 9, 12, "bpr")
CASES = [
    *WARP,
    Case("WARP-kOS d=64", 5, 8, "warp-kos"),
    BPR,
    Case("logistic d=10", 18, 25, "logistic", 10),
    Case("logistic d=64", 13, 18, "logistic"),
    Case("hybrid WARP d=64, identity + 15 tags per item", 5.5, 8, item_tags=15),
    Case("hybrid WARP d=64, 5 tags per user as well", 5, 7, item_tags=15, user_tags=5),
    Case("WARP d=64, L2 of 1e-6", 5, 7, alpha=1e-6),
    Case("WARP d=64, sample weights", 5, 7, weighted=True),
    Case("WARP d=64, adadelta", 5, 7, learning_schedule="adadelta"),
]
THREADS = [
    Case(f"{loss.upper()} d=64{', L2 of 1e-6' if alpha else ''}", 1.8, 1.95, loss, alpha=alpha)
    for loss in ("warp", "bpr")
    for alpha in (0.0, 1e-6)
]
FLOOR_DIMENSIONS = (10, 64, 128)
WHOLE_FIT = "whole fit, WARP d=30, 20 epochs of ML-100K"
IMPLICIT = "BPR d=64 against implicit's"
ONE_EPOCH = "fit of one epoch, WARP d=64"
EPOCHS = 3


@lru_cache(maxsize=1)
def prepared(case: Case, size: Size) -> Epoch:
    """The epoch to time: warmed up with ours, on all interactions."""
    matrix = size.matrix()
    features = {
        f"{side}_features": workloads.tagged(n_rows, n_tags)
        for side, n_rows, n_tags in (
            ("item", size.items, case.item_tags),
            ("user", size.users, case.user_tags),
        )
        if n_tags
    }
    weights = workloads.weights(matrix) if case.weighted else None
    parameters = {
        "loss": case.loss,
        "no_components": case.no_components,
        "learning_schedule": case.learning_schedule,
        "item_alpha": case.alpha,
        "user_alpha": case.alpha,
    }
    warm = LightFM(**parameters, random_state=0).fit(
        matrix, sample_weight=weights, epochs=case.epochs_before, num_threads=2, **features
    )
    return Epoch(
        state_of(warm),
        parameters,
        workloads.sampled(matrix, size.examples),
        None if weights is None else workloads.sampled(weights, size.examples),
        **features,
    )


def unnamed(case: Case) -> Case:
    """What `prepared` knows a case by, so that equal ones are prepared once."""
    return replace(case, name="", least=0, aim=0)


def floor_of(case: Case, size: Size, folder: str) -> dict[str, Callable[[], float]]:
    """The side to measure beside the others, where the case has a floor."""
    if not case.has_floor:
        return {}
    state = prepared(unnamed(case), size).state
    return {"floor": Floor(case.loss, state, size.matrix(), folder).nanoseconds}


def measure(size: Size, wanted: Callable[[str], bool]) -> Part:
    part = Part("training", "Training, 1 thread")
    part.notes = [
        f"Synthetic set of {size.users:,} users, {size.items:,} items and "
        f"{size.interactions:,} interactions; {size.examples:,} of them, drawn at random, are "
        "timed (they are then all that a model knows of its users); "
        f"interleaved rounds: {size.rounds}, {size.slow_rounds} where there are tags.",
        "The state, after 5 epochs where nothing else is said, is trained with ours and given to "
        "both. Time per example is that of a one-epoch `fit_partial`, less that of one with 1,000 "
        "examples, which packs the same arrays and passes the same checks.",
        FLOOR_NOTE,
    ]
    rows = floor.random_rows()
    part.tables = [rows]
    libraries = both_libraries()
    with tempfile.TemporaryDirectory() as folder:
        for case in filter(lambda case: wanted(case.name), CASES):
            epoch = prepared(unnamed(case), size)
            sides = {name: partial(epoch.nanoseconds, make) for name, make in libraries.items()}
            rounds = size.slow_rounds if case.item_tags else size.rounds
            sides |= floor_of(case, size, folder)
            part.compare(case.name, UNIT, sides, rounds, case.least, case.aim)
            floor.add_random_row(rows, case.no_components, size.users + size.items, folder)
    if wanted(IMPLICIT):
        _against_implicit(part, size)
    if wanted(WHOLE_FIT):
        _whole_fit(part, size)
    return part


def _against_implicit(part: Part, size: Size) -> None:
    """Epochs of implicit's BPR draw as many examples as there are interactions."""
    peer_library()
    from implicit.bpr import BayesianPersonalizedRanking

    epoch = prepared(unnamed(BPR), size)
    sample = epoch.sample.tocsr()

    def fit(iterations: int) -> float:
        model = BayesianPersonalizedRanking(
            factors=64, learning_rate=0.05, iterations=iterations, num_threads=1, random_state=1
        )
        return seconds(model.fit, sample, show_progress=False)

    part.compare(
        IMPLICIT,
        UNIT,
        {
            # The difference of two fits leaves out initialisation and conversions.
            "implicit": lambda: 1e9 * (fit(3) - fit(1)) / (2 * sample.nnz),
            "ours": partial(epoch.nanoseconds, LightFM),
        },
        size.rounds,
        least=1,
        aim=1,
    )


def _whole_fit(part: Part, size: Size) -> None:
    data = workloads.movielens("ML-100K")
    if data is None:
        part.skip(WHOLE_FIT, workloads.NO_DATA)
        return
    train = workloads.implicit_feedback(data[0])

    sides = {
        name: partial(
            seconds, make(loss="warp", no_components=30, random_state=1).fit, train, epochs=20
        )
        for name, make in both_libraries().items()
    }
    part.compare(WHOLE_FIT, "s", sides, size.rounds, least=5, aim=8)


def measure_threads(size: Size, wanted: Callable[[str], bool]) -> Part:
    part = Part("threads", "Two threads over one")
    part.notes = [
        "Ours alone, measured as the training is, wall clock.",
        FLOOR_NOTE,
        "The second table says what the machine gave at that time, before and after each row: how "
        "long a cache line that one thread has written takes to the other, and how much faster two "
        "threads do arithmetic that shares nothing. Where the two CPUs have a cache in common a "
        "line takes some 60 ns. On a virtual machine they may lie apart, or move, and then it "
        "takes several times longer: rows of popular items, which both threads update, are what a "
        "second thread then waits for.",
    ]
    speeds = Table("Examples per second", ["case", "1 thread", "2 threads"], [])
    cores = Table("Two CPUs", ["case", "handover ns before", "after", "arithmetic x"], [])
    once = Table(
        "A fit of one epoch over an epoch of several",
        ["case", "threads", "fit of one epoch s", "epoch s", "ratio"],
        [],
        [
            f"WARP d=64, all interactions. An epoch is what a `fit_partial` of {EPOCHS} takes more "
            f"than one of 1, over {EPOCHS - 1}. A first fit draws the model, too: one stream of "
            "random numbers, on one thread."
        ],
    )
    part.tables = [speeds, cores, once]
    with tempfile.TemporaryDirectory() as folder:
        library = harness.compiled(CORES, folder, "cores", "-fopenmp")
        for function in (library.handover, library.arithmetic):
            function.restype = ctypes.c_double
        for case in filter(lambda case: wanted(case.name), THREADS):
            epoch = prepared(unnamed(case), size)
            sides = {
                name: partial(epoch.nanoseconds, LightFM, n)
                for n, name in enumerate(speeds.columns[1:], start=1)
            }
            sides |= floor_of(case, size, folder)
            before = library.handover(HANDOVERS)
            part.compare(case.name, UNIT, sides, size.rounds, case.least, case.aim)
            after = library.handover(HANDOVERS)
            arithmetic = 2 * library.arithmetic(1) / library.arithmetic(2)
            cores.rows.append([case.name, before, after, arithmetic])
            print("   ", *cores.rows[-1])
            row = part.comparisons[-1]
            one, two = (1e9 / statistics.median(times) for times in (row.theirs, row.ours))
            speeds.rows.append([case.name, one, two])
    if wanted(ONE_EPOCH):
        once.rows += [
            _one_epoch(size, num_threads, is_first=is_first)
            for is_first in (False, True)
            for num_threads in (1, 2)
        ]
    return part


def _one_epoch(size: Size, num_threads: int, *, is_first: bool) -> list[Any]:
    """What a fit does once, beside an epoch."""
    matrix = size.matrix()

    def fit(epochs: int) -> float:
        model = LightFM(64, loss="warp", random_state=1)
        if not is_first:
            model.fit(matrix, epochs=0)
        return seconds(model.fit_partial, matrix, epochs=epochs, num_threads=num_threads)

    sides = {epochs: partial(fit, epochs) for epochs in (1, EPOCHS)}
    times = interleaved(sides, size.rounds)
    one, several = (statistics.median(times[epochs]) for epochs in (1, EPOCHS))
    epoch = (several - one) / (EPOCHS - 1)
    row = ["a first fit" if is_first else "a model goes on", num_threads, one, epoch, one / epoch]
    print("   ", *row)
    return row


def measure_floor(size: Size, wanted: Callable[[str], bool]) -> Part:
    """The losses by the number of components, each beside its floor, without the peer."""
    part = Part("floor", "Distance to the machine, 1 thread")
    n_rows = size.users + size.items
    part.notes = [
        "The floor is the time in which this machine serves the rows that the examples touch, "
        f"and nothing else; measured on a table of {n_rows:,} rows. Rows of "
        "examples follow the popularity of the data, WARP's negatives are uniform, and their "
        "number is that of WARP's law on the model as it is after 5 epochs.",
    ]
    losses = Table(
        "Time per example over its floor",
        ["loss", "no_components", "tries", "floor ns", "ours ns", "ours / floor"],
        [],
    )
    rows = floor.random_rows()
    part.tables = [losses, rows]
    with tempfile.TemporaryDirectory() as folder:
        for no_components in FLOOR_DIMENSIONS:
            floor.add_random_row(rows, no_components, n_rows, folder)
            for loss in floor.LOSSES:
                case = Case(f"{loss} d={no_components}", 0, 0, loss, no_components)
                if not wanted(case.name):
                    continue
                epoch = prepared(unnamed(case), size)
                lowest = Floor(loss, epoch.state, size.matrix(), folder)
                sides = {"floor": lowest.nanoseconds, "ours": partial(epoch.nanoseconds, LightFM)}
                least, ours = map(statistics.median, interleaved(sides, size.rounds).values())
                tries = "" if lowest.tries is None else lowest.tries
                losses.rows.append([loss, no_components, tries, least, ours, ours / least])
                print(
                    f"{case.name:<20} floor {least:6.1f}, ours {ours:6.1f} ns/example: "
                    f"{ours / least:.2f} x the floor",
                    flush=True,
                )
    return part
