"""Every device by its asynchronous face."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devices.asynchronous import open_device
from devices.context import DeviceContext
from devices.lane import Lane, LaneDevice
from devices.registry import DEVICES
from tests.contract.async_device import (
    DirectTCPContract,
    MoverDeviceContract,
    PumpedDeviceContract,
    turning,
)
from tests.devices.ndmp_world import World
from tests.fakes.burner import Burner
from tests.fakes.changers import Waited
from tests.fakes.device import FakeDevice, FakeVolume
from tests.fakes.ndmp_server import CONFORMING
from tests.fakes.tape import load, make_cartridge, make_drive
from tests.fakes.turning import Turning
from tests.fakes.weed import Weed

__all__ = ["turning"]


class Openers:
    """Opens devices as the taper does; their lanes are stopped in the end."""

    def __init__(self, turning: Turning) -> None:
        self._turning = turning
        self._lanes: list[Lane] = []

    def of(self, name: str, **properties: Any) -> Callable[[], Waited]:
        """A function that opens the device of this name."""
        context = DeviceContext(self._turning.reactor, self.lane, 20)

        def open_it() -> Waited:
            device = open_device(name, context)
            for key, value in properties.items():
                device.facts.properties.set(key, value)
            return Waited(device, self._turning.wait)

        return open_it

    def lane(self, name: str) -> Lane:
        self._lanes.append(Lane(self._turning.reactor, name))
        return self._lanes[-1]

    def stop(self) -> None:
        for lane in self._lanes:
            self._turning.wait(lane.stop())


@pytest.fixture
def openers(turning: Turning) -> Iterator[Openers]:
    openers = Openers(turning)
    yield openers
    openers.stop()


class TestFile(PumpedDeviceContract, DirectTCPContract):
    @pytest.fixture
    def open_device(self, openers: Openers, tmp_path: Path) -> Callable[[], Any]:
        (tmp_path / "data").mkdir()
        return openers.of(f"file:{tmp_path}", directtcp_address="127.0.0.1")


class TestDiskflat(PumpedDeviceContract, DirectTCPContract):
    @pytest.fixture
    def open_device(self, openers: Openers, tmp_path: Path) -> Callable[[], Any]:
        return openers.of(f"diskflat:{tmp_path}/TAPE-01", directtcp_address="127.0.0.1")


class TestDvdrw(PumpedDeviceContract, DirectTCPContract):
    erases = False

    @pytest.fixture
    def open_device(self, openers: Openers, tmp_path: Path) -> Callable[[], Any]:
        burner = Burner(tmp_path)
        burner.insert_empty()
        named = {**burner.properties, "directtcp_address": "127.0.0.1"}
        return openers.of(burner.name, **named)


class TestRait(PumpedDeviceContract, DirectTCPContract):
    @pytest.fixture
    def open_device(self, openers: Openers, tmp_path: Path) -> Callable[[], Any]:
        for number in range(3):
            (tmp_path / f"r{number}").mkdir()
        return openers.of(f"rait:file:{tmp_path}/r{{0..2}}", directtcp_address="127.0.0.1")


class TestS3(PumpedDeviceContract, DirectTCPContract):
    @pytest.fixture
    def open_device(self, openers: Openers, weed: Weed) -> Callable[[], Any]:
        bucket = weed.make_bucket()
        properties = {**weed.properties(weed.taper), "directtcp_address": "127.0.0.1"}
        return openers.of(f"s3:{bucket}/slot-1-", **properties)


class TestNull(PumpedDeviceContract, DirectTCPContract):
    keeps = erases = False

    @pytest.fixture
    def open_device(self, openers: Openers) -> Callable[[], Any]:
        return openers.of("null:", directtcp_address="127.0.0.1")


class TestTape(PumpedDeviceContract, DirectTCPContract):
    erases = False

    @pytest.fixture
    def open_device(
        self, openers: Openers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[], Any]:
        monkeypatch.setitem(DEVICES, "tape", "tests.fakes.tape:SimulatedTape")
        drive = tmp_path / "nst0"
        make_drive(drive)
        cartridge = make_cartridge(tmp_path / "cartridge")
        load(drive, cartridge)
        return openers.of(f"tape:{drive}", directtcp_address="127.0.0.1")


class TestFake(PumpedDeviceContract):
    @pytest.fixture
    def open_device(self, turning: Turning, openers: Openers) -> Callable[[], Any]:
        volume = FakeVolume()
        return lambda: Waited(LaneDevice(FakeDevice(volume), openers.lane("fake")), turning.wait)


class TestNdmp(MoverDeviceContract):
    erases = False

    @pytest.fixture
    def world(self, turning: Turning) -> Iterator[World]:
        world = World(turning, CONFORMING)
        yield world
        world.close()

    @pytest.fixture
    def open_device(self, openers: Openers, world: World) -> Callable[[], Any]:
        return openers.of(world.server.url("drive0"), indirect=False)
