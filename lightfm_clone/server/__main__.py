"""``python -m lightfm_clone.server shop.rec``: `serve`, for where the extra ``cli`` is too large.

A token comes from the environment variable LIGHTFM_CLONE_TOKEN, which no list of processes shows.
"""

from __future__ import annotations

import argparse
import os
import sys

from lightfm_clone.server import serve


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lightfm_clone.server")
    parser.add_argument("path", help="a file of Recommender.save")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args()
    token = os.environ.get("LIGHTFM_CLONE_TOKEN")
    try:
        serve(given.path, host=given.host, port=given.port, token=token)
    except (ImportError, OSError, TypeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
