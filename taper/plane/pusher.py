"""A dump on its way into a connection whose other end a mover holds."""

from __future__ import annotations

import socket
import struct
import threading

from devices.threads import start_thread
from protocols.crc import UNKNOWN, Crc
from taper.plane.crc import RunningCrc, prepare
from taper.plane.interfaces import ISource, SourceError, reason

CHUNK = 1024 * 1024
_ABORT = struct.pack("ii", 1, 0)  # close with a reset


class _PeerGone(Exception):
    """The connection broke."""


class Pusher:
    """Sends a source to its end, in a thread of its own.

    The peer sees an orderly end only if all was sent; a source that fails, or :meth:`cancel`,
    resets the connection, so that nobody takes the stream for complete.

    :ivar finished: all was handed to the connection.
    :ivar broken: why nothing more can be sent; the peer may know better.
    """

    def __init__(self, source: ISource, connection: socket.socket, *, done: Crc = UNKNOWN) -> None:
        """:param source: ours from now on, like the connection.
        :param done: what is stored already; the source begins behind it.
        """
        connection.setblocking(True)
        self.finished = False
        self.broken: str | None = None
        self._source = source
        self._connection = connection
        self._crc = RunningCrc(done)
        self._errors: list[str] = []
        self._lock = threading.Lock()
        self._cancelled = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to send. Does not block.

        :raise ThreadRefused: nothing was begun
        """
        self._thread = start_thread("taper-pusher", self._run)

    def crc(self) -> Crc:
        """Of what was stored before and what was sent so far. Any thread."""
        return self._crc.value()

    def take_errors(self) -> list[str]:
        """What went wrong at the source since this was last asked. Any thread."""
        with self._lock:
            errors, self._errors = self._errors, []
        return errors

    def cancel(self) -> None:
        """Stop soon. Never blocks; any thread; safe to repeat."""
        with self._lock:
            if self._cancelled or self.finished:
                return
            self._cancelled = True
        self._source.cancel()
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it is gone already, and nobody waits for it

    def close(self) -> None:
        """Release everything; blocks until the thread has seen it."""
        self.cancel()
        if self._thread is not None:
            self._thread.join()
        self._source.close()
        self._connection.close()

    def _run(self) -> None:
        try:
            self._send_all()
        except SourceError as error:
            self._break(str(error))
        except _PeerGone as error:
            with self._lock:
                if not self._cancelled:
                    self.broken = f"while sending to the device: {error}"
            self._reset()
        except MemoryError:
            self._break("Not enough memory to read the dump")
        except BaseException as error:
            self._break(f"error while reading: {error!r}")
            raise

    def _send_all(self) -> None:
        prepare()
        buffer = memoryview(bytearray(CHUNK))
        while size := self._source.read_into(buffer):
            data = buffer[:size]
            self._send(data)
            self._crc.update(data)
        with self._lock:
            if self._cancelled:
                raise SourceError("sending to the device was given up")
            self.finished = True
        try:
            self._connection.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.finished = False
            raise _PeerGone(reason(error)) from error

    def _send(self, data: memoryview) -> None:
        try:
            self._connection.sendall(data)
        except OSError as error:
            raise _PeerGone(reason(error)) from error

    def _break(self, text: str) -> None:
        with self._lock:
            if not self._cancelled:
                self._errors.append(text)
        self._reset()

    def _reset(self) -> None:
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        self._connection.close()
