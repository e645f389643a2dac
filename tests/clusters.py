"""Clusters on this machine, for tests of what runs on Dask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def cluster(n_workers: int, **further: Any) -> Iterator[Any]:
    """The client of a new cluster of processes with one thread each.

    ``further`` goes to the ``LocalCluster``; the test is skipped where Dask is not installed.
    """
    distributed = pytest.importorskip("distributed")
    # Any free port: several clusters run at a time.
    settings = {"threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with (
        distributed.LocalCluster(n_workers=n_workers, **(settings | further)) as made,
        distributed.Client(made) as client,
    ):
        yield client
