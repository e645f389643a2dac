"""What an installation says of itself, and what it needs."""

from __future__ import annotations

import os
import platform

import pytest
from helpers import output_of

import lightfm_clone
from lightfm_clone import _core, _cpus


def test_show_config(capsys):
    lightfm_clone.show_config()
    told = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    told = {name.strip(): value.strip() for name, value in told.items()}
    assert told["lightfm-clone"] == lightfm_clone.__version__
    assert told["instruction level"] in told["levels available"].split(", ")
    assert told["OpenMP"] in ("True", "False")
    assert int(told["threads available"]) == _core.threads_available()
    assert told["compiler"]
    assert told["CPUs"].startswith(f"affinity {_cpus.allowed()}")


def test_levels():
    levels = _core.available_levels()
    assert levels[0] == "baseline"
    if platform.system() == "Linux" and platform.machine() == "x86_64":
        with open("/proc/cpuinfo") as file:
            flags = next(line for line in file if line.startswith("flags")).split()
        assert ("avx2" in levels) == ({"avx2", "fma"} <= set(flags))


@pytest.mark.parametrize("level", _core.available_levels())
def test_level_from_the_environment(level, monkeypatch):
    code = "from lightfm_clone import _core; print(_core.build_info()['instruction level'])"
    monkeypatch.setenv("LIGHTFM_CLONE_LEVEL", level)
    assert output_of(code) == level
    monkeypatch.delenv("LIGHTFM_CLONE_LEVEL")
    assert output_of(code) == _core.available_levels()[-1]


def test_unknown_level(monkeypatch):
    expected = "instruction level must be one of .*, got 'avx9000'.*LIGHTFM_CLONE_LEVEL"
    with pytest.raises(ValueError, match=expected):
        _core.use_level("avx9000")


def test_threads_available():
    """The CPUs that this process may use, not those of the machine."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("the system does not tell which CPUs a process may use")
    code = """
import os
from lightfm_clone import _core, _cpus
print(_core.threads_available() <= len(os.sched_getaffinity(0)))
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
print(_core.threads_available())
"""
    assert output_of(code).split() == ["True", "1"]


V2 = "30 24 0:26 {top} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
V1 = "34 25 0:30 {top} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
OTHER = "35 25 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
FOLDERS = {V2: "sys/fs/cgroup", V1: "sys/fs/cgroup/cpu,cpuacct"}


def limits(mount, most, period=100_000):
    """The files of a limit."""
    if mount == V2:
        return {"cpu.max": f"{most} {period}\n"}
    return {"cpu.cfs_quota_us": f"{-1 if most == 'max' else most}\n", "cpu.cfs_period_us": period}


def quota_of(root, group, mounts, groups):
    """The quota on a file system with these control groups: limits by the place of a group."""
    files = {"proc/self/cgroup": group, "proc/self/mountinfo": "\n".join(mounts)}
    for place, of_place in groups.items():
        files |= {f"{place}/{name}": text for name, text in of_place.items()}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(str(text))
    found = _cpus.quota(str(root))
    return found and (found.cpus, found.file)


@pytest.mark.parametrize("mount", [V2, V1], ids=["v2", "v1"])
def test_quotas_of_control_groups(tmp_path, mount):
    group = "0::/a/b\n" if mount == V2 else "5:memory:/z\n4:cpu,cpuacct:/a/b\n0::/\n"
    mounts = [OTHER, mount.format(top="/")]
    folder = FOLDERS[mount]
    file = "cpu.max" if mount == V2 else "cpu.cfs_quota_us"
    for number, (of_groups, expected) in enumerate(
        [
            ({"/a/b": 150_000}, (1.5, "/a/b")),
            ({"/a/b": "max", "/a": 50_000}, (0.5, "/a")),  # one above holds, too
            ({"/a/b": 300_000, "/a": 200_000, "": 800_000}, (2.0, "/a")),
            ({"/a/b": "max", "/a": "max"}, None),
            ({"/other": 100_000}, None),
            ({}, None),
        ]
    ):
        groups = {f"{folder}{place}": limits(mount, most) for place, most in of_groups.items()}
        found = quota_of(tmp_path / str(number), group, mounts, groups)
        assert found == (expected and (expected[0], f"/{folder}{expected[1]}/{file}"))


@pytest.mark.parametrize("mount", [V2, V1], ids=["v2", "v1"])
def test_quotas_within_containers(tmp_path, mount):
    """Their own group is at the top of what is mounted, by whatever name it goes outside."""
    groups = {FOLDERS[mount]: limits(mount, 250_000, 50_000)}
    for number, (name, top) in enumerate([("/docker/1", "/docker/1"), ("/", "/"), ("/x", "/../y")]):
        group = f"0::{name}" if mount == V2 else f"3:cpuacct,cpu:{name}"
        found = quota_of(tmp_path / str(number), group, [mount.format(top=top)], groups)
        assert found[0] == 5.0


def test_files_that_say_nothing(tmp_path):
    assert _cpus.quota(str(tmp_path / "nowhere")) is None
    mounts = [V2.format(top="/")]
    for number, text in enumerate(["", "max", "no numbers", "1 0x", "-"]):
        groups = {FOLDERS[V2]: {"cpu.max": text}}
        assert quota_of(tmp_path / str(number), "0::/", mounts, groups) is None
    for number, group in enumerate(["", "nonsense", "1:2"]):
        assert quota_of(tmp_path / f"g{number}", group, mounts, {}) is None


def test_threads_go_by_the_quota(monkeypatch):
    for cpus, expected in ((0.2, 1), (1.0, 1), (1.2, 2), (99.0, 99)):
        monkeypatch.setattr(_cpus, "quota", lambda cpus=cpus: _cpus.Quota(cpus, "cpu.max"))
        assert _cpus.available() == min(expected, _cpus.allowed())


WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.mark.parametrize("name", [None, *WAITING])
def test_how_threads_wait(name, monkeypatch):
    """OpenMP is told while it is loaded; what the user says stays, and counts."""
    for each in WAITING:
        monkeypatch.delenv(each, raising=False)
    if name:
        monkeypatch.setenv(name, "7")
    with _cpus.short_spins():
        assert {each: os.environ.get(each) for each in WAITING} == (
            {name: "7", **{each: None for each in WAITING if each != name}}
            if name
            else {"OMP_WAIT_POLICY": None, "GOMP_SPINCOUNT": "1000"}
        )
    assert [each for each in WAITING if each in os.environ] == ([name] if name else [])


def test_loading_the_core_leaves_the_environment_as_it_is(monkeypatch):
    for each in WAITING:
        monkeypatch.delenv(each, raising=False)
    code = "import os; before = dict(os.environ); import lightfm_clone; print(before == os.environ)"
    assert output_of(code) == "True"


def test_nothing_optional_is_imported():
    """NumPy and SciPy are all that a plain fit takes."""
    code = """
import sys
import numpy as np, scipy.sparse as sp
present = set(sys.modules)
import lightfm_clone
from lightfm_clone.evaluation import auc_score
from lightfm_clone.data import Dataset
dataset = Dataset()
dataset.fit(list("ab"), list("xyz"))
interactions, weights = dataset.build_interactions([("a", "x"), ("b", "y")])
model = lightfm_clone.LightFM(loss="warp").fit(interactions, sample_weight=weights)
model.predict(0, [1, 2]), auc_score(model, interactions), repr(model)
ours = {name.split(".")[0] for name in set(sys.modules) - present}
print(*sorted(ours & {"tqdm", "pandas", "sklearn", "joblib", "torch", "pytest"}))
"""
    assert output_of(code) == ""
