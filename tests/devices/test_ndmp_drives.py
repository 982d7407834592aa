"""Drives that do not suit us, and errors that are no reason to give up a server.

Each is a weakness of stock that is mended ([ndmp 6.2], by number).
"""

from __future__ import annotations

import pytest
from attrs import evolve

from devices.errors import DeviceError, DriveFailed, Status
from devices.interfaces import AccessMode
from tests.devices.ndmp_world import BLOCK, STAMP, Client, World, data_of, header, turning
from tests.fakes.ndmp_server import CONFORMING, LENIENT, Drop, Phase
from tests.fakes.turning import Turning

__all__ = ["turning"]


def asked(world: World, label: str) -> int:
    """How often the server was asked this."""
    return sum(noted.label == label for noted in world.server.noted)


def test_a_drive_of_other_blocks_is_not_used(turning: Turning) -> None:
    """14: it is refused with both sizes, and closed again."""
    world = World(turning, LENIENT)
    drive = world.server.drives["drive0"]
    drive.block_size = 2 * BLOCK
    device = world.device("drive0")
    text = f"fixed block size {2 * BLOCK}, .* blocksize {BLOCK}$"
    with pytest.raises(DriveFailed, match=text):
        turning.wait(device.start(AccessMode.WRITE, "VOL", STAMP))
    turning.until(lambda: drive.user is None)
    assert not world.media["drive0"].files()
    turning.wait(device.finish())
    world.close()


def test_a_drive_without_a_tape_keeps_its_connection(turning: Turning) -> None:
    """12: nothing is wrong with the server; once there is a tape, all is well."""
    world = World(turning, LENIENT)
    drive = world.server.drives["drive0"]
    tape, drive.medium = drive.medium, None
    device = world.device("drive0")
    reading = turning.wait(device.read_label())
    assert (reading.status, reading.error) == (Status.VOLUME_MISSING, "no tape loaded")
    drive.medium = tape
    assert turning.wait(device.read_label()).status == Status.VOLUME_UNLABELED
    turning.wait(device.start(AccessMode.WRITE, "VOL", STAMP))
    turning.wait(device.finish())
    assert asked(world, "CONNECT_CLIENT_AUTH") == 1
    assert (asked(world, "TAPE_CLOSE"), asked(world, "CONNECT_CLOSE")) == (1, 1)
    world.close()


def test_nothing_is_moved_on_a_device_in_error(turning: Turning) -> None:
    """7: the error is told again; stock says that all went well, with any size."""
    world = World(turning, LENIENT)
    device = world.device("drive0")

    async def story() -> None:
        Client(turning, await device.listen(True), data_of(3))
        connection = await device.accept()
        await device.start(AccessMode.WRITE, "VOL", STAMP)
        await device.start_file(header())
        world.server.faults.plant(Drop(), "MOVER_CONTINUE", Phase.REPLY)
        with pytest.raises(DriveFailed, match="ndmconn error"):
            await device.write_from_connection(0)
        before = len(world.server.noted)
        with pytest.raises(DriveFailed, match="ndmconn error"):
            await device.write_from_connection(0)
        assert len(world.server.noted) == before
        await connection.close()

    turning.run(story())
    turning.wait(device.finish())
    world.close()


@pytest.mark.parametrize("unloads", [False, True])
def test_ejecting(turning: Turning, unloads: bool) -> None:
    """13: the drive is opened for it and closed again; a failure is told."""
    world = World(turning, evolve(CONFORMING, unloads=unloads))
    device = world.device("drive0")
    if unloads:
        turning.wait(device.eject())
    else:
        with pytest.raises(DeviceError, match="did not complete"):
            turning.wait(device.eject())
        turning.wait(device.finish())
    turning.until(lambda: world.server.drives["drive0"].user is None)
    names = ["TAPE_OPEN", "TAPE_MTIO", "TAPE_CLOSE"]
    assert [noted.label for noted in world.server.noted if noted.label in names] == names
    world.close()
