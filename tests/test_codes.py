"""Lists of a few users by 8-bit codes, which must be those without: every item, score and tie."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import LOSSES, random_features, random_interactions
from hypothesis import given, settings
from hypothesis import strategies as st

from lightfm_clone import LightFM, PreparedModel, _core
from lightfm_clone._model.prepared import PreparedItems

pytestmark = pytest.mark.usefixtures("level")
Arrays = tuple[np.ndarray, np.ndarray]


def lists(items: Arrays, users: Arrays, k: int, excluded: np.ndarray, codes=None) -> Arrays:
    n = len(users[0])
    found = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    begins, ends = np.zeros(n, np.int64), np.full(n, len(excluded))
    _core.Items(*items, False).best(*users, begins, ends, excluded, *found, 1, codes)
    return found


def assert_equal_to_the_bit(found: Arrays, expected: Arrays) -> None:
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1].view(np.int32), expected[1].view(np.int32))


def normals(rng: np.random.Generator, n: int, d: int) -> Arrays:
    return rng.normal(size=n).astype(np.float32), rng.normal(size=(n, d)).astype(np.float32)


# What is done to biases and vectors; the sizes of floats go from 1e-45 to 3e38.
SHAPES = {
    "normal": lambda rng, b, v: (b, v),
    "whole numbers, which tie": lambda rng, b, v: (np.round(b), np.round(v)),
    "the same again": lambda rng, b, v: (b[np.arange(len(b)) % 7], v[np.arange(len(b)) % 7]),
    "biases that dwarf vectors": lambda rng, b, v: (b * 1e9, v),
    "vectors that dwarf biases": lambda rng, b, v: (b, v * 1e9),
    "of all sizes": lambda rng, b, v: (
        b * 10.0 ** rng.uniform(-44, 37, len(b)),
        v * 10.0 ** rng.uniform(-44, 37, (len(b), 1)),
    ),
    "components of all sizes": lambda rng, b, v: (b, v * 10.0 ** rng.uniform(-9, 9, v.shape)),
    "denormal": lambda rng, b, v: (b * 1e-40, v * 1e-40),
    "zero vectors": lambda rng, b, v: (np.round(b), v * 0),
    "some zero vectors": lambda rng, b, v: (b, v * (rng.random((len(b), 1)) < 0.5)),
    "nothing": lambda rng, b, v: (b * 0, v * 0),
    "one spike": lambda rng, b, v: (b, v + 1e4 * (np.arange(v.shape[1]) == 0)),
    "scores overflow": lambda rng, b, v: (b, v * 1e25),
    "rising": lambda rng, b, v: (np.sort(b) * 9, v),
}


@settings(deadline=None)
@given(st.data())
def test_lists_are_those_without_codes(data):
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    n = draw(st.sampled_from([0, 1, 15, 16, 17, 511, 513, 1500]), label="n")
    d = draw(st.sampled_from([1, 2, 3, 4, 8, 30, 64, 65, 130, 300]), label="d")
    k = draw(st.sampled_from([1, 10, 600]), label="k")
    n_users = draw(st.sampled_from([1, 2, 7]), label="users")
    sides = []
    for side, rows in (("items", n), ("users", n_users)):
        shape = SHAPES[draw(st.sampled_from([*SHAPES]), label=side)]
        with np.errstate(over="ignore"):
            arrays = [np.asarray(a, np.float32) for a in shape(rng, *normals(rng, rows, d))]
        largest = np.finfo(np.float32).max  # the representations that are asked for are finite
        sides.append(tuple(np.clip(a, -largest, largest) for a in arrays))
    items, users = sides
    share = draw(st.sampled_from([0, 0.1, 1]), label="excluded")
    excluded = np.flatnonzero(rng.random(n) < share).astype(np.int32)
    expected = lists(items, users, k, excluded)
    codes = _core.Codes(items[1])
    assert_equal_to_the_bit(lists(items, users, k, excluded, codes), expected)


@pytest.mark.parametrize("d", [1, 5, 64])
@pytest.mark.parametrize("n_users", [1, 12])
def test_only_items_that_may_be_among_the_best_are_looked_at(d, n_users):
    """Vectors of the others may be anything by now."""
    rng = np.random.default_rng(d)
    items, users = normals(rng, 6000, d), normals(rng, n_users, d)
    scores = users[1] @ items[1].T + items[0]
    codes, none = _core.Codes(items[1]), np.empty(0, np.int32)
    expected = lists(items, users, 10, none)
    poor = (scores < np.sort(scores, axis=1)[:, [-500]]).all(axis=0)
    poor[:512] = False  # the first tile fills the heap; after it, no item below the 500th enters
    assert poor.sum() > 500
    items[1][poor] = np.sign(users[1][0]) * 1e6
    assert_equal_to_the_bit(lists(items, users, 10, none, codes), expected)


def test_the_best_may_be_last():
    """Where scores rise with the rows, tiles in turns find a high threshold soon."""
    n, none = 60_000, np.empty(0, np.int32)
    items = np.arange(n, dtype=np.float32), np.ones((n, 2), np.float32)
    users = np.zeros(1, np.float32), np.ones((1, 2), np.float32)
    found = lists(items, users, 3, none, _core.Codes(items[1]))
    np.testing.assert_array_equal(found[0], [[n - 1, n - 2, n - 3]])


def test_codes_of_other_items_are_refused():
    rng = np.random.default_rng(0)
    items, users = normals(rng, 40, 8), normals(rng, 1, 8)
    for n, d in ((41, 8), (40, 4)):
        with pytest.raises(ValueError, match="do not fit"):
            lists(items, users, 3, np.empty(0, np.int32), _core.Codes(normals(rng, n, d)[1]))


# ---- when they are made --------------------------------------------------------------------------


def test_nobody_who_asks_once_pays_for_codes():
    rng = np.random.default_rng(0)
    items, users = PreparedItems(*normals(rng, 2000, 6)), normals(rng, 12, 6)
    one = tuple(of[:1] for of in users)
    items.best(users, 5)
    assert items._codes._codes is None
    expected = [PreparedItems(items.biases, items.vectors).best(of, 5) for of in (users, one)]
    for _ in range(2):
        for of, lists_of in zip((users, one), expected, strict=True):
            assert_equal_to_the_bit(items.best(of, 5), lists_of)
    assert items._codes._codes is not None
    other = items.with_biases(-items.biases)
    assert other._codes is items._codes
    expected = PreparedItems(-items.biases, items.vectors).best(one, 5)
    assert_equal_to_the_bit(other.best(one, 5), expected)


def test_rules_and_codes_together():
    rng = np.random.default_rng(0)
    items, users = PreparedItems(*normals(rng, 3000, 9)), normals(rng, 3, 9)
    own, known = (sp.csr_matrix(rng.random((3, 3000)) < share) for share in (0.5, 0.1))
    for given_ in (
        {},
        {"exclude": known},
        {"candidates": own},
        {"candidates": own, "exclude": known},
    ):
        expected = PreparedItems(items.biases, items.vectors).best(users, 20, **given_)
        for _ in range(6):
            assert_equal_to_the_bit(items.best(users, 20, **given_), expected)
    assert items._codes._codes is not None


# ---- prepared models -----------------------------------------------------------------------------

N_USERS, N_ITEMS = 40, 70
KNOWN = random_interactions(3, (N_USERS, N_ITEMS), 300).tocsr()
USERS, ITEMS = random_features(N_USERS, 7, seed=2), random_features(N_ITEMS, 9, seed=1)


def prepared(loss: str = "warp", features: bool = False) -> tuple[LightFM, PreparedModel]:
    given_ = {"user_features": USERS, "item_features": ITEMS} if features else {}
    model = LightFM(loss=loss, no_components=6, random_state=0).fit(KNOWN, **given_, epochs=3)
    return model, model.prepare(item_features=given_.get("item_features"))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("features", [False, True], ids=["plain", "features"])
def test_lists_of_a_prepared_model_are_the_model_s(loss, features):
    model, service = prepared(loss, features)
    of_users = {"user_features": USERS} if features else {}
    of_items = {"item_features": ITEMS} if features else {}
    vectors = model.get_user_representations(of_users.get("user_features"))
    for users in (5, [3, 8, 1], range(30), None):
        for k in (1, 5, 90):
            for more in (
                {},
                {"exclude": KNOWN},
                {"items": [4, 60, 4, 9]},
                {"items": range(N_ITEMS)},
                {"num_threads": 2},
            ):
                expected = model.recommend(users, k, **of_users, **of_items, **more)
                assert_equal_to_the_bit(service.recommend(users, k, **of_users, **more), expected)
    expected = model.recommend(k=4, user_representations=vectors, **of_items)
    assert_equal_to_the_bit(service.recommend(k=4, user_representations=vectors), expected)


@pytest.mark.parametrize("loss", ["warp", "softmax"])  # softmax makes directions, but not biases
@pytest.mark.parametrize("features", [False, True], ids=["plain", "features"])
def test_a_prepared_model_keeps_what_it_was_made_of(features, loss):
    model, service = prepared(loss, features=features)
    of_users = {"user_features": USERS} if features else {}
    expected = service.recommend(k=5, **of_users)
    assert_equal_to_the_bit(
        service.recommend([2], k=5, **of_users), tuple(e[[2]] for e in expected)
    )
    model.item_embeddings[...] = -model.item_embeddings
    model.user_biases += 1
    model.item_biases += np.arange(len(model.item_biases), dtype=np.float32)
    model.fit(KNOWN[:5], epochs=1)
    assert_equal_to_the_bit(service.recommend(k=5, **of_users), expected)


def test_what_a_prepared_model_refuses():
    with pytest.raises(ValueError, match="not fitted"):
        LightFM().prepare()
    model, service = prepared(features=True)
    with pytest.raises(ValueError, match="item_features must be given"):
        model.prepare()
    for given_, text in (
        ({}, "user_features must be given"),
        ({"user_features": USERS, "user_ids": 40}, "must be below 40"),
        ({"user_features": USERS, "items": [70]}, "must be below 70"),
        ({"user_features": USERS, "k": 0}, "k must"),
        ({"user_features": USERS, "exclude": KNOWN[:9]}, "exclude"),
        ({"user_features": USERS, "user_representations": (0, 0)}, "pass one of them"),
    ):
        with pytest.raises(ValueError, match=text):
            service.recommend(**given_)
    with pytest.raises(TypeError, match=re.escape("it is called exclude here")):
        service.recommend(3, train_interactions=KNOWN)
    broken = copy.copy(model)
    broken.item_embeddings = model.item_embeddings * np.float32(np.nan)
    with pytest.raises(ValueError, match="NaN or infinite"):
        broken.prepare(item_features=ITEMS)
