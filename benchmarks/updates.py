"""Ten daily updates beside training from scratch each day: quality on the day after, and time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import workloads
from harness import Part, Table, number
from workloads import Size

from lightfm_clone import LightFM, evaluate
from lightfm_clone.datasets import synthetic_catalogue
from lightfm_clone.recommender.updating import train_on_new

DAYS, BEGIN, SHARE = 10, 0.87, 0.01  # where the updates begin, and a day's share of the log
EPOCHS = 10
LOSSES = ("warp", "softmax")
COLUMNS = "day,NDCG@10 of day 0,scratch,updated,ratio,seconds scratch,update,ratio".split(",")


class Log(NamedTuple):
    """Pairs in the order of time; users and items are numbered as they come up."""

    users: np.ndarray
    items: np.ndarray
    user_tags: sp.csr_matrix
    item_tags: sp.csr_matrix

    def until(self, day: int) -> sp.csr_matrix:
        """All that has happened by the end of a day; 0 is the day before the updates."""
        users, items = (column[: self._cut(day)] for column in (self.users, self.items))
        return _matrix(users, items, (users.max() + 1, items.max() + 1))

    def on(self, day: int, shape: tuple[int, int]) -> sp.csr_matrix:
        """What happens on a day between users and items of such numbers."""
        there = slice(self._cut(day - 1), self._cut(day))
        users, items = self.users[there], self.items[there]
        inside = (users < shape[0]) & (items < shape[1])
        return _matrix(users[inside], items[inside], shape)

    def features(self, shape: tuple[int, int]) -> dict[str, sp.csr_matrix]:
        """Tags, and an own feature for each after them, for ids that come later come last."""
        sides = {"user_features": self.user_tags, "item_features": self.item_tags}
        return {
            name: _normalized(sp.hstack([tags[:n], sp.identity(n)], format="csr"))
            for (name, tags), n in zip(sides.items(), shape, strict=True)
        }

    def _cut(self, day: int) -> int:
        return int(len(self.users) * (BEGIN + SHARE * day))


def measure(size: Size, wanted: Callable[[str], bool]) -> Part:
    part = Part("updates", "Daily updates beside training from scratch, 1 thread")
    part.notes = [
        f"After {BEGIN:.0%} of the log by time, {DAYS} days of {SHARE:.0%} each, with who and what "
        "is new that day. NDCG@10 on the day after, of users and items known by then, what they "
        f"know left out. Scratch is {EPOCHS} epochs over all by then, d=32; an update is "
        f"`train_on_new` with its defaults. Mean of {size.update_seeds} seeds; one day of one seed "
        "is noise. Day 0's model has drawn rows for who and what is new.",
    ]
    logs = {"catalogue": lambda: _catalogue(size), "ML-100K": _movielens}
    for name, make in logs.items():
        for kind in ("ids", "ids and tags"):
            for loss in LOSSES:
                title = f"{name}, {kind}, {loss}"
                if not wanted(title):
                    continue
                log = make()
                if log is None:
                    part.skip(title, workloads.NO_DATA)
                    continue
                table = _table(title, log, kind != "ids", loss, size.update_seeds)
                part.tables.append(table)
                rows = ("  ".join(map(number, row)) for row in [COLUMNS, *table.rows])
                print(title, *rows, sep="\n  ", flush=True)
    return part


def _table(title: str, log: Log, with_tags: bool, loss: str, seeds: int) -> Table:
    runs = [_run(log, with_tags, loss, seed) for seed in range(seeds)]
    rows = []
    for day, values in enumerate(zip(*runs, strict=True), 1):
        rows.append(_row(day, *map(statistics.mean, zip(*values, strict=True))))
    columns = list(zip(*rows, strict=True))
    rows.append(_row("all", *(statistics.mean(columns[at]) for at in (1, 2, 3, 5, 6))))
    return Table(title, COLUMNS, rows)


def _row(
    day: int | str, stale: float, scratch: float, updated: float, slow: float, fast: float
) -> list[int | str | float]:
    return [day, stale, scratch, updated, updated / scratch, slow, fast, fast / slow]


def _run(
    log: Log, with_tags: bool, loss: str, seed: int
) -> list[tuple[float, float, float, float]]:
    """NDCG from scratch and updated, and the seconds of both, by day."""

    def new() -> LightFM:
        return LightFM(32, loss=loss, random_state=seed)

    def features(matrix: sp.csr_matrix) -> dict[str, sp.csr_matrix]:
        return log.features(matrix.shape) if with_tags else {}

    known = log.until(0)
    stale, updated = (new().fit(known, **features(known), epochs=EPOCHS) for _ in range(2))
    found = []
    for day in range(1, DAYS + 1):
        known = log.until(day)
        new_pairs, given = log.on(day, known.shape), features(known)
        start = time.perf_counter()
        train_on_new(updated, known, new_pairs, **given)
        between = time.perf_counter()
        scratch = new().fit(known, **given, epochs=EPOCHS)
        end = time.perf_counter()
        stale.resize(len(updated.user_biases), len(updated.item_biases))
        test = log.on(day + 1, known.shape)
        quality = (
            evaluate(model, test, known, metrics=("ndcg@10",), **given)["ndcg@10"]
            for model in (stale, scratch, updated)
        )
        found.append((*quality, end - between, between - start))
    return found


def _catalogue(size: Size) -> Log:
    """The synthetic catalogue; its people join over the first half of what is used."""
    drawn = synthetic_catalogue(*size.updates, random_state=1)
    log = drawn.interactions
    n = int(0.6 * log.nnz)  # nobody joins in the last fifth of the time
    return _log(log.row[:n], log.col[:n], drawn.user_tags, drawn.item_tags)


def _movielens() -> Log | None:
    path = workloads.DATA / "ml-100k.npz"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as archive:
        order = np.argsort(archive["all_timestamp"], kind="stable")
        users, items = (archive[f"all_{of}"][order] for of in ("user", "item"))
        tags = (
            sp.csr_matrix(
                tuple(archive[f"{name}_{part}"] for part in ("data", "indices", "indptr")),
                shape=archive[f"{name}_shape"],
            )
            for name in ("user_feature", "item_genre")
        )
        return _log(users, items, *tags)


def _log(
    users: np.ndarray, items: np.ndarray, user_tags: sp.csr_matrix, item_tags: sp.csr_matrix
) -> Log:
    """Distinct pairs in the order of time, numbered as users and items come up."""
    (users, user_ids), (items, item_ids) = map(_by_appearance, (users, items))
    return Log(users, items, user_tags[user_ids], item_tags[item_ids])


def _by_appearance(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers by first appearance, and the id of each number."""
    distinct, first, numbers = np.unique(ids, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return np.argsort(order)[numbers], distinct[order]


def _matrix(users: np.ndarray, items: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    matrix = sp.csr_matrix((np.ones(len(users), np.float32), (users, items)), shape=shape)
    matrix.sum_duplicates()
    return matrix


def _normalized(features: sp.csr_matrix) -> sp.csr_matrix:
    sums = np.asarray(features.sum(axis=1)).ravel()
    return sp.csr_matrix(sp.diags(1 / sums) @ features, dtype=np.float32)
