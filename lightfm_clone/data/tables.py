"""What the tables of `Dataset.from_frame` hold: ids, weights, times and features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from lightfm_clone.data import columns as columns_of
from lightfm_clone.data.columns import Codes, Column
from lightfm_clone.data.encodings import Encodings
from lightfm_clone.data.rules import SCALINGS, Rule, categories, finite, flag, scaled

_MANY = 20  # columns: of numbers, a pivot table most likely

# How numbers are scaled, all of them or by column.
Scaling: TypeAlias = str | Mapping[Hashable, str | None] | None


class Features(NamedTuple):
    """The features that a table lists, one entry for each value that is not missing."""

    ids: Codes
    names: list[str]
    row: npt.NDArray[Any]  # of the table
    col: npt.NDArray[Any]  # numbers into names
    value: npt.NDArray[Any]  # float32
    numeric: set[Hashable]  # the columns of numbers


class Tables(NamedTuple):
    users: Codes
    items: Codes
    weights: npt.NDArray[Any] | None  # float32
    timestamps: npt.NDArray[Any] | None
    user_features: Features | None
    item_features: Features | None


def read(
    interactions: Any,
    user_features: Any,
    item_features: Any,
    *,
    user: Hashable,
    item: Hashable,
    weight: Hashable | None,
    timestamp: Hashable | None,
    numeric: Scaling,
) -> Tables:
    """All that is in the tables of `Dataset.from_frame`, whose arguments these are."""
    for scaling in numeric.values() if isinstance(numeric, Mapping) else [numeric]:
        if not (scaling is None or isinstance(scaling, str)) or scaling not in SCALINGS:
            raise ValueError(
                "numeric must be 'standard', 'minmax' or None, or a dict from columns to these, "
                f"got {numeric!r}"
            )
    columns = columns_of.by_name(interactions, "interactions")
    users = _ids(columns, user, "user", "interactions")
    items = _ids(columns, item, "item", "interactions")
    weights = timestamps = None
    if weight is not None:
        column = _complete(columns, weight, "weight", "interactions")
        if column.kind not in ("number", "boolean"):
            raise TypeError(f"{column.label} must hold numbers to be weights, got {column.dtype}")
        weights = finite(column.numbers(), column, np.float32).astype(np.float32)
    if timestamp is not None:
        column = _complete(columns, timestamp, "timestamp", "interactions")
        if column.kind not in ("number", "time"):
            raise TypeError(
                f"{column.label} must hold numbers or dates to be timestamps, got {column.dtype}; "
                "convert it first, text for instance with pandas.to_datetime"
            )
        timestamps = column.times().copy()  # the libraries' own may be read-only
    features = [
        None if frame is None else _features(frame, side, name, numeric)
        for frame, side, name in ((user_features, "user", user), (item_features, "item", item))
    ]
    if isinstance(numeric, Mapping):
        unknown = set(numeric).difference(*(given.numeric for given in features if given))
        if unknown:
            raise ValueError(
                f"numeric names {', '.join(map(repr, unknown))}, which is no column of numbers in "
                "user_features or item_features"
            )
    return Tables(users, items, weights, timestamps, *features)


def refuse_shared_names(given: Features, ids: Iterable[Hashable], side: str) -> None:
    """Refuse features that have the name of an id, where each id is a feature, too."""
    names = set(given.names)
    clash = next((own for own in ids if own in names), None)
    if clash is not None:
        raise ValueError(
            f"{side}_features make a feature {clash!r}, a name that one of the {side} ids has too; "
            f"rename its column or turn off {side}_identity_features"
        )


def _features(frame: Any, side: str, name: Hashable, numeric: Scaling) -> Features:
    """The features of the users or items (``side``) in the column ``name``."""
    argument = f"{side}_features"
    columns = columns_of.by_name(frame, argument)
    ids = _ids(columns, name, side, argument)
    numbers = {key for key, column in columns.items() if column.kind == "number"} - {name}
    rules: dict[Hashable, Rule] = {}
    for key, column in columns.items():
        if key == name or column.kind == "empty":
            continue
        if column.kind in ("time", "other"):
            raise TypeError(
                f"{column.label} must hold numbers, booleans, categories, texts or lists of names, "
                f"got {column.dtype}; turn it into one of these or leave the column out"
            )
        rule: Rule = flag() if column.kind == "boolean" else categories()
        if column.kind == "number":
            rule = scaled(numeric.get(key, "standard") if isinstance(numeric, Mapping) else numeric)
        rules[key] = rule.settled(column)
    encodings = Encodings(rules)
    read = encodings.grow(columns, argument)
    return Features(ids, encodings.names, *encodings.entries(read, Counter()), numbers)


def column_of(columns: dict[Hashable, Column], name: Hashable, role: str, argument: str) -> Column:
    """The column of this name."""
    if name not in columns:
        remedy = "an index of pandas becomes a column with reset_index()"
        if sum(column.kind == "number" for column in columns.values()) > _MANY:
            remedy = (
                "a table with a column for each item becomes one with a row for each pair by "
                "table.reset_index().melt(user, var_name=item, value_name=weight).dropna()"
            )
        listed = ", ".join(map(repr, islice(columns, _MANY))) or "none"
        more = f" and {len(columns) - _MANY} more" if len(columns) > _MANY else ""
        raise ValueError(
            f"{argument} must have the column {name!r} (the {role}), got the columns "
            f"{listed}{more}{columns_of.meant(name, columns) or f'; {remedy}'}"
        )
    return columns[name]


def ids_of(column: Column, role: str) -> Codes:
    """A column of ids, some of which may be missing."""
    try:
        codes = column.codes()
        if column.kind in ("list", "other"):
            set(codes.values)
    except (TypeError, NotImplementedError):  # not hashable, for the library or for Python
        raise TypeError(
            f"{column.label} must hold {role} ids, hashable values, got {column.dtype}"
        ) from None
    return codes


def _ids(columns: dict[Hashable, Column], name: Hashable, role: str, argument: str) -> Codes:
    return ids_of(_complete(columns, name, role, argument), role)


def _complete(columns: dict[Hashable, Column], name: Hashable, role: str, argument: str) -> Column:
    """The column of this name, which must not have missing values."""
    column = column_of(columns, name, role, argument)
    missing = np.flatnonzero(column.missing())
    if len(missing):
        raise ValueError(
            f"{column.label} must not have missing values (it is the {role}), got {len(missing)} "
            f"of them, the first in row {missing[0]}; fill them in or drop these rows"
        )
    return column
