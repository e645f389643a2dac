"""Questions and answers of two Stack Exchange sites, split by time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp

from lightfm_clone.datasets._catalogue import feature_matrix
from lightfm_clone.datasets._fetch import downloaded_archive, fetch
from lightfm_clone.typing import Path

DATASETS = ("crossvalidated", "stackoverflow")


def fetch_stackexchange(
    dataset: str,
    test_set_fraction: float = 0.2,
    min_training_interactions: int = 1,
    data_home: Path | None = None,
    indicator_features: bool = True,
    tag_features: bool = False,
    download_if_missing: bool = True,
) -> dict[str, Any]:
    """Who answered which question on a Stack Exchange site; the latest answers are the test set.

    Parameters
    ----------
    dataset : {"crossvalidated", "stackoverflow"}
        The site.
    test_set_fraction : float, default 0.2
        From 0 to 1: answers from the ``1 - test_set_fraction`` quantile of the time stamps on
        are the test set.
    min_training_interactions : int, default 1
        Keep only users with more training interactions than this; 0 keeps everybody.
    data_home : path, optional
        Folder for downloaded data, ``~/lightfm_data`` by default. The archive is looked for at
        ``<data_home>/stackexchange/<dataset>/data.npz``.
    indicator_features : bool, default True
        Give every question an indicator feature of its own.
    tag_features : bool, default False
        Give every question its tags as features.
    download_if_missing : bool, default True
        Download the archive if it is not there.

    Returns
    -------
    dict
        - ``train``, ``test``: int32 COO matrices (n_users, n_questions); all values are 1;
        - ``item_features``: float32 CSR matrix (n_questions, n_features): the indicators, the
          tags, or both side by side in this order;
        - ``item_feature_labels``: array of str, (n_features,): ``question_id:<number>`` for
          indicators, the tags' own names for tags.

    Raises
    ------
    ValueError
        If the dataset is unknown, both kinds of features are switched off, the fraction lies
        outside 0 to 1, or the archive is broken (it is then removed) or lacks an array.
    OSError
        If the archive is missing and may not or cannot be downloaded.
    """
    if dataset not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}, got {dataset!r}")
    if not (indicator_features or tag_features):
        raise ValueError(
            "indicator_features and tag_features are both False, which leaves the items without "
            "features; set at least one to True"
        )
    if not 0.0 <= test_set_fraction <= 1.0:
        raise ValueError(f"test_set_fraction must be from 0 to 1, got {test_set_fraction!r}")

    path = fetch(
        f"stackexchange_{dataset}.npz",
        "stackexchange",
        dataset,
        "data.npz",
        data_home=data_home,
        download_if_missing=download_if_missing,
    )
    with downloaded_archive(path), np.load(path, allow_pickle=False) as arrays:
        try:
            times = _matrix(arrays, "interactions", np.int64)
            tags = _matrix(arrays, "features", np.float32).tocsr()
            tag_labels = arrays["labels"]
            if not times.nnz:
                raise ValueError("it holds no interactions")
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"{path} is not a Stack Exchange data set ({error}); remove or replace the file"
            ) from error

    times.sum_duplicates()
    cutoff = np.quantile(times.data, 1.0 - test_set_fraction)
    is_test = times.data >= cutoff
    train, test = (_ones(times, part).tocsr() for part in (~is_test, is_test))
    if min_training_interactions > 0:
        active = np.diff(train.indptr) > min_training_interactions
        train, test = train[active], test[active]

    question_labels = np.array([f"question_id:{i}" for i in range(times.shape[1])], dtype=str)
    item_features, item_feature_labels = feature_matrix(
        question_labels, tags, tag_labels, indicators=indicator_features, with_tags=tag_features
    )
    return {
        "train": train.tocoo(),
        "test": test.tocoo(),
        "item_features": item_features,
        "item_feature_labels": item_feature_labels,
    }


def _matrix(arrays: Mapping[str, np.ndarray], name: str, dtype: type) -> sp.coo_matrix:
    data, row, col, shape = (arrays[f"{name}_{part}"] for part in ("data", "row", "col", "shape"))
    # Time stamps of duplicates are summed, for which 32 bits are too few.
    return sp.coo_matrix((data.astype(dtype), (row, col)), shape=tuple(shape.tolist()))


def _ones(matrix: sp.coo_matrix, part: np.ndarray) -> sp.coo_matrix:
    row, col = matrix.row[part], matrix.col[part]
    return sp.coo_matrix((np.ones(len(row), dtype=np.int32), (row, col)), shape=matrix.shape)
