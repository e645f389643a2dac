"""Train a hybrid WARP model, compare it with simple baselines, and look at what it recommends.

Usage:
    python examples/demo.py                 a synthetic catalogue of films; needs no download
    python examples/demo.py path/to/data    a MovieLens zip or folder, or a ratings file
"""

from __future__ import annotations

import argparse
import itertools
import textwrap
import time

import numpy as np
import scipy.sparse as sp

from lightfm_clone import LightFM, Popularity, Random, datasets
from lightfm_clone.cross_validation import random_train_test_split
from lightfm_clone.evaluation import auc_score, precision_at_k, recall_at_k, reciprocal_rank

SEED = 42
LIKED_FROM = 4  # explicit ratings from this one on are positives
MOST_EVALUATED = 10_000  # a random sample of so many users tells enough
COLUMN = 46  # width of the titles in the lists of recommendations


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", help="MovieLens zip or folder, or a ratings file")
    parser.add_argument("--epochs", type=int, default=20, help="default: 20")
    arguments = parser.parse_args()
    random_state = np.random.RandomState(SEED)

    print("Data")
    if arguments.data is None:
        catalogue = datasets.synthetic_catalogue(3_000, 1_500, 150_000, random_state=random_state)
        print("  a synthetic catalogue of films (give a path to use MovieLens or your own data)")
    else:
        try:
            catalogue = datasets.load_ratings(arguments.data)
        except (OSError, ValueError) as error:
            parser.error(str(error))
        print(f"  {arguments.data}")

    ratings = catalogue.interactions
    n_users, n_items = ratings.shape
    print(f"  {n_users:,} users, {n_items:,} items, {ratings.nnz:,} interactions")
    if ratings.data.min() < ratings.data.max():
        liked = ratings.data >= LIKED_FROM
        if not liked.any():
            parser.error(f"none of the ratings in {arguments.data} is {LIKED_FROM} or higher")
        print(
            f"  explicit ratings: the {liked.sum():,} of {LIKED_FROM} and higher are positives, "
            "the others are left out"
        )
    else:
        liked = np.ones(ratings.nnz, dtype=bool)
        print("  no ratings: every interaction is a positive")

    # Whoever liked an item twice must not have it both to learn from and to be tested on.
    positives = sp.csr_matrix(
        (np.ones(liked.sum(), np.float32), (ratings.row[liked], ratings.col[liked])),
        shape=ratings.shape,
    )
    positives.data.fill(1)
    train, test = random_train_test_split(positives, random_state=random_state)
    print(f"  {train.nnz:,} positives to learn from, {test.nnz:,} held out to test on")

    model = LightFM(
        no_components=32, loss="warp", learning_rate=0.03, negatives="seen", random_state=SEED
    )
    features = {
        "item_features": catalogue.item_features,
        "user_features": catalogue.user_features,
    }
    print(
        f"\nModel\n  {model}\n"
        f"  item features: {n_items:,} ids and {catalogue.item_tags.shape[1]:,} tags\n"
        f"  user features: {n_users:,} ids and {catalogue.user_tags.shape[1]:,} tags",
        flush=True,
    )
    start = time.perf_counter()
    model.fit(train, **features, epochs=arguments.epochs, num_threads=None, verbose=True)
    print(f"  trained {arguments.epochs} epochs in {time.perf_counter() - start:.2f} seconds")

    baselines = [("random", Random(random_state=SEED)), ("most popular", Popularity())]
    rankers = [(name, baseline.fit(train), {}) for name, baseline in baselines]

    sample = np.isin(test.row, random_state.permutation(n_users)[:MOST_EVALUATED])
    evaluated = sp.coo_matrix(
        (test.data[sample], (test.row[sample], test.col[sample])), shape=test.shape
    )
    metrics = {
        "precision@10": precision_at_k,
        "recall@10": recall_at_k,
        "AUC": auc_score,
        "reciprocal rank": reciprocal_rank,
    }
    n_evaluated = len(np.unique(evaluated.row))
    print(f"\nHow well are held-out items found? (means over {n_evaluated:,} users, 1 is best)\n")
    print("  " + " " * 14 + "".join(f"{name:>17}" for name in metrics))
    for name, ranker, given in (*rankers, ("hybrid WARP", model, features)):
        means = [
            metric(ranker, evaluated, train, **given, num_threads=None).mean()
            for metric in metrics.values()
        ]
        print(f"  {name:<14}" + "".join(f"{mean:>17.4f}" for mean in means))

    print(
        "\n  precision@10: share of the ten best that are held-out items of the user"
        "\n  recall@10: share of a user's held-out items that are among the ten best"
        "\n  AUC: how often a held-out item ranks above another item; by chance 0.5"
        "\n  reciprocal rank: 1 / place of the best held-out item"
    )

    def described(item: int) -> str:
        tags = catalogue.item_tag_labels[catalogue.item_tags[item].indices]
        genres = [tag.removeprefix("genre:") for tag in tags if tag.startswith("genre:")]
        text = f"{catalogue.item_labels[item]} [{', '.join(genres)}]"
        return textwrap.shorten(text.removesuffix(" []"), COLUMN, placeholder="…")

    print("\nTop 5 of a few users (* is a held-out item: a hit)")
    train, test = train.tocsr(), test.tocsr()
    testable = np.flatnonzero((np.diff(train.indptr) > 0) & (np.diff(test.indptr) > 0))
    users = random_state.permutation(testable)[:4]
    lists, _ = model.recommend(users, k=5, exclude=train, **features)
    for user, best in zip(users, lists, strict=True):
        known, hits = train[user].indices, test[user].indices
        left = [f"liked {len(known)}, such as"]
        left += [f"  {described(item)}" for item in random_state.permutation(known)[:5]]
        right = ["is recommended"]
        right += [f"{'*' if item in hits else ' '} {described(item)}" for item in best]
        print(f"\n  User {catalogue.user_ids[user]}")
        for one, other in itertools.zip_longest(left, right, fillvalue=""):
            print(f"    {one:<{COLUMN + 4}}{other}".rstrip())


if __name__ == "__main__":
    main()
