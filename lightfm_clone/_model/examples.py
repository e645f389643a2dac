"""What a fit is given: interactions and their weights, checked, as parallel arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lightfm_clone import _checks as checks
from lightfm_clone._model.losses import Loss


class Examples(NamedTuple):
    """Stored interactions in the caller's order."""

    rows: np.ndarray[Any, Any]  # int32
    cols: np.ndarray[Any, Any]  # int32
    positive: np.ndarray[Any, Any] | None  # bool, None when every value is > 0
    values: np.ndarray[Any, Any] | None  # float64, None unless the loss predicts them
    weights: np.ndarray[Any, Any] | None  # float32, None when every weight is 1
    shape: tuple[int, int]
    matrix: Any  # the checked COO matrix they come from; None where they come from two

    def mean(self) -> float:
        """The weighted mean of the values; 0 where there are none."""
        weights = np.ones(len(self.rows)) if self.weights is None else self.weights
        total = weights.sum(dtype=np.float64)
        if self.values is None or total <= 0:
            return 0.0
        return float(np.dot(self.values, weights) / total)

    def scale(self, mean: float) -> float:
        """About the largest mean loss of a model that predicts nothing, but for constants.

        For losses of positives that is the mean weight; with values, times half their mean square.
        """
        weights = 1.0
        if self.weights is not None and len(self.weights):
            weights = float(np.abs(self.weights).mean(dtype=np.float64))
        if self.values is None or not len(self.values):
            return weights
        return weights * (0.5 * float(np.square(self.values - mean).mean()) + 1.0)

    def joined(self, other: Examples) -> Examples:
        """The examples of both."""
        lengths = len(self.rows), len(other.rows)

        def both(name: str, default: Any = None) -> Any:
            arrays = [getattr(part, name) for part in (self, other)]
            if arrays[0] is None and arrays[1] is None:
                return None
            filled = [
                np.full(n, default) if array is None else array
                for array, n in zip(arrays, lengths, strict=True)
            ]
            return np.concatenate(filled)

        return Examples(
            rows=both("rows"),
            cols=both("cols"),
            positive=both("positive", True),
            values=both("values"),
            weights=both("weights", np.float32(1)),
            shape=(max(self.shape[0], other.shape[0]), max(self.shape[1], other.shape[1])),
            matrix=None,
        )


def check_examples(
    interactions: Any, sample_weight: Any, loss: Loss, name: str = "interactions"
) -> Examples:
    """Check interactions and their weights."""
    checks.check_pairs(interactions, name)
    coo = checks.as_coo(interactions, name)
    positive = coo.data > 0
    values = weights = None
    if loss.predicts_values:
        checks.as_float32(coo.data, name)
        values = coo.data.astype(np.float64)
    if sample_weight is not None:
        try:
            weights = _check_weights(sample_weight, interactions, coo)
        except ValueError as error:
            if not loss.ignores_values:
                raise
            # LightFM has no weights for warp-kos and raises NotImplementedError for any.
            raise checks.UnsupportedError(str(error)) from error
    return Examples(
        checks.contiguous(coo.row, dtype=np.int32),
        checks.contiguous(coo.col, dtype=np.int32),
        None if positive.all() else positive,
        values,
        weights,
        coo.shape,
        coo,
    )


def _check_weights(sample_weight: Any, interactions: Any, coo: Any) -> Any:
    """Sample weights as float32 [nnz], or None where all are 1; `coo` are the interactions."""
    if not checks.is_sparse(sample_weight) or sample_weight.format != "coo":
        raise ValueError(
            "sample_weight must be a COO matrix with the entries of interactions, got "
            f"{type(sample_weight).__name__}; Dataset.build_interactions makes one"
        )
    if sample_weight.shape != coo.shape:
        raise ValueError(
            f"sample_weight must have the shape of interactions, {coo.shape}, got "
            f"{sample_weight.shape}"
        )
    given = coo if sample_weight is interactions else checks.as_coo(sample_weight, "sample_weight")
    if not (np.array_equal(given.row, coo.row) and np.array_equal(given.col, coo.col)):
        raise ValueError(
            "sample_weight must have the entries of interactions in the same order: its row "
            "and col arrays differ from theirs"
        )
    weights = checks.as_float32(given.data, "sample_weight")
    return None if (weights == 1).all() else weights
