"""chg-single: one drive as a changer, and any bare device name (scan-and-changers 3.3)."""

from __future__ import annotations

import logging
import threading

from zope.interface import implementer

from devices.changers.base import Changer, ChangerSetup, Reservation, check_request
from devices.errors import ChangerError, ChangerReason, DeviceError
from devices.interfaces import (
    ChangerInfo,
    IChanger,
    IDevice,
    InventoryEntry,
    IReservation,
    LoadRequest,
    SlotState,
    VolumeReading,
)

SLOT = "1"

_log = logging.getLogger(__name__)

# Drives in use by any changer object of this process: a second one must not disturb the first
# (quirk 31). Other processes collide in the device, as with stock.
_drives_in_use: set[str] = set()
_mutex = threading.Lock()


@implementer(IChanger)
class SingleChanger(Changer):
    """One slot, ``1``, holding whatever is in the drive.

    :raise ChangerError: fatal: no such device
    """

    scan_require_update = True

    def __init__(self, setup: ChangerSetup) -> None:
        super().__init__(setup)
        self._device_name = setup.argument
        section = setup.config.device(self._device_name)
        self._drive = self._device_name if section is None else section.tapedev
        self._reading: VolumeReading | None = None
        try:
            setup.open_device(self._device_name)
        except DeviceError as error:
            text = f"chg-single: error opening device '{self._device_name}': {error.text}"
            raise ChangerError(text) from error

    def load(self, request: LoadRequest) -> IReservation:
        check_request(request)
        with _mutex:
            if self._drive in _drives_in_use:
                raise self._in_use(request)
            if request.except_slots:
                raise ChangerError("all slots have been loaded", ChangerReason.NOTFOUND)
            _drives_in_use.add(self._drive)
        self._reading = None
        try:
            device = self._open()
            self._reading = device.read_label()
        except BaseException:
            self._let_go()
            raise
        return _SingleReservation(self, device, self._reading)

    def _in_use(self, request: LoadRequest) -> ChangerError:
        held = None if self._reading is None else self._reading.label
        same = request.label is not None and request.label == held
        reason = ChangerReason.VOLINUSE if same else ChangerReason.DRIVEINUSE
        return ChangerError(f"'{self._device_name}' is already reserved", reason)

    def _open(self) -> IDevice:
        """A failure is fatal: another volume in this drive would meet it again."""
        try:
            return self.open_configured(self._device_name)
        except DeviceError as error:
            text = f"error opening device '{self._device_name}': {error.text}"
            raise ChangerError(text) from error
        except ChangerError as error:
            raise ChangerError(error.message) from error

    def give_back(self, device: IDevice, eject: bool) -> None:
        """The changer's part of a release."""
        try:
            if eject:
                device.eject()
        except DeviceError as error:
            _log.warning("cannot eject '%s': %s", self._device_name, error.text)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        with _mutex:
            _drives_in_use.discard(self._drive)

    def info(self) -> ChangerInfo:
        return ChangerInfo(num_slots=1, slots=(SLOT,), fast_search=False)

    def inventory(self) -> list[InventoryEntry]:
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

    def update(self, changed: str | None = None) -> None:
        """Forget what was last seen in the drive."""
        self._reading = None


class _SingleReservation(Reservation):
    """The drive. Whoever needs another volume has this one ejected."""

    def __init__(self, changer: SingleChanger, device: IDevice, reading: VolumeReading) -> None:
        def give_back(eject: bool, need_another: bool) -> None:
            changer.give_back(device, eject or need_another)

        super().__init__(changer, SLOT, device, reading, give_back)
