"""Why a score is what it is: the terms of the sum that it is.

A user's embedding and bias are sums over their features, an item's over its features, so the score

    (sum_f x_f q_f) · (sum_g y_g p_g) + sum_f x_f b_f + sum_g y_g b_g

is, multiplied out, one term ``x_f y_g (q_f · p_g)`` for each pair of a feature f of the user and a
feature g of the item, and one for each bias. Nothing is approximated, and nothing is left over.
(For ``loss="softmax"`` both sums of embeddings are divided by their lengths, and so is each pair.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lightfm_clone._model.parameters import loss_of
from lightfm_clone._model.state import Rows, check_fitted

# As many contributions are printed; the rest share a line.
_SHOWN = 10


class Contribution(NamedTuple):
    """One term of a score.

    A feature is the name the dataset has for it or, without a dataset, a label such as
    ``"user feature 3"``; None where the term has nothing to do with that side.
    """

    value: float
    kind: str  # "pair", "user bias", "item bias" or "global mean"
    user_feature: Any
    item_feature: Any

    def __str__(self) -> str:
        if self.kind == "pair":
            return f"{self.user_feature} × {self.item_feature}"
        if self.kind == "user bias":
            return f"user bias of {self.user_feature}"
        if self.kind == "item bias":
            return f"item bias of {self.item_feature}"
        return self.kind


@dataclass(frozen=True, repr=False)
class Explanation:
    """A score and the contributions that add up to it, printed as a short table.

    Attributes
    ----------
    score : float
        Their sum in float64; `LightFM.predict` gives the same within rounding to float32.
    contributions : list of Contribution
        Named tuples ``(value, kind, user_feature, item_feature)``, the largest in size first.
        There is one for each pair of a user feature and an item feature and for each feature's
        bias; the global mean of ``loss="mse"`` is one, too.
    """

    score: float
    contributions: list[Contribution]

    def __repr__(self) -> str:
        n_shown = len(self.contributions)
        if n_shown > _SHOWN + 1:  # a line for a single one may as well name it
            n_shown = _SHOWN
        rest = self.contributions[n_shown:]
        lines = [(each.value, str(each)) for each in self.contributions[:n_shown]]
        if rest:
            lines.append((math.fsum(each.value for each in rest), f"({len(rest)} smaller ones)"))
        lines.append((self.score, "= score"))
        return "\n".join(f"{value:+10.4f}  {what}" for value, what in lines)


class _Terms(NamedTuple):
    """The features of a user or an item, each weighted by its value in the feature matrix."""

    features: list[Any]  # names or labels [n]
    vectors: Any  # float64 [n, no_components], whose sum makes the score
    biases: Any  # float64 [n]


def explain(
    model: Any, user_id: Any, item_id: Any, user_features: Any, item_features: Any, dataset: Any
) -> Explanation:
    """The work of `LightFM.explain`."""
    check_fitted(model)
    user = _terms(model, "user", user_id, user_features, dataset)
    item = _terms(model, "item", item_id, item_features, dataset)
    pairs = (user.vectors @ item.vectors.T).tolist()
    contributions = [
        Contribution(value, "pair", user_feature, item_feature)
        for user_feature, row in zip(user.features, pairs, strict=True)
        for item_feature, value in zip(item.features, row, strict=True)
    ]
    for feature, value in zip(user.features, user.biases.tolist(), strict=True):
        contributions.append(Contribution(value, "user bias", feature, None))
    for feature, value in zip(item.features, item.biases.tolist(), strict=True):
        contributions.append(Contribution(value, "item bias", None, feature))
    if model.global_mean_:  # of loss="mse"
        contributions.append(Contribution(float(model.global_mean_), "global mean", None, None))
    contributions.sort(key=lambda each: -abs(each.value))
    return Explanation(math.fsum(each.value for each in contributions), contributions)


def _terms(model: Any, side: str, given: Any, features: Any, dataset: Any) -> _Terms:
    name = f"{side}_id"
    rows = Rows(model, side, features)
    ids = rows.numbers(given, name)
    if np.ndim(given):
        raise ValueError(
            f"{name} must be a single integer, got {len(ids)} of them; explain one pair at a time"
        )
    columns, values = rows.entries(int(ids[0]))
    biases, vectors = (of[columns].astype(np.float64) for of in (rows.biases, rows.embeddings))
    if dataset is None:
        labels: list[Any] = [f"{side} feature {column}" for column in columns]
    else:  # without a matrix, an id is its own feature
        labels = _names(dataset, f"{side}s" if features is None else f"{side}_features", columns)
    vectors = values[:, None] * vectors
    if loss_of(model).scores_directions:
        vectors /= np.linalg.norm(vectors.sum(axis=0)) or 1.0
    return _Terms(labels, vectors, values * biases)


def _names(dataset: Any, kind: str, columns: Any) -> list[Any]:
    """What the dataset calls the users, items or features of these numbers."""
    if not callable(getattr(dataset, "mapping", None)):
        raise TypeError(
            "dataset must be the lightfm_clone.data.Dataset that numbered the features, got "
            f"{type(dataset).__name__}"
        )
    kinds = ("users", "user_features", "items", "item_features")
    mapping = dataset.mapping()[kinds.index(kind)]
    numbers = set(columns.tolist())
    names = {number: name for name, number in mapping.items() if number in numbers}
    if len(names) < len(numbers):
        side = kind.split("_")[0].rstrip("s")
        raise ValueError(
            f"dataset knows {len(mapping)} {kind.replace('_', ' ')}, none of them with number "
            f"{min(numbers - set(names))}; pass the dataset and the {side}_features of the fit"
        )
    return [names[column] for column in columns.tolist()]
