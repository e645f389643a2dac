"""Which shard a user belongs to: by a hash of their id, so that nobody has to keep a list of all.

Hashed ids fall into buckets, many to a shard, and the buckets are dealt to shards by the
interactions in them, the largest first, each to the shard that has least (R. L. Graham, "Bounds on
multiprocessing timing anomalies", SIAM Journal on Applied Mathematics 17(2), 1969). Users who come
later fall into the same buckets.
"""

from __future__ import annotations

import heapq
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

_BUCKETS = 256  # for each shard: enough to balance, few enough to count in every partition


class Deal(NamedTuple):
    """Which shard each bucket of users belongs to."""

    n_shards: int
    of_buckets: Array  # int32 [n_buckets]
    kind: str  # of the ids, see `kind_of`

    @property
    def n_wanted(self) -> int:
        """How many shards there should have been: there are fewer where few users have anything."""
        return len(self.of_buckets) // _BUCKETS

    def shard_of(self, ids: Any) -> Array:
        """The shard of each id, int32; known or not.

        Raises
        ------
        ValueError
            If the ids are of another kind than those that were dealt.
        """
        ids = np.asarray(ids)
        if len(ids) and kind_of(ids) != self.kind:
            raise ValueError(
                f"user ids must be {self.kind}, as others are, got {kind_of(ids)} such as "
                f"{ids[0]!r}; convert them"
            )
        found: Array = self.of_buckets[bucket_of(ids, len(self.of_buckets))]
        return found


def kind_of(ids: Array) -> str:
    """What ids are: "whole numbers" or "texts"."""
    return "whole numbers" if ids.dtype.kind in "iu" else "texts"


def n_buckets(n_shards: int) -> int:
    return _BUCKETS * n_shards


def bucket_of(ids: Array, n: int) -> Array:
    """The bucket of each id, the same in every process and for every integer type."""
    import pandas as pd

    ids = ids.astype(np.int64 if kind_of(ids) == "whole numbers" else object)
    hashes = pd.util.hash_array(ids, categorize=False)
    return np.asarray(hashes % np.uint64(n)).astype(np.intp)


def deal_out(counts: Array, n_shards: int, kind: str) -> Deal:
    """Deal buckets with so many interactions to shards, to fewer than asked where few have any."""
    busy = np.flatnonzero(counts)
    n_shards = max(min(n_shards, len(busy)), 1)
    of_buckets = np.empty(len(counts), np.int32)
    loads = [(0, shard) for shard in range(n_shards)]
    for bucket in busy[np.argsort(-counts[busy], kind="stable")].tolist():
        load, shard = loads[0]
        heapq.heapreplace(loads, (load + int(counts[bucket]), shard))
        of_buckets[bucket] = shard
    idle = np.flatnonzero(counts == 0)
    of_buckets[idle] = np.arange(len(idle)) % n_shards
    return Deal(n_shards, of_buckets, kind)
