"""Prepared items whose neighbours speak for them, against dense scores in float64.

Where all numbers are small and whole, scores are exact in any order of summation and often equal,
so lists are compared entry by entry, ties included.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from test_prepared import assert_equal_lists, integers, shuffled, sorted_lists

from lightfm_clone._model.prepared import PreparedItems


def sparse_integers(
    rng: np.random.Generator, shape: tuple[int, int], share: float
) -> sp.csr_matrix:
    """Some rows are empty where there are many."""
    dense = rng.integers(-2, 3, size=shape) * (rng.random(shape) < share)
    dense[rng.random(shape[0]) < 0.2] = 0
    return sp.csr_matrix(dense.astype(np.float32))


def case(
    rng: np.random.Generator, n_users: int, n: int, d: int, n_history: int | None = None
) -> tuple[tuple, PreparedItems, np.ndarray]:
    """Users, items, and all scores."""
    n_history = n if n_history is None else n_history
    users, items = integers(rng, n_users, d), integers(rng, n, d)
    histories = sparse_integers(rng, (n_users, n_history), 20 / max(n_history, 20))
    influence = sparse_integers(rng, (n_history, n), 0.2)
    scores = (
        users[0][:, None].astype(np.float64)
        + items[0]
        + users[1].astype(np.float64) @ items[1].T
        + histories.toarray().astype(np.float64) @ influence.toarray()
    )
    return (*users, histories), PreparedItems(*items, influence), scores


@settings(deadline=None)
@given(st.data())
def test_lists_are_the_sorted_scores(data):
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    n_users = draw(st.sampled_from([0, 1, 2, 12, 13, 50]), label="users")
    n = draw(st.sampled_from([1, 9, 40, 600, 5000]), label="items")
    d = draw(st.sampled_from([0, 1, 2, 9]), label="components")
    n_history = draw(st.sampled_from([None, 1, 30]), label="rows of the influence")
    k = draw(st.sampled_from([1, 2, 10, 60]), label="k")
    users, items, scores = case(rng, n_users, n, d, n_history)
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
    assert_equal_lists(found, sorted_lists(scores.astype(np.float32), allowed, k))


@settings(deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 1, 7, 40]),
    st.sampled_from([1, 33, 2500]),
    st.sampled_from([0, 1, 5]),
    st.sampled_from([1, 2]),
)
def test_ranks_are_counts(seed, n_users, n, d, threads):
    rng = np.random.default_rng(seed)
    users, items, scores = case(rng, n_users, n, d)
    test = rng.random((n_users, n)) < min(0.3, 20 / n)
    known = rng.random((n_users, n)) < 0.3
    ranks = items.ranks(users, sp.csr_matrix(test), shuffled(known, rng), num_threads=threads)
    for user, item in zip(*np.nonzero(test), strict=True):
        others = ~known[user] & (np.arange(n) != item)
        assert ranks[user, item] == (scores[user, others] >= scores[user, item]).sum()


def real(seed: int, n_users: int = 30, n: int = 5000, d: int = 8) -> tuple[tuple, PreparedItems]:
    """Numbers that round; every second item is the copy of the one before."""
    rng = np.random.default_rng(seed)
    half = sp.random(n // 2, n, 0.02, format="csr", dtype=np.float32, random_state=rng)
    influence = sp.csr_matrix(sp.kron(half.T[: n // 2], np.ones((1, 2), dtype=np.float32)))
    influence.data -= 0.3
    biases, vectors = rng.normal(size=n // 2), rng.normal(size=(n // 2, d))
    items = PreparedItems(biases.repeat(2), vectors.repeat(2, axis=0), influence)
    histories = sp.random(n_users, n // 2, 0.03, format="csr", dtype=np.float32, random_state=rng)
    users = rng.normal(size=n_users).astype(np.float32), rng.normal(size=(n_users, d))
    return (users[0], users[1].astype(np.float32), histories), items


@pytest.mark.parametrize("n_users", [3, 30])
def test_equal_items_tie_and_threads_agree(n_users):
    users, items = real(0, n_users)
    ids, scores = items.best(users, 40)
    np.testing.assert_array_equal(ids[:, 0::2] + 1, ids[:, 1::2])
    np.testing.assert_array_equal(scores[:, 0::2], scores[:, 1::2])
    assert_equal_lists(items.best(users, 40, num_threads=2), (ids, scores))
    test = sp.csr_matrix((np.ones(ids.size), ids.flatten(), np.arange(0, ids.size + 1, 40)))
    test.resize(n_users, items.n)
    test.sort_indices()
    ranks = items.ranks(users, test, num_threads=2).toarray()
    # Each ties with its copy, so both of a pair have the worse rank.
    expected = np.tile(np.arange(40) // 2 * 2 + 1, (n_users, 1))
    np.testing.assert_array_equal(np.take_along_axis(ranks, ids, 1), expected)


@pytest.mark.parametrize("n_users", [2, 20])
def test_lists_ranks_and_pairs_round_alike(n_users):
    """Over several tiles, rows without an entry in some, and rows of more than is added at once."""
    rng = np.random.default_rng(0)
    n, n_history = 70_000, 40
    share = np.repeat([0.3, 0.01, 1e-4, 0], n_history // 4)
    dense = rng.normal(size=(n_history, n)) * (rng.random((n_history, n)) < share[:, None])
    items = PreparedItems(rng.normal(size=n), np.zeros((n, 0)), sp.csr_matrix(dense, dtype="f4"))
    histories = sp.csr_matrix(rng.normal(size=(n_users, n_history)), dtype=np.float32)
    users = rng.normal(size=n_users).astype(np.float32), np.zeros((n_users, 0), "f4"), histories
    ids, scores = items.best(users, 200)
    assert len(np.unique(ids // 32_768)) == 3
    np.testing.assert_array_equal(items.scores(users, ids), scores)
    test = sp.csr_matrix((np.ones(ids.size), ids.ravel(), np.arange(0, ids.size + 1, 200)))
    test.resize(n_users, n)
    ranks = items.ranks(users, test).data.reshape(ids.shape)
    # Of equal scores both have the worse rank.
    expected = (scores[:, None, :] >= scores[:, :, None]).sum(axis=2) - 1
    np.testing.assert_array_equal(ranks, expected)


def test_scores_of_lists_and_pairs():
    users, items = real(1)
    dense = (
        users[0][:, None].astype(np.float64)
        + items.biases
        + users[1].astype(np.float64) @ items.vectors.T
        + (users[2] @ items._influence.of_items(slice(None))).toarray()
    )
    ids, scores = items.best(users, 9)
    np.testing.assert_allclose(scores, np.take_along_axis(dense, ids, 1), rtol=1e-5, atol=1e-5)
    ids[::3, 5:] = -1
    found = items.scores(users, ids, num_threads=2)
    np.testing.assert_allclose(found[ids >= 0], scores[ids >= 0], rtol=1e-5, atol=1e-5)
    assert (found[ids < 0] == -np.inf).all()
    rows, columns = np.random.default_rng(0).integers([[30], [5000]], size=(2, 3000))
    one = items.scores_of_pairs(users, rows, columns)
    np.testing.assert_allclose(one, dense[rows, columns], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(items.scores_of_pairs(users, rows, columns, num_threads=2), one)
    order = np.argsort(rows)
    np.testing.assert_array_equal(
        items.scores_of_pairs(users, rows[order], columns[order]), one[order]
    )


def test_nothing_to_add_changes_no_bit():
    users, items = real(2)
    plain = PreparedItems(items.biases, items.vectors)
    none = PreparedItems(items.biases, items.vectors, sp.csr_matrix((2500, 5000), dtype=np.float32))
    empty = (*users[:2], sp.csr_matrix((30, 2500), dtype=np.float32))
    for some in (slice(None), slice(3)):
        expected = plain.best((users[0][some], users[1][some]), 7)
        for which, of_users in ((none, users), (items, empty)):
            assert_equal_lists(which.best(tuple(of[some] for of in of_users), 7), expected)
    test = sp.random(30, 5000, 0.01, format="csr", random_state=0)
    expected = plain.ranks(users[:2], test).toarray()
    np.testing.assert_array_equal(items.ranks(empty, test).toarray(), expected)


def test_few_asked_often_get_the_same_lists():
    """Codes know nothing of histories."""
    users, items = real(3, n_users=2)
    expected = items.best(users, 5)
    for _ in range(20):
        assert_equal_lists(items.best(users, 5), expected)


def test_histories_in_no_order():
    """Entries that are stored twice count twice; what was given stays."""
    rng = np.random.default_rng(0)
    users, items, scores = case(rng, 20, 60, 2)
    order = np.concatenate(
        [
            np.append(p, p)[rng.permutation(2 * len(p))]
            for p in (np.arange(*users[2].indptr[u : u + 2]) for u in range(20))
        ]
    )
    twice = sp.csr_matrix(
        (users[2].data[order] / 2, users[2].indices[order], users[2].indptr * 2), shape=(20, 60)
    )
    before = twice.indices.copy()
    found = items.best((*users[:2], twice), 6)
    assert_equal_lists(found, sorted_lists(scores.astype(np.float32), np.ones((20, 60), bool), 6))
    np.testing.assert_array_equal(twice.indices, before)


def test_other_biases_and_directions():
    users, items = real(4)
    other = items.with_biases(-items.biases)
    expected = PreparedItems(-items.biases, items.vectors, items._influence.of_items(slice(None)))
    assert_equal_lists(other.best(users, 5), expected.best(users, 5))
    few = tuple(of[:2] for of in users)
    assert_equal_lists(other.best(few, 5), expected.best(few, 5))
    rows, others = np.array([3], dtype=np.int32), np.array([[4, 9]], dtype=np.int32)
    plain = PreparedItems(items.biases, items.vectors)
    np.testing.assert_array_equal(items.cosines(rows, others), plain.cosines(rows, others))


@pytest.mark.parametrize("shape", [(3, 5), (2, 4)])
def test_bad_shapes(shape):
    users, items, _ = case(np.random.default_rng(0), 3, 4, 1)
    wrong = (*users[:2], sp.csr_matrix(shape, dtype=np.float32))
    pairs = np.zeros(1, dtype=np.int32)
    for ask in (
        lambda: items.best(wrong, 2),
        lambda: items.ranks(wrong, sp.csr_matrix(np.ones((3, 4)))),
        lambda: items.scores_of_pairs(wrong, pairs, pairs),
    ):
        with pytest.raises(ValueError, match=r"^histories must have shape \(3, 4\), .* got \("):
            ask()
    with pytest.raises(ValueError, match="influence must have a column for each of 4 items"):
        PreparedItems(items.biases, items.vectors, sp.csr_matrix((4, 5), dtype=np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_no_ranking_of_what_is_no_number(bad):
    users, items, _ = case(np.random.default_rng(0), 3, 4, 1)
    histories = sp.csr_matrix(np.full((3, 4), bad, dtype=np.float32))
    with pytest.raises(ValueError, match="histories of some users are NaN or infinite"):
        items.best((*users[:2], histories), 2)
