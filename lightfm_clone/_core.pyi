from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from lightfm_clone.typing import Floats, Representations

_Int32s = NDArray[np.int32]
_Int64s = NDArray[np.int64]
_CsrParts = tuple[_Int64s, _Int32s, Floats]

LOSSES: tuple[str, ...]
SCHEDULES: tuple[str, ...]

def available_levels() -> tuple[str, ...]: ...
def use_level(name: str) -> None: ...
def threads_available() -> int: ...
def build_info() -> dict[str, Any]: ...

@final
class Interactions:
    def __init__(
        self,
        rows: _Int32s,
        cols: _Int32s,
        positive: NDArray[np.bool_] | None,
        values: Floats | None,
        weights: Floats | None,
        n_users: int,
        n_items: int,
        *,
        known: tuple[_Int64s, _Int32s] | None = None,
        item_counts: _Int64s | None = None,
        candidates: _Int32s | None = None,
        num_threads: int = 1,
    ) -> None: ...
    def __len__(self) -> int: ...
    def known(self) -> tuple[_Int64s, _Int32s]: ...
    def n_candidates(self) -> int: ...

@final
class Parameters:
    @property
    def is_exchanged(self) -> bool: ...
    def __init__(
        self,
        embeddings: Sequence[Floats],
        biases: Sequence[Floats],
        n_frozen: int = 0,
        num_threads: int = 1,
    ) -> None: ...
    def pack(self, embeddings: Sequence[Floats], biases: Sequence[Floats]) -> None: ...
    def unpack(self, embeddings: Sequence[Floats], biases: Sequence[Floats]) -> None: ...
    def exchange(self, embeddings: Sequence[Floats], biases: Sequence[Floats]) -> None: ...
    def is_finite(self) -> bool: ...

class Totals(NamedTuple):
    loss: float
    examples: int
    violations: int
    tries: int
    cut: int

@final
class Trainer:
    def __init__(
        self,
        interactions: Interactions,
        users: Parameters,
        items: Parameters,
        user_features: _CsrParts | None,
        item_features: _CsrParts | None,
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
    user_ids: _Int32s,
    item_ids: _Int32s,
    num_threads: int,
) -> Floats: ...
def add_influence(
    scores: Floats,
    histories: _CsrParts,
    columns: _CsrParts,
    user_ids: _Int32s,
    item_ids: _Int32s,
    n_rows: int,
    num_threads: int,
) -> None: ...
def rows_of_ids(ids: _Int32s | _Int64s, n_rows: int) -> _Int32s | None: ...
def sum_features(
    name: str,
    indptr: _Int32s | _Int64s,
    indices: _Int32s | _Int64s,
    data: Floats | NDArray[np.float64],
    rows: _Int32s,
    biases: Floats,
    embeddings: Floats,
) -> Representations: ...
def with_identities_last(
    indptr: _Int64s, indices: _Int32s, data: Floats, n_features: int
) -> tuple[_Int64s, _Int32s, Floats]: ...
def rare_features(
    indptr: _Int64s, indices: _Int32s, n_features: int, bytes_each: int
) -> tuple[_Int64s, _Int32s]: ...

@final
class Codes:
    def __init__(self, vectors: Floats) -> None: ...

@final
class Influences:
    def __init__(self, rows: _CsrParts, n_items: int, cut: bool) -> None: ...

@final
class Items:
    def __init__(
        self,
        biases: Floats,
        vectors: Floats,
        packed: bool,
        influence: Influences | None = None,
    ) -> None: ...
    def best(
        self,
        user_biases: Floats,
        user_vectors: Floats,
        begins: _Int64s,
        ends: _Int64s,
        excluded: _Int32s,
        ids: _Int32s,
        scores: Floats,
        num_threads: int,
        codes: Codes | None = None,
        histories: _CsrParts | None = None,
    ) -> None: ...
    def ranks(
        self,
        user_biases: Floats,
        user_vectors: Floats,
        test_indptr: _Int64s,
        test_indices: _Int32s,
        train_indptr: _Int64s,
        train_indices: _Int32s,
        num_threads: int,
        histories: _CsrParts | None = None,
        columns: _CsrParts | None = None,
    ) -> tuple[Floats, NDArray[np.bool_]]: ...

def swap_with_partners(order: _Int32s, partners: _Int32s, end: int) -> None: ...
def take_in_order(
    source: NDArray[np.uint32] | NDArray[np.uint64],
    order: _Int32s,
    out: NDArray[np.uint32] | NDArray[np.uint64],
) -> None: ...

@final
class Similarities:
    @property
    def neighbours(self) -> _Int32s: ...
    @property
    def similarities(self) -> Floats: ...
    def __init__(
        self,
        indptr: _Int64s,
        items: _Int32s,
        values: Floats | None,
        user_weights: Floats,
        item_scales: Floats,
        k: int,
        num_threads: int,
    ) -> None: ...
    def steps(self) -> tuple[_Int32s, _Int64s]: ...
    def find(self, items: _Int32s) -> None: ...

@final
class Ridge:
    @property
    def counts(self) -> _Int64s: ...
    @property
    def begins(self) -> _Int64s: ...
    @property
    def weights(self) -> Floats: ...
    def __init__(
        self,
        indptr: _Int64s,
        items: _Int32s,
        values: Floats | None,
        user_weights: Floats,
        neighbours: _Int32s,
        num_threads: int,
    ) -> None: ...
    def turn_to(self, first: int, last: int) -> tuple[_Int32s, _Int64s]: ...
    def make(self, rows: _Int32s) -> None: ...
    def solve(self, begin: int, end: int, l2: float) -> None: ...

@final
class Numbers:
    @property
    def mapping(self) -> dict[Hashable, int]: ...
    def __init__(self, mapping: dict[Hashable, int]) -> None: ...
    def add(self, ids: list[Hashable]) -> None: ...
    def of(self, ids: list[Hashable]) -> _Int32s: ...

def numbers_of_rows(
    users: Numbers, items: Numbers, rows: list[Any]
) -> tuple[_Int32s, _Int32s, NDArray[np.float64]] | None: ...
