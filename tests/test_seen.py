"""Items without interactions: negatives for everybody, or left alone (`negatives`)."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import (
    ARRAYS,
    LOSSES,
    SCHEDULES,
    arrays_of,
    assert_equal_arrays,
    random_features,
    random_interactions,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from saved import forged, parts_of

from lightfm_clone import LightFM
from lightfm_clone._model import parameters
from lightfm_clone.cross_validation import cold_item_split
from lightfm_clone.datasets import synthetic_catalogue
from lightfm_clone.evaluation import auc_score

# What a fit warns of is the subject of test_advice.py.
pytestmark = pytest.mark.filterwarnings("ignore::lightfm_clone.FitWarning")

N_USERS, N_ITEMS = 30, 20
UNIFORM = ("warp", "warp-kos", "softmax")
SMALL = {"no_components": 4, "k": 2, "n": 4, "n_negatives": 64, "random_state": 0}


def entries_at(items: np.ndarray | range, n_items: int = N_ITEMS, seed: int = 0) -> sp.coo_matrix:
    """Some values of each sign for each of these items, and nothing for the others."""
    few = random_interactions(seed, (N_USERS, len(items)), 5 * len(items))
    few.col = np.append(np.arange(len(items)), few.col[len(items) :])
    few.sum_duplicates()
    cols = np.asarray(items)[few.col]
    return sp.coo_matrix((few.data, (few.row, cols)), shape=(N_USERS, n_items))


def moved_items(before: dict[str, np.ndarray], model: LightFM) -> list[int]:
    """Items of which a value, or a state of the schedule, is another one."""
    moved = np.zeros(len(model.item_biases), dtype=bool)
    for name in ARRAYS:
        if name.startswith("item"):
            now = getattr(model, name)
            differs = now != before[name]
            moved |= differs.reshape(len(now), -1).any(axis=1)
    return np.flatnonzero(moved).tolist()


def seen(model: LightFM) -> list[int]:
    return np.flatnonzero(model._seen_items).tolist()


# Fits


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", LOSSES)
def test_unseen_items_stay_bit_for_bit(loss, schedule, num_threads):
    interactions = entries_at(range(0, N_ITEMS, 2))
    options = {"loss": loss, "learning_schedule": schedule, **SMALL}
    for negatives in ("seen", "all"):
        model = LightFM(**options, negatives=negatives).fit(interactions, epochs=0)
        before = arrays_of(model)
        model.fit_partial(interactions, epochs=3, num_threads=num_threads)
        among_all = negatives == "all" and loss in UNIFORM
        expected = range(N_ITEMS) if among_all else range(0, N_ITEMS, 2)
        assert moved_items(before, model) == [*expected]


@pytest.mark.parametrize("features", [None, random_features(N_ITEMS, 6)], ids=["plain", "tags"])
@pytest.mark.parametrize("loss", LOSSES)
def test_where_all_are_seen_it_makes_no_difference(loss, features):
    interactions = entries_at(range(N_ITEMS))
    one, other = (
        LightFM(loss=loss, negatives=negatives, **SMALL).fit(
            interactions, item_features=features, epochs=3
        )
        for negatives in ("all", "seen")
    )
    assert_equal_arrays(arrays_of(one), arrays_of(other))


@settings(max_examples=25, deadline=None)
@given(
    loss=st.sampled_from(LOSSES),
    schedule=st.sampled_from(SCHEDULES),
    places=st.sets(st.integers(0, N_ITEMS - 1), min_size=1),
    max_sampled=st.integers(1, 30),
    alpha=st.sampled_from([0.0, 0.01]),
)
def test_it_is_the_fit_that_has_never_heard_of_unseen_items(
    loss, schedule, places, max_sampled, alpha
):
    """The same draws, weights and steps as where the other columns are cut out."""
    places = np.array(sorted(places))
    spread = entries_at(places)
    cut = sp.coo_matrix(
        (spread.data, (spread.row, np.searchsorted(places, spread.col))), (N_USERS, len(places))
    )
    options = {"loss": loss, "learning_schedule": schedule, "max_sampled": max_sampled, **SMALL}
    options |= {"item_alpha": alpha, "learning_rate": 0.02}
    model = LightFM(**options, negatives="seen").fit(spread, epochs=0)
    without = LightFM(**options).fit(cut, epochs=0)
    for name in ARRAYS:
        values = getattr(model, name)
        setattr(without, name, values[places].copy() if "item" in name else values.copy())
    for one, interactions in ((model, spread), (without, cut)):
        one.global_mean_ = 0.0
        one.set_params(random_state=1).fit_partial(interactions, epochs=2)
    found = {
        name: getattr(model, name)[places] if "item" in name else getattr(model, name)
        for name in ARRAYS
    }
    assert_equal_arrays(found, arrays_of(without))


def test_a_callback_may_change_it():
    """From the second epoch on, the unseen ones rest."""
    interactions = entries_at(range(0, N_ITEMS, 2))
    after = []

    def draw_seen(model, record):
        after.append(arrays_of(model))
        model.negatives = "seen"

    model = LightFM(loss="warp", **SMALL)
    model.fit(interactions, epochs=3, callbacks=draw_seen)
    assert moved_items(after[0], model) == [*range(0, N_ITEMS, 2)]


# What a model remembers


def test_what_was_seen_adds_up_over_calls():
    model = LightFM(loss="warp", negatives="seen", **SMALL)
    model.fit_partial(entries_at(range(5)))
    before = arrays_of(model)
    model.fit_partial(entries_at(range(3, 8)), epochs=5)
    assert seen(model) == [*range(8)]
    # 0 to 2 have no entry now, and are drawn, as they have had some.
    assert moved_items(before, model) == [*range(8)]


def test_fit_forgets_what_was_seen():
    model = LightFM(loss="warp", negatives="seen", **SMALL).fit(entries_at(range(5)))
    model.fit(entries_at(range(10, 15)))
    assert seen(model) == [*range(10, 15)]
    model.negatives = "all"
    assert model.fit(entries_at(range(5)))._seen_items is None


def test_values_of_any_sign_are_seen():
    entries = np.array([1.0, 0.0, -1.0]), ([0, 1, 2], [0, 1, 2])
    interactions = sp.coo_matrix(entries, shape=(N_USERS, N_ITEMS))
    model = LightFM(loss="warp", negatives="seen", **SMALL).fit(interactions)
    assert seen(model) == [0, 1, 2]


def test_models_that_grow():
    model = LightFM(loss="softmax", negatives="seen", **SMALL).fit(entries_at(range(6), 6))
    model.resize(n_item_features=10)
    before = arrays_of(model)
    model.fit_partial(entries_at([2, 8], 10), epochs=20)
    assert seen(model) == [0, 1, 2, 3, 4, 5, 8]
    assert moved_items(before, model) == [0, 1, 2, 3, 4, 5, 8]
    before = arrays_of(model.resize(n_item_features=12))
    model.fit_partial(entries_at([11], 14), epochs=20, resize=True)
    assert seen(model) == [0, 1, 2, 3, 4, 5, 8, 11]


def test_fewer_rows_than_were_seen():
    """Under a feature matrix a call may have fewer items; the others are not forgotten."""
    tags = random_features(N_ITEMS, 6)
    model = LightFM(loss="warp", negatives="seen", **SMALL)
    model.fit(entries_at([1, 15]), item_features=tags)
    model.fit_partial(entries_at([2], 4), item_features=tags[:4])
    assert seen(model) == [1, 2, 15]


def test_rows_of_features_beyond_the_interactions():
    tags = sp.identity(N_ITEMS + 5, format="csr")
    model = LightFM(loss="warp", negatives="seen", **SMALL)
    before = arrays_of(model.fit(entries_at([0, 3, 4]), item_features=tags, epochs=0))
    model.fit_partial(entries_at([0, 3, 4]), item_features=tags, epochs=10)
    assert moved_items(before, model) == [0, 3, 4]
    assert len(model._seen_items) == N_ITEMS + 5


def test_what_was_fitted_under_all_is_not_remembered():
    model = LightFM(loss="warp", **SMALL).fit(entries_at(range(10)), epochs=5)
    assert model._seen_items is None
    before = arrays_of(model)
    model.set_params(negatives="seen").fit_partial(entries_at([12, 13, 14]), epochs=5)
    assert moved_items(before, model) == [12, 13, 14] == seen(model)


def test_initialising_and_failing_are_not_seeing():
    model = LightFM(loss="warp", negatives="seen", **SMALL)
    assert model.fit(entries_at(range(5)), epochs=0)._seen_items is None
    model.fit_partial(entries_at(range(5)))
    model.learning_rate = 1e30
    with pytest.raises(ValueError, match="diverged"):
        model.fit_partial(entries_at(range(10)), epochs=20)
    assert seen(model) == [*range(5)]


def test_copies_do_not_share_what_they_see():
    model = LightFM(loss="warp", negatives="seen", **SMALL).fit(entries_at(range(5)))
    other = copy.copy(model)
    other.fit_partial(entries_at(range(8)))
    assert (seen(model), seen(other)) == ([*range(5)], [*range(8)])


def test_nothing_stored():
    for loss in LOSSES:
        model = LightFM(loss=loss, negatives="seen", **SMALL)
        model.fit(sp.coo_matrix((N_USERS, N_ITEMS)), epochs=2)
        assert seen(model) == []


# Folding in


def folded_users(model: LightFM, interactions: sp.coo_matrix) -> np.ndarray:
    return np.column_stack(model.fold_in_users(interactions, epochs=3, random_state=1))


@pytest.mark.parametrize("loss", LOSSES)
def test_new_users_meet_seen_items_alone(loss):
    """Whatever the vectors of unseen items are, they make no difference, and do under "all"."""
    model = LightFM(loss=loss, negatives="seen", **SMALL).fit(entries_at(range(10)), epochs=3)
    visitors = entries_at([2, 5, 12], seed=1)  # 12 has an entry now
    expected = folded_users(model, visitors)
    model.item_embeddings[[10, 11, *range(13, N_ITEMS)]] *= -50
    np.testing.assert_array_equal(folded_users(model, visitors), expected)
    for item in (7, 12):
        other = copy.deepcopy(model)
        other.item_embeddings[item] *= -50
        differs = (folded_users(other, visitors) != expected).any()
        assert differs or (item == 7 and loss in ("logistic", "mse"))
    model.negatives = "all"
    differs = (folded_users(model, visitors) != expected).any()
    assert differs == (loss not in ("logistic", "mse"))


@pytest.mark.parametrize("loss", LOSSES)
def test_new_items_meet_seen_items_alone(loss):
    likes = entries_at(range(10))
    model = LightFM(loss=loss, negatives="seen", **SMALL).fit(likes, epochs=3)
    new = entries_at([0, 1, 2], 5, seed=1)

    def folded(**options) -> np.ndarray:
        options = {"epochs": 3, "random_state": 1} | options
        return np.column_stack(model.fold_in_items(new, **options))

    for train in (None, likes):
        expected = folded(train_interactions=train)
        # The new ones without an entry are never drawn.
        drawn = folded(epochs=0)
        np.testing.assert_array_equal(expected[3:], drawn[3:])
        assert (expected[:3] != drawn[:3]).any()
        kept = model.item_embeddings.copy()
        model.item_embeddings[10:] *= -50
        np.testing.assert_array_equal(folded(train_interactions=train), expected)
        model.item_embeddings[:] = kept
    if loss in UNIFORM:
        model.negatives = "all"
        assert (folded(train_interactions=likes)[3:] != drawn[3:]).all(axis=1).any()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_model_that_remembers_nothing_folds_in_among_all(loss):
    model = LightFM(loss=loss, **SMALL).fit(entries_at(range(10)), epochs=3)
    visitors = entries_at([2, 5, 12], seed=1)
    expected = folded_users(model, visitors), model.fold_in_items(visitors, random_state=1)
    model.negatives = "seen"
    np.testing.assert_array_equal(folded_users(model, visitors), expected[0])
    for found, before in zip(
        model.fold_in_items(visitors, random_state=1), expected[1], strict=True
    ):
        np.testing.assert_array_equal(found, before)


# The parameter, files and pickles


def test_bad_values():
    for value in ("none", None, True, 1, ["seen"]):
        with pytest.raises(ValueError, match="negatives must be one of 'all', 'seen', got"):
            LightFM(negatives=value)
        model = LightFM(loss="warp")
        with pytest.raises(ValueError, match="negatives must be one of 'all', 'seen', got"):
            model.set_params(negatives=value)
        model.negatives = value
        with pytest.raises(ValueError, match="negatives must be one of 'all', 'seen', got"):
            model.fit(entries_at(range(5)))
        assert model.item_embeddings is None
    assert LightFM(negatives=np.str_("seen")).negatives == "seen"


@pytest.mark.parametrize("given", [{}, {"negatives": "all"}, {"negatives": "seen"}], ids=str)
def test_the_choice_goes_wherever_the_model_goes(given, tmp_path):
    clone = pytest.importorskip("sklearn.base").clone
    model = LightFM(loss="warp", random_state=0, **given)
    model.save(tmp_path / "model")
    others = (
        LightFM(**model.get_params()),
        LightFM().set_params(**model.get_params()),
        clone(model),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        LightFM.load(tmp_path / "model"),
    )
    for one in (model, *others):
        assert one.negatives == given.get("negatives", "all")
        assert isinstance(one.negatives, parameters.Default) is not bool(given)
        assert type(parameters.settings(one)["negatives"]) is str
    shown = "LightFM(loss='warp', negatives='seen')"
    assert (repr(model) == shown) is (model.negatives == "seen")


@pytest.mark.parametrize("n_items", [1, 7, 8, 9, 20])
def test_files_and_pickles_remember(n_items, tmp_path):
    interactions = entries_at(range(0, n_items, 3), n_items)
    model = LightFM(loss="warp", negatives="seen", **SMALL).fit(interactions, epochs=2)
    model.save(tmp_path / "model")
    visitors = entries_at([0], n_items, seed=1)
    for other in (LightFM.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        assert other._seen_items.dtype == bool
        np.testing.assert_array_equal(other._seen_items, model._seen_items)
        np.testing.assert_array_equal(folded_users(other, visitors), folded_users(model, visitors))
        both = [copy.deepcopy(one).fit_partial(visitors) for one in (model, other)]
        assert_equal_arrays(*map(arrays_of, both))


def test_files_under_all_are_as_they_were(tmp_path):
    """An older version can read them."""
    path = tmp_path / "model"
    LightFM(loss="warp", **SMALL).fit(entries_at(range(5))).save(path)
    _, header, _ = parts_of(path.read_bytes())
    assert not {"negatives", "_seen_items"} & {*header["required"]}
    LightFM(loss="warp", negatives="seen", **SMALL).fit(entries_at(range(5))).save(path)
    _, header, _ = parts_of(path.read_bytes())
    assert {"negatives", "_seen_items"} <= {*header["required"]}


def test_old_files_and_pickles(tmp_path):
    path = tmp_path / "model"
    model = LightFM(loss="warp", **SMALL).fit(entries_at(range(5)))
    model.save(path)
    version, header, rest = parts_of(path.read_bytes())
    del header["attributes"]["_seen_items"], header["parameters"]["negatives"]
    path.write_bytes(forged(header, rest, version))
    held = copy.copy(model.__dict__)
    del held["negatives"], held["_seen_items"]
    pickled = LightFM.__new__(LightFM)
    pickled.__setstate__(held)
    for old in (LightFM.load(path), pickled):
        assert old.negatives == "all" and isinstance(old.negatives, parameters.Default)
        assert old._seen_items is None
        same = [copy.deepcopy(one).fit_partial(entries_at([7]), epochs=2) for one in (model, old)]
        assert_equal_arrays(*map(arrays_of, same))


@pytest.mark.parametrize(
    "forgery",
    [
        {"n": 25},
        {"n": 16},
        {"n": -1},
        {"n": 2**62},
        {"n": True},
        {"n": 20.0},
        {"bits": "AAAA"},
        {"bits": {"$bytes": ""}},
        {"n": None},
        5,
        "abc",
        [True] * 20,
    ],
    ids=str,
)
def test_hostile_files(forgery, tmp_path):
    path = tmp_path / "model"
    model = LightFM(loss="warp", negatives="seen", **SMALL).fit(entries_at(range(5)))
    model.save(path)
    version, header, rest = parts_of(path.read_bytes())
    held = header["attributes"]["_seen_items"]
    header["attributes"]["_seen_items"] = held | forgery if type(forgery) is dict else forgery
    path.write_bytes(forged(json.loads(json.dumps(header)), rest, version))
    with pytest.raises(ValueError, match="seen"):
        LightFM.load(path)


# What it is for


@pytest.mark.parametrize("loss", UNIFORM)
def test_new_items_are_judged_by_their_tags(loss):
    """AUC of 4 seeds: under "all" from 0.28 to 0.49, where chance has 0.5, else 0.75 to 0.82."""
    films = synthetic_catalogue()
    tags = {"item_features": films.item_features}
    for seed in range(2):
        train, test = cold_item_split(films.interactions, random_state=seed)
        among_all, among_seen = (
            np.mean(
                auc_score(
                    LightFM(loss=loss, negatives=negatives, random_state=seed).fit(
                        train, **tags, epochs=10
                    ),
                    test,
                    train,
                    **tags,
                )
            )
            for negatives in ("all", "seen")
        )
        assert among_all < 0.55 < 0.7 < among_seen
