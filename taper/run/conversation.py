"""From a setup to a conversation that a driver can be connected to: the one way, for the process
that the driver starts and for the daemon."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from zope.interface import implementer

from protocols.driver.codec import BadLine, encode
from protocols.twisted_transports.driver import DriverProtocol
from taper.core.interfaces import IDriver
from taper.run.debug_log import is_conversation_kept
from taper.run.session import Session
from taper.run.setup import Setup, SetupFailed, StartFailed

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from protocols.driver.messages import Message
    from taper.core.watch import Watch


class StartFailedLogged(StartFailed):
    """The process cannot start, and the FATAL line of its trace log tells why."""


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

    :param watch: is told what happens
    :ivar protocol: to be connected after :meth:`begin`
    """

    def __init__(self, reactor: object, setup: Setup, watch: Watch | None = None) -> None:
        self.protocol = DriverProtocol(self._received, self._driver_lost)
        self.session = Session(reactor, setup, Replies(self.protocol, setup), watch)
        self._debug = _keep_of(setup)

    def begin(self, refuse: Callable[[str], object] | None = None) -> None:
        """Begin the session and open it; of what it cannot begin for, the trace log is told.

        :param refuse: tells the driver that the storage cannot be served, before the trace log is
            told, as stock does: the log may be locked. Without it the caller tells him.
        :raise StartFailed: the process cannot start, and there may be no trace log to tell it
        :raise StartFailedLogged: the process cannot start, and the trace log tells it
        :raise SetupFailed: the storage cannot be served; the trace log tells it
        """
        self.session.begin()
        try:
            self.session.open()
        except StartFailed as fault:
            self.session.start_failed(str(fault))
            raise StartFailedLogged(str(fault)) from fault
        except SetupFailed as fault:
            if refuse is not None:
                refuse(fault.text)
            self.session.set_up_failed(fault.text)
            raise

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
