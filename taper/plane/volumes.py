"""The source of a vaulted dump: its parts on other volumes, one after another [data-plane 4.4]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from zope.interface import Interface, implementer

from devices.errors import DeviceError
from protocols.header import HeaderType
from taper.plane.interfaces import ISource, SourceError

if TYPE_CHECKING:
    from protocols.header import Header
    from protocols.stored import StoredDump, StoredPart, ToldDump


class IReader(Protocol):
    """What the reading thread needs of a device; as in :class:`devices.interfaces.IDevice`."""

    @property
    def name(self) -> str: ...
    @property
    def block_size(self) -> int: ...
    @property
    def file(self) -> int: ...

    def seek_file(self, number: int) -> Header | None: ...

    def read_blocks(self, buffer: memoryview) -> int: ...


class HeaderUnread(SourceError):
    """Nothing tells what is in the file of a part: its header cannot be read, or is not there."""


class IBlockSkipper(Interface):
    """A reader that need not read what nobody wants."""

    def skip_blocks(count: int) -> None:
        """Go over blocks of the file, which it must have; behind ``seek_file``.

        :raise DeviceError: it cannot
        """


class IVolumes(Protocol):
    """Where the reading thread asks for the next source volume."""

    def change_to(self, label: str) -> IReader:
        """A reader of the volume of this label; blocks until it is there.

        The one given before is not touched any more.

        :raise SourceError: it cannot be had, or :meth:`cancel` was called
        """

    def cancel(self) -> None:
        """Make a waiting or later :meth:`change_to` fail soon, or what reads. Any thread; never
        blocks; safe to repeat."""


def seek_part(device: IReader, dump: StoredDump, part: StoredPart) -> Header:
    """Position a started device at a part, and see that it is the right one; blocks.

    :raise SourceError: there is no such file, or it holds something else
    """
    try:
        header = device.seek_file(part.fileno)
    except DeviceError as error:
        raise HeaderUnread(f"{part.place}: {error.text}") from error
    return judge_part(header, device.file, dump, part)


def judge_part(header: Header | None, file: int, dump: StoredDump, part: StoredPart) -> Header:
    """See that what a device found is the right part.

    :param header: what ``seek_file`` gave
    :param file: where the device stands then
    :raise SourceError: there is no such file, or it holds something else
    """
    if header is None or header.type is HeaderType.TAPEEND or file != part.fileno:
        raise HeaderUnread(f"{part.place}: there is no such file on the volume", code=7008)
    mismatch = dump.mismatch(header, part)
    if mismatch is not None:
        raise SourceError(mismatch, code=7008)
    return header


def find_byte(dump: StoredDump, position: int) -> tuple[int, int]:
    """Where a byte of a dump is: index of the part, and bytes of the dump that follow its begin.

    Where the log does not tell how long a part is, it may be in a later one.
    """
    begin = 0
    for index, part in enumerate(dump.parts[:-1]):
        if part.size is None or not position or position < begin + part.size:
            return index, position - begin
        begin += part.size
    return len(dump.parts) - 1, position - begin


def with_place(part: StoredPart, text: str) -> str:
    """What went wrong at a part, and where unless the text tells the volume."""
    return text if f"'{part.label}'" in text else f"{part.place}: {text}"


def fits(size: int, about: int, block_size: int) -> bool:
    """A size may be that of which a log tells whole KiB only; the last block may be padded."""
    return about <= size < about + 1024 + block_size


def truncated(part: StoredPart, found: int, expected: int) -> SourceError:
    """A part that is shorter than the log says."""
    return SourceError(
        f"part {part.number} on {part.place} is truncated: {found} bytes, {expected} expected"
    )


def too_long(part: StoredPart, expected: int | None) -> SourceError:
    """A part that is longer than padding can explain."""
    return SourceError(
        f"part {part.number} on {part.place} is longer than the {expected} bytes it should have"
    )


def reading_failed(part: StoredPart, device_name: str, error: DeviceError) -> SourceError:
    """A device could not read in a part."""
    return SourceError(f"{part.place}: error reading from {device_name}: {error.text}")


def known_size(dump: StoredDump | ToldDump, header: Header, block_size: int) -> int | None:
    """Bytes of the whole dump, where something tells it that does not count padding.

    The client's count is that of the stored bytes only if nothing was done to them here; and it
    is believed only as far as padding can explain the difference.

    :param header: of the first part
    :param block_size: of the source device, bytes
    """
    for crc in (header.server_crc, dump.crc):
        if crc.known:
            return crc.size
    sizes = [part.size for part in dump.parts]
    if None in sizes or not header.client_crc.known:
        return None
    if header.comp_suffix or header.server_encrypt or header.server_custom_compress:
        return None
    excess = sum(size or 0 for size in sizes) - header.client_crc.size
    return header.client_crc.size if 0 <= excess < block_size else None


@implementer(ISource)
class VolumeSource:
    """Parts on volumes, read as one stream.

    Devices that pad their last block give more than was dumped; that is cut at the size that is
    known. Less is an error, and so is more than padding [data-plane Q0, Q18].

    :ivar finished: everything was read, and nothing was wrong.
    :ivar failed: something was wrong.
    """

    def __init__(
        self,
        dump: StoredDump,
        total: int | None,
        device: IReader | None,
        volumes: IVolumes,
        position: int = 0,
    ) -> None:
        """:param total: bytes of the dump, if known.
        :param device: positioned at the first part (:func:`seek_part`); None: ``volumes`` gives
            one. From now on only the reading thread uses it, and those that ``volumes`` gives,
            until :meth:`close`.
        :param position: bytes of the dump that are not wanted; then there is no ``device`` yet.
        """
        self.finished = False
        self.failed = False
        self._dump = dump
        self._volumes = volumes
        self._label: str | None = None
        self._positioned = device is not None
        if device is not None:
            self._device = device
            self._label = dump.parts[0].label
        index, self._unwanted = find_byte(dump, position)
        self._left = None if total is None else max(total - position + self._unwanted, 0)
        if total is not None and 0 < total <= position:  # what is behind that is padding
            index = len(dump.parts)
        self._index = index - 1
        self._in_part = False
        self._got = 0
        self._limit: int | None = None
        self._excess = 0
        self._spare = memoryview(b"")
        self._rest = memoryview(b"")
        self._cancelled = False

    def read_into(self, buffer: memoryview) -> int:
        try:
            return self._read_on(buffer)
        except SourceError:
            self.failed = not self._cancelled
            raise

    def _read_on(self, buffer: memoryview) -> int:
        while not self._cancelled:
            if self._rest:
                return self._give_rest(buffer)
            if not self._in_part:
                if not self._begin_part():
                    self.finished = True
                    return 0
            elif size := self._read(buffer):
                return size
        return 0

    def cancel(self) -> None:
        self._cancelled = True
        self._volumes.cancel()

    def close(self) -> None:
        self._rest = self._spare = memoryview(b"")

    @property
    def at(self) -> StoredPart:
        """The part that is read, or is the first to be. Any thread."""
        return self._dump.parts[max(self._index, 0)]

    @property
    def _part(self) -> StoredPart:
        return self._dump.parts[self._index]

    def _begin_part(self) -> bool:
        """Go to the next part. :return: False: there is none"""
        if self._index + 1 >= len(self._dump.parts):
            return False
        self._index += 1
        part = self._part
        limits = [size for size in (part.size, self._left) if size is not None]
        self._limit = min(limits, default=None)
        self._got = self._excess = 0
        if part.label != self._label:
            self._change_to(part)
        if self._index or not self._positioned:
            self._seek(part)
        self._skip(part)
        self._in_part = True
        return True

    def _seek(self, part: StoredPart) -> None:
        """Position at a part, whose volume is there."""
        seek_part(self._device, self._dump, part)

    def _skip(self, part: StoredPart) -> None:
        """Go over whole blocks of the part that nobody wants, if the device can do that."""
        device = self._device
        blocks = 0 if part.size is None else min(self._unwanted, part.size) // device.block_size
        if not blocks or not IBlockSkipper.providedBy(device):
            return
        try:
            IBlockSkipper(device).skip_blocks(blocks)
        except DeviceError as error:
            raise reading_failed(part, device.name, error) from error
        self._got = blocks * device.block_size
        self._unwanted -= self._got

    def _change_to(self, part: StoredPart) -> None:
        """Have the volume of a part."""
        try:
            self._device = self._volumes.change_to(part.label)
        except SourceError as error:
            raise SourceError(with_place(part, str(error))) from error
        self._label = part.label

    def _read(self, buffer: memoryview) -> int:
        """Read on in the part. :return: bytes in the front of ``buffer``, perhaps none"""
        block_size = self._device.block_size
        straight = len(buffer) >= block_size and not self._unwanted
        target = buffer if straight else self._spare_block(block_size)
        try:
            size = self._device.read_blocks(target)
        except DeviceError as error:
            raise reading_failed(self._part, self._device.name, error) from error
        if not size:
            self._end_part()
            return 0
        good = size if self._limit is None else min(size, self._limit - self._got)
        self._got += good
        self._excess += size - good
        if not good:
            self._check_excess()  # not before the good bytes are out
            return 0
        if straight:
            return good
        unwanted = min(self._unwanted, good)
        self._unwanted -= unwanted
        self._rest = target[unwanted:good]
        return self._give_rest(buffer)

    def _spare_block(self, size: int) -> memoryview:
        if len(self._spare) != size:
            self._spare = memoryview(bytearray(size))
        return self._spare

    def _give_rest(self, buffer: memoryview) -> int:
        size = min(len(self._rest), len(buffer))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def _check_excess(self) -> None:
        """What lies behind the end must be less than a block: padding."""
        if self._excess >= self._device.block_size:
            raise too_long(self._part, self._limit)

    def _end_part(self) -> None:
        self._in_part = False
        self._check_excess()
        if self._limit is not None and self._got < self._limit:
            raise truncated(self._part, self._got, self._limit)
        if self._left is not None:
            self._left -= self._got
