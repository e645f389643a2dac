"""Top-N lists and neighbours, against all scores sorted.

Where embeddings and biases are small integers, scores are exact in any order of summation and often
equal, so lists are compared entry by entry, ties included.
"""

from __future__ import annotations

import inspect
import tracemalloc
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import (
    LOSSES,
    all_scores,
    arrays_of,
    assert_equal_arrays,
    model_with,
    random_features,
    random_interactions,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightfm_clone import LightFM
from lightfm_clone._model import prepared
from lightfm_clone._model import recommend as module

N_USERS, N_ITEMS = 30, 20
FEATURES = {
    "user_features": random_features(N_USERS, 6, seed=2),
    "item_features": random_features(N_ITEMS, 7, seed=3),
}
PATHS = {"items packed": 0, "items as they lie": 10**6}  # values of prepared._FEW

# The level changes the compiled core, not the example, so it may stay for all examples.
at_each_level = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def model() -> LightFM:
    """Fitted without features."""
    return LightFM(no_components=4, random_state=1).fit(random_interactions(1, (N_USERS, N_ITEMS)))


@pytest.fixture(scope="module")
def hybrid() -> LightFM:
    """Fitted with features of both sides."""
    model = LightFM(no_components=4, random_state=1)
    return model.fit(random_interactions(1, (N_USERS, N_ITEMS)), epochs=2, **FEATURES)


@pytest.fixture(params=PATHS.values(), ids=PATHS.keys())
def path(request, monkeypatch) -> None:
    """Run the test once with packed items for every call, and once without."""
    monkeypatch.setattr(prepared, "_FEW", request.param)


def integer_model(rng: np.random.Generator, shape: tuple[int, int], d: int, largest: int = 2):
    """A model of integers from -largest to largest."""
    sizes = ((shape[0], d), (shape[1], d), shape[0], shape[1])
    return model_with(*(rng.integers(-largest, largest + 1, size=size) for size in sizes))


def best_of(
    scores: np.ndarray, k: int, known: np.ndarray | None = None, items: object = None
) -> tuple[np.ndarray, np.ndarray]:
    """The lists, from all scores [n, n_items] and a mask of what is known."""
    n, n_items = scores.shape
    allowed = np.ones((n, n_items), dtype=bool) if known is None else ~known
    if items is not None:
        allowed = allowed & np.isin(np.arange(n_items), items)
    best = np.full((n, k), -1, dtype=np.int32), np.full((n, k), -np.inf, dtype=np.float32)
    for row in range(n):
        ids = np.flatnonzero(allowed[row])
        ids = ids[np.lexsort((ids, -scores[row, ids]))][:k]
        best[0][row, : len(ids)] = ids
        best[1][row, : len(ids)] = scores[row, ids]
    return best


def assert_equal_lists(
    found: tuple[np.ndarray, np.ndarray], expected: tuple[np.ndarray, np.ndarray]
) -> None:
    for left, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(left, right, strict=True)


def assert_best(
    found: tuple[np.ndarray, np.ndarray], scores: np.ndarray, k: int, **restrictions: object
) -> None:
    """`found` are the lists of real-valued scores, but for the order of what is equal but for
    rounding."""
    ids, values = found
    assert ids.dtype == np.int32 and values.dtype == np.float32
    expected, best = best_of(scores, k, **restrictions)
    np.testing.assert_array_equal(ids == -1, expected == -1)
    np.testing.assert_allclose(values, best, rtol=1e-5, atol=1e-6)
    there = ids >= 0
    of_ids = np.where(there, np.take_along_axis(scores, np.where(there, ids, 0), axis=1), -np.inf)
    np.testing.assert_allclose(values, of_ids, rtol=1e-5, atol=1e-6)
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in ids)


def matrix_of(mask: np.ndarray, rng: np.random.Generator) -> sp.csr_matrix:
    """CSR with the mask's entries in no order, some of them twice, values from -1 to 2."""
    rows, cols = np.nonzero(mask)
    again = rng.random(len(rows)) < 0.2
    rows, cols = np.concatenate([rows, rows[again]]), np.concatenate([cols, cols[again]])
    order = np.lexsort((rng.random(len(rows)), rows))
    values = rng.integers(-1, 3, size=len(rows)).astype(np.float32)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(mask)))])
    return sp.csr_matrix((values, cols[order], indptr), shape=mask.shape)


# Lists, entry by entry

# Around the sizes at which the kernels turn: 6 users side by side, 12 before items are packed, 96
# to a block; 8 items to a vector, 16 to a panel, 512 to a tile.
USERS = [1, 2, 5, 6, 7, 12, 13, 18, 95, 96, 97, 193]
ITEMS = [1, 2, 7, 8, 9, 15, 16, 17, 33, 511, 512, 513, 527, 1025]


@at_each_level
@given(st.data())
def test_lists_are_the_sorted_scores(level, data):
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    n_users, n_items = shape = draw(st.sampled_from(USERS)), draw(st.sampled_from(ITEMS))
    d, largest = draw(st.sampled_from([1, 2, 7, 8, 9, 33])), draw(st.integers(0, 2))
    model = integer_model(rng, shape, d, largest)
    scores = all_scores(model, *shape)
    given = {
        "k": draw(st.integers(1, 12) | st.sampled_from([n_items, n_items + 3]), label="k"),
        "num_threads": draw(st.sampled_from([1, 2, 4]), label="num_threads"),
    }
    asked, n_rows = np.arange(n_users), n_users
    if draw(st.booleans(), label="as representations"):
        given["user_representations"] = model.get_user_representations()
    if draw(st.booleans(), label="by id"):
        asked = given["user_ids"] = rng.integers(n_users, size=draw(st.sampled_from(USERS)))
        n_rows += draw(st.integers(0, 2), label="further rows of exclude")
    items, known = None, np.zeros((n_rows, n_items), dtype=bool)
    if draw(st.booleans(), label="candidates"):
        items = given["items"] = rng.integers(n_items, size=draw(st.integers(1, 2 * n_items)))
    if draw(st.booleans(), label="exclude"):
        width = draw(st.sampled_from([n_items, n_items // 2 + 1]), label="columns of exclude")
        share = draw(st.sampled_from([0, 0.1, 0.9, 1]), label="share excluded")
        known[:, :width] = rng.random((n_rows, width)) < share
        given["exclude"] = matrix_of(known[:, :width], rng)
    expected = best_of(scores[asked], given["k"], known[asked], items)
    assert_equal_lists(model.recommend(**given), expected)


@pytest.mark.parametrize("num_threads", [1, 2])
def test_every_number_of_components(level, path, num_threads):
    rng = np.random.default_rng(0)
    for d in range(1, 131):
        model = integer_model(rng, (14, 37), d)
        expected = best_of(all_scores(model, 14, 37), 5)
        assert_equal_lists(model.recommend(k=5, num_threads=num_threads), expected)


@pytest.mark.parametrize("n_items", [1, 511, 512, 513, 1025])
@pytest.mark.parametrize("n_users", [1, 12, 13, 96, 97])
def test_lists_of_all_lengths(level, path, n_users, n_items):
    """From one item to more than there are, with and without some excluded."""
    rng = np.random.default_rng(n_items)
    model = integer_model(rng, (n_users, n_items), 3, largest=1)
    scores = all_scores(model, n_users, n_items)
    known = rng.random((n_users, n_items)) < 0.5
    for k in {1, 2, 16, 17, n_items - 1, n_items, n_items + 40} - {0}:
        assert_equal_lists(model.recommend(k=k), best_of(scores, k))
        found = model.recommend(k=k, exclude=matrix_of(known, rng))
        assert_equal_lists(found, best_of(scores, k, known))


def test_all_scores_equal(level, path):
    """The lowest ids win, whatever the panel or tile they are in."""
    model = model_with(np.ones((20, 3)), np.ones((1100, 3)))
    ids, scores = model.recommend(k=700)
    np.testing.assert_array_equal(ids, np.broadcast_to(np.arange(700), (20, 700)))
    assert (scores == 3).all()


@pytest.mark.parametrize("rising", [True, False])
def test_scores_in_order(level, path, rising):
    """The best items come last, so that every one of them enters the list, or first."""
    biases = np.arange(1500) if rising else -np.arange(1500)
    model = model_with(np.zeros((20, 1)), np.zeros((1500, 1)), item_biases=biases)
    expected = np.arange(1499, 1399, -1) if rising else np.arange(100)
    ids, scores = model.recommend(k=100)
    np.testing.assert_array_equal(ids, np.broadcast_to(expected, ids.shape))
    np.testing.assert_array_equal(scores, biases[ids])


@pytest.mark.parametrize("no_components", [1, 13, 64])
def test_equal_items_tie_exactly(level, path, no_components):
    """Whatever their place, though their scores are rounded."""
    rng = np.random.default_rng(0)
    vectors, biases = rng.normal(size=(50, no_components)), rng.normal(size=50)
    copies = rng.integers(50, size=700)
    model = model_with(
        rng.normal(size=(20, no_components)), vectors[copies], item_biases=biases[copies]
    )
    ids, scores = model.recommend(k=700)
    for row in range(20):
        for copy in range(50):
            there = copies[ids[row]] == copy
            assert len(set(scores[row, there])) == 1
            np.testing.assert_array_equal(ids[row, there], np.flatnonzero(copies == copy))


def test_more_users_than_a_block(level, monkeypatch):
    """Vectors are made block by block; 4096 is no number of whole groups of six."""
    rng = np.random.default_rng(0)
    n_users, n_items = module._BLOCK + 14, 40
    model = integer_model(rng, (n_users, n_items), 2)
    scores = all_scores(model, n_users, n_items)
    known = rng.random(scores.shape) < 0.3
    exclude, asked = matrix_of(known, rng), rng.permutation(n_users)
    for threads in (1, 2):
        found = model.recommend(asked, k=3, exclude=exclude, num_threads=threads)
        assert_equal_lists(found, best_of(scores[asked], 3, known[asked]))
    monkeypatch.setattr(module, "_BLOCK", 7)
    few = asked[:24]
    expected = best_of(scores[few], 3, known[few], range(5, 30))
    found = model.recommend(few, k=3, exclude=exclude, items=range(5, 30), num_threads=2)
    assert_equal_lists(found, expected)
    cold = {"user_representations": tuple(of[few] for of in model.get_user_representations())}
    found = model.recommend(k=3, exclude=exclude[few], items=range(5, 30), **cold)
    assert_equal_lists(found, expected)


@pytest.mark.parametrize("no_components", [5, 64])
def test_threads_change_nothing(level, path, no_components):
    rng = np.random.default_rng(0)
    model = model_with(*(rng.normal(size=(n, no_components)) for n in (250, 600)))
    exclude = matrix_of(rng.random((250, 600)) < 0.2, rng)
    alone = model.recommend(exclude=exclude)
    for num_threads in (2, 3, 4, 50, None):
        assert_equal_lists(model.recommend(exclude=exclude, num_threads=num_threads), alone)


# Who is asked for, and what is chosen from


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("sides", [(), ("user",), ("item",), ("user", "item")], ids=str)
def test_scores_are_those_of_predict(level, path, sides, num_threads):
    rng = np.random.default_rng(0)
    given = {f"{side}_features": FEATURES[f"{side}_features"] for side in sides}
    model = LightFM(no_components=9, loss="warp", random_state=1)
    model.fit(random_interactions(1, (N_USERS, N_ITEMS)), epochs=5, **given)
    for side in ("user", "item"):
        setattr(model, f"{side}_biases", rng.normal(size=getattr(model, f"{side}_biases").shape))
    scores = all_scores(model, N_USERS, N_ITEMS, **given)
    assert_best(model.recommend(k=6, num_threads=num_threads, **given), scores, 6)
    users = [4, 29, 4]
    found = model.recommend(users, k=6, num_threads=num_threads, **given)
    assert_best(found, scores[users], 6)


def test_defaults(model):
    """All users of the fit, ten items each."""
    ids, scores = model.recommend()
    assert ids.shape == scores.shape == (N_USERS, 10)
    assert ids.dtype == np.int32 and scores.dtype == np.float32
    assert ids.flags.c_contiguous and scores.flags.c_contiguous
    assert_best((ids, scores), all_scores(model, N_USERS, N_ITEMS), 10)


@pytest.mark.parametrize("user", [2, np.int8(2), np.uint64(2), np.array(2), 2.0, [2]], ids=repr)
def test_one_user(model, user):
    ids, scores = model.recommend(user, k=4)
    assert ids.shape == scores.shape == (1, 4)
    assert_best((ids, scores), all_scores(model, N_USERS, N_ITEMS)[[2]], 4)


@pytest.mark.parametrize("kind", [list, tuple, np.array, np.uint8, np.float64])
def test_ids_of_all_kinds(model, kind):
    """Repeated and in any order; what else is an id is tested with `predict`."""
    users, items = [5, 1, 5, 29], [7, 0, 3, 7, 19]
    expected = best_of(all_scores(model, N_USERS, N_ITEMS)[users], 3, items=items)
    found = model.recommend(kind(users), k=3, items=kind(items))
    np.testing.assert_array_equal(found[0], expected[0])
    found = model.recommend(range(3, 9, 2), k=3, items=range(9))
    expected = best_of(all_scores(model, N_USERS, N_ITEMS)[3:9:2], 3, items=range(9))
    np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize("n", [1, 3, 40])
def test_users_the_model_has_never_seen(hybrid, n):
    """One list for each row of user_features, with and without ids of these rows."""
    new = random_features(n, 6, seed=9)
    items = {"item_features": FEATURES["item_features"]}
    scores = all_scores(hybrid, n, N_ITEMS, user_features=new, **items)
    known = np.random.default_rng(0).random((n, N_ITEMS)) < 0.3
    exclude = sp.csr_matrix(known.astype(int))
    found = hybrid.recommend(k=5, user_features=new, exclude=exclude, **items)
    assert_best(found, scores, 5, known=known)
    found = hybrid.recommend([n - 1, 0], k=5, user_features=new, exclude=exclude, **items)
    assert_best(found, scores[[n - 1, 0]], 5, known=known[[n - 1, 0]])


def test_fewer_columns_count_as_zero(hybrid):
    narrow = {name: matrix[:, :4] for name, matrix in FEATURES.items()}
    scores = all_scores(hybrid, N_USERS, N_ITEMS, **narrow)
    assert_best(hybrid.recommend(**narrow), scores, 10)


def test_items_the_model_has_never_seen(hybrid):
    new = random_features(55, 7, seed=9)
    given = {"user_features": FEATURES["user_features"], "item_features": new}
    scores = all_scores(hybrid, N_USERS, 55, **given)
    known = np.random.default_rng(0).random((N_USERS, 55)) < 0.3
    items = [54, 3, 20, 21, 50]
    found = hybrid.recommend([8, 3], exclude=sp.coo_matrix(known), items=items, **given)
    assert_best(found, scores[[8, 3]], 10, known=known[[8, 3]], items=items)


@pytest.mark.parametrize("n", [1, 13])
def test_representations(model, n):
    """As lists, of any dtype and order."""
    rng = np.random.default_rng(0)
    biases, embeddings = rng.normal(size=n), np.asfortranarray(rng.normal(size=(n, 4)))
    by_numpy = embeddings @ model.item_embeddings.T + biases[:, None] + model.item_biases
    for pair in (
        (biases, embeddings),
        [biases.astype(np.float32), embeddings.astype(np.float32)],
        (biases.tolist(), embeddings.tolist()),
    ):
        assert_best(model.recommend(user_representations=pair), by_numpy, 10)
        found = model.recommend([n - 1, 0, 0], user_representations=pair)
        assert_best(found, by_numpy[[n - 1, 0, 0]], 10)


def test_representations_of_hybrid_models(hybrid):
    """No warning that user_features are missing."""
    users = hybrid.get_user_representations(FEATURES["user_features"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = hybrid.recommend(
            user_representations=users, item_features=FEATURES["item_features"]
        )
    assert_equal_lists(found, hybrid.recommend(**FEATURES))


def test_a_model_of_features_asks_for_them(hybrid):
    for side in ("user", "item"):
        given = {name: of for name, of in FEATURES.items() if not name.startswith(side)}
        with pytest.raises(ValueError, match=f"^{side}_features must be given"):
            hybrid.recommend(k=3, **given)


def test_no_users(hybrid):
    """No rows, no lists."""
    items = {"item_features": FEATURES["item_features"]}
    nobody = sp.csr_matrix((0, 6), dtype=np.float32)
    for whom in (
        {"user_features": nobody},
        {"user_features": nobody, "exclude": sp.csr_matrix((0, N_ITEMS))},
        {"user_features": nobody, "exclude": sp.csr_matrix((0, N_ITEMS)), "items": [1, 2]},
        {"user_representations": (np.empty(0), np.empty((0, 4)))},
    ):
        ids, scores = hybrid.recommend(k=3, **whom, **items)
        assert ids.shape == scores.shape == (0, 3)
        assert ids.dtype == np.int32 and scores.dtype == np.float32


@pytest.mark.parametrize("n_users", [2, 20])
def test_no_items(n_users):
    model = LightFM().fit(sp.coo_matrix((n_users, 0)))
    ids, scores = model.recommend(k=2, exclude=sp.coo_matrix((n_users, 0)))
    np.testing.assert_array_equal(ids, np.full((n_users, 2), -1))
    np.testing.assert_array_equal(scores, np.full((n_users, 2), -np.inf))


@pytest.mark.parametrize("kind", ["coo", "csr", "csc", "lil", "dok", "dense", "array"])
@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float64])
def test_exclude_of_all_kinds(model, kind, dtype):
    known = np.random.default_rng(0).random((N_USERS, N_ITEMS)) < 0.3
    exclude = sp.csr_array(known.astype(dtype)) if kind == "array" else known.astype(dtype)
    if kind not in ("array", "dense"):
        exclude = sp.csr_matrix(exclude).asformat(kind)
    expected = best_of(all_scores(model, N_USERS, N_ITEMS), 10, known)
    np.testing.assert_array_equal(model.recommend(exclude=exclude)[0], expected[0])
    users = [17, 3]
    found = model.recommend(users, exclude=exclude, items=range(15))
    expected = best_of(all_scores(model, N_USERS, N_ITEMS)[users], 10, known[users], range(15))
    np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize("values", [[0.0, 0.0], [1.0, -1.0], [np.nan, np.inf]], ids=str)
def test_every_stored_entry_is_excluded(model, values):
    """Zeros, repeated entries that cancel out, and values that are no numbers."""
    first = model.recommend(0, k=3)[0][0]
    best = first[[0, 0]] if values == [1.0, -1.0] else first[:2]
    for make in (sp.csr_matrix, sp.coo_matrix):
        exclude = make((values, ([0, 0], best)), shape=(1, N_ITEMS))
        left = model.recommend(0, k=3 - len(set(best)), exclude=exclude)[0][0]
        np.testing.assert_array_equal(left, [item for item in first if item not in best])


@pytest.mark.parametrize("items", [None, range(100), [0]], ids=["all", "some", "one"])
def test_nothing_is_left(path, items):
    """For one of the users."""
    model = integer_model(np.random.default_rng(0), (15, 530), 2)
    known = np.zeros((15, 530), dtype=bool)
    known[4] = True
    ids, scores = model.recommend(k=2, exclude=sp.csr_matrix(known), items=items)
    assert (ids[4] == -1).all() and (scores[4] == -np.inf).all()
    expected = best_of(all_scores(model, 15, 530), 2, known, items)
    assert_equal_lists((ids, scores), expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_scores_of_every_loss(path, loss):
    """With the global mean of one, the normalised vectors of another."""
    given = {"item_features": FEATURES["item_features"]}
    model = LightFM(loss=loss, random_state=1)
    model.fit(random_interactions(1, (N_USERS, N_ITEMS)), epochs=3, **given)
    scores = all_scores(model, N_USERS, N_ITEMS, **given)
    assert_best(model.recommend(k=5, **given), scores, 5)
    users = model.get_user_representations(sp.identity(N_USERS, np.float32, "csr"))
    assert_best(model.recommend(k=5, user_representations=users, **given), scores, 5)


def test_arrays_assigned_in_any_layout():
    rng = np.random.default_rng(0)
    arrays = [rng.integers(-2, 3, size=(n, 5)).astype(np.float64) for n in (14, 40)]
    model = model_with(*arrays)
    expected = best_of(all_scores(model, 14, 40), 10)
    for order in "CF":
        model.user_embeddings, model.item_embeddings = (np.array(a, order=order) for a in arrays)
        assert_equal_lists(model.recommend(), expected)
        assert_equal_lists(model.recommend([3]), tuple(of[[3]] for of in expected))


def test_nothing_of_the_caller_is_changed(hybrid):
    """Everything is read-only, and a matrix with its entries out of order stays so."""
    rng = np.random.default_rng(0)
    given = {
        "user_ids": np.array([3, 1, 3]),
        "exclude": matrix_of(rng.random((N_USERS, N_ITEMS)) < 0.5, rng),
        "items": np.array([9, 3, 3, 1]),
        **{name: matrix.copy() for name, matrix in FEATURES.items()},
    }
    representations = {
        "user_representations": hybrid.get_user_representations(FEATURES["user_features"])
    }
    parts = {
        (name, part): array
        for name, each in {**given, **representations}.items()
        for part, array in (
            enumerate(each if isinstance(each, tuple) else [each])
            if not sp.issparse(each)
            else ((part, getattr(each, part)) for part in ("data", "indices", "indptr"))
        )
    }
    before = {key: array.copy() for key, array in parts.items()}
    arrays = arrays_of(hybrid)
    for array in parts.values():
        array.flags.writeable = False
    lists = hybrid.recommend(**given)
    del given["user_features"]
    assert_equal_lists(hybrid.recommend(**given, **representations), lists)
    neighbours = {"item_features": given["item_features"], "among": given["items"]}
    hybrid.similar_items(given["user_ids"], **neighbours)
    hybrid.similar_items(metric="dot", **neighbours)
    for key, array in parts.items():
        np.testing.assert_array_equal(array, before[key])
    assert_equal_arrays(arrays_of(hybrid), arrays)


# Memory


@pytest.mark.parametrize("kind", ["of the fit", "features", "representations"])
def test_memory_does_not_grow_with_users(kind):
    """But for the result and the numbers of the users: not their vectors, not what is excluded."""
    d, k, most = 64, 2, 5 * module._BLOCK
    rng = np.random.default_rng(0)
    model = model_with(np.zeros((most, d)), rng.normal(size=(30, d)))
    exclude = sp.random(most, 30, density=0.5, format="csr", dtype=np.float32, random_state=0)
    exclude = sp.csr_matrix(
        (exclude.data, exclude.indices[::-1].copy(), exclude.indptr), shape=exclude.shape
    )  # out of order

    def peak(n_users: int) -> int:
        given = {
            "of the fit": {"user_ids": np.arange(n_users, dtype=np.int32)},
            "features": {"user_features": sp.identity(most, np.float32, "csr")[:n_users]},
            "representations": {
                "user_representations": tuple(
                    of[:n_users] for of in model.get_user_representations()
                )
            },
        }[kind]
        known = exclude[:n_users]
        tracemalloc.start()
        try:
            model.recommend(k=k, exclude=known, items=range(20), **given)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    a_user = (peak(most) - peak(2 * module._BLOCK)) / (most - 2 * module._BLOCK)
    # A vector would take 256 bytes, and a row of exclude 120. The result takes 16, the number of
    # the user 4, and checking the matrices a few more.
    assert 8 * k <= a_user < 8 * k + 40


# Neighbours


def cosines(vectors: np.ndarray) -> np.ndarray:
    """All cosines in double precision, 0 where there is no angle."""
    vectors = np.float64(vectors)
    norms = np.linalg.norm(vectors, axis=1)
    unit = np.divide(vectors, norms[:, None], out=np.zeros_like(vectors), where=norms[:, None] > 0)
    return unit @ unit.T


def model_of(side: str, vectors: np.ndarray) -> LightFM:
    """A model with these embeddings on one side, and biases that must play no part."""
    other = np.ones((4, vectors.shape[1]))
    biases = np.linspace(-9, 9, len(vectors))
    if side == "item":
        return model_with(other, vectors, item_biases=biases)
    return model_with(vectors, other, user_biases=biases)


def neighbours(model: LightFM, side: str, *arguments, features=None, **named):
    if features is not None:
        named[f"{side}_features"] = features
    return getattr(model, f"similar_{side}s")(*arguments, **named)


both_sides = pytest.mark.parametrize("side", ["item", "user"])


@both_sides
@at_each_level
@given(st.data())
def test_neighbours_by_inner_product(level, side, data):
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    n, d = draw(st.sampled_from([1, 2, 12, 13, 17, 97, 520])), draw(st.sampled_from([1, 2, 9]))
    vectors = rng.integers(-2, 3, size=(n, d))
    given = {
        "k": draw(st.integers(1, 12) | st.sampled_from([n, n + 3]), label="k"),
        "num_threads": draw(st.sampled_from([1, 2]), label="num_threads"),
    }
    asked, among = np.arange(n), None
    if draw(st.booleans(), label="ids"):
        asked = given[f"{side}_ids"] = rng.integers(n, size=draw(st.integers(1, 30)))
    if draw(st.booleans(), label="among"):
        among = given["among"] = rng.integers(n, size=draw(st.integers(1, 2 * n)))
    itself = asked[:, None] == np.arange(n)
    expected = best_of((vectors @ vectors.T)[asked], given["k"], itself, among)
    found = neighbours(model_of(side, vectors), side, metric="dot", **given)
    assert_equal_lists(found, expected)


@both_sides
@pytest.mark.parametrize("no_components", [1, 8, 13])
def test_neighbours_by_cosine(level, path, side, no_components):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, no_components)) * rng.exponential(size=(60, 1))
    vectors[[7, 20, 59]] = 0
    model, close = model_of(side, vectors), cosines(vectors)
    itself = np.eye(60, dtype=bool)
    assert_best(neighbours(model, side, k=7), close, 7, known=itself)
    # All of them, in order: those at a right angle or without a direction are in between.
    assert_best(neighbours(model, side, k=60), close, 60, known=itself)
    ids, similarities = neighbours(model, side, 20, k=59)
    np.testing.assert_array_equal(ids[0], np.delete(np.arange(60), 20))
    np.testing.assert_array_equal(similarities, 0)

    asked, among = [20, 3, 3, 59], [59, 3, 30, 31, 7, 59]
    found = neighbours(model, side, asked, k=6, among=among)
    assert_best(found, close[asked], 6, known=itself[asked], items=among)
    assert found[0][0].tolist().count(-1) == 1 and found[0][1].tolist().count(-1) == 2


@both_sides
def test_default_is_ten_by_cosine(side):
    model = model_of(side, np.random.default_rng(0).normal(size=(30, 4)))
    assert_equal_lists(neighbours(model, side), neighbours(model, side, None, 10, metric="cosine"))
    assert_equal_lists(
        neighbours(model, side, [4]), tuple(of[[4]] for of in neighbours(model, side, range(12)))
    )
    assert neighbours(model, side)[0].shape == (30, 10)


@both_sides
@pytest.mark.parametrize("exponent", [-100, -60, 60, 120])
def test_cosine_does_not_depend_on_length(side, exponent):
    """Not even where squares vanish or overflow in single precision."""
    vectors = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    lengths = 2.0 ** np.where(np.arange(40) % 2, exponent, 0)
    found = neighbours(model_of(side, vectors * lengths[:, None]), side, k=39)
    assert_equal_lists(found, neighbours(model_of(side, vectors), side, k=39))


def test_neighbours_of_one_direction_tie(path):
    """Equal vectors are equally near, and the lower id comes first."""
    vectors = np.random.default_rng(0).normal(size=(5, 7))
    copies = np.random.default_rng(1).integers(5, size=300)
    ids, similarities = model_of("item", vectors[copies]).similar_items(k=20)
    for row in range(300):
        alike = np.flatnonzero(copies == copies[row])
        np.testing.assert_array_equal(ids[row], alike[alike != row][:20])
    np.testing.assert_allclose(similarities, 1, rtol=1e-6)


@both_sides
def test_neighbours_by_features(hybrid, side):
    """Rows of a matrix, known to the fit or not, and with fewer columns than it."""
    width = FEATURES[f"{side}_features"].shape[1]
    for features in (
        FEATURES[f"{side}_features"],
        random_features(50, width, seed=9),
        FEATURES[f"{side}_features"][:, :4],
    ):
        columns = features.shape[1]  # those that are missing count as zero
        vectors = features @ getattr(hybrid, f"{side}_embeddings")[:columns]
        close, itself = cosines(vectors), np.eye(len(vectors), dtype=bool)
        found = neighbours(hybrid, side, features=features)
        assert_best(found, close, 10, known=itself)
        found = neighbours(hybrid, side, [8, 2], features=features, among=range(3))
        assert_best(found, close[[8, 2]], 10, known=itself[[8, 2]], items=range(3))


def test_neighbours_of_features(hybrid):
    """Which tags are like this tag? The identity matrix asks about the features themselves."""
    tags = [1, 4, 5, 6]
    own = sp.identity(7, format="csr")
    close, itself = cosines(hybrid.item_embeddings), np.eye(7, dtype=bool)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = hybrid.similar_items(tags, k=3, among=tags, item_features=own)
        everything = hybrid.similar_items(k=6, item_features=own)
    assert_best(found, close[tags], 3, known=itself[tags], items=tags)
    assert_best(everything, close, 6, known=itself)
    assert hybrid.similar_users(user_features=sp.identity(6, format="csr"))[0].shape == (6, 10)
    with pytest.raises(ValueError, match=r"item_features must be given.*identity\(7"):
        hybrid.similar_items(tags)


def test_neighbours_of_nobody():
    model = LightFM().fit(sp.coo_matrix((0, 3)))
    ids, similarities = model.similar_users(k=2)
    assert ids.shape == similarities.shape == (0, 2)
    assert model.similar_items(k=3)[0].shape == (3, 3)
    nothing = sp.csr_matrix((0, 3), dtype=np.float32)
    assert model.similar_items(k=3, item_features=nothing)[0].shape == (0, 3)


# What is refused

BAD_IDS = {
    "negative": ([0, -1], "must not be negative, got -1"),
    "fractions": ([0.5], "must be whole numbers"),
    "text": (
        "ann",
        "must be integers, row numbers, got the text 'ann'; Dataset.(users|items)_to_ids",
    ),
    "names": (["ann"], "Dataset.(users|items)_to_ids"),
    "empty": ([], "is empty"),
    "2-D": ([[0, 1]], "must be one-dimensional"),
    "64 bits": ([2**40], "must fit a 32-bit integer"),
}
NOT_FITTED = ("recommend", "similar_items", "similar_users")


@pytest.mark.parametrize("kind", BAD_IDS)
@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("recommend", "user_ids"),
        ("recommend", "items"),
        ("similar_items", "item_ids"),
        ("similar_items", "among"),
        ("similar_users", "user_ids"),
        ("similar_users", "among"),
    ],
)
def test_bad_ids(model, method, name, kind):
    ids, message = BAD_IDS[kind]
    with pytest.raises(ValueError, match=f"^{name} .*{message}"):
        getattr(model, method)(**{name: ids})


def test_ids_beyond_the_rows(model, hybrid):
    users, items = FEATURES["user_features"], FEATURES["item_features"]
    for call, message in (
        (lambda: model.recommend(30), "user_ids must be below 30, the number of users of the fit"),
        (
            lambda: hybrid.recommend([0, 3], user_features=users[:3], item_features=items),
            "user_ids must be below 3, the number of rows of user_features, got 3",
        ),
        (
            lambda: model.recommend(2, user_representations=(np.zeros(2), np.zeros((2, 4)))),
            "user_ids must be below 2, the number of rows of user_representations, got 2",
        ),
        (
            lambda: model.recommend(0, items=[3, 20]),
            "items must be below 20, the number of items of the fit, got 20",
        ),
        (
            lambda: hybrid.recommend(0, user_features=users, item_features=items[:5], items=[5]),
            "items must be below 5, the number of rows of item_features, got 5",
        ),
        (
            lambda: model.similar_items(20),
            "item_ids must be below 20, the number of items of the fit, got 20",
        ),
        (
            lambda: hybrid.similar_users(0, user_features=users, among=[30]),
            "among must be below 30, the number of rows of user_features, got 30",
        ),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            call()


@pytest.mark.parametrize("method", NOT_FITTED)
def test_not_fitted(method):
    with pytest.raises(ValueError, match="the model is not fitted yet: call fit first"):
        getattr(LightFM(), method)()


@pytest.mark.parametrize("method", NOT_FITTED)
@pytest.mark.parametrize("k", [0, -1, 2.0, "ten", None, 2**31])
def test_bad_k(model, method, k):
    with pytest.raises(ValueError, match=f"^k must be an integer from 1 to 2147483647, got {k!r}"):
        getattr(model, method)(0, k=k)


@pytest.mark.parametrize("method", NOT_FITTED)
def test_bad_threads_and_positions(model, method):
    with pytest.raises(ValueError, match="^num_threads must be an integer >= 1, or None"):
        getattr(model, method)(0, num_threads=0)
    with pytest.raises(TypeError, match="by their place"):
        getattr(model, method)(0, 3, None)


@both_sides
@pytest.mark.parametrize("metric", ["euclidean", None, "Cosine"])
def test_bad_metric(model, side, metric):
    with pytest.raises(ValueError, match=f"^metric must be 'cosine' or 'dot', got {metric!r}"):
        neighbours(model, side, metric=metric)


@pytest.mark.parametrize("method", NOT_FITTED)
def test_bad_features(hybrid, method):
    for side in ("user", "item"):
        name = f"{side}_features"
        if name not in inspect.signature(getattr(hybrid, method)).parameters:
            continue
        given = FEATURES if method == "recommend" else {}
        wide = {**given, name: np.ones((3, 9))}
        with pytest.raises(ValueError, match=f"^{name} must have the [67] columns .* got 9"):
            getattr(hybrid, method)(**wide)
        with pytest.raises(ValueError, match=f"^{name} must be finite"):
            getattr(hybrid, method)(**{**given, name: np.full((3, 2), np.nan)})
        with pytest.raises(ValueError, match=f"^{name} must be a scipy sparse matrix"):
            getattr(hybrid, method)(**{**given, name: [[1, 0]]})


def test_bad_exclude(model):
    def matrix(*shape: int) -> sp.csr_matrix:
        return sp.csr_matrix(shape, dtype=np.float32)

    users = {"user_representations": (np.zeros(3), np.zeros((3, 4)))}
    for bad, message in (
        ({"exclude": [[1]]}, "a scipy sparse matrix"),
        ({"exclude": np.ones(3)}, "a scipy sparse matrix"),
        ({"exclude": matrix(29, 20)}, "30 rows, one for each user asked for; got 29"),
        ({"exclude": matrix(31, 20)}, "30 rows, one for each user asked for; got 31"),
        ({"exclude": matrix(4, 20), **users}, "3 rows, one for each user asked for; got 4"),
        (
            {"exclude": matrix(3, 20), "user_ids": [3, 1]},
            "4 rows or more, one for each user, so that row i is that of user i; got 3",
        ),
        ({"exclude": matrix(30, 21)}, "more columns than there are items, 20, got 21"),
    ):
        with pytest.raises(ValueError, match=f"^exclude must .*{message}"):
            model.recommend(**bad)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((3, 4)), "must be a pair of arrays"),
        ((np.zeros(3),), "must be a pair of arrays"),
        ("vectors", "must be a pair of arrays"),
        (7, "must be a pair of arrays"),
        ((["a"], [["b"] * 4]), "must be a pair of arrays"),
        ((np.zeros(3), np.zeros((3, 5))), r"embeddings \[n, 4\], got shapes \(3,\) and \(3, 5\)"),
        ((np.zeros(2), np.zeros((3, 4))), r"got shapes \(2,\) and \(3, 4\)"),
        ((np.zeros((3, 1)), np.zeros((3, 4))), r"got shapes \(3, 1\) and \(3, 4\)"),
        ((np.zeros((3, 4)), np.zeros(3)), r"got shapes \(3, 4\) and \(3,\)"),
    ],
)
def test_bad_representations(model, given, message):
    with pytest.raises(ValueError, match=f"^user_representations .*{message}"):
        model.recommend(user_representations=given)


def test_users_given_twice(hybrid):
    with pytest.raises(ValueError, match="^user_features and user_representations both say"):
        hybrid.recommend(user_representations=(np.zeros(1), np.zeros((1, 4))), **FEATURES)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("n_users", [3, 20])
def test_no_ranking_of_what_is_no_number(value, n_users):
    for name in ("user_embeddings", "item_biases", "item_embeddings", "user_biases"):
        model = integer_model(np.random.default_rng(0), (n_users, 9), 2)
        getattr(model, name)[-1] = value
        side = name.split("_")[0]
        with pytest.raises(ValueError, match=f"representations of some {side}s are NaN or inf"):
            model.recommend()
        if "biases" in name:
            neighbours(model, side)
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # the error says it all
            with pytest.raises(ValueError, match=f"representations of some {side}s are NaN"):
                neighbours(model, side)
    with pytest.raises(ValueError, match="representations of some users are NaN or infinite"):
        integer_model(np.random.default_rng(0), (2, 9), 2).recommend(
            user_representations=(np.full(n_users, value), np.zeros((n_users, 2)))
        )
