"""A connection that is made without blocking: address after address, until one answers."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Sequence

from protocols.directtcp import Address
from taper.application.connection import place
from taper.application.errors import reason

_LEAST_SHARE = 0.1
_KEEPALIVE = {socket.TCP_KEEPIDLE: 60, socket.TCP_KEEPINTVL: 15, socket.TCP_KEEPCNT: 8}
"""An idle peer that is gone is noticed within three minutes."""


class Unanswered(Exception):
    """No address answered; the text has each with its reason."""

    taper_code = 5002


class Dialing:
    """One attempt. Watch :attr:`connection` for output, then call :meth:`ready`; call :meth:`late`
    at :attr:`deadline`. All but :meth:`close` raise :class:`Unanswered` at the last failure.

    :ivar connection: what is being connected
    :ivar address: to which address
    :ivar deadline: when the next address gets its turn
    """

    connection: socket.socket
    address: Address
    deadline: float

    def __init__(self, addresses: Sequence[Address], seconds: float, now: float) -> None:
        """:param seconds: for all addresses together"""
        self._left = list(addresses)
        self._end = now + seconds
        self._failures: list[str] = []
        self._next(now)

    def ready(self, now: float) -> socket.socket | None:
        """The connection is made, or failed. :return: it, if it is made; it is the caller's then"""
        code = self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not code:
            return self.connection
        self._failed(os.strerror(code), now)
        return None

    def late(self, now: float) -> None:
        """The address has had its time."""
        self._failed(os.strerror(errno.ETIMEDOUT), now)

    def close(self) -> None:
        """It is not wanted any more."""
        self.connection.close()

    def _failed(self, why: str, now: float) -> None:
        self.connection.close()
        self._failures.append(f"{place(self.address)}: {why}")
        self._next(now)

    def _next(self, now: float) -> None:
        """Begin with the first address that can be begun with."""
        while self._left:
            share = max(self._end - now, _LEAST_SHARE) / len(self._left)
            self.address = self._left.pop(0)
            self.deadline = now + share
            try:
                self.connection = _begin(self.address)
            except OSError as error:
                self._failures.append(f"{place(self.address)}: {reason(error)}")
            else:
                return
        raise Unanswered("; ".join(self._failures))


def _begin(address: Address) -> socket.socket:
    family = socket.AF_INET6 if address.is_ipv6 else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE.items():
            made.setsockopt(socket.IPPROTO_TCP, option, value)
        code = made.connect_ex((address.host, address.port))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
    except BaseException:
        made.close()
        raise
    return made


class Line:
    """A connection that is being made, or is there."""

    def __init__(self) -> None:
        self.dialing: Dialing | None = None
        self.connection: socket.socket | None = None
        self.host = self.where = ""

    def dial(self, addresses: Sequence[Address], seconds: float) -> None:
        """:raise Unanswered: no address can even be tried"""
        self.dialing = Dialing(addresses, seconds, time.monotonic())

    def made(self) -> bool:
        """Look at the attempt, which is ready or late. :return: the connection is there

        :raise Unanswered: there will be none
        """
        assert self.dialing is not None
        now = time.monotonic()
        if now >= self.dialing.deadline:
            self.dialing.late(now)
            return False
        self.connection = self.dialing.ready(now)
        if self.connection is None:
            return False
        self.host, self.where = self.dialing.address.host, place(self.dialing.address)
        self.dialing = None
        return True

    def close(self) -> None:
        """Safe to repeat."""
        if self.dialing is not None:
            self.dialing.close()
        if self.connection is not None:
            self.connection.close()
        self.dialing = self.connection = None
