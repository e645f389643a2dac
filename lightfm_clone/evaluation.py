"""Ranking metrics per user, all from one ranking pass, and measures of recommended lists.

Every ranking metric is a function of a user's test ranks: for each of her test items, how many
other items the model places at least as high, her training items left out. So ties count against
the test item: a model that scores everything alike gets the worst value, not a lucky one.

`evaluate` computes any number of metrics together, for all users and for groups of them. The
measures of lists (`catalogue_coverage`, `novelty`, `popularity_share`, `intra_list_diversity`) look
at what is recommended, not at whether it is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from lightfm_clone._checks import as_csr, check_lists, check_random_state


class _Ranks(NamedTuple):
    """Ranks of the test entries, grouped by user, and what the metrics need besides."""

    users: np.ndarray  # int64 [nnz], the user of each rank
    ranks: np.ndarray  # int64 [nnz], ascending for each user
    before: np.ndarray  # int64 [nnz], the user's test items that come before: 0, 1, 2 ...
    n_test: np.ndarray  # int64 [n_users]
    n_train: np.ndarray  # int64 [n_users]
    n_items: int

    @property
    def places(self) -> np.ndarray:
        """Ranks, raised so that at most k of a user's test items are among the first k.

        The same as `ranks` unless test items are in train, too: those are left out of each other's
        ranks, so that several can have the same one.
        """
        return np.maximum(self.ranks, self.before)

    def per_user(self, values: np.ndarray) -> np.ndarray:
        """Sum of values [nnz] by user."""
        return np.bincount(self.users, weights=values, minlength=len(self.n_test))


def _rank(
    model: Any,
    test_interactions: Any,
    train_interactions: Any,
    user_features: Any,
    item_features: Any,
    num_threads: int | None,
    check_intersections: bool,
) -> _Ranks:
    """The one ranking pass behind every metric."""
    if train_interactions is not None:
        train_interactions = as_csr(train_interactions, "train_interactions")
    ranked = model.predict_rank(
        test_interactions,
        train_interactions=train_interactions,
        user_features=user_features,
        item_features=item_features,
        num_threads=num_threads,
        check_intersections=check_intersections,
    )
    n_test = np.diff(ranked.indptr).astype(np.int64)
    n_train = np.zeros_like(n_test)
    if train_interactions is not None:
        n_train = np.diff(train_interactions.indptr).astype(np.int64)
    users = np.repeat(np.arange(len(n_test), dtype=np.int64), n_test)
    # Sorted within each user: ranks are whole numbers below 2**31, so user and rank make one key.
    ranks = np.sort(users << 32 | ranked.data.astype(np.int64)) & 0xFFFFFFFF
    before = np.arange(len(ranks)) - (np.cumsum(n_test) - n_test)[users]
    return _Ranks(users, ranks, before, n_test, n_train, ranked.shape[1])


# ---- definitions: ranks to one value per user ----------------------------------------------------
# float64 [n_users]; users without test items have the value that `preserve_rows` documents.


def _precision(ranks: _Ranks, k: float) -> np.ndarray:
    return ranks.per_user(ranks.ranks < k) / k


def _recall(ranks: _Ranks, k: float) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return ranks.per_user(ranks.ranks < k) / ranks.n_test


def _ndcg(ranks: _Ranks, k: int) -> np.ndarray:
    k = min(k, ranks.n_items)
    discounts = 1 / np.log2(np.arange(2, k + 2))
    gained = ranks.per_user(np.append(discounts, 0)[np.minimum(ranks.places, k)])
    ideal = np.append(0, np.cumsum(discounts))[np.minimum(ranks.n_test, k)]
    return gained / np.where(ranks.n_test, ideal, 1)


def _average_precision(ranks: _Ranks, k: int) -> np.ndarray:
    places = ranks.places
    gained = ranks.per_user(np.where(places < k, (ranks.before + 1) / (places + 1), 0))
    return gained / np.maximum(np.minimum(ranks.n_test, k), 1)


def _reciprocal_rank(ranks: _Ranks, k: float = np.inf) -> np.ndarray:
    best = ranks.ranks[ranks.before == 0]
    values = np.zeros(len(ranks.n_test))
    values[ranks.n_test > 0] = np.where(best < k, 1 / (best + 1), 0)
    return values


def _hit_rate(ranks: _Ranks, k: int) -> np.ndarray:
    return (_reciprocal_rank(ranks, k) > 0).astype(np.float64)


def _auc(ranks: _Ranks) -> np.ndarray:
    n_negatives = ranks.n_items - ranks.n_test - ranks.n_train
    undefined = (ranks.n_test == 0) | (n_negatives <= 0)
    above = ranks.per_user(ranks.places - ranks.before)
    pairs = np.where(undefined, 1, ranks.n_test * n_negatives)
    return np.where(undefined, 0.5, 1 - above / pairs)


_METRICS: dict[str, Callable[..., np.ndarray]] = {
    "precision@k": _precision,
    "recall@k": _recall,
    "ndcg@k": _ndcg,
    "map@k": _average_precision,
    "hit_rate@k": _hit_rate,
    "mrr@k": _reciprocal_rank,
    "mrr": _reciprocal_rank,
    "auc": _auc,
}


def _metric(name: str) -> Callable[[_Ranks], np.ndarray]:
    """The function from ranks to one value per user that a name like "ndcg@10" or "auc" means."""
    kind, at, k = name.partition("@") if isinstance(name, str) else ("", "", "")
    definition = _METRICS.get(f"{kind}@k" if at else kind)
    if definition is None or (at and not (k.isascii() and k.isdigit() and int(k) >= 1)):
        raise ValueError(
            f"metrics must be among {', '.join(_METRICS)}, with a whole number of at least 1 for "
            f"k, as in 'ndcg@10'; got {name!r}"
        )
    return partial(definition, k=int(k)) if at else definition


# ---- one metric ----------------------------------------------------------------------------------


def _keep(values: np.ndarray, ranks: _Ranks, preserve_rows: bool) -> np.ndarray:
    return values if preserve_rows else values[ranks.n_test > 0]


def _check_k(k: Any, kind: type = Real) -> None:
    if not isinstance(k, kind) or not k >= 1:
        noun = "number" if kind is Real else "whole number"
        raise ValueError(f"k must be a {noun} of at least 1, got {k!r}")


def precision_at_k(
    model: Any,
    test_interactions: Any,
    train_interactions: Any = None,
    k: int = 10,
    user_features: Any = None,
    item_features: Any = None,
    preserve_rows: bool = False,
    num_threads: int | None = 1,
    check_intersections: bool = True,
) -> np.ndarray:
    """Share of the first k recommended items that are test items: hits among the first k / k.

    Parameters
    ----------
    model : LightFM
        A fitted model, or anything with its `predict_rank`.
    test_interactions : sparse matrix [n_users, n_items]
        Each stored entry is an item the user likes.
    train_interactions : sparse matrix [n_users, n_items], optional
        Items left out of the rankings.
    k : int, default 10
    user_features, item_features : sparse matrices, default identity
    preserve_rows : bool, default False
        Whether users without test items are kept, with the value 0.
    num_threads : int or None, default 1
    check_intersections : bool, default True
        Whether an entry in both test and train is an error.

    Returns
    -------
    float32 [n_users, or the number of users with test items]

    Raises
    ------
    ValueError
        As `LightFM.predict_rank`, and for k < 1.
    """
    _check_k(k)
    ranks = _rank(
        model,
        test_interactions,
        train_interactions,
        user_features,
        item_features,
        num_threads,
        check_intersections,
    )
    return _keep(_precision(ranks, k).astype(np.float32), ranks, preserve_rows)


def recall_at_k(
    model: Any,
    test_interactions: Any,
    train_interactions: Any = None,
    k: int = 10,
    user_features: Any = None,
    item_features: Any = None,
    preserve_rows: bool = False,
    num_threads: int | None = 1,
    check_intersections: bool = True,
) -> np.ndarray:
    """Share of a user's test items that are among the first k: hits among the first k / test items.

    Parameters and errors are those of `precision_at_k`.

    Returns
    -------
    float64 [n_users, or the number of users with test items]
        NaN for users without test items, where they are kept.
    """
    _check_k(k)
    ranks = _rank(
        model,
        test_interactions,
        train_interactions,
        user_features,
        item_features,
        num_threads,
        check_intersections,
    )
    return _keep(_recall(ranks, k), ranks, preserve_rows)


def auc_score(
    model: Any,
    test_interactions: Any,
    train_interactions: Any = None,
    user_features: Any = None,
    item_features: Any = None,
    preserve_rows: bool = False,
    num_threads: int | None = 1,
    check_intersections: bool = True,
) -> np.ndarray:
    """Area under the ROC curve: the probability that a test item ranks above another item.

    With the ranks of a user's p test items sorted, the mean over j = 0 .. p - 1 of
    ``1 - max(0, rank_j - j) / n_neg``, where n_neg is the number of items that are neither test
    nor training items of hers. Ties count against the test item, also those with other test items:
    where many tie, the value can be below 0.

    Parameters and errors are those of `precision_at_k`, without k.

    Returns
    -------
    float32 [n_users, or the number of users with test items]
        0.5 for users without test items, where they are kept, and where every item is a test or
        training item.
    """
    ranks = _rank(
        model,
        test_interactions,
        train_interactions,
        user_features,
        item_features,
        num_threads,
        check_intersections,
    )
    return _keep(_auc(ranks).astype(np.float32), ranks, preserve_rows)


def reciprocal_rank(
    model: Any,
    test_interactions: Any,
    train_interactions: Any = None,
    user_features: Any = None,
    item_features: Any = None,
    preserve_rows: bool = False,
    num_threads: int | None = 1,
    check_intersections: bool = True,
) -> np.ndarray:
    """One over the place of a user's best ranked test item: 1 / (best rank + 1).

    Parameters and errors are those of `precision_at_k`, without k.

    Returns
    -------
    float32 [n_users, or the number of users with test items]
        0 for users without test items, where they are kept.
    """
    ranks = _rank(
        model,
        test_interactions,
        train_interactions,
        user_features,
        item_features,
        num_threads,
        check_intersections,
    )
    return _keep(_reciprocal_rank(ranks).astype(np.float32), ranks, preserve_rows)


def ndcg_at_k(
    model: Any,
    test_interactions: Any,
    train_interactions: Any = None,
    k: int = 10,
    user_features: Any = None,
    item_features: Any = None,
    preserve_rows: bool = False,
    num_threads: int | None = 1,
    check_intersections: bool = True,
) -> np.ndarray:
    """Normalised discounted cumulative gain of the first k recommended items.

    With r_1 <= ... <= r_p the ranks (0 is best) of a user's p test items, each worth 1::

        NDCG@k = sum over r_j < k of 1 / log2(r_j + 2)
                 / sum over j = 1 .. min(k, p) of 1 / log2(j + 1)

    so a list that opens with the test items has 1 even if there are fewer than k. Ties count
    against the test item. (Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR
    techniques", ACM TOIS 20(4), 2002.)

    Parameters and errors are those of `precision_at_k`, but k must be a whole number.

    Returns
    -------
    float64 [n_users, or the number of users with test items]
        0 for users without test items, where they are kept.

    Examples
    --------
    Of five items, best first, the second and the fourth are test items:

    >>> import numpy as np, scipy.sparse as sp
    >>> from lightfm_clone import LightFM
    >>> from lightfm_clone.evaluation import ndcg_at_k
    >>> test = sp.csr_matrix([[0, 1, 0, 1, 0]])
    >>> model = LightFM().fit(test, epochs=0)
    >>> model.item_biases = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    >>> ndcg_at_k(model, test, k=3).round(4)
    array([0.3869])
    """
    _check_k(k, Integral)
    ranks = _rank(
        model,
        test_interactions,
        train_interactions,
        user_features,
        item_features,
        num_threads,
        check_intersections,
    )
    return _keep(_ndcg(ranks, k), ranks, preserve_rows)


def average_precision_at_k(
    model: Any,
    test_interactions: Any,
    train_interactions: Any = None,
    k: int = 10,
    user_features: Any = None,
    item_features: Any = None,
    preserve_rows: bool = False,
    num_threads: int | None = 1,
    check_intersections: bool = True,
) -> np.ndarray:
    """Mean of the precisions at the places of the test items among the first k.

    With r_1 <= ... <= r_p the ranks (0 is best) of a user's p test items::

        AP@k = sum over r_j < k of j / (r_j + 1)  /  min(k, p)

    so a list that opens with the test items has 1. Its mean over users is MAP@k. Ties count against
    the test item. Some tools (trec_eval, ranx) divide by p instead: multiply by min(k, p) / p to
    compare. (Voorhees and Harman, "TREC: Experiment and Evaluation in Information Retrieval", 2005,
    chapter 3.)

    Parameters and errors are those of `precision_at_k`, but k must be a whole number.

    Returns
    -------
    float64 [n_users, or the number of users with test items]
        0 for users without test items, where they are kept.

    Examples
    --------
    Of five items, best first, the second and the fourth are test items:

    >>> import numpy as np, scipy.sparse as sp
    >>> from lightfm_clone import LightFM
    >>> from lightfm_clone.evaluation import average_precision_at_k
    >>> test = sp.csr_matrix([[0, 1, 0, 1, 0]])
    >>> model = LightFM().fit(test, epochs=0)
    >>> model.item_biases = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    >>> average_precision_at_k(model, test, k=3).round(4)
    array([0.25])
    """
    _check_k(k, Integral)
    ranks = _rank(
        model,
        test_interactions,
        train_interactions,
        user_features,
        item_features,
        num_threads,
        check_intersections,
    )
    return _keep(_average_precision(ranks, k), ranks, preserve_rows)


def hit_rate_at_k(
    model: Any,
    test_interactions: Any,
    train_interactions: Any = None,
    k: int = 10,
    user_features: Any = None,
    item_features: Any = None,
    preserve_rows: bool = False,
    num_threads: int | None = 1,
    check_intersections: bool = True,
) -> np.ndarray:
    """Whether any test item is among the first k recommended items.

    With r_1 the best rank (0 is best) of a user's test items::

        HR@k = 1 if r_1 < k else 0

    Its mean over users is the share of users with a hit. (Deshpande and Karypis, "Item-based top-N
    recommendation algorithms", ACM TOIS 22(1), 2004.)

    Parameters and errors are those of `precision_at_k`, but k must be a whole number.

    Returns
    -------
    float64 [n_users, or the number of users with test items]
        0 for users without test items, where they are kept.

    Examples
    --------
    Of five items, best first, the second and the fourth are test items:

    >>> import numpy as np, scipy.sparse as sp
    >>> from lightfm_clone import LightFM
    >>> from lightfm_clone.evaluation import hit_rate_at_k
    >>> test = sp.csr_matrix([[0, 1, 0, 1, 0]])
    >>> model = LightFM().fit(test, epochs=0)
    >>> model.item_biases = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    >>> hit_rate_at_k(model, test, k=3).round(4)
    array([1.])
    """
    _check_k(k, Integral)
    ranks = _rank(
        model,
        test_interactions,
        train_interactions,
        user_features,
        item_features,
        num_threads,
        check_intersections,
    )
    return _keep(_hit_rate(ranks, k), ranks, preserve_rows)


# ---- many metrics --------------------------------------------------------------------------------


class Evaluation(Mapping[str, float]):
    """What `evaluate` returns: means by metric, the values behind them, and the same by group.

    It is a mapping from the metrics' names to their means over users, and prints as a table.

    Attributes
    ----------
    users : int64 [n]
        The users with test items, ascending: the others are not evaluated.
    per_user : dict of str to float64 [n]
        The values of each metric, one for each of `users`.
    groups : dict of label to Evaluation
        The same for each group of users; empty unless `evaluate` was asked for groups. Groups
        none of whose users have test items are left out.
    """

    def __init__(
        self,
        users: np.ndarray,
        per_user: dict[str, np.ndarray],
        groups: dict[Any, Evaluation] | None = None,
    ) -> None:
        self.users = users
        self.per_user = per_user
        self.groups = groups or {}
        self._means = {name: float(values.mean()) for name, values in per_user.items()}

    def __getitem__(self, metric: str) -> float:
        return self._means[metric]

    def __iter__(self) -> Iterator[str]:
        return iter(self._means)

    def __len__(self) -> int:
        return len(self._means)

    def confidence_intervals(
        self, level: float = 0.95, n_resamples: int = 1000, random_state: Any = 0
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
        if not isinstance(level, Real) or not 0 < level < 1:
            raise ValueError(f"level must be a number in (0, 1), got {level!r}")
        if not isinstance(n_resamples, Integral) or n_resamples < 1:
            raise ValueError(
                f"n_resamples must be a whole number of at least 1, got {n_resamples!r}"
            )
        # A Generator draws several times faster than a RandomState.
        seed = check_random_state(random_state).randint(2**32, size=4, dtype=np.uint32)
        random = np.random.default_rng(seed)
        values = np.column_stack(list(self.per_user.values()))
        n = len(values)
        means = np.empty((n_resamples, values.shape[1]))
        at_once = max(1, 2**20 // n)  # bounds the memory, to 8 MB or one draw of all users
        for start in range(0, n_resamples, at_once):
            rows = min(at_once, n_resamples - start)
            drawn = random.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
            means[start : start + rows] = counts @ values / n
        ends = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return dict(zip(self, zip(*ends.tolist(), strict=True), strict=True))

    def __repr__(self) -> str:
        intervals = self.confidence_intervals()
        table = [["", "mean", "95 % interval"]]
        for name, mean in self.items():
            low, high = intervals[name]
            table.append([name, f"{mean:.4f}", f"{low:.4f} to {high:.4f}"])
        text = f"{_aligned(table)}\nmeans over {len(self.users):,} users with test items"
        if self.groups:
            table = [["", "users", *self]]
            for label, group in {"all": self, **self.groups}.items():
                means = (f"{mean:.4f}" for mean in group.values())
                table.append([str(label), f"{len(group.users):,}", *means])
            text += f"\n\n{_aligned(table)}"
        return text


def _aligned(table: list[list[str]]) -> str:
    """Lines of a table, its first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = (
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in table
    )
    return "\n".join(lines)


def _grouping(groups: Any, ranks: _Ranks, has_train: bool) -> tuple[list[Any], np.ndarray]:
    """Labels of the groups, and for each user the position of hers."""
    if isinstance(groups, str):
        if groups not in ("activity", "cold"):
            raise ValueError(
                "groups must be 'activity', 'cold' or an array with one label per user, got "
                f"{groups!r}"
            )
        if not has_train:
            raise ValueError(
                f"groups={groups!r} needs train, whose entries it counts; pass train, or an array "
                "of labels"
            )
        if groups == "cold":
            return ["cold", "warm"], (ranks.n_train > 0).astype(np.int64)
        warm = ranks.n_train[ranks.n_train > 0]
        quartiles = np.quantile(warm, [0.25, 0.5, 0.75]) if len(warm) else []
        labels = ["cold", *(f"quartile {number}" for number in range(1, 5))]
        return labels, np.searchsorted([0, *quartiles], ranks.n_train)
    array = np.asarray(groups)
    if array.shape != ranks.n_test.shape:
        raise ValueError(
            f"groups must have one label for each of the {len(ranks.n_test)} users, got an array "
            f"of shape {array.shape}"
        )
    try:
        missing = bool((array != array).any())  # NaN
        labels, positions = np.unique(array, return_inverse=True)
    except TypeError:  # None among strings, for one
        missing = True
    if missing:
        raise ValueError(
            "groups must have labels of one kind, got missing or mixed ones; fill them in"
        )
    return labels.tolist(), positions


def evaluate(
    model: Any,
    test: Any,
    train: Any = None,
    metrics: str | Iterable[str] = (
        "precision@10",
        "recall@10",
        "ndcg@10",
        "map@10",
        "mrr",
        "auc",
    ),
    groups: Any = None,
    *,
    user_features: Any = None,
    item_features: Any = None,
    num_threads: int | None = 1,
    check_intersections: bool = True,
) -> Evaluation:
    """Any number of ranking metrics from one ranking pass, for all users and for groups of them.

    Parameters
    ----------
    model : LightFM
        A fitted model, or anything with its `predict_rank`.
    test : sparse matrix [n_users, n_items]
        Each stored entry is an item the user likes.
    train : sparse matrix [n_users, n_items], optional
        Items left out of the rankings.
    metrics : iterable of str, or one str
        ``precision@k``, ``recall@k``, ``ndcg@k``, ``map@k``, ``hit_rate@k``, ``mrr@k``, ``mrr``
        and ``auc``, with any whole number for k. The definitions are those of `precision_at_k`,
        `recall_at_k`, `ndcg_at_k`, `average_precision_at_k`, `hit_rate_at_k`, `reciprocal_rank`
        and `auc_score`; ``mrr@k`` is the reciprocal rank where the best rank is below k, else 0.
    groups : array [n_users], "activity" or "cold", optional
        A label for each user; or ``"cold"`` for the groups cold (no entry in `train`) and warm; or
        ``"activity"`` for cold and quartile 1 to 4 by the number of entries in `train`. The bounds
        are quartiles of all users who have some, and users on a bound are in the lower group.
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
        `test` has no entries.

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
    wanted = {name: _metric(name) for name in ([metrics] if isinstance(metrics, str) else metrics)}
    if not wanted:
        raise ValueError("metrics is empty: name at least one, as in metrics=['ndcg@10']")
    ranks = _rank(
        model, test, train, user_features, item_features, num_threads, check_intersections
    )
    evaluated = ranks.n_test > 0
    if not evaluated.any():
        raise ValueError("test has no entries, so there is nothing to evaluate")
    users = np.flatnonzero(evaluated)
    per_user = {name: metric(ranks)[evaluated] for name, metric in wanted.items()}
    by_group = {}
    if groups is not None:
        labels, positions = _grouping(groups, ranks, train is not None)
        for position, label in enumerate(labels):
            rows = np.flatnonzero(positions[users] == position)
            if len(rows):
                part = {name: values[rows] for name, values in per_user.items()}
                by_group[label] = Evaluation(users[rows], part)
    return Evaluation(users, per_user, by_group)


# ---- measures of recommended lists ---------------------------------------------------------------


def _mean_of_lists(values: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Means of values [n_items] over the items of each list; NaN for an empty list."""
    lengths = (ids >= 0).sum(axis=1)
    sums = np.append(values, 0)[ids].sum(axis=1)  # the padding, -1, takes the 0 at the end
    return np.divide(sums, lengths, out=np.full(len(ids), np.nan), where=lengths > 0)


def catalogue_coverage(ids: Any, n_items: int) -> float:
    """Share of the catalogue that is recommended to anybody.

    With L_u the list of user u::

        coverage = |union of all L_u| / n_items

    (Ge, Delgado-Battenfeld and Jannach, "Beyond accuracy: evaluating recommender systems by
    coverage and serendipity", RecSys 2010.)

    Parameters
    ----------
    ids : integers [n, k]
        Recommended items, a list per row, as `LightFM.recommend` returns them; -1 is no item.
    n_items : int
        Size of the catalogue.

    Returns
    -------
    float
        0 for nothing, 1 when every item is in some list.

    Raises
    ------
    ValueError
        For n_items < 1, and ids of another shape or type or beyond n_items.

    Examples
    --------
    >>> from lightfm_clone.evaluation import catalogue_coverage
    >>> catalogue_coverage([[0, 1], [1, -1]], n_items=4)
    0.5
    """
    if not isinstance(n_items, Integral) or n_items < 1:
        raise ValueError(f"n_items must be a whole number of at least 1, got {n_items!r}")
    ids = check_lists(ids, n_items)
    recommended = np.zeros(n_items, dtype=bool)
    recommended[ids[ids >= 0]] = True
    return float(recommended.mean())


def novelty(ids: Any, train_interactions: Any) -> np.ndarray:
    """Mean self-information of each list's items: how few users know them.

    With n_i the number of the n_users users who have item i in `train_interactions`::

        novelty of list L = 1 / |L| * sum over i in L of log2(n_users / max(n_i, 1))

    in bits: 0 for items that everybody knows, 1 for items that every second user knows. An item
    that nobody knows counts as one that a single user does. (Zhou et al., "Solving the apparent
    diversity-accuracy dilemma of recommender systems", PNAS 107(10), 2010.)

    Parameters
    ----------
    ids : integers [n, k]
        Recommended items, a list per row, as `LightFM.recommend` returns them; -1 is no item.
    train_interactions : sparse matrix [n_users, n_items]
        Its stored entries are what users know; the users need not be those of the lists.

    Returns
    -------
    float64 [n]
        One value per list; NaN for a list without items.

    Raises
    ------
    ValueError
        For a bad matrix, and ids of another shape or type or beyond its columns.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from lightfm_clone.evaluation import novelty
    >>> train = sp.csr_matrix([[1, 1, 0], [1, 0, 1], [1, 1, 0], [1, 0, 0]])
    >>> novelty([[0, 1], [2, -1]], train)
    array([0.5, 2. ])
    """
    train = as_csr(train_interactions, "train_interactions")
    n_users, n_items = train.shape
    n_knowing = np.bincount(train.indices, minlength=n_items)
    information = np.log2(max(n_users, 1) / np.maximum(n_knowing, 1))
    return _mean_of_lists(information, check_lists(ids, n_items))


def popularity_share(ids: Any, train_interactions: Any, head: float = 0.2) -> np.ndarray:
    """Share of each list that goes to the most popular items.

    With H the `head` share of all items that have most entries in `train_interactions`::

        popularity share of list L = |L and H in common| / |L|

    which is 1 minus the share of the long tail. Of items equally popular, those of lower id come
    first. (Abdollahpouri, Burke and Mobasher, "Managing popularity bias in recommender systems
    with personalized re-ranking", FLAIRS 2019, where 1 minus its mean is APLT.)

    Parameters
    ----------
    ids : integers [n, k]
        Recommended items, a list per row, as `LightFM.recommend` returns them; -1 is no item.
    train_interactions : sparse matrix [n_users, n_items]
    head : float in (0, 1], default 0.2
        Share of the items that count as popular, rounded to whole items, at least one.

    Returns
    -------
    float64 [n]
        One value per list; NaN for a list without items.

    Raises
    ------
    ValueError
        For a bad matrix, head outside (0, 1], and ids of another shape or type or beyond the
        columns of the matrix.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from lightfm_clone.evaluation import popularity_share
    >>> train = sp.csr_matrix([[1, 1, 0, 0, 0], [1, 0, 1, 0, 0]])
    >>> popularity_share([[0, 1], [2, -1]], train)  # the head is item 0
    array([0.5, 0. ])
    """
    if not isinstance(head, Real) or not 0 < head <= 1:
        raise ValueError(f"head must be a number in (0, 1], got {head!r}")
    train = as_csr(train_interactions, "train_interactions")
    n_items = train.shape[1]
    n_entries = np.bincount(train.indices, minlength=n_items)
    by_popularity = np.argsort(-n_entries, kind="stable")
    popular = np.zeros(n_items)
    popular[by_popularity[: max(1, round(head * n_items))]] = 1
    return _mean_of_lists(popular, check_lists(ids, n_items))


def intra_list_diversity(ids: Any, item_vectors: Any) -> np.ndarray:
    """Mean distance between the items of each list.

    With cos(i, j) the cosine of the vectors of items i and j::

        diversity of list L = 1 / (|L| (|L| - 1)) * sum over i != j in L of 1 - cos(i, j)

    0 when all vectors of a list point the same way. An item whose vector is all zeros is at
    distance 1 from every other. (Smyth and McClave, "Similarity vs. diversity", ICCBR 2001;
    Ziegler et al., "Improving recommendation lists through topic diversification", WWW 2005, which
    sums the similarities instead.)

    Parameters
    ----------
    ids : integers [n, k]
        Recommended items, a list per row, as `LightFM.recommend` returns them; -1 is no item.
    item_vectors : array or sparse matrix [n_items, n_dimensions]
        What makes items alike: tags (a feature matrix), or the model's own
        ``get_item_representations(item_features)[1]``.

    Returns
    -------
    float64 [n]
        One value per list, from 0 to 2; NaN for a list of fewer than two items.

    Raises
    ------
    ValueError
        For vectors that are not a finite matrix, and ids of another shape or type or beyond its
        rows.

    Examples
    --------
    >>> from lightfm_clone.evaluation import intra_list_diversity
    >>> vectors = [[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]
    >>> intra_list_diversity([[0, 1, -1], [0, 1, 2], [2, -1, -1]], vectors).round(4)
    array([0.    , 0.6667,    nan])
    """
    if sp.issparse(item_vectors):
        vectors = as_csr(item_vectors, "item_vectors").astype(np.float64)
    else:
        vectors = np.asarray(item_vectors, dtype=np.float64)
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise ValueError(
                "item_vectors must be a matrix [n_items, n_dimensions] of finite numbers, got "
                f"shape {vectors.shape}{' with NaN or infinity' if vectors.ndim == 2 else ''}"
            )
    ids = check_lists(ids, vectors.shape[0])
    norms = np.sqrt(_squared_norms(vectors))
    scale = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)
    vectors = sp.diags(scale) @ vectors
    # The squared norm of a sum of unit vectors is their number plus the cosines of all pairs.
    held = ids >= 0
    lengths = held.sum(axis=1)
    lists = sp.csr_matrix(
        (np.ones(lengths.sum()), ids[held], np.append(0, np.cumsum(lengths))),
        shape=(len(ids), len(norms)),
    )
    cosines = _squared_norms(lists @ vectors) - lists @ (norms > 0)
    pairs = lengths * (lengths - 1)
    mean = np.divide(cosines, pairs, out=np.full(len(ids), np.nan), where=pairs > 0)
    return np.maximum(1 - mean, 0)


def _squared_norms(matrix: Any) -> np.ndarray:
    """Of the rows of an array or a sparse matrix."""
    if sp.issparse(matrix):
        return np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel()
    return np.einsum("ij,ij->i", matrix, matrix)
