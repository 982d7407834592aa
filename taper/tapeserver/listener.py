"""Data connections: waiting for one, and making one."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from devices.callers import Callers, Verdict, plain_host
from devices.door import HELD_PATIENCE, judge
from protocols.directtcp import Address
from protocols.ndmp.codes import ErrorCode
from protocols.ndmp_server.interfaces import Refused
from taper.tapeserver.channel import DataChannel

if TYPE_CHECKING:
    from devices.callers import Network

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
CONNECT_PATIENCE = 10.0
"""Seconds to connect to one address."""
_BACKLOG = 8
log = Logger()


def is_in(host: str, networks: Sequence[Network]) -> bool:
    """An address is in one of the networks."""
    address = ip_address(plain_host(host))
    return any(address in network for network in networks)


@frozen
class DataTerms:
    """How data connections are made.

    :ivar callers: who may come; where no networks are named, that is our own user on this host.
    :ivar ports: to listen on; empty: any.
    :ivar host: IPv4 address to listen on; None: that of the control connection.
    :ivar ipv6_host: the same for IPv6.
    :ivar listen_patience: seconds that a peer may take to come; None: any.
    :ivar patience: seconds that a peer may say or take nothing; None: any.
    """

    callers: Callers = field(factory=Callers)
    ports: Sequence[int] = ()
    host: str | None = None
    ipv6_host: str | None = None
    listen_patience: float | None = None
    patience: float | None = None
    channel: Callable[[socket.socket, float | None], DataChannel] = DataChannel

    @property
    def networks(self) -> tuple[Network, ...]:
        """To which we connect."""
        return self.callers.networks or LOOPBACK

    def listening_host(self, host: str, *, ipv6: bool) -> str:
        """Where to listen for a client that has called one of our addresses.

        :raise Refused: no address of that kind is known
        """
        named = self.ipv6_host if ipv6 else self.host
        plain = plain_host(host)
        if named is not None or (":" in plain) == ipv6:
            return named or plain
        if is_in(plain, LOOPBACK):
            return "::1" if ipv6 else "127.0.0.1"
        kind = "IPv6" if ipv6 else "IPv4"
        text = f"called at {host}: no {kind} address to listen on for data; name one"
        raise Refused(ErrorCode.ILLEGAL_ARGS, text)


@implementer(IReadDescriptor)
class DataListener:
    """Takes one connection, of a peer that may, then listens no more.

    :param came: told of it, or of None: nobody came in time
    :raise Refused: no port is free
    """

    def __init__(
        self,
        reactor: Any,
        host: str,
        terms: DataTerms,
        came: Callable[[DataChannel | None], None],
        *,
        ipv6: bool = False,
    ) -> None:
        self._reactor = reactor
        self._terms = terms
        self._came = came
        self._held: tuple[socket.socket, Any] | None = None
        self._socket: socket.socket | None = _bound(
            terms.listening_host(host, ipv6=ipv6), terms.ports
        )
        self.address = Address(*self._socket.getsockname()[:2])
        reactor.addReader(self)
        patience = terms.listen_patience
        self._alarm = None if patience is None else reactor.callLater(patience, self._in_vain)

    def fileno(self) -> int:
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        return "data"

    def doRead(self) -> None:
        if self._socket is None:
            return
        try:
            link, _ = self._socket.accept()
        except OSError:
            return  # it went away at once
        verdict, who = judge(self._terms.callers, link)
        if verdict is Verdict.ADMITTED:
            self._take(link)
        elif verdict is Verdict.UNKNOWN and self._held is None:
            # a short dump of this host, perhaps: it may have said all, unless a better one comes
            self._held = link, self._reactor.callLater(HELD_PATIENCE, self._take_held)
        else:
            log.warn("data connection refused, not of a data peer: {who}", who=who)
            link.close()

    def _take_held(self) -> None:
        if self._held is not None:
            link, _ = self._held
            self._held = None
            self._take(link)

    def _take(self, link: socket.socket) -> None:
        self.close()
        self._came(self._terms.channel(link, self._terms.patience))

    def connectionLost(self, reason: Failure) -> None:
        self.close()

    def _in_vain(self) -> None:
        self._alarm = None
        self.close()
        self._came(None)

    def close(self) -> None:
        """Listen no more."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        held, self._held = self._held, None
        if held is not None:
            held[0].close()
            held[1].cancel()
        if self._socket is not None:
            self._reactor.removeReader(self)
            self._socket.close()
            self._socket = None


def _bound(host: str, ports: Sequence[int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    fault: OSError | None = None
    for port in ports or (0,):
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
            listening.listen(_BACKLOG)
        except OSError as found:
            listening.close()
            fault = found
            if found.errno not in (errno.EADDRINUSE, errno.EACCES):
                break
        else:
            listening.setblocking(False)
            return listening
    text = f"no data port on {host}: {fault.strerror if fault else 'none is free'}"
    raise Refused(ErrorCode.CONNECT, text)


def connect(addresses: Sequence[Address], terms: DataTerms) -> DataChannel:
    """Connect to the first address that takes us. Blocks.

    :raise Refused: none does, or may be called
    """
    reasons = []
    for address in addresses:
        if not is_in(address.host, terms.networks):
            reasons.append(f"{address.host} is not among the data peers")
            continue
        try:
            link = socket.create_connection((address.host, address.port), CONNECT_PATIENCE)
        except OSError as fault:
            reasons.append(f"{address.host}:{address.port}: {fault.strerror or fault}")
        else:
            return terms.channel(link, terms.patience)
    raise Refused(ErrorCode.CONNECT, "; ".join(reasons))
