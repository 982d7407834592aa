"""What this process wants of Twisted's reactor: settled once, before anything is begun with it."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from typing import Any, NoReturn

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from zope.interface import implementer

from devices.threads import ThreadRefused, start_thread

_ADDRESSES = {socket.AF_INET: IPv4Address, socket.AF_INET6: IPv6Address}


def settle_reactor(reactor: Any) -> None:
    """Let deadlines follow no wall clock, and looking up a name hold nothing.

    Twisted counts all its time by ``reactor.seconds``, which is the wall clock: set back by a
    day, nothing would end for a day; set forward, all would end at once.
    """
    if reactor.getDelayedCalls():
        raise RuntimeError("something was timed by another clock already")
    reactor.seconds = time.monotonic
    reactor.installNameResolver(Resolver(reactor))


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> NoReturn:
        raise NotImplementedError("the system's resolver cannot be stopped")


def _known(host: str, port: int, kind: int) -> list[Any]:
    """What can be told of a host that nobody need be asked for: it is given as an address."""
    if not (isIPAddress(host) or isIPv6Address(host)):
        return []
    try:
        return socket.getaddrinfo(host, port, type=kind, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return []


@implementer(IHostnameResolver)
class Resolver:
    """Asks the system, each question in a thread of its own that nobody ever waits for. What is an
    address already is told at once.

    Twisted's own one keeps the process from ending until the name servers have answered, and says
    nothing at all where no thread is to be had.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """See IHostnameResolver. What cannot be looked up has no address."""
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        tcp = transportSemantics == "TCP"
        kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM

        def answer(found: list[Any]) -> None:
            for family, _, _, _, place in found:
                make = _ADDRESSES.get(family)
                if make is not None and (addressTypes is None or make in addressTypes):
                    resolutionReceiver.addressResolved(make(transportSemantics, *place))
            resolutionReceiver.resolutionComplete()

        known = _known(hostName, portNumber, kind)
        if known:
            answer(known)
            return resolution

        def ask() -> None:
            found: list[Any] = []
            try:
                found = socket.getaddrinfo(hostName, portNumber, type=kind)
            except (OSError, UnicodeError):
                found = []  # there is no such host, or no name server: there is no address
            finally:
                self._reactor.callFromThread(answer, found)

        try:
            start_thread(f"resolver of {hostName}", ask)
        except ThreadRefused:
            self._reactor.callLater(0, answer, [])
        return resolution
