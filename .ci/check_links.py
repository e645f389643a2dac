"""Whether links lead somewhere, without asking the network: of a built site, and of the repository.

Of the site all links, images, styles and scripts, with their anchors; what a page loads has to be
on the site itself. Of the Markdown files those that lead into the repository, be they paths or
addresses of the pages where it is shown.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
SHOWN_AT = re.compile(
    r"https://(github\.com/lightfm-clone/lightfm-clone/(blob|tree|raw)/main"
    r"|raw\.githubusercontent\.com/lightfm-clone/lightfm-clone/main)/"
)


class Page(HTMLParser):
    """The anchors of a page, and what it refers to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors = {"", "top"}
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value or "")
            elif name in ("href", "src") and value is not None:
                self.links.append(value)
                if name == "src" or ("rel", "stylesheet") in attributes:
                    self.loaded.append(value)


def of_site(site: Path) -> list[str]:
    """Links of a site's pages that lead nowhere."""
    pages = {
        path: Page(path)
        for path in sorted(site.rglob("*.html"))
        if "_static" not in path.relative_to(site).parts  # the theme's own, which nobody is shown
    }
    wrong = [] if pages else [f"there are no pages in {site}"]
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.loaded and parts.scheme != "data":
                    wrong.append(f"{path.relative_to(site)}: loads from elsewhere, {link}")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                wrong.append(f"{path.relative_to(site)}: there is no {link}")
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                wrong.append(f"{path.relative_to(site)}: there is no such anchor, {link}")
    return wrong


def anchors_of(markdown: Path) -> set[str]:
    """Those that GitHub gives to the headings of a file."""
    headings = re.findall(r"^#+ +(.+?) *$", markdown.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {"", *(heading.replace(" ", "-") for heading in plain)}


def of_repository(root: Path) -> list[str]:
    """Links of its Markdown files that lead to a place in it that there is not."""
    wrong = []
    # Markdown alone: what Sphinx makes, of the API and the gallery, is no file of the repository.
    for path in (*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))):
        for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
            place = SHOWN_AT.sub("", link)
            folder = path.parent if place == link else root
            name, _, anchor = unquote(place).partition("#")
            if re.match(r"\w+:", place) or name.endswith(".rst"):
                continue
            target = folder / name if name else path
            if not target.exists():
                wrong.append(f"{path.relative_to(root)}: there is no {link}")
            elif target.suffix == ".md" and anchor not in anchors_of(target):
                wrong.append(f"{path.relative_to(root)}: there is no such anchor, {link}")
    return wrong


wrong = [*of_site(Path(sys.argv[1]).resolve()), *of_repository(ROOT)]
if wrong:
    sys.exit("\n".join(wrong))
print("all links lead somewhere")
