"""Lists of all users as a folder of Parquet files, a part written by each shard's task.

The parts are written under names that readers pass over, and take their places when all are whole.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs

from lightfm_clone import _checks as checks
from lightfm_clone.dask.asking import (
    ItemSide,
    Served,
    candidates_of,
    check_threads,
    chosen,
    lists_of,
)
from lightfm_clone.dask.dealing import kind_of
from lightfm_clone.dask.shards import Array, ShardData, ShardState
from lightfm_clone.typing import Path

_BLOCK = 8192  # users whose lists are made at a time, and written as a row group
_PART = re.compile(r"part-\d+-of-\d+\.parquet")
_TEMPORARY = re.compile(r"\.part-\d+-of-\d+\.parquet\.[0-9a-f]+")


def write_lists(
    served: Served,
    client: Any,
    path: Path,
    k: int = 10,
    *,
    exclude: Any = "known",
    items: Any = None,
    num_threads: int | None = None,
) -> None:
    """Write the lists of all users into a folder of Parquet files, one for each shard.

    Some thousand users of a shard are served at a time, and their lists written as a row group, so
    memory is bounded, whatever their number. What was there before is there still until all lists
    are written; the new parts then take the places of old ones.

    Parameters
    ----------
    path : str or os.PathLike
        A folder that all workers see, or a URL that fsspec writes to. It is made if need be. It may
        hold the parts of an earlier call, which are replaced, but nothing else. One call at a time
        may write to it.
    k : int, default 10
    exclude : "known", None or list of futures of ShardData, default "known"
        Items to leave out: those of the interactions of the fit, none, or others, by shard.
    items : ids, default all
        The only items to choose from.
    num_threads : int or None, default None
        Of each task; None is those of its worker.

    Raises
    ------
    OSError
        If the folder cannot be written, or holds something else.
    ValueError, RuntimeError, TimeoutError
        As `asking.predict`.

    Notes
    -----
    The files are ``part-00000-of-00008.parquet`` and so on, with the columns "user", "rank" (int64,
    from 1), "item" and "score" (float32), a row for each place that is filled: users and items as
    the interactions name them, texts or int64.
    """
    checks.check_k(k)
    check_threads(num_threads)
    candidates = candidates_of(served, items)
    left_out = chosen(served, exclude, "exclude")

    def write(folder: str, names: list[str]) -> list[str]:
        each = (
            (shard, (folder, name, k, left_out[shard], candidates, num_threads))
            for shard, name in enumerate(names)
        )
        return served.ask(client, _write, each)

    into_folder(served, client, path, write)


def into_folder(
    served: Served, client: Any, path: Path, write: Callable[[str, list[str]], list[str]]
) -> None:
    """Let tasks write the parts of a folder, one for each shard, and put them in place.

    `write` gets the folder and the names of the parts. It returns what `write_part` returned.
    """
    folder = os.fspath(path)
    if "://" not in folder:
        folder = os.path.abspath(folder)  # workers may be in other folders
    n = len(served.states)
    names = [f"part-{shard:05d}-of-{n:05d}.parquet" for shard in range(n)]
    _on_a_worker(served, client, _open_folder, folder)
    try:
        written = write(folder, names)
        _on_a_worker(served, client, _put_in_place, folder, dict(zip(written, names, strict=True)))
    except BaseException:
        with suppress(Exception):  # what is left in spite of it, the next call clears away
            _on_a_worker(served, client, _clear, folder)
        raise


def _on_a_worker(served: Served, client: Any, task: Callable[..., None], *given: Any) -> None:
    """Do this to the folder where it is seen: the client's machine need not be one that does."""
    served.results(client, [client.submit(task, *given, pure=False)])


# ---- tasks ---------------------------------------------------------------------------------------


def _open_folder(folder: str) -> None:
    """Make it if need be, see that it holds nothing but parts, and clear what was left behind."""
    files, root = url_to_fs(folder)
    files.makedirs(root, exist_ok=True)
    others = [
        name
        for name in _names(files, root)
        if not _PART.fullmatch(name) and not _TEMPORARY.fullmatch(name)
    ]
    if others:
        raise FileExistsError(
            errno.EEXIST,
            f"path must be a new folder, or hold parts of lists alone, but it holds {others[0]!r}; "
            "choose another one",
            folder,
        )
    _clear(folder)


def _write(
    side: ItemSide,
    data: ShardData,
    state: ShardState,
    folder: str,
    name: str,
    k: int,
    exclude: ShardData | None,
    candidates: Array | None,
    num_threads: int | None,
    block: int = _BLOCK,
) -> str:
    """Write the lists of a shard, and return the name of the file, in which it is no part yet."""
    best = lists_of(side, data, state, k, exclude, candidates, num_threads)
    items = column_of(np.arange(side.n_items) if side.ids is None else side.ids)
    schema = schema_of(data.ids, items)

    def tables() -> Iterator[pa.Table]:
        for first in range(0, data.n_users, block):
            rows = np.arange(first, min(first + block, data.n_users), dtype=np.int32)
            ids, scores = best(rows)
            filled = ids >= 0
            columns = (
                column_of(data.ids[rows]).take(pa.array(np.nonzero(filled)[0])),
                pa.array(np.nonzero(filled)[1] + 1),
                items.take(pa.array(ids[filled])),
                pa.array(scores[filled]),
            )
            yield pa.table(columns, schema=schema)

    return write_part(folder, name, schema, tables())


def schema_of(users: Array, items: pa.Array) -> pa.Schema:
    """The columns of lists of these users."""
    return pa.schema(
        {
            "user": column_of(users[:0]).type,
            "rank": pa.int64(),
            "item": items.type,
            "score": pa.float32(),
        }
    )


def write_part(folder: str, name: str, schema: pa.Schema, tables: Iterable[pa.Table]) -> str:
    """Write tables, a row group each, and return the name of the file, in which it is no part."""
    files, root = url_to_fs(folder)
    temporary = f".{name}.{secrets.token_hex(8)}"
    place = f"{root}/{temporary}"
    try:
        with files.open(place, "wb") as file:
            with pq.ParquetWriter(file, schema) as writer:
                for table in tables:
                    writer.write_table(table)
            file.flush()
            with suppress(OSError):  # of files that are not on a disk of ours
                os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            files.rm(place)
        raise
    return temporary


def _put_in_place(folder: str, parts: dict[str, str]) -> None:
    """Let parts take their places, and remove what is left of an earlier call or a dead worker."""
    files, root = url_to_fs(folder)
    missing = parts.keys() - {*_names(files, root)}
    if missing:
        raise FileNotFoundError(
            errno.ENOENT,
            f"path must be a folder that all workers see, but {len(missing)} parts that were "
            "written by others are not there",
            folder,
        )
    for temporary, name in parts.items():
        files.mv(f"{root}/{temporary}", f"{root}/{name}")
    for name in {*_names(files, root)}.difference(parts.values()):
        if _PART.fullmatch(name):
            files.rm(f"{root}/{name}")
    _clear(folder)


def _clear(folder: str) -> None:
    """Remove what calls that failed and workers that died have left."""
    files, root = url_to_fs(folder)
    for name in _names(files, root):
        if _TEMPORARY.fullmatch(name):
            files.rm(f"{root}/{name}")


def _names(files: Any, root: str) -> list[str]:
    """What is in the folder."""
    files.invalidate_cache(root)
    return [name.rstrip("/").rsplit("/", 1)[-1] for name in files.ls(root, detail=False)]


def column_of(ids: Array) -> pa.Array:
    is_number = kind_of(ids) == "whole numbers"
    return pa.array(ids, pa.int64() if is_number else pa.string())
