"""Pages looked at in a real browser: Debian's Chromium, driven by Playwright.

Where one of them is missing, tests skip and say so; `.ci/run` installs both. Nothing outside this
machine is asked for: a page that tries fails its test.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

PHONE, DESK = {"width": 380, "height": 800}, {"width": 1280, "height": 900}
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LOCAL = ("127.0.0.1", "localhost", "")


def chromium() -> str:
    """The path of a Chromium, or a skip."""
    found = os.environ.get("LIGHTFM_CLONE_CHROMIUM") or shutil.which("chromium")
    if found is None:
        pytest.skip("no chromium; install Debian's package, or set LIGHTFM_CLONE_CHROMIUM")
    return found


class Visit:
    """A page, and what went wrong on it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.problems: list[str] = []  # errors of the console and scripts, requests elsewhere
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        page.on("requestfailed", lambda request: self.problems.append(f"failed: {request.url}"))
        page.on("request", self._asked)

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"{message.type}: {message.text}")

    def _asked(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https") and parts.hostname not in LOCAL:
            self.problems.append(f"asked the network for {request.url}")

    def overflows(self) -> bool:
        """Whether the page is wider than the window, so that one has to scroll sideways."""
        script = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        return bool(self.page.evaluate(script))


@contextmanager
def visits(*, dark: bool = False, size: dict[str, int] = DESK, **options: Any) -> Iterator[Visit]:
    """A fresh browser with one empty page; `options` are Playwright's for a context."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=[*FLAGS])
        scheme = "dark" if dark else "light"
        context = browser.new_context(viewport=size, color_scheme=scheme, **options)
        yield Visit(context.new_page())
        browser.close()
