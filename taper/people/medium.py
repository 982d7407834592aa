"""Volumes and devices that are opened for reading, and given back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import blockingCallFromThread

from devices.errors import ChangerError, DeviceError, Status
from devices.idirecttcp import IMoverDevice
from devices.interfaces import AccessMode, IPumpedDevice, LoadRequest, Relative
from devices.lane import Lane
from devices.shield import undisturbed
from protocols.errorcode import known_code
from taper.core.errors import SourceFault
from taper.flow.mover_reader import MoverReader
from taper.people.exits import NotAtHand
from taper.people.inspecting import Stopped
from taper.recovery.volumes import DRIVE_IN_USE, AskingClerk

if TYPE_CHECKING:
    from devices.interfaces import (
        IAsyncChanger,
        IAsyncDevice,
        IAsyncReservation,
        ILane,
        VolumeReading,
    )
    from protocols.header import Header
    from taper.people.site import Site
    from taper.plane.volumes import IReader

T = TypeVar("T")


@frozen(kw_only=True)
class Medium:
    """A volume in a device.

    :ivar device: started for reading, unless there is no label.
    :ivar reading: what the label says.
    :ivar place: where it is, for people.
    """

    device: IAsyncDevice
    reading: VolumeReading
    place: str

    @property
    def label(self) -> str | None:
        return self.reading.label if self.reading.status is Status.SUCCESS else None


class Volumes:
    """Opens volumes by their labels, one at a time, wherever they are."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._clerks: dict[str, AskingClerk] = {}

    @property
    def slot(self) -> str | None:
        """Of the volume that is open."""
        slots = [clerk.slot for clerk in self._clerks.values() if clerk.label is not None]
        return next(iter(slots), None)

    async def fetch(self, label: str, storages: list[str]) -> IAsyncDevice:
        """A device that reads the volume, started.

        :param storages: where it is looked for, in this order
        :raise NotAtHand: it is in none of them, or cannot be had; with the last reason
        """
        last: SourceFault | None = None
        no_drive = False
        for storage in storages:
            clerk = self._clerks.get(storage)
            if clerk is None:
                clerk = AskingClerk(self._site.shelves, storage, None)
                self._clerks[storage] = clerk
                self._site.leaving.append(clerk.interrupt)
            try:
                return await clerk.fetch(label, "taperctl")
            except SourceFault as fault:
                last = fault
                no_drive = no_drive or known_code(fault) == DRIVE_IN_USE
        text = f"volume '{label}' is not at hand: {last or 'there is no storage'}"
        raise NotAtHand(text, no_drive=no_drive)

    async def give_back(self) -> None:
        """Give back the volume that was fetched last."""
        for clerk in self._clerks.values():
            await clerk.close_volume(tell=False)
            clerk.end(well=True)

    async def close(self) -> None:
        """Give everything back."""
        for clerk in self._clerks.values():
            await clerk.quit()


async def wrong_label(site: Site, label: str, storages: list[str]) -> str | None:
    """What is wrong with the label of a volume that a changer has in a slot by that name; None: no
    changer has it, or it cannot be loaded, or nothing is."""
    for storage in storages:
        try:
            changer = site.shelves.open_changer(storage)
        except SourceFault:
            continue  # it was told already that the volume is not to be had there
        try:
            for entry in await changer.inventory():
                if entry.label == label and not entry.reserved:
                    return await _read_label(site, changer, entry.slot, label)
        except (ChangerError, DeviceError, OSError):
            continue  # likewise
        finally:
            await site.close_changer(changer)
    return None


async def _read_label(site: Site, changer: IAsyncChanger, slot: str, label: str) -> str | None:
    held = await changer.load(LoadRequest(slot=slot, mode=AccessMode.READ))
    reading = held.reading
    await release(site, held)
    if reading.status is not Status.SUCCESS:
        return f"its label cannot be read (slot {slot}): {reading.error}"
    if reading.label != label:
        return f"its label says '{reading.label}' (slot {slot})"
    return None


@asynccontextmanager
async def opened(site: Site, name: str) -> AsyncIterator[Medium]:
    """What is in a device, or in the current slot of a changer.

    :raise SourceFault: there is no such device
    :raise ChangerError: it cannot be used
    """
    changer = site.shelves.open_changer(name)
    try:
        held = await changer.load(LoadRequest(relative=Relative.CURRENT, mode=AccessMode.READ))
        try:
            if held.reading.status is Status.SUCCESS:
                await held.device.start(AccessMode.READ)
            yield Medium(
                device=held.device, reading=held.reading, place=f"slot {held.slot} of {name}"
            )
        finally:
            await release(site, held)
    finally:
        await site.close_changer(changer)


async def release(site: Site, held: IAsyncReservation) -> None:
    """Give a slot back; it was only read, so nothing depends on how that ends."""
    try:
        await held.release()
    except (ChangerError, DeviceError, OSError) as fault:
        site.screen.warn(f"giving slot {held.slot} back: {fault}", fault)


async def read(site: Site, device: IAsyncDevice, work: Callable[[IReader], T]) -> T:
    """Run a function that reads a volume and blocks, in a thread.

    :param device: started for reading
    :param work: is given what it reads from; it asks itself whether anybody still wants to know
    :raise CancelledError: nobody does
    """
    try:
        if not IMoverDevice.providedBy(device):
            return await undisturbed(IPumpedDevice(device).run(work))
        return await _by_mover(site, device, work)
    except Stopped as fault:
        raise CancelledError from fault


class _ByMover:
    """Reads a volume whose mover sends to us.

    No mover goes on sending behind a part that ended within a record, nor one that could not be
    read; so the next one comes by another connection.
    """

    def __init__(self, site: Site, device: IAsyncDevice, connecting: ILane) -> None:
        self._reactor = site.reactor
        self._device = device
        self._connecting = connecting
        self._reader = self._make()
        self._sent = 0
        self._stopped = False
        self._failed = False

    def _make(self) -> MoverReader:
        return MoverReader(self._reactor, self._device, self._connecting)

    @property
    def name(self) -> str:
        return self._reader.name

    @property
    def block_size(self) -> int:
        return self._reader.block_size

    @property
    def file(self) -> int:
        return self._reader.file

    def seek_file(self, number: int) -> Header | None:
        if self._failed or self._sent % self.block_size:
            renewing: Any = self._renew
            blockingCallFromThread(self._reactor, Deferred.fromCoroutine, renewing())
        return self._reader.seek_file(number)

    async def _renew(self) -> None:
        await self._reader.close()
        self._reader, self._sent, self._failed = self._make(), 0, False
        if self._stopped:
            self._reader.cancel()

    def read_blocks(self, buffer: memoryview) -> int:
        try:
            size = self._reader.read_blocks(buffer)
        except DeviceError:
            self._failed = True
            raise
        self._sent += size
        return size

    def cancel(self) -> None:
        """On the reactor's side."""
        self._stopped = True
        self._reader.cancel()

    async def close(self) -> None:
        await self._reader.close()


async def _by_mover(site: Site, device: IAsyncDevice, work: Callable[[IReader], T]) -> T:
    """The data come by connections of our own."""
    connecting, reading = Lane(site.reactor, "connecting"), Lane(site.reactor, "reading")
    reader = _ByMover(site, device, connecting)
    site.leaving.append(reader.cancel)
    try:
        return await undisturbed(reading.call(work, reader))
    finally:
        site.leaving.remove(reader.cancel)
        await reader.close()
        await reading.stop()
        await connecting.stop()
