"""A host: the actor on a worker that trains shards and merges with the other hosts.

Its methods are coroutines, which the worker runs on its event loop: so hosts hear each other while
they train, and two fits on one cluster do not wait for each other's turn. What computes runs in a
thread of the host's own.

A *step* is a slice of an epoch and the merge after it (`step`):

1. train the slice of each shard that is here;
2. send each host what these shards have made of *its* range of the shared rows;
3. sum what arrives for the own range, in the order of shards, merge, and send the result to all;
4. put what arrives in the place of the shared rows;
5. send a snapshot of the shards' own rows to another host, the *keeper*.

So bytes go from each host to each other one and never through one of them (reduce-scatter and
all-gather), and nothing is summed in an order that depends on who is faster or where a shard is.

A step is over when the client has heard so from all. Until then each host keeps what the step began
with; `go_back` returns to it, and whoever takes over a shard of a worker that is gone gets its
snapshot from the keeper.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
from distributed import get_worker
from distributed.protocol.serialize import to_serialize
from distributed.utils import sync

from lightfm_clone._core import Totals
from lightfm_clone.dask.merging import Merging
from lightfm_clone.dask.passing import IS_THERE, Parcel
from lightfm_clone.dask.shard import Piece, Shard, Snapshot, draw
from lightfm_clone.dask.shards import Array, ShardData, ShardState, Whole

# How often a host that waits looks whether those it waits for are there, and how long they have to
# answer: a worker's event loop may be busy with garbage, or with a large message.
_LOOK, _ANSWER = 5.0, 60.0
_LISTED = 1.0  # how often a task looks whether the scheduler still lists a host's worker


class Address(NamedTuple):
    """Where a host is."""

    worker: str
    key: Any  # of the actor


class LostError(RuntimeError):
    """Another host is gone, or does not answer though Dask may list its worker."""


class ForgottenError(RuntimeError):
    """This host was made anew, in the place of one that had shards."""


class StoppedError(RuntimeError):
    """A step that was under way when it was called off."""


class Step(NamedTuple):
    """What a step is."""

    number: int  # of the steps of the call, from 1
    attempt: int  # raised whenever steps are called off, so that late messages can be told
    piece: Piece
    settings: dict[str, Any]
    hosts: tuple[Address, ...]
    placed: tuple[tuple[int, ...], ...]  # the shards of each host
    shares_features: bool  # whether rows have features in common with others

    @property
    def n_shards(self) -> int:
        return sum(map(len, self.placed))


class Done(NamedTuple):
    """What a host says after a step."""

    totals: dict[int, Totals]  # by shard
    seconds: dict[str, float]  # "train", "merge", "keep"
    n_bytes: dict[str, int]  # sent: "parts", "rows", "keep"; "in_memory" of them near by


class Terms(NamedTuple):
    """What all shards of a fit have in common."""

    parameters: dict[str, Any]
    learned: dict[str, Any]
    whole: Whole
    item_counts: Array | None  # what BPR's negatives are drawn by; None: those of the shard
    candidates: Array | None
    shared_users: dict[str, Array]  # the six arrays of the shared features of users


# ---- what tasks bring and fetch ------------------------------------------------------------------

# Data comes to a worker as the arguments of a task, which Dask moves or makes anew, and goes as a
# result. Workers may share a process, so their addresses are part of the keys. A host lives as long
# as its actor: when the client is gone, Dask lets go of both.
_HOSTS: WeakValueDictionary[tuple[str, str], Host] = WeakValueDictionary()


def lay(fit: str, shard: int, data: ShardData, state: Any, terms: Terms, items: Any) -> None:
    """Lay down what the host on this worker is about to take; a task."""
    _HOSTS[get_worker().address, fit].laid[shard] = data, state, terms, items


def collect(fit: str, shard: int, step: int, source: Address) -> ShardState:
    """What a shard has learned by a step; a task on the worker that has it, or another host's.

    Dask runs it again elsewhere when its worker is gone, where it fails: by then another host may
    have the shard, but it has trained on.
    """
    host = _HOSTS.get((get_worker().address, fit))
    state = None if host is None else host.brought(source, shard, step)
    if state is None:
        raise ForgottenError(
            f"what was trained of shard {shard} is lost with the worker that had it; load the last "
            "checkpoint, or fit again"
        )
    return state


def collect_items(fit: str, step: int) -> dict[str, Array]:
    """The item side after a step; a task on any worker that has a host."""
    host = _HOSTS.get((get_worker().address, fit))
    items = None if host is None else host.items(step)
    if items is None:
        raise ForgottenError(f"{get_worker().address} has no shard")
    return items


# ---- the actor -----------------------------------------------------------------------------------


class Host:
    """See the module. One for each fit and worker."""

    def __init__(self, fit: str) -> None:
        worker = get_worker()
        self._fit = fit
        self._me = 0  # among the hosts of a step
        self._worker = worker
        self._threads = worker.state.nthreads
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="lightfm-clone")
        self.laid: dict[int, tuple[ShardData, Any, Terms, dict[str, Array]]] = {}
        self._shards: dict[int, Shard] = {}
        self._base: list[Array] = []  # the shared rows, as they were merged last
        # What the step that is under way began with, and what it ended with.
        self._before: tuple[int, list[Array], dict[int, Snapshot]] = (0, [], {})
        self._after = self._before
        self._kept: dict[tuple[int, int], Snapshot] = {}  # by step and shard, for other hosts
        self._inbox: dict[tuple[Any, ...], Any] = {}
        self._arrived = asyncio.Condition()
        self._training = asyncio.Lock()  # held for as long as a step is under way
        self._attempt = 0
        self._failed: tuple[int, str] | None = None  # the attempt, and what has gone wrong in it
        self._sent: dict[str, int] = {}
        self._walled: set[str] = set()  # workers near by that cannot look into this one
        _HOSTS[worker.address, fit] = self

    async def take(self, shard: int, random_state: np.random.RandomState) -> None:
        """Take a shard, whose data a task has laid down, as it was when the call began."""
        await self._run(self._take, shard, random_state)

    def _take(self, number: int, random_state: np.random.RandomState) -> None:
        data, state, terms, items = self.laid.pop(number)
        if state is None:
            state = draw(terms.parameters, data.n_private, terms.shared_users, random_state)
        shard = Shard(
            data,
            terms.whole,
            terms.parameters,
            terms.learned,
            items,
            state,
            terms.item_counts,
            terms.candidates,
            self._threads,
        )
        self._shards[number] = shard
        if not self._base:
            self._base = shard.sheets(0, shard.n_shared)
        step, _, snapshots = self._after
        if step == 0:  # later a shard is as it was brought until it is fetched
            # There is a way back, too, where a worker is lost before the first step.
            self._before = self._after = 0, self._base, snapshots | {number: shard.snapshot()}

    async def step(self, step: Step) -> Done:
        """Train a slice of each shard, and merge what all have made of the shared rows."""
        if not self._shards:
            raise ForgottenError(f"{self._worker.address} has no shard")
        async with self._training:
            if step.attempt < self._attempt:  # it was called off before it came
                raise StoppedError("the step was called off")
            return await self._step(step)

    async def _step(self, step: Step) -> Done:
        self._attempt = step.attempt
        self._sent = dict.fromkeys(("parts", "rows", "keep", "in_memory"), 0)
        self._me = [host.worker for host in step.hosts].index(self._worker.address)
        # A shard that it was about to take over when a worker was lost may be another's by now.
        mine = step.placed[self._me]
        self._shards = {number: self._shards[number] for number in mine}
        number, base, snapshots = self._after
        # Which has come to all, or there would be no next step.
        self._before = self._after = number, base, {shard: snapshots[shard] for shard in mine}
        self._kept = {key: kept for key, kept in self._kept.items() if key[0] >= step.number - 1}
        self._forget(lambda key: key[0] < step.attempt)
        try:
            clock = [perf_counter()]
            totals = await self._run(self._train, step)
            clock.append(perf_counter())
            if step.n_shards > 1:
                await self._merge(step)
            clock.append(perf_counter())
            await self._run(self._close, step)
            await self._keep(step)
            clock.append(perf_counter())
        except BaseException as error:
            self._failed = step.attempt, f"{type(error).__name__}: {error}"
            raise
        seconds = dict(zip(("train", "merge", "keep"), np.diff(clock).tolist(), strict=True))
        return Done(totals, seconds, dict(self._sent))

    def _train(self, step: Step) -> dict[int, Totals]:
        return {
            number: self._shards[number].train(step.piece, step.settings) for number in self._mine
        }

    @property
    def _mine(self) -> list[int]:
        return sorted(self._shards)

    def _close(self, step: Step) -> None:
        if step.n_shards == 1:
            (shard,) = self._shards.values()
            self._base = shard.sheets(0, shard.n_shared)
        snapshots = {number: shard.snapshot() for number, shard in self._shards.items()}
        self._after = step.number, self._base, snapshots

    # ---- merging -----------------------------------------------------------------------------

    async def _merge(self, step: Step) -> None:
        """Replace the shared rows by what all hosts have made of them."""
        merging = Merging(step.settings, shared_features=step.shares_features)
        ranges = _ranges(len(self._base[0]), len(step.hosts))
        done = step.piece.done
        contents = {
            number: await self._run(self._contributions, merging, *place, done)
            for number, place in enumerate(ranges)
        }
        await self._send(step, "parts", contents)
        parts = await self._receive(step, "parts")
        rows = await self._run(self._merged, merging, parts, *ranges[self._me], done)
        await self._send(step, "rows", dict.fromkeys(range(len(ranges)), rows))
        await self._run(self._put, await self._receive(step, "rows"), ranges)

    def _contributions(
        self, merging: Merging, begin: int, end: int, done: float
    ) -> dict[int, Rows]:
        """What each shard here has made of a range of the shared rows."""
        base = [sheet[begin:end] for sheet in self._base]
        return {
            number: _touched(
                merging.contribution(base, self._shards[number].sheets(begin, end), done)
            )
            for number in self._mine
        }

    def _merged(
        self, merging: Merging, parts: list[Any], begin: int, end: int, done: float
    ) -> Rows:
        """The own range, merged."""
        base = [sheet[begin:end] for sheet in self._base]
        by_shard = {number: rows for part in parts for number, rows in part.items()}
        sums: list[Array] | None = None
        touched = np.zeros(end - begin, bool)
        for _, (at, arrays) in sorted(by_shard.items()):
            if sums is None:
                sums = [np.zeros((end - begin, *array.shape[1:]), array.dtype) for array in arrays]
            where: Any = slice(None) if at is None else at
            touched[where] = True
            for total, array in zip(sums, arrays, strict=True):
                total[where] += array
        assert sums is not None
        merged = merging.merge(base, sums, done)
        if _pays(touched):
            at = np.flatnonzero(touched).astype(np.int32)
            return Rows(at, [sheet[at] for sheet in merged])
        return Rows(None, merged)

    def _put(self, parts: list[Rows], ranges: list[tuple[int, int]]) -> None:
        fresh = [np.empty_like(sheet) for sheet in self._base]  # the old ones are the way back
        for (at, sheets), (begin, end) in zip(parts, ranges, strict=True):
            for sheet, rows, old in zip(fresh, sheets, self._base, strict=True):
                if at is None:
                    sheet[begin:end] = rows
                else:
                    sheet[begin:end] = old[begin:end]
                    sheet[begin:end][at] = rows
        self._base = fresh
        for shard in self._shards.values():
            shard.put(fresh)

    async def _keep(self, step: Step) -> None:
        """Give the next host what it takes to go on with the shards that are here."""
        if len(step.hosts) > 1:
            number, _, snapshots = self._after
            await self._send(step, "keep", {_keeper(step.hosts, self._me): {number: snapshots}})

    # ---- messages ------------------------------------------------------------------------------

    async def _send(self, step: Step, kind: str, contents: dict[int, Any]) -> None:
        """Send to other hosts, or to this one, each its content."""
        parcels: dict[int, Parcel] = {}  # one for all who get the same
        try:
            for to, content in contents.items():
                if self._is_near(step.hosts[to]) and id(content) not in parcels:
                    parcels[id(content)] = await self._run(Parcel.of, content)
            await _all(
                [
                    self._send_to(step, kind, to, content, parcels.get(id(content)))
                    for to, content in contents.items()
                ]
            )
        finally:
            for parcel in parcels.values():
                parcel.close()

    async def _send_to(
        self, step: Step, kind: str, to: int, content: Any, parcel: Parcel | None
    ) -> None:
        message = step.attempt, step.number, kind, self._me
        host, size = step.hosts[to], _size(content)
        if to == self._me:
            await self.receive(*message, content)
            return
        self._sent[kind] += size
        if self._is_near(host) and parcel is not None:
            if await self._answer(host, "receive", *message, parcel):
                self._sent["in_memory"] += size
                return
            self._walled.add(host.worker)
        await self._answer(host, "receive", *message, content)

    def _is_near(self, host: Address) -> bool:
        """Whether another host can map what this one has in memory, as far as is known."""
        own = self._worker.address
        if not IS_THERE or host.worker == own or host.worker in self._walled:
            return False
        return _machine(host.worker) == _machine(own)

    async def _ask(self, address: Address, method: str, *arguments: Any) -> Any:
        try:
            answer = await self._worker.rpc(address.worker).actor_execute(
                actor=address.key, function=method, args=[to_serialize(each) for each in arguments]
            )
        except (OSError, KeyError) as error:  # it is gone, or has come back without its memory
            raise LostError(f"the worker {address.worker} is gone") from error
        if answer["status"] != "OK":
            raise answer["exception"]
        return answer["result"]

    async def _answer(self, address: Address, method: str, *arguments: Any) -> Any:
        """What a host answers, for as long as it is there and nothing is called off.

        A message may be large and take its time, so there is no limit to that.
        """
        attempt = self._attempt
        asking = asyncio.ensure_future(self._ask(address, method, *arguments))
        try:
            while not (await asyncio.wait([asking], timeout=_LOOK))[0]:
                if self._attempt != attempt:
                    raise StoppedError("the step was called off")
                await self._look(attempt, address)
            return asking.result()
        finally:
            asking.cancel()

    async def receive(self, attempt: int, step: int, kind: str, sender: int, content: Any) -> bool:
        """Hear from another host; False where it cannot be understood."""
        if attempt < self._attempt:
            return True
        if isinstance(content, Parcel):
            try:
                content = content.opened()
            except OSError:
                return False
        if kind == "keep":
            for number, snapshots in content.items():
                self._kept |= {(number, shard): kept for shard, kept in snapshots.items()}
            return True
        self._inbox[attempt, step, kind, sender] = content
        async with self._arrived:
            self._arrived.notify_all()
        return True

    async def _receive(self, step: Step, kind: str) -> list[Any]:
        """What all hosts have sent, in their order."""
        keys = [(step.attempt, step.number, kind, sender) for sender in range(len(step.hosts))]
        while True:
            if self._attempt != step.attempt:
                raise StoppedError("the step was called off")
            missing = [key[-1] for key in keys if key not in self._inbox]
            if not missing:
                return [self._inbox.pop(key) for key in keys]
            async with self._arrived:
                try:
                    await asyncio.wait_for(self._arrived.wait(), _LOOK)
                    continue
                except (asyncio.TimeoutError, TimeoutError):
                    pass
            await _all([self._look(step.attempt, step.hosts[number]) for number in missing])

    async def _look(self, attempt: int, address: Address) -> None:
        """See that a host is there, and that its step has not failed."""
        try:
            failed = await asyncio.wait_for(self._ask(address, "failure", attempt), _ANSWER)
        except (asyncio.TimeoutError, TimeoutError) as error:
            raise LostError(f"the worker {address.worker} does not answer") from error
        if failed:
            raise StoppedError(f"the step has failed on {address.worker}: {failed}")

    async def failure(self, attempt: int) -> str | None:
        """What has gone wrong in this attempt."""
        if self._failed is None or self._failed[0] != attempt:
            return None
        return self._failed[1]

    def _forget(self, is_old: Any) -> None:
        for key in [key for key in self._inbox if is_old(key)]:
            del self._inbox[key]

    async def _run(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    # ---- when workers come and go ----------------------------------------------------------------

    async def stop(self, attempt: int) -> None:
        """Call off the step that is under way, and wait until it has ended."""
        self._attempt = max(self._attempt, attempt)
        async with self._arrived:
            self._arrived.notify_all()
        async with self._training:
            pass

    async def go_back(self, step: int, piece: Piece | None) -> None:
        """Be as after this step."""
        if not self._shards:
            raise ForgottenError(f"{self._worker.address} has no shard")
        await self._run(self._go_back, step, piece)

    def _go_back(self, step: int, piece: Piece | None) -> None:
        for state in (self._before, self._after):
            if state[0] == step:
                break
        else:
            raise RuntimeError(f"there is no way back to step {step}")
        self._before = self._after = state
        self._base = state[1]
        for number, snapshot in state[2].items():
            self._shards[number].go_back(snapshot, self._base, piece)

    async def fetch(self, shard: int, step: int, piece: Piece | None, hosts: list[Address]) -> str:
        """Take over a shard as it was after a step, from whichever host has its snapshot."""
        for address in hosts:
            found = await self._answer(address, "give", shard, step)
            if found is not None:
                break
        else:
            return ""
        sheets, snapshot = found
        await self._run(self._fetched, shard, step, piece, sheets, snapshot)
        return address.worker

    def _fetched(
        self, shard: int, step: int, piece: Piece | None, sheets: list[Array], snapshot: Snapshot
    ) -> None:
        self._base = sheets
        self._shards[shard].go_back(snapshot, sheets, piece)
        snapshots = self._after[2] if self._after[0] == step else {}
        self._before = self._after = step, sheets, snapshots | {shard: snapshot}

    async def give(self, shard: int, step: int) -> tuple[list[Array], Snapshot] | None:
        """The shared rows and a shard's snapshot after a step, where they are here."""
        for number, base, snapshots in (self._before, self._after):
            if number == step:
                kept = snapshots.get(shard) or self._kept.get((step, shard))
                return None if kept is None else (base, kept)
        return None

    async def drop(self, shard: int) -> None:
        """Leave a shard to another host."""
        del self._shards[shard]
        step, base, snapshots = self._after
        self._kept[step, shard] = snapshots[shard]  # until the other one has a keeper of its own
        rest = {number: kept for number, kept in snapshots.items() if number != shard}
        self._before = self._after = step, base, rest

    # ---- what comes of it ----------------------------------------------------------------------

    async def check(self, totals: dict[int, Totals], settings: dict[str, Any], epoch: int) -> None:
        """Raise ValueError where a shard's epoch has left all bounds."""
        for number in self._mine:
            await self._run(self._shards[number].check, totals[number], settings, epoch)

    async def advice(
        self, totals: dict[int, Totals], settings: dict[str, Any], is_first: bool
    ) -> dict[int, list[str]]:
        """What there is to say about the fit, by shard."""
        return {
            number: await self._run(self._shards[number].advice, totals[number], settings, is_first)
            for number in self._mine
        }

    async def streams(self) -> dict[int, np.random.RandomState]:
        """Where the random numbers of shards go on."""
        return {shard: snapshot.random_state for shard, snapshot in self._after[2].items()}

    def brought(self, source: Address, shard: int, step: int) -> ShardState | None:
        """What a shard of this or another host has learned; called by a task."""
        if source.worker == self._worker.address:
            return self.state_of(shard, step)
        state: ShardState | None = sync(self._worker.loop, self._ask_for_state, source, shard, step)
        return state

    async def _ask_for_state(self, source: Address, shard: int, step: int) -> ShardState | None:
        # Dask tries to connect to who is gone for half a minute, and other tasks wait meanwhile.
        asking = asyncio.ensure_future(self._ask(source, "state_of", shard, step))
        try:
            while not (await asyncio.wait([asking], timeout=_LISTED))[0]:
                if not await self._worker.scheduler.ncores(workers=[source.worker]):
                    return None
            state: ShardState | None = asking.result()
            return state
        except LostError:
            return None
        finally:
            asking.cancel()

    def state_of(self, shard: int, step: int) -> ShardState | None:
        """What a shard has learned by a step, if it is here and was trained so far."""
        number, _, snapshots = self._after
        if number != step or shard not in self._shards:
            return None
        return self._shards[shard].state(snapshots[shard])

    def items(self, step: int) -> dict[str, Array] | None:
        """The item side after a step, if it is here."""
        number, base, _ = self._after
        if number != step or not self._shards:
            return None
        return self._shards[self._mine[0]].items(base)


class Rows(NamedTuple):
    """Some rows of a range, or all of them where `at` is None."""

    at: Array | None  # int32
    arrays: list[Array]


def _touched(arrays: list[Array]) -> Rows:
    """The rows that are not 0, where that is less than all."""
    touched = np.zeros(len(arrays[0]), bool)
    for array in arrays:
        # Whatever is not 0 has a bit set; -0 counts, which costs a row and nothing else.
        touched |= array.reshape(len(array), -1).any(axis=1)
    if _pays(touched):
        at = np.flatnonzero(touched).astype(np.int32)
        return Rows(at, [array[at] for array in arrays])
    return Rows(None, arrays)


def _pays(touched: Array) -> bool:
    """Whether sending some rows and their numbers is less than sending all."""
    return bool(np.count_nonzero(touched) < 0.9 * len(touched))


def _ranges(n: int, parts: int) -> list[tuple[int, int]]:
    bounds = [n * part // parts for part in range(parts + 1)]
    return list(zip(bounds, bounds[1:], strict=False))


def _keeper(hosts: tuple[Address, ...], me: int) -> int:
    """The next host, on another machine if there is one: machines die with all their workers."""
    machines = [_machine(host.worker) for host in hosts]
    others = [(me + away) % len(hosts) for away in range(1, len(hosts))]
    elsewhere = [number for number in others if machines[number] != machines[me]]
    return (elsewhere or others)[0]


def _machine(worker: str) -> str:
    return worker.rsplit(":", 1)[0]


async def _all(coroutines: list[Any]) -> list[Any]:
    """What all give; with the first error the others are called off."""
    tasks = [asyncio.ensure_future(each) for each in coroutines]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        raise


def _size(content: Any) -> int:
    if isinstance(content, np.ndarray):
        return content.nbytes
    if isinstance(content, dict):
        return sum(map(_size, content.values()))
    return sum(map(_size, content)) if isinstance(content, list | tuple) else 0
