"""A night by rendezvous: Amanda's planner, driver, dumper and client, ndmjob's tapes, and our two.

The application meets the taper, and sends to ndmjob's mover when the header is on the tape.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from protocols.crc import Crc
from tests.application.driving import Peer, direct
from tests.fakes.ndmjob import NdmJob, missing_ndmjob
from tests.system.amanda import ETC, SOURCE, Options
from tests.system.bsdtcp import APPLICATIONS, Client
from tests.system.conftest import MakeAmanda
from tests.system.test_ndmp_night import library_of, read_by_amrestore, urls_of

_REASON = missing_ndmjob()
pytestmark = [pytest.mark.system, pytest.mark.skipif(_REASON is not None, reason=_REASON or "")]

KEY_FILE = f"{ETC}/rendezvous-key"
KEY = f'property "rendezvous-key-file" "{KEY_FILE}"\n'
MEETS = f'property "RENDEZVOUS" "YES"\n  property "RENDEZVOUS-KEY-FILE" "{KEY_FILE}"'


@pytest.fixture
def job() -> Iterator[NdmJob]:
    with NdmJob(tape_limit=2 << 20) as job:
        yield job


def test_a_night_by_rendezvous(make_amanda: MakeAmanda, job: NdmJob) -> None:
    """Three tapes for one dump; no 255.255.255.255 though the drive listens late, no made header,
    and a checksum in the log, which the bytes on the tapes have."""
    library = library_of(job, indirect=True)
    with Client() as client:
        options = Options(
            disks=[("home", "direct")],
            runtapes=5,
            tapecycle=6,
            length_mb=2,
            tapetype="part-size 800 kbytes",
            extra=KEY + library + client.dumptypes(MEETS),
        )
        amanda = make_amanda(options)
        amanda.write(KEY_FILE, "a key of sixteen bytes or more\n")
        amanda.path(KEY_FILE).chmod(0o600)
        client.enter(amanda, amanda.launcher)
        amanda.fill("home", 5)
        amanda.ask("amdump")
    assert "255.255.255.255:" not in amanda.driver_log()
    assert len(amanda.trace_log("SUCCESS dumper")) == 1
    assert amanda.trace_log("INFO taper no header") == []
    (done,) = amanda.trace_log("DONE taper")
    parts = read_by_amrestore(amanda, urls_of(job))
    archive = b"".join(parts[number] for number in sorted(parts))
    crc = Crc.parse(done.split(" [")[0].split()[-1])
    assert 0 < len(archive) - crc.size < 32768
    peer = Peer(lambda connection, _peer: connection.sendall(archive))
    place = amanda.mkdir("/tmp/amanda/restored")
    words = ["--host", "localhost", "--disk", f"{SOURCE}/home", *direct(peer.address)]
    ended = amanda.run(f"{APPLICATIONS}/amdirecttar", "restore", *words, cwd=place)
    peer.join()
    assert ended.returncode == 0, ended.stdout
    amanda.check_restored("home", place)
