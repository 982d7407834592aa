"""Whether a second thread makes a dump faster: the rule.

Reading and writing by turns takes the sum of both times, side by side it takes the longer one. But
a second thread also wakes and is woken, moves data from one processor's cache to another's, and
needs a processor that other dumps, or the one who sends, may use better. What that comes to differs
from machine to machine and from hour to hour; so where a second thread could help it is tried, and
stays if it did.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable

WINDOW = 0.05
"""Seconds, at least, that are looked at together."""
LEAST = 8 * 1024 * 1024
"""Bytes, likewise."""
SHARE = 0.15
"""Of the time, at least, that reading and writing must take each to try a second thread."""
GAIN = 1.15
"""Times as fast, at least, two threads must be to stay."""


class Way(enum.Enum):
    """How a dump goes on."""

    AS_NOW = enum.auto()
    TOGETHER = enum.auto()
    ALONE = enum.auto()


class Pace:
    """Judges one dump. Pure but for its clock.

    :ivar settled: nothing changes any more.
    :param clock: monotonic seconds
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.settled = False
        self._clock = clock
        self._began: float | None = None
        self._position = 0
        self._reading = 0.0
        self._alone: float | None = None
        self._starting = False

    def judge(self, position: int, reading: float) -> Way:
        """How to go on, asked now and then.

        :param position: bytes that were written so far
        :param reading: seconds of one thread that were spent reading so far
        """
        now = self._clock()
        if self._began is None:
            self._begin(now, position, reading)
            return Way.AS_NOW
        elapsed, size = now - self._began, position - self._position
        if elapsed < WINDOW or size < LEAST:
            return Way.AS_NOW
        share, rate = (reading - self._reading) / elapsed, size / elapsed
        self._begin(now, position, reading)
        if self._alone is None:
            return self._judge_alone(share, rate)
        if self._starting:  # the first window began with an empty ring
            self._starting = False
            return Way.AS_NOW
        self.settled = True
        return Way.AS_NOW if rate >= GAIN * self._alone else Way.ALONE

    def refused(self) -> None:
        """There is no second thread now; there may be one later."""
        self._alone = None

    def rest(self) -> None:
        """What comes next is not to be counted with what came before, as after a part."""
        self._began = None

    def _begin(self, now: float, position: int, reading: float) -> None:
        self._began, self._position, self._reading = now, position, reading

    def _judge_alone(self, share: float, rate: float) -> Way:
        if not SHARE <= share <= 1 - SHARE:
            return Way.AS_NOW
        self._alone, self._starting = rate, True
        return Way.TOGETHER
