"""loss="softmax" in use: its defaults, everything that scores or keeps a model, and edge shapes.

Its formulas are held in test_reference.py, its arrays in test_twin.py.
"""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import (
    ARRAYS,
    all_scores,
    are_finite,
    arrays_of,
    assert_equal_arrays,
    groups_of_taste,
    random_features,
    random_interactions,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from lightfm_clone import LightFM
from lightfm_clone.callbacks import EarlyStopping
from lightfm_clone.evaluation import auc_score, evaluate

N_USERS, N_ITEMS = 30, 20
FEATURES = {
    "none": {},
    "user": {"user_features": random_features(N_USERS, 8, seed=2)},
    "item": {"item_features": random_features(N_ITEMS, 7, seed=3)},
}
FEATURES["both"] = FEATURES["user"] | FEATURES["item"]


@pytest.fixture(scope="module")
def interactions() -> sp.coo_matrix:
    return random_interactions(1, (N_USERS, N_ITEMS), 200)


@pytest.fixture(params=FEATURES)
def features(request) -> dict[str, sp.csr_matrix]:
    return FEATURES[request.param]


@pytest.fixture
def model(interactions, features) -> LightFM:
    """Trained, and with biases large enough to matter."""
    model = LightFM(6, loss="softmax", random_state=1, n_negatives=10)
    model.fit(interactions, epochs=3, **features)
    rng = np.random.default_rng(0)
    model.item_biases += rng.normal(scale=0.5, size=model.item_biases.shape).astype(np.float32)
    model.user_biases += rng.normal(scale=0.5, size=model.user_biases.shape).astype(np.float32)
    return model


def side_of(model: LightFM, side: str, features: dict) -> tuple[np.ndarray, np.ndarray]:
    """Biases and directions, in float64 and by the definition."""
    biases = np.float64(getattr(model, f"{side}_biases"))
    vectors = np.float64(getattr(model, f"{side}_embeddings"))
    if f"{side}_features" in features:
        matrix = features[f"{side}_features"].toarray().astype(np.float64)
        biases, vectors = matrix @ biases, matrix @ vectors
    for vector in vectors:
        length = math.sqrt(sum(vector**2))
        if length > 0:
            vector /= length
    return biases, vectors


def scores_of(model: LightFM, features: dict) -> np.ndarray:
    """Scores [n_users, n_items] by the definition."""
    user_biases, users = side_of(model, "user", features)
    item_biases, items = side_of(model, "item", features)
    return users @ items.T + user_biases[:, None] + item_biases


# The constructor


def test_defaults_of_the_constructor_mean_those_of_the_loss(interactions):
    model = LightFM(loss="softmax", random_state=3)
    explicit = LightFM(
        loss="softmax",
        random_state=3,
        learning_schedule="sgd",
        learning_rate=0.1,
        temperature=0.1,
        n_negatives=256,
    )
    given_parameters = model.get_params()
    for each in (model, explicit):
        each.fit(interactions, epochs=3)
    assert_equal_arrays(arrays_of(model), arrays_of(explicit))
    assert model.get_params() == given_parameters
    assert (model.learning_schedule, model.learning_rate) == ("adagrad", 0.05)
    assert (explicit.learning_schedule, explicit.learning_rate) == ("sgd", 0.1)
    assert (model.temperature, model.n_negatives) == (0.1, 256)
    assert "learning" not in repr(model) and "learning_schedule='sgd'" in repr(explicit)
    for name in ARRAYS:  # sgd remembers nothing
        assert name.endswith(("embeddings", "biases")) or not getattr(model, name).any()


@pytest.mark.parametrize(
    "changed",
    [
        {"learning_rate": 0.2},
        {"learning_rate": 0.01},
        {"learning_schedule": "adadelta"},
        {"temperature": 0.2},
        {"n_negatives": 255},
    ],
    ids=str,
)
def test_other_values_are_taken_as_they_are(interactions, changed):
    model, other = (
        LightFM(loss="softmax", random_state=3, **options).fit(interactions)
        for options in ({}, changed)
    )
    assert not np.array_equal(model.item_embeddings, other.item_embeddings)
    assert other.get_params() == {
        **model.get_params(),
        **changed,
        "random_state": other.random_state,
    }
    assert bool(other.item_embedding_gradients.any()) == ("learning_schedule" in changed)


def test_other_losses_keep_their_schedule_and_ignore_what_is_not_theirs(interactions):
    for loss in ("warp", "logistic"):
        model, other = (
            LightFM(loss=loss, random_state=3, **options).fit(interactions)
            for options in ({}, {"temperature": 3.0, "n_negatives": 7})
        )
        assert_equal_arrays(arrays_of(model), arrays_of(other))
        assert (model.item_embedding_gradients >= 1).all()


def test_softmax_ignores_what_is_not_its_own(interactions):
    options = {"stored_negatives": 0.7, "max_sampled": 3, "k": 2, "n": 3, "rho": 0.5}
    model, other = (
        LightFM(loss="softmax", random_state=3, **changed).fit(interactions)
        for changed in ({}, options)
    )
    assert_equal_arrays(arrays_of(model), arrays_of(other))


def test_parameters_are_read_at_every_fit(interactions):
    model = LightFM(loss="softmax", random_state=3).fit(interactions, epochs=0)
    other = copy.deepcopy(model)
    model.set_params(temperature=0.5, n_negatives=3, learning_rate=0.3)
    other.temperature, other.n_negatives, other.learning_rate = 0.5, 3, 0.3
    for each in (model, other):
        each.fit_partial(interactions)
    assert_equal_arrays(arrays_of(model), arrays_of(other))
    fresh = LightFM(
        loss="softmax", random_state=3, temperature=0.5, n_negatives=3, learning_rate=0.3
    )
    assert_equal_arrays(arrays_of(fresh.fit(interactions)), arrays_of(model))


@pytest.mark.parametrize("value", [0, -0.1, math.nan, math.inf, "warm", None])
def test_bad_temperature(value):
    with pytest.raises(ValueError, match="temperature must be a number > 0, got"):
        LightFM(loss="softmax", temperature=value)
    with pytest.raises(AssertionError):
        LightFM().set_params(temperature=value)


@pytest.mark.parametrize("value", [0, -1, 2.5, math.nan, 2**16 + 1, "many", None])
def test_bad_n_negatives(value, interactions):
    with pytest.raises(ValueError, match="n_negatives must be an integer from 1 to 65536, got"):
        LightFM(loss="softmax", n_negatives=value)
    model = LightFM(loss="softmax")
    model.n_negatives = value
    with pytest.raises(ValueError, match="n_negatives"):
        model.fit(interactions)
    assert model.item_embeddings is None


def test_they_are_keyword_only():
    with pytest.raises(TypeError):
        LightFM(10, 5, 10, "sgd", "softmax", 0.1, 0.95, 1e-6, 0.0, 0.0, 10, None, 0.0)


# The start


def test_embeddings_start_from_a_normal_distribution():
    model = LightFM(5, loss="softmax", random_state=7).fit(sp.coo_matrix((4, 6)), epochs=0)
    draws = np.random.RandomState(7)
    for side, n in (("item", 6), ("user", 4)):
        expected = draws.normal(0.0, 0.1, size=(n, 5)).astype(np.float32)
        np.testing.assert_array_equal(getattr(model, f"{side}_embeddings"), expected)
        assert not getattr(model, f"{side}_biases").any()
    large = LightFM(64, loss="softmax", random_state=1).fit(sp.coo_matrix((500, 500)), epochs=0)
    for embeddings in (large.item_embeddings, large.user_embeddings):
        assert abs(embeddings.mean()) < 0.003 and embeddings.std() == pytest.approx(0.1, rel=0.02)


@pytest.mark.parametrize("loss", ["logistic", "bpr", "warp", "warp-kos", "mse"])
def test_sgd_starts_other_losses_as_ever(loss, interactions):
    plain, sgd = (
        LightFM(loss=loss, learning_schedule=schedule, random_state=2).fit(interactions, epochs=0)
        for schedule in ("adagrad", "sgd")
    )
    for name in ("item_embeddings", "user_embeddings"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(sgd, name))


# Scores


def test_predict(model, features):
    expected = scores_of(model, features)
    predicted = all_scores(model, N_USERS, N_ITEMS, **features)
    assert predicted.dtype == np.float32
    np.testing.assert_allclose(predicted, expected, atol=2e-6)
    one = model.predict(3, np.arange(N_ITEMS), **features)
    np.testing.assert_allclose(one, expected[3], atol=2e-6)
    few = model.predict([3, 0, 3], [1, 1, 0], **features)  # gathers a few rows of features
    np.testing.assert_allclose(few, expected[[3, 0, 3], [1, 1, 0]], atol=2e-6)


def test_only_directions_count(model, features):
    before = all_scores(model, N_USERS, N_ITEMS, **features)
    model.user_embeddings *= 1000
    model.item_embeddings *= 1e-4
    np.testing.assert_allclose(all_scores(model, N_USERS, N_ITEMS, **features), before, atol=1e-5)


def test_predict_rank(model, features):
    test = sp.csr_matrix(np.ones((N_USERS, N_ITEMS), dtype=np.float32))
    ranks = model.predict_rank(test, **features).toarray()
    # Of scores that differ by next to nothing, rounding decides.
    expected = np.array([rankdata(-row, method="max") - 1 for row in scores_of(model, features)])
    assert (ranks == expected).mean() > 0.99 and abs(ranks - expected).max() <= 1


def test_recommend(model, interactions, features):
    scores = scores_of(model, features)
    scores[interactions.row, interactions.col] = -np.inf
    ids, found = model.recommend(k=5, exclude=interactions, **features)
    best = -np.sort(-scores, axis=1)[:, :5]
    np.testing.assert_allclose(found, best, atol=2e-6)
    for user, row in enumerate(ids):
        real = row[row >= 0]
        np.testing.assert_allclose(scores[user, real], found[user, : len(real)], atol=2e-6)
    some, _ = model.recommend([4, 2], k=5, exclude=interactions, **features)
    np.testing.assert_array_equal(some, ids[[4, 2]])

    representations = model.get_user_representations(features.get("user_features"))
    by_vector, _ = model.recommend(
        k=5,
        exclude=interactions,
        user_representations=representations,
        item_features=features.get("item_features"),
    )
    np.testing.assert_array_equal(by_vector, ids)


def test_representations(model, features):
    biases, vectors = {}, {}
    for side, get in (
        ("user", model.get_user_representations),
        ("item", model.get_item_representations),
    ):
        biases[side], vectors[side] = get(features.get(f"{side}_features"))
        assert biases[side].dtype == vectors[side].dtype == np.float32
        for found, expected in zip((biases[side], vectors[side]), side_of(model, side, features),
                                   strict=True):  # fmt: skip
            np.testing.assert_allclose(found, expected, atol=1e-6)
        lengths = np.linalg.norm(vectors[side], axis=1)
        assert np.all((abs(lengths - 1) < 1e-6) | (lengths == 0))
    inner = vectors["user"] @ vectors["item"].T + biases["user"][:, None] + biases["item"]
    np.testing.assert_allclose(inner, scores_of(model, features), atol=2e-6)


def test_representations_of_features_are_copies(interactions):
    """The raw embeddings are what is trained; those of other losses are handed out themselves."""
    model = LightFM(loss="softmax", random_state=0).fit(interactions)
    raw = model.item_embeddings.copy()
    model.get_item_representations()[1][:] = 7.0
    np.testing.assert_array_equal(model.item_embeddings, raw)
    lengths = np.linalg.norm(raw, axis=1)
    assert lengths.std() > 0.01, "raw embeddings have lengths of their own"


def test_score_vectors(model, features):
    users, items = model.score_vectors(**features)
    np.testing.assert_allclose(users @ items.T, scores_of(model, features), atol=2e-6)
    for side, vectors in (("user", users), ("item", items)):
        lengths = np.linalg.norm(side_of(model, side, features)[1], axis=1)
        np.testing.assert_allclose(np.linalg.norm(vectors[:, :6], axis=1), lengths, atol=1e-6)


def test_explain_is_exact(model, features):
    expected = scores_of(model, features)
    for user, item in ((0, 0), (7, 3), (29, 19), (1, 5)):
        why = model.explain(user, item, **features)
        values = [each.value for each in why.contributions]
        assert math.fsum(values) == why.score == pytest.approx(expected[user, item], abs=1e-6)
        assert why.score == pytest.approx(
            float(model.predict(user, [item], **features)[0]), abs=2e-6
        )
        pairs = [each.value for each in why.contributions if each.kind == "pair"]
        cosine = (
            side_of(model, "user", features)[1][user] @ side_of(model, "item", features)[1][item]
        )
        assert math.fsum(pairs) == pytest.approx(cosine, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), exponents=st.tuples(*[st.integers(-12, 12)] * 2))
def test_every_way_to_a_score_agrees(seed, exponents):
    """Whatever the lengths: predict, explain, score_vectors and the definition."""
    rng = np.random.default_rng(seed)
    both = {
        "user_features": random_features(5, 6, seed=seed % 997),
        "item_features": random_features(4, 5, seed=seed % 991),
    }
    model = LightFM(4, loss="softmax").fit(sp.coo_matrix((5, 4)), epochs=0, **both)
    for side, exponent in zip(("user", "item"), exponents, strict=True):
        embeddings = getattr(model, f"{side}_embeddings")
        embeddings[:] = rng.normal(scale=10.0**exponent, size=embeddings.shape)
    expected = scores_of(model, both)
    np.testing.assert_allclose(all_scores(model, 5, 4, **both), expected, atol=1e-4)
    users, items = model.score_vectors(**both)
    np.testing.assert_allclose(users @ items.T, expected, atol=1e-4)
    assert model.explain(2, 3, **both).score == pytest.approx(expected[2, 3], abs=1e-4)


@pytest.mark.parametrize("side", ["user", "item"])
def test_neighbours_by_cosine_and_by_inner_product_are_the_same(model, features, side):
    similar = getattr(model, f"similar_{side}s")
    given_features = {name: matrix for name, matrix in features.items() if name.startswith(side)}
    ids, cosines = similar(k=4, **given_features)
    same_ids, products = similar(k=4, metric="dot", **given_features)
    np.testing.assert_allclose(cosines, products, atol=1e-6)
    vectors = side_of(model, side, features)[1]
    expected = vectors @ vectors.T
    np.fill_diagonal(expected, -np.inf)
    np.testing.assert_allclose(cosines, -np.sort(-expected, axis=1)[:, :4], atol=2e-6)
    assert (ids == same_ids).mean() > 0.95


# What keeps a model


def test_history(interactions, features):
    model = LightFM(loss="softmax", random_state=0, n_negatives=40)
    model.fit(interactions, epochs=12, **features)
    assert [set(record) for record in model.history_] == [{"epoch", "seconds", "loss"}] * 12
    losses = [record["loss"] for record in model.history_]
    assert np.isfinite(losses).all() and np.mean(losses[-3:]) < losses[0]


def test_loss_of_an_untrained_model_is_about_the_logarithm_of_the_items():
    """With equal scores, Z is e^0 + n_items: the positive and what stands for all items."""
    interactions = groups_of_taste(0, share=0.2)[0]
    model = LightFM(loss="softmax", temperature=100.0, random_state=0, n_negatives=500)
    model.fit(interactions)
    mean_unknown = 1 - interactions.nnz / np.prod(interactions.shape)
    assert model.history_[0]["loss"] == pytest.approx(np.log(1 + 60 * mean_unknown), rel=0.02)


@pytest.mark.parametrize("way", ["save", "pickle", "deepcopy"])
def test_kept_models_score_and_train_on_alike(model, interactions, features, way, tmp_path):
    if way == "save":
        model.save(tmp_path / "model")
        kept = LightFM.load(tmp_path / "model")
    else:
        kept = copy.deepcopy(model) if way == "deepcopy" else pickle.loads(pickle.dumps(model))
    for name in ("loss", "temperature", "n_negatives", "learning_schedule", "learning_rate"):
        assert getattr(kept, name) == getattr(model, name)
    np.testing.assert_array_equal(
        all_scores(kept, N_USERS, N_ITEMS, **features),
        all_scores(model, N_USERS, N_ITEMS, **features),
    )
    for each in (model, kept):
        each.fit_partial(interactions, epochs=2, **features)
    assert_equal_arrays(arrays_of(kept), arrays_of(model))


def test_dumps_of_earlier_versions_get_the_defaults():
    model = LightFM(random_state=0).fit(sp.coo_matrix(([1.0], ([0], [1])), shape=(2, 3)))
    state = {
        name: value
        for name, value in vars(model).items()
        if name not in ("temperature", "n_negatives", "stored_negatives")
    }
    old = LightFM.__new__(LightFM)
    old.__setstate__(state)
    assert (old.temperature, old.n_negatives) == (0.1, 256)
    np.testing.assert_array_equal(old.predict(0, [0, 1, 2]), model.predict(0, [0, 1, 2]))


# Cold users and items


def tastes(n: int, n_groups: int = 3, seed: int = 0) -> sp.csr_matrix:
    """The group as a feature, beside a few that say nothing."""
    noise = np.random.default_rng(seed).random((n, 4)) < 0.3
    return sp.csr_matrix(np.hstack([np.eye(n_groups)[np.arange(n) % n_groups], noise]), dtype="f4")


@pytest.mark.parametrize("side", ["user", "item"])
def test_cold_rows_are_known_by_their_features(side):
    """A third of the users (items) is not in training, and is ranked as its features say."""
    n_users, n_items = 90, 60
    likes = np.arange(n_users)[:, None] % 3 == np.arange(n_items) % 3
    cold = np.arange(60 if side == "user" else 40, n_users if side == "user" else n_items)
    seen = likes & (np.random.default_rng(1).random(likes.shape) < 0.5)
    if side == "user":
        seen[cold] = False
    else:
        seen[:, cold] = False
    both = {"user_features": tastes(n_users, seed=2), "item_features": tastes(n_items, seed=3)}
    model = LightFM(8, loss="softmax", random_state=0)
    model.fit(sp.coo_matrix(seen), epochs=20, **both)
    scores = all_scores(model, n_users, n_items, **both)
    # Of each cold row: how often those who belong to it are above the others.
    rows = zip(
        *((part if side == "user" else part.T)[cold] for part in (scores, likes)), strict=True
    )
    auc = np.mean([(row[liked][:, None] > row[~liked]).mean() for row, liked in rows])
    assert auc > 0.95


def test_more_feature_rows_than_interactions_have(interactions):
    """Further items are candidates for negatives, as with WARP."""
    more = random_features(N_ITEMS + 30, 7, seed=3)
    model = LightFM(6, loss="softmax", random_state=0).fit(interactions, item_features=more)
    scores = model.predict(2, np.arange(N_ITEMS + 30), item_features=more)
    expected = scores_of(model, {"item_features": more})[2]
    np.testing.assert_allclose(scores, expected, atol=2e-6)
    identity = sp.identity(N_ITEMS + 30, format="csr", dtype=np.float32)
    model.fit(interactions, item_features=identity, epochs=10)
    assert (model.item_biases[N_ITEMS:] < 0).all(), "never a positive, often a negative"


# Lengths of zero


def test_rows_without_features_score_by_biases_alone(interactions):
    both = {name: matrix.tolil() for name, matrix in FEATURES["both"].items()}
    both["user_features"][4] = 0
    both["item_features"][5] = 0
    both = {name: matrix.tocsr() for name, matrix in both.items()}
    model = LightFM(6, loss="softmax", random_state=0, item_alpha=1e-4, user_alpha=1e-4)
    model.fit(interactions, epochs=5, **both)
    assert are_finite(model)
    scores = all_scores(model, N_USERS, N_ITEMS, **both)
    item_biases, _ = model.get_item_representations(both["item_features"])
    np.testing.assert_array_equal(scores[4], item_biases)  # users' biases are not trained
    assert (scores[:, 5] == 0).all() and item_biases.any()
    ids, cosines = model.similar_items(5, k=3, item_features=both["item_features"])
    assert (cosines == 0).all()
    assert model.explain(4, 5, **both).score == 0.0


@pytest.mark.parametrize("schedule", ["sgd", "adadelta"])
def test_zero_embeddings_stay_and_harm_nothing(interactions, schedule):
    model = LightFM(6, loss="softmax", learning_schedule=schedule, random_state=0)
    model.fit(interactions, epochs=0)
    model.user_embeddings[3] = 0.0
    model.item_embeddings[[0, 1]] = 0.0
    model.fit_partial(interactions, epochs=3)
    assert are_finite(model)
    assert not model.user_embeddings[3].any() and not model.item_embeddings[[0, 1]].any()
    assert model.item_biases[[0, 1]].all(), "biases need no direction"
    np.testing.assert_array_equal(model.predict(3, np.arange(N_ITEMS)), model.item_biases)


@pytest.mark.parametrize("size", [1e-30, 1e-18, 1e15, 1e18])
def test_lengths_at_the_edge_of_float32(interactions, size):
    """Whose squares vanish or overflow there."""
    model = LightFM(6, loss="softmax", random_state=0).fit(interactions, epochs=0)
    expected = all_scores(model, N_USERS, N_ITEMS)
    model.item_embeddings *= np.float32(10 * size)
    model.user_embeddings *= np.float32(10 * size)
    np.testing.assert_allclose(all_scores(model, N_USERS, N_ITEMS), expected, atol=1e-5)
    assert model.explain(2, 3).score == pytest.approx(float(expected[2, 3]), abs=1e-5)
    model.fit_partial(interactions)
    assert are_finite(model)


# Edge shapes


@pytest.mark.parametrize("no_components", [1, 2, 15, 16, 33])
@pytest.mark.parametrize("n_negatives", [1, 2, 15, 16, 17, 31, 1000])
def test_any_number_of_negatives(n_negatives, no_components):
    seen, held_out = groups_of_taste(0)
    model = LightFM(no_components, loss="softmax", n_negatives=n_negatives, random_state=0)
    model.fit(seen, epochs=30 if n_negatives < 15 else 10)
    assert are_finite(model)
    if no_components > 2:
        assert auc_score(model, held_out, seen).mean() > 0.9


@pytest.mark.parametrize("n_negatives", [1, 7, 256])
@pytest.mark.parametrize(
    "known",
    [np.ones((5, 1)), np.ones((4, 6)), np.ones((1, 1))],
    ids=["one item", "all items", "one of each"],
)
def test_nothing_is_learned_where_nothing_is_unknown(known, n_negatives):
    interactions = sp.coo_matrix(known)
    model = LightFM(5, loss="softmax", n_negatives=n_negatives, random_state=0)
    before = arrays_of(model.fit(interactions, epochs=0))
    model.fit_partial(interactions, epochs=2)
    assert_equal_arrays(arrays_of(model), before)
    assert [record["loss"] for record in model.history_] == [0.0, 0.0]


def test_who_knows_everything_harms_nobody_else():
    dense = np.zeros((6, 8))
    dense[2] = 1.0
    dense[np.arange(6), np.arange(6)] = 1.0
    model = LightFM(5, loss="softmax", random_state=0)
    before = arrays_of(model.fit(sp.coo_matrix(dense), epochs=0))
    model.fit_partial(sp.coo_matrix(dense), epochs=3)
    np.testing.assert_array_equal(model.user_embeddings[2], before["user_embeddings"][2])
    others = [0, 1, 3, 4, 5]
    assert (model.user_embeddings[others] != before["user_embeddings"][others]).all()


def test_all_negatives_masked_now_and_then():
    """A single negative, known to most users: those examples are skipped, the others are not."""
    dense = np.random.default_rng(0).random((40, 10)) < 0.9
    dense[:, 9] = False
    model = LightFM(5, loss="softmax", n_negatives=1, random_state=0).fit(sp.coo_matrix(dense))
    for _ in range(30):
        model.fit_partial(sp.coo_matrix(dense))
    assert are_finite(model)
    assert model.item_biases.argmin() == 9
    losses = [record["loss"] for record in model.history_]
    assert np.isfinite(losses).all() and max(losses) > 0


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (3, 4)])
def test_no_interactions(shape):
    model = LightFM(5, loss="softmax").fit(sp.coo_matrix(shape), epochs=2)
    assert model.item_embeddings.shape == (shape[1], 5) and are_finite(model)
    assert [record["loss"] for record in model.history_] == [0.0, 0.0]


def test_entries_that_are_not_positive_are_known_and_no_examples():
    """An item that is stored as disliked is masked, as in the other ranking losses."""
    interactions = sp.coo_matrix(([1.0, -1.0, 0.0], ([0, 0, 0], [0, 1, 2])), shape=(1, 3))
    model = LightFM(5, loss="softmax", random_state=0)
    before = arrays_of(model.fit(interactions, epochs=0))
    assert_equal_arrays(arrays_of(model.fit_partial(interactions)), before)
    more = sp.coo_matrix(([1.0, -1.0], ([0, 0], [0, 1])), shape=(1, 3))
    model.fit(more, epochs=0)
    before = arrays_of(model)
    model.fit_partial(more)
    changed = (model.item_embeddings != before["item_embeddings"]).all(axis=1)
    assert changed.tolist() == [True, False, True]


def test_weights_of_zero_teach_nothing(interactions):
    weights = interactions.copy()
    weights.data = np.zeros_like(weights.data)
    model = LightFM(5, loss="softmax", random_state=0)
    before = arrays_of(model.fit(interactions, epochs=0))
    model.fit_partial(interactions, sample_weight=weights)
    assert_equal_arrays(arrays_of(model), before)


def test_heavier_examples_count_for_more():
    """Every user likes both items once; where one weighs more, it is the one to be shown."""
    rows, cols = np.divmod(np.arange(200), 2)
    interactions = sp.coo_matrix((np.ones(200), (rows, cols)), shape=(100, 12))
    model = LightFM(5, loss="softmax", random_state=0)
    for heavy in (0, 1):
        weights = interactions.copy()
        weights.data = np.where(cols == heavy, 4.0, 0.25)
        model.fit(interactions, sample_weight=weights, epochs=10)
        assert model.item_biases[heavy] > model.item_biases[1 - heavy] > model.item_biases[2:].max()


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("temperature", [1e-30, 1e-6, 0.001, 0.01, 100.0, 1e30])
def test_extreme_temperatures(interactions, temperature, num_threads):
    """Gradients grow with 1 / temperature; what comes of them stays finite, or is refused."""
    model = LightFM(6, loss="softmax", temperature=temperature, random_state=0)
    before = arrays_of(model.fit(interactions, epochs=0))
    if temperature < 0.001:
        try:
            model.fit_partial(interactions, epochs=5, num_threads=num_threads)
        except ValueError as error:
            assert f"learning_rate=0.1 and temperature={temperature}" in str(error)
            assert "higher temperature" in str(error)
            assert_equal_arrays(arrays_of(model), before)
        assert are_finite(model)
        return
    model.fit_partial(interactions, epochs=5, num_threads=num_threads)
    assert are_finite(model)
    assert all(np.isfinite(record["loss"]) for record in model.history_)


def test_a_low_temperature_looks_at_the_top_and_a_high_one_at_all():
    """The share of the nearest negative in the gradient, by what the biases of a step tell."""
    interactions = sp.coo_matrix(([1.0], ([0], [0])), shape=(1, 5))
    shares = []
    for temperature in (0.02, 10.0):
        model = LightFM(4, loss="softmax", temperature=temperature, n_negatives=400, random_state=5)
        model.fit(interactions, epochs=0)
        scores = model.predict(0, np.arange(1, 5))
        model.fit_partial(interactions)
        pushed = -model.item_biases[1:]
        assert pushed.argmax() == scores.argmax() or temperature > 1
        shares.append(pushed.max() / pushed.sum())
    assert shares[0] > 0.9 and shares[1] < 0.35


# Seeds


def test_one_thread_is_reproducible_to_the_bit(level, interactions, features):
    runs = []
    for _ in range(2):
        model = LightFM(7, loss="softmax", random_state=5, item_alpha=1e-3)
        runs.append(arrays_of(model.fit(interactions, epochs=3, **features)))
    assert_equal_arrays(*runs)
    other = LightFM(7, loss="softmax", random_state=6, item_alpha=1e-3)
    other.fit(interactions, epochs=3, **features)
    assert not np.array_equal(other.item_embeddings, runs[0]["item_embeddings"])


# The schedule: falling over the epochs of a call


def rates_of(model: LightFM, *calls: int, **options) -> list[float]:
    """Learning rates at the one entry of each epoch, told by the steps of an item's bias."""
    interactions = sp.coo_matrix(([1.0], ([0], [0])), shape=(1, 2))
    rates = []

    def read(model, record):
        before, score = rates[-1][1], rates[-1][2]
        after = float(model.item_biases[0])
        gradient = 1 / (1 + math.exp(-score)) - 1
        rates[-1] = ((before - after) / gradient, 0, 0)
        rates.append((0.0, after, float(model.predict(0, [0])[0])))

    model.fit(interactions, epochs=0)
    rates.append((0.0, float(model.item_biases[0]), float(model.predict(0, [0])[0])))
    for epochs in calls:
        model.fit_partial(interactions, epochs=epochs, callbacks=[read, *options.get("also", ())])
    return [rate for rate, _, _ in rates[:-1]]


def test_sgd_falls_to_zero_over_the_epochs_of_one_call():
    model = LightFM(learning_schedule="sgd", learning_rate=0.4, random_state=0)
    assert rates_of(model, 4) == pytest.approx([0.4, 0.3, 0.2, 0.1], rel=1e-3)
    assert rates_of(model, 1) == pytest.approx([0.4], rel=1e-3)


def test_each_call_falls_anew():
    model = LightFM(learning_schedule="sgd", learning_rate=0.4, random_state=0)
    assert rates_of(model, 2, 1, 2) == pytest.approx([0.4, 0.2, 0.4, 0.4, 0.2], rel=1e-3)


def test_adagrad_does_not_fall():
    model = LightFM(learning_rate=0.4, random_state=0)
    first, second, third = rates_of(model, 2, 1)
    assert first == pytest.approx(0.4, rel=1e-3) and 0.3 < third < second < 0.4


def test_a_fit_that_stops_early_falls_as_if_it_had_not():
    """The rate depends on the epochs that were asked for, so a stop leaves it above 0."""
    model = LightFM(learning_schedule="sgd", learning_rate=0.4, random_state=0)

    def stop(model, record):
        return record["epoch"] == 2

    assert rates_of(model, 4, also=[stop]) == pytest.approx([0.4, 0.3], rel=1e-3)


def test_a_callback_may_change_the_rate():
    model = LightFM(learning_schedule="sgd", learning_rate=0.4, random_state=0)

    def halve(model, record):
        model.learning_rate = 0.2

    assert rates_of(model, 4, also=[halve]) == pytest.approx([0.4, 0.15, 0.1, 0.05], rel=1e-3)


def test_fit_is_a_single_call_of_fit_partial(interactions):
    one = LightFM(loss="softmax", random_state=4).fit(interactions, epochs=3)
    other = LightFM(loss="softmax", random_state=4).fit(interactions, epochs=0)
    assert_equal_arrays(arrays_of(one), arrays_of(other.fit_partial(interactions, epochs=3)))
    each = LightFM(loss="softmax", random_state=4)
    for _ in range(3):
        each.fit_partial(interactions)
    assert not np.allclose(each.item_embeddings, one.item_embeddings)
    assert [record["epoch"] for record in each.history_] == [1, 2, 3]


def test_early_stopping(interactions):
    seen, held_out = groups_of_taste(1)
    model = LightFM(6, loss="softmax", random_state=0)
    stopping = EarlyStopping("ndcg@10", patience=2)
    model.fit(seen, epochs=60, validation=held_out, callbacks=[stopping])
    assert 2 < len(model.history_) < 60
    best = max(record["ndcg@10"] for record in model.history_)
    assert evaluate(model, held_out, seen, "ndcg@10")["ndcg@10"] == pytest.approx(best, abs=1e-6)
    assert stopping.best_value_ == pytest.approx(best)


@pytest.mark.parametrize("loss", ["logistic", "bpr", "warp", "warp-kos", "mse"])
def test_every_loss_learns_with_sgd(loss):
    seen, held_out = groups_of_taste(0)
    train = seen
    if loss in (
        "logistic",
        "mse",
    ):  # these need to see what is not liked: an item of the other group
        rows, cols = np.tile(seen.row, 2), np.append(seen.col, (seen.col + 1) % seen.shape[1])
        train = sp.coo_matrix((np.repeat([1.0, -1.0], seen.nnz), (rows, cols)), seen.shape)
    model = LightFM(8, loss=loss, learning_schedule="sgd", learning_rate=0.2, random_state=0)
    model.fit(train, epochs=20)
    assert auc_score(model, held_out, seen).mean() > 0.9
    for name in ARRAYS:
        assert name.endswith(("embeddings", "biases")) or not getattr(model, name).any()


# Growth and folding in


def test_resize_keeps_what_is_learned_and_draws_the_rest_alike(interactions):
    model = LightFM(6, loss="softmax", random_state=0).fit(interactions, epochs=3)
    before, draws = arrays_of(model), copy.deepcopy(model.random_state)
    model.resize(N_USERS + 3, N_ITEMS + 400)
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(model, name)[: len(array)], array)
    new = draws.normal(0.0, 0.1, size=(400, 6)).astype(np.float32)
    np.testing.assert_array_equal(model.item_embeddings[N_ITEMS:], new)
    assert not model.item_biases[N_ITEMS:].any()

    more = sp.coo_matrix(
        (interactions.data, (interactions.row + 5, interactions.col + 2)),
        (N_USERS + 5, N_ITEMS + 400),
    )
    model.fit_partial(more, resize=True)
    assert model.user_embeddings.shape == (N_USERS + 5, 6) and are_finite(model)


@pytest.fixture(scope="module")
def grouped() -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """What is seen and held out, of users and items of whom the last are going to be new."""
    return tuple(part.tocsr() for part in groups_of_taste(2, 200, 90, n_groups=3))


@pytest.mark.parametrize("options", [{}, {"user_alpha": 1e-4, "item_alpha": 1e-4}], ids=["", "l2"])
def test_new_users_are_folded_in(grouped, options):
    seen, held_out = grouped
    model = LightFM(12, loss="softmax", temperature=0.3, random_state=0, **options)
    model.fit(seen[:150], epochs=10)
    before, state = arrays_of(model), pickle.dumps(model.random_state)
    likes = sp.vstack([seen[150:], sp.csr_matrix((1, 90), dtype=seen.dtype)], format="csr")
    biases, embeddings = model.fold_in_users(likes, random_state=1)
    assert_equal_arrays(arrays_of(model), before)
    assert pickle.dumps(model.random_state) == state

    assert biases.dtype == embeddings.dtype == np.float32 and not biases.any()
    np.testing.assert_allclose(np.linalg.norm(embeddings[:-1], axis=1), 1.0, rtol=1e-5)
    item_biases, items = model.get_item_representations()
    scores = embeddings @ items.T + item_biases
    ids, found = model.recommend(user_representations=(biases, embeddings), k=10, exclude=likes)
    np.testing.assert_allclose(found, np.take_along_axis(scores, ids, axis=1), atol=2e-6)
    assert held_out[150:][np.arange(50)[:, None], ids[:-1]].mean() > 0.9
    # Who has liked nothing yet has no direction: the items' biases decide.
    np.testing.assert_array_equal(ids[-1], np.argsort(-item_biases, kind="stable")[:10])


@pytest.mark.parametrize("with_train", [False, True])
def test_new_items_are_folded_in(grouped, with_train):
    seen, held_out = grouped
    model = LightFM(12, loss="softmax", temperature=0.3, random_state=0)
    model.fit(seen[:, :60], epochs=10)
    before = arrays_of(model)
    train = {"train_interactions": seen[:, :60]} if with_train else {}
    biases, embeddings = model.fold_in_items(seen[:, 60:], random_state=1, **train)
    assert_equal_arrays(arrays_of(model), before)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, rtol=1e-5)

    model.resize(n_item_features=90)
    model.item_biases[60:], model.item_embeddings[60:] = biases, embeddings
    ids, _ = model.recommend(k=2, exclude=seen, items=np.arange(60, 90))
    assert held_out[np.arange(200)[:, None], ids].mean() > 0.9
    if with_train:  # old and new ones on the same scale
        assert auc_score(model, held_out, seen).mean() > 0.9


def test_folding_in_with_features(interactions):
    features = FEATURES["item"]["item_features"]
    model = LightFM(6, loss="softmax", random_state=1).fit(interactions, item_features=features)
    biases, embeddings = model.fold_in_users(
        interactions, item_features=features, random_state=0, epochs=3
    )
    lengths = np.linalg.norm(embeddings, axis=1)
    assert np.all((abs(lengths - 1) < 1e-5) | (lengths == 0))
    again = model.fold_in_users(interactions, item_features=features, random_state=0, epochs=3)
    np.testing.assert_array_equal(again[1], embeddings)
