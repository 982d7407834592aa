"""The parts of a dump that are written and may not be stored yet, in order.

Writing goes on while the disk still takes what was written before. But nobody is told of a part
before it is stored, nor of one before those in front of it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen
from twisted.internet.defer import Deferred

from devices.errors import DeviceError
from taper.core.errors import in_words
from taper.core.shares import NOT_WRITTEN, Shares

if TYPE_CHECKING:
    from devices.interfaces import PartResult
    from taper.core.scribe import Volume

_log = logging.getLogger(__name__)

MOST_BEHIND = 2
"""Parts that may not be stored yet when the next one begins."""


@frozen(kw_only=True)
class Part:
    """A part that was written.

    :ivar number: of the part, from 1 on.
    :ivar first_file: it is the first on its volume.
    :ivar shares: who waited for whom while it was written.
    """

    volume: Volume
    number: int
    result: PartResult
    first_file: bool
    shares: Shares = NOT_WRITTEN


class Behind:
    """Waits for parts to be stored, and lets each be told then.

    :param record: tells of a part that is stored, or of the first that is not
    :param stop: called once there is no sense in writing on, as ``record`` failed
    """

    def __init__(
        self,
        record: Callable[[Part], Coroutine[Deferred[Any], Any, None]],
        stop: Callable[[], None],
    ) -> None:
        self._lost: Part | None = None
        self._fault: Exception | None = None
        self._record = record
        self._stop = stop
        self._parts: deque[Part] = deque()
        self._following = self._telling = False
        self._waiter: Deferred[None] | None = None

    def add(self, part: Part) -> None:
        """A part was written, and its ``stored`` will fire; without one it is stored."""
        self._parts.append(part)
        if not self._following:
            self._following = True
            Deferred.fromCoroutine(self._follow())

    async def wait(self, most: int = 0, *, told: bool = True) -> None:
        """Wait until at most so many parts are not stored and told; none of them, once something
        went wrong. Never fails. One caller at a time.

        :param told: False: one that is stored may still be on its way into the log, whose next
            record comes behind it
        """
        while self._left(told=told) > (0 if self.troubled else most):
            self._waiter = waiter = Deferred[None]()
            await waiter

    def _left(self, *, told: bool) -> int:
        on_its_way = self._telling and not (told or self.troubled)
        return len(self._parts) - on_its_way

    @property
    def troubled(self) -> bool:
        """A part was not stored, or could not be told: those behind it do not count."""
        return self._lost is not None or self._fault is not None

    def take_trouble(self) -> Part | None:
        """Begin anew after all was waited for.

        :return: the first part that was not stored, as a failed one
        :raise Exception: what ``record`` failed with
        """
        lost, self._lost = self._lost, None
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault
        return lost

    async def _follow(self) -> None:
        """Wait for one part after another."""
        while self._parts:
            part = self._parts[0]
            error = await _error_of(part)
            if self.troubled:
                _log.info("part %d is in vain: %s", part.number, error or "it is stored")
            else:
                if error is not None:
                    part = self._lost = _failed(part, error)
                await self._tell(part)
            self._parts.popleft()
            if not self._parts:
                break
            self._wake()
        self._following = False  # before anybody is woken, who may add one
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)

    async def _tell(self, part: Part) -> None:
        telling = Deferred.fromCoroutine(self._record(part))
        self._telling = True
        self._wake()
        try:
            await telling
        except Exception as fault:  # whatever it is, it belongs to the one who waits
            self._fault = fault
            self._stop()
        finally:
            self._telling = False


async def _error_of(part: Part) -> str | None:
    """Why a part is not stored; None: it is."""
    stored = part.result.stored
    if stored is None:
        return None
    try:
        await stored
    except DeviceError as fault:
        return fault.text
    except Exception as fault:  # whatever it is, nothing tells that the part is stored
        return in_words(fault)
    return None


def _failed(part: Part, error: str) -> Part:
    """The part as one that failed, on a volume that takes no more."""
    result = evolve(part.result, successful=False, eof=False, eom=True, error=error)
    return evolve(part, result=result)
