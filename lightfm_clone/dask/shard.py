"""One shard in the process that trains it: slices of epochs, and the rows that all shards share.

    shard = Shard(data, whole, parameters, learned, items, state, num_threads)
    shard.train(piece, settings)            # a slice of an epoch's random order
    shard.sheets(begin, end)                # what it has made of these shared rows
    shard.put(sheets)                       # what has become of all of them, merged
    snapshot = shard.snapshot()             # its own rows, and where its random numbers go on

It knows nothing of Dask and of other shards.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from lightfm_clone import _checks as checks
from lightfm_clone._core import Totals
from lightfm_clone._model import advice, parameters
from lightfm_clone._model import state as state_of
from lightfm_clone._model.examples import check_examples
from lightfm_clone._model.fit import training_of
from lightfm_clone._model.training import draw_seed
from lightfm_clone.dask import blocks
from lightfm_clone.dask.shards import (
    ITEM_ARRAYS,
    USER_ARRAYS,
    Array,
    ShardData,
    ShardState,
    Whole,
    local_model,
)
from lightfm_clone.lightfm import LightFM


class Piece(NamedTuple):
    """A slice of an epoch: the same shares of it for every shard."""

    epoch: int  # of the call, from 0
    epochs: int
    begin: float  # as a share of the epoch
    end: float

    @property
    def is_first(self) -> bool:
        return self.begin == 0

    @property
    def is_last(self) -> bool:
        return self.end == 1

    @property
    def done(self) -> float:
        """The share of the call's epochs that is over in its middle."""
        return (self.epoch + (self.begin + self.end) / 2) / self.epochs


class Snapshot(NamedTuple):
    """A shard as it is after a slice, but for the rows that it shares with others."""

    users: list[Array]  # what the schedule uses of the user side: values, then its states
    random_state: np.random.RandomState
    seed: int | None  # of the epoch that has begun


class Shard:
    """See the module.

    Parameters
    ----------
    data : ShardData
    whole : Whole
    parameters, learned : dict
        As `local_model` takes them.
    items : dict of arrays
        The six of the item side, which are copied.
    state : ShardState
        What was learned of the users, or was drawn for them. Its arrays are not written to.
    item_counts : int64 array or None
        Of the whole; None: those of the shard.
    candidates : int32 array or None
        What negatives="seen" draws from.
    num_threads : int
    """

    def __init__(
        self,
        data: ShardData,
        whole: Whole,
        parameters_of_model: dict[str, Any],
        learned: dict[str, Any],
        items: dict[str, Array],
        state: ShardState,
        item_counts: Array | None,
        candidates: Array | None,
        num_threads: int,
    ) -> None:
        self._threads = num_threads
        arrays = {name: np.array(array) for name, array in items.items()}
        own = ShardState(
            {name: np.array(array) for name, array in state.arrays.items()},
            copy_of(state.random_state),
        )
        self.model = model = local_model(parameters_of_model, learned, arrays, own)
        schedule = parameters.settings(model)["learning_schedule"]
        self._stream = own.random_state
        self._seed: int | None = None
        # What the schedule uses of each side.
        self._user_names, self._item_names = (
            [name for names in state_of.names_with_states(side, schedule) for name in names]
            for side in ("user", "item")
        )
        self._users, self._items = (
            [getattr(model, name) for name in names]
            for names in (self._user_names, self._item_names)
        )
        self._n_items = len(model.item_biases)
        self._n_private = data.n_private
        coo = data.interactions.tocoo()
        weights = None
        if data.weights is not None:
            weights = sp.coo_matrix((data.weights, (coo.row, coo.col)), shape=coo.shape)
        self.examples = check_examples(coo, weights, parameters.loss_of(model))
        features = data.user_features
        self.training = training_of(
            model,
            self.examples,
            user_features=None if features is None else checks.csr_parts(features),
            item_features=(
                None if whole.item_features is None else checks.csr_parts(whole.item_features)
            ),
            n_items=whole.n_items,
            item_counts=item_counts,
            candidates=candidates,
            num_threads=num_threads,
        )

    # ---- training --------------------------------------------------------------------------------

    def train(self, piece: Piece, settings: dict[str, Any]) -> Totals:
        """Train a slice of an epoch; the first one begins it, in an order of its own."""
        if piece.is_first:
            self._seed = draw_seed(self._stream)
            self._cut = self.training.shuffle(self._seed, self._threads)
        begin, end = self._position(piece.begin), self._position(piece.end)
        shares = piece.epoch / piece.epochs, (piece.epoch + 1) / piece.epochs
        totals = self.training.part(settings, begin, end, *shares)
        self.training.settle()
        self.training.write()
        return totals

    def _position(self, share: float) -> int:
        """Where a slice begins or ends, at a multiple of what the shuffle asks for."""
        n = self.training.n_examples
        return n if share == 1 else int(n * share) // self._cut * self._cut

    def check(self, totals: Totals, settings: dict[str, Any], epoch: int) -> None:
        """Raise ValueError where the epoch has left all bounds."""
        self.training.check(totals, settings, epoch, "the model")

    def advice(self, totals: Totals, settings: dict[str, Any], is_first: bool) -> list[str]:
        """What its examples, and the totals of all epochs, say about the fit."""
        with warnings.catch_warnings(record=True) as given:
            warnings.simplefilter("always")
            advice.about_training(
                self.examples,
                settings,
                self.training.n_items,
                self.training.n_candidates(settings),
                totals,
                is_first=is_first,
                item_features=self.training.item_features(),
                has_features=self.training.has_features(),
            )
        return [str(each.message) for each in given]

    # ---- shared rows -----------------------------------------------------------------------------

    @property
    def n_shared(self) -> int:
        """Rows of the item side, and of the features of users that other shards' users have."""
        return self._n_items + len(self.model.user_biases) - self._n_private

    def sheets(self, begin: int, end: int) -> list[Array]:
        """Shared rows, float32 [end - begin, no_components + 1] each: values, then the states."""
        made = []
        for embeddings, biases in self._by_kind():
            width = embeddings[0].shape[1]
            sheet = np.empty((end - begin, width + 1), np.float32)
            for first, last, to, whole, bias in self._places(begin, end, embeddings, biases):
                sheet[to : to + last - first, :width] = whole[first:last]
                sheet[to : to + last - first, width] = bias[first:last]
            made.append(sheet)
        return made

    def put(self, sheets: list[Array]) -> None:
        """Take over all shared rows, and train on from them."""
        for sheet, (embeddings, biases) in zip(sheets, self._by_kind(), strict=True):
            for first, last, at, whole, bias in self._places(0, len(sheet), embeddings, biases):
                whole[first:last] = sheet[at : at + last - first, :-1]
                bias[first:last] = sheet[at : at + last - first, -1]
        self.training.read()

    def _by_kind(self) -> list[tuple[tuple[Array, Array], tuple[Array, Array]]]:
        """((items', users' embeddings), (items', users' biases)) of the values, then each state."""
        n = len(self._items) // 2
        return [
            (
                (self._items[kind], self._users[kind]),
                (self._items[kind + n], self._users[kind + n]),
            )
            for kind in range(n)
        ]

    def _places(
        self, begin: int, end: int, embeddings: tuple[Array, Array], biases: tuple[Array, Array]
    ) -> list[tuple[int, int, int, Array, Array]]:
        """Where shared rows lie: first and last row of arrays, and where these begin in a sheet."""
        middle = min(max(self._n_items, begin), end)
        shift = self._n_private - self._n_items
        return [
            (begin, middle, 0, embeddings[0], biases[0]),
            (middle + shift, end + shift, middle - begin, embeddings[1], biases[1]),
        ]

    # ---- its own rows ----------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """What it takes, beside the shared rows, to go on from here."""
        users = [array.copy() for array in self._users]
        return Snapshot(users, copy_of(self._stream), self._seed)

    def go_back(self, snapshot: Snapshot, sheets: list[Array], piece: Piece | None) -> None:
        """Be as it was after a slice, with the shared rows as they were merged then."""
        for array, values in zip(self._users, snapshot.users, strict=True):
            array[...] = values
        self._stream.set_state(snapshot.random_state.get_state())
        self._seed = snapshot.seed
        if self._seed is not None and piece is not None and not piece.is_last:
            self._cut = self.training.shuffle(self._seed, self._threads)
        self.put(sheets)

    def state(self, snapshot: Snapshot) -> ShardState:
        """What has been learned of the users, by then."""
        arrays = {name: getattr(self.model, name) for name in USER_ARRAYS}
        arrays |= zip(self._user_names, snapshot.users, strict=True)
        return ShardState(arrays, snapshot.random_state)

    def items(self, sheets: list[Array]) -> dict[str, Array]:
        """The six arrays of the item side, with these shared rows."""
        arrays = {name: getattr(self.model, name) for name in ITEM_ARRAYS}
        n = len(sheets)
        for place, name in enumerate(self._item_names):
            sheet = sheets[place % n][: self._n_items]
            arrays[name] = np.ascontiguousarray(sheet[:, -1] if place >= n else sheet[:, :-1])
        return arrays


def draw(
    parameters_of_model: dict[str, Any],
    n_private: int,
    shared: dict[str, Array],
    random_state: np.random.RandomState,
) -> ShardState:
    """The state of a shard before anything is learned: fresh rows, and the shared ones as given."""
    stream = copy_of(random_state)
    fresh = LightFM(**parameters_of_model | {"random_state": stream})
    fresh._initialize(fresh.no_components, 0, n_private)
    arrays = {name: np.concatenate([getattr(fresh, name), shared[name]]) for name in USER_ARRAYS}
    return ShardState(arrays, stream)


class Picked(NamedTuple):
    """Rows of the user side that were learned before, for a shard that begins with them."""

    places: Array  # int64, where they are among those of the shard
    arrays: dict[str, Array]  # the six


def names_of(data: ShardData, shared: Array, first: int | None) -> Array:
    """What the rows of a shard are known by: ids of users, or columns of features of the whole.

    Where `first` is given, users without a feature matrix are features of the whole from this one
    on.
    """
    if data.private is not None:
        return np.concatenate([data.private, shared])
    return data.ids if first is None else first + np.arange(data.n_users)


def pick(wanted: Array, names: Array, state: ShardState) -> Picked:
    """The rows that a shard wants of what another one has learned, each known by its name."""
    order = np.argsort(names, kind="stable")
    places, found = blocks.places_of(wanted, names[order])
    rows = order[places[found]]
    return Picked(np.flatnonzero(found), {name: state.arrays[name][rows] for name in USER_ARRAYS})


def carry(
    parameters_of_model: dict[str, Any],
    wanted: Array,
    picked: list[Picked],
    random_state: np.random.RandomState,
) -> ShardState:
    """The state of a shard that begins with rows that were learned before, and others are drawn."""
    is_new = np.ones(len(wanted), bool)
    for places, _ in picked:
        is_new[places] = False
    stream = copy_of(random_state)
    model = LightFM(**parameters_of_model | {"random_state": stream})
    width = picked[0].arrays["user_embeddings"].shape[1]
    model._initialize(width, 0, int(np.count_nonzero(is_new)))
    arrays = {}
    for name in USER_ARRAYS:
        fresh = getattr(model, name)
        rows = np.empty((len(wanted), *fresh.shape[1:]), np.float32)
        rows[is_new] = fresh
        for places, known in picked:
            rows[places] = known[name]
        arrays[name] = rows
    return ShardState(arrays, stream)


def copy_of(random_state: np.random.RandomState) -> np.random.RandomState:
    """A stream that goes on as this one does."""
    stream = np.random.RandomState()
    stream.set_state(random_state.get_state())
    return stream
