"""The file that is served, and what takes its place.

A new file is read beside the old one, by a thread of its own, and takes its place at once: a
request is answered by the one that was there when it came. A file that cannot be read is refused,
once for each time that it changes, and the old one serves on. Files are read into memory, not
mapped: who truncates a mapped file kills who reads it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import NamedTuple

from lightfm_clone.persistence.files import as_string
from lightfm_clone.recommender import Recommender
from lightfm_clone.server.shop import Shop
from lightfm_clone.typing import Path

log = logging.getLogger("lightfm_clone.server")

_SECONDS = 1.0  # between two looks at the path


class Version(NamedTuple):
    """A recommender that was read from the file."""

    shop: Shop
    number: int  # from 1, for each file that was taken up
    modified: float  # when the file was written, seconds since 1970
    loaded: float  # and when it was taken up


class Kept:
    """What is served now.

    Parameters
    ----------
    path : str or os.PathLike
    title : str, optional
        The column of items that names them; see `Shop`.

    Attributes
    ----------
    now : Version
    refused : str or None
        Why what is at the path now is not served.
    n_refused : int
    """

    def __init__(self, path: Path, title: str | None = None) -> None:
        self.path = as_string(path)
        self._title = title
        self._seen = _signature(self.path)
        self._of_now = self._seen
        self.refused: str | None = None
        self.n_refused = 0
        self.now = self._read(1)
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Take up what is new at the path, or refuse it."""
        try:
            seen = _signature(self.path)
        except OSError as error:
            seen = (error.errno or 0,)
        if seen == self._seen:
            return
        self._seen = seen
        if seen == self._of_now:  # it was gone, and is back
            self.refused = None
            return
        try:
            version = self._read(self.now.number + 1)
        except Exception as error:  # whatever it is, the old one serves on
            self.refused = str(error) or type(error).__name__
            self.n_refused += 1
            log.error("refused the new file, the old one serves on: %s", self.refused)
        else:
            self.now, self._of_now, self.refused = version, seen, None
            log.info("serving version %d: %s", version.number, version.shop.words)

    def start(self) -> None:
        """Look at the path from now on."""
        self._end.clear()
        self._thread = threading.Thread(target=self._watch, name="file", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join(timeout=1)  # reading a large file takes longer, and ends with us

    def _watch(self) -> None:
        while not self._end.wait(_SECONDS):
            self.look()

    def _read(self, number: int) -> Version:
        modified = os.stat(self.path).st_mtime
        shop = Shop(Recommender.load(self.path), self._title)
        shop.warm()
        return Version(shop, number, modified, time.time())


def _signature(path: str) -> tuple[int, ...]:
    """What changes with the file at a path."""
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
