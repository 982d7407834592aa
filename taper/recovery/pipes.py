"""Pipes between programs."""

from __future__ import annotations

import fcntl
from contextlib import suppress

_SIZE = 1 << 20
"""Bytes that may be on their way to a program; everybody may have so many."""


def widen(descriptor: int) -> None:
    """Let more be in a pipe, so that both ends are woken seldom. What is no pipe, or may not become
    larger, stays as it is."""
    with suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _SIZE)
