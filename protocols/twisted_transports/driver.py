"""The driver conversation on a Twisted transport, from either end [protocol 1, 2]."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from protocols.driver.codec import (
    LINE_LIMIT,
    BadLine,
    LineBuffer,
    decode_command,
    decode_reply,
    encode,
)
from protocols.driver.messages import Message

OnMessage = Callable[[Message | BadLine], "Deferred[None] | None"]


@implementer(IHalfCloseableProtocol)
class _Conversation(Protocol):
    """Lines in, messages to a callback; messages out, as whole lines.

    :param decode: line to message; None: a line to be ignored.
    :param on_message: called with every message, and with a BadLine for every line that is none.
        What it gives back, if anything, is waited for before the next line is taken, and read.
    :param on_eof: called once, when the peer will say no more; a last line without LF comes
        before it. Messages may still be sent: only half of the connection may be gone.
    :param limit: bytes of the longest line taken.
    :ivar deaf: what is sent goes nowhere.
    :ivar lost: fires when the connection is gone, both ways.
    """

    def __init__(
        self,
        decode: Callable[[bytes], Message | BadLine | None],
        on_message: OnMessage,
        on_eof: Callable[[], None],
        limit: int,
    ) -> None:
        self._decode = decode
        self._on_message = on_message
        self._on_eof = on_eof
        self._lines = LineBuffer(limit)
        self._held: deque[bytes | BadLine] = deque()
        self._holding = False
        self._awaiting = False
        self._at_end = False
        self._ended = False
        self.deaf = False
        self.lost: Deferred[None] = Deferred()

    def send(self, message: Message) -> None:
        """Send one message, as one whole line. Once the peer is gone, it goes nowhere."""
        if self.transport is None:
            raise RuntimeError(f"not connected yet: cannot send {message!r}")
        self.transport.write(encode(message))

    def hang_up(self) -> None:
        """Send what is still to be sent, and close."""
        if self.transport is not None:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        self._held.extend(self._lines.feed(data))
        self._work()

    def readConnectionLost(self) -> None:
        self._end()

    def writeConnectionLost(self) -> None:
        """Nobody reads us any more; what still comes in is executed, as on a whole connection."""
        self.deaf = True

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.deaf = True
        self._end()
        if not self.lost.called:
            self.lost.callback(None)

    def _end(self) -> None:
        if self._at_end:
            return
        self._at_end = True
        line = self._lines.finish()
        if line is not None:
            self._held.append(line)
        self._work()

    def _work(self) -> None:
        """Take the lines that have come, one after the other, while none is to be held."""
        while self._held and not (self._holding or self._awaiting):
            self._take(self._held.popleft())
        if self._at_end and not self._held and not self._ended:
            self._ended = True
            self._on_eof()

    def _take(self, line: bytes | BadLine) -> None:
        message = line if isinstance(line, BadLine) else self._decode(line)
        wait = None if message is None else self._on_message(message)
        if wait is not None and not wait.called:
            self._awaiting = True
            self._pause()
            wait.addBoth(self._go_on)

    def _go_on(self, outcome: object) -> None:
        self._awaiting = False
        self._work()
        self._resume()

    def _pause(self) -> None:
        """Read no more for now; what is on its way may still come."""

    def _resume(self) -> None:
        """Read on, if nothing keeps us from it."""


@implementer(IPushProducer)
class DriverProtocol(_Conversation):
    """The taper's side: commands come in, replies go out.

    While the driver leaves more replies unread than the transport likes to keep, no command is
    read and none that was read is carried out: they wait, and in the end the driver with them. To
    the transport we are the producer of the replies.
    """

    def __init__(
        self,
        on_command: OnMessage,
        on_eof: Callable[[], None],
        limit: int = LINE_LIMIT,
    ) -> None:
        super().__init__(decode_command, on_command, on_eof, limit)

    @property
    def _pipe(self) -> Any:
        """The transport, to which replies are produced, and which produces commands."""
        return self.transport

    def connectionMade(self) -> None:
        self._pipe.registerProducer(self, True)

    def hang_up(self) -> None:
        if self._pipe is not None:
            self._pipe.unregisterProducer()  # it would wait for us to be done
        super().hang_up()

    def pauseProducing(self) -> None:
        """Too many replies are unread."""
        self._holding = True
        self._pipe.pauseProducing()

    def resumeProducing(self) -> None:
        """They are gone."""
        self._holding = False
        self._work()
        self._resume()

    def _pause(self) -> None:
        self._pipe.pauseProducing()

    def _resume(self) -> None:
        if not (self._holding or self._awaiting or self._at_end):
            self._pipe.resumeProducing()

    def stopProducing(self) -> None:
        """Nobody will ever read them: go on, since there may be commands, and there is an end."""
        self.deaf = True
        self.resumeProducing()

    def writeConnectionLost(self) -> None:
        super().writeConnectionLost()
        self.resumeProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._holding = False
        super().connectionLost(reason)


class TaperProtocol(_Conversation):
    """The driver's side: replies come in, commands go out."""

    def __init__(
        self,
        on_reply: OnMessage,
        on_eof: Callable[[], None],
        limit: int = LINE_LIMIT,
    ) -> None:
        super().__init__(decode_reply, on_reply, on_eof, limit)
