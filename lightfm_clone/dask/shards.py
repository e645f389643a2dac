"""What a shard is: its data, made once of what a fit is given, and its state, which is trained.

A *shard* is some of the users, with all that they have done. There are as many as there were
workers when the users were dealt, and their number stays when workers come and go: which worker
trains a shard makes no difference to what comes of it.

The features of a shard's users are numbered anew: first those that no other shard's users have (its
*private* ones; without a feature matrix its users themselves), then the *shared* ones, the same in
all shards. What is merged is the item side and the shared features of users.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lightfm_clone._model import state as state_of
from lightfm_clone.lightfm import LightFM

Array = np.ndarray[Any, Any]


class ShardData(NamedTuple):
    """What one shard holds of what a fit is given: the result of a task, which stays as it is."""

    ids: Array  # of its users, ascending: row numbers, or what tables call them
    interactions: Any  # CSR float32 [n_users, n_items], rows as ids; sorted, duplicates kept
    weights: Array | None  # float32, one for each stored interaction; None where all are 1
    user_features: Any  # CSR float32 [n_users, n_private + n_shared]; None is the identity
    private: Array | None  # int64 [n_private], their columns in the whole; None with the identity
    counted: Any = None  # logs.Counted, what a recommender knows of them

    @property
    def n_users(self) -> int:
        return len(self.ids)

    @property
    def n_private(self) -> int:
        """The features that its users alone have."""
        return self.n_users if self.private is None else len(self.private)


class Whole(NamedTuple):
    """What all shards know of the whole. It is small beside the interactions: items, and counts."""

    n_items: int
    item_counts: Array  # int64 [n_items], stored interactions
    item_features: Any  # CSR float32 [n_items, n_item_features]; None is the identity
    shared: Array  # int64 [n_shared], columns of the shared features of users in the whole
    n_user_features: int  # of the whole
    has_user_features: bool = False  # or every user is their own feature

    @property
    def n_item_features(self) -> int:
        return self.n_items if self.item_features is None else int(self.item_features.shape[1])

    @property
    def shares_features(self) -> bool:
        """Whether rows of items, or of users of several shards, have features in common."""
        return self.item_features is not None or bool(len(self.shared))


class Dealt(NamedTuple):
    """What a fit is given, dealt to shards on the cluster."""

    data: list[Any]  # a future of ShardData for each shard
    n_users: list[int]  # of each
    n_examples: list[int] | None  # of each: stored interactions; None: they are not kept
    whole: Whole
    item_ids: Array | None  # what row i of the item side is called; None: its number
    deal: Any  # dealing.Deal: which shard an id belongs to
    users_told: Any = None  # features.Told; None where users are known by what they do alone
    items_told: Any = None  # the same of items


class ShardState(NamedTuple):
    """What has been learned of a shard's users, and where its random numbers go on."""

    arrays: dict[str, Array]  # the six of the user side, rows: private, then shared features
    random_state: np.random.RandomState


class KeptState(NamedTuple):
    """The state of a shard as futures, on two workers where there are two: one may die.

    No copy comes from another one by Dask: it would be lost with that one, whose task fails when it
    is done again, and Dask's memory manager would drop one of the two replicas that this takes.
    Tasks work with the first, which Dask may move; so where there are three, two are on one worker.
    """

    first: Any
    second: Any = None
    third: Any = None

    def copies(self) -> list[Any]:
        return [copy for copy in self if copy is not None]

    def at_hand(self) -> Any:
        """A future whose state is there, if one has it."""
        are_there = (
            copy for copy in self.copies() if copy.status not in ("error", "lost", "cancelled")
        )
        return next(are_there, self.first)


def local_model(
    parameters: dict[str, Any],
    learned: dict[str, Any],
    items: dict[str, Array],
    state: ShardState,
) -> LightFM:
    """A plain model of a shard's users and all items; its user rows are those of the shard.

    Parameters
    ----------
    parameters : dict
        Of the constructor.
    learned : dict
        The attributes that a fit leaves behind and all shards share, by name: "global_mean_",
        "_fitted_with", "_seen_items".
    items : dict of arrays
        The six of the item side. They are not copied.
    state : ShardState
        Its arrays are not copied.
    """
    model = LightFM(**parameters | {"random_state": state.random_state})
    model.__dict__.update(learned, **items, **state.arrays)
    return model


ITEM_ARRAYS = tuple(name for name in state_of.ARRAYS if name.startswith("item"))
USER_ARRAYS = tuple(name for name in state_of.ARRAYS if name.startswith("user"))
