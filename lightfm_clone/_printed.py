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
        sides = self._sides("<", ">")
        lines = []
        for row in self.rows:
            cells = zip(row, sides, widths, strict=True)
            lines.append("  ".join(f"{cell:{side}{width}}" for cell, side, width in cells).rstrip())
        return "\n".join([*lines, self.note] if self.note else lines)

    def html(self) -> str:
        """Without a colour or a font, so that it looks like the tables around it."""
        head, *body = self.rows
        lines = "\n".join(map(self._html_row, body))
        note = f"<p>{escape(self.note)}</p>\n" if self.note else ""
        return (
            f"<table>\n<thead>\n{self._html_row(head, 'th')}\n</thead>\n"
            f"<tbody>\n{lines}\n</tbody>\n</table>\n{note}"
        )

    def _html_row(self, row: list[str], tag: str = "td") -> str:
        # `pre` keeps the spaces that set a label in. Ids and names come from anywhere: escaped.
        cells = (
            f'<{tag} style="text-align: {side}">{escape(cell)}</{tag}>'
            for cell, side in zip(row, self._sides("left; white-space: pre", "right"), strict=True)
        )
        return f"<tr>{''.join(cells)}</tr>"

    def _sides(self, left: str, right: str) -> list[str]:
        """Which side each column is set to."""
        return [left] * self.n_left + [right] * (len(self.rows[0]) - self.n_left)
