"""The last record of a dump that went from mover to mover: no count proves it.

A mover whose connection ends fills up the record that it has begun, and counts that like data. So
what it has counted in the end proves every record but the last one: that is read once more, on the
volume that was written and on those that it came from, and compared.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from attrs import field, frozen

from devices.errors import DeviceError
from devices.idirecttcp import IMoverDevice
from taper.plane.volumes import reading_failed

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice
    from protocols.stored import StoredPart


def last_record(size: int, block: int) -> int:
    """Where the last of the records begins that so many bytes take."""
    return max(size - 1, 0) // block * block


@frozen
class Tail:
    """What the last record of a dump must hold.

    :ivar source: name of the device that has read it.
    :ivar begin: its first byte, counted from the dump's begin.
    :ivar data: from there to the end of what was sent.
    """

    source: str
    begin: int
    data: bytes = field(repr=False)

    def difference(self, found: bytes, device: str, block: int) -> str | None:
        """What is wrong with the last record that a device has written.

        :param block: bytes of its records
        """
        expected = self.data.ljust(block, b"\0")
        if found == expected:
            return None
        if len(found) != len(expected):
            what = f"it has {len(found)} bytes there, {len(expected)} were expected"
        else:
            sizes = range(1, block + 1)
            alike = bisect_left(sizes, True, key=lambda size: found[:size] != expected[:size])
            zeros = not found[alike:].strip(b"\0")
            what = f"{'nothing but zeros' if zeros else 'another byte'} from byte {alike} of it on"
        return (
            f"the last record, which begins at byte {self.begin} of the dump, is not the same on "
            f"'{device}' as on '{self.source}': {what}"
        )


@frozen
class _File:
    """A part that was read from some byte to its end.

    :ivar size: bytes, those before included.
    :ivar moved: bytes that were read.
    """

    part: StoredPart
    size: int
    moved: int


class Trail:
    """Where the last bytes are that a mover has sent.

    :param position: bytes of the dump that others have sent
    :param block: bytes of the records of the mover at the other end
    :ivar blind: they cannot be read once more; what this host reads needs no such proof.
    """

    def __init__(self, position: int, block: int) -> None:
        self.blind = False
        self._begin = self._end = position
        self._block = block
        self._files: list[_File] = []
        self._kept = b""

    def passed(self, part: StoredPart, skipped: int, moved: int) -> None:
        """A part on the volume that is in the drive was read to its end, from some byte on."""
        self._files.append(_File(part, skipped + moved, moved))
        self._end += moved

    async def leave(self, device: IAsyncDevice) -> None:
        """The volume goes: keep what the other end cannot have in a whole record yet, if it can be
        read once more.

        :raise SourceError: the device is lost
        """
        tail = await self._read(device) if self._end % self._block else None
        self._kept = b"" if tail is None else tail.data
        self._files.clear()

    async def tail(self, device: IAsyncDevice) -> Tail | None:
        """Read once more what the last record of the other end must hold.

        :param device: has read to the end of a part
        :return: None: it cannot be had, though the device is well
        :raise SourceError: the device is lost
        """
        found = await self._read(device)
        self.blind = found is None
        return found

    async def _read(self, device: IAsyncDevice) -> Tail | None:
        begin = max(last_record(self._end, self._block), self._begin)
        missing, data = self._end - begin, b""
        for file in reversed(self._files):
            wanted = min(missing, file.moved)
            if not wanted:
                continue
            try:
                found = await _read_end(device, file, wanted)
            except DeviceError as error:
                raise reading_failed(file.part, device.facts.name, error) from error
            if not found:
                return None
            missing, data = missing - wanted, found + data
        if missing > len(self._kept):
            return None
        kept = self._kept[-missing:] if missing else b""
        return Tail(device.facts.name, begin, kept + data)


async def _read_end(device: IAsyncDevice, file: _File, wanted: int) -> bytes:
    """The last bytes of a file, whose records may be shorter than they should be.

    :return: nothing if they cannot be had
    """
    block = device.facts.block_size
    count = -(-file.size // block) - (file.size - wanted) // block
    data = await IMoverDevice(device).read_end(file.part.fileno, count)
    while data and len(data) < wanted:
        count += -((len(data) - wanted) // block)
        data = await IMoverDevice(device).read_end(file.part.fileno, count)
    return data[-wanted:]
