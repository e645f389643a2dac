"""`Recommender.evaluate` and `compare`, against matrices made by hand."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import scipy.sparse as sp
from shops import LATER, PAST, PRODUCTS, VISITORS, fitted, model, pd, same_state, scores_of, small

from lightfm_clone import Popularity
from lightfm_clone.evaluation import evaluate
from lightfm_clone.recommender import Random

METRICS = ["precision@10", "recall@10", "ndcg@10", "map@10", "mrr", "auc"]


@pytest.fixture(scope="module")
def shop():
    return fitted(PAST)


def test_the_last_of_as_many_kinds_as_there_can_be():
    n = 64
    log = {"u": [k % 5 for k in range(n)], "i": [k % 23 for k in range(n)], "k": [*range(n)]}
    shop = small(log, event="k")
    later = pd.DataFrame({"u": [0, 1], "i": [6, 5], "k": [63, 62]})
    for kinds, n_users in ((63, 1), ([62], 1), ([62, 63], 2), (None, 2)):
        found = shop.evaluate(later, relevant=kinds, exclude=False, metrics="auc")
        assert len(found.users) == n_users, kinds


class Scores:
    """Ranks from a dense matrix of scores, by the definition."""

    def __init__(self, scores):
        self.scores = scores

    def predict_rank(self, test_interactions, train_interactions=None, **given):
        test = test_interactions.tocsr()
        left_out = np.zeros(test.shape, bool)
        if train_interactions is not None:
            left_out = train_interactions.toarray() != 0
        ranks = []
        for row in range(test.shape[0]):
            for item in test.indices[test.indptr[row] : test.indptr[row + 1]]:
                above = (self.scores[row] >= self.scores[row, item]) & ~left_out[row]
                ranks.append(above.sum() - 1)
        return sp.csr_matrix((np.array(ranks, np.float32), test.indices, test.indptr), test.shape)


def by_hand(
    shop, events, kinds=None, exclude=("view", "addtocart", "transaction"), new=None, past=PAST
):
    """Scores, test pairs and left-out pairs of everybody in later events, row by row."""
    users = {one: place for place, one in enumerate(shop.user_ids_.tolist())}
    items = {one: place for place, one in enumerate(shop.item_ids_.tolist())}
    events = events.dropna()
    events = events[events["itemid"].isin(items)]
    if kinds is not None:
        events = events[events["event"].isin(kinds)]
    people = list(dict.fromkeys(events["visitorid"]))
    rows = {one: place for place, one in enumerate(people)}
    test, had = (np.zeros((len(people), len(items))) for _ in range(2))
    for user, item in zip(events["visitorid"], events["itemid"], strict=True):
        test[rows[user], items[item]] = 1
    past = past.dropna()
    for user, item, kind in zip(past["visitorid"], past["itemid"], past["event"], strict=True):
        if user in rows and kind in exclude:
            had[rows[user], items[item]] = 1
    known = scores_of(shop)
    scores = np.tile(np.log1p((shop.interactions_ > 0).toarray().sum(axis=0)), (len(people), 1))
    for user, row in rows.items():
        if user in users and shop.user_features_[users[user]].nnz:
            scores[row] = known[users[user]]
        elif new is not None and user in new:
            scores[row] = new[user]
    test[had > 0] = 0
    n_past = past.groupby("visitorid")["itemid"].nunique()
    middle = np.median(n_past)
    counts = np.array([n_past.get(user, 0) for user in people])
    groups = np.array(["new", "few", "many"])[(counts > 0).astype(int) + (counts > middle)]
    return scores, test, had, groups


def assert_same(ours, theirs):
    assert len(ours.users) == len(theirs.users)
    for name in theirs:
        assert ours[name] == pytest.approx(theirs[name], abs=1e-6), name
        # The order of people is the recommender's own.
        np.testing.assert_allclose(
            np.sort(ours.per_user[name]), np.sort(theirs.per_user[name]), atol=1e-6
        )


@pytest.mark.parametrize(
    ("relevant", "exclude", "kinds", "left_out"),
    [
        (None, True, None, ("view", "addtocart", "transaction")),
        ("transaction", True, ("transaction",), ("view", "addtocart", "transaction")),
        (
            ["addtocart", "transaction"],
            "transaction",
            ("addtocart", "transaction"),
            ("transaction",),
        ),
        (None, False, None, ()),
    ],
)
def test_against_matrices_made_by_hand(shop, relevant, exclude, kinds, left_out):
    scores, test, had, groups = by_hand(shop, LATER, kinds, left_out)
    expected = evaluate(Scores(scores), sp.csr_matrix(test), sp.csr_matrix(had), METRICS, groups)
    result = shop.evaluate(LATER, relevant=relevant, exclude=exclude)
    assert list(result) == METRICS
    assert_same(result, expected)
    assert set(result.groups) - {"new items"} == set(expected.groups)
    for name, group in expected.groups.items():
        assert_same(result.groups[name], group)


def test_new_items():
    """Test items that nobody had had, ranked among all that the person does not have."""
    past = PAST[~PAST["itemid"].isin(PRODUCTS["itemid"][:12])]
    shop = fitted(past)
    scores, test, had, _ = by_hand(shop, LATER, past=past)
    test[:, (shop.interactions_ > 0).toarray().any(axis=0)] = 0
    assert test.sum() > 10
    expected = evaluate(Scores(scores), sp.csr_matrix(test), sp.csr_matrix(had), METRICS)
    assert_same(shop.evaluate(LATER).groups["new items"], expected)


def test_strangers_with_rows(shop):
    """Who is new counts by what a table says of them."""
    renamed = LATER.assign(visitorid="new" + LATER["visitorid"])
    table = VISITORS.assign(visitorid="new" + VISITORS["visitorid"])
    plain = shop.evaluate(renamed, metrics="ndcg@10")
    told = shop.evaluate(renamed, users=table, metrics="ndcg@10")
    assert set(plain.groups) - {"new items"} == set(told.groups) - {"new items"} == {"new"}
    lists = shop.recommend(table.drop(columns="visitorid"), k=60, num_threads=1)
    new = {}
    items = {one: place for place, one in enumerate(shop.item_ids_.tolist())}
    for place, group in lists[lists["source"] == "features"].groupby("user"):
        scores = np.empty(len(items))
        scores[[items[one] for one in group["item"]]] = group["score"]
        new[table["visitorid"].iloc[place]] = scores
    scores, test, had, _ = by_hand(shop, renamed, new=new)
    expected = evaluate(Scores(scores), sp.csr_matrix(test), sp.csr_matrix(had), ["ndcg@10"])
    assert told["ndcg@10"] == pytest.approx(expected["ndcg@10"], abs=1e-4)
    assert told["ndcg@10"] != plain["ndcg@10"]
    # Rows of who is known make no difference.
    assert dict(shop.evaluate(LATER, users=VISITORS)) == dict(shop.evaluate(LATER))


def test_what_is_left_out_is_counted(shop):
    known = LATER.dropna()
    extra = known[:7].assign(itemid="unknown")
    result = shop.evaluate(pd.concat([LATER, extra]))
    had = set(zip(PAST["visitorid"], PAST["itemid"], strict=True))
    again = {
        pair
        for pair in zip(known["visitorid"], known["itemid"], strict=True)
        if pair in had and pair[1] in set(shop.item_ids_)
    }
    assert result.left_out == {
        "events with items that are not known": 7,
        "pairs that people had already": len(again),
    }
    assert f"left out 7 events with items that are not known; left out {len(again)}" in str(result)
    assert dict(result) == dict(shop.evaluate(LATER))
    twice = pd.concat([LATER, LATER])
    assert dict(shop.evaluate(twice)) == dict(result)


def test_score(shop):
    assert shop.score(LATER) == shop.evaluate(LATER)["ndcg@10"]


def test_nothing_left(shop):
    for events, said in (
        (PAST, "pairs that people had already; pass later events, or exclude=False"),
        (LATER.assign(itemid="unknown"), "events with items that are not known"),
        (LATER[:0], "there are no events"),
    ):
        with pytest.raises(ValueError, match=f"nothing is left: .*{said}"):
            shop.evaluate(events)
    assert shop.evaluate(PAST, exclude=False)["recall@10"] > 0.2


def test_refused(shop):
    for arguments, said in (
        ({"relevant": "buy"}, "relevant must name kinds of events, got 'buy'"),
        ({"exclude": "buy"}, "exclude must name kinds of events, got 'buy'"),
        ({"metrics": "ndcg"}, "ndcg"),
        ({"metrics": []}, "metrics is empty"),
        ({"users": PAST.drop(columns="visitorid")}, "users must have the column 'visitorid'"),
    ):
        with pytest.raises(ValueError, match=said):
            shop.evaluate(LATER, **arguments)
    with pytest.raises(ValueError, match="events must have the column 'event'"):
        shop.evaluate(LATER.drop(columns="event"))


# ---- compare -------------------------------------------------------------------------------------


def test_compare(shop):
    before, lists = copy.deepcopy(shop), shop.recommend(k=3, num_threads=1)
    given = {"popular": Popularity(), "random": Random(0), "bpr": model(loss="bpr")}
    result = shop.compare(given, LATER, metrics=["ndcg@10", "auc"], k=5, epochs=3, num_threads=1)
    assert list(result) == ["recommender", "popular", "random", "bpr"]
    assert result.baseline == "recommender"
    assert dict(result["recommender"]) == dict(shop.evaluate(LATER, metrics=["ndcg@10", "auc"]))
    for name, of in given.items():
        alone = fitted(PAST, of).evaluate(LATER, metrics=["ndcg@10", "auc"])
        assert dict(result[name]) == dict(alone), name
        difference = result.differences[name]["ndcg@10"]
        mean = alone["ndcg@10"] - result["recommender"]["ndcg@10"]
        assert difference.mean == pytest.approx(mean) and difference.low < mean < difference.high
        assert set(alone.groups) == set(result.groups)
    assert result.differences["random"]["auc"].high < 0  # chance is worse
    # The shop is as it was, and so are the models.
    same_state(shop, before)
    pd.testing.assert_frame_equal(shop.recommend(k=3, num_threads=1), lists)
    assert given["popular"].n_users_ is None and not given["bpr"].history_
    for measures in result.measures.values():
        assert list(measures) == ["coverage@5", "novelty@5", "diversity@5"]
    assert result.measures["random"]["coverage@5"] == 1
    assert result.measures["popular"]["novelty@5"] < result.measures["random"]["novelty@5"]


def test_measures_are_those_of_the_lists(shop):
    from lightfm_clone.evaluation import catalogue_coverage, intra_list_diversity, novelty

    result = shop.compare({}, LATER, metrics="auc", k=4, num_threads=1)
    assert list(result) == ["recommender"] and not result.differences
    people = LATER.dropna()
    people = list(dict.fromkeys(people[people["itemid"].isin(shop.item_ids_)]["visitorid"]))
    lists = shop.recommend(people, k=4, num_threads=1)
    places = {one: place for place, one in enumerate(shop.item_ids_.tolist())}
    ids = np.full((len(people), 4), -1)
    of = {one: place for place, one in enumerate(people)}
    for user, rank, item in zip(lists["user"], lists["rank"], lists["item"], strict=True):
        ids[of[user], rank - 1] = places[item]
    measures = result.measures["recommender"]
    assert measures["coverage@4"] == pytest.approx(catalogue_coverage(ids, len(places)))
    assert measures["novelty@4"] == pytest.approx(np.nanmean(novelty(ids, shop.interactions_)))
    encoded = shop.item_encoder_.transform(pd.DataFrame(lists_of_products(shop)))
    assert measures["diversity@4"] == pytest.approx(np.nanmean(intra_list_diversity(ids, encoded)))


def lists_of_products(shop):
    """The rows of the products in the order of their numbers, the last of each."""
    last = PRODUCTS.drop_duplicates("itemid", keep="last").set_index("itemid")
    return last.loc[shop.item_ids_.tolist()].reset_index()


@pytest.mark.filterwarnings("error")
def test_lists_of_one_item_have_no_diversity(shop):
    result = shop.compare({}, LATER, metrics="auc", k=1)
    assert np.isnan(result.measures["recommender"]["diversity@1"])


def test_refused_comparisons(shop):
    with pytest.raises(ValueError, match="models cannot have the name 'recommender'"):
        shop.compare({"recommender": Popularity()}, LATER)
    with pytest.raises(TypeError, match="models must be a dict from names to models"):
        shop.compare([Popularity()], LATER)
    with pytest.raises(TypeError, match="model must be a LightFM.*got the class Popularity"):
        shop.compare({"popular": Popularity}, LATER)
    with pytest.raises(ValueError, match="half_life='3d'.* needs times"):
        plain = fitted(PAST, timestamp=None)
        plain.compare({"recent": Popularity("3d")}, LATER)


def test_a_shop_without_tables_compares_by_vectors():
    nothing = dict.fromkeys(("users", "items", "columns"))
    shop = fitted(PAST, **nothing)
    result = shop.compare({"popular": Popularity()}, LATER, metrics="ndcg@10")
    assert all(np.isfinite(value) for one in result.measures.values() for value in one.values())
