"""`Recommender`: tables in, lists out, under all rules, with the caller's ids."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from time import sleep

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shops import (
    EVENTS,
    KINDS,
    LATER,
    NAMES,
    PAST,
    PRODUCTS,
    QUIET,
    SHOP,
    TABLES,
    VISITORS,
    assert_best,
    fitted,
    lists,
    model,
    numbers,
    pd,
    rows,
    same_state,
    scores_of,
    small,
)

from lightfm_clone import LightFM, Popularity, Recommender
from lightfm_clone.data import between, split
from lightfm_clone.datasets import synthetic_shop
from lightfm_clone.recommender import Random
from lightfm_clone.recommender.events import Pairs

SMALL = {"u": [1, 1, 2, 3, 3, 4], "i": ["a", "b", "a", "c", "a", "b"]}


@pytest.fixture(scope="module")
def shop():
    return fitted()


@pytest.fixture(scope="module")
def scores(shop):
    return scores_of(shop)


@pytest.fixture(scope="module")
def has(shop):
    """Who has what, bool [n_users, n_items]."""
    return shop.interactions_.toarray() > 0


@pytest.fixture(scope="module")
def active(shop):
    """Some people with interactions."""
    return [one for one in shop.user_ids_[::25].tolist() if one in set(EVENTS["visitorid"])]


def column(shop, name):
    """The last value of each item in the table, by number."""
    values = dict(zip(PRODUCTS["itemid"], PRODUCTS[name], strict=True))
    return [values.get(item) for item in shop.item_ids_.tolist()]


# ---- tables --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def expected():
    """What every kind of table has to lead to."""
    return rows(fitted().recommend(k=4))


def test_the_same_lists_from_every_kind_of_table(tmp_path, expected):
    SHOP.write(tmp_path)
    sources = {"csv": [tmp_path / f"{name}.csv" for name in ("events", "visitors", "products")]}
    for kind in ("pandas", "polars", "pyarrow"):
        pytest.importorskip(kind)
        sources[kind] = SHOP.to_frames(kind)
    pq = pytest.importorskip("pyarrow.parquet")
    sources["parquet"] = [tmp_path / f"{n}.parquet" for n in range(3)]
    for table, path in zip(sources["pyarrow"], sources["parquet"], strict=True):
        pq.write_table(table, path)
    for kind, (events, visitors, products) in sources.items():
        shop = fitted(events, users=visitors, items=products)
        out = shop.recommend(k=4)
        assert rows(out) == expected, kind
        came = kind if kind in ("polars", "pyarrow") else "pandas"
        assert type(out).__module__.split(".")[0] == came
        # Who asks with a table gets one of that kind.
        for asked in ("polars", "pandas"):
            some = sources[asked][1][:2]
            assert type(shop.recommend(some, k=1)).__module__.split(".")[0] == asked
    assert shop.item_encoder_.feature_names_[:1] == ["categoryid:0155"]


@pytest.mark.parametrize(
    ("users", "items"),
    [
        ([7, 2**40, -1], [1, 2, 3]),
        (["007", "7", "x y"], ["0", "00", ""]),
        ([("a", 1), ("a", 2), ("b", 1)], [("x",), ("y",), ("z",)]),
        ([1.5, 2.0, 3.25], [b"x", b"y", b"z"]),
        ([2**70, "text", True], ["a", 1, (1, "x")]),
    ],
    ids=["int", "zeros", "tuples", "floats", "mixed"],
)
def test_ids_come_out_as_they_went_in(users, items):
    whose = pd.Series([users[n] for n in (0, 0, 1, 2)], dtype=object)
    what = pd.Series([items[n] for n in (0, 1, 1, 2)], dtype=object)
    shop = small({"u": whose, "i": what})
    assert shop.user_ids_.tolist() == users and shop.item_ids_.tolist() == items
    out = shop.recommend(users, k=3, exclude=False)
    assert out["user"].tolist() == [user for user in users for _ in items]
    assert {*out["item"].tolist()} == {*items}
    assert {*map(type, out["item"].tolist())} == {*map(type, items)}
    for user in users:
        assert rows(shop.recommend(user, k=1)) == rows(shop.recommend([user], k=1))
    assert rows(shop.recommend(users[2], deny=items[0]))[0][2] == items[1]


@pytest.mark.filterwarnings("ignore:nothing was learned")
def test_events_are_read_as_the_arguments_say():
    """Rows without an id, of other kinds, told twice, or watched too little do not count."""
    events = {
        "u": ["ann", "ann", "bob", None, "bob", "cid"],
        "i": ["x", "x", "x", "y", "y", "y"],
        "k": ["view", "buy", "view", "buy", "look", "view"],
        "w": [1.0, 2.0, 3.0, 1.0, 1.0, 0.05],
    }
    shop = small(events, event="k", event_weights={"view": 1, "buy": 5}, weight="w")
    assert shop.user_ids_.tolist() == ["ann", "bob", "cid"]
    np.testing.assert_array_equal(shop.interactions_.toarray(), [[1, 0], [1, 0], [0, 1]])
    np.testing.assert_allclose(shop.pairs_.weights, [10, 3, 0.05])
    summed = small(events, event="k", event_weights={"view": 1, "buy": 5}, duplicates="sum")
    np.testing.assert_allclose(summed.pairs_.weights, [6, 1, 1])
    assert dict(shop.report_.kinds) == {"view": 3, "buy": 1}
    assert sum(removed.how_many for removed in shop.report_.removed) == 2
    events["s"] = [0.9, 0.5, 0.2, 0.9, 0.05, 0.3]
    assert small(events, watched="s").interactions_.nnz == 3  # below a tenth is not watched
    assert small(events, watched="s", min_watched=0.6).interactions_.nnz == 1


def test_training_has_the_memory_of_the_tables(tmp_path):
    """What was read of a file, and made of it on the way, is gone when training begins."""
    pa = pytest.importorskip("pyarrow")
    held = []

    class Watcher(LightFM):
        def fit(self, *args, **named):
            # The threads that read the file may not have let go of its last buffer yet.
            for _ in range(100):
                if pa.total_allocated_bytes() == before:
                    break
                sleep(0.01)
            held.append(pa.total_allocated_bytes())
            return super().fit(*args, **named)

    # Where rows leave, the others are copied; here all stay.
    EVENTS.dropna().to_parquet(tmp_path / "events.parquet")
    before = pa.total_allocated_bytes()
    Recommender(Watcher()).fit(
        tmp_path / "events.parquet", **NAMES, timestamp="timestamp", epochs=1, verbose=False
    )
    assert held == [before]


def test_a_day_in_the_future_that_ages_all_others_is_told_of():
    """One wrong clock, and a half-life leaves nothing of all that the others did."""
    wrong = PAST[:1].assign(timestamp=4_000_000_000_000)
    for events, n in ((PAST, 0), (pd.concat([PAST, wrong]), 1)):
        found = fitted(events, half_life="30d", epochs=0).report_.warnings
        told = [f"{one.what}; {one.remedy}" for one in found if "next to nothing" in one.what]
        assert len(told) == n
    assert "2096-10-02" in told[0] and "half_life" in told[0]


def test_weights_reach_the_model(shop):
    lighter = fitted(event_weights={"view": 1, "addtocart": 1, "transaction": 1})
    assert lighter.pairs_.weights is None and shop.pairs_.weights.max() == 10
    assert not np.array_equal(scores_of(lighter), scores_of(shop))


def test_a_fit_on_one_thread_can_be_repeated(shop):
    same_state(shop, fitted())
    again = copy.deepcopy(shop)
    again.fit(EVENTS, **NAMES, **KINDS, **TABLES, **QUIET)
    same_state(shop, again)
    assert shop.model.random_state is not shop.model_.random_state


def test_a_fit_that_fails_leaves_the_old_one(shop):
    used = copy.deepcopy(shop)
    before = rows(used.recommend(k=3))
    for changed in (
        {"user": "nobody"},
        {"columns": {"nothing": None}},
        {"columns": {"brand": "number"}},
        {"epochs": -1},
        {"items": PRODUCTS.drop(columns="itemid")},
        {"callbacks": 3},
    ):
        with pytest.raises((ValueError, TypeError)):
            used.fit(EVENTS, **{**NAMES, **KINDS, **TABLES, **QUIET, **changed})
    same_state(shop, used)
    assert rows(used.recommend(k=3)) == before


def test_the_report_is_printed_or_not(capsys):
    fitted(PAST)
    assert capsys.readouterr().out == ""
    loud = small(SMALL, verbose=True)
    printed = capsys.readouterr().out
    assert str(loud.report_) in printed and "6 events of 4 users and 3 items" in printed


def test_copies_and_pickles(shop):
    before = rows(shop.recommend(k=2))
    for twin in (copy.deepcopy(shop), pickle.loads(pickle.dumps(shop))):
        same_state(shop, twin)
        assert rows(twin.recommend(k=2)) == before


# ---- people --------------------------------------------------------------------------------------


def test_sources(shop, active):
    """Known people by all there is, others by what there is."""
    idle = sorted(set(VISITORS["visitorid"]) - set(EVENTS["visitorid"]))
    assert idle and not shop.interactions_[numbers(idle, shop.user_ids_)].nnz
    told = VISITORS.set_index("visitorid").loc[idle, ["country", "age", "signup_date"]]
    is_told = told.notna().any(axis=1).tolist()
    out = shop.recommend([active[0], *idle, "nobody"], k=2)
    source = dict(zip(out["user"], out["source"], strict=True))
    assert source == {
        active[0]: "known",
        **{one: "features" if some else "popular" for one, some in zip(idle, is_told, strict=True)},
        "nobody": "popular",
    }
    assert "features" in source.values()
    # The table says of them what it says of a stranger who is like them.
    twins = VISITORS[VISITORS["visitorid"].isin(idle)].drop(columns="visitorid")
    mine = shop.recommend(VISITORS[VISITORS["visitorid"].isin(idle)], k=3)
    theirs = shop.recommend(twins, k=3)
    assert mine["item"].tolist() == theirs["item"].tolist()
    np.testing.assert_allclose(mine["score"], theirs["score"], rtol=1e-5)
    out = shop.recommend(history=[[shop.item_ids_[0]], [], ["unknown"]], k=2)
    assert out["source"].tolist() == ["history"] * 2 + ["popular"] * 4
    assert out["user"].tolist() == [0, 0, 1, 1, 2, 2]


def test_who_brings_nothing_gets_what_is_popular(shop, has):
    out = shop.recommend("nobody", k=1000)
    n_people = has.sum(axis=0)
    items = numbers(out["item"], shop.item_ids_)
    assert sorted(items) == list(range(has.shape[1]))
    assert items == np.lexsort((np.arange(len(n_people)), -n_people)).tolist()
    np.testing.assert_allclose(out["score"], np.log1p(n_people[items]), rtol=1e-6)
    assert set(out["source"]) == {"popular"}


@pytest.mark.filterwarnings("ignore:nothing was learned")
def test_popular_scores_of_a_model_of_ratings_stay_those_of_popularity():
    """The mean rating belongs to scores of the model alone."""
    events = {**SMALL, "w": [5.0, 4, 5, 1, 4, 3]}
    shop = small(events, of=LightFM(loss="mse", random_state=0), weight="w")
    out = shop.recommend([1, 99], exclude=False, k=1)
    assert out["score"][1] == pytest.approx(np.log1p(3))
    assert out["score"][0] == pytest.approx(scores_of(shop)[0].max(), abs=1e-5)


def test_people_in_any_form(shop, active):
    row = VISITORS[VISITORS["visitorid"] == active[0]]
    (record,) = row.to_dict("records")
    expected = rows(shop.recommend([active[0]], k=3))
    for users in (
        active[0],
        (active[0],),
        np.array(active[:1]),
        np.array(active[:1], dtype=object),
        pd.Series(active[:1]),
        pd.Index(active[:1]),
        {active[0]},
        row,
        record,
        [record],
        {"visitorid": active[0]},
        row[["visitorid"]],
    ):
        assert rows(shop.recommend(users, k=3)) == expected, users
    pl, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    for users in (pl.Series(active[:1]), pa.array(active[:1]), pa.chunked_array([active[:1]])):
        assert rows(shop.recommend(users, k=3)) == expected
    del record["visitorid"]
    expected = [row[1:] for row in rows(shop.recommend(record, k=3))]
    for users in ([record], pd.DataFrame([record]), pl.DataFrame([record])):
        out = shop.recommend(users, k=3)
        assert [row[1:] for row in rows(out)] == expected and {*out["user"]} == {0}
    mixed = shop.recommend([record, {"visitorid": active[0]}], k=3)
    assert mixed["source"].tolist() == ["features"] * 3 + ["known"] * 3
    # A known person is what the recommender knows of them, whatever the row says.
    other = {"visitorid": active[0], "country": "GB", "age": 99}
    assert rows(shop.recommend(other, k=3)) == rows(shop.recommend(active[0], k=3))


def test_a_lazy_table_of_people(shop):
    pl = pytest.importorskip("polars")
    people = pl.from_pandas(VISITORS[:4])
    assert rows(shop.recommend(people.lazy(), k=3)) == rows(shop.recommend(people, k=3))


def test_nobody_gets_an_empty_table(shop):
    for nobody in ([], VISITORS[:0], np.array([])):
        out = shop.recommend(nobody)
        assert list(out.columns) == ["user", "rank", "item", "score", "source"] and not len(out)


def test_unknown_categories_are_skipped_and_missing_values_make_no_entry(shop):
    plain = shop.recommend({"age": 30}, k=4)
    for more in ({"country": "Atlantis"}, {"country": None}, {"country": float("nan")}):
        assert rows(shop.recommend({"age": 30, **more}, k=4)) == rows(plain)
    shop.recommend({"age": 30, "country": "Atlantis"})
    assert shop.user_encoder_.skipped_ == {"country:Atlantis": 1}
    assert set(shop.recommend({"country": "Atlantis"})["source"]) == {"popular"}


def test_each_gets_in_company_what_they_get_alone(shop, active):
    table = pd.concat(
        [
            VISITORS[VISITORS["visitorid"].isin(active)],
            pd.DataFrame(
                {"visitorid": ["new", "blank"], "country": ["DE", None], "age": [20.0, None]}
            ),
            VISITORS[~VISITORS["visitorid"].isin(set(EVENTS["visitorid"]))],
        ]
    )
    rules = {"k": 5, "at_most": {"brand": 1}, "popularity": 0.3, "diversity": 0.2}
    together = rows(shop.recommend(table, **rules))
    assert {row[-1] for row in together} == {"known", "features", "popular"}
    alone = [
        row for n in range(len(table)) for row in rows(shop.recommend(table[n : n + 1], **rules))
    ]
    assert [row[:3] for row in together] == [row[:3] for row in alone]
    np.testing.assert_allclose([row[3] for row in together], [row[3] for row in alone], rtol=1e-4)
    histories = [shop.item_ids_[:n].tolist() for n in range(4)]
    together = shop.recommend(history=histories, k=10)
    for n, one in enumerate(histories):  # folding in draws at random, for all of them together
        items = set(shop.recommend(history=[one], k=10)["item"])
        assert len(items & set(together["item"][together["user"] == n])) >= 7


def test_many_people_in_blocks(shop, active):
    """More than are served at a time, of all sources, each with candidates of their own."""
    few = [*active, "nobody", "nothing"]
    rng = np.random.default_rng(0)
    own = [rng.choice(shop.item_ids_, 20, replace=False).tolist() for _ in few]
    n = 4096 // len(few) + 2
    out = shop.recommend(few * n, k=3, items=own * n, num_threads=1)
    once = rows(shop.recommend(few, k=3, items=own, num_threads=1))
    assert len(few) * n > 4096
    assert [row[:3] for row in rows(out)] == [row[:3] for row in once] * n
    np.testing.assert_allclose(out["score"], [row[3] for row in once] * n, atol=1e-5)


def test_threads_may_share_a_recommender(shop, active):
    """From the first request on, which packs the items."""
    fresh = copy.deepcopy(shop)
    asked = [{"k": k, "popularity": dial} for k in (1, 3, 5, 7) for dial in (0, 0.5)] * 3
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda given: rows(fresh.recommend(active, **given)), asked))
    assert found == [rows(shop.recommend(active, **given)) for given in asked]


def test_histories(shop, has):
    """They are folded in, and left out of the list unless that is asked for."""
    items = shop.item_ids_[[3, 5, 8]].tolist()
    (biases,), (vector,) = shop.model_.fold_in_users(
        np.isin(np.arange(has.shape[1]), [3, 5, 8])[None].astype(np.float32),
        item_features=shop.item_features_,
        random_state=0,
    )
    of_items = shop.model_.get_item_representations(shop.item_features_)
    scores = biases + of_items[0] + of_items[1] @ vector
    for exclude, left in ((True, False), ("view", False), (False, True)):
        out = shop.recommend(history=[items], k=10, exclude=exclude, num_threads=1)
        allowed = np.ones(len(scores), bool)
        allowed[[3, 5, 8]] = left
        assert_best(numbers(out["item"], shop.item_ids_), scores, allowed, 10)
    twice = shop.recommend(history={"ann": [*items, items[0], "unknown"]}, k=10)
    once = shop.recommend(history=[np.array(items)], k=10)
    assert set(twice["user"]) == {"ann"} and twice["item"].tolist() == once["item"].tolist()


def test_a_history_is_what_somebody_likes_to_a_model_of_ratings_too():
    """An item that was looked at is none that was rated 1, the lowest of ratings."""
    rng = np.random.default_rng(0)
    user, item = np.repeat(np.arange(200), 20), rng.integers(40, size=4000)
    stars = np.where(user % 2 == item % 2, 5.0, 1.0)
    log = {"u": user.tolist(), "i": item.tolist(), "stars": stars.tolist()}
    shop = small(log, of=model(loss="mse"), weight="stars", epochs=30)
    found = shop.recommend(history=[[0, 2, 4, 6]], k=10, num_threads=1)["item"]
    assert (found % 2 == 0).mean() > 0.8


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda shop: shop.recommend([7]), "users must hold ids like .* type str.* 7 of type int"),
        (lambda shop: shop.recommend(np.array([7, 8])), "users .* type int.*str"),
        (lambda shop: shop.recommend({"visitorid": 7}), "users .* type int"),
        (lambda shop: shop.recommend(pd.DataFrame({"visitorid": [7]})), "users .* type int"),
        (lambda shop: shop.recommend([b"x"]), "users .* type bytes"),
        (lambda shop: shop.recommend(history=[[7]]), "history .* type int"),
        (lambda shop: shop.recommend(items=[7]), "items .* type int"),
        (lambda shop: shop.recommend(deny=7), "deny .* type int"),
        (lambda shop: shop.similar_items([7]), "items .* type int"),
        (lambda shop: shop.explain(7, "x"), "users .* type int"),
        (lambda shop: shop.explain({"age": 30}, 7), "item .* type int"),
        (lambda shop: shop.evaluate(LATER.assign(itemid=1)), "events .* type int"),
        (lambda shop: shop.evaluate(LATER.assign(visitorid=1)), "users .* type int"),
    ],
)
def test_ids_of_another_type_are_refused(shop, call, said):
    """They would be strangers, without a word: 7 is not "7", nor "0007"."""
    with pytest.raises(ValueError, match=said):
        call(shop)


# ---- rules ---------------------------------------------------------------------------------------


def kinds_had(shop, *kinds):
    """Who has what by these kinds of events, from the table itself."""
    had = np.zeros((len(shop.user_ids_), len(shop.item_ids_)), bool)
    some = EVENTS[EVENTS["event"].isin(kinds)].dropna()
    had[numbers(some["visitorid"], shop.user_ids_), numbers(some["itemid"], shop.item_ids_)] = True
    return had


def test_what_kinds_leave_out_is_found_once(shop, active, monkeypatch):
    """It takes the time of all pairs, and a request should take that of one person."""
    fresh, made = copy.deepcopy(shop), []
    rows_of = Pairs.rows
    monkeypatch.setattr(Pairs, "rows", lambda *given: made.append(given[1:]) or rows_of(*given))
    for exclude in ("view", ["view"], "transaction", True, "view", False, True):
        fresh.recommend(active[0], exclude=exclude)
    assert len(made) == 3


@pytest.mark.parametrize(
    ("exclude", "kinds"),
    [
        (True, ("view", "addtocart", "transaction")),
        (False, ()),
        (None, ()),
        ("transaction", ("transaction",)),
        (["addtocart", "transaction"], ("addtocart", "transaction")),
        (("addtocart", "transaction"), ("addtocart", "transaction")),
        ([], ()),
    ],
)
def test_exclude(shop, scores, active, exclude, kinds):
    left_out = kinds_had(shop, *kinds)
    for k in (5, 1000):
        found = lists(shop.recommend(active, k=k, exclude=exclude))
        for user, row in zip(active, numbers(active, shop.user_ids_), strict=True):
            items = numbers(found[user], shop.item_ids_)
            assert_best(items, scores[row], ~left_out[row], k)


def test_candidates_and_denied(shop, scores, has, active):
    some, denied = shop.item_ids_[5:30].tolist(), shop.item_ids_[10:14].tolist()
    found = lists(shop.recommend(active, k=6, items=some, deny=[*denied, "sold out for ever"]))
    number = np.arange(has.shape[1])
    for user, row in zip(active, numbers(active, shop.user_ids_), strict=True):
        allowed = (number >= 5) & (number < 30) & ~((number >= 10) & (number < 14)) & ~has[row]
        assert_best(numbers(found[user], shop.item_ids_), scores[row], allowed, 6)
    repeated = [*reversed(some), *some]
    assert lists(shop.recommend(active, k=6, items=repeated, deny=pd.Series(denied))) == found
    rng = np.random.default_rng(1)
    own = [rng.choice(len(number), size, replace=False) for size in range(len(active))]
    for make in (list, np.array, pd.Series):
        given = [make(shop.item_ids_[rows_of].tolist()) for rows_of in own]
        out = lists(shop.recommend(active, k=4, items=given, deny=denied[0], exclude="view"))
        for user, rows_of in zip(active, own, strict=True):
            (row,) = numbers([user], shop.user_ids_)
            allowed = np.isin(number, rows_of) & (number != 10) & ~kinds_had(shop, "view")[row]
            assert_best(numbers(out.get(user, []), shop.item_ids_), scores[row], allowed, 4)
    assert not len(shop.recommend(active, items=[]))
    assert lists(shop.recommend(active[0], items=some[0], exclude=False)) == {active[0]: some[:1]}


def test_where(shop, scores, has, active):
    brands, prices, tags, codes = (
        column(shop, name) for name in ("brand", "price", "tags", "categoryid")
    )
    brand, other, *_ = (one for one in dict.fromkeys(brands) if isinstance(one, str))
    tag = next(one for one in tags if isinstance(one, str)).split("|")[0]
    cases = [
        ({"brand": brand}, [one == brand for one in brands]),
        ({"brand": [brand, other]}, [one in (brand, other) for one in brands]),
        ({"brand": {"nothing"}}, [False] * len(brands)),
        ({"price": between(5, 20)}, [5 <= one <= 20 for one in prices]),
        ({"price": between(None, 20)}, [one <= 20 for one in prices]),
        ({"tags": tag}, [isinstance(one, str) and tag in one.split("|") for one in tags]),
        (
            {"categoryid": [codes[0], codes[1]], "price": between(low=1)},
            [code in codes[:2] and price >= 1 for code, price in zip(codes, prices, strict=True)],
        ),
    ]
    for where, holds in cases:
        found = lists(shop.recommend(active, k=4, where=where))
        for user, row in zip(active, numbers(active, shop.user_ids_), strict=True):
            items = numbers(found.get(user, []), shop.item_ids_)
            assert_best(items, scores[row], np.array(holds, bool) & ~has[row], 4)


def greedy(order, codes, most, k):
    """Down an order of items, without those that find their quota full."""
    taken, counts = [], {}
    for item in order:
        key = codes[item]
        if isinstance(key, str) and counts.get(key, 0) >= most:
            continue
        counts[key] = counts.get(key, 0) + 1
        taken.append(item)
    return taken[:k]


@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize("k", [5, 50])
def test_quotas(shop, scores, has, active, most, k):
    brands = column(shop, "brand")
    found = lists(shop.recommend(active, k=k, at_most={"brand": most}, where={"price": between(1)}))
    prices = np.array(column(shop, "price"), float)
    for user, row in zip(active, numbers(active, shop.user_ids_), strict=True):
        order = np.argsort(-scores[row], kind="stable")
        order = [item for item in order if not has[row, item] and prices[item] >= 1]
        assert numbers(found[user], shop.item_ids_) == greedy(order, brands, most, k)


@pytest.mark.parametrize("dial", [-1.5, 0.5, 2.0])
def test_popularity(shop, scores, has, active, dial):
    """A dial of 1 gives popularity as much say as the model has; scores stay the model's."""
    logs = np.log1p(has.sum(axis=0))
    z = (logs - logs.mean()) / logs.std()
    known = scores[has.any(axis=1) | (np.diff(shop.user_features_.indptr) > 0)]
    spread = np.sqrt(known.var(axis=1).mean())
    out = shop.recommend(active, k=8, popularity=dial)
    found = lists(out)
    for user, row in zip(active, numbers(active, shop.user_ids_), strict=True):
        items = numbers(found[user], shop.item_ids_)
        moved = scores[row] + dial * spread * z
        assert_best(items, moved, ~has[row], 8)
        np.testing.assert_allclose(out["score"][out["user"] == user], scores[row, items], atol=1e-5)


def test_diversity(shop, scores, has, active):
    """Maximal marginal relevance, item by item."""
    vectors = shop.model_.get_item_representations(shop.item_features_)[1]
    unit = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    cosines = unit @ unit.T
    found = lists(shop.recommend(active, k=6, diversity=0.4))
    for user, row in zip(active, numbers(active, shop.user_ids_), strict=True):
        pool = np.flatnonzero(~has[row])  # fewer than 100
        relevance = scores[row] - scores[row, pool].min()
        relevance /= relevance[pool].max()
        chosen = []
        for item in numbers(found[user], shop.item_ids_):
            nearest = cosines[:, chosen].max(axis=1) if chosen else np.full(len(unit), -1.0)
            marginal = 0.6 * relevance - 0.4 * nearest
            left = np.setdiff1d(pool, chosen)
            assert marginal[item] == pytest.approx(marginal[left].max(), abs=1e-5)
            chosen.append(item)
        assert len(chosen) == min(6, len(pool))
    assert found != lists(shop.recommend(active, k=6))


def test_all_rules_at_once(shop, scores, has, active):
    brands, prices = column(shop, "brand"), np.array(column(shop, "price"), float)
    some, denied = shop.item_ids_[:50].tolist(), shop.item_ids_[7]
    rules = {
        "items": some,
        "deny": denied,
        "where": {"price": between(2)},
        "at_most": {"brand": 1},
        "exclude": "view",
        "popularity": -0.5,
    }
    logs = np.log1p(has.sum(axis=0))
    spread = np.sqrt(
        scores[has.any(axis=1) | (np.diff(shop.user_features_.indptr) > 0)].var(axis=1).mean()
    )
    moved = scores - 0.5 * spread * (logs - logs.mean()) / logs.std()
    found = lists(shop.recommend(active, k=5, **rules))
    for user, row in zip(active, numbers(active, shop.user_ids_), strict=True):
        allowed = (np.arange(len(logs)) < 50) & (prices >= 2) & ~kinds_had(shop, "view")[row]
        allowed[7] = False
        order = [item for item in np.argsort(-moved[row], kind="stable") if allowed[item]]
        expected = greedy(order, brands, 1, 5)
        items = numbers(found[user], shop.item_ids_)
        np.testing.assert_allclose(moved[row, items], moved[row, expected], atol=1e-5)


def test_a_list_as_long_as_can_be_takes_no_more_memory_than_the_items(shop, active):
    longest = shop.recommend(active, k=2**31 - 1)
    assert rows(longest) == rows(shop.recommend(active, k=len(shop.item_ids_)))
    neighbours = shop.similar_items(shop.item_ids_[:1], k=2**31 - 1)
    assert len(neighbours) == len(shop.item_ids_) - 1


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"k": 0}, ValueError, "k must be an integer from 1"),
        ({"k": 2.5}, ValueError, "k must be an integer from 1"),
        ({"exclude": "buy"}, ValueError, "exclude must name kinds .*'buy'.*'view', 'addtocart'"),
        ({"items": ["x"]}, ValueError, "items must hold items that are known, got 'x'.*update"),
        ({"items": [["x"]]}, ValueError, "items must hold items that are known, got 'x'"),
        ({"items": [["x"], ["y"]]}, ValueError, "for each of the 1 people, got 2 elements"),
        ({"items": [["x"], "y"]}, ValueError, "got 2 elements, of which 1 are lists"),
        ({"deny": PRODUCTS}, TypeError, "pass one column"),
        ({"deny": [{}]}, TypeError, "deny must hold ids, which are hashable"),
        ({"where": {"colour": 1}}, ValueError, "where must name a column .*'colour'.*'brand'"),
        ({"where": "brand"}, TypeError, "where must be a dict"),
        ({"where": {"price": "cheap"}}, TypeError, "must be a number"),
        ({"at_most": ["brand"]}, TypeError, "at_most must be a dict"),
        ({"at_most": {"brand": 0}}, ValueError, "at_most must give a whole number .* got 0"),
        ({"at_most": {"colour": 1}}, ValueError, "must name a column .*'colour'"),
        ({"at_most": {"tags": 1}}, TypeError, "holds lists"),
        ({"popularity": float("nan")}, ValueError, "popularity must be a finite number"),
        ({"diversity": 1}, ValueError, "diversity must be a number from 0.*below 1, got 1"),
        ({"history": [["x"]]}, ValueError, "users and history both"),
        ({"num_threads": 0}, ValueError, "num_threads must be an integer >= 1"),
        ({"itmes": []}, TypeError, "'itmes'; it is called items here"),
    ],
    ids=str,
)
def test_refused_rules(shop, active, arguments, error, said):
    with pytest.raises(error, match=said):
        shop.recommend(active[:1], **arguments)


def test_refused_people(shop):
    for users in ([["a", "b"]], [{"country": "DE"}, "x"]):
        with pytest.raises(TypeError, match="users"):
            shop.recommend(users)
    for arguments in ({"users": {"visitorid": ["a"]}}, {"history": [[["a"]]]}):
        (name,) = arguments
        with pytest.raises(TypeError, match=f"{name} must hold ids, which are hashable"):
            shop.recommend(**arguments)
    for history in (["x"], "x", [3]):
        with pytest.raises(TypeError, match=r"history must be a list of lists.*\[\[\.\.\.\]\]"):
            shop.recommend(history=history)


def test_what_a_recommender_without_tables_cannot_do():
    plain = small(SMALL)
    for call, said in (
        (lambda: plain.recommend({"country": "DE"}), "users must have the column 'u'.*users=table"),
        (lambda: plain.recommend(1, where={"a": 1}), "where needs columns.*items=table"),
        (lambda: plain.recommend(1, at_most={"a": 1}), "at_most needs columns.*items=table"),
        (lambda: plain.recommend(1, exclude="view"), "exclude must name kinds.*there are none"),
        (lambda: plain.evaluate(pd.DataFrame(SMALL), relevant="x"), "relevant names kinds.*event="),
        (
            lambda: plain.evaluate(pd.DataFrame(SMALL), users=pd.DataFrame({"u": [1]})),
            "users cannot be read.*users=table",
        ),
    ):
        with pytest.raises(ValueError, match=said):
            call()
    assert plain.user_features_ is None and plain.item_features_ is None
    np.testing.assert_allclose(
        plain.recommend(1, exclude=False, k=1)["score"], scores_of(plain)[0].max(), atol=1e-6
    )


# ---- lists into files ----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_written_lists(shop, tmp_path, suffix):
    path = tmp_path / f"lists.{suffix}"
    path.write_bytes(b"old")
    rules = {"k": 3, "exclude": "view", "at_most": {"brand": 1}, "items": shop.item_ids_[:40]}
    assert shop.write_lists(path, verbose=False, num_threads=1, **rules) is None
    types = {"user": str, "item": str}
    read = pd.read_csv(path, dtype=types) if suffix == "csv" else pd.read_parquet(path)
    expected = shop.recommend(num_threads=1, **rules)
    assert [row[:3] for row in rows(read)] == [row[:3] for row in rows(expected)]
    np.testing.assert_allclose(read["score"], expected["score"], rtol=1e-6)
    assert read["source"].tolist() == expected["source"].tolist()
    shop.write_lists(path, VISITORS[:5], k=2, verbose=False)
    assert path.stat().st_size < 5000
    for nobody in ({"users": []}, {"items": []}):
        shop.write_lists(path, verbose=False, **nobody)
        read = pd.read_csv(path) if suffix == "csv" else pd.read_parquet(path)
        assert list(read.columns) == list(expected.columns) and not len(read)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_blocks_without_rows_come_before_others(shop, tmp_path, monkeypatch):
    from lightfm_clone.recommender import serving

    monkeypatch.setattr(serving, "_BLOCK", 2)
    users = shop.user_ids_[:6].tolist()
    own = [[], [], ["x"], [], [shop.item_ids_[0]], []]
    own[2] = [shop.item_ids_[1]]
    shop.write_lists(tmp_path / "x.parquet", users, items=own, exclude=False, verbose=False)
    read = pd.read_parquet(tmp_path / "x.parquet")
    assert list(zip(read["user"], read["item"], strict=True)) == [
        (users[2], shop.item_ids_[1]),
        (users[4], shop.item_ids_[0]),
    ]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_an_error_half_way_leaves_the_old_file(shop, tmp_path, monkeypatch, suffix):
    from lightfm_clone.recommender import serving

    calls, real = [], serving._lists

    def failing(*given):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(serving, "_BLOCK", 50)
    monkeypatch.setattr(serving, "_lists", failing)
    old = tmp_path / f"old.{suffix}"
    old.write_bytes(b"old")
    for path in (old, tmp_path / f"new.{suffix}"):
        calls.clear()
        with pytest.raises(KeyboardInterrupt):
            shop.write_lists(path, verbose=False)
    assert old.read_bytes() == b"old" and [one.name for one in tmp_path.iterdir()] == [old.name]


def test_refused_files(shop, tmp_path):
    with pytest.raises(
        ValueError, match=r"path must end in \.parquet, .* or \.ndjson, got .*x\.txt"
    ):
        shop.write_lists(tmp_path / "x.txt", verbose=False)
    with pytest.raises(TypeError, match="'history'.*the arguments are at_most"):
        shop.write_lists(tmp_path / "x.csv", history=[[]], verbose=False)
    with pytest.raises(ValueError, match="diversity"):
        shop.write_lists(tmp_path / "x.csv", diversity=2, verbose=False)
    with pytest.raises(FileNotFoundError):
        shop.write_lists(tmp_path / "nowhere" / "x.csv", verbose=False)
    assert not list(tmp_path.iterdir())


# ---- any shop ------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    log=st.lists(
        st.tuples(
            st.integers(0, 6),
            st.integers(0, 5),
            st.sampled_from(["view", "buy", "gift"]),
            st.floats(0, 5, width=32),
            st.integers(1_700_000_000, 1_700_000_050),
        ),
        min_size=1,
        max_size=30,
    ),
    duplicates=st.sampled_from(["max", "sum", "last"]),
    loss=st.sampled_from(["warp", "softmax", "bpr"]),
    with_tables=st.booleans(),
    k=st.integers(1, 8),
    exclude=st.sampled_from([True, False, "view", ["buy", "view"]]),
    seed=st.integers(0, 9),
)
@pytest.mark.filterwarnings("ignore")
def test_any_shop(tmp_path_factory, log, duplicates, loss, with_tables, k, exclude, seed):
    """Pairs, weights and lists are those of a plain loop over the events."""
    weights = {"view": 1.0, "buy": 3.0}
    pairs, told, latest = {}, set(), {}
    for user, item, kind, weight, time in log:
        worth = np.float32(np.float32(weights.get(kind, 0)) * np.float32(weight))
        if worth == 0 or (user, item, kind, worth, time) in told:
            continue
        told.add((user, item, kind, worth, time))
        total, kinds = pairs.get((user, item), (0, set()))
        if duplicates == "last":
            if time >= latest.get((user, item), 0):
                latest[user, item] = time
                total = worth
        else:
            total = total + worth if duplicates == "sum" else max(total, worth)
        pairs[user, item] = total, kinds | {kind}
    events = pd.DataFrame(log, columns=["u", "i", "k", "w", "t"])
    options = {"user": "u", "item": "i", "event": "k", "weight": "w", "timestamp": "t", **QUIET}
    if with_tables:
        options["users"] = pd.DataFrame({"u": [1, 3, 9], "c": ["a", "b", "a"]})
        options["items"] = pd.DataFrame({"i": [0, 2, 9], "p": [1.5, None, 2.0]})
    of = Recommender(model(loss=loss, no_components=3, random_state=seed))
    if not pairs:
        with pytest.raises(ValueError, match="at least one event that counts"):
            of.fit(events, event_weights=weights, duplicates=duplicates, **options)
        return
    shop = of.fit(events, event_weights=weights, duplicates=duplicates, **options)
    found = shop.pairs_
    owners = np.repeat(shop.user_ids_, np.diff(found.indptr)).tolist()
    places = zip(owners, shop.item_ids_[found.indices].tolist(), strict=True)
    given = [1.0] * len(owners) if found.weights is None else found.weights.tolist()
    expected = {pair: pytest.approx(float(total), rel=1e-5) for pair, (total, _) in pairs.items()}
    assert dict(zip(places, given, strict=True)) == expected

    scores = scores_of(shop)
    left_out = {
        pair
        for pair, (_, kinds) in pairs.items()
        if exclude is True or (exclude and kinds & {*([exclude] if exclude == "view" else exclude)})
    }
    out = lists(shop.recommend(k=k, exclude=exclude, num_threads=1))
    has_events = {user for user, _ in pairs}
    for row, user in enumerate(shop.user_ids_.tolist()):
        allowed = np.array([(user, item) not in left_out for item in shop.item_ids_.tolist()])
        by = scores[row]
        if user not in has_events and not shop.user_features_[row].nnz:
            by = np.log1p(shop.interactions_.toarray().sum(axis=0))
        assert_best(numbers(out.get(user, []), shop.item_ids_), by, allowed, k)
    path = tmp_path_factory.getbasetemp() / "any.rec"
    shop.save(path)
    same_state(shop, Recommender.load(path))


# ---- neighbours, reasons, vectors ----------------------------------------------------------------


def test_similar_items(shop):
    vectors = shop.model_.get_item_representations(shop.item_features_)[1]
    unit = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    cosines = unit @ unit.T
    out = shop.similar_items(k=5)
    assert list(out.columns) == ["item", "rank", "similar", "score"]
    assert len(out) == 5 * len(unit)
    found = lists(out[["item", "rank", "similar"]])
    for row, item in enumerate(shop.item_ids_.tolist()):
        assert_best(
            numbers(found[item], shop.item_ids_), cosines[row], np.arange(len(unit)) != row, 5
        )
    np.testing.assert_allclose(
        out["score"],
        cosines[numbers(out["item"], shop.item_ids_), numbers(out["similar"], shop.item_ids_)],
        atol=1e-5,
    )
    prices = np.array(column(shop, "price"), float)
    cheap = shop.similar_items(shop.item_ids_[4], k=100, where={"price": between(high=20)})
    others = {n for n in np.flatnonzero(prices <= 20).tolist() if n != 4}
    assert {*numbers(cheap["similar"], shop.item_ids_)} == others


@pytest.mark.parametrize("loss", ["warp", "softmax"])
@pytest.mark.parametrize("tables", [TABLES, {}, {"items": PRODUCTS}], ids=["all", "none", "items"])
def test_explanations_add_up(loss, tables):
    nothing = dict.fromkeys(("users", "items", "columns"))
    shop = fitted(PAST, model(loss=loss), **nothing | tables)
    scores = scores_of(shop)
    item = shop.item_ids_[3]
    for user in [one for one in PAST["visitorid"].dropna().unique()][:3]:
        why = shop.explain(user, item)
        (row,) = numbers([user], shop.user_ids_)
        assert why.score == pytest.approx(scores[row, 3], abs=1e-5)
        assert sum(one.value for one in why.contributions) == pytest.approx(why.score, abs=1e-5)
        assert user in {one.user_feature for one in why.contributions}
    if tables.get("users") is not None:
        told = {"country": "DE", "age": 31}
        why = shop.explain(told, item)
        mine = shop.recommend(told, k=100)
        expected = mine["score"][mine["item"].tolist().index(item)]
        assert why.score == pytest.approx(expected, abs=1e-5) and "country:DE" in str(why)


def test_refused_explanations(shop):
    item = shop.item_ids_[0]
    for user, said in (
        ("nobody", "'nobody', who is unknown"),
        ({"country": "Atlantis"}, "a row without a known value"),
        (shop.user_ids_[:2], "one person, got 2"),
    ):
        with pytest.raises(ValueError, match=said):
            shop.explain(user, item)
    with pytest.raises(ValueError, match="item must hold items that are known, got 'x'"):
        shop.explain(shop.user_ids_[0], "x")
    popular = small(SMALL, of=Popularity())
    with pytest.raises(ValueError, match="a Popularity has no terms to explain"):
        popular.explain(1, "a")
    with pytest.raises(ValueError, match="Popularity does not know which items are alike"):
        popular.similar_items("a")


def test_vectors_as_tables(shop):
    for side in ("user", "item"):
        table = getattr(shop, f"{side}_table")()
        features = getattr(shop, f"{side}_features_")
        biases, vectors = getattr(shop.model_, f"get_{side}_representations")(features)
        names = [f"vector_{n}" for n in range(8)]
        encoder = getattr(shop, f"{side}_encoder_")
        assert list(table.columns) == [side, "bias", *names, *encoder.feature_names_]
        assert table[side].tolist() == getattr(shop, f"{side}_ids_").tolist()
        np.testing.assert_array_equal(table["bias"], biases)
        np.testing.assert_array_equal(table[names], vectors)
        few = getattr(shop, f"{side}_table")(features=False)
        assert list(few.columns) == [side, "bias", *names]
    items = shop.item_table()
    brands = [one if isinstance(one, str) else None for one in column(shop, "brand")]
    brand = next(filter(None, brands))
    assert items[f"brand:{brand}"].tolist() == [float(one == brand) for one in brands]


def test_a_feature_does_not_take_the_place_of_a_bias():
    people = pd.DataFrame({"u": [1, 2, 3], "bias": [True, False, True]})
    shop = small({"u": [1, 1, 2, 3], "i": [5, 6, 7, 6]}, users=people)
    with pytest.raises(ValueError, match="a feature 'bias'.*features=False"):
        shop.user_table()
    assert list(shop.user_table(features=False).columns)[:2] == ["user", "bias"]


# ---- what is new, and baselines ------------------------------------------------------------------


def test_who_has_done_nothing_has_no_feature_of_their_own(shop):
    for side in ("user", "item"):
        features = getattr(shop, f"{side}_features_")
        n = len(getattr(shop, f"{side}_ids_"))
        has_own = features[:, :n].diagonal() > 0
        has_events = np.asarray(shop.interactions_.sum(axis=int(side == "user"))).ravel() > 0
        np.testing.assert_array_equal(has_own, has_events)
        assert (~has_own).any()
        np.testing.assert_array_equal(features[:, :n].data, 1)
        # Whoever's columns tell something has a row of length 1 of that.
        told = features[:, n:].power(2).sum(axis=1)[np.diff(features[:, n:].indptr) > 0]
        np.testing.assert_allclose(told, 1, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:items without a stored entry")
def test_negatives_are_seen_items_unless_chosen(shop):
    assert shop.model_.negatives == "seen"
    assert fitted(PAST, model(negatives="all")).model_.negatives == "all"
    assert shop.model.get_params()["negatives"] == model().get_params()["negatives"]


@pytest.mark.filterwarnings("ignore:items without a stored entry")
@pytest.mark.parametrize("loss", ["warp", "softmax"])
def test_new_items_are_found_by_their_features(loss):
    """AUC of products that nobody had had, among all, in six shops.

    Measured: 0.40 to 0.71, 0.57 in the mean, and with negatives among all items from 0.11 to 0.30
    less in each shop, 0.36 in the mean.
    """
    found = {"seen": [], "all": []}
    for seed in range(6):
        shop = synthetic_shop(1500, 300, 20_000, random_state=seed)
        events, _, products = shop.to_frames("pandas")
        is_late = events["timestamp"] > events["timestamp"].quantile(0.6)
        for negatives, values in found.items():
            of = model(loss=loss, no_components=16, random_state=seed, negatives=negatives)
            options = {"items": products, "columns": {"tags": split("|"), "price": None}}
            shop = Recommender(of).fit(
                events[~is_late], **NAMES, **options, **{**QUIET, "epochs": 20}
            )
            result = shop.evaluate(events[is_late], metrics="auc")
            values.append(result.groups["new items"]["auc"])
    gains = np.subtract(found["seen"], found["all"])
    assert np.mean(found["seen"]) > 0.52 and gains.min() > 0.05 and gains.mean() > 0.15, found


@pytest.mark.parametrize("of", [Popularity(), Popularity("30d"), Random(0)], ids=repr)
def test_baselines(of):
    shop = fitted(PAST, of)
    had = shop.interactions_.toarray() > 0
    scores = all_scores_of_a_baseline(shop)
    some = shop.user_ids_[:20].tolist()
    found = lists(shop.recommend(some, k=5))
    for row, user in enumerate(some):
        assert_best(numbers(found[user], shop.item_ids_), scores[row], ~had[row], 5)
    stranger = shop.recommend("nobody", k=5)
    assert len(stranger) == 5
    if isinstance(of, Popularity):
        assert set(stranger["source"]) == {"popular"}
        idle = shop.user_ids_[~had.any(axis=1)][:1]
        assert set(shop.recommend([*idle, some[0]])["source"]) == {"popular", "known"}
        order = np.argsort(-scores[0], kind="stable")[:5]
        assert numbers(stranger["item"], shop.item_ids_) == order.tolist()


def all_scores_of_a_baseline(shop):
    users, items = (getattr(shop, f"{side}_ids_") for side in ("user", "item"))
    pairs = np.divmod(np.arange(len(users) * len(items)), len(items))
    return shop.model_.predict(*pairs).reshape(len(users), len(items))


# ---- scikit-learn --------------------------------------------------------------------------------


def test_parameters():
    shop = Recommender(model())
    assert shop.get_params(deep=False) == {"model": shop.model}
    assert shop.get_params()["model__no_components"] == 8
    assert shop.set_params(model__no_components=3, model__loss="bpr") is shop
    assert (shop.model.no_components, shop.model.loss) == (3, "bpr")
    other = LightFM()
    assert shop.set_params(model__no_components=7, model=other).model is other
    assert other.no_components == 7
    for bad, said in (
        ({"loss": "warp"}, "unknown parameter 'loss'.*model__no_components"),
        ({"model": LightFM(), "loss": "warp"}, "unknown parameter 'loss'"),
        ({"model": LightFM(), "model__loss": "wrap"}, "'wrap'"),
        ({"model__los": "warp"}, "unknown parameter 'los'.*loss"),
        ({"model__no_components": 0}, "no_components must be"),
    ):
        with pytest.raises(ValueError, match=said):
            shop.set_params(**bad)
        assert shop.model is other and (other.no_components, other.loss) == (7, "logistic")
    assert Recommender().model.loss == "warp"


def test_clone(shop):
    base = pytest.importorskip("sklearn.base")
    twin = base.clone(shop)
    assert not hasattr(twin, "model_") and twin.model is not shop.model
    assert repr(twin) == repr(shop) == "Recommender(LightFM(no_components=8, loss='warp'))"
    same_state(twin.fit(EVENTS, **NAMES, **KINDS, **TABLES, **QUIET), shop)


@pytest.mark.parametrize(
    ("of", "name", "values"),
    [(model(), "model__no_components", [1, 6]), (Popularity(), "model__half_life", [1, 30])],
    ids=["LightFM", "Popularity"],
)
@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_searches(of, name, values, kind):
    pytest.importorskip(kind)
    selection = pytest.importorskip("sklearn.model_selection")
    events, visitors, products = SHOP.to_frames(kind)
    search = selection.GridSearchCV(Recommender(of), {name: values}, cv=2, error_score="raise")
    search.fit(events, **NAMES, **KINDS, **QUIET, users=visitors, items=products)
    found = search.cv_results_["mean_test_score"]
    assert found.shape == (2,) and (found > 0).all() and len(set(found)) == 2
    best = search.best_estimator_
    assert best.get_params()[name] == values[int(np.argmax(found))]
    assert len(best.recommend(k=1)) == len(best.user_ids_)
    assert len(best.user_ids_) == fitted().interactions_.shape[0]


def test_pipeline():
    """Events go through steps before it; the table is all it takes."""
    pipeline = pytest.importorskip("sklearn.pipeline")
    preprocessing = pytest.importorskip("sklearn.preprocessing")

    def without_machines(events):
        return events[~events["visitorid"].isin(SHOP.truth.machines)]

    steps = pipeline.make_pipeline(
        preprocessing.FunctionTransformer(without_machines), Recommender(model())
    )
    options = {f"recommender__{name}": value for name, value in {**NAMES, **QUIET}.items()}
    steps.fit(PAST, **options)
    shop = steps[-1]
    assert not set(SHOP.truth.machines) & set(shop.user_ids_)
    expected = shop.evaluate(without_machines(LATER), metrics="ndcg@10")["ndcg@10"]
    assert steps.score(LATER) == expected > 0


# ---- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda shop, path: shop.recommend(["a"]),
        lambda shop, path: shop.recommend(history=[["a"]]),
        lambda shop, path: shop.write_lists(path),
        lambda shop, path: shop.similar_items(),
        lambda shop, path: shop.explain("a", "b"),
        lambda shop, path: shop.evaluate(LATER),
        lambda shop, path: shop.compare({}, LATER),
        lambda shop, path: shop.score(LATER),
        lambda shop, path: shop.update(LATER),
        lambda shop, path: shop.user_table(),
        lambda shop, path: shop.item_table(),
        lambda shop, path: shop.save(path),
    ],
)
def test_before_the_fit(call, path):
    with pytest.raises(ValueError, match="not fitted yet: call fit first"):
        call(Recommender(), path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"user": "x"}, ValueError, "events must have the column 'x'.*'visitorid'"),
        ({"item": "visitorid"}, ValueError, "two columns of events, got 'visitorid' for both"),
        ({"timestamp": "event"}, ValueError, "'event'.*timestamp"),
        ({"timestamp": "never"}, ValueError, "'never'.*numbers since 1970.*got 1e\\+30"),
        ({"timestamp": "today"}, ValueError, "'today'.*texts of dates.*timestamp"),
        ({"event": "x"}, ValueError, "events must have the column 'x'"),
        ({"event": None}, ValueError, "event_weights need the column of kinds"),
        ({"event_weights": {"view": -1}}, ValueError, "event_weights must be numbers >= 0"),
        ({"event_weights": ["view"]}, TypeError, "event_weights must be a dict from kinds"),
        ({"event_weights": {"buy": 1}}, ValueError, "at least one event that counts.*'view'"),
        ({"weight": "event"}, TypeError, "'event' of events must hold numbers"),
        ({"half_life": "10y"}, ValueError, "half_life must be a time above 0.*'10y'"),
        ({"half_life": 3, "timestamp": None}, ValueError, "half_life needs times"),
        ({"of": Popularity(3), "timestamp": None}, ValueError, r"y\(half_life=3\) needs times.*p="),
        ({"of": Popularity(3), "timestamps": [1]}, TypeError, "'timestamps'.*timestamp here"),
        ({"watched": "timestamp"}, ValueError, "shares from 0 to 1"),
        ({"duplicates": "first"}, ValueError, "duplicates must be one of 'max', 'sum', 'last'"),
        ({"users": PRODUCTS}, ValueError, "users must have the column 'visitorid'"),
        ({"items": 7}, TypeError, "items must be a pandas or polars DataFrame"),
        ({"columns": {"prize": None}}, ValueError, "columns names 'prize', which is no column"),
        ({"columns": ["tags"]}, TypeError, "columns must be a dict"),
        ({"columns": {"tags": "many"}}, ValueError, "'tags'"),
        ({"epochs": "x"}, ValueError, "epochs must be an integer"),
        ({"num_threads": 0}, ValueError, "num_threads must be"),
        ({"item_features": 3}, TypeError, "unexpected keyword argument 'item_features'"),
        ({"colums": {}}, TypeError, "'colums'; it is called columns here"),
    ],
    ids=str,
)
def test_refused_fits(arguments, error, said):
    with pytest.raises(error, match=said):
        fitted(PAST.assign(never=1e30, today="today"), **arguments)


def test_columns_are_passed_by_name():
    with pytest.raises(
        TypeError, match=r"2 arguments by .*\(events, y\) and got 3;.* user=\.\.\.,"
    ):
        Recommender().fit(PAST, "visitorid", "itemid")


@pytest.mark.parametrize("of", ["warp", LightFM, 3], ids=repr)
def test_refused_models(of):
    with pytest.raises(TypeError, match="model must be a LightFM.*got"):
        fitted(PAST, of)


def test_refused_events(tmp_path):
    with pytest.raises(FileNotFoundError, match="events names a file that is not there"):
        fitted(tmp_path / "x.csv")
    with pytest.raises(ValueError, match=r"events must name a file that ends in .*\.xls"):
        (tmp_path / "x.xls").write_bytes(b"")
        fitted(tmp_path / "x.xls")
    with pytest.raises(ValueError, match="at least one event that counts, got 0 rows"):
        fitted(PAST[:0])


def test_options_of_the_models_fit():
    """What `Recommender.fit` does not know goes to the model: a true value stops the training."""
    epochs = []

    def stop_after_two(model, record):
        epochs.append(record["epoch"])
        return record["epoch"] == 2

    shop = fitted(PAST, callbacks=[stop_after_two])
    assert epochs == [1, 2] and len(shop.model_.history_) == 2


def test_validation_by_a_table_of_later_events():
    """The same metrics as of the matrix that `evaluate` makes, of people and items that train."""
    shop = fitted(PAST, validation=LATER)
    users, _, items, _ = shop.dataset_.mapping()
    seen = shop.interactions_.toarray() > 0
    later = np.zeros(seen.shape, np.float32)
    for user, item in zip(LATER["visitorid"], LATER["itemid"], strict=True):
        if user in users and item in items:
            later[users[user], items[item]] = 1
    later[seen] = 0
    again = fitted(PAST, validation=sp.csr_matrix(later))
    values = [record["ndcg@10"] for record in shop.model_.history_]
    assert values == [record["ndcg@10"] for record in again.model_.history_]
    assert len(set(values)) > 1 and min(values) > 0
    given = {"interactions": sp.csr_matrix(later)}
    third = fitted(PAST, validation=given)
    assert values == [record["ndcg@10"] for record in third.model_.history_]
    with pytest.raises(ValueError, match="validation must hold interactions to be ranked, got no"):
        fitted(PAST, validation=PAST)
    with pytest.raises(ValueError, match="must have the column 'visitorid'"):
        fitted(PAST, validation=PRODUCTS)


# ---- tables as people have them ------------------------------------------------------------------


def test_a_pivoted_table_of_ratings():
    """Wide, with NaN for what is not rated: refused; melted, with the missing left out: right."""
    long = pd.DataFrame(
        {"u": [1, 1, 2, 3, 3, 4], "i": ["a", "b", "a", "c", "a", "b"], "r": [5, 3, 4, 1, 5, 2.0]}
    )
    wide = long.pivot(index="u", columns="i", values="r")
    with pytest.raises(ValueError, match="events must have the column 'u'.*reset_index"):
        Recommender(model()).fit(wide, user="u", item="i", **QUIET)
    melted = wide.reset_index().melt(id_vars="u", value_name="r")
    assert len(melted) == 12
    shop = Recommender(model()).fit(melted, user="u", item="i", weight="r", **QUIET)
    assert shop.interactions_.nnz == 6
    assert any("without a value" in removed.what for removed in shop.report_.removed)
    zeros = melted.fillna({"r": 0})
    same = Recommender(model()).fit(zeros, user="u", item="i", weight="r", **QUIET)
    assert same.interactions_.nnz == 6
    below = melted.fillna({"r": -1})
    with pytest.raises(ValueError, match="finite weights >= 0, got -1"):
        Recommender(model()).fit(below, user="u", item="i", weight="r", **QUIET)


def test_numbers_in_feature_rows():
    """Amounts do not drown what else is known, cancel out, or become nothing."""
    people = pd.DataFrame(
        {"u": [1, 2, 3, 4], "age": [10, 13, 0, 99], "z": [1.0, -1.0, None, 0.0], "c": list("xxyy")}
    )
    rules = {"age": "number", "z": "number"}
    shop = small(SMALL, users=people, columns=rules)
    features = shop.user_features_.toarray()
    assert np.isfinite(features).all() and np.abs(features).max() < 2
    assert (np.abs(features).sum(axis=1) > 0).all()
    binned = small(SMALL, users=people).user_features_
    np.testing.assert_allclose(binned.power(2).sum(axis=1), 2, rtol=1e-6)
    with pytest.raises(ValueError, match="'age'.*users"):
        small(SMALL, users=people.assign(age=[1, 2, np.inf, 3]), columns=rules)
    assert rows(shop.recommend({"age": 31, "c": "x"})) == rows(
        shop.recommend({"age": np.float32(31), "c": "x"})
    )


def test_a_new_visitors_request(shop):
    """The row has no number and no identity, least of all somebody else's."""
    told = shop.recommend({"country": "DE", "age": 31}, k=60)
    encoder = shop.user_encoder_
    row = encoder.transform({"country": "DE", "age": 31}).toarray()[0] / np.sqrt(2)
    features = np.zeros((1, shop.user_features_.shape[1]), np.float32)
    mapping = shop.dataset_.mapping()[1]
    features[0, [mapping[name] for name in encoder.feature_names_]] = row
    scores = shop.model_.predict(
        np.zeros(60, int), np.arange(60), user_features=features, item_features=shop.item_features_
    )
    assert_best(numbers(told["item"], shop.item_ids_), scores, np.ones(60, bool), 60)
    assert not features[0, : len(shop.user_ids_)].any()


@pytest.mark.parametrize(
    "make",
    [
        lambda frame: frame.to_dict("records"),
        lambda frame: frame.to_dict("list"),
        lambda frame: frame.set_index("i").reset_index()[["u", "i"]],
        lambda frame: frame.astype({"i": "category"}),
        lambda frame: frame.convert_dtypes(),
        lambda frame: frame.assign(more=1),
    ],
    ids=["records", "columns", "order", "category", "nullable", "more"],
)
def test_events_in_many_forms(make):
    frame = pd.DataFrame(SMALL)
    shop = Recommender(model()).fit(make(frame), user="u", item="i", **QUIET)
    same_state(shop, small(SMALL, of=model()))


def test_what_is_no_table_of_events():
    frame = pd.DataFrame(SMALL)
    for table in (frame.to_numpy(), frame.to_records(), frame["u"], iter([1]), None):
        with pytest.raises(TypeError, match="events must be a pandas or polars DataFrame"):
            Recommender(model()).fit(table, user="u", item="i", **QUIET)


def test_when_nothing_can_be_learned_it_is_said():
    """Everybody has everything; or all events weigh nothing."""
    pairs = {"u": [1, 1, 2, 2], "i": ["a", "b", "a", "b"]}
    with pytest.warns(UserWarning, match="nothing was learned"):
        shop = small(pairs)
    assert not len(shop.recommend()) and len(shop.recommend(exclude=False)) == 4
    with pytest.raises(ValueError, match="with a weight of 0"):
        small({**pairs, "w": [0, 0, 0, 0]}, weight="w")


def test_missing_ids_in_the_log():
    """Anonymous visitors, whose column pandas has made floats of: left out, counted, told."""
    log = {"u": [1.0, np.nan, 2.0, np.nan, 1.0], "i": ["a", "a", "b", None, "b"]}
    shop = small(log, of=model(loss="bpr"))
    assert shop.user_ids_.tolist() == [1, 2] and shop.interactions_.nnz == 3
    assert [removed.how_many for removed in shop.report_.removed] == [2]
    assert "without a value in the column 'u' of events" in str(shop.report_)
    assert lists(shop.recommend(2, k=1)) == {2: ["a"]}  # an integer is the same id
    with pytest.raises(ValueError, match="at least one event.*without a value in the column 'u'"):
        small({"u": [None, None], "i": ["a", "b"]})


# ---- reading -------------------------------------------------------------------------------------


class _Balanced(HTMLParser):
    """Fails for tags that do not close."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_what_it_shows():
    evil = "<script>alert(1)</script>"
    events = {
        "u": ["ann", "ann", "bob"] * 2,
        "i": ["x", "y", "x", "z", "y", "z"],
        "k": [evil, "view", "view"] * 2,
        "t": [1.7e9 + 1e5 * n for n in range(6)],
    }
    people = pd.DataFrame({"u": ["ann", "bob", "cid"], evil: [evil, "b", evil], "g": list("aba")})
    shop = small(events, event="k", timestamp="t", users=people)
    assert repr(shop) == "Recommender(LightFM(no_components=4, loss='warp'))"
    text = str(shop)
    for said in ("3, 2 of them with events", "6, which make", "view 3", "epochs", "last loss"):
        assert said in text, said
    assert "2023-11-14 to 2023-11-20" in text and evil in text
    html = shop._repr_html_()
    parser = _Balanced()
    parser.feed(html)
    assert not parser.open and "script" not in parser.seen and "script" in html
    assert "columns of users" in html and "columns of items" not in html


def test_what_it_shows_of_warnings():
    shop = fitted(PAST.assign(visitorid="x" + PAST["visitorid"]))  # a join without a partner
    (warning, *_) = shop.report_.warnings
    for shown in (str(shop), shop._repr_html_()):
        assert "warnings of the data" in shown
    assert warning.what in str(shop) and warning.remedy in str(shop)


def test_what_it_shows_before_the_fit_and_of_baselines():
    assert (
        str(Recommender(Popularity()))
        == repr(Recommender(Popularity()))
        == ("Recommender(Popularity())")
    )
    assert "not fitted" in Recommender()._repr_html_()
    shown = str(small(SMALL, of=Popularity()))
    assert "4, 4 of them with events" in shown and "epochs" not in shown


def test_ratings_are_the_values_of_mse():
    rng = np.random.default_rng(0)
    u, i = np.divmod(rng.permutation(40 * 30)[:600], 30)
    stars = 1 + 4 * ((u % 2) == (i % 2)) - 0.5 * (i % 3 == 0)
    rated = pd.DataFrame({"u": u, "i": i, "stars": stars})
    names = {"user": "u", "item": "i", "weight": "stars", "verbose": False}
    shop = Recommender(LightFM(loss="mse", random_state=0))
    shop.fit(rated, **names, epochs=60, num_threads=1)
    assert shop.model_.global_mean_ == pytest.approx(stars.mean(), abs=1e-4)
    scores = shop.recommend([0], k=30, exclude=False).set_index("item")["score"]
    of = stars[u == 0], scores[i[u == 0]]
    assert np.sqrt(np.mean((of[0] - of[1]) ** 2)) < 0.5 * stars.std()
    shop.update(rated.iloc[:50].assign(stars=3.0), verbose=False, num_threads=1)
    with pytest.raises(ValueError, match="half_life must be None for loss='mse'"):
        shop.fit(rated.assign(t=1e9), **names, timestamp="t", half_life="9d", num_threads=1)
    assert len(shop.recommend([0], k=3)) == 3


def test_what_is_told_though_it_is_allowed(shop, tmp_path):
    with pytest.warns(UserWarning, match="none of the 12 users is known.*written as in the fit"):
        lists = shop.recommend([f"x{n}" for n in range(12)], k=1)
    assert set(lists["source"]) == {"popular"}
    with pytest.warns(
        UserWarning, match=r"where=\{'brand': 'Nobody'\} leaves no item.*'brand', which"
    ):
        assert not len(shop.recommend(k=1, where={"brand": "Nobody"}))
    with pytest.raises(TypeError, match="model must be a LightFM"):
        shop.compare({"me": shop}, LATER, exclude=False)
    with pytest.raises(TypeError, match="model must be a LightFM"):
        small(SMALL, of=pytest.importorskip("sklearn.linear_model").LogisticRegression())
    VISITORS.iloc[:5].to_csv(tmp_path / "people.csv", index=False)
    of_path = shop.recommend(str(tmp_path / "people.csv"), k=2)
    pd.testing.assert_frame_equal(of_path, shop.recommend(VISITORS.iloc[:5], k=2))


def test_one_state_for_each_request():
    """Lists that are asked for while another thread updates are those of before or of after."""
    shop = small(SMALL, of=model())
    now = shop._now()
    before = now.recommend(k=2, num_threads=1)
    people, items = shop.user_ids_.tolist(), shop.item_ids_.tolist()
    newcomer = type(people[0])(99)
    shop.update(pd.DataFrame({"u": [newcomer] * len(items), "i": items}), verbose=False)
    assert len(shop.user_ids_) == len(now.user_ids_) + 1
    pd.testing.assert_frame_equal(now.recommend(k=2, num_threads=1), before)


@pytest.mark.parametrize("loss", ["warp", "softmax", "bpr"])
def test_histories_are_folded_in_as_the_model_does(loss):
    shop = fitted(PAST, model(loss=loss))
    likes = shop.interactions_[:3]
    found = shop._serving.fold_in(likes, 1)
    expected = shop.model_.fold_in_users(likes, item_features=shop.item_features_, random_state=0)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
