"""The site of the documents in a real browser: nothing breaks, and what readers may press works."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred

from tests.docs.test_site import build
from tests.people.browser import CHROMIUM, CONTRAST, NONE, browsing

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NONE)

PAGES = (
    "index.html",
    "tutorial.html",
    "howto/new-device.html",
    "explanation/how-a-dump-flows.html",
)
COPIED = """
new Promise((tell) => {
  const button = document.querySelector("button.copy");
  new MutationObserver(() => tell(button.textContent)).observe(button, {childList: true});
  button.click();
})
"""
FOUND = """
new Promise((tell) => {
  const place = document.getElementById("mkdocs-search-results");
  const look = () => { const link = place.querySelector("a"); if (link) tell(link.textContent); };
  new MutationObserver(look).observe(place, {childList: true, subtree: true});
  const query = document.getElementById("mkdocs-search-query");
  const ask = () => { query.value = "catalogue"; query.dispatchEvent(new Event("keyup")); };
  ask(); setInterval(ask, 200);
})
"""
"""The worker that searches may not have read its index yet, so it is asked again."""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def where(tmp_path: Path) -> Iterator[str]:
    """The address of the site."""
    site = tmp_path / "site"
    done = build(site)
    assert done.returncode == 0, done.stdout
    handler = functools.partial(_Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@ensureDeferred
async def test_the_site(where: str) -> None:
    async with browsing() as browser:
        for page in PAGES:
            await browser.go(f"{where}{page}")
            assert await browser.run("document.querySelector('h1').textContent"), page
            tables = "[...document.querySelectorAll('table')].every((one) => one.className)"
            assert await browser.run(tables), page
            broken = "[...document.images].filter((one) => !one.naturalWidth).length"
            assert await browser.run(broken) == 0, page
            for width in (400, 1280):
                await browser.be_wide(width)
                assert await browser.run("document.documentElement.scrollWidth") <= width, page
                assert await browser.run(CONTRAST) == [], page
        await browser.go(f"{where}tutorial.html")
        assert await browser.run("document.querySelectorAll('pre.output button').length") == 0
        assert await browser.run(COPIED) in ("Copied", "Selected")
        assert await browser.run(FOUND)
        for mode in ("dark", "light"):
            await browser.run(f"document.querySelector('[data-bs-theme-value={mode}]').click()")
            await browser.go(f"{where}tutorial.html")  # it is remembered
            assert await browser.run("document.documentElement.dataset.bsTheme") == mode
            assert await browser.run(CONTRAST) == []
        assert browser.complaints == []
        assert [one for one in browser.requests if not one.startswith((where, "data:"))] == []
