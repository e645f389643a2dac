"""Top-N lists and nearest neighbours.

Vectors go to the compiled core in blocks of users, with the items packed once; selection is fused
behind the scores, which never leave the cache. Beside the result (8 bytes for each of its entries)
and the vectors of the items, twice, a call needs the vectors and the excluded items of _BLOCK
users, however many users it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np

from lightfm_clone import _core
from lightfm_clone import _validation as validation

_BLOCK = 4096  # users whose vectors are made at a time
_FEW = 12  # up to this many users, packing the items costs more than it saves


def recommend(
    model: Any,
    user_ids: Any,
    k: int,
    *,
    user_features: Any,
    item_features: Any,
    exclude: Any,
    items: Any,
    user_representations: Any,
    num_threads: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """See `LightFM.recommend`."""
    threads = validation.check_num_threads(num_threads)
    item_csr = model._check_prediction_features(item_features, "item", exact=False)
    n_items = len(model.item_biases) if item_csr is None else item_csr.shape[0]
    candidates = None
    if items is not None:
        candidates = np.unique(validation.check_ids(items, "items", n_items, "items"))
        if len(candidates) == n_items:
            candidates = None

    if user_representations is None:
        user_csr = model._check_prediction_features(user_features, "user", exact=False)
        n_users, rows_name = len(model.user_biases), "users of the fit"
        if user_csr is not None:
            n_users, rows_name = user_csr.shape[0], "rows of user_features"

        def vectors_of(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return model._representations("user", user_csr, rows)
    elif user_features is not None:
        raise ValueError(
            "user_features and user_representations both say who the users are; pass one of them"
        )
    else:
        biases, vectors = validation.check_representations(
            user_representations, "user_representations", model.item_embeddings.shape[1]
        )
        n_users, rows_name = len(biases), "rows of user_representations"

        def vectors_of(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return biases[rows], vectors[rows]

    users = np.arange(n_users, dtype=np.int32)
    if user_ids is not None:
        users = validation.check_ids(user_ids, "user_ids", n_users, rows_name)
    begins, ends, excluded = (np.zeros(len(users), dtype=np.int64),) * 2 + (users[:0],)
    if exclude is not None:
        least_rows = n_users if user_ids is None else int(users.max()) + 1
        known = validation.check_exclude(exclude, least_rows, user_ids is None, n_items)
        if candidates is not None:
            known = known[:, candidates]
        indptr, excluded, _ = validation.csr_parts(known.sorted_indices())
        begins, ends = indptr[users], indptr[users + 1]

    item_biases, item_vectors = model._representations("item", item_csr, candidates)
    ids, scores = _best(
        lambda at: vectors_of(users[at]),
        getattr(model, "global_mean_", 0.0),
        validation.check_rankable("item", item_biases, item_vectors),
        (begins, ends, excluded),
        k,
        threads,
    )
    return _ids_among(candidates, ids), scores


def similar(
    model: Any,
    side: str,
    ids: Any,
    k: int,
    *,
    features: Any,
    metric: str,
    among: Any,
    num_threads: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """See `LightFM.similar_items`; `side` is "item" or "user"."""
    threads = validation.check_num_threads(num_threads)
    if metric not in ("cosine", "dot"):
        raise ValueError(f"metric must be 'cosine' or 'dot', got {metric!r}")
    csr, n_rows, rows_name = None, len(getattr(model, f"{side}_biases")), f"{side} features"
    if features is not None:
        csr = model._check_prediction_features(features, side, exact=False)
        n_rows, rows_name = csr.shape[0], f"rows of {side}_features"
    asked = candidates = np.arange(n_rows, dtype=np.int32)
    if ids is not None:
        asked = validation.check_ids(ids, f"{side}_ids", n_rows, rows_name)
    if among is not None:
        candidates = np.unique(validation.check_ids(among, "among", n_rows, rows_name))

    _, vectors = model._representations(side, csr)
    if metric == "cosine":
        # In double precision, where squares of small components do not vanish.
        norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
        vectors = (vectors / np.where(norms == 0, 1, norms)[:, None]).astype(np.float32)
    biases = np.zeros(n_rows, dtype=np.float32)
    biases, vectors = validation.check_rankable(side, biases, vectors)

    # Each is left out of its own list, if it is a candidate at all.
    begins = np.searchsorted(candidates, asked)
    ends = begins + (candidates.take(begins, mode="clip") == asked)
    found, scores = _best(
        lambda at: (biases[asked[at]], vectors[asked[at]]),
        0.0,
        (biases[candidates], vectors[candidates]),
        (begins, ends, np.arange(len(candidates), dtype=np.int32)),
        k,
        threads,
    )
    return _ids_among(candidates, found), scores


def _best(
    vectors_at: Callable[[slice], tuple[np.ndarray, np.ndarray]],
    shift: float,
    items: tuple[np.ndarray, np.ndarray],
    excluded: tuple[np.ndarray, np.ndarray, np.ndarray],
    k: int,
    threads: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Places int32 [n, k] and scores float32 [n, k] of the best items, `shift` added to the scores.

    `vectors_at` gives biases and vectors of a slice of the users, `items` those of all items.
    User u does not get the items ``indices[begins[u] : ends[u]]`` of `excluded`.
    """
    if not isinstance(k, Integral) or not 1 <= k <= validation.MAX_ID:
        raise ValueError(f"k must be an integer >= 1, got {k!r}")
    begins, ends, indices = excluded
    n_users = len(begins)
    ids = np.empty((n_users, k), dtype=np.int32)
    scores = np.empty((n_users, k), dtype=np.float32)
    packed = _core.Items(*items, n_users > _FEW)
    for first in range(0, n_users, _BLOCK):
        at = slice(first, first + _BLOCK)
        biases, vectors = validation.check_rankable("user", *vectors_at(at))
        biases = biases + np.float32(shift)
        packed.best(biases, vectors, begins[at], ends[at], indices, ids[at], scores[at], threads)
    return ids, scores


def _ids_among(candidates: np.ndarray | None, places: np.ndarray) -> np.ndarray:
    """The ids of the candidates at these places, -1 where there is none."""
    if candidates is None:
        return places
    return np.append(candidates, np.int32(-1))[places]
