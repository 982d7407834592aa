"""What devices on a file system share: their properties, their room, and blocks in a data file."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

from attrs import evolve

from devices.base import HEADER_SIZE
from devices.datafile import NO_SPACE, DataFile, no_space_text, sync_directory
from devices.errors import DeviceError, Status, VolumeFailed
from devices.interfaces import AccessMode, WriteEnd, Written
from devices.labelled import TOO_LARGE, LabelledDevice
from devices.properties import (
    SET_ANY_TIME,
    SET_BEFORE_START,
    SET_EXCEPT_IN_WRITTEN_FILE,
    Kind,
    Property,
    Source,
    Value,
)
from devices.room import Room, Terms
from devices.vtape import names_a_file
from protocols.header import Header

LIMIT_REACHED = "No space left on device: more than MAX_VOLUME_USAGE bytes written"

_USE_DATA = {"NO": "NO", "FALSE": "NO", "YES": "YES", "TRUE": "YES", "EXIST": "EXIST"}


def warn(text: str) -> None:
    """Log a warning."""
    logging.getLogger("devices").warning("%s", text)


def _read_header(fd: int, place: int) -> bytes:
    try:
        return os.pread(fd, HEADER_SIZE, place)
    except OSError:
        return b""  # the disk has lost it


class FileBackedDevice(LabelledDevice):
    """A device whose volume is files.

    The property FSYNC is ours: with it (the default) a file is finished only when it and its name
    are on the disk. A dump is told DONE after its parts were finished, and then the
    driver deletes the holding file, so without it a power failure can lose a dump that is in no
    other place. The disk is told to begin after every 32 MiB, so little is left to wait for at
    the end of a part, and with ``end_file`` the next part need not wait for that either; what
    remains is the speed of the disk, which no dump larger than the memory escapes anyhow.
    ``FSYNC no`` gives stock's behaviour: fast until the power fails.

    DIRECT_IO is ours, too. With it and FSYNC, blocks go to a local disk past the page cache: since
    they are waited for anyhow, a copy of them there costs processor's time and memory. It is not
    the default, since a disk that is faster than our pieces are large stands still meanwhile.

    :param directory: a path in the file system that holds the volume.
    """

    def __init__(self, name: str, directory: bytes) -> None:
        super().__init__(name, (1, 2**31 - 1, 32768))
        self._directory = directory
        self._room = Room(self._poll_free_space)
        self._data: DataFile | None = None
        add = self.properties.declare
        self._fix(full_deletion=True)
        add(evolve(self.properties["leom"], value=True, access=SET_BEFORE_START))
        add(Property("max_volume_usage", Kind.UINT64, SET_EXCEPT_IN_WRITTEN_FILE))
        add(
            Property(
                "enforce_max_volume_usage",
                Kind.BOOL,
                SET_EXCEPT_IN_WRITTEN_FILE,
                True,
                source=Source.DETECTED,
            )
        )
        add(Property("monitor_free_space", Kind.BOOL, SET_ANY_TIME, True))
        add(Property("slow_write", Kind.BOOL, SET_ANY_TIME, False))
        add(Property("use_data", Kind.STRING, SET_ANY_TIME, "EXIST"), self._check_use_data)
        add(Property("fsync", Kind.BOOL, SET_BEFORE_START, True))
        add(Property("direct_io", Kind.BOOL, SET_BEFORE_START, False))

    def _check_use_data(self, value: Value) -> Value:
        """Kept for configurations that set it; the directory is chosen at open all the same."""
        known = _USE_DATA.get(str(value).upper())
        if known is None:
            current = str(self.properties["use_data"].value)
            warn(f"Illegal USE-DATA value ({value}), using '{current}'.")
            return current
        return known

    def _poll_free_space(self) -> int | None:
        """Bytes an ordinary user may still write to the file system."""
        try:
            facts = os.statvfs(self._directory)
        except OSError as error:
            if self.properties.flag("monitor_free_space"):
                warn(
                    f"Filesystem cannot provide free space: {error.strerror}; "
                    "setting MONITOR_FREE_SPACE false"
                )
                self.properties.note("monitor_free_space", False)
            return None
        return facts.f_bavail * facts.f_frsize

    def _terms(self) -> Terms:
        get = self.properties
        enforced = get.flag("enforce_max_volume_usage")
        return Terms(
            block_size=self.block_size,
            limit=get.number("max_volume_usage") if enforced else 0,
            leom=self.leom,
            monitor=get.flag("monitor_free_space"),
        )

    def next_run(self, offered: int) -> int:
        if self.is_eom or self.properties.flag("slow_write"):
            return super().next_run(offered)
        return self._room.next_run(offered, self._terms()).size or super().next_run(offered)

    # -- labels ---------------------------------------------------------------------------------

    def _build_label(self, label: str, timestamp: str) -> bytes:
        """The block of a label. A label that could leave its directory is refused."""
        if not names_a_file(label):
            raise self._label_refused(label)
        return super()._build_label(label, timestamp)

    def _build(self, header: Header) -> bytes:
        """A header's block, 32768 bytes whatever the block size is."""
        return self._build_block(header, HEADER_SIZE, TOO_LARGE)

    # -- data -----------------------------------------------------------------------------------

    @property
    def _durable(self) -> bool:
        return self.properties.flag("fsync")

    def _open_data(self, fd: int, start: int) -> DataFile:
        durable = self._durable
        direct = durable and self.properties.flag("direct_io")
        self._data = DataFile(fd, start, durable, direct=direct)
        return self._data

    def _begin_headless(self, fd: int, place: int, number: int) -> int:
        """Begin to read a file behind its header, which must be damaged.

        :param fd: ours from now on
        :param place: of the header, bytes
        :return: bytes of data
        """
        try:
            size = os.fstat(fd).st_size - place - HEADER_SIZE
            if size < 0:
                raise self._fail("The file ends in its header", Status.VOLUME_ERROR, VolumeFailed)
            self._need_damaged(_read_header(fd, place))
        except BaseException:
            os.close(fd)
            raise
        self._open_data(fd, place + HEADER_SIZE).seek(0)
        self._begin_file(number)
        return size

    def _current(self) -> DataFile:
        if self._data is None:
            raise ValueError(f"{self.name} has no file open")
        return self._data

    def write_blocks(self, data: memoryview) -> Written:
        """See IDevice. After SPACE, ``reset`` and the rest may be offered again.

        What lies in the early-warning zone is written block by block, everything before it in
        one go.
        """

        def append(done: int, size: int) -> bool:
            self._current().append(data[done : done + size])
            return True

        return self._write(len(data), append)

    def clone_blocks(self, fd: int, offset: int, size: int) -> Written | None:
        """See IClones."""

        def share(done: int, size: int) -> bool:
            return self._current().clone(fd, offset + done, size)

        if self.properties.flag("slow_write"):
            return None
        written = self._write(size, share)
        nothing = written.end is WriteEnd.NONE and not written.accepted
        return None if nothing else written

    def _write(self, size: int, store: Callable[[int, int], bool]) -> Written:
        """Append blocks, as far as there is room.

        :param size: bytes offered
        :param store: stores so many bytes behind so many that were stored before; False: it
            cannot, and all ends here. May raise OSError.
        """
        self._check_offer(size)
        terms = self._terms()
        slow = self.properties.flag("slow_write")
        accepted = 0
        while accepted < size:
            offered = size - accepted
            if self.is_eom or slow:
                offered = min(offered, terms.block_size)
            run = self._room.next_run(offered, terms)
            early = self.is_eom or run.early
            if not run.size:
                self.is_eom = early
                self._note(LIMIT_REACHED, Status.VOLUME_ERROR)
                return Written(accepted, WriteEnd.FULL if terms.leom else WriteEnd.FAILED)
            if slow and self._file_bytes // terms.block_size % 2 == 0:
                time.sleep(1)
            try:
                if not store(accepted, run.size):
                    return Written(accepted, WriteEnd.NONE)
            except OSError as error:
                self.is_eom = early
                stored = self._count_whole_blocks()
                return Written(accepted + stored, self._after_failure(error))
            self.is_eom = early
            accepted += run.size
            self._room.wrote(run.size)
            self._count(run.size)
            if self.is_eom:
                return Written(accepted, WriteEnd.EARLY)
        return Written(accepted, WriteEnd.NONE)

    def _count_whole_blocks(self) -> int:
        """After a failed write: count the whole blocks it stored. :return: their bytes"""
        stored = self._current().stored
        whole = stored - stored % self.block_size - self._file_bytes
        self._room.wrote(stored - self._file_bytes)
        self._count(whole)
        return whole

    def _after_failure(self, error: OSError) -> WriteEnd:
        """Bring the file back to its whole blocks if the file system is full."""
        data = self._current()
        if error.errno in NO_SPACE:
            extra = data.stored - self._file_bytes
            try:
                data.cut_back(self._file_bytes)
            except OSError as worse:
                error = worse
            else:
                self._room.wrote(-extra)
                self.is_eom = True
                self._note(no_space_text(error), Status.VOLUME_ERROR)
                return WriteEnd.SPACE if self.leom else WriteEnd.FAILED
        self._note(f"Error writing device fd {data.fd}: {error.strerror}", Status.VOLUME_ERROR)
        return WriteEnd.FAILED

    def finish_file(self) -> None:
        self._need_writable("finish_file", True)
        store = self._end_file()
        try:
            store()
        except DeviceError as error:
            self._note(error.text, error.status)
            raise

    def end_file(self) -> Callable[[], None]:
        """See IStoresBehind."""
        self._need_writable("end_file", True)
        return self._end_file()

    def _end_file(self) -> Callable[[], None]:
        data, self._data = self._current(), None
        self.in_file = False
        directory = self._directory if self._durable else None

        def store() -> None:
            try:
                data.finish()
                if directory is not None:
                    sync_directory(directory)
            except OSError as error:
                # what the disk did not take is lost, and the part with it
                text = f"Error writing device fd {data.fd}: {error.strerror}"
                raise VolumeFailed(text, Status.VOLUME_ERROR) from error

        return store

    def read_blocks(self, buffer: memoryview) -> int:
        self._check_buffer(len(buffer))
        try:
            got = self._current().read(buffer)
        except OSError as error:
            text = f"Error reading from data file: {error.strerror}"
            raise self._drive_error(text) from error
        if not got:
            self.in_file = False
        return got

    def _drive_error(self, text: str) -> DeviceError:
        return self._fail(text, Status.DEVICE_ERROR | Status.VOLUME_ERROR, VolumeFailed)

    def _close_data(self) -> None:
        data, self._data = self._data, None
        if data is not None:
            data.close()

    def finish(self) -> None:
        """See IDevice. A file still open is closed as it is: not finished, not durable."""
        self.access_mode = AccessMode.NULL
        self.in_file = False
        try:
            self._close_data()
        except OSError as error:
            raise self._drive_error(
                f"Error closing a file of {self.name}: {error.strerror}"
            ) from error
