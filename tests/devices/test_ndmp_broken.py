"""The data connection of a mover breaks: what is certain stays, and the drive takes another one."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred

from devices.errors import ConnectionBroken, DeviceError, Status
from devices.idirecttcp import Moved
from devices.indirect import IndirectTCP
from devices.interfaces import AccessMode
from protocols.ndmp.codes import ErrorCode
from protocols.twisted_transports.indirect import resolve
from tests.devices.ndmp_world import BLOCK, STAMP, Client, World, data_of, header, turning
from tests.fakes.ndmp_server import CONFORMING, LENIENT, PROFILES, Phase, Wrong
from tests.fakes.ndmp_server.profile import PRODUCT
from tests.fakes.turning import Turning

__all__ = ["turning"]

RESET = struct.pack("ii", 1, 0)
DATA = data_of(9.4)


@pytest.fixture(params=list(PROFILES))
def any_world(request: Any, turning: Turning) -> Iterator[World]:
    world = World(turning, PROFILES[request.param])
    yield world
    world.close()
    assert not world.server.failures


class Cut:
    """A client that sends the beginning, and is there until it is told to break off."""

    def __init__(self, world: World, device: IndirectTCP, sent: bytes) -> None:
        self._turning = world.turning
        self._sent = sent
        self._link: socket.socket | None = None
        addresses = self._turning.wait(device.listen(True))
        self.resolving = resolve(self._turning.reactor, addresses, 30).addCallback(self._connect)

    def _connect(self, addresses: Any) -> None:
        self._link = socket.create_connection((addresses[0].host, addresses[0].port), 30)
        self._link.sendall(self._sent)

    def reset(self) -> None:
        assert self._link is not None
        self._link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._link.close()


def break_in_a_part(
    world: World, device: IndirectTCP, sent: bytes, *, blind: bool = False
) -> tuple[Deferred[Moved], Any]:
    """Begin a volume, and break the connection when all whole records are written.

    :param blind: the mover sees nothing of it
    """
    turning = world.turning
    cut = Cut(world, device, sent)
    connection = turning.wait(device.accept())
    turning.wait(device.start(AccessMode.WRITE, "VOL-0", STAMP))
    turning.wait(device.start_file(header()))
    told: list[int] = []
    moving = device.write_from_connection(0, told.append)
    whole = len(sent) // BLOCK * BLOCK

    def written() -> bool:
        device.look()
        return bool(told) and told[-1] == whole

    if whole:
        turning.until(written)
    else:
        turning.wait(cut.resolving)
    if blind:
        device.break_off()
        moving.addBoth(lambda result: cut.reset() or result)  # not before
    else:
        cut.reset()
    return moving, connection


async def go_on(world: World, device: IndirectTCP, data: bytes) -> None:
    """The rest of the dump, on a connection of its own."""
    client = Client(world.turning, await device.listen(True), data)
    connection = await device.accept()
    await device.start_file(header(2))
    moved = await device.write_from_connection(0)
    assert moved.eof
    await device.finish_file()
    await device.finish()
    await connection.close()
    await client.done


@pytest.mark.parametrize("indirect", [True, False])
@pytest.mark.parametrize("blocks", [1, 3, 5.4])
def test_what_is_certain_stays_and_the_rest_comes_anew(
    any_world: World, blocks: float, indirect: bool
) -> None:
    """Whatever the server writes of a record that did not come whole, it is on the volume once."""
    turning = any_world.turning
    device = any_world.device("drive0", indirect=indirect)
    moving, connection = break_in_a_part(any_world, device, data_of(blocks))
    with pytest.raises(ConnectionBroken):
        turning.wait(moving)
    sure = turning.wait(device.end_broken_file())
    whole = int(blocks) * BLOCK
    assert sure in (whole - BLOCK, whole)
    assert device.facts.status is Status.SUCCESS
    turning.wait(connection.close())
    turning.run(go_on(any_world, device, DATA[sure:]))
    assert any_world.payload("drive0") == DATA.ljust(-(-len(DATA) // BLOCK) * BLOCK, b"\0")
    assert any_world.media["drive0"].filemarks() == 3


@pytest.mark.parametrize("version", [2, 3])
def test_every_version_of_the_protocol_will_do(turning: Turning, version: int) -> None:
    world = World(turning, evolve(CONFORMING, versions=(version,)))
    device = world.device("drive0")
    moving, connection = break_in_a_part(world, device, data_of(5.4))
    with pytest.raises(ConnectionBroken):
        turning.wait(moving)
    sure = turning.wait(device.end_broken_file())
    turning.wait(connection.close())
    turning.run(go_on(world, device, DATA[sure:]))
    assert world.payload("drive0")[: len(DATA)] == DATA
    world.close()


def test_a_server_that_pads_leaves_a_record_of_zeros(turning: Turning) -> None:
    """Which the device takes off; our own server writes none."""
    stored = {}
    for profile in (LENIENT, PRODUCT):
        world = World(turning, profile)
        device = world.device("drive0")
        moving, connection = break_in_a_part(world, device, data_of(2.5))
        with pytest.raises(ConnectionBroken):
            turning.wait(moving)
        stored[profile.name] = device.facts.bytes_written // BLOCK
        turning.wait(connection.close())
        turning.wait(device.finish())
        world.close()
    assert stored["product"] == 2
    assert stored["lenient"] in (2, 3)  # a reset may overtake what it did not read yet


def test_nothing_had_come(any_world: World) -> None:
    """A header, and no byte of data: there is no record to take off."""
    turning = any_world.turning
    device = any_world.device("drive0", indirect=True)
    moving, connection = break_in_a_part(any_world, device, b"")
    with pytest.raises(ConnectionBroken):
        turning.wait(moving)
    assert turning.wait(device.end_broken_file()) == 0
    turning.wait(connection.close())
    turning.run(go_on(any_world, device, DATA))
    assert any_world.payload("drive0")[: len(DATA)] == DATA


def test_a_mover_that_does_not_see_it_is_told(any_world: World) -> None:
    """Whoever sends knows that it broke: the mover waits no longer."""
    turning = any_world.turning
    device = any_world.device("drive0", indirect=True)
    moving, connection = break_in_a_part(any_world, device, data_of(3.5), blind=True)
    with pytest.raises(ConnectionBroken, match="the mover did not see it"):
        turning.wait(moving)
    sure = turning.wait(device.end_broken_file())
    assert sure in (2 * BLOCK, 3 * BLOCK)
    turning.wait(connection.close())
    turning.run(go_on(any_world, device, DATA[sure:]))
    assert any_world.payload("drive0")[: len(DATA)] == DATA


def test_a_drive_that_cannot_go_back(turning: Turning) -> None:
    """What the file holds is not known then: it is no good part, and the volume takes no more."""
    world = World(turning, LENIENT)
    device = world.device("drive0")
    moving, connection = break_in_a_part(world, device, data_of(3.5))
    with pytest.raises(ConnectionBroken):
        turning.wait(moving)
    world.server.faults.plant(Wrong(ErrorCode.IO), "TAPE_MTIO", Phase.REQUEST, nth=2)
    with pytest.raises(DeviceError):
        turning.wait(device.end_broken_file())
    assert device.facts.is_eom
    turning.wait(connection.close())
    turning.wait(device.finish())
    world.close()
