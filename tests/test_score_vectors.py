"""score_vectors: plain inner products that are the scores."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import LOSSES, all_scores, model_with, random_features, random_interactions
from hypothesis import given, settings
from hypothesis import strategies as st

from lightfm_clone import LightFM

N_USERS, N_ITEMS = 12, 9
FEATURES = {
    "user_features": random_features(N_USERS, 6, seed=2),
    "item_features": random_features(N_ITEMS, 7, seed=3),
}


@pytest.fixture(scope="module")
def hybrid() -> LightFM:
    """Fitted with features of both sides."""
    model = LightFM(no_components=4, random_state=1)
    return model.fit(random_interactions(1, (N_USERS, N_ITEMS), 60), epochs=3, **FEATURES)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    no_components=st.integers(1, 17),
    shape=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    sides=st.sampled_from([(), ("user",), ("item",), ("user", "item")]),
)
def test_inner_products_are_the_scores(seed, no_components, shape, sides):
    rng = np.random.default_rng(seed)
    features = {
        f"{side}_features": random_features(n, 5, seed=seed % 1000 + n)
        for side, n in zip(("user", "item"), shape, strict=True)
        if side in sides
    }
    model = LightFM(no_components=no_components).fit(sp.coo_matrix(shape), epochs=0, **features)
    for name in ("user_embeddings", "item_embeddings", "user_biases", "item_biases"):
        array = getattr(model, name)
        array[:] = rng.normal(size=array.shape)
    users, items = model.score_vectors(**features)
    assert users.shape == (shape[0], no_components + 2) and users.dtype == np.float32
    assert items.shape == (shape[1], no_components + 2) and items.dtype == np.float32
    assert users.flags.c_contiguous and items.flags.c_contiguous
    expected = all_scores(model, *shape, **features)
    np.testing.assert_allclose(users @ items.T, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_after_training(loss):
    model = LightFM(loss=loss, no_components=8, learning_rate=0.2, random_state=0)
    model.fit(random_interactions(1, (N_USERS, N_ITEMS), 60), epochs=5, **FEATURES)
    users, items = model.score_vectors(**FEATURES)
    expected = all_scores(model, N_USERS, N_ITEMS, **FEATURES)
    np.testing.assert_allclose(users @ items.T, expected, rtol=1e-4, atol=1e-5)


def test_the_columns():
    model = model_with([[1, 2]], [[3, 4], [5, 6]], [0.5], [-1, -2])
    users, items = model.score_vectors()
    assert users.tolist() == [[1, 2, 0.5, 1]]
    assert items.tolist() == [[3, 4, 1, -1], [5, 6, 1, -2]]


def test_they_are_copies():
    model = model_with([[1, 2]], [[3, 4], [5, 6]])
    for vectors in model.score_vectors():
        vectors[:] = np.nan
    assert model.predict(0, [0]) == 11


def test_the_constant_columns_change_no_order(hybrid):
    users, items = hybrid.score_vectors(**FEATURES)
    without = np.delete(users, -2, axis=1) @ np.delete(items, -2, axis=1).T
    np.testing.assert_array_equal((users @ items.T).argsort(axis=1), without.argsort(axis=1))


def test_new_rows_of_features(hybrid):
    """Anybody whose features are known has a vector."""
    visitors = random_features(30, 6, seed=9)
    users, items = hybrid.score_vectors(visitors, FEATURES["item_features"])
    given = {**FEATURES, "user_features": visitors}
    expected = all_scores(hybrid, 30, N_ITEMS, **given)
    np.testing.assert_allclose(users @ items.T, expected, rtol=1e-4, atol=1e-5)


def test_asks_for_missing_features_only(hybrid):
    with pytest.raises(ValueError, match="item_features must be given"):
        hybrid.score_vectors(FEATURES["user_features"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hybrid.score_vectors(**FEATURES)
        LightFM().fit(random_interactions()).score_vectors()


def test_errors(hybrid):
    with pytest.raises(ValueError, match="not fitted yet"):
        LightFM().score_vectors()
    with pytest.raises(ValueError, match="user_features must have the 6 columns .*, got 5"):
        hybrid.score_vectors(FEATURES["user_features"][:, :5], FEATURES["item_features"])
    with pytest.raises(ValueError, match="item_features must be a scipy sparse matrix"):
        hybrid.score_vectors(FEATURES["user_features"], "tags")
