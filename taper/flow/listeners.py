"""One-shot listeners on the loopback address, for dumpers (taper-protocol 5.1, data-plane 4.2)."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.protocol import connectionDone as _connection_done
from zope.interface import implementer

from taper.core.errors import SourceFault

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

ACCEPT_FAILED = "Error accepting incoming connection: "


def loopback() -> tuple[socket.AddressFamily, str]:
    """The address that ``localhost`` stands for: its first IPv4 one, else the first."""
    found = socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)
    chosen = next((entry for entry in found if entry[0] is socket.AF_INET), found[0])
    return chosen[0], str(chosen[4][0])


@implementer(IReadDescriptor)
class OneShotListener:
    """Listens on a free loopback port, accepts one connection, then closes.

    :ivar port: the port, an integer.
    :ivar address: ``IP:PORT``.
    :ivar accepted: Deferred of the connected socket, in blocking mode; fails with SourceFault.
        Cancelling it stops listening.
    """

    def __init__(self, reactor: object) -> None:
        self._reactor = reactor
        family, host = loopback()
        self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.bind((host, 0))
            self._socket.listen(1)
        except OSError:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[1]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.accepted: Deferred[socket.socket] = Deferred(lambda _: self._stop())
        self._deadline: IDelayedCall | None = None
        self._listening = True
        reactor.addReader(self)  # type: ignore[attr-defined]

    def wait_at_most(self, seconds: float) -> None:
        """Give up when nobody connected ``seconds`` from now."""
        if self._listening:
            self._deadline = self._reactor.callLater(seconds, self._timed_out)  # type: ignore[attr-defined]

    def _timed_out(self) -> None:
        self._deadline = None
        self._stop()
        self.accepted.errback(SourceFault(ACCEPT_FAILED + "Connection timed out"))

    def close(self) -> None:
        """Stop listening; ``accepted`` then never fires unless it has."""
        self._stop()

    def _stop(self) -> None:
        if not self._listening:
            return
        self._listening = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._reactor.removeReader(self)  # type: ignore[attr-defined]
        self._socket.close()

    # IReadDescriptor

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return f"listener {self.address}"

    def doRead(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # the one who knocked went away; wait for the next
        except OSError as fault:
            self._stop()
            self.accepted.errback(SourceFault(ACCEPT_FAILED + os.strerror(fault.errno or 0)))
            return
        self._stop()
        connection.setblocking(True)
        self.accepted.callback(connection)

    def connectionLost(self, reason: Failure) -> None:
        self._stop()


class _Receiver(Protocol):
    """Collects all that a peer sends."""

    def __init__(self, limit: int) -> None:
        self.received = bytearray()
        self.done: Deferred[bytes] = Deferred(lambda _: self.abort())
        self._limit = limit

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if len(self.received) > self._limit and not self.done.called:
            self.done.errback(SourceFault(f"header is longer than {self._limit} bytes"))
            self.abort()

    def connectionLost(self, reason: Failure = _connection_done) -> None:
        if self.done.called:
            return
        if reason.check(ConnectionDone) is None and self.received:
            self.done.errback(SourceFault(f"header connection lost: {reason.getErrorMessage()}"))
        else:
            self.done.callback(bytes(self.received))


class Reception:
    """All bytes up to the end of a connection; takes the socket over.

    :param limit: the most bytes taken
    :ivar done: fires with them; fails with SourceFault for more bytes than that, or a connection
        that broke midway. Cancelling hangs up.
    """

    def __init__(self, reactor: object, connection: socket.socket, limit: int) -> None:
        receiver = self._receiver = _Receiver(limit)
        factory = Factory.forProtocol(lambda: receiver)
        connection.setblocking(False)
        number, family = connection.fileno(), connection.family
        reactor.adoptStreamConnection(number, family, factory)  # type: ignore[attr-defined]
        connection.close()  # the transport has a descriptor of its own
        self.done = receiver.done

    @property
    def silent(self) -> bool:
        """Not a byte has come."""
        return not self._receiver.received

    def abort(self) -> None:
        """Hang up."""
        self._receiver.abort()


def receive_all(reactor: object, connection: socket.socket, limit: int) -> Deferred[bytes]:
    """What a :class:`Reception` receives."""
    return Reception(reactor, connection, limit).done


@implementer(IReadDescriptor)
class FirstByte:
    """Tells when a connection has something to say; takes nothing of it.

    :ivar there: fires once; cancelling it stops the waiting
    """

    def __init__(self, reactor: object, connection: socket.socket) -> None:
        self._reactor = reactor
        self._connection = connection
        self.there: Deferred[None] = Deferred(lambda _: self._stop())
        reactor.addReader(self)  # type: ignore[attr-defined]

    def _stop(self) -> None:
        self._reactor.removeReader(self)  # type: ignore[attr-defined]

    def fileno(self) -> int:
        return self._connection.fileno()

    def logPrefix(self) -> str:
        return "data connection"

    def doRead(self) -> None:
        self._stop()
        self.there.callback(None)

    def connectionLost(self, reason: Failure) -> None:
        self._stop()
