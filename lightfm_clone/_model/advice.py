"""Warnings: what works as documented, and is seldom what its caller wants.

Each is given once a call, at the first caller outside this package, says what was found and names
the parameter to change. All are of the category `FitWarning`, so the filters of `warnings` silence
them together or, by their first words, one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from lightfm_clone._core import Totals
from lightfm_clone._model.examples import Examples
from lightfm_clone._model.losses import LOSSES
from lightfm_clone._warn import warn

_LOOKED_AT = 4096  # values, to tell ratings from likes
_SHARE_CUT = 0.1  # of WARP's violations


# What has been said in the call that is running, if it is one that may say things again and again.
_said: ContextVar[set[str] | None] = ContextVar("_said", default=None)


class FitWarning(UserWarning):
    """A fit, or a question to a model, that is allowed and seldom meant."""


@contextmanager
def once() -> Iterator[None]:
    """Within, nothing is said twice, such as by the validation of every epoch."""
    token = _said.set(set())
    try:
        yield
    finally:
        _said.reset(token)


def _warn(message: str) -> None:
    said = _said.get()
    if said is not None:
        if message in said:
            return
        said.add(message)
    warn(message, FitWarning)


def features_are_missing(side: str) -> None:
    """The model was fitted with a matrix, and is used without one, where that is allowed."""
    _warn(
        f"the model was fitted with {side}_features and is used without: ids are taken as single "
        f"features; pass the {side}_features of the fit"
    )


def slice_has_more_rows(side: str, n_rows: int, n: int) -> None:
    """The feature matrix has rows for users or items beyond those that are evaluated."""
    _warn(
        f"{side}_features have {n_rows} rows, but the interactions {n} {side}s: row i of one is "
        f"taken as row i of the other; if the interactions are a slice, slice {side}_features alike"
    )


# ---- after training ------------------------------------------------------------------------------


def about_training(
    examples: Examples,
    settings: dict[str, Any],
    n_items: int,
    n_candidates: int,
    totals: Totals,
    *,
    is_first: bool,
    item_features: tuple[Any, Any, Any] | None,
    has_features: bool,
) -> None:
    """What the examples, and the totals of all epochs of a call, say about a fit that is over.

    Negatives were drawn from `n_candidates` of the `n_items`. `is_first` says whether it began from
    drawn values, `has_features` whether any value of the feature matrices is not 0; of the items'
    matrix, if there is one, `item_features` are the parts of CSR. Where nothing was learned, that
    is all there is to say.
    """
    cause = _why_nothing_learned(
        examples, settings, n_items, n_candidates, totals, is_first, has_features
    )
    if cause:
        _warn(f"nothing was learned: {cause}")
        return
    loss = settings["loss"]
    of = LOSSES[loss]
    n = len(examples.rows)
    if n and not of.compares_items and not of.predicts_values and examples.positive is None:
        _warn(
            f"loss={loss!r} was given positives alone: all {n} values are > 0, so every score "
            "grows and none learns to be low; choose loss='warp' for positives alone, or store "
            "what is not liked with values <= 0"
        )
    values = examples.matrix.data
    # With weights, the caller has said what each entry counts.
    all_count_alike = examples.positive is None and examples.weights is None
    if of.compares_items and all_count_alike and _are_ratings(values):
        low, high = (f"{value:g}" for value in (values.min(), values.max()))
        _warn(
            f"interactions have values from {low} to {high}, and loss={loss!r} takes each stored "
            f"entry with a value > 0 as a positive, {low} like {high}; if they are ratings, keep "
            "the good ones alone or choose loss='mse', and if they are counts, pass them as "
            "sample_weight"
        )
    draws_all = of.draws_uniformly and settings["negatives"] == "all"
    if is_first and draws_all and item_features is not None:
        n_pushed = _n_unseen_with_shared_features(examples.cols, *item_features)
        if n_pushed:
            _warn(
                "items without a stored entry share features with others, "
                f"{n_pushed} of {n_items}: loss={loss!r} draws them as negatives and pushes them "
                "down, with what they share, so that new items come last; choose "
                "negatives='seen', which draws from the items with entries alone"
            )
    if examples.weights is None:
        return
    if n and examples.weights.min() < 0:
        n_negative = int((examples.weights < 0).sum())
        _warn(
            f"sample_weight has negative weights, {n_negative} of {n}: these examples are trained "
            "away from, without a bound; use weights >= 0, and values <= 0 of interactions for "
            "dislikes"
        )
    if totals.cut > _SHARE_CUT * totals.violations:
        highest = float(examples.weights.max())
        most = 10 / (highest * np.log(max(n_candidates - 1, 2)))
        _warn(
            f"sample_weight is too high to tell: {totals.cut / totals.violations:.0%} of the "
            f"violations weigh 10, where loss={loss!r} cuts the product of weight and rank; "
            f"multiply sample_weight by {0.95 * most:.2g}"  # not above most, however it is rounded
        )


def _are_ratings(values: np.ndarray[Any, Any]) -> bool:
    """Whether values, all > 0, look like stars, bad ones among them, in steps of 0.5 up to 10."""
    if not len(values):
        return False
    few = values[:: max(len(values) // _LOOKED_AT, 1)].astype(np.float64)
    return bool(2 * few.min() <= few.max() and 3 <= few.max() <= 10 and (few * 2 % 1 == 0).all())


def _n_unseen_with_shared_features(
    cols: np.ndarray[Any, Any], indptr: Any, indices: Any, data: Any
) -> int:
    """How many items without an entry, whose numbers are in `cols`, share a feature with others."""
    n_items = len(indptr) - 1
    seen = np.zeros(n_items, dtype=bool)
    seen[cols] = True
    if seen.all():
        return 0
    items = np.repeat(np.arange(n_items), np.diff(indptr))[data != 0]
    features = indices[data != 0]
    of_seen = np.zeros(features.max(initial=-1) + 1, dtype=bool)
    of_seen[features[seen[items]]] = True
    return len(np.unique(items[~seen[items] & of_seen[features]]))


def _why_nothing_learned(
    examples: Examples,
    settings: dict[str, Any],
    n_items: int,
    n_candidates: int,
    totals: Totals,
    is_first: bool,
    has_features: bool,
) -> str | None:
    """The cause and the remedy; None where something was learned, or nothing was left to learn."""
    loss = settings["loss"]
    of = LOSSES[loss]
    is_adadelta = settings["learning_schedule"] == "adadelta"
    if len(examples.rows) == 0:
        return (
            "interactions have no stored entries; look at how they were built, for instance with "
            "Dataset.build_interactions"
        )
    if settings["learning_rate"] == 0 and not is_adadelta:
        return "learning_rate is 0; use a higher one"
    if settings["epsilon"] == 0 and is_adadelta and is_first:
        return (
            "epsilon is 0, and learning_schedule='adadelta' begins with steps in proportion to "
            "its square root; use 1e-6"
        )
    if not has_features:
        return (
            "user_features and item_features hold no value but 0; look at how they were built, "
            "for instance with Dataset.build_user_features"
        )
    if of.predicts_values and is_first and (examples.values == examples.values[0]).all():  # type: ignore[index]
        return (
            f"all values of interactions are {examples.values[0]:g}, which their mean predicts "  # type: ignore[index]
            "already; choose loss='warp' for positives alone"
        )
    if totals.loss != 0:
        return None
    trained = np.ones(len(examples.rows), dtype=bool)
    if of.compares_items and not of.ignores_values and examples.positive is not None:
        trained = examples.positive
    if not trained.any():
        return (
            f"interactions have no value > 0, and loss={loss!r} trains on positives alone; store "
            "likes as 1, or choose loss='logistic', which learns from values <= 0 as well"
        )
    if examples.weights is not None:
        trained = trained & (examples.weights != 0)
        if not trained.any():
            return "sample_weight is 0 for every example that is trained on; use weights > 0"
    if not of.compares_items:
        return None
    which = "" if n_candidates == n_items else " with a stored entry"
    if n_candidates == 1:
        return f"there is one item{which}, and loss={loss!r} compares items; choose loss='logistic'"
    if of.searches_violations and settings["max_sampled"] == 0:
        return "max_sampled is 0; use 10"
    if of.searches_violations and n_candidates == 2:
        return (
            f"there are two items{which}, of which loss={loss!r} weighs a wrong order by "
            "ln(1) = 0; choose loss='bpr'"
        )
    users = np.unique(examples.rows[trained])
    pairs = np.unique(examples.rows.astype(np.int64) * n_items + examples.cols)
    n_known = np.bincount(pairs // n_items, minlength=examples.shape[0])[users]
    if (n_known == n_candidates).all():
        if which:
            remedy = "choose negatives='all', which draws from the items without entries as well"
        elif examples.positive is not None:
            remedy = "leave out the values <= 0, or choose loss='logistic', which learns from them"
        elif (examples.matrix.data != examples.matrix.data[0]).any():
            remedy = "keep the highest values alone, or choose loss='mse', which learns from all"
        else:
            remedy = "keep what is liked, and leave out the rest"
        return (
            f"every user with a positive has a stored entry for every item{which and ' with any'}, "
            f"whatever its value, so no item is left that loss={loss!r} could draw as a negative; "
            f"{remedy}"
        )
    if not is_first:
        return None
    if of.draws_by_count:
        also = " and negatives='all'" if settings["negatives"] == "seen" else ""
        return (
            "no item that occurs in interactions is unknown to the users who like something, so "
            f"loss={loss!r} has no negatives to draw; choose loss='warp'{also}, which draws from "
            "all items"
        )
    if of.searches_violations:
        drawn, more = f"{settings['max_sampled']} items", "max_sampled"
    else:
        drawn, more = f"{settings['n_negatives']} items", "n_negatives"
    return (
        f"none of the draws of {drawn} found one that the user does not know; use a higher {more}, "
        "more epochs, or store likes alone"
    )
