"""What is said twice is said alike: requirements and their pins, the version and the citation."""

from __future__ import annotations

import re
import sys

import pytest
from conftest import ROOT

if sys.version_info < (3, 11):
    pytest.skip("tomllib came with CPython 3.11", allow_module_level=True)
import tomllib

from lightfm_clone import __version__

PINS = ROOT / "requirements"
if not PINS.is_dir():
    pytest.skip("the pins are not here", allow_module_level=True)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def name_of(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0].lower()


def pinned(file: str) -> dict[str, str]:
    """Text of each pin of a file, with its hashes, by name."""
    text = (PINS / file).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name_of(line): line for line in lines}


@pytest.mark.parametrize("file", ["ci.txt", "release.txt", "wheel-test.txt"])
def test_pins_are_exact_and_hashed(file):
    for line in pinned(file).values():
        assert "==" in line and "--hash=sha256:" in line


@pytest.mark.parametrize(
    ("file", "asked_for"),
    [
        ("ci.txt", "build"),
        ("ci.txt", "run"),
        ("ci.txt", "test"),
        ("ci.txt", "lint"),
        ("release.txt", "build"),
        ("wheel-test.txt", "run"),
    ],
)
def test_what_is_asked_for_is_pinned(file, asked_for):
    requirements = {
        "build": PROJECT["build-system"]["requires"],
        "run": PROJECT["project"]["dependencies"],
        **PROJECT["project"]["optional-dependencies"],
    }[asked_for]
    missing = {name_of(requirement) for requirement in requirements} - set(pinned(file))
    assert not missing, f"run `make lock`: {file} does not pin {sorted(missing)}"


def test_the_citation_is_of_this_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", text, re.MULTILINE) == [__version__]
