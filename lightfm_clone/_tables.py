"""Tables for callers: a data frame of pandas or polars, or a table of pyarrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy.typing as npt

from lightfm_clone.typing import Table

# What makes a table of columns by name, in the order in which libraries are looked for.
_MAKERS = {"pandas": "DataFrame", "polars": "DataFrame", "pyarrow": "table"}


def make(kind: str | None, columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]]) -> Table:
    """A table of these columns, of one kind: "pandas", "polars", "pyarrow"; None takes the first
    of them that is installed."""
    if kind is not None and kind not in _MAKERS:
        raise ValueError(
            f"kind must be one of {', '.join(map(repr, _MAKERS))}, or None for the first of them "
            f"that is installed, got {kind!r}"
        )
    for name in _MAKERS if kind is None else [kind]:
        try:
            library = import_module(name)
        except ImportError:
            continue
        table: Table = getattr(library, _MAKERS[name])(dict(columns))
        return table
    needed = "pandas, polars or pyarrow" if kind is None else f"{kind}, for kind={kind!r}"
    remedy = 'pip install "lightfm-clone[tables]"' if kind is None else f"pip install {kind}"
    if kind == "pyarrow":
        remedy = 'pip install "lightfm-clone[tables]"'
    raise ImportError(f"a table needs {needed}, which is not installed: {remedy}")
