"""``train`` and ``update``."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

import click

from lightfm_clone import Recommender
from lightfm_clone.callbacks import EarlyStopping
from lightfm_clone.cli import tables
from lightfm_clone.cli.options import MODEL, command, unless_given, with_settings
from lightfm_clone.cli.settings import UPDATES, Settings, in_flags, read
from lightfm_clone.cli.show import Show
from lightfm_clone.data import sources
from lightfm_clone.persistence.files import replace_when_whole
from lightfm_clone.recommender.fitting import factors_of
from lightfm_clone.recommender.report import DataReport


@command(
    "train",
    """
    lightfm-clone train events.csv --user visitorid --item itemid -o shop.rec
    lightfm-clone train events.csv --user visitorid --item itemid --timestamp timestamp
      --event event --event-weight view=1 --event-weight transaction=10
      --items products.csv --column 'tags=split:|' --column price=bins:5
      --loss softmax --temperature 0.2 --neighbours --test-share 0.2 -o shop.rec
    lightfm-clone train ml-1m.zip --early-stopping --epochs 100 -o films.rec
    lightfm-clone train --config shop.rec.toml
    """,
)
@click.argument("events", type=click.Path(), required=False)
@with_settings("data", "events", "model", "neighbours", "training", "early_stopping", "test")
def train(show: Show, events: str | None, settings: Settings) -> None:
    """Train a model on a table of EVENTS.

    EVENTS is a CSV, TSV or Parquet file with a row for each thing that somebody did, or a MovieLens
    folder or zip. Beside the model goes a TOML file with all settings that were in effect:
    `train --config` with that file repeats the run to the bit, if it had one thread.
    """
    if events is not None:
        settings.put("data", "events", events)
    path = unless_given(settings, "data", "events", "EVENTS")
    output = unless_given(settings, "training", "model", "--output")
    _check_folder(output)
    show.note(f"reading {path}")
    found = tables.find(settings)
    shop = fitted(show, settings, found)
    save(shop, output, settings.in_effect(factors_of(shop.model_)))
    report = shop.report_
    assert report is not None
    show.result(
        f"{summary(report)}\n\n{_trained(shop)}\nsaved {output}, and its settings in {output}.toml",
        {
            "model": output,
            "settings": f"{output}.toml",
            "data": sizes(report),
            "history": getattr(shop.model_, "history_", []),
        },
    )


def fitted(show: Show, settings: Settings, found: tables.Sources) -> Recommender:
    """A recommender of all but the test part of the events."""
    events = found.events
    if settings["test", "share"]:
        events, _ = tables.parted(events, settings, settings["test", "share"])
    model, epochs = settings.model(), settings["training", "epochs"]
    watching: dict[str, Any] = {}
    callbacks: list[Any] = []
    if settings.has("early_stopping"):
        stop = EarlyStopping(
            settings["early_stopping", "metric"], settings["early_stopping", "patience"]
        )
        callbacks.append(stop)
        if stop.metrics:
            share = settings["early_stopping", "share"]
            events, watching["validation"] = tables.parted(events, settings, share)
    shop = Recommender(model)
    with show.progress(epochs, "epoch") as progress:
        shop.fit(
            events,
            **settings.events(),
            users=found.users,
            items=found.items,
            columns=settings.columns(),
            epochs=epochs,
            num_threads=settings.threads,
            verbose=False,
            callbacks=[progress.epoch, *callbacks],
            **watching,
        )
    shop._kind = sources.kind_of()  # as of a path: a part is of pyarrow, whatever its readers have
    return shop


def save(shop: Recommender, output: str, settings: Settings) -> None:
    """The model and its settings, both or none."""
    folder = os.path.dirname(output)
    with replace_when_whole(f"{output}.toml") as file:
        file.write(settings.text(folder).encode())
        file.flush()
        os.fsync(file.fileno())  # so that a full disk shows itself before the model is replaced
        shop.save(output)


def summary(report: DataReport) -> str:
    """What a report says of sizes, and its warnings."""
    lines = (line for line in str(report).splitlines() if "report_.to_frame()" not in line)
    return in_flags("\n".join(lines))


def sizes(report: DataReport) -> dict[str, Any]:
    """What a report says of its table of events, for machines."""
    names = ("n_rows", "n_events", "n_pairs", "n_users", "n_items", "period", "kinds")
    found: dict[str, Any] = {name: getattr(report, name) for name in names}
    found["removed"] = [one._asdict() for one in report.removed]
    found["findings"] = [one._asdict() for one in report.findings]
    return found


def _trained(shop: Recommender) -> str:
    history = getattr(shop.model_, "history_", [])
    if not history:
        return f"{shop.model!r}"
    values = ", ".join(
        f"{name} {value:.4f}"
        for name, value in history[-1].items()
        if name not in ("epoch", "seconds")
    )
    seconds = sum(record["seconds"] for record in history)
    return f"{shop.model!r}\n{len(history)} epochs in {seconds:.1f} s; the last: {values}"


def _check_folder(output: str) -> None:
    """Refuse a place that cannot be written to now, and not after an hour."""
    folder = os.path.dirname(output) or os.curdir
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"the folder of {output} is not there; make {folder} first")
    if os.path.isdir(output):
        raise IsADirectoryError(f"{output} is a folder; name a file, such as {output}/model.rec")


@command(
    "update",
    """
    lightfm-clone update shop.rec today.csv
    lightfm-clone update shop.rec today.csv --items products.csv -o shop-new.rec
    """,
)
@MODEL
@click.argument("events", type=click.Path())
@click.option("--users", type=click.Path(), help="Rows of users who are new or have changed.")
@click.option("--items", type=click.Path(), help="Rows of items that are new or have changed.")
@click.option("--epochs", type=click.IntRange(0), help="Passes over the new pairs.  [default: 5]")
@click.option(
    "--threads", type=click.IntRange(0), default=1, show_default=True, help="0: all CPUs."
)
@click.option("-o", "--output", type=click.Path(), help="Another file for the new model.")
def update(
    show: Show,
    model: str,
    events: str,
    users: str | None,
    items: str | None,
    epochs: int | None,
    threads: int,
    output: str | None,
) -> None:
    """Take new EVENTS into a MODEL.

    The MODEL is replaced when all has gone well. The settings beside it note the update.
    EVENTS have the columns that the model was trained with. New people and items become known.
    """
    output = output or model
    _check_folder(output)
    beside = f"{model}.toml"
    settings = read(beside) if os.path.exists(beside) else None
    shop = Recommender.load(model)
    shop.update(
        tables.events(events),
        users=users,
        items=items,
        epochs=epochs,
        num_threads=threads or None,
        verbose=False,
    )
    if settings is None:
        shop.save(output)
    else:
        noted = settings.values.setdefault(UPDATES, {})
        noted[events] = datetime.now(timezone.utc).isoformat(timespec="seconds")
        save(shop, output, settings)
    assert shop.report_ is not None
    show.result(
        f"{summary(shop.report_)}\n\nsaved {output}", {"model": output, "data": sizes(shop.report_)}
    )
