"""A lane without a thread: the test does its work, one call at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.interfaces import IReactorFromThreads
from zope.interface import implementer

from devices.interfaces import ILane
from devices.lane import Lane


class _Deliveries:
    """Stands for the reactor: keeps what the lane's thread sends it until asked for."""

    def __init__(self) -> None:
        self.waiting: deque[Callable[[], object]] = deque()

    def callFromThread(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.waiting.append(lambda: function(*args, **kwargs))


@implementer(ILane)
class SteppedLane(Lane):
    """The real lane, whose thread's work is done by :meth:`step`.

    :ivar ended: the thread would have ended.
    """

    def __init__(self, name: str = "stepped") -> None:
        self._deliveries = _Deliveries()
        self.name = name
        self.ended = False
        super().__init__(cast(IReactorFromThreads, self._deliveries), name)

    def _start_thread(self) -> None:
        """There is none."""

    def work(self) -> bool:
        """Do one queued call, as the thread would. :return: False: nothing was queued"""
        if self._queue.empty():
            return False
        call = self._queue.get()
        if call is None:
            self.ended = True
        else:
            self._do(call)
        return True

    def deliver(self) -> bool:
        """Let one result reach the reactor thread. :return: False: none was on its way"""
        if not self._deliveries.waiting:
            return False
        self._deliveries.waiting.popleft()()
        return True

    def step(self) -> bool:
        """One call and its result. :return: False: nothing was to be done"""
        worked = self.work()
        return self.deliver() or worked

    def drain(self) -> None:
        """Step until nothing is left."""
        while self.step():
            pass
