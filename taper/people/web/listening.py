"""Where the page is served, and who can reach it there."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.endpoints import (
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    UNIXServerEndpoint,
)

from taper.last_words import CannotStart

if TYPE_CHECKING:
    from twisted.internet.interfaces import IStreamServerEndpoint

DEFAULT = "tcp:127.0.0.1:7480"
_MODE = 0o600
_MOST_PORT = 65535


@frozen(kw_only=True)
class Place:
    """A place to listen at.

    :ivar path: of a socket; None: it is by TCP.
    :ivar host: an address, as a number.
    """

    path: str | None = None
    host: str = ""
    port: int = 0

    @property
    def is_private(self) -> bool:
        """Nobody on another host reaches it."""
        return self.path is not None or ipaddress.ip_address(self.host).is_loopback

    def told(self, port: int) -> str:
        """For people, as a browser wants it.

        :param port: that it has become
        """
        if self.path is not None:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{port}/"

    def endpoint(self, reactor: Any) -> IStreamServerEndpoint:
        """What listens there."""
        if self.path is not None:
            return UNIXServerEndpoint(reactor, self.path, mode=_MODE, wantPID=True)
        kind = TCP6ServerEndpoint if ":" in self.host else TCP4ServerEndpoint
        made: IStreamServerEndpoint = kind(reactor, self.port, interface=self.host)
        return made


def read_place(text: str, *, exposed: bool) -> Place:
    """Make sense of ``--listen``.

    :param exposed: other hosts may reach it
    :raise CannotStart: it makes none, or other hosts would reach it
    """
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest:
        return Place(path=rest)
    host, _, port = rest.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    number = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= _MOST_PORT
    try:
        ipaddress.ip_address(host)
    except ValueError:
        number = False
    if kind != "tcp" or not number:
        raise CannotStart(f"--listen {text}: unix:PATH or tcp:ADDRESS:PORT expected, as {DEFAULT}")
    place = Place(host=host, port=int(port))
    if not place.is_private and not exposed:
        raise CannotStart(
            f"--listen {text}: other hosts could reach it, and there is neither a password nor "
            "TLS; --expose says that this is wanted"
        )
    return place
