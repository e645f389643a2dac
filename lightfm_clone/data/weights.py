"""Weights of interactions, from the interactions themselves."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from lightfm_clone import _checks as checks
from lightfm_clone.typing import Interactions


@checks.names_ours
def activity_weights(interactions: Interactions, power: float = 0.5) -> sp.coo_matrix:
    """Sample weights by which active users count less: n_u^(-power), of mean 1.

    A loss counts interactions, while most metrics are means over users. With weights of
    n_u^(-1/2), where n_u is how many interactions the user has, the two come nearer to each other.
    It pays where users differ in how much they do (MovieLens 1M), and does nothing where all have
    about as many (Last.fm); docs/guide/choosing-a-loss.md has numbers.

    Parameters
    ----------
    interactions : sparse matrix [n_users, n_items] of any format and numeric dtype
        What `LightFM.fit` is given besides.
    power : float, default 0.5
        0 weighs all interactions the same, 1 all users.

    Returns
    -------
    COO matrix float32 [n_users, n_items]
        For ``fit(sample_weight=...)``: an entry for each one of `interactions`, in the same order.

    Raises
    ------
    ValueError
        For what is no such matrix, or a power that is not a finite number.

    Examples
    --------
    >>> from lightfm_clone import LightFM
    >>> from lightfm_clone.data import activity_weights
    >>> from lightfm_clone.datasets import synthetic_catalogue
    >>> train = synthetic_catalogue(random_state=0).interactions
    >>> model = LightFM(loss="softmax", random_state=0)
    >>> model = model.fit(train, sample_weight=activity_weights(train), epochs=5)
    """
    if not checks.is_real(power) or not np.isfinite(power):
        raise ValueError(f"power must be a finite number, got {power!r}")
    coo = checks.as_coo(interactions, "interactions")
    counts = np.bincount(coo.row, minlength=coo.shape[0]).astype(np.float64)
    logs = -float(power) * np.log(counts[coo.row])
    # Less the largest, so that under any power the largest weight is a number above 0.
    weights = np.exp(logs - logs.max(initial=-np.inf))
    if len(weights):
        weights /= weights.mean()
    entries = weights.astype(np.float32), (coo.row, coo.col)
    return sp.coo_matrix(entries, shape=coo.shape)
