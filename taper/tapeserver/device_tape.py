"""A real tape in a drive of the driver ``st`` [volumes 5.4], [ndmp-server 3.5, 3.6].

``st`` tells in which file it stands, and not always at which record; it stands behind a filemark
that a reader has met, where NDMP stands before it. So the position is counted here: in files,
records, and blocks of the whole tape (``MTIOCPOS``, filemarks counted), from which the records of a
file follow wherever its beginning is known.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from devices import mtio
from devices.errors import DeviceBusy, DeviceError, Status
from devices.mtio import Gmt, Op
from devices.tape_drive import TapeDrive as Opened
from devices.tape_drive import check_ready, open_tape
from protocols.ndmp.codes import ErrorCode
from protocols.ndmp_server.interfaces import Refused, TapeEnd
from taper.tapeserver.drive import TapeDrive

LARGEST_RECORD = 2**21
_MOST = 2**31 - 1
"""The largest count of an operation."""


class DeviceTape:
    """See :class:`protocols.ndmp_server.interfaces.Tape`.

    :param drive: open, with a tape in it
    """

    space = None

    def __init__(self, drive: Opened) -> None:
        self._drive = drive
        self._buffer = memoryview(bytearray(LARGEST_RECORD))
        self.file_num = 0
        self.blockno = 0
        self.at_filemark = False
        self._block = 0
        self._starts = {0: 0}
        self._wrote = False
        self._warned = self._refused = False
        state = drive.state()
        self.write_protected = drive.write_error is not None or state.write_protected
        if state.file is None or state.block is None:
            drive.operate(Op.REW)
        else:
            self.file_num, self.blockno = state.file, state.block
            self._block = mtio.position(drive.drive)
            self._starts[self.file_num] = self._block - self.blockno

    @property
    def behind_filemark(self) -> bool:
        return self.file_num > 0 and self.blockno == 0

    def opened(self) -> None:
        self._warned = False

    def flush(self) -> None:
        """A filemark has let all be on the tape."""

    def close(self) -> None:
        """:raise OSError: the filemark that is written then could not be"""
        self._drive.close()

    def eject(self) -> None:
        self._drive.operate(Op.OFFL)

    # motion

    def _end_writing(self) -> None:
        """The driver would do it by itself, and count it."""
        if self._wrote:
            self.write_filemark()

    def _move(self, op: Op, count: int) -> bool:
        """:return: all of it was done"""
        self.at_filemark = False
        try:
            self._drive.operate(op, min(count, _MOST))
        except OSError as fault:
            if fault.errno != errno.EIO:
                raise
            return False
        return True

    def _stand(self, file: int, blockno: int) -> None:
        self.file_num, self.blockno = file, blockno
        self._block = mtio.position(self._drive.drive)
        self._starts[file] = self._block - blockno

    def rewind(self) -> None:
        self._end_writing()
        self.at_filemark = self._warned = False
        self._drive.operate(Op.REW)
        self.file_num = self.blockno = self._block = 0

    def forward_records(self, count: int) -> int:
        if not count:
            return 0
        self._end_writing()
        if self._move(Op.FSR, count):
            self.blockno += count
            self._block += count
            return 0
        passed = mtio.position(self._drive.drive) - self._block
        if not self._drive.state().flags & Gmt.EOD:  # it has passed a filemark
            passed -= 1
            self._back_over_mark()
        self.blockno += passed
        self._block += passed
        return count - passed

    def _back_over_mark(self) -> None:
        self._drive.operate(Op.BSF)
        self.at_filemark = True

    def back_records(self, count: int) -> int:
        step = min(count, self.blockno)
        if step:
            self._end_writing_before(step)
        return count - step

    def _end_writing_before(self, step: int) -> None:
        if self._wrote:  # the filemark of what was written is between us and the records then
            self.write_filemark()
            self.back_filemarks(1)
        self.at_filemark = False
        self._drive.operate(Op.BSR, step)
        self.blockno -= step
        self._block -= step

    def forward_filemarks(self, count: int) -> int:
        if not count:
            return 0
        self._end_writing()
        before = self.file_num
        if self._move(Op.FSF, count):
            self._stand(before + count, 0)
            return 0
        file = self._drive.state().file
        if file is None:
            raise OSError(errno.EIO, "the drive does not tell where it stands", self._drive.node)
        self._stand_in(file)
        return count - (file - before)

    def back_filemarks(self, count: int) -> int:
        if not count:
            return 0
        self._end_writing()
        if count > self.file_num:
            rest = count - self.file_num
            self.rewind()
            return rest
        self.at_filemark = True
        self._drive.operate(Op.BSF, count)
        self._stand_in(self.file_num - count)
        return 0

    def _stand_in(self, file: int) -> None:
        """Find out at which record of the file it is, and stay there."""
        block = mtio.position(self._drive.drive)
        if file not in self._starts:
            self._drive.operate(Op.BSF)
            self._drive.operate(Op.FSF)
            self._starts[file] = mtio.position(self._drive.drive)
            if block > self._starts[file]:
                self._drive.operate(Op.FSR, block - self._starts[file])
        self.file_num, self.blockno, self._block = file, block - self._starts[file], block

    # reading

    def read(self) -> bytes | TapeEnd:
        got = self._read(self._buffer)
        return got if isinstance(got, TapeEnd) else bytes(self._buffer[:got])

    def read_run(self, buffer: memoryview, size: int) -> int | TapeEnd:
        got = self._read(self._buffer)
        if isinstance(got, TapeEnd):
            return got
        got = min(got, size)
        buffer[:got] = self._buffer[:got]
        return got

    def _read(self, buffer: memoryview) -> int | TapeEnd:
        self._end_writing()
        try:
            got = self._drive.drive.read(buffer)
        except OSError as fault:
            if fault.errno != errno.EIO or not self._is_at_end():
                raise
            return TapeEnd.NOTHING
        if got:
            self.blockno += 1
            self._block += 1
            self.at_filemark = False
            return got
        if self._drive.state().flags & Gmt.EOD:
            return TapeEnd.NOTHING
        self._back_over_mark()
        return TapeEnd.FILEMARK

    def _is_at_end(self) -> bool:
        """Nothing was ever written here: so it is, or else a record cannot be read."""
        self._drive.operate(Op.EOM)
        return mtio.position(self._drive.drive) == self._block

    # writing

    def write(self, record: bytes | memoryview) -> TapeEnd | None:
        view = memoryview(record)
        return self.write_run(view, len(view))[1]

    def write_run(self, data: memoryview, size: int) -> tuple[int, TapeEnd | None]:
        done = 0
        while done < len(data):
            wrote, fault = self._drive.write_run(data[done:], size)
            self._count(wrote // size)
            done += wrote
            if fault is None:
                break
            if fault.errno != errno.ENOSPC:
                raise fault
            if self._refused and not wrote:
                return done, TapeEnd.FULL
            # behind the early warning the driver refuses every other record
            self._refused = True
            if not self._warned:
                self._warned = True
                return done, TapeEnd.EARLY
        return done, None

    def _count(self, records: int) -> None:
        if records:
            self._cut()
            self._refused = False
            self._wrote = True
            self.blockno += records
            self._block += records

    def _cut(self) -> None:
        """What stood behind is gone."""
        self.at_filemark = False
        self._starts = {
            file: block for file, block in self._starts.items() if file <= self.file_num
        }

    def write_filemark(self) -> TapeEnd | None:
        self._drive.operate(Op.WEOF)
        self._cut()
        self._wrote = False
        self.file_num, self.blockno = self.file_num + 1, 0
        self._block += 1
        self._starts[self.file_num] = self._block
        return None


class DriveVolume:
    """What is in a device file's drive: opened with it, and closed.

    :param open_drive: opens device files
    """

    def __init__(self, node: str, open_drive: mtio.OpenDrive = mtio.open_drive) -> None:
        self._node = node
        self._open_drive = open_drive

    def claim(self, drive: TapeDrive) -> None:
        try:
            opened = open_tape(self._node, self._open_drive, nonblocking=True)
            try:
                check_ready(opened, ignore_online=False, block_size=0)
                drive.medium = DeviceTape(opened)
            except BaseException:
                opened.close()
                raise
        except DeviceBusy as fault:
            raise Refused(ErrorCode.DEVICE_BUSY, fault.text) from fault
        except DeviceError as fault:
            if not fault.status & Status.VOLUME_MISSING:
                raise Refused(ErrorCode.IO, fault.text) from fault
            drive.medium = None

    def let_go(self, drive: TapeDrive) -> None:
        self._leave(drive, lambda tape: None)

    def unload(self, drive: TapeDrive) -> None:
        self._leave(drive, DeviceTape.eject)

    def load(self, drive: TapeDrive) -> None:
        if drive.medium is None:
            self.claim(drive)

    def _leave(self, drive: TapeDrive, first: Callable[[DeviceTape], object]) -> None:
        medium, drive.medium = drive.medium, None
        if isinstance(medium, DeviceTape):
            try:
                first(medium)
            finally:
                medium.close()
