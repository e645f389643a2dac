"""A model that grows: what it has learned stays bit for bit, and new rows are like first ones."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from helpers import (
    ARRAYS,
    LOSSES,
    SCHEDULES,
    all_scores,
    are_finite,
    arrays_of,
    assert_equal_arrays,
    groups_of_taste,
    random_features,
    random_interactions,
    run_python,
)
from hypothesis import given
from hypothesis import strategies as st
from test_twin import assert_same_arrays

from lightfm_clone import LightFM
from lightfm_clone.data import Dataset
from lightfm_clone.evaluation import auc_score

SMALL = random_interactions(1, shape=(20, 15), n_entries=80)
LARGE = random_interactions(2, shape=(26, 19), n_entries=120)
OF_USERS = [name for name in ARRAYS if name.startswith("user")]
OF_ITEMS = [name for name in ARRAYS if name.startswith("item")]


def new(loss: str = "warp", schedule: str = "adagrad") -> LightFM:
    settings = {"loss": loss, "learning_schedule": schedule, "no_components": 4}
    return LightFM(**settings, k=2, n=3, random_state=5)


def fitted(loss: str = "warp", schedule: str = "adagrad") -> LightFM:
    return new(loss, schedule).fit(SMALL, epochs=3)


# New rows


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", LOSSES)
def test_learned_rows_stay_and_new_ones_are_like_first_ones(loss, schedule):
    model = fitted(loss, schedule)
    before = arrays_of(model)
    like_first_ones = new(loss, schedule)
    like_first_ones.random_state.set_state(model.random_state.get_state())
    like_first_ones._initialize(4, 4, 6)

    assert model.resize(26, 19) is model
    for name, array in arrays_of(model).items():
        n = len(before[name])
        assert array.dtype == np.float32 and len(array) == n + (6 if name in OF_USERS else 4)
        np.testing.assert_array_equal(array[:n], before[name], err_msg=name)
        np.testing.assert_array_equal(array[n:], getattr(like_first_ones, name), err_msg=name)
    expected, actual = like_first_ones.random_state.rand(), model.random_state.rand()
    assert actual == expected  # nothing else was drawn


@given(
    sizes=st.tuples(*[st.integers(0, 5)] * 2),
    growths=st.lists(st.tuples(*[st.integers(0, 3)] * 2), max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_growth_keeps_what_there_was(sizes, growths, seed):
    """In one step or in several, and whatever the order: the shapes are those asked for."""
    model = LightFM(no_components=3, random_state=seed).fit(sp.coo_matrix(sizes), epochs=0)
    for more_users, more_items in growths:
        before = arrays_of(model)
        n_users, n_items = len(model.user_biases) + more_users, len(model.item_biases) + more_items
        model.resize(n_users, n_items)
        assert model.user_embeddings.shape == (n_users, 3)
        assert model.item_embeddings.shape == (n_items, 3)
        for name, array in before.items():
            np.testing.assert_array_equal(getattr(model, name)[: len(array)], array)
    assert np.abs(model.user_embeddings).max(initial=0) <= 0.5 / 3
    assert len(np.unique(model.item_embeddings, axis=0)) == len(model.item_embeddings)


def test_one_side_grows_and_the_other_keeps_its_arrays():
    """The very objects, which others may hold."""
    model = fitted()
    objects = {name: getattr(model, name) for name in ARRAYS}
    model.resize(n_item_features=19)
    assert all(getattr(model, name) is objects[name] for name in OF_USERS)
    assert not any(getattr(model, name) is objects[name] for name in OF_ITEMS)


def test_no_growth_is_nothing_at_all():
    model, other = fitted(), fitted()
    objects = {name: getattr(model, name) for name in ARRAYS}
    for arguments in ((), (20,), (20, 15), (None, np.int64(15))):
        model.resize(*arguments)
    model.fit_partial(SMALL, epochs=0, resize=True)
    assert all(getattr(model, name) is array for name, array in objects.items())
    assert model.random_state.rand() == other.random_state.rand()


def test_old_predictions_stay():
    model = fitted()
    before = all_scores(model, 20, 15)
    model.resize(30, 40)
    np.testing.assert_array_equal(all_scores(model, 20, 15), before)


def test_the_width_is_that_of_the_arrays():
    model = fitted()
    model.no_components = 9  # which the next `fit` is going to use
    assert model.resize(21, 16).user_embeddings.shape == (21, 4)


def test_a_loaded_model_grows(tmp_path):
    """Its arrays are read-only, mapped into memory."""
    model = fitted()
    model.save(tmp_path / "model")
    loaded = LightFM.load(tmp_path / "model", mmap=True)
    assert_equal_arrays(arrays_of(loaded.resize(26, 19)), arrays_of(model.resize(26, 19)))
    assert_equal_arrays(arrays_of(loaded.fit_partial(LARGE)), arrays_of(model.fit_partial(LARGE)))


# Training on


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", LOSSES)
def test_fit_partial_grows_first_and_trains_then(loss, schedule):
    by_hand, at_once = fitted(loss, schedule), fitted(loss, schedule)
    by_hand.resize(26, 19).fit_partial(LARGE, epochs=2)
    at_once.fit_partial(LARGE, epochs=2, resize=True)
    assert_equal_arrays(arrays_of(at_once), arrays_of(by_hand))
    assert len(at_once.history_) == 5 and are_finite(at_once)


@pytest.mark.parametrize("schedule", ["adagrad", "adadelta"])
@pytest.mark.parametrize("loss", ["warp", "logistic"])
def test_the_twin_grows_alike(loss, schedule):
    """In float64 NumPy: three epochs on the small data, more rows, two epochs on the large."""
    parameters = {"loss": loss, "learning_schedule": schedule, "no_components": 4}
    model = LightFM(**parameters, random_state=5).fit(SMALL, epochs=3)
    model.fit_partial(LARGE, epochs=2, resize=True)

    settings = reference.Settings(**parameters)
    state = reference.fit(settings, SMALL, epochs=3, random_state=5)
    draws = np.random.RandomState(5)
    draws.rand(15 + 20, 4)
    for _ in range(3):
        reference.epoch_seed(draws)
    more = reference.initial_state(settings, 4, 6, draws)
    for side, of in ((state.items, more.items), (state.users, more.users)):
        for name in ("parameters", "gradients", "momentum"):
            setattr(side, name, np.concatenate([getattr(side, name), getattr(of, name)]))
    for _ in range(2):
        seed = reference.epoch_seed(draws)
        state = reference.run_epoch(state, LARGE, None, None, None, seed)
    assert_same_arrays(model, state)


def test_resize_of_a_model_without_a_fit_is_a_fit():
    expected = new().fit(SMALL, epochs=2)
    assert_equal_arrays(
        arrays_of(new().fit_partial(SMALL, epochs=2, resize=True)), arrays_of(expected)
    )


@pytest.mark.parametrize("loss", ["bpr", "warp", "warp-kos", "softmax"])
def test_newcomers_learn_what_the_others_know(loss):
    """Two groups of taste; half of the users and of the items come later."""
    seen, rest = (matrix.tocsr() for matrix in groups_of_taste(n_users=120, n_items=60))
    model = LightFM(loss=loss, random_state=0).fit(seen[:60, :30], epochs=20)
    model.fit_partial(seen, epochs=20, resize=True)
    assert auc_score(model, rest, seen)[60:].mean() > 0.9


# Datasets that grow


def test_features_that_a_dataset_appends():
    """Identities and tags: what comes later is numbered later, for users and items alike."""
    dataset = Dataset()
    dataset.fit(users=range(20), items=range(15), user_features=["old"], item_features=["hot"])
    interactions, _ = dataset.build_interactions(zip(SMALL.row, SMALL.col, strict=True))

    def features():
        users, _, items, _ = dataset.mapping()
        return {
            "user_features": dataset.build_user_features((user, ["old"]) for user in users),
            "item_features": dataset.build_item_features(
                (item, ["hot"] if item < 15 else ["hot", "iced"]) for item in items
            ),
        }

    model = new().fit(interactions, **features(), epochs=3)
    before = arrays_of(model)
    scores = all_scores(model, 20, 15, **features())

    dataset.fit_partial(users=range(20, 26), items=range(15, 19), item_features=["iced"])
    assert dataset.model_dimensions() == (27, 21)
    later, _ = dataset.build_interactions(zip(LARGE.row, LARGE.col, strict=True))
    model.fit_partial(later, **features(), epochs=0, resize=True)
    assert model.user_embeddings.shape == (27, 4) and model.item_embeddings.shape == (21, 4)
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(model, name)[: len(array)], array, err_msg=name)
    np.testing.assert_array_equal(all_scores(model, 20, 15, **features()), scores)

    model.fit_partial(later, **features(), epochs=10)
    assert np.abs(model.user_embeddings[-6:]).max() > 0.5 / 4  # further than any first value


def test_identities_alone_become_features():
    """A model without features learns about tags later: its items are the first columns."""
    tags = random_features(15, 3, seed=1)
    features = sp.hstack([sp.identity(15), tags], format="csr")
    model = fitted()
    before = model.item_embeddings.copy()
    model.fit_partial(SMALL, item_features=features, epochs=0, resize=True)
    assert model.item_embeddings.shape == (18, 4)
    np.testing.assert_array_equal(model.item_embeddings[:15], before)


# What is refused


def assert_refused(model: LightFM, match: str, *arguments: object, **options: object) -> None:
    before = dict(vars(model))
    values = arrays_of(model)
    with pytest.raises(ValueError, match=match):
        model.fit_partial(*arguments, **options)
    assert all(vars(model)[name] is before[name] for name in ARRAYS)
    assert_equal_arrays(arrays_of(model), values)
    assert model.history_ == before["history_"] and model._fitted_with == before["_fitted_with"]


def test_growth_has_to_be_asked_for():
    assert_refused(fitted(), "must have the 15 columns.* got 19 .identity.*resize=True", LARGE)


def test_a_model_never_shrinks():
    model = fitted()
    for arguments, name, n in (
        ((19, None), "n_user_features", 20),
        ((None, 14), "n_item_features", 15),
        ((30, 0), "n_item_features", 15),
        ((-1, 30), "n_user_features", 20),
    ):
        before = arrays_of(model)
        with pytest.raises(ValueError, match=f"{name} must be .* at least {n}.*cannot shrink"):
            model.resize(*arguments)
        assert_equal_arrays(arrays_of(model), before)
    # Users grow, items shrink: neither happens.
    fewer_items = random_interactions(3, shape=(26, 10), n_entries=60)
    assert_refused(model, "item_features must have the 15 columns", fewer_items, resize=True)
    assert_refused(model, "call fit to start afresh", fewer_items.T, resize=True)


@pytest.mark.parametrize("n", [2.5, "26", [26], 2**31])
def test_numbers_that_are_none(n):
    with pytest.raises(ValueError, match="n_user_features must be an integer"):
        fitted().resize(n)


def test_nothing_to_resize():
    with pytest.raises(ValueError, match="not fitted"):
        new().resize(3, 3)


def test_bad_input_and_divergence_leave_the_model_small():
    model = fitted("logistic")
    bad = LARGE.copy()
    bad.data[3] = np.nan
    assert_refused(model, "interactions must be finite", bad, resize=True)
    assert_refused(model, "epochs", LARGE, epochs=-1, resize=True)
    model.learning_rate = 1e30
    assert_refused(model, "diverged", LARGE, epochs=3, resize=True)
    model.learning_rate = 0.05
    assert model.fit_partial(LARGE, resize=True).item_embeddings.shape == (19, 4)


def test_ids_do_not_say_how_a_model_of_features_grows():
    """Without its matrix, item 16 would become the first tag."""
    features = sp.hstack([sp.identity(15), random_features(15, 3, seed=1)], format="csr")
    model = new().fit(SMALL, item_features=features)
    message = "item_features must have the 18 columns.*got 19 .identity.; pass the same features, "
    assert_refused(model, message + "or call fit", LARGE, resize=True)


# Subclasses


class Warm(LightFM):
    """Starts from 1, and remembers what it was asked for."""

    def _initialize(self, no_components, no_item_features, no_user_features):
        super()._initialize(no_components, no_item_features, no_user_features)
        self.item_embeddings += 1


def test_a_subclass_draws_new_rows_its_own_way():
    model = Warm(no_components=4, random_state=0).fit(SMALL, epochs=0).resize(26, 19)
    assert type(model) is Warm and len(model.item_embeddings) == 19
    assert model.item_embeddings.min() > 0.8 > model.user_embeddings.max()


def test_a_subclass_that_draws_other_rows():
    class Fixed(LightFM):
        def _initialize(self, no_components, no_item_features, no_user_features):
            super()._initialize(no_components, 15, 20)

    model = Fixed(no_components=4).fit(SMALL)
    before = arrays_of(model)
    with pytest.raises(ValueError, match=r"item_embeddings of shape \(4, 4\), got \(15, 4\)"):
        model.resize(26, 19)
    assert_equal_arrays(arrays_of(model), before)


def test_an_interrupt_leaves_the_model_whole():
    class Slow(LightFM):
        interrupted = False

        def _initialize(self, *numbers):
            super()._initialize(*numbers)
            if self.interrupted:
                raise KeyboardInterrupt

    model = Slow(no_components=4).fit(SMALL)
    before = arrays_of(model)
    model.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        model.resize(26, 19)
    assert_equal_arrays(arrays_of(model), before)


# Cold start


def check_cold_start(output: str) -> None:
    rows = re.findall(r"^  (\S.*?)  +(\d.* ± .*)$", output, re.MULTILINE)
    random, popular, alike, hybrid, spared, trapped = (
        np.array(re.findall(r"([\d.]+) ±", cells), dtype=float) for _, cells in rows
    )
    assert random[2] == pytest.approx(0.5, abs=0.02)
    for other in (random, popular, alike):
        assert (hybrid > 1.03 * other).all()
    # Two threads: of one seed, the ratio of AUC was 1.035 +- 0.003 on MovieLens 1M.
    assert (hybrid > 1.01 * trapped).all() and (spared > 1.01 * trapped).all()
    assert (hybrid[:2] > 2 * random[:2]).all()


EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "cold_start.py"


def test_cold_start_on_made_up_data(monkeypatch):
    monkeypatch.delenv("LIGHTFM_CLONE_TEST_DATA", raising=False)
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")  # the same output every time
    done = run_python(EXAMPLE, "--seeds", "3", timeout=120)
    assert done.returncode == 0, done.stderr
    check_cold_start(done.stdout)


@pytest.mark.slow
def test_cold_start_on_movielens_1m(ml_1m, data_dir, monkeypatch):
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    done = run_python(EXAMPLE, data_dir, "--seeds", "1", timeout=300)
    assert done.returncode == 0, done.stderr
    check_cold_start(done.stdout)


# A part of a larger whole


def whole_and_part() -> tuple[sp.coo_matrix, sp.coo_matrix]:
    whole = random_interactions(3, shape=(40, 30), n_entries=600)
    chosen = np.arange(0, whole.nnz, 4)
    entries = whole.data[chosen], (whole.row[chosen], whole.col[chosen])
    return whole, sp.coo_matrix(entries, whole.shape)


@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_given_anyway_may_be_said_to_be_known(loss):
    """Bit for bit, but for BPR, whose draws go by counts then."""
    whole, _ = whole_and_part()
    plain, told = (
        new(loss).fit(whole, epochs=1).fit_partial(whole, epochs=2, **known)
        for known in ({}, {"known_interactions": whole.tocsr()})
    )
    if loss != "bpr":
        assert_equal_arrays(arrays_of(plain), arrays_of(told))
    assert are_finite(told)


@pytest.mark.parametrize("kind", ["coo", "csr", "csc", "dense", "zeros", "twice"])
@pytest.mark.parametrize("loss", ["bpr", "warp", "softmax"])
def test_what_is_known_is_no_negative(loss, kind):
    """Users know the first half of the items, and are trained on one of the second."""
    n_users, n_items = 30, 40
    known = np.zeros((n_users + 1, n_items), np.float32)
    known[:n_users, :20] = 1
    known[n_users, 20:] = 1  # so that bpr draws these at all
    known = sp.coo_matrix(known)
    if kind == "zeros":
        known.data[:] = 0
    elif kind == "twice":
        known = sp.csr_matrix(
            (np.ones(2 * known.nnz), (np.tile(known.row, 2), np.tile(known.col, 2))), known.shape
        )
    elif kind == "dense":
        known = known.toarray()
    else:
        known = known.asformat(kind)
    one = sp.coo_matrix((np.ones(n_users), (np.arange(n_users), np.full(n_users, 20))), known.shape)
    for told, expected in (({}, True), ({"known_interactions": known}, False)):
        model = LightFM(4, loss=loss, random_state=0).fit(one, epochs=0)
        if loss == "bpr" and not told:
            continue  # it draws from the interactions alone
        before = model.item_embeddings.copy()
        model.fit_partial(one, epochs=3, **told)
        moved = (model.item_embeddings != before).any(axis=1)
        assert moved[:20].any() == expected
        assert moved[21:].any()


def test_validation_leaves_out_what_is_known():
    whole, part = whole_and_part()
    known = sp.csr_matrix(whole)
    with pytest.raises(ValueError, match="validation must not share entries with interactions"):
        new().fit_partial(part, known_interactions=known, validation=known)


def test_what_is_known_has_the_shape_of_all():
    whole, part = whole_and_part()
    model = new()
    with pytest.raises(
        ValueError, match=r"known_interactions must have the shape of interactions, \(40, 30\), got"
    ):
        model.fit_partial(part, known_interactions=whole.tocsr()[:-1])
    with pytest.raises(ValueError, match="known_interactions must be a scipy sparse matrix"):
        model.fit_partial(part, known_interactions=[[1, 2]])
    assert model.item_embeddings is None


def test_nothing_may_be_known():
    _, part = whole_and_part()
    told = new("bpr").fit_partial(part, epochs=2, known_interactions=sp.csr_matrix(part.shape))
    assert are_finite(told)
    nothing = sp.coo_matrix(part.shape)
    with pytest.warns(match="nothing was learned"):
        new("bpr").fit_partial(nothing, known_interactions=nothing)
