"""predict, predict_rank and representations, against NumPy and naive counts."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import all_scores, model_with, pairwise, random_features, random_interactions
from hypothesis import given, settings
from hypothesis import strategies as st

from lightfm_clone import LightFM

N_USERS, N_ITEMS = 30, 20


@pytest.fixture(scope="module")
def model() -> LightFM:
    """Fitted without features."""
    return LightFM(no_components=4, random_state=1).fit(random_interactions(1, (N_USERS, N_ITEMS)))


FEATURES = {
    "user_features": random_features(N_USERS, 6, seed=2),
    "item_features": random_features(N_ITEMS, 7, seed=3),
}


@pytest.fixture(scope="module")
def hybrid() -> LightFM:
    """Fitted with features of both sides."""
    model = LightFM(no_components=4, random_state=1)
    return model.fit(random_interactions(1, (N_USERS, N_ITEMS)), epochs=2, **FEATURES)


def scores_by_numpy(model: LightFM, users: sp.spmatrix, items: sp.spmatrix) -> np.ndarray:
    """All scores in float64, from the formula."""
    q, b_u = users @ np.float64(model.user_embeddings), users @ np.float64(model.user_biases)
    p, b_i = items @ np.float64(model.item_embeddings), items @ np.float64(model.item_biases)
    return q @ p.T + b_u[:, None] + b_i


# predict


@pytest.mark.parametrize(
    ("no_components", "sides", "num_threads"),
    pairwise([1, 7, 8, 10, 16, 33, 64], [(), ("user",), ("item",), ("user", "item")], [1, 2, None]),
)
def test_scores_follow_the_formula(level, no_components, num_threads, sides):
    rng = np.random.default_rng(no_components)
    n_users, n_items = 60, 45
    matrices = {
        side: random_features(n, 9, seed=n) if side in sides else sp.identity(n, format="csr")
        for side, n in (("user", n_users), ("item", n_items))
    }
    model = LightFM(no_components=no_components)
    given = {f"{side}_features": matrices[side] for side in sides}
    model.fit(sp.coo_matrix((n_users, n_items)), epochs=0, **given)
    for side in ("user", "item"):
        for kind in ("embeddings", "biases"):
            shape = getattr(model, f"{side}_{kind}").shape
            setattr(model, f"{side}_{kind}", rng.normal(size=shape).astype(np.float32))
    expected = scores_by_numpy(model, matrices["user"], matrices["item"])
    close = {"rtol": 1e-5, "atol": 1e-5 * no_components}

    users, items = rng.integers(n_users, size=3000), rng.integers(n_items, size=3000)
    scores = model.predict(users, items, num_threads=num_threads, **given)
    assert scores.dtype == np.float32 and scores.shape == (3000,)
    np.testing.assert_allclose(scores, expected[users, items], **close)
    of_one = model.predict(7, items, num_threads=num_threads, **given)
    np.testing.assert_allclose(of_one, expected[7, items], **close)
    few = model.predict([3, 5, 3], [0, 1, 1], num_threads=num_threads, **given)
    np.testing.assert_allclose(few, expected[[3, 5, 3], [0, 1, 1]], **close)


NINE = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5])
ID_TYPES = {
    "list": list,
    "tuple": tuple,
    **{
        dtype: lambda ids, dtype=dtype: ids.astype(dtype)
        for dtype in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
    },
    "whole floats": lambda ids: ids.astype(np.float64),
    "list of NumPy scalars": lambda ids: [np.int16(i) for i in ids],
    "objects": lambda ids: ids.astype(object),
    "byte-swapped": lambda ids: ids.astype(">i4"),
    "strided": lambda ids: np.repeat(ids.astype(np.int32), 3)[::3],
    "reversed view": lambda ids: ids[::-1].astype(np.int32)[::-1],
    "Series": lambda ids: pytest.importorskip("pandas").Series(ids, index=ids[::-1] + 100),
    "Series of nullable integers": lambda ids: pytest.importorskip("pandas").Series(
        ids, dtype="Int64"
    ),
    "Index": lambda ids: pytest.importorskip("pandas").Index(ids),
}


@pytest.mark.parametrize("kind", ID_TYPES)
def test_id_types(model, kind):
    expected = all_scores(model, N_USERS, N_ITEMS)
    ids = ID_TYPES[kind](NINE)
    np.testing.assert_array_equal(model.predict(ids, ids), expected[NINE, NINE])
    np.testing.assert_array_equal(model.predict(NINE, ids), expected[NINE, NINE])
    np.testing.assert_array_equal(model.predict(ids, NINE), expected[NINE, NINE])


def test_ranges(model):
    expected = all_scores(model, N_USERS, N_ITEMS)
    np.testing.assert_array_equal(model.predict(range(N_ITEMS), range(N_ITEMS)), np.diag(expected))
    np.testing.assert_array_equal(model.predict(2, range(N_ITEMS)), expected[2])
    np.testing.assert_array_equal(model.predict(2, range(N_ITEMS - 1, 0, -2)), expected[2, :0:-2])


@pytest.mark.parametrize("user", [2, np.int8(2), np.uint64(2), np.array(2), 2.0], ids=repr)
def test_one_user_and_every_item(model, user):
    """An integer is paired with every item; a sequence of one is not."""
    expected = all_scores(model, N_USERS, N_ITEMS)[2]
    np.testing.assert_array_equal(model.predict(user, np.arange(N_ITEMS)), expected)
    np.testing.assert_array_equal(model.predict(user, [4]), expected[[4]])
    with pytest.raises(ValueError, match="user_ids and item_ids"):
        model.predict([2], np.arange(N_ITEMS))


def test_fewer_columns_count_as_zero(hybrid):
    """In `predict` only; a feature that the matrix does not know is one that nobody has."""
    narrow = {name: matrix[:, :4] for name, matrix in FEATURES.items()}
    padded = {
        name: sp.hstack([matrix, sp.csr_matrix((matrix.shape[0], FEATURES[name].shape[1] - 4))])
        for name, matrix in narrow.items()
    }
    expected = scores_by_numpy(hybrid, padded["user_features"], padded["item_features"])
    scores = all_scores(hybrid, N_USERS, N_ITEMS, **narrow)
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)
    # As many pairs as rows and fewer take different ways.
    np.testing.assert_allclose(hybrid.predict([4], [5], **narrow), expected[4, [5]], rtol=1e-5)


def test_new_rows_of_known_features(hybrid):
    """Users and items unknown to the fit: as many as there are rows, however few."""
    new = {
        "user_features": random_features(50, 6, seed=8),
        "item_features": random_features(3, 7, seed=9),
    }
    expected = scores_by_numpy(hybrid, new["user_features"], new["item_features"])
    scores = hybrid.predict(np.arange(50), np.arange(50) % 3, **new)
    np.testing.assert_allclose(
        scores, expected[np.arange(50), np.arange(50) % 3], rtol=1e-5, atol=1e-6
    )
    ranks = hybrid.predict_rank(sp.coo_matrix(np.ones((50, 3))), **new)
    assert ranks.shape == (50, 3)


def test_without_a_matrix_ids_are_features(hybrid):
    """With a warning, because that is hardly ever meant."""
    with pytest.warns(UserWarning) as caught:
        scores = hybrid.predict([5, 0], [6, 2])
    assert sorted(str(w.message).split(" and ")[0][-13:] for w in caught) == [
        "item_features",
        "user_features",
    ]
    assert all(w.filename == __file__ for w in caught)
    expected = scores_by_numpy(hybrid, sp.identity(6), sp.identity(7))
    np.testing.assert_allclose(scores, expected[[5, 0], [6, 2]], rtol=1e-5)


def test_warns_of_missing_features_only(model, hybrid):
    entries = sp.coo_matrix(np.ones((6, N_ITEMS)))
    with pytest.warns(UserWarning, match="user_features"):
        hybrid.predict(0, [1], item_features=FEATURES["item_features"])
    with pytest.warns(UserWarning, match="user_features"):
        hybrid.predict_rank(entries, item_features=FEATURES["item_features"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(0, [1])
        hybrid.predict(0, [1], **FEATURES)
        again = LightFM().fit(random_interactions(), **{"item_features": random_features(20, 3)})
        again.fit(random_interactions()).predict(0, [1])


# predict_rank


def naive_ranks(
    scores: np.ndarray, test: np.ndarray, train: np.ndarray | None = None
) -> dict[tuple[int, int], int]:
    """Rank of each entry: the other items, not in train, that score at least as high.

    `test` and `train` are masks [n_users, n_items].
    """
    ranks = {}
    for user, item in zip(*np.nonzero(test), strict=True):
        others = np.ones(scores.shape[1], dtype=bool) if train is None else ~train[user]
        others[item] = False
        ranks[user, item] = np.sum(scores[user, others] >= scores[user, item])
    return ranks


def entries_of(matrix: sp.csr_matrix) -> dict[tuple[int, int], float]:
    coo = matrix.tocoo()
    return dict(zip(zip(coo.row.tolist(), coo.col.tolist(), strict=True), coo.data, strict=True))


@st.composite
def tied_problems(draw) -> tuple[LightFM, np.ndarray, np.ndarray]:
    """A model of small integers, so that scores are exact and often equal, and entry masks."""
    n_users, n_items, d = draw(st.integers(1, 8)), draw(st.integers(1, 40)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    largest = draw(st.integers(0, 2))
    parameters = (
        rng.integers(-largest, largest + 1, size=shape)
        for shape in ((n_users, d), (n_items, d), n_users, n_items)
    )
    kinds = rng.choice(4, size=(n_users, n_items), p=draw(st.sampled_from(SHARES)))
    return model_with(*parameters), (kinds & 1) > 0, (kinds & 2) > 0


# How many entries are in neither matrix, in test, in train, in both.
SHARES = [(0.4, 0.3, 0.3, 0.0), (0.2, 0.3, 0.3, 0.2), (0.0, 0.5, 0.5, 0.0), (0.9, 0.05, 0.05, 0.0)]


def stored(mask: np.ndarray, rng: np.random.Generator) -> sp.csr_matrix:
    """CSR with the mask's entries in no order within a row, values from -1 to 2 including 0."""
    rows, cols = np.nonzero(mask)
    order = np.lexsort((rng.random(len(rows)), rows))
    values = rng.integers(-1, 3, size=len(rows)).astype(np.float32)
    indptr = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
    return sp.csr_matrix((values, cols[order], indptr), shape=mask.shape)


@settings(deadline=None)
@given(tied_problems(), st.integers(0, 2**32 - 1), st.sampled_from([1, 2]))
def test_ranks_are_the_naive_count(problem, seed, num_threads):
    model, test, train = problem
    rng = np.random.default_rng(seed)
    scores = all_scores(model, *test.shape)
    test_matrix, train_matrix = stored(test, rng), stored(train, rng)

    ranks = model.predict_rank(test_matrix, num_threads=num_threads)
    assert entries_of(ranks) == naive_ranks(scores, test)
    ranks = model.predict_rank(
        test_matrix, train_matrix, num_threads=num_threads, check_intersections=False
    )
    assert ranks.format == "csr" and ranks.dtype == np.float32
    np.testing.assert_array_equal(ranks.indptr, test_matrix.indptr)
    np.testing.assert_array_equal(ranks.indices, test_matrix.indices)
    assert entries_of(ranks) == naive_ranks(scores, test, train)

    # Only entries other than 0 can be an overlap.
    if ((test_matrix.toarray() != 0) & (train_matrix.toarray() != 0)).any():
        with pytest.raises(ValueError, match="test_interactions and train_interactions"):
            model.predict_rank(test_matrix, train_matrix)
    else:
        checked = model.predict_rank(test_matrix, train_matrix)
        np.testing.assert_array_equal(checked.data, ranks.data)


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("no_components", [1, 16, 33])
def test_ranks_of_many_items_and_users(level, no_components, num_threads):
    """More than fit one tile of scores, and groups of users that are not full."""
    rng = np.random.default_rng(no_components)
    n_users, n_items = 20, 1201
    model = model_with(
        *(rng.integers(-2, 3, size=(n, no_components)) for n in (n_users, n_items)),
        rng.integers(-3, 4, size=n_users),
        rng.integers(-3, 4, size=n_items),
    )
    kinds = rng.choice(3, size=(n_users, n_items), p=[0.9, 0.05, 0.05])
    kinds[[2, 3, 11]] = 0
    test, train = kinds == 1, kinds == 2
    ranks = model.predict_rank(sp.coo_matrix(test), sp.coo_matrix(train), num_threads=num_threads)
    expected = naive_ranks(all_scores(model, n_users, n_items), test, train)
    assert entries_of(ranks) == expected


def test_ranks_with_features(level, hybrid):
    """Ranks and predicted scores agree, whatever the rounding: no two scores are equal here."""
    everything = sp.coo_matrix(np.ones((N_USERS, N_ITEMS)))
    ranks = hybrid.predict_rank(everything, **FEATURES).toarray()
    scores = all_scores(hybrid, N_USERS, N_ITEMS, **FEATURES)
    np.testing.assert_array_equal(ranks, np.argsort(np.argsort(-scores, axis=1), axis=1))


def test_equal_items_tie_at_every_level(level):
    """Equal representations score the same wherever the items stand, so each counts the others."""
    rng = np.random.default_rng(0)
    for no_components in (1, 5, 10, 16, 31, 64):
        items = np.repeat(rng.normal(size=(1, no_components)), 100, axis=0)
        model = model_with(rng.normal(size=(7, no_components)), items, item_biases=np.ones(100))
        ranks = model.predict_rank(sp.coo_matrix(np.ones((7, 100))))
        assert np.all(ranks.data == 99)


def test_duplicates_count_once():
    """An entry stored twice in test or train is one entry of the ranking."""
    model = model_with([[1.0]], [[4.0], [3.0], [2.0], [1.0]])
    test = sp.csr_matrix((np.ones(3), [3, 3, 2], [0, 3]), shape=(1, 4))
    train = sp.csr_matrix((np.ones(3), [0, 1, 0], [0, 3]), shape=(1, 4))
    for check in (True, False):
        ranks = model.predict_rank(test, train, check_intersections=check).tocoo()
        assert set(zip(ranks.col.tolist(), ranks.data.tolist(), strict=True)) == {(3, 1), (2, 0)}
        ranks = model.predict_rank(test.tocoo(), train.tocoo(), check_intersections=check)
        assert entries_of(ranks) == {(0, 3): 1, (0, 2): 0}


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (3, 1), (1, 1)])
def test_ranks_of_edge_shapes(shape):
    model = LightFM().fit(sp.coo_matrix(shape))
    ranks = model.predict_rank(sp.coo_matrix(np.ones(shape)), sp.coo_matrix(shape))
    assert ranks.shape == shape and np.all(ranks.data == 0)


def test_ranks_are_new(model):
    """The test matrix may be float32 CSR itself, and is not written to."""
    test = random_interactions(3, (N_USERS, N_ITEMS)).tocsr()
    values = test.data.copy()
    ranks = model.predict_rank(test)
    assert ranks is not test and not np.shares_memory(ranks.data, test.data)
    np.testing.assert_array_equal(test.data, values)


def test_rows_beyond_the_ranked_ones_are_no_candidates():
    """Features of more items than the interactions have columns for."""
    model = LightFM().fit(sp.coo_matrix((2, 3)), epochs=0)
    model.item_biases = np.array([1, 2, 3], dtype=np.float32)
    model.item_embeddings[:] = 0
    more = sp.csr_matrix(np.vstack([np.eye(3), np.full((2, 3), 9)]))
    ranks = model.predict_rank(sp.coo_matrix(np.ones((2, 3))), item_features=more)
    np.testing.assert_array_equal(ranks.toarray(), [[2, 1, 0]] * 2)


# Representations


@pytest.mark.parametrize("side", ["user", "item"])
def test_representations_without_features_are_the_live_arrays(model, side):
    biases, embeddings = getattr(model, f"get_{side}_representations")()
    assert biases is getattr(model, f"{side}_biases")
    assert embeddings is getattr(model, f"{side}_embeddings")


@pytest.mark.parametrize("side", ["item", "user"])
def test_representations(hybrid, side):
    get = getattr(hybrid, f"get_{side}_representations")
    with pytest.raises(ValueError, match=f"{side}_features must be given, .*identity matrix"):
        get()
    features = FEATURES[f"{side}_features"]
    for matrix in (features, features.tocoo(), features[:3], sp.csr_array(features)):
        biases, embeddings = get(matrix)
        assert biases.dtype == embeddings.dtype == np.float32
        assert biases.shape == (matrix.shape[0],) and embeddings.shape == (matrix.shape[0], 4)
        dense = matrix.toarray()
        np.testing.assert_allclose(biases, dense @ getattr(hybrid, f"{side}_biases"), atol=1e-6)
        np.testing.assert_allclose(
            embeddings, dense @ getattr(hybrid, f"{side}_embeddings"), atol=1e-6
        )


def test_scores_are_those_of_the_representations(hybrid):
    user_biases, users = hybrid.get_user_representations(FEATURES["user_features"])
    item_biases, items = hybrid.get_item_representations(FEATURES["item_features"])
    np.testing.assert_allclose(
        all_scores(hybrid, N_USERS, N_ITEMS, **FEATURES),
        users @ items.T + user_biases[:, None] + item_biases,
        atol=1e-6,
    )
