"""Who waits for whom, by a clock that only moves when it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from devices.interfaces import Written
from taper.plane import adaptive, intake, ring
from taper.plane.interfaces import Measured
from taper.plane.ring import Ring
from taper.plane.transfer import Transfer
from tests.plane.dumping import HEADER, PiecesSource, Plan
from tests.plane.transferring import BLOCK, DATA, started

PATIENCE = 60.0


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Hand:
    clock = Hand()
    for module in (adaptive, intake, ring):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))
    return clock


class SlowSource(PiecesSource):
    """:ivar before: called before each read."""

    before: Callable[[], None]

    def read_into(self, buffer: memoryview) -> int:
        self.before()
        return super().read_into(buffer)


def test_one_thread_reads_and_writes_by_turns(clock: Hand) -> None:
    """The device waits while it reads, the source while it writes; nobody waits between parts, and
    a read that lasts counts already."""
    source = SlowSource(DATA)
    seen: list[Measured] = []

    def read() -> None:
        clock.seconds += 1
        seen.append(transfer.measured)

    source.before = read
    transfer = Transfer(source, Plan(block_size=BLOCK, part_size=2 * BLOCK), clock=clock)  # type: ignore[arg-type]
    transfer.start()
    device = started()
    write = device.write_blocks

    def write_slowly(data: memoryview) -> Written:
        clock.seconds += 3
        return write(data)

    device.write_blocks = write_slowly  # type: ignore[method-assign]
    while not transfer.write_part(device, HEADER).eof:
        clock.seconds += 1000
    measured = transfer.measured
    reads = len(seen)
    assert measured.seconds is not None
    assert measured.without_room is not None
    assert measured.without_data == reads
    assert measured.without_room == measured.seconds - reads
    assert measured.without_room % 3 == 0
    assert (measured.read, measured.written) == (len(DATA), len(DATA))
    assert seen[0].without_data == 1
    transfer.close()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_who_sleeps_at_a_ring_is_counted_while_it_sleeps(clock: Hand) -> None:
    full = Ring(4 * BLOCK, BLOCK)
    full.allocate()
    device = threading.Thread(target=full.peek, args=(BLOCK,))
    device.start()
    wait_until(lambda: full._data_wanted is not None)
    clock.seconds += 5
    assert full.waits() == (5, 0)
    space = full.space()
    assert space is not None
    full.publish(len(space))
    device.join()
    clock.seconds += 50
    assert full.waits() == (5, 0)
    while full._written < full.capacity:
        room = full.space()
        assert room is not None
        full.publish(len(room))
    reader = threading.Thread(target=full.space)
    reader.start()
    wait_until(lambda: full._room_wanted is not None)
    clock.seconds += 7
    assert full.waits() == (5, 7)
    full.stop()
    reader.join()
    clock.seconds += 50
    assert full.waits() == (5, 7)
