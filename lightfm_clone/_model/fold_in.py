"""Vectors of users and items the model has never seen, from their interactions alone.

New rows are trained by the model's own loss and kernels, while all that it has learned stands
still.

New items are drawn like those of a first fit. New users are not: in a fit, a row starts small and
random and its first steps are large and wild; many epochs, and items that move along, make up for
that. Where the items stand still, a user is better off to start where she may be expected to end,
and to take steps of the size that the model's users have come down to. So her optimiser state is
their median one. And where the loss compares items, she starts at the mean vector of the items she
likes. (A loss of single scores decides the length of a vector, too, of which the mean knows
nothing.) docs/growth.md shows what that is worth.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from lightfm_clone import _checks as checks
from lightfm_clone import _core
from lightfm_clone._checks import TrainingSet

_OF_SINGLE_SCORES = ("logistic", "mse")
_SAMPLED_STATES = 4096  # about so many rows are looked at for the median state
# BPR takes negatives from the interactions it is given. Those of a few users are no catalogue, so
# every item is added, times enough to be all but one in 11 of them.
_CATALOGUE_SHARE = 10

_Vectors = tuple[np.ndarray, np.ndarray]  # biases and embeddings


def fold_in_users(
    model: Any,
    interactions: Any,
    *,
    item_features: Any,
    sample_weight: Any,
    epochs: int,
    num_threads: int | None,
    random_state: Any,
) -> _Vectors:
    """See `LightFM.fold_in_users`."""
    model._check_fitted()
    examples = checks.check_training_set(interactions, sample_weight, model.loss)
    n_users, n_items = examples.shape
    items = _known(model, "item", item_features, n_items)
    examples = examples._replace(shape=(n_users, len(items[0])))
    if model.loss == "bpr":
        examples = _with_catalogue(examples)

    drawn = model._drawn(examples.shape[0], 0, checks.check_random_state(random_state))
    for state in ("gradients", "momentum"):
        for kind in ("embedding", "bias"):
            name = f"user_{kind}_{state}"
            _fill_with_median(getattr(drawn, name), getattr(model, name))
    if model.loss == "softmax":  # however small, a drawn row would have a direction
        drawn.user_embeddings[:] = 0
    if model.loss not in _OF_SINGLE_SCORES:
        _start_at_means(drawn.user_embeddings, examples, items[1])
    nobody = items[0][:0], items[1][:0]
    biases, embeddings = _train(drawn, "user", examples, nobody, items, epochs, num_threads)
    return biases[:n_users], embeddings[:n_users]


def fold_in_items(
    model: Any,
    interactions: Any,
    *,
    train_interactions: Any,
    user_features: Any,
    item_features: Any,
    sample_weight: Any,
    epochs: int,
    num_threads: int | None,
    random_state: Any,
) -> _Vectors:
    """See `LightFM.fold_in_items`."""
    model._check_fitted()
    examples = checks.check_training_set(interactions, sample_weight, model.loss)
    n_users, n_new = examples.shape
    users = _known(model, "user", user_features, n_users)
    items = _known(model, "item", item_features)
    n_known = len(items[0])
    examples = examples._replace(
        cols=examples.cols + np.int32(n_known), shape=(n_users, n_known + n_new)
    )
    if train_interactions is not None:
        train = checks.as_coo(train_interactions, "train_interactions")
        if train.shape[0] != n_users or train.shape[1] > n_known:
            raise ValueError(
                "train_interactions must have the users of interactions and the items of the fit, "
                f"shape {(n_users, n_known)}, got {train.shape}"
            )
        examples = _joined(examples, checks.check_training_set(train, None, model.loss))
    elif model.loss == "bpr":
        examples = _with_catalogue(examples)
        users = tuple(np.concatenate([of, np.zeros_like(of[:1])]) for of in users)

    drawn = model._drawn(0, n_new, checks.check_random_state(random_state))
    return _train(drawn, "item", examples, items, users, epochs, num_threads)


def _known(model: Any, side: str, features: Any, n: int | None = None) -> _Vectors:
    """Vectors of the model's users or items; `n` is the number of those in the interactions."""
    csr = model._check_prediction_features(features, side, exact=True)
    vectors = checks.check_rankable(side, *model._representations(side, csr))
    n_rows = len(vectors[0])
    if n is not None and (n_rows < n or (csr is None and n_rows != n)):
        where = f"rows of {side}_features"
        if csr is None:
            where = f"{side} features in the model; pass the {side}_features of the fit"
        raise ValueError(f"interactions have {n} {side}s, but there are {n_rows} {where}")
    return vectors


def _with_catalogue(examples: TrainingSet) -> TrainingSet:
    """With one more user, who has every item and is no example: the pool of BPR's negatives."""
    n_users, n_items = examples.shape
    times = -(-_CATALOGUE_SHARE * len(examples.rows) // max(n_items, 1))
    cols = np.tile(np.arange(n_items, dtype=np.int32), times)
    user, positive = np.full_like(cols, n_users), np.zeros(len(cols), dtype=bool)
    return _joined(examples, TrainingSet(user, cols, positive, None, None, (n_users + 1, n_items)))


def _joined(first: TrainingSet, second: TrainingSet) -> TrainingSet:
    """The examples of both."""
    lengths = len(first.rows), len(second.rows)

    def both(name: str, default: Any = None) -> np.ndarray | None:
        arrays = [getattr(part, name) for part in (first, second)]
        if arrays[0] is None and arrays[1] is None:
            return None
        return np.concatenate(
            [np.full(n, default) if a is None else a for a, n in zip(arrays, lengths, strict=True)]
        )

    return TrainingSet(
        rows=both("rows"),
        cols=both("cols"),
        positive=both("positive", True),
        values=both("values"),
        weights=both("weights", np.float32(1)),
        shape=(max(first.shape[0], second.shape[0]), max(first.shape[1], second.shape[1])),
    )


def _fill_with_median(states: np.ndarray, learned: np.ndarray) -> None:
    """Give all rows the median row of what is learned."""
    if len(learned):
        median = np.median(learned[:: max(len(learned) // _SAMPLED_STATES, 1)], axis=0)
        np.copyto(states, median, where=np.isfinite(median), casting="same_kind")


def _start_at_means(users: np.ndarray, examples: TrainingSet, items: np.ndarray) -> None:
    """Set each user who has positive examples to their mean vector, by weight."""
    liked = slice(None) if examples.positive is None else examples.positive
    weights = np.ones(len(examples.rows)) if examples.weights is None else examples.weights
    entries = weights[liked], (examples.rows[liked], examples.cols[liked])
    likes = sp.csr_matrix(entries, shape=(len(users), len(items)))
    totals = np.asarray(likes.sum(axis=1)).ravel()
    some = totals > 0
    users[some] = (likes[some] @ items) / totals[some, None]


def _train(
    drawn: Any,
    side: str,
    examples: TrainingSet,
    known: _Vectors,
    others: _Vectors,
    epochs: int,
    num_threads: int | None,
) -> _Vectors:
    """Train the rows of `side` in `drawn`, which come after the known ones, and get their vectors.

    `others` are the vectors of the other side. The known rows stay as they are.
    """
    epochs = checks.check_epochs(epochs)
    threads = checks.check_num_threads(num_threads)
    settings = checks.training_settings(drawn.get_params())
    schedule = settings["learning_schedule"]
    n_known = len(known[0])
    arrays = []
    for values, new in zip(reversed(known), drawn._packed(side, schedule), strict=True):
        # The states of what stays as it is are never looked at.
        resting = values, np.zeros_like(values), np.zeros_like(values)
        arrays.append([np.concatenate(pair) for pair in zip(resting, new, strict=False)])
    trained = _core.Parameters(*arrays, n_frozen=n_known)
    fixed = _core.Parameters([others[1]], [others[0]], n_frozen=len(others[0]))
    rows, cols, positive, values, weights, (n_users, n_items) = examples
    if values is not None:
        values = (values - drawn.global_mean_).astype(np.float32)
    trainer = _core.Trainer(
        _core.Interactions(rows, cols, positive, values, weights, n_users, n_items),
        *((trained, fixed) if side == "user" else (fixed, trained)),
        None,
        None,
        schedule,
    )
    for epoch in range(epochs):
        seed = drawn.random_state.randint(np.iinfo(np.int64).max, dtype=np.int64)
        with np.errstate(over="ignore", invalid="ignore"):  # told below
            trainer.shuffle(seed, threads)
            trainer.part(settings, 0, len(rows), epoch / epochs, (epoch + 1) / epochs)
            trainer.settle()
        if not trained.is_finite():
            raise ValueError(
                f"the new {side}s diverged in epoch {epoch + 1}: some are NaN or infinite with "
                f"learning_rate={settings['learning_rate']}; use smaller values and weights"
            )
    trained.unpack(*arrays)
    (embeddings, *_), (biases, *_) = arrays
    setattr(drawn, f"{side}_embeddings", embeddings[n_known:])
    setattr(drawn, f"{side}_biases", biases[n_known:])
    return drawn._representations(side, None)
