"""XOR of blocks, for parity [volumes 5.3].

Measured on blocks of 32 KiB to 1 MiB: whole numbers (``int.from_bytes``), the best that Python has
itself, make 350 to 470 MB/s, and nobody else runs meanwhile. GMP, which is on every Debian as a
part of the base system, makes some GB/s beside other threads, and takes no memory to speak of.
So it is used where it is, and whole numbers elsewhere; numpy would be as fast, for its weight.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence

_PIECE = 32768
"""Bytes of a whole number: what stays in the processor's cache."""

_GMP = "libgmp.so.10"

_Into = Callable[[bytearray, memoryview], None]


def xor(blocks: Sequence[memoryview]) -> bytearray:
    """The bytewise XOR of one or more blocks.

    :raise ValueError: they are not of one length
    """
    result = bytearray(blocks[0])
    for block in blocks[1:]:
        if len(block) != len(result):
            raise ValueError(f"XOR of {len(result)} and {len(block)} bytes")
        _xor_into()(result, block)
    return result


def agree(lanes: Sequence[memoryview]) -> bool:
    """Whether the last of some blocks is the XOR of the others."""
    *data, parity = lanes
    return xor(data) == parity  # a bytearray compares at once, a memoryview byte by byte


def by_numbers(result: bytearray, block: memoryview) -> None:
    """Put the XOR of both into ``result``."""
    for at in range(0, len(result), _PIECE):
        end = min(at + _PIECE, len(result))
        number = int.from_bytes(result[at:end], "little") ^ int.from_bytes(block[at:end], "little")
        result[at:end] = number.to_bytes(end - at, "little")


@functools.cache
def _xor_into() -> _Into:
    """The fastest way that there is here; looked for when it is first needed."""
    return by_gmp() or by_numbers


def by_gmp() -> _Into | None:
    """GMP's way of doing what :func:`by_numbers` does; None: there is no GMP."""
    try:
        mpn_xor_n = ctypes.CDLL(_GMP)["__gmpn_xor_n"]
    except (OSError, AttributeError):
        return None
    mpn_xor_n.restype = None
    mpn_xor_n.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long]
    limb = ctypes.sizeof(ctypes.c_ulong)

    def xor_into(result: bytearray, block: memoryview) -> None:
        size = len(result)
        if len(block) != size:
            raise ValueError(f"XOR of {size} and {len(block)} bytes")
        source = block if not block.readonly and block.contiguous else memoryview(bytearray(block))
        limbs = size // limb
        if limbs:
            to = (ctypes.c_char * size).from_buffer(result)
            other = (ctypes.c_char * size).from_buffer(source)
            mpn_xor_n(ctypes.addressof(to), ctypes.addressof(to), ctypes.addressof(other), limbs)
            del to, other  # nobody can resize what they point into
        for at in range(limbs * limb, size):
            result[at] ^= source[at]

    return xor_into


def gather(data: memoryview, lanes: int, block: int) -> list[memoryview]:
    """``data``, which is whole stripes, dealt to ``lanes`` in turn by blocks of ``block`` bytes."""
    if lanes == 1:
        return [data]
    dealt = [bytearray(len(data) // lanes) for _ in range(lanes)]
    for number, at in enumerate(range(0, len(data), block)):
        stripe, lane = divmod(number, lanes)
        dealt[lane][stripe * block : (stripe + 1) * block] = data[at : at + block]
    return [memoryview(part) for part in dealt]


def scatter(parts: Sequence[memoryview], block: int, target: memoryview) -> None:
    """The reverse of :func:`gather`."""
    lanes = len(parts)
    for lane, part in enumerate(parts):
        for stripe, at in enumerate(range(0, len(part), block)):
            to = (stripe * lanes + lane) * block
            target[to : to + block] = part[at : at + block]
