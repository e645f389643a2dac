"""Interactions and features on a cluster, dealt to shards."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import scipy.sparse as sp
from clusters import cluster

pytest.importorskip("distributed")

import dask.array as da
import dask.dataframe as dd
import pandas as pd
import polars as pl
from dask import delayed
from distributed import SchedulerPlugin

from lightfm_clone import LightFM, Recommender
from lightfm_clone.dask import dealing, tables

N, N_USERS, N_ITEMS = 3000, 200, 60


def _table(n=N, seed=0):
    """Interactions with repeated pairs, values and weights."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "user": rng.integers(0, N_USERS, n),
            "item": [f"i{number}" for number in (N_ITEMS * rng.random(n) ** 2).astype(int)],
            "value": rng.choice([1.0, 2.0, -1.0], n),
            "weight": rng.choice([0.5, 1.0], n),
        }
    )


def _matrix(n_users=N_USERS, n_items=N_ITEMS, seed=0):
    """Some rows of it are empty."""
    matrix = sp.random(n_users, n_items, 0.05, format="csr", dtype=np.float32, random_state=seed)
    matrix.data[::7] = -1
    return matrix


def _blocks(matrix, *edges):
    edges = [0, *edges, matrix.shape[0]]
    return [matrix[a:b] for a, b in zip(edges[:-1], edges[1:], strict=True)]


def _array(matrix, size=37):
    """A dask array of sparse blocks."""
    dense = da.from_array(matrix.toarray(), chunks=(size, matrix.shape[1]))
    return dense.map_blocks(sp.csr_matrix)


def _dealt(client, *given, n_shards=3, **further):
    addresses = sorted(client.nthreads())
    return tables.deal(client, *given, n_shards=n_shards, addresses=addresses, **further)


def _like(client, given, dealt):
    addresses = sorted(client.nthreads())
    shards, left_out = tables.deal_like(client, given, dealt, addresses=addresses)
    return client.gather(shards), [*left_out.values()]


def _same_csr(a, b):
    assert a.shape == b.shape and a.dtype == b.dtype == np.float32
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def _same(left, right):
    """Whether two lists of shards are equal to the last bit."""
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert a.ids.dtype == b.ids.dtype
        np.testing.assert_array_equal(a.ids, b.ids)
        _same_csr(a.interactions, b.interactions)
        assert (a.weights is None) == (b.weights is None)
        if a.weights is not None:
            assert a.weights.dtype == b.weights.dtype == np.float32
            np.testing.assert_array_equal(a.weights, b.weights)


def _rows(shards, item_ids):
    """The interactions of shards as sorted rows (user, item, value, weight)."""
    found = []
    for data in shards:
        coo = data.interactions.tocoo()
        weights = np.ones(coo.nnz) if data.weights is None else data.weights
        items = coo.col if item_ids is None else item_ids[coo.col]
        found += zip(data.ids[coo.row], items, coo.data, weights, strict=True)
    return sorted(found)


# ---- tables --------------------------------------------------------------------------------------


def test_a_table_is_dealt_whole(client):
    table = _table()
    dealt = _dealt(client, dd.from_pandas(table, npartitions=5))
    shards = client.gather(dealt.data)
    assert _rows(shards, dealt.item_ids) == sorted(table.itertuples(index=False, name=None))
    assert dealt.item_ids.tolist() == sorted(table["item"].unique())
    counts = table["item"].value_counts().sort_index()
    np.testing.assert_array_equal(dealt.whole.item_counts, counts)
    assert dealt.n_examples == [len(data.interactions.data) for data in shards]
    assert dealt.n_users == [len(data.ids) for data in shards]
    assert dealt.whole.n_user_features == sum(dealt.n_users) == table["user"].nunique()
    for place, data in enumerate(shards):
        assert (np.diff(data.ids) > 0).all() and data.interactions.has_sorted_indices
        assert (dealt.deal.shard_of(data.ids) == place).all()
    assert max(dealt.n_examples) < 1.05 * min(dealt.n_examples)


def test_how_rows_lie_in_partitions_makes_no_difference(client, tmp_path):
    table = _table()
    of_one = client.gather(_dealt(client, table).data)
    shuffled = table.sample(frac=1, random_state=1)
    shuffled["item"] = shuffled["item"].astype("category")
    shuffled["user"] = shuffled["user"].astype("int32")
    shuffled["timestamp"] = 0
    empty = delayed(shuffled[:0])
    parts = [empty, *map(delayed, (shuffled[:10], shuffled[10:1500], shuffled[1500:])), empty]
    shuffled.to_parquet(tmp_path / "b.parquet")
    paths = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    for path, half in zip(paths, (table[:2000], table[2000:]), strict=True):
        half.to_parquet(path)
    for given in (
        dd.from_delayed(parts, meta=shuffled[:0]),
        dd.from_pandas(table.iloc[::-1].reset_index(drop=True), npartitions=7),
        pl.from_pandas(table),
        pl.from_pandas(table).to_arrow(),
        str(tmp_path / "b.parquet"),
        paths,
    ):
        _same(client.gather(_dealt(client, given).data), of_one)


def test_ids_may_be_texts_on_both_sides_or_numbers_and_columns_have_any_name(client):
    table = _table().drop(columns=["value", "weight"])
    texts = pd.DataFrame({"who": table["user"].map("u{}".format), "what": table["item"].str[1:]})
    texts["what"] = texts["what"].astype("uint8")
    dealt = _dealt(client, dd.from_pandas(texts, npartitions=3))
    shards = client.gather(dealt.data)
    assert dealt.item_ids.dtype == np.int64 and shards[0].ids.dtype == object
    assert all(data.weights is None and (data.interactions.data == 1).all() for data in shards)
    expected = sorted((*row, 1.0, 1.0) for row in texts.itertuples(index=False, name=None))
    assert _rows(shards, dealt.item_ids) == expected


def test_there_are_no_more_shards_than_users_can_fill(client):
    table = pd.DataFrame({"user": [7, 7, 9], "item": [1, 2, 1]})
    dealt = _dealt(client, table, n_shards=8)
    assert dealt.deal.n_shards == len(dealt.data) == 2
    assert sorted(dealt.n_examples) == [1, 2]
    nothing = sp.csr_matrix((5, 4), dtype=np.float32)
    dealt = _dealt(client, nothing, n_shards=8)
    assert dealt.n_users == [5] and dealt.n_examples == [0]


def _with(**columns):
    return dd.from_pandas(_table(20).assign(**columns), npartitions=2)


MIXED = dd.from_delayed(
    [delayed(_table(20)), delayed(_table(20).astype({"user": str}))],
    meta=_table(0),
    verify_meta=False,
)


@pytest.mark.parametrize(
    ("given", "further", "message"),
    [
        (_with(user=[1.0, np.nan] * 10), {}, "column 'user' .* missing .* dropna"),
        (_with(item=["a", None] * 10), {}, "column 'item' .* missing .* dropna"),
        (_with(user=np.arange(20.0)), {}, "column 'user' .* whole numbers or texts.*'int64'"),
        (_with(user=np.arange(20) / 2), {}, "column 'user' .* whole numbers or texts.*str"),
        (_with(item=[True, False] * 10), {}, "column 'item' .* whole numbers or texts"),
        (_with(item=pd.Timestamp("2024-01-01")), {}, "column 'item' .* whole numbers or texts"),
        (_with(user=np.full(20, 2**64 - 1, "uint64")), {}, "column 'user' .* fit 64 bits"),
        (MIXED, {}, "column 'user' .* one kind.*astype"),
        (_with(value=np.nan), {}, "column 'value' .* missing"),
        (_with(value=np.inf), {}, "column 'value' .* finite"),
        (_with(weight="heavy"), {}, "column 'weight' .* hold numbers"),
        (_with(price=3), {}, "'timestamp', got 'price'"),
        (dd.from_pandas(_table(20)[["item", "user"]].rename(columns={"user": "who"}), 1), {},
         "user ids in the first column"),
        (_table(20)[["value", "weight"]], {}, "'user' and 'item'"),
        (_table(20)[:0], {}, "have rows, got none"),
        (_table(20), {"sample_weight": sp.eye(3)}, "column 'weight'"),
        ([], {}, "a dask DataFrame, paths"),
        (np.ones((3, 3)), {}, "a dask DataFrame, paths"),
        (_table(20), {"item_features": sp.eye(3)}, "item_features must be a table"),
        (_matrix(), {"user_features": _table(5)}, "user_features must be a matrix"),
        (_matrix(), {"user_features": sp.eye(5, format="csr")}, "a row for each of the 200"),
        (_matrix(), {"sample_weight": _matrix(seed=1)}, "entries of interactions"),
        (_matrix(), {"sample_weight": _array(_matrix())}, "sample_weight must be a scipy"),
        (_array(_matrix()), {"sample_weight": _matrix()}, "sample_weight must be a dask array"),
        (da.ones((4, 4), chunks=2), {}, "chunks are whole rows"),
        (da.from_array(np.arange(80).reshape(40, 2), chunks=(20, 2)), {}, "looks like rows of"),
        ([delayed(_matrix()), delayed(_matrix(n_items=9))], {}, "same columns, .* 9 to 60"),
        ([delayed(_matrix() * np.nan)], {}, "finite"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_training(client, given, further, message):
    with pytest.raises(ValueError, match=message):
        _dealt(client, given, **further)


def test_a_path_that_leads_nowhere(client, tmp_path):
    with pytest.raises(FileNotFoundError):
        _dealt(client, str(tmp_path / "none.parquet"))
    (tmp_path / "some.parquet").write_text("user,item\n1,2\n")
    with pytest.raises(ValueError, match="cannot be read as Parquet"):
        _dealt(client, str(tmp_path / "some.parquet"))


# ---- matrices ------------------------------------------------------------------------------------


def test_one_shard_of_a_matrix_is_the_matrix(client):
    matrix = _matrix()
    dealt = None
    for given in (
        matrix,
        matrix.tocsc(),
        _array(matrix),
        [*map(delayed, _blocks(matrix, 3, 3, 90))],
    ):
        dealt = _dealt(client, given, n_shards=1)
        data = dealt.data[0].result()
        _same_csr(data.interactions, matrix)
        np.testing.assert_array_equal(data.ids, np.arange(N_USERS))
        assert data.weights is data.user_features is data.private is None
    counts = np.bincount(matrix.indices, minlength=N_ITEMS)
    np.testing.assert_array_equal(dealt.whole.item_counts, counts)
    assert dealt.item_ids is None and dealt.whole.n_items == N_ITEMS


def test_a_fit_of_one_shard_is_that_of_the_matrix(client):
    matrix = _matrix()
    weights = abs(matrix).tocoo()
    weights.data = weights.data + np.float32(0.5)
    dealt = _dealt(client, _array(matrix), None, None, _array(weights.tocsr()), n_shards=1)
    data = dealt.data[0].result()
    models = []
    for given, of_given in (
        (matrix.tocsr().tocoo(), weights),
        (data.interactions.tocoo(), None),
    ):
        if of_given is None:
            of_given = sp.coo_matrix((data.weights, (given.row, given.col)), given.shape)
        model = LightFM(loss="warp", random_state=3)
        models.append(model.fit(given, sample_weight=of_given, epochs=2, num_threads=1))
    np.testing.assert_array_equal(models[0].item_embeddings, models[1].item_embeddings)
    np.testing.assert_array_equal(models[0].user_embeddings, models[1].user_embeddings)


def test_a_matrix_is_dealt_whole_and_repeated_pairs_stay(client):
    matrix = _matrix().tocoo()
    rows, cols = (np.append(part, part[:50]) for part in (matrix.row, matrix.col))
    order = np.random.default_rng(1).permutation(len(rows))
    rows, cols = rows[order], cols[order]
    data = np.arange(1, len(rows) + 1, dtype=np.float64)
    given = sp.coo_matrix((data, (rows, cols)), matrix.shape)
    weights = sp.coo_matrix((data / 2, (rows, cols)), matrix.shape)
    dealt = _dealt(client, given, sample_weight=weights)
    shards = client.gather(dealt.data)
    expected = sorted(zip(rows, cols, data, data / 2, strict=True))
    assert _rows(shards, None) == expected
    # Users without interactions belong to a shard, too.
    assert sorted(np.concatenate([one.ids for one in shards])) == [*range(N_USERS)]


# ---- the deal ------------------------------------------------------------------------------------


def test_a_hash_is_the_same_for_all_integers_and_everywhere(client):
    ids = np.array([-3, 0, 5, 100])
    of = dealing.bucket_of(ids, 1 << 20)
    for dtype in ("int8", "int16", ">i4", "int64"):
        np.testing.assert_array_equal(dealing.bucket_of(ids.astype(dtype), 1 << 20), of)
    texts = np.array(["a", "ä", ""], object)
    for given in (ids, texts):
        there = client.submit(dealing.bucket_of, given, 1 << 20).result()
        np.testing.assert_array_equal(there, dealing.bucket_of(given, 1 << 20))
    np.testing.assert_array_equal(
        dealing.bucket_of(texts.astype("U"), 1 << 20), dealing.bucket_of(texts, 1 << 20)
    )


@pytest.mark.parametrize("n_shards", [1, 3, 8, 64])
def test_shards_are_of_one_size(n_shards):
    rng = np.random.default_rng(0)
    n_buckets = dealing.n_buckets(n_shards)
    counts = rng.geometric(0.001, 100 * n_buckets)  # of users
    buckets = np.bincount(
        dealing.bucket_of(np.arange(len(counts)), n_buckets), counts, n_buckets
    ).astype(np.int64)
    deal = dealing.deal_out(buckets, n_shards, "whole numbers")
    sizes = np.bincount(deal.of_buckets, buckets, n_shards)
    assert sizes.max() < 1.001 * sizes.mean()
    of_users = np.bincount(deal.shard_of(np.arange(len(counts))), counts, n_shards)
    np.testing.assert_array_equal(of_users, sizes)


def test_one_user_may_have_more_than_a_shard():
    counts = np.zeros(dealing.n_buckets(4), np.int64)
    counts[[5, 9, 11, 40, 41]] = 1000, 3, 3, 2, 1
    deal = dealing.deal_out(counts, 4, "texts")
    assert sorted(np.bincount(deal.of_buckets, counts).tolist()) == [3, 3, 3, 1000]
    assert np.bincount(deal.of_buckets).min() > 200  # those who come later are shared out
    with pytest.raises(ValueError, match="must be texts"):
        deal.shard_of([1, 2])


# ---- going on ------------------------------------------------------------------------------------


def test_a_later_table_goes_on_from_what_is_known(client):
    first, table = _table(500, 1), _table(700, 2)
    known = _dealt(client, first)
    new = pd.concat([table, pd.DataFrame({"user": [9000], "item": ["a"], "value": 1, "weight": 1})])
    with pytest.raises(ValueError, match="items that the model was fitted with.*resize=True"):
        _dealt(client, new, known=known)
    with pytest.raises(ValueError, match="users that the model was fitted with.*resize=True"):
        _dealt(client, new.assign(item=first["item"][0]), known=known)
    with pytest.raises(ValueError, match="user ids must be whole numbers"):
        _dealt(client, new.astype({"user": str}), known=known, resize=True)
    with pytest.raises(ValueError, match="item ids must be texts"):
        _dealt(client, new.assign(item=3), known=known, resize=True)
    with pytest.raises(ValueError, match="must be a table of ids.*start afresh"):
        _dealt(client, _matrix(), known=known, resize=True)
    for n_shards in (3, 2):
        later = _dealt(client, new, known=known, resize=True, n_shards=n_shards)
        shards = client.gather(later.data)
        n_known = len(known.item_ids)
        assert later.item_ids[:n_known].tolist() == known.item_ids.tolist()
        others = sorted({*new["item"]} - {*first["item"]})
        assert later.item_ids[n_known:].tolist() == others
        assert _rows(shards, later.item_ids) == sorted(new.itertuples(index=False, name=None))
        users = np.concatenate([data.ids for data in shards])
        assert sorted(users) == sorted({*first["user"], *new["user"]})
        assert later.deal.n_shards == n_shards
    same = _dealt(client, first[:200], known=known)
    for data, before in zip(*map(client.gather, (same.data, known.data)), strict=True):
        np.testing.assert_array_equal(data.ids, before.ids)
    assert same.whole.item_counts.sum() == 200 and same.whole.n_items == n_known
    nothing = _dealt(client, first[:0], known=known)
    assert nothing.n_users == known.n_users and sum(nothing.n_examples) == 0


def test_a_later_matrix_goes_on_from_what_is_known(client):
    known = _dealt(client, _matrix())
    with pytest.raises(ValueError, match=r"item_features must have the 60 columns.*resize=True"):
        _dealt(client, _matrix(n_items=61), known=known)
    with pytest.raises(ValueError, match=r"user_features must have the 200 columns.*afresh"):
        _dealt(client, _matrix(n_users=199), known=known, resize=True)
    later = _dealt(client, _matrix(300, 70), known=known, resize=True)
    before = known.data[0].result().ids
    after = later.data[0].result().ids
    np.testing.assert_array_equal(after[after < N_USERS], before)


def test_other_interactions_are_dealt_to_the_same_shards(client):
    table, other = _table(1000, 1), _table(300, 2)
    dealt = _dealt(client, table)
    strange = pd.DataFrame({"user": [9000, 1, 9000], "item": ["i1", "b", "b"], "value": 1})
    given = pd.concat([other, strange.assign(weight=1)])
    known = given[given["user"].isin(table["user"]) & given["item"].isin(table["item"])]
    shards, left_out = _like(client, dd.from_pandas(given, npartitions=3, sort=False), dealt)
    assert _rows(shards, dealt.item_ids) == sorted(known.itertuples(index=False, name=None))
    n_strangers = int((~given["user"].isin(table["user"])).sum())
    assert left_out == [n_strangers, len(given) - len(known) - n_strangers]
    for data, of in zip(shards, client.gather(dealt.data), strict=True):
        np.testing.assert_array_equal(data.ids, of.ids)
        assert data.interactions.shape == of.interactions.shape
    matrix = _dealt(client, _matrix())
    shards, left_out = _like(client, _array(_matrix(seed=4)), matrix)
    assert left_out == [0, 0]
    assert sum(data.interactions.nnz for data in shards) == _matrix(seed=4).nnz
    with pytest.raises(ValueError, match="shape of those of the fit"):
        _like(client, _matrix(n_items=9), matrix)


# ---- features ------------------------------------------------------------------------------------


def _whole_features(dealt, shards):
    """The rows of the user features of all shards in the columns of the whole, by id."""
    rows = {}
    for place, data in enumerate(shards):
        columns = np.append(data.private, dealt.whole.shared)
        assert data.user_features.shape == (len(data.ids), len(columns))
        assert (np.diff(data.private) > 0).all()
        for other in shards[:place]:
            assert not {*data.private} & {*other.private}
        coo = data.user_features.tocoo()
        for row, col, value in zip(coo.row, coo.col, coo.data, strict=True):
            rows.setdefault(data.ids[row], {})[int(columns[col])] = value
    every = np.concatenate([*(data.private for data in shards), dealt.whole.shared])
    assert sorted(every) == [*range(dealt.whole.n_user_features)]
    return rows


def _features(n=N_USERS, n_columns=30, seed=5):
    matrix = sp.random(n, n_columns, 0.03, format="csr", dtype=np.float32, random_state=seed)
    matrix.data[matrix.indices == 7] = 0
    matrix.eliminate_zeros()
    return matrix


def test_matrices_of_features_are_taken_as_they_are(client):
    users, items = _features(), _features(N_ITEMS + 3)
    for n_shards in (1, 4):
        for given in (users, _array(users, 50)):
            dealt = _dealt(client, _matrix(), given, items, n_shards=n_shards)
            shards = client.gather(dealt.data)
            whole = _whole_features(dealt, shards)
            for row in range(N_USERS):
                of_row = users[row]
                expected = dict(zip(of_row.indices.tolist(), of_row.data, strict=True))
                assert whole.get(row, {}) == expected
            assert dealt.whole.n_items == N_ITEMS + 3 == len(dealt.whole.item_counts)
            _same_csr(dealt.whole.item_features, items)
            if n_shards == 1:
                _same_csr(shards[0].user_features, users)
                assert len(dealt.whole.shared) == 0
    counts = np.zeros(30, int)
    for data in shards:
        counts[np.unique(users[data.ids].indices)] += 1
    np.testing.assert_array_equal(dealt.whole.shared, np.flatnonzero(counts > 1))
    assert 7 in shards[0].private  # which nobody has
    with pytest.raises(ValueError, match="user_features must have the 30 columns.*(identity)"):
        _dealt(client, _matrix(), None, items, known=dealt, resize=True)
    with pytest.raises(ValueError, match="item_features must have the 30 columns.*got 31"):
        _dealt(client, _matrix(), users, _features(N_ITEMS + 3, 31), known=dealt)
    _dealt(client, _matrix(), users, _features(N_ITEMS + 3, 31), known=dealt, resize=True)


def test_an_identity_is_none(client):
    dealt = _dealt(client, _matrix(), sp.identity(N_USERS), sp.identity(N_ITEMS))
    assert dealt.whole.item_features is dealt.users_told is dealt.items_told is None
    assert dealt.data[0].result().user_features is None


def _people(users, seed=0):
    rng = np.random.default_rng(seed)
    n = len(users)
    return pd.DataFrame(
        {
            "user": users,
            "town": rng.choice(["Oslo", "Rome", "Bonn"], n),
            "street": [f"s{user}" if user % 9 == 0 else None for user in users],
        }
    )


def _products(items, seed=0):
    rng = np.random.default_rng(seed)
    tags = [list(rng.choice([*"abcd"], 2, replace=False)) for _ in items]
    return pd.DataFrame({"tags": tags, "item": items})


def _own(client, dealt):
    """The column of the own feature of each user."""
    found = {}
    for rows in client.gather(dealt.users_told.rows):
        found |= dict(zip(rows.ids.tolist(), rows.own.tolist(), strict=True))
    return found


def _is_like(client, dealt, local):
    """Whether features are, by their names, those of a recommender."""
    own = _own(client, dealt), dict(zip(dealt.item_ids, dealt.items_told.rows.own, strict=True))
    items = dealt.whole.item_features.tocoo()
    of_items = {}
    for row, column, value in zip(items.row, items.col, items.data, strict=True):
        of_items.setdefault(dealt.item_ids[row], {})[int(column)] = value
    ours = _whole_features(dealt, client.gather(dealt.data)), of_items
    for place, told, matrix in (
        (0, dealt.users_told, local.user_features_),
        (1, dealt.items_told, local.item_features_),
    ):
        numbers, features = local.dataset_.mapping()[2 * place : 2 * place + 2]
        theirs = {number: name for name, number in features.items()}
        names = dict(zip(told.places.tolist(), told.encoder.feature_names_, strict=True))
        names |= {int(column): one for one, column in own[place].items()}
        assert sorted(names) == [*range(matrix.shape[1])]
        assert {*own[place]} == {*numbers}
        for one, row in numbers.items():
            of_row = matrix[row]
            expected = {theirs[c]: v for c, v in zip(of_row.indices, of_row.data, strict=True)}
            assert {names[c]: v for c, v in ours[place].get(one, {}).items()} == expected


@pytest.mark.parametrize(("n_shards", "later_shards"), [(1, 1), (3, 3), (3, 2)])
def test_tables_of_features_are_those_of_a_recommender(client, n_shards, later_shards):
    table = _table(900).drop(columns=["value", "weight"])
    ids = [*sorted(table["user"].unique())[:150], 9000, 9009]
    users, items = _people(ids), _products([*sorted(table["item"].unique())[5:], "zz"])
    local = Recommender(LightFM(no_components=2, loss="warp"))
    local.fit(table, user="user", item="item", users=users, items=items, epochs=0)
    frames = dd.from_pandas(users, npartitions=2), items
    first = _dealt(client, dd.from_pandas(table, npartitions=4), *frames, n_shards=n_shards)
    _is_like(client, first, local)
    if n_shards == 1:
        private = first.data[0].result().private
        np.testing.assert_array_equal(private, np.arange(local.user_features_.shape[1]))
        assert [*_own(client, first).values()] == [*range(sum(first.n_users))]
    # Later some have changed, some are new, and columns are missing or have new values.
    later = pd.DataFrame({"user": [9000, 9500, 3], "item": ["zz", "i1", "new"]})
    users = pd.DataFrame({"user": [9000, 9900, ids[0]], "town": ["Rome", "Turin", None]})
    items = _products(["newer", "zz", "i7"], 3)
    with pytest.raises(ValueError, match="resize=True"):
        _dealt(client, later[:1], users[1:2], known=first, n_shards=n_shards)
    grown = _dealt(client, later, users, items, known=first, resize=True, n_shards=later_shards)
    local.update(later, users=users, items=items, epochs=1)
    _is_like(client, grown, local)
    for told, before in (
        (grown.users_told, first.users_told),
        (grown.items_told, first.items_told),
    ):
        np.testing.assert_array_equal(told.places[: len(before.places)], before.places)
    assert _own(client, first).items() <= _own(client, grown).items()
    same = _dealt(client, later, known=grown, n_shards=later_shards)
    _is_like(client, same, local)
    if n_shards == 3:  # who was known by what they did alone can be told of later
        plain = _dealt(client, table)
        told = _dealt(client, table, users, items, known=plain, resize=True)
        local = Recommender(LightFM(no_components=2, loss="warp"))
        local.fit(table, user="user", item="item", users=users, items=items, epochs=0)
        _is_like(client, told, local)
        owned = np.concatenate([data.ids for data in client.gather(plain.data)])
        assert [_own(client, told)[one] for one in owned] == [*range(len(owned))]


# ---- what the cluster does -----------------------------------------------------------------------


class _Sizes(SchedulerPlugin):
    """Keeps the most bytes that a task has got and made."""

    name = "sizes"
    largest = 0

    def start(self, scheduler):
        self._scheduler = scheduler

    def transition(self, key, start, finish, *args, **kwargs):
        if finish == "memory":
            task = self._scheduler.tasks[key]
            size = sum(max(of.nbytes, 0) for of in (task, *task.dependencies))
            self.largest = max(self.largest, size)


def _largest(dask_scheduler):
    return dask_scheduler.plugins["sizes"].largest


def test_no_task_holds_more_than_a_partition_or_a_shard(client):
    n, parts = 200_000, 20

    def part(seed):
        return _table(n // parts, seed)

    frame = dd.from_map(part, range(parts), meta=_table(0))
    client.register_plugin(_Sizes(), name="sizes")
    try:
        dealt = _dealt(client, frame, n_shards=8)
        largest = client.run_on_scheduler(_largest)
    finally:
        client.unregister_scheduler_plugin("sizes")
    assert sum(dealt.n_examples) == n
    # A block has 16 bytes an interaction, a shard 12, and one has all pieces of the other.
    assert 28 * n / 8 < largest < 1.5 * 28 * n / 8


def test_what_was_on_a_lost_worker_is_made_again():
    with cluster(2) as client:
        dealt = _dealt(client, dd.from_pandas(_table(), npartitions=4))
        before = client.gather(dealt.data)
        (first, *_) = next(iter(client.who_has([dealt.data[0]]).values()))
        lost = client.run(os.getpid, workers=[first])[first]
        os.kill(lost, signal.SIGKILL)
        _same(client.gather(dealt.data), before)
