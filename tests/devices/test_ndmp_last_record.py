"""The last records of a file are read once more, and the volume stands where it stood."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve

from devices.errors import DeviceError, Status
from devices.indirect import IndirectTCP
from devices.interfaces import AccessMode
from protocols.ndmp.codes import ErrorCode
from tests.devices.ndmp_world import BLOCK, STAMP, Client, World, data_of, header, turning
from tests.fakes.ndmp_server import CONFORMING, PROFILES, Phase, Wrong
from tests.fakes.turning import Receiver, Turning

__all__ = ["turning"]

DATA = data_of(5.4)


@pytest.fixture(params=list(PROFILES))
def any_world(request: Any, turning: Turning) -> Iterator[World]:
    world = World(turning, PROFILES[request.param])
    yield world
    world.close()
    assert not world.server.failures


async def write_two(world: World) -> tuple[IndirectTCP, list[bytes]]:
    """Two files. :return: the device, and what it reads once more behind each"""
    device = world.device("drive0")
    client = Client(world.turning, await device.listen(True), DATA)
    connection = await device.accept()
    await device.start(AccessMode.WRITE, "VOL-0", STAMP)
    found = []
    for part in (1, 2):
        await device.start_file(header(part))
        await device.write_from_connection(3 * BLOCK)
        await device.finish_file()
        found.append(await device.read_last_record())
    await connection.close()
    await client.done
    return device, found


def records() -> list[bytes]:
    padded = DATA.ljust(6 * BLOCK, b"\0")
    return [padded[at : at + BLOCK] for at in range(0, len(padded), BLOCK)]


def test_of_a_file_that_was_written(any_world: World) -> None:
    """And the next file comes behind it."""
    device, found = any_world.turning.run(write_two(any_world))
    assert found == [records()[2], records()[5]]
    any_world.turning.wait(device.finish())
    assert any_world.payload("drive0") == b"".join(records())
    assert any_world.media["drive0"].filemarks() == 3


def test_it_is_taken_off_then(any_world: World) -> None:
    """It is not what it should be: the file ends before it."""
    device, _ = any_world.turning.run(write_two(any_world))
    assert any_world.turning.wait(device.end_broken_file()) == 2 * BLOCK
    any_world.turning.wait(device.finish())
    assert any_world.payload("drive0") == b"".join(records()[:5])


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_drive_that_loses_its_way(turning: Turning, nth: int) -> None:
    """Nobody knows where it stands: the volume takes nothing more, and nothing on it is cut."""
    world = World(turning, CONFORMING)
    device, _ = turning.run(write_two(world))
    world.server.faults.plant(Wrong(ErrorCode.IO), "TAPE_MTIO", Phase.REQUEST, nth=nth)
    with pytest.raises(DeviceError):
        turning.wait(device.read_last_record())
    assert device.facts.is_eom
    turning.wait(device.finish())
    assert world.payload("drive0") == b"".join(records())
    world.close()


async def read_back(device: IndirectTCP, *wanted: tuple[int, int]) -> list[bytes]:
    """Let the mover read both files, and then what is wanted."""
    await device.read_label()
    await device.start(AccessMode.READ)
    await device.seek_file(1)
    receiver = Receiver((await device.listen(False))[0])
    connection = await device.accept()
    assert (await device.read_to_connection(0)).eof
    await device.seek_file(2)
    assert (await device.read_to_connection(0)).eof
    found = [await device.read_end(number, count) for number, count in wanted]
    await device.seek_file(1)
    assert (await device.read_to_connection(0)).eof
    await connection.close()
    receiver.join(60)
    assert bytes(receiver.data) == b"".join(records() + records()[:3])
    return found


def test_of_files_that_were_read(any_world: World) -> None:
    turning = any_world.turning
    device, _ = turning.run(write_two(any_world))
    turning.wait(device.finish())
    reader = any_world.device("drive0")
    found = turning.run(read_back(reader, (2, 1), (2, 3), (1, 2), (1, 1), (1, 99)))
    assert found == [
        records()[5],
        b"".join(records()[3:]),
        b"".join(records()[1:3]),
        records()[2],
        b"",
    ]
    assert reader.facts.status is Status.SUCCESS
    turning.wait(reader.finish())


@pytest.mark.parametrize("version", [2, 3])
def test_filemarks_that_reading_crosses(turning: Turning, version: int) -> None:
    world = World(turning, evolve(CONFORMING, versions=(version,)))
    device, _ = turning.run(write_two(world))
    turning.wait(device.finish())
    reader = world.device("drive0")
    assert turning.run(read_back(reader, (2, 2), (1, 1))) == [
        b"".join(records()[4:]),
        records()[2],
    ]
    turning.wait(reader.finish())
    world.close()
