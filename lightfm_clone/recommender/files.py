"""One file for all of a recommender, without pickle.

Its parts are those of `LightFM.save`, `Dataset.save` and the others, each with a header of its own
under "parts" and arrays whose names begin with that of the part, so that what is damaged has a
name. The fingerprint is a hash of the numbering: of ids and features in order. The model carries
that of the numbering it was trained with, and both must agree.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp

from lightfm_clone import persistence
from lightfm_clone._sparse import check_csr, empty_rows
from lightfm_clone._tables import or_installed
from lightfm_clone.data import Dataset
from lightfm_clone.data.encoder import FeatureEncoder
from lightfm_clone.data.item_columns import ItemColumns
from lightfm_clone.lightfm import LightFM
from lightfm_clone.persistence.container import Arrays, Header, part_of, read, write
from lightfm_clone.persistence.files import as_string
from lightfm_clone.persistence.loading import name_in_errors
from lightfm_clone.persistence.plain import from_plain, to_plain
from lightfm_clone.recommender import events, fitting
from lightfm_clone.recommender.ageing import half_life_seconds
from lightfm_clone.recommender.baselines import Baseline, Popularity, Random
from lightfm_clone.recommender.events import Pairs
from lightfm_clone.recommender.item_neighbours import ItemNeighbours
from lightfm_clone.recommender.markov_chain import MarkovChain
from lightfm_clone.recommender.sides import POSITIONS, Side, numbers_of
from lightfm_clone.recommender.with_neighbours import WithNeighbours
from lightfm_clone.typing import Path

_T = TypeVar("_T")

_KIND = "Recommender"
_MODELS = {
    "LightFM": LightFM,
    "Popularity": Popularity,
    "Random": Random,
    "ItemNeighbours": ItemNeighbours,
    "MarkovChain": MarkovChain,
    "WithNeighbours": WithNeighbours,
}
# What names a column in the rules of events.
_COLUMNS = ("user", "item", "timestamp", "event", "weight", "watched")
_PARTS = {"pairs", "model", "numbering", "users", "items", "columns"}


def save(shop: Any, path: Path) -> None:
    """See `Recommender.save`."""
    parts: dict[str, tuple[Header, Arrays]] = {
        "numbering": persistence.dataset_to_parts(shop.dataset_),
        "pairs": _of_pairs(shop.pairs_),
        "model": _of_model(shop.model_),
    }
    for side in (shop._users, shop._items):
        parts[f"{side.name}s"] = _of_side(side)
    if shop.item_columns_ is not None:
        parts["columns"] = shop.item_columns_.to_arrays("")
    fingerprint = fingerprint_of(parts["numbering"][1])
    header = {
        "class": f"{type(shop).__module__}.{type(shop).__qualname__}",
        "required": [],
        "fingerprint": fingerprint,
        "settings": _settings(shop),
        "parts": {name: part for name, (part, _) in parts.items()},
    }
    header["parts"]["model"]["fingerprint"] = fingerprint
    arrays = {
        f"{name}/{key}": array for name, (_, own) in parts.items() for key, array in own.items()
    }
    write(path, _KIND, header, arrays)


def load(cls: type[_T], path: Path, *, mmap: bool, model_class: Any) -> _T:
    """See `Recommender.load`."""
    path = as_string(path)
    with name_in_errors(path):
        header, arrays = read(path, _KIND, mmap=mmap)
        unknown = set(header["parts"]) - _PARTS
        if unknown:
            raise ValueError(
                f"it holds the part {min(unknown)!r}, which this version does not know; it was "
                f"saved by {header['saved_by']}: upgrade lightfm_clone"
            )
        return _restored(cls, header, arrays, model_class)


def fingerprint_of(numbering: Arrays) -> str:
    """A hash of ids and features in order, of what `dataset_to_parts` made."""
    digest = hashlib.sha256()
    for name in sorted(numbering):
        array = np.ascontiguousarray(numbering[name])
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _restored(cls: type[_T], header: Header, arrays: Arrays, model_class: Any) -> _T:
    of = {name: part_of(arrays, name) for name in header["parts"]}
    parts = {
        name: {"saved_by": header["saved_by"], **part} for name, part in header["parts"].items()
    }
    shop: Any = cls.__new__(cls)
    _read_settings(shop, header["settings"])
    numbering, model = of["numbering"], parts["model"]
    found = fingerprint_of(numbering)
    for where, fingerprint in (("file", header["fingerprint"]), ("model", model["fingerprint"])):
        if fingerprint != found:
            raise ValueError(
                f"the {where} and the numbering of ids do not belong together: their fingerprints "
                "differ; save the recommender again as a whole"
            )
    shop.dataset_ = persistence.dataset_from_parts(Dataset, parts["numbering"], numbering)
    shop.model_ = _model(model, of["model"], model_class)
    shop.model = fitting.unfitted(shop.model_)
    n_users, n_items = shop.dataset_.interactions_shape()
    shop.pairs_ = _pairs(parts["pairs"], of["pairs"], (n_users, n_items), len(shop._kinds))
    rules = shop._rules
    for name, n in (("user", n_users), ("item", n_items)):
        side = _side(name, rules[name], parts[f"{name}s"], of[f"{name}s"], n)
        features = shop.dataset_.mapping()[POSITIONS[name][1]]
        encoded = [] if side.encoder is None else side.encoder.feature_names_
        if (numbers_of(encoded, features) < 0).any():
            raise ValueError(f"{name}s make features that the numbering does not have")
        setattr(shop, f"_{name}s", side)
    shop.item_columns_ = None
    if "columns" in parts:
        shop.item_columns_ = ItemColumns.from_arrays(parts["columns"], of["columns"], "")
        if shop.item_columns_.n_items != n_items:
            raise ValueError(f"columns must be those of the {n_items} items")
    shop.report_ = None
    fitting.settle(shop)
    fitting.check_dimensions(shop)
    restored: _T = shop
    return restored


# ---- settings ------------------------------------------------------------------------------------


def _settings(shop: Any) -> Any:
    rules = dict(shop._rules)
    weights = rules.pop("event_weights")
    plain = {
        "rules": rules,
        "event_weights": None if weights is None else [list(pair) for pair in weights.items()],
        "duplicates": shop._duplicates,
        "kinds": list(shop._kinds),
        "tables": shop._kind,
    }
    return to_plain(plain, "a setting")


def _read_settings(shop: Any, plain: Any) -> None:
    settings = from_plain(plain)
    rules, weights, kinds = settings["rules"], settings["event_weights"], settings["kinds"]
    if rules.keys() != {*_COLUMNS, "min_watched", "half_life"}:
        raise ValueError(f"its rules of events are {', '.join(map(str, rules))}, as none can be")
    if {type(rules[name]) for name in _COLUMNS} - {type(None), str, int, float, bytes, tuple}:
        raise ValueError("its rules of events must name columns by texts, numbers or tuples")
    if None in (rules["user"], rules["item"]) or (rules["event"] is None) != (kinds == []):
        raise ValueError("its rules of events must name the columns of users, items and kinds")
    hash(tuple(rules.values()))
    if rules["half_life"] is not None:
        half_life_seconds(rules["half_life"])
    shop._rules = {**rules, "event_weights": None if weights is None else dict(weights)}
    numbers = [rules["min_watched"], *(shop._rules["event_weights"] or {}).values()]
    if not all(type(n) in (int, float) and 0 <= n < math.inf for n in numbers):
        raise ValueError(f"its weights of events cannot be {numbers}")
    if type(kinds) is not list or len(set(kinds)) < len(kinds):
        raise ValueError(f"its kinds of events cannot be {kinds!r}")
    events.check_duplicates(settings["duplicates"])
    if type(settings["tables"]) is not str:
        raise ValueError(f"it cannot make tables of {settings['tables']!r}")
    shop._duplicates, shop._kinds = settings["duplicates"], kinds
    shop._kind = or_installed(settings["tables"])


# ---- the model -----------------------------------------------------------------------------------


def _of_model(model: Any) -> tuple[Header, Arrays]:
    kind = next((name for name, cls in _MODELS.items() if isinstance(model, cls)), None)
    if kind is None:
        raise TypeError(
            f"a {type(model).__name__} cannot be saved: a file holds models of the classes "
            f"{', '.join(_MODELS)}; pickle the recommender instead"
        )
    if isinstance(model, Baseline | WithNeighbours):
        header, arrays = model.to_parts()
    else:
        header, arrays = persistence.model_to_parts(model)
    return {**header, "kind": kind}, arrays


def _model(header: Header, arrays: Arrays, model_class: Any) -> Any:
    cls: Any = model_class or _MODELS.get(header["kind"])
    if cls is None:
        raise ValueError(f"it holds a model of the kind {header['kind']!r}, which is not known")
    if header["kind"] == "WithNeighbours" and issubclass(cls, LightFM):
        return WithNeighbours.from_parts(header, arrays, cls)
    if issubclass(cls, Baseline | WithNeighbours):
        return cls.from_parts(header, arrays)
    return persistence.model_from_parts(cls, header, arrays)


# ---- pairs and sides -----------------------------------------------------------------------------


def _of_pairs(pairs: Pairs) -> tuple[Header, Arrays]:
    arrays: Arrays = {"indptr": pairs.indptr.astype("<i8"), "items": pairs.indices}
    for name in ("weights", "kinds", "times"):
        values = getattr(pairs, name)
        if values is not None:
            arrays[name] = values
    return {"n_events": pairs.n_events, "n_repeats": pairs.n_repeats}, arrays


def _pairs(header: Header, arrays: Arrays, shape: tuple[int, int], n_kinds: int) -> Pairs:
    indptr, items = arrays["indptr"], arrays["items"]
    check_csr(indptr, items, shape, "pairs")
    types = {"weights": np.dtype(np.float32), "times": np.dtype(np.float64)}
    if n_kinds:
        types["kinds"] = np.min_scalar_type((1 << n_kinds) - 1)
    for name, array in arrays.items():
        if name in ("indptr", "items"):
            continue
        if array.shape != items.shape or array.dtype != types.get(name):
            raise ValueError(f"pairs/{name} cannot be {array.dtype} of shape {array.shape}")
        is_number = array < 1 << n_kinds if name == "kinds" else np.isfinite(array)
        if name == "times":
            is_number = np.abs(array) < 2**62  # seconds of datetime64
        if not is_number.all() or (name == "weights" and (array < 0).any()):
            raise ValueError(f"pairs/{name} holds numbers that cannot be")
    if ("kinds" in arrays) != (n_kinds > 0):
        raise ValueError(f"pairs cannot have {n_kinds} kinds of events and hold none")
    for name in ("n_events", "n_repeats"):
        if type(header[name]) is not int or header[name] < 0:
            raise ValueError(f"pairs cannot have {name}={header[name]!r}")
    if shape[0] and indptr[-1] < 2**31:
        indptr = indptr.astype(np.int32)
    return Pairs(
        shape,
        indptr,
        items,
        arrays.get("weights"),
        arrays.get("kinds"),
        arrays.get("times"),
        header["n_events"],
        header["n_repeats"],
    )


def _of_side(side: Side) -> tuple[Header, Arrays]:
    if side.encoder is None:
        return {"encoder": None}, {}
    encoded = side.encoded
    return {"encoder": side.encoder.to_plain()}, {
        "indptr": encoded.indptr.astype("<i8"),
        "features": encoded.indices.astype("<i4", copy=False),
        "values": encoded.data,
    }


def _side(name: str, column: Any, header: Header, arrays: Arrays, n: int) -> Side:
    side = Side(name, column, {})
    width = 0
    if header["encoder"] is not None:
        side.encoder = FeatureEncoder.from_plain(header["encoder"])
        side.encoder.argument = f"{name}s"
        side.rules = dict(side.encoder.columns or {})
        width = len(side.encoder.feature_names_)
        indptr, features, values = arrays["indptr"], arrays["features"], arrays["values"]
        check_csr(indptr, features, (n, width), f"{name}s")
        if values.shape != features.shape or values.dtype != np.float32:
            raise ValueError(f"{name}s/values cannot be {values.dtype} of shape {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError(f"{name}s/values must be finite")
        side.encoded = sp.csr_matrix((values, features, indptr), shape=(n, width))
    else:
        side.encoded = empty_rows(n, 0)
    return side
