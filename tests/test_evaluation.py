"""`evaluate` and its result, against other implementations, laws of the metrics and the pass."""

from __future__ import annotations

import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import all_scores, groups_of_taste, model_with, random_features
from hypothesis import given, settings
from hypothesis import strategies as st
from test_metrics import METRICS, problems

from lightfm_clone import LightFM
from lightfm_clone.evaluation import Evaluation, evaluate

# Names in `evaluate` of the functions that give one metric.
NAMES = {
    "precision@{k}": "precision_at_k",
    "recall@{k}": "recall_at_k",
    "ndcg@{k}": "ndcg_at_k",
    "map@{k}": "average_precision_at_k",
    "hit_rate@{k}": "hit_rate_at_k",
    "mrr": "reciprocal_rank",
    "auc": "auc_score",
}


@pytest.fixture(scope="module")
def case():
    """A model without ties, with test and train items for most of 40 users of 60 items."""
    rng = np.random.default_rng(3)
    model = model_with(rng.normal(size=(40, 4)), rng.normal(size=(60, 4)))
    kinds = rng.choice(3, size=(40, 60), p=[0.7, 0.1, 0.2])
    kinds[[5, 7]] = 0  # nothing at all
    kinds[[11, 13]] = np.minimum(kinds[[11, 13]], 1)  # test items only
    return model, sp.csr_matrix(kinds == 1, dtype=int), sp.csr_matrix(kinds == 2, dtype=int)


class Ranker:
    """Ranks as given, counting how often it is asked."""

    def __init__(self, ranks):
        self.ranks = sp.csr_matrix(ranks, dtype=np.float32)
        self.calls = 0

    def predict_rank(self, test_interactions, **_):
        self.calls += 1
        return self.ranks


# Definitions -------------------------------------------------------------------------------------


def test_metrics_are_those_of_ranx(case):
    ranx = pytest.importorskip("ranx")
    model, test, train = case
    scores, rest = all_scores(model, *test.shape), train.toarray() == 0
    cut = ["precision@5", "recall@5", "ndcg@5", "map@5", "hit_rate@5", "mrr@5"]
    result = evaluate(model, test, train, [*cut, "map@60", "mrr"])
    n_test = np.diff(test.indptr)
    liked = ranx.Qrels({str(u): {str(i): 1 for i in test[u].indices} for u in result.users})
    lists = ranx.Run(
        {str(u): {str(i): scores[u, i] for i in np.flatnonzero(rest[u])} for u in result.users}
    )
    ranx.evaluate(liked, lists, list(result), threads=1)
    for name, values in result.per_user.items():
        expected = np.array([lists.scores[name][str(user)] for user in result.users])
        if name == "map@5":  # ranx divides by all test items, even where they are more than k
            expected *= (n_test / np.clip(n_test, 1, 5))[result.users]
        np.testing.assert_allclose(values, expected, rtol=1e-12, err_msg=name)


@settings(deadline=None, max_examples=50)
@given(problem=problems(), k=st.integers(1, 30))
def test_values_are_those_of_the_single_metrics(problem, k):
    model, test, train = (problem[0], *map(sp.csr_matrix, problem[1:]))
    if not test.nnz:
        return
    names = [name.format(k=k) for name in NAMES]
    result = evaluate(model, test, train, names, check_intersections=False)
    assert list(result) == list(result.per_user) == names
    np.testing.assert_array_equal(result.users, np.flatnonzero(np.diff(test.indptr)))
    for name, function in zip(names, NAMES.values(), strict=True):
        options = {"k": k} if "@" in name else {}
        expected = METRICS[function](model, test, train, check_intersections=False, **options)
        assert result.per_user[name].dtype == np.float64
        np.testing.assert_allclose(result.per_user[name], expected, rtol=1e-6, err_msg=name)
        assert result[name] == pytest.approx(expected.mean(dtype=np.float64), rel=1e-6)


@settings(deadline=None, max_examples=50)
@given(problem=problems(), k=st.integers(1, 30))
def test_bounds_and_order(problem, k):
    """Values are in [0, 1], even if test items are in train, and more places are no worse.

    All but the AUC, which LightFM's law lets fall below 0 where a user's test items tie.
    """
    model, test, train = (problem[0], *map(sp.csr_matrix, problem[1:]))
    if not test.nnz:
        return
    names = [f"{name}@{cut}" for name in ("ndcg", "map", "hit_rate", "mrr") for cut in (k, k + 1)]
    if not test.multiply(train).nnz:
        names += [f"precision@{k}"]
    names += [f"recall@{k}", f"recall@{k + 1}", "mrr", "auc"]
    values = evaluate(model, test, train, names, check_intersections=False).per_user
    for name, of_users in values.items():
        assert name == "auc" or (of_users >= 0).all(), name
        assert (of_users <= 1 + 1e-12).all(), name
    for name in ("hit_rate", "mrr", "recall"):
        assert (values[f"{name}@{k}"] <= values[f"{name}@{k + 1}"]).all(), name
    assert (values[f"mrr@{k}"] <= values["mrr"]).all()
    np.testing.assert_array_equal(values[f"hit_rate@{k}"] > 0, values[f"recall@{k}"] > 0)


@settings(deadline=None, max_examples=30)
@given(problem=problems(), seed=st.integers(0, 2**32 - 1))
def test_the_numbers_of_users_and_items_do_not_matter(problem, seed):
    model, test, train = problem
    train &= ~test
    if not test.any():
        return
    rng = np.random.default_rng(seed)
    users, items = (rng.permutation(n) for n in test.shape)
    moved = model_with(model.user_embeddings[users], model.item_embeddings[items])
    before = evaluate(model, sp.csr_matrix(test), sp.csr_matrix(train))
    test, train = (sp.csr_matrix(mask[users][:, items]) for mask in (test, train))
    after = evaluate(moved, test, train)
    place = {user: position for position, user in enumerate(before.users)}
    order = [place[user] for user in users[after.users]]
    for name, values in after.per_user.items():
        np.testing.assert_allclose(values, before.per_user[name][order], rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("k", [1, 4, 20])
def test_a_perfect_model(k):
    rng = np.random.default_rng(0)
    kinds = rng.choice(3, size=(30, 25), p=[0.5, 0.2, 0.3])
    kinds[:, 0] = 1
    test, train = kinds == 1, kinds == 2
    scores = test + rng.random(test.shape) / 2  # no ties
    model = model_with(scores, np.eye(25))
    names = [name.format(k=k) for name in NAMES] + [f"mrr@{k}"]
    result = evaluate(model, sp.csr_matrix(test), sp.csr_matrix(train), names)
    n_test = test.sum(axis=1)
    best = {f"precision@{k}": np.minimum(n_test, k) / k}
    best[f"recall@{k}"] = np.minimum(n_test, k) / n_test
    for name, values in result.per_user.items():
        np.testing.assert_allclose(values, best.get(name, 1.0), rtol=1e-12, err_msg=name)


def test_ties_count_against_the_test_item():
    model = model_with([[1.0]], [[1.0]] * 5)
    test = sp.csr_matrix([[0, 1, 0, 1, 0]])
    result = evaluate(model, test, metrics=["ndcg@4", "hit_rate@4", "mrr", "map@5"])
    assert dict(result) == pytest.approx({"ndcg@4": 0, "hit_rate@4": 0, "mrr": 0.2, "map@5": 0.3})


def test_popularity_on_movielens_1m(ml_1m):
    """Values measured independently by the protocol that is published with the split."""
    user, item, split = (ml_1m[f"all_{name}"] for name in ("user", "item", "split"))
    rated, item = np.unique(item, return_inverse=True)
    matrices = [
        sp.csr_matrix((np.ones(part.sum()), (user[part], item[part])), (6040, len(rated)))
        for part in (split < 2, split == 2)
    ]
    popularity = np.bincount(item[split == 0], minlength=len(rated))
    model = model_with(np.zeros((6040, 1)), np.zeros((len(rated), 1)), item_biases=popularity)
    result = evaluate(model, matrices[1], matrices[0])
    assert result["ndcg@10"] == pytest.approx(0.1435, abs=1e-4)
    n_test = np.diff(matrices[1].indptr)
    hits = 10 * result.per_user["precision@10"] / np.minimum(n_test, 10)
    assert hits.mean() == pytest.approx(0.1351, abs=1e-4)


# The result of evaluate --------------------------------------------------------------------------


def test_one_ranking_pass():
    ranker = Ranker([[1.0, 0.0, 2.0], [2.0, 0.0, 0.0]])
    result = evaluate(ranker, ranker.ranks, groups=["a", "b"])
    assert ranker.calls == 1
    assert list(result) == ["precision@10", "recall@10", "ndcg@10", "map@10", "mrr", "auc"]


def test_earlier_names_of_arguments(case):
    model, test, train = case
    result = evaluate(model, test_interactions=test, train_interactions=train)
    assert evaluate(model, test=test, train=train) == evaluate(model, test, train=train) == result
    assert evaluate(model, test) != result
    with pytest.raises(TypeError, match="train is the earlier name of train_interactions"):
        evaluate(model, test, train=train, train_interactions=train)
    with pytest.raises(TypeError, match="test_interactions"):
        evaluate(model, test, test=test)
    with pytest.raises(TypeError, match="tests"):
        evaluate(model, tests=test)


def test_results_pickled_by_an_earlier_version():
    """By one in which `evaluation` was a single module."""
    path = Path(__file__).parent / "fixtures" / "earlier-version" / "evaluation.pkl"
    result = pickle.loads(path.read_bytes())
    assert type(result) is Evaluation
    assert dict(result) == {"ndcg@10": 0.25, "auc": 0.75}
    np.testing.assert_array_equal(result.users, [0, 2, 3])
    np.testing.assert_array_equal(result.per_user["auc"], [0.5, 0.75, 1.0])
    assert dict(result.groups["cold"]) == {"ndcg@10": 0.25, "auc": 0.75}
    assert b"lightfm_clone.evaluation\n" in pickle.dumps(result, 0)  # so earlier ones load ours
    assert "over 3 users" in str(result)


def exact_mean(values):
    """The mean, rounded once."""
    return float(sum(map(Fraction, values.tolist())) / len(values))


def test_a_mapping_of_means(case):
    result = evaluate(*case, metrics=["ndcg@10", "auc", "ndcg@10"])
    assert list(result.keys()) == ["ndcg@10", "auc"] and len(result) == 2
    assert "auc" in result and "mrr" not in result
    with pytest.raises(KeyError, match="mrr"):
        result["mrr"]
    assert type(result["auc"]) is float
    assert dict(result) == {name: exact_mean(values) for name, values in result.per_user.items()}
    assert 5 not in result.users and 7 not in result.users and len(result.users) == 38
    assert result.groups == {}
    assert evaluate(*case, metrics="auc") == {"auc": result["auc"]}
    copy = pickle.loads(pickle.dumps(result))
    assert copy == result
    np.testing.assert_array_equal(copy.per_user["auc"], result.per_user["auc"])


def test_features_and_threads():
    features = {
        "user_features": random_features(30, 6, seed=2),
        "item_features": random_features(20, 7, seed=3),
    }
    train, test = groups_of_taste(n_users=30, n_items=20)
    model = LightFM(random_state=1).fit(train, epochs=3, **features)
    result = evaluate(model, test, train, num_threads=2, **features)
    expected = METRICS["ndcg_at_k"](model, test, train, **features)
    np.testing.assert_allclose(result.per_user["ndcg@10"], expected)


@pytest.mark.parametrize(
    "name",
    ["", "ndcg", "auc@10", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@2.5", "ndcg@ten", "NDCG@10", "f1@5"]
    + ["ndcg@10@10", "ndcg@k", "ndcg@²", 10, None],
)
def test_unknown_metrics(case, name):
    with pytest.raises(ValueError, match="metrics must be among precision@k, .*'ndcg@10'; got"):
        evaluate(*case, metrics=["auc", name])


def test_refusals(case):
    model, test, train = case
    with pytest.raises(ValueError, match="metrics is empty"):
        evaluate(model, test, train, metrics=[])
    with pytest.raises(ValueError, match="test_interactions must hold .* nothing to evaluate"):
        evaluate(model, sp.csr_matrix(test.shape))
    with pytest.raises(ValueError, match="share entries"):
        evaluate(model, test, test)
    assert evaluate(model, test, test, check_intersections=False)["auc"] > 0
    for groups in ("activity", "cold"):
        with pytest.raises(ValueError, match=f"groups='{groups}' needs train_interactions"):
            evaluate(model, test, groups=groups)
    with pytest.raises(ValueError, match="'activity', 'cold' or an array .* got 'age'"):
        evaluate(model, test, train, groups="age")
    with pytest.raises(ValueError, match=r"each of the 40 users, got an array of shape \(39,\)"):
        evaluate(model, test, train, groups=np.zeros(39))
    for label in (None, np.nan):
        with pytest.raises(ValueError, match="missing or mixed"):
            evaluate(model, test, groups=np.array(["a"] * 39 + [label], dtype=object))
    with pytest.raises(ValueError, match="missing or mixed"):
        evaluate(model, test, groups=np.append(np.zeros(39), np.nan))


# Groups ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [["b", "a", "c", "a"] * 10, np.arange(40) % 3, np.arange(40) % 2 == 0],
    ids=["strings", "numbers", "booleans"],
)
def test_groups_by_label(case, labels):
    result = evaluate(*case, groups=labels)
    assert list(result.groups) == sorted(set(np.asarray(labels).tolist()))
    for label, group in result.groups.items():
        own = np.asarray(labels)[result.users] == label
        np.testing.assert_array_equal(group.users, result.users[own])
        assert group["ndcg@10"] == exact_mean(result.per_user["ndcg@10"][own])
        assert list(group) == list(result) and group.groups == {}
    assert result == evaluate(*case)


def test_groups_of_a_series(case):
    pd = pytest.importorskip("pandas")
    labels = pd.Series(["new", "old"] * 20, index=np.arange(40)[::-1])
    assert list(evaluate(*case, groups=labels).groups) == ["new", "old"]
    result = evaluate(*case, groups=labels.astype("category"))
    np.testing.assert_array_equal(result.groups["new"].users % 2, 0)


def test_groups_without_test_users_are_left_out(case):
    labels = np.full(40, "rest", dtype=object)
    labels[[5, 7]] = "nothing"
    assert list(evaluate(*case, groups=labels).groups) == ["rest"]


def test_cold_users(case):
    groups = evaluate(*case, groups="cold").groups
    assert list(groups) == ["cold", "warm"]
    np.testing.assert_array_equal(groups["cold"].users, [11, 13])
    assert len(groups["warm"].users) == 36


def test_groups_of_activity():
    """Of eleven users with 0, 0, 0, 1, 2 ... 8 training items, two are in each quartile."""
    counts = np.r_[[0] * 3, np.arange(1, 9)]
    train = sp.csr_matrix(np.arange(10) < counts[:, None], dtype=int)
    test = sp.csr_matrix(np.tile(np.arange(10) == 9, (11, 1)), dtype=int)
    model = model_with(np.ones((11, 1)), np.arange(10)[:, None])
    groups = evaluate(model, test, train, groups="activity").groups
    members = {label: counts[group.users].tolist() for label, group in groups.items()}
    assert members == {
        "cold": [0, 0, 0],
        "quartile 1": [1, 2],
        "quartile 2": [3, 4],
        "quartile 3": [5, 6],
        "quartile 4": [7, 8],
    }


def test_groups_of_equal_activity():
    """Users on a bound are in the lower group; all are, when all have as many items."""
    model = model_with(np.ones((3, 1)), np.arange(4)[:, None])
    test = sp.csr_matrix([[0, 0, 0, 1]] * 3)
    train = sp.csr_matrix([[1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 1, 0]])
    assert list(evaluate(model, test, train, groups="activity").groups) == ["quartile 1"]
    nobody = sp.csr_matrix((3, 4))
    assert list(evaluate(model, test, nobody, groups="activity").groups) == ["cold"]


# Confidence intervals ----------------------------------------------------------------------------


def test_intervals_are_those_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(0).beta(1, 4, size=500)
    result = Evaluation(np.arange(500), {"ndcg@10": values, "twice": 2 * values})
    low, high = result.confidence_intervals(level=0.9, n_resamples=4000)["ndcg@10"]
    expected = stats.bootstrap(
        (values,), np.mean, confidence_level=0.9, n_resamples=4000, method="percentile"
    )
    width = high - low
    assert low == pytest.approx(expected.confidence_interval.low, abs=0.06 * width)
    assert high == pytest.approx(expected.confidence_interval.high, abs=0.06 * width)
    # All metrics see the same draws.
    both = result.confidence_intervals()
    np.testing.assert_allclose(both["twice"], 2 * np.array(both["ndcg@10"]))


def test_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        values = rng.random(60)
        low, high = Evaluation(np.arange(60), {"x": values}).confidence_intervals(
            level=0.8, n_resamples=300
        )["x"]
        covered += low < 0.5 < high
    assert 0.72 < covered / 300 < 0.87


def test_intervals_are_seeded(case):
    result = evaluate(*case)
    assert result.confidence_intervals() == result.confidence_intervals(random_state=0)
    assert result.confidence_intervals() != result.confidence_intervals(random_state=1)
    seeded = result.confidence_intervals(random_state=np.random.RandomState(5))
    assert seeded == result.confidence_intervals(random_state=np.random.RandomState(5))
    for name, (low, high) in result.confidence_intervals(level=0.99).items():
        assert low < result.confidence_intervals(level=0.5)[name][0] < result[name] < high


def test_intervals_of_few_and_of_many_users():
    one = Evaluation(np.arange(1), {"x": np.array([0.25])})
    assert one.confidence_intervals() == {"x": (0.25, 0.25)}
    n = 2**20 + 1  # more than are drawn at once
    many = Evaluation(np.arange(n), {"x": np.arange(n) % 2.0})
    low, high = many.confidence_intervals(n_resamples=3)["x"]
    assert 0.498 < low < high < 0.502


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"level": 0}, "level must be a number in"),
        ({"level": 95}, "level must be a number in"),
        ({"level": "95%"}, "level must be a number in"),
        ({"n_resamples": 0}, "n_resamples must be a whole number"),
        ({"n_resamples": 10.5}, "n_resamples must be a whole number"),
        ({"random_state": "seed"}, "random_state must be"),
    ],
)
def test_bad_intervals(case, arguments, message):
    with pytest.raises(ValueError, match=message):
        evaluate(*case).confidence_intervals(**arguments)


# The table ---------------------------------------------------------------------------------------


def test_table():
    values = {"ndcg@10": np.array([0.0, 0.0, 0.5, 0.5]), "auc": np.full(4, 0.75)}
    result = Evaluation(np.arange(4), values)
    assert str(result) == repr(result)
    assert str(result).splitlines() == [
        "           mean       ±",
        "ndcg@10  0.2500  0.2829",  # 1.96 sqrt(4 * 0.25**2 / 3) / sqrt(4)
        "auc      0.7500  0.0000",
        "means over 4 users with test items, ± 1.96 standard errors",
    ]


def test_table_of_a_single_user():
    """One value tells nothing of how far apart values are."""
    assert str(Evaluation(np.arange(1), {"auc": np.array([0.25])})).splitlines() == [
        "       mean  ±",
        "auc  0.2500  -",
        "means over 1 users with test items, ± 1.96 standard errors",
    ]


def test_printing_draws_no_bootstrap(case, monkeypatch):
    result = evaluate(*case, groups="cold")

    def refuse(*_, **__):
        raise AssertionError("drawn")

    monkeypatch.setattr(np.random, "default_rng", refuse)
    assert "± 1.96 standard errors" in str(result)
    with pytest.raises(AssertionError, match="drawn"):
        result.confidence_intervals()


def test_what_is_printed_is_nearly_the_bootstrap_interval():
    values = np.random.default_rng(2).beta(1, 4, size=2000)
    result = Evaluation(np.arange(2000), {"x": values})
    low, high = result.confidence_intervals(n_resamples=2000)["x"]
    half = float(str(result).splitlines()[1].split()[-1])
    assert half == pytest.approx((high - low) / 2, rel=0.08)


def test_table_of_groups():
    values = {"ndcg@10": np.array([0.0, 0.0, 0.5, 0.5]), "auc": np.full(4, 0.75)}
    groups = {
        label: Evaluation(np.arange(n), {name: of[:n] for name, of in values.items()})
        for label, n in (("cold", 2), (30, 3))
    }
    table = str(Evaluation(np.arange(4), values, groups)).split("\n\n")[1]
    assert table.splitlines() == [
        "      users  ndcg@10     auc",
        "all       4   0.2500  0.7500",
        "cold      2   0.0000  0.7500",
        "30        3   0.1667  0.7500",
    ]
