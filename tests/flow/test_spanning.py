"""A dump goes on on devices that share no connection: other servers, other kinds."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from zope.interface import implementer

from devices.context import DeviceContext
from devices.file import FileDevice
from devices.interfaces import AccessMode, PartResult
from devices.lane import Lane, LaneDevice
from devices.ndmp import open_ndmp
from protocols.crc import Crc
from taper.core.interfaces import IFlow, IOrigin
from taper.core.splitting import SplitPlan
from taper.flow.flows import Flows
from taper.flow.holding import HoldingOrigin
from taper.flow.interfaces import FlowContext
from taper.plane import kept
from taper.plane.crc import RunningCrc
from taper.plane.interfaces import ISource
from taper.tapeserver.drive import TapeDrive
from taper.tapeserver.keepers import FixedVolume
from taper.tapeserver.vtape_tape import VtapeTape
from tests.contract.flow import DATA, STAMP, Source, there_is
from tests.devices.ndmp_world import BLOCK, World, header
from tests.fakes.device import FakeDevice, FakeVolume
from tests.fakes.ndmp_server import CONFORMING, PROFILES, Limits, NdmpServer
from tests.fakes.ndmp_server.profile import PRODUCT
from tests.fakes.relay import WAYS, Relay
from tests.fakes.turning import Turning, turning_reactor
from tests.flow.flowing import PLAN, make_context
from tests.flow.test_contract import Client, Dumper, Holding, Ring
from tests.flow.test_taken import vtape
from tests.plane.dumping import write_holding

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
        that is written to here, or ``v``, one that listens besides; all are small, but the last one
    :param path: of directories for those
    :param block: bytes of the records on the drives
    """

    def __init__(
        self,
        turning: Turning,
        kinds: str,
        profile: Any,
        *,
        indirect: bool,
        path: Path | None = None,
        block: int = BLOCK,
    ) -> None:
        self.block = block
        self._turning = turning
        self._kinds = kinds
        self._indirect = indirect
        self._path = path
        self._vtapes: list[LaneDevice] = []
        self.worlds = {
            "n": World(turning, profile, SMALL),
            "m": World(turning, profile, SMALL),
            "last": World(turning, profile),
        }
        self.relays: list[Relay] = []
        self._media: list[FakeVolume | Path | tuple[World, str]] = []
        self._lanes: list[Lane] = []
        self._files: list[PartResult] = []
        self.parts: list[int] = []
        self.failed = 0
        self.stored = b""

    def next(self) -> Any:
        """The device of the next volume, not started."""
        number = len(self._media)
        kind, last = self._kinds[number], number + 1 == len(self._kinds)
        if kind == "f":
            medium = FakeVolume() if last else FakeVolume(SMALL)
            self._media.append(medium)
            self._lanes.append(Lane(self._turning.reactor, "fake"))
            return LaneDevice(FakeDevice(medium, name=f"fake:{number}"), self._lanes[-1])
        if kind == "v":
            assert self._path is not None
            self._media.append(self._path / f"v{number}")
            limit = None if last else SMALL
            self._vtapes.append(vtape(self._turning, self._path / f"v{number}", limit=limit))
            return self._vtapes[-1]
        world, drive = self.worlds["last" if last else kind], f"drive{number % 8}"
        self._media.append((world, drive))
        device = world.device(drive, indirect=self._indirect)
        device.facts.properties.set("block_size", self.block)
        return device

    @property
    def last(self) -> bool:
        """There is no other."""
        return len(self._media) == len(self._kinds)

    def note(self, result: PartResult) -> None:
        """A part was written."""
        self.failed += not result.successful
        if result.successful and result.size:
            self._files.append(result)
            self.parts.append(result.size)

    def read(self) -> None:
        """Look at the good parts of the volume that is finished."""
        medium = self._media[-1]
        for part in self._files:
            if isinstance(medium, FakeVolume):
                data = bytes(medium.files[part.fileno].data)
            elif isinstance(medium, Path):
                (file,) = medium.glob(f"{part.fileno:05}.*")
                data = file.read_bytes()[BLOCK:]
            else:
                world, drive = medium
                data = b"".join(world.media[drive].files()[part.fileno][1:])
            assert len(data) == part.size
            self.stored += data
        self._files.clear()

    def cut(self, cuts: list[tuple[int, str]], over: threading.Event) -> None:
        """Cut the data connections to each server, one after another.

        :param over: to be set when there is none left to be cut
        """
        for world in self.worlds.values():
            relay = Relay(cuts, over)
            self.relays.append(relay)
            world.server.on_the_way = relay.lead_to

    def close(self) -> None:
        for relay in self.relays:
            relay.close()
        for lane in self._lanes:
            self._turning.wait(lane.stop())
        for device in self._vtapes:
            self._turning.wait(device.close())
        for world in self.worlds.values():
            world.close()
            assert not world.server.failures


async def dump(
    flows: Flows, origin: IOrigin, source: Source, volumes: Volumes, plan: SplitPlan = PARTS
) -> IFlow:
    """A dump over all volumes that it takes, as the core does it. :return: its last flow, closed"""
    device = volumes.next()
    flow = flows.between(origin, device, plan)
    await origin.find()
    source.send(await flow.offer())
    await origin.header()
    ready = flow.ready()
    source.begun.set()
    await ready
    started = False
    while True:
        following = await flows.going_on(flow, origin, device, plan)
        if following is not flow:
            flow = following
            await flow.ready()
        if not started:
            await device.start(AccessMode.WRITE, "VOL", STAMP)
            started = True
        result = await flow.write_part(device, header(len(volumes.parts) + 1))
        if result.stored is not None:
            await result.stored
        assert flow.take_errors() == []
        assert result.successful or (result.eom and flow.can_retry()), result
        volumes.note(result)
        if result.eom or result.eof:
            await device.finish()
            volumes.read()
            if result.eof:
                break
            device, started = volumes.next(), False
    await flow.close()
    await origin.close()
    return flow


OVER = ("nmnmnmnmnm", "nfmfnfmfnf", "fmfmfmfmfm")


@pytest.mark.parametrize(
    ("made", "kinds"),
    # who connects by itself connects to the mover, if it begins there
    [
        *((made, kinds) for made in (Holding, Ring) for kinds in OVER),
        *((Dumper, OVER[2]), (Client, "vmvmfmvmvm"), (Client, "vnmvfvnmvn")),
    ],
)
def test_from_device_to_device(
    turning: Turning,
    tmp_path: Path,
    made: type[Source],
    kinds: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every byte is stored once, in order, and one checksum is over all."""
    monkeypatch.setattr(kept, "WINDOW", 1)  # as little is kept as can be
    source = made(turning, tmp_path, whole=True)
    context = source.context(make_context(turning.reactor))
    volumes = Volumes(turning, kinds, CONFORMING, indirect=False, path=tmp_path)
    flow = turning.run(dump(Flows(context), source.origin(context), source, volumes))
    source.close()
    volumes.close()
    assert volumes.stored[: len(DATA)] == DATA
    assert len(volumes.stored) - len(DATA) < BLOCK
    assert flow.source_crc() == flow.dest_crc() == crc_of(DATA)
    assert flow.take_errors() == []


@pytest.mark.parametrize("made", [Holding, Ring])
def test_a_part_that_fails_comes_again(
    turning: Turning, tmp_path: Path, made: type[Source]
) -> None:
    """On the next volume: the mover halted where a tape ends without a warning."""
    source = made(turning, tmp_path, whole=True)
    context = source.context(make_context(turning.reactor))
    volumes = Volumes(turning, "nmnmnmnmnmnmnmn", CONFORMING, indirect=False)
    for name in ("n", "m"):
        for medium in volumes.worlds[name].media.values():
            medium.limits = Limits(end_records=8)
    flow = turning.run(dump(Flows(context), source.origin(context), source, volumes))
    source.close()
    volumes.close()
    assert volumes.stored[: len(DATA)] == DATA
    assert volumes.failed > 10
    assert flow.source_crc() == flow.dest_crc() == crc_of(DATA)


@pytest.mark.parametrize("made", [Holding, Ring])
def test_a_rest_that_nobody_takes(turning: Turning, tmp_path: Path, made: type[Source]) -> None:
    """The first volume fails, and there is no other: nothing is left open."""
    before = there_is()[1]
    source = made(turning, tmp_path, whole=True)
    context = source.context(make_context(turning.reactor))
    volumes = Volumes(turning, "nm", CONFORMING, indirect=False)
    for medium in volumes.worlds["n"].media.values():
        medium.limits = Limits(end_records=4)

    async def story() -> None:
        origin, device = source.origin(context), volumes.next()
        flow = Flows(context).between(origin, device, PARTS)
        await origin.find()
        source.send(await flow.offer())
        await origin.header()
        await flow.ready()
        await device.start(AccessMode.WRITE, "VOL", STAMP)
        result = await flow.write_part(device, header(1))
        assert not result.successful
        assert result.eom
        assert flow.can_retry()
        await device.finish()
        await flow.close()
        await origin.close()

    turning.run(story())
    source.close()
    volumes.close()
    _, threads, shared = there_is()
    assert not shared
    left = Counter(threads) - Counter(before)
    assert not [name for name in left if "drive" not in name]


class Halting(Source):
    """What it brings comes to a halt in the middle, until the connection was cut there.

    :ivar cut: it was
    """

    def __init__(self, turning: Turning, path: Path, *, whole: bool) -> None:
        super().__init__(turning, path, whole=whole)
        self.cut = threading.Event()

    def origin(self, context: FlowContext) -> IOrigin:
        return HaltingOrigin(context, write_holding(str(self.path), DATA, len(DATA)), self.cut)


class HaltingOrigin(HoldingOrigin):
    """It is read once, and slowly."""

    reads_again = False

    def __init__(self, context: FlowContext, filename: str, cut: threading.Event) -> None:
        super().__init__(context, filename)
        self._cut = cut

    def source(self, position: int = 0) -> ISource:
        return HaltingSource(super().source(position), self._cut)


@implementer(ISource)
class HaltingSource:
    def __init__(self, source: ISource, cut: threading.Event) -> None:
        self._source, self._cut, self._left = source, cut, HALT
        self.cancel, self.close = source.cancel, source.close

    def read_into(self, buffer: memoryview) -> int:
        if not self._left:
            assert self._cut.wait(60)
            return self._source.read_into(buffer)
        size = self._source.read_into(buffer[: self._left])
        self._left -= size
        return size


HALT = 700_001


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("name", list(PROFILES))
def test_broken_connections(
    turning: Turning, tmp_path: Path, name: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sees it: what is certain stays, and the rest goes to the same volume. No more need be
    kept than eight blocks."""
    monkeypatch.setattr(kept, "WINDOW", 1)
    source = Halting(turning, tmp_path, whole=True)
    context = source.context(make_context(turning.reactor))
    volumes = Volumes(turning, "n", PROFILES[name], indirect=name == "product")
    # a mover may not even have taken a connection whose first bytes are its last
    first = 250_001 if how == "receiver only" else 1
    volumes.cut([(first, how), (200_001, how), (200_000, how)], source.cut)
    if how != "end":
        source.cut.set()  # who waits for more to send sees no connection break
    flow = turning.run(dump(Flows(context), source.origin(context), source, volumes))
    source.close()
    volumes.close()
    assert volumes.stored[: len(DATA)] == DATA
    assert len(volumes.stored) - len(DATA) < BLOCK
    assert flow.source_crc() == flow.dest_crc() == crc_of(DATA)
    assert len(volumes.relays[-1].passed) == 4


@pytest.mark.parametrize("how", ["reset", "sender only"])
def test_broken_connections_onto_a_vtape(turning: Turning, tmp_path: Path, how: str) -> None:
    """Behind our own server the volume is a directory, which other programs read as ever."""
    place = tmp_path / "vtape"
    place.mkdir()
    lane = Lane(turning.reactor, "drive")
    drive = TapeDrive(lane, keeper=FixedVolume(str(place), lambda: VtapeTape(str(place))))
    server = NdmpServer(turning.reactor, {"vt": drive}, PRODUCT)  # type: ignore[dict-item]
    server.start()
    source = Halting(turning, tmp_path, whole=True)
    relay = Relay([(1, how), (200_001, how), (200_000, how)], source.cut)
    source.cut.set()
    server.on_the_way = relay.lead_to
    context = source.context(make_context(turning.reactor))
    url = server.url("vt")
    volumes = OneDrive(open_ndmp(url, url[5:], DeviceContext(turning.reactor, pytest.fail, 20)))
    flow = turning.run(dump(Flows(context), source.origin(context), source, volumes))
    source.close()
    relay.close()
    turning.wait(server.stop())
    turning.until(lambda: not server.sessions)
    assert len(relay.passed) == 4
    assert flow.dest_crc() == crc_of(DATA)
    reader = FileDevice(f"file:{place}", str(place))
    reader.start(AccessMode.READ)
    found = b"".join(read_file(reader, part.fileno, part.size) for part in volumes.good)
    assert found[: len(DATA)] == DATA
    assert len(found) - len(DATA) < BLOCK
    reader.finish()


class OneDrive(Volumes):
    """A drive that never ends."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self.good: list[PartResult] = []
        self.parts: list[int] = []

    def next(self) -> Any:
        return self.device

    def note(self, result: PartResult) -> None:
        if result.successful and result.size:
            self.good.append(result)
            self.parts.append(result.size)

    def read(self) -> None:
        """Somebody else does."""


def read_file(reader: FileDevice, number: int, size: int) -> bytes:
    assert reader.seek_file(number) is not None
    data = bytearray()
    buffer = memoryview(bytearray(BLOCK * 8))
    while got := reader.read_blocks(buffer):
        data += buffer[:got]
    assert len(data) == size
    return bytes(data)
