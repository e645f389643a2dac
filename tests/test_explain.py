"""explain: terms that add up to the score, under their right names."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import LOSSES, model_with, random_features, random_interactions
from hypothesis import given, settings
from hypothesis import strategies as st

from lightfm_clone import LightFM
from lightfm_clone.data import Dataset
from lightfm_clone.explain import Contribution

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


@pytest.fixture(scope="module")
def plain() -> LightFM:
    """Known numbers, without features."""
    return model_with([[1, 2], [0.5, -1]], [[3, 0], [-1, 1], [2, 2]], [0.25, -4], [0.5, 0, -0.125])


def assert_adds_up(why, predicted, scale):
    """Contributions make the score exactly, and the prediction within rounding to float32."""
    values = [each.value for each in why.contributions]
    assert math.fsum(values) == why.score
    assert abs(why.score - predicted) <= 1e-5 * max(scale, sum(map(abs, values)))
    order = [(each.kind in ("user bias", "global mean"), -abs(each.value)) for each in
             why.contributions]  # fmt: skip
    assert order == sorted(order), "what decides the order of items comes first, the largest ahead"


# The sum


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    no_components=st.integers(1, 9),
    widths=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    sides=st.sampled_from([(), ("user",), ("item",), ("user", "item")]),
)
def test_contributions_add_up_to_predict(seed, no_components, widths, sides):
    rng = np.random.default_rng(seed)
    n = {"user": 5, "item": 4}
    given_features = {
        f"{side}_features": random_features(n[side], width, seed=seed % 1000 + width)
        for side, width in zip(n, widths, strict=True)
        if side in sides
    }
    model = LightFM(no_components=no_components)
    model.fit(sp.coo_matrix((n["user"], n["item"])), epochs=0, **given_features)
    for name in ("user_embeddings", "item_embeddings", "user_biases", "item_biases"):
        array = getattr(model, name)
        array[:] = rng.normal(scale=10.0 ** rng.integers(-3, 3), size=array.shape)

    user, item = int(rng.integers(n["user"])), int(rng.integers(n["item"]))
    why = model.explain(user, item, **given_features)
    assert_adds_up(why, model.predict(user, [item], **given_features)[0], scale=1e-30)
    size = {
        side: given_features[f"{side}_features"][row].nnz if side in sides else 1
        for side, row in (("user", user), ("item", item))
    }
    assert len(why.contributions) == size["user"] * size["item"] + sum(size.values())


def test_every_pair_and_bias_is_there(hybrid):
    """Against the formula, term by term."""
    user, item = 4, 5
    x, y = (FEATURES[name].toarray()[row].astype(float) for name, row in
            (("user_features", user), ("item_features", item)))  # fmt: skip
    expected = set()
    for f in np.flatnonzero(x):
        user_feature = f"user feature {f}"
        expected.add((x[f] * hybrid.user_biases[f], "user bias", user_feature, None))
        for g in np.flatnonzero(y):
            dot = sum(np.float64(hybrid.user_embeddings[f]) * hybrid.item_embeddings[g])
            expected.add((x[f] * y[g] * dot, "pair", user_feature, f"item feature {g}"))
    for g in np.flatnonzero(y):
        expected.add((y[g] * hybrid.item_biases[g], "item bias", None, f"item feature {g}"))

    why = hybrid.explain(user, item, **FEATURES)
    assert all(type(each) is Contribution for each in why.contributions)
    found = {each[1:]: each.value for each in why.contributions}
    assert len(found) == len(why.contributions) == len(expected)
    assert found == pytest.approx({each[1:]: each[0] for each in expected}, rel=1e-12)


def test_without_features(plain):
    why = plain.explain(1, 2)
    assert why.contributions == [
        (-1.0, "pair", "user feature 1", "item feature 2"),
        (-0.125, "item bias", None, "item feature 2"),
        (-4.0, "user bias", "user feature 1", None),
    ]
    assert why.score == plain.predict(1, [2])[0] == -5.125
    value, kind, user_feature, item_feature = why.contributions[1]
    assert (value, kind) == (why.contributions[1].value, why.contributions[1].kind)
    assert [each.is_same_for_every_item for each in why.contributions] == [False, False, True]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("sides", [("user",), ("item",), ("user", "item")], ids=str)
def test_after_training(loss, sides):
    features = {f"{side}_features": FEATURES[f"{side}_features"] for side in sides}
    model = LightFM(loss=loss, no_components=8, learning_rate=0.2, random_state=0)
    model.fit(random_interactions(1, (N_USERS, N_ITEMS), 60), epochs=5, **features)
    for user, item in ((0, 0), (7, 3), (11, 8)):
        why = model.explain(user, item, **features)
        assert_adds_up(why, model.predict(user, [item], **features)[0], scale=0)


def test_the_global_mean_is_a_contribution():
    model = LightFM(loss="mse", random_state=0)
    ratings = sp.coo_matrix(np.random.default_rng(0).integers(1, 6, (N_USERS, N_ITEMS)))
    model.fit(ratings, epochs=2, **FEATURES)
    why = model.explain(2, 3, **FEATURES)
    assert (model.global_mean_, "global mean", None, None) in why.contributions
    same = [each.kind for each in why.contributions if each.is_same_for_every_item]
    assert sorted(set(same)) == ["global mean", "user bias"]
    assert [each.kind for each in why.contributions][-len(same) :] == same
    assert "global mean" in str(why).split("the same for every item:")[1]
    assert_adds_up(why, model.predict(2, [3], **FEATURES)[0], scale=0)


def test_stored_zeros_are_no_features_and_duplicates_are_one(hybrid):
    """As everywhere else: a matrix means its sums."""
    columns, values = [3, 0, 3, 5], [0.5, 0.0, 0.25, -1.0]
    row = sp.csr_matrix((np.float32(values), columns, [0, 4]), shape=(1, 6))
    why = hybrid.explain(0, 1, user_features=row, item_features=FEATURES["item_features"])
    named = {each.user_feature for each in why.contributions} - {None}
    assert named == {"user feature 3", "user feature 5"}
    assert row.nnz == 4 and row.data.tolist() == values, "the caller's matrix has changed"
    clean = sp.csr_matrix([[0, 0, 0, 0.75, 0, -1]], dtype=np.float32)
    same = hybrid.explain(0, 1, user_features=clean, item_features=FEATURES["item_features"])
    assert why.contributions == same.contributions


def test_nothing_known_leaves_the_other_side(hybrid):
    nobody = sp.csr_matrix((1, 6), dtype=np.float32)
    nothing = sp.csr_matrix((1, 7), dtype=np.float32)
    why = hybrid.explain(0, 2, user_features=nobody, item_features=FEATURES["item_features"])
    assert {each.kind for each in why.contributions} == {"item bias"}
    why = hybrid.explain(0, 0, user_features=nobody, item_features=nothing)
    assert why.contributions == [] and why.score == 0
    assert str(why) == "   +0.0000  = score"


def test_fewer_columns_than_the_fit(hybrid):
    narrow = {name: matrix[:, :4] for name, matrix in FEATURES.items()}
    assert_adds_up(hybrid.explain(3, 3, **narrow), hybrid.predict(3, [3], **narrow)[0], scale=0)


def test_assigned_arrays_of_another_type(plain):
    """predict takes them, so explain does."""
    model = model_with(plain.user_embeddings, plain.item_embeddings)
    model.user_embeddings = np.asfortranarray(model.user_embeddings, dtype=np.float64)
    model.item_biases = [1.0, 2.0, 3.0]
    assert model.explain(0, 1).score == model.predict(0, [1])[0] == 3.0


# Names


@pytest.fixture
def dataset() -> Dataset:
    dataset = Dataset(item_identity_features=False)
    dataset.fit(["ann", "bob"], [("tea", 1), 7], user_features=["new"], item_features=["hot", 3])
    return dataset


def test_names_of_a_dataset(dataset):
    interactions, _ = dataset.build_interactions([("ann", 7), ("bob", ("tea", 1))])
    features = {
        "user_features": dataset.build_user_features([("bob", ["new"])]),
        "item_features": dataset.build_item_features([(("tea", 1), ["hot"]), (7, ["hot", 3])]),
    }
    model = LightFM(random_state=0).fit(interactions, **features)
    why = model.explain(1, 1, dataset=dataset, **features)
    assert {each[1:] for each in why.contributions} == {
        ("pair", "bob", "hot"),
        ("pair", "bob", 3),
        ("pair", "new", "hot"),
        ("pair", "new", 3),
        ("user bias", "bob", None),
        ("user bias", "new", None),
        ("item bias", None, "hot"),
        ("item bias", None, 3),
    }
    unnamed = model.explain(1, 1, **features)
    assert [each.value for each in unnamed.contributions] == [
        each.value for each in why.contributions
    ]
    for line in ("bob × hot", "user bias of new", "item bias of 3"):
        assert f"  {line}\n" in str(why)

    # The dataset may have grown since; what the model knows has kept its number.
    dataset.fit_partial(users=["cid"], item_features=["cold"])
    assert model.explain(1, 1, dataset=dataset, **features) == why


def test_ids_are_their_own_features_without_a_matrix(dataset):
    """Named by their ids, whatever features the dataset knows besides."""
    interactions, _ = dataset.build_interactions([("ann", 7), ("bob", ("tea", 1))])
    why = LightFM(random_state=0).fit(interactions).explain(1, 0, dataset=dataset)
    assert {each[1:] for each in why.contributions} == {
        ("pair", "bob", ("tea", 1)),
        ("user bias", "bob", None),
        ("item bias", None, ("tea", 1)),
    }


def test_a_feature_alone_is_named_as_one(dataset):
    """The identity matrix asks a model of features about a feature alone."""
    interactions, _ = dataset.build_interactions([("ann", 7), ("bob", ("tea", 1))])
    tags = dataset.build_item_features([(("tea", 1), ["hot"]), (7, ["hot", 3])])
    model = LightFM(random_state=0).fit(interactions, item_features=tags)
    with pytest.raises(ValueError, match="item_features must be given.*identity"):
        model.explain(0, 1, dataset=dataset)
    own = sp.identity(len(model.item_biases), format="csr")
    why = model.explain(0, 1, item_features=own, dataset=dataset)
    assert {each.item_feature for each in why.contributions} == {None, 3}


def test_a_dataset_that_does_not_fit(hybrid, plain, dataset):
    with pytest.raises(ValueError, match=r"dataset knows 2 item features, .* number [2-6]; pass"):
        hybrid.explain(0, 0, user_features=FEATURES["user_features"][:, :2],
                       item_features=np.ones((1, 7)), dataset=dataset)  # fmt: skip
    with pytest.raises(ValueError, match="dataset knows 2 items, none of them with number 2; pass"):
        plain.explain(0, 2, dataset=dataset)
    with pytest.raises(
        TypeError, match=r"dataset must be the lightfm_clone\.data\.Dataset .* dict"
    ):
        plain.explain(0, 1, dataset={"ann": 0})


# The table


def test_a_short_table(plain):
    assert repr(plain.explain(1, 2)) == (
        "   -1.0000  user feature 1 × item feature 2\n"
        "   -0.1250  item bias of item feature 2\n"
        "            the same for every item:\n"
        "   -4.0000  user bias of user feature 1\n"
        "   -5.1250  = score"
    )


@pytest.mark.parametrize("n_features", [4, 5, 6, 40])
def test_a_long_table_sums_up_the_rest(n_features):
    """The ten largest are named."""
    model = LightFM(random_state=0)
    every = np.ones((1, n_features), dtype=np.float32)
    model.fit(sp.coo_matrix((1, 2)), np.ones((1, 1)), np.ones((2, n_features)), epochs=0)
    model.item_biases[:] = np.arange(n_features)
    why = model.explain(0, 0, user_features=np.ones((1, 1)), item_features=every)
    decisive, same = str(why).split("\n            the same for every item:\n")
    lines = [*decisive.splitlines(), *same.splitlines()]
    n = 2 * n_features
    assert len(why.contributions) == n + 1
    assert len(decisive.splitlines()) == (n if n <= 11 else 11)
    assert len(same.splitlines()) == 2
    if n > 11:
        assert decisive.endswith(f"  ({n - 10} smaller ones)")
    total = sum(float(line.split()[0]) for line in lines[:-1])
    assert total == pytest.approx(float(lines[-1].split()[0]), abs=1e-3)
    assert lines[-1].endswith("= score")


@pytest.mark.parametrize(("n_features", "n_lines"), [(1, 1), (4, 4), (5, 4), (20, 4)])
def test_the_biases_of_a_user_of_many_features_are_summed_up(n_features, n_lines):
    """A rest of a single one is named."""
    model = LightFM(random_state=0)
    model.fit(sp.coo_matrix((2, 1)), np.ones((2, n_features)), np.ones((1, 1)), epochs=0)
    model.user_biases[:] = np.arange(n_features)
    every = {"user_features": np.ones((1, n_features)), "item_features": np.ones((1, 1))}
    *same, score = str(model.explain(0, 0, **every)).split("item:\n")[1].splitlines()
    assert len(same) == n_lines and score.endswith("= score")
    total = sum(float(line.split()[0]) for line in same)
    assert total == pytest.approx(n_features * (n_features - 1) / 2)
    if n_features > 4:
        assert same[-1].endswith(f"  ({n_features - 3} smaller ones)")


# Errors


@pytest.mark.parametrize(
    ("user_id", "item_id", "message"),
    [
        ([0, 1], 0, "user_id must be a single integer, got 2 of them"),
        (0, [1], "item_id must be a single integer, got 1 of them"),
        (0, range(3), "item_id must be a single integer"),
        (-1, 0, "user_id must not be negative"),
        (2, 0, "user_id must be below 2, the number of users of the fit, got 2"),
        (0, 3, "item_id must be below 3, the number of items of the fit, got 3"),
        (0.5, 0, "user_id must be whole numbers"),
        ("ann", 0, "user_id must be integers, row numbers, got the text 'ann'"),
        (0, None, "item_id must be integers"),
        (0, 2**40, "item_id must fit a 32-bit integer"),
    ],
)
def test_refused_ids(plain, user_id, item_id, message):
    with pytest.raises(ValueError, match=message):
        plain.explain(user_id, item_id)


@pytest.mark.parametrize("user_id", [np.int64(1), np.uint8(1), np.array(1), 1.0])
def test_accepted_ids(plain, user_id):
    assert plain.explain(user_id, np.int32(2)) == plain.explain(1, 2)


def test_refused_features(hybrid):
    with pytest.raises(ValueError, match="user_features must have the 6 columns"):
        hybrid.explain(0, 0, user_features=np.ones((1, 8)))
    with pytest.raises(ValueError, match="item_id must be below 1, the number of rows of item_fea"):
        hybrid.explain(0, 1, **{**FEATURES, "item_features": np.ones((1, 7))})
    with pytest.raises(ValueError, match="not fitted yet"):
        LightFM().explain(0, 0)
    with pytest.raises(TypeError, match="by their place"):
        hybrid.explain(0, 0, FEATURES["user_features"])
