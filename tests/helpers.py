"""What several test modules need: cases, small data, the public arrays, models of given numbers."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from itertools import combinations, product
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from scipy.stats import rankdata

import lightfm_clone
from lightfm_clone import LightFM, _core

LOSSES = _core.LOSSES
SCHEDULES = _core.SCHEDULES
ARRAYS = tuple(
    f"{side}_{kind}"
    for side in ("item", "user")
    for kind in (
        "embeddings",
        "embedding_gradients",
        "embedding_momentum",
        "biases",
        "bias_gradients",
        "bias_momentum",
    )
)


# Cases


def pairwise(*axes: Iterable[object]) -> list[tuple[object, ...]]:
    """Few of all the combinations: each value of an axis meets each value of every other axis.

    For ``parametrize``, where the effects of more than two values at once are no subject.
    """
    values = [tuple(axis) for axis in axes]

    def pairs(case: Sequence[int]) -> set[tuple[int, int, int, int]]:
        return {(a, case[a], b, case[b]) for a, b in combinations(range(len(case)), 2)}

    everything = [*product(*(range(len(axis)) for axis in values))]
    missing = set().union(*map(pairs, everything))
    chosen = []
    while missing:
        chosen.append(max(everything, key=lambda case: len(pairs(case) & missing)))
        missing -= pairs(chosen[-1])
    return [tuple(map(tuple.__getitem__, values, case)) for case in sorted(chosen)]


# Data


def random_interactions(
    seed: int = 0, shape: tuple[int, int] = (30, 20), n_entries: int = 150
) -> sp.coo_matrix:
    """Distinct entries in no order; most are positive, some zero or negative."""
    rng = np.random.default_rng(seed)
    rows, cols = np.divmod(rng.permutation(shape[0] * shape[1])[:n_entries], shape[1])
    values = rng.choice([1.0, 4.0, 0.0, -1.0], size=n_entries, p=[0.6, 0.2, 0.1, 0.1])
    return sp.coo_matrix((values.astype(np.float32), (rows, cols)), shape=shape)


def random_features(n_rows: int, n_columns: int, seed: int = 0) -> sp.csr_matrix:
    """About half of the entries stored, with signed values."""
    rng = np.random.default_rng(seed)
    dense = rng.uniform(-1, 1.5, size=(n_rows, n_columns)) * (rng.random((n_rows, n_columns)) < 0.5)
    return sp.csr_matrix(dense.astype(np.float32))


def groups_of_taste(
    seed: int = 0, n_users: int = 120, n_items: int = 60, n_groups: int = 2, share: float = 0.5
) -> tuple[sp.coo_matrix, sp.coo_matrix]:
    """Users of group g like the items of group g (number modulo n_groups) and no others.

    The first matrix stores that random share of what they like; the second all the rest of it.
    """
    rng = np.random.default_rng(seed)
    same_group = np.arange(n_users)[:, None] % n_groups == np.arange(n_items) % n_groups
    seen = same_group & (rng.random((n_users, n_items)) < share)
    return tuple(sp.coo_matrix(part.astype(np.float32)) for part in (seen, same_group & ~seen))


# Models


def arrays_of(model: LightFM) -> dict[str, np.ndarray]:
    """Copies of the twelve public arrays."""
    return {name: np.copy(getattr(model, name)) for name in ARRAYS}


def assert_equal_arrays(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    """Bit for bit."""
    for name in ARRAYS:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name, strict=True)


def are_finite(model: LightFM) -> bool:
    return all(np.isfinite(array).all() for array in arrays_of(model).values())


def model_with(
    user_embeddings: np.ndarray,
    item_embeddings: np.ndarray,
    user_biases: np.ndarray | None = None,
    item_biases: np.ndarray | None = None,
) -> LightFM:
    """A model of the given parameters, one feature a user and an item; biases default to 0."""
    users, items = (np.asarray(x, dtype=np.float32) for x in (user_embeddings, item_embeddings))
    model = LightFM(no_components=users.shape[1])
    model.fit(sp.coo_matrix((len(users), len(items))), epochs=0)
    model.user_embeddings, model.item_embeddings = users, items
    if user_biases is not None:
        model.user_biases = np.asarray(user_biases, dtype=np.float32)
    if item_biases is not None:
        model.item_biases = np.asarray(item_biases, dtype=np.float32)
    return model


def all_scores(model: LightFM, n_users: int, n_items: int, **features: sp.spmatrix) -> np.ndarray:
    """Scores [n_users, n_items] by `predict`."""
    users, items = np.divmod(np.arange(n_users * n_items), max(n_items, 1))
    return model.predict(users, items, **features).reshape(n_users, n_items)


def explicit_auc(model: LightFM, interactions: sp.coo_matrix, **features: sp.spmatrix) -> float:
    """Area under the ROC curve of the scores of all stored entries, taken as one list."""
    scores = model.predict(interactions.row, interactions.col, **features)
    positive = interactions.data > 0
    n_positive, n_negative = positive.sum(), (~positive).sum()
    above = rankdata(scores)[positive].sum() - n_positive * (n_positive + 1) / 2
    return above / (n_positive * n_negative)


# Processes


def run_python(
    *arguments: str | Path,
    cwd: Path | None = None,
    path: Path | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run a fresh interpreter that finds this package, and modules in the folder `path` first."""
    package_home = Path(lightfm_clone.__file__).resolve().parent.parent
    search = [folder for folder in (path, package_home) if folder is not None]
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        # Not the folder of the tests' own process: that may hold the package's unbuilt sources.
        cwd=cwd or tempfile.gettempdir(),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, search))},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def output_of(code: str, *arguments: str | Path, **options: Path | float | None) -> str:
    """What a fresh interpreter prints when it runs `code` without an error."""
    done = run_python("-c", code, *arguments, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
