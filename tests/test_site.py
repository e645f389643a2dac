"""The site of the documentation, looked at in a browser: what `make docs` has built."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from browser import DESK, PHONE, visits

SITE = Path(__file__).resolve().parent.parent / "docs" / "_build" / "html"
pytestmark = pytest.mark.skipif(
    not (SITE / "index.html").exists(), reason="the site is not built: make docs"
)

PAGES = (
    "index.html",
    "start.html",
    "gallery/index.html",
    "guide/index.html",
    "guide/losses.html",
    "guide/mathematics.html",
    "guide/report.html",
    "api/index.html",
    "api/generated/lightfm_clone.LightFM.html",
    "api/generated/lightfm_clone.evaluation.evaluate.html",
    "inside/lab.html",
    "search.html",
)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Its address: files alone would not do, as scripts may not read them."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize(("size", "dark"), [(PHONE, True), (DESK, False)], ids=["phone", "desk"])
def test_pages(site, size, dark):
    """No errors, nothing from elsewhere, no scrolling sideways."""
    one_of_the_gallery = min(SITE.glob("gallery/plot_*.html")).relative_to(SITE)
    with visits(size=size, dark=dark) as visit:
        for page in (*PAGES, str(one_of_the_gallery)):
            visit.page.goto(site + page, wait_until="networkidle")
            assert not visit.problems, page
            assert not visit.overflows(), page
            assert visit.page.locator("h1").count() == 1, page
            scheme = visit.page.evaluate("document.documentElement.dataset.theme")
            assert scheme == ("dark" if dark else "light"), page


def test_search_finds(site):
    with visits() as visit:
        page = visit.page
        page.goto(site + "index.html")
        page.keyboard.press("Control+k")
        page.locator("#pst-search-dialog input[type=search]").fill("identity_dropout")
        page.keyboard.press("Enter")
        page.wait_for_url("**/search.html?q=identity_dropout*")
        first = page.locator("#search-results li a").first
        first.wait_for()
        found = page.locator("#search-results li a").all_inner_texts()
        assert any("losses" in title.lower() for title in found)
        assert not visit.problems


def test_scheme_can_be_chosen(site):
    with visits() as visit:
        page = visit.page
        page.goto(site + "start.html")
        page.locator(".theme-switch-button:visible").click()
        page.locator("button.dropdown-item[data-mode=dark]:visible").click()
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        page.goto(site + "api/index.html")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_code_can_be_copied(site):
    with visits(permissions=["clipboard-read", "clipboard-write"]) as visit:
        page = visit.page
        page.goto(site + "start.html")
        block = page.locator("div.highlight").first
        block.hover()
        block.locator("button.copybtn").click()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == 'pip install "lightfm-clone[all]" pandas'
        assert not visit.problems


def test_versions_can_be_chosen(site):
    """From a page below the first, where a path that goes by the page would lead astray."""
    from lightfm_clone import __version__

    with visits() as visit:
        page = visit.page
        page.goto(site + "guide/losses.html", wait_until="networkidle")
        page.locator(".version-switcher__button:visible").click()
        versions = page.locator(".version-switcher__menu a:visible")
        assert __version__ in [one.get_attribute("data-version") for one in versions.all()]
        assert not visit.problems
