"""The state of a model: what it has learned."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

SIDES = ("item", "user")

# The model's arrays and their numbers of dimensions.
ARRAYS = {
    f"{side}_{name}": n_dimensions
    for side in SIDES
    for name, n_dimensions in (
        ("embeddings", 2),
        ("embedding_gradients", 2),
        ("embedding_momentum", 2),
        ("biases", 1),
        ("bias_gradients", 1),
        ("bias_momentum", 1),
    )
}


class Attribute(NamedTuple):
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
ATTRIBUTES = {
    "_fitted_with": Attribute([], sorted, _names_of_features),
    "history_": Attribute([], list, _history),
    "global_mean_": Attribute(0.0, float, _finite),
    "initial_random_state": Attribute(None, _seed, _seed),
}
