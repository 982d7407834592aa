"""The reading half of a vtape as a tape: where it stands, and how it moves [ndmp-server 10.2]."""

from __future__ import annotations

import errno
import os

from devices.base import HEADER_SIZE
from devices.datafile import DataFile
from devices.room import Room, Terms
from devices.vtape import Numbered, VtapeDirectory
from protocols.ndmp.codes import ErrorCode
from protocols.ndmp_server.interfaces import Refused, TapeEnd

PREFERRED_BLOCK = HEADER_SIZE
"""With it every header is stored exactly as it came."""


class VtapeReader:
    """The files of a directory as the files of a tape.

    :ivar node: the directory.
    :ivar file_num: number of the file.
    :ivar blockno: records of it before the position.
    :param node: the directory, as of a ``file:`` device
    :param block: bytes of a record
    :param limit: bytes that the volume may have; 0: as many as the file system takes
    :param direct: see :class:`devices.datafile.DataFile`
    """

    def __init__(
        self, node: str, block: int = PREFERRED_BLOCK, limit: int = 0, *, direct: bool = True
    ) -> None:
        self.node = node
        self._block = block
        self._direct = direct
        self._terms = Terms(block_size=block, limit=limit, leom=True, monitor=True)
        self._vtape = VtapeDirectory(node)
        self._room = Room(self._free_space)
        self.file_num = 0
        self.blockno = 0
        self.write_protected = False
        self._files: dict[int, Numbered] = {}
        self._end = 0  # filemarks on the tape
        self._writing: DataFile | None = None  # file number _end, which has no filemark yet
        self._warned = False
        self._reading: tuple[int, int] | None = None  # number and descriptor
        self._scan()

    # what is there

    def _free_space(self) -> int | None:
        facts = os.statvfs(self._vtape.path)
        return facts.f_bavail * facts.f_frsize

    def _scan(self) -> None:
        """Look at the directory again."""
        if self._vtape.trouble() is not None:
            raise Refused(ErrorCode.NO_TAPE_LOADED, str(self._vtape.trouble()))
        files = self._vtape.files()
        self._files = {file.number: file for file in files}
        self._end = files[-1].number + 1 if files else 0
        self._room.size = sum(file.size for file in files)
        self.write_protected = not os.access(self._vtape.path, os.W_OK)
        self._forget_reading()

    def _blocks(self, number: int) -> int:
        """Records of a file; a number that is missing is an empty file between two marks."""
        if number == self._end and self._writing is not None:
            return 1 + -(-self._writing.stored // self._block)
        file = self._files.get(number)
        if file is None:
            return 0
        return 1 + max(0, -(-(file.size - HEADER_SIZE) // self._block)) if number else 1

    @property
    def space(self) -> tuple[int, int] | None:
        limit = self._terms.limit
        return (limit, max(limit - self._room.size, 0)) if limit else None

    @property
    def at_filemark(self) -> bool:
        return self.file_num < self._end and self.blockno >= self._blocks(self.file_num)

    @property
    def behind_filemark(self) -> bool:
        return self.file_num > 0 and self.blockno == 0

    def _finish(self) -> None:
        """End the file that is being written: there is none, unless this can be written."""

    # motion

    def opened(self) -> None:
        self._warned = False
        self._scan()
        if self.file_num > self._end or self.blockno > self._blocks(self.file_num):
            self.file_num = self.blockno = 0

    def flush(self) -> None:
        """What was written last ends here; marks behind the last file are lost."""
        if self._writing is not None:
            self._finish()
        self._end = max(self._files, default=-1) + 1
        self._forget_reading()

    def rewind(self) -> None:
        self.flush()
        self._scan()
        self._warned = False
        self.file_num = self.blockno = 0

    def forward_records(self, count: int) -> int:
        step = min(count, max(self._blocks(self.file_num) - self.blockno, 0))
        self.blockno += step
        return count - step

    def back_records(self, count: int) -> int:
        step = min(count, self.blockno)
        self.blockno -= step
        return count - step

    def forward_filemarks(self, count: int) -> int:
        if not count:
            return 0
        step = min(count, self._end - self.file_num)
        self.file_num += step
        self.blockno = 0
        if step < count and self._writing is not None:
            self.blockno = self._blocks(self.file_num)
        return count - step

    def back_filemarks(self, count: int) -> int:
        if not count:
            return 0
        if count > self.file_num:
            rest = count - self.file_num
            self.file_num = self.blockno = 0
            return rest
        self.file_num -= count
        self.blockno = self._blocks(self.file_num)
        return 0

    # reading

    def read(self) -> bytes | TapeEnd:
        end = self._nothing_here()
        if end is not None:
            return end
        if self.blockno:
            at = HEADER_SIZE + (self.blockno - 1) * self._block
            record = os.pread(self._descriptor(), self._block, at)
        else:
            record = os.pread(self._descriptor(), HEADER_SIZE, 0)
        if not record:
            raise OSError(errno.EIO, "nothing where a record should be", self._name())
        self.blockno += 1
        return record if self.blockno > 1 else record.ljust(self._block, b"\0")

    def read_run(self, buffer: memoryview, size: int) -> int | TapeEnd:
        if not self.blockno or size != self._block:
            record = self.read()
            if isinstance(record, TapeEnd):
                return record
            data = record[:size]
            buffer[: len(data)] = data
            return len(data)
        end = self._nothing_here()
        if end is not None:
            return end
        at = HEADER_SIZE + (self.blockno - 1) * self._block
        got = os.preadv(self._descriptor(), [buffer[: len(buffer) // size * size]], at)
        whole = got // size * size
        if at + got >= self._size_of(self.file_num):
            whole = got  # the last record may be short
        if not whole:
            raise OSError(errno.EIO, "nothing where a record should be", self._name())
        self.blockno += -(-whole // size)
        return whole

    def _nothing_here(self) -> TapeEnd | None:
        if self.blockno < self._blocks(self.file_num):
            return None
        return TapeEnd.FILEMARK if self.file_num < self._end else TapeEnd.NOTHING

    def _size_of(self, number: int) -> int:
        if number == self._end and self._writing is not None:
            return HEADER_SIZE + self._writing.stored
        return self._files[number].size

    def _name(self) -> bytes:
        return self._vtape.full(self._files[self.file_num].name)

    def _descriptor(self) -> int:
        """The file at the position, open for reading."""
        if self._reading is not None and self._reading[0] == self.file_num:
            return self._reading[1]
        self._forget_reading()
        fd = os.open(self._name(), os.O_RDONLY | os.O_NONBLOCK)  # not to hang on a FIFO
        self._reading = (self.file_num, fd)
        return fd

    def _forget_reading(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            os.close(reading[1])
