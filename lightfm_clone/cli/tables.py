"""Files to tables: CSV and Parquet as they are, MovieLens by its layout; and parts of events."""

from __future__ import annotations

import os
import shlex
from typing import Any, NamedTuple

import click
import numpy as np
import scipy.sparse as sp

from lightfm_clone.cli.settings import Settings
from lightfm_clone.cross_validation import time_split
from lightfm_clone.data import columns as columns_of
from lightfm_clone.data import sources, tables
from lightfm_clone.datasets import load_ratings
from lightfm_clone.datasets.ratings import COLUMN_NAMES
from lightfm_clone.recommender.events import times_of

# Ratings files that need no layout around them to be read as one.
_WITHOUT_HEADER = ("u.data", "ua.base", "ratings.dat")


class Sources(NamedTuple):
    """What a `Recommender` reads: paths, or tables of pyarrow."""

    events: Any
    users: Any
    items: Any


def find(settings: Settings, path: str | None = None) -> Sources:
    """The tables that settings name, and those that a MovieLens layout brings.

    Settings get what follows from the layout: names of columns and rules.

    Parameters
    ----------
    settings : Settings
    path : str, optional
        Of the events, in place of the path of the settings.
    """
    path = settings["data", "events"] if path is None else path
    users, items = settings["data", "users"], settings["data", "items"]
    events: Any = path
    if _is_layout(path):
        events, films = _of_layout(path)
        for key in ("user", "item", "timestamp"):
            if settings["events", key] is None and key in events.column_names:
                settings.put("events", key, key)
        if films is not None and items is None:
            items = films
            for column, rule in {"title": "none", "genres": "category"}.items():
                if column not in settings.values.get("columns", {}):
                    settings.put("columns", column, rule)
    _require_ids(settings, events)
    _fit_kinds(settings, events)
    return Sources(events, users, items)


def events(path: str) -> Any:
    """Events for a model that is there already: a path, or what a layout holds."""
    return _of_layout(path)[0] if _is_layout(path) else path


def _is_layout(path: str) -> bool:
    if os.path.isdir(path):
        names = os.listdir(path)
        return not any(name.endswith(".parquet") or "=" in name for name in names)
    name = os.path.basename(path).lower()
    return name.endswith(".zip") or name in _WITHOUT_HEADER


def _of_layout(path: str) -> tuple[Any, Any]:
    """Events, and items where the layout has them, with texts for ids."""
    import pyarrow as pa

    films = load_ratings(path)
    entries = films.interactions
    columns: dict[str, Any] = {
        name: pa.array(ids.astype(str)).take(pa.array(rows))
        for name, ids, rows in (
            ("user", films.user_ids, entries.row),
            ("item", films.item_ids, entries.col),
        )
    }
    columns["rating"] = pa.array(entries.data)
    if films.timestamps is not None:
        columns["timestamp"] = pa.array(films.timestamps)
    if not films.item_tags.shape[1]:
        return pa.table(columns), None
    names = [label.removeprefix("genre:") for label in films.item_tag_labels.tolist()]
    genres = pa.ListArray.from_arrays(
        pa.array(films.item_tags.indptr.astype(np.int32)),
        pa.array(names).take(pa.array(films.item_tags.indices)),
    )
    ids = pa.array(films.item_ids.astype(str))
    items = {"item": ids, "title": pa.array(films.item_labels), "genres": genres}
    return pa.table(columns), pa.table(items)


def _require_ids(settings: Settings, events: Any) -> None:
    """Say which columns there are where nobody has said which hold the ids."""
    missing = [key for key in ("user", "item") if settings["events", key] is None]
    if not missing:
        return
    names = [str(name) for name in _names(events)]
    plain = {"".join(filter(str.isalnum, name.lower())): name for name in names}
    usual = {
        key: next((plain[one] for one in COLUMN_NAMES[key] if one in plain), "COLUMN")
        for key in missing
    }
    flags = " ".join(f"--{key} {shlex.quote(usual[key])}" for key in missing)
    raise click.UsageError(
        f"which columns hold the ids of users and items? {settings['data', 'events'] or 'the file'}"
        f" has {', '.join(names)}; add {flags}"
    )


def _names(events: Any) -> list[Any]:
    return sources.names(events, "events") if isinstance(events, str) else events.column_names


def _fit_kinds(settings: Settings, events: Any) -> None:
    """Give kinds of events that are no texts in the table the type that they have there."""
    weights, name = settings.values.get("event_weights", {}), settings["events", "event"]
    if name is None or not any(kind.isdecimal() for kind in weights):
        return
    table = sources.read(events, "events", columns=[name])
    column = tables.column_of(columns_of.by_name(table, "events"), name, "event", "events")
    if column.kind == "number":
        kinds = {str(kind): kind for kind in column.codes().values}
        settings.values["event_weights"] = {
            kinds.get(kind, kind): weight for kind, weight in weights.items()
        }


# ---- parts ---------------------------------------------------------------------------------------


def parted(events: Any, settings: Settings, share: float) -> tuple[Any, Any]:
    """Events without a share of them, and that share: the latest, or random pairs.

    The same settings make the same parts.
    """
    rules = settings.events()
    ids = [rules["user"], rules["item"]]
    watched = rules["watched"] if isinstance(rules["watched"], tuple) else [rules["watched"]]
    named = [*ids, rules["timestamp"], rules["event"], rules["weight"], *watched]
    table = sources.read(events, "events", ids, dict.fromkeys(name for name in named if name))
    is_later = _is_later(table, settings, share)
    if not is_later.any() or is_later.all():
        other = ", or --split random" if settings.split == "time" else ""
        raise ValueError(
            f"events cannot be split by {settings.split} into parts of {1 - share:g} and "
            f"{share:g}: one of them has none of the {len(is_later):,} rows; choose another "
            f"share{other}"
        )
    return table.filter(~is_later), table.filter(is_later)


def _is_later(table: Any, settings: Settings, share: float) -> Any:
    """Which rows are kept apart, bool [n_rows]."""
    by_name = columns_of.by_name(table, "events")
    if settings.split == "time":
        name = settings["events", "timestamp"]
        if name is None:
            raise click.UsageError("a split by time needs times: name their column, --timestamp")
        column = tables.column_of(by_name, name, "timestamp", "events")
        times, _ = times_of(column, "the timestamp")
        dated = np.flatnonzero(~np.isnan(times))  # the others do not count anyway
        nothing = np.zeros(len(dated), np.int8)
        rows = sp.coo_matrix((nothing, (dated, nothing)), shape=(len(times), 1))
        later = time_split(rows, times[dated], share)[1].row
        is_later = np.zeros(len(times), bool)
        is_later[later] = True
        return is_later
    # All events of a pair go one way.
    users, items = (by_name[settings["events", key]].codes() for key in ("user", "item"))
    pairs = users.codes.astype(np.int64) * (len(items.values) + 1) + items.codes
    distinct, pair = np.unique(pairs, return_inverse=True)
    random = np.random.default_rng(settings["training", "seed"])
    return (random.random(len(distinct)) < share)[pair]
