"""From people to lists, and from items to their neighbours.

The path of a request: `Recommender.recommend` -> `people.find` (who is it?) -> `people.vectors_of`
(what stands for them?) -> `lists.best` (filters and dials) -> `PreparedItems.best` -> the core.
Items are packed once for all requests, when the first one asks (`Serving`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lightfm_clone import _checks as checks
from lightfm_clone._checks import check_num_threads, is_integer, is_sparse
from lightfm_clone._model.fold_in import fold_in_users
from lightfm_clone._model.prepared import PreparedItems
from lightfm_clone._model.progress import bar
from lightfm_clone._model.training import TrainedSide, at_rest
from lightfm_clone._sparse import rows_at
from lightfm_clone._tables import make
from lightfm_clone._warn import warn
from lightfm_clone.data import sources
from lightfm_clone.lightfm import LightFM
from lightfm_clone.recommender import lists
from lightfm_clone.recommender.baselines import Baseline
from lightfm_clone.recommender.events import predicts_values
from lightfm_clone.recommender.fitting import factors_of
from lightfm_clone.recommender.people import (
    SOURCES,
    People,
    known_numbers,
    listed,
    vectors_of,
)
from lightfm_clone.typing import RankedLists, Representations

_BLOCK = 4096  # people whose lists are made at a time
_PASSES = 20  # over what a stranger likes, as `LightFM.fold_in_users` makes
SAMPLED = 2048  # people whose scores say what a dial of popularity is worth


# The rules of a list where nobody has said anything.
NO_RULES: dict[str, Any] = {
    "exclude": True,
    "items": None,
    "deny": None,
    "where": None,
    "at_most": None,
    "popularity": 0.0,
    "diversity": 0.0,
}


class Serving:
    """What requests need and do not change: the items, packed, and what dials go by."""

    def __init__(self, shop: Any) -> None:
        self._shop = shop
        self.items = PreparedItems.of(shop.model_, shop.item_features_)

    def fold_in(self, likes: Any, num_threads: int | None) -> Representations:
        """Vectors of strangers from what they like, CSR [n, n_items]."""
        model = factors_of(self._shop.model_)
        given = {"item_features": self._shop.item_features_, "num_threads": num_threads}
        if getattr(type(model), "fold_in_users", None) is not LightFM.fold_in_users:
            found: Representations = model.fold_in_users(likes, **given, random_state=0)
            return found
        return fold_in_users(  # which need not sum the features of all items
            model,
            likes,
            **given,
            sample_weight=None,
            epochs=_PASSES,
            random_state=0,
            items=self._items_at_rest,
        )

    @cached_property
    def _items_at_rest(self) -> TrainedSide:
        """The items packed for the training of histories, as large as their vectors."""
        return at_rest(self.items.biases, self.items.vectors)

    @cached_property
    def n_people(self) -> npt.NDArray[np.int64]:
        """How many people have each item."""
        pairs = self._shop.pairs_
        return np.bincount(pairs.indices, minlength=pairs.shape[1])

    @cached_property
    def few(self) -> float:
        """Up to how many items people have few: the median of those who have any."""
        n_pairs = np.diff(self._shop.pairs_.indptr)
        return float(np.median(n_pairs[n_pairs > 0]))

    @cached_property
    def liked(self) -> np.float32:
        """The value of an item in a history: of a model of ratings the highest there is."""
        weights = self._shop.pairs_.weights
        is_rating = predicts_values(getattr(self._shop.model_, "loss", None))
        return np.float32(weights.max() if is_rating and weights is not None else 1)

    @cached_property
    def popular(self) -> PreparedItems:
        """The items, scored by how many people have them; vectors of zeros ask for that."""
        return self.items.with_biases(np.log1p(self.n_people).astype(np.float32))

    @cached_property
    def popularity_shift(self) -> npt.NDArray[np.float32]:
        return self.shift_of(sampled(self._shop, SAMPLED))

    def shift_of(self, users: tuple[Any, ...]) -> npt.NDArray[np.float32]:
        """What a dial of popularity is worth, by the representations of some people."""
        if not len(users[0]):
            return np.zeros(self.items.n, np.float32)
        return lists.popularity_shift(self.items, users, self.n_people)


def sampled(shop: Any, n: int) -> tuple[Any, ...]:
    """The representations of so many known people, of those for whom the model speaks."""
    n_users = len(shop.user_ids_)
    some = np.unique(np.linspace(0, n_users - 1, min(n_users, n)).astype(np.int64))
    of = vectors_of(shop, People(shop.user_ids_[some], some, None, None, None), 1)
    return of.at(of.by_model)


class Rules(NamedTuple):
    """What a list may hold, as rows of items, and the dials."""

    candidates: Any  # None, rows for all, or csr for each
    exclude: Any  # csr of all known people's items that are left out, or None
    at_most: tuple[tuple[Any, int], ...]
    popularity: float
    diversity: float

    def part(self, at: slice) -> Rules:
        if is_sparse(self.candidates):
            return self._replace(candidates=self.candidates[at])
        return self


def rules(
    shop: Any,
    *,
    exclude: Any,
    items: Any,
    deny: Any,
    where: Any,
    at_most: Any,
    popularity: float,
    diversity: float,
    n_people: int,
) -> Rules:
    """The rules of a call of `Recommender.recommend`, whose arguments these are."""
    allowed = None
    if where is not None:
        allowed = _columns(shop, "where").mask(where)
    if deny is not None:
        allowed = np.ones(len(shop.item_ids_), bool) if allowed is None else allowed
        mapping = shop.dataset_.mapping()[2]
        denied = known_numbers(listed(deny, mapping), mapping, "deny")
        allowed[denied[denied >= 0]] = False  # nobody gets an unknown item anyway
    candidates = None if items is None else _candidates(shop, items, n_people)
    if allowed is not None:
        if candidates is None:
            candidates = np.flatnonzero(allowed).astype(np.int32)
        elif is_sparse(candidates):
            candidates = candidates.multiply(allowed.astype(np.float32)).tocsr()
            candidates.eliminate_zeros()
        else:
            candidates = candidates[allowed[candidates]]
    if where is not None and allowed is not None and not allowed.any():
        warn(
            f"where={where!r} leaves no item, so all lists are empty; look at {_known(shop, where)}"
        )
    quotas = []
    if not isinstance(at_most, Mapping | None):
        raise TypeError(
            "at_most must be a dict from columns to whole numbers, such as {'brand': 3}, got "
            f"{at_most!r}"
        )
    for column, n in (at_most or {}).items():
        if not is_integer(n) or n < 1:
            raise ValueError(
                f"at_most must give a whole number of at least 1 for each column, got {n!r} for "
                f"{column!r}"
            )
        quotas.append((_columns(shop, "at_most").codes(column), int(n)))
    return Rules(
        candidates,
        shop._left_out(exclude),
        tuple(quotas),
        popularity,
        diversity,
    )


def _known(shop: Any, where: Mapping[Hashable, Any]) -> str:
    """Some of what the columns of a rule hold."""
    some = shop.item_columns_.take(np.arange(min(3, len(shop.item_ids_))))
    some = {name: of.tolist() if isinstance(of, np.ndarray) else of for name, of in some.items()}
    return ", ".join(f"{column!r}, which holds {some[column]}..." for column in where)


def _columns(shop: Any, argument: str) -> Any:
    if shop.item_columns_ is None:
        raise ValueError(
            f"{argument} needs columns of items, and this recommender was fitted without a table "
            "of them; call fit(..., items=table)"
        )
    return shop.item_columns_


def rows_of_items(shop: Any, ids: Any, argument: str) -> npt.NDArray[np.int32]:
    """Rows of items that must be known."""
    mapping = shop.dataset_.mapping()[2]
    given = listed(ids, mapping)
    numbers = known_numbers(given, mapping, argument)
    unknown = np.flatnonzero(numbers < 0)
    if len(unknown):
        raise ValueError(
            f"{argument} must hold items that are known, got {given[unknown[0]]!r} "
            f"({len(unknown)} such ids); leave them out, or make them known with update(...)"
        )
    return numbers.astype(np.int32)


def _candidates(shop: Any, items: Any, n_people: int) -> Any:
    """Rows for all, or csr [n_people, n_items] where there is a list for each."""
    items = listed(items, shop.dataset_.mapping()[2])
    n_lists = sum(map(is_list, items))
    if not n_lists:
        return np.unique(rows_of_items(shop, items, "items"))
    if n_lists != len(items) or n_lists != n_people:
        raise ValueError(
            f"items must be ids for all, or a list of ids for each of the {n_people} people, got "
            f"{len(items)} elements, of which {n_lists} are lists"
        )
    flat = [one for some in items for one in some]
    owners = np.repeat(np.arange(n_people), [len(one) for one in items])
    entries = np.ones(len(flat), np.float32), (owners, rows_of_items(shop, flat, "items"))
    return sp.csr_matrix(entries, shape=(n_people, len(shop.item_ids_)))


def is_list(one: Any) -> bool:
    """Whether it is a list or a column, and no id."""
    is_id = isinstance(one, str | bytes | tuple)
    return not is_id and hasattr(one, "__iter__") and hasattr(one, "__len__")


class Lists(NamedTuple):
    """Lists of some people: rows of items, -1 where there is nothing left."""

    people: People
    ids: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    source: npt.NDArray[np.int8]


def in_blocks(
    shop: Any, people: People, k: int, given: Rules, num_threads: int | None
) -> Iterator[Lists]:
    """The lists of some thousand people at a time."""
    threads = check_num_threads(num_threads)
    for first in range(0, len(people), _BLOCK):
        at = slice(first, first + _BLOCK)
        some = people.part(at)
        yield _lists(shop, some, k, given.part(at), threads)


def _lists(shop: Any, people: People, k: int, given: Rules, threads: int) -> Lists:
    of = vectors_of(shop, people, threads)
    exclude = given.exclude
    if exclude is not None:
        exclude = rows_at(exclude, people.numbers) if people.history is None else people.history
    serving: Serving = shop._serving
    k = min(k, serving.items.n)
    ids = np.empty((len(people), k), np.int32)
    scores = np.empty((len(people), k), np.float32)
    for items, at in (
        (serving.items, np.flatnonzero(of.by_model)),
        (serving.popular, np.flatnonzero(~of.by_model)),
    ):
        if not len(at):
            continue
        candidates, left_out = given.candidates, exclude
        if len(at) < len(people):
            left_out = None if exclude is None else exclude[at]
            candidates = candidates[at] if is_sparse(candidates) else candidates
        ids[at], scores[at] = lists.best(
            items,
            of.at(at),
            k,
            exclude=left_out,
            candidates=candidates,
            at_most=given.at_most,
            popularity=(given.popularity, serving.popularity_shift) if given.popularity else None,
            diversity=given.diversity,
            num_threads=threads,
        )
    return Lists(people, ids, scores, of.source)


def columns_of_lists(shop: Any, given: Lists) -> dict[str, Any]:
    """The columns of a table of lists, a row for each place that is filled."""
    n, k = given.ids.shape
    filled = given.ids >= 0
    rank = np.broadcast_to(np.arange(1, k + 1), (n, k))[filled]
    owner = np.repeat(np.arange(n), filled.sum(axis=1))
    names = np.array(SOURCES, dtype=object)
    return {
        "user": given.people.labels[owner],
        "rank": rank,
        "item": shop.item_ids_[given.ids[filled]],
        "score": given.scores[filled],
        "source": names[given.source[owner]],
    }


def similar_items(shop: Any, items: Any, k: int, where: Any, num_threads: int | None) -> Any:
    """See `Recommender.similar_items`."""
    rows = np.arange(len(shop.item_ids_)) if items is None else rows_of_items(shop, items, "items")
    ids, scores = neighbours_of(shop, rows, k, where, num_threads)
    filled = ids >= 0
    columns = {
        "item": shop.item_ids_[np.repeat(rows, filled.sum(axis=1))],
        "rank": np.broadcast_to(np.arange(1, ids.shape[1] + 1), ids.shape)[filled],
        "similar": shop.item_ids_[ids[filled]],
        "score": scores[filled],
    }
    return make(shop._kind, columns)


def neighbours_of(
    shop: Any, rows: npt.NDArray[Any], k: int, where: Any, num_threads: int | None
) -> RankedLists:
    """The nearest items of rows of items, -1 where there are no more; `where` as in `rules`."""
    candidates = None
    if where is not None:
        candidates = np.flatnonzero(_columns(shop, "where").mask(where)).astype(np.int32)
    checks.check_k(k)
    k = min(k, len(shop.item_ids_))
    if isinstance(shop.model_, Baseline):  # which may know it otherwise, or not at all
        found: RankedLists = shop.model_.similar_items(rows, k, among=candidates)
        return found
    return _nearest(shop, rows, k, candidates, num_threads)


def _nearest(shop: Any, rows: Any, k: int, candidates: Any, num_threads: int | None) -> RankedLists:
    """The items whose vectors are nearest, each without itself."""
    neighbours = shop._serving.items.as_directions
    vectors = neighbours.vectors[rows]
    itself = sp.csr_matrix(
        (np.ones(len(rows), np.float32), rows, np.arange(len(rows) + 1)),
        shape=(len(rows), neighbours.n),
    )
    nearest: RankedLists = neighbours.best(
        (np.zeros(len(rows), np.float32), vectors),
        k,
        exclude=itself,
        candidates=candidates,
        num_threads=num_threads,
    )
    return nearest


def table_of_vectors(shop: Any, name: str, features: bool) -> Any:
    """See `Recommender.user_table`; `name` is "user" or "item"."""
    side = getattr(shop, f"_{name}s")
    matrix = getattr(shop, f"{name}_features_")
    biases, vectors = getattr(shop.model_, f"get_{name}_representations")(matrix)
    found = {name: getattr(shop, f"{name}_ids_"), "bias": biases.copy()}
    for place in range(vectors.shape[1]):
        found[f"vector_{place}"] = vectors[:, place].copy()
    if features and side.encoder is not None:
        taken = next((feature for feature in side.encoder.feature_names_ if feature in found), None)
        if taken is not None:
            raise ValueError(
                f"the {name}s have a feature {taken!r}, a name that the table has for something "
                "else; pass features=False, or rename the column and fit again"
            )
        dense = side.encoded.toarray()
        for place, feature in enumerate(side.encoder.feature_names_):
            found[feature] = dense[:, place]
    return make(shop._kind, found)


# ---- what the methods return ---------------------------------------------------------------------


def recommend(shop: Any, people: People, k: int, num_threads: int | None, **given: Any) -> Any:
    """See `Recommender.recommend`."""
    parts = list(lists_of(shop, people, k, num_threads, **given))
    columns = [columns_of_lists(shop, part) for part in parts]
    if len(columns) != 1:
        columns = [_joined(columns)]
    return make(people.kind or shop._kind, columns[0])


def lists_of(
    shop: Any, people: People, k: int, num_threads: int | None, **given: Any
) -> Iterator[Lists]:
    """The lists of people, some thousand at a time; `given` as for `rules`."""
    checked = rules(shop, n_people=len(people), **given)
    checks.check_k(k)
    return in_blocks(shop, people, k, checked, num_threads)


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    if not parts:
        empty = np.empty(0, object)
        return {
            "user": empty,
            "rank": np.empty(0, np.int64),
            "item": empty,
            "score": np.empty(0, np.float32),
            "source": empty,
        }
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def write_lists(
    shop: Any,
    path: Any,
    people: People,
    k: int,
    num_threads: int | None,
    verbose: bool,
    **given: Any,
) -> None:
    """See `Recommender.write_lists`."""
    blocks = blocks_of_columns(shop, people, k, num_threads, **checked_rules(given))
    with sources.writer(path) as write, bar(len(people), "lists", verbose) as advance:
        for n_people, columns in blocks:
            write(columns)
            advance(n_people)


def checked_rules(given: dict[str, Any]) -> dict[str, Any]:
    """The rules of `Recommender.write_lists`, those that are not given among them."""
    unknown = next((name for name in given if name not in NO_RULES), None)
    if unknown is not None:
        raise TypeError(
            f"write_lists got an unexpected keyword argument {unknown!r}; "
            f"{checks.name_here(unknown, NO_RULES)}"
        )
    return NO_RULES | given


def blocks_of_columns(
    shop: Any, people: People, k: int, num_threads: int | None, **given: Any
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The columns of a table of lists, block after block, each with its number of people.

    The first is empty: the names of columns, where there is nobody. Rules are those of `rules`,
    and checked at once.
    """
    parts = lists_of(shop, people, k, num_threads, **given)
    blocks = ((len(part.people), columns_of_lists(shop, part)) for part in parts)
    return chain([(0, _joined([]))], blocks)


def explain(shop: Any, people: People, item: Any) -> Any:
    """See `Recommender.explain`."""
    if not hasattr(shop.model_, "explain"):
        raise ValueError(
            f"a {type(shop.model_).__name__} has no terms to explain a score by; ask a LightFM"
        )
    if len(people) != 1:
        raise ValueError(f"user must be one person, got {len(people)}; explain one at a time")
    (row,) = rows_of_items(shop, [item], "item").tolist()
    model, features, number = shop.model_, shop.user_features_, int(people.numbers[0])
    if number < 0:
        model = factors_of(model)  # strangers have no history here
        if people.rows is None or not people.rows.nnz:
            given = "a row without a known value"
            if people.rows is None:
                given = f"{people.labels[0]!r}, who is unknown"
            raise ValueError(
                f"user must be known, or a row of what is known about them, got {given}; their "
                "lists go by popularity alone"
            )
        features, number = people.rows, 0
    return model.explain(
        number,
        row,
        user_features=features,
        item_features=shop.item_features_,
        dataset=shop.dataset_,
    )
