"""From what a fit is given to shards on the cluster.

`deal` starts the tasks of `blocks.py` and `features.py`: partitions are read and counted (1), the
client numbers the items and deals the buckets of users (2), blocks are split by shard and the
pieces joined (3). The client sees counts, and the item side. All results are those of pure tasks,
so that Dask makes them again where a worker is lost.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from lightfm_clone import _checks as checks
from lightfm_clone._model.fit import check_columns
from lightfm_clone.dask import blocks as blocks_of
from lightfm_clone.dask import features, inputs
from lightfm_clone.dask.blocks import ARGUMENT, Counts
from lightfm_clone.dask.dealing import Array, Deal, deal_out, n_buckets
from lightfm_clone.dask.features import Told
from lightfm_clone.dask.inputs import Blocks
from lightfm_clone.dask.shards import Dealt, Whole

_MERGED = 16  # counts by one task


def deal(
    client: Any,
    interactions: Any,
    user_features: Any = None,
    item_features: Any = None,
    sample_weight: Any = None,
    *,
    n_shards: int,
    addresses: Sequence[str],
    known: Dealt | None = None,
    resize: bool = False,
    make: Any = None,
) -> Dealt:
    """Deal what a fit is given to shards, and wait until all is read, checked and dealt.

    Parameters
    ----------
    client : distributed.Client
    interactions
        Rows of (user, item[, value][, weight][, timestamp]): a dask DataFrame, a path or a list of
        paths of Parquet files (anywhere that fsspec reads from), or a table of pandas, polars or
        pyarrow. The ids are in the columns "user" and "item", else in the first two; they are texts
        or whole numbers. "value" is what a matrix would hold, default 1; "weight" is the sample
        weight; "timestamp" is not read.

        Or a matrix [n_users, n_items], whose ids are its row and column numbers: a dask array whose
        chunks are whole rows and sparse matrices of SciPy, a list of such matrices as delayed
        objects, or one sparse matrix.

        Or `Blocks` that are read already.
    user_features, item_features
        Of a matrix of interactions: a sparse matrix [n_users or n_items, n_features], for users
        also a dask array as above. It is taken as it is.

        Of a table: another one, with a row for each user or item. Its ids are in the column "user"
        or "item", else in the first, and a `FeatureEncoder` makes features of the others. Who is in
        no such table has the feature of their own alone. Beside `known`, None means that there is
        nothing new to tell.
    sample_weight
        Of a matrix: another of its kind, with the same entries in the same order.
    n_shards : int
        How many there shall be. There are fewer where not so many users have interactions.
    addresses : list of str
        Workers. Shard s is made by number s % len(addresses) if it can be, and by any if there are
        none here.
    known : Dealt, optional
        What an earlier call returned, which this one goes on from: the same items have the same
        numbers, the same users the same shard (if there are as many shards), and all of them stay.
    resize : bool, default False
        Whether there may be more users or items than are known.
    make : callable, optional
        What makes the data of a shard of its interactions; see `blocks.joined`.

    Returns
    -------
    Dealt
        The same for the same rows, however they lie in partitions.

    Raises
    ------
    ValueError
        If something given is not as described above.
    """
    if isinstance(interactions, Blocks):
        read = interactions
    else:
        read = inputs.read(client, interactions, sample_weight, len(addresses))
    if known is not None:
        _check_kind(read, known)
    counts = _counted(client, read, n_buckets(n_shards))
    merged = counts.result()
    items = _number_items(client, read, counts, item_features, known)
    if known is not None:
        _check_side("item", items.n, items.n_columns, items.told, known, resize)
    if known is not None and known.deal.n_wanted == n_shards:
        dealt: Deal = known.deal
    else:
        dealt = deal_out(merged.buckets, n_shards, merged.user_kind or "whole numbers")
    shares = _Shares(client, dealt, addresses)
    users = _tell_of_users(client, read, user_features, known, len(addresses))
    if users is None:
        old = [] if known is None or read.shape is not None else known.data
        parts = [*read.futures, *client.map(blocks_of.of_users, old)]
        pieces = shares.of(blocks_of.split, parts, items=items.numbering)
        shards = shares.made(blocks_of.join, pieces, n_items=items.n, make=make)
        sizes = client.gather(client.map(blocks_of.sizes, shards))
        told, shared, n_columns = None, np.empty(0, np.int64), sum(n for n, _ in sizes)
    else:
        pieces = shares.of(blocks_of.split, read.futures, items=items.numbering)
        before, new = (shares.of(features.split, rows) for rows in (users.before, users.new))
        joined = shares.made(
            features.join,
            pieces,
            before,
            new,
            is_told=users.is_told,
            n_items=items.n,
            make=make,
        )
        sizes = client.gather(client.map(features.sizes, joined))
        shards, told, shared, n_columns = _with_features(shares, users, joined, sizes, known)
    n_users, n_examples = ([size[place] for size in sizes] for place in range(2))
    if known is not None:
        _check_side("user", sum(n_users), n_columns, told, known, resize)
    has_features = told is not None
    whole = Whole(items.n, items.counts, items.features, shared, n_columns, has_features)
    return Dealt(shards, n_users, n_examples, whole, items.ids, dealt, told, items.told)


def deal_like(
    client: Any, interactions: Any, dealt: Dealt, *, addresses: Sequence[str]
) -> DealtLike:
    """Deal other interactions to the same shards: of the same users with the same items.

    Parameters
    ----------
    interactions
        As `deal` takes them. A matrix has the shape of the fit's. What this function has returned
        is returned as it is.
    dealt : Dealt
        What `deal` returned.

    Returns
    -------
    shards : list of futures of ShardData
    left_out : dict of str to int
        How many interactions are left out, as their users or items are not known.
    """
    if isinstance(interactions, DealtLike):
        return interactions
    read = inputs.read(client, interactions, None, len(addresses))
    _check_kind(read, dealt)
    if read.shape is not None and read.shape != (sum(dealt.n_users), dealt.whole.n_items):
        raise ValueError(
            f"{ARGUMENT} must have the shape of those of the fit, "
            f"{(sum(dealt.n_users), dealt.whole.n_items)}, got {read.shape}"
        )
    both = made_of(client, read, dealt, blocks_of.join_known, dealt.data, addresses=addresses)
    shards, left_out = (client.map(operator.itemgetter(place), both) for place in range(2))
    sums = np.sum(client.gather(left_out), axis=0).tolist()
    whats = [f"{ARGUMENT} with {side}s that are not known" for side in ("user", "item")]
    return DealtLike(shards, dict(zip(whats, sums, strict=True)))


class DealtLike(NamedTuple):
    """See `deal_like`."""

    data: list[Any]
    left_out: dict[str, int]


def made_of(
    client: Any,
    read: Blocks,
    dealt: Dealt,
    function: Any,
    *of_shards: Sequence[Any],
    addresses: Sequence[str],
    **given: Any,
) -> list[Any]:
    """What a function makes of the pieces of blocks that belong to each shard; futures.

    It is called as ``function(pieces, *of_shard, **given)``. The columns of a piece are numbers of
    items of the fit, -1 where one is not known.
    """
    numbering = None
    if read.shape is None:
        numbering = inputs.submit(client, blocks_of.numbering, dealt.item_ids)
    shares = _Shares(client, dealt.deal, addresses)
    pieces = shares.of(blocks_of.split, read.futures, items=numbering)
    return shares.made(function, pieces, *of_shards, **given)


# ---- the item side -------------------------------------------------------------------------------


class _Items(NamedTuple):
    ids: Array | None  # by number; None of a matrix
    numbering: Any  # a future, to look numbers up; None of a matrix
    counts: Array  # int64 [n]
    features: Any  # csr; None is the identity
    told: Told | None

    @property
    def n(self) -> int:
        return len(self.counts)

    @property
    def n_columns(self) -> int:
        return self.n if self.features is None else int(self.features.shape[1])


def _number_items(
    client: Any, read: Blocks, counts: Any, given: Any, known: Dealt | None
) -> _Items:
    """Number the items, and make their features."""
    merged: Counts = counts.result()
    if read.shape is not None:
        inputs.refuse_table(given, "item")
        checked = checks.check_features(given, "item_features", read.shape[1])
        item_counts = np.append(merged.item_counts, np.zeros(checked.n_rows - read.shape[1], int))
        if checked.parts is None:
            return _Items(None, None, item_counts, None, None)
        return _Items(None, None, item_counts, checked.matrix, Told())
    known_ids = told = encoded = told_ids = None
    n_columns = 0
    if known is not None:
        known_ids, told = known.item_ids, known.items_told
        n_columns = known.whole.n_item_features
    if given is not None:
        encoded = inputs.encoded(client, given, "item", told)
        told_ids = client.submit(features.ids_of, encoded)
    numbered = inputs.submit(client, blocks_of.numbered, counts, known_ids, told_ids)
    numbering = client.submit(blocks_of.numbering, numbered)
    ids: Array = numbered.result()
    if known is None and not merged.item_counts.any():
        raise ValueError(f"{ARGUMENT} must have rows, got none; look at the paths or filters")
    item_counts = np.zeros(len(ids), np.int64)
    assert merged.items is not None
    item_counts[blocks_of.numbering(ids).of(merged.items)] = merged.item_counts
    matrix = None
    if encoded is not None or told is not None:
        made = inputs.submit(
            client, features.of_items, encoded, told, known_ids, n_columns, numbered, item_counts
        )
        told, matrix = made.result()
    return _Items(ids, numbering, item_counts, matrix, told)


# ---- the user side -------------------------------------------------------------------------------


class _Users(NamedTuple):
    """What is told of users; all are futures."""

    before: list[Any]  # of Rows: what was known
    new: list[Any]  # of Rows
    is_told: Any  # bool [n_told], of a table
    table: Any  # Encoded; None of matrices, and where no table is given


def _tell_of_users(
    client: Any, read: Blocks, given: Any, known: Dealt | None, n_workers: int
) -> _Users | None:
    """What is told of users, None where they are known by what they do alone."""
    if read.shape is not None:
        if given is None:
            return None
        rows = inputs.matrix_of_users(client, given, read.shape[0], n_workers)
        if rows is None:
            return None
        futures, shape = rows
        return _Users([], futures, client.submit(np.ones, shape[1], bool), None)
    told: Told | None = None if known is None else known.users_told
    if given is None and told is None:
        return None
    if told is not None:
        before = told.rows
    elif known is not None:
        firsts = accumulate(known.n_users[:-1], initial=0)
        before = client.map(features.of_identity, known.data, list(firsts))
    else:
        before = []
    if given is None:
        assert told is not None and told.places is not None
        return _Users(before, [], client.submit(np.zeros, len(told.places), bool), None)
    table = inputs.encoded(client, given, "user", told)
    rows, is_told = (
        client.submit(operator.attrgetter(name), table) for name in ("rows", "is_told")
    )
    return _Users(before, [rows], is_told, table)


def _with_features(
    shares: _Shares, users: _Users, joined: list[Any], sizes: list[Any], known: Dealt | None
) -> tuple[list[Any], Told, Array, int]:
    """The shards with their features: futures, what is told, shared columns, their number."""
    client = shares.client
    n_told = len(users.is_told.result())
    among = client.submit(features.shared, client.map(features.used, joined), n_told)
    shared: Array = among.result().shared
    firsts, places, encoder, column, n_columns = [0] * len(joined), None, None, None, n_told
    if users.before or users.table is not None:
        told: Told | None = None if known is None else known.users_told
        n_before = 0 if known is None else known.whole.n_user_features
        *firsts, n_owned = accumulate((n for _, _, n in sizes), initial=n_before)
        known_places = None if told is None else told.places
        places = inputs.submit(client, features.grown, known_places, n_told, n_owned)
        columns = places.result()
        n_columns = n_owned + n_told - (0 if known_places is None else len(known_places))
        shared = np.sort(columns[shared])
        if users.table is None:
            assert told is not None
            encoder, column = told.encoder, told.column
        else:
            encoder, column = (
                client.submit(operator.attrgetter(name), users.table).result()
                for name in ("encoder", "column")
            )
    both = shares.made(
        features.finish,
        joined,
        range(len(joined)),
        firsts,
        among=among,
        places=places,
        n_columns=n_columns,
    )
    shards, rows = (client.map(operator.itemgetter(place), both) for place in range(2))
    if places is None:
        return shards, Told(), shared, n_columns
    return shards, Told(encoder, column, columns, rows), shared, n_columns


# ---- checks against what is known ----------------------------------------------------------------


def _check_kind(read: Blocks, known: Dealt) -> None:
    kinds = ("a matrix of row numbers", "a table of ids")
    if (read.shape is None) != (known.item_ids is not None):
        was, now = kinds if known.item_ids is None else reversed(kinds)
        raise ValueError(
            f"{ARGUMENT} must be {was}, as those that the model was fitted with, got {now}; pass "
            "the like, or call fit to start afresh"
        )


def _check_side(
    side: str, n: int, n_columns: int, told: Told | None, known: Dealt, resize: bool
) -> None:
    """Check how many users or items there are, and of how many features."""
    if side == "user":
        n_known, was_told = sum(known.n_users), known.users_told
        n_fitted = known.whole.n_user_features
    else:
        n_known, was_told = known.whole.n_items, known.items_told
        n_fitted = known.whole.n_item_features
    if known.item_ids is not None and n > n_known and not resize:
        raise ValueError(
            f"{ARGUMENT} must have the {n_known} {side}s that the model was fitted with, got {n}; "
            "pass resize=True to grow, leave the others out, or call fit to start afresh"
        )
    check_columns(
        side,
        n_columns,
        n_fitted,
        resize,
        is_given=told is not None,
        was_given=was_told is not None,
    )


# ---- tasks ---------------------------------------------------------------------------------------


class _Shares:
    """Tasks for each shard."""

    def __init__(self, client: Any, deal: Deal, addresses: Sequence[str]) -> None:
        self.client = client
        self._n = deal.n_shards
        self._addresses = addresses
        self._deal = client.submit(Deal, *deal)

    def of(self, split: Any, parts: list[Any], **given: Any) -> list[list[Any]]:
        """The pieces of each shard, of parts that a function splits."""
        shares = self.client.map(split, parts, deal=self._deal, **given)
        return [self.client.map(operator.itemgetter(shard), shares) for shard in range(self._n)]

    def made(self, function: Any, *of_shards: Sequence[Any], **given: Any) -> list[Any]:
        """What a function makes of what each shard has, near where the shard shall be."""
        made = []
        for shard, of_shard in enumerate(zip(*of_shards, strict=True)):
            where: dict[str, Any] = {}
            if self._addresses:
                address = self._addresses[shard % len(self._addresses)]
                where = {"workers": [address], "allow_other_workers": True}
            made.append(self.client.submit(function, *of_shard, **given, **where))
        return made


def _counted(client: Any, read: Blocks, n: int) -> Any:
    """The counts of all blocks, merged by a tree of tasks."""
    counts = client.map(blocks_of.count, read.futures, n_buckets=n)
    while True:
        groups = [counts[begin : begin + _MERGED] for begin in range(0, len(counts), _MERGED)]
        counts = client.map(blocks_of.merge, groups, names=read.names)
        if len(counts) == 1:
            return counts[0]
