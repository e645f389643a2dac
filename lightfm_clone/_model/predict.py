"""Scores of pairs, and ranks of test items among all items."""

from __future__ import annotations

from typing import Any

import numpy as np

from lightfm_clone import _checks as checks
from lightfm_clone import _core
from lightfm_clone._model import advice
from lightfm_clone._model.beside import Beside
from lightfm_clone._model.prepared import PreparedItems
from lightfm_clone._model.state import Rows, check_fitted
from lightfm_clone.typing import CsrMatrix, Floats

# Up to so many rows of a matrix are summed one by one, even if some are the same.
_FEW = 4096


def predict(
    model: Any,
    user_ids: Any,
    item_ids: Any,
    *,
    user_features: Any,
    item_features: Any,
    num_threads: int | None,
    beside: Beside | None = None,
) -> Floats:
    """See `LightFM.predict`."""
    check_fitted(model)
    threads = checks.check_num_threads(num_threads)
    users = Rows(model, "user", user_features, without="warn")
    items = Rows(model, "item", item_features, without="warn")
    of_users = users.numbers(user_ids, "user_ids")
    of_items = items.numbers(item_ids, "item_ids")
    if len(of_users) != len(of_items) and type(user_ids) is not int and np.ndim(user_ids):
        raise ValueError(
            f"user_ids and item_ids must have the same length, got {len(of_users)} and "
            f"{len(of_items)}; a single integer user is paired with every item"
        )
    numbers_of_users, numbers_of_items = of_users, of_items
    user_biases, user_vectors, of_users = _needed(users, of_users)
    item_biases, item_vectors, of_items = _needed(items, of_items)
    scores: Floats = _core.score_pairs(
        user_biases, user_vectors, item_biases, item_vectors, of_users, of_items, threads
    )
    if model.global_mean_:
        scores += np.float32(model.global_mean_)
    if beside is not None:
        beside.check_users(users.n)
        beside.check_items(items.n)
        beside.add_to(scores, numbers_of_users, numbers_of_items, items.n, threads)
    return scores


def _needed(rows: Rows, numbers: Any) -> tuple[Any, Any, Any]:
    """Representations among which are those of these rows, and the places of these."""
    if rows.are_at_hand or len(numbers) >= rows.n:
        return *rows.representations(), numbers
    if len(numbers) <= _FEW:
        return *rows.representations(numbers), np.arange(len(numbers), dtype=np.int32)
    distinct, places = np.unique(numbers, return_inverse=True)
    return *rows.representations(distinct), places.astype(np.int32)


def predict_rank(
    model: Any,
    test_interactions: Any,
    train_interactions: Any,
    *,
    user_features: Any,
    item_features: Any,
    num_threads: int | None,
    check_intersections: bool,
    beside: Beside | None = None,
) -> CsrMatrix:
    """See `LightFM.predict_rank`."""
    check_fitted(model)
    threads = checks.check_num_threads(num_threads)
    test = checks.as_csr(test_interactions, "test_interactions")
    if train_interactions is None:
        train = None
    else:
        train = checks.as_csr(train_interactions, "train_interactions")
        if train.shape != test.shape:
            raise ValueError(
                f"train_interactions must have the shape of test_interactions, {test.shape}, "
                f"got {train.shape}"
            )
    sizes, vectors = [], []
    sides = (("user", user_features), ("item", item_features))
    for (side, features), n in zip(sides, test.shape, strict=True):
        rows = Rows(model, side, features, exact=True, without="warn")
        rows.check_n(n, "test_interactions")
        if rows.n > n:
            advice.slice_has_more_rows(side, rows.n, n)
        vectors.append(rows.rankable(None if rows.n == n else np.arange(n, dtype=np.int32)))
        sizes.append(rows.n)
    users: tuple[Any, ...]
    users, (biases, item_vectors) = vectors
    influence = None
    if beside is not None:
        n_users, n_items = sizes
        if user_features is not None:  # without, there may be any first users
            beside.check_users(n_users)
        influence = beside.of_items(n_items)
        if n_items > test.shape[1]:
            influence = influence[:, : test.shape[1]]
        users = (*users, beside.of_users(np.arange(test.shape[0])))
    return PreparedItems(biases, item_vectors, influence).ranks(
        users, test, train, check_intersections=check_intersections, num_threads=threads
    )
