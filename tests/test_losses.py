"""What the losses beyond LightFM's are for: ratings by `mse`, stored negatives in BPR and WARP.

Their formulas are checked in test_reference.py and test_twin.py, the sums they report in
test_history.py.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import (
    LOSSES,
    SCHEDULES,
    all_scores,
    are_finite,
    arrays_of,
    assert_equal_arrays,
    groups_of_taste,
    random_features,
    random_interactions,
)

from lightfm_clone import LightFM

INTERACTIONS = random_interactions(1)  # 30 users, 20 items, 150 entries of either sign


def with_values(interactions: sp.coo_matrix, values: np.ndarray) -> sp.coo_matrix:
    """The same entries in the same order."""
    return sp.coo_matrix((values, (interactions.row, interactions.col)), interactions.shape)


def rating_model(**parameters: object) -> LightFM:
    return LightFM(**{"loss": "mse", "random_state": 3, **parameters})


# mse: the global mean


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64, np.uint8])
def test_global_mean(kind):
    values = np.random.default_rng(0).integers(1, 6, 150)
    model = rating_model().fit(with_values(INTERACTIONS, values.astype(kind)), epochs=0)
    assert type(model.global_mean_) is float
    assert model.global_mean_ == pytest.approx(values.mean(), rel=1e-12)


def test_global_mean_is_weighted():
    values = np.random.default_rng(0).uniform(-3, 5, 150)
    weights = np.random.default_rng(1).uniform(0, 2, 150).astype(np.float32)
    model = rating_model().fit(
        with_values(INTERACTIONS, values), sample_weight=with_values(INTERACTIONS, weights)
    )
    assert model.global_mean_ == pytest.approx(np.average(values, weights=weights), rel=1e-9)
    # Whatever weighs nothing plays no part.
    nothing = with_values(INTERACTIONS, 0 * weights)
    assert rating_model().fit(INTERACTIONS, sample_weight=nothing).global_mean_ == 0.0


def test_global_mean_is_that_of_the_first_fit():
    fives = with_values(INTERACTIONS, np.full(150, 5.0))
    model = rating_model().fit(INTERACTIONS)
    mean = model.global_mean_
    assert mean == pytest.approx(INTERACTIONS.data.mean())
    model.fit_partial(fives)
    assert model.global_mean_ == mean
    assert model.fit(fives).global_mean_ == 5.0
    model.loss = "logistic"
    assert model.fit(fives).global_mean_ == 0.0
    assert rating_model().fit(sp.coo_matrix((3, 4))).global_mean_ == 0.0


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss != "mse"])
def test_other_losses_have_no_mean(loss):
    assert LightFM(loss=loss).fit(INTERACTIONS).global_mean_ == 0.0


@pytest.mark.parametrize("with_features", [False, True])
def test_the_mean_is_part_of_every_score(with_features):
    features = {}
    if with_features:
        features = {
            "user_features": random_features(30, 6, seed=2),
            "item_features": random_features(20, 7, seed=3),
        }
    model = rating_model().fit(with_values(INTERACTIONS, INTERACTIONS.data + 3), **features)
    assert model.global_mean_ > 4
    user_biases, users = model.get_user_representations(features.get("user_features"))
    item_biases, items = model.get_item_representations(features.get("item_features"))
    expected = users @ items.T + user_biases[:, None] + item_biases + model.global_mean_

    close = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(all_scores(model, 30, 20, **features), expected, **close)
    user_vectors, item_vectors = model.score_vectors(**features)
    np.testing.assert_allclose(user_vectors @ item_vectors.T, expected, **close)
    ids, scores = model.recommend(k=20, **features)
    np.testing.assert_allclose(scores, np.take_along_axis(expected, ids, axis=1), **close)
    for user, item in ((0, 0), (7, 19), (29, 3)):
        why = model.explain(user, item, **features)
        assert why.score == pytest.approx(expected[user, item], **{"rel": 1e-5, "abs": 1e-5})
        values = [each.value for each in why.contributions if each.kind == "global mean"]
        assert values == [model.global_mean_]
    # Ranks have no use for it.
    ranks = model.predict_rank(sp.csr_matrix(np.ones((30, 20))), **features).toarray()
    np.testing.assert_array_equal(ranks.argmin(axis=1), expected.argmax(axis=1))


def test_a_stranger_is_predicted_the_mean():
    model = rating_model().fit(with_values(INTERACTIONS, INTERACTIONS.data + 3), epochs=3)
    nobody, nothing = sp.csr_matrix((1, 30)), sp.csr_matrix((1, 20))
    score = model.predict([0], [0], user_features=nobody, item_features=nothing)
    np.testing.assert_array_equal(score, np.float32(model.global_mean_))


def test_a_shift_of_all_ratings_is_a_shift_of_all_predictions():
    low = rating_model().fit(INTERACTIONS, epochs=5)
    high = rating_model().fit(with_values(INTERACTIONS, INTERACTIONS.data + 1000), epochs=5)
    assert high.global_mean_ == pytest.approx(low.global_mean_ + 1000)
    np.testing.assert_allclose(
        all_scores(high, 30, 20) - 1000, all_scores(low, 30, 20), rtol=1e-3, atol=1e-3
    )


# mse: what it learns


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_values_are_what_is_predicted(level, schedule):
    """Users of a group rate the items of a group alike, from -1 to 4; half of it is held out."""
    rng = np.random.default_rng(0)
    taste = np.array([[4.0, 0.0, -1.0], [1.0, 3.0, 2.0], [0.0, -1.0, 4.0]])
    ratings = taste[np.arange(90)[:, None] % 3, np.arange(60) % 3]
    shown = rng.random(ratings.shape) < 0.5
    train = sp.coo_matrix((ratings[shown], np.nonzero(shown)), ratings.shape)
    model = rating_model(no_components=4, learning_schedule=schedule, epsilon=1e-4)
    model.fit(train, epochs=60)
    errors = (all_scores(model, 90, 60) - ratings)[~shown]
    assert np.sqrt(np.mean(errors**2)) < 0.2 < 1.5 < ratings.std()


def test_equal_ratings_leave_nothing_to_learn():
    model = rating_model().fit(with_values(INTERACTIONS, np.full(150, 4.0)), epochs=50)
    np.testing.assert_allclose(all_scores(model, 30, 20), 4.0, atol=0.05)
    losses = [record["loss"] for record in model.history_]
    assert losses[-1] < losses[0] < 1e-3


def test_only_rated_items_move():
    """No negatives are drawn."""
    interactions = sp.coo_matrix(([5.0, 1.0], ([0, 1], [2, 0])), shape=(3, 6))
    initial, model = (rating_model().fit(interactions, epochs=epochs) for epochs in (0, 4))
    for side, moved in (("user", [0, 1]), ("item", [0, 2])):
        assert np.flatnonzero(getattr(model, f"{side}_biases")).tolist() == moved
        before, after = (getattr(each, f"{side}_embeddings") for each in (initial, model))
        assert np.flatnonzero((before != after).any(axis=1)).tolist() == moved
    assert model.item_biases[2] > 0 > model.item_biases[0]


def test_weights_decide_between_contradicting_ratings():
    """Every item is rated 1 and 5 by everyone, with weights that favour one of them."""
    rows, cols = np.divmod(np.arange(600), 20)
    rows, cols = np.tile(rows, 2), np.tile(cols, 2)
    values = np.repeat([1.0, 5.0], 600)
    weights = np.where((values == 5) == (cols % 2 == 0), 1.0, 0.25)
    interactions, weights = (sp.coo_matrix((x, (rows, cols)), (30, 20)) for x in (values, weights))
    model = rating_model(no_components=2, learning_rate=0.02)
    model.fit(interactions, sample_weight=weights, epochs=40)
    mean = all_scores(model, 30, 20).mean(axis=0)
    # (5 + 0.25) / 1.25 and (0.25 * 5 + 1) / 1.25
    np.testing.assert_allclose(mean[::2], 4.2, atol=0.25)
    np.testing.assert_allclose(mean[1::2], 1.8, atol=0.25)


@pytest.mark.parametrize("value", [1e39, -1e300])
def test_values_beyond_float32(value):
    interactions = sp.coo_matrix(([1.0, value], ([0, 1], [1, 0])), shape=(2, 2))
    with pytest.raises(ValueError, match="interactions must be finite"):
        rating_model().fit(interactions)
    assert are_finite(LightFM().fit(interactions))  # of which only the sign counts


# mse: on real ratings

SHAPE = (943, 1682)


@pytest.fixture(scope="module")
def ratings(ml_100k) -> dict[str, sp.coo_matrix]:
    """The published `ua` split of MovieLens 100K: ten ratings of each user are held out."""
    return {
        part: sp.coo_matrix(
            (
                ml_100k[f"ua_{part}_rating"].astype(np.float32),
                (ml_100k[f"ua_{part}_user"], ml_100k[f"ua_{part}_item"]),
            ),
            shape=SHAPE,
        )
        for part in ("train", "test")
    }


def rmse(predicted: np.ndarray, ratings: sp.coo_matrix) -> float:
    return float(np.sqrt(np.mean((predicted - ratings.data) ** 2)))


def baselines(train: sp.coo_matrix, test: sp.coo_matrix) -> dict[str, float]:
    """RMSE of the mean, and with the mean deviations of items, of users and of both.

    Those of both are damped, as Koren, "Factor in the neighbors", TKDD 2010, estimates them: sums
    of deviations are divided by their number plus 25 for items, 10 for users.
    """
    mean = train.data.mean()

    def deviations(of: np.ndarray, values: np.ndarray, n: int, damping: int) -> np.ndarray:
        sums, counts = np.bincount(of, values, n), np.bincount(of, minlength=n)
        return sums / np.maximum(counts + damping, 1)

    def items_and_users(damping: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        items = deviations(train.col, train.data - mean, SHAPE[1], damping[0])
        rest = train.data - mean - items[train.col]
        return items, deviations(train.row, rest, SHAPE[0], damping[1])

    items, _ = items_and_users((0, 0))
    users = deviations(train.row, train.data - mean, SHAPE[0], 0)
    damped_items, damped_users = items_and_users((25, 10))
    return {
        "mean": rmse(mean, test),
        "items": rmse(mean + items[test.col], test),
        "users": rmse(mean + users[test.row], test),
        "both": rmse(mean + damped_items[test.col] + damped_users[test.row], test),
    }


@pytest.mark.parametrize("seed", [0, 1])
def test_ratings_of_movielens(ratings, seed):
    """With the defaults, 0.934 to 0.947 over seeds; the baselines are 1.12, 1.04, 1.04 and 0.97."""
    known = baselines(ratings["train"], ratings["test"])
    assert known["mean"] > 1.1 and known["both"] == pytest.approx(0.9665, abs=1e-3)
    model = LightFM(loss="mse", random_state=seed)
    model.fit(ratings["train"], epochs=10)
    test = ratings["test"]
    found = rmse(model.predict(test.row, test.col), test)
    assert found < 0.955 < min(known.values())
    losses = [record["loss"] for record in model.history_]
    assert all(np.diff(losses) < 0) and losses[-1] < 0.42 < losses[0]


# Stored negatives


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", LOSSES)
def test_no_share_is_no_change(loss, schedule):
    """0 is the default to the bit; and only BPR and WARP know the option."""

    def arrays(**options: float) -> dict[str, np.ndarray]:
        model = LightFM(loss=loss, learning_schedule=schedule, random_state=3, **options)
        return arrays_of(model.fit(INTERACTIONS, epochs=3))

    expected = arrays()
    assert_equal_arrays(arrays(stored_negatives=0.0), expected)
    assert_equal_arrays(arrays(stored_negatives=0), expected)
    all_of_them = arrays(stored_negatives=1.0)
    if loss in ("bpr", "warp"):
        assert not np.array_equal(all_of_them["item_biases"], expected["item_biases"])
    else:
        assert_equal_arrays(all_of_them, expected)


@pytest.mark.parametrize("loss", ["bpr", "warp"])
def test_without_dislikes_no_share_changes_anything(loss):
    """An item that is stored as positive, too, is no dislike."""
    likes = with_values(INTERACTIONS, np.ones(150))
    twice = sp.coo_matrix(
        (
            np.r_[np.ones(150), np.zeros(75)],
            (np.r_[likes.row, likes.row[::2]], np.r_[likes.col, likes.col[::2]]),
        ),
        likes.shape,
    )
    for interactions in (likes, twice):
        models = [
            LightFM(loss=loss, random_state=3, stored_negatives=share).fit(interactions, epochs=3)
            for share in (0.0, 1.0)
        ]
        assert_equal_arrays(*map(arrays_of, models))


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("loss", ["bpr", "warp"])
def test_with_a_share_of_one_nothing_else_is_drawn(loss, num_threads):
    """User 0 likes item 0 and dislikes items 1 and 3; user 1 has no dislike."""
    rows, cols = [0, 0, 0, *20 * [1]], [0, 1, 3, *20 * [2]]
    values = [1.0, -1.0, 0.0, *20 * [1.0]]
    interactions = sp.coo_matrix((values, (rows, cols)), shape=(2, 12))
    model = LightFM(loss=loss, random_state=1, stored_negatives=1.0, learning_rate=0.01)
    alone = sp.coo_matrix((values[:3], (rows[:3], cols[:3])), shape=(2, 12))
    model.fit(alone, epochs=50, num_threads=num_threads)
    assert np.flatnonzero(model.item_biases < 0).tolist() == [1, 3]
    assert np.flatnonzero(model.item_biases > 0).tolist() == [0]

    model.fit(interactions, epochs=50, num_threads=num_threads)
    negatives = set(np.flatnonzero(model.item_bias_gradients > 1)) - {0, 2}
    assert negatives == ({1, 3} if loss == "bpr" else set(range(12)) - {0, 2})


def test_a_draw_of_a_disliked_item_is_a_try():
    """It is the first, and if it scores far below the positive, so are all that follow."""
    interactions = sp.coo_matrix(([1.0, -1.0], ([0, 0], [0, 1])), shape=(1, 50))
    model = LightFM(loss="warp", random_state=1, stored_negatives=1.0)
    model.fit(interactions, epochs=0)
    model.item_biases[:] = 3.0
    model.fit_partial(interactions)
    record = model.history_[0]
    assert (record["violation_rate"], record["mean_tries"]) == (1.0, 1.0)
    model.item_biases[1] = -9.0
    model.fit_partial(interactions)
    record = model.history_[1]
    assert (record["violation_rate"], record["mean_tries"]) == (0.0, 10.0)


@pytest.mark.parametrize("loss", ["bpr", "warp"])
def test_who_has_rated_everything_learns_from_the_dislikes(loss):
    ratings = np.where(groups_of_taste(share=1.0)[0].toarray() > 0, 1.0, -1.0)
    model = LightFM(loss=loss, stored_negatives=1.0, random_state=1, learning_rate=0.2)
    model.fit(sp.coo_matrix(ratings), epochs=20)
    scores = all_scores(model, *ratings.shape)
    assert np.mean((scores > np.median(scores, axis=1, keepdims=True)) == (ratings > 0)) > 0.99


def test_the_share_is_read_at_every_epoch():
    model = LightFM(loss="warp", random_state=1).fit(INTERACTIONS)
    model.stored_negatives = 0.5
    model.fit_partial(INTERACTIONS)
    other = LightFM(loss="warp", random_state=1, stored_negatives=0.5).fit(INTERACTIONS, epochs=0)
    other.set_params(stored_negatives=0.0).fit_partial(INTERACTIONS)
    other.set_params(stored_negatives=np.float32(0.5)).fit_partial(INTERACTIONS)
    assert_equal_arrays(arrays_of(model), arrays_of(other))


@pytest.mark.parametrize("share", [-0.1, 1.1, np.nan, np.inf, "0.5", None])
@pytest.mark.parametrize("error", [ValueError, AssertionError])
def test_bad_share(share, error):
    message = r"stored_negatives must be a number in \[0, 1\], got"
    with pytest.raises(error, match=message):
        LightFM(stored_negatives=share)
    model = LightFM(loss="bpr")
    with pytest.raises(error, match=message):
        model.set_params(stored_negatives=share)
    assert model.stored_negatives == 0.0
    model.stored_negatives = share
    with pytest.raises(error, match=message):
        model.fit(INTERACTIONS)


def test_new_options_have_names():
    with pytest.raises(TypeError):
        LightFM(10, 5, 10, "adagrad", "warp", 0.05, 0.95, 1e-6, 0.0, 0.0, 10, None, 0.5)
    assert repr(LightFM(stored_negatives=0.5)) == "LightFM(stored_negatives=0.5)"


# Stored negatives, on real ratings


def share_in_order(model: LightFM, signs: sp.coo_matrix) -> float:
    """How often a liked item scores above a disliked one of the same user; mean over users."""
    scores = model.predict(signs.row, signs.col)
    shares = []
    for user in np.unique(signs.row):
        of_user = signs.row == user
        liked, disliked = (scores[of_user & side] for side in (signs.data > 0, signs.data < 0))
        if len(liked) and len(disliked):
            shares.append(np.mean(liked[:, None] > disliked))
    return float(np.mean(shares))


@pytest.mark.parametrize("loss", ["bpr", "warp"])
def test_stored_negatives_of_movielens(ratings, loss):
    """Ratings up to 3 are dislikes; those held out end up far lower in the lists.

    Over seeds, liked items come before disliked ones in 0.65 to 0.66 of the pairs without stored
    negatives, and in 0.69 to 0.70 with a share of 0.3; mean ranks of the disliked are half as high
    again. (Against items nobody has rated, the liked do worse for it.)
    """
    signs = {
        part: with_values(matrix, np.where(matrix.data >= 4, 1.0, -1.0))
        for part, matrix in ratings.items()
    }
    test = signs["test"]
    below = test.data < 0
    disliked = sp.csr_matrix((np.ones(below.sum()), (test.row[below], test.col[below])), SHAPE)
    in_order, ranks = {}, {}
    for share in (0.0, 0.3):
        model = LightFM(loss=loss, stored_negatives=share, random_state=0)
        model.fit(signs["train"], epochs=10)
        in_order[share] = share_in_order(model, test)
        ranks[share] = model.predict_rank(disliked, signs["train"]).data.mean()
    assert in_order[0.0] > 0.63 and in_order[0.3] > in_order[0.0] + 0.015
    assert ranks[0.3] > 1.25 * ranks[0.0]
