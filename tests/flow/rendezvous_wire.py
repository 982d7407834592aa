"""Connections to a rendezvous that are none: what is said stays in memory."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from taper.flow.rendezvous.link import Link, Lobby

KEY = b"a key of sixteen bytes or more"


class Wire(StringTransport):
    """The transport of one connection. That it is closed is told when :func:`settle` is called, as
    the reactor does a turn later.

    :param wires: all of them; this one is added
    :ivar gone: both ends know that it is over.
    """

    def __init__(self, lobby: Lobby, wires: list[Wire], host: str) -> None:
        super().__init__(IPv4Address("TCP", "192.0.2.9", 7), IPv4Address("TCP", host, 4711))
        self._wires = wires
        self.gone = False
        link = lobby.buildProtocol(None)
        assert link is not None
        self.link: Link = link
        wires.append(self)
        link.makeConnection(self)

    @property
    def closed(self) -> bool:
        """It is over, or about to be."""
        return bool(self.disconnecting) or self.gone

    def loseWriteConnection(self) -> None:
        """Our last word."""

    def give(self, data: bytes) -> None:
        """The peer says something; nobody hears it on a connection that is closed."""
        if data and not self.closed:
            self.link.dataReceived(data)
        settle(self._wires)

    def take(self) -> bytes:
        """What the peer hears."""
        data: bytes = self.io.getvalue()
        self.clear()
        return data

    def lose(self) -> None:
        """The peer is gone."""
        self.gone = True
        self.link.connectionLost(Failure(ConnectionDone()))


def settle(wires: list[Wire]) -> None:
    """Tell the links of connections that are closed, as often as that closes others."""
    while gone := [wire for wire in wires if wire.disconnecting and not wire.gone]:
        for wire in gone:
            wire.gone = True
            reason = ConnectionAborted() if wire.disconnected else ConnectionDone()
            wire.link.connectionLost(Failure(reason))
