"""The codes of errors, ``TAPER-1234``: each stands for one kind of trouble, and never for another.

What a code means is told by ``taper/errors.toml``, and for people by docs/errors.md. An error class
of ours names its code as ``taper_code``; where one class serves several kinds, whoever raises it
says which. Codes are for what people read of ours: stderr, debug logs, ``--json``. They are in no
reply to the driver, in no line of a trace log, and in nothing that Amanda's clients read.
"""

from __future__ import annotations

import errno

GENERAL = 100
"""A code that this divides tells no more than an area; a more particular one of what caused the
error is told in its stead."""
DEVICE = 2000
SOURCE = 4000
SYSTEM = 8000
INTERNAL = 9000
"""What nobody foresaw."""

WRONG_WORDS = 1001
"""A command line that is wrong."""
CANNOT_LISTEN = 5001
NO_VOLUME = 2003
NOT_LABELLED = 2004
BUSY = 2002
VOLUME_BAD = 2100
NOT_MADE_TO_SPLIT = 2010
LARGER_THAN_VOLUME = 2011
NOT_CACHED = 2012
VOLUME_REFUSED = 2013
PART_LOST = 2015
DUMPER_FAILED = 4001
HEADER_UNFIT = 4002
CHECKSUM = 4004
TOLD_TO_END = 4011
TRACE_LOG = 8006
NOT_OPEN = 8010

_MEMORY = 8004
_BY_ERRNO = {
    errno.EACCES: 8001,
    errno.EPERM: 8001,
    errno.EROFS: 8001,
    errno.ENOSPC: 8002,
    errno.EDQUOT: 8002,
    errno.ENOENT: 8003,
    errno.ENOTDIR: 8003,
    errno.ENOMEM: _MEMORY,
    errno.EMFILE: _MEMORY,
    errno.ENFILE: _MEMORY,
    errno.EADDRINUSE: 5001,
    errno.EADDRNOTAVAIL: 5001,
    errno.ECONNREFUSED: 5002,
    errno.EHOSTUNREACH: 5002,
    errno.ENETUNREACH: 5002,
    errno.ETIMEDOUT: 5002,
    errno.ECONNRESET: 5003,
    errno.ECONNABORTED: 5003,
    errno.EPIPE: 5003,
}


class Coded(Exception):
    """An error whose class serves several kinds of trouble.

    :ivar taper_code: of this one.
    """

    taper_code = INTERNAL

    def __init__(self, text: str, *, code: int | None = None) -> None:
        """:param code: None: that of the class"""
        super().__init__(text)
        if code is not None:
            self.taper_code = code


def known_code(fault: BaseException) -> int | None:
    """The code of an error, or of the first of its causes that has a particular one; None: nobody
    has given it one."""
    first: int | None = None
    seen: set[int] = set()
    cause: BaseException | None = fault
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        code = _own(cause)
        if code is not None and code % GENERAL:
            return code
        first = code if first is None else first
        cause = cause.__cause__
    return first


def _own(fault: BaseException) -> int | None:
    code = getattr(fault, "taper_code", None)
    if isinstance(code, int):
        return code
    if isinstance(fault, OSError):
        return _BY_ERRNO.get(fault.errno or 0, SYSTEM)
    return _MEMORY if isinstance(fault, MemoryError) else None


def code_of(fault: BaseException) -> int:
    """The code of an error; what nobody has given one is :data:`INTERNAL`."""
    code = known_code(fault)
    return INTERNAL if code is None else code


def named(code: int) -> str:
    """A code as people see it."""
    return f"TAPER-{code:04d}"


def coded(text: str, code: int | BaseException) -> str:
    """A text with its code, at the end of its first line.

    :param code: or the error whose code it is
    """
    number = code if isinstance(code, int) else code_of(code)
    first, newline, rest = text.partition("\n")
    return f"{first} [{named(number)}]{newline}{rest}"
