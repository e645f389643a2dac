"""The server under load on this machine: requests a second and their times, while files change.

python benchmarks/server.py            # prints what `run.py daily --only server` keeps
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from harness import Part, Table
from workloads import SIZES, Size

from lightfm_clone import LightFM, Recommender

COMPONENTS = 64
CONNECTIONS = 1, 8
SECONDS = 8.0  # of each row
NEW = "known, a new file"
MS = 1e3


def make(path: Path, users: int, items: int, n: int) -> None:
    """A file of as many items, with columns on both sides."""
    import pandas as pd

    rng = np.random.default_rng(0)
    events = {"user": (users * rng.random(n) ** 2), "item": (items * rng.random(n) ** 2)}
    people = {"country": rng.choice(list("abcdefgh"), users), "age": rng.integers(18, 80, users)}
    goods = {"brand": rng.integers(500, size=items).astype(str), "price": rng.random(items)}
    shop = Recommender(LightFM(COMPONENTS, loss="softmax", random_state=0))
    shop.fit(
        pd.DataFrame(events).astype(int),
        user="user",
        item="item",
        users=pd.DataFrame({"user": np.arange(users), **people}),
        items=pd.DataFrame({"item": np.arange(items), **goods}),
        epochs=1,
        verbose=False,
    ).save(path)


@contextmanager
def served(path: Path) -> Iterator[tuple[int, Path]]:
    """A server in a process of its own: its port, and where its times are told."""
    code = f"from lightfm_clone.server import serve; serve({str(path)!r}, port=0)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                found = re.search(r"running on http://127.0.0.1:(\d+)", line)
                if found:
                    yield int(found[1]), Path(f"/proc/{process.pid}/stat")
                    break
            else:
                raise RuntimeError("the server did not start")
        finally:
            process.terminate()


class Caller(asyncio.Protocol):
    """A connection that asks again as soon as it is answered."""

    def __init__(self, requests: Iterator[bytes], end: float) -> None:
        self._requests = requests
        self._end = end
        self.seconds: list[float] = []
        self.n_failed = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._start = time.perf_counter()
        if self._start > self._end:
            self._transport.close()
            return
        self._answer = b""
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, blank, body = self._answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head) if blank else None
        if length is None or len(body) < int(length[1]):
            return
        self.seconds.append(time.perf_counter() - self._start)
        self.n_failed += not head.startswith(b"HTTP/1.1 200")
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        self.n_failed += time.perf_counter() < self._end
        self.done.set_result(None)


async def load(
    port: int, bodies: list[tuple[str, Any]], connections: int, seconds: float
) -> tuple[list[float], int]:
    """The seconds of all requests, and how many failed."""
    requests = [request(*one) for one in bodies]
    end = time.perf_counter() + seconds
    callers = []
    for first in range(connections):
        turn = itertools.cycle(requests[first::connections])
        _, caller = await asyncio.get_running_loop().create_connection(
            lambda turn=turn: Caller(turn, end), "127.0.0.1", port
        )
        callers.append(caller)
    await asyncio.gather(*(caller.done for caller in callers))
    return sum((caller.seconds for caller in callers), []), sum(c.n_failed for c in callers)


def request(path: str, content: Any) -> bytes:
    body = json.dumps(content).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def cpu_seconds(told: Path) -> float:
    """What a process has used of all CPUs."""
    fields = told.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def version(port: int) -> int:
    from urllib.request import urlopen

    with urlopen(f"http://127.0.0.1:{port}/health/ready") as answer:
        number: int = json.load(answer)["version"]
        return number


def measure(size: Size, wanted: Callable[[str], bool]) -> Part:
    part = Part("server", "The server, single lists over HTTP")
    users, items, n = size.requests
    rng = np.random.default_rng(1)
    asked = rng.integers(users, size=2000).tolist()
    known = [("/v1/recommend", {"user": user}) for user in asked]
    kinds = {
        "known": known,
        "a stranger's row": [
            ("/v1/recommend", {"features": {"country": "c", "age": 20 + user % 50}})
            for user in asked
        ],
        "a history of 5": [
            ("/v1/recommend", {"history": some})
            for some in rng.integers(items, size=(2000, 5)).tolist()
        ],
    }
    seconds = SECONDS if size.name != "quick" else SECONDS / 2
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        path, new = Path(folder, "shop.rec"), Path(folder, "new.rec")
        make(path, users, items, n)
        shutil.copyfile(path, new)
        with served(path) as (port, told):

            async def row(bodies: list[tuple[str, Any]], connections: int, changes: bool) -> Any:
                running = asyncio.create_task(load(port, bodies, connections, seconds))
                if changes:
                    await asyncio.sleep(seconds / 4)
                    os.replace(new, path)
                return await running

            asked_for = [(name, bodies, n) for name, bodies in kinds.items() for n in CONNECTIONS]
            asked_for.append((NEW, known, CONNECTIONS[-1]))
            for name, bodies, connections in asked_for:
                if not wanted(f"{name}, {connections} at once"):
                    continue
                before = cpu_seconds(told)
                found, n_failed = asyncio.run(row(bodies, connections, name == NEW))
                cpu = MS * (cpu_seconds(told) - before) / len(found)
                times = [float(MS * np.quantile(found, share)) for share in (0.5, 0.99, 1)]
                cells = [len(found) / seconds, *times, cpu, n_failed]
                rows.append([f"{name}, {connections} at once", *cells])
                print("  ", *rows[-1], flush=True)
                if name == NEW and version(port) != 2:
                    raise RuntimeError("the new file was not taken up in time")
    if rows:
        part.tables.append(
            Table(
                f"Single lists of 10 of {items:,} items, {COMPONENTS} components",
                ["request", "a second", "p50 ms", "p99 ms", "largest ms", "CPU ms", "failed"],
                rows,
                [
                    "One process of `serve` with its defaults; the callers, on connections that "
                    "stay open, are another process on the same CPUs. Each asks again when it is "
                    f"answered. {seconds:g} seconds a row.",
                    "In the last row a new file of the same size takes the old one's place, and is "
                    "read, checked and taken up within that time.",
                ],
            )
        )
    return part


if __name__ == "__main__":
    measure(SIZES["daily"], lambda row: True)
