"""A reading thread's way to the clerk, who lives on the reactor's side (data-plane 4.4)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from taper.core.errors import DumpFault
from taper.flow.mover_reader import GIVEN_UP
from taper.plane.interfaces import SourceError

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from taper.plane.volumes import IReader


class VolumeChange:
    """The reading thread's way to the clerk, who lives on the reactor's side.

    :param fetch: asks the clerk; fails with DumpFault
    :param stop_reading: ends a wait for the bytes of the volume at hand. Any thread; never blocks
    """

    def __init__(
        self,
        reactor: Any,
        fetch: Callable[[str], Deferred[IReader]],
        stop_reading: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._fetch = fetch
        self._stop_reading = stop_reading
        self._answered = threading.Condition()
        self._answer: IReader | SourceError | None = None
        self._cancelled = False

    def change_to(self, label: str) -> IReader:
        """See :class:`taper.plane.volumes.IVolumes`."""
        self._answer = None
        self._reactor.callFromThread(self._ask, label)
        with self._answered:
            while self._answer is None and not self._cancelled:
                self._answered.wait()
            answer = self._answer
        if answer is None:
            raise SourceError(GIVEN_UP)
        if isinstance(answer, SourceError):
            raise answer
        return answer

    def cancel(self) -> None:
        """See :class:`taper.plane.volumes.IVolumes`."""
        with self._answered:
            self._cancelled = True
            self._answered.notify_all()
        self._stop_reading()

    def _ask(self, label: str) -> None:
        if not self._cancelled:
            self._fetch(label).addCallbacks(self._tell, self._failed)

    def _failed(self, failure: Failure) -> None:
        fault = failure.value
        text = fault.text if isinstance(fault, DumpFault) else f"internal error: {fault!r}"
        self._tell(SourceError(text))

    def _tell(self, answer: IReader | SourceError) -> None:
        with self._answered:
            self._answer = answer
            self._answered.notify_all()
