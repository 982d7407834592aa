"""What of a dump may be asked for once more, in a file without a name."""

from __future__ import annotations

import os

from protocols.rendezvous.window import SpoolError
from taper.plane.interfaces import reason


class FileSpool:
    """A :class:`protocols.rendezvous.window.ISpool` in a file of a directory; the name is gone at
    once, so nothing is left, and nobody else can read it. It never grows beyond ``size``.
    """

    def __init__(self, directory: str, size: int) -> None:
        """:raise SpoolError: no file can be made there"""
        from tempfile import mkstemp  # few dumps have one

        self.size = size
        self._directory = directory
        try:
            encoded = directory.encode("utf-8", "surrogateescape")
            self._fd, name = mkstemp(prefix=b"amanda-rendezvous-", dir=encoded)
            os.unlink(name)
        except OSError as error:
            raise self._failed("cannot be made", error) from error

    def write(self, at: int, data: memoryview) -> None:
        if at + len(data) > self.size:
            raise ValueError(f"{len(data)} bytes at {at} are beyond {self.size}")
        try:
            while data:
                size = os.pwrite(self._fd, data, at)
                at += size
                data = data[size:]
        except OSError as error:
            raise self._failed("cannot be written", error) from error

    def read(self, at: int, size: int) -> bytes:
        pieces = []
        try:
            while size:
                piece = os.pread(self._fd, size, at)
                if not piece:
                    raise SpoolError(f"the spool file in '{self._directory}' ends too early")
                pieces.append(piece)
                at += len(piece)
                size -= len(piece)
        except OSError as error:
            raise self._failed("cannot be read", error) from error
        return b"".join(pieces)

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _failed(self, what: str, error: OSError) -> SpoolError:
        return SpoolError(f"the spool file in '{self._directory}' {what}: {reason(error)}")
