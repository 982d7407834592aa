"""What the device is given: the ring, or before it what a failed part must be given again."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from attrs import frozen

from protocols.crc import UNKNOWN, Crc
from taper.plane.crc import RunningCrc, Snapshot
from taper.plane.interfaces import IReplay, ISpans, IStream, SourceError, Span
from taper.plane.memory import allocate
from taper.plane.ring import Stopped, chunk_size


@frozen(eq=False)
class Held:
    """Where a part ends that is held, and the checksum of all before that."""

    position: int
    crc: Snapshot


class PartReader:
    """The bytes of a dump, part by part; a part begins where the last good one ended.

    Bytes between the part's begin and the ring's cursor were given before. They come again, all
    of them, from the ring if it keeps them, else from ``replay`` [data-plane Q2].

    A good part may be *held*: it counts once it is :meth:`confirmed <confirm>`, by any thread, and
    until then :meth:`revoke` can go back to before the oldest of those.

    :ivar part_start: position of the part's first byte = bytes in good parts, held ones included.
    :ivar position: position of the next byte to give.
    :ivar cached: ring or ``replay`` are a cache that we keep, not the source.
    """

    def __init__(
        self,
        ring: IStream,
        replay: IReplay | None,
        failed: Callable[[str], None],
        done: Crc = UNKNOWN,
        *,
        cached: bool = False,
        spans: ISpans | None = None,
    ) -> None:
        """:param spans: the same stream, where it can tell of bytes that stand in files.
        :param failed: told the text when bytes cannot be had again; must stop the ring.
        :param done: of bytes of the dump that came before the ring's first one.
        """
        self.cached = cached
        self.part_start = 0
        self.position = 0
        self._ring = ring
        self._spans = spans
        self._replay = replay
        self._failed = failed
        self._buffer = memoryview(b"")
        self._crc = RunningCrc(done)
        self._part_crc = self._crc.snapshot()
        self._lock = threading.Lock()
        # of each part that is held; the last one that counts first
        self._held = deque([Held(0, self._part_crc)])
        self._good_crc = RunningCrc(done)

    @property
    def repeatable(self) -> bool:
        """The bytes from the part's first one on can be given."""
        kept = self._ring.keep or self._replay is not None
        return kept or self._ring.cursor == self.part_start

    @property
    def given_crc(self) -> RunningCrc:
        """CRC of these and of the current part, as far as the device accepted it."""
        return self._crc

    @property
    def crc(self) -> RunningCrc:
        """CRC of the good parts, over what the device accepted."""
        return self._good_crc

    def prime(self) -> None:
        """Wait until the ring is full; not while there is something to repeat."""
        if self.position == self._ring.cursor:
            self._ring.wait_primed()

    def peek(self, limit: int) -> memoryview:
        """As :meth:`taper.plane.ring.Ring.peek`."""
        behind = self._ring.cursor - self.position
        if behind:
            return self._read_again(min(behind, limit))
        return self._ring.peek(limit)

    def span(self, limit: int) -> Span | None:
        """Where the next bytes stand in a file, if they do, at most ``limit`` of them."""
        if self._spans is None or self.position != self._ring.cursor:
            return None
        return self._spans.span(limit)

    def skip(self, size: int) -> None:
        """The device has taken the first ``size`` bytes of a span by itself. They are read now.

        :raise Stopped: they cannot be read to their end
        """
        assert self._spans is not None, "there was no span"
        self._spans.skip(size, self._crc.update)
        self.position += size

    def forgo(self) -> bool:
        """Go on without the cache, after it failed. :return: False: it is needed for this part"""
        if self.position != self._ring.cursor:
            return False
        self.cached = False
        self._replay = None
        self._ring.forgo()
        return True

    def accept(self, data: memoryview) -> None:
        """The device has taken ``data``, the front of what :meth:`peek` gave."""
        self._crc.update(data)
        size = len(data)
        if self.position == self._ring.cursor:
            self._ring.advance(size)
        self.position += size

    def commit(self) -> None:
        """The part is good: its bytes are never wanted again.

        :raise ValueError: a part before it is held
        """
        if self.position == self.part_start:
            return  # it has none, and those before it may still be held
        if len(self._held) > 1:
            raise ValueError("a part before this one is not confirmed")
        self.confirm(self.hold())
        if self.position == self._ring.cursor:
            self._ring.commit()

    def hold(self) -> Held:
        """The part is good, but its bytes may be wanted again. Not where the ring keeps them: it
        can go back by one part only.

        :return: for :meth:`confirm`
        """
        self.part_start = self.position
        self._part_crc = self._crc.snapshot()
        held = Held(self.position, self._part_crc)
        with self._lock:
            self._held.append(held)
        if self.position == self._ring.cursor:
            self._buffer = memoryview(b"")
        return held

    @property
    def holds(self) -> bool:
        """A part is held and not confirmed, so that the next one must be held, too. Between two
        parts."""
        with self._lock:
            return len(self._held) > 1

    def confirm(self, held: Held) -> bool:
        """A part that is held counts: its bytes are never wanted again. Any thread.

        :return: False: one before it does not count yet, so this one does not either
        """
        with self._lock:
            if len(self._held) < 2 or self._held[1] is not held:
                return False
            self._held.popleft()
            self._good_crc.restore(held.crc)
        if self._replay is not None:
            self._replay.forget(held.position)
        return True

    def rollback(self) -> None:
        """The part is bad: all of its bytes are wanted again."""
        self.position = self.part_start
        self._crc.restore(self._part_crc)
        if self._ring.keep:
            self._ring.rewind()

    def revoke(self) -> None:
        """No part that is held is good: all of their bytes are wanted again. Between two parts."""
        with self._lock:
            good = self._held[0]
            self._held = deque([good])
        self.part_start, self._part_crc = good.position, good.crc
        self.rollback()

    def _read_again(self, size: int) -> memoryview:
        if self._replay is None:
            raise ValueError(f"nothing keeps the bytes from {self.position} on")
        if self._ring.halted:
            raise Stopped
        if not self._buffer:
            self._buffer = allocate(chunk_size(self._ring.block_size))
        data = self._buffer[:size]
        done = 0
        try:
            while done < len(data):
                done += self._replay.reread(self.position + done, data[done:])
        except SourceError as error:
            self._failed(str(error))
            raise Stopped from error
        return data
