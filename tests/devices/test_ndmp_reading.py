"""Volumes that a mover reads: whom it connects to, what it cannot read, dump after dump."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from attrs import evolve

from devices.errors import ConnectionBroken, PeerUnreachable, VolumeFailed
from devices.idirecttcp import IDirectTCPConnection
from devices.indirect import IndirectTCP
from devices.interfaces import AccessMode
from protocols.directtcp import Address
from protocols.ndmp.codes import PauseReason
from tests.devices.ndmp_world import BLOCK, World, data_of, dump, turning
from tests.fakes.ndmp_server import CONFORMING, KillData, Pause, Phase
from tests.fakes.turning import Receiver, Turning

__all__ = ["turning"]

DATA = data_of(6)


@pytest.fixture
def world(turning: Turning) -> Iterator[World]:
    """Two files of three blocks in drive0."""
    world = World(turning, CONFORMING)
    turning.run(dump(world, DATA, 3 * BLOCK, indirect=True))
    yield world
    world.close()


async def at_part(device: IndirectTCP, number: int) -> None:
    """Start reading, if need be, and go to a file."""
    if device.facts.access_mode is AccessMode.NULL:
        await device.start(AccessMode.READ)
    assert await device.seek_file(number)


async def received(device: IndirectTCP) -> tuple[IDirectTCPConnection, Receiver]:
    addresses = await device.listen(False)
    receiver = Receiver(addresses[0])
    return await device.accept(), receiver


async def second_part_next(device: IndirectTCP) -> IDirectTCPConnection:
    """Read the first part to its end, and go to the next one."""
    await at_part(device, 1)
    connection, _ = await received(device)
    assert (await device.read_to_connection(0)).eof
    assert await device.seek_file(2)
    return connection


def test_one_connection_after_another(world: World) -> None:
    """The device is kept between dumps, and its mover listens or connects anew for each."""
    device = world.device("drive0")

    async def story() -> None:
        for number in (2, 1, 2):
            await at_part(device, number)
            connection, receiver = await received(device)
            moved = await device.read_to_connection(0)
            assert (moved.size, moved.eof) == (3 * BLOCK, True)
            await connection.close()
            world.turning.until(lambda receiver=receiver: not receiver.is_alive())
            assert bytes(receiver.data) == DATA[(number - 1) * 3 * BLOCK : number * 3 * BLOCK]
        await device.finish()

    world.turning.run(story())


def test_who_cannot_be_reached(world: World) -> None:
    """The device is well: it can listen instead."""
    device = world.device("drive0")
    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = Address("127.0.0.1", server.getsockname()[1])

    async def story() -> None:
        await at_part(device, 1)
        with pytest.raises(PeerUnreachable, match=f"cannot connect to {gone}"):
            await device.connect(False, (gone,))
        connection, _ = await received(device)
        assert (await device.read_to_connection(0)).eof
        await connection.close()
        await device.finish()

    world.turning.run(story())


def test_old_servers_only_listen(turning: Turning) -> None:
    """What version 3 wants before it connects is not known well enough."""
    world = World(turning, evolve(CONFORMING, versions=(3,)))
    device = world.device("drive0")
    with pytest.raises(PeerUnreachable, match="only listens"):
        turning.wait(device.connect(False, (Address("127.0.0.1", 9),)))
    turning.wait(device.finish())
    world.close()


def test_the_loopback_address_of_another_host(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It means another host to the server than to who says it: nothing is tried."""
    from devices.ndmp_control import Control

    device = world.device("drive0")
    monkeypatch.setattr(Control, "is_local", False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        there = Address("127.0.0.1", server.getsockname()[1])
        with pytest.raises(PeerUnreachable):
            world.turning.wait(device.connect(False, (there,)))
    world.turning.wait(device.finish())


def test_blocks_of_another_size(world: World) -> None:
    """Some movers never come to an end with such records, so none is asked to read them."""
    device = world.device("drive0")
    device.facts.properties.set("block_size", 2 * BLOCK)

    async def story() -> None:
        await at_part(device, 1)
        text = f"the volume has blocks of {BLOCK} bytes, .* reads {2 * BLOCK}"
        with pytest.raises(VolumeFailed, match=text):
            await device.listen(False)
        await device.finish()

    world.turning.run(story())


def test_a_reader_that_goes_away(world: World) -> None:
    """It is not taken for the end of the file."""
    device = world.device("drive0")

    async def story() -> None:
        connection = await second_part_next(device)
        world.server.faults.plant(KillData(quiet=True), "MOVER_CONTINUE", Phase.AFTER)
        with pytest.raises(ConnectionBroken, match="the reader closed the data connection"):
            await device.read_to_connection(0)
        await connection.close()
        await device.finish()

    world.turning.run(story())


def test_the_last_file_may_end_without_a_filemark(world: World) -> None:
    """The end of the data is the end of the file, as for single records."""
    device = world.device("drive0")

    async def story() -> None:
        connection = await second_part_next(device)
        world.server.faults.plant(Pause(PauseReason.EOM), "MOVER_CONTINUE", Phase.AFTER)
        assert (await device.read_to_connection(0)).eof
        await connection.close()
        await device.finish()

    world.turning.run(story())
