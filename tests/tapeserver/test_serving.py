"""The server as a program serves it: vtapes, a tape in a file, a library, and whom it refuses."""

from __future__ import annotations

import functools
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import async_yield_fixture, ensureDeferred
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from devices.changers.state import StateFile
from devices.changers.vtape_state import SlotHolders
from devices.file import FileDevice
from devices.interfaces import AccessMode
from protocols.directtcp import Address
from protocols.ndmp import messages as m
from protocols.ndmp.codes import (
    INFINITY,
    AddressType,
    ErrorCode,
    HaltReason,
    MoverMode,
    MoverState,
    Mtio,
    PauseReason,
    TapeMode,
)
from protocols.ndmp.errors import NdmpLost, NdmpRefused
from protocols.ndmp_server.config_agent import MOST_LOGINS
from taper.tapeserver.device_tape import DriveVolume
from tests.fakes.ndmp_peers import TIMEOUT, Peer, call
from tests.fakes.stranger import Stranger, needs_root
from tests.fakes.tape import files_on, load, make_cartridge, make_drive, open_simulated
from tests.tapeserver.serving import (
    BLOCK,
    Serving,
    halted,
    listening,
    opened,
    refusal,
    write_settings,
)
from tests.tapeserver.test_vtape_tape import header, label, record

Make = Callable[..., Serving]
EOF_1 = m.TapeMtio(op=Mtio.EOF, count=1)
REWIND = m.TapeMtio(op=Mtio.REW, count=1)


@async_yield_fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Serving] = []

    def serve(server: str = "", **more: str) -> Serving:
        made.append(Serving(write_settings(tmp_path, server, **more)))
        return made[-1]

    yield serve
    for serving in made:
        await serving.end()


async def paused(session: Any) -> m.NotifyMoverPaused:
    post = await session.next_post(m.NotifyMoverPaused, TIMEOUT)
    assert isinstance(post, m.NotifyMoverPaused)
    return post


async def labelled(session: Any) -> None:
    for request in (m.TapeWrite(data=label()), EOF_1, m.TapeWrite(data=header())):
        await session.request(request)


@ensureDeferred
async def test_a_stream_becomes_a_part_of_a_volume(make: Make, tmp_path: Path) -> None:
    """Windows, the padded end, and what ``file:`` reads of it; and the same back to a client."""
    session = await make().session()
    await opened(session)
    await labelled(session)
    await session.request(m.MoverSetWindow(offset=0, length=2 * BLOCK))
    peer = await listening(session)
    data = record(1) + record(2) + record(3) + b"rest"
    peer.send(data)
    peer.finish()
    assert await paused(session) == m.NotifyMoverPaused(PauseReason.EOW, 2 * BLOCK)
    assert await refusal(session, m.MoverContinue()) == ErrorCode.PRECONDITION
    await session.request(m.MoverSetWindow(offset=2 * BLOCK, length=INFINITY - 2 * BLOCK))
    await session.request(m.MoverContinue())
    assert await halted(session) == (HaltReason.CONNECT_CLOSED, "")
    state = await session.request(m.MoverGetState())
    assert (state.state, state.bytes_moved) == (MoverState.HALTED, 4 * BLOCK)
    await session.request(EOF_1)
    await session.request(m.MoverStop())
    node = str(tmp_path / "vt")
    device = FileDevice(f"file:{node}", node)
    assert device.read_label().label == "VOL-1"
    device.start(AccessMode.READ)
    assert device.seek_file(1) is not None
    buffer = memoryview(bytearray(5 * BLOCK))
    assert bytes(buffer[: device.read_blocks(buffer)]) == data.ljust(4 * BLOCK, b"\0")
    device.finish()
    await read_back(session, data.ljust(4 * BLOCK, b"\0"))


async def read_back(session: Any, data: bytes) -> None:
    """The file before the position, by the mover; the end of it in the middle of a record."""
    for op, count in ((Mtio.BSF, 2), (Mtio.FSF, 1), (Mtio.FSR, 1)):
        await session.request(m.TapeMtio(op=op, count=count))
    await session.request(m.MoverSetWindow(offset=0, length=INFINITY))
    peer = await listening(session, MoverMode.WRITE)
    while (await session.request(m.MoverGetState())).state is MoverState.LISTEN:
        pass
    await session.request(m.MoverRead(offset=0, length=BLOCK + 100))
    while (await session.request(m.MoverGetState())).bytes_left_to_read:
        pass
    await session.request(m.MoverRead(offset=BLOCK + 100, length=INFINITY - BLOCK - 100))
    assert await paused(session) == m.NotifyMoverPaused(PauseReason.EOF, len(data))
    await session.request(m.MoverClose())
    assert await peer.ended
    assert bytes(peer.received) == data


@ensureDeferred
async def test_a_limit_pauses_the_stream_and_nothing_is_lost(make: Make, tmp_path: Path) -> None:
    """The record that met the early warning goes to the next volume."""
    drives = "".join(f"[drive v{n}]\nvtape = {tmp_path}/v{n}\nlimit = 320k\n" for n in range(2))
    for number in range(2):
        (tmp_path / f"v{number}").mkdir()
    session = await make(drives=drives).session()
    data = b"".join(record(number) for number in range(6))
    await opened(session, "v0")
    await labelled(session)
    peer = await listening(session)
    peer.send(data)
    peer.finish()
    assert await paused(session) == m.NotifyMoverPaused(PauseReason.EOM, 4 * BLOCK)
    await session.request(EOF_1)
    await session.request(m.TapeClose())
    await session.request(m.TapeOpen(device="v1", mode=TapeMode.RDWR))
    await labelled(session)
    await session.request(m.MoverSetWindow(offset=4 * BLOCK, length=INFINITY - 4 * BLOCK))
    await session.request(m.MoverContinue())
    assert (await halted(session))[0] == HaltReason.CONNECT_CLOSED
    await session.request(EOF_1)
    parts = [
        (tmp_path / name / "00001.client._home.0").read_bytes()[BLOCK:] for name in ("v0", "v1")
    ]
    assert b"".join(parts) == data


@ensureDeferred
async def test_what_a_directory_cannot_hold_halts_the_mover_with_its_reason(make: Make) -> None:
    """A stream without a header in front of it; and by request the same text in the log."""
    session = await make().session()
    await opened(session)
    await session.request(m.TapeWrite(data=label()))
    await session.request(EOF_1)
    peer = await listening(session)
    peer.send(record(1))
    reason, text = await halted(session)
    assert reason == HaltReason.MEDIA_ERROR
    assert "file 1, record 0: no header of an Amanda dump" in text
    await session.request(m.MoverStop())
    assert await refusal(session, m.TapeWrite(data=record(1))) == ErrorCode.ILLEGAL_ARGS
    (log,) = session.take_posts(m.LogMessage)
    assert "file 1, record 0" in str(log)
    assert await refusal(session, m.MoverSetRecordSize(size=BLOCK // 2)) == ErrorCode.ILLEGAL_ARGS
    assert await peer.ended is False


@ensureDeferred
async def test_a_tape_in_a_file_takes_any_records(make: Make) -> None:
    """Of a client that writes no headers, with any filemarks; over a change of the session."""
    serving = make()
    session = await serving.session()
    await session.request(m.TapeOpen(device="sim", mode=TapeMode.RDWR))
    for request in (m.TapeWrite(data=b"odd"), EOF_1, EOF_1, m.TapeWrite(data=b"x" * 999)):
        await session.request(request)
    await session.close()
    again = await serving.session()
    while await refusal(again, m.TapeOpen(device="sim", mode=TapeMode.READ)):
        pass  # the drive is closed a moment after the session
    await again.request(m.TapeMtio(op=Mtio.BSF, count=1))
    assert (await again.request(m.TapeGetState())).file_num == 2
    await again.request(REWIND)
    assert (await again.request(m.TapeRead(count=9))).data == b"odd"
    await again.request(m.TapeMtio(op=Mtio.FSF, count=2))
    assert len((await again.request(m.TapeRead(count=5000))).data) == 999


@ensureDeferred
async def test_an_unloaded_drive_is_loaded_when_it_is_opened(make: Make) -> None:
    """There is nobody else who could."""
    session = await make().session()
    await opened(session)
    await session.request(m.TapeWrite(data=label()))
    await session.request(m.TapeMtio(op=Mtio.OFF, count=1))
    assert await refusal(session, m.TapeRead(count=BLOCK)) == ErrorCode.NO_TAPE_LOADED
    await session.request(m.TapeClose())
    await opened(session, mode=TapeMode.READ)
    assert (await session.request(m.TapeRead(count=BLOCK))).data == label()
    assert await refusal(session, m.TapeWrite(data=label())) == ErrorCode.PERMISSION


@ensureDeferred
async def test_a_tape_drive_of_the_host(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream onto a cartridge and back, by two clients; an unloaded one is gone."""
    simulated = functools.partial(DriveVolume, open_drive=open_simulated)
    monkeypatch.setattr("taper.tapeserver.assembly.DriveVolume", simulated)
    make_drive(tmp_path / "nst0")
    load(tmp_path / "nst0", make_cartridge(tmp_path / "cartridge"))
    serving = make(drives=f"[drive lto]\ntape = {tmp_path}/nst0\n")
    session = await serving.session()
    await opened(session, "lto")
    await labelled(session)
    peer = await listening(session)
    peer.send(record(1) + record(2))
    peer.finish()
    assert (await halted(session))[0] == HaltReason.CONNECT_CLOSED
    await session.request(EOF_1)
    await session.request(m.TapeClose())
    other = await serving.session()
    await opened(other, "lto", TapeMode.READ)
    assert (await other.request(m.TapeGetState())).file_num == 2
    await read_back(other, record(1) + record(2))
    await other.request(m.TapeMtio(op=Mtio.OFF, count=1))
    await other.request(m.TapeClose())
    again = m.TapeOpen(device="lto", mode=TapeMode.READ)
    assert await refusal(other, again) == ErrorCode.NO_TAPE_LOADED
    files = files_on(tmp_path / "cartridge")
    assert files == [[label()], [header(), record(1), record(2)]]


# the library


def move(source: int, target: int) -> m.ScsiExecuteCdb:
    cdb = b"\xa5\0\0\x10" + source.to_bytes(2, "big") + target.to_bytes(2, "big") + bytes(4)
    return m.ScsiExecuteCdb(0, 300000, 0, cdb)


STATUS = m.ScsiExecuteCdb(1, 60000, 4096, bytes.fromhex("b810 0000 ffff 0200 1000 0000"))


@ensureDeferred
async def test_a_tree_is_a_library(make: Make, tmp_path: Path) -> None:
    """Its slots keep their numbers, a missing one is empty; a volume goes home and nowhere else."""
    serving = make()
    session = await serving.session()
    await session.request(m.ScsiOpen(device="robot"))
    found = bytes((await session.request(STATUS)).datain)
    assert [found.count(code) for code in (b"SLOT1 ", b"SLOT2 ", b"SLOT3 ", b"SLOT4 ")] == [
        *(1, 1, 0, 1)
    ]
    for source, target, sense in (
        (1027, 128, ""),
        (1024, 128, "053b0d"),
        (1026, 129, "053b0e"),
        (1024, 1026, "052101"),
        (128, 1026, "052101"),
        (99, 128, "052101"),
        (1024, 1030, "052101"),
    ):
        done = await session.request(move(source, target))
        assert bytes(done.ext_sense[1:4]).hex() == sense, (source, target)
    await session.request(m.ScsiClose())
    await opened(session, "d0")
    await session.request(m.TapeWrite(data=label("IN-4")))
    other = await serving.session()
    await other.request(m.ScsiOpen(device="robot"))
    busy = await other.request(move(128, 1027))
    assert bytes(busy.ext_sense[1:4]).hex() == "055302"
    await session.request(m.TapeClose())
    assert (tmp_path / "tree/slot4/00000.IN-4").exists()
    again = Serving(tmp_path / "conf")  # a server that is started again knows what is where
    told = (await again.server.robots["robot"].look()).drives
    assert told == (("SLOT4", 3), None)
    await again.end()
    assert (await other.request(move(128, 1027))).status == 0


@ensureDeferred
async def test_a_client_and_a_taper_never_have_one_volume(make: Make, tmp_path: Path) -> None:
    """The state of the changer is what both go by."""
    state = StateFile(str(tmp_path / "tree/state"))

    def local(slot: int) -> tuple[str | None, str]:
        with state.locked() as data:
            holders = SlotHolders(data)
            holder = holders.holder(slot)
            return (holder.drive, "") if holder else (None, holders.take(slot))

    def drop(slot: int, drive: str) -> None:
        with state.locked() as data:
            SlotHolders(data).drop(drive, slot)

    session = await make().session()
    await session.request(m.ScsiOpen(device="robot"))
    await session.request(move(1025, 128))
    await session.request(m.ScsiClose())
    _, drive = await deferToThread(local, 2)
    assert await refusal(session, m.TapeOpen(device="d0", mode=TapeMode.RDWR)) == (
        ErrorCode.DEVICE_BUSY
    )
    (log,) = session.take_posts(m.LogMessage)
    assert "slot 2" in str(log)
    await deferToThread(drop, 2, drive)
    await opened(session, "d0")
    assert (await deferToThread(local, 2))[0] is not None
    await session.request(m.TapeClose())
    assert (await deferToThread(local, 2))[0] is None


@ensureDeferred
async def test_a_drive_has_one_client(make: Make) -> None:
    """The second is told so; another server of the same volume tells the same."""
    serving = make()
    first, second = await serving.session(), await serving.session()
    await opened(first)
    for drive in ("vt", "none"):
        wanted = ErrorCode.DEVICE_BUSY if drive == "vt" else ErrorCode.NO_DEVICE
        assert await refusal(second, m.TapeOpen(device=drive, mode=TapeMode.READ)) == wanted
    third = await make().session()
    assert await refusal(third, m.TapeOpen(device="vt", mode=TapeMode.READ)) == (
        ErrorCode.DEVICE_BUSY
    )


# strangers


@ensureDeferred
async def test_a_stranger_is_cut_off_without_a_word(make: Make) -> None:
    """Who does not call from one of the clients' networks."""
    serving = make("clients = 192.0.2.0/24")
    peer = await call(Address("127.0.0.1", serving.server.port))
    await peer.ended
    assert peer.received == b""


@pytest.mark.parametrize("auth", ["md5", "text", "none"])
@ensureDeferred
async def test_a_wrong_key_opens_nothing(make: Make, auth: str) -> None:
    """Nor does none at all."""
    serving = make()
    with pytest.raises(NdmpRefused):
        await serving.session("guessed", auth=auth)
    session = await serving.session(auth="void")
    for request in (m.TapeOpen(device="vt", mode=TapeMode.READ), m.ConfigGetHostInfo()):
        assert await refusal(session, request) == ErrorCode.NOT_AUTHORIZED
    told = await session.request(m.ConfigGetServerInfo())
    assert (told.vendor, told.product, told.revision) == ("", "", "")


@ensureDeferred
async def test_who_guesses_on_is_cut_off(make: Make) -> None:
    """After some failures the session is over."""
    session = await make().session(auth="void")
    wrong = m.ConnectClientAuth(auth=m.AuthData(AddressType.TCP, "ndmp", "guess"))
    for _ in range(MOST_LOGINS):
        assert await refusal(session, wrong) == ErrorCode.NOT_AUTHORIZED
    with pytest.raises(NdmpLost):
        await session.request(wrong)


@ensureDeferred
async def test_nobody_need_log_in_where_that_is_asked_for(make: Make) -> None:
    session = await make("anonymous = yes").session(auth="none")
    assert (await session.request(m.ConfigGetHostInfo())).hostname


@ensureDeferred
async def test_a_silent_caller_is_cut_off(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds nothing, and not for long."""
    monkeypatch.setattr("taper.tapeserver.server.LOGIN_PATIENCE", 0.05)
    serving = make()
    peer = await call(Address("127.0.0.1", serving.server.port))
    await peer.ended
    assert not serving.server.sessions


@ensureDeferred
async def test_the_mover_calls_data_peers_only(make: Make) -> None:
    """A client cannot have us try the ports of others."""
    session = await make("data-peers = 192.0.2.0/24").session()
    await opened(session)
    there = m.DataAddress(AddressType.TCP, (Address("127.0.0.1", 9),))
    connect = m.MoverConnect(mode=MoverMode.READ, address=there)
    assert await refusal(session, connect) == ErrorCode.CONNECT
    (log,) = session.take_posts(m.LogMessage)
    assert "127.0.0.1 is not among the data peers" in str(log)


@needs_root
@pytest.mark.parametrize("server", ["", "data-peers = 192.0.2.0/24"])
@ensureDeferred
async def test_a_stranger_cannot_put_data_on_a_volume(make: Make, server: str) -> None:
    """Another user of the host, whose address is not named: the port waits for the right one."""
    session = await make(server).session()
    await opened(session)
    await labelled(session)
    reply = await session.request(m.MoverListen(mode=MoverMode.READ))
    port = reply.address.addresses[0].port
    with await deferToThread(Stranger, port, "evil") as stranger:
        assert await deferToThread(stranger.heard) == b""
    peer = await call(reply.address.addresses[0])
    peer.send(record(1))
    peer.finish()
    assert (await halted(session))[0] == HaltReason.CONNECT_CLOSED
    assert (await session.request(m.MoverGetState())).bytes_moved == BLOCK


@pytest.mark.parametrize("comes", [True, False])
@ensureDeferred
async def test_a_silent_peer_ends_in_bounded_time(make: Make, comes: bool) -> None:
    """One that does not come, and one that says nothing more."""
    session = await make("data-timeout = 1" if comes else "listen-timeout = 1").session()
    await opened(session)
    await labelled(session)
    if comes:
        (await listening(session)).send(b"half a record")
    else:
        await session.request(m.MoverListen(mode=MoverMode.READ))
    reason, text = await halted(session)
    assert reason == HaltReason.CONNECT_ERROR
    assert ("for too long" if comes else "nobody connected") in text
    assert (await session.request(m.MoverGetState())).bytes_moved == 0


@ensureDeferred
async def test_a_client_that_takes_no_replies_is_held(make: Make) -> None:
    """So that what is read for it does not fill the memory; it gets all of it when it goes on."""
    serving = make()
    session = await serving.session()
    large = bytes(1 << 20)
    await session.request(m.TapeOpen(device="sim", mode=TapeMode.RDWR))
    await session.request(m.TapeWrite(data=large))
    (inner,) = serving.server.sessions
    session.tcp.pauseProducing()
    reads = []
    for _ in range(24):
        session.request(REWIND)
        reads.append(session.request(m.TapeRead(count=len(large))))
    while not inner._held:
        await deferLater(reactor, 0.01, lambda: None)
    session.tcp.resumeProducing()
    assert [(await read).data == large for read in reads] == [True] * 24


@ensureDeferred
async def test_data_ports_are_of_the_range(make: Make) -> None:
    """And none other is taken where they are in use."""
    port = free_port()
    serving = make(f"data-ports = {port}-{port}")
    first, second = await serving.session(), await serving.session()
    await opened(first)
    await second.request(m.TapeOpen(device="sim", mode=TapeMode.RDWR))
    await second.request(m.MoverSetRecordSize(size=BLOCK))
    reply = await first.request(m.MoverListen(mode=MoverMode.READ))
    assert reply.address.addresses == (Address("127.0.0.1", port),)
    assert await refusal(second, m.MoverListen(mode=MoverMode.READ)) == ErrorCode.CONNECT


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@ensureDeferred
async def test_rubbish_ends_its_session_and_no_other(make: Make) -> None:
    """A length that nobody has to say, before it is said."""
    serving = make()
    session = await serving.session()
    stranger: Peer = await call(Address("127.0.0.1", serving.server.port))
    stranger.send(b"\xff\xff\xff\xff rubbish")
    await stranger.ended
    assert (await session.request(m.ConfigGetTapeInfo())).models
