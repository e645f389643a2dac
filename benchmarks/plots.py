"""PNG plots of a part's results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import Comparison, Curve, Part, Table

OURS, LEAST, AIM, FLOOR = "#3b6ea5", "#c0392b", "#27864b", "#b0b7bf"


def draw(part: Part, folder: Path) -> list[str]:
    """Draw what the part has, and return the names of the files in `folder`."""
    try:
        import matplotlib
    except ImportError as error:
        raise SystemExit(
            f"{error}: plots need matplotlib; install it with "
            "`pip install -r benchmarks/requirements.txt`, or pass --no-plots"
        ) from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figures = {}
    if part.comparisons:
        figures["ratios"] = _ratios(pyplot, part.comparisons)
    if part.curves:
        figures["curves"] = _curves(pyplot, part.curves)
    if part.name == "floor" and part.tables:
        figures["floor"] = _floor(pyplot, part.tables[0])
    names = []
    for kind, figure in figures.items():
        names.append(f"{part.name}-{kind}.png")
        figure.suptitle(part.title)
        figure.savefig(folder / names[-1], dpi=100)
        pyplot.close(figure)
    return names


def _ratios(pyplot: Any, comparisons: list[Comparison]) -> Any:
    """A bar for each row with the spread of its rounds, and marks at what is wanted."""
    figure, axes = pyplot.subplots(
        figsize=(10, 1.5 + 0.36 * len(comparisons)), layout="constrained"
    )
    for y, each in enumerate(reversed(comparisons)):
        low, high = each.spread
        axes.barh(y, each.ratio, color=OURS, height=0.6)
        axes.plot([low, high], [y, y], color="black", linewidth=1)
        for value, colour in ((each.least, LEAST), (each.aim, AIM)):
            if value is not None:
                axes.plot([value, value], [y - 0.4, y + 0.4], color=colour, linewidth=2.5)
    axes.set_yticks(range(len(comparisons)), [each.name for each in reversed(comparisons)])
    axes.plot([], [], color=LEAST, label="at least")
    axes.plot([], [], color=AIM, label="aim")
    axes.plot([], [], color="black", linewidth=1, label="rounds")
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_xlim(left=0)
    axes.set_xlabel("times faster")
    figure.legend(loc="outside lower left", ncols=3)
    return figure


def _curves(pyplot: Any, curves: list[Curve]) -> Any:
    figure, all_axes = pyplot.subplots(
        1, len(curves), figsize=(5.5 * len(curves), 4.5), squeeze=False, layout="constrained"
    )
    for axes, curve in zip(all_axes[0], curves, strict=True):
        for name, y in curve.series.items():
            axes.plot(curve.x, y, marker="o", label=name)
        if curve.log_x:
            axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel(curve.x_label)
        axes.set_ylabel(curve.y_label)
        axes.set_title(curve.title, fontsize=9)
        axes.legend()
    return figure


def _floor(pyplot: Any, table: Table) -> Any:
    figure, axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
    columns = {name: [row[at] for row in table.rows] for at, name in enumerate(table.columns)}
    for shift, name, colour in ((-0.2, "floor ns", FLOOR), (0.2, "ours ns", OURS)):
        places = [x + shift for x in range(len(table.rows))]
        axes.bar(places, columns[name], width=0.4, color=colour, label=name.split()[0])
    labels = [f"{row[0]}\nd={row[1]}" for row in table.rows]
    axes.set_xticks(range(len(table.rows)), labels, fontsize=8)
    axes.set_ylabel("ns/example")
    axes.legend()
    return figure
