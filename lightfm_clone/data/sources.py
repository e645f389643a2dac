"""Tables out of files, and tables made of columns, of the library that the caller works with."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any, BinaryIO, TypeAlias

from lightfm_clone._tables import installed, make
from lightfm_clone.data import columns as columns_of
from lightfm_clone.persistence import files
from lightfm_clone.typing import Path

# What separates the fields of a text, by the end of its name.
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
# And what Arrow calls the formats that say the types of their columns.
_FORMATS = {".parquet": "parquet", ".feather": "feather", ".arrow": "feather"}
# What is written, by the end of a name.
WRITTEN = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}

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
            if wanted is not None:  # of one that is not there, who reads the columns tells more
                there = frame.collect_schema().names()
                frame = frame.select([name for name in there if name in wanted])
            return frame.collect().to_native()
    return source


def names(path: Path, argument: str) -> list[Hashable]:
    """The columns of a file that `read` reads; it raises what `read` raises."""
    found: list[Hashable] = _of_path(files.as_string(path), argument, [], None, only_names=True)
    return found


def is_file(source: Any) -> bool:
    """Whether this is a path that `read` reads, and not an id that is a text."""
    if isinstance(source, os.PathLike):
        return True
    if not isinstance(source, str):
        return False
    suffix = os.path.splitext(source.lower().removesuffix(".gz"))[1]
    return suffix in (*_SEPARATORS, *_FORMATS) and os.path.exists(source)


def _of_path(
    path: str,
    argument: str,
    texts: list[Hashable],
    columns: list[Hashable] | None,
    only_names: bool = False,
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

    def check(names: list[Hashable]) -> None:
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise ValueError(
                f"{argument} must have each column once, got {repeated!r} again in {path!r}; "
                "rename one of the two"
            )
        missing = [name for name in (*texts, *(columns or ())) if name not in names]
        if missing:
            raise ValueError(
                f"{argument} must have the column {missing[0]!r}, got {path!r} with the columns "
                f"{', '.join(map(repr, names)) or 'none'}"
                f"{_advice_on_separator(names, suffix) or columns_of.meant(missing[0], names)}"
            )

    try:
        if suffix in _SEPARATORS:
            names, load = _of_texts(path, _SEPARATORS[suffix], texts)
        else:
            names, load = _of_types(path, _FORMATS[suffix])
        check(names)
        return names if only_names else load(columns)
    except (pa.ArrowInvalid, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the system, not of what is in the file
        remedy = "save it again, or read it with pandas or polars and pass the table"
        if suffix in _SEPARATORS:
            remedy = (
                "a first line has the names of the columns, fields that hold a separator or a "
                "quotation mark are in quotation marks, and the encoding is UTF-8; what a "
                "spreadsheet wrote otherwise, pandas.read_csv(..., sep=';', encoding='cp1252') "
                "reads: pass the table, or save it as Parquet"
            )
        raise ValueError(f"{argument} cannot be read from {path!r}: {error}; {remedy}") from error


def _advice_on_separator(names: list[Hashable], suffix: str) -> str:
    """What to say of a single name that holds another separator."""
    found = next((mark for mark in ",;\t|" if len(names) == 1 and mark in str(names[0])), None)
    if suffix not in _SEPARATORS or found is None:
        return ""
    return (
        f", which {found!r} seems to separate, not {_SEPARATORS[suffix]!r}; read it with "
        f"pandas.read_csv(..., sep={found!r}, dtype={{ids: str}}), and pass the table or save it "
        "as Parquet"
    )


# The columns that a file has, and a function that loads those that are named, or all.
_Opened: TypeAlias = tuple[list[Hashable], Callable[[list[Hashable] | None], Any]]


def _of_types(path: str, of_format: str) -> _Opened:
    import pyarrow as pa
    import pyarrow.dataset
    import pyarrow.parquet

    names: list[Hashable]
    read: Any
    if of_format == "parquet" and not os.path.isdir(path):
        # One chunk a column, which arrays then share; a data set makes hundreds.
        # Buffering ahead is for slow remote files, and would hold the file beside the table.
        file = pyarrow.parquet.ParquetFile(path, pre_buffer=False)
        names, read = file.schema_arrow.names, file.read
    else:
        found = pyarrow.dataset.dataset(path, format=of_format, partitioning="hive")
        if not found.files:
            raise pa.ArrowInvalid("the folder holds no Parquet files")
        names, read = found.schema.names, found.to_table
    # An index without a name that pandas saved with its frame is no column.
    names = [name for name in names if not str(name).startswith("__index_level_")]

    def load(columns: list[Hashable] | None) -> Any:
        made = read(columns=names if columns is None else columns)
        give_back()
        return made

    return names, load


def _of_texts(path: str, separator: str, texts: list[Hashable]) -> _Opened:
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

    def load(columns: list[Hashable] | None) -> Any:
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
            if codes:
                again = table(codes, codes)
                for name in codes:
                    found = found.set_column(found.column_names.index(name), name, again[name])
        return found

    with pyarrow.csv.open_csv(path, parse_options=parse) as reader:
        return reader.schema.names, load


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


def give_back() -> None:
    """Give the memory that Arrow has done with, but holds for later, back to the system.

    Reading a file and numbering a column leave it with as much as the columns take.
    """
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


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
        return installed()
    nw = columns_of.narwhals()
    frame = nw.from_native(source, pass_through=True)
    return str(frame.implementation.value) if isinstance(frame, nw.DataFrame) else installed()


@contextmanager
def writer(path: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function that writes columns, block after block, to a .parquet, .csv or .jsonl file.

    The file takes the path's place when all is written; after an error or Ctrl-C what was there
    before is there still.
    """
    suffix = os.path.splitext(files.as_string(path))[1].lower()
    if suffix not in WRITTEN:
        *others, last = WRITTEN
        raise ValueError(f"path must end in {', '.join(others)} or {last}, got {path!r}")
    with files.replace_when_whole(path) as file, blocks(file, WRITTEN[suffix]) as write:
        yield write


@contextmanager
def blocks(file: BinaryIO, form: str) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function that writes columns, block after block, to a file that is open.

    Parameters
    ----------
    file : binary file
        It stays open.
    form : {"parquet", "csv", "jsonl"}
        The last are JSON lines: an object for each row.

    The columns of all blocks have the names and types of the first that has rows.
    """
    columns_of.narwhals()
    import pyarrow.csv
    import pyarrow.parquet

    kind: Any = {
        "parquet": pyarrow.parquet.ParquetWriter,
        "csv": pyarrow.csv.CSVWriter,
        "jsonl": _JsonLines,
    }[form]
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


class _JsonLines:
    """What Arrow has for CSV and Parquet, for lines of JSON."""

    def __init__(self, file: BinaryIO, schema: Any) -> None:
        self._file = file

    def write_table(self, block: Any) -> None:
        lines = (
            json.dumps(row, ensure_ascii=False, separators=(",", ":"), default=str)
            for row in as_rows(block)
        )
        self._file.write("".join(f"{line}\n" for line in lines).encode(errors="surrogatepass"))

    def close(self) -> None:
        """Each block is whole."""


def as_rows(block: Any) -> list[dict[str, Any]]:
    """The rows of a pyarrow.Table as dicts, for JSON: what is no finite number is None."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for place, field in enumerate(block.schema):
        if pa.types.is_floating(field.type):
            column = block.column(place)
            # By way of texts 0.1 of float32 is 0.1, and not 0.10000000149011612.
            numbers = column.cast(pa.string()).cast(pa.float64())
            finite = pc.if_else(pc.is_finite(numbers), numbers, None)
            block = block.set_column(place, field.name, finite)
    rows: list[dict[str, Any]] = block.to_pylist()
    return rows
