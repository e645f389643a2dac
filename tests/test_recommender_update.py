"""`Recommender.update`: the same data as a fit on all at once, and nothing lost on the way."""

from __future__ import annotations

import copy
from contextlib import suppress

import numpy as np
import pytest
from shops import (
    EVENTS,
    LATER,
    NAMES,
    PAST,
    PRODUCTS,
    QUIET,
    VISITORS,
    fitted,
    lists,
    model,
    numbers,
    pd,
    rows,
    same_state,
    small,
)

from lightfm_clone import LightFM, Popularity, Recommender
from lightfm_clone._model.prepared import PreparedItems
from lightfm_clone.data import between, bins, cross
from lightfm_clone.recommender import Random, fitting

ONE = {"num_threads": 1, "verbose": False}
SMALL = {"u": ["ann", "ann", "bob", "cid"], "i": ["x", "y", "x", "z"]}


@pytest.fixture
def shop():
    return fitted(PAST)


def known_pairs(shop):
    """(user, item) to (weight, kinds, time), by ids."""
    pairs = shop.pairs_
    owners = np.repeat(np.arange(pairs.shape[0]), np.diff(pairs.indptr))
    columns = [
        [None] * len(owners) if values is None else values.tolist()
        for values in (pairs.weights, pairs.kinds, pairs.times)
    ]
    ids = zip(shop.user_ids_[owners], shop.item_ids_[pairs.indices], strict=True)
    return dict(zip(ids, zip(*columns, strict=True), strict=True))


def representations(shop, side):
    return getattr(shop.model_, f"{side}_biases"), getattr(shop.model_, f"{side}_embeddings")


@pytest.mark.parametrize("duplicates", ["max", "sum", "last"])
@pytest.mark.parametrize("half_life", [None, "20d"])
def test_the_same_pairs_as_all_at_once(duplicates, half_life):
    options = {"duplicates": duplicates, "half_life": half_life}
    whole = known_pairs(fitted(**options, epochs=0))
    days = pd.qcut(EVENTS["timestamp"], 4, labels=False)
    shop = fitted(EVENTS[days == 0], **options)
    for day in (1, 2, 3):
        shop.update(EVENTS[days == day], **ONE)
    merged = known_pairs(shop)
    assert merged.keys() == whole.keys()
    for pair, (weight, kinds, time) in whole.items():
        assert merged[pair][0] == pytest.approx(weight, rel=1e-5)
        assert merged[pair][1:] == (kinds, time)
    assert shop.pairs_.n_events == len(EVENTS.drop_duplicates().dropna())


def test_what_comes_late_but_happened_early():
    shop = fitted(LATER, duplicates="last", half_life="20d").update(PAST, **ONE)
    whole = known_pairs(fitted(duplicates="last", half_life="20d", epochs=0))
    for pair, (weight, *others) in known_pairs(shop).items():
        assert whole[pair][0] == pytest.approx(weight, rel=1e-5)
        assert list(whole[pair][1:]) == others


def test_an_empty_update_changes_nothing(shop):
    before = copy.deepcopy(shop)
    assert shop.update(PAST[:0], **ONE) is shop
    same_state(shop, before)


def test_what_is_known_stays_until_it_is_trained(shop):
    """With nobody but new people and items: bit for bit. With three events: nearly all of it."""
    before = copy.deepcopy(shop)
    people = pd.DataFrame({"visitorid": ["new", "newer"], "country": ["DE", "FR"], "age": [20, 70]})
    goods = PRODUCTS[:2].assign(itemid=["n1", "n2"], brand=["Brandnew", PRODUCTS["brand"][0]])
    shop.update(PAST[:0], users=people, items=goods, **ONE)
    for side in ("user", "item"):
        ids = getattr(shop, f"{side}_ids_").tolist()
        assert ids[:-2] == getattr(before, f"{side}_ids_").tolist()
        for new, old in zip(
            representations(shop, side), representations(before, side), strict=True
        ):
            np.testing.assert_array_equal(new[: len(old)], old)
            assert len(new) > len(old) and np.isfinite(new).all()
        names = list(shop.dataset_.mapping()[1 if side == "user" else 3])
        old_names = list(before.dataset_.mapping()[1 if side == "user" else 3])
        assert names[: len(old_names)] == old_names
    assert "brand:Brandnew" in names and shop.item_features_[-2, names.index("brand:Brandnew")] > 0
    assert set(shop.recommend(["new", "newer"])["source"]) == {"features"}
    assert shop.recommend("new", items=["n1", "n2"])["item"].nunique() == 2

    before = copy.deepcopy(shop)
    some = before.user_ids_[:1].tolist()
    shop.update(
        PAST[:3].assign(visitorid=some * 3, itemid=["n1", "n2", PRODUCTS["itemid"][0]]), **ONE
    )
    n = len(before.user_ids_)
    same = (representations(shop, "user")[1] == representations(before, "user")[1]).all(axis=1)
    assert not same[numbers(some, before.user_ids_)].any()
    assert n - 80 < same[:n].sum() < n  # nine examples of the new, 72 old ones
    assert shop._items.has_own[-2:].all()


def test_new_people_and_items(shop):
    events = PAST[:4].assign(
        visitorid=["new", "new", PAST["visitorid"].dropna().iloc[0], "other"],
        itemid=[PRODUCTS["itemid"][1], "n1", "n1", "n2"],
        event="view",
    )
    n_users, n_items = shop.interactions_.shape
    shop.update(events, **ONE)
    assert shop.interactions_.shape == (n_users + 2, n_items + 2)
    assert shop.interactions_[-2].sum() == 2
    out = shop.recommend(["new", "other", "stranger"], k=100)
    assert out.drop_duplicates("user")["source"].tolist() == ["known", "known", "popular"]
    found = lists(out)
    assert not {"n1", PRODUCTS["itemid"][1]} & set(found["new"]) and "n2" in found["new"]
    assert "n1" in set(shop.similar_items(PRODUCTS["itemid"][1], k=100)["similar"])
    assert shop.report_.n_events == 4
    # Nothing is known of the new ones, so no condition holds.
    some = shop.recommend("new", where={"price": between(0)}, deny="n2", k=100)
    assert len(some) and not {"n1", "n2"} & set(some["item"])
    assert "n2" in set(shop.recommend("new", at_most={"brand": 1}, k=100)["item"])


def test_an_item_whose_row_has_changed(shop):
    item = PRODUCTS["itemid"][2]
    (row,) = numbers([item], shop.item_ids_)
    before = shop.item_features_[row].toarray()
    changed = PRODUCTS[2:3].assign(brand="Brandnew", price=1e4)
    other = copy.deepcopy(shop)
    shop.update(PAST[:0], items=changed, **ONE)
    assert len(shop.item_ids_) == len(other.item_ids_)
    names = list(shop.dataset_.mapping()[3])
    after = shop.item_features_[row].toarray()[0]
    assert after[names.index("brand:Brandnew")] > 0
    old = [n for n, name in enumerate(names[: before.shape[1]]) if "brand:" in str(name)]
    assert before[0, old].any() and not after[old].any()
    expected = shop.recommend(where={"brand": "Brandnew", "price": between(9e3)}, exclude=False)
    assert set(expected["item"]) == {item}
    assert not len(other.recommend(where={"price": between(9e3)}))
    # All other rows are as they were.
    rest = np.delete(np.arange(len(shop.item_ids_)), row)
    left, right = shop.item_features_[rest], other.item_features_[rest]
    assert (left[:, : right.shape[1]] != right).nnz == 0


def test_columns_that_an_update_lacks_stay_as_they_were():
    """A table of new prices does not take the tags away, neither from features nor from rules."""
    items = pd.DataFrame(
        {"i": ["x", "y", "z"], "tag": ["a", "b", "a"], "price": [1.0, 2.0, 3.0], "new": [1, 0, 1]}
    )
    rules = {"price": bins([1.5]), "new": "category", "both": cross("tag", "price")}
    shop = small(SMALL, items=items, columns=rules)
    prices = pd.DataFrame({"price": [1.0, 9.0], "i": ["y", "w"]})
    shop.update(pd.DataFrame(SMALL)[:0], items=prices, **ONE)
    names = np.array(shop.item_encoder_.feature_names_)
    assert {
        item: set(names[encoded(shop)[row].indices]) for row, item in enumerate(shop.item_ids_)
    } == {
        "x": {"tag:a", "price:<1.5", "new:1", "both:a x <1.5"},
        "y": {"tag:b", "price:<1.5", "new:0"},  # of the cross one half has changed
        "z": {"tag:a", "price:>=1.5", "new:1", "both:a x >=1.5"},
        "w": {"price:>=1.5"},
    }
    assert shop.recommend(where={"tag": "b", "price": 1}, exclude=False)["item"].unique() == ["y"]
    # A column that is there counts, with what is missing in it, too.
    gone = pd.DataFrame({"i": ["x"], "tag": [None], "price": [9.0], "new": [0]})
    shop.update(pd.DataFrame(SMALL)[:0], items=gone, **ONE)
    assert set(names[encoded(shop)[0].indices]) == {"price:>=1.5", "new:0"}


def encoded(shop):
    return shop._items.encoded


def test_a_first_table_comes_with_an_update():
    shop = small(SMALL)
    people = pd.DataFrame({"u": ["ann", "dan"], "c": ["a", "b"]})
    shop.update(pd.DataFrame({"u": ["dan"], "i": ["z"]}), users=people, **ONE)
    assert shop.user_encoder_.feature_names_ == ["c:a", "c:b"]
    names = list(shop.dataset_.mapping()[1])
    assert names == ["ann", "bob", "cid", "dan", "c:a", "c:b"]
    np.testing.assert_allclose(
        shop.user_features_.toarray(),
        [
            [1, 0, 0, 0, 1, 0],
            [0, 1, 0, 0, 0, 0],
            [0, 0, 1, 0, 0, 0],
            [0, 0, 0, 1, 0, 1],
        ],
    )
    assert shop.recommend({"c": "a"}, k=1)["source"].tolist() == ["features"]


def test_kinds_that_are_new():
    events = {**SMALL, "k": ["view", "view", "view", "buy"]}
    shop = small(events, event="k")
    shop.update(pd.DataFrame({"u": ["ann", "ann"], "i": ["z", "x"], "k": ["gift", "buy"]}), **ONE)
    every = {"x", "y", "z"}
    for kinds, had in (("gift", {"z"}), ("buy", {"x"}), ("view", {"x", "y"}), (True, every)):
        found = set(shop.recommend("ann", exclude=kinds)["item"])
        assert found == every - had, kinds
    weighted = small(events, event="k", event_weights={"view": 1, "buy": 2})
    later = pd.DataFrame({"u": ["ann"], "i": ["z"], "k": ["gift"]})
    weighted.update(later, **ONE)
    assert weighted.interactions_.nnz == 4 and weighted.report_.removed[0].how_many == 1


def test_updates_can_be_repeated(shop):
    other = fitted(PAST)
    for each in (shop, other):
        each.update(LATER, users=VISITORS, items=PRODUCTS, **ONE)
    same_state(shop, other)


def test_an_update_learns_what_is_new():
    """People who start to like one half of the items get these first."""
    rng = np.random.default_rng(0)
    items = [f"i{n}" for n in range(40)]
    log = {"u": np.repeat(np.arange(60), 8).tolist(), "i": rng.choice(items, 480).tolist()}
    shop = small(log, of=model(), epochs=10)
    new = pd.DataFrame(
        {"u": np.repeat(np.arange(100, 130), 8), "i": rng.choice(items[:20], 240).tolist()}
    )
    shop.update(new, **ONE, epochs=10)
    found = shop.recommend(list(range(100, 130)), k=5, exclude=False)["item"]
    assert found.isin(items[:20]).mean() > 0.9


def test_what_a_request_makes_meanwhile_does_not_outlive_an_update(shop, monkeypatch):
    """A request of another thread packs the items of the old model when the new one comes."""
    pack = PreparedItems.of

    def of(*given):
        monkeypatch.undo()
        packed = pack(*given)
        shop.update(LATER, items=PRODUCTS.assign(itemid="new"), **ONE)
        return packed

    monkeypatch.setattr(PreparedItems, "of", of)
    with suppress(ValueError):  # some of what it goes by is old, some new
        shop.recommend(k=1)
    new = copy.deepcopy(shop)
    assert rows(shop.recommend(k=3, num_threads=1)) == rows(new.recommend(k=3, num_threads=1))


@pytest.mark.parametrize("of", [Popularity(), Popularity("20d"), Random(3)], ids=repr)
def test_baselines_count_anew(of):
    shop = fitted(PAST, of).update(LATER, **ONE)
    whole = fitted(EVENTS, of)
    some = shop.user_ids_[:30].tolist()
    assert set(whole.item_ids_) == set(shop.item_ids_)
    if isinstance(of, Popularity):
        mine, theirs = (
            each.recommend(some, k=60, exclude=False).sort_values(["user", "item"])
            for each in (shop, whole)
        )
        assert mine["item"].tolist() == theirs["item"].tolist()
        np.testing.assert_allclose(mine["score"], theirs["score"], rtol=1e-5)
    assert shop.model_.n_users_ == len(shop.user_ids_)


def test_after_loading(shop, path):
    shop.save(path)
    content = path.read_bytes()
    others = [Recommender.load(path), Recommender.load(path, mmap=True)]
    for each in (shop, *others):
        each.update(LATER, users=VISITORS[:50], items=PRODUCTS, **ONE)
    for other in others:
        same_state(shop, other)
        assert rows(other.recommend(k=2, num_threads=1)) == rows(shop.recommend(k=2, num_threads=1))
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"events": LATER.drop(columns="itemid")}, ValueError, "events must have the column"),
        (
            {"events": LATER.drop(columns="event")},
            ValueError,
            "events must have the column 'event'",
        ),
        ({"events": LATER.assign(timestamp="then")}, ValueError, "timestamp"),
        (
            {"events": LATER.assign(visitorid=7)},
            ValueError,
            "events must hold ids like .* 7 of type",
        ),
        ({"events": LATER.assign(itemid=7)}, ValueError, "events must hold ids like .* 7 of type"),
        ({"users": VISITORS.assign(visitorid=7)}, ValueError, "users must hold ids like"),
        ({"items": PRODUCTS.assign(itemid=7)}, ValueError, "items must hold ids like"),
        ({"users": VISITORS.drop(columns="visitorid")}, ValueError, "users must have the column"),
        ({"users": VISITORS.assign(visitorid="n", age="old")}, (TypeError, ValueError), "age"),
        ({"items": PRODUCTS.assign(itemid="n", price="x")}, (TypeError, ValueError), "price"),
        ({"items": "nowhere.csv"}, FileNotFoundError, "items names a file"),
        ({"epochs": 0}, ValueError, "epochs must be an integer of at least 1"),
        ({"num_threads": 0}, ValueError, "num_threads"),
        ({"user": "visitorid"}, TypeError, "'user'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_update_that_fails_changes_nothing(arguments, error, said):
    """Nothing that is seen, and nothing that a later update or file would show."""
    shop, twin = fitted(PAST), fitted(PAST)
    new = {"events": LATER, "users": VISITORS.assign(country="Atlantis"), "items": PRODUCTS, **ONE}
    with pytest.raises(error, match=said):
        shop.update(**new | arguments)
    same_state(shop, twin)
    assert shop.user_encoder_.feature_names_ == twin.user_encoder_.feature_names_
    assert shop._users.encoded.shape == twin._users.encoded.shape
    assert rows(shop.recommend(k=2)) == rows(twin.recommend(k=2))
    for each in (shop, twin):
        each.update(LATER, **ONE)
    same_state(shop, twin)


def test_an_interrupt_in_training_changes_nothing(shop, monkeypatch, path):
    twin = copy.deepcopy(shop)

    def interrupt(*given, **further):
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting.updating, "train_on_new", interrupt)
    with pytest.raises(KeyboardInterrupt):
        shop.update(LATER, users=VISITORS.assign(country="Atlantis"), items=PRODUCTS, **ONE)
    monkeypatch.undo()
    same_state(shop, twin)
    assert shop._users.encoded.shape == twin._users.encoded.shape
    shop.save(path)
    same_state(Recommender.load(path), twin)
    for each in (shop, twin):
        each.update(LATER, users=VISITORS.assign(country="Atlantis"), items=PRODUCTS, **ONE)
    same_state(shop, twin)


def test_tables_of_another_kind():
    """What goes out stays of the kind of the fit."""
    pl = pytest.importorskip("polars")
    shop = Recommender(LightFM(loss="warp", random_state=0)).fit(
        pl.from_pandas(PAST), **NAMES, **QUIET
    )
    shop.update(LATER, **ONE)
    assert isinstance(shop.recommend(k=1), pl.DataFrame)
    assert isinstance(shop.item_table(), pl.DataFrame)


def test_updates_in_one_go_or_several(shop, capsys):
    """The report of an update is about what came with it."""
    shop.update(LATER, num_threads=1)
    assert str(shop.report_) in capsys.readouterr().out
    assert shop.report_.n_rows == len(LATER)


def test_updates_that_are_seldom_meant():
    weights = {"view": 1, "buy": 2}
    shop = small({**SMALL, "k": ["view", "buy"] * 2}, event="k", event_weights=weights)
    many = pd.DataFrame({"u": [f"u{n}" for n in range(20)], "i": ["x", "y"] * 10, "k": "view"})
    with pytest.warns(UserWarning, match="none of the 20 events counts.*'seen'"):
        shop.update(many.assign(k="seen"), **ONE)
    shop.update(many, **ONE)
    assert not shop.report_.warnings  # though there may be other kinds
    with pytest.warns(UserWarning, match="all 20 pairs of these events were known already"):
        shop.update(many, **ONE)
