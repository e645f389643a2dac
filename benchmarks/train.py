"""Training speed: WARP, 64 components, on two million synthetic interactions.

Rounds of one thread and two threads alternate on the same model state, and medians are printed, so
that a machine whose speed drifts still gives a fair ratio.
"""

from __future__ import annotations

import copy
import statistics
import time

import lightfm_clone
from lightfm_clone.datasets import synthetic_catalogue

ROUNDS = 5

if __name__ == "__main__":
    lightfm_clone.show_config()
    interactions = synthetic_catalogue(
        n_users=60_000, n_items=30_000, n_interactions=2_000_000, random_state=0
    ).interactions
    n = interactions.nnz
    warm = lightfm_clone.LightFM(no_components=64, loss="warp", random_state=0)
    warm.fit(interactions, epochs=3, num_threads=2)

    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(ROUNDS):
        for threads, times in seconds.items():
            model = copy.deepcopy(warm)
            start = time.perf_counter()
            model.fit_partial(interactions, epochs=1, num_threads=threads)
            times.append(time.perf_counter() - start)

    print(f"\nWARP, 64 components, {n:,} interactions, after 3 epochs, median of {ROUNDS}:")
    for threads, times in seconds.items():
        median = statistics.median(times)
        print(f"  {threads} thread{'s' * (threads > 1)}: {n / median:12,.0f} examples per second")
    ratio = statistics.median(seconds[1]) / statistics.median(seconds[2])
    print(f"  two threads over one: {ratio:.2f}x")
