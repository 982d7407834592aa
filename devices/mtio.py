"""Magnetic tape on Linux: what ``<sys/mtio.h>`` and the driver ``st`` know [volumes 5.4].

Every ioctl of a tape drive is here, and nothing else of it. What is below, the open drive itself,
is an :class:`IDrive`; :func:`open_drive` gives the real one, tests give another. Source of numbers
and layouts: ``include/uapi/linux/mtio.h`` and ``Documentation/scsi/st.rst`` of the kernel.
"""

from __future__ import annotations

import enum
import fcntl
import os
import platform
import struct
from collections.abc import Callable
from functools import partial

from attrs import frozen
from zope.interface import Attribute, Interface, implementer


class Op(enum.IntEnum):
    """Operations of ``MTIOCTOP``, by the names of the man page ``st(4)`` without ``MT``."""

    FSF = 1
    BSF = 2
    FSR = 3
    BSR = 4
    WEOF = 5
    REW = 6
    OFFL = 7
    NOP = 8
    EOM = 12
    COMPRESSION = 32


class Gmt(enum.IntFlag):
    """What ``MTIOCGET`` tells of a drive and its medium."""

    EOF = 0x80000000
    BOT = 0x40000000
    EOT = 0x20000000
    EOD = 0x08000000
    WR_PROT = 0x04000000
    ONLINE = 0x01000000
    DR_OPEN = 0x00040000
    CLN = 0x00008000


_BLOCK_SIZE_MASK = 0xFFFFFF

MTOP = struct.Struct("@hi")
"""``struct mtop``: operation, count."""
MTGET = struct.Struct("@lllllii")
"""``struct mtget``: type, residual, density and block size, flags, errors, file, block."""
MTPOS = struct.Struct("@l")
"""``struct mtpos``: block."""

# most machines keep direction and size of an ioctl in 2 and 14 bits, some in 3 and 13
_OTHERWISE = platform.machine().startswith(("ppc", "mips", "sparc", "alpha"))
_READ, _WRITE = (2 << 29, 4 << 29) if _OTHERWISE else (2 << 30, 1 << 30)


def _request(direction: int, number: int, argument: struct.Struct) -> int:
    return direction | argument.size << 16 | ord("m") << 8 | number


MTIOCTOP = _request(_WRITE, 1, MTOP)
MTIOCGET = _request(_READ, 2, MTGET)
MTIOCPOS = _request(_READ, 3, MTPOS)


class IDrive(Interface):
    """An open tape drive as ``st`` gives it. All may block, and raise OSError."""

    read: Callable[[memoryview], int] = Attribute(
        "read one record into a buffer (variable blocks): its bytes; 0 at a filemark, which is "
        "passed, and at the end of the data. A record that is longer than the buffer is lost"
    )
    write: Callable[[bytes | memoryview], int] = Attribute(
        "write one record: bytes written. At the early warning every other one fails with ENOSPC"
    )

    def ioctl(request: int, argument: bytearray) -> None:
        """``ioctl(2)``; what the kernel answers is in ``argument`` then."""

    def set_blocking() -> None:
        """Clear O_NONBLOCK."""

    def close() -> None:
        """``close(2)``: after written records ``st`` writes a filemark."""


OpenDrive = Callable[[str, int], IDrive]
"""Opens a device file with the flags of ``open(2)``; raises OSError."""


@implementer(IDrive)
class LinuxDrive:
    """A device file of the driver ``st``."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        # a record is one call, with nothing of ours around it
        self.write: Callable[[bytes | memoryview], int] = partial(os.write, fd)

    def read(self, buffer: memoryview) -> int:
        return os.readv(self._fd, [buffer])

    def ioctl(self, request: int, argument: bytearray) -> None:
        fcntl.ioctl(self._fd, request, argument, True)

    def set_blocking(self) -> None:
        os.set_blocking(self._fd, True)

    def close(self) -> None:
        os.close(self._fd)


def open_drive(path: str, flags: int) -> LinuxDrive:
    """Open a device file. :raise OSError: it cannot be"""
    return LinuxDrive(os.open(path, flags | os.O_CLOEXEC | os.O_NOCTTY))


@frozen
class DriveState:
    """What ``MTIOCGET`` tells.

    :ivar flags: see :class:`Gmt`.
    :ivar block_size: bytes of the drive's fixed blocks; 0: blocks of any size.
    :ivar file: filemarks before the position; None: the driver does not know.
    :ivar block: records since then; None: the driver does not know.
    """

    flags: Gmt
    block_size: int
    file: int | None
    block: int | None

    @property
    def online(self) -> bool:
        """There is a medium in the drive, and it is ready."""
        return bool(self.flags & Gmt.ONLINE) and not self.flags & Gmt.DR_OPEN

    @property
    def write_protected(self) -> bool:
        return bool(self.flags & Gmt.WR_PROT)


def operate(drive: IDrive, op: Op, count: int = 1) -> None:
    """``MTIOCTOP``. :raise OSError: the operation failed"""
    drive.ioctl(MTIOCTOP, bytearray(MTOP.pack(op, count)))


def state(drive: IDrive) -> DriveState:
    """``MTIOCGET``. :raise OSError: the drive does not tell"""
    answer = bytearray(MTGET.size)
    drive.ioctl(MTIOCGET, answer)
    _, _, density, flags, _, file, block = MTGET.unpack(answer)
    known = Gmt(0)
    for flag in Gmt:
        known |= flag & flags
    return DriveState(
        known,
        density & _BLOCK_SIZE_MASK,
        file if file >= 0 else None,
        block if block >= 0 else None,
    )


def position(drive: IDrive) -> int:
    """``MTIOCPOS``: the number of the block that comes next, filemarks counted.

    :raise OSError: the drive does not tell
    """
    answer = bytearray(MTPOS.size)
    drive.ioctl(MTIOCPOS, answer)
    block: int = MTPOS.unpack(answer)[0]
    return block
