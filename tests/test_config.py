"""What an installation says of itself, and what it needs."""

from __future__ import annotations

import os
import platform

import pytest
from helpers import output_of

import lightfm_clone
from lightfm_clone import _core


def test_show_config(capsys):
    lightfm_clone.show_config()
    told = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    told = {name.strip(): value.strip() for name, value in told.items()}
    assert told["lightfm-clone"] == lightfm_clone.__version__
    assert told["instruction level"] in told["levels available"].split(", ")
    assert told["OpenMP"] in ("True", "False")
    assert int(told["threads available"]) == _core.threads_available()
    assert told["compiler"]


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
from lightfm_clone import _core
print(_core.threads_available() <= len(os.sched_getaffinity(0)))
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
print(_core.threads_available())
"""
    assert output_of(code).split() == ["True", "1"]


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
