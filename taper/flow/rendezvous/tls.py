"""TLS below the connections of a rendezvous, by Twisted's own means.

Whoever connects is shown to the lobby before a byte of TLS has come, so what bounds it there
bounds the handshake, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol

if TYPE_CHECKING:
    from taper.flow.rendezvous.link import Lobby


class Secured(TLSMemoryBIOProtocol):
    """TLS on one connection. What is said is written at once: it is little, and may be the last
    word."""

    def loseWriteConnection(self) -> None:
        """Say our end, and wait for the peer's: TLS has no half that ends alone."""
        self.loseConnection()  # type: ignore[no-untyped-call]

    def abortConnection(self) -> None:
        """Close at once; nothing to do where it is closed already, as with any transport."""
        if self.connected:
            super().abortConnection()  # type: ignore[no-untyped-call]


def by_tls(reactor: Any, options: Any, lobby: Lobby) -> TLSMemoryBIOFactory:
    """What a port listens for that leads to the lobby by TLS.

    :param options: of :func:`taper.tls.make_options`
    """
    factory = TLSMemoryBIOFactory(options, False, lobby, reactor)
    factory.protocol = Secured
    return factory
