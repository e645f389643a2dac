"""Quality must not move: precision@10 and AUC over several seeds, beside the peer's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
import workloads
from harness import Part, Table
from models import PEER, both_libraries, state_of, with_state
from workloads import Size

from lightfm_clone import LightFM
from lightfm_clone.evaluation import auc_score, precision_at_k

LIKED = 4  # ratings from here on are positives, the others negatives
DATA = {"ML-100K": 30, "ML-1M": 30}  # no_components
LOSSES = {
    "WARP": {"loss": "warp"},
    "BPR": {"loss": "bpr"},
    "logistic": {"loss": "logistic"},
    "WARP-kOS": {"loss": "warp-kos"},
}
MORE_ON_ML_100K = {
    "WARP, L2 of 1e-5": {"loss": "warp", "item_alpha": 1e-5, "user_alpha": 1e-5},
    "WARP, adadelta": {"loss": "warp", "learning_schedule": "adadelta"},
}


def measure(size: Size, wanted: Callable[[str], bool]) -> Part:
    part = Part("quality", "Quality beside the peer's")
    part.notes = [
        f"Ratings from {LIKED} on are positives, the others negatives (left out for WARP-kOS, "
        "which takes every entry as a positive); default learning rate, "
        f"{size.quality_epochs} epochs, 1 thread, {size.seeds} seeds: mean and standard deviation "
        "over seeds. Test positives are ranked with all training items masked, both libraries' "
        "models by the same code.",
        "`t` is the difference of the means over its standard error. For 5 seeds, it is beyond 2.3 "
        "either way by chance alone in one row of twenty.",
    ]
    for data, no_components in DATA.items():
        cases = {**LOSSES, **(MORE_ON_ML_100K if data == "ML-100K" else {})}
        cases = {name: case for name, case in cases.items() if wanted(f"{data} {name}")}
        ratings = workloads.movielens(data)
        if ratings is None:
            part.skip(data, workloads.NO_DATA)
        elif cases:
            table = Table(
                f"{data}, d={no_components}",
                ["model", "measure", f"{PEER}", "ours", "difference", "t"],
                [],
            )
            part.tables.append(table)
            for name, parameters in cases.items():
                parameters = {**parameters, "no_components": no_components}
                for row in _compared(name, parameters, *ratings, size):
                    table.rows.append(row)
                    print(data, *row, sep="  ", flush=True)
    return part


def _positives(ratings: sp.coo_matrix) -> sp.coo_matrix:
    liked = ratings.data >= LIKED
    entries = (ratings.row[liked], ratings.col[liked])
    return sp.coo_matrix((np.ones(liked.sum(), np.float32), entries), ratings.shape)


def _compared(
    name: str, parameters: dict, train: sp.coo_matrix, test: sp.coo_matrix, size: Size
) -> list[list[str]]:
    """A row for each measure."""
    if parameters["loss"] == "warp-kos":
        interactions = _positives(train)
    else:
        signs = np.where(train.data >= LIKED, 1, -1).astype(np.float32)
        interactions = sp.coo_matrix((signs, (train.row, train.col)), train.shape)
    test = _positives(test)
    found: dict[str, list[tuple[float, float]]] = {}
    for library, make in both_libraries().items():
        for seed in range(size.seeds):
            model = make(**parameters, random_state=seed)
            model.fit(interactions, epochs=size.quality_epochs)
            judged = with_state(LightFM(**parameters), state_of(model))
            found.setdefault(library, []).append(
                tuple(
                    float(metric(judged, test, train).mean())
                    for metric in (precision_at_k, auc_score)
                )
            )
    theirs, ours = (np.array(found[library]).T for library in found)
    return [
        [name, measure, _mean_and_deviation(a), _mean_and_deviation(b), *_difference(a, b)]
        for measure, a, b in zip(("precision@10", "AUC"), theirs, ours, strict=True)
    ]


def _mean_and_deviation(values: np.ndarray) -> str:
    return f"{values.mean():.4f} ± {values.std(ddof=1):.4f}"


def _difference(theirs: np.ndarray, ours: np.ndarray) -> tuple[str, str]:
    """Of the means, and over its standard error (Welch's t)."""
    difference = ours.mean() - theirs.mean()
    error = np.sqrt(theirs.var(ddof=1) / len(theirs) + ours.var(ddof=1) / len(ours))
    return f"{difference:+.4f}", f"{difference / error:+.1f}" if error > 0 else ""
