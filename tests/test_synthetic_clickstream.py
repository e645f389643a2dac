"""The synthetic clickstream follows its laws, and `Clickstream` finds what was planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lightfm_clone.clickstream import Clickstream
from lightfm_clone.datasets import clickstream as laws
from lightfm_clone.datasets import synthetic_clickstream

ROLES = {
    "user": "user",
    "item": "item",
    "timestamp": "timestamp",
    "watched": "watched",
    "length": "length",
}


@pytest.fixture(scope="module")
def plays():
    return synthetic_clickstream(random_state=3)


@pytest.fixture(scope="module")
def events(plays):
    """Events of people, once each, with what is true of them."""
    truth, events = plays.truth, plays.to_frames()[0].dropna().drop_duplicates()
    segment = dict(zip(truth.user_ids, truth.segments, strict=True))
    events = events[events["user"].isin(segment)]
    user = events["user"].map({one: n for n, one in enumerate(truth.user_ids)}).to_numpy()
    item = events["item"].map({one: n for n, one in enumerate(truth.item_ids)}).to_numpy()
    return events.assign(
        segment=truth.segments[user],
        taste=truth.tastes[user, truth.genres[item]],
        leaves=truth.leaves[user],
    )


def test_tables(plays):
    assert repr(plays).startswith("Plays(") and plays.TABLES == ("events", "people", "items")
    events, people, items = plays.to_frames()
    assert list(events) == ["user", "item", "timestamp", "watched", "length"]
    assert list(people) == ["user", "device"] and list(items) == [
        "item",
        "title",
        "genre",
        "length",
    ]
    assert people["user"].is_unique and items["item"].is_unique
    assert len(people) == 1008 and set(plays.truth.machines) < set(people["user"])
    assert 60_000 < len(events) < 120_000
    assert events["timestamp"].min() >= laws.START * 1000
    lengths = items.set_index("item")["length"]
    there = events.dropna()
    assert (there["item"].map(lengths) == there["length"]).all()
    n = len(events)
    assert events["user"].isna().sum() == pytest.approx(n / 2000, abs=2)
    assert events["item"].isna().sum() == pytest.approx(n / 2000, abs=2)
    assert there.duplicated().sum() == pytest.approx(n / 200, rel=0.2)


def test_the_seed_decides():
    def drawn(seed):
        return pd.DataFrame(synthetic_clickstream(50, 40, days=9, random_state=seed).events)

    assert drawn(1).equals(drawn(1)) and not drawn(1).equals(drawn(2))


def test_watch_times_follow_their_law(events):
    """log(watched / length) is normal around -1.3 + 4 taste, up to the whole length."""
    share = (events["watched"] / events["length"]).to_numpy()
    middle = laws.SHARE_LEVEL + laws.SHARE_TASTE * events["taste"].to_numpy()
    # Of everything that was not watched to the end, and might not have been: normal, cut off at 0.
    for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.5), (0.5, 1)):
        among = (events["taste"] >= low) & (events["taste"] < high)
        n = int(among.sum())
        whole = stats.norm.sf(0, middle[among], laws.SHARE_SPREAD)
        error = np.sqrt((whole * (1 - whole)).sum()) / n
        assert abs((share[among] == 1).mean() - whole.mean()) < 4 * error + 1e-3
    cut = share < 0.98
    place = stats.norm.cdf(np.log(share[cut]), middle[cut], laws.SHARE_SPREAD)
    place /= stats.norm.cdf(np.log(0.98), middle[cut], laws.SHARE_SPREAD)
    assert stats.kstest(place, "uniform").statistic < 0.01


def test_planted_paths_are_found():
    plays = synthetic_clickstream(800, 80, by_path=1.0, n_machines=0, random_state=4)
    truth = plays.truth
    stream = Clickstream(plays.to_frames()[0], **ROLES).clean()
    steps = stream.transitions()
    place = {item: number for number, item in enumerate(steps.item_ids)}
    numbers = np.array([place[item] for item in truth.item_ids])
    counts = steps.counts.toarray()[np.ix_(numbers, numbers)]
    total = counts.sum(axis=1)
    on_path = np.take_along_axis(counts, truth.successors, axis=1)
    # Where an event has lost its item, two steps look like one.
    assert on_path.sum() > 0.995 * counts.sum()
    shares = on_path / total[:, None]
    errors = np.sqrt(laws.SUCCESSORS * (1 - laws.SUCCESSORS) / total[:, None])
    far = np.abs(shares - laws.SUCCESSORS) / errors
    assert far.max() < 4.5 and np.sqrt((far**2).mean()) == pytest.approx(1, abs=0.2)


def test_half_the_steps_follow_the_paths_by_default(plays):
    truth = plays.truth
    events = plays.to_frames()[0]
    stream = Clickstream(events[~events["user"].isin(truth.machines)], **ROLES).clean()
    frame = stream.transitions().to_frame()
    pairs = {(a, truth.item_ids[b]) for a, row in zip(truth.item_ids, truth.successors, strict=True)
             for b in row}  # fmt: skip
    on_path = [pair in pairs for pair in zip(frame["item"], frame["next"], strict=True)]
    share = frame["count"][on_path].sum() / frame["count"].sum()
    assert 0.5 < share < 0.62  # some by taste go there, too


def test_sessions_are_found(plays):
    truth = plays.truth
    stream = Clickstream(plays.to_frames()[0], **ROLES).clean()
    found = stream.people().set_index("user")["n_sessions"].reindex(truth.user_ids).fillna(0)
    wrong = np.abs(found.to_numpy() - truth.n_sessions).sum()
    assert wrong < 0.005 * truth.n_sessions.sum()  # by events without an id alone
    seconds = stream.to_frame()
    idle = (seconds["dwell"] - seconds["watched"]).dropna()
    of_people = idle[~seconds["user"].isin(truth.machines)]
    assert of_people.median() == pytest.approx(laws.IDLE * np.log(2), rel=0.05)


def test_those_who_leave_do_not_come_back(events, plays):
    gone = events["leaves"].notna()
    times = pd.to_datetime(events["timestamp"], unit="ms")
    latest = times[gone] - events["leaves"][gone]
    # The last session begins before, and takes five hours at most, but for its last play.
    assert latest.max() < pd.Timedelta("9h")
    share = pd.Series(~np.isnat(plays.truth.leaves)).groupby(plays.truth.segments).mean()
    error = np.sqrt(laws.LEAVES * (1 - laws.LEAVES) / 250)
    assert (np.abs(share - laws.LEAVES) < 4 * error).all()


def test_segments_watch_at_their_hours_and_what_they_like(events, plays):
    stream = Clickstream(plays.to_frames()[0], **ROLES)
    sessions = stream.sessions()
    segment = dict(zip(plays.truth.user_ids, plays.truth.segments, strict=True))
    hours = sessions["hour"].groupby(sessions["user"].map(segment)).median()
    np.testing.assert_allclose(hours, laws.HOURS, atol=1.5)
    assert events.groupby("segment")["taste"].mean().min() > 0.3


def test_fast_machines_are_found(plays):
    stream = Clickstream(plays.to_frames()[0], **ROLES).clean()
    assert set(stream.machines) <= set(plays.truth.machines)
    assert len(stream.machines) >= 3  # the other half comes as people do


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_people": 19}, "n_people"),
        ({"n_items": 31}, "n_items"),
        ({"days": 1}, "days"),
        ({"n_machines": -1}, "n_machines"),
        ({"by_path": 1.1}, "by_path"),
        ({"by_path": None}, "by_path"),
        ({"n_people": 50.0}, "n_people"),
    ],
)
def test_bad_arguments_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        synthetic_clickstream(**arguments)


def test_the_smallest():
    plays = synthetic_clickstream(20, 32, days=2, n_machines=1)
    assert Clickstream(plays.to_frames()[0], **ROLES).clean().n_items <= 32
