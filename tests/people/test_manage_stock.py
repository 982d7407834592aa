"""``taperctl label`` and ``erase`` leave what amlabel and amrmtape leave."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred

from tests.namespace import USER, Namespace, missing
from tests.people.nights import Nights

AMLABEL, AMRMTAPE = "/usr/sbin/amlabel", "/usr/sbin/amrmtape"
HOME = "/var/lib/amanda/C"
_REASON = missing(AMLABEL, AMRMTAPE)
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(_REASON is not None, reason=_REASON or ""),
]
_CONF = f"""
dumpuser "{USER}"
logdir "{HOME}/log"
infofile "{HOME}/info"
indexdir "{HOME}/index"
tapelist "{HOME}/tapelist"
tapecycle 3
tapetype T
define tapetype T {{
  length 10 mbytes
}}
define storage C {{
  tpchanger "chg-disk:{HOME}/vtapes"
  tapetype "T"
  labelstr "^C[0-9]+$"
  autolabel "C%%" empty
}}
storage "C"
"""


@pytest.fixture
def stock() -> Iterator[Namespace]:
    """Amanda with a configuration C, and vtapes."""
    with closing(Namespace()) as world:
        world.write("/etc/amanda/C/amanda.conf", _CONF)
        world.write("/etc/amanda/C/disklist", "")
        for name in ("log", "info", "index", *(f"vtapes/slot{slot}" for slot in range(1, 5))):
            world.mkdir(f"{HOME}/{name}")
        world.write(f"{HOME}/tapelist", "")
        yield world


def left(root: Path) -> dict[str, bytes | list[bytes]]:
    """The lines of the tapelist, whose order among volumes of one datestamp means nothing, and what
    is on the volumes."""
    lines = sorted((root / "tapelist").read_bytes().splitlines())
    files = {path.name: path.read_bytes() for path in root.glob("vtapes/slot*/0*")}
    return {**files, "tapelist": lines}


@ensureDeferred
async def test_what_is_left_is_the_same(tmp_path: Path, stock: Namespace) -> None:
    """After each step; the volumes are never written, so nothing is active until one is marked."""
    nights = Nights(tmp_path).make()
    for theirs, ours in (
        ((AMLABEL, "C", "C05", "slot", "2"), ("label", "C05", "--slot", "2")),
        ((AMLABEL, "C", "C06", "slot", "3"), ("label", "C06", "--slot", "3")),
        ((AMLABEL, "-f", "C", "C07", "slot", "2"), ("label", "C07", "--slot", "2", "--force")),
        ((AMRMTAPE, "--erase", "--keep-label", "C", "C06"), ("erase", "C06", "--keep-label")),
        ((AMRMTAPE, "--erase", "C", "C07"), ("erase", "C07")),
    ):
        done = stock.run(*theirs)
        assert done.returncode == 0, done.stdout
        names = [] if ours[0] == "label" else ["--name", ours[1]]
        await nights.lines(*ours, *names)
        assert left(tmp_path) == left(stock.path(HOME)), (theirs, done.stdout)
        for root in (tmp_path, stock.path(HOME)):
            tapelist = root / "tapelist"
            marked = tapelist.read_text().replace("C06 reuse", "C06 no-reuse")
            tapelist.write_text(marked)
    assert set(left(tmp_path)) == {"tapelist", "00000.C06"}
