"""The public splits that papers on graph networks report: Gowalla, Yelp2018, Amazon-Book.

    python benchmarks/losses.py --split FOLDER

FOLDER has train.txt and test.txt as they are published, a line a user: "user item item ...". By the
papers' protocol all items but those the user has in train.txt are candidates; Recall@20 is the
share of the user's test items that are among the 20 best, NDCG@20 has the ideal of min(20, test
items); both are means over the users with test items. What the papers say stands in PUBLISHED.

Settings are chosen on a random tenth of each user's training items; then everything is trained on
the whole of train.txt.
"""

from __future__ import annotations

import itertools
import re
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from harness import Table, markdown_table
from scale import costs_of

from lightfm_clone import ItemNeighbours, LightFM, WithNeighbours
from lightfm_clone.data import activity_weights

TOP, SEEDS, THREADS, EPOCHS = 20, 3, 2, 25
USERS_AT_A_TIME = 10_000
# Weights other than 0 make active users count less (`activity_weights`).
GRID = {"temperature": (0.1, 0.15, 0.2), "user_power": (0.0, 0.5)}

LIGHTGCN = 'X. He et al., "LightGCN", SIGIR 2020'
BARS = "BARS, an open benchmark of candidate matching, github.com/xue-pai/Open-CF-Benchmark"
# Recall@20 and NDCG@20 by data set: method, the two values, who says so.
PUBLISHED: dict[str, list[tuple[str, float, float, str]]] = {
    "gowalla": [
        ("NGCF", 0.1569, 0.1327, f"{LIGHTGCN}, table 3, three layers"),
        ("LightGCN", 0.1830, 0.1554, f"{LIGHTGCN}, table 4"),
        ("UltraGCN", 0.1862, 0.1580, 'K. Mao et al., "UltraGCN", CIKM 2021'),
        ("SimpleX", 0.1872, 0.1557, 'K. Mao et al., "SimpleX", CIKM 2021'),
        ("EASE", 0.1765, 0.1467, BARS),
    ],
    "yelp2018": [
        ("NGCF", 0.0579, 0.0477, f"{LIGHTGCN}, table 3, three layers"),
        ("LightGCN", 0.0649, 0.0530, f"{LIGHTGCN}, table 4"),
        ("UltraGCN", 0.0683, 0.0561, 'K. Mao et al., "UltraGCN", CIKM 2021'),
        ("SimpleX", 0.0701, 0.0575, 'K. Mao et al., "SimpleX", CIKM 2021'),
        ("EASE", 0.0657, 0.0552, BARS),
    ],
    "amazonbook": [
        ("NGCF", 0.0337, 0.0261, f"{LIGHTGCN}, table 3, three layers"),
        ("LightGCN", 0.0411, 0.0315, f"{LIGHTGCN}, table 4"),
        ("UltraGCN", 0.0681, 0.0556, 'K. Mao et al., "UltraGCN", CIKM 2021'),
        ("SimpleX", 0.0583, 0.0468, 'K. Mao et al., "SimpleX", CIKM 2021'),
        ("EASE", 0.0710, 0.0567, BARS),
    ],
}


# ---- reading ------------------------------------------------------------------------------------


def _lines_of(path: Path) -> dict[int, list[int]]:
    """Items by user. A user may have none, an item that stands twice counts once."""
    items: dict[int, list[int]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if not all(word.isascii() and word.isdigit() for word in words):
            shown = line if len(line) <= 60 else f"{line[:57]}..."
            raise ValueError(
                f'{path}, line {number}: a line must be "user item item ...", all integers of at '
                f"least 0, got {shown!r}"
            )
        user, *own = map(int, words)
        if user in items:
            raise ValueError(f"{path}, line {number}: user {user} has a line above already")
        items[user] = sorted(set(own))
    return items


def read(folder: Path) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """The training and the test part of a folder, of one shape.

    Raises
    ------
    ValueError
        For a line that is none, or a file without an interaction; with the file and the line.
    """
    parts = {name: _lines_of(folder / name) for name in ("train.txt", "test.txt")}
    for name, part in parts.items():
        if not any(part.values()):
            raise ValueError(f"{folder / name}: there are no interactions")
    n_users = 1 + max(max(part) for part in parts.values())
    n_items = 1 + max(max(own) for part in parts.values() for own in part.values() if own)
    train, test = (_matrix(part, n_users, n_items) for part in parts.values())
    return train, test


def _matrix(items: dict[int, list[int]], n_users: int, n_items: int) -> sp.csr_matrix:
    counts = np.zeros(n_users + 1, np.int64)
    for user, own in items.items():
        counts[user + 1] = len(own)
    columns = np.concatenate([np.array(items[user], np.int32) for user in sorted(items)])
    parts = np.ones(len(columns), np.float32), columns, np.cumsum(counts)
    return sp.csr_matrix(parts, shape=(n_users, n_items))


def cut(train: sp.csr_matrix, seed: int = 0) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """A random tenth of each user's items, rounded, apart from the others."""
    coo = train.tocoo()
    order = np.lexsort([np.random.default_rng(seed).random(coo.nnz), coo.row])
    counts = np.diff(train.indptr)
    place = np.empty(coo.nnz, np.int64)
    place[order] = np.arange(coo.nnz) - np.repeat(train.indptr[:-1], counts)
    is_held_out = place < np.rint(counts / 10)[coo.row]
    left, held_out = (
        sp.csr_matrix((coo.data[of], (coo.row[of], coo.col[of])), train.shape)
        for of in (~is_held_out, is_held_out)
    )
    return left, held_out


# ---- the protocol -------------------------------------------------------------------------------


def judged(model: Any, train: sp.csr_matrix, test: sp.csr_matrix) -> tuple[float, float]:
    """Recall@20 and NDCG@20."""
    asked = np.flatnonzero(np.diff(test.indptr))
    found = []
    for start in range(0, len(asked), USERS_AT_A_TIME):
        users = asked[start : start + USERS_AT_A_TIME]
        lists, _ = model.recommend(users, k=TOP, exclude=train, num_threads=THREADS)
        found.append(of_lists(lists, test[users]))
    recall, ndcg = np.concatenate(found, axis=1).mean(axis=1)
    return float(recall), float(ndcg)


def of_lists(lists: npt.NDArray[np.int32], test: sp.csr_matrix) -> npt.NDArray[np.float64]:
    """Recall and NDCG of each user's list, [2, n]; -1 in a list is no item."""
    rows = np.repeat(np.arange(len(lists)), lists.shape[1])
    # An entry of a CSR matrix that is asked for by its place is 0 where there is none.
    is_hit = np.asarray(test[rows, np.maximum(lists, 0).ravel()]).reshape(lists.shape) > 0
    is_hit &= lists >= 0
    wanted = np.diff(test.indptr)
    gains = 1 / np.log2(np.arange(2, lists.shape[1] + 2))
    ideal = np.cumsum(gains)[np.minimum(wanted, lists.shape[1]) - 1]
    return np.array([is_hit.sum(axis=1) / wanted, is_hit @ gains / ideal])


# ---- models -------------------------------------------------------------------------------------


def _softmax(
    train: sp.csr_matrix, no_components: int, seed: int, temperature: float, user_power: float
) -> LightFM:
    model = LightFM(no_components, loss="softmax", temperature=temperature, random_state=seed)
    coo = train.tocoo()
    weights = activity_weights(coo, user_power) if user_power else None
    return model.fit(coo, sample_weight=weights, epochs=EPOCHS, num_threads=THREADS)


def _chosen(train: sp.csr_matrix) -> dict[str, float]:
    """The settings of the grid that are best on the validation part, by NDCG@20."""
    left, held_out = cut(train)
    found = []
    for values in itertools.product(*GRID.values()):
        settings = dict(zip(GRID, values, strict=True))
        recall, ndcg = judged(_softmax(left, 64, 0, **settings), left, held_out)
        print(f"validation, {settings}: Recall@20 {recall:.4f}, NDCG@20 {ndcg:.4f}", flush=True)
        found.append((ndcg, settings))
    return max(found, key=lambda each: each[0])[1]


def measured(train: sp.csr_matrix, test: sp.csr_matrix) -> Table:
    """Our models on a split."""
    table = Table("Ours", ["model", "Recall@20", "NDCG@20", "seconds", "MB"], [])

    def add(name: str, models: list[Any], seconds: float, megabytes: float) -> None:
        cells = []
        for values in zip(*(judged(model, train, test) for model in models), strict=True):
            spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.4f}{spread}")
        table.rows.append([name, *cells, seconds, megabytes])
        print(*table.rows[-1], sep="  ", flush=True)

    settings = _chosen(train)
    table.notes.append(f"{EPOCHS} epochs, {settings}; {SEEDS} seeds, {THREADS} threads.")
    neighbours, *costs = costs_of(lambda: ItemNeighbours().fit(train, num_threads=THREADS))
    add("neighbours", [neighbours], *costs)
    for no_components in (64, 128):
        models, seconds, megabytes = [], [], []
        for seed in range(SEEDS):
            model, took, more = costs_of(
                lambda seed=seed, d=no_components: _softmax(train, d, seed, **settings)
            )
            models.append(model)
            seconds.append(took)
            megabytes.append(more)
        name, took, more = f"softmax, d={no_components}", statistics.median(seconds), max(megabytes)
        add(name, models, took, more)
        together = [WithNeighbours(model, neighbours) for model in models]
        add(f"{name} + neighbours", together, took + costs[0], max(more, costs[1]))
    return table


def report(folder: Path) -> None:
    """Print our models on a split beside what is published of it."""
    train, test = read(folder)
    name = re.sub("[^a-z0-9]", "", folder.resolve().name.lower())
    n_users, n_items = train.shape
    print(f"{folder.resolve().name}: {n_users:,} users, {n_items:,} items")
    print(f"{train.nnz:,} interactions to train on, {test.nnz:,} to test\n", flush=True)
    table = measured(train, test)
    print("", markdown_table(table.columns, table.rows), "", *table.notes, sep="\n")
    if name in PUBLISHED:
        rows = [
            [method, f"{recall:.4f}", f"{ndcg:.4f}", source]
            for method, recall, ndcg, source in PUBLISHED[name]
        ]
        columns = ["published", "Recall@20", "NDCG@20", "by"]
        print("", markdown_table(columns, rows), sep="\n")
    else:
        print(f"\nPublished values are known of {', '.join(PUBLISHED)}.")
