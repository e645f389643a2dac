"""The group of all commands, and what becomes of errors: a line, and an exit code."""

from __future__ import annotations

import difflib
import io
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

from lightfm_clone._version import __version__
from lightfm_clone.cli.commands import data, judging, lists, service, training
from lightfm_clone.cli.show import harmless

DONE, BAD_DATA, BAD_USAGE, BUG, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 70, 130, 141

# What the library and the system say of data and files that will not do.
_MISTAKES = (ValueError, TypeError, OSError, ImportError, MemoryError)


class _Group(click.Group):
    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0]
        if name not in self.commands and not name.startswith("-") and not ctx.resilient_parsing:
            alike = difflib.get_close_matches(name, self.commands, 3)
            meant = f"; did you mean {' or '.join(alike)}?" if alike else ""
            ctx.fail(f"there is no command {name!r}{meant}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # which click would make an error of
            _forget_stdout()
            ctx.exit(BROKEN_PIPE)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order in which people need them


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nTo begin:\n  lightfm-clone demo shop/\n\n"
    "Exit codes: 0 done, 1 data or files will not do, 2 the command is wrong, 130 Ctrl-C.",
)
@click.version_option(__version__, prog_name="lightfm-clone")
@click.option("--debug", is_flag=True, help="Show where in the code an error comes from.")
def commands(debug: bool) -> None:
    """From tables of events, people and items to lists: train, judge and serve recommenders."""


for _one in (
    *(data.inspect, training.train, judging.evaluate, judging.compare, lists.recommend),
    *(lists.similar, lists.explain, training.update, lists.export, service.serve, data.demo),
    *(data.info, service.run),
):
    commands.add_command(_one)


def main(arguments: list[str], prog_name: str = "lightfm-clone") -> int:
    """Run a command; returns the exit code."""
    debug = "--debug" in arguments
    try:
        with _warnings_as_notes():
            code = commands.main(arguments, prog_name=prog_name, standalone_mode=False)
            sys.stdout.flush()
        return code if isinstance(code, int) else DONE
    except click.exceptions.Abort:
        _say("Interrupted; nothing was written.", debug)
        return INTERRUPTED
    except click.ClickException as error:
        said = io.StringIO()
        error.show(said)
        _say(said.getvalue().rstrip(), debug)
        return error.exit_code
    except BrokenPipeError:
        _forget_stdout()
        return BROKEN_PIPE
    except _MISTAKES as error:
        _say(f"Error: {_message(error)}", debug)
        _forget_stdout()
        return BAD_DATA
    except Exception:
        _say("Error: this is a bug in lightfm-clone; please report it, with what follows", True)
        return BUG


def _message(error: BaseException) -> str:
    """What an error says, without what only programmers read."""
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename is not None else ""
        return f"{error.strerror}{where}"
    if isinstance(error, MemoryError):
        return f"there is not enough memory{f': {error}' if str(error) else ''}"
    return str(error)


def _say(text: str, with_trace: bool) -> None:
    with suppress(OSError):
        if with_trace:
            traceback.print_exc()
        click.echo(harmless(text), err=True)


def _forget_stdout() -> None:
    """Write no more to stdout, not even what waits: its reader has left, or its disk is full."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        return
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _warnings_as_notes() -> Iterator[None]:
    """Show warnings as lines of their own, without the place in the code."""

    def show(message: Warning | str, *where: Any, **more: Any) -> None:
        click.echo(harmless(f"Note: {message}"), err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.showwarning = show
        yield
