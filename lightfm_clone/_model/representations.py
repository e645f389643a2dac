"""Vectors of users and items, as other programs take them."""

from __future__ import annotations

from typing import Any

import numpy as np

from lightfm_clone._model.state import Rows, check_fitted
from lightfm_clone.typing import Floats, Representations


def of(model: Any, side: str, features: Any) -> Representations:
    """See `LightFM.get_item_representations`; `side` is "item" or "user"."""
    check_fitted(model)
    rows = Rows(model, side, features, exact=True)
    if rows.are_at_hand:  # the model's own arrays, live
        return getattr(model, f"{side}_biases"), getattr(model, f"{side}_embeddings")
    return rows.representations()


def score_vectors(model: Any, user_features: Any, item_features: Any) -> tuple[Floats, Floats]:
    """See `LightFM.score_vectors`."""
    check_fitted(model)
    users, items = (
        Rows(model, side, features, exact=True).representations()
        for side, features in (("user", user_features), ("item", item_features))
    )
    user_biases, user_embeddings = users
    item_biases, item_embeddings = items
    user_biases = user_biases + np.float32(model.global_mean_)
    return (
        np.column_stack([user_embeddings, user_biases, np.ones_like(user_biases)]),
        np.column_stack([item_embeddings, np.ones_like(item_biases), item_biases]),
    )
