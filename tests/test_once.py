"""What a fit does once, by threads: the same arrays for any number of them."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import scipy.sparse as sp
from test_core import Run

from lightfm_clone import LightFM, _core

THREADS = [1, 2, 8]
INF = np.float32(np.inf)

# Users, items, interactions, and how many of the users have any.
SHAPES = {
    "nothing": (3, 4, 0, 0),
    "one": (1, 1, 1, 1),
    "repeats": (5, 3, 400, 5),
    "few users of many": (200_000, 50, 2_000, 40),
    "one user": (1, 30_000, 150_000, 1),
    "one user among others": (1000, 30_000, 150_000, 1),
    "many users": (90_000, 2_000, 300_000, 90_000),
    "many items": (300, 20_000_000, 3_000, 200),
    "all of a small catalogue": (5_000, 40, 400_000, 4_000),
}


def pairs_of(shape: str) -> tuple[int, int, np.ndarray, np.ndarray]:
    n_users, n_items, n, n_active = SHAPES[shape]
    rng = np.random.default_rng(0)
    # The last ones: of the ranges of users most are empty.
    rows = n_users - 1 - rng.integers(max(n_active, 1), size=n, dtype=np.int32)
    return n_users, n_items, rows, rng.integers(n_items, size=n, dtype=np.int32)


def packed(rows, cols, n_users: int, n_items: int, num_threads: int, values=None, weights=None):
    positive = rows % 3 > 0
    return _core.Interactions(
        rows, cols, positive, values, weights, n_users, n_items, num_threads=num_threads
    )


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("words", [2, 3, 4])
def test_known_items_are_the_distinct_ones_sorted(shape, words, threads):
    n_users, n_items, rows, cols = pairs_of(shape)
    further = [np.ones(len(rows), np.float32) for _ in range(words - 2)]
    indptr, items = packed(rows, cols, n_users, n_items, threads, *further).known()
    assert (indptr.dtype, items.dtype, len(indptr)) == (np.int64, np.int32, n_users + 1)
    expected = np.unique(rows.astype(np.int64) * n_items + cols)
    np.testing.assert_array_equal(items, expected % n_items)
    np.testing.assert_array_equal(np.diff(indptr), np.bincount(expected // n_items, None, n_users))
    assert indptr[0] == 0


def trained(rows, cols, shape: tuple[int, int], num_threads: int, **settings) -> list[np.ndarray]:
    """All arrays after a part of an epoch on one thread; what comes before it on so many."""
    run = Run(packed(rows, cols, *shape, num_threads), shape, num_threads=num_threads, **settings)
    run.trainer.shuffle(1, 1)
    run.part(0, 512 * 4)
    return run.settled()


@pytest.mark.parametrize("shape", ["many users", "all of a small catalogue", "one user"])
@pytest.mark.parametrize(
    "settings", [{"loss": "warp"}, {"loss": "warp", "negatives": "seen"}, {"loss": "bpr"}]
)
def test_training_does_not_depend_on_who_prepared_it(shape, settings):
    n_users, n_items, rows, cols = pairs_of(shape)
    alone, *others = (
        trained(rows, cols, (n_users, n_items), threads, **settings) for threads in THREADS
    )
    for other in others:
        for array, expected in zip(other, alone, strict=True):
            np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("shape", ["nothing", "one", "many users", "all of a small catalogue"])
def test_items_that_occur_are_counted(shape, threads):
    n_users, n_items, rows, cols = pairs_of(shape)
    given = packed(rows, cols, n_users, n_items, threads)
    assert given.n_candidates() == given.n_candidates() == len(np.unique(cols))


def test_an_interrupt_while_known_items_are_found():
    if not hasattr(signal, "setitimer"):
        pytest.skip("no timers")
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(3000, size=(2, 3_000_000), dtype=np.int32)
    given = packed(rows, cols, 3000, 3000, 2)
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(KeyboardInterrupt):
            given.known()
            signal.pause()  # it was done before the alarm
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    _, items = given.known()
    assert len(items) == len(np.unique(rows.astype(np.int64) * 3000 + cols))


# ---- parameters ----


def arrays_of(n_rows: int, components: int, parts: int) -> tuple[list, list]:
    rng = np.random.default_rng(0)
    embeddings = [rng.normal(size=(n_rows, components)).astype(np.float32) for _ in range(parts)]
    return embeddings, [rng.normal(size=n_rows).astype(np.float32) for _ in range(parts)]


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("n_rows", [0, 1, 7, 20_000])
@pytest.mark.parametrize("components", [1, 6, 16, 20])
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_what_is_packed_is_unpacked(parts, components, n_rows, threads):
    given, others = arrays_of(n_rows, components, parts), arrays_of(n_rows, components, parts)
    rows = _core.Parameters(*given, num_threads=threads)
    for of_kind in others:
        for array in of_kind:
            array[...] = 7
    rows.unpack(*others)
    for found, expected in zip((*others[0], *others[1]), (*given[0], *given[1]), strict=True):
        np.testing.assert_array_equal(found, expected)
    for array in (*given[0], *given[1]):
        array *= 2
    rows.pack(*given)
    rows.unpack(*others)
    for found, expected in zip((*others[0], *others[1]), (*given[0], *given[1]), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("value", [np.nan, INF, -INF])
@pytest.mark.parametrize("components", [6, 16])
def test_values_must_be_finite_and_states_need_not(components, value, threads):
    n_rows = 20_000
    embeddings, biases = arrays_of(n_rows, components, 2)
    embeddings[1][3, 0] = biases[1][4] = value
    rows = _core.Parameters(embeddings, biases, num_threads=threads)
    assert rows.is_finite()
    for row in (0, 10_000, n_rows - 1):
        for array, at in ((embeddings[0], (row, components - 1)), (biases[0], row)):
            before = array[at]
            array[at] = value
            rows.pack(embeddings, biases)
            assert not rows.is_finite()
            array[at] = before
    rows.pack(embeddings, biases)
    assert rows.is_finite()


def test_arrays_that_do_not_fit_are_refused():
    embeddings, biases = arrays_of(5, 6, 2)
    rows = _core.Parameters(embeddings, biases)
    for wrong in (
        (embeddings[:1], biases),
        (embeddings, biases[:1]),
        ([embeddings[0], embeddings[1][:4]], biases),
        ([embeddings[0], embeddings[1][:, :5].copy()], biases),
        (embeddings, [biases[0], biases[1][:4]]),
        (embeddings, [biases[0], np.zeros(10, np.float32)[::2]]),
    ):
        with pytest.raises(ValueError):
            rows.pack(*wrong)
        with pytest.raises(ValueError):
            rows.unpack(*wrong)
    biases[1].flags.writeable = False
    rows.pack(embeddings, biases)
    with pytest.raises(ValueError, match="read-only"):
        rows.unpack(embeddings, biases)


def test_columns_of_other_lengths_are_refused():
    rows = np.zeros(3, np.int32)
    for columns in ((rows[:2], None), (rows, np.zeros(2, np.float32))):
        with pytest.raises(ValueError, match="the length of rows, 3"):
            _core.Interactions(rows, columns[0], None, columns[1], None, 1, 1)


# ---- drawing ----


@pytest.mark.parametrize("loss", ["warp", "softmax"])
def test_rows_are_drawn_in_one_stream(loss):
    """However many are drawn at a time."""
    n_users, n_items, d = 9000, 4001, 10
    nothing = sp.coo_matrix((n_users, n_items), dtype=np.float32)
    model = LightFM(d, loss=loss, random_state=5).fit(nothing, epochs=0)
    stream = np.random.RandomState(5)
    for rows, n in ((model.item_embeddings, n_items), (model.user_embeddings, n_users)):
        if loss == "softmax":
            drawn = stream.normal(0.0, 0.1, (n, d))
        else:
            drawn = (stream.rand(n, d) - 0.5) / d
        np.testing.assert_array_equal(rows, drawn.astype(np.float32))
