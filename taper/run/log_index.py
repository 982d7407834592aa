"""The file that keeps what the trace logs told, beside them, so that each is read once.

Every taper whose configuration has this directory of logs shares it. A log it does not know, or
knows in another state, is read anew; so nothing depends on it, and no failure here ends anything.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from devices.datafile import write_all
from devices.regular import read_at_most

if TYPE_CHECKING:
    from protocols.catalog import Disk
    from protocols.logindex import KnownLog

NAME = "taper.log-index"
"""No name that other programs look for there: those begin with ``log`` and ``amdump``."""

_DRAFT = f"{NAME}.new"
_NOT_OURS = "it is no plain file of ours alone"
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def load_index(
    logdir: str, disks: dict[Disk, Disk], note: Callable[[str], object]
) -> dict[str, KnownLog]:
    """What is known of the logs, by name; nothing if there is no index that can be trusted.

    It must be a plain file of our own user that nobody else can write.

    :param disks: see :func:`protocols.logindex.parse_index`
    :param note: is told why an index that is there is of no use.
    """
    from protocols.logindex import MAX_INDEX_BYTES, parse_index

    path = f"{logdir}/{NAME}"
    try:
        data = _read_own(path, MAX_INDEX_BYTES)
    except FileNotFoundError:
        return {}
    except OSError as fault:
        note(f"the index of the trace logs is not used: {path}: {fault.strerror}")
        return {}
    known = parse_index(data, disks)
    if known is None:
        note(f"{path} is not used: it is damaged, or of another version")
        return {}
    return known


def _read_own(path: str, limit: int) -> bytes:
    """A file that only we can have written."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        facts = os.fstat(fd)
        if not _is_plain_and_ours(facts) or facts.st_mode & _OTHERS_MAY_WRITE:
            raise PermissionError(errno.EPERM, _NOT_OURS)
        if facts.st_size > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        with open(fd, "rb", closefd=False) as file:
            return read_at_most(file, limit)
    finally:
        os.close(fd)


def save_index(logdir: str, logs: Mapping[str, KnownLog], note: Callable[[str], object]) -> None:
    """Put a new index in the old one's place, with the owner and mode that logs have.

    It is not waited for until it is on the disk: one that a power cut has spoiled does not match
    its checksum. If another taper is at it, that one's will do.

    :param note: is told why it could not be written.
    """
    from protocols.logindex import format_index

    draft = f"{logdir}/{_DRAFT}"
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        with open(fd, "wb", buffering=0) as file:
            if not _is_ours_alone(fd, draft):
                return
            try:
                os.fchmod(fd, 0o600)
                file.truncate()
                write_all(fd, format_index(logs))
                os.rename(draft, f"{logdir}/{NAME}")
            except OSError:
                os.unlink(draft)
                raise
    except OSError as fault:
        note(f"the index of the trace logs was not written: {fault}")


def _is_plain_and_ours(facts: os.stat_result) -> bool:
    return stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid() and facts.st_nlink == 1


def _is_ours_alone(fd: int, path: str) -> bool:
    """Nobody else writes this draft now, and it still bears the name."""
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        facts, named = os.fstat(fd), os.stat(path, follow_symlinks=False)
    except (BlockingIOError, FileNotFoundError):
        return False
    if not os.path.samestat(facts, named):
        return False
    if not _is_plain_and_ours(facts):
        raise PermissionError(errno.EPERM, _NOT_OURS, path)
    return True
