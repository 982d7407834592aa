"""How long other machines may keep us waiting: as long as each may, until all is to end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

CLOSE_PATIENCE = 20.0
"""Seconds to wait for an answer when all that is left is to end well."""

_LEAST = 1.0
"""Seconds that every wait may last, however late it begins: most servers are well."""


class Haste:
    """The deadlines of all conversations of one taper.

    Once :meth:`begin` was called, no wait lasts longer than CLOSE_PATIENCE from then on: neither
    those that are on nor, but for a moment, those that begin later.

    :param clock: times the deadlines
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._calls: list[IDelayedCall] = []
        self._end: float | None = None

    def call_later(
        self, seconds: float, function: Callable[..., object], *args: object
    ) -> IDelayedCall:
        """As ``IReactorTime.callLater``, but sooner if all is to end."""
        call = self._clock.callLater(self.at_most(seconds), function, *args)
        self._calls = [other for other in self._calls if other.active()]
        self._calls.append(call)
        return call

    def at_most(self, seconds: float) -> float:
        """What is left of so many seconds."""
        if self._end is None:
            return seconds
        return min(seconds, max(self._end - self._clock.seconds(), _LEAST))

    def pause(self, seconds: float) -> Deferred[None]:
        """What fires after so many seconds, or sooner if all is to end; it may be cancelled."""
        over: Deferred[None] = Deferred(lambda _: timer.cancel())
        timer = self.call_later(seconds, over.callback, None)
        return over

    @property
    def begun(self) -> bool:
        """All is to end: who has tried in vain tries no more."""
        return self._end is not None

    def begin(self) -> None:
        """All is to end."""
        if self._end is None:
            self._end = self._clock.seconds() + CLOSE_PATIENCE
            for call in self._calls:
                self.shorten(call)

    def shorten(self, call: IDelayedCall) -> None:
        """Let a deadline be CLOSE_PATIENCE away at most."""
        if call.active() and call.getTime() > self._clock.seconds() + CLOSE_PATIENCE:
            call.reset(CLOSE_PATIENCE)
