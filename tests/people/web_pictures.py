"""``python -m tests.people.web_pictures``: takes the pictures of docs/web anew."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from taper.people.web.asked import address
from tests.bench.pages import make, stamps
from tests.docs.markdown import ROOT
from tests.people.browser import browsing
from tests.people.nights import NOW, Nights
from tests.people.served import served_record
from tests.people.test_watch import Served as Status

PLACE = ROOT / "docs" / "web"
DUMPS, VOLUMES = 1440, 60
FAILED = ((4, 3), (17, 1), (31, 6))
"""Nights back, and how many disks failed then."""


def break_some(root: Path) -> None:
    """Nights in which not all was well."""
    all_stamps = stamps(VOLUMES)
    for night, many in FAILED:
        stamp = all_stamps[night]
        with (root / f"log/log.{stamp}.0").open("a") as log:
            for number in range(many):
                disk = f"host{number % 7}.example.com /srv/data{number}"
                log.write(f"DISK planner {disk}x\n")
                log.write(f"FAIL dumper {disk}x {stamp} 0 [data timeout]\n")


def wait_in_the_last_night(root: Path) -> None:
    """A volume is changed in the middle of it, and a dump fails."""
    told = root / f"log/amdump.{stamps(1)[0]}"
    lines = told.read_text().splitlines()
    at = next(
        number for number, line in enumerate(lines) if "send-cmd time 230.000 to taper" in line
    )
    lines[at + 1 : at + 1] = [
        "driver: result time 231.000 from taper0: REQUEST-NEW-TAPE worker0-0 00-5",
        "driver: result time 236.000 from taper0: NEW-TAPE worker0-0 00-5 V00060",
    ]
    lines[1:1] = ["driver: result time 1.0 from taper0: NEW-TAPE worker0-0 00-0 V00059"]
    told.write_text("\n".join(lines) + "\n")


async def take(reactor: Any, names: Sequence[str]) -> None:
    """Take the pictures of these names, or all."""
    PLACE.mkdir(exist_ok=True)
    stamp = stamps(1)[0]
    wanted = {
        "now": ("/", "light"),
        "volumes": ("/volumes", "light"),
        "nights": ("/nights", "dark"),
        "night": (address("/night", run=stamp), "light"),
    }
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        make(root, DUMPS, VOLUMES)
        break_some(root)
        wait_in_the_last_night(root)
        taper = Status(root / "tmp")
        taper.write()
        try:
            nights = Nights(root)
            async with served_record(nights, now=NOW) as record, browsing() as browser:
                await browser.be_wide(1100, 760)
                for name, (path, scheme) in wanted.items():
                    if names and name not in names:
                        continue
                    await browser.prefer(scheme)
                    await browser.go(record["listening"].rstrip("/") + path)
                    shot = await browser.picture()
                    (PLACE / f"{name}.png").write_bytes(shot)
                    print(f"{name}: {len(shot)} bytes")
        finally:
            taper.end()


if __name__ == "__main__":
    react(lambda reactor, *names: Deferred.fromCoroutine(take(reactor, names)), sys.argv[1:])
