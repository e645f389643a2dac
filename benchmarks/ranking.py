"""Scores, ranks and metrics on the real MovieLens sets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
import workloads
from harness import Part, mean_seconds, seconds
from models import PEER, both_libraries, peer_library, state_of, with_state
from workloads import Size

import lightfm_clone.evaluation
from lightfm_clone import LightFM

DIMENSIONS = {"ML-100K": 30, "ML-1M": 64}
USERS_ASKED = 300
PREDICT = f"predict, {USERS_ASKED} users x all items, ML-1M d=64"
TOP = 10
LIST_COMPONENTS = 64
# `predict` scores the items of one user at a time, so a few users tell what one costs.
USERS_PREDICTED = 50
Lists = tuple[np.ndarray, np.ndarray]  # ids and scores [n, TOP]


def measure(size: Size, wanted: Callable[[str], bool]) -> Part:
    part = Part("ranking", "Prediction, evaluation and recommendation")
    n_users, n_items, n = size.lists
    part.notes = [
        "WARP after 3 epochs, with the same arrays on both sides; all users with test items, "
        "training items masked; 1 thread where nothing else is said; interleaved rounds: "
        f"{size.rounds}, of ML-1M's ranks and of `recommend` {size.slow_rounds}.",
        f"`recommend`: the {TOP} best of {n_items:,} items that a user does not know, d="
        f"{LIST_COMPONENTS}, for {n_users:,} users with {n:,} synthetic interactions in one call.",
        f"{PEER} has no such method: `predict` for all items, known ones struck out, argpartition; "
        f"{USERS_PREDICTED} users are timed.",
        "implicit: its batch `recommend` on the vectors that `score_vectors` gives (biases are two "
        "more columns), with BLAS limited to one thread, as it asks for.",
        "The lists are the same on both sides, but for the order of equal scores.",
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
    _measure_lists(part, size, wanted)
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


# ---- top-N ------------------------------------------------------------------------------------


def _measure_lists(part: Part, size: Size, wanted: Callable[[str], bool]) -> None:
    n_users, n_items, _ = size.lists
    rows = {
        (of, threads): f"recommend, {n_users:,} users x {n_items:,} items d={LIST_COMPONENTS}, "
        f"{threads} thread{'s' * (threads > 1)}, against {of}"
        for of in ("predict", "implicit")
        for threads in (1, 2)
    }
    if not any(map(wanted, rows.values())):
        return
    interactions = workloads.interactions(*size.lists)
    known = interactions.tocsr()
    parameters = {"loss": "warp", "no_components": LIST_COMPONENTS}
    model = LightFM(**parameters, random_state=0).fit(interactions, epochs=3)
    peer = with_state(both_libraries()[PEER](**parameters), state_of(model))
    everyone = np.arange(n_users)
    few = np.linspace(0, n_users - 1, USERS_PREDICTED).astype(int)

    def ours(threads: int) -> Lists:
        return model.recommend(k=TOP, exclude=known, num_threads=threads)

    others = {
        "predict": (PEER, few, partial(lists_by_predict, peer, few, known)),
        "implicit": ("implicit", everyone, lists_of_implicit(model, known)),
    }
    for (of, threads), row in rows.items():
        if not wanted(row):
            continue
        library, users, theirs = others[of]
        require_alike(theirs(threads), tuple(each[users] for each in ours(threads)))
        sides = {
            library: partial(_user_cost, theirs, threads, len(users)),
            "ours": partial(_user_cost, ours, threads, n_users),
        }
        least = 12 if of == "predict" else 1
        part.compare(row, "us/user", sides, size.slow_rounds, least=least, aim=least)


def _user_cost(lists: Callable[[int], Lists], threads: int, n_users: int) -> float:
    """Microseconds a user of a call that makes the lists of so many."""
    return 1e6 * seconds(lists, threads) / n_users


def lists_by_predict(model: Any, users: np.ndarray, known: sp.csr_matrix, threads: int) -> Lists:
    """What LightFM's users write themselves."""
    items = np.arange(known.shape[1])
    best = np.empty((len(users), TOP), dtype=np.int32)
    found = np.empty((len(users), TOP), dtype=np.float32)
    for row, user in enumerate(users.tolist()):
        scores = model.predict(user, items, num_threads=threads)
        scores[known.indices[known.indptr[user] : known.indptr[user + 1]]] = -np.inf
        first = np.argpartition(-scores, TOP)[:TOP]
        best[row] = first[np.argsort(-scores[first])]
        found[row] = scores[best[row]]
    return best, found


def lists_of_implicit(model: LightFM, known: sp.csr_matrix) -> Callable[[int], Lists]:
    """Lists of all users by a model of implicit's with the same scores."""
    from implicit.als import AlternatingLeastSquares

    users, items = model.score_vectors()
    other = AlternatingLeastSquares(factors=users.shape[1], use_gpu=False)
    other.user_factors, other.item_factors = users, items
    everyone = np.arange(len(users))

    def lists(threads: int) -> Lists:
        other.num_threads = threads
        return other.recommend(everyone, known, N=TOP, filter_already_liked_items=True)

    return lists


def require_alike(one: Lists, other: Lists) -> None:
    """Check that both have the same scores and, where no score is near another, the same ids."""
    (ids, scores), (other_ids, other_scores) = one, other
    near = 1e-4 * np.abs(scores).max()
    # Nothing is known of what comes after the last one.
    apart = np.abs(np.diff(scores, axis=1, prepend=np.inf, append=scores[:, -1:])) > near
    alone = apart[:, 1:] & apart[:, :-1]
    if np.abs(scores - other_scores).max() > near or (ids != other_ids)[alone].any():
        raise ValueError("the lists are not the same, so their speed cannot be compared")
