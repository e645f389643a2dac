"""``inspect``, ``demo`` and ``info``."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from lightfm_clone import Popularity, Recommender, show_config
from lightfm_clone._version import __version__
from lightfm_clone.cli import tables
from lightfm_clone.cli.commands.training import sizes, summary
from lightfm_clone.cli.options import command, unless_given, with_settings
from lightfm_clone.cli.settings import Settings, in_flags
from lightfm_clone.cli.show import Show
from lightfm_clone.datasets import synthetic_shop

# What each extra brings, by the names of packages.
_EXTRAS = {
    "tables": ("narwhals", "pyarrow"),
    "cli": ("click", "rich", "tomli-w"),
    "report": ("jinja2", "matplotlib"),
    "serve": ("starlette", "pydantic", "uvicorn", "httptools", "prometheus-client"),
    "search": ("scikit-learn", "optuna"),
    "index": ("voyager",),
    "plots": ("matplotlib",),
    "progress": ("tqdm",),
}


@command(
    "inspect",
    """
    lightfm-clone inspect events.csv --user visitorid --item itemid --timestamp timestamp
    lightfm-clone inspect events.csv --user visitorid --item itemid --items products.csv
      --column 'tags=split:|'
    lightfm-clone inspect ml-1m.zip
    """,
)
@click.argument("events", type=click.Path(), required=False)
@with_settings("data", "events")
def inspect(show: Show, events: str | None, settings: Settings) -> None:
    """Look at tables before training.

    It says what EVENTS and tables hold, what is wrong in them, and what columns would become.

    Nothing is trained and nothing is written.
    """
    if events is not None:
        settings.put("data", "events", events)
    unless_given(settings, "data", "events", "EVENTS")
    found = tables.find(settings)
    shop = Recommender(Popularity()).fit(
        found.events,
        **settings.events(),
        users=found.users,
        items=found.items,
        columns=settings.columns(),
        verbose=False,
    )
    report = shop.report_
    assert report is not None
    became = {
        side: {str(column): _without_python(words) for column, words in encoder.decisions_.items()}
        for side, encoder in (("users", shop.user_encoder_), ("items", shop.item_encoder_))
        if encoder is not None
    }
    if show.as_json:
        show.result("", {**sizes(report), "columns": became})
        return
    lines = [summary(report)]
    for note in report.findings:
        if note.severity != "warning":
            lines += [f"- {note.where}: {note.what}", f"  {in_flags(note.remedy)}"]
    for side, columns in became.items():
        width = max(map(len, columns), default=0)
        lines += ["", f"columns of {side}"]
        lines += [f"  {column:{width}}  {words}" for column, words in columns.items()]
    if became:
        lines += ["", "--column NAME=RULE makes something else of a column"]
    show.result("\n".join(lines), None)


def _without_python(words: str) -> str:
    """What became of a column, without how to change it in Python."""
    return words.partition("; to change it, columns=")[0]


@command(
    "demo",
    """
    lightfm-clone demo
    lightfm-clone demo shop/
    """,
    has_result=False,
)
@click.argument("folder", type=click.Path(), required=False)
def demo(show: Show, folder: str | None) -> None:
    """See it all on a made-up shop.

    It goes from tables to lists, and says each command on the way.
    With a FOLDER the tables and the model stay there, to go on from.
    """
    if folder is not None:
        _demo(show, folder)
        return
    with tempfile.TemporaryDirectory() as place:
        _demo(show, place)
    show.say("\nThe folder is gone again; `lightfm-clone demo shop/` keeps it.")


def _demo(show: Show, folder: str) -> None:
    shop = synthetic_shop(random_state=0)
    taken = [name for name in ("events", "products", "visitors") if _is_there(folder, name)]
    if taken:
        raise ValueError(
            f"{os.path.join(folder, taken[0])}.csv is there already; name another folder, or "
            "remove it"
        )
    shop.write(folder)
    show.say(f"{shop!r} is in {folder}: events.csv, visitors.csv and products.csv.\n")
    at = {name: os.path.join(folder, f"{name}.csv") for name in ("events", "visitors", "products")}
    model = os.path.join(folder, "shop.rec")
    names = ["--user", "visitorid", "--item", "itemid", "--timestamp", "timestamp"]
    kinds = ["--event", "event"]
    for weight in ("view=1", "addtocart=4", "transaction=10"):
        kinds += ["--event-weight", weight]
    sides = ["--users", at["visitors"], "--items", at["products"]]
    rules = ["--column", "tags=split:|", "--column", "price=bins:5", "--column", "title=none"]
    person = str(shop.truth.user_ids[int(shop.truth.tastes.max(axis=1).argmax())])
    steps = (
        (
            "A model of the earlier four fifths of the events",
            ["train", at["events"], *names, *kinds, *sides, *rules]
            + ["--loss", "softmax", "--temperature", "0.2", "--test-share", "0.2", "-o", model],
        ),
        (
            "Beside what is popular, on purchases in the last fifth",
            ["compare", model, "--relevant", "transaction", "--against", "popular"],
        ),
        (
            "A list",
            [
                "recommend",
                model,
                "--user",
                person,
                "-k",
                "5",
                "--with",
                "title",
                "--format",
                "table",
            ],
        ),
    )
    commands = click.get_current_context().find_root().command
    quiet = ["--quiet"] if show.quiet else []
    for about, arguments in steps:
        show.say(f"# {about}\n$ lightfm-clone {shlex.join(arguments)}")
        commands.main([*arguments, *quiet], prog_name="lightfm-clone", standalone_mode=False)
        show.say()
    show.say("# What to do next")
    for arguments in (
        ["evaluate", model, "--report", "report.html"],
        ["train", "--config", f"{model}.toml", "--test-share", "0"],
        ["recommend", model, "--output", "lists.parquet"],
        ["serve", model],
    ):
        show.say(f"$ lightfm-clone {shlex.join(arguments)}")


def _is_there(folder: str, name: str) -> bool:
    return os.path.exists(os.path.join(folder, f"{name}.csv"))


@command(
    "info",
    """
    lightfm-clone info
    lightfm-clone info shop.rec
    """,
)
@click.argument("model", type=click.Path(), required=False)
def info(show: Show, model: str | None) -> None:
    """Say what is installed, or in a MODEL."""
    if model is not None:
        shop = Recommender.load(model)
        n_users, n_items = shop.pairs_.shape
        show.result(
            "\n".join(map(_without_python, str(shop).splitlines())),
            {
                "model": repr(shop.model),
                "users": n_users,
                "items": n_items,
                "pairs": len(shop.pairs_.indices),
                "events": shop.pairs_.n_events,
                "columns": {} if shop.item_columns_ is None else shop.item_columns_.names,
                "history": getattr(shop.model_, "history_", []),
            },
        )
        return
    extras = {extra: {name: _version(name) for name in names} for extra, names in _EXTRAS.items()}
    with contextlib.redirect_stdout(io.StringIO()) as config:
        show_config()
    lines = [config.getvalue().rstrip(), f"Python {sys.version.split()[0]}", "", "extras"]
    for extra, packages in extras.items():
        said = (f"{name} {found or 'missing'}" for name, found in packages.items())
        lines.append(f"  {extra:<9} {', '.join(said)}")
    document: dict[str, Any] = {
        "version": __version__,
        "python": sys.version.split()[0],
        "config": dict(line.split("  ", 1) for line in config.getvalue().splitlines()),
        "extras": extras,
    }
    document["config"] = {name: value.strip() for name, value in document["config"].items()}
    show.result("\n".join(lines), document)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
