"""CRC-32C of a stream, computed as the bytes go by [data-plane 5.1]."""

from __future__ import annotations

import functools
import math
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


def crc32c(data: memoryview, before: int) -> int:
    """Go on with a CRC-32C over ``data``; ``before``: of all bytes before them.

    :raise ShortOfRoom: as of :func:`prepare`
    """
    return _library()(data, before)


@functools.cache
def _library() -> Callable[[memoryview, int], int]:
    """The function that computes; its package imports much, for which no start should wait."""
    found: Callable[[memoryview, int], int] = load("crc32c", "_crc32c").crc32c
    return found


_POLYNOMIAL = 0x82F63B78
"""Of CRC-32C, the highest power in the lowest bit, as the computed values have it."""
_ONE = 1 << 31
_ORDER = 2**31 - 1
"""So many bits on, a flipped one changes the CRC in the same way again."""


def joined(first: Crc, second: Crc) -> Crc:
    """The CRC of two streams, one behind the other."""
    # the zeros that the second stream stands for shift what came before by a power of x
    shifted = _product(_power(8 * second.size), first.value)
    return Crc(shifted ^ second.value, first.size + second.size)


def without_zeros(whole: Crc, count: int) -> Crc:
    """The CRC of a stream from whose end so many zeros are taken.

    :param count: bytes, not more than there are; as many are in memory for a moment
    """
    zeros = RunningCrc()
    zeros.update(memoryview(bytes(count)))
    back = _power(-8 * count % _ORDER)
    return Crc(_product(back, whole.value ^ zeros.value().value), whole.size - count)


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


def flipped_bit(found: Crc, expected: Crc) -> tuple[int, int] | None:
    """The one bit that, flipped, explains the difference of two checksums of one stream.

    It is an explanation, and no proof: other damage looks like that once in 2**32 / bits cases.

    :return: the byte, from 0, and the bit in it, its worth being ``1 << bit``; None: it takes more
        than one bit, or the stream is so long that several would explain it
    """
    bits = 8 * found.size
    difference = found.value ^ expected.value
    if found.size != expected.size or not difference or bits >= _ORDER:
        return None
    # Behind the bit that is flipped come n others and the 32 of the CRC: the difference is x to the
    # power of that. Which n, is found by small steps from x**32 on, and large ones from there.
    step = math.isqrt(bits) + 1
    small, power = {}, _power(32)
    for behind in range(step):
        small[power] = behind
        power = power >> 1 ^ (_POLYNOMIAL if power & 1 else 0)
    back = _multiplier(_power(_ORDER - step))
    for large in range(step):
        behind = large * step + small.get(difference, bits)
        if behind < bits:
            return found.size - 1 - behind // 8, 7 - behind % 8
        difference = back(difference)
    return None


@functools.lru_cache(maxsize=16)
def _multiplier(factor: int) -> Callable[[int], int]:
    """What multiplies by always the same polynomial: eight powers at a time are looked up."""
    tables = []
    for shift in (0, 8, 16, 24):
        table = [0]
        for bit in range(8):
            product = _product(factor, 1 << shift + bit)
            table += [product ^ other for other in table]
        tables.append(table)
    lowest, low, high, highest = tables

    def multiply(value: int) -> int:
        return (
            lowest[value & 255]
            ^ low[value >> 8 & 255]
            ^ high[value >> 16 & 255]
            ^ highest[value >> 24]
        )

    return multiply
