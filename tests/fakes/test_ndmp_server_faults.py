"""Faults planted in our NDMP server happen where they were planted, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import async_yield_fixture, ensureDeferred
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from protocols.ndmp import messages as m
from protocols.ndmp.codes import (
    ErrorCode,
    HaltReason,
    MoverMode,
    MoverState,
    PauseReason,
    TapeMode,
)
from protocols.ndmp.errors import NdmpGarbage, NdmpLost, NdmpRefused, NdmpTimeout
from protocols.twisted_transports.ndmp import connect_session
from tests.fakes.ndmp_peers import RECORD, TIMEOUT, Conversation, listening
from tests.fakes.ndmp_server import (
    Call,
    Delay,
    Drop,
    Flip,
    ForgetRecordSize,
    Halt,
    Hold,
    KillData,
    Medium,
    Pause,
    Phase,
    Reset,
    Say,
    Send,
    Shorten,
    Silence,
    Truncate,
    Wrong,
)
from tests.fakes.ndmp_server.faults import parse_fault

OPEN = m.TapeOpen(device="t0", mode=TapeMode.RAW)
WRITE = m.TapeWrite(data=b"record")


@async_yield_fixture
async def talk() -> AsyncIterator[Conversation]:
    conversation = Conversation()
    yield conversation
    await conversation.end()


@pytest.mark.parametrize("action", [Drop(), Reset(), Truncate(9)], ids=repr)
@pytest.mark.parametrize(("phase", "written"), [(Phase.REQUEST, 1), (Phase.REPLY, 2)])
@ensureDeferred
async def test_the_connection_is_cut_at_the_second_write(
    talk: Conversation, action: Any, phase: Phase, written: int
) -> None:
    """Before it is done or after, as planted: the client cannot know which."""
    fault = talk.server.faults.plant(action, m.TapeWrite, phase, nth=2)
    session = await talk.session()
    await session.request(OPEN)
    await session.request(WRITE)
    with pytest.raises(NdmpLost):
        await session.request(WRITE)
    assert fault.happened == 1
    assert talk.tapes[0].records == written


@ensureDeferred
async def test_any_message_can_be_the_place(talk: Conversation) -> None:
    """A fault without a message counts all of them, the login's too."""
    for nth in (1, 2, 3):
        talk.server.faults.clear()
        talk.server.faults.plant(Drop(), phase=Phase.REQUEST, nth=nth)
        with pytest.raises(NdmpLost):
            await talk.session()
    talk.server.faults.clear()
    talk.server.faults.plant(Drop(), m.NotifyConnectionStatus, Phase.POST)
    with pytest.raises(NdmpLost):
        await talk.session()


@pytest.mark.parametrize(
    "action",
    [Flip(0), Flip(8 + 4), Shorten(20), Shorten(26), Send(b"\x7f" * 64)],
    ids=["huge mark", "message type", "half a header", "half a body", "garbage before it"],
)
@ensureDeferred
async def test_bytes_are_spoilt(talk: Conversation, action: Any) -> None:
    """A client notices at once that the server talks nonsense."""
    talk.server.faults.plant(action, m.TapeGetState)
    session = await talk.session()
    await session.request(OPEN)
    with pytest.raises(NdmpGarbage):
        await session.request(m.TapeGetState())


@pytest.mark.parametrize("phase", [Phase.REQUEST, Phase.REPLY])
@ensureDeferred
async def test_an_error_is_made_up(talk: Conversation, phase: Phase) -> None:
    """A wrong error comes instead of the answer, whether the thing was done or not."""
    talk.server.faults.plant(Wrong(ErrorCode.IO), m.TapeWrite, phase)
    talk.server.faults.plant(Wrong(ErrorCode.NO_MEM, in_header=True), m.TapeClose, phase)
    session = await talk.session()
    await session.request(OPEN)
    for request, error in ((WRITE, ErrorCode.IO), (m.TapeClose(), ErrorCode.NO_MEM)):
        with pytest.raises(NdmpRefused) as caught:
            await session.request(request)
        assert caught.value.error == error
    assert talk.tapes[0].records == (phase is Phase.REPLY)


@pytest.mark.parametrize("phase", [Phase.REQUEST, Phase.REPLY])
@ensureDeferred
async def test_a_server_falls_silent_once(talk: Conversation, phase: Phase) -> None:
    """No answer to one request, the next one is answered."""
    talk.server.faults.plant(Silence(), m.TapeWrite, phase)
    session = await talk.session()
    await session.request(OPEN)
    with pytest.raises(NdmpTimeout):
        await session.request(WRITE, 0.01)
    await session.request(WRITE)


@ensureDeferred
async def test_an_answer_is_held_until_the_test_lets_it_go(talk: Conversation) -> None:
    """So that a test can do something exactly then."""
    hold = Hold()
    talk.server.faults.plant(hold, m.TapeWrite)
    talk.server.faults.plant(Delay(0.001), m.TapeClose)
    session = await talk.session()
    await session.request(OPEN)
    answer = session.request(WRITE)
    await hold.reached
    assert talk.tapes[0].records == 1
    assert not answer.called
    hold.release()
    await answer
    await session.request(m.TapeClose())


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (Halt(HaltReason.INTERNAL_ERROR), HaltReason.INTERNAL_ERROR),
        (Halt(HaltReason.MEDIA_ERROR), HaltReason.MEDIA_ERROR),
        (KillData(), HaltReason.CONNECT_ERROR),
        (KillData(quiet=True), HaltReason.CONNECT_CLOSED),
    ],
    ids=repr,
)
@ensureDeferred
async def test_a_transfer_is_ended_in_its_middle(
    talk: Conversation, action: Any, reason: HaltReason
) -> None:
    """The mover halts for the planted reason; the quiet end looks like a good one."""
    talk.server.faults.plant(action, m.NotifyMoverPaused, Phase.POST)
    session = await talk.session()
    peer = await listening(session, window=(0, RECORD))
    peer.send(bytes(3 * RECORD))
    if isinstance(action, KillData):
        await session.next_post(m.NotifyMoverPaused, TIMEOUT)
        await session.request(m.MoverSetWindow(offset=RECORD, length=10 * RECORD))
        await session.request(m.MoverContinue())
    post = await session.next_post(m.NotifyMoverHalted, TIMEOUT)
    assert post == m.NotifyMoverHalted(reason=reason)
    assert await peer.ended in (True, False)


@ensureDeferred
async def test_a_pause_without_reason_and_posts_from_nowhere(talk: Conversation) -> None:
    """The mover pauses for a reason of the test's; anything can be posted."""
    talk.server.faults.plant(Pause(PauseReason.MEDIA_ERROR), m.TapeGetState, Phase.REQUEST)
    stray = m.NotifyMoverHalted(reason=HaltReason.CONNECT_CLOSED)
    talk.server.faults.plant(Say(stray), m.TapeGetState, Phase.AFTER)
    session = await talk.session()
    await listening(session, window=None)
    while (await session.request(m.MoverGetState())).state is MoverState.LISTEN:
        pass
    await session.request(m.TapeGetState())
    post = await session.next_post(m.NotifyMoverPaused, TIMEOUT)
    assert post == m.NotifyMoverPaused(PauseReason.MEDIA_ERROR, 0)
    assert await session.next_post(m.NotifyMoverHalted, TIMEOUT) == stray
    assert (await session.request(m.MoverGetState())).state == MoverState.PAUSED


@ensureDeferred
async def test_the_record_size_is_forgotten_when_the_test_wants(talk: Conversation) -> None:
    """At that moment and not before; a function of the test may do anything else."""
    talk.server.faults.plant(ForgetRecordSize(), m.TapeClose, Phase.AFTER)
    seen: list[int] = []
    talk.server.faults.plant(Call(lambda session: seen.append(session.number)), m.TapeClose)
    session = await talk.session()
    await session.request(OPEN)
    await session.request(m.MoverSetRecordSize(size=RECORD))
    assert (await session.request(m.MoverGetState())).record_size == RECORD
    await session.request(m.TapeClose())
    assert (await session.request(m.MoverGetState())).record_size == 10240
    assert seen == [1]


@ensureDeferred
async def test_the_medium_breaks(talk: Conversation) -> None:
    """A tape that fails from now on is an I/O error for a write."""
    session = await talk.session()
    await session.request(OPEN)
    await session.request(WRITE)
    talk.tapes[0].fails = True
    with pytest.raises(NdmpRefused) as caught:
        await session.request(WRITE)
    assert caught.value.error == ErrorCode.IO


def test_a_fault_is_read_from_a_text() -> None:
    """As the process takes it on its command line."""
    assert parse_fault("reply:TAPE_WRITE:3+:truncate=10") == {
        "action": Truncate(10),
        "message": m.TapeWrite.code,
        "phase": Phase.REPLY,
        "nth": 3,
        "times": None,
    }
    assert parse_fault("after:*:1:halt=MEDIA_ERROR")["action"] == Halt(HaltReason.MEDIA_ERROR)
    for bad in ("reply:TAPE_WRITE:3:burn", "never:*:1:drop", "reply:NO_SUCH:1:drop", "drop"):
        with pytest.raises(ValueError):
            parse_fault(bad)


@ensureDeferred
async def test_the_process_serves_a_tape_in_a_file(tmp_path: Path) -> None:
    """It says READY and its port, obeys commands, keeps a log, and ends with its input."""
    tape, log = tmp_path / "tape", tmp_path / "log"
    program = [sys.executable, "-m", "tests.fakes.ndmp_server", "--strict", "--versions", "3"]
    options = ["--tape", f"drive={tape}:200000", "--log", str(log)]
    options += ["--fault", "reply:TAPE_WRITE:2:wrong=IO"]
    process = subprocess.Popen(
        [*program, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        ready, port = (await deferToThread(process.stdout.readline)).split()
        assert ready == "READY"
        session = await connect_session(
            reactor,
            "127.0.0.1",
            int(port),
            username="ndmp",
            password="ndmp",
            auth="md5",
            timeout=TIMEOUT,
        )
        assert session.version == 3
        await session.request(m.TapeOpen(device="drive", mode=TapeMode.RDWR))
        await session.request(WRITE)
        with pytest.raises(NdmpRefused):
            await session.request(WRITE)
        for command, answer in (
            ("halt INTERNAL_ERROR", "ERROR no mover is at work\n"),
            ("fault request:MOVER_LISTEN:1:drop", "OK\n"),
        ):
            process.stdin.write(command + "\n")
            process.stdin.flush()
            assert await deferToThread(process.stdout.readline) == answer
        with pytest.raises(NdmpLost):
            await session.request(m.MoverListen(mode=MoverMode.READ))
    finally:
        process.stdin.close()
        status = await deferToThread(process.wait, TIMEOUT)
        process.stdout.close()
    assert status == 0
    assert Medium.in_file(tape).files() == [[b"record", b"record"]]
    assert "TAPE_WRITE(data='6 bytes') NO_ERR" in log.read_text()
