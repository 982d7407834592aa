"""The shared-memory ring between a dumper and the taper: names, layout, sizes [data-plane 4.3].

The taper is the consumer: it makes a control segment, four semaphores and a data segment. The
producer, which attaches later, sizes the data segment and fills it. All numbers lie in the native
order of x86-64, each 8-byte field aligned, each written by one side only.
"""

from __future__ import annotations

import math

from protocols.records import Record

CONTROL_SIZE = 472
NAME_SIZE = 50
"""Bytes of a name in the control block, its final NUL included."""
MAX_PIDS = 10

# 8-byte fields
WRITE_OFFSET = 0
WRITTEN = 8
READ_OFFSET = 64
READX = 72
RING_SIZE = 136
CONSUMER_BLOCK_SIZE = 440
PRODUCER_BLOCK_SIZE = 448
CONSUMER_RING_SIZE = 456
PRODUCER_RING_SIZE = 464
# 4-byte fields
EOF_FLAG = 16
CANCELLED = 128
NEED_SEM_READY = 132
PIDS = 144
# names
NAMES = 184

CACHED_RING = 1048576
CACHED_BLOCK = 32768
LARGEST_PRODUCER_BLOCK = 131072
"""Of the stock producers; the other one is 32768, which divides it."""
MAX_STEP = 16 * 1024 * 1024
"""Largest least common multiple of block sizes for which a ring is announced in device blocks."""

PREFIX = "/amanda_"


class RingError(Exception):
    """A control block is not one."""

    taper_code = 4005


class Sizes(Record):
    """What one side would like, in bytes; ``ring`` is at least ``block``."""

    ring: int
    block: int


class RingNames(Record):
    """The names of a ring's objects, each with its leading slash."""

    control: str
    write: str
    read: str
    ready: str
    start: str
    data: str

    @classmethod
    def make(cls, pid: int, number: int) -> RingNames:
        """The names for the ring of process ``pid`` that uses ``number`` and the five after it."""
        kinds = ("shm_control", "sem_write", "sem_read", "sem_ready", "sem_start", "shm_data")
        return cls(*(f"{PREFIX}{kind}-{pid}-{number + at}" for at, kind in enumerate(kinds)))

    @property
    def semaphores(self) -> tuple[str, str, str, str]:
        """Write, read, ready, start: in the order of the control block."""
        return self.write, self.read, self.ready, self.start


def consumer_sizes(buffer_size: int, block_size: int, *, cached: bool) -> Sizes:
    """What the taper announces [data-plane 4.3].

    Stock's values wherever a stock producer makes a good ring of them. Where it would take the
    remainder for the quotient, and half a gigabyte [data-plane Q8], the ring is announced in
    steps that both blocks divide; where even these are too large, in no device blocks at all.

    :param buffer_size: bytes to keep between source and device, whole blocks
    :param cached: the parts come from a cache, so the ring knows nothing of the device's blocks
    """
    step = math.lcm(LARGEST_PRODUCER_BLOCK, block_size)
    if cached or step > MAX_STEP:
        return Sizes(CACHED_RING, CACHED_BLOCK)
    return Sizes(_round_up(buffer_size, step), block_size)


def _round_up(size: int, unit: int) -> int:
    return -(-size // unit) * unit


def build_control(names: RingNames, pid: int) -> bytes:
    """A fresh control block: zero, but for its creator and the names.

    :raise ValueError: a name is too long
    """
    block = bytearray(CONTROL_SIZE)
    block[PIDS : PIDS + 4] = pid.to_bytes(4, "little")
    for at, name in enumerate((*names.semaphores, names.data)):
        encoded = name.encode("ascii")
        if len(encoded) >= NAME_SIZE:
            raise ValueError(f"name {name!r} is longer than {NAME_SIZE - 1} bytes")
        start = NAMES + at * NAME_SIZE
        block[start : start + len(encoded)] = encoded
    return bytes(block)


def parse_names(control: str, block: bytes) -> RingNames:
    """The names in a control block called ``control``.

    :raise RingError: it has not its size, or a name in it is none of a ring's
    """
    if len(block) != CONTROL_SIZE:
        raise RingError(f"control block of {len(block)} bytes, expected {CONTROL_SIZE}")
    names = [_name(block, at) for at in range(5)]
    return RingNames(control, *names)


def _name(block: bytes, at: int) -> str:
    start = NAMES + at * NAME_SIZE
    raw, end, _ = block[start : start + NAME_SIZE].partition(b"\0")
    name = raw.decode("ascii", "backslashreplace")
    if not end or not name.startswith(PREFIX) or "/" in name[1:]:
        raise RingError(f"control block with the name {name!r}, expected {PREFIX}...")
    return name


def parse_pids(block: bytes) -> tuple[int, ...]:
    """The processes that attached to a ring, its creator first; without the free places."""
    places = (PIDS + 4 * at for at in range(MAX_PIDS))
    pids = (int.from_bytes(block[at : at + 4], "little", signed=True) for at in places)
    return tuple(pid for pid in pids if pid)
