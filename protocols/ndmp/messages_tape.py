"""Messages of the groups SCSI and TAPE [ndmp 4.5, 4.6]."""

from __future__ import annotations

from typing import ClassVar

from protocols.ndmp.base import Byte, ErrorReply, Long, Opaque, Quad, Reply, Request, Short
from protocols.ndmp.codes import Mtio, TapeMode


class ScsiOpen(Request[ErrorReply], code=0x200):
    """Open a SCSI device."""

    device: str


class ScsiClose(Request[ErrorReply], code=0x201):
    """Close it."""


class ScsiGetStateReply(Reply):
    """Where the SCSI device is."""

    controller: Short = 0
    id: Short = 0
    lun: Short = 0


class ScsiGetState(Request[ScsiGetStateReply], code=0x202):
    """Ask where the SCSI device is."""


class ScsiSetTarget(Request[ErrorReply], code=0x203, versions=(2, 3)):
    """Choose another target."""

    device: str
    controller: Short
    id: Short
    lun: Short


class ScsiResetDevice(Request[ErrorReply], code=0x204):
    """Reset the device."""


class ScsiResetBus(Request[ErrorReply], code=0x205, versions=(2, 3)):
    """Reset the bus."""


class ExecuteCdbReply(Reply):
    """What a SCSI command gave.

    :ivar status: the SCSI status byte.
    :ivar dataout_length: bytes of the data that were taken.
    """

    status: Byte = 0
    dataout_length: Long = 0
    datain: Opaque = b""
    ext_sense: Opaque = b""


class ScsiExecuteCdb(Request[ExecuteCdbReply], code=0x206):
    """Send a SCSI command to the open SCSI device.

    :ivar flags: :class:`protocols.ndmp.codes.ScsiFlags`.
    :ivar timeout: milliseconds.
    :ivar datain_length: most bytes wanted.
    """

    flags: Long
    timeout: Long
    datain_length: Long
    cdb: Opaque
    dataout: Opaque = b""


class TapeOpen(Request[ErrorReply], code=0x300):
    """Open a drive."""

    device: str
    mode: TapeMode | int


class TapeClose(Request[ErrorReply], code=0x301):
    """Close it."""


class TapeGetStateReply(Reply, only={"unsupported": (3, 4), "partition": (3,)}):
    """Where the tape stands.

    :ivar unsupported: :class:`protocols.ndmp.codes.TapeMask`; version 3 calls it invalid.
    :ivar flags: :class:`protocols.ndmp.codes.TapeFlags`.
    :ivar block_size: bytes of the drive's fixed blocks; 0: variable.
    :ivar blockno: from 0 in each file.
    """

    leading: ClassVar[tuple[str, ...]] = ("unsupported",)
    unsupported: Long = 0
    flags: Long = 0
    file_num: Long = 0
    soft_errors: Long = 0
    block_size: Long = 0
    blockno: Long = 0
    total_space: Quad = 0
    space_remain: Quad = 0
    partition: Long = 0


class TapeGetState(Request[TapeGetStateReply], code=0x302):
    """Ask where the tape stands."""


class TapeMtioReply(Reply):
    """How much of a movement was not done."""

    resid: Long = 0


class TapeMtio(Request[TapeMtioReply], code=0x303):
    """Move the tape, write filemarks, unload."""

    op: Mtio | int
    count: Long


class TapeWriteReply(Reply):
    """How many bytes were written."""

    count: Long = 0


class TapeWrite(Request[TapeWriteReply], code=0x304):
    """Write one record."""

    data: Opaque


class TapeReadReply(Reply):
    """The bytes of one record."""

    data: Opaque = b""


class TapeRead(Request[TapeReadReply], code=0x305):
    """Read at most one record of at most ``count`` bytes."""

    count: Long


class TapeExecuteCdb(Request[ExecuteCdbReply], code=0x307):
    """As :class:`ScsiExecuteCdb`, to the open drive."""

    flags: Long
    timeout: Long
    datain_length: Long
    cdb: Opaque
    dataout: Opaque = b""
