"""What a run goes by: one TOML file, and flags, which win.

`SETTINGS` is the one list of all there is: each has its table and key in the file, its flag, its
type and its default. `train` writes the file anew beside the model, with all that was in effect, so
that a run from it is the same run.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import click

from lightfm_clone import ItemNeighbours, LightFM, WithNeighbours
from lightfm_clone._model import parameters
from lightfm_clone._model.losses import LOSSES, SCHEDULES
from lightfm_clone._version import __version__
from lightfm_clone.data import columns as columns_of
from lightfm_clone.data import rules
from lightfm_clone.recommender.events import DUPLICATES
from lightfm_clone.recommender.item_neighbours import METHODS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Values = dict[str, dict[str, Any]]  # by table and key

PATH, LIST = click.Path(), click.types.StringParamType()  # a list may be a text with commas
SHARE = click.FloatRange(0, 1, max_open=True)
AT_LEAST_1, AT_LEAST_0 = click.IntRange(1), click.IntRange(0)


class Setting(NamedTuple):
    """One thing that can be said in a file, or by a flag."""

    table: str
    key: str
    flag: str
    type: click.ParamType[Any]
    help: str
    default: Any = None  # None: may be left out


_WORDS = {
    "no_components": "Length of the vectors.",
    "k": "Of warp-kos: the k-th best of the drawn positives is trained on.",
    "n": "Of warp-kos: so many positives are drawn.",
    "learning_schedule": "How the learning rate falls.",
    "loss": "warp, softmax and bpr make lists, mse foresees ratings.",
    "learning_rate": "The first one; of softmax 0.1 by default, else 0.05.",
    "rho": "Of adadelta: the weight of the past.",
    "epsilon": "Of adadelta: what is added to divisors.",
    "item_alpha": "The L2 penalty on features of items.",
    "user_alpha": "The L2 penalty on features of users.",
    "max_sampled": "Of warp: most negatives that are tried.",
    "stored_negatives": "The share of negatives that are known dislikes.",
    "temperature": "Of softmax: what scores are divided by.",
    "n_negatives": "Of softmax: negatives for a block of examples.",
    "negatives": "From which items negatives are drawn; by default those that are seen.",
    "identity_dropout": "The share of examples that are trained by shared features alone.",
}


def _of_model() -> Iterator[Setting]:
    """The parameters of `LightFM`, as its constructor has them."""
    choices: dict[str, Iterable[str]] = {
        "loss": LOSSES,
        "learning_schedule": SCHEDULES,
        "negatives": ("all", "seen"),
    }
    flags = {"k": "--kos-k", "n": "--kos-n"}  # of warp-kos; -k is the length of lists elsewhere
    defaults = {"loss": "warp", "no_components": 32}  # as `Recommender` has them
    for name, default in parameters.constructor(LightFM).items():
        if name == "random_state":
            continue
        kind: click.ParamType[Any] = click.FLOAT if isinstance(default, float) else click.INT
        if name in choices:
            kind = click.Choice(list(choices[name]))
        flag = flags.get(name, f"--{name.replace('_', '-')}")
        yield Setting("model", name, flag, kind, _WORDS[name], defaults.get(name))


SETTINGS: tuple[Setting, ...] = (
    Setting("data", "events", "", PATH, "The table of events."),
    Setting("data", "users", "--users", PATH, "A table of what is known about users, a row each."),
    Setting("data", "items", "--items", PATH, "A table of what is known about items, a row each."),
    Setting("events", "user", "--user", click.STRING, "The column of user ids."),
    Setting("events", "item", "--item", click.STRING, "The column of item ids."),
    Setting("events", "timestamp", "--timestamp", click.STRING, "The column of times."),
    Setting("events", "event", "--event", click.STRING, "The column of kinds of events."),
    Setting("events", "weight", "--weight", click.STRING, "A column of weights; of mse: ratings."),
    Setting(
        "events",
        "watched",
        "--watched",
        LIST,
        "The column of the share that was watched; or two or three, with commas: what was watched "
        "and the length of all, or start, end and length.",
    ),
    Setting(
        "events",
        "min_watched",
        "--min-watched",
        click.FloatRange(0, 1, min_open=True),
        "Events with a smaller share are left out.",
        0.1,
    ),
    Setting("events", "half_life", "--half-life", click.STRING, "Weights halve with it, as 30d."),
    Setting(
        "events",
        "duplicates",
        "--duplicates",
        click.Choice(DUPLICATES),
        "What several events of a user and an item count.",
        "max",
    ),
    *_of_model(),
    Setting(
        "neighbours",
        "weight",
        "--neighbours-weight",
        click.FloatRange(0),
        "Of the neighbours.",
        5.0,
    ),
    Setting(
        "neighbours", "n_neighbours", "--n-neighbours", AT_LEAST_1, "How many an item has.", 100
    ),
    Setting(
        "neighbours",
        "method",
        "--neighbours-method",
        click.Choice(METHODS),
        "How they are found.",
        "ridge",
    ),
    Setting(
        "neighbours",
        "l2",
        "--neighbours-l2",
        click.FloatRange(0, min_open=True),
        "The penalty of the ridge.",
        3.0,
    ),
    Setting(
        "training", "model", "--output", PATH, "Where the model goes; its settings go beside it."
    ),
    Setting("training", "epochs", "--epochs", AT_LEAST_0, "How often each pair is trained on.", 10),
    Setting(
        "training",
        "threads",
        "--threads",
        AT_LEAST_0,
        "Threads that train; 0 takes all CPUs. Only with one is a run repeated to the bit.",
        1,
    ),
    Setting("training", "seed", "--seed", click.IntRange(0, 2**32 - 1), "Of all draws.", 0),
    Setting(
        "early_stopping",
        "metric",
        "--stop-metric",
        click.STRING,
        "What has to get better on the validation part.",
        "ndcg@10",
    ),
    Setting(
        "early_stopping",
        "patience",
        "--patience",
        AT_LEAST_1,
        "Stop after so many epochs that are not better than the best one.",
        3,
    ),
    Setting(
        "early_stopping",
        "share",
        "--validation-share",
        click.FloatRange(0, 1, min_open=True, max_open=True),
        "The share of the events that is trained on by none, and validates.",
        0.1,
    ),
    Setting(
        "test", "share", "--test-share", SHARE, "The share of the events kept for evaluation.", 0.0
    ),
    Setting(
        "test",
        "split",
        "--split",
        click.Choice(["time", "random"]),
        "Whether the latest events are kept, or random pairs of a user and an item. "
        "[default: time where there are times]",
    ),
)
# What is said with a name of one's own, key by key: KIND=N and COLUMN=RULE.
MAPPINGS = ("event_weights", "columns")
# What `update` notes in the file beside a model: events, and when they were taken in.
UPDATES = "updates"
# What is there or not as a whole, and what its flag says.
SWITCHES = {
    "neighbours": ("--neighbours", "Put item neighbours beside the model."),
    "early_stopping": ("--early-stopping", "Stop when a metric no longer gets better."),
}
_TABLES: dict[str, dict[str, Setting]] = {}
for _one in SETTINGS:
    _TABLES.setdefault(_one.table, {})[_one.key] = _one


class Settings:
    """All that was said, by table and key, with what stands for what was not said.

    Parameters
    ----------
    values : dict of dicts
        As of the file; paths are as the process has them.
    """

    def __init__(self, values: Values) -> None:
        self.values = values

    def __getitem__(self, at: tuple[str, str]) -> Any:
        table, key = at
        return self.values.get(table, {}).get(key, _TABLES[table][key].default)

    def has(self, table: str) -> bool:
        return table in self.values

    def put(self, table: str, key: str, value: Any) -> None:
        self.values.setdefault(table, {})[key] = value

    @property
    def split(self) -> str:
        """How events are split where they are."""
        by_default = "random" if self["events", "timestamp"] is None else "time"
        return str(self["test", "split"] or by_default)

    @property
    def threads(self) -> int | None:
        """As `Recommender` takes them: None for all."""
        return self["training", "threads"] or None

    def events(self) -> dict[str, Any]:
        """The arguments of `Recommender.fit` that say what events mean."""
        keys = (
            *("user", "item", "timestamp", "event", "weight", "min_watched", "half_life"),
            "duplicates",
        )
        watched = self["events", "watched"]
        if isinstance(watched, str) and "," in watched:
            watched = tuple(name.strip() for name in watched.split(","))
        weights = self.values.get("event_weights") or None
        return {key: self["events", key] for key in keys} | {
            "watched": tuple(watched) if isinstance(watched, list) else watched,
            "event_weights": weights,
        }

    def columns(self) -> dict[Hashable, rules.Rule | None]:
        """The rules of columns."""
        return {name: rule(given, name) for name, given in self.values.get("columns", {}).items()}

    def model(self) -> LightFM | WithNeighbours:
        """The model that is to be trained."""
        given = {key: self["model", key] for key in _TABLES["model"]}
        chosen = {key: value for key, value in given.items() if value is not None}
        model = LightFM(**chosen, random_state=self["training", "seed"])
        if not self.has("neighbours"):
            return model
        given = {key: self["neighbours", key] for key in _TABLES["neighbours"]}
        weight = given.pop("weight")
        return WithNeighbours(model, ItemNeighbours(**given), weight)

    def in_effect(self, trained: LightFM) -> Settings:
        """These, with all that was left out, and what training made of it."""
        found: Values = {}
        for one in SETTINGS:
            value = self[one.table, one.key]
            is_there = one.table not in SWITCHES or self.has(one.table)
            if is_there and value is not None:
                found.setdefault(one.table, {})[one.key] = value
        for name in MAPPINGS:
            if self.values.get(name):
                found[name] = self.values[name]
        settled = parameters.settings(trained)
        found["model"] = {key: settled[key] for key in _TABLES["model"]}
        found["test"]["split"] = self.split
        return Settings(found)

    def text(self, folder: str) -> str:
        """The file that says all this, for a folder, to which its paths are relative."""
        import tomli_w

        values = {table: dict(of_table) for table, of_table in self.values.items()}
        for table, key in _paths(values):
            values[table][key] = _relative(values[table][key], folder)
        if "event_weights" in values:  # kinds may be numbers
            values["event_weights"] = {
                str(kind): weight for kind, weight in values["event_weights"].items()
            }
        head = (
            f"# Written by lightfm-clone {__version__}. To repeat the run: train --config FILE\n\n"
        )
        return head + tomli_w.dumps(values)


# ---- reading -------------------------------------------------------------------------------------


def read(path: str) -> Settings:
    """The settings of a file.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is no TOML, or says what cannot be.
    """
    try:
        with open(path, "rb") as file:
            given = tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no TOML: {error}") from error
    values: Values = {}
    for table, of_table in given.items():
        known = (*_TABLES, *MAPPINGS, UPDATES)
        if table not in known:
            raise ValueError(
                f"{path} has the table [{table}], which nothing reads; the tables are "
                f"{', '.join(known)}{columns_of.meant(table, known)}"
            )
        if not isinstance(of_table, dict):
            raise ValueError(
                f"{path} must have {table} as a table, [{table}] and keys below it, got "
                f"{of_table!r}"
            )
        values[table] = {
            key: _checked(table, key, value, f"{path}, [{table}]")
            for key, value in of_table.items()
        }
    folder = os.path.dirname(path)
    for table, key in _paths(values):
        values[table][key] = os.path.join(folder, values[table][key])
    return Settings(values)


def _checked(table: str, key: str, value: Any, where: str) -> Any:
    """A value of a file, of the type that it has to have."""
    if table == "event_weights":
        return _weight(key, value, where)
    if table == "columns":
        rule(value, key)
        return value
    if table == UPDATES:
        return str(value)
    if key not in _TABLES[table]:
        keys = _TABLES[table]
        raise ValueError(
            f"{where} has {key!r}, which nothing reads; the keys are {', '.join(keys)}"
            f"{columns_of.meant(key, keys)}"
        )
    types, expected = _toml_types(_TABLES[table][key])
    if isinstance(value, bool) or not isinstance(value, types):
        raise ValueError(f"{where} must have {key} = {expected}, got {value!r}")
    if key in ("half_life", "watched"):
        return value
    try:
        return _TABLES[table][key].type.convert(value, None, None)
    except click.BadParameter as error:
        raise ValueError(f"{where} cannot have {key} = {value!r}: {error.message}") from error


def _toml_types(setting: Setting) -> tuple[tuple[type, ...], str]:
    """The types that a value may have in a file, and what to call them."""
    if isinstance(setting.type, click.types.FloatParamType):
        return (int, float), "a number"
    if isinstance(setting.type, click.types.IntParamType):
        return (int,), "a whole number"
    if setting.key == "half_life":
        return (str, int, float), "a text or a number"
    if setting.type is LIST:
        return (str, list), "a text or a list"
    return (str,), "a text"


def _weight(kind: str, value: Any, where: str) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value < float("inf")
    ):
        raise ValueError(f"{where} must give {kind!r} a number of at least 0, got {value!r}")
    return float(value)


def _paths(values: Values) -> list[tuple[str, str]]:
    """Where there are paths."""
    at = ((one.table, one.key) for one in SETTINGS if one.type is PATH)
    return [(table, key) for table, key in at if key in values.get(table, {})]


def _relative(path: str, folder: str) -> str:
    try:
        return os.path.relpath(path, folder or os.curdir)
    except ValueError:  # on another drive
        return os.path.abspath(path)


# ---- rules of columns ----------------------------------------------------------------------------

RULES = (
    "none, category, categories:MIN_COUNT, number, scaled:minmax, bins:N or bins:EDGE,EDGE..., "
    "split:SEPARATOR, year, month, day, weekday, hour, cross:COLUMN,COLUMN"
)


def rule(given: Any, column: str) -> rules.Rule | None:
    """The rule that a text such as ``bins:5`` stands for."""
    if not isinstance(given, str):
        raise ValueError(f"the rule of the column {column!r} must be a text, got {given!r}")
    if given == "none":
        return None
    name, colon, rest = given.partition(":")
    names = [*_RULES, *_SHORT]
    try:
        if colon and name in _RULES:
            return _RULES[name](rest)
        if not colon and name in _SHORT:
            return rules.rule_of(name, column)
        problem = "there is none of this name"
        if name in names:
            problem = (
                f"{name} is followed by a colon and more" if name in _RULES else "it takes no more"
            )
    except ValueError as error:
        problem = str(error)
    meant = "" if name in names else columns_of.meant(name, names)
    raise ValueError(
        f"the column {column!r} cannot have the rule {given!r}: {problem}; rules are {RULES}{meant}"
    )


def _bins(text: str) -> rules.Rule:
    edges = [float(edge) for edge in text.split(",")]
    return rules.bins(int(text) if len(edges) == 1 else edges)


_SHORT = ("none", "category", "number", *rules.PARTS)
# What follows the colon of a rule, to the rule.
_RULES: dict[str, Callable[[str], rules.Rule]] = {
    "split": rules.split,
    "bins": _bins,
    "categories": lambda text: rules.categories(int(text)),
    "scaled": rules.scaled,
    "cross": lambda text: rules.cross(*text.split(",")),
}


# Of `RULES`, those that reports propose, as they stand in Python.
_IN_PYTHON = re.compile(
    r"columns=\{(?P<column>.+?): "
    r"(?:(?P<none>None)|'(?P<short>category)'|split\((?P<split>.+?)\)|bins\((?P<bins>\d+)\))\}"
)


def in_flags(text: str) -> str:
    """What a report proposes, in the words of the command line."""

    def flag(found: re.Match[str]) -> str:
        column, name = str(ast.literal_eval(found["column"])), str(found.lastgroup)
        value = found[name]
        if name in _RULES:
            rule = f"{name}:{ast.literal_eval(value)}"
        else:
            rule = value.lower()
        return f"--column {shlex.quote(f'{column}={rule}')}"

    return _IN_PYTHON.sub(flag, text).replace("duplicates= ", "--duplicates ")


# ---- flags ---------------------------------------------------------------------------------------


def over(config: str | None, flags: Mapping[str, Any]) -> Settings:
    """The settings of a file, or none, and of flags over it.

    Parameters
    ----------
    config : path or None
    flags : dict
        By `name_of` a setting, or the name of a mapping (texts NAME=VALUE) or a switch (a bool);
        None, or no text, where nothing was said.
    """
    found = Settings({}) if config is None else read(config)
    for table in SWITCHES:
        said = flags.get(table)
        if said is False:
            found.values.pop(table, None)
        elif said:
            found.values.setdefault(table, {})
    for one in SETTINGS:
        value = flags.get(name_of(one))
        if value is not None:
            found.put(one.table, one.key, value)
    for pair in flags.get("event_weights") or ():
        kind, _, text = pair.rpartition("=")
        try:
            weight = float(text)
        except ValueError:
            kind = ""
        if not kind:
            raise click.BadParameter(
                f"{pair!r} must be KIND=NUMBER, such as view=1", param_hint="--event-weight"
            )
        found.put("event_weights", kind, _weight(kind, weight, "--event-weight"))
    for pair in flags.get("columns") or ():
        name, equals, text = pair.partition("=")
        if not equals:
            raise click.BadParameter(
                f"{pair!r} must be COLUMN=RULE, such as price=bins:5", param_hint="--column"
            )
        rule(text, name)
        found.put("columns", name, text)
    return found


def name_of(setting: Setting) -> str:
    """The name that click has for the flag."""
    return f"{setting.table}__{setting.key}"
