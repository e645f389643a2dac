"""The metrics, against naive implementations of their formulas."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import all_scores, model_with, random_features, random_interactions
from hypothesis import given, settings
from hypothesis import strategies as st

from lightfm_clone import LightFM
from lightfm_clone.evaluation import (
    auc_score,
    average_precision_at_k,
    hit_rate_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
    reciprocal_rank,
)

METRICS = {
    "precision_at_k": precision_at_k,
    "recall_at_k": recall_at_k,
    "auc_score": auc_score,
    "reciprocal_rank": reciprocal_rank,
    "ndcg_at_k": ndcg_at_k,
    "average_precision_at_k": average_precision_at_k,
    "hit_rate_at_k": hit_rate_at_k,
}
SINGLE = ("precision_at_k", "auc_score", "reciprocal_rank")  # precision, as in LightFM
TYPES = dict.fromkeys(METRICS, np.float64) | dict.fromkeys(SINGLE, np.float32)
VALUE_WITHOUT_TEST = dict.fromkeys(METRICS, 0.0) | {"recall_at_k": np.nan, "auc_score": 0.5}


@pytest.mark.parametrize("name", METRICS)
def test_arguments_by_position_and_name(name):
    expected = {
        "model": inspect.Parameter.empty,
        "test_interactions": inspect.Parameter.empty,
        "train_interactions": None,
        "k": 10,
        "user_features": None,
        "item_features": None,
        "preserve_rows": False,
        "num_threads": 1,
        "check_intersections": True,
    }
    if not name.endswith("at_k"):
        del expected["k"]
    function = METRICS[name]
    parameters = inspect.signature(function).parameters
    assert [(n, p.default) for n, p in parameters.items()] == list(expected.items())
    assert function.__name__ == function.__qualname__ == name
    assert pickle.loads(pickle.dumps(function)) is function
    assert len(function.__doc__) > 100


def naive(name: str, scores: np.ndarray, test: np.ndarray, train: np.ndarray, k: int) -> float:
    """A metric of one user, from the scores and masks [n_items] of their items."""
    n_items, p, n_train = len(scores), int(test.sum()), int(train.sum())
    if p == 0:
        return VALUE_WITHOUT_TEST[name]
    ranks = sorted(
        sum(
            scores[other] >= scores[item]
            for other in range(n_items)
            if other != item and not train[other]
        )
        for item in np.flatnonzero(test)
    )
    hits = sum(rank < k for rank in ranks)
    if name == "precision_at_k":
        return hits / k
    if name == "recall_at_k":
        return hits / p
    if name == "reciprocal_rank":
        return 1 / (ranks[0] + 1)
    if name == "hit_rate_at_k":
        return float(hits > 0)
    # Several test items can have one rank where they are in train, too.
    places = [max(rank, j) for j, rank in enumerate(ranks)]
    if name == "ndcg_at_k":
        gained = sum(1 / np.log2(place + 2) for place in places if place < k)
        return gained / sum(1 / np.log2(j + 2) for j in range(min(k, p)))
    if name == "average_precision_at_k":
        precisions = [(j + 1) / (place + 1) for j, place in enumerate(places) if place < k]
        return sum(precisions) / min(k, p)
    n_negatives = n_items - p - n_train
    if n_negatives <= 0:
        return 0.5
    return np.mean([1 - max(0, rank - j) / n_negatives for j, rank in enumerate(ranks)])


@st.composite
def problems(draw) -> tuple[LightFM, np.ndarray, np.ndarray]:
    """A model with ties in its scores, and masks of test and train entries."""
    n_users, n_items = draw(st.integers(1, 9)), draw(st.integers(1, 25))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    largest = draw(st.integers(0, 3))
    parameters = (rng.integers(-largest, largest + 1, size=(n, 2)) for n in (n_users, n_items))
    kinds = rng.choice(4, size=(n_users, n_items), p=draw(st.sampled_from(SHARES)))
    return model_with(*parameters), (kinds & 1) > 0, (kinds & 2) > 0


# How many entries are in neither matrix, in test, in train, in both.
SHARES = [(0.5, 0.2, 0.3, 0.0), (0.0, 0.4, 0.6, 0.0), (0.8, 0.2, 0.0, 0.0), (0.3, 0.2, 0.2, 0.3)]


@pytest.mark.parametrize("name", METRICS)
@settings(deadline=None, max_examples=40)
@given(
    problem=problems(),
    k=st.integers(1, 30),
    masked=st.booleans(),
    num_threads=st.sampled_from([1, 2]),
)
def test_metrics_follow_their_formulas(name, problem, k, masked, num_threads):
    model, test, train = problem
    scores = all_scores(model, *test.shape)
    if not masked:
        train = np.zeros_like(train)
    expected = [naive(name, *user, k) for user in zip(scores, test, train, strict=True)]

    arguments = {"num_threads": num_threads, "check_intersections": False}
    if name.endswith("at_k"):
        arguments["k"] = k
    if masked:
        arguments["train_interactions"] = sp.coo_matrix(train.astype(np.int32))
    test_matrix = sp.coo_matrix(test.astype(np.float32))
    kept = METRICS[name](model, test_matrix, preserve_rows=True, **arguments)
    assert kept.dtype == TYPES[name] and kept.shape == (len(test),)
    np.testing.assert_allclose(kept, expected, rtol=1e-6, atol=1e-6)
    dropped = METRICS[name](model, test_matrix, **arguments)
    assert dropped.dtype == TYPES[name]
    np.testing.assert_array_equal(dropped, kept[test.any(axis=1)])


def test_auc_is_the_one_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    model = model_with(rng.normal(size=(20, 5)), rng.normal(size=(50, 5)))
    kinds = rng.choice(3, size=(20, 50), p=[0.6, 0.2, 0.2])
    test, train = kinds == 1, kinds == 2
    scores = all_scores(model, 20, 50)

    plain = auc_score(model, sp.csr_matrix(test))
    masked = auc_score(model, sp.csr_matrix(test), sp.csr_matrix(train))
    for user in range(20):
        assert plain[user] == pytest.approx(metrics.roc_auc_score(test[user], scores[user]))
        rest = ~train[user]
        expected = metrics.roc_auc_score(test[user, rest], scores[user, rest])
        assert masked[user] == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 3, 10, 100])
def test_ndcg_is_the_one_of_scikit_learn(k):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(3)
    model = model_with(rng.normal(size=(40, 4)), rng.normal(size=(60, 4)))  # no ties
    kinds = rng.choice(3, size=(40, 60), p=[0.7, 0.1, 0.2])
    test, train = sp.csr_matrix(kinds == 1, dtype=int), sp.csr_matrix(kinds == 2, dtype=int)
    scores, relevant, rest = all_scores(model, *test.shape), test.toarray(), train.toarray() == 0
    expected = [
        metrics.ndcg_score(relevant[[user]][:, rest[user]], scores[[user]][:, rest[user]], k=k)
        for user in range(len(scores))
    ]
    values = ndcg_at_k(model, test, train, k=k, preserve_rows=True)
    np.testing.assert_allclose(values, expected, atol=1e-12)


def test_numbers_worked_out_by_hand():
    """One user, five items scored 5 > 4 > 3 > 2 > 1; the second and the fourth are test items."""
    model = model_with([[1.0]], [[5.0], [4.0], [3.0], [2.0], [1.0]])
    test = sp.coo_matrix([[0, 1, 0, 1, 0]])
    assert precision_at_k(model, test, k=2) == 0.5
    assert precision_at_k(model, test) == np.float32(0.2)  # of the default of ten
    assert recall_at_k(model, test, k=1) == 0.0
    assert recall_at_k(model, test, k=3) == 0.5
    assert reciprocal_rank(model, test) == 0.5
    assert ndcg_at_k(model, test, k=2)[0] == pytest.approx(1 / np.log2(3) / (1 + 1 / np.log2(3)))
    assert average_precision_at_k(model, test, k=1) == 0.0
    assert average_precision_at_k(model, test, k=3) == 0.25  # 1/2 at the second, of two
    assert average_precision_at_k(model, test) == 0.5  # 1/2 at the second and 2/4 at the fourth
    assert hit_rate_at_k(model, test, k=1) == 0.0
    assert hit_rate_at_k(model, test, k=2) == 1.0
    assert auc_score(model, test) == 0.5  # ranks 1, 3: the mean of 1 - 1/3 and 1 - 2/3
    train = sp.coo_matrix([[1, 0, 0, 0, 1]])
    assert auc_score(model, test, train) == 0.5  # ranks 0, 2 and one negative: 1 and 0
    assert reciprocal_rank(model, test, train) == 1.0


def test_no_negatives():
    """Every item is a test or a train item: nothing can be ranked wrongly, so AUC tells nothing."""
    model = model_with([[1.0], [1.0]], [[3.0], [2.0], [1.0]])
    test, train = sp.coo_matrix([[1, 1, 1], [0, 1, 0]]), sp.coo_matrix([[0, 0, 0], [1, 0, 1]])
    np.testing.assert_array_equal(auc_score(model, test, train), [0.5, 0.5])


@pytest.mark.parametrize("name", METRICS)
def test_users_without_test_items(name):
    model = model_with(np.ones((4, 1)), np.arange(3.0)[:, None])
    test = sp.csr_matrix(([1.0, 1.0], ([1, 2], [2, 0])), shape=(4, 3))
    kept = METRICS[name](model, test, preserve_rows=True)
    np.testing.assert_array_equal(kept[[0, 3]], [VALUE_WITHOUT_TEST[name]] * 2)
    np.testing.assert_array_equal(METRICS[name](model, test), kept[[1, 2]])
    nobody = sp.coo_matrix((4, 3))
    assert METRICS[name](model, nobody).shape == (0,)
    assert METRICS[name](model, nobody, preserve_rows=True).shape == (4,)


@pytest.mark.parametrize("name", METRICS)
def test_edge_shapes(name):
    metric = METRICS[name]
    one_row = metric(model_with([[1.0]], [[2.0], [1.0]]), sp.coo_matrix([[1.0, 0.0]]))
    assert one_row.shape == (1,)
    one_item = metric(model_with([[1.0], [2.0]], [[1.0]]), sp.coo_matrix([[1.0], [0.0]]))
    assert one_item.shape == (1,)
    for shape in ((0, 3), (3, 0)):
        model = LightFM().fit(sp.coo_matrix(shape), epochs=0)
        assert metric(model, sp.coo_matrix(shape), preserve_rows=True).shape == shape[:1]


def test_stored_zeros_are_test_items():
    model = model_with([[1.0]], [[3.0], [2.0], [1.0]])
    test = sp.csr_matrix(([0.0, -1.0], ([0, 0], [0, 2])), shape=(1, 3))
    assert recall_at_k(model, test, k=1) == 0.5


@pytest.mark.parametrize("function", [ndcg_at_k, average_precision_at_k, hit_rate_at_k])
@pytest.mark.parametrize("k", [0, -1, 2.5, 3.0, "10", None, np.nan])
def test_k_is_a_whole_number(function, k):
    with pytest.raises(ValueError, match="k must be a whole number"):
        function(model_with([[1.0]], [[1.0]]), sp.coo_matrix([[1.0]]), k=k)


@pytest.mark.parametrize("function", [precision_at_k, recall_at_k])
def test_k_of_precision_and_recall(function):
    """LightFM takes fractions."""
    model, test = model_with([[1.0]], [[2.0], [1.0]]), sp.coo_matrix([[1.0, 0.0]])
    assert function(model, test, k=2.5) == (0.4 if function is precision_at_k else 1)
    for k in (0, -1, "10", None, np.nan):
        with pytest.raises(ValueError, match="k must be a number of at least 1"):
            function(model, test, k=k)


@pytest.mark.parametrize("name", METRICS)
def test_features_are_used(name):
    features = {
        "user_features": random_features(30, 6, seed=2),
        "item_features": random_features(20, 7, seed=3),
    }
    interactions = random_interactions(1)
    model = LightFM(random_state=1).fit(interactions, epochs=3, **features)
    plain = model_with(
        *(
            getattr(model, f"get_{side}_representations")(features[f"{side}_features"])[part]
            for part in (1, 0)
            for side in ("user", "item")
        )
    )
    np.testing.assert_allclose(
        METRICS[name](model, interactions, **features),
        METRICS[name](plain, interactions),
        rtol=1e-5,
    )


@pytest.mark.parametrize("name", METRICS)
def test_overlap(name):
    model = model_with([[1.0]], [[3.0], [2.0], [1.0]])
    test, train = sp.coo_matrix([[1, 1, 0]]), sp.coo_matrix([[1, 0, 0]])
    with pytest.raises(ValueError, match="test_interactions and train_interactions"):
        METRICS[name](model, test, train)
    assert METRICS[name](model, test, train, check_intersections=False).shape == (1,)


@pytest.mark.parametrize("name", METRICS)
def test_anything_that_ranks_can_be_evaluated(name):
    """Metrics need no more of a model than its `predict_rank`."""

    class Ranker:
        def predict_rank(self, test_interactions, **_: object) -> sp.csr_matrix:
            return test_interactions.tocsr().astype(np.float32)

    ranks = sp.coo_matrix([[1.0, 0.0, 2.0], [2.0, 0.0, 0.0]])
    assert METRICS[name](Ranker(), ranks).shape == (2,)
