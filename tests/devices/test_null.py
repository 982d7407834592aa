"""The device that keeps nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from devices.errors import DeviceError, Status
from devices.interfaces import AccessMode, IDevice
from devices.null import NullDevice
from devices.registry import open_blocking_device as open_by_name
from tests.contract.device import BLOCK, DeviceContract


class TestNull(DeviceContract):
    @pytest.fixture
    def open_device(self) -> Callable[..., IDevice]:
        def open_it() -> IDevice:
            device = open_by_name("null:")
            device.properties.set("block_size", BLOCK)
            return device

        return open_it


def test_it_cannot_be_read() -> None:
    """Reading is refused in stock's words, and leaves a device that can be written."""
    device = NullDevice("null:", "")
    reading = device.read_label()
    assert reading.status == Status.VOLUME_UNLABELED | Status.VOLUME_ERROR
    assert reading.error == "Can't open NULL device for reading or appending."
    with pytest.raises(DeviceError, match="Can't open NULL device"):
        device.start(AccessMode.APPEND)
    device.start(AccessMode.WRITE, "A", "X")
    assert device.status is Status.SUCCESS


def test_what_it_lacks() -> None:
    """Methods that make no sense on it fail instead of crashing."""
    device = NullDevice("null:", "")
    for call in (device.erase, lambda: device.seek_file(0)):
        with pytest.raises(DeviceError, match="Unimplemented method"):
            call()
    assert device.properties["canonical_name"].value == "null:"
