"""MovieLens 100K with the split that LightFM's documentation uses."""

from __future__ import annotations

import zipfile
from typing import Any

import numpy as np
import scipy.sparse as sp

from lightfm_clone.datasets._catalogue import feature_matrix
from lightfm_clone.datasets._fetch import downloaded_archive, fetch
from lightfm_clone.datasets.ratings import Ratings, positions, read_items, read_ratings
from lightfm_clone.typing import Path


def fetch_movielens(
    data_home: Path | None = None,
    indicator_features: bool = True,
    genre_features: bool = False,
    min_rating: float = 0.0,
    download_if_missing: bool = True,
) -> dict[str, Any]:
    """MovieLens 100K, split into the publisher's ``ua`` training and test sets.

    The data are for research use and may not be redistributed; see the README in the zip.

    Parameters
    ----------
    data_home : path, optional
        Folder for downloaded data, ``~/lightfm_data`` by default. The archive is looked for at
        ``<data_home>/movielens100k/movielens.zip``.
    indicator_features : bool, default True
        Give every item an indicator feature of its own.
    genre_features : bool, default False
        Give every item its genres as features.
    min_rating : float, default 0.0
        Leave out ratings below this one.
    download_if_missing : bool, default True
        Download the archive if it is not there.

    Returns
    -------
    dict
        - ``train``, ``test``: int32 COO matrices of shape (943, 1682); values are the ratings;
        - ``item_features``: float32 CSR matrix of shape (1682, n_features): the indicators, the
          19 genres, or both side by side in this order;
        - ``item_feature_labels``: array of str, (n_features,): titles for indicators,
          ``genre:<name>`` for genres;
        - ``item_labels``: array of str, (1682,): the titles; the very same object as
          ``item_feature_labels`` when there are indicator features alone.

    Raises
    ------
    ValueError
        If both kinds of features are switched off, or the archive is broken (it is then
        removed) or does not hold MovieLens 100K.
    OSError
        If the archive is missing and may not or cannot be downloaded.
    """
    if not (indicator_features or genre_features):
        raise ValueError(
            "indicator_features and genre_features are both False, which leaves the items "
            "without features; set at least one to True"
        )
    path = fetch(
        "movielens.zip",
        "movielens100k",
        "movielens.zip",
        data_home=data_home,
        download_if_missing=download_if_missing,
    )
    with downloaded_archive(path) as archive:
        folder = zipfile.Path(archive) / "ml-100k"
        try:
            items = read_items(folder / "u.item")
            parts = {name: read_ratings(folder / f"ua.{name}") for name in ("base", "test")}
        except FileNotFoundError as error:
            raise ValueError(
                f"{path} does not hold MovieLens 100K: {error} is missing; replace the file"
            ) from error

    n_users = max(part.user_ids.max() for part in parts.values())

    def matrix(part: Ratings) -> sp.coo_matrix:
        rows, columns = part.user_ids - 1, positions(part.item_ids, items.ids)
        kept = part.ratings >= min_rating
        return sp.coo_matrix(
            (part.ratings[kept].astype(np.int32), (rows[kept], columns[kept])),
            shape=(n_users, len(items.ids)),
        )

    item_features, item_feature_labels = feature_matrix(
        items.titles,
        items.genres,
        items.genre_labels,
        indicators=indicator_features,
        with_tags=genre_features,
    )
    return {
        "train": matrix(parts["base"]),
        "test": matrix(parts["test"]),
        "item_features": item_features,
        "item_feature_labels": item_feature_labels,
        "item_labels": items.titles,
    }
