"""Waiting for a POSIX semaphore by the monotonic clock.

``sem_timedwait``, which posix_ipc has, takes a moment of the wall clock: when that is set back by a
day, a wait of a second lasts a day and a second. ``sem_clockwait`` (glibc 2.30) takes one of any
clock.
"""

from __future__ import annotations

import ctypes
import errno
import os
import time


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class MonotonicWait:
    """Waits for one named semaphore.

    :param name: of a semaphore that is there
    :raise OSError: it cannot be opened, or the C library has no such wait
    """

    def __init__(self, name: str) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        try:
            self._wait = library.sem_clockwait
        except AttributeError as error:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), "sem_clockwait") from error
        self._wait.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_TimeSpec))
        self._close = library.sem_close
        self._close.argtypes = (ctypes.c_void_p,)
        library.sem_open.argtypes = (ctypes.c_char_p, ctypes.c_int)
        library.sem_open.restype = ctypes.c_void_p
        self._semaphore = library.sem_open(name.encode(), 0)
        if not self._semaphore:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), name)

    def acquire(self, seconds: float) -> bool:
        """Take one post, or be woken by a signal. False: neither came in so many seconds.

        :raise OSError: the semaphore is none any more
        """
        until = time.monotonic_ns() + int(seconds * 1e9)
        moment = _TimeSpec(*divmod(until, 1_000_000_000))
        if not self._wait(self._semaphore, time.CLOCK_MONOTONIC, ctypes.byref(moment)):
            return True
        code = ctypes.get_errno()
        if code in (errno.ETIMEDOUT, errno.EINTR):
            return code == errno.EINTR
        raise OSError(code, os.strerror(code))

    def close(self) -> None:
        """Let go of it; nobody may wait any more."""
        self._close(self._semaphore)
