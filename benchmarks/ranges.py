"""What the README says of speed: the range of ratios over all processors, the lowest first.

    python benchmarks/ranges.py             # prints the table
    python benchmarks/ranges.py README.md   # puts it there, between the two marks

The ratios are those of the daily size, as they lie in `results/daily`; the range of a line is that
of all its rows on all processors, so that no line rests on the machine that it looks best on. Both
ends are rounded down.
"""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

import harness
import pages
from pages import Results

MARKS = "<!-- ranges: made by benchmarks/ranges.py -->", "<!-- end of ranges -->"
# What the README calls a line, and the rows it stands for: their part, and how they are named.
LINES = {
    "WARP": ("training", r"WARP d=\d+, (after|first)"),
    "k-OS WARP": ("training", "WARP-kOS"),
    "BPR": ("training", r"BPR d=\d+$"),
    "logistic": ("training", "logistic"),
    "hybrid WARP, 15 tags per item": ("training", "hybrid .* identity"),
    "a whole `fit` of MovieLens 100K": ("training", "whole fit"),
    "`predict` for one user at a time": ("ranking", "predict,"),
    "`predict_rank`": ("ranking", "predict_rank"),
    "`precision_at_k`, `auc_score`": ("ranking", "precision_at_k|auc_score"),
    "top-10 lists, against `predict` and `argpartition`": ("ranking", "recommend.*predict$"),
    "top-10 lists, against implicit's": ("ranking", "recommend.*implicit$"),
    "`Dataset`, arrays of integers": ("preparation", "Dataset, array"),
    "`Dataset`, lists of text ids": ("preparation", "Dataset, lists"),
    "`random_train_test_split`": ("preparation", "random_train_test_split"),
    "an epoch of `softmax`, against one of WARP": ("softmax", ".* thread$"),
    "two threads, against one": ("threads", ""),
    "two threads, against one, beside a busy process": ("load", ".* 1 busy"),
}


def table(results: Results) -> str:
    rows = []
    for line, (part, pattern) in LINES.items():
        of_line = [
            row
            for row in pages.worst_first(results)
            if row.part == part and re.match(pattern, row.name)
        ]
        if not of_line:
            continue
        ends = of_line[0].lowest, max(row.highest for row in of_line)
        lowest, highest = (f"{math.floor(10 * end) / 10:.1f}" for end in ends)
        machines = ", ".join(sorted({name for row in of_line for name in row.by_processor}))
        shown = lowest if lowest == highest else f"{lowest} - {highest}"
        rows.append((ends[0], [line, shown, machines]))
    rows.sort()
    return harness.markdown_table(["", "times faster", "measured on"], (row for _, row in rows))


def with_ranges(page: str, ranges: str) -> str:
    """The page with the table between the marks."""
    start, end = MARKS
    if page.count(start) != 1 or page.count(end) != 1:
        raise ValueError(f"the page needs the lines {start} and {end}, each once")
    before, rest = page.split(start)
    _, after = rest.split(end)
    return f"{before}{start}\n{ranges}\n{end}{after}"


if __name__ == "__main__":
    ranges = table(pages.saved(harness.RESULTS / "daily"))
    print(ranges)
    for path in map(Path, sys.argv[1:]):
        path.write_text(with_ranges(path.read_text(), ranges))
