"""Who may connect to a port that waits for one dump.

A port is open to whoever can reach it. So a connection from this host is taken from our own user
and root only, and one from elsewhere only from the addresses of the dump's host.
"""

from __future__ import annotations

import enum
import ipaddress
import os
from typing import TYPE_CHECKING

from attrs import field, frozen

from protocols.records import Record

if TYPE_CHECKING:
    Network = ipaddress.IPv4Network | ipaddress.IPv6Network

Where = tuple[str, int]
"""IP address and port."""


class Kind(enum.Enum):
    """What is known of the other end of a connection."""

    LIVE = "held by a process of this host"
    GONE = "of this host, and hung up"
    ELSEWHERE = "not of this host, as far as its kernel knows"


class Owner(Record):
    """:ivar uid: user of the process that made the socket, if ``kind`` is LIVE"""

    kind: Kind
    uid: int = -1


class Verdict(enum.Enum):
    """On one caller."""

    ADMITTED = "may be the one"
    UNKNOWN = "is of this host, and hung up before its user could be found out"
    REFUSED = "has no business here"


def plain_host(host: str) -> str:
    """The address without a zone; an IPv4 one written as IPv6 is the IPv4 one."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


@frozen
class Callers:
    """Who may connect.

    :ivar whose: the dump's host, for messages; empty: callers of this host only are expected.
    :ivar addresses: of the dump's host, plain; they give nobody of this host a right.
    :ivar networks: from which anybody may connect, this host included.
    :ivar uids: users of this host who may.
    """

    whose: str = ""
    addresses: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    uids: frozenset[int] = field(factory=lambda: frozenset((os.getuid(), 0)))

    def judge(self, peer: str, ours: str, owner: Owner, *, open_still: bool) -> tuple[Verdict, str]:
        """The verdict on a caller, and for people, who it is.

        :param peer: IP address from which it calls
        :param ours: IP address that it called
        :param open_still: it has not hung up
        """
        host = plain_host(peer)
        address = ipaddress.ip_address(host)
        if any(address in network for network in self.networks):
            return Verdict.ADMITTED, host
        if owner.kind is Kind.LIVE:
            verdict = Verdict.ADMITTED if owner.uid in self.uids else Verdict.REFUSED
            return verdict, f"{host}, user {owner.uid} of this host"
        if owner.kind is Kind.GONE:
            return Verdict.UNKNOWN, f"{host}, of this host"
        if address.is_loopback or host == plain_host(ours):
            if not open_still:
                return Verdict.UNKNOWN, f"{host}, of this host"
            return Verdict.REFUSED, f"{host}, of this host, whose user its kernel does not tell"
        if host in self.addresses:
            return Verdict.ADMITTED, host
        whose = f", which is no address of {self.whose}" if self.whose else ", not of this host"
        return Verdict.REFUSED, host + whose
