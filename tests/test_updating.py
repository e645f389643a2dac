"""Updates: what is new is trained on with a replay of what is old, and nobody forgets."""

from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import ARRAYS, LOSSES, arrays_of
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from lightfm_clone import LightFM, evaluate
from lightfm_clone.datasets import synthetic_catalogue
from lightfm_clone.recommender import updating
from lightfm_clone.recommender.updating import train_on_new


def pairs(rows, cols, shape) -> sp.csr_matrix:
    matrix = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, cols)), shape=shape)
    matrix.sum_duplicates()
    return matrix


def grown(matrix: sp.csr_matrix, shape: tuple[int, int]) -> sp.csr_matrix:
    larger = matrix.copy()
    larger.resize(shape)
    return larger


CATALOGUE = synthetic_catalogue(200, 80, 4_000, random_state=3)
OLD = CATALOGUE.interactions.tocsr()[:180, :70]
EVERYTHING = CATALOGUE.interactions.tocsr()
NEW = EVERYTHING - grown(OLD, EVERYTHING.shape)
NEW.eliminate_zeros()


def fitted(loss: str = "warp", **parameters) -> LightFM:
    return LightFM(8, loss=loss, random_state=1, **parameters).fit(OLD, epochs=3)


def recorded(model, monkeypatch) -> dict:
    """What the update passes to the model's fit_partial."""
    given = {}
    monkeypatch.setattr(
        model, "fit_partial", lambda interactions, **rest: given.update(rest, examples=interactions)
    )
    return given


# The examples


def test_each_new_pair_comes_so_many_times_with_so_many_old_ones(monkeypatch):
    model = fitted()
    given = recorded(model, monkeypatch)
    new = NEW[:, :].tocoo()
    few = pairs(new.row[:40], new.col[:40], EVERYTHING.shape)
    train_on_new(model, EVERYTHING, few, epochs=4, replay=6)
    examples = given["examples"]
    counts = sp.csr_matrix(examples)  # sums
    assert examples.shape == EVERYTHING.shape
    assert (counts[few.nonzero()] == 4).all()
    others = counts - counts.multiply(few)
    others.eliminate_zeros()
    assert 0.9 * 4 * 6 * 40 < others.sum() <= 4 * 6 * 40
    assert others.max() <= 2  # and not the same ones again and again
    assert (EVERYTHING[others.nonzero()] == 1).all()
    assert given["epochs"] == 1
    assert given["known_interactions"] is EVERYTHING


def test_replay_ends_at_what_there_is(monkeypatch):
    model = fitted()
    given = recorded(model, monkeypatch)
    train_on_new(model, EVERYTHING, NEW, epochs=2, replay=1e9)
    counts = sp.csr_matrix(given["examples"])
    assert (counts != EVERYTHING + NEW.astype(bool)).nnz == 0


def test_values_and_weights_stay_with_their_pairs(monkeypatch):
    rng = np.random.default_rng(0)
    interactions, weights = EVERYTHING.copy(), EVERYTHING.copy()
    interactions.data = rng.choice([-1, 1, 2], EVERYTHING.nnz).astype(np.float32)
    weights.data = rng.random(EVERYTHING.nnz).astype(np.float32)
    model = fitted()
    given = recorded(model, monkeypatch)
    train_on_new(model, interactions, NEW, sample_weight=weights.data)
    examples, their_weights = given["examples"], given["sample_weight"]
    at = examples.row, examples.col
    assert_array_equal(examples.data, np.asarray(interactions[at]).ravel())
    assert_array_equal(their_weights.data, np.asarray(weights[at]).ravel())


@given(st.integers(1, 10_000), st.floats(0, 1), st.integers(0, 5))
def test_the_replay_is_spread_evenly(n, share, seed):
    n_drawn = int(share * n)
    drawn = updating._spread(n, n_drawn, np.random.RandomState(seed))
    assert len(drawn) == n_drawn
    assert ((drawn >= 0) & (drawn < n)).all()
    assert (np.diff(drawn) >= 0).all()
    # In no stretch more than its share, but for the ranges at its ends.
    middle = np.count_nonzero(drawn < n // 2)
    assert abs(middle - n_drawn * (n // 2) / n) <= 1


@given(st.data())
def test_new_pairs_are_found(data):
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    stored = data.draw(
        st.lists(st.tuples(*(st.integers(0, n - 1) for n in shape)), unique=True, min_size=1)
    )
    asked = data.draw(st.lists(st.sampled_from(stored)))
    interactions = pairs(*np.array(stored).T, shape)
    new = sp.coo_matrix((np.zeros(len(asked)), np.array(asked, int).reshape(-1, 2).T), shape)
    places = updating._places(interactions, new)
    coo = interactions.tocoo()
    assert sorted(zip(coo.row[places], coo.col[places], strict=True)) == sorted(set(asked))


# What is learned


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.filterwarnings("ignore::lightfm_clone.FitWarning")  # of losses that want dislikes
def test_new_rows_come_and_old_ones_stay_until_they_are_trained(loss):
    """One new pair, no replay: of the users' side nothing else moves."""
    model = fitted(loss)
    before = arrays_of(model)
    interactions = grown(OLD, (181, 71)).tolil()
    interactions[180, 3] = 1
    interactions = interactions.tocsr()
    new = pairs([180], [3], interactions.shape)
    assert train_on_new(model, interactions, new, replay=0) is model
    after = arrays_of(model)
    for name in ARRAYS:
        assert len(after[name]) == (181 if name.startswith("user") else 71)
        if name.startswith("user"):
            assert_array_equal(after[name][:180], before[name])
    assert not np.array_equal(after["item_embeddings"][3], before["item_embeddings"][3])
    assert len(model.history_) == 4


@pytest.mark.parametrize("loss", ["bpr", "warp", "softmax"])  # k-OS has what they know as positives
def test_what_users_know_is_never_a_negative(loss):
    """Without a replay, old items could only move as negatives."""
    n_users, n_items, n_known = 20, 40, 19
    old = np.zeros((n_users + 5, n_items), np.float32)
    old[:n_users, :n_known] = 1
    old[n_users:, n_known:] = 1  # others, so that bpr draws the rest, too
    interactions = old.copy()
    interactions[:n_users, n_known] = 1
    model = LightFM(4, loss=loss, k=1, n=1, max_sampled=30, random_state=2)
    model.fit(sp.csr_matrix(old), epochs=0)
    before = model.item_embeddings.copy()
    train_on_new(model, sp.csr_matrix(interactions), sp.csr_matrix(interactions - old), replay=0)
    moved = (model.item_embeddings != before).any(axis=1)
    assert not moved[:n_known].any()
    assert moved[n_known:].sum() > 10


@pytest.mark.parametrize("loss", ["warp", "softmax"])
def test_deterministic(loss):
    models = [train_on_new(fitted(loss), EVERYTHING, NEW) for _ in range(2)]
    for name in ARRAYS:
        assert_array_equal(getattr(models[0], name), getattr(models[1], name))
    other = fitted(loss)
    other.random_state = np.random.RandomState(9)
    train_on_new(other, EVERYTHING, NEW)
    assert (other.item_embeddings != models[0].item_embeddings).any()


def test_the_callers_data_stay():
    interactions, new = EVERYTHING.copy(), NEW.copy()
    train_on_new(fitted(), interactions, new)
    for ours, theirs in ((interactions, EVERYTHING), (new, NEW)):
        assert_array_equal(ours.data, theirs.data)
        assert_array_equal(ours.indices, theirs.indices)


def test_a_day_on_which_nothing_happens():
    """New items alone, without features, or nothing at all."""
    model = fitted()
    before = arrays_of(model)
    interactions = grown(OLD, (180, 75))
    train_on_new(model, interactions, sp.csr_matrix(interactions.shape))
    after = arrays_of(model)
    for name in ARRAYS:
        assert_array_equal(after[name][: len(before[name])], before[name])
    assert len(model.item_biases) == 75
    assert len(model.history_) == 3
    train_on_new(model, interactions, sp.csr_matrix(interactions.shape))
    assert_array_equal(model.item_embeddings, after["item_embeddings"])


def test_a_day_without_new_users_or_items():
    model = fitted()
    new = pairs(*(half[:50] for half in OLD.nonzero()), OLD.shape)  # what has changed
    before = arrays_of(model)
    train_on_new(model, OLD, new)
    assert model.user_embeddings.shape == before["user_embeddings"].shape
    assert (model.user_embeddings != before["user_embeddings"]).any()


def test_features_grow():
    def features(n: int, n_tags: int) -> sp.csr_matrix:
        """Tags first, so that ids which come later are at the end."""
        tags = sp.csr_matrix((np.ones(n, np.float32), (np.arange(n), np.arange(n) % n_tags)))
        return sp.hstack([tags, sp.identity(n, np.float32)], format="csr")

    model = LightFM(4, loss="warp", random_state=0)
    model.fit(OLD, item_features=features(70, 3), epochs=2)
    train_on_new(model, EVERYTHING, NEW, item_features=features(80, 3))
    assert len(model.item_biases) == 83
    assert len(model.user_biases) == 200


@pytest.mark.parametrize(("loss", "schedule"), [("softmax", "sgd"), ("warp", "adagrad")])
def test_the_learning_rate_is_the_callers_again(monkeypatch, loss, schedule):
    """Whether the update succeeds or not; sgd starts low meanwhile."""
    model = fitted(loss)
    mark = model.learning_rate
    rates = []

    def fit_partial(*_, **__):
        rates.append(model.learning_rate)
        raise RuntimeError

    monkeypatch.setattr(model, "fit_partial", fit_partial)
    with pytest.raises(RuntimeError):
        train_on_new(model, EVERYTHING, NEW)
    assert model.learning_rate is mark
    assert rates[0] == (pytest.approx(0.03) if schedule == "sgd" else 0.05)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"new": sp.csr_matrix((3, 3))}, "new must have the shape of interactions, (200, 80)"),
        ({"epochs": 0}, "epochs must be an integer of at least 1, got 0"),
        ({"replay": -1}, "replay must be a number of at least 0, got -1"),
        ({"replay": np.nan}, "replay must be a number of at least 0, got nan"),
        ({"interactions": EVERYTHING.tocoo()}, "interactions must be a CSR matrix with sorted"),
        ({"interactions": grown(OLD, (200, 80))}, f"got {NEW.nnz} others, the first of user "),
    ],
)
def test_refusals(changes, message):
    model = fitted()
    before = arrays_of(model)
    with pytest.raises(ValueError, match=re.escape(message)):
        train_on_new(model, **{"interactions": EVERYTHING, "new": NEW, **changes})
    for name in ARRAYS:
        assert_array_equal(getattr(model, name), before[name])


def test_a_model_that_is_not_fitted_is_refused():
    with pytest.raises(ValueError, match="the model is not fitted yet: call fit first"):
        train_on_new(LightFM(), EVERYTHING, NEW)


@pytest.mark.parametrize(("loss", "epochs"), [("warp", 5), ("softmax", 10)])
def test_updates_keep_up_with_training_from_scratch(loss, epochs):
    """Five slices of 2 % of the interactions, of a catalogue whose people join by and by.

    Of training from scratch, six seeds measured: 0.966 to 1.019 and 0.959 to 1.022, in the mean
    0.994 and 1.000. Left as it was, the model comes to 0.95 and 0.91; without a replay, softmax
    comes to 0.94.
    """
    log = synthetic_catalogue(1_500, 300, 60_000, random_state=0).interactions
    _, first_rows = np.unique(log.row, return_index=True)
    number = np.argsort(np.argsort(first_rows))  # by the first thing they did
    users = number[log.row]
    cuts = [int(log.nnz * (0.5 + 0.02 * day)) for day in range(6)]

    def until(cut: int) -> sp.csr_matrix:
        return pairs(users[:cut], log.col[:cut], (users[:cut].max() + 1, log.shape[1]))

    ends = [until(cut) for cut in cuts]
    later = slice(cuts[-1], None)
    inside = users[later] < ends[-1].shape[0]
    test = pairs(users[later][inside], log.col[later][inside], ends[-1].shape)

    def quality(model) -> float:
        return evaluate(model, test, ends[-1], metrics=("ndcg@10",))["ndcg@10"]

    updated, scratch = [], []
    for seed in range(2):
        model = LightFM(16, loss=loss, random_state=seed).fit(ends[0], epochs=epochs)
        for before, after in zip(ends, ends[1:], strict=False):
            new = after - grown(before, after.shape)
            new.eliminate_zeros()
            train_on_new(model, after, new)
        updated.append(quality(model))
        scratch.append(
            quality(LightFM(16, loss=loss, random_state=seed).fit(ends[-1], epochs=epochs))
        )
    assert np.mean(updated) > 0.97 * np.mean(scratch)
