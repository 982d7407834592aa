"""The data of a file whose header is damaged."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from devices.errors import DeviceError
from devices.interfaces import AccessMode, IDevice, IFindsData
from devices.registry import open_blocking_device as open_by_name
from tests.contract.device import STAMP, read_rest, some_bytes, write_part
from tests.devices.test_dvdrw import open_burner
from tests.fakes.burner import Burner

HEADER = 32768
DATA = some_bytes(70_000)


Volume = tuple[Callable[[], IDevice], Path, int]
"""Opens a device with one part, where that is, and where its header begins."""


@pytest.fixture(params=["file", "diskflat", "dvdrw"])
def volume(request: pytest.FixtureRequest, tmp_path: Path) -> Volume:
    name = f"diskflat:{tmp_path}/TAPE-01" if request.param == "diskflat" else f"file:{tmp_path}"
    open_it: Callable[[], IDevice] = functools.partial(open_by_name, name)
    if request.param == "dvdrw":
        open_it = functools.partial(open_burner, Burner(tmp_path))
    device = open_it()
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    write_part(device, DATA)
    device.finish()
    if request.param == "diskflat":
        return open_it, tmp_path / "TAPE-01", HEADER
    place = tmp_path / "disc/data" if request.param == "dvdrw" else tmp_path
    (path,) = place.glob("00001.*")
    return open_it, path, 0


def reading(open_it: Callable[[], IDevice]) -> IDevice:
    device = open_it()
    device.start(AccessMode.READ)
    return device


@pytest.mark.parametrize("junk", [b"\0", b"x"])
def test_what_is_behind_a_damaged_header(volume: Volume, junk: bytes) -> None:
    open_it, path, place = volume
    whole = path.read_bytes()
    path.write_bytes(whole[:place] + junk * HEADER + whole[place + HEADER :])
    device = reading(open_it)
    verifyObject(IFindsData, device)
    for _ in range(2):
        with pytest.raises(DeviceError, match="Invalid amanda header"):
            device.seek_file(1)
        assert IFindsData(device).seek_data(1) == len(DATA)
        assert (device.file, device.in_file) == (1, True)
        assert read_rest(device) == DATA
        assert not device.in_file
    device.finish()


def test_what_is_no_file_with_a_damaged_header(volume: Volume) -> None:
    """One whose header can be read, whatever it says; none at all; one that ends in its header."""
    open_it, path, place = volume
    device = reading(open_it)
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
