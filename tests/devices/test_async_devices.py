"""Every device by its asynchronous face."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
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


def opener(turning: Turning, name: str, **properties: Any) -> Callable[[], Waited]:
    """A function that opens the device of this name as the taper does."""
    reactor = turning.reactor
    context = DeviceContext(reactor, partial(Lane, reactor), 20)

    def open_it() -> Waited:
        device = open_device(name, context)
        for key, value in properties.items():
            device.facts.properties.set(key, value)
        return Waited(device, turning.wait)

    return open_it


class TestFile(PumpedDeviceContract, DirectTCPContract):
    @pytest.fixture
    def open_device(self, turning: Turning, tmp_path: Path) -> Callable[[], Any]:
        (tmp_path / "data").mkdir()
        return opener(turning, f"file:{tmp_path}", directtcp_address="127.0.0.1")


class TestDiskflat(PumpedDeviceContract, DirectTCPContract):
    @pytest.fixture
    def open_device(self, turning: Turning, tmp_path: Path) -> Callable[[], Any]:
        return opener(turning, f"diskflat:{tmp_path}/TAPE-01", directtcp_address="127.0.0.1")


class TestDvdrw(PumpedDeviceContract, DirectTCPContract):
    erases = False

    @pytest.fixture
    def open_device(self, turning: Turning, tmp_path: Path) -> Callable[[], Any]:
        burner = Burner(tmp_path)
        burner.insert_empty()
        named = {**burner.properties, "directtcp_address": "127.0.0.1"}
        return opener(turning, burner.name, **named)


class TestRait(PumpedDeviceContract, DirectTCPContract):
    @pytest.fixture
    def open_device(self, turning: Turning, tmp_path: Path) -> Callable[[], Any]:
        for number in range(3):
            (tmp_path / f"r{number}").mkdir()
        return opener(turning, f"rait:file:{tmp_path}/r{{0..2}}", directtcp_address="127.0.0.1")


class TestS3(PumpedDeviceContract, DirectTCPContract):
    @pytest.fixture
    def open_device(self, turning: Turning, weed: Weed) -> Callable[[], Any]:
        bucket = weed.make_bucket()
        properties = {**weed.properties(weed.taper), "directtcp_address": "127.0.0.1"}
        return opener(turning, f"s3:{bucket}/slot-1-", **properties)


class TestNull(PumpedDeviceContract, DirectTCPContract):
    keeps = erases = False

    @pytest.fixture
    def open_device(self, turning: Turning) -> Callable[[], Any]:
        return opener(turning, "null:", directtcp_address="127.0.0.1")


class TestTape(PumpedDeviceContract, DirectTCPContract):
    erases = False

    @pytest.fixture
    def open_device(
        self, turning: Turning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[], Any]:
        monkeypatch.setitem(DEVICES, "tape", "tests.fakes.tape:SimulatedTape")
        drive = tmp_path / "nst0"
        make_drive(drive)
        cartridge = make_cartridge(tmp_path / "cartridge")
        load(drive, cartridge)
        return opener(turning, f"tape:{drive}", directtcp_address="127.0.0.1")


class TestFake(PumpedDeviceContract):
    @pytest.fixture
    def open_device(self, turning: Turning) -> Callable[[], Any]:
        volume, reactor = FakeVolume(), turning.reactor
        return lambda: Waited(LaneDevice(FakeDevice(volume), Lane(reactor, "fake")), turning.wait)


class TestNdmp(MoverDeviceContract):
    erases = False

    @pytest.fixture
    def world(self, turning: Turning) -> Iterator[World]:
        world = World(turning, CONFORMING)
        yield world
        world.close()

    @pytest.fixture
    def open_device(self, turning: Turning, world: World) -> Callable[[], Any]:
        return opener(turning, world.server.url("drive0"), indirect=False)
