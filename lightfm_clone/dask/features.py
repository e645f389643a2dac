"""Features of users and items: from tables or matrices to the rows that shards hold.

A table is encoded in one task, and then its rows are dealt to shards as interactions are. A row is
the feature of somebody's own and what the table tells, as in `recommender.sides`. In the whole the
first columns are users' own, shard by shard, and then come the encoder's; what is new later has
columns after all others. A matrix is taken as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from lightfm_clone import _checks as checks
from lightfm_clone._sparse import empty_rows
from lightfm_clone.dask import blocks as blocks_of
from lightfm_clone.dask.blocks import Block
from lightfm_clone.dask.dealing import Array, Deal
from lightfm_clone.dask.shards import ShardData
from lightfm_clone.data import columns as columns_of
from lightfm_clone.data.encoder import FeatureEncoder
from lightfm_clone.recommender.sides import placed, weighted, with_own


class Rows(NamedTuple):
    """What is told of some users or items."""

    ids: Array
    matrix: Any  # csr float32 [n, n_told]: what the encoder made of a table, or a matrix as given
    own: Array  # int64 [n], the columns of their own features, -1: none yet. A matrix tells of all
    has_own: Array  # bool [n], who has done something, and so has a feature of their own


class Encoded(NamedTuple):
    """A table, encoded."""

    rows: Rows  # of distinct ids
    encoder: FeatureEncoder
    column: Hashable  # of the ids
    is_told: Array  # bool [n_told], the features that it tells of


class Told(NamedTuple):
    """How users or items are told of: what an encoder makes of tables, or matrices."""

    encoder: FeatureEncoder | None = None  # None: a matrix, and nothing of the following
    column: Hashable = None  # of ids, in each table
    places: Array | None = None  # int64 [n_told], the columns of the encoder's features
    rows: Any = None  # Rows of all items; of users a future of Rows for each shard


class Joined(NamedTuple):
    """A shard, and what is told of its users."""

    data: ShardData  # without features
    rows: Rows


class Shared(NamedTuple):
    """Which told features users of several shards have, and which nobody has; int64 each."""

    shared: Array
    nobody: Array


# ---- what is told --------------------------------------------------------------------------------


def encode(
    table: Any, side: str, encoder: FeatureEncoder | None, column: Hashable | None
) -> Encoded:
    """Encode a table; one that is known goes on growing, and stays as it is itself."""
    argument = f"{side}_features"
    columns = columns_of.by_name(table, argument)
    if column is None:
        column = side if side in columns else next(iter(columns), None)
    if column not in columns:
        raise ValueError(
            f"{argument} must have the column {column!r} of {side} ids, got "
            f"{', '.join(map(repr, columns)) or 'no column'}; rename its column of ids"
        )
    ids, codes = blocks_of.ids_of(columns[column], side)
    last = np.zeros(len(ids), np.intp)
    last[codes] = np.arange(len(codes))  # of several, the last is kept
    if encoder is None:
        encoder = FeatureEncoder()
        encoder.argument = argument
        encoded = encoder.fit_transform(table, id=column)
    else:
        encoder = copy.copy(encoder)
        encoder.grow(table)
        encoded = encoder.transform(table)
    return Encoded(new(ids, encoded[last]), encoder, column, encoder.is_told_by({*columns}))


def same(encoded: Encoded) -> Encoded:
    return encoded


def ids_of(encoded: Encoded) -> Array:
    return encoded.rows.ids


def of_matrix(matrix: Any) -> Rows:
    """Some rows of a matrix of the features of users."""
    csr = checks.as_csr(matrix, "user_features")
    return new(np.arange(csr.shape[0]), csr)


def shape_of(rows: Rows) -> tuple[int, int]:
    n, width = rows.matrix.shape
    return n, width


def moved(rows: Rows, n_rows: int) -> Rows:
    """Rows of a matrix with so many rows before them."""
    return rows._replace(ids=rows.ids + n_rows)


def of_identity(data: ShardData, n_before: int) -> Rows:
    """The users of a shard who were known by their own features alone, n_before in other shards."""
    n = len(data.ids)
    return Rows(data.ids, empty_rows(n, 0), n_before + np.arange(n), np.ones(n, bool))


def new(ids: Array, matrix: Any) -> Rows:
    n = len(ids)
    return Rows(ids, matrix, np.full(n, -1, np.int64), np.zeros(n, bool))


# ---- rows of users and items ---------------------------------------------------------------------


def _over(before: Sequence[Rows], new: Sequence[Rows], ids: Array, is_told: Array) -> Rows:
    """The rows of all these ids: what is new, and what was known before and is not told anew."""
    numbers = blocks_of.numbering(ids)
    matrix = empty_rows(len(ids), len(is_told))
    for parts in (before, new):
        parts = [part for part in parts if len(part.ids)]
        if parts:
            wide = [
                sp.csr_matrix((csr.data, csr.indices, csr.indptr), (csr.shape[0], len(is_told)))
                for csr in (part.matrix for part in parts)
            ]
            rows = sp.vstack(wide, format="csr", dtype=np.float32)
            at = np.concatenate([numbers.of(part.ids) for part in parts])
            matrix = placed(matrix, len(ids), at, rows, is_told)
    own, has_own = np.full(len(ids), -1, np.int64), np.zeros(len(ids), bool)
    for part in before:
        at = numbers.of(part.ids)
        own[at], has_own[at] = part.own, part.has_own
    return Rows(ids, matrix, own, has_own)


def _numbered(rows: Rows, first_own: int, is_busy: Array) -> Rows:
    """The rows, with columns for the own features of those who have none yet."""
    is_new = rows.own < 0
    own = rows.own.copy()
    own[is_new] = first_own + np.arange(np.count_nonzero(is_new))
    return rows._replace(own=own, has_own=rows.has_own | is_busy)


def _features(rows: Rows, places: Array, n_columns: int) -> Any:
    """What is told, weighed, and the own features, in the columns of the whole."""
    return with_own(weighted(rows.matrix, places, n_columns), np.where(rows.has_own, rows.own, -1))


def grown(places: Array | None, width: int, n_columns: int) -> Array:
    """The columns of so many features, those that are new after n_columns others."""
    known = np.empty(0, np.int64) if places is None else places
    return np.append(known, n_columns + np.arange(width - len(known)))


def of_items(
    encoded: Encoded | None,
    told: Told | None,
    known: Array | None,
    n_columns: int,
    item_ids: Array,
    item_counts: Array,
) -> tuple[Told, Any]:
    """The item side, of tables: what is known of it from now on, and its matrix.

    Parameters
    ----------
    encoded : Encoded or None
        The table that is given.
    told : Told or None
        What was told before.
    known : ndarray or None
        The ids of the items that were known before, which had n_columns features.
    item_ids, item_counts : ndarray [n_items]
        Of all items, those that were known first.
    """
    before = [] if told is None else [told.rows]
    if told is None and known is not None:
        n = len(known)
        before = [Rows(known, empty_rows(n, 0), np.arange(n), np.ones(n, bool))]
    if encoded is not None:
        encoder, column = encoded.encoder, encoded.column
        rows = _over(before, [encoded.rows], item_ids, encoded.is_told)
    else:
        assert told is not None and told.encoder is not None
        encoder, column = told.encoder, told.column
        rows = _over(before, [], item_ids, np.zeros(len(encoder.feature_names_), bool))
    n_new = len(item_ids) - (0 if known is None else len(known))
    rows = _numbered(rows, n_columns, item_counts > 0)
    places = grown(told and told.places, len(encoder.feature_names_), n_columns + n_new)
    n_columns = len(item_ids) + len(places)
    return Told(encoder, column, places, rows), _features(rows, places, n_columns)


def split(rows: Rows, deal: Deal) -> tuple[Rows, ...]:
    """The rows of each shard."""
    shards = deal.shard_of(rows.ids)
    parts = (np.flatnonzero(shards == shard) for shard in range(deal.n_shards))
    return tuple(Rows(*(part[at] for part in rows)) for at in parts)


def join(
    pieces: Sequence[Block],
    before: Sequence[Rows],
    new: Sequence[Rows],
    is_told: Array,
    n_items: int,
    make: Any = None,
) -> Joined:
    """The pieces of a shard as one, and what is told of all users in them or in the rows.

    For `make` see `blocks.joined`.
    """
    rows = [*before, *new]
    ids = blocks_of.union([*(piece.users for piece in pieces), *(part.ids for part in rows)])
    return Joined(blocks_of.joined(pieces, ids, n_items, make), _over(before, new, ids, is_told))


def sizes(joined: Joined) -> tuple[int, int, int]:
    """How many users, interactions, and users without a feature of their own there are."""
    return *blocks_of.sizes(joined.data), int((joined.rows.own < 0).sum())


def used(joined: Joined) -> Array:
    """The told features that anybody in a shard has, ascending."""
    return np.unique(joined.rows.matrix.indices)


def shared(used_by_shards: Sequence[Array], n_told: int) -> Shared:
    """Who has which told features, of all shards."""
    counts = np.bincount(np.concatenate(used_by_shards), minlength=n_told)
    return Shared(np.flatnonzero(counts > 1), np.flatnonzero(counts == 0))


def finish(
    joined: Joined,
    shard: int,
    first_own: int,
    among: Shared,
    places: Array | None,
    n_columns: int,
) -> tuple[ShardData, Rows]:
    """A shard with its features, numbered anew: private ones first. `places` is None of a matrix.

    Features that nobody has are private to the first shard: they need a row somewhere.
    """
    data, rows = joined
    private, common = np.setdiff1d(used(joined), among.shared), among.shared
    if shard == 0:
        private = np.append(private, among.nobody)
    matrix = rows.matrix
    if places is not None:
        rows = _numbered(rows, first_own, np.diff(data.interactions.indptr) > 0)
        matrix = _features(rows, places, n_columns)
        private, common = np.append(places[private], rows.own), np.sort(places[common])
    private = np.sort(private).astype(np.int64)
    of_private, is_private = blocks_of.places_of(matrix.indices, private)
    of_common = blocks_of.places_of(matrix.indices, common)[0]
    columns = np.where(is_private, of_private, len(private) + of_common)
    shape = len(rows.ids), len(private) + len(common)
    local = sp.csr_matrix((matrix.data, columns, matrix.indptr), shape=shape)
    return data._replace(user_features=local, private=private), rows
