"""What a page is made of: sections of paragraphs, tables, figures and people, all of them plain.

Texts that come from data go through `shown`, once, where they enter.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeAlias

_MOST = 80  # characters of a text from data
# What turns the direction of all that follows. Texts in other directions do without.
_TURNS = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}


def shown(value: Any, most: int = _MOST) -> str:
    """A value as a text of one line that any file and any picture can hold.

    Spaces are drawn together, what is too long ends in "…", and nothing is "(blank)". Control
    characters and halves of surrogate pairs, which XML and UTF-8 do not have, and characters that
    turn the direction of what follows become "\N{REPLACEMENT CHARACTER}".
    """
    text = " ".join(str(value).split()) or "(blank)"
    if len(text) > most:
        text = text[: most - 1].rstrip() + "…"
    return "".join("\ufffd" if _is_bad(one) else one for one in text)


def _is_bad(one: str) -> bool:
    return one in _TURNS or unicodedata.category(one) in ("Cc", "Cs")


def apart(text: str) -> str:
    """A text in a sentence, whose direction is not that of the sentence."""
    return f"\u2068{text}\u2069"  # an isolate, and its end


def four(number: float, sign: str = "") -> str:
    """A number with four decimals; `sign` is "+" for a difference. A dash for what is none."""
    return "–" if math.isnan(number) else f"{number:{sign}.4f}".replace("-", "−")


def percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{share:.1%}"


class Cell(NamedTuple):
    """What stands in a table, with a smaller line below it."""

    text: str
    below: str = ""
    mark: str = ""  # "best", "better", "worse" or "hit"


@dataclass(frozen=True)
class Note:
    """A paragraph."""

    kind: ClassVar[str] = "note"
    text: str


@dataclass(frozen=True)
class Facts:
    """Numbers with their names."""

    kind: ClassVar[str] = "facts"
    items: list[tuple[str, str, str]]  # a name, the number, and what it is


@dataclass(frozen=True)
class Table:
    """The first `n_left` columns are set to the left, the others, numbers, to the right."""

    kind: ClassVar[str] = "table"
    caption: str
    head: list[str]
    rows: list[list[str | Cell]]
    n_left: int = 1
    is_folded: bool = False  # the caption alone shows until somebody asks for more


@dataclass(frozen=True)
class Figure:
    """A picture, and the numbers that it is drawn from."""

    kind: ClassVar[str] = "figure"
    svg: Any  # Markup, whose texts are escaped
    caption: str
    numbers: Table
    legend: tuple[tuple[str, str], ...] = ()  # classes of colours, and what they stand for
    names: tuple[str, ...] = ()  # of what is numbered in the picture


@dataclass(frozen=True)
class Person:
    """Somebody, what they did, and what they get."""

    kind: ClassVar[str] = "person"
    name: str
    about: str
    liked: list[str]
    later: list[Cell]  # "hit" where it is in the list
    items: Table


Part: TypeAlias = Note | Facts | Table | Figure | Person


class Section(NamedTuple):
    """A part of the page with a heading."""

    id: str
    title: str
    parts: list[Part]
