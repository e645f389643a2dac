"""Neighbours of items and their weights in the core, against a twin on dense matrices."""

from __future__ import annotations

import signal
import threading
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from lightfm_clone import _core
from lightfm_clone.recommender import item_weights

MUCH = 1 << 30


def made_up(
    seed: int, n_users: int, n_items: int, density: float, values: bool = False
) -> sp.csr_matrix:
    """Random interactions; the last item is the first one again, and some have no user."""
    rng = np.random.default_rng(seed)
    dense = (rng.random((n_users, n_items)) < density).astype(np.float32)
    if values:
        dense *= rng.integers(-1, 4, dense.shape)
    dense[rng.random(n_users) < 0.1] = 0
    dense[:, rng.random(n_items) < 0.1] = 0
    dense[:, -1] = dense[:, 0]
    return sp.csr_matrix(dense)


def parts(x: sp.csr_matrix, values: bool) -> tuple[Any, Any, Any]:
    data = x.data.astype(np.float32) if values else None
    return x.indptr.astype(np.int64), x.indices.astype(np.int32), data


def user_weights(x: sp.csr_matrix, power: float) -> np.ndarray:
    return (np.maximum(np.diff(x.indptr), 1.0) ** -power).astype(np.float32)


def item_scales(x: sp.csr_matrix) -> np.ndarray:
    return (np.maximum(x.getnnz(axis=0), 1.0) ** -0.5).astype(np.float32)


def gram(x: sp.csr_matrix, weights: np.ndarray) -> np.ndarray:
    dense = x.toarray().astype(np.float64)
    return dense.T @ (weights.astype(np.float64)[:, None] * dense)


def nearest(x: sp.csr_matrix, k: int, values: bool = False, threads: int = 1, **further: Any):
    weights, scales = user_weights(x, 1.0), item_scales(x)
    return item_weights.nearest_items(*parts(x, values), weights, scales, k, threads, **further)


def ridge(
    x: sp.csr_matrix,
    neighbours: np.ndarray,
    values: bool = False,
    l2: float = 3.0,
    threads: int = 1,
    most_bytes: int = MUCH,
    **further: Any,
):
    weights = user_weights(x, 0.5)
    return item_weights.ridge_weights(
        *parts(x, values), weights, neighbours, l2, threads, most_bytes, **further
    )


def twin_of_ridge(g: np.ndarray, neighbours: np.ndarray, l2: float) -> np.ndarray:
    weights = np.zeros(neighbours.shape)
    for item, places in enumerate(neighbours):
        n = places[places >= 0]
        b = np.linalg.solve(g[np.ix_(n, n)] + l2 * np.eye(len(n)), g[n, item])
        weights[item, : len(n)] = b
    return weights


# Users, items, density, k: lists shorter than k, long sums over all items, few sums among many.
SHAPES = [
    (30, 12, 0.3, 4),
    (30, 12, 0.3, 1),
    (20, 9, 0.5, 30),
    (200, 70, 0.2, 25),
    (40, 400, 0.01, 6),
    (60, 300, 0.05, 100),
    (5, 2, 0.9, 3),
    (3, 1, 0.9, 2),
]


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_nearest_items_are_those_of_the_twin(shape: tuple[int, int, float, int], values: bool):
    *size, k = shape
    for seed in range(10):
        x = made_up(seed, *size, values=values)
        neighbours, similarities = nearest(x, k, values)
        scales = item_scales(x).astype(np.float64)
        twin = gram(x, user_weights(x, 1.0)) * np.outer(scales, scales)
        np.fill_diagonal(twin, 0)
        # What cancels out is no neighbour, but for rounding.
        slack = 1e-6 * max(abs(twin).max(), 1)
        assert neighbours.dtype == np.int32 and similarities.dtype == np.float32
        for item, (places, found) in enumerate(zip(neighbours, similarities, strict=True)):
            n = int((places >= 0).sum())
            assert (places[n:] == -1).all() and (found[n:] == 0).all() and (found[:n] > 0).all()
            assert (np.diff(places[:n]) > 0).all() and item not in places
            np.testing.assert_allclose(found[:n], twin[item, places[:n]], rtol=1e-5, atol=slack)
            assert (twin[item] > slack).sum() <= n or n == k
            # None that was left out is nearer than one that was taken.
            left_out = np.delete(twin[item], places[:n])
            if n and left_out.size and n == k:
                assert left_out.max() <= found[:n].min() + slack


def test_of_equal_items_the_lower_number_is_nearer():
    x = sp.csr_matrix(np.ones((6, 10), dtype=np.float32))
    neighbours, similarities = nearest(x, 3)
    assert neighbours.tolist() == [
        [1, 2, 3], [0, 2, 3], [0, 1, 3], *[[0, 1, 2]] * 7
    ]  # fmt: skip
    assert len(np.unique(similarities)) == 1
    # The same where each row has few sums among many items.
    wide = sp.csr_matrix((x.data, x.indices * 50, x.indptr), shape=(6, 10_000))
    sparse, _ = nearest(wide, 3)
    np.testing.assert_array_equal(sparse[: 10 * 50 : 50], neighbours * 50)
    assert (np.delete(sparse, np.arange(0, 500, 50), axis=0) == -1).all()


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_weights_are_those_of_the_twin(shape: tuple[int, int, float, int], values: bool):
    *size, k = shape
    for seed in range(10):
        x = made_up(seed, *size, values=values)
        neighbours, _ = nearest(x, k, values)
        weights = ridge(x, neighbours, values, l2=3.0)
        assert weights.dtype == np.float32 and (weights[neighbours == -1] == 0).all()
        twin = twin_of_ridge(gram(x, user_weights(x, 0.5)), neighbours, 3.0)
        np.testing.assert_allclose(weights, twin, rtol=1e-4, atol=1e-5)


def test_neighbours_may_be_any_items():
    x = made_up(0, 50, 40, 0.3)
    rng = np.random.default_rng(0)
    neighbours = np.full((40, 9), -1, dtype=np.int32)
    for item in range(40):
        others = np.delete(np.arange(40), item)
        n = rng.integers(0, 10)
        neighbours[item, :n] = np.sort(rng.choice(others, n, replace=False))
    twin = twin_of_ridge(gram(x, user_weights(x, 0.5)), neighbours, 0.5)
    np.testing.assert_allclose(ridge(x, neighbours, l2=0.5), twin, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_threads_and_memory_change_no_bit(shape: tuple[int, int, float, int], values: bool):
    *size, k = shape
    x = made_up(3, *size, values=values)
    one, two, three = (nearest(x, k, values, threads=threads) for threads in (1, 2, 3))
    for other in (two, three):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    weights = ridge(x, one[0], values)
    for threads in (1, 2):
        for most_bytes in (0, 100, 3_000, MUCH):
            again = ridge(x, one[0], values, threads=threads, most_bytes=most_bytes)
            np.testing.assert_array_equal(weights, again)


@pytest.mark.parametrize("level", _core.available_levels())
def test_levels_change_no_bit(level: str):
    x = made_up(5, 200, 70, 0.2)
    neighbours, _ = nearest(x, 25)
    fastest = ridge(x, neighbours)
    try:
        _core.use_level(level)
        np.testing.assert_array_equal(ridge(x, neighbours), fastest)
    finally:
        _core.use_level(_core.available_levels()[-1])


def test_nothing_at_all():
    empty = sp.csr_matrix((0, 0), dtype=np.float32)
    neighbours, similarities = nearest(empty, 3)
    assert neighbours.shape == similarities.shape == ridge(empty, neighbours).shape == (0, 3)
    for shape in [(0, 4), (4, 4)]:
        silent = sp.csr_matrix(shape, dtype=np.float32)
        neighbours, similarities = nearest(silent, 3)
        assert (neighbours == -1).all() and (similarities == 0).all()
        assert (ridge(silent, neighbours) == 0).all()
    assert ridge(silent, np.empty((4, 0), dtype=np.int32)).shape == (4, 0)


def test_progress_rises_to_all_items():
    x = made_up(0, 200, 70, 0.2)
    told: list[int] = []
    neighbours, _ = nearest(x, 10, advance=told.append)
    assert told == sorted(told) and told[-1] == 70
    told.clear()
    ridge(x, neighbours, most_bytes=5_000, advance=told.append)
    assert told == sorted(told) and told[-1] == 70 and len(told) > 2

    def fail(n: int) -> None:
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        nearest(x, 10, advance=fail)
    with pytest.raises(RuntimeError, match="no more"):
        ridge(x, neighbours, advance=fail)


def test_bad_interactions():
    x = made_up(0, 30, 12, 0.3)
    neighbours, _ = nearest(x, 4)
    (indptr, items, _), weights, scales = parts(x, False), user_weights(x, 1.0), item_scales(x)

    def both(indptr, items, values, weights) -> None:
        item_weights.ridge_weights(indptr, items, values, weights, neighbours, 3.0, 1, MUCH)

    def of_nearest(indptr, items, values, weights) -> None:
        item_weights.nearest_items(indptr, items, values, weights, scales, 4, 1)

    for call in (both, of_nearest):
        with pytest.raises(ValueError, match="must have an indptr of 31 numbers"):
            call(indptr[:-1], items, None, weights)
        with pytest.raises(ValueError, match="must have an indptr of 30 numbers"):
            call(indptr, items, None, weights[:-1])
        with pytest.raises(ValueError, match="rise from 0 to the number of its items"):
            call(indptr, items[:-1], None, weights)
        for wrong in (items[::-1].copy(), items + np.int32(1), np.zeros_like(items)):
            with pytest.raises(ValueError, match="interactions must have sorted distinct items"):
                call(indptr, wrong, None, weights)
        with pytest.raises(ValueError, match="values must have the length of items"):
            call(indptr, items, np.ones(3, dtype=np.float32), weights)
        with pytest.raises(ValueError, match="Buffer dtype mismatch"):
            call(indptr, items.astype(np.int64), None, weights)


def test_bad_arguments():
    x = made_up(0, 30, 12, 0.5)
    neighbours, _ = nearest(x, 4)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        nearest(x, 0)
    for l2 in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="l2 must be a finite number of at least 0"):
            ridge(x, neighbours, l2=l2)
    with pytest.raises(ValueError, match="interactions must have sorted distinct items"):
        ridge(x, neighbours[:-1])
    for places in ([1, 1, 2, 3], [2, 1, -1, -1], [-1, 1, 2, 3], [0, 1, 2, 3], [9, 10, 11, 12],
                   [-2, 1, 2, 3], [1, -1, 2, -1]):  # fmt: skip
        wrong = neighbours.copy()
        wrong[0] = places
        with pytest.raises(ValueError, match="neighbours must have sorted distinct items"):
            ridge(x, wrong)


def test_what_has_no_solution_is_named():
    # Nobody has the last item.
    x = sp.csr_matrix(np.array([[1, 1, 0], [0, 1, 0]], dtype=np.float32))
    neighbours = np.array([[-1, -1], [0, 2], [-1, -1]], dtype=np.int32)
    with pytest.raises(ValueError, match="neighbours of item 1 have no finite solution"):
        ridge(x, neighbours, l2=0.0)
    huge = sp.csr_matrix(np.full((3, 3), 1e30, dtype=np.float32))
    neighbours = np.array([[-1, -1], [-1, -1], [0, 1]], dtype=np.int32)
    with pytest.raises(ValueError, match="neighbours of item 2 have no finite solution"):
        ridge(huge, neighbours, values=True)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("what", ["nearest", "ridge"])
def test_an_interrupt_ends_them_soon(what: str, threads: int):
    x = made_up(0, 4_000, 1_500, 0.4)
    few = made_up(0, 100, 1_500, 0.4)
    neighbours, _ = nearest(few, 30)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    timer = threading.Timer(0.2, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            for _ in range(20):
                if what == "nearest":
                    nearest(x, 30, threads=threads)
                else:
                    ridge(x, neighbours, threads=threads)
    finally:
        timer.join()
        signal.signal(signal.SIGINT, handler)
