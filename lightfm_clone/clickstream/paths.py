"""Paths through items: steps, what share of them leads where, and longer ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lightfm_clone._tables import make
from lightfm_clone.clickstream.ordered import Counted, Numbers, grouped
from lightfm_clone.typing import Table


class Steps(NamedTuple):
    """Steps from one item to another within sessions. Who stays with an item makes none."""

    places: Numbers  # of the events that they lead to
    counts: Any  # CSR int64 [n_items, n_items]
    bits: npt.NDArray[np.float32]  # [n_steps], -log2 of the share of a step


@dataclass(frozen=True, eq=False, repr=False)
class Transitions:
    """How often each item led to each other within sessions: a Markov chain of first order.

    Attributes
    ----------
    item_ids : array [n_items]
    counts : csr_matrix of int64, shape (n_items, n_items)
        Row: the item before; column: the one after. Events of one item in a row are one stay, so
        the diagonal is empty.
    """

    item_ids: Any
    counts: Any
    _kind: str  # of tables

    @property
    def probabilities(self) -> Any:
        """The share of the steps from each item that lead to each other, CSR float64.

        Rows add up to 1, or are empty where an item was never followed by another.
        """
        made = self.counts.astype(np.float64)
        total = np.asarray(self.counts.sum(axis=1)).ravel()
        made.data /= np.repeat(total, np.diff(self.counts.indptr))
        return made

    def to_frame(self, k: int | None = None) -> Table:
        """The steps as a table, by item, the most frequent first.

        Parameters
        ----------
        k : int, optional
            At most so many of each item.

        Returns
        -------
        table
            With the columns "item", "next", "count" and "probability".
        """
        counts = self.counts
        rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
        order = np.lexsort((counts.indices, -counts.data, rows))
        if k is not None:
            order = order[np.arange(len(order)) - counts.indptr[rows] < k]
        columns = {
            "item": self.item_ids[rows[order]],
            "next": self.item_ids[counts.indices[order]],
            "count": counts.data[order],
            "probability": self.probabilities.data[order],
        }
        return make(self._kind, columns)

    def __repr__(self) -> str:
        n, total = len(self.item_ids), int(self.counts.sum())
        return f"Transitions({total:,} steps between {n:,} items, {self.counts.nnz:,} different)"


def steps_of(counted: Counted) -> Steps:
    items, n = counted.events.items, counted.events.n_items
    leads = np.zeros(len(items), dtype=bool)
    np.not_equal(items[1:], items[:-1], out=leads[1:])
    leads[counted.sessions.begins] = False
    places = np.flatnonzero(leads)
    before, after = items[places - 1], items[places]
    # By the item before, then the one after; equal steps are then neighbours.
    _, by_after = grouped(after, n)
    begins, by_before = grouped(before[by_after], n)
    order = by_after[by_before]
    before, after = before[order], after[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (before[1:] != before[:-1]) | (after[1:] != after[:-1])
    at = np.flatnonzero(first)
    how_often = np.diff(at, append=len(order))
    indptr = np.concatenate(([0], np.cumsum(first)))[begins]
    counts = sp.csr_matrix((how_often, after[at], indptr), shape=(n, n))
    counts.has_canonical_format = True
    share = how_often / np.diff(begins)[before[at]]
    bits = np.empty(len(order), dtype=np.float32)
    bits[order] = np.repeat(-np.log2(share), how_often)
    return Steps(places, counts, bits)


def frequent(counted: Counted, length: int, k: int) -> tuple[Numbers, Numbers, Numbers]:
    """The k most frequent paths: items int32 [k, length], counts, shares.

    The share is that of the last step among all that went on from the same items before. Of equal
    counts that of lower numbers of items comes first.
    """
    items, n = counted.events.items, counted.events.n_items
    comes = np.ones(len(items), dtype=bool)  # of an item in a row the first
    np.not_equal(items[1:], items[:-1], out=comes[1:])
    comes[counted.sessions.begins] = True
    places = np.flatnonzero(comes)
    items, session = items[places], counted.session_of[places]
    n_starts = max(len(session) - length + 1, 0)
    starts = np.flatnonzero(session[length - 1 :] == session[:n_starts])
    # A number for each way, in the order of the ways: all its items as digits, while they fit.
    ways = items[starts].astype(np.int64)
    most = n
    for step in range(1, length):
        if most * n >= 2**63:
            of_ways, ways = np.unique(ways, return_inverse=True)
            most = len(of_ways)
        ways = ways * n + items[starts + step]
        most *= n
    ordered = np.sort(ways)
    begins = np.flatnonzero(np.diff(ordered, prepend=-1))
    distinct, counts = ordered[begins], np.diff(begins, append=len(ordered))
    best = np.lexsort((distinct, -counts))[:k]
    found, counts = distinct[best], counts[best]
    before = found // n * n  # the first number that a way from the same items can have
    went_on = np.searchsorted(ordered, before + n) - np.searchsorted(ordered, before)
    # Somebody who went each of them.
    at = np.flatnonzero(np.isin(ways, found))
    _, first = np.unique(ways[at], return_index=True)
    someone = np.empty(len(best), dtype=np.intp)
    someone[np.argsort(found)] = starts[at[first]]
    return items[someone[:, None] + np.arange(length)], counts, counts / went_on
