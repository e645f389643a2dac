"""Comparison: differences of several evaluations of the same users, and how it prints."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import model_with
from hypothesis import given, settings
from hypothesis import strategies as st

from lightfm_clone.evaluation import Comparison, Difference, Evaluation, evaluate


def evaluation(values, metric="x", users=None, groups=None):
    values = np.asarray(values, dtype=np.float64)
    users = np.arange(len(values)) if users is None else np.asarray(users)
    parts = {
        label: Evaluation(users[own], {metric: values[own]})
        for label, own in (groups or {}).items()
    }
    return Evaluation(users, {metric: values}, parts)


@pytest.fixture
def three():
    """A baseline, one that is better for everybody, and one whose differences are noise."""
    rng = np.random.default_rng(0)
    plain = rng.random(400)
    groups = {"new": np.arange(400) < 100, 7: np.arange(400) >= 100}
    values = {
        "plain": plain,
        "better": plain + rng.uniform(0.01, 0.05, size=400),
        "noise": plain + rng.normal(scale=0.05, size=400),
    }
    return {name: evaluation(of, groups=groups) for name, of in values.items()}


# Differences -------------------------------------------------------------------------------------


def test_a_mapping_of_evaluations(three):
    comparison = Comparison(three)
    assert list(comparison) == ["plain", "better", "noise"] and len(comparison) == 3
    assert comparison["better"] is three["better"]
    assert comparison.baseline == "plain" and list(comparison.differences) == ["better", "noise"]
    with pytest.raises(KeyError, match="worse"):
        comparison["worse"]
    assert list(Comparison(three, baseline="noise").differences) == ["plain", "better"]


def test_differences_of_means(three):
    for baseline in three:
        comparison = Comparison(three, baseline=baseline)
        for name, of_metrics in comparison.differences.items():
            assert list(of_metrics) == ["x"] and type(of_metrics["x"]) is Difference
            mean = three[name]["x"] - three[baseline]["x"]
            assert of_metrics["x"].mean == pytest.approx(mean, abs=1e-12)
    back = Comparison(three, baseline="better").differences["plain"]["x"]
    mean, low, high = Comparison(three).differences["better"]["x"]
    assert back == pytest.approx((-mean, -high, -low), abs=1e-12), "the same draws"


def test_pairs_tell_what_means_cannot(three):
    """The means' own intervals overlap, and yet the difference is beyond doubt."""
    comparison = Comparison(three)
    better = comparison.differences["better"]["x"]
    assert better.is_significant and 0.025 < better.low < better.mean < better.high < 0.035
    noise = comparison.differences["noise"]["x"]
    assert not noise.is_significant and noise.low < 0 < noise.high
    assert Comparison(three, baseline="better").differences["plain"]["x"].is_significant
    alone = [three[name].confidence_intervals()["x"] for name in ("plain", "better")]
    assert alone[0][1] > alone[1][0]


def test_intervals_are_those_of_scipy(three):
    stats = pytest.importorskip("scipy.stats")
    a, b = (three[name].per_user["x"] for name in ("plain", "noise"))
    _, low, high = Comparison(three, level=0.9, n_resamples=4000).differences["noise"]["x"]
    expected = stats.bootstrap(
        (b, a), lambda b, a, axis=-1: b.mean(axis=axis) - a.mean(axis=axis), paired=True,
        confidence_level=0.9, n_resamples=4000, method="percentile",
        vectorized=True,
    ).confidence_interval  # fmt: skip
    assert (low, high) == pytest.approx(tuple(expected), abs=0.06 * (high - low))


def test_the_bootstrap_is_that_of_evaluation(three):
    """An evaluation of the differences has the same intervals: there is one way to draw."""
    difference = three["noise"].per_user["x"] - three["plain"].per_user["x"]
    for options in ({}, {"level": 0.5, "n_resamples": 200, "random_state": 3}):
        expected = evaluation(difference).confidence_intervals(**options)["x"]
        _, *ends = Comparison(three, **options).differences["noise"]["x"]
        assert ends == pytest.approx(expected, abs=1e-12)


def test_a_level_is_kept_where_there_is_no_difference():
    """Of two models that are equally good, at 90 % about one in ten is starred."""
    rng = np.random.default_rng(0)
    n, starred = 300, 0
    for _ in range(n):
        plain = rng.random(60)
        pair = {"a": evaluation(plain), "b": evaluation(plain + rng.normal(scale=0.1, size=60))}
        comparison = Comparison(pair, level=0.9, n_resamples=200)
        starred += comparison.differences["b"]["x"].is_significant
    assert 0.06 < starred / n < 0.16


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 40), shift=st.floats(0.001, 10))
def test_what_is_the_same_for_everybody_is_certain(seed, n, shift):
    values = np.random.default_rng(seed).random(n)
    pair = {"a": evaluation(values), "b": evaluation(values + shift), "c": evaluation(values)}
    differences = Comparison(pair, n_resamples=50).differences
    assert differences["b"]["x"] == pytest.approx((shift,) * 3)
    assert differences["b"]["x"].is_significant
    assert differences["c"]["x"] == (0, 0, 0) and not differences["c"]["x"].is_significant


def test_a_single_user_has_no_interval():
    pair = {"a": evaluation([0.25]), "b": evaluation([0.75])}
    comparison = Comparison(pair)
    mean, low, high = comparison.differences["b"]["x"]
    assert mean == 0.5 and np.isnan(low) and np.isnan(high)
    assert not comparison.differences["b"]["x"].is_significant
    assert "*" not in str(comparison).splitlines()[3]


def test_one_model_alone(three):
    comparison = Comparison({"only": three["plain"]})
    assert comparison.differences == {} and comparison.best == {"x": "only"}
    assert "outside" not in str(comparison)
    assert list(comparison.groups["new"]) == ["only"]


def test_groups(three):
    comparison = Comparison(three, baseline="noise")
    assert list(comparison.groups) == ["new", 7]
    for label, group in comparison.groups.items():
        alone = Comparison(
            {name: one.groups[label] for name, one in three.items()}, baseline="noise"
        )
        assert type(group) is Comparison and group.baseline == "noise" and group.groups == {}
        assert group.differences == alone.differences


def test_best_and_ties():
    users, ones, zeros = np.arange(2), np.ones(2), np.zeros(2)
    comparison = Comparison(
        {
            "a": Evaluation(users, {"x": zeros, "y": ones}),
            "b": Evaluation(users, {"y": ones, "x": ones}),  # in another order
        }
    )
    assert comparison.best == {"x": "b", "y": "a"}
    assert comparison.differences["b"] == {"x": (1, 1, 1), "y": (0, 0, 0)}
    assert str(comparison).splitlines()[2].split() == ["b", "1.0000", "1.0000"]


def test_seeds_and_pickles(three):
    comparison = Comparison(three)
    assert comparison.differences == Comparison(three, random_state=0).differences
    assert comparison.differences != Comparison(three, random_state=1).differences
    copy = pickle.loads(pickle.dumps(comparison))
    assert copy.differences == comparison.differences and str(copy) == str(comparison)


def test_of_what_evaluate_returns():
    rng = np.random.default_rng(0)
    test, train = np.split(rng.permutation(600).reshape(2, 30, 10) % 5 == 0, 2)
    test, train = sp.csr_matrix(test[0]), sp.csr_matrix(train[0] & ~test[0])
    good = model_with(test.toarray() + rng.random((30, 10)) / 2, np.eye(10))
    poor = model_with(rng.random((30, 10)), np.eye(10))
    comparison = Comparison(
        {name: evaluate(model, test, train, ["ndcg@5", "auc"], groups="cold")
         for name, model in (("poor", poor), ("good", good))}
    )  # fmt: skip
    assert comparison.best == {"ndcg@5": "good", "auc": "good"}
    assert all(one.is_significant for one in comparison.differences["good"].values())
    assert list(comparison.groups)[-1] == "warm"


# The table ---------------------------------------------------------------------------------------


def test_table():
    groups = {"new": np.arange(4) < 2}
    pair = {
        "plain": evaluation([0.0, 0.5, 0.5, 0.0], "ndcg@10", groups=groups),
        "better": evaluation([0.25, 0.75, 0.75, 0.25], "ndcg@10", groups=groups),
        "odd": evaluation([0.0, 0.5, 0.0, 0.5], "ndcg@10", groups=groups),
    }
    measures = {"better": {"coverage": 0.5}, "odd": {"coverage": 1, "novelty": np.float32(3.25)}}
    comparison = Comparison(pair, measures=measures, level=0.8, n_resamples=500)
    assert comparison.measures == {"plain": {}, **measures}
    assert str(comparison) == repr(comparison)
    assert str(comparison).splitlines() == [
        "              ndcg@10   coverage  novelty",
        "plain          0.2500          -        -",
        "better         0.5000     0.5000        -",
        "  difference  +0.2500*",
        "  80 % from   +0.2500",
        "  80 % to     +0.2500",
        "odd            0.2500     1.0000   3.2500",
        "  difference  +0.0000",
        "  80 % from   -0.2500",
        "  80 % to     +0.2500",
        "means over 4 users with test items; "
        "* 0 is outside the interval of the difference to plain",
        "",
        "             users  ndcg@10",
        "all  plain       4   0.2500",
        "     better          0.5000*",
        "     odd             0.2500",
        "new  plain       2   0.2500",
        "     better          0.5000*",
        "     odd             0.2500",
    ]


# Errors ------------------------------------------------------------------------------------------


def test_evaluations_that_do_not_belong_together():
    a = evaluation([1, 2, 3], groups={"new": np.array([0, 1])})

    def refused(b, message):
        with pytest.raises(ValueError, match=message):
            Comparison({"a": a, "b": b})

    groups = {"new": np.array([0, 1])}
    refused(
        evaluation([1, 2], groups=groups),
        "same users, but 'a' is of 3 and 'b' of 2, 2 of them common; .* same test_interactions",
    )
    refused(evaluation([1, 2, 3], users=[0, 1, 5], groups=groups), "of 3 and 'b' of 3, 2 of them")
    refused(
        evaluation([1, 2, 3], "y", groups=groups),
        "the same metrics, but 'a' has 'x', which 'b' lacks; pass the same metrics to evaluate",
    )
    both = Evaluation(np.arange(3), {"x": np.ones(3), "y": np.ones(3)}, a.groups)
    refused(both, "the same metrics, but 'b' has 'y', which 'a' lacks")
    refused(evaluation([1, 2, 3]), "the same groups, but 'a' has 'new', which 'b' lacks")
    refused(evaluation([1, 2, 3], groups={"new": np.array([0, 2])}), "same users.* same groups")


def test_refused_arguments(three):
    for nothing in ({}, [], None, three["plain"]):
        with pytest.raises((TypeError, ValueError), match="^evaluations.*evaluate returned"):
            Comparison(nothing)
    with pytest.raises(TypeError, match=r"evaluations\['a'\] must be .* got dict"):
        Comparison({"a": {"x": 0.5}})
    with pytest.raises(ValueError, match="baseline must name one .* 'plain', .*, got 'base'"):
        Comparison(three, baseline="base")
    with pytest.raises(ValueError, match="measures must name one of .* got 'plan'"):
        Comparison(three, measures={"plan": {"coverage": 1.0}})
    for measures in ({"plain": 0.5}, {"plain": {"coverage": np.ones(3)}}, {"plain": {"c": "1"}}):
        with pytest.raises(TypeError, match=r"measures\['plain'\] must be a dict of numbers"):
            Comparison(three, measures=measures)
    with pytest.raises(TypeError, match="measures must be a dict of names of models"):
        Comparison(three, measures=[0.5])
    with pytest.raises(TypeError, match="positional"):
        Comparison(three, "plain")
    for argument, value in (("level", 95), ("n_resamples", 0), ("random_state", "seed")):
        with pytest.raises(ValueError, match=argument):
            Comparison(three, **{argument: value})


def test_the_callers_dicts_are_copied(three):
    measures = {"plain": {"coverage": 0.5}}
    comparison = Comparison(three, measures=measures)
    three["more"] = three["plain"]
    measures["plain"]["coverage"] = 1.0
    assert len(comparison) == 3 and comparison.measures["plain"] == {"coverage": 0.5}
