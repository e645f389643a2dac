"""The compiled kernels against their NumPy twin: same seeds, one thread, every public array, and
the sums that an epoch reports.

Float32 rounding is all that may lie between them. Each comparison runs at every instruction
level this machine offers; the slow twin trains once for all of them.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import reference
import scipy.sparse as sp

from lightfm_clone import LightFM, _core

LOSSES, SCHEDULES = (*reference.LOSSES, "softmax"), tuple(reference.SCHEDULES)
N_USERS, N_ITEMS, N_ENTRIES = 30, 25, 200


def interactions_of(
    seed: int, shape: tuple[int, int] = (N_USERS, N_ITEMS), n_entries: int = N_ENTRIES
) -> sp.coo_matrix:
    """Unordered entries with duplicates, zeros and negative values."""
    rng = np.random.default_rng(seed)
    rows, cols = (rng.integers(n, size=n_entries) for n in shape)
    values = rng.choice([1.0, 5.0, 0.0, -1.0], size=n_entries, p=[0.6, 0.2, 0.1, 0.1])
    return sp.coo_matrix((values.astype(np.float32), (rows, cols)), shape=shape)


def without_some_items(interactions: sp.coo_matrix) -> sp.coo_matrix:
    """Every third item gives its entries to the one before."""
    cols = interactions.col - (interactions.col % 3 == 2)
    entries = interactions.data, (interactions.row, cols)
    return sp.coo_matrix(entries, shape=interactions.shape)


def weights_of(interactions: sp.coo_matrix, seed: int) -> sp.coo_matrix:
    """Weights from 0 to 4; the upper ones make WARP's coefficient reach its limit of 10."""
    weights = interactions.copy()
    weights.data = np.random.default_rng(seed).uniform(0, 4, len(weights.data)).astype(np.float32)
    return weights


def features_of(n_rows: int, n_features: int, seed: int) -> sp.csr_matrix:
    """One to four features a row, with signed values, none in the second row; columns shared."""
    rng = np.random.default_rng(seed)
    dense = rng.uniform(-1, 1.5, size=(n_rows, n_features))
    for row in dense:
        row[rng.permutation(n_features)[rng.integers(1, 5) :]] = 0.0
    dense[1] = 0.0
    return sp.csr_matrix(dense.astype(np.float32))


FEATURES = {
    "identity": (None, None),
    "item": (None, features_of(N_ITEMS, 9, seed=1)),
    "user": (features_of(N_USERS, 7, seed=2), None),
    # More rows than there are users and items.
    "both": (features_of(N_USERS + 2, 7, seed=2), features_of(N_ITEMS + 3, 9, seed=1)),
}


def with_identities(features: sp.csr_matrix) -> sp.csr_matrix:
    """A column more for each row, but for the third, and one more for the fourth."""
    own = sp.identity(features.shape[0], format="csr")[:, np.r_[3, 0:2, 3 : features.shape[0]]]
    return sp.hstack([own, features], format="csr").astype(np.float32)


FEATURES_WITH_IDENTITIES = {
    "item": (None, with_identities(FEATURES["item"][1])),
    "user": (with_identities(FEATURES["user"][0]), None),
    "both": tuple(map(with_identities, FEATURES["both"])),
}


def assert_same_arrays(model: LightFM, expected: reference.State, rtol: float = 1e-4) -> None:
    for name, array in expected.arrays().items():
        actual = getattr(model, name)
        assert actual.shape == array.shape and actual.dtype == np.float32, name
        # A component that is nearly zero only by cancellation is judged by the rest of its row.
        row_size = np.abs(array).max(axis=-1, keepdims=True, initial=0.0)
        off = np.abs(actual - array) / (rtol * (np.abs(array) + 0.1 * row_size) + 1e-30)
        assert np.all(off <= 1), (
            f"{name} differs at {np.unravel_index(np.argmax(off), off.shape)}: "
            f"{actual.flat[np.argmax(off)]} instead of {array.flat[np.argmax(off)]}"
        )


def assert_same_history(model: LightFM, expected: reference.State, rtol: float = 1e-4) -> None:
    assert len(model.history_) == len(expected.epochs)
    for record, sums in zip(model.history_, expected.epochs, strict=True):
        n = max(sums.examples, 1)
        assert record["loss"] == pytest.approx(sums.loss / n, rel=rtol, abs=1e-6)
        if model.loss in ("warp", "warp-kos"):
            assert record["violation_rate"] == sums.violations / n
            assert record["mean_tries"] == sums.tries / n


def assert_trains_like(
    expected: reference.State,
    settings: reference.Settings,
    interactions: sp.coo_matrix,
    random_state: int,
    epochs: int,
    rtol: float = 1e-4,
    compare_history: bool = True,
    **matrices: sp.spmatrix | None,
) -> None:
    model = LightFM(**vars(settings), random_state=random_state)
    model.fit(interactions, epochs=epochs, **matrices)
    assert_same_arrays(model, expected, rtol)
    if compare_history:
        assert_same_history(model, expected, rtol)
    assert model.global_mean_ == pytest.approx(expected.global_mean, rel=1e-6, abs=1e-6)


@cache
def trained_twin(
    loss: str,
    schedule: str,
    features: str,
    weighted: bool,
    alphas: tuple[float, float],
    no_components: int = 5,
    seed: int = 0,
    some_unseen: bool = False,
    **further: float | str,
) -> tuple[reference.State, dict]:
    """The twin after three epochs, and the arguments by which the library is to follow it."""
    of_features = FEATURES_WITH_IDENTITIES if "identity_dropout" in further else FEATURES
    user_features, item_features = of_features[features]
    interactions = interactions_of(seed)
    if some_unseen:
        interactions = without_some_items(interactions)
    arguments = {
        "settings": reference.Settings(
            no_components=no_components,
            k=2,
            n=4,
            learning_schedule=schedule,
            loss=loss,
            item_alpha=alphas[0],
            user_alpha=alphas[1],
            **{"n_negatives": 20, **further},
        ),
        "interactions": interactions,
        "user_features": user_features,
        "item_features": item_features,
        "sample_weight": weights_of(interactions, seed) if weighted else None,
        "epochs": 3,
        # At this one no comparison is a near-tie and no state nearly cancels: rounding stays small.
        "random_state": seed + 1,
    }
    return reference.fit(**arguments), arguments


def test_twin_knows_what_the_kernels_offer():
    assert set(_core.LOSSES) == set(LOSSES)
    assert set(_core.SCHEDULES) == set(SCHEDULES)


@pytest.mark.parametrize("alphas", [(0.0, 0.0), (0.02, 0.005)], ids=["plain", "l2"])
@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("loss", LOSSES)
def test_same_arrays(level, loss, schedule, features, weighted, alphas):
    expected, arguments = trained_twin(loss, schedule, features, weighted, alphas)
    assert_trains_like(expected, **arguments)


@pytest.mark.parametrize("share", [0.3, 1.0])
@pytest.mark.parametrize("alphas", [(0.0, 0.0), (0.02, 0.005)], ids=["plain", "l2"])
@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("loss", ["bpr", "warp"])
def test_stored_negatives(level, loss, schedule, features, weighted, alphas, share):
    """Some users have none: their streams lack the draw that decides."""
    settings = loss, schedule, features, weighted, alphas
    expected, arguments = trained_twin(*settings, stored_negatives=share)
    assert_trains_like(expected, **arguments)
    without, _ = trained_twin(*settings)
    assert not np.allclose(without.items.parameters, expected.items.parameters)


@pytest.mark.parametrize("alphas", [(0.0, 0.0), (0.02, 0.005)], ids=["plain", "l2"])
@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", LOSSES)
def test_negatives_among_seen_items(level, loss, schedule, features, alphas):
    settings = loss, schedule, features, False, alphas
    expected, arguments = trained_twin(*settings, some_unseen=True, seed=1, negatives="seen")
    assert_trains_like(expected, **arguments)
    among_all, _ = trained_twin(*settings, some_unseen=True, seed=1)
    draws_uniformly = loss in ("warp", "warp-kos", "softmax")
    same = np.allclose(among_all.items.parameters, expected.items.parameters)
    assert same is not draws_uniformly


@pytest.mark.parametrize("alphas", [(0.0, 0.0), (0.02, 0.005)], ids=["plain", "l2"])
@pytest.mark.parametrize("features", FEATURES_WITH_IDENTITIES)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", LOSSES)
def test_identity_dropout(level, loss, schedule, features, alphas):
    settings = loss, schedule, features, False, alphas
    expected, arguments = trained_twin(*settings, seed=1, identity_dropout=0.5)
    assert_trains_like(expected, **arguments)
    without, _ = trained_twin(*settings, seed=1, identity_dropout=0.0)
    assert not np.allclose(without.items.parameters, expected.items.parameters)


@pytest.mark.parametrize("no_components", [1, 5, 7, 8, 10, 15, 16, 17, 30, 32, 64, 100])
@pytest.mark.parametrize("features", ["identity", "both"])
@pytest.mark.parametrize(
    ("loss", "schedule"),
    [
        ("warp", "adagrad"),
        ("bpr", "adadelta"),
        ("logistic", "adagrad"),
        ("mse", "adagrad"),
        ("warp", "sgd"),
        ("softmax", "sgd"),
        ("softmax", "adagrad"),
    ],
)
def test_every_width_of_rows(level, loss, schedule, features, no_components):
    """Widths with and without room for padding, for the bias, and for whole vector registers."""
    if loss == "softmax":  # on a line no direction turns: its gradients are 0, but for rounding
        no_components = max(no_components, 3)
    expected, arguments = trained_twin(
        loss, schedule, features, False, (0.01, 0.02), no_components, 1
    )
    assert_trains_like(expected, **arguments)


@pytest.mark.parametrize("alphas", [(0.05, 0.0), (0.0, 0.05)])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", LOSSES)
def test_l2_of_one_side_only(level, loss, schedule, alphas):
    expected, arguments = trained_twin(loss, schedule, "item", False, alphas, seed=1)
    assert_trains_like(expected, **arguments)


@pytest.mark.parametrize("side", ["item_alpha", "user_alpha"])
@pytest.mark.parametrize(("features", "alpha"), [("identity", 40.0), ("both", 20.0)])
@pytest.mark.parametrize(
    ("loss", "schedule"),
    [
        *[(loss, "adagrad") for loss in ("logistic", "bpr", "warp", "warp-kos")],
        ("logistic", "sgd"),
        ("softmax", "sgd"),
    ],
)
def test_scales_past_a_million(level, loss, schedule, features, alpha, side):
    """So strong an L2 that the scales go back to one within the epoch, most often repeatedly.

    The parameters grow without bound, and the differences of rounding with them. With these data
    the user's bias reaches 240,000, which must not cost BPR the digits of its score differences.
    Without a bound on its gradient, mse diverges. A single log loss is reported as at most 88. With
    sgd, whose rates do not depend on the gradients, less of an L2 is enough.
    """
    if schedule == "sgd":
        alpha /= 5
    user_features, item_features = FEATURES[features]
    settings = reference.Settings(
        learning_schedule=schedule, loss=loss, k=2, n=4, item_alpha=0.1, user_alpha=0.1
    )
    setattr(settings, side, alpha)
    arguments = {
        "settings": settings,
        "interactions": interactions_of(3),
        "user_features": user_features,
        "item_features": item_features,
        "epochs": 1,
        "random_state": 4,
    }
    bounded = loss in ("logistic", "bpr")
    assert_trains_like(
        reference.fit(**arguments), rtol=1e-3, compare_history=not bounded, **arguments
    )


@pytest.mark.parametrize("shape", [(6, 1), (6, 2), (6, 4), (2, 12)])
@pytest.mark.parametrize("loss", LOSSES)
def test_few_items(level, loss, shape):
    """Fewer items than tries, users who know all items, and k beyond what a user knows."""
    arguments = {
        "settings": reference.Settings(loss=loss, max_sampled=30, k=3, n=7, item_alpha=0.01),
        "interactions": interactions_of(4, shape, n_entries=14),
        "epochs": 5,
        "random_state": 4,
    }
    assert_trains_like(reference.fit(**arguments), **arguments)


@pytest.mark.parametrize("loss", LOSSES)
def test_many_items(level, loss):
    """Users who know most items, whose filters have a bit for each, and users who know few."""
    rng = np.random.default_rng(7)
    shape, n_known = (5, 300), (250, 120, 40, 10, 2)
    rows = np.repeat(np.arange(shape[0]), n_known)
    cols = np.concatenate([rng.choice(shape[1], n, replace=False) for n in n_known])
    arguments = {
        "settings": reference.Settings(loss=loss, max_sampled=20),
        "interactions": sp.coo_matrix((np.ones(len(rows), np.float32), (rows, cols)), shape=shape),
        "epochs": 5,
        "random_state": 7,
    }
    assert_trains_like(reference.fit(**arguments), **arguments)


@pytest.mark.parametrize("loss", LOSSES)
def test_single_entries(level, loss):
    """One step from the initial state, for each of many random streams."""
    for seed in range(10):
        arguments = {
            "settings": reference.Settings(loss=loss, user_alpha=0.1, n=2, k=2),
            "interactions": sp.coo_matrix(([1.0], ([0], [seed])), shape=(1, 40)),
            "epochs": 1,
            "random_state": seed,
        }
        assert_trains_like(reference.fit(**arguments), **arguments)


@pytest.mark.parametrize("temperature", [0.02, 0.1, 1.0])
@pytest.mark.parametrize("n_negatives", [1, 3, 16, 17, 100])
@pytest.mark.parametrize("features", ["identity", "both"])
@pytest.mark.parametrize("alphas", [(0.0, 0.0), (0.02, 0.005)], ids=["plain", "l2"])
def test_softmax_of_any_size(level, features, alphas, n_negatives, temperature):
    """Whole panels of negatives or not, many repeats among them, sometimes all of them masked."""
    expected, arguments = trained_twin(
        "softmax",
        "sgd",
        features,
        True,
        alphas,
        seed=2,
        n_negatives=n_negatives,
        temperature=temperature,
    )
    # A low temperature magnifies the rounding of the cosines.
    assert_trains_like(expected, rtol=1e-4 if temperature > 0.05 else 1e-3, **arguments)


@cache
def twin_of_softmax_blocks(n_entries: int, n_negatives: int) -> tuple[reference.State, dict]:
    """Users who know up to 40 of 50 items, entries from nearly none to more than two chunks."""
    rng = np.random.default_rng(n_entries)
    interactions = interactions_of(9, shape=(20, 50), n_entries=n_entries)
    interactions.row[rng.random(n_entries) < 0.3] = 7
    arguments = {
        "settings": reference.Settings(
            no_components=6,
            loss="softmax",
            learning_schedule="sgd",
            learning_rate=0.1,
            n_negatives=n_negatives,
        ),
        "interactions": interactions,
        "epochs": 2,
        "random_state": 9,
    }
    return reference.fit(**arguments), arguments


@pytest.mark.parametrize("n_entries", [1, 2, 159, 160, 161, 320, 321, 511, 512, 513, 1200])
@pytest.mark.parametrize("n_negatives", [1, 24])
def test_softmax_blocks(level, n_entries, n_negatives):
    """Chunks are cut into equal blocks; what very active users know is looked up, not walked."""
    expected, arguments = twin_of_softmax_blocks(n_entries, n_negatives)
    assert_trains_like(expected, **arguments)


@cache
def twin_of_many_entries(loss: str, weighted: bool) -> tuple[reference.State, dict]:
    n_entries, learning_rate = (17_000, 0.05) if loss == "mse" else (70_000, 0.5)
    interactions = interactions_of(5, shape=(1000, 1500), n_entries=n_entries)
    if loss == "bpr":
        interactions.data[np.random.default_rng(5).permutation(n_entries) < 67_000] = 0.0
    arguments = {
        "settings": reference.Settings(3, loss=loss, learning_rate=learning_rate),
        "interactions": interactions,
        "sample_weight": weights_of(interactions, 5) if weighted else None,
        "epochs": 1,
        "random_state": 5,
    }
    return reference.fit(**arguments), arguments


@pytest.mark.parametrize(("loss", "weighted"), [("bpr", False), ("bpr", True), ("mse", True)])
def test_order_of_many_entries(level, loss, weighted):
    """Several buckets, and chunks for BPR; entries of two, three and four words.

    Few entries are examples of BPR, but the stream of each, and with it the negative, depends on
    its place in the order.
    """
    expected, arguments = twin_of_many_entries(loss, weighted)
    assert_trains_like(expected, **arguments)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", LOSSES)
def test_training_goes_on_from_assigned_arrays(level, loss, schedule):
    """Every component has its own value, accumulator and momentum, biases included."""
    user_features, item_features = FEATURES["both"]
    interactions = interactions_of(6)
    settings = reference.Settings(
        no_components=6, loss=loss, learning_schedule=schedule, item_alpha=0.01, user_alpha=0.02
    )
    model = LightFM(**vars(settings), random_state=6)
    model.fit(interactions, user_features, item_features, epochs=0)
    draws = np.random.RandomState(6)
    state = reference.initial_state(settings, item_features.shape[1], user_features.shape[1], draws)
    state.global_mean = model.global_mean_
    rng = np.random.default_rng(6)
    for name, array in state.arrays().items():
        if "momentum" in name:
            low, high = 1e-5, 1e-3
        elif "gradients" in name:
            low, high = 0.1, 3.0
        else:
            low, high = -0.7, 0.7
        array[:] = rng.uniform(low, high, size=array.shape).astype(np.float32)
        setattr(model, name, array.astype(np.float32))

    # Parameters are read anew at each epoch.
    for max_sampled, learning_rate in ((10, 0.05), (3, 0.02)):
        settings.max_sampled = model.max_sampled = max_sampled
        settings.learning_rate = model.learning_rate = learning_rate
        state.settings = settings
        seed = reference.epoch_seed(draws)
        # Each call is a fit of its own to sgd, whose learning rate falls to 0.
        state = reference.run_epoch(state, interactions, user_features, item_features, None, seed)
        model.fit_partial(interactions, user_features, item_features)
        assert_same_arrays(model, state)
        assert_same_history(model, state)
