"""A dump on its way into a connection whose other end a mover holds."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from devices.sockets import raise_if_broken, unacknowledged
from devices.threads import start_thread
from taper.plane.crc import prepare
from taper.plane.interfaces import SourceError, reason
from taper.plane.kept import PIECE

if TYPE_CHECKING:
    from protocols.crc import Crc
    from taper.plane.kept import Kept, KeptReader

_LAST_LOOK = 0.01
"""Seconds between two looks whether a peer that has ended its side has got all that was sent."""

_ABORT = struct.pack("ii", 1, 0)  # close with a reset


class _PeerGone(Exception):
    """The connection broke, or we have left it."""


def _nobody() -> None:
    """Nobody has asked to be told yet."""


class Pusher:
    """Sends a source to its end, in a thread of its own.

    The peer sees an orderly end only if all was sent; a source that fails, or :meth:`cancel`,
    resets the connection, so that nobody takes the stream for complete. What was sent is kept
    until it is stored, so that somebody else can go on (:class:`taper.plane.kept.Kept`).

    :ivar finished: all was handed to the connection.
    :ivar delivered: and the peer has taken it, and ended the connection as well.
    :ivar broken: why nothing more can be sent; the peer may know better.
    :ivar tells_broken: called in the thread when the connection breaks, also after ``finished``:
        what was handed to it need not have arrived.
    :ivar tells_over: called in the thread when it has nothing more to find out.
    """

    def __init__(self, reader: KeptReader, connection: socket.socket) -> None:
        """:param reader: of what is to be sent; ours from now on, like the connection."""
        connection.setblocking(True)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.finished = self.delivered = False
        self.broken: str | None = None
        self.tells_broken: Callable[[], None] = _nobody
        self.tells_over: Callable[[], None] = _nobody
        self._reader = reader
        self._kept = reader.kept
        self._connection = connection
        self._errors: list[str] = []
        self._lock = threading.Lock()
        self._cancelled = False
        self._left = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to send. Does not block.

        :raise ThreadRefused: nothing was begun
        """
        self._thread = start_thread("taper-pusher", self._run)

    @property
    def kept(self) -> Kept:
        """What is sent, and may be sent again."""
        return self._kept

    @property
    def size(self) -> int:
        """Bytes of the dump that were sent, earlier ones included. Any thread."""
        return self._reader.position

    @property
    def goes_on(self) -> bool:
        """The source is well, and nobody has cancelled. Any thread."""
        return self._kept.well and not self._cancelled

    def crc(self) -> Crc:
        """Of what was stored before and what was read so far. Any thread."""
        return self._kept.total()

    def take_errors(self) -> list[str]:
        """What went wrong at the source since this was last asked. Any thread."""
        with self._lock:
            errors, self._errors = self._errors, []
        return errors

    def leave(self, stored: int, *, again: bool) -> Crc | None:
        """Leave the connection, and let somebody else go on behind the first ``stored`` bytes.
        Any thread.

        :param again: what follows them must still be there; else only their checksum is wanted
        :return: their checksum; None: that cannot be, and all is as it was
        """
        done = self._kept.leave(stored, again=again)
        if done is not None:
            self._hang_up()
        return done

    def look(self) -> None:
        """See whether the connection broke while nothing is sent, for lack of room. Any thread;
        never blocks."""
        poll = select.poll()
        with self._lock:
            fd = self._connection.fileno()
            if fd < 0 or self.finished or self.broken is not None:
                return
            poll.register(fd, 0)  # errors are told nevertheless
            if not poll.poll(0):
                return
            self.broken = "the data connection broke while the device was waited for"
        self.tells_broken()

    def cancel(self) -> None:
        """Stop soon. Never blocks; any thread; safe to repeat."""
        with self._lock:
            left = not self._kept.current(self._reader)
            if self._cancelled or left or self.finished:
                return
            self._cancelled = True
        self._reader.cancel()
        self._hang_up()

    def _hang_up(self) -> None:
        """Let the thread wait for the peer no more."""
        self._left.set()
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it is gone already, and nobody waits for it

    def close(self) -> None:
        """Release everything; blocks until the thread has seen it."""
        self.cancel()
        if self._thread is not None:
            if self.finished:
                self._hang_up()
            self._thread.join()
        self._reader.close()
        self._connection.close()

    def _run(self) -> None:
        try:
            self._send_all()
            self._await_end()
        except SourceError as error:
            self._break(str(error))
        except _PeerGone as error:
            self._lose(f"while sending to the device: {error}")
        except MemoryError:
            self._break("Not enough memory to read the dump")
        except BaseException as error:
            self._break(f"error while reading: {error!r}")
            raise
        finally:
            self.tells_over()

    def _send_all(self) -> None:
        prepare()
        buffer = memoryview(bytearray(PIECE))
        while size := self._reader.read_into(buffer):
            self._send(buffer[:size])
        with self._lock:
            if not self._kept.current(self._reader):
                raise _PeerGone
            if self._cancelled:
                raise SourceError("sending to the device was given up", code=4011)
            self.finished = True
        try:
            self._connection.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.finished = False
            raise _PeerGone(reason(error)) from error

    def _await_end(self) -> None:
        """Wait until the peer has all of it and ends the connection, too.

        Its end may have been on its way before our last bytes came there: it takes them no more
        then, and resets the connection.
        """
        try:
            while self._connection.recv(PIECE):
                continue  # whatever it says has no meaning
            while unacknowledged(self._connection) and not self._left.wait(_LAST_LOOK):
                raise_if_broken(self._connection)
            raise_if_broken(self._connection)
        except OSError as error:
            if self._kept.current(self._reader):
                with self._lock:
                    self.broken = self.broken or f"behind the last byte: {reason(error)}"
                self.tells_broken()
        else:
            self.delivered = not self._left.is_set()

    def _send(self, data: memoryview) -> None:
        try:
            self._connection.sendall(data)
        except OSError as error:
            raise _PeerGone(reason(error)) from error

    def _lose(self, text: str) -> None:
        with self._lock:
            lost = not self._cancelled and self._kept.current(self._reader)
            lost = lost and self.broken is None
            if lost:
                self.broken = text
        self._reset()
        if lost:
            self.tells_broken()

    def _break(self, text: str) -> None:
        with self._lock:
            if not self._cancelled:
                self._errors.append(text)
        self._reset()

    def _reset(self) -> None:
        with self._lock:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            self._connection.close()
