"""Reading a source while what was read before is sent: with two processors neither waits for the
other."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING

from devices.threads import ThreadRefused, start_thread
from taper.plane.crc import RunningCrc, prepare

if TYPE_CHECKING:
    import threading

    from protocols.crc import Crc
    from taper.plane.interfaces import ISource

CHUNK = 1024 * 1024
"""Bytes that are read in one go."""
_BUFFERS = 3
"""One is filled, one is sent, and one lies between them."""


class Ahead:
    """A source that a thread of its own reads, a little ahead of who takes the chunks.

    The thread sums what it reads, too, as long as that is in its processor's cache. Where no thread
    can be had all is done by whoever takes the chunks.
    """

    def __init__(self, source: ISource) -> None:
        """:param source: somebody else's to cancel and to close, after :meth:`end`"""
        self._source = source
        self._free: SimpleQueue[memoryview | None] = SimpleQueue()
        self._full: SimpleQueue[memoryview | BaseException] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._over = False
        self._crc = RunningCrc()

    def crc(self) -> Crc:
        """Of what was read so far; of all chunks, when there are no more. Any thread."""
        return self._crc.value()

    def chunks(self) -> Iterator[memoryview]:
        """All of the source; a chunk counts until the next one is asked for. Blocks.

        :raise BaseException: what reading it raised, behind all that was read before
        """
        prepare()
        buffers = [memoryview(bytearray(CHUNK)) for _ in range(_BUFFERS)]
        try:
            self._thread = start_thread("recovery reader", self._run)
        except ThreadRefused:
            while chunk := self._read(buffers[0]):
                yield chunk
            return
        for buffer in buffers:
            self._free.put(buffer)
        while True:
            found = self._full.get()
            if isinstance(found, BaseException):
                raise found
            if not found:
                return
            yield found
            whole = found.obj
            self._free.put(memoryview(whole))

    def _run(self) -> None:
        try:
            while (buffer := self._free.get()) is not None and not self._over:
                chunk = self._read(buffer)
                self._full.put(chunk)
                if not chunk:
                    return
        except BaseException as fault:
            self._full.put(fault)

    def _read(self, buffer: memoryview) -> memoryview:
        chunk = buffer[: self._source.read_into(buffer)]
        self._crc.update(chunk)
        return chunk

    def end(self) -> None:
        """Wait until nobody reads any more: what is being read now is read, and nothing else."""
        if self._thread is not None:
            self._over = True
            self._free.put(None)
            self._thread.join()
