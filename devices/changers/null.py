"""chg-null: always the null device [changers 3.4]."""

from __future__ import annotations

from devices.changers.base import check_request
from devices.changers.blocking import BlockingChanger, BlockingReservation
from devices.errors import ChangerError, ChangerReason, DeviceError
from devices.interfaces import ChangerInfo, IReservation, LoadRequest


class NullChanger(BlockingChanger):
    """Any load gives ``null:``; a scan that has seen it is told that there is nothing more."""

    has_inventory = False

    def load(self, request: LoadRequest) -> IReservation:
        check_request(request)
        if request.except_slots:
            raise ChangerError("all slots have been loaded", ChangerReason.NOTFOUND)
        try:
            device = self.setup.open_blocking("null:")
        except DeviceError as error:
            text = f"opening 'null:': {error.text}"
            raise ChangerError(text, ChangerReason.DEVICE) from error
        reading = device.read_label()
        return BlockingReservation(self, "null", device, reading, lambda eject, another: None)

    def info(self) -> ChangerInfo:
        return ChangerInfo(num_slots=1, slots=("1",), fast_search=True)

    def reset(self) -> None:
        """There is but one slot."""
