"""The chain of items, against a count by hand."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from lightfm_clone import MarkovChain, Popularity, Recommender
from lightfm_clone.data import Dataset
from lightfm_clone.datasets import synthetic_clickstream

# Two people went a b c, one a c, one b; the last entry is not liked.
TAKEN = sp.coo_matrix(
    (
        [1.0, 1, 1, 1, 1, 1, 1, 1, 1, -1],
        ([0, 0, 0, 1, 1, 1, 2, 2, 3, 3], [2, 0, 1, 0, 1, 2, 0, 2, 1, 3]),
    ),
    shape=(4, 4),
    dtype=np.float32,
)
TIMES = np.array([30.0, 10, 20, 1, 2, 3, 5, 6, 9, 10])


def by_hand(rows, cols, times, weights, n_users, n_items, decay, smoothing):
    """Scores [n_users, n_items], with dictionaries and loops."""
    steps, scores = np.zeros((n_items, n_items)), np.zeros((n_users, n_items))
    popularity = np.zeros(n_items)
    paths = {}
    for _, item, user, weight in sorted(zip(times, cols, rows, weights, strict=True)):
        popularity[item] += weight
        path = paths.setdefault(user, [])
        if path:
            steps[path[-1], item] += weight
        path.append(item)
    shares = steps / np.maximum(steps.sum(axis=1, keepdims=True), 1e-300)
    for user, path in paths.items():
        weigh = {item: decay**age for age, item in enumerate(reversed(path))}
        weigh = {item: weight for item, weight in weigh.items() if weight >= 0.01}
        for item, weight in weigh.items():
            scores[user] += weight / sum(weigh.values()) * shares[item]
    return (1 - smoothing) * scores + smoothing * popularity / popularity.sum()


def scores_of(model, shape):
    users, items = np.indices(shape)
    return model.predict(users.ravel(), items.ravel()).reshape(shape)


def test_shares_of_steps():
    chain = MarkovChain().fit(TAKEN, timestamps=TIMES)
    expected = [[0, 2 / 3, 1 / 3, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(chain.transitions_.toarray(), expected, rtol=1e-6)
    np.testing.assert_allclose(chain.popularity_, [3 / 9, 3 / 9, 3 / 9, 0])


@pytest.mark.parametrize("decay", [0, 0.5, 0.9])
def test_scores_are_those_by_hand(decay):
    chain = MarkovChain(decay, 0.2).fit(TAKEN, timestamps=TIMES)
    liked = TAKEN.data > 0
    parts = TAKEN.row[liked], TAKEN.col[liked], TIMES[liked], np.ones(9)
    expected = by_hand(*parts, 4, 4, decay, 0.2)
    np.testing.assert_allclose(scores_of(chain, (4, 4)), expected, atol=1e-6)
    lists, _ = chain.recommend([3], k=4)
    assert lists[0].tolist() == np.argsort(-expected[3], kind="stable").tolist()
    if decay == 0:  # whose last item is b, which always led to c
        assert lists[0, 0] == 2


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    decay=st.sampled_from([0.0, 0.3, 0.9]),
    weighted=st.booleans(),
)
def test_any_interactions(seed, shape, decay, weighted):
    rng = np.random.default_rng(seed)
    likes = sp.coo_matrix(rng.random(shape) < 0.6, dtype=np.float32)
    times = rng.permutation(likes.nnz).astype(float) * 1e6
    weights = rng.uniform(0.1, 2, likes.nnz).astype(np.float32) if weighted else np.ones(likes.nnz)
    given = sp.coo_matrix((weights, (likes.row, likes.col)), shape) if weighted else None
    chain = MarkovChain(decay).fit(likes, sample_weight=given, timestamps=times)
    if not likes.nnz:
        assert not scores_of(chain, shape).any()
        return
    expected = by_hand(likes.row, likes.col, times, weights, *shape, decay, 0.1)
    np.testing.assert_allclose(scores_of(chain, shape), expected, atol=1e-5)


def test_new_people_and_explanations():
    chain = MarkovChain(decay=0).fit(TAKEN, timestamps=TIMES)
    likes = sp.csr_matrix(([1.0, 1.0], ([0, 0], [0, 1])), shape=(2, 4))
    people = chain.fold_in_users(likes)
    lists, scores = chain.recommend(user_representations=people, k=4)
    # Half of what follows a, half of what follows b; the second has popularity alone.
    assert lists[0, 0] == 2
    assert scores[0, 0] == pytest.approx(0.9 * (1 / 3 + 1) / 2 + 0.1 / 3)
    np.testing.assert_allclose(scores[1], [0.1 / 3, 0.1 / 3, 0.1 / 3, 0], rtol=1e-6)
    dataset = Dataset()
    dataset.fit(list("uvwx"), list("abcd"))
    told = chain.explain(3, 2, dataset=dataset)
    assert told.score == pytest.approx(float(chain.predict(3, [2])[0]), abs=1e-6)
    assert [str(one) for one in told.contributions] == ["b → c", "item bias of c"]
    assert chain.explain(3, 3).score == 0


def test_items_at_the_same_time_are_taken_by_number():
    likes = sp.coo_matrix(([1.0, 1, 1], ([0, 0, 0], [2, 1, 0])), shape=(1, 3))
    chain = MarkovChain().fit(likes, timestamps=[5, 5, 5])
    assert chain.transitions_.tocoo().col.tolist() == [1, 2]


def test_files_pickles_copies_and_clones(tmp_path):
    chain = MarkovChain(0.3).fit(TAKEN, timestamps=TIMES)
    expected = chain.recommend(k=3)
    chain.save(tmp_path / "c.lfm")
    loaded = MarkovChain.load(tmp_path / "c.lfm")
    assert repr(loaded) == repr(chain) == "MarkovChain(decay=0.3)"
    for other in (loaded, pickle.loads(pickle.dumps(chain)), copy.deepcopy(chain)):
        for found, wanted in zip(other.recommend(k=3), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
    assert clone(chain).popularity_ is None and clone(chain).get_params() == chain.get_params()


@pytest.mark.parametrize(
    ("what", "break_it"),
    [
        ("popularity_", lambda a: a[:-1]),
        ("popularity_", lambda a: a - 1),
        ("next_items_", lambda a: a + 9),
        ("next_indptr_", lambda a: a + 1),
        ("next_shares_", lambda a: a * np.nan),
        ("next_shares_", lambda a: a[:-1]),
        ("history_items_", lambda a: a - 3),
        ("history_weights_", lambda a: a.astype(np.float64)),
    ],
)
def test_damaged_files_are_refused(what, break_it, tmp_path):
    chain = MarkovChain().fit(TAKEN, timestamps=TIMES)
    setattr(chain, what, break_it(getattr(chain, what)))
    chain.save(tmp_path / "c.lfm")
    with pytest.raises(ValueError, match="cannot load"):
        MarkovChain.load(tmp_path / "c.lfm")


@pytest.mark.parametrize(
    "arguments", [{"decay": 1}, {"decay": -0.1}, {"smoothing": 0}, {"smoothing": np.nan}]
)
def test_bad_parameters_are_refused(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=name):
        MarkovChain(**arguments)


def test_bad_requests_are_refused():
    with pytest.raises(ValueError, match="timestamp=column"):
        MarkovChain().fit(TAKEN)
    with pytest.raises(ValueError, match="not fitted"):
        MarkovChain().recommend()
    with pytest.raises(ValueError, match="not fitted"):
        _ = MarkovChain().transitions_
    chain = MarkovChain().fit(TAKEN, timestamps=TIMES)
    with pytest.raises(ValueError, match="negative"):
        weights = sp.coo_matrix((-np.ones(TAKEN.nnz), (TAKEN.row, TAKEN.col)), TAKEN.shape)
        chain.fit(TAKEN, sample_weight=weights, timestamps=TIMES)
    for call in (chain.similar_items, chain.fit_partial, chain.score_vectors):
        with pytest.raises(NotImplementedError):
            call()


# ---- in a recommender ----------------------------------------------------------------------------

ROLES = {"user": "user", "item": "item", "timestamp": "timestamp"}


@pytest.fixture(scope="module")
def parts():
    """A log of paths alone: what is next follows from what was last."""
    plays = synthetic_clickstream(400, 60, days=40, by_path=1.0, n_machines=0, random_state=1)
    events = plays.to_frames()[0].sort_values("timestamp")
    return events[: len(events) * 4 // 5], events[len(events) * 4 // 5 :]


def test_compare_hands_it_the_times(parts):
    past, later = parts
    shop = Recommender(Popularity()).fit(past, **ROLES, verbose=False)
    found = shop.compare({"chain": MarkovChain()}, later)
    assert found["chain"]["ndcg@10"] > 1.1 * found["recommender"]["ndcg@10"]
    assert found.differences["chain"]["ndcg@10"].is_significant
    untimed = Recommender(Popularity()).fit(past, user="user", item="item", verbose=False)
    with pytest.raises(ValueError, match="timestamp=column"):
        untimed.compare({"chain": MarkovChain()}, later)


def test_recommender_of_a_chain(parts, tmp_path):
    past, later = parts
    shop = Recommender(MarkovChain()).fit(past, **ROLES, verbose=False)
    user = past["user"].iloc[-1]
    item = past[past["user"] == user]["item"].iloc[-1]
    lists = shop.recommend([user, "a stranger"], k=3)
    assert lists["source"].tolist() == ["known"] * 3 + ["popular"] * 3
    by_history = shop.recommend(history=[[item], ["nothing known"]], k=5, exclude=False)
    assert by_history["source"].tolist() == ["history"] * 5 + ["popular"] * 5
    follows = Recommender(MarkovChain(decay=0)).fit(past, **ROLES, verbose=False)
    number = list(follows.item_ids_).index(item)
    shares = follows.model_.transitions_[[number]].toarray()[0]
    assert by_history["item"][0] == follows.item_ids_[shares.argmax()]
    told = shop.explain(user, lists["item"][0])
    assert told.score == pytest.approx(lists["score"][0], abs=1e-5)
    shop.save(tmp_path / "shop.rec")
    again = Recommender.load(tmp_path / "shop.rec")
    assert again.recommend([user], k=3).equals(lists[:3])
    again.update(later, verbose=False)
    whole = Recommender(MarkovChain()).fit(pd.concat(parts), **ROLES, verbose=False)
    np.testing.assert_allclose(
        again.recommend([user], k=3)["score"], whole.recommend([user], k=3)["score"], rtol=1e-5
    )
