"""Vtapes: the contract, the directory, and what is better than stock."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from attrs import evolve

from devices.errors import DriveFailed, Status, VolumeFailed
from devices.file import FileDevice
from devices.interfaces import AccessMode, FileStart, IDevice
from devices.registry import open_blocking_device as open_by_name
from devices.vtape import names_a_file
from protocols.header import HeaderType
from tests.contract.device import (
    BLOCK,
    PART,
    STAMP,
    AppendContract,
    ReadContract,
    StoringBehindContract,
    some_bytes,
    write_part,
)
from tests.contract.device_end import EndContract

LIMIT_TEXT = "No space left on device: more than MAX_VOLUME_USAGE bytes written"


class TestContract(ReadContract, AppendContract, EndContract, StoringBehindContract):
    @pytest.fixture
    def open_device(self, tmp_path: Path) -> Callable[..., IDevice]:
        def open_it(limit: int = 0, leom: bool = True) -> IDevice:
            device = open_by_name(f"file:{tmp_path}")
            device.properties.set("block-size", f"{BLOCK}")
            device.properties.set("leom", leom)
            device.properties.set("max_volume_usage", limit)
            return device

        return open_it


@pytest.fixture
def vtape(tmp_path: Path) -> FileDevice:
    return FileDevice(f"file:{tmp_path}", str(tmp_path))


@pytest.fixture
def labelled(vtape: FileDevice) -> FileDevice:
    vtape.start(AccessMode.WRITE, "TAPE-01", STAMP)
    return vtape


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path))


# -- the directory ------------------------------------------------------------------------------


def test_names(labelled: FileDevice, tmp_path: Path) -> None:
    """Label and dump files have stock's names, whatever the disk is called."""
    for disk, level in (("/", 0), ("C:\\foo bar", 10), ("/h\udcffn", 1), ("d" * 250, 2)):
        write_part(labelled, some_bytes(1), evolve(PART, host="h.x", disk=disk, level=level))
    long_name = "00004.h.x." + "d" * 243 + ".2"
    assert len(long_name) == 255
    assert sorted(os.listdir(os.fsencode(tmp_path))) == [
        b"00000.TAPE-01",
        b"00001.h.x._.0",
        b"00002.h.x.C__foo bar.10",
        b"00003.h.x._h\xffn.1",
        long_name.encode(),
    ]


def test_data_directory(tmp_path: Path) -> None:
    """Files live in data/ if that exists when the device is opened."""
    (tmp_path / "data").mkdir()
    device = open_by_name(f"file:{tmp_path}")
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    assert names(tmp_path / "data") == ["00000.TAPE-01"]
    (tmp_path / "data" / "00001.client.example.com._home.0").mkdir()
    with pytest.raises(VolumeFailed, match=f"Can't create file {tmp_path}/data//00001"):
        device.start_file(PART)


def test_unusable_directory(tmp_path: Path) -> None:
    """A directory that is missing, or none, is the drive's failure, in stock's words."""
    path = tmp_path / "v"
    device = FileDevice("alias", str(path))
    for text in (
        f"Error checking directory {path}/: No such file or directory",
        f"VFS Device path {path}/ is not a directory",
    ):
        reading = device.read_label()
        if "not a" in text:
            text = f"Error checking directory {path}/: Not a directory"
        assert (reading.status, reading.error) == (Status.DEVICE_ERROR, text)
        with pytest.raises(DriveFailed):
            device.start(AccessMode.WRITE, "A", "X")
        with pytest.raises(DriveFailed):
            FileDevice("alias", str(path)).start(AccessMode.WRITE, "A", "X")
        path.touch()


@pytest.mark.parametrize(
    ("label", "file"),
    [("TAPE-01", True), ("..01", True), ("-rf", True), ("a:b\\c", True), ("$(x)", True)]
    + [(bad, False) for bad in ("", ".", "..", "/", "../x", "x/..", "x/y", "/etc/x", "a\0b")],
)
def test_a_label_is_a_name_in_its_folder_or_none(label: str, file: bool) -> None:
    """As part of a path it leads to a file of that folder."""
    assert names_a_file(label) is file
    if file:
        for name in (label, f"00000.{label}"):
            assert os.path.normpath(f"/vtapes/slot1/{name}") == f"/vtapes/slot1/{name}"


def test_labels_that_leave_the_directory(vtape: FileDevice, tmp_path: Path) -> None:
    """A label that is no file name, or would be read back cut, is refused; nothing is wiped."""
    vtape.start(AccessMode.WRITE, "TAPE-01", STAMP)
    vtape.finish()
    for label in ("../x", "A B", "A\n", "/", "x" * 250):
        with pytest.raises(VolumeFailed, match="refused"):
            vtape.start(AccessMode.WRITE, label, STAMP)
        vtape.reset()
    assert names(tmp_path) == ["00000.TAPE-01"]


def test_strange_files(labelled: FileDevice, tmp_path: Path, caplog: Any) -> None:
    """Numbers alone identify files; what is no regular file is not one of them."""
    write_part(labelled, some_bytes(10))
    (tmp_path / "2.x").write_bytes((tmp_path / "00001.client.example.com._home.0").read_bytes())
    (tmp_path / "00003.directory").mkdir()
    (tmp_path / "99999999999.huge").touch()
    (tmp_path / "foo").touch()
    assert labelled.start_file(PART) == FileStart(3, False)
    labelled.finish()
    assert "00003.directory is not a regular file, ignoring it" in caplog.text
    labelled.start(AccessMode.READ)
    assert labelled.seek_file(2) is not None
    assert labelled.file == 2


def test_label_files(vtape: FileDevice, tmp_path: Path) -> None:
    """Each kind of bad label is told apart as stock does, and the next look starts anew."""
    label = tmp_path / "00000.L"
    for content, status, text in (
        (None, Status.VOLUME_UNLABELED, "File 0 not found"),
        (b"", Status.VOLUME_ERROR, "Problem reading Amanda header: Unknown Device error"),
        (b"garbage", Status.VOLUME_ERROR, "Invalid amanda header while reading file header"),
        (bytes(32768), Status.VOLUME_ERROR, "Invalid amanda header while reading file header"),
        (
            b"AMANDA: FILE 20240102 h /x  lev 0 comp N program x\n",
            Status.VOLUME_ERROR,
            "Got a bad volume label",
        ),
    ):
        if content is not None:
            label.write_bytes(content)
        reading = vtape.read_label()
        assert (reading.status, reading.error) == (status, text)
        assert reading.header_type is (HeaderType.EMPTY if content is None else None)
    label.write_bytes(b"AMANDA: TAPESTART DATE X TAPE OTHER\n\x0c\n")
    assert vtape.read_label().label == "OTHER"


def test_volume_changed_between(vtape: FileDevice, tmp_path: Path) -> None:
    """A volume relabelled by somebody else since it was read is not appended to."""
    other = FileDevice("other", str(tmp_path))
    other.start(AccessMode.WRITE, "A", "X")
    other.finish()
    vtape.read_label()
    other.start(AccessMode.WRITE, "B", "X")
    with pytest.raises(VolumeFailed, match="is 'B', but was 'A'"):
        vtape.start(AccessMode.APPEND)


def test_erased_under_us(labelled: FileDevice, tmp_path: Path) -> None:
    """No dump goes to a volume whose label somebody took away."""
    os.unlink(tmp_path / "00000.TAPE-01")
    with pytest.raises(VolumeFailed, match="Could not create header filename"):
        labelled.start_file(PART)
    assert not labelled.is_eom


# -- wiping -------------------------------------------------------------------------------------


def test_wipe(labelled: FileDevice, tmp_path: Path) -> None:
    """Relabelling deletes what belongs to a volume, and nothing else."""
    write_part(labelled, some_bytes(10))
    labelled.finish()
    for name in ("00007-lock", "12345.junk", "foo", "00000-lock", "00000-label"):
        (tmp_path / name).touch()
    labelled.start(AccessMode.WRITE, "TAPE-02", STAMP)
    assert names(tmp_path) == ["00000-lock", "00000.TAPE-02", "foo"]


def test_wipe_that_cannot_be_done(labelled: FileDevice, tmp_path: Path) -> None:
    """If a file cannot be deleted, nothing is, and neither erase nor start claims success."""
    write_part(labelled, some_bytes(10))
    labelled.finish()
    (tmp_path / "00005.x").mkdir()
    before = names(tmp_path)
    for attempt in (labelled.erase, lambda: labelled.start(AccessMode.WRITE, "B", STAMP)):
        with pytest.raises(VolumeFailed, match=r"Error unlinking .*//00005.x: Is a directory"):
            attempt()
        assert names(tmp_path) == before


def test_in_error_means_no_wipe(vtape: FileDevice, tmp_path: Path) -> None:
    """A device in error refuses to label before it destroys anything."""
    vtape.properties.set("max_volume_usage", 40000)
    vtape.start(AccessMode.WRITE, "TAPE-01", STAMP)
    assert vtape.start_file(PART) == FileStart(0, True)
    assert (vtape.status, vtape.error) == (Status.DEVICE_ERROR, LIMIT_TEXT)
    vtape.finish()
    with pytest.raises(DriveFailed, match="more than MAX_VOLUME_USAGE"):
        vtape.start(AccessMode.WRITE, "TAPE-02", STAMP)
    assert names(tmp_path) == ["00000.TAPE-01"]


def test_no_room_for_a_second_label(labelled: FileDevice, tmp_path: Path, monkeypatch: Any) -> None:
    """Where there is no room for the new label beside the old files, they are deleted first."""
    write_part(labelled, some_bytes(10))
    labelled.finish()
    real = os.write

    def write(fd: int, data: Any) -> int:
        if len(os.listdir(tmp_path)) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    labelled.start(AccessMode.WRITE, "TAPE-02", STAMP)
    assert names(tmp_path) == ["00000.TAPE-02"]


def test_label_that_cannot_be_written(
    labelled: FileDevice, tmp_path: Path, monkeypatch: Any
) -> None:
    """A medium that takes no label keeps its old contents."""
    write_part(labelled, some_bytes(10))
    labelled.finish()
    before = names(tmp_path)

    def write(fd: int, data: Any) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(VolumeFailed, match=r"Can't open file .*//00000.TAPE-02: Input/output"):
        labelled.start(AccessMode.WRITE, "TAPE-02", STAMP)
    assert names(tmp_path) == before


# -- a volume of many files ---------------------------------------------------------------------


def small_file(device: FileDevice, number: int) -> None:
    write_part(device, some_bytes(1), evolve(PART, host="h", disk=f"/{number}"))


def tick(directory: Path) -> None:
    """The file system's clock is coarse: let the last change be later than what was before it."""
    later = directory.stat().st_mtime_ns + 10**9
    os.utime(directory, ns=(later, later))


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """How often directories and names are asked for meanwhile."""
    calls: Counter[str] = Counter()
    with ExitStack() as patches:
        for name in ("scandir", "listdir", "stat", "lstat"):
            plain = getattr(os, name)

            def spy(*args: Any, name: str = name, plain: Any = plain, **kwargs: Any) -> Any:
                calls[name] += 1
                return plain(*args, **kwargs)

            patches.enter_context(patch.object(os, name, spy))
        yield calls


def test_a_file_costs_the_same_however_many_there_are(labelled: FileDevice, tmp_path: Path) -> None:
    """The directory is not listed again for each: 8,000 dumps on one volume are no rarity."""
    small_file(labelled, 1)
    with counted() as second:
        small_file(labelled, 2)
    for number in range(3, 40):
        small_file(labelled, number)
    with counted() as last:
        small_file(labelled, 40)
    assert last == second
    assert last["scandir"] == last["listdir"] == 0
    assert len(names(tmp_path)) == 41


def test_a_seek_costs_the_same_however_many_files_there_are(
    labelled: FileDevice, tmp_path: Path
) -> None:
    """Who reads a volume from end to end lists it once."""
    for number in range(1, 11):
        small_file(labelled, number)
    reader = FileDevice(f"file:{tmp_path}", str(tmp_path))
    reader.start(AccessMode.READ)
    with counted() as calls:
        for number in range(1, 11):
            header = reader.seek_file(number)
            assert header is not None
            assert header.disk == f"/{number}"
    assert calls["scandir"] == 0
    assert calls["stat"] <= 20


def test_what_another_process_does_to_the_volume_is_seen(
    labelled: FileDevice, tmp_path: Path
) -> None:
    """A file it adds is counted, and one it takes away is gone."""
    small_file(labelled, 1)
    (tmp_path / "00007.other._.0").write_bytes((tmp_path / names(tmp_path)[1]).read_bytes())
    tick(tmp_path)
    small_file(labelled, 8)
    assert names(tmp_path)[-1] == "00008.h._8.0"
    (tmp_path / "00008.h._8.0").unlink()
    tick(tmp_path)
    small_file(labelled, 8)
    assert labelled.file == 8


def test_a_volume_that_was_taken_away_is_missed_even_by_a_coarse_clock(
    labelled: FileDevice, tmp_path: Path
) -> None:
    """Another taper wipes and labels it within one tick of the file system's clock."""
    small_file(labelled, 1)
    before = tmp_path.stat()
    with patch.object(os, "stat", lambda path, **_: before):
        for name in names(tmp_path):
            (tmp_path / name).unlink()
        (tmp_path / "00003.other._.0").write_bytes(b"x")
        with pytest.raises(VolumeFailed, match="Could not create header filename"):
            labelled.start_file(PART)


def test_a_file_that_was_empty_is_looked_at_again(labelled: FileDevice, tmp_path: Path) -> None:
    """It gets its header without a change to the directory."""
    small_file(labelled, 1)
    (tmp_path / "00002.h._2.0").touch()
    reader = FileDevice(f"file:{tmp_path}", str(tmp_path))
    reader.start(AccessMode.READ)
    end = reader.seek_file(2)
    assert end is not None
    assert end.type is HeaderType.TAPEEND
    header = (tmp_path / names(tmp_path)[1]).read_bytes()
    (tmp_path / "00002.h._2.0").write_bytes(header)
    found = reader.seek_file(2)
    assert found is not None
    assert found.type is HeaderType.SPLIT_DUMPFILE
