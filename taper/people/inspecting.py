"""One volume, read from its first file to its last and compared with the logs; blocks.

What concerns a dump as a whole, its checksum and what its parts have in common, is judged by
:mod:`taper.people.weighing` when all its parts were seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from devices.errors import DeviceError, Status
from protocols.header import Header, HeaderType
from protocols.stored import BrokenPart, full_stamp
from taper.people.findings import Finding, Wrong
from taper.plane.crc import RunningCrc
from taper.plane.volumes import fits, known_size

if TYPE_CHECKING:
    from protocols.crc import Crc
    from protocols.stored import StoredPart
    from taper.people.catalogue import Catalogue, Copy
    from taper.people.weighing import Weighing
    from taper.plane.volumes import IReader

_CHUNK = 1 << 19
"""Bytes that are read, and summed, in one go, about; of more the first have left the processor's
cache before they are summed."""
_MOST_FAILURES = 3
"""So many files in a row may fail before the drive counts as broken, if that is what it says; or,
behind the last one that is known, before the volume counts as over."""


@frozen
class SeenFile:
    """A file of the volume.

    :ivar header: None: it could not be read, or the file is not there.
    :ivar copy: the dump that the log has there; None: it tells of none.
    :ivar crc: of its payload, as far as that could be read; None: it was not read.
    :ivar again: where the part is that was begun here when the volume was at its end; None: none.
    """

    number: int
    header: Header | None
    copy: Copy | None = None
    part: StoredPart | BrokenPart | None = None
    crc: Crc | None = None
    again: str | None = None


class Stopped(Exception):
    """Nobody wants to know any more."""


@frozen
class Watch:
    """Who looks on, from other threads.

    :ivar stopped: nobody wants to know any more.
    :ivar advance: is told how many bytes have been read since.
    :ivar begins: is told the number of each file that is going to be read, and the dump and part
        that the log has there.
    """

    stopped: Callable[[], bool] = lambda: False
    advance: Callable[[int], None] = lambda size: None
    begins: Callable[[int, Copy | None, StoredPart | None], None] = lambda file, copy, part: None


@frozen(kw_only=True)
class Payload:
    """What was read of a part.

    :ivar crc: of its bytes, without padding.
    :ivar whole: all that was written is there, as far as lengths tell.
    """

    crc: Crc
    whole: bool


@frozen(kw_only=True)
class Inspection:
    """One volume that is inspected.

    :ivar wanted: whether a part is to be read, given the copy it belongs to; None for a file that
        no log tells of.
    :ivar weighing: is given all that was found of dumps; it may serve several volumes.
    :ivar files: what was seen.
    :ivar findings: what is wrong.
    """

    label: str
    catalogue: Catalogue
    weighing: Weighing
    wanted: Callable[[Copy | None], bool]
    watch: Watch = field(factory=Watch)
    files: list[SeenFile] = field(factory=list)
    findings: list[Finding] = field(factory=list)
    _buffers: dict[int, memoryview] = field(factory=dict)

    def _buffer(self, block_size: int) -> memoryview:
        """Whole blocks, and not too few at once."""
        size = max(_CHUNK // block_size, 1) * block_size
        if size not in self._buffers:
            self._buffers[size] = memoryview(bytearray(size))
        return self._buffers[size]

    def run(self, reader: IReader, timestamp: str | None) -> None:
        """Inspect it.

        :param reader: of the volume, started
        :param timestamp: of its label
        :raise Stopped: see :class:`Watch`
        """
        self._check_label(timestamp)
        expected = {part.fileno: (copy, part) for copy, part in self.catalogue.parts_on(self.label)}
        last = max(expected, default=0)
        number, failures = 1, 0
        while number <= last or failures < _MOST_FAILURES:
            self._go_on()
            try:
                header = reader.seek_file(number)
            except DeviceError as fault:
                failures += 1
                number = max(reader.file, number)  # the next one that is there
                self._no_header(number, fault, expected.pop(number, None))
                number += 1
                if fault.status == Status.DEVICE_ERROR and failures >= _MOST_FAILURES:
                    self._not_reached(expected, fault)  # it is the drive, and not a file
                    break
                continue
            if header is None or header.type is HeaderType.TAPEEND:
                break
            failures, number = 0, max(reader.file, number)
            self._file(reader, number, header, expected.pop(number, None))
            self._hear(reader, number)
            number += 1
        for number, (copy, part) in sorted(expected.items()):
            self._missing(number, copy, part)
        self.files.sort(key=lambda file: file.number)

    def _go_on(self) -> None:
        if self.watch.stopped():
            raise Stopped

    def _find(
        self,
        wrong: Wrong,
        text: str,
        number: int | None = None,
        copy: Copy | None = None,
        part: StoredPart | BrokenPart | None = None,
        block: int | None = None,
        byte: int | None = None,
    ) -> None:
        self.findings.append(
            Finding(
                wrong=wrong,
                text=text,
                volume=self.label,
                file=number,
                dump=None if copy is None else copy.dump.name,
                part=None if part is None else part.number,
                block=block,
                byte=byte,
            )
        )
        if copy is not None and not isinstance(part, BrokenPart):
            self.weighing.spoilt(copy)

    def _hear(self, reader: IReader, number: int) -> None:
        """What a device says of a file that could be read; the dump is none the worse for it."""
        remark: str | None = getattr(reader, "remark", None)
        if remark is not None:
            self._find(Wrong.UNREADABLE, remark, number)

    def _check_label(self, timestamp: str | None) -> None:
        entry = self.catalogue.tapelist.lookup(self.label)
        if entry is None or entry.datestamp in ("0", "1"):
            return
        if timestamp is None or full_stamp(timestamp) != full_stamp(entry.datestamp):
            text = (
                f"it was labelled {timestamp or 'at no time'}, the tapelist says {entry.datestamp}"
            )
            self._find(Wrong.LABEL, text)

    def _no_header(
        self,
        number: int,
        fault: DeviceError,
        expected: tuple[Copy, StoredPart | BrokenPart] | None,
    ) -> None:
        copy, part = expected or (None, None)
        self._find(Wrong.HEADER, f"its header cannot be read: {fault.text}", number, copy, part)
        self.files.append(SeenFile(number, None, copy, part))

    def _not_reached(
        self, expected: dict[int, tuple[Copy, StoredPart | BrokenPart]], fault: DeviceError
    ) -> None:
        """Nobody knows what is in these files."""
        for number, (copy, part) in sorted(expected.items()):
            text = f"it was not looked at, as the device does not go on: {fault.text}"
            self._find(Wrong.UNREADABLE, text, number, copy, part)
            self.files.append(SeenFile(number, None, copy, part))
        expected.clear()

    def _missing(self, number: int, copy: Copy, part: StoredPart | BrokenPart) -> None:
        if isinstance(part, BrokenPart):
            return  # some devices take away what they could not write
        self._find(Wrong.MISSING, "the file is not on the volume", number, copy, part)
        self.files.append(SeenFile(number, None, copy, part))

    def _file(
        self,
        reader: IReader,
        number: int,
        header: Header,
        expected: tuple[Copy, StoredPart | BrokenPart] | None,
    ) -> None:
        if expected is None:
            self._unlisted(reader, number, header)
            return
        copy, part = expected
        mismatch = copy.dump.name.mismatch(header, part)
        if mismatch is not None:
            self._find(Wrong.HEADER, mismatch, number, copy, part)
        if isinstance(part, BrokenPart):
            self.files.append(SeenFile(number, header, copy, part))
            return
        if mismatch is None:
            self.weighing.has_header(copy, part, header)
        crc = None
        if self.wanted(copy):
            payload = self._read(reader, number, _unpadded(part, copy, header, reader), copy)
            crc = payload.crc
            if payload.whole:
                self.weighing.was_read(copy, part, crc, reader.block_size)
        self.files.append(SeenFile(number, header, copy, part, crc))

    def _unlisted(self, reader: IReader, number: int, header: Header) -> None:
        again = self.catalogue.written_instead(self.label, header)
        if again is not None:
            self.files.append(SeenFile(number, header, again=again.place))
            return
        self._find(Wrong.UNLISTED, "no trace log tells of it", number)
        crc = self._read(reader, number).crc if self.wanted(None) else None
        self.files.append(SeenFile(number, header, crc=crc))

    def _read(
        self,
        reader: IReader,
        number: int,
        part: StoredPart | None = None,
        copy: Copy | None = None,
    ) -> Payload:
        """Read the file that the reader is at."""
        self.watch.begins(number, copy, part)
        block_size = reader.block_size
        buffer = self._buffer(block_size)
        limit = None if part is None else part.size
        crc, excess, stray = RunningCrc(), 0, False
        while True:
            self._go_on()
            try:
                size = reader.read_blocks(buffer)
            except DeviceError as fault:
                at = crc.size + excess
                text = f"it cannot be read on: {fault.text}"
                self._find(
                    Wrong.UNREADABLE, text, number, copy, part, block=at // block_size, byte=at
                )
                return Payload(crc=crc.value(), whole=False)
            if not size:
                break
            self.watch.advance(size)
            good = size if limit is None else min(size, limit - crc.size)
            crc.update(buffer[:good])
            excess += size - good
            stray = stray or any(buffer[good:size])
        whole = True
        if limit is not None and crc.size < limit:
            whole = False
            text = f"it has {crc.size} bytes, {limit} expected"
        elif excess >= block_size or stray:
            whole = False
            text = f"it has {crc.size + excess} bytes, {limit} expected"
        elif part is not None and limit is None and not fits(crc.size, part.about, block_size):
            whole = False
            text = f"it has {crc.size} bytes, {part.about // 1024} KiB expected"
        if not whole:
            at = crc.size
            self._find(Wrong.LENGTH, text, number, copy, part, block=at // block_size, byte=at)
        return Payload(crc=crc.value(), whole=whole)


def _unpadded(part: StoredPart, copy: Copy, header: Header, reader: IReader) -> StoredPart:
    """The last part of a dump without that which its last block is filled with, as far as something
    tells the size of the dump: logs count what is on the volume [ndmp 6.1.5]."""
    parts = copy.dump.parts[: copy.dump.count]
    sizes = [one.size for one in parts if one.size is not None]
    total = known_size(copy.dump, header, reader.block_size)
    if not copy.dump.is_whole or total is None or len(sizes) < len(parts) or part != parts[-1]:
        return part
    padding = sum(sizes) - total
    if part.size is None or not 0 < padding < min(reader.block_size, part.size):
        return part
    return evolve(part, size=part.size - padding)
