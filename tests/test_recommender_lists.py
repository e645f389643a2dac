"""Lists under rules and dials, against plain loops over one user and one item at a time."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from lightfm_clone._model.prepared import PreparedItems
from lightfm_clone.recommender import lists as module
from lightfm_clone.recommender.lists import best, popularity_shift


def integers(rng: np.random.Generator, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Biases and vectors of small whole numbers, so that scores are exact and often equal."""
    biases, vectors = rng.integers(-2, 3, size=n), rng.integers(-2, 3, size=(n, d))
    return biases.astype(np.float32), vectors.astype(np.float32)


def normals(rng: np.random.Generator, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=n).astype(np.float32), rng.normal(size=(n, d)).astype(np.float32)


def scores_of(users: tuple, items: PreparedItems) -> np.ndarray:
    return users[1] @ items.vectors.T + users[0][:, None] + items.biases


def assert_equal_lists(found: tuple, expected: tuple) -> None:
    for left, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(left, right, strict=True)


def by_score(scores: np.ndarray, allowed: np.ndarray) -> list[int]:
    """Allowed items of one user, best first, of equal ones the lower row first."""
    return sorted(np.flatnonzero(allowed).tolist(), key=lambda item: (-scores[item], item))


def has_room(chosen: list[int], item: int, at_most: list[tuple[np.ndarray, int]]) -> bool:
    return all(
        codes[item] < 0 or sum(codes[other] == codes[item] for other in chosen) < most
        for codes, most in at_most
    )


def greedy(scores: np.ndarray, allowed: np.ndarray, k: int, at_most: list) -> list[int]:
    chosen: list[int] = []
    for item in by_score(scores, allowed):
        if len(chosen) < k and has_room(chosen, item, at_most):
            chosen.append(item)
    return chosen


def padded(chosen: list[list[int]], scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.full((len(chosen), k), -1, dtype=np.int32)
    values = np.full((len(chosen), k), -np.inf, dtype=np.float32)
    for row, items in enumerate(chosen):
        ids[row, : len(items)], values[row, : len(items)] = items, scores[row, items]
    return ids, values


def diverse(
    scores: np.ndarray,
    vectors: np.ndarray,
    allowed: np.ndarray,
    k: int,
    diversity: float,
    at_most: list,
    found: list[int],
) -> list[int]:
    """Maximal marginal relevance; of what is equal up to rounding, what `found` has."""
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    cosines = (vectors.astype(np.float64) @ vectors.T) / np.outer(norms, norms)
    ordered = by_score(scores, allowed)
    size = max(10 * k, 100)
    while True:
        pool, chosen = ordered[:size], []
        while len(chosen) < k:
            low, high = scores[pool[-1:]].sum(), scores[pool[:1]].sum()
            left = {
                i: (1 - diversity) * (scores[i] - low) / ((high - low) or 1)
                - diversity * max((cosines[i, j] for j in chosen), default=0.0)
                for i in pool
                if i not in chosen and has_room(chosen, i, at_most)
            }
            if not left:
                break
            top, own = max(left, key=left.__getitem__), found[len(chosen)]
            chosen.append(own if left.get(own, -np.inf) >= left[top] - 1e-5 else top)
        if len(chosen) == k or size >= len(ordered):
            return chosen
        size *= 4


def draw_problem(data: st.DataObject, make=integers) -> tuple:
    """Users, items, what is allowed, and the arguments that say so."""
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    n_users, n = draw(st.sampled_from([1, 3, 20])), draw(st.sampled_from([1, 7, 60, 300]))
    users, items = make(rng, n_users, 3), PreparedItems(*make(rng, n, 3))
    allowed, given = np.ones((n_users, n), dtype=bool), {}
    if draw(st.booleans(), label="exclude"):
        known = rng.random((n_users, n)) < 0.2
        given["exclude"] = sp.csr_matrix(known)
        allowed &= ~known
    how = draw(st.sampled_from(["all", "the same", "their own"]), label="candidates")
    if how == "the same":
        given["candidates"] = np.flatnonzero(rng.random(n) < 0.5).astype(np.int32)
        allowed &= np.isin(np.arange(n), given["candidates"])
    elif how == "their own":
        own = rng.random((n_users, n)) < 0.5
        given["candidates"] = sp.csr_matrix(own)
        allowed &= own
    at_most = []
    for _ in range(draw(st.integers(0, 2), label="quotas")):
        codes = rng.integers(-1, draw(st.sampled_from([1, 3, 40]), label="codes"), size=n)
        at_most.append((codes.astype(np.int32), draw(st.integers(1, 3), label="at most")))
    return users, items, allowed, given, at_most


# ---- without dials -------------------------------------------------------------------------------


def test_plain_lists_are_those_of_the_items():
    rng = np.random.default_rng(0)
    users, items = normals(rng, 50, 4), PreparedItems(*normals(rng, 200, 4))
    known = sp.csr_matrix(rng.random((50, 200)) < 0.1)
    plain = items.best(users, 6, exclude=known)
    shift = popularity_shift(items, users, rng.integers(1, 99, size=200))
    for dials in ({}, {"diversity": 0}, {"popularity": (0, shift)}, {"at_most": ()}):
        assert_equal_lists(best(items, users, 6, exclude=known, **dials), plain)


# ---- quotas --------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.data())
def test_quotas_by_a_plain_loop(data):
    users, items, allowed, given, at_most = draw_problem(data)
    k = data.draw(st.sampled_from([1, 2, 10, 70]), label="k")
    scores = scores_of(users, items)
    found = best(items, users, k, at_most=at_most, num_threads=2, **given)
    expected = [greedy(scores[u], allowed[u], k, at_most) for u in range(len(scores))]
    assert_equal_lists(found, padded(expected, scores, k))


def test_one_quota_has_the_highest_sum():
    """Of all lists within it: by trying them all."""
    rng = np.random.default_rng(0)
    users, items = integers(rng, 8, 2), PreparedItems(*integers(rng, 9, 2))
    codes = rng.integers(0, 3, size=9)
    scores = scores_of(users, items)
    _, found = best(items, users, 4, at_most=[(codes, 2)])
    for user in range(8):
        sums = [
            scores[user, [*some]].sum()
            for some in combinations(range(9), 4)
            if np.bincount(codes[[*some]]).max() <= 2
        ]
        assert found[user].sum() == max(sums)


def test_quota_known_answer():
    items = PreparedItems(np.arange(9, 0, -1), np.zeros((9, 1)))
    nobody = np.zeros(1, np.float32), np.zeros((1, 1), np.float32)
    brand = np.array([0, 0, 0, 1, 1, -1, -1, -1, 2])
    ids, scores = best(items, nobody, 5, at_most=[(brand, 1)])
    np.testing.assert_array_equal(ids, [[0, 3, 5, 6, 7]])
    np.testing.assert_array_equal(scores, [[9, 6, 4, 3, 2]])
    kind = np.array([7, 7, 7, 7, 7, 7, 8, 8, 8])
    ids, _ = best(items, nobody, 5, at_most=[(brand, 1), (kind, 2)])
    np.testing.assert_array_equal(ids, [[0, 3, 6, 7, -1]])


def test_a_brand_that_fills_the_catalogue():
    """The other items are the very last."""
    n = 5000
    items = PreparedItems(-np.arange(n), np.zeros((n, 1)))
    users = np.zeros(30, np.float32), np.zeros((30, 1), np.float32)
    brand = np.zeros(n, dtype=np.int32)
    brand[-2:] = 1, 2
    ids, _ = best(items, users, 4, at_most=[(brand, 1)])
    np.testing.assert_array_equal(ids, np.tile([0, n - 2, n - 1, -1], (30, 1)))


@pytest.mark.parametrize("dials", [{}, {"diversity": 0.4}], ids=["quota", "quota and diversity"])
def test_blocks_change_nothing(monkeypatch, dials):
    rng = np.random.default_rng(0)
    users, items = integers(rng, 40, 3), PreparedItems(*integers(rng, 400, 3))
    dials = {**dials, "at_most": [(rng.integers(0, 3, size=400), 2)], "k": 5}
    own = sp.csr_matrix(rng.random((40, 400)) < 0.5)
    known = sp.csr_matrix(rng.random((40, 400)) < 0.1)
    whole = best(items, users, exclude=known, candidates=own, **dials)
    monkeypatch.setattr(module, "_ENTRIES", 700)
    assert_equal_lists(best(items, users, exclude=known, candidates=own, **dials), whole)
    for user in (0, 39):
        one = slice(user, user + 1)
        alone = best(
            items,
            (users[0][one], users[1][one]),
            exclude=known[one],
            candidates=own[one],
            **dials,
        )
        assert_equal_lists(alone, (whole[0][one], whole[1][one]))


# ---- popularity ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dial", [-0.7, 0.3, 5])
@pytest.mark.parametrize("n_users", [1, 40])
def test_popularity_by_sorting(dial, n_users):
    rng = np.random.default_rng(0)
    users, items = normals(rng, n_users, 4), PreparedItems(*normals(rng, 500, 4))
    counts = rng.zipf(1.5, size=500)
    shift = popularity_shift(items, users, counts)
    known = rng.random((n_users, 500)) < 0.1
    scores = scores_of(users, items)
    ids, values = best(items, users, 7, exclude=sp.csr_matrix(known), popularity=(dial, shift))
    for user in range(n_users):
        expected = by_score(scores[user] + dial * shift, ~known[user])[:7]
        np.testing.assert_array_equal(ids[user], expected)
    np.testing.assert_allclose(
        values, np.take_along_axis(scores, ids, axis=1), rtol=1e-4, atol=1e-6
    )


def test_popularity_moves_lists_up_and_down():
    rng = np.random.default_rng(0)
    users, items = normals(rng, 200, 4), PreparedItems(*normals(rng, 500, 4))
    counts = rng.zipf(1.5, size=500)
    shift = popularity_shift(items, users, counts)
    means = [
        np.log1p(counts)[best(items, users, 10, popularity=(dial, shift))[0]].mean()
        for dial in (-1, -0.3, 0, 0.3, 1)
    ]
    assert (np.diff(means) > 0).all()


def test_popularity_with_a_quota_and_with_diversity():
    """Both go by the shifted order."""
    rng = np.random.default_rng(0)
    users, items = normals(rng, 30, 3), PreparedItems(*normals(rng, 300, 3))
    shift, codes = normals(rng, 300, 1)[0], rng.integers(0, 4, size=300)
    moved = PreparedItems(items.biases + np.float32(0.5) * shift, items.vectors)
    scores = scores_of(users, items)
    for dials in ({"at_most": [(codes, 1)]}, {"diversity": 0.3}):
        ids, values = best(items, users, 5, popularity=(0.5, shift), **dials)
        np.testing.assert_array_equal(ids, best(moved, users, 5, **dials)[0])
        there = ids >= 0
        own = np.take_along_axis(scores, np.maximum(ids, 0), axis=1)
        np.testing.assert_allclose(values[there], own[there], rtol=1e-4, atol=1e-6)
        assert (values[~there] == -np.inf).all()


def test_popularity_shift():
    rng = np.random.default_rng(0)
    users, items = normals(rng, 70, 5), PreparedItems(*normals(rng, 90, 5))
    counts = rng.integers(0, 50, size=90)
    shift = popularity_shift(items, users, counts)
    assert shift.dtype == np.float32
    logs = np.log1p(counts)
    spread = np.sqrt(scores_of(users, items).astype(np.float64).var(axis=1).mean())
    np.testing.assert_allclose(shift, spread * (logs - logs.mean()) / logs.std(), rtol=1e-4)
    # A user's own bias shifts all of their scores alike, and must not count.
    moved = users[0] + np.arange(70, dtype=np.float32), users[1]
    np.testing.assert_array_equal(popularity_shift(items, moved, counts), shift)


def test_popularity_shift_of_edges():
    rng = np.random.default_rng(0)
    users, items = normals(rng, 5, 2), PreparedItems(*normals(rng, 9, 2))
    for equal in (0, 0.1, 7):  # no item is more popular than another
        np.testing.assert_array_equal(
            popularity_shift(items, users, np.full(9, equal)), np.zeros(9)
        )
    flat = PreparedItems(np.full(9, 0.1), np.full((9, 2), 0.1))  # no score differs from another
    np.testing.assert_allclose(popularity_shift(flat, users, np.arange(9)), 0, atol=1e-6)
    none = PreparedItems(np.empty(0), np.empty((0, 2)))
    assert popularity_shift(none, users, []).shape == (0,)


# ---- diversity -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_diversity_by_a_plain_loop(data):
    users, items, allowed, given, at_most = draw_problem(data, normals)
    k = data.draw(st.sampled_from([1, 2, 8]), label="k")
    diversity = data.draw(st.sampled_from([0.01, 0.3, 0.8, 0.99]), label="diversity")
    scores = scores_of(users, items)
    ids, values = best(items, users, k, diversity=diversity, at_most=at_most, **given)
    expected = [
        diverse(scores[u], items.vectors, allowed[u], k, diversity, at_most, ids[u].tolist())
        for u in range(len(scores))
    ]
    np.testing.assert_array_equal(ids, padded(expected, scores, k)[0])
    there = ids >= 0
    own = np.take_along_axis(scores, np.maximum(ids, 0), axis=1)
    np.testing.assert_allclose(values[there], own[there], rtol=1e-4, atol=1e-5)
    assert (values[~there] == -np.inf).all()


def test_diversity_known_answer():
    """Two twins and a stranger: the second twin has to wait."""
    items = PreparedItems(np.array([10, 9, 8, 0]), np.array([[1, 0], [1, 0], [0, 1], [-1, 0]]))
    nobody = np.zeros(1, np.float32), np.zeros((1, 2), np.float32)
    # Relevance 1, 0.9, 0.8, 0. After item 0, item 1 is worth 0.45 - 0.5, item 2 0.4, item 3 0.5;
    # then item 1 still -0.05, item 2 0.4 - 0.
    for diversity, expected in ((0.5, [0, 3, 2, 1]), (0.2, [0, 2, 1, 3]), (0, [0, 1, 2, 3])):
        ids, scores = best(items, nobody, 4, diversity=diversity)
        np.testing.assert_array_equal(ids, [expected])
        np.testing.assert_array_equal(scores, items.biases[ids])


def test_diversity_beyond_the_pool():
    """A hundred of one brand, at most one of it: the pool grows."""
    n = 500
    rng = np.random.default_rng(0)
    items = PreparedItems(-np.arange(n), normals(rng, n, 3)[1])
    users = np.zeros(20, np.float32), np.zeros((20, 3), np.float32)
    brand = np.repeat([0, -1], [450, 50])
    ids, _ = best(items, users, 5, diversity=0.2, at_most=[(brand, 1)])
    assert (ids[:, 0] == 0).all() and (ids[:, 1:] >= 450).all()
    ids, _ = best(items, users, 5, diversity=0.2)
    assert (ids < 100).all()


def test_more_diversity_makes_lists_more_diverse():
    rng = np.random.default_rng(0)
    users, items = normals(rng, 100, 8), PreparedItems(*normals(rng, 400, 8))
    unit = items.vectors / np.linalg.norm(items.vectors, axis=1, keepdims=True)
    likeness = []
    for diversity in (0, 0.2, 0.5, 0.9):
        of_lists = unit[best(items, users, 10, diversity=diversity)[0]]
        likeness.append(np.einsum("uid,ujd->uij", of_lists, of_lists).mean())
    assert (np.diff(likeness) < 0).all()


# ---- edges and errors ----------------------------------------------------------------------------


@pytest.mark.parametrize("dials", [{"diversity": 0.5}, {"at_most": [(np.empty(0, np.int32), 1)]}])
def test_nothing_to_choose_from(dials):
    none = PreparedItems(np.empty(0), np.empty((0, 2)))
    users = np.zeros(3, np.float32), np.zeros((3, 2), np.float32)
    expected = np.full((3, 4), -1, np.int32), np.full((3, 4), -np.inf, np.float32)
    assert_equal_lists(best(none, users, 4, **dials), expected)
    nobody = tuple(of[:0] for of in users)
    assert best(none, nobody, 4, **dials)[0].shape == (0, 4)


@pytest.mark.parametrize("value", [1, -0.1, 7, np.nan, "much", None])
def test_bad_diversity(value):
    items = PreparedItems(np.zeros(4), np.zeros((4, 1)))
    with pytest.raises(ValueError, match="^diversity must be a number from 0, .* below 1, got"):
        best(items, (np.zeros(1), np.zeros((1, 1))), 2, diversity=value)


@pytest.mark.parametrize("value", [np.nan, np.inf, "much", None])
def test_bad_popularity(value):
    items = PreparedItems(np.zeros(4), np.zeros((4, 1)))
    with pytest.raises(ValueError, match="^popularity must be a finite number, .* got"):
        best(items, (np.zeros(1), np.zeros((1, 1))), 2, popularity=(value, np.zeros(4)))


@pytest.mark.parametrize("value", [0, -1, 1.5, "three", None])
def test_bad_quota(value):
    items = PreparedItems(np.zeros(4), np.zeros((4, 1)))
    with pytest.raises(ValueError, match="^at_most must be a whole number of at least 1 .* got"):
        best(items, (np.zeros(1), np.zeros((1, 1))), 2, at_most=[(np.zeros(4, int), value)])
