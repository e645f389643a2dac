"""``recommend``, ``similar``, ``explain`` and ``export``: what a model has to say."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click
import numpy as np

from lightfm_clone import Recommender
from lightfm_clone._tables import make
from lightfm_clone.cli import ids
from lightfm_clone.cli.options import (
    EXCLUDE,
    FORMAT,
    MODEL,
    OUTPUT,
    THREADS,
    WHERE,
    WITH,
    K,
    command,
)
from lightfm_clone.cli.show import Progress, Show, plain, stdout
from lightfm_clone.data import columns as columns_of
from lightfm_clone.data import sources
from lightfm_clone.recommender import people as people_of
from lightfm_clone.recommender import serving

_ROWS = 65_536  # of a table that are written at a time
Columns = Mapping[str, Any]


@command(
    "recommend",
    """
    lightfm-clone recommend shop.rec --user 07497659 -k 5 --with title
    lightfm-clone recommend shop.rec --output lists.parquet
    lightfm-clone recommend shop.rec --users visitors.csv --format jsonl | gzip > lists.jsonl.gz
    lightfm-clone recommend shop.rec --history 088088 --history 275293
    lightfm-clone recommend shop.rec --user 07497659 --where price=5..20 --at-most brand=2
      --exclude transaction --popularity -0.5 --diversity 0.3
    """,
)
@MODEL
@click.option("--user", "named", metavar="ID", multiple=True, help="Somebody, again and again.")
@click.option(
    "--users",
    type=click.Path(),
    help="A table with the column of user ids; what it says beside serves those who are new.",
)
@click.option(
    "--history",
    metavar="ITEM",
    multiple=True,
    help="Somebody who is known by what they liked, an item each time.",
)
@K
@EXCLUDE
@WHERE
@click.option("--at-most", metavar="COLUMN=N", multiple=True, help="Items of one value in a list.")
@click.option("--deny", metavar="ITEM", multiple=True, help="An item that nobody gets.")
@click.option("--popularity", type=float, default=0.0, help="A dial: above 0 what is popular.")
@click.option("--diversity", type=float, default=0.0, help="A dial from 0 to below 1.")
@WITH
@OUTPUT
@FORMAT
@THREADS
def recommend(
    show: Show,
    model: str,
    named: tuple[str, ...],
    users: str | None,
    history: tuple[str, ...],
    k: int,
    exclude: tuple[str, ...],
    where: tuple[str, ...],
    at_most: tuple[str, ...],
    deny: tuple[str, ...],
    popularity: float,
    diversity: float,
    beside: tuple[str, ...],
    output: str | None,
    form: str | None,
    threads: int,
) -> None:
    """Make lists for some people, or for all.

    Lists of millions go out as they are made, in bounded memory. A file is replaced when it is
    whole.
    """
    if sum(map(bool, (named, users, history))) > 1:
        raise click.UsageError("--user, --users and --history all say for whom; give one of them")
    shop = Recommender.load(model)
    asked: Any = None if users is None else Path(users)
    if named:
        asked = ids.users(shop, named)
        known = shop.dataset_.mapping()[0]
        for one in asked:
            if one not in known:
                show.note(
                    f"Note: {one!r} is not known, and gets what is popular{ids.alike(one, known)}"
                )
    liked = [ids.items(shop, history)] if history else None
    people = people_of.find(shop, asked, liked)
    blocks = serving.blocks_of_columns(
        shop,
        people,
        k,
        threads or None,
        **{
            **serving.NO_RULES,
            "exclude": ids.excluded(shop, exclude),
            "where": ids.where(shop, where),
            "at_most": ids.quotas(shop, at_most),
            "deny": ids.items(shop, deny, must_be_known=False) or None,
            "popularity": popularity,
            "diversity": diversity,
        },
    )
    is_short = bool(named or history)
    every_list = show.progress(len(people), "people")
    with (
        _sink(show, output, form, is_short) as write,
        nullcontext(Progress()) if is_short else every_list as progress,
    ):
        for n_people, columns in blocks:
            write(_with_columns(shop, columns, "item", beside))
            progress.advance(n_people)


def _with_columns(shop: Recommender, columns: Columns, of: str, names: Iterable[str]) -> Columns:
    """The columns of lists, and columns of their items beside them."""
    names = list(names)
    if not names:
        return columns
    numbers = shop.dataset_.mapping()[2]
    rows = np.fromiter(map(numbers.__getitem__, columns[of]), np.int64, len(columns[of]))
    beside = ids.columns(shop, names, rows)
    taken = next((name for name in names if name in columns), None)
    if taken is not None:
        raise ValueError(
            f"the lists have a column {taken!r} of their own; rename that of the items, and train "
            "again"
        )
    return {**columns, **{name: _texts(values) for name, values in beside.items()}}


def _texts(values: Any) -> Any:
    """A column that is no array as texts, which every format can hold, whatever a block holds."""
    if isinstance(values, np.ndarray):
        return values
    values = ["|".join(map(str, one)) if isinstance(one, list) else one for one in values]
    return ["" if one is None else str(one) for one in values]


@command(
    "similar",
    """
    lightfm-clone similar shop.rec 088088 --with title
    lightfm-clone similar shop.rec -k 50 --output neighbours.parquet
    """,
)
@MODEL
@click.argument("items", nargs=-1)
@K
@WHERE
@WITH
@OUTPUT
@FORMAT
@THREADS
def similar(
    show: Show,
    model: str,
    items: tuple[str, ...],
    k: int,
    where: tuple[str, ...],
    beside: tuple[str, ...],
    output: str | None,
    form: str | None,
    threads: int,
) -> None:
    """Find the nearest items of ITEMS, or of all."""
    shop = Recommender.load(model)
    found = shop.similar_items(
        ids.items(shop, items) if items else None,
        k,
        where=ids.where(shop, where),
        num_threads=threads or None,
    )
    with _sink(show, output, form, bool(items)) as write:
        write(_with_columns(shop, _columns_of(found), "similar", beside))


@command("explain", "lightfm-clone explain shop.rec 07497659 088088")
@MODEL
@click.argument("user")
@click.argument("item")
def explain(show: Show, model: str, user: str, item: str) -> None:
    """Say why an ITEM has its score for a USER.

    The terms are exact, and add up to the score.
    """
    shop = Recommender.load(model)
    (person,), (of,) = ids.users(shop, [user]), ids.items(shop, [item])
    known = shop.dataset_.mapping()[0]
    if person not in known:
        raise ValueError(f"the user {user!r} is not known{ids.alike(user, known)}")
    found = shop.explain(person, of)
    terms = [
        {**one._asdict(), "same_for_every_item": one.is_same_for_every_item}
        for one in found.contributions
    ]
    show.result(repr(found), {"user": user, "item": item, "score": found.score, "terms": terms})


@command(
    "export",
    """
    lightfm-clone export shop.rec items --output items.parquet
    lightfm-clone export shop.rec users --no-features --format csv
    """,
)
@MODEL
@click.argument("side", type=click.Choice(["users", "items"]))
@click.option("--features/--no-features", default=True, help="The encoded columns, too.")
@OUTPUT
@FORMAT
def export(
    show: Show, model: str, side: str, features: bool, output: str | None, form: str | None
) -> None:
    """Write vectors as a table, for other models."""
    shop = Recommender.load(model)
    made = shop.user_table if side == "users" else shop.item_table
    columns = _columns_of(made(features=features))
    n = len(columns["bias"])
    with _sink(show, output, form, False) as write, show.progress(n, side) as progress:
        for first in range(0, n, _ROWS):
            part = {name: values[first : first + _ROWS] for name, values in columns.items()}
            write(part)
            progress.advance(len(part["bias"]))


def _columns_of(table: Any) -> dict[str, Any]:
    """The columns of a table of any library, as arrays and lists."""
    frame = columns_of.narwhals().from_native(table, eager_only=True)
    return {
        name: frame[name].to_numpy() if frame[name].dtype.is_numeric() else frame[name].to_list()
        for name in frame.columns
    }


# ---- where tables go -----------------------------------------------------------------------------


@contextmanager
def _sink(
    show: Show, output: str | None, form: str | None, is_short: bool
) -> Iterator[Callable[[Columns], None]]:
    """A function that takes columns, block after block, to a file or to stdout."""
    if output is not None:
        if form is not None:
            raise click.UsageError("--output names the format by its end; leave --format out")
        n_rows = 0
        with sources.writer(output) as write:

            def count(columns: Columns) -> None:
                nonlocal n_rows
                n_rows += len(next(iter(columns.values())))
                write(columns)

            yield count
        show.result(f"{n_rows:,} rows in {output}", {"output": output, "rows": n_rows})
        return
    if show.as_json:
        if form is not None:
            raise click.UsageError("--json and --format both say what goes to stdout; give one")
        with _document() as write:
            yield write
        return
    if form == "table" or (form is None and is_short and sys.stdout.isatty()):
        parts: list[Columns] = []
        yield parts.append
        names = parts[0]
        show.table({name: [one for part in parts for one in part[name]] for name in names})
        return
    with stdout() as file, sources.blocks(file, form or "csv") as write:
        yield write


@contextmanager
def _document() -> Iterator[Callable[[Columns], None]]:
    """One JSON document of an array of rows, written as they come."""
    n_rows = 0

    def write(columns: Columns) -> None:
        nonlocal n_rows
        for row in sources.as_rows(make("pyarrow", columns)):
            click.echo(",\n" if n_rows else "[\n", nl=False)
            click.echo(json.dumps(plain(row), ensure_ascii=False), nl=False)
            n_rows += 1

    yield write
    click.echo("\n]" if n_rows else "[]")
