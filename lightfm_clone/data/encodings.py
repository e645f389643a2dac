"""From the columns of a table, by rules, to numbered features and the entries of a matrix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from lightfm_clone._tables import is_missing
from lightfm_clone.data.columns import Column
from lightfm_clone.data.rows import Entries, joined, shown
from lightfm_clone.data.rules import (
    NOTHING,
    Pieces,
    Rule,
    by_appearance,
    cross,
    rule_from_plain,
    rule_to_plain,
    runs,
    scaled,
)
from lightfm_clone.persistence.plain import from_plain, to_plain


class Encoding:
    """A column, the rule that reads it, and the numbers of the features that it makes."""

    def __init__(self, column: Hashable, rule: Rule) -> None:
        self.column = column
        self.rule = rule
        self.numbers: dict[str, int] = {}  # of features, by label

    @property
    def sources(self) -> set[Hashable]:
        """The columns that it reads."""
        return {self.column}

    def of_columns(self, columns: Mapping[Hashable, Column]) -> Pieces:
        column = columns.get(self.column)
        return NOTHING if column is None else self.rule.of_column(column)

    def of_record(self, record: Mapping[Hashable, Any]) -> tuple[Iterable[str], float]:
        """The labels of a row that is a dict, and the value of their features."""
        value = record.get(self.column)
        if value is None or is_missing(value):
            return (), 1.0
        return self.rule.of_value(value, f"the column {self.column!r}")

    def known(self, label: str) -> str | None:
        """The label as it was when it became a feature; None if it is none."""
        if label in self.numbers:
            return label
        # The same whole number may be an integer here and a float there, because of missing values
        # or on its way through JSON.
        whole = label.removesuffix(".0")
        other = f"{whole}.0" if whole == label else whole
        return other if whole.lstrip("-").isdecimal() and other in self.numbers else None

    def new_labels(self, pieces: Pieces) -> list[str]:
        """The labels that are to become features, in order."""
        counts = Counter[str]()
        sizes = np.bincount(pieces.code, minlength=len(pieces.labels)).tolist()
        for label, size in zip(pieces.labels, sizes, strict=True):
            if self.known(label) is None:
                counts[label] += size
        return [label for label, count in counts.items() if count >= self.rule.min_count]


class Cross(Encoding):
    """Pairs (or triples ...) of the labels of other encodings."""

    def __init__(self, name: Hashable, rule: cross, parts: Sequence[Encoding]) -> None:
        super().__init__(name, rule)
        self.parts = parts

    @property
    def sources(self) -> set[Hashable]:
        return {part.column for part in self.parts}

    def of_columns(self, columns: Mapping[Hashable, Column]) -> Pieces:
        first, *others = (_known(part, part.of_columns(columns)) for part in self.parts)
        for pieces in others:
            first = _crossed(first, pieces)
        return first

    def of_record(self, record: Mapping[Hashable, Any]) -> tuple[Iterable[str], float]:
        labels = [filter(None, map(part.known, part.of_record(record)[0])) for part in self.parts]
        return map(" x ".join, product(*labels)), 1.0


class Encodings:
    """Encodings one after the other, and the features that they number together."""

    def __init__(self, rules: Mapping[Hashable, Rule]) -> None:
        """Of settled rules by column, or of crosses by their names."""
        of_columns = {
            column: Encoding(column, rule)
            for column, rule in rules.items()
            if not isinstance(rule, cross)
        }
        self.names: list[str] = []
        self.all: list[Encoding] = []
        for name, rule in rules.items():
            if not isinstance(rule, cross):
                self.all.append(of_columns[name])
                continue
            for column in rule.columns:
                own = of_columns.get(column)
                if own is None or isinstance(own.rule, scaled):
                    raise ValueError(
                        f"{name!r} crosses the column {column!r}, which makes no categories and no "
                        "bins of its own; give it a rule that does, such as bins(5) or "
                        "categories(), or leave it out of the cross"
                    )
            self.all.append(Cross(name, rule, [of_columns[column] for column in rule.columns]))

    def copy(self) -> Encodings:
        """One that can grow while this stays as it is."""
        same = Encodings({encoding.column: encoding.rule for encoding in self.all})
        same.names = self.names.copy()
        for mine, encoding in zip(same.all, self.all, strict=True):
            mine.numbers = encoding.numbers.copy()
        return same

    def grow(self, columns: Mapping[Hashable, Column], argument: str) -> list[Pieces]:
        """Number what is new in a table, ``argument`` in messages; return what was read."""
        owners = {
            encoding.rule.name(encoding.column, label): encoding.column
            for encoding in self.all
            for label in encoding.numbers
        }
        read = []
        for encoding in self.all:
            pieces = encoding.of_columns(columns)
            for label in encoding.new_labels(pieces):
                name = encoding.rule.name(encoding.column, label)
                if name in owners:
                    raise ValueError(
                        f"the columns {owners[name]!r} and {encoding.column!r} of {argument} both "
                        f"make a feature {name!r}; rename one of them"
                    )
                owners[name] = encoding.column
                encoding.numbers[label] = len(self.names)
                self.names.append(name)
            read.append(pieces)
        return read

    def read(self, columns: Mapping[Hashable, Column]) -> list[Pieces]:
        """What each encoding reads in a table."""
        return [encoding.of_columns(columns) for encoding in self.all]

    def entries(self, read: Iterable[Pieces], skipped: Counter[str]) -> Entries:
        """The entries of all that was read, and the names that were ``skipped`` as unknown."""
        parts = []
        for encoding, (row, code, labels, value) in zip(self.all, read, strict=True):
            known = map(encoding.known, labels)
            numbers = np.array(
                [-1 if label is None else encoding.numbers[label] for label in known], np.int32
            )
            col = numbers[code]
            if len(numbers) and numbers.min() < 0:
                sizes = np.bincount(code, minlength=len(labels)).tolist()
                for label, number, size in zip(labels, numbers.tolist(), sizes, strict=True):
                    if number < 0 and size:
                        skipped[encoding.rule.name(encoding.column, label)] += size
                present = col >= 0
                row, col = row[present], col[present]
                value = value if value is None else value[present]
            if value is None:
                value = np.ones(len(row), np.float32)
            parts.append(Entries(row.astype(np.int32), col, value))
        return joined(parts)

    def entries_of_records(
        self, records: Iterable[Mapping[Hashable, Any]], skipped: Counter[str]
    ) -> Entries:
        """The same of rows that are dicts: one by one, as there mostly is one."""
        rows, cols, values = [], [], []
        for row, record in enumerate(records):
            for encoding in self.all:
                labels, value = encoding.of_record(record)
                for label in labels:
                    number = encoding.numbers.get(label)
                    if number is None:
                        known = encoding.known(label)
                        if known is None:
                            skipped[encoding.rule.name(encoding.column, label)] += 1
                            continue
                        number = encoding.numbers[known]
                    rows.append(row)
                    cols.append(number)
                    values.append(value)
        with np.errstate(over="ignore"):
            return Entries(
                np.array(rows, np.int32), np.array(cols, np.int32), np.array(values, np.float32)
            )

    def to_plain(self) -> list[Any]:
        return [
            {
                "column": to_plain(encoding.column, "a column's name"),
                "rule": rule_to_plain(encoding.rule),
                "labels": list(encoding.numbers),
                "numbers": list(encoding.numbers.values()),
            }
            for encoding in self.all
        ]

    @classmethod
    def from_plain(cls, plain: Any) -> Encodings:
        """The encodings of `to_plain`, or a ValueError."""
        rules: dict[Hashable, Rule] = {}
        for one in plain:
            column, rule = from_plain(one["column"]), rule_from_plain(one["rule"])
            if rule is None or not rule.is_settled or column in rules:
                raise ValueError(f"the column {shown(column)} cannot have the rule {rule}")
            rules[column] = rule
        made = cls(rules)
        names: dict[int, str] = {}
        for encoding, one in zip(made.all, plain, strict=True):
            labels, numbers = one["labels"], one["numbers"]
            if {*map(type, labels)} - {str} or {*map(type, numbers)} - {int}:
                raise ValueError("labels must be texts, and their numbers integers")
            encoding.numbers = dict(zip(labels, numbers, strict=True))
            for label, number in encoding.numbers.items():
                names[number] = encoding.rule.name(encoding.column, label)
        n = sum(len(one["labels"]) for one in plain)
        made.names = [names.get(number, "") for number in range(n)]
        if sorted(names) != list(range(n)) or len(set(made.names)) != n:
            raise ValueError(f"{n} features must have the numbers from 0 on, and a name each")
        return made


def _known(part: Encoding, pieces: Pieces) -> Pieces:
    """The pieces that are features of an encoding, under the labels that they have there."""
    known = list(map(part.known, pieces.labels))
    present = np.array([label is not None for label in known], bool)[pieces.code]
    return Pieces(pieces.row[present], pieces.code[present], [label or "" for label in known])


def _crossed(left: Pieces, right: Pieces) -> Pieces:
    """Each label of a row on the left with each of the same row on the right."""
    n_rows = 1 + max(left.row.max(initial=-1), right.row.max(initial=-1))
    sizes = np.bincount(right.row, minlength=n_rows)
    each = sizes[left.row]
    at = runs((np.cumsum(sizes) - sizes)[left.row], each)
    n = len(right.labels)
    code, pairs = by_appearance(np.repeat(left.code.astype(np.int64), each) * n + right.code[at])
    labels = [f"{left.labels[pair // n]} x {right.labels[pair % n]}" for pair in pairs]
    return Pieces(np.repeat(left.row, each), code, labels)
