"""What all scans share: taking turns, holding one volume at a time, and giving it back.

A scan holds at most one reservation. It leaves in exactly one of two ways: handed over in the
result, or released by the scan, whatever ends it, cancellation included.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, DeferredLock
from zope.interface import implementer

from devices.errors import ChangerError, DeviceError
from devices.shield import undisturbed
from protocols.labels import LabelError
from protocols.tapelist import TapelistError
from taper.core.scan import texts
from taper.core.scan.interfaces import IScan, ScanContext, ScanFailed, ScanResult
from taper.core.scan.judging import Judge, SeenVolume

if TYPE_CHECKING:
    from devices.interfaces import IAsyncReservation, LoadRequest

_log = logging.getLogger(__name__)


@implementer(IScan)
class BaseScan:
    """A scan without its algorithm, which is :meth:`search`."""

    def __init__(self, around: ScanContext) -> None:
        self.around = around
        self.changer = around.changer
        self._judge: Judge | None = None
        self._turn = DeferredLock()
        self._held: IAsyncReservation | None = None

    async def search(self, judge: Judge) -> ScanResult:
        """Find a volume; what is held when this raises is released by the caller."""
        raise NotImplementedError

    def forget(self, slot: str, label: str) -> None:
        """Let the volume in ``slot`` be found again."""
        raise NotImplementedError

    def scan(self, write_timestamp: str) -> Deferred[ScanResult]:
        """See :class:`IScan`."""
        return Deferred.fromCoroutine(self._in_turn(write_timestamp))

    def untouched(self, result: ScanResult) -> None:
        """See :class:`IScan`."""
        self.forget(result.reservation.slot, result.label)

    async def _in_turn(self, write_timestamp: str) -> ScanResult:
        await self._turn.acquire()
        try:
            return await self._search_or_fail(write_timestamp)
        finally:
            self._turn.release()

    async def _search_or_fail(self, write_timestamp: str) -> ScanResult:
        _log.info("scan %s for %s begins", type(self).__name__, write_timestamp)
        try:
            return await self.search(await self.make_judge(write_timestamp))
        except (ChangerError, DeviceError, LabelError, TapelistError, OSError) as fault:
            _log.info("the scan failed: %s", texts.one_line(fault))
            await self._let_go()
            raise ScanFailed(texts.one_line(fault)) from fault
        except Exception as fault:
            _log.info("the scan failed: %s", str(fault) or type(fault).__name__)
            await self._let_go()
            raise

    async def _let_go(self) -> None:
        try:
            await self.release()
        except (ChangerError, DeviceError) as fault:
            # The scan has failed already, for the reason its caller is told; this is one more.
            await self.note(texts.one_line(fault))

    async def make_judge(self, write_timestamp: str) -> Judge:
        """The rules over the tapelist as it is now."""
        around = self.around
        tapelist = await around.tapelists.read()
        if around.refresh is not None:
            await around.refresh()
        retention = around.retention(tapelist)
        self._judge = Judge(
            around.config,
            around.storage,
            tapelist,
            retention,
            write_timestamp,
            stays=around.changer.global_space,
        )
        return self._judge

    async def note(self, text: str) -> None:
        """One ``INFO taper`` line; it is in the log before the scan's result is told to anybody."""
        written = self.around.note(text)
        if written is not None:
            await undisturbed(written)

    async def load(self, request: LoadRequest) -> IAsyncReservation:
        """Load and hold; nothing may be held before.

        A load that is cancelled leaves nothing reserved; that is the changer's word.
        """
        if self._held is not None:
            raise ValueError(f"slot {self._held.slot} is still held")
        _log.debug("load %s", request)
        self._held = await self.changer.load(request)
        look = self.around.look
        if self._judge is not None and (look is not None or _log.isEnabledFor(logging.INFO)):
            found = self._judge.described(SeenVolume.loaded(self._held))
            _log.info("%s", found)
            if look is not None:
                look(found)
        return self._held

    async def release(self, *, need_another: bool = False) -> None:
        """Give back what is held, if anything; never twice, and to the end once begun."""
        held, self._held = self._held, None
        if held is not None:
            await undisturbed(held.release(need_another=need_another))

    async def new_label(self, judge: Judge, held: IAsyncReservation) -> str:
        """A candidate for the held volume's label.

        :raise LabelError: see :meth:`Judge.new_label`
        """
        meta = await held.get_meta_label()
        return judge.new_label(SeenVolume.loaded(held), meta)

    def hand_over(self, judge: Judge, label: str, *, is_new: bool) -> ScanResult:
        """The result: from here on the held volume is the caller's."""
        held, self._held = self._held, None
        if held is None:
            raise ValueError("no volume is held")
        kind = "a new label" if is_new else "its own label"
        _log.info("the scan found slot %s: %s, %s", held.slot, label, kind)
        return ScanResult(reservation=held, label=label, is_new=is_new, tapelist=judge.tapelist)
