"""A day's interactions, trained into a model that knows all the days before.

What is new alone would be learned at the cost of what is old. So each new pair comes a few times,
as it would in the epochs of a fit, and each time a few old ones are trained with it: the *replay*,
drawn evenly from all of them. All go through the model in one epoch, in random order. What users
know is known whole, whether it is replayed or not, so that nobody's old items become negatives.

docs/guide/growth.md has what that is worth. Measured there, or while the recipe was found:

- New pairs have to come about half as often as in the epochs of a fit: once is too little for what
  people do today, and ten times make new users know that alone.
- Two old pairs for each are enough. Each day's replay is further training for what is old, so with
  many the model goes on to where a fit of more epochs would have come, which may be too far.
- Evenly drawn is best over all data. More from the users of the day helped where all of them come
  back, and hurt elsewhere.
- The learning rate of ``sgd`` falls to 0 over a fit. To start at its first value again would undo
  what the end of the fit has settled; an update is like the last third of one. ``adagrad`` needs no
  such thing: its states remember, and rows that are new have none.
- Starting new users at the mean of what they like, as folding in does, gains nothing here, where
  items move along.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.sparse as sp

from lightfm_clone._checks import check_random_state, is_integer, is_real
from lightfm_clone._model import parameters, state

# Of the learning rate of a fit under sgd, where an update starts.
_RATE_SHARE = 0.3


def train_on_new(
    model: Any,
    interactions: Any,
    new: Any,
    *,
    sample_weight: Any = None,
    user_features: Any = None,
    item_features: Any = None,
    epochs: int = 5,
    replay: float = 2.0,
    num_threads: int | None = 1,
) -> Any:
    """Train a fitted model on new interactions, mixed with old ones, and let it grow.

    Rows of users, items and features that the model does not know yet are drawn as by
    `LightFM.resize`; all others stay bit for bit until an example changes them. All that is random
    comes from the model's `random_state`.

    Parameters
    ----------
    model : LightFM
        Fitted. It is changed.
    interactions : CSR matrix [n_users, n_items], its rows sorted and without duplicates
        All that is known by now, new and old. The model's users and items come first.
    new : sparse matrix [n_users, n_items]
        Which of them are new, or have changed: its entries, whatever their values. With none, the
        model grows and is not trained.
    sample_weight : float32 [nnz], default all 1
        Weights of the stored entries of `interactions`, in their order.
    user_features, item_features : CSR matrices, default identity
        As for `LightFM.fit_partial`, with columns for what is new at their ends.
    epochs : int, default 5
        How many times each new pair is trained on.
    replay : float, default 2
        How many old pairs are trained on with each new one, each time. No more are drawn than there
        are.
    num_threads : int or None, default 1
        None uses all CPUs this process may use.

    Returns
    -------
    LightFM
        The model itself; if anything is new, with one more entry in `history_`.

    Raises
    ------
    ValueError
        For bad input; the model is as it was then, but `random_state` may have gone on.

    Notes
    -----
    Takes the time of ``epochs * (1 + replay) * new.nnz`` examples, and memory for as many.
    """
    state.check_fitted(model)
    if not is_integer(epochs) or epochs < 1:
        raise ValueError(f"epochs must be an integer of at least 1, got {epochs!r}")
    if not is_real(replay) or not 0 <= replay < np.inf:
        raise ValueError(f"replay must be a number of at least 0, got {replay!r}")
    fresh = _places(interactions, new)
    stream = model.random_state = check_random_state(model.random_state)
    n_replayed = int(min(replay * epochs * len(fresh), interactions.nnz))
    old = _spread(interactions.nnz, n_replayed, stream)
    places = np.concatenate([np.tile(fresh, epochs), old[~np.isin(old, fresh)]])
    users = np.searchsorted(interactions.indptr, places, side="right") - 1
    pairs = users.astype(np.int32), interactions.indices[places]

    def chosen(values: Any) -> Any:
        return sp.coo_matrix((values[places], pairs), shape=interactions.shape)

    with _late_learning_rate(model):
        return model.fit_partial(
            chosen(interactions.data),
            user_features=user_features,
            item_features=item_features,
            sample_weight=None if sample_weight is None else chosen(sample_weight),
            epochs=1 if len(fresh) else 0,
            num_threads=num_threads,
            resize=True,
            known_interactions=interactions,
        )


def _places(interactions: Any, new: Any) -> np.ndarray[Any, Any]:
    """Where among the stored entries of `interactions` those of `new` are, sorted."""
    if interactions.format != "csr" or not interactions.has_canonical_format:
        raise ValueError(
            "interactions must be a CSR matrix with sorted rows and no duplicates; call "
            "sum_duplicates() on it"
        )
    if new.shape != interactions.shape:
        raise ValueError(
            f"new must have the shape of interactions, {interactions.shape}, got {new.shape}"
        )
    wanted = new.tocoo()
    # Of the users that are asked for, a key for each pair: sorted, because rows and users are.
    users, which = np.unique(wanted.row, return_inverse=True)
    begins, sizes = interactions.indptr[users], np.diff(interactions.indptr)[users]
    ends = np.cumsum(sizes, dtype=np.int64)
    places = np.repeat(begins - (ends - sizes), sizes) + np.arange(ends[-1] if len(ends) else 0)
    n_items = np.int64(interactions.shape[1])
    keys = np.repeat(np.arange(len(users)), sizes) * n_items + interactions.indices[places]
    asked = np.unique(which * n_items + wanted.col)
    at = np.searchsorted(keys, asked)
    found = at < len(keys)
    found[found] = keys[at[found]] == asked[found]
    if not found.all():
        row, item = divmod(asked[~found][0], n_items)
        raise ValueError(
            f"new must hold pairs of interactions alone, got {np.sum(~found)} others, the first of "
            f"user {users[row]} and item {item}; add the new pairs to interactions"
        )
    return places[at]


def _spread(n: int, n_drawn: int, stream: np.random.RandomState) -> np.ndarray[Any, Any]:
    """So many of the numbers below n, sorted: one from each of n_drawn ranges of equal length.

    So every user is replayed in proportion to what they have done, but for less than one pair.
    Where a range ends within a number, this may come twice.
    """
    drawn = (np.arange(n_drawn) + stream.random_sample(n_drawn)) * (n / max(n_drawn, 1))
    return np.minimum(drawn.astype(np.int64), n - 1)


@contextmanager
def _late_learning_rate(model: Any) -> Iterator[None]:
    """Let sgd start where it was late in the fit."""
    given, settings = model.learning_rate, parameters.settings(model)
    if settings["learning_schedule"] == "sgd":
        model.learning_rate = _RATE_SHARE * settings["learning_rate"]
    try:
        yield
    finally:
        model.learning_rate = given
