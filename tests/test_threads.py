"""Two threads learn as well as one: the one test of the noise that threads bring.

What else is judged by quality is trained on one thread, where runs are bit for bit equal.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import are_finite

from lightfm_clone import LightFM
from lightfm_clone.evaluation import auc_score

N_RUNS = 4
# How far the mean AUC of so many runs on two threads may lie from that of one thread. Measured over
# 25 such means on an idle machine of two cores, as mean +- standard deviation (beside a process
# that kept both cores busy, up to half as wide again):
#
#     bpr, adagrad        +0.0018 +- 0.0001      warp-kos, sgd       +0.0040 +- 0.0012
#     logistic, sgd       +0.0002 +- 0.0001      mse, adadelta       +0.0005 +- 0.0008
#     warp, adagrad       +0.0019 +- 0.0005      softmax, adadelta   -0.0026 +- 0.0004
#
# So the nearest end of the band is 9 standard deviations away. Training on half of the examples
# costs 0.034 (softmax) to 0.12 (logistic).
BAND = 0.015


@pytest.fixture(scope="module")
def parts() -> tuple[sp.coo_matrix, sp.coo_matrix, sp.coo_matrix]:
    """Likes to train on, the same with dislikes, and likes to test with.

    Users like two fifths of the items of their group and a few of the others: the best AUC is 0.72,
    and what training lacks shows.
    """
    rng, shape, n_groups = np.random.default_rng(6), (600, 240), 4
    same_group = np.arange(shape[0])[:, None] % n_groups == np.arange(shape[1]) % n_groups
    liked = rng.random(shape) < np.where(same_group, 0.4, 0.08)
    seen = rng.random(shape) < 0.5
    disliked = ~liked & seen & (rng.random(shape) < 0.2)
    return tuple(
        sp.coo_matrix(part.astype(np.float32))
        for part in (liked & seen, (liked & seen) - 1.0 * disliked, liked & ~seen)
    )


@pytest.mark.parametrize(
    ("loss", "schedule"),
    [
        ("bpr", "adagrad"),
        ("logistic", "sgd"),
        ("warp", "adagrad"),
        ("warp-kos", "sgd"),
        ("mse", "adadelta"),
        ("softmax", "adadelta"),
    ],
)
def test_two_threads_learn_as_well_as_one(parts, loss, schedule):
    """With L2. How examples are dealt to threads depends on neither loss nor schedule."""
    likes, with_dislikes, test = parts
    train = with_dislikes if loss in ("logistic", "mse") else likes

    def quality(num_threads: int) -> float:
        model = LightFM(
            loss=loss,
            learning_schedule=schedule,
            learning_rate=0.1,
            epsilon=1e-4,
            n_negatives=20,
            item_alpha=1e-6,
            user_alpha=1e-6,
            random_state=1,
        )
        model.fit(train, epochs=15, num_threads=num_threads)
        assert are_finite(model)
        return auc_score(model, test, likes).mean()

    two = np.mean([quality(2) for _ in range(N_RUNS)])
    assert two == pytest.approx(quality(1), abs=BAND)
