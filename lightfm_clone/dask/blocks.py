"""Interactions in blocks: what the tasks do that make shards of partitions.

A partition of a table, or some rows of a matrix, is read into a `Block`, which is checked then. Its
items and buckets of users are counted; when all are, they are numbered and dealt, a block is split
by shard, and the pieces of a shard are joined. No task sees more than a partition or a shard.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from lightfm_clone import _checks as checks
from lightfm_clone.dask.dealing import Array, Deal, bucket_of, kind_of
from lightfm_clone.dask.shards import ShardData
from lightfm_clone.data import columns as columns_of
from lightfm_clone.data import tables
from lightfm_clone.data.columns import Column
from lightfm_clone.data.rows import shown
from lightfm_clone.data.rules import finite

_OF_ENTRIES = ("rows", "cols", "values", "weights", "kinds", "times")  # arrays of a block

# What messages call interactions.
ARGUMENT = "interactions"


class Names(NamedTuple):
    """The columns of a table of interactions."""

    user: Hashable
    item: Hashable
    value: Hashable | None
    weight: Hashable | None


class Block(NamedTuple):
    """Some interactions, and the users whom they are of, those without any among them."""

    users: Array  # distinct ids, int64 or str as objects
    rows: Array  # int32, into users, one for each interaction
    items: Array | None  # distinct ids; None: cols are the numbers of items
    cols: Array  # int32, into items
    values: Array | None  # float32; None where all are 1
    weights: Array | None  # float32; None where all are 1
    n_items: int  # cols are below it; -1 stands for an item that is not known
    kinds: Array | None = None  # uint8; None where events have no kinds
    times: Array | None = None  # float64, seconds since 1970; None where events have no times


class Counts(NamedTuple):
    """What the blocks have of each item and each bucket of users."""

    buckets: Array  # int64 [n_buckets], interactions
    user_kind: str | None  # see `dealing.kind_of`; None where there are no users
    items: Array | None  # distinct ids, ascending; None: their numbers are known
    item_counts: Array  # int64, interactions


class Numbering(NamedTuple):
    """The numbers of item ids."""

    ids: Array  # ascending
    numbers: Array  # int32

    def of(self, ids: Array) -> Array:
        """The numbers of ids, -1 where they have none."""
        self.check(ids)
        places, found = places_of(ids, self.ids)
        numbers = np.full(len(ids), -1, np.int32)
        numbers[found] = self.numbers[places[found]]
        return numbers

    def check(self, ids: Array) -> None:
        """Check that ids are of the same kind."""
        if len(ids) and len(self.ids) and kind_of(ids) != kind_of(self.ids):
            raise ValueError(
                f"item ids must be {kind_of(self.ids)}, as others are, got {kind_of(ids)} such as "
                f"{ids[0]!r}; convert them"
            )


# ---- blocks --------------------------------------------------------------------------------------


def of_table(table: Any, names: Names) -> Block:
    """The interactions of a partition; a ValueError says what is wrong in which column."""
    columns = columns_of.by_name(table, ARGUMENT)
    users, rows = ids_of(columns[names.user], "user")
    items, cols = ids_of(columns[names.item], "item")
    return Block(
        users,
        rows,
        items,
        cols,
        _numbers(columns, names.value, "value"),
        _numbers(columns, names.weight, "weight"),
        len(items),
    )


def of_matrix(matrix: Any, weights: Any) -> Block:
    """The interactions of some rows of a matrix, and their weights, a matrix too, or None."""
    checks.check_pairs(matrix, ARGUMENT)
    coo = checks.as_coo(matrix, ARGUMENT)
    if weights is not None:
        given = checks.as_coo(weights, "sample_weight")
        if (
            given.shape != coo.shape
            or not np.array_equal(given.row, coo.row)
            or not np.array_equal(given.col, coo.col)
        ):
            raise ValueError(
                "sample_weight must have the entries of interactions in the same order and the "
                "same blocks: the rows and columns of a block differ from theirs"
            )
        weights = _unless_ones(checks.as_float32(given.data, "sample_weight"))
    n_users, n_items = coo.shape
    return Block(
        np.arange(n_users),
        coo.row.astype(np.int32),
        None,
        coo.col.astype(np.int32),
        _unless_ones(checks.as_float32(coo.data, ARGUMENT)),
        weights,
        n_items,
    )


def shape_of(block: Block) -> tuple[int, int]:
    return len(block.users), block.n_items


def moved(block: Block, n_rows: int) -> Block:
    """A block of rows of a matrix with so many rows before it."""
    return block._replace(users=block.users + n_rows)


def of_users(data: ShardData) -> Block:
    """The users of a shard, without their interactions."""
    none = np.empty(0, np.int32)
    return Block(data.ids, none, None, none, None, None, 0)


def ids_of(column: Column, role: str) -> tuple[Array, Array]:
    """Distinct ids, int64 or str, and the number among them in each row."""
    missing = column.missing()
    if missing.any():
        raise ValueError(
            f"{column.label} must not have missing values (it is the {role}), got "
            f"at least {np.count_nonzero(missing)} of them; fill them in, or leave these "
            "rows out with dropna(subset=[...])"
        )
    try:
        codes, values = tables.ids_of(column, role)
    except TypeError as error:
        raise ValueError(str(error)) from None
    return as_ids(values, role, column.label, column.dtype), codes.astype(np.int32)


def as_ids(values: list[Any], role: str, label: str, dtype: str = "objects") -> Array:
    """Distinct ids as int64 or str; a ValueError where they are neither."""
    kinds = set(map(type, values))
    ids: Array
    if kinds <= {str}:
        ids = np.empty(len(values), object)
        ids[:] = values
    elif kinds == {int}:
        try:
            ids = np.array(values, np.int64)
        except OverflowError:
            raise ValueError(
                f"{label} must hold {role} ids that fit 64 bits with a sign, got "
                f"{max(values)}; convert it with astype(str)"
            ) from None
    else:
        other = next(value for value in values if type(value) not in (int, str))
        what, remedy = shown(other), "astype(str)"
        if kinds <= {int, str}:
            what = f"{shown(next(v for v in values if type(v) is int))} and texts"
        elif kinds == {float} and all(map(float.is_integer, values)):
            remedy = "astype('int64')"
        raise ValueError(
            f"{label} must hold {role} ids of one kind, whole numbers or texts, got {dtype} with "
            f"{what}; convert it with {remedy}"
        )
    return ids


def _numbers(columns: dict[Hashable, Column], name: Hashable | None, role: str) -> Array | None:
    """A column of numbers as float32; None where there is none, or all are 1."""
    if name is None:
        return None
    column = columns[name]
    missing = column.missing()
    if missing.any():
        raise ValueError(
            f"{column.label} must not have missing values (it is the {role}), got "
            f"at least {np.count_nonzero(missing)} of them; fill them in, or leave these "
            "rows out with dropna(subset=[...])"
        )
    if column.kind not in ("number", "boolean", "empty"):
        raise ValueError(
            f"{column.label} must hold numbers (it is the {role}), got {column.dtype}; convert it "
            "with astype('float32')"
        )
    return _unless_ones(finite(column.numbers(), column, np.float32).astype(np.float32))


def _unless_ones(values: Array) -> Array | None:
    return None if (values == 1).all() else values


# ---- counts --------------------------------------------------------------------------------------


def count(block: Block, n_buckets: int) -> Counts:
    """The interactions of a block by bucket of users and by item."""
    each = np.bincount(block.rows, minlength=len(block.users))
    buckets = np.zeros(n_buckets, np.int64)
    np.add.at(buckets, bucket_of(block.users, n_buckets), each)
    item_counts = np.bincount(block.cols, minlength=block.n_items)
    items = block.items
    if items is not None:
        order = np.argsort(items)
        items, item_counts = items[order], item_counts[order]
    kind = kind_of(block.users) if len(block.users) else None
    return Counts(buckets, kind, items, item_counts)


def merge(parts: Sequence[Counts], names: Names | None) -> Counts:
    """The counts of several as one."""
    kinds = {part.user_kind for part in parts if part.user_kind}
    user_kind = _one_kind(kinds, names and names.user)
    buckets = np.sum([part.buckets for part in parts], axis=0)
    if parts[0].items is None:
        item_counts = np.sum([part.item_counts for part in parts], axis=0)
        return Counts(buckets, user_kind, None, item_counts)
    parts = [part for part in parts if len(part.item_counts)] or parts[:1]
    items = [part.items for part in parts if part.items is not None]
    _one_kind({kind_of(ids) for ids in items}, names and names.item)
    distinct = union(items)
    item_counts = np.zeros(len(distinct), np.int64)
    for part, ids in zip(parts, items, strict=True):
        item_counts[places_of(ids, distinct)[0]] += part.item_counts
    return Counts(buckets, user_kind, distinct, item_counts)


def _one_kind(kinds: set[str], column: Hashable) -> str | None:
    if len(kinds) > 1:
        raise ValueError(
            f"the column {column!r} of {ARGUMENT} must hold ids of one kind, got "
            "whole numbers in some partitions and texts in others; convert it with "
            f"astype({{{column!r}: str}})"
        )
    return next(iter(kinds), None)


def numbered(counts: Counts, known: Array | None, told: Array | None) -> Array:
    """The ids of items by number: those that were known, then others, ascending.

    `told` are those that a table of items tells of.
    """
    assert counts.items is not None
    ids = counts.items
    if told is not None and len(told):
        numbering(ids).check(told)
        ids = union([ids, told])
    if known is None:
        return ids
    new = ids[numbering(known).of(ids) < 0]
    return np.concatenate([known, new]) if len(new) else known


def numbering(ids: Array) -> Numbering:
    """To look up the places of distinct ids."""
    order = np.argsort(ids)
    return Numbering(ids[order], order.astype(np.int32))


def places_of(ids: Array, ordered: Array) -> tuple[Array, Array]:
    """Where ids are among distinct ones in order, and whether they are there."""
    if not len(ordered):
        return np.zeros(len(ids), np.intp), np.zeros(len(ids), bool)
    if ids.dtype == object and len(ordered) < 4 * len(ids):  # hashed, texts are found sooner
        import pandas as pd

        places = pd.Index(ordered, dtype=object).get_indexer(ids)
        return np.maximum(places, 0), places >= 0
    places = np.minimum(np.searchsorted(ordered, ids), len(ordered) - 1)
    return places, np.asarray(ordered[places] == ids, bool)


def union(parts: Sequence[Array]) -> Array:
    """Distinct ids of all parts, ascending."""
    import pandas as pd

    ids = np.concatenate([part for part in parts if len(part)] or [*parts[:1]])
    return np.sort(pd.unique(ids)) if ids.dtype == object else np.unique(ids)


# ---- shards --------------------------------------------------------------------------------------


def split(block: Block, deal: Deal, items: Numbering | None) -> tuple[Block, ...]:
    """A block for each shard, with the numbers of items."""
    cols, n_items = block.cols, block.n_items
    if items is not None and block.items is not None:
        cols, n_items = items.of(block.items)[cols], len(items.ids)
    shards = deal.shard_of(block.users)
    users, first_users = _grouped(shards, deal.n_shards)
    places = np.empty(len(users), np.int32)  # of users among those of their shard
    places[users] = np.arange(len(users)) - first_users[shards[users]]
    entries, first_entries = _grouped(shards[block.rows], deal.n_shards)
    block = block._replace(rows=places[block.rows], items=None, cols=cols, n_items=n_items)
    # Copies, so that a piece that travels or waits does not keep the others.
    return tuple(
        _entries(block, entries[first_entries[shard] : first_entries[shard + 1]])._replace(
            users=block.users[users[first_users[shard] : first_users[shard + 1]]]
        )
        for shard in range(deal.n_shards)
    )


def _grouped(shards: Array, n_shards: int) -> tuple[Array, Array]:
    """The order that puts those of a shard together, and where each shard begins."""
    # Of 16 bits NumPy sorts in linear time.
    small = shards.astype(np.uint16) if n_shards < 1 << 16 else shards
    sizes = np.bincount(shards, minlength=n_shards)
    return np.argsort(small, kind="stable"), np.append(0, np.cumsum(sizes))


def join(pieces: Sequence[Block], n_items: int, make: Any = None) -> ShardData:
    """The pieces of a shard as one, its users ascending; for `make` see `joined`."""
    ids = union([piece.users for piece in pieces])
    return joined(pieces, ids, n_items, make)


def join_known(pieces: Sequence[Block], like: ShardData) -> tuple[ShardData, tuple[int, int]]:
    """The pieces of a shard, of the users and items that it knows.

    The counts are of interactions that are left out, as their users or else their items are not
    known.
    """
    kept, n_strangers, n_strange = [], 0, 0
    for piece in pieces:
        is_known = np.zeros(0, bool)
        if len(piece.users):
            is_known = places_of(piece.users, like.ids)[1]
        of_known = is_known[piece.rows]
        keep = of_known & (piece.cols >= 0)
        n_strangers += int((~of_known).sum())
        n_strange += int((of_known & (piece.cols < 0)).sum())
        kept.append(_entries(piece, keep))
    return joined(kept, like.ids, like.interactions.shape[1]), (n_strangers, n_strange)


def _entries(block: Block, at: Array) -> Block:
    """Some of the interactions: a mask, or places."""
    arrays = {name: getattr(block, name) for name in _OF_ENTRIES}
    return block._replace(
        **{name: array[at] for name, array in arrays.items() if array is not None}
    )


def joined(pieces: Sequence[Block], ids: Array, n_items: int, make: Any = None) -> ShardData:
    """The interactions of pieces, sorted, however they lay in blocks; `ids` has all users.

    With ``make(pieces, ids, rows, cols, n_items)`` what that makes of them, where `rows` and `cols`
    are of all pieces, one after the other.
    """
    pieces = [piece for piece in pieces if len(piece.rows)]
    rows, cols = entries_of(pieces, ids)
    if make is not None:
        made: ShardData = make(pieces, ids, rows, cols, n_items)
        return made
    values, weights = _filled(pieces, "values"), _filled(pieces, "weights")
    order = _order(rows, cols, values, weights, (len(ids), n_items))
    data = np.ones(len(rows), np.float32) if values is None else values[order]
    indptr = np.append(0, np.cumsum(np.bincount(rows, minlength=len(ids))))
    interactions = sp.csr_matrix((data, cols[order], indptr), shape=(len(ids), n_items))
    if weights is not None:
        weights = _unless_ones(weights[order])
    return ShardData(ids, interactions, weights, None, None)


def entries_of(pieces: Sequence[Block], ids: Array) -> tuple[Array, Array]:
    """The rows, places in `ids`, and the columns of all pieces, one after the other."""
    none = np.empty(0, np.int32)
    users = np.concatenate([piece.users for piece in pieces] or [ids[:0]])
    places = places_of(users, ids)[0].astype(np.int32)
    firsts = accumulate((len(piece.users) for piece in pieces), initial=0)
    parts = [places[first:][piece.rows] for first, piece in zip(firsts, pieces, strict=False)]
    rows = np.concatenate([none, *parts])
    return rows, np.concatenate([none, *(piece.cols for piece in pieces)])


def _filled(pieces: Sequence[Block], name: str) -> Array | None:
    """The arrays of this name one after the other, 1 where a piece has none; None where all do."""
    if all(getattr(piece, name) is None for piece in pieces):
        return None
    ones = np.ones(max(len(piece.rows) for piece in pieces), np.float32)
    arrays = [(getattr(piece, name), len(piece.rows)) for piece in pieces]
    return np.concatenate([ones[:n] if array is None else array for array, n in arrays])


def _order(
    rows: Array, cols: Array, values: Array | None, weights: Array | None, shape: tuple[int, int]
) -> Array:
    """The order by user, item, value and weight."""
    order = _by(cols, shape[1])
    order = order[_by(rows[order], shape[0])]
    further = [keys for keys in (weights, values) if keys is not None]
    if further:
        ordered, ordered_cols = rows[order], cols[order]
        again = (ordered[1:] == ordered[:-1]) & (ordered_cols[1:] == ordered_cols[:-1])
        if again.any():  # of repeated pairs alone
            at = np.flatnonzero(np.append(again, False) | np.append(False, again))
            some = order[at]
            keys = [*(keys[some] for keys in further), cols[some], rows[some]]
            order[at] = some[np.lexsort(keys)]
    return order


def _by(numbers: Array, n: int) -> Array:
    """The order by numbers below n, stable."""
    # Turning a matrix with one entry a row is a counting sort, 3 times as fast as argsort.
    one_each = np.ones(len(numbers), bool), numbers, np.arange(len(numbers) + 1)
    order: Array = sp.csr_matrix(one_each, shape=(len(numbers), n)).tocsc().indices
    return order


def sizes(data: ShardData) -> tuple[int, int]:
    """How many users and interactions there are."""
    return data.n_users, data.interactions.nnz
