"""Top-N lists and nearest neighbours.

Vectors go to the compiled core in blocks of users, with the items packed once; selection is fused
behind the scores, which never leave the cache. Beside the result (8 bytes for each of its entries)
and the vectors of the items, twice, a call needs the vectors and the excluded items of _BLOCK
users, however many users it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lightfm_clone import _checks as checks
from lightfm_clone import _core
from lightfm_clone._model.state import Rows, check_fitted, directions
from lightfm_clone.typing import RankedLists, Representations

_BLOCK = 4096  # users whose vectors are made at a time
_FEW = 12  # up to this many users, packing the items costs more than it saves

# Some users: biases, vectors, begins, ends, excluded. User u does not get the items
# excluded[begins[u] : ends[u]], which are sorted.
_Users = tuple[Any, Any, Any, Any, Any]


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
) -> RankedLists:
    """See `LightFM.recommend`."""
    check_fitted(model)
    threads = checks.check_num_threads(num_threads)
    of_items = Rows(model, "item", item_features)
    candidates = None
    if items is not None:
        candidates = np.unique(of_items.numbers(items, "items"))
        if len(candidates) == of_items.n:
            candidates = None

    if user_representations is None:
        of_users = Rows(model, "user", user_features)
        n_users, noun = of_users.n, of_users.noun
        vectors_of: Callable[[Any], Representations] = of_users.representations
    elif user_features is not None:
        raise ValueError(
            "user_features and user_representations both say who the users are; pass one of them"
        )
    else:
        biases, vectors = checks.check_representations(
            user_representations, "user_representations", model.item_embeddings.shape[1]
        )
        n_users, noun = len(biases), "rows of user_representations"
        vectors_of = lambda rows: (biases[rows], vectors[rows])  # noqa: E731

    if user_ids is None:
        users = np.arange(n_users, dtype=np.int32)
    else:
        users = checks.check_ids(user_ids, "user_ids", n_users, noun, "user")
    known = None
    if exclude is not None:
        least_rows = n_users if user_ids is None else int(users.max()) + 1
        known = checks.check_exclude(exclude, least_rows, user_ids is None, of_items.n)
    shift = np.float32(model.global_mean_)

    def users_at(at: slice) -> _Users:
        biases, vectors = vectors_of(users[at])
        return biases + shift, vectors, *_places(known, users[at], candidates)

    ids, scores = _best(len(users), users_at, of_items.rankable(candidates), k, threads)
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
) -> RankedLists:
    """See `LightFM.similar_items`; `side` is "item" or "user"."""
    check_fitted(model)
    threads = checks.check_num_threads(num_threads)
    if metric not in ("cosine", "dot"):
        raise ValueError(f"metric must be 'cosine' or 'dot', got {metric!r}")
    rows = Rows(model, side, features)
    asked = candidates = np.arange(rows.n, dtype=np.int32)
    if ids is not None:
        asked = rows.numbers(ids, f"{side}_ids")
    if among is not None:
        candidates = np.unique(rows.numbers(among, "among"))

    _, vectors = rows.representations()
    no_biases = np.zeros(rows.n, dtype=np.float32)
    checks.check_rankable(side, no_biases, vectors)
    if metric == "cosine":
        vectors = directions(vectors)
    nearest_of = no_biases, vectors
    if among is not None:
        nearest_of = no_biases[candidates], vectors[candidates]

    # Each is left out of its own list, if it is a candidate at all.
    begins = np.searchsorted(candidates, asked)
    ends = begins + (candidates.take(begins, mode="clip") == asked)
    places = np.arange(len(candidates), dtype=np.int32)

    def users_at(at: slice) -> _Users:
        return no_biases[asked[at]], vectors[asked[at]], begins[at], ends[at], places

    found, scores = _best(len(asked), users_at, nearest_of, k, threads)
    return _ids_among(candidates, found), scores


def _best(
    n_users: int,
    users_at: Callable[[slice], _Users],
    items: tuple[Any, Any],
    k: int,
    threads: int,
) -> tuple[Any, Any]:
    """Places int32 [n_users, k] and scores float32 [n_users, k] of the best items.

    `users_at` makes a slice of the users; `items` are biases and vectors of all items.
    """
    if not checks.is_integer(k) or not 1 <= k <= checks.MAX_ID:
        is_matrix = checks.is_sparse(k) or np.ndim(k) > 1
        given = "a matrix; to leave out known items, pass exclude=matrix" if is_matrix else repr(k)
        raise ValueError(f"k must be an integer from 1 to {checks.MAX_ID}, got {given}")
    ids = np.empty((n_users, k), dtype=np.int32)
    scores = np.empty((n_users, k), dtype=np.float32)
    packed = _core.Items(*items, n_users > _FEW)
    for first in range(0, n_users, _BLOCK):
        at = slice(first, first + _BLOCK)
        biases, vectors, begins, ends, excluded = users_at(at)
        checks.check_rankable("user", biases, vectors)
        packed.best(biases, vectors, begins, ends, excluded, ids[at], scores[at], threads)
    return ids, scores


def _places(known: Any, users: Any, candidates: Any) -> tuple[Any, Any, Any]:
    """Where the known items of these users are among the candidates, as `_Users` has them."""
    if known is None:
        none = np.zeros(len(users), dtype=np.int64)
        return none, none, users[:0]
    rows = known[users]  # a copy, small beside a large matrix, so that it may be sorted
    if candidates is not None:
        rows = rows[:, candidates]
    rows.sort_indices()
    indptr, indices, _ = checks.csr_parts(rows)
    return indptr[:-1], indptr[1:], indices


def _ids_among(candidates: Any, places: Any) -> Any:
    """The ids of the candidates at these places, -1 where there is none, written over them."""
    if candidates is not None:
        ids = np.append(candidates, np.int32(-1))
        for first in range(0, len(places), _BLOCK):  # NumPy takes 12 bytes for each at once
            rows = places[first : first + _BLOCK]
            rows[...] = ids[rows]
    return places
