"""One conversation with everything real but the process: lanes, vtapes, files, sockets."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.task import deferLater
from zope.interface.verify import verifyObject

from protocols.driver.codec import decode_command
from protocols.driver.messages import Message
from protocols.header import build_header
from taper.core.interfaces import IClock, IConsole, IDriver
from taper.run import assembly
from taper.run.assembly import Clock, Stderr
from taper.run.paths import make_private
from taper.run.session import Session
from taper.run.setup import SetupFailed, StartFailed
from taper.run.status_files import PREFIX
from tests.opened import threads
from tests.plane.dumping import HEADER, write_holding
from tests.run.sessions import HANDLE, START, WORKER, Listener, Place, make_place, write_line

DATA = bytes(range(256)) * 1000


def open_session(place: Place) -> tuple[Session, Listener]:
    heard = Listener()
    session = Session(reactor, place.setup(), heard)
    session.begin()
    session.open()
    return session, heard


def tell(session: Session, line: str) -> None:
    message = decode_command(line.encode())
    assert isinstance(message, Message)
    assert session.controller is not None
    session.controller.command_received(message)


def tagged_threads(before: set[threading.Thread]) -> list[str]:
    """Threads of devices that go on; one whose end was told may take a moment yet.

    :param before: those of other tests, which nobody waits for here
    """
    ours = threads("device") - before
    for thread in ours:
        thread.join(60)
    return [thread.name for thread in ours if thread.is_alive()]


def test_faces() -> None:
    verifyObject(IConsole, Stderr(lambda data: None, lambda text: None))
    verifyObject(IClock, Clock(reactor))
    verifyObject(IDriver, Listener())


def test_an_unwritable_stderr_ends_nothing() -> None:
    """The disk of the amdump log is full."""
    noted: list[str] = []

    def full(data: bytes) -> int:
        raise OSError(28, "No space left on device")

    Stderr(full, noted.append).write_line("wrote label")
    assert len(noted) == 1
    assert "wrote label" in noted[0]


@ensureDeferred
async def test_a_holding_file_from_start_to_quit(tmp_path: Path) -> None:
    """The dump is on the vtape; trace log, tapelist and status files are as they should be."""
    others = threads("device")
    place = make_place(tmp_path)
    holding = write_holding(str(tmp_path), DATA, 100_000)
    session, heard = open_session(place)
    ready = heard.hear("TAPER-OK")
    tell(session, START)
    await ready
    asked, done = heard.hear("REQUEST-NEW-TAPE"), heard.hear("DONE")
    tell(session, write_line(holding))
    await asked
    (status,) = os.listdir(tmp_path / "tmp")
    assert (tmp_path / "tmp" / status).read_text() == "0"
    tell(session, f"START-SCAN {WORKER} {HANDLE}")
    tell(session, f"NEW-TAPE {WORKER} {HANDLE}")
    assert " INPUT-GOOD TAPE-GOOD " in await done
    await session.quit()
    assert os.listdir(tmp_path / "tmp") == []
    (file,) = (tmp_path / "vtapes/slot1").glob("00001.*")
    assert file.read_bytes()[32768:] == DATA
    assert (tmp_path / "tapelist").read_text().startswith("20260101000000 C01 reuse")
    words = [line.split()[0] + " " + line.split()[2] for line in place.logged()]
    assert words == [
        "INFO taper",
        "INFO Slot",
        "START datestamp",
        'PART "ST:C"',
        'DONE "ST:C"',
        "INFO tape",
        "INFO pid-done",
    ]
    assert tagged_threads(others) == []


@ensureDeferred
async def test_quit_while_a_dumper_sends(tmp_path: Path) -> None:
    """The data connection is cut, the part ends, the volume is finished."""
    place = make_place(tmp_path)
    session, heard = open_session(place)
    ready = heard.hear("TAPER-OK")
    tell(session, START)
    await ready
    port = heard.hear("PORT")
    split = '"" "" "" "" "" "" "" ""'
    tell(session, f"PORT-WRITE {WORKER} {HANDLE} localhost /srv 0 20261123000000 {split} AMANDA")
    words = (await port).split(" ")
    asked, going = heard.hear("REQUEST-NEW-TAPE"), heard.hear("READY")
    with socket.create_connection(("127.0.0.1", int(words[3])), timeout=600) as peer:
        peer.sendall(build_header(HEADER, 32768, None))
    await asked
    data_port = int(words[4].strip('"').rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", data_port), timeout=600) as peer:
        peer.sendall(DATA)
        tell(session, f"NEW-TAPE {WORKER} {HANDLE}")
        await going
        while not any(f.stat().st_size > 32768 for f in tmp_path.glob("vtapes/slot1/00001.*")):
            await deferLater(reactor, 0.01)  # type: ignore[arg-type]
        partial = heard.hear("PARTIAL")
        await session.quit()
        assert '"taper is quitting" ""' in await partial
    lines = place.logged()
    assert lines[-2].startswith("INFO taper tape C01 kb fm [OK]")
    assert lines[-3].startswith("PARTIAL ")
    assert lines[-4].startswith("PARTPARTIAL ")
    assert os.listdir(tmp_path / "tmp") == []


@ensureDeferred
async def test_quit_before_anything(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    session, heard = open_session(place)
    await session.quit()
    await session.quit()
    assert heard.lines == []
    assert place.logged() == ["INFO taper taper pid", "INFO taper pid-done"]


@ensureDeferred
async def test_quit_during_the_first_scan(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    session, heard = open_session(place)
    tell(session, START)
    await session.quit()
    assert heard.lines == [f'TAPE-ERROR {WORKER} "taper is quitting"']
    assert place.logged()[-1] == "INFO taper pid-done"


@ensureDeferred
async def test_a_session_that_was_never_opened_is_quit(tmp_path: Path) -> None:
    await Session(reactor, make_place(tmp_path).setup(), Listener()).quit()


def test_a_damaged_tapelist_stops_the_start(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    (tmp_path / "tapelist").write_text("this is no tapelist\n")
    with pytest.raises(StartFailed, match="Could not read the tapelist"):
        open_session(place)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ('tpchanger "chg-nosuch:x"', "chg-nosuch"),
        ('tpchanger "chg-disk:/no/such/directory"', "directory '/no/such/directory'"),
        ('taperscan "nosuch"', "nosuch"),
    ],
)
def test_a_storage_that_cannot_be_served(tmp_path: Path, more: str, text: str) -> None:
    with pytest.raises(SetupFailed, match=text):
        open_session(make_place(tmp_path, more=more))


def test_the_lines_of_a_conversation_that_never_began(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    session = Session(reactor, place.setup(), Listener())
    session.begin()
    session.start_failed("no user")
    session.set_up_failed("no storage")
    assert place.logged() == [
        "INFO taper taper pid",
        "FATAL taper no user",
        "ERROR taper no-tape error [no storage]",
        "INFO taper pid-done",
    ]


@ensureDeferred
@pytest.mark.parametrize("soon", [False, True])
async def test_what_others_have_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soon: bool
) -> None:
    """It goes once the driver has had time to be answered, or in the end of what was shorter."""
    if soon:
        monkeypatch.setattr(assembly, "TIDY_AFTER", 0.0)
    place = make_place(tmp_path)
    make_private(place.paths.tmpdir)
    left = Path(place.paths.tmpdir, f"{PREFIX}aaaaaa")
    left.touch()
    os.utime(left, (0, 0))
    session, _ = open_session(place)
    assert left.exists()
    while soon and left.exists():
        await deferLater(reactor, 0.01)  # type: ignore[arg-type]
    await session.quit()
    assert not left.exists()
