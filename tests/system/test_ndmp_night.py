"""The founding claim on real programs: a night by DirectTCP onto NDMP tapes, and its restore.

Planner, driver, dumper, amandad, sendbackup and ndmjob are Amanda's; taper and application ours.
Our application sends straight to ndmjob's mover; nothing of the dump passes the taper.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from protocols.header import HeaderType, parse_header
from tests.application.driving import Peer, direct
from tests.fakes.ndmjob import NdmJob, missing_ndmjob
from tests.system.amanda import ETC, SOURCE, Amanda, Options
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
    with NdmJob(tape_limit=12 << 20) as job:
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
            length_mb=12,
            tapetype="part-size 4 mbytes",
            extra=library + client.dumptypes(),
        )
        amanda = make_amanda(options)
        client.enter(amanda, amanda.launcher)
        amanda.fill("home", 29)
        amanda.ask("amdump")
    check_night(amanda, job, indirect)


def files_of(tape: bytes) -> Iterator[list[bytes]]:
    """Records of each file of an ndmjob tape (directtcp-and-ndmp 5.2)."""
    records: list[bytes] = []
    at = 0
    while at < len(tape):
        magic, kind, _before, size = struct.unpack_from("=QQQQ", tape, at)
        assert magic == 0x0BEEFEE0
        at += 32
        if kind == int.from_bytes(b"DATA", "little"):
            records.append(tape[at : at + size])
            at += size
        elif kind == int.from_bytes(b"FILE", "little"):
            yield records
            records = []
    assert not records, "a filemark is missing"


def archive_of(job: NdmJob) -> tuple[bytes, int]:
    """The dump on the tapes, its parts in order, padding at its end, and the number of parts."""
    parts = {}
    for path in (*job.directory.glob("slot*"), *job.directory.glob("drive?")):
        for records in files_of(path.read_bytes()):
            header = parse_header(records[0])
            if header.type is HeaderType.SPLIT_DUMPFILE:
                assert header.partnum not in parts
                parts[header.partnum] = b"".join(records[1:])
    assert sorted(parts) == list(range(1, len(parts) + 1))
    return b"".join(parts[number] for number in sorted(parts)), len(parts)


def check_night(amanda: Amanda, job: NdmJob, indirect: bool) -> None:
    """All DONE, over three tapes, and every file back out of a data connection."""
    assert ("255.255.255.255:" in amanda.driver_log()) is indirect
    assert len(amanda.trace_log("SUCCESS dumper")) == 1
    assert len(amanda.trace_log("DONE taper")) == 1
    assert len(amanda.tapelist()) == 3
    archive, parts = archive_of(job)
    assert len(amanda.trace_log("PART taper")) == parts == 8
    peer = Peer(lambda connection, _peer: connection.sendall(archive))
    place = amanda.mkdir("/tmp/amanda/restored")
    words = ["--host", "localhost", "--disk", f"{SOURCE}/home", *direct(peer.address)]
    done = amanda.run(f"{APPLICATIONS}/amdirecttar", "restore", *words, cwd=place)
    peer.join()
    assert done.returncode == 0, done.stdout
    amanda.check_restored("home", place)
