"""What this installation is and can do."""

from __future__ import annotations

from lightfm_clone import _core
from lightfm_clone._version import __version__


def show_config() -> None:
    """Print version, instruction level, OpenMP, threads available and compiler."""
    facts = {"lightfm-clone": __version__, **_core.build_info()}
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")
