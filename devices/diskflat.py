"""The device ``diskflat:``: a volume is one regular file [volumes 5.2].

The file holds the label's block, the header of its only dump file, and the data. It is named
after its label, so chg-diskflat finds volumes by their names.
"""

from __future__ import annotations

import os
import stat

from zope.interface import implementer

from devices.base import HEADER_SIZE, timestamp_now
from devices.datafile import NO_SPACE, no_space_text, sync_directory
from devices.errors import DeviceError, Status, VolumeFailed
from devices.file_backed import LIMIT_REACHED, FileBackedDevice
from devices.interfaces import (
    AccessMode,
    FileStart,
    IClones,
    IFindsData,
    IStoresBehind,
    VolumeReading,
)
from devices.labelled import BAD_VOLUME, DUMPS, INVALID_HEADER, NO_HEADERS
from devices.vtape import to_bytes, to_text
from protocols.header import Header, HeaderType, parse_header

DATA_START = 2 * HEADER_SIZE
ONE_FILE_ONLY = "Can't write more than one file to the diskflat device"


@implementer(IClones, IFindsData, IStoresBehind)
class DiskflatDevice(FileBackedDevice):
    """A volume in one file.

    :param node: path of the file; its directory must exist before it is written.
    """

    def __init__(self, name: str, node: str) -> None:
        self._path = to_bytes(node)
        super().__init__(name, os.path.dirname(self._path) or b".")

    # -- labels ---------------------------------------------------------------------------------

    def read_label(self) -> VolumeReading:
        self._need_mode("read_label", AccessMode.NULL)
        self.label = self.timestamp = None
        self.reset()
        if not os.path.lexists(self._path):
            text = (
                f"Couldn't open file {to_text(self._path)}: No such file or directory (unlabeled)"
            )
            self._note(text, Status.VOLUME_UNLABELED)
            return VolumeReading(self.status, HeaderType.EMPTY, error=text)
        try:
            header, size = self._read_volume_header()
        except DeviceError as error:
            return VolumeReading(error.status, error=error.text)
        self._room.size = size
        self.label, self.timestamp = header.label, header.datestamp
        return VolumeReading(Status.SUCCESS, header.type, header.label, header.datestamp)

    def _read_volume_header(self) -> tuple[Header, int]:
        """The label's header, and the size of the volume."""
        fd = self._open(os.O_RDONLY)
        try:
            size = os.fstat(fd).st_size
            header = self._read_header(fd, 0)
        finally:
            os.close(fd)
        if header.type is not HeaderType.TAPESTART:
            raise self._fail("Got a bad volume label", Status.VOLUME_ERROR, VolumeFailed)
        return header, size

    def _start_write(self, label: str, timestamp: str) -> None:
        """The new label takes the old one's place, which mostly needs no room; then the data go.

        A file system that never writes in place may need the room of the old file for it.
        """
        block = self._build_label(label, timestamp)
        try:
            if not self._write_label(block):
                os.unlink(self._path)
                sync_directory(self._directory)  # such a file system frees room when it commits
                self._write_label(block)
            if self._durable:
                sync_directory(self._directory)
        except OSError as error:
            text = f"Can't open file {to_text(self._path)}: {error.strerror}"
            raise self._fail(text, BAD_VOLUME, VolumeFailed) from error
        self.reset()
        self._room.size = HEADER_SIZE
        self.label, self.timestamp = label, timestamp
        self.file = 0

    def _write_label(self, block: bytes) -> bool:
        """Put the label where it belongs. :return: False: no room, but there is a file to give"""
        is_new = not os.path.exists(self._path)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o666)
        try:
            self._need_regular(fd)
            write_at(fd, block, 0)
            os.ftruncate(fd, HEADER_SIZE)
            if self._durable:
                os.fdatasync(fd)
        except (OSError, DeviceError) as error:
            if is_new:
                os.unlink(self._path)
            full = isinstance(error, OSError) and error.errno in NO_SPACE
            if full and os.fstat(fd).st_size > HEADER_SIZE:
                return False
            raise
        finally:
            os.close(fd)
        return True

    def _start_labelled(self, mode: AccessMode) -> None:
        super()._start_labelled(mode)
        if mode is AccessMode.APPEND:
            text = f"Can't append to {self.name}: a diskflat device holds one file only"
            raise self._fail(text, Status.VOLUME_ERROR, VolumeFailed)

    def erase(self) -> None:
        self._need_mode("erase", AccessMode.NULL)
        self.label = self.timestamp = None
        try:
            if os.path.lexists(self._path):
                os.unlink(self._path)
        except OSError as error:
            text = f"Error unlinking {to_text(self._path)}: {error.strerror}"
            raise self._fail(text, BAD_VOLUME, VolumeFailed) from error
        self._room.size = 0
        self._note("Unlabeled volume", Status.VOLUME_UNLABELED)

    # -- the file -------------------------------------------------------------------------------

    def start_file(self, header: Header) -> FileStart:
        """See IDevice. After the first file the volume is full, which stock calls an error."""
        self._need_writable("start_file", False)
        self.is_eom = False
        block = self._build(header)
        if self.file > 0:
            self.is_eom = True
            self._note(ONE_FILE_ONLY, Status.VOLUME_ERROR)
            return FileStart(0, True)
        run = self._room.judge_header(HEADER_SIZE, self._terms())
        self.is_eom = run.early
        if not run.size:
            self._note(LIMIT_REACHED, Status.DEVICE_ERROR)
            return FileStart(0, True)
        fd = self._open(os.O_RDWR)
        try:
            self._write_header(fd, block)
        except OSError as error:
            os.close(fd)
            if error.errno in NO_SPACE:
                self.is_eom = True
                self._note(no_space_text(error), Status.VOLUME_ERROR)
                return FileStart(0, True, space=True)
            text = f"Error writing file {to_text(self._path)}: {error.strerror}"
            raise self._fail(text, BAD_VOLUME, VolumeFailed) from error
        self._open_data(fd, DATA_START).seek(0)
        self._room.wrote(HEADER_SIZE)
        self._begin_file(1)
        return FileStart(1, self.is_eom)

    def _write_header(self, fd: int, block: bytes) -> None:
        try:
            write_at(fd, block, HEADER_SIZE)
        except OSError:
            os.ftruncate(fd, HEADER_SIZE)
            raise

    def seek_file(self, number: int) -> Header | None:
        """See IDevice. Stock has errors where there is no file; here they are as anywhere else."""
        self._check_seek(number)
        self.in_file = False
        self._close_data()
        if number == 0:
            header, _ = self._read_volume_header()
            self.file = 0
            return header
        fd = self._open(os.O_RDONLY)
        try:
            last = 1 if os.fstat(fd).st_size > HEADER_SIZE else 0
            found = self._read_header(fd, HEADER_SIZE) if number <= last else None
        except BaseException:
            os.close(fd)
            raise
        if found is not None and found.type in DUMPS:
            self._open_data(fd, DATA_START).seek(0)
            self._begin_file(1)
            return found
        os.close(fd)
        if found is not None:
            raise self._fail(INVALID_HEADER, Status.VOLUME_ERROR, VolumeFailed)
        if number == last + 1:
            self.file = number
            return Header(type=HeaderType.TAPEEND, datestamp=timestamp_now())
        self._note("Attempt to read past tape-end file", Status.SUCCESS)
        return None

    def seek_data(self, number: int) -> int:
        """See IFindsData."""
        self._begin_seek_data(number)
        self._close_data()
        if number != 1:
            raise self._no_file(number)
        return self._begin_headless(self._open(os.O_RDONLY), HEADER_SIZE, number)

    # -- what both need -------------------------------------------------------------------------

    def _open(self, flags: int) -> int:
        try:
            # whatever stands there, opening it must not wait
            fd = os.open(self._path, flags | os.O_NONBLOCK)
        except OSError as error:
            text = f"Couldn't open file {to_text(self._path)}: {error.strerror}"
            raise self._fail(text, Status.DEVICE_ERROR, VolumeFailed) from error
        try:
            self._need_regular(fd)
        except DeviceError:
            os.close(fd)
            raise
        return fd

    def _need_regular(self, fd: int) -> None:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            text = f"{to_text(self._path)} is not a regular file"
            raise self._fail(text, Status.DEVICE_ERROR, VolumeFailed)

    def _read_header(self, fd: int, place: int) -> Header:
        try:
            block = os.pread(fd, HEADER_SIZE, place)
        except OSError as error:
            text = f"Problem reading Amanda header: Error reading fd {fd}: {error.strerror}"
            raise self._fail(text, Status.VOLUME_ERROR, VolumeFailed) from error
        if not block:
            text = "Problem reading Amanda header: empty file"
            raise self._fail(text, Status.VOLUME_UNLABELED, VolumeFailed)
        header = parse_header(block)
        if header.type in NO_HEADERS:
            raise self._fail(INVALID_HEADER, Status.VOLUME_ERROR, VolumeFailed)
        return header


def write_at(fd: int, data: bytes, place: int) -> None:
    """Write all of ``data`` at offset ``place``. :raise OSError: so far as it came, it is there"""
    while data:
        wrote = os.pwrite(fd, data, place)
        data, place = data[wrote:], place + wrote
