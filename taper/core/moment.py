"""Waiting only a moment for what goes on without us, and is done some time.

Another program may hold the lock of the trace log or the tapelist for as long as it likes. What is
to be written there stays to be written; but whoever waits for an answer of ours must not wait for
that too.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from taper.core.interfaces import IClock

MOMENT = 4.0
"""Seconds. A little more than the locks' own waits last at QUIT: who gave up there can say which
lock it was."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


class NotInTime(TimeoutError):
    """It is still to be done, and goes on without us."""

    def __init__(self) -> None:
        super().__init__(
            f"not done within {MOMENT:.0f} s, another program may hold the lock of the file"
        )


class Awaited(Generic[T]):
    """Something that is waited for, to its end or until it is late.

    :ivar over: fires like ``work``; fails with NotInTime once it is late. Cancelling ends the
        waiting only.
    """

    def __init__(self, clock: IClock, work: Deferred[T]) -> None:
        self.over: Deferred[T] = Deferred()
        self._clock = clock
        self._timer: IDelayedCall | None = None
        work.addBoth(self._done)

    def hurry(self) -> None:
        """It is late a moment from now."""
        if self._timer is None and not self.over.called:
            self._timer = self._clock.callLater(MOMENT, self._late)

    def _late(self) -> None:
        if not self.over.called:
            self.over.errback(NotInTime())

    def _done(self, outcome: T | Failure) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self.over.called:
            if isinstance(outcome, Failure):
                _log.warning("in the end it failed: %s", outcome.getErrorMessage())
        elif isinstance(outcome, Failure):
            self.over.errback(outcome)
        else:
            self.over.callback(outcome)


def at_most_a_moment(clock: IClock, work: Deferred[T]) -> Deferred[T]:
    """The outcome of ``work``, or NotInTime."""
    awaited = Awaited(clock, work)
    awaited.hurry()
    return awaited.over
