"""The bootstrap: how far means over users would move with other users of the same kind."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lightfm_clone._checks import check_random_state, is_integer, is_real
from lightfm_clone.typing import Seed


def bootstrap(
    values: npt.NDArray[np.float64], level: float, n_resamples: int, random_state: Seed
) -> list[tuple[float, float]]:
    """Percentile intervals of the means of columns [n_users, n], all of which see the same draws.

    Users are drawn with replacement, as many as there are, `n_resamples` times.
    """
    if not is_real(level) or not 0 < level < 1:
        raise ValueError(f"level must be a number in (0, 1), got {level!r}")
    if not is_integer(n_resamples) or n_resamples < 1:
        raise ValueError(f"n_resamples must be a whole number of at least 1, got {n_resamples!r}")
    # A Generator draws several times faster than a RandomState.
    seed = check_random_state(random_state).randint(2**32, size=4, dtype=np.uint32)
    random = np.random.default_rng(seed)
    n = len(values)
    means = np.empty((n_resamples, values.shape[1]))
    at_once = max(1, 2**20 // n)  # bounds the memory, to 8 MB or one draw of all users
    for start in range(0, n_resamples, at_once):
        rows = min(at_once, n_resamples - start)
        drawn = random.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        means[start : start + rows] = counts @ values / n
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0).tolist()
    return list(zip(low, high, strict=True))
