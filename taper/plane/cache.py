"""Caches of the part being written, for sources that give their bytes only once [data-plane 2.3].

In memory the cache is the ring itself, which keeps the part until it is safe on the volume; on
disk it is a file without a name.
"""

from __future__ import annotations

import os

from zope.interface import implementer

from taper.plane.interfaces import CacheError, IReplay, reason
from taper.plane.ring import Ring, ring_size


def memory_cache(part_size: int, buffer_size: int, block_size: int) -> Ring:
    """A ring that keeps one part, and reads ahead of it.

    :param part_size: bytes, a multiple of ``block_size``, not 0
    :param buffer_size: bytes to read ahead
    """
    ahead = ring_size(buffer_size, block_size)
    return Ring(ring_size(part_size + ahead, block_size), block_size, keep=True)


@implementer(IReplay)
class DiskCache:
    """The current part in a file of a directory; the name is gone at once, so nothing is left.

    One thread appends; another reads again.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._fd = -1
        self._start = 0
        self._end = 0

    def open(self) -> None:
        """:raise CacheError: no file can be made there"""
        from tempfile import mkstemp  # few parts are kept on a disk

        try:
            directory = self._directory.encode("utf-8", "surrogateescape")
            self._fd, name = mkstemp(prefix=b"amanda-split-buffer-", dir=directory)
            os.unlink(name)
        except OSError as error:
            text = f"Error creating cache file in '{self._directory}': {reason(error)}"
            raise CacheError(text) from error

    def append(self, data: memoryview) -> None:
        """Keep the next bytes of the dump. :raise CacheError: they cannot be kept"""
        try:
            while data:
                size = os.pwrite(self._fd, data, self._end - self._start)
                self._end += size
                data = data[size:]
        except OSError as error:
            text = f"Error writing to disk cache file in '{self._directory}': {reason(error)}"
            raise CacheError(text) from error

    def reread(self, position: int, buffer: memoryview) -> int:
        if not self._start <= position < self._end:
            raise ValueError(f"byte {position} is not in the cache")
        wanted = buffer[: self._end - position]
        try:
            size = os.preadv(self._fd, [wanted], position - self._start)
        except OSError as error:
            raise CacheError(f"Error reading disk cache: {reason(error)}") from error
        if not size:
            raise CacheError("Error reading disk cache: Unexpected EOF")
        return size

    def forget(self, position: int) -> None:
        """Start the file over, once nothing in it is wanted. The appending thread rests now: the
        ring holds it at the end of the part."""
        if position == self._end:
            self._start = position

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
