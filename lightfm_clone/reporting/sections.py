"""The sections of a page: each is a function of what was judged, and knows nothing of HTML."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from lightfm_clone import plots
from lightfm_clone._checks import is_integer
from lightfm_clone._model import parameters
from lightfm_clone._version import __version__
from lightfm_clone.evaluation import Difference, Evaluation
from lightfm_clone.evaluation.results import parts as with_groups
from lightfm_clone.lightfm import LightFM
from lightfm_clone.recommender.events import predicts_values
from lightfm_clone.recommender.with_neighbours import WithNeighbours
from lightfm_clone.reporting import charts
from lightfm_clone.reporting.judged import Judged
from lightfm_clone.reporting.parts import (
    Cell,
    Facts,
    Figure,
    Note,
    Part,
    Section,
    Table,
    four,
    percent,
    shown,
)

_HEAD = 0.2  # of the items, those that most people have
_SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)  # of the items, where a Lorenz curve is read
_MOST_ROWS = 40  # of a table


# ---- in short ------------------------------------------------------------------------------------


def in_short(of: Judged) -> Section:
    comparison, metric, k = of.comparison, of.metric, of.k
    own = comparison[of.own]
    low, high = of.intervals[of.own][metric]
    level = f"{100 * comparison.level:g} %"
    facts = [
        (
            "hits",
            percent(own[f"hit_rate@{k}"]),
            f"of the people go for something in their list of {k}",
        ),
        (metric, four(own[metric]), f"{level}: {four(low)} to {four(high)}"),
        (
            "coverage",
            percent(comparison.measures[of.own][f"coverage@{k}"]),
            f"of {len(of.counts):,} items are in somebody’s list",
        ),
        ("people", f"{len(own.users):,}", "who did something new later"),
    ]
    return Section("short", "In short", [Facts(facts), Note(_verdict(of))])


def _verdict(of: Judged) -> str:
    """Whether this recommender beats the best of the others, and whether that may be chance."""
    comparison, metric = of.comparison, of.metric
    if not comparison.differences:
        return "Nothing stands beside this recommender, so nothing tells whether this is much."
    best = max(comparison.differences, key=lambda name: comparison[name][metric])
    mean, low, high = difference = comparison.differences[best][metric]
    said = (
        f"The best of the others is “{best}”, with {metric} {four(comparison[best][metric])}. "
        f"The difference to this recommender is {four(mean, '+')}"
    )
    if np.isnan(low):
        return f"{said}; a single person says nothing about chance."
    said += f" ({100 * comparison.level:g} %: {four(low, '+')} to {four(high, '+')})"
    if not difference.is_significant:
        return f"{said}: 0 is in the interval, so it may be chance."
    which = "better" if mean < 0 else "worse"
    return f"{said}, so this recommender is {which}, and hardly by chance."


# ---- the data ------------------------------------------------------------------------------------


def data(of: Judged) -> Section:
    shop = of.shop
    pairs, report = shop.pairs_, shop.report_
    n_users, n_items = pairs.shape
    n_pairs = len(pairs.indices)
    per_user = np.diff(pairs.indptr)
    active, seen = np.count_nonzero(per_user), np.count_nonzero(of.counts)
    facts = [
        ("people", f"{n_users:,}", f"{active:,} of them with events"),
        ("items", f"{n_items:,}", f"{seen:,} of them with events"),
        ("events", f"{pairs.n_events:,}", f"make {n_pairs:,} pairs of a person and an item"),
        ("density", f"{n_pairs / (n_users * n_items):.2%}", "of all pairs are there"),
    ]
    parts: list[Part] = [Facts(facts)]
    rows: list[list[str | Cell]]
    if pairs.times is not None:
        first, last = (
            np.datetime64(int(time), "s").astype("M8[D]")
            for time in (pairs.times.min(), pairs.times.max())
        )
        parts.append(Note(f"The latest events of the pairs are from {first} to {last}."))
    parts.append(
        Table(
            "How unequal people and items are",
            ["", "least", "10 %", "median", "90 %", "most"],
            [
                _spread("items of a person", per_user[per_user > 0]),
                _spread("people of an item", of.counts[of.counts > 0]),
            ],
        )
    )
    if shop._kinds:
        bits = [pairs.kinds.dtype.type(1 << place) for place in range(len(shop._kinds))]
        counts = [np.count_nonzero(pairs.kinds & bit) for bit in bits]
        rows = [
            [shown(kind), f"{count:,}"] for kind, count in zip(shop._kinds, counts, strict=True)
        ]
        parts.append(Table("Pairs by kind of event", ["kind", "pairs"], rows))
    rows = [
        ["people who did something new", f"{len(of.comparison[of.own].users):,}"],
        ["new pairs of a person and an item", f"{of.later.test.nnz:,}"],
    ]
    rows += [[f"left out: {what}", f"{n:,}"] for what, n in of.later.left_out.items() if n]
    parts.append(Table("Later events, which the lists are judged by", ["", "number"], rows))
    if report is None:
        parts.append(
            Note(
                "What was found in the tables is not known: a recommender that was loaded from a "
                "file no longer has their report."
            )
        )
    else:
        parts += _findings(report)
    return Section("data", "The data", parts)


def _spread(name: str, counts: npt.NDArray[Any]) -> list[str | Cell]:
    each = np.quantile(counts, [0, 0.1, 0.5, 0.9, 1]).tolist()
    return [name, *(f"{n:,.0f}" for n in each)]


def _findings(report: Any) -> Iterator[Part]:
    if not report.findings:
        yield Note("Nothing was found in the tables that is seldom meant.")
        return
    for severity in ("warning", "note"):
        some = [one for one in report.findings if one.severity == severity]
        if some:
            rows: list[list[str | Cell]] = [
                [shown(one.where), Cell(shown(one.what, 300), shown(one.remedy, 300))]
                for one in some[:_MOST_ROWS]
            ]
            said = f"{len(some):,} {severity}{'s' * (len(some) > 1)} about the tables"
            if len(some) > len(rows):
                said += f", of which these are the first {len(rows)}"
            head = ["where", "what, and what to do"]
            yield Table(said, head, rows, n_left=2, is_folded=severity == "note")


# ---- how good ------------------------------------------------------------------------------------


def quality(of: Judged) -> Section:
    comparison, level = of.comparison, f"{100 * of.comparison.level:g} %"
    others = list(comparison.differences)
    rows: list[list[str | Cell]] = []
    for metric in comparison.best:
        row: list[str | Cell] = [metric]
        for name, one in comparison.items():
            low, high = of.intervals[name][metric]
            mark = "best" if name == comparison.best[metric] and others else ""
            row.append(Cell(four(one[metric]), f"{four(low)} to {four(high)}", mark))
        rows.append(row)
    parts: list[Part] = [
        Note(
            "Each list is judged by what its person did later. The numbers are means over people, "
            f"with their {level} intervals (bootstrap): how far the means would move with other "
            "people of the same kind. The highest mean of each row is bold."
        ),
        Table("Metrics by model", ["metric", *comparison], rows),
    ]
    if predicts_values(getattr(of.shop.model_, "loss", None)):
        parts.insert(
            0,
            Note(
                "This model predicts values, such as ratings. What is judged here is the order of "
                "its lists, not how near the values are."
            ),
        )
    if not others:
        return Section("quality", "How good the lists are", parts)
    rows = []
    for metric in comparison.best:
        row = [metric]
        for name in others:
            mean, low, high = found = comparison.differences[name][metric]
            interval = f"{four(low, '+')} to {four(high, '+')}"
            row.append(Cell(four(mean, "+"), interval, _mark(found)))
        rows.append(row)
    said = "; ".join(
        f"{name} {four(each[of.metric].mean, '+')}" for name, each in comparison.differences.items()
    )
    parts += [
        Note(
            "Differences are taken person by person, the other model less this recommender: below "
            "0 the other one is worse. They are surer than the means: what makes a person easy or "
            "hard for all models drops out of them. ▲ and ▼ mark intervals without 0. Where two "
            "models are equally good, one number in twenty is still marked, by chance."
        ),
        Figure(
            charts.differences(
                comparison, of.metric, f"Differences in {of.metric} to this recommender: {said}"
            ),
            f"Differences in {of.metric} to this recommender. A hollow point may be chance.",
            Table("Differences to this recommender", ["metric", *others], rows),
        ),
    ]
    return Section("quality", "How good the lists are", parts)


def by_group(of: Judged) -> Section:
    comparison = of.comparison
    rows: list[list[str | Cell]] = []
    all_rows: list[list[str | Cell]] = []
    for label, part in with_groups(comparison):
        row: list[str | Cell] = [label, f"{len(part[of.own].users):,}"]
        for name, one in part.items():
            mark = _mark(part.differences.get(name, {}).get(of.metric))
            row.append(Cell(four(one[of.metric]), _plus_minus(one, of.metric), mark))
            each: list[str | Cell] = [four(mean) for mean in one.values()]
            all_rows.append([label, name, *each])
        rows.append(row)
    said = "; ".join(f"{row[0]} {row[2].text}" for row in rows if isinstance(row[2], Cell))
    parts: list[Part] = [
        Note(
            "People are “new” if they had no events before, “few” if they had up to the median "
            "number of items, and “many” if they had more. “New items” are items without events: "
            "only what people did later with these counts there, ranked among all items."
        ),
        Figure(
            charts.groups(comparison, of.metric, f"{of.metric} of this recommender: {said}"),
            f"{of.metric} by group, with 1.96 standard errors. ▲ and ▼ differ from this "
            "recommender, and hardly by chance.",
            Table(f"{of.metric} by group", ["group", "people", *comparison], rows),
        ),
        Table(
            "All metrics by group",
            ["group", "model", *comparison.best],
            all_rows,
            n_left=2,
            is_folded=True,
        ),
    ]
    return Section("groups", "For whom", parts)


def _plus_minus(one: Evaluation, metric: str) -> str:
    error = one.standard_errors[metric]
    return "" if np.isnan(error) else f"± {four(1.96 * error)}"


def _mark(difference: Difference | None) -> str:
    if difference is None or not difference.is_significant:
        return ""
    return "better" if difference.mean > 0 else "worse"


# ---- what the lists show -------------------------------------------------------------------------


def popularity(of: Judged) -> Section:
    counts, lists, k = of.counts, of.some_lists, of.k
    n_items = len(counts)
    every = {
        "interactions": counts,
        "later events": np.bincount(of.later.test.indices, minlength=n_items),
        "lists": np.bincount(lists[lists >= 0], minlength=n_items),
    }
    head = np.zeros(n_items, bool)
    head[np.argsort(-counts, kind="stable")[: max(1, round(_HEAD * n_items))]] = True
    rows: list[list[str | Cell]] = []
    of_head, gini = {}, {}
    for name, times in every.items():
        curve, gini[name] = plots.lorenz(times)
        of_head[name] = float(times[head].sum() / times.sum())
        at = [curve[max(1, round(share * n_items))] for share in _SHARES]
        rows.append([name, f"{gini[name]:.2f}", *map(percent, at)])
    whose = f"{len(lists):,} people who did something later"
    if len(lists) < len(of.later.people):
        whose = f"{len(lists):,} of {len(of.later.people):,} people, drawn at random"
    new = every["lists"][~of.shop._items.has_own].sum() / max(every["lists"].sum(), 1)
    parts: list[Part] = [
        Facts(
            [
                (f"the head in {name}", percent(of_head[name]), f"of {what}")
                for name, what in (
                    ("interactions", "all pairs before"),
                    ("later events", "what people did later"),
                    ("lists", "all places in lists"),
                )
            ]
        ),
        Note(
            f"The head is the {_HEAD:.0%} of the items that most people had. Lists that show more "
            "of the head than people go for later make popular items more popular still. The lists "
            f"are those of {whose}; {percent(float(new))} of their places went to items without "
            "events."
        ),
        Figure(
            charts.popularity(
                counts,
                {
                    "later events": of.later.test.indices[:, None],
                    "lists": lists,
                },
                "Lorenz curves. Gini coefficients: "
                + ", ".join(f"{name} {one:.2f}" for name, one in gini.items()),
            ),
            "How much goes to how few items (Lorenz curves). The further a curve is above the "
            "diagonal, the more goes to the most frequent items.",
            Table(
                "Share that the most frequent items have",
                ["", "Gini", *(f"{share:.0%}" for share in _SHARES)],
                rows,
            ),
        ),
        _measures(of),
        Note(
            f"Coverage is the share of all items that are in somebody’s list of {k}. Novelty says "
            "how few people have the items shown, in bits: 1 more stands for half as many people. "
            "Diversity says how unlike the items of a list are: 1 less their mean cosine."
        ),
    ]
    return Section("popularity", "What the lists show", parts)


def _measures(of: Judged) -> Table:
    measures = of.comparison.measures
    rows: list[list[str | Cell]] = [
        [name, *(four(each[name]) for each in measures.values())] for name in measures[of.own]
    ]
    return Table("The lists of each model", ["measure", *measures], rows)


# ---- training ------------------------------------------------------------------------------------


def training(of: Judged) -> Section:
    title = "How it was trained"
    history = list(getattr(of.shop.model_, "history_", []))
    if not history:
        what = type(of.shop.model_).__name__
        return Section(
            "training", title, [Note(f"A {what} is not trained in epochs: there is no curve.")]
        )
    names = plots.measures_of(history)
    some = np.unique(np.linspace(0, len(history) - 1, min(len(history), _MOST_ROWS)).astype(int))
    rows: list[list[str | Cell]] = [
        [f"{place + 1:,}", *(four(float(history[place].get(name, np.nan))) for name in names)]
        for place in some.tolist()
    ]
    first, last = (float(record["loss"]) for record in (history[0], history[-1]))
    figure = Figure(
        charts.learning_curves(
            history,
            f"Loss by epoch: {four(first)} in the first, {four(last)} in the last of "
            f"{len(history):,}",
        ),
        f"{len(history):,} epochs. A loss that still falls fast at the end asks for more; a metric "
        "of a validation that falls while the loss does asks for fewer.",
        Table("By epoch", ["epoch", *map(shown, names)], rows, is_folded=True),
    )
    return Section("training", title, [figure])


# ---- settings ------------------------------------------------------------------------------------


def settings(of: Judged, asked: Mapping[str, Any], models: Mapping[str, Any]) -> Section:
    shop = of.shop
    parts: list[Part] = [
        _settings("The model", _parameters(shop.model_)),
        _settings(
            "The fit",
            {name: value for name, value in shop._rules.items() if value is not None}
            | {"duplicates": shop._duplicates},
        ),
    ]
    for side in (shop._users, shop._items):
        if side.encoder is not None:
            decisions = dict(list(side.encoder.decisions_.items())[:_MOST_ROWS])
            rows: list[list[str | Cell]] = [
                [shown(column), shown(words, 300)] for column, words in decisions.items()
            ]
            title = f"What became of the columns of {side.name}s"
            parts.append(Table(title, ["column", "features"], rows, n_left=2))
    parts.append(_settings("The models beside it", models))
    parts.append(_settings("This page", asked))
    versions = {
        "lightfm-clone": __version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "SciPy": scipy.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }
    parts.append(_settings("Versions", versions))
    return Section("settings", "Settings and versions", parts)


def _settings(title: str, values: Mapping[str, Any]) -> Table:
    rows: list[list[str | Cell]] = [
        [shown(name), shown(value, 300)] for name, value in values.items()
    ]
    return Table(title, ["setting", "value"], rows, n_left=2)


def _parameters(model: Any) -> dict[str, Any]:
    """The class of a model, and the parameters that it was trained with."""
    found: dict[str, Any] = {"model": type(model).__name__}
    if isinstance(model, WithNeighbours):
        for part in (model.model, model.neighbours):
            own = _parameters(part)
            name = own.pop("model")
            found |= {f"{name}: {key}": value for key, value in own.items()}
        return found | {"weight": model.weight}
    if hasattr(model, "get_params"):
        found |= model.get_params()
    if isinstance(model, LightFM):
        # With what its loss makes of defaults, and the seed in the place of a stream that moved on.
        trained = parameters.settings(model) | {"random_state": model.initial_random_state}
        found |= {name: trained[name] for name in found.keys() & trained.keys()}
    seed = found.get("random_state")
    if seed is not None and not is_integer(seed):
        found["random_state"] = "a generator"  # whose address says nothing
    return found
