"""Who receives the drivers that come to the daemon's door."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from typing import Protocol as Shape

from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from zope.interface import implementer

from protocols.driver.codec import encode
from protocols.driver.replies import SETUP, BadCommand, TapeError
from taper.run.driver_door import (
    DRIVER_PATIENCE,
    HANDSHAKE_PATIENCE,
    MOST_UNKNOWN,
    REFUSAL_PATIENCE,
    why_not,
)
from taper.run.setup import SetupFailed, StartFailed

if TYPE_CHECKING:
    from taper.run.conversation import Conversation

log = Logger()


class Serving(Shape):
    """The service behind the door.

    :ivar opened_to_others: who could open the unix socket may drive us
    :ivar conversation: the one that is going on
    """

    opened_to_others: bool
    conversation: Conversation | None

    def open_conversation(self) -> Conversation: ...

    def call_later(self, seconds: float, call: Callable[[], None]) -> Any: ...


class Door(Factory):
    """Gives each driver an usher.

    :param certified: drivers have to show certificates
    :ivar service: what they drive; to be set before the first of them comes
    :ivar unknown: those who have shown no certificate so far, the first to come first
    """

    def __init__(self, *, certified: bool) -> None:
        self._usher = CertifiedUsher if certified else DriverConnection
        self.service: Serving | None = None
        self.unknown: list[CertifiedUsher] = []

    def buildProtocol(self, addr: Any) -> DriverConnection:
        assert self.service is not None
        return self._usher(self, self.service)


class DriverConnection(Protocol):
    """Receives a driver at the door: hands it to a conversation, or says why not."""

    def __init__(self, door: Door, service: Serving) -> None:
        self._door = door
        self._service = service
        self._conversation: Conversation | None = None
        self._deadline: Any = None

    def connectionMade(self) -> None:
        assert self.transport is not None
        reason = why_not(self.transport, anybody=self._service.opened_to_others)
        if reason is not None:
            log.warn("a driver is refused: {reason}", reason=reason)
            self._refuse(encode(BadCommand(reason)))
            return
        self._receive()

    def _receive(self) -> None:
        """Whoever is there may drive us."""
        assert self.transport is not None
        if self._service.conversation is not None:
            self._refuse(encode(BadCommand("this taper serves another driver")))
            return
        try:
            self._conversation = self._service.open_conversation()
        except SetupFailed as fault:
            self._refuse(encode(TapeError(SETUP, fault.text)))
            return
        except (StartFailed, OSError) as fault:
            self._refuse(encode(TapeError(SETUP, str(fault))))
            return
        self._conversation.protocol.makeConnection(self.transport)  # type: ignore[no-untyped-call]
        self._conversation.session.ended.addBoth(self._goodbye)
        self._deadline = self._service.call_later(DRIVER_PATIENCE, self._still_silent)

    def _still_silent(self) -> None:
        """A driver that does not begin must not keep the next one out."""
        self._deadline = None
        assert self._conversation is not None
        controller = self._conversation.session.controller
        if self.transport is not None and (controller is None or not controller.started):
            log.warn("a driver is let go: no START-TAPER in {s} s", s=DRIVER_PATIENCE)
            self._conversation.protocol.hang_up()

    def _refuse(self, line: bytes) -> None:
        """Say why, and let him hang up: if we did, with what he has said unread, the system would
        take back what was not heard yet."""
        transport: Any = self.transport
        transport.write(line)
        transport.loseWriteConnection()
        self._deadline = self._service.call_later(REFUSAL_PATIENCE, transport.abortConnection)

    def _stop_waiting(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()

    def _goodbye(self, result: Any) -> Any:
        self._stop_waiting()
        assert self._conversation is not None
        self._conversation.protocol.hang_up()
        return result

    def dataReceived(self, data: bytes) -> None:
        if self._conversation is not None:
            self._conversation.protocol.dataReceived(data)

    def connectionLost(self, reason: Any = None) -> None:
        if self._conversation is not None:
            self._conversation.protocol.connectionLost(reason)
        else:
            self._stop_waiting()


@implementer(IHandshakeListener)
class CertifiedUsher(DriverConnection):
    """Receives a driver once it has shown its certificate; the endpoint demands and verifies it."""

    def __init__(self, door: Door, service: Serving) -> None:
        super().__init__(door, service)
        self._shaking: Any = None

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.setTcpKeepAlive(True)  # type: ignore[attr-defined]
        if len(self._door.unknown) >= MOST_UNKNOWN:
            # strangers who say nothing must not keep the right one out
            self._door.unknown[0].let_go("there are too many others")
        self._door.unknown.append(self)
        why = f"no certificate in {HANDSHAKE_PATIENCE:.0f} s"
        self._shaking = self._service.call_later(HANDSHAKE_PATIENCE, lambda: self.let_go(why))

    def _refuse(self, line: bytes) -> None:
        """TLS has read what was sent, and ends a connection by a message of its own."""
        assert self.transport is not None
        self.transport.write(line)
        self.transport.loseConnection()

    def let_go(self, why: str) -> None:
        """Hang up on one who has shown no certificate."""
        assert self.transport is not None
        self._stop_shaking()
        log.warn("a driver is let go: {why}", why=why)
        self.transport.abortConnection()  # type: ignore[attr-defined]

    def _stop_shaking(self) -> bool:
        """:return: it had shown no certificate until now"""
        shaking, self._shaking = self._shaking, None
        if shaking is None:
            return False
        self._door.unknown.remove(self)
        if shaking.active():
            shaking.cancel()
        return True

    def handshakeCompleted(self) -> None:
        if not self._stop_shaking():
            return  # too late
        assert self.transport is not None
        shown = self.transport.getPeerCertificate().to_cryptography()  # type: ignore[attr-defined]
        log.info("a driver has the certificate of {name}", name=shown.subject.rfc4514_string())
        self._receive()

    def connectionLost(self, reason: Any = None) -> None:
        if self._stop_shaking():
            why = reason.getErrorMessage() if reason is not None else "gone"
            log.warn("a driver is refused: no good certificate: {why}", why=why)
        super().connectionLost(reason)
