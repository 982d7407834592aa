"""The pages of ``taperctl web`` in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred

from tests.people.browser import CHROMIUM, CONTRAST, NONE, Browser, browsing
from tests.people.nights import Nights
from tests.people.served import served_record
from tests.people.test_watch import Served as Status
from tests.people.written import FIRST, THIRD, hostile_logs, three_nights

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NONE)

PAGES = ("", "volumes", "volume?label=C01", "dumps", "nights", f"night?run={THIRD}", "errors")

CHANGED = """
new Promise((tell) => {
  const place = document.getElementById("live");
  const look = () => { if (place.textContent.includes("No taper")) tell(place.textContent); };
  new MutationObserver(look).observe(place, {childList: true});
  look();
})
"""


async def fits(browser: Browser, page: str) -> None:
    """Nothing is wider than the screen."""
    needed, there = await browser.run("[document.documentElement.scrollWidth, innerWidth]")
    assert needed <= there, page


async def look_at_all(browser: Browser, where: str) -> None:
    """Every page fits, can be read, and asks for nothing from elsewhere."""
    for page in PAGES:
        await browser.go(f"{where}{page}")
        assert await browser.run("document.querySelector('h1').textContent"), page
        assert await browser.run(CONTRAST) == [], page
        await fits(browser, page)
    assert browser.complaints == []
    assert all(address.startswith(where) for address in browser.requests if "about:" not in address)


@ensureDeferred
async def test_in_a_browser(tmp_path: Path) -> None:
    """On small and large, light and dark screens; what runs now comes by itself."""
    nights = await three_nights(tmp_path)
    taper = Status(tmp_path / "tmp")
    taper.write()
    try:
        async with served_record(nights) as record, browsing() as browser:
            where = record["listening"]
            for width, scheme in ((1200, "light"), (360, "dark")):
                await browser.be_wide(width)
                await browser.prefer(scheme)
                await look_at_all(browser, where)
            await browser.go(where)
            assert "worker0-0" in await browser.run("document.getElementById('live').textContent")
            taper.end()
            assert "No taper is running." in await browser.run(CHANGED)
            await browser.go(f"{where}nights")
            await browser.follow(f"th a[href*='{FIRST}']")
            assert "2026-01-06" in await browser.run("document.title")
            await browser.call("Emulation.setScriptExecutionDisabled", value=True)
            await browser.go(where)
            shown = await browser.call("Page.captureScreenshot", format="png")
            assert len(shown["data"]) > 10_000
            assert browser.complaints == []
    finally:
        taper.end()


@ensureDeferred
async def test_nothing_from_a_volume_is_run(tmp_path: Path) -> None:
    nights = Nights(tmp_path / ("of_a_long_name_" * 5)).make()
    hostile_logs(nights)
    async with served_record(nights) as record, browsing() as browser:
        where = record["listening"]
        await browser.be_wide(360)
        await browser.go(f"{where}dumps")
        links = await browser.run("[...document.querySelectorAll('td a, th a')].map((a) => a.href)")
        assert len(links) >= 8
        for link in (f"{where}errors", f"{where}night?run={FIRST}", *links[:4]):
            await browser.go(link)
            await fits(browser, link)
            assert await browser.run("document.querySelectorAll('script').length") == 0
        assert browser.complaints == []
