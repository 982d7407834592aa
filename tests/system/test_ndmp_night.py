"""The founding claim on real programs: a night by DirectTCP onto NDMP tapes, and its restore.

Planner, driver, dumper, amandad, sendbackup and ndmjob are Amanda's; taper and application ours.
Our application sends straight to ndmjob's mover; nothing of the dump passes the taper. Then nights
without ndmjob, onto vtapes of our own tape server: by our taper, and by Amanda's own one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.application.driving import Peer, direct
from tests.conformance.harness_files import read_volume
from tests.fakes.ndmjob import NdmJob, missing_ndmjob
from tests.system.amanda import ETC, SOURCE, Amanda, Options
from tests.system.amrestore import restore
from tests.system.bsdtcp import APPLICATIONS, Client
from tests.system.conftest import MakeAmanda
from tests.tapeserver.process import TapeServerProcess

_REASON = missing_ndmjob()
pytestmark = pytest.mark.system

LIBRARY = """
define changer library {{
  tpchanger "chg-ndmp:{robot}"
  property "tape-device" "0=ndmp:{drives[0]}"
  property append "tape-device" "1=ndmp:{drives[1]}"
  device-property "indirect" "{indirect}"
  changerfile "{etc}/library"
}}
tpchanger "library"
"""


@pytest.fixture
def job() -> Iterator[NdmJob]:
    with NdmJob(tape_limit=2 << 20) as job:
        yield job


def library(robot: str, *drives: str, indirect: bool) -> str:
    """The configuration of a library; all names without their scheme."""
    switch = "yes" if indirect else "no"
    return LIBRARY.format(robot=robot, drives=drives, etc=ETC, indirect=switch)


def library_of(job: NdmJob, *, indirect: bool) -> str:
    """The same for tapes of ndmjob."""
    where = f"127.0.0.1:{job.port}@{job.directory}"
    return library(where, f"{where}/drive0", f"{where}/drive1", indirect=indirect)


def urls_of(job: NdmJob) -> list[str]:
    """All tapes of ndmjob that were written."""
    paths = [*job.directory.glob("slot?"), *job.directory.glob("drive?")]
    return [job.url(path.name) for path in paths if path.stat().st_size]


@pytest.mark.skipif(_REASON is not None, reason=_REASON or "")
@pytest.mark.parametrize("indirect", [False, True], ids=["direct", "indirect"])
def test_a_night_on_ndmp_tapes(make_amanda: MakeAmanda, job: NdmJob, indirect: bool) -> None:
    """Three tapes for one dump; IndirectTCP is resolved by Amanda's sendbackup."""
    amanda = direct_night(make_amanda, library_of(job, indirect=indirect))
    check_night(amanda, urls_of(job), indirect)


def options(chosen: str, kind: str) -> Options:
    """One dump, on three volumes of 2 MB."""
    return Options(
        disks=[("home", kind)],
        runtapes=5,
        tapecycle=6,
        length_mb=2,
        tapetype="part-size 800 kbytes",
        extra=chosen,
    )


def direct_night(make_amanda: MakeAmanda, chosen: str) -> Amanda:
    """A night of our application, onto this library."""
    with Client() as client:
        amanda = make_amanda(options(chosen + client.dumptypes(), "direct"))
        client.enter(amanda, amanda.launcher)
        amanda.fill("home", 5)
        amanda.ask("amdump")
    return amanda


SLOTS = 6


@contextlib.contextmanager
def vtapes() -> Iterator[tuple[str, list[str], Path]]:
    """Our tape server with a tree of vtapes. :return: configuration of its library, device names by
    which single vtapes are read, and the tree"""
    server = TapeServerProcess("", "data-peers = 127.0.0.0/8")
    tree = server.directory / "tree"
    drives = f"[library robot]\ndisk = {tree}\ndrives = d0 d1\nlimit = 2m\n"
    for slot in range(1, SLOTS + 1):
        (tree / f"slot{slot}").mkdir(parents=True)
        drives += f"[drive v{slot}]\nvtape = {tree}/slot{slot}\n"
    server.add(drives)
    with server:
        names = [f"127.0.0.1:{server.port}@{name}" for name in ("robot", "d0", "d1")]
        every = [server.url(f"v{slot}") for slot in range(1, SLOTS + 1)]
        yield library(*names, indirect=False), every, tree


def written(urls: list[str], tree: Path) -> list[str]:
    """Device names of the vtapes that have a label."""
    return [url for slot, url in enumerate(urls, 1) if list((tree / f"slot{slot}").glob("00000.*"))]


def test_a_night_on_our_tape_server(make_amanda: MakeAmanda) -> None:
    """Straight from the client onto vtapes, which are volumes of ``file:`` on that host."""
    with vtapes() as (chosen, urls, tree):
        amanda = direct_night(make_amanda, chosen)
        check_night(amanda, written(urls, tree), indirect=False)
        for label in amanda.tapelist():
            (path,) = tree.glob(f"slot?/00000.{label}")
            volume = read_volume(path.parent)
            assert [file.number for file in volume] == list(range(len(volume)))


def test_a_night_of_amandas_taper_on_our_tape_server(make_amanda: MakeAmanda) -> None:
    """From its holding disk; amrestore reads every part, and tar every file."""
    with vtapes() as (chosen, urls, tree):
        amanda = make_amanda(options(chosen, "plain"), ours=False)
        amanda.fill("home", 5)
        amanda.ask("amdump")
        assert len(amanda.trace_log("DONE taper")) == 1
        parts = read_by_amrestore(amanda, written(urls, tree))
    place = amanda.mkdir("/tmp/amanda/restored")
    amanda.write("/tmp/amanda/archive", b"".join(parts.values()))
    done = amanda.run("tar", "-xpf", "/tmp/amanda/archive", cwd=place)
    assert done.returncode == 0, done.stdout
    amanda.check_restored("home", place)


def read_by_amrestore(amanda: Amanda, urls: list[str]) -> dict[int, bytes]:
    """The parts on all tapes, in the slots and in the drives."""

    def run(*command: str) -> str:
        done = amanda.run(*command)
        assert done.returncode == 0, done.stdout
        return done.stdout

    labels, parts = restore(run, amanda.path, urls)
    assert sorted(labels) == ["SYS-01", "SYS-02", "SYS-03"]
    return parts


def check_night(amanda: Amanda, urls: list[str], indirect: bool) -> None:
    """All DONE, over three tapes; Amanda reads them, and every file comes back by DirectTCP."""
    assert ("255.255.255.255:" in amanda.driver_log()) is indirect
    assert len(amanda.trace_log("SUCCESS dumper")) == 1
    assert len(amanda.trace_log("DONE taper")) == 1
    assert len(amanda.tapelist()) == 3
    parts = read_by_amrestore(amanda, urls)
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
