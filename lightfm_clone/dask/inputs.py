"""What a fit is given, of any kind, as blocks of interactions and rows of features on a cluster."""

from __future__ import annotations

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
from lightfm_clone.dask import features
from lightfm_clone.dask.blocks import ARGUMENT, Names
from lightfm_clone.dask.features import Told
from lightfm_clone.data import columns as columns_of

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


# ---- interactions --------------------------------------------------------------------------------


def read(client: Any, interactions: Any, sample_weight: Any, n_workers: int) -> Blocks:
    """Interactions of any kind, as `tables.deal` takes them, as blocks that are being read."""
    interactions = opened(interactions, ARGUMENT)
    is_list = isinstance(interactions, list | tuple) and len(interactions) > 0
    columns = columns_of_table(interactions)
    if columns is not None:
        names = _names(columns)
        _refuse_weights(sample_weight)
        taken = [name for name in names if name is not None]
        futures = of_partitions(client, interactions, taken, n_workers, blocks_of.of_table, names)
        return Blocks(futures, None, names)
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
    kind = f"{type(interactions).__module__}.{type(interactions).__qualname__}"
    raise ValueError(f"{ARGUMENT} must be {_KINDS}, got {kind}")


def columns_of_table(given: Any) -> list[Hashable] | None:
    """The columns of a dask DataFrame, or a table of the client; None of anything else."""
    if isinstance(given, dask.dataframe.DataFrame):
        return list(given.columns)
    if columns_of.library(given) and columns_of.split(given):
        return list(columns_of.by_name(given, ARGUMENT))
    return None


def of_partitions(
    client: Any, table: Any, columns: list[Any], n_workers: int, function: Any, *args: Any
) -> list[Any]:
    """What a function makes of each partition of a table, with these columns; futures.

    A table of the client is cut into parts.
    """
    if isinstance(table, dask.dataframe.DataFrame):
        make = delayed(function, pure=True)
        parts = table[columns].to_delayed()
        made: list[Any] = client.compute([make(part, *args) for part in parts])
        return made
    table = table.select(columns) if hasattr(table, "select") else table[columns]
    size = max(min(_PART, -(-len(table) // max(n_workers, 1))), 1)
    parts = [table[begin : begin + size] for begin in range(0, max(len(table), 1), size)]
    # Not pure: to Dask all slices of a table of pyarrow are the same.
    further = [[one] * len(parts) for one in args]
    made = client.map(function, parts, *further, pure=False)
    return made


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
            f"'weight' and 'timestamp', got {unknown!r} as well; rename it, or leave it out, as "
            f"interactions[[{user!r}, {item!r}]] does (of files, dask.dataframe.read_parquet(path, "
            f"columns=[{user!r}, {item!r}]))"
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
    blocks, shape = _below(client, futures, blocks_of, ARGUMENT)
    return Blocks(blocks, shape, None)


def _below(client: Any, futures: list[Any], of: Any, name: str) -> tuple[list[Any], Any]:
    """Blocks of rows of a matrix, one below the other, whose sizes are not known before.

    `of` is the module that the blocks are of. The second is the shape of the matrix.
    """
    shapes = client.gather(client.map(of.shape_of, futures))
    widths = sorted({width for _, width in shapes})
    if len(widths) > 1:
        raise ValueError(
            f"all blocks of {name} must have the same columns, got blocks of {widths[0]} to "
            f"{widths[-1]}; give each the shape (its users, all columns)"
        )
    *before, n_rows = accumulate((n for n, _ in shapes), initial=0)
    if n_rows > checks.MAX_ID:
        raise ValueError(f"{name} may have at most 2**31 - 1 rows, got {n_rows}")
    return client.map(of.moved, futures, before), (n_rows, widths[0])


# ---- features ------------------------------------------------------------------------------------


def encoded(client: Any, given: Any, side: str, told: Told | None) -> Any:
    """A future of a table of features, encoded on a worker; `told` is what was told before."""
    if isinstance(given, features.Encoded):  # by a recommender
        return submit(client, features.same, given)
    name = f"{side}_features"
    table = opened(given, name)
    if isinstance(table, dask.dataframe.DataFrame):
        table = client.compute(table)
    elif columns_of.split(table) is None:
        raise ValueError(
            f"{name} must be a table with the ids of {side}s, as {ARGUMENT} are a table of ids "
            "(a dask DataFrame, paths of Parquet files, a table of pandas, polars or pyarrow), got "
            f"{type(table).__module__}.{type(table).__qualname__}"
        )
    encoder, column = (None, None) if told is None else (told.encoder, told.column)
    return client.submit(features.encode, table, side, encoder, column, pure=False)  # as above


def refuse_table(given: Any, side: str) -> None:
    """Refuse a table of features beside a matrix of interactions."""
    is_table = isinstance(given, dask.dataframe.DataFrame | str | os.PathLike)
    if is_table or columns_of.split(given) is not None:
        raise ValueError(
            f"{side}_features must be a matrix with a row for each {side}, as {ARGUMENT} are a "
            f"matrix of row numbers, got {type(given).__module__}.{type(given).__qualname__}; pass "
            f"{ARGUMENT} as a table with ids, too"
        )


def matrix_of_users(client: Any, given: Any, n_users: int, n_workers: int) -> Any:
    """Futures of the rows of a matrix of the features of users, and its shape; or None.

    None is the identity.
    """
    refuse_table(given, "user")
    name = "user_features"
    if isinstance(given, dask.array.Array):
        read = delayed(features.of_matrix, pure=True)
        futures = client.compute([read(part) for part in _whole_rows(given, name)])
    else:
        checked = checks.check_features(given, name, n_users)
        if checked.parts is None and checked.n_rows == n_users:
            return None
        edges = np.linspace(0, checked.n_rows, max(n_workers, 1) + 1).astype(np.int64)
        parts = [checked.matrix[a:b] for a, b in zip(edges[:-1], edges[1:], strict=True)]
        futures = client.map(features.of_matrix, parts)
    rows, shape = _below(client, futures, features, name)
    if shape[0] < n_users:
        raise ValueError(
            f"{name} must have a row for each of the {n_users} users of {ARGUMENT}, got {shape[0]} "
            "rows"
        )
    return rows, shape


def submit(client: Any, function: Any, *args: Any) -> Any:
    """A task that holds ids of items, or a table, which may be large."""
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
        return client.submit(function, *args)


def opened(given: Any, name: str) -> Any:
    """A dask DataFrame of paths of Parquet files; what is no path as it is."""
    paths = [given] if isinstance(given, str | os.PathLike) else given
    if not isinstance(paths, list | tuple) or not paths:
        return given
    if not all(isinstance(one, str | os.PathLike) for one in paths):
        return given
    try:
        return dask.dataframe.read_parquet([os.fspath(path) for path in paths])
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(
            f"{name} cannot be read as Parquet from {paths[0]!r}: {error}; save it as Parquet, or "
            "pass a dask DataFrame"
        ) from error
