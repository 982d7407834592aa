"""Whether a tape keeps running: dumps onto simulated drives with speeds and a buffer.

All in a time that only passes when everybody waits; see :mod:`tests.plane.virtual_time`. Speeds and
buffers are those of a drive of the seventh generation, a hundred times smaller.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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


PIECE = 256 * 1024


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


@st.composite
def bursts(draw: st.DrawFn) -> list[float]:
    """A feed whose pieces come at one rate, with gaps between; not slower in the mean than the
    slowest speed of the tape, and no gap longer than half the drive's buffer lasts."""
    delays: list[float] = []
    for _ in range(draw(st.integers(2, 5))):
        count = draw(st.integers(12, 40))
        covered = min(BUFFER / 2 / LOWEST, count * PIECE / LOWEST)
        gap = draw(st.floats(0.0, 0.9 * covered))
        pace = draw(st.floats(0.0, 1.0)) * (count * PIECE / LOWEST - gap) / count
        delays += [gap + pace, *[pace] * (count - 1)]
    return delays


@settings(max_examples=15, deadline=None)
@given(bursts())
def test_the_tape_never_stops(delays: list[float]) -> None:
    """Where the feed's mean is at least the slowest speed, and the buffer covers its gaps."""
    with tempfile.TemporaryDirectory() as directory:
        assert dump(Path(directory), delays).hitches == 0


def test_a_feed_that_is_too_slow(tmp_path: Path) -> None:
    """Then it must stop; as seldom as the drive's buffer allows."""
    half = [PIECE / (LOWEST / 2)] * 160
    speed = dump(tmp_path, half)
    # forty MiB: while half a buffer goes to the tape a quarter comes
    assert 2 <= speed.hitches <= 40 * MIB / (BUFFER / 2)


def test_parts(tmp_path: Path) -> None:
    """Between parts it stops once, for the filemark, and begins again with a full ring."""
    speed = dump(tmp_path, [PIECE / (1.2 * LOWEST)] * 128, 8 * MIB)
    assert speed.hitches == 0
    assert speed.filemarks == 1 + 4 + 1
