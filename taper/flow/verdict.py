"""Waiting for a sender to know how its data connection ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred


class Waiting:
    """Those who wait, and how long they may.

    :param too_late: called when it took too long; it tells them, or lets them wait on
    """

    def __init__(self, clock: Any, too_late: Callable[[], object]) -> None:
        self._clock = clock
        self._too_late = too_late
        self._waiting: list[Deferred[None]] = []
        self._deadline: Any = None

    def wait(self, patience: float) -> Deferred[None]:
        """Fires with :meth:`tell`.

        :param patience: seconds for all together, from the first on
        """
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        if self._deadline is None:
            self.wait_on(patience)
        return waiting

    def wait_on(self, patience: float) -> None:
        """Let them wait as long as that from now on."""
        self._deadline = self._clock.callLater(patience, self._over)

    def _over(self) -> None:
        self._deadline = None
        self._too_late()

    def tell(self) -> None:
        """It is known; safe to repeat."""
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)
