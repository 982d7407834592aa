"""The founding claim on real programs: a night by DirectTCP onto NDMP tapes, and its restore.

Planner, driver, dumper, amandad, sendbackup and ndmjob are Amanda's; taper and application ours.
Our application sends straight to ndmjob's mover; nothing of the dump passes the taper.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.application.driving import Peer, direct
from tests.fakes.ndmjob import NdmJob, missing_ndmjob
from tests.system.amanda import ETC, SOURCE, Amanda, Options
from tests.system.amrestore import restore
from tests.system.bsdtcp import APPLICATIONS, Client
from tests.system.conftest import MakeAmanda

_REASON = missing_ndmjob()
pytestmark = [pytest.mark.system, pytest.mark.skipif(_REASON is not None, reason=_REASON or "")]

LIBRARY = """
define changer library {{
  tpchanger "chg-ndmp:{where}"
  property "tape-device" "0=ndmp:{where}/drive0"
  property append "tape-device" "1=ndmp:{where}/drive1"
  device-property "indirect" "{indirect}"
  changerfile "{etc}/library"
}}
tpchanger "library"
"""


@pytest.fixture
def job() -> Iterator[NdmJob]:
    with NdmJob(tape_limit=2 << 20) as job:
        yield job


@pytest.mark.parametrize("indirect", [False, True], ids=["direct", "indirect"])
def test_a_night_on_ndmp_tapes(make_amanda: MakeAmanda, job: NdmJob, indirect: bool) -> None:
    """Three tapes for one dump; IndirectTCP is resolved by Amanda's sendbackup."""
    where = f"127.0.0.1:{job.port}@{job.directory}"
    library = LIBRARY.format(where=where, etc=ETC, indirect="yes" if indirect else "no")
    with Client() as client:
        options = Options(
            disks=[("home", "direct")],
            runtapes=5,
            tapecycle=6,
            length_mb=2,
            tapetype="part-size 800 kbytes",
            extra=library + client.dumptypes(),
        )
        amanda = make_amanda(options)
        client.enter(amanda, amanda.launcher)
        amanda.fill("home", 5)
        amanda.ask("amdump")
    check_night(amanda, job, indirect)


def read_by_amrestore(amanda: Amanda, job: NdmJob) -> dict[int, bytes]:
    """The parts on all tapes, in the slots and in the drives."""

    def run(*command: str) -> str:
        done = amanda.run(*command)
        assert done.returncode == 0, done.stdout
        return done.stdout

    paths = [*job.directory.glob("slot?"), *job.directory.glob("drive?")]
    urls = [job.url(path.name) for path in paths if path.stat().st_size]
    labels, parts = restore(run, amanda.path, urls)
    assert sorted(labels) == ["SYS-01", "SYS-02", "SYS-03"]
    return parts


def check_night(amanda: Amanda, job: NdmJob, indirect: bool) -> None:
    """All DONE, over three tapes; Amanda reads them, and every file comes back by DirectTCP."""
    assert ("255.255.255.255:" in amanda.driver_log()) is indirect
    assert len(amanda.trace_log("SUCCESS dumper")) == 1
    assert len(amanda.trace_log("DONE taper")) == 1
    assert len(amanda.tapelist()) == 3
    parts = read_by_amrestore(amanda, job)
    assert list(parts) == list(range(1, 9))
    assert len(amanda.trace_log("PART taper")) == 8
    archive = b"".join(parts.values())
    peer = Peer(lambda connection, _peer: connection.sendall(archive))
    place = amanda.mkdir("/tmp/amanda/restored")
    words = ["--host", "localhost", "--disk", f"{SOURCE}/home", *direct(peer.address)]
    done = amanda.run(f"{APPLICATIONS}/amdirecttar", "restore", *words, cwd=place)
    peer.join()
    assert done.returncode == 0, done.stdout
    amanda.check_restored("home", place)
