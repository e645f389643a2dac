"""What is kept of a shard between calls: all but its interactions; and the file that holds it.

Everything that a file claims is checked as if a stranger had written it, as in `persistence`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from lightfm_clone._model import state as state_of
from lightfm_clone._sparse import check_csr, empty_rows
from lightfm_clone.dask.dealing import kind_of
from lightfm_clone.dask.features import Rows
from lightfm_clone.dask.shards import USER_ARRAYS, Array, ShardData, ShardState
from lightfm_clone.persistence.container import Arrays, Header, part_of
from lightfm_clone.persistence.datasets import keys_from_arrays
from lightfm_clone.persistence.models import random_state_from_plain, random_state_to_plain

_KINDS = ("whole numbers", "texts")


class Part(NamedTuple):
    """A shard without its interactions."""

    data: ShardData
    state: ShardState
    told: Rows | None  # what tables tell of its users


class Frame(NamedTuple):
    """What a shard must fit: what all of a model have in common."""

    kind: str  # of the ids of users
    n_items: int
    n_shared: int
    n_user_features: int  # of the whole
    has_user_features: bool
    n_told: int | None  # features that tables tell of; None where there is no table
    no_components: int


def of_shard(data: ShardData, state: ShardState, told: Rows | None) -> Part:
    """The part of a shard."""
    nothing = empty_rows(data.n_users, data.interactions.shape[1])
    return Part(data._replace(interactions=nothing, weights=None), state, told)


# ---- files ---------------------------------------------------------------------------------------


def to_arrays(part: Part) -> tuple[Header, Arrays]:
    """What a file holds of a part."""
    data, state, told = part
    arrays = {**ids_to_arrays(data.ids, "ids"), **state.arrays}
    if data.private is not None:
        arrays["private"] = data.private
    if data.user_features is not None:
        arrays |= csr_to_arrays(data.user_features, "user_features")
    if told is not None:
        arrays |= rows_to_arrays(told, "told")
    return {"random_state": random_state_to_plain(state.random_state)}, arrays


def from_arrays(header: Header, arrays: Arrays, frame: Frame) -> Part:
    """The part of `to_arrays`; a ValueError for what cannot be one of this model."""
    ids = ids_from_arrays(arrays, "ids", frame.kind)
    if not (ids[1:] > ids[:-1]).all():
        raise ValueError("the ids of users must rise")
    private = features = None
    n_rows = len(ids)
    if frame.has_user_features:
        private = numbers(arrays, "private", frame.n_user_features)
        n_rows = len(private)
        features = csr_from_arrays(arrays, "user_features", (len(ids), n_rows + frame.n_shared))
    n_rows += frame.n_shared
    of_users = {}
    for name in USER_ARRAYS:
        shape = (n_rows, frame.no_components)[: state_of.ARRAYS[name]]
        of_users[name] = checked(arrays, name, np.float32, shape)
    told = None
    if frame.n_told is not None:
        told = rows_from_arrays(arrays, "told", ids, frame.n_told, frame.n_user_features)
    data = ShardData(ids, empty_rows(len(ids), frame.n_items), None, features, private)
    return Part(data, ShardState(of_users, random_state_from_plain(header["random_state"])), told)


def ids_to_arrays(ids: Array, name: str) -> Arrays:
    """Ids, whole numbers or texts, as arrays."""
    if kind_of(ids) == "whole numbers":
        return {name: ids.astype("<i8", copy=False)}
    text = "".join(ids).encode("utf-8", "surrogatepass")
    lengths = np.fromiter(map(len, ids), "<i8", len(ids))
    return {name: np.frombuffer(text, np.uint8), f"{name}_lengths": lengths}


def ids_from_arrays(arrays: Arrays, name: str, kind: str) -> Array:
    if kind not in _KINDS:
        raise ValueError(f"{name} cannot be {kind!r}")
    if kind == "whole numbers":
        return checked(arrays, name, np.int64, arrays[name].shape[:1])
    texts = keys_from_arrays(name, {"type": "str"}, arrays)
    ids = np.empty(len(texts), object)
    ids[:] = texts
    return ids


def csr_to_arrays(matrix: Any, name: str) -> Arrays:
    return {
        f"{name}/indptr": matrix.indptr.astype("<i8"),
        f"{name}/indices": matrix.indices.astype("<i4", copy=False),
        f"{name}/values": matrix.data.astype("<f4", copy=False),
    }


def csr_from_arrays(arrays: Arrays, name: str, shape: tuple[int, int]) -> Any:
    parts = part_of(arrays, name)
    indptr, indices, values = parts["indptr"], parts["indices"], parts["values"]
    check_csr(indptr, indices, shape, name, rows_rise=False)
    checked(parts, "values", np.float32, indices.shape)
    if not np.isfinite(values).all():
        raise ValueError(f"{name}/values must be finite")
    matrix: Any = sp.csr_matrix
    return matrix((values, indices, indptr), shape=shape)


def rows_to_arrays(rows: Rows, name: str) -> Arrays:
    """What is told of some users or items, but for their ids."""
    return {
        **csr_to_arrays(rows.matrix, f"{name}/matrix"),
        f"{name}/own": rows.own.astype("<i8", copy=False),
        f"{name}/has_own": rows.has_own.astype(np.uint8),
    }


def rows_from_arrays(arrays: Arrays, name: str, ids: Array, n_told: int, n_columns: int) -> Rows:
    n = len(ids)
    matrix = csr_from_arrays(arrays, f"{name}/matrix", (n, n_told))
    own = checked(arrays, f"{name}/own", np.int64, (n,))
    has_own = checked(arrays, f"{name}/has_own", np.uint8, (n,)).astype(bool)
    if n and not -1 <= own.min() <= own.max() < n_columns:
        raise ValueError(f"{name}/own must hold numbers from -1 to {n_columns - 1}")
    return Rows(ids, matrix, own, has_own)


def numbers(arrays: Arrays, name: str, n: int) -> Array:
    """An array of numbers below n, int64, distinct and ascending."""
    array = checked(arrays, name, np.int64, arrays[name].shape[:1])
    if len(array) and (array[0] < 0 or array[-1] >= n or (np.diff(array) <= 0).any()):
        raise ValueError(f"{name} must hold rising numbers below {n}")
    return array


def checked(arrays: Arrays, name: str, dtype: Any, shape: tuple[int, ...]) -> Array:
    """An array that must be of this type and shape."""
    array = arrays[name]
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(
            f"{name} must be {np.dtype(dtype)} of shape {shape}, got {array.dtype} of {array.shape}"
        )
    return array
