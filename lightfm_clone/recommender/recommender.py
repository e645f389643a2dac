"""The `Recommender`: signatures and docstrings; each method leads to a function beside it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lightfm_clone._checks import names_ours
from lightfm_clone._model.explain import Explanation
from lightfm_clone.data import Dataset
from lightfm_clone.data.item_columns import ItemColumns
from lightfm_clone.evaluation import Comparison, Evaluation
from lightfm_clone.lightfm import LightFM
from lightfm_clone.recommender import events as events_of
from lightfm_clone.recommender import files, fitting, judging, people, reading, serving
from lightfm_clone.recommender.events import Pairs
from lightfm_clone.recommender.report import DataReport
from lightfm_clone.recommender.sides import Side
from lightfm_clone.typing import Id, Path, Table

if TYPE_CHECKING:
    from typing_extensions import Self


_MASKS = 4  # kinds of events, or several, whose pairs are kept for lists that leave them out


class Recommender:
    """From tables of events, users and items to lists, with the caller's own ids all the way.

    It numbers the ids, makes interactions of events and features of columns, trains a model, and
    keeps all that a list needs: who has what, and what is known about whom. Beneath are a
    `Dataset`, an encoder for each table, and the model, all of which may be used by themselves.

    Parameters
    ----------
    model : LightFM, or another model with its methods, default WARP with 32 components
        What is trained, such as ``LightFM(loss="softmax", no_components=64)``, one with neighbours
        beside it (`WithNeighbours`), or a baseline as `Popularity` or `ItemNeighbours`. It stays
        as it is; `fit` trains a copy.

    Attributes
    ----------
    model_ : LightFM, or of the class of `model`
        The trained copy. Where `negatives` was left out, its negatives are "seen": an item that
        nobody has had may be new, and is not pushed down. Where `identity_dropout` was left out, it
        is 0.1 for a softmax with tables of users or items.
    dataset_ : Dataset
        The numbers of users, items and features.
    user_ids_, item_ids_ : arrays [n_users], [n_items]
        The ids by number.
    user_encoder_, item_encoder_ : FeatureEncoder, or None without a table
    user_features_, item_features_ : csr_matrix, or None without a table
        What the model is trained with. Who has no interactions has no feature of their own there:
        it would be noise.
    interactions_ : csr_matrix of float32, shape (n_users, n_items)
        A 1 for each pair that the recommender knows.
    pairs_ : Pairs
        The same with weights, kinds of events and times.
    item_columns_ : ItemColumns, or None without a table
        The columns of items that rules of lists go by.
    report_ : DataReport
        What was found in the tables of the last fit or update; None for a recommender from a file.

    Notes
    -----
    Tables are data frames of pandas or polars, tables of pyarrow, and others that narwhals reads,
    or paths of CSV and Parquet files. What comes out is of the kind that came in (for paths, pandas
    if it is there). They need the extra ``tables``: ``pip install "lightfm-clone[tables]"``.

    Ids are any hashable values. In CSV files they are texts, so that leading zeros survive.

    Examples
    --------
    >>> from lightfm_clone import LightFM, Recommender
    >>> from lightfm_clone.data import bins, split
    >>> from lightfm_clone.datasets import synthetic_shop
    >>> events, visitors, products = synthetic_shop(random_state=0).to_frames()
    >>> shop = Recommender(LightFM(loss="warp", no_components=16, random_state=0))
    >>> shop = shop.fit(
    ...     events,
    ...     user="visitorid",
    ...     item="itemid",
    ...     timestamp="timestamp",
    ...     event="event",
    ...     event_weights={"view": 1, "addtocart": 4, "transaction": 10},
    ...     users=visitors,
    ...     items=products,
    ...     columns={"tags": split("|"), "price": bins(5)},
    ...     verbose=False,
    ... )
    >>> lists = shop.recommend(visitors["visitorid"][:2], k=3)
    >>> list(lists.columns)
    ['user', 'rank', 'item', 'score', 'source']
    >>> len(lists)
    6
    """

    model_: Any
    dataset_: Dataset
    pairs_: Pairs
    user_features_: Any
    item_features_: Any
    item_columns_: ItemColumns | None
    report_: DataReport | None

    # What the fit was told, for later events.
    _rules: dict[str, Any]
    _kinds: list[Any]
    _duplicates: str
    _kind: str  # of the tables that go out
    _users: Side
    _items: Side

    def __new__(cls, model: Any = None) -> Any:
        # A model that lies on a cluster has a recommender that does, too.
        own = getattr(model, "_recommender_class", None)
        return object.__new__(cls if own is None or cls is not Recommender else own())

    def __init__(self, model: Any = None) -> None:
        self.model = LightFM(loss="warp", no_components=32) if model is None else model

    # ---- what follows from what is kept ----------------------------------------------------------

    @property
    def user_ids_(self) -> Any:
        return self._ids[0]

    @property
    def item_ids_(self) -> Any:
        return self._ids[1]

    @property
    def user_encoder_(self) -> Any:
        return self._users.encoder

    @property
    def item_encoder_(self) -> Any:
        return self._items.encoder

    @property
    def interactions_(self) -> Any:
        return self.pairs_.rows()

    @cached_property
    def _ids(self) -> tuple[Any, Any]:
        users, _, items, _ = self.dataset_.mapping()
        return people.as_column(list(users)), people.as_column(list(items))

    @cached_property
    def _serving(self) -> serving.Serving:
        return serving.Serving(self)

    def __getstate__(self) -> dict[str, Any]:
        # Copies and pickles do without what is made when it is asked for.
        return {name: value for name, value in vars(self).items() if name not in fitting.MADE_ANEW}

    def _now(self) -> Self:
        """What the last fit or update made, which stays so while another takes its place.

        So a request of one thread is answered by one state, while another thread updates.
        """
        now = object.__new__(type(self))
        now.__dict__ = self.__dict__  # with what is made when it is asked for
        if "model_" not in now.__dict__:
            raise ValueError("the recommender is not fitted yet: call fit first")
        return now

    def _left_out(self, exclude: Any) -> Any:
        """The items that lists leave out, a row for each user; None where that is none."""
        if exclude is False or exclude is None:
            return None
        mask = None if exclude is True else events_of.mask_of(self._kinds, exclude, "exclude")
        had = self._had.get(mask)
        if had is None:
            for old in list(self._had)[: 1 - _MASKS]:  # each is as large as all pairs
                self._had.pop(old, None)  # which another thread may have done
            had = self._had[mask] = self.pairs_.rows(mask)
        return had

    @cached_property
    def _had(self) -> dict[int | None, Any]:
        """What everybody has, by the mask of kinds; None for all."""
        return {}

    # ---- scikit-learn ----------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's parameters; with `deep` those of the model too, as ``model__...``."""
        found = {"model": self.model}
        if deep:
            found |= {f"model__{name}": value for name, value in self.model.get_params().items()}
        return found

    def set_params(self, **params: Any) -> Self:
        """Set `model`, or parameters of the model as ``model__no_components=32``.

        Raises
        ------
        ValueError
            For an unknown name or a bad value; nothing is changed then.
        """
        of_model = {
            name.removeprefix("model__"): value
            for name, value in params.items()
            if name.startswith("model__")
        }
        model = params.get("model", self.model)
        unknown = next((n for n in params if n != "model" and not n.startswith("model__")), None)
        if unknown is not None:
            raise ValueError(
                f"unknown parameter {unknown!r}; the parameters are model and those of the model, "
                "such as model__no_components"
            )
        if of_model:
            model.set_params(**of_model)
        self.model = model
        return self

    def __sklearn_tags__(self) -> Any:
        # Only scikit-learn calls this, so it is there.
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            input_tags=InputTags(string=True, categorical=True, allow_nan=True),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    # ---- training --------------------------------------------------------------------------------

    @names_ours
    def fit(
        self,
        events: Table | Path,
        y: None = None,
        *,
        user: Id,
        item: Id,
        timestamp: Id | None = None,
        event: Id | None = None,
        event_weights: Mapping[Id, float] | None = None,
        weight: Id | None = None,
        watched: Id | tuple[Id, ...] | None = None,
        min_watched: float = 0.1,
        half_life: Any = None,
        duplicates: str = "max",
        users: Table | Path | None = None,
        items: Table | Path | None = None,
        columns: Mapping[Hashable, Any] | None = None,
        epochs: int = 10,
        num_threads: int | None = None,
        verbose: bool = True,
        **fit_options: Any,
    ) -> Self:
        """Read the tables, and train the model on them.

        Parameters
        ----------
        events : table or path
            A row for each thing that somebody did: a view, a purchase, a rating. For a
            `DaskLightFM` also a dask DataFrame, or a list of paths of Parquet files.
        y : None
            For scikit-learn; ignored.
        user, item : column name
            The ids in `events`, and in `users` and `items`. Rows without one are left out, and
            counted.
        timestamp : column name, optional
            When it happened: dates, ISO texts, or numbers since 1970 (in s, ms, us or ns, by their
            size).
        event : column name, optional
            What happened, one of the kinds that `event_weights` names.
        event_weights : dict of kind to float, optional
            What each kind of event counts. Kinds that are not named are left out, and counted.
        weight : column name, optional
            A weight for each event, times that of its kind. For a model of ``loss="mse"`` weights
            are the values it is to predict, such as ratings.
        watched : column name, or tuple of two or three, optional
            The share that was watched; or (what was watched, the length of all); or (start, end,
            the length of all). See `min_watched`.
        min_watched : float, default 0.1
            Events with a smaller share are left out, and counted.
        half_life : str, number of days or timedelta, optional
            Weights are halved with every such time before the latest event, as "30d" or "12h".
        duplicates : {"max", "sum", "last"}, default "max"
            What a pair of user and item counts that has several events: its largest weight, their
            sum, or the latest.
        users, items : table or path, optional
            What is known about users and items, a row each. Who is in there and not in the events
            becomes known, too, and can be recommended (to).
        columns : dict of column name to rule, optional
            What becomes of columns of `users` and `items`, as ``{"tags": split("|"), "price":
            bins(5), "title": None}``. Others are treated by their type, and `verbose` says how. See
            `lightfm_clone.data.FeatureEncoder`.
        epochs : int, default 10
        num_threads : int or None, default None
            None uses all CPUs. With 1 a fit can be repeated bit for bit.
        verbose : bool, default True
            Print the report of the data, and a progress bar.
        **fit_options
            Passed on to the model's `fit`, such as `callbacks`. `validation` may be later events
            here, a table or path like `events`: its pairs of people and items that are known, and
            not in `events`, are what metrics are computed on after each epoch.

        Returns
        -------
        Recommender
            Itself.

        Raises
        ------
        ImportError
            If narwhals is missing: the extra ``tables``.
        ValueError, TypeError
            For columns that are not there or hold what they cannot be used for, and bad arguments.
            The recommender stays as it was.
        """
        rules = {
            "user": user,
            "item": item,
            "timestamp": timestamp,
            "event": event,
            "event_weights": (
                dict(event_weights) if isinstance(event_weights, Mapping) else event_weights
            ),
            "weight": weight,
            "watched": tuple(watched) if isinstance(watched, list) else watched,
            "min_watched": min_watched,
            "half_life": half_life,
        }
        self._fit(
            events,
            users,
            items,
            columns,
            rules,
            duplicates,
            epochs,
            num_threads,
            verbose,
            fit_options,
        )
        return self

    _fit = fitting.fit

    @names_ours
    def update(
        self,
        events: Table | Path,
        *,
        users: Table | Path | None = None,
        items: Table | Path | None = None,
        epochs: int | None = None,
        num_threads: int | None = None,
        verbose: bool = True,
    ) -> Self:
        """Take in what has happened since: new people, new items, and what everybody did.

        The model grows by rows for what is new, and trains on the new pairs, mixed with a replay of
        old ones, which keeps what it knew. What was known and is not trained on stays bit for bit.
        docs/guide/growth.md shows what ten daily updates are worth beside training from scratch.

        Parameters
        ----------
        events : table or path
            Like those of the fit, with the same columns. An empty table will do. What is told
            again, after a fit or an update that had it already, counts again.
        users, items : table or path, optional
            Rows of who is new, or about whom something has changed. New categories become
            features; edges of bins stay. What a column has said that is not there stays, too.
        epochs : int, optional
            How often the new pairs are trained on, by default 5 times, which was measured to be
            enough.
        num_threads : int or None, default None
        verbose : bool, default True
            Print the report of the data.

        Returns
        -------
        Recommender
            Itself.

        Raises
        ------
        ValueError, TypeError
            As `fit`. The recommender stays as it was.
        """
        fitting.update(self, events, users, items, epochs, num_threads, verbose)
        return self

    # ---- lists -----------------------------------------------------------------------------------

    @names_ours
    def recommend(
        self,
        users: Any = None,
        k: int = 10,
        *,
        history: Any = None,
        exclude: bool | Id | Sequence[Id] = True,
        items: Any = None,
        deny: Any = None,
        where: Mapping[Hashable, Any] | None = None,
        at_most: Mapping[Hashable, int] | None = None,
        popularity: float = 0.0,
        diversity: float = 0.0,
        num_threads: int | None = None,
    ) -> Table:
        """The best items for people who are known, or not.

        Parameters
        ----------
        users : ids, table, or dicts, default everybody who is known
            Ids of people; or rows about them, a table like the `users` of the fit, with the column
            of ids or without it, or a dict, or a list of dicts. Strangers are served by what their
            row says.
        k : int, default 10
        history : list of lists of item ids, or dict of lists, optional
            In place of `users`: people known by what they looked at, a list for each. Items that
            are not known are skipped. They are folded in together, by draws at random, so what
            else is in a call can change scores a little. To a model of ``loss="mse"`` they are
            items with the highest rating.
        exclude : bool, kind of event, or several, default True
            What is left out: all that somebody has, nothing, or what they have by these kinds of
            events, as ``exclude="transaction"``. A history, which has no kinds, is left out
            unless it is False.
        items : ids, or a list of them for each of the people, optional
            The only candidates.
        deny : ids, optional
            Items that nobody gets. Unknown ones may be among them: nobody gets these anyway.
        where : dict of column to what it must hold, optional
            Rules by columns of the `items` of the fit: a value, a list of values (any of them), or
            ``between(low, high)``. A list of tags holds a value if it is among them. All columns
            must hold; what is missing never does.
        at_most : dict of column to int, optional
            Quotas, as ``{"brand": 3}``: at most so many items of one value in a list. The list is
            the greedy one: by score, what would go beyond a quota is left out.
        popularity : float, default 0
            A dial: how many standard deviations of a score an item gains for one standard
            deviation of its popularity (the logarithm of 1 + the number of people who have it).
            Negative values lead to the long tail.
        diversity : float in [0, 1), default 0
            A dial: maximal marginal relevance on the item vectors, over the best max(10 k, 100).
            See Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering
            documents and producing summaries", SIGIR 1998.
        num_threads : int or None, default None

        Returns
        -------
        table
            Of the kind of `users`, if that is a table, else of the kind of the fit. The columns
            are "user" (an id, or the position in what was passed), "rank" (from 1), "item",
            "score" (the model's, whatever the dials, to be compared within a list alone) and
            "source": what the list goes by. That is "known" for people with interactions,
            "features" where only the columns tell about them, "history", or, where nothing is
            known, "popular"; then the score is log(1 + the number of people who have the item).
            People get fewer than k rows where no more items are left.

        Raises
        ------
        ValueError, TypeError
            Before the fit, for unknown `items`, for ids of a type that no known id has, and bad
            arguments.
        """
        now = self._now()
        return serving.recommend(
            now,
            people.find(now, users, history),
            k,
            num_threads,
            exclude=exclude,
            items=items,
            deny=deny,
            where=where,
            at_most=at_most,
            popularity=popularity,
            diversity=diversity,
        )

    @names_ours
    def write_lists(
        self,
        path: Path,
        users: Any = None,
        k: int = 10,
        *,
        num_threads: int | None = None,
        verbose: bool = True,
        **rules: Any,
    ) -> None:
        """Write lists into a Parquet, CSV or JSON lines file, for ten million people too.

        Some thousand people are served at a time, so memory is bounded, whatever their number. The
        file takes its place when it is whole.

        Parameters
        ----------
        path : str or os.PathLike
            It ends in .parquet, .csv, or .jsonl or .ndjson.
        users, k, num_threads
            As in `recommend`.
        verbose : bool, default True
            Show a progress bar if tqdm is installed.
        **rules
            `exclude`, `items`, `deny`, `where`, `at_most`, `popularity` and `diversity` as in
            `recommend`.

        Raises
        ------
        OSError
            If the file cannot be written.
        ValueError, TypeError
            As `recommend`.
        """
        now = self._now()
        serving.write_lists(
            now, path, people.find(now, users, None), k, num_threads, verbose, **rules
        )

    @names_ours
    def similar_items(
        self,
        items: Any = None,
        k: int = 10,
        *,
        where: Mapping[Hashable, Any] | None = None,
        num_threads: int | None = None,
    ) -> Table:
        """The nearest items, by the cosine of their vectors.

        Parameters
        ----------
        items : ids, default all
        k : int, default 10
        where : dict, optional
            Rules for the neighbours, as in `recommend`.
        num_threads : int or None, default None

        Returns
        -------
        table
            With the columns "item", "rank" (from 1), "similar" and "score".

        Raises
        ------
        ValueError
            Before the fit, for unknown items and bad arguments.
        """
        return serving.similar_items(self._now(), items, k, where, num_threads)

    @names_ours
    def explain(self, user: Any, item: Id) -> Explanation:
        """Why an item scores as it does for somebody: the exact terms of the score.

        Parameters
        ----------
        user : id, or a dict, or a table of one row
            As in `recommend`.
        item : id

        Returns
        -------
        Explanation
            With the names of features; see `LightFM.explain`.

        Raises
        ------
        ValueError
            Before the fit, for who or what is unknown, and for models without terms.
        """
        now = self._now()
        found: Explanation = serving.explain(now, people.find(now, user, None), item)
        return found

    # ---- how good it is --------------------------------------------------------------------------

    @names_ours
    def evaluate(
        self,
        events: Table | Path,
        *,
        relevant: Id | Sequence[Id] | None = None,
        users: Table | Path | None = None,
        exclude: bool | Id | Sequence[Id] = True,
        metrics: str | Sequence[str] | None = None,
        num_threads: int | None = None,
    ) -> Evaluation:
        """How well the lists foresee later events.

        Parameters
        ----------
        events : table or path
            Like those of the fit, and later.
        relevant : kind of event, or several, default all
            Which events count as hits.
        users : table or path, optional
            About people who are new in `events`. Strangers without a row are served what is
            popular.
        exclude : default True
            What is left out of the lists, as in `recommend`. Pairs that are left out do not count.
        metrics : names, optional
            As in `lightfm_clone.evaluation.evaluate`.
        num_threads : int or None, default None

        Returns
        -------
        Evaluation
            Its groups are people who are "new" (without interactions), who have "few" (up to the
            median) or "many", and "new items": everybody's test items without interactions alone,
            ranked among all. Its `left_out` says what could not be evaluated, and how much.

        Raises
        ------
        ValueError
            Before the fit, and where nothing is left to evaluate.
        """
        now = self._now()
        later = judging.read(now, events, relevant, users, exclude)
        return judging.evaluate(now, later, metrics, num_threads)

    @names_ours
    def compare(
        self,
        models: Mapping[str, Any],
        events: Table | Path,
        *,
        relevant: Id | Sequence[Id] | None = None,
        users: Table | Path | None = None,
        exclude: bool | Id | Sequence[Id] = True,
        metrics: str | Sequence[str] | None = None,
        k: int = 10,
        epochs: int = 10,
        num_threads: int | None = None,
        verbose: bool = False,
    ) -> Comparison:
        """This recommender beside other models, trained on the same data, on the same later events.

        Parameters
        ----------
        models : dict of name to model
            Not fitted: ``{"popular": Popularity(), "warp": LightFM(loss="warp")}``. Each is trained
            as `fit` trains, on a copy.
        events, relevant, users, exclude, metrics
            As in `evaluate`.
        k : int, default 10
            Length of the lists whose coverage, novelty and diversity are measured.
        epochs : int, default 10
            Of each model.
        num_threads : int or None, default None
            None uses all CPUs.
        verbose : bool, default False
            Show progress.

        Returns
        -------
        Comparison
            The first row is this recommender, named "recommender": differences are to it, with
            paired bootstrap intervals, for all and by the groups of `evaluate`.

        Raises
        ------
        ValueError
            As `evaluate`, and for a model named "recommender".
        """
        now = self._now()
        later = judging.read(now, events, relevant, users, exclude)
        return judging.compare(
            now, models, later, metrics, k, epochs, exclude, num_threads, verbose
        )

    def score(self, events: Table | Path, y: None = None) -> float:
        """``ndcg@10`` of `evaluate`, for scikit-learn's searches."""
        return self.evaluate(events, metrics="ndcg@10")["ndcg@10"]

    # ---- vectors ---------------------------------------------------------------------------------

    def user_table(self, *, features: bool = True) -> Table:
        """Vectors of all users as a table, for other models.

        Parameters
        ----------
        features : bool, default True
            Whether the columns that the encoder made are there, too, dense.

        Returns
        -------
        table
            With the columns "user", "bias", "vector_0" ..., and those of the encoder by their
            names.

        Raises
        ------
        ValueError
            Before the fit, and for a feature with the name of another column, such as "bias".
        """
        return serving.table_of_vectors(self._now(), "user", features)

    def item_table(self, *, features: bool = True) -> Table:
        """Vectors of all items as a table, for other models; all is as in `user_table`."""
        return serving.table_of_vectors(self._now(), "item", features)

    # ---- saving ----------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write all of it to one file, without pickle.

        The file takes the place of an old one at once when it is whole.

        Parameters
        ----------
        path : str or os.PathLike
            Exactly this file is written; no suffix is added.

        Raises
        ------
        OSError
            If the file cannot be written.
        ValueError, TypeError
            Before the fit, and for what a file has nothing for; see `LightFM.save` and
            `Dataset.save`.
        """
        files.save(self._now(), path)

    @classmethod
    def load(cls, path: Path, *, mmap: bool = False, model_class: Any = None) -> Self:
        """Read a recommender that `save` wrote.

        Nothing in a file is executed, so files of any origin may be loaded. Its parts carry the
        fingerprint of their numbering, so that a model never meets ids that are not its own.

        Parameters
        ----------
        path : str or os.PathLike
        mmap : bool, default False
            Map the arrays into memory instead of reading them, as in `LightFM.load`.
        model_class : class, optional
            For a model of a class of your own, alone or with neighbours beside it.

        Returns
        -------
        Recommender

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is something else, truncated or damaged, which is said of the part, or of a newer
            version of the format.
        """
        return files.load(cls, path, mmap=mmap, model_class=model_class)

    # ---- reading ---------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r})"

    def __str__(self) -> str:
        return reading.text(self)

    def _repr_html_(self) -> str:
        return reading.html(self)
