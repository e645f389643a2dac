"""``python -m lightfm_clone``, and ``lightfm-clone``: the command line.

``run script.py`` stands apart from all other commands: it needs no package but this one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lightfm_clone import _dropin
from lightfm_clone._extras import needs

USAGE = "usage: python -m lightfm_clone run script.py [args]"


def main(arguments: list[str]) -> int:
    """Do what the arguments say; returns the exit code, which `lightfm_clone.cli` lists."""
    if arguments[:1] == ["run"]:
        return _run(arguments[1:])
    try:
        return _command_line(arguments)
    except KeyboardInterrupt:  # while packages are imported; later it is answered there
        print("\nInterrupted; nothing was written.", file=sys.stderr)
        return 130


def _command_line(arguments: list[str]) -> int:
    try:
        needs("cli", "the command line", "click", "rich", "tomli_w", "narwhals", "pyarrow")
    except ImportError as error:
        print(f"Error: {error}\nwithout it there is\n{USAGE}", file=sys.stderr)
        return 2
    from lightfm_clone.cli.main import main as command_line

    return command_line(arguments)


def _run(arguments: list[str]) -> int:
    if arguments[:1] in (["-h"], ["--help"]):
        print(USAGE)
        return 0
    script = Path(arguments[0]) if arguments else None
    if script is None or not script.is_file():
        missing = f"{script}: no such file\n" if script else ""
        print(f"{missing}{USAGE}", file=sys.stderr)
        return 2
    _dropin.run(script, arguments[1:])
    return 0


def console() -> None:
    """The program ``lightfm-clone``."""
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    console()
