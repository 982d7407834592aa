"""What becomes of a ``rait:`` whose children fail, differ or end."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from devices.errors import DeviceError, Status, VolumeFailed
from devices.file import FileDevice
from devices.interfaces import AccessMode, FileStart, WriteEnd, Written
from protocols.header import HeaderType
from tests.contract.device import (
    BLOCK,
    PART,
    STAMP,
    read_rest,
    some_bytes,
    write_part,
)
from tests.devices.rait_world import rait, read, written

# faults


class Faulty:
    """Lets one operation of one child fail, from its nth call on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, child: str, operation: str) -> None:
        self.left = 0
        usual = getattr(FileDevice, operation)

        def faulty(device: FileDevice, *args: Any) -> Any:
            if device.name.endswith(child):
                self.left -= 1
                if self.left < 0:
                    device.status, device.error = Status.VOLUME_ERROR, "broken"
                    if operation == "write_blocks":
                        return Written(0, WriteEnd.FAILED)
                    raise VolumeFailed("broken", Status.VOLUME_ERROR)
            return usual(device, *args)

        monkeypatch.setattr(FileDevice, operation, faulty)


@pytest.mark.parametrize("child", ["r0", "r1", "r2"])
def test_a_child_that_fails_in_mid_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, child: str
) -> None:
    """The part fails with its name, the volume counts as full, and finishing works."""
    device = rait(tmp_path, 3)
    device.start(AccessMode.WRITE, "RAIT-01", STAMP)
    good = some_bytes(4 * BLOCK)
    write_part(device, good)
    device.start_file(evolve(PART, partnum=2))
    assert device.write_blocks(good).end is WriteEnd.NONE
    Faulty(monkeypatch, child, "write_blocks")
    assert device.write_blocks(good) == Written(0, WriteEnd.FAILED)
    text = f"One or more devices failed to write_block: file:{tmp_path}/{child}: broken"
    assert (device.error, device.status, device.is_eom) == (text, Status.DEVICE_ERROR, True)
    device.finish_file()
    device.finish()
    monkeypatch.undo()
    assert read(rait(tmp_path, 3)) == good


@pytest.mark.parametrize("operation", ["start_file", "finish_file", "start", "erase"])
def test_a_child_that_fails_when_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """The operation fails with its name; the device can be finished and used again."""
    device = rait(tmp_path, 3)
    device.start(AccessMode.WRITE, "RAIT-01", STAMP)
    if operation == "finish_file":
        device.start_file(PART)
    elif operation != "start_file":
        device.finish()
    Faulty(monkeypatch, "r1", operation)
    asked = {
        "start_file": lambda: device.start_file(PART),
        "finish_file": device.finish_file,
        "start": lambda: device.start(AccessMode.WRITE, "RAIT-02", STAMP),
        "erase": device.erase,
    }[operation]
    with pytest.raises(DeviceError) as caught:
        asked()
    words = (
        "" if operation in ("start", "erase") else f"One or more devices failed to {operation}: "
    )
    assert caught.value.text == f"{words}file:{tmp_path}/r1: broken"
    assert device.error == caught.value.text
    assert not device.in_file
    device.finish()
    monkeypatch.undo()
    device.start(AccessMode.WRITE, "RAIT-03", STAMP)
    assert write_part(device, some_bytes(BLOCK)) == 1


@pytest.mark.parametrize("operation", ["seek_file", "read_blocks", "read_label", "start"])
@pytest.mark.parametrize("child", ["r0", "r2"])
def test_a_child_that_fails_when_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str, child: str
) -> None:
    """One is done without, in the middle of a part too; a second one is an error."""
    data = some_bytes(20 * BLOCK)
    written(tmp_path, 3, [data])
    device = rait(tmp_path, 3)
    fault = Faulty(monkeypatch, child, operation)
    fault.left = 1 if operation == "read_blocks" else 0
    device.start(AccessMode.READ)
    device.seek_file(1)
    assert read_rest(device, 4 * BLOCK) == data
    Faulty(monkeypatch, "r1", "read_blocks")
    with pytest.raises(DeviceError, match=r"r1: broken$"):
        read(device)
    device.finish()


def test_parity_that_is_wrong(tmp_path: Path) -> None:
    """A block that nobody can trust is not given out; without the parity child it is."""
    data = some_bytes(4 * BLOCK)
    written(tmp_path, 3, [data])
    part = next((tmp_path / "r2").glob("00001.*"))
    content = bytearray(part.read_bytes())
    content[-1] ^= 1
    part.write_bytes(content)
    with pytest.raises(VolumeFailed) as caught:
        read(rait(tmp_path, 3))
    text = "RAIT is inconsistent: Parity block did not match data blocks."
    assert caught.value.text == text
    assert read(rait(tmp_path, 3, without=2)) == data


def test_a_child_that_ends_early(tmp_path: Path) -> None:
    """Of three the one that is shorter is done without; of two nobody knows who is right. Where
    only one goes on, the part has an end that it should not have."""
    data = some_bytes(8 * BLOCK)
    written(tmp_path, 3, [data])
    for child in ("r0", "r1"):
        os.truncate(next((tmp_path / child).glob("00001.*")), 32768 + 2 * BLOCK)
    with pytest.raises(VolumeFailed, match="but not all are at eof"):
        read(rait(tmp_path, 3))
    for width in (3, 2):
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        written(tmp_path, width, [data])
        part = next((tmp_path / "r0").glob("00001.*"))
        os.truncate(part, 32768 + 2 * BLOCK)
        if width == 3:
            assert read(rait(tmp_path, width)) == data
        else:
            with pytest.raises(VolumeFailed, match="but not all are at eof"):
                read(rait(tmp_path, width))


def test_a_file_that_one_child_has_not(tmp_path: Path) -> None:
    """Of three it is done without; the end of the volume is where all end."""
    data = some_bytes(4 * BLOCK)
    written(tmp_path, 3, [data, data])
    next((tmp_path / "r0").glob("00002.*")).unlink()
    device = rait(tmp_path, 3)
    assert read(device, 2) == data
    end = device.seek_file(3)
    assert end is not None
    assert end.type is HeaderType.TAPEEND
    next((tmp_path / "r1").glob("00001.*")).unlink()
    degraded = rait(tmp_path, 3, without=2)
    degraded.start(AccessMode.READ)
    with pytest.raises(DeviceError, match="failed to seek_file"):
        degraded.seek_file(1)


def test_numbers_that_differ(tmp_path: Path) -> None:
    """Children that count differently are no volume."""
    written(tmp_path, 3, [some_bytes(BLOCK)])
    next((tmp_path / "r1").glob("00001.*")).unlink()
    device = rait(tmp_path, 3)
    device.start(AccessMode.APPEND)
    with pytest.raises(VolumeFailed, match="File number mismatch") as caught:
        device.start_file(PART)
    assert caught.value.text.startswith("File number mismatch in rait_device_start_file(): Child ")
    device.finish()


def test_one_child_is_full_before_the_others(tmp_path: Path) -> None:
    """Its early warning ends the part for all, at the same block; then it has no room."""
    device = rait(tmp_path, 3)
    small = device._children[1]
    assert small is not None
    small.properties.set("max_volume_usage", 2 * 32768 + 20 * BLOCK)
    device.start(AccessMode.WRITE, "RAIT-01", STAMP)
    device.start_file(PART)
    data = some_bytes(100 * BLOCK)
    assert device.write_blocks(data) == Written(2 * 17 * BLOCK, WriteEnd.EARLY)
    device.finish_file()
    assert device.start_file(evolve(PART, partnum=2)) == FileStart(0, True)
    device.finish()
    assert read(rait(tmp_path, 3)) == data[: 2 * 17 * BLOCK]
