"""The device ``tape:`` on a simulated drive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from devices.errors import DeviceError, Status
from devices.interfaces import AccessMode, IDevice, WriteEnd
from devices.registry import DEVICES
from devices.registry import open_blocking_device as open_by_name
from tests.contract.device import STAMP, AppendContract, ReadContract
from tests.contract.device_end import EndContract
from tests.fakes.tape import CartridgeFacts, load, make_cartridge, make_drive, write_facts

BLOCK = 32768


class TestTape(ReadContract, AppendContract, EndContract):
    block = BLOCK
    # a drive may have lost what it had buffered
    at_limit = WriteEnd.FAILED
    # see test_no_erasing
    test_erase = None  # type: ignore[assignment]

    @pytest.fixture
    def open_device(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[..., IDevice]:
        """A drive warns so that the block four blocks before the end is the warned one."""
        monkeypatch.setitem(DEVICES, "tape", "tests.fakes.tape:SimulatedTape")
        drive, cartridge = tmp_path / "drive0", tmp_path / "cartridge"
        make_drive(drive)
        load(drive, make_cartridge(cartridge))
        left: list[IDevice] = []

        def open_it(limit: int = 0, leom: bool = True) -> IDevice:
            for device in left:
                device.finish()
            early = limit - 4 * BLOCK - 1 if limit and leom else None
            write_facts(cartridge, CartridgeFacts(capacity=limit or None, early=early))
            device = open_by_name(f"tape:{drive}")
            device.properties.set("leom", leom)
            left.append(device)
            return device

        return open_it

    def test_no_erasing(self, open_device: Callable[..., IDevice]) -> None:
        """It is refused in stock's words, and the volume stays as it is."""
        device = open_device()
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
        device.finish()
        with pytest.raises(DeviceError, match=r"^Unimplemented method$") as caught:
            device.erase()
        assert caught.value.status is Status.DEVICE_ERROR
        assert device.read_label().label == "TAPE-01"
