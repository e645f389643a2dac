"""`evaluate`, and what it returns: means by metric, the values behind them, the same by group."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from lightfm_clone._checks import names_ours
from lightfm_clone._printed import Printed
from lightfm_clone._tables import make
from lightfm_clone.evaluation import sums
from lightfm_clone.evaluation.groups import assign
from lightfm_clone.evaluation.intervals import bootstrap
from lightfm_clone.evaluation.metrics import Values, metric
from lightfm_clone.evaluation.ranking import Ranker, Ranks, rank
from lightfm_clone.typing import FeatureMatrix, Id, Interactions, Seed, Table

# What `evaluate` computes where nobody has said anything.
METRICS = ("precision@10", "recall@10", "ndcg@10", "map@10", "mrr", "auc")
NO_TEST = (
    "test_interactions must hold what users like, but the test has no entries: there is nothing to "
    "evaluate"
)

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Means(Mapping[str, float]):
    """Means by metric over users, wherever the values behind them are.

    It is a mapping from the metrics' names to their means over users. It prints as a table, with
    1.96 standard errors of each mean: half the width of a 95 % interval where the mean is normally
    distributed, which it nearly is with hundreds of users.

    Attributes
    ----------
    n_users : int
        With test items: the others are not evaluated.
    standard_errors : dict of str to float
        Of the means, by metric; NaN of a single user.
    groups : dict of label to Means
        The same for each group of users.
    left_out : dict of str to int
        What could not be evaluated, in words, and how much.
    """

    left_out: Mapping[str, int] = MappingProxyType({})  # of pickles from before there was any
    groups: Mapping[Id, Means]
    _means: Mapping[str, float]

    @property
    @abstractmethod
    def n_users(self) -> int: ...

    @property
    @abstractmethod
    def standard_errors(self) -> dict[str, float]: ...

    def __getitem__(self, metric: str) -> float:
        return self._means[metric]

    def __iter__(self) -> Iterator[str]:
        return iter(self._means)

    def __len__(self) -> int:
        return len(self._means)

    def to_frame(self, kind: str | None = None) -> Table:
        """The means as a table: a row for each group and metric.

        Parameters
        ----------
        kind : {"pandas", "polars", "pyarrow"}, optional
            Of which library; by default the first of them that is installed.

        Returns
        -------
        table
            With the columns group (text; "all" for everybody), users (their number), metric, mean
            and standard_error.

        Raises
        ------
        ImportError
            Where the library is not installed, or none is.
        ValueError
            For another kind.
        """
        rows = [
            (label, part.n_users, metric, part[metric], error)
            for label, part in parts(self)
            for metric, error in part.standard_errors.items()
        ]
        names = ("group", "users", "metric", "mean", "standard_error")
        return make(kind, dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))

    def __repr__(self) -> str:
        return "\n\n".join(table.text() for table in self._tables())

    def _repr_html_(self) -> str:
        return "".join(table.html() for table in self._tables())

    def _tables(self) -> list[Printed]:
        n = self.n_users
        rows = [["", "mean", "±"]]
        for name, error in self.standard_errors.items():
            rows.append([name, f"{self[name]:.4f}", f"{1.96 * error:.4f}" if n > 1 else "-"])
        note = f"means over {n:,} users with test items, ± 1.96 standard errors"
        for what, how_many in self.left_out.items():
            if how_many:
                note += f"; left out {how_many:,} {what}"
        tables = [Printed(rows, note)]
        if self.groups:
            rows = [["", "users", *self]]
            for label, part in parts(self):
                means = (f"{mean:.4f}" for mean in part.values())
                rows.append([label, f"{part.n_users:,}", *means])
            tables.append(Printed(rows))
        return tables


class Evaluation(Means):
    """What `evaluate` returns: means by metric, the values behind them, and the same by group.

    It is a mapping from the metrics' names to their means over users. It prints as a table, with
    1.96 standard errors of each mean: half the width of a 95 % interval where the mean is normally
    distributed, which it nearly is with hundreds of users. `confidence_intervals` assumes no such
    thing, and takes longer.

    Attributes
    ----------
    users : int64 [n]
        The users with test items, ascending: the others are not evaluated.
    n_users : int
        How many they are.
    per_user : dict of str to float64 [n]
        The values of each metric, one for each of `users`.
    groups : dict of label to Evaluation
        The same for each group of users; empty unless `evaluate` was asked for groups. Groups
        none of whose users have test items are left out.
    left_out : dict of str to int
        What could not be evaluated, in words, and how much; `Recommender.evaluate` says so.
    """

    groups: dict[Id, Evaluation]

    __module__ = "lightfm_clone.evaluation"  # where pickles look for it, old ones too

    def __init__(
        self,
        users: npt.NDArray[np.int64],
        per_user: dict[str, npt.NDArray[np.float64]],
        groups: dict[Id, Evaluation] | None = None,
        left_out: dict[str, int] | None = None,
    ) -> None:
        self.users = users
        self.per_user = per_user
        self.groups = groups or {}
        self.left_out = left_out or {}
        self._means = {name: sums.mean(values) for name, values in per_user.items()}

    @property
    def n_users(self) -> int:
        return len(self.users)

    @property
    def standard_errors(self) -> dict[str, float]:
        """Of the means, by metric; NaN of a single user."""
        n = len(self.users)
        return {
            name: float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
            for name, values in self.per_user.items()
        }

    def confidence_intervals(
        self, level: float = 0.95, n_resamples: int = 1000, random_state: Seed = 0
    ) -> dict[str, tuple[float, float]]:
        """Bootstrap intervals of the means, had other users of the same kind been evaluated.

        Users are drawn with replacement, as many as there are, `n_resamples` times; an interval
        goes from the (1 - level) / 2 to the (1 + level) / 2 quantile of a metric's means. (Efron,
        "Bootstrap methods: another look at the jackknife", Annals of Statistics 7(1), 1979.) All
        metrics see the same draws. It tells nothing about the noise between training seeds.

        Parameters
        ----------
        level : float in (0, 1), default 0.95
        n_resamples : int, default 1000
        random_state : int, numpy RandomState, numpy Generator or None, default 0

        Returns
        -------
        dict of str to (float, float)
            Lower and upper end by metric.

        Raises
        ------
        ValueError
            For a level outside (0, 1) or n_resamples < 1.
        """
        values = np.column_stack(list(self.per_user.values()))
        return dict(zip(self, bootstrap(values, level, n_resamples, random_state), strict=True))


class _WithGroups(Protocol):
    @property
    def groups(self) -> Mapping[Any, Any]: ...


_Whole = TypeVar("_Whole", bound=_WithGroups)


def parts(whole: _Whole) -> list[tuple[str, _Whole]]:
    """The whole and its groups, each with its label as text: "all" and the groups' own."""
    return [("all", whole), *((str(label), group) for label, group in whole.groups.items())]


def wanted(metrics: str | Iterable[str]) -> dict[str, Callable[[Ranks], Values]]:
    """The functions of metrics by name."""
    functions = {
        name: metric(name) for name in ([metrics] if isinstance(metrics, str) else metrics)
    }
    if not functions:
        raise ValueError("metrics is empty: name at least one, as in metrics=['ndcg@10']")
    return functions


def _accept_earlier_names(**earlier: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Let a function be called with the names that its arguments had in earlier versions."""

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @wraps(function)
        def renaming(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            for name, now in earlier.items():
                if name in kwargs:
                    if now in kwargs:
                        raise TypeError(f"{name} is the earlier name of {now}: pass one of them")
                    kwargs[now] = kwargs.pop(name)
            return function(*args, **kwargs)

        return renaming

    return decorate


@_accept_earlier_names(test="test_interactions", train="train_interactions")
@names_ours
def evaluate(
    model: Ranker,
    test_interactions: Interactions,
    train_interactions: Interactions | None = None,
    metrics: str | Iterable[str] = METRICS,
    groups: npt.ArrayLike | None = None,
    *,
    user_features: FeatureMatrix | None = None,
    item_features: FeatureMatrix | None = None,
    num_threads: int | None = 1,
    check_intersections: bool = True,
) -> Evaluation:
    """Any number of ranking metrics from one ranking pass, for all users and for groups of them.

    Parameters
    ----------
    model : LightFM
        A fitted model, or anything with its `predict_rank`.
    test_interactions : sparse matrix [n_users, n_items]
        Each stored entry is an item the user likes.
    train_interactions : sparse matrix [n_users, n_items], optional
        Items left out of the rankings.
    metrics : iterable of str, or one str
        ``precision@k``, ``recall@k``, ``ndcg@k``, ``map@k``, ``hit_rate@k``, ``mrr@k``, ``mrr``
        and ``auc``, with any whole number for k. The definitions are those of `precision_at_k`,
        `recall_at_k`, `ndcg_at_k`, `average_precision_at_k`, `hit_rate_at_k`, `reciprocal_rank`
        and `auc_score`; ``mrr@k`` is the reciprocal rank where the best rank is below k, else 0.
    groups : array [n_users], "activity" or "cold", optional
        A label for each user; or ``"cold"`` for the groups cold (no entry in `train_interactions`)
        and warm; or ``"activity"`` for cold and quartile 1 to 4 by the number of entries there. The
        bounds are quartiles of all users who have some, and users on a bound are in the lower
        group.
    user_features, item_features : sparse matrices, default identity
    num_threads : int or None, default 1
    check_intersections : bool, default True
        Whether an entry in both test and train is an error.

    Returns
    -------
    Evaluation
        A mapping of metrics to means over the users with test items, that prints as a table and
        holds the values per user, confidence intervals and groups.

    Raises
    ------
    ValueError
        As `LightFM.predict_rank`, for an unknown metric, for groups that do not fit, and if
        `test_interactions` has no entries.

    Examples
    --------
    >>> from lightfm_clone import LightFM
    >>> from lightfm_clone.cross_validation import random_train_test_split
    >>> from lightfm_clone.datasets import synthetic_catalogue
    >>> from lightfm_clone.evaluation import evaluate
    >>> interactions = synthetic_catalogue(random_state=0).interactions
    >>> train, test = random_train_test_split(interactions, random_state=0)
    >>> model = LightFM(loss="warp", random_state=0).fit(train, epochs=5)
    >>> result = evaluate(model, test, train, metrics=["ndcg@10", "auc"], groups="activity")
    >>> list(result)
    ['ndcg@10', 'auc']
    >>> result["auc"] > 0.7
    True
    >>> low, high = result.confidence_intervals()["auc"]
    >>> low < result["auc"] < high
    True
    >>> result.per_user["auc"].shape == result.users.shape
    True
    >>> list(result.groups)
    ['quartile 1', 'quartile 2', 'quartile 3', 'quartile 4']
    >>> result.groups["quartile 4"]["auc"] > 0.7
    True
    """
    functions = wanted(metrics)
    ranks = rank(
        model,
        test_interactions,
        train_interactions,
        user_features,
        item_features,
        num_threads,
        check_intersections,
    )
    users = np.flatnonzero(ranks.n_test > 0)
    if not len(users):
        raise ValueError(NO_TEST)
    per_user = {name: of_users(ranks)[users] for name, of_users in functions.items()}
    by_group = {}
    if groups is not None:
        labels, positions = assign(groups, ranks, train_interactions is not None)
        for position, label in enumerate(labels):
            own = np.flatnonzero(positions[users] == position)
            if len(own):
                values = {name: of_users[own] for name, of_users in per_user.items()}
                by_group[label] = Evaluation(users[own], values)
    return Evaluation(users, per_user, by_group)
