"""Writing the record of the installation of Amanda that ours works for, and of our daemon."""

from __future__ import annotations

import os
import tempfile

from protocols.installation import Installation, render
from taper.daemon_client import KIND
from taper.install.refused import Refused

NO_DAEMON = "none"
_LONGEST_PATH = 107
"""Bytes of the name of a unix socket, unix(7)."""


def evolve(installation: Installation, **changes: str) -> Installation:
    """The same with some values changed."""
    return Installation(**{**installation.values(), **changes})


def write_record(path: str, installation: Installation) -> None:
    """Put a record in place.

    :raise OSError: it cannot be written
    """
    _put(path, render(installation))


def check_daemon(where: str) -> str:
    """Where a daemon may be, or that there is none.

    :raise Refused: nobody could find it there
    """
    if where == NO_DAEMON:
        return where
    path = where.removeprefix(KIND)
    if (
        not where.startswith(f"{KIND}/")
        or not where.isprintable()
        or len(os.fsencode(path)) > _LONGEST_PATH
    ):
        raise Refused(
            f"--daemon {where}: expected unix:PATH, absolute and of at most {_LONGEST_PATH} bytes, "
            f"or {NO_DAEMON}"
        )
    return where


def write_daemon(path: str, where: str) -> None:
    """Record where the daemon is that serves Amanda's driver.

    :param where: what :func:`check_daemon` has seen
    :raise OSError: it cannot be written
    """
    if where != NO_DAEMON:
        _put(path, os.fsencode(f"{where}\n"))
    elif os.path.lexists(path):
        os.unlink(path)


def _put(path: str, data: bytes) -> None:
    """Put a file in place, for all to read; the old one is there until the new one is whole."""
    directory = os.path.dirname(path)
    for each in (os.path.dirname(directory), directory):
        if not os.path.isdir(each):
            os.mkdir(each)
            os.chmod(each, 0o755)  # whatever the umask is: the dump user reads there
    descriptor, name = tempfile.mkstemp(prefix=".amanda.", dir=directory)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(descriptor, 0o644)
            file.flush()
            os.fsync(descriptor)
        os.rename(name, path)
    except BaseException:
        os.unlink(name)
        raise
