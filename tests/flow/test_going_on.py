"""A dump that we can read again goes on on a device of another kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from devices.interfaces import AccessMode, PartResult
from devices.lane import Lane, LaneDevice
from protocols.crc import Crc
from taper.core.errors import DeviceFault
from taper.core.interfaces import IFlow
from taper.flow.flows import Flows
from taper.flow.holding import HoldingOrigin
from taper.flow.pumped import PumpedFlow
from taper.flow.sent import SentFlow
from taper.plane.crc import RunningCrc
from tests.devices.ndmp_world import BLOCK, STAMP, World, data_of, header
from tests.fakes.device import FakeDevice, FakeVolume
from tests.fakes.ndmp_server import CONFORMING
from tests.fakes.turning import Turning, turning_reactor
from tests.flow.flowing import PLAN, make_context
from tests.plane.dumping import write_holding

DATA = data_of(20.5)
PARTS = evolve(PLAN, part_size=3 * BLOCK, allow_split=True, retry=True)


@pytest.fixture
def turning() -> Iterator[Turning]:
    with turning_reactor() as turning:
        yield turning


def crc_of(data: bytes) -> Crc:
    crc = RunningCrc()
    crc.update(memoryview(data))
    return crc.value()


def lane_device(turning: Turning, medium: FakeVolume) -> LaneDevice:
    device = FakeDevice(medium, name="fake:1", leom=False)
    device.start(AccessMode.WRITE, "FIRST", STAMP)
    return LaneDevice(device, Lane(turning.reactor, "fake"))


async def write_parts(flow: IFlow, device: Any, first: int) -> list[PartResult]:
    """Parts until the volume or the dump ends."""
    results: list[PartResult] = []
    while not results or not (results[-1].eom or results[-1].eof):
        results.append(await flow.write_part(device, header(first + len(results))))
        assert results[-1].successful or results[-1].eom, results[-1]
    return results


def stored_in(medium: FakeVolume, results: list[PartResult]) -> bytes:
    good = [result.fileno for result in results if result.successful and result.size]
    return b"".join(bytes(medium.files[fileno].data) for fileno in good)


@pytest.mark.parametrize("indirect", [False, True])
@pytest.mark.parametrize("chunk", [100_000, 1_000_000])
def test_from_files_to_a_mover(
    turning: Turning, tmp_path: Path, chunk: int, indirect: bool
) -> None:
    """The part that failed comes again, every byte once, with one checksum over all."""
    world = World(turning, CONFORMING)
    context = make_context(turning.reactor)
    origin = HoldingOrigin(context, write_holding(str(tmp_path), DATA, chunk))
    flows = Flows(context)
    medium = FakeVolume(11 * BLOCK)
    first = lane_device(turning, medium)
    flow = flows.between(origin, first, PARTS)
    assert isinstance(flow, PumpedFlow)
    turning.wait(flow.offer())
    turning.wait(origin.header())
    turning.wait(flow.ready())
    done = turning.run(write_parts(flow, first, 1))
    assert not done[-1].successful
    stored = stored_in(medium, done)
    assert 0 < len(stored) < len(DATA)
    rest = turning.wait(flow.leave())
    assert rest is not None
    assert (rest.done, rest.source) == (crc_of(stored), None)

    second = world.device("drive0", indirect=indirect)
    following = turning.wait(flows.going_on(flow, origin, second, PARTS))
    assert isinstance(following, SentFlow)
    turning.wait(following.ready())
    turning.wait(second.start(AccessMode.WRITE, "SECOND", STAMP))
    rest = turning.run(write_parts(following, second, len(done)))
    assert rest[-1].eof
    assert following.bytes_written == -(-len(DATA) // BLOCK) * BLOCK
    turning.wait(second.finish())
    turning.wait(following.close())
    turning.wait(origin.close())
    assert following.take_errors() == []
    assert following.source_crc() == following.dest_crc() == crc_of(DATA)
    assert (stored + world.payload("drive0")).rstrip(b"\0") == DATA.rstrip(b"\0")
    turning.wait(first.lane.stop())
    world.close()


def test_a_mover_that_cannot_listen_leaves_the_flow_as_it_was(
    turning: Turning, tmp_path: Path
) -> None:
    world = World(turning, CONFORMING)
    url = world.server.url("drive0")
    world.close()
    context = make_context(turning.reactor)
    origin = HoldingOrigin(context, write_holding(str(tmp_path), DATA, 100_000))
    flows = Flows(context)
    medium = FakeVolume(11 * BLOCK)
    first = lane_device(turning, medium)
    flow = flows.between(origin, first, PARTS)
    turning.wait(origin.header())
    turning.wait(flow.ready())
    done = turning.run(write_parts(flow, first, 1))
    from devices.context import DeviceContext
    from devices.ndmp import open_ndmp

    second = open_ndmp(url, url[5:], DeviceContext(turning.reactor, pytest.fail, 20))
    with pytest.raises(DeviceFault, match="Error starting DirectTCP listen"):
        turning.wait(flows.going_on(flow, origin, second, PARTS))
    another = FakeVolume()
    last = lane_device(turning, another)
    assert turning.wait(flows.going_on(flow, origin, last, PARTS)) is flow
    rest = turning.run(write_parts(flow, last, len(done)))
    assert stored_in(medium, done) + stored_in(another, rest) == DATA
    turning.wait(flow.close())
    turning.wait(origin.close())
