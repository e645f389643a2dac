"""What a command shows: results on stdout, for people or as JSON, and progress on stderr."""

from __future__ import annotations

import datetime
import io
import json
import math
import sys
import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import click
import numpy as np

_WIDE = 10_000  # columns of what is no terminal: nothing is cut or wrapped
_EVERY = 5.0  # seconds between two lines of progress


class Show:
    """How one command shows things.

    Parameters
    ----------
    as_json : bool
        Results are one JSON document.
    quiet : bool
        No progress, no words beside the results.
    """

    def __init__(self, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet

    # ---- results ---------------------------------------------------------------------------------

    def say(self, text: str = "") -> None:
        """A line, or several, for people."""
        if not self.as_json and not self.quiet:
            click.echo(harmless(text))

    def result(self, text: str, document: Any) -> None:
        """What was asked for: a text for people, or the document."""
        if self.as_json:
            click.echo(json.dumps(plain(document), ensure_ascii=False, indent=2, allow_nan=False))
        else:
            click.echo(harmless(text))

    def table(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """A table for people, as wide as it needs to be where nobody looks at a terminal."""
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        shown = Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False)
        for name, values in columns.items():
            numbers = all(isinstance(value, int | float) for value in values)
            shown.add_column(Text(harmless(name)), justify="right" if numbers else "left")
        for row in zip(*columns.values(), strict=True):
            shown.add_row(*(Text(harmless(_cell(value))) for value in row))
        width = None if sys.stdout.isatty() else _WIDE
        Console(file=sys.stdout, width=width, highlight=False).print(shown)

    # ---- on the way ------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """A word to people beside the results."""
        if not self.quiet:
            click.echo(harmless(text), err=True)

    @contextmanager
    def progress(self, total: int, what: str) -> Iterator[Progress]:
        """Progress towards a total; a bar on a terminal, now and then a line elsewhere."""
        if self.quiet:
            yield Progress()
        elif sys.stderr.isatty():
            with _bar() as bar:
                yield _OnTerminal(total, what, bar)
        else:
            yield _Lines(total, what)


class Progress:
    """Progress that nobody sees, and what the others have in common."""

    def __init__(self, total: int = 0, what: str = "") -> None:
        self.total, self.what, self.done = total, what, 0

    def advance(self, n: int, values: str = "") -> None:
        """So many more are done; `values` stand beside."""
        self.done += n

    def epoch(self, model: Any, record: Mapping[str, Any]) -> None:
        """An epoch is done: a callback of `LightFM.fit`."""
        said = (f"{name} {record[name]:.4f}" for name in record if name in _shown(record))
        self.advance(1, "  ".join(said))


class _Lines(Progress):
    def __init__(self, total: int, what: str) -> None:
        super().__init__(total, what)
        self._last = -math.inf

    def advance(self, n: int, values: str = "") -> None:
        super().advance(n, values)
        now = time.monotonic()
        # Each epoch has its numbers; of many people now and then.
        if values or self.done >= self.total or now - self._last > _EVERY:
            self._last = now
            click.echo(f"{self.what} {self.done:,}/{self.total:,}  {values}".rstrip(), err=True)


class _OnTerminal(Progress):
    def __init__(self, total: int, what: str, bar: Any) -> None:
        super().__init__(total, what)
        self._bar = bar
        self._task = bar.add_task(what, total=total, values="")

    def advance(self, n: int, values: str = "") -> None:
        super().advance(n, values)
        self._bar.update(self._task, advance=n, values=values)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[values]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


def _shown(record: Mapping[str, Any]) -> list[str]:
    """What is told of an epoch: its loss, and metrics."""
    beside = ("epoch", "seconds", "violation_rate", "mean_tries")
    return [name for name in record if name not in beside]


# ---- values --------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """A value in terms of JSON: what is no finite number is null, what has no form there a text."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    return str(value)


def harmless(text: str) -> str:
    """A text without control characters, which could command a terminal."""
    return "".join(
        "\ufffd" if unicodedata.category(one) == "Cc" and one not in "\n\t" else one for one in text
    )


def _cell(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else f"{value:.4f}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, datetime.datetime | np.datetime64):
        return str(value)[:19]
    return "" if value is None else " ".join(str(value).split())


@contextmanager
def stdout() -> Iterator[BinaryIO]:
    """Stdout for bytes, all of which are written, or it is an error."""
    sys.stdout.flush()
    if not isinstance(sys.stdout.buffer, io.RawIOBase):
        yield sys.stdout.buffer
        return
    # With PYTHONUNBUFFERED it is raw: on a disk that gets full it writes a part, and says so to
    # nobody who asks.
    with open(sys.stdout.fileno(), "wb", closefd=False) as file:
        yield file
