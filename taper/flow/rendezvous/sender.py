"""The application as the sender of what a mover takes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, TimeoutError, succeed

from devices.callers import plain_host
from devices.errors import PeerUnreachable
from protocols.crc import UNKNOWN, Crc
from protocols.rendezvous.forms import MAX_ADDRESSES
from protocols.rendezvous.frames import Cannot, Halted, Sending, Why
from protocols.rendezvous.times import ALIVE_SECONDS, VERDICT_PATIENCE
from taper.core.errors import SourceFault
from taper.core.interfaces import Rest
from taper.flow.verdict import Waiting
from taper.plane.interfaces import SourceError

if TYPE_CHECKING:
    from protocols.directtcp import Address
    from taper.flow.rendezvous.meeting import Meeting

LEAST_SILENCE = 3 * ALIVE_SECONDS
"""Seconds in which an application that sends has said so."""

_log = logging.getLogger(__name__)


class ApplicationSender:
    """The application, which connects to where a device listens; see
    :class:`taper.flow.interfaces.IOwnSender`.

    :param before: checksum and number of the bytes that it need not send any more
    :param patience: seconds for an answer
    :param begin: called when the application is about to be sent here: nobody else may any more
    :param acknowledge: tells the application how far the device is
    """

    def __init__(
        self,
        clock: Any,
        meeting: Meeting,
        before: Crc,
        patience: float,
        *,
        begin: Callable[[], object],
        acknowledge: Callable[[int, int], object],
    ) -> None:
        self.wants_progress: Callable[[], None] = lambda: None
        self.tells_broken: Callable[[], None] = lambda: None
        self.broken: str | None = None
        self.tail = None  # the application has seen the peer take all of it
        self._clock = clock
        self._meeting = meeting
        self._before = before
        self._position = before.size
        self._patience = patience
        self._begin = begin
        self._acknowledge = acknowledge
        self._errors: list[str] = []
        self._told_failure = False
        self._told_broken = False
        self._cancelled = False
        self._waiting = Waiting(clock, self._too_late)
        self._silence: Any = None
        self._begun = False

    async def prepare(self) -> None:
        """The application has its bytes at hand."""

    async def connect(self, addresses: tuple[Address, ...]) -> None:
        """Send the application there.

        :raise PeerUnreachable: it cannot connect; no byte is lost
        :raise SourceError: it went wrong otherwise, as :meth:`take_errors` tells too
        """
        meeting = self._meeting
        self._begin()
        try:
            reachable = await self._reachable(addresses)
            meeting.send(self._position, reachable)
            meeting.told = self._look
            await self._wait(lambda: meeting.answer is not None or meeting.total == self._position)
        except SourceFault as fault:
            raise self._failed(fault.text) from fault
        except TimeoutError:
            text = f"the application has not connected to the device in {self._patience:g} s"
            raise self._failed(text) from None
        answer = meeting.answer
        if isinstance(answer, Cannot) and meeting.broken is None:
            self._leave()
            text = f"the application cannot send: {answer.text or 'it gives no reason'}"
            if answer.reason == Why.NOBODY_ANSWERS:
                raise PeerUnreachable(text)
            if answer.reason == Why.KEPT_NO_MORE:
                text += f" (it has kept what follows byte {answer.first_byte_kept})"
            raise self._failed(text)
        if isinstance(answer, Sending):
            difference = meeting.difference(self._before)
            if difference is not None:
                self._leave()
                raise self._failed(difference)
            _log.info("the application sends from byte %d on", answer.offset)
            self._silence = self._clock.callLater(
                max(self._patience, LEAST_SILENCE), self._sent_nothing
            )

    async def _reachable(self, addresses: tuple[Address, ...]) -> tuple[Address, ...]:
        """A loopback address is one of the host that says it, and of no other."""
        meeting = self._meeting
        await self._wait(lambda: meeting.host is not None)
        same = plain_host(meeting.host or "") == plain_host(meeting.our_host or "")
        found = tuple(each for each in addresses if same or not each.is_loopback)
        if not found:
            told = ", ".join(map(str, addresses))
            raise PeerUnreachable(f"the application is on another host than {told}")
        return found[:MAX_ADDRESSES]

    def _wait(self, happened: Callable[[], bool]) -> Deferred[None]:
        return self._meeting.when(happened).addTimeout(self._patience, self._clock)

    def _sent_nothing(self) -> None:
        """It is connected, and silent; the device would wait for ever."""
        meeting = self._meeting
        if meeting.sent > self._position or self._begun or meeting.total == self._position:
            return
        self._failed(f"the application has sent nothing behind byte {self._position}")
        self.tells_broken()

    def _failed(self, text: str) -> SourceError:
        self._errors.append(text)
        self._told_failure = True
        self._waiting.tell()
        return SourceError(text)

    # what the other end is told

    @property
    def finished(self) -> bool:
        """It has read all, and says how much; it may have yet to send some of that."""
        return self._meeting.total is not None

    @property
    def delivered(self) -> bool:
        """It has seen all of it taken, if there was anything to be sent."""
        total = self._meeting.total
        return total is not None and total in (self._meeting.delivered, self._position)

    @property
    def size(self) -> int:
        """Bytes sent, as far as is known."""
        total = self._meeting.total
        return self._meeting.sent if total is None else total

    def crc(self) -> Crc:
        """As the application says at its end."""
        return self._meeting.crc

    def take_errors(self) -> list[str]:
        errors, self._errors = self._errors, []
        failure = self._meeting.failure
        if failure is not None and not (self._told_failure or self._cancelled):
            self._told_failure = True
            errors.append(failure)
        return errors

    def settled(self) -> Deferred[None]:
        if self._is_settled:
            return succeed(None)
        return self._waiting.wait(VERDICT_PATIENCE)

    def _too_late(self) -> None:
        if self._meeting.host is None:  # that it is away for too long is for others to find out
            self._waiting.wait_on(VERDICT_PATIENCE)
            return
        self.broken = (
            "the data connection ended, and the application does not say that all was taken"
        )
        self._waiting.tell()

    @property
    def _is_settled(self) -> bool:
        known = self.delivered or self.broken is not None or self._meeting.failure is not None
        return known or self._cancelled or self._told_failure

    def _look(self) -> None:
        """The application has said something, or is away."""
        meeting = self._meeting
        said, taken, total = meeting.broken, meeting.delivered, meeting.total
        if self.delivered:
            meeting.complete()
        elif said is not None and self.broken is None:
            self.broken = f"the application's data connection broke: {said.text}"
        elif None not in (taken, total) and self.broken is None:
            self.broken = f"the application ended its data at byte {taken} of {total}"
        if self._is_settled:
            self._waiting.tell()
        if self.broken is not None and not self._told_broken:
            self._told_broken = True
            self.tells_broken()

    # what it is told

    @property
    def goes_on(self) -> bool:
        """What was sent in vain can be sent again, as far as anybody knows."""
        lost = self._cancelled or self._told_failure
        return not lost and self._meeting.failure is None

    def acknowledge(self, stored: int, written: int, counted: int) -> None:
        self._begun = self._begun or written > self._position
        self._acknowledge(stored, written)

    def leave(self, stored: int) -> Deferred[Rest | None]:
        return Deferred.fromCoroutine(self._depart(stored))

    async def _depart(self, stored: int) -> Rest | None:
        """Let the application say the checksum of what is stored, which nobody else knows."""
        meeting = self._meeting
        self._leave()
        if stored == 0:
            return Rest(done=UNKNOWN)
        meeting.halt(stored)
        try:
            await self._wait(lambda: meeting.answer is not None)
        except (SourceFault, TimeoutError):
            return None
        answer = meeting.answer
        if isinstance(answer, Halted):
            return Rest(done=Crc(answer.crc, stored))
        _log.warning("the application cannot go on behind byte %d: %s", stored, answer)
        return None

    def _leave(self) -> None:
        """Hear no more; another one may be sent here by now, who does."""
        silence, self._silence = self._silence, None
        if silence is not None and silence.active():
            silence.cancel()
        if self._meeting.told == self._look:
            self._meeting.told = lambda: None

    def cancel(self) -> None:
        self._cancelled = True
        self._leave()
        self._waiting.tell()

    def close(self) -> Deferred[None]:
        self.cancel()
        return succeed(None)
