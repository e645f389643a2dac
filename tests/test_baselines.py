"""Popularity and chance."""

from __future__ import annotations

import copy
import inspect
import pickle
from datetime import timedelta

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import random_interactions
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from sklearn.base import clone

from lightfm_clone import LightFM, evaluate
from lightfm_clone.persistence.container import write
from lightfm_clone.recommender import Popularity, Random
from lightfm_clone.recommender.ageing import half_life_seconds

DAY = 86_400
LIKES = sp.coo_matrix(
    (np.ones(6, np.float32), ([0, 1, 2, 0, 1, 0], [2, 2, 2, 0, 0, 3])), shape=(3, 5)
)
BOTH = pytest.mark.parametrize("model", [Popularity(), Random(3)], ids=repr)


def ones(n: int) -> sp.csr_matrix:
    """A feature matrix of which only the number of rows counts."""
    return sp.csr_matrix(np.ones((n, 2), np.float32))


def state_of(model: Popularity | Random) -> dict:
    return {name: value for name, value in vars(model).items() if name.endswith("_")}


def assert_same_state(model, other) -> None:
    left, right = state_of(model), state_of(other)
    assert left.keys() == right.keys() and left
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name, strict=True)


# ---- Popularity ----------------------------------------------------------------------------------


def test_popularity_counts_and_lists():
    model = Popularity().fit(LIKES)
    np.testing.assert_array_equal(model.counts_, [2, 0, 3, 1, 0])
    biases, vectors = model.get_item_representations()
    np.testing.assert_allclose(biases, np.log([3, 1, 4, 2, 1]), rtol=1e-6)
    assert biases.dtype == vectors.dtype == np.float32 and not vectors.any()
    ids, scores = model.recommend(k=6)
    assert ids.tolist() == [[2, 0, 3, 1, 4, -1]] * 3
    np.testing.assert_allclose(scores[1, :3], np.log([4, 3, 2]), rtol=1e-6)
    ids, _ = model.recommend([1, 0], k=2, exclude=LIKES, items=[0, 1, 3])
    assert ids.tolist() == [[3, 1], [1, -1]]
    assert model.predict(0, [3]) == model.predict(2, [3]) == np.float32(np.log(2))


def test_popularity_counts_weights_and_leaves_out_dislikes():
    values = sp.coo_matrix(([5.0, 0.0, -1.0, 3.0], ([0, 0, 1, 1], [0, 1, 1, 2])), shape=(2, 3))
    np.testing.assert_array_equal(Popularity().fit(values).counts_, [1, 0, 1])
    weights = values.copy()
    weights.data = np.array([0.5, 7.0, 7.0, 4.0])
    model = Popularity().fit(values, sample_weight=weights)
    np.testing.assert_array_equal(model.counts_, [0.5, 0, 4])


def test_popularity_with_a_half_life():
    timestamps = np.array([0, 5, 10, 10, 20, 20]) * DAY
    model = Popularity(half_life="10d").fit(LIKES, timestamps=timestamps)
    expected = [0.5 + 1, 0, 2**-2 + 2**-1.5 + 2**-1, 1, 0]
    np.testing.assert_allclose(model.counts_, expected, rtol=1e-12)
    assert model.latest_ == 20 * DAY
    # The number of day zero changes nothing, nor does the type.
    later = np.datetime64("2024-02-29T12:30") + timestamps.astype("m8[s]")
    other = Popularity(half_life=timedelta(days=10)).fit(LIKES, timestamps=later)
    np.testing.assert_allclose(other.counts_, expected, rtol=1e-12)
    without = Popularity().fit(LIKES, timestamps=timestamps)
    np.testing.assert_array_equal(without.counts_, [2, 0, 3, 1, 0])


@pytest.mark.parametrize("kind", ["coo", "csr", "csc"])
def test_timestamps_are_in_the_order_of_the_stored_entries(kind):
    matrix = LIKES.asformat(kind)
    matrix.data = np.arange(1.0, 7.0)  # tells the entries apart
    times = matrix.data * DAY
    entries = matrix.tocoo()
    expected = np.bincount(entries.col, 0.5 ** (6 - entries.data), minlength=5)
    model = Popularity(half_life=1).fit(matrix, timestamps=times)
    np.testing.assert_allclose(model.counts_, expected, rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    days=st.lists(st.integers(0, 400), min_size=6, max_size=6),
    cut=st.integers(0, 6),
    half_life=st.sampled_from([None, 3, 90]),
)
def test_popularity_counted_in_parts_is_that_of_the_whole(days, cut, half_life):
    times = np.array(days) * DAY
    whole = Popularity(half_life).fit(LIKES, timestamps=times)
    parts = Popularity(half_life)
    for at in (slice(cut), slice(cut, None)):
        entries = (LIKES.data[at], (LIKES.row[at], LIKES.col[at]))
        parts.fit_partial(sp.coo_matrix(entries, shape=(3, 5)), timestamps=times[at])
    np.testing.assert_allclose(parts.counts_, whole.counts_, rtol=1e-9)
    assert parts.latest_ == whole.latest_


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("30d", 30 * DAY),
        ("1.5 h", 5400),
        ("90min", 5400),
        ("45s", 45),
        ("2w", 14 * DAY),
        (0.5, DAY / 2),
        (np.int64(7), 7 * DAY),
        (timedelta(hours=1), 3600),
        (np.timedelta64(90, "m"), 5400),
    ],
)
def test_half_lives(given, expected):
    assert half_life_seconds(given) == expected


@pytest.mark.parametrize(
    "given",
    ["30", "d", "30 months", "-3d", "0d", 0, -1, np.nan, np.inf, True, [30], timedelta(0)]
    + [np.timedelta64("NaT"), np.timedelta64(1, "Y"), np.timedelta64(3)],
)
def test_what_is_no_half_life(given):
    with pytest.raises(ValueError, match="half_life must be a time above 0, such as .* None lets"):
        Popularity(half_life=given)
    model = Popularity(half_life="1d")
    with pytest.raises(ValueError, match="half_life must be"):
        model.set_params(half_life=given)
    assert model.half_life == "1d"


@pytest.mark.parametrize(
    ("timestamps", "message"),
    [
        (None, "half_life is '30d': pass timestamps=array"),
        (np.arange(5), r"one time for each of the 6 stored entries .* shape \(5,\)"),
        (np.arange(6)[None], r"shape \(1, 6\)"),
        (["2024-01-01"] * 6, "numpy.array"),
        ([0, 1, 2, 3, 4, np.nan], "leave such interactions out"),
        (np.array(["2024-01-01"] * 5 + ["NaT"], "M8[D]"), "leave such interactions out"),
        (np.full(6, 1.7e12), "divide milliseconds by 1000"),
    ],
)
def test_bad_timestamps(timestamps, message):
    model = Popularity(half_life="30d").fit(LIKES, timestamps=np.arange(6))
    before = copy.deepcopy(model)
    with pytest.raises(ValueError, match=f"^timestamps must .*{message}"):
        model.fit(LIKES, timestamps=timestamps)
    assert_same_state(model, before)


def test_the_advice_on_texts_helps():
    texts = ["2024-01-01", "2024-01-03"] * 3
    made = np.array(texts, dtype="datetime64[s]")
    assert Popularity(2).fit(LIKES, timestamps=made).latest_ == 1_704_240_000


def test_negative_weights_are_refused():
    weights = LIKES.copy()
    weights.data = np.array([1, 1, -2, 1, 1, 1], np.float32)
    with pytest.raises(ValueError, match="sample_weight must not be negative, got -2"):
        Popularity().fit(LIKES, sample_weight=weights)


def test_popularity_finds_nothing_alike():
    for error in (ValueError, NotImplementedError):
        with pytest.raises(error, match="ask a LightFM for similar_items"):
            Popularity().fit(LIKES).similar_items([0])


def test_popularity_is_no_worse_than_chance_and_the_model_no_worse_than_popularity():
    rng = np.random.default_rng(0)
    chances = 1 / np.arange(1, 61)
    drawn = [rng.choice(60, 12, replace=False, p=chances / chances.sum()) for _ in range(300)]
    matrix = sp.lil_matrix((300, 60), dtype=np.float32)
    for user, items in enumerate(drawn):
        matrix[user, items] = 1
    entries = matrix.tocoo()
    at = rng.random(entries.nnz) < 0.5
    train, test = (
        sp.coo_matrix((entries.data[part], (entries.row[part], entries.col[part])), (300, 60))
        for part in (at, ~at)
    )
    popular = evaluate(Popularity().fit(train), test, train, ["auc", "ndcg@10"])
    chance = evaluate(Random(0).fit(train), test, train, ["auc", "ndcg@10"])
    assert popular["auc"] > 0.7 and abs(chance["auc"] - 0.5) < 0.03
    assert popular["ndcg@10"] > chance["ndcg@10"] + 0.2


# ---- Random --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_items", [1, 2, 3, 7, 36, 97, 240])
@pytest.mark.parametrize("place", ["first", "last", "among the first third"])
def test_random_favours_no_item(n_items, place):
    """Each item is as often at a place as any other, for any one seed, over the users."""
    n_users = 200 * n_items
    model = Random(random_state=n_items).fit(sp.coo_matrix((1, n_items)))
    ids, _ = model.recommend(user_features=ones(n_users), k=n_items)
    k = max(n_items // 3, 1)
    chosen = {"first": ids[:, :1], "last": ids[:, -1:], "among the first third": ids[:, :k]}[place]
    counts = np.bincount(chosen.ravel(), minlength=n_items)
    expected = chosen.size / n_items
    # Counts of independent draws exceed the bound once in a million; those of items whose vectors
    # are drawn at random, and not placed evenly, do so from 36 items on.
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert statistic <= chi2.isf(1e-6, max(n_items - 1, 1))


def test_random_orders_differ_between_users_and_hardly_correlate():
    model = Random(random_state=0).fit(sp.coo_matrix((400, 90)))
    users, items = model.get_user_representations()[1], model.get_item_representations()[1]
    np.testing.assert_allclose(np.linalg.norm(users, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(items, axis=1), 1, rtol=1e-5)
    correlations = np.corrcoef(users @ items.T)[np.triu_indices(400, 1)]
    # Cosines of 16 components have a standard deviation of about 1/4.
    assert abs(correlations.mean()) < 0.01 and correlations.std() < 0.35
    ids, _ = model.recommend(k=10)
    assert len(np.unique(ids, axis=0)) == 400


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_items=st.integers(1, 300))
def test_random_items_stand_apart(seed, n_items):
    items = Random(seed).fit(sp.coo_matrix((1, n_items))).get_item_representations()[1]
    assert len(np.unique(items.round(4), axis=0)) == n_items


def test_random_rows_are_the_same_however_many_there_are():
    model = Random(random_state=5).fit(LIKES)
    few, many = (model.get_user_representations(ones(n))[1] for n in (3, 1000))
    np.testing.assert_array_equal(few, many[:3])
    np.testing.assert_array_equal(few, model.get_user_representations()[1])
    grown = copy.deepcopy(model).fit_partial(sp.coo_matrix((9, 5)), resize=True)
    np.testing.assert_array_equal(few, grown.get_user_representations()[1][:3])


def test_random_seeds():
    def lists(seed):
        return Random(seed).fit(sp.coo_matrix((50, 40))).recommend()[0].tolist()

    assert lists(1) == lists(1) != lists(2)
    assert lists(None) != lists(None)
    assert lists(np.random.default_rng(4)) == lists(np.random.default_rng(4))
    assert lists(np.random.RandomState(4)) == lists(np.random.RandomState(4))
    for wrong in (-1, "a", 1.5):
        with pytest.raises(ValueError, match="random_state must be"):
            Random(wrong)


def test_random_similar_items_are_those_of_its_vectors():
    model = Random(random_state=0).fit(sp.coo_matrix((1, 30)))
    vectors = model.get_item_representations()[1]
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    ids, similarities = model.similar_items([4, 9], k=3)
    found = np.take_along_axis(cosines[[4, 9]], ids, axis=1)  # of equal ones, any
    np.testing.assert_allclose(similarities, found, atol=1e-5)
    np.testing.assert_allclose(similarities, -np.sort(-cosines[[4, 9]])[:, :3], atol=1e-5)


# ---- both ----------------------------------------------------------------------------------------


@BOTH
def test_scores_are_those_of_the_representations(model):
    model = clone(model).fit(LIKES)
    (b_u, q), (b_i, p) = model.get_user_representations(), model.get_item_representations()
    expected = b_u[:, None] + b_i + q @ p.T
    users, items = np.divmod(np.arange(15), 5)
    np.testing.assert_allclose(model.predict(users, items).reshape(3, 5), expected, atol=1e-5)
    left, right = model.score_vectors()
    np.testing.assert_allclose(left @ right.T, expected, atol=1e-5)
    ids, scores = model.recommend(k=5)
    np.testing.assert_allclose(np.take_along_axis(expected, ids, 1), scores, atol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()
    ids_of_given, _ = model.recommend(k=5, user_representations=(b_u, q))
    np.testing.assert_array_equal(ids_of_given, ids)


@BOTH
def test_ranks_are_those_of_the_scores(model):
    train = random_interactions(0, (30, 20))
    test = random_interactions(1, (30, 20), 60)
    model = clone(model).fit(train)
    ranks = model.predict_rank(test, train, check_intersections=False).tocoo()
    scores = model.predict(np.repeat(np.arange(30), 20), np.tile(np.arange(20), 30))
    scores = scores.reshape(30, 20)
    known = train.astype(bool).toarray()
    stored = np.zeros((30, 20), bool)
    stored[train.row, train.col] = True
    assert known.sum() < stored.sum()  # entries of value 0 are left out as well
    for user, item, rank in zip(ranks.row, ranks.col, ranks.data, strict=True):
        rivals = ~stored[user]
        rivals[item] = False
        assert rank == (scores[user, rivals] >= scores[user, item]).sum()
    with pytest.raises(ValueError, match="share entries"):
        model.predict_rank(train, train)


@BOTH
def test_evaluate_with_groups(model):
    train, test = random_interactions(0), random_interactions(1)
    result = evaluate(
        clone(model).fit(train), test, train, groups="activity", check_intersections=False
    )
    assert set(result.groups) and 0 < result["auc"] < 1


@BOTH
def test_anybody_may_ask(model):
    """Users that the model has never seen, and items that nobody has."""
    model = clone(model).fit(LIKES)
    ids, _ = model.recommend([7, 2], k=2, user_features=ones(8))
    np.testing.assert_array_equal(ids[1], model.recommend([2], k=2)[0][0])
    assert model.recommend(user_features=ones(8), k=1)[0].shape == (8, 1)
    assert model.predict(7, [0, 1], user_features=ones(8)).shape == (2,)
    for shape in ((9, 5), (1, 5), (9, 6)):
        test = sp.csr_matrix(([1.0], ([0], [4])), shape=shape)
        assert model.predict_rank(test).shape == shape
    biases, vectors = model.fold_in_users(sp.csr_matrix((6, 5)))
    assert biases.shape == (6,) and len(vectors) == 6
    ids, _ = model.recommend([0], k=8, item_features=ones(7))
    assert sorted(ids[0]) == [-1, 0, 1, 2, 3, 4, 5, 6]


def test_new_items_are_the_least_popular():
    model = Popularity().fit(LIKES)
    biases, _ = model.get_item_representations(ones(7))
    np.testing.assert_allclose(biases, np.log([3, 1, 4, 2, 1, 1, 1]), rtol=1e-6)


@BOTH
def test_feature_matrices_say_how_many_there_are(model):
    model = clone(model).fit(LIKES, user_features=ones(4), item_features=ones(6))
    assert (model.n_users_, model.n_items_) == (4, 6)
    assert model.recommend(k=6)[0].shape == (4, 6)
    with pytest.raises(ValueError, match="item_features must have a row for each of the 6 items"):
        model.recommend([0], item_features=ones(5))
    with pytest.raises(ValueError, match="test_interactions must have a column .* 6 items, got 5"):
        model.predict_rank(LIKES)
    with pytest.raises(ValueError, match="user_features must have a row for each of the 3 users"):
        model.fit(LIKES, user_features=ones(2))
    assert model.n_items_ == 6


@BOTH
def test_growth_is_asked_for(model):
    model = clone(model).fit(LIKES)
    larger = sp.coo_matrix(([1.0], ([4], [6])), shape=(5, 7))
    with pytest.raises(ValueError, match="there are 5 users, and 3 in the model; pass resize=True"):
        model.fit_partial(larger)
    assert (model.n_users_, model.n_items_) == (3, 5)
    model.fit_partial(larger, resize=True)
    assert (model.n_users_, model.n_items_) == (5, 7)
    model.fit_partial(LIKES)
    assert (model.n_users_, model.n_items_) == (5, 7)
    model.fit(LIKES)
    assert_same_state(model, clone(model).fit(LIKES))


@BOTH
def test_without_interactions(model):
    model = clone(model).fit(sp.coo_matrix((2, 3)))
    assert sorted(model.recommend([1], k=3)[0][0]) == [0, 1, 2]
    empty = clone(model).fit(sp.coo_matrix((0, 0)))
    assert empty.get_item_representations()[0].shape == (0,)


@BOTH
def test_before_the_fit(model):
    model = clone(model)
    for call in (
        model.recommend,
        model.get_user_representations,
        model.get_item_representations,
        lambda: model.predict(0, [1]),
        lambda: model.predict_rank(LIKES),
        lambda: model.fold_in_users(LIKES),
    ):
        with pytest.raises(ValueError, match="not fitted yet: call fit first"):
            call()


@BOTH
def test_wrong_names_are_answered(model):
    with pytest.raises(TypeError, match="it is called num_threads here"):
        clone(model).fit(LIKES, n_jobs=2)
    with pytest.raises(ValueError, match="unknown parameter 'seed'"):
        clone(model).set_params(seed=1)
    with pytest.raises(ValueError, match="pass one of them"):
        fitted = clone(model).fit(LIKES)
        fitted.recommend(
            user_features=ones(3), user_representations=fitted.get_user_representations()
        )


@BOTH
def test_arguments_are_those_of_lightfm(model):
    """In their order, for what is passed by position."""
    for name in ("predict", "predict_rank", "recommend", "score_vectors", "fold_in_users"):
        ours, theirs = (
            list(inspect.signature(getattr(of, name)).parameters) for of in (type(model), LightFM)
        )
        assert ours == theirs
    for name in ("fit", "fit_partial"):
        ours, theirs = (
            list(inspect.signature(getattr(of, name)).parameters)[:8]
            for of in (type(model), LightFM)
        )
        assert ours == theirs


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Popularity(), "Popularity()"),
        (Popularity("30d"), "Popularity(half_life='30d')"),
        (Random(), "Random()"),
        (Random(0), "Random(random_state=0)"),
    ],
)
def test_parameters_and_copies(model, text):
    assert repr(model) == text
    assert repr(clone(model)) == repr(pickle.loads(pickle.dumps(model))) == text
    assert clone(model).get_params() == model.get_params()


@pytest.mark.parametrize(
    "model",
    [Popularity(), Popularity("30d"), Popularity(timedelta(hours=7)), Random(4), Random()]
    + [Random(np.random.RandomState(1))],
    ids=lambda model: type(model).__name__,
)
def test_saved_models_are_the_same(model, tmp_path):
    path = tmp_path / "baseline"
    model = type(model)(*model.get_params().values()).fit(LIKES, timestamps=np.arange(6) * DAY)
    model.save(path)
    loaded = type(model).load(path)
    assert_same_state(loaded, model)
    np.testing.assert_array_equal(loaded.recommend()[0], model.recommend()[0])
    more = LIKES.copy()
    for one in (loaded, model):
        one.fit_partial(more, timestamps=np.arange(6) * DAY + 9)
    assert_same_state(loaded, model)


def test_saved_before_the_fit(tmp_path):
    Popularity("9d").save(tmp_path / "one")
    loaded = Popularity.load(tmp_path / "one")
    assert loaded.half_life == "9d" and loaded.counts_ is None
    with pytest.raises(
        ValueError, match="it holds a Popularity, not a Random; call Popularity.load"
    ):
        Random.load(tmp_path / "one")


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": {"half_life": "soon"}},
        {"parameters": {"half_life": "9d", "other": 1}},
        {"learned": {"n_users_": 3, "n_items_": 5}},
        {"learned": {"n_users_": 3, "n_items_": 5, "latest_": 0.0, "fit": 1}},
        {"learned": {"n_users_": -3, "n_items_": 5, "latest_": 0.0}},
        {"learned": {"n_users_": 2**40, "n_items_": 5, "latest_": 0.0}},
        {"learned": {"n_users_": "3", "n_items_": 5, "latest_": 0.0}},
        {"learned": {"n_users_": 3, "n_items_": 4, "latest_": 0.0}},
        {"learned": {"n_users_": 3, "n_items_": 5, "latest_": {"$float": "nan"}}},
        {"learned": {"n_users_": 3, "n_items_": None, "latest_": None}},
        {"required": ["gears"]},
        {"counts": np.array([1, 2, 3, 4, -5.0])},
        {"counts": np.array([1, 2, 3, 4, np.nan])},
        {"counts": np.ones((5, 1))},
        {"counts": np.ones(5, np.float32)},
    ],
    ids=str,
)
def test_files_that_make_no_sense_are_refused(change, tmp_path):
    header = {
        "class": "Popularity",
        "required": [],
        "parameters": {"half_life": "9d"},
        "learned": {"n_users_": 3, "n_items_": 5, "latest_": 0.0},
    }
    counts = np.arange(5.0)
    write(tmp_path / "good", "Popularity", header, {"counts_": counts})
    assert Popularity.load(tmp_path / "good").recommend([0], k=1)[0] == 4
    counts = change.pop("counts", counts)
    write(tmp_path / "bad", "Popularity", header | change, {"counts_": counts})
    with pytest.raises(ValueError, match="^cannot load '.*bad'"):
        Popularity.load(tmp_path / "bad")


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, "x", [1]])
def test_seeds_in_files_are_checked(seed, tmp_path):
    learned = {"n_users_": 3, "n_items_": 5, "seed_": seed}
    header = {"class": "", "required": [], "parameters": {"random_state": 0}, "learned": learned}
    write(tmp_path / "bad", "Random", header, {})
    with pytest.raises(ValueError, match="seed_ cannot be"):
        Random.load(tmp_path / "bad")
