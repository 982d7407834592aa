"""Reading a source while what was read before is sent: with two processors neither waits for the
other."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING

from devices.threads import ThreadRefused, start_thread

if TYPE_CHECKING:
    import threading

    from taper.plane.interfaces import ISource

CHUNK = 1024 * 1024
"""Bytes that are read in one go."""
_BUFFERS = 3
"""One is filled, one is sent, and one lies between them."""


class Ahead:
    """A source that a thread of its own reads, a little ahead of who takes the chunks.

    Where no thread can be had it is read by whoever takes them.
    """

    def __init__(self, source: ISource) -> None:
        """:param source: somebody else's to cancel and to close, after :meth:`end`"""
        self._source = source
        self._free: SimpleQueue[memoryview | None] = SimpleQueue()
        self._full: SimpleQueue[memoryview | BaseException] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._over = False

    def chunks(self) -> Iterator[memoryview]:
        """All of the source; a chunk counts until the next one is asked for. Blocks.

        :raise BaseException: what reading it raised, behind all that was read before
        """
        buffers = [memoryview(bytearray(CHUNK)) for _ in range(_BUFFERS)]
        try:
            self._thread = start_thread("recovery reader", self._run)
        except ThreadRefused:
            while size := self._source.read_into(buffers[0]):
                yield buffers[0][:size]
            return
        for buffer in buffers:
            self._free.put(buffer)
        while True:
            chunk = self._full.get()
            if isinstance(chunk, BaseException):
                raise chunk
            if not chunk:
                return
            yield chunk
            whole = chunk.obj
            self._free.put(memoryview(whole))

    def _run(self) -> None:
        try:
            while (buffer := self._free.get()) is not None and not self._over:
                size = self._source.read_into(buffer)
                self._full.put(buffer[:size])
                if not size:
                    return
        except BaseException as fault:
            self._full.put(fault)

    def end(self) -> None:
        """Wait until nobody reads any more: what is being read now is read, and nothing else."""
        if self._thread is not None:
            self._over = True
            self._free.put(None)
            self._thread.join()
