"""The ways into the states of a mover."""

from __future__ import annotations

from protocols.ndmp import messages as m
from protocols.ndmp.codes import AddressType, ErrorCode, HaltReason, MoverState, PauseReason
from tests.ndmp_conformance.mover_steps import (
    ABORT,
    ARGS,
    EOW,
    EVERYTHING,
    MOVER,
    READ,
    STOP,
    WRITE,
    comes_to,
    finishes,
    halted,
    hangs_up,
    listen,
    listening,
    paused,
    record_size,
    sends,
    wants,
    window,
)
from tests.ndmp_conformance.scenario import Step
from tests.ndmp_conformance.scene import OK, RECORD, ask, before4
from tests.ndmp_conformance.tape_steps import FILEMARK, REWIND, TAPE, bytes_of, files

IDLE, LISTEN, ACTIVE = MoverState.IDLE, MoverState.LISTEN, MoverState.ACTIVE
PAUSED, HALTED = MoverState.PAUSED, MoverState.HALTED
CLOSED, ABORTED = HaltReason.CONNECT_CLOSED, HaltReason.ABORTED
BROKEN = HaltReason.CONNECT_ERROR
SEEK, EOF, EOM = PauseReason.SEEK, PauseReason.EOF, PauseReason.EOM
PRECONDITION = before4(ARGS, ErrorCode.PRECONDITION)
PERMISSION = ErrorCode.PERMISSION
NOT_OPEN = ErrorCode.DEV_NOT_OPEN
ZERO_WINDOW = (OK, ARGS)
"""A window of nothing: Amanda's client wants it, the draft does not [ndmp-server 8.1]."""
AT_THE_END = (EOM, EOF)
"""Why a mover pauses behind everything; the draft has both."""
LOCAL = AddressType.LOCAL
STATE = m.MoverGetState()
NOWHERE = m.DataAddress(LOCAL)
TO_NOBODY = m.MoverConnect(READ, NOWHERE)
LARGE = 65536
MIB = 1 << 20

IN_LISTEN = (*MOVER, listen(READ))
IN_ACTIVE = (*MOVER, *listening(READ), comes_to(ACTIVE))
AT_WINDOW_END = (
    *MOVER,
    window(0, RECORD),
    *listening(READ),
    sends(bytes_of(3 * RECORD)),
    paused(EOW, RECORD),
)
IN_HALTED = (*IN_LISTEN, ask(ABORT), halted(ABORTED))
SENDING = (
    *TAPE,
    record_size(LARGE),
    *listening(READ),
    sends(bytes(24 * MIB)),
    finishes,
    halted(CLOSED),
    ask(STOP),
    hangs_up,
    FILEMARK,
    REWIND,
    EVERYTHING,
    *listening(WRITE),
    wants(0, 20 * MIB),
)
"""More is wanted than connection and buffers hold, and we take none of it."""


def from_tape(
    *steps: Step, sizes: tuple[int, ...] = (RECORD,) * 3, record: int = RECORD
) -> tuple[Step, ...]:
    """A mover that is to send a file of records."""
    return (*files(sizes), REWIND, record_size(record), *steps)


def on_tape(*sizes: int) -> bytes:
    """What :func:`from_tape` finds in its file."""
    return b"".join(bytes_of(size, size) for size in sizes)


THREE = on_tape(RECORD, RECORD, RECORD)
