"""From ids and feature names, as an application knows them, to the matrices a model is fed."""

from __future__ import annotations

import os
from array import array
from collections.abc import Hashable, Iterable, Iterator, Mapping
from itertools import chain, count, islice, repeat
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from lightfm_clone import _core, frames, persistence

# Long inputs are taken in blocks: long enough to leave the loops to C, short enough to stay in the
# cache.
_BLOCK = 1 << 13

# Interactions are taken in longer ones, so that the mappings of users and items do not drive each
# other out of the cache at every turn, yet never are all rows of a generator held at once.
_ROWS = 1 << 18

# What an id is called in messages, by the argument of `fit_partial` that makes it known.
_NOUNS = {
    "users": "user id",
    "items": "item id",
    "user_features": "user feature",
    "item_features": "item feature",
}


class FromFrame(NamedTuple):
    """What `Dataset.from_frame` makes; None stands for what was not asked for."""

    dataset: Dataset
    interactions: sp.coo_matrix
    weights: sp.coo_matrix | None
    user_features: sp.csr_matrix | None
    item_features: sp.csr_matrix | None
    timestamps: np.ndarray | None


class Dataset:
    """Numbers users, items and their features, and builds matrices from them.

    Ids and feature names may be any hashable values. Each is numbered from 0 in order of first
    appearance, and two of them are the same id when a dictionary says so: ``1``, ``1.0`` and
    ``True`` are one. Elements of NumPy arrays are kept as the Python values they equal.

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
    `from_frame` reads whole data frames.

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

    @classmethod
    def from_frame(
        cls,
        interactions: Any,
        *,
        user: Hashable,
        item: Hashable,
        weight: Hashable | None = None,
        timestamp: Hashable | None = None,
        user_features: Any = None,
        item_features: Any = None,
        user_identity_features: bool = True,
        item_identity_features: bool = True,
        numeric: str | Mapping[Hashable, str | None] | None = "standard",
        normalize: bool = True,
    ) -> FromFrame:
        """Number and build all that tables of interactions and features hold, in one call.

        The tables are pandas or polars data frames, or pyarrow tables.

        Parameters
        ----------
        interactions : table
            A row for each interaction. Repeated pairs are kept.
        user, item : column name
            The columns of ids in ``interactions``, and in the tables of features too.
        weight : column name, optional
            The column of weights, numbers for the ``sample_weight`` of a fit.
        timestamp : column name, optional
            The column of times, numbers or dates.
        user_features, item_features : table, optional
            A row for each user (item): the id and, in all other columns, what is known about
            them. Users and items that have no interactions become known too, after those that
            have. What a column becomes depends on what it holds:

            - texts and categories: a feature ``"column:value"`` for each distinct value;
            - lists of names (tags): a feature ``"column:name"`` for each distinct name, which
              adds up where a list repeats it;
            - booleans: one feature ``"column"``, 1 where true;
            - numbers: one feature ``"column"``, whose value is the number, scaled as ``numeric``
              says.

            Missing values (None, NaN, NaT, null) make no entry. Make categories of numbers that
            are mere labels, and leave out columns that tell nothing, such as titles.
        user_identity_features, item_identity_features : bool, default True
            As in the constructor.
        numeric : {"standard", "minmax", None} or dict, default "standard"
            How numbers are scaled: to mean 0 and standard deviation 1 over the rows of the
            table, to the range from 0 to 1, or not at all. A column that is all the same becomes
            0. A dict says it by column; columns that it does not name are standardised.
        normalize : bool, default True
            Divide each row by the number of its features, its own included where identity
            features are on. That is what `build_user_features` and `build_item_features` do,
            but that a number counts as one feature whatever its value, so that it neither
            shrinks the others nor ceases to be linear.

        Returns
        -------
        dataset : Dataset
            Numbered in order of first appearance; names of features column by column.
        interactions : coo_matrix of int32, shape (n_users, n_items)
            A 1 for each row of the table, in its order.
        weights : coo_matrix of float32, shape (n_users, n_items), or None
            The weights of these entries.
        user_features : csr_matrix of float32, shape (n_users, n_user_features), or None
            Users who are not in the table have nothing but their identity feature.
        item_features : csr_matrix of float32, shape (n_items, n_item_features), or None
            The same for items.
        timestamps : ndarray [nnz], or None
            The times of these entries, numbers or datetime64 (in UTC if there was a time zone),
            as `cross_validation.time_split` takes them.

        Raises
        ------
        ValueError
            When a column is not there, ids, weights or times are missing, numbers are infinite,
            an id has two rows in a table of features, two features have one name, or, with
            ``normalize``, a user or item has no features at all.
        TypeError
            When an argument is no table, or a column holds what it cannot be used for.

        Examples
        --------
        >>> import pandas as pd
        >>> seen = pd.DataFrame({"who": ["ann", "bob"], "film": ["Alien", "Heat"], "stars": [4, 5]})
        >>> films = pd.DataFrame(
        ...     {
        ...         "film": ["Heat", "Alien", "Tron"],
        ...         "tags": [["crime"], ["space", "horror"], None],
        ...         "year": [1995, 1979, 1982],
        ...     }
        ... )
        >>> made = Dataset.from_frame(
        ...     seen, user="who", item="film", weight="stars", item_features=films, numeric="minmax"
        ... )
        >>> list(made.dataset.mapping()[3])
        ['Alien', 'Heat', 'Tron', 'tags:crime', 'tags:space', 'tags:horror', 'year']
        >>> made.item_features.toarray().round(2)
        array([[0.25, 0.  , 0.  , 0.  , 0.25, 0.25, 0.  ],
               [0.  , 0.33, 0.  , 0.33, 0.  , 0.  , 0.33],
               [0.  , 0.  , 0.5 , 0.  , 0.  , 0.  , 0.09]], dtype=float32)
        >>> made.weights.data
        array([4., 5.], dtype=float32)
        """
        given = frames.read(
            interactions,
            user_features,
            item_features,
            user=user,
            item=item,
            weight=weight,
            timestamp=timestamp,
            numeric=numeric,
        )
        of_users, of_items = given.user_features, given.item_features
        dataset = cls(user_identity_features, item_identity_features)
        dataset.fit(
            chain(given.users.values, of_users.ids.values if of_users else ()),
            chain(given.items.values, of_items.ids.values if of_items else ()),
            of_users.names if of_users else (),
            of_items.names if of_items else (),
        )
        users, user_names, items, item_names = dataset.mapping()
        row = _positions(given.users.values, _core.Numbers(users), "users")[given.users.codes]
        col = _positions(given.items.values, _core.Numbers(items), "items")[given.items.codes]
        shape = len(users), len(items)
        weights = None
        if given.weights is not None:
            weights = sp.coo_matrix((given.weights, (row.copy(), col.copy())), shape=shape)
        ones = np.ones(len(row), dtype=np.int32)
        features = [
            table and _table_matrix(table, *mappings, side, identity, normalize)
            for table, *mappings, side, identity in (
                (of_users, users, user_names, "user", user_identity_features),
                (of_items, items, item_names, "item", item_identity_features),
            )
        ]
        return FromFrame(
            dataset,
            sp.coo_matrix((ones, (row, col)), shape=shape),
            weights,
            *features,
            given.timestamps,
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
        for mapping, new in zip(known, newcomers, strict=True):
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
    ) -> tuple[dict[Hashable, int], dict[Hashable, int], dict[Hashable, int], dict[Hashable, int]]:
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

    def users_to_ids(self, users: Iterable[Hashable]) -> np.ndarray:
        """The row numbers of users: the ids that models know, from your own.

        Parameters
        ----------
        users : iterable of hashable
            Your ids, as `fit` takes them: a list, an array, a column of a data frame ...

        Returns
        -------
        ndarray of int32, shape (n,)
            What `LightFM.predict` and `LightFM.recommend` take.

        Raises
        ------
        ValueError
            When one of them is unknown.
        TypeError
            When ``users`` is a text or not an iterable of hashable values.

        Examples
        --------
        >>> dataset = Dataset()
        >>> dataset.fit(users=["ann", "bob"], items=["tea", "rum"])
        >>> dataset.users_to_ids(["bob", "ann", "bob"])
        array([1, 0, 1], dtype=int32)
        """
        return self._to_ids(users, self._user_id_mapping, "users")

    def items_to_ids(self, items: Iterable[Hashable]) -> np.ndarray:
        """The row numbers of items; all is as in `users_to_ids`."""
        return self._to_ids(items, self._item_id_mapping, "items")

    def users_from_ids(self, ids: Any) -> Any:
        """Your own ids of the users of these row numbers; all is as in `items_from_ids`."""
        return self._from_ids(ids, self._user_id_mapping, "users")

    def items_from_ids(self, ids: Any) -> Any:
        """Your own ids of the items of these row numbers, whatever shape they come in.

        Each call goes through all known items once, so give it many numbers at a time.

        Parameters
        ----------
        ids : array-like of integers
            Row numbers, for instance what `LightFM.recommend` returned. -1 stands for no item.

        Returns
        -------
        ndarray of objects, in the shape of ``ids``
            Your ids, None for -1. For a single integer, its id itself.

        Raises
        ------
        ValueError
            When a number is below -1 or not below the number of items.
        TypeError
            When they are not integers.

        Examples
        --------
        >>> dataset = Dataset()
        >>> dataset.fit(users=["ann"], items=["tea", "rum"])
        >>> dataset.items_from_ids([[1, 0], [0, -1]])
        array([['rum', 'tea'],
               ['tea', None]], dtype=object)
        """
        return self._from_ids(ids, self._item_id_mapping, "items")

    def _to_ids(
        self, given: Iterable[Hashable], mapping: dict[Hashable, int], argument: str
    ) -> np.ndarray:
        self._check_fitted()
        if isinstance(given, str | bytes) or not isinstance(given, Iterable):
            raise TypeError(f"{argument} must be an iterable of ids, got {given!r}; pass a list")
        ids = _plain(given)
        if not isinstance(ids, np.ndarray):
            ids = list(ids)
        return _positions(ids, _core.Numbers(mapping), argument, given=argument)

    def _from_ids(self, given: Any, mapping: dict[Hashable, int], argument: str) -> Any:
        self._check_fitted()
        ids = np.asarray(given)
        if ids.dtype.kind not in "iu" and ids.size:
            raise TypeError(
                f"ids must be integers, row numbers of {argument}, got {ids.dtype}; your own ids "
                f"become row numbers with {argument}_to_ids"
            )
        wrong = ids[(ids < -1) | (ids >= len(mapping))]
        if wrong.size:
            raise ValueError(
                f"ids must be row numbers of the {len(mapping)} {argument} that this dataset "
                f"knows, or -1, got {wrong[0]}"
            )
        # One place more than there are ids, which is where -1 leads.
        own = np.full(len(mapping) + 1, None, dtype=object)
        numbers = np.fromiter(mapping.values(), np.intp, len(mapping))
        own[numbers] = np.fromiter(mapping, object, len(mapping))
        return own[ids.astype(np.intp)]

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
        users = _core.Numbers(self._user_id_mapping)
        items = _core.Numbers(self._item_id_mapping)
        row, col, weights = _joined(list(_interaction_blocks(data, users, items)))
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
            ``normalize``, some user has no features at all or one of weight NaN or infinity.
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

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the dataset to one file, without pickle.

        The file takes the place of an old one at once when all is written; until then, and after
        an error, the old file is whole.

        Parameters
        ----------
        path : str or os.PathLike
            Exactly this file is written; no suffix is added.

        Raises
        ------
        TypeError
            When an id or the name of a feature is none of str, bytes, int, float, bool, None,
            a NumPy scalar of these, which comes back as the Python value it equals, or a tuple
            of these.
        ValueError
            When one is NaN, or a mapping was changed from outside and has gaps.
        OSError
            When the file cannot be written.

        Examples
        --------
        >>> import tempfile, os
        >>> dataset = Dataset()
        >>> dataset.fit(users=["ann", "bob"], items=["tea", 7])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     dataset.save(os.path.join(folder, "shop.dataset"))
        ...     loaded = Dataset.load(os.path.join(folder, "shop.dataset"))
        >>> loaded.mapping() == dataset.mapping()
        True
        """
        persistence.save_dataset(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Dataset:
        """Read a dataset that `save` wrote. Nothing in the file is executed.

        Raises
        ------
        OSError
            When the file cannot be read.
        ValueError
            When it is something else, truncated, damaged, or of a newer version of the format.
        """
        return persistence.load_dataset(cls, path)

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
    distinct = dict(zip(ahead, count()))
    numbers = _core.Numbers(distinct)
    try:
        given = _thinned(() if ids is None else ids)
        for block in [given] if type(given) is list else _listed(given, _BLOCK):
            numbers.add(block)
    except TypeError as error:
        raise TypeError(
            f"{argument} must be a one-dimensional iterable of hashable values, got "
            f"{type(ids).__name__}: {error}"
        ) from error
    if not known:
        return distinct
    return dict(zip((value for value in distinct if value not in known), count(len(known))))


def _thinned(ids: Iterable[Hashable]) -> Iterable[Hashable]:
    """The ids in their order, without most of the repetitions where that is cheap."""
    ids = _plain(ids)
    if not isinstance(ids, np.ndarray):
        return ids
    span = _dense_range(ids)
    if span is None:
        return ids.tolist()
    seen = np.zeros(len(span), dtype=bool)

    def unseen() -> Iterator[list[Hashable]]:
        for start, offsets in _offset_blocks(ids, span):
            new = np.flatnonzero(~seen.take(offsets))
            if len(new):
                seen[offsets[new]] = True
                yield ids[start + new].tolist()

    return chain.from_iterable(unseen())


def _positions(
    ids: np.ndarray | list[Hashable],
    numbers: _core.Numbers,
    argument: str,
    given: str = "data",
) -> np.ndarray:
    """The int32 numbers of the ids in the mapping that ``argument`` of `fit_partial` feeds.

    ``given`` is what the caller knows the ids as.
    """
    if isinstance(ids, np.ndarray):
        span = _dense_range(ids)
        if span is None:
            return _positions(ids.tolist(), numbers, argument, given)
        positions = np.empty(len(ids), dtype=np.int32)
        table = np.full(len(span), -1, dtype=np.int32)
        for start, offsets in _offset_blocks(ids, span):
            new = offsets[table.take(offsets) < 0]
            if len(new):
                table[new] = _positions((new + span.start).tolist(), numbers, argument, given)
            positions[start : start + len(offsets)] = table.take(offsets)
        return positions

    try:
        return numbers.of(ids)
    except KeyError as error:
        (unknown,) = error.args
        raise ValueError(
            f"{given} holds the {_NOUNS[argument]} {unknown!r}, which this dataset does not know; "
            f"make it known with fit_partial({argument}=[{unknown!r}])"
        ) from None
    except TypeError as error:
        raise TypeError(f"a {_NOUNS[argument]} in {given} is not hashable: {error}") from error


def _dense_range(ids: np.ndarray) -> range | None:
    """The range of ids that are integers and fill it well.

    A table over the range can then stand in for hashing the ids one by one. Floats that are all
    integers count as integers, as they do for a dictionary.
    """
    if ids.dtype.kind not in "iuf" or not len(ids):
        return None
    low, high = ids.min().item(), ids.max().item()
    # Put so that NaN fails. Beyond 2**53 integers and floats no longer match one to one.
    if not (-(2**53) <= low <= high <= 2**53 and high - low <= 4 * len(ids) + (1 << 16)):
        return None
    if ids.dtype.kind == "f":
        for start in range(0, len(ids), _BLOCK):
            block = ids[start : start + _BLOCK]
            if not np.array_equal(block.astype(np.int64), block):
                return None
    return range(int(low), int(high) + 1)


def _offset_blocks(ids: np.ndarray, span: range) -> Iterator[tuple[int, np.ndarray]]:
    """The places of the ids in their range, each block with the position of its first."""
    for start in range(0, len(ids), _BLOCK):
        offsets = ids[start : start + _BLOCK].astype(np.intp)
        offsets -= span.start
        yield start, offsets


def _plain(values: Iterable[Any]) -> np.ndarray | Iterable[Any]:
    """The values as a 1-D array if possible, else as a list or an iterable of the same values.

    "The same" is meant as a dictionary compares them: an array's `tolist` will do, except for
    dates, which it turns into numbers.
    """
    if _is_frame(values):
        raise TypeError("a data frame iterates over the names of its columns; pass one column")
    if isinstance(values, np.ma.MaskedArray):
        return values.tolist()  # None where it is masked
    dtype = getattr(values, "dtype", None)
    if hasattr(values, "to_numpy") and isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        values = values.to_numpy()
    if isinstance(values, np.ndarray):
        return values if values.ndim == 1 and dtype.kind in "biufcUSO" else list(values)
    # As pandas, polars and pyarrow call it.
    for method in ("tolist", "to_list", "to_pylist"):
        if hasattr(values, method):
            return getattr(values, method)()
    return values


def _is_frame(values: Any) -> bool:
    """Whether this is a pandas data frame, told without importing pandas."""
    return hasattr(values, "iloc") and values.ndim == 2


def _joined(
    blocks: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> list[np.ndarray]:
    """The rows, columns and values of blocks of entries, each in one array."""
    if not blocks:
        return [np.empty(0, dtype) for dtype in (np.int32, np.int32, np.float32)]
    return [
        parts[0] if len(parts) == 1 else np.concatenate(parts)
        for parts in zip(*blocks, strict=True)
    ]


def _interaction_blocks(
    data: Any, users: _core.Numbers, items: _core.Numbers
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Row numbers, column numbers and weights of ``data``, in one or more blocks."""
    expected = "(user id, item id) or (user id, item id, weight)"
    if _is_frame(data) or (isinstance(data, np.ndarray) and data.ndim == 2):
        if not len(data):
            return
        if data.shape[1] not in (2, 3):
            raise ValueError(f"data must have the columns {expected}, got {data.shape[1]} columns")
        if _is_frame(data):
            columns = [data.iloc[:, k] for k in range(data.shape[1])]
        else:
            columns = np.asarray(data).T
        row, col, *rest = map(_plain, columns)
        weights = _weights(*rest) if rest else np.ones(len(data), dtype=np.float32)
        yield _positions(row, users, "users"), _positions(col, items, "items"), weights
        return

    for start, rows in _blocks(data, _ROWS):
        found = _core.numbers_of_rows(users, items, rows)
        if found is not None:
            row, col, weights = found
            yield row, col, weights.astype(np.float32)
            continue
        # Something is amiss, or not as plain as most data are.
        lengths = _lengths(rows, start, {2, 3}, expected)
        if lengths == {2}:
            of_users, of_items = [user for user, _ in rows], [item for _, item in rows]
            weights = np.ones(len(rows), dtype=np.float32)
        else:
            if 2 in lengths:
                rows = [row if len(row) == 3 else (*row, 1.0) for row in rows]
            of_users, of_items = [user for user, _, _ in rows], [item for _, item, _ in rows]
            weights = _weights([weight for _, _, weight in rows])
        yield _positions(of_users, users, "users"), _positions(of_items, items, "items"), weights


def _feature_matrix(
    data: Iterable[tuple[Hashable, Iterable[Hashable] | Mapping[Hashable, float]]],
    ids: dict[Hashable, int],
    features: dict[Hashable, int],
    *,
    side: str,
    identity: bool,
    normalize: bool,
) -> sp.csr_matrix:
    """The float32 matrix of one side's features; see `Dataset.build_user_features`."""
    if isinstance(data, Mapping):
        raise TypeError("data must be an iterable of pairs, got a mapping; pass its .items()")
    blocks = _identity(ids, features, side) if identity else []
    numbers, name_numbers = _core.Numbers(ids), _core.Numbers(features)
    expected = f"({side} id, [feature names]) or ({side} id, {{feature name: weight}})"
    for start, rows in _blocks(data, _BLOCK):
        try:
            owners = [owner for owner, _ in rows]
            bags = [bag for _, bag in rows]
        except (TypeError, ValueError):
            _lengths(rows, start, {2}, expected)
            raise
        kinds = set(map(type, bags))
        if not kinds <= {dict, list, tuple}:
            bags = [_bag(bag, owner) for owner, bag in rows]
            kinds = set(map(type, bags))
        sizes = np.fromiter(map(len, bags), np.intp, len(bags))
        row = np.repeat(_positions(owners, numbers, f"{side}s"), sizes)
        col = _positions(list(chain.from_iterable(bags)), name_numbers, f"{side}_features")
        if dict in kinds:
            weighed = (bag.values() if type(bag) is dict else repeat(1.0, len(bag)) for bag in bags)
            weights = _weights(list(chain.from_iterable(weighed)))
        else:
            weights = np.ones(len(col), dtype=np.float32)
        blocks.append((row, col, weights))

    matrix = _summed(blocks, ids, features)
    if normalize:
        sizes = np.diff(matrix.indptr)
        _check_none_bare(sizes, ids, side)
        norms = np.add.reduceat(np.abs(matrix.data), matrix.indptr[:-1], dtype=np.float64)
        if not np.isfinite(norms).all():
            name = _id_of(int(np.argmin(np.isfinite(norms))), ids)
            raise ValueError(
                f"a row that holds NaN or infinity cannot be normalised: look at the weights of "
                f"the features of {side} {name!r}"
            )
        norms[norms == 0] = 1
        matrix.data /= np.repeat(norms.astype(np.float32), sizes)
    return matrix


def _table_matrix(
    given: frames.Features,
    ids: dict[Hashable, int],
    features: dict[Hashable, int],
    side: str,
    identity: bool,
    normalize: bool,
) -> sp.csr_matrix:
    """The float32 matrix of one side's features in a table; see `Dataset.from_frame`."""
    clash = next((name for name in given.names if name in ids), None) if identity else None
    if clash is not None:
        raise ValueError(
            f"{side}_features make a feature {clash!r}, a name that one of the {side} ids has too; "
            f"rename its column or turn off {side}_identity_features"
        )
    owners = _positions(given.ids.values, _core.Numbers(ids), f"{side}s")[given.ids.codes]
    repeated = np.bincount(owners, minlength=1).argmax()
    if np.sum(owners == repeated) > 1:
        raise ValueError(
            f"{side}_features must have one row for each {side}, got {np.sum(owners == repeated)} "
            f"for {_id_of(int(repeated), ids)!r}; drop duplicates, or gather tags into lists"
        )
    row, value = owners[given.row], given.value
    blocks = _identity(ids, features, side) if identity else []
    if normalize:
        sizes = np.bincount(row, minlength=len(ids)) + (1 if identity else 0)
        _check_none_bare(sizes, ids, side)
        shares = 1 / sizes.astype(np.float32)
        value = value * shares[row]
        blocks = [(row, col, ones * shares[row]) for row, col, ones in blocks]
    col = _positions(given.names, _core.Numbers(features), f"{side}_features")[given.col]
    return _summed([*blocks, (row, col, value)], ids, features)


def _identity(
    ids: dict[Hashable, int], features: dict[Hashable, int], side: str
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Entries of 1 for the identity feature of each id, as a block."""
    own = list(ids)
    # The ids lead the features, in the same order, unless some were added later.
    if own == list(islice(features, len(ids))):
        col = np.fromiter(features.values(), np.int32, len(ids))
    else:
        col = _positions(own, _core.Numbers(features), f"{side}_features")
    row = np.fromiter(ids.values(), np.int32, len(ids))
    return [(row, col, np.ones(len(ids), dtype=np.float32))]


def _summed(
    blocks: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    ids: dict[Hashable, int],
    features: dict[Hashable, int],
) -> sp.csr_matrix:
    """The matrix of the entries of all blocks, repeated ones added up, its rows sorted."""
    row, col, weights = _joined(blocks)
    matrix = sp.coo_matrix((weights, (row, col)), shape=(len(ids), len(features)))
    # The way over CSC does all of it, faster than sorting.
    return matrix.tocsc().tocsr()


def _check_none_bare(sizes: np.ndarray, ids: dict[Hashable, int], side: str) -> None:
    """Refuse users or items without features, given how many each has."""
    if not sizes.all():
        name = _id_of(int(np.argmin(sizes)), ids)
        raise ValueError(
            f"rows without features cannot be normalised: {np.sum(sizes == 0)} of "
            f"{len(ids)} {side}s have none, among them {name!r}; list features of every "
            f"{side}, turn on {side}_identity_features, or pass normalize=False"
        )


def _id_of(number: int, ids: dict[Hashable, int]) -> Hashable:
    """The id with this number."""
    return next(value for value, its_number in ids.items() if its_number == number)


def _bag(features: Iterable[Hashable] | Mapping[Hashable, float], owner: Hashable) -> list | dict:
    """The features of one id as a list or a dict."""
    if isinstance(features, Mapping):
        return dict(features)
    try:
        return list(features)
    except TypeError as error:
        raise TypeError(
            f"the features of {owner!r} must be a list of names or a dict of weights, got "
            f"{features!r}"
        ) from error


def _weights(values: np.ndarray | list[Any]) -> np.ndarray:
    """The weights as float32."""
    if isinstance(values, np.ndarray):
        if values.dtype.kind in "biuf":
            return values.astype(np.float32)
        values = values.tolist()
    try:
        # Unlike NumPy, an array('d') neither parses strings nor takes None for NaN.
        return np.array(array("d", values), dtype=np.float32)
    except OverflowError as error:
        raise ValueError(f"a weight in data is too large: {error}") from error
    except TypeError:
        for value in values:
            try:
                array("d", (value,))
            except TypeError:
                raise TypeError(
                    f"a weight in data must be a number, got {value!r} of type "
                    f"{type(value).__name__}"
                ) from None
        raise


def _blocks(data: Iterable[Any], size: int) -> Iterator[tuple[int, list[Any]]]:
    """The elements of ``data`` in lists of ``size``, each with the position of its first."""
    try:
        elements = iter(data)
    except TypeError as error:
        raise TypeError(f"data must be an iterable of tuples, got {type(data).__name__}") from error
    start = 0
    for block in _listed(elements, size):
        yield start, block
        start += len(block)


def _listed(values: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """The values in lists of ``size``."""
    elements = iter(values)
    while block := list(islice(elements, size)):
        yield block


def _lengths(rows: list[Any], start: int, allowed: set[int], expected: str) -> set[int]:
    """The lengths that occur among the rows, once all of them are allowed."""
    try:
        lengths = set(map(len, rows))
    except TypeError:
        lengths = {-1}
    if not lengths <= allowed:
        for position, row in enumerate(rows, start):
            try:
                length = len(row)
            except TypeError:
                length = "none"
            if length not in allowed:
                raise ValueError(
                    f"each element of data must be {expected}; the one at position {position} "
                    f"is {row!r} (length: {length})"
                )
    return lengths
