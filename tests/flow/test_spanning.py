"""A dump goes on on devices that share no connection: other servers, other kinds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from devices.interfaces import AccessMode, PartResult
from devices.lane import Lane, LaneDevice
from protocols.crc import Crc
from taper.core.interfaces import IFlow, IOrigin
from taper.flow.flows import Flows
from taper.plane.crc import RunningCrc
from tests.contract.flow import DATA, STAMP, Source
from tests.devices.ndmp_world import BLOCK, World, header
from tests.fakes.device import FakeDevice, FakeVolume
from tests.fakes.ndmp_server import CONFORMING
from tests.fakes.turning import Turning, turning_reactor
from tests.flow.flowing import PLAN, make_context
from tests.flow.test_contract import Dumper, Holding, Ring

PARTS = evolve(PLAN, part_size=3 * BLOCK, allow_split=True, retry=True)
SMALL = 12 * BLOCK


@pytest.fixture
def turning() -> Iterator[Turning]:
    with turning_reactor() as turning:
        yield turning


def crc_of(data: bytes) -> Crc:
    crc = RunningCrc()
    crc.update(memoryview(data))
    return crc.value()


class Volumes:
    """What the dump goes to, one after another.

    :param kinds: for each volume ``n`` or ``m``, a drive of one of two servers, or ``f``, a device
        that is written to here; all are small, but the last one
    """

    def __init__(self, turning: Turning, kinds: str, profile: Any, *, indirect: bool) -> None:
        self._turning = turning
        self._kinds = kinds
        self._indirect = indirect
        self.worlds = {
            "n": World(turning, profile, SMALL),
            "m": World(turning, profile, SMALL),
            "last": World(turning, profile),
        }
        self._media: list[FakeVolume | tuple[World, str]] = []
        self._lanes: list[Lane] = []
        self.stored = b""
        self.parts = 0

    def next(self) -> Any:
        """The device of the next volume, not started."""
        number = len(self._media)
        kind, last = self._kinds[number], number + 1 == len(self._kinds)
        if kind == "f":
            medium = FakeVolume() if last else FakeVolume(SMALL)
            self._media.append(medium)
            self._lanes.append(Lane(self._turning.reactor, "fake"))
            return LaneDevice(FakeDevice(medium, name=f"fake:{number}"), self._lanes[-1])
        world, drive = self.worlds["last" if last else kind], f"drive{number % 8}"
        self._media.append((world, drive))
        return world.device(drive, indirect=self._indirect)

    async def write(self, flow: IFlow, device: Any) -> PartResult:
        """Fill the volume."""
        await device.start(AccessMode.WRITE, f"VOL-{len(self._media)}", STAMP)
        files = []
        while True:
            result = await flow.write_part(device, header(self.parts + 1))
            if result.stored is not None:
                await result.stored
            if result.successful and result.size:
                files.append(result)
                self.parts += 1
            if result.eof or result.eom or not result.successful:
                break
        await device.finish()
        medium = self._media[-1]
        for part in files:
            if isinstance(medium, FakeVolume):
                data = bytes(medium.files[part.fileno].data)
            else:
                world, drive = medium
                data = b"".join(world.media[drive].files()[part.fileno][1:])
            assert len(data) == part.size
            self.stored += data
        return result

    def close(self) -> None:
        for lane in self._lanes:
            self._turning.wait(lane.stop())
        for world in self.worlds.values():
            world.close()
            assert not world.server.failures


async def dump(flows: Flows, origin: IOrigin, source: Source, volumes: Volumes) -> IFlow:
    """A dump over all volumes that it takes, as the core does it. :return: its last flow, closed"""
    device = volumes.next()
    flow = flows.between(origin, device, PARTS)
    await origin.find()
    source.send(await flow.offer())
    await origin.header()
    ready = flow.ready()
    source.begun.set()
    await ready
    while True:
        result = await volumes.write(flow, device)
        assert flow.take_errors() == []
        assert result.successful or (result.eom and flow.can_retry()), result
        if result.eof:
            break
        device = volumes.next()
        following = await flows.going_on(flow, origin, device, PARTS)
        if following is not flow:
            flow = following
            await flow.ready()
    await flow.close()
    await origin.close()
    return flow


OVER = ("nmnmnmnmnm", "nfmfnfmfnf", "fmfmfmfmfm")


@pytest.mark.parametrize(
    ("made", "kinds"),
    # a dumper connects to the mover itself, if it begins there
    [*((made, kinds) for made in (Holding, Ring) for kinds in OVER), (Dumper, OVER[2])],
)
def test_from_device_to_device(
    turning: Turning, tmp_path: Path, made: type[Source], kinds: str
) -> None:
    """Every byte is stored once, in order, and one checksum is over all."""
    source = made(turning, tmp_path, whole=True)
    context = source.context(make_context(turning.reactor))
    volumes = Volumes(turning, kinds, CONFORMING, indirect=False)
    flow = turning.run(dump(Flows(context), source.origin(context), source, volumes))
    source.close()
    volumes.close()
    assert volumes.stored[: len(DATA)] == DATA
    assert len(volumes.stored) - len(DATA) < BLOCK
    assert flow.source_crc() == flow.dest_crc() == crc_of(DATA)
    assert flow.take_errors() == []
