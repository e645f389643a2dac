"""Rows of interactions and of features as callers give them, and what is said of others."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable, Iterator, Mapping, Set
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lightfm_clone._tables import is_missing
from lightfm_clone.data import columns


class Entries(NamedTuple):
    """Entries of a matrix, in parallel arrays."""

    row: npt.NDArray[np.int32]
    col: npt.NDArray[np.int32]
    value: npt.NDArray[np.float32]


def joined(parts: list[Entries]) -> Entries:
    """All entries in one."""
    if not parts:
        return Entries(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32))
    return parts[0] if len(parts) == 1 else Entries(*map(np.concatenate, zip(*parts, strict=True)))


def lists_of(values: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """The values in lists of ``size``."""
    elements = iter(values)
    while block := list(islice(elements, size)):
        yield block


def blocks(data: Iterable[Any], size: int) -> Iterator[tuple[int, list[Any]]]:
    """The rows of ``data`` in lists of ``size``, each with the position of its first."""
    try:
        elements = iter(data)
    except TypeError as error:
        raise TypeError(f"data must be an iterable of tuples, got {type(data).__name__}") from error
    start = 0
    for block in lists_of(elements, size):
        yield start, block
        start += len(block)


def refuse_unreadable(data: Any) -> None:
    """Refuse what does not iterate over rows: tables that have not been read yet, and matrices."""
    if sp.issparse(data):
        raise TypeError(
            f"data must be rows of your own ids, got a {type(data).__name__}; a model takes it as "
            "it is"
        )
    for method in ("collect", "read_all", "to_table"):
        if hasattr(data, method) and columns.library(data):
            raise TypeError(
                f"data must be a table that has been read, got {type(data).__module__}."
                f"{type(data).__qualname__}; call its {method}() first"
            )


def check(rows: list[Any], start: int, allowed: set[int], expected: str) -> set[int]:
    """The lengths that occur among the rows, once all are rows; ``start`` is the first's place."""
    kinds = set(map(type, rows))
    if not kinds <= {tuple, list}:
        for position, row in enumerate(rows, start):
            advice = _advice(row)
            if advice:
                raise _error(row, position, expected, advice)
    try:
        lengths = set(map(len, rows))
    except TypeError:
        lengths = {-1}
    if not lengths <= allowed:
        # Two or three rows of one other length are columns, most likely.
        columns_hint = ""
        if start == 0 and len(rows) in (2, 3) and len(lengths) == 1 and max(lengths) > 1:
            columns_hint = "pass zip(*data) if these are columns"
        for position, row in enumerate(rows, start):
            if _length(row) not in allowed:
                raise _error(row, position, expected, columns_hint)
    return lengths


def refuse_records(rows: list[Any], start: int, expected: str) -> None:
    """Refuse pairs of an index and a row of a pandas frame."""
    for position, (index, record) in enumerate(rows, start):
        if columns.is_record(record, index):
            advice = (
                "iterrows() gives pairs of an index and a row: pass "
                "frame[[column, column]].itertuples(index=False)"
            )
            raise _error((index, record), position, expected, advice)


def _advice(row: Any) -> str:
    """What to do about a row of a kind that is read wrongly, if it is one."""
    if isinstance(row, Mapping):
        keys = list(row)[:2]
        values = ", ".join(f"row[{key!r}]" for key in keys)
        return f"a dict is read by its keys: pass tuples of its values, ({values}) for row in data"
    if isinstance(row, str | bytes):
        return "a text is read by its letters: pass tuples, a single one in a list"
    if isinstance(row, Set):
        return "a set has no order: pass tuples"
    if columns.split(row) is not None:
        return "a table is no row: pass one table, or the rows of each"
    names = getattr(row, "_fields", ()) or getattr(getattr(row, "dtype", None), "names", None)
    if names and names[0] in ("Index", "index", "level_0"):
        return (
            f"it begins with the frame's index, {names[0]!r}: pass itertuples(index=False) or "
            "to_records(index=False), after reset_index() and a new name if the index is wanted"
        )
    return ""


def _length(row: Any) -> int | None:
    try:
        return len(row)
    except TypeError:
        return None


def _error(row: Any, position: int, expected: str, advice: str) -> ValueError:
    length = _length(row)
    if not advice and length is None:
        advice = "a single row goes into a list"
    elif not advice and length is not None and length > 2:
        advice = "leave out what belongs to neither"
        if "[feature names]" in expected:
            advice = "the names of features go into a list of their own"
    return ValueError(
        f"each element of data must be {expected}; the one at position {position} is "
        f"{shown(row)} (length: {'none' if length is None else length})"
        + (f"; {advice}" if advice else "")
    )


def shown(value: Any) -> str:
    """The value in a message, cut off where it is long."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def weights_of(values: npt.NDArray[Any] | list[Any]) -> npt.NDArray[np.float32]:
    """The weights as float32."""
    if isinstance(values, np.ndarray):
        if values.dtype.kind in "biuf":
            return values.astype(np.float32)
        values = values.tolist()
    try:
        # Unlike NumPy, an array('d') neither parses texts nor takes None for NaN.
        return np.array(array("d", values), dtype=np.float32)
    except OverflowError as error:
        raise ValueError(
            f"a weight in data is too large: {error}; divide all weights by a number, or take "
            "their logarithms"
        ) from error
    except TypeError:
        for value in values:
            if not _is_weight(value):
                raise TypeError(
                    f"a weight in data must be a number, got {shown(value)} of type "
                    f"{type(value).__name__}; {_advice_on_weight(value)}"
                ) from None
        raise


def _is_weight(value: Any) -> bool:
    try:
        array("d", (value,))
    except TypeError:
        return False
    return True


def _advice_on_weight(value: Hashable) -> str:
    if isinstance(value, str | bytes):
        try:
            float(value)
        except ValueError:
            return "leave it out if it is no weight; a text can be (part of) the name of a feature"
        return "turn the weights into numbers with float(), or astype(float) in pandas and NumPy"
    if value is None or is_missing(value):
        return "leave out the weight, which then is 1, or what it belongs to"
    return "leave it out if it is no weight"
