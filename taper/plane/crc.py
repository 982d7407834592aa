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


@functools.cache
def _library() -> Callable[[memoryview, int], int]:
    """The function that computes; its package imports much, for which no start should wait."""
    found: Callable[[memoryview, int], int] = load("crc32c").crc32c
    return found


_POLYNOMIAL = 0x82F63B78
"""Of CRC-32C, the highest power in the lowest bit, as the computed values have it."""
_ONE = 1 << 31


def joined(first: Crc, second: Crc) -> Crc:
    """The CRC of two streams, one behind the other."""
    # the zeros that the second stream stands for shift what came before by a power of x
    shifted = _product(_power(8 * second.size), first.value)
    return Crc(shifted ^ second.value, first.size + second.size)


def _product(left: int, right: int) -> int:
    """Of two polynomials, modulo that of the CRC."""
    product, power = 0, _ONE
    while power:
        if left & power:
            product ^= right
        right = right >> 1 ^ (_POLYNOMIAL if right & 1 else 0)
        power >>= 1
    return product


@functools.lru_cache(maxsize=1024)
def _power(exponent: int) -> int:
    """x to that power, modulo the polynomial of the CRC; most parts are of one size."""
    result, square = _ONE, _ONE >> 1
    while exponent:
        if exponent & 1:
            result = _product(square, result)
        square = _product(square, square)
        exponent >>= 1
    return result
