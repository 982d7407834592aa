"""The ``ndmp:`` device and IndirectTCP against servers of every strictness, and against faults."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from devices import ndmp_control, ndmp_mover
from devices.directtcp import ISocketConnection
from devices.errors import ConnectionBroken, DeviceError, IncompatibleConnection, Status
from devices.idirecttcp import IDirectTCPConnection, Moved
from devices.indirect import IndirectTCP
from devices.interfaces import AccessMode
from devices.ndmp import open_ndmp
from protocols.directtcp import Address
from protocols.header import Header, HeaderType, parse_header
from protocols.ndmp.codes import HaltReason
from protocols.tx.indirect import IndirectError, resolve
from tests.fakes.ndmp_server import (
    CONFORMING,
    LENIENT,
    PROFILES,
    STRICT,
    Drop,
    Flip,
    Halt,
    Limits,
    Medium,
    NdmpServer,
    Phase,
    Profile,
    Silence,
    Truncate,
    Wrong,
)
from tests.fakes.turning import Receiver, Sender, Turning, turning_reactor

BLOCK = 32768
STAMP = "20260102030405"


@pytest.fixture
def turning() -> Iterator[Turning]:
    with turning_reactor() as turning:
        yield turning


class World:
    """A server with some drives, and devices for them."""

    def __init__(self, turning: Turning, profile: Profile, size: int = 1 << 30) -> None:
        self.turning = turning
        self.media = {f"drive{n}": Medium(Limits.of_size(size)) for n in range(8)}
        self.server = NdmpServer(turning.reactor, self.media, profile)
        self.server.start()

    def device(self, drive: str, *, indirect: bool = False, patience: float = 20) -> IndirectTCP:
        url = self.server.url(drive)
        device = open_ndmp(url, url[5:], self.turning.reactor, patience)
        device.device.properties.set("indirect", indirect)
        return device

    def payload(self, drive: str) -> bytes:
        """What is in the files after the label, without their headers."""
        files = self.media[drive].files()[1:]
        return b"".join(b"".join(records[1:]) for records in files)

    def close(self) -> None:
        self.turning.wait(self.server.stop())
        self.turning.until(lambda: not self.server.sessions)


@pytest.fixture(params=list(PROFILES))
def any_world(request: Any, turning: Turning) -> Iterator[World]:
    world = World(turning, PROFILES[request.param], 12 * BLOCK)
    yield world
    world.close()
    assert not world.server.failures


def header(part: int = 1) -> Header:
    return Header(
        type=HeaderType.SPLIT_DUMPFILE,
        datestamp=STAMP,
        host="client",
        disk="/home",
        partnum=part,
        totalparts=-1,
        program="GNUTAR",
    )


def data_of(blocks: float) -> bytes:
    pattern = bytes(range(251))
    size = int(blocks * BLOCK)
    return (pattern * (size // len(pattern) + 1))[:size]


class Client:
    """Resolves what the driver would pass on, and sends."""

    def __init__(self, turning: Turning, addresses: tuple[Address, ...], data: bytes) -> None:
        self.real: tuple[Address, ...] = ()
        self.sender: Sender | None = None
        self._data = data
        self.done: Deferred[None] = resolve(turning.reactor, addresses, 30).addCallback(self._send)

    def _send(self, addresses: tuple[Address, ...]) -> None:
        self.real = addresses
        self.sender = Sender(addresses[0], self._data)


async def write_volume(device: IndirectTCP, size: int, part: int) -> list[Moved]:
    """Parts until the stream or the volume ends."""
    parts: list[Moved] = []
    while True:
        start = await device.start_file(header(part + len(parts)))
        if start.eom:
            await device.finish_file()
            return [*parts, Moved(size=0, eof=False, eom=True)]
        parts.append(await device.write_from_connection(size))
        await device.finish_file()
        if parts[-1].eof or parts[-1].eom:
            return parts


async def dump(
    world: World, data: bytes, part_size: int, *, indirect: bool
) -> tuple[list[list[Moved]], Client]:
    """A dump over as many drives as it takes."""
    device = world.device("drive0", indirect=indirect)
    client = Client(world.turning, await device.listen(True), data)
    connection = await device.accept()
    volumes: list[list[Moved]] = []
    await device.start(AccessMode.WRITE, "VOL-0", STAMP)
    while True:
        number = 1 + sum(len(parts) for parts in volumes)
        volumes.append(await write_volume(device, part_size, number))
        await device.finish()
        if volumes[-1][-1].eof:
            break
        device = world.device(f"drive{len(volumes)}", indirect=indirect)
        await device.read_label()
        await device.use_connection(connection)
        await device.start(AccessMode.WRITE, f"VOL-{len(volumes)}", STAMP)
    await connection.close()
    await client.done
    return volumes, client


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
    client.sender.join(10)
    assert client.sender.failure is None
    assert len(volumes) == (1 if blocks < 5 else len(volumes))


@pytest.mark.parametrize("version", [2, 3, 4])
def test_every_version_of_the_protocol_will_do(turning: Turning, version: int) -> None:
    """A server that speaks only version 2 or 3 is written to as well."""
    from attrs import evolve

    world = World(turning, evolve(CONFORMING, versions=(version,)), 12 * BLOCK)
    data = data_of(15)
    volumes, _ = turning.run(dump(world, data, 4 * BLOCK, indirect=True))
    stored = b"".join(world.payload(f"drive{n}") for n in range(len(volumes)))
    assert stored == data
    world.close()


def test_a_strict_server_makes_the_device_listen_late(turning: Turning) -> None:
    """Refusing the empty window is enough: the header is on the volume before anybody connects."""
    world = World(turning, STRICT)
    device = world.device("drive0")
    assert not device.listens_late
    addresses = turning.wait(device.listen(True))
    assert device.listens_late
    assert addresses[0].is_indirect
    turning.wait(device.finish())
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
    from attrs import evolve

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


# IndirectTCP's own troubles (directtcp-and-ndmp 2.5)


async def ready_to_write(device: IndirectTCP) -> tuple[Address, IDirectTCPConnection]:
    address = (await device.listen(True))[0]
    connection = await device.accept()
    await device.start(AccessMode.WRITE, "VOL", STAMP)
    await device.start_file(header())
    return address, connection


def test_nobody_asks(turning: Turning) -> None:
    """The wait is bounded, and blames the peer, not the volume; all is well afterwards."""
    world = World(turning, STRICT)

    async def story() -> None:
        device = world.device("drive0", indirect=True, patience=0.3)
        _, connection = await ready_to_write(device)
        with pytest.raises(ConnectionBroken, match=r"nobody asked in 0\.3 s"):
            await device.write_from_connection(0)
        assert device.device.status is Status.SUCCESS
        await device.finish_file()
        await connection.close()
        await device.finish()

    turning.run(story())
    labels = [str(noted.label) for noted in world.server.noted]
    assert "MOVER_LISTEN" not in labels
    assert labels[-1] == "CONNECT_CLOSE"
    world.close()


def test_somebody_asks_and_never_connects(turning: Turning, monkeypatch: Any) -> None:
    """Told the address, nobody comes: the mover is stopped after a while."""
    monkeypatch.setattr(ndmp_mover, "POLL_SECONDS", 0.1)
    world = World(turning, STRICT)

    async def story() -> None:
        device = world.device("drive0", indirect=True, patience=0.5)
        address, connection = await ready_to_write(device)
        with (
            socket.create_connection(("127.0.0.1", address.port)),
            pytest.raises(ConnectionBroken, match=r"nothing happened for 0\.5 seconds"),
        ):
            await device.write_from_connection(0)
        await device.finish_file()
        await connection.close()
        await device.finish()

    turning.run(story())
    assert "MOVER_STOP" in [noted.label for noted in world.server.noted]
    world.close()


@pytest.mark.parametrize("early", [True, False])
def test_somebody_asks_early_drops_and_the_next_one_is_told(turning: Turning, early: bool) -> None:
    """Who leaves before the answer is replaced; asking before the header is there just waits."""
    world = World(turning, STRICT)
    data = data_of(3)

    async def story() -> None:
        device = world.device("drive0", indirect=True)
        address = (await device.listen(True))[0]
        where = ("127.0.0.1", address.port)
        connection = await device.accept()
        if early:
            socket.create_connection(where).close()
        await device.start(AccessMode.WRITE, "VOL", STAMP)
        await device.start_file(header())
        assert "MOVER_LISTEN" not in [noted.label for noted in world.server.noted]
        writing = device.write_from_connection(0)
        if not early:
            socket.create_connection(where).close()
        await deferLater(turning.reactor, 0.1, lambda: None)
        client = Client(turning, (address,), data)
        assert await writing == Moved(size=len(data), eof=True, eom=False)
        await client.done
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(where)
        await device.finish_file()
        await connection.close()
        await device.finish()

    turning.run(story())
    assert world.payload("drive0") == data
    world.close()


def test_every_address_of_the_mover_is_told(turning: Turning) -> None:
    """A server with several addresses is reached by the one the client likes."""
    world = World(turning, STRICT)
    world.server.more_hosts = ("192.0.2.7",)
    _, client = turning.run(dump(world, data_of(2), 0, indirect=True))
    assert [address.host for address in client.real] == ["127.0.0.1", "192.0.2.7"]
    world.close()


def test_the_mover_refuses_after_the_question(turning: Turning) -> None:
    """Who asked gets no address but an end, and the part fails with the server's word."""
    world = World(turning, STRICT)
    world.server.faults.plant(Wrong(19), "MOVER_LISTEN", Phase.REPLY)

    async def story() -> None:
        device = world.device("drive0", indirect=True)
        address, connection = await ready_to_write(device)
        asking = resolve(turning.reactor, (address,), 30)
        with pytest.raises(DeviceError, match="NDMP9_ILLEGAL_STATE_ERR"):
            await device.write_from_connection(0)
        with pytest.raises(IndirectError):
            await asking
        await connection.close()
        await device.finish()

    turning.run(story())
    world.close()


def test_a_wait_for_a_question_can_be_given_up(turning: Turning) -> None:
    """The driver said FAILED: the wait ends at once, and nothing is left open."""
    world = World(turning, STRICT)

    async def story() -> None:
        device = world.device("drive0", indirect=True)
        address, connection = await ready_to_write(device)
        writing = device.write_from_connection(0)
        turning.reactor.callLater(0.05, writing.cancel)
        with pytest.raises(CancelledError):
            await writing
        await connection.close()
        await device.finish()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", address.port))

    turning.run(story())
    world.close()


def test_a_volume_may_end_before_anybody_asked(turning: Turning) -> None:
    """The header met the end of the volume: the next volume's device answers the question."""
    world = World(turning, STRICT)
    data = data_of(2)

    async def story() -> None:
        first = world.device("drive0", indirect=True)
        address, connection = await ready_to_write(first)
        await first.finish_file()
        await first.finish()
        second = world.device("drive1", indirect=True)
        await second.read_label()
        await second.use_connection(connection)
        await second.start(AccessMode.WRITE, "VOL-2", STAMP)
        client = Client(turning, (address,), data)
        assert (await write_volume(second, 0, 1))[-1].eof
        await client.done
        await connection.close()
        await second.finish()

    turning.run(story())
    assert world.payload("drive1") == data
    world.close()


# faults

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
    from zope.interface import implementer

    @implementer(ISocketConnection)
    class Held:
        device_name = "file:/tmp/vtape"
        socket = None

        def close(self) -> Deferred[None]:
            raise AssertionError

    world = World(turning, LENIENT)
    device = world.device("drive0")
    with pytest.raises(IncompatibleConnection, match="file:/tmp/vtape"):
        turning.wait(device.use_connection(Held()))  # type: ignore[arg-type]
    assert device.device.status is Status.SUCCESS
    turning.wait(device.finish())
    world.close()
