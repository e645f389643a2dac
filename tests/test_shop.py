"""The synthetic shop: each piece of dirt is there, and so is the truth."""

from __future__ import annotations

import csv
from collections import Counter

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from lightfm_clone import LightFM, evaluate
from lightfm_clone.datasets import synthetic_shop
from lightfm_clone.datasets.shop import COUNTRIES, DAY, KINDS, START
from lightfm_clone.recommender import Popularity, Random


@pytest.fixture(scope="module")
def shop():
    return synthetic_shop()


@pytest.fixture(scope="module")
def people(shop):
    """Events of people that have a visitor and a product: (user, item, kind, time), as numbers."""
    users, items = (
        {name: number for number, name in enumerate(names)}
        for names in (shop.truth.user_ids, shop.truth.item_ids)
    )
    kinds = {name: number for number, name in enumerate(KINDS)}
    rows = [
        (users[user], items[item], kinds[kind], time)
        for user, item, kind, time in zip(*shop.events.values(), strict=True)
        if user in users and item is not None
    ]
    return np.array(rows, dtype=np.int64).T


def missing(column) -> int:
    return sum(value is None or value != value for value in column)


def check_columns(table: dict, names: list[str]) -> None:
    assert list(table) == names
    assert len({len(column) for column in table.values()}) == 1


# ---- the tables ----------------------------------------------------------------------------------


def test_columns(shop):
    check_columns(shop.events, ["visitorid", "itemid", "event", "timestamp"])
    check_columns(shop.visitors, ["visitorid", "country", "signup_date", "age"])
    check_columns(shop.products, ["itemid", "categoryid", "price", "tags", "brand", "title"])
    assert repr(shop) == "Shop(50,000 events, 2,550 visitors, 803 products)"
    assert shop.events["timestamp"].dtype == np.int64
    days = (shop.events["timestamp"] - START) / DAY
    assert 0 <= days.min() < 3 and 89 < days.max() < 90.1
    assert np.abs(np.corrcoef(days, np.arange(len(days)))[0, 1]) < 0.02  # in no order


def test_ids_are_texts_with_leading_zeros(shop):
    for ids, width in ((shop.truth.user_ids, 8), (shop.truth.item_ids, 6)):
        assert len(set(ids)) == len(ids)
        assert all(type(name) is str and len(name) == width for name in ids)
        assert 0.15 < np.mean([name.startswith("0") for name in ids]) < 0.35
    codes = set(shop.products["categoryid"])
    assert codes == {f"{100 + code:04d}" for code in range(60)}


def test_the_same_event_twice(shop):
    counts = Counter(zip(*shop.events.values(), strict=True))
    assert Counter(counts.values()) == {1: 50_000 - 2 * (50_000 // 240), 2: 50_000 // 240}


def test_several_kinds_of_event_for_a_pair(people):
    users, items, kinds, times = people
    pairs = users * 1000 + items
    bought = set(pairs[kinds == 2])
    assert len(bought) > 500
    assert len(bought & set(pairs[kinds == 1]) & set(pairs[kinds == 0])) > 0.95 * len(bought)
    shares = np.bincount(kinds) / len(kinds)
    assert 0.8 < shares[0] < 0.95 and shares[1] > 2 * shares[2] > 0.02


def test_events_without_a_visitor_or_a_product(shop):
    assert missing(shop.events["itemid"]) == 49_792 // 2500
    assert missing(shop.events["visitorid"]) == 49_792 // 5000
    assert missing(shop.events["event"]) == 0
    neither = [
        user is None and item is None
        for user, item in zip(shop.events["visitorid"], shop.events["itemid"], strict=True)
    ]
    assert not any(neither)


def test_three_machines(shop):
    visitors, events = shop.events["visitorid"], shop.events
    counts = Counter(visitors)
    assert len(set(shop.truth.machines)) == 3
    assert not set(shop.truth.machines) & (
        set(shop.truth.user_ids) | set(shop.visitors["visitorid"])
    )
    for machine in shop.truth.machines:
        own = visitors == machine
        assert own.sum() == 49_792 // 85
        assert np.ptp(events["timestamp"][own]) <= 2 * DAY
        assert set(events["event"][own]) == {"view"}
        assert len(set(events["itemid"][own])) > 300
    assert {name for name, _ in counts.most_common(3)} == set(shop.truth.machines)
    # At least ten times as fast as any of the people in their best two days.
    busiest = 0
    for name, n in counts.most_common(60)[3:]:
        times = np.sort(events["timestamp"][visitors == name])
        within = np.searchsorted(times, times + 2 * DAY) - np.arange(n)
        busiest = max(busiest, within.max())
    assert busiest * 10 < 49_792 // 85


def test_products_that_are_new_or_never_seen_or_listed_twice(shop, people):
    truth = shop.truth
    _, items, _, times = people
    seen = Counter(shop.events["itemid"])
    assert truth.never_seen.sum() == 8
    assert not any(name in seen for name in truth.item_ids[truth.never_seen])
    new = truth.appears > 0
    assert new.sum() == 120 and not (new & truth.never_seen).any()
    assert START < truth.appears[new].min() and truth.appears[new].max() < START + 90 * DAY
    # Nobody has seen one before it was there, machines neither.
    appears = dict(zip(truth.item_ids, truth.appears, strict=True))
    assert all(
        time >= appears[item]
        for item, time in zip(shop.events["itemid"], shop.events["timestamp"], strict=True)
        if item is not None
    )
    first = np.full(800, np.inf)
    np.minimum.at(first, items, times)
    assert np.isfinite(first[new]).mean() > 0.7

    ids = shop.products["itemid"].tolist()
    assert len(ids) == 803 and set(ids) == set(truth.item_ids)
    for position in range(800, 803):
        before = ids.index(ids[position])
        assert before < 800
        for name, column in shop.products.items():
            old, new_value = column[before], column[position]
            if name == "price":
                assert new_value == pytest.approx(0.9 * old, abs=0.01, nan_ok=True)
            else:
                assert new_value == old


def test_what_is_missing(shop):
    visitors, products = shop.visitors, shop.products
    known = set(visitors["visitorid"])
    active = set(shop.events["visitorid"]) & set(shop.truth.user_ids)
    assert len(known) == len(visitors["visitorid"]) == 0.85 * 3000
    assert known < set(shop.truth.user_ids)
    assert 0.12 < 1 - len(active & known) / len(active) < 0.18
    for table, name, share in (
        (visitors, "country", 0.1),
        (visitors, "signup_date", 0.1),
        (visitors, "age", 0.2),
        (products, "price", 0.1),
        (products, "tags", 0.05),
        (products, "brand", 0.03),
    ):
        assert missing(table[name]) / len(table[name]) == pytest.approx(share, rel=0.25), name
    for table, name in (
        (visitors, "visitorid"),
        (products, "itemid"),
        (products, "categoryid"),
        (products, "title"),
    ):
        assert missing(table[name]) == 0
    assert set(visitors["country"]) == {*COUNTRIES, None}
    assert 0.03 < np.mean(visitors["country"] == "NA") < 0.08
    assert np.nanmin(visitors["age"]) == 16 and np.nanmax(visitors["age"]) == 79


def test_dates_prices_tags_and_titles(shop):
    dates = np.array([date for date in shop.visitors["signup_date"] if date], "M8[D]")
    assert np.datetime64("2022-05") < dates.min() and dates.max() < np.datetime64("2025-02")
    prices = shop.products["price"]
    assert np.nanmin(prices) > 0 and np.nanmax(prices) > 1000 * np.nanmin(prices)
    tags = [text.split("|") for text in shop.products["tags"] if text is not None]
    assert all(len(set(row)) == len(row) in (2, 3) for row in tags)
    assert 150 < len({tag for row in tags for tag in row}) <= 12 * 12 + 40
    assert len(set(shop.products["title"])) == 800


# ---- the truth -----------------------------------------------------------------------------------


def test_categories_and_tags_tell_the_department(shop):
    departments = dict(zip(shop.truth.item_ids, shop.truth.departments, strict=True))
    own: dict[int, set] = {}
    for item, code, tags in zip(
        *(shop.products[name] for name in ("itemid", "categoryid", "tags")), strict=True
    ):
        assert (int(code) - 100) // 5 == departments[item]
        if tags is not None:
            own.setdefault(departments[item], set()).update(
                tag for tag in tags.split("|") if not tag.startswith("label")
            )
    assert len(own) == 12 and sum(map(len, own.values())) == len(set().union(*own.values()))


def test_purchases_follow_taste_more_than_views(shop, people):
    users, items, kinds, _ = people
    tastes = shop.truth.tastes
    np.testing.assert_allclose(tastes.sum(axis=1), 1, rtol=1e-5)
    fits = tastes[users, shop.truth.departments[items]]
    by_chance = (tastes[users] @ np.bincount(shop.truth.departments[items]) / len(users)).mean()
    views, carts, purchases = (fits[kinds == kind].mean() for kind in range(3))
    assert by_chance + 0.1 < views
    assert views + 0.05 < carts < purchases


def test_tastes_depend_on_country_and_age(shop):
    rows = {name: row for row, name in enumerate(shop.truth.user_ids)}
    tastes = shop.truth.tastes[[rows[name] for name in shop.visitors["visitorid"]]]
    country, age = shop.visitors["country"], shop.visitors["age"]
    for department, name in enumerate(COUNTRIES):
        at_home = country == name
        assert tastes[at_home, department].mean() > tastes[~at_home, department].mean() + 0.15
    assert tastes[age < 35, 5].mean() > tastes[age >= 35, 5].mean() + 0.15
    assert tastes[age >= 55, 6].mean() > tastes[age < 55, 6].mean() + 0.15


def test_cold_visitors_are_served_better_by_country_and_age_than_by_popularity(shop, people):
    """Lists for visitors that are held out, by a model that knows but their country and age."""
    rows = {name: row for row, name in enumerate(shop.truth.user_ids)}
    bands = np.digitize(shop.visitors["age"], [35, 55]) + 10  # NaN is beyond
    bands[np.isnan(shop.visitors["age"])] = 14
    features = np.zeros((3000, 15), np.float32)
    for name, country, band in zip(
        shop.visitors["visitorid"], shop.visitors["country"], bands, strict=True
    ):
        features[rows[name], [COUNTRIES.index(country) if country else 9, band]] = 0.5
    features = sp.csr_matrix(features)
    users, items, _, _ = people
    is_cold = np.arange(3000) % 4 == 0
    train, test = (
        sp.coo_matrix((np.ones(at.sum()), (users[at], items[at])), shape=(3000, 800))
        for at in (~is_cold[users], is_cold[users] & (features.getnnz(axis=1)[users] > 0))
    )
    test = test.tocsr()  # adds up what somebody looked at twice
    popular, chance = (
        evaluate(model.fit(train), test, metrics="ndcg@10")["ndcg@10"]
        for model in (Popularity(), Random(0))
    )
    hybrid = LightFM(loss="warp", no_components=16, random_state=0)
    hybrid.fit(train, user_features=features, epochs=5)
    by_features = evaluate(hybrid, test, metrics="ndcg@10", user_features=features)["ndcg@10"]
    assert popular > 2 * chance
    assert by_features > 1.2 * popular


# ---- how it is made ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_frames(shop, kind):
    pytest.importorskip(kind)
    frames = shop.to_frames(kind)
    assert {type(frame).__module__.split(".")[0] for frame in frames} == {kind}
    for frame, table in zip(frames, (shop.events, shop.visitors, shop.products), strict=True):
        records = frame.to_dict("list") if kind == "pandas" else None
        records = frame.to_dict(as_series=False) if kind == "polars" else records
        records = frame.to_pydict() if kind == "pyarrow" else records
        assert list(records) == list(table)
        for name, column in table.items():
            for value, expected in zip(records[name], column, strict=True):
                is_missing = value is None or value != value
                assert is_missing == missing([expected]) and (is_missing or value == expected)
                assert kind == "pandas" or value == value  # NaN is null


def test_files(shop, tmp_path):
    shop.write(tmp_path / "new" / "folder")
    for name in ("events", "visitors", "products"):
        with open(
            tmp_path / "new" / "folder" / f"{name}.csv", newline="", encoding="utf-8"
        ) as file:
            header, *rows = csv.reader(file)
        table = getattr(shop, name)
        assert header == list(table)
        for texts, column in zip(zip(*rows, strict=True), table.values(), strict=True):
            expected = ["" if missing([value]) else str(value) for value in column]
            assert list(texts) == expected


def test_the_advice_on_reading_helps(shop, tmp_path):
    pandas = pytest.importorskip("pandas")
    shop.write(tmp_path)
    visitors = pandas.read_csv(
        tmp_path / "visitors.csv", dtype=str, keep_default_na=False, na_values=[""]
    )
    assert visitors["visitorid"].tolist() == shop.visitors["visitorid"].tolist()
    assert (visitors["country"] == "NA").sum() == (shop.visitors["country"] == "NA").sum()
    assert visitors["country"].isna().sum() == missing(shop.visitors["country"])


def same(left, right) -> bool:
    return all(
        repr(getattr(left, name)[column].tolist()) == repr(getattr(right, name)[column].tolist())
        for name in ("events", "visitors", "products")
        for column in getattr(left, name)
    )


def test_seeds(shop):
    assert same(shop, synthetic_shop(random_state=0))
    assert not same(shop, synthetic_shop(random_state=1))
    small = [synthetic_shop(20, 36, 500, random_state=None) for _ in range(2)]
    assert not same(*small)


@settings(max_examples=25, deadline=None)
@given(
    n_users=st.integers(20, 300),
    n_items=st.integers(36, 300),
    n_events=st.integers(500, 3000),
    days=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_size(n_users, n_items, n_events, days, seed):
    shop = synthetic_shop(n_users, n_items, n_events, days=days, random_state=seed)
    events, truth = shop.events, shop.truth
    assert len(events["visitorid"]) == n_events
    assert len(truth.user_ids) == n_users and len(truth.item_ids) == n_items
    assert missing(events["itemid"]) >= 1 and missing(events["visitorid"]) >= 1
    assert (Counter(map(str, zip(*events.values(), strict=True))).most_common(1)[0][1]) == 2
    numbers = {name: number for number, name in enumerate(truth.item_ids)}
    seen = np.array([numbers[item] for item in events["itemid"] if item is not None])
    times = events["timestamp"][[item is not None for item in events["itemid"]]]
    assert not truth.never_seen[seen].any() and (times >= truth.appears[seen]).all()
    # A visit that leads to a purchase takes up to an hour.
    assert START <= times.min() and times.max() < START + days * DAY + 3_600_000


@pytest.mark.parametrize(
    ("argument", "value"),
    [("n_users", 19), ("n_items", 35), ("n_events", 499), ("days", 0), ("n_users", 50.0)],
)
def test_numbers_that_are_too_small(argument, value):
    with pytest.raises(ValueError, match=f"{argument} must be an integer of at least .* got "):
        synthetic_shop(**{argument: value})


def test_numpy_integers_do_not_overflow():
    shop = synthetic_shop(np.uint8(200), np.int16(100), np.int16(30_000), days=np.int8(90))
    assert len(shop.events["itemid"]) == 30_000
