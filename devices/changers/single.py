"""chg-single: one drive as a changer, and any bare device name (scan-and-changers 3.3)."""

from __future__ import annotations

import logging

from zope.interface import implementer

from devices.changers.base import Changer, ChangerSetup, Reservation
from devices.changers.one_drive import SLOT, OneDrive
from devices.errors import DeviceError
from devices.interfaces import (
    ChangerInfo,
    IChanger,
    IDevice,
    InventoryEntry,
    IReservation,
    LoadRequest,
)

_log = logging.getLogger(__name__)


@implementer(IChanger)
class SingleChanger(Changer):
    """One slot, ``1``, holding whatever is in the drive.

    :raise ChangerError: fatal: no such device
    """

    scan_require_update = True

    def __init__(self, setup: ChangerSetup) -> None:
        super().__init__(setup)
        self._drive = OneDrive(setup)
        with self._drive.opening("chg-single: "):
            setup.open_device(self._drive.device_name)

    def load(self, request: LoadRequest) -> IReservation:
        drive = self._drive
        drive.take(request)
        try:
            with drive.opening():
                device = self.open_configured(drive.device_name)
            drive.reading = device.read_label()
        except BaseException:
            drive.let_go()
            raise

        def give_back(eject: bool, need_another: bool) -> None:
            # whoever needs another volume has this one ejected
            self._give_back(device, eject or need_another)

        return Reservation(self, SLOT, device, drive.reading, give_back)

    def _give_back(self, device: IDevice, eject: bool) -> None:
        try:
            if eject:
                device.eject()
        except DeviceError as error:
            _log.warning("cannot eject '%s': %s", self._drive.device_name, error.text)
        finally:
            self._drive.let_go()

    def info(self) -> ChangerInfo:
        return self._drive.info()

    def inventory(self) -> list[InventoryEntry]:
        return self._drive.inventory()

    def update(self, changed: str | None = None) -> None:
        """Forget what was last seen in the drive."""
        self._drive.reading = None
