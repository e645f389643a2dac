"""Tables out of files, and tables made of columns, of the library that the caller works with."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from lightfm_clone.data import columns as columns_of
from lightfm_clone.persistence import files
from lightfm_clone.typing import Path

# What separates the fields of a text, by the end of its name.
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
# And what Arrow calls the formats that say the types of their columns.
_FORMATS = {".parquet": "parquet", ".feather": "feather", ".arrow": "feather"}

# ---- tables in -----------------------------------------------------------------------------------


def read(
    source: Any,
    argument: str,
    texts: Iterable[Hashable] = (),
    columns: Iterable[Hashable] | None = None,
) -> Any:
    """A table of what was given as ``argument``: a path, columns, rows, or a table already.

    Parameters
    ----------
    source : path, dict of columns, list of dicts, or table
        A path ends in .parquet, .feather or .arrow, in .csv (commas), .tsv or .txt (tabs) or one of
        these three and .gz, or leads to a folder of Parquet files. A table that is lazy is
        collected, any other passes through untouched.
    argument : str
        For messages.
    texts : iterable of column names, default ()
        The columns of ids, which are texts whatever they look like, as far as a file does not say
        what they are: in CSV. Of other columns there, those with numbers like "0103" are, too.
    columns : iterable of column names, default None
        Read these alone from a file or a lazy table; None reads all.

    Returns
    -------
    table
        The table that was given; of a path, a dict or a list a pyarrow.Table.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file cannot be read, or lacks one of ``texts`` and ``columns``.
    """
    wanted = None if columns is None else list(columns)
    if isinstance(source, str | os.PathLike):
        return _of_path(files.as_string(source), argument, list(texts), wanted)
    if isinstance(source, Mapping):
        return make("pyarrow", source)
    if isinstance(source, list) and all(isinstance(row, Mapping) for row in source):
        names = dict.fromkeys(chain.from_iterable(source))
        return make("pyarrow", {name: [row.get(name) for row in source] for name in names})
    nw = columns_of.narwhals()
    with suppress(nw.exceptions.DuplicateError):  # who reads the columns knows what to say of that
        frame = nw.from_native(source, pass_through=True)
        if isinstance(frame, nw.LazyFrame):
            return (frame if wanted is None else frame.select(wanted)).collect().to_native()
    return source


def _of_path(
    path: str, argument: str, texts: list[Hashable], columns: list[Hashable] | None
) -> Any:
    columns_of.narwhals()  # without which the table would be of no use
    import pyarrow as pa

    if not os.path.exists(path):
        raise FileNotFoundError(
            errno.ENOENT, f"{argument} names a file that is not there (from {os.getcwd()})", path
        )
    name = path.lower()
    suffix = ".parquet" if os.path.isdir(path) else os.path.splitext(name.removesuffix(".gz"))[1]
    if suffix not in _SEPARATORS and (suffix not in _FORMATS or name.endswith(".gz")):
        raise ValueError(
            f"{argument} must name a file that ends in {', '.join((*_FORMATS, *_SEPARATORS))}, the "
            f"last three also with .gz, got {path!r}; read it with pandas, polars or pyarrow and "
            "pass the table"
        )

    def check(names: Collection[Hashable]) -> None:
        missing = [name for name in (*texts, *(columns or ())) if name not in names]
        if missing:
            raise ValueError(
                f"{argument} must have the column {missing[0]!r}, got {path!r} with the columns "
                f"{', '.join(map(repr, names)) or 'none'}"
            )

    try:
        if suffix in _SEPARATORS:
            return _of_texts(path, _SEPARATORS[suffix], texts, columns, check)
        return _of_types(path, _FORMATS[suffix], columns, check)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        remedy = "save it again, or read it with pandas or polars and pass the table"
        if suffix in _SEPARATORS:
            remedy = (
                "a first line has the names of the columns, fields that hold a separator or a "
                "quotation mark are in quotation marks, and the encoding is UTF-8"
            )
        raise ValueError(f"{argument} cannot be read from {path!r}: {error}; {remedy}") from error


def _of_types(
    path: str,
    of_format: str,
    columns: list[Hashable] | None,
    check: Callable[[Collection[Hashable]], None],
) -> Any:
    import pyarrow as pa
    import pyarrow.dataset

    found = pyarrow.dataset.dataset(path, format=of_format, partitioning="hive")
    if not found.files:
        raise pa.ArrowInvalid("the folder holds no Parquet files")
    # An index without a name that pandas saved with its frame is no column.
    names = [name for name in found.schema.names if not name.startswith("__index_level_")]
    check(names)
    return found.to_table(columns=names if columns is None else columns)


def _of_texts(
    path: str,
    separator: str,
    texts: list[Hashable],
    columns: list[Hashable] | None,
    check: Callable[[Collection[Hashable]], None],
) -> Any:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.types

    # Descriptions hold line breaks.
    parse = pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True)

    def convert(only: list[Hashable] | None, as_texts: list[Hashable]) -> Any:
        return pyarrow.csv.ConvertOptions(
            include_columns=only,
            column_types=dict.fromkeys(as_texts, pa.string()),
            null_values=[""],  # "NA" is Namibia
            strings_can_be_null=True,
        )

    def table(only: list[Hashable] | None, as_texts: list[Hashable]) -> Any:
        return pyarrow.csv.read_csv(
            path, parse_options=parse, convert_options=convert(only, as_texts)
        )

    with pyarrow.csv.open_csv(path, parse_options=parse) as reader:
        check(reader.schema.names)
    found = table(columns, texts)
    numbers = []
    for field in found.schema:
        if pa.types.is_binary(field.type):
            raise pa.ArrowInvalid(f"the column {field.name!r} is not encoded in UTF-8")
        if pa.types.is_integer(field.type) or pa.types.is_floating(field.type):
            numbers.append(field.name)
    if numbers:
        with pyarrow.csv.open_csv(
            path, parse_options=parse, convert_options=convert(numbers, numbers)
        ) as reader:
            codes = _with_leading_zeros(reader)
        for name in codes and (again := table(codes, codes)).column_names:
            found = found.set_column(found.column_names.index(name), name, again[name])
    return found


def _with_leading_zeros(batches: Iterable[Any]) -> list[Hashable]:
    """The names of the columns of texts that hold a number like "0103"."""
    import pyarrow.compute as pc

    codes: dict[Hashable, None] = {}
    for batch in batches:
        for name in set(batch.schema.names).difference(codes):
            column = batch[name]
            column = column.filter(pc.starts_with(column, "0"))  # fast, and leaves few
            if pc.any(pc.match_substring_regex(column, "^0[0-9]")).as_py():
                codes[name] = None
    return list(codes)


# ---- tables out ----------------------------------------------------------------------------------


def kind_of(source: Any = None) -> str:
    """The library, for `make`, that answers to a table are tables of.

    That of the table; for a path, and whatever else is no table, pandas if it is installed, else
    polars, else pyarrow.
    """
    found = columns_of.library(source)
    if found is not None:
        return found
    if source is None or isinstance(source, str | os.PathLike | Mapping | list):
        return _installed()
    nw = columns_of.narwhals()
    frame = nw.from_native(source, pass_through=True)
    return str(frame.implementation.value) if isinstance(frame, nw.DataFrame) else _installed()


@cache
def _installed() -> str:
    return next((name for name in ("pandas", "polars") if find_spec(name)), "pyarrow")


def make(kind: str, columns: Mapping[Any, Any]) -> Any:
    """A table of the library ``kind`` with these columns, arrays or lists, by name.

    Values stay what they are, in columns of objects if need be: numbers beside None, tuples,
    different types in one column. Arrow has no such columns; a TypeError says so.
    """
    if kind == "pandas":
        import pandas as pd

        return pd.DataFrame({name: _array(values) for name, values in columns.items()})
    if kind == "polars":
        import polars as pl

        return pl.DataFrame([_series(str(name), values) for name, values in columns.items()])
    nw = columns_of.narwhals()
    import pyarrow as pa

    made = pa.table({str(name): _arrow(name, values) for name, values in columns.items()})
    return made if kind == "pyarrow" else nw.from_arrow(made, backend=kind).to_native()


def _types(values: Any) -> set[type]:
    """The types of the values but None."""
    return set(map(type, values)) - {type(None)}


def _is_typed(values: Any) -> bool:
    """Whether the values are an array of a type, not of objects."""
    return isinstance(values, np.ndarray) and values.dtype != object


def _array(values: Any) -> npt.NDArray[Any]:
    if _is_typed(values):
        return np.asarray(values)
    kinds = set(map(type, values))
    if len(kinds) == 1 and issubclass(*kinds, int | float | np.number | np.bool_):
        return np.array(list(values))
    # Never two-dimensional, as np.array makes lists and tuples of one length.
    return np.fromiter(values, dtype=object, count=len(values))


def _series(name: str, values: Any) -> Any:
    import polars as pl

    if _is_typed(values):
        return pl.Series(name, values)
    kinds = _types(values)
    mixed = len(kinds) > 1 or tuple in kinds
    return pl.Series(name, list(values), dtype=pl.Object if mixed else None)


def _arrow(name: Hashable, values: Any) -> Any:
    import pyarrow as pa

    kinds = set() if _is_typed(values) else _types(values)
    if len(kinds) > 1 and not kinds <= {int, float} or tuple in kinds:
        raise TypeError(
            f"the column {name!r} must hold values of one type to be one of pyarrow, got values "
            f"of type {', '.join(sorted(kind.__name__ for kind in kinds))}; take pandas or polars"
        )
    return pa.array(values, from_pandas=True)  # NaN is missing


@contextmanager
def writer(path: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function that writes columns, block after block, to a .parquet or .csv file.

    The columns of all blocks have the names and types of the first that has rows. The file takes
    the path's place when all is written; after an error or Ctrl-C what was there before is there
    still.
    """
    columns_of.narwhals()
    import pyarrow.csv
    import pyarrow.parquet

    kinds = {".parquet": pyarrow.parquet.ParquetWriter, ".csv": pyarrow.csv.CSVWriter}
    kind = kinds.get(os.path.splitext(files.as_string(path))[1].lower())
    if kind is None:
        raise ValueError(f"path must end in .parquet or .csv, got {path!r}")
    with files.replace_when_whole(path) as file:
        sink: Any = None
        schema: Any = None

        def write(columns: Mapping[str, Any]) -> None:
            nonlocal sink, schema
            block = make("pyarrow", columns)
            if sink is None:
                schema = block.schema
                if not len(block):  # which does not tell the types of objects
                    return
                sink = kind(file, schema)
            sink.write_table(block.cast(schema))

        try:
            yield write
            if sink is None and schema is not None:
                sink = kind(file, schema)
        finally:
            if sink is not None:
                sink.close()
