"""Numbers of the NDMP protocol and their names [ndmp 4.4]."""

from __future__ import annotations

import enum

VERSIONS = (2, 3, 4)
PORT = 10000
INFINITY = 2**64 - 1
UNKNOWN = 2**32 - 1
"""A file number or block number that the server does not know."""


class ErrorCode(enum.IntEnum):
    """Errors, in the header of a reply or in its body."""

    NO_ERR = 0
    NOT_SUPPORTED = 1
    DEVICE_BUSY = 2
    DEVICE_OPENED = 3
    NOT_AUTHORIZED = 4
    PERMISSION = 5
    DEV_NOT_OPEN = 6
    IO = 7
    TIMEOUT = 8
    ILLEGAL_ARGS = 9
    NO_TAPE_LOADED = 10
    WRITE_PROTECT = 11
    EOF = 12
    EOM = 13
    FILE_NOT_FOUND = 14
    BAD_FILE = 15
    NO_DEVICE = 16
    NO_BUS = 17
    XDR_DECODE = 18
    ILLEGAL_STATE = 19
    UNDEFINED = 20
    XDR_ENCODE = 21
    NO_MEM = 22
    CONNECT = 23
    SEQUENCE_NUM = 24
    READ_IN_PROGRESS = 25
    PRECONDITION = 26
    CLASS_NOT_SUPPORTED = 27
    VERSION_NOT_SUPPORTED = 28
    EXT_DUPL_CLASSES = 29
    EXT_DN_ILLEGAL = 30


def error_name(error: int) -> str:
    """The name as stock shows it, e.g. ``NDMP9_ILLEGAL_STATE_ERR`` [ndmp 3.2]."""
    try:
        name = ErrorCode(error).name
    except ValueError:
        return f"error {error}"
    return "NDMP9_NO_ERR" if error == 0 else f"NDMP9_{name}_ERR"


class AuthType(enum.IntEnum):
    """How a client says who it is."""

    NONE = 0
    TEXT = 1
    MD5 = 2


CONNECTION_ADDRESSES = 0x2051
"""Class of the extension that knows IPv6 data connections [ndmp-server 6.2]."""


class AddressType(enum.IntEnum):
    """What a data connection runs over; TCP is IPv4, the last one is of an extension."""

    LOCAL = 0
    TCP = 1
    FC = 2
    IPC = 3
    TCP_IPV6 = CONNECTION_ADDRESSES << 16 | 4


class TapeMode(enum.IntEnum):
    """How a drive is opened; RAW, which versions 2 and 3 do not have, is sent to them as RDWR."""

    READ = 0
    RDWR = 1
    RAW = 2


class Mtio(enum.IntEnum):
    """Movements of a tape."""

    FSF = 0
    BSF = 1
    FSR = 2
    BSR = 3
    REW = 4
    EOF = 5
    OFF = 6
    TUR = 7


class MoverMode(enum.IntEnum):
    """Named from the mover's view of the data connection: READ is stream to tape."""

    READ = 0
    WRITE = 1
    NOACTION = 2
    """Version 2: DATA."""


class MoverState(enum.IntEnum):
    """States of the mover [ndmp 4.7]."""

    IDLE = 0
    LISTEN = 1
    ACTIVE = 2
    PAUSED = 3
    HALTED = 4


class PauseReason(enum.IntEnum):
    """Why the mover paused."""

    NA = 0
    EOM = 1
    EOF = 2
    SEEK = 3
    MEDIA_ERROR = 4
    EOW = 5


class HaltReason(enum.IntEnum):
    """Why the mover halted."""

    NA = 0
    CONNECT_CLOSED = 1
    ABORTED = 2
    INTERNAL_ERROR = 3
    CONNECT_ERROR = 4
    MEDIA_ERROR = 5


class DataOperation(enum.IntEnum):
    """What the data agent does."""

    NOACTION = 0
    BACKUP = 1
    RECOVER = 2
    RECOVER_FILEHIST = 3


class DataState(enum.IntEnum):
    """States of the data agent [ndmp 4.8]."""

    IDLE = 0
    ACTIVE = 1
    HALTED = 2
    LISTEN = 3
    CONNECTED = 4


class DataHaltReason(enum.IntEnum):
    """Why the data agent halted."""

    NA = 0
    SUCCESSFUL = 1
    ABORTED = 2
    INTERNAL_ERROR = 3
    CONNECT_ERROR = 4


class ConnectionStatus(enum.IntEnum):
    """What a server says about the control connection."""

    CONNECTED = 0
    SHUTDOWN = 1
    REFUSED = 2


class LogType(enum.IntEnum):
    """Kinds of a LOG_MESSAGE."""

    NORMAL = 0
    DEBUG = 1
    ERROR = 2
    WARNING = 3


class TapeFlags(enum.IntFlag):
    """Bits of the flags in a tape's state."""

    NOREWIND = 0x08
    WRITE_PROTECTED = 0x10
    ERROR = 0x20
    UNLOAD = 0x40


class TapeAttributes(enum.IntFlag):
    """What a drive can, by the name that it is told with."""

    REWIND = 1
    UNLOAD = 2
    RAW = 4


class TapeMask(enum.IntFlag):
    """Fields of a tape's state that the server cannot tell."""

    FILE_NUM = 0x01
    SOFT_ERRORS = 0x02
    BLOCK_SIZE = 0x04
    BLOCKNO = 0x08
    TOTAL_SPACE = 0x10
    SPACE_REMAIN = 0x20
    PARTITION = 0x40


class ScsiFlags(enum.IntFlag):
    """Which way the data of a SCSI command goes."""

    NONE = 0
    DATA_IN = 1
    DATA_OUT = 2
