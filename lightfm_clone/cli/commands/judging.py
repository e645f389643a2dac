"""``evaluate`` and ``compare``: on later events, or on those that `train` kept apart."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click

from lightfm_clone import (
    ItemNeighbours,
    LightFM,
    MarkovChain,
    Popularity,
    Random,
    Recommender,
    WithNeighbours,
)
from lightfm_clone._model.losses import LOSSES
from lightfm_clone.cli import settings as settings_of
from lightfm_clone.cli import tables
from lightfm_clone.cli.ids import excluded, kinds
from lightfm_clone.cli.options import EXCLUDE, METRICS, MODEL, RELEVANT, THREADS, K, command
from lightfm_clone.cli.show import Show
from lightfm_clone.evaluation import Comparison, Evaluation
from lightfm_clone.recommender.fitting import factors_of, unfitted

_EVENTS = click.argument("events", type=click.Path(), required=False)
_USERS = click.option("--users", type=click.Path(), help="A table about people who are new.")


def later(model: str, events: str | None) -> Any:
    """The events to judge by: of a path, or those that the settings beside the model kept apart."""
    if events is not None:
        return tables.events(events)
    beside = f"{model}.toml"
    if not os.path.exists(beside):
        raise click.UsageError(
            f"on which events? There is no {beside} that tells what training kept apart; pass a "
            f"file of later ones: {model} EVENTS"
        )
    settings = settings_of.read(beside)
    if updates := settings.values.get(settings_of.UPDATES):
        raise click.UsageError(
            f"on which events? {model} has taken in {', '.join(updates)} since it was trained, "
            "which may hold what training kept apart; pass a file of later events"
        )
    share = settings["test", "share"]
    if not share:
        raise click.UsageError(
            f"on which events? {model} was trained on all there were; train with --test-share 0.2, "
            "or pass a file of later events"
        )
    return tables.parted(tables.find(settings).events, settings, share)[1]


@command(
    "evaluate",
    """
    lightfm-clone evaluate shop.rec
    lightfm-clone evaluate shop.rec later.csv --relevant transaction --metric ndcg@10
    lightfm-clone evaluate shop.rec --report report.html --label title --colour-by categoryid
    """,
)
@MODEL
@_EVENTS
@RELEVANT
@_USERS
@EXCLUDE
@METRICS
@click.option("--report", type=click.Path(), help="Write a page with all there is to say, HTML.")
@click.option("--title", help="Of the report.")
@click.option("--label", metavar="COLUMN", help="Of the report: the titles of items.")
@click.option("--colour-by", metavar="COLUMN", help="Of the report: what colours the map.")
@K
@THREADS
def evaluate(
    show: Show,
    model: str,
    events: str | None,
    relevant: tuple[str, ...],
    users: str | None,
    exclude: tuple[str, ...],
    metrics: tuple[str, ...],
    report: str | None,
    title: str | None,
    label: str | None,
    colour_by: str | None,
    k: int,
    threads: int,
) -> None:
    """Say how well a MODEL foresees later EVENTS.

    EVENTS are by default those that `train --test-share` kept apart.
    """
    shop = Recommender.load(model)
    given: dict[str, Any] = {
        "relevant": kinds(shop, relevant),
        "users": users,
        "exclude": excluded(shop, exclude),
        "num_threads": threads or None,
    }
    found = later(model, events)
    result = shop.evaluate(found, metrics=metrics or None, **given)
    if report is not None:
        from lightfm_clone.reporting import report as write_report

        write_report(
            shop, found, report, k=k, title=title, label=label, colour_by=colour_by, **given
        )
    document = _of_evaluation(result)
    written = "" if report is None else f"\n\nreport in {report}"
    show.result(f"{result!r}{written}", document | ({} if report is None else {"report": report}))


@command(
    "compare",
    """
    lightfm-clone compare shop.rec
    lightfm-clone compare shop.rec later.csv --against popular --against bpr --epochs 20
    """,
)
@MODEL
@_EVENTS
@click.option(
    "--against",
    metavar="NAME",
    multiple=True,
    help="popular, random, neighbours, markov (what came next), a loss of LightFM, such as bpr, or "
    "one with neighbours beside it, such as softmax+neighbours.  [default: popular and neighbours]",
)
@RELEVANT
@_USERS
@EXCLUDE
@METRICS
@K
@click.option("--epochs", type=click.IntRange(1), default=10, show_default=True, help="Of each.")
@click.option(
    "--threads", type=click.IntRange(0), default=1, show_default=True, help="0: all CPUs."
)
def compare(
    show: Show,
    model: str,
    events: str | None,
    against: tuple[str, ...],
    relevant: tuple[str, ...],
    users: str | None,
    exclude: tuple[str, ...],
    metrics: tuple[str, ...],
    k: int,
    epochs: int,
    threads: int,
) -> None:
    """Put a MODEL beside others.

    They are trained on the same data, and judged on the same later EVENTS, by default those that
    `train --test-share` kept apart. Differences have intervals of the paired bootstrap.
    """
    shop = Recommender.load(model)
    others = {name: _named(shop, name) for name in against or ("popular", "neighbours")}
    found = later(model, events)
    show.note(f"training and judging {', '.join(others)}")
    result = shop.compare(
        others,
        found,
        relevant=kinds(shop, relevant),
        users=users,
        exclude=excluded(shop, exclude),
        metrics=metrics or None,
        k=k,
        epochs=epochs,
        num_threads=threads or None,
    )
    show.result(repr(result), _of_comparison(result))


def _named(shop: Recommender, name: str) -> Any:
    """The model that a name of `--against` stands for."""
    plain = {"popular": Popularity, "neighbours": ItemNeighbours, "markov": MarkovChain}
    if name in plain:
        return plain[name]()
    if name == "random":
        return Random(0)
    loss, plus, beside = name.partition("+")
    if loss not in LOSSES or (plus and beside != "neighbours"):
        names = ", ".join((*plain, "random", *LOSSES))
        raise click.BadParameter(
            f"{name!r} is none of {names}, or a loss+neighbours", param_hint="--against"
        )
    own = unfitted(factors_of(shop.model_))
    size = own.no_components if isinstance(own, LightFM) else 32
    model = LightFM(loss=loss, no_components=size, random_state=0)
    return WithNeighbours(model) if plus else model


def _of_evaluation(result: Evaluation) -> dict[str, Any]:
    intervals = result.confidence_intervals()
    return {
        "users": len(result.users),
        "metrics": {
            name: {"mean": result[name], "low": intervals[name][0], "high": intervals[name][1]}
            for name in result
        },
        "groups": {label: _of_evaluation(group) for label, group in result.groups.items()},
        "left_out": dict(result.left_out),
    }


def _of_comparison(result: Comparison) -> dict[str, Any]:
    models: Mapping[str, Evaluation] = result
    return {
        "baseline": result.baseline,
        "models": {
            name: {
                "metrics": dict(one),
                "differences": {
                    metric: difference._asdict()
                    for metric, difference in result.differences.get(name, {}).items()
                },
                "measures": result.measures[name],
            }
            for name, one in models.items()
        },
        "groups": {label: _of_comparison(group) for label, group in result.groups.items()},
    }
