"""chg-single for a device that is asynchronous by nature (scan-and-changers 3.3)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from zope.interface import implementer

from devices.asynchronous import Surroundings
from devices.changers.async_base import AsyncChanger, AsyncReservation, OpenDevice
from devices.changers.one_drive import SLOT, OneDrive
from devices.errors import DeviceError
from devices.interfaces import ChangerInfo, IAsyncChanger, IAsyncDevice, InventoryEntry, LoadRequest

if TYPE_CHECKING:
    from devices.changers.base import ChangerSetup

_log = logging.getLogger(__name__)


@implementer(IAsyncChanger)
class AsyncSingleChanger(AsyncChanger):
    """One slot, ``1``, holding whatever is in the drive.

    :raise ChangerError: fatal: no such device
    """

    scan_require_update = True

    def __init__(
        self, setup: ChangerSetup, surroundings: Surroundings, open_device: OpenDevice
    ) -> None:
        super().__init__(setup, surroundings, open_device)
        self._drive = OneDrive(setup)
        with self._drive.opening("chg-single: "):
            open_device(self._drive.device_name).close()

    async def _load(self, request: LoadRequest) -> AsyncReservation:
        drive = self._drive
        drive.take(request)
        try:
            with drive.opening():
                device = self._open_configured(drive.device_name)
            try:
                drive.reading = await device.read_label()
            except BaseException:
                await self._put_away(device)
                raise
        except BaseException:
            drive.let_go()
            raise

        async def give_back(eject: bool, need_another: bool) -> None:
            # whoever needs another volume has this one ejected
            await self._give_back(device, eject or need_another)

        return AsyncReservation(self, SLOT, device, drive.reading, give_back)

    async def _give_back(self, device: IAsyncDevice, eject: bool) -> None:
        try:
            if eject:
                await device.eject()
        except DeviceError as error:
            _log.warning("cannot eject '%s': %s", self._drive.device_name, error.text)
        finally:
            self._drive.let_go()

    async def _info(self) -> ChangerInfo:
        return self._drive.info()

    async def _inventory(self) -> list[InventoryEntry]:
        return self._drive.inventory()

    async def _update(self, changed: str | None) -> None:
        """Forget what was last seen in the drive."""
        self._drive.reading = None
