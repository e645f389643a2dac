"""The state of a model: what it has learned."""

from __future__ import annotations

SIDES = ("item", "user")

# The model's arrays and their numbers of dimensions.
ARRAYS = {
    f"{side}_{name}": n_dimensions
    for side in SIDES
    for name, n_dimensions in (
        ("embeddings", 2),
        ("embedding_gradients", 2),
        ("embedding_momentum", 2),
        ("biases", 1),
        ("bias_gradients", 1),
        ("bias_momentum", 1),
    )
}
