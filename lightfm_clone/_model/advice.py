"""Warnings: what works as documented, and is seldom what its caller wants.

Each is given once a call, at the first caller outside this package, says what was found and names
the parameter to change. All are of the category `FitWarning`, so the filters of `warnings` silence
them together or, by their first words, one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lightfm_clone._core import Totals
from lightfm_clone._model.examples import Examples
from lightfm_clone._model.losses import LOSSES
from lightfm_clone._warn import warn

_LOOKED_AT = 4096  # values, to tell ratings from likes
_SHARE_CUT = 0.1  # of WARP's violations


class FitWarning(UserWarning):
    """A fit, or a question to a model, that is allowed and seldom meant."""


def _warn(message: str) -> None:
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


# ---- before training -----------------------------------------------------------------------------


def about_examples(examples: Examples, loss: str) -> None:
    """What the examples say about a fit that is about to begin."""
    of = LOSSES[loss]
    n = len(examples.rows)
    if n == 0:
        return
    if not of.compares_items and not of.predicts_values and examples.positive is None:
        _warn(
            f"loss={loss!r} was given positives alone: all {n} values are > 0, so every score "
            "grows and none learns to be low; choose loss='warp' for positives alone, or store "
            "what is not liked with values <= 0"
        )
    if examples.values is not None and (examples.values == examples.values[0]).all():
        _warn(
            f"all values of interactions are {examples.values[0]:g}, and loss={loss!r} trains "
            "scores around their mean, so nothing is left to learn; choose loss='warp' for "
            "positives alone, or store the ratings themselves"
        )
    if of.compares_items and examples.positive is None and _are_ratings(examples.matrix.data):
        low, high = (
            f"{value:g}" for value in (examples.matrix.data.min(), examples.matrix.data.max())
        )
        _warn(
            f"interactions have values from {low} to {high}, and loss={loss!r} takes each stored "
            f"entry with a value > 0 as a positive, {low} like {high}; if they are ratings, keep "
            "the good ones alone or choose loss='mse', and if they are counts, pass them as "
            "sample_weight"
        )
    if examples.weights is not None and examples.weights.min() < 0:
        n_negative = int((examples.weights < 0).sum())
        _warn(
            f"sample_weight has negative weights, {n_negative} of {n}: these examples are trained "
            "away from, without a bound; use weights >= 0, and values <= 0 of interactions for "
            "dislikes"
        )


def _are_ratings(values: np.ndarray[Any, Any]) -> bool:
    """Whether values, all > 0, look like stars, bad ones among them, in steps of 0.5 up to 10."""
    few = values[:: max(len(values) // _LOOKED_AT, 1)].astype(np.float64)
    return bool(2 * few.min() <= few.max() and 3 <= few.max() <= 10 and (few * 2 % 1 == 0).all())


# ---- after training ------------------------------------------------------------------------------


def about_training(
    examples: Examples,
    settings: dict[str, Any],
    n_items: int,
    totals: Totals,
    *,
    is_first: bool,
) -> None:
    """What the totals of all epochs of a call say; `is_first` where it began from drawn values."""
    stands_still = settings["learning_rate"] == 0 and settings["learning_schedule"] != "adadelta"
    if totals.loss == 0 or stands_still:
        cause = _why_nothing_learned(examples, settings, n_items, is_first)
        if cause:
            _warn(f"nothing was learned, all parameters are as they were: {cause}")
    elif totals.cut > _SHARE_CUT * totals.violations and examples.weights is not None:
        highest = float(examples.weights.max())
        most = 10 / (highest * np.log(max(n_items - 1, 2)))
        _warn(
            f"sample_weight is too high to tell: {totals.cut / totals.violations:.0%} of the "
            f"violations weigh 10, where loss={settings['loss']!r} cuts the product of weight and "
            f"rank; multiply sample_weight by {most:.2g}"
        )


def _why_nothing_learned(
    examples: Examples, settings: dict[str, Any], n_items: int, is_first: bool
) -> str | None:
    """The cause and the remedy; None where there was nothing left to learn."""
    loss = settings["loss"]
    of = LOSSES[loss]
    if len(examples.rows) == 0:
        return (
            "interactions have no stored entries; look at how they were built, for instance with "
            "Dataset.build_interactions"
        )
    if settings["learning_rate"] == 0 and settings["learning_schedule"] != "adadelta":
        return "learning_rate is 0; use a higher one"
    trained = np.ones(len(examples.rows), dtype=bool)
    if of.compares_items and not of.ignores_values and examples.positive is not None:
        trained = examples.positive
    if not trained.any():
        return (
            f"interactions have no value > 0, and loss={loss!r} trains on positives alone; store "
            "likes as 1, or choose loss='logistic', which learns from values <= 0 as well"
        )
    if examples.weights is not None and not examples.weights[trained].any():
        return "sample_weight is 0 for every example; use weights > 0"
    if not of.compares_items:
        return None
    if n_items == 1:
        return f"there is one item, and loss={loss!r} compares items; choose loss='logistic'"
    if of.searches_violations and settings["max_sampled"] == 0:
        return "max_sampled is 0; use 10"
    if of.searches_violations and n_items == 2:
        return (
            f"there are two items, of which loss={loss!r} weighs a wrong order by ln(1) = 0; "
            "choose loss='bpr'"
        )
    users = np.unique(examples.rows[trained])
    pairs = np.unique(examples.rows.astype(np.int64) * n_items + examples.cols)
    n_known = np.bincount(pairs // n_items, minlength=examples.shape[0])[users]
    full = int((n_known == n_items).sum())
    if full == len(users):
        return (
            "every user with a positive has a stored entry for every item, whatever its value, so "
            f"no item is left that loss={loss!r} could draw as a negative; store likes alone, or "
            "choose loss='logistic', which learns from values <= 0"
        )
    if not is_first:  # there may be nothing left to learn
        return None
    if of.searches_violations:
        return (
            f"no draw of {settings['max_sampled']} found an item that the user does not know; use "
            "a higher max_sampled, or store likes alone"
        )
    return (
        "no item that occurs in interactions is unknown to the users who like something, so "
        f"loss={loss!r} has no negatives to draw; choose loss='warp', which draws from all items"
    )
