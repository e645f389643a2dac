"""What is said twice is said alike: requirements and their pins, the version and the citation."""

from __future__ import annotations

import ast
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


EXTRAS = PROJECT["project"]["optional-dependencies"]
FOR_CONTRIBUTORS = {"test", "docs", "lint"}
# Where a module has another name than what is installed.
BROUGHT_BY = {
    "prometheus_client": "prometheus-client",
    "sklearn": "scikit-learn",
    "tomli_w": "tomli-w",
}


def asked_for() -> list[tuple[str, list[str]]]:
    """(extra, modules) of each call of `needs` in the package, as far as it is written out."""
    calls = []
    for path in sorted((ROOT / "lightfm_clone").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "needs":
                extra, _, *modules = node.args
                words = [part.value for part in (extra, *modules) if isinstance(part, ast.Constant)]
                calls.append((words[0], words[1:]))
    return calls


def test_all_has_every_extra_but_those_for_contributors():
    (everything,) = EXTRAS["all"]
    named = re.fullmatch(r"lightfm-clone\[(.+)\]", everything)[1].split(",")
    assert set(named) == set(EXTRAS) - FOR_CONTRIBUTORS - {"all"}


def test_an_error_names_an_extra_that_brings_what_is_missing():
    calls = asked_for()
    assert {"plots", "tables"} <= {extra for extra, _ in calls}
    for extra, modules in calls:
        brought = {name_of(requirement) for requirement in EXTRAS[extra]}
        for module in modules:
            name = module.partition(".")[0]
            assert BROUGHT_BY.get(name, name) in brought, f"{extra} does not bring {module}"


def test_the_tests_have_what_the_extras_bring():
    for_users = set(EXTRAS) - FOR_CONTRIBUTORS - {"all"}
    needed = {name_of(requirement) for extra in for_users for requirement in EXTRAS[extra]}
    assert needed <= {name_of(each) for each in EXTRAS["test"]}


def test_the_links_of_the_readme_work_on_pypi():
    """A page on PyPI has neither our files nor our pictures beside it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    links = re.findall(r"\]\(\s*<?([^)\s>]+)", text)
    links += re.findall(r"^\[[^\]]+\]:\s*<?(\S+?)>?$", text, re.MULTILINE)
    links += re.findall(r"(?:src|href|srcset)=[\"']([^\"']+)", text)
    assert links
    relative = [link for link in links if not link.startswith(("https://", "#", "mailto:"))]
    assert not relative, f"write whole addresses in README.md for {relative}"


def test_the_recipe_for_conda_asks_for_what_the_wheel_does():
    yaml = pytest.importorskip("yaml")
    recipe = yaml.safe_load((ROOT / "packaging/conda/recipe.yaml").read_text(encoding="utf-8"))
    requirements = {
        part: {each.replace(" ", "") for each in recipe["requirements"][part] if str(each) == each}
        for part in ("host", "run", "run_constraints")
    }
    assert requirements["run"] == {"python", *PROJECT["project"]["dependencies"]}
    assert requirements["host"] == {"python", "pip", *PROJECT["build-system"]["requires"]}
    of_extras = {
        requirement
        for extra in EXTRAS
        for requirement in EXTRAS[extra]
        if ">=" in requirement and ";" not in requirement
    }
    assert requirements["run_constraints"] <= of_extras
    assert recipe["context"]["version"] == __version__
    assert f">={recipe['context']['python_min']}" == PROJECT["project"]["requires-python"]
    (command,) = recipe["build"]["python"]["entry_points"]
    assert dict([command.split(" = ")]) == PROJECT["project"]["scripts"]
