"""One conversation on stdin and stdout, for as long as the process lives."""

from __future__ import annotations

import gc
import os
import signal
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.stdio import StandardIO
from twisted.logger import ILogObserver, STDLibLogObserver, globalLogBeginner
from zope.interface import implementer

from protocols.driver.codec import encode
from protocols.driver.replies import SETUP, TapeError
from protocols.twisted_transports.driver import DriverProtocol
from taper.last_words import STDOUT, tell
from taper.run.conversation import Conversation, StartFailedLogged
from taper.run.session import Session
from taper.run.setup import Setup, SetupFailed, StartFailed
from taper.run.watched import WatchedProcess

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
    # which is what a second signal meets, while the first one ends us
    if failure is not None and not failure.check("twisted.internet.error.ReactorNotRunning"):
        tell("taper", f"internal error: {failure.getErrorMessage()}", failure.value)


def converse(setup: Setup) -> int:
    """Serve the driver on fd 0 and 1 until it is done with us. :return: the exit status"""
    from twisted.internet import reactor

    watched = WatchedProcess(reactor, "stdio", setup.paths, setup.config, setup.debug.write)
    conversation = Conversation(reactor, setup, watched.watch)
    try:
        conversation.begin(refuse)
    except StartFailedLogged:
        return 1
    except StartFailed as fault:
        return tell("taper", str(fault), fault)
    except SetupFailed:
        return 0  # driver and trace log were told
    connect(reactor, conversation, watched)
    setup.debug.write_from_now_on_beside()
    keep_what_twisted_logs()
    gc.freeze()  # what was made so far stays: no collection need look at it
    gc.enable()
    reactor.run()
    return 0


def refuse(text: str) -> None:
    """Tell the driver, before a word of his, that the storage cannot be served."""
    # under twistd sys.stdout is a log
    os.write(STDOUT, encode(TapeError(SETUP, text)))


def connect(reactor: Any, conversation: Conversation, watched: WatchedProcess) -> None:
    """Let stdin and stdout carry a conversation that has begun, and reactor and session end
    together."""
    pipes = Pipes(reactor, conversation.protocol)
    watched.begin()
    stop_with(reactor, conversation.session, pipes, watched)


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


def stop_with(reactor: Any, session: Session, pipes: Pipes, watched: WatchedProcess) -> None:
    """Let session and reactor end together, whichever is first; a signal is a QUIT."""
    stopping = False

    def before_shutdown() -> object:
        nonlocal stopping
        stopping = True
        leaving = session.quit().addCallback(lambda _: pipes.leave())
        return leaving.addCallback(lambda _: watched.close())

    def session_ended(_: object) -> None:
        if not stopping:
            reactor.stop()

    # before it kills us, a driver that has waited long enough sends a SIGHUP
    signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(session.quit))
    reactor.addSystemEventTrigger("before", "shutdown", before_shutdown)
    session.ended.addBoth(session_ended)
