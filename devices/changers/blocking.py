"""Changers whose work blocks, and how they come by their asynchronous face.

Such a changer is a :class:`BlockingChanger`; :class:`LanedChanger` does its work in a lane.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from twisted.internet.defer import Deferred
from zope.interface import implementer

from devices.changers.base import Changer, Reservation
from devices.errors import ChangerError, ChangerReason
from devices.interfaces import IChanger, IReservation
from devices.lane import LaneDevice

if TYPE_CHECKING:
    from devices.changers.base import Coro, T
    from devices.changers.setup import ChangerSetup
    from devices.interfaces import (
        ChangerInfo,
        IDevice,
        ILane,
        InventoryEntry,
        LoadRequest,
        VolumeReading,
    )


@implementer(IChanger)
class BlockingChanger:
    """Base: provides IChanger by refusing with NOTIMPL what is not overridden."""

    has_inventory = True
    scan_require_update = False
    global_space = False

    def __init__(self, setup: ChangerSetup) -> None:
        self.setup = setup
        self.name = setup.name
        self.held: set[BlockingReservation] = set()

    def _refuse(self, operation: str) -> NoReturn:
        text = f"'chg-{self.setup.kind}' does not support {operation}"
        raise ChangerError(text, ChangerReason.NOTIMPL)

    def load(self, request: LoadRequest) -> IReservation:
        self._refuse("loading volumes")

    def info(self) -> ChangerInfo:
        self._refuse("info")

    def inventory(self) -> list[InventoryEntry]:
        self._refuse("inventory")

    def reset(self) -> None:
        self._refuse("reset")

    def eject(self, drive: str | None = None) -> None:
        self._refuse("eject")

    def update(self, changed: str | None = None) -> None:
        self._refuse("update")

    def move(self, source: str, target: str) -> None:
        self._refuse("move")

    def close(self) -> None:
        for reservation in list(self.held):
            reservation.release()

    def open_configured(self, name: str) -> IDevice:
        """Open a device and set its properties from all their sources.

        :raise DeviceError: it cannot be opened
        :raise ChangerError: a property was refused
        """
        device = self.setup.open_blocking(name)
        self.setup.configure(device)
        return device


@implementer(IReservation)
class BlockingReservation:
    """Device and reading; release in the right order, and once.

    :param changer: knows what it handed out.
    :param give_back: the changer's part of a release, called with (eject, need_another) after
        the device was finished, also when finishing failed.
    """

    barcode: str | None = None
    meta: str | None = None

    def __init__(
        self,
        changer: BlockingChanger,
        slot: str,
        device: IDevice,
        reading: VolumeReading,
        give_back: Callable[[bool, bool], None],
    ) -> None:
        self.slot = slot
        self.device = device
        self.reading = reading
        self._changer = changer
        self._give_back = give_back
        self._released = False
        changer.held.add(self)

    def release(self, eject: bool = False, need_another: bool = False) -> None:
        if self._released:
            return
        self._released = True
        self._changer.held.discard(self)
        try:
            self.device.finish()
        finally:
            self._give_back(eject, need_another)

    def set_label(self, label: str | None) -> None:
        """This changer keeps no labels."""

    def set_device_error(self, reading: VolumeReading) -> None:
        """This changer keeps no readings."""

    def get_meta_label(self) -> str | None:
        return None

    def set_meta_label(self, meta: str | None) -> None:
        """This changer keeps no meta labels."""


class LanedReservation(Reservation):
    """What a blocking changer handed out: its device in a lane of its own, the rest in the
    changer's."""

    def __init__(
        self, changer: LanedChanger, lane: ILane, blocking: IReservation, device_lane: ILane
    ) -> None:
        super().__init__(
            changer,
            blocking.slot,
            LaneDevice(blocking.device, device_lane),
            blocking.reading,
            self._give_back_slot,
            barcode=blocking.barcode,
        )
        self._blocking = blocking
        self._lane = lane
        self._device_lane = device_lane

    @property
    def meta(self) -> str | None:
        return self._blocking.meta

    async def _finish(self) -> None:
        # in the device's lane: rewinding may take long, and the changer serves others; a volume
        # whose label was all that was wanted is not worth a thread
        if self._device_lane.begun:
            await self.device.finish()

    async def _give_back_slot(self, eject: bool, need_another: bool) -> None:
        await self._lane.call_surely(self._blocking.release, eject, need_another)

    def set_label(self, label: str | None) -> Deferred[None]:
        return self._lane.call_surely(self._blocking.set_label, label)

    def set_device_error(self, reading: VolumeReading) -> Deferred[None]:
        return self._lane.call_surely(self._blocking.set_device_error, reading)

    def get_meta_label(self) -> Deferred[str | None]:
        return self._lane.call(self._blocking.get_meta_label)

    def set_meta_label(self, meta: str | None) -> Deferred[None]:
        return self._lane.call_surely(self._blocking.set_meta_label, meta)


class LanedChanger(Changer):
    """A blocking changer in a lane."""

    def __init__(self, setup: ChangerSetup, blocking: IChanger) -> None:
        super().__init__(setup)
        self.has_inventory = blocking.has_inventory
        self.scan_require_update = blocking.scan_require_update
        self.global_space = blocking.global_space
        self._blocking = blocking
        self._make_lane = setup.context.make_lane
        self._lane = self._make_lane(f"changer {setup.name}")

    async def _in_turn(self, operation: Callable[[], Coro[T]]) -> T:
        """The lane keeps the order, also of what the reservations ask of the changer."""
        return await operation()

    async def _load(self, request: LoadRequest) -> Reservation:
        blocking = await self._lane.call_owning(
            lambda reservation: reservation.release(), self._blocking.load, request
        )
        device_lane = self._make_lane(f"device {blocking.slot}")
        return LanedReservation(self, self._lane, blocking, device_lane)

    async def _info(self) -> ChangerInfo:
        return await self._lane.call(self._blocking.info)

    async def _inventory(self) -> list[InventoryEntry]:
        return await self._lane.call(self._blocking.inventory)

    async def _update(self, changed: str | None) -> None:
        await self._lane.call(self._blocking.update, changed)

    async def _reset(self) -> None:
        await self._lane.call(self._blocking.reset)

    async def _eject(self, drive: str | None) -> None:
        await self._lane.call(self._blocking.eject, drive)

    async def _move(self, source: str, target: str) -> None:
        await self._lane.call(self._blocking.move, source, target)

    async def _settle(self) -> None:
        # what was cancelled on its way back is disposed of before anything that follows
        await self._lane.call_surely(lambda: None)

    async def _end(self) -> None:
        try:
            await self._lane.call_surely(self._blocking.close)
        finally:
            await self._lane.stop()
