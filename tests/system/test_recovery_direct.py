"""Recovery by DirectTCP: Amanda's own amrecover, our stand-in for amidxtaped, our application.

The application reads from the mover of Amanda's ndmjob, or from a socket of ours where the volumes
are vtapes. What stock programs make of the same volumes stands in [recovery 2].
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.ndmjob import NdmJob, missing_ndmjob
from tests.system.amanda import ETC, SOURCE, VTAPES, Amanda, Options
from tests.system.bsdtcp import APPLICATIONS, Client
from tests.system.conftest import MakeAmanda
from tests.system.recovering import (
    LOGS,
    Amrecover,
    check_good,
    our_logs,
    recover,
    stand_in,
    story,
    until,
)
from tests.system.test_ndmp_night import library_of

pytestmark = pytest.mark.system
needs_ndmjob = pytest.mark.skipif(missing_ndmjob() is not None, reason=str(missing_ndmjob()))

PATIENCE = 5
"""Seconds that an application has to connect."""


@contextmanager
def dumped(make: MakeAmanda, mib: int, **options: object) -> Iterator[Amanda]:
    """A night by DirectTCP."""
    with Client() as client:
        extra = f"{options.pop('extra', '')}\n{client.dumptypes()}"
        amanda = make(
            Options(
                disks=[("home", "direct")],
                slots=5,
                runtapes=5,
                tapecycle=6,
                extra=extra,
                **options,  # type: ignore[arg-type]
            )
        )
        client.enter(amanda, amanda.launcher)
        amanda.fill("home", mib)
        amanda.ask("amdump")
        assert len(amanda.tapelist()) == 3
        conf = amanda.read(f"{ETC}/amanda.conf").replace("dtimeout 60", f"dtimeout {PATIENCE}")
        amanda.write(f"{ETC}/amanda.conf", conf)
        stand_in(amanda, amanda.launcher)
        yield amanda


@pytest.fixture(scope="module")
def on_vtapes(make_lasting_amanda: MakeAmanda) -> Iterator[Amanda]:
    """A dump on three vtapes, in parts of 1 MiB."""
    extra = f'device-property "MAX_VOLUME_USAGE" "{5 << 20}"\ndevice-property "LEOM" "true"\n'
    split = "part-size 1 mbytes"
    with dumped(make_lasting_amanda, 12, length_mb=5, tapetype=split, extra=extra) as amanda:
        yield amanda


@pytest.fixture(scope="module")
def job() -> Iterator[NdmJob]:
    with NdmJob(tape_limit=8 << 20) as job:
        yield job


@pytest.fixture(scope="module")
def on_ndmp(make_lasting_amanda: MakeAmanda, job: NdmJob) -> Iterator[Amanda]:
    """A dump on three tapes of ndmjob, in parts of 2 MiB."""
    library = library_of(job, indirect=False)
    split = "part-size 2 mbytes"
    with dumped(make_lasting_amanda, 20, length_mb=8, tapetype=split, extra=library) as amanda:
        yield amanda


@contextmanager
def application(amanda: Amanda, deed: str) -> Iterator[None]:
    """Another application restores: ``deed`` is Python, with ``connect`` in it."""
    path = amanda.path(f"{APPLICATIONS}/amdirecttar")
    before = path.read_text()
    text = f"""\
import socket
import sys

def connect():
    host, port = sys.argv[sys.argv.index("--direct-tcp") + 1].split()[0].rsplit(":", 1)
    return socket.create_connection((host, int(port)))

if sys.argv[1:2] == ["restore"]:
    {deed}
main()
"""
    path.write_text(before.replace("main()\n", text))
    try:
        yield
    finally:
        path.write_text(before)


@contextmanager
def damaged(amanda: Amanda) -> Iterator[None]:
    """The second vtape has a part that ends too early."""
    (path,) = amanda.path(f"{VTAPES}/slot2").glob("00003.*")
    before = path.read_bytes()
    path.write_bytes(before[: 32768 + 512 * 1024])
    try:
        yield
    finally:
        path.write_bytes(before)


def test_from_vtapes(on_vtapes: Amanda) -> None:
    """By a socket of ours: Amanda's own cannot do that."""
    place, recovered = recover(on_vtapes, "home", "*")
    check_good(on_vtapes, "home", place, recovered)
    assert "the data connection is with" in our_logs(on_vtapes)[-1]


def test_a_damaged_vtape(on_vtapes: Amanda) -> None:
    """The application's connection is reset, so that it fails as well."""
    with damaged(on_vtapes):
        _, recovered = recover(on_vtapes, "home", "part0")
    assert "recovery failed: part 8 on 'SYS-02' file 3 is truncated" in recovered.text
    assert "Extractor child exited with status 1" in recovered.text
    assert "Connection reset by peer" in recovered.text


def test_an_application_that_never_connects(on_vtapes: Amanda) -> None:
    with application(on_vtapes, "sys.exit(7)"):
        _, recovered = recover(on_vtapes, "home", "part0")
    text = f"recovery failed: the application did not connect within {PATIENCE} s"
    assert text in recovered.text
    assert "Extractor child exited with status 7" in recovered.text


def test_an_application_that_ends_too_early(on_vtapes: Amanda) -> None:
    with application(on_vtapes, "connect().recv(1000); sys.exit(9)"):
        _, recovered = recover(on_vtapes, "home", "part0")
    assert "recovery failed: the application took only " in recovered.text
    assert "Extractor child exited with status 9" in recovered.text


def test_one_file_out_of_an_incremental_chain(on_vtapes: Amanda) -> None:
    """One that only the full dump has, in the middle of its volumes, and one that came later."""
    on_vtapes.write(f"{SOURCE}/home/late", "written later\n")
    on_vtapes.ask("amadmin", "force-level-1", "localhost", f"{SOURCE}/home")
    on_vtapes.ask("amdump")
    assert len(on_vtapes.tapelist()) == 4
    before = len(our_logs(on_vtapes))
    place, recovered = recover(on_vtapes, "home", "late", "part0/file6.0")
    assert "failed" not in recovered.text, recovered.text
    assert "Extractor child" not in recovered.text, recovered.text
    for name in ("late", "part0/file6.0"):
        found = on_vtapes.path(f"{place}/{name}").read_bytes()
        assert found == on_vtapes.path(f"{SOURCE}/home/{name}").read_bytes()
    logs = our_logs(on_vtapes)[before:]
    assert len([log for log in logs if "the data connection is with" in log]) == 2


def tapes(job: NdmJob) -> list[Path]:
    """The tapes in slots and drives."""
    return [*job.directory.glob("slot?"), *job.directory.glob("drive?")]


@contextmanager
def shortened(job: NdmJob, label: str, keep: int) -> Iterator[None]:
    """So much of the tape with this label is there for a while."""
    name = f" TAPE {label}\n".encode()
    (path,) = [path for path in tapes(job) if name in path.read_bytes()[:999]]
    before, which = path.read_bytes(), path.stat().st_ino
    path.write_bytes(before[:keep])
    try:
        yield
    finally:
        (moved,) = [path for path in tapes(job) if path.stat().st_ino == which]
        moved.write_bytes(before)


@needs_ndmjob
def test_from_ndmp_tapes(on_ndmp: Amanda, recoveries: int) -> None:
    """Three tapes, eleven parts: whole, every time. No byte passes our process."""
    for _ in range(max(2, recoveries)):
        place, recovered = recover(on_ndmp, "home", "*")
        check_good(on_ndmp, "home", place, recovered)
        log = our_logs(on_ndmp)[-1]
        assert "the mover has sent 21" in log
        assert "the data connection is with" not in log


@needs_ndmjob
def test_an_application_that_never_comes_to_the_mover(on_ndmp: Amanda) -> None:
    with application(on_ndmp, "sys.exit(7)"):
        _, recovered = recover(on_ndmp, "home", "part0")
    text = f"recovery failed: the application did not connect within {PATIENCE} s"
    assert text in recovered.text


@needs_ndmjob
def test_an_application_that_leaves_the_mover(on_ndmp: Amanda) -> None:
    """In the middle; then the same tapes are recovered well."""
    with application(on_ndmp, "connect().recv(1000); sys.exit(9)"):
        _, recovered = recover(on_ndmp, "home", "part0")
    assert "recovery failed: " in recovered.text
    assert "Extractor child exited with status 9" in recovered.text
    place, recovered = recover(on_ndmp, "home", "*")
    check_good(on_ndmp, "home", place, recovered)


@needs_ndmjob
def test_an_application_that_takes_no_more_from_the_mover(on_ndmp: Amanda) -> None:
    """It stands still, and so does the mover; the recovery does not wait for ever."""
    text = f"the mover has sent nothing for {PATIENCE} s"
    deed = f"""\
    import glob, time
    link = connect()
    link.recv(1000)
    logs = "{LOGS}/**/taper-recovery.*.debug"
    while not any("{text}" in open(log).read() for log in glob.glob(logs, recursive=True)):
        time.sleep(0.1)
    sys.exit(9)
"""
    with application(on_ndmp, deed.strip()):
        _, recovered = recover(on_ndmp, "home", "part0")
    assert f"recovery failed: {text}, " in recovered.text
    assert "the application takes no more, or the drive hangs" in recovered.text


@needs_ndmjob
def test_a_tape_that_is_cut(on_ndmp: Amanda, job: NdmJob) -> None:
    """In the middle of a record; the application hears of it by what it has not got."""
    with shortened(job, "SYS-02", 3 << 20):
        _, recovered = recover(on_ndmp, "home", "part0")
    assert "recovery failed: 'SYS-02' file 2: error reading from ndmp:" in recovered.text
    assert "(MEDIA_ERROR)" in recovered.text
    assert "Extractor child exited with status 1" in recovered.text


@needs_ndmjob
def test_a_tape_that_nobody_brings(on_ndmp: Amanda, job: NdmJob) -> None:
    """The person at amrecover says no; what was read before does not pass for the whole."""
    before = len(our_logs(on_ndmp))
    with shortened(job, "SYS-02", 0):
        amrecover = Amrecover(on_ndmp)
        amrecover.type(story("home", "part0", answers=2))
        until(lambda: "'SYS-02' is not at hand" in "".join(our_logs(on_ndmp)[before:]), "asked")
        amrecover.type("n\nquit\n")
        recovered = amrecover.end()
    assert "Extractor child exited with status " in recovered.text
    assert "nobody brings volume 'SYS-02'" in our_logs(on_ndmp)[-1]
