"""The server: calls, hostile bodies, limits, token, a file that changes, metrics."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import running
from shops import EVENTS, PAST, fitted, lists, model, small

from lightfm_clone import ItemNeighbours, Popularity, Recommender, WithNeighbours, server
from lightfm_clone.server.kept import Kept
from lightfm_clone.server.shop import Ids, Search, Shop, plain, plain_id

pytest.importorskip("starlette")
pytest.importorskip("pydantic")
pytest.importorskip("prometheus_client")
httpx = pytest.importorskip("httpx")
uvicorn = pytest.importorskip("uvicorn")

CALLS = ("recommend", "batch", "similar", "explain", "user", "items", "search")


@pytest.fixture(scope="module")
def shop() -> Recommender:
    return fitted()


@pytest.fixture(scope="module")
def file(shop, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("served") / "shop.rec"
    shop.save(path)
    return path


class Asked:
    """A server of a file, asked without a network."""

    def __init__(self, app: Any) -> None:
        import asyncio

        self.loop = asyncio.new_event_loop()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")

    def send(self, method: str, path: str, **options: Any) -> Any:
        return self.loop.run_until_complete(self.client.request(method, path, **options))

    def get(self, path: str, **options: Any) -> Any:
        return self.send("GET", path, **options)

    def post(self, call: str, content: Any, **options: Any) -> Any:
        if isinstance(content, dict):
            content = json.dumps(content)
        return self.send("POST", f"/v1/{call}", content=content, **options)

    def __call__(self, call: str, **content: Any) -> Any:
        answer = self.post(call, content)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, status: int, call: str, **content: Any) -> str:
        answer = self.post(call, content)
        assert answer.status_code == status, answer.text
        error: str = answer.json()["error"]
        assert 0 < len(error) < 1000
        return error


@pytest.fixture(scope="module")
def asked(file) -> Asked:
    return Asked(server.create_app(file))


def ids(answer: Any) -> list[Any]:
    return [one["item"] for one in answer["items"]]


# ---- lists ---------------------------------------------------------------------------------------


def test_lists_are_those_of_the_recommender(shop, asked):
    for user, items in lists(shop.recommend(shop.user_ids_[:20], k=5)).items():
        answer = asked("recommend", user=user, k=5)
        assert ids(answer) == items and answer["user"] == user
    scores = shop.recommend(user, k=5)["score"]
    np.testing.assert_allclose([one["score"] for one in answer["items"]], scores, atol=1e-6)


@pytest.mark.parametrize(
    "rules",
    [
        {"exclude": "transaction"},
        {"exclude": ["view", "addtocart"]},
        {"exclude": False},
        {"popularity": -0.5},
        {"diversity": 0.4},
        {"at_most": {"brand": 1}},
        {"where": {"brand": ["Abelia", "Kestrel"]}},
        {"where": {"tags": "label32"}},
    ],
    ids=str,
)
def test_rules(shop, asked, rules):
    user = shop.user_ids_[3]
    assert ids(asked("recommend", user=user, **rules)) == lists(shop.recommend(user, **rules)).get(
        user, []
    )


def test_ranges_and_candidates(shop, asked):
    user, items = shop.user_ids_[3], shop.item_ids_.tolist()
    prices = dict(zip(items, shop.item_columns_.take(np.arange(len(items)))["price"], strict=True))
    found = ids(asked("recommend", user=user, where={"price": {"low": 5, "high": 20}}, k=60))
    assert found and all(5 <= prices[item] <= 20 for item in found)
    some = items[:9]
    found = ids(asked("recommend", user=user, items=some, deny=some[:2], exclude=False))
    assert sorted(found) == sorted(some[2:])


def test_rules_that_leave_no_item(shop, asked, recwarn):
    answer = asked("recommend", user=shop.user_ids_[0], where={"price": {"low": 1e9}})
    assert answer == {"user": shop.user_ids_[0], "source": "known", "items": []}
    assert not recwarn.list


def test_strangers(shop, asked):
    row = {"country": "DE", "age": 31}
    answer = asked("recommend", features=row)
    assert answer["source"] == "features" and ids(answer) == lists(shop.recommend(row))[0]
    history = shop.item_ids_[:3].tolist()
    answer = asked("recommend", history=history)
    assert answer["source"] == "history"
    assert ids(answer) == lists(shop.recommend(history=[history]))[0]
    for nothing in ({"features": {}}, {"history": []}, {"history": ["nobody sells this"]}):
        assert asked("recommend", **nothing)["source"] == "popular"


def test_the_first_that_is_known_counts(shop, asked):
    user, history, row = shop.user_ids_[0], shop.item_ids_[:2].tolist(), {"country": "DE"}
    for person, source in (
        ({"user": user, "history": history, "features": row}, "known"),
        ({"user": "new", "history": history, "features": row}, "history"),
        ({"user": "new", "history": [], "features": row}, "features"),
        ({"user": "new", "history": ["nothing"], "features": row}, "features"),
        ({"user": "new", "features": row}, "features"),
        ({"user": "new", "history": []}, "popular"),
    ):
        answer = asked("recommend", **person)
        assert answer["source"] == source and answer["user"] == person["user"]


def test_a_batch_has_the_lists_of_each(shop, asked):
    users = shop.user_ids_.tolist()  # more than a part
    people = [{"user": user} for user in users]
    people[7] = {"user": "nobody"}
    people[8] = {"features": {"country": "DE"}}
    people[9] = {"features": {"height": 3}}
    found = asked("batch", people=people, k=20)["lists"]
    assert len(found) == len(users) > 100
    expected = lists(shop.recommend(users, k=20))
    for place, answer in enumerate(found):
        if place not in (7, 8, 9):
            assert answer["user"] == users[place] and ids(answer) == expected[users[place]]
    assert found[7] == {"status": 404, "error": "there is no user 'nobody'"}
    assert found[8]["source"] == "features" and "user" not in found[8]
    assert found[9]["status"] == 422 and "country" in found[9]["error"]


# ---- other calls ---------------------------------------------------------------------------------


def test_neighbours(shop, asked):
    item = shop.item_ids_[4]
    expected = shop.similar_items([item], k=6)["similar"].tolist()
    assert ids(asked("similar", item=item, k=6)) == expected
    only = asked("similar", item=item, k=60, where={"brand": "Abelia"})
    about = asked("items", items=ids(only))["items"]
    assert about and {one["columns"]["brand"] for one in about} == {"Abelia"}


def test_reasons_add_up(shop, asked):
    user, item = shop.user_ids_[0], shop.item_ids_[0]
    for person in ({"user": user}, {"features": {"country": "DE"}}):
        answer = asked("explain", item=item, k=5, **person)
        assert len(answer["terms"]) == 5
        total = sum(one["value"] for one in answer["terms"]) + answer["rest"]
        assert total == pytest.approx(answer["score"], abs=1e-4)
    expected = shop.explain({"country": "DE"}, item).score
    assert answer["score"] == pytest.approx(expected, abs=1e-6)


def test_what_is_known_about_somebody(shop, asked):
    user = EVENTS["visitorid"].dropna().iloc[0]
    answer = asked("user", user=user, k=200)
    mine = EVENTS[(EVENTS["visitorid"] == user) & EVENTS["itemid"].notna()]
    assert {one["item"] for one in answer["history"]} == set(mine["itemid"])
    assert answer["n_items"] == mine["itemid"].nunique()
    times = [one["time"] for one in answer["history"]]
    assert times == sorted(times, reverse=True)
    for one in answer["history"]:
        assert set(one["events"]) == set(mine.loc[mine["itemid"] == one["item"], "event"])
    assert set(answer["features"]) <= set(shop.user_encoder_.feature_names_)
    assert len(asked("user", user=user, k=1)["history"]) == 1


def test_what_is_known_about_items(shop, asked):
    items = shop.item_ids_[[5, 2]].tolist()
    found = asked("items", items=items)["items"]
    taken = shop.item_columns_.take(np.array([5, 2]))
    assert [one["item"] for one in found] == items
    assert [one["title"] for one in found] == list(taken["title"])
    counts = np.diff(shop.interactions_.tocsc().indptr)[[5, 2]]
    assert [one["people"] for one in found] == counts.tolist()
    prices = [one["columns"]["price"] for one in found]
    assert prices == [None if price != price else price for price in taken["price"]]


def test_search(shop, asked):
    title = shop.item_columns_.take(np.array([3]))["title"][0]
    (found,) = asked("search", text=title.upper())["found"]
    assert found == {"item": shop.item_ids_[3], "title": title}
    user = shop.user_ids_[0]
    assert asked("search", text=user[:5], of="users")["found"][0]["user"] == user
    assert asked("search", text="no such text")["found"] == []
    assert len(asked("search", text="", k=7)["found"]) == 7


def test_begins_come_before_the_rest():
    texts = Search(iter(["a red hat", "Red\nscarf", "blue", "", "redder"]))
    assert texts.find("red", 5) == [1, 4, 0]
    assert texts.find("RED S", 5) == [1]
    assert texts.find("red", 1) == [1]
    assert texts.find("t\nr", 5) == []  # never across two texts
    assert texts.find("", 9) == [0, 1, 2, 3, 4]
    assert Search(iter([])).find("", 3) == []


# ---- ids and values ------------------------------------------------------------------------------


@pytest.mark.parametrize("mapping", [{7: 0, 12: 1}, {"7": 0, "12": 1}])
def test_a_number_and_its_text_mean_the_same(mapping):
    found = Ids(mapping, "user")
    assert [found.find(one) for one in (7, "7", 12, "12", "07", 8, "x", "")] == [
        *(0, 0, 1, 1, -1, -1, -1, -1)
    ]


def test_where_a_file_has_both_each_is_itself():
    found = Ids({7: 0, "7": 1}, "user")
    assert found.find(7) == 0 and found.find("7") == 1


def test_ids_of_other_types_are_texts():
    keys = [2**60, b"a\xff", ("a", 1), 1.5, None, "\ud800"]
    found = Ids({key: number for number, key in enumerate(keys)}, "item")
    shown = json.loads(json.dumps(found.shown))
    assert [found.find(one) for one in shown] == [*range(len(keys))]
    assert shown[0] == str(2**60) and found.find(2**60) == 0
    assert plain_id(True) == "True"


def test_values_of_columns():
    values = [np.float64("nan"), np.datetime64("NaT"), np.datetime64("2024-01-02"), np.int64(3)]
    assert [*map(plain, values)] == [None, None, "2024-01-02T00:00:00", 3]
    assert plain(["a", None, 1.5, b"b"]) == ["a", None, 1.5, "b"]


def test_numbers_as_ids_without_tables(tmp_path):
    small({"u": [1, 1, 2], "i": [10, 20, 10]}).save(tmp_path / "s")
    asked = Asked(server.create_app(tmp_path / "s"))
    assert ids(asked("recommend", user="2")) == [20]
    assert "without a table of users" in asked.refused(422, "recommend", features={"a": 1})
    assert "without a table of items" in asked.refused(422, "recommend", user=1, where={"a": 1})
    assert asked("items", items=[20])["items"] == [
        {"item": 20, "title": None, "people": 1, "columns": {}}
    ]
    assert asked("user", user=1)["history"] == [{"item": 10}, {"item": 20}]


def test_a_model_without_reasons_and_neighbours(tmp_path):
    small({"u": [1, 1, 2], "i": [10, 20, 10]}, of=Popularity()).save(tmp_path / "s")
    asked = Asked(server.create_app(tmp_path / "s"))
    assert ids(asked("recommend", user=2)) == [20]
    assert "Popularity" in asked.refused(422, "similar", item=10)
    assert "Popularity" in asked.refused(422, "explain", item=10, user=1)


@pytest.mark.parametrize(
    "of",
    [
        WithNeighbours(model(loss="softmax")),
        ItemNeighbours(),
        model(loss="mse"),
        model(loss="bpr"),
    ],
    ids=lambda of: getattr(of, "loss", type(of).__name__),
)
def test_models(of, tmp_path):
    shop = fitted(of=of)
    shop.save(tmp_path / "s")
    asked = Asked(server.create_app(tmp_path / "s"))
    user, item = shop.user_ids_[0], shop.item_ids_[0]
    assert ids(asked("recommend", user=user)) == lists(shop.recommend(user))[user]
    found = asked("recommend", history=[item], popularity=0.5)
    assert ids(found) == lists(shop.recommend(history=[[item]], popularity=0.5))[0]
    expected = shop.similar_items([item], k=4)["similar"].tolist()
    assert ids(asked("similar", item=item, k=4)) == expected
    if hasattr(of, "explain"):
        answer = asked("explain", user=user, item=item, k=200)
        assert answer["score"] == pytest.approx(shop.explain(user, item).score, abs=1e-6)


def test_the_column_that_names_items(shop):
    assert Shop(shop).title == "title"
    assert Shop(shop, "brand").title == "brand"
    with pytest.raises(ValueError, match="title must be a column of the items, got 'titel'"):
        Shop(shop, "titel")


# ---- hostile bodies ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b""),
        (400, b"{"),
        (400, b'{"user": "\xff"}'),
        (400, b'{"user": "\\ud800"}'),
        (400, b"[" * 100_000),
        (400, b'{"user": 1}, {}'),
        (422, b"[]"),
        (422, b"null"),
        (422, b"{}"),
        (422, b'{"user": null}'),
        (422, b'{"user": true}'),
        (422, b'{"user": 1.5}'),
        (422, b'{"user": ["a"]}'),
        (422, b'{"user": 1' + b"0" * 100 + b"}"),
        (422, b'{"user": "' + b"x" * 1001 + b'"}'),
        (422, b'{"user": "a", "users": 1}'),
        (422, b'{"user": "a", "k": 0}'),
        (422, b'{"user": "a", "k": 201}'),
        (422, b'{"user": "a", "k": "5"}'),
        (422, b'{"user": "a", "k": 5.0}'),
        (422, b'{"user": "a", "popularity": NaN}'),
        (422, b'{"user": "a", "popularity": 1e999}'),
        (422, b'{"user": "a", "diversity": 1}'),
        (422, b'{"history": "abc"}'),
        (422, b'{"history": [' + b"1," * 1000 + b"1]}"),
        (422, b'{"features": {"age": NaN}}'),
        (422, b'{"features": {"age": {"a": 1}}}'),
        (422, b'{"features": {"age": "old"}}'),
        (422, b'{"features": {"signup_date": "0001-01-01T00:00:00+23:00"}}'),
        (422, b'{"features": {"visitorid": "a"}}'),
        (404, b'{"user": "a\\u0000b"}'),
        (404, b'{"user": "../../etc/passwd"}'),
        (404, b'{"user": "events.csv"}'),
    ],
)
def test_what_is_no_request_is_refused(asked, status, body):
    answer = asked.post("recommend", body)
    assert answer.status_code == status, answer.text
    assert 0 < len(answer.json()["error"]) < 500


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("recommend", b'{"user": 1, %s}' % b",".join(b'"x%d": 1' % n for n in range(30_000))),
        ("recommend", b'{"features": {%s}}' % b",".join(b'"x%d": {}' % n for n in range(30_000))),
        ("recommend", b'{"where": {%s}}' % b",".join(b'"x%d": [{}]' % n for n in range(25_000))),
        ("recommend", b'{"user": 1, "items": [%s]}' % b",".join([b"{}"] * 160_000)),
        ("batch", b'{"people": [%s]}' % b",".join([b'{"user": 1}'] * 40_000)),
        ("batch", b'{"people": [%s]}' % b",".join([b'{"a": 1}'] * 50_000)),
    ],
    ids=["fields", "features", "where", "items", "people", "nobody"],
)
def test_a_body_full_of_mistakes_is_refused_at_once(asked, call, body):
    start = time.process_time()
    answer = asked.post(call, body)
    assert answer.status_code == 422 and len(answer.text) < 1000
    assert time.process_time() - start < 2


def test_no_user_is_a_file(asked, shop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("users.csv").write_text(f"visitorid\n{shop.user_ids_[0]}\n")
    assert "users.csv" in asked.refused(404, "recommend", user="users.csv")
    assert "users.csv" in asked.refused(404, "explain", user="users.csv", item=shop.item_ids_[0])


def test_messages_name_what_is_wrong(asked, shop):
    user = shop.user_ids_[0]
    near = asked.post("recommend", {"user": f"{user}0"}).json()
    assert near["error"] == f"there is no user '{user}0'" and user in near["near"]
    assert "item 'nothing'" in asked.refused(404, "similar", item="nothing")
    assert "no column 'height'" in asked.refused(
        422, "recommend", user="new", features={"height": 3}
    )
    assert "no column 'prize'" in asked.refused(422, "recommend", user=user, where={"prize": 1})
    assert "price" in asked.refused(422, "recommend", user=user, at_most={"prize": 1})
    assert "'viewed'" in asked.refused(422, "recommend", user=user, exclude="viewed")
    assert "must be a number" in asked.refused(422, "recommend", user=user, where={"price": "x"})
    assert "at_most" in asked.refused(422, "recommend", user=user, at_most={"brand": 0})


SOME = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    "user history features k exclude items deny where at_most popularity diversity people item "
    "text of x".split()
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(call=st.sampled_from(CALLS), content=st.dictionaries(FIELDS, SOME, max_size=5))
def test_nothing_that_is_asked_breaks_it(asked, call, content):
    """Half of it is of the right kind."""
    real = {"user": "02613021", "item": "113015", "items": ["113015"], "text": "a"}
    content = {**content, **{name: real[name] for name in content if name in real}}
    content.setdefault("item", "113015")
    answer = asked.post(call, content)
    assert answer.status_code < 500, answer.text
    assert answer.status_code == 200 or answer.json()["error"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_all_that_the_document_allows(file):
    """Bodies that schemathesis draws: no error of the server, no answer but those described."""
    schemathesis = pytest.importorskip("schemathesis")
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        response_schema_conformance,
        status_code_conformance,
    )

    checks = [not_a_server_error, status_code_conformance, response_schema_conformance]
    document = schemathesis.openapi.from_asgi("/openapi.json", server.create_app(file))
    for operation in document.get_all_operations():

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.ok().as_strategy())
        def one(case):
            case.call_and_validate(checks=checks)

        one()


def test_answers_are_as_the_document_says(asked, shop):
    from lightfm_clone.server.calls import CALLS as TABLE

    user, item = shop.user_ids_[0], shop.item_ids_[0]
    bodies = {
        "recommend": {"user": user},
        "batch": {"people": [{"user": user}, {"user": "nobody"}]},
        "similar": {"item": item},
        "explain": {"user": user, "item": item},
        "user": {"user": user},
        "items": {"items": [item]},
        "search": {"text": "a"},
    }
    paths = asked.get("/openapi.json").json()["paths"]
    assert [*paths] == [call.path for call in TABLE]
    for call in TABLE:
        name = call.path.rpartition("/")[2]
        answer = asked.post(name, bodies[name]) if call.asked else asked.get(call.path)
        call.answer.model_validate_json(answer.content, strict=True)


# ---- limits, token, headers ----------------------------------------------------------------------


def test_limits(file, shop):
    app = server.create_app(file, max_k=5, max_people=2, max_body=300)
    asked, user = Asked(app), shop.user_ids_[0]
    assert len(ids(asked("recommend", user=user, k=5))) == 5
    assert "at most 5" in asked.refused(422, "recommend", user=user, k=6)
    assert "at most 2" in asked.refused(422, "batch", people=[{"user": user}] * 3)
    assert "300 bytes" in asked.refused(413, "recommend", user="x" * 300)
    schemas = asked.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["OneList"]["properties"]["k"]["maximum"] == 5
    assert schemas["ManyLists"]["properties"]["people"]["maxItems"] == 2

    async def parts() -> Any:
        for _ in range(100):
            yield b"x" * 10

    answer = asked.post("recommend", parts())  # whose length nobody says
    assert answer.status_code == 413
    answer = asked.post("recommend", b"{}", headers={"Content-Length": "9" * 5000})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_k", 0),
        ("max_people", 1.5),
        ("max_people", 10_001),
        ("max_body", "many"),
        ("max_waiting", None),
        ("timeout", 0),
        ("timeout", float("nan")),
        ("num_threads", 0),
        ("token", ""),
        ("token", "a b"),
        ("token", "ü"),
        ("token", 7),
        ("hosts", "localhost"),
        ("title", "none such"),
    ],
)
def test_bad_settings(file, name, value):
    with pytest.raises((ValueError, TypeError), match=name):
        server.create_app(file, **{name: value})


def test_a_token(file, shop):
    asked = Asked(server.create_app(file, token="s3cret"))
    content = {"user": shop.user_ids_[0]}
    for header in ({}, {"Authorization": "Bearer other"}, {"Authorization": b"Bearer \xff"}):
        answer = asked.post("recommend", content, headers=header)
        assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert "token" in answer.json()["error"]
        assert asked.get("/metrics", headers=header).status_code == 401
    right = {"Authorization": "Bearer s3cret"}
    assert asked.post("recommend", content, headers=right).status_code == 200
    assert asked.get("/metrics", headers=right).status_code == 200
    for open_to_all in ("/health/live", "/health/ready", "/", "/docs", "/openapi.json"):
        assert asked.get(open_to_all).status_code == 200
    assert asked.get("/openapi.json").json()["security"] == [{"token": []}]


def test_hosts(file):
    asked = Asked(server.create_app(file, hosts=["127.0.0.1", "::1"]))
    for host, status in (
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("elsewhere.example", 421),
        ("", 421),
    ):
        assert asked.get("/health/live", headers={"Host": host}).status_code == status


@pytest.mark.parametrize("path", ["/", "/docs", "/static/explorer.js", "/v1/model", "/nothing"])
def test_headers(asked, path):
    headers = asked.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff" and "server" not in headers


def test_no_file_of_this_machine_can_be_had(asked):
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/"):
        assert asked.get(path).status_code == 404
    for path in ("/v1/recommend", "/v1/", "/v1/model/"):
        assert asked.get(path).status_code in (404, 405)
        assert asked.get(path).json()["error"]


def test_what_breaks_inside_is_told_without_its_text(file, monkeypatch):
    asked = Asked(server.create_app(file))
    monkeypatch.setattr(Shop, "search", lambda *given: {}["what is inside"])
    answer = asked.post("search", {"text": "a"})
    assert answer.status_code == 500 and "inside" not in answer.text
    assert 'path="/v1/search",status="500"} 1.0' in asked.get("/metrics").text


def test_whoever_waits_too_long_is_told(file, monkeypatch):
    """Of three, one is computed, one waits in vain, and one may not even wait."""
    goes_on = threading.Event()
    monkeypatch.setattr(Shop, "search", lambda *given: [goes_on.wait(20)][:0])
    app = server.create_app(file, num_threads=1, max_waiting=1, timeout=0.3)
    with running(app) as url, httpx.Client(base_url=url) as client:
        answers: list[Any] = []

        def ask() -> None:
            answers.append(httpx.post(f"{url}/v1/search", json={"text": "a"}))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
            time.sleep(0.05)
        for thread in threads:
            thread.join()
        assert sorted(answer.status_code for answer in answers) == [503, 503, 504]
        retry = [answer.headers.get("retry-after") for answer in answers]
        assert retry.count("1") == 2
        assert client.get("/health/live").status_code == 200
        goes_on.set()
        for _ in range(50):  # the thread is free again
            if client.post("/v1/search", json={"text": "a"}).status_code == 200:
                break
            time.sleep(0.02)
        else:
            pytest.fail("nothing is answered any more")


def test_a_single_list_gets_its_turn_within_a_batch(file, shop, monkeypatch):
    whole = Shop.lists

    def slow(self: Shop, people: Any, k: int, **rules: Any) -> Any:
        time.sleep(0.02)
        return whole(self, people, k, **rules)

    monkeypatch.setattr(Shop, "lists", slow)
    monkeypatch.setattr("lightfm_clone.server.shop._ENTRIES", 80)  # two people a part
    ended: list[str] = []
    with running(server.create_app(file, num_threads=1)) as url:

        def ask(call: str, content: Any) -> None:
            assert httpx.post(f"{url}/v1/{call}", json=content).status_code == 200
            ended.append(call)

        people = [{"user": user} for user in shop.user_ids_[:100]]
        batch = threading.Thread(target=ask, args=("batch", {"people": people}))
        batch.start()
        time.sleep(0.2)
        ask("recommend", people[0])
        batch.join()
    assert ended == ["recommend", "batch"]


def test_a_body_that_does_not_come(file):
    import socket

    with running(server.create_app(file, timeout=0.2)) as url:
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"POST /v1/search HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")
            assert b" 408 " in connection.recv(1000)
            connection.settimeout(5)
            while connection.recv(1000):  # it is closed then
                pass


# ---- a file that changes -------------------------------------------------------------------------


def test_a_new_file_is_taken_up(file, shop, tmp_path):
    path = tmp_path / "shop.rec"
    shutil.copyfile(file, path)
    kept = Kept(path)
    kept.look()
    assert kept.now.number == 1
    other = fitted(PAST)
    other.save(path)
    kept.look()
    assert kept.now.number == 2 and kept.refused is None
    user = other.user_ids_[0]
    (answer,) = kept.now.shop.lists([{"user": user}], 5)
    assert ids(answer) == lists(other.recommend(user, k=5))[user]


@pytest.mark.parametrize("broken", ["truncated", "damaged", "empty", "other", "gone", "folder"])
def test_a_broken_file_is_refused(file, tmp_path, broken, caplog):
    path = tmp_path / "shop.rec"
    shutil.copyfile(file, path)
    app_kept = kept = Kept(path)
    content = path.read_bytes()
    path.unlink()
    if broken == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif broken == "damaged":
        path.write_bytes(content[:-100] + bytes(100))
    elif broken == "empty":
        path.write_bytes(b"")
    elif broken == "other":
        model().fit(np.eye(3, dtype=np.float32)).save(path)
    elif broken == "folder":
        path.mkdir()
    with caplog.at_level(logging.ERROR, "lightfm_clone.server"):
        for _ in range(3):
            kept.look()
    assert len(caplog.records) == kept.n_refused == 1
    assert kept.now.number == 1 and kept.refused
    (answer,) = app_kept.now.shop.lists([{"user": kept.now.shop.users.shown[0]}], 5)
    assert len(answer["items"]) == 5
    if broken == "folder":
        path.rmdir()
    path.write_bytes(content)
    kept.look()
    assert kept.refused is None and kept.now.number == 2


def test_health_and_metrics_tell_of_a_refused_file(file, tmp_path, monkeypatch):
    path = tmp_path / "shop.rec"
    shutil.copyfile(file, path)
    monkeypatch.setattr("lightfm_clone.server.kept._SECONDS", 0.02)
    with running(server.create_app(path)) as url, httpx.Client(base_url=url) as client:
        assert client.get("/health/ready").json()["status"] == "ok"
        path.write_bytes(b"no recommender")  # in place: nothing is mapped that could vanish
        health = until(lambda: client.get("/health/ready"), lambda now: now["status"] == "stale")
        assert "not a file" in health["refused"] and health["version"] == 1
        told = client.get("/metrics").text
        assert "lightfm_clone_model_refused_files 1.0" in told
        assert "lightfm_clone_model_stale 1.0" in told
        assert client.post("/v1/search", json={"text": "a"}).status_code == 200
        shutil.copyfile(file, path)
        health = until(lambda: client.get("/health/ready"), lambda now: now["version"] == 2)
        assert health["status"] == "ok"
        told = client.get("/metrics").text
        assert 'lightfm_clone_requests_total{path="/v1/search",status="200"} 1.0' in told
        assert 'lightfm_clone_request_seconds_count{path="/v1/search"} 1.0' in told


def until(ask: Any, wanted: Any) -> Any:
    for _ in range(500):
        found = ask().json()
        if wanted(found):
            return found
        time.sleep(0.02)
    pytest.fail(f"it never came: {found}")


def test_no_request_is_lost_while_files_change(file, shop, tmp_path, monkeypatch):
    """Each answer is that of the one or of the other file, whole."""
    path, new = tmp_path / "shop.rec", tmp_path / "new.rec"
    other = fitted(of=model(random_state=5))
    shutil.copyfile(file, path)
    monkeypatch.setattr("lightfm_clone.server.kept._SECONDS", 0.02)
    users = shop.user_ids_[:40].tolist()
    rules = {"people": [{"user": user} for user in users], "k": 60, "exclude": False}
    expected = [
        [*lists(one.recommend(users, k=60, exclude=False)).values()] for one in (shop, other)
    ]
    seen: list[int] = []
    failed: list[Any] = []
    with running(server.create_app(path)) as url:
        goes_on = True

        def ask() -> None:
            with httpx.Client(base_url=url) as client:
                while goes_on:
                    answer = client.post("/v1/batch", json=rules)
                    found = [ids(one) for one in answer.json().get("lists", ())]
                    if found in expected:
                        seen.append(expected.index(found))
                    else:
                        failed.append(answer.text[:500])

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        with httpx.Client(base_url=url) as client:
            for version, saved in enumerate((other, shop, other), start=2):
                saved.save(new)
                os.replace(new, path)
                until(
                    lambda: client.get("/health/ready"),
                    lambda now, version=version: now["version"] == version,
                )
        goes_on = False
        for thread in threads:
            thread.join()
    assert not failed and {0, 1} == set(seen)


def test_a_file_that_is_none_is_not_served(tmp_path):
    with pytest.raises(FileNotFoundError):
        server.create_app(tmp_path / "nothing")
    (tmp_path / "text").write_text("text")
    with pytest.raises(ValueError, match="text"):
        server.create_app(tmp_path / "text")


# ---- the page of the server ----------------------------------------------------------------------


def test_the_calls_of_the_page(file):
    """Each is answered; its server is this one."""
    page = (ROOT / "docs" / "guide" / "server.md").read_text(encoding="utf-8")
    asked = Asked(server.create_app(file))
    commands = [
        shlex.split(command)
        for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
        for command in re.findall(r"^curl .*?(?=\ncurl|\Z)", block, re.DOTALL | re.MULTILINE)
    ]
    assert len(commands) > 15
    for _, _, url, *options in commands:
        path = url.removeprefix("http://127.0.0.1:8000")
        if "-d" in options:
            answer = asked.send("POST", path, content=options[options.index("-d") + 1])
        else:
            answer = asked.get(path)
        assert answer.status_code == 200, (url, options, answer.text)


# ---- serve ---------------------------------------------------------------------------------------


@pytest.fixture
def config(monkeypatch) -> list[Any]:
    """What `serve` gives to uvicorn, which does not run."""
    found: list[Any] = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self: found.append(self.config))
    return found


def test_serve_listens_to_this_machine_alone(file, config):
    server.serve(file)
    assert config[0].host == "127.0.0.1" and config[0].port == 8000
    asked = Asked(config[0].app)
    assert asked.get("/health/live").status_code == 200
    assert asked.get("/health/live", headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(("token", "n_warnings"), [(None, 1), ("secret", 0)])
def test_elsewhere_without_a_token_it_warns(file, config, capsys, token, n_warnings):
    server.serve(file, host="0.0.0.0", token=token)
    assert capsys.readouterr().err.count("without a token") == n_warnings
    assert Asked(config[0].app).get("/health/live", headers={"Host": "a"}).status_code == 200


@pytest.mark.parametrize(("name", "value"), [("host", ""), ("port", 65536), ("port", "80")])
def test_bad_addresses(file, name, value):
    with pytest.raises(ValueError, match=name):
        server.serve(file, **{name: value})


@pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_serve_runs_and_ends(file, name):
    """In a process of its own, which answers, and ends in peace."""
    command = [sys.executable, "-m", "lightfm_clone.server", str(file), "--port=0"]
    environment = {**os.environ, "LIGHTFM_CLONE_TOKEN": "s3cret"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            line = next(line for line in process.stderr if "running on" in line)
            url = re.search(r"http://[\d.:]+", line)[0]
            assert httpx.get(f"{url}/health/live").json() == {"status": "ok"}
            assert httpx.get(f"{url}/v1/model").status_code == 401
        finally:
            process.send_signal(getattr(signal, name))
        assert "Traceback" not in process.stderr.read()
        assert process.wait(20) in (0, -signal.SIGTERM)


def test_the_module_says_what_is_wrong(tmp_path, capsys, monkeypatch):
    from lightfm_clone.server.__main__ import main

    monkeypatch.setattr(sys, "argv", ["server", str(tmp_path / "nothing")])
    assert main() == 1
    assert "nothing" in capsys.readouterr().err


def test_without_the_extra_it_says_which(file, monkeypatch):
    from lightfm_clone import _extras

    monkeypatch.setattr(_extras, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"lightfm-clone\[serve\]"):
        server.serve(file)


def test_it_works_without_tables(file):
    """In a process that cannot import any library of tables."""
    code = f"""
import sys
for name in ("pandas", "polars", "pyarrow", "narwhals"):
    sys.modules[name] = None
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name in sys.modules else find(name, *more)
from lightfm_clone.server.kept import Kept
shop = Kept({str(file)!r}).now.shop
user, item = shop.users.shown[0], shop.items.shown[0]
people = [{{"user": user}}, {{"features": {{"country": "DE"}}}}, {{"history": [item]}}]
print([answer["source"] for answer in shop.lists(people, 3)])
print(len(shop.similar(item, 3)), len(shop.about_items([item])))
print(shop.explain(item, 3, user=user)["score"])
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[0] == "['known', 'features', 'history']"
