"""Vtapes: headers, blocks, and the end of the room."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from devices import datafile
from devices.diskflat import DiskflatDevice
from devices.errors import DeviceError, Status, VolumeFailed
from devices.file import FileDevice
from devices.interfaces import AccessMode, FileStart, WriteEnd, Written
from protocols.header import HeaderType
from taper.plane.memory import allocate
from tests.contract.device import (
    BLOCK,
    PART,
    STAMP,
    read_rest,
    some_bytes,
    write_part,
)

LIMIT_TEXT = "No space left on device: more than MAX_VOLUME_USAGE bytes written"


@pytest.fixture
def vtape(tmp_path: Path) -> FileDevice:
    return FileDevice(f"file:{tmp_path}", str(tmp_path))


@pytest.fixture
def labelled(vtape: FileDevice) -> FileDevice:
    vtape.start(AccessMode.WRITE, "TAPE-01", STAMP)
    return vtape


@pytest.fixture
def direct(tmp_path: Path) -> FileDevice:
    """One that goes past the page cache."""
    device = FileDevice(f"file:{tmp_path}", str(tmp_path))
    device.properties.set("direct_io", "yes")
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    return device


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path))


# -- headers and blocks -------------------------------------------------------------------------


@pytest.mark.parametrize("block_size", [512, 40000, 262144])
def test_header_region(tmp_path: Path, block_size: int) -> None:
    """The header is 32768 bytes padded with NULs, whatever the block size."""
    device = FileDevice("v", str(tmp_path))
    device.properties.set("block_size", block_size)
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    big = evolve(PART, dle="<dle>\n" + "x" * 29000 + "\n</dle>")
    write_part(device, some_bytes(block_size), big)
    data = (tmp_path / "00001.client.example.com._home.0").read_bytes()
    assert len(data) == 32768 + block_size
    text, _, padding = data[:32768].partition(b"\0")
    assert text.endswith(b"\n\x0c\n")
    assert b"bs=32k" in text
    assert b"x" * 29000 in text
    assert not padding.strip(b"\0")


def test_failed_header_leaves_nothing(
    labelled: FileDevice, tmp_path: Path, monkeypatch: Any
) -> None:
    """A header that finds no room is the end of the volume, and its file is gone."""

    def write(fd: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        assert labelled.start_file(PART) == FileStart(0, True, space=True)
    assert labelled.error == "No space left on device"
    assert names(tmp_path) == ["00000.TAPE-01"]
    labelled.reset()
    assert labelled.start_file(PART) == FileStart(1, False)


def test_headerless_files_are_not_there(labelled: FileDevice, tmp_path: Path) -> None:
    """An empty file, as a failed start of stock leaves it, does not stop a reader."""
    write_part(labelled, some_bytes(10))
    (tmp_path / "00002.empty").touch()
    assert write_part(labelled, some_bytes(20)) == 3
    (tmp_path / "00004.empty").touch()
    labelled.finish()
    labelled.start(AccessMode.READ)
    assert labelled.seek_file(2) is not None
    assert labelled.file == 3
    for number in (4, 5):
        end = labelled.seek_file(number)
        assert end is not None
        assert end.type is HeaderType.TAPEEND
    assert labelled.seek_file(6) is None
    (tmp_path / "00002.empty").write_bytes(b"garbage")
    with pytest.raises(VolumeFailed, match="Invalid amanda header while reading file header"):
        labelled.seek_file(2)
    assert labelled.seek_file(1) is not None


class FullAfter:
    """os.write on a file system with so many bytes left."""

    def __init__(self, room: int, error: int = errno.ENOSPC) -> None:
        self.room = room
        self.error = error
        self.real = os.write

    def __call__(self, fd: int, data: Any) -> int:
        if not self.room:
            raise OSError(self.error, os.strerror(self.error))
        wrote = self.real(fd, data[: self.room])
        self.room -= wrote
        return wrote


@pytest.mark.parametrize("leom", [True, False])
def test_full_file_system(tmp_path: Path, monkeypatch: Any, leom: bool) -> None:
    """A write that finds no room keeps its whole blocks, and can be taken up again."""
    device = FileDevice("v", str(tmp_path))
    device.properties.set("block_size", BLOCK)
    device.properties.set("leom", leom)
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    device.start_file(PART)
    data = some_bytes(10 * BLOCK)
    device.write_blocks(data[:BLOCK])
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", FullAfter(2 * BLOCK + 100))
        end = WriteEnd.SPACE if leom else WriteEnd.FAILED
        assert device.write_blocks(data[BLOCK:]) == Written(2 * BLOCK, end)
    assert device.is_eom
    assert device.status is Status.VOLUME_ERROR
    assert device.error == "No space left on device"
    path = tmp_path / "00001.client.example.com._home.0"
    assert path.read_bytes()[32768:] == data[: 3 * BLOCK]
    assert device.bytes_written == 3 * BLOCK
    device.reset()
    assert device.write_blocks(data[3 * BLOCK :]) == Written(7 * BLOCK, WriteEnd.NONE)
    device.finish_file()
    assert path.read_bytes()[32768:] == data


def test_other_write_errors(labelled: FileDevice, monkeypatch: Any) -> None:
    """A failing disk fails the part, with stock's words; the volume is not called full."""
    labelled.start_file(PART)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", FullAfter(40000, errno.EIO))
        written = labelled.write_blocks(some_bytes(3 * 32768))
    assert written == Written(32768, WriteEnd.FAILED)
    assert not labelled.is_eom
    assert labelled.status is Status.VOLUME_ERROR
    assert labelled.error is not None
    assert labelled.error.startswith("Error writing device fd ")
    assert labelled.error.endswith(": Input/output error")
    labelled.finish_file()


def test_few_system_calls(labelled: FileDevice, monkeypatch: Any) -> None:
    """A megabyte of small blocks is one write, and the file system is asked rarely."""
    labelled.properties.set("max_volume_usage", "1g")
    labelled.start_file(PART)
    calls = {"write": 0, "statvfs": 0}

    def counting(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any) -> Any:
            calls[name] += 1
            return real(*args)

        return counted

    for name in calls:
        monkeypatch.setattr(os, name, counting(name, getattr(os, name)))
    data = allocate(2**20)
    for _ in range(8):
        assert labelled.write_blocks(data).end is WriteEnd.NONE
    assert calls["write"] == 8
    assert calls["statvfs"] <= 1


# -- past the page cache -------------------------------------------------------------------------


class Past:
    """os.write that notes what goes past the page cache: offset and size.

    :param refuses: it does not go there: the file system, or this memory, is not fit for it.
    """

    def __init__(self, monkeypatch: Any, *, refuses: bool = False) -> None:
        self.past: list[tuple[int, int]] = []
        self.by_cache: list[tuple[int, int]] = []
        self._refuses = refuses
        self._real = os.write
        monkeypatch.setattr(os, "write", self)
        monkeypatch.setattr(datafile, "_on_a_disk", lambda fd: True)
        monkeypatch.setattr(datafile, "WORTH", 32768)

    def __call__(self, fd: int, data: Any) -> int:
        past = bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT)
        if past and self._refuses:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        (self.past if past else self.by_cache).append((os.lseek(fd, 0, os.SEEK_CUR), len(data)))
        return self._real(fd, data)


def content(size: int) -> memoryview:
    """Random bytes in whole pages of memory, as the data plane has them."""
    memory = allocate(size)
    memory[:] = some_bytes(size)
    return memory


def written(device: FileDevice, *pieces: memoryview) -> None:
    """A part of these pieces."""
    device.start_file(PART)
    for piece in pieces:
        assert device.write_blocks(piece).end is WriteEnd.NONE
    device.finish_file()


def test_whole_pages_go_past_the_page_cache(
    direct: FileDevice, tmp_path: Path, monkeypatch: Any
) -> None:
    """What is left of a page, and all that comes behind it, goes the usual way."""
    seen = Past(monkeypatch)
    data = content(2 * 32768 + 5000)
    written(direct, data[:32768], data[32768:])
    assert seen.past == [(32768, 32768), (2 * 32768, 32768 + 4096)]
    assert (3 * 32768 + 4096, 904) in seen.by_cache
    path = tmp_path / "00001.client.example.com._home.0"
    assert path.read_bytes()[32768:] == data


def test_where_nothing_goes_past_the_page_cache(
    direct: FileDevice, tmp_path: Path, monkeypatch: Any
) -> None:
    """It is tried once a file."""
    seen = Past(monkeypatch, refuses=True)
    data = content(3 * 32768)
    written(direct, data[:32768], data[32768:])
    assert not seen.past
    assert seen.by_cache[-2:] == [(32768, 32768), (2 * 32768, 2 * 32768)]
    assert (tmp_path / "00001.client.example.com._home.0").read_bytes()[32768:] == data


@pytest.mark.parametrize("fsync", ["yes", "no"])
def test_a_device_that_uses_the_page_cache(tmp_path: Path, monkeypatch: Any, fsync: str) -> None:
    """The usual one; and who waits for no disk gains nothing by going there."""
    device = FileDevice("v", str(tmp_path))
    device.properties.set("direct_io", "yes" if fsync == "no" else "no")
    device.properties.set("fsync", fsync)
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    seen = Past(monkeypatch)
    written(device, content(32768))
    assert not seen.past


def test_a_file_system_that_fills_up_past_the_page_cache(
    direct: FileDevice, tmp_path: Path, monkeypatch: Any
) -> None:
    """It keeps its whole blocks, and goes on there."""
    seen = Past(monkeypatch)
    data = content(8 * 32768)
    direct.start_file(PART)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", FullAfter(2 * 32768 + 4096))
        assert direct.write_blocks(data) == Written(2 * 32768, WriteEnd.SPACE)
    direct.reset()
    assert direct.write_blocks(data[2 * 32768 :]) == Written(6 * 32768, WriteEnd.NONE)
    direct.finish_file()
    assert (3 * 32768, 6 * 32768) in seen.past
    assert (tmp_path / "00001.client.example.com._home.0").read_bytes()[32768:] == data


def test_little_at_a_time_is_kept_for_the_disk(
    direct: FileDevice, tmp_path: Path, monkeypatch: Any
) -> None:
    """A source that trickles does not wait for the disk with every block."""
    seen = Past(monkeypatch)
    data = content(4 * 32768)
    monkeypatch.setattr(datafile, "WORTH", 2 * 32768)
    written(direct, data[:32768], data[32768 : 3 * 32768], data[3 * 32768 :])
    assert seen.past == [(2 * 32768, 2 * 32768)]
    assert (tmp_path / "00001.client.example.com._home.0").read_bytes()[32768:] == data


@pytest.mark.parametrize(
    ("facts", "past"),
    [
        ({"queue/rotational": "0\n", "queue/write_cache": "write through\n"}, True),
        ({"queue/rotational": "1\n", "queue/write_cache": "write back\n"}, True),
        ({"queue/rotational": "1\n", "queue/write_cache": "write through\n"}, False),
        ({"../queue/rotational": "0\n"}, True),
        ({}, False),
    ],
)
def test_disks_to_which_single_writes_cost_little(
    tmp_path: Path, monkeypatch: Any, facts: dict[str, str], past: bool
) -> None:
    """The kernel tells of disks; of a partition its disk's folder does."""
    with open(tmp_path / "file", "w") as file:
        device = os.fstat(file.fileno()).st_dev
        root = tmp_path / f"{os.major(device)}:{os.minor(device)}"
        root.mkdir()
        for name, text in facts.items():
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(text)
        places = tuple(each.replace("/sys/dev/block", str(tmp_path)) for each in datafile._QUEUES)
        monkeypatch.setattr(datafile, "_QUEUES", places)
        assert datafile._on_a_disk(file.fileno()) is (past and os.major(device) != 0)


# -- free space, durability, properties ---------------------------------------------------------


def test_file_system_that_cannot_tell(labelled: FileDevice, monkeypatch: Any, caplog: Any) -> None:
    """A file system that cannot tell its free space is warned of once, and not watched again."""

    def statvfs(path: Any) -> Any:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "statvfs", statvfs)
    write_part(labelled, some_bytes(32768))
    assert not labelled.properties.flag("monitor_free_space")
    assert caplog.text.count("setting MONITOR_FREE_SPACE false") == 1


def test_limit_warns_without_monitoring(tmp_path: Path) -> None:
    """Switching off the free-space check does not switch off the limit's early warning."""
    device = FileDevice("v", str(tmp_path))
    device.properties.set("monitor-free-space", "no")
    device.properties.set("max-volume-usage", "512k")
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    device.start_file(PART)
    assert device.write_blocks(some_bytes(2**20)) == Written(11 * 32768, WriteEnd.EARLY)


def test_limit_not_enforced(tmp_path: Path) -> None:
    """A limit that is not enforced is none."""
    device = FileDevice("v", str(tmp_path))
    device.properties.set("max-volume-usage", "100k")
    device.properties.set("enforce-max-volume-usage", "false")
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    assert write_part(device, some_bytes(2**20)) == 1


@pytest.mark.parametrize("fsync", [True, False])
def test_durability(tmp_path: Path, monkeypatch: Any, fsync: bool) -> None:
    """A finished file is on the disk, unless the property FSYNC says that it need not be."""
    monkeypatch.setattr(datafile, "WRITEBACK_BYTES", 65536)
    synced: list[str] = []
    for name in ("fdatasync", "fsync", "posix_fadvise"):
        monkeypatch.setattr(os, name, lambda *args, name=name: synced.append(name))
    device = FileDevice("v", str(tmp_path))
    device.properties.set("fsync", fsync)
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    write_part(device, some_bytes(100000))
    part = ["posix_fadvise", "fdatasync", "fsync"]
    assert synced == (["fdatasync", "fsync", *part] if fsync else [])


@pytest.mark.parametrize("kind", [FileDevice, DiskflatDevice])
def test_a_label_whose_name_is_not_stored_can_be_read_all_the_same(
    tmp_path: Path, monkeypatch: Any, kind: Any
) -> None:
    """Starting fails, and whoever asks then what the volume bears is told of the new label."""
    device = kind("v", str(tmp_path if kind is FileDevice else tmp_path / "TAPE-01"))

    def fsync(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(VolumeFailed, match="Input/output error"):
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    found = device.read_label()
    assert (found.status, found.label, found.timestamp) == (Status.SUCCESS, "TAPE-01", STAMP)


def test_failing_sync_fails_the_part(labelled: FileDevice, monkeypatch: Any) -> None:
    """Bytes that the disk did not take are not called written."""
    labelled.start_file(PART)
    labelled.write_blocks(some_bytes(10))

    def fdatasync(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    with pytest.raises(VolumeFailed, match="Input/output error"):
        labelled.finish_file()
    assert not labelled.in_file
    labelled.finish()


def test_slow_write(labelled: FileDevice, monkeypatch: Any) -> None:
    """SLOW_WRITE sleeps a second at every other block."""
    naps: list[float] = []
    monkeypatch.setattr("devices.file_backed.time.sleep", naps.append)
    labelled.properties.set("slow_write", "yes")
    labelled.start_file(PART)
    labelled.write_blocks(some_bytes(4 * 32768))
    assert naps == [1, 1]


def test_use_data(vtape: FileDevice, caplog: Any) -> None:
    """USE_DATA is kept, a bad value is warned of and changes nothing."""
    vtape.properties.set("use-data", "no")
    assert vtape.properties["USE_DATA"].value == "NO"
    vtape.properties.set("use-data", "perhaps")
    assert vtape.properties["use_data"].value == "NO"
    assert "Illegal USE-DATA value (perhaps), using 'NO'." in caplog.text


def test_seeking_in_a_volume_not_started(labelled: FileDevice) -> None:
    """The label can be sought at any time, a dump only when reading."""
    data = some_bytes(40000)
    write_part(labelled, data)
    labelled.finish()
    label = labelled.seek_file(0)
    assert label is not None
    assert label.label == "TAPE-01"
    with pytest.raises(ValueError, match="expected READ"):
        labelled.seek_file(1)
    labelled.start(AccessMode.READ)
    labelled.seek_file(1)
    assert read_rest(labelled, 32768) == data


def test_unreadable_file(labelled: FileDevice, monkeypatch: Any) -> None:
    """A medium that cannot be read is an error, never an end of file."""
    write_part(labelled, some_bytes(40000))
    labelled.finish()
    labelled.start(AccessMode.READ)
    labelled.seek_file(1)

    def readv(fd: int, buffers: Any) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "readv", readv)
    with pytest.raises(DeviceError, match="Error reading from data file: Input/output error"):
        read_rest(labelled, 32768)
    assert labelled.in_file
