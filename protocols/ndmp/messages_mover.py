"""Messages of the groups MOVER and DATA [ndmp 4.5, 4.7, 4.8]."""

from __future__ import annotations

from typing import ClassVar

from protocols.ndmp.base import ErrorReply, Long, Pval, Quad, Reply, Request
from protocols.ndmp.codes import (
    AddressType,
    DataHaltReason,
    DataOperation,
    DataState,
    HaltReason,
    MoverMode,
    MoverState,
    PauseReason,
)
from protocols.ndmp.structs import DataAddress, RecoverName


class MoverGetStateReply(Reply, only={"mode": (4,), "data_connection_addr": (3, 4)}):
    """The mover; sizes and positions in bytes of the stream."""

    mode: MoverMode | int = MoverMode.READ
    state: MoverState | int = MoverState.IDLE
    pause_reason: PauseReason | int = PauseReason.NA
    halt_reason: HaltReason | int = HaltReason.NA
    record_size: Long = 0
    record_num: Long = 0
    bytes_moved: Quad = 0
    seek_position: Quad = 0
    bytes_left_to_read: Quad = 0
    window_offset: Quad = 0
    window_length: Quad = 0
    data_connection_addr: DataAddress = DataAddress()


class MoverGetState(Request[MoverGetStateReply], code=0xA00):
    """Ask about the mover."""


class MoverListenReply(Reply):
    """Where the mover listens."""

    address: DataAddress = DataAddress()


class MoverListen(Request[MoverListenReply], code=0xA01):
    """Let the mover listen."""

    mode: MoverMode | int
    address_type: AddressType | int = AddressType.TCP


class MoverContinue(Request[ErrorReply], code=0xA02):
    """Go on after a pause."""


class MoverAbort(Request[ErrorReply], code=0xA03):
    """Give up: HALTED, ABORTED."""


class MoverStop(Request[ErrorReply], code=0xA04):
    """From HALTED to IDLE."""


class MoverSetWindow(Request[ErrorReply], code=0xA05):
    """Which part of the stream may be moved until the next pause."""

    offset: Quad
    length: Quad


class MoverRead(Request[ErrorReply], code=0xA06):
    """Which part of the stream is wanted from tape."""

    offset: Quad
    length: Quad


class MoverClose(Request[ErrorReply], code=0xA07):
    """Close the data connection."""


class MoverSetRecordSize(Request[ErrorReply], code=0xA08):
    """Bytes of the records on tape."""

    size: Long


class MoverConnect(Request[ErrorReply], code=0xA09, versions=(3, 4)):
    """Let the mover connect."""

    mode: MoverMode | int
    address: DataAddress


class DataGetStateReply(Reply, only={"unsupported": (3, 4)}):
    """The data agent; sizes in bytes, times in seconds."""

    leading: ClassVar[tuple[str, ...]] = ("unsupported",)
    unsupported: Long = 0
    operation: DataOperation | int = DataOperation.NOACTION
    state: DataState | int = DataState.IDLE
    halt_reason: DataHaltReason | int = DataHaltReason.NA
    bytes_processed: Quad = 0
    est_bytes_remain: Quad = 0
    est_time_remain: Long = 0
    address: DataAddress = DataAddress()
    read_offset: Quad = 0
    read_length: Quad = 0


class DataGetState(Request[DataGetStateReply], code=0x400):
    """Ask about the data agent."""


class DataStartBackup(Request[ErrorReply], code=0x401, only={"mover": (2,)}):
    """Begin a backup."""

    mover: DataAddress = DataAddress()
    butype: str = ""
    env: tuple[Pval, ...] = ()


class DataStartRecover(Request[ErrorReply], code=0x402, only={"mover": (2,)}):
    """Begin to recover files."""

    mover: DataAddress = DataAddress()
    env: tuple[Pval, ...] = ()
    names: tuple[RecoverName, ...] = ()
    butype: str = ""


class DataAbort(Request[ErrorReply], code=0x403):
    """Give up."""


class DataGetEnvReply(Reply):
    """The environment of the backup."""

    env: tuple[Pval, ...] = ()


class DataGetEnv(Request[DataGetEnvReply], code=0x404):
    """Ask for the environment of the backup."""


class DataStop(Request[ErrorReply], code=0x407):
    """From HALTED to IDLE."""


class DataListenReply(Reply):
    """Where the data agent listens."""

    address: DataAddress = DataAddress()


class DataListen(Request[DataListenReply], code=0x409, versions=(3, 4)):
    """Let the data agent listen."""

    address_type: AddressType | int = AddressType.TCP


class DataConnect(Request[ErrorReply], code=0x40A, versions=(3, 4)):
    """Let the data agent connect."""

    address: DataAddress


class DataStartRecoverFilehist(Request[ErrorReply], code=0x40B, only={"mover": (2,)}):
    """Begin to recover the file history."""

    mover: DataAddress = DataAddress()
    env: tuple[Pval, ...] = ()
    names: tuple[RecoverName, ...] = ()
    butype: str = ""
