"""The shortest way: the thread that writes reads as well, through one buffer in the cache.

Nothing is handed from thread to thread, so this costs the least of the processor. It is right
where the device takes what it is given at once, or where whoever sends is the slower one anyhow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import evolve

from taper.plane.interfaces import IFileSource, Span
from taper.plane.memory import allocate
from taper.plane.ring import Stopped

if TYPE_CHECKING:
    from taper.plane.intake import Intake

BUFFER = 512 * 1024
"""Bytes that are read, summed and written in one go: they stay in the processor's cache."""


class Straight:
    """A source as a stream, read when the device wants more. One thread uses it; any may stop it.

    :ivar cursor: position of the next byte :meth:`peek` gives.
    :param unforeseen: is told of an error that no source should have
    """

    keep = False

    def __init__(
        self, intake: Intake, block_size: int, unforeseen: Callable[[BaseException], None]
    ) -> None:
        self.cursor = 0
        self.block_size = block_size
        self._intake = intake
        self._unforeseen = unforeseen
        self._size = max(BUFFER // block_size, 1) * block_size
        self._buffer = memoryview(b"")
        self._begin = self._end = 0
        self._over = False
        self._failed = False
        self._stopped = False
        source = intake.source
        self._files = IFileSource(source) if IFileSource.providedBy(source) else None

    def allocate(self) -> None:
        """Get the buffer, before anybody reads; :raise NoMemory: there is none."""
        self._buffer = allocate(self._size)

    def release(self) -> None:
        """Give the memory back, once nobody holds a view of it."""
        self._buffer = memoryview(b"")

    @property
    def halted(self) -> bool:
        """:meth:`stop` was called."""
        return self._stopped

    @property
    def failed(self) -> bool:
        """The data do not reach their end."""
        return self._stopped or self._failed

    @property
    def stopped(self) -> bool:
        """Nothing more comes: :meth:`peek` raises."""
        return self._stopped or (self._failed and self._end - self._begin < self.block_size)

    @property
    def rest(self) -> memoryview:
        """What was read and not yet taken."""
        return self._buffer[self._begin : self._end]

    @property
    def at_end(self) -> bool:
        """The source was read to its end, good or bad."""
        return self._over

    @property
    def wants_more(self) -> bool:
        """The next :meth:`peek` reads."""
        return self._end - self._begin < self.block_size and not (self._over or self._stopped)

    def begin_with(self, data: memoryview) -> None:
        """Go on with what another stream has read, less than a block; nothing else is left."""
        self._begin, self._end = 0, len(data)
        self._buffer[: self._end] = data

    def stop(self) -> None:
        """End everything at once, from any thread; who sleeps in the source must be woken there."""
        self._stopped = True

    def fail(self) -> None:
        """No more can be read; whole blocks that were can still be taken."""
        self._over = self._failed = True

    def peek(self, limit: int) -> memoryview:
        """As :meth:`taper.plane.ring.Ring.peek`; sleeps in the source."""
        while self.wants_more:
            self._fill()
        if self.stopped:
            raise Stopped
        size = min(self._end - self._begin, limit)
        if size >= self.block_size:
            size -= size % self.block_size
        return self._buffer[self._begin : self._begin + size]

    def advance(self, size: int) -> None:
        """The device has taken ``size`` bytes."""
        self.cursor += size
        self._begin += size

    def wait_primed(self) -> None:
        """Nothing is read ahead."""

    def span(self, limit: int) -> Span | None:
        """Where the next bytes stand in a file: whole blocks, and the rest at the end of the dump.

        :param limit: bytes, whole blocks
        :return: None: they stand in no file, or in the buffer already
        """
        if self._files is None or self._end > self._begin or self._over or self._stopped:
            return None
        try:
            span = self._files.span()
        except Exception as error:
            self._note(error)
            return None
        if span is None:
            return None
        size = min(span.size, limit)
        if size < span.size or not span.last:
            size -= size % self.block_size
        return evolve(span, size=size) if size else None

    def skip(self, size: int, seen: Callable[[memoryview], None]) -> None:
        """Read, and show, the next bytes, which the device has by itself already.

        :param size: bytes; nothing may be left of what was read before
        :raise Stopped: they cannot be read to their end
        """
        end = self.cursor + size
        while self.cursor < end:
            self._begin = self._end = 0
            self._read(self._buffer[: min(self._size, end - self.cursor)])
            if self._over or self._stopped:
                self.fail()
                raise Stopped
            seen(self.rest)
            self.advance(self._end)

    def _fill(self) -> None:
        """Read once, behind what is left of the last block."""
        left = self._end - self._begin
        if self._begin:
            self._buffer[:left] = self._buffer[self._begin : self._end]
            self._begin, self._end = 0, left
        self._read(self._buffer[left:])

    def _read(self, space: memoryview) -> None:
        try:
            size = self._intake.read_into(space)
        except Exception as error:
            self._note(error)
            return
        self._end += size
        self._over = not size

    def _note(self, error: Exception) -> None:
        if not self._intake.note(error, halted=self._stopped):
            self._unforeseen(error)
        self.fail()
