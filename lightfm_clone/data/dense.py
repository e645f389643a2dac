"""Integer ids that fill a range well: a table over the range stands in for hashing them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

# Long inputs are taken in blocks: long enough to leave the loops to C, short enough to stay in the
# cache.
BLOCK = 1 << 13


def span_of(*parts: npt.NDArray[Any]) -> range | None:
    """The range of ids that are integers and fill it well.

    Floats that are all integers count as integers, as they do for a dictionary.
    """
    parts = tuple(ids for ids in parts if len(ids))
    if not parts or any(ids.dtype.kind not in "iuf" for ids in parts):
        return None
    low, high = min(ids.min().item() for ids in parts), max(ids.max().item() for ids in parts)
    most = 4 * sum(map(len, parts)) + (1 << 16)
    # Put so that NaN fails. Beyond 2**53 integers and floats no longer match one to one.
    if not (-(2**53) <= low <= high <= 2**53 and high - low <= most):
        return None
    for ids in parts:
        for start in range(0, len(ids) if ids.dtype.kind == "f" else 0, BLOCK):
            block = ids[start : start + BLOCK]
            if not np.array_equal(block.astype(np.int64), block):
                return None
    return range(int(low), int(high) + 1)


def offset_blocks(ids: npt.NDArray[Any], span: range) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:
    """The places of the ids in their range, each block with the position of its first."""
    for start in range(0, len(ids), BLOCK):
        offsets = ids[start : start + BLOCK].astype(np.intp)
        offsets -= span.start
        yield start, offsets


def codes(parts: list[npt.NDArray[Any]], span: range) -> tuple[npt.NDArray[np.int32], list[int]]:
    """A number for each id of all parts, in order of first appearance, and the distinct ids."""
    found = np.empty(sum(map(len, parts)), dtype=np.int32)
    table = np.full(len(span), -1, dtype=np.int32)
    distinct: list[int] = []
    done = 0
    for ids in parts:
        for start, offsets in offset_blocks(ids, span):
            numbers = found[done + start : done + start + len(offsets)]
            table.take(offsets, out=numbers)
            if numbers.min() < 0:
                new = list(dict.fromkeys(offsets[numbers < 0].tolist()))
                table[new] = np.arange(len(distinct), len(distinct) + len(new))
                distinct += new
                table.take(offsets, out=numbers)
        done += len(ids)
    return found, [span.start + offset for offset in distinct]
