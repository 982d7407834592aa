"""The device fake keeps the contract of the real ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from devices.interfaces import IDevice
from tests.contract.device import BLOCK, AppendContract, ReadContract
from tests.contract.device_end import EndContract
from tests.fakes.device import FakeDevice, FakeVolume


class TestFakeDevice(ReadContract, AppendContract, EndContract):
    # the fake takes any header, and wants to be told the time
    test_bad_header_is_refused = None  # type: ignore[assignment]
    test_errors_stay = None  # type: ignore[assignment]
    test_timestamp_is_now_by_default = None  # type: ignore[assignment]

    @pytest.fixture
    def open_device(self) -> Callable[..., IDevice]:
        volume = FakeVolume()

        def open_it(limit: int = 0, leom: bool = True) -> IDevice:
            volume.capacity = limit or None
            return FakeDevice(volume, block_size=BLOCK, leom=leom)

        return open_it
