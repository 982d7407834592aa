"""The ``ndmp:`` device against servers of every strictness, and against faults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred
from zope.interface import implementer

from devices import ndmp_control
from devices.errors import DeviceError, IncompatibleConnection, Status
from devices.idirecttcp import IDirectTCPConnection, ISocketConnection
from devices.indirect import IndirectTCP
from devices.interfaces import AccessMode
from protocols.header import parse_header
from protocols.ndmp.codes import HaltReason
from tests.devices.ndmp_world import (
    BLOCK,
    STAMP,
    Client,
    World,
    data_of,
    dump,
    header,
    turning,
    write_volume,
)
from tests.fakes.ndmp_server import (
    CONFORMING,
    LENIENT,
    PROFILES,
    STRICT,
    Drop,
    Flip,
    Halt,
    Phase,
    Silence,
    Truncate,
)
from tests.fakes.turning import Receiver, Turning

__all__ = ["turning"]


@pytest.fixture(params=list(PROFILES))
def any_world(request: Any, turning: Turning) -> Iterator[World]:
    world = World(turning, PROFILES[request.param], 12 * BLOCK)
    yield world
    world.close()
    assert not world.server.failures


@pytest.mark.parametrize("blocks", [0, 0.5, 3, 4, 20, 23.25])
@pytest.mark.parametrize("indirect", [True, False])
def test_a_dump_of_any_length_arrives_whole(
    any_world: World, blocks: float, indirect: bool
) -> None:
    """Whatever the server insists on, every byte is on the volumes once, in order."""
    data = data_of(blocks)
    volumes, client = any_world.turning.run(dump(any_world, data, 4 * BLOCK, indirect=indirect))
    stored = b"".join(any_world.payload(f"drive{n}") for n in range(len(volumes)))
    assert stored == data.ljust(-(-len(data) // BLOCK) * BLOCK, b"\0")
    assert sum(part.size for parts in volumes for part in parts) == len(stored)
    assert client.sender is not None
    client.sender.join(60)
    assert client.sender.failure is None
    assert len(volumes) == (1 if blocks < 5 else len(volumes))


@pytest.mark.parametrize("version", [2, 3, 4])
def test_every_version_of_the_protocol_will_do(turning: Turning, version: int) -> None:
    """A server that speaks only version 2 or 3 is written to as well."""
    world = World(turning, evolve(CONFORMING, versions=(version,)), 12 * BLOCK)
    data = data_of(15)
    volumes, _ = turning.run(dump(world, data, 4 * BLOCK, indirect=True))
    stored = b"".join(world.payload(f"drive{n}") for n in range(len(volumes)))
    assert stored == data
    world.close()


def test_a_strict_server_makes_the_device_listen_late(turning: Turning) -> None:
    """Refusing the empty window is enough: the mover listens when somebody asks where, and the
    header is on the volume."""
    world = World(turning, STRICT)
    device = world.device("drive0")
    asked = world.server.labels

    async def story() -> None:
        addresses = await device.listen(True)
        assert addresses[0].is_indirect
        connection = await device.accept()
        await device.start(AccessMode.WRITE, "VOL", STAMP)
        await device.start_file(header())
        moving = device.write_from_connection(0)
        assert len(world.media["drive0"].files()[1]) == 1
        assert "MOVER_LISTEN" not in asked()
        client = Client(turning, addresses, data_of(1))
        assert (await moving).eof
        await client.done
        await device.finish_file()
        await device.finish()
        await connection.close()

    turning.run(story())
    assert asked().index("MOVER_LISTEN") > asked().index("TAPE_WRITE")
    world.close()


def test_a_strict_server_writes_nothing_while_it_listens(turning: Turning) -> None:
    """Which is why there must be another way: no header could come before the data."""
    world = World(turning, evolve(STRICT, zero_window=True))
    device = world.device("drive0")

    async def story() -> None:
        assert not (await device.listen(True))[0].is_indirect
        with pytest.raises(DeviceError):
            await device.start(AccessMode.WRITE, "VOL", STAMP)
        await device.finish()

    turning.run(story())
    assert world.media["drive0"].files() == []
    world.close()


def test_headers_are_before_the_data_and_files_are_ended(turning: Turning) -> None:
    """On the volume: label, then in each file one header and the blocks of its part."""
    world = World(turning, LENIENT)
    turning.run(dump(world, data_of(5), 2 * BLOCK, indirect=True))
    label, *files = world.media["drive0"].files()[:4]
    assert parse_header(label[0]).label == "VOL-0"
    assert [len(records) for records in files] == [3, 3, 2]
    assert [parse_header(records[0]).partnum for records in files] == [1, 2, 3]
    assert {len(record) for records in files for record in records} == {BLOCK}
    assert world.media["drive0"].filemarks() == 4
    world.close()


def test_a_dump_is_read_back_over_one_connection(any_world: World) -> None:
    """Part after part, volume after volume, by one data connection."""
    data = data_of(20)

    async def read_volume(
        device: IndirectTCP, connection: IDirectTCPConnection | None, parts: int
    ) -> tuple[IDirectTCPConnection, Receiver | None]:
        receiver = None
        await device.read_label()
        if connection is not None:
            await device.use_connection(connection)
        await device.start(AccessMode.READ)
        for number in range(1, parts + 1):
            assert await device.seek_file(number)
            if connection is None:
                addresses = await device.listen(False)
                receiver = Receiver(addresses[0])
                connection = await device.accept()
            assert (await device.read_to_connection(0)).eof
        await device.finish()
        assert connection is not None
        return connection, receiver

    async def story() -> bytes:
        volumes, _ = await dump(any_world, data, 4 * BLOCK, indirect=True)
        connection, receiver = None, None
        for number, parts in enumerate(volumes):
            device = any_world.device(f"drive{number}")
            files = sum(1 for part in parts if part.size)
            connection, made = await read_volume(device, connection, files)
            receiver = receiver or made
        assert connection is not None
        await connection.close()
        assert receiver is not None
        any_world.turning.until(lambda: not receiver.is_alive())
        return bytes(receiver.data)

    assert any_world.turning.run(story()) == data


def test_a_server_that_forgets_the_record_size_is_told_again(turning: Turning) -> None:
    """After the change to another drive the records are as long as before."""
    world = World(turning, evolve(LENIENT, forgets_on_tape_close=True), 12 * BLOCK)
    data = data_of(15)
    volumes, _ = turning.run(dump(world, data, 4 * BLOCK, indirect=False))
    assert len(volumes) > 1
    assert b"".join(world.payload(f"drive{n}") for n in range(len(volumes))) == data
    files = [file for n in (0, 1) for file in world.media[f"drive{n}"].files()]
    assert {len(record) for file in files for record in file} == {BLOCK}
    world.close()


@pytest.mark.parametrize(
    "request_label", ["TAPE_GET_STATE", "MOVER_LISTEN", "MOVER_GET_STATE", "MOVER_CONTINUE"]
)
def test_a_server_that_does_not_answer_is_given_up(
    turning: Turning, request_label: str, monkeypatch: Any
) -> None:
    """No answer in time is an error of the drive; the connection is dropped."""
    monkeypatch.setattr(ndmp_control, "ANSWER_PATIENCE", 0.3)
    world = World(turning, LENIENT)
    world.server.faults.plant(Silence(), request_label, Phase.REPLY)
    device = world.device("drive0")
    connections: list[IDirectTCPConnection] = []

    async def story() -> None:
        Client(turning, await device.listen(True), data_of(6))
        connections.append(await device.accept())
        await device.start(AccessMode.WRITE, "VOL", STAMP)
        await write_volume(device, 2 * BLOCK, 1)

    with pytest.raises(DeviceError, match="ndmconn error"):
        turning.run(story())
    for connection in connections:
        turning.wait(connection.close())
    turning.wait(device.finish())
    world.close()


_REQUESTS = (
    "TAPE_OPEN",
    "TAPE_GET_STATE",
    "TAPE_MTIO",
    "TAPE_WRITE",
    "MOVER_SET_RECORD_SIZE",
    "MOVER_SET_WINDOW",
    "MOVER_LISTEN",
    "MOVER_GET_STATE",
    "MOVER_CONTINUE",
    "CONFIG_GET_AUTH_ATTR",
    "CONNECT_CLIENT_AUTH",
)


@pytest.mark.parametrize("request_label", _REQUESTS)
@pytest.mark.parametrize("effect", [Drop(), Truncate(7), Flip(15)], ids=["drop", "cut", "flip"])
def test_a_fault_at_any_message_is_an_error_and_never_a_success(
    turning: Turning, request_label: str, effect: Any
) -> None:
    """The server breaks off or says garbage: a DeviceError, and the device can be finished."""
    world = World(turning, LENIENT)
    world.server.faults.plant(effect, request_label, Phase.REPLY)

    connections: list[IDirectTCPConnection] = []
    device = world.device("drive0")

    async def story() -> None:
        client = Client(turning, await device.listen(True), data_of(6))
        connections.append(await device.accept())
        await device.start(AccessMode.WRITE, "VOL", STAMP)
        await write_volume(device, 2 * BLOCK, 1)
        await client.done

    with pytest.raises(DeviceError):
        turning.run(story())
    for connection in connections:
        turning.wait(connection.close())
    turning.wait(device.finish())
    world.close()


def test_a_mover_that_dies_never_ends_a_dump_well(turning: Turning) -> None:
    """A halt for any reason but the end of the connection is an error."""
    for reason in HaltReason:
        if reason in (HaltReason.NA, HaltReason.CONNECT_CLOSED):
            continue
        world = World(turning, LENIENT)
        world.server.faults.plant(Halt(reason), "MOVER_CONTINUE", Phase.REPLY)

        async def story(world: World = world) -> None:
            device = world.device("drive0")
            Client(turning, await device.listen(True), data_of(6))
            connection = await device.accept()
            await device.start(AccessMode.WRITE, "VOL", STAMP)
            await device.start_file(header())
            with pytest.raises(DeviceError, match="unexpected NDMP_NOTIFY_MOVER_HALTED"):
                await device.write_from_connection(0)
            await connection.close()
            await device.finish()

        turning.run(story())
        world.close()


def test_connections_of_another_kind_are_refused_by_name(turning: Turning) -> None:
    """A socket that we hold cannot go on at a mover."""

    @implementer(ISocketConnection)
    class Held:
        device_name = "file:/tmp/vtape"
        socket = None

        def close(self) -> Deferred[None]:
            raise AssertionError

    world = World(turning, LENIENT)
    device = world.device("drive0")
    with pytest.raises(IncompatibleConnection, match="file:/tmp/vtape"):
        turning.wait(device.use_connection(Held()))
    assert device.facts.status is Status.SUCCESS
    turning.wait(device.finish())
    world.close()
