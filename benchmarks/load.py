"""What a second thread brings where others work on the machine, and what too many threads cost.

The others are processes of our own, each a loop in Python that wants a whole CPU.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import workloads
from harness import Comparison, Part, Table, interleaved, mean_seconds, number
from models import PEER, both_libraries, state_of, with_state
from workloads import Size

from lightfm_clone import LightFM, _cpus

EPOCHS = 2
TOP = 10
# Of the gain of a second thread beside so many busy processes. Of two CPUs and one busy process,
# a thread more can bring the half of a CPU; of two, it has to take its share from others.
LEAST = {0: None, 1: 1.2, 2: 1.0}
LEAST_SECONDS = 0.2  # some tens of the turns that the system gives to threads
OVERSUBSCRIBED = 4  # threads a CPU
MOST = 1.15  # times as long with so many threads as with one a CPU
BUSY_SECONDS = 120
BUSY = f"""
import time
deadline = time.monotonic() + {BUSY_SECONDS}
print(flush=True)
while time.monotonic() < deadline:
    pass
"""
Calls = dict[str, Callable[[int], Any]]  # by library, the peer's first, of a number of threads


@contextmanager
def busy(n: int) -> Iterator[list[subprocess.Popen]]:
    """Beside `n` busy processes. They end with the block, and by themselves if nobody ends them."""
    with ExitStack() as stack:
        processes = []
        for _ in range(n):
            command = [sys.executable, "-c", BUSY]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            stack.callback(process.kill)
            processes.append(process)
        for process in processes:
            process.stdout.readline()
        yield processes
        if any(process.poll() is not None for process in processes):
            raise RuntimeError(f"the measurement took longer than {BUSY_SECONDS} s")


# ---- what is measured ---------------------------------------------------------------------------


def _fits(loss: str, no_components: int, part: int, item_tags: int = 0) -> Callable[[Size], Calls]:
    """Whole fits; the peer's is of a `part`-th of the interactions, or it has no such loss (0)."""

    def calls(size: Size) -> Calls:
        matrix = workloads.interactions(size.users, size.items, size.load)
        tagged = workloads.tagged(size.items, item_tags) if item_tags else None

        def fit(make: Callable[..., Any], sample: Any, threads: int) -> None:
            model = make(loss=loss, no_components=no_components, random_state=0)
            model.fit(sample, item_features=tagged, epochs=EPOCHS, num_threads=threads)

        found = {"ours": partial(fit, LightFM, matrix)}
        if part:
            sample = workloads.sampled(matrix, matrix.nnz // part)
            found = {PEER: partial(fit, both_libraries()[PEER], sample), **found}
        return found

    return calls


def _fold_in(size: Size) -> Calls:
    """A tenth of the users, in 20 epochs over theirs: as many examples as in the fits."""
    matrix = workloads.interactions(size.users, size.items, size.load).tocsr()
    old = size.users - size.users // 10
    model = LightFM(loss="warp", no_components=64, random_state=0).fit(matrix[:old])

    def fold_in(threads: int) -> None:
        model.fold_in_users(matrix[old:], epochs=10 * EPOCHS, num_threads=threads, random_state=0)

    return {"ours": fold_in}


def _recommend(size: Size) -> Calls:
    known = workloads.interactions(size.users, size.items, size.load).tocsr()
    model = LightFM(loss="warp", no_components=64, random_state=0).fit(known)
    users = range(size.lists[0])
    return {"ours": lambda threads: model.recommend(users, TOP, exclude=known, num_threads=threads)}


def _predict_rank(size: Size) -> Calls:
    """The ranks of what so many users have; the peer's of a 25th of them."""
    matrix = workloads.interactions(size.users, size.items, size.load)
    known = matrix.tocsr()
    asked = {PEER: size.lists[0] // 25, "ours": size.lists[0]}

    def ranks(model: Any, test: Any, threads: int) -> None:
        model.predict_rank(test, num_threads=threads)

    state = state_of(LightFM(loss="warp", no_components=64, random_state=0).fit(matrix))
    calls = {}
    for library, make in both_libraries().items():
        model = with_state(make(no_components=64), state)
        test = known.copy()
        test.data[known.indptr[asked[library]] :] = 0
        test.eliminate_zeros()
        calls[library] = partial(ranks, model, test)
    return calls


CASES: dict[str, Callable[[Size], Calls]] = {
    "fit, logistic d=10": _fits("logistic", 10, part=2),
    "fit, BPR d=64": _fits("bpr", 64, part=4),
    "fit, WARP d=64": _fits("warp", 64, part=4),
    "fit, hybrid WARP d=64, identity + 15 tags per item": _fits("warp", 64, part=16, item_tags=15),
    "fit, softmax d=64": _fits("softmax", 64, part=0),
    "fold_in_users, WARP d=64": _fold_in,
    "recommend d=64": _recommend,
    "predict_rank d=64": _predict_rank,
}


# ---- the part -----------------------------------------------------------------------------------


def measure(size: Size, wanted: Callable[[str], bool]) -> Part:
    part = Part("load", "Beside busy processes")
    cpus = _cpus.available()
    if cpus == 1:
        part.skip("all rows", "this process may use one CPU, so there is no second thread")
        return part
    many = OVERSUBSCRIBED * cpus
    part.notes = [
        "Ours alone, seconds of a whole call, wall clock: with one thread, and with one for each "
        f"of the {cpus} CPUs. A busy process is a loop in Python. All rounds of a case, the quiet "
        f"ones and {PEER}'s too, are interleaved: {size.rounds}.",
        f"Fits: {EPOCHS} epochs of {size.load:,} synthetic interactions of {size.users:,} users "
        f"and {size.items:,} items; fold-in: {10 * EPOCHS} epochs of a tenth of the users; "
        f"`recommend` and `predict_rank`: {size.lists[0]:,} users.",
    ]
    gains = Table(
        f"What {cpus} threads bring, beside {PEER}'s",
        ["case", "ours", PEER],
        [],
        [f"{PEER} is much slower, so its calls are of a part of the same work: half the "
         "interactions (logistic), a quarter (BPR, WARP), a 16th (hybrid), a 25th of the users "
         "(predict_rank)."],
    )  # fmt: skip
    oversubscribed = Table(
        "More threads than CPUs",
        ["case", f"{cpus} threads s", f"{many} threads s", "times as long", "of rounds", "at most",
         "verdict"],
        [],
    )  # fmt: skip
    part.tables = [gains, oversubscribed]
    for case, make in CASES.items():
        rows = {n: f"{case}, {_beside(n)}" for n in LEAST}
        rows = {n: row for n, row in rows.items() if wanted(row)}
        if not rows:
            continue
        calls = make(size)
        sides = {
            (n, library, threads): partial(_seconds, call, threads, n)
            for n in rows
            for library, call in calls.items()
            for threads in ((1, cpus, many) if library == "ours" else (1, cpus))
        }
        times = interleaved(sides, size.rounds)
        for n, row in rows.items():
            one, all_cpus, too_many = (times[n, "ours", k] for k in (1, cpus, many))
            part.add(Comparison(row, "s", "1 thread", one, all_cpus, least=LEAST[n]))
            gain = part.comparisons[-1].ratio
            theirs = "-"
            if (n, PEER, 1) in times:
                one, two = (statistics.median(times[n, PEER, k]) for k in (1, cpus))
                theirs = one / two
            gains.rows.append([row, gain, theirs])
            oversubscribed.rows.append(_against_most(row, all_cpus, too_many))
            print(
                f"    {PEER}'s gain {number(theirs)}; {many} threads take "
                f"{oversubscribed.rows[-1][3]:.2f} times as long as {cpus}",
                flush=True,
            )
    return part


def _beside(n: int) -> str:
    return f"{n} busy process{'es' * (n > 1)}" if n else "quiet"


def _seconds(call: Callable[[int], Any], threads: int, n_busy: int) -> float:
    with busy(n_busy):
        return mean_seconds(partial(call, threads), least=LEAST_SECONDS)


def _against_most(row: str, few: list[float], many: list[float]) -> list[Any]:
    ratios = [b / a for a, b in zip(few, many, strict=True)]
    medians = statistics.median(few), statistics.median(many)
    ratio = medians[1] / medians[0]
    verdict = "reached" if ratio <= MOST else "NOT REACHED"
    return [row, *medians, ratio, f"{min(ratios):.2f} - {max(ratios):.2f}", MOST, verdict]
