"""What features, identities and their scale are worth: known items, new items, new users.

Each fit is asked three things. Of the users and items it knows, which held-out pairs come next;
which new items, that have features alone, go to whom; and which items go to new users, of whom
features alone are known.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import workloads
from harness import Part, Table
from workloads import Size

from lightfm_clone import LightFM
from lightfm_clone.evaluation import evaluate

THREADS, SEEDS, EPOCHS, NO_COMPONENTS = 2, 3, 10, 32
QUESTIONS = "known", "new items", "new users"


@dataclass(frozen=True)
class Task:
    """Who knows what, what is held out, and what is told of whom.

    New users and new items come last; training knows nothing of them.
    """

    name: str
    temperature: float  # of the softmax
    metrics: dict[str, str]  # by question; those that the data have an answer to
    train: sp.csr_matrix  # of the known users and items
    test: sp.csr_matrix  # of all
    user_tags: sp.csr_matrix | None
    item_tags: sp.csr_matrix


def tasks() -> list[Task]:
    """Those whose data are here."""
    found = []
    if (path := workloads.DATA / "ml-1m.npz").is_file():
        data = np.load(path)
        rated, items = np.unique(data["all_item"], return_inverse=True)
        is_new_user = np.random.default_rng(0).random(int(data["n_users"])) < 0.1
        found.append(
            _task(
                "ML-1M",
                0.2,
                dict.fromkeys(QUESTIONS, "ndcg@10"),
                (data["all_user"], items),
                data["all_split"] == 2,
                is_new_user,
                data["suggested_cold_item"][rated].astype(bool),
                workloads.csr(data, "user_feature"),
                workloads.csr(data, "item_genre")[rated],
            )
        )
    if (path := workloads.DATA / "lastfm-hetrec2011.npz").is_file():
        data = np.load(path)
        found.append(
            _task(
                "Last.fm",
                0.1,
                dict.fromkeys(QUESTIONS[:2], "ndcg@20"),
                (data["all_user"], data["all_item"]),
                data["suggested_warm_test"].astype(bool),
                np.zeros(int(data["n_users"]), bool),
                data["suggested_cold_item"].astype(bool),
                None,
                workloads.csr(data, "item_tag"),
            )
        )
    return found


def _task(
    name: str,
    temperature: float,
    metrics: dict[str, str],
    pairs: tuple[np.ndarray, np.ndarray],
    is_held_out: np.ndarray,
    is_new_user: np.ndarray,
    is_new_item: np.ndarray,
    user_tags: sp.csr_matrix | None,
    item_tags: sp.csr_matrix,
) -> Task:
    orders = [np.argsort(is_new, kind="stable") for is_new in (is_new_user, is_new_item)]
    users, items = (
        np.argsort(order)[ids].astype(np.int32) for order, ids in zip(orders, pairs, strict=True)
    )
    known = [int((~is_new).sum()) for is_new in (is_new_user, is_new_item)]
    is_new = (users >= known[0]) | (items >= known[1])
    train, test = (
        sp.csr_matrix((np.ones(part.sum(), np.float32), (users[part], items[part])), shape)
        for part, shape in (
            (~is_held_out & ~is_new, tuple(known)),
            (is_held_out | is_new, (len(is_new_user), len(is_new_item))),
        )
    )
    item_tags = (item_tags[orders[1]] > 0).astype(np.float32)
    if user_tags is not None:
        user_tags = (user_tags[orders[0]] > 0).astype(np.float32)
    return Task(name, temperature, metrics, train, test, user_tags, item_tags)


# ---- what a row of features is -----------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """How the identity and the k features of somebody are weighed."""

    name: str
    identities: bool = True
    features: bool = True
    of_users: bool = True  # whether users have features, where the data have some
    scale: str = "1/sqrt(k)"
    dropout: float = 0.0
    epochs: int = EPOCHS

    def known(self, tags: sp.csr_matrix | None, n: int) -> sp.csr_matrix | None:
        """The rows of those who take part in training; None are identities alone."""
        if tags is None or not self.features:
            return None
        tags = tags[:n]
        if not self.identities:
            return self._scaled(tags, 0)
        own = sp.diags(self._scaled_identity(tags))
        return sp.hstack([own, self._scaled(tags, 1)], format="csr")

    def new(self, tags: sp.csr_matrix, n: int) -> sp.csr_matrix:
        """The rows of those who come later, without a column of their own."""
        own = sp.csr_matrix((tags.shape[0] - n, n if self.identities else 0))
        return sp.hstack([own, self._scaled(tags[n:], 0)], format="csr")

    def _scaled_identity(self, tags: sp.csr_matrix) -> np.ndarray:
        k = tags.getnnz(axis=1)
        return 1 / (k + 1) if self.scale == "1/n" else np.ones(len(k))

    def _scaled(self, tags: sp.csr_matrix, identities: int) -> sp.csr_matrix:
        k = tags.getnnz(axis=1)
        by = {
            "1": np.ones(len(k)),
            "1/n": 1 / np.maximum(k + identities, 1),
            "1/sqrt(k)": 1 / np.sqrt(np.maximum(k, 1)),
        }
        return (sp.diags(by[self.scale]) @ tags).astype(np.float32)


ROWS = (
    Rows("identities alone", features=False),
    Rows("features alone", identities=False),
    Rows("both, each 1", scale="1"),
    Rows("both, each 1/n", scale="1/n"),
    Rows("both, identity 1, features 1/sqrt(k)"),
    Rows("the same, of items only", of_users=False),
    Rows("both, identity_dropout=0.1", dropout=0.1),
    Rows("both, identity_dropout=0.3", dropout=0.3),
    Rows("both, each 1/n, three times the epochs", scale="1/n", epochs=3 * EPOCHS),
)


# ---- a fit, and what it is asked ---------------------------------------------------------------


def _judged(task: Task, rows: Rows, loss: str, seed: int) -> dict[str, float]:
    (n_users, n_items), test = task.train.shape, task.test
    user_tags = task.user_tags if rows.of_users else None
    users, items = rows.known(user_tags, n_users), rows.known(task.item_tags, n_items)
    settings = {"temperature": task.temperature} if loss == "softmax" else {}
    model = LightFM(
        NO_COMPONENTS,
        loss=loss,
        negatives="seen",
        identity_dropout=rows.dropout,
        random_state=seed,
        **settings,
    )
    features = {"user_features": users, "item_features": items}
    model.fit(task.train, **features, epochs=rows.epochs, num_threads=THREADS)
    asked: dict[str, tuple[Any, dict[str, Any]]] = {
        "known": (test[:n_users, :n_items], features | {"train_interactions": task.train})
    }
    if items is not None:
        of_new = features | {"item_features": rows.new(task.item_tags, n_items)}
        asked["new items"] = test[:n_users, n_items:], of_new
    if "new users" in task.metrics:
        # Of whom nothing is told, the biases of items are all there is to go by.
        nothing = sp.csr_matrix((test.shape[0] - n_users, n_users), dtype=np.float32)
        of_new = nothing if users is None else rows.new(user_tags, n_users)
        asked["new users"] = test[n_users:, :n_items], features | {"user_features": of_new}
    return {
        question: evaluate(
            model, wanted, metrics=task.metrics[question], num_threads=THREADS, **given
        )[task.metrics[question]]
        for question, (wanted, given) in asked.items()
    }


def measure(size: Size, wanted: Callable[[str], bool]) -> Part:
    part = Part("ablation", "Features, identities and their scale")
    part.notes = [
        f'd={NO_COMPONENTS}, {EPOCHS} epochs, {THREADS} threads, `negatives="seen"`, everything '
        "else as it stands (the softmax: temperature 0.2 on ML-1M, 0.1 on Last.fm); means and "
        f"standard deviations of {SEEDS} seeds. Nothing was tuned for a row.",
        "k is how many features somebody has, n is k and the identity. "
        '"Each 1/n" is what LightFM\'s `normalize=True` makes, "identity 1, features 1/sqrt(k)" '
        "what `Recommender` makes.",
        "ML-1M: all ratings are likes; genres of films, gender, age class and occupation of "
        "users. NDCG@10. The suggested fifth of the films and a tenth of the users are new; of the "
        "other pairs the third-party test split is held out. Last.fm: tags of artists. NDCG@20. "
        "The suggested artists are new, the suggested warm test is held out.",
        "New items are ranked among themselves, for known users; new users get the known items.",
    ]
    for task in tasks():
        if not wanted(task.name):
            continue
        for loss in ("warp", "softmax"):
            table = Table(f"{task.name}, {loss}", ["rows", *task.metrics], [])
            part.tables.append(table)
            print(table.title, *table.columns, sep="  ", flush=True)
            for rows in ROWS:
                if task.user_tags is None and not rows.of_users:
                    continue
                found = [_judged(task, rows, loss, seed) for seed in range(SEEDS)]
                row = [rows.name, *(_cell([each.get(of) for each in found]) for of in task.metrics)]
                table.rows.append(row)
                print(*row, sep="  ", flush=True)
    return part


def _cell(values: list[float | None]) -> str:
    of_all = [value for value in values if value is not None]
    if not of_all:
        return ""
    return f"{statistics.mean(of_all):.4f} ± {statistics.stdev(of_all):.4f}"
