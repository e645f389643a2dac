"""What this installation is and can do."""

from __future__ import annotations

from lightfm_clone import _core, _cpus
from lightfm_clone._version import __version__


def show_config() -> None:
    """Print version, instruction level, OpenMP, threads available, what limits them, compiler."""
    quota = _cpus.quota()
    limits = f"affinity {_cpus.allowed()}"
    if quota is not None:
        limits += f", quota {quota.cpus:g} by {quota.file}"
    facts = {"lightfm-clone": __version__, **_core.build_info(), "CPUs": limits}
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")
