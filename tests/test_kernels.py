"""The kernels alone, without Python: other compilers and processors compute what this one does.

`kernels/driver.cpp` runs them all on made-up data. What is not installed is skipped; for all of it:
g++, g++-aarch64-linux-gnu with qemu-user-static and wine from Debian, ziglang from PyPI.
"""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from lightfm_clone import _core

PACKAGE = ROOT / "lightfm_clone"
DRIVER = ROOT / "tests" / "kernels" / "driver.cpp"
# As in setup.py. Without OpenMP: threads are not the subject, and not every target has it.
FLAGS = "-std=c++17 -O2 -fno-math-errno -fno-trapping-math -ffp-contract=off -Wall -Wextra -Werror"
FLAGS = [*FLAGS.split(), "-Wno-unknown-pragmas", f"-I{PACKAGE}"]
AVX2 = ["-mavx2", "-mfma"]

ZIG = [sys.executable, "-m", "ziglang", "c++", "-fno-sanitize=undefined", "-target"]
# Compiler, whether to build the AVX2 level, what runs the program; None where nothing here does.
TARGETS = {
    "gcc, aarch64": (["aarch64-linux-gnu-g++", "-static"], False, ["qemu-aarch64-static"]),
    "clang, x86-64": ([*ZIG, "x86_64-linux-gnu"], True, []),
    "clang, aarch64": (
        [*ZIG, "aarch64-linux-gnu"],
        False,
        ["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"],
    ),
    "clang, Windows": ([*ZIG, "x86_64-windows-gnu"], True, ["wine"]),
    "clang, macOS x86-64": ([*ZIG, "x86_64-macos"], True, None),
    "clang, macOS arm64": ([*ZIG, "aarch64-macos"], False, None),
}

pytestmark = [
    pytest.mark.skipif(not (PACKAGE / "_kernels").is_dir(), reason="the sources are not here"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="compares with x86-64"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++"),
]


def build(compiler: list[str], avx2: bool, folder: Path) -> Path:
    """The driver with the kernels of every level, in `folder`."""
    levels = {"baseline": [], **({"avx2": AVX2} if avx2 else {})}
    objects = []
    for level, flags in levels.items():
        objects.append(folder / f"{level}.o")
        subprocess.run(
            [*compiler, *FLAGS, *flags, f"-DLFM_LEVEL={level}", "-c"]
            + [PACKAGE / "_kernels" / "isa.cpp", "-o", objects[-1]],
            check=True,
        )
    program = folder / "driver.exe"
    present = ["-DLFM_HAS_AVX2=1"] if avx2 else []
    subprocess.run([*compiler, *FLAGS, *present, DRIVER, *objects, "-o", program], check=True)
    return program


def results(runner: list[str], program: Path, level: str) -> list[tuple[str, np.ndarray]]:
    """(name, numbers) of every block that the driver prints."""
    ran = subprocess.run([*runner, program, level], check=True, capture_output=True, text=True)
    blocks = (block.partition("\n") for block in ran.stdout.split("# ")[1:])
    return [(name, np.array(numbers.split(), dtype=float)) for name, _, numbers in blocks]


def check(found: list[tuple[str, np.ndarray]], expected: list[tuple[str, np.ndarray]]) -> None:
    for (name, numbers), (name_expected, numbers_expected) in zip(found, expected, strict=True):
        assert name == name_expected
        # Ranks, ids and orders are whole numbers: there the tolerance allows no difference.
        np.testing.assert_allclose(numbers, numbers_expected, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def gcc(tmp_path_factory) -> Path:
    """The driver as GCC builds it for x86-64."""
    return build(["g++"], True, tmp_path_factory.mktemp("gcc"))


@pytest.fixture(scope="module")
def expected(gcc) -> list[tuple[str, np.ndarray]]:
    """What plain code gives."""
    return results([], gcc, "baseline")


def test_plain_code_and_avx2(gcc, expected):
    if "avx2" not in _core.available_levels():
        pytest.skip("needs AVX2")
    check(results([], gcc, "avx2"), expected)


@pytest.mark.parametrize("target", TARGETS)
def test_other_compilers_and_processors(target, expected, tmp_path):
    compiler, avx2, runner = TARGETS[target]
    if "ziglang" in compiler and importlib.util.find_spec("ziglang") is None:
        pytest.skip("needs ziglang")
    for tool in (compiler[0], *(runner or [])[:1]):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    program = build(compiler, avx2, tmp_path)
    if runner is not None:
        for level in ("baseline", "avx2") if avx2 else ("baseline",):
            check(results(runner, program, level), expected)
