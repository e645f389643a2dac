"""The report of the data: what was planted in tables is found, and nothing else."""

from __future__ import annotations

import ast
import datetime as dt
import re
import uuid
from decimal import Decimal

import numpy as np
import pytest

from lightfm_clone.data import FeatureEncoder, bins
from lightfm_clone.data import columns as columns_of
from lightfm_clone.persistence.datasets import keys_to_arrays
from lightfm_clone.recommender import events
from lightfm_clone.recommender.report import DataReport, Described

pd = pytest.importorskip("pandas")

DAY = 86_400
START = 1_730_000_000


@pytest.fixture(params=["pandas", "polars", "pyarrow"])
def library(request):
    return request.param


def made_of(library, frame):
    if library == "pandas":
        return frame
    if library == "polars":
        return pytest.importorskip("polars").from_pandas(frame)
    return pytest.importorskip("pyarrow").Table.from_pandas(frame)


def report(log, users=None, items=None, decided=(), **how):
    read = events.read(log, **{"user": "user", "item": "item", "timestamp": "time", **how})
    shape = len(read.users.values), len(read.items.values)
    pairs = events.pairs(read.users.codes, read.items.codes, shape, read, duplicates="max")
    users, items = (
        None
        if table is None
        else Described(table, columns_of.by_name(table, "a table")[name].codes())
        for table, name in ((users, "user"), (items, "item"))
    )
    return DataReport.of(read, pairs, users=users, items=items, decided=decided)


def about(found, words):
    """The one finding whose text has these words."""
    fitting = [finding for finding in found.findings if words in finding.what]
    assert len(fitting) == 1, [finding.what for finding in found.findings]
    return fitting[0]


def shop(n_users=3_000, n_items=800, n_events=40_000, n_robots=3, seed=0):
    """A log of 90 days with people of very different diligence, machines, and their tables."""
    rng = np.random.default_rng(seed)
    user_ids = np.array([f"{number:06d}" for number in rng.permutation(10**6)[:n_users]])
    item_ids = np.array([f"{number:05d}" for number in rng.permutation(10**5)[:n_items]])
    diligence = np.minimum(rng.pareto(1.3, n_users) + 0.15, 40)
    first = rng.random(n_users) * 0.8
    user = rng.choice(n_users, n_events, p=diligence / diligence.sum())
    when = first[user] + (1 - first[user]) * rng.random(n_events)
    popularity = 1 / (np.arange(n_items) + 8)
    logs = [
        pd.DataFrame(
            {
                "user": user_ids[user],
                "item": item_ids[rng.choice(n_items, n_events, p=popularity / popularity.sum())],
                "kind": rng.choice(["view", "cart", "buy"], n_events, p=[0.9, 0.07, 0.03]),
                "time": START + (when * 90 * DAY).astype(np.int64),
            }
        )
    ]
    robots = [f"99000{number}" for number in range(n_robots)]
    for day, robot in enumerate(robots):
        n = 1000
        times = START + 10 * day * DAY + rng.integers(0, 2 * DAY, n)
        logs.append(
            pd.DataFrame(
                {"user": robot, "item": rng.choice(item_ids, n), "kind": "view", "time": times}
            )
        )
    log = pd.concat(logs).sample(frac=1, random_state=seed).reset_index(drop=True)
    tags = ["|".join(f"tag{tag}" for tag in rng.integers(0, 30, 3)) for _ in item_ids]
    items = pd.DataFrame(
        {
            "item": item_ids,
            "tags": tags,
            "price": np.exp(rng.normal(3, 1, n_items)).round(2),
            "category_id": rng.integers(100, 160, n_items),
            "title": [f"the {adjective} thing" for adjective in rng.permutation(n_items)],
        }
    )
    users = pd.DataFrame({"user": user_ids, "age": rng.integers(16, 80, n_users)})
    return log, users, items, robots


# ---- events --------------------------------------------------------------------------------------


def test_sizes_and_what_was_removed(library):
    log, _, _, _ = shop(n_robots=0)
    repeated = log.iloc[:50]
    dirty = pd.concat(
        [log, repeated, log.iloc[:7].assign(user=None), log.iloc[:3].assign(item=None)]
    )
    found = report(
        made_of(library, dirty.reset_index(drop=True)),
        event="kind",
        event_weights={"view": 1, "buy": 5},
    )
    counted = log[log["kind"] != "cart"].drop_duplicates()
    assert found.n_rows == len(dirty)
    assert found.n_events == len(counted)
    assert found.n_pairs == len(counted[["user", "item"]].drop_duplicates())
    assert (found.n_users, found.n_items) == (counted["user"].nunique(), counted["item"].nunique())
    assert found.period == (
        np.datetime64(int(counted["time"].min()), "s"),
        np.datetime64(int(counted["time"].max()), "s"),
    )
    n_removed = {
        words: about(found, words).how_many for words in ("'user'", "'item'", "told again")
    }
    n_told = len(dirty.dropna().query("kind != 'cart'")) - len(counted)
    assert n_removed == {"'user'": 7, "'item'": 3, "told again": n_told}
    assert sum(n for _, n, _ in found.removed) == found.n_rows - found.n_events
    assert about(found, "'cart'").remedy == "name it there to keep them"
    assert about(found, "pairs of a user").how_many == found.n_events - found.n_pairs
    assert found.warnings == ()
    text = str(found)
    assert text.startswith(f"{found.n_events:,} events of {found.n_users:,} users")
    assert "2024-10-27 to 2025-01-2" in text and "told again" in text
    assert len(text.splitlines()) == 4


def test_much_removed_is_a_warning():
    log = pd.DataFrame({"user": ["a", None] * 20, "item": range(40), "time": START})
    (found,) = report(log).warnings
    assert "removed 20 of 40 rows (50.0%), without a value in the column 'user'" in found.what


def test_a_kind_with_a_weight_that_never_comes():
    log = pd.DataFrame({"user": [1, 2], "item": [1, 2], "kind": ["view", "buy"], "time": START})
    weights = {"view": 1, "buy": 2, "purchase": 3}
    found = report(log, event="kind", event_weights=weights)
    absent = about(found, "'purchase'")
    assert absent.severity == "warning" and absent.examples == ("purchase",)
    assert "there are 'view', 'buy'" in absent.what
    assert found.kinds == {"view": 1, "buy": 1, "purchase": 0}


def test_a_table_without_rows_says_nothing_of_kinds(library):
    log = pd.DataFrame({"user": ["a"], "item": ["b"], "kind": ["view"], "time": [START]})
    found = report(made_of(library, log[:0]), event="kind", event_weights={"view": 1, "buy": 2})
    assert found.findings == () and found.kinds == {"view": 0, "buy": 0}


YEAR = 365 * DAY
AHEAD = 4_070_908_800  # 2099


@pytest.mark.parametrize(
    "strays, words, examples",
    [
        ([AHEAD], "1 of 40,001 events (<0.1%) lie far from all others", ("2099-01-01T00:00:00",)),
        ([0] * 900, "900 of 40,900 events (2.2%) lie far from all", ("1970-01-01T00:00:00",)),
        ([0, AHEAD], "lie far", ("1970-01-01T00:00:00", "2099-01-01T00:00:00")),
        ([START - 180 * DAY], "1 of 40,001 events (<0.1%) lie far", ("2024-04-30T03:33:20",)),
    ],
)
def test_stray_dates_are_told(strays, words, examples):
    log, _, _, _ = shop(n_robots=0)
    more = pd.DataFrame({"user": "000001", "item": "00001", "kind": "view", "time": strays})
    log = pd.concat([log, more]).sample(frac=1, random_state=0)
    found = about(report(log), "lie far from all others")
    assert found.severity == "warning" and found.where == "events, column 'time'"
    assert words in found.what and found.examples == examples and found.how_many == len(strays)
    assert "mend their dates" in found.remedy and "half_life" in found.remedy
    # In a table as large as is looked at by samples, too.
    large = pd.concat([log] * 6)
    assert about(report(large), "lie far from all others").how_many == 6 * len(strays)


@pytest.mark.parametrize(
    "times",
    [
        START - YEAR * np.random.default_rng(0).exponential(1.0, 50_000),  # a shop that grew
        START - 7 * DAY * np.arange(200),
        np.append(START - DAY * np.arange(200), START - 300 * DAY),
        [START] * 200,
        [START - YEAR, START, START + 60, START + 120],  # too few to tell
    ],
)
def test_dates_that_can_be(times):
    log = pd.DataFrame({"user": "a", "item": range(len(times)), "time": np.asarray(times, float)})
    assert not [f for f in report(log).findings if "lie " in f.what]


def test_dates_to_come():
    hour = pd.Timedelta("1h")
    now = pd.Timestamp.now("UTC")
    log = pd.DataFrame({"user": ["a"] * 3, "item": [1, 2, 3], "time": [now, now + 9 * hour, now]})
    assert report(log).findings == ()
    log.loc[0, "time"] = now + 30 * hour
    found = about(report(log), "1 of 3 events (33.3%) lie in the future")
    assert found.severity == "warning" and found.how_many == 1


@pytest.mark.parametrize(
    "times, severity, words",
    [
        (START, "note", "seconds since 1970"),
        (START * 1000, "note", "milliseconds since 1970"),
        (20_240_131, "warning", "seconds since 1970, which makes the last 1970-08-23"),
    ],
)
def test_numbers_taken_for_times_are_told(times, severity, words):
    found = about(report(pd.DataFrame({"user": [1], "item": [1], "time": times})), "since 1970")
    assert found.severity == severity and words in found.what
    assert "format='%Y%m%d'" in found.remedy


@pytest.mark.parametrize("seed", range(3))
def test_machines_are_found(library, seed):
    log, _, _, robots = shop(seed=seed)
    found = about(report(made_of(library, log), event="kind"), "at the rate of a machine")
    assert found.severity == "warning"
    assert sorted(found.examples) == robots and found.how_many == 3
    assert "theirs are 3,000 of 43,000 events (7.0%)" in found.what
    names = found.remedy[found.remedy.index("isin([") + 5 : -2]
    assert sorted(ast.literal_eval(names)) == robots


def test_people_are_no_machines():
    """Nobody: neither the diligent, nor who rates all in one sitting, nor who replays one song."""
    log, _, _, _ = shop(n_robots=0)
    assert "machine" not in str(report(log))
    rng = np.random.default_rng(0)
    n_rated = np.minimum(rng.lognormal(4.3, 1, 2_000).astype(int) + 20, 3_000)
    user = np.repeat(np.arange(2_000), n_rated)
    sitting = START + user * 1000 + rng.integers(0, 7_200, len(user))
    ratings = pd.DataFrame(
        {"user": user, "item": rng.integers(0, 5_000, len(user)), "time": sitting}
    )
    assert "machine" not in str(report(ratings))
    song = pd.DataFrame({"user": "fan", "item": "song", "time": START + np.arange(5_000)})
    assert "machine" not in str(report(pd.concat([log.drop(columns="kind"), song])))


# ---- ids -----------------------------------------------------------------------------------------

NUMBERS = [*range(2, 60), *range(1000, 1040)]


@pytest.mark.parametrize(
    "seen, described, because, remedy",
    [
        (NUMBERS, list(map(str, NUMBERS)), "their types", "dtype={'item': str}"),
        (list(map(str, NUMBERS)), NUMBERS, "their types", "dtype={'item': str}"),
        (list(map(float, NUMBERS)), list(map(str, NUMBERS)), "their types", "dtype="),
        ([f"{n} " for n in NUMBERS], list(map(str, NUMBERS)), "blanks", "str.strip()"),
        ([f"ab{n}" for n in NUMBERS], [f"AB{n}" for n in NUMBERS], "case", "str.lower()"),
        (NUMBERS, [f"{n:06d}" for n in NUMBERS], "leading zeros", "dtype={'item': str}"),
        ([f"{n}" for n in NUMBERS], [f"{n:06d}" for n in NUMBERS], "leading zeros", "zfill"),
    ],
)
def test_ids_that_are_the_same_in_another_form(library, seen, described, because, remedy):
    log = made_of(library, pd.DataFrame({"user": 1, "item": seen, "time": START}))
    items = made_of(library, pd.DataFrame({"item": described}))
    found = about(report(log, items=items), "because of")
    assert found.severity == "warning"
    assert found.how_many == len(NUMBERS)
    assert because in found.what and remedy in found.remedy
    assert repr(found.examples[0]) in found.what and repr(found.examples[1]) in found.what
    assert found.examples[0] in seen and found.examples[1] in described


def test_a_part_of_the_ids_in_another_form():
    """As a file of mixed types is read: the ids of some rows are numbers."""
    texts = [str(number) for number in NUMBERS]
    mixed = [int(text) if place % 4 == 0 else text for place, text in enumerate(texts)]
    log = pd.DataFrame({"user": 1, "item": mixed, "time": START})
    found = report(log, items=pd.DataFrame({"item": texts}))
    assert about(found, "because of their types").how_many == len(mixed[::4])
    assert about(found, "ids of several types").severity == "warning"


def test_ids_that_are_others():
    log = pd.DataFrame({"user": 1, "item": ["a", "b", "c"], "time": START})
    found = about(report(log, items=pd.DataFrame({"item": [7, 8]})), "are in both")
    assert found.severity == "warning"
    assert "0 of 2 ids are in both: events have 'a' (str), items have 7 (number)" in found.what


def test_ids_on_one_side_only():
    """A table that lacks some and has others more is as it should be: notes."""
    log, users, items, _ = shop(n_robots=0)
    seen = log["user"].unique()
    some = users[~users["user"].isin(seen[:300])]
    found = report(log, users=some, decided=["tags"])
    lacking = about(found, "of events have no row in users")
    assert lacking.how_many == 300 and lacking.severity == "note"
    n_events = log["user"].isin(seen[:300]).sum()
    assert f"theirs are {n_events:,} of 40,000 events" in lacking.what
    unseen = about(found, "of users have no events")
    assert unseen.how_many == len(users) - len(seen)
    assert not found.warnings


@pytest.mark.parametrize(
    "ids, words",
    [
        ([1, 2, "2"], "ids of several types, number, str"),
        (["a", "nan", "None"], "read like missing values: 'None', 'nan'"),
        (["a", "b ", " c"], "2 ids begin or end with blanks"),
    ],
)
def test_odd_ids(ids, words):
    log = pd.DataFrame({"user": pd.Series(ids, dtype=object), "item": 1, "time": START})
    found = report(log)
    assert about(found, words).where == "events, column 'user'"
    (again,) = report(log[:1], users=log[["user"]]).warnings
    assert again.where == "users, column 'user'" and words in again.what


@pytest.mark.parametrize(
    "ids, kind",
    [
        ([uuid.UUID(int=1), uuid.UUID(int=2)], "UUID"),
        ([dt.date(2024, 5, 1), dt.date(2024, 5, 2)], "date"),
        ([dt.datetime(2024, 5, 1, 8), dt.datetime(2024, 5, 2)], "datetime|Timestamp"),
        ([Decimal("1.5"), Decimal("2.5")], "Decimal"),
        ([frozenset("ab"), frozenset("c")], "frozenset"),
        ([("a", dt.date(2024, 5, 1)), ("b", dt.date(2024, 5, 1))], "tuple"),
    ],
)
def test_ids_that_no_file_can_hold(ids, kind):
    log = pd.DataFrame({"user": pd.Series(ids, dtype=object), "item": [1, 2], "time": START})
    found = about(report(log), "cannot be saved")
    assert found.severity == "warning" and found.how_many == 2
    assert re.search(f"ids of type ({kind}) ", found.what) and "str()" in found.remedy
    with pytest.raises(TypeError, match="cannot be saved"):
        keys_to_arrays(ids, "user id")


@pytest.mark.parametrize("ids", ["ab", [1, 2], [b"a", b"b"], [("a", 1), ("b", 2)], [True, False]])
def test_ids_that_a_file_can_hold(ids):
    log = pd.DataFrame({"user": pd.Series([*ids], dtype=object), "item": [1, 2], "time": START})
    assert report(log).warnings == ()


def test_whole_ids_that_are_floats(library):
    log = pd.DataFrame({"user": [1.0, None, 3.0] * 9, "item": range(27), "time": START})
    found = about(report(made_of(library, log)), "are whole numbers, but floats")
    assert found.severity == "warning" and found.examples == (1.0, 3.0)
    assert "'Int64'" in found.remedy
    log["user"] = [0.5, 1.0, None] * 9
    assert "but floats" not in str(report(log))


def test_rows_of_tables_that_do_not_count(library):
    log = pd.DataFrame({"user": 1, "item": ["a", "b"], "time": START})
    items = made_of(library, pd.DataFrame({"item": ["a", "b", "a", None, "a"]}))
    found = report(log, items=items)
    repeated = about(found, "have several rows, of which the last counts: 'a'")
    assert repeated.how_many == 2 and repeated.remedy.endswith("drop_duplicates('item')")
    without = about(found, "1 of 5 rows (20.0%) have no value in 'item'")
    assert without.severity == "note" and "one giant item" in without.remedy


# ---- columns -------------------------------------------------------------------------------------


def test_columns_that_are_something_else(library):
    log, users, items, _ = shop(n_robots=0)
    items = items.assign(
        nothing=None, rare=pd.Series([1.5, 2.5] + [None] * 798), ean=np.arange(800) * 7 + 10**12
    )
    found = report(log, made_of(library, users), made_of(library, items))
    by_column = {finding.where: finding for finding in found.findings}
    expected = {
        "tags": ("warning", "parted by '|'", "columns={'tags': split('|')}"),
        "category_id": ("warning", "look like codes", "columns={'category_id': 'category'}"),
        "title": ("note", "nearly a value of its own", "columns={'title': None}"),
        "ean": ("warning", "look like codes", "columns={'ean': None}"),
        "nothing": ("note", "no value at all", "columns={'nothing': None}"),
        "rare": ("note", "no value in 798 of 800 rows", "columns={'rare': None}"),
    }
    for name, (severity, what, remedy) in expected.items():
        finding = by_column[f"items, column {name!r}"]
        assert finding.severity == severity and what in finding.what and remedy in finding.remedy
    # Neither the price nor the age, nor what the caller has a rule for.
    looked_at = {where for where in by_column if "column" in where and "events" not in where}
    assert looked_at == {f"items, column {name!r}" for name in expected}
    again = report(log, users, items, decided=[*expected])
    assert not any(
        f"items, column {name!r}" == f.where for f in again.findings for name in expected
    )


@pytest.mark.parametrize(
    "values, words",
    [
        (["a;b", "b;c", "a;c", "c"] * 5, "parted by ';'"),
        (["red, blue", "blue, green", "red, green", "red"] * 5, "parted by ','"),
        (["Godfather, The", "Matrix, The", "Alien", "Heat, Lost"], None),
        ([f"{number}.5" for number in range(20)], "numbers as texts"),
        ([f"{number}.5" for number in range(200)], "numbers as texts"),
        ([str(date) for date in pd.date_range("2020-01-01", periods=200)], None),
        ([str(date) for date in pd.date_range("2020-01-01", periods=200)] + ["?"], "nearly a"),
        ([{"a": 1}, {"a": 2}], "no rule reads"),
        (pd.to_timedelta([1, 2], "h"), "no rule reads dtype timedelta64"),
        ([[0.5, 0.25], [1.0, 2.0]], "lists of numbers that are no names"),
        ([[1, 2], [2]], None),
        ([f"{number}" for number in range(1000, 1020)] * 3, None),
        ([f"{number:04d}" for number in range(20)] * 3, None),
        ([*range(1950, 2000)], None),
        ([*range(400, 450)] * 2, "look like codes"),
        ([*range(18, 80)], None),
        ([0.5, 1.5, 2.25] * 9, None),
        ([1, 2, 3] * 9, None),
    ],
)
def test_looks(values, words):
    log = pd.DataFrame({"user": [1], "item": [0], "time": START})
    items = pd.DataFrame({"item": range(len(values)), "what": values})
    found = [f.what for f in report(log, items=items).findings if f.where.endswith("'what'")]
    assert (not found) if words is None else (len(found) == 1 and words in found[0])


def test_what_is_said_of_columns_is_what_the_encoder_does():
    columns = {
        "price": [f"{number}.5" for number in range(200)],
        "tags": [f"a{number}|b{number % 3}|c" for number in range(200)],
        "spec": [{"a": 1}] * 200,
        "vector": [[0.5, 0.25]] * 200,
        "since": [str(date) for date in pd.date_range("2020-01-01", periods=200)],
    }
    items = pd.DataFrame({"item": range(200), **columns})
    log = pd.DataFrame({"user": ["a"], "item": [0], "time": START})
    found = report(log, items=items)
    encoder = FeatureEncoder().fit(items, id="item")
    left_out = {name for name, text in encoder.decisions_.items() if "left out" in text}
    assert left_out == {"item", "price", "tags", "spec", "vector"}
    told = {f.where: f.what + f.remedy for f in found.warnings}
    assert {f"items, column {name!r}" for name in left_out - {"item"}} == told.keys()
    assert not any("is taken for" in text for text in told.values())
    # The remedy does what it says.
    assert "columns={'price': bins(10)}" in told["items, column 'price'"]
    priced = FeatureEncoder({"price": bins(10)}).fit(items[["price"]])
    assert len(priced.feature_names_) == 10


def test_columns_are_looked_at_by_their_first_rows(library):
    n = 100_000
    log = pd.DataFrame({"user": [1], "item": [0], "time": START})
    values = ["x"] * n + ["a|b", "b|c", "a|c"] * n
    items = made_of(library, pd.DataFrame({"item": range(4 * n), "what": values}))
    assert not [f for f in report(log, items=items).findings if "'what'" in f.where]


# ---- how it reads --------------------------------------------------------------------------------


def test_every_finding_has_a_remedy_and_warnings_come_first():
    log, users, items, _ = shop()
    found = report(log, users, items, event="kind")
    severities = [finding.severity for finding in found.findings]
    assert severities == sorted(severities, reverse=True) and set(severities) == {"warning", "note"}
    assert all(finding.remedy and finding.how_many > 0 for finding in found.findings)
    assert f"and {severities.count('note')} notes" in str(found)
    for finding in found.warnings:
        assert finding.what in str(found) and finding.remedy in str(found)
    assert repr(found) == (
        f"DataReport({found.n_events} events, {len(found.warnings)} warnings, "
        f"{severities.count('note')} notes; print it to read them)"
    )
    columns = found.to_frame("pandas").to_dict("list")
    assert list(columns) == ["severity", "where", "what", "how_many", "examples", "remedy"]
    assert {len(column) for column in columns.values()} == {len(found.findings)}


def test_html_is_escaped():
    evil = "<script>alert('&')</script>"
    log = pd.DataFrame({evil: ["b ", evil, None], "item": 1, "kind": [evil] * 3, "time": START})
    items = pd.DataFrame({"item": [1] * 2, evil: [None, None]})
    text = report(log, items=items, user=evil, event="kind")._repr_html_()
    assert "<script" not in text and "&lt;script&gt;" in text
    assert text.count("<tr>") == text.count("</tr>") > 3


def test_without_times_kinds_and_tables():
    log = pd.DataFrame({"user": [1, 2], "item": [1, 1]})
    found = report(log, timestamp=None)
    assert (found.period, found.kinds, found.findings) == (None, {}, ())
    assert str(found) == "2 events of 2 users and 1 items make 2 pairs"
