"""Top-N lists and nearest neighbours.

The items are prepared once, and the vectors of users made in blocks of _BLOCK. Beside the result (8
bytes for each of its entries) and the vectors of the items, twice, a call needs the vectors and the
excluded items of one block, however many users it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from lightfm_clone import _checks as checks
from lightfm_clone._model.prepared import PreparedItems, best_among
from lightfm_clone._model.state import Rows, check_fitted, directions
from lightfm_clone.typing import RankedLists, Representations

_BLOCK = 4096  # users whose vectors are made at a time


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

    def users_at(at: slice) -> tuple[Representations, Any]:
        biases, vectors = vectors_of(users[at])
        return (biases + shift, vectors), None if known is None else known[users[at]]

    return _lists(len(users), users_at, of_items.rankable(candidates), candidates, k, threads)


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
    asked, candidates = np.arange(rows.n, dtype=np.int32), None
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
    if candidates is not None:
        nearest_of = no_biases[candidates], vectors[candidates]

    def users_at(at: slice) -> tuple[Representations, Any]:
        here = asked[at]
        # Each is left out of its own list.
        themselves = sp.csr_matrix(
            (np.ones(len(here), dtype=bool), here, np.arange(len(here) + 1)),
            shape=(len(here), rows.n),
        )
        return (no_biases[here], vectors[here]), themselves

    return _lists(len(asked), users_at, nearest_of, candidates, k, threads)


def _lists(
    n_users: int,
    users_at: Callable[[slice], tuple[Representations, Any]],
    items: Representations,
    candidates: Any,
    k: int,
    threads: int,
) -> RankedLists:
    """The best items of all users, block by block.

    `users_at` makes a slice of the users, and what these do not get; `items` are the candidates,
    rows of the catalogue, or all of it where these are None.
    """
    checks.check_k(k)
    ids = np.empty((n_users, k), dtype=np.int32)
    scores = np.empty((n_users, k), dtype=np.float32)
    prepared = PreparedItems(*items)
    for first in range(0, n_users, _BLOCK):
        at = slice(first, first + _BLOCK)
        users, exclude = users_at(at)
        ids[at], scores[at] = best_among(
            prepared, candidates, users, k, exclude=exclude, num_threads=threads
        )
    return ids, scores
