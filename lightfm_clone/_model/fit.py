"""A fit: from what the caller passes to the training loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from lightfm_clone import _checks as checks
from lightfm_clone._model import advice, parameters, state
from lightfm_clone._model.examples import Examples, check_examples
from lightfm_clone._model.progress import check_reports
from lightfm_clone._model.training import TrainedSide, Training, train

_DRAWN_AT_ONCE = 1 << 16


def initialize(
    model: Any, no_components: int, no_item_features: int, no_user_features: int
) -> None:
    """See `LightFM._initialize`."""
    settings = parameters.settings(model)
    model.random_state = stream = settings["random_state"]
    first_gradient = 1.0 if settings["learning_schedule"] == "adagrad" else 0.0
    counts = zip(state.SIDES, (no_item_features, no_user_features), strict=True)
    for side, n_features in counts:
        shape = (n_features, no_components)
        embeddings = np.empty(shape, np.float32)
        # Row after row, a cache full at a time, the stream gives the numbers it gives in one go.
        at_once = max(_DRAWN_AT_ONCE // no_components, 1)
        for first in range(0, n_features, at_once):
            rows = embeddings[first : first + at_once]
            if parameters.loss_of(model).scores_directions:  # a length of 0 has no direction
                rows[:] = stream.normal(0.0, 0.1, rows.shape)
            else:
                drawn = stream.rand(*rows.shape)
                drawn -= 0.5
                drawn /= no_components
                rows[:] = drawn
        setattr(model, f"{side}_embeddings", embeddings)
        for kind, of in (("embedding", shape), ("bias", (n_features,))):
            setattr(model, f"{side}_{kind}_gradients", np.full(of, first_gradient, np.float32))
            setattr(model, f"{side}_{kind}_momentum", np.zeros(of, np.float32))
        setattr(model, f"{side}_biases", np.zeros(n_features, np.float32))


def fit_partial(
    model: Any,
    interactions: Any,
    *,
    user_features: Any,
    item_features: Any,
    sample_weight: Any,
    epochs: int,
    num_threads: int | None,
    verbose: bool,
    validation: Any,
    callbacks: Any,
    resize: bool,
    known_interactions: Any,
) -> None:
    """See `LightFM.fit_partial`. All is checked before anything is changed."""
    epochs = checks.check_epochs(epochs)
    threads = checks.check_num_threads(num_threads)
    parameters.settings(model)  # checks them
    loss = parameters.loss_of(model)
    examples = check_examples(interactions, sample_weight, loss)
    n_users, n_items = examples.shape
    known = _known_pairs(known_interactions, examples)
    features = {
        "item": checks.check_features(item_features, "item_features", n_items),
        "user": checks.check_features(user_features, "user_features", n_users),
    }
    reports = check_reports(
        callbacks,
        validation,
        {
            "exclude": examples.matrix if known is None else known,
            "item_features": features["item"].matrix,
            "user_features": features["user"].matrix,
        },
        verbose,
    )
    with advice.once(), state.restored_after_errors(model) as before:
        is_first = model.item_embeddings is None
        if is_first:
            model._initialize(
                model.no_components, features["item"].n_columns, features["user"].n_columns
            )
            if loss.predicts_values:
                model.global_mean_ = examples.mean()
        state.make_trainable(model)
        for side, given in features.items():
            check_columns(
                side,
                given.n_columns,
                state.n_features(model, side),
                resize,
                is_given=given.parts is not None,
                was_given=f"{side}_features" in model._fitted_with,
            )
        if resize:
            state.grow(model, features["user"].n_columns, features["item"].n_columns)
        given_sides = {f"{side}_features" for side, given in features.items() if given.parts}
        model._fitted_with = model._fitted_with | given_sides
        if not epochs:
            return
        n_items, counts, candidates = features["item"].n_rows, None, None
        if known is not None and known.nnz:
            counts = np.bincount(known.indices, minlength=n_items)
        if model.negatives == "seen":
            model._seen_items = seen = state.seen_items(model, n_items)
            seen[examples.cols if known is None else known.indices] = True
            candidates = np.flatnonzero(seen[:n_items]).astype(np.int32)
        training = training_of(
            model,
            examples,
            user_features=features["user"].parts,
            item_features=features["item"].parts,
            n_items=n_items,
            known=None if known is None else checks.csr_parts(known)[:2],
            item_counts=counts,
            candidates=candidates,
            num_threads=threads,
        )
        train(model, training, epochs, threads, reports, before, is_first=is_first)


def training_of(
    model: Any,
    examples: Examples,
    *,
    user_features: tuple[Any, Any, Any] | None,
    item_features: tuple[Any, Any, Any] | None,
    n_items: int,
    **whole: Any,
) -> Training:
    """The training of a model's own arrays on examples; features are parts of CSR, or None.

    `whole` are further arguments of `Training`.
    """
    schedule = parameters.settings(model)["learning_schedule"]
    user, item = (
        TrainedSide(*state.with_states(model, side, schedule), parts)
        for side, parts in (("user", user_features), ("item", item_features))
    )
    return Training(examples, user, item, n_items, schedule, mean=model.global_mean_, **whole)


def _known_pairs(known_interactions: Any, examples: Examples) -> Any:
    """The pairs that users know, those of the examples among them, as a sorted CSR matrix."""
    if known_interactions is None:
        return None
    checks.check_matrix(known_interactions, "known_interactions")
    given = checks.as_valid_sparse(known_interactions, "known_interactions").tocsr()
    if given.shape != examples.shape:
        raise ValueError(
            f"known_interactions must have the shape of interactions, {examples.shape}, got "
            f"{given.shape}; number what is new after all that was known, and give both matrices "
            "the shape of all"
        )
    return _stored(given) + _stored(examples.matrix.tocsr())


def _stored(csr: Any) -> Any:
    """True for every pair with a stored entry, whatever its value."""
    ones = np.ones(len(csr.indices), dtype=bool)
    stored = sp.csr_matrix((ones, csr.indices, csr.indptr), shape=csr.shape)
    if not stored.has_canonical_format:
        stored = stored.copy()
        stored.sum_duplicates()
    return stored


def check_columns(
    side: str, n_columns: int, fitted: int, resize: bool, *, is_given: bool, was_given: bool
) -> None:
    """Check that the features of one side are those that were fitted, or may grow to.

    `is_given` and `was_given` say whether there is a matrix, and was one; the identity is none.
    """
    name = f"{side}_features"
    # Of a model that was fitted with features, ids alone do not say how it grows.
    lacks_matrix = was_given and not is_given
    may_grow = n_columns > fitted and not lacks_matrix
    if n_columns != fitted and not (may_grow and resize):
        raise ValueError(
            f"{name} must have the {fitted} columns the model was fitted with, got "
            f"{n_columns}{'' if is_given else ' (identity)'}; pass the same "
            f"features{', or resize=True to grow' if may_grow else ''}, or call fit to "
            "start afresh"
        )
    if lacks_matrix:
        advice.features_are_missing(side)
