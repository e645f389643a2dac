"""The command line: from the tables of a shop to lists, by commands alone."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from cli import KINDS, NAMES, RULES, SHOP, SMALL, runner, trained
from helpers import ARRAYS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightfm_clone import Recommender, WithNeighbours
from lightfm_clone.cli import main as cli
from lightfm_clone.cli.settings import in_flags
from lightfm_clone.data import between

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def run(capfd):
    return runner(capfd)


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    """A folder with the tables of a shop."""
    folder = tmp_path_factory.mktemp("shop")
    SHOP.write(folder)
    return folder


@pytest.fixture
def model(shop, run) -> Path:
    path = shop / "shop.rec"
    return path if path.exists() else trained(run, shop)


@pytest.fixture
def person(model) -> str:
    return str(Recommender.load(model).user_ids_[0])


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def values(table, name: str) -> list[object]:
    """A column of a table of pandas or pyarrow, whichever is there."""
    column = table[name]
    return column.to_pylist() if hasattr(column, "to_pylist") else column.tolist()


# ---- before training -----------------------------------------------------------------------------


def test_inspect_says_what_a_fit_would(run, shop):
    events = [shop / "events.csv", *NAMES, *KINDS]
    done = run("inspect", *events, "--items", shop / "products.csv", *RULES)
    assert done.code == 0 and done.err == ""
    assert "told again" in done.out
    assert "texts split at '|'" in done.out and "report_" not in done.out
    document = run("inspect", *events, "--json").json
    rows = len(SHOP.events["itemid"])
    assert (
        document["n_rows"]
        == rows
        == document["n_events"] + sum(one["how_many"] for one in document["removed"])
    )
    assert set(document["kinds"]) == {"view", "addtocart", "transaction"}
    assert sorted(path.name for path in shop.iterdir() if path.suffix == ".toml") in (
        [],
        ["shop.rec.toml"],
    )


def test_what_is_proposed_can_be_typed(run, shop, tmp_path):
    """Remedies name flags, not Python, and what they name is taken."""
    items = tmp_path / "items.csv"
    rows = [f"{n},{n % 2}a|b{n % 3},name {n}" for n in range(60)]
    items.write_text("\n".join(["itemid,the tags,name", *rows]), encoding="utf-8")
    events = [shop / "events.csv", *NAMES, *KINDS, "--items", items]
    done = run("inspect", *events)
    assert "columns=" not in done.out and "--duplicates says" in done.out
    proposed = re.findall(r"--column (?!NAME)('.*?'|[^\s;]+)", done.out)
    assert proposed == ["'the tags=split:|'", "name=none"]
    flags = [f"--column={word}" for text in proposed for word in shlex.split(text)]
    assert "texts split at '|'" in run("inspect", *events, *flags).out


@pytest.mark.parametrize(
    ("said", "flags"),
    [
        ("leave it out: columns={'a': None}", "leave it out: --column a=none"),
        ("columns={\"it's\": split(';')}", "--column 'it'\"'\"'s=split:;'"),
        ("columns={'p': bins(10)}, which", "--column p=bins:10, which"),
        ("columns={'c d': 'category'}", "--column 'c d=category'"),
        ("duplicates= says", "--duplicates says"),
        ("nothing to do", "nothing to do"),
    ],
)
def test_python_in_flags(said, flags):
    assert in_flags(said) == flags


def test_ids_that_nobody_named(run, shop):
    done = run("inspect", shop / "events.csv")
    assert done.code == 2
    assert "has visitorid, itemid, event, timestamp; add --user visitorid --item itemid" in done.err


# ---- training ------------------------------------------------------------------------------------


def test_a_run_from_its_settings_is_the_same_run(run, shop, model, tmp_path):
    """To the bit, from another folder, with everything that was in effect."""
    again = tmp_path / "again.rec"
    done = run("train", "--config", f"{model}.toml", "-o", again, "--json")
    assert done.code == 0 and done.json["model"] == str(again)
    first, second = Recommender.load(model), Recommender.load(again)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(first.model_, name), getattr(second.model_, name))
    assert first.model_.get_params().keys() == second.model_.get_params().keys()
    lists = [one.recommend(k=5, num_threads=1) for one in (first, second)]
    assert lists[0].equals(lists[1])
    third = run("train", "--config", f"{again}.toml", "-o", tmp_path / "third.rec")
    assert third.code == 0
    texts = [Path(f"{tmp_path / name}.toml").read_text() for name in ("again.rec", "third.rec")]
    assert texts[0].replace("again", "third") == texts[1]


@pytest.mark.parametrize(
    "flags",
    [
        ["--loss", "softmax", "--neighbours", "--n-neighbours", "7"],
        ["--early-stopping", "--patience", "2", "--epochs", "9"],
        ["--loss", "bpr", "--half-life", "20d", "--duplicates", "sum", "--split", "random"],
        ["--loss", "mse", "--weight", "timestamp", "--learning-schedule", "adadelta"],
    ],
    ids=str,
)
def test_every_kind_of_settings_is_repeated(run, shop, tmp_path, flags):
    events = [shop / "events.csv", *NAMES, "--items", shop / "products.csv"]
    first, second = tmp_path / "first.rec", tmp_path / "second.rec"
    done = run("train", *events, *SMALL, *flags, "--seed", "3", "--test-share", "0.1", "-o", first)
    assert done.code == 0, done.err
    assert run("train", "--config", f"{first}.toml", "-o", second).code == 0
    models = [Recommender.load(path).model_ for path in (first, second)]
    if "--neighbours" in flags:
        assert all(isinstance(one, WithNeighbours) for one in models)
        assert models[0].neighbours.n_neighbours == 7
        models = [one.model for one in models]
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(models[0], name), getattr(models[1], name))


def test_flags_win(run, model, tmp_path):
    output = tmp_path / "other.rec"
    config = ["--config", f"{model}.toml", "-o", output]
    done = run(
        *("train", *config, "--loss", "bpr", "--epochs", "1", "--column", "brand=none"),
        *("--event-weight", "view=2", "--test-share", "0"),
    )
    assert done.code == 0
    text = Path(f"{output}.toml").read_text()
    for line in ('loss = "bpr"', "epochs = 1", 'brand = "none"', "view = 2.0", "share = 0.0"):
        assert line in text.splitlines()
    assert "addtocart = 4.0" in text and 'tags = "split:|"' in text
    shop = Recommender.load(output)
    assert shop.pairs_.n_events > Recommender.load(model).pairs_.n_events
    assert len(shop.model_.history_) == 1 and "brand" not in str(shop.item_encoder_.feature_names_)


def test_early_stopping_goes_back_to_the_best_epoch(run, shop, tmp_path):
    output = tmp_path / "early.rec"
    done = run(
        *("train", shop / "events.csv", *NAMES, "--no-components", "8", "--epochs", "40"),
        *("--early-stopping", "--patience", "2", "-o", output, "--json"),
    )
    values = [record["ndcg@10"] for record in done.json["history"]]
    assert len(values) == int(np.argmax(values)) + 3 < 40
    assert f"epoch {len(values)}/40" in done.err and "ndcg@10" in done.err


def test_training_tells_of_each_epoch(run, model, tmp_path):
    config = ["--config", f"{model}.toml", "-o", tmp_path / "x.rec"]
    done = run("train", *config)
    assert [line.split("  ")[0] for line in done.err.splitlines() if "/3" in line] == [
        "epoch 1/3",
        "epoch 2/3",
        "epoch 3/3",
    ]
    assert run("train", *config, "--quiet").err == ""


def test_the_test_part_is_the_latest_and_trains_nobody(run, model):
    shop = Recommender.load(model)
    times = np.sort(SHOP.events["timestamp"]) / 1000
    assert shop.pairs_.times.max() < times[int(0.8 * len(times)) + 1]
    document = run("evaluate", model, "--json").json
    assert document["users"] > 50 and set(document["groups"]) >= {"few", "many"}
    metric = document["metrics"]["ndcg@10"]
    assert 0 < metric["low"] < metric["mean"] < metric["high"]


def test_a_random_split_parts_pairs(run, shop, tmp_path):
    output = tmp_path / "random.rec"
    flags = ["--split", "random", "--test-share", "0.3", *SMALL, "-o", output]
    assert run("train", shop / "events.csv", *NAMES, *KINDS, *flags).code == 0
    document = run("evaluate", output, "--json").json
    assert document["left_out"]["pairs that people had already"] == 0
    n_pairs = {
        (user, item)
        for user, item in zip(SHOP.events["visitorid"], SHOP.events["itemid"], strict=True)
        if user is not None and item is not None
    }
    share = len(Recommender.load(output).pairs_.indices) / len(n_pairs)
    assert 0.66 < share < 0.74


# ---- judging -------------------------------------------------------------------------------------


def test_evaluate_on_a_file(run, model, shop, tmp_path):
    later = tmp_path / "later.csv"
    lines = (shop / "events.csv").read_text().splitlines()
    head, rows = lines[0], sorted(lines[1:], key=lambda line: line.split(",")[3])
    later.write_text("\n".join([head, *rows[-500:]]))
    done = run("evaluate", model, later, "--relevant", "transaction", "--metric", "auc", "--json")
    expected = Recommender.load(model).evaluate(later, relevant="transaction", metrics=["auc"])
    assert done.json["metrics"]["auc"]["mean"] == expected["auc"]
    assert done.json["left_out"] == dict(expected.left_out)
    assert run("evaluate", model, later, "--relevant", "transaction").out.startswith("      ")


def test_compare(run, model):
    done = run(
        *("compare", model, "--against", "popular", "--against", "bpr", "--against", "random"),
        *("--against", "softmax+neighbours", "--metric", "ndcg@10", "--epochs", "2", "--json"),
    )
    models = done.json["models"]
    assert list(models) == ["recommender", "popular", "bpr", "random", "softmax+neighbours"]
    assert (
        models["popular"]["differences"]["ndcg@10"]["low"]
        <= models["popular"]["differences"]["ndcg@10"]["high"]
    )
    assert models["random"]["metrics"]["ndcg@10"] < models["popular"]["metrics"]["ndcg@10"]
    assert "coverage@10" in models["recommender"]["measures"]
    text = run("compare", model, "--metric", "ndcg@10").out
    assert "popular" in text and "neighbours" in text and "95 % from" in text


def test_the_report_is_made_of_the_same_events(run, model, tmp_path):
    reporting = pytest.importorskip("lightfm_clone.reporting")
    assert reporting
    path = tmp_path / "report.html"
    done = run("evaluate", model, "--report", path, "--label", "title", "--json")
    assert done.code == 0 and done.json["report"] == str(path)
    assert path.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html>")


# ---- lists ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl", "ndjson", "stdout", "json"])
def test_lists_of_everybody_in_each_format(run, model, form, tmp_path, monkeypatch):
    """Made in blocks, and the same as `Recommender.recommend` makes."""
    from lightfm_clone.recommender import serving

    monkeypatch.setattr(serving, "_BLOCK", 50)
    expected = Recommender.load(model).recommend(k=4, num_threads=1)
    arguments = ["recommend", model, "-k", "4", "--threads", "1"]
    if form == "stdout":
        rows = rows_of(run(*arguments).out)
    elif form == "json":
        rows = run(*arguments, "--json").json
    else:
        path = tmp_path / f"lists.{form}"
        done = run(*arguments, "--output", path)
        assert done.code == 0 and f"{len(expected):,} rows in {path}" in done.out
        text = "" if form == "parquet" else path.read_text(encoding="utf-8")
        if form == "csv":
            rows = rows_of(text)
        elif form == "parquet":
            rows = pq.read_table(path).to_pylist()
        else:
            rows = [json.loads(line) for line in text.splitlines()]
    assert len(rows) == len(expected)
    for name in ("user", "item", "source"):
        assert [row[name] for row in rows] == values(expected, name)
    assert [int(row["rank"]) for row in rows] == values(expected, "rank")
    np.testing.assert_allclose(
        [float(row["score"]) for row in rows], values(expected, "score"), rtol=1e-6
    )


def test_rules_and_dials(run, model, person):
    shop = Recommender.load(model)
    flags = {
        ("--where", "price=5..40"): {"where": {"price": between(5, 40)}},
        ("--where", "price=..40"): {"where": {"price": between(None, 40)}},
        ("--where", "brand=Hollis", "--where", "brand=Rowan"): {
            "where": {"brand": ["Hollis", "Rowan"]}
        },
        ("--at-most", "categoryid=1"): {"at_most": {"categoryid": 1}},
        ("--exclude", "transaction"): {"exclude": "transaction"},
        ("--exclude", "none"): {"exclude": False},
        ("--popularity", "-0.5", "--diversity", "0.3"): {"popularity": -0.5, "diversity": 0.3},
        ("--deny", str(shop.item_ids_[0])): {"deny": [shop.item_ids_[0]]},
    }
    for words, rules in flags.items():
        done = run("recommend", model, "--user", person, *words, "--format", "csv")
        expected = shop.recommend([person], **rules)
        assert done.code == 0, done.err
        assert [row["item"] for row in rows_of(done.out)] == values(expected, "item"), words


def test_for_whom(run, model, shop, person, tmp_path):
    recommender = Recommender.load(model)
    people = tmp_path / "people.csv"
    people.write_text("visitorid,country,age\nnew-1,DE,30\n" + f"{person},FR,60\nnew-2,,\n")
    rows = rows_of(run("recommend", model, "--users", people, "-k", "2").out)
    assert [row["source"] for row in rows][::2] == ["features", "known", "popular"]
    items = [str(one) for one in recommender.item_ids_[:2]]
    rows = rows_of(run("recommend", model, "--history", items[0], "--history", items[1]).out)
    assert {row["source"] for row in rows} == {"history"}
    assert not {row["item"] for row in rows} & set(items)
    done = run("recommend", model, "--user", person.lstrip("0") or "0", "-k", "1")
    if person.startswith("0"):
        assert f"did you mean {person!r}" in done.err and "popular" in done.out
    assert run("recommend", model, "--user", person, "--users", people).code == 2


def test_columns_of_items_beside_lists(run, model, person):
    shop = Recommender.load(model)
    titles = dict(zip(SHOP.products["itemid"], SHOP.products["title"], strict=True))
    flags = ["--with", "title", "--with", "tags", "--with", "price"]
    rows = run("recommend", model, "--user", person, *flags, "--json").json
    assert rows and all(row["title"] == titles[row["item"]] for row in rows)
    assert any("|" in row["tags"] for row in rows)
    table = run("recommend", model, "--user", person, *flags, "--format", "table").out
    assert rows[0]["title"] in table and table.splitlines()[0].split()[:3] == [
        *("user", "rank", "item")
    ]
    item = str(shop.item_ids_[0])
    near = run("similar", model, item, "-k", "3", "--with", "title", "--json").json
    expected = shop.similar_items([item], k=3)
    assert [row["similar"] for row in near] == values(expected, "similar")
    assert all(row["title"] == titles[row["similar"]] for row in near)


def test_explain(run, model, person):
    shop = Recommender.load(model)
    item = values(shop.recommend([person], k=1), "item")[0]
    document = run("explain", model, person, item, "--json").json
    assert document["score"] == pytest.approx(sum(one["value"] for one in document["terms"]))
    assert document["score"] == pytest.approx(shop.explain(person, item).score)
    assert run("explain", model, person, item).out.rstrip().endswith("= score")


def test_update(run, model, tmp_path):
    later = tmp_path / "later.csv"
    later.write_text("visitorid,itemid,event,timestamp\nnew,itemx,view,1738000000000\n")
    output = tmp_path / "updated.rec"
    before = model.read_bytes()
    assert run("update", model, later, "-o", output).code == 0
    assert model.read_bytes() == before
    shop = Recommender.load(output)
    assert "new" in shop.dataset_.mapping()[0] and "itemx" in shop.dataset_.mapping()[2]
    done = run("update", output, later)
    assert done.code == 0 and Recommender.load(output).pairs_.n_events == shop.pairs_.n_events + 1


def test_an_updated_model_is_judged_by_later_events_alone(run, model, tmp_path):
    """It may have seen the part that training kept apart."""
    later = tmp_path / "later.csv"
    later.write_text("visitorid,itemid,event,timestamp\nnew,itemx,view,1738000000000\n")
    output = tmp_path / "updated.rec"
    run("update", model, later, "-o", output)
    for command in ("evaluate", "compare"):
        done = run(command, output)
        assert done.code == 2 and f"has taken in {later}" in done.err
    assert run("evaluate", model).code == 0  # which is as it was
    again = run("train", "--config", f"{output}.toml", "-o", tmp_path / "again.rec")
    assert again.code == 0 and run("evaluate", tmp_path / "again.rec").code == 0


@pytest.mark.parametrize("side", ["users", "items"])
def test_export(run, model, side, tmp_path):
    shop = Recommender.load(model)
    expected = (shop.user_table if side == "users" else shop.item_table)(features=False)
    path = tmp_path / "vectors.parquet"
    assert run("export", model, side, "--no-features", "-o", path).code == 0
    found = pq.read_table(path)
    assert found.column_names == list(getattr(expected, "column_names", expected.columns))
    for name in ("vector_3", side[:-1]):
        assert values(found, name) == values(expected, name)
    assert len(run("export", model, side, "--format", "csv").out.splitlines()) == len(found) + 1


# ---- other tables --------------------------------------------------------------------------------


def test_parquet_whose_ids_and_kinds_are_numbers(run, tmp_path):
    rng = np.random.default_rng(0)
    events = pa.table(
        {
            "who": rng.integers(100, 140, 800),
            "what": rng.integers(7, 37, 800),
            "kind": rng.integers(1, 4, 800),
            "at": pa.array(np.datetime64("2025-01-01", "s") + np.arange(800)),
        }
    )
    pq.write_table(events, tmp_path / "events.parquet")
    model = tmp_path / "m.rec"
    flags = ["--user", "who", "--item", "what", "--timestamp", "at", "--event", "kind"]
    weights = ["--event-weight", "1=1", "--event-weight", "3=5", "--test-share", "0.2"]
    done = run("train", tmp_path / "events.parquet", *flags, *weights, *SMALL, "-o", model)
    assert done.code == 0, done.err
    assert run("train", "--config", f"{model}.toml", "-o", tmp_path / "again.rec").code == 0
    assert Recommender.load(model)._kinds == [1, 3]
    rows = run("recommend", model, "--user", "101", "--exclude", "3", "-k", "2", "--json").json
    assert [row["user"] for row in rows] == [101, 101] and rows[0]["source"] == "known"
    assert run("evaluate", model, "--relevant", "3", "--json").code == 0
    assert run("similar", model, "9", "--json").json[0]["item"] == 9
    assert run("explain", model, "101", "9").code == 0


def test_tabs(run, shop, tmp_path):
    tabs = (shop / "events.csv").read_text().replace(",", "\t")
    (tmp_path / "events.tsv").write_text(tabs)
    assert run("inspect", tmp_path / "events.tsv", *NAMES, *KINDS).code == 0


def test_what_was_watched(run, tmp_path):
    path = tmp_path / "views.csv"
    lines = [f"u{n % 9},i{n % 7},{n % 60},60" for n in range(200)]
    path.write_text("\n".join(["u,i,seconds,length", *lines]))
    flags = ["--user", "u", "--item", "i", "--watched", "seconds,length", "--min-watched", "0.5"]
    done = run("inspect", path, *flags, "--json")
    watched = sum(n % 60 >= 30 for n in range(200))
    assert done.json["n_rows"] == 200
    assert done.json["n_rows"] - done.json["removed"][0]["how_many"] == watched
    output = tmp_path / "w.rec"
    assert run("train", path, *flags, *SMALL, "-o", output).code == 0
    assert 'watched = "seconds,length"' in Path(f"{output}.toml").read_text()


@pytest.fixture
def films(tmp_path) -> Path:
    """A folder in the layout of MovieLens 1M."""
    folder = tmp_path / "ml-1m"
    folder.mkdir()
    rng = np.random.default_rng(0)
    ratings = [
        f"{user}::{item}::{rng.integers(1, 6)}::{978300000 + n}"
        for n, (user, item) in enumerate(rng.integers(1, 41, (900, 2)).tolist())
    ]
    (folder / "ratings.dat").write_text("\n".join(ratings) + "\n")
    movies = [
        f"{n}::Film, The {n} (1999)::{'Drama' if n % 2 else 'Comedy|War'}" for n in range(1, 41)
    ]
    (folder / "movies.dat").write_text("\n".join(movies) + "\n")
    return folder


def test_a_movielens_layout(run, films, tmp_path):
    """Its columns and genres without a word; titles for people, and no features."""
    model = tmp_path / "films.rec"
    done = run("train", films, *SMALL, "--test-share", "0.2", "-o", model)
    assert done.code == 0, done.err
    shop = Recommender.load(model)
    names = shop.item_encoder_.feature_names_
    assert sorted(names) == ["genres:Comedy", "genres:Drama", "genres:War"]
    rows = run(
        *("recommend", model, "--user", "7", "--where", "genres=War", "--with", "title", "--json")
    ).json
    assert rows and all(int(row["item"]) % 2 == 0 for row in rows)
    assert rows[0]["title"] == f"Film, The {rows[0]['item']} (1999)"
    assert run("evaluate", model).code == 0
    assert run("train", "--config", f"{model}.toml", "-o", tmp_path / "again.rec").code == 0
    again = Recommender.load(tmp_path / "again.rec")
    np.testing.assert_array_equal(shop.model_.item_embeddings, again.model_.item_embeddings)
    ratings = run("train", films, "--loss", "mse", "--weight", "rating", *SMALL, "-o", model)
    assert ratings.code == 0 and 2 < Recommender.load(model).model_.global_mean_ < 4


@pytest.mark.slow
def test_movielens_100k_from_the_zip(run, data_dir, tmp_path):
    model = tmp_path / "films.rec"
    flags = ["--loss", "softmax", "--test-share", "0.1", "--epochs", "5", "-o", model]
    assert run("train", data_dir / "movielens.zip", *flags).code == 0
    done = run("compare", model, "--metric", "ndcg@10", "--against", "popular", "--json")
    models = done.json["models"]
    assert models["recommender"]["metrics"]["ndcg@10"] > models["popular"]["metrics"]["ndcg@10"]
    rows = run("recommend", model, "--user", "1", "--with", "title", "--json").json
    assert "(19" in rows[0]["title"]


# ---- demo, info, help ----------------------------------------------------------------------------


def test_demo(run, tmp_path):
    folder = tmp_path / "new shop"
    done = run("demo", folder)
    assert done.code == 0, done.err
    assert {path.name for path in folder.iterdir()} == {
        *("events.csv", "products.csv", "visitors.csv", "shop.rec", "shop.rec.toml")
    }
    commands = [line for line in done.out.splitlines() if line.startswith("$ lightfm-clone")]
    assert [shlex.split(line)[2] for line in commands] == [
        *("train", "compare", "recommend", "evaluate", "train", "recommend", "serve")
    ]
    for line in commands:
        _, _, name, *arguments = shlex.split(line, comments=True)
        cli.commands.commands[name].make_context(name, arguments)  # which parses them
    again = run("demo", folder)
    assert again.code == 1 and "events.csv is there already" in again.err


def test_info(run, model):
    document = run("info", "--json").json
    assert document["config"]["lightfm-clone"] == document["version"]
    assert document["extras"]["cli"]["click"]
    assert "extras" in run("info").out
    document = run("info", model, "--json").json
    assert document["users"] == Recommender.load(model).pairs_.shape[0]
    assert "price" in document["columns"] and len(document["history"]) == 3
    assert run("info", model).out.startswith("Recommender(LightFM(")


@pytest.mark.parametrize("name", [name for name in cli.commands.commands if name != "run"])
def test_examples_in_help(run, name):
    """They are there, and every flag in them exists."""
    done = run(name, "--help")
    assert done.code == 0 and "Examples:" in done.out
    text = done.out.split("Examples:\n")[1].replace("\n      ", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert lines
    for line in lines:
        program, command, *arguments = shlex.split(line.split(" | ")[0].split("TOKEN=secret ")[-1])
        assert (program, command) == ("lightfm-clone", name)
        cli.commands.commands[name].make_context(name, arguments)


def test_help_lists_all_commands(run):
    done = run("--help")
    assert done.code == 0 and all(name in done.out for name in cli.commands.commands)
    assert "..." not in done.out.split("Commands:")[1]  # nothing cut off
    assert run().code == 2
    assert run("--version").out.startswith("lightfm-clone, version")


# ---- mistakes ------------------------------------------------------------------------------------


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["recommnd"], 2, "did you mean recommend?"),
        (["train", "{events}", "--usr", "u"], 2, "--user"),
        (["train", "{events}", "--user", "visitorid", "--item", "itemid"], 2, "missing --output"),
        (["train", "-o", "x.rec"], 2, "missing EVENTS"),
        (["train", "{events}", *NAMES, "-o", "{folder}/no/x.rec"], 1, "the folder of"),
        (["train", "{events}", *NAMES, "-o", "{folder}"], 1, "is a folder"),
        (["inspect", "{events}", "--user", "vistorid", "--item", "itemid"], 1, "'visitorid'?"),
        (["inspect", "{folder}/no.csv", *NAMES], 1, "not there"),
        (["inspect", "{empty}", *NAMES], 1, "events cannot be read from"),
        (["inspect", "{binary}", *NAMES], 1, "events"),
        (["inspect", "{head}", *NAMES], 1, "at least one event that counts"),
        (["inspect", "{excel}", *NAMES], 1, "must name a file that ends in"),
        (["inspect", "{zip}"], 1, "is not a zip file"),
        (["inspect", "{events}", *NAMES, "--event-weight", "view"], 2, "must be KIND=NUMBER"),
        (["inspect", "{events}", *NAMES, "--event-weight", "view=x"], 2, "must be KIND=NUMBER"),
        (["inspect", "{events}", *NAMES, "--event", "event", "--event-weight", "view=-1"], 1, "0"),
        (["inspect", "{events}", *NAMES, "--column", "price"], 2, "must be COLUMN=RULE"),
        (["inspect", "{events}", *NAMES, "--column", "price=bin:5"], 1, "did you mean 'bins'?"),
        (["inspect", "{events}", *NAMES, "--column", "price=bins:x"], 1, "cannot have the rule"),
        (["inspect", "{events}", *NAMES, "--column", "price=yes"], 1, "cannot have the rule"),
        (["inspect", "{events}", *NAMES, "--column", "price=bins:5"], 1, "no column of"),
        (
            ["inspect", "{events}", *NAMES, "--items", "{products}", "--column", "prise=bins:5"],
            1,
            "did you mean 'price'?",
        ),
        (["inspect", "{events}", *NAMES, "--half-life", "soon"], 1, "half_life must be a time"),
        (["train", "{events}", *NAMES, "--loss", "wrap", "-o", "x"], 2, "'warp'"),
        (["train", "{events}", *NAMES, "--no-components", "0", "-o", "{out}"], 1, "no_components"),
        (["train", "{events}", *NAMES, "--test-share", "1", "-o", "{out}"], 2, "0<=x<1"),
        (["train", "{events}", *NAMES, "--config", "no.toml"], 1, "No such file"),
        (
            ["train", "{events}", *NAMES, "--early-stopping", "--stop-metric", "x", "-o", "{out}"],
            1,
            "metric",
        ),
        (["recommend", "{events}"], 1, "cannot load"),
        (["recommend", "{folder}/no.rec"], 1, "No such file or directory: "),
        (["recommend", "{model}", "--users", "{folder}/no.csv"], 1, "not there"),
        (["recommend", "{model}", "--users", "{events}"], 0, ""),
        (["recommend", "{model}", "--history", "nothing"], 1, "'nothing' is not known"),
        (["recommend", "{model}", "-o", "{folder}/lists.xls"], 1, "path must end in"),
        (["recommend", "{model}", "-o", "{out}.csv", "--format", "csv"], 2, "leave --format out"),
        (["recommend", "{model}", "--json", "--format", "csv"], 2, "give one"),
        (["recommend", "{model}", "-k", "0"], 2, "-k"),
        (["recommend", "{model}", "--where", "price"], 2, "must be COLUMN=VALUE"),
        (["recommend", "{model}", "--where", "price=cheap"], 2, "must hold a number"),
        (["recommend", "{model}", "--where", "prise=5"], 1, "did you mean 'price'?"),
        (["recommend", "{model}", "--with", "titel"], 1, "did you mean 'title'?"),
        (["recommend", "{model}", "--at-most", "brand=no"], 2, "whole number"),
        (["recommend", "{model}", "--at-most", "brnd=1"], 1, "did you mean 'brand'?"),
        (["recommend", "{model}", "--exclude", "transactions"], 1, "did you mean 'transaction'?"),
        (["recommend", "{model}", "--diversity", "2"], 1, "diversity must be"),
        (["explain", "{model}", "nobody", "nothing"], 1, "is not known"),
        (["compare", "{model}", "--against", "magic"], 2, "'magic' is none of popular"),
        (["evaluate", "{model}", "--metric", "ndgc@10"], 1, "ndcg"),
        (["evaluate", "{model}", "{head}"], 1, "nothing is left"),
        (["update", "{model}", "{folder}/no.csv"], 1, "not there"),
        (["update", "{model}", "{products}"], 1, "must have the column"),
        (["export", "{model}", "people"], 2, "'users'"),
        (["run", "{folder}/no.py"], 2, "no such file"),
    ],
    ids=str,
)
def test_mistakes(run, shop, model, tmp_path, words, code, message):
    """A line that says what is wrong, an exit code, no trace, and nothing written."""
    tmp_path = tmp_path / "here"
    tmp_path.mkdir()
    places = {
        "folder": tmp_path,
        "out": tmp_path / "x.rec",
        "events": shop / "events.csv",
        "products": shop / "products.csv",
        "model": model,
        "empty": written(tmp_path, "empty.csv", ""),
        "binary": written(tmp_path, "binary.csv", bytes(range(256)) * 40),
        "head": written(tmp_path, "head.csv", "visitorid,itemid,event,timestamp\n"),
        "excel": written(tmp_path, "events.xlsx", "PK"),
        "zip": written(tmp_path, "ml.zip", "PK no zip"),
    }
    before = {path.name for path in tmp_path.iterdir()}
    done = run(*(word.format(**places) for word in words))
    assert done.code == code, done
    assert message in done.err and "Traceback" not in done.err
    assert {path.name for path in tmp_path.iterdir()} == before


def test_debug_shows_where(run):
    for words in (["--debug", "info", "no.rec"], ["info", "no.rec", "--debug"]):
        done = run(*words)
        assert done.code == 1 and "Traceback" in done.err


def test_a_bug_is_called_one(run, monkeypatch):
    monkeypatch.setattr(Recommender, "load", lambda path: [][0])
    done = run("info", "x.rec")
    assert done.code == 70 and "bug in lightfm-clone" in done.err and "IndexError" in done.err


def test_on_which_events(run, shop, tmp_path):
    """Where nothing was kept apart, or nothing tells what."""
    model = trained(run, shop, "--test-share", "0", name="all.rec")
    done = run("evaluate", model)
    assert done.code == 2 and "was trained on all there were" in done.err
    bare = tmp_path / "bare.rec"
    bare.write_bytes(model.read_bytes())
    done = run("compare", bare)
    assert done.code == 2 and "bare.rec.toml" in done.err


HOSTILE = [
    "<script>alert(1)</script>",
    "\x1b[31mred\x1b[0m\x07",
    "[bold]no markup[/bold]",
    "=1+1",
    "a" * 5000,
    "\u202eright to left",
    "new\nline",
    "zero\x00byte",
    "{0} %s $HOME",
]


def test_hostile_texts(run, tmp_path):
    """They go through files as they are, and reach no terminal as commands."""
    items, events = tmp_path / "items.csv", tmp_path / "events.csv"
    with open(items, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["item", "title"])
        writer.writerows(zip(HOSTILE, HOSTILE, strict=True))
    with open(events, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["user", "item"])
        for n in range(200):
            writer.writerow([HOSTILE[n % 5], HOSTILE[(n * 7 + n // 9) % len(HOSTILE)]])
    model = tmp_path / "hostile.rec"
    flags = ["--user", "user", "--item", "item", "--items", items, "--column", "title=none"]
    assert run("train", events, *flags, *SMALL, "-o", model).code == 0
    arguments = ["recommend", model, "--exclude", "none", "-k", "9", "--with", "title"]
    rows = [json.loads(line) for line in run(*arguments, "--format", "jsonl").out.splitlines()]
    assert {row["title"] for row in rows} <= set(HOSTILE) and len(rows) > 30
    assert all(row["item"] == row["title"] for row in rows)
    shown = run(*arguments, "--user", HOSTILE[1], "--format", "table").out
    assert "\x1b" not in shown and "\x07" not in shown and "\x00" not in shown
    assert "[bold]no markup[/bold]" in shown
    unknown = run("recommend", model, "--user", "\x1b[31mred")
    assert "\x1b" not in unknown.err
    assert "\x1b" not in run("inspect", events, *flags).out
    header = written(tmp_path, "header.csv", "\x1b[31mwho,user id,it\x07em\na,b,c\n")
    said = run("inspect", header).err
    assert "it\ufffdem" in said and "--user 'user id'" in said
    assert "\x1b" not in said and "\x07" not in said


def test_a_column_of_items_with_a_name_that_lists_have(run, tmp_path):
    events = written(tmp_path, "e.csv", "user,item\n" + "a,x\nb,y\n" * 3)
    items = written(tmp_path, "i.csv", "item,score\nx,1\ny,2\n")
    model = tmp_path / "m.rec"
    flags = ["--user", "user", "--item", "item", "--items", items, *SMALL]
    assert run("train", events, *flags, "-o", model).code == 0
    done = run("recommend", model, "--with", "score", "-o", tmp_path / "lists.csv")
    assert done.code == 1 and "a column 'score' of their own" in done.err
    assert not (tmp_path / "lists.csv").exists()


def test_the_page_of_the_guide(run, tmp_path, monkeypatch):
    """Its commands, one after another, in an empty folder."""
    page = Path(__file__).resolve().parent.parent / "docs" / "guide" / "command-line.md"
    text = "".join(re.findall(r"```console\n(.*?)```", page.read_text("utf-8"), re.DOTALL))
    lines = text.replace("\\\n", " ").splitlines()
    commands = [shlex.split(line)[2:] for line in lines if line.startswith("$ lightfm-clone")]
    assert len(commands) == len(lines) - 1 and {command[0] for command in commands} >= {
        *("demo", "inspect", "train", "evaluate", "compare", "recommend", "similar", "explain"),
        *("export", "update", "info"),
    }
    monkeypatch.chdir(tmp_path)
    for command in commands:
        done = run(*command)
        assert done.code == 0, (command, done.err)
    assert (
        "all 36,355 pairs of these events were known already"
        in run("update", "all.rec", "shop/events.csv", "--epochs", "0").err
    )
    mistake = run("recommend", "all.rec", "--with", "titel").err
    assert mistake in page.read_text("utf-8")


FIELDS = st.one_of(
    st.sampled_from(["", "u1", "i1", "view", "1730419200000", "2024-13-45", "nan", "-1", '"', "'"]),
    st.text(max_size=6),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(FIELDS, min_size=1, max_size=5), max_size=8), st.binary(max_size=60))
def test_any_file_is_read_or_refused(run, tmp_path, rows, tail):
    """Never a bug, whatever is in it."""
    text = "\n".join(",".join(row) for row in [["user", "item", "event", "at"], *rows])
    path = written(tmp_path, "any.csv", text.encode("utf-8", "replace") + tail)
    flags = ["--user", "user", "--item", "item", "--timestamp", "at", "--event", "event"]
    done = run("inspect", path, *flags)
    assert done.code in (0, 1) and "Traceback" not in done.err, done.err
    assert done.code or "events of" in done.out
    done = run("train", path, *flags, *SMALL, "--test-share", "0.5", "-o", tmp_path / "x.rec")
    assert done.code in (0, 1), done.err


def test_ids_that_are_whole_numbers(run, tmp_path):
    """As of a frame or Parquet: who is unknown gets what is popular, and a word is no id."""
    pandas = pytest.importorskip("pandas")
    events = tmp_path / "events.parquet"
    pandas.DataFrame({"u": [1, 1, 2, 2, 3], "i": [10, 11, 10, 12, 11]}).to_parquet(events)
    model = tmp_path / "a.rec"
    flags = ["--user", "u", "--item", "i", "--epochs", "1", "--no-components", "4"]
    assert run("train", events, *flags, "-o", model).code == 0
    asked = ["recommend", model, "--deny", "99", "-k", "1", "--json"]
    done = run(*asked, "--user", "2", "--user", "77")
    assert done.code == 0 and "77 is not known" in done.err, done.err
    assert [(row["user"], row["source"]) for row in done.json] == [(2, "known"), (77, "popular")]
    done = run(*asked, "--user", "Ann")
    assert done.code == 1 and "'Ann' is no id here, for ids are whole numbers" in done.err
    assert "popular" not in done.err
