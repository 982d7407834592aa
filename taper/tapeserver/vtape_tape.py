"""A vtape as a tape: records and filemarks are the files of a ``file:`` volume [ndmp-server 10].

Tape file N is the file with that number: its first record is the header, 32768 bytes of the file,
filled up with zeros to the record size; each further record is the next ``block`` bytes. A filemark
is the end of a file. What a directory cannot hold is refused by :class:`Unfit` before it is
written, in a text that names file and record.
"""

from __future__ import annotations

import errno
import os
from typing import NoReturn

from devices.base import HEADER_SIZE
from devices.datafile import NO_SPACE, DataFile, sync_directory
from devices.labelled import DUMPS
from devices.vtape import (
    LARGEST_NUMBER,
    NAME_MAX,
    Numbered,
    file_name,
    label_name,
    names_a_file,
)
from protocols.header import Header, HeaderType, parse_header
from protocols.ndmp_server.interfaces import TapeEnd, Unfit
from taper.tapeserver.vtape_reading import VtapeReader


class VtapeTape(VtapeReader):
    """See :class:`protocols.ndmp_server.interfaces.Tape`."""

    # writing

    def write(self, record: bytes | memoryview) -> TapeEnd | None:
        if self.blockno and self.file_num:
            _, end = self._append(memoryview(record))
            return end
        return self._begin(memoryview(record))

    def write_run(self, data: memoryview, size: int) -> tuple[int, TapeEnd | None]:
        done = 0
        if not (self.blockno and self.file_num):
            end = self.write(data[:size])
            if end is not None:
                return 0, end
            done = size
        if done == len(data):
            return done, None
        if size != self._block:
            self._unfit(f"{size} bytes; this drive has records of {self._block}")
        wrote, end = self._append(data[done:])
        return done + wrote, end

    def _unfit(self, what: str) -> NoReturn:
        raise Unfit(f"{self.node}, file {self.file_num}, record {self.blockno}: {what}")

    def _begin(self, record: memoryview) -> TapeEnd | None:
        """A header begins a file."""
        if self.blockno:
            self._unfit("a label is followed by nothing but a filemark")
        if len(record) != self._block:
            self._unfit(f"{len(record)} bytes; the first record of a file has {self._block}")
        block = bytes(record[:HEADER_SIZE])
        if any(record[HEADER_SIZE:]):
            self._unfit(f"text beyond the first {HEADER_SIZE} bytes of a header")
        header = parse_header(block)
        if not self.file_num:
            self._relabel(header, block)
            return None
        if header.type not in DUMPS:
            self._unfit("no header of an Amanda dump, with which every file here begins")
        if 0 not in self._files:
            self._unfit("no label stands in file 0")
        if self.file_num > LARGEST_NUMBER:
            raise OSError(errno.EFBIG, "no file number is left")
        end = self._judge(HEADER_SIZE)
        return self._create(header, block) if end is None else end

    def _relabel(self, header: Header, block: bytes) -> None:
        name = label_name(header.label)
        if header.type is not HeaderType.TAPESTART:
            self._unfit("no label of an Amanda volume, with which a tape here begins")
        if not names_a_file(header.label) or len(name) > NAME_MAX:
            self._unfit(f"label {header.label!r} cannot be the name of a file")
        self._drop_writing()
        self._forget_reading()
        self._vtape.relabel(name, block, durable=True)
        self._scan()
        self._end = 0  # the label's own mark is still to come
        self._writing = self._data_file(os.open(self._vtape.full(name), os.O_RDWR))
        self.blockno = 1
        self._warned = False

    def _data_file(self, fd: int) -> DataFile:
        return DataFile(fd, HEADER_SIZE, durable=True, direct=self._direct)

    def _create(self, header: Header, block: bytes) -> TapeEnd | None:
        self._cut(self.file_num)
        name = file_name(self.file_num, header.host, header.disk, header.level)
        try:
            fd = self._vtape.create(name, block)
        except OSError as fault:
            if fault.errno not in NO_SPACE:
                raise
            return self._no_room()
        self._files[self.file_num] = Numbered(self.file_num, name, HEADER_SIZE)
        self._vtape.forget()
        self._end = self.file_num
        self._writing = self._data_file(fd)
        self._room.wrote(HEADER_SIZE)
        self.blockno = 1
        return None

    def _append(self, data: memoryview) -> tuple[int, TapeEnd | None]:
        """Write records behind a header: whole ones, or one that is short."""
        if len(data) % self._block and len(data) > self._block:
            self._unfit(f"{len(data)} bytes; this drive has records of {self._block}")
        writing = self._open_here()
        if writing.stored % self._block:
            self._unfit("the record before it is short, so it was the last one of its file")
        done = 0
        while done < len(data):
            run = self._room.next_run(len(data) - done, self._terms)
            if not run.size:
                return done, TapeEnd.FULL
            if run.early and not self._warned:
                self._warned = True
                return done, TapeEnd.EARLY
            before = writing.stored
            try:
                writing.append(data[done : done + run.size])
            except OSError as fault:
                whole = (writing.stored - before) // self._block * self._block
                writing.cut_back(before + whole)
                self._count(whole)
                if fault.errno not in NO_SPACE:
                    raise
                return done + whole, self._no_room()
            self._count(run.size)
            done += run.size
        return done, None

    def _count(self, size: int) -> None:
        self._room.wrote(size)
        self.blockno += -(-size // self._block)

    def _no_room(self) -> TapeEnd:
        warned, self._warned = self._warned, True
        return TapeEnd.FULL if warned else TapeEnd.EARLY

    def _judge(self, size: int) -> TapeEnd | None:
        run = self._room.judge_header(size, self._terms)
        if not run.size:
            return TapeEnd.FULL
        if run.early and not self._warned:
            self._warned = True
            return TapeEnd.EARLY
        return None

    def _open_here(self) -> DataFile:
        """The file at the position, to go on writing there; what stood behind is gone."""
        size = (self.blockno - 1) * self._block
        writing = self._writing
        if writing is not None and self.file_num == self._end:
            if self.blockno < self._blocks(self.file_num):
                self._room.wrote(size - writing.stored)
                writing.cut_back(size)
            return writing
        if 0 not in self._files:
            self._unfit("no label stands in file 0")
        self._drop_writing()
        self._cut(self.file_num + 1)
        file = self._files[self.file_num]
        fd = os.open(self._vtape.full(file.name), os.O_RDWR)
        writing = self._writing = self._data_file(fd)
        writing.cut_back(min(size, max(file.size - HEADER_SIZE, 0)))
        self._room.wrote(HEADER_SIZE + writing.stored - file.size)
        self._end = self.file_num
        return writing

    def write_filemark(self) -> TapeEnd | None:
        """See Tape. Marks behind the last file are kept in memory only."""
        if not (self.file_num or self.blockno):
            self._unfit("a filemark here would erase the volume; label it instead")
        if not self.blockno:
            self._drop_writing()
            self._cut(self.file_num)
        elif self.file_num:
            self._open_here()
            self._finish()
        else:
            self._drop_writing()
            self._cut(1)
        self._end = self.file_num + 1
        self.file_num, self.blockno = self._end, 0
        return None

    def _drop_writing(self) -> None:
        """Something else is written now; a file that was not ended ends where it is."""
        if self._writing is not None:
            self._finish()

    def _finish(self) -> None:
        writing, self._writing = self._writing, None
        assert writing is not None, "nothing is being written"
        file = self._files[self._end]
        self._files[self._end] = Numbered(file.number, file.name, HEADER_SIZE + writing.stored)
        self._end += 1
        writing.finish()
        sync_directory(self._vtape.path)

    def _cut(self, first: int) -> None:
        """Delete the files from this number on, the last one first."""
        self._forget_reading()
        self._vtape.cut(first)
        for number in [number for number in self._files if number >= first]:
            self._room.wrote(-self._files.pop(number).size)
