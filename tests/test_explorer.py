"""The pages of the server, in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import DESK, PHONE, visits
from served import running
from shops import fitted, lists, small

from lightfm_clone import LightFM, Recommender, server

pd = pytest.importorskip("pandas")

HOSTILE = [
    "<img src=x onerror=\"document.title='run'\">",
    "</h2><script>document.title='run'</script>",
    '"><svg onload=document.title="run">',
    "javascript:document.title='run'",
    "w" * 300,
    "\u202eright to left",
    "a\x00b\nc",
    "{{7*7}} ${7*7} &lt;b&gt;",
]


@pytest.fixture(scope="module")
def shop() -> Recommender:
    return fitted()


@pytest.fixture(scope="module")
def url(shop, tmp_path_factory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("served") / "shop.rec"
    shop.save(path)
    with running(server.create_app(path)) as address:
        yield address


def items(page: Any) -> list[str]:
    """The ids of the list that is shown, when it has its reasons."""
    page.wait_for_selector("ol li:last-child details")
    found: list[str] = page.locator("ol .name small").all_inner_texts()
    return found


@pytest.mark.parametrize(("dark", "size"), [(False, DESK), (True, PHONE)], ids=["desk", "phone"])
def test_a_visit(shop, url, dark, size):
    """From the start to a person, their list, an item, its neighbours, and a visitor's list."""
    with visits(dark=dark, size=size) as visit:
        page = visit.page
        page.goto(url)
        page.locator(".chips a").first.click()
        user = shop.user_ids_[0]
        assert items(page) == lists(shop.recommend(user, k=12))[user]
        assert page.locator("h2").inner_text() == f"Person {user}"
        assert not visit.overflows()
        page.locator("summary").first.click()
        assert page.locator("details[open] tr").count() == 9
        page.locator("ol .name a").first.click()
        page.wait_for_selector("dl")
        assert page.locator("ol li").count() == 12
        assert not visit.overflows()
        page.get_by_text("What a visitor gets who looked at this").click()
        page.locator("ol button").first.click()
        page.wait_for_function("() => document.querySelectorAll('ul li').length == 2")
        assert not visit.overflows()
        page.go_back()
        page.wait_for_function("() => document.querySelectorAll('ul li').length == 1")
        light = page.evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every(x => x > 127)"
        )
        assert light is not dark
        assert visit.problems == []


def test_dials(shop, url):
    user = shop.user_ids_[0]
    with visits() as visit:
        page = visit.page
        page.goto(f"{url}/#user=%22{user}%22")
        plain = items(page)
        page.locator("#popularity").fill("-1.5")
        page.wait_for_function(
            "first => document.querySelector('ol small').innerText != first", arg=plain[0]
        )
        assert items(page) == lists(shop.recommend(user, k=12, popularity=-1.5))[user]
        page.locator("#popularity").fill("0")
        page.locator("#diversity").fill("0.5")
        page.wait_for_timeout(400)
        assert items(page) == lists(shop.recommend(user, k=12, diversity=0.5))[user]
        page.locator("#diversity").fill("0")
        page.locator("#exclude").select_option("transaction")
        page.wait_for_timeout(400)
        assert items(page) == lists(shop.recommend(user, k=12, exclude="transaction"))[user]
        assert visit.problems == []


def test_search_by_keyboard(shop, url):
    title = "Red"
    with visits() as visit:
        page = visit.page
        page.goto(url)
        page.wait_for_selector(".chips")
        page.keyboard.press("Tab")  # past the name of the page, and the page of the API
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowRight")  # from people to items
        page.keyboard.press("Tab")
        page.keyboard.type(title)
        page.wait_for_selector("ul.card li")
        found = page.locator("ul.card a").all_inner_texts()
        assert found and all(title in one for one in found)
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector("dl")
        assert page.locator("h2").inner_text() == found[0]
        assert visit.problems == []


def test_enter_opens_the_only_one(shop, url):
    user = str(shop.recommend(k=1)["user"][0])
    with visits() as visit:
        page = visit.page
        page.goto(url)
        page.get_by_role("searchbox").fill(user)
        page.keyboard.press("Enter")
        page.wait_for_selector(".dials")
        assert user in page.locator("h2").first.inner_text()
        assert visit.problems == []


def test_what_cannot_be_shown_is_said(url):
    with visits() as visit:
        for address, said in (
            ("#user=%22nobody%22", "there is no user 'nobody'"),
            ("#item=%22nothing%22", "there is no item 'nothing'"),
            ("#user=%7B", "does not name anything"),
            ("#user=%E0%A4%A", "does not name anything"),
        ):
            visit.page.goto(f"{url}/{address}")
            visit.page.wait_for_function(
                "said => document.getElementById('said').innerText.includes(said)", arg=said
            )


def test_titles_and_ids_run_nothing(tmp_path):
    n = len(HOSTILE)
    events = {"u": [*HOSTILE, *HOSTILE], "i": [*HOSTILE, *HOSTILE[1:], HOSTILE[0]]}
    goods = pd.DataFrame({"i": HOSTILE, "title": HOSTILE[::-1], "<b>tag</b>": HOSTILE})
    path = Path(tmp_path, "shop.rec")
    small(events, of=LightFM(loss="bpr", random_state=0), items=goods).save(path)
    with running(server.create_app(path)) as url, visits(size=PHONE) as visit:
        page = visit.page
        page.goto(url)
        page.wait_for_selector(".chips a")
        assert page.locator(".chips a").count() == n
        for place in range(n):
            page.goto(url)
            page.locator(".chips a").nth(place).click()
            page.wait_for_selector("ol li:last-child details")
            assert not visit.overflows()
        page.locator("ol .name a").first.click()
        page.wait_for_selector("dl")
        assert not visit.overflows()
        assert page.title() == "Explorer"
        assert page.locator("main img, main svg, main script, main b").count() == 0
        assert visit.problems == []


def test_a_token_is_asked_for(shop, tmp_path):
    path = Path(tmp_path, "shop.rec")
    shop.save(path)
    with running(server.create_app(path, token="s3cret")) as url, visits() as visit:
        page = visit.page
        page.goto(url)
        page.get_by_label("This server wants its token").fill("s3cret")
        page.keyboard.press("Enter")
        page.wait_for_selector(".chips a")
        assert not page.locator("#token").is_visible()
        assert page.locator("#said").inner_text() == ""


def test_the_page_of_the_api(url):
    """Its examples work."""
    with visits(size=PHONE) as visit:
        page = visit.page
        page.goto(f"{url}/docs")
        page.wait_for_selector("form.trial")
        forms = page.locator("form.trial")
        assert forms.count() == 8
        for place in range(8):
            forms.nth(place).locator("button").click()
        page.wait_for_function(
            "() => [...document.querySelectorAll('pre')].every((x) => x.innerText[0] === '{')"
        )
        assert not visit.overflows()
        assert visit.problems == []


def test_all_is_named(url):
    """Fields have labels, headings go down one at a time, and the pages have their language."""
    nameless = """() => [...document.querySelectorAll('input, select, textarea, button, a')]
        .filter((one) => !(one.labels?.length || one.innerText || one.ariaLabel)).length"""
    levels = "() => [...document.querySelectorAll('h1, h2, h3')].map((one) => one.tagName)"
    with visits() as visit:
        page = visit.page
        for address in ("", "#user=%2202613021%22", "#item=%22113015%22", "docs"):
            page.goto("about:blank")
            page.goto(f"{url}/{address}")
            page.wait_for_selector("h2")
            page.wait_for_load_state("networkidle")
            assert page.evaluate(nameless) == 0
            found = [int(name[1]) for name in page.evaluate(levels)]
            assert found[0] == 1 and found.count(1) == 1
            assert all(after <= before + 1 for before, after in zip(found, found[1:], strict=False))
            assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_contrast(url, dark):
    """Texts stand out from what is behind them: 4.5 to 1, as WCAG AA asks."""
    script = """() => {
        const parts = (color) => color.match(/[\\d.]+/g).map(Number);
        const light = (color) => {
            const [r, g, b] = parts(color).map((x) => x / 255)
                .map((x) => (x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const ground = (one) => {
            for (; one; one = one.parentElement) {
                const color = getComputedStyle(one).backgroundColor;
                if ((parts(color)[3] ?? 1) === 1) return color;
            }
        };
        return Math.min(...[...document.querySelectorAll('body *')]
            .filter((one) => [...one.childNodes].some((x) => x.nodeType === 3 && x.data.trim()))
            .filter((one) => one.checkVisibility() && !one.matches('option'))
            .map((one) => {
                const pair = [light(getComputedStyle(one).color), light(ground(one))].sort();
                return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
            }));
    }"""
    with visits(dark=dark) as visit:
        visit.page.goto(f"{url}/#user=%2202613021%22")
        visit.page.wait_for_selector("ol li:last-child details")
        assert visit.page.evaluate(script) >= 4.5
