"""`report`: from a recommender and later events to a file."""

from __future__ import annotations

import pathlib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from lightfm_clone._checks import (
    check_k,
    check_num_threads,
    check_random_state,
    is_integer,
    names_ours,
)
from lightfm_clone._extras import needs
from lightfm_clone.persistence.files import as_string, replace_when_whole
from lightfm_clone.recommender import ItemNeighbours, Popularity, Recommender, judging
from lightfm_clone.reporting import sections
from lightfm_clone.reporting.item_map import item_map
from lightfm_clone.reporting.judged import Judged, columns_of
from lightfm_clone.reporting.parts import Section, shown
from lightfm_clone.reporting.people import people
from lightfm_clone.typing import Id, Path, Seed, Table

_MOST_PEOPLE = 50  # so that the file stays small
_LONG = 40  # characters of a model's name


@names_ours
def report(
    recommender: Recommender,
    events: Table | Path,
    path: Path,
    *,
    models: Mapping[str, Any] | None = None,
    relevant: Id | Sequence[Id] | None = None,
    users: Table | Path | None = None,
    exclude: bool | Id | Sequence[Id] = True,
    k: int = 10,
    title: str | None = None,
    colour_by: Hashable | None = None,
    label: Hashable | None = None,
    n_people: int = 5,
    epochs: int = 10,
    random_state: Seed = 0,
    num_threads: int | None = None,
    verbose: bool = False,
) -> pathlib.Path:
    """Write a page about a recommender: what it knows, how good it is, what its lists are like.

    The page is one HTML file that asks nothing of the network, runs no script and stays below 2 MB:
    what the data are; metrics with intervals beside other models, and the paired differences, for
    all and by groups; how popular and how many the items in the lists are; some people and their
    lists, with reasons; a map of the items; learning curves; settings and versions.

    Parameters
    ----------
    recommender : Recommender
        Fitted.
    events : table or path
        Like those of the fit, and later: what the lists are judged by.
    path : str or os.PathLike
        Exactly this file is written, at once when it is whole.
    models : dict of name to model, optional
        What stands beside the recommender, as in `Recommender.compare`, not fitted. By default
        ``{"popular": Popularity(), "neighbours": ItemNeighbours()}``, less what the recommender is
        itself.
    relevant, users, exclude
        As in `Recommender.evaluate`.
    k : int, default 10
        Length of the lists.
    title : str, optional
    colour_by : column name, optional
        A column of the `items` of the fit, by which the map is coloured; of a list the first value
        counts. By default the number of people who have an item.
    label : column name, optional
        A column of the `items` of the fit that names them, such as a title. By default their ids.
    n_people : int, default 5
        How many people are shown, 50 at most.
    epochs : int, default 10
        Of the models beside the recommender.
    random_state : int, numpy RandomState, numpy Generator or None, default 0
        Of what is drawn for the page: the people, and where there are many, lists and items.
    num_threads : int or None, default None
    verbose : bool, default False
        Show the progress of the training of the other models.

    Returns
    -------
    pathlib.Path
        Of the file.

    Raises
    ------
    ImportError
        Without the extra ``report``.
    OSError
        If the file cannot be written.
    ValueError, TypeError
        As `Recommender.compare`; for columns that are not there, and bad arguments. Nothing is
        written then.

    Notes
    -----
    The same recommender, events and seed give the same file, byte for byte: it has no date. (So
    long as the other models are trained with one thread, or are as the default ones.)

    What would take too long is drawn at random, and the page says so: lists of 10,000 people for
    the measures of popularity, 1,500 items for the map. Time and memory are those of
    `Recommender.compare` and little more.

    Examples
    --------
    >>> import os, tempfile
    >>> from lightfm_clone import LightFM, Recommender
    >>> from lightfm_clone.datasets import synthetic_shop
    >>> from lightfm_clone.reporting import report
    >>> events, visitors, products = synthetic_shop(300, 60, 4000, random_state=0).to_frames()
    >>> past, later = events[:3200], events[3200:]
    >>> shop = Recommender(LightFM(loss="warp", no_components=8, random_state=0)).fit(
    ...     past, user="visitorid", item="itemid", items=products, epochs=3, verbose=False
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = report(shop, later, os.path.join(folder, "shop.html"), label="title")
    ...     page.name, page.read_text(encoding="utf-8")[:15]
    ('shop.html', '<!DOCTYPE html>')
    """
    needs("report", "a report", "jinja2", "matplotlib")
    if not isinstance(recommender, Recommender):
        raise TypeError(
            f"recommender must be a Recommender, got {type(recommender).__name__}; a model alone "
            "has no ids and tables to tell of: see lightfm_clone.evaluation for its metrics"
        )
    path = as_string(path)
    check_k(k)
    check_num_threads(num_threads)
    if not is_integer(n_people) or not 0 <= n_people <= _MOST_PEOPLE:
        raise ValueError(
            f"n_people must be a whole number from 0 to {_MOST_PEOPLE}, got {n_people!r}"
        )
    if title is not None and not isinstance(title, str):
        raise TypeError(f"title must be a text, got {title!r}")
    random = check_random_state(random_state)
    now = recommender._now()
    nothing = np.empty(0, np.intp)
    for name, column in (("label", label), ("colour_by", colour_by)):
        if column is not None:
            columns_of(now, name).first(column, nothing, name)  # which refuses what is not there
    models = _checked(_baselines(now.model_) if models is None else models)

    asked = {
        "relevant": "all" if relevant is None else relevant,
        "exclude": exclude,
        "k": k,
        "colour_by": colour_by,
        "label": label,
        "epochs of the models beside it": epochs,
        "random_state": random_state if is_integer(random_state) else "drawn",
    }
    metrics = [f"{name}@{k}" for name in ("hit_rate", "precision", "recall", "ndcg", "map")]
    metrics += ["mrr", "auc"]
    # Where nothing can be written, that is to be known before the work, and not after it.
    with replace_when_whole(path) as file:
        later = judging.read(now, events, relevant, users, exclude)
        comparison = judging.compare(
            now, models, later, metrics, k, epochs, exclude, num_threads, verbose
        )
        of = Judged(now, later, comparison, exclude, k, label, random, num_threads)
        found = [
            sections.in_short(of),
            sections.data(of),
            sections.quality(of),
            sections.by_group(of),
            sections.popularity(of),
            *([people(of, n_people)] if n_people else []),
            item_map(of, colour_by),
            sections.training(of),
            sections.settings(of, asked, models),
        ]
        heading = shown("Report of a recommender" if title is None else title, 200)
        file.write(_rendered(heading, _lead(now), found).encode("utf-8"))
    return pathlib.Path(path)


def _baselines(model: Any) -> dict[str, Any]:
    """What any model should beat, but for what it is itself."""
    every = {"popular": Popularity(), "neighbours": ItemNeighbours()}
    return {name: one for name, one in every.items() if type(one) is not type(model)}


def _checked(models: Any) -> dict[str, Any]:
    """The models by names that can stand in tables and pictures."""
    if not isinstance(models, Mapping):
        raise TypeError(
            "models must be a dict from names to models, such as {'popular': Popularity()}, got "
            f"{models!r}"
        )
    named = {shown(name, _LONG): model for name, model in models.items()}
    if len(named) < len(models):
        raise ValueError(
            f"models must have names that differ within {_LONG} characters, got "
            f"{', '.join(map(repr, models))}"
        )
    return named


def _lead(shop: Any) -> str:
    """What this is about, in a sentence."""
    n_users, n_items = shop.pairs_.shape
    what, epochs = type(shop.model_).__name__, len(getattr(shop.model_, "history_", []))
    loss = getattr(getattr(shop.model_, "model", shop.model_), "loss", None)
    said = f"{what}{f' with the loss {loss}' if loss else ''}"
    trained = f", trained for {epochs:,} epochs" if epochs else ""
    return f"{said}{trained}, for {n_users:,} people and {n_items:,} items."


def _rendered(title: str, lead: str, found: list[Section]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("lightfm_clone.reporting", "."),
        autoescape=True,  # whatever a name ends in
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(title=title, lead=lead, sections=found)
