"""A real library behind the server: a robot that mtx moves, and simulated tape drives."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pytest_twisted import async_yield_fixture, ensureDeferred
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from devices.context import DeviceContext
from devices.lane import Lane
from protocols.ndmp import messages as m
from protocols.ndmp.codes import ErrorCode, HaltReason, TapeMode
from taper.tapeserver.device_tape import DriveVolume
from taper.tapeserver.robot import Library, LibraryState
from taper.tapeserver.settings import BadSettings
from tests.fakes import library as fakes
from tests.fakes.tape import files_on, open_simulated
from tests.ndmp_conformance.robots import elements
from tests.tapeserver.serving import (
    Serving,
    halted,
    listening,
    opened,
    refusal,
    write_settings,
)
from tests.tapeserver.test_serving import EOF_1, STATUS, labelled, move
from tests.tapeserver.test_vtape_tape import header, label, record

FIRST, SECOND, D0, D1 = 1024, 1025, 128, 129
OPEN, CLOSE = m.ScsiOpen(device="lib"), m.ScsiClose()


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> fakes.Library:
    """Two drives, four slots, two volumes."""
    simulated = functools.partial(DriveVolume, open_drive=open_simulated)
    monkeypatch.setattr("taper.tapeserver.assembly.DriveVolume", simulated)
    return fakes.Library(tmp_path / "lib", {1: "TAPE01", 3: "TAPE03"}, slots=4, tapes={})


def section(shelf: fakes.Library, more: str = "") -> str:
    tapes = " ".join(str(drive) for drive in shelf.drives)
    return (
        f"[library lib]\nrobot = {shelf.device}\nmtx = {shelf.program}\n"
        f"drives = d0 d1\ntapes = {tapes}\nstate = {shelf.seen_as}/state\n{more}"
    )


@async_yield_fixture
async def serving(tmp_path: Path, shelf: fakes.Library) -> AsyncIterator[Serving]:
    made = Serving(write_settings(tmp_path, drives=section(shelf)))
    yield made
    await made.end()


async def shelved(session: object) -> dict[str, dict[int, tuple[bool, str]]]:
    found = (await session.request(STATUS)).datain  # type: ignore[attr-defined]
    return elements(bytes(found))


@ensureDeferred
async def test_a_client_moves_volumes_and_writes_them(
    serving: Serving, shelf: fakes.Library
) -> None:
    """Inventory with barcodes, a load, a part, and all back; from slot to slot, too."""
    session = await serving.session()
    await session.request(OPEN)
    seen = await shelved(session)
    assert seen["slot"] == {
        FIRST: (True, "TAPE01"),
        SECOND: (False, ""),
        1026: (True, "TAPE03"),
        1027: (False, ""),
    }
    assert seen["drive"] == {D0: (False, ""), D1: (False, "")}
    assert (await session.request(move(FIRST, D0))).status == 0
    seen = await shelved(session)
    assert seen["slot"][FIRST] == (False, "")
    assert seen["drive"][D0] == (True, "TAPE01")
    await session.request(CLOSE)
    await opened(session, "d0")
    await labelled(session)
    peer = await listening(session)
    peer.send(record(1))
    peer.finish()
    assert (await halted(session))[0] == HaltReason.CONNECT_CLOSED
    for request in (EOF_1, m.MoverStop(), m.TapeClose(), OPEN):
        await session.request(request)
    for source, target in ((D0, D1), (D1, SECOND), (SECOND, 1027)):
        assert await refusal(session, move(source, target)) == ErrorCode.NO_ERR, (source, target)
    assert shelf.places() == {"TAPE01": "slot 4", "TAPE03": "slot 3"}
    assert files_on(shelf.cartridge("TAPE01")) == [[label()], [header(), record(1)]]


@ensureDeferred
async def test_a_client_and_a_local_taper_never_have_one_drive(
    serving: Serving, shelf: fakes.Library
) -> None:
    """The state of chg-robot is what both go by: to open a drive, and to move what is in it."""
    session = await serving.session()
    for request in (OPEN, move(FIRST, D0), CLOSE):
        await session.request(request)
    context = DeviceContext(reactor, lambda name: Lane(reactor, name))  # type: ignore[arg-type]
    tapes = tuple(str(drive) for drive in shelf.drives)
    local = LibraryState(
        Library(shelf.device, shelf.program, f"{shelf.seen_as}/state", tapes), context
    )
    assert await deferToThread(local.take, "0")
    assert await refusal(session, m.TapeOpen(device="d0", mode=TapeMode.RDWR)) == (
        ErrorCode.DEVICE_BUSY
    )
    await session.request(OPEN)
    refused = await session.request(move(D0, FIRST))
    assert bytes(refused.ext_sense[1:4]).hex() == "055302"
    await deferToThread(local.drop, "0")
    await session.request(CLOSE)
    await opened(session, "d0")
    assert not await deferToThread(local.take, "0")
    await session.request(m.TapeClose())
    assert await deferToThread(local.take, "0")


@ensureDeferred
async def test_a_robot_that_fails_says_why(serving: Serving, shelf: fakes.Library) -> None:
    """As an I/O error, with the text of mtx in the client's log."""
    session = await serving.session()
    await session.request(OPEN)
    shelf.fault(nonsense="no robot here")
    assert await refusal(session, STATUS) == ErrorCode.IO
    (log,) = session.take_posts(m.LogMessage)
    assert "no robot here" in str(log)


def test_what_is_missing_is_named(tmp_path: Path, shelf: fakes.Library) -> None:
    """The robot's device, the program, a drive, or one of the two kinds of libraries."""
    for text, more in (
        ("tapes = /x: paths of device files", "tapes = /x\n"),
        ("mtx = /nowhere/mtx: not found", "mtx = /nowhere/mtx\n"),
        ("robot = /nowhere/sg3: not found", "robot = /nowhere/sg3\n"),
        ("disk = /t: one of disk and robot expected", "disk = /t\n"),
    ):
        key = more.split(" ")[0]
        kept = [line for line in section(shelf).splitlines() if not line.startswith(f"{key} =")]
        path = write_settings(tmp_path, drives="\n".join(kept) + f"\n{more}")
        with pytest.raises(BadSettings, match=text):
            Serving(path)
