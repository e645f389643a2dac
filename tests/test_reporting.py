"""The page about a recommender: its numbers, its sections, hostile texts, and how it looks."""

from __future__ import annotations

import os
import re
import warnings
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from browser import DESK, PHONE, visits
from shops import LATER, PAST, PRODUCTS, VISITORS, fitted, model, pd, small

from lightfm_clone import (
    ItemNeighbours,
    LightFM,
    MarkovChain,
    Popularity,
    Random,
    Recommender,
    WithNeighbours,
    evaluation,
)
from lightfm_clone import _extras as extras
from lightfm_clone.reporting import item_map, judged, report
from lightfm_clone.reporting.parts import four, percent, shown

pytest.importorskip("jinja2")
matplotlib = pytest.importorskip("matplotlib")
rcParams, rc_context = matplotlib.rcParams, matplotlib.rc_context

VOID = {"meta", "path", "use", "br", "img", "link", "input", "hr"}
METRICS = [f"{name}@10" for name in ("hit_rate", "precision", "recall", "ndcg", "map")]
METRICS += ["mrr", "auc"]


class Page(HTMLParser):
    """A page as elements, with their attributes, and tables by caption."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.text = ""
        self.headings: list[str] = []
        self._stack: list[str] = []
        self._rows: list[list[str]] = []
        self._caption = ""
        self.feed(text)
        self.close()
        assert not self._stack, self._stack

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._stack.append(tag)
        if tag == "table":
            self._rows, self._caption = [], ""
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")
        elif tag == "small":
            self._rows[-1][-1] += "|"

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._stack.pop() == tag, tag
        if tag == "table":
            rows = [[" ".join(cell.split()) for cell in row] for row in self._rows]
            self.tables.setdefault(" ".join(self._caption.split()), []).extend(rows)

    def handle_data(self, text):
        inside = set(self._stack)
        if not inside & {"style", "script"}:
            self.text += text
        if inside & {"td", "th"}:
            self._rows[-1][-1] += text
        elif "caption" in inside:
            self._caption += text
        if self._stack and self._stack[-1] in ("h1", "h2") or inside & {"h3"}:
            self.headings.append(text)

    def column(self, caption: str, place: int) -> dict[str, str]:
        """A column of a table by the first one, without the head."""
        return {row[0]: row[place] for row in self.tables[caption][1:]}


def made(shop, path, events=LATER, **options) -> Page:
    path = path.with_suffix(".html")
    assert report(shop, events, path, **{"num_threads": 1, **options}) == path
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def shop() -> Recommender:
    return fitted(PAST)


@pytest.fixture(scope="module")
def page(shop, tmp_path_factory) -> Page:
    path = tmp_path_factory.mktemp("report") / "page"
    return made(shop, path, users=VISITORS, label="title", colour_by="brand", title="A shop")


# ---- the numbers ---------------------------------------------------------------------------------


def test_metrics_are_those_of_compare(shop, page):
    others = {"popular": Popularity(), "neighbours": ItemNeighbours()}
    found = shop.compare(others, LATER, users=VISITORS, metrics=METRICS, num_threads=1)
    assert page.tables["Metrics by model"][0] == ["metric", *found]
    for place, (name, one) in enumerate(found.items(), 1):
        ends = one.confidence_intervals()
        assert page.column("Metrics by model", place) == {
            metric: f"{four(one[metric])}|{four(ends[metric][0])} to {four(ends[metric][1])}"
            for metric in METRICS
        }
        measures = page.column("The lists of each model", place)
        assert measures == {key: four(value) for key, value in found.measures[name].items()}
    for place, each in enumerate(found.differences.values(), 1):
        cells = page.column("Differences to this recommender", place)
        for metric, (mean, low, high) in each.items():
            mark = " ▲ better" if low > 0 else " ▼ worse" if high < 0 else ""
            ends = f"{four(low, '+')} to {four(high, '+')}"
            assert cells[metric] == f"{four(mean, '+')}{mark}|{ends}"
    groups = page.tables["ndcg@10 by group"]
    assert [row[0] for row in groups[1:]] == ["all", *map(str, found.groups)]
    for row, part in zip(groups[1:], [found, *found.groups.values()], strict=True):
        assert row[1] == f"{len(part['recommender'].users):,}"
        assert [re.split("[ |]", cell)[0] for cell in row[2:]] == [
            four(one["ndcg@10"]) for one in part.values()
        ]
    whole = page.tables["All metrics by group"]
    assert len(whole) == 1 + len(found) * (1 + len(found.groups))
    assert whole[1] == ["all", "recommender", *(four(v) for v in found["recommender"].values())]
    own = found["recommender"]
    assert percent(own["hit_rate@10"]) in page.text and "The best of the others is" in page.text


def test_the_data(shop, page):
    told = page.text.replace("\n", " ")
    report_ = shop.report_
    assert f"{report_.n_events:,} make {report_.n_pairs:,} pairs" in told
    assert page.column("Pairs by kind of event", 1) == {
        kind: f"{(shop.pairs_.kinds >> place & 1).sum():,}"
        for place, kind in enumerate(shop._kinds)
    }
    counts = np.diff(shop.pairs_.indptr)
    spread = np.quantile(counts[counts > 0], [0, 0.1, 0.5, 0.9, 1])
    assert page.tables["How unequal people and items are"][1][1:] == [f"{n:.0f}" for n in spread]
    notes = [one for one in report_.findings if one.severity == "note"]
    rows = page.tables[f"{len(notes)} notes about the tables"]
    assert rows[1:] == [[one.where, f"{one.what}|{one.remedy}"] for one in notes]
    left = shop.evaluate(LATER, users=VISITORS).left_out
    later = page.column("Later events, which the lists are judged by", 1)
    assert later["people who did something new"] == f"{len(shop.evaluate(LATER).users):,}"
    assert {f"left out: {what}": f"{n:,}" for what, n in left.items() if n}.items() <= later.items()


def test_popularity_by_hand(shop, page):
    lists = shop.recommend(list(dict.fromkeys(LATER["visitorid"].dropna())), k=10)
    known = {one: place for place, one in enumerate(shop.item_ids_.tolist())}
    n = len(known)
    before = np.bincount(shop.pairs_.indices, minlength=n)
    head = set(np.argsort(-before, kind="stable")[: round(0.2 * n)].tolist())
    share = before[list(head)].sum() / before.sum()
    fact = f"<dt>the head in interactions</dt><dd><strong>{percent(share)}</strong>"
    assert fact in page.source
    rows = {row[0]: row[1:] for row in page.tables["Share that the most frequent items have"]}
    sums = np.cumsum(np.sort(before)[::-1]) / before.sum()
    at = [sums[max(1, round(part * n)) - 1] for part in (0.01, 0.05, 0.1, 0.2, 0.5)]
    difference = np.abs(before[:, None] - before).mean() / 2 / before.mean()
    assert rows["interactions"] == [f"{difference:.2f}", *map(percent, at)]
    # Who has nothing new later is in the lists too, and people without a row get what is popular.
    assert lists["item"].isin(known).all()


def test_people_and_reasons(shop, page):
    """Lists, hits and reasons of a few people are what the recommender says of them."""
    names = dict(zip(PRODUCTS["itemid"], PRODUCTS["title"], strict=True))
    later = LATER.groupby("visitorid")["itemid"].agg(set)
    people = re.findall(r"<h3><bdi>(.*?)</bdi></h3>", page.source)
    assert len(people) == len(set(people)) == 5
    assert len(VISITORS[VISITORS["visitorid"].isin(people)])
    rows = [row for row in page.tables["The first 10 of the list"] if row[0] != "rank"]
    assert len(rows) == 50
    known = 0
    for place, person in enumerate(people):
        had = set(PAST["itemid"][PAST["visitorid"] == person])
        told = VISITORS[VISITORS["visitorid"] == person]
        items = shop.recommend(told if not had and len(told) else [person])["item"].tolist()
        for item, row in zip(items, rows[10 * place : 10 * place + 10], strict=True):
            name = names[item] if isinstance(names.get(item), str) else item
            is_hit = item in later[person]
            assert row[1].startswith(f"{'✓ did later, ' * is_hit}{name}|"), (row, name)
            if had:
                why = shop.explain(person, item)
                bias = sum(one.value for one in why.contributions if one.kind == "item bias")
                if f"in general {bias:+.3g}" in row[1]:
                    known += 1
                assert row[2].split("|")[0] in {names.get(one, one) for one in had}
    assert known > 5
    assert page.text.count("items before,") == 5


def test_the_nearest_of_what_somebody_had(shop):
    later = judged.judging.read(shop, LATER, None, None, True)
    of = judged.Judged(shop, later, None, True, 10, None, np.random.RandomState(0), 1)
    from lightfm_clone.reporting import people

    vectors = shop.item_table(features=False).filter(like="vector_").to_numpy()
    had, items = np.array([3, 5, 8], np.int32), np.array([1, 2], np.int32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    best = (unit[items] @ unit[had].T).argmax(axis=1)
    found = people._nearest(of, items, had)
    assert [cell.text for cell in found] == [str(one) for one in shop.item_ids_[had[best]]]


def test_principal_components():
    random = np.random.default_rng(0)
    vectors = random.normal(size=(50, 6)).astype(np.float32) * np.arange(1, 7, dtype=np.float32)
    points, shares = item_map._principal(vectors, np.arange(50))
    left, values, right = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(points), np.abs((left * values)[:, :2]), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(shares, (values**2 / (values**2).sum())[:2], rtol=1e-4)
    points, shares = item_map._principal(np.ones((4, 1), np.float32), np.arange(4))
    assert not points.any() and not shares.any()


def test_groups_of_a_map():
    groups = item_map._by_value(["b", "a", None, "b"])
    assert groups.exact.tolist() == groups.drawn.tolist() == [0, 1, -1, 0]
    assert (groups.names, groups.others) == (["b", "a"], "not known")
    many = item_map._by_value([*"aaabbbccdde", *"ffgghh", None])
    assert many.names == list("abcdfg") and many.others == "2 others, or not known"
    assert many.drawn[-1] == many.drawn[10] == -1 and many.exact[10] == 7
    numbers = item_map._by_range(np.array([1, 2, 3, 4, np.nan, 1000.5]))
    assert numbers.names == ["1 to 2", "3", "4", "1,000.5"]
    assert numbers.exact.tolist() == [0, 0, 1, 2, -1, 3]
    same = item_map._by_range(np.array([7.0, 7.0]))
    assert same.names == ["7"]
    dates = item_map._by_range(np.array(["2024-01-01", "2025-02-03", "NaT"], "M8[us]"))
    assert dates.names == ["2024-01-01", "2025-02-03"] and dates.exact.tolist() == [0, 1, -1]
    nothing = item_map._by_range(np.array([np.nan]))
    assert nothing.names == [] and nothing.drawn.tolist() == [-1]


def test_alike_by_hand():
    """Two clusters that are the groups: all nearest are of the same."""
    groups = np.repeat([0, 1], 12)
    directions = np.zeros((24, 2), np.float32)
    directions[np.arange(24), groups] = 1

    class of:
        class shop:
            class _serving:
                class items:
                    class as_directions:
                        vectors = directions

    near, chance = item_map._alike(of, np.arange(24), groups)
    assert near == 1 and chance == pytest.approx(11 / 23)
    assert item_map._alike(of, np.arange(24), np.where(np.arange(24) < 5, 0, -1)) is None


# ---- what there may be, or not -------------------------------------------------------------------

KINDS_OF_MODELS = {
    "warp": lambda: model(),
    "bpr": lambda: model(loss="bpr"),
    "logistic": lambda: model(loss="logistic"),
    "warp-kos": lambda: model(loss="warp-kos"),
    "softmax": lambda: model(loss="softmax"),
    "mse": lambda: model(loss="mse"),
    "neighbours beside": lambda: WithNeighbours(model(loss="softmax")),
    "Popularity": Popularity,
    "ItemNeighbours": ItemNeighbours,
    "MarkovChain": MarkovChain,
    "Random": lambda: Random(random_state=0),
    "one component": lambda: model(no_components=1),
}


@pytest.mark.filterwarnings("ignore::lightfm_clone.FitWarning")
@pytest.mark.parametrize(
    ("of", "with_tables"),
    [
        *((of, True) for of in KINDS_OF_MODELS),
        *((of, False) for of in ("warp", "neighbours beside", "ItemNeighbours")),
    ],
)
def test_models(of, with_tables, path):
    tables = {} if with_tables else {"users": None, "items": None, "columns": None}
    shop = fitted(PAST, KINDS_OF_MODELS[of](), **tables)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = made(shop, path, models={"popular": Popularity()}, n_people=3)
    is_baseline = of in ("Popularity", "ItemNeighbours", "MarkovChain", "Random")
    assert ("has no vectors of items" in page.text) == is_baseline
    assert ("is not trained in epochs" in page.text) == is_baseline
    assert ("order of its lists" in page.text) == (of == "mse")
    assert ("What became of the columns of items" in page.tables) == with_tables
    assert len(page.headings) == 10 + 3


@pytest.mark.parametrize(
    ("given", "seed"),
    [(7, "7"), (np.int64(7), "7"), (np.random.RandomState(7), "a generator"), (None, "None")],
)
def test_settings_are_those_of_the_training(given, seed, path):
    model = LightFM(8, loss="softmax", random_state=given)
    for shop, prefix in (
        (fitted(PAST, model), ""),
        (fitted(PAST, WithNeighbours(model)), "LightFM: "),
    ):
        told = made(shop, path, models={}, n_people=0).column("The model", 1)
        assert told[f"{prefix}random_state"] == seed
        assert told[f"{prefix}learning_schedule"] == "sgd"  # of the softmax by default
        assert told[f"{prefix}learning_rate"] == "0.1"


def test_a_recommender_from_a_file(shop, path):
    shop.save(path)
    page = made(Recommender.load(path), path, models={})
    assert "no longer has their report" in page.text
    assert "Nothing stands beside this recommender" in page.text
    assert "Differences to this recommender" not in page.tables


def test_without_times_kinds_and_weights(path):
    random = np.random.default_rng(0)
    log = {"u": random.integers(0, 30, 300).tolist(), "i": random.integers(0, 20, 300).tolist()}
    shop = small(log)
    later = pd.DataFrame({"u": [0, 1, 2, 99], "i": [3, 4, 5, 6]})
    page = made(shop, path, later, exclude=False, k=3)
    assert "Pairs by kind of event" not in page.tables
    assert page.tables["Metrics by model"][1][0] == "hit_rate@3"
    assert page.tables["The first 3 of the list"]
    told = {"user": "u", "item": "i", "min_watched": "0.1", "duplicates": "max"}
    assert page.column("The fit", 1) == told


def test_one_person_and_few_items(path):
    shop = small({"u": ["a", "b", "b"], "i": [1, 1, 2]}, model(loss="bpr"))
    page = made(shop, path, pd.DataFrame({"u": ["a"], "i": [2]}), k=5)
    assert "a single person says nothing about chance" in page.text
    assert "2 items make no map" in page.text
    nothing = page.tables["Differences to this recommender"][1][1]
    assert nothing.endswith("|– to –")


def test_people_none_or_many(shop, path):
    page = made(shop, path, n_people=0, models={})
    assert "Some people, and their lists" not in page.headings
    page = made(shop, path, n_people=50, k=25, models={})
    assert page.source.count("<article>") == 50
    assert len(page.source.encode()) < 2_000_000


def test_what_is_drawn_at_random_is_said(shop, path, monkeypatch):
    monkeypatch.setattr(judged, "PEOPLE", 20)
    monkeypatch.setattr(item_map, "_POINTS", 30)
    page = made(shop, path, models={})
    assert "those of 20 of" in page.text
    assert re.search(r"\d+ items, drawn from 60, are shown", " ".join(page.text.split()))


def test_default_models_leave_out_the_own(path):
    shop = fitted(PAST, ItemNeighbours())
    assert made(shop, path).tables["Metrics by model"][0] == ["metric", "recommender", "popular"]


def test_curves_with_a_validation(path):
    plain = fitted(PAST)
    held_out = plain.interactions_.tocoo()
    shop = fitted(
        PAST,
        validation={"interactions": held_out, "exclude": None, "metrics": ["auc"]},
    )
    rows = made(shop, path, models={}).tables["By epoch"]
    assert rows[0] == ["epoch", "loss", "auc"] and len(rows) == 4
    assert rows[3][2] == four(shop.model_.history_[-1]["auc"])


@pytest.mark.parametrize("colour_by", ["price", "tags", "categoryid", None])
def test_colours(shop, path, colour_by):
    page = made(shop, path, models={}, colour_by=colour_by, n_people=0)
    rows = page.tables["Where the groups lie"][1:]
    assert 2 <= len(rows) <= 7
    assert sum(int(row[1].replace(",", "")) for row in rows) == len(shop.item_ids_)


@pytest.mark.parametrize("n_values", [3, 40])
def test_a_column_of_whole_numbers(n_values, path):
    rows = pd.DataFrame(PRODUCTS)
    shop = fitted(PAST, items=rows.assign(year=1980 + np.arange(len(rows)) % n_values))
    page = made(shop, path, models={}, colour_by="year", label="year", n_people=0)
    names = list(page.column("Where the groups lie", 1))
    assert sorted(names) == ["1980", "1981", "1982"] if n_values == 3 else len(names) == 4


def test_equal_inputs_make_equal_bytes(shop, tmp_path):
    pages = [tmp_path / name for name in ("one.html", "two.html", "other.html")]
    before = dict(rcParams)
    for path, seed in zip(pages, (1, 1, 2), strict=True):
        report(shop, LATER, path, models={}, random_state=seed, num_threads=1)
    one, two, other = (path.read_bytes() for path in pages)
    assert one == two != other
    assert dict(rcParams) == before
    with rc_context({"text.usetex": True, "lines.linewidth": 9, "axes.facecolor": "red"}):
        report(shop, LATER, pages[1], models={}, random_state=1, num_threads=1)
    assert pages[1].read_bytes() == one


# ---- hostile texts -------------------------------------------------------------------------------

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</svg><script>alert(3)</script>",
    "</style><style>*{display:none}</style>",
    "</title><h1>mine</h1>",
    "{{7*7}}{% raw %}",
    "{{ ''.__class__ }}",
    "\u202eright to left\u2066",
    "\u200f\u05d0\u05d1\u05d2",
    "nul\x00 and bell\x07 and escape\x1b[31m",
    "\U0001f9d1\u200d\U0001f680 \U0001f600",
    "x" * 10_000,
    "$\\frac{1}{0}$ $",
    "&lt;b&gt; &amp; <b>",
    "javascript:alert(4)",
    " \n\t ",
    "'; drop table users; --",
    "z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324\u031e\u0349\u035a\u032f",
    "]]><!--",
]


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory) -> Path:
    """A page whose ids, titles, kinds, columns, model and heading are all of that kind."""
    random = np.random.default_rng(0)
    people, items = [f"{text}u" for text in HOSTILE], [f"{text}i" for text in HOSTILE]
    n = 600
    title, kind = "</th><script>alert(5)</script>", "kind<script>alert(6)</script>"
    log = pd.DataFrame(
        {
            "u": random.choice(people, n),
            "i": random.choice(items, n),
            "when": np.arange(n) * 3600.0 + 1.7e9,
            "what": [kind, "</p>"] * (n // 2),
        }
    )
    table = pd.DataFrame({"i": items, title: HOSTILE, "g": (HOSTILE * 2)[3 : 3 + len(HOSTILE)]})
    shop = Recommender(WithNeighbours(model(loss="softmax", no_components=4)))
    shop.fit(
        log[:150],
        user="u",
        item="i",
        timestamp="when",
        event="what",
        event_weights={kind: 1, "</p>": 2},
        items=table,
        columns={title: "category", "g": "category"},
        epochs=2,
        num_threads=1,
        verbose=False,
    )
    path = tmp_path_factory.mktemp("hostile") / "page.html"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report(
            shop,
            log[150:],
            path,
            models={text: Popularity() for text in HOSTILE if len(text) < 99},
            label=title,
            colour_by="g",
            n_people=10,
            k=12,
            title=HOSTILE[0] + HOSTILE[4] + "half of a pair \ud83d",
            num_threads=1,
        )
    return path


def test_hostile_texts_are_texts(hostile_page):
    source = hostile_page.read_text(encoding="utf-8")
    page = Page(source)
    allowed = set(
        "html head meta title style body a header h1 h2 h3 p nav ul ol li main section div dl dt "
        "dd strong table caption thead tbody tr th td small span figure figcaption svg g defs path "
        "clippath rect use text tspan details summary bdi article footer".split()
    )
    assert {tag for tag, _ in page.elements} <= allowed
    assert sum(tag == "h1" for tag, _ in page.elements) == 1
    assert sum(tag == "style" for tag, _ in page.elements) == 1
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
        assert "src" not in attributes
    assert "<script>alert(1)</script>" in page.text  # as a text
    assert "{{7*7}}" in page.text and "49" not in page.tables["Metrics by model"][0]
    assert "</svg><script>alert(3)</script>" in page.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f]", source)
    assert "half of a pair \ufffd" in page.text and "x" * 81 not in source
    assert len(source.encode()) < 2_000_000


def test_shown():
    assert shown(" a\n b ") == "a b"
    assert shown("x" * 81) == "x" * 79 + "…" and shown("x" * 80) == "x" * 80
    assert shown("a\u202eb\u2069\u200f") == "a\ufffdb\ufffd\u200f"
    assert shown("a\x00b\ud800c\x85d") == "a\ufffdb\ufffdc d"
    assert shown(" \t") == "(blank)" and shown(7) == "7" and shown(None) == "None"
    assert (
        four(float("nan")) == "–" and four(-0.5, "+") == "−0.5000" and four(0.5, "+") == "+0.5000"
    )


# ---- what is refused -----------------------------------------------------------------------------


def test_refused(shop, path):
    path.write_text("old")
    for error, words, options in (
        (
            ValueError,
            "label must name a column of the items, got 'name'; there are",
            {"label": "name"},
        ),
        (ValueError, "colour_by must name a column of the items, got 7", {"colour_by": 7}),
        (ValueError, "n_people must be a whole number from 0 to 50, got 51", {"n_people": 51}),
        (ValueError, "n_people must be a whole number", {"n_people": 1.5}),
        (ValueError, "random_state must be", {"random_state": "now"}),
        (ValueError, "k must be an integer", {"k": 0}),
        (ValueError, "num_threads", {"num_threads": 0}),
        (TypeError, "title must be a text, got 7", {"title": 7}),
        (TypeError, "models must be a dict from names to models", {"models": [Popularity()]}),
        (TypeError, "model must be a LightFM", {"models": {"a": Popularity}}),
        (
            ValueError,
            "cannot have the name 'recommender'",
            {"models": {"recommender": Popularity()}},
        ),
        (
            ValueError,
            "models must have names that differ within 40 characters",
            {"models": {"x" * 99: Popularity(), "x" * 98: Popularity()}},
        ),
        (TypeError, "unexpected keyword argument 'color_by'", {"color_by": "brand"}),
        (ValueError, "relevant", {"relevant": "sold"}),
    ):
        with pytest.raises(error, match=re.escape(words)):
            report(shop, LATER, path, **options)
    with pytest.raises(ValueError, match="nothing is left"):
        report(shop, LATER[:0], path)
    with pytest.raises(TypeError, match="path must be a string"):
        report(shop, LATER, 7)
    with pytest.raises(TypeError, match="recommender must be a Recommender, got LightFM"):
        report(LightFM(), LATER, path)
    with pytest.raises(ValueError, match="not fitted yet"):
        report(Recommender(), LATER, path)
    plain = fitted(PAST, items=None, users=None, columns=None)
    with pytest.raises(ValueError, match="label names a column of items, and this recommender was"):
        report(plain, LATER, path, label="title")
    assert path.read_text() == "old" and os.listdir(path.parent) == [path.name]


def test_a_full_disk_leaves_the_old_page(shop, path, monkeypatch):
    path.write_text("old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        report(shop, LATER, path, models={}, n_people=0)
    assert path.read_text() == "old" and os.listdir(path.parent) == [path.name]


def test_without_the_extra(shop, path, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"jinja2 and matplotlib.*lightfm-clone\[report\]"):
        report(shop, LATER, path)
    assert not path.exists()


# ---- in a browser --------------------------------------------------------------------------------

# Contrast of texts with what is behind them, by WCAG 2: (ratio, text) of those below 4.5.
PALE = """() => {
  const channels = colour => {
    const parts = colour.match(/[\\d.]+/g).map(Number);
    return colour.startsWith('color(') ? parts.map((p, i) => i < 3 ? p * 255 : p) : parts;
  };
  const light = colour => channels(colour).slice(0, 3).map(c => c / 255)
    .map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const own = getComputedStyle(e).backgroundColor, parts = channels(own);
      if (parts.length < 4 || parts[3] > 0) return own;
    }
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const texts = [...element.childNodes].filter(n => n.nodeType === 3 && n.data.trim());
    if (!texts.length || element.closest('style')) continue;
    const style = getComputedStyle(element);
    const colour = element.namespaceURI.endsWith('svg') ? style.fill : style.color;
    const [a, b] = [light(colour), light(behind(element))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) found.push([ratio, colour, element.tagName, texts[0].data.slice(0, 40)]);
  }
  return found;
}"""
# Colours of marks and lines of pictures: those below 3 against the page.
FAINT = PALE.replace("4.5", "3").replace(
    "const texts = [...element.childNodes].filter(n => n.nodeType === 3 && n.data.trim());",
    "const texts = element.matches('figure > svg path[style*=series], figure > svg use')"
    " ? [{data: element.outerHTML}] : [];",
).replace(
    "element.namespaceURI.endsWith('svg') ? style.fill : style.color",
    "style.stroke === 'none' ? style.fill : style.stroke",
)  # fmt: skip


@pytest.fixture(scope="module")
def written(page, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("written") / "page.html"
    path.write_text(page.source, encoding="utf-8")
    return path


def test_in_a_browser(written):
    """Both schemes and widths, all that is folded unfolded; then on paper."""
    with visits() as visit:
        page = visit.page
        page.goto(written.as_uri())
        for unfold in (False, True):
            if unfold:
                page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            for size in (DESK, PHONE):
                page.set_viewport_size(size)
                assert not visit.overflows(), size
        papers = set()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(PALE) == []
            assert page.evaluate(FAINT) == []
            papers.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert papers == {"rgb(255, 255, 255)", "rgb(21, 24, 28)"}
        page.emulate_media(color_scheme="dark", media="print")
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == "rgb(255, 255, 255)"
        page.set_viewport_size({"width": 673, "height": 1000})  # of A4, within its margins
        assert not visit.overflows()
        page.emulate_media(media="screen")
        assert page.pdf(format="A4").startswith(b"%PDF")
        assert not visit.problems


def test_accessible(written):
    with visits(size=PHONE) as visit:
        page = visit.page
        page.goto(written.as_uri())
        assert page.evaluate("document.documentElement.lang") == "en" and page.title() == "A shop"
        levels = page.evaluate(
            "[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => +h.tagName[1])"
        )
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
        for landmark in ("banner", "navigation", "main", "contentinfo"):
            assert page.get_by_role(landmark).count() == 1
        pictures = page.locator("figure > svg")
        assert pictures.count() == 5
        for place in range(pictures.count()):
            picture = pictures.nth(place)
            assert picture.get_attribute("role") == "img"
            assert len(picture.get_attribute("aria-label")) > 20
        # Behind each picture there is a table.
        assert page.locator("figure table").count() == 5
        lacking = "th:not([scope]), table:not(:has(caption)), a:not([href])"
        assert page.locator(lacking).count() == 0
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        assert len(ids) == len(set(ids))
        for target in page.evaluate("[...document.querySelectorAll('nav a')].map(a => a.hash)"):
            assert page.locator(f"section{target}").count() == 1
        # By keyboard: first the link to the content, which then has the focus.
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        box = page.evaluate("document.activeElement.getBoundingClientRect().toJSON()")
        assert box["left"] >= 0 and box["top"] >= 0
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        assert not visit.problems


def test_hostile_texts_run_nothing(hostile_page):
    with visits(size=PHONE) as visit:
        alerts = []
        visit.page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
        visit.page.goto(hostile_page.as_uri())
        visit.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert not visit.overflows()
        visit.page.set_viewport_size(DESK)
        assert not visit.overflows()
        assert visit.page.locator("script, img, iframe, object").count() == 0
        assert visit.page.locator("h1").inner_text().startswith("<script>alert(1)</script>")
        assert visit.page.locator("main").is_visible()
        assert not alerts and not visit.problems


def test_what_a_metric_is_called_is_what_is_evaluated():
    """All names that the page asks for are metrics."""
    for name in METRICS:
        assert evaluation.metrics.metric(name)
