"""A dump that is sent to a mover: what becomes of who sends when it has to begin anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from devices.errors import ConnectionBroken
from devices.idirecttcp import IDirectTCPConnection, IMoverDevice
from protocols.crc import UNKNOWN
from protocols.directtcp import Address
from taper.core.interfaces import Rest
from taper.flow.interfaces import IMoverOrigin
from taper.flow.sent import SentFlow
from tests.fakes.device import FakeDevice
from tests.flow.flowing import PLAN, make_context

THERE = (Address("127.0.0.1", 7),)


@implementer(IMoverDevice)
class Target:
    """Listens as often as it is asked to.

    :ivar accepting: of each time.
    """

    def __init__(self) -> None:
        self.facts = FakeDevice(name="ndmp:t@d")
        self.accepting: list[Deferred[IDirectTCPConnection]] = []

    def listen(self, for_writing: bool) -> Deferred[tuple[Address, ...]]:
        return succeed(THERE)

    def accept(self) -> Deferred[IDirectTCPConnection]:
        self.accepting.append(Deferred())
        return self.accepting[-1]


class Sender:
    """Waits for its mover to say that it is connected."""

    broken = None
    goes_on = True

    def __init__(self) -> None:
        self.tells_broken: Callable[[], None] = lambda: None
        self.connecting: Deferred[None] = Deferred()
        self.left = self.closed = False

    async def prepare(self) -> None:
        """It is where to begin."""

    async def connect(self, addresses: tuple[Address, ...]) -> None:
        await self.connecting

    def settled(self) -> Deferred[None]:
        return succeed(None)

    def leave(self, stored: int) -> Deferred[Rest | None]:
        assert self.connecting.called, "it may still begin to read"
        self.left = True
        return succeed(Rest(done=UNKNOWN))

    def close(self) -> Deferred[None]:
        self.closed = True
        return succeed(None)


@implementer(IMoverOrigin)
class Origin:
    def __init__(self) -> None:
        self.senders: list[Sender] = []

    def offer(self, plan: Any) -> Deferred[None]:
        return succeed(None)

    def ready(self) -> Deferred[None]:
        return succeed(None)

    def own_sender(self, block_size: int, done: Any) -> Sender:
        self.senders.append(Sender())
        return self.senders[-1]


def test_one_sends_anew_only_when_the_other_connects_no_more() -> None:
    """The device saw the connection break before the sender heard that there was one."""
    origin, target = Origin(), Target()
    context = evolve(make_context(Clock()), make_lane=lambda name: NoLane())
    flow = SentFlow(context, origin, target, PLAN, Rest(done=UNKNOWN))  # type: ignore[arg-type]
    assert flow.offer().called
    ready = flow.ready()
    target.accepting[0].errback(ConnectionBroken("reset"))
    first, second = origin.senders
    assert first.left
    assert first.closed
    assert not second.connecting.called
    flow.cancel("")
    closing = flow.close()
    ready.addErrback(lambda _: None)
    assert closing.called
    assert second.connecting.called
    assert second.closed


class NoLane:
    def stop(self) -> Deferred[None]:
        return succeed(None)
