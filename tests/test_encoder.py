"""`FeatureEncoder`: its rules, rows one by one and in tables, growth, files, scikit-learn."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections import Counter
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightfm_clone.data import (
    FeatureEncoder,
    bins,
    categories,
    cross,
    part,
    scaled,
    split,
)
from lightfm_clone.persistence.plain import from_json, json_bytes

LIBRARIES = ["pandas", "polars", "pyarrow"]
NAN = float("nan")


def table(library, columns):
    module = pytest.importorskip(library)
    return module.table(columns) if library == "pyarrow" else module.DataFrame(columns)


@pytest.fixture(params=LIBRARIES)
def make(request):
    return lambda columns: table(request.param, columns)


def rows_of(encoder, matrix):
    """For each row a dict of names and values."""
    assert matrix.dtype == np.float32
    assert matrix.has_canonical_format
    names = encoder.feature_names_
    assert matrix.shape[1] == len(names)
    return [
        {
            names[col]: value
            for col, value in zip(
                matrix.indices[begin:end].tolist(), matrix.data[begin:end].tolist(), strict=True
            )
        }
        for begin, end in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True)
    ]


def encoded(columns, rules=None, make=None):
    make = make or (lambda columns: table("pandas", columns))
    encoder = FeatureEncoder(rules)
    return encoder, rows_of(encoder, encoder.fit_transform(make(columns)))


# Rules


def test_everything_at_once(make):
    encoder = FeatureEncoder(
        {
            "tags": split("|"),
            "price": bins([10, 25]),
            "since": "year",
            "weight": scaled("minmax"),
            "land and price": cross("land", "price"),
            "title": None,
        }
    )
    films = make(
        {
            "id": [7, 8, 9, 10],
            "land": ["GB", "DE", None, "GB"],
            "price": [4.0, 10.0, 24.9, 25.0],
            "tags": ["b| a", None, "a||a", ""],
            "since": ["2024-02-03", "2023-12-31T23:00:00-02:00", None, "2024-01-01"],
            "weight": [1.0, 2.0, None, 5.0],
            "title": ["w", "x", "y", "z"],
            "new": [True, False, None, True],
        }
    )
    matrix = encoder.fit_transform(films, id="id")
    names = [
        "land:GB", "land:DE", "price:<10", "price:[10, 25)", "price:>=25", "tags:b", "tags:a",
        "since:year 2024", "weight", "new", "land and price:GB x <10",
        "land and price:DE x [10, 25)", "land and price:GB x >=25",
    ]  # fmt: skip
    assert encoder.feature_names_ == names
    assert encoder.get_feature_names_out().tolist() == names
    assert rows_of(encoder, matrix) == [
        {
            "land:GB": 1, "price:<10": 1, "tags:b": 1, "tags:a": 1, "since:year 2024": 1,
            "weight": 0, "new": 1, "land and price:GB x <10": 1,
        },
        {
            "land:DE": 1, "price:[10, 25)": 1, "since:year 2024": 1, "weight": 0.25,
            "land and price:DE x [10, 25)": 1,
        },
        {"price:[10, 25)": 1, "tags:a": 2},
        {
            "land:GB": 1, "price:>=25": 1, "since:year 2024": 1, "weight": 1, "new": 1,
            "land and price:GB x >=25": 1,
        },
    ]  # fmt: skip
    assert (encoder.transform(films) != matrix).nnz == 0
    assert list(encoder.decisions_) == [
        "id", "land", "price", "tags", "since", "weight", "title", "new", "land and price",
    ]  # fmt: skip
    assert encoder.decisions_["id"] == "left out: it is the id"
    assert encoder.decisions_["title"] == "left out, as columns says"
    assert encoder.decisions_["price"] == "numbers in 3 bins, edges 10, 25"
    assert encoder.decisions_["tags"] == "texts split at '|', 2 different: b, a"


@pytest.mark.parametrize(
    ("rule", "values", "labels"),
    [
        (bins(2), [1.0, 2.0, 3.0, 4.0], ["<2.5", ">=2.5"]),
        (bins(4), [0.0, 0.0, 0.0, 0.0, 1.0, 7.0], ["<0.75", ">=0.75"]),
        (bins(3), [5.0, 5.0], ["<5", ">=5"]),
        (bins(2), [1 / 3, 1 / 3, 1.0, 1.0], ["<0.666667", ">=0.666667"]),
        (bins(3), [1e6 + 0.1, 1e6 + 0.2, 1e6 + 0.3, 1e6 + 0.4], 3),
        (bins([25, 10, 10.0]), [1.0], ["<10", "[10, 25)", ">=25"]),
        (bins([0.1, 1234567.5, 1e20]), [1.0], ["<0.1", "[0.1, 1234567.5)", "[1234567.5, 1e+20)",
                                               ">=1e+20"]),
        (bins((12345678,)), [1], ["<12345678", ">=12345678"]),
    ],
)  # fmt: skip
def test_bins(rule, values, labels):
    encoder, rows = encoded({"x": [*values, NAN]}, {"x": rule})
    names = encoder.feature_names_
    if labels == 3:
        assert len(set(names)) == 3
    else:
        assert names == [f"x:{label}" for label in labels]
    assert rows[-1] == {}
    assert all(list(row.values()) == [1] for row in rows[:-1])


def test_bins_hold_as_much_as_each_other():
    values = np.random.default_rng(0).exponential(size=1000)
    encoder, rows = encoded({"x": values}, {"x": bins(8)})
    counts = Counter(name for row in rows for name in row)
    assert len(counts) == 8
    assert max(counts.values()) - min(counts.values()) <= 2
    assert (
        list(counts)
        != encoder.feature_names_
        == sorted(encoder.feature_names_, key=lambda name: ("<" not in name, ">" in name, name))
    )  # by edge, not by appearance


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        ("year", ["year 1969", "year 2024", "year 2024"]),
        ("month", ["month 12", "month 2", "month 3"]),
        ("day", ["day 31", "day 29", "day 1"]),
        ("weekday", ["weekday Wednesday", "weekday Thursday", "weekday Friday"]),
        ("hour", ["hour 23", "hour 0", "hour 14"]),
    ],
)
def test_parts_of_dates(make, of, expected):
    times = [
        dt.datetime(1969, 12, 31, 23, 59),
        dt.datetime(2024, 2, 29),
        dt.datetime(2024, 3, 1, 14, 30),
    ]
    for given_times in (times, [time.isoformat() for time in times]):
        encoder, rows = encoded({"t": [*given_times, None]}, {"t": of}, make)
        assert encoder.feature_names_ == [f"t:{label}" for label in dict.fromkeys(expected)]
        assert rows == [*({f"t:{label}": 1} for label in expected), {}]
        for time, row in zip(times, rows, strict=False):
            for value in (time, time.isoformat(), np.datetime64(time), f"{time.isoformat()}Z"):
                assert rows_of(encoder, encoder.transform({"t": value})) == [row]


def test_dates_with_a_zone_are_read_in_utc(make):
    zone = dt.timezone(dt.timedelta(hours=3))
    time = dt.datetime(2024, 1, 1, 1, tzinfo=zone)
    encoder, rows = encoded({"t": [time, time]}, {"t": part("hour")}, make)
    assert rows == [{"t:hour 22": 1}] * 2
    assert encoder.transform({"t": time}).nnz == encoder.transform({"t": time.isoformat()}).nnz == 1


def test_scaled_numbers(make):
    numbers = {"a": [1.0, 2.0, None, 3.0], "b": [1, 2, 3, 4], "c": ["1", " 2 ", None, ""]}
    encoder, rows = encoded(
        numbers, {"a": "number", "b": scaled(None), "c": scaled("minmax")}, make
    )
    assert encoder.feature_names_ == ["a", "b", "c"]
    z = 1.5**0.5
    expected = [{"a": -z, "b": 1, "c": 0}, {"a": 0, "b": 2, "c": 1}, {"b": 3}, {"a": z, "b": 4}]
    assert [row.keys() for row in rows] == [row.keys() for row in expected]
    for row, wanted in zip(rows, expected, strict=True):
        assert row == pytest.approx(wanted, rel=1e-6)
    later = rows_of(encoder, encoder.transform({"a": "5", "b": True, "c": 9}))[0]
    assert later == pytest.approx({"a": 3 * z, "b": 1, "c": 8}, rel=1e-6)
    with pytest.raises(ValueError, match="table must hold numbers that fit 32 bits once"):
        encoder.transform({"b": 1e300})


def test_rare_categories_are_none():
    columns = {"x": ["a", "b", "a", "c", "b", "a"], "y": [1, 1, 2, 2, 2, 2]}
    encoder, rows = encoded(
        columns, {"x": categories(min_count=2), "y": "category", "xy": cross("x", "y")}
    )
    assert encoder.feature_names_ == [
        "x:a", "x:b", "y:1", "y:2", "xy:a x 1", "xy:b x 1", "xy:a x 2", "xy:b x 2",
    ]  # fmt: skip
    assert rows[3] == {"y:2": 1}
    encoder.transform(table("pandas", columns))
    assert encoder.skipped_ == {"x:c": 1}


def test_crosses_of_lists_are_of_each_with_each(make):
    columns = {"a": [["x", "y"], None, ["y"]], "b": ["1|2", "1", "2"], "c": [True, True, False]}
    encoder, rows = encoded(columns, {"b": split("|"), "abc": cross("a", "b", "c")}, make)
    crossed = [{name for name in row if name.startswith("abc")} for row in rows]
    assert crossed == [{f"abc:{a} x {b} x true" for a in "xy" for b in "12"}, set(), set()]
    record = {"a": ["y", "?"], "b": ["2"], "c": True}
    assert "abc:y x 2 x true" in rows_of(encoder, encoder.transform(record))[0]


# What becomes of columns without a rule


def test_defaults(make):
    n = 120
    whole = [[3, 1, 2][i % 3] for i in range(n)]
    day = dt.datetime(2024, 1, 1)
    encoder = FeatureEncoder().fit(
        make(
            {
                "title": [f"film {i}" for i in range(n)],
                "tags": [f"a{i}|b{i % 7}" for i in range(n)],
                "land": [["GB", "DE", None][i % 3] for i in range(n)],
                "genres": [["a", "b"][: i % 3] for i in range(n)],
                "stars": whole,
                "rare": [1.0 if i == 5 else None for i in range(n)],
                "zero": [0.0 if i == 5 else None for i in range(n)],
                "sold": [i % 2 for i in range(n)],
                "price": [i / 7 for i in range(n)],
                "new": [i % 2 == 0 for i in range(n)],
                "all new": [True] * n,
                "shop": ["main"] * n,
                "five": [5.5] * n,
                "released": [day + dt.timedelta(days=9 * i) for i in range(n)],
                "added": [day + dt.timedelta(days=i) for i in range(n)],
                "today": [day + dt.timedelta(hours=i % 9) for i in range(n)],
                "released text": [str(day + dt.timedelta(days=9 * i)) for i in range(n)],
                "added text": [str(dt.date(2024, 1, 1 + i % 28)) for i in range(n)],
                "vector": [[i / 7, 0.5] for i in range(n)],
                "empty": [None] * n,
            }
        )
    )
    told = encoder.decisions_
    starts = {
        "title": "left out: 120 different values in 120 rows; to change it, columns={'title': cat",
        "tags": "left out: 120 different texts in 120 rows; to change it, columns={'tags': split('",
        "land": "categories, 2 different: GB, DE; to change it, columns={'land': None}",
        "genres": "categories, 2 different: a, b;",
        "stars": "categories, 3 different: 3, 1, 2; to change it, columns={'stars': scaled()}",
        "rare": "one feature, 1 where it is true; to change it, columns={'rare': categories()}",
        "zero": "categories, 1 different: 0;",
        "sold": "one feature, 1 where it is true; to change it, columns={'sold': categories()}",
        "price": "numbers in 10 bins, edges 1.7, 3.4, 5.1, 6.8, 8.5, 10.2, 11.9, 13.6, 15.3; to",
        "new": "one feature, 1 where it is true;",
        "all new": "left out: it has one value throughout",
        "shop": "left out: it has one value throughout",
        "five": "left out: it has one value throughout",
        "released": "dates by year, 3 different: year 2024, year 2025, year 2026; to change it",
        "added": "dates by month, 4 different: month 1, month 2, month 3, month 4;",
        "today": "left out: all dates are of one month",
        "released text": "dates by year, 3 different: year 2024, year 2025, year 2026; to change",
        "added text": "left out: all dates are of one month",
        "vector": "left out: its lists hold numbers that are no names, as those of vectors; give",
        "empty": "left out: it has not a single value",
    }
    assert told.keys() == starts.keys()
    for name, start in starts.items():
        assert told[name].startswith(start)
    # What is left out comes back by the very rule that is named.
    rules = {"title": categories(), "tags": split("|"), "shop": categories(), "today": part("day")}
    columns = {"title": ["a", "b"], "tags": ["x", None], "shop": ["m", "m"], "today": [day, day]}
    again, rows = encoded(columns, rules, make)
    assert rows[0] == {"title:a": 1, "tags:x": 1, "shop:m": 1, "today:day 1": 1}


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        (["2023-05-01", "2024-05-01T12:00:00Z", None], ["year 2023", "year 2024"]),
        ([" 2024-05-01", "2024-06-01 10:30", ""], ["month 5", "month 6"]),
        (["2024-05-01", "unknown", None], ["2024-05-01", "unknown"]),
        (["2024-05-01", "2024-13-01"], ["2024-05-01", "2024-13-01"]),
        (["2023", "2024"], ["2023", "2024"]),
        (["20230501", "20240501"], ["20230501", "20240501"]),
        (["", " "], ["", " "]),
    ],
)
def test_texts_that_all_are_dates(make, texts, names):
    encoder, rows = encoded({"x": texts}, None, make)
    assert encoder.feature_names_ == [f"x:{name}" for name in names]
    assert encoder.transform([{"x": text} for text in texts]).toarray().tolist() == [
        [row.get(name, 0) for name in encoder.feature_names_] for row in rows
    ]


def test_lists_of_numbers(make):
    columns = {"x": [[1, 2], [2], None], "y": [[0.5, 2.0], [0.5], None]}
    encoder, rows = encoded(columns, None, make)
    assert rows == [{"x:1": 1, "x:2": 1}, {"x:2": 1}, {}]
    # Who wants each number to be a name says so.
    _, rows = encoded({"y": columns["y"]}, {"y": categories()}, make)
    assert rows == [{"y:0.5": 1, "y:2": 1}, {"y:0.5": 1}, {}]
    for rule in (bins(3), scaled()):
        with pytest.raises(TypeError, match="must hold numbers, got .*a column for each number of"):
            encoded(columns, {"y": rule}, make)


def test_what_no_rule_reads_is_left_out():
    encoder, rows = encoded({"x": [{"a": 1}, {"b": 2}], "y": ["a", "b"]})
    assert rows == [{"y:a": 1}, {"y:b": 1}]
    assert "no rule reads objects of type dict" in encoder.decisions_["x"]


# Against a slow version, one row at a time


words = st.sampled_from(["a", "b", "ä b", "", "1", "x|y", "y|x|x", "3.0"])
MAYBE = {
    "text": words,
    "tags": words,
    "bag": st.lists(st.sampled_from(["p", "q", "r"]), max_size=3),
    "number": st.integers(-9, 9).map(lambda i: i / 2),
    "whole": st.integers(0, 3),
    "good": st.booleans(),
    "day": st.dates(dt.date(1960, 1, 1), dt.date(2040, 1, 1)).map(
        lambda day: dt.datetime(day.year, day.month, day.day)
    ),
}
RULES = {
    "text": categories(),
    "tags": split("|"),
    "bag": categories(),
    "number": bins([-1, 2.5]),
    "whole": categories(),
    "day": part("month"),
    "pair": cross("bag", "number"),
}


def slow_labels(key, value):
    if value is None:
        return []
    if key == "tags":
        return [piece.strip() for piece in value.split("|") if piece.strip()]
    if key == "bag":
        return value
    if key == "number":
        return ["<-1" if value < -1 else "[-1, 2.5)" if value < 2.5 else ">=2.5"]
    if key == "day":
        return [f"month {value.month}"]
    return [str(value)]


def slow(record):
    """A Counter of the names of a row's features."""
    names = Counter(
        f"{key}:{label}" for key in MAYBE if key != "good"
        for label in slow_labels(key, record[key])
    )  # fmt: skip
    names.update(["good"] if record["good"] else [])
    names.update(
        f"pair:{left} x {right}"
        for left in slow_labels("bag", record["bag"])
        for right in slow_labels("number", record["number"])
    )
    return names


records = st.lists(
    st.fixed_dictionaries({key: st.none() | what for key, what in MAYBE.items()}),
    min_size=1,
    max_size=90,
)


def as_table(library, rows):
    columns = {key: [row[key] for row in rows] for key in MAYBE}
    if library == "pandas":
        pandas = pytest.importorskip("pandas")
        types = {"whole": "Int64", "good": "boolean", "number": float, "day": "datetime64[us]"}
        return pandas.DataFrame(
            {key: pandas.Series(c, dtype=types.get(key, object)) for key, c in columns.items()}
        )
    if library == "polars":
        pl = pytest.importorskip("polars")
        types = [pl.String, pl.String, pl.List(pl.String), pl.Float64, pl.Int64, pl.Boolean,
                 pl.Datetime]  # fmt: skip
        return pl.DataFrame(columns, schema=dict(zip(MAYBE, types, strict=True)))
    pa = pytest.importorskip("pyarrow")
    types = [pa.string(), pa.string(), pa.list_(pa.string()), pa.float64(), pa.int64(), pa.bool_(),
             pa.timestamp("us")]  # fmt: skip
    return pa.table(columns, schema=pa.schema(list(zip(MAYBE, types, strict=True))))


@pytest.mark.parametrize("library", LIBRARIES)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(fitted=records, later=records)
def test_law(library, fitted, later):
    # Without both of these it would be left out.
    nothing = dict.fromkeys(MAYBE)
    fitted = [*fitted, nothing | {"good": True}, nothing | {"good": False}]
    frame = as_table(library, fitted)
    encoder = FeatureEncoder(RULES)
    matrix = encoder.fit_transform(frame)
    rows = rows_of(encoder, matrix)
    assert rows == [dict(slow(record)) for record in fitted]
    known = set(encoder.feature_names_)
    for given_rows in (as_table(library, later), later):
        expected, skipped = [], Counter()
        for record in later:
            names = slow(record)
            expected.append({name: n for name, n in names.items() if name in known})
            # Pairs of which one side is no feature are none.
            skipped.update(
                {
                    name: n for name, n in names.items() if name not in known
                    and (name[:5] != "pair:" or f"bag:{name[5:].split(' x ')[0]}" in known)
                }
            )  # fmt: skip
        assert rows_of(encoder, encoder.transform(given_rows)) == expected
        assert encoder.skipped_ == skipped

    # Growth keeps numbers, and leaves nothing unknown.
    before = list(encoder.feature_names_)
    new = encoder.grow(as_table(library, later))
    assert encoder.feature_names_ == before + new
    for part_of, expected_of in ((fitted, fitted), (later, later)):
        grown = rows_of(encoder, encoder.transform(as_table(library, part_of)))
        assert grown == [dict(slow(record)) for record in expected_of]
        assert not encoder.skipped_
    assert (encoder.transform(frame)[:, : len(before)] != matrix).nnz == 0
    assert encoder.grow(as_table(library, later)) == []

    restored = FeatureEncoder.from_plain(from_json(json_bytes(encoder.to_plain())))
    assert restored.feature_names_ == encoder.feature_names_
    assert restored.decisions_ == encoder.decisions_
    assert restored.columns == RULES
    assert (restored.transform(later) != encoder.transform(later)).nnz == 0


# Rows that come later


def test_the_same_whole_number_as_integer_float_and_text(make):
    encoder, _ = encoded({"x": [3, 1, None]}, {"x": "category"}, make)
    assert encoder.feature_names_ == ["x:3", "x:1"]
    for value in (3, 3.0, "3", np.int64(3), np.float32(3)):
        assert encoder.transform({"x": value}).indices.tolist() == [0]
    pandas = pytest.importorskip("pandas")
    studios = pandas.Series([3.0, 1.0, NAN]).astype("category")
    encoder = FeatureEncoder().fit(pandas.DataFrame({"x": studios}))
    assert encoder.feature_names_ == ["x:3.0", "x:1.0"]
    assert encoder.transform({"x": 3}).indices.tolist() == [0]
    assert encoder.grow(pandas.DataFrame({"x": [1, 3, 4]})) == ["x:4"]
    assert encoder.transform({"x": "v3"}).nnz == 0


def test_columns_that_are_missing_or_new(make):
    frame = make({"id": [1, 2], "x": ["a", "b"], "y": [1.5, 2.5]})
    encoder = FeatureEncoder({"y": bins([2])}).fit(frame, id="id")
    few, many = make({"y": [1.0]}), make({"y": [1.0] * 100})
    assert encoder.transform(few).indices.tolist() == [2]
    assert encoder.transform(many).indices.tolist() == [2] * 100
    assert encoder.transform({}).shape == (1, 4)
    assert encoder.transform([]).shape == (0, 4)
    assert encoder.transform({"id": 5}).nnz == 0
    with pytest.warns(UserWarning, match="columns that the fit did not know.*: 'z'; this is said"):
        assert encoder.transform({"x": "b", "z": 3}).indices.tolist() == [1]
    encoder.transform({"x": "b", "z": 3})  # a warning would be an error
    for wrong in (make({"z": [1]}), make({"z": [1] * 100}), {"z": 1}, [{"z": 1}, {}]):
        with pytest.raises(ValueError, match="must have columns of the fit, .*'x'.*got 'z'"):
            encoder.transform(wrong)
    for one in (None, NAN, np.nan):
        assert encoder.transform({"x": one, "y": one}).nnz == 0
    assert encoder.grow(make({"x": ["c"]})) == ["x:c"]
    assert encoder.decisions_["x"].startswith("categories, 3 different: a, b, c;")


def test_tables_stay_as_they_were_and_growth_is_all_or_nothing():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": ["a", "b"], "y": [1.0, 2.0]})
    encoder = FeatureEncoder({"y": scaled()}).fit(frame)
    names = list(encoder.feature_names_)
    with pytest.raises(ValueError, match="'y' of table must hold finite"):
        encoder.grow(pandas.DataFrame({"x": ["new"], "y": [math.inf]}))
    assert encoder.feature_names_ == names
    assert encoder.transform({"x": "new"}).nnz == 0
    encoder.transform(frame).data[:] = 5
    assert frame.to_dict("list") == {"x": ["a", "b"], "y": [1.0, 2.0]}


def test_a_table_is_called_what_its_owner_calls_it():
    encoder = FeatureEncoder({"x": bins(2)})
    encoder.argument = "users"
    with pytest.raises(ValueError, match="'x' of users must hold numbers, .*'ten'; put a missing"):
        encoder.fit(table("pandas", {"x": ["ten", "1"]}))


# Refusals


@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        (lambda: bins(1), ValueError, "bins must be 2 or more, got 1"),
        (lambda: bins([]), ValueError, r"bins must be a number of bins or a list of their edges"),
        (lambda: bins("5"), ValueError, "bins must be a number of bins .*got '5'"),
        (lambda: bins([1, math.inf]), ValueError, "finite numbers"),
        (lambda: bins(2.5), ValueError, "got 2.5"),
        (lambda: split(""), ValueError, r"sep must be a text such as '\|', got ''"),
        (lambda: split(3), ValueError, "got 3"),
        (lambda: categories(min_count=0), ValueError, "min_count must be an integer of at least 1"),
        (lambda: scaled("max"), ValueError, "scaled must be 'standard', 'minmax' or None, got 'ma"),
        (lambda: part("minute"), ValueError, "part must be one of 'year', .*got 'minute'"),
        (lambda: cross("a"), ValueError, r"cross must name two or more different columns, got \('"),
        (lambda: cross("a", "a"), ValueError, "different columns"),
    ],
)
def test_rules_refuse(rule, error, message):
    with pytest.raises(error, match=message):
        rule()


DAY = dt.datetime(2024, 1, 1)


@pytest.mark.parametrize(
    ("columns", "rules", "error", "message"),
    [
        ({}, {"z": bins(2)}, ValueError, "must have the column 'z', which is named in col"),
        ({}, {"x": bins}, TypeError, r"a rule for 'x', such as bins\(5\),.*got <class"),
        ({}, {"x": "yaer"}, ValueError, "rule for 'x', .*one of the words category, .*got 'yaer'"),
        ({}, [("x", None)], TypeError, "columns must be a dict from columns to rules"),
        ({}, {"x": bins(2)}, ValueError, r"'x' of table must hold numbers, .*'a'; .*categories"),
        ({}, {"x": part("year")}, ValueError, "'x' of table must hold dates, or texts such as '20"),
        ({"x": [1, 2]}, {"x": part("year")}, TypeError, "dates, got .*pandas.to_datetime"),
        ({"x": [1, 2]}, {"x": split("|")}, TypeError, r"'x' of table .* texts to split.*bins\(\)"),
        ({"x": [DAY, DAY]}, {"x": bins(2)}, TypeError, r"must hold numbers, .*use part\('year'\)"),
        ({"x": [["a"], []]}, {"x": scaled()}, TypeError, r"numbers, .*use categories\(\) for list"),
        ({"x": [1.0, math.inf]}, None, ValueError, "'x' of table must hold finite numbers, got"),
        ({"x": [1.0, math.inf]}, {"x": bins([1])}, ValueError, "must hold finite numbers, got inf"),
        ({"x": ["1", "inf"]}, {"x": bins([1])}, ValueError, "must hold finite numbers, got inf"),
        ({"x:a": [True, False]}, {"x:a": None, "x:b": cross("x", "y")}, ValueError, "crosses the"),
        ({"y": [1, 2]}, {"y": scaled(), "xy": cross("x", "y")}, ValueError, "'xy' crosses the c"),
        ({"y": [1, 2]}, {"y": cross("x", "y")}, ValueError, "cross the name 'y', which a column"),
        ({"x:a": [True, False]}, None, ValueError, "'x' and 'x:a' of table both make a feature"),
    ],
)  # fmt: skip
def test_fits_refuse(columns, rules, error, message):
    frame = table("pandas", {"x": ["a", "b"]} | columns)
    with pytest.raises(error, match=message):
        FeatureEncoder(rules).fit(frame)


@pytest.mark.parametrize(
    ("given_rows", "error", "message"),
    [
        ({"price": "cheap"}, ValueError, "column 'price' must hold numbers, .*'cheap'; put a miss"),
        ({"price": -math.inf}, ValueError, "column 'price' must hold finite numbers, got -inf"),
        ({"price": [1]}, ValueError, "column 'price' must hold numbers"),
        ({"since": 2024}, ValueError, "column 'since' must hold dates, .*got 2024"),
        ({"tags": 5}, TypeError, "column 'tags' must hold texts to split"),
        (["a"], TypeError, "must be a table, a dict or a list of dicts, got 'a' at position 0"),
        ("a", TypeError, "table must be a pandas or polars DataFrame"),
        (np.zeros((2, 2)), TypeError, "table must be a pandas or polars DataFrame"),
    ],
)
def test_rows_refuse(given_rows, error, message):
    frame = table("pandas", {"price": [1.0, 2.0], "since": [DAY, DAY], "tags": ["a|b", "c"]})
    encoder = FeatureEncoder({"price": bins([1]), "since": "day", "tags": split("|")}).fit(frame)
    with pytest.raises(error, match=message):
        encoder.transform(given_rows)


def test_before_the_fit():
    encoder = FeatureEncoder()
    for call in (
        lambda: encoder.transform({}),
        lambda: encoder.grow(table("pandas", {"x": [1]})),
        lambda: encoder.feature_names_,
        lambda: encoder.decisions_,
        encoder.get_feature_names_out,
        encoder.to_plain,
    ):
        with pytest.raises(ValueError, match="not fitted yet: call fit first"):
            call()
    with pytest.raises(ValueError, match="must have the column 'id', which is named as id"):
        encoder.fit(table("pandas", {"x": [1]}), id="id")


# Files


def plain_of_all():
    frame = table("pandas", {"x": ["a", "b"], "y": [1.0, 2.0], "z": [3.0, 5.0], 7: ["p", "q"]})
    encoder = FeatureEncoder(
        {"y": bins([1.5]), "z": scaled(), "xy": cross("x", "y"), 7: "category"}
    )
    return encoder.fit(frame).to_plain()


def test_plain_keeps_all():
    plain = json.loads(json.dumps(plain_of_all()))
    encoder = FeatureEncoder.from_plain(plain)
    assert encoder.to_plain() == plain
    row = {"x": "a", "y": 2, "z": 5, 7: "q"}
    assert rows_of(encoder, encoder.transform(row)) == [{"x:a": 1, "y:>=1.5": 1, "z": 1, "7:q": 1}]
    assert encoder.skipped_ == {"xy:a x >=1.5": 1}
    without_rules = FeatureEncoder().fit(table("pandas", {"x": ["a", "b"]}))
    assert FeatureEncoder.from_plain(without_rules.to_plain()).columns is None


def change(path, value):
    plain = deepcopy(plain_of_all())
    place = plain
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return plain


@pytest.mark.parametrize(
    "plain",
    [
        None,
        [],
        {},
        5,
        {"columns": None, "encodings": [], "remarks": 3},
    ],
)
def test_what_is_no_plain_encoder(plain):
    with pytest.raises(ValueError, match="an encoder of features cannot be read"):
        FeatureEncoder.from_plain(plain)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["columns"], 3),
        (["columns", 0], ["y", {"rule": "os.system"}]),
        (["columns", 0], ["y", {"rule": "bins", "edges": "abc"}]),
        (["columns", 0], ["y", {"rule": "bins", "edges": [1.0], "more": 2}]),
        (["columns", 0], [{}, None]),
        (["encodings"], {"a": 1}),
        (["encodings", 0, "column"], []),
        (["encodings", 0, "column"], "unheard"),
        (["encodings", 0, "column"], "y"),
        (["encodings", 0, "rule"], None),
        (["encodings", 0, "rule"], {"rule": "bins", "edges": 5}),
        (["encodings", 1, "rule", "edges"], [{"$float": "nan"}]),
        (["encodings", 2, "rule", "learned"], None),
        (["encodings", 2, "rule", "learned"], {"$tuple": [0.0, 0.0, 0.0, 1.0]}),
        (["encodings", 2, "rule", "learned"], {"$tuple": [0.0, 1.0]}),
        (["encodings", 4, "rule", "columns"], {"$tuple": ["x", "unheard"]}),
        (["encodings", 4, "rule", "columns"], {"$tuple": ["x", "z"]}),
        (["encodings", 4, "rule", "columns"], {"$tuple": ["x", []]}),
        (["encodings", 0, "labels"], ["a", 3]),
        (["encodings", 0, "labels"], ["a", "a"]),
        (["encodings", 0, "labels"], ["a"]),
        (["encodings", 0, "labels"], None),
        (["encodings", 0, "numbers"], [0, 2]),
        (["encodings", 0, "numbers"], [0, -1]),
        (["encodings", 0, "numbers"], [0, True]),
        (["encodings", 0, "numbers"], [0, 10**9]),
        (["remarks", 0], ["x", 5]),
        (["remarks", 0], ["x", "text", "more"]),
    ],
)
def test_hostile_plain(path, value):
    with pytest.raises(ValueError, match="an encoder of features cannot be read"):
        FeatureEncoder.from_plain(change(path, value))


def test_names_of_columns_that_cannot_be_saved():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([["a"], ["b"]], columns=[DAY])
    encoder = FeatureEncoder().fit(frame)
    with pytest.raises(TypeError, match="a column's name cannot be saved"):
        encoder.to_plain()


# scikit-learn, reading


def test_scikit_learn():
    pytest.importorskip("sklearn")
    from sklearn.base import clone
    from sklearn.compose import ColumnTransformer
    from sklearn.exceptions import NotFittedError
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.utils.validation import check_is_fitted

    frame = table("pandas", {"x": ["a", "b"] * 20, "y": np.arange(40.0), "z": np.arange(40.0)})
    rules = {"y": bins([10, 20])}
    encoder = FeatureEncoder(rules)
    copied = clone(encoder)
    assert copied is not encoder
    assert copied.get_params() == {"columns": rules}
    with pytest.raises(NotFittedError):
        check_is_fitted(encoder)
    target = np.arange(40) % 2
    pipeline = make_pipeline(copied, LogisticRegression()).fit(frame, target)
    check_is_fitted(copied)
    assert pipeline.score(frame, target) == 1
    assert pipeline[:-1].get_feature_names_out().tolist() == copied.feature_names_
    of_two = ColumnTransformer([("words", FeatureEncoder(), ["x"]), ("rest", "passthrough", ["z"])])
    assert of_two.fit_transform(frame).shape == (40, 3)
    assert of_two.get_feature_names_out().tolist() == ["words__x:a", "words__x:b", "rest__z"]
    search = GridSearchCV(
        pipeline, {"featureencoder__columns": [{"x": None}, {"y": None}]}, cv=2
    ).fit(frame, target)
    assert search.best_params_ == {"featureencoder__columns": {"y": None}}
    with pytest.raises(ValueError, match="unknown parameter 'column'; the only one is columns"):
        encoder.set_params(column=3)
    assert encoder.set_params(columns=None).columns is None


def test_shown():
    assert repr(FeatureEncoder({"x": bins(3), "y": split("|")})) == (
        "FeatureEncoder({'x': bins(3), 'y': split(sep='|')})"
    )
    assert repr(FeatureEncoder()) == "FeatureEncoder()"
    assert repr(bins([1, 2.5])) == "bins([1, 2.5])"
    assert repr(cross("a", "b")) == "cross('a', 'b')"
    encoder, _ = encoded({"<b>": ["<i>", "j"], "long": [1, 2]})
    assert repr(encoder).splitlines() == [
        "FeatureEncoder: 4 features of 2 columns",
        "  <b>   categories, 2 different: <i>, j; to change it, columns={'<b>': None}",
        "  long  categories, 2 different: 1, 2; to change it, columns={'long': scaled()}",
    ]
    html = encoder._repr_html_()
    assert "<th>&lt;b&gt;</th>" in html
    assert "<i>" not in html
    assert FeatureEncoder({"<b>": None})._repr_html_() == (
        "<pre>FeatureEncoder({&#x27;&lt;b&gt;&#x27;: None})</pre>"
    )
