"""The end of a tape: warned of early, met without warning, or what looks like it [volumes 5.4]."""

from __future__ import annotations

from pathlib import Path

import pytest

from devices.errors import DeviceError, Status, VolumeFailed
from devices.interfaces import AccessMode, FileStart, WriteEnd, Written
from protocols.header import HeaderType
from tests.contract.device import read_rest
from tests.devices.tape_world import BLOCK, LABEL, PART, STAMP, TapeWorld, some_bytes, write_all
from tests.fakes.tape import Fault, files_on

VOLUME = Status.VOLUME_ERROR
BAD = Status.DEVICE_ERROR | VOLUME
NO_SPACE = "No space left on device"


@pytest.fixture
def world(tmp_path: Path) -> TapeWorld:
    return TapeWorld(tmp_path)


def test_the_driver_refuses_once(world: TapeWorld) -> None:
    """With LEOM the block is offered again, and is stored; the filemark is."""
    cartridge = world.insert(capacity=20 * BLOCK, early=10 * BLOCK - 1)
    device = world.started(leom=True)
    device.start_file(PART)
    world.drive.calls()
    data = some_bytes(15 * BLOCK)
    # label, header, 8 blocks; the next is refused once
    assert device.write_blocks(data) == Written(9 * BLOCK, WriteEnd.EARLY)
    assert world.drive.calls() == [("write", BLOCK)] * 10
    assert (device.is_eom, device.status) == (True, Status.SUCCESS)
    device.finish_file()
    device.finish()
    assert b"".join(files_on(cartridge)[1][1:]) == data[: 9 * BLOCK]


def test_without_leom_the_first_refusal_is_the_end(world: TapeWorld) -> None:
    """Though there was room. The filemark is written even so."""
    cartridge = world.insert(capacity=20 * BLOCK, early=10 * BLOCK - 1)
    device = world.started()
    device.start_file(PART)
    assert device.write_blocks(some_bytes(15 * BLOCK)) == Written(8 * BLOCK, WriteEnd.FAILED)
    assert (device.is_eom, device.status, device.error) == (True, VOLUME, NO_SPACE)
    device.finish_file()
    device.finish()
    assert [len(file) for file in files_on(cartridge)] == [1, 9]


def test_a_part_that_ends_in_the_zone(world: TapeWorld) -> None:
    """Its header is written there, and says so; at the real end there is no room for one."""
    world.insert(capacity=13 * BLOCK, early=10 * BLOCK - 1)
    device = world.started(leom=True)
    device.start_file(PART)
    assert device.write_blocks(some_bytes(10 * BLOCK)).end is WriteEnd.EARLY
    device.finish_file()
    assert device.start_file(PART) == FileStart(2, True)
    assert device.write_blocks(memoryview(b"x")) == Written(1, WriteEnd.EARLY)
    device.finish_file()
    assert device.start_file(PART) == FileStart(0, True)
    assert device.error == "Error writing file header: out of space"
    assert device.status is Status.DEVICE_ERROR
    device.finish()
    assert world.drive.calls()[-2:] == [("REW", 1), ("close", 0)]
    device = world.started(AccessMode.READ)
    assert device.seek_file(2) is not None
    assert read_rest(device) == b"x".ljust(BLOCK, b"\0")
    end = device.seek_file(3)
    assert end is not None
    assert end.type is HeaderType.TAPEEND
    device.finish()


@pytest.mark.parametrize("leom", [True, False])
def test_an_error_of_the_medium(world: TapeWorld, leom: bool) -> None:
    """EIO is taken for the end of the tape, as stock does, but the text says what it was. The
    part is bad, and nothing is written twice."""
    cartridge = world.insert()
    world.drive.change(faults=(Fault(call="write", after=7),))
    device = world.started(leom=leom)
    device.start_file(PART)
    data = some_bytes(9 * BLOCK)
    assert device.write_blocks(data) == Written(5 * BLOCK, WriteEnd.FAILED)
    assert (device.is_eom, device.status) == (True, VOLUME)
    assert device.error is not None
    assert device.error.startswith(f"{NO_SPACE}, as it seems: Input/output error (EIO, write on")
    assert "dmesg" in device.error
    device.finish_file()
    device.finish()
    assert b"".join(files_on(cartridge)[1][1:]) == data[: 5 * BLOCK]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("SHORT", "Error writing block: short write: 16384 bytes of a record of 32768"),
        ("EPERM", "Error writing block: Operation not permitted (EPERM, write"),
        ("ENXIO", "Error writing block: No such device or address (ENXIO, write"),
    ],
)
def test_other_errors(world: TapeWorld, code: str, text: str) -> None:
    """They are no end of the volume; the drive is not touched any more but to be closed."""
    world.insert()
    world.drive.change(faults=(Fault(call="write", code=code, after=4),))
    device = world.started(leom=True)
    device.start_file(PART)
    assert device.write_blocks(some_bytes(9 * BLOCK)) == Written(2 * BLOCK, WriteEnd.FAILED)
    assert (device.is_eom, device.status) == (False, Status.DEVICE_ERROR)
    assert (device.error or "").startswith(text)
    device.finish_file()
    world.drive.calls()
    device.finish()
    assert world.drive.calls() == [("close", 0)]
    assert world.device().read_label().label == LABEL


def test_a_filemark_that_fails(world: TapeWorld) -> None:
    """The part is not reported as good: it may be in the drive's buffer still."""
    world.insert()
    world.drive.change(faults=(Fault(call="WEOF", after=1),))
    device = world.started(leom=True)
    device.start_file(PART)
    write_all(device, some_bytes(BLOCK))
    with pytest.raises(VolumeFailed) as caught:
        device.finish_file()
    assert caught.value.status is BAD
    assert caught.value.text.startswith("Error writing filemark: Input/output error (EIO, MTWEOF")
    assert (device.is_eom, device.in_file) == (True, False)
    device.finish()


@pytest.mark.parametrize(
    ("call", "after", "text"),
    [
        ("write", 0, "Error writing tapestart header: out of space, as it seems: Input/output"),
        ("WEOF", 0, "Error writing filemark: Input/output error (EIO, MTWEOF on"),
    ],
)
def test_a_label_that_cannot_be_written(world: TapeWorld, call: str, after: int, text: str) -> None:
    """The volume has no label that anybody should believe."""
    world.insert()
    world.drive.change(faults=(Fault(call=call, after=after),))
    device = world.device()
    with pytest.raises(DeviceError) as caught:
        device.start(AccessMode.WRITE, LABEL, STAMP)
    assert caught.value.text.startswith(text)
    assert caught.value.status is BAD
    assert (device.label, device.access_mode) == (None, AccessMode.NULL)
    device.finish()
    device.reset()
    device.start(AccessMode.WRITE, LABEL, STAMP)
    device.finish()


def test_no_room_for_a_label(world: TapeWorld) -> None:
    """A cartridge that holds nothing."""
    world.insert(capacity=10)
    device = world.device()
    with pytest.raises(VolumeFailed, match=r"Error writing tapestart header: out of space$"):
        device.start(AccessMode.WRITE, LABEL, STAMP)
    device.finish()


@pytest.mark.parametrize(("code", "number"), [("EIO", 0), ("ENOSPC", 0)])
def test_a_header_that_does_not_fit(world: TapeWorld, code: str, number: int) -> None:
    """It is the end of the volume; nothing of the file counts."""
    world.insert()
    world.drive.change(faults=(Fault(call="write", code=code, after=1, times=2),))
    device = world.started(leom=True)
    assert device.start_file(PART) == FileStart(number, True)
    assert (device.error or "").startswith("Error writing file header: out of space")
    device.finish()


def test_the_rewind_at_the_end_fails(world: TapeWorld) -> None:
    """It is told, though all that was written is; the drive is closed all the same."""
    world.insert()
    device = world.started()
    world.drive.change(faults=())
    tape = device._tape
    assert tape is not None
    tape.rewind = failing_rewind  # type: ignore[method-assign]
    with pytest.raises(VolumeFailed, match=r"Error rewinding device .*ENXIO, MTREW"):
        device.finish()
    assert device.access_mode is AccessMode.NULL
    device.finish()
    assert world.device().read_label().label == LABEL


def failing_rewind(sleep: object) -> None:
    """As of a drive whose cable was pulled."""
    raise OSError(6, "No such device or address")


def test_finishing_inside_a_file(world: TapeWorld) -> None:
    """The file is ended, so that what is appended later does not become a part of it."""
    cartridge = world.insert()
    device = world.started()
    device.start_file(PART)
    write_all(device, some_bytes(2 * BLOCK))
    device.finish()
    assert [len(file) for file in files_on(cartridge)] == [1, 3]
    device.start(AccessMode.APPEND)
    assert device.start_file(PART).number == 2
    device.finish_file()
    device.finish()
    assert [len(file) for file in files_on(cartridge)] == [1, 3, 1]


def test_stamps(world: TapeWorld) -> None:
    """What starts a volume anew clears the trouble it had."""
    world.insert(capacity=4 * BLOCK)
    device = world.started(leom=True)
    device.start_file(PART)
    assert device.write_blocks(some_bytes(9 * BLOCK)).end is WriteEnd.FAILED
    device.finish_file()
    device.finish()
    assert device.status is VOLUME
    device.start(AccessMode.WRITE, LABEL, STAMP)
    assert (device.status, device.is_eom, device.file) == (Status.SUCCESS, False, 0)
    device.finish()
