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
from devices.ndmp_volume import BRIEF
from protocols.directtcp import Address
from protocols.ndmp.codes import ErrorCode, PauseReason
from tests.devices.ndmp_world import BLOCK, World, data_of, dump, turning
from tests.fakes.ndmp_server import CONFORMING, Flip, KillData, Pause, Phase, Wrong
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


def test_from_the_middle_of_a_file(world: World) -> None:
    """Also behind a reading that was given up; a file has no more records than it has."""
    device = world.device("drive0")

    async def story() -> None:
        await at_part(device, 1)
        address = (await device.listen(False))[0]
        with socket.create_connection((address.host, address.port)):
            connection = await device.accept()
            device.read_to_connection(0).addErrback(lambda failure: None).cancel()
            await connection.close()
        for number, skipped in ((2, 1), (1, 2), (1, 3)):
            await at_part(device, number)
            await device.skip_records(skipped)
            connection, receiver = await received(device)
            moved = await device.read_to_connection(0)
            assert (moved.size, moved.eof) == ((3 - skipped) * BLOCK, True)
            await connection.close()
            world.turning.until(lambda receiver=receiver: not receiver.is_alive())
            end = number * 3 * BLOCK
            assert bytes(receiver.data) == DATA[end - moved.size : end]
        await at_part(device, 1)
        with pytest.raises(VolumeFailed, match="file 1 has less than 4 records"):
            await device.skip_records(4)
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


class Sizes:
    """Keeps how long replies are."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def apply(self, session: object, data: bytes) -> bytes:
        self.seen.append(len(data))
        return data


class Long:
    """The record that is read has no end of a header."""

    def apply(self, session: object, data: bytes) -> bytes:
        before = 36  # mark, header, error and length
        return data[:before] + data[before:].replace(b"\0", b"x")


def headers(world: World, *numbers: int) -> tuple[list[int], list[int]]:
    """Go to these files, and read the last one to its end.

    :return: the parts that their headers tell, and how many bytes each TAPE_READ has brought
    """
    sizes = Sizes()
    world.server.faults.plant(sizes, "TAPE_READ", times=None)

    async def story() -> list[int]:
        device = world.device("drive0")
        await device.start(AccessMode.READ)
        found = [await device.seek_file(number) for number in numbers]
        connection, receiver = await received(device)
        assert (await device.read_to_connection(0)).eof
        await connection.close()
        await device.finish()
        world.turning.until(lambda: not receiver.is_alive())
        assert bytes(receiver.data) == DATA[-3 * BLOCK :]
        return [header.partnum for header in found if header is not None]

    return world.turning.run(story()), sizes.seen


def test_only_the_first_header_of_a_volume_is_read_whole(world: World) -> None:
    """Where it goes from mover to client, headers are all that this host is sent."""
    parts, (label, first, *others) = headers(world, 1, 2, 1, 2)
    assert parts == [1, 2, 1, 2]
    assert label > BLOCK
    assert first > BLOCK
    assert len(others) == 3
    assert all(BRIEF < size < 2 * BRIEF for size in others)


@pytest.mark.parametrize(
    ("fault", "message", "nth"),
    [
        # behind the label and the first header
        pytest.param(Wrong(ErrorCode.IO), "TAPE_READ", 3, id="records are not cut"),
        pytest.param(Long(), "TAPE_READ", 3, id="headers are long"),
        # after the drive was opened, and two files were looked for
        pytest.param(Flip(50), "TAPE_GET_STATE", 4, id="blocks have one size"),
        pytest.param(Flip(55), "TAPE_GET_STATE", 4, id="the tape stands elsewhere"),
        pytest.param(Flip(31), "TAPE_GET_STATE", 4, id="nobody can tell where it stands"),
    ],
)
def test_a_server_that_reads_whole_records_only(
    world: World, fault: object, message: str, nth: int
) -> None:
    """It is tried once, the tape goes back, and whole headers are read from then on."""
    world.server.faults.plant(fault, message, nth=nth)
    parts, sizes = headers(world, 1, 2, 1, 2)
    assert parts == [1, 2, 1, 2]
    assert sum(size > BLOCK for size in sizes) == 5
