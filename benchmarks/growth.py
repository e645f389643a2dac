"""How the cost of an example grows, and what an epoch costs beside its examples. Ours alone."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial

import scipy.sparse as sp
import workloads
from harness import Curve, Part, Table, interleaved, number, seconds
from models import Epoch, state_of
from workloads import Size

from lightfm_clone import LightFM

LOSSES = ("warp", "bpr", "logistic")
COMPONENTS = (8, 16, 32, 64, 96, 128, 192, 256)
FEATURES = (1, 2, 4, 8, 16, 32)
EPOCHS_BEFORE = 2
UNIT = "ns/example"
TINY, TINY_EPOCHS = 1_000, 200


def measure(size: Size, wanted: Callable[[str], bool]) -> Part:
    part = Part("growth", "Cost growth, 1 thread")
    users, items = size.growth_shape
    part.notes = [
        f"WARP, BPR and logistic of {users:,} users and {items:,} items, after {EPOCHS_BEFORE} "
        f"epochs; medians of interleaved rounds: {size.slow_rounds}. The number of WARP's tries "
        "depends on how well the model fits, so it varies with the dimension.",
    ]
    curves = {
        "interactions": _over_interactions,
        "no_components": _over_components,
        "features": _over_features,
    }
    for name in filter(wanted, size.growth_over):
        part.curves.append(curves[name](size))
        print(f"{part.curves[-1].title}:", flush=True)
        for label, costs in part.curves[-1].series.items():
            print(f"  {label:<10} {', '.join(map(number, costs))} {UNIT}", flush=True)
    if wanted("tiny fit"):
        part.tables.append(_tiny_fit(size))
        print(part.tables[-1].title, *part.tables[-1].rows, sep="\n  ", flush=True)
    return part


def _warm(
    matrix: sp.coo_matrix, sample: sp.coo_matrix, loss: str, no_components: int = 64, **features
) -> Epoch:
    """An epoch over `sample` of a model that was warmed up on `matrix`."""
    parameters = {"loss": loss, "no_components": no_components}
    warm = LightFM(**parameters, random_state=0)
    warm.fit(matrix, epochs=EPOCHS_BEFORE, num_threads=2, **features)
    return Epoch(state_of(warm), parameters, sample, **features)


def _costs(size: Size, epochs: dict[float, Epoch]) -> list[float]:
    sides = {x: partial(epoch.nanoseconds, LightFM) for x, epoch in epochs.items()}
    return [statistics.median(costs) for costs in interleaved(sides, size.slow_rounds).values()]


def _over_interactions(size: Size) -> Curve:
    curve = Curve(
        "Time per example over the number of interactions, d=64",
        "interactions", UNIT, list(size.growth), {}, log_x=True,
    )  # fmt: skip
    matrix = workloads.interactions(*size.growth_shape, max(size.growth))
    for loss in LOSSES:
        # One state for all, so that only the number of interactions differs.
        largest = _warm(matrix, matrix, loss)
        epochs = {
            n: Epoch(largest.state, largest.parameters, workloads.sampled(matrix, n))
            for n in size.growth
        }
        curve.series[loss] = _costs(size, epochs)
    return curve


def _over_components(size: Size) -> Curve:
    curve = Curve(
        "Time per example over no_components", "no_components", UNIT, list(COMPONENTS), {}
    )
    matrix = workloads.interactions(size.users, size.items, size.interactions)
    sample = workloads.sampled(matrix, size.examples)
    for loss in LOSSES:
        # One after the other: the states of many dimensions of a large model would fill the memory.
        curve.series[loss] = [
            _costs(size, {d: _warm(matrix, sample, loss, d)})[0] for d in COMPONENTS
        ]
    return curve


def _over_features(size: Size) -> Curve:
    curve = Curve(
        "Time per example over the features of an item, d=64",
        "features per item", UNIT, list(FEATURES), {},
    )  # fmt: skip
    matrix = workloads.interactions(size.users, size.items, size.interactions)
    sample = workloads.sampled(matrix, size.examples // 4)
    for loss in LOSSES:
        epochs = {
            n: _warm(matrix, sample, loss, item_features=workloads.tagged(size.items, n - 1))
            for n in FEATURES
        }
        curve.series[loss] = _costs(size, epochs)
    return curve


def _tiny_fit(size: Size) -> Table:
    """What an epoch costs when there is next to nothing to learn."""
    tiny = workloads.sampled(workloads.interactions(200, 100, 2 * TINY), TINY)

    def epoch_cost(max_sampled: int) -> float:
        """Microseconds of the later epochs of a fit, so that its preparation does not count."""
        model = LightFM(no_components=10, loss="warp", random_state=0)
        model.fit(tiny)
        model.max_sampled = max_sampled
        more = seconds(model.fit_partial, tiny, epochs=TINY_EPOCHS + 1)
        return 1e6 * (more - seconds(model.fit_partial, tiny, epochs=1)) / TINY_EPOCHS

    sides = {n: partial(epoch_cost, n) for n in (10, 0)}
    whole, overhead = map(statistics.median, interleaved(sides, 3 * size.rounds).values())
    return Table(
        f"A tiny fit: {TINY:,} interactions, WARP d=10",
        ["what", "us an epoch", "target"],
        [["whole epoch", whole, ""], ["no negatives tried (max_sampled 0)", overhead, "below 200"]],
        [
            "The second line is what an epoch costs beside its training: order, checks, and a "
            "look at every example."
        ],
    )
