"""Who watches this process: clients of its status socket hear how things are, and what happens.

They cost the rest nothing. Nobody waits for a client. What is kept for one has a bound, and
progress is not kept at all. One who is behind by more, or who speaks, is told so and let go. Only
so many are let in, and only so many a second.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IPushProducer,
    IReadDescriptor,
)
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from protocols.status import encode, first_line, refusal

if TYPE_CHECKING:
    from taper.core.watch import Watch

MOST_CLIENTS = 16
MOST_UNSENT = 256 * 1024
"""Bytes that are kept for a client beside what the system and its transport take."""
PATIENCE = 30.0
"""Seconds for which a client may take nothing while there is something for it."""
TICK = 0.25
"""Seconds between two reports of progress."""
TICKS_ALIVE = 40
"""So many of them without anything else to tell, and it is told that we are alive."""
MOST_CALLS = 20
"""Connections that are taken in a second."""
GOODBYE = 5.0
"""Seconds that a client which was let go has to hear why."""
NO_ROOM = f"{MOST_CLIENTS} others are watching this taper"


@implementer(IHalfCloseableProtocol, IPushProducer)
class Client(Protocol):
    """One who watches."""

    def __init__(self, door: StatusDoor) -> None:
        self._door = door
        self._kept: deque[bytes] = deque()
        self._unsent = 0
        self._full_since: float | None = None
        self._leaving = False
        self._deadline: Any = None

    def connectionMade(self) -> None:
        self._stream.registerProducer(self, True)
        self._door.came(self)

    @property
    def _stream(self) -> Any:
        assert self.transport is not None
        return self.transport

    @property
    def behind(self) -> bool:
        """It has not taken all that it was told."""
        return self._full_since is not None

    # What it is told

    def tell(self, line: bytes) -> None:
        """One line, now or as soon as it takes any more."""
        if self._leaving:
            return
        if not self.behind:
            self._stream.write(line)
            return
        self._kept.append(line)
        self._unsent += len(line)
        if self._unsent > MOST_UNSENT:
            self.drop(f"it is more than {MOST_UNSENT} bytes behind")

    def tell_progress(self, lines: bytes) -> None:
        """Lines that others will take the place of: only if it takes them at once."""
        if not (self._leaving or self.behind):
            self._stream.write(lines)

    def look(self, now: float) -> None:
        """Let it go if it has taken nothing for too long."""
        if self._full_since is not None and now - self._full_since > PATIENCE:
            self.drop(f"it has read nothing for {PATIENCE:.0f} s")

    def pauseProducing(self) -> None:
        self._full_since = self._door.seconds()

    def resumeProducing(self) -> None:
        self._full_since = None
        while self._kept and not self.behind:
            line = self._kept.popleft()
            self._unsent -= len(line)
            self._stream.write(line)

    def stopProducing(self) -> None:
        """It is gone."""

    # Its end

    def drop(self, reason: str) -> None:
        """Say why, and hang up."""
        if self._leaving:
            return
        self._door.note(f"a status client is let go: {reason}")
        self.leave(encode({"event": "dropped", "at": self._door.now(), "reason": reason}))

    def leave(self, line: bytes) -> None:
        """Say this last, and hang up."""
        if self._leaving:
            return
        self._leaving = True
        self._kept.clear()
        self._stream.pauseProducing()  # whatever it says is not read any more
        self._stream.unregisterProducer()
        self._stream.write(line)
        self._stream.loseConnection()
        self._deadline = self._door.call_later(GOODBYE, self._stream.abortConnection)

    def dataReceived(self, data: bytes) -> None:
        self.drop("a status client has nothing to say")

    def readConnectionLost(self) -> None:
        """It says that it has nothing to say."""

    def writeConnectionLost(self) -> None:
        self._stream.abortConnection()

    def connectionLost(self, reason: Any = None) -> None:
        self._leaving = True
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._door.left(self)


class _Clients(Factory):
    noisy = False

    def __init__(self, door: StatusDoor) -> None:
        self._door = door

    def buildProtocol(self, addr: Any) -> Client:
        return Client(self._door)


@implementer(IReadDescriptor)
class _Listening:
    """Takes one connection a turn, and no more a second than are good for us."""

    def __init__(self, reactor: Any, listening: socket.socket, door: StatusDoor) -> None:
        self._reactor = reactor
        self._socket = listening
        self._door = door
        self._taken = 0
        self._resting: Any = None
        self._second: Any = None
        reactor.addReader(self)

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "status"

    def doRead(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except BlockingIOError:
            return  # it has gone again
        except OSError as fault:
            self._door.note(f"a status client cannot be taken in: {fault}")
            self._rest()
            return
        with connection:
            connection.setblocking(False)
            self._door.take(connection)
        self._taken += 1
        if self._second is None:
            self._second = self._reactor.callLater(1.0, self._second_over)
        if self._taken >= MOST_CALLS:
            self._rest()

    def _rest(self) -> None:
        if self._resting is None:
            self._reactor.removeReader(self)
            self._resting = self._reactor.callLater(1.0, self._go_on)

    def _second_over(self) -> None:
        self._taken, self._second = 0, None

    def _go_on(self) -> None:
        self._resting, self._taken = None, 0
        self._reactor.addReader(self)

    def connectionLost(self, reason: Any = None) -> None:
        """The reactor ends, or something went wrong that nobody foresaw."""
        self.close()

    def close(self) -> None:
        """Take nobody any more; safe to repeat."""
        for timer in (self._resting, self._second):
            if timer is not None and timer.active():
                timer.cancel()
        if self._socket.fileno() >= 0:
            self._reactor.removeReader(self)
            self._socket.close()


class StatusDoor:
    """Lets clients in, and tells them.

    :param note: writes one text to the debug log
    """

    def __init__(
        self,
        reactor: Any,
        watch: Watch,
        listening: socket.socket,
        note: Callable[[str], object],
    ) -> None:
        self.note = note
        self.seconds: Callable[[], float] = reactor.seconds
        self.call_later = reactor.callLater
        self.now = watch.now
        self._reactor = reactor
        self._watch = watch
        self._clients: list[Client] = []
        self._entering = 0
        self._factory = _Clients(self)
        self._flush: Any = None
        self._ticking: Any = None
        self._silent = 0
        self._listening = _Listening(reactor, listening, self)

    def take(self, connection: socket.socket) -> None:
        """Somebody has connected."""
        if len(self._clients) >= MOST_CLIENTS:
            try:
                connection.send(refusal(NO_ROOM))
            except OSError as fault:
                self.note(f"a status client is refused, and does not hear it: {fault}")
            return
        self._reactor.adoptStreamConnection(connection.fileno(), socket.AF_UNIX, self._factory)

    def came(self, client: Client) -> None:
        """It is to be told from now on."""
        if not self._clients:
            self._watch.attend(self._wake)
            self._ticking = self.call_later(TICK, self._tick)
        self._tell_news()
        self._clients.append(client)
        client.tell(first_line(self._watch.snapshot()))

    def left(self, client: Client) -> None:
        """It is gone."""
        self._clients.remove(client)
        if not self._clients:
            self._watch.attend(None)
            self._rest()

    def _rest(self) -> None:
        for timer in (self._ticking, self._flush):
            if timer is not None and timer.active():
                timer.cancel()
        self._ticking = self._flush = None

    def _wake(self) -> None:
        if self._flush is None:
            self._flush = self.call_later(0, self._news_came)

    def _news_came(self) -> None:
        self._flush = None
        self._tell_news()

    def _tell_news(self) -> None:
        for event in self._watch.news():
            self._silent = 0
            line = encode(event)
            for client in self._clients:
                client.tell(line)

    def _tick(self) -> None:
        self._ticking = self.call_later(TICK, self._tick)
        lines = b"".join(encode(event) for event in self._watch.progress())
        self._silent = 0 if lines else self._silent + 1
        if self._silent >= TICKS_ALIVE:
            self._silent, lines = 0, encode({"event": "alive", "at": self.now()})
        now = self.seconds()
        for client in self._clients:
            client.look(now)
            if lines:
                client.tell_progress(lines)

    def close(self, reason: str) -> None:
        """Tell everybody that it is over, and why; nobody is waited for."""
        self._listening.close()
        self._tell_news()
        line = encode({"event": "end", "at": self.now(), "reason": reason})
        for client in self._clients:
            client.leave(line)
        self._rest()
        self._watch.attend(None)
