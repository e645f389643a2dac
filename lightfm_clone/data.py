"""From ids and feature names, as an application knows them, to the matrices a model is fed."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from itertools import chain, count, islice
from operator import itemgetter
from typing import Any

import numpy as np
import scipy.sparse as sp

# Rows of an iterable are taken in blocks: long enough to leave the loops to C, short enough to
# stay in the cache and not to hold all of a generator's rows at once.
_BLOCK = 1 << 13

# What an id is called in messages, by the argument of `fit_partial` that makes it known.
_NOUNS = {
    "users": "user id",
    "items": "item id",
    "user_features": "user feature",
    "item_features": "item feature",
}


class Dataset:
    """Numbers users, items and their features, and builds matrices from them.

    Ids and feature names may be any hashable values. Each is numbered from 0 in order of first
    appearance, and two of them are the same id when Python's dictionaries say so: ``1``,
    ``1.0`` and ``True`` are one. NumPy scalars are kept as the Python values they equal.

    Parameters
    ----------
    user_identity_features : bool, default True
        Make every user id a user feature too, so that each user has an embedding of their own.
    item_identity_features : bool, default True
        The same for items.

    Notes
    -----
    Long inputs are fastest as NumPy arrays or pandas objects of integers (or of floats that
    are all integers); lists, tuples and generators are welcome everywhere and read once.

    Examples
    --------
    >>> dataset = Dataset()
    >>> dataset.fit(users=["ann", "bob"], items=["tea", "rum"], item_features=["hot"])
    >>> interactions, weights = dataset.build_interactions([("ann", "tea"), ("bob", "rum", 2.5)])
    >>> weights.toarray()
    array([[1. , 0. ],
           [0. , 2.5]], dtype=float32)
    >>> dataset.build_item_features([("tea", ["hot"])]).toarray()
    array([[0.5, 0. , 0.5],
           [0. , 1. , 0. ]], dtype=float32)
    """

    def __init__(
        self, user_identity_features: bool = True, item_identity_features: bool = True
    ) -> None:
        self._user_identity_features = user_identity_features
        self._item_identity_features = item_identity_features
        self._user_id_mapping: dict[Hashable, int] = {}
        self._user_feature_mapping: dict[Hashable, int] = {}
        self._item_id_mapping: dict[Hashable, int] = {}
        self._item_feature_mapping: dict[Hashable, int] = {}

    def __repr__(self) -> str:
        users, user_features, items, item_features = map(len, self.mapping())
        return (
            f"Dataset({users} users with {user_features} features, "
            f"{items} items with {item_features} features)"
        )

    def fit(
        self,
        users: Iterable[Hashable],
        items: Iterable[Hashable],
        user_features: Iterable[Hashable] | None = None,
        item_features: Iterable[Hashable] | None = None,
    ) -> None:
        """Number users, items and features, forgetting all that was known before.

        Parameters
        ----------
        users, items : iterable of hashable
            The ids, repeated as often as they like: a list, a generator, a NumPy array, a
            column of a data frame ...
        user_features, item_features : iterable of hashable, optional
            Names of the features that `build_user_features` and `build_item_features` may
            refer to, besides the ids themselves where identity features are on.

        Raises
        ------
        TypeError
            When an argument is no iterable of hashable values. The dataset stays as it was.
        """
        # New dictionaries: those that `mapping` handed out before keep what they say.
        (
            self._user_id_mapping,
            self._user_feature_mapping,
            self._item_id_mapping,
            self._item_feature_mapping,
        ) = self._newcomers(({}, {}, {}, {}), users, items, user_features, item_features)

    def fit_partial(
        self,
        users: Iterable[Hashable] | None = None,
        items: Iterable[Hashable] | None = None,
        user_features: Iterable[Hashable] | None = None,
        item_features: Iterable[Hashable] | None = None,
    ) -> None:
        """Number what is new among users, items and features, and keep all known numbers.

        The parameters are those of `fit`, each of them optional. With identity features, a new
        user's or item's own feature comes after all features numbered before.

        Raises
        ------
        TypeError
            When an argument is no iterable of hashable values. The dataset stays as it was.
        """
        known = self.mapping()
        newcomers = self._newcomers(known, users, items, user_features, item_features)
        for mapping, new in zip(known, newcomers):
            mapping.update(new)

    def _newcomers(
        self,
        known: tuple[dict[Hashable, int], ...],
        users: Iterable[Hashable] | None,
        items: Iterable[Hashable] | None,
        user_features: Iterable[Hashable] | None,
        item_features: Iterable[Hashable] | None,
    ) -> tuple[dict[Hashable, int], ...]:
        """What has to be added to the four mappings, in the order of `mapping`."""
        known_users, known_user_features, known_items, known_item_features = known
        new_users = _numbered(users, known_users, "users")
        new_items = _numbered(items, known_items, "items")
        return (
            new_users,
            _numbered(
                user_features,
                known_user_features,
                "user_features",
                ahead=new_users if self._user_identity_features else (),
            ),
            new_items,
            _numbered(
                item_features,
                known_item_features,
                "item_features",
                ahead=new_items if self._item_identity_features else (),
            ),
        )

    def interactions_shape(self) -> tuple[int, int]:
        """(number of users, number of items).

        Raises
        ------
        ValueError
            When no ids are known yet, here and in every method below but `mapping`.
        """
        self._check_fitted()
        return len(self._user_id_mapping), len(self._item_id_mapping)

    def user_features_shape(self) -> tuple[int, int]:
        """(number of users, number of user features)."""
        self._check_fitted()
        return len(self._user_id_mapping), len(self._user_feature_mapping)

    def item_features_shape(self) -> tuple[int, int]:
        """(number of items, number of item features)."""
        self._check_fitted()
        return len(self._item_id_mapping), len(self._item_feature_mapping)

    def model_dimensions(self) -> tuple[int, int]:
        """(number of user features, number of item features): the rows of a model's arrays."""
        self._check_fitted()
        return len(self._user_feature_mapping), len(self._item_feature_mapping)

    def mapping(
        self,
    ) -> tuple[
        dict[Hashable, int], dict[Hashable, int], dict[Hashable, int], dict[Hashable, int]
    ]:
        """The four live mappings: user ids, user features, item ids, item features.

        Each leads from an id or a name to its row or column. They are the dataset's own, which
        `fit_partial` extends and `fit` replaces; treat them as read-only.
        """
        return (
            self._user_id_mapping,
            self._user_feature_mapping,
            self._item_id_mapping,
            self._item_feature_mapping,
        )

    def build_interactions(
        self, data: Iterable[tuple[Hashable, Hashable] | tuple[Hashable, Hashable, float]]
    ) -> tuple[sp.coo_matrix, sp.coo_matrix]:
        """Build the matrices of interactions and of their weights.

        Parameters
        ----------
        data : iterable of (user id, item id) or (user id, item id, weight)
            Both kinds of rows may be mixed; the weight is 1 where it is missing. A 2-D NumPy
            array or a data frame of two or three columns is such an iterable of its rows.

        Returns
        -------
        interactions : coo_matrix of int32, shape (n_users, n_items)
            A 1 for each row of ``data``, in its order, repeated pairs included.
        weights : coo_matrix of float32, shape (n_users, n_items)
            The weights of these entries, for the ``sample_weight`` of a fit. The two share no
            memory.

        Raises
        ------
        ValueError
            When an id is unknown or a row has another length.
        TypeError
            When a weight is not a number. (NaN is one; a fit refuses it.)
        """
        self._check_fitted()
        blocks = [
            (
                _positions(users, self._user_id_mapping, "users"),
                _positions(items, self._item_id_mapping, "items"),
                weights,
            )
            for users, items, weights in _interaction_columns(data)
        ]
        row, col, weights = (
            np.concatenate([np.empty(0, dtype), *column])
            for dtype, column in zip(
                (np.int32, np.int32, np.float32), zip(*blocks) if blocks else ((), (), ())
            )
        )
        shape = self.interactions_shape()
        ones = np.ones(len(row), dtype=np.int32)
        return (
            sp.coo_matrix((ones, (row.copy(), col.copy())), shape=shape),
            sp.coo_matrix((weights, (row, col)), shape=shape),
        )

    def build_user_features(
        self,
        data: Iterable[tuple[Hashable, Iterable[Hashable] | Mapping[Hashable, float]]],
        normalize: bool = True,
    ) -> sp.csr_matrix:
        """Build the matrix of user features.

        Parameters
        ----------
        data : iterable of (user id, [names]) or (user id, {name: weight})
            Features of users. A name in a list weighs 1; entries for the same user and name
            add up, within a row and over rows. Users without a row have nothing but their
            identity feature, if those are on.
        normalize : bool, default True
            Divide each row by the sum of its absolute values, unless that is 0.

        Returns
        -------
        csr_matrix of float32, shape (n_users, n_user_features)
            With identity features, each user's own feature weighs 1 before normalisation.

        Raises
        ------
        ValueError
            When an id or a name is unknown, an element of ``data`` is no pair, or, with
            ``normalize``, some user has no features at all.
        TypeError
            When a weight is not a number or features are neither iterable nor a mapping.
        """
        self._check_fitted()
        return _feature_matrix(
            data,
            self._user_id_mapping,
            self._user_feature_mapping,
            side="user",
            identity=self._user_identity_features,
            normalize=normalize,
        )

    def build_item_features(
        self,
        data: Iterable[tuple[Hashable, Iterable[Hashable] | Mapping[Hashable, float]]],
        normalize: bool = True,
    ) -> sp.csr_matrix:
        """Build the matrix of item features, float32 of shape (n_items, n_item_features).

        All is as in `build_user_features`, with items in place of users.
        """
        self._check_fitted()
        return _feature_matrix(
            data,
            self._item_id_mapping,
            self._item_feature_mapping,
            side="item",
            identity=self._item_identity_features,
            normalize=normalize,
        )

    def _check_fitted(self) -> None:
        # A dataset that was fitted to no ids at all cannot be told from one never fitted: the
        # state holds the mappings and nothing else, as old dumps have it.
        if not self._user_id_mapping and not self._item_id_mapping:
            raise ValueError(
                "this dataset knows no users and no items yet: call fit(users, items) first"
            )


def _numbered(
    ids: Iterable[Hashable] | None,
    known: dict[Hashable, int],
    argument: str,
    ahead: Iterable[Hashable] = (),
) -> dict[Hashable, int]:
    """Number what is not yet known of ``ahead`` and ``ids``, by first appearance."""
    distinct = dict.fromkeys(ahead)
    if ids is not None:
        try:
            distinct |= dict.fromkeys(_thinned(ids))
        except TypeError as error:
            raise TypeError(
                f"{argument} must be a one-dimensional iterable of hashable values, got "
                f"{type(ids).__name__}: {error}"
            ) from error
    new = (value for value in distinct if value not in known) if known else distinct
    return dict(zip(new, count(len(known))))


def _thinned(ids: Iterable[Hashable]) -> Iterable[Hashable]:
    """The ids in their order, without most of the repetitions where that is cheap."""
    ids = _array_or_list(ids)
    dense = _dense_offsets(ids)
    if dense is None:
        return ids if isinstance(ids, list) else ids.tolist()
    offsets, _, span = dense
    seen = np.zeros(span, dtype=bool)

    def unseen() -> Iterator[list[Hashable]]:
        for start in range(0, len(offsets), _BLOCK):
            block = offsets[start : start + _BLOCK]
            new = np.flatnonzero(~seen.take(block))
            if len(new):
                seen[block[new]] = True
                yield ids[start + new].tolist()

    return chain.from_iterable(unseen())


def _positions(
    ids: np.ndarray | list[Hashable], mapping: dict[Hashable, int], argument: str
) -> np.ndarray:
    """The int32 numbers of the ids, of which ``argument`` says what they are."""
    dense = _dense_offsets(ids)
    if dense is not None:
        offsets, low, span = dense
        occurs = np.zeros(span, dtype=bool)
        occurs[offsets] = True
        distinct = np.flatnonzero(occurs)
        table = np.empty(span, dtype=np.int32)
        table[distinct] = _positions((distinct + low).tolist(), mapping, argument)
        return table.take(offsets)

    if not isinstance(ids, list):
        ids = ids.tolist()
    positions = np.empty(len(ids), dtype=np.int32)
    if ids:
        try:
            # The fastest way to look up many keys: one call that never leaves C. For a single
            # key it gives the bare number, which broadcasts just as well.
            positions[:] = itemgetter(*ids)(mapping)
        except KeyError:
            unknown = next(value for value in ids if value not in mapping)
            noun = _NOUNS[argument]
            hint = ""
            if noun.endswith("feature") and isinstance(unknown, str) and len(unknown) == 1:
                hint = " (a single feature name goes in a list, else its letters are the names)"
            raise ValueError(
                f"{noun} {unknown!r} is not known to this dataset; make it known with "
                f"fit_partial({argument}=[{unknown!r}]) before building matrices{hint}"
            ) from None
        except TypeError as error:
            raise TypeError(f"{_NOUNS[argument]}s must be hashable: {error}") from error
    return positions


def _dense_offsets(ids: Any) -> tuple[np.ndarray, int, int] | None:
    """(ids - low, low, span) of an array of integers that fill their range well, or else None.

    A table over the range of such ids takes the place of hashing them one by one. Floats that
    are all integers count as integers, as they do for hashes.
    """
    if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "iuf" or not len(ids):
        return None
    with np.errstate(invalid="ignore"):
        integers = ids.astype(np.int64)
    if not np.can_cast(ids.dtype, np.int64) and not np.array_equal(integers, ids):
        return None
    low, high = int(integers.min()), int(integers.max())
    span = high - low + 1
    # Up to 2**53 the comparison with floats above is exact.
    if span > 4 * len(ids) + (1 << 16) or low < -(2**53) or high > 2**53:
        return None
    integers -= low
    return integers, low, span


def _array_or_list(values: Any) -> np.ndarray | list[Any]:
    """Values as a 1-D array whose `tolist` equals what iterating gives, or as a list.

    Columns of data frames become arrays where they are numeric. Iterators stay what they are
    only in the sense that they are read once, here.
    """
    if hasattr(values, "iloc") and values.ndim == 2:
        raise TypeError("a data frame iterates over its column names; pass one of its columns")
    dtype = getattr(values, "dtype", None)
    if hasattr(values, "to_numpy") and isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        values = values.to_numpy()
    if isinstance(values, np.ndarray):
        # Not so for dates, which become numbers, nor for the rows of a matrix.
        if values.ndim == 1 and values.dtype.kind in "biufcUSO":
            return np.asarray(values)
        return list(values)
    if hasattr(values, "tolist"):
        return values.tolist()
    return values if isinstance(values, list) else list(values)


def _blocks(data: Iterable[Any]) -> Iterator[tuple[int, list[Any]]]:
    """Blocks of the elements of ``data``, each with the position of its first."""
    if isinstance(data, Mapping):
        raise TypeError("data must be an iterable of tuples, got a mapping; pass its .items()")
    try:
        rows = iter(data)
    except TypeError:
        raise TypeError(
            f"data must be an iterable of tuples, got {type(data).__name__}"
        ) from None
    start = 0
    while block := list(islice(rows, _BLOCK)):
        yield start, block
        start += len(block)


def _lengths(block: list[Any], start: int, allowed: set[int], expected: str) -> set[int]:
    """The lengths that occur among the rows of a block, all of them allowed."""
    try:
        lengths = set(map(len, block))
    except TypeError:
        lengths = {-1}
    if not lengths <= allowed:
        for position, row in enumerate(block, start):
            length = len(row) if hasattr(row, "__len__") else "no"
            if length not in allowed:
                raise ValueError(
                    f"each element of data must be {expected}; the one at position {position} "
                    f"has length {length}: {row!r}"
                )
    return lengths


def _interaction_columns(
    data: Any,
) -> Iterator[tuple[np.ndarray | list[Hashable], np.ndarray | list[Hashable], np.ndarray]]:
    """Users, items and weights of ``data``, in one or more blocks."""
    ...
