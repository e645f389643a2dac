"""What a fit warns of: that it learned nothing, or something else than was meant."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import arrays_of, assert_equal_arrays, groups_of_taste

from lightfm_clone import FitWarning, LightFM

N_USERS, N_ITEMS = 60, 20
LIKES = np.random.default_rng(0).random((N_USERS, N_ITEMS)) < 0.3


def coo(dense: np.ndarray) -> sp.coo_matrix:
    return sp.coo_matrix(dense.astype(np.float32))


POSITIVES = coo(LIKES)
EVERYTHING = coo(np.where(LIKES, 1.0, -1.0))
DISLIKES = coo(-LIKES.astype(float))
ZEROS = sp.coo_matrix((np.zeros(POSITIVES.nnz, np.float32), (POSITIVES.row, POSITIVES.col)))
NOTHING = sp.coo_matrix((N_USERS, N_ITEMS), dtype=np.float32)
NO_WEIGHT = sp.coo_matrix((np.zeros_like(POSITIVES.data), (POSITIVES.row, POSITIVES.col)))
RANKING = ("bpr", "warp", "warp-kos", "softmax")
BY_VALUE = ("bpr", "warp", "softmax")  # positives are values > 0


def told(call) -> list[str]:
    """The warnings of a call, which must all be told at its caller."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert all(w.category is FitWarning and w.filename == __file__ for w in caught)
    return [str(w.message) for w in caught]


def assert_learns(model: LightFM, interactions, **arguments) -> None:
    """And says nothing."""
    drawn = arrays_of(LightFM(**settings_of(model)).fit(interactions, epochs=0))
    assert told(lambda: model.fit(interactions, epochs=5, **arguments)) == []
    assert np.abs(model.item_embeddings - drawn["item_embeddings"]).max() > 1e-3


def settings_of(model: LightFM) -> dict:
    return {"loss": model.loss, "no_components": model.no_components, "random_state": 0}


# Nothing learned


ONE_ITEM, TWO_ITEMS = coo(np.ones((5, 1))), coo(np.eye(6, 2))
ONE_POPULAR_ITEM = coo(np.tile(np.arange(9) == 0, (6, 1)))
ALL_LIKED = coo(np.ones((6, 4)))


@pytest.mark.parametrize(
    ("loss", "interactions", "cause", "remedy"),
    [
        *[(loss, EVERYTHING, "every item", ("logistic", EVERYTHING)) for loss in RANKING[1:]],
        ("bpr", ALL_LIKED, "every item", ("bpr", POSITIVES)),
        *[(loss, DISLIKES, "no value > 0", ("logistic", EVERYTHING)) for loss in BY_VALUE],
        *[(loss, ZEROS, "no value > 0", (loss, POSITIVES)) for loss in BY_VALUE],
        *[(loss, NOTHING, "no stored entries", (loss, POSITIVES)) for loss in RANKING],
        *[(loss, NOTHING, "no stored entries", (loss, EVERYTHING)) for loss in ("logistic", "mse")],
        *[(loss, ONE_ITEM, "there is one item", ("logistic", EVERYTHING)) for loss in RANKING],
        ("warp", TWO_ITEMS, "two items.*'bpr'", ("bpr", TWO_ITEMS)),
        ("warp-kos", TWO_ITEMS, "two items.*'bpr'", ("bpr", TWO_ITEMS)),
        ("bpr", ONE_POPULAR_ITEM, "is unknown.*'warp'", ("warp", ONE_POPULAR_ITEM)),
    ],
)  # fmt: skip
def test_cause_and_remedy(loss, interactions, cause, remedy):
    model = LightFM(loss=loss, random_state=0).fit(interactions, epochs=0)
    before = arrays_of(model)
    (message,) = told(lambda: model.fit(interactions, epochs=0).fit(interactions, epochs=3))
    assert message.startswith("nothing was learned") and re.search(cause, message)
    again = LightFM(loss=loss, random_state=0).fit(interactions, epochs=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        again.fit_partial(interactions, epochs=3)
    assert_equal_arrays(arrays_of(again), before)
    new_loss, new_interactions = remedy
    assert_learns(LightFM(loss=new_loss, random_state=0), new_interactions)


@pytest.mark.parametrize("loss", ["warp", "bpr", "warp-kos", "softmax"])
def test_weights_of_zero(loss):
    model = LightFM(loss=loss, random_state=0)
    (message,) = told(lambda: model.fit(POSITIVES, sample_weight=NO_WEIGHT, epochs=3))
    assert "sample_weight is 0 for every example" in message
    assert_learns(LightFM(loss=loss, random_state=0), POSITIVES)


def test_what_was_assigned():
    model = LightFM(loss="warp", random_state=0)
    model.max_sampled = 0
    (message,) = told(lambda: model.fit(POSITIVES))
    assert "max_sampled is 0" in message
    model = LightFM(loss="warp", random_state=0, learning_rate=0.0)
    (message,) = told(lambda: model.fit(POSITIVES))
    assert "learning_rate is 0" in message
    model.set_params(learning_schedule="adadelta")  # which ignores it
    assert told(lambda: model.fit(POSITIVES)) == []


def test_draws_that_find_nothing():
    """A user lacks one item of 500, which one try for each of the others may miss."""
    known = coo(np.arange(500)[None, :] > 0)
    missed = set()
    for seed in range(12):
        model = LightFM(loss="warp", max_sampled=1, random_state=seed)
        messages = told(lambda model=model: model.fit(known))
        missed.add(model.history_[0]["violation_rate"] == 0)
        assert len(messages) == (model.history_[0]["violation_rate"] == 0)
        assert all("higher max_sampled" in message for message in messages)
    assert missed == {True, False}
    assert_learns(LightFM(loss="warp", max_sampled=5_000, random_state=0), known)


@pytest.mark.parametrize("loss", RANKING)
def test_a_model_that_has_nothing_left_to_learn_says_nothing(loss):
    seen, _ = groups_of_taste(share=1.0)
    model = LightFM(loss=loss, learning_rate=0.2, random_state=0)
    assert told(lambda: model.fit(seen, epochs=60)) == []
    assert told(lambda: model.fit_partial(seen, epochs=20)) == []


# Something else than was meant


def test_logistic_on_positives_alone():
    (message,) = told(lambda: LightFM(random_state=0).fit(POSITIVES, epochs=2))
    assert "loss='logistic' was given positives alone" in message and "loss='warp'" in message
    assert_learns(LightFM(loss="warp", random_state=0), POSITIVES)
    assert_learns(LightFM(random_state=0), EVERYTHING)


def test_mse_of_one_value():
    (message,) = told(lambda: LightFM(loss="mse", random_state=0).fit(POSITIVES, epochs=2))
    assert "all values of interactions are 1" in message


STARS = sp.coo_matrix(
    (np.arange(POSITIVES.nnz) % 5 + 1.0, (POSITIVES.row, POSITIVES.col)), POSITIVES.shape
)


@pytest.mark.parametrize("loss", RANKING)
@pytest.mark.parametrize("dtype", [np.int8, np.float32, np.float64])
def test_stars_for_a_loss_of_positives(loss, dtype):
    model = LightFM(loss=loss, random_state=0)
    (message,) = told(lambda: model.fit(STARS.astype(dtype), epochs=2))
    assert "values from 1 to 5" in message and "sample_weight" in message
    good = STARS.copy()
    good.data[good.data < 4] = 0
    good.eliminate_zeros()
    assert_learns(LightFM(loss=loss, random_state=0), good)
    counts = sp.coo_matrix((np.ones_like(STARS.data), (STARS.row, STARS.col)))
    assert_learns(
        LightFM(loss=loss, random_state=0),
        counts,
        sample_weight=sp.coo_matrix((STARS.data / 5, (STARS.row, STARS.col))),
    )


@pytest.mark.parametrize("values", [[1, 1], [4, 5], [3, 5], [1, 250], [0.3, 7.1], [1, -5], [1, 0]])
def test_values_that_are_no_stars(values):
    data = np.resize(values, POSITIVES.nnz).astype(np.float32)
    given = sp.coo_matrix((data, (POSITIVES.row, POSITIVES.col)))
    assert told(lambda: LightFM(loss="warp").fit(given)) == []


def test_half_stars():
    data = np.resize([0.5, 3.5, 5.0], POSITIVES.nnz)
    given = sp.coo_matrix((data, (POSITIVES.row, POSITIVES.col)))
    (message,) = told(lambda: LightFM(loss="warp").fit(given))
    assert "values from 0.5 to 5" in message


def test_negative_weights():
    weights = POSITIVES.copy()
    weights.data[:7] = -1
    (message,) = told(lambda: LightFM(loss="warp").fit(POSITIVES, sample_weight=weights))
    assert f"negative weights, 7 of {POSITIVES.nnz}" in message


def test_weights_beyond_the_limit_of_warp():
    """ln(7999) = 9, so that 4 and 10 weigh 10 alike."""
    rng = np.random.default_rng(1)
    pairs = rng.choice(200 * 8000, 4_000, replace=False)
    entries = np.divmod(pairs, 8000)
    given = sp.coo_matrix((np.ones(4_000, np.float32), entries), shape=(200, 8000))

    def weights(factor: float) -> sp.coo_matrix:
        data = factor * np.resize([1.0, 4.0, 10.0], 4_000)
        return sp.coo_matrix((data, entries), shape=(200, 8000))

    def coefficients(factor: float) -> np.ndarray:
        """The mean loss of a first epoch, by weight: what a violation weighs."""
        losses = []
        for weight in (1.0, 4.0, 10.0):
            same = sp.coo_matrix((np.full(4_000, factor * weight), entries), given.shape)
            model = LightFM(loss="warp", random_state=0).fit(given, sample_weight=same)
            losses.append(model.history_[0]["loss"])
        return np.array(losses)

    (message,) = told(
        lambda: LightFM(loss="warp", random_state=0).fit(given, sample_weight=weights(1))
    )
    assert "sample_weight is too high to tell" in message
    factor = float(re.search(r"multiply sample_weight by ([\d.e-]+)", message).group(1))
    assert told(lambda: LightFM(loss="warp").fit(given, sample_weight=weights(factor))) == []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        before, after = coefficients(1), coefficients(factor)
    assert before[2] < 1.5 * before[0]
    assert after[2] > 5 * after[0] and after[1] > 2 * after[0]


# How it is told


def test_once_a_call_and_by_the_standard_filters():
    callbacks = {"validation": {"interactions": POSITIVES, "exclude": None}}
    messages = told(lambda: LightFM().fit(POSITIVES, epochs=4, **callbacks))
    assert len(messages) == 1
    for silence in ({"category": FitWarning}, {"message": "loss='logistic' was given"}):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.filterwarnings("ignore", **silence)
            LightFM().fit(POSITIVES)
        assert caught == []


@pytest.mark.parametrize("with_callback", [False, True])
@pytest.mark.parametrize("given", [DISLIKES, STARS], ids=["nothing learned", "stars"])
def test_as_an_error_it_leaves_the_model_as_it_was(given, with_callback):
    model = LightFM(loss="warp", random_state=0).fit(POSITIVES, epochs=2)
    before, history = arrays_of(model), [dict(record) for record in model.history_]
    callbacks = [lambda model, record: False] if with_callback else []
    for method in (model.fit, model.fit_partial):
        with warnings.catch_warnings():
            warnings.simplefilter("error", FitWarning)
            if method == model.fit_partial and given is DISLIKES:
                continue  # a fitted model may have nothing left to learn
            with pytest.raises(FitWarning):
                method(given, callbacks=callbacks)
        assert_equal_arrays(arrays_of(model), before)
        assert model.history_ == history


def test_no_advice_without_epochs_or_for_newcomers():
    assert told(lambda: LightFM().fit(POSITIVES, epochs=0)) == []
    model = LightFM(loss="warp", random_state=0).fit(POSITIVES)
    assert told(lambda: model.fold_in_users(sp.coo_matrix((2, N_ITEMS)))) == []
