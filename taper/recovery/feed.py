"""A thread that sends a dump to whoever recovers it, and counts what it sends."""

from __future__ import annotations

import os
import select
import socket
import stat
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from devices.threads import start_thread
from taper.plane.interfaces import SourceError, reason
from taper.recovery.ahead import Ahead

if TYPE_CHECKING:
    from protocols.crc import Crc
    from taper.plane.interfaces import ISource

_ABORT = struct.pack("ii", 1, 0)  # close with a reset


class TakerGone(Exception):
    """Nothing more can be sent; the text says why."""

    taper_code = 7005


class Feed:
    """Sends a source into a descriptor, in a thread of its own.

    Whoever reads sees an orderly end only if all was sent, where the descriptor can tell the
    difference: a socket is reset, a pipe can only be closed.

    :ivar finished: all was sent.
    :ivar error: why not all was sent, in words for people.
    :ivar by_taker: it is because nobody takes more.
    """

    def __init__(
        self,
        source: ISource,
        descriptor: int,
        patience: float,
        over: Callable[[], object],
        *,
        to_the_end: bool = False,
    ) -> None:
        """:param source: ours to read and to close, like the descriptor
        :param patience: seconds that whoever reads may take nothing
        :param over: called by the thread when it is through
        :param to_the_end: read, and count, also what nobody takes any more
        """
        self.finished = False
        self.error: str | None = None
        self.by_taker = False
        self._source = source
        self._descriptor = descriptor
        self._patience = patience
        self._over = over
        self._to_the_end = to_the_end
        self._taken = True
        self._sent = 0
        self._ahead = Ahead(source)
        self._wake, self._waker = os.pipe()
        os.set_blocking(descriptor, False)
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._poll.register(self._wake, select.POLLIN)
        self._cancelled = False

    def start(self) -> None:
        """Begin. Does not block.

        :raise ThreadRefused: nothing was begun
        """
        start_thread("recovery feed", self._run)

    def crc(self) -> Crc:
        """Of what was read so far, which is all that was sent when that is finished. Any thread."""
        return self._ahead.crc()

    @property
    def sent(self) -> int:
        """Bytes so far. Any thread."""
        return self._sent

    def cancel(self) -> None:
        """Stop soon. The reactor's thread; never blocks; safe to repeat, before :meth:`close`."""
        if not self._cancelled:
            self._cancelled = True
            self._source.cancel()
            os.write(self._waker, b"x")

    def close(self) -> None:
        """Release what is held, once the thread is through or was never begun."""
        self._source.close()
        for descriptor in (self._wake, self._waker):
            os.close(descriptor)
        if self._descriptor >= 0:
            self._end_badly()

    def _run(self) -> None:
        try:
            self._send_all()
            self.finished = True
        except SourceError as fault:
            self.error = str(fault)
        except TakerGone as fault:
            self.error, self.by_taker = str(fault), True
        except MemoryError:
            self.error = "not enough memory"
        except BaseException as fault:
            self.error = f"internal error: {fault!r}"
            raise
        finally:
            self._over()

    def _send_all(self) -> None:
        try:
            for chunk in self._ahead.chunks():
                if self._taken:
                    self._send(chunk)
        finally:
            self._ahead.end()
        if self._cancelled:
            raise SourceError("the recovery was given up", code=4011)

    def _send(self, data: memoryview) -> None:
        while data:
            try:
                wrote = os.write(self._descriptor, data)
                self._sent += wrote
                data = data[wrote:]
            except BlockingIOError:
                self._wait()
            except BrokenPipeError as fault:
                self._taken = False
                if not self._to_the_end:
                    raise TakerGone(reason(fault)) from fault
                return
            except OSError as fault:
                raise TakerGone(reason(fault)) from fault

    def _wait(self) -> None:
        """Until more can be sent."""
        ready = self._poll.poll(self._patience * 1000)
        if any(descriptor == self._wake for descriptor, _ in ready):
            raise SourceError("the recovery was given up", code=4011)
        if not ready:
            raise TakerGone(f"it took nothing for {self._patience:g} s")

    def end_well(self) -> None:
        """Let whoever reads see the end."""
        os.close(self._descriptor)
        self._descriptor = -1

    def _end_badly(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            os.close(descriptor)  # a pipe has no other end
            return
        with socket.socket(fileno=descriptor) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
