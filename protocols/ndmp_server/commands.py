"""SCSI commands that a client sends through NDMP, to a robot or a drive [ndmp-server 3.7, 5]."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from protocols.ndmp import messages as m
from protocols.ndmp.codes import ErrorCode
from protocols.ndmp_server.interfaces import CheckCondition, Refused

if TYPE_CHECKING:
    from protocols.ndmp_server.profile import Profile

TEST_UNIT_READY, REWIND, REQUEST_SENSE, READ_BLOCK_LIMITS = 0x00, 0x01, 0x03, 0x05
INITIALIZE, INQUIRY, MODE_SENSE, LOAD_UNLOAD = 0x07, 0x12, 0x1A, 0x1B
MODE_SENSE_10 = 0x5A
MOVE_MEDIUM, ELEMENT_STATUS = 0xA5, 0xB8
CHECK_CONDITION = 2
BAD_ADDRESS = b"\x05\x21\x01"
SOURCE_EMPTY = b"\x05\x3b\x0e"
DESTINATION_FULL = b"\x05\x3b\x0d"
BAD_COMMAND = b"\x05\x20\x00"
BAD_FIELD = b"\x05\x24\x00"
REMOVAL_PREVENTED = b"\x05\x53\x02"
NOT_PRESENT = b"\x02\x3a\x00"
"""Key, code and qualifier."""
TAPE, CHANGER = 1, 8
"""Kinds of devices."""
_LONGEST_CDB = 16
_MOST_FLAGS = 2
_DESCRIPTOR = 1

Request = m.ScsiExecuteCdb | m.TapeExecuteCdb


async def executed(
    request: Request, profile: Profile, execute: Callable[[bytes], Awaitable[bytes]]
) -> m.ExecuteCdbReply:
    """The reply to a command.

    :param execute: does it, and gives its data; may raise CheckCondition
    :raise Refused: TIMEOUT, ILLEGAL_ARGS
    """
    cdb = bytes(request.cdb)
    if not request.timeout and profile.timeout_needed:
        raise Refused(ErrorCode.TIMEOUT)
    if not 1 <= len(cdb) <= _LONGEST_CDB or request.flags > _MOST_FLAGS:
        raise Refused(ErrorCode.ILLEGAL_ARGS)
    try:
        datain = await execute(cdb)
    except CheckCondition as fault:
        return m.ExecuteCdbReply(status=CHECK_CONDITION, ext_sense=sense_data(fault.args[0]))
    return m.ExecuteCdbReply(datain=datain[: request.datain_length])


def sense_data(sense: bytes) -> bytes:
    """Descriptor sense, which Amanda's chg-ndmp reads."""
    return b"\x72" + sense + bytes(4)


def no_sense(cdb: bytes) -> bytes:
    """The data of REQUEST SENSE, which has nothing to tell, in the form that is asked for."""
    told = (
        sense_data(bytes(3)) if cdb[1] & _DESCRIPTOR else b"\x70" + bytes(6) + b"\x0a" + bytes(10)
    )
    return told[: cdb[4]]


def inquiry(kind: int, vendor: str, product: str, cdb: bytes) -> bytes:
    """What kind of device it is, cut to the allocation length."""
    if cdb[1] or cdb[2]:  # a page of what it has besides
        raise CheckCondition(BAD_FIELD)
    names = vendor.encode().ljust(8)[:8] + product.encode().ljust(16)[:16] + b"0001"
    told = (bytes((kind, 0x80, 5, 2, 0x5B, 0, 0, 0)) + names).ljust(96, b"\0")
    return told[: int.from_bytes(cdb[3:5], "big")]
