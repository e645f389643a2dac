"""Columns of the item table: conditions, quotas, tables out, updates, files."""

from __future__ import annotations

import datetime as dt
import json
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightfm_clone.data import between, bins, part, split
from lightfm_clone.data.item_columns import ItemColumns

LIBRARIES = ["pandas", "polars", "pyarrow"]


def table(library, columns):
    module = pytest.importorskip(library)
    return module.table(columns) if library == "pyarrow" else module.DataFrame(columns)


@pytest.fixture(params=LIBRARIES)
def make(request):
    return lambda columns: table(request.param, columns)


ITEMS = {
    "id": ["w", "x", "y", "z"],
    "brand": ["acme", "bell", None, "acme"],
    "price": [4.5, 10.0, None, 25.0],
    "stock": [3, 0, 7, 3],
    "new": [True, False, None, True],
    "tags": ["b|a", None, "a| c", "c"],
    "shops": [["n", "s"], [], None, ["s"]],
    "since": [dt.datetime(2024, 1, 1), dt.datetime(2024, 5, 1), None, dt.datetime(2025, 1, 1)],
    "until": ["2024-01-01", "2024-05-01T12:00", None, "2025-01-01"],
    "code": ["0103", "0007", "0103", ""],
}
RULES = {"tags": split("|"), "until": part("year"), "code": None}


@pytest.fixture
def items(make):
    """Items 1, 0, 3, 4 of 5, of which 2 is in no row."""
    return ItemColumns.of(make(ITEMS), np.array([1, 0, 3, 4]), 5, id="id", rules=RULES)


W, X, Y, Z = 1, 0, 3, 4


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, {W, X, 2, Y, Z}),
        ({"brand": "acme"}, {W, Z}),
        ({"brand": ["acme", "bell", "none of it"]}, {W, X, Z}),
        ({"brand": "none of it"}, set()),
        ({"brand": []}, set()),
        ({"price": 10}, {X}),
        ({"price": {4.5, 25}}, {W, Z}),
        ({"price": np.array([25.0])}, {Z}),
        ({"price": between(4.5, 10)}, {W, X}),
        ({"price": between(high=9)}, {W}),
        ({"price": between(low=10)}, {X, Z}),
        ({"price": between()}, {W, X, Z}),
        ({"stock": 3}, {W, Z}),
        ({"stock": between(1)}, {W, Y, Z}),
        ({"new": True}, {W, Z}),
        ({"new": (True, False)}, {W, X, Z}),
        ({"tags": "a"}, {W, Y}),
        ({"tags": {"b", "c"}}, {W, Y, Z}),
        ({"shops": "s"}, {W, Z}),
        ({"shops": ["n", "s"]}, {W, Z}),
        ({"since": between("2024-02-01")}, {X, Z}),
        ({"since": between(None, dt.date(2024, 5, 1))}, {W, X}),
        ({"since": dt.datetime(2025, 1, 1)}, {Z}),
        ({"until": between(np.datetime64("2024-05-01"), "2024-12-31")}, {X}),
        ({"code": "0103"}, {W, Y}),
        ({"code": ""}, {Z}),
        ({"brand": "acme", "price": between(5), "shops": "s"}, {Z}),
    ],
)
def test_conditions(items, where, expected):
    mask = items.mask(where)
    assert mask.dtype == bool
    assert set(np.flatnonzero(mask).tolist()) == expected
    assert mask.shape == (5,)


@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        ("brand", TypeError, "where must be a dict from columns to values, .*got 'brand'"),
        ({"brnd": 3}, ValueError, "where must name a column of the items, got 'brnd'; .*'brand'"),
        ({"id": "w"}, ValueError, "got 'id'"),
        ({"code": 103}, TypeError, r"where\['code'\] must be of the type .*such as '0103', got 1"),
        ({"brand": None}, ValueError, r"where\['brand'\] must be values that a column can ho"),
        ({"brand": [["acme"]]}, ValueError, "that a column can hold"),
        ({"brand": between("a", "b")}, TypeError, "neither numbers nor dates, got between"),
        ({"price": (5, 20)}, TypeError, r"given \(5, 20\), .*between\(5, 20\).*or \[5, 20\] for e"),
        ({"price": "10"}, TypeError, r"where\['price'\] must be a number, .*got '10'"),
        ({"price": between("a")}, TypeError, "must be a number"),
        ({"since": between(2024)}, ValueError, r"where\['since'\] must hold dates, .*got 2024"),
    ],
)  # fmt: skip
def test_conditions_refused(items, where, error, message):
    with pytest.raises(error, match=message):
        items.mask(where)


def test_codes(items):
    for name, groups in {
        "brand": [{W, Z}, {X}], "price": [{W}, {X}, {Z}], "stock": [{W, Z}, {X}, {Y}],
        "since": [{W}, {X}, {Z}], "code": [{W, Y}, {X}, {Z}],
    }.items():  # fmt: skip
        codes = items.codes(name)
        assert codes.dtype == np.int32
        assert len(codes) == 5
        found = [set(np.flatnonzero(codes == code).tolist()) for code in set(codes.tolist()) - {-1}]
        assert sorted(map(sorted, found)) == sorted(map(sorted, groups))
        assert set(np.flatnonzero(codes < 0).tolist()) == {0, 1, 2, 3, 4} - set.union(*groups)
    for name in ("tags", "shops"):
        with pytest.raises(TypeError, match=f"'{name}' must be a column with one value an item"):
            items.codes(name)
    with pytest.raises(ValueError, match="the quota must name a column of the items, got 'brnd'"):
        items.codes("brnd")


def plain(taken):
    """As lists, with None where something is missing."""
    return {
        name: [None if value != value else value for value in np.asarray(values, object).tolist()]
        if isinstance(values, np.ndarray)
        else values
        for name, values in taken.items()
    }


def test_values_for_tables_out(items):
    taken = items.take(np.array([Z, -1, W, 2]))
    assert taken["since"].dtype.kind == "M"
    assert taken["price"].dtype == float
    taken["since"] = taken["since"].astype("M8[D]").astype(str)
    taken["until"] = taken["until"].astype("M8[D]").astype(str)
    assert plain(taken) == {
        "brand": ["acme", None, "acme", None],
        "price": [25, None, 4.5, None],
        "stock": [3, None, 3, None],
        "new": [True, None, True, None],
        "tags": ["c", None, "b|a", None],
        "shops": [["s"], None, ["n", "s"], None],
        "since": ["2025-01-01", "NaT", "2024-01-01", "NaT"],
        "until": ["2025-01-01", "NaT", "2024-01-01", "NaT"],
        "code": ["", None, "0103", None],
    }


def test_the_first_of_each(items):
    rows = np.array([Z, -1, W, Y, 2])
    assert items.first("brand", rows, "label") == ["acme", None, "acme", None, None]
    assert items.first("tags", rows, "label") == ["c", None, "b", "a", None]
    assert items.first("shops", rows, "label") == ["s", None, "n", None, None]
    np.testing.assert_array_equal(
        items.first("price", rows, "label"), [25, np.nan, 4.5, np.nan, np.nan]
    )
    years = items.first("since", rows, "label").astype("M8[Y]").astype(str)
    assert years.tolist() == ["2025", "NaT", "2024", "NaT", "NaT"]
    with pytest.raises(ValueError, match="label must name a column of the items, got 'name'"):
        items.first("name", rows, "label")


def test_whole_numbers_stay_whole_where_none_is_missing(make):
    items = ItemColumns.of(make({"n": [3, 4], "m": [3.0, 4.0]}), np.arange(2), 2)
    taken = items.take(np.array([1, 0]))
    assert (taken["n"].dtype, taken["m"].dtype) == (np.int64, np.float64)


def test_updates(items, make):
    later = make(
        {
            "id": ["x", "v", "x"],
            "brand": [None, "core", "dell"],
            "price": [1.0, 2.0, 3.0],
            "tags": ["zz", "a|zz", "b"],
            "shops": [["n"], ["t"], ["t"]],
            "color": ["red", "red", "red"],
        }
    )
    before = plain(items.take(np.arange(5)))
    grown = items.put(later, np.array([X, 6, X]), 7)
    assert grown.names == items.names
    assert plain(items.take(np.arange(5))) == before
    after = plain(grown.take(np.arange(7)))
    for name, values in after.items():
        assert values[1:5] == before[name][1:]
    # Of two rows the last one counts; columns that the table lacks are as they were.
    assert [after[name][X] for name in ("brand", "price", "tags", "shops", "code", "stock")] == [
        "dell", 3, "b", ["t"], "0007", 0,
    ]  # fmt: skip
    assert [after[name][6] for name in ("brand", "price", "tags", "shops", "code", "stock")] == [
        "core", 2, "a|zz", ["t"], None, None,
    ]  # fmt: skip
    assert all(
        values[5] is None for name, values in after.items() if name not in ("since", "until")
    )
    assert np.flatnonzero(grown.mask({"tags": "b"})).tolist() == [X, W]


def test_updates_of_other_types(items, make):
    for columns, error, message in (
        ({"code": [103]}, TypeError, "'code' of items must hold texts, as before, got .*dtype=str"),
        ({"new": ["yes"]}, TypeError, "'new' of items must hold no texts, as before"),
        ({"price": ["cheap"]}, ValueError, "'price' of items must hold numbers"),
        ({"shops": ["n"]}, TypeError, "'shops' of items must hold lists, as before"),
        ({"brand": [["acme"]]}, TypeError, "'brand' of items must hold values, as before"),
    ):
        with pytest.raises(error, match=message):
            items.put(make(columns), np.array([0]), 5)
    assert items.put(make({"price": ["3.5"]}), np.array([0]), 5).take([0])["price"].tolist() == [
        3.5
    ]


def test_rows_of_nobody(make):
    items = ItemColumns.of(make({"x": ["a", "b"], "y": [1.0, 2.0]}), np.array([-1, 0]), 1)
    assert plain(items.take(np.array([0]))) == {"x": ["b"], "y": [2]}
    assert not items.mask({"x": "a"}).any()
    nothing = ItemColumns(0, {})
    assert nothing.mask({}).shape == (0,)
    assert nothing.take(np.array([], int)) == {}


def test_numbers_that_are_texts_by_rule(make):
    items = ItemColumns.of(make({"x": ["4", "11"]}), np.arange(2), 2, rules={"x": bins([5])})
    assert items.mask({"x": between(10)}).tolist() == [False, True]


# Against a slow version


values = {
    "word": st.sampled_from(["a", "b", "c"]),
    "number": st.integers(0, 3).map(float),
    "bag": st.lists(st.sampled_from(["p", "q", "r"]), min_size=1, max_size=3),
}
rows_of_items = st.lists(
    st.tuples(
        st.integers(-1, 5),
        st.fixed_dictionaries({name: st.none() | what for name, what in values.items()}),
    ),
    min_size=1,
    max_size=10,
)


@pytest.mark.parametrize("library", LIBRARIES)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(days=st.lists(rows_of_items, min_size=1, max_size=3))
def test_law(library, days):
    whole = {"word": "a", "number": 0.0, "bag": ["p"]}  # so that columns have a type
    days[0].insert(0, (0, whole))
    known = {}
    items = None
    for day in days:
        rows = np.array([row for row, _ in day])
        frame = table(library, {name: [record[name] for _, record in [*day, (-1, whole)]]
                                for name in values})  # fmt: skip
        rows = np.append(rows, -1)
        known |= {row: record for row, record in day if row >= 0}
        items = ItemColumns.of(frame, rows, 6) if items is None else items.put(frame, rows, 6)
    expected = [known.get(row, dict.fromkeys(values)) for row in range(6)]
    for taken_from in (items, saved(items)):
        taken = plain(taken_from.take(np.arange(6)))
        assert taken == {name: [record[name] for record in expected] for name in values}
        for where in ({"word": "a"}, {"number": between(1, 2)}, {"bag": ["p", "q"], "word": "b"}):
            fits = [
                all(
                    record[name] is not None
                    and (
                        wanted.low <= record[name] <= wanted.high
                        if isinstance(wanted, between)
                        else bool(set(record[name]) & set(wanted))
                    )
                    for name, wanted in where.items()
                )
                for record in expected
            ]
            if all(values for name, values in taken.items() if name in where):
                assert taken_from.mask(where).tolist() == fits


# Files


def saved(items):
    described, arrays = items.to_arrays("items_")
    assert all(name.startswith("items_") for name in arrays)
    assert {array.dtype.str for array in arrays.values()} <= {"<f8", "<i8", "<i4", "|u1"}
    return ItemColumns.from_arrays(json.loads(json.dumps(described)), arrays, "items_")


def test_files(items):
    again = saved(items)
    assert again.names == items.names
    assert repr(again.take(np.arange(5))) == repr(items.take(np.arange(5)))
    assert again.mask({"until": between("2024-05-01")}).tolist() == [
        True,
        False,
        False,
        False,
        True,
    ]


def change(path, value):
    def changed(described, arrays):
        described = deepcopy(described)
        place = described
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        return described, arrays

    return changed


def replace(name, array):
    array = np.array(array)
    if name.endswith(("row", "code")) and array.dtype == np.int64:
        array = array.astype(np.int32)  # as they are saved
    return lambda described, arrays: (described, arrays | {name: array})


@pytest.mark.parametrize(
    "damage",
    [
        lambda described, arrays: (None, arrays),
        lambda described, arrays: (described, {}),
        change(["n_items"], 4),
        change(["n_items"], -1),
        change(["n_items"], "5"),
        change(["columns"], 5),
        change(["columns", 0, "name"], []),
        change(["columns", 0, "form"], "other"),
        change(["columns", 0, "form"], None),
        change(["columns", 0, "form"], "split"),
        change(["columns", 0, "values"], {"type": "other"}),
        change(["columns", 0, "values"], {"type": "int"}),
        change(["columns", 0, "values"], None),
        replace("i0_values_lengths", [4]),
        replace("i0_values", np.frombuffer(b"acmeacme", np.uint8)),
        replace("i0_row", [0, 1, 1]),
        replace("i0_row", [0, 4, 1]),
        replace("i0_row", [0, 1, 5]),
        replace("i0_row", [-1, 1, 4]),
        replace("i0_row", [0.0, 1.0, 4.0]),
        replace("i0_row", [[0, 1, 4]]),
        replace("i0_code", [0, 1]),
        replace("i0_code", [0, 1, 2]),
        replace("i1_numbers", [1.0]),
        replace("i1_numbers", [1, 2, 3, 4, 5]),
        replace("i6_numbers", [1.0, 2, 3, 4, 5]),
    ],
)
def test_hostile_files(damage):
    items = ItemColumns.of(table("pandas", ITEMS), np.array([1, 0, 3, 4]), 5, id="id", rules=RULES)
    described, arrays = damage(*items.to_arrays("i"))
    with pytest.raises(ValueError, match="the columns of items cannot be read"):
        ItemColumns.from_arrays(described, arrays, "i")


def test_a_date_is_a_whole_day():
    pd = pytest.importorskip("pandas")
    times = ["2024-01-01 23:59:59", "2024-01-02", "2024-01-02 15:00", "2024-01-03", None]
    frame = pd.DataFrame({"t": pd.to_datetime(times, format="ISO8601"), "text": times})
    frame["text"] = ["2024-01-01", "2024-01-02", "2024-01-02", "2024-01-03", None]
    items = ItemColumns.of(frame, np.arange(5), 5)
    for day in ("2024-01-02", dt.date(2024, 1, 2)):
        for name in ("t", "text"):
            for where in (day, [day], between(day, day)):
                assert items.mask({name: where}).tolist() == [False, True, True, False, False]
    assert items.mask({"t": dt.datetime(2024, 1, 2)}).tolist() == [False, True, False, False, False]
    assert items.mask({"t": between("2024-01-02 10:00", None)}).tolist() == [
        False, False, True, True, False,
    ]  # fmt: skip
    assert items.mask({"text": between(None, "2024-01-02")}).tolist() == [True] * 3 + [False] * 2
