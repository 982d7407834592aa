"""What is done beside a mover that works: asking how far it is, and breaking it off."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from protocols.ndmp.codes import ErrorCode
from protocols.ndmp.errors import NdmpError, NdmpRefused
from protocols.ndmp.messages import MoverAbort, MoverGetState, MoverStop
from protocols.twisted_transports.haste import CLOSE_PATIENCE

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from devices.ndmp_control import Control

LOOK_SECONDS = 0.01
"""Least time between two questions how far the mover is, asked by whoever waits for it."""

LONGEST_LOOK = 1.0
"""Longest time between two of them, while it does not get on."""

_log = logging.getLogger(__name__)


async def ask_tolerating_state(control: Control, message: MoverAbort | MoverStop) -> None:
    """End something; the mover may have halted by itself meanwhile, or been stopped."""
    try:
        await control.ask(message, CLOSE_PATIENCE)
    except NdmpRefused as error:
        if error.error != ErrorCode.ILLEGAL_STATE:
            raise


class Watch:
    """What others want of a mover while :meth:`begun` is not :meth:`over`.

    :ivar breaking: somebody has found its connection broken.
    """

    def __init__(self, reactor: Any, control: Control) -> None:
        self.breaking = False
        self._reactor = reactor
        self._control = control
        self._progress: Callable[[int], None] | None = None
        self._wanted = False
        self._looking: Deferred[None] | None = None

    def begun(self, progress: Callable[[int], None]) -> None:
        """A run begins. :param progress: is told the mover's count of bytes"""
        self._progress = progress
        if self._wanted:
            self.look()
        if self.breaking:
            self._break()

    def over(self) -> None:
        """The run is over, and its end tells more."""
        self._progress = None
        if self._looking is not None:
            self._looking.cancel()

    def look(self) -> None:
        """Let the progress of this run, or the next one, be told soon."""
        self._wanted = True
        if self._progress is not None and self._looking is None:
            looking = self._beside(self._look())
            if not looking.called:
                self._looking = looking

    async def _look(self) -> None:
        """Tell as often as it is wanted, but not faster than the mover gets on."""
        pause, last = LOOK_SECONDS, -1
        try:
            while self._wanted and self._progress is not None:
                self._wanted = False
                moved = (await self._control.ask(MoverGetState())).bytes_moved
                pause = LOOK_SECONDS if moved != last else min(2 * pause, LONGEST_LOOK)
                last = moved
                self._progress(moved)
                await deferLater(self._reactor, pause, lambda: None)
        finally:
            self._looking = None

    def break_off(self) -> None:
        """Let this run end, unless it has an end already, or the next one."""
        if not self.breaking:
            self.breaking = True
            if self._progress is not None:
                self._break()

    def _break(self) -> None:
        self._beside(ask_tolerating_state(self._control, MoverAbort()))

    def _beside(self, story: Coroutine[Deferred[Any], Any, None]) -> Deferred[None]:
        """Do something while the mover is waited for; that fails by itself if this does."""

        def note(failure: Failure) -> None:
            if failure.trap(NdmpError, CancelledError) is NdmpError:
                _log.info("while the mover works: %s", failure.getErrorMessage())

        return Deferred.fromCoroutine(story).addErrback(note)
