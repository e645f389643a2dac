"""The compiled core as the package drives it: epochs in parts, shards of a larger fit."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from helpers import LOSSES, SCHEDULES, explicit_auc
from test_twin import (
    FEATURES,
    N_ITEMS,
    N_USERS,
    assert_same_arrays,
    interactions_of,
    weights_of,
    without_some_items,
)

from lightfm_clone import LightFM, _core
from lightfm_clone._model import parameters as checks

N_STATES = {"sgd": 1, "adagrad": 2, "adadelta": 3}
D = 6


def settings_of(**parameters: Any) -> dict[str, Any]:
    """Checked parameters, taken as they stand."""
    checked = checks.check(LightFM(**parameters).get_params(), least_max_sampled=0)
    return {name: checks.unmarked(value) for name, value in checked.items()}


def packed(interactions: sp.coo_matrix, n_items: int, values: bool = False, **further: Any):
    return _core.Interactions(
        interactions.row,
        interactions.col,
        interactions.data > 0,
        interactions.data if values else None,
        None,
        interactions.shape[0],
        n_items,
        **further,
    )


class Run:
    """A trainer of made-up parameters, and their arrays."""

    def __init__(
        self,
        interactions: _core.Interactions,
        shape: tuple[int, int],
        n_frozen: int = 0,
        num_threads: int = 1,
        **settings,
    ) -> None:
        self.settings = settings_of(no_components=D, k=2, n=4, n_negatives=20, **settings)
        schedule = self.settings["learning_schedule"]
        self.n = len(interactions)
        rng = np.random.default_rng(0)
        self.arrays, self.sides = [], []
        for n_rows in shape:
            of_side = tuple(
                [
                    rng.uniform(-0.5, 0.5, (n_rows, *width)).astype(np.float32)
                    if state == 0
                    else np.full((n_rows, *width), state % 2, np.float32)
                    for state in range(N_STATES[schedule])
                ]
                for width in ((D,), ())
            )
            self.arrays.append(of_side)
            self.sides.append(_core.Parameters(*of_side, n_frozen, num_threads))
        self.trainer = _core.Trainer(interactions, *self.sides, None, None, schedule)

    def part(self, begin: int, end: int) -> _core.Totals:
        return self.trainer.part(self.settings, begin, end, 0.25, 0.5)

    def unpack(self) -> list[np.ndarray]:
        for side, arrays in zip(self.sides, self.arrays, strict=True):
            side.unpack(*arrays)
        return [array for of_side in self.arrays for kind in of_side for array in kind]

    def settled(self) -> list[np.ndarray]:
        self.trainer.settle()
        return self.unpack()


MANY = interactions_of(1, (200, 150), 2000)


def run_of(loss: str, n_frozen: int = 0, interactions: sp.coo_matrix = MANY, **settings) -> Run:
    packed_interactions = packed(interactions, interactions.shape[1], loss == "mse")
    return Run(packed_interactions, interactions.shape, n_frozen, loss=loss, **settings)


def assert_equal(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("alpha", [0.0, 0.01, 0.5])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", LOSSES)
def test_parts_are_the_epoch(loss, schedule, alpha):
    """To the last bit, on one thread, whether the scales of L2 pass their limit or not."""
    if loss == "mse":
        alpha /= 10  # without a bound on its gradient, it diverges
    if schedule == "sgd":  # whose rates stay as they are
        alpha *= 0.7
    arguments = {
        "learning_schedule": schedule,
        "item_alpha": alpha,
        "user_alpha": alpha / 2,
        "learning_rate": 0.02,
    }
    whole, parts = run_of(loss, **arguments), run_of(loss, **arguments)
    for seed in (3, 4):
        window = whole.trainer.shuffle(seed, 1)
        assert parts.trainer.shuffle(seed, 1) == window
        expected = whole.part(0, whole.n)
        cuts = [0, window, window, 3 * window, whole.n]
        found = [parts.part(*bounds) for bounds in zip(cuts[:-1], cuts[1:], strict=True)]
        sums = [sum(of_parts) for of_parts in zip(*found, strict=True)]
        assert sums[0] == pytest.approx(expected.loss, rel=1e-12)
        assert tuple(sums[1:]) == tuple(expected[1:])
        before = [array.copy() for array in whole.unpack()]
        assert_equal(parts.settled(), whole.settled())
        assert alpha == 0 or not np.array_equal(before[0], whole.unpack()[0])


# Without a stop, and with many of them, when the scales of L2 are full.
@pytest.mark.parametrize("alpha", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("threads", [1, 2, 3, 4, 8])
def test_parts_hold_every_example_once(threads, alpha):
    run = run_of("logistic", user_alpha=alpha)
    window = run.trainer.shuffle(1, threads)
    bounds = [*range(0, run.n, window), run.n]
    parts = [run.part(a, b) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
    assert [part.examples for part in parts] == np.diff(bounds).tolist()


def test_a_part_may_be_trained_on_again():
    run, expected = run_of("logistic"), run_of("logistic")
    window = run.trainer.shuffle(1, 1)
    expected.trainer.shuffle(1, 1)
    for _ in range(2):
        run.part(window, 2 * window)
    expected.part(window, 2 * window)
    one_pass = expected.settled()[0].copy()
    expected.part(window, 2 * window)
    assert not np.array_equal(one_pass, run.settled()[0])
    assert_equal(run.settled(), expected.settled())


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_arrays_are_handed_out_and_taken_in_between_parts(schedule):
    whole, parts = (run_of("warp", learning_schedule=schedule) for _ in range(2))
    window = whole.trainer.shuffle(1, 1)
    parts.trainer.shuffle(1, 1)
    whole.part(0, whole.n)
    parts.part(0, window)
    taken = [array.copy() for array in parts.settled()]
    for array in parts.unpack():
        array[:] = 7.0
    for side, arrays in zip(parts.sides, parts.arrays, strict=True):
        side.pack(*arrays)
    assert all((array == 7.0).all() for array in parts.settled())
    for array, before in zip(parts.unpack(), taken, strict=True):
        array[:] = before
    for side, arrays in zip(parts.sides, parts.arrays, strict=True):
        side.pack(*arrays)
    parts.part(window, parts.n)
    assert_equal(parts.settled(), whole.settled())


def test_where_a_part_may_begin_and_end():
    run = run_of("warp")
    with pytest.raises(ValueError, match="call shuffle first"):
        run.part(0, run.n)
    window = run.trainer.shuffle(1, 1)
    for begin, end in ((1, run.n), (0, window + 1), (window - 1, window), (0, run.n - 1)):
        with pytest.raises(ValueError, match=f"multiples of {window}, or end at {run.n}"):
            run.part(begin, end)
    for begin, end in ((-window, 0), (window, 0), (0, run.n + window)):
        with pytest.raises(ValueError, match=f"within the {run.n} examples"):
            run.part(begin, end)
    assert run.part(window, window) == run.part(run.n, run.n) == (0, 0, 0, 0, 0)
    assert run.part(3 * window, run.n).examples > 0


def test_no_interactions():
    nothing = sp.coo_matrix((3, 4), dtype=np.float32)
    run = run_of("warp", interactions=nothing)
    run.trainer.shuffle(1, 2)
    assert run.part(0, 0) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize("components", [6, 16])
@pytest.mark.parametrize("alpha", [0.01, 0.8])
@pytest.mark.parametrize("loss", ["warp", "logistic", "softmax"])
def test_frozen_features_stay_as_they_are(monkeypatch, loss, alpha, components):
    monkeypatch.setitem(globals(), "D", components)
    run = run_of(loss, n_frozen=100, user_alpha=alpha, item_alpha=alpha, learning_rate=0.02)
    before = [array.copy() for array in run.unpack()]
    run.trainer.shuffle(1, 1)
    run.part(0, run.n)
    for after, array in zip(run.settled(), before, strict=True):
        np.testing.assert_array_equal(after[:100], array[:100])
    assert not np.array_equal(run.unpack()[0][100:], before[0][100:])


@pytest.fixture
def alarm():
    """Sets a handler of SIGALRM, and a timer after which it is called, and again every so often."""
    if not hasattr(signal, "setitimer"):
        pytest.skip("no timers")
    previous = signal.getsignal(signal.SIGALRM)

    def set_timer(handler, after: float, interval: float = 0.0) -> None:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, after, interval)

    yield set_timer
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


def millions_of(n: int) -> sp.coo_matrix:
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(2000, size=(2, n), dtype=np.int32)
    return sp.coo_matrix((np.ones(n, np.float32), (rows, cols)), shape=(2000, 2000))


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_every_example_is_trained_on_once_in_many_buckets(threads):
    """Of an epoch of logistic loss at a rate of almost nothing, which adds up their gradients."""
    interactions = millions_of(300_000)
    run = run_of("logistic", interactions=interactions, learning_rate=1e-12)
    window = run.trainer.shuffle(1, threads)
    middle = 150_000 // window * window
    # The later part first: it needs buckets from the middle on.
    parts = [run.part(middle, run.n), run.part(0, middle)]
    assert [part.examples for part in parts] == [run.n - middle, middle]
    (vectors, *_), (biases, gradients), (item_vectors, *_), (item_biases, *_) = (
        kind for of_side in run.arrays for kind in of_side
    )
    run.settled()
    row, col = interactions.row, interactions.col
    scores = (vectors[row] * item_vectors[col]).sum(axis=1) + biases[row] + item_biases[col]
    squares = (1 / (1 + np.exp(scores))) ** 2  # of the bias's gradient, sigma - 1
    expected = 1 + np.bincount(row, squares, minlength=2000)  # adagrad adds them up, from 1 on
    if threads == 1:
        np.testing.assert_allclose(gradients, expected, rtol=1e-4)
    # Where two threads write to one user at a time, one example is lost.
    assert (gradients < 1.001 * expected).all()
    assert gradients.sum() > 0.95 * expected.sum()


@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupted_part_is_settled(alarm, threads):
    interactions = millions_of(2_000_000)
    run = run_of("logistic", interactions=interactions, user_alpha=1e-5, learning_schedule="sgd")
    run.trainer.shuffle(1, threads)
    alarm(signal.default_int_handler, 0.05)
    with pytest.raises(KeyboardInterrupt):
        for _ in range(100):
            run.part(0, run.n)
    left = [array.copy() for array in run.unpack()]
    assert_equal(run.settled(), left)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_keyboard_is_heard_within_a_part(alarm, threads):
    run = run_of("logistic", interactions=millions_of(4_000_000))
    run.trainer.shuffle(1, threads)
    heard = []
    alarm(lambda *_: heard.append(1), 0.005, 0.005)
    run.part(0, run.n)
    assert len(heard) > 2


def test_after_an_interrupt_the_next_part_trains(alarm):
    run = run_of("logistic", interactions=millions_of(2_000_000))
    run.trainer.shuffle(1, 2)
    alarm(signal.default_int_handler, 0.02)
    with pytest.raises(KeyboardInterrupt):
        for _ in range(100):
            run.part(0, run.n)
    run.trainer.shuffle(2, 2)
    assert run.part(0, run.n).examples == run.n


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's /proc")
def test_threads_may_run_where_they_might_before():
    """Those that move apart take no CPU from each other for good."""

    def allowed():
        statuses = [path.read_text() for path in Path("/proc/self/task").glob("*/status")]
        return {line for text in statuses for line in text.splitlines() if "Cpus_allowed:" in line}

    before = allowed()
    run = run_of("logistic", interactions=millions_of(100_000))
    for seed in range(20):
        run.trainer.shuffle(seed, 8)
        run.part(0, run.n)
    assert allowed() == before


def test_the_keyboard_is_heard_while_known_items_are_found(alarm):
    run = run_of("warp", interactions=millions_of(6_000_000))
    window = run.trainer.shuffle(1, 1)
    heard = []
    alarm(lambda *_: heard.append(1), 0.005, 0.005)
    run.part(0, window)  # of which training is the least
    assert len(heard) > 5


# A shard of a larger fit


def larger_of(interactions: sp.coo_matrix, n_items: int, which: str) -> reference.Larger:
    """Of all of which the interactions are a part: more known items, and other counts."""
    n_users = interactions.shape[0]
    rng = np.random.default_rng(8)
    known = [
        np.union1d(interactions.col[interactions.row == user], rng.integers(n_items, size=user % 9))
        for user in range(n_users)
    ]
    known[3], known[4] = np.array([], dtype=int), np.arange(n_items)
    counts = (20 * rng.random(n_items) ** 3).astype(np.int64)
    seen = None
    if "seen" in which:
        seen = np.setdiff1d(np.arange(n_items), rng.permutation(n_items)[:8])
        seen = np.union1d(seen, interactions.col)
        known = [np.intersect1d(of_user, seen) for of_user in known]
    return reference.Larger(
        known=known if "known" in which else None,
        item_counts=counts if "counts" in which else None,
        seen=seen,
    )


def as_csr(lists: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    indptr = np.cumsum([0, *map(len, lists)], dtype=np.int64)
    return indptr, np.concatenate(lists).astype(np.int32)


@pytest.mark.parametrize("features", ["identity", "both"])
@pytest.mark.parametrize("which", ["known", "counts", "known, counts", "seen", "known, seen"])
@pytest.mark.parametrize(
    ("loss", "stored_negatives"), [*((loss, 0.0) for loss in LOSSES), ("bpr", 0.3), ("warp", 0.3)]
)
def test_a_shard_like_the_twin(level, loss, which, features, stored_negatives):
    user_features, item_features = FEATURES[features]
    n_items = N_ITEMS if item_features is None else item_features.shape[0]
    interactions = interactions_of(2)
    if "seen" in which:
        interactions = without_some_items(interactions)
    weights = weights_of(interactions, 2)
    larger = larger_of(interactions, n_items, which)
    settings = reference.Settings(
        no_components=5, k=2, n=4, loss=loss, stored_negatives=stored_negatives, n_negatives=20
    )
    settings.negatives = "seen" if "seen" in which else "all"
    n_features = [
        n if matrix is None else matrix.shape[1]
        for n, matrix in ((n_items, item_features), (N_USERS, user_features))
    ]
    state = reference.initial_state(settings, *n_features, np.random.RandomState(1))
    arrays = {name: array.astype(np.float32) for name, array in state.arrays().items()}
    sides = [
        (
            [arrays[f"{side}_embeddings"], arrays[f"{side}_embedding_gradients"]],
            [arrays[f"{side}_biases"], arrays[f"{side}_bias_gradients"]],
        )
        for side in ("user", "item")
    ]
    state = reference.run_epoch(
        state, interactions, user_features, item_features, weights, 9, larger=larger
    )

    parameters = [_core.Parameters(*of_side) for of_side in sides]
    trainer = _core.Trainer(
        _core.Interactions(
            interactions.row,
            interactions.col,
            interactions.data > 0,
            interactions.data if loss == "mse" else None,
            weights.data,
            N_USERS,
            n_items,
            known=None if larger.known is None else as_csr(larger.known),
            item_counts=larger.item_counts,
            candidates=None if larger.seen is None else larger.seen.astype(np.int32),
        ),
        *parameters,
        *(
            None if m is None else (m.indptr.astype(np.int64), m.indices, m.data)
            for m in (user_features, item_features)
        ),
        "adagrad",
    )
    trainer.shuffle(9, 1)
    totals = trainer.part(settings_of(**vars(settings)), 0, interactions.nnz)
    trainer.settle()
    for packed_side, of_side in zip(parameters, sides, strict=True):
        packed_side.unpack(*of_side)
    assert_same_arrays(SimpleNamespace(**arrays), state)
    sums = state.epochs[-1]
    assert totals.loss == pytest.approx(sums.loss, rel=1e-4)
    assert totals.examples == sums.examples
    if loss in ("warp", "warp-kos"):
        assert totals[2:] == (sums.violations, sums.tries, sums.cut)
    if loss == "warp":
        assert totals.cut > 0


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (([0, 1], [0]), "indptr of 3 numbers"),
        (([1, 1, 1], [0]), "rise from 0"),
        (([0, 1, 2], [0, 1, 2]), "number of its items, 3"),
        (([0, 2, 1], [0]), "rise from 0"),
        (([0, 2, 2], [1, 1]), "distinct"),
        (([0, 2, 2], [2, 1]), "sorted"),
        (([0, 1, 2], [0, 4]), "from 0 to 3"),
        (([0, 1, 2], [0, -1]), "from 0 to 3"),
    ],
)
def test_known_items_are_checked(known, reason):
    indptr, items = np.array(known[0], np.int64), np.array(known[1], np.int32)
    interactions = sp.coo_matrix(np.ones((2, 4), np.float32))
    with pytest.raises(ValueError, match=f"known must have .*{reason}"):
        packed(interactions, 4, known=(indptr, items))


@pytest.mark.parametrize("counts", [[1, 2, 3], [1, 2, 3, -1], [0, 0, 0, 0], [1] * 5])
def test_item_counts_are_checked(counts):
    interactions = sp.coo_matrix(np.ones((2, 4), np.float32))
    with pytest.raises(ValueError, match="item_counts must have 4 counts"):
        packed(interactions, 4, item_counts=np.array(counts, dtype=np.int64))


@pytest.mark.parametrize(
    ("candidates", "known", "reason"),
    [
        ([1, 0, 3], None, "sorted distinct items, from 0 to 3"),
        ([0, 1, 1, 3], None, "sorted distinct"),
        ([0, 1, 3, 4], None, "from 0 to 3"),
        ([-1, 0, 1], None, "from 0 to 3"),
        ([0, 3], None, "every item of the interactions"),
        ([], None, "every item of the interactions"),
        ([0, 1, 3], [2], "every item .* of known"),
    ],
)
def test_candidates_are_checked(candidates, known, reason):
    interactions = sp.coo_matrix(([1.0, 1.0], ([0, 1], [0, 1])), shape=(2, 4))
    if known is not None:
        known = np.array([0, 1, 1], np.int64), np.array(known, np.int32)
    with pytest.raises(ValueError, match=f"candidates must .*{reason}"):
        packed(interactions, 4, known=known, candidates=np.array(candidates, np.int32))


def test_candidates_that_are_as_they_should_be():
    interactions = sp.coo_matrix(([1.0, 1.0], ([0, 1], [0, 1])), shape=(2, 4))
    known = np.array([0, 1, 2], np.int64), np.array([0, 3], np.int32)
    given = packed(interactions, 4, known=known, candidates=np.array([0, 1, 3], np.int32))
    assert (given.n_candidates(), packed(interactions, 4).n_candidates()) == (3, 2)
    nothing = sp.coo_matrix((2, 4), dtype=np.float32)
    assert packed(nothing, 4).n_candidates() == 0
    assert packed(nothing, 4, candidates=np.zeros(0, np.int32)).n_candidates() == 0


def test_negatives_follow_the_counts():
    """No user knows anything: how often BPR steps an item down follows its count."""
    n_items = 6
    ones = sp.coo_matrix(
        (np.ones(50_000, np.float32), (np.arange(50_000) % 50, np.zeros(50_000, int))),
        shape=(50, n_items),
    )
    nothing = np.zeros(51, np.int64), np.zeros(0, np.int32)
    counts = np.array([10, 0, 1, 4, 0, 85])
    interactions = packed(ones, n_items, known=nothing, item_counts=counts)
    run = Run(interactions, ones.shape, loss="bpr", learning_schedule="sgd", learning_rate=1e-6)
    [item_biases] = run.arrays[1][1]
    before = item_biases.copy()
    run.trainer.shuffle(1, 1)
    run.part(0, run.n)
    run.settled()
    steps = before - item_biases
    shares = steps[1:] / steps[1:].sum()
    np.testing.assert_allclose(shares, counts[1:] / counts[1:].sum(), atol=0.02)
    assert (steps[[1, 4]] == 0).all()


# Which features are asked for ahead of time


@pytest.mark.parametrize("bytes_each", [1, 2**15, 2**16, 2**17, 2**20])
@pytest.mark.parametrize("tied", [False, True])
def test_features_that_stay_in_the_cache_are_not_asked_for(bytes_each, tied):
    rng = np.random.default_rng(0)
    dense = rng.random((200, 12)) < (0.5 if tied else np.linspace(0.05, 0.9, 12))
    dense[7] = False
    if tied:
        dense[:, :6] = dense[:, :1]
    matrix = sp.csr_matrix(dense.astype(np.float32))
    counts = dense.sum(axis=0)
    n_kept = min(2**19 // bytes_each, 12)
    # Frequent are those with fewer than n_kept others that are at least as frequent.
    at_least = np.array([(counts >= count).sum() for count in counts])
    expected = sp.csr_matrix(dense & (at_least > n_kept))
    indptr, rare = _core.rare_features(
        matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), 12, bytes_each
    )
    np.testing.assert_array_equal(indptr, expected.indptr)
    np.testing.assert_array_equal(rare, expected.indices)


# Sums of features for a request


def sums_of(matrix: sp.csr_matrix, rows: np.ndarray, biases: np.ndarray, embeddings: np.ndarray):
    parts = matrix.indptr, matrix.indices, matrix.data
    return _core.sum_features("item_features", *parts, rows.astype(np.int32), biases, embeddings)


@pytest.mark.parametrize("value", [np.float32, np.float64])
@pytest.mark.parametrize("place", [np.int32, np.int64])
@pytest.mark.parametrize("components", [1, 8, 30])
def test_sums_of_features_are_those_of_scipy(place, value, components):
    rng = np.random.default_rng(0)
    matrix = sp.random(300, 70, 0.1, "csr", value, random_state=0)
    matrix.indices[3:5] = matrix.indices[3]  # entered twice: they add up
    matrix.indptr, matrix.indices = matrix.indptr.astype(place), matrix.indices.astype(np.int32)
    biases = rng.normal(size=75).astype(np.float32)
    embeddings = rng.normal(size=(75, components)).astype(np.float32)
    rows = np.array([0, 299, 7, 7, *rng.integers(300, size=50)])
    found = sums_of(matrix, rows, biases, embeddings)
    expected = matrix[rows].astype(np.float32)
    np.testing.assert_array_equal(found[0], expected @ biases[:70])
    np.testing.assert_array_equal(found[1], expected @ embeddings[:70])
    assert found[0].dtype == found[1].dtype == np.float32
    none = sums_of(matrix, rows[:0], biases, embeddings)
    assert none[0].shape == (0,) and none[1].shape == (0, components)


def damaged(part: str, at: int, number: float) -> sp.csr_matrix:
    matrix = sp.csr_matrix(np.array([[1, 0, 2], [0, 0, 3], [0, 4, 5]], dtype=np.float32))
    getattr(matrix, part)[at] = number
    return matrix


@pytest.mark.parametrize(
    ("part", "at", "number", "reason"),
    [
        ("indptr", 1, -1, r"damaged: .* row 0 .* at \[0, -1\) of 5"),
        ("indptr", 2, 1, r"damaged: .* row 1 .* at \[2, 1\) of 5"),
        ("indptr", 2, 6, r"damaged: .* row 1 .* at \[2, 6\) of 5"),
        ("indptr", 2, 2**31 - 1, r"damaged: .* row 1"),
        ("indices", 2, 3, "columns 0 to 2, got column 3 in row 1"),
        ("indices", 2, -1, "columns 0 to 2, got column -1 in row 1"),
        ("data", 2, np.nan, "finite, got NaN or infinity in row 1"),
        ("data", 2, np.inf, "finite, got NaN or infinity in row 1"),
    ],
)
def test_only_the_rows_asked_for_are_checked(part, at, number, reason):
    biases, embeddings = np.ones(3, np.float32), np.ones((3, 4), np.float32)
    matrix = damaged(part, at, number)
    with pytest.raises(ValueError, match=f"item_features .*{reason}"):
        sums_of(matrix, np.array([0, 1]), biases, embeddings)
    unharmed = 2 if part != "indptr" or at != 2 else 0
    np.testing.assert_array_equal(
        sums_of(matrix, np.array([unharmed]), biases, embeddings)[0], [3.0, 3.0, 9.0][unharmed]
    )


@pytest.mark.parametrize("row", [-1, 3, 2**31 - 1])
def test_rows_that_a_matrix_does_not_have(row):
    biases, embeddings = np.ones(3, np.float32), np.ones((3, 4), np.float32)
    with pytest.raises(ValueError, match=f"rows of item_features .* 0 to 2, got {row}"):
        sums_of(damaged("data", 0, 1.0), np.array([0, row]), biases, embeddings)


def test_arrays_of_a_matrix_that_do_not_fit_each_other():
    matrix = damaged("data", 0, 1.0)
    biases, embeddings = np.ones(3, np.float32), np.ones((3, 4), np.float32)
    rows = np.array([2], dtype=np.int32)
    for short in ((matrix.indices[:4], matrix.data), (matrix.indices, matrix.data[:4])):
        with pytest.raises(ValueError, match="damaged"):
            _core.sum_features("x", matrix.indptr, *short, rows, biases, embeddings)
    with pytest.raises(ValueError, match="do not fit"):
        sums_of(matrix, rows, biases[:2], embeddings)
    nothing = matrix.indptr[:0], matrix.indices, matrix.data
    with pytest.raises(ValueError, match="rows of x"):
        _core.sum_features("x", *nothing, rows, biases, embeddings)


def test_a_value_beyond_single_precision():
    matrix = sp.csr_matrix(np.array([[1e300, 0.0]]))
    biases, embeddings = np.ones(2, np.float32), np.ones((2, 4), np.float32)
    with pytest.raises(ValueError, match="finite"):
        sums_of(matrix, np.array([0]), biases, embeddings)


# Users for whom BPR has nothing unknown to draw


@pytest.mark.parametrize("share", [1.0, 0.9])
def test_bpr_learns_from_dislikes_where_everything_is_known(share):
    """Two groups of users, who like one half of the items each and dislike the other."""
    rng = np.random.default_rng(0)
    n_users, n_items = 40, 10
    like = np.arange(n_users)[:, None] % 2 == np.arange(n_items) % 2
    rows, cols = np.nonzero(rng.random(like.shape) < share)
    values = np.where(like[rows, cols], 1.0, -1.0).astype(np.float32)
    panel = sp.coo_matrix((values, (rows, cols)), shape=like.shape)
    model = LightFM(loss="bpr", random_state=0).fit(panel, epochs=30)
    assert explicit_auc(model, panel) > 0.93


def test_bpr_skips_users_who_know_and_like_everything():
    interactions = sp.coo_matrix(np.ones((5, 4), np.float32))
    run = run_of("bpr", interactions=interactions)
    before = [array.copy() for array in run.unpack()]
    run.trainer.shuffle(1, 1)
    assert run.part(0, run.n) == (0, 0, 0, 0, 0)
    assert_equal(run.settled(), before)


# Ranks


def test_ranks_of_more_items_than_single_precision_counts():
    """All tie, and one is beyond 2**24 others: float32 would stop counting there."""
    n_items = 2**24 + 7
    items = _core.Items(np.zeros(n_items, np.float32), np.zeros((n_items, 1), np.float32), True)
    indptr, nobody = np.array([0, 1]), np.zeros(2, np.int64)
    user = np.zeros(1, np.float32), np.zeros((1, 1), np.float32)
    nothing = np.zeros(0, np.int32)
    ranks, in_train = items.ranks(*user, indptr, np.array([5], np.int32), nobody, nothing, 1)
    assert ranks.dtype == np.float32
    assert ranks[0] == np.float32(n_items - 1) and not in_train[0]
