"""A labelled volume is made known: to the tapelist, the trace log, and the driver, in this order.

All of that waits for the disk. A part may be written on the volume meanwhile, but nothing of it
counts before the volume does.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed

if TYPE_CHECKING:
    from twisted.python.failure import Failure


class Announcement:
    """One volume that is being made known.

    :ivar over: it is, or ``fault`` says why it is not.
    :ivar fault: why it cannot be.
    """

    def __init__(self, work: Coroutine[Deferred[Any], Any, None]) -> None:
        """:param work: makes it known; begun at once."""
        self.over = False
        self.fault: BaseException | None = None
        self._waiting: list[Deferred[bool]] = []
        self._failed: Callable[[], object] = _nobody
        Deferred.fromCoroutine(work).addCallbacks(self._end, self._end_badly)

    def stands(self) -> Deferred[bool]:
        """Fires when it is over: whether the volume is known now."""
        if self.over:
            return succeed(self.fault is None)
        waiting: Deferred[bool] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def on_failure(self, failed: Callable[[], object]) -> None:
        """Let somebody know at once that what is written there is in vain."""
        self._failed = failed
        if self.fault is not None:
            failed()

    def _end_badly(self, failure: Failure) -> None:
        self.fault = failure.value
        self._failed()
        self._end(None)

    def _end(self, _: None) -> None:
        self.over = True
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(self.fault is None)


def _nobody() -> None:
    """Nobody writes there yet."""
