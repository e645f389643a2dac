"""The command line as a process: pipes, signals, terminals, full disks, missing packages."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from cli import NAMES, SHOP, SMALL, runner, trained
from helpers import run_python

import lightfm_clone
from lightfm_clone import Recommender

HOME = Path(lightfm_clone.__file__).resolve().parent.parent
PROGRAM = [sys.executable, "-m", "lightfm_clone"]


@pytest.fixture
def run(capfd):
    return runner(capfd)


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    SHOP.write(folder)
    return folder


@pytest.fixture
def model(shop, run) -> Path:
    path = shop / "shop.rec"
    return path if path.exists() else trained(run, shop)


def started(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(HOME)},
        cwd=tempfile.gettempdir(),
        **options,  # type: ignore[call-overload]
    )


def test_interrupted_training_leaves_nothing(shop, tmp_path):
    output = tmp_path / "x.rec"
    arguments = ["train", shop / "events.csv", *NAMES, "--epochs", "100000", "-o", output]
    with started(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        for line in process.stderr:
            if b"epoch 3/" in line:
                process.send_signal(signal.SIGINT)
                break
        said = process.stderr.read()
        assert process.wait(60) == 130
    assert b"Interrupted" in said and b"Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_interrupted_lists_leave_the_old_file(run, model, tmp_path, monkeypatch):
    """Half-way, when blocks have been written."""
    from lightfm_clone.recommender import serving

    path = tmp_path / "lists.csv"
    path.write_text("old")
    real, calls = serving._lists, []

    def interrupted(*given):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*given)

    monkeypatch.setattr(serving, "_BLOCK", 50)
    monkeypatch.setattr(serving, "_lists", interrupted)
    done = run("recommend", model, "--output", path)
    assert done.code == 130 and "Interrupted" in done.err
    assert path.read_text() == "old" and [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("which", [1, 2])
def test_a_disk_that_is_full_leaves_the_old_model(run, shop, model, which, monkeypatch):
    """Whether the model no longer fits or the settings: both files are the old ones."""
    before = {path.name: path.read_bytes() for path in shop.iterdir()}
    real, calls = os.fsync, []

    def full(descriptor):
        calls.append(1)
        if len(calls) == which:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    done = run("train", "--config", f"{model}.toml", "--seed", "9")
    assert done.code == 1 and "No space left on device" in done.err
    assert {path.name: path.read_bytes() for path in shop.iterdir()} == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="it has no full device")
@pytest.mark.parametrize("words", [["recommend"], ["info"], ["recommend", "--json"]], ids=str)
def test_a_full_disk_behind_stdout(model, words):
    with open("/dev/full", "wb") as full:
        process = started(words[0], model, *words[1:], stdout=full, stderr=subprocess.PIPE)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"No space left on device" in said and b"Traceback" not in said
    assert b"Exception ignored" not in said


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_disk_that_gets_full_behind_stdout(model, tmp_path, monkeypatch, unbuffered):
    """In the middle of a write, of which it takes a part."""
    resource = pytest.importorskip("resource")
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    limit = resource.RLIMIT_FSIZE, (20_000, 20_000)
    with open(tmp_path / "lists.jsonl", "wb") as file:
        process = started(
            *("recommend", model, "--format", "jsonl", "--quiet"),
            stdout=file,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: resource.setrlimit(*limit),
        )
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and b"Error: File too large" in said, said


def test_the_reader_of_a_pipe_leaves(model):
    process = started(
        *("recommend", model, "-k", "60", "--exclude", "none"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.readline().startswith(b'"user","rank"')
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 141
    assert b"rror" not in said and b"Traceback" not in said


def test_what_goes_where_in_a_pipe(model):
    """One document on stdout, progress and notes on stderr."""
    process = started(
        *("recommend", model, "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, said = process.communicate(timeout=60)
    n_users = len(Recommender.load(model).user_ids_)
    assert len({row["user"] for row in json.loads(out)}) == n_users
    assert said.decode().splitlines()[-1] == f"people {n_users}/{n_users}"


def test_a_terminal_gets_a_table_and_a_bar(shop, model, tmp_path):
    pty = pytest.importorskip("pty")
    person = str(Recommender.load(model).user_ids_[0])
    arguments = ["train", shop / "events.csv", *NAMES, *SMALL, "-o", tmp_path / "x.rec"]
    for words, expected in (
        (["recommend", model, "--user", person, "-k", "3"], "rank"),
        (arguments, "━"),
    ):
        parent, child = pty.openpty()
        process = started(*words, stdin=child, stdout=child, stderr=child)
        os.close(child)
        text = b""
        while True:
            try:
                part = os.read(parent, 65_536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            text += part
        os.close(parent)
        assert process.wait(60) == 0
        shown = text.decode()
        assert expected in shown and '"rank"' not in shown and "epoch 1/3" not in shown


def test_without_the_extra(tmp_path):
    """A line that names it; scripts of LightFM run all the same, and see what LightFM has."""
    (tmp_path / "click").mkdir()
    hide = tmp_path / "sitecustomize.py"
    hide.write_text(
        "import importlib.util as u\n"
        "real = u.find_spec\n"
        "gone = ('click', 'rich')\n"
        "u.find_spec = lambda name, *a: None if name in gone else real(name, *a)\n"
        "import sys\n"
        "sys.modules.update(dict.fromkeys(gone))\n"
    )
    script = tmp_path / "script.py"
    script.write_text("import sys, lightfm.data\nprint(lightfm.data.Dataset, sys.argv[1:])\n")
    done = run_python("-m", "lightfm_clone", "train", path=tmp_path)
    assert done.returncode == 2 and 'pip install "lightfm-clone[cli]"' in done.stderr
    assert "click and rich" in done.stderr and "Traceback" not in done.stderr
    done = run_python("-m", "lightfm_clone", "run", script, "--epochs", "3", path=tmp_path)
    assert done.returncode == 0 and "['--epochs', '3']" in done.stdout, done.stderr


def test_importing_the_package_imports_nothing_of_this():
    code = "import lightfm_clone, sys; print([m for m in sys.modules if m in {names}])"
    names = ("click", "rich", "tomli_w", "pyarrow", "lightfm_clone.cli")
    done = run_python("-c", code.format(names=names))
    assert done.stdout.strip() == "[]", done.stdout


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"_LIGHTFM_CLONE_COMPLETE": "bash_source"}, "complete -o nosort"),
        ({"_LIGHTFM_CLONE_COMPLETE": "zsh_source"}, "#compdef lightfm-clone"),
        (
            {
                "_LIGHTFM_CLONE_COMPLETE": "bash_complete",
                "COMP_WORDS": "lightfm-clone train --los",
                "COMP_CWORD": "2",
            },
            "plain,--loss",
        ),
    ],
    ids=str,
)
def test_completion(environment, expected):
    code = "import sys; from lightfm_clone.__main__ import main; sys.exit(main([]))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment, "PYTHONPATH": str(HOME)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and expected in done.stdout, done.stderr


@pytest.mark.slow
def test_lists_of_many_in_bounded_memory(run, tmp_path):
    """Of 100,000 people, beside 1,000: the memory does not grow with the lists."""
    import numpy as np

    pytest.importorskip("resource")
    peaks = {}
    for n_users in (1_000, 100_000):
        events = tmp_path / f"{n_users}.csv"
        users = np.arange(n_users).repeat(2)
        items = np.random.default_rng(0).integers(0, 500, len(users))
        np.savetxt(events, np.column_stack([users, items]), "%d", ",", header="u,i", comments="")
        model = tmp_path / f"{n_users}.rec"
        flags = ["--user", "u", "--item", "i", "--epochs", "1", "--no-components", "4"]
        assert run("train", events, *flags, "-o", model).code == 0
        code = (
            "import resource, sys; from lightfm_clone.__main__ import main; "
            f"main(['recommend', {str(model)!r}, '-k', '20', '-q', '-o', "
            f"{str(tmp_path / 'lists.jsonl')!r}]); "
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = run_python("-c", code, timeout=300)
        assert done.returncode == 0, done.stderr
        peaks[n_users] = int(done.stdout.splitlines()[-1]) / 1024  # MB
    size = (tmp_path / "lists.jsonl").stat().st_size / 2**20
    assert size > 120 and peaks[100_000] - peaks[1_000] < 100, (size, peaks)


def test_serve_until_interrupted(model):
    """With a token, on the port and by the limits that were named."""
    pytest.importorskip("lightfm_clone.server")
    pytest.importorskip("uvicorn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ["--port", port, "--token", "secret", "--max-k", "7", "--label", "title"]
    process = started("serve", model, *flags, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        address = f"http://127.0.0.1:{port}/openapi.json"
        for _ in range(200):
            try:
                urllib.request.urlopen(address, timeout=5)
                break
            except urllib.error.HTTPError as error:
                assert error.code == 401
                break
            except OSError:
                assert process.poll() is None, process.stdout.read()
                time.sleep(0.1)
        else:
            pytest.fail("nobody answers")
    finally:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert b"Traceback" not in said


def test_interrupted_before_there_is_a_command_line(run, monkeypatch):
    def needs(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lightfm_clone.__main__.needs", needs)
    done = run("info")
    assert done.code == 130 and done.err.strip() == "Interrupted; nothing was written."


def test_a_port_that_is_taken(run, model):
    pytest.importorskip("lightfm_clone.server")
    pytest.importorskip("uvicorn")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run("serve", model, "--port", port)
    assert done.code == 1
    assert f"Error: cannot listen on 127.0.0.1:{port}" in done.err and "Traceback" not in done.err
