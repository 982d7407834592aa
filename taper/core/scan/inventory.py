"""The engine of the scans that choose from the changer's inventory [changers 1.5].

Theory of operation. An algorithm orders the slots of an inventory; the engine tries them in that
order and takes the first volume that the rules accept once it is loaded. When the list is used up,
the inventory is read once more; when that brings nothing to try, the scan fails, or, with an
operator, waits and looks again. ``seen`` keeps what became of each slot, so that none is tried
again before the changer says that something has changed there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from devices.errors import ChangerError, ChangerReason, Status
from devices.interfaces import LoadRequest
from protocols.header import HeaderType
from protocols.labels import LabelError, LabelUnfit
from taper.core.scan import texts
from taper.core.scan.base import BaseScan
from taper.core.scan.interfaces import ScanContext, ScanResult
from taper.core.scan.judging import Fate, Judge, SeenVolume
from taper.core.scan.waiting import Question

if TYPE_CHECKING:
    from devices.interfaces import IAsyncReservation, InventoryEntry

_BAD = Status.DEVICE_ERROR | Status.VOLUME_ERROR


@frozen
class Facts:
    """What makes a slot the same as before; not known counts as 0, as it does in state files."""

    status: Status
    header_type: HeaderType
    label: str | None

    @classmethod
    def of(cls, volume: SeenVolume) -> Facts:
        return cls(
            volume.status or Status.SUCCESS,
            volume.header_type or HeaderType.UNKNOWN,
            volume.label,
        )


_NOTHING = Facts(Status.SUCCESS, HeaderType.UNKNOWN, None)


@frozen
class Seen:
    """A slot that was tried.

    :ivar read: what the volume said; None: the load failed.
    :ivar listed: what the inventory said of the slot when it was last compared.
    """

    read: Facts | None
    listed: Facts

    def outdated_by(self, now: Facts) -> bool:
        """The inventory tells of another volume than the one that was tried.

        An inventory that merely goes on saying what the volume did not bear out (chg-disk trusts
        names of files) is no news.
        """
        read = self.read
        if read is None or now == self.listed:
            return False
        if read.status == Status.SUCCESS and now.status & _BAD:
            return False
        if read.status != now.status:
            return True
        if read.status != Status.SUCCESS:
            return False
        if read.header_type != now.header_type:
            return True
        return read.header_type == HeaderType.TAPESTART and read.label != now.label


class InventoryScan(BaseScan):
    """A scan over inventories; the order of trying is :meth:`order`."""

    def __init__(self, around: ScanContext) -> None:
        super().__init__(around)
        self._seen: dict[str, Seen] = {}
        self._listed: dict[str, Facts] = {}
        self._candidates: list[str] = []
        self._last_error: ChangerError | None = None
        # There may be news even in slots the changer knows nothing about: an operator says so, or
        # it is a changer that notices nothing by itself.
        self._news = False

    def order(self, judge: Judge, entries: Sequence[InventoryEntry]) -> list[InventoryEntry]:
        """Which of the unseen slots to try, the best first."""
        raise NotImplementedError

    def forget(self, slot: str, label: str) -> None:
        if self._seen.pop(slot, None) is not None:
            self._candidates.insert(0, slot)

    async def search(self, judge: Judge) -> ScanResult:
        around = self.around
        question = None
        if around.interactivity is not None and around.clock is not None:
            question = Question(around.interactivity, around.clock)
        self._last_error = None
        try:
            while True:
                found = await self._one_round(judge)
                if found is not None:
                    return found
                await self._wait(question)
                judge = await self.make_judge(judge.write_timestamp)
        finally:
            if question is not None:
                question.abort()

    # Trying

    async def _one_round(self, judge: Judge) -> ScanResult | None:
        """Try everything there is to try, until an inventory brings nothing more."""
        fresh = False
        while not (fresh and not self._candidates):
            if not self._candidates:
                try:
                    entries = await self.changer.inventory()
                except ChangerError as fault:
                    if fault.fatal or fault.reason is ChangerReason.NOTIMPL:
                        raise
                    self._last_error = fault
                    return None
                self._candidates = self._survey(judge, entries)
                fresh = True
            while self._candidates:
                fresh = False
                found = await self._try(judge, self._candidates.pop(0))
                if found is not None:
                    return found
        return None

    def _survey(self, judge: Judge, entries: Sequence[InventoryEntry]) -> list[str]:
        """Forget what is out of date and list the slots to try."""
        self._listed = {entry.slot: Facts.of(SeenVolume.listed(entry)) for entry in entries}
        for entry in entries:
            seen, now = self._seen.get(entry.slot), self._listed[entry.slot]
            if seen is None:
                continue
            if self._news if entry.state is None else seen.outdated_by(now):
                del self._seen[entry.slot]
            else:
                self._seen[entry.slot] = evolve(seen, listed=now)
        self._news = False
        unseen = [entry for entry in entries if entry.slot not in self._seen]
        return [entry.slot for entry in self.order(judge, unseen)]

    async def _try(self, judge: Judge, slot: str) -> ScanResult | None:
        listed = self._listed.get(slot, _NOTHING)
        try:
            held = await self.load(LoadRequest(slot=slot))
        except ChangerError as fault:
            await self.note(texts.one_line(fault.message))
            self._seen[slot] = Seen(None, listed)
            if fault.reason is not ChangerReason.NOTFOUND:
                self._last_error = fault
            return None
        volume = SeenVolume.loaded(held)
        self._seen[slot] = Seen(Facts.of(volume), listed)
        if volume.status == Status.SUCCESS:
            self._last_error = None
        else:
            self._last_error = ChangerError(volume.error)
        keeps_label = volume.label is not None and judge.matches_labelstr(volume, volume.label)
        found, accepted = None, judge.accepts(volume)
        if accepted or keeps_label or volume.label is None:
            await self.note(_described(volume, keeps_label))
        if accepted:
            found = await self._take(judge, held, volume, keeps_label)
        elif (verdict := judge.verdict(volume)).fate is Fate.REFUSE:
            # the line before is the same for all volumes without a label, bad ones too
            # [changers quirk 13]
            await self.note(verdict.text)
        if found is None:
            await self.release(need_another=True)
        return found

    async def _take(
        self, judge: Judge, held: IAsyncReservation, volume: SeenVolume, keeps_label: bool
    ) -> ScanResult | None:
        if keeps_label and volume.label is not None:
            return self.hand_over(judge, volume.label, is_new=False)
        try:
            label = await self.new_label(judge, held)
        except LabelError as fault:
            if not fault.exists and not isinstance(fault, LabelUnfit):
                raise
            text = texts.cannot_label(volume.slot, str(fault))
            await self.note(text)
            if isinstance(fault, LabelUnfit):
                self._last_error = ChangerError(text)
            return None
        return self.hand_over(judge, label, is_new=True)

    # Waiting

    async def _wait(self, question: Question | None) -> None:
        """Return when it is worth looking again.

        :raise ChangerError: nobody is there to wait for, or waiting cannot help
        """
        error = self._last_error or ChangerError(
            texts.NO_ACCEPTABLE_VOLUMES, ChangerReason.NOTFOUND
        )
        if question is None or error.reason is ChangerReason.UNKNOWN:
            raise error
        reply = await question.wait(texts.one_line(error), self.changer.name)
        self._last_error = None
        # What could not be loaded may be free by now.
        self._seen = {slot: seen for slot, seen in self._seen.items() if seen.read is not None}
        if reply:
            await self._use_changer(reply)
            return
        if self.changer.scan_require_update:
            await self.changer.update()
            self._news = True
        if reply is not None:
            self._news = True

    async def _use_changer(self, name: str) -> None:
        interactivity = self.around.interactivity
        if interactivity is None:
            raise ValueError("a reply without anybody to ask")
        try:
            self.changer = await interactivity.open_changer(name)
        except ChangerError as fault:
            self._last_error = fault
            return
        self._seen.clear()
        self._candidates.clear()


def _described(volume: SeenVolume, keeps_label: bool) -> str:
    if volume.label is None:
        return texts.can_be_labeled(volume.slot)
    if keeps_label:
        return texts.usable(volume.slot, volume.label)
    return texts.will_be_relabeled(volume.slot, volume.label)
