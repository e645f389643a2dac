"""Lists, scores and evaluations of a model on a cluster are those of the same model here."""

from __future__ import annotations

import os
import signal
from itertools import product

import numpy as np
import pytest
import scipy.sparse as sp
from clusters import cluster

from lightfm_clone import LightFM
from lightfm_clone._model import parameters
from lightfm_clone.cross_validation import random_train_test_split
from lightfm_clone.datasets import synthetic_catalogue
from lightfm_clone.evaluation import Comparison
from lightfm_clone.evaluation import evaluate as evaluate_here

pytest.importorskip("distributed")

import pyarrow.parquet as pq

from lightfm_clone.dask import asking, evaluating, writing
from lightfm_clone.dask.dealing import Deal, kind_of, n_buckets
from lightfm_clone.dask.shards import (
    ITEM_ARRAYS,
    USER_ARRAYS,
    Dealt,
    KeptState,
    ShardData,
    ShardState,
    Whole,
)

METRICS = ("precision@10", "ndcg@10", "mrr", "auc")


class Case:
    """A model of one machine, and the same model cut into shards of a cluster."""

    def __init__(self, client, loss, with_features, n_shards, ids="numbers"):
        films = synthetic_catalogue(300, 120, 6000, random_state=0)
        self.train, self.test = (
            part.tocsr() for part in random_train_test_split(films.interactions, random_state=0)
        )
        n_users, n_items = self.train.shape
        features = {}
        if with_features:
            groups = sp.random(n_users, 9, 0.4, "csr", np.float32, np.random.default_rng(1))
            features["user_features"] = sp.hstack(
                # The shared ones come first, so that a shard numbers them in another order.
                [groups, sp.identity(n_users, np.float32)],
                format="csr",
            )
            features["item_features"] = films.item_features
        self.features = features
        self.model = LightFM(loss=loss, no_components=8, random_state=3)
        self.model.fit(self.train, epochs=3, **features)
        self.names = np.arange(n_users), np.arange(n_items)
        if ids == "texts":
            self.names = tuple(
                np.array([f"{side}{n:03d}" for n in range(size)], object)
                for side, size in (("u", n_users), ("i", n_items))
            )
        self.served = self.cut(client, n_shards)

    def cut(self, client, n_shards):
        users, items = self.names
        deal = Deal(
            n_shards,
            np.arange(n_buckets(n_shards), dtype=np.int32) % n_shards,
            kind_of(users),
        )
        shards = deal.shard_of(users)
        matrix = self.features.get("user_features")
        shared, n_features = np.empty(0, np.int64), len(users)
        if matrix is not None:
            n_features = matrix.shape[1]
            owners = sp.coo_matrix(
                (np.ones(matrix.nnz), (shards[matrix.tocoo().row], matrix.tocoo().col)),
                shape=(n_shards, n_features),
            )
            n_owners = (owners.toarray() > 0).sum(axis=0)
            shared = np.flatnonzero(n_owners > 1)
        self.deal, self.shared = deal, shared
        data, states = [], []
        for shard in range(n_shards):
            rows = np.flatnonzero(shards == shard)
            own, private, columns = None, None, rows
            if matrix is not None:
                own = matrix[rows]
                private = np.setdiff1d(np.unique(own.indices), shared)
                columns = np.concatenate([private, shared])
                new = np.full(n_features, -1, np.int32)
                new[columns] = np.arange(len(columns))
                # The entries of a row stay in their order, so that sums round alike.
                own = sp.csr_matrix(
                    (own.data, new[own.indices], own.indptr), (len(rows), len(columns))
                )
            data.append(ShardData(users[rows], self.train[rows], None, own, private))
            arrays = {name: getattr(self.model, name)[columns] for name in USER_ARRAYS}
            states.append(ShardState(arrays, self.model.random_state))
        self.data = data
        whole = Whole(
            len(items),
            np.bincount(self.train.indices, minlength=len(items)),
            self.features.get("item_features"),
            shared,
            n_features,
            matrix is not None,
        )
        dealt = Dealt(
            _scattered(client, data),
            [len(one.ids) for one in data],
            [one.interactions.nnz for one in data],
            whole,
            items if kind_of(items) == "texts" else None,
            deal,
        )
        learned = {
            name: getattr(self.model, name)
            for name in ("global_mean_", "_fitted_with", "_seen_items")
        }
        return asking.Served(
            parameters.of(self.model) | {"random_state": None},
            learned,
            {name: getattr(self.model, name) for name in ITEM_ARRAYS},
            dealt,
            [KeptState(state) for state in _scattered(client, states)],
        )

    def shards_of(self, client, matrix):
        """Other interactions of the same users, by shard."""
        shards = self.deal.shard_of(self.names[0])
        return _scattered(
            client,
            [
                data._replace(interactions=matrix[np.flatnonzero(shards == shard)])
                for shard, data in enumerate(self.data)
            ],
        )


def _scattered(client, parts):
    # One at a time, as each part is a tuple, of which a client would scatter the elements.
    return [client.submit(_same, part, pure=False) for part in parts]


def _same(part):
    return part


CASES = [*product(["warp", "softmax"], [False, True], [1, 2, 3])]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{'features' * case[1]}-{case[2]}")
def case(request, client):
    return Case(client, *request.param)


@pytest.fixture
def named(client):
    """A model of texts."""
    return Case(client, "warp", False, 2, ids="texts")


def test_all_that_is_asked_is_as_on_one_machine(case, client):
    served, model, features = case.served, case.model, case.features
    users = np.array([7, 250, 7, 0, 299, 31])
    found = asking.recommend(served, client, users, 9, exclude="known", num_threads=1)
    _assert_same(found, model.recommend(users, 9, exclude=case.train, **features))
    assert found[0].dtype == np.int32 and found[1].dtype == np.float32
    some = np.arange(3, 60)
    found = asking.recommend(served, client, k=3, items=some)
    _assert_same(found, model.recommend(k=3, items=some, **features))
    pairs = np.array([8, 8, 119, 0, 5, 77])
    scores = asking.predict(served, client, users, pairs)
    np.testing.assert_array_equal(scores, model.predict(users, pairs, **features))
    scores = asking.predict(served, client, 31, pairs)
    np.testing.assert_array_equal(scores, model.predict(31, pairs, **features))

    local = asking.to_local(served, client)
    for name in (*USER_ARRAYS, *ITEM_ARRAYS):
        np.testing.assert_array_equal(getattr(local, name), getattr(model, name))
    _assert_same(local.recommend(users, **features), model.recommend(users, **features))
    first = model.random_state.get_state()[1]
    np.testing.assert_array_equal(local.random_state.get_state()[1], first)


def test_means_are_those_of_one_machine(case, client):
    test, train = case.test.copy(), case.train
    shards = case.deal.shard_of(case.names[0])
    if case.deal.n_shards == 3:  # one has no test items
        test = sp.diags_array((shards != 1).astype(np.float32)) @ test
        test.eliminate_zeros()
    futures = case.shards_of(client, test.tocsr())
    for groups in ("activity", "cold"):
        found = evaluating.evaluate(
            case.served, client, futures, "known", METRICS, groups, left_out={"events": 3}
        )
        expected = evaluate_here(case.model, test, train, METRICS, groups, **case.features)
        expected.left_out = {"events": 3}
        assert dict(found) == dict(expected)
        assert list(found.groups) == list(expected.groups)
        for label, group in expected.groups.items():
            assert dict(found.groups[label]) == dict(group)
            assert found.groups[label].n_users == len(group.users)
        for name, error in expected.standard_errors.items():
            assert found.standard_errors[name] == pytest.approx(error, rel=1e-12)
        assert str(found) == str(expected)
        np.testing.assert_allclose(
            found.to_frame("pandas")["standard_error"],
            expected.to_frame("pandas")["standard_error"],
            rtol=1e-12,
        )
    found = evaluating.evaluate(case.served, client, futures, metrics="auc")
    assert found == evaluate_here(case.model, test, metrics="auc", **case.features)
    with pytest.raises(TypeError, match="must have the values of single users.*to_local"):
        Comparison({"one": found})
    with pytest.raises(AttributeError, match="per_user needs the values of single users.*to_local"):
        _ = found.per_user


def test_repeated_pairs_count_once(client):
    case = Case(client, "warp", False, 2)
    twice = [one._replace(interactions=_twice(one.interactions)) for one in case.data]
    train = _scattered(client, twice)
    test = case.shards_of(client, case.test)
    found = evaluating.evaluate(case.served, client, test, train, METRICS, "activity")
    expected = evaluate_here(case.model, case.test, case.train, METRICS, "activity")
    assert dict(found) == dict(expected)
    assert found.groups == expected.groups


def test_ids_of_tables(named, client):
    users, items = named.names
    asked = ["u007", "u250", "u007"]
    rows = [7, 250, 7]
    found = asking.recommend(named.served, client, asked, 4, items=items[5:50].tolist())
    _assert_same(found, named.model.recommend(rows, 4, items=range(5, 50)))
    scores = asking.predict(named.served, client, np.array(asked), ["i009", "i008", "i119"])
    np.testing.assert_array_equal(scores, named.model.predict(rows, [9, 8, 119]))
    scores = asking.predict(named.served, client, "u031", ["i009", "i008", "i119"])
    np.testing.assert_array_equal(scores, named.model.predict(31, [9, 8, 119]))
    assert asking.all_users(named.served, client).tolist() == users.tolist()


def test_unknown_ids_are_named(named, client):
    with pytest.raises(ValueError, match=r"user_ids must hold ids .*'bob', 'zoe' \(2 such ids\)"):
        asking.recommend(named.served, client, ["u001", "bob", "zoe"])
    with pytest.raises(ValueError, match=r"item_ids must hold ids .*'tea' \(1 such ids\)"):
        asking.predict(named.served, client, "u001", ["i001", "tea"])
    with pytest.raises(ValueError, match="user ids must be texts.*whole numbers"):
        asking.predict(named.served, client, 1, ["i001"])
    with pytest.raises(ValueError, match="same length, got 2 and 1"):
        asking.predict(named.served, client, ["u001", "u002"], ["i001"])
    with pytest.raises(ValueError, match="user_ids is empty"):
        asking.recommend(named.served, client, [])
    with pytest.raises(ValueError, match="exclude must be None, 'known' or"):
        asking.recommend(named.served, client, ["u001"], exclude="all")


def test_what_cannot_be_evaluated(named, client):
    nothing = named.shards_of(client, sp.csr_matrix(named.test.shape, dtype=np.float32))
    known = named.shards_of(client, named.train)
    ask = evaluating.evaluate
    with pytest.raises(ValueError, match="test has no entries"):
        ask(named.served, client, nothing)
    with pytest.raises(ValueError, match="share"):
        ask(named.served, client, known, "known")
    with pytest.raises(ValueError, match="metrics must be among"):
        ask(named.served, client, known, metrics="speed")
    with pytest.raises(ValueError, match="groups must be 'activity' or 'cold' on a cluster"):
        ask(named.served, client, known, groups=[1, 2])
    with pytest.raises(ValueError, match="needs train_interactions"):
        ask(named.served, client, known, groups="cold")


def test_files_of_lists(case, client, tmp_path):
    folder = tmp_path / "of" / "lists"
    writing.write_lists(case.served, client, folder, 7)
    n = len(case.data)
    assert sorted(os.listdir(folder)) == [f"part-{s:05d}-of-{n:05d}.parquet" for s in range(n)]
    assert_holds(folder, case.names, case.model.recommend(k=7, exclude=case.train, **case.features))


def test_files_of_lists_replace_those_of_an_earlier_call(named, client, tmp_path):
    url = f"file://{tmp_path}"
    (tmp_path / ".part-00007-of-00009.parquet.0123abcd").write_text("half of a part")
    (tmp_path / "part-00007-of-00009.parquet").write_text("a part")
    (tmp_path / "part-00000-of-00002.parquet").write_text("a part")
    some = named.names[1][3:8]
    writing.write_lists(named.served, client, url, 7, exclude=None, items=some)
    assert len(os.listdir(tmp_path)) == 2
    # There are fewer items than places in a list.
    assert_holds(tmp_path, named.names, named.model.recommend(k=7, items=range(3, 8)))


def test_after_an_error_what_was_there_is_there_still(named, client, tmp_path):
    old = tmp_path / "part-00000-of-00001.parquet"
    old.write_text("a part")
    named.served.states[1] = KeptState(_scattered(client, [None])[0])  # that shard fails
    with pytest.raises(AttributeError):
        writing.write_lists(named.served, client, tmp_path)
    assert os.listdir(tmp_path) == [old.name] and old.read_text() == "a part"
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds 'notes.txt'; choose another one"):
        writing.write_lists(named.served, client, tmp_path)
    with pytest.raises(FileExistsError):
        writing.write_lists(named.served, client, tmp_path / "notes.txt")


def test_parts_take_their_places_together(tmp_path):
    names = [f"part-{number:05d}-of-00002.parquet" for number in range(2)]
    parts = {f".{name}.{number}": name for number, name in enumerate(names)}
    first, second = (tmp_path / temporary for temporary in parts)
    first.write_text("new")
    (tmp_path / names[0]).write_text("old")
    with pytest.raises(FileNotFoundError, match="a folder that all workers see, but 1 parts"):
        writing._put_in_place(str(tmp_path), parts)
    assert (tmp_path / names[0]).read_text() == "old"
    second.write_text("new")
    (tmp_path / f".{names[1]}.2").write_text("of a worker that died")
    (tmp_path / "part-00000-of-00007.parquet").write_text("of an earlier call")
    writing._put_in_place(str(tmp_path), parts)
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == dict.fromkeys(
        names, "new"
    )


def test_files_of_lists_are_made_some_users_at_a_time(client, monkeypatch, tmp_path):
    case = Case(client, "warp", False, 1)
    asked = []
    prepared = asking.PreparedItems.best

    def counted(self, users, *given, **further):
        asked.append(len(users[0]))
        return prepared(self, users, *given, **further)

    monkeypatch.setattr(asking.PreparedItems, "best", counted)
    side = asking.ItemSide(
        case.served.parameters, case.served.learned, case.served.items, case.served.dealt
    )
    state = case.served.states[0].first.result()
    name = writing._write(side, case.data[0], state, str(tmp_path), "part", 5, None, None, 1, 64)
    assert max(asked) == 64 and sum(asked) == 300
    groups = pq.ParquetFile(tmp_path / name).metadata
    sizes = [groups.row_group(n).num_rows for n in range(groups.num_row_groups)]
    assert sizes == [64 * 5] * 4 + [44 * 5]


def assert_holds(folder, names, expected):
    """Check that a folder has these lists, of all users, and no others."""
    found = pq.read_table(folder).sort_by([("user", "ascending"), ("rank", "ascending")])
    ids, scores = expected
    owners, places = np.nonzero(ids >= 0)
    assert found.column_names == ["user", "rank", "item", "score"]
    assert found["user"].to_pylist() == names[0][owners].tolist()
    assert found["rank"].to_pylist() == (places + 1).tolist()
    assert found["item"].to_pylist() == names[1][ids[owners, places]].tolist()
    assert found["score"].to_numpy().tolist() == scores[owners, places].tolist()


def test_what_dies_with_a_worker():
    users = np.arange(9)
    with cluster(2) as client:
        case = Case(client, "warp", False, 2)
        served, model = case.served, case.model
        survivor, victim = client.nthreads()

        def keep(state, *workers):
            return KeptState(
                *(client.scatter([state], workers=[at], hash=False)[0] for at in workers)
            )

        first, second = (kept.first.result() for kept in served.states)
        served.states[:] = keep(first, victim, survivor), keep(second, victim)
        expected = model.recommend(users, exclude=case.train)
        _assert_same(asking.recommend(served, client, users, exclude="known"), expected)
        os.kill(client.run(os.getpid, workers=[victim])[victim], signal.SIGKILL)
        # The data of the first shard comes again, and of its state there is a copy.
        own = users[case.deal.shard_of(users) == 0]
        expected = model.recommend(own, exclude=case.train)
        _assert_same(asking.recommend(served, client, own, exclude="known"), expected)
        for ask in (asking.recommend, asking.to_local):
            with pytest.raises(RuntimeError, match="of shard 1 is lost.*load the last checkpoint"):
                ask(served, client)


def test_nobody_is_there(named, client, monkeypatch):
    waiting = client.submit(_same, 1, workers=["tcp://127.0.0.1:1"], pure=False)
    monkeypatch.setattr(asking, "_PATIENCE", 0.1)
    monkeypatch.setattr(client, "nthreads", dict)
    with pytest.raises(TimeoutError, match="no workers for 0.1 seconds, and 1 tasks wait"):
        named.served.results(client, [waiting])


def _twice(matrix):
    """Each entry twice."""
    return sp.csr_matrix(
        (np.repeat(matrix.data, 2), np.repeat(matrix.indices, 2), 2 * matrix.indptr), matrix.shape
    )


def _assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
