"""Dataset, against a naive twin that loops over everything in Python."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections import Counter, namedtuple
from decimal import Decimal

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from lightfm_clone.data import Dataset, numbering
from lightfm_clone.data import interactions as interactions_module

BLOCK = numbering.BLOCK

# What numbering warns of is what it does all the same; test_data_inputs.py looks at the warnings.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class NaiveDataset:
    """The law of `Dataset` in its plainest words."""

    def __init__(self, user_identity_features=True, item_identity_features=True):
        self.identity = {"user": user_identity_features, "item": item_identity_features}
        self.forget()

    def forget(self):
        self.ids = {"user": {}, "item": {}}
        self.features = {"user": {}, "item": {}}

    def fit_partial(self, users=(), items=(), user_features=(), item_features=()):
        for side, ids, names in (("user", users, user_features), ("item", items, item_features)):
            for value in ids:
                self.ids[side].setdefault(value, len(self.ids[side]))
                if self.identity[side]:
                    self.features[side].setdefault(value, len(self.features[side]))
            for name in names:
                self.features[side].setdefault(name, len(self.features[side]))

    def fit(self, *args):
        self.forget()
        self.fit_partial(*args)

    def mapping(self):
        return self.ids["user"], self.features["user"], self.ids["item"], self.features["item"]

    def build_features(self, side, rows, normalize):
        """Dense values and the mask of stored entries, or the ids without any."""
        ids, features = self.ids[side], self.features[side]
        values = np.zeros((len(ids), len(features)))
        stored = np.zeros(values.shape, dtype=bool)
        entries = [(value, value, 1.0) for value in ids if self.identity[side]]
        for value, bag in rows:
            for name in bag:
                entries.append((value, name, bag[name] if isinstance(bag, dict) else 1.0))
        for value, name, weight in entries:
            values[ids[value], features[name]] += weight
            stored[ids[value], features[name]] = True
        if normalize:
            bare = [value for value, row in ids.items() if not stored[row].any()]
            if bare:
                return bare
            for row in values:
                norm = np.abs(row).sum()
                row /= norm if norm else 1
        return values, stored


ids_of_any_kind = st.one_of(
    st.integers(-3, 6),
    st.sampled_from([0.0, -0.0, 1.0, 2.5, True, False, None, 2**70, float("inf")]),
    st.text("ab", max_size=2),
    st.binary(max_size=1),
    st.tuples(st.integers(0, 2), st.text("a", max_size=1)),
    st.frozensets(st.integers(0, 2), max_size=2),
)
id_lists = st.lists(ids_of_any_kind, max_size=12)


def ordered(mappings):
    return [list(mapping.items()) for mapping in mappings]


# Numbering


@settings(deadline=None)
@given(
    identity=st.tuples(st.booleans(), st.booleans()),
    fits=st.lists(
        st.tuples(st.booleans(), id_lists, id_lists, id_lists, id_lists), min_size=1, max_size=4
    ),
)
def test_numbering_law(identity, fits):
    dataset, naive = Dataset(*identity), NaiveDataset(*identity)
    for afresh, *arguments in fits:
        for thing in (dataset, naive):
            method = thing.fit if afresh else thing.fit_partial
            # One-shot iterators, to see that nothing is read twice.
            assert method(*map(iter, arguments)) is None
        assert ordered(dataset.mapping()) == ordered(naive.mapping())


@settings(deadline=None)
@given(
    npst.arrays(
        dtype=st.sampled_from(
            ["int8", "uint8", "int16", "int32", "int64", "uint64", "float16", "float32"]
            + ["float64", "bool", "complex64", ">i4", "<U2", "S2", "object"]
        ),
        shape=st.integers(0, 40),
        elements=None,
        fill=st.nothing(),
    ).filter(lambda array: array.dtype != object)
    | npst.arrays("int64", st.integers(0, 40), elements=st.integers(-5, 5))
    | npst.arrays("float64", st.integers(0, 40), elements=st.integers(-5, 5).map(float))
    | npst.arrays("float64", st.integers(0, 9), elements=st.sampled_from([-(2.0**63), 2.0**63, 0]))
    | npst.arrays("uint64", st.integers(0, 9), elements=st.integers(2**64 - 3, 2**64 - 1))
    | npst.arrays("int64", st.integers(0, 9), elements=st.integers(-(2**63), 3 - 2**63))
    | npst.arrays("object", st.integers(0, 9), elements=ids_of_any_kind)
)
def test_arrays_are_numbered_and_looked_up_like_their_elements(values):
    values = values[[value == value for value in values]]  # NaN differs from itself
    naive = NaiveDataset()
    naive.fit_partial(list(values), [0])
    before = values.copy()
    values.flags.writeable = False
    dataset = Dataset()
    dataset.fit(values, np.array([0]))
    np.testing.assert_array_equal(values, before)
    assert ordered(dataset.mapping()) == ordered(naive.mapping())
    if values.dtype != object:
        assert not any(isinstance(key, np.generic) for key in dataset.mapping()[0])

    if len(values):
        rows = np.zeros((len(values), 2), dtype=values.dtype)
        if values.dtype.kind in "US":
            dataset.fit_partial(items=rows[:1, 1])
        rows[:, 0] = values
        interactions, _ = dataset.build_interactions(rows)
        np.testing.assert_array_equal(interactions.row, [naive.ids["user"][v] for v in values])


@pytest.mark.parametrize("spread", [1, 3, 1000, 10**12])
@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_long_arrays(spread, dtype):
    """Dense ids go through tables, sparse ones through the dictionary; the law is one."""
    rng = np.random.default_rng(spread)
    users = (rng.integers(-50, 5 * BLOCK, 3 * BLOCK) * spread).astype(dtype)
    items = (rng.integers(0, 40, 3 * BLOCK) * spread).astype(dtype)
    naive, dataset = NaiveDataset(), Dataset()
    naive.fit(users.tolist(), items.tolist())
    dataset.fit(users, items)
    assert ordered(dataset.mapping()) == ordered(naive.mapping())
    interactions, weights = dataset.build_interactions(np.stack([users, items], axis=1))
    for matrix in (interactions, weights):
        np.testing.assert_array_equal(matrix.row, [naive.ids["user"][u] for u in users.tolist()])
        np.testing.assert_array_equal(matrix.col, [naive.ids["item"][i] for i in items.tolist()])


def test_dates_stay_dates():
    days = np.array(["2024-01-02", "2024-01-01", "2024-01-02"], dtype="datetime64[ns]")
    dataset = Dataset()
    dataset.fit(days, ["x"])
    assert list(dataset.mapping()[0]) == [days[0], days[1]]
    interactions, _ = dataset.build_interactions((day, "x") for day in days)
    assert interactions.row.tolist() == [0, 1, 0]


def test_ids_added_later_come_after_the_named_features():
    dataset = Dataset()
    dataset.fit(["ann"], ["tea"], user_features=["old", "ann"], item_features=["hot"])
    dataset.fit_partial(users=["bob", "ann"], user_features=["new"])
    users, user_features, items, item_features = dataset.mapping()
    assert users == {"ann": 0, "bob": 1}
    assert user_features == {"ann": 0, "old": 1, "bob": 2, "new": 3}
    assert (items, item_features) == ({"tea": 0}, {"tea": 0, "hot": 1})
    assert dataset.build_user_features([("bob", ["new"])], normalize=False).toarray().tolist() == [
        [1, 0, 0, 0],
        [0, 0, 1, 1],
    ]


def test_mappings_are_live_and_a_fit_starts_afresh():
    dataset = Dataset()
    dataset.fit(["ann"], ["tea"])
    before = dataset.mapping()
    dataset.fit_partial(users=["bob"])
    assert before[0] is dataset._user_id_mapping
    assert before[1] is dataset._user_feature_mapping
    assert before[2] is dataset._item_id_mapping
    assert before[3] is dataset._item_feature_mapping
    assert before[0] == {"ann": 0, "bob": 1}
    dataset.fit(["cid"], ["rum"])
    assert dataset.mapping()[0] == {"cid": 0}
    assert before[0] == {"ann": 0, "bob": 1}


@pytest.mark.parametrize("identity", [True, False])
def test_shapes(identity):
    dataset = Dataset(user_identity_features=identity, item_identity_features=not identity)
    dataset.fit(
        range(4), list("abc"), user_features=["f", "g"], item_features=(name for name in "h")
    )
    assert dataset.interactions_shape() == (4, 3)
    assert dataset.user_features_shape() == (4, 6 if identity else 2)
    assert dataset.item_features_shape() == (3, 1 if identity else 4)
    assert dataset.model_dimensions() == ((6, 1) if identity else (2, 4))


def test_repr():
    dataset = Dataset(item_identity_features=False)
    assert repr(dataset) == "Dataset(0 users with 0 features, 0 items with 0 features)"
    dataset.fit(list("ab"), list("xyz"), user_features=["f"])
    assert repr(dataset) == "Dataset(2 users with 3 features, 3 items with 0 features)"


def test_arguments_by_position_and_name():
    def names(function):
        return list(inspect.signature(function).parameters.items())[1:]

    features = ["user_features", "item_features"]
    assert [name for name, _ in names(Dataset.fit)] == ["users", "items", *features]
    assert [name for name, _ in names(Dataset.fit_partial)] == ["users", "items", *features]
    assert all(parameter.default is None for _, parameter in names(Dataset.fit_partial))
    dataset = Dataset(True, False)
    dataset.fit(users=[1], items=[2], user_features=None, item_features=None)
    dataset.fit_partial(None, None, None, None)
    assert dataset.model_dimensions() == (1, 0)


def test_state_is_six_plain_attributes():
    """What old dumps hold is all there is, and all that is needed."""
    dataset = Dataset(user_identity_features=False)
    dataset.fit(np.array([3, 4]), ["x"], item_features=["f"])
    dataset.build_interactions([(3, "x")])
    dataset.build_item_features([("x", ["f"])])
    state = {
        "_user_identity_features": False,
        "_item_identity_features": True,
        "_user_id_mapping": {3: 0, 4: 1},
        "_user_feature_mapping": {},
        "_item_id_mapping": {"x": 0},
        "_item_feature_mapping": {"x": 0, "f": 1},
    }
    assert dataset.__dict__ == state
    assert all(type(value) in (bool, dict) for value in dataset.__dict__.values())
    loaded = Dataset.__new__(Dataset)
    loaded.__dict__.update(copy.deepcopy(state))
    for twin in (loaded, pickle.loads(pickle.dumps(dataset)), copy.deepcopy(dataset)):
        twin.fit_partial(items=["y"])
        assert twin.mapping()[3] == {"x": 0, "f": 1, "y": 2}
        assert twin.build_interactions([(4, "y")])[0].toarray().tolist() == [[0, 0], [0, 1]]
    assert dataset.__dict__ == state


def test_numbers_count_not_the_order_in_a_loaded_dictionary():
    dataset = Dataset()
    dataset.fit(["a", "b"], ["x"])
    dataset._user_id_mapping = {"b": 1, "a": 0}
    assert dataset.build_user_features([("a", ["b"])], normalize=False).toarray().tolist() == [
        [1, 1],
        [0, 1],
    ]


@pytest.mark.parametrize("argument", ["users", "items", "user_features", "item_features"])
@pytest.mark.parametrize("method", ["fit", "fit_partial"])
@pytest.mark.parametrize(
    "bad",
    [
        lambda: 5,
        lambda: ["fine", []],
        lambda: np.zeros((2, 2)),
        lambda: np.array(3),
        lambda: ({} for _ in "a"),
    ],
    ids=["number", "unhashable", "matrix", "scalar", "generator"],
)
def test_a_refused_fit_changes_nothing(argument, method, bad):
    dataset = Dataset()
    dataset.fit(list("ab"), list("xy"), user_features=["f"])
    before = copy.deepcopy(dataset.__dict__)
    arguments = {"users": ["new"], "items": ["new"]} | {argument: bad()}
    with pytest.raises(TypeError, match=f"^{argument} must be .*iterable of hashable values"):
        getattr(dataset, method)(**arguments)
    assert dataset.__dict__ == before


def test_errors_of_a_callers_generator_come_through():
    def broken():
        yield "new"
        raise OSError("the file ended")

    dataset = Dataset()
    dataset.fit(list("ab"), list("xy"))
    with pytest.raises(OSError, match="the file ended"):
        dataset.fit_partial(items=["new"], users=broken())
    assert dataset.interactions_shape() == (2, 2)
    with pytest.raises(OSError, match="the file ended"):
        dataset.build_interactions(row for row in broken())


@pytest.mark.parametrize(
    "call",
    [
        lambda dataset: dataset.interactions_shape(),
        lambda dataset: dataset.user_features_shape(),
        lambda dataset: dataset.item_features_shape(),
        lambda dataset: dataset.model_dimensions(),
        lambda dataset: dataset.build_interactions([("ann", "tea")]),
        lambda dataset: dataset.build_interactions([]),
        lambda dataset: dataset.build_user_features([]),
        lambda dataset: dataset.build_item_features([]),
    ],
)
def test_before_fit(call):
    with pytest.raises(ValueError, match=r"no users and no items yet: call fit\(users, items\)"):
        call(Dataset())


# Interactions


@st.composite
def ids_and_rows(draw):
    users = draw(st.lists(ids_of_any_kind, min_size=1, max_size=6))
    items = draw(st.lists(ids_of_any_kind, min_size=1, max_size=6))
    pair = st.tuples(st.sampled_from(users), st.sampled_from(items))
    weight = st.floats(width=32) | st.integers(-5, 5) | st.booleans()
    triple = st.tuples(st.sampled_from(users), st.sampled_from(items), weight)
    kinds = draw(st.sampled_from([pair, triple, st.one_of(pair, triple)]))
    return users, items, draw(st.lists(kinds, max_size=15))


@settings(deadline=None)
@given(ids_and_rows())
def test_interactions_law(case):
    users, items, rows = case
    dataset, naive = Dataset(), NaiveDataset()
    dataset.fit(users, items)
    naive.fit(users, items)
    for data in (rows, iter(rows), tuple(map(list, rows))):
        interactions, weights = dataset.build_interactions(data)
        expected_row = [naive.ids["user"][row[0]] for row in rows]
        expected_col = [naive.ids["item"][row[1]] for row in rows]
        for matrix in (interactions, weights):
            assert isinstance(matrix, sp.coo_matrix)
            assert matrix.shape == dataset.interactions_shape()
            assert matrix.row.dtype == matrix.col.dtype == np.int32
            assert matrix.row.tolist() == expected_row
            assert matrix.col.tolist() == expected_col
        assert interactions.dtype == np.int32
        assert weights.dtype == np.float32
        assert interactions.data.tolist() == [1] * len(rows)
        expected = np.array([row[2] if len(row) == 3 else 1 for row in rows], dtype=np.float32)
        np.testing.assert_array_equal(weights.data, expected)


def test_the_two_matrices_share_nothing():
    dataset = Dataset()
    dataset.fit(range(3), range(3))
    array = np.array([[0, 1], [2, 2]])
    for data in ([(0, 1), (2, 2)], array):
        interactions, weights = dataset.build_interactions(data)
        for field in ("row", "col", "data"):
            assert not np.shares_memory(getattr(interactions, field), getattr(weights, field))
            assert not np.shares_memory(getattr(weights, field), array)
        interactions.row[:] = 1
        assert weights.row.tolist() == [0, 2]


def test_an_array_of_floats_matches_integer_ids():
    dataset = Dataset()
    dataset.fit([10, 20, 30], (7, 8))
    data = np.array([[20, 8, 3.5], [30, 7, 1.0], [20, 8, 0.5]])
    for same in (data, data.astype(np.float32), np.asfortranarray(data), data.astype(object)):
        interactions, weights = dataset.build_interactions(same)
        assert interactions.row.tolist() == [1, 2, 1]
        assert interactions.col.tolist() == [1, 0, 1]
        assert weights.data.tolist() == [3.5, 1.0, 0.5]
    dataset.fit(data[:, 0], data[:, 1])
    assert dataset.mapping()[0] == {20: 0, 30: 1}
    assert dataset.build_interactions([(30, 8)])[0].row.tolist() == [1]


def test_arrays_of_any_shape_that_is_rows():
    dataset = Dataset()
    dataset.fit(["a", "b"], ["x"])
    for data in (
        np.array([["b", "x"]]),
        np.array([["b", "x"]], dtype=object),
        np.array([("b", "x", 2.0)], dtype=[("user", "U1"), ("item", "U1"), ("weight", float)]),
        np.array([["b", "x", 2.0]], dtype=object),
    ):
        assert dataset.build_interactions(data)[0].row.tolist() == [1]
    for data in (np.empty((0, 2)), np.empty((0, 3)), np.empty(0), [], iter(())):
        interactions, weights = dataset.build_interactions(data)
        assert interactions.shape == weights.shape == (2, 1)
        assert interactions.nnz == weights.nnz == 0
        assert (interactions.dtype, weights.dtype) == (np.int32, np.float32)


def test_rows_longer_than_a_block(monkeypatch):
    monkeypatch.setattr(interactions_module, "BLOCK", BLOCK)
    dataset = Dataset()
    dataset.fit(range(100), range(100))
    n_rows = 2 * BLOCK + 5
    rows = [(k % 100, k % 7) for k in range(n_rows)]
    rows[BLOCK + 1] = (3, 4, 2.5)  # both kinds of rows in one block
    for data in (rows, (row for row in rows)):
        interactions, weights = dataset.build_interactions(data)
        assert interactions.row.tolist() == [row[0] for row in rows]
        assert weights.col.tolist() == [row[1] for row in rows]
        assert weights.data.sum() == n_rows + 1.5
    rows[2 * BLOCK + 1] = (1,)
    with pytest.raises(ValueError, match=rf"position {2 * BLOCK + 1} is \(1,\) \(length: 1\)"):
        dataset.build_interactions(rows)


def test_weights_may_be_any_real_number():
    dataset = Dataset()
    dataset.fit(["a"], ["x"])
    numbers = [2, 2.5, True, np.float32(0.1), np.int8(-3), np.True_, Decimal("1.5"), np.nan]
    _, weights = dataset.build_interactions([("a", "x", number) for number in numbers])
    np.testing.assert_array_equal(weights.data, np.array([float(n) for n in numbers], "f4"))


@pytest.mark.parametrize("weight", ["2", None, 1j, "five", [], Decimal])
def test_a_weight_that_is_no_number(weight):
    dataset = Dataset()
    dataset.fit(["a"], ["x"])
    array = np.empty((1, 3), dtype=object)
    array[0] = ["a", "x", weight]
    for data in ([("a", "x", 1.0), ("a", "x", weight)], array):
        with pytest.raises(TypeError, match="a weight in data must be a number, got .* of type"):
            dataset.build_interactions(data)


def test_weights_of_a_text_array_are_refused():
    dataset = Dataset()
    dataset.fit(["a"], ["x"])
    with pytest.raises(TypeError, match="a weight in data must be a number, got '2.0'"):
        dataset.build_interactions(np.array([["a", "x", "2.0"]]))


@pytest.mark.parametrize(
    ("data", "remedy"),
    [
        ([("a", "x"), ("zoe", "x")], r"user id 'zoe'.*fit_partial\(users=\['zoe'\]\)"),
        ([("a", "x"), ("a", "gin", 2.0)], r"item id 'gin'.*fit_partial\(items=\['gin'\]\)"),
        (np.array([["a", "gin"]]), r"item id 'gin'.*fit_partial\(items=\['gin'\]\)"),
        (np.array([[5, 6]]), r"user id 5.*fit_partial\(users=\[5\]\)"),
        (np.array([[0.5, 6]]), r"user id 0.5.*fit_partial\(users=\[0.5\]\)"),
    ],
)
def test_unknown_ids_in_interactions(data, remedy):
    dataset = Dataset()
    dataset.fit(["a"], ["x"])
    with pytest.raises(ValueError, match=remedy):
        dataset.build_interactions(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([("a", "x"), ("a",)], r"position 1 is \('a',\) \(length: 1\)"),
        ([("a", "x", 1.0, 2.0)], r"position 0 .*\(length: 4\)"),
        ([("a", "x", 1.0), ("a", "x", 1.0, 2.0)], r"position 1 .*\(length: 4\)"),
        ([("a", "x"), 7], r"position 1 is 7 \(length: none\)"),
        (np.zeros((2, 4)), "got 4 columns"),
        (np.zeros(3), r"position 0 .*\(length: none\)"),
        ("axe", r"position 0 is 'a' \(length: 1\)"),
    ],
)
def test_rows_of_the_wrong_length(data, message):
    dataset = Dataset()
    dataset.fit(["a"], ["x"])
    with pytest.raises(ValueError, match=r"\(user id, item id\) or \(user id, item id, weight\).*"):
        dataset.build_interactions(data)
    with pytest.raises(ValueError, match=message):
        dataset.build_interactions(data)


def test_things_that_are_no_rows_at_all():
    dataset = Dataset()
    dataset.fit(["a"], ["x"])
    with pytest.raises(TypeError, match="data must be an iterable of tuples, got int"):
        dataset.build_interactions(5)
    with pytest.raises(TypeError, match="a user id in data is not hashable"):
        dataset.build_interactions([(["a"], "x")])


def test_real_ratings(ml_100k):
    """Arrays, frames' floats, lists and strings tell the same story."""
    user, item, rating = (ml_100k[f"all_{name}"] for name in ("user", "item", "rating"))
    dataset, by_name = Dataset(), Dataset()
    dataset.fit(user, item)
    assert dataset.interactions_shape() == (943, 1682)
    names = [f"user {u}" for u in user.tolist()], [f"item {i}" for i in item.tolist()]
    by_name.fit(*names)
    first_seen = list(dict.fromkeys(user.tolist()))
    assert list(dataset.mapping()[0]) == first_seen
    assert list(by_name.mapping()[0]) == [f"user {u}" for u in first_seen]
    built = [
        dataset.build_interactions(np.stack([user, item, rating], axis=1).astype(float)),
        dataset.build_interactions(zip(user.tolist(), item.tolist(), rating.tolist(), strict=True)),
        by_name.build_interactions(zip(*names, rating.tolist(), strict=True)),
    ]
    for interactions, weights in built:
        np.testing.assert_array_equal(interactions.row, built[0][0].row)
        np.testing.assert_array_equal(weights.col, built[0][0].col)
        np.testing.assert_array_equal(weights.data, rating)
        assert interactions.nnz == 100_000


# pandas


@pytest.fixture
def frame():
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(
        {
            "user": ["bob", "ann", "bob"],
            "item": [7, 3, 7],
            "weight": [2.0, 1.0, 0.5],
            "when": pandas.to_datetime(["2024-02-01", "2024-01-01", "2024-02-01"]),
        }
    )


def test_columns_as_ids(frame):
    import pandas

    users = {"bob": 0, "ann": 1}
    for column in (
        frame["user"],
        frame["user"].unique(),
        frame["user"].values,
        frame["user"].astype("category"),
        frame["user"].astype(object),
        pandas.Index(frame["user"]),
    ):
        dataset = Dataset()
        dataset.fit(column, frame["item"])
        assert dataset.mapping()[0] == users
        assert dataset.mapping()[2] == {7: 0, 3: 1}
        assert not any(isinstance(key, np.generic) for key in dataset.mapping()[2])
    for column in (
        frame["item"].astype("Int64"),
        frame["item"].astype(float),
        frame["item"].astype("category"),
        frame["item"].values,
        frame.set_index("item").index,
    ):
        dataset = Dataset()
        dataset.fit(frame["user"], column)
        assert dataset.mapping()[2] == {7: 0, 3: 1}
    dataset.fit(frame["when"], frame["item"])
    assert list(dataset.mapping()[0]) == [
        pandas.Timestamp("2024-02-01"),
        pandas.Timestamp(2024, 1, 1),
    ]


def test_frames_as_interactions(frame):
    dataset = Dataset()
    dataset.fit(frame["user"], frame["item"])
    columns = ["user", "item", "weight"]
    for data in (
        frame[columns],
        frame[columns].astype({"user": "category", "item": "Int64", "weight": "Float32"}),
        frame[columns].set_index("weight", drop=False),
        frame[columns].values,
        frame.iloc[:, 0:3].values,
        frame[columns].itertuples(index=False),
        ((row.user, row.item, row.weight) for row in frame.itertuples()),
        (row for _, row in frame[columns].iterrows()),
        zip(frame["user"], frame["item"], frame["weight"], strict=True),
        frame[columns].to_records(index=False),
    ):
        interactions, weights = dataset.build_interactions(data)
        assert interactions.row.tolist() == [0, 1, 0]
        assert interactions.col.tolist() == [0, 1, 0]
        assert weights.data.tolist() == [2.0, 1.0, 0.5]
    for data in (frame[["user", "item"]], frame[["user", "item"]].values):
        assert dataset.build_interactions(data)[1].data.tolist() == [1, 1, 1]
    assert dataset.build_interactions(frame[columns].iloc[:0])[0].shape == (2, 2)


def test_frames_in_the_wrong_place(frame):
    dataset = Dataset()
    with pytest.raises(TypeError, match="users must be .*DataFrame.*pass one column"):
        dataset.fit(frame[["user"]], frame["item"])
    dataset.fit(frame["user"], frame["item"])
    with pytest.raises(ValueError, match="got 4 columns"):
        dataset.build_interactions(frame)
    with pytest.raises(TypeError, match="a weight in data must be a number"):
        dataset.build_interactions(frame[["user", "item", "user"]])


# Features


@st.composite
def features_case(draw):
    ids = draw(st.lists(ids_of_any_kind, min_size=1, max_size=5))
    names = draw(st.lists(ids_of_any_kind, min_size=1, max_size=5))
    later = draw(st.lists(ids_of_any_kind, max_size=2))
    identity = draw(st.booleans())
    name = st.sampled_from(names + ids if identity else names)
    weight = st.sampled_from([0, 1, -1, 2.5, 0.125, -4.0])
    bag = st.lists(name, max_size=4) | st.dictionaries(name, weight, max_size=4)
    rows = draw(st.lists(st.tuples(st.sampled_from(ids + later), bag), max_size=8))
    return ids, names, later, identity, rows


def check_features(build, expected, normalize):
    if isinstance(expected, list):
        with pytest.raises(ValueError, match="cannot be normalised") as error:
            build()
        assert any(repr(value) in str(error.value) for value in expected)
        assert f"{len(expected)} of" in str(error.value)
        return
    values, stored = expected
    matrix = build()
    assert isinstance(matrix, sp.csr_matrix)
    assert matrix.dtype == np.float32
    assert matrix.has_sorted_indices
    np.testing.assert_allclose(matrix.toarray(), values, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(matrix.indices, np.nonzero(stored)[1])
    np.testing.assert_array_equal(np.diff(matrix.indptr), stored.sum(axis=1))


@settings(deadline=None)
@given(case=features_case(), normalize=st.booleans(), side=st.sampled_from(["user", "item"]))
def test_features_law(case, normalize, side):
    ids, names, later, identity, rows = case
    naive, dataset = NaiveDataset(identity, identity), Dataset(identity, identity)
    for thing in (naive, dataset):
        thing.fit(ids, ids, names, names)
        thing.fit_partial(later, later)
    build = getattr(dataset, f"build_{side}_features")
    expected = naive.build_features(side, rows, normalize)
    containers = [lambda bag: bag, lambda bag: bag if isinstance(bag, dict) else iter(bag)]
    for contain in containers:
        data = ((value, contain(bag)) for value, bag in rows)
        check_features(lambda data=data: build(data, normalize=normalize), expected, normalize)


def test_names_in_any_container():
    dataset = Dataset(item_identity_features=False)
    dataset.fit(["u"], ["x"], item_features=list("fgh"))
    pair = namedtuple("pair", "item features")
    for names in (["f", "g"], ("f", "g"), {"f", "g"}, np.array(["f", "g"]), iter("fg")):
        matrix = dataset.build_item_features([pair("x", names)])
        assert matrix.toarray().tolist() == [[0.5, 0.5, 0]]
    for weights in (Counter(f=3, g=1), {"f": np.float64(6), "g": True + 1}):
        matrix = dataset.build_item_features([("x", weights)])
        assert matrix.toarray().tolist() == [[0.75, 0.25, 0]]


def test_entries_of_an_id_add_up_over_rows():
    dataset = Dataset()
    dataset.fit(["u"], ["x"], item_features=list("fg"))
    rows = [("x", ["f", "f"]), ("x", {"g": 4}), ("x", ["f", "x"])]
    assert dataset.build_item_features(rows, normalize=False).toarray().tolist() == [[2, 3, 4]]
    assert dataset.build_item_features(iter(rows)).toarray().tolist() == [
        pytest.approx([2 / 9, 3 / 9, 4 / 9])
    ]


def test_negative_weights_and_rows_that_cancel():
    dataset = Dataset(user_identity_features=False)
    dataset.fit(["a", "b", "c"], ["x"], user_features=list("fg"))
    rows = [("a", {"f": -1, "g": 3}), ("b", ["f"]), ("b", {"f": -1}), ("c", {"g": 0.0})]
    matrix = dataset.build_user_features(rows)
    assert matrix.toarray().tolist() == [[-0.25, 0.75], [0, 0], [0, 0]]
    assert matrix.nnz == 4  # zeros that were put in stay stored


def test_no_rows():
    dataset = Dataset(user_identity_features=False)
    dataset.fit(["a", "b"], ["x", "y"], user_features=["f"])
    assert dataset.build_item_features([]).toarray().tolist() == [[1, 0], [0, 1]]
    assert dataset.build_user_features(iter(()), normalize=False).nnz == 0
    with pytest.raises(ValueError, match="2 of 2 users have none, among them 'a'"):
        dataset.build_user_features([])
    nobody = Dataset()
    nobody.fit([], ["x"])
    assert nobody.build_user_features([]).shape == (0, 0)


def test_many_rows_of_features(monkeypatch):
    """More rows than a block holds, some of them with weights."""
    monkeypatch.setattr(numbering, "BLOCK", 64)
    rng = np.random.default_rng(5)
    dataset, naive = Dataset(), NaiveDataset()
    items = [f"item {k}" for k in range(200)]
    names = [f"name {k}" for k in range(5)]
    rows = [(item, list(rng.choice(names, 3))) for item in items]
    rows[70] = (items[3], {"name 2": 0.5, items[1]: 2})
    for thing in (dataset, naive):
        thing.fit(["u"], items, [], names)
    expected = naive.build_features("item", rows, True)
    check_features(lambda: dataset.build_item_features(rows), expected, True)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([("zoe", ["f"])], ValueError, r"user id 'zoe'.*fit_partial\(users=\['zoe'\]\)"),
        ([("a", ["h"])], ValueError, r"user feature 'h'.*fit_partial\(user_features=\['h'\]\)"),
        ([("a", {"h": 1})], ValueError, r"user feature 'h'.*fit_partial\(user_features=\['h'\]\)"),
        ([("a", ["f"]), ("b",)], ValueError, r"\(user id, \[feature names\]\).*position 1"),
        ([("a", "f", "g")], ValueError, r"position 0 .*\(length: 3\)"),
        ([5], ValueError, r"position 0 is 5 \(length: none\)"),
        ([("a", None)], TypeError, "features of 'a' must be a list of names or a dict.*None"),
        ([("a", 5)], TypeError, "features of 'a' must be a list of names or a dict.*5"),
        ([("a", {"f": "2"})], TypeError, "weight in data must be a number, got '2' of type str"),
        ([("a", {"f": None})], TypeError, "weight in data must be a number, got None"),
        ([("a", [["f"]])], TypeError, "a user feature in data is not hashable"),
        ([(["a"], ["f"])], TypeError, "a user id in data is not hashable"),
        ({"a": ["f"]}, TypeError, r"got a mapping; pass its .items\(\)"),
        (None, TypeError, "data must be an iterable of tuples, got NoneType"),
        ([("b", {"f": float("nan")})], ValueError, "NaN or infinity.* user 'b'"),
        ([("b", {"f": float("-inf")})], ValueError, "NaN or infinity.* user 'b'"),
    ],
)
def test_refused_features(rows, error, message):
    dataset = Dataset()
    dataset.fit(["a", "b"], ["x"], user_features=list("fg"))
    with pytest.raises(error, match=message):
        dataset.build_user_features(rows)


def test_refused_item_features_speak_of_items():
    dataset = Dataset(item_identity_features=False)
    dataset.fit(["a"], ["x", "y"], item_features=["f"])
    with pytest.raises(ValueError, match=r"item id 'gin'.*fit_partial\(items=\['gin'\]\)"):
        dataset.build_item_features([("gin", ["f"])])
    with pytest.raises(ValueError, match="1 of 2 items have none, among them 'y'.*item_identity"):
        dataset.build_item_features([("x", ["f"])])


def test_without_normalisation_weights_pass_as_they_are():
    dataset = Dataset()
    dataset.fit(["a"], ["x"], user_features=["f"])
    matrix = dataset.build_user_features([("a", {"f": np.nan})], normalize=False)
    np.testing.assert_array_equal(matrix.toarray(), [[1, np.nan]])


def test_the_callers_rows_stay_as_they_were():
    dataset = Dataset()
    dataset.fit(["a"], ["x"], user_features=list("fg"))
    rows = [("a", ["f", "g"]), ("a", {"g": 2.0})]
    before = copy.deepcopy(rows)
    dataset.build_user_features(rows)
    assert rows == before
