"""Small tables for reading: lines of text for a terminal, HTML for a notebook."""

from __future__ import annotations

from html import escape
from typing import NamedTuple


class Printed(NamedTuple):
    """A table, and a line below it."""

    rows: list[list[str]]  # of one length; the first is the head
    note: str = ""
    n_left: int = 1  # so many columns are set to the left, the others to the right

    def text(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self.rows, strict=True)]
        pads = [str.ljust] * self.n_left + [str.rjust] * (len(widths) - self.n_left)
        lines = [
            "  ".join(pad(*cell) for pad, *cell in zip(pads, row, widths, strict=True)).rstrip()
            for row in self.rows
        ]
        return "\n".join([*lines, self.note] if self.note else lines)

    def html(self) -> str:
        """Without a colour or a font, so that it looks like the tables around it."""
        # Everything is escaped: ids and names come from anywhere.
        head, *body = ("".join(map(self._cell, row, range(len(row)))) for row in self.rows)
        head = head.replace("<td", '<th scope="col"').replace("</td>", "</th>")
        lines = "".join(f"<tr>{row}</tr>\n" for row in body)
        note = f"<p>{escape(self.note)}</p>\n" if self.note else ""
        return (
            f"<table>\n<thead>\n<tr>{head}</tr>\n</thead>\n<tbody>\n{lines}</tbody>\n</table>\n"
            f"{note}"
        )

    def _cell(self, text: str, column: int) -> str:
        # `pre` keeps the spaces that set a label in.
        style = "left; white-space: pre" if column < self.n_left else "right"
        return f'<td style="text-align: {style}">{escape(text)}</td>'
