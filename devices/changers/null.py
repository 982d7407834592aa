"""chg-null: always the null device (scan-and-changers 3.4)."""

from __future__ import annotations

from zope.interface import implementer

from devices.changers.base import Changer, Reservation, check_request
from devices.errors import ChangerError, ChangerReason, DeviceError
from devices.interfaces import ChangerInfo, IChanger, IReservation, LoadRequest


@implementer(IChanger)
class NullChanger(Changer):
    """Any load gives ``null:``; a scan that has seen it is told that there is nothing more."""

    has_inventory = False

    def load(self, request: LoadRequest) -> IReservation:
        check_request(request)
        if request.except_slots:
            raise ChangerError("all slots have been loaded", ChangerReason.NOTFOUND)
        try:
            device = self.setup.open_device("null:")
        except DeviceError as error:
            text = f"opening 'null:': {error.text}"
            raise ChangerError(text, ChangerReason.DEVICE) from error
        return Reservation(self, "null", device, device.read_label(), lambda eject, another: None)

    def info(self) -> ChangerInfo:
        return ChangerInfo(num_slots=1, slots=("1",), fast_search=True)

    def reset(self) -> None:
        """There is but one slot."""
