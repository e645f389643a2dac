"""Running code that was written for LightFM: `import lightfm` made to mean this package."""

from __future__ import annotations

import importlib
import pkgutil
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

import lightfm_clone

# What has nothing that LightFM has, and needs packages that may not be there.
_APART = {"__main__", "cli", "clickstream", "dask", "reporting", "server"}


def install_as_lightfm() -> None:
    """Make ``import lightfm`` and its submodules resolve to this package in this process.

    Pickles and joblib dumps of LightFM's models and datasets load after this call, too. What is
    dumped then names this package, so it loads in a fresh process without the call.

    Raises
    ------
    ImportError
        If another `lightfm` was imported before: its classes would live on beside ours.
    """
    present = sys.modules.get("lightfm")
    if present is not None and present is not lightfm_clone:
        raise ImportError(
            "another lightfm was imported before install_as_lightfm(): call "
            "lightfm_clone.install_as_lightfm() first, before anything imports lightfm, or run "
            "the script with `python -m lightfm_clone run script.py`"
        )
    prefix = f"{lightfm_clone.__name__}."
    for top in pkgutil.iter_modules(lightfm_clone.__path__, prefix):
        if top.name.removeprefix(prefix) in _APART:
            continue
        module = importlib.import_module(top.name)
        parts = pkgutil.walk_packages(getattr(module, "__path__", ()), f"{top.name}.")
        for name in (top.name, *(part.name for part in parts)):
            found = importlib.import_module(name)
            sys.modules[f"lightfm.{name.removeprefix(prefix)}"] = found
    sys.modules["lightfm"] = lightfm_clone


def run(script: Path, arguments: Sequence[str]) -> None:
    """Run a script that was written for LightFM, as ``python script.py arguments`` would."""
    install_as_lightfm()
    sys.argv = [str(script), *arguments]
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = str(script.resolve().parent)
    runpy.run_path(str(script), run_name="__main__")
