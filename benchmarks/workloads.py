"""What is measured: how much of it at each size, the synthetic sets, and the real ones."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from lightfm_clone.datasets import synthetic_catalogue

DATA = Path(
    os.environ.get(
        "LIGHTFM_CLONE_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"
    )
)
NO_DATA = "MovieLens was not found; set LIGHTFM_CLONE_TEST_DATA to the folder of ml-100k.npz"

TAGS_PER_BAND = 64


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    name: str
    parts: tuple[str, ...]
    users: int
    items: int
    interactions: int
    examples: int  # of a timed epoch, drawn from the interactions
    rounds: int
    slow_rounds: int  # for rows whose peer takes tens of seconds
    load: int  # interactions of the fits beside busy processes
    dataset_rows: int
    featured_items: int
    split_entries: int
    growth: tuple[int, ...]  # numbers of interactions
    growth_shape: tuple[int, int]  # users, items
    growth_over: tuple[str, ...]
    seeds: int
    quality_epochs: int
    lists: tuple[int, int, int]  # users, items, interactions of top-N lists
    # users, items, interactions, epochs, users asked
    scale: tuple[int, int, int, int, int]
    updates: tuple[int, int, int]  # users, items, interactions of the catalogue
    update_seeds: int
    ratings: tuple[int, int, int]  # users, items, rows of a file
    shop: tuple[int, int, int]  # visitors, products, events
    requests: tuple[int, int, int]  # users, items, events behind a loaded file
    clicks: tuple[int, int]  # events, items of a clickstream
    cluster: tuple[int, int, int, int]  # users, items, interactions, epochs of fits on a cluster

    def matrix(self) -> sp.coo_matrix:
        """The synthetic interactions that training is timed on."""
        return interactions(self.users, self.items, self.interactions)


EVERYTHING = (
    "training",
    "threads",
    "load",
    "scheduling",
    "ranking",
    "latency",
    "preparation",
    "floor",
    "growth",
    "quality",
    "softmax",
    "scale",
    "updates",
    "neighbours",
    "recommender",
    "server",
    "clickstream",
    "cluster",
)
QUICK = Size(
    name="quick",
    parts=EVERYTHING,
    users=20_000,
    items=10_000,
    interactions=50_000,
    examples=50_000,
    rounds=3,
    slow_rounds=1,
    load=50_000,
    dataset_rows=100_000,
    featured_items=10_000,
    split_entries=1_000_000,
    growth=(12_500, 25_000, 50_000),
    growth_shape=(20_000, 10_000),
    growth_over=("interactions", "no_components", "features"),
    seeds=2,
    quality_epochs=1,
    lists=(500, 5_000, 40_000),
    scale=(5_000, 2_000, 200_000, 2, 500),
    updates=(1_000, 500, 30_000),
    update_seeds=1,
    ratings=(5_000, 2_000, 200_000),
    shop=(3_000, 800, 50_000),
    requests=(2_000, 84_000, 50_000),
    clicks=(200_000, 2_000),
    cluster=(2_000, 1_000, 50_000, 2),
)
DAILY = Size(
    name="daily",
    parts=EVERYTHING,
    users=60_000,
    items=30_000,
    interactions=1_000_000,
    examples=1_000_000,
    rounds=5,
    slow_rounds=3,
    load=680_000,
    dataset_rows=5_000_000,
    featured_items=100_000,
    split_entries=20_000_000,
    growth=(125_000, 250_000, 500_000, 1_000_000, 2_000_000),
    growth_shape=(60_000, 30_000),
    growth_over=("interactions", "no_components", "features"),
    seeds=5,
    quality_epochs=10,
    lists=(10_000, 84_432, 1_600_000),
    scale=(20_000, 8_000, 2_000_000, 20, 10_000),
    updates=(5_000, 2_000, 300_000),
    update_seeds=3,
    ratings=(60_000, 40_000, 4_000_000),
    shop=(30_000, 8_000, 500_000),
    requests=(20_000, 84_000, 1_000_000),
    clicks=(4_000_000, 20_000),
    cluster=(60_000, 30_000, 1_000_000, 4),
)
# Only what depends on the size of the synthetic set.
FULL = replace(
    DAILY,
    name="full",
    parts=(
        "training",
        "threads",
        "floor",
        "growth",
        "losses",
        "softmax",
        "scale",
        "neighbours",
        "recommender",
        "clickstream",
        "cluster",
    ),
    users=160_000,
    items=84_000,
    interactions=20_000_000,
    examples=2_000_000,
    rounds=3,
    growth=(1_000_000, 3_000_000, 10_000_000, 20_000_000, 30_000_000),
    growth_shape=(160_000, 84_000),
    growth_over=("interactions",),
    scale=(200_948, 84_432, 32_000_000, 20, 10_000),
    ratings=(200_948, 84_432, 32_000_000),
    clicks=(32_000_000, 20_000),
    cluster=(160_000, 84_000, 20_000_000, 10),
)
SIZES = {size.name: size for size in (QUICK, DAILY, FULL)}


@lru_cache(maxsize=1)
def interactions(users: int, items: int, n: int) -> sp.coo_matrix:
    """Synthetic interactions with planted tastes, all positive, in the order of time."""
    return synthetic_catalogue(users, items, n, random_state=0).interactions


def sampled(matrix: sp.coo_matrix, n: int) -> sp.coo_matrix:
    """A fixed random sample of the entries; samples of different sizes are nested, and those of
    matrices with the same number of entries are alike."""
    chosen = np.random.default_rng(1).permutation(matrix.nnz)[:n]
    return sp.coo_matrix(
        (matrix.data[chosen], (matrix.row[chosen], matrix.col[chosen])), shape=matrix.shape
    )


def weights(matrix: sp.coo_matrix) -> sp.coo_matrix:
    """Sample weights between a half and two for the entries of a matrix."""
    drawn = np.random.default_rng(2).uniform(0.5, 2.0, matrix.nnz).astype(np.float32)
    return sp.coo_matrix((drawn, (matrix.row, matrix.col)), shape=matrix.shape)


def tagged(n_rows: int, n_tags: int) -> sp.csr_matrix:
    """The identity and exactly `n_tags` tags in each row, of popularity 1/rank, as `Dataset` builds
    feature matrices: rows sum to 1. Each tag is of another band, so no row has one twice."""
    cumulative = np.cumsum(1 / np.arange(1, TAGS_PER_BAND + 1))
    drawn = np.random.default_rng(3).random((n_rows, n_tags)) * cumulative[-1]
    bands = TAGS_PER_BAND * np.arange(n_tags)
    own = np.arange(n_rows)[:, None]
    columns = np.hstack([own, n_rows + bands + np.searchsorted(cumulative, drawn)])
    return sp.csr_matrix(
        (
            np.full(columns.size, 1 / (n_tags + 1), np.float32),
            columns.ravel().astype(np.int32),
            np.arange(n_rows + 1) * (n_tags + 1),
        ),
        shape=(n_rows, n_rows + n_tags * TAGS_PER_BAND),
    )


# ---- real data --------------------------------------------------------------------------------


def csr(data: Any, name: str) -> sp.csr_matrix:
    """A sparse matrix of an archive of the real data, from its parts."""
    parts = tuple(data[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    return sp.csr_matrix(parts, shape=tuple(data[f"{name}_shape"]))


def movielens(name: str) -> tuple[sp.coo_matrix, sp.coo_matrix] | None:
    """Ratings of the training and the test set of "ML-100K" (ua) or "ML-1M" (80/10/10), or None
    where the data is absent."""
    path = DATA / f"{name.lower()}.npz"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as archive:
        shape = int(archive["n_users"]), int(archive["n_items"])
        if name == "ML-100K":
            parts = [
                tuple(archive[f"ua_{part}_{of}"] for of in ("user", "item", "rating"))
                for part in ("train", "test")
            ]
        else:
            columns = [archive[f"all_{of}"] for of in ("user", "item", "rating")]
            split = archive["all_split"]
            parts = [tuple(column[split == part] for column in columns) for part in (0, 2)]
    train, test = (
        sp.coo_matrix((ratings.astype(np.float32), (users, items)), shape=shape)
        for users, items, ratings in parts
    )
    return train, test


def implicit_feedback(ratings: sp.coo_matrix) -> sp.coo_matrix:
    """Every rating as a positive."""
    return sp.coo_matrix((np.ones_like(ratings.data), (ratings.row, ratings.col)), ratings.shape)
