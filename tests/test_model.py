"""The model as an object: parameters, public arrays, seeds, copies, and other libraries."""

from __future__ import annotations

import _thread
import copy
import inspect
import pickle
import signal
import sys
import threading
import time

import numpy as np
import pytest
import scipy.sparse as sp
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

from lightfm_clone import LightFM
from lightfm_clone.evaluation import auc_score

N_USERS, N_ITEMS = 30, 20
DEFAULTS = {
    "no_components": 10,
    "k": 5,
    "n": 10,
    "learning_schedule": "adagrad",
    "loss": "logistic",
    "learning_rate": 0.05,
    "rho": 0.95,
    "epsilon": 1e-6,
    "item_alpha": 0.0,
    "user_alpha": 0.0,
    "max_sampled": 10,
    "random_state": None,
}
OTHERS = {
    "no_components": 3,
    "k": 2,
    "n": 4,
    "learning_schedule": "adadelta",
    "loss": "warp",
    "learning_rate": 0.1,
    "rho": 0.9,
    "epsilon": 1e-5,
    "item_alpha": 1e-3,
    "user_alpha": 1e-4,
    "max_sampled": 7,
    "stored_negatives": 0.25,
    "identity_dropout": 0.5,
    "negatives": "seen",
}


@pytest.fixture
def interactions() -> sp.coo_matrix:
    return random_interactions(1, (N_USERS, N_ITEMS))


@pytest.fixture
def features() -> dict[str, sp.csr_matrix]:
    return {
        "user_features": random_features(N_USERS, 6, seed=2),
        "item_features": random_features(N_ITEMS, 7, seed=3),
    }


def same_stream(left: np.random.RandomState, right: np.random.RandomState) -> bool:
    states = zip(left.get_state(), right.get_state(), strict=True)
    return all(np.array_equal(x, y) for x, y in states)


# Constructor and parameters


def parameters_of(function) -> dict[str, object]:
    """Names and defaults of those that may be given by position."""
    parameters = inspect.signature(function).parameters
    return {
        name: parameter.default
        for name, parameter in parameters.items()
        if name != "self" and parameter.kind is not parameter.KEYWORD_ONLY
    }


TRAINING = {
    "interactions": inspect.Parameter.empty,
    "user_features": None,
    "item_features": None,
    "sample_weight": None,
    "epochs": 1,
    "num_threads": 1,
    "verbose": False,
}
CALLS = {
    "__init__": DEFAULTS,
    "fit": TRAINING,
    "fit_partial": TRAINING,
    "predict": {
        "user_ids": inspect.Parameter.empty,
        "item_ids": inspect.Parameter.empty,
        "item_features": None,
        "user_features": None,
        "num_threads": 1,
    },
    "predict_rank": {
        "test_interactions": inspect.Parameter.empty,
        "train_interactions": None,
        "item_features": None,
        "user_features": None,
        "num_threads": 1,
        "check_intersections": True,
    },
    "get_item_representations": {"features": None},
    "get_user_representations": {"features": None},
    "get_params": {"deep": True},
}


@pytest.mark.parametrize("name", CALLS)
def test_arguments_by_position_and_name(name):
    """Old calls pass many arguments by position, so the order counts too; new ones have names."""
    function = getattr(LightFM, name)
    assert list(parameters_of(function).items()) == list(CALLS[name].items())
    further = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    assert all(parameter.default is not parameter.empty for parameter in further)


def test_constructor_attributes():
    for given in (DEFAULTS, OTHERS):
        model = LightFM(**given)
        for name, value in given.items():
            if name != "random_state":
                assert getattr(model, name) == value, name
    assert LightFM(k=3.9, n=7.2).get_params().items() >= {"k": 3, "n": 7}.items()


@pytest.mark.parametrize(
    "given",
    [
        {"no_components": np.int64(4), "k": np.int32(2), "max_sampled": np.int8(3)},
        {"learning_rate": np.float32(0.1), "item_alpha": np.float64(0), "rho": np.float32(0.5)},
        {"loss": np.str_("warp"), "learning_schedule": np.str_("adadelta")},
        {"epsilon": 0.0, "learning_schedule": "adadelta"},
        {"learning_rate": -0.05},  # is not checked
    ],
    ids=lambda given: ", ".join(f"{name}={value!r}" for name, value in given.items()),
)
def test_parameters_of_other_types(given, interactions):
    """Searches draw their candidates from NumPy arrays."""
    assert are_finite(LightFM(**given).fit(interactions))


def test_nothing_is_there_before_the_first_fit():
    model = LightFM()
    assert all(getattr(model, name) is None for name in ARRAYS)


def test_repr():
    assert repr(LightFM()) == "LightFM()"
    shown = repr(LightFM(loss="warp", no_components=64, learning_rate=0.05, random_state=42))
    assert shown == "LightFM(no_components=64, loss='warp')"
    assert eval(shown).get_params()["no_components"] == 64
    # No parameter is a secret of the constructor, and a fitted model shows no arrays.
    everything = LightFM(**OTHERS)
    assert all(f"{name}={value!r}" in repr(everything) for name, value in OTHERS.items())
    fitted = LightFM(no_components=3, loss="bpr").fit(random_interactions())
    assert repr(fitted) == "LightFM(no_components=3, loss='bpr')"


def test_get_params():
    model = LightFM(**OTHERS, random_state=3)
    parameters = model.get_params(deep=True)
    assert list(parameters)[: len(DEFAULTS)] == list(DEFAULTS)
    assert set(parameters) == set(inspect.signature(LightFM).parameters)
    assert parameters.pop("random_state") is model.random_state
    assert parameters.items() >= OTHERS.items()
    assert model.get_params(deep=False) == model.get_params()

    again = LightFM(**model.get_params())
    assert again.get_params() == model.get_params()


def test_set_params(interactions):
    model = LightFM()
    assert model.set_params(**OTHERS) is model
    assert model.get_params().items() >= OTHERS.items()
    assert model.set_params() is model

    model.set_params(random_state=5, k=4.7)
    assert same_stream(model.random_state, np.random.RandomState(5)) and model.k == 4
    expected = LightFM(**{**OTHERS, "k": 4}, random_state=5).fit(interactions)
    assert_equal_arrays(arrays_of(model.fit(interactions)), arrays_of(expected))


@pytest.mark.parametrize(
    "bad",
    [{"loss": "hinge"}, {"no_components": 0}, {"item_alpha": -1.0}, {"unheard_of": 1}],
    ids=str,
)
def test_refused_set_params_changes_nothing(bad):
    model = LightFM(**OTHERS, random_state=3)
    before = model.get_params()
    with pytest.raises(ValueError, match=next(iter(bad))):
        model.set_params(k=9, random_state=1, **bad)
    after = model.get_params()
    assert after == before and after["random_state"] is before["random_state"]
    with pytest.raises(ValueError, match="unheard_of"):
        model.set_params(k=9, unheard_of=1)
    assert model.k == OTHERS["k"]


# Public arrays


@pytest.mark.parametrize("with_features", [False, True])
def test_shapes_and_types(interactions, features, with_features):
    model = LightFM(no_components=4).fit(interactions, **(features if with_features else {}))
    n_user_features, n_item_features = (6, 7) if with_features else (N_USERS, N_ITEMS)
    for side, n in (("user", n_user_features), ("item", n_item_features)):
        for name in (name for name in ARRAYS if name.startswith(side)):
            array = getattr(model, name)
            assert type(array) is np.ndarray and array.dtype == np.float32, name
            assert array.shape == ((n, 4) if "embedding" in name else (n,)), name
            assert array.flags.c_contiguous and array.flags.writeable, name


@pytest.mark.parametrize(("schedule", "gradient"), [("adagrad", 1.0), ("adadelta", 0.0)])
def test_initial_values(interactions, features, schedule, gradient):
    model = LightFM(no_components=4, learning_schedule=schedule, random_state=7)
    model.fit(interactions, epochs=0, **features)

    draws = np.random.RandomState(7)
    for side, n in (("item", 7), ("user", 6)):
        np.testing.assert_array_equal(
            getattr(model, f"{side}_embeddings"),
            ((draws.rand(n, 4) - 0.5) / 4).astype(np.float32),
        )
        assert np.all(getattr(model, f"{side}_biases") == 0)
        for kind in ("embedding", "bias"):
            assert np.all(getattr(model, f"{side}_{kind}_gradients") == gradient)
            assert np.all(getattr(model, f"{side}_{kind}_momentum") == 0)
    assert same_stream(model.random_state, draws)  # nothing else was drawn


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_training_writes_into_the_arrays_a_user_holds(interactions, schedule):
    model = LightFM(learning_schedule=schedule, random_state=1).fit(interactions)
    held = {name: getattr(model, name) for name in ARRAYS}
    before = arrays_of(model)
    model.fit_partial(interactions)
    for name, array in held.items():
        assert getattr(model, name) is array
        state_of = {"momentum": ("adadelta",), "gradients": ("adadelta", "adagrad")}
        if schedule in state_of.get(name.split("_")[-1], SCHEDULES):
            assert not np.array_equal(array, before[name]), name

    biases, embeddings = model.get_item_representations()
    assert biases is model.item_biases and embeddings is model.item_embeddings
    biases, embeddings = model.get_user_representations()
    assert biases is model.user_biases and embeddings is model.user_embeddings


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "assigned",
    [
        np.copy,
        lambda array: np.array(array, order="F"),
        read_only,
        lambda array: array.astype(np.float64),
        lambda array: array.astype(array.dtype.newbyteorder()),
        lambda array: np.repeat(array, 2, axis=0)[::2],
        lambda array: array.tolist(),
    ],
    ids=["float32", "fortran", "read-only", "float64", "byte-swapped", "strided", "list"],
)
def test_assigned_arrays(interactions, assigned):
    """They are used as they are by predictions and trained on, whatever their layout."""
    expected = LightFM(random_state=1).fit(interactions)
    model = copy.deepcopy(expected)
    for name in ARRAYS:
        setattr(model, name, assigned(getattr(expected, name)))
    given = {name: getattr(model, name) for name in ARRAYS}
    values = copy.deepcopy(given)
    np.testing.assert_array_equal(
        all_scores(model, N_USERS, N_ITEMS), all_scores(expected, N_USERS, N_ITEMS)
    )
    np.testing.assert_array_equal(
        model.predict_rank(interactions).data, expected.predict_rank(interactions).data
    )

    model.fit_partial(interactions)
    expected.fit_partial(interactions)
    assert_equal_arrays(arrays_of(model), arrays_of(expected))
    for name, array in given.items():
        if array is not getattr(model, name):  # was converted, so it belongs to the caller alone
            np.testing.assert_array_equal(array, values[name])


def test_assigned_initial_values_are_trained_from(interactions):
    """Pre-trained embeddings: initialise, assign, go on with `fit_partial`."""
    model = LightFM(no_components=4, learning_rate=1e-9, random_state=1)
    model.fit_partial(interactions, epochs=0)
    pretrained = np.random.default_rng(0).normal(size=(N_ITEMS, 4))
    model.item_embeddings = pretrained
    model.fit_partial(interactions)
    np.testing.assert_allclose(model.item_embeddings, pretrained, atol=1e-6)


# fit and fit_partial


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", LOSSES)
def test_epochs_are_partial_fits_and_repeat_bit_for_bit(interactions, features, loss, schedule):
    """One thread and one seed give the same bits, in one call or, but for sgd, in three."""

    def new() -> LightFM:
        return LightFM(loss=loss, learning_schedule=schedule, item_alpha=1e-3, random_state=4)

    at_once = new()
    assert at_once.fit(interactions, epochs=3, **features) is at_once
    again = new().fit(interactions, epochs=3, **features)
    assert_equal_arrays(arrays_of(again), arrays_of(at_once))

    in_parts = new()
    for _ in range(3):
        assert in_parts.fit_partial(interactions, **features) is in_parts
    if schedule == "sgd":  # its learning rate falls within a call
        assert not np.array_equal(in_parts.item_embeddings, at_once.item_embeddings)
    else:
        assert_equal_arrays(arrays_of(in_parts), arrays_of(at_once))
    assert same_stream(in_parts.random_state, at_once.random_state)


def test_fit_starts_afresh_and_goes_on_in_the_stream(interactions):
    stream = np.random.RandomState(4)
    model = LightFM(random_state=stream).fit(interactions, epochs=2)
    first = arrays_of(model)
    assert model.random_state is stream
    moved_on = copy.deepcopy(stream)

    model.fit(interactions, epochs=2)
    assert not np.array_equal(model.item_embeddings, first["item_embeddings"])
    other = LightFM(random_state=moved_on).fit(interactions, epochs=2)
    assert_equal_arrays(arrays_of(model), arrays_of(other))


def test_fit_may_change_the_size_of_the_model(interactions, features):
    model = LightFM(no_components=5, random_state=0).fit(interactions)
    model.no_components = 8
    model.fit(random_interactions(0, (7, 9), 20), item_features=random_features(9, 4))
    assert model.item_embeddings.shape == (4, 8) and model.user_embeddings.shape == (7, 8)


def test_random_state_advances_with_every_epoch(interactions):
    model = LightFM(random_state=4).fit(interactions, epochs=0)
    for _ in range(3):
        before = copy.deepcopy(model.random_state)
        model.fit_partial(interactions)
        assert not same_stream(model.random_state, before)


def test_epochs_differ_in_order(interactions):
    """Two models that differ in nothing but the stream of one epoch."""
    one = LightFM(loss="bpr", random_state=4).fit(interactions, epochs=0)
    other = copy.deepcopy(one)
    other.random_state.rand()
    one.fit_partial(interactions)
    other.fit_partial(interactions)
    assert not np.array_equal(one.item_embeddings, other.item_embeddings)


@pytest.mark.parametrize("loss", ["warp", "softmax"])
def test_an_assigned_seed_is_as_good_as_a_given_one(interactions, loss):
    expected = LightFM(loss=loss, random_state=3).fit(interactions, epochs=2)
    model = LightFM(loss=loss)
    model.random_state = 3
    assert_equal_arrays(arrays_of(model.fit(interactions, epochs=2)), arrays_of(expected))
    for of in (model, expected):
        of.random_state = 5 if of is model else np.random.RandomState(5)
        for n in (1, 2):
            of.resize(n_item_features=interactions.shape[1] + n)
        items = sp.identity(interactions.shape[1] + 2, format="csr")[: interactions.shape[1]]
        of.fit_partial(interactions, item_features=items, epochs=2)
    assert_equal_arrays(arrays_of(model), arrays_of(expected))
    model.random_state = "x"
    for call in (model.fit, model.fit_partial):
        with pytest.raises(ValueError, match="random_state must be .*'x'"):
            call(interactions)
    with pytest.raises(ValueError, match="random_state must be .*'x'"):
        model.resize(n_item_features=interactions.shape[1] + 3)
    assert model.random_state == "x"
    assert_equal_arrays(arrays_of(model), arrays_of(expected))


def test_attributes_are_read_at_every_epoch(interactions):
    """Between the calls, and within one call by something that runs in it."""
    model = LightFM(random_state=4).fit(interactions)
    model.learning_rate = 0.0
    before = arrays_of(model)
    model.fit_partial(interactions)
    np.testing.assert_array_equal(model.item_embeddings, before["item_embeddings"])
    model.learning_rate = 0.05

    def rest(model: LightFM, record: dict[str, object]) -> None:
        model.learning_rate = 0.0

    expected = copy.deepcopy(model).fit_partial(interactions)
    model.fit_partial(interactions, epochs=3, callbacks=[rest])
    np.testing.assert_array_equal(model.item_embeddings, expected.item_embeddings)


def test_adadelta_has_no_use_for_a_learning_rate(interactions):
    def trained(learning_rate: float) -> dict[str, np.ndarray]:
        model = LightFM(learning_schedule="adadelta", learning_rate=learning_rate, random_state=4)
        return arrays_of(model.fit(interactions))

    assert_equal_arrays(trained(0.05), trained(100.0))


def test_max_sampled_zero_trains_nothing(interactions):
    for loss in ("warp", "warp-kos"):
        model = LightFM(loss=loss, random_state=4).fit(interactions)
        before = arrays_of(model)
        model.max_sampled = 0
        model.fit_partial(interactions, epochs=2)
        assert_equal_arrays(arrays_of(model), before)


def test_loss_and_schedule_may_change_between_partial_fits(interactions):
    model = LightFM(random_state=4).fit(interactions)
    for model.loss in LOSSES:
        for model.learning_schedule in SCHEDULES:
            assert are_finite(model.fit_partial(interactions))


# Seeds


def test_initial_random_state_holds_what_was_given():
    for given in (None, 42, np.random.RandomState(1), np.random.default_rng(1)):
        model = LightFM(random_state=given)
        assert model.initial_random_state is given
        assert isinstance(model.random_state, np.random.RandomState)
    stream = np.random.RandomState(1)
    assert LightFM(random_state=stream).random_state is stream


def test_seeds(interactions):
    def trained(random_state: object) -> dict[str, np.ndarray]:
        return arrays_of(LightFM(loss="warp", random_state=random_state).fit(interactions))

    assert_equal_arrays(trained(3), trained(np.random.RandomState(3)))
    assert_equal_arrays(trained(3), trained(np.int64(3)))
    assert_equal_arrays(trained(np.random.default_rng(3)), trained(np.random.default_rng(3)))
    generator = np.random.default_rng(3)
    for left, right in ((None, None), (3, 4), (generator, generator)):
        different = trained(left), trained(right)
        assert not np.array_equal(different[0]["item_embeddings"], different[1]["item_embeddings"])


# verbose


def test_quiet_by_default(interactions, capfd):
    LightFM().fit(interactions, epochs=3)
    assert capfd.readouterr() == ("", "")


def test_verbose_shows_a_bar(interactions, capfd):
    pytest.importorskip("tqdm")
    LightFM().fit(interactions, epochs=3, verbose=True)
    assert "3/3" in capfd.readouterr().err


def test_verbose_without_tqdm_prints_the_epochs(interactions, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    LightFM().fit(interactions, epochs=2, verbose=True)
    assert capsys.readouterr().out.splitlines() == ["Epoch 0", "Epoch 1"]


# Copies, subclasses, other libraries


def through_joblib(model: LightFM, tmp_path) -> LightFM:
    joblib = pytest.importorskip("joblib")
    joblib.dump(model, tmp_path / "model.joblib")
    return joblib.load(tmp_path / "model.joblib")


@pytest.mark.parametrize("fitted", [True, False])
@pytest.mark.parametrize(
    "copied",
    [
        lambda model, _: copy.deepcopy(model),
        through_joblib,
        *(
            lambda model, _, protocol=protocol: pickle.loads(pickle.dumps(model, protocol))
            for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
        ),
    ],
    ids=["deepcopy", "joblib", *(f"pickle-{p}" for p in range(2, pickle.HIGHEST_PROTOCOL + 1))],
)
def test_copies_live_on_their_own(interactions, features, tmp_path, copied, fitted):
    model = LightFM(**OTHERS, random_state=8)
    if fitted:
        model.fit(interactions, **features)
    twin = copied(model, tmp_path)
    assert type(twin) is LightFM and twin.initial_random_state == 8
    for name in OTHERS:
        assert getattr(twin, name) == getattr(model, name)
    if fitted:
        assert_equal_arrays(arrays_of(twin), arrays_of(model))
        np.testing.assert_array_equal(
            all_scores(twin, N_USERS, N_ITEMS, **features),
            all_scores(model, N_USERS, N_ITEMS, **features),
        )
        with pytest.warns(UserWarning, match="user_features"):
            twin.predict(0, [1], item_features=features["item_features"])

    # Both go on as one would have, and neither moves the other.
    twin.fit_partial(interactions, **features)
    moved = arrays_of(twin)
    model.fit_partial(interactions, **features)
    assert_equal_arrays(arrays_of(twin), moved)
    assert_equal_arrays(arrays_of(model), moved)


class Counting(LightFM):
    """A subclass that keeps count of its initialisations and sets its own start."""

    start = 0.25

    def _initialize(self, no_components, no_item_features, no_user_features):
        sizes = no_components, no_item_features, no_user_features
        self.calls = [*getattr(self, "calls", ()), sizes]
        super()._initialize(*sizes)
        self.item_biases = np.full(no_item_features, self.start)  # float64, to be converted


def test_subclass_hook(interactions, features):
    model = Counting(no_components=3)
    assert repr(model) == "Counting(no_components=3)"
    model.fit_partial(interactions, epochs=0, **features)
    assert model.calls == [(3, 7, 6)]
    assert np.all(model.item_biases == 0.25)
    model.fit_partial(interactions, epochs=2, **features)
    assert len(model.calls) == 1
    model.fit(interactions, epochs=2)
    assert model.calls == [(3, 7, 6), (3, N_ITEMS, N_USERS)]
    model.item_embeddings = None
    model.fit_partial(interactions)
    assert len(model.calls) == 3

    twin = pickle.loads(pickle.dumps(model))
    assert type(twin) is Counting and twin.calls == model.calls


def test_subclass_with_its_own_parameters(interactions):
    class Named(LightFM):
        def __init__(self, name: str, **parameters: object) -> None:
            super().__init__(**parameters)
            self.name = name

    model = copy.deepcopy(Named("mine", loss="bpr", random_state=1).fit(interactions))
    assert model.name == "mine" and model.loss == "bpr" and are_finite(model)


def test_scikit_learn_clone(interactions):
    base = pytest.importorskip("sklearn.base")
    model = LightFM(**OTHERS, random_state=6).fit(interactions)
    unfitted = base.clone(model)
    assert unfitted.item_embeddings is None
    assert unfitted.get_params().items() >= OTHERS.items()
    assert unfitted.random_state is not model.random_state
    assert same_stream(unfitted.random_state, model.random_state)


@pytest.mark.parametrize("search", ["GridSearchCV", "RandomizedSearchCV"])
def test_scikit_learn_searches(search):
    selection = pytest.importorskip("sklearn.model_selection")
    candidates = {
        "loss": np.array(["logistic", "warp"]),
        "no_components": np.arange(2, 6),
        "learning_rate": [0.05, 1e-9],
    }
    options = {"n_iter": 5, "random_state": 0} if search == "RandomizedSearchCV" else {}
    ones = abs(random_interactions(5, (N_USERS, N_ITEMS), 200)).tocsr()
    ones.data[:] = 1
    features = {"item_features": sp.hstack([sp.identity(N_ITEMS), random_features(N_ITEMS, 3)])}
    everything = np.arange(N_USERS)

    found = getattr(selection, search)(
        LightFM(random_state=1),
        candidates,
        scoring=lambda model, test: auc_score(model, test, **features).mean(),
        cv=[(everything, everything)],
        error_score="raise",
        **options,
    ).fit(ones, epochs=8, **features)
    assert found.best_params_["learning_rate"] == 0.05
    best = auc_score(found.best_estimator_, ones, **features).mean()
    assert found.best_score_ == pytest.approx(best, abs=0.05)


# What a caller passes in stays as it was

FORMATS = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")


def content(matrix) -> bytes:
    """All that a sparse matrix holds, but for what it remembers about its own order."""
    return pickle.dumps(
        {
            name: value
            for name, value in vars(matrix).items()
            if "sorted" not in name and "canonical" not in name
        }
    )


def freeze(matrix) -> None:
    """Make every array of a sparse matrix read-only; SciPy cannot convert such a LIL."""
    if matrix.format == "lil":
        return
    held = [value if isinstance(value, tuple) else (value,) for value in vars(matrix).values()]
    for array in (array for values in held for array in values if isinstance(array, np.ndarray)):
        array.flags.writeable = False


def with_long_indices(matrix):
    for name in ("indices", "indptr"):
        if hasattr(matrix, name):
            setattr(matrix, name, getattr(matrix, name).astype(np.int64))
    if matrix.format == "coo":
        matrix.row, matrix.col = matrix.row.astype(np.int64), matrix.col.astype(np.int64)
    return matrix


def as_given(dense: np.ndarray, container: str, dtype: str, long: bool = False):
    matrix = getattr(sp, container)(dense.astype(dtype))
    return with_long_indices(matrix) if long else matrix


CONTAINERS = [f"{name}_{kind}" for name in FORMATS for kind in ("matrix", "array")]
VALUES = np.random.default_rng(9).choice([0, 0, 0, 1, 2], size=(N_USERS, N_ITEMS))


@pytest.mark.parametrize("long", [False, True], ids=["int32", "int64"])
@pytest.mark.parametrize("container", CONTAINERS)
def test_every_sparse_format(container, long):
    """Used for everything at once, read-only; the result is that of the same entries as COO."""

    def result(interactions, user_features, item_features) -> list[np.ndarray]:
        given = {"user_features": user_features, "item_features": item_features}
        model = LightFM(no_components=3, loss="warp", random_state=2)
        model.fit(interactions, epochs=2, **given)
        mean = auc_score(model, interactions, preserve_rows=True, **given)
        ranks = model.predict_rank(interactions, interactions, check_intersections=False, **given)
        return [
            *arrays_of(model).values(),
            model.predict([0, 1], [1, 2], **given),
            *model.get_user_representations(user_features),
            *model.get_item_representations(item_features),
            ranks.toarray(),
            mean,
        ]

    given = [
        as_given(values, container, "float32", long)
        for values in (VALUES, VALUES[:, :5] + np.eye(N_USERS, 5), VALUES[:N_ITEMS, :8])
    ]
    expected = result(*(matrix.tocoo(copy=True) for matrix in given))
    for matrix in given:
        freeze(matrix)
    before = [content(matrix) for matrix in given]
    for left, right in zip(result(*given), expected, strict=True):
        np.testing.assert_array_equal(left, right)
    assert [content(matrix) for matrix in given] == before


@pytest.mark.parametrize(
    "dtype",
    [
        "bool",
        "int8",
        "uint8",
        "int16",
        "int32",
        "uint32",
        "int64",
        "float32",
        "float64",
        "longdouble",
    ],
)
@pytest.mark.parametrize("container", ["coo_matrix", "csr_array"])
def test_every_numeric_type(container, dtype):
    given = as_given(VALUES, container, dtype)
    freeze(given)
    before = content(given)
    model = LightFM(loss="warp", random_state=2).fit(given)
    expected = LightFM(loss="warp", random_state=2).fit(as_given(VALUES, container, "float32"))
    assert_equal_arrays(arrays_of(model), arrays_of(expected))
    assert are_finite(LightFM().fit(given, user_features=given, item_features=given.T))
    model.predict_rank(given)
    assert content(given) == before and given.dtype == np.dtype(dtype)


def test_matrices_out_of_order_stay_so():
    """CSR with unsorted indices, duplicates, explicit zeros and unused room at its end."""
    indptr = np.array([0, 3, 3, 6], dtype=np.int32)
    indices = np.array([4, 1, 2, 3, 0, 3, 1, 1], dtype=np.int32)
    data = np.array([1, 0, 2, 1, 1, 3, 9, 9], dtype=np.float32)
    given = sp.csr_matrix((3, 5), dtype=np.float32)
    given.data, given.indices, given.indptr = data, indices, indptr
    freeze(given)
    before = content(given)

    model = LightFM(random_state=0).fit(given)
    LightFM().fit(sp.coo_matrix((3, 3)), user_features=given, item_features=given)
    model.predict_rank(given)
    model.predict_rank(given, given, check_intersections=False)
    with pytest.raises(ValueError, match="train_interactions"):
        model.predict_rank(given, given)
    auc_score(model, given)
    model.get_item_representations(given)
    assert content(given) == before
    assert given.data is data and given.indices is indices and given.indptr is indptr


def test_weights_and_ids_stay_as_they_were(interactions):
    weights = interactions.copy()
    ids = np.arange(10, dtype=np.int64)
    for matrix in (interactions, weights):
        freeze(matrix)
    ids.flags.writeable = False
    before = content(interactions), content(weights)
    model = LightFM().fit(interactions, sample_weight=weights)
    model.fit(interactions, sample_weight=interactions)
    model.predict(ids, ids)
    assert (content(interactions), content(weights)) == before


def test_dense_interactions(interactions):
    """A dense array stands for its entries other than zero."""
    dense = VALUES.astype(np.float64)
    model = LightFM(random_state=1).fit(dense)
    expected = LightFM(random_state=1).fit(sp.coo_matrix(dense))
    assert_equal_arrays(arrays_of(model), arrays_of(expected))


# Refusals and interrupts leave a usable model


def changed(matrix: sp.coo_matrix, value: float) -> sp.coo_matrix:
    matrix = matrix.copy()
    matrix.data[3] = value
    return matrix


REFUSED = {
    "NaN": lambda given, _: {"interactions": changed(given, np.nan)},
    "infinite weight": lambda given, _: {"sample_weight": changed(given, np.inf)},
    "NaN feature": lambda _, features: {
        "user_features": changed(features["user_features"].tocoo(), np.nan)
    },
    "text": lambda *_: {"interactions": "a matrix"},
    "few rows": lambda _, features: {"item_features": features["item_features"][:-1]},
    "weights of others": lambda given, _: {"sample_weight": sp.coo_matrix(given.T)},
    "no thread": lambda *_: {"num_threads": 0},
    "epochs": lambda *_: {"epochs": -1},
}


@pytest.mark.parametrize("method", ["fit", "fit_partial"])
@pytest.mark.parametrize("reason", REFUSED)
def test_refused_fit_changes_nothing(interactions, features, reason, method):
    """Neither in a fitted model nor in one that is not, its random stream included."""
    fitted = LightFM(random_state=1).fit(interactions, **features)
    for model in (fitted, LightFM(random_state=1)):
        held = {name: getattr(model, name) for name in ARRAYS}
        before = copy.deepcopy(model)
        arguments = {"interactions": interactions, **features}
        with pytest.raises(ValueError):
            getattr(model, method)(**{**arguments, **REFUSED[reason](interactions, features)})
        for name, array in held.items():
            assert getattr(model, name) is array
            np.testing.assert_array_equal(array, getattr(before, name))
        assert same_stream(model.random_state, before.random_state)
    with pytest.warns(UserWarning, match="user_features"):  # it still knows how it was fitted
        fitted.predict(0, [0], item_features=features["item_features"])


@pytest.mark.parametrize("method", ["fit", "fit_partial"])
@pytest.mark.parametrize("loss", LOSSES)
def test_divergence_changes_nothing(interactions, features, loss, method):
    fitted = LightFM(loss=loss, random_state=1).fit(interactions, **features)
    for model in (fitted, LightFM(loss=loss, random_state=1)):
        before = {name: copy.copy(getattr(model, name)) for name in ARRAYS}
        known = copy.copy(vars(model)["item_embeddings"])
        model.learning_rate = 1e39  # beyond float32
        with pytest.raises(ValueError, match=r"diverged in epoch \d+.*learning_rate=1e\+39"):
            getattr(model, method)(interactions, epochs=4, **features)
        for name, array in before.items():
            np.testing.assert_array_equal(getattr(model, name), array, err_msg=name)
        assert (model.item_embeddings is None) == (known is None)

        model.learning_rate = 0.05
        assert are_finite(model.fit_partial(interactions, **features))


@pytest.mark.parametrize("method", ["fit", "fit_partial"])
def test_interrupt_ends_soon_and_leaves_what_was_trained(method):
    """Far less time passes until the end than the epoch would have taken."""
    rng = np.random.default_rng(0)
    shape, n = (2000, 2000), 600_000
    entries = tuple(rng.integers(size, size=n, dtype=np.int32) for size in shape)
    interactions = sp.coo_matrix((np.ones(n, dtype=np.float32), entries), shape=shape)
    model = LightFM(no_components=256, loss="bpr", random_state=1).fit(interactions, epochs=0)
    asked, completed, times = [], [], []

    def interrupt() -> None:
        asked.append(time.perf_counter())
        _thread.interrupt_main()

    def clock(model: LightFM, record: dict[str, object]) -> None:
        completed.append(model.item_biases.copy())
        times.append(time.perf_counter())
        if len(times) == 2:  # in the middle of the third epoch
            threading.Timer((times[1] - times[0]) / 2, interrupt).start()

    # A test run in the background may have been told to ignore interrupts.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            getattr(model, method)(interactions, epochs=20, callbacks=[clock])
    finally:
        signal.signal(signal.SIGINT, handler)
    assert time.perf_counter() - asked[0] < 1.0

    assert len(model.history_) == len(completed)
    assert not np.array_equal(model.item_biases, completed[-1])
    assert are_finite(model)
    few = random_interactions(0, shape)
    assert np.isfinite(model.predict(few.row, few.col)).all()
    assert are_finite(model.fit_partial(few))


class Interrupted(np.random.RandomState):
    """Gets a keyboard interrupt in its second draw of initial values."""

    draws = 0

    def rand(self, *shape: int) -> np.ndarray:
        self.draws += 1
        if self.draws == 2:
            raise KeyboardInterrupt
        return super().rand(*shape)


def test_interrupt_while_initialising(interactions):
    """No half-made model: a fitted one stays as it was, a new one is still unfitted."""
    fitted = LightFM(random_state=1).fit(interactions)
    for model in (fitted, LightFM()):
        before = {name: getattr(model, name) for name in ARRAYS}
        for method in ("fit", "fit_partial"):
            if method == "fit_partial" and model is fitted:
                continue  # does not initialise
            model.random_state = Interrupted(0)
            with pytest.raises(KeyboardInterrupt):
                getattr(model, method)(interactions)
            assert all(getattr(model, name) is array for name, array in before.items())
        model.random_state = np.random.RandomState(0)
        assert are_finite(model.fit_partial(interactions))


def test_type_checkers_know_what_a_fit_learns():
    # State is set by name, so that nothing but the declarations tells them.
    assert set(LightFM.__annotations__) == {*ARRAYS, "history_", "global_mean_"}
