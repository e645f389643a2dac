"""The measures of lists, against plain loops over their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lightfm_clone.evaluation import (
    catalogue_coverage,
    intra_list_diversity,
    novelty,
    popularity_share,
)


@st.composite
def lists(draw):
    """Lists [n, k] of different items of n_items, some places empty, and n_items."""
    n_items = draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(0, 6)), draw(st.integers(0, n_items))
    ids = np.array([rng.permutation(n_items)[: shape[1]] for _ in range(shape[0])]).reshape(shape)
    ids[rng.random(shape) < draw(st.sampled_from([0, 0.3, 0.9]))] = -1
    return ids.astype(np.int32), n_items


def matrices(n_items, **options):
    shape = st.tuples(st.integers(1, 5), st.just(n_items))
    return hnp.arrays(np.float32, shape, elements=st.sampled_from([0.0, 1.0, 3.0]), **options)


def mean(values):
    return np.mean(values) if len(values) else np.nan


@settings(deadline=None)
@given(data=st.data(), case=lists())
def test_measures_of_lists_follow_their_formulas(data, case):
    ids, n_items = case
    own = [[item for item in row if item >= 0] for row in ids.tolist()]
    train = data.draw(matrices(n_items))
    vectors = data.draw(matrices(n_items)).T - 1
    head = data.draw(st.sampled_from([0.01, 0.2, 0.5, 1.0]))

    assert catalogue_coverage(ids, n_items) == pytest.approx(len(set(sum(own, []))) / n_items)

    known = (train != 0).sum(axis=0)
    expected = [mean([np.log2(len(train) / max(known[i], 1)) for i in row]) for row in own]
    np.testing.assert_allclose(novelty(ids, sp.coo_matrix(train)), expected, atol=1e-12)

    n_popular = max(1, round(head * n_items))
    popular = sorted(range(n_items), key=lambda item: (-known[item], item))[:n_popular]
    expected = [mean([item in popular for item in row]) for row in own]
    share = popularity_share(ids, sp.csc_matrix(train), head)
    np.testing.assert_allclose(share, expected)

    def distance(i, j):
        product = np.linalg.norm(vectors[i]) * np.linalg.norm(vectors[j])
        return 1 - (vectors[i] @ vectors[j] / product if product else 0)

    expected = [mean([distance(i, j) for i in row for j in row if i != j]) for row in own]
    for given_vectors in (vectors, sp.coo_matrix(vectors)):
        diversity = intra_list_diversity(ids, given_vectors)
        assert diversity.shape == (len(ids),)
        np.testing.assert_allclose(diversity, expected, atol=1e-6)


def test_measures_worked_out_by_hand():
    ids = np.array([[0, 1], [0, 3]], dtype=np.int32)
    train = sp.csr_matrix([[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]])
    assert catalogue_coverage(ids, 4) == 0.75
    np.testing.assert_array_equal(novelty(ids, train), [0.5, 1.0])  # nobody has 3: as if one did
    np.testing.assert_array_equal(popularity_share(ids, train, 0.25), [0.5, 0.5])
    np.testing.assert_array_equal(popularity_share(ids, train, 0.5), [1.0, 0.5])
    vectors = np.array([[2.0, 0.0], [0.0, 3.0], [0.0, 0.0], [-1.0, 0.0]])
    np.testing.assert_array_equal(intra_list_diversity(ids, vectors), [1.0, 2.0])


@pytest.mark.parametrize(
    "measure",
    [
        lambda ids: catalogue_coverage(ids, 3),
        lambda ids: novelty(ids, sp.csr_matrix((2, 3))),
        lambda ids: popularity_share(ids, sp.csr_matrix((2, 3))),
        lambda ids: intra_list_diversity(ids, np.ones((3, 2))),
    ],
    ids=["catalogue_coverage", "novelty", "popularity_share", "intra_list_diversity"],
)
@pytest.mark.parametrize(
    "ids, message",
    [
        ([0, 1], r"ids must be an integer array \[n, k\].* got int64 of shape \(2,\)"),
        ([[0.0, 1.0]], "ids must be an integer array"),
        ([[0, 1], [2]], "fill up short lists; got rows of different lengths"),
        ((np.zeros((2, 2), np.int32), np.zeros((2, 2), np.float32)), "the first of the two that"),
        ([[0, 3]], "below 3, the number of items, or -1 for none, got values from 0 to 3"),
        ([[-2, 0]], "got values from -2 to 0"),
    ],
)
def test_bad_lists(measure, ids, message):
    with pytest.raises(ValueError, match=message):
        measure(ids)


def test_bad_arguments_of_measures():
    ids = [[0, 1]]
    for n_items in (0, 2.5, None):
        with pytest.raises(ValueError, match="n_items must be a whole number"):
            catalogue_coverage(ids, n_items)
    for head in (0, 1.5, "0.2"):
        with pytest.raises(ValueError, match="head must be a number in"):
            popularity_share(ids, sp.csr_matrix((2, 3)), head)
    for vectors in (np.ones(3), np.full((3, 2), np.nan)):
        with pytest.raises(ValueError, match="item_vectors must be a matrix"):
            intra_list_diversity(ids, vectors)
    for function in (novelty, popularity_share):
        with pytest.raises(ValueError, match="train_interactions must be a scipy sparse matrix"):
            function(ids, [[1, 0]])
