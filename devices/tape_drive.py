"""An open tape drive: its operations, and what an operator is told when one fails [volumes 5.4]."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from devices import mtio
from devices.errors import DeviceBusy, DeviceError, DriveFailed, Status, VolumeFailed
from devices.mtio import Op
from devices.values import Recorded

if TYPE_CHECKING:
    from devices.mtio import DriveState, IDrive, OpenDrive

BAD_VOLUME = Status.DEVICE_ERROR | Status.VOLUME_ERROR

_REWINDS = 5
_REWIND_PAUSE = 3.0
"""Seconds between two tries to rewind."""
_REWIND_SECONDS = 30.0
_BUSY_TRIES = 10

_NO_MEDIUM = frozenset({errno.ENOMEDIUM, errno.ENXIO, errno.ENODEV})
_READ_ONLY = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
NO_ROOM = frozenset({errno.ENOSPC, errno.EIO})
"""What a write fails with where the medium may be at its end."""

_ADVICE = {
    errno.ENOENT: "no such device file; see whether `lsscsi -g` shows the drive, and tapedev",
    errno.ENXIO: "no drive answers there; look at its power and cables, and at `lsscsi -g`",
    errno.ENODEV: "no drive answers there; look at its power and cables, and at `lsscsi -g`",
    errno.EACCES: "this user must be able to read and write the device file; see `ls -l {node}`",
    errno.EPERM: "look at the cartridge's write-protect tab, and at `ls -l {node}`",
    errno.EROFS: "look at the cartridge's write-protect tab",
    errno.EBUSY: "another program has the drive open; `fuser -v {node}` tells which",
    errno.ENOMEDIUM: "put a cartridge into the drive",
    errno.ENOTTY: "this is no tape drive; look at tapedev",
    errno.EIO: "the kernel's log (`dmesg`) has the drive's own words; often heads that want "
    "cleaning, or a bad cartridge",
}


def describe(error: OSError, operation: str, node: str) -> str:
    """The error, what failed with it where, and what to look at.

    E.g. ``Input/output error (EIO, MTREW on /dev/nst0): the kernel's log ...``.
    """
    number = error.errno or 0
    name = errno.errorcode.get(number, f"errno {number}")
    text = f"{error.strerror} ({name}, {operation} on {node})"
    advice = _ADVICE.get(number)
    return text if advice is None else f"{text}: {advice.format(node=node)}"


class TapeDrive:
    """A drive that was opened, with a medium in it or not.

    :ivar write_error: why it could be opened for reading only; None: it can be written.
    :ivar drive: what is below.
    """

    def __init__(self, node: str, drive: IDrive, write_error: OSError | None) -> None:
        self.node = node
        self.drive = drive
        self.write_error = write_error

    def close(self) -> None:
        """:raise OSError: the filemark that is written then could not be"""
        self.drive.close()

    def text(self, error: OSError, operation: str) -> str:
        """See :func:`describe`."""
        return describe(error, operation, self.node)

    # positions

    def operate(self, op: Op, count: int = 1) -> None:
        """:raise OSError: it failed"""
        mtio.operate(self.drive, op, count)

    def state(self) -> DriveState:
        """:raise OSError: the drive does not tell"""
        return mtio.state(self.drive)

    def try_state(self) -> DriveState | None:
        """What the drive tells of itself, if anything."""
        try:
            return self.state()
        except OSError:
            return None  # whoever asks gets along without it

    def rewind(self, sleep: Callable[[float], None]) -> None:
        """Go to the beginning, trying again where the drive is not yet able to.

        :raise OSError: of the last try
        """
        waited = 0.0
        for attempt in range(_REWINDS):
            try:
                self.operate(Op.REW)
            except OSError as error:
                last = attempt == _REWINDS - 1 or waited >= _REWIND_SECONDS
                if last or error.errno in _NO_MEDIUM:
                    raise
                sleep(_REWIND_PAUSE)
                waited += _REWIND_PAUSE
            else:
                return

    # records

    def write_run(self, data: memoryview, size: int) -> tuple[int, OSError | None]:
        """Write whole records, each with one call.

        :return: bytes of those that were written, and what stopped it before the end
        """
        write = self.drive.write
        at = 0
        try:
            for at in range(0, len(data), size):
                written = write(data[at : at + size])
                if written != size:
                    return at, _short(written, size)
        except OSError as error:
            return at, error
        return len(data), None

    def settle(self, record: memoryview, error: OSError, leom: bool) -> Recorded:
        """See what becomes of a record that was not written at once.

        At the early warning the driver refuses once, and takes the same record then.

        :raise OSError: it failed for another reason than the end of the medium
        """
        if leom and error.errno == errno.ENOSPC:
            _, again = self.write_run(record, len(record))
            if again is None:
                return Recorded.EARLY
            error = again
        if error.errno not in NO_ROOM:
            raise error
        return Recorded.NO_ROOM

    def write(self, record: bytes, leom: bool) -> tuple[Recorded, OSError | None]:
        """Write one record.

        :return: what became of it, and what the driver said of it
        :raise OSError: it failed for another reason than the end of the medium
        """
        view = memoryview(record)
        _, error = self.write_run(view, len(view))
        if error is None:
            return Recorded.STORED, None
        return self.settle(view, error, leom), error


def _short(written: int, size: int) -> OSError:
    if not written:  # what some drivers say at the end of the medium
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return OSError(errno.EMSGSIZE, f"short write: {written} bytes of a record of {size}")


def open_tape(node: str, open_drive: OpenDrive, *, nonblocking: bool) -> TapeDrive:
    """Open a drive, whatever is in it; for reading only where it cannot be written.

    :raise DeviceError: it cannot be opened at all
    """
    extra = os.O_NONBLOCK if nonblocking else 0
    write_error: OSError | None = None
    try:
        drive = _open_patiently(node, open_drive, os.O_RDWR, extra)
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise _open_failed(node, error) from error
        write_error = error
        try:
            drive = _open_patiently(node, open_drive, os.O_RDONLY, extra)
        except OSError as worse:
            raise _open_failed(node, worse) from worse
    if nonblocking:
        drive.set_blocking()
    return TapeDrive(node, drive, write_error)


def _open_patiently(node: str, open_drive: OpenDrive, flags: int, extra: int) -> IDrive:
    for attempt in range(_BUSY_TRIES + 1):
        try:
            return open_drive(node, flags | extra)
        except OSError as error:
            if extra and error.errno in (errno.EWOULDBLOCK, errno.EINVAL):
                extra = 0
            elif error.errno != errno.EBUSY or attempt == _BUSY_TRIES:
                raise
    return open_drive(node, flags)


def _open_failed(node: str, error: OSError) -> DeviceError:
    text = f"Can't open tape device {node}: {describe(error, 'open', node)}"
    if error.errno == errno.EBUSY:
        return DeviceBusy(text, Status.DEVICE_BUSY)
    if error.errno == errno.ENOMEDIUM:
        return VolumeFailed(text, Status.VOLUME_MISSING)
    return DriveFailed(text, Status.DEVICE_ERROR)


def check_ready(tape: TapeDrive, *, ignore_online: bool, block_size: int) -> None:
    """See that the drive is a tape drive, with a medium that can be used.

    :param ignore_online: the drive's own word on its medium counts for nothing
    :param block_size: bytes of a record, as the drive must not have fixed blocks of another size
    :raise DeviceError: it is not
    """
    node = tape.node
    try:
        tape.operate(Op.NOP)
    except OSError as error:
        raise _not_ready(tape, error) from error
    try:
        state = tape.state()
    except OSError as error:
        text = f"Tape device {node} is not ready or is empty: {tape.text(error, 'MTIOCGET')}"
        raise VolumeFailed(text, Status.VOLUME_ERROR) from error
    if not (state.online or ignore_online):
        text = f"Tape device {node} is empty: put a cartridge into the drive, or wait until it is"
        raise VolumeFailed(f"{text} loaded", Status.VOLUME_MISSING)
    if state.block_size not in (0, block_size):
        text = f"Device {node} use fixed block size of {state.block_size}"
        advice = f"set BLOCKSIZE to it, or let the drive take any size (`mt -f {node} setblk 0`)"
        raise VolumeFailed(f"{text} and tapetype use {block_size}: {advice}", BAD_VOLUME, code=2009)


def _not_ready(tape: TapeDrive, error: OSError) -> DeviceError:
    node = tape.node
    if error.errno == errno.ENOMEDIUM:
        text = f"Tape device {node} is not ready or is empty: {tape.text(error, 'MTNOP')}"
        return VolumeFailed(text, Status.VOLUME_MISSING)
    if error.errno == errno.EIO:
        why = f"{error.strerror} (EIO, MTNOP on {node})"
        text = f"Tape device {node} is not ready: {why}: it is still loading, or it holds a"
        text = f"{text} cleaning cartridge or one of another generation; see `mt -f {node} status`"
        return DeviceBusy(text, Status.DEVICE_ERROR | Status.DEVICE_BUSY)
    text = f"File {node} is not a tape device: {tape.text(error, 'MTNOP')}"
    return DriveFailed(text, Status.DEVICE_ERROR)
