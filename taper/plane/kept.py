"""The rest of a dump that may have to be sent again: its source, and a window of what was read.

Whoever writes a dump to a device by a connection cannot know what of it arrives. So what is read
is kept until it is stored, and whoever goes on, on another connection or another device, begins
with that. The window is bounded: where it is full, reading waits for the device.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from zope.interface import implementer

from protocols.crc import UNKNOWN, Crc
from protocols.rendezvous.window import Gone, Window
from taper.plane.crc import crc32c
from taper.plane.interfaces import IComparedSource, IKeptSource, ISource

WINDOW = 16 * 1024 * 1024
"""Bytes that are kept. It is more than sockets and movers hold, or they would wait for each
other."""

PATIENCE = 120.0
"""Seconds for a device that takes more than we keep before it writes any: then it gets more, and
what is not kept cannot be sent again."""

LOOK_AGAIN = 0.5
"""Seconds until one that is short of room asks once more how far the device is."""

PIECE = 1024 * 1024
"""Bytes that are read at a time, at most."""

Progress = Callable[[], tuple[int, int]]
"""Bytes of the dump that are in good parts, and bytes on the volume."""


def _nobody() -> None:
    """Nobody has asked to be told yet."""


def window_size(block_size: int) -> int:
    """Bytes to keep for a device with such blocks."""
    return max(WINDOW, 8 * block_size)


class Kept:
    """A source, and its last bytes once more. One :class:`KeptReader` at a time reads.

    :ivar wants_progress: called by a reading thread that is short of room:
        :meth:`acknowledge` should come soon.
    """

    def __init__(
        self,
        source: ISource,
        done: Crc = UNKNOWN,
        size: int = WINDOW,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """:param source: ours from now on.
        :param done: of the bytes before its first one.
        :param size: bytes that are kept for certain.
        :param clock: monotonic seconds.
        """
        self._clock = clock
        # when the device got on for the last time while it was waited for
        self._since: float | None = None
        self.wants_progress: Callable[[], None] = _nobody
        self._source = source
        self._size = size
        # whoever leaves may be reading: there is room for that, wherever the next one begins
        self._window = Window(size + PIECE, crc32c, done=done)
        self._changed = threading.Condition()
        self._told: tuple[int, int] | None = None
        self._taken: tuple[int, int] | None = None
        self._got_on = False
        self._asked = False
        self._good = done
        self._begin = done.size
        self._reader: KeptReader | None = None
        self._reading = self._ended = self._cancelled = self._closed = False
        self._fault: BaseException | None = None
        if IComparedSource.providedBy(source):
            source.counted = self.total

    def reader(self) -> KeptReader:
        """Whoever reads from now on, from behind the last good part; nobody else may any more."""
        with self._changed:
            self._reader = KeptReader(self, self._begin)
            self._changed.notify_all()
            return self._reader

    def total(self) -> Crc:
        """Of all that was read, each byte counted once. Any thread."""
        with self._changed:
            return self._window.crc_at(self._window.end)

    @property
    def well(self) -> bool:
        """The source has not failed, and nobody has cancelled. Any thread."""
        return self._fault is None and not self._cancelled

    def acknowledge(self, stored: int, written: int) -> None:
        """How far the device is: bytes in good parts, and bytes on the volume. Any thread."""
        with self._changed:
            self._told = (stored, max(stored, written))
            self._asked = False
            self._changed.notify_all()

    def leave(self, stored: int, *, again: bool = True) -> Crc | None:
        """Let the next reader begin behind the first ``stored`` bytes, and the present one read no
        more. Any thread.

        :param again: what follows them must be there; else only their checksum is wanted
        :return: their checksum; None: that cannot be, and all is as it was
        """
        with self._changed:
            kept = self._window.start <= stored <= self._window.end <= stored + self._size
            if again and not kept:
                return None
            self._take(stored, stored)
            if self._good.size != stored:
                return None
            self._reader, self._begin = None, stored
            self._changed.notify_all()
            return self._good

    def cancel(self) -> None:
        """Nobody wants any more of it. Any thread; never blocks; safe to repeat."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()
        self._source.cancel()

    def close(self) -> None:
        """Release everything; blocks until nobody is in the source. Safe to repeat."""
        self.cancel()
        with self._changed:
            self._changed.wait_for(lambda: not self._reading)
            closed, self._closed = self._closed, True
        if not closed:
            self._source.close()
            self._window.close()

    # for readers

    def current(self, reader: KeptReader) -> bool:
        """Nobody else reads."""
        return reader is self._reader

    def read(self, reader: KeptReader, buffer: memoryview) -> int:
        """See ISource, from the reader's position on."""
        with self._changed:
            while True:
                if self._cancelled or not self.current(reader):
                    return 0
                if reader.position < self._window.end:
                    return self._read_again(reader, buffer)
                if self._fault is not None:
                    raise self._fault
                if self._ended:
                    return 0
                room = 0 if self._reading else self._room(reader, len(buffer))
                if room:
                    break
                if not self._changed.wait(LOOK_AGAIN):
                    # whoever was asked may have looked before there was anything to be seen
                    self._asked = False
            self._reading = True
        return self._read_on(reader, buffer[:room])

    def _read_again(self, reader: KeptReader, buffer: memoryview) -> int:
        data = self._window.read(reader.position, len(buffer))
        buffer[: len(data)] = data
        reader.position += len(data)
        return len(data)

    def _read_on(self, reader: KeptReader, buffer: memoryview) -> int:
        """Whoever has left meanwhile has read for whoever comes next."""
        size, fault = 0, None
        try:
            size = self._source.read_into(buffer)
        except BaseException as error:
            fault = error
        with self._changed:
            self._reading = False
            self._changed.notify_all()
            if size:
                try:
                    self._window.append(buffer[:size])
                except BaseException as error:
                    fault = error
            self._fault = fault
            self._ended = self._ended or not size
            if not self.current(reader):
                return 0
            if fault is not None:
                raise fault
            reader.position += size
            return size

    def _room(self, reader: KeptReader, wanted: int) -> int:
        """Bytes to read next; 0: first the device must get on."""
        told = self._told if reader.progress is None else reader.progress()
        self._got_on = told != self._taken
        if told is not None:
            self._take(*told)
            self._taken = told
        wanted = min(wanted, PIECE, self._size)
        if reader.progress is not None:
            if self._left < wanted:
                self._take(self._good.size, self._window.end)  # nobody waits for what is kept
            return wanted
        if self._left < self._size // 2 and not self._asked:
            self._asked = True
            self.wants_progress()
        room = min(self._left, wanted)
        if room >= min(wanted, self._size // 8):
            self._since = None
            return room
        now = self._clock()
        if self._since is None or self._got_on:
            self._since = now
        elif now - self._since > PATIENCE:
            self._take(self._good.size, self._window.end)
            return wanted
        return 0

    @property
    def _left(self) -> int:
        """Bytes that can be kept still."""
        return self._window.room - PIECE

    def _take(self, stored: int, written: int) -> None:
        """Know how far the device is, and the checksum where its good parts end."""
        window = self._window
        stored, written = min(stored, window.end), min(written, window.end)
        if stored > self._good.size:
            try:
                self._good = window.crc_at(stored)
            except Gone:
                return  # somebody else has counted
        window.acknowledge(max(stored, self._good.size), max(written, stored, self._good.size))


@implementer(IKeptSource)
class KeptReader:
    """Reads a :class:`Kept`, until somebody else does.

    :ivar position: bytes of the dump before the next one.
    """

    def __init__(self, kept: Kept, position: int) -> None:
        self.kept = kept
        self.position = position
        self.progress: Progress | None = None

    def read_into(self, buffer: memoryview) -> int:
        return self.kept.read(self, buffer)

    def cancel(self) -> None:
        """For whoever still reads; another's reading is none of our business."""
        if self.kept.current(self):
            self.kept.cancel()

    def close(self) -> None:
        if self.kept.current(self):
            self.kept.close()
