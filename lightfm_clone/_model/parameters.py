"""The parameters of a model: their names, defaults, checks, and what a loss makes of a default."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

import numpy as np

from lightfm_clone._checks import MAX_ID, check_random_state, is_integer, is_real
from lightfm_clone._model.losses import LOSSES, SCHEDULES, Loss

MAX_COMPONENTS = 2**20
MAX_NEGATIVES = 2**16

OF_LIGHTFM = (
    "no_components",
    "k",
    "n",
    "learning_schedule",
    "loss",
    "learning_rate",
    "rho",
    "epsilon",
    "item_alpha",
    "user_alpha",
    "max_sampled",
    "random_state",
)
OURS = ("stored_negatives", "temperature", "n_negatives", "negatives", "identity_dropout")
NAMES = (*OF_LIGHTFM, *OURS)


class ParameterError(ValueError, AssertionError):
    """A parameter has a bad value. (LightFM raised AssertionError for most of them.)"""


class Default:
    """Marks the value of a parameter that nobody has chosen, so that a loss may have its own.

    It is the value in every other respect. The mark goes wherever the object goes: through
    get_params, set_params, scikit-learn's clone, copies and pickles.
    """


class DefaultFloat(Default, float):
    """A number that is a default."""


class DefaultStr(Default, str):
    """A text that is a default."""


LEARNING_RATE = DefaultFloat(0.05)
LEARNING_SCHEDULE = DefaultStr("adagrad")
NEGATIVES = DefaultStr("all")
IDENTITY_DROPOUT = DefaultFloat(0.0)
_MARKED = {
    "learning_rate": LEARNING_RATE,
    "learning_schedule": LEARNING_SCHEDULE,
    "negatives": NEGATIVES,
    "identity_dropout": IDENTITY_DROPOUT,
}


def of(model: Any) -> dict[str, Any]:
    """The model's parameters by name. (A subclass may have its own idea of `get_params`.)"""
    return {name: getattr(model, name) for name in NAMES}


def loss_of(model: Any) -> Loss:
    """What Python knows of the model's loss, which may have been assigned."""
    if not (isinstance(model.loss, str) and model.loss in LOSSES):
        names = ", ".join(map(repr, LOSSES))
        raise ParameterError(f"loss must be one of {names}, got {model.loss!r}")
    return LOSSES[model.loss]


def settings(model: Any) -> dict[str, Any]:
    """What training works with: checked parameters, with what the loss makes of defaults."""
    checked = check(of(model), least_max_sampled=0)
    of_loss = LOSSES[checked["loss"]].defaults
    for name in _MARKED:
        if isinstance(checked[name], Default):
            checked[name] = of_loss.get(name, unmarked(checked[name]))
    return checked


def public_names(cls: type) -> list[str]:
    """The parameters that `get_params` of a class has.

    Those of LightFM always; ours, and a subclass's own, where its constructor takes them.
    """
    taken = constructor(cls)
    names = [*OF_LIGHTFM, *(name for name in taken if name not in OF_LIGHTFM)]
    if _takes_any(cls):
        names += [name for name in OURS if name not in taken]
    return names


def constructor(cls: type) -> dict[str, Any]:
    """The named parameters of the constructor of a class, with their defaults."""
    unnamed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {one.name: one.default for one in _parameters(cls) if one.kind not in unnamed}


def _takes_any(cls: type) -> bool:
    return any(one.kind is one.VAR_KEYWORD for one in _parameters(cls))


def _parameters(cls: Any) -> list[inspect.Parameter]:
    _, *parameters = inspect.signature(cls.__init__).parameters.values()
    return parameters


def defaults(cls: type) -> dict[str, Any]:
    """The parameters of the constructors of a class and its bases, with their defaults."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        found |= constructor(base)
    return found


def chosen_defaults(parameters: dict[str, Any]) -> list[str]:
    """The parameters that were chosen to be what they are by default."""
    return [
        name
        for name, default in _MARKED.items()
        if parameters[name] == default and not isinstance(parameters[name], Default)
    ]


def unmarked(value: Any) -> Any:
    """The value without the mark of a default."""
    if isinstance(value, Default):
        return float(value) if isinstance(value, float) else str(value)
    return value


def mark_defaults(parameters: dict[str, Any], chosen: Collection[str] = ()) -> None:
    """Mark what are defaults in a file, or an old pickle, which hold plain values."""
    for name, default in _MARKED.items():
        if name not in chosen and parameters.get(name) == default:
            parameters[name] = default


def is_chosen(model: Any, name: str, default: Any) -> bool:
    """Whether a parameter means something else than its default."""
    value = getattr(model, name)
    of_loss = LOSSES.get(str(model.loss))
    has_own_default = of_loss is not None and name in of_loss.defaults
    return bool(value != default or (has_own_default and not isinstance(value, Default)))


def check(parameters: dict[str, Any], *, least_max_sampled: int = 1) -> dict[str, Any]:
    """The parameters, with `k`, `n` as int and `random_state` as a RandomState.

    Raises ParameterError for the first bad value.
    """

    def require(name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ParameterError(f"{name} must be {expected}, got {parameters[name]!r}")

    checked = dict(parameters)
    for name in ("k", "n"):
        require(name, _is_number(parameters[name]), "an integer >= 1")
        checked[name] = int(parameters[name])
    checked["random_state"] = check_random_state(parameters["random_state"])
    least = {"no_components": 1, "k": 1, "n": 1, "max_sampled": least_max_sampled}
    least["n_negatives"] = 1
    most = {"no_components": MAX_COMPONENTS, "n_negatives": MAX_NEGATIVES}
    for name, low in least.items():
        high = most.get(name, MAX_ID)
        holds = is_integer(checked[name]) and low <= checked[name] <= high
        require(name, holds, f"an integer from {low} to {high}")
    choices = {
        "loss": tuple(LOSSES),
        "learning_schedule": tuple(SCHEDULES),
        "negatives": ("all", "seen"),
    }
    for name, names in choices.items():
        value = parameters[name]
        holds = isinstance(value, str) and value in names
        require(name, holds, f"one of {', '.join(map(repr, names))}")
        if not isinstance(value, Default):
            checked[name] = str(value)  # a search may give a numpy.str_
    for name in ("item_alpha", "user_alpha", "epsilon"):
        require(name, _is_number(parameters[name]) and parameters[name] >= 0, "a number >= 0")
    holds = _is_number(parameters["rho"]) and 0 < parameters["rho"] < 1
    require("rho", holds, "a number in (0, 1)")
    share = parameters["stored_negatives"]
    require("stored_negatives", _is_number(share) and 0 <= share <= 1, "a number in [0, 1]")
    share = parameters["identity_dropout"]
    require("identity_dropout", _is_number(share) and 0 <= share < 1, "a number in [0, 1)")
    holds = _is_number(parameters["temperature"]) and parameters["temperature"] > 0
    require("temperature", holds, "a number > 0")
    require("learning_rate", _is_number(parameters["learning_rate"]), "a finite number")
    return checked


def _is_number(value: Any) -> bool:
    return is_real(value) and bool(np.isfinite(value))
