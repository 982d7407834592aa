"""Opening files that others may have put something else in the place of."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

_PIECE = 1 << 18


def open_regular(path: str, flags: int, mode: int = 0o666, *, or_null: bool = False) -> int:
    """As ``os.open``, but never to wait, as for the other end of a FIFO; also an ``opener`` for
    ``open``.

    :param or_null: ``/dev/null`` and its like will do, too: nobody waits for them either
    :raise OSError: it cannot be opened, or is not a regular file
    """
    flags |= os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, mode)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a FIFO that nobody reads, a socket
            raise _not_regular(path) from error
        raise
    kind = os.fstat(descriptor).st_mode
    if not (stat.S_ISREG(kind) or (or_null and stat.S_ISCHR(kind))):
        os.close(descriptor)
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        raise _not_regular(path)
    return descriptor


def behind_link(path: str) -> str:
    """The file to replace by a new one of this name: where it is a symbolic link what that leads
    to, there or not, else ``path`` itself."""
    return os.path.realpath(path) if os.path.islink(path) else path


def read_at_most(file: BinaryIO, limit: int) -> bytes:
    """The first ``limit`` bytes of a file, or all of it if it is shorter.

    Memory is taken for what is there only; ``file.read(limit)`` would begin with ``limit`` bytes.
    """
    pieces: list[bytes] = []
    while limit and (piece := file.read(min(limit, _PIECE))):
        pieces.append(piece)
        limit -= len(piece)
    return b"".join(pieces)


def _not_regular(path: str) -> OSError:
    return OSError(errno.EINVAL, "not a regular file", path)
