"""Serve a model from a vector index, and measure what its approximate search misses.

Usage:
    python examples/vector_index.py                  a synthetic catalogue of 30,000 films
    python examples/vector_index.py path/to/data     a MovieLens zip or folder, or a ratings file

`LightFM.score_vectors` turns users and items into vectors whose inner product is the score. The
items' go into an index (here an HNSW graph of voyager), which then finds the best items for a
user's vector by looking at a few hundred of them. What it finds is compared with the exact ten
best.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from lightfm_clone import LightFM, datasets

try:
    import voyager
except ImportError as error:
    sys.exit(f'this example needs voyager ({error}): pip install "lightfm-clone[index]"')

K = 10
N_QUERIES = 1_000
# Edges of each item in the graph, and candidates looked at to find them. More give a better graph
# that takes longer to build.
GRAPH = {"M": 16, "ef_construction": 200}
# Candidates looked at for a query: the dial between speed and recall.
QUERY_EFS = (25, 50, 100, 200)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", help="MovieLens zip or folder, or a ratings file")
    parser.add_argument("--items", type=int, default=30_000, help="of the synthetic catalogue")
    arguments = parser.parse_args()

    if arguments.data is None:
        n_items = arguments.items
        catalogue = datasets.synthetic_catalogue(10_000, n_items, 20 * n_items, random_state=0)
    else:
        try:
            catalogue = datasets.load_ratings(arguments.data)
        except (OSError, ValueError) as error:
            parser.error(str(error))
    n_users, n_items = catalogue.interactions.shape
    print(f"{n_users:,} users, {n_items:,} items, {catalogue.interactions.nnz:,} interactions")

    features = {
        "user_features": catalogue.user_features,
        "item_features": catalogue.item_features,
    }
    model = LightFM(no_components=32, loss="warp", negatives="seen", random_state=0)
    seen = catalogue.interactions.sign()  # who has rated a film, high or low, has seen it
    model.fit(seen, **features, epochs=10, num_threads=None)
    user_vectors, item_vectors = model.score_vectors(**features)

    # InnerProduct, and never Cosine: a score is not normalised, its biases least of all.
    index = voyager.Index(voyager.Space.InnerProduct, item_vectors.shape[1], **GRAPH, random_seed=1)
    start = time.perf_counter()
    # Item i gets the id i. One thread makes the same graph every time; several race, and about one
    # graph of theirs in fifty misses 2 to 5 % of the best items, however long one looks.
    index.add_items(item_vectors, num_threads=1)
    print(f"index of {len(index):,} items built in {time.perf_counter() - start:.1f} s")

    users = np.random.default_rng(0).permutation(n_users)[:N_QUERIES]
    queries = user_vectors[users]

    def measured(search) -> tuple[np.ndarray, float]:
        """Ids of the best items of each query, and milliseconds a query, one at a time."""
        start = time.perf_counter()
        ids = np.array([search(query) for query in queries])
        return ids, (time.perf_counter() - start) * 1_000 / len(queries)

    exact, milliseconds = measured(lambda query: np.argpartition(-(item_vectors @ query), K)[:K])
    print(f"\n{'':16}recall@{K}   ms a query")
    print(f"{'exact':16}{1:9.3f}{milliseconds:13.2f}")
    for query_ef in QUERY_EFS:
        found, milliseconds = measured(
            lambda query, query_ef=query_ef: index.query(query, k=K, query_ef=query_ef)[0]
        )
        # The share of the exact ten best that the index found, the mean over users.
        recall = (found[:, :, None] == exact[:, None, :]).any(axis=1).mean()
        print(f"{f'query_ef={query_ef}':16}{recall:9.3f}{milliseconds:13.2f}")


if __name__ == "__main__":
    main()
