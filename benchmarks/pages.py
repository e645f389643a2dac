"""The pages of the results: one for each processor, and one of the ratios over all of them.

    python benchmarks/pages.py     # makes them again from what is saved, of all sizes

The last results of each part on each processor lie in `results/SIZE/PROCESSOR/PART.json`, beside
their plots. `results/SIZE/PROCESSOR.md` shows them all, `results/SIZE.md` the ratios side by side.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import harness
import plots
from harness import Part, markdown_table
from workloads import EVERYTHING, SIZES

PARTS = (*EVERYTHING, "losses", "ablation", "few", "sweeps")  # in the order of the pages
Results = dict[str, list[Part]]  # by processor


def processor(machine: dict[str, str]) -> str:
    """The processor as a name of files: "AMD EPYC (family 25, model 17)" is amd-epyc-25-17."""
    noise = r"\((r|tm)\)|@ [\d.]+ghz|\b(cpu|family|model)\b"
    words = re.sub(noise, " ", machine["CPU"].lower())
    return "-".join(re.findall(r"[a-z0-9]+", words)) or "unknown"


def saved(folder: Path) -> Results:
    """What lies in the folder of a size."""
    results = {
        each.name: [
            harness.load(path)
            for path in (each / f"{name}.json" for name in PARTS)
            if path.is_file()
        ]
        for each in sorted(folder.glob("*/"))
    }
    return {name: parts for name, parts in results.items() if parts}


def write(folder: Path, with_plots: bool = True) -> None:
    """The pages of a size, whose results lie in the folder."""
    results = saved(folder)
    for name, parts in results.items():
        images = {
            part.name: [f"{name}/{image}" for image in plots.draw(part, folder / name)]
            for part in parts
            if with_plots
        }
        title = f"Benchmarks, {folder.name} size: {parts[0].machine['CPU']}"
        (folder / f"{name}.md").write_text(harness.report(title, parts, images))
    folder.with_suffix(".md").write_text(overview(folder.name, results))


# ---- all processors side by side ----------------------------------------------------------------


class Ratios(NamedTuple):
    """How many times faster a row is on each processor that it was measured on."""

    part: str
    name: str
    other: str
    by_processor: dict[str, float]

    @property
    def lowest(self) -> float:
        return min(self.by_processor.values())

    @property
    def highest(self) -> float:
        return max(self.by_processor.values())


def worst_first(results: Results) -> list[Ratios]:
    """Every row that compares two sides, that of the lowest ratio first."""
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for processor, parts in results.items():
        for part in parts:
            for row in part.comparisons:
                found.setdefault((part.name, row.name, row.other), {})[processor] = row.ratio
    return sorted((Ratios(*row, of) for row, of in found.items()), key=lambda row: row.lowest)


def overview(size: str, results: Results) -> str:
    """The Markdown page of the ratios over all processors."""
    lines = [
        f"# Benchmarks, {size} size",
        "",
        "How many times faster, as ratios of medians, on every processor measured so far; the last "
        "run of each part on it counts. The rows that gain least come first, and of each row the "
        "lowest ratio. Spreads, targets, versions, dates and all other tables are in the pages of "
        "the processors:",
        "",
    ]
    for name, parts in results.items():
        dates = sorted(part.machine["date"][:10] for part in parts)
        what = ", ".join(part.name for part in parts)
        lines.append(
            f"- [{parts[0].machine['CPU']}]({size}/{name}.md), {dates[0]} to {dates[-1]}: {what}."
        )
    rows = worst_first(results)
    titles = {part.name: part.title for parts in results.values() for part in parts}
    for part in PARTS:
        of_part = [row for row in rows if row.part == part]
        if not of_part:
            continue
        measured = [name for name in results if any(name in row.by_processor for row in of_part)]
        table = [
            [
                row.name,
                row.other,
                f"**{row.lowest:.2f}**",
                f"{row.highest:.2f}",
                *(_ratio(row, name) for name in measured),
            ]
            for row in of_part
        ]
        header = ["case", "against", "lowest", "highest", *measured]
        lines += ["", f"## {titles[part]}", "", markdown_table(header, table)]
    return "\n".join(lines) + "\n"


def _ratio(row: Ratios, processor: str) -> str:
    ratio = row.by_processor.get(processor)
    return "-" if ratio is None else f"{ratio:.2f}"


if __name__ == "__main__":
    for each in SIZES:
        if (harness.RESULTS / each).is_dir():
            write(harness.RESULTS / each)
