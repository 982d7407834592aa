"""The one slot of chg-single, whichever face its device has (scan-and-changers 3.3)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from devices.changers.base import check_request
from devices.errors import ChangerError, ChangerReason, DeviceError
from devices.interfaces import ChangerInfo, InventoryEntry, LoadRequest, SlotState, VolumeReading

if TYPE_CHECKING:
    from devices.changers.base import ChangerSetup

SLOT = "1"

# Drives in use by any changer object of this process: a second one must not disturb the first
# (quirk 31). Other processes collide in the device, as with stock.
_drives_in_use: set[str] = set()
_mutex = threading.Lock()


class OneDrive:
    """A drive, who has it, and what was last seen in it.

    :ivar device_name: as configured, an alias or a device.
    :ivar reading: of the volume in the drive; None: not known.
    """

    def __init__(self, setup: ChangerSetup) -> None:
        self.device_name = setup.argument
        self.reading: VolumeReading | None = None
        section = setup.config.device(self.device_name)
        self._drive = self.device_name if section is None else section.tapedev or ""

    def take(self, request: LoadRequest) -> None:
        """Reserve the drive for a load.

        :raise ChangerError: it is reserved already, or the request wants another slot
        """
        check_request(request)
        with _mutex:
            if self._drive in _drives_in_use:
                raise self._in_use(request)
            if request.except_slots:
                raise ChangerError("all slots have been loaded", ChangerReason.NOTFOUND)
            _drives_in_use.add(self._drive)
        self.reading = None

    def _in_use(self, request: LoadRequest) -> ChangerError:
        held = None if self.reading is None else self.reading.label
        same = request.label is not None and request.label == held
        reason = ChangerReason.VOLINUSE if same else ChangerReason.DRIVEINUSE
        return ChangerError(f"'{self.device_name}' is already reserved", reason)

    def let_go(self) -> None:
        """The drive is free."""
        with _mutex:
            _drives_in_use.discard(self._drive)

    @contextmanager
    def opening(self, prefix: str = "") -> Iterator[None]:
        """What fails in here is fatal: another volume in this drive would meet it again.

        :raise ChangerError: with the text for it
        """
        try:
            yield
        except DeviceError as error:
            text = f"{prefix}error opening device '{self.device_name}': {error.text}"
            raise ChangerError(text) from error
        except ChangerError as error:
            raise ChangerError(error.message) from error

    def info(self) -> ChangerInfo:
        """One slot, and nothing that finds a label in it."""
        return ChangerInfo(num_slots=1, slots=(SLOT,), fast_search=False)

    def inventory(self) -> list[InventoryEntry]:
        """What was last seen; the drive is not asked."""
        reading = self.reading
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
