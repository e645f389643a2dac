"""Whatever dies while a model is trained on a cluster, it is the model of an undisturbed run.

LIGHTFM_CLONE_FAULTS=long kills as often as docs/inside/reliability.md says; otherwise a few times.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import ExitStack, contextmanager, suppress

import pytest
from clusters import assert_same, cluster, within

pytest.importorskip("distributed")


from lightfm_clone.cross_validation import random_train_test_split
from lightfm_clone.dask import driver
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
    with within(3000 if LONG else 120):
        yield


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
            with suppress(TimeoutError):
                self._client.wait_for_workers(self._n, 15)
                return self._client
        self.close()
        self._client = self._open.enter_context(cluster(self._n, **self._further))
        return self._client

    def close(self):
        self._open.close()


@pytest.fixture(scope="module", params=[2, 3])
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


def kill(*numbers, by=signal.SIGKILL):
    for number in numbers:
        with suppress(ProcessLookupError):
            os.kill(number, by)


@contextmanager
def at(method, moment, do, *, after=False):
    """Do something when the client is about to ask hosts for something the n-th time, or just has.

    It is done once, and has to be.
    """
    n_calls = 0
    original = driver.Drive._call

    def call(self, name, *arguments):
        nonlocal n_calls
        is_now = name == method and n_calls == moment
        n_calls += name == method
        if is_now and not after:
            do()
        answers = original(self, name, *arguments)
        if is_now and after:
            do()
        return answers

    driver.Drive._call = call
    try:
        yield
    finally:
        driver.Drive._call = original
    assert n_calls > moment


REFERENCES = {}


def reference(client):
    """What an undisturbed run learns, which depends on the number of shards alone."""
    n = len(client.nthreads())
    if n not in REFERENCES:
        begin = time.perf_counter()
        model = fitted(client)
        REFERENCES[n] = kept = model.to_local()
        kept.seconds = time.perf_counter() - begin
    return REFERENCES[n]


# ---- at any moment -------------------------------------------------------------------------------


def test_killed_at_any_moment_a_fit_ends_with_the_same_model(herd):
    moments = random.Random(herd._n)
    for number in range(N_KILLS):
        client = herd.client()
        undisturbed = reference(client)
        before = processes(client)
        victim = moments.choice(sorted(before.values()))
        after = moments.random() * undisturbed.seconds
        killer = threading.Timer(after, kill, [victim])
        killer.start()
        begin = time.perf_counter()
        model = fitted(client)
        seconds = time.perf_counter() - begin
        killer.join()
        print(f"{number}: killed after {after:.1f} s, {seconds:.1f} of {undisturbed.seconds:.1f} s")
        assert_same(model, undisturbed)
