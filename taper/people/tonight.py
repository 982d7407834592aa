"""Which volume a night would take: the scan of tonight, with its own judgement, over a changer on
paper."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from attrs import evolve, frozen
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from devices.errors import ChangerError, ChangerReason, DeviceError, Status
from devices.interfaces import (
    AccessMode,
    InventoryEntry,
    LoadRequest,
    SlotState,
    VolumeReading,
)
from protocols.header import HeaderType
from protocols.tapelist import Tapelist, TapelistEntry, TapelistError
from taper.core.interfaces import ITapelistStore
from taper.core.permission import VolumeStillActive, refuse_overwrite
from taper.core.retention import Retention
from taper.core.scan import IScan, make_scan
from taper.core.scan.judging import Fate, Judge, SeenVolume
from taper.people import keeping
from taper.people.paper import (
    BLANK,
    ChangerFacts,
    PaperChanger,
    PaperReservation,
    PaperSlot,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from devices.interfaces import IAsyncChanger
    from protocols.conf import Config, Storage
    from taper.people.site import Site


def stamp_of(moment: float) -> str:
    """The datestamp of a run that begins then, seconds since the epoch."""
    return time.strftime("%Y%m%d%H%M%S", time.localtime(moment))


# From the real changer to paper


async def put_on_paper(
    site: Site, storage: Storage, *, load: bool, touch: bool = True
) -> PaperChanger:
    """What is in the changer of a storage.

    The labels of vtapes are read, and that of the volume in a drive that stands alone, as nothing
    need be moved for it; of a library the inventory is believed.

    :param load: volumes of unknown content are loaded to be looked at
    :param touch: if not, the inventory of any changer is believed, and no slot is entered: a taper
        that looks for a volume at the same moment would find it in use
    :raise SourceFault: there is no such changer
    :raise ChangerError: it cannot be used
    """
    changer = site.shelves.open_changer(storage.name)
    try:
        info = await changer.info()
        entries = await entries_of(changer, info.slots)
        still = touch and (changer.global_space or info.num_slots == 1)
        slots = []
        for entry in entries:
            slot = PaperSlot.listed(entry)
            if still or (load and slot.is_unknown):
                slot = await _look(site, changer, slot)
            slots.append(slot)
        facts = ChangerFacts(
            name=changer.name,
            has_inventory=changer.has_inventory,
            scan_require_update=False,
            global_space=changer.global_space,
            fast_search=info.fast_search,
        )
        return PaperChanger(facts, slots)
    finally:
        await site.close_changer(changer)


async def entries_of(changer: IAsyncChanger, slots: Iterable[str]) -> Sequence[InventoryEntry]:
    """The inventory of a changer; of one without, slots of which nothing is known.

    :param slots: that it has
    """
    try:
        return await changer.inventory()
    except ChangerError as fault:
        if fault.reason is not ChangerReason.NOTIMPL:
            raise
        return [InventoryEntry(slot=slot) for slot in slots]


async def _look(site: Site, changer: IAsyncChanger, slot: PaperSlot) -> PaperSlot:
    """Load a volume, read its label and put it back."""
    if slot.trouble is not None:
        return slot
    entry = slot.entry
    try:
        held = await changer.load(LoadRequest(slot=slot.name, mode=AccessMode.READ))
    except ChangerError as fault:
        if fault.fatal:
            raise
        if fault.reason is ChangerReason.INVALID and entry.header_type is HeaderType.EMPTY:
            return PaperSlot(entry, BLANK)  # a slot that is made when it is wanted
        fault.slot = fault.slot or slot.name
        return PaperSlot(entry, None, fault, entry.barcode)
    reading, barcode, meta = held.reading, held.barcode, held.meta
    try:
        await held.release()
    except (ChangerError, DeviceError, OSError) as fault:
        site.screen.warn(f"giving slot {slot.name} back: {fault}", fault)
    return PaperSlot(_as_read(entry, reading), reading, None, barcode, meta)


def _as_read(entry: InventoryEntry, reading: VolumeReading) -> InventoryEntry:
    """The inventory as it is once a volume of unknown content was loaded."""
    if entry.device_status is not None or entry.label is not None:
        return entry  # the scan will be told the same as now
    return evolve(
        entry,
        device_status=reading.status,
        header_type=reading.header_type,
        label=reading.label if reading.status is Status.SUCCESS else None,
    )


# The night


@frozen(kw_only=True)
class Taken:
    """A volume that would be written on.

    :ivar label: that it bears then.
    :ivar is_new: it gets it then.
    :ivar refused: why the label would not be written all the same; None: it would be.
    """

    slot: str
    label: str
    is_new: bool
    refused: str | None = None


@frozen(kw_only=True)
class Fated:
    """What becomes of a slot, if another one is taken.

    :ivar fate: ``usable``, ``refused`` or ``unknown``.
    :ivar reason: in words.
    """

    slot: PaperSlot
    fate: str
    reason: str


@implementer(ITapelistStore)
class PaperList:
    """The tapelist, on paper."""

    def __init__(self, tapelist: Tapelist) -> None:
        self.tapelist = tapelist

    def read(self) -> Deferred[Tapelist]:
        return succeed(self.tapelist)

    def update(self, change: Callable[[Tapelist], Tapelist]) -> Deferred[Tapelist]:
        try:
            self.tapelist = change(self.tapelist)
        except TapelistError as fault:
            return fail(fault)
        return succeed(self.tapelist)


class Night:
    """The scans of one run, and what would be written.

    :param retention: the rules at the moment of the run.
    :ivar stamp: of the run.
    :ivar notes: what the scan would tell the trace log.
    :ivar tapelist: as it is by then.
    """

    def __init__(
        self,
        config: Config,
        storage: Storage,
        paper: PaperChanger,
        tapelist: Tapelist,
        retention: Callable[[Tapelist], Retention],
        stamp: str,
    ) -> None:
        """:raise ScanFailed: there is no such scan"""
        self.stamp = stamp
        self.notes: list[str] = []
        self._config = config
        self._storage = storage
        self._paper = paper
        self._list = PaperList(tapelist)
        self._retention = retention
        self._scan: IScan = make_scan(
            storage.taperscan,
            storage=storage,
            config=config,
            changer=paper,
            tapelists=self._list,
            retention=retention,
            note=self._note,
        )

    def _note(self, text: str) -> None:
        self.notes.append(text)

    @property
    def tapelist(self) -> Tapelist:
        return self._list.tapelist

    async def take(self) -> Taken:
        """The next volume, which is written on.

        :raise ScanFailed: there is none
        """
        found = await self._scan.scan(self.stamp)
        slot = self._paper.slots[found.reservation.slot]
        tapelist = self.tapelist
        refused = None
        try:
            refuse_overwrite(
                tapelist,
                self._retention(tapelist),
                self._storage,
                found.reservation.reading,
                self.stamp,
                barcode=slot.barcode,
                scanned=found.tapelist,
            )
        except VolumeStillActive as fault:
            refused = fault.text
        if refused is None:
            self._write(slot, found.label)
        await found.reservation.release()
        return Taken(slot=slot.name, label=found.label, is_new=found.is_new, refused=refused)

    def _write(self, slot: PaperSlot, label: str) -> None:
        old = slot.reading.label if slot.reading is not None else None
        tapelist = self.tapelist
        if old is not None and old != label:
            tapelist = tapelist.removing(old)
        before = tapelist.lookup(label)
        entry = TapelistEntry(
            datestamp=self.stamp,
            label=label,
            reuse=True,
            barcode=slot.barcode or (before.barcode if before is not None else None),
            meta=slot.meta,
            pool=self._storage.tapepool,
            storage=self._storage.name,
            config=self._config.name,
        )
        self._list.tapelist = tapelist.replacing(entry)
        slot.write(label, self.stamp)

    def fates(self, but: Iterable[str] = ()) -> list[Fated]:
        """What would become of all slots that have a volume.

        :param but: slots that are taken
        """
        tapelist = self.tapelist
        retention = self._retention(tapelist)
        judge = Judge(
            self._config,
            self._storage,
            tapelist,
            retention,
            self.stamp,
            stays=self._paper.global_space,
        )
        left = set(but)
        return [
            self._fate(slot, judge, retention)
            for slot in self._paper.slots.values()
            if slot.name not in left and slot.entry.state is not SlotState.EMPTY
        ]

    def _fate(self, slot: PaperSlot, judge: Judge, retention: Retention) -> Fated:
        if slot.trouble is not None:
            return Fated(slot=slot, fate="refused", reason=slot.trouble.message)
        if slot.reading is None:
            reason = "nobody knows what is in it until it is loaded"
            return Fated(slot=slot, fate="unknown", reason=reason)
        volume = SeenVolume.loaded(PaperReservation(slot, slot.reading, set()))
        verdict = judge.verdict(volume)
        if verdict.fate is not Fate.REFUSE:
            may = "be written over" if verdict.fate is Fate.REUSE else "be labelled"
            return Fated(slot=slot, fate="usable", reason=f"it may {may}, when it is its turn")
        reason = verdict.text
        entry = None if volume.label is None else judge.tapelist.lookup(volume.label)
        if entry is not None:
            why = retention.why_not_reusable(
                entry.label, self._storage, new_label_ok=True, write_timestamp=self.stamp
            )
            if why is not None:
                reason = keeping.with_rules(why, retention.kept_by(entry.label), entry.datestamp)
        return Fated(slot=slot, fate="refused", reason=reason)
