"""Options that several commands share, and what every command has."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import click

from lightfm_clone.cli import settings as settings_of
from lightfm_clone.cli.settings import MAPPINGS, SETTINGS, SWITCHES, Settings, name_of
from lightfm_clone.cli.show import Show

Function = Callable[..., Any]


class _Command(click.Command):
    """A command whose help shows the options by what they are about."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for one in self.get_params(ctx):
            record = one.get_help_record(ctx)
            if record is not None:
                sections.setdefault(_SECTIONS.get(str(one.name), "Options"), []).append(record)
        for name in sorted(sections, key=list(_HEADINGS.values()).index):
            with formatter.section(name):
                formatter.write_dl(sections[name])


_HEADINGS = {
    "data": "Tables",
    "events": "What events mean",
    "columns": "What becomes of columns",
    "model": "The model",
    "neighbours": "Neighbours beside it",
    "training": "Training",
    "early_stopping": "Stopping early",
    "test": "A part to evaluate on",
    "": "Options",
}
_SECTIONS = {
    **{name_of(one): _HEADINGS[one.table] for one in SETTINGS},
    **{table: _HEADINGS[table] for table in ("columns", *SWITCHES)},
    "event_weights": _HEADINGS["events"],
}


def command(
    name: str, examples: str, *, has_result: bool = True
) -> Callable[[Function], click.Command]:
    """A command: its function gets a `Show` first; its docstring and the examples are its help.

    Who has a result can tell it as JSON.
    """

    def decorate(function: Function) -> click.Command:
        @click.option("-q", "--quiet", is_flag=True, help="No progress and no words beside.")
        @click.option("--debug", is_flag=True, help="Show where in the code an error comes from.")
        @functools.wraps(function)
        def run(quiet: bool, debug: bool, as_json: bool = False, **given: Any) -> Any:
            return function(Show(as_json, quiet), **given)

        if has_result:
            run = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(
                run
            )
        lines = inspect.cleandoc(examples).splitlines()
        epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
        return click.command(name, cls=_Command, epilog=epilog)(run)

    return decorate


def with_settings(*tables: str) -> Callable[[Function], Function]:
    """Flags for the settings of these tables, and --config; the function gets `settings`."""
    config = click.option("--config", type=click.Path(), help="A TOML file of settings; flags win.")
    flags = [config]
    names: list[str] = []
    for table, (flag, about) in SWITCHES.items():
        if table in tables:
            both = f"{flag}/--no-{flag.removeprefix('--')}"
            flags.append(click.option(both, table, default=None, help=about))
            names.append(table)
    for one in SETTINGS:
        if one.table not in tables or not one.flag:
            continue
        names.append(name_of(one))
        declared = [one.flag, *(["-o"] if one.flag == "--output" else []), names[-1]]
        ends = "" if one.default is None else f" [default: {one.default}]"
        flags.append(click.option(*declared, type=one.type, help=one.help + ends))
    if "events" in tables:
        words = {
            "event_weights": ("--event-weight", "KIND=N", "What events of a kind count."),
            "columns": (
                "--column",
                "NAME=RULE",
                f"What becomes of a column of users or items: {settings_of.RULES}.",
            ),
        }
        for name in MAPPINGS:
            flag, metavar, about = words[name]
            flags.append(click.option(flag, name, metavar=metavar, multiple=True, help=about))
        names += MAPPINGS

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def run(*args: Any, config: str | None, **given: Any) -> Any:
            said = {name: given.pop(name) for name in names}
            return function(*args, settings=settings_of.over(config, said), **given)

        return _with(flags, run)

    return decorate


def _with(options: Iterable[Callable[[Function], Function]], function: Function) -> Function:
    for option in reversed(list(options)):
        function = option(function)
    return function


MODEL = click.argument("model", type=click.Path())
THREADS = click.option(
    "--threads", type=click.IntRange(0), default=0, help="Threads; 0 takes all CPUs, the default."
)
K = click.option(
    "-k", type=click.IntRange(1), default=10, show_default=True, help="Length of lists."
)
WHERE = click.option(
    "--where",
    metavar="COLUMN=VALUE",
    multiple=True,
    help="Items with this value alone; LOW..HIGH is a range, and the same column again another "
    "value that will do.",
)
WITH = click.option(
    "--with", "beside", metavar="COLUMN", multiple=True, help="Show this column of the items, too."
)
OUTPUT = click.option(
    "-o",
    "--output",
    type=click.Path(),
    help="A file that ends in .csv, .parquet, .jsonl or .ndjson; it is replaced when it is whole.",
)
FORMAT = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "parquet", "jsonl"]),
    help="Of what goes to stdout.  [default: table on a terminal, else csv]",
)
RELEVANT = click.option(
    "--relevant", metavar="KIND", multiple=True, help="Events of this kind alone are hits."
)
EXCLUDE = click.option(
    "--exclude",
    metavar="KIND",
    multiple=True,
    help="Leave out what people have by this kind of events; 'none' leaves nothing out.  "
    "[default: all they have]",
)
METRICS = click.option(
    "--metric", "metrics", metavar="NAME", multiple=True, help="Such as ndcg@10, recall@20, auc."
)


def unless_given(settings: Settings, table: str, key: str, flag: str) -> Any:
    """A setting that has to be there."""
    value = settings[table, key]
    if value is None:
        raise click.UsageError(f"missing {flag}, or {key} in [{table}] of a --config file")
    return value
