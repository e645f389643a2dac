"""Measures of recommended lists: what is recommended, not whether it is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lightfm_clone._checks import (
    as_csr,
    check_lists,
    is_integer,
    is_real,
    is_sparse,
    names_ours,
)
from lightfm_clone.typing import FeatureMatrix, Interactions


def _mean_of_lists(values: npt.NDArray[Any], ids: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Means of values [n_items] over the items of each list; NaN for an empty list."""
    lengths = (ids >= 0).sum(axis=1)
    sums = np.append(values, 0)[ids].sum(axis=1)  # the padding, -1, takes the 0 at the end
    means = np.full(len(ids), np.nan)
    np.divide(sums, lengths, out=means, where=lengths > 0)
    return means


@names_ours
def catalogue_coverage(ids: npt.ArrayLike, n_items: int) -> float:
    """Share of the catalogue that is recommended to anybody.

    With L_u the list of user u::

        coverage = |union of all L_u| / n_items

    (Ge, Delgado-Battenfeld and Jannach, "Beyond accuracy: evaluating recommender systems by
    coverage and serendipity", RecSys 2010.)

    Parameters
    ----------
    ids : integers [n, k]
        Recommended items, a list per row, as `LightFM.recommend` returns them; -1 is no item.
    n_items : int
        Size of the catalogue.

    Returns
    -------
    float
        0 for nothing, 1 when every item is in some list.

    Raises
    ------
    ValueError
        For n_items < 1, and ids of another shape or type or beyond n_items.

    Examples
    --------
    >>> from lightfm_clone.evaluation import catalogue_coverage
    >>> catalogue_coverage([[0, 1], [1, -1]], n_items=4)
    0.5
    """
    if not is_integer(n_items) or n_items < 1:
        raise ValueError(f"n_items must be a whole number of at least 1, got {n_items!r}")
    items = check_lists(ids, n_items)
    recommended = np.zeros(n_items, dtype=bool)
    recommended[items[items >= 0]] = True
    return float(recommended.mean())


@names_ours
def novelty(ids: npt.ArrayLike, train_interactions: Interactions) -> npt.NDArray[np.float64]:
    """Mean self-information of each list's items: how few users know them.

    With n_i the number of the n_users users who have item i in `train_interactions`::

        novelty of list L = 1 / |L| * sum over i in L of log2(n_users / max(n_i, 1))

    in bits: 0 for items that everybody knows, 1 for items that every second user knows. An item
    that nobody knows counts as one that a single user does. (Zhou et al., "Solving the apparent
    diversity-accuracy dilemma of recommender systems", PNAS 107(10), 2010.)

    Parameters
    ----------
    ids : integers [n, k]
        Recommended items, a list per row, as `LightFM.recommend` returns them; -1 is no item.
    train_interactions : sparse matrix [n_users, n_items]
        Its stored entries are what users know; the users need not be those of the lists.

    Returns
    -------
    float64 [n]
        One value per list; NaN for a list without items.

    Raises
    ------
    ValueError
        For a bad matrix, and ids of another shape or type or beyond its columns.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from lightfm_clone.evaluation import novelty
    >>> train = sp.csr_matrix([[1, 1, 0], [1, 0, 1], [1, 1, 0], [1, 0, 0]])
    >>> novelty([[0, 1], [2, -1]], train)
    array([0.5, 2. ])
    """
    train = as_csr(train_interactions, "train_interactions")
    n_users, n_items = train.shape
    n_knowing = np.bincount(train.indices, minlength=n_items)
    information = np.log2(max(n_users, 1) / np.maximum(n_knowing, 1))
    return _mean_of_lists(information, check_lists(ids, n_items))


@names_ours
def popularity_share(
    ids: npt.ArrayLike, train_interactions: Interactions, head: float = 0.2
) -> npt.NDArray[np.float64]:
    """Share of each list that goes to the most popular items.

    With H the `head` share of all items that have most entries in `train_interactions`::

        popularity share of list L = |items of L that are in H| / |L|

    which is 1 minus the share of the long tail. Of items equally popular, those of lower number
    come first. (Abdollahpouri, Burke and Mobasher, "Managing popularity bias in recommender systems
    with personalized re-ranking", FLAIRS 2019, where 1 minus its mean is APLT.)

    Parameters
    ----------
    ids : integers [n, k]
        Recommended items, a list per row, as `LightFM.recommend` returns them; -1 is no item.
    train_interactions : sparse matrix [n_users, n_items]
    head : float in (0, 1], default 0.2
        Share of the items that count as popular, rounded to whole items, at least one.

    Returns
    -------
    float64 [n]
        One value per list; NaN for a list without items.

    Raises
    ------
    ValueError
        For a bad matrix, head outside (0, 1], and ids of another shape or type or beyond the
        columns of the matrix.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from lightfm_clone.evaluation import popularity_share
    >>> train = sp.csr_matrix([[1, 1, 0, 0, 0], [1, 0, 1, 0, 0]])
    >>> popularity_share([[0, 1], [2, -1]], train)  # the head is item 0
    array([0.5, 0. ])
    """
    if not is_real(head) or not 0 < head <= 1:
        raise ValueError(f"head must be a number in (0, 1], got {head!r}")
    train = as_csr(train_interactions, "train_interactions")
    n_items = train.shape[1]
    n_entries = np.bincount(train.indices, minlength=n_items)
    by_popularity = np.argsort(-n_entries, kind="stable")
    popular = np.zeros(n_items)
    popular[by_popularity[: max(1, round(head * n_items))]] = 1
    return _mean_of_lists(popular, check_lists(ids, n_items))


@names_ours
def intra_list_diversity(
    ids: npt.ArrayLike, item_vectors: FeatureMatrix | npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Mean distance between the items of each list.

    With cos(i, j) the cosine of the vectors of items i and j::

        diversity of list L = 1 / (|L| (|L| - 1)) * sum over i != j in L of 1 - cos(i, j)

    0 when all vectors of a list point the same way. An item whose vector is all zeros is at
    distance 1 from every other. (Smyth and McClave, "Similarity vs. diversity", ICCBR 2001;
    Ziegler et al., "Improving recommendation lists through topic diversification", WWW 2005, which
    sums the similarities instead.)

    Parameters
    ----------
    ids : integers [n, k]
        Recommended items, a list per row, as `LightFM.recommend` returns them; -1 is no item.
    item_vectors : array or sparse matrix [n_items, n_dimensions]
        What makes items alike: tags (a feature matrix), or the model's own
        ``get_item_representations(item_features)[1]``.

    Returns
    -------
    float64 [n]
        One value per list, from 0 to 2; NaN for a list of fewer than two items.

    Raises
    ------
    ValueError
        For vectors that are not a finite matrix, and ids of another shape or type or beyond its
        rows.

    Examples
    --------
    >>> from lightfm_clone.evaluation import intra_list_diversity
    >>> vectors = [[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]
    >>> intra_list_diversity([[0, 1, -1], [0, 1, 2], [2, -1, -1]], vectors).round(4)
    array([0.    , 0.6667,    nan])
    """
    vectors: Any
    if is_sparse(item_vectors):
        vectors = as_csr(item_vectors, "item_vectors").astype(np.float64)
    else:
        vectors = np.asarray(item_vectors, dtype=np.float64)
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise ValueError(
                "item_vectors must be a matrix [n_items, n_dimensions] of finite numbers, got "
                f"shape {vectors.shape}{' with NaN or infinity' if vectors.ndim == 2 else ''}"
            )
    items = check_lists(ids, vectors.shape[0])
    norms = np.sqrt(_squared_norms(vectors))
    scale = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)
    vectors = sp.diags(scale) @ vectors
    # The squared norm of a sum of unit vectors is their number plus the cosines of all pairs.
    held = items >= 0
    lengths = held.sum(axis=1)
    lists: Any = sp.csr_matrix(
        (np.ones(lengths.sum()), items[held], np.append(0, np.cumsum(lengths))),
        shape=(len(items), len(norms)),
    )
    cosines = _squared_norms(lists @ vectors) - lists @ (norms > 0)
    pairs = lengths * (lengths - 1)
    means = np.full(len(items), np.nan)
    np.divide(cosines, pairs, out=means, where=pairs > 0)
    return (1 - means).clip(min=0)


def _squared_norms(matrix: Any) -> npt.NDArray[np.float64]:
    """Of the rows of an array or a sparse matrix."""
    if is_sparse(matrix):
        sums: npt.NDArray[np.float64] = np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel()
    else:
        sums = np.einsum("ij,ij->i", matrix, matrix)
    return sums
