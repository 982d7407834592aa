"""Waiting in a thread for other programs, for their locks above all: one way for all of it.

Record locks know no queue, so whoever waits tries again and again. The pauses stay short: a lock
that is free for a moment now and then must be met in such a moment. Every wait has an end, and
can be told to stop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

LONGEST_PAUSE = 0.2
"""Seconds between two tries."""

_FIRST_PAUSE = 0.05

LOCK_TIMEOUT = 1000.0
"""Seconds to wait for a lock where nothing else is said, as stock waits for a changer's state."""

QUIT_GRACE = 3.0
"""Seconds that waits may last once the taper is to end; the driver kills it after six."""


class TimeIsUp(Exception):
    """It was waited for long enough."""


class StopSet(Exception):
    """It is not waited for any longer, since the taper is to end."""


def pauses() -> Iterator[float]:
    """Seconds to wait between one try and the next, for ever."""
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)


class Patience:
    """How long one caller, in a thread that may block, still waits for one thing.

    :param seconds: until :class:`TimeIsUp`
    :param stop: once set, by any thread, the wait goes on for ``grace`` seconds only
    :param clock: monotonic seconds
    """

    def __init__(
        self,
        seconds: float = LOCK_TIMEOUT,
        *,
        stop: threading.Event | None = None,
        grace: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._deadline = clock() + seconds
        self._stop = threading.Event() if stop is None else stop
        self._grace = grace
        self._stopped_at: float | None = None
        self._pauses = pauses()

    def pause(self) -> None:
        """It is not to be had yet: wait before the next try.

        :raise TimeIsUp: time is up
        :raise StopSet: it is, since the stop event is set
        """
        self.check()
        pause = min(next(self._pauses), self._deadline - self._clock())
        if self._stop.wait(pause):
            self.check()
            time.sleep(pause)

    def check(self) -> None:
        """:raise TimeIsUp, StopSet: as of :meth:`pause`"""
        now = self._clock()
        if now >= self._deadline:
            raise TimeIsUp
        if not self._stop.is_set():
            return
        if self._stopped_at is None:
            self._stopped_at = now
        if now >= self._stopped_at + self._grace:
            raise StopSet


class OwnStop(threading.Event):
    """The stop event of one who may be told alone, or together with others.

    :param together: stops this one too; whoever waits here notices it after
        :data:`LONGEST_PAUSE` at the latest
    """

    def __init__(self, together: threading.Event | None = None) -> None:
        super().__init__()
        self._together = threading.Event() if together is None else together

    def is_set(self) -> bool:
        return super().is_set() or self._together.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        return self._together.is_set() or super().wait(timeout)
