"""diskflat: a volume in one file; the contract, and each way with Amanda's own device code."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from devices.diskflat import DATA_START, DiskflatDevice
from devices.errors import DeviceError, DriveFailed, Status, VolumeFailed
from devices.interfaces import AccessMode, FileStart, IDevice, WriteEnd, Written
from devices.registry import open_blocking_device as open_by_name
from protocols.header import HeaderType
from tests.contract.device import (
    BLOCK,
    PART,
    STAMP,
    ReadContract,
    StoringBehindContract,
    read_rest,
    some_bytes,
    write_part,
)
from tests.contract.device_end import EndContract
from tests.devices.test_file_stock import stock, stock_header, why_no_perl


class TestContract(ReadContract, EndContract, StoringBehindContract):
    files = 1

    @pytest.fixture
    def open_device(self, tmp_path: Path) -> Callable[..., IDevice]:
        def open_it(limit: int = 0, leom: bool = True) -> IDevice:
            device = open_by_name(f"diskflat:{tmp_path}/TAPE-01")
            device.properties.set("block-size", f"{BLOCK}")
            device.properties.set("leom", leom)
            device.properties.set("max_volume_usage", limit)
            return device

        return open_it


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "FLAT-001"


@pytest.fixture
def flat(path: Path) -> DiskflatDevice:
    return DiskflatDevice(f"diskflat:{path}", str(path))


def test_one_file_only(flat: DiskflatDevice) -> None:
    """After its only dump file the volume is full, in stock's words; nothing is harmed."""
    flat.start(AccessMode.WRITE, "FLAT-001", STAMP)
    data = some_bytes(100)
    write_part(flat, data)
    assert flat.start_file(PART) == FileStart(0, True)
    assert flat.is_eom
    assert flat.status is Status.VOLUME_ERROR
    assert flat.error == "Can't write more than one file to the diskflat device"
    flat.finish()
    flat.start(AccessMode.READ)
    assert flat.seek_file(1) is not None
    assert read_rest(flat, 32768) == data


def test_properties(flat: DiskflatDevice) -> None:
    """It cannot be appended to, but erased as a whole."""
    get = flat.properties
    assert not get.flag("appendable")
    assert not get.flag("partial_deletion")
    assert get.flag("full_deletion")
    flat.start(AccessMode.WRITE, "FLAT-001", STAMP)
    flat.finish()
    with pytest.raises(VolumeFailed, match="one file only"):
        flat.start(AccessMode.APPEND)
    assert flat.access_mode is AccessMode.NULL


@pytest.mark.parametrize(
    ("content", "status", "text"),
    [
        (b"", Status.VOLUME_UNLABELED, "Problem reading Amanda header: empty file"),
        (b"x" * 40000, Status.VOLUME_ERROR, "Invalid amanda header while reading file header"),
    ],
)
def test_odd_files(
    flat: DiskflatDevice, path: Path, content: bytes, status: Status, text: str
) -> None:
    """An empty file is unlabelled, garbage is a bad volume; either can be labelled."""
    path.write_bytes(content)
    reading = flat.read_label()
    assert (reading.status, reading.header_type, reading.error) == (status, None, text)
    flat.start(AccessMode.WRITE, "FLAT-001", STAMP)
    flat.finish()
    assert path.stat().st_size == 32768


def test_what_is_no_file(tmp_path: Path) -> None:
    """A directory or a pipe in the volume's place is an error, not a wait."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    for name in ("pipe", "directory"):
        device = DiskflatDevice("odd", str(tmp_path / name))
        reading = device.read_label()
        assert reading.status is Status.DEVICE_ERROR
        with pytest.raises(DeviceError):
            device.start(AccessMode.WRITE, "FLAT-001", STAMP)


def test_missing_directory(tmp_path: Path) -> None:
    """It looks unlabelled, as with stock; labelling it fails."""
    device = DiskflatDevice("gone", str(tmp_path / "no" / "FLAT-001"))
    reading = device.read_label()
    assert (reading.status, reading.header_type) == (Status.VOLUME_UNLABELED, HeaderType.EMPTY)
    with pytest.raises(VolumeFailed, match="No such file or directory"):
        device.start(AccessMode.WRITE, "FLAT-001", STAMP)


def test_refused_before_harm(flat: DiskflatDevice, path: Path) -> None:
    """A label that is none, and a device in error, leave the old volume whole."""
    flat.start(AccessMode.WRITE, "FLAT-001", STAMP)
    write_part(flat, some_bytes(10))
    flat.finish()
    before = path.read_bytes()
    for label in ("a b", "../x"):
        with pytest.raises(VolumeFailed, match="is refused"):
            flat.start(AccessMode.WRITE, label, STAMP)
    flat.status = Status.DEVICE_ERROR
    with pytest.raises(DriveFailed):
        flat.start(AccessMode.WRITE, "FLAT-001", STAMP)
    assert path.read_bytes() == before


def test_a_volume_taken_away(flat: DiskflatDevice, path: Path) -> None:
    """A file that somebody deletes under us is missed, not made anew."""
    flat.start(AccessMode.WRITE, "FLAT-001", STAMP)
    path.unlink()
    with pytest.raises(VolumeFailed, match="Couldn't open file"):
        flat.start_file(PART)
    assert not path.exists()


def test_the_limit_in_a_short_block(flat: DiskflatDevice, path: Path) -> None:
    """Label and header count as 32 KiB each, a short block as what it is."""
    flat.properties.set("max_volume_usage", f"{DATA_START + 32768 + 100}")
    flat.properties.set("leom", False)
    flat.start(AccessMode.WRITE, "FLAT-001", STAMP)
    flat.start_file(PART)
    assert flat.write_blocks(some_bytes(32768 + 100)) == Written(32768 + 100, WriteEnd.NONE)
    flat.finish_file()
    assert path.stat().st_size == DATA_START + 32768 + 100


# -- stock ---------------------------------------------------------------------------------------

needs_perl = pytest.mark.skipif(bool(why_no_perl()), reason=str(why_no_perl()))


@needs_perl
@pytest.mark.parametrize("size", [0, 32768 * 3])
def test_same_bytes_as_stock(flat: DiskflatDevice, path: Path, tmp_path: Path, size: int) -> None:
    """The file is the one that stock writes, also over a longer one."""
    payload = tmp_path / "payload"
    payload.write_bytes(some_bytes(size))
    theirs = tmp_path / "theirs"
    part = {"header": stock_header(PART), "file": str(payload)}
    for volume in (theirs, path):
        volume.write_bytes(bytes(2**20))
    more = {"label": "FLAT-001", "stamp": STAMP, "parts": [part], "scheme": "diskflat"}
    stock("write", theirs, **more)
    flat.start(AccessMode.WRITE, "FLAT-001", STAMP)
    write_part(flat, memoryview(payload.read_bytes()))
    flat.finish()
    assert path.read_bytes() == theirs.read_bytes()
    assert path.stat().st_size == DATA_START + size


@needs_perl
def test_stock_reads_ours(flat: DiskflatDevice, path: Path, tmp_path: Path) -> None:
    """Stock reads label, header and data of a volume of ours, and erases it."""
    data = some_bytes(100_000)
    flat.properties.set("block-size", "1000")
    flat.start(AccessMode.WRITE, "FLAT-001", STAMP)
    write_part(flat, data)
    flat.finish()
    answer = stock("read", path, out=str(tmp_path), scheme="diskflat", only=1)
    assert (answer["status"], answer["label"], answer["stamp"]) == ("0", "FLAT-001", STAMP)
    assert answer["files"] == {"1": "/home 1 0"}
    assert (tmp_path / "1").read_bytes() == data
    stock("erase", path, scheme="diskflat")
    assert not path.exists()
    assert flat.read_label().status is Status.VOLUME_UNLABELED


@needs_perl
def test_ours_reads_stock(flat: DiskflatDevice, path: Path, tmp_path: Path) -> None:
    """Ours reads label, header and data of a volume of stock's."""
    payload = tmp_path / "payload"
    payload.write_bytes(some_bytes(5 * 32768))
    part = {"header": stock_header(PART), "file": str(payload)}
    stock("write", path, label="FLAT-001", stamp=STAMP, parts=[part], scheme="diskflat")
    reading = flat.read_label()
    assert (reading.status, reading.label, reading.timestamp) == (Status.SUCCESS, "FLAT-001", STAMP)
    flat.start(AccessMode.READ)
    header = flat.seek_file(1)
    assert header is not None
    assert (header.disk, header.partnum) == (PART.disk, 1)
    assert read_rest(flat, 50000) == payload.read_bytes()
