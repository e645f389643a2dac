"""Plots with matplotlib: `pip install "lightfm-clone[plots]"`.

Each draws on the axes it is given, or on those of a new figure, and returns them: title, limits and
file are yours from there. Series differ in colour and in marker or dashes, and the colours are told
apart by colour-blind eyes too (Okabe and Ito, "Color universal design", 2008).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lightfm_clone._checks import as_csr, check_lists, is_sparse
from lightfm_clone._extras import needs
from lightfm_clone.evaluation import Comparison
from lightfm_clone.evaluation.results import Means, parts
from lightfm_clone.typing import Interactions, Model, Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_comparison", "plot_groups", "plot_learning_curves", "plot_popularity"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # one more, so that pairs repeat late
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))

# Of the records of a model, what is no measure of it.
_NOT_DRAWN = ("epoch", "seconds", "violation_rate", "mean_tries")


def plot_learning_curves(
    model: Model | Sequence[Record],
    metrics: str | Iterable[str] | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """The loss and the validation metrics of each epoch.

    Parameters
    ----------
    model : LightFM or list of dicts
        A fitted model, or its `history_`.
    metrics : str or iterable of str, optional
        Which numbers of the history; by default the loss, and all metrics of the validation.
    ax : matplotlib Axes, default those of a new figure

    Returns
    -------
    matplotlib Axes
        With the loss. Where there are others besides it, they have a second axis on the right,
        which is the last of ``ax.figure.axes``.

    Raises
    ------
    ValueError
        Where no epoch has been trained, or none has such a number.
    ImportError
        Where matplotlib is not installed.
    """
    history = list(getattr(model, "history_", model))
    if not history:
        raise ValueError("model has no epoch in its history_ yet: call fit first")
    known = list(dict.fromkeys(name for record in history for name in record))
    if metrics is None:
        names = measures_of(history)
    else:
        names = [metrics] if isinstance(metrics, str) else list(metrics)
    if not names or not set(names) <= set(known):
        raise ValueError(
            f"metrics must be among {', '.join(map(repr, known))}, what the history holds, got "
            f"{metrics!r}; pass validation= to fit for more"
        )
    ax = _axes(ax)
    from matplotlib.ticker import MaxNLocator

    others = [name for name in names if name != "loss"]
    right = ax.twinx() if others and "loss" in names else ax
    epochs = np.arange(1, len(history) + 1)
    for name, (colour, marker, dashes) in zip(names, _styles(), strict=False):
        values = [record.get(name, np.nan) for record in history]
        (ax if name == "loss" else right).plot(
            epochs, values, color=colour, marker=marker, markersize=4, ls=dashes, label=name
        )
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylabel("loss" if "loss" in names else ", ".join(others))
    ax.set_title("Learning curves")
    if right is not ax:
        right.set_ylabel(", ".join(others))
    if len(names) > 1:
        lines = [*ax.get_lines(), *(right.get_lines() if right is not ax else ())]
        # Below the axes: curves that fall and curves that rise leave no corner free.
        right.legend(
            handles=lines, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=4, frameon=False
        )
    return ax


def plot_groups(evaluation: Means | Comparison, metric: str, *, ax: Axes | None = None) -> Axes:
    """A metric for each group of users, with 1.96 standard errors.

    Parameters
    ----------
    evaluation : Evaluation or Comparison
        With groups: of ``evaluate(..., groups=...)``. Of a Comparison every model is drawn.
    metric : str
        One of those that were evaluated.
    ax : matplotlib Axes, default those of a new figure

    Returns
    -------
    matplotlib Axes
        The groups from top to bottom, with their numbers of users.

    Raises
    ------
    ValueError
        Where there are no groups, and for a metric that was not evaluated.
    ImportError
        Where matplotlib is not installed.
    """
    if not evaluation.groups:
        raise ValueError(
            "evaluation has no groups; ask for some, as in evaluate(..., groups='activity')"
        )
    models = dict(evaluation) if isinstance(evaluation, Comparison) else {"": evaluation}
    every = [parts(of_model) for of_model in models.values()]
    _check_metric(metric, every[0][0][1])
    ax = _axes(ax)
    lines = np.arange(len(every[0]))
    shifts = 0.6 * ((np.arange(len(models)) + 0.5) / len(models) - 0.5)
    for name, groups, shift, (colour, marker, _) in zip(
        models, every, shifts, _styles(), strict=False
    ):
        ax.errorbar(
            [group[metric] for _, group in groups],
            lines + shift,
            xerr=[1.96 * group.standard_errors[metric] for _, group in groups],
            color=colour,
            marker=marker,
            ls="none",
            capsize=3,
            label=name,
        )
    labels = [f"{label}\n{group.n_users:,} users" for label, group in every[0]]
    _set_lines(ax, labels)
    ax.set_xlabel(f"{metric} ± 1.96 standard errors")
    ax.set_title(f"{metric} by group of users")
    if len(models) > 1:
        ax.legend(loc="best")
    return ax


def plot_comparison(comparison: Comparison, metric: str, *, ax: Axes | None = None) -> Axes:
    """The differences of the models to the baseline, with their intervals.

    Parameters
    ----------
    comparison : Comparison
    metric : str
        One of those that were evaluated.
    ax : matplotlib Axes, default those of a new figure

    Returns
    -------
    matplotlib Axes
        The models from top to bottom; the marker is hollow where 0 is in the interval.

    Raises
    ------
    ValueError
        Where there is nothing beside the baseline, and for a metric that was not evaluated.
    ImportError
        Where matplotlib is not installed.
    """
    if not comparison.differences:
        raise ValueError(
            f"comparison has no model beside the baseline, {comparison.baseline!r}; pass the "
            "evaluations of two at least to Comparison"
        )
    _check_metric(metric, comparison[comparison.baseline])
    ax = _axes(ax)
    ax.axvline(0, color="grey", lw=1)
    for line, of_metrics in enumerate(comparison.differences.values()):
        mean, low, high = difference = of_metrics[metric]
        ax.plot([low, high], [line, line], color=COLOURS[0], marker="|")
        inside = COLOURS[0] if difference.is_significant else ax.get_facecolor()
        ax.plot([mean], [line], color=COLOURS[0], marker="o", markerfacecolor=inside)
    _set_lines(ax, list(comparison.differences))
    mean = comparison[comparison.baseline][metric]
    ax.set_xlabel(f"difference in {metric}, with {100 * comparison.level:g} % intervals")
    ax.set_title(f"{metric} above that of {comparison.baseline} ({mean:.4f})")
    return ax


def plot_popularity(
    interactions: Interactions | npt.ArrayLike,
    lists: npt.ArrayLike | Mapping[str, npt.ArrayLike] | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """How much goes to how few items: Lorenz curves of interactions and of recommended lists.

    A point (x, y) of a curve says that the share x of the items, those that occur most, makes up
    the share y of all. Each curve has its own order of items. The legend has its Gini coefficient:
    0 where all items occur equally often, and nearly 1 where a single one is all there is.

    Parameters
    ----------
    interactions : sparse matrix [n_users, n_items] or array [n_items]
        Its stored entries are counted; or the counts themselves.
    lists : integers [n, k], or dict of str to these, optional
        Recommended items, a list per row, as `LightFM.recommend` returns them; -1 is no item.
        A dict draws several, by their names.
    ax : matplotlib Axes, default those of a new figure

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        For a bad matrix, for counts that are negative or not finite, for ids beyond the items,
        and where there is nothing to count.
    ImportError
        Where matplotlib is not installed.
    """
    every = {"interactions": _counts(interactions)}
    n_items = len(every["interactions"])
    if lists is not None:
        for name, ids in (lists if isinstance(lists, Mapping) else {"lists": lists}).items():
            items = check_lists(ids, n_items)
            every[str(name)] = np.bincount(items[items >= 0], minlength=n_items)
    empty = [name for name, counts in every.items() if not counts.sum() > 0]
    if empty:
        raise ValueError(f"there is nothing to draw of {empty[0]}: no item occurs in them")
    ax = _axes(ax)
    share = np.arange(n_items + 1) / n_items
    ax.plot([0, 1], [0, 1], color="grey", lw=1, label="all items equally often")
    for (name, counts), (colour, _, dashes) in zip(every.items(), _styles(), strict=False):
        curve, gini = lorenz(counts)
        ax.plot(share, curve, color=colour, ls=dashes, label=f"{name}: {gini:.2f}")
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="share of the items, those that occur most first")
    ax.set_ylabel("share of all" if lists is not None else "share of the interactions")
    ax.set_title("Popularity")
    ax.legend(loc="lower right", title="Gini coefficient")
    return ax


# ---- shared --------------------------------------------------------------------------------------


def _axes(ax: Axes | None) -> Any:
    """Those given, or new ones."""
    if ax is not None:
        return ax
    needs("plots", "a plot", "matplotlib")
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1]


def _styles() -> Iterator[tuple[str, str, Any]]:
    """Colours with markers and dashes, without end."""
    return zip(cycle(COLOURS), cycle(_MARKERS), cycle(_DASHES), strict=True)


def _set_lines(ax: Any, labels: list[str]) -> None:
    """Names on the left, a line each, the first on top."""
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.grid(axis="x", alpha=0.3)


def _check_metric(metric: str, evaluation: Means) -> None:
    if metric not in evaluation:
        raise ValueError(
            f"metric must be one of those evaluated, {', '.join(map(repr, evaluation))}, got "
            f"{metric!r}"
        )


def _counts(interactions: Any) -> npt.NDArray[Any]:
    """How often each item occurs."""
    if not is_sparse(interactions) and np.ndim(interactions) == 1:
        counts = np.asarray(interactions)
        if counts.dtype.kind not in "buif" or not (np.isfinite(counts) & (counts >= 0)).all():
            raise ValueError(
                "interactions must be a matrix, or for each item the number of its interactions, "
                f"finite and not negative, got {counts!r}"
            )
        return counts
    csr = as_csr(interactions, "interactions")
    return np.bincount(csr.indices, minlength=csr.shape[1])


def measures_of(history: Sequence[Record]) -> list[str]:
    """What a history has of a model: the loss, and all metrics of the validation."""
    known = dict.fromkeys(name for record in history for name in record)
    return [name for name in known if name not in _NOT_DRAWN]


def lorenz(counts: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], float]:
    """The curve of `plot_popularity` for counts [n], from 0 to 1 [n + 1], and its coefficient."""
    sums = np.append(0, np.cumsum(np.sort(counts)[::-1]))
    area = (sums[1:] + sums[:-1]).sum() / (2 * sums[-1] * (len(sums) - 1))
    return sums / sums[-1], float(2 * area - 1)
