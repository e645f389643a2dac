"""Where downloaded data lies, and how it gets there."""

from __future__ import annotations

import http.client
import os
import shutil
import tempfile
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RELEASE = "https://github.com/maciejkula/lightfm_datasets/releases/download/v0.1.0"
TIMEOUT_SECONDS = 60

# A damaged archive shows itself when it is opened or, as late, when a member is unpacked.
BROKEN_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError)


def fetch(
    asset: str,
    *place: str,
    data_home: str | os.PathLike[str] | None,
    download_if_missing: bool,
) -> Path:
    """Path of ``<data_home>/<place...>``, downloaded from the release's ``asset`` if missing.

    Raises
    ------
    OSError
        If the file is missing and may not be downloaded, or the download fails.
    """
    home = Path("~/lightfm_data" if data_home is None else data_home).expanduser()
    path = home.joinpath(*place)
    if not path.is_file():
        url = f"{RELEASE}/{asset}"
        if not download_if_missing:
            raise OSError(
                f"{path} is missing and download_if_missing is False; allow the download, or "
                f"put {url} there by hand"
            )
        download(url, path)
    return path


def download(url: str, path: Path) -> None:
    """Download ``url`` to ``path``, which appears there only when it is complete."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, since os.replace is atomic only within one file system.
        handle, name = tempfile.mkstemp(prefix=path.name, suffix=".part", dir=path.parent)
        partial = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
                    shutil.copyfileobj(response, file)
                # A connection that is closed early ends the copy without any exception.
                expected = response.headers["Content-Length"]
                if expected is not None and file.tell() != int(expected):
                    raise OSError(f"{file.tell()} of {expected} bytes arrived")
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except (OSError, http.client.HTTPException) as error:
        raise OSError(
            f"cannot download {url} to {path}: {error}; try again later, or put the file there "
            "by hand"
        ) from error


@contextmanager
def downloaded_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a downloaded zip. A broken one is removed, so that the next call fetches it anew."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except BROKEN_ARCHIVE as error:
        path.unlink()
        raise ValueError(
            f"{path} was broken ({error}) and has been removed; call again to download it anew"
        ) from error
