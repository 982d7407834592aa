"""The site of the documents can be built, without a link or anchor that leads nowhere."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

from tests.docs.markdown import ROOT, name_of
from tests.docs.site import for_site

SECONDS = 300


def build(place: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(place)]
    return subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )


def test_the_site(tmp_path: Path) -> None:
    """Every page is there, code as code."""
    done = build(tmp_path / "site")
    assert done.returncode == 0, done.stdout
    found = {str(path.relative_to(tmp_path / "site")) for path in tmp_path.rglob("*.html")}
    for document in (ROOT / "docs").rglob("*.md"):
        if not document.name.startswith("+"):
            page = re.sub(r"README$", "index", name_of(document).removesuffix(".md"))
            assert f"{page.removeprefix('docs/')}.html" in found
    about = (tmp_path / "site/about.html").read_text()
    assert 'href="docs/' not in about
    assert '<a href="tutorial.html">' in about
    told = re.sub(r"<[^>]*>", "", (tmp_path / "site/administrator.html").read_text())
    assert "```" not in told
    assert all_that_is_fetched(tmp_path / "site") == set()
    assert dead_links(tmp_path / "site") == []


class Anchors(HTMLParser):
    """What a page links to, and what can be linked to in it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names = {""}
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.names.add(value)
            elif name in ("href", "src") and value and not re.match(r"[a-z]+:", value):
                self.links.append(value)


def dead_links(site: Path) -> list[str]:
    """Links of the pages as they are, the theme's among them, that lead to no file or place."""
    pages = {page: Anchors(page) for page in site.rglob("*.html") if page.name != "404.html"}
    dead = []
    for page, found in pages.items():
        for link in found.links:
            path, _, anchor = link.partition("#")
            target = (page.parent / unquote(path)).resolve() if path else page
            there = pages[target].names if target in pages else {"", anchor}
            if not target.exists() or unquote(anchor) not in there:
                dead.append(f"{page.relative_to(site)}: {link}")
    return dead


def test_dead_links_are_seen(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<a href="b.html#one"></a><a href="b.html#two"></a>')
    (tmp_path / "b.html").write_text('<p id="one"></p><img src="x.svg"><a href="https://c/"></a>')
    assert sorted(dead_links(tmp_path)) == ["a.html: b.html#two", "b.html: x.svg"]


def all_that_is_fetched(site: Path) -> set[str]:
    """What a browser would ask other servers for: a site is to be whole by itself."""
    fetched = re.compile(
        r"<(?:link|script|img|iframe|source)\b[^>]*?\b(?:src|href)=\"(https?:)?//[^>]*>"
    )
    imported = re.compile(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^;)]*")
    return {
        found[0]
        for ending, expected in (("html", fetched), ("css", imported))
        for path in site.rglob(f"*.{ending}")
        for found in expected.finditer(path.read_text())
    }


def test_what_would_be_fetched_is_seen(tmp_path: Path) -> None:
    page = '<link href="site.css"><a href="https://a.example/"><script src="//b.example/x.js">'
    (tmp_path / "a.html").write_text(page)
    (tmp_path / "a.css").write_text("@import 'https://c.example/x.css'; a{background:url(x.png)}")
    found = {'<script src="//b.example/x.js">', "@import 'https://c.example/x.css'"}
    assert all_that_is_fetched(tmp_path) == found


def test_fences_are_understood() -> None:
    """What stands behind the language is for the tests, mostly; in lists four blanks are wanted."""
    text = "1. One:\n\n   ```sh machine\n   a\n\n     b\n   ```\n\n````text output\n```x y\n````\n"
    assert for_site(text, "a.md") == (
        "1. One:\n\n    ```sh\n    a\n\n      b\n    ```\n\n````output\n```x y\n````\n"
    )


def test_links_to_the_readme() -> None:
    """It is a page, too."""
    text = "[R](../README.md#install), [D](../../README.md) and [other](facts/README.md)\n"
    wanted = "[R](about.md#install), [D](about.md) and [other](facts/README.md)\n"
    assert for_site(text, "administrator.md") == wanted
    assert for_site("[R](../../README.md)\n", "howto/x.md") == "[R](../about.md)\n"


def test_links_that_show_the_name_of_a_file() -> None:
    """In the tree that is of use; on the site a page has a title."""
    text = "[errors.md](../errors.md#1001), [codes](../errors.md)\n"
    wanted = "[Codes of errors](../errors.md#1001), [codes](../errors.md)\n"
    assert for_site(text, "howto/x.md") == wanted
