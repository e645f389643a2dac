from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
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
    words: NDArray[np.uint32]
    known_indptr: Int64s
    known_items: Int32s
    filter: NDArray[np.uint64]
    n_occurring: int
    def __init__(
        self,
        rows: Int32s,
        cols: Int32s,
        positive: NDArray[np.bool_] | None,
        values: Floats | None,
        weights: Floats | None,
        n_users: int,
        n_items: int,
    ) -> None: ...

class Parameters:
    rows: Floats
    biases: Floats | None
    no_components: int
    def __init__(
        self, embeddings: list[Floats], biases: list[Floats], n_frozen: int = 0
    ) -> None: ...
    def unpack(self, embeddings: list[Floats], biases: list[Floats]) -> None: ...
    def divide(self, scale: float) -> None: ...
    def is_finite(self) -> bool: ...

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
    def epoch(
        self, settings: dict[str, Any], seed: int, num_threads: int
    ) -> tuple[float, int, int, int]: ...

def score_pairs(
    user_biases: Floats,
    user_vectors: Floats,
    item_biases: Floats,
    item_vectors: Floats,
    user_ids: Int32s,
    item_ids: Int32s,
    num_threads: int,
) -> Floats: ...

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
    mapping: dict[Hashable, int]
    def __init__(self, mapping: dict[Hashable, int]) -> None: ...
    def add(self, ids: list[Hashable]) -> None: ...
    def of(self, ids: list[Hashable]) -> Int32s: ...

def numbers_of_rows(
    users: Numbers, items: Numbers, rows: list[Any]
) -> tuple[Int32s, Int32s, NDArray[np.float64]] | None: ...
