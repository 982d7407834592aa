"""One conversation on stdin and stdout, for as long as the process lives."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.stdio import StandardIO
from twisted.logger import ILogObserver, STDLibLogObserver, globalLogBeginner
from zope.interface import implementer

from protocols.driver.codec import BadLine, encode
from protocols.driver.messages import Message
from protocols.driver.replies import SETUP, TapeError
from protocols.twisted_transports.driver import DriverProtocol
from taper.core.interfaces import IDriver
from taper.last_words import STDOUT, tell
from taper.run.debug_log import is_conversation_kept
from taper.run.session import Session
from taper.run.setup import Setup, SetupFailed, StartFailed

FLUSH_SECONDS = 2.0
"""How long a driver that does not read may keep us from ending."""


def keep_what_twisted_logs() -> None:
    """Keep what went wrong and nobody waited for in the debug log, whole."""
    observers: list[ILogObserver] = [STDLibLogObserver(), _tell_failure]
    globalLogBeginner.beginLoggingTo(observers, redirectStandardIO=False)


@implementer(ILogObserver)
def _tell_failure(event: Any) -> None:
    """A sentence of it to whoever reads the amdump log."""
    failure = event.get("log_failure")
    if failure is not None:
        tell("taper", f"internal error: {failure.getErrorMessage()}")


def converse(setup: Setup) -> int:
    """Serve the driver on fd 0 and 1 until it is done with us. :return: the exit status"""
    from twisted.internet import reactor

    conversation = Conversation(reactor, setup)
    session = conversation.session
    try:
        session.begin()
    except StartFailed as fault:
        return tell("taper", str(fault))
    try:
        session.open()
    except StartFailed as fault:
        session.start_failed(str(fault))
        return 1
    except SetupFailed as fault:
        os.write(STDOUT, encode(TapeError(SETUP, fault.text)))
        session.set_up_failed(fault.text)
        return 0
    pipes = Pipes(reactor, conversation.protocol)
    stop_with(reactor, session, pipes)
    setup.debug.write_from_now_on_beside()
    keep_what_twisted_logs()
    gc.freeze()  # what was made so far stays: no collection need look at it
    gc.enable()
    reactor.run()
    return 0


class Pipes:
    """Stdin and stdout, which can be left once all is said."""

    def __init__(self, reactor: Any, protocol: DriverProtocol) -> None:
        self._reactor = reactor
        self._protocol = protocol
        StandardIO(protocol, reactor=reactor)

    def leave(self) -> Deferred[None]:
        """Write what is still to be written, if the driver reads it, and close."""
        if self._protocol.deaf:
            return succeed(None)
        patience = self._reactor.callLater(FLUSH_SECONDS, self._protocol.lost.cancel)
        self._protocol.hang_up()
        return self._protocol.lost.addErrback(lambda _: None).addBoth(_forget, patience)


def _forget(result: None, timer: Any) -> None:
    if timer.active():
        timer.cancel()


def _keep_of(setup: Setup) -> Callable[[str], None] | None:
    return setup.debug.write if is_conversation_kept(setup.config.general) else None


@implementer(IDriver)
class Replies:
    """Sends to the driver, and keeps what was said in the debug log if that is asked for."""

    def __init__(self, protocol: DriverProtocol, setup: Setup) -> None:
        self._protocol = protocol
        self._debug = _keep_of(setup)

    def send(self, reply: Message) -> None:
        if self._debug is not None:
            self._debug(f"taper >> {encode(reply).decode('utf-8', 'surrogateescape').rstrip()}")
        self._protocol.send(reply)


class Conversation:
    """A session and the protocol that carries it.

    :ivar protocol: to be connected once the session is open
    """

    def __init__(self, reactor: object, setup: Setup) -> None:
        self.protocol = DriverProtocol(self._received, self._driver_lost)
        self.session = Session(reactor, setup, Replies(self.protocol, setup))
        self._debug = _keep_of(setup)

    def _received(self, message: Message | BadLine) -> Deferred[None] | None:
        controller = self.session.controller
        assert controller is not None, "nothing is received before the session is open"
        if self._debug is not None:
            self._debug(f"taper << {message!r}")
        if isinstance(message, BadLine):
            return controller.bad_line_received(message)
        controller.command_received(message)
        return None

    def _driver_lost(self) -> None:
        self.session.quit()


def stop_with(reactor: Any, session: Session, pipes: Pipes) -> None:
    """Let session and reactor end together, whichever is first; a signal is a QUIT."""
    stopping = False

    def before_shutdown() -> object:
        nonlocal stopping
        stopping = True
        return session.quit().addCallback(lambda _: pipes.leave())

    def session_ended(_: object) -> None:
        if not stopping:
            reactor.stop()

    # before it kills us, a driver that has waited long enough sends a SIGHUP
    signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(session.quit))
    reactor.addSystemEventTrigger("before", "shutdown", before_shutdown)
    session.ended.addBoth(session_ended)
