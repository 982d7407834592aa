"""REQUEST-NEW-TAPE of a dump, and the answers to it (taper-protocol 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from taper.core.errors import Interrupted, ScribeTaken, VolumeDenied

if TYPE_CHECKING:
    from taper.core.interruption import Interruption
    from taper.core.report import Report
    from taper.core.worker import Worker


class VolumeRequest:
    """What one dump asks the driver about volumes; one request at a time.

    :param interruption: of the dump, which breaks the wait for an answer
    """

    def __init__(
        self, worker: Worker, handle: str, report: Report, interruption: Interruption
    ) -> None:
        self._worker = worker
        self._handle = handle
        self._report = report
        self._interruption = interruption
        self._answer: Deferred[None] | None = None

    @property
    def open(self) -> bool:
        """It is unanswered."""
        return self._answer is not None

    def granted(self) -> None:
        """NEW-TAPE came."""
        self._take_answer().callback(None)

    def denied(self, reason: str) -> None:
        """NO-NEW-TAPE came."""
        self._take_answer().errback(VolumeDenied(reason))

    def scribe_given(self) -> None:
        """TAKE-SCRIBE-FROM came; the worker's scribe is already the other one."""
        self._take_answer().errback(ScribeTaken())

    def _take_answer(self) -> Deferred[None]:
        answer, self._answer = self._answer, None
        assert answer is not None, "the rules allow an answer only to a request"
        return answer

    async def ask(self) -> None:
        """Send REQUEST-NEW-TAPE and wait for the answer.

        :raise VolumeDenied: NO-NEW-TAPE
        :raise ScribeTaken: TAKE-SCRIBE-FROM
        :raise Interrupted: the dump is to end; the request stands unanswered
        """
        self._interruption.check()
        self._answer = answer = Deferred[None]()
        self._worker.rules.volume_requested()
        self._report.request_new_tape()
        try:
            await self._interruption.wait(answer)
        except VolumeDenied as fault:
            await self._report.volume_denied(fault.reason)
            raise
        except Interrupted:
            if self._answer is not None:
                self._answer = None
                self._worker.request_withdrawn(self._handle)
            raise
