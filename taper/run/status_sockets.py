"""Where the status sockets of all tapers of a user are: one file each, in a directory of his alone.

It is below the temporary directory, beside the status files: tapers of all configurations have the
same one, and whoever wants to watch them needs no configuration.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from taper.ownership import Untrusted
from taper.run.paths import make_private

FOLDER = "taper-status"
LONGEST_ADDRESS = 107
"""Bytes of a path that a unix socket can be bound or connected to [unix(7)]."""
WAITING = 16
"""Connections that wait until we accept them."""


def folder_of(tmpdir: str) -> str:
    """The directory of the sockets."""
    return os.path.join(tmpdir, FOLDER)


@contextmanager
def opened_folder(tmpdir: str) -> Iterator[int]:
    """A descriptor of the directory, which is there.

    :raise Untrusted: others than we may put something there
    :raise OSError: it is not there, or cannot be opened
    """
    path = folder_of(tmpdir)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise Untrusted(f"{path} belongs to user {found.st_uid}, so it is not used")
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            mode = stat.S_IMODE(found.st_mode)
            raise Untrusted(f"{path} has mode {mode:04o}, so it is not used: 0700 expected")
        yield descriptor
    finally:
        os.close(descriptor)


def address(path: str, folder: int) -> str:
    """What a socket is bound or connected to, however long its path is.

    :param folder: a descriptor of the directory that it is in
    """
    if len(os.fsencode(path)) <= LONGEST_ADDRESS:
        return path
    return f"/proc/self/fd/{folder}/{os.path.basename(path)}"


def open_socket(tmpdir: str, dumpuser: str | None) -> tuple[socket.socket, str]:
    """A socket of ours that listens, and its path; blocks.

    :param tmpdir: the temporary directory, which is made if it is not there
    :raise OSError: it cannot be made
    """
    make_private(tmpdir, dumpuser)
    make_private(folder_of(tmpdir), dumpuser)
    path = os.path.join(folder_of(tmpdir), f"{os.getpid()}-{os.urandom(4).hex()}")
    with opened_folder(tmpdir) as folder:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.bind(address(path, folder))
            os.chmod(os.path.basename(path), 0o600, dir_fd=folder)
            made.setblocking(False)
            made.listen(WAITING)
        except BaseException:
            made.close()
            raise
    return made, path
