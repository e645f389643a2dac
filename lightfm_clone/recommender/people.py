"""Who a recommender is asked about, and the vectors that stand for them.

People come as ids, as rows of a table, or as histories. Each gets a vector by the best that is
known of them, and a word for what that was:

    known       they have interactions: their own row, with what the table says
    features    they have none, or are strangers: what their row of a table says
    history     strangers with interactions: folded in
    popular     nothing is known: what is most popular is recommended
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from datetime import date
from itertools import compress
from numbers import Number
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lightfm_clone._sparse import empty_rows, rows_at
from lightfm_clone._tables import is_missing
from lightfm_clone._warn import warn
from lightfm_clone.data import columns as columns_of
from lightfm_clone.data import numbering, sources
from lightfm_clone.recommender import sides
from lightfm_clone.recommender.baselines import Baseline
from lightfm_clone.recommender.sides import numbers_of

SOURCES = ("known", "features", "history", "popular")
KNOWN, FEATURES, HISTORY, POPULAR = range(4)

_MANY = 10  # strangers at a time, who are no strangers but written in another way


class People(NamedTuple):
    """Who is asked about.

    All have as many elements as there are people, `rows` included.
    """

    labels: Any  # what the caller knows them by: ids, or positions in what they passed
    numbers: npt.NDArray[np.int64]  # -1: no number
    rows: Any  # csr of features, for who has no number; an empty row says nothing
    history: Any  # csr of interactions of strangers, or None
    kind: str | None  # of the table they came in, or None
    have_ids: bool = True  # or labels are positions

    def __len__(self) -> int:
        return len(self.numbers)

    def part(self, at: slice | npt.NDArray[np.intp]) -> People:
        rows, history = (None if of is None else of[at] for of in (self.rows, self.history))
        places = self.labels[at], self.numbers[at]
        return People(*places, rows, history, self.kind, self.have_ids)


def find(shop: Any, users: Any, history: Any) -> People:
    """The people that arguments of `Recommender.recommend` name."""
    if history is not None:
        if users is not None:
            raise ValueError(
                "users and history both say who is asked about; pass one of them (somebody who is "
                "known has their history in the recommender)"
            )
        return of_histories(shop, history)
    if users is None:
        numbers = np.arange(len(shop.user_ids_))
        return People(shop.user_ids_, numbers, None, None, None)
    if isinstance(users, Mapping):
        users = [users]
    is_id = isinstance(users, str) and users in shop.dataset_.mapping()[0]  # of a file's name, too
    if not is_id and (columns_of.library(users) is not None or sources.is_file(users)):
        kind = sources.kind_of(users)
        users = sources.read(users, "users", [shop._users.column])  # collects what is lazy, too
        if columns_of.split(users) is not None:
            return of_table(shop, users, kind)
    ids = listed(users, shop.dataset_.mapping()[0])
    if ids and all(isinstance(one, Mapping) for one in ids):
        return of_table(shop, ids)
    people = of_ids(shop, ids)
    if len(ids) >= _MANY and shop._users.has_own.size and (people.numbers < 0).all():
        warn(
            f"none of the {len(ids)} users is known, so all get what is popular; are ids written "
            f"as in the fit, such as {next(iter(shop.dataset_.mapping()[0]))!r}? The first here is "
            f"{ids[0]!r}"
        )
    return people


def listed(ids: Any, mapping: Mapping[Hashable, int]) -> list[Any]:
    """The ids of a list or a column, or a single one; a tuple is an id if there is such a one."""
    if isinstance(ids, str | bytes) or not hasattr(ids, "__iter__"):
        return [ids]
    if type(ids) is tuple:
        try:
            return [ids] if ids in mapping else list(ids)
        except TypeError:  # it holds what cannot be part of an id
            return list(ids)
    values = numbering.plain(ids)
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def of_ids(shop: Any, ids: list[Any], table: Any = None) -> People:
    """People by their ids, of whom a table may tell what is known about strangers."""
    numbers = known_numbers(ids, shop.dataset_.mapping()[0], "users")
    rows = None
    if table is not None:
        if shop._users.encoder is None:
            raise ValueError(
                "users cannot be read, because this recommender was fitted without a table of "
                "users and can tell nothing from features; call fit(..., users=table)"
            )
        given = sides.read(table, "user", shop._users.column)
        assert given is not None
        found = shop._users.strangers(given.table, shop.dataset_)[given.last]
        places = numbers_of(ids, {one: place for place, one in enumerate(given.ids.values)})
        rows = rows_at(found, places)
    return People(as_column(ids), numbers, rows, None, None)


def known_numbers(
    ids: Sequence[Any], mapping: Mapping[Hashable, int], argument: str
) -> npt.NDArray[np.int64]:
    """The numbers of ids, -1 where they are unknown, but for what cannot be meant.

    That is what is not hashable, and an unknown id of a type that no known id has, such as 7 where
    all are texts.
    """
    try:
        numbers = numbers_of(ids, mapping)
    except TypeError as error:
        raise TypeError(f"{argument} must hold ids, which are hashable: {error}") from error
    unknown = list(compress(ids, numbers < 0))
    for one in dict(zip(map(type, unknown), unknown, strict=True)).values():
        kind = _kind(one)
        if is_missing(one) or not mapping or any(_kind(known) is kind for known in mapping):
            continue
        twin = numbering.twin_of(one, mapping)
        known = next(iter(mapping)) if twin is None else twin
        raise ValueError(
            f"{argument} must hold ids like {known!r}, of type {type(known).__name__}, got {one!r} "
            f"of type {type(one).__name__}; convert them with {type(known).__name__}() or "
            "astype(), and mind leading zeros"
        )
    return numbers


def _kind(one: Any) -> type:
    """The type of an id, the same for all that may be equal, as numbers are."""
    return next((of for of in (str, Number, bytes, tuple, date) if isinstance(one, of)), type(one))


def of_table(shop: Any, table: Any, kind: str | None = None) -> People:
    side = shop._users
    by_name: Any
    if isinstance(table, list):
        n = len(table)
        has_ids = any(side.column in row for row in table)
        ids = [row.get(side.column) for row in table] if has_ids else None
    else:
        by_name = columns_of.by_name(table, "users")
        n = len(table)
        ids = None
        if side.column in by_name:
            codes, values = by_name[side.column].codes()
            places = np.array([*values, None], dtype=object)
            ids = places[codes].tolist()
    numbers = np.full(n, -1, np.int64)
    if ids is not None:
        numbers = known_numbers(ids, shop.dataset_.mapping()[0], "users")
    if side.encoder is None:
        if ids is None:
            raise ValueError(
                f"users must have the column {side.column!r} of ids, because this recommender was "
                "fitted without a table of users and can tell nothing from features; pass ids, or "
                "fit(..., users=table)"
            )
        rows = None
    else:
        rows = side.strangers(table, shop.dataset_)
    labels = np.arange(n) if ids is None else as_column(ids)
    return People(labels, numbers, rows, None, kind, ids is not None)


def of_histories(shop: Any, history: Any) -> People:
    lists = list(history.values()) if isinstance(history, Mapping) else list(history)
    labels = as_column(list(history)) if isinstance(history, Mapping) else np.arange(len(lists))
    if any(isinstance(one, str | bytes) or not hasattr(one, "__iter__") for one in lists):
        raise TypeError(
            "history must be a list of lists of item ids, one list for each person, got "
            f"{history!r}; put a single person's list into a list: [[...]]"
        )
    lists = [list(one) for one in lists]
    flat = [item for one in lists for item in one]
    mapping = shop.dataset_.mapping()[2]
    items = known_numbers(flat, mapping, "history")
    owners = np.repeat(np.arange(len(lists)), list(map(len, lists)))
    known = items >= 0
    shape = len(lists), len(mapping)
    entries = np.ones(int(known.sum()), np.float32), (owners[known], items[known])
    likes = sp.csr_matrix(entries, shape=shape)
    likes.sum_duplicates()
    likes.data[:] = 1
    return People(labels, np.full(len(lists), -1, np.int64), None, likes, None, False)


def as_column(values: list[Any]) -> Any:
    """Ids as an array of their own type where they have one, of objects otherwise."""
    kinds = set(map(type, values))
    if kinds == {int}:
        try:
            return np.array(values, dtype=np.int64)
        except OverflowError:
            pass
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


class Vectors(NamedTuple):
    """What stands for people: their scores are those of these vectors with the items'."""

    biases: npt.NDArray[np.float32]
    vectors: npt.NDArray[np.float32]
    source: npt.NDArray[np.int8]  # what they come from, places in `SOURCES`
    by_model: npt.NDArray[np.bool_]  # who is not has zeros, and gets what is popular
    histories: Any = None  # CSR, where neighbours stand beside the model or are it

    def at(self, rows: Any) -> tuple[Any, ...]:
        """The representations of some, as `PreparedItems` takes them."""
        parts: tuple[Any, ...] = self.biases, self.vectors
        if self.histories is not None:
            parts = *parts, self.histories
        return tuple(part[rows] for part in parts)


def vectors_of(shop: Any, people: People, num_threads: int | None) -> Vectors:
    """The vectors of people, by the best that is known of each."""
    n, model = len(people), shop.model_
    is_known = people.numbers >= 0
    is_active = is_known.copy()
    is_active[is_known] = shop._users.has_own[people.numbers[is_known]]
    source = np.full(n, POPULAR, np.int8)
    if isinstance(model, Baseline):  # which has vectors for anybody, by their place
        source[is_active] = KNOWN
        n_users = len(shop.user_ids_)
        places = np.where(is_known, people.numbers, n_users + np.arange(n))
        everybody = empty_rows(n_users + n, 0)
        biases, vectors = model.get_user_representations(everybody)
        by_model = np.ones(n, bool)
        histories = _histories(shop, people)
        if histories is not None:
            if people.history is not None:
                source[np.diff(people.history.indptr) > 0] = HISTORY
            # Other scores are all 0, which is a list by numbers of items.
            by_model = shop.model_.beside.speak_of_some(histories)
            source[~by_model] = POPULAR
        return Vectors(biases[places], vectors[places], source, by_model, histories)
    rows = people.history
    if rows is None:
        rows = _feature_rows(shop, people)
    told = np.zeros(n, bool) if rows is None else np.diff(rows.indptr) > 0
    width = shop._serving.items.vectors.shape[1]
    biases, vectors = np.zeros(n, np.float32), np.zeros((n, width), np.float32)
    histories = _histories(shop, people)
    if not told.any():
        return Vectors(biases, vectors, source, told, histories)
    if people.history is not None:
        source[told] = HISTORY
        found = shop._serving.fold_in(rows[told] * shop._serving.liked, num_threads)
    else:
        source[told] = FEATURES
        source[is_active] = KNOWN
        found = model.get_user_representations(rows if told.all() else rows[told])
    biases[told], vectors[told] = found
    biases[told] += np.float32(getattr(model, "global_mean_", 0.0))
    return Vectors(biases, vectors, source, told, histories)


def _histories(shop: Any, people: People) -> Any:
    """What the neighbours of a model know people by, CSR [n, n_items]; None without neighbours."""
    beside = getattr(shop.model_, "beside", None)
    if beside is None:
        return None
    if people.history is not None:
        return beside.weighted(people.history)
    return beside.of_users(people.numbers)


def _feature_rows(shop: Any, people: People) -> Any:
    """A row of features for each, empty where nothing is known; None where that is everybody."""
    n, is_known = len(people), people.numbers >= 0
    if not is_known.any():
        return people.rows
    if shop.user_features_ is not None:
        rows = shop.user_features_[people.numbers[is_known]]
    else:  # each their own feature
        own = people.numbers[is_known].astype(np.int32)
        parts = np.ones(len(own), np.float32), own, np.arange(len(own) + 1)
        rows = sp.csr_matrix(parts, shape=(len(own), len(shop.user_ids_)))
    if is_known.all():
        return rows
    places = np.full(n, rows.shape[0])
    places[is_known] = np.arange(rows.shape[0])
    if people.rows is None:
        nothing = empty_rows(1, rows.shape[1])
        return sp.vstack([rows, nothing], format="csr")[places]
    places[~is_known] = rows.shape[0] + np.flatnonzero(~is_known)
    return sp.vstack([rows, people.rows], format="csr")[places]
