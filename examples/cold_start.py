"""New films without a single like, ranked by their genres: a hybrid model and what else there is.

    python examples/cold_start.py                   made-up data
    python examples/cold_start.py path/to/ml-1m     a MovieLens archive or folder

A fifth of the films is unknown to training. Each user's likes among them are to be found, among
them alone.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from _movies import arguments, load, print_table

from lightfm_clone import LightFM
from lightfm_clone.evaluation import evaluate

EPOCHS = 10
THREADS = 2


def fixed(users: np.ndarray, items: np.ndarray, item_biases: np.ndarray | None = None) -> LightFM:
    """A model of given vectors, for lists that are not learned."""
    model = LightFM(no_components=users.shape[1])
    model.fit(sp.coo_matrix((len(users), len(items))), epochs=0)
    model.user_embeddings, model.item_embeddings = users, items
    if item_biases is not None:
        model.item_biases = item_biases
    return model


def main() -> None:
    options = arguments(__doc__)
    likes, genres = load(options.data)
    by_seed = []
    for seed in range(options.seeds):
        by_seed.append({})
        rng = np.random.default_rng(seed)
        is_new = rng.permutation(likes.shape[1]) < likes.shape[1] // 5
        train, test = likes[:, ~is_new], likes[:, is_new]
        old_genres, new_genres = genres[~is_new], genres[is_new]
        (n_users, n_old), n_new = train.shape, test.shape[1]

        # One column for each film of the training set, then the genres. A new film has genres only.
        of_old = sp.hstack([sp.identity(n_old), old_genres], format="csr")
        of_new = sp.hstack([sp.csr_matrix((n_new, n_old)), new_genres], format="csr")
        hybrid = LightFM(loss="warp", no_components=30, negatives="seen", random_state=seed)
        hybrid.fit(train, item_features=of_old, epochs=EPOCHS, num_threads=THREADS)

        # The same with new films as empty columns. And the trap: without negatives="seen", which
        # draws from films that somebody has liked, training takes them for what nobody likes.
        columns = sp.hstack([train, sp.csr_matrix((n_users, n_new))], format="csr")
        features = sp.vstack([old_genres, new_genres])
        features = sp.hstack([sp.identity(n_old + n_new), features], format="csr")
        spared, trapped = (
            LightFM(loss="warp", no_components=30, negatives=negatives, random_state=seed).fit(
                columns, item_features=features, epochs=EPOCHS, num_threads=THREADS
            )
            for negatives in ("seen", "all")
        )

        n_likes = np.asarray(train.sum(axis=0)).ravel()
        mean_likes = old_genres.T @ n_likes / np.maximum(old_genres.getnnz(axis=0), 1)
        n_genres = np.maximum(new_genres.getnnz(axis=1), 1)[:, None]
        random = rng.normal(size=(n_users, 16)), rng.normal(size=(n_new, 16))
        alike = np.zeros((n_users, 1)), np.zeros((n_new, 1))
        profiles = (train @ old_genres).toarray(), new_genres.toarray() / np.sqrt(n_genres)

        for row, (model, item_features) in {
            "random": (fixed(*random), None),
            "popularity of their genres": (
                fixed(*alike, new_genres @ mean_likes / n_genres[:, 0]),
                None,
            ),
            "genres of the user's likes": (fixed(*profiles), None),
            "hybrid": (hybrid, of_new),
            "hybrid, trained on empty columns": (spared, features[n_old:]),
            "the same, negatives='all'": (trapped, features[n_old:]),
        }.items():
            metrics = ("precision@10", "ndcg@10", "auc")
            result = evaluate(
                model, test, metrics=metrics, item_features=item_features, num_threads=THREADS
            )
            by_seed[-1][row] = dict(result)

    print(f"{n_new:,} new films; mean ± standard deviation over {options.seeds} seeds\n")
    print_table(by_seed)


if __name__ == "__main__":
    main()
