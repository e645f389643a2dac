"""MovieLens 100K in a few lines: a WARP model of films with genres, and what it recommends.

    python examples/movielens_quickstart.py              synthetic data of the same size
    python examples/movielens_quickstart.py DATA_HOME    MovieLens, from the folder DATA_HOME

MovieLens is looked for at DATA_HOME/movielens100k/movielens.zip, and downloaded there if missing.
"""

from __future__ import annotations

import argparse

from lightfm_clone import LightFM
from lightfm_clone.cross_validation import random_train_test_split
from lightfm_clone.datasets import fetch_movielens, synthetic_catalogue
from lightfm_clone.evaluation import auc_score, precision_at_k


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_home", nargs="?", help="folder of downloaded data")
    data_home = parser.parse_args().data_home

    if data_home is not None:
        # Only what people liked. Each film is described by an indicator of its own and its genres.
        data = fetch_movielens(data_home, genre_features=True, min_rating=4.0)
        train, test = data["train"], data["test"]
        item_features, titles = data["item_features"], data["item_labels"]
    else:
        films = synthetic_catalogue(n_users=943, n_items=1682, n_interactions=50_000)
        train, test = random_train_test_split(films.interactions, random_state=0)
        item_features, titles = films.item_features, films.item_labels
    n_users, n_items = train.shape
    print(f"{n_users} users, {n_items} films with {item_features.shape[1]} features")
    print(f"{train.nnz} likes to learn from, {test.nnz} to test on")

    model = LightFM(loss="warp", no_components=30, negatives="seen", random_state=0)
    model.fit(train, item_features=item_features, epochs=20, num_threads=2)

    # A model that was fitted with features is asked with them, too. Films known from the training
    # set are left out of the test ranking.
    shared = {"item_features": item_features, "num_threads": 2}
    print(f"Precision@10: train {precision_at_k(model, train, **shared).mean():.3f}")
    print(f"Precision@10: test {precision_at_k(model, test, train, **shared).mean():.3f}")
    print(f"AUC: train {auc_score(model, train, **shared).mean():.3f}")
    print(f"AUC: test {auc_score(model, test, train, **shared).mean():.3f}")

    likes = train.tocsr()
    users = [3, 25, 450]
    # Recommend what is new to them.
    best, _ = model.recommend(users, k=3, exclude=likes, item_features=item_features)
    for user, films in zip(users, best, strict=True):
        print(f"User {user}")
        print("  Known positives:")
        for title in titles[likes[user].indices[:3]]:
            print(f"    {title}")
        print("  Recommended:")
        for title in titles[films]:
            print(f"    {title}")


if __name__ == "__main__":
    main()
