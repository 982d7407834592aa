"""Who receives the drivers that come to the daemon's door."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import (
    IFileDescriptorReceiver,
    IHalfCloseableProtocol,
    IHandshakeListener,
)
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from zope.interface import implementer

from protocols.daemon import BEGUN, GO, LONGEST, OFFER, REFUSED, WAIT, answer
from protocols.driver.codec import encode
from protocols.driver.replies import SETUP, BadCommand, TapeError
from protocols.greeting import Greeting, GreetingError, begins_greeting, parse
from taper.last_words import CannotStart, sentence, tell
from taper.run.driver_door import (
    DRIVER_PATIENCE,
    HANDSHAKE_PATIENCE,
    MOST_UNKNOWN,
    REFUSAL_PATIENCE,
    command_behind,
    why_not,
)
from taper.run.guest import DESCRIPTORS, Guest, Offer
from taper.run.setup import SetupFailed, StartFailed

if TYPE_CHECKING:
    from taper.run.conversation import Conversation
    from taper.run.door import Door, Serving
    from taper.run.setup import Setup

GO_PATIENCE = 10.0
"""Seconds for a command to take what it was offered; meanwhile nobody else is served."""

NO_CONFIGURATION = (
    "this taper was started without --config, so it serves only what Amanda starts as taper"
)

log = Logger()


@implementer(IHalfCloseableProtocol, IFileDescriptorReceiver)
class DriverConnection(Protocol):
    """Receives a driver at the door: hands it to a conversation, or says why not.

    A driver comes by itself, and begins with its first command; or the command that Amanda has
    started comes for it, and begins with a greeting.
    """

    def __init__(self, door: Door, service: Serving) -> None:
        self._door = door
        self._service = service
        self._conversation: Conversation | None = None
        self._deadline: Any = None
        self._said = b""
        self._asked = False
        self._refused = False
        self._descriptors: list[int] = []
        self._greeting: Greeting | None = None
        self._guest: Guest | None = None
        self._offered: Offer | None = None

    @property
    def name(self) -> str:
        """For people."""
        return "a driver" if self._guest is None else f"the driver of process {self._guest.pid}"

    # At the door

    def connectionMade(self) -> None:
        assert self.transport is not None
        reason = why_not(self.transport, anybody=self._service.opened_to_others)
        if reason is not None:
            log.warn("a driver is refused: {reason}", reason=reason)
            self.refuse(reason)
            return
        self._expect("nothing said in {s:.0f} s", DRIVER_PATIENCE)

    def _expect(self, why: str, patience: float) -> None:
        """Wait for what shows who is there, and what he wants."""
        unknown = self._door.unknown
        if len(unknown) >= MOST_UNKNOWN:
            # strangers who say nothing must not keep the right one out
            unknown[0].let_go("there are too many others")
        unknown.append(self)
        text = why.format(s=patience)
        self._deadline = self._service.call_later(patience, lambda: self.let_go(text))

    def _known(self) -> None:
        self._stop_waiting()
        if self in self._door.unknown:
            self._door.unknown.remove(self)

    def dataReceived(self, data: bytes) -> None:
        if self._conversation is not None:
            self._conversation.protocol.dataReceived(data)
        elif not self._refused:
            self._said += data
            if len(self._said) > LONGEST:
                self.let_go("too much was said before it was its turn")
            elif self._offered is not None:
                self._taken()
            elif not self._asked:
                self._consider()

    def fileDescriptorReceived(self, descriptor: int) -> None:
        if self._asked or self._refused or len(self._descriptors) >= DESCRIPTORS:
            os.close(descriptor)
            return
        os.set_inheritable(descriptor, False)
        self._descriptors.append(descriptor)

    def _consider(self) -> None:
        """Is what was said enough to know what he wants?"""
        if begins_greeting(self._said):
            self._consider_greeting()
        elif b"\n" in self._said:
            self._ask()
            self._forget_guest()  # what a driver that comes by itself may have sent along
            if self._service.setup is None:
                self.refuse(NO_CONFIGURATION)
            else:
                self._door.admit(self)

    def _consider_greeting(self) -> None:
        try:
            greeting = parse(self._said)
        except GreetingError as fault:
            if command_behind(self.transport) is not None:
                self._door.make_way()  # one of another release does the work itself
            self.let_go(f"no greeting: {fault}")
            return
        if greeting is None:
            return
        self._ask()
        self._greeting = greeting
        self._said = b""
        pid = command_behind(self.transport)
        if pid is None or len(self._descriptors) != DESCRIPTORS:
            self.refuse("only the dump user's own command is served, with what belongs to it")
            return
        self._guest = Guest(pid, self._descriptors)
        self._descriptors = []
        self._door.admit(self)

    def _ask(self) -> None:
        self._asked = True
        self._known()

    # What the door has decided

    def wait(self, reason: str) -> None:
        """It will be his turn."""
        if self._greeting is not None:
            assert self.transport is not None
            self.transport.write(answer(WAIT, reason))

    def refuse(self, reason: str) -> None:
        """Say why he is not served."""
        text = answer(REFUSED, reason) if self._greeting else encode(BadCommand(reason))
        self._refuse(text)

    def enter(self) -> None:
        """It is his turn."""
        if self._greeting is None:
            setup = self._service.setup
            if setup is None:
                self.refuse(NO_CONFIGURATION)
            else:
                self._serve(setup)
            return
        assert self._guest is not None
        assert self.transport is not None
        try:
            self._offered = self._service.offer_for(self._greeting, self._guest)
        except (CannotStart, OSError) as fault:
            self.refuse(sentence(fault))
            return
        self.transport.write(OFFER)
        self._deadline = self._service.call_later(
            GO_PATIENCE, lambda: self.let_go("what was offered is not taken")
        )

    def _taken(self) -> None:
        """The command has said something after the offer."""
        if not self._said.startswith(GO):
            if not GO.startswith(self._said):
                self.let_go("what was offered is not taken, but something else is said")
            return
        self._stop_waiting()
        offer, self._offered = self._offered, None
        assert offer is not None
        self._said = self._said[len(GO) :]
        assert self.transport is not None
        self.transport.write(BEGUN)
        # at once: it passes on what the driver has said while we make what serves it
        self.transport.doWrite()  # type: ignore[attr-defined]
        self._serve_guest(offer)

    # Inside

    def _serve(self, setup: Setup) -> None:
        """Serve a driver that has come by itself."""
        try:
            conversation = self._service.open_conversation(setup)
        except SetupFailed as fault:
            self._refuse(encode(TapeError(SETUP, fault.text)))
            return
        except (StartFailed, OSError) as fault:
            self._refuse(encode(TapeError(SETUP, str(fault))))
            return
        self._deadline = self._service.call_later(DRIVER_PATIENCE, self._still_silent)
        self._connect(conversation)

    def _serve_guest(self, offer: Offer) -> None:
        """Be what the command would be that has come for its driver."""
        guest, transport = self._guest, self.transport
        assert guest is not None
        assert transport is not None
        status = 1
        try:
            if offer.said:
                lines = "".join(f"{line}\n" for line in offer.said)
                guest.write_error(lines.encode("utf-8", "surrogateescape"))
            conversation = self._service.open_conversation(
                offer.taken(), lambda text: transport.write(encode(TapeError(SETUP, text)))
            )
        except SetupFailed:
            status = 0  # driver and trace log were told
        except Exception as fault:
            status = tell("taper", sentence(fault), fault, guest.write_error)
        else:
            self._connect(conversation)
            return
        guest.leave(status)
        transport.loseConnection()

    def _connect(self, conversation: Conversation) -> None:
        self._conversation = conversation
        conversation.session.ended.addBoth(self._goodbye)
        conversation.protocol.makeConnection(self.transport)  # type: ignore[no-untyped-call]
        said, self._said = self._said, b""
        if said:
            conversation.protocol.dataReceived(said)

    def _still_silent(self) -> None:
        """A driver that does not begin must not keep the next one out."""
        self._deadline = None
        assert self._conversation is not None
        controller = self._conversation.session.controller
        if self.transport is not None and (controller is None or not controller.started):
            log.warn("a driver is let go: no START-TAPER in {s} s", s=DRIVER_PATIENCE)
            self._conversation.protocol.hang_up()

    # The end

    def _refuse(self, line: bytes) -> None:
        """Say why, and let him hang up: if we did, with what he has said unread, the system would
        take back what was not heard yet."""
        transport: Any = self.transport
        self._refused = True
        self._known()
        transport.write(line)
        transport.loseWriteConnection()
        self._deadline = self._service.call_later(REFUSAL_PATIENCE, transport.abortConnection)
        self._door.left(self)
        self._forget_guest()

    def let_go(self, why: str) -> None:
        """Hang up on one of whom nobody knows what he wants."""
        assert self.transport is not None
        self._known()
        log.warn("a driver is let go: {why}", why=why)
        self._refused = True
        self.transport.abortConnection()  # type: ignore[attr-defined]

    def _stop_waiting(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()

    def _forget_guest(self) -> None:
        for each in self._descriptors:
            os.close(each)
        self._descriptors = []
        if self._guest is not None:
            self._guest.leave()

    def _goodbye(self, result: Any) -> Any:
        self._stop_waiting()
        assert self._conversation is not None
        if self._guest is not None:
            self._guest.leave(0)
        self._conversation.protocol.hang_up()
        self._door.left(self)
        return result

    def readConnectionLost(self) -> None:
        """He will say no more, but may still listen."""
        if self._conversation is not None:
            self._conversation.protocol.readConnectionLost()
        else:
            assert self.transport is not None
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """He has heard why he is not served, or listens no more."""
        if self._conversation is not None:
            self._conversation.protocol.writeConnectionLost()

    def connectionLost(self, reason: Any = None) -> None:
        self._known()
        if self._conversation is not None:
            self._conversation.protocol.connectionLost(reason)
        else:
            self._door.left(self)
            self._forget_guest()


@implementer(IHandshakeListener)
class CertifiedUsher(DriverConnection):
    """Receives a driver once it has shown its certificate; the endpoint demands and verifies it."""

    _shaking = True

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.setTcpKeepAlive(True)  # type: ignore[attr-defined]
        self._expect("no certificate in {s:.0f} s", HANDSHAKE_PATIENCE)

    def _refuse(self, line: bytes) -> None:
        """TLS has read what was sent, and ends a connection by a message of its own."""
        assert self.transport is not None
        self._refused = True
        self._known()
        self.transport.write(line)
        self.transport.loseConnection()
        self._door.left(self)

    def handshakeCompleted(self) -> None:
        if self._refused:
            return  # too late
        self._shaking = False
        self._known()
        assert self.transport is not None
        shown = self.transport.getPeerCertificate().to_cryptography()  # type: ignore[attr-defined]
        log.info("a driver has the certificate of {name}", name=shown.subject.rfc4514_string())
        self._expect("nothing said in {s:.0f} s", DRIVER_PATIENCE)

    def connectionLost(self, reason: Any = None) -> None:
        if self._shaking and not self._refused:
            why = reason.getErrorMessage() if reason is not None else "gone"
            log.warn("a driver is refused: no good certificate: {why}", why=why)
        super().connectionLost(reason)
