"""What the tests of the data sets share."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp


def csr(arrays, name):
    parts = (arrays[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    return sp.csr_matrix(tuple(parts), shape=tuple(arrays[f"{name}_shape"]))


def same(left, right):
    return left.shape == right.shape and (left != right).nnz == 0


def check_shapes(catalogue):
    """What holds for every catalogue, loaded or synthetic."""
    n_users, n_items = catalogue.interactions.shape
    matrix = catalogue.interactions
    assert matrix.format == "coo" and matrix.dtype == np.float32
    assert matrix.row.dtype == matrix.col.dtype == np.int32
    if catalogue.timestamps is not None:
        assert catalogue.timestamps.dtype == np.int64
        assert catalogue.timestamps.shape == (matrix.nnz,)
    assert len(catalogue.user_ids) == n_users
    assert len(catalogue.item_ids) == len(catalogue.item_labels) == n_items
    for side, n_rows in (("user", n_users), ("item", n_items)):
        tags = getattr(catalogue, f"{side}_tags")
        tag_labels = getattr(catalogue, f"{side}_tag_labels")
        features = getattr(catalogue, f"{side}_features")
        labels = getattr(catalogue, f"{side}_feature_labels")
        assert tags.shape == (n_rows, len(tag_labels))
        assert features.shape == (n_rows, n_rows + len(tag_labels)) == (n_rows, len(labels))
        for matrix in (tags, features):
            assert matrix.format == "csr" and matrix.dtype == np.float32
            assert matrix.indices.dtype == matrix.indptr.dtype == np.int32
            assert np.all(matrix.data == 1)
        assert same(features[:, :n_rows], sp.identity(n_rows, format="csr"))
        assert same(features[:, n_rows:], tags)
        assert all(isinstance(label, str) for label in labels)
