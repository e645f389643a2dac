"""``python -m lightfm_clone run script.py [args]``: run an unmodified LightFM script."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from lightfm_clone import install_as_lightfm

USAGE = "usage: python -m lightfm_clone run script.py [args]"


def main(arguments: list[str]) -> int:
    if arguments[:1] in (["-h"], ["--help"]):
        print(USAGE)
        return 0
    if len(arguments) < 2 or arguments[0] != "run":
        print(USAGE, file=sys.stderr)
        return 2
    script = Path(arguments[1])
    if not script.is_file():
        print(f"{script}: no such file\n{USAGE}", file=sys.stderr)
        return 2
    install_as_lightfm()
    # What the interpreter itself does for `python script.py [args]`.
    sys.argv = arguments[1:]
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = str(script.resolve().parent)
    runpy.run_path(str(script), run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
