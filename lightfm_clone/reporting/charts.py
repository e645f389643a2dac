"""Pictures as SVG that takes its colours from the page, so that it is light or dark as that is.

Matplotlib draws with colours that stand for names; in the SVG they become variables of CSS. Texts
stay texts, in the font of the page.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from io import StringIO
from typing import Any
from xml.etree import ElementTree

import numpy.typing as npt

from lightfm_clone import plots
from lightfm_clone.evaluation import Comparison
from lightfm_clone.reporting.parts import shown
from lightfm_clone.typing import Record

_SHORT = 20  # characters of a name in a picture
_WIDTH = 4.4  # inches; 422 pixels on a wide screen, and texts can be read on a phone
# Colours that stand for names of `page.css`: those that `plots` draws with, and those of axes.
_SERIES = tuple(colour.lower() for colour in plots.COLOURS)
_NAMES = {colour: f"var(--series-{place})" for place, colour in enumerate(_SERIES)}
_INK, _MUTED, _RULE, _PAPER = "#010101", "#808080", "#030303", "#040404"
_NAMES |= {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _RULE: "var(--rule)",
    _PAPER: "var(--paper)",
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a $ is a $
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.title_fontsize": 9,
    "legend.frameon": False,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _MUTED,
    "axes.facecolor": _PAPER,
    "figure.facecolor": "none",
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "grid.color": _RULE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
}
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def differences(comparison: Comparison, metric: str, said: str) -> Any:
    """The differences of the other models to this one; `said` tells those who do not see it."""

    def draw(ax: Any) -> None:
        plots.plot_comparison(comparison, metric, ax=ax)
        ax.set_yticks(ax.get_yticks(), _short(comparison.differences))
        ax.set_xlabel(f"difference in {metric}, with {100 * comparison.level:g} % intervals")
        ax.locator_params(axis="x", nbins=5)

    return _drawn("differences", draw, 1.0 + 0.34 * len(comparison.differences), said)


def groups(comparison: Comparison, metric: str, said: str) -> Any:
    """A metric by group of people, for all models."""
    n_groups, names = len(comparison.groups) + 1, _short(comparison)
    n_columns = 2 if len(max(names, key=len)) > 12 else 3

    def draw(ax: Any) -> None:
        plots.plot_groups(comparison, metric, ax=ax)
        ax.locator_params(axis="x", nbins=5)
        if ax.get_legend() is not None:  # beside the axes it hides nothing
            ax.get_legend().remove()
            ax.figure.legend(ax.containers, names, loc="outside lower center", ncols=n_columns)

    height = 0.8 + n_groups * (0.2 + 0.17 * len(names)) + 0.2 * len(names) / n_columns
    return _drawn("groups", draw, height, said)


def _short(names: Iterable[str]) -> list[str]:
    return [shown(name, _SHORT) for name in names]


def popularity(counts: npt.NDArray[Any], others: dict[str, npt.NDArray[Any]], said: str) -> Any:
    """Lorenz curves of interactions, and of lists of items."""
    return _drawn("popularity", lambda ax: plots.plot_popularity(counts, others, ax=ax), 3.3, said)


def learning_curves(history: Sequence[Record], said: str) -> Any:
    """The loss, and metrics of a validation, by epoch."""
    return _drawn("learning", lambda ax: plots.plot_learning_curves(history, ax=ax), 2.9, said)


def scatter(
    points: npt.NDArray[Any],
    groups: npt.NDArray[Any],
    numbered: Sequence[int],
    shares: npt.NDArray[Any],
    said: str,
) -> Any:
    """Points [n, 2], by groups in colour and shape; those of -1 are of none.

    `numbered` are points to be numbered from 1 on, `shares` how much the two axes tell of all.
    """

    def draw(ax: Any) -> None:
        styles = [(_MUTED, "."), *zip(_SERIES, MARKERS, strict=False)]  # of no group, then of each
        for group, (colour, marker) in enumerate(styles, -1):
            own = points[groups == group]
            ax.plot(*own.T, marker, color=colour, markersize=3.6, alpha=0.8, markeredgewidth=0)
        plate = {"boxstyle": "circle,pad=0.15", "fc": _PAPER, "ec": _INK, "lw": 0.6}
        for number, at in enumerate(numbered, 1):
            ax.annotate(str(number), points[at], size=7, ha="center", va="center", bbox=plate)
        ax.set(xticks=[], yticks=[], aspect="equal")
        ax.set_xlabel(f"first component, {shares[0]:.0%} of the variance")
        ax.set_ylabel(f"second component, {shares[1]:.0%}")
        ax.set_adjustable("datalim")

    return _drawn("map", draw, 3.6, said)


def _drawn(name: str, draw: Callable[[Any], Any], height: float, said: str) -> Any:
    """The SVG of what is drawn on axes, without their title, which the page has."""
    from markupsafe import Markup
    from matplotlib import style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    file = StringIO()
    # Whatever style is set, equal pictures are equal texts, and no two of a page share an id.
    with style.context(["default", {**_STYLE, "svg.hashsalt": name}]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the browser has other fonts
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        ax = figure.subplots()
        draw(ax)
        ax.set_title("")
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return Markup(_for_page(file.getvalue(), said))  # whose texts ElementTree has escaped


def _for_page(svg: str, said: str) -> str:
    """An SVG as it stands in HTML: with a name, and colours of the page."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        if parent.tag == f"{{{_SVG}}}g":
            parent.attrib.pop("id", None)  # which nothing refers to, and other pictures have, too
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
        style = parent.get("style")
        if style is not None:
            parent.set("style", re.sub("#[0-9a-f]{6}", _named, style))
    for name in ("width", "height", "version"):
        del root.attrib[name]
    root.set("role", "img")
    root.set("aria-label", said)
    return ElementTree.tostring(root, encoding="unicode")


def _named(colour: re.Match[str]) -> str:
    return _NAMES.get(colour[0], colour[0])
