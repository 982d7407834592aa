"""The ways of a dump: how long they wait, and for whom."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import directlyProvides

from devices.idirecttcp import IMoverDevice
from protocols.directtcp import Address
from taper.recovery.errors import RecoveryFailed
from taper.recovery.ways import MoverWay

PATIENCE = 5.0


class Sender:
    """A mover's sender that moves what it is told to."""

    def __init__(self) -> None:
        self.progress: Any = None
        self.size = 0
        self.broken: str | None = None
        self.finished = False
        self.errors: list[str] = []
        self.story: Deferred[None] = Deferred()
        self.connection: object = None

    def send_into(self, connection: object) -> None:
        self.connection = connection

    async def ended(self) -> None:
        over: Deferred[None] = Deferred()
        self.story.addBoth(lambda _: over.callback(None))
        await over

    def take_errors(self) -> list[str]:
        return self.errors

    def cancel(self) -> None:
        if not self.story.called:
            self.story.errback(CancelledError())

    async def close(self) -> None:
        self.cancel()

    def end(self, *, finished: bool = True) -> None:
        self.finished = finished
        self.story.callback(None)


class Drive:
    """Somebody connects, or nobody does."""

    def __init__(self, *, calls: bool = True) -> None:
        self._calls = calls
        directlyProvides(self, IMoverDevice)

    def listen(self, for_writing: bool) -> Deferred[tuple[Address, ...]]:
        assert not for_writing
        return succeed((Address("192.0.2.1", 7),))

    def accept(self) -> Deferred[str]:
        return succeed("connection") if self._calls else Deferred()


class Sending:
    """A mover's way, begun."""

    def __init__(self, *, calls: bool = True) -> None:
        self.clock = Clock()
        self.sender = Sender()
        sender: Any = self.sender
        self.way = MoverWay(self.clock, sender, Drive(calls=calls), PATIENCE)
        self.results: list[object] = []
        self._do(self.way.open())
        self._do(self.way.send())

    def _do(self, story: Coroutine[Deferred[Any], Any, Any]) -> None:
        Deferred.fromCoroutine(story).addCallbacks(
            self.results.append, lambda failure: self.results.append(failure.value)
        )

    def failure(self) -> str:
        fault = self.results[-1]
        assert isinstance(fault, RecoveryFailed)
        return str(fault)


def test_all_is_sent() -> None:
    sending = Sending()
    assert sending.sender.connection == "connection"
    sending.sender.end()
    assert sending.results == [(Address("192.0.2.1", 7),), None]


def test_nobody_comes() -> None:
    sending = Sending(calls=False)
    sending.clock.advance(PATIENCE)
    assert sending.failure() == "the application did not connect within 5 s"


def test_a_mover_that_stands_still() -> None:
    """As ndmjob's does when its reader is gone; a new part begins anew at no byte."""
    sending = Sending()
    sending.sender.size = 100
    for moved in (0, 70, 70, 0, 0, 30):
        sending.clock.advance(PATIENCE - 1)
        sending.sender.progress(moved)
        sending.clock.advance(0)
    assert len(sending.results) == 1
    for _ in range(2):
        sending.clock.advance(PATIENCE - 1)
        sending.sender.progress(30)
        sending.clock.advance(0)
    assert "has sent nothing for 5 s, 130 bytes on" in sending.failure()


@pytest.mark.parametrize(
    ("errors", "broken", "words"),
    [
        (["'D01' file 1: torn"], None, "'D01' file 1: torn"),
        ([], "the reader left", "the reader left, 0 bytes were read before"),
        ([], None, "given up"),
    ],
)
def test_what_the_sender_knows(errors: list[str], broken: str | None, words: str) -> None:
    sending = Sending()
    sending.sender.errors, sending.sender.broken = errors, broken
    sending.sender.end(finished=False)
    assert words in sending.failure()
