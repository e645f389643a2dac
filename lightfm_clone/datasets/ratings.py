"""Ratings files: the MovieLens layouts, and any ratings file with a header.

A ratings file is parsed by ``numpy.loadtxt``. Its error messages count rows instead of lines and
know nothing of files, so a file that it refuses is read a second time, line by line, to name the
place.
"""

from __future__ import annotations

import csv
import os
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from lightfm_clone.datasets._catalogue import Catalogue, tag_matrix
from lightfm_clone.datasets._fetch import BROKEN_ARCHIVE

AnyPath = Path | zipfile.Path

# The ratings files of the MovieLens layouts, in order of preference, and the items file of each.
LAYOUTS = {
    "u.data": "u.item",
    "ua.base": "u.item",
    "ratings.dat": "movies.dat",
    "ratings.csv": "movies.csv",
}

# Names of columns as they are found in the wild, in lower case and without punctuation.
COLUMN_NAMES = {
    "user": ("userid", "user", "uid", "visitorid", "customerid"),
    "item": ("itemid", "item", "iid", "movieid", "movie", "productid", "programid", "bookid"),
    "rating": ("rating", "ratings", "score", "stars"),
    "timestamp": ("timestamp", "unixtime", "unixreviewtime", "time", "ts"),
}


@dataclass(frozen=True, eq=False)
class Ratings:
    """The columns of a ratings file; ``timestamps`` is None where it has none."""

    user_ids: np.ndarray
    item_ids: np.ndarray
    ratings: np.ndarray
    timestamps: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Items:
    """What an items file tells: one entry, or row of ``genres``, per item."""

    ids: np.ndarray
    titles: np.ndarray
    genres: sp.csr_matrix
    genre_labels: np.ndarray


def load_ratings(path: str | os.PathLike[str]) -> Catalogue:
    """Load a MovieLens zip or folder, or one ratings file.

    Parameters
    ----------
    path : path
        - A zip or a folder in a MovieLens layout, its files at the top or one folder below:
          ML-100K (``u.data``, or ``ua.base`` where there is no ``u.data``; ``u.item`` with
          ``u.genre``), ML-1M and ML-10M (``ratings.dat``, ``movies.dat``), or ML-20M and later
          (``ratings.csv``, ``movies.csv``).
        - A ratings file with a header, its columns separated by comma, tab, semicolon, bar or
          ``::``. Columns are recognised by their usual names in any case and order, such as
          ``userId`` or ``user_id``, ``movieId``, ``item_id`` or ``item``, ``rating``,
          ``timestamp``; the last two may be missing, further columns are ignored.
        - A file without a header in the layout of ``u.data`` or ``ratings.dat``: user, item,
          rating, time stamp, separated by tabs or ``::``.

        Titles and genres come from the items file of the layout, where it lies beside the
        ratings.

    Returns
    -------
    Catalogue
        Interactions in the order of the file, duplicates kept, with the ratings as values.
        Users are numbered by sorted id; items in the order of the items file, followed (or, if
        there is none, numbered) by sorted id. Ids are integers if all of them are, else strings.
        Item tags are the genres, as ``genre:<name>``; there are no user tags.

    Raises
    ------
    FileNotFoundError
        If there is nothing at ``path``.
    ValueError
        If a file is broken, malformed or empty; the message names the file and, where possible,
        the line.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        return _load(_find_layout(place))
    if place.suffix.lower() == ".zip":
        try:
            with zipfile.ZipFile(place) as archive:
                return _load(_find_layout(zipfile.Path(archive)))
        except BROKEN_ARCHIVE as error:
            raise ValueError(f"{place} is not a zip file, or is broken: {error}") from error
        except RuntimeError as error:  # so zipfile says of what it does not unpack
            raise ValueError(
                f"{place} cannot be read: {error}; unpack it, and pass the folder"
            ) from error
    return _load(place)


def _find_layout(folder: AnyPath) -> AnyPath:
    """The ratings file in ``folder``, or in a folder directly below."""
    entries: list[AnyPath] = sorted(folder.iterdir(), key=lambda entry: entry.name)
    candidates: list[AnyPath] = [folder, *(entry for entry in entries if entry.is_dir())]
    for candidate in candidates:
        for name in LAYOUTS:
            if (candidate / name).is_file():
                return candidate / name
    found = ", ".join(entry.name for entry in entries[:10]) or "nothing"
    raise ValueError(
        f"{folder} has none of the ratings files {', '.join(LAYOUTS)}, at its top or one folder "
        f"below; it holds {found}"
    )


def _beside(path: AnyPath, name: str) -> AnyPath:
    folder: Any = path.parent  # of a zip, it can be joined though its type does not say so
    beside: AnyPath = folder / name
    return beside


def _load(ratings_path: AnyPath) -> Catalogue:
    items_name = LAYOUTS.get(ratings_path.name)
    items_path = _beside(ratings_path, items_name) if items_name else None
    if items_path is not None and not items_path.is_file():
        items_path = None

    data = read_ratings(ratings_path, integer_ids=items_path is not None)
    user_ids, rows = np.unique(data.user_ids, return_inverse=True)
    item_ids, columns = np.unique(data.item_ids, return_inverse=True)
    if items_path is not None:
        items = read_items(items_path)
        listed = np.concatenate([items.ids, np.setdiff1d(item_ids, items.ids)])
        columns = positions(item_ids, listed)[columns]
        labels = np.concatenate([items.titles, listed[len(items.ids) :].astype(str)])
        item_ids, tag_labels = listed, items.genre_labels
        genres: Any = items.genres.copy()
        genres.resize((len(item_ids), len(tag_labels)))
        tags: sp.csr_matrix = genres
    else:
        labels = item_ids.astype(str)
        tags, tag_labels = _no_tags(len(item_ids))
    user_tags, user_tag_labels = _no_tags(len(user_ids))

    return Catalogue(
        interactions=sp.coo_matrix(
            (data.ratings, (rows.astype(np.int32), columns.astype(np.int32))),
            shape=(len(user_ids), len(item_ids)),
        ),
        timestamps=data.timestamps,
        user_ids=user_ids,
        item_ids=item_ids,
        item_labels=labels,
        item_tags=tags,
        item_tag_labels=tag_labels,
        user_tags=user_tags,
        user_tag_labels=user_tag_labels,
    )


def _no_tags(n_rows: int) -> tuple[sp.csr_matrix, np.ndarray]:
    return sp.csr_matrix(np.empty((n_rows, 0), np.float32)), np.empty(0, dtype=str)


def positions(ids: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Where each of ``ids`` stands in ``of``, int32; ValueError if one does not."""
    order = np.argsort(of)
    found: np.ndarray = order[np.searchsorted(of, ids, sorter=order).clip(max=len(of) - 1)]
    unknown = of[found] != ids
    if unknown.any():
        raise ValueError(f"item {ids[unknown][0]} has ratings, but is not in the items file")
    return found.astype(np.int32)


# Ratings ------------------------------------------------------------------------------------------


class Format(NamedTuple):
    """How a ratings file is laid out."""

    columns: dict[str, int]  # column number of "user", "item", and where present the others
    delimiter: str
    header_lines: int
    id_types: tuple[type, ...]  # to be tried in this order


def read_ratings(path: AnyPath, *, integer_ids: bool = False) -> Ratings:
    """Read one ratings file, with or without a header, as :func:`load_ratings` tells.

    With ``integer_ids``, an id that is no integer is an error, in place of all ids becoming
    strings.
    """
    layout = _read_format(path, integer_ids)
    for id_type in layout.id_types:
        try:
            table = _parse(path, layout, id_type)
            break
        except (ValueError, DeprecationWarning) as error:
            problem = error
    else:
        _raise_for_first_bad_line(path, layout)
        raise ValueError(f"cannot read {path}: {problem}") from problem
    if not len(table):
        raise ValueError(f"{path} holds no ratings")

    user_ids, item_ids = table["user"], table["item"]
    ratings = table["rating"] if "rating" in layout.columns else np.ones(len(table), np.float32)
    timestamps = table["timestamp"] if "timestamp" in layout.columns else None
    usable = np.isfinite(ratings).all() and (timestamps is None or np.isfinite(timestamps).all())
    if user_ids.dtype == object:
        user_ids, item_ids = user_ids.astype(str), item_ids.astype(str)
        usable = usable and (user_ids != "").all() and (item_ids != "").all()
    if not usable:
        _raise_for_first_bad_line(path, layout)
    return Ratings(
        user_ids, item_ids, ratings, None if timestamps is None else timestamps.astype(np.int64)
    )


def _read_format(path: AnyPath, integer_ids: bool) -> Format:
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            line = file.readline()
            # NumPy and csv want one character. Split at a single colon, "1::2" has an empty field
            # between its two numbers, which nobody asks for.
            delimiter = ":" if "::" in line else max("\t,;|", key=line.count)
            fields = next(csv.reader([line], delimiter=delimiter), [])
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path} is not a text file: {error}") from error

    filled = [number for number, field in enumerate(fields) if field.strip()]
    if len(filled) == 4 and delimiter in "\t:" and all(_is_number(fields[n]) for n in filled):
        # The MovieLens files without a header, all of which have integer ids.
        return Format(dict(zip(COLUMN_NAMES, filled, strict=True)), delimiter, 0, (np.int64,))

    plain = ["".join(filter(str.isalnum, field.lower())) for field in fields]
    columns = {}
    for part, names in COLUMN_NAMES.items():
        found = [name for name in names if name in plain]
        if found:
            columns[part] = plain.index(found[0])
    for part in ("user", "item"):
        if part not in columns:
            raise ValueError(
                f"{path}, line 1: no column of {part}s; expected a header with one of "
                f"{', '.join(COLUMN_NAMES[part])} (in any case), got {line.strip()[:200]!r}"
            )
    return Format(columns, delimiter, 1, (np.int64,) if integer_ids else (np.int64, object))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parse(path: AnyPath, layout: Format, id_type: type) -> np.ndarray:
    types = {"user": id_type, "item": id_type, "rating": np.float32, "timestamp": np.float64}
    with path.open(encoding="utf-8-sig") as file, warnings.catch_warnings():
        # An empty table is reported by the caller. Older NumPy versions take 3.7 for the id 3.
        warnings.filterwarnings("ignore", message="loadtxt: input contained no data")
        warnings.simplefilter("error", DeprecationWarning)
        return np.loadtxt(
            file,
            dtype=[(part, types[part]) for part in layout.columns],
            usecols=tuple(layout.columns.values()),
            delimiter=layout.delimiter,
            skiprows=layout.header_lines,
            comments=None,
            quotechar='"',
            ndmin=1,
        )


def _raise_for_first_bad_line(path: AnyPath, layout: Format) -> None:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        lines = csv.reader(file, delimiter=layout.delimiter)
        for fields in lines:
            if lines.line_num <= layout.header_lines or not fields:
                continue
            for part, number in layout.columns.items():
                text = fields[number].strip() if number < len(fields) else ""
                if part in ("rating", "timestamp"):
                    fits = _is_number(text) and np.isfinite(float(text))
                    expected = "a finite number"
                elif object in layout.id_types:
                    fits, expected = text != "", "an id"
                else:
                    fits, expected = text.lstrip("-").isdecimal(), "an integer id"
                if not fits:
                    raise ValueError(
                        f"{path}, line {lines.line_num}: the {part} must be {expected}, "
                        f"got {text!r} in {layout.delimiter.join(fields)[:200]!r}"
                    )


# Items --------------------------------------------------------------------------------------------


def read_items(path: AnyPath) -> Items:
    """Read ``u.item`` (with ``u.genre`` beside it), ``movies.dat`` or ``movies.csv``."""
    lines = _read_lines(path)
    genres = _read_genre_names(_beside(path, "u.genre")) if path.name == "u.item" else None
    records = {"u.item": _flag_lines, "movies.dat": _dat_lines, "movies.csv": _csv_lines}

    numbers: dict[int, int] = {}
    titles: list[str] = []
    item_genres: list[list[str]] = []
    for line_number, fields in records[path.name](lines):
        place = f"{path}, line {line_number}"
        try:
            item, title, names = fields
            number = int(item)
        except ValueError:
            raise ValueError(
                f"{place}: expected an integer id, a title and genres, got "
                f"{lines[line_number - 1][:200]!r}"
            ) from None
        if number in numbers:
            raise ValueError(f"{place}: item {number} is listed twice")
        if genres is not None:
            if len(names) != len(genres) or not set(names) <= {"0", "1"}:
                raise ValueError(
                    f"{place}: expected {len(genres)} genre flags 0 or 1, as many as u.genre has "
                    f"names, got {'|'.join(names)!r}"
                )
            names = [genre for genre, flag in zip(genres, names, strict=True) if flag == "1"]
        numbers[number] = len(titles)
        titles.append(title.strip())
        item_genres.append([name for name in names if name not in ("", "(no genres listed)")])
    if not titles:
        raise ValueError(f"{path} holds no items")

    if genres is None:
        genres = sorted({name for names in item_genres for name in names})
    column = {name: number for number, name in enumerate(genres)}
    labels = np.array([f"genre:{name}" for name in genres], dtype=str)
    rows = np.repeat(np.arange(len(titles)), [len(names) for names in item_genres])
    columns = [column[name] for names in item_genres for name in names]
    return Items(
        ids=np.fromiter(numbers, dtype=np.int64),
        titles=np.array(titles, dtype=str),
        genres=tag_matrix(rows, np.array(columns, dtype=np.int32), len(titles), labels),
        genre_labels=labels,
    )


def _read_lines(path: AnyPath) -> list[str]:
    # ML-100K and ML-1M come as Latin-1, later sets as UTF-8. Accented Latin-1 text is no valid
    # UTF-8, while every file is valid Latin-1.
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    # Not str.splitlines, which also splits at characters that occur in titles.
    return text.replace("\r\n", "\n").split("\n")


def _read_genre_names(path: AnyPath) -> list[str]:
    if not path.is_file():
        raise ValueError(f"{path} is missing; it names the genres that u.item flags")
    return [line.split("|")[0] for line in _read_lines(path) if line.strip()]


Record = tuple[int, list[Any]]  # line number, [id, title, genres]; another length if malformed


def _flag_lines(lines: list[str]) -> Iterator[Record]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            item, *rest = line.split("|")
            yield number, [item, rest[0], rest[4:]] if len(rest) > 4 else []


def _dat_lines(lines: list[str]) -> Iterator[Record]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            item, _, rest = line.partition("::")
            title, separator, genres = rest.rpartition("::")
            yield number, [item, title, genres.split("|")] if separator else []


def _csv_lines(lines: list[str]) -> Iterator[Record]:
    reader = csv.reader(lines)
    next(reader, None)
    for fields in reader:
        if fields:
            yield reader.line_num, [*fields[:2], fields[2].split("|")] if len(fields) == 3 else []
