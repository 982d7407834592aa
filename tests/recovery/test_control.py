"""The control stream on the reactor."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from protocols.recovery.features import OURS
from protocols.recovery.talk import HEADER, VOLUME
from taper.recovery.control import REMIND_SECONDS, Control
from taper.recovery.errors import RecoveryFailed

REQUEST = f"FEATURES={OURS.text()}\r\nCONFIG=SYS\r\nLABEL=SYS:D01:1\r\nEND\r\n".encode()


class Peer:
    """A control stream whose other end is here."""

    def __init__(self, *, requested: bool = True) -> None:
        self.clock = Clock()
        self.left = 0
        self.control = Control(self.clock, OURS, self._leave)
        self.transport: Any = StringTransport()
        connect: Any = self.control.makeConnection
        connect(self.transport)
        if requested:
            self.control.dataReceived(REQUEST)
            self.said()

    def _leave(self) -> None:
        self.left += 1

    def said(self) -> str:
        text: str = self.transport.value().decode()
        self.transport.clear()
        return text

    def hang_up(self) -> None:
        self.control.connectionLost(Failure(ConnectionDone()))


def failure_of(waiting: Deferred[str]) -> str:
    found: list[str] = []
    waiting.addErrback(lambda failure: found.append(failure.getErrorMessage()))
    (text,) = found
    return text


def test_a_question_and_its_answer() -> None:
    peer = Peer()
    answers: list[str] = []
    peer.control.ask(HEADER, "519").addCallback(answers.append)
    assert peer.said() == "HEADER-SEND-SIZE 519\r\n"
    peer.control.dataReceived(b"HEADER-READY\r\n")
    assert answers == ["HEADER-READY"]


def test_a_bad_request_is_a_failure() -> None:
    peer = Peer(requested=False)
    found: list[object] = []
    peer.control.requested.addErrback(lambda failure: found.append(failure.value))
    peer.control.dataReceived(b"FORMAT=c:\r\n")
    assert isinstance(found[0], RecoveryFailed)


def test_a_peer_that_leaves_while_it_is_asked() -> None:
    peer = Peer()
    waiting = peer.control.ask(VOLUME, "D01")
    peer.control.remind(waiting, "still")
    peer.hang_up()
    assert failure_of(waiting) == "amrecover has ended the conversation"
    assert peer.left == 1
    assert peer.clock.getDelayedCalls() == []


def test_a_peer_that_breaks_the_rules_unasked() -> None:
    peer = Peer()
    peer.control.dataReceived(b"x\r\n" * 100)
    assert peer.left == 1


def test_a_person_is_reminded() -> None:
    """A dead peer is noticed by it; the answer ends it."""
    peer = Peer()
    waiting = peer.control.ask(VOLUME, "D01")
    peer.control.remind(waiting, "D01 is still waited for")
    peer.said()
    for _ in range(2):
        peer.clock.advance(REMIND_SECONDS)
        assert peer.said() == "MESSAGE D01 is still waited for\r\n"
    peer.control.dataReceived(b"OK\r\n")
    assert peer.clock.getDelayedCalls() == []


def test_the_end_is_not_waited_for_without_end() -> None:
    peer = Peer()
    ended: list[object] = []
    peer.control.close().addCallback(ended.append)
    assert not ended
    peer.clock.advance(1000)
    assert ended == [None]
    assert peer.left == 0
