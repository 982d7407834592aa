"""Transfers of the data plane, with the core's asynchronous face."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, execute, fail, succeed
from zope.interface import implementer

from devices.idirecttcp import IDirectTCPDevice, ISocketFedDevice
from taper.core.interfaces import FeedError, ITransfer

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice, IDevice, ILane, PartResult
    from protocols.crc import Crc
    from protocols.header import Header
    from taper.plane.transfer import Transfer


@implementer(ITransfer)
class LaneTransfer:
    """A transfer of the data plane with the core's asynchronous face.

    :param lane: where its closing waits for the reader thread
    """

    def __init__(self, transfer: Transfer, lane: ILane) -> None:
        self._transfer = transfer
        self._lane = lane
        self._begun = False

    @property
    def bytes_written(self) -> int:
        return self._transfer.bytes_written

    def start(self) -> None:
        self._lane.begin()  # else all might be stored, and then no thread be there to end with
        self._transfer.start()
        self._begun = True

    def write_part(self, device: IAsyncDevice, header: Header) -> Deferred[PartResult]:
        return device.run(self._transfer.write_part, header)

    def resume_part(self, device: IAsyncDevice, more: bool) -> Deferred[PartResult]:
        return device.run(self._resume, more)

    def _resume(self, device: IDevice, more: bool) -> PartResult:
        return self._transfer.resume_part(device, more)

    def can_retry(self) -> bool:
        return self._transfer.can_retry()

    def take_errors(self) -> list[str]:
        return self._transfer.take_errors()

    def cancel(self, reason: str) -> None:
        self._transfer.cancel(reason)

    def close(self) -> Deferred[None]:
        if not self._begun:  # there is no reader to wait for
            return execute(self._transfer.close)
        return self._lane.call_surely(self._transfer.close)

    def source_crc(self) -> Crc:
        return self._transfer.source_crc()

    def dest_crc(self) -> Crc:
        return self._transfer.dest_crc()


def must_be_fed(device: IAsyncDevice) -> Deferred[None]:
    """A dump that passes through this process cannot go on on a device with a mover."""
    if IDirectTCPDevice.providedBy(device) and not ISocketFedDevice.providedBy(device):
        text = f"'{device.device.name}' takes data from a connection only, this dump has none"
        return fail(FeedError(text, device=True))
    return succeed(None)
