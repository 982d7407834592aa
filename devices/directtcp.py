"""DirectTCP for every device that this process feeds: the connection is a socket that we hold.

A device in a lane gets this face from :class:`SocketFed` (:mod:`devices.lane`). Waiting for a peer
is done in the device's lane, which is what "no other call until accept is over" means here.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from devices.base import split_hosts, split_networks
from devices.callers import Callers
from devices.door import BACKLOG, HELD_PATIENCE, Door, peer
from devices.errors import (
    DeviceError,
    IncompatibleConnection,
    PeerUnreachable,
)
from devices.idirecttcp import IDirectTCPConnection, ISocketConnection, ISocketFedDevice
from protocols.directtcp import Address

if TYPE_CHECKING:
    from devices.callers import Network
    from devices.interfaces import IDeviceFacts, ILane

T = TypeVar("T")

_log = logging.getLogger(__name__)

CONNECT_PATIENCE = 60.0
"""Seconds to wait for one address to answer."""

CHUNK = 1024 * 1024
"""Bytes moved at a time, made whole blocks."""


@implementer(ISocketConnection)
class SocketConnection:
    """A connected socket. Its bytes go wherever this process likes, so any such device takes it."""

    def __init__(self, device_name: str, connected: socket.socket) -> None:
        self.device_name = device_name
        self.socket = connected
        connected.setblocking(True)

    def close(self) -> Deferred[None]:
        self.socket.close()
        return succeed(None)


class GivenUp(DeviceError):
    """A wait was broken off by whoever waited."""

    taper_code = 4011


class Wait:
    """Something a lane waits for and the reactor's thread may break off.

    :raise OSError: there is no pipe to be had
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._done = False
        self.enough = False

    def give_up(self) -> None:
        if not self._done:
            os.write(self._write, b"x")

    def be_content(self) -> None:
        """Let whoever waits look at :attr:`enough`: nobody better will come."""
        if not self._done:
            os.write(self._write, b"e")

    def until(self, sockets: list[socket.socket], event: int, seconds: float | None) -> list[int]:
        """Descriptors of the sockets that are ready; none after ``seconds``.

        :raise GivenUp: :meth:`give_up` was called
        """
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        for waiting in sockets:
            poll.register(waiting, event)
        ready = [number for number, _ in poll.poll(None if seconds is None else seconds * 1000)]
        if self._read in ready:
            if b"x" in os.read(self._read, 16):
                raise GivenUp("the wait for a peer was given up")
            self.enough = True
            ready.remove(self._read)
        return ready

    def close(self) -> None:
        """In the reactor's thread, when nobody waits any more."""
        self._done = True
        os.close(self._read)
        os.close(self._write)


def open_listeners(hosts: tuple[str, ...]) -> list[socket.socket]:
    """Listen on a free port of each of these addresses.

    :raise OSError: one of them cannot be had
    """
    opened: list[socket.socket] = []
    try:
        for host in hosts:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            opened.append(listener)
            listener.bind((host, 0))
            listener.listen(BACKLOG)
    except BaseException:
        close_all(opened)
        raise
    return opened


def close_all(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


def accept_one(
    door: Door, wait: Wait, *, clock: Callable[[], float] = time.monotonic
) -> socket.socket:
    """The first caller who may and who begins; the door is closed, come what may.

    :raise GivenUp: meanwhile
    """
    held_until: float | None = None
    try:
        while True:
            left = None if held_until is None else max(held_until - clock(), 0.0)
            by_number = {each.fileno(): each for each in door.sockets()}
            door.tidy()
            ready = wait.until(list(by_number.values()), select.POLLIN, left)
            for number in ready:
                found = door.ready(by_number[number])
                if found is not None:
                    return found
            found = None
            if held_until is not None and not ready and clock() >= held_until:
                found = door.take_held()
            elif wait.enough:
                found = door.take_silent()
            if found is not None:
                return found
            if not door.holds:
                held_until = None
            elif held_until is None:
                held_until = clock() + HELD_PATIENCE
    except OSError as error:
        raise DeviceError(f"accepting a connection: {error.strerror}") from error
    finally:
        door.close()


def connect_one(addresses: tuple[Address, ...], wait: Wait) -> socket.socket:
    """A connection to the first address that answers.

    :raise PeerUnreachable: none does; all of them are named
    """
    complaints: list[str] = []
    for address in addresses:
        family = socket.AF_INET6 if address.is_ipv6 else socket.AF_INET
        try:
            trying = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise DeviceError(f"cannot connect: {error.strerror}") from error
        try:
            code = trying.connect_ex((address.host, address.port))
            if code == errno.EINPROGRESS:
                if wait.until([trying], select.POLLOUT, CONNECT_PATIENCE):
                    code = trying.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                else:
                    code = errno.ETIMEDOUT
        except BaseException:
            trying.close()
            raise
        if code == 0:
            return trying
        trying.close()
        complaints.append(f"{address}: {os.strerror(code)}")
    raise PeerUnreachable(f"cannot connect: {'; '.join(complaints) or 'there is no address'}")


def wait_in_lane(
    lane: ILane, make: Callable[[Wait], socket.socket], leftover: list[socket.socket] | None = None
) -> Deferred[socket.socket]:
    """Make a connection in a lane; cancelling breaks the wait off.

    :param leftover: sockets to be closed when nobody waits any more, whether or not it began
    """
    try:
        wait = Wait()
    except OSError as error:
        close_all(leftover or [])
        return fail(DeviceError(f"cannot wait for a connection: {error.strerror}"))
    made = lane.call_owning(lambda orphan: orphan.close(), make, wait)

    def give_up(_: Deferred[socket.socket]) -> None:
        wait.give_up()
        made.cancel()

    asked: Deferred[socket.socket] = Deferred(give_up)

    def over(_: object) -> None:
        wait.close()
        close_all(leftover or [])

    made.addCallbacks(asked.callback, asked.errback)
    # the lane takes one call after another: this one comes when the wait is over
    lane.call_surely(lambda: None).addBoth(over)
    return asked


@implementer(ISocketFedDevice)
class SocketFed:
    """The DirectTCP face of a blocking device in a lane.

    The first caller who may (:mod:`devices.callers`) and who begins is taken.
    """

    facts: IDeviceFacts
    lane: ILane

    def __init__(self) -> None:
        self._listeners: list[socket.socket] = []
        self._connection: IDirectTCPConnection | None = None
        self._for_writing = True
        self._callers = Callers()
        self._door: Door | None = None
        self._wait: Wait | None = None

    @property
    def being_called(self) -> bool:
        door = self._door
        return door is not None and door.waiting

    @property
    def was_called(self) -> bool:
        door = self._door
        return door is not None and door.was_called

    def admit(self, callers: Callers) -> None:
        self._callers = callers

    def take_silent(self) -> None:
        if self._wait is not None:
            self._wait.be_content()

    def listen(self, for_writing: bool) -> Deferred[tuple[Address, ...]]:
        if self._listeners:
            raise ValueError(f"{self.facts.name} listens already")
        self._for_writing = for_writing
        return self.lane.call_owning(close_all, self._open).addCallback(self._keep)

    def _open(self) -> list[socket.socket]:
        from devices.addresses import reachable_hosts  # only for DirectTCP dumps

        hosts = self._wanted_hosts() or reachable_hosts()
        try:
            return open_listeners(hosts)
        except OSError as error:
            raise DeviceError(f"cannot listen on {', '.join(hosts)}: {error.strerror}") from error

    def _keep(self, listeners: list[socket.socket]) -> tuple[Address, ...]:
        self._listeners = listeners
        return tuple(Address(*listener.getsockname()[:2]) for listener in listeners)

    def _wanted_hosts(self) -> tuple[str, ...]:
        # a stock client uses the first one, and can use IPv4 only
        hosts = split_hosts(self._text("directtcp_address"))
        return tuple(sorted(hosts, key=lambda host: ":" in host))

    def _wanted_peers(self) -> tuple[Network, ...]:
        return split_networks(self._text("directtcp_peer_address"))

    def _text(self, name: str) -> str:
        """A property's value; empty if the device has no such property."""
        found = (prop.value for prop in self.facts.properties if prop.name == name)
        return str(next(found, None) or "")

    def accept(self) -> Deferred[IDirectTCPConnection]:
        listeners, self._listeners = self._listeners, []
        if not listeners:
            raise ValueError(f"{self.facts.name} does not listen")
        callers = evolve(self._callers, networks=self._callers.networks + self._wanted_peers())
        door = self._door = Door(listeners, callers, speaks=self._for_writing)

        def accept(wait: Wait) -> socket.socket:
            self._wait = wait
            return accept_one(door, wait)

        return self._waiting(accept, listeners)

    def connect(
        self, for_writing: bool, addresses: tuple[Address, ...]
    ) -> Deferred[IDirectTCPConnection]:
        return self._waiting(lambda wait: connect_one(addresses, wait))

    def _waiting(
        self, make: Callable[[Wait], socket.socket], leftover: list[socket.socket] | None = None
    ) -> Deferred[IDirectTCPConnection]:
        def keep(connected: socket.socket) -> IDirectTCPConnection:
            _log.info("%s: the data connection is with %s", self.facts.name, peer(connected))
            self._connection = SocketConnection(self.facts.name, connected)
            return self._connection

        return wait_in_lane(self.lane, make, leftover).addCallback(keep)

    def use_connection(self, connection: IDirectTCPConnection) -> Deferred[None]:
        if not ISocketConnection.providedBy(connection):
            raise IncompatibleConnection(self.facts.name, connection.device_name)
        self._connection = connection
        return succeed(None)
