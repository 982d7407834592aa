"""What is on the volumes, and the way back: parts joined in the order of their headers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import define, field, frozen

from devices.errors import DeviceError
from devices.file import FileDevice
from devices.interfaces import AccessMode
from protocols.crc import Crc
from protocols.header import Header, HeaderType
from taper.demo.stage import Stage
from taper.demo.tar import Tar
from taper.plane.crc import RunningCrc

_BUFFER = 1 << 20


@define
class StoredPart:
    """A part on a volume.

    :ivar size: bytes of data; None until they were read
    """

    label: str
    slot: str
    fileno: int
    header: Header
    size: int | None = None


@frozen
class Volume:
    """A volume that bears a label."""

    label: str
    parts: list[StoredPart] = field(factory=list)


@frozen
class Shelf:
    """All volumes, in the order of their slots.

    :ivar troubles: what could not be read
    """

    volumes: list[Volume] = field(factory=list)
    troubles: list[str] = field(factory=list)

    def parts_of(self, dump: Header) -> list[StoredPart]:
        """The parts of a dump in order; of two with the same number the later one, which is the
        second try."""
        parts = {
            part.header.partnum: part
            for volume in self.volumes
            for part in volume.parts
            if (part.header.host, part.header.disk) == (dump.host, dump.disk)
            and (part.header.datestamp, part.header.level) == (dump.datestamp, dump.level)
        }
        return [parts[number] for number in sorted(parts)]


def read_shelf(stage: Stage) -> Shelf:
    """Read all labels and headers."""
    shelf = Shelf()
    for slot in stage.slots():
        device = FileDevice(f"file:{slot}", slot)
        reading = device.read_label()
        if reading.label is None:
            if reading.header_type is not HeaderType.EMPTY:
                shelf.troubles.append(f"{slot}: {reading.error}")
            continue
        volume = Volume(reading.label)
        shelf.volumes.append(volume)
        device.start(AccessMode.READ)
        _read_headers(device, slot, volume, shelf.troubles)
        device.finish()
    return shelf


def _read_headers(device: FileDevice, slot: str, volume: Volume, troubles: list[str]) -> None:
    number = 1
    while True:
        try:
            header = device.seek_file(number)
        except DeviceError as fault:
            troubles.append(f"{volume.label}, file {number}: {fault.text}")
            number += 1
            continue
        if header is None or header.type is HeaderType.TAPEEND:
            return
        volume.parts.append(StoredPart(volume.label, slot, device.file, header))
        number = device.file + 1


def restore(parts: list[StoredPart], tar: Tar, tell: Callable[[int], None]) -> Crc:
    """Give a dump to tar, part by part.

    :param tell: hears how many bytes are done
    :return: checksum of all data
    :raise DeviceError: a part cannot be read
    """

    def blocks() -> Iterator[memoryview]:
        for block in _blocks(parts):
            yield block
            tell(tar.crc.size)

    return tar.restore_from(blocks())


def checksum(parts: list[StoredPart]) -> Crc:
    """The checksum of a dump as it is on the volumes.

    :raise DeviceError: a part cannot be read
    """
    crc = RunningCrc()
    for block in _blocks(parts):
        crc.update(block)
    return crc.value()


def _blocks(parts: list[StoredPart]) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(_BUFFER))
    for part in parts:
        device = FileDevice(f"file:{part.slot}", part.slot)
        device.read_label()
        device.start(AccessMode.READ)
        try:
            device.seek_file(part.fileno)
            part.size = 0
            while got := device.read_blocks(buffer):
                part.size += got
                yield buffer[:got]
        finally:
            device.finish()
