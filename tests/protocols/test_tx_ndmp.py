"""An NDMP session on a transport: Deferreds, deadlines, ends."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from protocols.ndmp import messages as m
from protocols.ndmp.codec import Header
from protocols.ndmp.codes import ErrorCode
from protocols.ndmp.errors import (
    NdmpGarbage,
    NdmpLoginRefused,
    NdmpLost,
    NdmpRefused,
    NdmpTimeout,
)
from protocols.ndmp.opening import Opening
from protocols.ndmp.postbox import LIMIT
from protocols.twisted_transports.ndmp import CLOSE_TIMEOUT, NdmpSession
from tests.protocols.ndmp_peer import PASSWORD, Peer

TIMEOUT = 30.0


class Transport(StringTransport):
    """Remembers each write, the options set and how it was ended."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.writes: list[bytes] = []
        self.options: list[str] = []
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.options.append(f"nodelay {enabled}")

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.options.append(f"keepalive {enabled}")

    def abortConnection(self) -> None:
        self.aborted = True


class Line:
    """A session, its clock and its server."""

    def __init__(self, password: str = PASSWORD) -> None:
        self.clock = Clock()
        self.peer = Peer()
        self.transport = Transport()
        self.session = NdmpSession(self.clock, Opening("me", password, "md5"), TIMEOUT)
        self.session.makeConnection(self.transport)  # type: ignore[no-untyped-call]
        self.result: list[Any] = results(self.session.opened)

    def tell(self, data: bytes) -> None:
        self.session.dataReceived(data)
        self.go_on()

    def go_on(self) -> None:
        while self.transport.writes:
            for answer in self.peer.hear(self.transport.writes.pop(0)):
                self.session.dataReceived(answer)

    def opened(self) -> Line:
        self.tell(self.peer.greeting())
        assert self.result == [self.session]
        return self

    def silent(self) -> Line:
        """The server says nothing from now on."""
        self.peer.answers = lambda header, request: None
        return self

    def lose(self) -> None:
        self.session.connectionLost(Failure(ConnectionLost()))


def results(deferred: Deferred[Any]) -> list[Any]:
    """A list that its result, or its exception, will stand in."""
    got: list[Any] = []
    deferred.addCallbacks(got.append, lambda failure: got.append(failure.value))
    return got


def no_timers(line: Line) -> bool:
    return not line.clock.getDelayedCalls()


def test_a_session_opens_and_answers() -> None:
    """Each message goes out in one write, at once, and no timer is left over."""
    line = Line().opened()
    assert line.transport.options == ["nodelay True", "keepalive True"]
    assert line.session.version == 4
    assert no_timers(line)
    got = results(line.session.request(m.TapeRead(3)))
    assert len(line.transport.writes) == 1
    line.go_on()
    assert got == [m.TapeReadReply(data=bytes(3))]
    assert no_timers(line)


def test_a_refusal_is_an_error_of_its_own() -> None:
    """The session goes on."""
    line = Line().opened()
    line.peer.answers = lambda header, _: line.peer.reply(header, m.ErrorReply(ErrorCode.IO))
    got = results(line.session.request(m.TapeClose()))
    line.go_on()
    assert isinstance(got[0], NdmpRefused)
    assert got[0].error is ErrorCode.IO
    assert line.session.error is None


def test_a_wrong_password_fails_the_opening() -> None:
    """And ends the connection."""
    line = Line("wrong")
    line.tell(line.peer.greeting())
    assert isinstance(line.result[0], NdmpLoginRefused)
    assert line.transport.aborted
    assert no_timers(line)


@pytest.mark.parametrize("steps", range(4))
def test_each_step_of_the_opening_has_a_deadline(steps: int) -> None:
    """A server that falls silent fails it after the time given, not before."""
    line = Line()
    line.peer.answers = lambda header, request: (
        line.peer.usual(header, request) if len(line.peer.heard) < steps else None
    )
    line.clock.advance(TIMEOUT - 1)
    if steps:
        line.tell(line.peer.greeting())
        line.clock.advance(TIMEOUT - 1)
        assert not line.result
    line.clock.advance(2)
    assert isinstance(line.result[0], NdmpTimeout)
    assert line.transport.aborted
    assert no_timers(line)


def test_a_server_that_chats_cannot_stretch_a_deadline() -> None:
    """Log lines and bytes of a message that never ends do not count as an answer."""
    line = Line().opened().silent()
    got = results(line.session.request(m.TapeRead(3)))
    for _ in range(int(TIMEOUT)):
        assert not got
        line.tell(line.peer.post(m.LogMessage(0, 1, "still busy")))
        line.clock.advance(1)
    assert isinstance(got[0], NdmpTimeout)


def test_a_request_may_have_its_own_deadline() -> None:
    """Robots are slow. The session survives, and so does the next request."""
    line = Line().opened().silent()
    slow = results(line.session.request(m.TapeClose(), timeout=300))
    fast = results(line.session.request(m.TapeClose(), timeout=1))
    line.clock.advance(1)
    assert isinstance(fast[0], NdmpTimeout)
    line.clock.advance(298)
    assert not slow
    line.clock.advance(1)
    assert isinstance(slow[0], NdmpTimeout)
    line.transport.writes.clear()
    line.peer.answers = line.peer.usual
    got = results(line.session.request(m.TapeClose()))
    line.go_on()
    assert got == [m.ErrorReply()]
    assert no_timers(line)


def test_a_request_can_be_cancelled() -> None:
    """Its late answer is ignored."""
    line = Line().opened()
    held: list[Header] = []
    line.peer.answers = lambda header, request: held.append(header)
    deferred = line.session.request(m.TapeClose())
    got = results(deferred)
    line.go_on()
    deferred.cancel()
    assert isinstance(got[0], CancelledError)
    assert no_timers(line)
    line.tell(line.peer.reply(held[0], m.ErrorReply()))
    assert line.session.error is None


def test_posts_wait_until_they_are_asked_for() -> None:
    """By kind, in order; the first who asks gets the first that comes."""
    line = Line().opened()
    paused, halted = m.NotifyMoverPaused(1, 5), m.NotifyMoverHalted(2)
    line.tell(line.peer.post(paused) + line.peer.post(halted))
    assert results(line.session.next_post(m.NotifyMoverHalted)) == [halted]
    assert line.session.take_posts((m.NotifyMoverPaused, m.NotifyMoverHalted)) == [paused]
    mover = (m.NotifyMoverPaused, m.NotifyMoverHalted)
    waiting = [results(line.session.next_post(kinds)) for kinds in (m.LogMessage, mover, mover)]
    line.tell(line.peer.post(halted) + line.peer.post(paused))
    assert waiting == [[], [halted], [paused]]
    assert line.session.take_posts(m.Post) == []


def test_waiting_for_a_post_ends_by_time_or_by_hand() -> None:
    """And what comes later is there for the next one who asks."""
    line = Line().opened()
    timed = results(line.session.next_post(m.NotifyMoverPaused, timeout=5))
    by_hand = line.session.next_post(m.NotifyMoverPaused, timeout=50)
    cancelled = results(by_hand)
    line.clock.advance(5)
    by_hand.cancel()
    assert isinstance(timed[0], NdmpTimeout)
    assert timed[0].text == "NOTIFY_MOVER_PAUSED did not come in time"
    assert isinstance(cancelled[0], CancelledError)
    assert no_timers(line)
    line.tell(line.peer.post(m.NotifyMoverPaused(1, 5)))
    assert line.session.take_posts(m.NotifyMoverPaused) == [m.NotifyMoverPaused(1, 5)]


def test_a_lost_connection_fails_every_waiter() -> None:
    """Requests and posts alike, at once; what came before it can still be asked for."""
    line = Line().opened().silent()
    ended = results(line.session.lost)
    line.tell(line.peer.post(m.NotifyMoverHalted(1)))
    got = [
        results(line.session.request(m.MoverGetState())),
        results(line.session.next_post(m.NotifyMoverPaused, timeout=5)),
    ]
    line.lose()
    assert all(isinstance(one, NdmpLost) for (one,) in got)
    assert "while waiting for the reply to MOVER_GET_STATE" in got[0][0].text
    assert ended == [line.session.error]
    assert no_timers(line)
    assert results(line.session.next_post(m.NotifyMoverHalted)) == [m.NotifyMoverHalted(1)]
    assert isinstance(results(line.session.next_post(m.NotifyMoverHalted))[0], NdmpLost)
    assert isinstance(results(line.session.request(m.MoverStop()))[0], NdmpLost)
    assert results(line.session.close()) == [None]


def test_garbage_ends_the_session_and_the_connection() -> None:
    """Everything pending fails with what was wrong."""
    line = Line().opened().silent()
    got = results(line.session.request(m.MoverGetState()))
    line.tell(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert isinstance(got[0], NdmpGarbage)
    assert line.transport.aborted
    assert no_timers(line)


def test_a_server_that_never_stops_posting_is_garbage() -> None:
    """Memory is bounded; the error says which post."""
    line = Line().opened()
    line.tell(b"".join(line.peer.post(m.NotifyMoverPaused(1, 0)) for _ in range(LIMIT + 1)))
    assert isinstance(line.session.error, NdmpGarbage)
    assert "NOTIFY_MOVER_PAUSED" in line.session.error.text


def test_a_callback_may_ask_for_more_and_close() -> None:
    """From inside an answer, with other answers still to be told."""
    line = Line().opened()
    got: list[Any] = []

    def ask_again(reply: m.ErrorReply) -> None:
        got.append(reply)
        line.session.request(m.MoverGetState()).addErrback(
            lambda failure: got.append(failure.value)
        )
        line.session.close()

    line.session.request(m.TapeClose()).addCallback(ask_again)
    second = results(line.session.request(m.TapeRead(2)))
    answers = [line.peer.hear(data)[0] for data in line.transport.writes]
    line.transport.writes.clear()
    line.session.dataReceived(b"".join(answers))
    assert got[0] == m.ErrorReply()
    assert isinstance(got[1], NdmpLost)
    assert second == [m.TapeReadReply(data=bytes(2))]
    line.lose()


def test_closing_says_so_and_waits_for_the_end() -> None:
    """What is pending fails; a second close waits for the same end."""
    line = Line().opened().silent()
    pending = results(line.session.request(m.MoverStop()))
    closed = [results(line.session.close()) for _ in range(2)]
    line.go_on()
    assert isinstance(line.peer.heard[-1], m.ConnectClose)
    assert isinstance(pending[0], NdmpLost)
    assert closed == [[], []]
    line.session.connectionLost(Failure(ConnectionDone()))
    assert closed == [[None], [None]]
    assert no_timers(line)


def test_closing_ends_the_connection_when_the_server_answers() -> None:
    """And cuts it, should the connection not go away then."""
    line = Line().opened()
    line.peer.answers = lambda header, request: line.peer.reply(header, None)
    closed = results(line.session.close())
    line.go_on()
    assert line.transport.disconnecting
    assert not line.transport.aborted
    line.clock.advance(CLOSE_TIMEOUT)
    assert line.transport.aborted
    line.lose()
    assert closed == [None]


def test_closing_does_not_wait_for_a_silent_server() -> None:
    """The connection is cut after a few seconds."""
    line = Line().opened().silent()
    closed = results(line.session.close())
    line.clock.advance(CLOSE_TIMEOUT)
    assert line.transport.aborted
    line.lose()
    assert closed == [None]
    assert no_timers(line)


def test_closing_while_it_opens_fails_the_opening() -> None:
    """There is nothing to say to the server yet."""
    line = Line()
    closed = results(line.session.close())
    assert isinstance(line.result[0], NdmpLost)
    line.lose()
    assert closed == [None]
    assert no_timers(line)
