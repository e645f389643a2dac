"""Saving and loading models and datasets: NumPy arrays and a JSON header in one file, no pickle.

The container, little-endian throughout; docs/persistence.md describes it for other readers::

    8 bytes   signature, made so that transfers in text mode or of 7 bits damage it visibly
    uint32    version of the format
    uint32    CRC-32 of the header
    uint64    size of the header in bytes
    header    JSON in UTF-8, padded with spaces to a multiple of 64 from the start of the file
    arrays    in the header's order, each from the next multiple of 64 on

Everything that a file claims is checked against its size before memory is taken for it, and its
values are checked as if a stranger had written them: loading executes nothing that is in a file.
"""

from __future__ import annotations

import base64
import errno
import inspect
import json
import math
import mmap as memory_map
import os
import secrets
import stat
import struct
import zlib
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from itertools import compress, count
from operator import eq, is_not
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np

from lightfm_clone import _checks as checks
from lightfm_clone._model.state import ARRAYS, SIDES
from lightfm_clone._version import __version__

FORMAT_VERSION = 1

_SIGNATURE = b"\x89LFM\r\n\x1a\n"
_PREAMBLE = struct.Struct("<8sIIQ")
_ALIGNMENT = 64  # a cache line, so that mapped arrays are as good as any others
_DTYPES = ("<f4", "<f8", "<i8", "|u1")

_MAX_ALIKE = 10_000  # ids of the same hash

_T = TypeVar("_T")
_Path = str | os.PathLike[str]


# ---- models --------------------------------------------------------------------------------------


class _Attribute(NamedTuple):
    """What a model holds besides its parameters and arrays."""

    default: Any  # plain; stands in where the model, or the file, is older than the attribute
    to_plain: Callable[[Any], Any]
    from_plain: Callable[[Any], Any]  # raises ValueError for what cannot be


def _seed(value: Any) -> Any:
    # A RandomState or a Generator has moved on since; the random state itself is saved apart.
    return value if value is None or isinstance(value, int | np.integer) else None


def _names_of_features(value: Any) -> frozenset[str]:
    names = frozenset(value)
    if not names <= {"item_features", "user_features"}:
        raise ValueError(f"no model is fitted with {value!r}")
    return names


def _history(value: Any) -> list[dict[str, Any]]:
    if type(value) is not list or not all(type(record) is dict for record in value):
        raise ValueError("history_ must be a list of dicts")
    return list(value)


def _finite(value: Any) -> float:
    if type(value) is not float or not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite float")
    return value


# The one list of what is saved besides parameters, random state and arrays. A new attribute of the
# model is a line here; files that lack it get the default.
_ATTRIBUTES = {
    "_fitted_with": _Attribute([], sorted, _names_of_features),
    "history_": _Attribute([], list, _history),
    "global_mean_": _Attribute(0.0, float, _finite),
    "initial_random_state": _Attribute(None, _seed, _seed),
}


def save_model(model: Any, path: _Path) -> None:
    """Write a model to a file; see `LightFM.save`."""
    parameters = checks.check_parameters(model.get_params(), least_max_sampled=0)
    random_state = _random_state_to_plain(parameters.pop("random_state"))
    plain = {name: _to_plain(value, f"the parameter {name}") for name, value in parameters.items()}
    attributes = {}
    for name, (default, to_plain, _) in _ATTRIBUTES.items():
        value = to_plain(getattr(model, name)) if hasattr(model, name) else default
        attributes[name] = _to_plain(value, f"the attribute {name}")

    arrays = {}
    for name in ARRAYS:
        given = getattr(model, name)
        if given is not None:
            try:
                array = np.asarray(given, dtype="<f4")
            except (TypeError, ValueError, OverflowError) as error:
                raise ValueError(f"{name} must be an array of numbers: {error}") from error
            arrays[name] = array
    _check_arrays(arrays)

    # An older version, which lacks an option, may ignore it while it has its default.
    defaults = _defaults(type(model))
    required = [name for name, value in plain.items() if value != defaults.get(name, _MISSING)]
    required += [name for name, value in attributes.items() if value != _ATTRIBUTES[name].default]
    header = {
        "class": f"{type(model).__module__}.{type(model).__qualname__}",
        "required": [*required, "random_state", *arrays],
        "parameters": plain,
        "random_state": random_state,
        "attributes": attributes,
    }
    _write(path, "LightFM", header, arrays)


def load_model(cls: type[_T], path: _Path, *, mmap: bool = False) -> _T:
    """Read a model of class `cls` from a file; see `LightFM.load`."""
    path = _as_string(path)
    with _named_in_errors(path):
        header, arrays = _read(path, "LightFM", mmap=mmap)
        defaults = _defaults(cls)
        _check_required(header, {*defaults, *_ATTRIBUTES, *ARRAYS, "random_state"}, cls)
        parameters = {
            name: value for name, value in defaults.items() if value is not inspect.Parameter.empty
        }
        saved = _from_plain(header["parameters"])
        parameters |= {name: value for name, value in saved.items() if name in defaults}
        parameters["random_state"] = _random_state_from_plain(header["random_state"])
        state = checks.check_parameters(parameters, least_max_sampled=0)
        attributes = header["attributes"]
        for name, (default, _, from_plain) in _ATTRIBUTES.items():
            state[name] = from_plain(_from_plain(attributes.get(name, default)))
        arrays = {name: arrays[name] for name in ARRAYS if name in arrays}
        _check_arrays(arrays)
        state |= {name: arrays.get(name) for name in ARRAYS}
    return _restored(cls, state)


_MISSING = object()  # equals nothing


def _defaults(cls: type) -> dict[str, Any]:
    """The parameters of the constructors of a class and its bases, with their defaults."""
    defaults = {}
    for base in reversed(cls.__mro__):
        _, *parameters = inspect.signature(base.__init__).parameters.values()
        for parameter in parameters:
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                defaults[parameter.name] = parameter.default
    return defaults


def _check_arrays(arrays: dict[str, np.ndarray]) -> None:
    """Check the arrays that are there for types, and for shapes that fit each other."""
    sizes: dict[str, tuple[str, int]] = {}
    for name, array in arrays.items():
        if array.dtype.str[1:] != "f4" or array.ndim != ARRAYS[name]:
            raise ValueError(
                f"{name} must be float32 with {ARRAYS[name]} dimensions, got {array.dtype} "
                f"with {array.ndim}"
            )
        for axis, size in zip((f"{name[:4]} features", "components"), array.shape, strict=False):
            first, expected = sizes.setdefault(axis, (name, size))
            if size != expected:
                raise ValueError(
                    f"{name} has {size} {axis}, but {first} has {expected}: the arrays of a model "
                    "must fit each other"
                )


def _random_state_to_plain(random_state: np.random.RandomState) -> dict[str, Any]:
    state = random_state.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        raise TypeError(
            f"random_state draws from {state['bit_generator']}, but only RandomState's own "
            "generator, MT19937, can be saved; call set_params(random_state=seed) first"
        )
    return _to_plain(
        {
            "bit_generator": "MT19937",
            "key": state["state"]["key"].astype("<u4").tobytes(),
            "pos": int(state["state"]["pos"]),
            "has_gauss": int(state["has_gauss"]),
            "gauss": float(state["gauss"]),
        },
        "random_state",
    )


def _random_state_from_plain(plain: Any) -> np.random.RandomState:
    state = _from_plain(plain)
    key, position, gauss = state["key"], state["pos"], state["gauss"]
    holds = (
        state["bit_generator"] == "MT19937"
        and type(key) is bytes
        and len(key) == 4 * 624
        and type(position) is int
        and 0 <= position <= 624  # NumPy does not check that, and would read beyond its table
        and type(gauss) is float
    )
    if not holds:
        raise ValueError("its random state is not one of MT19937")
    words = np.frombuffer(key, dtype="<u4").astype(np.uint32)
    random_state = np.random.RandomState(0)
    random_state.set_state(("MT19937", words, position, int(state["has_gauss"] == 1), gauss))
    return random_state


# ---- datasets ------------------------------------------------------------------------------------


def save_dataset(dataset: Any, path: _Path) -> None:
    """Write a dataset to a file; see `Dataset.save`."""
    mappings: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {}
    for side in reversed(SIDES):
        ids = _keys_in_order(getattr(dataset, f"_{side}_id_mapping"), f"{side} ids")
        features = _keys_in_order(getattr(dataset, f"_{side}_feature_mapping"), f"{side} features")
        # Identity features come first, and are the ids themselves.
        shared = next(compress(count(), map(is_not, ids, features)), min(len(ids), len(features)))
        for name, keys in ((f"{side}_ids", ids), (f"{side}_features", features[shared:])):
            mappings[name], parts = _keys_to_arrays(keys, f"{side} {name[5:-1]}")
            arrays |= {f"{name}{suffix}": array for suffix, array in parts.items()}
        mappings[f"{side}_features"]["ids_first"] = shared
    flags = [f"{side}_identity_features" for side in reversed(SIDES)]
    header = {
        "class": f"{type(dataset).__module__}.{type(dataset).__qualname__}",
        "required": [],
        **{flag: bool(getattr(dataset, f"_{flag}")) for flag in flags},
        "mappings": mappings,
    }
    _write(path, "Dataset", header, arrays)


def load_dataset(cls: type[_T], path: _Path) -> _T:
    """Read a dataset of class `cls` from a file; see `Dataset.load`."""
    path = _as_string(path)
    state: dict[str, Any] = {}
    with _named_in_errors(path):
        header, arrays = _read(path, "Dataset")
        _check_required(header, set(), cls)
        for side in reversed(SIDES):
            flag = f"{side}_identity_features"
            if type(header[flag]) is not bool:
                raise ValueError(f"{flag} must be true or false, got {header[flag]!r}")
            state[f"_{flag}"] = header[flag]
            ids, features = (
                _keys_from_arrays(name, header["mappings"][name], arrays)
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
    return _restored(cls, state)


def _keys_in_order(mapping: dict[Hashable, int], what: str) -> list[Hashable]:
    if not all(map(eq, mapping.values(), count())):
        raise ValueError(
            f"the mapping of {what} must number them 0, 1, 2 ... in its order; it was changed from "
            "outside: number them anew with Dataset.fit"
        )
    return list(mapping)


def _keys_to_arrays(
    keys: list[Hashable], noun: str
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """How ids, or names of features, are stored, and the arrays, by the suffix of their names."""
    types = set(map(type, keys))
    if any(issubclass(kind, np.generic) for kind in types):
        keys = list(map(_without_numpy, keys))
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
                f"the {noun} {key!r} cannot be saved: NaN equals nothing, so nobody could find it "
                "again; leave missing values out before Dataset.fit"
            )
    plain = []
    for key in keys:
        try:
            plain.append(_to_plain(key))
        except TypeError:
            raise TypeError(
                f"the {noun} {key!r} of type {type(key).__name__} cannot be saved: ids and names "
                "of features must be str, bytes, int, float, bool, None, or tuples of these; "
                "convert them before Dataset.fit, with str() for instance, or pickle the dataset"
            ) from None
    text = _json_bytes(plain)
    return {"type": "json"}, {"": np.frombuffer(text, dtype=np.uint8)}


def _keys_from_arrays(
    name: str, layout: dict[str, Any], arrays: dict[str, np.ndarray]
) -> list[Hashable]:
    kind, array = layout["type"], arrays[name]
    expected = {"int": np.int64, "float": np.float64}.get(kind, np.uint8)
    if array.dtype != expected or array.ndim != 1:
        raise ValueError(f"{name} cannot be {array.dtype} with {array.ndim} dimensions")
    if kind in ("int", "float"):
        return array.tolist()
    if kind == "json":
        keys = _from_plain(_from_json(array.tobytes()))
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


def _restored(cls: type[_T], state: dict[str, Any]) -> _T:
    """An object of that state, made as unpickling makes one: without the constructor."""
    restored = cls.__new__(cls)
    if hasattr(restored, "__setstate__"):
        restored.__setstate__(state)
    else:
        restored.__dict__.update(state)
    return restored


# ---- plain values: what JSON has, and tagged objects for what it lacks ---------------------------


def _to_plain(value: Any, what: str = "the value") -> Any:
    """A value in terms of JSON, such that `_from_plain` gives the same value of the same type.

    NumPy scalars become the Python values they equal.
    """
    value = _without_numpy(value)
    kind = type(value)
    if value is None or kind in (bool, str):
        return value
    if kind is int:
        return value if -(2**63) <= value < 2**63 else {"$int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if kind is bytes:
        return {"$bytes": base64.b64encode(value).decode()}
    if kind is tuple:
        return {"$tuple": [_to_plain(element, what) for element in value]}
    if kind is list:
        return [_to_plain(element, what) for element in value]
    if kind is dict and all(type(key) is str and not key.startswith("$") for key in value):
        return {key: _to_plain(element, what) for key, element in value.items()}
    raise TypeError(
        f"{what} cannot be saved: it holds {value!r} of type {kind.__name__}, but may only hold "
        "numbers, strings, bytes, bools, None, and tuples, lists or dicts (by strings) of these; "
        "replace it, or pickle the object instead"
    )


def _without_numpy(value: Any) -> Any:
    """The Python value that a NumPy scalar equals and hashes like; anything else as it is."""
    is_scalar = isinstance(value, np.generic) and value.dtype.kind in "biufUS"
    return value.item() if is_scalar else value


def _from_plain(plain: Any) -> Any:
    if type(plain) is list:
        return [_from_plain(element) for element in plain]
    if type(plain) is not dict:
        return plain
    tag = next(iter(plain), "")
    if not tag.startswith("$"):
        return {key: _from_plain(element) for key, element in plain.items()}
    content = plain[tag]
    if tag == "$tuple" and type(content) is list:
        return tuple(map(_from_plain, content))
    if type(content) is str:
        if tag == "$int":
            return int(content, 16)
        if tag == "$float":
            return float(content)
        if tag == "$bytes":
            return base64.b64decode(content, validate=True)
    raise ValueError(f"it holds a value with the tag {tag!r}, which is not known")


def _json_bytes(plain: Any) -> bytes:
    # Left as they are, lone surrogates come back as they were; as escapes, two of them would come
    # back as one character.
    text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def _from_json(text: bytes) -> Any:
    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    return json.loads(text.decode("utf-8", "surrogatepass"), parse_constant=refuse)


# ---- the container -------------------------------------------------------------------------------


def _write(path: _Path, kind: str, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write a file of the given header and arrays."""
    # Flat views of bytes: what CRC-32 and files take, for empty arrays too.
    contents = [np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in arrays.values()]
    entries = [
        {
            "name": name,
            "dtype": array.dtype.str,
            "shape": list(array.shape),
            "crc32": zlib.crc32(content),
        }
        for (name, array), content in zip(arrays.items(), contents, strict=True)
    ]
    header = {"kind": kind, "saved_by": f"lightfm_clone {__version__}", **header, "arrays": entries}
    text = _json_bytes(header)
    text += b" " * (-(_PREAMBLE.size + len(text)) % _ALIGNMENT)
    with _replacing(path) as file:
        file.write(_PREAMBLE.pack(_SIGNATURE, FORMAT_VERSION, zlib.crc32(text), len(text)))
        file.write(text)
        for content in contents:
            file.write(bytes(-file.tell() % _ALIGNMENT))
            file.write(content)


def _read(
    path: str, kind: str, *, mmap: bool = False
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays of a file, read and verified, or mapped and not verified."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ValueError("it is not a regular file")  # opening a pipe would wait for ever
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        header, end = _read_header(file, size)
        if header["kind"] != kind:
            raise ValueError(
                f"it holds a {header['kind']}, not a {kind}; call {header['kind']}.load"
            )

        # Where the arrays lie follows from their order, and all of it is checked before memory is
        # taken for any.
        places = []
        for entry in header["arrays"]:
            dtype, shape = entry["dtype"], entry["shape"]
            if dtype not in _DTYPES:
                raise ValueError(f"it claims an array of type {dtype!r}")
            if not 1 <= len(shape) <= 2 or not all(type(n) is int and 0 <= n for n in shape):
                raise ValueError(f"it claims an array of shape {shape!r}")
            begin = end + -end % _ALIGNMENT
            end = begin + math.prod(shape) * np.dtype(dtype).itemsize
            places.append((entry["name"], begin, dtype, shape, entry["crc32"]))
        if end != size:
            raise ValueError(
                f"it is {'truncated' if size < end else 'damaged'}: it should have {end} bytes, "
                f"but has {size}"
            )
        if len({name for name, *_ in places}) != len(places):
            raise ValueError("it claims an array twice")

        arrays = {}
        if mmap:
            mapped = memory_map.mmap(file.fileno(), 0, access=memory_map.ACCESS_READ)
            for name, begin, dtype, shape, _ in places:
                arrays[name] = np.ndarray(shape, dtype, mapped, begin)
            return header, arrays
        for name, begin, dtype, shape, checksum in places:
            array = np.empty(shape, dtype)
            content = array.reshape(-1).view(np.uint8)
            file.seek(begin)
            if file.readinto(content) != len(content) or zlib.crc32(content) != checksum:
                raise ValueError(f"it is damaged: the checksum of {name} does not match")
            arrays[name] = array.astype(array.dtype.newbyteorder("="), copy=False)
        return header, arrays


def _read_header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """The header of an opened file of that size, and the position of its end."""
    preamble = file.read(_PREAMBLE.size)
    if preamble[: len(_SIGNATURE)] != _SIGNATURE:
        why = "it is not a file that LightFM.save or Dataset.save wrote"
        if not preamble:
            why += "; it is empty"
        elif preamble[0] == 0x80:
            why += "; it looks like a pickle: if you trust its origin, use pickle.load"
        raise ValueError(why)
    if len(preamble) < _PREAMBLE.size:
        raise ValueError("it is truncated: it ends within its first bytes")
    _, version, checksum, header_size = _PREAMBLE.unpack(preamble)
    if version > FORMAT_VERSION:
        raise ValueError(
            f"it has version {version} of the format, and lightfm_clone {__version__} reads up to "
            f"{FORMAT_VERSION}; upgrade lightfm_clone"
        )
    end = _PREAMBLE.size + header_size
    if end > size:
        raise ValueError(f"it is truncated: its header alone has {header_size} bytes, it {size}")
    text = file.read(header_size)
    if zlib.crc32(text) != checksum or not version:
        raise ValueError("it is damaged: the checksum of its header does not match")
    return _from_json(text), end


def _check_required(header: dict[str, Any], known: set[str], cls: type) -> None:
    """Refuse a file that cannot be understood without something unknown here."""
    unknown = [name for name in header["required"] if name not in known]
    if unknown:
        raise ValueError(
            f"it holds {unknown[0]!r}, which {cls.__name__} in lightfm_clone {__version__} does "
            f"not know; it was saved by {header['saved_by']} from a {header['class']}: load it "
            "with that class, or upgrade"
        )


@contextmanager
def _named_in_errors(path: str) -> Iterator[None]:
    """Turn all that can be wrong with the contents of a file into a ValueError that names it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"cannot load {path!r}: {error}") from error
    except (LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"cannot load {path!r}: its header makes no sense ({type(error).__name__}: {error})"
        ) from error


def _as_string(path: _Path) -> str:
    try:
        return os.fsdecode(path)
    except TypeError:
        raise TypeError(
            f"path must be a string or an os.PathLike, got {path!r} of type {type(path).__name__}"
        ) from None


@contextmanager
def _replacing(path: _Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the path's place when all has gone well, else vanishes.

    At every moment the path is the whole old file, or none, or the whole new one. Symbolic links
    are followed, and the mode of an old file is kept, as `open` does.
    """
    name = _as_string(path)
    if name and not os.path.basename(name):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    target = os.path.realpath(name) if os.path.islink(name) else name
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        mode = None
    else:
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "not a regular file, so it cannot be replaced", name)
        if not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)

    folder = os.path.dirname(target) or os.curdir
    temporary = os.path.join(folder, f".lightfm-{secrets.token_hex(8)}.tmp")
    # Never more open than it will be, not even while it is written. The umask does its part.
    first_mode = 0o666 if mode is None else stat.S_IMODE(mode) & 0o777
    try:
        file = open(temporary, "xb", opener=lambda at, flags: os.open(at, flags, first_mode))
    except OSError as error:
        why = f"{error.strerror}: cannot create a temporary file in the folder to save to"
        raise OSError(error.errno, why, folder) from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, stat.S_IMODE(mode))
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    # So that the new name survives a power cut, too. Not every system lets one do this, and what
    # is at the path is whole either way.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
