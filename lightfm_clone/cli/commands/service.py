"""``serve`` and ``run``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from lightfm_clone import _dropin
from lightfm_clone.cli.options import MODEL, THREADS, command
from lightfm_clone.cli.show import Show


@command(
    "serve",
    """
    lightfm-clone serve shop.rec
    LIGHTFM_CLONE_TOKEN=secret lightfm-clone serve shop.rec --host 0.0.0.0 --port 80
    """,
    has_result=False,
)
@MODEL
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option(
    "--token",
    envvar="LIGHTFM_CLONE_TOKEN",
    help="What requests must bear.  [env LIGHTFM_CLONE_TOKEN]",
)
@click.option("--label", metavar="COLUMN", help="The titles of items.")
@click.option("--max-k", type=click.IntRange(1), help="Longest list that is answered.")
@THREADS
def serve(
    show: Show,
    model: str,
    host: str,
    port: int,
    token: str | None,
    label: str | None,
    max_k: int | None,
    threads: int,
) -> None:
    """Serve a MODEL over HTTP, with a page to explore it.

    It goes on until Ctrl-C. A new file at the path of the MODEL is taken up while requests go on.
    """
    from lightfm_clone.server import serve as run_server

    said: dict[str, Any] = {"title": label, "max_k": max_k}
    with suppress(KeyboardInterrupt):  # which is how it ends
        run_server(
            model,
            host=host,
            port=port,
            token=token,
            num_threads=threads or None,
            **{name: value for name, value in said.items() if value is not None},
        )


@click.command(
    "run",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="\b\nExamples:\n  lightfm-clone run script.py --epochs 3",
)
@click.argument("script", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(script: Path, arguments: tuple[str, ...]) -> None:
    """Run a SCRIPT that was written for LightFM."""
    _dropin.run(script, arguments)
