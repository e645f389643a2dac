"""What is allowed and seldom meant is warned of: once, with the cause and a remedy that helps."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import (
    ARRAYS,
    LOSSES,
    SCHEDULES,
    arrays_of,
    assert_equal_arrays,
    groups_of_taste,
    pairwise,
    random_features,
    random_interactions,
)

from lightfm_clone import FitWarning, LightFM, evaluation
from lightfm_clone._model import advice

# Where a test is about others.
pytestmark = pytest.mark.filterwarnings("ignore::lightfm_clone.FitWarning")

N_USERS, N_ITEMS = 30, 20
VALUES = tuple(name for name in ARRAYS if name.endswith(("embeddings", "biases")))


def said(function: Callable[..., Any], *args: Any, **kwargs: Any) -> list[warnings.WarningMessage]:
    """The warnings of a call, all of them about a fit."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*args, **kwargs)
    assert all(one.category is FitWarning for one in caught), [str(one.message) for one in caught]
    return caught


def texts(function: Callable[..., Any], *args: Any, **kwargs: Any) -> list[str]:
    return [str(one.message) for one in said(function, *args, **kwargs)]


class Fit(NamedTuple):
    """A fit that can be run again with something changed."""

    interactions: Any
    loss: str = "warp"
    parameters: dict[str, Any] = {}
    later: dict[str, Any] = {}  # assigned after the constructor
    options: dict[str, Any] = {}  # of fit
    epochs: int = 3

    def run(self, epochs: int | None = None) -> LightFM:
        model = LightFM(loss=self.loss, random_state=0, **self.parameters)
        for name, value in self.later.items():
            setattr(model, name, value)
        epochs = self.epochs if epochs is None else epochs
        return model.fit(self.interactions, epochs=epochs, **self.options)

    def moves(self) -> bool:
        """Whether any value is another one than at first."""
        before, after = arrays_of(self.run(0)), arrays_of(self.run())
        return any((before[name] != after[name]).any() for name in VALUES)


def with_values(matrix: sp.coo_matrix, values: Any) -> sp.coo_matrix:
    values = np.broadcast_to(np.float32(values), matrix.nnz).copy()
    return sp.coo_matrix((values, (matrix.row, matrix.col)), shape=matrix.shape)


def complete(values: Any) -> sp.coo_matrix:
    """An entry for every user and item, zeros stored."""
    rows, cols = np.divmod(np.arange(N_USERS * N_ITEMS), N_ITEMS)
    values = np.broadcast_to(values, rows.shape).astype(np.float32)
    return sp.coo_matrix((values, (rows, cols)), shape=(N_USERS, N_ITEMS))


def part_of(matrix: sp.coo_matrix, chosen: Any) -> sp.coo_matrix:
    entries = matrix.data[chosen], (matrix.row[chosen], matrix.col[chosen])
    return sp.coo_matrix(entries, shape=matrix.shape)


RNG = np.random.default_rng(0)
LIKES = with_values(random_interactions(), 1)
DISLIKES = with_values(LIKES, -1)
ZEROS = with_values(LIKES, 0)
BOTH = complete(RNG.choice([1, -1], N_USERS * N_ITEMS, p=[0.3, 0.7]))
RATINGS = complete(RNG.integers(1, 6, N_USERS * N_ITEMS))
ONES = complete(1)
NO_WEIGHTS, WEIGHTS = ({"sample_weight": with_values(LIKES, value)} for value in (0, 0.5))
WEIGHTS_OF_DISLIKES = {"sample_weight": with_values(BOTH, np.where(BOTH.data > 0, 0, 1))}
WEIGHTS_OF_LIKES = {"sample_weight": with_values(BOTH, np.where(BOTH.data > 0, 1, 0))}
FEW_ITEMS = sp.coo_matrix(np.pad(np.ones((N_USERS, 5), np.float32), ((0, 0), (0, 15))))
ONE_OF_MANY = sp.coo_matrix(np.pad(np.ones((N_USERS, 1), np.float32), ((0, 0), (0, 19))))
TWO_OF_MANY = sp.coo_matrix(np.pad(np.eye(2, dtype=np.float32), ((0, 0), (0, 18))))
SEEN = {"negatives": "seen"}
# One user, who likes one of 100 items and dislikes all others but one.
NEARLY = sp.coo_matrix(np.array([[1.0] + [-1.0] * 98 + [0.0]]))
EMPTY_FEATURES = {
    "user_features": sp.csr_matrix((N_USERS, 3)),
    "item_features": sp.csr_matrix((np.zeros(2), ([0, 1], [0, 1])), shape=(N_ITEMS, 2)),
}
FEATURES = EMPTY_FEATURES | {"user_features": random_features(N_USERS, 3)}
ADADELTA = {"learning_schedule": "adadelta"}
NOBODY_LEFT = "every user with a positive has a stored entry for every item.*could draw"

# The fit, what is said of it, and fits that do what is said.
NOTHING_LEARNED = {
    "no entries, warp": (
        Fit(sp.coo_matrix((N_USERS, N_ITEMS))),
        "no stored entries.*Dataset.build_interactions",
        [Fit(LIKES)],
    ),
    "no entries, logistic": (
        Fit(sp.coo_matrix((N_USERS, N_ITEMS)), "logistic"),
        "no stored entries.*Dataset.build_interactions",
        [Fit(BOTH, "logistic")],
    ),
    "no entries, mse": (
        Fit(sp.coo_matrix((N_USERS, N_ITEMS)), "mse"),
        "no stored entries.*Dataset.build_interactions",
        [Fit(RATINGS, "mse")],
    ),
    "learning rate 0": (
        Fit(LIKES, "bpr", {"learning_rate": 0}),
        "learning_rate is 0; use a higher one",
        [Fit(LIKES, "bpr", {"learning_rate": 0.05})],
    ),
    "learning rate 0, positives alone": (
        Fit(LIKES, "logistic", {"learning_rate": 0}),
        "learning_rate is 0; use a higher one",
        [Fit(BOTH, "logistic", {"learning_rate": 0.05})],
    ),
    "epsilon 0": (
        Fit(LIKES, "warp", ADADELTA | {"epsilon": 0}),
        "epsilon is 0.*adadelta.*use 1e-6",
        [Fit(LIKES, "warp", ADADELTA | {"epsilon": 1e-6})],
    ),
    "features without values": (
        Fit(BOTH, "logistic", options=EMPTY_FEATURES),
        "hold no value but 0.*Dataset.build_user_features",
        [Fit(BOTH, "logistic", options=FEATURES)],
    ),
    **{
        f"{name}, {loss}": (
            Fit(values, loss),
            f"no value > 0, and loss='{loss}' trains on positives.*likes as 1.*'logistic'",
            [Fit(LIKES, loss), Fit(values, "logistic")],
        )
        for name, values in (("dislikes", DISLIKES), ("zeros", ZEROS))
        for loss in ("warp", "bpr", "softmax")
    },
    **{
        f"weights 0, {loss}": (
            Fit(LIKES, loss, options=NO_WEIGHTS),
            "sample_weight is 0 for every example.*use weights > 0",
            [Fit(LIKES, loss, options=WEIGHTS)],
        )
        for loss in LOSSES
        if loss != "mse"
    },
    "weights 0 of positives": (
        Fit(BOTH, "softmax", options=WEIGHTS_OF_DISLIKES),
        "sample_weight is 0 for every example that is trained on.*use weights > 0",
        [Fit(part_of(BOTH, BOTH.data > 0), "softmax")],
    ),
    **{
        f"one item, {loss}": (
            Fit(sp.coo_matrix(np.ones((N_USERS, 1))), loss),
            f"there is one item, and loss='{loss}' compares items; choose loss='logistic'",
            [Fit(sp.coo_matrix(np.ones((N_USERS, 1))), "logistic")],
        )
        for loss in ("warp", "warp-kos", "bpr", "softmax")
    },
    "max_sampled 0": (
        Fit(LIKES, later={"max_sampled": 0}),
        "max_sampled is 0; use 10",
        [Fit(LIKES, later={"max_sampled": 10})],
    ),
    **{
        f"two items, {loss}": (
            Fit(sp.coo_matrix(np.eye(2)), loss),
            f"there are two items, of which loss='{loss}' weighs.*choose loss='bpr'",
            [Fit(sp.coo_matrix(np.eye(2)), "bpr")],
        )
        for loss in ("warp", "warp-kos")
    },
    **{
        f"all known, {loss}": (
            Fit(BOTH, loss),
            f"{NOBODY_LEFT}.*leave out the values <= 0, or choose loss='logistic'",
            [Fit(part_of(BOTH, BOTH.data > 0), loss), Fit(BOTH, "logistic")],
        )
        for loss in ("warp", "warp-kos", "softmax")
    },
    **{
        f"all rated, {loss}": (
            Fit(RATINGS, loss),
            f"{NOBODY_LEFT}.*keep the highest values alone, or choose loss='mse'",
            [Fit(part_of(RATINGS, RATINGS.data >= 4), loss), Fit(RATINGS, "mse")],
        )
        for loss in ("warp", "bpr", "softmax")
    },
    **{
        f"all liked, {loss}": (
            Fit(ONES, loss),
            f"{NOBODY_LEFT}.*keep what is liked, and leave out the rest",
            [Fit(part_of(ONES, BOTH.data > 0), loss)],
        )
        for loss in ("warp", "bpr")
    },
    "all known, weights of likes": (
        Fit(BOTH, "warp", options=WEIGHTS_OF_LIKES),
        NOBODY_LEFT,
        [Fit(part_of(BOTH, BOTH.data > 0))],
    ),
    "all that occur are known": (
        Fit(FEW_ITEMS, "bpr"),
        "no item that occurs.*loss='bpr' has no negatives.*choose loss='warp'",
        [Fit(FEW_ITEMS, "warp")],
    ),
    **{
        f"one seen item, {loss}": (
            Fit(ONE_OF_MANY, loss, SEEN),
            f"there is one item with a stored entry, and loss='{loss}'.*choose loss='logistic'",
            [Fit(ONE_OF_MANY, "logistic", SEEN), Fit(ONE_OF_MANY, loss)],
        )
        for loss in ("warp", "warp-kos", "softmax")
    },
    "two seen items": (
        Fit(TWO_OF_MANY, "warp", SEEN),
        "there are two items with a stored entry, of which loss='warp'.*choose loss='bpr'",
        [Fit(TWO_OF_MANY, "bpr", SEEN)],
    ),
    **{
        f"all seen are known, {loss}": (
            Fit(FEW_ITEMS, loss, SEEN),
            "entry for every item with any, whatever its value, so no item.*negatives='all'",
            [Fit(FEW_ITEMS, loss)],
        )
        for loss in ("warp", "warp-kos", "softmax")
    },
    "all of all are known, seen": (
        Fit(BOTH, "warp", SEEN),
        f"{NOBODY_LEFT}.*leave out the values <= 0",
        [Fit(part_of(BOTH, BOTH.data > 0), "warp", SEEN)],
    ),
    "all that occur are known, seen": (
        Fit(FEW_ITEMS, "bpr", SEEN),
        "no item that occurs.*choose loss='warp' and negatives='all', which draws from all items",
        [Fit(FEW_ITEMS, "warp")],
    ),
    "too few draws": (
        Fit(NEARLY, parameters={"max_sampled": 1}, epochs=1),
        "none of the draws of 1 items.*use a higher max_sampled, more epochs, or store likes",
        [Fit(NEARLY, parameters={"max_sampled": 200}, epochs=50), Fit(part_of(NEARLY, [0]))],
    ),
    "too few negatives": (
        Fit(NEARLY, "softmax", {"n_negatives": 1}, epochs=1),
        "none of the draws of 1 items.*use a higher n_negatives, more epochs, or store likes",
        [
            Fit(NEARLY, "softmax", {"n_negatives": 200}, epochs=10),
            Fit(part_of(NEARLY, [0]), "softmax"),
        ],
    ),
}


@pytest.mark.parametrize("case", NOTHING_LEARNED)
def test_nothing_learned(case):
    fit, message, remedies = NOTHING_LEARNED[case]
    (text,) = texts(fit.run)
    assert text.startswith("nothing was learned: ")
    with pytest.warns(FitWarning, match=message):
        fit.run()
    assert not fit.moves()
    for remedy in remedies:
        assert remedy.moves()
        assert not any("nothing was learned" in text for text in texts(remedy.run))


@pytest.mark.parametrize("value", [1, 5])
def test_one_value_has_nothing_beyond_its_mean(value):
    constant = Fit(with_values(LIKES, value), "mse")
    (text,) = texts(constant.run)
    assert f"all values of interactions are {value}, which their mean predicts" in text
    assert texts(Fit(LIKES, "warp").run) == []
    # One user's ratings may be all the same, when the model knows more.
    model = Fit(RATINGS, "mse").run()
    assert texts(model.fit_partial, constant.interactions) == []


@pytest.mark.parametrize("loss, schedule", pairwise(LOSSES, SCHEDULES))
def test_nothing_is_said_where_something_is_learned(loss, schedule):
    interactions = RATINGS if loss == "mse" else random_interactions()
    interactions.data[interactions.data == 4] = 1
    rate = 0 if schedule == "adadelta" else 0.05  # which adadelta ignores
    parameters = {"learning_schedule": schedule, "learning_rate": rate}
    fit = Fit(interactions, loss, parameters)
    assert texts(fit.run) == []
    assert fit.moves()
    assert texts(fit.run().fit_partial, interactions, epochs=2) == []
    assert texts(fit.run, 0) == []


def test_nothing_is_said_of_a_fit_that_only_makes_the_arrays():
    for fit, *_ in NOTHING_LEARNED.values():
        assert texts(fit.run, 0) == []


def test_nothing_is_said_of_a_model_that_has_learned_all_there_is():
    likes, _ = groups_of_taste(n_users=8, n_items=6, share=1)
    model = LightFM(loss="warp", learning_rate=0.5, random_state=0)
    model.fit(likes, epochs=200)
    before = arrays_of(model)
    assert texts(model.fit_partial, likes, epochs=5) == []
    assert model.history_[-1]["violation_rate"] == 0
    assert_equal_arrays(arrays_of(model), before)


def test_what_the_data_lack_is_told_of_later_calls_too():
    model = Fit(BOTH, "warp").run(0)
    (text,) = texts(model.fit_partial, BOTH, epochs=2)
    assert "nothing was learned: every user" in text
    (text,) = texts(model.fit_partial, sp.coo_matrix(BOTH.shape))
    assert "no stored entries" in text


# What the examples say


def test_logistic_on_positives_alone():
    for values in (LIKES, RATINGS):
        (text,) = texts(Fit(values, "logistic").run)
        assert "loss='logistic' was given positives alone" in text
        assert f"all {values.nnz} values are > 0" in text
    assert texts(Fit(LIKES, "warp").run) == []
    assert texts(Fit(BOTH, "logistic").run) == []
    zeros = with_values(LIKES, 1)
    zeros.data[0] = 0
    assert texts(Fit(zeros, "logistic").run) == []


@pytest.mark.parametrize("loss", ["warp", "bpr", "softmax", "warp-kos"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint8, np.int64])
def test_ratings_taken_as_likes(loss, dtype):
    chosen = RNG.random(RATINGS.nnz) < 0.3
    ratings = part_of(RATINGS, chosen).astype(dtype)
    weights = with_values(ratings, ratings.data / 5)  # by 5, lest WARP cut them
    (text,) = texts(Fit(ratings, loss).run)
    assert f"values from 1 to 5, and loss='{loss}' takes each stored entry" in text
    assert "1 like 5; if they are ratings, keep the good ones alone or choose loss='mse'" in text
    for remedy in (
        Fit(part_of(ratings, ratings.data == 5), loss),
        Fit(with_values(part_of(ratings, ratings.data >= 4), 1), loss),
        Fit(ratings, "mse"),
        Fit(with_values(ratings, 1), loss, options={"sample_weight": weights}),
        Fit(ratings, loss, options={"sample_weight": weights}),
    ):
        assert texts(remedy.run) == []


@pytest.mark.parametrize(
    "values, are_ratings",
    [
        ([0.5, 3.5, 5], True),
        ([1, 10], True),
        ([1, 2, 3], True),
        ([5, 5, 5], False),
        ([1, 2], False),
        ([1, 500], False),
        ([0.1, 3.7], False),
        ([0, 1, 5], False),  # some are not liked
        ([-1, 5], False),
        ([True, True], False),
    ],
)
def test_what_looks_like_ratings(values, are_ratings):
    interactions = sp.coo_matrix((values, ([*range(len(values))],) * 2), shape=(5, 5))
    assert bool(texts(Fit(interactions).run)) == are_ratings


@pytest.mark.parametrize("loss", LOSSES)
def test_negative_weights(loss):
    interactions = random_interactions()
    interactions.data[interactions.data == 4] = 1
    weights = with_values(interactions, 1)
    weights.data[:3] = -0.5
    fit = Fit(interactions, loss, options={"sample_weight": weights})
    (text,) = texts(fit.run)
    assert f"sample_weight has negative weights, 3 of {weights.nnz}" in text
    assert "use weights >= 0, and values <= 0 of interactions for dislikes" in text
    disliked = with_values(interactions, np.where(weights.data < 0, -1, interactions.data))
    remedy = Fit(disliked, loss, options={"sample_weight": with_values(weights, abs(weights.data))})
    assert texts(remedy.run) == []


@pytest.mark.parametrize("loss", ["warp", "warp-kos"])
def test_weights_that_are_cut(loss):
    """With many items each violation weighs 10, whatever its weight, until all weigh less."""
    n_users, n_items = 60, 8000
    rng = np.random.default_rng(0)
    users, items = np.repeat(np.arange(n_users), 20), rng.integers(0, n_items, n_users * 20)
    likes = sp.coo_matrix((np.ones(len(users)), (users, items)), shape=(n_users, n_items))
    heavy = with_values(likes, rng.choice([2.0, 4.0, 10.0], likes.nnz))
    light = with_values(heavy, heavy.data / 2)

    def fit(weights: Any) -> Fit:
        return Fit(likes, loss, options={"sample_weight": weights}, epochs=1)

    (text,) = texts(fit(heavy).run)
    assert "sample_weight is too high to tell" in text
    assert f"of the violations weigh 10, where loss='{loss}' cuts" in text
    factor = np.float32(text.split("multiply sample_weight by ")[1])
    assert 0 < factor < 1
    # Below the cut, weights say what they mean: half of them make half of the loss.
    low, lower = (with_values(weights, weights.data * factor) for weights in (heavy, light))
    assert texts(fit(low).run) == texts(fit(lower).run) == []
    losses = [fit(weights).run().history_[0]["loss"] for weights in (low, lower)]
    assert losses[1] == pytest.approx(losses[0] / 2, rel=0.1)
    cut = [fit(weights).run().history_[0]["loss"] for weights in (heavy, light)]
    assert cut[1] > 0.8 * cut[0]


@pytest.mark.parametrize("weight", [3.0, 10.0, 1e6])
def test_the_factor_of_cut_weights_holds_for_equal_weights(weight):
    likes = with_values(random_interactions(1, (50, 500), 600), 1)
    (text,) = texts(Fit(likes, options={"sample_weight": with_values(likes, weight)}).run)
    factor = np.float32(text.split("multiply sample_weight by ")[1])
    lower = with_values(likes, weight * factor)
    assert texts(Fit(likes, options={"sample_weight": lower}).run) == []


def test_the_factor_of_cut_weights_goes_by_the_items_that_are_drawn():
    """With 20 seen items a weight of 3 is fine, with 8000 more it is not."""
    likes = with_values(random_interactions(), 1)
    wide = sp.coo_matrix((likes.data, (likes.row, likes.col)), shape=(N_USERS, 8000))
    weights = {"sample_weight": with_values(wide, 3)}
    assert texts(Fit(wide, parameters=SEEN, options=weights).run) == []
    (text,) = texts(Fit(wide, options=weights).run)
    assert "sample_weight is too high to tell" in text


def test_cut_weights_are_nothing_where_there_are_none():
    likes = with_values(random_interactions(1, (50, 8000), 600), 1)
    assert texts(Fit(likes).run) == []


# Items without interactions


def likes_of_some(n_seen: int) -> sp.coo_matrix:
    likes = with_values(random_interactions(), 1)
    return sp.coo_matrix((likes.data, (likes.row, likes.col % n_seen)), shape=likes.shape)


TAGS = sp.csr_matrix(np.arange(N_ITEMS)[:, None] % 3 == np.arange(3), dtype=np.float32)
WITH_TAGS = sp.hstack([sp.identity(N_ITEMS), TAGS], format="csr")


@pytest.mark.parametrize("features", [TAGS, WITH_TAGS, WITH_TAGS.tocoo()], ids=str)
@pytest.mark.parametrize("loss", LOSSES)
def test_new_items_that_are_pushed_down_with_their_features(loss, features):
    options = {"item_features": features}
    found = texts(Fit(likes_of_some(13), loss, options=options).run)
    assert not any("share features" in one for one in texts(Fit(LIKES, loss, options=options).run))
    assert texts(Fit(likes_of_some(13), loss, SEEN, options=options).run) == [
        text for text in found if "share features" not in text
    ]
    if loss in ("warp", "warp-kos", "softmax"):
        (text,) = found
        assert text.startswith("items without a stored entry share features with others, 7 of 20: ")
        assert f"loss='{loss}' draws them" in text and "choose negatives='seen'" in text
    else:
        assert not any("share features" in text for text in found)


def test_new_items_that_share_nothing():
    likes = likes_of_some(13)
    groups = (np.arange(N_ITEMS) >= 13)[:, None] == [False, True]
    stored_zeros = WITH_TAGS.copy()
    stored_zeros.data[stored_zeros.indices >= N_ITEMS] = 0
    for features in (
        None,
        sp.identity(N_ITEMS, format="csr"),
        sp.csr_matrix(groups, dtype=np.float32),  # the new ones have a tag of their own
        stored_zeros,
    ):
        assert texts(Fit(likes, options={"item_features": features}).run) == []
    one = groups.copy()
    one[15, 0] = True
    features = sp.csr_matrix(one, dtype=np.float32)
    (text,) = texts(Fit(likes, options={"item_features": features}).run)
    assert "with others, 1 of 20" in text


def test_rows_of_features_beyond_the_interactions_are_new_items():
    likes = sp.coo_matrix(likes_of_some(13).tocsr()[:, :13])
    (text,) = texts(Fit(likes, options={"item_features": TAGS}).run)
    assert "with others, 7 of 20" in text


def test_new_items_of_later_calls():
    """What has had no entry in one call may have had some in one before."""
    model = Fit(LIKES, options={"item_features": TAGS}).run()
    assert texts(model.fit_partial, likes_of_some(13), item_features=TAGS) == []


# How it is said


def test_each_is_said_once_a_call_and_at_the_caller():
    ratings = part_of(RATINGS, RATINGS.data > 2)
    weights = with_values(ratings, 1)
    weights.data[0] = -1
    fit = Fit(ratings, "logistic", options={"sample_weight": weights, "verbose": True}, epochs=4)
    found = said(fit.run)
    assert len({str(one.message) for one in found}) == len(found) == 2
    found = said(LightFM().fit, LIKES) + said(LightFM().fit_partial, LIKES)
    assert [one.filename for one in found] == [said.__code__.co_filename] * 2


def test_validation_says_nothing_twice():
    seen, held_out = groups_of_taste(n_users=N_USERS, n_items=N_ITEMS)
    features = sp.identity(N_USERS + 3, format="csr")
    options = {"user_features": features[:, :N_USERS], "validation": held_out}
    (text,) = texts(Fit(seen, options=options).run)
    assert f"user_features have {N_USERS + 3} rows, but the interactions {N_USERS} users" in text
    tags = random_features(N_ITEMS, N_ITEMS)
    model = Fit(seen, options={"item_features": tags}).run()
    (text,) = texts(model.fit_partial, seen, epochs=3, validation=held_out)
    assert "fitted with item_features and is used without" in text
    assert len(texts(model.fit_partial, seen)) == 1  # the next call says it again


def test_subclasses_are_callers():
    class Model(LightFM):
        def fit(self, *args, **kwargs):
            return super().fit(*args, **kwargs)

    (one,) = said(Model().fit, LIKES)
    assert one.filename == __file__


def test_filters_silence_all_by_category_or_one_by_its_words():
    fit = Fit(DISLIKES)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", FitWarning)
        fit.run()
        assert caught == []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "nothing was learned")
        fit.run()
        assert caught == []
        Fit(LIKES, "logistic").run()
        assert len(caught) == 1
    assert issubclass(FitWarning, UserWarning)


@pytest.mark.parametrize("callbacks", [(), (lambda model, record: None,)])
@pytest.mark.parametrize("loss, bad", [("logistic", LIKES), ("warp", DISLIKES), ("warp", RATINGS)])
def test_as_errors_they_leave_the_model_as_it_was(loss, bad, callbacks):
    model = Fit(random_interactions(), loss).run()
    live = {name: getattr(model, name) for name in ARRAYS}
    before, history = arrays_of(model), [*model.history_]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for train in (model.fit, model.fit_partial):
            with pytest.raises(FitWarning):
                train(bad, epochs=2, callbacks=callbacks)
            assert all(getattr(model, name) is live[name] for name in ARRAYS)
            assert_equal_arrays(arrays_of(model), before)
            assert model.history_ == history
        unfitted = LightFM(loss=loss)
        with pytest.raises(FitWarning):
            unfitted.fit(bad, callbacks=callbacks)
        assert unfitted.item_embeddings is None


def test_fold_in_gives_no_advice():
    model = Fit(random_interactions(), "logistic").run()
    assert texts(model.fold_in_users, LIKES.tocsr()[:3]) == []
    assert texts(model.fold_in_items, LIKES.tocsr()[:, :2]) == []


def test_a_look_at_ratings_costs_the_same_for_all_sizes():
    looked_at = []
    for n in (10_000, 10_000_000):
        values = np.broadcast_to(np.float32(3), n)
        few = values[:: max(n // advice._LOOKED_AT, 1)]
        looked_at.append(len(few))
        assert not advice._are_ratings(values)
    assert max(looked_at) < 3 * advice._LOOKED_AT


# Slices


@pytest.mark.parametrize("side", ["user", "item"])
def test_slices_with_features_of_all(side):
    likes, held_out = groups_of_taste(n_users=N_USERS, n_items=N_ITEMS)
    n = {"user": N_USERS, "item": N_ITEMS}[side]
    features = random_features(n, 6)
    given = {f"{side}_features": features}
    model = Fit(likes, options=given).run()
    rows = sp.csr_matrix(held_out)
    sliced = rows[10:] if side == "user" else rows[:, 10:]
    alike = {f"{side}_features": features[10:]}
    other = "item" if side == "user" else "user"
    for ask in (
        model.predict_rank,
        lambda *args, **kwargs: evaluation.auc_score(model, *args, **kwargs),
        lambda *args, **kwargs: evaluation.precision_at_k(model, *args, **kwargs),
        lambda *args, **kwargs: evaluation.evaluate(model, *args, **kwargs),
    ):
        (text,) = texts(ask, sliced, **given)
        assert f"{side}_features have {n} rows, but the interactions {n - 10} {side}s" in text
        assert f"slice {side}_features alike" in text and other not in text
        assert texts(ask, sliced, **alike) == texts(ask, held_out, **given) == []
    # The remedy gives the ranks of the whole.
    if side == "user":
        whole = model.predict_rank(rows, **given)[10:]
        np.testing.assert_array_equal(
            model.predict_rank(sliced, **alike).toarray(), whole.toarray()
        )
