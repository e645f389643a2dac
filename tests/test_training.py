"""What training makes of its input: examples, weights, edge cases, threads, and known answers."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import time

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
    explicit_auc,
    groups_of_taste,
    output_of,
    random_features,
    random_interactions,
)

from lightfm_clone import LightFM
from lightfm_clone.evaluation import auc_score, precision_at_k

RANKING_LOSSES = ("bpr", "warp", "warp-kos", "softmax")
POINTWISE_LOSSES = ("logistic", "mse")  # nothing is learned from positives alone
# mse has gradients without a bound, and diverges where others are only drawn to zero.
BOUNDED_LOSSES = [loss for loss in LOSSES if loss != "mse"]
EMBEDDINGS_AND_BIASES = [f"{s}_{k}" for s in ("item", "user") for k in ("embeddings", "biases")]


def trained(
    loss: str, interactions: sp.coo_matrix, epochs: int = 2, **arguments: object
) -> LightFM:
    return LightFM(loss=loss, no_components=4, k=2, n=3, random_state=3).fit(
        interactions, epochs=epochs, **arguments
    )


def untrained(model: LightFM) -> LightFM:
    """A model like it, as it was initialised."""
    return LightFM(
        no_components=model.no_components, loss=model.loss, random_state=model.initial_random_state
    )


def of_values(interactions: sp.coo_matrix, values: float | np.ndarray) -> sp.coo_matrix:
    """The same entries with other values."""
    data = np.broadcast_to(values, len(interactions.row)).astype(np.float32)
    entries = interactions.row.copy(), interactions.col.copy()
    return sp.coo_matrix((data, entries), shape=interactions.shape)


# What an entry's value means


@pytest.mark.parametrize("loss", BOUNDED_LOSSES)
def test_only_the_sign_of_a_value_counts(loss):
    """Values are no weights; they are what mse predicts."""
    interactions = random_interactions(1)
    signs = of_values(interactions, np.sign(interactions.data))
    scaled = of_values(interactions, 3.5 * interactions.data)
    zeros = of_values(interactions, np.maximum(interactions.data, 0))
    expected = arrays_of(trained(loss, interactions))
    for other in (signs, scaled, zeros):
        assert_equal_arrays(arrays_of(trained(loss, other)), expected)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_zeros_and_negatives(value):
    """A negative for logistic, no example for warp and bpr, a positive for warp-kos."""
    ones = of_values(random_interactions(1), 1.0)
    others = of_values(ones, value)

    model = trained("logistic", others, epochs=1)
    assert model.item_biases[ones.col].max() < 0 < trained("logistic", ones, 1).item_biases.max()
    for loss in ("warp", "bpr"):
        nothing = untrained(model).fit(others, epochs=0)
        for name in EMBEDDINGS_AND_BIASES:
            np.testing.assert_array_equal(
                getattr(trained(loss, others), name), getattr(nothing, name)
            )
    assert_equal_arrays(
        arrays_of(trained("warp-kos", others)), arrays_of(trained("warp-kos", ones))
    )


@pytest.mark.parametrize("value", [0.0, -1.0])
@pytest.mark.parametrize("loss", ["bpr", "warp"])
def test_every_stored_entry_is_known(loss, value):
    """User 0 likes item 0 and has item 1 stored, which is therefore never her negative."""
    rows, cols = [0, 0] + 20 * [1], [0, 1] + 20 * [2]
    values = [1.0, value] + 20 * [0.0]
    interactions = sp.coo_matrix((values, (rows, cols)), shape=(2, 5))
    model = trained(loss, interactions, epochs=40)
    initial = untrained(model).fit(interactions, epochs=0)
    assert model.item_biases[1] == 0 and model.item_biases[0] > 0
    np.testing.assert_array_equal(model.item_embeddings[1], initial.item_embeddings[1])
    # BPR draws the items of interactions, WARP all others.
    negatives = [2] if loss == "bpr" else [2, 3, 4]
    assert np.flatnonzero(model.item_biases < 0).tolist() == negatives


@pytest.mark.parametrize("loss", LOSSES)
def test_duplicates_are_examples_of_their_own(loss):
    once = of_values(random_interactions(1), 1.0)
    twice = sp.coo_matrix(
        (np.ones(2 * len(once.row)), (np.tile(once.row, 2), np.tile(once.col, 2))), shape=once.shape
    )
    single, double = trained(loss, once, 1), trained(loss, twice, 1)
    steps = [np.sum(model.item_bias_gradients - 1) for model in (single, double)]
    assert steps[1] > 1.5 * steps[0]


# Weights


def with_weights(interactions: sp.coo_matrix, seed: int = 0) -> sp.coo_matrix:
    draws = np.random.default_rng(seed).uniform(0.1, 3, size=len(interactions.row))
    return of_values(interactions, draws)


@pytest.mark.parametrize("loss", LOSSES)
def test_weights_of_one_are_no_weights(loss):
    interactions = random_interactions(1)
    expected = arrays_of(trained(loss, interactions))
    ones = of_values(interactions, 1.0)
    assert_equal_arrays(arrays_of(trained(loss, interactions, sample_weight=ones)), expected)
    weighted = trained(loss, interactions, sample_weight=with_weights(interactions))
    assert not np.array_equal(weighted.item_biases, expected["item_biases"])


@pytest.mark.parametrize("loss", BOUNDED_LOSSES)
def test_the_same_object_as_interactions_and_weights(loss):
    """Wrapping libraries pass their weighted interactions twice."""
    weights = with_weights(random_interactions(1))
    model = trained(loss, weights, sample_weight=weights)
    other = trained(loss, of_values(weights, 1.0), sample_weight=weights.copy())
    assert_equal_arrays(arrays_of(model), arrays_of(other))


@pytest.mark.parametrize("kind", [np.int32, np.float64, np.float32, bool])
def test_weights_of_any_type(kind):
    interactions = random_interactions(1)
    weights = of_values(interactions, np.arange(len(interactions.row)) % 3)
    expected = arrays_of(
        trained("warp", interactions, sample_weight=of_values(weights, weights.data.astype(kind)))
    )
    weights.data = weights.data.astype(kind)
    assert_equal_arrays(
        arrays_of(trained("warp", interactions, sample_weight=sp.coo_array(weights))), expected
    )


@pytest.mark.parametrize("loss", [*RANKING_LOSSES, *POINTWISE_LOSSES])
def test_a_weight_of_zero_switches_an_example_off(loss):
    interactions = of_values(random_interactions(1), 1.0)
    if loss == "mse":
        interactions.data[::3] = 4.0
    of_first = interactions.row < 15
    model = trained(loss, interactions, sample_weight=of_values(interactions, of_first))
    initial = untrained(model).fit(interactions, epochs=0)
    np.testing.assert_array_equal(model.user_embeddings[15:], initial.user_embeddings[15:])
    assert not np.array_equal(model.user_embeddings[:15], initial.user_embeddings[:15])


@pytest.mark.parametrize("weight", [0.5, 1.0, 2.0, 7.0])
@pytest.mark.parametrize(("loss", "value"), [("logistic", 1.0), ("logistic", -1.0), ("bpr", 1.0)])
def test_one_step_by_hand(loss, value, weight):
    """The biases after a single example: x -= lr * g at G = 1, and G += g^2."""
    # The entries of another user, which have no weight, make item 1 a negative for BPR.
    entries = [0] + 30 * [1], [0] + 30 * [1]
    entry = sp.coo_matrix(([value] + 30 * [0.0], entries), shape=(2, 2))
    weights = sp.coo_matrix(([weight] + 30 * [0.0], entries), shape=(2, 2))
    model = LightFM(loss=loss, random_state=1, learning_rate=0.25)
    scores = all_scores(copy.deepcopy(model).fit(entry, epochs=0), 2, 2)
    model.fit(entry, sample_weight=weights)

    sigma = {
        "logistic": 1 / (1 + np.exp(-scores[0, 0])) - (value > 0),
        "bpr": 1 / (1 + np.exp(scores[0, 0] - scores[0, 1])),
    }[loss]
    g = weight * sigma
    item_gradients = [g, 0.0] if loss == "logistic" else [-g, g]
    close = {"rtol": 1e-5, "atol": 1e-7}
    np.testing.assert_allclose(model.item_biases, -0.25 * np.array(item_gradients), **close)
    np.testing.assert_allclose(model.item_bias_gradients, 1 + np.square(item_gradients), **close)
    np.testing.assert_allclose(model.user_biases, [-0.25 * g, 0.0], **close)
    np.testing.assert_allclose(model.user_bias_gradients, [1 + g * g, 1.0], **close)


@pytest.mark.parametrize(
    ("loss", "weight", "n_items", "g"),
    [
        ("warp", 1.0, 1000, np.log(999)),
        ("warp", 0.5, 1000, 0.5 * np.log(999)),
        ("warp", 3.0, 1000, 10.0),  # the most there is
        ("warp-kos", None, 1000, np.log(999)),
        ("warp-kos", 0.5, 1000, 0.5 * np.log(999)),
        ("warp-kos", 3.0, 1000, 10.0),
        ("warp-kos", None, 30_000, 10.0),
    ],
)
def test_one_warp_step_by_hand(loss, weight, n_items, g):
    """At nearly equal scores the first try is a violation; the rows of the features are counted."""
    entry = sp.coo_matrix(([1.0], ([0], [0])), shape=(1, 3))
    weights = None if weight is None else of_values(entry, weight)
    model = LightFM(no_components=2, loss=loss, random_state=1, learning_rate=0.25)
    many = sp.identity(n_items, format="csr")
    model.fit(entry, sample_weight=weights, item_features=many)

    assert np.count_nonzero(model.item_biases) == 2
    negative = np.argmin(model.item_biases)
    close = {"rtol": 1e-5}
    np.testing.assert_allclose(model.item_biases[[0, negative]], [0.25 * g, -0.25 * g], **close)
    np.testing.assert_allclose(model.item_bias_gradients[[0, negative]], 1 + g * g, **close)
    np.testing.assert_allclose(model.user_biases, -0.25 * g, **close)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [("bpr", [1, 2, 5, 0]), ("warp", [2, 2, 2, 2]), ("warp-kos", [2, 2, 2, 2])],
)
def test_which_negatives_are_drawn(loss, expected):
    """Items of uniformly drawn interactions for BPR, uniformly drawn items for the others.

    The sum of squared gradients counts the draws, as long as the scores hardly move.
    """
    rows = 8000 * [0] + 800 * [1]
    cols = 8000 * [0] + 100 * [1] + 200 * [2] + 500 * [3]  # nobody has item 4
    values = 8000 * [1.0] + 800 * [0.0]
    interactions = sp.coo_matrix((values, (rows, cols)), shape=(2, 5))
    if loss == "warp-kos":  # would train on the other user, too
        interactions = sp.coo_matrix((np.ones(8000), (8000 * [0], 8000 * [0])), shape=(1, 5))
    model = LightFM(loss=loss, learning_rate=1e-9, random_state=1).fit(interactions)
    drawn = model.item_bias_gradients[1:] - 1
    np.testing.assert_allclose(drawn / drawn.mean(), np.array(expected) / 2, atol=0.1)


# Feature matrices


@pytest.mark.parametrize("loss", LOSSES)
def test_more_rows_than_users_and_items(loss):
    """All rows of the item features are candidates for negatives."""
    interactions = of_values(random_interactions(1), 1.0)
    features = {
        "user_features": sp.identity(35, format="csr"),
        "item_features": sp.identity(60, format="csr"),
    }
    model = trained(loss, interactions, epochs=5, **features)
    assert model.item_biases.shape == (60,) and model.user_biases.shape == (35,)
    assert np.all(model.user_biases[30:] == 0)
    if loss in ("warp", "warp-kos", "softmax"):
        assert np.all(model.item_biases[20:] < 0)
    else:  # negatives are stored entries, or the items of such
        assert np.all(model.item_biases[20:] == 0)


@pytest.mark.parametrize("loss", LOSSES)
def test_identity_matrices_change_nothing(loss):
    interactions = random_interactions(1)
    expected = arrays_of(trained(loss, interactions))
    identities = {"user_features": sp.identity(30), "item_features": sp.csr_array(np.eye(20))}
    assert_equal_arrays(arrays_of(trained(loss, interactions, **identities)), expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_rows_without_features(loss):
    """Items without any feature score 0 and have nothing to learn."""
    features = random_features(20, 5).toarray()
    features[::2] = 0
    model = trained(loss, random_interactions(1), item_features=sp.csr_matrix(features))
    assert are_finite(model)
    biases, embeddings = model.get_item_representations(sp.csr_matrix(features))
    assert not biases[::2].any() and not embeddings[::2].any()


# Matrices that leave nothing to train on


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (5, 6)])
def test_no_entries(loss, shape):
    model = trained(loss, sp.coo_matrix(shape), num_threads=2)
    initial = untrained(model).fit(sp.coo_matrix(shape), epochs=0)
    assert_equal_arrays(arrays_of(model), arrays_of(initial))
    with_features = trained(
        loss,
        sp.coo_matrix(shape),
        user_features=random_features(5, 3),
        item_features=random_features(6, 2),
    )
    assert with_features.user_embeddings.shape == (3, 4)


@pytest.mark.parametrize("loss", RANKING_LOSSES)
def test_a_single_item(loss):
    interactions = sp.coo_matrix(np.ones((5, 1)))
    model = trained(loss, interactions)
    initial = untrained(model).fit(interactions, epochs=0)
    assert_equal_arrays(arrays_of(model), arrays_of(initial))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_user_who_knows_every_item(loss):
    """No negative exists, so she is skipped, and the others learn as ever."""
    everything = np.ones((1, 6))
    alone = trained(loss, sp.coo_matrix(everything))
    if loss not in POINTWISE_LOSSES:
        initial = untrained(alone).fit(sp.coo_matrix(everything), epochs=0)
        assert_equal_arrays(arrays_of(alone), arrays_of(initial))
    some = np.random.default_rng(0).integers(0, 2, size=(9, 6))
    some[:, 0], some[:, 5] = 1, 0
    model = trained(loss, sp.coo_matrix(np.vstack([everything, some])), epochs=5, num_threads=2)
    assert are_finite(model)
    if loss not in POINTWISE_LOSSES:
        start = untrained(model).fit(sp.coo_matrix((10, 6)), epochs=0).user_embeddings
        moved = (model.user_embeddings != start).any(axis=1)
        assert not moved[0] and moved[1:].any()


@pytest.mark.parametrize("loss", LOSSES)
def test_fewer_items_than_tries(loss):
    interactions = sp.coo_matrix(np.eye(3))
    model = LightFM(loss=loss, max_sampled=1000, k=50, n=50, learning_rate=0.2, random_state=0)
    if loss in POINTWISE_LOSSES:
        interactions = sp.coo_matrix(2 * np.eye(3) - 1)
    assert are_finite(model.fit(interactions, epochs=200))
    interactions = sp.coo_matrix(np.eye(3))
    assert np.all(precision_at_k(model, interactions, k=1) == 1)


# Known answers


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", RANKING_LOSSES)
def test_tastes_are_found(level, loss, schedule):
    """Most of what a group likes is stored; the rest is what to recommend next."""
    train, test = groups_of_taste(n_users=240, n_groups=3, share=0.7)
    model = LightFM(no_components=3, loss=loss, learning_schedule=schedule, random_state=1)
    # At a low temperature softmax learns data so dense by heart, and holds the rest for disliked.
    model.set_params(temperature=0.5)
    epochs, auc = 20, 0.99
    if loss == "warp-kos":  # looks after the best of a user's positives alone
        auc = 0.92
    if (loss, schedule) == ("softmax", "adagrad"):
        # Slower than with sgd: of 8 seeds, precision 0.985 (0.971 or more), AUC 0.992 (0.988).
        model.set_params(learning_rate=0.05)
        epochs, auc = 40, 0.98
    model.fit(train, epochs=epochs)
    assert precision_at_k(model, test, train, k=1).mean() > 0.95
    assert auc_score(model, test, train).mean() > auc


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_tastes_are_found_from_likes_and_dislikes(level, schedule):
    liked, others = groups_of_taste()
    everything = np.ones(liked.shape) - 2 * (liked + others).toarray()  # dislikes as 1
    shown = np.random.default_rng(5).random(liked.shape) < 0.5
    values = np.where(everything > 0, -1.0, 1.0)
    train = sp.coo_matrix(np.where(shown, values, 0))
    test = sp.coo_matrix(np.where(shown, 0, values))
    model = LightFM(learning_schedule=schedule, epsilon=1e-4, random_state=1).fit(train, epochs=20)
    assert explicit_auc(model, test) > 0.98


@pytest.mark.parametrize("loss", ["bpr", "warp", "warp-kos"])
def test_popular_items_come_first(loss):
    """Without tastes, popularity is all there is to learn."""
    rng = np.random.default_rng(2)
    share = np.linspace(0.9, 0.05, 20)
    interactions = sp.coo_matrix((rng.random((300, 20)) < share).astype(np.float32))
    model = LightFM(loss=loss, no_components=2, random_state=1).fit(interactions, epochs=10)
    order = np.argsort(-all_scores(model, 300, 20).mean(axis=0))
    assert set(order[:5]) <= set(range(8)) and set(order[-5:]) <= set(range(12, 20))


@pytest.mark.parametrize("loss", LOSSES)
def test_cold_items_are_placed_by_their_features(loss):
    """Items that no one has seen are recommended to those who like their genre."""
    n_groups = 4
    train, _ = groups_of_taste(seed=4, n_groups=n_groups, share=0.8)
    n_users, n_items = train.shape
    genres = sp.csr_matrix(
        np.arange(n_items)[:, None] % n_groups == np.arange(n_groups), dtype="f4"
    )
    if loss in POINTWISE_LOSSES:  # need to see what is not liked
        dislikes = (np.random.default_rng(0).random(train.shape) < 0.2) & (
            np.arange(n_users)[:, None] % n_groups != np.arange(n_items) % n_groups
        )
        train = sp.coo_matrix(train.toarray() - dislikes)
    model = LightFM(loss=loss, random_state=0).fit(train, item_features=genres, epochs=20)

    new_items = genres[:n_groups]
    liked = np.arange(n_users)[:, None] % n_groups == np.arange(n_groups)
    assert auc_score(model, sp.coo_matrix(liked), item_features=new_items).mean() > 0.99


@pytest.mark.parametrize("loss", RANKING_LOSSES)
def test_cold_users_are_served_by_their_features(loss):
    train, _ = groups_of_taste(seed=5, n_groups=3, share=0.8)
    groups = sp.csr_matrix(np.arange(train.shape[0])[:, None] % 3 == np.arange(3), dtype="f4")
    model = LightFM(loss=loss, random_state=0).fit(train, user_features=groups, epochs=20)
    scores = all_scores(model, 3, train.shape[1], user_features=sp.identity(3, format="csr"))
    assert np.all(np.argmax(scores, axis=1) % 3 == np.arange(3))


@pytest.mark.parametrize("loss", ["logistic", "bpr", "warp"])
def test_weights_decide_between_contradicting_examples(loss):
    """The same users like two groups of items; the group of greater weight wins."""
    interactions = sp.coo_matrix((np.random.default_rng(1).random((100, 30)) < 0.3).astype("f4"))
    heavy = interactions.col % 2 == 0
    weights = of_values(interactions, np.where(heavy, 1.0, 0.05))
    model = LightFM(loss=loss, no_components=3, random_state=1)
    model.fit(interactions, sample_weight=weights, epochs=10)
    mean = all_scores(model, 100, 30).mean(axis=0)
    assert mean[::2].min() > mean[1::2].max()


# Threads


@pytest.mark.parametrize("n", [1, 127, 128, 129, 5000, 40_000])
@pytest.mark.parametrize("num_threads", [1, 2, 3, 8])
def test_every_example_is_trained_on_once(num_threads, n):
    """However it is cut into blocks. No two examples share a row, and a step moves G alone."""
    ids = np.random.RandomState(0).permutation(n)
    interactions = sp.coo_matrix((np.ones(n), (np.arange(n), ids)))
    model = LightFM(loss="logistic", learning_rate=0.0, random_state=1)
    model.fit(interactions, epochs=3, num_threads=num_threads)
    g = 1 / (1 + np.exp(-model.predict(np.arange(n), ids))) - 1
    np.testing.assert_allclose(model.user_bias_gradients, 1 + 3 * g**2, rtol=1e-5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_fork_after_a_parallel_fit():
    """The child trains and ranks, on one thread, instead of waiting for threads it has not got."""
    code = """
import os, warnings
import numpy as np, scipy.sparse as sp
from lightfm_clone import LightFM, _core
warnings.simplefilter("ignore", DeprecationWarning)
interactions = sp.coo_matrix(np.random.default_rng(0).random((200, 100)) < 0.3)
model = LightFM(loss="warp", random_state=0).fit(interactions, num_threads=2)
model.predict_rank(interactions, num_threads=2)
child = os.fork()
if child == 0:
    assert _core.threads_available() == 1
    model.fit(interactions, epochs=2, num_threads=2)
    model.predict_rank(interactions, num_threads=2)
    model.predict(np.arange(100), np.arange(100), num_threads=2)
    os._exit(0)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status))
model.fit_partial(interactions, num_threads=2)
"""
    try:
        assert output_of(code, timeout=30) == "0"
    except subprocess.TimeoutExpired:
        pytest.fail("the forked child hangs")


# L2


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", LOSSES)
def test_l2_draws_towards_zero(loss, schedule):
    """The more, the smaller the parameters that the last examples have not touched."""
    train, _ = groups_of_taste(seed=7)
    if loss == "mse":
        train = sp.coo_matrix(2 * train.toarray() - 1)

    def size(side: str, alpha: float) -> float:
        model = LightFM(loss=loss, learning_schedule=schedule, epsilon=1e-4, random_state=1)
        setattr(model, f"{side}_alpha", alpha)
        model.fit(train, epochs=10)
        assert are_finite(model)
        return np.linalg.norm(getattr(model, f"{side}_embeddings"))

    for side in ("item", "user"):
        alphas = (0.0, 1e-4, 1e-3) if loss == "mse" else (0.0, 1e-3, 1e-2)
        sizes = [size(side, alpha) for alpha in alphas]
        assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize(("alpha", "num_threads"), [(1.0, 1), (1.0, 2), (1000.0, 1)])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", BOUNDED_LOSSES)
def test_scales_that_pass_their_limit(loss, schedule, alpha, num_threads):
    """So strong a decay that the scales reach 1e6 within an epoch, more than once."""
    train, _ = groups_of_taste(seed=8)
    model = LightFM(loss=loss, learning_schedule=schedule, random_state=1, item_alpha=alpha)
    if schedule == "sgd" and alpha < 1000:  # its rates do not fall with the gradients
        model.learning_rate = 0.01
    model.fit(train, epochs=3, num_threads=num_threads)
    if loss == "softmax":  # scales are looked at once a block, and sums of squares may overflow
        model.predict_rank(train)  # refuses what is not finite
    else:
        assert are_finite(model)


@pytest.mark.parametrize("loss", [loss for loss in BOUNDED_LOSSES if loss != "softmax"])
def test_much_l2_leaves_nothing_to_learn(loss, ml_100k):
    """What LightFM's own tests ask for, on the real MovieLens 100K.

    The directions that softmax learns do not shrink with the embeddings.
    """
    parts = {
        part: sp.coo_matrix(
            (
                np.where(ml_100k[f"ua_{part}_rating"] >= 4, 1, -1),
                (ml_100k[f"ua_{part}_user"], ml_100k[f"ua_{part}_item"]),
            ),
            shape=(943, 1682),
        )
        for part in ("train", "test")
    }
    model = LightFM(loss=loss, item_alpha=1.0, user_alpha=1.0, random_state=10)
    model.fit(parts["train"], epochs=10, num_threads=4)
    # The optimiser's sums of squares may have left the range of float32.
    assert all(np.isfinite(getattr(model, name)).all() for name in EMBEDDINGS_AND_BIASES)
    for part in parts.values():
        assert explicit_auc(model, part) < 0.65


# Resources


def test_huge_k_and_n():
    """Memory follows what users know, not what k and n would allow."""
    interactions = random_interactions()
    huge = LightFM(loss="warp-kos", k=2**31 - 1, n=2**31 - 1, random_state=1).fit(interactions)
    most = int(interactions.tocsr().getnnz(axis=1).max())
    enough = LightFM(loss="warp-kos", k=most, n=most, random_state=1).fit(interactions)
    np.testing.assert_array_equal(huge.item_embeddings, enough.item_embeddings)


def test_huge_thread_count():
    """The runtime would end the process if it could not have a thousand threads."""
    interactions, _ = groups_of_taste(n_users=3000, n_items=40)
    assert are_finite(LightFM(loss="warp").fit(interactions, num_threads=100_000))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
def test_interrupt_while_the_scales_overflow():
    """With an L2 this strong nearly every example divides all parameters."""
    interactions = random_interactions(shape=(3000, 3000), n_entries=30_000)
    model = LightFM(no_components=64, loss="warp", item_alpha=1e4, user_alpha=1e4)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    start = time.perf_counter()
    try:
        with pytest.raises(KeyboardInterrupt):
            model.fit(interactions, epochs=1000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.perf_counter() - start < 10
    assert are_finite(model)


def test_going_on_without_the_features_is_a_warning():
    interactions = random_interactions(shape=(30, 20))
    model = LightFM().fit(interactions, user_features=random_features(30, 30))
    with pytest.warns(UserWarning, match="fitted with user_features"):
        model.fit_partial(interactions)
    with pytest.warns(UserWarning, match="fitted with user_features"):
        model.predict(0, [1])


def test_a_parameter_with_an_infinite_state_rests():
    """A strong L2 lets accumulators overflow; training goes on for all the others."""
    interactions = random_interactions()
    model = LightFM(random_state=1).fit(interactions)
    model.item_embedding_gradients[0, 0] = np.inf
    before = model.item_embeddings.copy()
    model.fit_partial(interactions)
    assert model.item_embeddings[0, 0] == before[0, 0]
    assert (model.item_embeddings != before).mean() > 0.9
