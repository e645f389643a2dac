"""What the loaders return: interactions, with the names of all users, items and tags in them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp


@dataclass(frozen=True, eq=False, repr=False)
class Catalogue:
    """Interactions of users with items, and what is known about both.

    Parameters
    ----------
    interactions : scipy.sparse.coo_matrix of float32, (n_users, n_items), int32 indices
        One entry per interaction; the value is the rating, or 1 where there are no ratings.
    timestamps : numpy.ndarray of int64, (n_interactions,), or None
        When each entry of ``interactions`` happened, in seconds since 1970 (or whatever unit the
        source uses), in the order of its entries. None where the source does not tell.
    user_ids, item_ids : numpy.ndarray, (n_users,) and (n_items,)
        The ids that the source uses, integers or strings: ``item_ids[i]`` belongs to column i.
    item_labels : numpy.ndarray of str, (n_items,)
        Titles, or the ids as text where there are no titles.
    item_tags : scipy.sparse.csr_matrix of float32, (n_items, n_item_tags)
        1 where an item has a tag. It has no columns where the source has no tags.
    item_tag_labels : numpy.ndarray of str, (n_item_tags,)
        Names such as ``genre:Drama``.
    user_tags, user_tag_labels
        The same for users.
    """

    interactions: sp.coo_matrix
    timestamps: np.ndarray | None
    user_ids: np.ndarray
    item_ids: np.ndarray
    item_labels: np.ndarray
    item_tags: sp.csr_matrix
    item_tag_labels: np.ndarray
    user_tags: sp.csr_matrix
    user_tag_labels: np.ndarray

    @cached_property
    def item_features(self) -> sp.csr_matrix:
        """Features for a model, float32 CSR: one indicator per item, then the tags."""
        return feature_matrix(self.item_labels, self.item_tags, self.item_tag_labels)[0]

    @cached_property
    def item_feature_labels(self) -> np.ndarray:
        """Names of the columns of ``item_features``: the item labels, then the tag labels."""
        return feature_matrix(self.item_labels, self.item_tags, self.item_tag_labels)[1]

    @cached_property
    def user_features(self) -> sp.csr_matrix:
        """Features for a model, float32 CSR: one indicator per user, then the tags."""
        return feature_matrix(self.user_ids, self.user_tags, self.user_tag_labels)[0]

    @cached_property
    def user_feature_labels(self) -> np.ndarray:
        """Names of the columns of ``user_features``: the user ids as text, then the tag labels."""
        return feature_matrix(self.user_ids.astype(str), self.user_tags, self.user_tag_labels)[1]

    def __repr__(self) -> str:
        n_users, n_items = self.interactions.shape
        return (
            f"Catalogue({n_users:,} users, {n_items:,} items, "
            f"{self.interactions.nnz:,} interactions, {self.user_tags.shape[1]} user tags, "
            f"{self.item_tags.shape[1]} item tags)"
        )


def feature_matrix(
    labels: np.ndarray,
    tags: sp.csr_matrix,
    tag_labels: np.ndarray,
    *,
    indicators: bool = True,
    with_tags: bool = True,
) -> tuple[sp.csr_matrix, np.ndarray]:
    """One indicator column per row, the tag columns, or both side by side, with their names."""
    if not indicators:
        return tags, tag_labels
    identity = sp.identity(len(labels), dtype=np.float32, format="csr")
    if not with_tags:
        return identity, labels
    both = sp.hstack([identity, tags], format="csr", dtype=np.float32)
    return both, np.concatenate([labels, tag_labels])


def tag_matrix(
    rows: np.ndarray, columns: np.ndarray, n_rows: int, tag_labels: np.ndarray
) -> sp.csr_matrix:
    """Indicator matrix of (row, column) pairs; a pair that is given twice still counts 1."""
    ones = np.ones(len(rows), dtype=np.float32)
    matrix = sp.csr_matrix((ones, (rows, columns)), shape=(n_rows, len(tag_labels)))
    matrix.data.fill(1.0)
    return matrix
