"""Numbers at the edges: parameters stay finite, or the model says why not."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import (
    ARRAYS,
    LOSSES,
    SCHEDULES,
    arrays_of,
    assert_equal_arrays,
    pairwise,
    random_features,
    random_interactions,
)

from lightfm_clone import LightFM

INTERACTIONS = random_interactions()
N_USERS, N_ITEMS = INTERACTIONS.shape
VALUES = ("user_embeddings", "user_biases", "item_embeddings", "item_biases")

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


# Whatever the loss and the schedule: the value at the edge meets each of them.
def at_each(*names_and_values: object) -> pytest.MarkDecorator:
    """Parametrise by pairs of loss, schedule and the axes given as name, values, name, values."""
    names, axes = names_and_values[::2], names_and_values[1::2]
    return pytest.mark.parametrize(("loss", "schedule", *names), pairwise(LOSSES, SCHEDULES, *axes))


def same_pattern(value: float, dtype: type = np.float32) -> sp.coo_matrix:
    """The entries of the interactions, all of that value."""
    values = np.full(INTERACTIONS.nnz, value, dtype)
    return sp.coo_matrix((values, (INTERACTIONS.row, INTERACTIONS.col)), INTERACTIONS.shape)


def finite_or_refused(model: LightFM, interactions: sp.coo_matrix, **options: object) -> bool:
    """Fit; whether the parameters stayed finite. A model that diverged is as it was."""
    shapes = {name: options[name] for name in ("user_features", "item_features") if name in options}
    model.fit(INTERACTIONS, epochs=0, **shapes)
    before = arrays_of(model)
    try:
        model.fit_partial(interactions, epochs=3, **options)
    except ValueError as error:
        assert "diverged" in str(error) and "learning_rate" in str(error)
        assert_equal_arrays(arrays_of(model), before)
        return False
    for name in VALUES:
        assert np.isfinite(getattr(model, name)).all(), name
    return True


@at_each(
    "rate", [0.0, 1e-45, 1e-30, 1.0, 1e3, 1e10, 1e30, 3.4e38, 1e39, 1e300, -0.05, -1e30, 1e-320]
)
def test_learning_rates_at_the_edges(loss, schedule, rate):
    model = LightFM(loss=loss, learning_schedule=schedule, learning_rate=rate, random_state=0)
    finite = finite_or_refused(model, INTERACTIONS)
    assert finite or abs(rate) >= 1


@at_each(
    *("alpha", [1e-320, 1e-45, 1e-10, 1.0, 1e3, 1e30, 1e39, 1e300]),
    *("sides", [("item",), ("user",), ("item", "user")]),
)
def test_alphas_at_the_edges(loss, schedule, alpha, sides):
    """A step that takes a penalty too far is no divergence by itself: most of these end at 0."""
    alphas = {f"{side}_alpha": alpha for side in sides}
    model = LightFM(loss=loss, learning_schedule=schedule, random_state=0, **alphas)
    finite = finite_or_refused(model, INTERACTIONS)
    assert finite or alpha >= 1
    # A negative rate turns the penalty around.
    model.set_params(learning_rate=-0.5)
    finite_or_refused(model, INTERACTIONS)


@pytest.mark.parametrize(
    ("loss", "rho", "epsilon"),
    pairwise(LOSSES, [1e-300, 1e-45, 0.5, 1 - 1e-9, 1 - 1e-16], [0.0, 1e-300, 1e-45, 1e10, 1e300]),
)
def test_adadelta_at_the_edges(loss, rho, epsilon):
    model = LightFM(
        loss=loss, learning_schedule="adadelta", rho=rho, epsilon=epsilon, random_state=0
    )
    finite_or_refused(model, INTERACTIONS)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("temperature", [1e-300, 1e-45, 1e-10, 1e10, 1e38, 1e300])
def test_temperatures_at_the_edges(schedule, temperature):
    model = LightFM(
        loss="softmax", learning_schedule=schedule, temperature=temperature, random_state=0
    )
    finite_or_refused(model, INTERACTIONS)


@at_each("weight", [0.0, 1e-45, 1e-38, -1.0, 1e10, 1e30, 3e38, -3e38])
def test_weights_at_the_edges(loss, schedule, weight):
    model = LightFM(loss=loss, learning_schedule=schedule, random_state=0)
    finite = finite_or_refused(model, INTERACTIONS, sample_weight=same_pattern(weight))
    assert finite or abs(weight) >= 1e10
    if weight == 0:
        untrained = LightFM(loss=loss, learning_schedule=schedule, random_state=0)
        untrained.fit(INTERACTIONS, epochs=0)
        np.testing.assert_array_equal(model.item_embeddings, untrained.item_embeddings)


@at_each("value", [0.0, 5e-324, 1e-45, -1.0, 1e10, 1e30, 3e38, -3e38])
def test_values_at_the_edges(loss, schedule, value):
    model = LightFM(loss=loss, learning_schedule=schedule, random_state=0)
    finite = finite_or_refused(model, same_pattern(value, np.float64))
    assert finite or loss == "mse"
    for beyond in (1e300, -1e39):
        if loss == "mse":
            with pytest.raises(ValueError, match="interactions must be finite"):
                model.fit(same_pattern(beyond, np.float64))
        else:  # the sign alone counts
            model.fit(same_pattern(beyond, np.float64))


@at_each("value", [0.0, 1e-45, 1e-20, 1.0, -1.0, 1e5, 1e10, 1e20, 3e38])
def test_constant_features(loss, schedule, value):
    """All users and items alike, by features of any size."""
    features = {
        "user_features": sp.csr_matrix(np.full((N_USERS, 3), value, np.float32)),
        "item_features": sp.csr_matrix(np.full((N_ITEMS, 2), value, np.float32)),
    }
    model = LightFM(loss=loss, learning_schedule=schedule, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        finite = finite_or_refused(model, INTERACTIONS, **features)
        assert finite or abs(value) >= 1e5
        if finite and abs(value) <= 1:
            scores = model.predict(0, np.arange(N_ITEMS), **features)
            np.testing.assert_array_equal(scores, scores[0])
            assert np.isfinite(scores).all()


@pytest.mark.parametrize("schedule", ["adagrad", "sgd"])
@pytest.mark.parametrize("loss", LOSSES)
def test_explicit_zeros_in_features_change_nothing(loss, schedule):
    """But that adadelta's averages fade a little, as with every gradient of 0."""
    plain = random_features(N_ITEMS, 4)
    padded = sp.csr_matrix(
        (
            np.append(plain.data, 0).astype(np.float32),
            np.append(plain.indices, 0),
            np.append(plain.indptr[:-1], plain.nnz + 1),
        ),
        plain.shape,
    )
    models = [
        LightFM(loss=loss, learning_schedule=schedule, random_state=0).fit(
            INTERACTIONS, item_features=features, epochs=3
        )
        for features in (plain, padded)
    ]
    for name in VALUES:
        left, right = (getattr(model, name) for model in models)
        np.testing.assert_allclose(left, right, rtol=1e-3, atol=1e-5)


# Assigned arrays

LAYOUTS = {
    "float64": lambda array: array.astype(np.float64),
    "float16": lambda array: array.astype(np.float16),
    "long double": lambda array: array.astype(np.longdouble),
    "Fortran order": np.asfortranarray,
    "foreign byte order": lambda array: array.astype(array.dtype.newbyteorder()),
    "strided": lambda array: np.repeat(array, 2, axis=0)[::2],
    "reversed": lambda array: array[::-1].copy()[::-1],
    "list": lambda array: array.tolist(),
    "integers": lambda array: np.rint(array).astype(np.int64),
}


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


LAYOUTS["read-only"] = read_only


@at_each("layout", LAYOUTS)
def test_assigned_layouts(loss, schedule, layout):
    """Training and prediction are those of the same numbers as plain arrays, left as they were."""
    model = LightFM(loss=loss, learning_schedule=schedule, random_state=0).fit(INTERACTIONS)
    plain = LightFM(loss=loss, learning_schedule=schedule, random_state=0).fit(INTERACTIONS)
    given = {name: LAYOUTS[layout](getattr(model, name)) for name in ARRAYS}
    before = {name: np.array(array) for name, array in given.items()}
    for name, array in given.items():
        setattr(model, name, array)
        setattr(plain, name, np.array(array, dtype=np.float32, order="C"))
    ids = np.arange(N_ITEMS)
    np.testing.assert_array_equal(model.predict(3, ids), plain.predict(3, ids))
    np.testing.assert_array_equal(model.recommend(None, 4)[0], plain.recommend(None, 4)[0])
    model.fit_partial(INTERACTIONS)
    plain.fit_partial(INTERACTIONS)
    assert_equal_arrays(arrays_of(model), arrays_of(plain))
    for name, array in given.items():
        if layout not in ("reversed",) and getattr(model, name) is not array:
            np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_assigned_values_that_are_not_finite(name, value):
    model = LightFM(random_state=0).fit(INTERACTIONS)
    array = getattr(model, name).astype(np.float64)
    array.flat[0] = value
    setattr(model, name, array)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of the cast to float32
        with pytest.raises(ValueError, match=f"{name} must be finite"):
            model.fit_partial(INTERACTIONS)
        with pytest.raises(ValueError, match="representations of some"):
            model.recommend(None, 3)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("scale", [1e-45, 1e-38, 1e-20, 1e19, 1e30, 3e38])
def test_assigned_values_of_any_size(loss, scale):
    """Whatever overflows is no crash: scores may be infinite, the order is one."""
    model = LightFM(loss=loss, random_state=0).fit(INTERACTIONS)
    rng = np.random.default_rng(0)
    for name in VALUES:
        shape = getattr(model, name).shape
        setattr(model, name, rng.choice([-scale, scale], shape).astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        ids, scores = model.recommend(None, N_ITEMS)
        assert all(sorted(row) == [*range(N_ITEMS)] for row in ids.tolist()) or scale >= 1e19
        ranks = model.predict_rank(INTERACTIONS).data
        assert ranks.min() >= 0 and ranks.max() < N_ITEMS
        model.predict(3, np.arange(N_ITEMS))
        ids, _ = model.similar_items(None, 3)
        assert ids.min() >= -1 and ids.max() < N_ITEMS
        try:
            model.fit_partial(INTERACTIONS)
        except ValueError as error:
            assert "diverged" in str(error)


# Denormals


def seconds(work: object) -> float:
    best = np.inf
    for _ in range(5):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def test_denormals_are_scored_right():
    model = LightFM(no_components=64).fit(INTERACTIONS, epochs=0)
    model.user_embeddings = np.full((N_USERS, 64), 1e-20, np.float32)
    model.item_embeddings = np.full((N_ITEMS, 64), 1e-20, np.float32)
    expected = 64 * np.float64(np.float32(1e-20)) ** 2
    scores = model.predict(0, np.arange(N_ITEMS))
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-44)


@pytest.mark.slow  # measures time
@pytest.mark.parametrize("what", ["training", "predict", "recommend"])
def test_denormals_are_not_slow(what):
    """Processors handle them in microcode: some would take a hundred times as long."""
    rng = np.random.default_rng(0)
    interactions = random_interactions(0, (400, 300), 12_000)

    def model_of(scale: float) -> LightFM:
        model = LightFM(no_components=64, loss="warp", random_state=0)
        model.fit(interactions, epochs=0)
        for name in ("user_embeddings", "item_embeddings"):
            shape = getattr(model, name).shape
            setattr(model, name, (rng.normal(size=shape) * scale).astype(np.float32))
        model.learning_rate = 0.0  # they shall stay as they are
        return model

    took = []
    for scale in (0.1, 1e-40):
        model = model_of(scale)
        work = {
            "training": lambda model=model: model.fit_partial(interactions),
            "predict": lambda model=model: model.predict(0, np.arange(300).repeat(200) % 300),
            "recommend": lambda model=model: model.recommend(None, 10),
        }[what]
        took.append(seconds(work))
    assert took[1] < 20 * took[0]


def after_gradients_of_one(squares: np.ndarray, *, hybrid: bool = False) -> np.ndarray:
    """What adagrad makes of items of zeros with these states where all gradients are -1 or 1: their
    local learning rates, lr / sqrt(G)."""
    n, components = squares.shape
    # Each item has the feature of its own number, and nobody's, which makes no identity matrix.
    wider = {"item_features": sp.identity(n + hybrid, format="csr", dtype="f4")[:n]}
    squares = np.vstack([squares, np.ones((int(hybrid), components), np.float32)])
    # Users are ones, ratings -1 and 1.
    signs = np.where(np.arange(n) % 2, 1, -1).astype(np.float32)
    ratings = sp.diags(signs).tocoo()
    model = LightFM(loss="mse", no_components=components, learning_rate=0.05, random_state=0)
    model.fit_partial(ratings, epochs=0, **wider)
    model.user_embeddings[:] = 1
    for zeros in (model.user_biases, model.item_biases, model.item_embeddings):
        zeros[:] = 0
    model.item_embedding_gradients[:] = squares
    model.fit_partial(ratings, epochs=1, **wider)
    return signs[:, None] * model.item_embeddings[:n]


@pytest.mark.parametrize("components", [10, 64])
def test_steps_of_adagrad_are_right_to_the_last_digits(level, components):
    rng = np.random.default_rng(0)
    # From one power of four to the next every inverse root is the same again, but for its exponent.
    exponents = np.concatenate([rng.uniform(-6, 9, 300), rng.uniform(-37, 38, 200)])
    squares = (10 ** (exponents[:, None] + rng.uniform(0, 0.5, (500, components)))).astype("f4")
    exact = 0.05 / np.sqrt(squares.astype(np.float64))
    hybrid = after_gradients_of_one(squares, hybrid=True)
    np.testing.assert_allclose(hybrid, exact, rtol=2.5e-7)
    plain = after_gradients_of_one(squares)  # by root and division, each rounded
    np.testing.assert_array_equal(plain, np.float32(0.05) / np.sqrt(squares))


@pytest.mark.parametrize("hybrid", [False, True])
def test_adagrad_hardly_moves_what_has_an_infinite_state(level, hybrid):
    squares = np.ones((500, 10), np.float32)
    squares[:, 3] = np.inf
    rates = after_gradients_of_one(squares, hybrid=hybrid)
    assert np.all(np.abs(rates[:, 3]) < 1e-20)
    np.testing.assert_allclose(np.delete(rates, 3, axis=1), 0.05, rtol=2.5e-7)


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("state", [np.nan, 0.0, -1.0])
def test_a_state_that_cannot_be_is_told(level, state, hybrid):
    squares = np.ones((500, 10), np.float32)
    squares[7, 3] = state
    with pytest.raises(ValueError, match="NaN or infinite"):
        after_gradients_of_one(squares, hybrid=hybrid)
