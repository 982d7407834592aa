"""The device ``null:``: takes everything, keeps nothing [volumes 5.1]."""

from __future__ import annotations

from zope.interface import implementer

from devices.base import HEADER_SIZE, BaseDevice, timestamp_now
from devices.errors import DeviceError, Status, VolumeFailed
from devices.interfaces import (
    AccessMode,
    FileStart,
    IDevice,
    VolumeReading,
    WriteEnd,
    Written,
)
from protocols.header import Header, HeaderError, HeaderType, build_header

CANNOT_READ = "Can't open NULL device for reading or appending."
_UNREADABLE = Status.VOLUME_UNLABELED | Status.VOLUME_ERROR


@implementer(IDevice)
class NullDevice(BaseDevice):
    """Write only, never full. Headers are built all the same, so that bad ones are noticed."""

    def __init__(self, name: str, node: str) -> None:
        super().__init__(name, (1, 2**31 - 1, 32768))
        self._files = 0
        self._fix(canonical_name="null:", medium_access_type=3)

    def read_label(self) -> VolumeReading:
        self._need_mode("read_label", AccessMode.NULL)
        self.label = self.timestamp = None
        self._note(CANNOT_READ, _UNREADABLE)
        return VolumeReading(_UNREADABLE, error=CANNOT_READ)

    def start(
        self, mode: AccessMode, label: str | None = None, timestamp: str | None = None
    ) -> None:
        self._need_mode("start", AccessMode.NULL)
        if mode is AccessMode.NULL:
            raise ValueError(f"start on {self.name} in mode NULL, expected WRITE")
        if mode is not AccessMode.WRITE:
            raise self._fail(CANNOT_READ, _UNREADABLE, VolumeFailed)
        if not label:
            raise ValueError(f"start on {self.name} for writing without a label")
        stamp = timestamp or timestamp_now()
        self._build(Header(type=HeaderType.TAPESTART, datestamp=stamp, label=label))
        self.reset()
        self.label, self.timestamp = label, stamp
        self.access_mode, self._files = mode, 0

    def _build(self, header: Header) -> None:
        try:
            build_header(header, HEADER_SIZE, HEADER_SIZE)
        except HeaderError as error:
            raise self._fail(str(error), Status.DEVICE_ERROR) from error

    def start_file(self, header: Header) -> FileStart:
        self._need_writable("start_file", False)
        self._build(header)
        self.is_eom = False
        self._files += 1
        self._begin_file(self._files)
        return FileStart(self.file, False)

    def write_blocks(self, data: memoryview) -> Written:
        self._check_offer(len(data))
        self._count(len(data))
        return Written(len(data), WriteEnd.NONE)

    def next_run(self, offered: int) -> int:
        return offered

    def finish_file(self) -> None:
        self._need_writable("finish_file", True)
        self.in_file = False

    def _cannot(self) -> DeviceError:
        return self._fail("Unimplemented method", Status.DEVICE_ERROR)

    def seek_file(self, number: int) -> Header | None:
        raise self._cannot()

    def read_blocks(self, buffer: memoryview) -> int:
        raise self._cannot()

    def erase(self) -> None:
        raise self._cannot()

    def finish(self) -> None:
        self.access_mode = AccessMode.NULL
        self.in_file = False
