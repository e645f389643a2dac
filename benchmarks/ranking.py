"""Scores, ranks and metrics on the real MovieLens sets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import workloads
from harness import Part, mean_seconds
from models import both_libraries, peer_library, state_of, with_state
from workloads import Size

import lightfm_clone.evaluation
from lightfm_clone import LightFM

DIMENSIONS = {"ML-100K": 30, "ML-1M": 64}
USERS_ASKED = 300
PREDICT = f"predict, {USERS_ASKED} users x all items, ML-1M d=64"


def measure(size: Size, wanted: Callable[[str], bool]) -> Part:
    part = Part("ranking", "Prediction and evaluation, 1 thread")
    part.notes = [
        "WARP after 3 epochs, with the same arrays on both sides; all users with test items, "
        f"training items masked; interleaved rounds: {size.rounds}, of ML-1M's ranks "
        f"{size.slow_rounds}."
    ]
    evaluations = {
        name: library.evaluation
        for name, library in zip(both_libraries(), (peer_library(), lightfm_clone), strict=True)
    }
    for data, no_components in DIMENSIONS.items():
        names = {
            function: f"{function}, {data} d={no_components}"
            for function in ("predict_rank", "precision_at_k", "auc_score")
        }
        if not any(map(wanted, (PREDICT, *names.values()))):
            continue
        ratings = workloads.movielens(data)
        if ratings is None:
            part.skip(data, workloads.NO_DATA)
            continue
        train, test = map(workloads.implicit_feedback, ratings)
        parameters = {"loss": "warp", "no_components": no_components}
        state = state_of(LightFM(**parameters, random_state=0).fit(train, epochs=3))
        models = {
            name: with_state(make(**parameters), state) for name, make in both_libraries().items()
        }
        if data == "ML-1M" and wanted(PREDICT):
            sides = {name: partial(_call_cost, model, train) for name, model in models.items()}
            part.compare(PREDICT, "us/call", sides, size.rounds, least=10, aim=14)
        rounds = size.slow_rounds if data == "ML-1M" else size.rounds
        for function, row in names.items():
            if not wanted(row):
                continue
            calls = {
                name: partial(model.predict_rank, test, train)
                if function == "predict_rank"
                else partial(getattr(evaluations[name], function), model, test, train)
                for name, model in models.items()
            }
            sides = {name: partial(mean_seconds, call) for name, call in calls.items()}
            part.compare(row, "s", sides, rounds, least=12, aim=30)
    return part


def _call_cost(model: LightFM, train) -> float:
    """Microseconds of a call that scores all items for one user."""
    n_users, n_items = train.shape
    users = np.linspace(0, n_users - 1, USERS_ASKED).astype(int).tolist()
    items = np.arange(n_items)

    def ask_all() -> None:
        for user in users:
            model.predict(user, items)

    return 1e6 * mean_seconds(ask_all) / USERS_ASKED
