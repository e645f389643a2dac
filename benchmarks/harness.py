"""Interleaved measurements, what is made of them, and the report.

A part of the benchmarks measures `Comparison`s, `Table`s and `Curve`s and puts them into a `Part`.
Parts are saved as JSON; the Markdown report is rendered from the saved files, so that one part can
be measured again without the others. Each part carries the machine and the date it ran on.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = ("lightfm-clone", "lightfm-next", "implicit", "numpy", "scipy")


# ---- measuring --------------------------------------------------------------------------------


def seconds(call: Callable[..., Any], *arguments: Any, **named: Any) -> float:
    """Wall clock time of one call."""
    start = time.perf_counter()
    call(*arguments, **named)
    return time.perf_counter() - start


def mean_seconds(call: Callable[[], Any], least: float = 0.1) -> float:
    """Mean time of a call that may be repeated, over as many calls as take `least` seconds."""
    calls, spent = 0, 0.0
    while spent < least:
        spent += seconds(call)
        calls += 1
    return spent / calls


def interleaved(sides: dict[Any, Callable[[], float]], rounds: int) -> dict[Any, list[float]]:
    """What each side costs in each round: a, b, a, b, ..., so that a machine whose speed drifts is
    as slow for one as for the other."""
    costs: dict[Any, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, cost in sides.items():
            gc.collect()
            costs[name].append(cost())
    return costs


def compiled(source: Path, folder: str, name: str, *flags: str) -> ctypes.CDLL:
    """A C or C++ program as a library, built into `folder`."""
    library = Path(folder) / f"{name}.so"
    flags = ("-O3", "-march=native", "-shared", "-fPIC", *flags)
    command = [os.environ.get("CC", "cc"), str(source), *flags, "-o", str(library)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(
            "this needs a C compiler named cc, or in the environment variable CC: "
            f"{getattr(error, 'stderr', None) or error}"
        ) from error
    return ctypes.CDLL(str(library))


# ---- results ----------------------------------------------------------------------------------


@dataclass
class Comparison:
    """One row of the table of targets: what each round cost with another library and with ours."""

    name: str
    unit: str
    other: str
    theirs: list[float]
    ours: list[float]
    least: float | None = None
    aim: float | None = None
    load: float = 0.0  # load average of the machine after the last round
    # What the memory traffic of ours costs by itself, where that was measured.
    floor: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """How many times faster ours is: the ratio of the medians."""
        return statistics.median(self.theirs) / statistics.median(self.ours)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest ratio of a round."""
        ratios = [a / b for a, b in zip(self.theirs, self.ours, strict=True)]
        return min(ratios), max(ratios)

    @property
    def over_floor(self) -> float | None:
        """How many times the floor ours takes."""
        return statistics.median(self.ours) / statistics.median(self.floor) if self.floor else None

    @property
    def verdict(self) -> str:
        if self.least is None:
            return ""
        if self.aim is not None and self.ratio >= self.aim:
            return "aim reached"
        return "reached" if self.ratio >= self.least else "NOT REACHED"

    def __str__(self) -> str:
        low, high = self.spread
        wanted = {"at least": self.least, "aim": self.aim}
        marks = ", ".join(f"{name} {x:g}" for name, x in wanted.items() if x is not None)
        return (
            f"{self.name:<44} {self.other} {number(statistics.median(self.theirs)):>8}, "
            f"ours {number(statistics.median(self.ours)):>8} {self.unit}: "
            f"{self.ratio:5.2f} x [{low:.2f}, {high:.2f}]  ({marks or 'no target'})  {self.verdict}"
            + (f"  {self.over_floor:.2f} x the floor" if self.floor else "")
        )


@dataclass
class Table:
    """Anything else that is printed in rows."""

    title: str
    columns: list[str]
    rows: list[list[Any]]
    notes: list[str] = field(default_factory=list)


@dataclass
class Curve:
    """Costs over a quantity, one line per series."""

    title: str
    x_label: str
    y_label: str
    x: list[float]
    series: dict[str, list[float]]
    log_x: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass
class Part:
    """The results of one part of the benchmarks."""

    name: str
    title: str
    notes: list[str] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    machine: dict[str, str] = field(default_factory=dict)

    def compare(
        self,
        name: str,
        unit: str,
        sides: dict[str, Callable[[], float]],
        rounds: int,
        least: float | None = None,
        aim: float | None = None,
    ) -> None:
        """Measure the other side, ours and, where it is known, the floor, and print the row."""
        (other, theirs), (_, ours), *floor = interleaved(sides, rounds).items()
        self.add(
            Comparison(
                name, unit, other, theirs, ours, least, aim, floor=dict(floor).get("floor", [])
            )
        )

    def add(self, comparison: Comparison) -> None:
        """Take in a row that was measured just now, and print it."""
        comparison.load = round(os.getloadavg()[0], 2)
        self.comparisons.append(comparison)
        print(comparison, flush=True)

    def skip(self, name: str, reason: str) -> None:
        self.notes.append(f"skipped: {name}: {reason}")
        print(self.notes[-1], flush=True)


def save(part: Part, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{part.name}.json").write_text(json.dumps(asdict(part), indent=1) + "\n")


def load(path: Path) -> Part:
    facts = json.loads(path.read_text())
    for name, kind in (("comparisons", Comparison), ("tables", Table), ("curves", Curve)):
        facts[name] = [kind(**each) for each in facts[name]]
    return Part(**facts)


# ---- report -----------------------------------------------------------------------------------


def number(value: Any) -> str:
    """A cell of a table: numbers with about three digits, anything else as it is."""
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def markdown_table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = [list(columns), *([number(cell) for cell in row] for row in rows)]
    lines.insert(1, ["---"] + ["---:"] * (len(lines[0]) - 1))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def comparison_table(comparisons: list[Comparison]) -> str:
    rows = []
    has_floor = any(each.floor for each in comparisons)
    for each in comparisons:
        low, high = each.spread
        rows.append(
            [
                each.name,
                each.other,
                f"{number(statistics.median(each.theirs))} {each.unit}",
                f"{number(statistics.median(each.ours))} {each.unit}",
                f"**{each.ratio:.2f}**",
                f"{low:.2f} - {high:.2f}",
                "" if each.least is None else f"{each.least:g}",
                "" if each.aim is None else f"{each.aim:g}",
                each.verdict,
                f"{each.load:.1f}",
                *(_floor_cells(each) if has_floor else ()),
            ]
        )
    header = "case,against,theirs,ours,ratio,of rounds,at least,aim,verdict,load".split(",")
    return markdown_table([*header, *(("floor", "ours / floor") if has_floor else ())], rows)


def _floor_cells(row: Comparison) -> tuple[str, str]:
    if not row.floor:
        return "", ""
    return f"{number(statistics.median(row.floor))} {row.unit}", f"{row.over_floor:.2f}"


def curve_table(curve: Curve) -> str:
    x = [int(value) if value == int(value) else value for value in curve.x]
    return markdown_table(
        [curve.x_label, *curve.series], zip(x, *curve.series.values(), strict=True)
    )


def report(title: str, parts: Iterable[Part], images: dict[str, list[str]]) -> str:
    """The Markdown page of the parts; `images` are the files of each part's plots."""
    lines = [f"# {title}", ""]
    machine: dict[str, str] = {}
    for part in parts:
        lines += [f"## {part.title}", ""]
        # Said once, and again where it is another one.
        if {**part.machine, "date": ""} != {**machine, "date": ""}:
            machine = part.machine
            lines += ["; ".join(f"{name}: {fact}" for name, fact in machine.items()) + ".", ""]
        else:
            lines += [f"Measured on the same machine, {part.machine['date']}.", ""]
        lines += [f"- {note}" for note in part.notes] + [""] * bool(part.notes)
        if part.comparisons:
            lines += [comparison_table(part.comparisons), ""]
        for table in part.tables:
            lines += [f"### {table.title}", "", markdown_table(table.columns, table.rows), ""]
            lines += [f"- {note}" for note in table.notes] + [""] * bool(table.notes)
        for curve in part.curves:
            lines += [f"### {curve.title}", "", f"{curve.y_label}:", "", curve_table(curve), ""]
            lines += [f"- {note}" for note in curve.notes] + [""] * bool(curve.notes)
        lines += [f"![{part.title}]({image})\n" for image in images.get(part.name, [])]
    return "\n".join(lines).rstrip() + "\n"


# ---- machine ----------------------------------------------------------------------------------


def machine() -> dict[str, str]:
    """What the numbers depend on."""
    from lightfm_clone import _core

    build = _core.build_info()
    facts = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "CPU": _cpu_model(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "instruction level": str(build["instruction level"]),
        "compiler": str(build["compiler"]),
        "python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            facts[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            facts[package] = "not installed"
    described = subprocess.run(
        ["git", "-C", str(RESULTS.parent), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
    )
    if described.returncode == 0:
        facts["commit"] = described.stdout.strip()
    return facts


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    family = [line.split(":", 1)[1].strip() for line in lines if line.startswith("cpu family")]
    model = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model\t")]
    if not (names and family and model):
        return platform.processor()
    return f"{names[0]} (family {family[0]}, model {model[0]})"
