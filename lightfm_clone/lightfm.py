"""The model: parameters, public arrays, fit and predict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lightfm_clone import persistence
from lightfm_clone._checks import name_here, names_ours
from lightfm_clone._model import fit, parameters, reading, representations, state
from lightfm_clone._model.explain import Explanation, explain
from lightfm_clone._model.fold_in import fold_in_items, fold_in_users
from lightfm_clone._model.parameters import (
    IDENTITY_DROPOUT,
    LEARNING_RATE,
    LEARNING_SCHEDULE,
    NEGATIVES,
)
from lightfm_clone._model.predict import predict, predict_rank
from lightfm_clone._model.recommend import PreparedModel, recommend, similar

if TYPE_CHECKING:
    from typing_extensions import Self

    from lightfm_clone.data import Dataset

from lightfm_clone.typing import (
    Callback,
    CsrMatrix,
    FeatureMatrix,
    Floats,
    HeldOut,
    Interactions,
    Path,
    RankedLists,
    Record,
    Representations,
    Rows,
    SampleWeight,
    Seed,
)


class LightFM:
    """Hybrid matrix factorisation over features of users and items.

    The score of user u and item i is ``q_u · p_i + b_u + b_i``, where a user's (an item's)
    embedding and bias are the sums of those of their features, weighted by the feature
    matrix. Without features every user and item is its own feature, which is plain matrix
    factorisation. (Kula, "Metadata embeddings for user and item cold-start recommendations",
    2015.) For ``loss="softmax"`` q_u and p_i are these sums divided by their lengths.

    Parameters
    ----------
    no_components : int, default 10
        Dimension of the embeddings.
    k : int, default 5
        For ``warp-kos``: the k-th best scored of the drawn positives is trained on.
    n : int, default 10
        For ``warp-kos``: how many of the user's positives are drawn for an example.
    learning_schedule : {"adagrad", "adadelta", "sgd"}, default "adagrad"
        ``sgd`` is plain gradient descent whose learning rate falls linearly to 0 over the epochs of
        one call of `fit` or `fit_partial`. ``softmax`` has ``sgd`` where this is left out.
    loss : {"logistic", "bpr", "warp", "warp-kos", "mse", "softmax"}, default "logistic"
        ``logistic`` when both positive and negative interactions are known; ``warp`` when only
        positive ones are and the top of the list matters; ``bpr`` for pairwise ranking with
        popularity-weighted negatives; ``warp-kos`` as WARP, on the k-th best positive; ``mse``
        for explicit ratings: half the squared error of the score, around the mean of the values;
        ``softmax``, a sampled softmax on cosines, for the best lists from positive interactions.
    learning_rate : float, default 0.05
        Initial learning rate of adagrad and sgd. ``softmax`` has 0.1 where this is left out.
    rho, epsilon : float, default 0.95 and 1e-6
        Moving average coefficient and conditioning of adadelta.
    item_alpha, user_alpha : float, default 0.0
        L2 penalties on item and user features.
    max_sampled : int, default 10
        Most negatives that WARP tries for an example.
    random_state : int, numpy RandomState, numpy Generator or None
        Seed. A RandomState is shared and advanced by training.
    stored_negatives : float in [0, 1], default 0.0
        For ``bpr`` and ``warp``: the share of draws of negatives that take one of the items the
        user is known to dislike (stored with a value <= 0, and never with another), if there are
        any. At 0, as in LightFM, these are known items that are never drawn.
    temperature : float, default 0.1
        For ``softmax``: what scores are divided by; a low one looks at the top of the list alone.
    n_negatives : int, default 256
        For ``softmax``: the negatives drawn for a block of examples.
    negatives : {"all", "seen"}, default "all"
        For ``warp``, ``warp-kos`` and ``softmax``: from which items negatives are drawn. ``"all"``
        is LightFM's law: an item without interactions is a negative for everybody and is pushed
        down, with its features. With ``"seen"`` they come from the items with a stored entry of
        any value in the interactions of this and earlier fits alone, so that new items are judged
        by what was learned of their features. (``bpr`` draws by the counts of entries, so never an
        unseen item; ``logistic`` and ``mse`` draw none.)
    identity_dropout : float in [0, 1), default 0.0
        The share of examples whose items are trained by the features they share with others alone,
        and, drawn for itself, the share of those whose user is. What is left out are identities:
        features that one row alone of the matrix has. New users and items are ranked better for it,
        because they have no identity; 0.1 to 0.3 is a good choice. Who has nothing but identities
        keeps them, so without a feature matrix it does nothing. A block of the softmax is one
        example here, as it shares its negatives.

    Attributes
    ----------
    item_embeddings, user_embeddings : float32 [n_features, no_components]
    item_biases, user_biases : float32 [n_features]
    {item,user}_embedding_gradients, ..._embedding_momentum : as the embeddings
    {item,user}_bias_gradients, ..._bias_momentum : as the biases
        State of the learning schedule. All twelve arrays are None before the first fit, may be
        assigned, and are trained in place; an assigned array that is not float32, contiguous and
        writable is replaced by a copy that is.
    history_ : list of dicts
        A record for each epoch run, which `fit` starts anew and `fit_partial` continues: "epoch"
        (from 1), "seconds" of training, "loss" (the mean over the examples, without L2), for the
        WARP losses "violation_rate" (the share of examples with a violation) and "mean_tries"
        (draws for an example), and validation metrics by name.
    global_mean_ : float
        For ``mse`` the (weighted) mean of the values the model was first fitted to, part of every
        predicted score; else 0.
    random_state : numpy.random.RandomState
    initial_random_state
        What the constructor was given as `random_state`.

    Raises
    ------
    ValueError
        For a bad parameter value (the exception is an AssertionError too).

    Notes
    -----
    With one thread, training is bit-reproducible from the seed on one build and instruction
    level. With more, threads update shared parameters without locks (Hogwild), so runs differ in
    the last digits and beyond, within the noise between seeds.
    """

    # For type checkers alone. They are spared the None of the time before the first fit.
    item_embeddings: Floats
    item_embedding_gradients: Floats
    item_embedding_momentum: Floats
    item_biases: Floats
    item_bias_gradients: Floats
    item_bias_momentum: Floats
    user_embeddings: Floats
    user_embedding_gradients: Floats
    user_embedding_momentum: Floats
    user_biases: Floats
    user_bias_gradients: Floats
    user_bias_momentum: Floats
    history_: list[Record]
    global_mean_: float

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
    ) -> None:
        self.no_components = no_components
        self.k = k
        self.n = n
        self.learning_schedule = learning_schedule
        self.loss = loss
        self.learning_rate = learning_rate
        self.rho = rho
        self.epsilon = epsilon
        self.item_alpha = item_alpha
        self.user_alpha = user_alpha
        self.max_sampled = max_sampled
        self.random_state = random_state
        self.stored_negatives = stored_negatives
        self.temperature = temperature
        self.n_negatives = n_negatives
        self.negatives = negatives
        self.identity_dropout = identity_dropout
        self.__dict__.update(parameters.check(parameters.of(self)))
        self.initial_random_state = random_state
        self._marks_defaults = True  # pickles of earlier versions do not
        self._reset_state()

    def __setstate__(self, given: dict[str, Any]) -> None:
        # Dumps of LightFM, and older ones of ours, lack some of it.
        state.clear(self)
        self.initial_random_state = None
        for name in parameters.NAMES:
            setattr(self, name, _DEFAULTS[name])
        self.__dict__.update(given)
        if not given.get("_marks_defaults"):
            parameters.mark_defaults(self.__dict__)
        self._marks_defaults = True

    def __repr__(self) -> str:
        shown = [
            f"{name}={value!r}"
            for name, value in parameters.of(self).items()
            if name != "random_state" and parameters.is_chosen(self, name, _DEFAULTS[name])
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __str__(self) -> str:
        return reading.text(self)

    def _repr_html_(self) -> str:
        return reading.html(self)

    # ---- parameters ------------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's parameters by name; `random_state` is the live RandomState.

        Of a subclass, LightFM's own twelve, and the others that its constructor takes.

        A `learning_rate`, a `learning_schedule` and `negatives` that were left out are a float and
        two strs that remember it, wherever they are passed on. Only as text, in JSON for one, they
        do not: what comes back from there has been chosen, which makes a difference to ``softmax``.
        """
        names = parameters.public_names(type(self))
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    def set_params(self, **params: Any) -> Self:
        """Set constructor parameters by name.

        Raises
        ------
        ValueError
            For an unknown name or a bad value; nothing is changed then.
        """
        names = dict.fromkeys((*parameters.NAMES, *self.get_params()))
        unknown = sorted(set(params) - set(names))
        if unknown:
            raise ValueError(f"unknown parameter {unknown[0]!r}; {name_here(unknown[0], names)}")
        checked = parameters.check(parameters.of(self) | params)
        for name in params:
            setattr(self, name, checked[name])
        return self

    def __sklearn_tags__(self) -> Any:
        # Only scikit-learn calls this, so it is there.
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            input_tags=InputTags(sparse=True),
        )

    # ---- training --------------------------------------------------------------------------------

    def _initialize(self, no_components: int, no_item_features: int, no_user_features: int) -> None:
        """Draw fresh parameters. Subclasses may override this.

        All rows that are ever drawn come from here: those of a first fit, and those that `resize`
        and folding in add, for which it is called on a copy, with the numbers of new rows.
        """
        fit.initialize(self, no_components, no_item_features, no_user_features)

    def _reset_state(self) -> None:
        """Forget all that has been learned, or, in the constructor, begin with nothing.

        Subclasses call this, and may override it.
        """
        state.clear(self)

    def _check_initialized(self) -> None:
        """Raise ValueError where the model is not fitted. LightFM's subclasses call this."""
        state.check_fitted(self)

    @names_ours
    def fit(
        self,
        interactions: Interactions,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
        sample_weight: SampleWeight | None = None,
        epochs: int = 1,
        num_threads: int | None = 1,
        verbose: bool = False,
        *,
        validation: HeldOut | None = None,
        callbacks: Sequence[Callback] | Callback = (),
    ) -> Self:
        """Train a new model, forgetting what an earlier fit has learned.

        Parameters
        ----------
        interactions : sparse matrix [n_users, n_items] of any format and numeric dtype
            Each stored entry is one training example, duplicates included. A value > 0 is a
            positive; others are negatives for ``logistic`` and skipped by ``warp`` and ``bpr``,
            though known to the user. ``warp-kos`` takes every stored entry as a positive, ``mse``
            every value as a rating.
            A dense two-dimensional array is taken as its non-zero entries.
        user_features : sparse matrix [n_users or more, n_user_features], default identity
        item_features : sparse matrix [n_items or more, n_item_features], default identity
        sample_weight : COO matrix [n_users, n_items], default all 1
            Weights of the loss, with the very entries of `interactions` in the same order.
        epochs : int, default 1
            0 only initialises.
        num_threads : int or None, default 1
            None uses all CPUs this process may use, by its affinity and the quota of its container.
            More than four a CPU are never started.
        verbose : bool, default False
            Show a progress bar if tqdm is installed, with the loss and the last of the metrics,
            else print each epoch.
        validation : sparse matrix or dict, optional
            Held-out interactions, on which metrics are computed after each epoch; or a dict with
            "interactions" and any of "exclude" (default: the training interactions), "metrics"
            (names as `evaluation.evaluate` knows them, default those that callbacks need, or
            ``("ndcg@10",)``), "user_features" and "item_features" (default: those of the fit).
        callbacks : sequence of callables, default none
            Each is called after each epoch as ``callback(model, record)`` with the epoch's entry
            of `history_`, and ends the training by returning something true. `callbacks` has
            some. What they write to the arrays is lost, but for the hook ``on_fit_end``.

        Returns
        -------
        LightFM
            The model itself.

        Raises
        ------
        ValueError
            For bad input, and when the parameters or the loss diverge. After this and any other
            exception the model is as it was before the call, but `random_state` has gone on if
            training had begun. An interrupt from the keyboard alone leaves what has been trained
            up to then, and calls ``on_fit_end``.

        Warns
        -----
        FitWarning
            When nothing was learned, or something that is seldom meant: `logistic` on positives
            alone, ratings as positives, weights that are negative or beyond WARP's limit, items
            without interactions that are pushed down with their features.
        """
        further: dict[str, Any] = {}
        if validation is not None:
            further["validation"] = validation
        if callbacks != ():  # a subclass may know of LightFM's own arguments alone
            further["callbacks"] = callbacks
        with state.restored_after_errors(self):
            self._reset_state()
            return self.fit_partial(
                interactions,
                user_features=user_features,
                item_features=item_features,
                sample_weight=sample_weight,
                epochs=epochs,
                num_threads=num_threads,
                verbose=verbose,
                **further,
            )

    @names_ours
    def fit_partial(
        self,
        interactions: Interactions,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
        sample_weight: SampleWeight | None = None,
        epochs: int = 1,
        num_threads: int | None = 1,
        verbose: bool = False,
        *,
        validation: HeldOut | None = None,
        callbacks: Sequence[Callback] | Callback = (),
        resize: bool = False,
        known_interactions: Interactions | None = None,
    ) -> Self:
        """Go on training from the present parameters, or start if there are none.

        Returned value and errors are those of `fit`.

        Parameters
        ----------
        interactions, user_features, item_features, sample_weight
            As in `fit`.
        epochs, num_threads, verbose, validation, callbacks
            As in `fit`.
        resize : bool, default False
            Whether the model grows when there are more users, items or features than it was
            fitted with, as by the method `resize`. Without it, the feature matrices must have the
            columns the model was fitted with.
        known_interactions : sparse matrix [n_users, n_items], optional
            What users know besides `interactions`, where these are a part of a larger whole. Its
            stored entries, whatever their values, are never negatives, and `validation` leaves
            them out of its rankings. ``bpr`` draws items by the number of users who know them,
            ``warp-kos`` its positives from all that a user knows.

        Notes
        -----
        With ``negatives="seen"`` a model remembers, by row, which items its fits have seen, and
        goes on drawing from these where a call brings interactions of fewer. What it was fitted to
        under ``"all"`` it does not remember.
        """
        fit.fit_partial(
            self,
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

    @names_ours
    def resize(
        self, n_user_features: int | None = None, n_item_features: int | None = None
    ) -> Self:
        """Make room for new users, items and features, and keep all that has been learned.

        Rows are appended to all arrays of a side, values and states of the learning schedule: the
        first ones stay bit for bit, the new ones are drawn like those of a first fit, items first,
        from `random_state`. The arrays are new objects where a side grows.

        Parameters
        ----------
        n_user_features, n_item_features : int, default as many as there are
            The new numbers of rows: those of users and items where there are no feature matrices,
            else the numbers of columns of these, where what is new has to come last.
            `Dataset.model_dimensions()` gives both.

        Returns
        -------
        LightFM
            The model itself.

        Raises
        ------
        ValueError
            If the model is not fitted, or a number is below that of the model; it never shrinks.

        Examples
        --------
        >>> from lightfm_clone.data import Dataset
        >>> dataset = Dataset()
        >>> dataset.fit(users=["ann", "bob"], items=["tea", "rum", "ale"])
        >>> interactions, _ = dataset.build_interactions([("ann", "tea"), ("bob", "rum")])
        >>> model = LightFM(loss="warp", random_state=0).fit(interactions)
        >>> dataset.fit_partial(users=["cid"])
        >>> model.resize(*dataset.model_dimensions()).user_embeddings.shape
        (3, 10)
        """
        with state.restored_after_errors(self):
            state.grow(self, n_user_features, n_item_features)
        return self

    # ---- prediction ------------------------------------------------------------------------------

    @names_ours
    def predict(
        self,
        user_ids: Rows,
        item_ids: Rows,
        item_features: FeatureMatrix | None = None,
        user_features: FeatureMatrix | None = None,
        num_threads: int | None = 1,
    ) -> Floats:
        """Scores of pairs of users and items.

        Parameters
        ----------
        user_ids : int or integers [n]
            Row numbers of users; a single integer is paired with every item.
        item_ids : integers [n]
            Lists, tuples, ranges, arrays and pandas Series will do.
        item_features, user_features : sparse matrices, default identity
            With as many columns as in the fit, or fewer: missing features count as zero.
        num_threads : int or None, default 1

        Returns
        -------
        float32 [n]
            Higher is better; scores of different users are not comparable.

        Raises
        ------
        ValueError
            If the model is not fitted, the lengths differ, or ids are empty, not whole numbers,
            negative, or beyond the feature rows.
        """
        return predict(
            self,
            user_ids,
            item_ids,
            user_features=user_features,
            item_features=item_features,
            num_threads=num_threads,
        )

    @names_ours
    def explain(
        self,
        user_id: int,
        item_id: int,
        *,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
        dataset: Dataset | None = None,
    ) -> Explanation:
        """Why an item scores as it does for a user: the exact terms of the score.

        The score multiplied out is one term for each pair of a user feature and an item feature
        and one for each feature's bias. They add up to what `predict` gives; nothing is
        approximated. What decides the order of that user's items comes first, and what is the same
        for every item, such as the user's own biases, last.

        Parameters
        ----------
        user_id, item_id : int
            Row numbers, as in `predict`.
        user_features, item_features : sparse matrices, default identity
        dataset : Dataset, optional
            What numbered users, items and features: contributions then carry its names in place
            of labels such as "user feature 3".

        Returns
        -------
        Explanation
            With `score`, a float computed in float64, and `contributions`, named tuples
            ``(value, kind, user_feature, item_feature)``: the largest in size first, and the
            user's biases and the global mean after all others. It prints as a short table;
            `to_frame` makes a data frame.

        Raises
        ------
        ValueError
            As `predict`; when an id is not a single integer; when the dataset lacks a feature.
        TypeError
            When `dataset` is no Dataset.

        Examples
        --------
        >>> import numpy as np
        >>> from lightfm_clone.data import Dataset
        >>> dataset = Dataset(item_identity_features=False)
        >>> dataset.fit(["ann", "bob"], ["tea", "rum"], item_features=["hot", "strong"])
        >>> interactions, _ = dataset.build_interactions([("ann", "tea"), ("bob", "rum")])
        >>> tags = dataset.build_item_features([("tea", ["hot"]), ("rum", ["hot", "strong"])])
        >>> model = LightFM(loss="bpr").fit(interactions, item_features=tags, epochs=10)
        >>> why = model.explain(1, 1, item_features=tags, dataset=dataset)
        >>> sorted(map(str, why.contributions))  # doctest: +NORMALIZE_WHITESPACE
        ['bob × hot', 'bob × strong', 'item bias of hot', 'item bias of strong',
         'user bias of bob']
        >>> bool(np.isclose(why.score, model.predict(1, [1], item_features=tags)[0]))
        True
        """
        return explain(self, user_id, item_id, user_features, item_features, dataset)

    @names_ours
    def recommend(
        self,
        user_ids: Rows | None = None,
        k: int = 10,
        *,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
        exclude: Interactions | None = None,
        items: Rows | None = None,
        user_representations: Representations | None = None,
        num_threads: int | None = 1,
    ) -> RankedLists:
        """The k best items of each user, best first.

        Parameters
        ----------
        user_ids : int or integers [n], default all
            Row numbers of users. Without ids there is one list for each row of `user_features`
            or `user_representations` (of users that the model has never seen, for instance), or
            for each user of the fit.
        k : int, default 10
        user_features, item_features : sparse matrices, default identity
            With as many columns as in the fit, or fewer.
        exclude : sparse matrix [n_users, n_items], optional
            Items to leave out: every stored entry, whatever its value. Rows are matched to user
            ids or, where no ids are given, row i to row i.
        items : integers, default all
            The only items to choose from.
        user_representations : (biases float32 [n], embeddings float32 [n, no_components]), optional
            Users as `fold_in_users` or `get_user_representations` return them.
        num_threads : int or None, default 1

        Returns
        -------
        item_ids : int32 [n, k]
            Of equal scores the lower id comes first. Where fewer than k items are left, -1.
        scores : float32 [n, k]
            As `predict` gives them, but for rounding; -infinity where there is no item.

        Raises
        ------
        ValueError
            If the model is not fitted, an id or a shape does not fit, or representations are NaN
            or infinite.

        Notes
        -----
        Beside the result and two copies of the item vectors, memory does not grow with the number
        of users: their vectors are made for some thousand at a time. Who asks for a list at a time,
        often, asks what `prepare` returns.

        Examples
        --------
        >>> from lightfm_clone.datasets import synthetic_catalogue
        >>> films = synthetic_catalogue(random_state=0)
        >>> model = LightFM(loss="warp", random_state=0).fit(films.interactions, epochs=5)
        >>> ids, scores = model.recommend([3, 7], k=4, exclude=films.interactions)
        >>> ids.shape, bool((scores[:, 0] >= scores[:, 1]).all())
        ((2, 4), True)
        """
        return recommend(
            self,
            user_ids,
            k,
            user_features=user_features,
            item_features=item_features,
            exclude=exclude,
            items=items,
            user_representations=user_representations,
            num_threads=num_threads,
        )

    @names_ours
    def prepare(self, *, item_features: FeatureMatrix | None = None) -> PreparedModel:
        """The model made ready for many requests, such as those of a service.

        `recommend` checks, sums and packs the items at every call. What this returns has done so
        once; its own `recommend` takes the same arguments, without `item_features`, and gives the
        same lists.

        Parameters
        ----------
        item_features : sparse matrix [n_items, n_item_features], default identity

        Returns
        -------
        PreparedModel
            It keeps what it was made of: a later fit does not change it.

        Raises
        ------
        ValueError
            If the model is not fitted, the matrix does not fit, or representations are NaN or
            infinite.

        Examples
        --------
        >>> from lightfm_clone.datasets import synthetic_catalogue
        >>> films = synthetic_catalogue(random_state=0)
        >>> model = LightFM(loss="warp", random_state=0).fit(films.interactions, epochs=5)
        >>> service = model.prepare()
        >>> same = service.recommend(7, k=3)[0] == model.recommend(7, k=3)[0]
        >>> bool(same.all())
        True
        """
        return PreparedModel(self, item_features)

    @names_ours
    def similar_items(
        self,
        item_ids: Rows | None = None,
        k: int = 10,
        *,
        item_features: FeatureMatrix | None = None,
        metric: str = "cosine",
        among: Rows | None = None,
        num_threads: int | None = 1,
    ) -> RankedLists:
        """The k items nearest to each of the given ones, nearest first.

        Parameters
        ----------
        item_ids : int or integers [n], default all
            Rows of `item_features`, or of the items of the fit where it had none. With the identity
            matrix these are the features themselves, which tells what tags are like a tag.
        k : int, default 10
        item_features : sparse matrix [n_items, n_item_features], optional
        metric : {"cosine", "dot"}, default "cosine"
            Cosine of the angle between two embeddings, 0 where one of them is 0, or their inner
            product. Biases play no part.
        among : integers, default all
            The only ids to choose from, such as those of the tags.
        num_threads : int or None, default 1

        Returns
        -------
        ids : int32 [n, k]
            Without the item itself. Where fewer than k are left, -1.
        similarities : float32 [n, k]
            -infinity where there is no item.

        Raises
        ------
        ValueError
            As `recommend`.

        Examples
        --------
        >>> from lightfm_clone.datasets import synthetic_catalogue
        >>> films = synthetic_catalogue(random_state=0)
        >>> model = LightFM(loss="warp", random_state=0)
        >>> model = model.fit(films.interactions, item_features=films.item_features, epochs=5)
        >>> ids, similarities = model.similar_items(5, k=3, item_features=films.item_features)
        >>> ids.shape, bool(similarities.max() <= 1.0001)
        ((1, 3), True)
        """
        return similar(
            self,
            "item",
            item_ids,
            k,
            features=item_features,
            metric=metric,
            among=among,
            num_threads=num_threads,
        )

    @names_ours
    def similar_users(
        self,
        user_ids: Rows | None = None,
        k: int = 10,
        *,
        user_features: FeatureMatrix | None = None,
        metric: str = "cosine",
        among: Rows | None = None,
        num_threads: int | None = 1,
    ) -> RankedLists:
        """The k users nearest to each of the given ones; all is as in `similar_items`."""
        return similar(
            self,
            "user",
            user_ids,
            k,
            features=user_features,
            metric=metric,
            among=among,
            num_threads=num_threads,
        )

    @names_ours
    def predict_rank(
        self,
        test_interactions: Interactions,
        train_interactions: Interactions | None = None,
        item_features: FeatureMatrix | None = None,
        user_features: FeatureMatrix | None = None,
        num_threads: int | None = 1,
        check_intersections: bool = True,
    ) -> CsrMatrix:
        """Ranks of test items among all items.

        Parameters
        ----------
        test_interactions : sparse matrix [n_users, n_items]
            Its stored entries are ranked, whatever their values.
        train_interactions : sparse matrix [n_users, n_items], optional
            Items a user is known to like, left out of their ranking.
        item_features, user_features : sparse matrices, default identity
        num_threads : int or None, default 1
        check_intersections : bool, default True
            Whether an entry that is in test and train is an error.

        Returns
        -------
        CSR matrix, float32 [n_users, n_items]
            With the entries of `test_interactions`: the number of other items that score at
            least as high, items in the user's train row left out. 0 is the best rank; ties count
            against the item.

        Raises
        ------
        ValueError
            If the model is not fitted, shapes do not fit, or test and train share entries.
        """
        return predict_rank(
            self,
            test_interactions,
            train_interactions,
            user_features=user_features,
            item_features=item_features,
            num_threads=num_threads,
            check_intersections=check_intersections,
        )

    @names_ours
    def get_item_representations(self, features: FeatureMatrix | None = None) -> Representations:
        """Biases float32 [n] and embeddings float32 [n, no_components] of items.

        `features` is a sparse matrix with a row per item. Without one the model's own arrays are
        returned, live; a model that was fitted with item_features refuses that, because these are
        rows of features. For ``softmax`` the embeddings are divided by their lengths, a copy in any
        case.
        """
        return representations.of(self, "item", features)

    @names_ours
    def get_user_representations(self, features: FeatureMatrix | None = None) -> Representations:
        """Biases float32 [n] and embeddings float32 [n, no_components] of users.

        `features` is a sparse matrix with a row per user. Without one the model's own arrays are
        returned, live; a model that was fitted with user_features refuses that, because these are
        rows of features. For ``softmax`` the embeddings are divided by their lengths, a copy in any
        case.
        """
        return representations.of(self, "user", features)

    @names_ours
    def score_vectors(
        self,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
    ) -> tuple[Floats, Floats]:
        """Vectors of users and items whose plain inner product is the score.

        For any index or database of vectors that searches by inner product: put the item vectors
        in, and ask with a user's. The columns are::

            user   [q_u,  b_u,  1  ]        user @ item = q_u · p_i + b_u + b_i
            item   [p_i,  1,    b_i]

        The global mean of ``loss="mse"`` is added to b_u. Every item has the same 1, so b_u shifts
        all scores of a user alike and never changes their order: that column may be dropped, on
        both sides, where only the order matters.

        Parameters
        ----------
        user_features, item_features : sparse matrices, default identity
            With a row per user or item, and the columns of the fit.

        Returns
        -------
        user_vectors : float32 [n_users, no_components + 2]
        item_vectors : float32 [n_items, no_components + 2]
            Copies; later training does not change them.

        Raises
        ------
        ValueError
            If the model is not fitted, or a feature matrix does not have its columns.

        Examples
        --------
        >>> import numpy as np
        >>> from lightfm_clone.datasets import synthetic_catalogue
        >>> films = synthetic_catalogue()
        >>> model = LightFM(loss="warp").fit(films.interactions)
        >>> users, items = model.score_vectors()
        >>> users.shape, items.shape
        ((1000, 12), (600, 12))
        >>> np.allclose(users[7] @ items.T, model.predict(7, range(600)), atol=1e-4)
        True
        """
        return representations.score_vectors(self, user_features, item_features)

    # ---- new users and items ---------------------------------------------------------------------

    @names_ours
    def fold_in_users(
        self,
        interactions: Interactions,
        *,
        item_features: FeatureMatrix | None = None,
        sample_weight: SampleWeight | None = None,
        epochs: int = 20,
        num_threads: int | None = 1,
        random_state: Seed = None,
    ) -> Representations:
        """Vectors of users the model has never seen, from their interactions alone.

        They are trained with the model's own loss, schedule, learning rate and `user_alpha`, while
        the model stays as it is, its `random_state` included.

        Parameters
        ----------
        interactions : sparse matrix [n_new_users, n_items]
            As for `fit`; row i is the i-th new user.
        item_features : sparse matrix [n_items or more, n_item_features], default identity
            Those of the fit.
        sample_weight : COO matrix [n_new_users, n_items], default all 1
            As for `fit`.
        epochs : int, default 20
        num_threads : int or None, default 1
        random_state : int, numpy RandomState, numpy Generator or None
            Seed of what is drawn: first values, the order of examples, negatives.

        Returns
        -------
        biases : float32 [n_new_users]
        embeddings : float32 [n_new_users, no_components]
            As `get_user_representations` returns them, for ``recommend(user_representations=...)``.
            A user without interactions gets a row as a fit first draws it: small, so that the
            items' biases decide. With ``softmax``, where lengths do not count, it is 0.

        Raises
        ------
        ValueError
            If the model is not fitted, for bad input, or if the new vectors diverge.

        Notes
        -----
        What a user gets depends on the others in the same call by chance alone, with two
        exceptions. ``bpr`` takes up to one in 11 negatives from the others' items and the rest
        uniformly from the catalogue, because a model does not remember how popular its items are.
        And the L2 of `user_alpha` makes vectors smaller with each example of the call, as it does
        in a fit.

        With ``negatives="seen"`` negatives are drawn from the items that the fits have seen or that
        have an entry here; from all, where the model was fitted under ``"all"``.

        Examples
        --------
        >>> from lightfm_clone.datasets import synthetic_catalogue
        >>> likes = synthetic_catalogue(random_state=0).interactions.tocsr()
        >>> model = LightFM(loss="warp", random_state=0).fit(likes[:900], epochs=10)
        >>> newcomers = model.fold_in_users(likes[900:], random_state=0)
        >>> ids, scores = model.recommend(user_representations=newcomers, exclude=likes[900:])
        >>> ids.shape
        (100, 10)
        """
        return fold_in_users(
            self,
            interactions,
            item_features=item_features,
            sample_weight=sample_weight,
            epochs=epochs,
            num_threads=num_threads,
            random_state=random_state,
        )

    @names_ours
    def fold_in_items(
        self,
        interactions: Interactions,
        *,
        train_interactions: Interactions | None = None,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
        sample_weight: SampleWeight | None = None,
        epochs: int = 20,
        num_threads: int | None = 1,
        random_state: Seed = None,
    ) -> Representations:
        """Vectors of items the model has never seen, from their interactions alone.

        The counterpart of `fold_in_users`: users and items of the model stay as they are.

        Parameters
        ----------
        interactions : sparse matrix [n_users, n_new_items]
            As for `fit`, of the users the model was fitted with; column j is the j-th new item.
        train_interactions : sparse matrix [n_users, n_items], optional
            What the model was fitted with. Pass it where new items are going to be ranked beside
            old ones: see Notes.
        user_features, item_features : sparse matrices, default identity
            Those of the fit.
        sample_weight : COO matrix [n_users, n_new_items], default all 1
            As for `fit`, for `interactions`.
        epochs : int, default 20
        num_threads : int or None, default 1
        random_state : int, numpy RandomState, numpy Generator or None

        Returns
        -------
        biases : float32 [n_new_items]
        embeddings : float32 [n_new_items, no_components]
            As `get_item_representations` returns them.

        Raises
        ------
        ValueError
            As `fold_in_users`.

        Notes
        -----
        Losses that compare items draw negatives among old and new items. New items alone are
        seldom drawn, so they learn to come first for those who like them, but hardly to come after
        what others like: their order among themselves is good, but beside old items they score too
        high, the more so the more interactions and epochs they have. With `train_interactions`,
        they are negatives for the old items, too, and nothing that a user knows is a negative; an
        epoch then takes about as long as one of a fit.

        With ``negatives="seen"`` negatives are drawn from the old items that the fits have seen and
        from the new ones with an entry; from all, where the model was fitted under ``"all"``.

        Examples
        --------
        >>> from lightfm_clone.datasets import synthetic_catalogue
        >>> likes = synthetic_catalogue(random_state=0).interactions.tocsr()
        >>> old, new = likes[:, :500], likes[:, 500:]
        >>> model = LightFM(loss="warp", random_state=0).fit(old, epochs=10)
        >>> biases, embeddings = model.fold_in_items(new, train_interactions=old, random_state=0)

        A model without item features takes them in as further rows:

        >>> model = model.resize(n_item_features=600)
        >>> model.item_biases[500:], model.item_embeddings[500:] = biases, embeddings
        >>> model.recommend([0, 1], exclude=likes)[0].shape
        (2, 10)
        """
        return fold_in_items(
            self,
            interactions,
            train_interactions=train_interactions,
            user_features=user_features,
            item_features=item_features,
            sample_weight=sample_weight,
            epochs=epochs,
            num_threads=num_threads,
            random_state=random_state,
        )

    # ---- saving ----------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write the model to one file, without pickle.

        The file holds the parameters, the arrays with the state of the learning schedule, and
        the random state, so that a loaded model predicts the same and trains on as this one
        would. It takes the place of an old file at once when all is written; until then, and
        after an error, the old file is whole.

        Parameters
        ----------
        path : str or os.PathLike
            Exactly this file is written; no suffix is added.

        Raises
        ------
        OSError
            If the file cannot be written.
        ValueError
            If a parameter or an array has been assigned what cannot be trained with.
        TypeError
            If `random_state` is no Mersenne Twister, or `history_` or a subclass's parameter
            holds an object that JSON has nothing for.

        Notes
        -----
        Attributes that a subclass adds are not saved, unless its `get_params` has them. Of
        `initial_random_state`, None and integers are saved; others come back as None.

        Examples
        --------
        >>> import tempfile, os
        >>> from lightfm_clone.datasets import synthetic_catalogue
        >>> films = synthetic_catalogue()
        >>> model = LightFM(loss="warp", random_state=1).fit(films.interactions)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(os.path.join(folder, "films.lightfm"))
        ...     loaded = LightFM.load(os.path.join(folder, "films.lightfm"))
        >>> bool((loaded.predict(7, range(600)) == model.predict(7, range(600))).all())
        True
        """
        persistence.save_model(self, path)

    @classmethod
    def load(cls, path: Path, *, mmap: bool = False) -> Self:
        """Read a model that `save` wrote.

        Nothing in a file is executed, so files of any origin may be loaded.

        Parameters
        ----------
        path : str or os.PathLike
        mmap : bool, default False
            Map the arrays into memory instead of reading them: loading takes no time, the parts
            in use are read on demand, and processes that map the same file share one copy. The
            arrays are read-only; training replaces them by copies of its own. Replace the file
            by `save` or by renaming, never write into it.

        Returns
        -------
        LightFM
            Of the class this is called on, made without calling its constructor, as pickle does.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is something else, truncated, damaged, or of a newer version of the format.
            Checksums tell; those of the arrays are not checked with `mmap`, because that would
            read all of them.
        """
        return persistence.load_model(cls, path, mmap=mmap)


_DEFAULTS = parameters.constructor(LightFM)
