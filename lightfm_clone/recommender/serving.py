"""From people to lists, and from items to their neighbours.

The path of a request: `Recommender.recommend` -> `people.find` (who is it?) -> `people.vectors_of`
(what stands for them?) -> `lists.best` (filters and dials) -> `PreparedItems.best` -> the core. Items
are packed once for all requests, when the first one asks (`Serving`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lightfm_clone._checks import check_num_threads, is_integer
from lightfm_clone._model.prepared import PreparedItems
from lightfm_clone._model.state import directions
from lightfm_clone.data import columns as columns_of
from lightfm_clone.recommender import lists
from lightfm_clone.recommender.people import POPULAR, SOURCES, People, vectors_of
from lightfm_clone.recommender.sides import numbers_of

_BLOCK = 4096  # people whose lists are made at a time


class Serving:
    """What requests need and do not change: the items, packed in three ways.

    Parameters
    ----------
    model : fitted model
    item_features : csr_matrix or None
    popularity : float64 [n_items]
        How many people have each item.
    """

    def __init__(self, model: Any, item_features: Any, popularity: npt.NDArray[Any]) -> None:
        self.items = PreparedItems(*model.get_item_representations(item_features))
        self._popularity = popularity

    @cached_property
    def popular(self) -> PreparedItems:
        """Items that score by how many people have them."""
        biases = np.log1p(self._popularity).astype(np.float32)
        return PreparedItems(biases, np.zeros((len(biases), 1), np.float32))

    @cached_property
    def neighbours(self) -> PreparedItems:
        """Items that score by the cosine of their vectors."""
        nothing = np.zeros(self.items.n, np.float32)
        return PreparedItems(nothing, directions(self.items.vectors))


class Rules(NamedTuple):
    """What a list may hold, as rows of items, and the dials."""

    candidates: Any  # None, rows for all, or csr for each
    exclude: Any  # csr of all known people's items that are left out, or None
    at_most: tuple[tuple[Any, int], ...]
    popularity: float
    diversity: float

    def part(self, at: slice) -> Rules:
        if sp.issparse(self.candidates):
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
        allowed[rows_of_items(shop, deny, "deny")] = False
    candidates = None if items is None else _candidates(shop, items, n_people)
    if allowed is not None:
        if candidates is None:
            candidates = np.flatnonzero(allowed).astype(np.int32)
        elif sp.issparse(candidates):
            candidates = candidates.multiply(allowed.astype(np.float32)).tocsr()
            candidates.eliminate_zeros()
        else:
            candidates = candidates[allowed[candidates]]
    quotas = []
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


def _columns(shop: Any, argument: str) -> Any:
    if shop.item_columns_ is None:
        raise ValueError(
            f"{argument} needs columns of items, and this recommender was fitted without a table "
            "of them; call fit(..., items=table)"
        )
    return shop.item_columns_


def rows_of_items(shop: Any, ids: Any, argument: str) -> npt.NDArray[np.int32]:
    """Rows of items that must be known."""
    if isinstance(ids, str | bytes) or not hasattr(ids, "__iter__"):
        ids = [ids]
    ids = ids.tolist() if hasattr(ids, "tolist") else list(ids)
    return shop.dataset_.items_to_ids(ids) if ids else np.empty(0, np.int32)


def _candidates(shop: Any, items: Any, n_people: int) -> Any:
    """Rows for all, or csr [n_people, n_items] where there is a list for each."""
    if isinstance(items, str | bytes) or not hasattr(items, "__iter__"):
        items = [items]
    items = items.tolist() if hasattr(items, "tolist") else list(items)
    each = [one for one in items if isinstance(one, list | set | np.ndarray)]
    if not each:
        return np.unique(rows_of_items(shop, items, "items"))
    if len(each) != n_people:
        raise ValueError(
            f"items must be ids for all, or a list of ids for each of the {n_people} people, got "
            f"{len(items)} elements, of which {len(each)} are lists"
        )
    flat = [one for some in items for one in some]
    owners = np.repeat(np.arange(n_people), [len(one) for one in items])
    entries = np.ones(len(flat), np.float32), (owners, rows_of_items(shop, flat, "items"))
    return sp.csr_matrix(entries, shape=(n_people, len(shop.item_ids_)))


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
    vectors, source = vectors_of(shop, people, threads)
    exclude = people.history
    if given.exclude is not None and exclude is None:
        exclude = rows_at(given.exclude, people.numbers)
    ids = np.empty((len(people), k), np.int32)
    scores = np.empty((len(people), k), np.float32)
    serving: Serving = shop._serving
    for items, at in (
        (serving.items, np.flatnonzero(source != POPULAR)),
        (serving.popular, np.flatnonzero(source == POPULAR)),
    ):
        if not len(at):
            continue
        candidates = given.candidates
        ids[at], scores[at] = lists.best(
            items,
            (vectors[0][at], vectors[1][at]),
            k,
            exclude=None if exclude is None else exclude[at],
            candidates=candidates[at] if sp.issparse(candidates) else candidates,
            at_most=given.at_most,
            popularity=(given.popularity, serving.popularity_shift),
            diversity=given.diversity,
            num_threads=threads,
        )
    return Lists(people, ids, scores, source)


def rows_at(matrix: Any, numbers: npt.NDArray[np.int64]) -> Any:
    """The rows of a CSR matrix with these numbers, empty ones for -1."""
    if (numbers >= 0).all():
        return matrix[numbers]
    nothing = sp.csr_matrix((1, matrix.shape[1]), dtype=matrix.dtype)
    known = numbers >= 0
    places = np.where(known, np.cumsum(known) - 1, known.sum())
    return sp.vstack([matrix[numbers[known]], nothing], format="csr")[places]


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


def similar_items(
    shop: Any, items: Any, k: int, where: Any, num_threads: int | None
) -> dict[str, Any]:
    """The columns of a table of neighbours; see `Recommender.similar_items`."""
    rows = np.arange(len(shop.item_ids_)) if items is None else rows_of_items(shop, items, "items")
    candidates = None
    if where is not None:
        candidates = np.flatnonzero(_columns(shop, "where").mask(where)).astype(np.int32)
    neighbours = shop._serving.neighbours
    vectors = neighbours.vectors[rows]
    itself = sp.csr_matrix(
        (np.ones(len(rows), np.float32), rows, np.arange(len(rows) + 1)),
        shape=(len(rows), neighbours.n),
    )
    ids, scores = neighbours.best(
        (np.zeros(len(rows), np.float32), vectors),
        k,
        exclude=itself,
        candidates=candidates,
        num_threads=num_threads,
    )
    filled = ids >= 0
    return {
        "item": shop.item_ids_[np.repeat(rows, filled.sum(axis=1))],
        "rank": np.broadcast_to(np.arange(1, k + 1), ids.shape)[filled],
        "similar": shop.item_ids_[ids[filled]],
        "score": scores[filled],
    }


def table_of_vectors(shop: Any, name: str, features: bool) -> dict[str, Any]:
    """The columns of a table of vectors; see `Recommender.user_table`."""
    side = getattr(shop, f"_{name}s")
    matrix = getattr(shop, f"{name}_features_")
    biases, vectors = getattr(shop.model_, f"get_{name}_representations")(matrix)
    found = {name: getattr(shop, f"{name}_ids_"), "bias": biases.copy()}
    for place in range(vectors.shape[1]):
        found[f"vector_{place}"] = vectors[:, place].copy()
    if features and side.encoder is not None:
        dense = side.encoded.toarray()
        for place, feature in enumerate(side.encoder.feature_names_):
            found[feature] = dense[:, place]
    return found
