"""Bytes from tar into the data connection, and from a stream into tar; each counted."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable

from taper.application.connection import Sender

CHUNK = 1 << 20
END_OF_ARCHIVE = 1024
"""Zero bytes that end every archive: two blocks of 512."""


def enlarge(pipe: int) -> None:
    """Make a pipe hold more, so that fewer turns are needed; without leave it works as it is."""
    with contextlib.suppress(PermissionError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, CHUNK)


def send(source: int, sender: Sender, look: Callable[[bytes], None] | None) -> int:
    """Send everything that comes out of a pipe.

    :param look: is shown the bytes; without it they never come into this process
    :return: bytes sent
    :raise ApplicationError: the connection broke
    """
    enlarge(source)
    total = 0
    try:
        if look is None:
            while moved := os.splice(source, sender.fileno(), CHUNK):
                total += moved
            return total
        while data := os.read(source, CHUNK):
            look(data)
            _write_all(sender.fileno(), data)
            total += len(data)
    except OSError as error:
        raise sender.broken(error) from None
    return total


def _write_all(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]


class Tail:
    """The last bytes of an archive as it goes by, which tell whether it is complete."""

    def __init__(self) -> None:
        self._bytes = b""
        self.size = 0

    def look(self, data: bytes) -> None:
        """Take the next bytes."""
        self.size += len(data)
        self._bytes = (self._bytes + data[-END_OF_ARCHIVE:])[-END_OF_ARCHIVE:]

    @property
    def complete(self) -> bool:
        """It ends as an archive must; tar alone does not mind a lost end between two members."""
        return len(self._bytes) == END_OF_ARCHIVE and not self._bytes.strip(b"\0")


def feed(source: int, target: int, tail: Tail) -> None:
    """Give everything of a stream to tar's standard input; no more once tar has gone.

    :raise OSError: the stream cannot be read
    """
    enlarge(target)
    while data := os.read(source, CHUNK):
        tail.look(data)
        try:
            _write_all(target, data)
        except BrokenPipeError:  # tar's exit status tells why
            return
