"""Vectors of users and items the model has never seen, from their interactions alone.

New rows are trained by the model's own loss and kernels, while all that it has learned stands
still.

New items are drawn like those of a first fit. New users are not: in a fit, a row starts small and
random and its first steps are large and wild; many epochs, and items that move along, make up for
that. Where the items stand still, users are better off to start where they may be expected to end,
and to take steps of the size that the model's users have come down to. So their optimiser state is
the median one. And where the loss compares items, they start at the mean vector of the items they
like. (A loss of single scores decides the length of a vector, too, of which the mean knows
nothing.) docs/guide/growth.md shows what that is worth.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from lightfm_clone import _checks as checks
from lightfm_clone._model import parameters, state
from lightfm_clone._model.examples import Examples, check_examples
from lightfm_clone._model.losses import SCHEDULES
from lightfm_clone._model.progress import Reports
from lightfm_clone._model.training import TrainedSide, Training, at_rest, train
from lightfm_clone.typing import Representations

_SAMPLED_STATES = 4096  # about so many rows are looked at for the median state
# BPR takes negatives from the interactions it is given. Those of a few users are no catalogue, so
# every item that may be one is counted besides, times enough to be all but one in 11 of them.
_CATALOGUE_SHARE = 10


def fold_in_users(
    model: Any,
    interactions: Any,
    *,
    item_features: Any,
    sample_weight: Any,
    epochs: int,
    num_threads: int | None,
    random_state: Any,
    items: TrainedSide | None = None,
) -> Representations:
    """See `LightFM.fold_in_users`.

    `items` are the representations of all items, `at_rest`, for who asks often.
    """
    state.check_fitted(model)
    epochs = checks.check_epochs(epochs)
    threads = checks.check_num_threads(num_threads)
    loss = parameters.loss_of(model)
    examples = check_examples(interactions, sample_weight, loss)
    n_users, n_items = examples.shape
    if items is None:
        rows = state.Rows(model, "item", item_features, exact=True)
        rows.check_n(n_items, "interactions")
        items = at_rest(*rows.rankable(), threads)
    vectors, biases = items.embeddings[0], items.biases[0]

    fresh = state.draw_rows(model, n_users, 0, checks.check_random_state(random_state))
    for kind in ("embedding", "bias"):
        for of in SCHEDULES[parameters.settings(model)["learning_schedule"]]:
            name = f"user_{kind}_{of}"
            _fill_with_median(getattr(fresh, name), getattr(model, name))
    if loss.scores_directions:  # however small, a drawn row would have a direction
        fresh.user_embeddings[:] = 0
    if loss.compares_items:
        _start_at_means(fresh.user_embeddings, examples, vectors)
    nobody = biases[:0], vectors[:0]
    drawn = _drawn_items(model, examples, len(biases), 0)
    counts = _counts_with_catalogue(examples, drawn) if loss.draws_by_count else None
    return _train(fresh, "user", examples, nobody, items, drawn, counts, epochs, threads)


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
) -> Representations:
    """See `LightFM.fold_in_items`."""
    state.check_fitted(model)
    epochs = checks.check_epochs(epochs)
    threads = checks.check_num_threads(num_threads)
    loss = parameters.loss_of(model)
    examples = check_examples(interactions, sample_weight, loss)
    n_users, n_new = examples.shape
    rows = state.Rows(model, "user", user_features, exact=True)
    rows.check_n(n_users, "interactions")
    users = rows.rankable()
    items = state.Rows(model, "item", item_features, exact=True).rankable()
    n_known = len(items[0])
    n_items = n_known + n_new
    examples = examples._replace(cols=examples.cols + np.int32(n_known), shape=(n_users, n_items))
    if train_interactions is not None:
        train = check_examples(train_interactions, None, loss, "train_interactions")
        if train.shape[0] != n_users or train.shape[1] > n_known:
            raise ValueError(
                "train_interactions must have the users of interactions and the items of the fit, "
                f"shape {(n_users, n_known)}, got {train.shape}"
            )
        examples = examples.joined(train)
    drawn = _drawn_items(model, examples, n_known, n_new)
    counts = None
    if loss.draws_by_count and train_interactions is None:
        counts = _counts_with_catalogue(examples, drawn)

    fresh = state.draw_rows(model, 0, n_new, checks.check_random_state(random_state))
    others = at_rest(*users, threads)
    return _train(fresh, "item", examples, items, others, drawn, counts, epochs, threads)


def _drawn_items(model: Any, examples: Examples, n_known: int, n_new: int) -> Any:
    """Which items may be negatives, bool: all, or those with an entry in the fit or here."""
    drawn = np.ones(n_known + n_new, dtype=bool)
    if model.negatives == "seen" and model._seen_items is not None:
        drawn[:n_known] = state.seen_items(model, n_known)[:n_known]
        drawn[n_known:] = False
        drawn[examples.cols] = True
    return drawn


def _counts_with_catalogue(examples: Examples, drawn: Any) -> Any:
    """How often each item is among the examples, and besides in a catalogue of the drawn ones."""
    n_drawn = max(int(np.count_nonzero(drawn)), 1)
    times = max(-(-_CATALOGUE_SHARE * len(examples.rows) // n_drawn), 1)
    return np.bincount(examples.cols, minlength=len(drawn)).astype(np.int64) + times * drawn


def _fill_with_median(states: Any, learned: Any) -> None:
    """Give all rows the median row of what is learned."""
    if len(learned):
        median = np.median(learned[:: sampled_step(len(learned))], axis=0)
        np.copyto(states, median, where=np.isfinite(median), casting="same_kind")


def sampled_step(n: int) -> int:
    """From how many rows on each is looked at for the median."""
    return max(n // _SAMPLED_STATES, 1)


def _start_at_means(users: Any, examples: Examples, items: Any) -> None:
    """Set each user who has positive examples to their mean vector, by weight."""
    liked: Any = slice(None) if examples.positive is None else examples.positive
    weights = np.ones(len(examples.rows)) if examples.weights is None else examples.weights
    entries = weights[liked], (examples.rows[liked], examples.cols[liked])
    likes = sp.csr_matrix(entries, shape=(len(users), len(items)))
    totals = np.asarray(likes.sum(axis=1)).ravel()
    some = totals > 0
    # Of the items, those that occur: all of a catalogue would be converted for a few likes.
    occurs = np.zeros(len(items), dtype=bool)
    occurs[likes.indices] = True
    users[some] = (likes[some][:, occurs] @ items[occurs]) / totals[some, None]


def _train(
    fresh: Any,
    side: str,
    examples: Examples,
    known: Representations,
    others: TrainedSide,
    drawn: Any,
    item_counts: Any,
    epochs: int,
    threads: int,
) -> Representations:
    """Train the rows of `side` in `fresh`, which come after the known ones, and get their vectors.

    `others` are the other side, at rest. Both they and the known rows stay as they are.
    """
    schedule = parameters.settings(fresh)["learning_schedule"]
    n_known = len(known[0])
    arrays = []
    of_kinds = state.with_states(fresh, side, schedule)
    for values, new in zip(reversed(known), of_kinds, strict=True):
        # The states of what stays as it is are never looked at.
        resting = values, np.zeros_like(values), np.zeros_like(values)
        arrays.append([np.concatenate(pair) for pair in zip(resting, new, strict=False)])
    embeddings, biases = arrays
    trained = TrainedSide(embeddings, biases, n_frozen=n_known)
    sides = (trained, others) if side == "user" else (others, trained)
    training = Training(
        examples,
        *sides,
        len(drawn),
        schedule,
        mean=fresh.global_mean_,
        item_counts=item_counts,
        candidates=np.flatnonzero(drawn).astype(np.int32),
        num_threads=threads,
    )
    train(fresh, training, epochs, threads, Reports(), what=f"the new {side}s")
    setattr(fresh, f"{side}_embeddings", embeddings[0][n_known:])
    setattr(fresh, f"{side}_biases", biases[0][n_known:])
    return state.Rows(fresh, side, None, without="warn").representations()
