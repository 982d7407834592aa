"""Our NDMP client and the real server, ``ndmjob`` of Amanda [ndmp 5]."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from protocols.ndmp import messages as m
from protocols.ndmp.codes import (
    INFINITY,
    AddressType,
    AuthType,
    ErrorCode,
    HaltReason,
    MoverMode,
    MoverState,
    Mtio,
    PauseReason,
    TapeMask,
    TapeMode,
)
from protocols.ndmp.errors import NdmpLoginRefused, NdmpLost, NdmpRefused, NdmpTimeout
from protocols.twisted_transports.ndmp import NdmpSession, connect_session
from tests.fakes.ndmjob import NdmJob, missing_ndmjob
from tests.fakes.turning import Receiver, Sender, Turning, turning_reactor

pytestmark = pytest.mark.skipif(missing_ndmjob() is not None, reason=str(missing_ndmjob()))

RECORD = 32768


@pytest.fixture(scope="module")
def job() -> Iterator[NdmJob]:
    with NdmJob() as job:
        yield job


@pytest.fixture
def turning() -> Iterator[Turning]:
    with turning_reactor() as turning:
        yield turning


def connect(turning: Turning, job: NdmJob, **kwargs: Any) -> NdmpSession:
    account = {"username": job.username, "password": job.password, "auth": "md5", **kwargs}
    return turning.wait(
        connect_session(turning.reactor, "127.0.0.1", job.port, timeout=600, **account)
    )


@pytest.fixture
def session(turning: Turning, job: NdmJob) -> Iterator[NdmpSession]:
    session = connect(turning, job)
    yield session
    turning.wait(session.close())


@pytest.fixture
def tape(turning: Turning, job: NdmJob, session: NdmpSession) -> Iterator[str]:
    """A blank tape, open in the session."""
    job.blank("tape")
    turning.wait(session.request(m.TapeOpen(job.device("tape"), TapeMode.RAW)))
    yield job.device("tape")
    if session.error is None:
        turning.settle(session.request(m.TapeClose()))
    job.unlock("tape")


def refusal(turning: Turning, session: NdmpSession, request: m.Request[Any]) -> NdmpRefused:
    with pytest.raises(NdmpRefused) as caught:
        turning.wait(session.request(request))
    return caught.value


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("auth", ["md5", "text"])
def test_a_session_opens_in_every_version(
    turning: Turning, job: NdmJob, version: int, auth: str
) -> None:
    """With both ways of logging in; the server then tells about itself."""
    session = connect(turning, job, auth=auth, versions=(version,))
    assert session.version == version
    host = turning.wait(session.request(m.ConfigGetHostInfo()))
    assert host.os_type.startswith("Linux")
    types = turning.wait(session.request(m.ConfigGetConnectionType()))
    assert types.types == (AddressType.LOCAL, AddressType.TCP)
    if version >= 3:
        server = turning.wait(session.request(m.ConfigGetServerInfo()))
        assert server.product == "NDMJOB"
        assert server.auth_types == (AuthType.TEXT, AuthType.MD5)
        assert turning.wait(session.request(m.ConfigGetTapeInfo())).models == ()
    turning.wait(session.close())


@pytest.mark.parametrize("auth", ["md5", "text"])
def test_a_wrong_password_is_refused(turning: Turning, job: NdmJob, auth: str) -> None:
    """NOT_AUTHORIZED, told apart from other refusals."""
    with pytest.raises(NdmpLoginRefused) as caught:
        connect(turning, job, auth=auth, password="wrong")
    assert caught.value.error is ErrorCode.NOT_AUTHORIZED


def test_without_a_login_everything_is_refused_in_the_header(turning: Turning, job: NdmJob) -> None:
    """Auth void says nothing; the first request then fails."""
    session = connect(turning, job, auth="void")
    error = refusal(turning, session, m.TapeClose())
    assert (error.error, error.in_header) == (ErrorCode.NOT_AUTHORIZED, True)
    turning.wait(session.close())


def test_a_request_that_is_never_answered_times_out(turning: Turning, session: NdmpSession) -> None:
    """This server leaves GET_EXT_LIST unanswered; the session goes on."""
    with pytest.raises(NdmpTimeout):
        turning.wait(session.request(m.ConfigGetExtList(), timeout=0.3))
    assert turning.wait(session.request(m.MoverGetState())).state == MoverState.IDLE


def test_what_is_not_implemented_is_refused(turning: Turning, session: NdmpSession) -> None:
    """In the header."""
    error = refusal(turning, session, m.DataListen())
    assert (error.error, error.in_header) == (ErrorCode.NOT_SUPPORTED, True)


def test_a_tape_is_written_and_read(turning: Turning, session: NdmpSession, tape: str) -> None:
    """Records, filemarks, movements and states."""

    def ask(request: m.Request[Any]) -> Any:
        return turning.wait(session.request(request))

    state = ask(m.TapeGetState())
    assert state.block_size == 0
    assert state.unsupported == TapeMask.TOTAL_SPACE | TapeMask.SPACE_REMAIN
    for data in (b"a" * RECORD, b"b" * 100):
        assert ask(m.TapeWrite(memoryview(data))).count == len(data)
    assert ask(m.TapeMtio(Mtio.EOF, 1)).resid == 0
    state = ask(m.TapeGetState())
    assert (state.file_num, state.blockno) == (1, 0)
    assert ask(m.TapeMtio(Mtio.REW, 1)).resid == 0
    assert ask(m.TapeRead(RECORD)).data == b"a" * RECORD
    assert ask(m.TapeRead(RECORD)).data == b"b" * 100
    assert refusal(turning, session, m.TapeRead(RECORD)).error is ErrorCode.EOF
    assert ask(m.TapeMtio(Mtio.FSF, 5)).resid == 4
    error = refusal(turning, session, m.TapeOpen("other", TapeMode.READ))
    assert error.error is ErrorCode.DEVICE_OPENED


def test_a_tape_that_is_not_there(turning: Turning, job: NdmJob, session: NdmpSession) -> None:
    """NO_DEVICE for the open, DEV_NOT_OPEN for all that follows, also in a state."""
    error = refusal(turning, session, m.TapeOpen(job.device("none"), TapeMode.RAW))
    assert error.error is ErrorCode.NO_DEVICE
    assert error.text == "TAPE_OPEN was refused: NDMP9_NO_DEVICE_ERR"
    assert refusal(turning, session, m.TapeGetState()).error is ErrorCode.DEV_NOT_OPEN
    assert refusal(turning, session, m.TapeWrite(b"x")).error is ErrorCode.DEV_NOT_OPEN


def listening(turning: Turning, session: NdmpSession, mode: MoverMode, window: int) -> Any:
    """Where the mover listens, with records of :data:`RECORD` bytes."""
    turning.wait(session.request(m.MoverSetRecordSize(RECORD)))
    turning.wait(session.request(m.MoverSetWindow(0, window)))
    reply = turning.wait(session.request(m.MoverListen(mode)))
    (address,) = reply.address.addresses
    return address


def stop(turning: Turning, session: NdmpSession) -> None:
    turning.wait(session.request(m.MoverStop()))
    assert turning.wait(session.request(m.MoverGetState())).state == MoverState.IDLE


def test_a_stream_goes_to_tape_in_parts(turning: Turning, session: NdmpSession, tape: str) -> None:
    """The empty window pauses at the first byte; each window is a part; the end halts."""
    mover = (m.NotifyMoverPaused, m.NotifyMoverHalted)
    sender = Sender(listening(turning, session, MoverMode.READ, 0), b"d" * (RECORD * 3 + 5))
    reasons: list[Any] = []
    for length in (RECORD * 2, INFINITY - RECORD * 2):
        post = turning.wait(session.next_post(mover, timeout=600))
        assert isinstance(post, m.NotifyMoverPaused)
        assert post.reason in (PauseReason.SEEK, PauseReason.EOW)
        state = turning.wait(session.request(m.MoverGetState()))
        assert state.state == MoverState.PAUSED
        assert state.data_connection_addr.kind == AddressType.TCP
        reasons.append(state.bytes_moved)
        turning.wait(session.request(m.MoverSetWindow(state.bytes_moved, length)))
        turning.wait(session.request(m.MoverContinue()))
    post = turning.wait(session.next_post(mover, timeout=600))
    assert post == m.NotifyMoverHalted(HaltReason.CONNECT_CLOSED)
    state = turning.wait(session.request(m.MoverGetState()))
    assert [*reasons, state.bytes_moved] == [0, RECORD * 2, RECORD * 4]
    assert sender.failure is None
    stop(turning, session)
    turning.wait(session.request(m.TapeMtio(Mtio.REW, 1)))
    last = [turning.wait(session.request(m.TapeRead(RECORD))).data for _ in range(4)][-1]
    assert last == b"ddddd" + bytes(RECORD - 5)
    assert any(isinstance(post, m.LogMessage) for post in session.take_posts(m.LogMessage))


def test_a_tape_goes_to_a_stream(turning: Turning, session: NdmpSession, tape: str) -> None:
    """Up to the filemark, where the mover pauses."""
    for data in (b"1" * RECORD, b"2" * RECORD):
        turning.wait(session.request(m.TapeWrite(data)))
    turning.wait(session.request(m.TapeMtio(Mtio.EOF, 1)))
    turning.wait(session.request(m.TapeMtio(Mtio.REW, 1)))
    receiver = Receiver(listening(turning, session, MoverMode.WRITE, INFINITY))
    while turning.wait(session.request(m.MoverGetState())).state == MoverState.LISTEN:
        pass
    turning.wait(session.request(m.MoverRead(0, INFINITY)))
    post = turning.wait(session.next_post(m.NotifyMoverPaused, timeout=600))
    assert post == m.NotifyMoverPaused(PauseReason.EOF, RECORD * 2)
    turning.wait(session.request(m.MoverClose()))
    halted = turning.wait(session.next_post(m.NotifyMoverHalted, timeout=600))
    assert halted == m.NotifyMoverHalted(HaltReason.CONNECT_CLOSED)
    stop(turning, session)
    receiver.join(60)
    assert receiver.data == b"1" * RECORD + b"2" * RECORD


@pytest.mark.parametrize("version", [2, 3])
def test_the_mover_of_older_versions(turning: Turning, job: NdmJob, version: int) -> None:
    """Their states, addresses and posts have other shapes."""
    job.blank("old")
    session = connect(turning, job, versions=(version,))
    turning.wait(session.request(m.TapeOpen(job.device("old"), TapeMode.RAW)))
    assert turning.wait(session.request(m.TapeGetState())).file_num == 0
    turning.wait(session.request(m.MoverSetRecordSize(RECORD)))
    reply = turning.wait(session.request(m.MoverListen(MoverMode.READ)))
    assert reply.address.addresses[0].host == "127.0.0.1"
    state = turning.wait(session.request(m.MoverGetState()))
    assert (state.state, state.record_size) == (MoverState.LISTEN, RECORD)
    error = refusal(turning, session, m.MoverContinue())
    assert error.error is ErrorCode.ILLEGAL_STATE
    turning.wait(session.request(m.MoverAbort()))
    halted = turning.wait(session.next_post(m.NotifyMoverHalted, timeout=600))
    assert halted == m.NotifyMoverHalted(HaltReason.ABORTED, "Whatever")
    stop(turning, session)
    turning.wait(session.request(m.TapeClose()))
    turning.wait(session.close())


def test_a_connection_to_nowhere_is_refused(
    turning: Turning, session: NdmpSession, tape: str
) -> None:
    """MOVER_CONNECT to a port that nobody listens on."""
    address = listening(turning, session, MoverMode.READ, 0)
    turning.wait(session.request(m.MoverAbort()))
    turning.wait(session.next_post(m.NotifyMoverHalted, timeout=600))
    stop(turning, session)
    target = m.DataAddress(AddressType.TCP, (address,))
    error = refusal(turning, session, m.MoverConnect(MoverMode.READ, target))
    assert error.error is ErrorCode.CONNECT


def test_the_robot_says_what_it_is(turning: Turning, job: NdmJob, session: NdmpSession) -> None:
    """A SCSI command through the session: INQUIRY."""
    turning.wait(session.request(m.ScsiOpen(str(job.device("")).rstrip("/"))))
    inquiry = m.ScsiExecuteCdb(1, 5000, 96, bytes([0x12, 0, 0, 0, 96, 0]))
    reply = turning.wait(session.request(inquiry))
    assert (reply.status, reply.datain[0], len(reply.datain)) == (0, 8, 96)
    turning.wait(session.request(m.ScsiClose()))


def test_a_server_that_dies_fails_what_is_pending(turning: Turning) -> None:
    """Killed while somebody waits for the mover."""
    with NdmJob() as job:
        session = connect(turning, job)
        waiting = session.next_post(m.NotifyMoverPaused)
        job.stop()
        with pytest.raises(NdmpLost, match="connection lost"):
            turning.wait(waiting)
    turning.wait(session.close())
