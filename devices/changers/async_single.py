"""chg-single for a device that is asynchronous by nature (scan-and-changers 3.3)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from zope.interface import implementer

from devices.asynchronous import Surroundings, eject_device, end_device
from devices.changers.async_base import AsyncChanger, AsyncReservation, OpenDevice
from devices.changers.base import check_request
from devices.errors import ChangerError, ChangerReason, DeviceError
from devices.interfaces import (
    ChangerInfo,
    IAsyncChanger,
    IAsyncDevice,
    InventoryEntry,
    LoadRequest,
    SlotState,
    VolumeReading,
)

if TYPE_CHECKING:
    from devices.changers.base import ChangerSetup

SLOT = "1"

_log = logging.getLogger(__name__)

# Drives in use by any changer object of this process (quirk 31); other processes collide in the
# device, as with stock.
_drives_in_use: set[str] = set()


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
        self._device_name = setup.argument
        section = setup.config.device(self._device_name)
        self._drive = self._device_name if section is None else section.tapedev or ""
        self._reading: VolumeReading | None = None
        try:
            end_device(open_device(self._device_name))
        except DeviceError as error:
            text = f"chg-single: error opening device '{self._device_name}': {error.text}"
            raise ChangerError(text) from error

    async def _load(self, request: LoadRequest) -> AsyncReservation:
        check_request(request)
        if self._drive in _drives_in_use:
            raise self._in_use(request)
        if request.except_slots:
            raise ChangerError("all slots have been loaded", ChangerReason.NOTFOUND)
        _drives_in_use.add(self._drive)
        self._reading = None
        try:
            device = self._open()
            try:
                self._reading = await device.read_label()
            except BaseException:
                await self._put_away(device)
                raise
        except BaseException:
            _drives_in_use.discard(self._drive)
            raise

        async def give_back(eject: bool, need_another: bool) -> None:
            await self._give_back(device, eject or need_another)

        return AsyncReservation(self, SLOT, device, self._reading, give_back)

    def _in_use(self, request: LoadRequest) -> ChangerError:
        held = None if self._reading is None else self._reading.label
        same = request.label is not None and request.label == held
        reason = ChangerReason.VOLINUSE if same else ChangerReason.DRIVEINUSE
        return ChangerError(f"'{self._device_name}' is already reserved", reason)

    def _open(self) -> IAsyncDevice:
        """A failure is fatal: another volume in this drive would meet it again."""
        try:
            return self._open_configured(self._device_name)
        except DeviceError as error:
            text = f"error opening device '{self._device_name}': {error.text}"
            raise ChangerError(text) from error
        except ChangerError as error:
            raise ChangerError(error.message) from error

    async def _give_back(self, device: IAsyncDevice, eject: bool) -> None:
        try:
            if eject:
                await eject_device(device)
        except DeviceError as error:
            _log.warning("cannot eject '%s': %s", self._device_name, error.text)
        finally:
            _drives_in_use.discard(self._drive)

    async def _info(self) -> ChangerInfo:
        return ChangerInfo(num_slots=1, slots=(SLOT,), fast_search=False)

    async def _inventory(self) -> list[InventoryEntry]:
        reading = self._reading
        if reading is None:
            return [InventoryEntry(slot=SLOT)]
        return [
            InventoryEntry(
                slot=SLOT,
                state=SlotState.FULL,
                device_status=reading.status,
                device_error=reading.error,
                header_type=reading.header_type,
                label=reading.label,
            )
        ]

    async def _update(self, changed: str | None) -> None:
        """Forget what was last seen in the drive."""
        self._reading = None
