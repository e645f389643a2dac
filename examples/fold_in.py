"""New users and films without training: folding in beside popularity, mean vectors and training.

    python examples/fold_in.py                      made-up data
    python examples/fold_in.py path/to/ml-1m        a MovieLens archive or folder

A fifth of the users is hidden from training. Then half of their likes (or 10, or 3) become known,
and the other half is to be found among all other films. After that, the same for a fifth of the
films.
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


def hidden_fifth(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(n) < n // 5


def halves(likes: sp.csr_matrix, rng: np.random.Generator, most: float) -> list[sp.csr_matrix]:
    """A random half of each row's likes, but no more than `most`, and the other half."""
    coo = likes.tocoo()
    order = np.lexsort((rng.random(likes.nnz), coo.row))
    row, col = coo.row[order], coo.col[order]
    place = np.arange(likes.nnz) - likes.indptr[row]
    half = np.diff(likes.indptr)[row] // 2
    parts = []
    for part in (place < np.minimum(half, most), place >= half):
        entries = np.ones(part.sum(), dtype=np.float32), (row[part], col[part])
        parts.append(sp.csr_matrix(entries, shape=likes.shape))
    return parts


def metrics_of(model: LightFM, test: sp.csr_matrix, known: sp.csr_matrix) -> dict[str, float]:
    names = ("precision@10", "ndcg@10", "auc")
    return dict(evaluate(model, test, known, metrics=names, num_threads=THREADS))


def new_users(likes: sp.csr_matrix, seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """Metrics by how many likes are known, and by method."""
    rng = np.random.default_rng(seed)
    is_new = hidden_fifth(likes.shape[0], rng)
    members, newcomers = likes[~is_new], likes[is_new]
    newcomers = newcomers[np.diff(newcomers.indptr) >= 2]
    model = trained(members, seed)
    popular = copy(model)
    popular.item_biases = np.asarray(members.sum(axis=0), dtype=np.float32).ravel()
    nothing = np.zeros(newcomers.shape[0]), np.zeros((newcomers.shape[0], 32))

    results = defaultdict(dict)
    for name, most in MOST_KNOWN.items():
        known, test = halves(newcomers, np.random.default_rng(seed), most)
        _, films = model.get_item_representations()
        mean = nothing[0], known @ films / np.diff(known.indptr)[:, None]
        folded_in = model.fold_in_users(known, random_state=seed, num_threads=THREADS)
        with_them = trained(sp.vstack([members, known]), seed)
        users = [of[members.shape[0] :] for of in with_them.get_user_representations()]
        for method, served, vectors in (
            ("popularity", popular, nothing),
            ("mean of the liked films", model, mean),
            ("fold-in", model, folded_in),
            ("training with them", with_them, users),
        ):
            served = copy(served)
            served.user_biases, served.user_embeddings = vectors
            results[name][method] = metrics_of(served, test, known)
    return results


def new_films(likes: sp.csr_matrix, seed: int) -> dict[str, dict[str, float]]:
    """Metrics among the new films, and their share of the lists of all films, by method."""
    rng = np.random.default_rng(seed)
    is_new = hidden_fifth(likes.shape[1], rng)
    old = likes[:, ~is_new]
    known, test = (part.T.tocsr() for part in halves(likes[:, is_new].T.tocsr(), rng, np.inf))
    n_old, n_new = old.shape[1], known.shape[1]
    model = trained(old, seed)
    with_them = trained(sp.hstack([old, known]), seed)
    folding = {"random_state": seed, "num_threads": THREADS}
    results = {}
    for method, vectors in {
        "popularity": (np.asarray(known.sum(axis=0)).ravel(), np.zeros((n_new, 32))),
        "fold-in": model.fold_in_items(known, **folding),
        "fold-in, train_interactions": model.fold_in_items(
            known, train_interactions=old, **folding
        ),
        "training with them": [of[n_old:] for of in with_them.get_item_representations()],
    }.items():
        served = copy(with_them if method == "training with them" else model)
        served.item_biases, served.item_embeddings = vectors
        results[method] = metrics_of(served, test, known)
        if method != "popularity":
            served = copy(with_them if method == "training with them" else model)
            served.resize(n_item_features=n_old + n_new)
            served.item_biases[n_old:], served.item_embeddings[n_old:] = vectors
            lists, _ = served.recommend(exclude=sp.hstack([old, known]), num_threads=THREADS)
            results[method]["in lists of all"] = (lists >= n_old).mean()
    return results


def main() -> None:
    options = arguments(__doc__)
    likes, _ = load(options.data)
    print(f"mean ± standard deviation over {options.seeds} seeds")
    start = perf_counter()
    by_seed = [new_users(likes, seed) for seed in range(options.seeds)]
    for name in MOST_KNOWN:
        print(f"\nNew users, {name} known:")
        print_table([results[name] for results in by_seed])
    print("\nNew films, half of their likes known, among themselves:")
    print_table([new_films(likes, seed) for seed in range(options.seeds)])
    print(f"\n{perf_counter() - start:.0f} seconds")


if __name__ == "__main__":
    main()
