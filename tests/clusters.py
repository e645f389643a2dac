"""Clusters on this machine, for tests of what runs on Dask."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
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


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail, and show where, if the block hangs; the main thread's, where there are alarms."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def hangs(*args: object) -> None:
        raise AssertionError(f"it has not come to an end within {seconds} seconds")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def learned(model: Any) -> dict[str, np.ndarray]:
    """All that a model has learned, wherever it is: the twelve arrays and the random stream."""
    local = model.to_local() if hasattr(model, "to_local") else model
    state = model.random_state.get_state()
    arrays = {
        name: np.asarray(getattr(local, name))
        for name in dir(local)
        if name.startswith(("item_", "user_")) and isinstance(getattr(local, name), np.ndarray)
    }
    assert len(arrays) == 12
    return arrays | {"random words": state[1], "random place": np.asarray(state[2:])}


def assert_same(left: Any, right: Any) -> None:
    """What two models have learned is equal bit for bit, and so are their histories."""
    of_left, of_right = learned(left), learned(right)
    for name in of_left:
        np.testing.assert_array_equal(of_left[name], of_right[name], err_msg=name, strict=True)
    assert records(left) == records(right)


def records(model: Any) -> list[dict[str, float]]:
    """The history but for the seconds."""
    return [
        {name: value for name, value in record.items() if name != "seconds"}
        for record in model.history_
    ]
