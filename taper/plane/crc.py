"""CRC-32C of a stream, computed as the bytes go by [data-plane 5.1]."""

from __future__ import annotations

import functools
from collections.abc import Callable

from protocols.crc import UNKNOWN, Crc
from taper.plane.native import load

Snapshot = tuple[int, int]
"""CRC so far and bytes so far."""


class RunningCrc:
    """CRC-32C and length of what was given so far.

    One thread updates; any thread may read: value and length change together.
    """

    def __init__(self, done: Crc = UNKNOWN) -> None:
        """:param done: of bytes that were given before, elsewhere"""
        self._state: Snapshot = (done.value, done.size)

    @property
    def size(self) -> int:
        """Bytes given so far."""
        return self._state[1]

    def update(self, data: memoryview) -> None:
        """Count ``data``, a view of bytes. Large views let other threads run meanwhile."""
        value, size = self._state
        self._state = (_library()(data, value), size + len(data))

    def snapshot(self) -> Snapshot:
        """The state to come back to with :meth:`restore`."""
        return self._state

    def restore(self, snapshot: Snapshot) -> None:
        self._state = snapshot

    def value(self) -> Crc:
        """The CRC as it travels in messages and headers."""
        value, size = self._state
        return Crc(value, size)


def prepare() -> None:
    """Have what computes at hand, before anything depends on it; blocks.

    :raise ShortOfRoom: it cannot be had
    """
    _library()


def crc_function() -> Callable[[memoryview, int], int]:
    """What goes on with a CRC-32C: is given bytes, and the value of those before; blocks.

    :raise ShortOfRoom: it cannot be had
    """
    return _library()


def crc32c(data: memoryview, before: int) -> int:
    """Go on with a CRC-32C over ``data``; ``before``: of all bytes before them.

    :raise ShortOfRoom: as of :func:`prepare`
    """
    return _library()(data, before)


@functools.cache
def _library() -> Callable[[memoryview, int], int]:
    """The function that computes; its package imports much, for which no start should wait."""
    found: Callable[[memoryview, int], int] = load("crc32c").crc32c
    return found
