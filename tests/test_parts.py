"""The training loop driven by others: an epoch in parts, a shard of a larger fit."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import LOSSES, SCHEDULES, random_features

from lightfm_clone import LightFM
from lightfm_clone._checks import check_features
from lightfm_clone._model import parameters, state
from lightfm_clone._model.examples import check_examples
from lightfm_clone._model.training import TrainedSide, Training, draw_seed

N_USERS, N_ITEMS, N = 300, 80, 2_000
EPOCHS = 2


def interactions_of(seed: int = 0) -> sp.coo_matrix:
    rng = np.random.default_rng(seed)
    rows, cols = np.divmod(rng.permutation(N_USERS * N_ITEMS)[:N], N_ITEMS)
    values = rng.choice([1.0, 2.0, -1.0], N, p=[0.6, 0.2, 0.2]).astype(np.float32)
    return sp.coo_matrix((values, (rows, cols)), shape=(N_USERS, N_ITEMS))


class Driver:
    """A model of drawn parameters, and the training of its arrays on some examples."""

    def __init__(
        self, interactions, features=None, known=None, item_counts=None, candidates=None, **settings
    ):
        self.model = LightFM(8, random_state=3, **settings)
        self.model.fit(interactions_of(), item_features=features, epochs=0)
        self.settings = parameters.settings(self.model)
        schedule = self.settings["learning_schedule"]
        parts = check_features(features, "item_features", N_ITEMS).parts
        item, user = (
            TrainedSide(*state.with_states(self.model, side, schedule), of)
            for side, of in zip(state.SIDES, (parts, None), strict=True)
        )
        self.training = Training(
            check_examples(interactions, None, parameters.loss_of(self.model)),
            user,
            item,
            N_ITEMS,
            schedule,
            known=known,
            item_counts=item_counts,
            candidates=candidates,
        )
        self.seeds = np.random.RandomState(5)

    def train(self, n_parts: int, hand_over: bool = False, num_threads: int = 1) -> dict:
        """All arrays after some epochs, each of so many parts."""
        for epoch in range(EPOCHS):
            self.training.shuffle(draw_seed(self.seeds), num_threads)
            parts = self.training.parts(self.training.n_examples // n_parts)
            assert len(parts) >= min(n_parts, 3)
            for begin, end in parts:
                shares = epoch / EPOCHS, (epoch + 1) / EPOCHS
                self.training.part(self.settings, begin, end, *shares)
                if hand_over:
                    self.training.settle()
                    self.training.write()
                    self.move_elsewhere()
                    self.training.read()
            self.training.settle()
        self.training.write()
        return {name: getattr(self.model, name).copy() for name in state.ARRAYS}

    def move_elsewhere(self) -> None:
        """What another process might do: nothing is left of the numbers but the arrays."""
        for side, packed in zip(self.training._sides, self.training._parameters, strict=True):
            copies = [[array.copy() for array in arrays] for arrays in side[:2]]
            zeros = [[np.zeros_like(array) for array in arrays] for arrays in side[:2]]
            packed.pack(*zeros)
            for arrays, kept in zip(side[:2], copies, strict=True):
                for array, values in zip(arrays, kept, strict=True):
                    array[...] = values


def assert_same(left: dict, right: dict) -> None:
    for name, array in left.items():
        np.testing.assert_array_equal(array, right[name], err_msg=name)


@pytest.mark.parametrize("hand_over", [False, True])
@pytest.mark.parametrize("features", [None, random_features(N_ITEMS, 12)], ids=["plain", "tags"])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", LOSSES)
def test_parts_train_bit_for_bit_what_one_go_trains(loss, schedule, features, hand_over):
    settings = {"loss": loss, "learning_schedule": schedule}
    whole = Driver(interactions_of(), features, **settings).train(1)
    in_parts = Driver(interactions_of(), features, **settings).train(4, hand_over)
    assert_same(whole, in_parts)
    assert any((whole[name] != 0).any() for name in whole)


@pytest.mark.parametrize("loss", LOSSES)
def test_parts_with_l2(loss):
    """The scales of L2 go on from part to part."""
    settings = {"loss": loss, "item_alpha": 1e-3, "user_alpha": 1e-3}
    whole = Driver(interactions_of(), **settings).train(1)
    assert_same(whole, Driver(interactions_of(), **settings).train(4))


@pytest.mark.parametrize("loss", LOSSES)
def test_the_fit_is_this_loop(loss):
    interactions = interactions_of()
    driver = Driver(interactions, loss=loss)
    driver.model.global_mean_ = 0.0
    trained = driver.train(3)
    model = LightFM(8, loss=loss, random_state=3).fit(interactions_of(), epochs=0)
    model.global_mean_ = 0.0  # the driver trains mse around 0
    model.random_state = np.random.RandomState(5)
    model.fit_partial(interactions, epochs=EPOCHS)
    assert_same(trained, {name: getattr(model, name) for name in state.ARRAYS})


def shard_of(interactions: sp.coo_matrix, users: slice) -> sp.coo_matrix:
    """The interactions of some users, under their own row numbers."""
    mine = np.isin(interactions.row, np.arange(N_USERS)[users])
    entries = interactions.data[mine], (interactions.row[mine], interactions.col[mine])
    return sp.coo_matrix(entries, shape=interactions.shape)


def test_a_shard_draws_bprs_negatives_by_the_counts_of_the_whole():
    """Here one item alone has a count, so it is every negative, though the shard lacks it."""
    interactions = interactions_of()
    keep = interactions.col != 7
    entries = interactions.data[keep], (interactions.row[keep], interactions.col[keep])
    interactions = sp.coo_matrix(entries, shape=interactions.shape)
    counts = np.zeros(N_ITEMS, np.int64)
    counts[7] = 100
    shard = shard_of(interactions, slice(0, 100))
    driver = Driver(shard, loss="bpr", item_counts=counts)
    before = driver.model.item_biases.copy()
    driver.train(2)
    fallen = np.flatnonzero(driver.model.item_biases < before)
    assert fallen.tolist() == [7]


@pytest.mark.parametrize("loss", ["bpr", "warp", "warp-kos", "softmax"])
def test_a_shard_knows_what_its_users_know_in_the_whole(loss):
    """All items but one are known from elsewhere, so that one is every negative."""
    rows = np.repeat(np.arange(50), 2)
    cols = np.tile([0, 1], 50)
    shard = sp.coo_matrix((np.ones(100, np.float32), (rows, cols)), shape=(N_USERS, N_ITEMS))
    known = np.delete(np.arange(N_ITEMS, dtype=np.int32), 7)
    indptr = np.arange(N_USERS + 1, dtype=np.int64) * len(known)
    driver = Driver(
        shard,
        loss=loss,
        k=1,
        max_sampled=500,
        known=(indptr, np.tile(known, N_USERS)),
        item_counts=np.ones(N_ITEMS, np.int64),
    )
    before = driver.model.item_biases.copy()
    driver.train(1)
    moved = np.flatnonzero(driver.model.item_biases != before)
    if loss == "warp-kos":  # draws its positives among the known items
        assert 7 in moved and driver.model.item_biases[7] < before[7]
    else:
        assert moved.tolist() == [0, 1, 7] and driver.model.item_biases[7] < before[7]


@pytest.mark.parametrize("loss", ["warp", "warp-kos", "softmax"])
def test_a_shard_draws_from_the_seen_items_of_the_whole(loss):
    """Its users know the two items that it has, so the one that others have is every negative."""
    cols = np.tile([0, 1], 50)
    entries = np.ones(100, np.float32), (np.repeat(np.arange(50), 2), cols)
    shard = sp.coo_matrix(entries, shape=(N_USERS, N_ITEMS))
    candidates = np.array([0, 1, 7], np.int32)
    driver = Driver(shard, loss=loss, k=1, max_sampled=50, negatives="seen", candidates=candidates)
    before = driver.model.item_biases.copy()
    driver.train(1)
    moved = np.flatnonzero(driver.model.item_biases != before)
    assert moved.tolist() == [0, 1, 7] and driver.model.item_biases[7] < before[7]


def test_parts_of_several_threads_hold_every_example_once():
    driver = Driver(interactions_of(), loss="logistic")
    driver.training.shuffle(1, 2)
    totals = [
        driver.training.part(driver.settings, begin, end).examples
        for begin, end in driver.training.parts(N // 3)
    ]
    assert len(totals) > 1 and sum(totals) == N


def test_only_what_moves_is_looked_at():
    """A catalogue that stands still would be copied after every epoch of a fold-in."""
    users, items = (
        TrainedSide([np.full((n, 4), size, np.float32)], [np.zeros(n, np.float32)], n_frozen=frozen)
        for n, size, frozen in ((N_USERS, 0.5, 0), (N_ITEMS, 1e9, N_ITEMS))
    )
    examples = check_examples(interactions_of(), None, parameters.loss_of(LightFM()))
    for sides, largest in (((users, items), 0.5), ((items, users), 0.5)):
        assert Training(examples, *sides, N_ITEMS, "adagrad").largest() == largest
