"""The data of a file of a ``rait:`` of which some children's headers are damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from devices.errors import DeviceError
from devices.interfaces import AccessMode, IFindsData
from devices.rait import RaitDevice
from tests.contract.device import BLOCK, read_rest, some_bytes
from tests.devices.rait_world import rait, read, written

HEADER = 32768


def damage(root: Path, child: int, number: int, *, cut: int = 0) -> None:
    """Damage the header of a file on one child, and take bytes off its end."""
    (path,) = (root / f"r{child}").glob(f"{number:05}.*")
    data = path.read_bytes()
    path.write_bytes(b"x" * HEADER + data[HEADER : len(data) - cut])


@pytest.fixture(params=[2, 3])
def width(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def parts(tmp_path: Path, width: int) -> list[memoryview]:
    """Of a volume with whole blocks in its files."""
    parts = [some_bytes(blocks * BLOCK * 4) for blocks in (1, 5, 2)]
    written(tmp_path, width, parts)
    return parts


def reading(root: Path, width: int) -> RaitDevice:
    device = rait(root, width)
    device.start(AccessMode.READ)
    return device


def test_each_child_has_one_that_is_damaged(
    tmp_path: Path, width: int, parts: list[memoryview]
) -> None:
    """A child is not lost for good with the first of them: the headers of the others will do."""
    for number in (1, 2, 3):
        damage(tmp_path, number % width, number)
    device = reading(tmp_path, width)
    for number, data in enumerate(parts, 1):
        assert read(device, number) == data
    assert read(device, 1) == parts[0]
    device.finish()


def test_one_header_of_three_will_do(tmp_path: Path) -> None:
    """It tells what is there, and all children give their data."""
    data = some_bytes(6 * BLOCK)
    written(tmp_path, 3, [data, data])
    for child in (0, 2):
        damage(tmp_path, child, 1)
    device = reading(tmp_path, 3)
    assert read(device, 1) == data
    assert read(device, 2) == data
    device.finish()
    damage(tmp_path, 0, 2, cut=1)  # which is found out when it is read
    damage(tmp_path, 1, 2)
    device = reading(tmp_path, 3)
    assert read(device, 2) == data


def test_a_child_is_missing_and_another_has_no_header(tmp_path: Path) -> None:
    data = some_bytes(6 * BLOCK)
    written(tmp_path, 3, [data, data])
    damage(tmp_path, 1, 1)
    damage(tmp_path, 2, 2)
    device = rait(tmp_path, 3, without=0)
    for number in (1, 2):
        assert read(device, number) == data
    device.finish()
    damage(tmp_path, 2, 1)
    device = rait(tmp_path, 3, without=0)
    device.start(AccessMode.READ)
    with pytest.raises(DeviceError):
        device.seek_file(1)
    assert device.seek_data(1) == len(data)
    assert read_rest(device) == data
    device.finish()


def test_no_header_at_all(tmp_path: Path, width: int, parts: list[memoryview]) -> None:
    for child in range(width):
        damage(tmp_path, child, 2)
    device = reading(tmp_path, width)
    verifyObject(IFindsData, device)
    assert read(device, 1) == parts[0]
    for _ in range(2):
        with pytest.raises(DeviceError, match="failed to seek_file"):
            device.seek_file(2)
        assert device.seek_data(2) == len(parts[1])
        assert (device.file, device.in_file) == (2, True)
        assert read_rest(device) == parts[1]
    assert read(device, 3) == parts[2]
    device.finish()


def test_one_child_has_nothing_besides(tmp_path: Path, width: int, parts: list[memoryview]) -> None:
    """Its data are made of the others', if these are of one length."""
    for child in range(width):
        damage(tmp_path, child, 1)
    (path,) = (tmp_path / "r0").glob("00001.*")
    path.unlink()
    device = reading(tmp_path, width)
    assert device.seek_data(1) == len(parts[0])
    assert read_rest(device) == parts[0]
    with pytest.raises(DeviceError, match="can be read"):
        device.seek_data(2)
    device.finish()


def test_a_child_that_lacks_one_file_has_others(tmp_path: Path) -> None:
    """It is not lost for good with what it lacks of a file that no header tells of."""
    data = some_bytes(6 * BLOCK)
    written(tmp_path, 3, [data, data, data])
    for child in (1, 2):
        damage(tmp_path, child, 1)
    for child in (0, 1):
        (path,) = (tmp_path / f"r{child}").glob(f"{child + 1:05}.*")
        path.write_bytes(b"x" * 100)
    device = reading(tmp_path, 3)
    assert device.seek_data(1) == len(data)
    assert read_rest(device) == data
    for number in (2, 3):
        assert read(device, number) == data
    device.finish()


def test_lengths_that_differ(tmp_path: Path, width: int, parts: list[memoryview]) -> None:
    """Of three the odd one is left out."""
    for child in range(width):
        damage(tmp_path, child, 1, cut=BLOCK if child == 1 else 0)
    device = reading(tmp_path, width)
    if width == 3:
        assert device.seek_data(1) == len(parts[0])
        assert read_rest(device) == parts[0]
    else:
        with pytest.raises(DeviceError, match="has another length on each child"):
            device.seek_data(1)
        assert not device.in_file
    device.finish()


def test_a_header_that_differs_is_believed(
    tmp_path: Path, width: int, parts: list[memoryview]
) -> None:
    """Whoever reads it judges what it names."""
    for child in range(width - 1):
        damage(tmp_path, child, 2)
    (path,) = (tmp_path / f"r{width - 1}").glob("00002.*")
    (other,) = (tmp_path / f"r{width - 1}").glob("00003.*")
    path.write_bytes(other.read_bytes()[:HEADER] + path.read_bytes()[HEADER:])
    device = reading(tmp_path, width)
    header = device.seek_file(2)
    assert header is not None
    assert header.partnum == 3
    device.finish()
