"""Item neighbours alone, against a dense computation in double precision."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import random_interactions
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from lightfm_clone import ItemNeighbours, Recommender, datasets, evaluate
from lightfm_clone.data import Dataset
from lightfm_clone.recommender import item_neighbours

LIKES = random_interactions(0, (40, 25), 320)
METHODS = pytest.mark.parametrize("method", ["ridge", "cosine"])


def dense_likes(interactions, weights=None) -> np.ndarray:
    """X in double precision: of a pair that is stored twice the larger weight."""
    coo = interactions.tocoo()
    values = np.ones(coo.nnz) if weights is None else weights.data / weights.data.mean()
    x = np.zeros(coo.shape)
    liked = coo.data > 0
    np.maximum.at(x, (coo.row[liked], coo.col[liked]), values[liked])
    return x


def dense_weights(x: np.ndarray, k: int, method: str, l2: float) -> np.ndarray:
    """B [n_items, n_items]: column i holds what the neighbours of i say."""
    n_items = x.shape[1]
    n_u = np.maximum((x > 0).sum(axis=1), 1)
    by_user = 1 / n_u if method == "ridge" else np.ones(len(x))
    d = np.maximum(np.sqrt((x**2).sum(axis=0)), 1e-6)
    similarity = (x.T * by_user) @ x / np.outer(d, d)
    np.fill_diagonal(similarity, 0)
    gram = (x.T / np.sqrt(n_u)) @ x
    weights = np.zeros((n_items, n_items))
    for i in range(n_items):
        order = np.lexsort((np.arange(n_items), -similarity[:, i].round(12)))[:k]
        near = order[similarity[order, i] > 1e-9]
        if method == "cosine":
            weights[near, i] = similarity[near, i]
        else:
            system = gram[np.ix_(near, near)] + l2 * np.eye(len(near))
            weights[near, i] = np.linalg.solve(system, gram[near, i])
    return weights


def dense_scores(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return x / np.sqrt(np.maximum((x > 0).sum(axis=1), 1))[:, None] @ weights


@METHODS
@pytest.mark.parametrize("k", [1, 4, 100])
@pytest.mark.parametrize("weighted", [False, True])
def test_scores_are_those_of_the_formula(method, k, weighted):
    weights = None
    if weighted:
        data = np.random.default_rng(1).uniform(0.2, 3, LIKES.nnz).astype(np.float32)
        weights = sp.coo_matrix((data, (LIKES.row, LIKES.col)), LIKES.shape)
    model = ItemNeighbours(k, method, l2=2.0).fit(LIKES, sample_weight=weights, num_threads=2)
    x = dense_likes(LIKES, weights)
    expected = dense_scores(x, dense_weights(x, k, method, 2.0))
    users, items = np.indices(LIKES.shape)
    got = model.predict(users.ravel(), items.ravel(), num_threads=2)
    np.testing.assert_allclose(got.reshape(LIKES.shape), expected, atol=2e-5)
    for user in (0, 7):
        np.testing.assert_allclose(model.predict(user, range(25)), expected[user], atol=2e-5)


@METHODS
def test_lists_and_ranks_are_those_of_the_scores(method):
    model = ItemNeighbours(6, method).fit(LIKES)
    scores = np.stack([model.predict(user, range(25)) for user in range(40)])
    known = dense_likes(LIKES) > 0
    allowed = np.array([1, 3, 4, 9, 20, 21])
    ids, of_ids = model.recommend(k=5, exclude=LIKES, items=allowed, num_threads=2)
    left_out = LIKES.toarray().astype(bool)  # every stored value that is not 0
    left_out[LIKES.row, LIKES.col] = True
    for user in range(40):
        free = [item for item in allowed if not left_out[user, item]]
        order = sorted(free, key=lambda item: (-round(float(scores[user, item]), 5), item))[:5]
        np.testing.assert_allclose(
            of_ids[user, : len(order)], scores[user, order], rtol=1e-4, atol=1e-6
        )
        assert (ids[user, len(order) :] == -1).all()
    test = sp.csr_matrix(~left_out & (np.random.default_rng(0).random(left_out.shape) < 0.2))
    ranks = model.predict_rank(test.astype(np.float32), LIKES).tocoo()
    for user, item, rank in zip(ranks.row, ranks.col, ranks.data, strict=True):
        others = np.delete(np.where(left_out[user], -np.inf, scores[user]), item)
        close = np.isclose(others, scores[user, item], rtol=1e-5, atol=1e-6).sum()
        higher = (others > scores[user, item] + 1e-6).sum()
        assert higher - close <= rank <= higher + close
    assert known.any()


def test_any_number_of_threads_gives_the_same_bits():
    films = datasets.synthetic_catalogue(random_state=0)
    one = ItemNeighbours(20).fit(films.interactions)
    two = ItemNeighbours(20).fit(films.interactions, num_threads=2)
    for name in ("neighbours_", "weights_", "similarities_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    lists = [model.recommend(k=7, num_threads=n) for model, n in ((one, 1), (two, 2))]
    np.testing.assert_array_equal(lists[0][0], lists[1][0])
    np.testing.assert_array_equal(lists[0][1], lists[1][1])


def checkerboard(n_users: int = 80, n_items: int = 20, seed: int = 0) -> np.ndarray:
    """Users and items of even and odd numbers, who like half of what is theirs."""
    rng = np.random.default_rng(seed)
    users, items = np.indices((n_users, n_items))
    return ((users + items) % 2 == 0) & (rng.random((n_users, n_items)) < 0.5)


@METHODS
def test_a_checkerboard_is_recommended_by_its_colour(method):
    likes = sp.coo_matrix(checkerboard().astype(np.float32))
    model = ItemNeighbours(8, method).fit(likes)
    ids, scores = model.recommend(k=4, exclude=likes)
    users = np.arange(80)[:, None]
    assert ((ids + users) % 2 == 0)[scores > 1e-4].all() and (scores[:, 0] > 1e-4).all()
    near, similarities = model.similar_items(k=5)
    assert ((near + np.arange(20)[:, None]) % 2 == 0)[near >= 0].all()
    assert (np.diff(similarities, axis=1)[near[:, 1:] >= 0] <= 0).all()


def test_a_new_person_is_their_history():
    model = ItemNeighbours(6).fit(LIKES)
    positives = sp.csr_matrix(dense_likes(LIKES).astype(np.float32))
    new = model.fold_in_users(positives[[3, 11]])
    ids, scores = model.recommend(user_representations=new, k=5)
    same_ids, same_scores = model.recommend([3, 11], k=5)
    np.testing.assert_array_equal(ids, same_ids)
    np.testing.assert_array_equal(scores, same_scores)
    wider = sp.hstack([positives[[3]], sp.csr_matrix([[1, 0, 1]])]).tocsr()  # items after the fit
    assert (model.fold_in_users(wider)[2] != new[2][0]).nnz == 0
    without = model.fold_in_users(sp.csr_matrix((1, 25), dtype=np.float32))
    assert not model.recommend(user_representations=without)[1].any()


def test_explained_scores_add_up_and_name_items():
    dataset = Dataset()
    dataset.fit([f"u{n}" for n in range(40)], [f"i{n}" for n in range(25)])
    model = ItemNeighbours(6).fit(LIKES)
    user, item = 3, int(model.recommend(3, k=1)[0][0, 0])
    told = model.explain(user, item, dataset=dataset)
    assert told.score == pytest.approx(float(model.predict(user, [item])[0]), abs=1e-5)
    assert {one.kind for one in told.contributions} == {"history"}
    liked = {f"i{n}" for n in np.flatnonzero(dense_likes(LIKES)[user])}
    assert {one.user_feature for one in told.contributions} <= liked
    assert f"→ i{item}" in repr(told)
    assert told.to_frame().shape[0] == len(told.contributions)


def test_new_interactions_are_added_and_others_kept():
    half = LIKES.nnz // 2
    coo = [
        sp.coo_matrix((LIKES.data[at], (LIKES.row[at], LIKES.col[at])), LIKES.shape)
        for at in (np.s_[:half], np.s_[half:])
    ]
    parts = ItemNeighbours(6).fit(coo[0]).fit_partial(coo[1])
    whole = ItemNeighbours(6).fit(LIKES)
    for name in ("neighbours_", "weights_", "history_items_", "history_indptr_"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    wider = sp.coo_matrix(([1.0, 1.0], ([40, 40], [25, 3])), shape=(41, 26), dtype=np.float32)
    with pytest.raises(ValueError, match="resize=True"):
        parts.fit_partial(wider)
    parts.fit_partial(wider, resize=True)
    assert parts.neighbours_.shape[0] == 26 and parts.predict(40, range(26)).any()


def test_a_very_active_user_is_drawn_from(monkeypatch):
    dense = checkerboard(60, 30)
    dense[0] = True
    likes = sp.csr_matrix(dense.astype(np.float32))
    monkeypatch.setattr(item_neighbours, "MOST_ITEMS", 12)
    model = ItemNeighbours(5).fit(likes)
    assert np.isfinite(model.weights_).all()
    assert len(model.history_items_) == likes.nnz  # scores go by all of it
    drawn = item_neighbours._drawn(likes, 12)
    assert np.diff(drawn.indptr).max() == 12 and (drawn.indices < 30).all()


@METHODS
def test_files_pickles_copies_and_clones(method, tmp_path):
    model = ItemNeighbours(6, method, l2=1.5).fit(LIKES)
    expected = model.recommend(k=4)
    model.save(tmp_path / "n.lfm")
    loaded = ItemNeighbours.load(tmp_path / "n.lfm")
    assert repr(loaded) == repr(model)
    for other in (loaded, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.recommend(k=4)[0], expected[0])
        np.testing.assert_array_equal(other.recommend(k=4)[1], expected[1])
    assert clone(model).neighbours_ is None and clone(model).get_params() == model.get_params()


@pytest.mark.parametrize(
    ("what", "break_it"),
    [
        ("neighbours_", lambda a: a + 100),
        ("neighbours_", lambda a: a[:, ::-1].copy()),
        ("weights_", lambda a: a * np.nan),
        ("similarities_", lambda a: a[:-1]),
        ("history_items_", lambda a: a[::-1].copy()),
        ("history_indptr_", lambda a: a + 1),
    ],
)
def test_damaged_files_are_refused(what, break_it, tmp_path):
    model = ItemNeighbours(6).fit(LIKES)
    setattr(model, what, break_it(getattr(model, what)))
    model.save(tmp_path / "n.lfm")
    with pytest.raises(ValueError, match="cannot load"):
        ItemNeighbours.load(tmp_path / "n.lfm")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_neighbours": 0}, "n_neighbours"),
        ({"method": "jaccard"}, "method"),
        ({"l2": 0}, "l2"),
        ({"l2": np.nan}, "l2"),
    ],
)
def test_bad_parameters_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        ItemNeighbours(**arguments)
    with pytest.raises(ValueError, match=match):
        ItemNeighbours().set_params(**arguments)


def test_bad_requests_are_refused():
    with pytest.raises(ValueError, match="not fitted"):
        ItemNeighbours().recommend()
    model = ItemNeighbours(6).fit(LIKES)
    before = model.weights_
    with pytest.raises(ValueError, match="negative"):
        weights = sp.coo_matrix((-np.ones(LIKES.nnz), (LIKES.row, LIKES.col)), LIKES.shape)
        model.fit(LIKES, sample_weight=weights)
    assert model.weights_ is before
    with pytest.raises(ValueError, match="history of user i"):
        model.recommend(user_features=sp.csr_matrix((3, 4), dtype=np.float32))
    with pytest.raises(ValueError, match="history of user i"):
        few = sp.csr_matrix((3, 4), dtype=np.float32)
        model.predict_rank(LIKES.tocsr()[7:10], user_features=few)
    with pytest.raises(NotImplementedError):
        model.score_vectors()
    representations = (np.zeros(2, np.float32), np.zeros((2, 1), np.float32))
    with pytest.raises(ValueError, match="histories of shape"):
        model.recommend(user_representations=(*representations, sp.csr_matrix((2, 9))))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 9),
    st.integers(0, 60),
    st.integers(1, 12),
    st.sampled_from(["ridge", "cosine"]),
    st.integers(0, 2**32 - 1),
)
def test_any_matrix(n_users, n_items, n, k, method, seed):
    rng = np.random.default_rng(seed)
    entries = rng.integers(n_users, size=n), rng.integers(n_items, size=n)
    likes = sp.coo_matrix((rng.choice([1.0, 2.0, 0.0], n), entries), (n_users, n_items))
    model = ItemNeighbours(k, method).fit(likes)
    assert np.isfinite(model.weights_).all() and np.isfinite(model.similarities_).all()
    own = np.arange(n_items)[:, None]
    assert (model.neighbours_ != own).all() and (model.similarities_ >= 0).all()
    ids, scores = model.recommend(k=n_items)
    assert sorted(ids[0]) == list(range(n_items)) and np.isfinite(scores).all()


def test_neighbours_are_a_baseline_of_compare():
    films = datasets.synthetic_catalogue(200, 60, 3000, random_state=0)
    coo = films.interactions.tocoo()
    rows = [(f"u{u}", f"i{i}") for u, i in zip(coo.row, coo.col, strict=True)]
    held_out, rows = rows[::10], [row for n, row in enumerate(rows) if n % 10]
    tables = [
        {"user": [u for u, _ in some], "item": [i for _, i in some]} for some in (rows, held_out)
    ]
    pd = pytest.importorskip("pandas")
    shop = Recommender(ItemNeighbours(20)).fit(pd.DataFrame(tables[0]), user="user", item="item")
    table = shop.recommend(["u3", "u5"], k=4)
    assert len(table) == 8
    stranger = shop.recommend(history=[["i1", "i2"]], k=3)
    assert set(stranger["source"]) == {"history"} and len(stranger) == 3
    found = shop.compare({"cosine": ItemNeighbours(20, "cosine")}, pd.DataFrame(tables[1]))
    assert "cosine" in repr(found)
    assert len(shop.similar_items(["i1"], k=3)) == 3
    assert shop.explain("u3", table["item"].iloc[0]).contributions
    dialled = shop.recommend(["u3"], k=4, popularity=2.0, diversity=0.3)
    assert len(dialled) == 4


def test_assigned_parameters_are_checked_by_both_fits():
    model = ItemNeighbours(6).fit(LIKES)
    model.method = "riges"
    for fit in (model.fit, model.fit_partial):
        with pytest.raises(ValueError, match="method must be"):
            fit(LIKES)


def test_who_has_what_speaks_for_nothing_gets_what_is_popular():
    pd = pytest.importorskip("pandas")
    users = [0, *np.repeat([1, 2, 3, 4], 3), 5]
    likes = pd.DataFrame({"user": users, "item": [9, *[4, 6, 2, 4, 6, 2, 4, 6, 3, 4, 6, 3], 1]})
    shop = Recommender(ItemNeighbours()).fit(likes, user="user", item="item", verbose=False)
    for lists in (shop.recommend([0], k=2), shop.recommend(history=[[9, 1]], k=2)):
        assert sorted(lists["item"]) == [4, 6] and set(lists["source"]) == {"popular"}
    assert set(shop.recommend([1], k=1)["source"]) == {"known"}


def test_evaluate_takes_them():
    train = random_interactions(0, (60, 30), 500)
    test = random_interactions(5, (60, 30), 200)
    result = evaluate(ItemNeighbours(8).fit(train), test, metrics=["ndcg@5", "auc"])
    assert 0 < result["auc"] < 1
