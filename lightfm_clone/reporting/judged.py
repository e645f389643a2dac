"""What is told of a recommender on a page: it, later events, and others beside it."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from lightfm_clone.evaluation import Comparison
from lightfm_clone.recommender import judging
from lightfm_clone.recommender.baselines import Baseline
from lightfm_clone.recommender.judging import Later
from lightfm_clone.recommender.serving import NO_RULES, lists_of
from lightfm_clone.reporting.parts import shown
from lightfm_clone.typing import Id

PEOPLE = 10_000  # whose lists are made for what lists show; more change nothing that can be seen


class Judged:
    """A recommender beside others on later events, and what sections ask of it in common.

    Parameters
    ----------
    shop : Recommender
    later : Later
        What people did later.
    comparison : Comparison
        Of `judging.compare`.
    exclude : as in `Recommender.recommend`
    k : int
        Length of the lists.
    label : column name, or None
        What names items; their ids do without.
    random : RandomState
        Of what is drawn for the page.
    num_threads : int or None
    """

    own = judging.OWN

    def __init__(
        self,
        shop: Any,
        later: Later,
        comparison: Comparison,
        exclude: Any,
        k: int,
        label: Hashable,
        random: np.random.RandomState,
        num_threads: int | None,
    ) -> None:
        self.shop, self.later, self.comparison = shop, later, comparison
        self.exclude, self.k, self._label, self._threads = exclude, k, label, num_threads
        self._seed = random.randint(2**32, size=4, dtype=np.uint32)

    def random(self) -> np.random.Generator:
        """Where a section draws from: all begin alike, so that none depends on another."""
        return np.random.default_rng(self._seed)

    @property
    def metric(self) -> str:
        """The metric that stands for all."""
        return f"ndcg@{self.k}"

    @cached_property
    def intervals(self) -> dict[str, dict[str, tuple[float, float]]]:
        """Of the means, by model and metric."""
        level = self.comparison.level
        return {name: one.confidence_intervals(level) for name, one in self.comparison.items()}

    @property
    def has_vectors(self) -> bool:
        """Whether items have vectors that say what they are like."""
        return not isinstance(self.shop.model_, Baseline)

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """How many people have each item."""
        counts: npt.NDArray[np.int64] = self.shop._serving.n_people
        return counts

    @cached_property
    def some_lists(self) -> npt.NDArray[np.int32]:
        """Lists [n, k] of people who did something later, of all or of some drawn at random."""
        n = len(self.later.people)
        rows = np.arange(n)
        if n > PEOPLE:
            rows = np.sort(self.random().choice(n, PEOPLE, replace=False))
        return self.lists(rows)[0]

    def lists(
        self, rows: npt.NDArray[np.intp]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int8]]:
        """Lists [n, k] of some of those who did something later, and what each goes by."""
        rules = NO_RULES | {"exclude": self.exclude}
        people = self.later.people.part(rows)
        parts = list(lists_of(self.shop, people, self.k, self._threads, **rules))
        ids, source = ([getattr(one, name) for one in parts] for name in ("ids", "source"))
        return np.concatenate(ids), np.concatenate(source)

    def names(self, rows: Any) -> list[str]:
        """What items are called, by their numbers."""
        rows = np.asarray(rows, dtype=np.intp)
        ids = [shown(one) for one in self.shop.item_ids_[rows].tolist()]
        if self._label is None:
            return ids
        found = columns_of(self.shop, "label").first(self._label, rows, "label")
        titles = [None if one != one else one for one in np.asarray(found, object).tolist()]
        return [
            own if title is None or not str(title).strip() else shown(title)
            for own, title in zip(ids, titles, strict=True)
        ]

    def name(self, item: Id) -> str:
        """What an item is called, by its id."""
        return self.names([self.shop.dataset_.mapping()[2][item]])[0]


def columns_of(shop: Any, argument: str) -> Any:
    """The columns of items, which an argument names one of."""
    if shop.item_columns_ is None:
        raise ValueError(
            f"{argument} names a column of items, and this recommender was fitted without a table "
            f"of them; leave {argument} out, or call fit(..., items=table)"
        )
    return shop.item_columns_
