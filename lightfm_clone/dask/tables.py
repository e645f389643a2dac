"""From what a fit is given to shards on the cluster.

`deal` starts the tasks of `blocks.py`: partitions are read and counted (1), the client numbers the
items and deals the buckets of users (2), blocks are split by shard and the pieces joined (3). The
client sees counts, and the ids of items. All results are those of pure tasks, so that Dask makes
them again where a worker is lost.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Hashable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import dask
import dask.array
import dask.dataframe
import numpy as np
import scipy.sparse as sp
from dask.delayed import Delayed, delayed

from lightfm_clone import _checks as checks
from lightfm_clone.dask import blocks as blocks_of
from lightfm_clone.dask.blocks import ARGUMENT, Counts, Names
from lightfm_clone.dask.dealing import Array, Deal, deal_out, n_buckets
from lightfm_clone.dask.shards import Dealt, Whole
from lightfm_clone.data import columns as columns_of

_MERGED = 16  # counts by one task
_PART = 1 << 20  # interactions of the client in a block
_TAKEN = ("value", "weight", "timestamp")
_KINDS = (
    "a dask DataFrame, paths of Parquet files, a dask array of sparse blocks, a list of delayed "
    "sparse matrices, a scipy sparse matrix, or a pandas or polars DataFrame or a pyarrow Table"
)


class Blocks(NamedTuple):
    """Interactions on the cluster, block by block."""

    futures: list[Any]  # of Block
    shape: tuple[int, int] | None  # of a matrix; None of tables
    names: Names | None  # of tables; None of a matrix


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
    user_features, item_features
        See `features`.
    sample_weight
        Of a matrix: another of its kind, with the same entries in the same order.
    n_shards : int
        How many there shall be. There are fewer where not so many users have interactions.
    addresses : list of str
        Workers. Shard s is made by number s % len(addresses) if it can be.
    known : Dealt, optional
        What an earlier call returned, which this one goes on from: the same items have the same
        numbers, the same users the same shard (if there are as many shards), and all of them stay.
    resize : bool, default False
        Whether there may be more users or items than are known.

    Returns
    -------
    Dealt
        The same for the same rows, however they lie in partitions.

    Raises
    ------
    ValueError
        If something given is not as described above.
    """
    read = _read(client, interactions, sample_weight, len(addresses))
    if known is not None:
        _check_kind(read, known)
    counts = _counted(client, read, n_buckets(n_shards))
    merged = counts.result()
    item_ids: Array | None
    if read.shape is None:
        known_items = None if known is None else known.item_ids
        item_ids = blocks_of.numbered(merged, known_items)
        n_items, old = len(item_ids), [] if known is None else known.data
        numbered = _submit(client, blocks_of.numbered, counts, known_items)
        numbering = client.submit(blocks_of.numbering, numbered)
        _check_not_empty(merged)
    else:
        item_ids, numbering, n_items, old = None, None, read.shape[1], []
    item_counts = _item_counts(merged, item_ids)
    if known is not None:
        _check_growth("item", n_items, known.whole.n_items, resize)
    if known is not None and known.deal.n_shards == n_shards:
        dealt: Deal = known.deal
    else:
        dealt = deal_out(merged.buckets, n_shards, merged.user_kind or "whole numbers")
    parts = [*read.futures, *client.map(blocks_of.of_users, old)]
    pieces = _split(client, parts, dealt, numbering)
    shards = [
        client.submit(
            blocks_of.join,
            of_shard,
            n_items,
            workers=[addresses[shard % len(addresses)]],
            allow_other_workers=True,
        )
        for shard, of_shard in enumerate(pieces)
    ]
    sizes = client.gather(client.map(blocks_of.n_examples, shards))
    n_users = [users for users, _ in sizes]
    if known is not None:
        _check_growth("user", sum(n_users), sum(known.n_users), resize)
    nobody = np.empty(0, np.int64)
    whole = Whole(n_items, item_counts, None, nobody, sum(n_users))
    return Dealt(shards, n_users, [examples for _, examples in sizes], whole, item_ids, dealt)


def deal_like(
    client: Any, interactions: Any, dealt: Dealt, *, addresses: Sequence[str]
) -> tuple[list[Any], dict[str, int]]:
    """Deal other interactions to the same shards: of the same users with the same items.

    Parameters
    ----------
    interactions
        As `deal` takes them. A matrix has the shape of the fit's.
    dealt : Dealt
        What `deal` returned.

    Returns
    -------
    shards : list of futures of ShardData
    left_out : dict of str to int
        How many interactions are left out, as their users or items are not known.
    """
    read = _read(client, interactions, None, len(addresses))
    _check_kind(read, dealt)
    numbering = None
    if read.shape is None:
        numbering = _submit(client, blocks_of.numbering, dealt.item_ids)
    elif read.shape != (sum(dealt.n_users), dealt.whole.n_items):
        raise ValueError(
            f"{ARGUMENT} must have the shape of those of the fit, "
            f"{(sum(dealt.n_users), dealt.whole.n_items)}, got {read.shape}"
        )
    pieces = _split(client, read.futures, dealt.deal, numbering)
    both = [
        client.submit(
            blocks_of.join_known,
            of_shard,
            like,
            workers=[addresses[shard % len(addresses)]],
            allow_other_workers=True,
        )
        for shard, (of_shard, like) in enumerate(zip(pieces, dealt.data, strict=True))
    ]
    shards, left_out = (client.map(operator.itemgetter(place), both) for place in range(2))
    sums = np.sum(client.gather(left_out), axis=0).tolist()
    whats = [f"{ARGUMENT} with {side}s that are not known" for side in ("user", "item")]
    return shards, dict(zip(whats, sums, strict=True))


# ---- what is given -------------------------------------------------------------------------------


def _read(client: Any, interactions: Any, sample_weight: Any, n_workers: int) -> Blocks:
    """Interactions of any kind as blocks that are read, or being read."""
    if isinstance(interactions, str | os.PathLike):
        interactions = [interactions]
    is_list = isinstance(interactions, list | tuple) and len(interactions) > 0
    if is_list and all(isinstance(one, str | os.PathLike) for one in interactions):
        interactions = dask.dataframe.read_parquet([os.fspath(path) for path in interactions])
    if isinstance(interactions, dask.dataframe.DataFrame):
        names, frame = _names(list(interactions.columns)), interactions
        _refuse_weights(sample_weight)
        parts = frame[[name for name in names if name is not None]].to_delayed()
        read = delayed(blocks_of.of_table, pure=True)
        return Blocks(client.compute([read(part, names) for part in parts]), None, names)
    if isinstance(interactions, dask.array.Array):
        parts = _whole_rows(interactions, ARGUMENT)
        weights = None
        if sample_weight is not None:
            if not isinstance(sample_weight, dask.array.Array):
                raise _other_kind(sample_weight, "a dask array")
            weights = _whole_rows(sample_weight, "sample_weight")
        return _of_matrices(client, parts, weights)
    if is_list and all(_is_delayed(one) for one in interactions):
        weights = sample_weight
        if weights is not None and not (
            isinstance(weights, list | tuple) and all(map(_is_delayed, weights))
        ):
            raise _other_kind(weights, "a list of delayed matrices")
        return _of_matrices(client, interactions, weights)
    if checks.is_sparse(interactions):
        weights = None
        if sample_weight is not None:
            if not checks.is_sparse(sample_weight):
                raise _other_kind(sample_weight, "a scipy sparse matrix")
            weights = _cut(sample_weight, "sample_weight", n_workers)
        parts = _cut(interactions, ARGUMENT, n_workers)
        _check_as_many(parts, weights)
        futures = client.map(blocks_of.of_matrix, parts, weights or [None] * len(parts))
        return _in_rows(client, futures)
    if columns_of.library(interactions) and columns_of.split(interactions):
        names = _names(list(columns_of.by_name(interactions, ARGUMENT)))
        _refuse_weights(sample_weight)
        size = max(min(_PART, -(-len(interactions) // n_workers)), 1)
        begins = range(0, max(len(interactions), 1), size)
        parts = [interactions[begin : begin + size] for begin in begins]
        return Blocks(client.map(blocks_of.of_table, parts, names=names), None, names)
    kind = f"{type(interactions).__module__}.{type(interactions).__qualname__}"
    raise ValueError(f"{ARGUMENT} must be {_KINDS}, got {kind}")


def _names(columns: list[Hashable]) -> Names:
    """Which columns are what."""
    listed = ", ".join(map(repr, columns)) or "none"
    if len(set(columns)) < len(columns):
        raise ValueError(f"{ARGUMENT} must have each column once, got {listed}")
    user: Hashable = "user"
    item: Hashable = "item"
    if not {user, item} <= {*columns}:
        if len(columns) < 2 or {*columns[:2]} & {*_TAKEN}:
            raise ValueError(
                f"{ARGUMENT} must have the columns 'user' and 'item', or ids of users and items in "
                f"the first two columns, got {listed}"
            )
        user, item = columns[:2]
        if user == "item" or item == "user":
            raise ValueError(
                f"{ARGUMENT} must have the user ids in the first column and the item ids in the "
                f"second, unless these are named 'user' and 'item', got {listed}; rename them"
            )
    unknown = next((name for name in columns if name not in (user, item, *_TAKEN)), None)
    if unknown is not None:
        raise ValueError(
            f"{ARGUMENT} must have the columns {user!r}, {item!r} and, if there are such, 'value', "
            f"'weight' and 'timestamp', got {unknown!r} as well; leave it out, or rename it"
        )
    given = [name if name in columns else None for name in ("value", "weight")]
    return Names(user, item, *given)


def _refuse_weights(sample_weight: Any) -> None:
    if sample_weight is not None:
        raise ValueError(
            f"sample_weight must be None where {ARGUMENT} are a table, got "
            f"{type(sample_weight).__name__}; put the weights into its column 'weight'"
        )


def _other_kind(given: Any, kind: str) -> ValueError:
    return ValueError(
        f"sample_weight must be {kind}, as {ARGUMENT} are, got {type(given).__name__}"
    )


def _is_delayed(thing: Any) -> bool:
    return isinstance(thing, Delayed)


def _whole_rows(array: Any, name: str) -> list[Any]:
    """The chunks of a dask array of matrices, from the first rows to the last."""
    if array.ndim != 2 or array.numblocks[1] != 1:
        raise ValueError(
            f"{name} must be a dask array [n_users, n_items] whose chunks are whole rows, got "
            f"{array.numblocks} chunks along its axes; rechunk({{1: -1}}) before its blocks are "
            "made sparse"
        )
    chunks: list[Any] = array.to_delayed().ravel().tolist()
    return chunks


def _cut(matrix: Any, name: str, n_workers: int) -> list[Any]:
    """A sparse matrix of the client in blocks of rows, their entries in its order."""
    coo = checks.as_coo(matrix, name)
    n_users, n_items = coo.shape
    n = max(min(max(n_workers, -(-coo.nnz // _PART)), n_users), 1)
    order = np.argsort(coo.row, kind="stable")
    rows, cols, data = coo.row[order], coo.col[order], coo.data[order]
    edges = np.linspace(0, n_users, n + 1).astype(np.int64)
    places = np.searchsorted(rows, edges)
    return [
        sp.coo_matrix(
            (data[begin:end], (rows[begin:end] - first, cols[begin:end])), (last - first, n_items)
        )
        for begin, end, first, last in zip(
            places[:-1], places[1:], edges[:-1], edges[1:], strict=True
        )
    ]


def _check_as_many(parts: Sequence[Any], weights: Sequence[Any] | None) -> None:
    if weights is not None and len(weights) != len(parts):
        raise ValueError(
            f"sample_weight must have the blocks of {ARGUMENT}, {len(parts)}, got {len(weights)}"
        )


def _of_matrices(client: Any, parts: Sequence[Any], weights: Sequence[Any] | None) -> Blocks:
    """Blocks of delayed matrices."""
    _check_as_many(parts, weights)
    read = delayed(blocks_of.of_matrix, pure=True)
    pairs = zip(parts, weights or [None] * len(parts), strict=True)
    return _in_rows(client, client.compute([read(part, of_part) for part, of_part in pairs]))


def _in_rows(client: Any, futures: list[Any]) -> Blocks:
    """Blocks of rows of a matrix, one below the other, whose sizes are not known before."""
    shapes = client.gather(client.map(blocks_of.shape_of, futures))
    widths = sorted({width for _, width in shapes})
    if len(widths) > 1:
        raise ValueError(
            f"all blocks of {ARGUMENT} must have a column for each item, got blocks of "
            f"{widths[0]} to {widths[-1]} columns; give each the shape (its users, all items)"
        )
    *before, n_users = accumulate((n for n, _ in shapes), initial=0)
    if n_users > checks.MAX_ID:
        raise ValueError(f"{ARGUMENT} may have at most 2**31 - 1 rows, got {n_users}")
    return Blocks(client.map(blocks_of.moved, futures, before), (n_users, widths[0]), None)


# ---- checks against what is known ----------------------------------------------------------------


def _check_kind(read: Blocks, known: Dealt) -> None:
    kinds = ("a matrix of row numbers", "a table of ids")
    if (read.shape is None) != (known.item_ids is not None):
        was, now = kinds if known.item_ids is None else reversed(kinds)
        raise ValueError(
            f"{ARGUMENT} must be {was}, as those that the model was fitted with, got {now}; pass "
            "the like, or call fit to start afresh"
        )


def _check_growth(side: str, n: int, n_known: int, resize: bool) -> None:
    """Check how many users or items there are, where there have been so many."""
    if n < n_known or (n > n_known and not resize):
        remedy = "pass resize=True to grow" if n > n_known else "number all that were known"
        raise ValueError(
            f"{ARGUMENT} must have the {n_known} {side}s that the model was fitted with, got {n}; "
            f"{remedy}, or call fit to start afresh"
        )


def _check_not_empty(merged: Counts) -> None:
    if not len(merged.item_counts):
        raise ValueError(f"{ARGUMENT} must have rows, got none; look at the paths or filters")


# ---- tasks ---------------------------------------------------------------------------------------


def _counted(client: Any, read: Blocks, n: int) -> Any:
    """The counts of all blocks, merged by a tree of tasks."""
    counts = client.map(blocks_of.count, read.futures, n_buckets=n)
    while True:
        groups = [counts[begin : begin + _MERGED] for begin in range(0, len(counts), _MERGED)]
        counts = client.map(blocks_of.merge, groups, names=read.names)
        if len(counts) == 1:
            return counts[0]


def _item_counts(merged: Counts, item_ids: Array | None) -> Array:
    """The interactions of each item by number."""
    if item_ids is None or merged.items is None:
        return merged.item_counts
    counts = np.zeros(len(item_ids), np.int64)
    counts[blocks_of.numbering(item_ids).of(merged.items)] = merged.item_counts
    return counts


def _split(client: Any, parts: list[Any], deal: Deal, numbering: Any) -> list[list[Any]]:
    """The pieces of each shard."""
    shared = client.submit(Deal, *deal)
    shares = client.map(blocks_of.split, parts, deal=shared, items=numbering)
    return [client.map(operator.itemgetter(shard), shares) for shard in range(deal.n_shards)]


def _submit(client: Any, function: Any, *args: Any) -> Any:
    """A task that holds ids of items, which are many where a catalogue is large."""
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
        return client.submit(function, *args)
