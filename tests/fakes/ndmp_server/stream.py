"""The data connection of a mover: one raw TCP stream, either way, with back pressure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IListeningPort,
    IPullProducer,
    IReactorTCP,
)
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from protocols.directtcp import Address


@implementer(IPullProducer)
class Stream(Protocol):
    """A connection. Incoming bytes wait, bounded by the record size, until they are taken.

    :ivar lost: the peer's end was seen, see :ivar:`reset`; closing it ourselves does not count.
    :ivar busy: what was given is not with the kernel yet.
    :ivar reset: it did not end cleanly.
    :ivar enough: incoming bytes that may wait before the peer is held back.
    """

    transport: Any  # several interfaces at once

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._buffer = bytearray()
        self._reading = True
        self.connected_now = False
        self.lost = False
        self.reset = False
        self.enough = 1
        self.busy = False

    def connectionMade(self) -> None:
        self.connected_now = True
        self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, False)
        self._changed()

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        self._changed()
        self._regulate()

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        self.connected_now = False
        self.lost = True
        self.reset = reason.check(ConnectionDone) is None
        self._changed()

    def _regulate(self) -> None:
        wanted = len(self._buffer) < self.enough
        if wanted != self._reading and self.connected_now:
            self._reading = wanted
            if wanted:
                self.transport.resumeProducing()
            else:
                self.transport.pauseProducing()

    # stream to tape

    def ready(self, size: int) -> int:
        """Bytes that :meth:`take` would give: ``size``, or after the end what is left."""
        return size if len(self._buffer) >= size else len(self._buffer) * self.lost

    def take(self, size: int) -> bytes:
        """The first bytes that wait, at most ``size``."""
        taken = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        self._regulate()
        return taken

    def want(self, size: int) -> None:
        """Let at least ``size`` bytes come."""
        self.enough = size
        self._regulate()

    # tape to stream

    def resumeProducing(self) -> None:
        """All that was given is with the kernel."""
        self.busy = False
        self._changed()

    def stopProducing(self) -> None:
        """The connection is lost; connectionLost follows."""

    def give(self, data: bytes) -> None:
        """Send; :meth:`resumeProducing` tells when more may be given."""
        self.busy = True
        self.transport.write(data)

    # end

    def close(self, *, reset: bool = False) -> None:
        """End it; nothing is told about it any more."""
        self._changed = lambda: None
        if self.connected_now:
            self.transport.unregisterProducer()
            if reset:
                self.transport.abortConnection()
            else:
                self.transport.loseConnection()

    def kill(self, *, quiet: bool = False) -> None:
        """Cut it, so that both ends see a reset; ``quiet``: the end of the data."""
        self.transport.unregisterProducer()
        if quiet:
            self.transport.loseConnection()
        else:
            self.transport.abortConnection()


class OneShotListener:
    """Takes one connection, then listens no more."""

    def __init__(self, reactor: IReactorTCP, host: str, stream: Stream) -> None:
        factory = ServerFactory()
        factory.buildProtocol = self._accept  # type: ignore[method-assign,assignment]
        factory.noisy = False
        self._stream: Stream | None = stream
        self._port: IListeningPort | None = reactor.listenTCP(0, factory, 1, host)
        where = cast("Address", self._port.getHost())
        self.address = Address(host, where.port)

    def _accept(self, peer: object) -> Stream | None:
        stream, self._stream = self._stream, None
        self.close()
        return stream

    def close(self) -> None:
        """Listen no more."""
        if self._port is not None:
            self._port.stopListening()
            self._port = None


def connect(reactor: IReactorTCP, address: Address, stream: Stream) -> Deferred[Stream]:
    """Connect; fails with ConnectError."""
    endpoint = TCP4ClientEndpoint(reactor, address.host, address.port, timeout=10)
    return cast("Deferred[Stream]", connectProtocol(endpoint, stream))
