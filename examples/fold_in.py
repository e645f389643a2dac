"""New users without training: fold_in_users beside popularity, mean vectors and training.

    python examples/fold_in.py                      made-up data
    python examples/fold_in.py path/to/ml-1m        a MovieLens archive or folder

A fifth of the users is hidden from training. Then half of their likes (or 10, or 3) become known,
and the other half is to be found among all other films.
"""

from __future__ import annotations

from collections import defaultdict
from copy import copy
from time import perf_counter

import numpy as np
import scipy.sparse as sp
from _movies import arguments, load, print_table

from lightfm_clone import LightFM
from lightfm_clone.evaluation import evaluate

EPOCHS = 20
THREADS = 2
MOST_KNOWN = {"half of their likes": np.inf, "at most 10 likes": 10, "at most 3 likes": 3}


def trained(interactions: sp.csr_matrix, seed: int) -> LightFM:
    model = LightFM(loss="warp", no_components=32, random_state=seed)
    return model.fit(interactions, epochs=EPOCHS, num_threads=THREADS)


def in_random_order(likes: sp.csr_matrix, rng: np.random.Generator) -> sp.coo_matrix:
    """The likes by user; the value is a like's place among those of its user, from 1."""
    coo = likes.tocoo()
    order = np.lexsort((rng.random(likes.nnz), coo.row))
    place = 1 + np.arange(likes.nnz) - likes.indptr[coo.row[order]]
    return sp.coo_matrix((place, (coo.row[order], coo.col[order])), shape=likes.shape)


def chosen(likes: sp.coo_matrix, which: np.ndarray) -> sp.csr_matrix:
    ones = np.ones(which.sum(), dtype=np.float32)
    return sp.csr_matrix((ones, (likes.row[which], likes.col[which])), shape=likes.shape)


def main() -> None:
    options = arguments(__doc__)
    likes, _ = load(options.data)
    tables = {known_likes: defaultdict(list) for known_likes in MOST_KNOWN}
    seconds = []
    for seed in range(options.seeds):
        rng = np.random.default_rng(seed)
        is_hidden = rng.permutation(likes.shape[0]) < likes.shape[0] // 5
        members, newcomers = likes[~is_hidden], likes[is_hidden]
        newcomers = newcomers[np.diff(newcomers.indptr) >= 2]
        half = np.diff(newcomers.indptr) // 2
        newcomers = in_random_order(newcomers, rng)
        test = chosen(newcomers, newcomers.data > half[newcomers.row])
        model = trained(members, seed)

        # What everybody likes best: a model of item biases alone.
        popular = copy(model)
        popular.item_biases = np.asarray(members.sum(axis=0), dtype=np.float32).ravel()
        nothing = np.zeros(len(half), np.float32), np.zeros((len(half), 32), np.float32)

        for known_likes, most in MOST_KNOWN.items():
            is_known = newcomers.data <= np.minimum(half, most)[newcomers.row]
            known = chosen(newcomers, is_known)

            _, films = model.get_item_representations()
            mean = nothing[0], known @ films / np.diff(known.indptr)[:, None]

            start = perf_counter()
            folded_in = model.fold_in_users(known, random_state=seed, num_threads=THREADS)
            seconds.append(perf_counter() - start)

            with_them = trained(sp.vstack([members, known]), seed)
            users = [of[members.shape[0] :] for of in with_them.get_user_representations()]

            for row, (served, vectors) in {
                "popularity": (popular, nothing),
                "mean of the liked films": (model, mean),
                "fold-in": (model, folded_in),
                "training with them": (with_them, users),
            }.items():
                served = copy(served)
                served.user_biases, served.user_embeddings = vectors
                metrics = ("precision@10", "ndcg@10", "auc")
                result = evaluate(served, test, known, metrics=metrics, num_threads=THREADS)
                tables[known_likes][row].append(dict(result))

    print(f"{len(half):,} new users; mean ± standard deviation over {options.seeds} seeds")
    for known_likes, table in tables.items():
        print(f"\n{known_likes} known:")
        print_table(table)
    print(f"\nOne call of fold_in_users took {np.mean(seconds):.2f} seconds.")


if __name__ == "__main__":
    main()
