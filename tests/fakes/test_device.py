"""The fake device keeps the promises of the real ones."""

from __future__ import annotations

import pytest
from zope.interface.verify import verifyObject

from devices.errors import DeviceError, Status
from devices.interfaces import AccessMode, FileStart, IDevice, WriteEnd, Written
from protocols.header import HeaderType
from tests.fakes.device import FULL_TEXT, SPACE_TEXT, FakeDevice, FakeVolume
from tests.plane.dumping import HEADER

BLOCK = b"x" * 10


def device_of(capacity: int | None, **options: object) -> FakeDevice:
    device = FakeDevice(
        FakeVolume(capacity),
        block_size=10,
        header_size=10,
        warning=2,
        **options,  # type: ignore[arg-type]
    )
    device.start(AccessMode.WRITE, "V1", "20261123000000")
    return device


def test_it_is_a_device() -> None:
    verifyObject(IDevice, FakeDevice())


def test_what_is_written_can_be_read() -> None:
    device = device_of(None)
    assert device.start_file(HEADER) == FileStart(1, False)
    assert device.write_blocks(memoryview(BLOCK * 3 + b"end")) == Written(33, WriteEnd.NONE)
    assert device.bytes_written == 33
    device.finish_file()
    device.finish()
    assert device.read_label().label == "V1"
    device.start(AccessMode.READ)
    assert device.seek_file(1) == HEADER
    buffer = memoryview(bytearray(25))
    assert device.read_blocks(buffer) == 20
    assert device.read_blocks(buffer) == 13
    assert device.read_blocks(buffer) == 0
    end = device.seek_file(2)
    assert end is not None
    assert end.type is HeaderType.TAPEEND
    assert device.seek_file(3) is None


def test_leom_warns_before_the_end_and_the_limit_holds() -> None:
    """Label and header take 20 bytes of 80; the warning comes two blocks before the end."""
    device = device_of(80)
    device.start_file(HEADER)
    assert device.write_blocks(memoryview(BLOCK * 9)) == Written(50, WriteEnd.EARLY)
    assert device.write_blocks(memoryview(BLOCK)) == Written(10, WriteEnd.EARLY)
    assert device.write_blocks(memoryview(BLOCK)) == Written(0, WriteEnd.FULL)
    assert device.error == FULL_TEXT
    device.finish_file()
    assert device.start_file(HEADER) == FileStart(0, True)


def test_without_leom_the_end_is_a_failure() -> None:
    device = device_of(80, leom=False)
    device.start_file(HEADER)
    assert device.write_blocks(memoryview(BLOCK * 9)) == Written(60, WriteEnd.FAILED)
    assert device.is_eom


def test_shared_space_ends_without_end_of_medium() -> None:
    device = device_of(30)
    assert device.volume is not None
    device.volume.shared = True
    device.start_file(HEADER)
    device.is_eom = False
    assert device.write_blocks(memoryview(BLOCK)).end is WriteEnd.EARLY
    assert device.write_blocks(memoryview(BLOCK)) == Written(0, WriteEnd.SPACE)
    assert (device.error, device.is_eom) == (SPACE_TEXT, False)


def test_calls_out_of_order_are_refused() -> None:
    device = device_of(None)
    with pytest.raises(ValueError, match="out of order"):
        device.write_blocks(memoryview(BLOCK))
    with pytest.raises(ValueError, match="out of order"):
        device.finish_file()
    device.start_file(HEADER)
    device.write_blocks(memoryview(b"short"))
    with pytest.raises(ValueError, match="after a short one"):
        device.write_blocks(memoryview(BLOCK))
    with pytest.raises(ValueError, match="started device"):
        device.erase()


def test_faults_come_when_asked_for() -> None:
    wanted = {"start_file"}
    device = device_of(None, faults=wanted.__contains__)
    with pytest.raises(DeviceError) as caught:
        device.start_file(HEADER)
    assert caught.value.status == device.status == Status.DEVICE_ERROR
    wanted.clear()
    device.start_file(HEADER)
    wanted.add("finish_file")
    with pytest.raises(DeviceError):
        device.finish_file()
    assert not device.in_file
