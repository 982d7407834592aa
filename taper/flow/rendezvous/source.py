"""A dump read from its application, over as many data connections as it takes."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer

from protocols.crc import UNKNOWN, Crc
from protocols.rendezvous.times import SILENCE
from taper.core.errors import DumpFault
from taper.flow.reactor_side import GivenUp, ReactorSide
from taper.plane.crc import RunningCrc
from taper.plane.interfaces import IComparedSource, SourceError
from taper.plane.sources import SocketSource

Connect = Callable[[int, Crc, str | None], "Deferred[socket.socket | None]"]


@implementer(IComparedSource)
class ResumingSource:
    """The dump's bytes from ``position`` on: a connection that breaks is followed by another one,
    and whoever reads does not notice.

    :param connect: see :meth:`taper.flow.rendezvous.feeding.Feeding.next`
    :param sent: bytes that the application has sent, as it last said; any thread
    :param patience: seconds for something to come
    """

    def __init__(
        self,
        reactor: Any,
        connect: Connect,
        sent: Callable[[], int],
        patience: float,
        position: int,
    ) -> None:
        self.counted: Callable[[], Crc] = lambda: UNKNOWN
        self._reactor_side = ReactorSide(reactor)
        self._connect = connect
        self._sent = sent
        self._patience = patience
        self._step = min(SILENCE, patience)
        self._position = position
        self._crc = RunningCrc() if position == 0 else None
        self._lock = threading.Lock()
        self._source: SocketSource | None = None
        self._lost: str | None = None
        self._over = False

    def read_into(self, buffer: memoryview) -> int:
        while not self._over:
            if self._source is None:
                self._go_on()
            else:
                size = self._read(self._source, buffer)
                if size:
                    self._position += size
                    if self._crc is not None:
                        self._crc.update(buffer[:size])
                    return size
        return 0

    def _read(self, source: SocketSource, buffer: memoryview) -> int:
        """:return: 0: this connection brings no more, and is closed"""
        waited, lost = 0.0, None
        while lost is None:
            try:
                size = source.read_into(buffer)
            except SourceError as error:
                if isinstance(error.__cause__, BlockingIOError):
                    waited += self._step
                    lost = self._silent(waited)
                else:
                    lost = str(error)
            else:
                if size:
                    return size
                lost = ""
        self._lost = lost
        with self._lock:
            self._source = None
        source.close()
        return 0

    def _silent(self, waited: float) -> str | None:
        """Nothing came for so long. :return: why the connection must be lost; None: it may be well

        :raise SourceError: there is nothing to be waited for
        """
        sent = self._sent()
        if sent > self._position:
            return f"nothing comes of {sent} bytes that were sent"
        if waited >= self._patience:
            raise SourceError(
                f"the application has sent nothing for {self._patience:g} s", code=5012
            )
        return None

    def _go_on(self) -> None:
        """Have a connection, or know that all is there."""
        try:
            before = self._before()
            found = self._reactor_side.ask(
                lambda: self._connect(self._position, before, self._lost)
            )
        except (GivenUp, CancelledError):
            self._over = True
            return
        except DumpFault as fault:
            raise SourceError(fault.text) from fault
        if found is None:
            self._over = True
            return
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(self._step))
        with self._lock:
            self._source = SocketSource(found)
            given_up = self._reactor_side.given_up
        if given_up:
            self._source.cancel()

    def _before(self) -> Crc:
        """The checksum of all before the present position; unknown where that begins in the middle
        of the dump, and whoever reads has more of it in hand than he has counted."""
        found = self.counted() if self._crc is None else self._crc.value()
        return found if found.size == self._position else UNKNOWN

    def cancel(self) -> None:
        with self._lock:
            self._over = True
            self._reactor_side.give_up()
            source = self._source
        if source is not None:
            source.cancel()

    def close(self) -> None:
        with self._lock:
            self._over = True
            source, self._source = self._source, None
        if source is not None:
            source.close()


def _timeval(seconds: float) -> bytes:
    """As ``SO_RCVTIMEO`` wants it."""
    whole = int(seconds)
    return struct.pack("ll", whole, int((seconds - whole) * 1_000_000))
