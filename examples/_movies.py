"""Likes and genres for the examples: MovieLens, or made-up data of the same form."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from lightfm_clone.datasets import load_ratings, synthetic_catalogue


def arguments(doc: str) -> argparse.Namespace:
    """`data`, a path or None, and `seeds`, from the command line."""
    folder = os.environ.get("LIGHTFM_CLONE_TEST_DATA", "")
    default = folder if folder and (Path(folder) / "ml-1m.npz").is_file() else None
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data",
        nargs="?",
        default=default,
        help="a MovieLens archive or folder, a ratings file, or a folder with ml-1m.npz",
    )
    parser.add_argument("--seeds", type=int, default=3, help="how many runs to take the mean of")
    return parser.parse_args()


def load(path: str | None) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Ratings of 4 and higher as ones [n_users, n_films], and genres [n_films, n_genres].

    Without ratings, every interaction is a like; without a path, the data are made up.
    """
    if path is None:
        films = synthetic_catalogue(n_users=2000, n_items=800, n_interactions=80_000)
        ratings, genres = films.interactions, films.item_tags
    elif (Path(path) / "ml-1m.npz").is_file():
        with np.load(Path(path) / "ml-1m.npz", allow_pickle=False) as arrays:
            entries = arrays["all_rating"], (arrays["all_user"], arrays["all_item"])
            ratings = sp.coo_matrix(entries)
            parts = (arrays[f"item_genre_{part}"] for part in ("data", "indices", "indptr"))
            genres = sp.csr_matrix(tuple(parts), shape=arrays["item_genre_shape"])
        ratings.resize(ratings.shape[0], genres.shape[0])
    else:
        films = load_ratings(path)
        ratings, genres = films.interactions, films.item_tags
    liked = ratings.data >= 4 if ratings.data.max() > 1 else slice(None)
    entries = np.ones_like(ratings.row[liked]), (ratings.row[liked], ratings.col[liked])
    likes = sp.csr_matrix(entries, shape=ratings.shape, dtype=np.float32)
    likes.data[:] = 1
    name = Path(path).name if path else "made-up data"
    print(f"{name}: {likes.shape[0]:,} users, {likes.shape[1]:,} films, {likes.nnz:,} likes")
    return likes, genres


def print_table(by_seed: list[dict[str, dict[str, float]]]) -> None:
    """A row for each method: means of its metrics over the seeds, and standard deviations."""
    first = by_seed[0]
    names = list(dict.fromkeys(name for metrics in first.values() for name in metrics))
    print(f"  {'':32}" + "".join(f"{name:>18}" for name in names))
    for method, metrics in first.items():
        row = f"  {method:32}"
        for name in metrics:
            values = [results[method][name] for results in by_seed]
            row += f"{np.mean(values):.3f} ± {np.std(values):.3f}".rjust(18)
        print(row)
