"""The NumPy twin itself: its formulas against derivatives, hand-worked steps and known answers.

The compiled kernels are held to the twin in test_twin.py; here the twin is held to the contract.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import scipy.sparse as sp
from reference import (
    SCHEDULES,
    AliasTable,
    Epoch,
    Larger,
    Rng,
    Settings,
    Side,
    State,
    Sums,
    apply,
    bpr,
    bpr_loss,
    cosine_score,
    epoch_order,
    fit,
    hinge_loss,
    initial_state,
    logistic,
    logistic_loss,
    mse,
    run_epoch,
    score,
    softmax_block,
    softmax_loss,
    squared_error,
    warp,
    warp_kos,
)
from scipy.stats import chisquare


def coo(entries: list[tuple[int, int, float]], shape: tuple[int, int]) -> sp.coo_matrix:
    rows, cols, values = zip(*entries, strict=True)
    return sp.coo_matrix((np.array(values, dtype=np.float32), (rows, cols)), shape=shape)


def random_interactions(
    seed: int, shape: tuple[int, int] = (12, 9), n_entries: int = 60
) -> sp.coo_matrix:
    rng = np.random.default_rng(seed)
    rows, cols = (rng.integers(n, size=n_entries) for n in shape)
    values = rng.choice([1.0, 5.0, 0.0, -1.0], size=n_entries, p=[0.5, 0.2, 0.1, 0.2])
    return sp.coo_matrix((values.astype(np.float32), (rows, cols)), shape=shape)


def random_state_of(settings: Settings, n_items: int, n_users: int, seed: int) -> State:
    """A state with nothing at its initial value, so that no term can vanish by accident."""
    rng = np.random.default_rng(seed)
    state = initial_state(settings, n_items, n_users, np.random.RandomState(seed))
    for side in (state.items, state.users):
        side.parameters[:] = rng.normal(scale=0.5, size=side.parameters.shape)
        side.gradients[:] = rng.uniform(0.5, 2.0, size=side.gradients.shape)
        side.momentum[:] = rng.uniform(0.1, 0.5, size=side.momentum.shape)
    return state


def position_of(entry: int, n_entries: int, seed: int) -> int:
    return int(np.flatnonzero(epoch_order(n_entries, seed) == entry)[0])


# The random stream and the order of the examples


@pytest.mark.parametrize(
    ("seed", "stream", "expected"),
    [
        (0, 0, [0x53FFFA7F4796CFBA, 0x27CD1F68B2B3FC72, 0x39D0492663ABB2DE]),
        (1, 0, [0x34FEAC89E062F711, 0x59D051459545285C, 0xC2D16AD6C2678A24]),
        (2**63 - 2, 7, [0x1DB1753FE8275027, 0x34CEA501B9A8F144, 0xFDC865F7D02197EC]),
        (123456789, 65536, [0x2AF323FFE3CC6DAC, 0x7556274D32979DC5, 0x8385DBCF87C3B3DF]),
    ],
)
def test_random_stream_known_answers(seed, stream, expected):
    """The numbers come from a few lines of C with 64-bit and 128-bit unsigned integers."""
    rng = Rng(seed, stream)
    assert [rng.next() for _ in expected] == expected
    rng = Rng(seed, stream)
    assert [rng.bounded(10) for _ in expected] == [value * 10 // 2**64 for value in expected]


def test_bounded_integers_are_uniform_across_streams_and_within_one():
    across = [Rng(42, stream).bounded(7) for stream in range(7000)]
    rng = Rng(42, 0)
    within = [rng.bounded(7) for _ in range(7000)]
    for draws in (across, within):
        assert chisquare(np.bincount(draws, minlength=7)).pvalue > 1e-3


@pytest.mark.parametrize("n_entries", [0, 1, 2, 300, 16384, 16385, 70000])
def test_order_is_a_permutation_and_differs_by_seed(n_entries):
    order = epoch_order(n_entries, seed=3)
    assert np.array_equal(np.sort(order), np.arange(n_entries))
    assert np.array_equal(order, epoch_order(n_entries, seed=3))
    if n_entries >= 300:
        assert not np.array_equal(order, epoch_order(n_entries, seed=4))


def test_every_order_of_few_entries_is_equally_likely():
    # Seeds drawn as the model draws them; the orders of neighbouring seeds are not independent.
    seeds = np.random.RandomState(0).randint(np.iinfo(np.int64).max, size=6000, dtype=np.int64)
    counts = Counter(tuple(epoch_order(4, int(seed)).tolist()) for seed in seeds)
    assert len(counts) == math.factorial(4)
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_order_of_many_entries_mixes_all_parts():
    """With several buckets and chunks, each fifth of the order draws on each fifth of the input."""
    n = 80_000
    order = epoch_order(n, seed=8)
    counts = np.histogram2d(np.arange(n), order, bins=5)[0]
    assert chisquare(counts.ravel()).pvalue > 1e-3
    assert abs(np.corrcoef(np.arange(n), order)[0, 1]) < 0.02


# The state


@pytest.mark.parametrize(
    ("schedule", "accumulated"), [("adagrad", 1.0), ("adadelta", 0.0), ("sgd", 0.0)]
)
@pytest.mark.parametrize("loss", ["warp", "softmax"])
def test_initial_state(loss, schedule, accumulated):
    settings = Settings(no_components=4, learning_schedule=schedule, loss=loss)
    draws, expected = np.random.RandomState(5), np.random.RandomState(5)
    arrays = initial_state(settings, 3, 2, draws).arrays()
    for side, n_features in (("item", 3), ("user", 2)):
        if loss == "softmax":
            embeddings = expected.normal(0.0, 0.1, size=(n_features, 4)).astype(np.float32)
        else:
            embeddings = ((expected.rand(n_features, 4) - 0.5) / 4).astype(np.float32)
        np.testing.assert_array_equal(arrays[f"{side}_embeddings"], embeddings)
        np.testing.assert_array_equal(arrays[f"{side}_biases"], np.zeros(n_features))
        for kind, shape in (("embedding", (n_features, 4)), ("bias", (n_features,))):
            gradients, momentum = (
                arrays[f"{side}_{kind}_{name}"] for name in ("gradients", "momentum")
            )
            np.testing.assert_array_equal(gradients, np.full(shape, accumulated))
            np.testing.assert_array_equal(momentum, np.zeros(shape))
    assert draws.randint(2**31) == expected.randint(2**31), "more was drawn than the embeddings"
    assert len(arrays) == 12


def test_score_is_the_sum_of_features():
    state = random_state_of(Settings(no_components=3), n_items=2, n_users=3, seed=0)
    user_features = sp.csr_matrix([[1.0, 0.0, 2.0]])
    item_features = sp.csr_matrix([[0.5, -1.0]])
    epoch = Epoch(state, coo([(0, 0, 1)], (1, 1)), user_features, item_features, None)
    arrays = state.arrays()
    q = arrays["user_embeddings"][0] + 2 * arrays["user_embeddings"][2]
    p = 0.5 * arrays["item_embeddings"][0] - arrays["item_embeddings"][1]
    biases = (
        arrays["user_biases"][0]
        + 2 * arrays["user_biases"][2]
        + 0.5 * arrays["item_biases"][0]
        - arrays["item_biases"][1]
    )
    assert epoch.score(0, 0) == pytest.approx(q @ p + biases)


def test_epochs_leave_what_they_are_given_alone():
    interactions = random_interactions(0)
    weights = interactions.copy()
    settings = Settings(no_components=3, loss="warp", item_alpha=0.1, user_alpha=0.1)
    state = random_state_of(settings, n_items=9, n_users=12, seed=1)
    before = {name: array.copy() for name, array in state.arrays().items()}
    data = interactions.data.copy()
    run_epoch(state, interactions, None, None, weights, seed=2)
    for name, array in state.arrays().items():
        np.testing.assert_array_equal(array, before[name])
    np.testing.assert_array_equal(interactions.data, data)


# The schedules, worked out by hand


def one_vector(parameter: float, accumulated: float, momentum: float) -> Side:
    return Side(*(np.array([[value]]) for value in (parameter, accumulated, momentum)))


def test_adagrad_step():
    side = one_vector(0.5, 4.0, 0.0)
    rate = SCHEDULES["adagrad"](side, 0, np.array([3.0]), Settings(learning_rate=0.1))
    assert rate[0] == pytest.approx(0.05)  # 0.1 / sqrt(4)
    assert side.parameters[0, 0] == pytest.approx(0.35)  # 0.5 - 0.05 * 3
    assert side.gradients[0, 0] == pytest.approx(13.0)  # 4 + 9
    assert side.momentum[0, 0] == 0.0


def test_adadelta_step():
    side = one_vector(0.5, 0.5, 0.03)
    settings = Settings(learning_rate=1e9, rho=0.9, epsilon=0.01)  # the learning rate is ignored
    rate = SCHEDULES["adadelta"](side, 0, np.array([2.0]), settings)
    assert side.gradients[0, 0] == pytest.approx(0.85)  # 0.9 * 0.5 + 0.1 * 4
    assert rate[0] == pytest.approx(math.sqrt(0.04 / 0.86))
    assert side.parameters[0, 0] == pytest.approx(0.5 - 2 * math.sqrt(0.04 / 0.86))
    # 0.9 * 0.03 + 0.1 * 4 * 0.04 / 0.86
    assert side.momentum[0, 0] == pytest.approx(0.027 + 0.016 / 0.86)


def test_sgd_step():
    side = one_vector(0.5, 4.0, 7.0)
    rate = SCHEDULES["sgd"](side, 0, np.array([3.0]), Settings(learning_rate=0.1))
    assert rate.tolist() == [0.1]
    assert side.parameters[0, 0] == pytest.approx(0.2)  # 0.5 - 0.1 * 3
    assert (side.gradients[0, 0], side.momentum[0, 0]) == (4.0, 7.0)


def test_learning_rate_of_sgd_falls_over_the_epochs_by_chunks():
    """Pairs of a user and an item that no other entry touches each show the rate of their step."""
    n = 1100
    interactions = coo([(i, i, 1.0) for i in range(n)], (n, n))
    settings = Settings(no_components=1, learning_schedule="sgd", learning_rate=0.8)
    state = initial_state(settings, n, n, np.random.RandomState(0))
    state.items.parameters[:] = state.users.parameters[:] = 0.0  # every bias has the gradient -1/2
    after = run_epoch(state, interactions, None, None, None, seed=3, span=(0.25, 0.5))
    rates = 2 * after.items.parameters[epoch_order(n, seed=3), 1]
    expected = [0.8 * (0.75 - 0.25 * (i // 512 * 512) / n) for i in range(n)]
    np.testing.assert_allclose(rates, expected)


# The gradients


def numeric_gradient(loss, state: State, epsilon: float = 1e-5) -> list[np.ndarray]:
    """Central differences of a function of no argument by all raw parameters of both sides."""
    gradients = []
    for side in (state.items, state.users):
        gradient = np.zeros_like(side.parameters)
        for index in np.ndindex(gradient.shape):
            original = side.parameters[index]
            side.parameters[index] = original + epsilon
            above = loss()
            side.parameters[index] = original - epsilon
            below = loss()
            side.parameters[index] = original
            gradient[index] = (above - below) / (2 * epsilon)
        gradients.append(gradient)
    return gradients


def applied_gradient(before: State, after: State) -> list[np.ndarray]:
    return [
        before.items.parameters - after.items.parameters,
        before.users.parameters - after.users.parameters,
    ]


def unit_steps(loss: str, **settings) -> Settings:
    """lr / sqrt(G) is one with the G below, and stays one: steps are plain gradients."""
    return Settings(no_components=3, loss=loss, learning_rate=1e8, **settings)


def with_unit_steps(settings: Settings, n_items: int, n_users: int, seed: int) -> State:
    state = random_state_of(settings, n_items, n_users, seed)
    state.items.gradients[:] = state.users.gradients[:] = 1e16
    return state


def dense_features(hybrid: bool, n_rows: int, n_features: int, seed: int) -> sp.csr_matrix | None:
    if not hybrid:
        return None
    values = np.random.default_rng(seed).uniform(-1.0, 1.0, size=(n_rows, n_features))
    return sp.csr_matrix(values)


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("value", [3.0, 0.0, -1.0])
@pytest.mark.parametrize("weight", [1.0, 2.5])
def test_logistic_applies_the_gradient_of_the_log_loss(hybrid, value, weight):
    interactions = coo([(1, 2, value)], (2, 3))
    user_features, item_features = (dense_features(hybrid, n, 4, seed=n) for n in (2, 3))
    n_users, n_items = (4, 4) if hybrid else (2, 3)
    state = with_unit_steps(unit_steps("logistic"), n_items, n_users, seed=6)
    weights = coo([(1, 2, weight)], (2, 3))
    after = run_epoch(state, interactions, user_features, item_features, weights, seed=1)

    epoch = Epoch(state, interactions, user_features, item_features, None)
    expected = numeric_gradient(
        lambda: logistic_loss(epoch.user_vector(1), epoch.item_vector(2), int(value > 0), weight),
        state,
    )
    for applied, numeric in zip(applied_gradient(state, after), expected, strict=True):
        np.testing.assert_allclose(applied, numeric, rtol=1e-6, atol=1e-7)
        assert np.any(numeric != 0)


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("value", [3.0, 0.0, -1.0])
@pytest.mark.parametrize("weight", [1.0, 2.5])
def test_mse_applies_the_gradient_of_the_squared_error(hybrid, value, weight):
    interactions = coo([(1, 2, value)], (2, 3))
    user_features, item_features = (dense_features(hybrid, n, 4, seed=n) for n in (2, 3))
    n_users, n_items = (4, 4) if hybrid else (2, 3)
    state = with_unit_steps(unit_steps("mse"), n_items, n_users, seed=6)
    state.global_mean = 1.75
    weights = coo([(1, 2, weight)], (2, 3))
    after = run_epoch(state, interactions, user_features, item_features, weights, seed=1)

    epoch = Epoch(state, interactions, user_features, item_features, None)

    def error() -> float:
        return squared_error(epoch.user_vector(1), epoch.item_vector(2), value, 1.75, weight)

    for applied, numeric in zip(
        applied_gradient(state, after), numeric_gradient(error, state), strict=True
    ):
        np.testing.assert_allclose(applied, numeric, rtol=1e-6, atol=1e-6)
        assert np.any(numeric != 0)
    (sums,) = after.epochs
    assert (sums.loss, sums.examples) == (pytest.approx(error()), 1)
    assert error() == pytest.approx(weight / 2 * (epoch.score(1, 2) + 1.75 - value) ** 2)


def test_global_mean_is_the_weighted_mean_of_the_values():
    interactions = coo([(0, 0, 5.0), (0, 1, 2.0), (1, 0, -1.0)], (2, 2))
    weights = coo([(0, 0, 1.0), (0, 1, 2.0), (1, 0, 5.0)], (2, 2))
    settings = Settings(no_components=2, loss="mse")
    assert fit(settings, interactions).global_mean == 2.0
    assert fit(settings, interactions, sample_weight=weights).global_mean == 0.5
    assert fit(Settings(no_components=2), interactions).global_mean == 0.0


def pair_of_items(loss: str, hybrid: bool, seed: int, weight: float = 1.0):
    """One example of a pairwise loss whose negative can only be the last of twelve items.

    The user knows all the others, but only through entries that are no examples (for k-OS WARP,
    through a single known item), and another user's negative entries make the last item drawable.
    """
    n_items = 12
    if loss == "warp-kos":
        interactions = coo([(1, 2, 1.0)], (2, n_items))
        entry = 0
    else:
        values = [(1, item, 4.0 if item == 2 else -1.0) for item in range(n_items - 1)]
        interactions = coo([*values, *[(0, n_items - 1, -1.0)] * 40], (2, n_items))
        entry = 2
    user_features, item_features = (dense_features(hybrid, n, 5, seed=n) for n in (2, n_items))
    n_user_features, n_item_features = (5, 5) if hybrid else (2, n_items)
    settings = unit_steps(loss, max_sampled=1000)
    state = with_unit_steps(settings, n_item_features, n_user_features, seed=seed)
    # No violation is missed for being too far away.
    state.items.parameters *= 0.1
    state.users.parameters *= 0.1
    weights = interactions.copy()
    weights.data = np.full_like(weights.data, weight)
    return interactions, user_features, item_features, state, weights, entry


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("loss", "weight"),
    [(loss, weight) for loss in ("bpr", "warp", "warp-kos") for weight in (1.0, 2.5)]
    + [("warp", 9.0), ("warp-kos", 9.0)],
)
def test_pairwise_losses_apply_the_gradient_of_their_loss(loss, weight, hybrid, seed):
    """... but for the user's bias, which moves by +g although the loss does not depend on it."""
    interactions, user_features, item_features, state, weights, entry = pair_of_items(
        loss, hybrid, seed, weight
    )
    after = run_epoch(state, interactions, user_features, item_features, weights, seed=seed)
    epoch = Epoch(state, interactions, user_features, item_features, None)
    user, positive, n_items = 1, 2, len(epoch.candidates)

    # Replay the draws of the one example.
    rng = Rng(seed, position_of(entry, len(interactions.data), seed))
    if loss == "bpr":
        negative = n_items - 1
        difference = epoch.score(user, negative) - epoch.score(user, positive)
        g = weight / (1 + math.exp(-difference))
    else:
        if loss == "warp-kos":
            rng.bounded(1)
        tries = 1
        while (negative := rng.bounded(n_items)) in epoch.known[user]:
            tries += 1
        g = min(10.0, weight * math.log(max(1, 11 // tries)))

    def value() -> float:
        vectors = epoch.user_vector(user), epoch.item_vector(positive), epoch.item_vector(negative)
        return bpr_loss(*vectors, weight) if loss == "bpr" else hinge_loss(*vectors, g)

    numeric_items, numeric_users = numeric_gradient(value, state)
    applied_items, applied_users = applied_gradient(state, after)
    tolerance = {"rtol": 1e-6, "atol": 1e-6}
    np.testing.assert_allclose(applied_items, numeric_items, **tolerance)
    np.testing.assert_allclose(applied_users[:, :-1], numeric_users[:, :-1], **tolerance)
    np.testing.assert_allclose(numeric_users[:, -1], 0.0, atol=1e-7)
    values = np.eye(2)[user] if user_features is None else user_features.toarray()[user]
    np.testing.assert_allclose(applied_users[:, -1], g * values, **tolerance)
    # What the epoch reports is the value of the function that was descended.
    (sums,) = after.epochs
    assert (sums.loss, sums.examples) == (pytest.approx(value()), 1)
    if loss != "bpr":
        assert (sums.violations, sums.tries) == (1, tries)


def test_item_gradients_come_from_the_vectors_before_the_step():
    """All of a pair's gradients: neither the items nor the user see each other's new values."""
    interactions, _, _, state, _, _ = pair_of_items("bpr", hybrid=False, seed=3)
    after = run_epoch(state, interactions, None, None, None, seed=3)
    (positive, negative), user = state.items.parameters[[2, 11]], state.users.parameters[1]
    g = 1 / (1 + math.exp(score(user, positive) - score(user, negative)))
    applied_items, applied_users = applied_gradient(state, after)
    np.testing.assert_allclose(applied_items[2], -g * np.append(user[:-1], 1.0), rtol=1e-6)
    np.testing.assert_allclose(applied_items[11], g * np.append(user[:-1], 1.0), rtol=1e-6)
    np.testing.assert_allclose(
        applied_users[1], g * np.append((negative - positive)[:-1], 1.0), rtol=1e-6
    )


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_a_feature_of_both_items_takes_two_steps(alpha):
    """First as the positive's, then as the negative's, with the accumulator of the first step."""
    item_features = sp.csr_matrix([[1.0, 0.0, 2.0], [0.0, 1.0, 3.0]])
    settings = Settings(no_components=1, loss="bpr", learning_rate=0.1, item_alpha=alpha)
    interactions = coo([(0, 0, 1.0), *[(1, 1, -1.0)] * 40], (2, 2))
    state = initial_state(settings, 3, 2, np.random.RandomState(0))
    state.items.parameters[:] = [[0.1, 0.0], [0.2, 0.0], [0.3, 0.0]]
    state.users.parameters[:] = [[0.5, 0.0], [0.7, 0.0]]
    after = run_epoch(state, interactions, None, item_features, None, seed=0)

    # s_pos = 0.5 * (0.1 + 0.6), s_neg = 0.5 * (0.2 + 0.9)
    g = 1 / (1 + math.exp(0.35 - 0.55))
    x, accumulated, rates = 0.3, 1.0, []
    for gradient in (-g * 0.5 * 2.0, g * 0.5 * 3.0):
        rates.append(0.1 / math.sqrt(accumulated))
        x = (x - rates[-1] * gradient) * (1 + alpha * rates[-1])
        accumulated += gradient**2
    bias_gradients = [-g * 2.0, g * 3.0]
    bias_rates = [0.1, 0.1 / math.sqrt(1 + bias_gradients[0] ** 2)]
    # Features 0 and 1 and the user, embedding and bias, all start at the rate 0.1.
    mean_rate = np.mean([*rates, *bias_rates, *[0.1] * 6])
    assert after.items.gradients[2, 0] == pytest.approx(accumulated)
    assert after.items.gradients[2, 1] == pytest.approx(1 + 13 * g**2)
    assert after.items.parameters[2, 0] == pytest.approx(x / (1 + alpha * mean_rate))


def softmax_case(hybrid: bool, weighted: bool, n_negatives: int, seed: int):
    """Two items more than the interactions have, and a user (1) who knows all that they have."""
    n_users, n_items = 4, 7
    entries = [(0, 0, 1.0), (2, 3, 2.0), (0, 2, -1.0), (3, 3, 1.0), (2, 3, 1.0), (3, 1, 1.0)]
    interactions = coo([*entries, *[(1, item, 1.0) for item in range(5)]], (n_users, 5))
    features = [
        dense_features(hybrid, n_users, 3, seed=1),
        dense_features(hybrid, n_items, 4, seed=2)
        if hybrid
        else sp.identity(n_items, format="csr"),
    ]
    weights = None
    if weighted:
        weights = interactions.copy()
        weights.data = np.random.default_rng(seed).uniform(0.5, 2, len(weights.data))
    settings = Settings(
        no_components=3,
        loss="softmax",
        learning_schedule="sgd",
        learning_rate=1.0,
        temperature=0.3,
        n_negatives=n_negatives,
    )
    state = random_state_of(settings, *((4, 3) if hybrid else (n_items, n_users)), seed=seed)
    return interactions, features, weights, state


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("n_negatives", [1, 2, 5, 20])
@pytest.mark.parametrize("seed", range(3))
def test_softmax_applies_the_gradient_of_its_loss(n_negatives, hybrid, weighted, seed):
    """All examples of a block at once; of the biases, a hundredth for items, none for users."""
    interactions, features, weights, state = softmax_case(hybrid, weighted, n_negatives, seed)
    after = run_epoch(state, interactions, *features, weights, seed=seed)
    epoch = Epoch(state, interactions, *features, weights)
    rng = Rng(seed, 0)
    drawn = [rng.bounded(7) for _ in range(n_negatives)]
    examples = []
    for entry in np.flatnonzero(interactions.data > 0):
        unknown = [item for item in drawn if item not in epoch.known[interactions.row[entry]]]
        if unknown:
            examples.append((entry, unknown))

    def loss() -> float:
        total = 0.0
        for entry, unknown in examples:
            s = [cosine_score(epoch.user_vector(interactions.row[entry]), epoch.item_vector(item))
                 for item in (interactions.col[entry], *unknown)]  # fmt: skip
            z = math.exp(s[0] / 0.3) + 7 / n_negatives * sum(math.exp(x / 0.3) for x in s[1:])
            total += epoch.weight[entry] * (-s[0] / 0.3 + math.log(z))
        return total

    numeric_items, numeric_users = numeric_gradient(loss, state)
    applied_items, applied_users = applied_gradient(state, after)
    numeric_items[:, -1] *= 0.01
    tolerance = {"rtol": 1e-6, "atol": 1e-7}
    np.testing.assert_allclose(applied_items, numeric_items, **tolerance)
    np.testing.assert_allclose(applied_users, numeric_users, **tolerance)
    assert (applied_users[:, -1] == 0).all()
    (sums,) = after.epochs
    assert (sums.loss, sums.examples) == (pytest.approx(loss()), len(examples))
    assert bool(examples) == bool(np.any(applied_items))


def test_softmax_loss_is_that_of_the_formula():
    rng = np.random.default_rng(0)
    user, positive, *negatives = rng.normal(size=(5, 4))
    s = [cosine_score(user, item) for item in (positive, *negatives)]
    assert s[1] == pytest.approx(
        user[:3] @ negatives[0][:3] / np.linalg.norm(user[:3]) / np.linalg.norm(negatives[0][:3])
        + negatives[0][3]
    )
    z = math.exp(s[0] / 0.5) + 10 * sum(math.exp(x / 0.5) for x in s[1:])
    value = softmax_loss(user, positive, negatives, share=10.0, temperature=0.5, weight=3.0)
    assert value == pytest.approx(3 * (math.log(z) - s[0] / 0.5))
    assert softmax_loss(user, positive, [], share=10.0, temperature=0.5) == 0.0


def test_softmax_gradients_come_from_before_the_block():
    """And where rates depend on gradients: first the negatives in turn, then item and user."""
    interactions, features, _, state = softmax_case(
        hybrid=True, weighted=False, n_negatives=6, seed=1
    )
    state.settings.learning_schedule, state.settings.learning_rate = "adagrad", 0.1
    epoch = Epoch(state, interactions, *features, None)
    before = state.items.gradients.copy()
    softmax_block(epoch, epoch_order(epoch.n_entries, 1), Rng(1, 0))
    # Each of six negatives, and each of the examples, was a step of its own for every feature.
    assert (state.items.gradients > before).all()

    state.settings.learning_schedule, state.settings.learning_rate = "sgd", 1e-6
    gradients = []
    for _ in range(2):  # so small a step that a second one has the same gradients
        old = state.items.parameters.copy()
        softmax_block(epoch, epoch_order(epoch.n_entries, 1), Rng(1, 0))
        gradients.append((old - state.items.parameters) / 1e-6)
    np.testing.assert_allclose(*gradients, rtol=1e-3, atol=1e-4)


def test_softmax_skips_examples_whose_negatives_are_all_known():
    interactions = coo([(0, item, 1.0) for item in range(6)], (2, 6))
    settings = Settings(no_components=2, loss="softmax", learning_schedule="sgd", item_alpha=1.0)
    state = random_state_of(settings, n_items=6, n_users=2, seed=0)
    after = run_epoch(state, interactions, None, None, None, seed=0)
    assert after.epochs[0] == Sums()
    for name, array in after.arrays().items():
        np.testing.assert_array_equal(array, state.arrays()[name])


def test_softmax_leaves_a_length_of_zero_alone():
    interactions = coo([(0, 0, 1.0), (1, 1, 1.0)], (2, 3))
    settings = Settings(no_components=2, loss="softmax", learning_schedule="sgd")
    state = random_state_of(settings, n_items=3, n_users=2, seed=0)
    state.users.parameters[0] = 0.0
    after = run_epoch(state, interactions, None, None, None, seed=0)
    assert (after.users.parameters[0] == 0).all() and np.isfinite(after.items.parameters).all()
    assert (after.users.parameters[1, :2] != state.users.parameters[1, :2]).all()
    assert (after.items.parameters[:, 2] != state.items.parameters[:, 2]).all()


# L2


def test_l2_law_of_a_softmax_block():
    """Scales grow once for each example, by the rates of its item and its user alone."""
    interactions = coo([(0, 0, 1.0), (1, 1, 1.0)], (3, 5))
    settings = Settings(
        no_components=2,
        loss="softmax",
        learning_schedule="sgd",
        learning_rate=0.1,
        n_negatives=4,
        item_alpha=2.0,
        user_alpha=3.0,
    )
    state = random_state_of(settings, n_items=5, n_users=3, seed=0)
    after = run_epoch(state, interactions, None, None, None, seed=1)
    settings.item_alpha = settings.user_alpha = 0.0
    plain = run_epoch(state, interactions, None, None, None, seed=1)
    rng = Rng(1, 0)
    drawn = np.bincount([rng.bounded(5) for _ in range(4)], minlength=5)
    steps = drawn + [1, 1, 0, 0, 0]
    # A negative of no example is not stepped; here each is unknown to one of the users at least.
    untouched = steps == 0
    assert untouched.any() and (steps > 1).any()
    scale = (1 + 2.0 * 0.1) ** 2
    np.testing.assert_allclose(
        after.items.parameters[untouched], state.items.parameters[untouched] / scale
    )
    once = steps == 1
    np.testing.assert_allclose(
        after.items.parameters[once], plain.items.parameters[once] * 1.2 / scale
    )
    np.testing.assert_allclose(after.users.parameters[2], state.users.parameters[2] / 1.3**2)
    np.testing.assert_allclose(after.users.parameters[:2], plain.users.parameters[:2] / 1.3)


def logistic_pair(item_alpha: float, user_alpha: float) -> State:
    settings = Settings(
        no_components=1, learning_rate=0.1, item_alpha=item_alpha, user_alpha=user_alpha
    )
    state = initial_state(settings, 2, 2, np.random.RandomState(0))
    state.items.parameters[:] = [[0.2, 0.1], [0.4, -0.3]]
    state.users.parameters[:] = [[0.5, -0.2], [0.6, 0.7]]
    return state


def test_l2_law_of_one_step():
    """Touched parameters grow by their own rate, everything decays by the mean rate."""
    state = logistic_pair(item_alpha=2.0, user_alpha=3.0)
    state.items.gradients[0] = [4.0, 1.0]
    state.users.gradients[0] = [16.0, 25.0]
    after = run_epoch(state, coo([(0, 0, 1.0)], (2, 2)), None, None, None, seed=0)

    g = 1 / (1 + math.exp(-(0.5 * 0.2 + 0.1 - 0.2))) - 1
    mean_rate = (0.05 + 0.1 + 0.025 + 0.02) / 4
    items_scale, users_scale = 1 + 2.0 * mean_rate, 1 + 3.0 * mean_rate
    np.testing.assert_allclose(
        after.items.parameters[0],
        [
            (0.2 - 0.05 * g * 0.5) * (1 + 2.0 * 0.05) / items_scale,
            (0.1 - 0.1 * g) * (1 + 2.0 * 0.1) / items_scale,
        ],
    )
    np.testing.assert_allclose(
        after.users.parameters[0],
        [
            (0.5 - 0.025 * g * 0.2) * (1 + 3.0 * 0.025) / users_scale,
            (-0.2 - 0.02 * g) * (1 + 3.0 * 0.02) / users_scale,
        ],
    )
    np.testing.assert_allclose(after.items.parameters[1], np.array([0.4, -0.3]) / items_scale)
    np.testing.assert_allclose(after.users.parameters[1], np.array([0.6, 0.7]) / users_scale)
    np.testing.assert_array_equal(after.items.gradients[1], [1.0, 1.0])


def test_l2_law_of_an_adadelta_step():
    """The local learning rate is that of the step: the new G, the old M."""
    state = logistic_pair(item_alpha=2.0, user_alpha=0.0)
    state.settings.learning_schedule = "adadelta"
    state.items.gradients[:] = state.users.gradients[:] = 0.5
    state.items.momentum[:] = state.users.momentum[:] = 0.03
    after = run_epoch(state, coo([(0, 0, 1.0)], (2, 2)), None, None, None, seed=0)

    def rate(gradient: float) -> float:
        return math.sqrt((0.03 + 1e-6) / (0.95 * 0.5 + 0.05 * gradient**2 + 1e-6))

    g = 1 / (1 + math.exp(-(0.5 * 0.2 + 0.1 - 0.2))) - 1
    scale = 1 + 2.0 * (rate(0.5 * g) + rate(0.2 * g) + 2 * rate(g)) / 4
    bias = (0.1 - rate(g) * g) * (1 + 2.0 * rate(g)) / scale
    assert after.items.parameters[0, 1] == pytest.approx(bias)
    assert after.items.parameters[1, 0] == pytest.approx(0.4 / scale)
    assert after.users.parameters[1, 0] == 0.6


def test_later_examples_see_scaled_vectors_and_step_raw_parameters():
    state = logistic_pair(item_alpha=2.0, user_alpha=3.0)
    interactions = coo([(0, 0, 1.0), (1, 1, 1.0)], (2, 2))
    first, second = epoch_order(2, seed=0)
    after = run_epoch(state, interactions, None, None, None, seed=0)

    # The second example touches nothing that the first has touched; all rates are 0.1.
    user, item = state.users.parameters[second], state.items.parameters[second]
    items_scale, users_scale = 1.2, 1.3
    g = 1 / (1 + math.exp(-score(users_scale * user, items_scale * item))) - 1
    bias = (item[1] - 0.1 * g) * 1.2 / 1.2**2
    embedding = (user[0] - 0.1 * g * items_scale * item[0]) * 1.3 / 1.3**2
    assert after.items.parameters[second, 1] == pytest.approx(bias)
    assert after.users.parameters[second, 0] == pytest.approx(embedding)
    assert first != second


@pytest.mark.parametrize(("item_alpha", "user_alpha"), [(2e7, 3.0), (3.0, 2e7)])
def test_both_scales_return_to_one_when_either_passes_a_million(item_alpha, user_alpha):
    state = logistic_pair(item_alpha, user_alpha)
    interactions = coo([(0, 0, 1.0), (1, 1, 1.0)], (2, 2))
    second = epoch_order(2, seed=0)[1]
    after = run_epoch(state, interactions, None, None, None, seed=0)

    # All rates are 0.1. The second example meets its own parameters, decayed but not scaled.
    items_scale, users_scale = 1 + 0.1 * item_alpha, 1 + 0.1 * user_alpha
    item = state.items.parameters[second] / items_scale
    user = state.users.parameters[second] / users_scale
    g = 1 / (1 + math.exp(-score(user, item))) - 1
    assert after.items.parameters[second, 1] == pytest.approx(item[1] - 0.1 * g)
    assert after.users.parameters[second, 0] == pytest.approx(user[0] - 0.1 * g * item[0])


@pytest.mark.parametrize("loss", ["bpr", "warp", "warp-kos"])
def test_examples_without_update_decay_nothing(loss):
    """The user knows every item: no negative, no step, no decay."""
    settings = Settings(no_components=2, loss=loss, item_alpha=1.0, user_alpha=1.0)
    state = random_state_of(settings, n_items=3, n_users=2, seed=0)
    after = run_epoch(state, coo([(0, i, 1.0) for i in range(3)], (2, 3)), None, None, None, 0)
    for name, array in after.arrays().items():
        np.testing.assert_array_equal(array, state.arrays()[name])


def test_a_step_of_weight_zero_still_decays():
    """WARP with two items: ln(1) = 0, so nothing is learned, but the example counts for L2."""
    settings = Settings(
        no_components=1, loss="warp", learning_rate=0.1, item_alpha=2.0, max_sampled=1000
    )
    state = initial_state(settings, 2, 2, np.random.RandomState(0))
    state.items.parameters[:] = [[0.2, 0.1], [0.4, -0.3]]
    after = run_epoch(state, coo([(0, 0, 1.0)], (2, 2)), None, None, None, seed=0)
    # Both items are touched, each by its own rate of 0.1, which is the mean.
    np.testing.assert_allclose(after.items.parameters, state.items.parameters)
    state.items.gradients[0, 0] = 4.0
    after = run_epoch(state, coo([(0, 0, 1.0)], (2, 2)), None, None, None, seed=0)
    scale = 1 + 2.0 * (5 * 0.1 + 0.05) / 6
    assert after.items.parameters[0, 0] == pytest.approx(0.2 * 1.1 / scale)
    assert after.items.parameters[1, 0] == pytest.approx(0.4 * 1.2 / scale)


# Sampling


def test_known_items_are_never_negatives():
    interactions = random_interactions(4)
    for loss in (bpr, warp, warp_kos):
        state = random_state_of(Settings(no_components=2), n_items=9, n_users=12, seed=2)
        epoch = Epoch(state, interactions, None, None, None)
        drawn = 0
        for entry in range(epoch.n_entries):
            for stream in range(5):
                update = loss(epoch, entry, Rng(11, stream))
                if update:
                    (positive, below), (negative, above) = update
                    assert positive in epoch.known[epoch.user_of[entry]]
                    assert negative not in epoch.known[epoch.user_of[entry]]
                    assert below == -above <= 0
                    drawn += 1
                    if loss is not warp_kos:
                        assert positive == epoch.item_of[entry]
                        assert interactions.data[entry] > 0
        assert drawn > 100


def test_negatives_among_the_seen():
    """Items 0, 3 and 4 alone have entries, and each is drawn as often."""
    interactions = coo([(0, 0, 1.0), (1, 3, -1.0), (2, 4, 0.0)], (3, 6))
    state = random_state_of(Settings(negatives="seen"), n_items=6, n_users=3, seed=0)
    epoch = Epoch(state, interactions, None, None, None)
    assert epoch.candidates.tolist() == [0, 3, 4]
    drawn = [epoch.draw_candidate(Rng(5, stream)) for stream in range(3000)]
    np.testing.assert_allclose(np.bincount(drawn, minlength=6)[[0, 3, 4]], 1000, atol=100)
    # The rank of a violation is estimated among them.
    (_, below), (negative, above) = warp(epoch, 0, Rng(5, 0))
    assert negative in (3, 4) and below == -above and above in (np.log(2), 0.0)


def test_bpr_draws_negatives_by_popularity():
    """Items 1, 2 and 3 occur once, twice and four times, the values of the entries aside."""
    entries = [(0, 0, 1.0), (1, 1, 1.0), *[(1, 2, -1.0)] * 2, *[(2, 3, 0.0)] * 4]
    epoch = Epoch(
        random_state_of(Settings(no_components=2), n_items=5, n_users=3, seed=0),
        coo(entries, (3, 5)),
        None,
        None,
        None,
    )
    negatives = [bpr(epoch, 0, Rng(1, stream))[1][0] for stream in range(4000)]
    counts = np.bincount(negatives, minlength=5)
    assert counts[0] == counts[4] == 0
    assert chisquare(counts[1:4], 4000 * np.array([1, 2, 4]) / 7).pvalue > 1e-3


def test_warp_weight_falls_with_the_number_of_tries():
    """The user knows items 0 to 4, and of the others only item 9 is a violation."""
    settings = Settings(no_components=1, loss="warp", max_sampled=4)
    state = initial_state(settings, 10, 1, np.random.RandomState(0))
    state.items.parameters[:] = 0.0
    state.items.parameters[:, 1] = -2.0
    state.items.parameters[[0, 9], 1] = 0.0
    epoch = Epoch(state, coo([(0, i, 1.0) for i in range(5)], (1, 10)), None, None, None)
    tries_seen = set()
    for stream in range(500):
        rng = Rng(3, stream)
        draws = [rng.bounded(10) for _ in range(4)]
        update = warp(epoch, 0, Rng(3, stream))
        if 9 in draws:
            t = draws.index(9) + 1
            tries_seen.add(t)
            g = math.log(9 // t)
            assert update == [(0, -g), (9, g)]
        else:
            assert update == []
    assert tries_seen == {1, 2, 3, 4}


def test_warp_violation_is_strict_and_its_weight_at_most_ten():
    settings = Settings(no_components=1, loss="warp", max_sampled=100)
    state = initial_state(settings, 30, 1, np.random.RandomState(0))
    state.items.parameters[:] = 0.0
    state.items.parameters[0, 1] = 1.0  # exactly one above all others
    interactions = coo([(0, 0, 1.0)], (1, 30))
    weights = coo([(0, 0, 50.0)], (1, 30))
    assert warp(Epoch(state, interactions, None, None, weights), 0, Rng(0, 0)) == []
    state.items.parameters[0, 1] = 0.999
    update = warp(Epoch(state, interactions, None, None, weights), 0, Rng(0, 0))
    assert [g for _, g in update] == [-10.0, 10.0]


@pytest.mark.parametrize(("k", "n"), [(1, 3), (2, 3), (3, 3), (5, 3), (5, 10), (2, 10)])
def test_kos_positive_is_the_kth_best_of_the_drawn(k, n):
    """Known are items 1 to 4, scored 1 to 4; drawn with replacement, as often as there are."""
    settings = Settings(no_components=1, loss="warp-kos", k=k, n=n, max_sampled=100)
    state = initial_state(settings, 12, 1, np.random.RandomState(0))
    state.items.parameters[:, 0] = 0.0
    state.items.parameters[:, 1] = np.minimum(np.arange(12), 5)
    # Neither the order, nor repetition, nor the value of the entries matters.
    entries = [(0, 4, 1.0), (0, 2, 0.0), (0, 1, -1.0), (0, 3, 1.0), (0, 4, 1.0)]
    epoch = Epoch(state, coo(entries, (1, 12)), None, None, None)
    for stream in range(100):
        rng = Rng(5, stream)
        drawn = sorted(((1 + rng.bounded(4)) for _ in range(min(n, 4))), reverse=True)
        update = warp_kos(epoch, stream % 5, Rng(5, stream))
        assert update[0][0] == drawn[min(k, len(drawn)) - 1]
        # The search goes on with the same stream.
        negative = rng.bounded(12)
        while negative in (1, 2, 3, 4) or epoch.score(0, negative) <= update[0][0] - 1:
            negative = rng.bounded(12)
        assert update[1][0] == negative


def test_negatives_come_from_all_rows_of_the_item_features():
    item_features = sp.identity(20, format="csr")
    settings = Settings(no_components=2, loss="warp", max_sampled=100)
    state = initial_state(settings, 20, 1, np.random.RandomState(0))
    epoch = Epoch(state, coo([(0, 0, 1.0)], (1, 3)), None, item_features, None)
    updates = [warp(epoch, 0, Rng(0, stream)) for stream in range(300)]
    assert {update[1][0] for update in updates} == set(range(1, 20))
    assert max(update[1][1] for update in updates) == pytest.approx(math.log(19))


def test_disliked_are_items_stored_as_zero_or_less_and_never_as_more():
    entries = [(0, 3, -1.0), (0, 1, 0.0), (0, 2, 1.0), (0, 4, 1.0), (0, 4, -1.0), (0, 3, -2.0)]
    state = random_state_of(Settings(no_components=2), n_items=6, n_users=2, seed=0)
    epoch = Epoch(state, coo([*entries, (1, 5, 1.0)], (2, 6)), None, None, None)
    assert [items.tolist() for items in epoch.disliked] == [[1, 3], []]


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("loss", [bpr, warp])
def test_stored_negatives_take_their_share(loss, share):
    """User 0 dislikes items 1 and 2; user 1 has no such item and draws as ever."""
    entries = [(0, 0, 1.0), (0, 1, -1.0), (0, 2, 0.0), (1, 0, 1.0), *[(2, 3, 1.0), (2, 4, 1.0)] * 4]
    settings = Settings(no_components=2, loss="warp", stored_negatives=share, max_sampled=1000)
    state = random_state_of(settings, n_items=5, n_users=3, seed=0)
    state.items.parameters *= 0.01  # everything violates
    epoch = Epoch(state, coo(entries, (3, 5)), None, None, None)
    n = 4000
    counts = np.bincount([loss(epoch, 0, Rng(1, s))[1][0] for s in range(n)], minlength=5)
    assert counts[0] == 0
    if loss is bpr:
        expected = share
    else:
        # Of the tries that are not a stored negative, three in five are a known item, and over.
        expected = share / (share + (1 - share) * 2 / 5)
    stored = counts[1:3].sum()
    assert abs(stored - n * expected) <= 4 * math.sqrt(n * expected * (1 - expected))
    for pair in (counts[1:3], counts[3:]):
        assert pair.sum() == 0 or chisquare(pair).pvalue > 1e-3

    settings.stored_negatives = 0.0
    without = [loss(epoch, 3, Rng(1, stream)) for stream in range(50)]
    settings.stored_negatives = share
    assert [loss(epoch, 3, Rng(1, stream)) for stream in range(50)] == without


@pytest.mark.parametrize("loss", [bpr, warp])
def test_who_knows_everything_can_still_learn_from_stored_negatives(loss):
    """BPR, whose negatives are those that users do not know, does so unasked."""
    settings = Settings(no_components=2, stored_negatives=1.0, max_sampled=1)
    state = random_state_of(settings, n_items=3, n_users=1, seed=0)
    state.items.parameters *= 0.01
    epoch = Epoch(state, coo([(0, 0, 1.0), (0, 1, 1.0), (0, 2, 0.0)], (1, 3)), None, None, None)
    for stream in range(20):
        assert [item for item, _ in loss(epoch, 0, Rng(0, stream))] == [0, 2]
    settings.stored_negatives = 0.0
    assert [item for item, _ in loss(epoch, 0, Rng(0, 0))] == ([0, 2] if loss is bpr else [])
    assert epoch.sums.examples == 20 + (loss is bpr)


def test_sums_of_searches_in_vain():
    """An item that scores far above all others: every try is made, nothing is lost."""
    settings = Settings(no_components=1, max_sampled=7)
    state = initial_state(settings, 20, 2, np.random.RandomState(0))
    state.items.parameters[0, 1] = 5.0
    epoch = Epoch(state, coo([(0, 0, 1.0), (0, 1, -1.0)], (2, 20)), None, None, None)
    assert warp(epoch, 0, Rng(0, 0)) == [] and warp(epoch, 0, Rng(0, 1)) == []
    assert warp(epoch, 1, Rng(0, 2)) == []  # is no example
    assert epoch.sums == Sums(examples=2, tries=14)


@pytest.mark.parametrize("loss", [logistic, mse])
def test_every_entry_is_an_example_of_a_pointwise_loss(loss):
    interactions = random_interactions(2)
    state = random_state_of(Settings(no_components=2), n_items=9, n_users=12, seed=2)
    epoch = Epoch(state, interactions, None, None, None)
    for entry in range(epoch.n_entries):
        assert [item for item, _ in loss(epoch, entry, Rng(0, 0))] == [interactions.col[entry]]
    assert epoch.sums.examples == epoch.n_entries and epoch.sums.loss > 0
    assert epoch.sums.violations == epoch.sums.tries == 0


# Learning


@pytest.mark.parametrize(
    ("loss", "schedule"),
    [
        *itertools.product(["logistic", "bpr", "warp", "warp-kos", "mse"], SCHEDULES),
        ("softmax", "sgd"),
    ],
)
def test_two_groups_of_users_are_told_apart(loss, schedule):
    """Users like the items of their own parity: held-out ones must score above the others."""
    rng = np.random.default_rng(0)
    entries = [(u, i, 1.0) for u in range(16) for i in range(16) if (u + i) % 2 == 0]
    held_out = {(u, 2 * int(rng.integers(8)) + u % 2) for u in range(16)}
    train = [entry for entry in entries if entry[:2] not in held_out]
    if loss in ("logistic", "mse"):
        train += [(u, i, -1.0) for u in range(16) for i in range(16) if (u + i) % 4 == 1]
    settings = Settings(
        no_components=4,
        loss=loss,
        learning_schedule=schedule,
        learning_rate=0.1 if schedule != "sgd" or loss == "softmax" else 0.4,
        epsilon=1e-3,
        k=2,
        n=4,
        temperature=1.0,  # a low one learns by heart, in data so small
        n_negatives=16,
    )
    interactions = coo(train, (16, 16))
    state = fit(settings, interactions, epochs=15, random_state=1)
    epoch = Epoch(state, interactions, None, None, None)

    def value(u: int, i: int) -> float:
        score_of = cosine_score if loss == "softmax" else score
        return score_of(epoch.user_vector(u), epoch.item_vector(i))

    better = [value(u, i) > value(u, j) for u, i in held_out for j in range(16) if (u + j) % 2 == 1]
    assert np.mean(better) > 0.9


def test_empty_feature_rows_are_stepped_over():
    """An example without any feature on either side changes nothing."""
    settings = Settings(no_components=2, item_alpha=1.0)
    state = random_state_of(settings, n_items=2, n_users=2, seed=0)
    empty = sp.csr_matrix((1, 2))
    interactions = coo([(0, 0, 1.0)], (1, 1))
    epoch = Epoch(state, interactions, empty, empty, None)
    before = state.items.parameters.copy()
    apply(epoch, 0, [(0, 0.5)])
    np.testing.assert_array_equal(state.items.parameters, before)
    assert state.items.scale == 1.0


@pytest.mark.parametrize(
    "counts", [[5], [0, 1], [1, 1, 1, 1], [0, 7, 1, 90, 0, 2], [2**40, 1, 2**39], list(range(50))]
)
def test_alias_tables_hold_what_the_counts_say(counts):
    """Exactly, summed over the columns: nothing is left to chance here."""
    table = AliasTable(np.array(counts))
    shares = np.zeros(len(counts))
    for column, (own, other) in enumerate(zip(table.own, table.other, strict=True)):
        shares[column] += own / 2**32 / len(counts)
        shares[other] += (1 - own / 2**32) / len(counts)
    np.testing.assert_allclose(shares, np.array(counts) / sum(counts), rtol=1e-6, atol=1e-9)
    assert (shares[np.array(counts) == 0] == 0).all()


def test_draws_from_an_alias_table():
    counts = np.array([3, 0, 10, 1, 6])
    table = AliasTable(counts)
    drawn = Counter(table.draw(Rng(1, stream)) for stream in range(20_000))
    assert drawn[1] == 0
    some = np.flatnonzero(counts)
    expected = counts[some] / counts.sum() * 20_000
    assert chisquare([drawn[item] for item in some], expected).pvalue > 1e-3


def test_bpr_draws_what_is_disliked_where_nothing_is_unknown():
    """User 0 knows all and dislikes item 2, user 1 likes all, user 2 knows item 0 only."""
    likes = [(0, 0, 1.0), (0, 1, 1.0), (0, 2, -1.0)]
    likes += [(1, item, 1.0) for item in range(3)] + [(2, 0, 1.0)]
    interactions = coo(likes, (3, 3))
    state = initial_state(Settings(loss="bpr"), 3, 3, np.random.RandomState(0))
    epoch = Epoch(state, interactions, None, None, None)
    for stream in range(20):
        assert [item for item, _ in bpr(epoch, 0, Rng(0, stream))] == [0, 2]
        assert bpr(epoch, 4, Rng(0, stream)) == []
        assert bpr(epoch, 6, Rng(0, stream))[1][0] in (1, 2)
    # The known items, and the law, of a larger fit take the place of the interactions' own.
    everything = [np.arange(3)] * 3
    epoch = Epoch(state, interactions, None, None, None, Larger(known=everything))
    assert bpr(epoch, 6, Rng(0, 0)) == []
    epoch = Epoch(state, interactions, None, None, None, Larger(item_counts=np.array([5, 9, 0])))
    assert {bpr(epoch, 6, Rng(0, stream))[1][0] for stream in range(20)} == {1}
