"""Datasets: their ids and names of features as arrays."""

from __future__ import annotations

from contextlib import suppress
from itertools import compress, count
from operator import eq, is_not
from typing import Any, TypeVar

import numpy as np

from lightfm_clone.persistence.container import Arrays, Header, write
from lightfm_clone.persistence.loading import load, restore
from lightfm_clone.persistence.plain import from_json, from_plain, json_bytes, to_plain, to_python
from lightfm_clone.typing import Id, Path

_T = TypeVar("_T")

_FLAGS = {side: f"{side}_identity_features" for side in ("user", "item")}
_MAX_ALIKE = 10_000  # ids of the same hash


def save_dataset(dataset: Any, path: Path) -> None:
    """Write a dataset to a file; see `Dataset.save`."""
    write(path, "Dataset", *dataset_to_parts(dataset))


def dataset_to_parts(dataset: Any) -> tuple[Header, Arrays]:
    """What a file holds of a dataset."""
    user_ids, user_features, item_ids, item_features = dataset.mapping()
    mappings: dict[str, Any] = {}
    arrays: Arrays = {}
    for side, of_ids, of_features in (
        ("user", user_ids, user_features),
        ("item", item_ids, item_features),
    ):
        ids = _keys_in_order(of_ids, f"{side} ids")
        features = _keys_in_order(of_features, f"{side} features")
        # Identity features come first, and are the ids themselves.
        shared = next(compress(count(), map(is_not, ids, features)), min(len(ids), len(features)))
        for name, keys in ((f"{side}_ids", ids), (f"{side}_features", features[shared:])):
            mappings[name], parts = keys_to_arrays(keys, f"{side} {name[5:-1]}")
            arrays |= {f"{name}{suffix}": array for suffix, array in parts.items()}
        mappings[f"{side}_features"]["ids_first"] = shared
    header = {
        "class": f"{type(dataset).__module__}.{type(dataset).__qualname__}",
        "required": [],
        **{flag: bool(getattr(dataset, f"_{flag}")) for flag in _FLAGS.values()},
        "mappings": mappings,
    }
    return header, arrays


def load_dataset(cls: type[_T], path: Path) -> _T:
    """Read a dataset of class `cls` from a file; see `Dataset.load`."""
    return load(cls, path, "Dataset", set(), _to_state)


def dataset_from_parts(cls: type[_T], header: Header, arrays: Arrays) -> _T:
    """The dataset of what `dataset_to_parts` made."""
    return restore(cls, header, arrays, set(), _to_state)


def _to_state(header: Header, arrays: Arrays) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for side, flag in _FLAGS.items():
        if type(header[flag]) is not bool:
            raise ValueError(f"{flag} must be true or false, got {header[flag]!r}")
        state[f"_{flag}"] = header[flag]
        ids, features = (
            keys_from_arrays(name, header["mappings"][name], arrays)
            for name in (f"{side}_ids", f"{side}_features")
        )
        shared = header["mappings"][f"{side}_features"]["ids_first"]
        if type(shared) is not int or not 0 <= shared <= len(ids):
            raise ValueError(f"{side}_features cannot begin with {shared!r} ids")
        for name, keys in (("id", ids), ("feature", ids[:shared] + features)):
            mapping = dict(zip(keys, count()))
            if len(mapping) != len(keys):
                raise ValueError(f"some {side} {name}s occur twice")
            state[f"_{side}_{name}_mapping"] = mapping
    return state


def _keys_in_order(mapping: dict[Id, int], what: str) -> list[Id]:
    if not all(map(eq, mapping.values(), count())):
        raise ValueError(
            f"the mapping of {what} must number them 0, 1, 2 ... in its order; it was changed from "
            "outside: number them anew with Dataset.fit"
        )
    return list(mapping)


def keys_to_arrays(keys: list[Any], noun: str) -> tuple[dict[str, Any], Arrays]:
    """How ids, or names of features, are stored, and the arrays, by the suffix of their names."""
    types = set(map(type, keys))
    if any(issubclass(kind, np.generic) for kind in types):
        keys = list(map(to_python, keys))
        types = set(map(type, keys))
    if types == {int}:
        with suppress(OverflowError):  # beyond 64 bits
            return {"type": "int"}, {"": np.array(keys, dtype="<i8")}
    if types == {float} and not any(key != key for key in keys):
        return {"type": "float"}, {"": np.array(keys, dtype="<f8")}
    if types == {str} or types == {bytes}:
        (kind,) = types
        joined = kind().join(keys)
        text = joined.encode("utf-8", "surrogatepass") if kind is str else joined
        return {"type": kind.__name__}, {
            "": np.frombuffer(text, dtype=np.uint8),
            "_lengths": np.fromiter(map(len, keys), "<i8", len(keys)),
        }
    for key in keys:
        if _holds_nan(key):
            raise ValueError(
                f"the {noun} {key!r} cannot be saved: NaN equals nothing, so it could not be found "
                "again; leave missing values out before Dataset.fit"
            )
    plain = []
    for key in keys:
        try:
            plain.append(to_plain(key))
        except TypeError:
            raise TypeError(
                f"the {noun} {key!r} of type {type(key).__name__} cannot be saved: ids and names "
                "of features must be str, bytes, int, float, bool, None, or tuples of these; "
                "convert them before Dataset.fit, with str() for instance, or pickle the dataset"
            ) from None
    text = json_bytes(plain)
    return {"type": "json"}, {"": np.frombuffer(text, dtype=np.uint8)}


def keys_from_arrays(name: str, layout: dict[str, Any], arrays: Arrays) -> list[Any]:
    kind, array = layout["type"], arrays[name]
    expected = {"int": np.int64, "float": np.float64}.get(kind, np.uint8)
    if array.dtype != expected or array.ndim != 1:
        raise ValueError(f"{name} cannot be {array.dtype} with {array.ndim} dimensions")
    keys: list[Any]
    if kind in ("int", "float"):
        keys = array.tolist()
        return keys
    if kind == "json":
        keys = from_plain(from_json(array.tobytes()))
        if type(keys) is not list:
            raise ValueError(f"{name} must be a list")
        # Of strings, bytes and 64-bit numbers nobody can make many that hash alike, but of tuples
        # and longer integers: a dictionary would take hours over those.
        hashes = np.fromiter(map(hash, keys), np.int64, len(keys))
        if len(keys) and np.unique(hashes, return_counts=True)[1].max() > _MAX_ALIKE:
            raise ValueError(f"more than {_MAX_ALIKE} of {name} have the same hash")
        return keys
    if kind not in ("str", "bytes"):
        raise ValueError(f"{name} cannot be of type {kind!r}")
    text: Any = array.tobytes()
    if kind == "str":
        text = text.decode("utf-8", "surrogatepass")
    lengths = arrays[f"{name}_lengths"]
    if lengths.dtype != np.int64 or lengths.ndim != 1:
        raise ValueError(f"{name}_lengths cannot be {lengths.dtype} with {lengths.ndim} dimensions")
    ends = np.cumsum(lengths)
    if (lengths < 0).any() or (ends < 0).any() or (ends[-1] if len(ends) else 0) != len(text):
        raise ValueError(f"{name}_lengths must add up to the length of {name}")
    ends = ends.tolist()
    return [text[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def _holds_nan(value: Any) -> bool:
    return any(map(_holds_nan, value)) if type(value) is tuple else bool(value != value)
