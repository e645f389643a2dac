"""Several models evaluated on the same users: which is better, and is it by chance?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from lightfm_clone._checks import is_real
from lightfm_clone._printed import Printed
from lightfm_clone._tables import make
from lightfm_clone.evaluation.intervals import bootstrap
from lightfm_clone.evaluation.results import Evaluation, Means, parts
from lightfm_clone.typing import Id, Seed, Table


class Difference(NamedTuple):
    """What a model's mean is above that of the baseline, with an interval of the bootstrap."""

    mean: float
    low: float
    high: float

    @property
    def is_significant(self) -> bool:
        """Whether 0 is outside the interval."""
        return self.low > 0 or self.high < 0


class Comparison(Mapping[str, Evaluation]):
    """Evaluations of several models on the same users, and their differences to a baseline.

    It is a mapping from the models' names to their evaluations, and prints as a table.

    The differences are taken user by user, so that what makes a user easy or hard for all models
    drops out: their intervals are much narrower than those of the means suggest. Users are drawn
    with replacement, the same for all models and metrics, and an interval goes from the
    (1 - level) / 2 to the (1 + level) / 2 quantile of the mean differences. (The paired bootstrap:
    Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 16; Sakai, "Evaluating
    evaluation metrics based on the bootstrap", SIGIR 2006.)

    Parameters
    ----------
    evaluations : dict of str to Evaluation
        Of each model, by name: what `evaluate` returned for the same test interactions, metrics and
        groups.
    baseline : str, default the first
        Name of the model that the others are compared with.
    measures : dict of str to dict of str to float, optional
        By the name of a model, any numbers to be shown beside its metrics, such as
        ``{"coverage": 0.4}``. A model may lack any of them.
    level : float in (0, 1), default 0.95
        Of the intervals.
    n_resamples : int, default 1000
    random_state : int, numpy RandomState, numpy Generator or None, default 0

    Attributes
    ----------
    baseline : str
    level : float
    differences : dict of str to dict of str to Difference
        By the names of the others, then by metric: named tuples ``(mean, low, high)``, whose
        `is_significant` tells whether 0 is outside the interval. A single user gives no interval:
        both ends are NaN then.
    groups : dict of label to Comparison
        The same for each group of users of the evaluations.
    best : dict of str to str
        By metric the model with the highest mean, the first of equal ones.
    measures : dict of str to dict of str to float
        As given; empty dicts where there are none.

    Raises
    ------
    TypeError, ValueError
        When there is no evaluation, when they are not of the same users, metrics and groups, for
        names that are not among them, and as `Evaluation.confidence_intervals`.

    Notes
    -----
    Of many comparisons a few are significant by chance: at 95 %, one in twenty where there is no
    difference. Below some thirty users intervals are too narrow. And they tell how far differences
    would move with other users, not with another training seed.

    Examples
    --------
    >>> import numpy as np
    >>> from lightfm_clone.evaluation import Comparison, Evaluation
    >>> users, random = np.arange(200), np.random.default_rng(0)
    >>> plain = random.random(200)
    >>> better = plain + random.normal(0.02, 0.05, size=200)
    >>> comparison = Comparison(
    ...     {name: Evaluation(users, {"ndcg@10": values})
    ...      for name, values in (("plain", plain), ("better", better))},
    ...     measures={"better": {"coverage": 0.4}},
    ... )
    >>> comparison.best
    {'ndcg@10': 'better'}
    >>> comparison.differences["better"]["ndcg@10"].is_significant
    True
    >>> mean, low, high = comparison.differences["better"]["ndcg@10"]
    >>> 0 < low < mean < high
    True
    """

    __module__ = "lightfm_clone.evaluation"

    def __init__(
        self,
        evaluations: Mapping[str, Evaluation],
        *,
        baseline: str | None = None,
        measures: Mapping[str, Mapping[str, float]] | None = None,
        level: float = 0.95,
        n_resamples: int = 1000,
        random_state: Seed = 0,
    ) -> None:
        _check_alike(evaluations)
        self._evaluations = dict(evaluations)
        self.baseline = next(iter(self)) if baseline is None else baseline
        self._check_name(self.baseline, "baseline")
        self.measures = self._checked_measures({} if measures is None else measures)
        self.level = level
        first = self[self.baseline]
        self.best = {metric: max(self, key=lambda name: self[name][metric]) for metric in first}
        self.differences = self._differences(n_resamples, random_state)
        self.groups: dict[Id, Comparison] = {
            label: Comparison(
                {name: evaluation.groups[label] for name, evaluation in self.items()},
                baseline=self.baseline,
                level=level,
                n_resamples=n_resamples,
                random_state=random_state,
            )
            for label in first.groups
        }

    def _check_name(self, name: object, argument: str) -> None:
        if name not in self:
            raise ValueError(
                f"{argument} must name one of the evaluations, {', '.join(map(repr, self))}, got "
                f"{name!r}"
            )

    def _checked_measures(
        self, measures: Mapping[str, Mapping[str, float]]
    ) -> dict[str, dict[str, float]]:
        if not isinstance(measures, Mapping):
            raise TypeError(
                "measures must be a dict of names of models to dicts such as {'coverage': 0.4}, "
                f"got {measures!r}"
            )
        for name, of_model in measures.items():
            self._check_name(name, "measures")
            if not isinstance(of_model, Mapping) or not all(map(is_real, of_model.values())):
                raise TypeError(
                    f"measures[{name!r}] must be a dict of numbers such as {{'coverage': 0.4}}, "
                    f"got {of_model!r}; of a measure with a value for each list take the mean"
                )
        return {name: dict(measures.get(name, {})) for name in self}

    def _differences(
        self, n_resamples: int, random_state: Seed
    ) -> dict[str, dict[str, Difference]]:
        first = self[self.baseline].per_user
        values = np.column_stack(
            [self[name].per_user[metric] - first[metric] for name in self for metric in first]
        )
        ends = bootstrap(values, self.level, n_resamples, random_state)
        if len(values) == 1:  # whose draws are all the same
            ends = [(np.nan, np.nan)] * len(ends)
        each = map(Difference, values.mean(axis=0).tolist(), *zip(*ends, strict=True))
        differences = {name: {metric: next(each) for metric in first} for name in self}
        del differences[self.baseline]
        return differences

    def __getitem__(self, name: str) -> Evaluation:
        return self._evaluations[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._evaluations)

    def __len__(self) -> int:
        return len(self._evaluations)

    def to_frame(self, kind: str | None = None) -> Table:
        """All numbers as a table: a row for each group, model and metric, then the measures.

        Parameters
        ----------
        kind : {"pandas", "polars", "pyarrow"}, optional
            Of which library; by default the first of them that is installed.

        Returns
        -------
        table
            With the columns group (text; "all" for everybody), model, users (their number), metric,
            mean, difference, low and high. The last three are NaN for the baseline and for
            measures, whose value is the mean.

        Raises
        ------
        ImportError
            Where the library is not installed, or none is.
        ValueError
            For another kind.
        """
        names = ("group", "model", "users", "metric", "mean", "difference", "low", "high")
        nothing = Difference(np.nan, np.nan, np.nan)
        rows: list[tuple[object, ...]] = []
        for label, part in parts(self):
            for name, evaluation in part.items():
                start = (label, name, len(evaluation.users))
                of_name = part.differences.get(name, {})
                for metric in self.best:
                    rows.append((*start, metric, evaluation[metric], *of_name.get(metric, nothing)))
                for measure, value in part.measures[name].items():
                    rows.append((*start, measure, float(value), *nothing))
        return make(kind, dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))

    def __repr__(self) -> str:
        return "\n\n".join(table.text() for table in self._tables())

    def _repr_html_(self) -> str:
        return "".join(table.html() for table in self._tables())

    def _tables(self) -> list[Printed]:
        return [self._table(), *([self._table_of_groups()] if self.groups else [])]

    def _table(self) -> Printed:
        """Of each model its means, with their differences below and its measures beside them."""
        measures = list(dict.fromkeys(measure for one in self.measures.values() for measure in one))
        level = f"{100 * self.level:g} %"
        rows = [["", *(f"{metric} " for metric in self.best), *measures]]
        for name, evaluation in self.items():
            means = (f"{evaluation[metric]:.4f} " for metric in self.best)
            of_name = self.measures[name]
            beside = (f"{of_name[one]:.4f}" if one in of_name else "-" for one in measures)
            rows.append([name, *means, *beside])
            if name in self.differences:
                each = self.differences[name].values()
                for label, cells in (
                    ("difference", [f"{one.mean:+.4f}{_star(one)}" for one in each]),
                    (f"{level} from", [f"{one.low:+.4f} " for one in each]),
                    (f"{level} to", [f"{one.high:+.4f} " for one in each]),
                ):
                    rows.append([f"  {label}", *cells, *("" for _ in measures)])
        n_users = len(self[self.baseline].users)
        note = f"means over {n_users:,} users with test items"
        if self.differences:
            note += f"; * 0 is outside the interval of the difference to {self.baseline}"
        return Printed(rows, note)

    def _table_of_groups(self) -> Printed:
        """Of each group and model the means, those that differ from the baseline's marked."""
        rows = [["", "", "users", *(f"{metric} " for metric in self.best)]]
        for label, part in parts(self):
            beside = (label, f"{len(part[self.baseline].users):,}")
            for name, evaluation in part.items():
                of_name = part.differences.get(name, {})
                means = [
                    f"{evaluation[metric]:.4f}{_star(of_name.get(metric))}" for metric in self.best
                ]
                rows.append([beside[0], name, beside[1], *means])
                beside = ("", "")  # the group is named once
        return Printed(rows, n_left=2)


def _star(difference: Difference | None) -> str:
    return "*" if difference is not None and difference.is_significant else " "


def _check_alike(evaluations: Mapping[str, Evaluation]) -> None:
    """Check that there are some, of the same users, metrics and groups."""
    if not isinstance(evaluations, Mapping) or not evaluations:
        raise ValueError(
            "evaluations must be a dict of names of models to what evaluate returned for them, of "
            f"one at least, got {evaluations!r}"
        )
    for name, one in evaluations.items():
        if isinstance(one, Means) and not isinstance(one, Evaluation):
            raise TypeError(
                f"evaluations[{name!r}] must have the values of single users, which are on a "
                "cluster; evaluate the model that to_local() gives"
            )
        if not isinstance(one, Evaluation):
            raise TypeError(
                f"evaluations[{name!r}] must be what evaluate returned, an Evaluation, got "
                f"{type(one).__name__}"
            )
    (first_name, first), *others = evaluations.items()
    for name, one in others:
        if not np.array_equal(one.users, first.users):
            common = len(np.intersect1d(one.users, first.users))
            raise ValueError(
                f"evaluations must be of the same users, but {first_name!r} is of "
                f"{len(first.users)} and {name!r} of {len(one.users)}, {common} of them common; "
                "evaluate all on the same test_interactions, with the same groups"
            )
        for argument, mine, given in (
            ("metrics", set(first), set(one)),
            ("groups", set(first.groups), set(one.groups)),
        ):
            if mine != given:
                has, lacks, these = first_name, name, mine - given
                if not these:
                    has, lacks, these = name, first_name, given - mine
                raise ValueError(
                    f"evaluations must have the same {argument}, but {has!r} has "
                    f"{', '.join(sorted(map(repr, these)))}, which {lacks!r} lacks; pass the same "
                    f"{argument} to evaluate for all"
                )
