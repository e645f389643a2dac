"""Top-N lists and nearest neighbours.

The items are prepared once, and the vectors of users made in blocks of _BLOCK. Beside the result (8
bytes for each of its entries) and the vectors of the items, twice, a call needs the vectors and the
excluded items of one block, however many users it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp

from lightfm_clone import _checks as checks
from lightfm_clone._model.beside import Beside
from lightfm_clone._model.prepared import PreparedItems, best_among
from lightfm_clone._model.state import Rows, check_fitted, directions, users_as_they_are
from lightfm_clone.typing import FeatureMatrix, Interactions, RankedLists, Representations
from lightfm_clone.typing import Rows as RowNumbers

_BLOCK = 4096  # users whose vectors are made at a time

# A slice of the users that are asked about -> their representations, with their histories where
# neighbours stand beside the model, and what they do not get.
_UsersAt: TypeAlias = Callable[[slice], tuple[Any, Any]]


def recommend(
    model: Any,
    user_ids: Any,
    k: int,
    *,
    user_features: Any,
    item_features: Any,
    exclude: Any,
    items: Any,
    user_representations: Any,
    num_threads: int | None,
    beside: Beside | None = None,
) -> RankedLists:
    """See `LightFM.recommend`."""
    check_fitted(model)
    threads = checks.check_num_threads(num_threads)
    of_items = Rows(model, "item", item_features)
    candidates = None
    if items is not None:
        candidates = np.unique(of_items.numbers(items, "items"))
        if len(candidates) == of_items.n:
            candidates = None

    n_users, users_at = _request(
        model,
        user_ids,
        of_items.n,
        user_features=user_features,
        exclude=exclude,
        user_representations=user_representations,
        beside=beside,
    )
    influence = None if beside is None else beside.of_items(of_items.n, candidates)
    prepared = PreparedItems(*of_items.rankable(candidates), influence)
    best = partial(best_among, prepared, candidates, num_threads=threads)
    return _lists(n_users, users_at, best, k)


class PreparedModel:
    """A model made ready for many requests: what `LightFM.prepare` returns.

    Features of items are summed, checked and packed once, so a request costs what its users and
    the scan of the items cost. The lists are those of `LightFM.recommend`.

    It keeps what it was made of. A model that is fitted again, or whose arrays are assigned,
    changes nothing here: prepare it anew, and put the new object in the place of the old one.
    Threads may share an object. Processes cannot: it is not pickled, so each prepares its own from
    the model.

    Notes
    -----
    Memory: copies of the users' embeddings and biases (of user features, where the model has some)
    and the vectors of the items, 4 bytes a component each. Two further forms of the items are made
    when they are first of use: a packed copy, 4 bytes a component, when more than a dozen users
    are asked about at once; and codes, 1 byte a component and 4 an item, when a dozen have been
    asked about in smaller numbers. The codes choose which items may be among the best, and the
    vectors decide, so the lists are exact with and without them.

    Examples
    --------
    >>> from lightfm_clone import LightFM
    >>> from lightfm_clone.datasets import synthetic_catalogue
    >>> films = synthetic_catalogue(random_state=0)
    >>> model = LightFM(loss="warp", random_state=0)
    >>> model = model.fit(films.interactions, item_features=films.item_features, epochs=5)
    >>> service = model.prepare(item_features=films.item_features)
    >>> ids, scores = service.recommend(3, k=4, exclude=films.interactions)
    >>> ids.shape
    (1, 4)
    """

    def __init__(self, model: Any, item_features: Any, beside: Beside | None = None) -> None:
        check_fitted(model)
        items = Rows(model, "item", item_features)
        self._noun = items.noun
        influence = None if beside is None else beside.of_items(items.n)
        # Copies: without features, the model's own arrays may be among them, live.
        biases, vectors = items.rankable()
        self._items = PreparedItems(biases.copy(), vectors.copy(), influence)
        self._users = users_as_they_are(model)
        self._beside = beside

    @checks.names_ours
    def recommend(
        self,
        user_ids: RowNumbers | None = None,
        k: int = 10,
        *,
        user_features: FeatureMatrix | None = None,
        exclude: Interactions | None = None,
        items: RowNumbers | None = None,
        user_representations: Representations | None = None,
        num_threads: int | None = 1,
    ) -> RankedLists:
        """The k best items of each user, best first, as `LightFM.recommend` gives them.

        Parameters
        ----------
        user_ids : int or integers [n], default all
        k : int, default 10
        user_features : sparse matrix [n_users, n_user_features], default identity
        exclude : sparse matrix [n_users, n_items], optional
            Items to leave out.
        items : integers, default all
            The only items to choose from.
        user_representations : (biases float32 [n], embeddings float32 [n, no_components]), optional
        num_threads : int or None, default 1

        Returns
        -------
        item_ids : int32 [n, k]
            Of equal scores the lower id comes first. Where fewer than k items are left, -1.
        scores : float32 [n, k]
            -infinity where there is no item.

        Raises
        ------
        ValueError
            If an id or a shape does not fit, or representations are NaN or infinite.
        """
        threads = checks.check_num_threads(num_threads)
        prepared = self._items
        candidates = None
        if items is not None:
            numbers = checks.check_ids(items, "items", prepared.n, self._noun, "item")
            candidates = np.unique(numbers)
            if len(candidates) == prepared.n:
                candidates = None
        n_users, users_at = _request(
            self._users,
            user_ids,
            prepared.n,
            user_features=user_features,
            exclude=exclude,
            user_representations=user_representations,
            beside=self._beside,
        )
        best = partial(prepared.best, candidates=candidates, num_threads=threads)
        return _lists(n_users, users_at, best, k)


def _request(
    model: Any,
    user_ids: Any,
    n_items: int,
    *,
    user_features: Any,
    exclude: Any,
    user_representations: Any,
    beside: Beside | None,
) -> tuple[int, _UsersAt]:
    """How many lists are asked for, and what makes a slice of their users and what these do not
    get."""
    histories_of: Callable[[Any], Any] | None = None
    if user_representations is None:
        of_users = Rows(model, "user", user_features)
        n_users, noun = of_users.n, of_users.noun
        vectors_of: Callable[[Any], Representations] = of_users.representations
        if beside is not None:
            beside.check_users(of_users.n)
            histories_of = beside.of_users
    elif user_features is not None:
        raise ValueError(
            "user_features and user_representations both say who the users are; pass one of them"
        )
    else:
        given = user_representations
        if beside is not None:
            given, history = beside.split(given)
            histories_of = lambda rows: history[rows]  # noqa: E731
        biases, vectors = checks.check_representations(
            given, "user_representations", np.shape(model.user_embeddings)[1]
        )
        n_users, noun = len(biases), "rows of user_representations"
        vectors_of = lambda rows: (biases[rows], vectors[rows])  # noqa: E731

    if user_ids is None:
        users = np.arange(n_users, dtype=np.int32)
    else:
        users = checks.check_ids(user_ids, "user_ids", n_users, noun, "user")
    known = None
    if exclude is not None:
        least_rows = n_users if user_ids is None else int(users.max()) + 1
        known = checks.check_exclude(exclude, least_rows, user_ids is None, n_items)
    shift = np.float32(model.global_mean_)

    def users_at(at: slice) -> tuple[Any, Any]:
        biases, vectors = vectors_of(users[at])
        histories = () if histories_of is None else (histories_of(users[at]),)
        left_out = None if known is None else known[users[at]]
        return (biases + shift, vectors, *histories), left_out

    return len(users), users_at


def similar(
    model: Any,
    side: str,
    ids: Any,
    k: int,
    *,
    features: Any,
    metric: str,
    among: Any,
    num_threads: int | None,
) -> RankedLists:
    """See `LightFM.similar_items`; `side` is "item" or "user"."""
    check_fitted(model)
    threads = checks.check_num_threads(num_threads)
    if metric not in ("cosine", "dot"):
        raise ValueError(f"metric must be 'cosine' or 'dot', got {metric!r}")
    rows = Rows(model, side, features)
    asked, candidates = np.arange(rows.n, dtype=np.int32), None
    if ids is not None:
        asked = rows.numbers(ids, f"{side}_ids")
    if among is not None:
        candidates = np.unique(rows.numbers(among, "among"))

    _, vectors = rows.representations()
    no_biases = np.zeros(rows.n, dtype=np.float32)
    checks.check_rankable(side, no_biases, vectors)
    if metric == "cosine":
        vectors = directions(vectors)
    nearest_of = no_biases, vectors
    if candidates is not None:
        nearest_of = no_biases[candidates], vectors[candidates]

    def users_at(at: slice) -> tuple[Any, Any]:
        here = asked[at]
        # Each is left out of its own list.
        themselves = sp.csr_matrix(
            (np.ones(len(here), dtype=bool), here, np.arange(len(here) + 1)),
            shape=(len(here), rows.n),
        )
        return (no_biases[here], vectors[here]), themselves

    best = partial(best_among, PreparedItems(*nearest_of), candidates, num_threads=threads)
    return _lists(len(asked), users_at, best, k)


def _lists(
    n_users: int, users_at: _UsersAt, best: Callable[..., RankedLists], k: int
) -> RankedLists:
    """The best items of all users, block by block, as `best(users, k, exclude=...)` gives them."""
    checks.check_k(k)
    ids = np.empty((n_users, k), dtype=np.int32)
    scores = np.empty((n_users, k), dtype=np.float32)
    for first in range(0, n_users, _BLOCK):
        at = slice(first, first + _BLOCK)
        users, exclude = users_at(at)
        ids[at], scores[at] = best(users, k, exclude=exclude)
    return ids, scores
