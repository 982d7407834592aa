"""The scan named ``traditional``: the oldest volume by label, else slot by slot.

[changers 1.4]
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from devices.errors import ChangerError, ChangerReason, Status
from devices.interfaces import LoadRequest, Relative
from protocols.labels import LabelUnfit
from taper.core.scan import texts
from taper.core.scan.base import BaseScan
from taper.core.scan.interfaces import ScanContext, ScanFailed, ScanResult
from taper.core.scan.judging import Fate, Judge, SeenVolume

if TYPE_CHECKING:
    from devices.interfaces import IAsyncReservation

_log = logging.getLogger(__name__)

# What a search by label may fail with and the slots be walked all the same.
_SEARCH_GOES_ON = frozenset({ChangerReason.NOTFOUND, ChangerReason.VOLINUSE, ChangerReason.INVALID})
# What a slot may fail with and the next one be tried.
_WALK_GOES_ON = frozenset({ChangerReason.VOLINUSE, ChangerReason.INVALID, ChangerReason.EMPTY})


class TraditionalScan(BaseScan):
    """Stage 1 loads the oldest reusable volume by label; stage 2 takes the first good slot."""

    def __init__(self, around: ScanContext) -> None:
        super().__init__(around)
        self._scans = 0
        # Slots that stage 2 need not try again; labels whose volumes were given or turned down.
        self._seen: set[str] = set()
        self._spent: set[str] = set()
        # What was wrong with the last volume that was not merely somebody else's or still needed;
        # kept as long as its slot is, which no later scan tries again.
        self._last_trouble: str | None = None

    def forget(self, slot: str, label: str) -> None:
        self._seen.discard(slot)
        self._spent.discard(label)

    async def search(self, judge: Judge) -> ScanResult:
        self._scans += 1
        wanted = judge.oldest_reusable()
        _log.info("stage 1: the oldest reusable volume is %s", wanted or "none")
        after = None
        if wanted is not None:
            info = await self.changer.info()
            if info.fast_search:
                found, after = await self._by_label(judge, wanted)
                if found is not None:
                    return found
        _log.info("stage 2: slot after slot%s", "" if after is None else f", from {after} on")
        return await self._walk(judge, after)

    # Stage 1

    async def _by_label(self, judge: Judge, wanted: str) -> tuple[ScanResult | None, str | None]:
        """:return: the result, or None and the slot whose volume was rejected, if one was loaded"""
        try:
            held = await self.load(LoadRequest(label=wanted, set_current=True))
        except ChangerError as fault:
            await self.note(texts.one_line(fault.message))
            if fault.reason in _SEARCH_GOES_ON:
                return None, None
            raise
        volume = SeenVolume.loaded(held)
        good = volume.status == Status.SUCCESS and volume.label == wanted
        good = good and wanted not in self._spent
        self._seen.add(held.slot)
        self._spent.add(wanted)
        if good and judge.matches_labelstr(volume, wanted):
            return self.hand_over(judge, wanted, is_new=False), None
        await self.release()
        return None, held.slot

    # Stage 2

    async def _walk(self, judge: Judge, after: str | None) -> ScanResult:
        """:param after: a slot tried already in this scan"""
        place = Relative.CURRENT if self._scans == 1 and after is None else Relative.NEXT
        bridges: set[str] = set()
        while True:
            request = LoadRequest(
                relative=place,
                after=after if place is Relative.NEXT else None,
                set_current=True,
                except_slots=frozenset(self._seen),
            )
            try:
                held = await self.load(request)
            except ChangerError as fault:
                if fault.reason is ChangerReason.NOTFOUND:
                    after = await self._beyond_seen(fault, after, bridges)
                else:
                    after = await self._beyond_failure(fault, place, after)
            else:
                after = held.slot
                found = await self._judge_held(judge, held)
                if found is not None:
                    return found
            place = Relative.NEXT

    async def _beyond_failure(
        self, fault: ChangerError, place: Relative, after: str | None
    ) -> str | None:
        """Where to go on from after a slot that could not be loaded; raises if nowhere."""
        await self.note(texts.one_line(fault.message))
        if fault.reason not in _WALK_GOES_ON:
            raise fault
        if place is Relative.CURRENT and fault.reason is ChangerReason.INVALID:
            # The current slot does not exist; maybe none does, and "next" would make no sense.
            info = await self.changer.info()
            if not info.slots:
                raise self._none_found()
        if fault.slot is None:
            # Without a slot to go on from, only the first step may fail: "next" would go nowhere.
            if place is Relative.CURRENT and fault.reason is not ChangerReason.VOLINUSE:
                return after
            raise fault
        self._require_new(fault.slot)
        self._seen.add(fault.slot)
        return fault.slot

    async def _beyond_seen(
        self, fault: ChangerError, after: str | None, bridges: set[str]
    ) -> str | None:
        """The next seen slot with an unseen one behind it; raises if all have been tried.

        A walk ends at the first seen slot, but what lies beyond may never have been tried: the
        current slot is moved by other programs and by stage 1, not only by walks.
        """
        if self._seen:
            slots = (await self.changer.info()).slots
            start = slots.index(after) if after in slots else 0
            ring = slots[start:] + slots[:start]
            for slot, behind in zip(ring, ring[1:] + ring[:1], strict=True):
                if slot in self._seen and behind not in self._seen and slot not in bridges:
                    bridges.add(slot)
                    return slot
        await self.note(texts.one_line(fault.message))
        raise self._none_found()

    def _none_found(self) -> ScanFailed:
        """Stock's words first, then what may be mended: a server that is down, a bad volume."""
        return ScanFailed(texts.none_found(self._last_trouble))

    def _require_new(self, slot: str) -> None:
        """A changer that gives an excepted slot would keep us walking for ever."""
        if slot in self._seen:
            raise self._none_found()

    async def _judge_held(self, judge: Judge, held: IAsyncReservation) -> ScanResult | None:
        self._require_new(held.slot)
        self._seen.add(held.slot)
        volume = SeenVolume.loaded(held)
        verdict = judge.verdict(volume)
        await self.note(verdict.text)
        if verdict.fate is Fate.REFUSE and held.reading.status & ~Status.VOLUME_UNLABELED:
            self._last_trouble = texts.in_slot(held.slot, volume.error)
        if verdict.fate is Fate.REUSE and volume.label is not None:
            self._spent.add(volume.label)
            return self.hand_over(judge, volume.label, is_new=False)
        if verdict.fate is Fate.LABEL:
            try:
                label = await self.new_label(judge, held)
            except LabelUnfit as fault:
                await self.note(texts.cannot_label(held.slot, str(fault)))
                self._last_trouble = texts.in_slot(held.slot, str(fault))
            else:
                return self.hand_over(judge, label, is_new=True)
        await self.release()
        return None
