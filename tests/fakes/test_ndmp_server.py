"""Our NDMP server moves real bytes and refuses what such servers refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from attrs import evolve
from pytest_twisted import async_yield_fixture, ensureDeferred
from twisted.internet import reactor
from twisted.internet.task import deferLater

from protocols.directtcp import Address
from protocols.ndmp import messages as m
from protocols.ndmp.codes import (
    INFINITY,
    ErrorCode,
    HaltReason,
    MoverMode,
    MoverState,
    Mtio,
    PauseReason,
    TapeMode,
)
from protocols.ndmp.errors import NdmpRefused
from protocols.twisted_transports.ndmp import NdmpSession
from tests.fakes.ndmp_peers import RECORD, TIMEOUT, Conversation, call, listening
from tests.fakes.ndmp_server import CONFORMING, LENIENT, STRICT, Limits, Medium, Profile, Robot

Make = Callable[..., Conversation]
DATA = bytes(range(256)) * 40  # 10 records


@async_yield_fixture
async def make() -> AsyncIterator[Make]:
    made: list[Conversation] = []

    def converse(*arguments: Any) -> Conversation:
        made.append(Conversation(*arguments))
        return made[-1]

    yield converse
    for conversation in made:
        await conversation.end()


async def refusal(session: NdmpSession, request: m.Request[Any]) -> ErrorCode | int:
    """The error that a request is answered with."""
    with pytest.raises(NdmpRefused) as caught:
        await session.request(request)
    return caught.value.error


async def paused(session: NdmpSession) -> m.NotifyMoverPaused:
    post = await session.next_post(m.NotifyMoverPaused, TIMEOUT)
    assert isinstance(post, m.NotifyMoverPaused)
    return post


async def halted(session: NdmpSession) -> HaltReason | int:
    post = await session.next_post(m.NotifyMoverHalted, TIMEOUT)
    assert isinstance(post, m.NotifyMoverHalted)
    return post.reason


def data_of(tape: Medium) -> bytes:
    return b"".join(record for file in tape.files() for record in file)


@pytest.mark.parametrize("auth", ["md5", "text"])
@pytest.mark.parametrize("version", [2, 3, 4])
@ensureDeferred
async def test_every_version_and_login_moves_a_stream(make: Make, version: int, auth: str) -> None:
    """A stream of odd length arrives whole, its last record padded with zeros."""
    talk = make(LENIENT)
    session = await talk.session(auth=auth, versions=(version,))
    peer = await listening(session, window=None)
    peer.send(DATA + b"rest")
    peer.finish()
    assert await halted(session) == HaltReason.CONNECT_CLOSED
    assert data_of(talk.tapes[0]) == DATA + b"rest".ljust(RECORD, b"\0")
    state = await session.request(m.MoverGetState())
    assert (state.state, state.bytes_moved) == (MoverState.HALTED, 11 * RECORD)


@pytest.mark.parametrize("profile", [LENIENT, STRICT], ids=lambda profile: profile.name)
@ensureDeferred
async def test_windows_and_early_warning_lose_nothing(make: Make, profile: Profile) -> None:
    """The stream pauses at each window and at the end of the tape, and goes on behind it."""
    talk = make(profile, Medium(Limits(early_records=5)), Medium())
    session = await talk.session()
    peer = await listening(session, window=(0, 3 * RECORD))
    peer.send(DATA)
    peer.finish()
    end = PauseReason.SEEK if profile is LENIENT else PauseReason.EOW
    assert await paused(session) == m.NotifyMoverPaused(end, 3 * RECORD)
    await session.request(m.MoverSetWindow(offset=3 * RECORD, length=INFINITY - 3 * RECORD))
    await session.request(m.MoverContinue())
    assert await paused(session) == m.NotifyMoverPaused(PauseReason.EOM, 5 * RECORD)
    await session.request(m.TapeMtio(op=Mtio.EOF, count=1))
    await session.request(m.TapeClose())
    await session.request(m.TapeOpen(device="t1", mode=TapeMode.RAW))
    await session.request(m.MoverSetWindow(offset=5 * RECORD, length=INFINITY - 5 * RECORD))
    await session.request(m.MoverContinue())
    assert await halted(session) == HaltReason.CONNECT_CLOSED
    first, second = talk.tapes
    assert [len(file) for file in first.files()] == [5]
    assert first.filemarks() == 1
    assert data_of(first) + data_of(second) == DATA


@ensureDeferred
async def test_an_empty_window_pauses_before_the_first_byte(make: Make) -> None:
    """So that label and header can be written while the sender already waits."""
    talk = make(LENIENT)
    session = await talk.session()
    peer = await listening(session)
    peer.send(DATA)
    assert await paused(session) == m.NotifyMoverPaused(PauseReason.SEEK, 0)
    await session.request(m.TapeWrite(data=b"header"))
    await session.request(m.MoverContinue())
    assert await paused(session)  # the window is as empty as before
    await session.request(m.MoverAbort())
    assert await halted(session) == HaltReason.ABORTED
    assert await peer.ended is False
    assert data_of(talk.tapes[0]) == b"header"


@ensureDeferred
async def test_the_physical_end_halts_the_mover(make: Make) -> None:
    """A medium that takes no more is an error, told apart from the end of the stream."""
    talk = make(LENIENT, Medium(Limits(end_records=2)))
    session = await talk.session()
    peer = await listening(session, window=None)
    peer.send(DATA)
    assert await halted(session) == HaltReason.MEDIA_ERROR
    assert data_of(talk.tapes[0]) == DATA[: 2 * RECORD]


@ensureDeferred
async def test_a_reset_is_told_apart_from_an_end(make: Make) -> None:
    """A sender that dies by a reset gives another halt reason."""
    talk = make(LENIENT)
    session = await talk.session()
    peer = await listening(session, window=None)
    peer.reset()
    assert await halted(session) == HaltReason.CONNECT_ERROR


@pytest.mark.parametrize("profile", [LENIENT, STRICT], ids=lambda profile: profile.name)
@ensureDeferred
async def test_a_tape_is_streamed_back_file_by_file(make: Make, profile: Profile) -> None:
    """Restoring pauses at each filemark after everything before it was sent."""
    talk = make(profile)
    tape = talk.tapes[0]
    for part in (DATA[: 4 * RECORD], DATA[4 * RECORD :]):
        for at in range(0, len(part), RECORD):
            tape.write(part[at : at + RECORD])
        tape.write_filemark()
    tape.rewind()
    session = await talk.session()
    peer = await listening(session, mode=MoverMode.WRITE, window=(0, INFINITY))
    while (await session.request(m.MoverGetState())).state is MoverState.LISTEN:
        pass
    await session.request(m.MoverRead(offset=0, length=INFINITY))
    assert await paused(session) == m.NotifyMoverPaused(PauseReason.EOF, 4 * RECORD)
    await session.request(m.TapeMtio(op=Mtio.FSF, count=1))
    await session.request(m.MoverSetWindow(offset=4 * RECORD, length=INFINITY - 4 * RECORD))
    await session.request(m.MoverContinue())
    assert await paused(session) == m.NotifyMoverPaused(PauseReason.EOF, 10 * RECORD)
    await session.request(m.MoverClose())
    assert await peer.ended
    assert bytes(peer.received) == DATA


@ensureDeferred
async def test_several_addresses_may_be_offered(make: Make) -> None:
    """Some of them of no use, in the order that the test wants; version 3 can say only one."""
    talk = make(LENIENT)
    dead = Address("127.0.0.1", 1)
    talk.server.say_before = talk.server.say_after = (dead,)
    for version in (4, 3):
        session = await talk.session(versions=(version,))
        await session.request(m.TapeOpen(device="t0", mode=TapeMode.RAW))
        reply = await session.request(m.MoverListen(mode=MoverMode.READ))
        good = [address for address in reply.address.addresses if address != dead]
        assert len(good) == 1
        assert len(reply.address.addresses) == (3 if version == 4 else 1)
        await session.close()
        while talk.server.sessions:  # the drive is busy as long as the server has not seen that
            await deferLater(reactor, 0.01, lambda: None)


def test_limits_are_read_from_a_text() -> None:
    """In bytes as ndmjob has it, or in records."""
    assert Limits.parse("1048576") == Limits(early=983040, end=1048576)
    assert Limits.parse("8r") == Limits(early_records=8)
    assert Limits.parse("8r-10r") == Limits(early_records=8, end_records=10)
    with pytest.raises(ValueError, match="expected BYTES"):
        Limits.parse("8-9")


@ensureDeferred
async def test_the_mover_connects_where_it_is_told(make: Make) -> None:
    """One mover listens, the other one connects: a tape is copied to a tape."""
    talk = make(LENIENT)
    for at in range(0, len(DATA), RECORD):
        talk.tapes[0].write(DATA[at : at + RECORD])
    talk.tapes[0].rewind()
    sink, source = await talk.session(), await talk.session()
    await sink.request(m.TapeOpen(device="t1", mode=TapeMode.RAW))
    await source.request(m.TapeOpen(device="t0", mode=TapeMode.READ))
    for session in (sink, source):
        await session.request(m.MoverSetRecordSize(size=RECORD))
    where = await sink.request(m.MoverListen(mode=MoverMode.READ))
    await source.request(m.MoverConnect(mode=MoverMode.WRITE, address=where.address))
    await source.request(m.MoverRead(offset=0, length=INFINITY))
    assert (await paused(source)).reason == PauseReason.EOF
    await source.request(m.MoverClose())
    assert await halted(sink) == HaltReason.CONNECT_CLOSED
    assert data_of(talk.tapes[1]) == DATA
    again = m.MoverConnect(mode=MoverMode.WRITE, address=where.address)
    await source.request(m.MoverStop())
    assert await refusal(source, again) == ErrorCode.CONNECT


@ensureDeferred
async def test_strict_wants_everything_in_its_order(make: Make) -> None:
    """Record size first, no empty window, a window before CONTINUE, no tape while listening."""
    session = await make(STRICT).session()
    await session.request(m.TapeOpen(device="t0", mode=TapeMode.RAW))
    assert await refusal(session, m.MoverSetWindow(offset=0, length=RECORD)) == (
        ErrorCode.PRECONDITION
    )
    assert await refusal(session, m.MoverListen(mode=MoverMode.READ)) == ErrorCode.PRECONDITION
    await session.request(m.MoverSetRecordSize(size=RECORD))
    assert await refusal(session, m.MoverSetWindow(offset=0, length=0)) == ErrorCode.ILLEGAL_ARGS
    await session.request(m.MoverSetWindow(offset=0, length=RECORD))
    where = await session.request(m.MoverListen(mode=MoverMode.READ))
    assert await refusal(session, m.TapeWrite(data=b"header")) == ErrorCode.DEVICE_BUSY
    assert await refusal(session, m.TapeMtio(op=Mtio.REW, count=1)) == ErrorCode.ILLEGAL_STATE
    peer = await call(where.address.addresses[0])
    peer.send(DATA)
    assert (await paused(session)).reason == PauseReason.EOW
    assert await refusal(session, m.MoverSetRecordSize(size=512)) == ErrorCode.ILLEGAL_STATE
    assert await refusal(session, m.MoverContinue()) == ErrorCode.PRECONDITION
    await session.request(m.MoverSetWindow(offset=RECORD, length=RECORD))
    await session.request(m.MoverContinue())
    assert (await paused(session)).seek_position == 2 * RECORD


@pytest.mark.parametrize(
    ("profile", "size"),
    [(LENIENT, 10240), (STRICT, RECORD), (evolve(STRICT, forgets_record_size=True), 0)],
    ids=["lenient forgets", "strict keeps", "strict that forgets"],
)
@ensureDeferred
async def test_a_record_size_is_kept_or_forgotten(make: Make, profile: Profile, size: int) -> None:
    """What is left of the record size after STOP is the server's choice."""
    session = await make(profile).session()
    await listening(session, window=None)
    await session.request(m.MoverAbort())
    await session.request(m.MoverStop())
    assert (await session.request(m.MoverGetState())).record_size == size


@pytest.mark.parametrize(
    ("profile", "version", "error"),
    [
        (LENIENT, 4, ErrorCode.EOF),
        (CONFORMING, 4, ErrorCode.EOM),
        (CONFORMING, 3, ErrorCode.EOF),
    ],
)
@ensureDeferred
async def test_reading_behind_everything(
    make: Make, profile: Profile, version: int, error: ErrorCode
) -> None:
    """A filemark is EOF; what follows the last one depends on server and version."""
    talk = make(profile)
    talk.tapes[0].write(b"record")
    talk.tapes[0].write_filemark()
    session = await talk.session(versions=(version,))
    await session.request(m.TapeOpen(device="t0", mode=TapeMode.READ))
    await session.request(m.TapeMtio(op=Mtio.REW, count=1))
    assert (await session.request(m.TapeRead(count=3))).data == b"rec"
    assert await refusal(session, m.TapeRead(count=1024)) == ErrorCode.EOF
    if version == 4:
        await session.request(m.TapeMtio(op=Mtio.FSF, count=1))
    assert (await session.request(m.TapeGetState())).file_num == 1
    assert await refusal(session, m.TapeRead(count=1024)) == error


@ensureDeferred
async def test_a_drive_has_one_user(make: Make) -> None:
    """A second session finds it busy until the first one is gone, or is told to let go."""
    talk = make(evolve(LENIENT, frees_drives=False))
    first, second = await talk.session(), await talk.session()
    opening = m.TapeOpen(device="t0", mode=TapeMode.RAW)
    await first.request(opening)
    assert await refusal(first, opening) == ErrorCode.DEVICE_OPENED
    await first.close()
    assert await refusal(second, opening) == ErrorCode.DEVICE_BUSY
    talk.server.unlock("t0")
    await second.request(opening)


@ensureDeferred
async def test_nobody_gets_in_without_the_password(make: Make) -> None:
    """A wrong password is refused, and so is everything before the login."""
    talk = make(LENIENT)
    talk.server.password = "another"
    for auth in ("md5", "text"):
        with pytest.raises(NdmpRefused):
            await talk.session(auth=auth)
    session = await talk.session(auth="void")
    assert await refusal(session, m.TapeGetState()) == ErrorCode.NOT_AUTHORIZED


@ensureDeferred
async def test_a_changer_moves_tapes(make: Make) -> None:
    """A tape goes from its slot into the drive, and the drive then reads it."""
    talk = make(LENIENT)
    tape, server = Medium(barcode="ONE"), talk.server
    tape.write(b"label")
    server.drives["t0"].medium = None
    server.robots["robot"] = Robot([server.drives["t0"]], [None, tape])
    session = await talk.session()
    await session.request(m.ScsiOpen(device="robot"))
    move = bytes.fromhex("a500 0010 0401 0080 00000000")
    done = await session.request(m.ScsiExecuteCdb(0, 300000, 0, move))
    assert done.status == 0
    again = await session.request(m.ScsiExecuteCdb(0, 300000, 0, move))
    assert (again.status, bytes(again.ext_sense[:4]).hex()) == (2, "72053b0d")
    status = bytes.fromhex("b810 0000 ffff 0200 1000 0000")
    found = await session.request(m.ScsiExecuteCdb(1, 60000, 4096, status))
    assert b"ONE " in bytes(found.datain)
    await session.request(m.ScsiClose())
    await session.request(m.TapeOpen(device="t0", mode=TapeMode.READ))
    await session.request(m.TapeMtio(op=Mtio.REW, count=1))
    assert (await session.request(m.TapeRead(count=100))).data == b"label"
