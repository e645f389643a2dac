"""What any model should beat: popularity, and chance.

Baselines are models with LightFM's methods, but for what would make no sense of them. Nothing is
trained: vectors of users and items follow from counts, or from a seed. All that is asked of them
is answered by a `LightFM` whose arrays are set to these vectors, so lists, ranks and filters are
the very same.

Row i is user i, or item i, whatever its features: of a feature matrix only the number of rows
counts.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lightfm_clone import _checks as checks
from lightfm_clone._model.beside import Beside
from lightfm_clone._model.examples import Examples, check_examples
from lightfm_clone._model.losses import LOSSES
from lightfm_clone._model.parameters import constructor
from lightfm_clone._model.predict import predict, predict_rank
from lightfm_clone._model.recommend import recommend
from lightfm_clone.lightfm import LightFM
from lightfm_clone.persistence.container import Arrays, Header, write
from lightfm_clone.persistence.loading import load, restore
from lightfm_clone.persistence.plain import from_plain, to_plain
from lightfm_clone.recommender.ageing import HalfLife, half_life_seconds, seconds
from lightfm_clone.typing import (
    CsrMatrix,
    FeatureMatrix,
    Floats,
    Interactions,
    Path,
    RankedLists,
    Representations,
    Rows,
    SampleWeight,
    Seed,
)

if TYPE_CHECKING:
    from typing_extensions import Self


class Baseline:
    """What `Popularity` and `Random` have in common.

    Attributes
    ----------
    n_users_, n_items_ : int
        Of the fit; None before.
    """

    # Subclasses have vectors of so many components, and learn what has these names.
    _width: int
    _learned: tuple[str, ...] = ("n_users_", "n_items_")

    n_users_: int | None = None
    n_items_: int | None = None
    beside: Beside | None = None  # neighbours, of a baseline that has some

    def _learn(self, examples: Examples, n_items: int, **options: Any) -> None:
        """Learn from examples, on top of what is known; `options` are those of the fit."""
        raise NotImplementedError

    def _user_vectors(self, n: int) -> Representations:
        """Biases and embeddings of the users 0 to n - 1."""
        raise NotImplementedError

    def _item_vectors(self, n: int) -> Representations:
        """Biases and embeddings of the items 0 to n - 1 of a catalogue of n."""
        raise NotImplementedError

    def __repr__(self) -> str:
        defaults = constructor(type(self))
        shown = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if type(value) is not type(defaults[name]) or value != defaults[name]
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    # ---- parameters ------------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's parameters by name, as they were given."""
        return {name: getattr(self, name) for name in constructor(type(self))}

    def set_params(self, **params: Any) -> Self:
        """Set constructor parameters by name.

        Raises
        ------
        ValueError
            For an unknown name or a bad value; nothing is changed then.
        """
        names = self.get_params()
        unknown = sorted(set(params) - set(names))
        if unknown:
            hint = checks.name_here(unknown[0], names)
            raise ValueError(f"unknown parameter {unknown[0]!r}; {hint}")
        type(self)(**(names | params))  # which checks them
        self.__dict__.update(params)
        return self

    # ---- fit -------------------------------------------------------------------------------------

    @checks.names_ours
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
        timestamps: npt.ArrayLike | None = None,
    ) -> Self:
        """Count afresh, forgetting what an earlier fit has counted.

        Parameters
        ----------
        interactions : sparse matrix [n_users, n_items] of any format and numeric dtype
            As for `LightFM.fit`: each stored entry with a value > 0 is something a user likes.
        user_features : sparse matrix [n_users or more, any number], optional
        item_features : sparse matrix [n_items or more, any number], optional
            They say how many users and items there are, and nothing else.
        sample_weight : COO matrix [n_users, n_items], default all 1
            What each entry counts, with the very entries of `interactions` in the same order.
        epochs, num_threads, verbose
            Taken as `LightFM.fit` takes them, and ignored: there is nothing to train.
        timestamps : array of numbers or datetime64 [n_interactions], optional
            When each stored entry of `interactions` happened, in their order; numbers are seconds.
            Only a half-life needs them.

        Returns
        -------
        Popularity or Random
            The model itself.

        Raises
        ------
        ValueError
            For bad input; the model is as it was before the call then.
        """
        features = user_features, item_features
        self._count_afresh(interactions, *features, sample_weight, timestamps=timestamps)
        return self

    @checks.names_ours
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
        timestamps: npt.ArrayLike | None = None,
        resize: bool = False,
    ) -> Self:
        """Count what is new on top of what has been counted.

        Parameters, returned value and errors are those of `fit`, and `resize`: whether there may be
        more users or items than before, as for `LightFM.fit_partial`.
        """
        features = user_features, item_features
        self._count(interactions, *features, sample_weight, resize=resize, timestamps=timestamps)
        return self

    def _count_afresh(self, *given: Any, **options: Any) -> None:
        """What `_count` does, forgetting what was known; all stays as it was if it fails."""
        fresh = type(self)(**self.get_params())
        fresh._count(*given, **options)
        self.__dict__.update(vars(fresh))

    def _count(
        self,
        interactions: Any,
        user_features: Any,
        item_features: Any,
        sample_weight: Any,
        *,
        resize: bool = False,
        **options: Any,
    ) -> None:
        """Check what a fit is given, and learn from it."""
        examples = check_examples(interactions, sample_weight, LOSSES["warp"])
        sizes = []
        for side, features, n, known in (
            ("user", user_features, examples.shape[0], self.n_users_),
            ("item", item_features, examples.shape[1], self.n_items_),
        ):
            n = checks.check_features(features, f"{side}_features", n).n_rows
            if known is not None and n > known and not resize:
                raise ValueError(
                    f"there are {n} {side}s, and {known} in the model; pass resize=True to let it "
                    "grow, or call fit to start afresh"
                )
            sizes.append(max(n, known or 0))
        self._learn(examples, sizes[1], **options)
        self.n_users_, self.n_items_ = sizes

    # ---- what is asked of a model ----------------------------------------------------------------

    def _n(self, side: str, features: Any) -> int:
        """How many users or items there are."""
        known = self.n_users_ if side == "user" else self.n_items_
        if known is None:
            raise ValueError("the model is not fitted yet: call fit first")
        if features is None:
            return known
        n, _ = _shape(features, f"{side}_features")
        if side == "item" and n < known:
            raise ValueError(
                f"item_features must have a row for each of the {known} items of the fit, because "
                f"row i is item i, got {n} rows; pass the features of all items"
            )
        return n

    def _as_lightfm(self, n_users: int, n_items: int) -> LightFM:
        model = LightFM(no_components=self._width)
        model.user_biases, model.user_embeddings = self._user_vectors(n_users)
        model.item_biases, model.item_embeddings = self._item_vectors(n_items)
        return model

    def _for(self, user_features: Any, item_features: Any) -> LightFM:
        return self._as_lightfm(self._n("user", user_features), self._n("item", item_features))

    @checks.names_ours
    def get_user_representations(self, features: FeatureMatrix | None = None) -> Representations:
        """Biases float32 [n] and embeddings float32 [n, width] of users.

        `features` says how many there are: row i is user i, known or not. Without it, those of the
        fit.
        """
        return self._user_vectors(self._n("user", features))

    @checks.names_ours
    def get_item_representations(self, features: FeatureMatrix | None = None) -> Representations:
        """Biases float32 [n] and embeddings float32 [n, width] of items.

        `features` says how many there are, at least those of the fit: row i is item i.
        """
        return self._item_vectors(self._n("item", features))

    @checks.names_ours
    def score_vectors(
        self,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
    ) -> tuple[Floats, Floats]:
        """Vectors of users and items whose inner product is the score; see `LightFM`'s."""
        return self._for(user_features, item_features).score_vectors()

    @checks.names_ours
    def predict(
        self,
        user_ids: Rows,
        item_ids: Rows,
        item_features: FeatureMatrix | None = None,
        user_features: FeatureMatrix | None = None,
        num_threads: int | None = 1,
    ) -> Floats:
        """Scores of pairs of users and items, float32 [n]; see `LightFM.predict`."""
        return predict(
            self._for(user_features, item_features),
            user_ids,
            item_ids,
            user_features=None,
            item_features=None,
            num_threads=num_threads,
            beside=self.beside,
        )

    @checks.names_ours
    def predict_rank(
        self,
        test_interactions: Interactions,
        train_interactions: Interactions | None = None,
        item_features: FeatureMatrix | None = None,
        user_features: FeatureMatrix | None = None,
        num_threads: int | None = 1,
        check_intersections: bool = True,
    ) -> CsrMatrix:
        """Ranks of test items among all items, CSR float32; see `LightFM.predict_rank`.

        `test_interactions` may have any number of users, and more items than the fit.
        """
        n_users, n_items = _shape(test_interactions, "test_interactions")
        expected = self._n("item", item_features)
        if n_items < expected or (item_features is not None and n_items != expected):
            raise ValueError(
                f"test_interactions must have a column for each of the {expected} items, got "
                f"{n_items} columns; give the matrix the shape of the one the model was fitted to"
            )
        if self.beside is not None:
            self.beside.check_users(self._n("user", user_features))
        return predict_rank(
            self._as_lightfm(n_users, n_items),
            test_interactions,
            train_interactions,
            user_features=None,
            item_features=None,
            num_threads=num_threads,
            check_intersections=check_intersections,
            beside=self.beside,
        )

    @checks.names_ours
    def recommend(
        self,
        user_ids: Rows | None = None,
        k: int = 10,
        *,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
        exclude: Interactions | None = None,
        items: Rows | None = None,
        user_representations: Any = None,
        num_threads: int | None = 1,
    ) -> RankedLists:
        """The k best items of each user, best first; see `LightFM.recommend`.

        `user_representations` are what `fold_in_users` returns.
        """
        if user_representations is not None and user_features is not None:
            raise ValueError(
                "user_features and user_representations both say who the users are; pass one of "
                "them"
            )
        return recommend(
            self._for(user_features, item_features),
            user_ids,
            k,
            user_features=None,
            item_features=None,
            exclude=exclude,
            items=items,
            user_representations=user_representations,
            num_threads=num_threads,
            beside=self.beside,
        )

    @checks.names_ours
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
        """The k items nearest to each of the given ones; see `LightFM.similar_items`."""
        model = self._as_lightfm(0, self._n("item", item_features))
        return model.similar_items(item_ids, k, metric=metric, among=among, num_threads=num_threads)

    @checks.names_ours
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
        """Vectors of users the model has never seen, a row of `interactions` each.

        What they like makes no difference, nor do the other arguments: row i is that of any user i.
        """
        self._n("item", item_features)
        n, _ = _shape(interactions, "interactions")
        return self._user_vectors(n)

    # ---- saving ----------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write the model to one file, without pickle; see `LightFM.save`."""
        header, arrays = self.to_parts()
        write(path, type(self).__name__, header, arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a model that `save` wrote.

        Nothing in a file is executed, so files of any origin may be loaded.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is something else, damaged, or of a newer version of the format.
        """
        return load(cls, path, cls.__name__, cls._known(), cls._to_state)

    @classmethod
    def from_parts(cls, header: Header, arrays: Arrays) -> Self:
        """The model of what `to_parts` made."""
        return restore(cls, header, arrays, cls._known(), cls._to_state)

    @classmethod
    def _known(cls) -> set[str]:
        """What of such a model a file may require."""
        return {*constructor(cls), *cls._learned}

    def _plain_params(self) -> dict[str, Any]:
        """The constructor's parameters in terms of JSON."""
        raise NotImplementedError

    def to_parts(self) -> tuple[Header, Arrays]:
        """What a file holds of the model."""
        learned = {name: getattr(self, name) for name in self._learned}
        arrays = {name: value for name, value in learned.items() if isinstance(value, np.ndarray)}
        params = self._plain_params()
        header = {
            "class": f"{type(self).__module__}.{type(self).__qualname__}",
            "required": [*params, *learned],
            "parameters": to_plain(params),
            "learned": to_plain({name: learned[name] for name in learned.keys() - arrays.keys()}),
        }
        return header, arrays

    @classmethod
    def _to_state(cls, header: Header, arrays: Arrays) -> dict[str, Any]:
        """The state of the model that a file holds, checked as if a stranger had written it."""
        model = cls(**from_plain(header["parameters"]))
        learned = {**from_plain(header["learned"]), **arrays}
        if learned.keys() != set(cls._learned):
            raise ValueError(f"it must hold {', '.join(cls._learned)}, and holds {[*learned]}")
        model.__dict__.update(learned)
        model._check_learned()
        return vars(model)

    def _check_learned(self) -> None:
        for name in ("n_users_", "n_items_"):
            n = getattr(self, name)
            if n is not None and not (type(n) is int and 0 <= n <= checks.MAX_ID):
                raise ValueError(f"{name} cannot be {n!r}")


def _shape(matrix: Any, name: str) -> tuple[int, int]:
    checks.check_matrix(matrix, name)
    n_rows, n_columns = matrix.shape
    return n_rows, n_columns


class Popularity(Baseline):
    """Everybody gets what most users like.

    The score of item i is ``log(1 + count of i)``, and the count is the sum of the weights of its
    interactions, which is the number of its users where each pair is stored once and weighs 1.

    Parameters
    ----------
    half_life : str, number of days, timedelta or None, default None
        How long it takes until an interaction counts half, such as "30d", "12h" or 7: what
        happened a half-life before the latest interaction counts 0.5, two half-lives 0.25. A fit
        then needs `timestamps`. None lets all count the same.

    Attributes
    ----------
    counts_ : float64 [n_items]
        The (weighted) counts, as they are at `latest_`; None before the first fit.
    latest_ : float
        Time of the latest interaction, in seconds; None without a half-life.
    n_users_, n_items_ : int
        Of the fit; None before.

    Raises
    ------
    ValueError
        If `half_life` is no time above 0.

    Examples
    --------
    >>> from lightfm_clone.datasets import synthetic_catalogue
    >>> films = synthetic_catalogue(random_state=0)
    >>> popular = Popularity().fit(films.interactions)
    >>> ids, scores = popular.recommend([3, 7], k=4, exclude=films.interactions)
    >>> ids.shape, bool((scores[:, 0] >= scores[:, 1]).all())
    ((2, 4), True)

    What is popular now:

    >>> recent = Popularity(half_life="90d").fit(films.interactions, timestamps=films.timestamps)
    >>> recent
    Popularity(half_life='90d')
    """

    _width = 1
    _learned = (*Baseline._learned, "counts_", "latest_")

    counts_: npt.NDArray[np.float64] | None = None
    latest_: float | None = None

    @checks.names_ours
    def __init__(self, half_life: HalfLife | None = None) -> None:
        if half_life is not None:
            half_life_seconds(half_life)
        self.half_life = half_life

    def _learn(
        self, examples: Examples, n_items: int, *, timestamps: Any = None, **options: Any
    ) -> None:
        worth, latest = examples.weights, self.latest_
        if worth is not None and (worth < 0).any():
            raise ValueError(
                f"sample_weight must not be negative, got {worth.min()}: nothing is liked by "
                "fewer than nobody; leave such interactions out"
            )
        if examples.positive is not None:
            worth = examples.positive if worth is None else worth * examples.positive
        counts = np.zeros(n_items)
        if self.counts_ is not None:
            counts[: len(self.counts_)] = self.counts_
        if self.half_life is not None:
            if timestamps is None:
                raise ValueError(
                    f"timestamps must be given, because half_life is {self.half_life!r}: pass "
                    "timestamps=array, one for each stored entry of interactions, or set "
                    "half_life=None"
                )
            half_life = half_life_seconds(self.half_life)
            times = seconds(timestamps, "timestamps", len(examples.cols))
            if len(times):
                before = times.max() if latest is None else latest
                latest = float(max(before, times.max()))
                counts *= np.exp2((before - latest) / half_life)
                left = np.exp2((times - latest) / half_life)
                worth = left if worth is None else left * worth
        counts += np.bincount(examples.cols, weights=worth, minlength=n_items)
        self.counts_, self.latest_ = counts, latest

    def _user_vectors(self, n: int) -> Representations:
        return np.zeros(n, np.float32), np.zeros((n, self._width), np.float32)

    def _item_vectors(self, n: int) -> Representations:
        assert self.counts_ is not None  # for the type checker: whoever asks has asked `_n`
        biases = np.zeros(n, np.float32)
        biases[: len(self.counts_)] = np.log1p(self.counts_)
        return biases, np.zeros((n, self._width), np.float32)

    def similar_items(self, *args: Any, **kwargs: Any) -> RankedLists:
        """Refused: popularity does not know which items are alike.

        Raises
        ------
        NotImplementedError
            Always; it is a ValueError, too.
        """
        raise checks.UnsupportedError(
            "Popularity does not know which items are alike; ask a LightFM for similar_items"
        )

    def _plain_params(self) -> dict[str, Any]:
        half_life = self.half_life
        if half_life is not None and not isinstance(half_life, str):
            half_life = half_life_seconds(half_life) / half_life_seconds(1)
        return {"half_life": half_life}

    def _check_learned(self) -> None:
        super()._check_learned()
        counts, latest = self.counts_, self.latest_
        if counts is not None:
            holds = counts.dtype == np.float64 and counts.shape == (self.n_items_,)
            if not (holds and np.isfinite(counts).all() and (counts >= 0).all()):
                raise ValueError("counts_ must be a number >= 0 for each item")
        if latest is not None and not (type(latest) is float and math.isfinite(latest)):
            raise ValueError(f"latest_ cannot be {latest!r}")


class Random(Baseline):
    """Everybody gets items by chance: each user an order of their own, and always the same.

    Over many users each item is as often first, or at any other place, as any other: what a model
    gains over this is what it has learned. The score is the cosine of two vectors of 16 components
    whose lengths are 1.

    Parameters
    ----------
    random_state : int, numpy RandomState, numpy Generator or None, default None
        Seed, drawn from at the first fit. Equal seeds give equal lists.

    Attributes
    ----------
    n_users_, n_items_ : int
        Of the fit; None before.
    seed_ : int
        What all is drawn from; None before the first fit.

    Raises
    ------
    ValueError
        If `random_state` is no seed.

    Notes
    -----
    In each of 8 planes a user is a random point of a circle, and the items stand on it at equal
    distances, in a random order. To turn all planes such that each item takes the place of the
    next changes nothing for the users, because a random point stays one; so no item is favoured.

    Items that are new stand between the old ones: the orders of all users are then others.

    Examples
    --------
    >>> from lightfm_clone.datasets import synthetic_catalogue
    >>> from lightfm_clone.evaluation import auc_score
    >>> likes = synthetic_catalogue(random_state=0).interactions
    >>> chance = Random(random_state=1).fit(likes)
    >>> bool(0.49 < auc_score(chance, likes).mean() < 0.51)
    True
    """

    _width = 16
    _learned = (*Baseline._learned, "seed_")

    seed_: int | None = None

    @checks.names_ours
    def __init__(self, random_state: Seed = None) -> None:
        if not isinstance(random_state, np.random.Generator):  # which the check would draw from
            checks.check_random_state(random_state)
        self.random_state = random_state

    def _learn(self, examples: Examples, n_items: int, **options: Any) -> None:
        if self.seed_ is None:
            random = checks.check_random_state(self.random_state)
            self.seed_ = int(random.randint(2**63, dtype=np.int64))

    def _user_vectors(self, n: int) -> Representations:
        # Drawn row by row: the first ones are the same for any n.
        turns = self._random("users").random((n, self._width // 2), dtype=np.float32)
        return np.zeros(n, np.float32), _on_circles(turns)

    def _item_vectors(self, n: int) -> Representations:
        steps = (self._random("items").random(self._width // 2) * n).astype(np.int64)
        # With a step that has no divisor in common with n, no two items share all their places.
        while math.gcd(int(steps[0]), max(n, 1)) != 1:
            steps[0] += 1
        places = np.arange(n)[:, None] * steps % max(n, 1)
        return np.zeros(n, np.float32), _on_circles(places / max(n, 1))

    def _random(self, side: str) -> np.random.Generator:
        assert self.seed_ is not None  # for the type checker: whoever asks has asked `_n`
        return np.random.default_rng([self.seed_, side == "items"])

    def _plain_params(self) -> dict[str, Any]:
        # A RandomState or a Generator has moved on since, and `seed_` is what was drawn.
        is_plain = self.random_state is None or checks.is_integer(self.random_state)
        return {"random_state": self.random_state if is_plain else None}

    def _check_learned(self) -> None:
        super()._check_learned()
        if self.seed_ is not None and not (type(self.seed_) is int and 0 <= self.seed_ < 2**63):
            raise ValueError(f"seed_ cannot be {self.seed_!r}")


def _on_circles(turns: npt.NDArray[Any]) -> Floats:
    """Points [n, 2 m] at these shares [n, m] of m circles, together of length 1."""
    n, m = turns.shape
    points = np.empty((n, m, 2), np.float32)
    angles = turns * turns.dtype.type(2 * np.pi)
    np.cos(angles, out=points[..., 0], casting="same_kind")
    np.sin(angles, out=points[..., 1], casting="same_kind")
    points /= np.float32(math.sqrt(m))
    return points.reshape(n, 2 * m)
