"""A port that waits for one dump, and those who come to it."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable

from devices.callers import Callers, Verdict, Where
from devices.socket_owner import owner_of

MOST_WAITING = 32
"""Callers that are waited for at a time; the first to come leaves for one more."""

MOST_TOLD = 10
"""Refusals of one port that are told one by one."""

HELD_PATIENCE = 1.0
"""Seconds that a caller who cannot be identified any more is held for a better one."""

SILENT_PATIENCE = 5.0
"""Seconds that one who may be the awaited one, and hung up without a byte, as a dumper does that
fails early, is held for a better one."""

BACKLOG = 32
"""Connections that may be there before we look: a stranger must not keep the right one out."""

_ESTABLISHED = 1  # linux/tcp_states.h
_log = logging.getLogger(__name__)


def judge_addresses(
    callers: Callers, peer: Where, ours: Where, *, open_still: bool = True
) -> tuple[Verdict, str]:
    """The verdict on a connection from ``peer`` to ``ours``, and for people, whose it is.

    :param open_still: the peer has not hung up
    """
    return callers.judge(peer[0], ours[0], owner_of(peer, ours), open_still=open_still)


def judge(callers: Callers, connection: socket.socket) -> tuple[Verdict, str]:
    """The same for an accepted connection."""
    try:
        peer, ours = connection.getpeername()[:2], connection.getsockname()[:2]
        state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except OSError:
        return Verdict.REFUSED, "somebody who is gone"
    return judge_addresses(callers, peer, ours, open_still=state == _ESTABLISHED)


def peer(connection: socket.socket) -> str:
    """Who is at the other end of a connection, as far as that can be told."""
    try:
        return str(connection.getpeername())
    except OSError as fault:
        return f"somebody who has gone ({fault.strerror})"


class Door:
    """The listening sockets of one dump, and those who have come to them.

    :param speaks: whoever is awaited speaks first, so who has said nothing is not the one

    Whoever uses it watches :meth:`sockets` for reading, tells which of them is :meth:`ready`, and
    lets it :meth:`tidy` up. Belongs to one thread at a time; nothing here blocks.

    :ivar refused: how many were sent away.
    :ivar known_left: one who was found to be admitted hung up without a byte.
    """

    def __init__(
        self, listeners: Iterable[socket.socket], callers: Callers, *, speaks: bool = True
    ) -> None:
        self._listeners = list(listeners)
        self._speaks = speaks
        self._callers = callers
        self._waiting: list[socket.socket] = []
        self._held: list[socket.socket] = []
        self._hung_up_silently: socket.socket | None = None
        self._left: list[socket.socket] = []
        self.known_left = False
        self.refused = 0

    def sockets(self) -> list[socket.socket]:
        """What to watch for reading."""
        return [*self._listeners, *self._waiting]

    @property
    def waiting(self) -> bool:
        """Somebody who may be the one is there, and has said nothing so far."""
        return bool(self._waiting)

    @property
    def was_called(self) -> bool:
        """Somebody who may be the one hung up without a byte."""
        return self._hung_up_silently is not None

    @property
    def holds(self) -> bool:
        """Somebody has hung up who may have said all; see :meth:`take_held`."""
        return bool(self._held)

    def ready(self, which: socket.socket) -> socket.socket | None:
        """One of :meth:`sockets` can be read. :return: the connection of the one, ours no more

        :raise OSError: no connection can be accepted
        """
        if which in self._waiting:
            return self._hear(which)
        if which not in self._listeners:
            return None
        try:
            connection = which.accept()[0]
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return None  # the one who knocked went away
        verdict, who = judge(self._callers, connection)
        if verdict is Verdict.REFUSED:
            self._refuse(connection, who)
            return None
        connection.setblocking(False)
        if verdict is Verdict.UNKNOWN:
            self._hold(connection)
            return None
        if not self._speaks:
            return connection
        while len(self._waiting) >= MOST_WAITING:
            self._left.append(self._waiting.pop(0))
        self._waiting.append(connection)
        return self._hear(connection)

    def _refuse(self, connection: socket.socket, who: str) -> None:
        connection.close()
        self.refused += 1
        if self.refused <= MOST_TOLD:
            _log.warning("a connection to the port of a dump is refused: it is from %s", who)

    def _hear(self, connection: socket.socket) -> socket.socket | None:
        """The connection if its peer has begun."""
        try:
            said = connection.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:  # reset
            self._waiting.remove(connection)
            self._left.append(connection)
            return None
        self._waiting.remove(connection)
        if said:
            return connection
        self.known_left = True
        self._note_silent(connection)
        return None

    def _note_silent(self, connection: socket.socket) -> None:
        if self._hung_up_silently is not None:
            self._left.append(self._hung_up_silently)
        self._hung_up_silently = connection

    def _hold(self, connection: socket.socket) -> None:
        """Keep one who has hung up."""
        try:
            said = connection.recv(1, socket.MSG_PEEK)
        except OSError:  # reset
            connection.close()
            return
        if not said:
            self._note_silent(connection)
        elif len(self._held) < MOST_WAITING:
            self._held.append(connection)
        else:
            connection.close()

    def take_held(self) -> socket.socket | None:
        """The first who hung up and may have said all, since nobody better came."""
        return self._held.pop(0) if self._held else None

    def take_silent(self) -> socket.socket | None:
        """The last who may be the one and hung up without a byte: all of an empty dump."""
        found, self._hung_up_silently = self._hung_up_silently, None
        return found

    def tidy(self) -> None:
        """Close who has left, once nothing watches him any more."""
        for each in self._left:
            each.close()
        self._left.clear()

    def close(self) -> None:
        """Close all that was not taken; safe to repeat."""
        self.tidy()
        for each in (*self._listeners, *self._waiting, *self._held):
            each.close()
        if self._hung_up_silently is not None:
            self._hung_up_silently.close()
        self._listeners, self._waiting, self._held = [], [], []
        self._hung_up_silently = None
        if self.refused > MOST_TOLD:
            _log.warning("%d more connections were refused", self.refused - MOST_TOLD)
            self.refused = 0
