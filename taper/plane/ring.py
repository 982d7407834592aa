"""A bounded ring of bytes between the thread that reads a source and the one that writes parts.

Both sides work in place: the reader fills what :meth:`Ring.space` gives, the writer hands what
:meth:`Ring.peek` gives to the device. Positions are absolute, counted from the first byte of the
dump. Nobody polls: who has nothing to do sleeps until the other side or :meth:`Ring.stop` wakes it.

Memory is taken in segments, as the reader comes to them, so a small dump takes little, whatever the
ring could hold. Where no more is to be had the ring is smaller.
"""

from __future__ import annotations

import threading
import time

from taper.plane.interfaces import CacheError, Waits
from taper.plane.memory import NoMemory, allocate, allocate_more

CHUNK = 1024 * 1024
"""Bytes that are read, and written, in one go, about: three of them keep both threads busy, and
more of them leave the processor's cache (field-survey 2)."""


SEGMENT_CHUNKS = 16
"""Chunks of memory that are taken at a time."""


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


class Left(Exception):
    """The reader has gone, as it was asked to: what is left in the ring is less than a block, and
    more may come from the source."""


class Ring:
    """Ring of whole device blocks for one reader thread and one writer thread.

    :ivar cursor: position of the next byte :meth:`peek` gives.
    :ivar capacity: bytes it can hold; less than was asked for once memory is short.
    :ivar without_data: seconds that the writer has slept for data.
    :ivar without_room: seconds that the reader has slept for room.
    """

    def __init__(self, capacity: int, block_size: int, *, keep: bool = False) -> None:
        """Describe the ring; :meth:`allocate` makes its beginning.

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
        self.without_data = self.without_room = 0.0
        self._data_wanted: float | None = None
        self._room_wanted: float | None = None
        self._write_size = chunk_size(block_size)
        self._read_size = min(self._write_size, capacity // 2)
        # no block lies across the end of one
        self._segment = SEGMENT_CHUNKS * self._write_size
        self._segments: list[memoryview] = []
        self._short: str | None = None
        self._lost: str | None = None
        self._written = 0
        self._freed = 0
        self._limit: int | None = None
        self._ended = False
        self._failed = False
        self._stopped = False
        self._stalled = False
        self._hungry = False
        self._dismissed = False
        self._left = False
        lock = threading.Lock()
        self._readable = threading.Condition(lock)
        self._writable = threading.Condition(lock)

    def allocate(self) -> None:
        """Get the memory of the beginning, before anybody reads; :raise NoMemory: there is none."""
        self._segments.append(allocate(min(self.capacity, self._segment)))

    def release(self) -> None:
        """Give the memory back, once nobody holds a view of it."""
        self._segments.clear()

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

    def dismiss(self) -> None:
        """The reader is not wanted any more: its next :meth:`space` is None, and it leaves."""
        with self._writable:
            self._dismissed = True
            self._writable.notify()

    def leave(self) -> None:
        """The reader touches the ring no more."""
        with self._readable:
            self._left = True
            self._readable.notify()

    def waits(self) -> Waits:
        """Who has waited how long until now; from any thread."""
        with self._readable:
            now = time.monotonic()
            data, room = self._data_wanted, self._room_wanted
            return (
                self.without_data + (0.0 if data is None else now - data),
                self.without_room + (0.0 if room is None else now - room),
            )

    def space(self) -> memoryview | None:
        """The reader's next bytes to fill; sleeps while there is no room. None: stopped, or
        dismissed."""
        with self._writable:
            while not (self._stopped or self._dismissed):
                start = self._written % self.capacity
                if start == len(self._segments) * self._segment and not self._grow():
                    continue
                size = min(self._read_size, self._straight(start))
                if self._limit is not None:
                    size = min(size, self._limit - self._written)
                room = self.capacity - (self._written - self._freed)
                if self._short is not None and self.keep:
                    size = min(size, room)  # to keep as much of the part as there is memory for
                if 0 < size <= room:
                    return self._view(start, size)
                self._stalled = True
                self._readable.notify()
                began = self._room_wanted = time.monotonic()
                self._writable.wait()
                self._room_wanted = None
                self.without_room += time.monotonic() - began
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
        :raise Left: the reader was dismissed, and all whole blocks are taken
        :raise CacheError: the part cannot be kept to its end; :meth:`forgo` lets it go on
        """
        with self._readable:
            while not (self._ended or self._rest() >= self.block_size):
                self._check_kept()
                if self._left and not self._stopped:
                    raise Left
                self._sleep_for_data()
            if self.stopped:
                raise Stopped
            self._check_cached()
            start = self.cursor % self.capacity
            size = min(self._rest(), limit, self._straight(start))
            if size >= self.block_size:
                size = min(size - size % self.block_size, self._write_size)
            return self._view(start, size)

    def rest(self) -> memoryview:
        """What is left once the reader has left."""
        return self._view(self.cursor % self.capacity, self._rest())

    def wait_primed(self) -> None:
        """Sleep until the ring is as full as it gets, for a device that must not run dry.

        :raise Stopped: stopped.
        """
        with self._readable:
            while not (self._ended or self._stalled or self._left):
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

    def lose(self, text: str) -> None:
        """The reader cannot keep what follows in its cache: :meth:`peek` raises CacheError."""
        with self._readable:
            self._lost = text
            self._readable.notify()

    def forgo(self) -> None:
        """Go on without keeping anything for a second try."""
        with self._writable:
            self.keep = False
            self._lost = self._limit = None
            self._free()

    def _check_kept(self) -> None:
        """Nothing comes any more if the part fills the ring, all of it was taken, and it is to be
        kept."""
        self._check_cached()
        if self.keep and self._stalled and self._short is not None:
            size = self.capacity
            raise CacheError(f"No memory to keep more than {size} bytes of a part: {self._short}")

    def _check_cached(self) -> None:
        if self._lost is not None:
            raise CacheError(self._lost)

    def _grow(self) -> bool:
        """Take the next segment. :return: False: there is none; the ring ends here"""
        size = min(self._segment, self.capacity - self._written)
        try:
            self._segments.append(allocate_more(size))
        except NoMemory as error:
            self._short = str(error)
            self.capacity = self._written  # of which nothing was used twice yet
            return False
        return True

    def _straight(self, start: int) -> int:
        """Bytes from ``start`` on that lie one after the other."""
        return min(self._segment - start % self._segment, self.capacity - start)

    def _view(self, start: int, size: int) -> memoryview:
        number, at = divmod(start, self._segment)
        return self._segments[number][at : at + size]

    def _rest(self) -> int:
        return self._written - self.cursor

    def _free(self) -> None:
        self._freed = self.cursor
        if 2 * (self._written - self._freed) <= self.capacity:
            self._wake_reader()  # not for every chunk: to sleep and wake costs both sides

    def _wake_reader(self) -> None:
        if self._stalled:
            # already here, or wait_primed would believe it before the reader has looked again
            self._stalled = False
            self._writable.notify()

    def _sleep_for_data(self) -> None:
        if self._stopped:
            raise Stopped
        self._hungry = True
        began = self._data_wanted = time.monotonic()
        self._readable.wait()
        self._data_wanted = None
        self.without_data += time.monotonic() - began
        self._hungry = False
