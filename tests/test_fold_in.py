"""New users and items from their interactions alone: trained alike; the model stands still."""

from __future__ import annotations

import re
from copy import copy, deepcopy
from pathlib import Path

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from helpers import (
    ARRAYS,
    LOSSES,
    SCHEDULES,
    arrays_of,
    assert_equal_arrays,
    groups_of_taste,
    random_features,
    random_interactions,
    run_python,
)
from test_twin import interactions_of, weights_of

from lightfm_clone import LightFM
from lightfm_clone._model import fold_in, training
from lightfm_clone.evaluation import auc_score

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "fold_in.py"
RANKING = [loss for loss in LOSSES if loss not in ("logistic", "mse")]
N_USERS, N_ITEMS, D = 30, 25, 5
FEATURES = {
    "user_features": random_features(N_USERS, 7, seed=2),
    "item_features": random_features(N_ITEMS, 9, seed=1),
}


def fitted(loss: str, schedule: str = "adagrad", alpha: float = 0.0, **features) -> LightFM:
    settings = {"loss": loss, "learning_schedule": schedule, "no_components": D}
    settings |= {"user_alpha": alpha, "item_alpha": alpha, "k": 2, "n": 4, "n_negatives": 8}
    model = LightFM(**settings, random_state=3)
    return model.fit(interactions_of(0), epochs=3, **features)


# The twin, of which a whole side or the first items stand still


class Still(reference.Side):
    """The first `n_still` rows are read and never stepped."""

    n_still = 0


@pytest.fixture
def twin(monkeypatch):
    """`run(state, interactions, weights, draws)`, where all sides are `Still`."""
    step = reference.step_features

    def step_features(epoch, side, row, gradient):
        return [] if row.features[0] < side.n_still else step(epoch, side, row, gradient)

    def run(state, interactions, weights, draws, item_counts=None, epochs=2):
        larger = reference.Larger(item_counts=item_counts)
        items, users = state.items, state.users
        if items.n_still == len(items.parameters):
            state.settings.item_alpha = 0.0
        if users.n_still == len(users.parameters):
            state.settings.user_alpha = 0.0
        known = items.parameters[: items.n_still].copy()
        for epoch in range(epochs):
            seed = reference.epoch_seed(draws)
            span = epoch / epochs, (epoch + 1) / epochs
            state = reference.run_epoch(
                state, interactions, None, None, weights, seed, span, larger=larger
            )
            state.items.parameters[: len(known)] = known  # L2 shrinks all rows of a side
        return state

    monkeypatch.setattr(reference, "step_features", step_features)
    return run


def settings_of(model: LightFM) -> reference.Settings:
    """What is meant by the defaults, if the loss is softmax."""
    parameters = model.get_params()
    del parameters["random_state"]
    if model.loss == "softmax":
        parameters["learning_rate"] = 0.1
    return reference.Settings(**parameters)


def still(vectors: tuple[np.ndarray, np.ndarray]) -> Still:
    """A side of these biases and embeddings, all of which stand still."""
    parameters = np.column_stack(vectors[::-1]).astype(np.float64)
    side = Still(parameters, np.zeros_like(parameters), np.zeros_like(parameters))
    side.n_still = len(parameters)
    return side


def drawn(model: LightFM, n: int, draws: np.random.RandomState) -> Still:
    side = reference.initial_state(settings_of(model), n, 0, draws).items
    return Still(side.parameters, side.gradients, side.momentum)


def assert_same(model: LightFM, actual: tuple, parameters: np.ndarray) -> None:
    expected = parameters[:, :-1]
    if model.loss == "softmax":
        lengths = np.linalg.norm(expected, axis=1, keepdims=True)
        expected = expected / np.where(lengths > 0, lengths, 1)
    biases, embeddings = actual
    assert biases.dtype == embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, expected, rtol=1e-4, atol=3e-5)
    np.testing.assert_allclose(biases, parameters[:, -1], rtol=1e-4, atol=3e-5)


LOSSES_AND_SCHEDULES = [(loss, schedule) for loss in LOSSES for schedule in SCHEDULES]


@pytest.mark.parametrize("alpha", [0.0, 0.02])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("loss", "schedule"), LOSSES_AND_SCHEDULES)
def test_users_as_the_twin_finds_them(twin, loss, schedule, weighted, alpha):
    """Start: the mean of what they like, by weight, and the median state of the model's users."""
    model = fitted(loss, schedule, alpha, item_features=FEATURES["item_features"])
    interactions = interactions_of(7, (12, N_ITEMS), 60)
    interactions.row[interactions.row == 4] = 5  # a user without any
    interactions.data[interactions.row == 6] = -1  # and one who likes nothing
    weights = weights_of(interactions, 1) if weighted else None
    items = model.get_item_representations(FEATURES["item_features"])

    draws = np.random.RandomState(8)
    users = drawn(model, 12, draws)
    if loss == "softmax":
        users.parameters[:] = 0
    for state, name in ((users.gradients, "gradients"), (users.momentum, "momentum")):
        state[:, :-1] = np.median(getattr(model, f"user_embedding_{name}"), axis=0)
        state[:, -1] = np.median(getattr(model, f"user_bias_{name}"))
    if loss not in ("logistic", "mse"):
        for user in range(12):
            mine = (interactions.row == user) & (interactions.data > 0)
            if mine.any():
                users.parameters[user, :-1] = np.average(
                    items[1][interactions.col[mine]],
                    axis=0,
                    weights=weights.data[mine] if weighted else None,
                )
    users.parameters = users.parameters.astype(np.float32).astype(np.float64)
    counts = None
    if loss == "bpr":  # and 24 times every item
        counts = np.bincount(interactions.col, minlength=N_ITEMS) + 600 // N_ITEMS
    state = reference.State(settings_of(model), still(items), users, model.global_mean_)
    expected = twin(state, interactions, weights, draws, counts)

    actual = model.fold_in_users(
        interactions,
        item_features=FEATURES["item_features"],
        sample_weight=weights,
        epochs=2,
        random_state=8,
    )
    assert actual[1].shape == (12, D)
    assert_same(model, actual, expected.users.parameters[:12])


@pytest.mark.parametrize("alpha", [0.0, 0.02])
@pytest.mark.parametrize("with_train", [False, True])
@pytest.mark.parametrize(("loss", "schedule"), LOSSES_AND_SCHEDULES)
def test_items_as_the_twin_finds_them(twin, loss, schedule, with_train, alpha):
    """New items are drawn as in a first fit. The old ones come first among all items."""
    model = fitted(loss, schedule, alpha, **FEATURES)
    interactions = interactions_of(7, (N_USERS, 6), 60)
    weights = weights_of(interactions, 1)
    train = interactions_of(0)
    items = model.get_item_representations(FEATURES["item_features"])
    users = model.get_user_representations(FEATURES["user_features"])

    draws = np.random.RandomState(8)
    new, old_and_new = drawn(model, 6, draws), still(items)
    for name in ("parameters", "gradients", "momentum"):
        both = np.concatenate([getattr(old_and_new, name), getattr(new, name)])
        setattr(old_and_new, name, both)
    shape = (N_USERS, N_ITEMS + 6)
    parts = [(interactions, weights, N_ITEMS)]
    if with_train:
        ones = train.copy()
        ones.data = np.ones_like(ones.data)
        parts.append((train, ones, 0))

    def joined(at):
        row = np.concatenate([part[0].row for part in parts])
        col = np.concatenate([part[0].col + part[2] for part in parts])
        return sp.coo_matrix((np.concatenate([part[at].data for part in parts]), (row, col)), shape)

    counts = None
    if loss == "bpr" and not with_train:  # 20 times every item are 10 times the entries, or more
        counts = np.bincount(interactions.col + N_ITEMS, minlength=N_ITEMS + 6) + 20
    state = reference.State(settings_of(model), old_and_new, still(users), model.global_mean_)
    expected = twin(state, joined(0), joined(1), draws, counts)

    actual = model.fold_in_items(
        interactions,
        train_interactions=train if with_train else None,
        sample_weight=weights,
        epochs=2,
        random_state=8,
        **FEATURES,
    )
    assert actual[1].shape == (6, D)
    assert_same(model, actual, expected.items.parameters[N_ITEMS:])


@pytest.mark.parametrize("loss", ["warp", "softmax"])
def test_items_at_every_level(level, loss):
    """The twin holds at one level; the others differ from it in rounding."""
    model = fitted(loss)
    items = interactions_of(7, (N_USERS, 6), 60)
    biases, embeddings = model.fold_in_items(items, random_state=0)
    assert np.isfinite(biases).all() and np.isfinite(embeddings).all()


def test_the_median_is_taken_of_a_sample_of_very_many(monkeypatch):
    monkeypatch.setattr(fold_in, "_SAMPLED_STATES", 10)
    states = np.zeros((3, 2), np.float32)
    learned = np.column_stack([np.arange(100), np.full(100, np.inf)]).astype(np.float32)
    fold_in._fill_with_median(states, learned)  # rows 0, 10, ..., 90; infinity is no state
    np.testing.assert_array_equal(states, [[45, 0]] * 3)
    fold_in._fill_with_median(states, learned[:0])
    np.testing.assert_array_equal(states, [[45, 0]] * 3)


# The model stands still


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("alpha", [0.0, 0.03])
@pytest.mark.parametrize(("loss", "schedule"), LOSSES_AND_SCHEDULES)
def test_the_model_stays_as_it_is(loss, schedule, alpha, num_threads):
    model = fitted(loss, schedule, alpha, **FEATURES)
    objects, before, settings = dict(vars(model)), arrays_of(model), model.get_params()
    draws = model.random_state.get_state()
    history = deepcopy(model.history_)
    shared = {"num_threads": num_threads, "random_state": 0}
    features = {"item_features": FEATURES["item_features"]}
    model.fold_in_users(interactions_of(7, (12, N_ITEMS), 60), **features, **shared)
    model.fold_in_items(interactions_of(7, (N_USERS, 6), 60), **FEATURES, **shared)
    assert vars(model).keys() == objects.keys()
    assert all(vars(model)[name] is value for name, value in objects.items())
    assert_equal_arrays(arrays_of(model), before)
    assert model.get_params() == settings and model.history_ == history
    np.testing.assert_array_equal(model.random_state.get_state()[1], draws[1])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_items_packed_once_serve_any_number_of_requests(loss, schedule):
    """With L2, whose scales go into what is trained, and must not into what is shared."""
    model = fitted(loss, schedule, alpha=0.01)
    at_rest = training.at_rest(*model.get_item_representations())
    given = {"item_features": None, "sample_weight": None, "epochs": 4, "num_threads": 1}
    for seed in range(3):
        likes = interactions_of(seed, (12, N_ITEMS), 60)
        expected = model.fold_in_users(likes, epochs=4, random_state=seed)
        found = fold_in.fold_in_users(model, likes, **given, random_state=seed, items=at_rest)
        for left, right in zip(found, expected, strict=True):
            np.testing.assert_array_equal(left, right)


def test_input_that_cannot_be_written_to():
    """Neither the arrays of the model nor the caller's matrices are written to."""
    model, users = fitted("warp"), interactions_of(7, (12, N_ITEMS), 60)
    items, train = interactions_of(7, (N_USERS, 6), 60), interactions_of(0)
    for name in ARRAYS:
        getattr(model, name).flags.writeable = False
    for matrix in (users, items, train):
        for array in (matrix.row, matrix.col, matrix.data):
            array.flags.writeable = False
    model.fold_in_users(users, sample_weight=users)
    model.fold_in_items(items, train_interactions=train, sample_weight=items)


def test_seeds():
    model, interactions = fitted("warp"), interactions_of(7, (12, N_ITEMS), 60)

    def embeddings(random_state):
        return model.fold_in_users(interactions, random_state=random_state)[1]

    np.testing.assert_array_equal(embeddings(3), embeddings(np.random.RandomState(3)))
    np.testing.assert_array_equal(
        embeddings(np.random.default_rng(3)), embeddings(np.random.default_rng(3))
    )
    assert not np.array_equal(embeddings(3), embeddings(4))
    assert not np.array_equal(embeddings(None), embeddings(None))


# Known answers

SEEN, REST = (matrix.tocsr() for matrix in groups_of_taste(1, n_users=150, n_items=60))


def with_users(model: LightFM, users: tuple) -> LightFM:
    served = copy(model)
    served.user_biases, served.user_embeddings = users
    return served


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("schedule", ["adagrad", "adadelta"])
@pytest.mark.parametrize("loss", RANKING)
def test_new_users_of_known_taste(loss, schedule, alone):
    """All at once, or one in a call: what others like makes no difference."""
    model = LightFM(loss=loss, learning_schedule=schedule, random_state=0)
    model.fit(SEEN[:100], epochs=15)
    told = SEEN[100:]
    if alone:
        parts = [model.fold_in_users(told[i], random_state=i) for i in range(50)]
        users = tuple(map(np.concatenate, zip(*parts, strict=True)))
    else:
        users = model.fold_in_users(told, random_state=0)
    assert auc_score(with_users(model, users), REST[100:], told).mean() > 0.93
    ids, _ = model.recommend(user_representations=users, exclude=told, k=5)
    group = np.arange(100, 150)[:, None] % 2
    assert (ids % 2 == group).mean() > 0.93


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("loss", RANKING)
def test_new_items_of_known_taste(loss, num_threads):
    """And beside the old items, of which users should get their share."""
    model = LightFM(loss=loss, random_state=0).fit(SEEN[:, :40], epochs=15)
    biases, embeddings = model.fold_in_items(
        SEEN[:, 40:],
        train_interactions=SEEN[:, :40],
        random_state=0,
        num_threads=num_threads,
    )
    model.resize(n_item_features=60)
    model.item_biases[40:], model.item_embeddings[40:] = biases, embeddings
    assert auc_score(model, REST, SEEN).mean() > 0.93
    ids, _ = model.recommend(exclude=SEEN)
    assert 0.15 < (ids >= 40).mean() < 0.6  # a third of the items


@pytest.mark.parametrize("loss", RANKING)
def test_new_items_without_the_old_interactions(loss):
    """Among themselves they come in the right order."""
    model = LightFM(loss=loss, random_state=0).fit(SEEN[:, :40], epochs=15)
    vectors = model.fold_in_items(SEEN[:, 40:], random_state=0)
    model.item_biases, model.item_embeddings = vectors
    assert auc_score(model, REST[:, 40:], SEEN[:, 40:]).mean() > 0.9


def test_ratings_of_a_new_user():
    """Ratings of rank 2 and biases around a mean of 3; half of them are told."""
    rng = np.random.default_rng(0)
    users, items = rng.normal(size=(300, 2)), rng.normal(size=(80, 2))
    ratings = 3 + users @ items.T + rng.normal(size=(300, 1)) + rng.normal(size=80)
    told = rng.random(ratings.shape) < 0.5
    rows, cols = np.nonzero(told)
    train = sp.coo_matrix((ratings[told], (rows, cols)), ratings.shape).tocsr()
    model = LightFM(loss="mse", no_components=4, random_state=0).fit(train[:250], epochs=60)
    biases, embeddings = model.fold_in_users(train[250:], random_state=0)
    predicted = model.global_mean_ + biases[:, None] + model.item_biases
    predicted = predicted + embeddings @ model.item_embeddings.T
    error = (predicted - ratings[250:])[~told[250:]]
    assert np.sqrt(np.mean(error**2)) < 0.3 * ratings[250:].std()
    assert np.corrcoef(biases, (ratings[250:] * told[250:]).sum(1) / told[250:].sum(1))[0, 1] > 0.5


def test_likes_and_dislikes_of_a_new_user():
    """`logistic` hears of both."""
    signs = SEEN.toarray() + REST.toarray()
    signs = np.where(signs > 0, 1.0, -1.0)
    told = np.random.default_rng(0).random(signs.shape) < 0.5
    matrix = sp.csr_matrix(np.where(told, signs, 0))
    model = LightFM(random_state=0).fit(matrix[:100], epochs=10)
    biases, embeddings = model.fold_in_users(matrix[100:], random_state=0)
    scores = embeddings @ model.item_embeddings.T + biases[:, None] + model.item_biases
    assert ((scores > 0) == (signs[100:] > 0))[~told[100:]].mean() > 0.95


def test_weights_count():
    """A user who likes both groups, one of them a hundred times as much."""
    model = LightFM(loss="warp", random_state=0).fit(SEEN, epochs=15)
    both = sp.coo_matrix(np.ones((1, 20)) @ np.eye(20, 60))
    for group in (0, 1):
        weights = both.copy()
        weights.data = np.where(both.col % 2 == group, 10.0, 0.1)
        users = model.fold_in_users(both, sample_weight=weights, random_state=0)
        ids, _ = model.recommend(user_representations=users, exclude=both, k=10)
        assert (ids % 2 == group).mean() > 0.7


# Edges


@pytest.mark.parametrize("loss", LOSSES)
def test_users_without_interactions(loss):
    """They stay as they are drawn, or 0 where that means more, so that the items' biases decide."""
    model = fitted(loss)
    biases, embeddings = model.fold_in_users(sp.coo_matrix((3, N_ITEMS)), random_state=1)
    assert biases.shape == (3,) and not biases.any()
    assert embeddings.shape == (3, D) and np.abs(embeddings).max() <= 0.5 / D
    assert embeddings.all() if loss != "softmax" else not embeddings.any()
    biases, embeddings = model.fold_in_users(sp.coo_matrix((0, N_ITEMS)))
    assert biases.shape == (0,) and embeddings.shape == (0, D)
    biases, embeddings = model.fold_in_items(sp.coo_matrix((N_USERS, 0)))
    assert biases.shape == (0,) and embeddings.shape == (0, D)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_user_who_knows_everything(loss):
    everything = sp.coo_matrix(np.ones((1, N_ITEMS)))
    for vectors in fitted(loss).fold_in_users(everything, random_state=1):
        assert np.isfinite(vectors).all()


def test_no_epochs():
    model = fitted("warp")
    interactions = interactions_of(7, (12, N_ITEMS), 60)
    biases, embeddings = model.fold_in_users(interactions, epochs=0, random_state=1)
    liked = interactions.tocsr() > 0
    user = np.flatnonzero(liked.getnnz(axis=1) == 1)[:1]
    if user.size:
        np.testing.assert_array_equal(
            embeddings[user[0]], model.item_embeddings[liked[user[0]].indices[0]]
        )
    assert not biases.any()


@pytest.mark.parametrize("convert", [sp.csr_matrix, sp.csc_array, sp.lil_matrix, sp.coo_array])
def test_any_format(convert):
    model, interactions = fitted("warp"), random_interactions(7, (12, N_ITEMS), 60).tocsr()
    expected = model.fold_in_users(interactions.tocoo(), random_state=1)
    if convert is sp.csc_array:  # another order of the same entries
        expected = model.fold_in_users(interactions.tocsc(), random_state=1)
    actual = model.fold_in_users(convert(interactions), random_state=1)
    np.testing.assert_array_equal(actual[1], expected[1])


def test_more_rows_of_features_than_items():
    """As in a fit, all of them are candidates for negatives."""
    features = random_features(N_ITEMS + 4, 9, seed=1)
    model = LightFM(loss="warp", random_state=3).fit(interactions_of(0), item_features=features)
    interactions = interactions_of(7, (12, N_ITEMS), 60)
    assert model.fold_in_users(interactions, item_features=features)[0].shape == (12,)
    vectors = model.fold_in_items(
        interactions_of(7, (N_USERS, 6), 60),
        train_interactions=interactions_of(0),
        item_features=features,
    )
    assert vectors[1].shape == (6, 10)


def test_subclasses_draw_their_own_way():
    class Warm(LightFM):
        def _initialize(self, *numbers):
            super()._initialize(*numbers)
            self.item_embeddings += 1
            self.user_embeddings += 1

    model = Warm(random_state=0).fit(interactions_of(0))
    _, users = model.fold_in_users(sp.coo_matrix((3, N_ITEMS)))
    _, items = model.fold_in_items(sp.coo_matrix((N_USERS, 2)))
    assert min(users.min(), items.min()) > 0.9


# What is refused


@pytest.mark.parametrize(
    ("interactions", "options", "match"),
    [
        (sp.coo_matrix((3, 24)), {}, "interactions have 24 items, but there are 25 item features"),
        (sp.coo_matrix((3, 26)), {}, "have 26 items.*pass the item_features of the fit"),
        (sp.coo_matrix([[np.nan] * 25]), {}, "interactions must be finite"),
        ("likes", {}, "interactions must be a scipy sparse matrix"),
        (sp.coo_matrix((3, 25)), {"epochs": -1}, "epochs must be an integer"),
        (sp.coo_matrix((3, 25)), {"num_threads": 0}, "num_threads must be"),
        (sp.coo_matrix((3, 25)), {"random_state": "x"}, "random_state must be"),
        (sp.coo_matrix((3, 25)), {"item_features": np.eye(24)}, "must have the 25 columns"),
        (sp.coo_matrix((3, 25)), {"item_features": sp.eye(9, 25)}, "25 items.* 9 rows"),
        (sp.coo_matrix((3, 25)), {"sample_weight": sp.csr_matrix((3, 25))}, "must be a COO matrix"),
    ],
)
def test_bad_input_for_users(interactions, options, match):
    with pytest.raises(ValueError, match=match):
        fitted("warp").fold_in_users(interactions, **options)


@pytest.mark.parametrize(
    ("interactions", "options", "match"),
    [
        (sp.coo_matrix((29, 3)), {}, "interactions have 29 users, but there are 30 user features"),
        (sp.coo_matrix((30, 3)), {"item_features": np.eye(24)}, "must have the 25 columns"),
        (sp.coo_matrix((30, 3)), {"user_features": np.eye(29)}, "must have the 30 columns"),
        (
            sp.coo_matrix((30, 3)),
            {"train_interactions": sp.coo_matrix((29, 25))},
            r"train_interactions must have .* shape \(30, 25\), got \(29, 25\)",
        ),
        (
            sp.coo_matrix((30, 3)),
            {"train_interactions": sp.coo_matrix((30, 26))},
            r"shape \(30, 25\), got \(30, 26\)",
        ),
        (
            sp.coo_matrix((30, 3)),
            {"train_interactions": sp.coo_matrix([[np.inf] * 25] * 30)},
            "train_interactions must be finite",
        ),
    ],
)
def test_bad_input_for_items(interactions, options, match):
    with pytest.raises(ValueError, match=match):
        fitted("warp").fold_in_items(interactions, **options)


def test_nothing_to_fold_into():
    for method in ("fold_in_users", "fold_in_items"):
        with pytest.raises(ValueError, match="not fitted"):
            getattr(LightFM(), method)(sp.coo_matrix((3, 3)))


def test_divergence_is_told():
    model = fitted("mse")
    model.learning_rate = 1e30
    before = arrays_of(model)
    with pytest.raises(ValueError, match="new users diverged in epoch 1.*learning_rate=1e.30"):
        model.fold_in_users(interactions_of(7, (12, N_ITEMS), 60), random_state=0)
    assert_equal_arrays(arrays_of(model), before)


def test_a_model_of_features_asks_for_them():
    model = LightFM(loss="warp").fit(
        interactions_of(0), item_features=random_features(N_ITEMS, N_ITEMS)
    )
    with pytest.raises(ValueError, match="item_features must be given"):
        model.fold_in_users(sp.coo_matrix((3, N_ITEMS)))


# Real data


def tables(output: str) -> list[dict[str, np.ndarray]]:
    """The means of each table's rows: precision@10, ndcg@10, auc and more."""
    rows = re.findall(r"^  (\S.*?)  +(\d.* ± .*)$", output, re.MULTILINE)
    found: list[dict[str, np.ndarray]] = []
    for name, cells in rows:
        if name == "popularity":
            found.append({})
        found[-1][name] = np.array(re.findall(r"([\d.]+) ±", cells), dtype=float)
    return found


def check_example(output: str, over_mean: float) -> None:
    *of_users, of_films = tables(output)
    assert len(of_users) == 3
    for at, rows in enumerate(of_users):
        folded_in, mean = rows["fold-in"], rows["mean of the liked films"]
        assert (folded_in[:2] > 1.2 * rows["popularity"][:2]).all()
        assert folded_in[2] > rows["popularity"][2]
        assert (folded_in > 0.98 * rows["training with them"]).all()
        # Of few likes, the mean is hard to beat.
        assert (folded_in[:2] > (over_mean if at == 0 else 0.97) * mean[:2]).all()
    popular, alone, beside_old, trained = of_films.values()
    for folded_in in (alone, beside_old):
        assert (folded_in[:2] > 1.2 * popular[:2]).all()
        assert (folded_in[:3] > 0.97 * trained[:3]).all()
    assert alone[3] > 0.5 > 0.15 > 2 * trained[3] > beside_old[3] > trained[3] / 2


def test_example_on_made_up_data(monkeypatch):
    monkeypatch.delenv("LIGHTFM_CLONE_TEST_DATA", raising=False)
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")  # the same output every time
    done = run_python(EXAMPLE, "--seeds", "3", timeout=120)
    assert done.returncode == 0, done.stderr
    assert "made-up data: 2,000 users" in done.stdout
    check_example(done.stdout, over_mean=1.01)


@pytest.mark.slow
def test_example_on_movielens_1m(ml_1m, data_dir, monkeypatch):
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    done = run_python(EXAMPLE, data_dir, "--seeds", "1", timeout=600)
    assert done.returncode == 0, done.stderr
    assert "6,040 users, 3,883 films, 575,281 likes" in done.stdout
    check_example(done.stdout, over_mean=1.06)
