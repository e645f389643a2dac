"""The `Dataset`: what callers number their ids with and build their matrices."""

from __future__ import annotations

import reprlib
from collections.abc import Hashable, Iterable, Mapping
from itertools import chain, count, islice
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lightfm_clone import _core, persistence
from lightfm_clone._printed import Printed
from lightfm_clone.data import feature_matrices, interactions, numbering, tables
from lightfm_clone.data.feature_matrices import Side
from lightfm_clone.data.tables import Scaling
from lightfm_clone.typing import FeatureBag, FeatureRows, Id, InteractionRows, Path, Table


class FromFrame(NamedTuple):
    """What `Dataset.from_frame` makes; None stands for what was not asked for."""

    dataset: Dataset
    interactions: sp.coo_matrix
    weights: sp.coo_matrix | None
    user_features: sp.csr_matrix | None
    item_features: sp.csr_matrix | None
    timestamps: npt.NDArray[Any] | None


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
    Missing values (NaN, NaT, NA) are no ids: they are refused. None, which a dictionary can tell
    from all else, is one id if it is given as one, with a warning.

    The feature of a user's own and the names of other features are numbered in one mapping, as in
    LightFM: a name that equals an id, as numbers often do, is the same feature as that id's own,
    and the same number in two columns is one feature. A warning says so; names such as
    ``"age:25"`` keep them apart.

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

    def __copy__(self) -> Dataset:
        """A dataset that grows by itself."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        for side in ("user", "item"):
            for kind in ("id", "feature"):
                name = f"_{side}_{kind}_mapping"
                setattr(other, name, dict(getattr(self, name)))
        return other

    def __repr__(self) -> str:
        users, user_features, items, item_features = map(len, self.mapping())
        return (
            f"Dataset({users} users with {user_features} features, "
            f"{items} items with {item_features} features)"
        )

    def _repr_html_(self) -> str:
        user_ids, user_features, item_ids, item_features = self.mapping()
        rows = [["", "number", "features", "first ids", "first names of features"]]
        for side, ids, features, identity in (
            ("users", user_ids, user_features, self._user_identity_features),
            ("items", item_ids, item_features, self._item_identity_features),
        ):
            names = (name for name in features if not identity or name not in ids)
            rows.append([side, f"{len(ids):,}", f"{len(features):,}", _first(ids), _first(names)])
        return Printed(rows).html()

    @classmethod
    def from_frame(
        cls,
        interactions: Table,
        *,
        user: Id,
        item: Id,
        weight: Id | None = None,
        timestamp: Id | None = None,
        user_features: Table | None = None,
        item_features: Table | None = None,
        user_identity_features: bool = True,
        item_identity_features: bool = True,
        numeric: Scaling = "standard",
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
        given = tables.read(
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
        users = [*given.users.values, *(of_users.ids.values if of_users else ())]
        items = [*given.items.values, *(of_items.ids.values if of_items else ())]
        if of_users and user_identity_features:
            tables.refuse_shared_names(of_users, users, "user")
        if of_items and item_identity_features:
            tables.refuse_shared_names(of_items, items, "item")
        dataset.fit(
            users,
            items,
            of_users.names if of_users else (),
            of_items.names if of_items else (),
        )
        row, col = (
            numbering.numbers_of(codes.values, _core.Numbers(ids), argument)[codes.codes]
            for codes, ids, argument in (
                (given.users, dataset._user_id_mapping, "users"),
                (given.items, dataset._item_id_mapping, "items"),
            )
        )
        shape = len(dataset._user_id_mapping), len(dataset._item_id_mapping)
        weights = None
        if given.weights is not None:
            weights = sp.coo_matrix((given.weights, (row.copy(), col.copy())), shape=shape)
        ones = np.ones(len(row), dtype=np.int32)
        rows_of_users, rows_of_items = (
            None if table is None else feature_matrices.of_table(table, side, normalize)
            for table, side in ((of_users, dataset._users()), (of_items, dataset._items()))
        )
        return FromFrame(
            dataset,
            sp.coo_matrix((ones, (row, col)), shape=shape),
            weights,
            rows_of_users,
            rows_of_items,
            given.timestamps,
        )

    def fit(
        self,
        users: Iterable[Id],
        items: Iterable[Id],
        user_features: Iterable[Id] | None = None,
        item_features: Iterable[Id] | None = None,
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
            When an argument is no iterable of hashable values, or a text. The dataset stays as it
            was.
        ValueError
            When missing values are among them. The dataset stays as it was.

        Warns
        -----
        UserWarning
            When None is among them, a feature has the name of an id while identity features are
            on, or a number is listed as the name of a feature more than once.
        """
        (
            self._user_id_mapping,
            self._user_feature_mapping,
            self._item_id_mapping,
            self._item_feature_mapping,
        ) = self._newcomers(({}, {}, {}, {}), users, items, user_features, item_features)

    def fit_partial(
        self,
        users: Iterable[Id] | None = None,
        items: Iterable[Id] | None = None,
        user_features: Iterable[Id] | None = None,
        item_features: Iterable[Id] | None = None,
    ) -> None:
        """Number what is new among users, items and features, and keep all known numbers.

        The parameters are those of `fit`, each of them optional. With identity features, a new
        user's or item's own feature comes after all features numbered before.

        Raises
        ------
        TypeError
            When an argument is no iterable of hashable values, or a text. The dataset stays as it
            was.
        ValueError
            When missing values are among them. The dataset stays as it was.

        Warns
        -----
        UserWarning
            When None is among them, a feature has the name of an id while identity features are
            on, or a number is listed as the name of a feature more than once.
        """
        known = self.mapping()
        newcomers = self._newcomers(known, users, items, user_features, item_features)
        for mapping, new in zip(known, newcomers, strict=True):
            mapping.update(new)

    def _newcomers(
        self,
        known: tuple[dict[Hashable, int], ...],
        users: Iterable[Id] | None,
        items: Iterable[Id] | None,
        user_features: Iterable[Id] | None,
        item_features: Iterable[Id] | None,
    ) -> tuple[dict[Hashable, int], ...]:
        """What has to be added to the four mappings, in the order of `mapping`."""
        known_users, known_user_names, known_items, known_item_names = known
        new_users = numbering.distinct(users, "users")
        new_items = numbering.distinct(items, "items")
        if known_users:
            new_users = numbering.numbered(new_users, known_users)
        if known_items:
            new_items = numbering.numbered(new_items, known_items)
        return (
            new_users,
            _new_names(
                user_features,
                "user_features",
                known_user_names,
                (known_users, new_users),
                self._user_identity_features,
            ),
            new_items,
            _new_names(
                item_features,
                "item_features",
                known_item_names,
                (known_items, new_items),
                self._item_identity_features,
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

    def users_to_ids(self, users: Iterable[Id]) -> npt.NDArray[np.int32]:
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
        return self._to_ids(users, "users")

    def items_to_ids(self, items: Iterable[Id]) -> npt.NDArray[np.int32]:
        """The row numbers of items; all is as in `users_to_ids`."""
        return self._to_ids(items, "items")

    def users_from_ids(self, ids: npt.ArrayLike) -> Any:
        """Your own ids of the users of these row numbers; all is as in `items_from_ids`."""
        self._check_fitted()
        return numbering.own_ids(ids, self._user_id_mapping, "users")

    def items_from_ids(self, ids: npt.ArrayLike) -> Any:
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
        self._check_fitted()
        return numbering.own_ids(ids, self._item_id_mapping, "items")

    def _to_ids(self, given: Iterable[Id], argument: str) -> npt.NDArray[np.int32]:
        self._check_fitted()
        if isinstance(given, str | bytes) or not isinstance(given, Iterable):
            raise TypeError(
                f"{argument} must be an iterable of ids, got {given!r}; pass a list, [{given!r}]"
            )
        ids = numbering.plain(given)
        if not isinstance(ids, np.ndarray):
            ids = list(ids)
        mapping, others, other = self._user_id_mapping, self._item_id_mapping, "items"
        if argument == "items":
            mapping, others, other = others, mapping, "users"

        def advise(unknown: Hashable) -> str:
            return f"take {other}_to_ids if it is one of the {other}" if unknown in others else ""

        return numbering.numbers_of(ids, _core.Numbers(mapping), argument, argument, advise)

    def build_interactions(self, data: InteractionRows) -> tuple[sp.coo_matrix, sp.coo_matrix]:
        """Build the matrices of interactions and of their weights.

        Parameters
        ----------
        data : iterable of (user id, item id) or (user id, item id, weight)
            Both kinds of rows may be mixed; the weight is 1 where it is left out. A 2-D NumPy
            array or a table of pandas, polars or pyarrow of two or three columns, whatever their
            names, is such an iterable of its rows.

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
            When an id is unknown or missing, or an element is no such row.
        TypeError
            When ``data`` are no rows at all, or a weight is not a number. (NaN is one; a fit
            refuses it.)
        """
        self._check_fitted()
        row, col, weights = interactions.entries(data, self._user_id_mapping, self._item_id_mapping)
        shape = self.interactions_shape()
        ones = np.ones(len(row), dtype=np.int32)
        return (
            sp.coo_matrix((ones, (row.copy(), col.copy())), shape=shape),
            sp.coo_matrix((weights, (row, col)), shape=shape),
        )

    def build_user_features(
        self,
        data: FeatureRows,
        normalize: bool = True,
    ) -> sp.csr_matrix:
        """Build the matrix of user features.

        Parameters
        ----------
        data : iterable of (user id, [names]) or (user id, {name: weight})
            Features of users. A name in a list weighs 1; entries for the same user and name
            add up, within a row and over rows. Users without a row have nothing but their
            identity feature, if those are on. A table of two columns, ids and lists of names, is
            such an iterable of its rows; `from_frame` reads tables of any columns.
        normalize : bool, default True
            Divide each row by the sum of its absolute values, unless that is 0.

        Returns
        -------
        csr_matrix of float32, shape (n_users, n_user_features)
            With identity features, each user's own feature weighs 1 before normalisation. This is
            one matrix, where `build_interactions` returns two.

        Raises
        ------
        ValueError
            When an id or a name is unknown or missing, an element of ``data`` is no pair, or, with
            ``normalize``, some user has no features at all or one of weight NaN or infinity.
        TypeError
            When a weight is not a number or features are neither iterable nor a mapping, or are a
            text.

        See Also
        --------
        user_feature_rows : Rows for users who are not to be known, such as visitors.
        """
        self._check_fitted()
        return feature_matrices.of_rows(data, self._users(), normalize)

    def build_item_features(
        self,
        data: FeatureRows,
        normalize: bool = True,
    ) -> sp.csr_matrix:
        """Build the matrix of item features, float32 of shape (n_items, n_item_features).

        All is as in `build_user_features`, with items in place of users.
        """
        self._check_fitted()
        return feature_matrices.of_rows(data, self._items(), normalize)

    def user_feature_rows(
        self,
        data: Iterable[FeatureBag],
        normalize: bool = True,
        unknown: Literal["error", "skip"] = "error",
    ) -> sp.csr_matrix:
        """Build rows of features for users who this dataset does not know.

        They serve as the ``user_features`` of `LightFM.predict`, `LightFM.recommend` and
        `LightFM.get_user_representations`, where the users are then 0, 1, ... in the order of
        ``data``. The time it takes does not depend on how many users and features are known.

        Parameters
        ----------
        data : iterable of [names] or {name: weight}
            The features of each user, without an id. A name in a list weighs 1; names that are
            repeated add up.
        normalize : bool, default True
            Divide each row by the sum of its absolute values, unless that is 0: by that of the
            features that are known, there being no identity feature.
        unknown : {"error", "skip"}, default "error"
            What to do about names that this dataset does not know. They are left out without a
            word with "skip".

        Returns
        -------
        csr_matrix of float32, shape (len(data), n_user_features)
            A user of whom nothing is known has a row of zeros: the item biases alone then decide
            what is recommended, which mostly are popular items.

        Raises
        ------
        ValueError
            When a name is unknown, unless those are skipped, a weight is NaN or infinite, or
            ``unknown`` is something else.
        TypeError
            When ``data`` holds something else than lists and dicts, for instance names, or a
            weight is not a number.

        Examples
        --------
        >>> dataset = Dataset()
        >>> dataset.fit(["ann"], ["tea"], user_features=["age:30", "town:Oslo"])
        >>> visitors = [["age:30", "town:Oslo"], {"town:Oslo": 2.0, "town:Bonn": 1.0}, []]
        >>> dataset.user_feature_rows(visitors, unknown="skip").toarray()
        array([[0. , 0.5, 0.5],
               [0. , 0. , 1. ],
               [0. , 0. , 0. ]], dtype=float32)
        """
        self._check_fitted()
        return feature_matrices.of_strangers(data, self._users(), normalize, unknown)

    def item_feature_rows(
        self,
        data: Iterable[FeatureBag],
        normalize: bool = True,
        unknown: Literal["error", "skip"] = "error",
    ) -> sp.csr_matrix:
        """Build rows of features for items that this dataset does not know.

        The matrix is float32 of shape (len(data), n_item_features). All is as in
        `user_feature_rows`, with items in place of users.
        """
        self._check_fitted()
        return feature_matrices.of_strangers(data, self._items(), normalize, unknown)

    def save(self, path: Path) -> None:
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
    def load(cls, path: Path) -> Dataset:
        """Read a dataset that `save` wrote. Nothing in the file is executed.

        Raises
        ------
        OSError
            When the file cannot be read.
        ValueError
            When it is something else, truncated, damaged, or of a newer version of the format.
        """
        return persistence.load_dataset(cls, path)

    def _users(self) -> Side:
        ids, features = self._user_id_mapping, self._user_feature_mapping
        return Side("user", ids, features, self._user_identity_features)

    def _items(self) -> Side:
        ids, features = self._item_id_mapping, self._item_feature_mapping
        return Side("item", ids, features, self._item_identity_features)

    def _check_fitted(self) -> None:
        # A dataset that was fitted to no ids at all cannot be told from one never fitted: the
        # state holds the mappings and nothing else, as old dumps have it.
        if not self._user_id_mapping and not self._item_id_mapping:
            raise ValueError(
                "this dataset knows no users and no items yet: call fit(users, items) first"
            )


def _first(names: Iterable[Hashable], n: int = 3) -> str:
    """The first of them in short; as Python writes them, which tells "1" from 1."""
    shown = [reprlib.repr(name) for name in islice(names, n + 1)]
    return ", ".join([*shown[:n], "…"] if len(shown) > n else shown)


def _new_names(
    given: Iterable[Id] | None,
    argument: str,
    known: Mapping[Hashable, int],
    ids: tuple[Mapping[Hashable, int], Mapping[Hashable, int]],
    identity: bool,
) -> dict[Hashable, int]:
    """What has to be added to the features of a side, whose ids are known ones and new ones."""
    known_ids, new_ids = ids
    names = numbering.distinct_names(given, known, argument)
    numbering.warn_of_rows_as_names(names, (new_ids, known_ids), argument)
    if not identity:
        return numbering.numbered(names, known) if known else names
    # Of two mappings, & goes through the shorter one.
    shared = (names.keys() & new_ids.keys()) | (names.keys() & known_ids.keys())
    late = (new_ids.keys() & known.keys()) - names.keys() if known else set()
    numbering.warn_of_shared([*sorted(shared, key=names.__getitem__), *late], argument)
    if known or shared:
        return numbering.numbered(dict.fromkeys(chain(new_ids, names)), known)
    numbers = dict(new_ids)
    numbers.update(zip(names, count(len(new_ids))))
    return numbers
