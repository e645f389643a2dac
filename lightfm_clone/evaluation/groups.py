"""Which group each user belongs to: what `evaluate` understands as `groups`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lightfm_clone.evaluation.ranking import Ranks
from lightfm_clone.typing import Id

# Of the groups by history, by name.
LABELS: dict[str, tuple[Id, ...]] = {
    "activity": ("cold", "quartile 1", "quartile 2", "quartile 3", "quartile 4"),
    "cold": ("cold", "warm"),
}


def assign(
    groups: npt.ArrayLike, ranks: Ranks, has_train: bool
) -> tuple[list[Id], npt.NDArray[np.intp]]:
    """Labels of the groups, and for each user the position of their label."""
    if isinstance(groups, str):
        check_named(groups, has_train)
        bounds = quartiles(*counted(ranks.n_train))
        return list(LABELS[groups]), by_history(groups, ranks.n_train, bounds)
    array = np.asarray(groups)
    if array.shape != ranks.n_test.shape:
        raise ValueError(
            f"groups must have one label for each of the {len(ranks.n_test)} users, got an array "
            f"of shape {array.shape}"
        )
    try:
        missing = bool((array != array).any())  # NaN
        labels, positions = np.unique(array, return_inverse=True)
    except TypeError:  # None among strings, for one
        missing = True
    if missing:
        raise ValueError(
            "groups must have labels of one kind, got missing or mixed ones; fill them in"
        )
    return labels.tolist(), positions


def check_named(name: str, has_train: bool) -> None:
    """Check that groups by history have this name, and that there is a history."""
    if name not in LABELS:
        raise ValueError(
            f"groups must be 'activity', 'cold' or an array with one label per user, got {name!r}"
        )
    if not has_train:
        raise ValueError(
            f"groups={name!r} needs train_interactions, whose entries it counts; pass "
            "train_interactions, or an array of labels"
        )


def by_history(
    name: str, n_train: npt.NDArray[np.int64], bounds: list[float]
) -> npt.NDArray[np.intp]:
    """For each user the position of their label in LABELS[name].

    `bounds` are the `quartiles` of all users, for "activity".
    """
    if name == "cold":
        return (n_train > 0).astype(np.intp)
    return np.searchsorted([0, *bounds], n_train)


def counted(
    n_train: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The distinct numbers of entries of users who have some, ascending, and how many have each."""
    return np.unique(n_train[n_train > 0], return_counts=True)


def quartiles(counts: npt.NDArray[np.int64], n_users: npt.NDArray[np.int64]) -> list[float]:
    """The quartiles, interpolated linearly, of what `counted` gives; none where nobody has any.

    All steps are exact, so that shards of the users can be counted apart.
    """
    if not len(counts):
        return []
    ends = np.cumsum(n_users)  # of each count, in the ordered list of all users
    at = np.array([0.25, 0.5, 0.75]) * (ends[-1] - 1)
    below = np.floor(at)
    low, high = (counts[np.searchsorted(ends, place, "right")] for place in (below, np.ceil(at)))
    bounds: list[float] = (low + (high - low) * (at - below)).tolist()
    return bounds
