"""Erasing volumes that nobody needs any more: the storage options erase-volume and erase-on-full.

A volume is erased by the rules by which it could be overwritten, asked under the tapelist's lock,
and keeps its label: it is then as if newly labelled [config 2.6, 4.4].
"""

from __future__ import annotations

from collections.abc import Callable, Container, Coroutine
from typing import TYPE_CHECKING, Any

from attrs import evolve
from twisted.internet.defer import Deferred, DeferredLock
from zope.interface import implementer

from devices.errors import ChangerError, DeviceError, Status
from devices.interfaces import AccessMode, LoadRequest
from devices.shield import undisturbed
from protocols.labels import LabelError
from protocols.tapelist import TapelistError
from protocols.tracelog import Info
from taper.core.labelling import UNWRITTEN
from taper.core.permission import VolumeStillActive, refuse_overwrite
from taper.core.scan.interfaces import IScan, ScanResult
from taper.core.scan.texts import one_line

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice, IAsyncReservation, IDeviceFacts, InventoryEntry
    from protocols.tapelist import Tapelist, TapelistEntry
    from taper.core.workplace import Workplace
    from taper.core.world import World

_FAULTS = (ChangerError, DeviceError, LabelError, TapelistError, VolumeStillActive, OSError)


def as_unused(entry: TapelistEntry) -> TapelistEntry:
    """The entry of a volume that is as if newly labelled."""
    return evolve(entry, datestamp="0", reuse=True, storage=None, config=None)


async def blank(
    world: Workplace,
    device: IAsyncDevice,
    label: str,
    check: Callable[[Tapelist], None],
    rest: Callable[[TapelistEntry], TapelistEntry] | None = as_unused,
) -> None:
    """Empty a volume, in the tapelist first: what is listed as empty may still hold something,
    but what is listed as a dump must never be gone. A device that refuses and has touched nothing
    still knows the label: the volume is listed as before then. Cancelling ends the wait for the
    tapelist's lock; a volume that has lost its label gets it again all the same.

    :param check: called with the list under its lock; what it raises stops everything.
    :param rest: what becomes of the entry; None: the volume loses its label, too, and its entry.
    """

    before: TapelistEntry | None = None

    def unused(tapelist: Tapelist) -> Tapelist:
        nonlocal before
        check(tapelist)
        before = entry = tapelist.lookup(label)
        if entry is None:
            return tapelist
        return tapelist.removing(label) if rest is None else tapelist.replacing(rest(entry))

    def as_before(tapelist: Tapelist) -> Tapelist:
        found = tapelist.lookup(label)
        expected = None if before is None or rest is None else rest(before)
        if before is None or found != expected:
            return tapelist  # somebody else has had it meanwhile
        return tapelist.replacing(before)

    async def empty() -> None:
        try:
            await device.erase()
        except DeviceError:
            if device.facts.label == label:
                await world.tapelists.update(as_before)
            raise
        if rest is not None:
            await device.start(AccessMode.WRITE, label, UNWRITTEN)
        await device.finish()

    await world.tapelists.update(unused)
    await undisturbed(Deferred.fromCoroutine(empty()))


def frees_space(world: World) -> bool:
    """Volumes are erased while a dump waits for space (erase-on-full)."""
    return world.storage.erase_on_full and world.changer.global_space


def await_space(device: IDeviceFacts) -> None:
    """Let a device write until its file system is full, if nobody has said otherwise.

    To be warned before would end the part, and there is no need to.
    """
    watching = "monitor_free_space"
    if device.properties.is_default(watching):
        device.properties.note(watching, False)


async def make_room(world: World, slot: str, label: str, timestamp: str) -> bool:
    """Erase the oldest reusable volume that shares its space with the volume in ``slot``.

    :param label: of the volume in ``slot``; it tells whether that is one of our changer's, and not
        of one that an operator named.
    :param timestamp: this run's; volumes that bear it are never erased.
    :return: a volume was erased. Never raises for what is wrong with volumes.
    """
    if not frees_space(world):
        return False
    try:
        entries = await world.changer.inventory()
        here = [entry.slot for entry in entries if entry.reserved and entry.label == label]
        if slot not in here:
            return False
        return await _erase(world, entries, timestamp, most=1) > 0
    except _FAULTS as fault:
        await world.note(Info(f"cannot make room for volume {label}: {one_line(fault)}"))
        return False


async def erase_reusable(world: World, timestamp: str) -> None:
    """Erase every volume of the storage that could be overwritten (erase-volume).

    Unlike stock's helper, volumes of other storages are let be.
    """
    try:
        entries = await world.changer.inventory()
        await _erase(world, entries, timestamp, most=len(entries))
    except _FAULTS as fault:
        await world.note(Info(f"cannot erase volumes: {one_line(fault)}"))


async def _erase(world: World, entries: list[InventoryEntry], timestamp: str, most: int) -> int:
    """Erase the oldest reusable ones of these volumes. :return: how many were erased"""
    tapelist = await world.tapelists.read()
    await world.history.refresh()
    retention = world.history.retention(tapelist)
    slots = {
        entry.label: entry.slot
        for entry in entries
        if entry.label is not None and not entry.reserved and not entry.device_status
    }
    erased = 0
    for known in reversed(tapelist.entries):
        slot = slots.get(known.label)
        if slot is None or erased == most:
            continue
        reusable = retention.is_reusable(
            known.label, world.storage, new_label_ok=False, write_timestamp=timestamp
        )
        if reusable and await _erase_one(world, slot, known.label, tapelist, timestamp):
            erased += 1
    return erased


async def _erase_one(
    world: World, slot: str, label: str, scanned: Tapelist, timestamp: str
) -> bool:
    try:
        held = await world.changer.load(LoadRequest(slot=slot))
    except ChangerError as fault:
        await world.note(Info(f"cannot erase volume {label}: {one_line(fault)}"))
        return False
    try:
        await erase_held(world, held, label, scanned, timestamp)
    except _FAULTS as fault:
        await world.note(Info(f"cannot erase volume {label}: {one_line(fault)}"))
        return False
    finally:
        try:
            await held.release()
        except (ChangerError, DeviceError, OSError) as fault:
            await world.note(Info(f"while releasing a volume: {one_line(fault)}"))
    await world.note(Info(f"Erased volume {label} in slot {slot}, which is reusable"))
    return True


async def erase_held(
    world: Workplace,
    held: IAsyncReservation,
    label: str,
    scanned: Tapelist,
    timestamp: str,
    *,
    given_up: Container[str] = (),
    rest: Callable[[TapelistEntry], TapelistEntry] | None = as_unused,
) -> None:
    """Erase the volume of a slot that is held, if it is the one of this label, and may be erased.

    :param scanned: the tapelist by which it was chosen
    :param timestamp: of the run, or of this moment
    :param given_up: as of :func:`taper.core.permission.refuse_overwrite`
    :param rest: as of :func:`blank`
    :raise DeviceError: it is another one, or the device cannot erase
    :raise VolumeStillActive: it must not be erased
    """
    reading, device = held.reading, held.device.facts
    if reading.status != Status.SUCCESS or reading.label != label:
        raise DeviceError(f"slot {held.slot} holds {reading.label or reading.error}", code=2008)
    if not device.properties.flag("full_deletion"):
        raise DeviceError(f"{device.name} cannot erase", code=2017)

    def check(tapelist: Tapelist) -> None:
        refuse_overwrite(
            tapelist,
            world.history.retention(tapelist),
            world.storage,
            reading,
            timestamp,
            barcode=held.barcode,
            scanned=scanned,
            written=world.written,
            given_up=given_up,
        )

    await blank(world, held.device, label, check, rest)
    await held.set_label(None if rest is None else label)


@implementer(IScan)
class EraseFirst:
    """A scan before whose first search something is erased.

    :param erase: does it, given the run's timestamp.
    """

    def __init__(
        self, scan: IScan, erase: Callable[[str], Coroutine[Deferred[Any], Any, None]]
    ) -> None:
        self._scan = scan
        self._erase = erase
        self._turn = DeferredLock()
        self._erased = False

    def scan(self, write_timestamp: str) -> Deferred[ScanResult]:
        return Deferred.fromCoroutine(self._erase_and_scan(write_timestamp))

    async def _erase_and_scan(self, write_timestamp: str) -> ScanResult:
        await self._turn.acquire()
        try:
            if not self._erased:
                await self._erase(write_timestamp)
                self._erased = True
        finally:
            self._turn.release()
        return await self._scan.scan(write_timestamp)

    def untouched(self, result: ScanResult) -> None:
        self._scan.untouched(result)
