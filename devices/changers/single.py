"""chg-single: one drive as a changer, and any bare device name [changers 3.3]."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from devices.changers.base import Changer, Reservation, check_request
from devices.changers.setup import ChangerSetup
from devices.errors import ChangerError, ChangerReason, DeviceError
from devices.interfaces import ChangerInfo, InventoryEntry, SlotState, VolumeReading

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice, LoadRequest

SLOT = "1"

# Drives in use by any changer object of this process: a second one must not disturb the first
# [changers quirk 31]. Other processes collide in the device, as with stock.
_drives_in_use: set[str] = set()

_log = logging.getLogger(__name__)


class SingleChanger(Changer):
    """One slot, ``1``, holding whatever is in the drive.

    :raise ChangerError: fatal: no such device
    """

    scan_require_update = True

    def __init__(self, setup: ChangerSetup) -> None:
        super().__init__(setup)
        self._device_name = setup.argument
        self._last_reading: VolumeReading | None = None
        section = setup.config.device(self._device_name)
        self._drive = self._device_name if section is None else section.tapedev or ""
        with self._opening("chg-single: "):
            setup.open_device(self._device_name).close()

    async def _load(self, request: LoadRequest) -> Reservation:
        check_request(request)
        self._take(request)
        try:
            with self._opening():
                device = self._open_configured(self._device_name)
            try:
                reading = self._last_reading = await device.read_label()
            except BaseException:
                await self._put_away(device)
                raise
        except BaseException:
            self._let_go()
            raise

        async def give_back(eject: bool, need_another: bool) -> None:
            # whoever needs another volume has this one ejected
            await self._give_back(device, eject or need_another)

        return Reservation(self, SLOT, device, reading, give_back)

    def _take(self, request: LoadRequest) -> None:
        """Reserve the drive for a load.

        :raise ChangerError: it is reserved already, or the request wants another slot
        """
        if self._drive in _drives_in_use:
            held = None if self._last_reading is None else self._last_reading.label
            same = request.label is not None and request.label == held
            reason = ChangerReason.VOLINUSE if same else ChangerReason.DRIVEINUSE
            raise ChangerError(f"'{self._device_name}' is already reserved", reason)
        if request.except_slots:
            raise ChangerError("all slots have been loaded", ChangerReason.NOTFOUND)
        _drives_in_use.add(self._drive)
        self._last_reading = None

    def _let_go(self) -> None:
        _drives_in_use.discard(self._drive)

    @contextmanager
    def _opening(self, prefix: str = "") -> Iterator[None]:
        """What fails in here is fatal: another volume in this drive would meet it again.

        :raise ChangerError: with the text for it
        """
        try:
            yield
        except DeviceError as error:
            text = f"{prefix}error opening device '{self._device_name}': {error.text}"
            raise ChangerError(self.setup.placed(text)) from error
        except ChangerError as error:
            raise ChangerError(error.message) from error

    async def _give_back(self, device: IAsyncDevice, eject: bool) -> None:
        try:
            if eject:
                await device.eject()
        except DeviceError as error:
            _log.warning("cannot eject '%s': %s", self._device_name, error)
        finally:
            self._let_go()

    async def _info(self) -> ChangerInfo:
        """One slot, and nothing that finds a label in it."""
        return ChangerInfo(num_slots=1, slots=(SLOT,), fast_search=False)

    async def _inventory(self) -> list[InventoryEntry]:
        """What was last seen; the drive is not asked."""
        reading = self._last_reading
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
        self._last_reading = None
