"""Paths, and files that take the place of old ones whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from lightfm_clone.typing import Path


def as_string(path: Path) -> str:
    """A path as a string; a TypeError for what is no path."""
    try:
        return os.fsdecode(path)
    except TypeError:
        raise TypeError(
            f"path must be a string or an os.PathLike, got {path!r} of type {type(path).__name__}"
        ) from None


@contextmanager
def replace_when_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the path's place when all has gone well, else vanishes.

    At every moment the path is the whole old file, or none, or the whole new one. Symbolic links
    are followed, and the mode of an old file is kept, as `open` does.
    """
    name = as_string(path)
    if name and not os.path.basename(name):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    target = os.path.realpath(name) if os.path.islink(name) else name
    mode = None
    with suppress(FileNotFoundError):
        mode = os.stat(target).st_mode
    if mode is not None:
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "not a regular file, so it cannot be replaced", name)
        if not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)

    folder = os.path.dirname(target) or os.curdir
    temporary = os.path.join(folder, f".lightfm-{secrets.token_hex(8)}.tmp")
    # Never more open than it will be, not even while it is written. The umask does its part.
    first_mode = 0o666 if mode is None else stat.S_IMODE(mode) & 0o777
    try:
        file = open(temporary, "xb", opener=lambda at, flags: os.open(at, flags, first_mode))
    except OSError as error:
        why = f"{error.strerror}: cannot create a temporary file in the folder to save to"
        raise OSError(error.errno, why, folder) from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, stat.S_IMODE(mode))
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    # So that the new name survives a power cut, too. Not every system lets one do this, and what
    # is at the path is whole either way.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
