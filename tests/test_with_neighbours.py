"""A model with neighbours beside it: a sum that behaves as a model."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import LOSSES, random_features, random_interactions
from sklearn.base import clone

from lightfm_clone import (
    ItemNeighbours,
    LightFM,
    Popularity,
    Recommender,
    WithNeighbours,
    cross_validation,
    datasets,
    evaluate,
)
from lightfm_clone.callbacks import EarlyStopping
from lightfm_clone.recommender import item_weights

LIKES = random_interactions(0, (40, 25), 320)
FEATURES = {
    "user_features": random_features(40, 12, seed=1),
    "item_features": random_features(25, 9, seed=2),
}
PARTS = {"model", "neighbours"}


def fitted(loss: str = "softmax", weight: float = 5.0, **features) -> WithNeighbours:
    model = LightFM(8, loss=loss, random_state=0)
    return WithNeighbours(model, ItemNeighbours(6), weight).fit(LIKES, epochs=3, **features)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("features", [{}, FEATURES], ids=["ids", "features"])
def test_scores_are_sums(loss, features):
    model = fitted(loss, 3.0, **features)
    users, items = (axis.ravel() for axis in np.indices(LIKES.shape))
    expected = model.model.predict(users, items, **features)
    expected = expected + 3 * model.neighbours.predict(users, items)
    np.testing.assert_allclose(
        model.predict(users, items, **features, num_threads=2), expected, rtol=1e-4, atol=1e-5
    )
    scores = expected.reshape(LIKES.shape)
    ids, of_ids = model.recommend(k=25, **features, num_threads=2)
    np.testing.assert_allclose(
        of_ids, np.take_along_axis(scores, ids, axis=1), rtol=1e-4, atol=1e-5
    )
    assert (np.diff(of_ids, axis=1) <= 0).all()
    some, of_some = model.recommend([7, 2], k=4, **features, exclude=LIKES, items=[1, 3, 8, 20])
    for row, user in enumerate((7, 2)):
        allowed = [item for item in (1, 3, 8, 20) if item not in LIKES.tocsr()[user].indices]
        assert set(some[row][some[row] >= 0]) == set(allowed)
        there = some[row] >= 0
        np.testing.assert_allclose(
            of_some[row][there], scores[user, some[row][there]], rtol=1e-4, atol=1e-5
        )
    service = model.prepare(item_features=features.get("item_features"))
    same, of_same = service.recommend(
        k=6, exclude=LIKES, user_features=features.get("user_features")
    )
    again, of_again = model.recommend(k=6, exclude=LIKES, **features)
    np.testing.assert_array_equal(same, again)
    np.testing.assert_array_equal(of_same, of_again)
    ranks = model.predict_rank(LIKES, **features).tocoo()
    for user, item, rank in list(zip(ranks.row, ranks.col, ranks.data, strict=True))[::17]:
        gap = np.delete(scores[user], item) - scores[user, item]
        assert (gap > 1e-4).sum() <= rank <= (gap > -1e-4).sum()


def test_a_weight_of_nothing_is_the_model():
    model = fitted("warp", 0.0)
    ids, scores = model.recommend(k=5, exclude=LIKES)
    same_ids, same_scores = model.model.recommend(k=5, exclude=LIKES)
    np.testing.assert_array_equal(ids, same_ids)
    np.testing.assert_array_equal(scores, same_scores)


def test_the_weight_that_is_best_on_held_out_data_is_found():
    films = datasets.synthetic_catalogue(random_state=0)
    train, test = cross_validation.random_train_test_split(films.interactions, 0.2, 0)
    model = WithNeighbours(LightFM(16, loss="softmax", random_state=0), ItemNeighbours(30))
    model.fit(train, epochs=10)
    found = model.choose_weight(test, train, weights=[20, 0, 5], num_threads=2)
    assert list(found) == [20, 0, 5]
    assert model.weight == max(found, key=found.get)
    for weight, value in found.items():
        model.set_params(weight=weight)
        assert evaluate(model, test, train, metrics=["ndcg@10"])["ndcg@10"] == value
    before = model.weight
    with pytest.raises(ValueError, match="weights"):
        model.choose_weight(test, train, weights=[1, -2])
    with pytest.raises(ValueError, match="metric"):
        model.choose_weight(test, train, metric="fun@10")
    assert model.weight == before


def test_validation_is_of_the_sum_and_stops_the_model():
    train, held_out = random_interactions(0, (40, 25), 320), random_interactions(9, (40, 25), 90)
    given = {"interactions": held_out, "exclude": None, "metrics": ["ndcg@5"]}
    model = WithNeighbours(LightFM(8, loss="warp", random_state=0), ItemNeighbours(6), 4)
    stopping = EarlyStopping("ndcg@5", patience=2, restore_best=False)
    model.fit(train, epochs=4, validation=given, callbacks=[stopping])
    last = model.history_[-1]["ndcg@5"]
    assert last == evaluate(model, held_out, metrics=["ndcg@5"])["ndcg@5"]
    assert last != evaluate(model.model, held_out, metrics=["ndcg@5"])["ndcg@5"]
    plain = model.fit(train, epochs=1, validation=held_out - held_out.multiply(train.astype(bool)))
    assert "ndcg@10" in plain.history_[-1]


def test_both_kinds_of_terms_explain_a_score():
    model = fitted(**FEATURES)
    told = model.explain(3, 5, **FEATURES)
    assert told.score == pytest.approx(float(model.predict(3, [5], **FEATURES)[0]), abs=1e-4)
    assert {"pair", "history"} <= {one.kind for one in told.contributions}


def test_new_people_by_their_history():
    model = fitted()
    rows = LIKES.tocsr()[[3, 11]]
    *of_model, histories = model.fold_in_users(rows, random_state=1)
    same = model.model.fold_in_users(rows, random_state=1)
    for left, right in zip(of_model, same, strict=True):
        np.testing.assert_array_equal(left, right)
    ids, scores = model.recommend(user_representations=(*of_model, histories), k=25)
    neighbours = model.neighbours.predict(11, range(25))
    of_factors, lone = model.recommend(user_representations=tuple(of_model), k=25)
    expected = np.zeros(25)
    expected[of_factors[1]] = lone[1]
    expected += 5 * neighbours
    np.testing.assert_allclose(scores[1], expected[ids[1]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bad", [(), (1, 2, 3), 7, (None, None)])
def test_what_are_no_representations_is_refused(bad):
    with pytest.raises(ValueError, match="user_representations must be"):
        fitted("warp").recommend(user_representations=bad)


def test_fits_go_on_and_grow():
    model = fitted("warp")
    more = sp.coo_matrix(([1.0, 1.0], ([40, 2], [25, 25])), shape=(41, 26), dtype=np.float32)
    with pytest.raises(ValueError, match="resize"):
        model.fit_partial(more)
    model.fit_partial(more, resize=True)
    assert model.neighbours.n_items_ == len(model.model.item_biases) == 26
    ids, _ = model.recommend(40, k=26)
    assert sorted(ids[0]) == list(range(26))
    whole = sp.csr_matrix((40, 25), dtype=np.float32) + LIKES
    again = fitted("warp").fit_partial(LIKES, known_interactions=whole)
    np.testing.assert_array_equal(again.neighbours.weights_, fitted("warp").neighbours.weights_)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_errors_leave_both_parts_as_they_were(error):
    model = fitted("warp")
    before = dict(vars(model.neighbours))
    arrays = model.model.item_embeddings.copy()

    def stop(_, record):
        raise error

    with pytest.raises(error):
        model.fit(random_interactions(4, (40, 25), 200), callbacks=[stop])
    same = all(vars(model.neighbours)[name] is value for name, value in before.items())
    assert same == (error is ValueError)
    assert np.array_equal(model.model.item_embeddings, arrays) == (error is ValueError)


def test_an_interrupt_leaves_no_neighbours_of_a_part(monkeypatch):
    model = fitted("warp")
    before = dict(vars(model.neighbours))

    def stop(*_, **options):
        raise KeyboardInterrupt

    # The last stage of a fit of neighbours.
    monkeypatch.setattr(item_weights, "ridge_weights", stop)
    half = sp.csr_matrix(LIKES.tocsr()[:20])
    half.resize(LIKES.shape)
    with pytest.raises(KeyboardInterrupt):
        model.fit_partial(LIKES, known_interactions=half)
    assert all(vars(model.neighbours)[name] is value for name, value in before.items())


def test_neighbours_of_all_that_is_known_are_found_once(monkeypatch):
    half = sp.csr_matrix(LIKES.tocsr()[:20])
    half.resize(LIKES.shape)
    rest = sp.coo_matrix(LIKES.tocsr() - half)
    model, calls, true = fitted("warp"), [], item_weights.nearest_items

    def counted(*given):
        calls.append(given)
        return true(*given)

    monkeypatch.setattr(item_weights, "nearest_items", counted)
    model.fit_partial(rest, known_interactions=half)
    assert len(calls) == 1
    whole = ItemNeighbours(6).fit(LIKES)
    np.testing.assert_array_equal(model.neighbours.neighbours_, whole.neighbours_)
    np.testing.assert_array_equal(model.neighbours.weights_, whole.weights_)


def test_files_pickles_copies_and_clones(tmp_path):
    model = fitted("warp", 2.5)
    expected = model.recommend(k=4)
    model.save(tmp_path / "m.lfm")
    loaded = WithNeighbours.load(tmp_path / "m.lfm")
    assert loaded.weight == 2.5
    for other in (loaded, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.recommend(k=4)[0], expected[0])
        np.testing.assert_array_equal(other.recommend(k=4)[1], expected[1])
    fresh = clone(model)
    assert fresh.neighbours.weights_ is None and fresh.model.item_biases is None
    with pytest.raises(ValueError, match="cannot load"):
        ItemNeighbours.load(tmp_path / "m.lfm")


class Mine(LightFM):
    def __init__(self, mine=1, **others):
        super().__init__(**others)
        self.mine = mine


def test_files_of_a_sum_with_a_class_of_the_callers(tmp_path):
    pd = pytest.importorskip("pandas")
    model = WithNeighbours(Mine(mine=5, loss="warp", random_state=0), ItemNeighbours(6))
    path = tmp_path / "m.lfm"
    model.fit(LIKES).save(path)
    with pytest.raises(ValueError, match="load it with that class"):
        WithNeighbours.load(path)
    loaded = WithNeighbours.load(path, model_class=Mine)
    assert type(loaded.model) is Mine and loaded.model.mine == 5
    np.testing.assert_array_equal(loaded.recommend(k=4)[0], model.recommend(k=4)[0])
    events = pd.DataFrame({"user": LIKES.row, "item": LIKES.col})
    shop = Recommender(model).fit(events, user="user", item="item", epochs=1, verbose=False)
    shop.save(path)
    again = Recommender.load(path, model_class=Mine)
    assert type(again.model_.model) is Mine and again.model_.model.mine == 5
    assert again.recommend(k=3).equals(shop.recommend(k=3))


def test_parameters():
    model = WithNeighbours(LightFM(loss="warp"))
    assert model.get_params(deep=False).keys() == PARTS | {"weight"}
    model.set_params(weight=2, model__no_components=7, neighbours__n_neighbours=9)
    assert (model.weight, model.model.no_components, model.neighbours.n_neighbours) == (2, 7, 9)
    for bad, match in (
        ({"weight": -1}, "weight"),
        ({"wait": 1}, "unknown parameter"),
        ({"model__n": -5}, "n"),
        ({"weight": 3, "model__no_components": 5, "neighbours__l2": -1}, "l2"),
    ):
        with pytest.raises(ValueError, match=match):
            model.set_params(**bad)
        assert (model.weight, model.model.no_components, model.neighbours.l2) == (2, 7, 3.0)
    assigned = fitted("warp")
    for bad in (float("nan"), -1.0, "5"):
        assigned.weight = bad
        with pytest.raises(ValueError, match="weight must be"):
            assigned.predict([1], [2])
    with pytest.raises(TypeError, match="LightFM"):
        WithNeighbours(Popularity())
    with pytest.raises(TypeError, match="ItemNeighbours"):
        WithNeighbours(LightFM(), Popularity())
    with pytest.raises(ValueError, match="not fitted"):
        model.recommend()


def test_rows_of_features_are_those_of_the_fit():
    model = fitted(**FEATURES)
    few = FEATURES["user_features"][:5]
    items = {"item_features": FEATURES["item_features"]}
    for ask in (
        lambda: model.recommend(user_features=few, **items),
        lambda: model.predict(0, [1], user_features=few, **items),
        lambda: model.explain(0, 1, user_features=few, **items),
        lambda: model.predict_rank(LIKES.tocsr()[7:12], user_features=few, **items),
    ):
        with pytest.raises(ValueError, match="history of user i"):
            ask()
    others = {"item_features": FEATURES["item_features"][7:12]}
    users = {"user_features": FEATURES["user_features"]}
    for ask in (
        lambda: model.recommend(**users, **others),
        lambda: model.predict(0, [1], **users, **others),
        lambda: model.explain(0, 1, **users, **others),
    ):
        with pytest.raises(ValueError, match="row i is item i"):
            ask()
    strangers = model.get_user_representations(few)
    ids, _ = model.recommend(user_representations=strangers, k=3, **items)
    same, _ = model.model.recommend(user_representations=strangers, k=3, **items)
    np.testing.assert_array_equal(ids, same)


@pytest.mark.filterwarnings("ignore:.*have .* rows, but the interactions")
def test_fewer_interactions_than_rows_are_the_first_ones():
    users, items = FEATURES["user_features"], FEATURES["item_features"]
    more = {
        "user_features": sp.vstack([users, users[:2]], format="csr"),
        "item_features": sp.vstack([items, items[:3]], format="csr"),
    }
    held_out = {"interactions": LIKES, "exclude": None}
    model = WithNeighbours(LightFM(8, loss="softmax", random_state=0), ItemNeighbours(6))
    model.fit(LIKES, **more, validation=held_out)
    ranks = model.predict_rank(LIKES, **more).tocoo()
    rows, columns = np.indices(LIKES.shape)
    scores = model.predict(rows.ravel(), columns.ravel(), **more).reshape(LIKES.shape)
    for row, column, rank in zip(ranks.row, ranks.col, ranks.data, strict=True):
        better = scores[row] > scores[row, column]
        assert abs(better.sum() - rank) <= 1


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (LightFM(loss="softmax"), 0.1),
        (WithNeighbours(LightFM(loss="softmax"), ItemNeighbours(5)), 0.1),
        (LightFM(loss="softmax", identity_dropout=0.0), 0.0),
        (LightFM(loss="softmax", identity_dropout=0.3), 0.3),
        (LightFM(loss="warp"), 0.0),
    ],
)
def test_a_recommender_drops_identities_where_tables_tell_of_items(model, expected):
    pd = pytest.importorskip("pandas")
    events = pd.DataFrame({"user": ["a", "a", "b", "c"], "item": ["x", "y", "y", "z"]})
    items = pd.DataFrame({"item": ["x", "y", "z"], "kind": ["k", "k", "l"]})
    names = {"user": "user", "item": "item"}
    for table, value in ((items, expected), (None, model_dropout(model))):
        shop = Recommender(model).fit(events, **names, items=table, epochs=1)
        assert model_dropout(shop.model_) == value


def model_dropout(model) -> float:
    return getattr(model, "model", model).identity_dropout


def test_a_recommender_uses_the_sum(tmp_path):
    pd = pytest.importorskip("pandas")
    films = datasets.synthetic_catalogue(200, 60, 3000, random_state=0)
    coo = films.interactions.tocoo()
    events = pd.DataFrame({"user": [f"u{n}" for n in coo.row], "item": [f"i{n}" for n in coo.col]})
    late = events[::10]
    days = pd.DataFrame({"user": ["u1", "new"], "item": ["i3", "i7"]})
    items = pd.DataFrame({"item": [f"i{n}" for n in range(60)], "kind": ["a", "b", "c"] * 20})
    model = WithNeighbours(LightFM(16, loss="softmax", random_state=0), ItemNeighbours(20))
    shop = Recommender(model).fit(
        events.drop(late.index), user="user", item="item", items=items, epochs=5
    )
    lists = shop.recommend(["u3", "u5"], k=4)
    assert len(lists) == 8 and model.neighbours.weights_ is None  # what was passed stays as it was
    inner = shop.model_
    user, rows = shop.dataset_.mapping()[0]["u3"], shop.dataset_.mapping()[2]
    row = rows[lists["item"].iloc[0]]
    given = {"user_features": shop.user_features_, "item_features": shop.item_features_}
    assert lists["score"].iloc[0] == pytest.approx(
        float(inner.predict(user, [row], **given)[0]), abs=1e-5
    )
    shop.save(tmp_path / "s.rec")
    loaded = Recommender.load(tmp_path / "s.rec")
    pd.testing.assert_frame_equal(loaded.recommend(["u3", "u5"], k=4), lists)
    strangers = shop.recommend(history=[["i1", "i2"], []], k=3)
    assert set(strangers["source"]) == {"history", "popular"}
    assert shop.explain("u3", lists["item"].iloc[0]).contributions
    compared = shop.compare({"alone": LightFM(16, loss="softmax")}, late, epochs=3)
    assert "alone" in repr(compared)
    shop.update(days)
    assert len(shop.recommend(["new"], k=3)) == 3
    known = shop.model_.neighbours
    assert known.n_users_ == len(shop.user_ids_) and known.n_items_ == len(shop.item_ids_)
    assert len(shop.recommend(["u3"], k=4, popularity=1.0, diversity=0.2, where={"kind": "a"})) == 4
