"""The data connection: resolved, made, and ended so that the peer cannot take a death for an end.

Facts: [ndmp 1.1, 1.9, 2.3]. End of stream is what a killed sender looks like, too. So a
connection of ours is set to be *reset* whenever it is closed, by us or by the system when we die;
only :meth:`Sender.finish` makes it end in an orderly way.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Sequence

from devices.sockets import raise_if_broken, unacknowledged
from protocols.directtcp import Address, AddressError, AnswerReader, is_indirect
from taper.application.errors import ApplicationError, reason

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
USUAL_CLOSE = struct.pack("ii", 0, 0)
_INFO_SIZE, _LAST_ACKNOWLEDGED = 104, 56
"""Of struct tcp_info in linux/tcp.h: bytes of it, and where tcpi_last_ack_recv is."""
_READ = 1 << 16
_FIRST_LOOK = 1
_LAST_LOOK = 200
"""Milliseconds between two looks whether everything was acknowledged."""


def place(address: Address) -> str:
    """The address for people; no brackets, they end an error line."""
    return f"{address.host} port {address.port}"


def connect(
    addresses: Sequence[Address], connect_timeout: float, answer_timeout: float
) -> tuple[socket.socket, Address]:
    """Connect to the first address that answers; an IndirectTCP one is asked for the real ones.

    :param connect_timeout: seconds for all addresses together
    :raise ApplicationError: none answers, or there is none
    """
    if not addresses:
        raise ApplicationError("no address for the data connection was given", code=5004)
    if is_indirect(addresses):
        addresses = resolve(addresses[0].port, connect_timeout, answer_timeout)
    end = time.monotonic() + connect_timeout
    failures = []
    for number, address in enumerate(addresses):
        share = max(end - time.monotonic(), 0.1) / (len(addresses) - number)
        try:
            return _connect(address, share), address
        except OSError as error:
            failures.append(f"{place(address)}: {reason(error)}")
    raise ApplicationError(f"cannot connect to {'; '.join(failures)}", code=5002)


def _connect(address: Address, timeout: float) -> socket.socket:
    family = socket.AF_INET6 if address.is_ipv6 else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.settimeout(timeout)
        made.connect((address.host, address.port))
        made.settimeout(None)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    except BaseException:
        made.close()
        raise
    return made


def resolve(port: int, connect_timeout: float, answer_timeout: float) -> tuple[Address, ...]:
    """Ask the IndirectTCP listener on this host; it answers when its volume is ready.

    :raise ApplicationError: nobody there, no answer in time, or no addresses in it
    """
    where = f"the IndirectTCP port {port} on localhost"
    reader = AnswerReader()
    end = time.monotonic() + answer_timeout
    try:
        with _connect(Address("127.0.0.1", port), connect_timeout) as asked:
            while True:
                asked.settimeout(max(end - time.monotonic(), 0.001))
                data = asked.recv(_READ)
                if not data:
                    return reader.finish()
                reader.feed(data)
    except (OSError, AddressError) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise ApplicationError(f"cannot get an address from {where}: {why}", code=6004) from None


def silence(connection: socket.socket) -> float:
    """Seconds for which the peer's system owes an acknowledgement of something; 0: it owes none."""
    if not unacknowledged(connection):
        return 0
    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_SIZE)
    milliseconds: int = struct.unpack_from("=I", told, _LAST_ACKNOWLEDGED)[0]
    return milliseconds / 1000


class Sender:
    """The connection of a dump. As a context it is reset at its end unless it was finished."""

    def __init__(self, connection: socket.socket, address: Address) -> None:
        self.address = address
        self._socket = connection
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def finish(self, patience: float) -> None:
        """End the stream, and wait until the peer's system has all of it, then for its own end.

        The first may take for ever as long as the peer is there, for example while it waits for a
        volume. A peer that ends its side after ours has read everything; one that closes without
        having read everything resets the connection.

        :param patience: seconds for the peer's end; without it, all that was received counts
        :raise ApplicationError: the connection broke
        """
        try:
            raise_if_broken(self._socket)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, USUAL_CLOSE)
            self._socket.shutdown(socket.SHUT_WR)
            self._wait_until_acknowledged()
            self._wait_for_end(patience)
        except OSError as error:
            raise self.broken(error) from None

    def _wait_until_acknowledged(self) -> None:
        poller = select.poll()
        poller.register(self._socket, 0)
        pause = _FIRST_LOOK
        while True:
            raise_if_broken(self._socket)
            if not unacknowledged(self._socket):
                return
            if poller.poll(pause):  # an error, or the peer has ended its side as well
                time.sleep(pause / 1000)
            pause = min(2 * pause, _LAST_LOOK)

    def _wait_for_end(self, patience: float) -> None:
        end = time.monotonic() + patience
        try:
            while (left := end - time.monotonic()) > 0:
                self._socket.settimeout(left)
                if not self._socket.recv(_READ):
                    return
        except TimeoutError:
            return

    def broken(self, error: OSError) -> ApplicationError:
        """What to say when the connection broke."""
        return ApplicationError(
            f"the data connection to {place(self.address)} broke: {reason(error)}"
        )
