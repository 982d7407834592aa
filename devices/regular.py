"""Opening files that others may have put something else in the place of."""

from __future__ import annotations

import errno
import os
import stat

_NULL = os.makedev(1, 3)


def open_regular(path: str, flags: int, mode: int = 0o666, *, or_null: bool = False) -> int:
    """As ``os.open``, but never to wait, as for the other end of a FIFO; also an ``opener`` for
    ``open``.

    :param or_null: ``/dev/null`` will do, too
    :raise OSError: it cannot be opened, or is not a regular file
    """
    flags |= os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, mode)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a FIFO that nobody reads, a socket
            raise _not_regular(path) from error
        raise
    found = os.fstat(descriptor)
    null = or_null and stat.S_ISCHR(found.st_mode) and found.st_rdev == _NULL
    if not (null or stat.S_ISREG(found.st_mode)):
        os.close(descriptor)
        raise _not_regular(path)
    return descriptor


def _not_regular(path: str) -> OSError:
    return OSError(errno.EINVAL, "not a regular file", path)
