"""What synthetic sets of tables have in common: columns to frames and files, and ids."""

from __future__ import annotations

import csv
import os
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from lightfm_clone import _tables
from lightfm_clone.typing import Path, Table

Column = npt.NDArray[Any]
Columns = dict[str, Column]


class Tables:
    """Three tables as columns by name, the first of events."""

    TABLES: ClassVar[tuple[str, str, str]]  # the names of the attributes

    def to_frames(self, kind: str | None = "pandas") -> tuple[Table, Table, Table]:
        """The tables, that of the events first.

        Parameters
        ----------
        kind : {"pandas", "polars", "pyarrow"} or None, default "pandas"
            None takes the first of them that is installed.

        Raises
        ------
        ImportError
            If the library is not installed.
        """
        first, second, third = (
            _tables.make(kind, {name: _with_none(column) for name, column in table.items()})
            for table in self._columns()
        )
        return first, second, third

    def write(self, folder: Path) -> None:
        """Write a CSV file for each table, by its name; the folder is made.

        What is missing is an empty field, and the country ``NA`` stands as it is: readers that take
        it, or ids with leading zeros, for something else have to be told (in pandas with
        ``dtype=str, keep_default_na=False, na_values=[""]``).
        """
        os.makedirs(folder, exist_ok=True)
        for name, table in zip(self.TABLES, self._columns(), strict=True):
            path = os.path.join(folder, f"{name}.csv")
            with open(path, "w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(table)
                writer.writerows(zip(*map(_with_none, table.values()), strict=True))

    def _columns(self) -> list[Columns]:
        return [getattr(self, name) for name in self.TABLES]

    def __repr__(self) -> str:
        sizes = (
            f"{len(next(iter(table.values()))):,} {name}"
            for name, table in zip(self.TABLES, self._columns(), strict=True)
        )
        return f"{type(self).__name__}({', '.join(sizes)})"


def ids(rng: np.random.Generator, n: int, width: int) -> Column:
    """Distinct texts of digits, a good part of them with leading zeros."""
    numbers = rng.choice(max(4 * 10 ** (width - 1), 2 * n), n, replace=False)
    return np.array([f"{number:0{width}d}" for number in numbers], dtype=object)


def _with_none(column: Column) -> list[Any]:
    """The values of a column, None where they are missing."""
    values = column.astype(object)
    if column.dtype.kind == "f":
        values[np.isnan(column)] = None
    return list(values)
