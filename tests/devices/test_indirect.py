"""IndirectTCP and its own troubles: who asks, when, and how often [ndmp 2.5]."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from devices import ndmp_mover
from devices.errors import ConnectionBroken, DeviceError, Status
from devices.idirecttcp import IDirectTCPConnection, Moved
from devices.indirect import IndirectTCP
from devices.interfaces import AccessMode
from protocols.directtcp import Address
from protocols.ndmp.codes import ErrorCode
from protocols.twisted_transports.indirect import IndirectError, resolve
from tests.devices.ndmp_world import (
    STAMP,
    Client,
    World,
    data_of,
    dump,
    header,
    turning,
    write_volume,
)
from tests.fakes.ndmp_server import LENIENT, STRICT, Phase, Wrong
from tests.fakes.turning import Turning

__all__ = ["turning"]


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
        assert device.facts.status is Status.SUCCESS
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
        await deferLater(turning.reactor, 0.0, lambda: None)
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
    world.server.say_after = (Address("192.0.2.7", 4),)
    _, client = turning.run(dump(world, data_of(2), 0, indirect=True))
    assert [address.host for address in client.real] == ["127.0.0.1", "192.0.2.7"]
    world.close()


def test_the_mover_refuses_after_the_question(turning: Turning) -> None:
    """Who asked gets no address but an end, and the part fails with the server's word."""
    world = World(turning, STRICT)
    world.server.faults.plant(Wrong(ErrorCode.ILLEGAL_STATE), "MOVER_LISTEN", Phase.REPLY)

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


@pytest.mark.parametrize("indirect", [True, False], ids=["indirect", "at once"])
def test_a_second_dump_has_a_connection_of_its_own(turning: Turning, indirect: bool) -> None:
    """The device forgets the first one when it is over, and not before."""
    world = World(turning, STRICT if indirect else LENIENT)
    dumps = data_of(2), data_of(3)

    async def story() -> None:
        device = world.device("drive0", indirect=indirect)
        for number, data in enumerate(dumps):
            client = Client(turning, await device.listen(True), data)
            connection = await device.accept()
            if not number:
                await device.start(AccessMode.WRITE, "VOL", STAMP)
            assert (await write_volume(device, 0, 1))[-1].eof
            await client.done
            with pytest.raises(ValueError, match="already"):
                await device.listen(True)
            await connection.close()
        await device.finish()

    turning.run(story())
    assert world.payload("drive0") == b"".join(dumps)
    world.close()
