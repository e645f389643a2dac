"""Docstrings of methods that are those of `LightFM`, but for what is said here."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

_M = TypeVar("_M", bound=Callable[..., Any])
_SECTION = re.compile(r"\n\n(\w[\w ]*)\n-+\n")
_ENTRY = re.compile(r"(?m)^(?=\S)")


def as_in(original: Any, **instead: str) -> Callable[[_M], _M]:
    """Give a method the docstring of another one.

    Parameters
    ----------
    original : method
    **instead : str
        What stands in place of a section ("Returns", "Raises", ...; "" leaves it out), of the
        beginning ("summary"), or of the entry of a parameter, by its name. A parameter that the
        other one lacks comes last.
    """

    def decorate(method: _M) -> _M:
        method.__doc__ = adapted(original.__doc__ or "", instead)
        return method

    return decorate


def adapted(text: str, instead: dict[str, str]) -> str:
    """The docstring with these parts replaced; see `as_in`."""
    summary, *rest = _SECTION.split(inspect.cleandoc(text))
    sections = dict(zip(rest[::2], rest[1::2], strict=True))
    entries = {_names(entry): entry for entry in _ENTRY.split(sections["Parameters"]) if entry}
    for name, given in instead.items():
        given = textwrap.dedent(given).strip()  # `cleandoc` takes a first line apart
        if name == "summary":
            summary = given
        elif name in ("Returns", "Raises", "Warns", "Notes", "Examples", "Attributes"):
            sections[name] = given
        else:
            entries[name] = f"{given}\n"
    sections["Parameters"] = "\n".join(entry.rstrip() for entry in entries.values())
    parts = [
        f"{name}\n{'-' * len(name)}\n{body.strip()}" for name, body in sections.items() if body
    ]
    return "\n\n".join([summary, *parts]) + "\n"


def _names(entry: str) -> str:
    """The names of an entry's parameters, as they stand there."""
    return entry.split("\n", 1)[0].split(" : ")[0].strip()
