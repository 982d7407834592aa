"""A dump of which parts cannot be read: all the others, for whoever restores what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from devices.errors import DeviceError
from devices.interfaces import IFindsData
from protocols.stored import full_stamp
from taper.plane.interfaces import SourceError
from taper.plane.volumes import HeaderUnread, VolumeSource, fits, with_place

if TYPE_CHECKING:
    from protocols.stored import StoredDump, StoredPart
    from taper.plane.volumes import IReader, IVolumes

_UNKNOWN = 512
"""Bytes that stand for a loss of unknown size: one block of an archive, so that tar looks for the
next one that makes sense."""
_FILLER = b"lost"
"""Stands in the place of what is lost. It is no header of any archive, and no zeros, which would
end one."""


@frozen
class Loss:
    """What of a part cannot be had.

    :ivar size: bytes; None: not known.
    :ivar text: why, with the place.
    """

    part: StoredPart
    size: int | None
    text: str


class SalvagedSource(VolumeSource):
    """A dump with its losses: parts, and rests of parts, that cannot be read are passed over.

    Where a part's header alone is damaged, its data are taken if the log tells of nothing else that
    could be there: the volume was not labelled again since, and the file is as long as the part, as
    far as that is known before it is read.

    :ivar losses: so far, in order.
    :ivar headless: parts that were taken without a header, in order.
    :ivar filled: what was read last is no data but stands for data that are lost.
    :ivar fill: give bytes in the place of those that are lost; else the dump ends there. To be
        settled before the first read.
    """

    def __init__(
        self,
        dump: StoredDump,
        total: int | None,
        volumes: IVolumes,
        gone: dict[str, str],
        *,
        fill: bool,
    ) -> None:
        """:param gone: labels of volumes that cannot be had, and are not asked for again; why"""
        super().__init__(dump, total, None, volumes)
        self.losses: list[Loss] = []
        self.headless: list[StoredPart] = []
        self.filled = False
        self._gone = gone
        self.fill = fill
        self._to_fill = 0
        self._seen_before = memoryview(b"")
        self._filler = memoryview(b"")

    def peek(self, size: int) -> bytes:
        """The first bytes, as far as they can be read; they are given again. Before all reading."""
        fill, self.fill = self.fill, False
        seen, got = memoryview(bytearray(size)), 0
        while more := self.read_into(seen[got:]):
            got += more
        self.fill = fill
        self._seen_before = seen[:got]
        return bytes(self._seen_before)

    def _read_on(self, buffer: memoryview) -> int:
        if self._seen_before and not self._cancelled:
            got = min(len(self._seen_before), len(buffer))
            buffer[:got] = self._seen_before[:got]
            self._seen_before = self._seen_before[got:]
            return got
        while not self._cancelled:
            if self.losses and not self.fill:
                return 0
            self.filled = bool(self._to_fill)
            if self.filled:
                return self._give_filler(buffer)
            try:
                size = super()._read_on(buffer)
            except SourceError as fault:
                if self._cancelled:
                    raise
                self._lose(str(fault))
            else:
                self.finished = self.finished and not self.losses
                return size
        return 0

    def _change_to(self, part: StoredPart) -> None:
        why = self._gone.get(part.label)
        if why is not None:
            raise SourceError(with_place(part, why), code=7003)
        try:
            super()._change_to(part)
        except SourceError as fault:
            self._label = None
            self._gone[part.label] = str(fault.__cause__ or fault)
            raise

    def _seek(self, part: StoredPart) -> None:
        try:
            super()._seek(part)
        except HeaderUnread:
            if self._cancelled or not _find_data(self._device, self._dump, part):
                raise
            self.headless.append(part)

    def _lose(self, text: str) -> None:
        self.failed = True
        self._in_part = False
        self._rest = memoryview(b"")
        size = None if self._limit is None else self._limit - self._got
        self.losses.append(Loss(self._part, size, text))
        if self._left is not None and self._limit is not None:
            self._left -= self._limit
        self._to_fill = _UNKNOWN if size is None else size

    def _give_filler(self, buffer: memoryview) -> int:
        if len(self._filler) < len(buffer):
            self._filler = memoryview(_FILLER * (len(buffer) // len(_FILLER) + 1))
        size = min(self._to_fill, len(buffer))
        buffer[:size] = self._filler[:size]
        self._to_fill -= size
        return size


def _find_data(device: IReader, dump: StoredDump, part: StoredPart) -> bool:
    """Go to the data of a part whose header cannot be read. :return: False: it is not that part"""
    if not IFindsData.providedBy(device):
        return False
    finder = IFindsData(device)
    if full_stamp(finder.timestamp or "") != dump.written:
        return False  # another dump may lie in files of the same lengths
    try:
        size = finder.seek_data(part.fileno)
    except DeviceError:
        return False  # the first fault is the one to tell
    if size is None:
        return True
    if part.size is None:
        return fits(size, part.about, device.block_size)
    return part.size <= size < part.size + device.block_size
