"""What a server says by itself: the groups NOTIFY and LOG [ndmp 4.5].

File history, the group FH, is for who runs backups on a server; we ignore it.
"""

from __future__ import annotations

from protocols.ndmp.base import Long, Post, Quad, Short
from protocols.ndmp.codes import (
    ConnectionStatus,
    DataHaltReason,
    HaltReason,
    LogType,
    PauseReason,
)


class NotifyDataHalted(Post, code=0x501, only={"text": (2, 3)}):
    """The data agent halted."""

    reason: DataHaltReason | int
    text: str = ""


class NotifyConnectionStatus(Post, code=0x502):
    """The server's greeting or its leave.

    :ivar protocol_version: the highest that it speaks.
    """

    reason: ConnectionStatus | int
    protocol_version: Short
    text: str = ""


class NotifyMoverHalted(Post, code=0x503, only={"text": (2, 3)}):
    """The mover halted."""

    reason: HaltReason | int
    text: str = ""


class NotifyMoverPaused(Post, code=0x504):
    """The mover paused.

    :ivar seek_position: the byte of the stream that it needs next.
    """

    reason: PauseReason | int
    seek_position: Quad


class NotifyDataRead(Post, code=0x505):
    """The data agent wants this part of the stream."""

    offset: Quad
    length: Quad


class LogLog(Post, code=0x600, versions=(2,)):
    """A line for the log."""

    text: str


class LogDebug(Post, code=0x601, versions=(2,)):
    """A line for those who look for faults.

    :ivar level: 0 to 2 user, 3 to 5 diagnosis, 6 to 8 program.
    """

    level: Long
    text: str


class LogFile(Post, code=0x602, only={"ssid": (2,)}):
    """What became of a file that was to be recovered.

    :ivar status: version 4: a recovery status; before: an error code.
    """

    name: str
    ssid: Short = 0
    status: Long = 0


class LogMessage(
    Post,
    code=0x603,
    versions=(3, 4),
    only={"associated_valid": (4,), "associated_sequence": (4,)},
):
    """A line for the log.

    :ivar associated_sequence: the request it is about, if ``associated_valid`` is 1.
    """

    kind: LogType | int
    id: Long
    text: str
    associated_valid: Long = 0
    associated_sequence: Long = 0
