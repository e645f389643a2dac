"""Prepared items, against all scores sorted.

Where representations are small integers, scores are exact in any order of summation and often
equal, so lists are compared entry by entry, ties included.
"""

from __future__ import annotations

import threading
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import model_with, random_features, random_interactions
from hypothesis import given, settings
from hypothesis import strategies as st

from lightfm_clone import LightFM
from lightfm_clone._model import prepared as module
from lightfm_clone._model.prepared import PreparedItems


def integers(rng: np.random.Generator, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Biases and vectors of small whole numbers."""
    biases, vectors = rng.integers(-2, 3, size=n), rng.integers(-2, 3, size=(n, d))
    return biases.astype(np.float32), vectors.astype(np.float32)


def scores_of(users: tuple, items: PreparedItems) -> np.ndarray:
    return users[1] @ items.vectors.T + users[0][:, None] + items.biases


def sorted_lists(scores: np.ndarray, allowed: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The lists by a plain loop, from all scores and a mask of what is allowed."""
    ids = np.full((len(scores), k), -1, dtype=np.int32)
    values = np.full((len(scores), k), -np.inf, dtype=np.float32)
    for row in range(len(scores)):
        order = sorted(np.flatnonzero(allowed[row]), key=lambda i: (-scores[row, i], i))[:k]
        ids[row, : len(order)], values[row, : len(order)] = order, scores[row, order]
    return ids, values


def assert_equal_lists(found: tuple, expected: tuple) -> None:
    for left, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(left, right, strict=True)


def shuffled(mask: np.ndarray, rng: np.random.Generator) -> sp.csr_matrix:
    """CSR with the mask's entries in no order, some of them twice, values 0 and 1."""
    rows, cols = np.nonzero(mask)
    again = rng.random(len(rows)) < 0.2
    rows, cols = np.concatenate([rows, rows[again]]), np.concatenate([cols, cols[again]])
    order = np.lexsort((rng.random(len(rows)), rows))
    values = rng.integers(2, size=len(rows)).astype(np.float32)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(mask)))])
    return sp.csr_matrix((values, cols[order], indptr), shape=mask.shape)


# ---- lists ---------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.data())
def test_lists_are_the_sorted_scores(data):
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    n_users, n = (
        draw(st.sampled_from([0, 1, 2, 12, 13, 50])),
        draw(st.sampled_from([1, 9, 40, 600])),
    )
    d, k = draw(st.sampled_from([1, 2, 9])), draw(st.sampled_from([1, 2, 10, 60]), label="k")
    users, items = integers(rng, n_users, d), PreparedItems(*integers(rng, n, d))
    allowed, given = np.ones((n_users, n), dtype=bool), {}
    how = draw(st.sampled_from(["all", "the same", "their own"]), label="candidates")
    share = draw(st.sampled_from([0, 0.02, 0.3, 1]), label="share of candidates")
    if how == "the same":
        given["candidates"] = np.flatnonzero(rng.random(n) < share).astype(np.int32)
        allowed &= np.isin(np.arange(n), given["candidates"])
    elif how == "their own":
        own = rng.random((n_users, n)) < share
        given["candidates"] = shuffled(own, rng)
        allowed &= own
    if draw(st.booleans(), label="exclude"):
        known = rng.random((n_users, n)) < draw(st.sampled_from([0, 0.1, 1]), label="share known")
        given["exclude"] = shuffled(known, rng)
        allowed &= ~known
    threads = draw(st.sampled_from([1, 2, None]), label="num_threads")
    found = items.best(users, k, num_threads=threads, **given)
    assert_equal_lists(found, sorted_lists(scores_of(users, items), allowed, k))


@pytest.mark.parametrize("pair", [0, 10**6], ids=["by mask", "pair by pair"])
@pytest.mark.parametrize("masked", [1, 100, 1 << 22])
@pytest.mark.parametrize("n_users", [3, 30])
def test_own_candidates_either_way(monkeypatch, pair, masked, n_users):
    """Both ways lead to the same lists, in blocks of any size."""
    monkeypatch.setattr(module, "_PAIR", 0 if pair else 10**6)
    monkeypatch.setattr(module, "_MASKED", masked)
    rng = np.random.default_rng(0)
    users, items = integers(rng, n_users, 3), PreparedItems(*integers(rng, 70, 3))
    own, known = rng.random((2, n_users, 70)) < [[[0.5]], [[0.2]]]
    found = items.best(users, 8, candidates=shuffled(own, rng), exclude=shuffled(known, rng))
    assert_equal_lists(found, sorted_lists(scores_of(users, items), own & ~known, 8))


@pytest.mark.parametrize("share", [0.01, 0.9])
def test_scores_of_real_numbers(share):
    """Negative ones and zeros of both signs, too."""
    rng = np.random.default_rng(0)
    users = np.zeros(20, np.float32), rng.normal(size=(20, 4)).astype(np.float32)
    users[1][3] = -0.0
    items = PreparedItems(np.zeros(3000, np.float32), rng.normal(size=(3000, 4)).astype(np.float32))
    own = rng.random((20, 3000)) < share
    ids, scores = items.best(users, 9, candidates=sp.csr_matrix(own))
    expected = sorted_lists(scores_of(users, items), own, 9)
    np.testing.assert_array_equal(ids, expected[0])
    np.testing.assert_allclose(scores, expected[1], rtol=1e-5, atol=1e-6)


def test_nothing_to_choose_from():
    users, none = integers(np.random.default_rng(0), 20, 2), np.empty(0, dtype=np.int32)
    expected = np.full((20, 3), -1, np.int32), np.full((20, 3), -np.inf, np.float32)
    no_items = PreparedItems(np.empty(0, np.float32), np.empty((0, 2), np.float32))
    assert_equal_lists(no_items.best(users, 3), expected)
    assert_equal_lists(no_items.best(users, 3, candidates=sp.csr_matrix((20, 0))), expected)
    items = PreparedItems(*integers(np.random.default_rng(0), 30, 2))
    assert_equal_lists(items.best(users, 3, candidates=none), expected)
    few = tuple(of[:2] for of in users)
    assert_equal_lists(items.best(few, 3, candidates=none), tuple(of[:2] for of in expected))
    assert_equal_lists(items.best(users, 3, candidates=sp.csr_matrix((20, 30))), expected)


def test_one_object_serves_threads():
    rng = np.random.default_rng(0)
    users, items = integers(rng, 100, 8), PreparedItems(*integers(rng, 900, 8))
    expected = sorted_lists(scores_of(users, items), np.ones((100, 900), dtype=bool), 5)
    found: dict[int, tuple] = {}

    def ask(number: int) -> None:
        found[number] = items.best(users, 5, num_threads=1 + number % 2)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [*range(8)]
    for lists in found.values():
        assert_equal_lists(lists, expected)


def test_what_is_given_stays():
    rng = np.random.default_rng(0)
    biases, vectors = integers(rng, 40, 3)
    users, items = integers(rng, 20, 3), PreparedItems(biases, vectors)
    assert np.shares_memory(items.vectors, vectors)
    own, known = (shuffled(rng.random((20, 40)) < 0.5, rng) for _ in range(2))
    arrays = (biases, vectors, *users, own.indices, own.data, known.indices, known.data)
    before = [array.copy() for array in arrays]
    items.best(users, 3, exclude=known, candidates=own)
    items.best(users, 3, exclude=known, candidates=np.arange(5, dtype=np.int32))
    items.ranks(users, own, known)
    items.cosines(np.arange(2, dtype=np.int32), np.zeros((2, 3), dtype=np.int32))
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_masks_are_made_in_blocks(monkeypatch):
    """The numbers of 1,000 x 5,000 pairs at once would take 40 MB."""
    monkeypatch.setattr(module, "_MASKED", 1 << 18)
    users = np.zeros(1000, np.float32), np.zeros((1000, 1), np.float32)
    items = PreparedItems(np.arange(5000), np.zeros((5000, 1), np.float32))
    own = sp.random(1000, 5000, 0.05, format="csr", dtype=np.float32, random_state=0)
    own.sort_indices()
    tracemalloc.start()
    try:
        ids, _ = items.best(users, 1, candidates=own)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(ids[:, 0], own.indices[own.indptr[1:] - 1])


# ---- of a model ----------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["warp", "softmax"])
def test_lists_are_those_of_the_model(loss):
    given = {
        "user_features": random_features(30, 6, seed=2),
        "item_features": random_features(20, 7, seed=3),
    }
    interactions = random_interactions(1)
    model = LightFM(no_components=4, loss=loss, random_state=1).fit(interactions, epochs=3, **given)
    items = PreparedItems.of(model, given["item_features"])
    users = model.get_user_representations(given["user_features"])
    known = sp.csr_matrix(interactions)
    assert_equal_lists(
        items.best(users, 7, exclude=known), model.recommend(k=7, exclude=known, **given)
    )
    rows = np.array([1, 4, 8, 11], dtype=np.int32)
    found = items.best(users, 7, candidates=rows)
    assert_equal_lists(found, model.recommend(k=7, items=rows, **given))
    ranks = items.ranks(users, known)
    np.testing.assert_array_equal(ranks.toarray(), model.predict_rank(known, **given).toarray())
    pairs = np.array([[3, 7, -1], [0, -1, -1]], dtype=np.int32)
    scores = items.scores((users[0][:2], users[1][:2]), pairs)
    np.testing.assert_allclose(scores[0, :2], model.predict(0, [3, 7], **given), rtol=1e-6)
    np.testing.assert_allclose(scores[1, 0], model.predict(1, [0], **given)[0], rtol=1e-6)
    assert (scores[pairs < 0] == -np.inf).all()


def test_no_ranking_of_what_is_no_number():
    model = model_with(np.ones((3, 2)), [[1, np.nan], [0, 0]])
    with pytest.raises(ValueError, match="representations of some items are NaN or infinite"):
        PreparedItems.of(model)
    items = PreparedItems(np.zeros(2), np.ones((2, 2)))
    for candidates in (None, np.array([1], np.int32)):
        with pytest.raises(ValueError, match="representations of some users are NaN or infinite"):
            items.best(
                (np.array([np.inf], np.float32), np.ones((1, 2), np.float32)),
                1,
                candidates=candidates,
            )


def test_other_biases():
    rng = np.random.default_rng(0)
    users, (biases, vectors) = integers(rng, 20, 2), integers(rng, 50, 2)
    items = PreparedItems(biases, vectors)
    items.best(users, 3)  # packed by now
    other = items.with_biases(-biases)
    assert np.shares_memory(other.vectors, items.vectors)
    assert_equal_lists(other.best(users, 3), PreparedItems(-biases, vectors).best(users, 3))


# ---- ranks and cosines ---------------------------------------------------------------------------


@pytest.mark.parametrize("n_users", [1, 40])
def test_ranks_are_counts(n_users):
    rng = np.random.default_rng(0)
    users, items = integers(rng, n_users, 2), PreparedItems(*integers(rng, 33, 2))
    scores = scores_of(users, items)
    test, known = rng.random((2, n_users, 33)) < 0.3
    ranks = items.ranks(users, sp.csr_matrix(test), shuffled(known, rng), num_threads=2)
    assert ranks.dtype == np.float32
    np.testing.assert_array_equal(ranks.nonzero()[0].size, (ranks.toarray() > 0).sum())
    for user, item in zip(*np.nonzero(test), strict=True):
        others = ~known[user] & (np.arange(33) != item)
        assert ranks[user, item] == (scores[user, others] >= scores[user, item]).sum()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.bool_])
def test_ranks_of_rows_in_no_order(dtype):
    rng = np.random.default_rng(0)
    users, items = integers(rng, 4, 2), PreparedItems(*integers(rng, 30, 2))
    in_order = sp.csr_matrix((rng.random((4, 30)) < 0.4).astype(dtype))
    order = np.concatenate(
        [rng.permutation(np.arange(*in_order.indptr[u : u + 2])) for u in range(4)]
    )
    test = sp.csr_matrix(
        (in_order.data[order], in_order.indices[order], in_order.indptr), shape=(4, 30)
    )
    ranks = items.ranks(users, test)
    assert ranks.dtype == np.float32
    np.testing.assert_array_equal(ranks.indices, test.indices)
    np.testing.assert_array_equal(ranks.data, items.ranks(users, in_order).data[order])


def test_ranks_of_shared_entries():
    users, items = (
        (np.zeros(1, np.float32), np.ones((1, 1), np.float32)),
        PreparedItems(np.array([3, 2, 1]), np.zeros((3, 1))),
    )
    test, known = sp.csr_matrix([[0, 1, 1]]), sp.csr_matrix([[1, 1, 0]])
    np.testing.assert_array_equal(items.ranks(users, test, known).toarray(), [[0, 0, 0]])
    np.testing.assert_array_equal(items.ranks(users, test).toarray(), [[0, 1, 2]])
    with pytest.raises(ValueError, match="share entries"):
        items.ranks(users, test, known, check_intersections=True)
    known.data[1] = 0
    items.ranks(users, test, known, check_intersections=True)


def test_cosines():
    vectors = np.array([[1, 0], [3, 4], [0, -2], [0, 0], [1e-30, 0]], dtype=np.float32)
    items = PreparedItems(np.full(5, 9.0), vectors)
    found = items.cosines(
        np.array([1, 4], dtype=np.int32), np.array([[0, 1, 2, 3], [0, 1, 2, 3]], dtype=np.int32)
    )
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.6, 1, -0.8, 0], [1, 0.6, 0, 0]], rtol=1e-6)


# ---- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["exclude", "candidates"])
@pytest.mark.parametrize("shape", [(2, 4), (3, 5)])
def test_bad_shapes(name, shape):
    items, users = (
        PreparedItems(np.zeros(4), np.zeros((4, 1))),
        integers(np.random.default_rng(0), 3, 1),
    )
    with pytest.raises(ValueError, match=rf"^{name} must have shape \(3, 4\), .* got \({shape[0]}"):
        items.best(users, 2, **{name: sp.csr_matrix(shape)})


@pytest.mark.parametrize("k", [0, 1.5, None])
def test_bad_k(k):
    users = integers(np.random.default_rng(0), 3, 1)
    with pytest.raises(ValueError, match="^k must be an integer from 1"):
        PreparedItems(np.zeros(4), np.zeros((4, 1))).best(users, k)
