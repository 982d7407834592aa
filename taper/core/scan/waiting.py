"""Waiting for an operator, or for the world to change by itself ([changers 1.5] step 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from taper.core.scan.interfaces import IInteractivity, Timers

POLL_DELAY = 10.0
"""Seconds between two looks at a changer nobody has said anything about."""


class Question:
    """One question to the operator, kept open while the changer is looked at again and again."""

    def __init__(self, interactivity: IInteractivity, clock: Timers) -> None:
        self._interactivity = interactivity
        self._clock = clock
        self._asked: Deferred[None] | None = None
        self._reply: str | None = None
        self._fault: BaseException | None = None
        self._wake: Deferred[None] | None = None

    async def wait(self, text: str, changer_name: str) -> str | None:
        """Ask, unless the question is still open, and wait for the reply or the next poll.

        :return: the reply without surrounding blanks; None: time to look again
        :raise ScanFailed: the operator gave up
        """
        if self._asked is None:
            asked = self._interactivity.ask(text, changer_name)
            self._asked = asked.addCallbacks(self._replied, self._failed)
        if self._reply is None and self._fault is None:
            await self._reply_or_poll()
        if self._fault is not None:
            raise self._fault
        if self._reply is None:
            return None
        reply, self._reply, self._asked = self._reply, None, None
        return reply.strip()

    async def _reply_or_poll(self) -> None:
        self._wake = Deferred()
        timer = self._clock.callLater(POLL_DELAY, self._awake)
        try:
            await self._wake
        finally:
            self._wake = None
            if timer.active():
                timer.cancel()

    def _awake(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None:
            wake.callback(None)

    def _replied(self, reply: str) -> None:
        self._reply = reply
        self._awake()

    def _failed(self, failure: Failure) -> None:
        self._fault = failure.value
        self._awake()

    def abort(self) -> None:
        """Take an open question back."""
        if self._asked is not None:
            self._asked.cancel()
