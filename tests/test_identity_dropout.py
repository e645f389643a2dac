"""`identity_dropout`: examples that go without identities. (Their numbers: test_twin.py.)"""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import ARRAYS, LOSSES, arrays_of, assert_equal_arrays, random_interactions
from saved import forged, parts_of
from test_parts import N_ITEMS as N_IN_PARTS
from test_parts import Driver, assert_same, interactions_of

from lightfm_clone import LightFM, _core
from lightfm_clone._checks import check_features

N_USERS, N_ITEMS = 30, 20
TRAIN = random_interactions(0, (N_USERS, N_ITEMS), n_entries=200)
ALWAYS = 1 - 2**-30


def with_tags(n: int) -> sp.csr_matrix:
    """A column for each row, and before and behind it tags that several have."""
    tags = sp.csr_matrix(np.equal.outer(np.arange(n) % 4, np.arange(4)).astype(np.float32))
    return sp.hstack([tags[:, :2], sp.identity(n), tags[:, 2:]], format="csr", dtype=np.float32)


FEATURES = {"user_features": with_tags(N_USERS), "item_features": with_tags(N_ITEMS)}


def fitted(loss: str, features: dict = FEATURES, epochs: int = 2, **parameters) -> LightFM:
    model = LightFM(4, loss=loss, random_state=1, n_negatives=8, **parameters)
    return model.fit(TRAIN, **features, epochs=epochs)


def found(dense: list[list[float]]) -> list[tuple[set[int], set[int]]]:
    """The features of each row that stay, and those that can be left out."""
    parts = check_features(sp.csr_matrix(dense), "features", len(dense)).parts
    bounds, indices, data = _core.with_identities_last(*parts, len(dense[0]))
    for row, values in enumerate(dense):  # in another order, all is there
        entries = slice(bounds[2 * row], bounds[2 * row + 2])
        np.testing.assert_array_equal(np.asarray(values)[indices[entries]], data[entries])
    ends = [indices[begin:end] for begin, end in zip(bounds[:-1], bounds[1:], strict=True)]
    return [(set(ends[i]), set(ends[i + 1])) for i in range(0, len(ends), 2)]


def test_identities_are_found():
    assert found(
        [
            [1, 0, 0, 2, 3, 0],  # one of its own, before the shared ones
            [0, 0, 0, 1, 1, 0],  # none
            [0, 1, 0, 1, 0, 4],  # two
            [0, 0, 1, 0, 0, 0],  # nothing else
            [0, 0, 0, 0, 0, 0],
        ]
    ) == [({3, 4}, {0}), ({3, 4}, set()), ({3}, {1, 5}), ({2}, set()), (set(), set())]
    assert found([[1, 1], [0, 0]]) == [({0, 1}, set()), (set(), set())]


def test_an_entry_is_what_is_not_zero():
    """Stored zeros are not shared, and nothing that is left; duplicates are one."""
    indptr, indices = np.array([0, 4, 6, 8]), np.array([0, 0, 1, 2, 0, 2, 2, 3], dtype=np.int32)
    data = np.array([1, 1, 1, 1, 0, 1, 0, 1], dtype=np.float32)
    bounds, indices, data = _core.with_identities_last(indptr, indices, data, 4)
    assert [*bounds] == [0, 1, 4, 6, 6, 8, 8]
    assert [*indices] == [2, 0, 0, 1, 0, 2, 2, 3] and [*data] == [1, 1, 1, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, np.nan, np.inf, "0.1", None, [0.1]])
def test_bounds(share):
    message = r"identity_dropout must be a number in \[0, 1\), got"
    with pytest.raises(ValueError, match=message):
        LightFM(identity_dropout=share)
    model = LightFM()
    with pytest.raises(ValueError, match=message):
        model.set_params(identity_dropout=share)
    assert model.identity_dropout == 0.0
    model.identity_dropout = share
    with pytest.raises(ValueError, match=message):
        model.fit(TRAIN)


@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_left_out_is_neither_read_nor_written(loss):
    start, trained = fitted(loss, epochs=0), fitted(loss, identity_dropout=ALWAYS)
    changed = copy.deepcopy(start)
    for side, n in (("user", N_USERS), ("item", N_ITEMS)):
        of_identities = slice(2, 2 + n)
        for name in ARRAYS:
            if name.startswith(side):
                before, after = getattr(start, name), getattr(trained, name)
                np.testing.assert_array_equal(before[of_identities], after[of_identities])
        assert not np.array_equal(
            getattr(start, f"{side}_embeddings"), getattr(trained, f"{side}_embeddings")
        )
        getattr(changed, f"{side}_embeddings")[of_identities] = 7.0
    changed.identity_dropout = ALWAYS
    changed.fit_partial(TRAIN, **FEATURES, epochs=2)
    for side, n in (("user", N_USERS), ("item", N_ITEMS)):
        of_tags = np.r_[:2, 2 + n : 4 + n]
        name = f"{side}_embeddings"
        np.testing.assert_array_equal(
            getattr(changed, name)[of_tags], getattr(trained, name)[of_tags]
        )


@pytest.mark.parametrize("loss", LOSSES)
def test_where_there_is_nothing_to_drop(loss):
    for features in (
        {},
        {"item_features": sp.identity(N_ITEMS, format="csr")},
        {"item_features": with_tags(N_ITEMS)[:, np.r_[:2, N_ITEMS + 2 : N_ITEMS + 4]]},
    ):
        expected = arrays_of(fitted(loss, features))
        assert_equal_arrays(arrays_of(fitted(loss, features, identity_dropout=0.7)), expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_it_draws_nothing_of_the_seeds(loss):
    without, some = fitted(loss), fitted(loss, identity_dropout=0.5)
    assert_equal_arrays(arrays_of(fitted(loss, identity_dropout=0)), arrays_of(without))
    assert not np.array_equal(some.item_embeddings, without.item_embeddings)
    assert some.random_state.randint(2**31) == without.random_state.randint(2**31)


@pytest.mark.parametrize("loss", LOSSES)
def test_parts_of_an_epoch_agree(loss):
    features = with_tags(N_IN_PARTS)
    settings = {"loss": loss, "identity_dropout": 0.5}
    whole = Driver(interactions_of(), features, **settings).train(1)
    assert_same(whole, Driver(interactions_of(), features, **settings).train(4))


@pytest.mark.parametrize("loss", LOSSES)
def test_it_may_change_between_calls(loss):
    model = fitted(loss, identity_dropout=0.5)
    state = copy.deepcopy(model)
    state.set_params(identity_dropout=0).fit_partial(TRAIN, **FEATURES)
    with_dropout = copy.deepcopy(model).fit_partial(TRAIN, **FEATURES)
    assert not np.array_equal(state.item_embeddings, with_dropout.item_embeddings)
    if loss != "softmax":  # there each epoch of four blocks may go without any
        half = fitted(loss, epochs=1, identity_dropout=0.5).fit_partial(TRAIN, **FEATURES)
        assert_equal_arrays(arrays_of(half), arrays_of(fitted(loss, identity_dropout=0.5)))


@pytest.mark.parametrize("loss", LOSSES)
def test_folding_in_has_nothing_to_drop(loss):
    model = fitted(loss)
    vectors = []
    for share in (0.0, 0.7):
        model.identity_dropout = share
        given = {"item_features": FEATURES["item_features"], "random_state": 0}
        vectors.append(model.fold_in_users(TRAIN, **given, epochs=2, num_threads=1))
    for left, right in zip(*vectors, strict=True):
        np.testing.assert_array_equal(left, right)


def test_threads(tmp_path):
    model = LightFM(4, loss="warp", random_state=1, identity_dropout=0.3)
    model.fit(TRAIN, **FEATURES, epochs=3, num_threads=4)
    assert np.isfinite(model.item_embeddings).all()


def test_files_and_pickles(tmp_path):
    path = tmp_path / "model"
    model = fitted("warp", identity_dropout=0.25)
    model.save(path)
    for kept in (LightFM.load(path), pickle.loads(pickle.dumps(model))):
        assert kept.identity_dropout == 0.25
        assert repr(kept) == repr(model)
        expected = copy.deepcopy(model).fit_partial(TRAIN, **FEATURES)
        assert_equal_arrays(arrays_of(kept.fit_partial(TRAIN, **FEATURES)), arrays_of(expected))
    assert "identity_dropout=0.25" in repr(model)
    _, header, _ = parts_of(path.read_bytes())
    assert "identity_dropout" in header["required"]


def test_files_and_pickles_of_before(tmp_path):
    path = tmp_path / "model"
    model = fitted("warp")
    model.save(path)
    version, header, rest = parts_of(path.read_bytes())
    assert "identity_dropout" not in header["required"]
    del header["parameters"]["identity_dropout"]
    path.write_bytes(forged(header, rest, version))
    assert LightFM.load(path).identity_dropout == 0.0
    held = {name: value for name, value in vars(model).items() if name != "identity_dropout"}
    old = LightFM.__new__(LightFM)
    old.__setstate__(held)
    assert old.identity_dropout == 0.0
