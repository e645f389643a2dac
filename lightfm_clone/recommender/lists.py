"""Best lists under rules and dials: what is left out, quotas, popularity, diversity.

Everything here is of rows and arrays; ids and tables are the caller's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from lightfm_clone import _checks as checks
from lightfm_clone._model.prepared import PreparedItems
from lightfm_clone.typing import Floats, RankedLists

_ENTRIES = 1 << 20  # of pools that are held at a time
_SAMPLED = 64  # users whose scores of all items are looked at, where no vectors tell them


def best(
    items: PreparedItems,
    users: tuple[Any, ...],
    k: int,
    *,
    exclude: Any = None,
    candidates: Any = None,
    at_most: Sequence[tuple[Any, int]] = (),
    popularity: tuple[float, Any] | None = None,
    diversity: float = 0.0,
    num_threads: int | None = 1,
) -> RankedLists:
    """The k best items of each user, best first; of equal scores the lower row comes first.

    Parameters
    ----------
    items : PreparedItems
    users : biases float32 [n_users], vectors float32 [n_users, no_components]
        Who has many users asks for some thousand at a time.
    k : int
    exclude, candidates
        As `PreparedItems.best` takes them; what they leave are a user's allowed items.
    at_most : sequence of (codes int [items.n], n)
        Of the items with the same code a list holds n at most. Items with a code of -1 are not
        limited. The list is the greedy one: the items in their order, without those that find one
        of their quotas full. For a single column of codes no other list has a higher sum of scores.
    popularity : (dial, shift), optional
        The order is that of score + dial * shift, exactly; `shift`, float32 [items.n], comes from
        `popularity_shift`. A negative dial prefers the long tail, and 0 changes nothing.
    diversity : float in [0, 1), default 0
        Lists by maximal marginal relevance: the next item i is always the one of highest ::

            (1 - diversity) * relevance_i - diversity * max of cos(i, j) over all j in the list

        where relevance is the score (with the shift), scaled to [0, 1] over the user's pool, and
        cos the cosine of two item vectors. The pool are the max(10 k, 100) best of the allowed
        items, four times as many as long as quotas leave the list short. 0 gives the plain list.
        (Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering
        documents and producing summaries", SIGIR 1998.)
    num_threads : int or None, default 1

    Returns
    -------
    ids : int32 [n_users, k]
        -1 where no item is left.
    scores : float32 [n_users, k]
        The model's own, whatever the dials; -infinity where no item is left.

    Raises
    ------
    ValueError
        For a dial or a quota that is none, and as `PreparedItems.best`.
    """
    checks.check_k(k)
    if not checks.is_real(diversity) or not 0 <= diversity < 1:
        raise ValueError(
            f"diversity must be a number from 0, the plain list, to below 1, got {diversity!r}"
        )
    for _, most in at_most:
        if not checks.is_integer(most) or not 1 <= most <= checks.MAX_ID:
            raise ValueError(
                "at_most must be a whole number of at least 1 for each column, got "
                f"{most!r}; to leave items out altogether, make them no candidates"
            )
    ordered = items
    if popularity is not None:
        dial, shift = popularity
        if not checks.is_real(dial) or not math.isfinite(dial):
            raise ValueError(
                "popularity must be a finite number, above 0 for popular items and below 0 for the "
                f"long tail, got {dial!r}"
            )
        if dial != 0:
            ordered = items.with_biases(items.biases + np.float32(dial) * shift)
    if at_most or diversity:
        # Of `items`, which find the directions of their vectors once and not at every call.
        cosines = partial(items.cosines, num_threads=num_threads)
        choose = partial(_choose, k, at_most, float(diversity), cosines)
        size = max(10 * k, 100) if diversity else 2 * k
        ids, scores = _from_pools(choose, size, ordered, users, k, exclude, candidates, num_threads)
    else:
        ids, scores = ordered.best(
            users, k, exclude=exclude, candidates=candidates, num_threads=num_threads
        )
    if ordered is not items:
        scores = items.scores(users, ids, num_threads=num_threads)
    return ids, scores


def popularity_shift(items: PreparedItems, users: tuple[Any, ...], counts: Any) -> Floats:
    """What a dial of 1 for popularity adds to the score of each item, float32 [items.n].

    The shift of item i is s * z_i. z is log(1 + count), standardised over all items; s is the
    standard deviation of a user's scores over all items, the root mean square of that of `users`.
    So a dial of 1 gives popularity as much say as the model has.

    Parameters
    ----------
    items : PreparedItems
    users : biases float32 [n], vectors float32 [n, no_components]
        At least one; some thousand stand for all.
    counts : numbers [items.n]
        How often each item occurs, of at least 0.
    """
    logs = np.log1p(np.asarray(counts, dtype=np.float64))
    if not items.n or logs.min() == logs.max():
        return np.zeros(items.n, dtype=np.float32)
    if items.has_influence:
        some = tuple(part[:_SAMPLED] for part in users)
        everything = np.tile(np.arange(items.n, dtype=np.int32), (len(some[0]), 1))
        of_users = items.scores(some, everything).var(axis=1, dtype=np.float64)
        return _shift(of_users, logs)
    # The variance of b_i + q_u · p_i over the items, for all users from one covariance matrix.
    columns = np.column_stack([items.biases, items.vectors])
    columns -= columns.mean(axis=0, dtype=np.float64).astype(np.float32)
    covariance = (columns.T @ columns) / items.n
    of_users = np.column_stack([np.ones_like(users[0]), users[1]])
    variances = np.sum(of_users @ covariance * of_users, axis=1, dtype=np.float64)
    return _shift(variances, logs)


def _shift(variances: Any, logs: Any) -> Floats:
    """z, the standardised logarithms, times the root mean square of users' deviations."""
    spread = np.sqrt(variances.mean().clip(0))  # by rounding it may be below 0
    shift: Floats = (spread * (logs - logs.mean()) / logs.std()).astype(np.float32)
    return shift


def _from_pools(
    choose: Callable[[Any, Any], RankedLists],
    size: int,
    items: PreparedItems,
    users: tuple[Any, ...],
    k: int,
    exclude: Any,
    candidates: Any,
    num_threads: int | None,
) -> RankedLists:
    """Lists chosen from pools of the `size` best items, which grow until the lists are full."""
    n_users = len(users[0])
    ids = np.full((n_users, k), -1, dtype=np.int32)
    scores = np.full((n_users, k), -np.inf, dtype=np.float32)
    short = np.arange(n_users if items.n else 0)
    while len(short):
        size = min(size, items.n)
        step = max(1, _ENTRIES // size)
        still_short = []
        for first in range(0, len(short), step):
            rows = short[first : first + step]
            own = candidates[rows] if checks.is_sparse(candidates) else candidates
            pool = items.best(
                tuple(part[rows] for part in users),
                size,
                exclude=None if exclude is None else exclude[rows],
                candidates=own,
                num_threads=num_threads,
            )
            ids[rows], scores[rows] = choose(*pool)
            has_more = (pool[0][:, -1] >= 0) & (size < items.n)
            still_short.append(rows[has_more & (ids[rows, -1] < 0)])
        short = np.concatenate(still_short)
        size *= 4  # a scan takes about as long whatever the size
    return ids, scores


def _choose(
    k: int,
    at_most: Sequence[tuple[Any, int]],
    diversity: float,
    cosines: Callable[[Any, Any], Floats],
    pool: Any,
    scores: Any,
) -> RankedLists:
    """Lists [n, k] out of pools [n, size], which are sorted, item by item for all users at once."""
    n, size = pool.shape
    each = np.arange(n)
    is_open = pool >= 0
    pool = np.maximum(pool, 0)  # what is no item is not open; it may stand for any
    # Of each column the codes, and how many more items of that code the list may take.
    quotas = []
    for codes, most in at_most:
        of_pool = np.asarray(codes)[pool]
        quotas.append((of_pool, np.where(of_pool < 0, size + 1, min(most, size)).astype(np.int32)))
    if diversity:
        low = np.min(scores, axis=1, where=is_open, initial=np.inf)
        spread = scores[:, 0] - low
        relevance = (scores - low[:, None]) / np.where(spread > 0, spread, 1)[:, None]
        worth = np.float32(1 - diversity) * relevance
        nearest = np.full(pool.shape, -1, dtype=np.float32)  # as far from the list as can be
    ids = np.full((n, k), -1, dtype=np.int32)
    of_ids = np.full((n, k), -np.inf, dtype=np.float32)
    for place in range(min(k, size)):
        if diversity:
            marginal = worth - np.float32(diversity) * nearest
            pick = np.where(is_open, marginal, -np.inf).argmax(axis=1)
        else:
            pick = is_open.argmax(axis=1)
        is_taken = is_open[each, pick]
        ids[:, place] = np.where(is_taken, pool[each, pick], -1)
        of_ids[:, place] = np.where(is_taken, scores[each, pick], -np.inf)
        is_open[each, pick] = False
        for codes, slots in quotas:
            slots -= codes == codes[each, pick][:, None]
            is_open &= slots > 0
        if diversity and place + 1 < min(k, size):
            np.maximum(nearest, cosines(pool[each, pick], pool), out=nearest)
    return ids, of_ids
