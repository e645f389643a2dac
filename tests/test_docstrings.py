"""Docstrings of all that is public have the form of numpydoc, and a page in the reference."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import lightfm_clone

API = Path(__file__).resolve().parent.parent / "docs" / "api"
# Not asked for: sections that would repeat the summary or another docstring ("As in ..."), and
# rules of grammar that take a noun for a verb.
NOT_ASKED = {"ES01", "EX01", "GL01", "GL08", "PR07", "RT01", "RT03", "SA01", "SA04", "SS05", "YD01"}


def in_reference() -> list[str]:
    """Full names in the lists of the API's pages."""
    names = []
    for page in sorted(API.glob("*.rst")):
        module = None
        for line in page.read_text(encoding="utf-8").splitlines():
            if found := re.fullmatch(r"\.\. currentmodule:: (\S+)", line):
                module = found[1]
            elif module and (found := re.fullmatch(r"   ([A-Za-z]\w*)", line)):
                names.append(f"{module}.{found[1]}")
    return names


def named(full: str) -> Any:
    module, _, name = full.rpartition(".")
    return getattr(importlib.import_module(module), name)


def members_of(full: str) -> list[str]:
    """Public methods and properties that this package gives a class, as far as described."""
    described = named(full)
    names = []
    for name, member in inspect.getmembers(described) if inspect.isclass(described) else ():
        function = member.fget if isinstance(member, property) else member
        module = getattr(function, "__module__", None) or ""
        if not name.startswith("_") and module.startswith("lightfm_clone") and member.__doc__:
            names.append(f"{full}.{name}")
    return names


@pytest.mark.parametrize("full", in_reference())
def test_form(full):
    validate = pytest.importorskip("numpydoc.validate").validate
    wrong = []
    for name in (full, *members_of(full)):
        found = validate(name)
        for code, message in found["errors"]:
            text = found["docstring"]
            refers = code == "PR04" and re.search(r"\n\s+(As|The same|Taken as)\b", text)
            all_elsewhere = code == "PR01" and "Parameters\n" not in text
            if code not in NOT_ASKED and not refers and not all_elsewhere:
                wrong.append(f"{name}: {code} {message}")
    assert not wrong, "\n".join(wrong)


def test_reference_is_whole():
    """All that `lightfm_clone` offers and its modules define; what is passed on counts once."""
    pytest.importorskip("distributed")  # without which there is no `lightfm_clone.dask`
    listed = {id(named(full)) for full in in_reference()}
    offered = {name: getattr(lightfm_clone, name) for name in lightfm_clone.__all__}
    modules = [one for one in offered.values() if inspect.ismodule(one)]
    apart = ("clickstream", "dask", "reporting", "server")
    modules += [importlib.import_module(f"lightfm_clone.{name}") for name in apart]
    for module in modules:
        own = getattr(module, "__all__", None) or [
            name
            for name, one in vars(module).items()
            if getattr(one, "__module__", "") == module.__name__ and not name.startswith("_")
        ]
        offered |= {f"{module.__name__}.{name}": getattr(module, name) for name in own}
    missing = [name for name, one in offered.items() if callable(one) and id(one) not in listed]
    assert not missing
