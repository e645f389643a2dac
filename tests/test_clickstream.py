"""Clickstreams, against a slow twin of dictionaries and loops, and by hand."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightfm_clone import Popularity, Recommender
from lightfm_clone.clickstream import Clickstream
from lightfm_clone.clickstream.calendar import local, zone_of

ROLES = {"user": "who", "item": "what", "timestamp": "when"}
AMOUNTS = {"watched": "secs", "length": "of"}
zones = pytest.mark.skipif(not available_timezones(), reason="no time zones on this system")
NOON = 1_714_737_600  # Friday, 3 May 2024


def log(*rows, names=("who", "what", "when")):
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


# Ann: news, film | film, news (the next day); Bob: news; out of order.
LOG = log(
    ("ann", "film", NOON + 300),
    ("bob", "news", NOON + 60),
    ("ann", "news", NOON),
    ("ann", "film", NOON + 86_400),
    ("ann", "news", NOON + 86_400 + 1800),
)


def column(table, name):
    return list(table[name].to_pylist() if isinstance(table, pa.Table) else table[name])


# ---- by hand -------------------------------------------------------------------------------------


def test_events_come_out_in_order():
    frame = Clickstream(pd.DataFrame(LOG), **ROLES).to_frame()
    assert frame["who"].tolist() == ["ann"] * 4 + ["bob"]
    assert frame["what"].tolist() == ["news", "film", "film", "news", "news"]
    assert frame["when"].tolist() == [
        pd.Timestamp(NOON + more, unit="s") for more in (0, 300, 86_400, 88_200, 60)
    ]
    assert frame["session"].tolist() == [0, 0, 1, 1, 2]
    np.testing.assert_array_equal(frame["dwell"], [300, np.nan, 1800, np.nan, np.nan])
    assert frame["hour"].tolist() == [12] * 5
    assert frame["weekday"].tolist() == [4, 4, 5, 5, 4]
    assert frame["seen_before"].tolist() == [0, 0, 1, 1, 0]


def test_people():
    people = Clickstream(pd.DataFrame(LOG), **ROLES).people().set_index("who")
    ann, bob = people.loc["ann"], people.loc["bob"]
    assert (ann.n_events, ann.n_items, ann.n_sessions, ann.n_days) == (4, 2, 2, 2)
    assert ann.recency == 0 and bob.recency == pytest.approx((88_200 - 60) / 86_400)
    assert ann.tenure == pytest.approx(88_200 / 86_400)
    assert (ann.repeats, ann.weekend, ann.night, ann.busiest_hour) == (0.5, 0.5, 0, 2)
    assert ann.dwell == 1050 and ann.dwell_variation == pytest.approx(750 / 1050)
    # Each item led to the other alone.
    assert ann.surprise == 0 and math.isnan(bob.surprise) and math.isnan(bob.dwell)


def test_items():
    items = Clickstream(pd.DataFrame(LOG), **ROLES).items().set_index("what")
    news = items.loc["news"]
    assert (news.n_events, news.n_people) == (3, 2)
    assert news.repeats == pytest.approx(1 / 3)
    assert news.starts == news.ends == pytest.approx(2 / 3)
    assert items.loc["film"].recency == pytest.approx(1800 / 86_400)


def test_sessions_end_after_the_gap():
    sizes = {}
    for gap in ("29min", "30min", "1439min", timedelta(days=1), "0s"):
        stream = Clickstream(LOG, **ROLES, gap=gap)
        sizes[str(gap)] = column(stream.sessions(), "n_events")
    assert sizes["29min"] == [2, 1, 1, 1]
    assert sizes["30min"] == [2, 2, 1]  # a gap of 30 minutes is none that is longer
    assert sizes["1439min"] == sizes["1 day, 0:00:00"] == [4, 1]
    assert sizes["0s"] == [1] * 5


def test_watching_is_no_gap():
    names = ("who", "what", "when", "secs", "of")
    film = log(("a", "x", NOON, 7200, 7200), ("a", "y", NOON + 7300, 60, 600), names=names)
    assert Clickstream(film, **ROLES).n_sessions == 2
    stream = Clickstream(film, **ROLES, **AMOUNTS)
    (session,) = stream.sessions().to_dict("records")
    assert session["duration"] == 7360 and session["end"] == pd.Timestamp(NOON + 7360, unit="s")
    assert session["watched"] == 7260 and session["completion"] == pytest.approx(0.55)
    assert session["n_completed"] == 1 and not session["binge"]


def test_binges_count_items_once():
    names = ("who", "what", "when", "secs", "of")
    items = ["x", "x", "y", "z", "z"]
    rows = [("a", item, NOON + 60 * place, 59, 60) for place, item in enumerate(items)]
    for binge, expected in ((3, True), (4, False)):
        stream = Clickstream(log(*rows, names=names), **ROLES, **AMOUNTS, binge=binge)
        (session,) = stream.sessions().to_dict("records")
        assert session["n_completed"] == 3 and session["binge"] == expected
        assert stream.people()["n_binges"].tolist() == [int(expected)]
    stream = Clickstream(log(*rows, names=names), **ROLES, **AMOUNTS, completed=1)
    assert stream.sessions()["n_completed"].tolist() == [0]


def test_completion_of_odd_lengths():
    names = ("who", "what", "when", "secs", "of")
    rows = [("a", "x", NOON + place, *amounts) for place, amounts in enumerate(
        [(30.0, 60.0), (90.0, 60.0), (0.0, 60.0), (5.0, 0.0), (5.0, -1.0), (5.0, None),
         (None, 60.0), (-1.0, 60.0)]
    )]  # fmt: skip
    stream = Clickstream(log(*rows, names=names), **ROLES, **AMOUNTS)
    assert [(one.what, one.how_many) for one in stream.removed] == [
        ("with less than nothing watched", 1)
    ]
    expected = [0.5, 1, 0, np.nan, np.nan, np.nan, np.nan]
    np.testing.assert_array_equal(stream.to_frame()["completion"], expected)
    person = stream.people().iloc[0]
    assert person.completion == 0.5 and person.completed == pytest.approx(1 / 3)
    assert person.watched == 135


def test_steps_and_paths():
    path = "a a b c a b a b c".split()
    rows = [("u", item, NOON + place) for place, item in enumerate(path)]
    rows += [("v", item, NOON + place) for place, item in enumerate("b c".split())]
    stream = Clickstream(log(*rows), **ROLES)
    steps = stream.transitions()
    assert steps.item_ids.tolist() == ["a", "b", "c"]
    assert steps.counts.toarray().tolist() == [[0, 3, 0], [1, 0, 3], [1, 0, 0]]
    np.testing.assert_allclose(steps.probabilities.toarray()[1], [0.25, 0, 0.75])
    table = steps.to_frame(k=1)
    assert table["next"].tolist() == ["b", "c", "a"] and table["count"].tolist() == [3, 3, 1]
    assert len(steps.to_frame()) == 4
    found = stream.paths(3, k=2)
    assert found.iloc[0].tolist() == ["a", "b", "c", 2, pytest.approx(2 / 3)]
    assert found.iloc[1].tolist() == ["a", "b", "a", 1, pytest.approx(1 / 3)]
    assert all(len(stream.paths(length)) == 0 for length in range(10, 50))  # up to beyond the log


def test_before_ends_the_log():
    stream = Clickstream(pd.DataFrame(LOG), **ROLES)
    day = datetime(2024, 5, 4, tzinfo=timezone.utc)
    for time in (day, "2024-05-04", np.datetime64("2024-05-04"), NOON + 43_200, day.date()):
        past, later = stream.before(time), stream.since(time)
        assert (past.n_events, later.n_events, later.n_people) == (3, 2, 1)
        recency = past.people().set_index("who")["recency"]
        assert recency["ann"] == pytest.approx((43_200 - 300) / 86_400)
    assert stream.n_events == 5
    assert stream.before(NOON).n_people == 0
    ids = past.items()["what"].tolist()
    assert ids == ["film", "news"]


# ---- against the twin ----------------------------------------------------------------------------


def twin(events, gap, completed, binge):
    """Tables as lists of dicts, from rows (user, item, seconds, watched, length)."""
    by_person = defaultdict(list)
    for row in sorted(events, key=lambda row: row[2]):  # stable
        by_person[row[0]].append(row[1:])
    order = list(dict.fromkeys(row[0] for row in events))
    frame, sessions, people, steps = [], [], [], Counter()
    end = max(row[2] for row in events)
    for user in order:
        rows, seen, own = by_person[user], Counter(), []
        for place, (item, time, watched, length) in enumerate(rows):
            before = rows[place - 1] if place else None
            idle = before and time - before[1] - (before[2] or 0)
            if not place or idle > gap:
                own.append([])
            elif before[0] != item:
                steps[before[0], item] += 1
            own[-1].append((item, time, watched, length))
            share = None
            if watched is not None and length is not None and length > 0:
                share = min(watched / length, 1)
            frame.append({"user": user, "item": item, "time": time, "share": share,
                          "session": len(sessions) + len(own) - 1, "seen": seen[item]})  # fmt: skip
            seen[item] += 1
        for one in own:
            shares = [(i, min(w / n, 1)) for i, _, w, n in one if w is not None and n and n > 0]
            done = {item for item, share in shares if share >= completed}
            sessions.append({
                "user": user, "n": len(one), "items": len({item for item, *_ in one}),
                "duration": one[-1][1] + (one[-1][2] or 0) - one[0][1],
                "done": len(done), "binge": len(done) >= binge,
            })  # fmt: skip
        hours = Counter(math.floor(time / 3600) for _, time, *_ in rows)
        people.append({
            "user": user, "n": len(rows), "items": len(seen), "sessions": len(own),
            "days": len({math.floor(time / 86_400) for _, time, *_ in rows}),
            "recency": (end - rows[-1][1]) / 86_400, "busiest": max(hours.values()),
            **{name: sum(
                datetime.fromtimestamp(t, timezone.utc).hour // 6 == part for _, t, *_ in rows
            ) for part, name in enumerate(("night", "morning", "afternoon", "evening"))},
            "weekend": sum(
                datetime.fromtimestamp(t, timezone.utc).weekday() > 4 for _, t, *_ in rows
            ),
        })  # fmt: skip
    return frame, sessions, people, steps


AMOUNT = st.none() | st.integers(0, 4000)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from("uvwxyz"),
        st.integers(0, 400).map(lambda step: NOON + 997 * step),
        AMOUNT,
        AMOUNT,
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(events=EVENTS, gap=st.sampled_from([0, 900, 1800, 7200]))
def test_all_tables_are_those_of_the_twin(events, gap):
    names = ("who", "what", "when", "secs", "of")
    table = pa.table(
        [*(pa.array(of) for of in list(zip(*events, strict=True))[:3])]
        + [pa.array([row[place] for row in events], pa.float64()) for place in (3, 4)],
        names=names,
    )
    try:
        stream = Clickstream(table, **ROLES, **AMOUNTS, gap=f"{gap}s", binge=2)
    except ValueError as error:  # by chance, far more was watched than there is
        assert "must both be seconds" in str(error)
        return
    frame, sessions, people, steps = twin(events, gap, 0.9, 2)
    got = stream.to_frame()
    assert column(got, "who") == [row["user"] for row in frame]
    assert column(got, "what") == [row["item"] for row in frame]
    assert column(got, "session") == [row["session"] for row in frame]
    assert column(got, "seen_before") == [row["seen"] for row in frame]
    shares = [np.nan if row["share"] is None else row["share"] for row in frame]
    found = np.array(column(got, "completion"), dtype=float)
    np.testing.assert_allclose(found, shares, rtol=1e-6)
    got = stream.sessions()
    for name, key in (("n_events", "n"), ("n_items", "items"), ("n_completed", "done"),
                      ("duration", "duration"), ("binge", "binge"), ("who", "user")):  # fmt: skip
        assert column(got, name) == [row[key] for row in sessions], name
    got = stream.people()
    for name, key in (
        ("n_events", "n"),
        ("n_items", "items"),
        ("n_sessions", "sessions"),
        ("n_days", "days"),
        ("busiest_hour", "busiest"),
        ("who", "user"),
    ):
        assert column(got, name) == [row[key] for row in people], name
    np.testing.assert_allclose(column(got, "recency"), [row["recency"] for row in people])
    for name in ("night", "morning", "afternoon", "evening", "weekend"):
        expected = [row[name] / row["n"] for row in people]
        np.testing.assert_allclose(column(got, name), expected)
    made = stream.transitions().to_frame()
    pairs = zip(column(made, "item"), column(made, "next"), column(made, "count"), strict=True)
    assert {(a, b): count for a, b, count in pairs} == steps
    two = stream.paths(2, k=1000)
    pairs = zip(*(column(two, name) for name in ("item_1", "item_2", "count")), strict=True)
    assert {(a, b): count for a, b, count in pairs} == steps
    # Half of the log alone is what a log of that half is.
    half = NOON + 997 * 200
    before = [row for row in events if row[2] < half]
    past = stream.before(half)
    assert past.n_events == len(before)
    if before:
        expected = [row["n"] for row in twin(before, gap, 0.9, 2)[2]]
        assert sorted(column(past.people(), "n_events")) == sorted(expected)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), length=st.integers(2, 5))
def test_paths_are_counted(seed, length):
    check_paths(seed, length)


def test_paths_whose_numbers_would_not_fit():
    check_paths(1, 12, n_other=2000)  # of 2,000^12


def check_paths(seed, length, n_other=0):
    rng = np.random.default_rng(seed)
    items = rng.integers(4, size=80).tolist()
    rows = [(place // 20, item, NOON + place) for place, item in enumerate(items)]
    rows += [(9, -item, NOON + 3600 * item) for item in range(1, n_other + 1)]
    found = Clickstream(log(*rows), **ROLES).paths(length, k=10_000)
    expected, began = Counter(), Counter()
    for user in range(4):
        own = items[20 * user : 20 * user + 20]
        visits = [item for place, item in enumerate(own) if not place or item != own[place - 1]]
        for place in range(len(visits) - length + 1):
            expected[tuple(visits[place : place + length])] += 1
            began[tuple(visits[place : place + length - 1])] += 1
    steps = found[[f"item_{step + 1}" for step in range(length)]].itertuples(index=False)
    got = {tuple(row): (n, p) for row, n, p in
           zip(steps, found["count"], found["probability"], strict=True)}  # fmt: skip
    assert {path: n for path, (n, _) in got.items()} == expected
    for path, (n, share) in got.items():
        assert share == pytest.approx(n / began[path[:-1]])
    assert found["count"].is_monotonic_decreasing


# ---- cleaning ------------------------------------------------------------------------------------


def test_what_is_told_again_counts_once():
    names = ("who", "what", "when", "kind")
    rows = [
        ("a", "x", NOON, "view"),
        ("a", "y", NOON, "view"),
        ("a", "x", NOON, "view"),  # again, with another between
        ("a", "x", NOON, "buy"),  # another kind
        ("b", "x", NOON, "view"),  # another person
        ("a", "x", NOON + 2, "view"),  # later
    ]
    stream = Clickstream(log(*rows, names=names), **ROLES, event="kind")
    for within, again in (("0s", 1), ("1s", 1), ("2s", 2)):
        clean = stream.clean(within=within)
        assert clean.n_events == 6 - again and stream.n_events == 6
        assert [(one.what, one.how_many) for one in clean.removed] == [("told again", again)]
    assert "removed 1 rows (16.7%), told again" in str(stream.clean())
    assert stream.clean().clean().removed == stream.clean().removed
    frame = stream.clean().to_frame()
    assert list(zip(frame["what"], frame["kind"], strict=True))[:3] == [
        ("x", "view"), ("y", "view"), ("x", "buy"),
    ]  # fmt: skip


def test_days_cannot_tell_what_is_told_again():
    days = log(*[("a", "x", "2024-05-03")] * 3)
    assert Clickstream(days, **ROLES).clean().n_events == 3


def test_machines_by_rate():
    rng = np.random.default_rng(0)
    rows = [(f"p{person}", int(rng.integers(150)), NOON + 3600 * int(rng.integers(200)))
            for person in range(300) for _ in range(10)]  # fmt: skip
    rows += [("robot", place % 150, NOON + 20 * place) for place in range(2000)]
    rows += [("keen", place % 150, NOON + 1000 * place) for place in range(300)]
    stream = Clickstream(log(*rows), **ROLES).clean()
    assert stream.machines == ["robot"] and stream.n_people == 301
    assert stream.removed[-1].what == "of 1 machines" and stream.removed[-1].how_many == 2000
    stricter = Clickstream(log(*rows), **ROLES).clean(per_day=80)
    assert stricter.machines == ["robot", "keen"]
    # The same rule as in the report of a Recommender.
    shop = Recommender(Popularity()).fit(log(*rows), **ROLES, verbose=False)
    found = [one for one in shop.report_.findings if "machine" in one.what]
    assert [one.examples for one in found] == [("robot",)]


def test_rows_without_an_id_or_a_time_are_counted():
    rows = [("a", "x", NOON), (None, "x", NOON), ("a", None, NOON), ("a", "x", None)]
    stream = Clickstream(log(*rows), **ROLES)
    assert stream.n_events == 1 and stream.n_rows == 4
    assert [one.how_many for one in stream.removed] == [1, 1, 1]


# ---- tables, types and times ---------------------------------------------------------------------


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_tables_of_the_kind_that_came(make):
    stream = Clickstream(make(LOG), **ROLES)
    kind = type(make(LOG))
    for table in (stream.to_frame(), stream.sessions(), stream.people(), stream.items(),
                  stream.transitions().to_frame(), stream.paths(2)):  # fmt: skip
        assert isinstance(table, kind)
    assert column(stream.people(), "n_events") == [4, 1]


def test_files(tmp_path):
    pd.DataFrame(LOG).assign(who=["007", "1", "007", "007", "007"]).to_csv(
        tmp_path / "log.csv", index=False
    )
    stream = Clickstream(tmp_path / "log.csv", **ROLES)
    assert column(stream.people(), "who") == ["007", "1"]


@pytest.mark.parametrize(
    "times",
    [
        [NOON, NOON + 1],
        [NOON * 1000, NOON * 1000 + 1000],
        [NOON * 10**9, (NOON + 1) * 10**9],
        ["2024-05-03 12:00:00", "2024-05-03T12:00:01"],
        pd.to_datetime([NOON, NOON + 1], unit="s"),
        pd.to_datetime([NOON, NOON + 1], unit="s", utc=True).tz_convert("Asia/Tokyo"),
    ],
)
def test_times_of_any_form(times):
    stream = Clickstream(pd.DataFrame({"who": 1, "what": [1, 2], "when": times}), **ROLES)
    assert stream.period == (np.datetime64(NOON, "s"), np.datetime64(NOON + 1, "s"))
    assert stream.to_frame()["dwell"].tolist()[0] == 1


@zones
def test_clocks_change():
    """In Berlin it was 1:59 and then 3:00 on 31 March 2024, 2:59 and then 2:00 on 27 October."""
    moments = ["2024-03-31T00:59:59", "2024-03-31T01:00:00", "2024-10-27T00:59:59",
               "2024-10-27T01:00:00", "2024-12-31T23:30:00"]  # fmt: skip
    rows = log(*[("a", "x", moment) for moment in moments])
    frame = Clickstream(rows, **ROLES, timezone="Europe/Berlin").to_frame()
    assert frame["hour"].tolist() == [1, 3, 2, 2, 0]
    assert frame["weekday"].tolist() == [6, 6, 6, 6, 2]
    assert frame["when"].tolist()[0] == pd.Timestamp(moments[0])  # which stays UTC
    assert Clickstream(rows, **ROLES, timezone="Europe/Berlin").people()["n_days"].tolist() == [3]
    assert Clickstream(rows, **ROLES).people()["n_days"].tolist() == [3]


@zones
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    zone=st.sampled_from(
        [
            "Europe/Berlin",
            "Australia/Lord_Howe",
            "Asia/Kathmandu",
            "America/St_Johns",
            "Africa/Casablanca",
            "Pacific/Apia",
        ]
    ),  # fmt: skip
)
def test_local_times_are_those_of_zoneinfo(seed, zone):
    rng = np.random.default_rng(seed)
    times = rng.integers(0, 2_000_000_000, 50).astype(float)
    got = local(times, zone_of(zone))
    for time, moved in zip(times.tolist(), got.tolist(), strict=True):
        moment = datetime.fromtimestamp(time, ZoneInfo(zone))
        assert moved - time == moment.utcoffset().total_seconds()


def test_an_empty_log():
    empty = pd.DataFrame({"who": pd.Series([], dtype=str), "what": pd.Series([], dtype=str),
                          "when": pd.Series([], dtype="int64"), "secs": pd.Series([], dtype=float),
                          "of": pd.Series([], dtype=float)})  # fmt: skip
    stream = Clickstream(empty, **ROLES, **AMOUNTS).clean()
    assert repr(stream) == "Clickstream(0 events, 0 people, 0 items, 0 sessions)"
    assert stream.period is None and "0 events" in str(stream)
    for table in (stream.to_frame(), stream.sessions(), stream.people(), stream.items(),
                  stream.transitions().to_frame(), stream.paths()):  # fmt: skip
        assert len(table) == 0 and len(table.columns) > 3
    assert stream.before(NOON).n_events == stream.since(NOON).n_events == 0


def test_one_event():
    stream = Clickstream(log(("a", "x", NOON)), **ROLES)
    assert stream.n_sessions == 1 and stream.transitions().counts.nnz == 0
    (person,) = stream.people().to_dict("records")
    assert person["n_events"] == 1 and person["recency"] == person["tenure"] == 0
    assert math.isnan(person["dwell"]) and math.isnan(person["dwell_variation"])


HOSTILE = [
    "",
    " ",
    "a\x00b",
    "<script>alert(1)</script>",
    "日本",
    "user",
    "nan",
    "'; DROP",
    "\ud7ff",
]


def test_hostile_ids():
    rows = [(name, name[::-1], NOON + place) for place, name in enumerate(HOSTILE)]
    stream = Clickstream(log(*rows), **ROLES)
    assert column(stream.people(), "who") == HOSTILE
    assert sorted(column(stream.items(), "what")) == sorted(name[::-1] for name in HOSTILE)
    many = [("a", "x", NOON), (2**60, ("t", 1), NOON), (b"a", "x", NOON)]
    mixed = Clickstream(pd.DataFrame(log(*many)), **ROLES)
    assert column(mixed.people(), "who") == ["a", 2**60, b"a"]


def test_the_frame_is_what_a_recommender_takes():
    names = ("who", "what", "when", "secs", "of")
    rng = np.random.default_rng(0)
    rows = [(int(rng.integers(20)), int(rng.integers(10)), NOON + place, float(rng.integers(60)),
             60.0) for place in range(300)]  # fmt: skip
    stream = Clickstream(log(*rows, names=names), **ROLES, **AMOUNTS)
    shop = Recommender(Popularity()).fit(
        stream.to_frame(), **ROLES, weight="completion", users=stream.people(), verbose=False
    )
    assert len(shop.user_ids_) == 20


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"user": "whom"}, ValueError, "whom"),
        ({"item": "who"}, ValueError, "two columns"),
        ({"timestamp": "what"}, ValueError, "what"),
        ({"gap": 30}, ValueError, "gap must be a span of time"),
        ({"gap": "-5min"}, ValueError, "gap"),
        ({"gap": "soon"}, ValueError, "gap"),
        ({"timezone": "Europe/Atlantis"}, ValueError, "timezone"),
        ({"timezone": "../../etc/passwd"}, ValueError, "timezone"),
        ({"timezone": 3}, ValueError, "timezone"),
        ({"completed": 90}, ValueError, "completed"),
        ({"binge": 0}, ValueError, "binge"),
        ({"length": "secs"}, ValueError, "watched="),
        ({"watched": "note"}, TypeError, "seconds"),
        ({"watched": "secs", "length": "millis"}, ValueError, "both be seconds"),
        ({"wathced": "secs"}, TypeError, "watched"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, match):
    table = pd.DataFrame(LOG).assign(secs=60.0, millis=0.5, note="x", hour=1)
    with pytest.raises(error, match=match):
        Clickstream(table, **{**ROLES, **arguments})


def test_names_of_columns_that_are_made_are_refused():
    table = pd.DataFrame(LOG)
    for role, name, method in (
        ("who", "recency", Clickstream.people),
        ("who", "binge", Clickstream.sessions),
        ("what", "starts", Clickstream.items),
        ("when", "hour", Clickstream.to_frame),
    ):
        roles = {key: name if column == role else column for key, column in ROLES.items()}
        renamed = table.rename(columns={role: name}).assign(secs=1.0, of=2.0)
        stream = Clickstream(renamed, **roles, **AMOUNTS)
        with pytest.raises(ValueError, match=f"'{name}' .* rename"):
            method(stream)


def test_bad_requests_are_refused():
    stream = Clickstream(LOG, **ROLES)
    for call, match in (
        (lambda: stream.paths(1), "length"),
        (lambda: stream.paths(2, k=0), "k must"),
        (lambda: stream.paths(2.5), "length"),
        (lambda: stream.clean(within=3), "within"),
        (lambda: stream.clean(per_day=0), "per_day"),
        (lambda: stream.before("yesterday"), "time must be"),
        (lambda: stream.before(None), "time must be"),
        (lambda: stream.before(float("nan")), "time must be"),
        (lambda: stream.since(float("inf")), "time must be"),
    ):
        with pytest.raises(ValueError, match=match):
            call()
    with pytest.raises(TypeError, match="time must be"):
        stream.before([1, 2])
    infinite = pd.DataFrame(LOG).assign(secs=np.inf)
    with pytest.raises(ValueError, match="finite"):
        Clickstream(infinite, **ROLES, watched="secs")
