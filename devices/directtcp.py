"""DirectTCP for every device that this process feeds: the connection is a socket that we hold.

A device in a lane gets this face from :class:`SocketFed` (:mod:`devices.lane`). Waiting for a peer
is done in the device's lane, which is what "no other call until accept is over" means here.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from devices.errors import (
    DeviceError,
    IncompatibleConnection,
    PeerUnreachable,
)
from devices.idirecttcp import IDirectTCPConnection, IDirectTCPDevice, ISocketConnection
from protocols.directtcp import Address

if TYPE_CHECKING:
    from devices.interfaces import IDeviceFacts, ILane

T = TypeVar("T")

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


class Wait:
    """Something a lane waits for and the reactor's thread may break off.

    :raise OSError: there is no pipe to be had
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._done = False

    def give_up(self) -> None:
        if not self._done:
            os.write(self._write, b"x")

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
            raise GivenUp("the wait for a peer was given up")
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
            listener.listen(1)
    except BaseException:
        close_all(opened)
        raise
    return opened


def close_all(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


def accept_one(listeners: list[socket.socket], wait: Wait) -> socket.socket:
    """The first peer that connects; the listeners are closed, come what may."""
    try:
        while True:
            ready = wait.until(listeners, select.POLLIN, None)
            for listener in listeners:
                if listener.fileno() not in ready:
                    continue
                try:
                    return listener.accept()[0]
                except (BlockingIOError, ConnectionAbortedError):
                    continue  # he went away; wait for the next
    except OSError as error:
        raise DeviceError(f"accepting a connection: {error.strerror}") from error
    finally:
        close_all(listeners)


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


@implementer(IDirectTCPDevice)
class SocketFed:
    """The DirectTCP face of a blocking device in a lane.

    The first connection that comes is taken and the others are refused; who connects is not
    checked, since nobody but the driver and those it trusts is told the ports.
    """

    facts: IDeviceFacts
    lane: ILane

    def __init__(self) -> None:
        self._listeners: list[socket.socket] = []
        self._connection: IDirectTCPConnection | None = None

    def listen(self, for_writing: bool) -> Deferred[tuple[Address, ...]]:
        if self._listeners:
            raise ValueError(f"{self.facts.name} listens already")
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
        from devices.base import split_hosts

        for prop in self.facts.properties:
            if prop.name == "directtcp_address":
                # a stock client uses the first one, and can use IPv4 only
                return tuple(sorted(split_hosts(str(prop.value or "")), key=lambda h: ":" in h))
        return ()

    def accept(self) -> Deferred[IDirectTCPConnection]:
        listeners, self._listeners = self._listeners, []
        if not listeners:
            raise ValueError(f"{self.facts.name} does not listen")
        return self._waiting(lambda wait: accept_one(listeners, wait), listeners)

    def connect(
        self, for_writing: bool, addresses: tuple[Address, ...]
    ) -> Deferred[IDirectTCPConnection]:
        return self._waiting(lambda wait: connect_one(addresses, wait))

    def _waiting(
        self, make: Callable[[Wait], socket.socket], leftover: list[socket.socket] | None = None
    ) -> Deferred[IDirectTCPConnection]:
        def keep(connected: socket.socket) -> IDirectTCPConnection:
            self._connection = SocketConnection(self.facts.name, connected)
            return self._connection

        return wait_in_lane(self.lane, make, leftover).addCallback(keep)

    def use_connection(self, connection: IDirectTCPConnection) -> Deferred[None]:
        if not ISocketConnection.providedBy(connection):
            raise IncompatibleConnection(self.facts.name, connection.device_name)
        self._connection = connection
        return succeed(None)
