"""Tables out of files, tables made of columns, and files written block after block."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import os
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightfm_clone.data import columns as columns_of
from lightfm_clone.data import sources

pytest.importorskip("narwhals")
pa = pytest.importorskip("pyarrow")
KINDS = ["pandas", "polars", "pyarrow"]
NAN = float("nan")


def read(text, folder, name="t.csv", **arguments):
    """What is read of a file with this text: columns as lists."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return sources.read(path, "items", **arguments).to_pydict()


def rows_of(table):
    """The columns of any table, as lists with None where a value is missing."""
    found = {}
    for name, column in columns_of.by_name(table, "table").items():
        codes, values = column.codes()
        found[name] = [None if code < 0 else values[code] for code in codes]
    return found


# ---- CSV -----------------------------------------------------------------------------------------


def test_a_shop_as_it_comes(tmp_path):
    text = (
        "itemid,categoryid,price,tags,country,added\n"
        "03272865,0103,,a|b,NA,2024-01-31\n"
        "117093,0104,12.5,,DE,\n"
        "117094,,3,c,,2024-02-01\n"
    )
    assert read(text, tmp_path, texts=["itemid"]) == {
        "itemid": ["03272865", "117093", "117094"],
        "categoryid": ["0103", "0104", None],
        "price": [None, 12.5, 3.0],
        "tags": ["a|b", None, "c"],
        "country": ["NA", "DE", None],
        "added": [dt.date(2024, 1, 31), None, dt.date(2024, 2, 1)],
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["1", "", "-2"], [1, None, -2]),
        (["0", "0.5", "-0.25"], [0.0, 0.5, -0.25]),
        (["0", "10", "00"], ["0", "10", "00"]),
        (["12", "007", ""], ["12", "007", None]),
        (["nan", "NA", "null"], ["nan", "NA", "null"]),
        (["true", "", "false"], [True, None, False]),
        (["", "", ""], [None, None, None]),
        (['""', "x", '"a,b"'], [None, "x", "a,b"]),
        (['"a\nb"', '"a ""b"""', "c"], ["a\nb", 'a "b"', "c"]),
        (
            ["2024-01-02 03:04:05", "", "2024-01-02 00:00:00"],
            [dt.datetime(2024, 1, 2, 3, 4, 5), None, dt.datetime(2024, 1, 2)],
        ),
    ],
)
def test_what_becomes_of_fields(fields, expected, tmp_path):
    found = read("x,y\n" + "".join(f"{field},1\n" for field in fields), tmp_path)
    assert found == {"x": expected, "y": [1, 1, 1]}


def test_ids_are_texts_whatever_they_look_like(tmp_path):
    found = read("user,n\n1,1\n2.50,2\ntrue,3\n", tmp_path, texts=["user"])
    assert found == {"user": ["1", "2.50", "true"], "n": [1, 2, 3]}
    assert read("user,n\n5,1\n", tmp_path, texts=["user"])["user"] == ["5"]


def test_a_leading_zero_far_down_counts_too(tmp_path):
    n = 300_000  # several blocks of what reads them
    text = "code,n\n" + "".join(f"{k + 1},{k}\n" for k in range(n)) + "0103,0\n"
    found = read(text, tmp_path)
    assert found["code"][0] == "1"
    assert found["code"][-1] == "0103"
    assert found["n"][-2] == n - 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.tsv", "a\tb\n01\tx,y\n"),
        ("T.TXT", "a\tb\r\n01\tx,y\r\n"),
        ("t.csv", '\ufeffa,b\n01,"x,y"\n'),
        ("t.csv.gz", gzip.compress(b'a,b\n01,"x,y"\n', mtime=0)),
        ("t.tsv.gz", gzip.compress(b"a\tb\n01\tx,y\n", mtime=0)),
    ],
)
def test_separators_marks_and_compression(name, text, tmp_path):
    assert read(text, tmp_path, name) == {"a": ["01"], "b": ["x,y"]}


def test_only_the_columns_that_are_wanted(tmp_path):
    text = "a,b,c\n1,02,x\n"
    assert read(text, tmp_path, texts=["a"], columns=["a", "b"]) == {"a": ["1"], "b": ["02"]}
    assert read("a,b\n", tmp_path) == {"a": [], "b": []}


words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6)


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(st.tuples(words, words), min_size=1, max_size=8))
def test_texts_come_back(rows, tmp_path_factory):
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b"), *rows])
    found = read(buffer.getvalue(), tmp_path_factory.getbasetemp(), texts=["a", "b"])
    # An empty field is a missing one.
    assert list(zip(*found.values(), strict=True)) == [(a or None, b or None) for a, b in rows]


@pytest.mark.parametrize(
    ("name", "text", "arguments", "message"),
    [
        ("t.csv", "", {}, "items cannot be read from '.*t.csv': Empty CSV file; a first line has"),
        ("t.csv", "a,b\n1,2\n3\n", {}, "Expected 2 columns, got 1: 3; .*quotation marks"),
        ("t.csv", 'a,b\n1,2\n"x,3\n', {}, "items cannot be read"),
        ("t.csv", "a,b\n1,é\n".encode("latin-1"), {}, "'b' is not encoded in UTF-8"),
        ("t.csv", "a,b\n1,é\n".encode("latin-1"), {"texts": ["b"]}, "UTF8 .*encoding is UTF-8"),
        ("t.csv", "é,b\n1,2\n".encode("latin-1"), {}, "encoding is UTF-8"),
        ("t.csv", "é;b\n1;2\n".encode("cp1252"), {}, r"sep=';', encoding='cp1252'"),
        ("t.csv", "a,a\n1,2\n", {}, "items must have each column once, got 'a' again"),
        ("t.csv", "a,b\n1,2\n", {"texts": ["id"]}, "the column 'id', got .* the columns 'a', 'b'$"),
        ("t.csv", "a,b\n1,2\n", {"columns": ["c"]}, "must have the column 'c', got"),
        (
            "t.csv",
            "a;b\n1;2\n",
            {"texts": ["a"]},
            r"'a;b', which ';' seems.*read_csv\(.*sep=';'.* Parquet",
        ),
        ("t.csv.gz", b"a,b\n1,2\n", {}, "cannot be read"),
        ("t.xlsx", "", {}, r"ends in .parquet, .*, .csv, .* got '.*t.xlsx'; read it with pandas"),
        ("t.parquet.gz", "", {}, "must name a file that ends in"),
        ("t.parquet", "no", {}, "cannot be read .*Parquet.*; save it again"),
        ("t.feather", "no", {}, "cannot be read .*; save it again"),
    ],
)
def test_files_that_cannot_be_read(name, text, arguments, message, tmp_path):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        read(text, tmp_path, name, **arguments)


def test_paths_that_lead_nowhere(tmp_path):
    with pytest.raises(FileNotFoundError, match="events names a file that is not there.*no.csv"):
        sources.read(str(tmp_path / "no.csv"), "events")
    with pytest.raises(ValueError, match="events cannot be read .*no Parquet files"):
        sources.read(tmp_path, "events")


# ---- Parquet, feather ----------------------------------------------------------------------------

TYPED = {
    "id": ["007", "8", None],
    "n": [3, None, 5],
    "tags": [["a"], None, []],
    "when": [dt.datetime(2024, 1, 2), None, dt.datetime(2024, 1, 3)],
}


def test_files_that_say_their_types(tmp_path):
    table = pa.table(TYPED)
    parquet = pytest.importorskip("pyarrow.parquet")
    feather = pytest.importorskip("pyarrow.feather")
    parquet.write_table(table, tmp_path / "t.parquet")
    feather.write_feather(table, tmp_path / "t.feather")
    feather.write_feather(table, tmp_path / "t.arrow", compression="uncompressed")
    for name in ("t.parquet", "t.feather", "t.arrow"):
        found = sources.read(tmp_path / name, "items", texts=["id"])
        assert found.to_pydict() == TYPED
        found = sources.read(tmp_path / name, "items", columns=["n", "tags"])
        assert found.to_pydict() == {key: TYPED[key] for key in ("n", "tags")}
        with pytest.raises(ValueError, match="must have the column 'who', got .*'id', 'n', 'tags'"):
            sources.read(tmp_path / name, "items", texts=["who"])


def test_folders_of_parquet(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    for year in (2023, 2024):
        (tmp_path / f"year={year}").mkdir()
        pq.write_table(pa.table({"n": [year % 10]}), tmp_path / f"year={year}" / "part.parquet")
    (tmp_path / "_SUCCESS").touch()
    found = sources.read(tmp_path, "events")
    assert found.sort_by("n").to_pydict() == {"n": [3, 4], "year": [2023, 2024]}


def test_an_index_of_pandas_is_no_column(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"n": [1, 2, 3]})
    frame[frame.n > 1].to_parquet(tmp_path / "t.parquet")
    assert sources.read(tmp_path / "t.parquet", "items").to_pydict() == {"n": [2, 3]}
    pandas.DataFrame({"x": [1, 2]}, index=pandas.Index([7, 5], name="n")).to_parquet(
        tmp_path / "t.parquet"
    )
    assert sources.read(tmp_path / "t.parquet", "items").to_pydict() == {"x": [1, 2], "n": [7, 5]}


# ---- tables, dicts, lists ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_tables_pass_through(kind):
    pytest.importorskip(kind)
    table = sources.make(kind, {"a": [1, 2], "b": ["x", "y"]})
    assert sources.read(table, "items", texts=["a"]) is table
    assert sources.kind_of(table) == kind
    other = object()
    assert sources.read(other, "items") is other  # who reads the columns says what it is


def test_lazy_tables_are_collected():
    polars = pytest.importorskip("polars")
    lazy = polars.LazyFrame({"a": [1, 2], "b": ["x", "y"]})
    assert sources.read(lazy, "items").to_dict(as_series=False) == {"a": [1, 2], "b": ["x", "y"]}
    assert sources.read(lazy, "items", columns=["b"]).columns == ["b"]
    assert sources.read(lazy, "items", columns=["c", "b"]).columns == ["b"]  # its reader tells
    assert sources.kind_of(lazy) == "polars"


def test_columns_and_rows_of_python():
    columns = {"a": [1, None, NAN], "b": ["x", NAN, None], "c": np.array([1.0, NAN, 2])}
    expected = {"a": [1, None, None], "b": ["x", None, None], "c": [1.0, None, 2.0]}
    assert sources.read(columns, "items").to_pydict() == expected
    assert sources.read([{"a": 1}, {"b": "x", "a": 2.5}], "items").to_pydict() == {
        "a": [1.0, 2.5],
        "b": [None, "x"],
    }
    assert sources.read([], "items").num_rows == 0
    with pytest.raises(TypeError, match="'a' must hold values of one type .* type int, str"):
        sources.read({"a": [1, "x"]}, "items")


# ---- tables out ----------------------------------------------------------------------------------

days = st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)).map(
    lambda day: dt.datetime(day.year, day.month, day.day)
)
ids = st.sampled_from(
    [st.integers(-(2**62), 2**62), words, st.booleans(), days, st.floats(-9, 9, width=16)]
)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=60)
@given(values=ids.flatmap(lambda values: st.lists(st.none() | values, max_size=6)))
def test_tables_of_one_type_come_back(kind, values):
    pytest.importorskip(kind)
    for given_as in (values, np.fromiter(values, object, len(values))):
        made = sources.make(kind, {"x": given_as, "n": np.arange(len(values), dtype=np.int32)})
        assert rows_of(made) == {"x": values, "n": list(range(len(values)))}


def test_ids_of_mixed_types_stay_what_they_are():
    mixed = [1, "a", (2, 3), None, ("x",), True]
    alike = [(1, 2), (3, 4)]
    for kind in ("pandas", "polars"):
        library = pytest.importorskip(kind)
        for values in (mixed, alike, [1, "1"]):
            for column in (values, np.fromiter(values, object, len(values))):
                made = sources.make(kind, {"x": column})
                assert isinstance(made, library.DataFrame)
                assert made["x"].to_list() == values
                assert list(map(type, made["x"].to_list())) == list(map(type, values))
    for values in (mixed, alike):
        with pytest.raises(TypeError, match="'x' must hold values of one type .*tuple.*pandas or"):
            sources.make("pyarrow", {"x": values})


def test_numbers_beside_none_are_no_floats():
    pytest.importorskip("pandas")
    assert sources.make("pandas", {"x": [7, None]})["x"].to_list() == [7, None]
    assert str(sources.make("pandas", {"x": [7, 8]})["x"].dtype) == "int64"


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_keep_their_types(kind):
    pytest.importorskip(kind)
    made = sources.make(kind, {"a": np.float32([1, 2]), "b": np.array([1, 2], np.int32)})
    columns = columns_of.by_name(made, "table")
    assert columns["a"].times().dtype == np.float32
    assert columns["b"].times().dtype == np.int32
    assert columns["b"].numbers().tolist() == [1.0, 2.0]


def test_kind_of_what_is_no_table(monkeypatch):
    for gone, found in (((), "pandas"), (("pandas",), "polars"), (("pandas", "polars"), "pyarrow")):
        for name in ("pandas", "polars"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        for name in gone:
            monkeypatch.setitem(sys.modules, name, None)
        for source in ("events.csv", {}, [], None):
            assert sources.kind_of(source) == found


@pytest.mark.parametrize("missing", ["narwhals", "pyarrow"])
def test_a_missing_library_is_named(missing, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, missing, None)
    for call in (
        lambda: columns_of.by_name(object(), "items"),
        lambda: sources.read(tmp_path / "t.csv", "items"),
        lambda: sources.read(object(), "items"),
        lambda: sources.writer(tmp_path / "t.csv").__enter__(),
    ):
        with pytest.raises(
            ImportError, match=rf'{missing}, .*pip install "lightfm-clone\[tables\]'
        ):
            call()


# ---- written block after block -------------------------------------------------------------------

BLOCKS = [
    {"user": ["01", "a,b"], "rank": np.array([1, 2], np.int32), "score": np.float32([0.5, 1])},
    {"user": ['q"', ""], "rank": np.array([1, 2], np.int32), "score": np.float32([2, 3])},
]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_blocks_make_one_file(suffix, tmp_path):
    path = tmp_path / f"lists{suffix}"
    path.write_text("old")
    with sources.writer(path) as write:
        for block in BLOCKS:
            write(block)
        assert path.read_text() == "old"
    found = sources.read(path, "lists", texts=["user"])
    empty = "" if suffix == ".parquet" else None
    assert found.to_pydict() == {
        "user": ["01", "a,b", 'q"', empty],
        "rank": [1, 2, 1, 2],
        "score": [0.5, 1, 2, 3],
    }
    assert os.listdir(tmp_path) == [path.name]


def test_lines_of_json(tmp_path):
    """Numbers as short as they are, what is missing as null, and nothing that JSON lacks."""
    path = tmp_path / "lists.jsonl"
    with sources.writer(path) as write:
        write({"user": np.array([], object), "score": np.array([], np.float32)})
        write({"user": ["ä\n", None, ""], "score": np.float32([0.1, np.nan, 1e30])})
        write({"user": ["x"], "score": np.float32([np.inf])})
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == '{"user":"ä\\n","score":0.1}'
    assert [json.loads(line) for line in lines[1:]] == [
        {"user": None, "score": None},
        {"user": "", "score": 1e30},
        {"user": "x", "score": None},
    ]


def test_names_of_columns(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("user,item\n1,2\n")
    assert sources.names(path, "events") == ["user", "item"]
    with pytest.raises(ValueError, match="did you mean 'user'"):
        sources.read(path, "events", texts=["usr"])
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="events cannot be read"):
        sources.names(path, "events")
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.table({"a": [1]}), tmp_path / "t.parquet")
    assert sources.names(tmp_path / "t.parquet", "events") == ["a"]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_nothing_half_written(suffix, error, tmp_path):
    path = tmp_path / f"lists{suffix}"
    for before in (None, "old"):
        if before:
            path.write_text(before)
        with pytest.raises(error, match="stop"), sources.writer(path) as write:
            write(BLOCKS[0])
            raise error("stop")
        assert os.listdir(tmp_path) == ([path.name] if before else [])
    assert path.read_text() == "old"


def test_blocks_must_be_alike(tmp_path):
    with pytest.raises(ValueError, match="names"), sources.writer(tmp_path / "t.csv") as write:
        write({"a": [1]})
        write({"b": [1]})
    message = "path must end in .parquet, .csv, .jsonl or .ndjson, got 'lists.txt'"
    with pytest.raises(ValueError, match=message):
        sources.writer("lists.txt").__enter__()
    assert not os.listdir(tmp_path)
