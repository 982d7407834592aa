"""Removes the rings that tapers which died have left in shared memory ([data-plane 4.3], cleanup).

The driver does the same at its start and end; we need not wait for it.
"""

from __future__ import annotations

import os
import stat
import time

from devices.processes import is_alive
from protocols.shmring import (
    CONTROL_SIZE,
    RingError,
    RingNames,
    parse_names,
    parse_pids,
)
from taper.run.tidying import tidy

DIRECTORY = "/dev/shm"
CONTROLS = "amanda_shm_control-"
OLD = 300.0
"""Seconds since anything was done with a control segment that may be left over."""


def sweep(directory: str = DIRECTORY) -> list[str]:
    """Remove what is left over: control blocks of ours that nobody has touched for a while, and
    whose processes are all dead, with the objects they name.

    :return: the names of the control segments removed
    :raise OSError: they cannot be looked at, or one cannot be removed; all others are
    """
    try:
        found = [entry.name for entry in os.scandir(directory)]
    except FileNotFoundError:
        return []
    removed: list[str] = []

    def remove(name: str) -> None:
        names = _left_over(directory, name)
        if names is not None:
            _remove(directory, names)
            removed.append(names.control)

    tidy((name for name in sorted(found) if name.startswith(CONTROLS)), remove)
    return removed


def _left_over(directory: str, name: str) -> RingNames | None:
    """The names of a ring that nobody uses any more; None: it is no such ring."""
    path = os.path.join(directory, name)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None  # gone, or not ours to look at
    try:
        status = os.fstat(fd)
        last = max(status.st_atime, status.st_mtime, status.st_ctime)
        if (
            not stat.S_ISREG(status.st_mode)
            or status.st_uid != os.geteuid()
            or status.st_size != CONTROL_SIZE
            or time.time() - last < OLD
        ):
            return None
        block = os.read(fd, CONTROL_SIZE)
    finally:
        os.close(fd)
    if any(is_alive(pid) for pid in parse_pids(block)):
        return None
    try:
        return parse_names(f"/{name}", block)
    except RingError:
        return None  # whatever it is, it is no ring


def _remove(directory: str, names: RingNames) -> None:
    """The control segment last: as long as it is there, the others can be found."""
    files = [f"sem.{name[1:]}" for name in names.semaphores]
    for file in (*files, names.data[1:], names.control[1:]):
        try:
            os.unlink(os.path.join(directory, file))
        except FileNotFoundError:
            continue  # somebody else is sweeping too
