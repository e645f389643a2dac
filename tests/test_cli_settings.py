"""Settings of the command line: one file, flags over it, and the file that comes out."""

from __future__ import annotations

import os
import sys

import pytest
from cli import SMALL
from hypothesis import given
from hypothesis import strategies as st

from lightfm_clone import LightFM, WithNeighbours
from lightfm_clone._model import parameters
from lightfm_clone.cli import settings as settings_of
from lightfm_clone.cli.settings import SETTINGS, Settings, name_of, over, read, rule
from lightfm_clone.data import bins, categories, cross, part, scaled, split

assert SMALL  # which skips all of this where the extra is missing


def test_every_parameter_of_the_model_is_a_setting():
    """So that a new one cannot be forgotten."""
    of_model = {one.key for one in SETTINGS if one.table == "model"}
    assert of_model == set(parameters.NAMES) - {"random_state"}
    assert len({one.flag for one in SETTINGS if one.flag}) == len(SETTINGS) - 1
    assert len({name_of(one) for one in SETTINGS}) == len(SETTINGS)


def test_what_nobody_said():
    settings = over(None, {})
    assert settings.model().get_params()["loss"] == "warp"
    assert settings.split == "random" and settings.threads == 1
    assert settings.events()["duplicates"] == "max" and settings.columns() == {}
    assert over(None, {"events__timestamp": "t"}).split == "time"
    assert over(None, {"training__threads": 0}).threads is None


def test_switches():
    assert isinstance(over(None, {"neighbours": True}).model(), WithNeighbours)
    model = over(None, {"neighbours__weight": 2.5}).model()  # who says how says that
    assert isinstance(model, WithNeighbours) and model.weight == 2.5
    assert isinstance(over(None, {"neighbours": False}).model(), LightFM)


def written(folder, text: str) -> str:
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_and_flags(tmp_path):
    path = written(
        tmp_path,
        """
        [data]
        events = "tables/events.csv"
        items = "/shared/items.csv"
        [events]
        user = "u"
        item = "i"
        watched = ["seconds", "length, all"]
        half_life = 30
        [event_weights]
        "add to cart" = 4
        [columns]
        "a=b" = "split:="
        price = "bins:5,10"
        [model]
        learning_rate = 1
        [early_stopping]
        patience = 5
        """,
    )
    settings = over(path, {"events__user": "who", "event_weights": ["x=y=2"], "model__k": 3})
    assert settings["data", "events"] == os.path.join(tmp_path, "tables/events.csv")
    assert settings["data", "items"] == "/shared/items.csv"
    events = settings.events()
    assert (events["user"], events["item"], events["half_life"]) == ("who", "i", 30)
    assert events["watched"] == ("seconds", "length, all")
    assert events["event_weights"] == {"add to cart": 4.0, "x=y": 2.0}
    assert settings.columns() == {"a=b": split("="), "price": bins([5, 10])}
    assert settings.model().get_params()["learning_rate"] == 1.0
    assert settings.has("early_stopping") and settings["early_stopping", "patience"] == 5
    assert not over(path, {"early_stopping": False}).has("early_stopping")


def test_what_comes_out_goes_in(tmp_path):
    """The file says all, with paths of its own folder, and says it the same again."""
    (tmp_path / "sub").mkdir()
    flags = {
        "data__events": str(tmp_path / "e.csv"),
        "events__user": 'quo"ted',
        "events__item": "ünï",
        "event_weights": ["view=1"],
        "columns": ["tags=split:|", "x.y=none"],
        "neighbours": True,
        "training__model": str(tmp_path / "sub" / "m.rec"),
        "model__loss": "softmax",
    }
    settings = over(None, flags).in_effect(LightFM(loss="softmax"))
    text = settings.text(str(tmp_path / "sub"))
    assert f'events = "..{os.sep}e.csv"' in text.replace("\\\\", "\\") and 'model = "m.rec"' in text
    (tmp_path / "sub" / "s.toml").write_text(text, encoding="utf-8")
    again = read(str(tmp_path / "sub" / "s.toml"))
    os.chdir(tmp_path)
    assert os.path.normpath(again["data", "events"]) == flags["data__events"]
    assert again["model", "learning_rate"] == 0.1 and again["neighbours", "weight"] == 5.0
    same = again.in_effect(LightFM(loss="softmax"))
    assert same.text(str(tmp_path / "sub")) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model\n", "is no TOML"),
        ("loss = 'warp'", r"has the table \[loss\], which nothing reads"),
        ("[modle]\nloss = 'warp'", "did you mean 'model'?"),
        ("model = 3", r"must have model as a table, \[model\] and keys below it, got 3"),
        ("[model]\nlos = 'warp'", r"\[model\] has 'los'.*did you mean 'loss'\?"),
        ("[model]\nloss = 'wrap'", "cannot have loss = 'wrap'"),
        ("[model]\nloss = 3", "must have loss = a text, got 3"),
        ("[model]\nno_components = 3.5", "must have no_components = a whole number, got 3.5"),
        ("[model]\nno_components = true", "must have no_components = a whole number, got True"),
        ("[model]\nlearning_rate = 'x'", "must have learning_rate = a number, got 'x'"),
        ("[training]\nepochs = -1", "cannot have epochs = -1"),
        ("[training]\nthreads = '1'", "threads = a whole number"),
        ("[events]\nuser = 7", "user = a text"),
        ("[events]\nwatched = 7", "watched = a text or a list"),
        ("[events]\nhalf_life = [1]", "half_life = a text or a number"),
        ("[event_weights]\nview = 'x'", "must give 'view' a number of at least 0"),
        ("[event_weights]\nview = nan", "must give 'view' a number of at least 0"),
        ("[columns]\nprice = 5", "the rule of the column 'price' must be a text, got 5"),
        ("[columns]\nprice = 'bins'", "bins is followed by a colon and more"),
        ("[test]\nshare = 1.0", "cannot have share = 1.0"),
        ("[data]\nevents = ['a']", "events = a text"),
    ],
    ids=str,
)
def test_mistakes_in_a_file(text, message, tmp_path):
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=message) as caught:
        read(path)
    assert path in str(caught.value) or "column" in str(caught.value)


def test_no_file_and_no_text(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(str(tmp_path / "none.toml"))
    (tmp_path / "binary.toml").write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match="is no TOML"):
        read(str(tmp_path / "binary.toml"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", None),
        ("category", categories()),
        ("categories:3", categories(3)),
        ("bins:5", bins(5)),
        ("bins:1,2.5,9", bins([1, 2.5, 9])),
        ("number", scaled()),
        ("scaled:minmax", scaled("minmax")),
        ("split:|", split("|")),
        ("split::", split(":")),
        ("split:, ", split(", ")),
        ("weekday", part("weekday")),
        ("cross:country,age", cross("country", "age")),
    ],
)
def test_rules(text, expected):
    assert rule(text, "x") == expected


@pytest.mark.parametrize(
    "text",
    ["", "bins:", "bins:0", "bins:a", "split:", "year:2", "cross:a", "scaled:x", ":"]
    + ["none:", "categories:0", "categories:-1", "Bins:5", "number:3"],
)
def test_no_rules(text):
    with pytest.raises(ValueError, match="the column 'x' cannot have the rule"):
        rule(text, "x")


@given(st.text(max_size=30))
def test_any_text_is_a_rule_or_refused(text):
    try:
        rule(text, "x")
    except ValueError as error:
        assert "cannot have the rule" in str(error)


@given(st.dictionaries(st.text(max_size=9), st.floats(0, 1e9), max_size=4), st.text(max_size=9))
def test_any_names_go_through_the_file(weights, name):
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    settings = Settings({"event_weights": weights, "events": {"user": name}})
    found = tomllib.loads(settings.text("."))
    assert found == {"event_weights": weights, "events": {"user": name}}
    assert settings_of.RULES
