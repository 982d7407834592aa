"""What ``tape:`` asks of a drive, call by call: stock's sequences [volumes 5.4].

What we ask besides: where the tape stands before a file is begun, and what the end of the data is
before something is appended.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from devices.interfaces import AccessMode
from protocols.header import HeaderType
from tests.devices.tape_world import BLOCK, LABEL, PART, STAMP, TapeWorld, some_bytes, write_all

OPEN = [("open", os.O_RDWR), ("NOP", 1), ("GET", 0)]
REW = ("REW", 1)
GET = ("GET", 0)
FSF, BSF, WEOF = ("FSF", 1), ("BSF", 1), ("WEOF", 1)
READ, WRITE, CLOSE = ("read", BLOCK), ("write", BLOCK), ("close", 0)


@pytest.fixture
def world(tmp_path: Path) -> TapeWorld:
    world = TapeWorld(tmp_path)
    world.insert()
    return world


def test_read_label(world: TapeWorld) -> None:
    """Rewind and read one record; where there is no label, rewind again."""
    device = world.device()
    device.read_label()
    assert world.drive.calls() == [*OPEN, REW, READ, GET, REW]
    device.finish()
    assert world.drive.calls() == [CLOSE]


def test_start_for_writing(world: TapeWorld) -> None:
    """Is it protected? Rewind, label, filemark."""
    device = world.device()
    device.start(AccessMode.WRITE, LABEL, STAMP)
    assert world.drive.calls() == [*OPEN, GET, REW, WRITE, WEOF]
    device.finish()
    assert world.drive.calls() == [REW, CLOSE]


def test_a_file(world: TapeWorld) -> None:
    """Header, blocks, filemark: each block one write, the last one padded."""
    device = world.started()
    device.start_file(PART)
    assert world.drive.calls() == [GET, WRITE]
    write_all(device, some_bytes(5 * BLOCK + 1))
    assert world.drive.calls() == [WRITE] * 6
    device.finish_file()
    assert world.drive.calls() == [WEOF]
    device.finish()


def test_one_final_filemark(world: TapeWorld) -> None:
    """A NOOP file is written then, which readers pass over."""
    device = world.started(final_filemarks=1)
    device.start_file(PART)
    device.finish_file()
    world.drive.calls()
    device.finish()
    assert world.drive.calls() == [WRITE, REW, CLOSE]
    device = world.started(AccessMode.READ)
    end = device.seek_file(2)
    assert end is not None
    assert end.type is HeaderType.TAPEEND
    assert device.file == 3
    device.finish()


def test_append(world: TapeWorld) -> None:
    """The end of the data as the drive finds it, and whether it is one."""
    world.written(BLOCK, BLOCK)
    device = world.device()
    device.start(AccessMode.APPEND)
    label = [*OPEN, REW, READ]
    last = [("EOM", 1), ("NOP", 1), ("BSF", 2), FSF, READ]
    end = [FSF, READ]
    assert [call for call in world.drive.calls() if call != GET] == [
        call for call in (*label, *last, *end) if call != GET
    ]
    assert device.file == 2
    device.finish()


@pytest.mark.parametrize(
    ("properties", "start", "wanted", "calls"),
    [
        ({}, 0, 3, [("FSF", 3)]),
        ({}, 1, 2, [("FSF", 1)]),
        ({}, 2, 2, [("BSF", 1), ("FSF", 1)]),
        ({}, 3, 1, [("BSF", 3), ("FSF", 1)]),
        ({"bsf": False}, 3, 1, [("REW", 1), ("FSF", 1)]),
        ({"bsf": False}, 2, 2, [("REW", 1), ("FSF", 2)]),
        ({"fsf": False}, 1, 3, [READ] * 2 + [READ] * 3),
        ({"fsf": False, "bsf": False}, 2, 1, [("REW", 1), READ, READ]),
    ],
)
def test_seek(
    world: TapeWorld,
    properties: dict[str, Any],
    start: int,
    wanted: int,
    calls: list[tuple[str, int]],
) -> None:
    """Each way to a file, and at last its header."""
    world.written(BLOCK, BLOCK, BLOCK)
    device = world.started(AccessMode.READ, **properties)
    if start:
        device.seek_file(start)
    world.drive.calls()
    header = device.seek_file(wanted)
    assert header is not None
    assert device.file == wanted
    assert world.drive.calls("GET") == [*calls, READ]
    device.finish()
    assert world.drive.calls() == [REW, CLOSE]


def test_seek_behind_a_filemark(world: TapeWorld) -> None:
    """Who has read to the end of a file stands at the beginning of the next one: the tape goes on,
    without a stop."""
    world.written(BLOCK, BLOCK)
    device = world.started(AccessMode.READ)
    device.seek_file(1)
    buffer = memoryview(bytearray(4 * BLOCK))
    while device.read_blocks(buffer):
        pass
    world.drive.calls()
    header = device.seek_file(2)
    assert header is not None
    assert world.drive.calls("GET") == [READ]
    device.finish()


def test_eject(world: TapeWorld) -> None:
    """Rewind and put it out; then the drive is empty."""
    device = world.device()
    device.eject()
    assert world.drive.calls() == [*OPEN, REW, ("OFFL", 1), CLOSE]
    assert device.read_label().status == 4


@pytest.mark.parametrize("value", [True, False])
def test_compression(world: TapeWorld, value: bool) -> None:
    """Told when the drive is opened, and at once when it is open."""
    device = world.device(compression=value)
    device.read_label()
    assert world.drive.calls()[:4] == [*OPEN, ("COMPRESSION", int(value))]
    device.properties.set("compression", not value)
    assert world.drive.calls()[-1] == ("COMPRESSION", int(not value))
    device.finish()


def test_nonblocking_open(world: TapeWorld) -> None:
    """With the property a drive that is not ready is opened at least; without, it is not."""
    world.swap(world.directory / "cartridge")
    flags: list[int] = []

    for nonblocking in (True, False):
        device = world.device(nonblocking_open=nonblocking)
        opener = device._opener  # what the seam is asked is what the test is about
        device._opener = lambda path, flag, opener=opener: (
            flags.append(flag & os.O_NONBLOCK),
            opener(path, flag),
        )[1]
        device.read_label()
        device.finish()
    assert flags == [os.O_NONBLOCK, 0]


def test_large_transfers(world: TapeWorld) -> None:
    """Reading too is one call for each record, as many as the buffer holds."""
    (data,) = world.written(40 * BLOCK)
    device = world.started(AccessMode.READ)
    device.seek_file(1)
    world.drive.calls()
    buffer = memoryview(bytearray(64 * BLOCK))
    assert device.read_blocks(buffer) == len(data)
    assert buffer[: len(data)] == data
    assert world.drive.calls("GET") == [READ] * 41
    assert device.read_blocks(buffer) == 0
    assert world.drive.calls() == []
    device.finish()
