"""Tables for callers: data frames of pandas or polars, tables of pyarrow, and others."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from lightfm_clone.typing import Table

_KINDS = ("pandas", "polars", "pyarrow")  # in the order in which they are looked for
_OTHERS = ("cudf", "modin")  # made by narwhals


def make(kind: str | None, columns: Mapping[Any, Any]) -> Table:
    """A table of these columns, arrays or lists, by name.

    Values stay what they are, in columns of objects if need be: whole numbers beside None, tuples,
    different types in one column. Arrow has no such columns; a TypeError says so. In pandas, None
    beside floats is NaN.

    Parameters
    ----------
    kind : str or None
        "pandas", "polars", "pyarrow", "modin" or "cudf". None takes the first of the first three
        that is installed.
    columns : dict of arrays or lists

    Raises
    ------
    ImportError
        If the library is not installed.
    """
    if kind is None:
        kind = installed()
    elif kind not in (*_KINDS, *_OTHERS):
        raise ValueError(f"kind must be one of {', '.join(map(repr, _KINDS))}, got {kind!r}")
    if kind in _KINDS and not find_spec(kind):
        remedy = '"lightfm-clone[tables]"' if kind == "pyarrow" else kind
        raise ImportError(
            f"a table needs {kind}, for kind={kind!r}, which is not installed: pip install {remedy}"
        )
    if kind == "pandas":
        import pandas as pd

        return pd.DataFrame({name: _array(values) for name, values in columns.items()})
    if kind == "polars":
        import polars as pl

        return pl.DataFrame([_series(str(name), values) for name, values in columns.items()])
    import pyarrow as pa

    made = pa.table({str(name): _arrow(name, values) for name, values in columns.items()})
    if kind == "pyarrow":
        return made
    import narwhals.stable.v2 as nw

    backend: Any = kind
    return nw.from_arrow(made, backend=backend).to_native()


def or_installed(kind: str) -> str:
    """This kind, if such tables can be made here, else the first that is installed.

    Where none is, it is "pyarrow", which `make` says is missing when it is asked for a table.
    """
    if kind in (*_KINDS, *_OTHERS) and find_spec(kind):
        return kind
    return next(filter(find_spec, _KINDS), "pyarrow")


def installed() -> str:
    """The first library of tables that is installed; an ImportError if none is."""
    found = next((name for name in _KINDS if find_spec(name)), None)
    if found is None:
        raise ImportError(
            "a table needs pandas, polars or pyarrow, which is not installed: pip install "
            '"lightfm-clone[tables]"'
        )
    return found


def is_missing(value: Any) -> bool:
    """Whether the value is None, NaN, NaT or NA."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except Exception:  # NA of pandas has no truth value; what else does not is not missing
        return type(value).__name__ == "NAType"


def _objects(values: Any) -> tuple[list[Any], set[type]]:
    """The values with None for those that are missing, and the types of the others."""
    values = list(values)
    kinds = set(map(type, values))
    if len(kinds) > 1:
        values = [None if is_missing(value) else value for value in values]
        kinds = set(map(type, values))
    return values, kinds - {type(None)}


def _is_typed(values: Any) -> bool:
    """Whether the values are an array of a type, not of objects."""
    return isinstance(values, np.ndarray) and values.dtype != object


def _array(values: Any) -> npt.NDArray[Any]:
    if _is_typed(values):
        return np.asarray(values)
    kinds = set(map(type, values))
    if len(kinds) == 1 and issubclass(kinds.pop(), int | float | np.number | np.bool_):
        return np.array(list(values))
    if kinds == {float, type(None)}:
        return np.array(list(values), dtype=np.float64)  # None becomes NaN
    # Never two-dimensional, as np.array makes lists and tuples of one length.
    return np.fromiter(values, dtype=object, count=len(values))


def _series(name: str, values: Any) -> Any:
    import polars as pl

    if _is_typed(values):
        return pl.Series(name, values)
    values, kinds = _objects(values)
    mixed = len(kinds) > 1 or tuple in kinds
    return pl.Series(name, values, dtype=pl.Object if mixed else None)


def _arrow(name: Hashable, values: Any) -> Any:
    import pyarrow as pa

    if _is_typed(values):
        return pa.array(values, from_pandas=True)  # NaN is missing
    values, kinds = _objects(values)
    if len(kinds) > 1 and kinds != {int, float} or tuple in kinds:
        raise TypeError(
            f"the column {name!r} must hold values of one type to be one of pyarrow, got values "
            f"of type {', '.join(sorted(kind.__name__ for kind in kinds))}; give and take tables "
            "of pandas or polars"
        )
    return pa.array(values)
