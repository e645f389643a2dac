"""Items made ready once, for any number of requests: best lists, ranks, scores, cosines.

Vectors go to the compiled core with the items packed once; selection is fused behind the scores,
which never leave the cache.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from lightfm_clone import _checks as checks
from lightfm_clone import _core
from lightfm_clone._model.state import directions
from lightfm_clone.typing import CsrMatrix, Floats, RankedLists

_FEW = 12  # up to this many users, packing the items costs more than it saves
# Codes cost about what they save so many users who are asked about alone. So nobody who asks once,
# for a few, pays for codes, and nobody ever twice what the better way would have cost.
_BEFORE_CODES = 12
_PAIR = 16  # to score and sort one pair alone costs as much as so many pairs of a scan
_MASKED = 1 << 22  # pairs of users and items that a mask is made for at a time

# Entries of a matrix: row r has indices[indptr[r] : indptr[r + 1]]; int64 and int32, as CSR.
_Entries = tuple[Any, Any]
# Biases, vectors and, where there is an influence, histories.
_Users: TypeAlias = tuple[Any, ...]


class PreparedItems:
    """Representations of items, and what can be asked of them.

    Parameters
    ----------
    biases : float32 [n]
    vectors : float32 [n, no_components]
        Finite (`of` and `Rows.rankable` check that). They are kept, not copied, and must not change
        while this object is in use.
    influence : CSR matrix float32 [n_history, n], optional
        What items of users' histories add to the scores: row j holds the items that j speaks for.
        Finite, and kept in the same way.

    Notes
    -----
    A packed copy, as large as the vectors, is made when more than a few users ask at once for the
    first time, and one of the influence, 6 bytes an entry and 4 a row for each 32,768 items. Codes,
    a quarter of the vectors and 4 bytes an item, are made when a few have asked often. None of them
    changes a list. Threads may share an object.

    Users are biases float32 [n_users] and vectors float32 [n_users, no_components], whose scores
    are b_u + b_i + q_u · p_i. Where there is an influence B, histories come third, a valid CSR
    matrix h, float32 [n_users, n_history], finite, and h_u · B_i is added. Vectors may have no
    components at all. A constant that is part of all scores, such as `global_mean_` of a model,
    belongs to the biases of the users.
    """

    def __init__(self, biases: Any, vectors: Any, influence: CsrMatrix | None = None) -> None:
        self.biases: Floats = checks.contiguous(biases, np.float32)
        self.vectors: Floats = checks.contiguous(vectors, np.float32)
        self.n = len(self.biases)
        self._influence = None if influence is None else _Influence(influence, self.n)
        self._as_they_lie = self._items(packed=False)
        self._codes = _Codes(self.vectors)

    @classmethod
    def of(cls, model: Any, item_features: Any = None) -> PreparedItems:
        """The items of a model, or of whatever else has its `get_item_representations`, with the
        neighbours that stand beside it."""
        representations = model.get_item_representations(item_features)
        biases, vectors = checks.check_rankable("item", *representations)
        beside = getattr(model, "beside", None)
        return cls(biases, vectors, None if beside is None else beside.of_items(len(biases)))

    @property
    def has_influence(self) -> bool:
        """Whether users come with histories."""
        return self._influence is not None

    def with_biases(self, biases: Any) -> PreparedItems:
        """These items with other biases, float32 [n]; what was made of the vectors is shared."""
        others = PreparedItems(biases, self.vectors)
        others._codes = self._codes
        others._influence = self._influence
        others._as_they_lie = others._items(packed=False)
        return others

    def best(
        self,
        users: _Users,
        k: int,
        *,
        exclude: Any = None,
        candidates: Any = None,
        num_threads: int | None = 1,
    ) -> RankedLists:
        """The k best items of each user, best first; of equal scores the lower row comes first.

        Beside the result, memory grows with the entries of `exclude` and `candidates` alone. Who
        has many users asks for some thousand at a time.

        Parameters
        ----------
        users : biases float32 [n_users], vectors float32 [n_users, no_components]
            And their histories where there is an influence.
        k : int
        exclude : valid CSR matrix [n_users, n], optional
            What each user does not get: every stored entry.
        candidates : int32 [n_candidates] or valid CSR matrix [n_users, n], default all
            The only items to choose from: rows, ascending and distinct, that are the same for all
            users; or for each user the stored entries of their row.
        num_threads : int or None, default 1

        Returns
        -------
        ids : int32 [n_users, k]
            -1 where no item is left.
        scores : float32 [n_users, k]
            -infinity where no item is left.

        Raises
        ------
        ValueError
            For k or num_threads that is no count, for users whose representations are NaN or
            infinite, and matrices of another shape.
        """
        checks.check_k(k)
        threads = checks.check_num_threads(num_threads)
        checks.check_rankable("user", users[0], users[1])
        n_users = len(users[0])
        known = self._entries(exclude, "exclude", n_users)
        if candidates is None:
            return self._best(users, k, *known, threads)
        if checks.is_sparse(candidates):
            own = self._entries(candidates, "candidates", n_users)
        elif n_users > _FEW:
            influence = self._influence.of_items(candidates) if self._influence else None
            some = PreparedItems(self.biases[candidates], self.vectors[candidates], influence)
            return best_among(some, candidates, users, k, exclude=exclude, num_threads=threads)
        else:
            own = np.arange(n_users + 1) * len(candidates), np.tile(candidates, n_users)
        if len(own[1]) * _PAIR < n_users * self.n:
            return self._best_of_pairs(users, k, known, own, threads)
        return self._best_of_mask(users, k, known, own, threads)

    def ranks(
        self,
        users: _Users,
        test: Any,
        exclude: Any = None,
        *,
        check_intersections: bool = False,
        num_threads: int | None = 1,
    ) -> CsrMatrix:
        """How many items score at least as high as those of `test`: 0 is best.

        Parameters
        ----------
        users : biases float32 [n_users], vectors float32 [n_users, no_components]
            Finite. And their histories where there is an influence.
        test : valid CSR matrix [n_users, n]
        exclude : valid CSR matrix [n_users, n], optional
            Items that do not count: every stored entry.
        check_intersections : bool, default False
            Whether to refuse matrices that share entries.
        num_threads : int or None, default 1

        Returns
        -------
        CSR matrix float32 [n_users, n]
            The entries of `test`, their ranks as values.

        Raises
        ------
        ValueError
            For matrices of other shapes, and for shared entries.
        """
        threads = checks.check_num_threads(num_threads)
        n_users = len(users[0])
        entries = self._entries(exclude, "exclude", n_users)
        ranks: CsrMatrix = test.copy()  # `astype` would sort rows, and the ranks would not follow
        indptr, indices, _ = checks.csr_parts(test)
        histories = self._histories(users)
        columns = self._influence.columns if self._influence else None
        ranks.data, is_excluded = self._packed.ranks(
            users[0], users[1], indptr, indices, *entries, threads, histories, columns
        )
        # An entry that is stored as 0 on either side is not shared.
        if check_intersections and is_excluded.any() and test.astype(bool).multiply(exclude).nnz:
            raise ValueError(
                "test_interactions and train_interactions share entries, so the ranks would be too "
                "good; remove them from one, or pass check_intersections=False"
            )
        return ranks

    def scores(self, users: _Users, ids: Any, *, num_threads: int | None = 1) -> Floats:
        """Scores float32 [n_users, k] of lists int32 [n_users, k]; -infinity for -1."""
        threads = checks.check_num_threads(num_threads)
        there = ids >= 0
        rows = np.flatnonzero(there) // max(ids.shape[1], 1)
        scores = np.full(ids.shape, -np.inf, dtype=np.float32)
        scores[there] = self.scores_of_pairs(users, rows, ids[there], num_threads=threads)
        return scores

    def scores_of_pairs(
        self, users: _Users, rows: Any, ids: Any, *, num_threads: int | None = 1
    ) -> Floats:
        """Scores float32 [n] of pairs: rows int [n] of the users, ids int [n] of the items.

        Fastest where the pairs of a user follow each other.
        """
        threads = checks.check_num_threads(num_threads)
        rows, ids = rows.astype(np.int32), ids.astype(np.int32)
        histories = self._histories(users)
        scores: Floats = _core.score_pairs(
            users[0], users[1], self.biases, self.vectors, rows, ids, threads
        )
        if self._influence and len(rows):
            columns, n_rows = self._influence.columns, self._influence.n_rows
            _core.add_influence(scores, histories, columns, rows, ids, n_rows, threads)
        return scores

    def cosines(self, rows: Any, others: Any, *, num_threads: int | None = 1) -> Floats:
        """Cosines float32 [n, m] of the vectors of rows int32 [n] with others int32 [n, m].

        0 where one of the two is all zeros.
        """
        threads = checks.check_num_threads(num_threads)
        same = self.as_directions.biases, self.as_directions.vectors
        pairs = np.repeat(rows, others.shape[1]), others.ravel()
        cosines: Floats = _core.score_pairs(*same, *same, *pairs, threads)
        return cosines.reshape(others.shape)

    @cached_property
    def _packed(self) -> _core.Items:
        return self._items(packed=True)

    @cached_property
    def as_directions(self) -> PreparedItems:
        """The same items without biases, their vectors of length 1: scores are cosines."""
        return PreparedItems(np.zeros_like(self.biases), directions(self.vectors))

    def _items(self, *, packed: bool) -> _core.Items:
        influence = self._influence
        how = None if influence is None else influence.cut if packed else influence.whole
        return _core.Items(self.biases, self.vectors, packed, how)

    def _histories(self, users: _Users) -> Any:
        """The histories as the core reads them; None where they play no part."""
        if self._influence is None:
            return None
        biases, _, histories = users
        expected = len(biases), self._influence.n_rows
        if histories.shape != expected:
            raise ValueError(
                f"histories must have shape {expected}, a row for each user and a column for each "
                f"row of the influence, got {histories.shape}"
            )
        if not np.isfinite(histories.data).all():
            raise ValueError("the histories of some users are NaN or infinite: there is no ranking")
        return checks.csr_parts(_canonical(histories))

    def _entries(self, matrix: Any, name: str, n_users: int) -> _Entries:
        """The entries of a matrix, sorted; None has none."""
        if matrix is None:
            return np.zeros(n_users + 1, dtype=np.int64), np.empty(0, dtype=np.int32)
        if matrix.shape != (n_users, self.n):
            raise ValueError(
                f"{name} must have shape {(n_users, self.n)}, a row for each user asked for and a "
                f"column for each item, got {matrix.shape}"
            )
        if not matrix.has_sorted_indices:
            matrix = matrix.sorted_indices()
        indptr, indices, _ = checks.csr_parts(matrix)
        return indptr, indices

    def _keys(self, entries: _Entries, first: int, end: int) -> Any:
        """Entries of rows first .. end, as int64 numbers row * n + index, from row `first` on."""
        indptr, indices = entries[0][first : end + 1], entries[1]
        rows = np.repeat(np.arange(end - first), np.diff(indptr))
        return rows * self.n + indices[indptr[0] : indptr[-1]]

    def _best(self, users: _Users, k: int, indptr: Any, excluded: Any, threads: int) -> RankedLists:
        """The best of all items, by a scan."""
        n_users = len(users[0])
        ids = np.empty((n_users, k), dtype=np.int32)
        scores = np.empty((n_users, k), dtype=np.float32)
        few = n_users <= _FEW
        items = self._as_they_lie if few else self._packed
        histories = self._histories(users)
        codes = self._codes.for_users(n_users) if few and histories is None else None
        items.best(
            users[0],
            users[1],
            indptr[:-1],
            indptr[1:],
            excluded,
            ids,
            scores,
            threads,
            codes,
            histories,
        )
        return ids, scores

    def _best_of_pairs(
        self, users: _Users, k: int, known: _Entries, own: _Entries, threads: int
    ) -> RankedLists:
        """The best of each user's own candidates, which are scored alone."""
        n_users = len(users[0])
        pairs, left_out = (self._keys(entries, 0, n_users) for entries in (own, known))
        # Both are sorted. (np.unique and np.setdiff1d take 20 times as long as this does.)
        stays = np.ones(len(pairs), dtype=bool)
        stays[1:] = pairs[1:] != pairs[:-1]
        at = np.searchsorted(left_out, pairs)
        stays &= np.append(left_out, -1)[at] != pairs
        rows, items = np.divmod(pairs[stays], self.n)
        of_pairs = self.scores_of_pairs(users, rows, items, num_threads=threads)
        order = np.argsort(_descending(rows, of_pairs), kind="stable")
        places = np.arange(len(rows)) - np.searchsorted(rows, rows)
        best = places < k
        at, order = (rows[best], places[best]), order[best]
        ids = np.full((n_users, k), -1, dtype=np.int32)
        scores = np.full((n_users, k), -np.inf, dtype=np.float32)
        ids[at], scores[at] = items[order], of_pairs[order]
        return ids, scores

    def _best_of_mask(
        self, users: _Users, k: int, known: _Entries, own: _Entries, threads: int
    ) -> RankedLists:
        """The best of each user's own candidates, by a scan that leaves out the others."""
        n_users = len(users[0])
        ids = np.empty((n_users, k), dtype=np.int32)
        scores = np.empty((n_users, k), dtype=np.float32)
        step = max(1, _MASKED // max(self.n, 1))
        for first in range(0, n_users, step):
            end = min(first + step, n_users)
            left_out = np.ones((end - first) * self.n, dtype=bool)
            left_out[self._keys(own, first, end)] = False
            left_out[self._keys(known, first, end)] = True
            keys = np.flatnonzero(left_out)
            begins = np.arange(end - first + 1) * self.n
            indptr = np.searchsorted(keys, begins)
            others = (keys - np.repeat(begins[:-1], np.diff(indptr))).astype(np.int32)
            at = slice(first, end)
            some = tuple(of[at] for of in users)
            ids[at], scores[at] = self._best(some, k, indptr, others, threads)
        return ids, scores


class _Influence:
    """What items of histories add to the scores of others, as the core reads it."""

    def __init__(self, matrix: CsrMatrix, n: int) -> None:
        if matrix.shape[1] != n:
            raise ValueError(f"influence must have a column for each of {n} items: {matrix.shape}")
        self._matrix = _canonical(matrix)
        self.n_rows = matrix.shape[0]
        self.whole = _core.Influences(checks.csr_parts(self._matrix), n, False)

    @cached_property
    def cut(self) -> _core.Influences:
        """The same in tiles, which packed items take."""
        return _core.Influences(checks.csr_parts(self._matrix), self._matrix.shape[1], True)

    @cached_property
    def columns(self) -> Any:
        """The same by the item that is spoken for, which scores of single items take."""
        return checks.csr_parts(self._matrix.tocsc())

    def of_items(self, items: Any) -> CsrMatrix:
        return self._matrix[:, items]


class _Codes:
    """8-bit codes of vectors, made when they pay."""

    def __init__(self, vectors: Floats) -> None:
        self._vectors = vectors
        self._n_asked = 0
        self._codes: _core.Codes | None = None

    def for_users(self, n: int) -> _core.Codes | None:
        """Codes for a scan for n users, or None where it does without."""
        if self._codes is None and self._n_asked >= _BEFORE_CODES:
            self._codes = _core.Codes(self._vectors)
        self._n_asked += n
        return self._codes


def _canonical(matrix: CsrMatrix) -> CsrMatrix:
    """float32, with sorted and distinct entries; the same one where it is that."""
    if matrix.dtype == np.float32 and matrix.has_canonical_format:
        return matrix
    matrix = matrix.astype(np.float32)  # a copy
    matrix.sum_duplicates()
    return matrix


def _descending(rows: Any, scores: Floats) -> Any:
    """Keys int64 [n] that order by rising row, then by falling score.

    `np.lexsort` does the same in four times the time.
    """
    bits = (0 - scores).view(np.int32)  # of numbers below 0, the larger has the lower bits
    return (rows << 32) + np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)


def best_among(
    items: PreparedItems,
    rows: Any,
    users: _Users,
    k: int,
    *,
    exclude: Any,
    num_threads: int | None,
) -> RankedLists:
    """The best items, as `PreparedItems.best`, where these are some rows of a catalogue.

    `rows`, int32 [items.n], ascending, are theirs, and `exclude` and the lists are of rows of the
    catalogue. None stands for all of it.
    """
    if rows is None:
        return items.best(users, k, exclude=exclude, num_threads=num_threads)
    if exclude is not None:
        exclude = exclude[:, rows]
    places, scores = items.best(users, k, exclude=exclude, num_threads=num_threads)
    return np.append(rows, np.int32(-1))[places], scores
