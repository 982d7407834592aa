"""Dumps onto a simulated drive with speeds and a buffer, in virtual time.

Time only passes when everybody waits, see :mod:`tests.plane.virtual_time`. Speeds and buffers are
those of a drive of the seventh generation, a hundred times smaller.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from zope.interface import implementer

from devices.interfaces import AccessMode, Streaming
from taper.plane.interfaces import ISource
from taper.plane.transfer import Transfer
from tests.devices.tape_world import BLOCK, TapeWorld
from tests.fakes.tape import records_on
from tests.fakes.tape.speed import Speed
from tests.plane.dumping import HEADER, Plan
from tests.plane.virtual_time import VirtualTime, virtual_time

MIB = 1 << 20
NATIVE, LOWEST, BUFFER = 3.0 * MIB, 1.0 * MIB, 8 * MIB
PIECE = 256 * 1024


@implementer(ISource)
class Feed:
    """Data as they come: pieces of 256 KiB, with the seconds before each."""

    def __init__(self, time: VirtualTime, delays: list[float]) -> None:
        self._time = time
        self._delays = iter(delays)

    def read_into(self, buffer: memoryview) -> int:
        delay = next(self._delays, None)
        if delay is None:
            self._time.idle()  # this thread ends
            return 0
        self._time.wait(delay)
        return len(buffer[:PIECE])

    def cancel(self) -> None:
        """Nobody does it here."""

    def close(self) -> None:
        """Nothing is open."""


def dump(directory: Path, delays: list[float], parts: int = 0) -> Speed:
    """Write a dump that comes so. :return: the drive's mechanics after it"""
    with pytest.MonkeyPatch.context() as patch:
        time = virtual_time(patch)
        world = TapeWorld(directory)
        cartridge = world.insert()
        speed = Speed(NATIVE, LOWEST, BUFFER, time.clock, time.wait)
        world.drive.speed = speed
        device = world.device()
        assert device.streaming is Streaming.DESIRED
        device.start(AccessMode.WRITE, "TAPE-01", "X")
        plan = Plan(part_size=parts, block_size=BLOCK, buffer_size=3 * MIB)
        transfer = Transfer(Feed(time, delays), plan)
        time.working()  # the reader, from now on
        transfer.start()
        while not transfer.write_part(device, HEADER).eof:
            pass
        transfer.close()
        device.finish()
    assert len(records_on(cartridge, 1)) == (parts or len(delays) * PIECE)
    return speed
