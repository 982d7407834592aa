"""One control connection on TCP."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from protocols.ndmp_server.session import Session

if TYPE_CHECKING:
    from taper.tapeserver.server import TapeServer

_KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 8))
"""A client whose host has died holds its drive for three minutes."""
log = Logger()


@implementer(IPushProducer)
class Connection(Protocol):
    """Brings bytes to a session and away; whoever does not take replies is asked no more.

    :ivar over: fires when it is.
    """

    transport: Any  # several interfaces at once

    def __init__(self, server: TapeServer) -> None:
        self._server = server
        self._session: Session | None = None
        self._alarm: Any = None
        self.over: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        for option, value in _KEEPALIVE:
            self.transport.getHandle().setsockopt(socket.IPPROTO_TCP, option, value)
        patience = self._server.terms.login_patience
        if patience is not None:
            self._alarm = self._server.reactor.callLater(patience, self._too_late)
        host = str(self.transport.getHost().host)
        self._session = self._server.make_session(self, host)
        peer = self.transport.getPeer().host
        log.info("session {number} is {peer}", number=self._session.number, peer=peer)
        self.transport.registerProducer(self, True)
        self._session.greet()

    def _too_late(self) -> None:
        self._alarm = None
        session = self._session
        if session is not None and not session.config.logged_in:
            peer = self.transport.getPeer().host
            log.warn("{host} did not log in for too long", host=peer)
            session.drop()

    def dataReceived(self, data: bytes) -> None:
        if self._session is not None and not self._session.feed(data):
            self.transport.pauseProducing()

    def more(self) -> None:
        """The session has room for more requests."""
        if not self._session_lost:
            self.transport.resumeProducing()

    def pauseProducing(self) -> None:
        if self._session is not None:
            self._session.hold()

    def resumeProducing(self) -> None:
        if self._session is not None:
            self._session.go_on()

    def stopProducing(self) -> None:
        """connectionLost follows."""

    @property
    def _session_lost(self) -> bool:
        return self._session is None or self._session.lost

    def say(self, data: bytes) -> None:
        """Send."""
        self.transport.write(data)

    def hang_up(self, reset: bool) -> None:
        """End it."""
        self.transport.unregisterProducer()
        if reset:
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        session, self._session = self._session, None
        self._server.connection_over(self, session)
        self.over.callback(None)
