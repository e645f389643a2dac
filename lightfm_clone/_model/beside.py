"""What stands beside the factors of a model: items that speak for other items.

The score of a user u and an item i gets the further term ::

    sum over the items j of the user's history of  h_uj B_ji

where h is the user's row of a sparse matrix and B a sparse matrix of items by items. The term is
linear in the history, so a history is all that it needs of a person, known or not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from lightfm_clone import _checks as checks
from lightfm_clone import _core
from lightfm_clone._sparse import empty_rows, rows_at


class Beside(NamedTuple):
    """Items of the fit that speak for items, and what people have of them.

    Attributes
    ----------
    influence : CSR float32 [m, m]
        B, of the m items of the fit.
    columns : (indptr int64 [m + 1], items int32, weights float32)
        The same by the item that is spoken for: parts of CSC.
    histories : CSR float32 [n, m]
        What the n people of the fit have, as `weighted_rows` makes it.
    weight : float
        What the whole term is multiplied by, where histories are handed out.
    """

    influence: Any
    columns: tuple[Any, Any, Any]
    histories: Any
    weight: float

    def of_items(self, n: int, rows: Any = None) -> Any:
        """B for a catalogue of n items, the m of the fit first, or for some rows of it."""
        self.check_items(n)
        m, wide = self.influence.shape[0], self.influence
        if n > m:
            parts = wide.data, wide.indices, wide.indptr
            wide = sp.csr_matrix(parts, shape=(m, n), copy=False)
        return wide if rows is None else wide[:, rows]

    def of_users(self, rows: Any) -> Any:
        """The histories of rows, integers [n]; who came after the fit, or is -1, has none."""
        known = rows < self.histories.shape[0]
        some = rows_at(self.histories, rows if known.all() else np.where(known, rows, -1))
        some.data *= np.float32(self.weight)
        return some

    def speak_of_some(self, histories: Any) -> Any:
        """Which histories, CSR, have an item that speaks for or against any other, bool [n]."""
        speaks = np.diff(self.influence.indptr) > 0
        return np.diff(histories[:, speaks].indptr) > 0

    def weighted(self, likes: Any) -> Any:
        """Histories of what new people like, CSR of any number of items, the m of the fit first.

        Items that came after the fit say nothing of others.
        """
        m = self.influence.shape[0]
        histories = weighted_rows(likes[:, :m], m)
        histories.data *= np.float32(self.weight)
        return histories

    def of_item(self, item: int) -> Any:
        """Column `item` of B, float64 [m]: what each item says of it."""
        indptr, items, weights = self.columns
        at = slice(indptr[item], indptr[item + 1])
        column = np.zeros(self.influence.shape[0])
        column[items[at]] = weights[at]
        return column

    def add_to(self, scores: Any, users: Any, items: Any, n: int, num_threads: int) -> None:
        """Add the term to scores float32 [n_pairs] of pairs of rows, integers; a single user is
        paired with every item. The catalogue has n items."""
        distinct, places = np.unique(users, return_inverse=True)
        places = np.broadcast_to(places.astype(np.int32), len(items))
        m = self.influence.shape[0]
        indptr, *others = self.columns
        if n > m:
            indptr = np.append(indptr, np.full(n - m, indptr[-1]))
        _core.add_influence(
            scores,
            checks.csr_parts(self.of_users(distinct)),
            (indptr, *others),
            np.ascontiguousarray(places),
            items,
            m,
            num_threads,
        )

    def check_items(self, n: int) -> None:
        """Check that row i of n items can be item i of the fit, of whom the neighbours speak."""
        m = self.influence.shape[0]
        if n < m:
            raise ValueError(
                f"there must be a row for each of the {m} items of the fit, because row i is item "
                f"i, got {n}; pass the item_features of all items"
            )

    def check_users(self, n: int) -> None:
        """Check that row i of n users can be user i of the fit, whose history stands beside it."""
        if n < self.histories.shape[0]:
            raise ValueError(
                f"user_features must have a row for each of the {self.histories.shape[0]} users of "
                f"the fit, because row i has the history of user i, got {n}; pass "
                "user_representations=get_user_representations(rows) for people without a history"
            )

    def split(self, given: Any) -> tuple[Any, Any]:
        """Representations that a caller passes: biases and embeddings, and histories."""
        try:
            *of_model, history = given if len(given) == 3 else (*given, None)
            n, m = len(of_model[0]), self.influence.shape[0]
        except (TypeError, IndexError) as error:
            raise ValueError(
                "user_representations must be (biases, embeddings, histories), as fold_in_users "
                f"returns them, got {type(given).__name__}"
            ) from error
        if history is None:
            return of_model, empty_rows(n, m)
        checks.check_matrix(history, "user_representations")
        if history.shape != (n, m):
            raise ValueError(
                f"user_representations must have histories of shape {(n, m)}, a row for each user "
                f"and a column for each item of the fit, got {history.shape}"
            )
        return of_model, checks.as_csr(history, "user_representations")


def weighted_rows(likes: Any, m: int) -> Any:
    """Rows of likes, CSR, over the roots of how many there are, with m columns."""
    sizes = np.diff(likes.indptr)
    each = 1 / np.sqrt(np.maximum(sizes, 1), dtype=np.float32)
    values = likes.data * np.repeat(each, sizes)
    return sp.csr_matrix((values, likes.indices, likes.indptr), shape=(likes.shape[0], m))
