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

from lightfm_clone._model.beside import Beside
from lightfm_clone._model.parameters import loss_of
from lightfm_clone._model.state import Rows, check_fitted
from lightfm_clone._printed import Printed
from lightfm_clone._tables import make
from lightfm_clone.typing import Table

# As many contributions are printed of those that decide the order of items, and of those that are
# the same for every item; the rest share a line.
_SHOWN, _SHOWN_OF_THE_SAME = 10, 3


class Contribution(NamedTuple):
    """One term of a score.

    A feature is the name the dataset has for it or, without a dataset, a label such as
    ``"user feature 3"``; None where the term has nothing to do with that side. Of the kind
    "history", where neighbours stand beside a model, `user_feature` is an item that the user has,
    and `item_feature` the one it speaks for.
    """

    value: float
    kind: str  # "pair", "history", "user bias", "item bias" or "global mean"
    user_feature: Any
    item_feature: Any

    @property
    def is_same_for_every_item(self) -> bool:
        """Whether it is in every score of that user, and so does not decide the order of items."""
        return self.kind in ("user bias", "global mean")

    def __str__(self) -> str:
        if self.kind == "pair":
            return f"{self.user_feature} × {self.item_feature}"
        if self.kind == "history":
            return f"{self.user_feature} → {self.item_feature}"
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
        Named tuples ``(value, kind, user_feature, item_feature)``: those that decide the order of
        items, the largest in size first, and then those that are the same for every item (the
        user's biases and, of ``loss="mse"``, the global mean), the largest first again. There is
        one for each pair of a user feature and an item feature and for each feature's bias.
    """

    score: float
    contributions: list[Contribution]

    def to_frame(self, kind: str | None = None) -> Table:
        """The contributions as a table, in their order.

        Parameters
        ----------
        kind : {"pandas", "polars", "pyarrow"}, optional
            Of which library; by default the first of them that is installed.

        Returns
        -------
        table
            With the columns value, kind, user_feature, item_feature (names as text; missing where a
            side has no part in it) and same_for_every_item (bool).

        Raises
        ------
        ImportError
            Where the library is not installed, or none is.
        ValueError
            For another kind.
        """
        each = self.contributions
        columns: dict[str, Any] = {
            "value": np.array([one.value for one in each]),
            "kind": [one.kind for one in each],
            "user_feature": [_text(one.user_feature) for one in each],
            "item_feature": [_text(one.item_feature) for one in each],
            "same_for_every_item": np.array([one.is_same_for_every_item for one in each], bool),
        }
        return make(kind, columns)

    def __repr__(self) -> str:
        return "\n".join(f"{value:>10}  {what}" for value, what in self._lines())

    def _repr_html_(self) -> str:
        rows = [[what, value] for value, what in self._lines()]
        return Printed([["contribution", "value"], *rows]).html()

    def _lines(self) -> list[tuple[str, str]]:
        """Values and what they belong to."""
        same = [one for one in self.contributions if one.is_same_for_every_item]
        decisive = [one for one in self.contributions if not one.is_same_for_every_item]
        lines = _shortened(decisive, _SHOWN)
        if same:
            lines += [("", "the same for every item:"), *_shortened(same, _SHOWN_OF_THE_SAME)]
        return [*lines, (f"{self.score:+.4f}", "= score")]


def _shortened(contributions: list[Contribution], n_shown: int) -> list[tuple[str, str]]:
    """The first, and the sum of the others."""
    if len(contributions) <= n_shown + 1:  # a line for a single one may as well name it
        n_shown = len(contributions)
    lines = [(f"{one.value:+.4f}", str(one)) for one in contributions[:n_shown]]
    rest = contributions[n_shown:]
    if rest:
        total = math.fsum(one.value for one in rest)
        lines.append((f"{total:+.4f}", f"({len(rest)} smaller ones)"))
    return lines


def _text(name: Any) -> str | None:
    return None if name is None else str(name)


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
    return explanation_of(contributions)


def explanation_of(contributions: list[Contribution]) -> Explanation:
    """The explanation that these terms are, put in order."""
    contributions.sort(key=lambda each: (each.is_same_for_every_item, -abs(each.value)))
    return Explanation(math.fsum(each.value for each in contributions), contributions)


def of_history(
    beside: Beside, user_id: int, item_id: int, dataset: Any = None, bias: float = 0.0
) -> list[Contribution]:
    """The items of a person's history that speak for an item, or against it, and a bias of its own,
    unless that is 0."""
    history = beside.of_users(np.array([user_id]))
    m = beside.influence.shape[0]
    if item_id >= m:  # it came after the fit
        return []
    column = beside.of_item(item_id)[history.indices]
    speak = column != 0
    items, values = history.indices[speak], (history.data[speak] * column[speak]).tolist()
    if dataset is None:
        names = [f"item {item}" for item in (*items, item_id)]
    else:
        names = _names(dataset, "items", np.append(items, item_id))
    terms = [
        Contribution(value, "history", name, names[-1])
        for value, name in zip(values, names, strict=False)
    ]
    return [*terms, Contribution(bias, "item bias", None, names[-1])] if bias else terms


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
