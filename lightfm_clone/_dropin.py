"""Running code that was written for LightFM: `import lightfm` made to mean this package."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import lightfm_clone


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
    for module in pkgutil.walk_packages(lightfm_clone.__path__, prefix):
        if module.name != f"{prefix}__main__":
            name = f"lightfm.{module.name.removeprefix(prefix)}"
            sys.modules[name] = importlib.import_module(module.name)
    sys.modules["lightfm"] = lightfm_clone
