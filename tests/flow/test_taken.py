"""Dumps whose sender connects to a device that this process feeds."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from devices.file import FileDevice
from devices.interfaces import AccessMode, PartResult
from devices.lane import Lane, LaneDevice
from protocols.directtcp import Address
from taper.core.interfaces import IFlow
from taper.flow.flows import Flows
from taper.flow.port import ClientOrigin
from tests.devices.ndmp_world import STAMP, header
from tests.fakes.turning import Sender, Turning, turning_reactor
from tests.flow.flowing import PLAN, Flowing, make_context, null_device

DATA = bytes(range(256)) * 1300
BLOCK = 32768
PARTS = evolve(PLAN, part_size=5 * BLOCK, allow_split=True)


@pytest.fixture
def turning() -> Iterator[Turning]:
    with turning_reactor() as turning:
        yield turning


def vtape(
    turning: Turning, path: Path, host: str = "127.0.0.1", limit: int | None = None
) -> LaneDevice:
    path.mkdir()
    device = FileDevice(f"file:{path}", str(path))
    device.properties.set("directtcp-address", host)
    if limit is not None:
        device.properties.set("max_volume_usage", limit)
        device.properties.set("leom", True)
    return LaneDevice(device, Lane(turning.reactor, device.name))


def stored(path: Path) -> bytes:
    files = sorted(path.glob("0000[1-9].*"))
    return b"".join(file.read_bytes()[BLOCK:] for file in files)


async def write_parts(flow: IFlow, device: Any, first: int = 1) -> list[PartResult]:
    """Parts until the volume or the dump ends."""
    results: list[PartResult] = []
    while not results or not (results[-1].eom or results[-1].eof):
        results.append(await flow.write_part(device, header(first + len(results))))
        assert results[-1].successful, results[-1]
    return results


def begin(turning: Turning, device: LaneDevice) -> tuple[Flowing, Sender]:
    """A client that sends :data:`DATA` to where the device listens."""
    context = make_context(turning.reactor)
    origin = ClientOrigin(context, "localhost")
    flowing = Flowing(context, origin, device)
    flowing.flow = Flows(context).between(origin, device, PARTS)
    offer = turning.wait(flowing.offer())
    assert offer is not None
    return flowing, Sender(Address.parse(offer.addresses[0]), DATA)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_stream_becomes_files(turning: Turning, tmp_path: Path, host: str) -> None:
    """Whoever connects is read to his end, by IPv4 and IPv6, part by part."""
    device = vtape(turning, tmp_path / "v", host)
    flowing, sender = begin(turning, device)
    turning.wait(flowing.ready())
    turning.wait(device.start(AccessMode.WRITE, "V1", STAMP))
    parts = turning.run(write_parts(flowing.flow, device))
    assert [part.size for part in parts] == [5 * BLOCK, 5 * BLOCK, len(DATA) - 10 * BLOCK]
    assert [part.eof for part in parts] == [False, False, True]
    sender.join()
    turning.wait(device.finish())
    turning.wait(flowing.close())
    assert stored(tmp_path / "v") == DATA
    turning.wait(device.close())


def test_a_connection_goes_on_to_another_device(turning: Turning, tmp_path: Path) -> None:
    """At the end of a volume not a byte is lost: the next device goes on with the connection."""
    first = vtape(turning, tmp_path / "v", limit=5 * BLOCK)
    flowing, sender = begin(turning, first)
    turning.wait(flowing.ready())
    turning.wait(first.start(AccessMode.WRITE, "V1", STAMP))
    done = turning.run(write_parts(flowing.flow, first))
    assert done[-1].eom
    turning.wait(first.finish())
    second = vtape(turning, tmp_path / "w")
    turning.wait(flowing.flow.adopt(second))
    turning.wait(second.start(AccessMode.WRITE, "V2", STAMP))
    rest = turning.run(write_parts(flowing.flow, second, len(done) + 1))
    assert rest[-1].eof
    sender.join()
    turning.wait(second.finish())
    turning.wait(flowing.close())
    assert stored(tmp_path / "v") + stored(tmp_path / "w") == DATA
    for device in (first, second):
        turning.wait(device.close())


def test_a_part_whose_peer_is_silent_can_be_given_up(turning: Turning) -> None:
    """Cancelling ends it, and the device can be finished."""
    device = null_device(turning.reactor)
    context = make_context(turning.reactor)
    flowing = Flowing(context, ClientOrigin(context, "localhost"), device)
    offer = turning.wait(flowing.offer())
    assert offer is not None
    address = Address.parse(offer.addresses[0])
    with socket.create_connection((address.host, address.port)) as peer:
        peer.sendall(b"x")
        turning.wait(flowing.ready())
        turning.wait(device.start(AccessMode.WRITE, "V1", STAMP))
        moving = flowing.flow.write_part(device, header())
        flowing.flow.cancel("enough")
        assert not turning.wait(moving).successful
        assert flowing.flow.take_errors() == ["enough"]
        turning.wait(device.finish())
        turning.wait(flowing.close())
    turning.wait(device.close())
