"""A fit as the client drives it: hosts, steps, and what happens when workers come and go.

    with Drive(client, dealt, terms, items, states, random_states) as drive:
        drive.step(piece, settings)      # a slice of an epoch on all shards, and the merge after it
        drive.states(), drive.items()    # futures of what has been learned by then

The client orders steps and hears that they are over; what is trained and merged goes between the
hosts alone (`host.py`). A step counts when all hosts have said so. When a worker is lost before,
the others go back to where the step began, the shards of the lost one go to a worker that has come
in its place, or to those with the fewest, from the copy that their keeper has, and the step begins
again. Where the copy is lost, too, the call begins again from its start. So one thread a worker
makes the same model, bit for bit, whoever dies.

Which workers there are, the scheduler says. One that is frozen is listed, holds data that others
need, and is waited for until the scheduler gives it up: after `distributed.scheduler.worker-ttl`,
5 minutes unless somebody has set it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any, TypeVar

import dask
import numpy as np
from distributed import Client, Future
from distributed.comm.core import CommClosedError

from lightfm_clone.dask.host import (
    Address,
    Done,
    ForgottenError,
    Host,
    LostError,
    Step,
    StoppedError,
    Terms,
    collect,
    collect_items,
    lay,
)
from lightfm_clone.dask.shard import Piece
from lightfm_clone.dask.shards import Dealt, KeptState

# How long a call waits for another worker in the place of a lost one before it goes on with fewer
# (a nanny starts one in about two seconds), and for any worker at all. Seconds.
_COMEBACK, _ANY = 5.0, 120.0
# How often it looks which workers there are.
_LOOK = 0.5

_T = TypeVar("_T")


class StartAgainError(Exception):
    """What was trained is lost, with workers that died together."""


class _LostError(Exception):
    """Members that are gone."""

    def __init__(self, members: set[_Member], cause: BaseException | None = None) -> None:
        super().__init__(", ".join(sorted(each.worker for each in members)) or str(cause))
        self.members = members
        self.cause = cause


class _Member:
    """A host, as the client knows it."""

    def __init__(self, client: Client, fit: str, worker: str) -> None:
        self.worker = worker
        self.shards: list[int] = []
        self.future = client.submit(
            Host, fit, actor=True, workers=[worker], allow_other_workers=False, pure=False
        )
        self.actor: Any = None  # once it is there

    @property
    def is_gone(self) -> bool:
        """Whether its worker has died, or left; one that comes back with its address is another."""
        return self.future.status not in ("pending", "finished")

    def call(self, method: str, *arguments: Any) -> Any:
        """The future of what the host answers."""
        try:
            return getattr(self.actor, method)(*arguments)
        except RuntimeError as error:  # Dask knows already that the actor is gone
            raise _LostError({self}, error) from error

    @property
    def address(self) -> Address:
        return Address(self.worker, self.future.key)


class Drive:
    """See the module.

    Parameters
    ----------
    client : distributed.Client
    dealt : Dealt
    terms : Terms
    items : dict of arrays
        The six of the item side.
    states : function that returns a list of KeptState, or None
        What was learned of the users before; None: rows are drawn. It is called whenever the call
        begins, from its start again, too.
    random_states : list of RandomState
        What each shard draws from, if it does.
    """

    def __init__(
        self,
        client: Client,
        dealt: Dealt,
        terms: Terms,
        items: dict[str, Any],
        states: Callable[[], list[KeptState]] | None,
        random_states: list[np.random.RandomState],
    ) -> None:
        self._client = client
        self._data = dealt.data
        self._n = len(dealt.data)
        self._terms, self._items = terms, items
        self._states = states
        self._random_states = random_states
        self._members: list[_Member] = []
        self._number = 0  # of the last step that counts
        self._piece: Piece | None = None
        self._attempt = 0
        self._in_a_row = 0  # losses since the last step
        self.dones: list[Done] = []  # of the last step, one a host

    def __enter__(self) -> Drive:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._let_go(self._members)
        self._members = []

    @property
    def n_shards(self) -> int:
        return self._n

    @property
    def has_trained(self) -> bool:
        """Whether a step is over since the call began."""
        return self._number > 0

    # ---- steps ---------------------------------------------------------------------------------

    def step(self, piece: Piece, settings: dict[str, Any]) -> dict[int, Any]:
        """Train a slice of an epoch on all shards and merge; the totals by shard."""
        self.dones = self._whoever_dies(lambda: self._call("step", self._order(piece, settings)))
        self._number += 1
        self._piece = piece
        self._in_a_row = 0
        return {shard: totals for done in self.dones for shard, totals in done.totals.items()}

    def _order(self, piece: Piece, settings: dict[str, Any]) -> Step:
        """The next step, as the hosts are now."""
        return Step(
            self._number + 1,
            self._attempt,
            piece,
            settings,
            tuple(member.address for member in self._members),
            tuple(tuple(member.shards) for member in self._members),
            self._terms.whole.shares_features,
        )

    def ask(self, method: str, *arguments: Any) -> list[Any]:
        """What all hosts say to a question that changes nothing."""
        return self._whoever_dies(lambda: self._call(method, *arguments))

    def go_back(self) -> None:
        """Be as after the last step, whatever is under way."""
        self._whoever_dies(lambda: self._regroup(set()))

    def states(self) -> list[KeptState]:
        """What all shards have learned, each on two workers if there are two."""
        return self._whoever_dies(self._collected)

    def items(self) -> dict[str, Any]:
        """The six arrays of the item side."""
        return self._whoever_dies(self._collected_items)

    def _whoever_dies(self, attempt: Callable[[], _T]) -> _T:
        """What an attempt gives that no worker is lost in; before each other one all go back."""
        while True:
            try:
                return attempt()
            except _LostError as error:
                self._recover(error)

    def _collected(self) -> list[KeptState]:
        made: dict[int, KeptState] = {}
        waiting: list[tuple[_Member, Any]] = []
        for place, member in enumerate(self._members):
            another = self._members[place - 1]
            for shard in member.shards:
                on = [member] if another is member else [member, member, another]
                wanted = shard, self._number, member.address
                copies = [self._task(each, collect, *wanted, elsewhere=True) for each in on]
                waiting += [(member, copy) for copy in copies]
                made[shard] = KeptState(*copies)
        self._wait(waiting, fetch=False)
        return [made[shard] for shard in range(self._n)]

    def _collected_items(self) -> dict[str, Any]:
        member = self._members[0]
        (found,) = self._wait([(member, self._task(member, collect_items, self._number))])
        return dict(found)

    def _task(
        self, member: _Member, function: Any, *arguments: Any, elsewhere: bool = False
    ) -> Future[Any]:
        """A task of this fit on a member's worker, or on another one where that may be."""
        return self._client.submit(
            function,
            self._fit,
            *arguments,
            workers=[member.worker],
            allow_other_workers=elsewhere,
            pure=False,
        )

    # ---- placing shards --------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, or after `StartAgainError` begin again: every shard as it was before the call."""
        self.__exit__()
        self._number, self._piece = 0, None
        self._fit = f"lightfm-clone-{uuid.uuid4().hex}"
        workers = self._workers(1, _ANY)[: self._n]
        self._members = [_Member(self._client, self._fit, worker) for worker in workers]
        for shard in range(self._n):
            self._members[shard % len(workers)].shards.append(shard)
        try:
            self._meet(self._members)
            self._bring({shard: member for member in self._members for shard in member.shards})
        except _LostError as error:
            self._count(error)
            self.start()

    def _meet(self, members: list[_Member]) -> None:
        """Wait until these hosts are there."""
        actors = self._wait([(each, each.future) for each in members])
        for member, actor in zip(members, actors, strict=True):
            member.actor = actor

    def _bring(self, to: dict[int, _Member]) -> None:
        """Bring shards to hosts as they were when the call began."""
        if not to:
            return
        member = next(iter(to.values()))
        try:
            terms, items = (
                self._client.scatter(each, workers=[member.worker], hash=False)
                for each in ([self._terms], [self._items])
            )
        except Exception as error:
            if member.worker in self._alive():
                raise
            raise _LostError({member}, error) from error
        states = None  # drawn, and replaced by what is fetched
        if self._states is not None and self._number == 0:
            states = self._states()
        lays = [
            self._task(
                member,
                lay,
                shard,
                self._data[shard],
                None if states is None else states[shard].at_hand(),
                terms[0],
                items[0],
            )
            for shard, member in to.items()
        ]
        self._wait(list(zip(to.values(), lays, strict=True)))
        self._wait(
            [
                (member, member.call("take", shard, self._random_states[shard]))
                for shard, member in to.items()
            ]
        )

    def balance(self) -> None:
        """Give shards to workers that have come, where others have several."""
        self._whoever_dies(self._balance)

    def _balance(self) -> None:
        while free := self._free():
            donor = max(self._members, key=lambda member: len(member.shards))
            if len(donor.shards) < 2:
                return
            self._hand_over(donor, free[0])

    def _hand_over(self, donor: _Member, worker: str) -> None:
        shard = donor.shards[-1]
        taker = _Member(self._client, self._fit, worker)
        self._meet([taker])
        self._bring({shard: taker})
        self._fetch(shard, taker, [donor.address])
        self._wait([(donor, donor.call("drop", shard))])
        donor.shards.remove(shard)
        taker.shards.append(shard)
        self._members.append(taker)

    def _fetch(self, shard: int, member: _Member, hosts: list[Address]) -> None:
        if self._number == 0:  # it is as it was brought
            return
        call = member.call("fetch", shard, self._number, self._piece, hosts)
        (giver,) = self._wait([(member, call)])
        if not giver:
            raise StartAgainError

    # ---- losses --------------------------------------------------------------------------------

    def _count(self, error: _LostError) -> None:
        """Give up where workers are lost again and again without a step in between."""
        self._in_a_row += 1
        allowed = dask.config.get("distributed.scheduler.allowed-failures")
        if self._in_a_row > allowed:
            raise RuntimeError(
                f"the fit has lost workers {self._in_a_row} times without a step in between, the "
                f"last time {error}; look at their logs (too little memory?), or raise "
                f"distributed.scheduler.allowed-failures, which is {allowed}"
            ) from error.cause

    def _recover(self, error: _LostError) -> None:
        """Go on as after the last step, without those that are lost."""
        while True:
            self._count(error)
            try:
                self._regroup(error.members)
                return
            except _LostError as another:
                error = another

    def _regroup(self, lost: set[_Member]) -> None:
        n_before = len(self._members)
        self._attempt += 1
        self._let_go(lost)
        self._members = [member for member in self._members if member not in lost]
        if not self._members:
            raise StartAgainError
        self._call("stop", self._attempt)
        self._call("go_back", self._number, self._piece)
        workers = self._workers(n_before, _COMEBACK)
        present = {member.worker for member in self._members}
        free = [worker for worker in workers if worker not in present]
        held = {shard for member in self._members for shard in member.shards}
        homeless = [shard for shard in range(self._n) if shard not in held]
        n_new = min(len(free), len(homeless), n_before - len(self._members))
        new = [_Member(self._client, self._fit, worker) for worker in free[:n_new]]
        self._meet(new)
        survivors = [member.address for member in self._members]
        n_held = {member: len(member.shards) for member in [*new, *self._members]}
        takers = {}
        for shard in homeless:
            takers[shard] = taker = min(n_held, key=n_held.__getitem__)
            n_held[taker] += 1
        self._bring(takers)  # at once: items are many, and go through the client
        for shard, taker in takers.items():
            self._fetch(shard, taker, survivors)
            taker.shards.append(shard)
            if taker not in self._members:
                self._members.append(taker)

    def _let_go(self, members: Iterable[_Member]) -> None:
        """Free hosts, which proxies would keep until this process collects circles of objects."""
        if self._client.status == "running":
            self._client.cancel([member.future for member in members])

    # ---- waiting -------------------------------------------------------------------------------

    def _call(self, method: str, *arguments: Any) -> list[Any]:
        """What all hosts answer."""
        calls, lost = [], set()
        for member in self._members:
            try:
                calls.append((member, member.call(method, *arguments)))
            except _LostError:
                lost.add(member)
        try:
            answers = self._wait(calls)
        except _LostError as error:
            raise _LostError(error.members | lost, error.cause) from error
        if lost:
            raise _LostError(lost)
        return answers

    def _wait(self, calls: list[tuple[_Member, Any]], *, fetch: bool = True) -> list[Any]:
        """What futures give; those of members that are lost never do.

        All are waited for, so that nothing of an attempt is under way when the next one begins.
        Without `fetch` results stay on the cluster.
        """
        answers: list[Any] = [None] * len(calls)
        lost: dict[_Member, BaseException | None] = {}
        stopped: BaseException | None = None
        wrong: BaseException | None = None
        pending = dict(enumerate(calls))
        looked = time.monotonic()
        called_off = False
        while pending:
            for place, (member, future) in list(pending.items()):
                was_done = future.done()
                try:
                    answers[place] = _result(future, fetch)
                except (TimeoutError, asyncio.TimeoutError) as error:
                    # The time is over, and this is no time-out that it tells of. What is done may
                    # still have to come from a worker that is busy, or gone.
                    if not was_done or getattr(future, "status", "error") != "error":
                        break
                    wrong = error
                except (StoppedError, LostError, ForgottenError, CancelledError) as error:
                    stopped = error  # of a task, what it depends on may have been elsewhere
                except (OSError, CommClosedError) as error:
                    lost[member] = error
                except Exception as error:
                    wrong = error
                del pending[place]
            if time.monotonic() - looked > _LOOK or lost or stopped:
                looked = time.monotonic()
                alive = self._alive()
                for place, (member, _) in list(pending.items()):
                    if member.is_gone or member.worker not in alive:
                        lost[member] = None
                        del pending[place]
            if (lost or stopped or wrong) and pending and not called_off:
                called_off = True
                self._call_off({member for member, _ in pending.values()})
        if not (lost or stopped or wrong):
            return answers
        if not (lost or wrong):
            time.sleep(_LOOK)  # the scheduler may hear of it later than the hosts
        alive = self._alive()
        of_concern = {*self._members, *(member for member, _ in calls)}
        gone = {each for each in of_concern if each.is_gone or each.worker not in alive}
        if wrong is not None and not (lost or gone):
            raise wrong
        raise _LostError(gone | set(lost), stopped or wrong or next(iter(lost.values()), None))

    def _call_off(self, pending: set[_Member]) -> None:
        """Tell hosts that a step will not end, so that they wait no longer for each other."""
        self._attempt += 1
        for member in pending:
            if member.actor is not None:
                with suppress(_LostError):  # whether it hears of it shows in `_wait`
                    member.call("stop", self._attempt)

    def _alive(self) -> list[str]:
        if self._client.status in ("closing", "closed"):
            raise RuntimeError("the client was closed in the middle of the fit; make one, and fit")
        return list(self._client.nthreads())

    def _free(self) -> list[str]:
        taken = {member.worker for member in self._members}
        return [worker for worker in self._alive() if worker not in taken]

    def _workers(self, n: int, seconds: float) -> list[str]:
        """The workers, one at least, once there are so many or that time is over."""
        end = time.monotonic() + seconds
        last = time.monotonic() + _ANY
        while True:
            alive = self._alive()
            if len(alive) >= n or (alive and time.monotonic() > end):
                return alive
            if time.monotonic() > last:
                raise TimeoutError(
                    f"the cluster {self._client.scheduler_info()['address']} has had no worker for "
                    f"{_ANY:.0f} seconds; start some, and call again"
                )
            time.sleep(0.1)


def _result(future: Any, fetch: bool) -> Any:
    """What a future gives, or its error; a TimeoutError if it takes longer than a look."""
    if not isinstance(future, Future):  # that of a host's method
        return future.result(timeout=_LOOK)
    error = future.exception(timeout=_LOOK)
    if error is not None:
        raise error
    if future.cancelled():
        raise CancelledError(future.key)
    return future.result() if fetch else None  # which takes as long as it takes to bring it
