"""What people really hand to a Dataset: each is read right, or the way out in the error works."""

from __future__ import annotations

import itertools
import math
import re
import warnings

import numpy as np
import pytest

from lightfm_clone import LightFM
from lightfm_clone.data import Dataset

NAN = float("nan")
LOG = {
    "user": ["ann", "bob", "ann", "cid"],
    "item": [10, 20, 20, 30],
    "weight": [1.0, 2.0, 3.0, 4.0],
}
LIBRARIES = ["pandas", "pandas-arrow", "polars", "pyarrow", "batch"]


def table(library, columns):
    if library == "pandas":
        return pytest.importorskip("pandas").DataFrame(columns)
    if library == "polars":
        return pytest.importorskip("polars").DataFrame(columns)
    arrow = pytest.importorskip("pyarrow").table(columns)
    if library == "pandas-arrow":
        return arrow.to_pandas(types_mapper=pytest.importorskip("pandas").ArrowDtype)
    return arrow.to_batches()[0] if library == "batch" else arrow


@pytest.fixture
def dataset():
    made = Dataset()
    made.fit(
        LOG["user"],
        LOG["item"],
        user_features=["old", "young"],
        item_features=["red", "blue", "big"],
    )
    return made


@pytest.fixture
def log():
    return table("pandas", LOG)


def check_log(built, weights=(1, 2, 3, 4)):
    interactions, weighed = built
    assert interactions.row.tolist() == weighed.row.tolist() == [0, 1, 0, 2]
    assert interactions.col.tolist() == weighed.col.tolist() == [0, 1, 1, 2]
    assert weighed.data.tolist() == list(weights)


# Tables


@pytest.mark.parametrize("library", LIBRARIES)
def test_tables_are_read_by_rows(dataset, library):
    check_log(dataset.build_interactions(table(library, LOG)))
    pairs = table(library, {key: LOG[key] for key in ("user", "item")})
    check_log(dataset.build_interactions(pairs), [1] * 4)
    # As many rows as a row has columns: a table read by columns would pass for rows.
    square = table(library, {"u": ["ann", "bob"], "i": [10, 20]})
    assert dataset.build_interactions(square)[0].toarray()[:2, :2].tolist() == [[1, 0], [0, 1]]
    tags = table(library, {"i": [10, 20], "tags": [["red"], ["big", "red"]]})
    built = dataset.build_item_features(tags, normalize=False).toarray()[:, 3:]
    assert built.tolist() == [[1, 0, 0], [1, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("library", LIBRARIES)
def test_tables_that_are_no_rows(dataset, library):
    more = table(library, LOG | {"when": [1, 2, 3, 4]})
    with pytest.raises(ValueError, match="got 4 columns, 'user'.*from_frame.*user=..., item="):
        dataset.build_interactions(more)
    made = Dataset.from_frame(more, user="user", item="item", weight="weight")
    check_log((made.interactions, made.weights))

    other = {key: LOG[key] for key in ("weight", "user", "item")}
    with pytest.raises(ValueError, match="'weight' as user ids, 'user' as item ids.*select"):
        dataset.build_interactions(table(library, other))
    for given in (more, table(library, other)):
        order = ["user", "item", "weight"]
        is_arrow = library in ("pyarrow", "batch")
        check_log(dataset.build_interactions(given.select(order) if is_arrow else given[order]))

    colours = table(library, {"item": [10, 20], "colour": ["red", "blue"]})
    with pytest.raises(TypeError, match=r"features of 10 .*letter by letter, so pass \['red'\]"):
        dataset.build_item_features(colours)
    with pytest.raises(TypeError, match=r"from_frame\(..., item_features=table\)"):
        dataset.build_item_features(colours)
    wide = table(library, {"item": [10], "a": [1], "b": [2]})
    with pytest.raises(ValueError, match=r"'item', 'a', 'b'; Dataset.from_frame\(..., item_feat"):
        dataset.build_item_features(wide)
    made = Dataset.from_frame(table(library, LOG), user="user", item="item", item_features=colours)
    assert list(made.dataset.mapping()[3])[3:] == ["colour:red", "colour:blue"]
    for argument in ("users", "item_features"):
        with pytest.raises(TypeError, match=f"{argument} must be .*pass one column of it"):
            dataset.fit_partial(**{argument: colours})
    with pytest.raises(TypeError, match="got a table.*pass lists"):
        dataset.item_feature_rows(colours)


def test_tables_that_are_not_read_yet(dataset):
    polars = pytest.importorskip("polars")
    lazy = polars.DataFrame(LOG).lazy()
    for build in (dataset.build_interactions, dataset.build_user_features):
        with pytest.raises(TypeError, match=r"polars.*LazyFrame; call its collect\(\) first"):
            build(lazy)
    check_log(dataset.build_interactions(lazy.collect()))
    pyarrow = pytest.importorskip("pyarrow")
    batches = pyarrow.table(LOG).to_reader()
    with pytest.raises(TypeError, match=r"RecordBatchReader; call its read_all\(\) first"):
        dataset.build_interactions(batches)
    check_log(dataset.build_interactions(batches.read_all()))


def test_matrices_are_no_rows(dataset):
    interactions, _ = dataset.build_interactions([("ann", 10), ("bob", 20)])
    for build in (dataset.build_interactions, dataset.build_item_features):
        with pytest.raises(TypeError, match="got a coo_matrix; a model takes it as it is"):
            build(interactions)
    LightFM().fit(interactions)


# Rows that are none


@pytest.mark.parametrize(
    ("given", "message", "remedy"),
    [
        (lambda f: f.iterrows(), r"iterrows\(\) gives pairs.*itertuples\(index=False\)",
         lambda f: f[["user", "item", "weight"]].itertuples(index=False)),
        (lambda f: f.itertuples(), r"index, 'Index': pass itertuples\(index=False\)",
         lambda f: f.itertuples(index=False)),
        (lambda f: f[["user", "item"]].itertuples(), "begins with the frame's index", None),
        (lambda f: f.to_records(), r"index, 'index': .*to_records\(index=False\)",
         lambda f: f.to_records(index=False)),
        (lambda f: f[["user", "item"]].to_records(), "begins with the frame's index", None),
        (lambda f: f.to_dict("records"), r"by its keys: .*\(row\['user'\], row\['item'\]\)",
         lambda f: [(row["user"], row["item"], row["weight"]) for row in f.to_dict("records")]),
        (lambda f: f.to_dict("list"), r"got a mapping.*zip\(\*data.values\(\)\)",
         lambda f: zip(*f.to_dict("list").values(), strict=True)),
        (lambda f: [f.user, f.item], r"pass zip\(\*data\) if these are columns",
         lambda f: [(*row, n) for n, row in enumerate(zip(*[f.user, f.item], strict=True), 1)]),
        (lambda f: ["ab", "cd"], "a text is read by its letters: pass tuples", None),
        (lambda f: [{"ann", 10}], "a set has no order: pass tuples", None),
        (lambda f: ("ann", 10), "position 0 is 'ann'.*tuples, a single one in a list", None),
        (lambda f: (10, 10), "position 0 is 10 .*a single row goes into a list", None),
        (lambda f: [f], "a table is no row", None),
        (lambda f: [("ann", 10, 1.0, 5)], r"\(length: 4\); leave out what belongs to neither",
         None),
    ],
)  # fmt: skip
def test_rows_of_interactions_that_are_none(dataset, log, given, message, remedy):
    with pytest.raises((TypeError, ValueError), match=re.compile(message, re.DOTALL)):
        dataset.build_interactions(given(log))
    if remedy:
        check_log(dataset.build_interactions(remedy(log)))


def test_an_index_that_is_known_is_not_taken_for_users():
    """Integers everywhere: what begins with the index would pass for users, items and weights."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"user": [0, 1, 1], "item": [2, 0, 1]})
    dataset = Dataset()
    dataset.fit(range(3), range(3))
    for given in (frame.itertuples(), frame.to_records()):
        with pytest.raises(ValueError, match="begins with the frame's index"):
            dataset.build_interactions(given)
    for given in (frame.itertuples(index=False), frame.to_records(index=False)):
        assert dataset.build_interactions(given)[0].row.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("given", "message", "remedy"),
    [
        ([(10, "red")], r"letter by letter, so pass \['red'\]", [(10, ["red"])]),
        ([(10, b"red")], r"letter by letter", None),
        ([(10, "red", "big")], "go into a list of their own", [(10, ["red", "big"])]),
        ([(10, [{"red": 2}])], r"pass the dict itself .*\(id, {'red': 2}\)", [(10, {"red": 2})]),
        ({10: {"red": 2}}, r"pass its .items\(\) if its keys are item ids", {10: ["red"]}.items()),
        ({"item": [10], "tags": [["red"]]}, r"zip\(\*data.values\(\)\)",
         zip([10], [["red"]], strict=True)),
        ([{"item": 10, "tags": ["red"]}], r"\(row\['item'\], row\['tags'\]\)", [(10, ["red"])]),
        ([(10, None)], "leave the row out, or pass an empty list", [(10, [])]),
        ([(10, NAN)], "leave the row out, or pass an empty list", []),
        ([(10, 5)], r"pass \[name\] or {name: 5}", [(10, {"red": 5})]),
        ([(10, ["red", None])], "must not hold missing .*got 1 .*None; drop", [(10, ["red"])]),
        ([(10, ["red", NAN])], "must not hold missing values.*got 1 .*nan; drop", [(10, ["red"])]),
        ([(10, {"red": "2"})], r"got '2' of type str; .*float\(\)", [(10, {"red": float("2")})]),
        ([(10, {"red": "dark"})], "can be .part of. the name of a feature", None),
        ([(10, {"red": None})], "leave out the weight", [(10, ["red"])]),
        ([(10, {"red": NAN})], "leave out those that are missing", [(10, {})]),
        ([("10", ["red"])], "knows 10 of type int, not str", [(int("10"), ["red"])]),
        ([("ann", ["red"])], r"item id 'ann'.*item_feature_rows", None),
    ],
)  # fmt: skip
def test_features_that_are_none(dataset, given, message, remedy):
    with pytest.raises((TypeError, ValueError), match=message):
        dataset.build_item_features(given)
    if remedy is not None:
        assert dataset.build_item_features(remedy).shape == (3, 6)


def test_features_from_the_rows_of_a_frame(dataset):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"item": [10, 20], "tag": ["red", "big"]}, index=[10, 20])
    with pytest.raises(ValueError, match=r"iterrows\(\) gives pairs"):
        dataset.build_item_features(frame.iterrows())
    # Series of names are as good as lists.
    built = dataset.build_item_features(frame.groupby("item")["tag"], normalize=False)
    assert built.toarray()[:, 3:].tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    with pytest.raises(TypeError, match="pass one column of the table"):
        dataset.build_item_features(frame.groupby("item"))


# Texts and nested lists where ids or names belong


@pytest.mark.parametrize("argument", ["users", "items", "user_features", "item_features"])
def test_a_text_is_no_list(argument):
    for text in ("colour", b"colour"):
        dataset = Dataset()
        arguments = {"users": ["ann"], "items": ["tea"]} | {argument: text}
        message = re.escape(f"got the text {text!r}") + ".*letter by letter; pass a list"
        with pytest.raises(TypeError, match=f"^{argument} must be .*{message}"):
            dataset.fit(**arguments)
        dataset.fit(**(arguments | {argument: [text]}))
        assert text in dataset.mapping()[["users", "user_features", "items", "item_features"]
                                         .index(argument)]  # fmt: skip


@pytest.mark.parametrize(
    ("argument", "given", "message", "remedy"),
    [
        ("item_features", [["red"], ["blue", "big"]], "chain.from_iterable flattens",
         itertools.chain.from_iterable([["red"], ["blue", "big"]])),
        ("item_features", [(10, ["red"])], r"\(id, \[names\]\) are for build_item_features",
         ["red"]),
        ("users", np.array([["ann"], ["bob"]]), r"array\[:, 0\]",
         np.array([["ann"], ["bob"]])[:, 0]),
        ("users", [{"user": "ann"}], r"\[row\[key\] for row in rows\]", ["ann"]),
    ],
)  # fmt: skip
def test_lists_of_lists(argument, given, message, remedy):
    dataset = Dataset()
    with pytest.raises(TypeError, match=f"^{argument} must be .*{message}"):
        dataset.fit(**({"users": ["ann"], "items": [10]} | {argument: given}))
    dataset.fit(**({"users": ["ann"], "items": [10]} | {argument: remedy}))


def test_tuples_may_be_names():
    dataset = Dataset()
    dataset.fit(["ann"], [10], item_features=[("colour", "red"), (10, "red"), ("a", ("b",))])
    assert dataset.item_features_shape() == (1, 4)
    with pytest.warns(UserWarning, match=r"take \(10, \('red',\)\) for one; pass the names, and"):
        dataset.fit(["ann"], [10], item_features=[(10, ("red",))])
    assert dataset.item_features_shape() == (1, 2)  # as LightFM numbers them


# Missing values


def missing_values():
    pandas = pytest.importorskip("pandas")
    return {
        "floats": pandas.Series([1.0, None, 2.0, None]),
        "array": np.array([1, NAN, 2, NAN]),
        "list": ["a", NAN, float("nan")],
        "one object": ["a", math.nan, math.nan],
        "nullable": pandas.Series([1, None, None], dtype="Int64"),
        "category": pandas.Series(["a", None, None], dtype="category"),
        "times": pandas.Series(["2024-01-01", None, None], dtype="datetime64[ns]"),
        "NumPy's times": np.array(["2024-01-01", "NaT", "NaT"], dtype="datetime64[s]"),
        "objects": pandas.Series(["a", None, NAN], dtype=object),
        "generator": (value for value in [None, *range(20_000), NAN]),
    }


@pytest.mark.parametrize("argument", ["users", "items", "user_features", "item_features"])
@pytest.mark.parametrize("kind", list(missing_values()))
def test_missing_values_are_no_ids(argument, kind):
    dataset = Dataset()
    dataset.fit(["ann"], ["tea"])
    before = {key: dict(mapping) for key, mapping in zip("abcd", dataset.mapping(), strict=True)}
    expected = rf"^{argument} must not hold missing values .* got 2 of them; drop.*dropna\(\)"
    with pytest.raises(ValueError, match=expected):
        dataset.fit_partial(**{argument: missing_values()[kind]})
    with pytest.raises(ValueError, match=expected):
        dataset.fit(**({"users": [1], "items": [2]} | {argument: missing_values()[kind]}))
    assert before == dict(zip("abcd", dataset.mapping(), strict=True))


def test_a_log_with_anonymous_visitors():
    pandas = pytest.importorskip("pandas")
    n = 2000
    users = np.where(np.arange(n) % 2, np.arange(n) % 50, np.nan)
    log = pandas.DataFrame({"u": users, "i": np.arange(n) // 2 % 30})
    dataset = Dataset()
    with pytest.raises(ValueError, match=r"users must not hold .* got 1000 of them"):
        dataset.fit(log.u, log.i)
    # Both ways out.
    dropped = log.dropna()
    dataset.fit(dropped.u, dropped.i)
    assert dataset.interactions_shape() == (25, 30)
    assert dataset.build_interactions(zip(dropped.u, dropped.i, strict=True))[0].nnz == n // 2
    for data in (log, log.to_numpy(), zip(log.u, log.i, strict=True), log.to_numpy().tolist()):
        with pytest.raises(ValueError, match=r"data must not hold .* got 1000 .* user id.*dropna"):
            dataset.build_interactions(data)
    with pytest.raises(ValueError, match="users must not hold missing values"):
        dataset.users_to_ids([1, NAN])
    with pytest.raises(ValueError, match="data must not hold missing values"):
        dataset.build_user_features([(NAN, [])])
    filled = log.astype({"u": object}).fillna("unknown")
    dataset.fit(filled.u, filled.i)
    assert dataset.interactions_shape() == (26, 30)
    assert dataset.build_interactions(filled)[0].nnz == n


def test_none_is_an_id_if_it_has_to_be():
    dataset = Dataset()
    with pytest.warns(UserWarning, match="users hold None 2 times.*one user id; drop them"):
        dataset.fit(["ann", None, None], ["tea"])
    assert dataset.build_interactions([(None, "tea")])[0].row.tolist() == [1]
    dataset.fit(["ann"], ["tea"])
    with pytest.raises(ValueError, match="data must not hold missing values .* got 2 .* user id"):
        dataset.build_interactions([("ann", "tea"), (None, "tea"), (None, "tea")])


def test_missing_ids_that_an_older_version_made_known_are_found():
    nan = float("nan")
    dataset = Dataset()
    dataset.fit(["ann"], ["tea"])
    dataset._user_id_mapping.update({nan: 1, None: 2})
    assert dataset.users_to_ids([None, nan]).tolist() == [2, 1]


# Unknown ids


def test_swapped_columns(dataset):
    for data in ([(10, "ann")], table("pandas", {"item": [10], "user": ["ann"]}),
                 np.array([[10, "ann"]], dtype=object)):  # fmt: skip
        with pytest.raises(ValueError, match="user id 10.*are users and items swapped"):
            dataset.build_interactions(data)
    with pytest.raises(ValueError, match="user id 10, .*take items_to_ids"):
        dataset.users_to_ids([10])
    assert dataset.items_to_ids([10]).tolist() == [0]
    # Known on the other side by chance: nothing is said of it.
    with pytest.raises(ValueError, match=r"user id 10, .*not know; make it known with fit_partial"):
        dataset.build_interactions([(10, 20)])


@pytest.mark.parametrize(
    ("known", "given", "convert"),
    [
        (10, "10", int),
        ("10", 10, str),
        (0.5, "0.5", float),
        ("10", 10.0, lambda value: str(int(value))),
        ("10", "10.0", lambda value: str(int(float(value)))),
        (b"a", "a", str.encode),
        ("a", b"a", bytes.decode),
    ],
)
def test_ids_of_another_type(known, given, convert):
    dataset = Dataset()
    dataset.fit([known], ["x"])
    with pytest.raises(ValueError, match=re.escape(f"it knows {known!r} of type")):
        dataset.build_interactions([(given, "x")])
    assert dataset.build_interactions([(convert(given), "x")])[0].nnz == 1


@pytest.mark.parametrize(
    ("weight", "message", "remedy"),
    [
        ("3.5", r"got '3.5' of type str; .*float\(\)", float("3.5")),
        ("bought", "leave it out if it is no weight", None),
        (None, "got None .*leave out the weight, which then is 1", None),
        (np.datetime64("2024-01-01"), "leave it out if it is no weight", None),
    ],
)
def test_weights_that_are_no_numbers(dataset, weight, message, remedy):
    with pytest.raises(TypeError, match=f"a weight in data must be a number, {message}|{message}"):
        dataset.build_interactions([("ann", 10, weight)])
    row = ("ann", 10) if remedy is None else ("ann", 10, remedy)
    assert dataset.build_interactions([row])[1].data.tolist() == [remedy or 1]


def test_weights_of_columns(log, dataset):
    for column in (log.weight.astype(str), log.weight.astype(object).where(log.weight > 1, None)):
        with pytest.raises(TypeError, match="a weight in data must be a number"):
            dataset.build_interactions(log.assign(weight=column))
    check_log(dataset.build_interactions(log.astype({"weight": str}).astype({"weight": float})))


# Features that share an embedding


def test_names_that_are_ids_too():
    dataset = Dataset()
    with pytest.warns(UserWarning, match=r"2 of the user_features are user ids .* 'age:1'") as seen:
        dataset.fit([1, 2, 3, 4], ["a"], user_features=[1, 2, 30])
    assert [one.filename for one in seen] == [__file__]
    assert dataset.user_features_shape() == (4, 5)  # as LightFM numbers them
    with pytest.warns(UserWarning, match="20 of the item_features are item ids"):
        dataset.fit(["u"], range(1000), item_features=range(20))
    with pytest.warns(UserWarning, match="1 of the item_features are item ids .* among them 7"):
        dataset.fit_partial(item_features=[7])
    dataset.fit(["u"], ["x"], item_features=["red"])
    with pytest.warns(UserWarning, match="1 of the item_features are item ids .* among them 'red'"):
        dataset.fit_partial(items=["red"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Ways out, and what is no clash at all.
        dataset.fit([1, 2], ["a"], user_features=[f"age:{age}" for age in (1, 2, 30)])
        Dataset(user_identity_features=False).fit([1, 2], ["a"], user_features=[1, 2, 30])
        dataset.fit([1, 2], [1, 2], user_features=["f", "f"], item_features=["f"])
        dataset.fit_partial([1, 3], [2, 3], ["f"], ["f", "g"])


def test_numbers_of_two_columns():
    dataset = Dataset()
    for numbers in ([25, 30, 25], iter([25, 25]), np.array([25, 30, 25]), [True, 1], (1.0, 1)):
        with pytest.warns(UserWarning, match="user_features name the number .* more than once"):
            dataset.fit(["u1", "u2"], ["a"], user_features=numbers)
    dataset.fit(["u1", "u2"], ["a"], user_features=[25, 30])
    with pytest.warns(UserWarning, match=r"feature 25 twice in \[25, 25\].* 'age:25'"):
        dataset.build_user_features([("u2", [25, 30]), ("u1", [25, 25])])
    with pytest.warns(UserWarning, match="user_features name the number 25 more than once"):
        dataset.fit_partial(user_features=[25, 26])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset.fit(["u1"], ["a"], user_features=["age:25", "purchases:25", "age:25", 30])
        dataset.build_user_features([("u1", ["age:25", "age:25", 30]), ("u1", {30: 1.0})])


def test_from_frame_does_not_warn_of_what_it_refuses():
    seen = table("pandas", {"user": ["x:1"], "item": ["a"]})
    people = table("pandas", {"user": ["x:1"], "x": ["1"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="user_features make a feature 'x:1'"):
            Dataset.from_frame(seen, user="user", item="item", user_features=people)


def test_classes_name_the_module_that_dumps_name():
    from lightfm_clone.data import FromFrame

    assert {Dataset.__module__, FromFrame.__module__} == {"lightfm_clone.data"}
