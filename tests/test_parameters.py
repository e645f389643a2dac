"""Parameters that were chosen and those that were left out, and the stream of seeds."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
from helpers import arrays_of, assert_equal_arrays, random_interactions
from saved import forged, parts_of

from lightfm_clone import LightFM
from lightfm_clone._model import parameters
from lightfm_clone.search import InteractionEstimator

TRAIN = random_interactions()


def trained_as(model: LightFM) -> tuple[float, str]:
    """The learning rate and the schedule that a fit works with."""
    settings = parameters.settings(model)
    return settings["learning_rate"], settings["learning_schedule"]


def test_what_a_loss_makes_of_defaults():
    assert trained_as(LightFM()) == (0.05, "adagrad")
    assert trained_as(LightFM(loss="softmax")) == (0.1, "sgd")
    model = LightFM(loss="softmax")
    assert model.learning_rate == 0.05 and model.learning_schedule == "adagrad"
    assert trained_as(model.set_params(loss="warp")) == (0.05, "adagrad")


def test_what_was_chosen_means_what_it_says():
    assert trained_as(LightFM(loss="softmax", learning_rate=0.05)) == (0.05, "sgd")
    assert trained_as(LightFM(loss="softmax", learning_schedule="adagrad")) == (0.1, "adagrad")
    model = LightFM(loss="softmax")
    model.learning_rate = 0.05
    assert trained_as(model) == (0.05, "sgd")
    assert trained_as(model.set_params(learning_schedule="adagrad")) == (0.05, "adagrad")
    slow, fast = (
        LightFM(loss="softmax", random_state=0, **chosen).fit(TRAIN, epochs=3)
        for chosen in ({"learning_rate": 0.05}, {})
    )
    assert not np.allclose(slow.item_embeddings, fast.item_embeddings, atol=1e-4)


CHOICES = [{}, {"learning_rate": 0.05}, {"learning_schedule": "adagrad"}, {"learning_rate": 0.2}]


def with_clone(model: LightFM) -> LightFM:
    return pytest.importorskip("sklearn.base").clone(model)


def saved_and_loaded(model: LightFM, tmp_path) -> LightFM:
    model.save(tmp_path / "model")
    return LightFM.load(tmp_path / "model")


@pytest.mark.parametrize("chosen", CHOICES, ids=str)
@pytest.mark.parametrize("loss", ["softmax", "warp"])
def test_the_mark_goes_wherever_the_value_goes(loss, chosen, tmp_path):
    model = LightFM(loss=loss, random_state=0, **chosen)
    others = {
        "get_params": LightFM(**model.get_params()),
        "set_params": LightFM().set_params(**model.get_params()),
        "clone": with_clone(model),
        "clone twice": with_clone(with_clone(model)),
        "copy": copy.copy(model),
        "deepcopy": copy.deepcopy(model),
        "pickle": pickle.loads(pickle.dumps(model)),
        "parameters pickled": LightFM(**pickle.loads(pickle.dumps(model.get_params()))),
        "file": saved_and_loaded(model, tmp_path),
        "file twice": saved_and_loaded(saved_and_loaded(model, tmp_path), tmp_path),
    }
    for name, other in others.items():
        assert trained_as(other) == trained_as(model), name
        for later in ("softmax", "warp"):  # and the loss may still be changed
            expected = trained_as(copy.deepcopy(model).set_params(loss=later))
            assert trained_as(other.set_params(loss=later)) == expected, (name, later)


def test_a_search_tries_what_it_says():
    selection = pytest.importorskip("sklearn.model_selection")
    rows = np.column_stack([TRAIN.row, TRAIN.col])[TRAIN.data > 0]
    search = selection.GridSearchCV(
        InteractionEstimator(TRAIN.shape, loss="softmax", epochs=1, random_state=0),
        {"learning_rate": [0.05, 0.1], "learning_schedule": ["adagrad", "sgd"]},
        cv=2,
        n_jobs=2,
    ).fit(rows)
    scores = search.cv_results_["mean_test_score"]
    assert len(set(scores.round(9))) == 4
    default = selection.GridSearchCV(
        InteractionEstimator(TRAIN.shape, loss="softmax", epochs=1, random_state=0),
        {"n_negatives": [256]},
        cv=2,
        n_jobs=2,
    ).fit(rows)
    params = search.cv_results_["params"]
    at = params.index({"learning_rate": 0.1, "learning_schedule": "sgd"})
    assert default.cv_results_["mean_test_score"][0] == scores[at]


def test_defaults_look_like_what_they_are():
    given = LightFM(loss="softmax").get_params()
    assert json.loads(json.dumps({k: v for k, v in given.items() if k != "random_state"}))[
        "learning_rate"
    ] == 0.05  # fmt: skip
    assert repr(given["learning_rate"]) == "0.05" and repr(given["learning_schedule"]) == (
        "'adagrad'"
    )
    assert repr(LightFM(loss="softmax")) == "LightFM(loss='softmax')"
    assert repr(LightFM(loss="softmax", learning_rate=0.05)) == (
        "LightFM(loss='softmax', learning_rate=0.05)"
    )
    assert repr(LightFM(loss="warp", learning_rate=0.05)) == "LightFM(loss='warp')"


def test_old_pickles_meant_the_defaults():
    """They hold plain values, which softmax took for its own."""
    model = LightFM(loss="softmax", random_state=0).fit(TRAIN, epochs=1)
    old = LightFM.__new__(LightFM)
    held = copy.deepcopy(model.__dict__)
    state = {name: parameters.unmarked(value) for name, value in held.items()}
    del state["_marks_defaults"]
    assert type(state["learning_rate"]) is float
    old.__setstate__(state)
    assert trained_as(old) == (0.1, "sgd")
    assert_equal_arrays(arrays_of(old.fit_partial(TRAIN)), arrays_of(model.fit_partial(TRAIN)))


def test_old_files_meant_the_defaults(tmp_path):
    """They have plain values, and do not say which were chosen."""
    path = tmp_path / "model"
    model = LightFM(loss="softmax", learning_rate=0.05, random_state=0).fit(TRAIN)
    model.save(path)
    version, header, rest = parts_of(path.read_bytes())
    assert header["chosen"] == ["learning_rate"] and "chosen" in header["required"]
    del header["chosen"]
    header["required"].remove("chosen")
    path.write_bytes(forged(header, rest, version))
    assert trained_as(LightFM.load(path)) == (0.1, "sgd")


def test_subclasses_that_pickle_in_their_own_way():
    for choice in CHOICES:
        model = WithState(loss="softmax", **choice)
        assert trained_as(pickle.loads(pickle.dumps(model))) == trained_as(model), choice


class WithState(LightFM):
    def __getstate__(self):
        return self.__dict__.copy()


def test_what_comes_back_as_text_was_chosen():
    given = LightFM(loss="softmax", random_state=0).get_params()
    del given["random_state"]
    assert trained_as(LightFM(**json.loads(json.dumps(given)))) == (0.05, "adagrad")


def test_an_estimator_shows_what_was_chosen():
    clone = pytest.importorskip("sklearn.base").clone
    for chosen in CHOICES:
        shown = repr(clone(InteractionEstimator((3, 4), loss="softmax", **chosen)))
        assert {name for name in ("learning_rate", "learning_schedule") if name in shown} == {
            *chosen
        }


# Seeds


@pytest.mark.parametrize("drawn_before", [0, 1, 2, 300, 622, 623, 624, 625])
def test_an_epoch_moves_the_key_of_the_stream(drawn_before):
    stream = np.random.RandomState(3)
    stream.bytes(4 * drawn_before)
    model = LightFM(loss="warp", random_state=stream).fit(TRAIN, epochs=0)
    for _ in range(3):
        before = model.random_state.get_state()[1].copy()
        model.fit_partial(TRAIN)
        assert not np.array_equal(model.random_state.get_state()[1], before)


def test_seeds_are_the_same_in_one_call_and_in_three():
    whole = LightFM(loss="warp", random_state=1).fit(TRAIN, epochs=3)
    parts = LightFM(loss="warp", random_state=1)
    for _ in range(3):
        parts.fit_partial(TRAIN)
    assert_equal_arrays(arrays_of(whole), arrays_of(parts))
    assert whole.random_state.randint(2**31) == parts.random_state.randint(2**31)
