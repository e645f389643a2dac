"""Whatever dies while a model is trained on a cluster, it is the model of an undisturbed run.

LIGHTFM_CLONE_FAULTS=long kills as often as docs/inside/reliability.md says; otherwise a few times.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

import numpy as np
import pytest
from clusters import assert_same, cluster, within

pytest.importorskip("distributed")

import dask
from distributed import Client, LocalCluster

from lightfm_clone.cross_validation import random_train_test_split
from lightfm_clone.dask import driver, fitting, host, tables
from lightfm_clone.dask.model import DaskLightFM
from lightfm_clone.datasets import synthetic_catalogue

LONG = os.environ.get("LIGHTFM_CLONE_FAULTS") == "long"
N_KILLS = 50 if LONG else 3

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals of POSIX")

EPOCHS = 4
TRAIN, TEST = random_train_test_split(
    synthetic_catalogue(300, 120, 6000, random_state=0).interactions, random_state=0
)


@pytest.fixture(autouse=True)
def _limit():
    with within(6000 if LONG else 300):
        yield


@contextmanager
def by_hand(n_workers, *options):
    """A client, and a function that starts another worker; nobody comes back unless with "--nanny".

    The cluster is of this process alone, its workers are programs.
    """
    command = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1"]
    options = options or ("--no-nanny",)
    with (
        ExitStack() as running,
        LocalCluster(n_workers=0, dashboard_address=":0") as scheduler,
        Client(scheduler) as client,
    ):

        def start():
            worker = subprocess.Popen([*command, *options, scheduler.scheduler_address])
            running.callback(worker.wait)
            running.callback(worker.kill)

        for _ in range(n_workers):
            start()
        client.wait_for_workers(n_workers, 60)
        yield client, start


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Herd:
    """Clusters of so many workers, where a new one takes the place of one that lacks workers."""

    def __init__(self, n_workers, **further):
        self._n, self._further = n_workers, further
        self._open = ExitStack()
        self._client = None
        self._n_asked = 0

    def client(self):
        """A client of a cluster with all its workers."""
        self._n_asked += 1
        if self._client is not None and self._n_asked % 8:
            with suppress(OSError, TimeoutError):
                self._client.wait_for_workers(self._n, 15)
                # One that was killed a moment ago may still be listed, and then a fit has fewer
                # shards than the one that it is compared with.
                if len(self._client.run(int)) == self._n:
                    return self._client
        self.close()
        self._client = self._open.enter_context(cluster(self._n, **self._further))
        return self._client

    def close(self):
        self._open.close()


@pytest.fixture(scope="module", params=[2, 3] if LONG else [2])
def herd(request):
    herd = Herd(request.param)
    yield herd
    herd.close()


@pytest.fixture(scope="module")
def pair():
    herd = Herd(2)
    yield herd
    herd.close()


def model_on(client, **parameters):
    return DaskLightFM(
        **({"loss": "warp", "no_components": 8, "random_state": 3} | parameters), client=client
    )


def fitted(client, **further):
    return model_on(client).fit(TRAIN, epochs=EPOCHS, **further)


def processes(client):
    """The process of each worker, by address."""
    return client.run(os.getpid)


def kill(number, *others, by=signal.SIGKILL):
    for each in (number, *others):
        with suppress(ProcessLookupError):
            os.kill(each, by)


@contextmanager
def at(method, moment, do, *, of=driver.Drive, after=False):
    """Do something when a method is called the n-th time, or when it has come back then.

    It is done once, and has to be. The method is one of the client's; those of hosts count as
    "step", "check", "streams", ... of which each is asked of all hosts at once.
    """
    n_calls = 0
    of_hosts = of is driver.Drive and not hasattr(of, method)
    name = "_call" if of_hosts else method
    original = getattr(of, name)

    def call(self, *arguments, **further):
        nonlocal n_calls
        counts = not of_hosts or arguments[0] == method
        is_now = counts and n_calls == moment
        n_calls += counts
        if is_now and not after:
            do()
        answers = original(self, *arguments, **further)
        if is_now and after:
            do()
        return answers

    setattr(of, name, call)
    try:
        yield
    finally:
        setattr(of, name, original)
    assert n_calls > moment, "it was never done"


def soon(seconds, do, *arguments):
    """Do it in a while, as others die: in the middle of something."""
    threading.Timer(seconds, do, arguments).start()


REFERENCES = {}


def reference(client):
    """What an undisturbed run learns, which depends on the number of shards alone."""
    n = len(client.nthreads())
    if n not in REFERENCES:
        n_waits = 0

        def count():
            nonlocal n_waits
            n_waits += 1

        fitted(client)  # all is imported now
        begin = time.perf_counter()
        with every("_wait", count):
            model = fitted(client)
        REFERENCES[n] = kept = model.to_local()
        kept.seconds = time.perf_counter() - begin
        kept.n_waits = n_waits
    return REFERENCES[n]


@contextmanager
def every(method, do, when=lambda drive: True):
    """Do something whenever a method of the driver is called."""
    original = getattr(driver.Drive, method)

    def call(self, *arguments, **further):
        if when(self):
            do()
        return original(self, *arguments, **further)

    setattr(driver.Drive, method, call)
    try:
        yield
    finally:
        setattr(driver.Drive, method, original)


# ---- at any moment -------------------------------------------------------------------------------


def test_killed_at_any_moment_a_fit_ends_with_the_same_model(herd):
    moments = random.Random(herd._n)
    for number in range(N_KILLS):
        client = herd.client()
        undisturbed = reference(client)
        victim = moments.choice(sorted(processes(client).values()))
        begin = time.perf_counter()
        if number % 3:  # while the client waits for hosts
            moment = moments.randrange(undisturbed.n_waits)
            after = 0.05 * moments.random() ** 2
            with at("_wait", moment, partial(soon, after, kill, victim)):
                model = fitted(client)
        else:  # while interactions are dealt, or when the fit is over, too
            moment, after = "start", moments.random() * 1.1 * undisturbed.seconds
            soon(after, kill, victim)
            model = fitted(client)
        seconds = time.perf_counter() - begin
        print(f"{number}: killed {after:.2f} s after {moment}, {seconds:.1f} s")
        assert_same(model, undisturbed)


# ---- at moments of which each is another case ----------------------------------------------------


STAGES = [
    (method, moment, after)
    for method, moment in (
        ("_meet", 0),
        ("_bring", 0),
        ("step", 0),
        ("step", 5),
        ("check", 1),
        ("advice", 0),
        ("states", 0),
        ("items", 0),
        ("streams", 0),
    )
    for after in (False, True)
]
# One of each kind: before there is anything, within an epoch, at its end, while all is collected.
SOME = [("_bring", 0, False), ("step", 5, False), ("states", 0, False), ("items", 0, True)]


@pytest.mark.parametrize("method, moment, after", STAGES if LONG else SOME)
def test_a_worker_dies_at_each_stage(pair, method, moment, after):
    client = pair.client()
    undisturbed = reference(client)
    victim = max(processes(client).values())
    with at(method, moment, lambda: kill(victim), after=after):
        model = fitted(client)
    assert_same(model, undisturbed)


@pytest.mark.parametrize("stage", ["deal", "_judged"])
def test_a_worker_dies_while_interactions_are_dealt(pair, stage, monkeypatch):
    client = pair.client()
    undisturbed = reference(client)
    victim = min(processes(client).values())
    module = fitting if stage == "_judged" else tables
    original = getattr(module, stage)

    def disturbed(*given, **further):
        soon(0.02, kill, victim)
        found = original(*given, **further)
        kill(victim)
        return found

    monkeypatch.setattr(module, stage, disturbed)
    assert_same(fitted(client), undisturbed)


def test_all_workers_die_at_once(pair):
    client = pair.client()
    undisturbed = reference(client)
    victims = processes(client).values()
    with at("step", 4, lambda: kill(*victims)):
        model = fitted(client)
    assert_same(model, undisturbed)


def test_the_only_worker_dies():
    with cluster(1) as client:
        undisturbed = reference(client)
        for method, moment in (("step", 1), ("states", 0)):
            (victim,) = processes(client).values()
            with at(method, moment, lambda victim=victim: kill(victim)):
                model = fitted(client)
            assert_same(model, undisturbed)


@pytest.mark.slow
def test_two_of_three_die_at_once():
    with cluster(3) as client:
        undisturbed = reference(client)
        victims = sorted(processes(client).values())[:2]
        with at("step", 6, lambda: kill(*victims)):
            model = fitted(client)
        assert_same(model, undisturbed)


def test_a_worker_dies_after_the_fit_and_the_model_is_whole(pair, tmp_path):
    client = pair.client()
    undisturbed = reference(client)
    model = fitted(client)
    kill(min(processes(client).values()))
    np.testing.assert_array_equal(
        model.recommend(k=5)[0], undisturbed.recommend(np.arange(300), k=5)[0]
    )
    assert_same(model, undisturbed)
    assert model.evaluate(TEST)["ndcg@10"] > 0
    client.wait_for_workers(2, 30)
    again = model.fit_partial(TRAIN, epochs=1)
    assert len(again.history_) == EPOCHS + 1


# ---- who goes, comes and does not answer ---------------------------------------------------------


@pytest.mark.slow
def test_nobody_comes_back_and_somebody_comes_late(monkeypatch):
    """Without nannies what dies is gone; shards go to who is left, and back to who comes."""
    monkeypatch.setattr(driver, "_COMEBACK", 0.5)
    handed = []
    with by_hand(3) as (client, start), every("_hand_over", lambda: handed.append(1)):
        undisturbed = reference(client)
        victims = sorted(processes(client).values())
        with (
            at("step", 2, lambda: kill(victims[0])),
            at("step", 10, lambda: (start(), client.wait_for_workers(3))),
            at("_hand_over", 0, lambda: kill(victims[1]), after=True),
        ):
            model = fitted(client)
        assert_same(model, undisturbed)
        assert handed
        assert len(client.nthreads()) == 2


def test_a_worker_comes_back_at_the_same_address():
    with by_hand(1, "--nanny", "--worker-port", str(free_port())) as (client, _):
        undisturbed = reference(client)
        ((address, victim),) = processes(client).items()
        with at("step", 3, lambda: kill(victim)):
            model = fitted(client)
        assert_same(model, undisturbed)
        assert [*processes(client)] == [address]


@pytest.mark.slow
def test_workers_are_retired_scaled_away_and_added():
    with cluster(2) as client:
        undisturbed = reference(client)
        first = min(client.nthreads())
        with (
            at("step", 2, lambda: soon(0, client.retire_workers, [first])),
            at("check", 0, lambda: client.cluster.scale(3)),
        ):
            model = fitted(client)
        assert_same(model, undisturbed)
        client.wait_for_workers(2, 30)
        client.cluster.scale(2)
        while len(client.nthreads()) > 2:
            time.sleep(0.1)
        with at("step", 6, lambda: client.cluster.scale(1)):
            model = fitted(client)
        assert_same(model, undisturbed)


def test_a_worker_that_does_not_answer_for_a_while_costs_nothing(pair):
    client = pair.client()
    undisturbed = reference(client)
    victim = max(processes(client).values())

    def freeze():
        kill(victim, by=signal.SIGSTOP)
        soon(2, os.kill, victim, signal.SIGCONT)

    with at("step", 3, freeze), at("states", 0, freeze):
        model = fitted(client)
    assert_same(model, undisturbed)
    assert victim in processes(client).values()


@pytest.mark.slow  # the scheduler takes 5 seconds at least
@pytest.mark.parametrize("n", [1, 2] if LONG else [2])
def test_a_worker_that_does_not_answer_at_all_is_started_anew(n):
    with dask.config.set({"distributed.scheduler.worker-ttl": "5s"}), cluster(n) as client:
        undisturbed = reference(client)
        victim = max(processes(client).values())
        with at("step", 3, lambda: kill(victim, by=signal.SIGSTOP)):
            model = fitted(client)
        assert_same(model, undisturbed)
        assert victim not in processes(client).values()


def test_workers_that_die_again_and_again_are_named(pair):
    client = pair.client()
    reference(client)
    model = fitted(client)
    before = model.__dict__.copy()

    def kill_one():
        with suppress(OSError):  # one of them is dying
            kill(max(processes(client).values()))

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        pytest.raises(RuntimeError, match=r"lost workers 2 times.*tcp://.*logs.*allowed-failures"),
        every("_wait", kill_one, when=lambda drive: drive.has_trained),
    ):
        model.fit(TRAIN, epochs=EPOCHS)
    assert model.__dict__ == before


# ---- the client ----------------------------------------------------------------------------------


def n_hosts():
    gc.collect()
    return len(host._HOSTS)


def test_a_client_that_closes_in_the_middle_gets_an_error(pair):
    shared = pair.client()
    undisturbed = reference(shared)
    errors = []
    with Client(shared.cluster, set_as_default=False) as client:

        def fit():
            try:
                fitted(client)
            except Exception as error:
                errors.append(error)

        fitting_it = threading.Thread(target=fit)
        with at("step", 5, lambda: soon(0, client.close)):
            fitting_it.start()
            fitting_it.join(60)
        assert not fitting_it.is_alive()
    assert len(errors) == 1 and "client was closed" in str(errors[0])
    assert_same(fitted(shared), undisturbed)
    end = time.monotonic() + 20
    while any(shared.run(n_hosts).values()) and time.monotonic() < end:
        time.sleep(0.2)
    assert not any(shared.run(n_hosts).values())


@pytest.mark.slow
def test_a_scheduler_that_dies_is_named():
    """No cluster is left; Dask looks for it for a while, as long as the client says."""
    program = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    options = ["--host", "127.0.0.1", "--port", str(free_port()), "--dashboard-address", ":0"]
    scheduler = subprocess.Popen([*program, *options])
    address = f"tcp://127.0.0.1:{options[3]}"
    worker = subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_worker", address])
    try:
        Client(address, timeout=60, set_as_default=False).close()  # when it is there
        with Client(address, timeout=3) as client:
            client.wait_for_workers(1, 60)
            model = model_on(client)
            with pytest.raises(OSError, match=address), at("step", 3, scheduler.kill):
                model.fit(TRAIN, epochs=EPOCHS)
            assert model._served is None
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()
