"""What goes wrong around a program costs it nothing: kills, full disks, Ctrl-C, forks, threads.

LIGHTFM_CLONE_FAULTS=long tries as often as docs/inside/reliability.md says; otherwise a few times.
"""

from __future__ import annotations

import copy
import errno
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import (
    ARRAYS,
    LOSSES,
    are_finite,
    arrays_of,
    assert_equal_arrays,
    output_of,
    random_interactions,
    run_python,
)

from lightfm_clone import LightFM
from lightfm_clone.callbacks import Checkpoint
from lightfm_clone.data import Dataset

resource = pytest.importorskip("resource", reason="limits of POSIX")

LONG = os.environ.get("LIGHTFM_CLONE_FAULTS") == "long"
N_KILLS = 250 if LONG else 25  # of save and of Checkpoint each
N_INTERRUPTS = 204 if LONG else 24
N_FITS = 1000 if LONG else 120

pytestmark = [
    # Apple's own libraries do not survive a fork.
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks, limits and /proc"),
    # Python 3.12 warns of forks with threads; those are the subject here.
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


# ---- death during a save -------------------------------------------------------------------------


def marked(number: int) -> LightFM:
    """A model of a megabyte whose every array, and whose `n`, holds the number."""
    model = LightFM(no_components=32, random_state=0)
    model.fit(sp.coo_matrix((1200, 1200), dtype=np.float32), epochs=0)
    return remarked(model, number)


def remarked(model: LightFM, number: int) -> LightFM:
    model.n = number
    for name in ARRAYS:
        getattr(model, name)[:] = number
    return model


def save_for_ever(path: Path, number: int, started: Callable[[], None]) -> None:
    model = marked(number)
    started()
    while True:
        number += 1
        remarked(model, number).save(path)


def train_for_ever(path: Path, number: int, started: Callable[[], None]) -> None:
    """A fit that saves itself, marked, after every epoch."""
    model = marked(number)
    model.learning_rate = 0.0

    def mark(model: LightFM, record: dict[str, object]) -> None:
        started()
        saved = copy.copy(model)  # the fit's own arrays go on
        for name in ARRAYS:
            setattr(saved, name, getattr(model, name).copy())
        Checkpoint(path)(remarked(saved, number + record["epoch"]), record)

    model.fit_partial(
        sp.coo_matrix(([1.0], ([3], [4])), (1200, 1200)), epochs=10**9, callbacks=[mark]
    )


@pytest.mark.slow  # counts on a disk that is busy when the kill comes
@pytest.mark.parametrize("work", [save_for_ever, train_for_ever])
def test_killed_at_any_moment_the_file_is_the_old_or_the_new_one(tmp_path, work):
    path = tmp_path / "model"
    marked(1).save(path)
    newest, died_within, moments = 1, 0, random.Random(0)
    for _ in range(N_KILLS):
        sys.stdout.flush()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                work(path, newest, partial(os.write, writing, b"."))
            finally:
                os._exit(1)
        os.read(reading, 1)
        os.close(reading)
        os.close(writing)
        # Some of them before the first save is done.
        time.sleep(moments.choice((0.02, 0.08)) * moments.random())
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL

        loaded = LightFM.load(path)  # checksums are right
        assert loaded.n >= newest, "a save that was done is lost"
        for name in ARRAYS:
            assert (getattr(loaded, name) == loaded.n).all(), "parts of two saves"
        newest = loaded.n
        left = [name for name in os.listdir(tmp_path) if name != "model"]
        assert all(name.startswith(".lightfm-") and name.endswith(".tmp") for name in left)
        died_within += bool(left)
        for name in left:
            os.unlink(tmp_path / name)
    print(f"{N_KILLS} kills, {died_within} of them within a save, {newest} whole saves")
    # Or else the test would show nothing.
    assert newest > 1
    assert died_within >= N_KILLS // 10


# ---- places where nothing can be written ---------------------------------------------------------


def saved_model() -> LightFM:
    return LightFM(no_components=8).fit(random_interactions())


def saved_dataset() -> Dataset:
    dataset = Dataset()
    dataset.fit(range(5000), map(str, range(5000)))
    return dataset


@pytest.mark.parametrize("make", [saved_model, saved_dataset])
def test_a_disk_that_is_full(tmp_path, make):
    """Of every size the file could have reached by then."""
    thing, path = make(), tmp_path / "saved"
    thing.save(path)
    old = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error instead, EFBIG
    try:
        for size in (0, 1, 23, 24, 64, 1000, len(old) // 2, len(old) - 1):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
            try:
                with pytest.raises(OSError) as caught:
                    thing.save(path)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            assert caught.value.errno in (errno.EFBIG, errno.ENOSPC)
            assert path.read_bytes() == old
            assert os.listdir(tmp_path) == ["saved"]
    finally:
        signal.signal(signal.SIGXFSZ, handler)
    thing.save(path)
    type(thing).load(path)


def test_a_file_system_that_is_full(tmp_path):
    """A real one, of 256 KB, where one may mount it."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("mounting is not permitted")
    try:
        path = folder / "model"
        small = saved_model()
        small.save(path)
        old = path.read_bytes()
        with pytest.raises(OSError) as caught:
            marked(3).save(path)
        assert caught.value.errno == errno.ENOSPC
        assert path.read_bytes() == old
        assert os.listdir(folder) == ["model"]
        with pytest.raises(OSError):
            small.fit_partial(
                random_interactions(),
                callbacks=[lambda model, record: marked(3).save(path)],
            )
        assert path.read_bytes() == old
        assert_equal_arrays(arrays_of(LightFM.load(path)), arrays_of(small))
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_path_that_is_a_folder(tmp_path):
    with pytest.raises(IsADirectoryError):
        saved_model().save(tmp_path)
    with pytest.raises(OSError):
        LightFM.load(tmp_path)
    with pytest.raises(OSError, match="full"):
        saved_model().save("/dev/full")
    with pytest.raises(FileNotFoundError):
        saved_model().fit(random_interactions(), callbacks=[Checkpoint(tmp_path / "no" / "m")])


# ---- Ctrl-C --------------------------------------------------------------------------------------


def n_threads_of_the_process() -> int:
    return len(os.listdir("/proc/self/task"))


@pytest.mark.slow  # by the clock
def test_interrupts_at_any_moment_of_a_fit():
    """The model goes on working, no thread lives on, and nothing goes on in the background."""
    rng = np.random.default_rng(0)
    n = 20_000
    entries = rng.integers(500, size=n), rng.integers(400, size=n)
    interactions = sp.coo_matrix((np.ones(n, np.float32), entries), shape=(500, 400))
    moments = random.Random(0)
    handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
    interrupted, models, most = 0, {}, None
    python_threads = threading.enumerate()
    try:
        for number in range(N_INTERRUPTS):
            loss = LOSSES[number % len(LOSSES)]
            model = models.setdefault(loss, LightFM(loss=loss, random_state=0))
            method = "fit" if moments.random() < 0.5 else "fit_partial"
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0005 + 0.04 * moments.random())
                getattr(model, method)(interactions, epochs=1000, num_threads=2)
            except KeyboardInterrupt:
                interrupted += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            if model.item_embeddings is None:  # interrupted before there was anything
                model.fit(interactions, epochs=0)
            assert are_finite(model)
            assert np.isfinite(model.predict(3, range(400), num_threads=2)).all()
            if number % 12 == 0:
                copy.deepcopy(model).fit_partial(interactions, num_threads=2)
            if number >= len(LOSSES):
                most = most or n_threads_of_the_process()
                assert n_threads_of_the_process() <= most
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    assert interrupted == N_INTERRUPTS
    assert threading.enumerate() == python_threads
    time.sleep(0.3)  # threads of OpenMP may spin for a moment before they sleep
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1


# ---- forks ---------------------------------------------------------------------------------------


def after_parallel_work() -> tuple[LightFM, sp.coo_matrix]:
    interactions = random_interactions(0, (200, 100), 4000)
    model = LightFM(loss="warp", random_state=0).fit(interactions, epochs=2, num_threads=2)
    model.recommend(None, 5, num_threads=2)
    return model, interactions


_SHARED: dict[str, object] = {}


def serve(user: int) -> list[int]:
    """What a worker does, in all its forms."""
    model, interactions = _SHARED["model"], _SHARED["interactions"]
    model.predict(np.arange(100), np.arange(100), num_threads=2)
    copy.deepcopy(model).fit_partial(interactions, num_threads=2)
    return model.recommend(user, 5, num_threads=2)[0][0].tolist()


def test_multiprocessing_by_fork():
    model, interactions = after_parallel_work()
    _SHARED.update(model=model, interactions=interactions)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        lists = pool.map_async(serve, range(30)).get(timeout=60)
    assert lists == model.recommend(range(30), 5)[0].tolist()


def test_joblib():
    joblib = pytest.importorskip("joblib")
    model, _ = after_parallel_work()
    for backend in ("loky", "multiprocessing", "threading"):
        with joblib.parallel_config(backend=backend, n_jobs=2):
            lists = joblib.Parallel(timeout=120)(
                joblib.delayed(recommended)(model, user) for user in range(8)
            )
        assert lists == model.recommend(range(8), 5)[0].tolist(), backend


def recommended(model: LightFM, user: int) -> list[int]:
    return model.recommend(user, 5, num_threads=2)[0][0].tolist()


def test_workers_forked_from_a_server_that_has_loaded_the_model(tmp_path):
    """As gunicorn with ``preload_app``: some workers at once, and one that forks in its turn."""
    model, _ = after_parallel_work()
    model.save(tmp_path / "model")
    code = """
import os, signal, sys
import numpy as np
from lightfm_clone import LightFM
model = LightFM.load(sys.argv[1], mmap=True)
expected = model.recommend(None, 5, num_threads=2)[0]
def work():
    signal.alarm(30)
    for _ in range(20):
        assert (model.recommend(None, 5, num_threads=2)[0] == expected).all()
        model.predict(0, range(100), num_threads=2)
workers = []
for n in range(4):
    pid = os.fork()
    if pid == 0:
        try:
            work()
            if n == 0:
                grandchild = os.fork()
                if grandchild == 0:
                    work()
                    os._exit(0)
                assert os.waitpid(grandchild, 0)[1] == 0
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    workers.append(pid)
    work()
print([os.waitpid(pid, 0)[1] for pid in workers])
"""
    assert output_of(code, tmp_path / "model", timeout=120) == "[0, 0, 0, 0]"


# ---- threads of Python ---------------------------------------------------------------------------


@pytest.mark.slow  # by the clock
@pytest.mark.parametrize("mmap", [False, True])
def test_many_threads_ask_while_one_trains_a_copy(tmp_path, mmap):
    model, interactions = after_parallel_work()
    model.save(tmp_path / "model")
    if mmap:
        model = LightFM.load(tmp_path / "model", mmap=True)
    lists = model.recommend(None, 5)[0]
    scores = model.predict(3, range(100))
    ranks = model.predict_rank(interactions).data
    stop, errors, done = threading.Event(), [], dict.fromkeys(("ask", "rank", "save", "train"), 0)

    def repeated(name: str, work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                while not stop.is_set():
                    work()
                    done[name] += 1
            except BaseException as error:
                errors.append(error)

        return run

    def ask() -> None:
        np.testing.assert_array_equal(model.recommend(None, 5, num_threads=2)[0], lists)
        np.testing.assert_array_equal(model.predict(3, range(100)), scores)

    def rank() -> None:
        np.testing.assert_array_equal(model.predict_rank(interactions, num_threads=2).data, ranks)

    def save() -> None:
        path = tmp_path / f"copy-{threading.get_ident()}"
        model.save(path)
        assert_equal_arrays(arrays_of(LightFM.load(path)), arrays_of(model))

    def train() -> None:
        copy.deepcopy(model).fit_partial(interactions, epochs=3, num_threads=2)

    work = [ask, ask, rank, save, train]
    threads = [threading.Thread(target=repeated(each.__name__, each)) for each in work]
    for thread in threads:
        thread.start()
    time.sleep(5 if LONG else 1.5)
    stop.set()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert not errors
    assert all(done.values())


# ---- memory --------------------------------------------------------------------------------------

LIMITED = """
import resource, sys, time
import numpy as np, scipy.sparse as sp
from lightfm_clone import LightFM
model = LightFM(no_components=8).fit(sp.coo_matrix((100, 50), dtype=np.float32), epochs=0)
model.recommend(range(100), 3)
def used():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
def mapped():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
"""


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="it maps terabytes")
class TestMemory:
    @pytest.mark.parametrize(
        "request_",
        [
            "model.recommend(np.zeros(10**7, np.int32), 20)",
            "model.recommend(None, 20, user_features=sp.csr_matrix((10**7, 100), dtype='f4'))",
            "model.recommend([0], 2**31 - 1)",
            "model.similar_items([0, 1] * 10**6, 200)",
            "model.predict(np.zeros(10**8, np.int8), np.zeros(10**8, np.int8))",
            "LightFM(no_components=10**6).fit(sp.coo_matrix((10**6, 10)))",
        ],
    )
    def test_a_request_beyond_the_limit_fails_at_once(self, request_):
        code = (
            LIMITED
            + f"""
limit = mapped() + (600 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
start = time.process_time()
try:
    {request_}
except MemoryError:
    print("refused")
assert time.process_time() - start < 3
assert model.recommend(range(100), 3)[0].shape == (100, 3)
"""
        )
        assert output_of(code) == "refused"

    @pytest.mark.parametrize("options", ["", "items=range(3, 40),"])
    def test_ten_million_users_need_no_more_than_their_lists(self, options):
        """600 MB of vectors are never made; 4,096 users at a time are."""
        n = 10**7 if LONG else 10**6
        code = (
            LIMITED
            + f"""
n = {n}
users = np.random.default_rng(0).integers(100, size=n, dtype=np.int32)
before = used()
ids, scores = model.recommend(users, 2, {options} num_threads=None)
print(used() - before - ids.nbytes - scores.nbytes)
assert (ids[:500] == model.recommend(users[:500], 2, {options})[0]).all()
"""
        )
        assert int(output_of(code, timeout=300)) < 30 << 20


# ---- leaks ---------------------------------------------------------------------------------------


# Fits of all losses and schedules, with what they are used for, as many as the last argument says.
FITS = """
import ctypes, gc, resource, sys
import numpy as np, scipy.sparse as sp
from lightfm_clone import LightFM, _core
rng = np.random.default_rng(0)
interactions = sp.coo_matrix((rng.random((400, 300)) < 0.05).astype(np.float32))
features = sp.csr_matrix(rng.random((300, 20)).astype(np.float32))
n_fits = int(sys.argv[1])
def used():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
start = None
for number in range(n_fits):
    model = LightFM(loss=_core.LOSSES[number % 6], no_components=24,
                    learning_schedule=_core.SCHEDULES[number // 6 % 3])
    model.fit(interactions, item_features=features, epochs=1, num_threads=1 + number % 2)
    model.recommend(None, 5, item_features=features, exclude=interactions)
    model.predict_rank(interactions, item_features=features)
    if number == n_fits // 3:
        start = used()
"""


@pytest.mark.slow  # what the allocator gives back is a matter of luck
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="it keeps freed memory")
def test_memory_does_not_grow():
    """Over many fits and recommendations, after the first few of them."""
    grown = int(output_of(FITS + "print(used() - start)", str(N_FITS), timeout=600))
    assert grown < 3 << 20  # a single leaked copy of the interactions is 50 KB a fit


@pytest.mark.skipif(
    "asan" not in os.environ.get("LD_PRELOAD", ""), reason="needs LeakSanitizer: make test-asan"
)
def test_many_fits_leak_no_more_than_few(monkeypatch):
    """Python itself leaks at its end, but the same each time."""
    monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=1:exitcode=0:symbolize=0")

    def leaks(code: str, n_fits: int) -> int:
        done = run_python("-c", code, str(n_fits), timeout=1800)
        assert done.returncode == 0, done.stderr
        found = re.search(r"leaked in (\d+) allocation", done.stderr)
        return int(found[1]) if found else 0

    few, many = leaks(FITS, 18), leaks(FITS, N_FITS)
    print(f"{few} leaks after 18 fits, {many} after {N_FITS}")
    assert many - few < N_FITS // 36  # half of what one loss with one schedule would leak
    leaking = FITS + "    ctypes.pythonapi.Py_IncRef(ctypes.py_object(np.empty(9)))"
    assert leaks(leaking, 60) - few > 30  # or else the test would show nothing
