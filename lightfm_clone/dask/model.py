"""`DaskLightFM`: signatures and docstrings; each method leads to one function beside it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from distributed import Client, default_client

from lightfm_clone._checks import UnsupportedError, names_ours
from lightfm_clone._model import reading
from lightfm_clone._model.parameters import (
    IDENTITY_DROPOUT,
    LEARNING_RATE,
    LEARNING_SCHEDULE,
    NEGATIVES,
)
from lightfm_clone.dask import asking, evaluating, files, fitting, tables, writing
from lightfm_clone.dask.documented import adapted, as_in
from lightfm_clone.evaluation.results import METRICS
from lightfm_clone.lightfm import LightFM
from lightfm_clone.recommender import Recommender
from lightfm_clone.typing import Callback, Floats, Path, RankedLists, Representations, Seed

if TYPE_CHECKING:
    from typing_extensions import Self

_INTERACTIONS = """
    interactions : dask DataFrame, path of Parquet files, or dask array of sparse blocks
        Tables have a row for each interaction: the columns "user" and "item" (else the first two)
        hold ids, texts or whole numbers; "value" is what a matrix holds (default 1), "weight" the
        sample weight, and "timestamp" is not read. A path is one or a list of paths of Parquet
        files, local, on a file system that all workers see, or in an object store. A dask array
        has chunks of whole rows, which are sparse matrices of SciPy; then ids are row and column
        numbers. A sparse matrix, or a table of pandas, polars or pyarrow, is taken, too: it is cut
        into parts and sent to the workers.
    """
_USER_FEATURES = """
    user_features : dask array of sparse blocks, sparse matrix, or table, default identity
        A table has the users' ids in the column "user", else in the first one; its other columns
        become features as in `FeatureEncoder`, beside one of each user's own.
    """
_ITEM_FEATURES = """
    item_features : sparse matrix or table, default identity
        As `user_features`.
    """
_SAMPLE_WEIGHT = """
    sample_weight : as `interactions`, default all 1
        For matrices: of the same kind, with the same entries. Tables have a column "weight".
    """
_NUM_THREADS = """
    num_threads : int or None, default 1
        Not used: each worker trains with the threads that it was started with.
    """
_VALIDATION = """
    validation : interactions or dict, optional
        Held-out interactions of known users and items, as `interactions` are given; or a dict with
        "interactions", "exclude" (interactions to leave out of the rankings, or None for none;
        default: those of the fit) and "metrics".
    """
_CALLBACKS = """
    callbacks : sequence of callables, default none
        As on one machine. The arrays of items are up to date when one is called, those of users
        are not there; what is written to them is lost. `EarlyStopping` goes back to the best epoch,
        and `Checkpoint` saves into a folder.
    """


class DaskLightFM(LightFM):
    __doc__ = adapted(
        LightFM.__doc__ or "",
        {
            "summary": """
                The model of `LightFM`, trained and asked for lists on a cluster of Dask.

                Users are dealt to shards, one for each worker there is at the first fit, with all
                their interactions; items and shared features are merged a few times an epoch. No
                process holds all interactions. A worker may die, come late or leave: training
                goes on from the last merge.
                """,
            "client": """
                client : distributed.Client, optional
                    The cluster. None is the client that was made last in this process. Pickles and
                    copies for other processes come without it.
                """,
            "Attributes": """
                item_embeddings, item_biases, ... : float32
                    The arrays of the item side, as those of `LightFM`.
                user_embeddings, user_biases, ... : float32 [0, ...]
                    The users' rows are on the cluster; `to_local` brings them.
                client_ : distributed.Client
                    The client that is used.
                history_, global_mean_, random_state, initial_random_state
                    As those of `LightFM`. "loss" and the others are means over all shards.
                """,
            "Notes": """
                One worker with one thread trains bit for bit what `LightFM` trains on the same
                matrix, in order of users and items. For more workers, what comes of it depends on
                how many shards there are, on nothing else: with one thread a worker a run is
                reproducible, whoever dies. The guide says how shards are merged, and at what cost.

                References: Dean et al., "Large scale distributed deep networks", NIPS 2012, for
                parameters that many workers share; Thakur et al., "Optimization of collective
                communication operations in MPICH", 2005, for how they are summed.
                """,
        },
    )

    @names_ours
    def __init__(
        self,
        no_components: int = 10,
        k: int = 5,
        n: int = 10,
        learning_schedule: str = LEARNING_SCHEDULE,
        loss: str = "logistic",
        learning_rate: float = LEARNING_RATE,
        rho: float = 0.95,
        epsilon: float = 1e-6,
        item_alpha: float = 0.0,
        user_alpha: float = 0.0,
        max_sampled: int = 10,
        random_state: Seed = None,
        *,
        stored_negatives: float = 0.0,
        temperature: float = 0.1,
        n_negatives: int = 256,
        negatives: str = NEGATIVES,
        identity_dropout: float = IDENTITY_DROPOUT,
        client: Client | None = None,
    ) -> None:
        self.client = client
        super().__init__(
            no_components,
            k,
            n,
            learning_schedule,
            loss,
            learning_rate,
            rho,
            epsilon,
            item_alpha,
            user_alpha,
            max_sampled,
            random_state,
            stored_negatives=stored_negatives,
            temperature=temperature,
            n_negatives=n_negatives,
            negatives=negatives,
            identity_dropout=identity_dropout,
        )

    def _reset_state(self) -> None:
        super()._reset_state()
        self._served: asking.Served | files.Away | None = None

    def __getstate__(self) -> dict[str, Any]:
        kept = self._served
        if isinstance(kept, asking.Served):
            kept = files.brought(kept, self.client_)
        elif kept is not None:
            kept = kept.here()
        return self.__dict__ | {"client": None, "_served": kept}

    def __setstate__(self, given: dict[str, Any]) -> None:
        self.client = None
        self._served = None
        super().__setstate__(given)

    def _keep(self, into: Any) -> asking.Served:
        return self._now()

    def _put_back(self, kept: asking.Served) -> None:
        fitting.take_over(self, kept)

    def __copy__(self) -> Self:
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    def __deepcopy__(self, memo: Any) -> Self:
        # What is on the cluster never changes, and the client is the same.
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        shared = {"client": self.client, "_served": self._served}
        own = {name: value for name, value in self.__dict__.items() if name not in shared}
        made.__dict__.update(copy.deepcopy(own, memo) | shared)
        return made

    def __str__(self) -> str:
        return reading.text(self, self._n_user_rows)

    def _repr_html_(self) -> str:
        return reading.html(self, self._n_user_rows)

    @property
    def _n_user_rows(self) -> int | None:
        return None if self._served is None else self._served.dealt.whole.n_user_features

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's parameters by name, but for the client."""
        return {name: value for name, value in super().get_params(deep).items() if name != "client"}

    @property
    def client_(self) -> Client:
        """The client that is used: of a fitted model that of the fit."""
        served = self._served
        if isinstance(served, asking.Served):
            return _usable(served.dealt.data[0].client, fitted=True)
        return _usable(self.client)

    @staticmethod
    def _recommender_class() -> type[Recommender]:
        """The class of what ``Recommender(DaskLightFM(...))`` makes."""
        from lightfm_clone.dask.recommender import DaskRecommender

        return DaskRecommender

    def _known(self) -> asking.Served | files.Away:
        """What has been learned, wherever it is."""
        if self._served is None:
            raise ValueError("the model is not fitted yet: call fit first")
        return self._served

    def _now(self) -> asking.Served:
        """What has been learned, on the cluster."""
        known = self._known()
        if isinstance(known, files.Away):
            self._served = known = known.placed(self.client_)
        return known

    # ---- training --------------------------------------------------------------------------------

    @as_in(
        LightFM.fit,
        interactions=_INTERACTIONS,
        user_features=_USER_FEATURES,
        item_features=_ITEM_FEATURES,
        sample_weight=_SAMPLE_WEIGHT,
        num_threads=_NUM_THREADS,
        validation=_VALIDATION,
        callbacks=_CALLBACKS,
        Returns="DaskLightFM\n    The model itself.",
        Raises="""
            ValueError
                For bad input, and when the parameters or the loss diverge. After this and any other
                exception the model is as it was before the call.
            RuntimeError
                If workers are lost again and again without a step in between.
            TimeoutError
                If there are no workers for two minutes.
            """,
    )
    @names_ours
    def fit(
        self,
        interactions: Any,
        user_features: Any = None,
        item_features: Any = None,
        sample_weight: Any = None,
        epochs: int = 1,
        num_threads: int | None = 1,
        verbose: bool = False,
        *,
        validation: Any = None,
        callbacks: Sequence[Callback] | Callback = (),
    ) -> Self:
        with fitting.restored_after_errors(self):
            self._reset_state()
            return self.fit_partial(
                interactions,
                user_features,
                item_features,
                sample_weight,
                epochs,
                num_threads,
                verbose,
                validation=validation,
                callbacks=callbacks,
            )

    @as_in(
        LightFM.fit_partial,
        known_interactions="""
            known_interactions : None
                On a cluster, `interactions` are all that is known.
            """,
        Notes="""
            Users keep their shards, and rows, whichever workers there are by now. Where there are
            more workers than shards, users are dealt anew.
            """,
    )
    @names_ours
    def fit_partial(
        self,
        interactions: Any,
        user_features: Any = None,
        item_features: Any = None,
        sample_weight: Any = None,
        epochs: int = 1,
        num_threads: int | None = 1,
        verbose: bool = False,
        *,
        validation: Any = None,
        callbacks: Sequence[Callback] | Callback = (),
        resize: bool = False,
        known_interactions: Any = None,
    ) -> Self:
        with fitting.restored_after_errors(self):
            fitting.fit_partial(
                self,
                self.client_,
                interactions,
                user_features=user_features,
                item_features=item_features,
                sample_weight=sample_weight,
                epochs=epochs,
                num_threads=num_threads,
                verbose=verbose,
                validation=validation,
                callbacks=callbacks,
                resize=resize,
                known_interactions=known_interactions,
            )
        return self

    # ---- asking --------------------------------------------------------------------------------

    @as_in(
        LightFM.predict,
        user_ids="""
            user_ids : id, or ids [n]
                As the interactions name users; a single one is paired with every item.
            """,
        item_ids="item_ids : ids [n]\n    As the interactions name items.",
        **{
            "item_features, user_features": """
                item_features, user_features : None
                    Those of the fit are on the cluster.
                """
        },
        num_threads="num_threads : int or None, default 1\n    Of each worker.",
    )
    @names_ours
    def predict(
        self,
        user_ids: Any,
        item_ids: Any,
        item_features: Any = None,
        user_features: Any = None,
        num_threads: int | None = 1,
    ) -> Floats:
        _are_there(item_features=item_features, user_features=user_features)
        return asking.predict(
            self._now(), self.client_, user_ids, item_ids, num_threads=num_threads
        )

    @as_in(
        LightFM.recommend,
        user_ids="""
            user_ids : id, or ids [n], default all
                As the interactions name users; all of them in ascending order.
            """,
        **{
            "user_features, item_features": """
                user_features, item_features : None
                    Those of the fit are on the cluster.
                """
        },
        exclude="""
            exclude : "known", or interactions, optional
                Items to leave out: those of the fit, or others, given as a fit takes them.
            """,
        items="items : ids, default all\n    The only items to choose from.",
        Returns="""
            item_ids : int32 [n, k]
                Row numbers of items, whose ids are in `item_ids_`. Of equal scores the lower number
                comes first. Where fewer than k items are left, -1.
            scores : float32 [n, k]
                -infinity where there is no item.
            """,
        Notes="All lists come to the client; `recommend_to` writes those of all users to files.",
        Examples="",
    )
    @names_ours
    def recommend(
        self,
        user_ids: Any = None,
        k: int = 10,
        *,
        user_features: Any = None,
        item_features: Any = None,
        exclude: Any = None,
        items: Any = None,
        user_representations: Representations | None = None,
        num_threads: int | None = 1,
    ) -> RankedLists:
        if user_representations is not None:  # for which the items are enough
            return super().recommend(
                user_ids,
                k,
                item_features=item_features,
                exclude=exclude,
                items=items,
                user_representations=user_representations,
                num_threads=num_threads,
            )
        _are_there(item_features=item_features, user_features=user_features)
        return asking.recommend(
            self._now(),
            self.client_,
            user_ids,
            k,
            exclude=self._interactions(exclude),
            items=items,
            num_threads=num_threads,
        )

    def recommend_to(
        self, path: Path, k: int = 10, *, exclude: Any = "known", items: Any = None
    ) -> None:
        """Write the k best items of every user into a folder of Parquet files.

        Each worker writes the lists of its own users, some thousands at a time.

        Parameters
        ----------
        path : str or os.PathLike
            A folder that all workers see, or a URL of an object store. A part is there when it is
            whole; parts of an earlier call are replaced.
        k : int, default 10
        exclude : "known", interactions or None, default "known"
            Items to leave out: those of the fit, others, given as a fit takes them, or none.
        items : ids, default all
            The only items to choose from.

        Notes
        -----
        The columns are user, rank (from 1), item and score.
        """
        writing.write_lists(
            self._now(), self.client_, path, k, exclude=self._interactions(exclude), items=items
        )

    def evaluate(
        self,
        test_interactions: Any,
        train_interactions: Any = "known",
        metrics: str | Iterable[str] = METRICS,
        groups: str | None = None,
        *,
        num_threads: int | None = 1,
        check_intersections: bool = True,
    ) -> evaluating.Evaluation:
        """Ranking metrics of all users with test interactions, as `evaluation.evaluate` has them.

        Parameters
        ----------
        test_interactions : interactions
            Those of known users and items, given as a fit takes them. Others are left out,
            and counted.
        train_interactions : "known", interactions or None, default "known"
            Items left out of the rankings: those of the fit, others, or none.
        metrics : iterable of str, or one str
            See `evaluation.evaluate`.
        groups : {"activity", "cold"}, optional
            See `evaluation.evaluate`.
        num_threads : int or None, default 1
            Of each worker.
        check_intersections : bool, default True
            Whether an entry in both test and train is an error.

        Returns
        -------
        Evaluation
            Its means are those of one machine on the same model, to the last digit. It has no
            values of single users.
        """
        test, left_out = tables.deal_like(
            self.client_, test_interactions, self._now().dealt, addresses=self._workers()
        )
        return evaluating.evaluate(
            self._now(),
            self.client_,
            test,
            self._interactions(train_interactions),
            metrics,
            groups,
            left_out=left_out,
            num_threads=num_threads,
            check_intersections=check_intersections,
        )

    def _interactions(self, given: Any) -> Any:
        """Interactions by shard."""
        if given is None or isinstance(given, str) and given == "known":
            return given
        dealt = self._now().dealt
        return tables.deal_like(self.client_, given, dealt, addresses=self._workers())[0]

    def _workers(self) -> list[str]:
        return list(self.client_.nthreads())

    @property
    def item_ids_(self) -> Any:
        """The id of each row of the item side; None where ids are row numbers."""
        return self._known().dealt.item_ids

    @property
    def user_ids_(self) -> Any:
        """The ids of all users, ascending: of the rows of `to_local()`. They come to the client."""
        known = self._known()
        if isinstance(known, files.Away):
            return known.user_ids()
        return asking.all_users(known, self.client_)

    def to_local(self) -> LightFM:
        """A plain model of all users and items, in the memory of the client.

        Returns
        -------
        LightFM
            Its user rows are those of `user_ids_` (with a feature matrix, of its columns), its item
            rows those of `item_ids_`.
        """
        known = self._known()
        if isinstance(known, files.Away):
            model = known.to_local()
        else:
            model = asking.to_local(known, self.client_)
        model.history_ = [dict(record) for record in self.history_]
        return model

    # ---- saving ----------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write the model into a folder: a file for each shard, and one for the rest.

        Each worker writes its own shards. The folder holds a whole model at any time: the last file
        takes the place of the old one in one step, and the files that it does not name go then.

        Parameters
        ----------
        path : str or os.PathLike
            A folder on a file system that the client and all workers see. It is made. One call at
            a time may write to it.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        files.save(self, self._now(), self.client_, path)

    @classmethod
    def load(cls, path: Path, *, mmap: bool = False, client: Client | None = None) -> Self:
        """Read a model that `save` wrote.

        Parameters
        ----------
        path : str or os.PathLike
        mmap : bool, default False
            Must be False: workers read their shards into memory.
        client : distributed.Client, optional
            As in the constructor.

        Returns
        -------
        DaskLightFM
            `fit_partial` goes on where it was saved, with one thread a worker bit for bit as if it
            had not been, unless there are more workers than shards. It has no interactions: lists
            and evaluations leave out what they are given. Where there is no client yet, shards are
            read when they are needed.

        Raises
        ------
        OSError, ValueError
            As `LightFM.load`.
        """
        model: Self = files.load(cls, path, mmap=mmap, client=client)
        return model


def _usable(client: Any, *, fitted: bool = False) -> Client:
    """The client, or for None the current one, if it can be used."""
    if client is None:
        try:
            client = default_client()
        except ValueError as error:
            raise ValueError(
                "client is None, and there is no current one; make one before: "
                "client = distributed.Client(address of the scheduler)"
            ) from error
    if not isinstance(client, Client) or client.asynchronous:
        kind = "an asynchronous one" if isinstance(client, Client) else type(client).__name__
        raise ValueError(
            f"client must be a distributed.Client that waits for results, got {kind}; make it "
            "without asynchronous=True"
        )
    if client.status in ("closing", "closed"):
        raise ValueError(
            "the client that the model was fitted with is closed, and what was learned of users "
            "is gone with it; load the model, or fit again"
            if fitted
            else "client must be open, got a closed one; make another"
        )
    return client


def _are_there(**features: Any) -> None:
    for name, given in features.items():
        if given is not None:
            raise UnsupportedError(
                f"{name} must be None: those of the fit are on the cluster; ask to_local() about "
                "others"
            )


def _of_one_machine(name: str) -> Callable[..., NoReturn]:
    def refuse(self: DaskLightFM, *args: Any, **kwargs: Any) -> NoReturn:
        raise UnsupportedError(
            f"{name} needs the rows of all users in one process: ask to_local().{name}"
        )

    refuse.__name__ = name
    refuse.__doc__ = f"Of one machine alone: ask ``to_local().{name}``."
    return refuse


for _name in (
    "explain",
    "fold_in_items",
    "get_user_representations",
    "predict_rank",
    "resize",
    "score_vectors",
    "similar_users",
):
    setattr(DaskLightFM, _name, _of_one_machine(_name))
