"""Plots: what is drawn where, and what is refused. No file, no window."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import scipy.sparse as sp

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402

from lightfm_clone import LightFM  # noqa: E402
from lightfm_clone.evaluation import Comparison, Evaluation  # noqa: E402
from lightfm_clone.plots import (  # noqa: E402
    plot_comparison,
    plot_groups,
    plot_learning_curves,
    plot_popularity,
)

HISTORY = [
    {"epoch": 1, "seconds": 0.1, "loss": 0.75, "violation_rate": 0.5, "mean_tries": 2.0},
    {"epoch": 2, "seconds": 0.1, "loss": 0.5, "ndcg@10": 0.25, "auc": 0.75},
    {"epoch": 3, "seconds": 0.1, "loss": 0.25, "ndcg@10": 0.5, "auc": 0.875},
]


@pytest.fixture(autouse=True)
def close_figures():
    """Those of other tests in this process, such as the examples in docstrings, as well."""
    plt.close("all")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    rng = np.random.default_rng(0)
    users, plain = np.arange(200), rng.random(200)
    groups = {"cold": users < 1, "warm": users >= 1}

    def evaluation(values):
        parts = {label: Evaluation(users[own], {"auc": values[own]})
                 for label, own in groups.items()}  # fmt: skip
        return Evaluation(users, {"auc": values}, parts)

    return Comparison(
        {
            "plain": evaluation(plain),
            "better": evaluation(plain + rng.uniform(0, 0.2, 200)),
            "noise": evaluation(plain + rng.normal(scale=0.1, size=200)),
        }
    )


def texts(labels) -> list[str]:
    return [label.get_text() for label in labels]


def legend_of(ax) -> list[str]:
    return texts(ax.get_legend().get_texts())


def draw(ax):
    """As a file would be, so that what cannot be drawn is found."""
    ax.figure.canvas.draw()
    return ax


# Learning curves ---------------------------------------------------------------------------------


def test_learning_curves():
    ax = draw(plot_learning_curves(HISTORY))
    left, right = ax.figure.axes
    assert left is ax
    (loss,) = left.get_lines()
    np.testing.assert_array_equal(loss.get_xydata(), [[1, 0.75], [2, 0.5], [3, 0.25]])
    curves = {line.get_label(): line.get_ydata() for line in right.get_lines()}
    assert list(curves) == ["ndcg@10", "auc"]
    np.testing.assert_array_equal(curves["ndcg@10"], [np.nan, 0.25, 0.5])
    assert (left.get_xlabel(), left.get_ylabel()) == ("epoch", "loss")
    assert right.get_ylabel() == "ndcg@10, auc" and legend_of(right) == ["loss", "ndcg@10", "auc"]
    assert all(tick == round(tick) for tick in left.get_xticks())


def test_learning_curves_of_a_model():
    model = LightFM(loss="warp", random_state=0).fit(sp.eye(6), epochs=2)
    ax = draw(plot_learning_curves(model))
    assert ax.figure.axes == [ax] and ax.get_legend() is None
    np.testing.assert_array_equal(
        ax.get_lines()[0].get_ydata(), [record["loss"] for record in model.history_]
    )


@pytest.mark.parametrize("metrics", ["auc", ["auc", "mean_tries"]])
def test_chosen_curves(metrics):
    ax = draw(plot_learning_curves(HISTORY, metrics))
    names = [metrics] if isinstance(metrics, str) else metrics
    assert [line.get_label() for line in ax.get_lines()] == names
    assert ax.get_ylabel() == ", ".join(names) and ax.figure.axes == [ax]


def test_curves_that_are_not_there():
    with pytest.raises(ValueError, match="model has no epoch .* call fit"):
        plot_learning_curves(LightFM())
    with pytest.raises(ValueError, match="'loss', .*'auc', what the history .* got 'mrr'"):
        plot_learning_curves(HISTORY, "mrr")
    with pytest.raises(ValueError, match=r"metrics must be among .* got \[\]"):
        plot_learning_curves(HISTORY, [])
    assert plt.get_fignums() == []


# Groups ------------------------------------------------------------------------------------------


def test_groups(comparison):
    evaluation = comparison["plain"]
    ax = draw(plot_groups(evaluation, "auc"))
    assert texts(ax.get_yticklabels()) == ["all\n200 users", "cold\n1 users", "warm\n199 users"]
    ((points, _, bars),) = ax.containers
    means = [evaluation["auc"], *(group["auc"] for group in evaluation.groups.values())]
    np.testing.assert_allclose(points.get_xydata(), np.column_stack([means, range(3)]))
    width = np.ptp(bars[0].get_segments()[0][:, 0])
    assert width == pytest.approx(2 * 1.96 * evaluation.standard_errors["auc"])
    assert ax.yaxis_inverted() and ax.get_legend() is None
    assert "auc" in ax.get_xlabel() and "auc" in ax.get_title()


def test_groups_of_several_models(comparison):
    ax = draw(plot_groups(comparison, "auc"))
    assert legend_of(ax) == list(comparison)
    lines = np.array([points.get_ydata() for points, *_ in ax.containers])
    assert (np.diff(lines, axis=0) > 0.1).all() and (np.round(lines) == np.arange(3)).all()
    looks = {(points.get_color(), points.get_marker()) for points, *_ in ax.containers}
    assert len({colour for colour, _ in looks}) == len({marker for _, marker in looks}) == 3


def test_refused_groups(comparison):
    with pytest.raises(ValueError, match="evaluation has no groups; .*groups='activity'"):
        plot_groups(comparison["plain"].groups["warm"], "auc")
    for of in (comparison, comparison["plain"]):
        with pytest.raises(ValueError, match="metric must be one of .*'auc', got 'mrr'"):
            plot_groups(of, "mrr")


# Differences -------------------------------------------------------------------------------------


def test_comparison(comparison):
    ax = draw(plot_comparison(comparison, "auc"))
    assert texts(ax.get_yticklabels()) == ["better", "noise"]
    zero, *lines = ax.get_lines()
    assert zero.get_xdata() == [0, 0]
    for n, (name, interval, point) in enumerate(
        zip(comparison.differences, lines[::2], lines[1::2], strict=True)
    ):
        mean, low, high = comparison.differences[name]["auc"]
        assert list(interval.get_xdata()) == [low, high] and list(point.get_xdata()) == [mean]
        assert set(interval.get_ydata()) == set(point.get_ydata()) == {n}
        is_full = point.get_markerfacecolor() == point.get_color()
        assert is_full == comparison.differences[name]["auc"].is_significant == (name == "better")
    assert "95 %" in ax.get_xlabel() and "plain" in ax.get_title()


def test_comparison_without_intervals(comparison):
    """Of a single user."""
    ax = draw(plot_comparison(comparison.groups["cold"], "auc"))
    assert texts(ax.get_yticklabels()) == ["better", "noise"]


def test_refused_comparisons(comparison):
    with pytest.raises(ValueError, match="no model beside the baseline, 'plain'; pass the eval"):
        plot_comparison(Comparison({"plain": comparison["plain"]}), "auc")
    with pytest.raises(ValueError, match="metric must be one of"):
        plot_comparison(comparison, "mrr")


# Popularity --------------------------------------------------------------------------------------


def test_popularity():
    interactions = sp.csr_matrix([[0, 1, 0, 0], [0, 1, 1, 0], [5, 1, 0, 0], [1, 0, 1, 0]])
    ax = draw(plot_popularity(interactions))  # 2, 3, 2 and 0 of 7
    equal, curve = ax.get_lines()
    np.testing.assert_array_equal(equal.get_xydata(), [[0, 0], [1, 1]])
    expected = [[0, 0], [0.25, 3 / 7], [0.5, 5 / 7], [0.75, 1], [1, 1]]
    np.testing.assert_allclose(curve.get_xydata(), expected)
    assert legend_of(ax) == ["all items equally often", "interactions: 0.32"]  # 9/28
    again = plot_popularity([2, 3, 2, 0])
    np.testing.assert_array_equal(again.get_lines()[1].get_xydata(), curve.get_xydata())


def test_popularity_of_lists():
    one = [[3, 1], [3, -1]]
    ax = draw(plot_popularity(np.ones(4), {"one": one, "same": [[0, 1, 2, 3]]}))
    curves = {line.get_label(): line.get_ydata() for line in ax.get_lines()[1:]}
    assert list(curves) == ["interactions: 0.00", "one: 0.58", "same: 0.00"]  # 7/12
    np.testing.assert_allclose(curves["one: 0.58"], [0, 2 / 3, 1, 1, 1])
    assert legend_of(plot_popularity(np.ones(4), one))[2] == "lists: 0.58"


def test_the_gini_coefficient_is_the_mean_difference():
    counts = np.random.default_rng(0).integers(0, 50, size=300)
    label = legend_of(plot_popularity(counts))[1]
    mean_difference = np.abs(counts[:, None] - counts).mean()
    assert float(label.split()[1]) == pytest.approx(mean_difference / 2 / counts.mean(), abs=0.005)


def test_refused_counts():
    for counts in ([1, -1], [1, np.nan], [1, np.inf], ["a", "b"]):
        with pytest.raises(ValueError, match="interactions must be a matrix, or for each item"):
            plot_popularity(counts)
    for nothing in (np.zeros(3), sp.csr_matrix((2, 3)), []):
        with pytest.raises(ValueError, match="nothing to draw of interactions"):
            plot_popularity(nothing)
    with pytest.raises(ValueError, match="nothing to draw of mine"):
        plot_popularity(np.ones(3), {"mine": [[-1, -1]]})
    with pytest.raises(ValueError, match="ids must"):
        plot_popularity(np.ones(3), [[3]])
    assert plt.get_fignums() == []


# All of them -------------------------------------------------------------------------------------


def calls(comparison):
    return [
        (plot_learning_curves, (HISTORY,)),
        (plot_groups, (comparison, "auc")),
        (plot_comparison, (comparison, "auc")),
        (plot_popularity, (np.arange(9),)),
    ]


@pytest.mark.parametrize("n", range(4))
def test_axes_that_are_given(comparison, n):
    function, arguments = calls(comparison)[n]
    figure, (left, right) = plt.subplots(ncols=2)
    assert function(*arguments, ax=right) is right
    assert right.has_data() and not left.has_data() and plt.get_fignums() == [figure.number]
    assert right.get_title() and right.get_xlabel()
    alone = function(*arguments)
    assert len(plt.get_fignums()) == 2 and alone.get_title() == right.get_title()


@pytest.mark.parametrize("n", range(4))
def test_without_matplotlib(comparison, monkeypatch, n):
    function, arguments = calls(comparison)[n]
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "lightfm-clone\[plots\]"'):
        function(*arguments)


def test_more_series_than_colours():
    counts = {str(n): np.arange(9).reshape(-1, 1) for n in range(20)}
    lines = draw(plot_popularity(np.ones(9), counts)).get_lines()[1:]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) >= 12
