"""A clock for two threads that only goes on when both have nothing to do but to wait.

So what takes seconds takes none, and what comes out does not depend on who was faster. The threads
wait for time by :meth:`VirtualTime.wait`, and for each other by :class:`threading.Condition`, which
:func:`virtual_time` replaces in the ring.
"""

from __future__ import annotations

import heapq
import threading
from types import SimpleNamespace
from typing import Any

import pytest

PATIENCE = 60
"""Seconds that a thread of a test that does not go on waits before it says so."""


class VirtualTime:
    """Seconds from 0.

    :param threads: that take part and are at work now; one that begins says :meth:`working`, one
        that ends :meth:`idle`
    """

    def __init__(self, threads: int) -> None:
        self.now = 0.0
        self._lock = threading.Lock()
        self._working = threads
        self._sleeping: list[tuple[float, int, threading.Event]] = []
        self._count = 0

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        """Let so many seconds pass for this thread."""
        event = threading.Event()
        with self._lock:
            self._count += 1
            heapq.heappush(self._sleeping, (self.now + max(seconds, 0.0), self._count, event))
        self.idle()
        assert event.wait(PATIENCE), "nobody turns the clock"

    def idle(self, by: int = 1) -> None:
        """So many threads have nothing to do until somebody says :meth:`working`."""
        with self._lock:
            self._working -= by
            if not self._working and self._sleeping:
                self.now, _, event = heapq.heappop(self._sleeping)
                self._working += 1
                event.set()

    def working(self, by: int = 1) -> None:
        """So many threads have something to do again."""
        with self._lock:
            self._working += by


def virtual_time(patch: pytest.MonkeyPatch, threads: int = 1) -> VirtualTime:
    """A clock; rings that are made from now on wait by it."""
    time = VirtualTime(threads)

    class Condition(threading.Condition):
        """Tells who waits, and who is woken before he can look at the clock."""

        def __init__(self, lock: Any = None) -> None:
            super().__init__(lock)
            self._idle = 0

        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is None
            self._idle += 1
            time.idle()
            assert super().wait(PATIENCE), "nobody wakes this thread"
            return True

        def notify(self, n: int = 1) -> None:
            woken = min(n, self._idle)
            self._idle -= woken
            time.working(woken)
            super().notify(n)

        def notify_all(self) -> None:
            self.notify(self._idle)

    fake = SimpleNamespace(Condition=Condition, Lock=threading.Lock)
    patch.setattr("taper.plane.ring.threading", fake)
    return time
