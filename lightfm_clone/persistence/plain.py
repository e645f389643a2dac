"""Plain values: what JSON has, and tagged objects for what it lacks."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np


def to_plain(value: Any, what: str = "the value") -> Any:
    """A value in terms of JSON, such that `from_plain` gives the same value of the same type.

    NumPy scalars become the Python values they equal.
    """
    value = to_python(value)
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
        return {"$tuple": [to_plain(element, what) for element in value]}
    if kind is list:
        return [to_plain(element, what) for element in value]
    if kind is dict and all(type(key) is str and not key.startswith("$") for key in value):
        return {key: to_plain(element, what) for key, element in value.items()}
    raise TypeError(
        f"{what} cannot be saved: it holds {value!r} of type {kind.__name__}, but may only hold "
        "numbers, strings, bytes, bools, None, and tuples, lists or dicts (by strings) of these; "
        "replace it, or pickle the object instead"
    )


def to_python(value: Any) -> Any:
    """The Python value that a NumPy scalar equals and hashes like; anything else as it is."""
    is_scalar = isinstance(value, np.generic) and value.dtype.kind in "biufUS"
    return value.item() if is_scalar else value


def from_plain(plain: Any) -> Any:
    if type(plain) is list:
        return [from_plain(element) for element in plain]
    if type(plain) is not dict:
        return plain
    tag = next(iter(plain), "")
    if not tag.startswith("$"):
        return {key: from_plain(element) for key, element in plain.items()}
    content = plain[tag]
    if tag == "$tuple" and type(content) is list:
        return tuple(map(from_plain, content))
    if type(content) is str:
        if tag == "$int":
            return int(content, 16)
        if tag == "$float":
            return float(content)
        if tag == "$bytes":
            return base64.b64decode(content, validate=True)
    raise ValueError(f"it holds a value with the tag {tag!r}, which is not known")


def json_bytes(plain: Any) -> bytes:
    # Left as they are, lone surrogates come back as they were; as escapes, two of them would come
    # back as one character.
    text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def from_json(text: bytes) -> Any:
    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    return json.loads(text.decode("utf-8", "surrogatepass"), parse_constant=refuse)
