"""What Python knows of a loss. Its formula is in `_kernels/losses.hpp` or `softmax.hpp` there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lightfm_clone import _core


@dataclass(frozen=True)
class Loss:
    """What the steps around the kernels do differently for one loss."""

    # Positives are compared with drawn negatives; otherwise each score is trained by itself.
    compares_items: bool = True
    # The values of the interactions are numbers to predict, not likes (> 0) and dislikes.
    predicts_values: bool = False
    # Each stored entry is a positive, whatever its value.
    ignores_values: bool = False
    # Positives are skipped where no drawn item violates the margin: the record has their rate.
    searches_violations: bool = False
    # Negatives come by the counts of items in the interactions; otherwise each item is as likely.
    draws_by_count: bool = False
    # Embeddings count by their directions alone.
    scores_directions: bool = False
    # What the constructor's defaults stand for, by the parameter's name.
    defaults: dict[str, Any] = field(default_factory=dict)

    @property
    def draws_uniformly(self) -> bool:
        """Whether negatives are drawn from the items that `negatives` names, each as often."""
        return self.compares_items and not self.draws_by_count


# By the names that the kernels have (`_kernels/interface.hpp`); a new loss is a line here.
LOSSES = {
    "logistic": Loss(compares_items=False),
    "bpr": Loss(draws_by_count=True),
    "warp": Loss(searches_violations=True),
    "warp-kos": Loss(searches_violations=True, ignores_values=True),
    "mse": Loss(compares_items=False, predicts_values=True),
    "softmax": Loss(
        scores_directions=True, defaults={"learning_schedule": "sgd", "learning_rate": 0.1}
    ),
}
assert tuple(LOSSES) == _core.LOSSES

# What a schedule remembers of each parameter, by the names of the arrays.
SCHEDULES = {"adagrad": ("gradients",), "adadelta": ("gradients", "momentum"), "sgd": ()}
assert tuple(SCHEDULES) == _core.SCHEDULES
