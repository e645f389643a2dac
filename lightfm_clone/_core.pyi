from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightfm_clone.typing import Floats, Representations

Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]
CsrParts = tuple[Int64s, Int32s, Floats]

LOSSES: tuple[str, ...]
SCHEDULES: tuple[str, ...]

def available_levels() -> tuple[str, ...]: ...
def use_level(name: str) -> None: ...
def threads_available() -> int: ...
def build_info() -> dict[str, Any]: ...

class Interactions:
    def __init__(
        self,
        rows: Int32s,
        cols: Int32s,
        positive: NDArray[np.bool_] | None,
        values: Floats | None,
        weights: Floats | None,
        n_users: int,
        n_items: int,
        *,
        known: tuple[Int64s, Int32s] | None = None,
        item_counts: Int64s | None = None,
    ) -> None: ...
    def __len__(self) -> int: ...

class Parameters:
    def __init__(
        self, embeddings: Sequence[Floats], biases: Sequence[Floats], n_frozen: int = 0
    ) -> None: ...
    def pack(self, embeddings: Sequence[Floats], biases: Sequence[Floats]) -> None: ...
    def unpack(self, embeddings: Sequence[Floats], biases: Sequence[Floats]) -> None: ...
    def is_finite(self) -> bool: ...

class Totals(NamedTuple):
    loss: float
    examples: int
    violations: int
    tries: int
    cut: int

class Trainer:
    def __init__(
        self,
        interactions: Interactions,
        users: Parameters,
        items: Parameters,
        user_features: CsrParts | None,
        item_features: CsrParts | None,
        learning_schedule: str,
    ) -> None: ...
    def shuffle(self, seed: int, num_threads: int) -> int: ...
    def part(
        self,
        settings: Mapping[str, Any],
        begin: int,
        end: int,
        done: float = 0.0,
        after: float = 0.0,
    ) -> Totals: ...
    def settle(self) -> None: ...

def score_pairs(
    user_biases: Floats,
    user_vectors: Floats,
    item_biases: Floats,
    item_vectors: Floats,
    user_ids: Int32s,
    item_ids: Int32s,
    num_threads: int,
) -> Floats: ...
def sum_features(
    name: str,
    indptr: Int32s | Int64s,
    indices: Int32s | Int64s,
    data: Floats | NDArray[np.float64],
    rows: Int32s,
    biases: Floats,
    embeddings: Floats,
) -> Representations: ...

class Items:
    def __init__(self, biases: Floats, vectors: Floats, packed: bool) -> None: ...
    def best(
        self,
        user_biases: Floats,
        user_vectors: Floats,
        begins: Int64s,
        ends: Int64s,
        excluded: Int32s,
        ids: Int32s,
        scores: Floats,
        num_threads: int,
    ) -> None: ...
    def ranks(
        self,
        user_biases: Floats,
        user_vectors: Floats,
        test_indptr: Int64s,
        test_indices: Int32s,
        train_indptr: Int64s,
        train_indices: Int32s,
        num_threads: int,
    ) -> tuple[Floats, NDArray[np.bool_]]: ...

def swap_with_partners(order: Int32s, partners: Int32s, end: int) -> None: ...
def take_in_order(
    source: NDArray[np.uint32] | NDArray[np.uint64],
    order: Int32s,
    out: NDArray[np.uint32] | NDArray[np.uint64],
) -> None: ...

class Numbers:
    @property
    def mapping(self) -> dict[Hashable, int]: ...
    def __init__(self, mapping: dict[Hashable, int]) -> None: ...
    def add(self, ids: list[Hashable]) -> None: ...
    def of(self, ids: list[Hashable]) -> Int32s: ...

def numbers_of_rows(
    users: Numbers, items: Numbers, rows: list[Any]
) -> tuple[Int32s, Int32s, NDArray[np.float64]] | None: ...
