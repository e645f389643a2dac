"""Saved models come back as they were, read or mapped into memory."""

from __future__ import annotations

import copy
import math
import mmap as memory_map
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from helpers import (
    ARRAYS,
    LOSSES,
    SCHEDULES,
    all_scores,
    are_finite,
    arrays_of,
    assert_equal_arrays,
    random_features,
    random_interactions,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from saved import (
    FEATURES,
    INTERACTIONS,
    N_ITEMS,
    N_USERS,
    POSIX,
    assert_same,
    assert_same_stream,
    exact,
    small_model,
    timeless,
)

from lightfm_clone import LightFM

EARLIER = Path(__file__).parent / "fixtures" / "earlier-version"


def test_loaded_model_predicts_the_same(path):
    for features in ({}, FEATURES):
        model = LightFM(no_components=5, loss="bpr", random_state=1)
        model.fit(INTERACTIONS, epochs=3, **features).save(path)
        loaded = LightFM.load(path)
        assert_same(model, loaded)
        np.testing.assert_array_equal(
            all_scores(model, N_USERS, N_ITEMS, **features),
            all_scores(loaded, N_USERS, N_ITEMS, **features),
        )
    with pytest.warns(UserWarning, match="item_features"):
        loaded.predict(0, [1], user_features=FEATURES["user_features"])


@pytest.mark.parametrize(
    ("loss", "schedule", "features"),
    [
        (loss, schedule, FEATURES if (i + j) % 2 else {})
        for i, loss in enumerate(LOSSES)
        for j, schedule in enumerate(SCHEDULES)
    ],
)
def test_training_continues_bit_for_bit(path, loss, schedule, features):
    model = LightFM(
        no_components=6, loss=loss, learning_schedule=schedule, item_alpha=1e-4, random_state=5
    )
    model.fit(INTERACTIONS, epochs=2, **features).save(path)
    before = arrays_of(model)
    loaded, mapped = LightFM.load(path), LightFM.load(path, mmap=True)
    for each in (model, loaded, mapped):
        timeless(each.fit_partial(INTERACTIONS, epochs=2, **features))
    for each in (loaded, mapped):
        assert_same(model, each)
    assert not np.array_equal(before["item_embeddings"], model.item_embeddings)
    for each in (model, loaded, mapped):
        each.fit(INTERACTIONS, **features)
    assert_equal_arrays(arrays_of(model), arrays_of(loaded))
    assert_equal_arrays(arrays_of(model), arrays_of(mapped))


NUMBERS = st.floats(0, 1e3) | st.integers(0, 1000)


@given(
    parameters=st.fixed_dictionaries(
        {},
        optional={
            "no_components": st.integers(1, 20),
            "k": st.integers(1, 9),
            "n": st.integers(1, 99),
            "learning_schedule": st.sampled_from(SCHEDULES),
            "loss": st.sampled_from(LOSSES),
            "learning_rate": NUMBERS,
            "rho": st.floats(0.01, 0.99),
            "epsilon": NUMBERS,
            "item_alpha": NUMBERS,
            "user_alpha": NUMBERS,
            "max_sampled": st.integers(1, 2**31 - 1),
            "random_state": st.none() | st.integers(0, 2**32 - 1),
        },
    ),
    shape=st.none() | st.tuples(st.integers(0, 5), st.integers(0, 5)),
    drawn=st.integers(0, 3),
)
@settings(deadline=None, max_examples=60)
def test_any_parameters_and_shapes(tmp_path_factory, parameters, shape, drawn):
    model = LightFM(**parameters)
    if shape:
        model.fit(random_interactions(0, shape, n_entries=0), epochs=0)
    model.random_state.randint(9, size=drawn)
    file = tmp_path_factory.mktemp("any") / "model"
    model.save(file)
    for mmap in (False, True):
        assert_same(model, LightFM.load(file, mmap=mmap))


def test_unfitted_model(path):
    LightFM(loss="warp", random_state=4).save(path)
    loaded = LightFM.load(path)
    assert_same(LightFM(loss="warp", random_state=4), loaded)
    with pytest.raises(ValueError, match="not fitted"):
        loaded.predict(0, [0])
    fresh = LightFM(loss="warp", random_state=4).fit(INTERACTIONS)
    assert_same(timeless(fresh), timeless(loaded.fit(INTERACTIONS)))


def test_random_state_to_the_last_bit(path):
    """The normal distribution draws two and keeps one."""
    model = LightFM(random_state=8)
    model.random_state.normal()
    model.save(path)
    loaded = LightFM.load(path)
    np.testing.assert_array_equal(
        loaded.random_state.normal(size=700), model.random_state.normal(size=700)
    )


@pytest.mark.parametrize(
    ("seed", "kept"),
    [
        (None, None),
        (5, 5),
        (np.int64(6), 6),
        (np.random.RandomState(1), None),
        (np.random.default_rng(1), None),
    ],
    ids=str,
)
def test_initial_random_state(path, seed, kept):
    LightFM(random_state=seed).save(path)
    assert exact(LightFM.load(path).initial_random_state) == exact(kept)


def test_attributes(path):
    model = small_model()
    model.history_ = [
        {"epoch": 1, "seconds": 0.25, "loss": np.float32(0.5), "recall": math.nan},
        {"epoch": 2, "seconds": 1e-300, "loss": -math.inf, "best": True, "metric": "ndcg@10"},
    ]
    model.global_mean_ = np.float64(3.5)
    model.save(path)
    loaded = LightFM.load(path)
    model.history_[0]["loss"], model.global_mean_ = 0.5, 3.5
    assert_same(model, loaded)


def test_models_older_than_an_attribute(path):
    """Such as a pickle from before it."""
    model = small_model()
    for name in ("history_", "global_mean_"):
        vars(model).pop(name, None)
    model.save(path)
    loaded = LightFM.load(path)
    assert loaded.history_ == [] and loaded.global_mean_ == 0.0


def test_all_that_a_model_holds_is_saved(path):
    """Fails for a new attribute: add it to ATTRIBUTES in _model/state.py."""
    model = small_model()
    model.save(path)
    assert vars(model).keys() <= vars(LightFM.load(path)).keys()


def test_assigned_arrays(path):
    """What users may assign for prediction is what comes back for prediction."""
    model = LightFM(no_components=3).fit(INTERACTIONS, epochs=0)
    rng = np.random.default_rng(0)
    model.item_embeddings = np.asfortranarray(rng.normal(size=(N_ITEMS, 3)))  # float64
    model.item_biases = rng.normal(size=N_ITEMS).tolist()
    model.user_embeddings.flags.writeable = False
    model.user_embedding_momentum = model.user_bias_gradients = None
    model.user_biases = np.full(N_USERS, np.inf, np.float32)
    model.save(path)
    assert isinstance(model.item_biases, list) and model.item_embeddings.dtype == np.float64
    loaded = LightFM.load(path)
    assert loaded.user_embedding_momentum is None and loaded.user_bias_gradients is None
    assert loaded.item_embeddings.dtype == np.float32 and loaded.user_embeddings.flags.writeable
    np.testing.assert_array_equal(
        all_scores(model, N_USERS, N_ITEMS), all_scores(loaded, N_USERS, N_ITEMS)
    )


def test_reassigned_parameters(path):
    model = small_model()
    model.max_sampled = 0  # which the constructor refuses
    model.random_state = 17  # which fit would choke on
    model.learning_rate = np.float32(0.25)
    model.save(path)
    loaded = LightFM.load(path)
    assert exact([loaded.max_sampled, loaded.learning_rate]) == exact([0, 0.25])
    assert_same_stream(loaded.random_state, np.random.RandomState(17))


class Named(LightFM):
    """A constructor of its own, a parameter that get_params knows and an attribute it does not."""

    def __init__(self, name, scale=(1, 2.0), **parameters):
        self.name, self.scale, self.calls = name, scale, 0  # the base asks get_params
        super().__init__(**parameters)

    def get_params(self, deep=True):
        return {**super().get_params(deep), "name": self.name, "scale": self.scale}

    def __setstate__(self, state):
        self.calls = -1
        super().__setstate__(state)


def test_subclasses(path):
    model = Named("mine", scale=(3, b"x", [None]), loss="bpr", random_state=2)
    model.fit(INTERACTIONS, epochs=0).save(path)
    loaded = Named.load(path)
    assert_same(model, loaded)
    assert loaded.calls == -1
    with pytest.raises(ValueError, match=r"'name'.*Named: load it with that class"):
        LightFM.load(path)

    small_model().save(path)
    loaded = Named.load(path)
    assert type(loaded) is Named and loaded.scale == (1, 2.0) and not hasattr(loaded, "name")


class Small(LightFM):
    """A constructor that leaves less to choose."""

    def __init__(self, factors=3):
        super().__init__(no_components=factors, loss="bpr", k=4)
        self.factors = factors


def test_subclasses_that_fix_parameters(path):
    model = Small().fit(INTERACTIONS)
    model.save(path)
    loaded = Small.load(path)
    assert (loaded.loss, loaded.no_components, loaded.k, loaded.factors) == ("bpr", 3, 4, 3)
    assert_equal_arrays(arrays_of(loaded), arrays_of(model))


def test_files_of_an_earlier_version():
    loaded = LightFM.load(EARLIER / "model")
    assert (loaded.loss, loaded.no_components, loaded.k, loaded.n) == ("mse", 2, 7, 10)
    assert loaded.initial_random_state == 3 and loaded.global_mean_ == 1.75
    assert loaded.history_ == [
        {"epoch": 1, "seconds": 0.5, "loss": 0.25},
        {"epoch": 2, "seconds": 0.5, "loss": 0.125},
    ]
    with pytest.warns(UserWarning, match="fitted with user_features"):
        loaded.predict(0, [1])
    scores = loaded.predict([0, 3], [1, 2], user_features=random_features(4, 5))
    np.testing.assert_allclose(scores, [1.6294498, 1.8965702], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"loss": "hinge"}, ValueError, "loss must be one of"),
        ({"item_biases": np.zeros(2, np.float32)}, ValueError, "item_biases has 2 item features"),
        ({"user_embeddings": np.zeros((4, 5))}, ValueError, "user_embeddings has 5 components"),
        ({"user_embeddings": np.zeros(4)}, ValueError, "user_embeddings must be float32 with 2"),
        ({"item_embeddings": "many"}, ValueError, "item_embeddings must be an array of numbers"),
        (
            {"random_state": np.random.RandomState(np.random.PCG64(1))},
            TypeError,
            r"PCG64.*set_params\(random_state",
        ),
        ({"history_": [{"loss": {1, 2}}]}, TypeError, r"history_ cannot be saved.*\{1, 2\}.*set"),
        ({"history_": [{1: 2}]}, TypeError, r"history_ cannot be saved.*\{1: 2\}"),
        ({"history_": [{"$int": "0"}]}, TypeError, r"history_ cannot be saved"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_save_refuses_what_could_not_be_loaded(path, change, error, said):
    path.write_bytes(b"old")
    model = small_model()
    vars(model).update(change)
    with pytest.raises(error, match=said):
        model.save(path)
    assert path.read_bytes() == b"old" and os.listdir(path.parent) == ["saved"]


# Memory-mapped


@pytest.mark.parametrize("features", [{}, FEATURES], ids=["identity", "features"])
def test_mapped_arrays_are_used_as_they_lie_in_the_file(path, features):
    model = LightFM(no_components=7, random_state=1).fit(INTERACTIONS, epochs=2, **features)
    model.save(path)
    mapped = LightFM.load(path, mmap=True)
    assert_same(model, mapped)
    for name in ARRAYS:
        array = getattr(mapped, name)
        assert type(array) is np.ndarray and not array.flags.owndata
        assert not array.flags.writeable and array.flags.aligned
        assert array.ctypes.data % 64 == 0
    if not features:
        biases, embeddings = mapped.get_item_representations()
        assert np.shares_memory(biases, mapped.item_biases)
        assert np.shares_memory(embeddings, mapped.item_embeddings)
    test = random_interactions(3, (N_USERS, N_ITEMS), n_entries=9)
    np.testing.assert_array_equal(
        all_scores(model, N_USERS, N_ITEMS, **features),
        all_scores(mapped, N_USERS, N_ITEMS, **features),
    )
    np.testing.assert_array_equal(
        model.predict_rank(test, **features).data, mapped.predict_rank(test, **features).data
    )


def test_training_a_mapped_model_leaves_the_file_alone(path):
    model = small_model()
    model.save(path)
    before = path.read_bytes()
    mapped = LightFM.load(path, mmap=True)
    held = mapped.item_embeddings
    kept = held.copy()
    mapped.fit_partial(random_interactions(2, (4, 3), n_entries=8), epochs=2)
    assert mapped.item_embeddings.flags.writeable and path.read_bytes() == before
    np.testing.assert_array_equal(held, kept)
    assert not np.array_equal(mapped.item_embeddings, kept)


@POSIX
def test_saving_over_a_mapped_file(path):
    """Those who map the old file keep it, to the last page."""
    LightFM(no_components=50, random_state=1).fit(INTERACTIONS, epochs=0).save(path)
    mapped = LightFM.load(path, mmap=True)
    before = arrays_of(mapped)
    LightFM(random_state=2).save(path)
    assert_equal_arrays(arrays_of(mapped), before)
    mapped.save(path)
    assert_same(mapped, LightFM.load(path))


def memory_of(array: np.ndarray) -> object:
    """What a view looks at in the end; None where it is the array's own memory."""
    while isinstance(array, (np.ndarray, memoryview)):
        array = array.base if isinstance(array, np.ndarray) else array.obj
    return array


def test_copies_of_a_mapped_model(path):
    """They do without the file. From CPython 3.14 on, pickles are of protocol 5 by default, which
    keeps read-only arrays read-only."""
    small_model().save(path)
    mapped = LightFM.load(path, mmap=True)
    assert isinstance(memory_of(mapped.item_embeddings), memory_map.mmap)
    pickles = [pickle.dumps(mapped, protocol) for protocol in range(2, 6)]
    for twin in (copy.deepcopy(mapped), *map(pickle.loads, pickles)):
        assert_same(mapped, twin)
        assert not isinstance(memory_of(twin.item_embeddings), memory_map.mmap)
        assert are_finite(twin.fit_partial(random_interactions(2, (4, 3), n_entries=8)))
