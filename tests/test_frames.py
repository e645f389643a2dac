"""`Dataset.from_frame` on tables of three libraries, against a naive twin; ids in bulk."""

from __future__ import annotations

import datetime as dt
import doctest
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightfm_clone import LightFM
from lightfm_clone.cross_validation import time_split
from lightfm_clone.data import Dataset
from lightfm_clone.data import columns as columns_of
from lightfm_clone.data import dataset as module

LIBRARIES = ["pandas", "pandas-arrow", "polars", "pyarrow", "pyarrow-chunks"]


def table(library, columns, types=None):
    """A table of named lists; ``types`` are names of pyarrow types where it matters."""
    types = types or {}
    if library == "pandas":
        pandas = pytest.importorskip("pandas")
        return pandas.DataFrame({key: pandas.Series(list(c)) for key, c in columns.items()})
    if library == "polars":
        polars = pytest.importorskip("polars")
        names = {"int64": polars.Int64, "float64": polars.Float64, "string": polars.String}
        names |= {"bool": polars.Boolean, "list<string>": polars.List(polars.String)}
        return polars.DataFrame(
            [polars.Series(key, c, dtype=names.get(types.get(key))) for key, c in columns.items()]
        )
    pa = pytest.importorskip("pyarrow")
    names = {"list<string>": pa.list_(pa.string())}
    of = {key: names.get(name) or getattr(pa, name.rstrip("<>"))() for key, name in types.items()
          if name in names or hasattr(pa, name)}  # fmt: skip
    of |= {key: pa.bool_() for key, name in types.items() if name == "bool"}
    made = pa.table({key: pa.array(c, type=of.get(key)) for key, c in columns.items()})
    if library == "pandas-arrow":
        pandas = pytest.importorskip("pandas")
        return made.to_pandas(types_mapper=pandas.ArrowDtype)
    if library == "pyarrow-chunks":
        half = made.num_rows // 2
        return pa.concat_tables([made.slice(0, half), made.slice(half)])
    return made


@pytest.fixture(params=LIBRARIES)
def make(request):
    return lambda columns, types=None: table(request.param, columns, types)


SEEN = {
    "user": ["ann", "bob", "ann", "cid", "bob"],
    "item": [7, 3, 3, 9, 7],
    "stars": [5, 1, 4, 2, 3],
    "when": [50, 10, 40, 20, 30],
}
FILMS = {
    "item": [3, 5, 7, 9],
    "tags": [["war", "old"], [], None, ["old", "old"]],
    "genre": ["drama", None, "crime", "drama"],
    "subtitled": [True, False, None, True],
    "year": [1990.0, 2000.0, None, 2010.0],
}
ITEM_NAMES = [7, 3, 9, 5, "tags:war", "tags:old", "genre:drama", "genre:crime", "subtitled", "year"]
Z = 1.5**0.5  # the deviates of 1990, 2000 and 2010


def test_everything_at_once(make):
    made = Dataset.from_frame(
        make(SEEN),
        user="user",
        item="item",
        weight="stars",
        timestamp="when",
        item_features=make(FILMS),
        user_features=make({"user": ["dan", "ann"], "age": [20, 40]}),
    )
    dataset, interactions, weights, user_features, item_features, timestamps = made
    assert made._fields == (
        "dataset", "interactions", "weights", "user_features", "item_features", "timestamps",
    )  # fmt: skip
    assert isinstance(dataset, Dataset)
    users, user_names, items, item_names = map(list, dataset.mapping())
    assert users == ["ann", "bob", "cid", "dan"]
    assert user_names == [*users, "age"]
    assert items == [7, 3, 9, 5]
    assert item_names == ITEM_NAMES
    assert {type(value) for value in users + user_names} == {str}
    assert {type(value) for value in items} == {int}

    for matrix, dtype in ((interactions, np.int32), (weights, np.float32)):
        assert isinstance(matrix, sp.coo_matrix)
        assert (matrix.shape, matrix.dtype) == ((4, 4), dtype)
        assert matrix.row.tolist() == [0, 1, 0, 2, 1]
        assert matrix.col.tolist() == [0, 1, 1, 2, 0]
        assert matrix.row.dtype == matrix.col.dtype == np.int32
    assert interactions.data.tolist() == [1] * 5
    assert weights.data.tolist() == SEEN["stars"]
    assert not np.shares_memory(interactions.row, weights.row)
    assert timestamps.tolist() == SEEN["when"]
    assert timestamps.dtype.kind == "i"

    for matrix in (user_features, item_features):
        assert isinstance(matrix, sp.csr_matrix)
        assert matrix.dtype == np.float32
        assert matrix.has_sorted_indices
    np.testing.assert_allclose(
        user_features.toarray(),
        [[0.5, 0, 0, 0, 0.5], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0.5, -0.5]],
    )
    np.testing.assert_allclose(
        item_features.toarray(),
        np.array(
            [
                [1, 0, 0, 0, 0, 0, 0, 1, 0, 0],
                [0, 1, 0, 0, 1, 1, 1, 0, 1, -Z],
                [0, 0, 1, 0, 0, 2, 1, 0, 1, Z],
                [0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
            ]
        )
        / np.array([[2], [6], [6], [2]]),
        atol=1e-6,
    )


def test_the_result_trains_and_the_dataset_goes_on(make):
    made = Dataset.from_frame(
        make(SEEN), user="user", item="item", timestamp="when", item_features=make(FILMS)
    )
    dataset = made.dataset
    train, test = time_split(made.interactions, made.timestamps, 0.4)
    assert (train.nnz, test.nnz) == (3, 2)
    model = LightFM(random_state=0).fit(train, item_features=made.item_features)
    scores = model.predict(0, dataset.items_to_ids([5, 7]), item_features=made.item_features)
    assert np.isfinite(scores).all()

    interactions, _ = dataset.build_interactions([("bob", 5), ("ann", 7)])
    assert interactions.row.tolist() == [1, 0]
    assert interactions.col.tolist() == [3, 0]
    dataset.fit_partial(users=["eve", "ann"], items=[11], item_features=["genre:war"])
    assert dataset.users_to_ids(["eve"]).tolist() == [3]
    assert list(dataset.mapping()[3]) == [*ITEM_NAMES, 11, "genre:war"]
    built = dataset.build_item_features([(11, ["genre:war", "tags:old"])], normalize=False)
    assert built.toarray()[4].nonzero()[0].tolist() == [5, 10, 11]


def test_what_is_not_asked_for_is_none(make):
    made = Dataset.from_frame(make(SEEN), user="user", item="item")
    assert made[2:] == (None, None, None, None)
    assert made.interactions.nnz == 5
    bare = Dataset.from_frame(
        make(SEEN),
        user="user",
        item="item",
        user_identity_features=False,
        item_features=make(FILMS),
    )
    assert bare.user_features is None
    assert bare.dataset.model_dimensions() == (0, len(ITEM_NAMES))


def test_without_identity_features(make):
    arguments = {"user": "user", "item": "item", "item_identity_features": False}
    films = {**FILMS, "genre": ["drama", "war", "crime", "drama"]}
    made = Dataset.from_frame(make(SEEN), item_features=make(films), numeric=None, **arguments)
    assert list(made.dataset.mapping()[3])[:4] == [
        "tags:war", "tags:old", "genre:drama", "genre:war",
    ]  # fmt: skip
    np.testing.assert_allclose(
        made.item_features.toarray(),
        np.array(
            [
                [0, 0, 0, 0, 1, 0, 0],
                [0.2, 0.2, 0.2, 0, 0, 0.2, 398],
                [0, 0.4, 0.2, 0, 0, 0.2, 402],
                [0, 0, 0, 0.5, 0, 0, 1000],
            ]
        ),
        rtol=1e-6,
    )
    with pytest.raises(ValueError, match=r"1 of 4 items have none, among them 7.*item_identity_fe"):
        Dataset.from_frame(
            make(SEEN), item_features=make({"item": [3, 5, 9], "a": ["x"] * 3}), **arguments
        )
    made = Dataset.from_frame(
        make(SEEN),
        item_features=make({"item": [3, 5, 9], "a": ["x"] * 3}),
        normalize=False,
        **arguments,
    )
    assert made.item_features.toarray().tolist() == [[0], [1], [1], [1]]


# Against the twin


def naive_features(rows, columns, scaling):
    """For each row the (name, value) pairs; names in their order."""
    names, pairs = [], [[] for _ in rows]
    for key, kind in columns.items():
        values = [row[key] for row in rows]
        present = [value for value in values if value is not None]
        if kind == "number":
            low, high = min(present, default=0), max(present, default=0)
            mean = sum(present) / max(len(present), 1)
            deviation = (sum((v - mean) ** 2 for v in present) / max(len(present), 1)) ** 0.5
            new = [key]
            origin, unit = {
                "standard": (mean, deviation),
                "minmax": (low, high - low),
                None: (0, 1),
            }[scaling]
            if low == high and scaling is not None:
                origin, unit = low, 1
            entries = [[(key, (v - origin) / unit)] if v is not None else [] for v in values]
        elif kind == "boolean":
            new = [key]
            entries = [[(key, 1)] if v else [] for v in values]
        elif kind == "category":
            new = [f"{key}:{value}" for value in dict.fromkeys(present)]
            entries = [[(f"{key}:{v}", 1)] if v is not None else [] for v in values]
        else:
            new = [
                f"{key}:{name}" for name in dict.fromkeys(name for bag in present for name in bag)
            ]
            entries = [[(f"{key}:{name}", 1) for name in bag or ()] for bag in values]
        names += new
        for row_pairs, more in zip(pairs, entries, strict=True):
            row_pairs += more
    return names, pairs


KINDS = {"tags": "list", "genre": "category", "good": "boolean", "size": "number"}
TYPES = {"tags": "list<string>", "genre": "string", "good": "bool", "size": "float64"}
words = st.sampled_from(["a", "b", "ä b", "", "1"])


@st.composite
def catalogues(draw):
    ids = draw(st.sampled_from([st.integers(-3, 9), st.text("xyz", max_size=2)]))
    pairs = draw(st.lists(st.tuples(ids, ids), min_size=1, max_size=12))
    known = draw(st.lists(ids, unique=True, min_size=1, max_size=8))
    maybe = {
        "tags": st.lists(words, max_size=3),
        "genre": words,
        "good": st.booleans(),
        "size": st.integers(-5, 5).map(float),
    }
    rows = [
        {"item": value} | {key: draw(st.none() | what) for key, what in maybe.items()}
        for value in known
    ]
    return pairs, rows


@pytest.mark.parametrize("library", LIBRARIES)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    catalogue=catalogues(),
    identity=st.booleans(),
    normalize=st.booleans(),
    scaling=st.sampled_from(["standard", "minmax", None]),
)
def test_features_law(library, catalogue, identity, normalize, scaling):
    pairs, rows = catalogue
    id_type = "int64" if isinstance(pairs[0][0], int) else "string"
    names, entries = naive_features(rows, KINDS, scaling)
    naive = Dataset(item_identity_features=identity)
    users, items = zip(*pairs, strict=True)
    naive.fit(users, [*items, *(row["item"] for row in rows)], item_features=names)
    bags = [(row["item"], dict(row_pairs)) for row, row_pairs in zip(rows, entries, strict=True)]
    expected = naive.build_item_features([], normalize=False).toarray()
    counts = np.full(len(expected), float(identity))
    for (value, _), row_pairs in zip(bags, entries, strict=True):
        at = naive.items_to_ids([value])[0]
        counts[at] += len(row_pairs)
        for name, weight in row_pairs:
            expected[at, naive.mapping()[3][name]] += weight

    def from_frame():
        return Dataset.from_frame(
            table(
                library, {"user": users, "item": items}, dict.fromkeys(["user", "item"], id_type)
            ),
            user="user",
            item="item",
            item_features=table(
                library,
                {key: [row[key] for row in rows] for key in rows[0]},
                {"item": id_type} | TYPES,
            ),
            item_identity_features=identity,
            numeric=scaling,
            normalize=normalize,
        )

    if normalize and not counts.all():
        with pytest.raises(ValueError, match="cannot be normalised"):
            from_frame()
        return
    if normalize:
        expected /= counts[:, None]
    made = from_frame()
    if library != "pandas":
        assert [list(m) for m in made.dataset.mapping()] == [list(m) for m in naive.mapping()]
    else:  # a column without a single value has no type there, and makes no feature
        assert set(made.dataset.mapping()[3]) <= set(naive.mapping()[3])
        columns = [naive.mapping()[3][name] for name in made.dataset.mapping()[3]]
        assert not np.delete(expected, columns, axis=1).any()
        expected = expected[:, columns]
    np.testing.assert_allclose(made.item_features.toarray(), expected, rtol=1e-5, atol=1e-5)
    built, _ = naive.build_interactions(pairs)
    np.testing.assert_array_equal(made.interactions.row, built.row)
    np.testing.assert_array_equal(made.interactions.col, built.col)


# What columns may be made of


@pytest.mark.parametrize(
    ("numeric", "expected"),
    [
        ("standard", [-Z, 0, Z]),
        ("minmax", [0, 0.5, 1]),
        (None, [1, 2, 3]),
        ({"a": "minmax"}, [0, 0.5, 1]),
        ({"a": None}, [1, 2, 3]),
        ({"b": "minmax"}, [-Z, 0, Z]),
    ],
)
def test_scaling_of_numbers(make, numeric, expected):
    films = make({"item": [3, 7, 9], "a": [1, 2, 3], "b": [5.0, 5.0, 5.0]})
    made = Dataset.from_frame(
        make(SEEN), user="user", item="item", item_features=films, numeric=numeric, normalize=False
    )
    values = made.item_features.toarray()[made.dataset.items_to_ids([3, 7, 9])]
    np.testing.assert_allclose(values[:, 3], expected, rtol=1e-6, atol=1e-7)
    constant = 5 if numeric is None else 0
    assert values[:, 4].tolist() == [constant] * 3
    assert made.item_features.nnz == 9  # a number that is 0 is a number


def test_scaling_of_difficult_numbers(make):
    numbers = {"a": [1e300, 1e300], "b": [0.1, 0.1], "c": [1e9 + 1, 1e9 + 2], "d": [0.0, 1e-200]}
    for name, expected in {"b": [0, 0], "c": [-1, 1], "d": [-1, 1]}.items():
        made = Dataset.from_frame(
            make(SEEN),
            user="user",
            item="item",
            item_features=make({"item": [3, 7], "x": numbers[name]}),
            normalize=False,
        )
        column = made.item_features.toarray()[made.dataset.items_to_ids([3, 7]), 3]
        np.testing.assert_allclose(column, expected, rtol=1e-6)
    for bad in (numbers["a"], [1.0, float("inf")], [float("-inf"), 1.0]):
        with pytest.raises(ValueError, match="'x' of item_features must hold finite numbers"):
            Dataset.from_frame(
                make(SEEN), user="user", item="item", item_features=make({"item": [3, 7], "x": bad})
            )


def features_of(films, items=("i", "j", "k"), **arguments):
    """What a column ``x`` of three rows becomes: a dict of name and value for each row."""
    pandas = pytest.importorskip("pandas")
    seen = pandas.DataFrame({"user": 0, "item": list(items)})
    made = Dataset.from_frame(
        seen, user="user", item="item", item_features=films, normalize=False, numeric=None,
        item_identity_features=False, **arguments,
    )  # fmt: skip
    names = list(made.dataset.mapping()[3])
    return [
        {names[column]: row[column] for column in np.flatnonzero(row)}
        for row in made.item_features.toarray().tolist()
    ]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (lambda pd: pd.Series([1, None, 3], dtype="Int64"), [{"x": 1}, {}, {"x": 3}]),
        (lambda pd: pd.Series([1, None, Decimal("2.5")]), [{"x": 1}, {}, {"x": 2.5}]),
        (lambda pd: pd.Series([1, True, 0], dtype=object), [{"x": 1}, {"x": 1}, {}]),
        (lambda pd: pd.Series([1, 0, 3], dtype="Sparse[int]"), [{"x": 1}, {}, {"x": 3}]),
        (lambda pd: pd.Series([True, None, False], dtype="boolean"), [{"x": 1}, {}, {}]),
        (lambda pd: pd.Series([True, None, np.True_], dtype=object), [{"x": 1}, {}, {"x": 1}]),
        (lambda pd: pd.Series(["b", "a", None], dtype="string"), [{"x:b": 1}, {"x:a": 1}, {}]),
        (lambda pd: pd.Series(["b", "a", None], dtype=object), [{"x:b": 1}, {"x:a": 1}, {}]),
        (lambda pd: pd.Series(["b", 1, np.nan], dtype=object), [{"x:b": 1}, {"x:1": 1}, {}]),
        (lambda pd: pd.Series(["1", 1, pd.NA], dtype=object), [{"x:1": 1}, {"x:1": 1}, {}]),
        (
            lambda pd: pd.Series(pd.Categorical(["b", None, "a"], categories=["a", "b", "c"])),
            [{"x:b": 1}, {}, {"x:a": 1}],
        ),
        (lambda pd: pd.Series([3, 1, 3], dtype="category"), [{"x:3": 1}, {"x:1": 1}, {"x:3": 1}]),
        (
            lambda pd: pd.Series([["b"], ("a", "b"), {"c"}]),
            [{"x:b": 1}, {"x:a": 1, "x:b": 1}, {"x:c": 1}],
        ),
        (lambda pd: pd.Series([np.array(["b"]), None, np.array([])]), [{"x:b": 1}, {}, {}]),
        (lambda pd: pd.Series([[1, 2], [None, 2], np.nan]), [{"x:1": 1, "x:2": 1}, {"x:2": 1}, {}]),
        (lambda pd: pd.Series([[1, "1"], [], []]), [{"x:1": 2}, {}, {}]),
        (lambda pd: pd.Series([None, None, None]), [{}, {}, {}]),
        (lambda pd: pd.Series([None, np.nan, None], dtype=float), [{}, {}, {}]),
    ],
)  # fmt: skip
def test_columns_of_pandas(column, expected):
    pandas = pytest.importorskip("pandas")
    x = column(pandas)
    # An index of its own must not matter, nor the order of the rows of the table.
    films = pandas.DataFrame({"item": ["k", "i", "j"], "x": x.iloc[[2, 0, 1]]})
    films.index = [5, 5, 5]
    assert features_of(films) == expected


def test_columns_of_polars():
    polars = pytest.importorskip("polars")
    for x, expected in (
        (polars.Series([1, None, 3], dtype=polars.UInt8), [{"x": 1}, {}, {"x": 3}]),
        (polars.Series([1.0, float("nan"), None]), [{"x": 1}, {}, {}]),
        (polars.Series([Decimal("1.5"), None, Decimal("2.0")]), [{"x": 1.5}, {}, {"x": 2}]),
        (polars.Series([True, None, False]), [{"x": 1}, {}, {}]),
        (polars.Series(["b", None, "b"], dtype=polars.Categorical), [{"x:b": 1}, {}, {"x:b": 1}]),
        (
            polars.Series(["b", None, "a"], dtype=polars.Enum(["a", "b"])),
            [{"x:b": 1}, {}, {"x:a": 1}],
        ),
        (polars.Series([[1, 2], None, [None, 2]]), [{"x:1": 1, "x:2": 1}, {}, {"x:2": 1}]),
        (polars.Series([["a", "a"], [], None]), [{"x:a": 2}, {}, {}]),
        (
            polars.Series([["a", "b"], ["b", "c"], None], dtype=polars.Array(polars.String, 2)),
            [{"x:a": 1, "x:b": 1}, {"x:b": 1, "x:c": 1}, {}],
        ),
        (polars.Series([[True], [False], []]), [{"x:True": 1}, {"x:False": 1}, {}]),
        (polars.Series([None, None, None]), [{}, {}, {}]),
    ):  # fmt: skip
        assert features_of(polars.DataFrame({"item": ["i", "j", "k"], "x": x})) == expected


def test_columns_of_pyarrow():
    pa = pytest.importorskip("pyarrow")
    for x, expected in (
        (pa.array([1, None, 3], pa.uint8()), [{"x": 1}, {}, {"x": 3}]),
        (pa.array([1.0, float("nan"), None]), [{"x": 1}, {}, {}]),
        (pa.array([Decimal("1.5"), None, Decimal("2.0")]), [{"x": 1.5}, {}, {"x": 2}]),
        (pa.array([True, None, False]), [{"x": 1}, {}, {}]),
        (pa.array(["b", None, "a"], pa.large_string()), [{"x:b": 1}, {}, {"x:a": 1}]),
        (
            pa.DictionaryArray.from_arrays(pa.array([2, None, 0]), ["a", "unused", "b"]),
            [{"x:b": 1}, {}, {"x:a": 1}],
        ),
        (
            pa.chunked_array([pa.array(c).dictionary_encode() for c in (["b", None], ["a"])]),
            [{"x:b": 1}, {}, {"x:a": 1}],
        ),
        (pa.array([[1, 2], None, [None, 2]]), [{"x:1": 1, "x:2": 1}, {}, {"x:2": 1}]),
        (pa.array([["a", "a"], [], None], pa.large_list(pa.string())), [{"x:a": 2}, {}, {}]),
        (
            pa.array([["a", "b"], None, ["b", "c"]], pa.list_(pa.string(), 2)),
            [{"x:a": 1, "x:b": 1}, {}, {"x:b": 1, "x:c": 1}],
        ),
        (pa.nulls(3), [{}, {}, {}]),
    ):  # fmt: skip
        films = pa.table({"item": ["i", "j", "k"], "x": x})
        assert features_of(films) == expected
        assert features_of(films.combine_chunks().to_batches()[0]) == expected
        # Slices share their memory with what they were cut from.
        assert features_of(pa.concat_tables([films, films]).slice(3)) == expected


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([3.5, 1.25, 2.0], [3.5, 1.25, 2.0]),
        ([2**60 + 1, 2**60 + 3, 5], [2**60 + 1, 2**60 + 3, 5]),
        (
            [dt.datetime(2024, 1, 2, 3), dt.datetime(2024, 1, 1), dt.datetime(1960, 1, 1)],
            ["2024-01-02T03", "2024-01-01", "1960-01-01"],
        ),
        ([dt.date(2024, 1, 2)] * 3, ["2024-01-02"] * 3),
        (
            [dt.datetime(2024, 1, 2, 3, tzinfo=dt.timezone(dt.timedelta(hours=2)))] * 3,
            ["2024-01-02T01"] * 3,
        ),
    ],
    ids=["float", "integer", "datetime", "date", "zone"],
)
def test_timestamps(make, times, expected):
    seen = make({"u": [1, 2, 3], "i": [1, 2, 3], "t": times})
    found = Dataset.from_frame(seen, user="u", item="i", timestamp="t").timestamps
    if isinstance(expected[0], str):
        expected = np.array(expected, dtype="datetime64[s]")
        assert found.dtype.kind == "M"
    np.testing.assert_array_equal(found, expected)
    found[0] = found[1]  # they are the caller's own
    rows = sp.coo_matrix((np.ones(3), (np.arange(3), np.arange(3))))
    assert time_split(rows, found, 0.3)


def test_timestamps_of_pandas():
    pandas = pytest.importorskip("pandas")
    stamps = pandas.to_datetime(pandas.Series(["2024-03-31 01:00", "2024-03-31 03:30"]))
    for column, expected in (
        (pandas.Series([5, 2**60 + 1], dtype="Int64"), np.array([5, 2**60 + 1])),
        (pandas.Series([5, 2**60 + 1], dtype=object), np.array([5, 2**60 + 1])),
        (pandas.Series([0.5, 1], dtype="Float32"), np.array([0.5, 1], dtype=np.float32)),
        (
            stamps.dt.tz_localize("Europe/Berlin"),
            np.array(["2024-03-31T00:00", "2024-03-31T01:30"], "M8[s]"),
        ),
        (stamps.astype(object), stamps.to_numpy()),
    ):  # fmt: skip
        seen = pandas.DataFrame({"u": [1, 2], "i": [1, 2], "t": column})
        found = Dataset.from_frame(seen, user="u", item="i", timestamp="t").timestamps
        np.testing.assert_array_equal(found, expected)
        assert found.dtype.kind == expected.dtype.kind


def test_ids_of_any_kind(make):
    days = [dt.datetime(2024, 1, 2), dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 2)]
    for ids in (
        days,
        [0.5, 2.0, 0.5],
        [True, False, True],
        ["b", "", "b"],
        [-(2**62), 7, -(2**62)],
    ):
        made = Dataset.from_frame(make({"u": ids, "i": ids}), user="u", item="i")
        assert list(made.dataset.mapping()[0]) == ids[:2]
        assert made.interactions.row.tolist() == made.interactions.col.tolist() == [0, 1, 0]
        again, _ = made.dataset.build_interactions(zip(ids, ids, strict=True))
        assert again.row.tolist() == [0, 1, 0]


def test_objects_and_categories_of_pandas_as_ids():
    pandas = pytest.importorskip("pandas")
    for ids, expected in (
        (pandas.Series([1, "a", True, 1.0, (2, 3)], dtype=object), [1, "a", (2, 3)]),
        (pandas.Series([np.int64(4), "a", 4, "a", "a"], dtype=object), [4, "a"]),
        (pandas.Series(list("babca"), dtype=pandas.CategoricalDtype(list("abcd"))), list("bac")),
        (pandas.Series([3, 1, 3, 2, 1], dtype="Int64"), [3, 1, 2]),
        (pandas.Series([3, 1, 3, 2, 1], dtype="category"), [3, 1, 2]),
    ):
        made = Dataset.from_frame(
            pandas.DataFrame({"u": ids, "i": range(5)}), user="u", item="i", weight="i"
        )
        assert list(made.dataset.mapping()[0]) == expected
        assert not any(isinstance(value, np.generic) for value in made.dataset.mapping()[0])
        numbers = {value: number for number, value in enumerate(expected)}
        assert made.interactions.row.tolist() == [numbers[value] for value in ids]


def test_ids_that_equal_each_other_across_tables(make):
    """Floats in one table and integers in the other: a dictionary says they are one."""
    made = Dataset.from_frame(
        make({"u": ["a", "b"], "i": [1.0, 2.0]}),
        user="u",
        item="i",
        item_features=make({"i": [2, 3], "x": ["p", "q"]}),
    )
    assert list(made.dataset.mapping()[2]) == [1, 2, 3]
    assert made.item_features.nnz == 5


def test_ids_that_arrow_has_no_type_for():
    pandas = pytest.importorskip("pandas")
    words = [f"w{number}" for number in range(200)]
    months = pandas.period_range("2024-01", periods=2, freq="M")
    for ids, expected in (
        (pandas.Series([*words, 7, "w0"], dtype=object), [*words, 7]),  # texts at first
        (pandas.Series([3, "a", 3], dtype="category"), [3, "a"]),
        (pandas.Series(months).iloc[[1, 0, 1]], [months[1], months[0]]),
        (pandas.cut(pandas.Series([9, 1, 8]), [0, 5, 10]), ["(5, 10]", "(0, 5]"]),
        (pandas.Series([2**70, 5, 2**70], dtype=object), [2**70, 5]),
        (pandas.Series([b"b", b"a"]), [b"b", b"a"]),
    ):
        seen = pandas.DataFrame({"u": ids, "i": range(len(ids))})
        found = list(Dataset.from_frame(seen, user="u", item="i").dataset.mapping()[0])
        assert [str(v) if isinstance(v, pandas.Interval) else v for v in found] == expected
    polars = pytest.importorskip("polars")
    for ids, dtype in (([(1, 2), "a", (1, 2)], polars.Object), ([2**70, 5, 5], polars.Int128)):
        seen = polars.DataFrame({"u": polars.Series(ids, dtype=dtype), "i": [1, 2, 3]})
        found = Dataset.from_frame(seen, user="u", item="i").dataset.mapping()[0]
        assert list(found) == ids[:2]


def test_codes_of_many_chunks():
    pa = pytest.importorskip("pyarrow")
    chunks = [["b", None], [], ["a", "b"], [None, "c", "a"]]
    expected = ([0, -1, 1, 0, -1, 2, 1], ["b", "a", "c"])
    for encode in (False, True):  # each chunk with a dictionary of its own
        made = [pa.array(chunk, pa.string()) for chunk in chunks]
        column = pa.chunked_array([a.dictionary_encode() for a in made] if encode else made)
        codes, values = columns_of.by_name(pa.table({"x": column}), "t")["x"].codes()
        assert (codes.tolist(), values) == expected


def test_missing_values_of_every_kind():
    pandas = pytest.importorskip("pandas")
    values = ["a", None, float("nan"), pandas.NaT, pandas.NA, Decimal("NaN"), "a", 3]
    column = columns_of.by_name(pandas.DataFrame({"x": pandas.Series(values, dtype=object)}), "t")[
        "x"
    ]
    assert column.missing().tolist() == [False] + 5 * [True] + [False, False]
    assert column.codes().codes.tolist() == [0, -1, -1, -1, -1, -1, 0, 1]
    assert column.codes().values == ["a", 3]


def test_names_of_columns_may_be_anything():
    pandas = pytest.importorskip("pandas")
    seen = pandas.DataFrame([[1, 2], [3, 4]])
    films = pandas.DataFrame({1: [2, 4], ("a", 1): ["x", "y"], 7: [1, 2]})
    made = Dataset.from_frame(seen, user=0, item=1, item_features=films, numeric={7: None})
    assert list(made.dataset.mapping()[3]) == [2, 4, "('a', 1):x", "('a', 1):y", "7"]


def test_tables_without_rows(make):
    types = {"user": "string", "item": "int64"}
    nothing = make({"user": [], "item": []}, types)
    made = Dataset.from_frame(nothing, user="user", item="item")
    assert made.interactions.shape == (0, 0)
    films = make({"item": [3, 5], "x": ["a", "b"]})
    made = Dataset.from_frame(nothing, user="user", item="item", item_features=films)
    assert made.interactions.shape == (0, 2)
    assert made.item_features.shape == (2, 4)
    films = make({"item": [], "x": []}, {"item": "int64", "x": "string"})
    made = Dataset.from_frame(make(SEEN), user="user", item="item", item_features=films)
    assert made.item_features.toarray().tolist() == np.eye(3).tolist()


def test_tables_stay_as_they_were(make):
    pandas = pytest.importorskip("pandas")
    seen, films = make(SEEN), make(FILMS)
    made = Dataset.from_frame(
        seen, user="user", item="item", weight="stars", timestamp="when", item_features=films
    )
    made.timestamps[:] = 0
    made.weights.data[:] = 0
    for one, columns in ((seen, SEEN), (films, FILMS)):
        back = one if isinstance(one, pandas.DataFrame) else one.to_pandas()
        assert list(back) == list(columns)
        for key in columns:
            for value, expected in zip(back[key], columns[key], strict=True):
                assert expected is None or list([value][0:1] if not hasattr(value, "__len__") or
                    isinstance(value, str) else value) in ([expected], expected)  # fmt: skip


# Refusals


NAN, INFINITY = float("nan"), float("inf")
DAY = dt.datetime(2024, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"user": "who"}, ValueError, r"interactions must have the column 'who' \(the user\), got"),
        ({"item": "what"}, ValueError, "'user', 'item', 'stars', 'when'"),
        ({"weight": "w"}, ValueError, r"the column 'w' \(the weight\)"),
        ({"timestamp": "t"}, ValueError, r"the column 't' \(the timestamp\)"),
        ({"seen": {"user": ["a", None]}}, ValueError, "'user' of interactions must not have miss"),
        ({"seen": {"item": [1.0, NAN]}}, ValueError, "'item' .* missing.* 1 of them, .* in row 1"),
        ({"seen": {"w": [NAN, 1.0]}, "weight": "w"}, ValueError, "'w' .*the weight.* in row 0"),
        ({"seen": {"t": [NAN, 1.0]}, "timestamp": "t"}, ValueError, "'t' .*the timestamp"),
        ({"seen": {"t": [None, DAY]}, "timestamp": "t"}, ValueError, "'t' .*missing.* in row 0"),
        ({"seen": {"w": ["1", "2"]}, "weight": "w"}, TypeError, "'w' .* to be weights, got"),
        ({"seen": {"w": [1.0, INFINITY]}, "weight": "w"}, ValueError, "'w' .* got inf"),
        ({"seen": {"t": ["1", "2"]}, "timestamp": "t"}, TypeError, "'t' .*to_datetime"),
        ({"seen": {"user": [["a"], ["b"]]}}, TypeError, "'user' of .* must hold user ids, hash"),
        ({"films": {"item": [3, None]}}, ValueError, "'item' of item_features must not have miss"),
        ({"films": {"item": [3, 3]}}, ValueError, "one row for each item, got 2 for 3"),
        ({"films": {"t": [DAY, DAY]}}, TypeError, "'t' of item_features must hold numbers, bool"),
        (
            {"films": {"x:a": [True, True]}},
            ValueError,
            "'x' and 'x:a' .* both make a feature 'x:a'",
        ),
        ({"films": {"x": [[["a"]], []]}}, TypeError, "'x' .* must hold lists of names"),
        ({"films": {}, "numeric": "z-score"}, ValueError, "numeric must be .*got 'z-score'"),
        ({"films": {}, "numeric": {"x": 3}}, ValueError, "numeric must be .*got {'x': 3}"),
        ({"films": {}, "numeric": {"x": "minmax"}}, ValueError, "numeric names 'x', which is no"),
        ({"numeric": {"y": None}}, ValueError, "numeric names 'y', which is no column of numbers"),
    ],
)
def test_refused(make, arguments, error, message):
    arguments = {"user": "user", "item": "item"} | arguments
    base = {key: values[:2] for key, values in SEEN.items()}
    seen = make(base | arguments.pop("seen", {}))
    films = arguments.pop("films", None)
    if films is not None:
        arguments["item_features"] = make({"item": [3, 7], "x": ["a", "b"]} | films)
    with pytest.raises(error, match=message):
        Dataset.from_frame(seen, **arguments)


def test_a_feature_with_the_name_of_an_id(make):
    seen = make({"user": ["a", "age"], "item": ["x:old", "y"]})
    people = make({"user": ["a"], "age": [3]})
    films = make({"item": ["y"], "x": ["old"]})
    with pytest.raises(
        ValueError, match="user_features make a feature 'age', a name that one of the user ids"
    ):
        Dataset.from_frame(seen, user="user", item="item", user_features=people)
    with pytest.raises(
        ValueError, match="feature 'x:old', .* item ids has too; .*item_identity_feat"
    ):
        Dataset.from_frame(seen, user="user", item="item", item_features=films)
    made = Dataset.from_frame(
        seen, user="user", item="item", item_features=films, item_identity_features=False,
        normalize=False,
    )  # fmt: skip
    assert made.item_features.toarray().tolist() == [[0], [1]]


def test_refused_things_that_are_no_tables():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"user": [1], "item": [2]})
    for thing in (frame["user"], {"user": [1], "item": [2]}, np.zeros((2, 2)), [(1, 2)], None):
        with pytest.raises(TypeError, match="interactions must be a pandas or polars DataFrame or"):
            Dataset.from_frame(thing, user="user", item="item")
    with pytest.raises(ValueError, match="item_features must have the column 'item'"):
        films = pandas.DataFrame({"film": [2]})
        Dataset.from_frame(frame, user="user", item="item", item_features=films)
    with pytest.raises(TypeError, match="item_features must be .*got builtins.dict"):
        Dataset.from_frame(frame, user="user", item="item", item_features={})
    twice = pandas.concat([frame, frame], axis=1)
    with pytest.raises(ValueError, match="interactions must have each column once, got 'user'"):
        Dataset.from_frame(twice, user="user", item="item")
    with pytest.raises(ValueError, match=r"column 'user' .*reset_index\(\)"):
        Dataset.from_frame(frame.set_index("user"), user="user", item="item")
    with pytest.raises(TypeError, match="hashable values, got objects of type dict"):
        Dataset.from_frame(frame.assign(user=[{}]), user="user", item="item")
    with pytest.raises(
        TypeError, match="'x' of item_features must .* got objects of type list, str"
    ):
        films = pandas.DataFrame({"item": [1, 2], "x": ["a", ["b"]]})
        Dataset.from_frame(frame, user="user", item="item", item_features=films)
    with pytest.raises(TypeError, match="'x' of item_features must .* got dtype complex128"):
        films = pandas.DataFrame({"item": [1, 2], "x": [1j, 2]})
        Dataset.from_frame(frame, user="user", item="item", item_features=films)
    polars = pytest.importorskip("polars")
    with pytest.raises(TypeError, match="'user' of interactions must hold .* dtype Object"):
        sets = polars.DataFrame({"user": polars.Series([{1}], dtype=polars.Object), "item": [1]})
        Dataset.from_frame(sets, user="user", item="item")
    with pytest.raises(TypeError, match=r"got polars.*LazyFrame; call its collect\(\) first"):
        Dataset.from_frame(polars.from_dict({"user": [1]}).lazy(), user="user", item="item")


def test_no_library_of_frames_is_imported():
    code = (
        "import sys, lightfm_clone; "
        "import lightfm_clone.data.sources; "
        "sys.exit(sum(n in sys.modules for n in ('pandas', 'polars', 'pyarrow', 'narwhals')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# Ids in bulk


@pytest.fixture
def dataset():
    made = Dataset()
    made.fit(["ann", "bob", ("c", 1)], [30, 10, 20])
    return made


def test_to_ids_and_back(dataset):
    for users in (["bob", ("c", 1), "bob"], iter(["bob", ("c", 1), "bob"])):
        ids = dataset.users_to_ids(users)
        assert ids.dtype == np.int32
        assert ids.tolist() == [1, 2, 1]
    assert dataset.users_from_ids(ids).tolist() == ["bob", ("c", 1), "bob"]
    for items in (
        [20, 30],
        (20.0, 30),
        np.array([20, 30]),
        np.array([20.0, 30]),
        range(20, 31, 10),
    ):
        assert dataset.items_to_ids(items).tolist() == [2, 0]
    assert dataset.items_from_ids([2, 0]).tolist() == [20, 30]
    assert dataset.items_to_ids([]).shape == (0,)
    assert dataset.items_to_ids([]).dtype == np.int32


def test_to_ids_takes_columns(make, dataset):
    frame = make({"item": [10, 20, 10], "user": ["bob", "ann", "bob"]})
    assert dataset.items_to_ids(frame["item"]).tolist() == [1, 2, 1]
    assert dataset.users_to_ids(frame["user"]).tolist() == [1, 0, 1]
    again = Dataset()
    again.fit(frame["user"], frame["item"])
    assert list(again.mapping()[0]) == ["bob", "ann"]
    assert list(again.mapping()[2]) == [10, 20]


def test_from_ids_keeps_any_shape(dataset):
    ids = np.array([[2, 0], [1, -1], [-1, -1]], dtype=np.int32)
    found = dataset.items_from_ids(ids)
    assert found.dtype == object
    assert found.tolist() == [[20, 30], [10, None], [None, None]]
    assert dataset.items_from_ids(np.zeros((2, 0, 3), dtype=int)).shape == (2, 0, 3)
    assert dataset.items_from_ids([]).shape == (0,)
    assert dataset.items_from_ids(np.array([1], dtype=np.uint64)).tolist() == [10]
    for one in (1, np.int32(1), np.array(1)):
        assert dataset.items_from_ids(one) == 10
    assert dataset.users_from_ids(2) == ("c", 1)
    assert dataset.users_from_ids(-1) is None


def test_from_ids_of_recommendations(dataset):
    seen, _ = dataset.build_interactions([("ann", 30), ("bob", 10), ("bob", 20)])
    model = LightFM(random_state=0).fit(seen)
    ids, _ = model.recommend(dataset.users_to_ids(["bob", "ann"]), k=3, exclude=seen)
    found = dataset.items_from_ids(ids)
    assert found[0].tolist() == [30, None, None]
    assert set(found[1].tolist()) == {10, 20, None}


def test_numbers_count_not_the_order_in_a_loaded_dictionary(dataset):
    dataset._item_id_mapping = {20: 2, 30: 0, 10: 1}
    assert dataset.items_from_ids([0, 1, 2]).tolist() == [30, 10, 20]


@given(st.lists(st.integers() | st.text() | st.tuples(st.integers()), min_size=1, max_size=20))
def test_ids_round_trip(ids):
    dataset = Dataset()
    dataset.fit(ids, ids)
    assert dataset.users_from_ids(dataset.users_to_ids(ids)).tolist() == ids
    assert dataset.items_from_ids(np.arange(len(set(ids)))).tolist() == list(dict.fromkeys(ids))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda d: d.users_to_ids(["ann", "zoe"]),
            ValueError,
            r"users holds the user id 'zoe', .*fit_partial\(users=\['zoe'\]\)",
        ),
        (lambda d: d.items_to_ids(np.array([10, 11])), ValueError, "items holds the item id 11"),
        (
            lambda d: d.users_to_ids("ann"),
            TypeError,
            "users must be an iterable .*'ann'; pass a list",
        ),
        (lambda d: d.items_to_ids(10), TypeError, "items must be an iterable of ids, got 10; pass"),
        (lambda d: d.items_to_ids([[10]]), TypeError, "item id in items is not hashable"),
        (lambda d: d.items_from_ids([0, 3]), ValueError, "of the 3 items .*, or -1, got 3"),
        (lambda d: d.users_from_ids([[0], [-2]]), ValueError, "of the 3 users .*, or -1, got -2"),
        (
            lambda d: d.items_from_ids([1.0]),
            TypeError,
            "must be integers.* float64; .* items_to_ids",
        ),
        (lambda d: d.items_from_ids([True]), TypeError, "must be integers.*bool"),
        (lambda d: d.users_from_ids(["ann"]), TypeError, "row numbers of users, .*users_to_ids"),
        (lambda d: Dataset().users_to_ids(["ann"]), ValueError, "knows no users and no items yet"),
        (lambda d: Dataset().items_from_ids([0]), ValueError, "knows no users and no items yet"),
    ],
)
def test_refused_ids(dataset, call, error, message):
    with pytest.raises(error, match=message):
        call(dataset)


# Real data, documentation


def test_real_ratings(ml_100k, make):
    user, item, rating = (ml_100k[f"all_{name}"].tolist() for name in ("user", "item", "rating"))
    made = Dataset.from_frame(
        make({"u": [f"u{number}" for number in user], "i": item, "r": rating}),
        user="u",
        item="i",
        weight="r",
    )
    dataset = Dataset()
    dataset.fit((f"u{number}" for number in user), item)
    assert made.dataset.mapping() == dataset.mapping()
    interactions, weights = dataset.build_interactions(
        (f"u{u}", i, r) for u, i, r in zip(user, item, rating, strict=True)
    )
    for ours, built in ((made.interactions, interactions), (made.weights, weights)):
        for field in ("row", "col", "data"):
            np.testing.assert_array_equal(getattr(ours, field), getattr(built, field))


def test_docstrings():
    """Of the methods of Dataset, which says it is of another module, so that pytest skips them."""
    for library in ("pandas", "narwhals", "pyarrow"):
        pytest.importorskip(library)
    tests = doctest.DocTestFinder().find(Dataset, "Dataset", module=False, globs=vars(module))
    runner = doctest.DocTestRunner()
    results = [runner.run(test) for test in tests]
    assert sum(result.attempted for result in results) > 20
    assert not any(result.failed for result in results)
