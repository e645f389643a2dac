"""Models: what is saved of them, and what a file must hold to be one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np

from lightfm_clone._model import parameters
from lightfm_clone._model.losses import LOSSES
from lightfm_clone._model.state import ARRAYS, ATTRIBUTES
from lightfm_clone.persistence.container import Arrays, Header, write
from lightfm_clone.persistence.loading import load, restore
from lightfm_clone.persistence.plain import from_plain, to_plain
from lightfm_clone.typing import Path

_T = TypeVar("_T")


def save_model(model: Any, path: Path) -> None:
    """Write a model to a file; see `LightFM.save`."""
    write(path, "LightFM", *model_to_parts(model))


def model_to_parts(model: Any) -> tuple[Header, Arrays]:
    """What a file holds of a model."""
    given = parameters.of(model) | model.get_params()
    checked = parameters.check(given, least_max_sampled=0)
    random_state = random_state_to_plain(checked.pop("random_state"))
    chosen = parameters.chosen_defaults(checked)
    plain = {
        name: to_plain(parameters.unmarked(value), f"the parameter {name}")
        for name, value in checked.items()
    }
    attributes = {}
    for name, attribute in ATTRIBUTES.items():
        held = hasattr(model, name)
        value = attribute.to_plain(getattr(model, name)) if held else attribute.default
        attributes[name] = to_plain(value, f"the attribute {name}")
    arrays = {}
    for name in ARRAYS:
        values = getattr(model, name)
        if values is not None:
            try:
                arrays[name] = np.asarray(values, dtype="<f4")
            except (TypeError, ValueError, OverflowError) as error:
                raise ValueError(f"{name} must be an array of numbers: {error}") from error
    _check_arrays(arrays)

    # An older version, which lacks an option, may ignore it while it has its default.
    defaults = parameters.defaults(type(model))
    required = [
        name for name, value in plain.items() if name not in defaults or value != defaults[name]
    ]
    required += [name for name, value in attributes.items() if value != ATTRIBUTES[name].default]
    # An older version would take a chosen value for the default, which stands for another.
    trap = set(chosen) & set(LOSSES[checked["loss"]].defaults)
    header = {
        "class": f"{type(model).__module__}.{type(model).__qualname__}",
        "required": [*required, "random_state", *arrays, *(["chosen"] if trap else [])],
        "parameters": plain,
        "chosen": chosen,
        "random_state": random_state,
        "attributes": attributes,
    }
    return header, arrays


def load_model(cls: type[_T], path: Path, *, mmap: bool = False) -> _T:
    """Read a model of class `cls` from a file; see `LightFM.load`."""
    return load(cls, path, "LightFM", *_reader(cls), mmap=mmap)


def model_from_parts(cls: type[_T], header: Header, arrays: Arrays) -> _T:
    """The model of what `model_to_parts` made."""
    return restore(cls, header, arrays, *_reader(cls))


def _reader(cls: type) -> tuple[set[str], Callable[[Header, Arrays], dict[str, Any]]]:
    """What of a model of this class a file may require, and what reads it."""
    defaults = parameters.defaults(cls)
    known = {*defaults, *ATTRIBUTES, *ARRAYS, "random_state", "chosen"}
    return known, partial(_to_state, defaults)


def _to_state(defaults: dict[str, Any], header: Header, arrays: Arrays) -> dict[str, Any]:
    given = {
        name: value for name, value in defaults.items() if value is not inspect.Parameter.empty
    }
    saved = from_plain(header["parameters"])
    given |= {name: value for name, value in saved.items() if name in defaults}
    given["random_state"] = random_state_from_plain(header["random_state"])
    state = parameters.check(given, least_max_sampled=0)
    parameters.mark_defaults(state, header.get("chosen", []))
    state["_marks_defaults"] = True
    attributes = header["attributes"]
    for name, attribute in ATTRIBUTES.items():
        plain = attributes.get(name, attribute.default)
        state[name] = attribute.from_plain(from_plain(plain))
    known = {name: arrays[name] for name in ARRAYS if name in arrays}
    _check_arrays(known)
    return state | {name: known.get(name) for name in ARRAYS}


def _check_arrays(arrays: Arrays) -> None:
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


def random_state_to_plain(random_state: np.random.RandomState) -> dict[str, Any]:
    """A stream of random numbers in terms of JSON."""
    state = random_state.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        raise TypeError(
            f"random_state draws from {state['bit_generator']}, but only RandomState's own "
            "generator, MT19937, can be saved; call set_params(random_state=seed) first"
        )
    plain: dict[str, Any] = to_plain(
        {
            "bit_generator": "MT19937",
            "key": state["state"]["key"].astype("<u4").tobytes(),
            "pos": int(state["state"]["pos"]),
            "has_gauss": int(state["has_gauss"]),
            "gauss": float(state["gauss"]),
        },
        "random_state",
    )
    return plain


def random_state_from_plain(plain: Any) -> np.random.RandomState:
    """The stream of `random_state_to_plain`."""
    state = from_plain(plain)
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
