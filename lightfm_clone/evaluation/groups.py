"""Which group each user belongs to: what `evaluate` understands as `groups`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lightfm_clone.evaluation.ranking import Ranks
from lightfm_clone.typing import Id


def assign(
    groups: npt.ArrayLike, ranks: Ranks, has_train: bool
) -> tuple[list[Id], npt.NDArray[np.intp]]:
    """Labels of the groups, and for each user the position of their label."""
    if isinstance(groups, str):
        return _by_history(groups, ranks.n_train, has_train)
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


def _by_history(
    name: str, n_train: npt.NDArray[np.int64], has_train: bool
) -> tuple[list[Id], npt.NDArray[np.intp]]:
    if name not in ("activity", "cold"):
        raise ValueError(
            f"groups must be 'activity', 'cold' or an array with one label per user, got {name!r}"
        )
    if not has_train:
        raise ValueError(
            f"groups={name!r} needs train_interactions, whose entries it counts; pass "
            "train_interactions, or an array of labels"
        )
    if name == "cold":
        return ["cold", "warm"], (n_train > 0).astype(np.intp)
    warm = n_train[n_train > 0]
    bounds = [0, *(np.quantile(warm, [0.25, 0.5, 0.75]) if len(warm) else ())]
    labels: list[Id] = ["cold", *(f"quartile {number}" for number in range(1, 5))]
    return labels, np.searchsorted(bounds, n_train)
