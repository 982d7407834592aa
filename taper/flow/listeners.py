"""Listeners on the loopback address, for dumpers [protocol 5.1], [data-plane 4.2]."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.protocol import connectionDone as _connection_done
from zope.interface import implementer

from devices.callers import Callers
from devices.door import BACKLOG, HELD_PATIENCE, SILENT_PATIENCE, Door
from devices.regular import open_regular
from taper.core.errors import SourceFault

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

ACCEPT_FAILED = "Error accepting incoming connection: "

HOSTS = "/etc/hosts"

MOST_OF_HOSTS = 1 << 20
"""Bytes of it that are looked at; localhost stands at its beginning."""


def loopback_addresses(hosts: str | None = None) -> list[tuple[socket.AddressFamily, str]]:
    """What ``localhost`` stands for, IPv4 first; 127.0.0.1 in any case, if only as the last.

    The programs that connect ask the resolver, which looks into this file first. We look there
    ourselves: without an entry the resolver asks a name server, and nothing may wait for that here.

    :param hosts: the file; default ``/etc/hosts``
    """
    known = [(_family(host), host) for host in _named_localhost(hosts or HOSTS)]
    known.sort(key=lambda entry: entry[0] is not socket.AF_INET)
    return list(dict.fromkeys([*known, (socket.AF_INET, "127.0.0.1")]))


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _named_localhost(hosts: str) -> list[str]:
    try:
        with open(hosts, "rb", opener=open_regular) as file:
            text = file.read(MOST_OF_HOSTS).decode("utf-8", "replace")
    except OSError:
        return []
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return [
        address
        for address, *names in (words for words in lines if words)
        if "localhost" in (name.lower() for name in names) and _is_address(address)
    ]


def _is_address(text: str) -> bool:
    try:
        return not ipaddress.ip_address(text).is_unspecified
    except ValueError:
        return False


def listen_on_loopback() -> socket.socket:
    """A socket that listens on a free port of the first such address that this host has.

    :raise OSError: none can be had
    """
    fault: OSError | None = None
    for family, host in loopback_addresses():
        try:
            listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            fault = fault or error
            continue
        try:
            listener.bind((host, 0))
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            fault = fault or error
            continue
        return listener
    assert fault is not None, "there is always an address to try"
    raise fault


@implementer(IReadDescriptor)
class _Watch:
    """Tells the listener that one of its sockets can be read."""

    def __init__(self, watched: socket.socket, listener: OneShotListener) -> None:
        self.watched = watched
        self._listener = listener
        self._number = watched.fileno()

    def fileno(self) -> int:
        return self._number

    def logPrefix(self) -> str:
        return f"listener {self._listener.address}"

    def doRead(self) -> None:
        self._listener.look(self.watched)

    def connectionLost(self, reason: Failure) -> None:
        self._listener.close()


class OneShotListener:
    """Listens on a free loopback port until the one it is for has begun, then closes.

    Who that can be is said in :mod:`devices.callers` and :mod:`devices.door`.

    :param on_caller: called whenever somebody who may be the one has connected
    :ivar port: the port, an integer.
    :ivar address: ``IP:PORT``.
    :ivar accepted: Deferred of the connected socket, in blocking mode, with its first bytes
        unread; fails with SourceFault. Cancelling it stops listening.
    """

    def __init__(self, reactor: Any, on_caller: Callable[[], object] = lambda: None) -> None:
        """:raise OSError: nothing can be listened on"""
        self._reactor = reactor
        self._on_caller = on_caller
        listener = listen_on_loopback()
        host, self.port = listener.getsockname()[:2]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.accepted: Deferred[socket.socket] = Deferred(lambda _: self._stop())
        self._door = Door([listener], Callers())
        self._watches: dict[socket.socket, _Watch] = {}
        self._deadline: IDelayedCall | None = None
        self._held: IDelayedCall | None = None
        self._silent: IDelayedCall | None = None
        self._patience: float | None = None
        self._listening = True
        self._watch()

    @property
    def waiting(self) -> bool:
        """Somebody who may be the one is there, and has said nothing so far."""
        return self._door.waiting

    def wait_at_most(self, seconds: float) -> None:
        """Give up when nobody is connected ``seconds`` from now, or later.

        Who hung up without being identified, or without a byte, is taken when nobody better came;
        soon, if he is known to be one who may.
        """
        if self._listening:
            self._patience = seconds
            self._deadline = self._reactor.callLater(seconds, self._timed_out)
            self._consider_held()

    def _timed_out(self) -> None:
        self._deadline = None
        if self.waiting:
            # whoever sent him knows how long he may be silent
            self._deadline = self._reactor.callLater(self._patience, self._timed_out)
            return
        found = self._door.take_held() or self._door.take_silent()
        if found is not None:
            self._take(found)
            return
        self._fail("Connection timed out")

    def _fail(self, text: str) -> None:
        self._stop()
        self.accepted.errback(SourceFault(ACCEPT_FAILED + text))

    def close(self) -> None:
        """Stop listening; ``accepted`` then never fires unless it has."""
        self._stop()

    def _stop(self) -> None:
        if not self._listening:
            return
        self._listening = False
        for timer in (self._deadline, self._held, self._silent):
            if timer is not None and timer.active():
                timer.cancel()
        self._deadline = self._held = self._silent = None
        for watch in self._watches.values():
            self._reactor.removeReader(watch)
        self._watches.clear()
        self._door.close()

    # callers

    def _watch(self) -> None:
        """Watch what is to be watched now."""
        wanted = self._door.sockets()
        for gone in [each for each in self._watches if each not in wanted]:
            self._reactor.removeReader(self._watches.pop(gone))
        for new in wanted:
            if new not in self._watches:
                watch = self._watches[new] = _Watch(new, self)
                self._reactor.addReader(watch)
        self._door.tidy()

    def look(self, which: socket.socket) -> None:
        """One of our sockets can be read."""
        if not self._listening:
            return
        before = len(self._watches)
        try:
            found = self._door.ready(which)
        except OSError as fault:
            self._fail(os.strerror(fault.errno or 0))
            return
        if found is not None:
            self._take(found)
            return
        self._watch()
        self._consider_held()
        if len(self._watches) > before:
            self._on_caller()

    def _consider_held(self) -> None:
        if self._door.holds and self._patience is not None and self._held is None:
            self._held = self._reactor.callLater(HELD_PATIENCE, self._take_held)
        if self._door.known_left and self._patience is not None and self._silent is None:
            patience = min(SILENT_PATIENCE, self._patience)
            self._silent = self._reactor.callLater(patience, self._take_silent)

    def _take_held(self) -> None:
        self._held = None
        found = self._door.take_held()
        if found is not None:
            self._take(found)

    def _take_silent(self) -> None:
        self._silent = None
        if self.waiting:
            self._consider_held()  # somebody better is there, who may leave as well
            return
        found = self._door.take_silent()
        if found is not None:
            self._take(found)

    def _take(self, connection: socket.socket) -> None:
        self._stop()
        connection.setblocking(True)
        self.accepted.callback(connection)


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

    def abort(self) -> None:
        """Hang up."""
        self._receiver.abort()
