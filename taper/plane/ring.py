"""A bounded ring of bytes between the thread that reads a source and the one that writes parts.

Both sides work in place: the reader fills what :meth:`Ring.space` gives, the writer hands what
:meth:`Ring.peek` gives to the device. Positions are absolute, counted from the first byte of the
dump. Nobody polls: who has nothing to do sleeps until the other side or :meth:`Ring.stop` wakes it.
"""

from __future__ import annotations

import threading
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap

CHUNK = 1024 * 1024
"""Bytes that are read, and written, in one go, about: three of them keep both threads busy, and
more of them leave the processor's cache (field-survey 2)."""


def chunk_size(block_size: int) -> int:
    """:data:`CHUNK` in whole blocks, at least one; bytes."""
    return max(CHUNK // block_size, 1) * block_size


def ring_size(wanted: int, block_size: int) -> int:
    """The capacity of a ring for ``wanted`` bytes: whole chunks, so that none is cut at the end of
    the ring; at least two."""
    chunk = chunk_size(block_size)
    return max(-(-wanted // chunk), 2) * chunk


class Stopped(Exception):
    """The stream was stopped before its end: cancelled, or the source failed."""


class Ring:
    """Ring of whole device blocks for one reader thread and one writer thread.

    :ivar cursor: position of the next byte :meth:`peek` gives.
    """

    def __init__(self, capacity: int, block_size: int, *, keep: bool = False) -> None:
        """Describe the ring; :meth:`allocate` makes it.

        :param capacity: bytes, a multiple of ``block_size`` and at least two blocks; with
            ``keep`` at least a part and two blocks more.
        :param keep: bytes stay until :meth:`commit`, so that :meth:`rewind` can go back to them:
            the memory cache of a part.
        """
        if capacity % block_size or capacity < 2 * block_size:
            raise ValueError(f"ring of {capacity} bytes does not fit blocks of {block_size}")
        self.capacity = capacity
        self.block_size = block_size
        self.keep = keep
        self.cursor = 0
        self._write_size = chunk_size(block_size)
        self._read_size = min(self._write_size, capacity // 2)
        self._memory = memoryview(b"")
        self._written = 0
        self._freed = 0
        self._limit: int | None = None
        self._ended = False
        self._failed = False
        self._stopped = False
        self._stalled = False
        self._hungry = False
        lock = threading.Lock()
        self._readable = threading.Condition(lock)
        self._writable = threading.Condition(lock)

    def allocate(self) -> None:
        """Get the memory; :raise OSError: there is none."""
        self._memory = memoryview(mmap(-1, self.capacity, MAP_PRIVATE | MAP_ANONYMOUS))

    def release(self) -> None:
        """Give the memory back, once nobody holds a view of it."""
        self._memory = memoryview(b"")

    @property
    def halted(self) -> bool:
        """:meth:`stop` was called."""
        return self._stopped

    @property
    def stopped(self) -> bool:
        """Nothing more comes out of the ring: :meth:`peek` raises."""
        return self._stopped or (self._failed and self._rest() < self.block_size)

    @property
    def failed(self) -> bool:
        """The data do not reach their end, though some may still be in the ring."""
        return self._stopped or self._failed

    def stop(self) -> None:
        """End everything at once; wakes both sides. From any thread, any number of times."""
        with self._readable:
            self._stopped = True
            self._readable.notify_all()
            self._writable.notify_all()

    def space(self) -> memoryview | None:
        """The reader's next bytes to fill; sleeps while there is no room. None: stopped."""
        with self._writable:
            while not self._stopped:
                start = self._written % self.capacity
                size = min(self._read_size, self.capacity - start)
                if self._limit is not None:
                    size = min(size, self._limit - self._written)
                if 0 < size <= self.capacity - (self._written - self._freed):
                    return self._memory[start : start + size]
                self._stalled = True
                self._readable.notify()
                self._writable.wait()
            return None

    def publish(self, size: int) -> None:
        """The reader has filled the first ``size`` bytes of its space."""
        with self._readable:
            self._written += size
            if self._hungry and self._rest() >= self.block_size:
                self._readable.notify()

    def end(self) -> None:
        """The reader has reached the end of the data."""
        with self._readable:
            self._ended = True
            self._readable.notify()

    def fail(self) -> None:
        """The reader cannot go on. What is in the ring can still be taken, but for a rest shorter
        than a block: so the parts that are complete do not depend on who was faster."""
        with self._readable:
            self._ended = True
            self._failed = True
            self._readable.notify()

    def peek(self, limit: int) -> memoryview:
        """Whole blocks for the device, at most ``limit`` bytes (at least one block).

        Sleeps until there is one. At the end of the data a shorter rest comes alone, then an
        empty view. The view is good until :meth:`advance`.

        :raise Stopped: after :meth:`stop`, or when all is taken after :meth:`fail`
        """
        with self._readable:
            while not (self._ended or self._rest() >= self.block_size):
                self._sleep_for_data()
            if self.stopped:
                raise Stopped
            start = self.cursor % self.capacity
            size = min(self._rest(), limit, self.capacity - start)
            if size >= self.block_size:
                size = min(size - size % self.block_size, self._write_size)
            return self._memory[start : start + size]

    def wait_primed(self) -> None:
        """Sleep until the ring is as full as it gets, for a device that must not run dry.

        :raise Stopped: stopped.
        """
        with self._readable:
            while not (self._ended or self._stalled):
                self._sleep_for_data()

    def advance(self, size: int) -> None:
        """The device has taken ``size`` bytes."""
        with self._writable:
            self.cursor += size
            if not self.keep:
                self._free()

    def commit(self) -> None:
        """What was taken so far is never wanted again."""
        with self._writable:
            self._free()

    def rewind(self) -> None:
        """Go back to the last :meth:`commit`; only with ``keep``."""
        with self._readable:
            if not self.keep:
                raise ValueError("this ring keeps nothing to go back to")
            self.cursor = self._freed

    def limit(self, position: int) -> None:
        """Let the reader not pass ``position`` until a later limit."""
        with self._writable:
            self._limit = position
            self._wake_reader()

    def _rest(self) -> int:
        return self._written - self.cursor

    def _free(self) -> None:
        self._freed = self.cursor
        self._wake_reader()

    def _wake_reader(self) -> None:
        if self._stalled:
            # already here, or wait_primed would believe it before the reader has looked again
            self._stalled = False
            self._writable.notify()

    def _sleep_for_data(self) -> None:
        if self._stopped:
            raise Stopped
        self._hungry = True
        self._readable.wait()
        self._hungry = False
