"""Optional packages: imported when they are needed, with an error that names the extra."""

from __future__ import annotations

from importlib.util import find_spec


def needs(extra: str, what: str, *modules: str) -> None:
    """See that `modules` can be imported.

    Raises
    ------
    ImportError
        Says what is missing for what, and which extra brings it.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"{what} needs {' and '.join(missing)}, which "
            f"{'is' if len(missing) == 1 else 'are'} not installed: "
            f'pip install "lightfm-clone[{extra}]"'
        )
