"""A stream that begins :mod:`taper.plane.straight` and goes over to a ring and two threads where
:mod:`taper.plane.pace` finds that faster, or a device must not run dry; and back, if it was not."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from devices.threads import ThreadRefused
from taper.plane.filler import Filler
from taper.plane.memory import NoMemory
from taper.plane.pace import Pace, Way
from taper.plane.ring import Left, Ring
from taper.plane.straight import Straight

if TYPE_CHECKING:
    from taper.plane.intake import Intake
    from taper.plane.interfaces import Span, Waits

_log = logging.getLogger(__name__)

PLACES = threading.BoundedSemaphore(len(os.sched_getaffinity(0)))
"""For the second threads of all dumps of this process: with more of them than processors, each with
its ring, none would be faster."""


class Adaptive:
    """See the module. The thread that writes decides; any may stop it.

    :ivar without_data: seconds that the device had to wait for data that a second thread was to
        read; complete after :meth:`release`.
    :ivar without_room: seconds that the second thread had to wait for the device; likewise.
    :param ring_size: bytes that are read ahead once there are two threads
    """

    keep = False

    def __init__(
        self,
        intake: Intake,
        block_size: int,
        ring_size: int,
        unforeseen: Callable[[BaseException], None],
        pace: Pace | None = None,
    ) -> None:
        self.block_size = block_size
        self._intake = intake
        self._ring_size = ring_size
        self._straight = Straight(intake, block_size, unforeseen)
        self._stream: Straight | Ring = self._straight
        self._before = 0
        self._filler: Filler | None = None
        self._place: threading.Semaphore | None = None
        self.without_data = self.without_room = 0.0
        self._alone_seconds = self._alone_reading = 0.0
        self._alone_since = time.monotonic()
        self._read_before = intake.spent()
        self._pace: Pace | None = pace or Pace()

    def allocate(self) -> None:
        """Get the memory of the beginning; :raise NoMemory: there is none."""
        self._straight.allocate()

    @property
    def cursor(self) -> int:
        return self._before + self._stream.cursor

    @property
    def halted(self) -> bool:
        return self._straight.halted

    @property
    def stopped(self) -> bool:
        return self._stream.stopped

    @property
    def failed(self) -> bool:
        return self._stream.failed

    def peek(self, limit: int) -> memoryview:
        if self._pace is not None:
            self._look(self._pace)
        try:
            return self._stream.peek(limit)
        except Left:
            self._come_back()
            return self._stream.peek(limit)

    def advance(self, size: int) -> None:
        self._stream.advance(size)

    def span(self, limit: int) -> Span | None:
        """As :meth:`taper.plane.straight.Straight.span`."""
        return self._straight.span(limit) if self._alone else None

    def skip(self, size: int, seen: Callable[[memoryview], None]) -> None:
        """As :meth:`taper.plane.straight.Straight.skip`, of what :meth:`span` told."""
        self._straight.skip(size, seen)

    def go_on(self) -> None:
        """Writing begins, or goes on after a pause: how long it rested says nothing."""
        if self._pace is not None:
            self._pace.rest()

    def commit(self) -> None:
        """Nothing is kept."""

    def rewind(self) -> None:
        raise ValueError("this stream keeps nothing to go back to")

    def forgo(self) -> None:
        """There is no cache to go on without."""

    def wait_primed(self) -> None:
        """The device must not run dry: from now on somebody reads ahead.

        :raise Stopped: stopped.
        """
        if self._alone and not self._straight.at_end:
            self._go_over("the device streams")
        self._pace = None
        self._stream.wait_primed()

    def stop(self) -> None:
        # in this order: a ring that takes its place just now sees the first one stopped
        self._straight.stop()
        self._stream.stop()

    def fail(self) -> None:
        self._stream.fail()

    def join(self) -> None:
        """Wait until nobody reads the source any more: it was stopped, the source cancelled."""
        if self._filler is not None:
            self._filler.join()

    def release(self) -> None:
        if isinstance(self._stream, Ring):
            self._count(self._stream)
        self._stream.release()
        self._straight.release()
        self._give_place_back()

    def waits(self) -> Waits:
        """In one thread the device waits while it reads, and the source while it writes."""
        data = self.without_data + self._alone_reading
        room = self.without_room + self._alone_seconds - self._alone_reading
        stream = self._stream
        if isinstance(stream, Ring):
            data_there, room_there = stream.waits()
            return data + data_there, room + (room_there or 0.0)
        reading = self._intake.spent() - self._read_before
        return data + reading, room + time.monotonic() - self._alone_since - reading

    @property
    def _alone(self) -> bool:
        return self._stream is self._straight

    def _look(self, pace: Pace) -> None:
        if self._alone and not self._straight.wants_more:
            return  # it was read already
        way = pace.judge(self.cursor, self._intake.seconds)
        if way is Way.TOGETHER and self._alone:
            if PLACES.acquire(blocking=False):
                self._place = PLACES
                self._go_over("reading and writing both take their time")
            else:
                pace.refused()
        elif way is Way.ALONE and isinstance(self._stream, Ring):
            _log.info("from byte %d on in one thread again: two were not faster", self.cursor)
            self._stream.dismiss()
        if pace.settled:
            self._pace = None

    def _go_over(self, why: str) -> None:
        """Let a thread of its own read from here on. What is in the way of that is no fault."""
        rest = self._straight.rest
        ring = Ring(self._ring_size, self.block_size)
        filler = Filler(self._intake, ring)
        try:
            ring.allocate()
            self._hand_over(rest, ring)
            filler.start()
        except (NoMemory, ThreadRefused) as error:
            _log.warning("a dump goes on in one thread: %s", error)
            ring.release()
            self._give_place_back()
            self._pace = None
            return
        _log.info("from byte %d on in two threads: %s", self.cursor, why)
        self._filler = filler
        self._take(ring)

    def _come_back(self) -> None:
        """The reader has left: read here again."""
        ring, filler = self._stream, self._filler
        assert isinstance(ring, Ring)
        assert filler is not None
        self._count(ring)
        filler.join()
        self._filler = None
        self._straight.begin_with(ring.rest())
        self._take(self._straight)
        ring.release()
        self._give_place_back()

    def _give_place_back(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            place.release()

    def _count(self, ring: Ring) -> None:
        self.without_data += ring.without_data
        self.without_room += ring.without_room

    def _take(self, stream: Straight | Ring) -> None:
        """Go on with another stream, at the same place of the dump."""
        now, read = time.monotonic(), self._intake.spent()
        if self._alone:
            self._alone_seconds += now - self._alone_since
            self._alone_reading += read - self._read_before
        self._alone_since, self._read_before = now, read
        self._before = self.cursor - stream.cursor
        self._stream = stream
        if self._straight.halted:
            stream.stop()

    def _hand_over(self, rest: memoryview, ring: Ring) -> None:
        """Put what was read already into the ring."""
        while rest:
            space = ring.space()
            assert space is not None, "nobody else knows this ring"
            size = min(len(space), len(rest))
            space[:size] = rest[:size]
            ring.publish(size)
            rest = rest[size:]
