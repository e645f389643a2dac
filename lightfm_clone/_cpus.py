"""How many CPUs this process may use: those of its affinity, as far as a container's quota goes.

A quota is a share of time: 1.5 CPUs are 150 ms of every 100 ms. More threads than that, rounded up,
would be stopped together for the rest of each period. On Linux a control group (cgroup) has it, or
one above it: in the file ``cpu.max`` of version 2, in ``cpu.cfs_quota_us`` and
``cpu.cfs_period_us`` of version 1.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple


class Quota(NamedTuple):
    """CPUs that a control group leaves, and the file that says so."""

    cpus: float
    file: str


def available() -> int:
    """CPUs this process may use, at least 1."""
    found = quota()
    n = allowed()
    return n if found is None else min(n, max(math.ceil(found.cpus), 1))


def allowed() -> int:
    """The CPUs of this process's affinity."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# What a user may have said of how threads of OpenMP wait.
_OF_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@contextmanager
def short_spins() -> Iterator[None]:
    """While this lasts, a run-time library of OpenMP that is loaded learns to wait politely.

    GCC's has idle threads look for work for some 5 ms before they sleep, also after the last loop.
    On a machine with other work, or with a quota, others could have used that time. A thousand
    looks, some 30 us, is what waking a thread up costs. The library reads its environment once,
    when it is loaded; this sets nothing where the user has said how to wait, and takes it back at
    the end, so that no process started later sees it. Whoever shares the library waits like that,
    too.
    """
    name = _OF_WAITING[-1]
    if any(given in os.environ for given in _OF_WAITING):
        yield
        return
    os.environ[name] = "1000"
    try:
        yield
    finally:
        del os.environ[name]


@cache
def quota(root: str = "/") -> Quota | None:
    """The smallest quota that holds for this process, or None; read once.

    `root` stands for the file system's, which tests make up.
    """
    quotas = list(_quotas(Path(root)))
    return min(quotas) if quotas else None


def _quotas(root: Path) -> Iterator[Quota]:
    with suppress(OSError, ValueError):
        groups = (root / "proc/self/cgroup").read_text().splitlines()
        mounts = (root / "proc/self/mountinfo").read_text().splitlines()
        for group in groups:
            _, controllers, path = group.split(":", 2)
            is_v2 = not controllers
            if not is_v2 and "cpu" not in controllers.split(","):
                continue
            for place in _places(mounts, PurePosixPath(path), is_v2):
                folder = root / place.relative_to("/")
                with suppress(OSError, ValueError):
                    cpus = _of_v2(folder) if is_v2 else _of_v1(folder)
                    if cpus is not None:
                        name = "cpu.max" if is_v2 else "cpu.cfs_quota_us"
                        yield Quota(cpus, str(place / name))


def _places(mounts: list[str], group: PurePosixPath, is_v2: bool) -> Iterator[PurePosixPath]:
    """Where a control group is mounted, and those above it."""
    for line in mounts:
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind != ("cgroup2" if is_v2 else "cgroup"):
            continue
        if not is_v2 and "cpu" not in options.split(","):
            continue
        top, point = (PurePosixPath(part) for part in before.split(" ")[3:5])
        # A container sees its own group at the top, whatever its name outside is.
        inside = group.relative_to(top) if group.is_relative_to(top) else PurePosixPath()
        place = point / inside
        yield place
        yield from (parent for parent in place.parents if parent.is_relative_to(point))


def _of_v2(folder: Path) -> float | None:
    most, period = (folder / "cpu.max").read_text().split()
    return None if most == "max" else int(most) / int(period)


def _of_v1(folder: Path) -> float | None:
    most = int((folder / "cpu.cfs_quota_us").read_text())
    return None if most < 0 else most / int((folder / "cpu.cfs_period_us").read_text())
