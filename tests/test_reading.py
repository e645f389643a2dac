"""What models, datasets and results show of themselves: text, HTML, tables."""

from __future__ import annotations

import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import model_with, random_features, random_interactions

from lightfm_clone import Dataset, LightFM
from lightfm_clone.evaluation import Comparison, Evaluation

HOSTILE = "<script>alert('&amp;')</script>\"><img src=x onerror=1>"
KINDS = ("pandas", "polars", "pyarrow")


class Reader(HTMLParser):
    """Checks that tags balance, and keeps tags, attributes and the cells' text as a reader sees."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.rows = [], set(), set(), []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.add(tag)
        self.attributes |= set(dict(attrs))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def rows_of(shown) -> list[list[str]]:
    """Of the tables of something's HTML, which is checked."""
    reader = Reader()
    html = shown._repr_html_()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    assert reader.tags <= {"table", "thead", "tbody", "tr", "th", "td", "p"}
    assert reader.attributes == {"style"}
    assert "color" not in html and "font" not in html and "http" not in html
    return reader.rows


@pytest.fixture
def evaluation():
    values = {"ndcg@10": np.array([0.0, 0.0, 0.5, 0.5]), HOSTILE: np.full(4, 0.75)}
    groups = {
        label: Evaluation(np.arange(n), {name: of[:n] for name, of in values.items()})
        for label, n in ((HOSTILE, 1), (30, 3), ("all", 2))
    }
    return Evaluation(np.arange(4), values, groups)


# Models ------------------------------------------------------------------------------------------


def test_a_model_that_is_not_fitted():
    model = LightFM(loss="warp")
    assert str(model) == repr(model) == "LightFM(loss='warp')"
    assert rows_of(model) == [["LightFM(loss='warp')", "not fitted"]]


def test_a_fitted_model():
    interactions = random_interactions(shape=(1500, 20), n_entries=300)
    model = LightFM(loss="warp", random_state=0)
    model.fit(
        interactions,
        item_features=random_features(20, 7),
        epochs=2,
        validation={"interactions": interactions, "exclude": None, "metrics": ["auc"]},
    )
    last = model.history_[-1]
    state = [
        ["users", "1,500"],
        ["item features", "7"],
        ["epochs", "2"],
        ["seconds", f"{sum(record['seconds'] for record in model.history_):.1f}"],
        ["last loss", f"{last['loss']:.4f}"],
        ["last violation_rate", f"{last['violation_rate']:.4f}"],
        ["last mean_tries", f"{last['mean_tries']:.4f}"],
        ["last auc", f"{last['auc']:.4f}"],
    ]
    assert repr(model) == "LightFM(loss='warp')", "parameters alone, which can be evaluated"
    assert rows_of(model) == [["LightFM(loss='warp')", "fitted"], *state]
    head, line = str(model).splitlines()
    assert head == repr(model)
    assert line == "fitted: " + ", ".join(" ".join(row) for row in state)


def test_a_model_of_assigned_arrays_and_of_odd_records():
    model = model_with(np.ones((3, 2)), np.ones((4, 2)))
    assert str(model).splitlines()[1] == "fitted: users 3, items 4"
    model.history_ = [{"epoch": 1, "loss": 0.25, "note": HOSTILE}]  # by a callback
    assert rows_of(model)[-2:] == [["last loss", "0.2500"], ["last note", HOSTILE]]
    model.user_embeddings = None
    assert str(model) == repr(model), "what cannot be asked is not fitted, and shows itself"


def test_a_subclass_shows_its_own_repr():
    class Shown(LightFM):
        def __repr__(self):
            return HOSTILE

    model = Shown().fit(sp.eye(3), epochs=0)
    assert str(model).splitlines() == [HOSTILE, "fitted: users 3, items 3"]
    assert rows_of(model)[0] == [HOSTILE, "fitted"]


# Datasets ----------------------------------------------------------------------------------------


def test_a_dataset():
    dataset = Dataset(item_identity_features=False)
    assert rows_of(dataset)[1:] == [["users", "0", "0", "", ""], ["items", "0", "0", "", ""]]
    dataset.fit(
        ["1", 1, ("a", 2)], range(5000), user_features=["new", HOSTILE], item_features=["hot"]
    )
    users, items = rows_of(dataset)[1:]
    assert users[:4] == ["users", "3", "5", "'1', 1, ('a', 2)"]
    assert users[4].startswith("'new', ") and len(users[4]) < 50, "in short"
    assert items == ["items", "5,000", "1", "0, 1, 2, …", "'hot'"]


def test_hostile_ids_are_escaped():
    dataset = Dataset()
    dataset.fit([HOSTILE[:25]], ["<b>"], item_features=["</td>"])
    assert repr(HOSTILE[:25]) in rows_of(dataset)[1][3]
    assert rows_of(dataset)[2][3:] == ["'<b>'", "'</td>'"]
    assert "<b>" not in dataset._repr_html_()


# Results -----------------------------------------------------------------------------------------


def test_an_evaluation(evaluation):
    assert rows_of(evaluation) == [
        ["", "mean", "±"],
        ["ndcg@10", "0.2500", "0.2829"],
        [HOSTILE, "0.7500", "0.0000"],
        ["", "users", "ndcg@10", HOSTILE],
        ["all", "4", "0.2500", "0.7500"],
        [HOSTILE, "1", "0.0000", "0.7500"],
        ["30", "3", "0.1667", "0.7500"],
        ["all", "2", "0.0000", "0.7500"],
    ]
    assert "<p>means over 4 users" in evaluation._repr_html_()


def test_a_comparison(evaluation):
    comparison = Comparison(
        {HOSTILE: evaluation, "b": evaluation}, measures={"b": {HOSTILE: 0.5}}, n_resamples=10
    )
    rows = rows_of(comparison)
    assert rows[0] == ["", "ndcg@10 ", f"{HOSTILE} ", HOSTILE]
    assert rows[1] == [HOSTILE, "0.2500 ", "0.7500 ", "-"]
    assert rows[3] == ["  difference", "+0.0000 ", "+0.0000 ", ""]
    assert [HOSTILE, HOSTILE, "1", "0.0000 ", "0.7500 "] in rows
    assert "white-space: pre" in comparison._repr_html_(), "the labels below a model are set in"


def test_an_explanation():
    dataset = Dataset()
    dataset.fit([HOSTILE, "bob"], ["tea"])
    model = model_with([[1, 2], [0, 0]], [[3, 0]], [0.25, -4], [0.5])
    why = model.explain(0, 0, dataset=dataset)
    assert rows_of(why) == [
        ["contribution", "value"],
        [f"{HOSTILE} × tea", "+3.0000"],
        ["item bias of tea", "+0.5000"],
        ["the same for every item:", ""],
        [f"user bias of {HOSTILE}", "+0.2500"],
        ["= score", "+3.7500"],
    ]


def test_standard_errors(evaluation):
    expected = 0.5 * np.sqrt(1 / 3) / 2  # of 0, 0, 1/2 and 1/2
    assert evaluation.standard_errors == pytest.approx({"ndcg@10": expected, HOSTILE: 0})
    assert np.isnan(list(evaluation.groups[HOSTILE].standard_errors.values())).all()


# Tables ------------------------------------------------------------------------------------------


def columns_of(table, kind) -> dict[str, list[object]]:
    """Of a table, which is checked to be of that kind; None and NaN are None."""
    assert type(table).__module__.split(".")[0] == kind
    if kind == "pandas":
        columns = {name: table[name].tolist() for name in table}
    elif kind == "polars":
        columns = table.to_dict(as_series=False)
    else:
        columns = table.to_pydict()
    return {
        name: [None if value != value or value is None else value for value in values]
        for name, values in columns.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_table_of_an_evaluation(evaluation, kind):
    pytest.importorskip(kind)
    columns = columns_of(evaluation.to_frame(kind), kind)
    assert list(columns) == ["group", "users", "metric", "mean", "standard_error"]
    assert columns["group"] == ["all"] * 2 + [HOSTILE] * 2 + ["30"] * 2 + ["all"] * 2
    assert columns["users"] == [4, 4, 1, 1, 3, 3, 2, 2]
    assert columns["metric"] == ["ndcg@10", HOSTILE] * 4
    assert columns["mean"][:4] == [0.25, 0.75, 0.0, 0.75]
    errors = list(evaluation.standard_errors.values())
    assert columns["standard_error"][:4] == [*errors, None, None]


@pytest.mark.parametrize("kind", KINDS)
def test_table_of_a_comparison(kind):
    pytest.importorskip(kind)
    plain = np.array([0.0, 0.5, 0.5, 0.0])
    own = np.array([0, 1])
    pair = {
        name: Evaluation(np.arange(4), {"x": of}, {1: Evaluation(own, {"x": of[own]})})
        for name, of in (("a", plain), ("b", plain + 0.25))
    }
    columns = columns_of(Comparison(pair, measures={"b": {"coverage": 1}}).to_frame(kind), kind)
    assert columns == {
        "group": ["all", "all", "all", "1", "1"],
        "model": ["a", "b", "b", "a", "b"],
        "users": [4, 4, 4, 2, 2],
        "metric": ["x", "x", "coverage", "x", "x"],
        "mean": [0.25, 0.5, 1.0, 0.25, 0.5],
        "difference": [None, 0.25, None, None, 0.25],
        "low": [None, 0.25, None, None, 0.25],
        "high": [None, 0.25, None, None, 0.25],
    }


@pytest.mark.parametrize("kind", KINDS)
def test_table_of_an_explanation(kind):
    pytest.importorskip(kind)
    dataset = Dataset()
    dataset.fit([7, "bob"], [("tea", 1)])  # names of several types
    model = model_with([[1, 2], [0, 0]], [[3, 0]], [0.25, -4], [0.5])
    columns = columns_of(model.explain(0, 0, dataset=dataset).to_frame(kind), kind)
    assert columns == {
        "value": [3.0, 0.5, 0.25],
        "kind": ["pair", "item bias", "user bias"],
        "user_feature": ["7", None, "7"],
        "item_feature": ["('tea', 1)", "('tea', 1)", None],
        "same_for_every_item": [False, False, True],
    }
    nothing = {"user_features": sp.csr_matrix((1, 2)), "item_features": sp.csr_matrix((1, 1))}
    empty = columns_of(model.explain(0, 0, **nothing).to_frame(kind), kind)
    assert list(empty) == list(columns) and not any(empty.values())


@pytest.mark.parametrize("n", range(len(KINDS)))
def test_the_first_library_that_is_installed(evaluation, monkeypatch, n):
    pytest.importorskip(KINDS[n])
    for name in KINDS[:n]:
        monkeypatch.setitem(sys.modules, name, None)
    assert type(evaluation.to_frame()).__module__.split(".")[0] == KINDS[n]


def test_refused_kinds(evaluation, monkeypatch):
    for kind in ("excel", "Pandas", 1):
        with pytest.raises(ValueError, match="kind must be one of 'pandas', 'polars', 'pyarrow'"):
            evaluation.to_frame(kind)
    for name in KINDS:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r'pandas, polars or pyarrow.*"lightfm-clone\[tables\]"'):
        evaluation.to_frame()
    with pytest.raises(ImportError, match="needs polars, for kind='polars'.* pip install polars"):
        evaluation.to_frame("polars")
    with pytest.raises(ImportError, match=r'pip install "lightfm-clone\[tables\]"'):
        evaluation.to_frame("pyarrow")
