"""Words of a command line to what a recommender knows: ids, kinds of events, values of columns."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import click
import numpy as np

from lightfm_clone import Recommender
from lightfm_clone.data import between
from lightfm_clone.data import columns as columns_of
from lightfm_clone.data.numbering import twin_of

_LOOKED_AT = 20_000  # ids, for one that is like an unknown one

_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_DATE = r"\d{4}-\d{2}-\d{2}(?:[T ][\d:.]+)?"
_RANGE = re.compile(rf"({_NUMBER}|{_DATE})?\.\.({_NUMBER}|{_DATE})?")


def users(shop: Recommender, words: Iterable[str]) -> list[Any]:
    """Ids of people, of the type that known ones have."""
    mapping = shop.dataset_.mapping()[0]
    return [_known(word, mapping) for word in words]


def items(shop: Recommender, words: Iterable[str], must_be_known: bool = True) -> list[Any]:
    """Ids of items, of the type that known ones have."""
    mapping = shop.dataset_.mapping()[2]
    found = []
    for word in words:
        found.append(_known(word, mapping))
        if must_be_known and found[-1] not in mapping:
            raise ValueError(f"the item {word!r} is not known{alike(word, mapping)}")
    return found


def _known(word: str, mapping: Mapping[Any, int]) -> Any:
    """The id that is written so; where there is none, one that could be."""
    if word in mapping:
        return word
    twin = twin_of(word, mapping)
    if twin is not None or not all(isinstance(one, int) for one in mapping):
        return word if twin is None else twin
    try:
        return int(word)
    except ValueError:
        raise ValueError(
            f"{word!r} is no id here, for ids are whole numbers, such as {next(iter(mapping))}"
        ) from None


def alike(word: Any, mapping: Mapping[Any, int]) -> str:
    """What to add to a message about an unknown id: one that looks like it."""
    word = str(word)
    some = [str(one) for one in islice(mapping, _LOOKED_AT)]
    bare = word.lstrip("0")
    padded = [one for one in some if bare and one.lstrip("0") == bare]
    found = padded or difflib.get_close_matches(word, some, 1)
    if found:
        return f"; did you mean {found[0]!r}?"
    return f"; ids look like {next(iter(mapping))!r}" if mapping else ""


def kinds(shop: Recommender, words: Sequence[str]) -> list[Any] | None:
    """Kinds of events, of the type that they have in the table; None for no words."""
    by_text = {str(kind): kind for kind in shop._kinds}
    for word in words:
        if by_text and word not in by_text:
            raise ValueError(
                f"there is no kind of events {word!r}; the model knows "
                f"{', '.join(by_text)}{columns_of.meant(word, by_text)}"
            )
    return [by_text.get(word, word) for word in words] or None


def excluded(shop: Recommender, words: Sequence[str]) -> Any:
    """What lists leave out, as `Recommender.recommend` takes it."""
    if tuple(words) == ("none",):
        return False
    return kinds(shop, words) or True


def where(shop: Recommender, words: Sequence[str]) -> dict[Any, Any] | None:
    """Conditions COLUMN=VALUE and COLUMN=LOW..HIGH."""
    found: dict[Any, Any] = {}
    for word in words:
        name, text = _pair(word, "--where", "COLUMN=VALUE")
        sample = columns(shop, [name])[name]
        is_number = isinstance(sample, np.ndarray) and sample.dtype.kind in "iuf"
        limits = _RANGE.fullmatch(text) if isinstance(sample, np.ndarray) else None
        if limits and text != "..":
            ends = (
                None if end is None else _value(end, is_number, word) for end in limits.groups()
            )
            if name in found:
                raise click.BadParameter(
                    f"{name!r} has a range and another condition", param_hint="--where"
                )
            found[name] = between(*ends)
            continue
        value: Any = _value(text, is_number, word)
        if isinstance(sample, list):
            value = next((one for one in _flat(sample) if str(one) == text), text)
        if not isinstance(found.setdefault(name, []), list):
            raise click.BadParameter(
                f"{name!r} has a range and another condition", param_hint="--where"
            )
        found[name].append(value)
    return found or None


def _flat(values: list[Any]) -> Iterable[Any]:
    for value in values:
        yield from value if isinstance(value, list) else [value]


def _value(text: str, is_number: bool, word: str) -> Any:
    if not is_number:
        return text
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(
            f"{word!r} must hold a number, or a range LOW..HIGH, as the column does",
            param_hint="--where",
        ) from None


def quotas(shop: Recommender, words: Sequence[str]) -> dict[str, int] | None:
    """Most items of one value, COLUMN=N."""
    found = {}
    for word in words:
        name, text = _pair(word, "--at-most", "COLUMN=N")
        columns(shop, [name])
        if not text.isdecimal() or not int(text):
            raise click.BadParameter(
                f"{word!r} must give a whole number of at least 1", param_hint="--at-most"
            )
        found[name] = int(text)
    return found or None


def columns(shop: Recommender, names: Iterable[str], rows: Any = None) -> dict[str, Any]:
    """Columns of items, of all or of some rows, by names that must be there."""
    there = shop.item_columns_
    if there is None:
        raise ValueError(
            "the model knows no columns of items, because it was trained without a table of them; "
            "train with --items"
        )
    known = {str(name): name for name in there.names}
    for name in names:
        if name not in known:
            raise ValueError(
                f"there is no column {name!r} of items; there are {', '.join(known)}"
                f"{columns_of.meant(name, known)}"
            )
    taken = there.take(np.arange(there.n_items) if rows is None else rows)
    return {name: taken[known[name]] for name in names}


def _pair(word: str, flag: str, form: str) -> tuple[str, str]:
    name, equals, text = word.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{word!r} must be {form}", param_hint=flag)
    return name, text
