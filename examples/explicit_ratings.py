"""Explicit ratings, as in MovieLens 20M and 32M: train on what was liked, serve new visitors.

Usage:
    python examples/explicit_ratings.py                 a miniature of made-up ratings
    python examples/explicit_ratings.py path/to/data    a ratings file (csv) or MovieLens folder
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import scipy.sparse as sp

from lightfm_clone import LightFM, Popularity
from lightfm_clone.cross_validation import random_train_test_split
from lightfm_clone.data import Dataset
from lightfm_clone.datasets import load_ratings, synthetic_catalogue
from lightfm_clone.evaluation import precision_at_k

try:
    import pandas as pd
except ImportError:
    sys.exit("this example needs pandas: pip install pandas")


def miniature() -> tuple[pd.DataFrame, dict[int, str]]:
    """Ratings as in ratings.csv, and the titles of the films."""
    rng = np.random.default_rng(0)
    films = synthetic_catalogue(n_users=1_000, n_items=800, n_interactions=40_000)
    liked = pd.DataFrame(
        {
            "userId": films.interactions.row,
            "movieId": films.interactions.col,
            "rating": rng.choice([4.0, 4.5, 5.0], films.interactions.nnz),
            "timestamp": films.timestamps,
        }
    )
    # Besides what is to their taste, people saw and did not like a few films at random.
    others = liked.sample(frac=0.3, random_state=0)
    others = others.assign(
        movieId=rng.integers(len(films.item_ids), size=len(others)),
        rating=rng.choice([0.5, 1.5, 2.0, 2.5, 3.0, 3.5], len(others)),
    )
    ratings = pd.concat([liked, others]).drop_duplicates(["userId", "movieId"])
    return ratings, dict(enumerate(films.item_labels))


def likes_of(
    visitors: np.ndarray, liked: pd.DataFrame, dataset: Dataset, random_state: np.random.RandomState
) -> tuple[sp.csr_matrix, list[np.ndarray]]:
    """Five films that each visitor likes, and the others, among those that the dataset knows."""
    _, _, films, _ = dataset.mapping()
    of_visitors = liked[liked["userId"].isin(visitors) & liked["movieId"].isin(films.keys())]
    numbers = {
        visitor: random_state.permutation(dataset.items_to_ids(of_one))
        for visitor, of_one in of_visitors.groupby("userId")["movieId"]
    }
    named = [numbers[visitor][:5] for visitor in visitors]
    rows = np.repeat(np.arange(len(visitors)), list(map(len, named)))
    entries = np.ones(len(rows), np.float32), (rows, np.concatenate(named))
    known = sp.csr_matrix(entries, shape=(len(visitors), len(films)))
    return known, [numbers[visitor][5:] for visitor in visitors]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", help="a ratings file (csv) or MovieLens folder")
    path = parser.parse_args().data
    if path is None:
        ratings, titles = miniature()
    else:
        # For a file in exactly this form, pd.read_csv("ratings.csv") does as well.
        loaded = load_ratings(path)
        ratings = pd.DataFrame(
            {
                "userId": loaded.user_ids[loaded.interactions.row],
                "movieId": loaded.item_ids[loaded.interactions.col],
                "rating": loaded.interactions.data,
            }
        )
        titles = dict(zip(loaded.item_ids, loaded.item_labels, strict=True))

    liked = ratings[ratings["rating"] >= 4]
    print(f"{len(ratings):,} ratings, {len(liked):,} of them 4 or higher: the positives")

    # A hundred people are set aside. To the model they will be new visitors.
    random_state = np.random.RandomState(42)
    n_likes = liked["userId"].value_counts()
    keen = n_likes.index[n_likes >= 10].sort_values()
    visitors = random_state.permutation(keen)[: min(100, len(keen) // 5)]
    if not len(visitors):
        parser.error("too little data: at least five users with ten ratings of 4 or higher needed")
    of_visitors = liked["userId"].isin(visitors)
    members = liked[~of_visitors]

    # `.values` makes one array of floats out of integer ids and ratings. That is fine: 1.0 is the
    # same id as 1. The second matrix holds the ratings, for whoever wants them as sample_weight.
    dataset = Dataset()
    dataset.fit(members["userId"], members["movieId"])
    interactions, _ = dataset.build_interactions(members.iloc[:, 0:3].values)
    train, test = random_train_test_split(
        interactions, test_percentage=0.2, random_state=random_state
    )

    model = LightFM(no_components=32, loss="warp", random_state=random_state)
    model.fit(train, epochs=20, num_threads=2)
    print(f"Precision@10: train {precision_at_k(model, train, num_threads=2).mean():.3f}")
    print(f"Precision@10: test {precision_at_k(model, test, train, num_threads=2).mean():.3f}")

    # A visitor has no embedding yet. The mean embedding of a handful of films they like is a
    # good stand-in, and needs no training: it points to the films nearby. The items' biases still
    # tell which films are liked by most.
    # (Folding in, which examples/fold_in.py compares with this, trains a vector instead.)
    known, hidden = likes_of(visitors, liked, dataset, random_state)
    biases, embeddings = model.get_item_representations()
    means = known @ embeddings / known.sum(axis=1)
    nearest = np.zeros(len(visitors), np.float32), means.astype(np.float32)
    recommended, _ = model.recommend(user_representations=nearest, exclude=known)
    popular, _ = Popularity().fit(train).recommend(range(len(visitors)), exclude=known)

    def precision(lists: np.ndarray) -> float:
        return np.mean([np.isin(ids, one).mean() for ids, one in zip(lists, hidden, strict=True)])

    titles_of = np.vectorize(lambda number: titles[number], otypes=[object])
    last = len(visitors) - 1
    named = titles_of(dataset.items_from_ids(known[[last]].indices).astype(int))
    print(f"Precision@10 for {len(visitors)} new visitors, each known by 5 likes")
    print(f"  nearest to the 5: {precision(recommended):.3f}")
    print(f"  most popular: {precision(popular):.3f}")
    print("The last of them likes:")
    for title in named:
        print(f"    {title}")
    print("Recommended to them (* is another film that they like):")
    best = recommended[last, :5]
    for film, title in zip(best, titles_of(dataset.items_from_ids(best).astype(int)), strict=True):
        print(f"  {'*' if film in hidden[last] else ' '} {title}")


if __name__ == "__main__":
    main()
