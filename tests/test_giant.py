"""More than 2**31 - 1 interactions, without the memory they would take."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COMPILER = shutil.which("g++") or shutil.which("c++")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reserves memory as Linux does")
@pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")
def test_index_arithmetic_of_the_kernels(tmp_path):
    """On reserved address space of which only the pages in question are ever touched."""
    program = tmp_path / "giant"
    source = ROOT / "tests" / "kernels" / "giant.cpp"
    flags = ["-O0", "-std=c++17", "-ffp-contract=off", f"-I{ROOT / 'lightfm_clone'}"]
    subprocess.run([COMPILER, *flags, str(source), "-o", str(program)], check=True)
    ran = subprocess.run([str(program)], capture_output=True, text=True)
    if ran.returncode == 2:
        pytest.skip(f"this machine does not let a process reserve 40 GB: {ran.stderr}")
    assert ran.stdout == "ok\n", ran.stdout + ran.stderr
