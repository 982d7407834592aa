"""The device ``file:``: a volume is a directory, a vtape [volumes 4]."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Sequence
from itertools import islice
from operator import attrgetter

from zope.interface import implementer

from devices.base import HEADER_SIZE, timestamp_now
from devices.datafile import NO_SPACE, no_space_text
from devices.errors import DeviceError, DriveFailed, Status, VolumeFailed
from devices.file_backed import LIMIT_REACHED, FileBackedDevice, warn
from devices.interfaces import (
    AccessMode,
    FileStart,
    IClones,
    IFindsData,
    IStoresBehind,
    VolumeReading,
)
from devices.labelled import BAD_VOLUME, DUMPS, INVALID_HEADER, NO_HEADERS
from devices.vtape import (
    LARGEST_NUMBER,
    NAME_MAX,
    Numbered,
    VtapeDirectory,
    file_name,
    label_name,
    to_text,
)
from protocols.header import Header, HeaderType, parse_header


@implementer(IClones, IFindsData, IStoresBehind)
class FileDevice(FileBackedDevice):
    """A vtape.

    :param node: the directory, which must exist before it is used.
    """

    def __init__(self, name: str, node: str) -> None:
        self._vtape = VtapeDirectory(node)
        super().__init__(name, self._vtape.path)
        self._fix(appendable=True, partial_deletion=True)

    # -- labels ---------------------------------------------------------------------------------

    def read_label(self) -> VolumeReading:
        self._need_mode("read_label", AccessMode.NULL)
        self.label = self.timestamp = None
        self.reset()
        found: HeaderType | None = None
        try:
            files = self._files()
            if not files or files[0].number != 0:
                found = HeaderType.EMPTY
                raise self._fail("File 0 not found", Status.VOLUME_UNLABELED, VolumeFailed)
            fd, header = self._open_header(files[0])
            os.close(fd)
            if header.type is not HeaderType.TAPESTART:
                raise self._fail("Got a bad volume label", Status.VOLUME_ERROR, VolumeFailed)
        except DeviceError as error:
            return VolumeReading(error.status, found, error=error.text)
        self._room.size = sum(file.size for file in files)
        self.label, self.timestamp = header.label, header.datestamp
        return VolumeReading(Status.SUCCESS, header.type, header.label, header.datestamp)

    def _start_write(self, label: str, timestamp: str) -> None:
        """Replace the contents by a new label; refuse before anything is deleted."""
        name = label_name(label)
        if len(name) > NAME_MAX:
            raise self._label_refused(label)
        block = self._build_label(label, timestamp)
        self._check_directory()
        path = self._vtape.full(name)
        try:
            self._vtape.relabel(name, block, durable=self._durable, wipe=self._wipe)
        except OSError as error:
            text = f"Can't open file {to_text(path)}: {error.strerror}"
            raise self._fail(text, BAD_VOLUME, VolumeFailed) from error
        self.reset()
        self._room.size = HEADER_SIZE
        self.label, self.timestamp = label, timestamp

    def _wipe(self, keep: bytes | None = None) -> None:
        try:
            self._vtape.wipe(keep)
        except OSError as error:
            path = to_text(error.filename or self._vtape.path)
            text = f"Error unlinking {path}: {error.strerror}"
            raise self._fail(text, BAD_VOLUME, VolumeFailed) from error

    def erase(self) -> None:
        self._need_mode("erase", AccessMode.NULL)
        self._check_directory()
        self.label = self.timestamp = None
        self._wipe()
        self._room.size = 0
        self._note("Unlabeled volume", Status.VOLUME_UNLABELED)

    # -- files ----------------------------------------------------------------------------------

    def start_file(self, header: Header) -> FileStart:
        """See IDevice. The header region is 32768 bytes whatever the block size is.

        At the limit the status is 1, as stock has it, but that is no obstacle here.
        """
        self._need_writable("start_file", False)
        self.is_eom = False
        block = self._build(header)
        run = self._room.judge_header(HEADER_SIZE, self._terms())
        self.is_eom = run.early
        if not run.size:
            self._note(LIMIT_REACHED, Status.DEVICE_ERROR)
            return FileStart(0, True)
        number = self._next_number()
        name = file_name(number, header.host, header.disk, header.level)
        path = self._vtape.full(name)
        try:
            fd = self._vtape.create(name, block)
        except OSError as error:
            if error.errno in NO_SPACE:
                self.is_eom = True
                self._note(no_space_text(error), Status.VOLUME_ERROR)
                return FileStart(0, True, space=True)
            text = f"Can't create file {to_text(path)}: {error.strerror}"
            raise self._fail(text, BAD_VOLUME, VolumeFailed) from error
        self._vtape.added(Numbered(number, name, HEADER_SIZE))
        self._open_data(fd, HEADER_SIZE)
        self._room.wrote(HEADER_SIZE)
        self._begin_file(number)
        return FileStart(number, self.is_eom)

    def _next_number(self) -> int:
        files = self._known_files()
        if not files or files[0].number != 0 or files[-1].number >= LARGEST_NUMBER:
            # the label is gone: somebody erased the volume under us; or no number is left
            raise self._fail("Could not create header filename", BAD_VOLUME, VolumeFailed)
        return files[-1].number + 1

    def seek_file(self, number: int) -> Header | None:
        self._check_seek(number)
        self.in_file = False
        self._close_data()
        files = self._known_files()
        wanted = _first_from(number, files)
        if wanted is None:
            files = self._files()  # not there by all that is known: look again
            wanted = _first_from(number, files)
        if wanted is None or (number == 0 and wanted.number != 0):
            return self._seek_past(number, files)
        self.file = wanted.number  # whose header it is that cannot be read
        fd, header = self._open_header(wanted)
        if wanted.number == 0:
            os.close(fd)
            if header.type is not HeaderType.TAPESTART:
                raise self._fail(INVALID_HEADER, Status.VOLUME_ERROR, VolumeFailed)
            return header
        if header.type not in DUMPS:
            os.close(fd)
            raise self._fail(INVALID_HEADER, Status.VOLUME_ERROR, VolumeFailed)
        self._open_data(fd, HEADER_SIZE)
        self._begin_file(wanted.number)
        return header

    def seek_data(self, number: int) -> int:
        """See IFindsData."""
        self._begin_seek_data(number)
        self._close_data()
        found = _first_from(number, self._files())
        if found is None or found.number != number:
            raise self._no_file(number)
        return self._begin_headless(self._open_to_read(found), 0, number)

    def _seek_past(self, number: int, files: Sequence[Numbered]) -> Header | None:
        """There is no such file: the volume's end, or a place beyond it."""
        first = max((file.number + 1 for file in files if file.size), default=1)
        last = files[-1].number + 1 if files else 1
        if not number:
            raise self._fail("File 0 not found", Status.VOLUME_UNLABELED, VolumeFailed)
        if first <= number <= last:
            self.file = number
            return Header(type=HeaderType.TAPEEND, datestamp=timestamp_now())
        self._note("Attempt to read past tape-end file", Status.SUCCESS)
        return None

    # -- what both need -------------------------------------------------------------------------

    def _check_directory(self) -> None:
        trouble = self._vtape.trouble()
        if trouble:
            raise self._fail(trouble, Status.DEVICE_ERROR, DriveFailed)

    def _known_files(self) -> Sequence[Numbered]:
        """The volume's files, with the sizes they had when they were looked at."""
        known = self._vtape.known()
        return self._files() if known is None else known

    def _files(self) -> list[Numbered]:
        """The volume's files now, oddities logged."""
        self._check_directory()
        try:
            files = self._vtape.files()
        except OSError as error:
            text = (
                f"Couldn't open device {self.name} (directory {self._vtape}) for reading: "
                f"{error.strerror}"
            )
            raise self._fail(text, Status.DEVICE_ERROR, DriveFailed) from error
        for remark in self._vtape.remarks:
            warn(remark)
        return files

    def _open_header(self, file: Numbered) -> tuple[int, Header]:
        """Open a file of the volume for reading, and read its header."""
        fd = self._open_to_read(file)
        trouble = "Unknown Device error"
        try:
            block = os.read(fd, HEADER_SIZE)
        except OSError as error:
            block = b""
            trouble = f"Error reading fd {fd}: {error.strerror}"
        header = parse_header(block)
        if block and header.type not in NO_HEADERS:
            return fd, header
        os.close(fd)
        text = INVALID_HEADER if block else f"Problem reading Amanda header: {trouble}"
        raise self._fail(text, Status.VOLUME_ERROR, VolumeFailed)

    def _open_to_read(self, file: Numbered) -> int:
        path = self._vtape.full(file.name)
        try:
            return os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # not to hang on a FIFO
        except OSError as error:
            text = f"Couldn't open file {to_text(path)}: {error.strerror}"
            raise self._fail(text, Status.DEVICE_ERROR, VolumeFailed) from error


def _first_from(number: int, files: Sequence[Numbered]) -> Numbered | None:
    """The first file from ``number`` on that can be read.

    A file without a header is what a failed start leaves: not there, for a reader.
    """
    place = bisect_left(files, number, key=attrgetter("number"))
    return next((file for file in islice(files, place, None) if file.size), None)
