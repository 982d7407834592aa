"""The data of a file whose header is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from devices.errors import DeviceError
from devices.interfaces import AccessMode, IDevice, IFindsData
from devices.registry import open_blocking_device as open_by_name
from tests.contract.device import STAMP, read_rest, some_bytes, write_part

HEADER = 32768
DATA = some_bytes(70_000)


@pytest.fixture(params=["file", "diskflat"])
def volume(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path, int]:
    """The name of a device with one part, where that is, and where its header begins."""
    if request.param == "file":
        name = f"file:{tmp_path}"
    else:
        name = f"diskflat:{tmp_path}/TAPE-01"
    device = open_by_name(name)
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    write_part(device, DATA)
    device.finish()
    if request.param == "file":
        (path,) = tmp_path.glob("00001.*")
        return name, path, 0
    return name, tmp_path / "TAPE-01", HEADER


def reading(name: str) -> IDevice:
    device = open_by_name(name)
    device.start(AccessMode.READ)
    return device


@pytest.mark.parametrize("junk", [b"\0", b"x"])
def test_what_is_behind_a_damaged_header(volume: tuple[str, Path, int], junk: bytes) -> None:
    name, path, place = volume
    whole = path.read_bytes()
    path.write_bytes(whole[:place] + junk * HEADER + whole[place + HEADER :])
    device = reading(name)
    verifyObject(IFindsData, device)
    for _ in range(2):
        with pytest.raises(DeviceError, match="Invalid amanda header"):
            device.seek_file(1)
        assert IFindsData(device).seek_data(1) == len(DATA)
        assert (device.file, device.in_file) == (1, True)
        assert read_rest(device) == DATA
        assert not device.in_file
    device.finish()


def test_what_is_no_file_with_a_damaged_header(volume: tuple[str, Path, int]) -> None:
    """One whose header can be read, whatever it says; none at all; one that ends in its header."""
    name, path, place = volume
    device = reading(name)
    finder = IFindsData(device)
    with pytest.raises(DeviceError, match="can be read"):
        finder.seek_data(1)
    for number in (0, 2):
        with pytest.raises(DeviceError, match=f"File {number} not found"):
            finder.seek_data(number)
    whole = path.read_bytes()
    path.write_bytes(whole[:place] + whole[:HEADER] + whole[place + HEADER :])
    if place:
        with pytest.raises(DeviceError, match="can be read"):
            finder.seek_data(1)
    path.write_bytes(whole[:place] + bytes(HEADER - 1))
    with pytest.raises(DeviceError, match="ends in its header"):
        finder.seek_data(1)
    assert not device.in_file
    device.finish()
