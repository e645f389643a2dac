"""Events to pairs, against a slow twin in dicts; merging day by day; what is refused."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightfm_clone import LightFM
from lightfm_clone._model.advice import FitWarning
from lightfm_clone.recommender import events
from lightfm_clone.recommender.ageing import half_life_seconds

pd = pytest.importorskip("pandas")

WEIGHTS = {"view": 1, "cart": 4, "buy": 10, "hover": 0}
NAMES = {"user": "u", "item": "i", "timestamp": "t", "event": "e"}
DAY = 86_400


def make(library, columns):
    if library == "pandas":
        return pd.DataFrame(columns)
    return pytest.importorskip(library).__getattribute__(
        "DataFrame" if library == "polars" else "table"
    )(columns)


@pytest.fixture(params=["pandas", "polars", "pyarrow"])
def library(request):
    return request.param


def paired(log, duplicates, users=None, items=None):
    """The pairs of a log, numbered as `users` and `items` say or as they come."""
    users = log.users.values if users is None else users
    items = log.items.values if items is None else items
    rows = np.array([users.index(value) for value in log.users.values], dtype=np.int32)
    cols = np.array([items.index(value) for value in log.items.values], dtype=np.int32)
    shape = len(users), len(items)
    return events.pairs(
        rows[log.users.codes], cols[log.items.codes], shape, log, duplicates=duplicates
    )


def entries(pairs, users, items, kinds):
    """{(user, item): (weight, kinds, time)}"""
    found = {}
    for row, user in enumerate(users):
        for at in range(pairs.indptr[row], pairs.indptr[row + 1]):
            mask = 0 if pairs.kinds is None else int(pairs.kinds[at])
            found[user, items[pairs.indices[at]]] = (
                1.0 if pairs.weights is None else pairs.weights[at],
                {kind for bit, kind in enumerate(kinds) if mask >> bit & 1},
                None if pairs.times is None else pairs.times[at],
            )
    return found


def same(found, expected):
    assert found.keys() == expected.keys()
    for key, (weight, kinds, time) in expected.items():
        assert found[key][0] == pytest.approx(weight, rel=1e-5)
        assert found[key][1:] == (kinds, time)


def slow(rows, duplicates, half_life=None):
    """The twin: rows (user, item, kind, time, weight) in the order of the table."""
    kept = [
        row for row in rows
        if None not in row and WEIGHTS.get(row[2], 0) * row[4] > 0
    ]  # fmt: skip
    told = list(dict.fromkeys(kept))
    latest = max((row[3] for row in told), default=0)
    made = {}
    for user, item, kind, time, weight in sorted(told, key=lambda row: row[3]):
        value = WEIGHTS[kind] * weight
        if half_life is not None:
            value *= 0.5 ** ((latest - time) / half_life)
        if (user, item) not in made:
            made[user, item] = value, {kind}, time
            continue
        before, kinds, _ = made[user, item]
        value = {"max": max(before, value), "sum": before + value, "last": value}[duplicates]
        made[user, item] = value, kinds | {kind}, time
    return made, len(kept) - len(told)


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "cid", None]),
        st.sampled_from(["tea", "rum", "ale", None]),
        st.sampled_from([*WEIGHTS, "refund", None]),
        # Not at midnight: times that are whole days are no repeats.
        st.one_of(
            st.integers(1_000, 1_004), st.integers(0, 3 * DAY).filter(lambda t: t % DAY), st.none()
        ),
        st.sampled_from([1.0, 2.0, 0.5, 0.0, None]),
    ),
    max_size=30,
)


def frame(rows):
    columns = dict(zip("uietw", zip(*rows, strict=True) if rows else [()] * 5, strict=True))
    kinds = {"t": float, "w": float}
    return pd.DataFrame({k: pd.Series(list(c), dtype=kinds.get(k, object))
                         for k, c in columns.items()})  # fmt: skip


def read(table, **how):
    how = {"weight": "w", "event_weights": WEIGHTS, **NAMES, **how}
    return events.read(table, **how)


@pytest.mark.parametrize("duplicates", events.DUPLICATES)
@given(rows=ROWS, half_life=st.sampled_from([None, 3600, 2 * DAY]))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_equals_the_twin(duplicates, rows, half_life):
    given_half_life = None if half_life is None else dt.timedelta(seconds=half_life)
    log = read(frame(rows), half_life=given_half_life)
    pairs = paired(log, duplicates)
    expected, n_repeats = slow(rows, duplicates, half_life)
    found = entries(pairs, log.users.values, log.items.values, log.kinds.values)
    same(found, expected)
    assert pairs.n_repeats == n_repeats
    assert pairs.n_events + n_repeats + sum(n for _, n, _ in log.removed) == len(rows)
    # Nobody is numbered who has no event that counts.
    assert set(log.users.values) == {user for user, _ in expected}
    assert set(log.items.values) == {item for _, item in expected}
    for row in range(pairs.shape[0]):
        items = pairs.indices[pairs.indptr[row] : pairs.indptr[row + 1]]
        assert (np.diff(items) > 0).all()


@pytest.mark.parametrize("duplicates", events.DUPLICATES)
@given(
    rows=ROWS.map(lambda rows: [row for row in rows if None not in row]),
    cuts=st.lists(st.integers(0, 3 * DAY), max_size=4),
    half_life=st.sampled_from([None, 3600, 2 * DAY]),
    is_late=st.booleans(),
)
@settings(deadline=None)
def test_merging_day_by_day_equals_all_at_once(duplicates, rows, cuts, half_life, is_late):
    """Of days that come in any order; who is new comes after those who are known."""
    half_life = None if half_life is None else dt.timedelta(seconds=half_life)
    ends = [*sorted(cuts), math.inf]
    days = [
        [row for row in rows if start <= row[3] < end]
        for start, end in zip([0, *ends], ends, strict=False)
    ]
    if is_late:
        days.reverse()
    users, items, total = [], [], None
    for day in days:
        log = read(frame(day), half_life=half_life)
        users = list(dict.fromkeys([*users, *log.users.values]))
        items = list(dict.fromkeys([*items, *log.items.values]))
        new = paired(log, duplicates, users, items)
        if total is None:
            total = new
            continue
        before = [None if a is None else a.copy() for a in (total.weights, total.times)]
        merged = events.merge(total, new, duplicates=duplicates, half_life=half_life)
        for array, copy in zip((total.weights, total.times), before, strict=True):
            np.testing.assert_array_equal(array, copy)
        total = merged
    log = read(frame(rows), half_life=half_life)
    whole = paired(log, duplicates, users, items)
    kinds = log.kinds.values
    same(entries(total, users, items, kinds), entries(whole, users, items, kinds))
    np.testing.assert_array_equal(total.indptr, whole.indptr)
    np.testing.assert_array_equal(total.indices, whole.indices)
    assert (total.n_events, total.n_repeats) == (whole.n_events, whole.n_repeats)


def test_merging_counts_without_times_or_weights():
    first = paired(
        events.read(make("pandas", {"u": [1, 1], "i": [5, 5]}), user="u", item="i"), "sum"
    )
    log = events.read(make("pandas", {"u": [1, 2], "i": [5, 5]}), user="u", item="i")
    merged = events.merge(first, paired(log, "sum"), duplicates="sum")
    np.testing.assert_array_equal(merged.rows().toarray(), [[1], [1]])
    np.testing.assert_array_equal(merged.weights, [3, 1])
    assert merged.times is None and merged.kinds is None
    plain = events.merge(paired(log, "max"), paired(log, "max"), duplicates="max")
    assert plain.weights is None


def test_known_answer(library):
    """By hand: ann sees tea twice and buys it, then bob sees rum, 2 days ago."""
    table = make(
        library,
        {
            "u": ["ann", "bob", "ann", "ann", None, "bob"],
            "i": ["tea", "rum", "tea", "tea", "tea", "tea"],
            "e": ["view", "view", "buy", "view", "view", "refund"],
            "t": [DAY + 1, 1, 2 * DAY + 1, DAY + 1, 5, 7],
        },
    )
    log = events.read(table, event_weights=WEIGHTS, half_life="2d", **NAMES)
    assert [(n, what) for what, n, _ in log.removed] == [
        (1, "without a value in the column 'u' of events"),
        (1, "of a kind that event_weights does not name ('refund')"),
    ]
    assert log.time_unit == "seconds"
    kinds = log.kinds.values
    assert kinds == ["view", "cart", "buy"]  # in the order of event_weights, seen or not
    found = entries(paired(log, "max"), log.users.values, log.items.values, kinds)
    same(
        found,
        {("ann", "tea"): (10, {"view", "buy"}, 2 * DAY + 1), ("bob", "rum"): (0.5, {"view"}, 1)},
    )
    # The repeat of the view counts once: 10 + 1 / sqrt(2).
    pairs = paired(log, "sum")
    assert pairs.n_repeats == 1
    np.testing.assert_allclose(pairs.weights, [10 + 0.5**0.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(paired(log, "last").weights, [10, 0.5], rtol=1e-6)


def test_everything_counts_1_without_weights(library):
    table = make(library, {"u": [3, 3, 3], "i": ["a", "b", "a"]})
    log = events.read(table, user="u", item="i")
    assert log.weights is log.times is log.kinds is None
    assert log.users.values == [3] and log.items.values == ["a", "b"]
    assert paired(log, "max").weights is None
    np.testing.assert_array_equal(paired(log, "sum").weights, [2, 1])  # times cannot tell repeats


def test_whole_days_cannot_tell_repeats():
    days = make("pandas", {"u": [1, 1], "i": [1, 1], "t": pd.to_datetime(["2024-05-01"] * 2)})
    pairs = paired(events.read(days, user="u", item="i", timestamp="t"), "sum")
    assert pairs.n_repeats == 0 and pairs.weights == [2]
    hours = days.assign(t=days["t"] + pd.Timedelta("1h"))
    pairs = paired(events.read(hours, user="u", item="i", timestamp="t"), "sum")
    assert pairs.n_repeats == 1 and pairs.weights == [1]


def test_last_of_the_same_time_is_the_last_in_the_table():
    table = pd.DataFrame({"u": 1, "i": 1, "t": [7, 9, 9, 8], "w": [1.0, 3.0, 2.0, 4.0]})
    how = {"user": "u", "item": "i", "weight": "w"}
    assert paired(events.read(table, timestamp="t", **how), "last").weights == [2]
    assert paired(events.read(table, **how), "last").weights == [4]


def test_the_table_stays_as_it_is(library):
    columns = {
        "u": [1, 2, None, 1],
        "i": [1.0, 2.0, 3.0, 1.0],
        "t": [3e12, 1e12, 2e12, 4e12],
        "w": [1.0, 0.0, 2.0, 3.0],
    }
    table, again = make(library, columns), make(library, columns)
    read_ = events.read(table, user="u", item="i", timestamp="t", weight="w", half_life=1)
    paired(read_, "sum")
    assert table.equals(again)


# ---- times ---------------------------------------------------------------------------------------

MOMENT = dt.datetime(2024, 12, 31, 22, 30, 15)
SECONDS = MOMENT.replace(tzinfo=dt.timezone.utc).timestamp()


@pytest.mark.parametrize(
    "value, unit",
    [
        (int(SECONDS), "seconds"),
        (SECONDS, "seconds"),
        (int(SECONDS) * 1000, "milliseconds"),
        (int(SECONDS) * 10**6, "microseconds"),
        (int(SECONDS) * 10**9, "nanoseconds"),
        (MOMENT, None),
        ("2024-12-31 22:30:15", None),
        ("2024-12-31T22:30:15Z", None),
        ("2025-01-01T00:30:15+02:00", None),
        (str(int(SECONDS)), "seconds"),
    ],
)
def test_times_are_seconds_since_1970(library, value, unit):
    table = make(library, {"u": [1, 1], "i": [1, 2], "t": [value, None]})
    log = events.read(table, user="u", item="i", timestamp="t")
    np.testing.assert_allclose(log.times, [SECONDS], rtol=0, atol=1e-6)
    assert log.time_unit == unit
    assert log.removed[0][:2] == ("without a value in the column 't' of events", 1)


def test_zones_are_brought_to_utc():
    when = pd.Series([MOMENT]).dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    log = events.read(pd.DataFrame({"u": [1], "i": [1], "t": when}), user="u", item="i",
                      timestamp="t")  # fmt: skip
    assert log.times == [SECONDS]


@pytest.mark.parametrize(
    "given_, seconds",
    [("30d", 30 * DAY), (" 12 h", 12 * 3600), ("1.5w", 10.5 * DAY), ("90min", 5400), ("10s", 10),
     (2, 2 * DAY), (0.5, DAY / 2), (np.float32(1), DAY), (dt.timedelta(hours=1), 3600),
     (np.timedelta64(2, "D"), 2 * DAY)],
)  # fmt: skip
def test_half_lives(given_, seconds):
    assert half_life_seconds(given_) == seconds


def test_half_life_of_pandas():
    assert half_life_seconds(pd.Timedelta("36h")) == 1.5 * DAY


# ---- what is removed and what is refused ---------------------------------------------------------


def removed(table, **how):
    log = events.read(table, user="u", item="i", **how)
    return len(log.users.codes), [(n, what) for what, n, _ in log.removed]


def test_kinds_that_do_not_count():
    table = pd.DataFrame({"u": 1, "i": range(9), "e": ["a", "a", *"bcdefgh"]})
    weights = {"a": 1, "b": 0, "z": 2}
    assert removed(table, event="e", event_weights=weights) == (
        2,
        [
            (1, "of a kind that weighs 0 ('b')"),
            (6, "of a kind that event_weights does not name ('c', 'd', 'e', 'f', 'g' and 1 more)"),
        ],
    )


def test_weights_of_0():
    table = pd.DataFrame({"u": 1, "i": [1, 2, 3], "w": [0.0, math.nan, 2.0]})
    assert removed(table, weight="w") == (
        1,
        [(1, "without a value in the column 'w' of events"), (1, "with a weight of 0")],
    )


@pytest.mark.parametrize(
    "watched",
    [
        "share",
        ("seconds", "length"),
        ["seconds", "length"],
        ("start", "end", "length"),
        ("from", "to", "length"),
        ("from text", "to text", "length"),
        ("from ms", "to ms", "length"),
    ],
)
def test_watched_too_little(library, watched):
    shares = [1.0, 0.5, 0.25, 0.05, None]
    start = MOMENT
    columns = {
        "u": [1] * 5,
        "i": [*range(5)],
        "share": shares,
        "seconds": [s and s * 40 for s in shares],
        "start": [10] * 5,
        "end": [s and 10 + s * 40 for s in shares],
        "from": [start] * 5,
        "to": [s and start + dt.timedelta(seconds=s * 40) for s in shares],
        "from text": [start.isoformat()] * 5,
        "to text": [s and (start + dt.timedelta(seconds=s * 40)).isoformat() for s in shares],
        "from ms": [1_700_000_000_000] * 5,
        "to ms": [s and 1_700_000_000_000 + int(s * 40_000) for s in shares],
        "length": [40] * 5,
    }
    table = make(library, columns)
    gone = (1, "without a share that was watched")
    assert removed(table, watched=watched) == (3, [gone, (1, "with less than 10% watched")])
    assert removed(table, watched=watched, min_watched=0.5) == (
        2,
        [gone, (2, "with less than 50% watched")],
    )


def test_watched_without_a_length():
    table = pd.DataFrame({"u": 1, "i": range(3), "s": [5, 5, 50], "n": [0, 10, 10]})
    assert removed(table, watched=("s", "n")) == (2, [(1, "without a share that was watched")])
    (gone,) = events.read(table, user="u", item="i", watched=("s", "n")).removed
    assert gone.remedy == "fill in the columns of watched=, with lengths above 0"
    (gone,) = events.read(table.assign(n=None), user="u", item="i", watched=("s", "n")).removed
    assert gone.how_many == 3


@pytest.mark.parametrize(
    "watched, what, remedy",
    [
        (("end", "start", "n"), "that end before they begin", "names the right columns"),
        (("minus", "n"), "with less than nothing watched", "names the right columns"),
        (("start", "end", "ms"), "with less than 10% watched", "length in another unit"),
        (("some", "n"), "with less than 10% watched", "lower min_watched to keep them"),
    ],
)
def test_the_remedy_fits_what_was_watched(watched, what, remedy):
    table = pd.DataFrame(
        {
            "u": 1,
            "i": [1, 2],
            "start": pd.Timestamp("2024-05-01 10:00"),
            "end": pd.Timestamp("2024-05-01 10:09"),
            "n": 600,
            "ms": 600_000,
            "minus": -5,
            "some": [1, 600],
        }
    )
    (gone,) = events.read(table, user="u", item="i", watched=watched).removed
    assert gone.what == what and remedy in gone.remedy
    assert ("unit" in gone.remedy) == ("ms" in watched)


def test_missing_ids_are_not_to_become_a_giant():
    table = pd.DataFrame({"u": [1.0, None], "i": ["a", "b"]})
    (gone,) = events.read(table, user="u", item="i").removed
    assert "an id of its own" in gone.remedy and "one giant user" in gone.remedy


def test_a_table_with_a_column_for_each_item():
    table = pd.DataFrame(np.eye(30), columns=[f"item {n}" for n in range(30)])
    with pytest.raises(ValueError, match=r"'item 19' and 10 more; .*\.melt\(user, var_name=item"):
        events.read(table, user="u", item="i")
    with pytest.raises(ValueError, match=r"'item 4'; an index .*reset_index\(\)$"):
        events.read(table.iloc[:, :5], user="u", item="i")


TABLE = {
    "u": [1, 2],
    "i": [1, 2],
    "e": ["view", "buy"],
    "t": [10, 20],
    "minus": [1.0, -1.0],
    "huge": [1.0, 1e39],
    "percent": [5.0, 87.0],
    "ms": [3e4, 5e4],
    "length": [30, 50],
    "text": ["yesterday", "today, 8 am"],
    "span": [dt.timedelta(seconds=9)] * 2,
    "list": [[1], [2]],
}


@pytest.mark.parametrize(
    "how, error, words",
    [
        ({"user": "x"}, ValueError, "must have the column 'x' .the user., got the columns 'u'"),
        ({"user": "list"}, TypeError, "must hold user ids, hashable values"),
        ({"weight": "minus"}, ValueError, "finite weights >= 0, got -1 in row 1 .1 such.*drop"),
        ({"weight": "huge"}, ValueError, "finite numbers that fit 32 bits, got 1e.39; put a miss"),
        ({"weight": "e"}, TypeError, "must hold numbers to be weights"),
        ({"timestamp": "text"}, ValueError, "texts of dates such as.*yesterday"),
        ({"timestamp": "list"}, TypeError, "must hold dates, numbers since 1970 or texts"),
        ({"half_life": "30d"}, ValueError, "half_life needs times; name.*timestamp="),
        ({"timestamp": "t", "half_life": "soon"}, ValueError, '"30d", "12h".*soon'),
        ({"timestamp": "t", "half_life": 0}, ValueError, "a time above 0.*got 0"),
        ({"timestamp": "t", "half_life": [1]}, ValueError, r"a number of days.*got \[1\]"),
        ({"timestamp": "t", "half_life": True}, ValueError, "a number of days.*got True"),
        ({"event_weights": {"view": 1}}, ValueError, "name it with event="),
        ({"event": "e", "event_weights": ["view"]}, TypeError, "dict from kinds to numbers.*list"),
        ({"event": "e", "event_weights": {"view": -1}}, ValueError, ">= 0, got -1 for 'view'"),
        ({"event": "e", "event_weights": {"view": "1"}}, TypeError, "got str for 'view'"),
        ({"event": "e", "event_weights": {"view": 0}}, ValueError, "weight above 0"),
        ({"watched": "percent"}, ValueError, "shares from 0 to 1, got 87; divide it by 100"),
        ({"watched": ("ms", "length")}, ValueError, "one unit.*1000 in the median"),
        ({"watched": ("a", "b", "c", "d")}, ValueError, "watched must be a column of shares"),
        ({"watched": "e"}, TypeError, "must hold numbers to say what was watched"),
        ({"watched": "span"}, TypeError, r"dtype timedelta64.*\.dt\.total_seconds\(\)"),
        ({"watched": ["span", "span", "length"]}, TypeError, r"\.dt\.total_seconds\(\)"),
        ({"watched": ("text", "text", "length")}, ValueError, "dates such as.*to be the start or"),
        ({"watched": "length", "min_watched": 0}, ValueError, "min_watched must be a share"),
        ({"watched": "length", "min_watched": "10%"}, TypeError, "min_watched must be a number"),
    ],
)  # fmt: skip
def test_errors_say_what_to_do(how, error, words):
    with pytest.raises(error, match=words):
        events.read(pd.DataFrame(TABLE), **{"user": "u", "item": "i", **how})


def test_ids_are_not_kinds():
    table = pd.DataFrame({"u": 1, "i": range(100), "e": range(100)})
    with pytest.raises(ValueError, match="at most 64 kinds of events, got 100; is it the column"):
        events.read(table, user="u", item="i", event="e")


def test_a_log_of_nothing(library):
    table = make(library, {"u": ["ann", "bob"], "i": ["tea", "rum"], "e": ["VIEW", "BUY"]})
    log = events.read(table, user="u", item="i", event="e", event_weights=WEIGHTS)
    pairs = paired(log, "sum")
    assert pairs.shape == (0, 0) and len(pairs.weights) == len(pairs.kinds) == 0
    with pytest.raises(ValueError, match="got 2 rows; 2 of a kind.*'VIEW', 'BUY'.: name it there"):
        events.refuse_empty(len(log.users.codes), log.n_rows, log.removed)
    events.refuse_empty(1, 1, ())


def test_duplicates_are_refused():
    log = events.read(pd.DataFrame({"u": [1], "i": [1]}), user="u", item="i")
    for words in ("mean", None, []):
        with pytest.raises(ValueError, match="duplicates must be one of 'max', 'sum', 'last'"):
            paired(log, words)


# ---- kinds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "n_kinds, dtype", [(1, "u1"), (8, "u1"), (9, "u2"), (33, "u8"), (64, "u8")]
)
def test_masks_of_kinds(n_kinds, dtype):
    kinds = [f"kind {number}" for number in range(n_kinds)]
    table = pd.DataFrame({"u": 1, "i": range(n_kinds), "e": kinds})
    log = events.read(table, user="u", item="i", event="e")
    pairs = paired(log, "max")
    assert pairs.kinds.dtype == dtype
    assert pairs.rows().nnz == n_kinds
    last = pairs.rows(events.mask_of(kinds, kinds[-1], "kinds"))
    assert last.indices.tolist() == [n_kinds - 1] and last.has_canonical_format
    assert pairs.rows(events.mask_of(kinds, kinds, "kinds")).nnz == n_kinds
    assert pairs.rows(events.mask_of(kinds, [], "kinds")).nnz == 0


def test_rows_of_some_kinds():
    table = pd.DataFrame(
        {"u": list("aabbc"), "i": list("xyxxz"), "e": ["view", "buy", "view", "cart", "view"]}
    )
    log = events.read(table, user="u", item="i", event="e")
    pairs = paired(log, "max")
    mask = events.mask_of(log.kinds.values, {"buy", "cart"}, "leave_out")
    np.testing.assert_array_equal(pairs.rows(mask).toarray(), [[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    with pytest.raises(
        ValueError, match="leave_out must name kinds.*'sold'; there are 'view', 'buy'"
    ):
        events.mask_of(log.kinds.values, "sold", "leave_out")
    bare = paired(events.read(table, user="u", item="i"), "max")
    with pytest.raises(ValueError, match="name their column with event="):
        bare.rows(1)


def test_kinds_of_earlier_events_keep_their_numbers():
    table = pd.DataFrame({"u": [1, 1], "i": [1, 2], "e": ["buy", "gift"]})
    log = events.read(table, user="u", item="i", event="e", known_kinds=["view", "buy"])
    assert log.kinds.values == ["view", "buy", "gift"]
    assert log.kinds.codes.tolist() == [1, 2]


# ---- weights for the loss ------------------------------------------------------------------------


def test_weights_are_1_in_the_mean():
    weights = np.array([1, 2, 30], dtype=np.float32)
    for loss in ("softmax", "bpr", "logistic", None):
        found = events.loss_weights(weights, loss, 10**5)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, weights / 11, rtol=1e-6)
    assert events.loss_weights(None, "warp", 5) is None
    assert events.loss_weights(np.full(3, 7, np.float32), "warp", 5) is None
    assert events.loss_weights(weights[:0], "warp", 5) is None


@given(
    weights=st.lists(st.floats(2**-10, 2**10, width=32), min_size=2, max_size=20),
    n_items=st.integers(1, 10**6),
)
def test_the_cut_of_warp_takes_nothing_away(weights, n_items):
    weights = np.array([*weights, weights[0] * 2], dtype=np.float32)
    found = events.loss_weights(weights, "warp", n_items)
    rank = np.float32(math.log(max(n_items - 1, 2)))
    assert found.max() * rank <= 10
    np.testing.assert_allclose(found / found[0], weights / weights[0], rtol=1e-5)
    mean = found.mean(dtype=np.float64)
    # Scaled down where the highest would be cut, and not further.
    assert mean == pytest.approx(1, rel=1e-5) or found.max() * rank > 9.999


def test_a_fit_with_these_weights_is_not_warned_of_the_cut(recwarn):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"u": rng.integers(40, size=400), "i": rng.integers(200, size=400),
                          "w": rng.choice([1, 50], 400)})  # fmt: skip
    pairs = paired(events.read(table, user="u", item="i", weight="w"), "max")
    interactions = pairs.rows()

    def fit(weights):
        sample_weight = interactions.tocoo()
        sample_weight.data = weights
        LightFM(loss="warp", random_state=0).fit(interactions, sample_weight=sample_weight)

    with pytest.warns(FitWarning, match="sample_weight is too high to tell"):
        fit(pairs.weights)
    recwarn.clear()
    fit(events.loss_weights(pairs.weights, "warp", 200))
    assert not recwarn.list


# ---- from a file ---------------------------------------------------------------------------------


ROLES = {"user": "u", "item": "i", "timestamp": None, "event": "e", "event_weights": WEIGHTS}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_of_a_file_only_what_is_named_is_read(tmp_path, suffix, monkeypatch):
    table = pd.DataFrame(
        {"u": ["01", "2"], "i": ["a", "b"], "e": ["buy", "view"], "s": [0.5, 0.9], "title": "x"}
    )
    path = tmp_path / f"events.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    tables = []
    read = events.read
    monkeypatch.setattr(
        events, "read", lambda table, **how: tables.append(table) or read(table, **how)
    )
    log = events.of_source(path, {**ROLES, "watched": "s", "min_watched": 0.6})
    assert set(tables[0].column_names) == {"u", "i", "e", "s"}
    assert (log.users.values, log.items.values) == (["2"], ["b"])
    assert log.weights.tolist() == [1]


def test_of_a_lazy_table_that_lacks_a_column():
    polars = pytest.importorskip("polars")
    lazy = polars.LazyFrame({"u": ["1"], "i": ["a"], "x": [1]})
    with pytest.raises(ValueError, match=r"events must have the column 'e' \(the event\)"):
        events.of_source(lazy, ROLES)
