"""Nights onto a chg-aggregate of vtapes and an NDMP library: one dump over both kinds of volumes.

Planner, driver, dumper and ndmjob are Amanda's, and so are the programs that read everything back,
by their own chg-aggregate on the same states.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.ndmjob import NdmJob, missing_ndmjob
from tests.system.amanda import ETC, VTAPES, Amanda, Options
from tests.system.conftest import MakeAmanda

_REASON = missing_ndmjob()
pytestmark = [pytest.mark.system, pytest.mark.skipif(_REASON is not None, reason=_REASON or "")]

BOTH = """
define changer library {{
  tpchanger "chg-ndmp:{where}"
  property "tape-device" "0=ndmp:{where}/drive0"
  property append "tape-device" "1=ndmp:{where}/drive1"
  changerfile "{etc}/library"
}}
define changer both {{
  tpchanger "chg-aggregate:{{chg-disk:{vtapes},library}}"
  property "state-filename" "{etc}/both.state"
}}
tpchanger "both"
define taperscan chosen {{
  plugin "{scan}"
}}
taperscan "chosen"
"""


@pytest.fixture
def job() -> Iterator[NdmJob]:
    with NdmJob(tape_limit=2 << 20) as job:
        yield job


def installation(make_amanda: MakeAmanda, job: NdmJob, scan: str, slots: int) -> Amanda:
    """Vtapes and tapes of 2 MB each."""
    where = f"127.0.0.1:{job.port}@{job.directory}"
    options = Options(
        disks=[("home", "plain")],
        slots=slots,
        runtapes=6,
        tapecycle=9,
        length_mb=2,
        tapetype="part-size 800 kbytes",
        extra=BOTH.format(where=where, etc=ETC, vtapes=VTAPES, scan=scan),
    )
    return make_amanda(options)


@pytest.mark.parametrize("scan", ["traditional", "lexical"])
def test_one_dump_over_vtapes_and_tapes(make_amanda: MakeAmanda, job: NdmJob, scan: str) -> None:
    """It begins on a vtape, goes on on tapes, and Amanda fetches it from both."""
    amanda = installation(make_amanda, job, scan, slots=1)
    amanda.fill("home", 5)
    amanda.ask("amdump")
    amanda.report()
    assert len(amanda.trace_log("DONE taper")) == 1
    assert amanda.tapelist() == ["SYS-03", "SYS-02", "SYS-01"]
    assert list(amanda.volumes()) == ["SYS-01"]
    parts = amanda.trace_log("PART taper")
    assert {line.split()[4] for line in parts} == {"SYS-01", "SYS-02", "SYS-03"}
    inventory = amanda.ask("amtape", "inventory")
    labels = {
        line.split()[1].rstrip(":"): line.split()[3]
        for line in inventory.splitlines()
        if "label SYS" in line
    }
    assert labels["0:1"] == "SYS-01"
    assert sorted(labels.values()) == ["SYS-01", "SYS-02", "SYS-03"]
    amanda.check_restored("home", amanda.fetch("home"))
    amanda.check_ours()
