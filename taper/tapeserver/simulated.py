"""A tape in a plain file, in the format of ndmjob's simulated tape [ndmp 5.2].

It takes any records and any filemarks, so ndmjob can read what we wrote and the reverse. Writing
truncates: what stood behind is gone, as on a tape.
"""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import BinaryIO

from attrs import define, field, frozen

from devices.datafile import NO_SPACE
from protocols.ndmp_server.interfaces import TapeEnd

_GAP = struct.Struct("=4Q")
_MAGIC = 0x0BEEFEE0
_BOT, _DATA, FILEMARK, _EOT = (
    int.from_bytes(name, "little") for name in (b"BOT_", b"DATA", b"FILE", b"EOT_")
)
EARLY_ROOM = 65536
"""Bytes between early warning and the end of ndmjob's limited tapes."""


class SimulatedTapeError(Exception):
    """The file holds no tape of ndmjob's; the message says what is wrong and where."""

    taper_code = 2016


@frozen
class Limits:
    """Where a tape ends; None: never.

    :ivar early: byte position; the first write that starts behind it is warned once.
    :ivar end: byte position; no write may cross it.
    :ivar early_records: this many records, of the whole tape, are written before the warning.
    :ivar end_records: this many records fit on the tape.
    :ivar filemarks: filemarks too are warned, though they are written nevertheless.
    """

    early: int | None = None
    end: int | None = None
    early_records: int | None = None
    end_records: int | None = None
    filemarks: bool = False

    @classmethod
    def of_size(cls, size: int) -> Limits:
        """As ndmjob's ``tape-limit=size``."""
        return cls(early=max(size - EARLY_ROOM, 0), end=size)

    @classmethod
    def parse(cls, text: str) -> Limits:
        """``BYTES``, see :meth:`of_size`; ``EARLYr`` or ``EARLYr-ENDr``, in records; with an ``f``
        behind it, filemarks are warned too.

        :raise ValueError: none of these
        """
        if text.isdigit():
            return cls.of_size(int(text))
        records = text.removesuffix("f")
        early, _, end = records.partition("-")
        if not early.endswith("r") or not (end.endswith("r") or not end):
            raise ValueError(f"tape limit {text!r}, expected BYTES, EARLYr[-ENDr][f]")
        last = int(end[:-1]) if end else None
        return cls(early_records=int(early[:-1]), end_records=last, filemarks=text.endswith("f"))


NO_LIMITS = Limits()
_SPAN = 2 << 20
"""Bytes of the file that are read at a time, unless one record is longer."""


@frozen
class _Item:
    """A record, or a filemark (no size), and where its gap starts."""

    kind: int
    at: int
    size: int = 0


@define
class SimulatedTape:
    """A tape; it stands at the beginning.

    :ivar limits: may be changed at any time.
    :ivar write_protected: it is only to be read.
    :ivar durable: what stands before a filemark is on the disk when that is written.
    :ivar file_num: filemarks before the position.
    :ivar blockno: records between the last filemark and the position.
    :ivar warned: the early warning was given; reset by :meth:`opened`.
    """

    limits: Limits = NO_LIMITS
    write_protected: bool = False
    durable: bool = field(default=False, kw_only=True)
    warned: bool = field(default=False, init=False)
    file_num: int = field(default=0, init=False)
    blockno: int = field(default=0, init=False)
    _storage: BinaryIO = field(factory=io.BytesIO, kw_only=True)
    _items: list[_Item] = field(factory=list, init=False)
    _index: int = field(default=0, init=False)

    @classmethod
    def in_file(
        cls, path: Path | str, limits: Limits = NO_LIMITS, *, durable: bool = False
    ) -> SimulatedTape:
        """A tape in a file, which is made if there is none.

        :raise SimulatedTapeError: it is neither empty nor a tape
        """
        path = Path(path)
        protected = path.exists() and not os.access(path, os.W_OK)
        if not protected:
            path.touch()
        storage = path.open("rb" if protected else "r+b", buffering=0)
        medium = cls(limits, protected, durable=durable, storage=storage)
        medium._scan()
        return medium

    def close(self) -> None:
        """Close the file; a tape in memory is lost."""
        self._storage.close()

    def _scan(self) -> None:
        length = self._storage.seek(0, io.SEEK_END)
        position = 0
        while position + _GAP.size <= length:
            self._storage.seek(position)
            magic, kind, _, size = _GAP.unpack(self._storage.read(_GAP.size))
            if magic != _MAGIC or kind not in (_BOT, _DATA, FILEMARK, _EOT):
                raise SimulatedTapeError(f"no gap of a simulated tape at byte {position}")
            if kind == _EOT:
                return
            if position + _GAP.size + size > length:
                raise SimulatedTapeError(f"the record at byte {position} ends behind the file")
            if kind != _BOT:
                self._items.append(_Item(kind, position, size))
            position += _GAP.size + size
        if position != length:
            raise SimulatedTapeError(f"half a gap at byte {position}")

    @property
    def space(self) -> tuple[int, int] | None:
        end = self.limits.end
        return None if end is None else (end, max(end - self.position, 0))

    def flush(self) -> None:
        """Let all that was written be on the disk."""
        if isinstance(self._storage, io.FileIO) and not self.write_protected:
            os.fdatasync(self._storage.fileno())

    # position

    @property
    def position(self) -> int:
        """The byte of the file where the next gap is or would be."""
        if self._index < len(self._items):
            return self._items[self._index].at
        if not self._items:
            return _GAP.size
        last = self._items[-1]
        return last.at + _GAP.size + last.size

    @property
    def at_start(self) -> bool:
        return self._index == 0

    def opened(self) -> None:
        """A drive was opened on it."""
        self.warned = False

    def rewind(self) -> None:
        """Go to the beginning."""
        self._index = self.file_num = self.blockno = 0

    def _step(self, item: _Item) -> None:
        self._index += 1
        if item.kind == FILEMARK:
            self.file_num, self.blockno = self.file_num + 1, 0
        else:
            self.blockno += 1

    def _step_back(self) -> None:
        self._index -= 1
        if self._items[self._index].kind == _DATA:
            self.blockno -= 1
            return
        self.file_num -= 1
        self.blockno = 0
        index = self._index
        while index and self._items[index - 1].kind == _DATA:
            index -= 1
            self.blockno += 1

    def forward_records(self, count: int) -> int:
        """Skip records; stop before a filemark or at the end. :return: how many were not there"""
        while count and self._index < len(self._items) and self._next.kind == _DATA:
            self._step(self._next)
            count -= 1
        return count

    def back_records(self, count: int) -> int:
        """Skip records backwards; stop behind a filemark or at the start. :return: the rest"""
        while count and self.blockno:
            self._step_back()
            count -= 1
        return count

    def forward_filemarks(self, count: int) -> int:
        """Go behind the count-th filemark from here. :return: how many were not there"""
        while count and self._index < len(self._items):
            count -= self._next.kind == FILEMARK
            self._step(self._next)
        return count

    def back_filemarks(self, count: int) -> int:
        """Go before the count-th filemark backwards. :return: how many were not there"""
        while count and self._index:
            self._step_back()
            count -= self._next.kind == FILEMARK
        return count

    @property
    def _next(self) -> _Item:
        return self._items[self._index]

    @property
    def at_filemark(self) -> bool:
        """A filemark stands next."""
        return self._index < len(self._items) and self._next.kind == FILEMARK

    @property
    def behind_filemark(self) -> bool:
        """A filemark stands just before."""
        return self._index > 0 and self._items[self._index - 1].kind == FILEMARK

    # reading and writing

    def read(self) -> bytes | TapeEnd:
        """The next record, and go behind it; a filemark is not crossed."""
        if self._index >= len(self._items):
            return TapeEnd.NOTHING
        item = self._next
        if item.kind == FILEMARK:
            return TapeEnd.FILEMARK
        self._step(item)
        return self._record(item)

    def _record(self, item: _Item) -> bytes:
        self._storage.seek(item.at + _GAP.size)
        return self._storage.read(item.size)

    def write(self, record: bytes | memoryview) -> TapeEnd | None:
        """Write a record. :return: why nothing was written; None: it was"""
        at = self.position
        limits, records = self.limits, self.records
        early = limits.early is not None and at > limits.early
        early |= limits.early_records is not None and records >= limits.early_records
        if early and not self.warned:
            self.warned = True
            return TapeEnd.EARLY
        full = limits.end is not None and at + _GAP.size + len(record) > limits.end
        full |= limits.end_records is not None and records >= limits.end_records
        if full:
            return TapeEnd.FULL
        try:
            self._append(_Item(_DATA, at, len(record)), record)
        except OSError as fault:
            if fault.errno not in NO_SPACE:
                raise
            return TapeEnd.FULL
        return None

    def read_run(self, buffer: memoryview, size: int) -> int | TapeEnd:
        first = self._index
        if first >= len(self._items):
            return TapeEnd.NOTHING
        if self._next.kind == FILEMARK:
            return TapeEnd.FILEMARK
        run = self._records_from(first, len(buffer) // size)
        start = run[0].at
        self._storage.seek(start)
        data = memoryview(self._storage.read(run[-1].at + _GAP.size + run[-1].size - start))
        done = 0
        for item in run:
            at, length = item.at + _GAP.size - start, min(item.size, size)
            buffer[done : done + length] = data[at : at + length]
            done += length
        self._index += len(run)
        self.blockno += len(run)
        return done

    def _records_from(self, first: int, most: int) -> list[_Item]:
        """Records up to a filemark or the end, no more than can be read at a time; one at least."""
        start, last = self._items[first].at, first + 1
        while (
            last < min(len(self._items), first + most)
            and self._items[last].kind == _DATA
            and self._items[last].at + self._items[last].size - start <= _SPAN
        ):
            last += 1
        return self._items[first:last]

    def write_run(self, data: memoryview, size: int) -> tuple[int, TapeEnd | None]:
        room = self._room_for(size, len(data) // size)
        if room:
            done, end = self._write_whole_run(data[: room * size], size)
            if end is not None or done == len(data):
                return done, end
        for at in range(room * size, len(data), size):
            end = self.write(data[at : at + size])
            if end is not None:
                return at, end
        return len(data), None

    def _room_for(self, size: int, most: int) -> int:
        """So many records, no more than this, can be written here before any limit is met."""
        limits = self.limits
        if not self._index or (limits.early_records, limits.end_records) != (None, None):
            return 0  # one by one
        at, step = self.position, _GAP.size + size
        if limits.early is not None and not self.warned:
            most = min(most, max(limits.early - at, -1) // step + 1)
        if limits.end is not None:
            most = min(most, max(limits.end - at, 0) // step)
        return most

    def _write_whole_run(self, data: memoryview, size: int) -> tuple[int, TapeEnd | None]:
        """Write all records at once, or none."""
        before, at = self._items[self._index - 1].size, self.position
        items = [
            _Item(_DATA, at + number * (_GAP.size + size), size)
            for number in range(len(data) // size)
        ]
        gap = _GAP.pack(_MAGIC, _DATA, size, size)
        parts: list[bytes | memoryview] = [_GAP.pack(_MAGIC, _DATA, before, size), data[:size]]
        for start in range(size, len(data), size):
            parts += (gap, data[start : start + size])
        parts.append(_GAP.pack(_MAGIC, _EOT, size, 0))
        del self._items[self._index :]
        try:
            self._put(at, b"".join(parts))
        except OSError as fault:
            self._put(at, _GAP.pack(_MAGIC, _EOT, before, 0))  # let it end where it did
            if fault.errno not in NO_SPACE:
                raise
            return 0, TapeEnd.FULL
        self._items += items
        self._index += len(items)
        self.blockno += len(items)
        return len(data), None

    def write_filemark(self) -> TapeEnd | None:
        """Write a filemark; it is always written. :return: EARLY if that is the first warning"""
        at = self.position
        limits, records = self.limits, self.records
        self._append(_Item(FILEMARK, at))
        if self.durable:
            self.flush()
        early = limits.early is not None and at > limits.early
        early |= limits.early_records is not None and records >= limits.early_records
        if not (limits.filemarks and early) or self.warned:
            return None
        self.warned = True
        return TapeEnd.EARLY

    @property
    def records(self) -> int:
        """Records before the position."""
        return self._index - self.file_num

    def _append(self, item: _Item, record: bytes | memoryview = b"") -> None:
        """:raise OSError: the file took it not; what stood before the position is still there"""
        before = self._items[self._index - 1].size if self._index else 0
        parts = [_GAP.pack(_MAGIC, item.kind, before, item.size), record]
        parts.append(_GAP.pack(_MAGIC, _EOT, item.size, 0))
        at = item.at
        if not self._index:  # on a blank tape there is no beginning yet
            parts.insert(0, _GAP.pack(_MAGIC, _BOT, 0, 0))
            at = 0
        del self._items[self._index :]
        try:
            self._put(at, b"".join(parts))
        except OSError:
            if self._index:  # let the tape end where it did
                self._put(item.at, _GAP.pack(_MAGIC, _EOT, before, 0))
            else:
                self._storage.truncate(0)
            raise
        self._items.append(item)
        self._step(item)

    def _put(self, at: int, data: bytes) -> None:
        self._storage.truncate(self._storage.seek(at))
        view = memoryview(data)
        while view:
            view = view[self._storage.write(view) :]
