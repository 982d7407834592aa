"""rait: a child that fails while the volume is written, where it may be done without."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve

from devices.datafile import DataFile
from devices.errors import DeviceError, VolumeFailed
from devices.interfaces import AccessMode, IDevice, WriteEnd, Written
from devices.rait import RaitDevice
from protocols.header import HeaderType
from tests.contract.device import BLOCK, PART, STAMP, some_bytes
from tests.devices.rait_world import name_of, rait, read
from tests.devices.test_rait_stock import needs_stock, stock

DATA = some_bytes(40 * BLOCK)
HALF = 20 * BLOCK


def started(root: Path, width: int, *, allowed: bool = True, limit: int = 0) -> RaitDevice:
    device = rait(root, width)
    if allowed:
        device.properties.set("DEGRADED-WRITE", "yes")
    device.properties.set("max_volume_usage", limit)
    device.start(AccessMode.WRITE, "RAIT-01", STAMP)
    return device


def child(device: RaitDevice, number: int) -> IDevice:
    found = device._children[number]
    assert found is not None
    return found


def break_writes(monkeypatch: pytest.MonkeyPatch, device: RaitDevice, number: int) -> None:
    """From now on every block that this child is to write meets a bad disk."""
    data = child(device, number)._data  # type: ignore[attr-defined]
    append = DataFile.append

    def broken(self: DataFile, block: memoryview) -> None:
        if self is data:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        append(self, block)

    monkeypatch.setattr(DataFile, "append", broken)


def fail(text: str) -> Callable[..., object]:
    def failing(*_: object) -> object:
        raise DeviceError(text)

    return failing


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_child_fails_in_mid_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The part is whole on the others, as are those that follow; it is told what is lost."""
    device = started(tmp_path, 3)
    device.start_file(PART)
    assert device.write_blocks(DATA[:HALF]) == Written(HALF, WriteEnd.NONE)
    assert device.remark is None
    break_writes(monkeypatch, device, number)
    assert device.write_blocks(DATA[HALF:]) == Written(len(DATA) - HALF, WriteEnd.NONE)
    device.finish_file()
    assert device.start_file(evolve(PART, partnum=2)).number == 2
    assert device.write_blocks(DATA[:HALF]) == Written(HALF, WriteEnd.NONE)
    device.finish_file()
    device.finish()
    name = child(device, number).name
    assert device.remark is not None
    told = "volume RAIT-01 is degraded from file 1 on: it was written without "
    assert device.remark.startswith(f"{told}{name}: Error writing device fd ")
    for without in (None, number):
        again = rait(tmp_path, 3, without=without)
        assert read(again) == DATA
        assert read(again, 2) == DATA[:HALF]
        again.finish()
    others = [n for n in range(3) if n != number]
    with pytest.raises(DeviceError):
        read(rait(tmp_path, 3, without=others[0]))


@needs_stock
@pytest.mark.parametrize("number", [0, 2])
def test_stock_reads_it_without_that_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """With the word MISSING in its place."""
    device = started(tmp_path, 3)
    device.start_file(PART)
    device.write_blocks(DATA[:HALF])
    break_writes(monkeypatch, device, number)
    device.write_blocks(DATA[HALF:])
    device.finish_file()
    device.finish()
    out = tmp_path / "out"
    stock("read", name_of(tmp_path, 3, without=number), 2 * BLOCK, out)
    assert out.read_bytes() == DATA


@pytest.mark.parametrize(("width", "allowed"), [(3, False), (2, True), (2, False)])
def test_it_must_be_wanted_and_there_must_be_three(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int, allowed: bool
) -> None:
    """Else the part has failed, as with stock."""
    device = started(tmp_path, width, allowed=allowed)
    device.start_file(PART)
    device.write_blocks(DATA[:HALF])
    break_writes(monkeypatch, device, 0)
    assert device.write_blocks(DATA[HALF:]).end is WriteEnd.FAILED
    assert device.is_eom
    assert device.remark is None


@pytest.mark.parametrize("operation", ["start_file", "finish_file"])
def test_a_child_fails_where_a_file_begins_or_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    device = started(tmp_path, 3)
    for number in (1, 2):
        if number == 2:
            monkeypatch.setattr(child(device, 1), operation, fail("it is gone"))
        assert device.start_file(evolve(PART, partnum=number)).number == number
        assert device.write_blocks(DATA) == Written(len(DATA), WriteEnd.NONE)
        device.finish_file()
    monkeypatch.setattr(child(device, 1), "finish", fail("still gone"))
    device.finish()
    assert device.remark is not None
    told = f"degraded from file 2 on: it was written without {child(device, 1).name}: it is gone"
    assert device.remark.endswith(told)
    for number in (1, 2):
        assert read(rait(tmp_path, 3), number) == DATA


def test_a_second_child_is_one_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = started(tmp_path, 4)
    device.start_file(PART)
    monkeypatch.setattr(child(device, 1), "write_blocks", fail("it is gone"))
    assert device.write_blocks(DATA[: 3 * BLOCK]).end is WriteEnd.NONE
    monkeypatch.setattr(child(device, 3), "write_blocks", fail("so is it"))
    assert device.write_blocks(DATA[: 3 * BLOCK]) == Written(0, WriteEnd.FAILED)
    assert device.is_eom
    assert str(device.error).endswith("so is it")


def test_two_at_once_are_one_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = started(tmp_path, 4)
    device.start_file(PART)
    for number in (0, 3):
        monkeypatch.setattr(child(device, number), "write_blocks", fail("it is gone"))
    assert device.write_blocks(DATA[: 3 * BLOCK]) == Written(0, WriteEnd.FAILED)
    assert device.remark is None


def test_a_child_that_is_full_is_not_broken(tmp_path: Path) -> None:
    """The volume is full for all, with or without an early warning."""
    device = rait(tmp_path, 3)
    device.properties.set("degraded-write", "yes")
    small = child(device, 1)
    small.properties.set("leom", "no")
    small.properties.set("max_volume_usage", 2 * 32768 + 5 * BLOCK)
    device.start(AccessMode.WRITE, "RAIT-01", STAMP)
    device.start_file(PART)
    assert device.write_blocks(DATA).end is WriteEnd.FAILED
    assert device.remark is None


def test_nothing_is_appended_to_a_volume_that_one_child_has_not_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers of its files are others; whoever writes it anew has all children again."""
    device = started(tmp_path, 3)
    monkeypatch.setattr(child(device, 1), "start_file", fail("it is gone"))
    device.start_file(PART)
    device.write_blocks(DATA)
    device.finish_file()
    device.finish()
    again = rait(tmp_path, 3)
    again.properties.set("degraded-write", "yes")
    again.start(AccessMode.APPEND)
    with pytest.raises(VolumeFailed, match="File number mismatch"):
        again.start_file(PART)
    again.finish()
    anew = started(tmp_path, 3)
    anew.start_file(PART)
    anew.write_blocks(DATA)
    anew.finish_file()
    anew.finish()
    assert anew.remark is None
    assert read(rait(tmp_path, 3, without=0)) == DATA
    end = rait(tmp_path, 3)
    end.start(AccessMode.READ)
    header = end.seek_file(2)
    assert header is not None
    assert header.type is HeaderType.TAPEEND
