"""Reading tapes: records of any size, errors between them, and ways to a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from devices import mtio
from devices.errors import DeviceError, PropertyRefused, Status, VolumeFailed
from devices.interfaces import AccessMode
from devices.mtio import Op
from protocols.header import HeaderType
from tests.contract.device import read_rest, write_part
from tests.devices.tape_world import BLOCK, LABEL, PART, TapeWorld, some_bytes
from tests.fakes.tape import Fault, files_on

BAD = Status.DEVICE_ERROR | Status.VOLUME_ERROR

WAYS: list[dict[str, Any]] = [
    {},
    {"fsf": False},
    {"bsf": False},
    {"fsf": False, "bsf": False},
    {"fsf": False, "bsf": False, "bsr": False, "fsr": False, "eom": False},
]


@pytest.fixture
def world(tmp_path: Path) -> TapeWorld:
    world = TapeWorld(tmp_path)
    world.insert()
    return world


# -- positions --------------------------------------------------------------------------------


@pytest.mark.parametrize("knows", [True, False])
@pytest.mark.parametrize("properties", WAYS)
def test_every_way_to_every_file(world: TapeWorld, properties: dict[str, Any], knows: bool) -> None:
    """Whatever the drive can do, and whether its driver knows where it stands."""
    parts = world.written(BLOCK, 3 * BLOCK, BLOCK, 2 * BLOCK)
    world.drive.change(knows_place=knows)
    device = world.started(AccessMode.READ, **properties)
    for number in (2, 2, 4, 1, 3, 0, 3, 5, 1, 4):
        header = device.seek_file(number)
        assert header is not None
        assert device.file == number
        if number == 5:
            assert header.type is HeaderType.TAPEEND
        elif number:
            assert read_rest(device) == parts[number - 1]
        else:
            assert header.label == LABEL
    device.finish()


@pytest.mark.parametrize("reading", [0, 1, 2, 9])
@pytest.mark.parametrize("properties", WAYS)
def test_from_the_middle_of_a_file(
    world: TapeWorld, properties: dict[str, Any], reading: int
) -> None:
    """However much of a file was read, the next seek finds what it should."""
    parts = world.written(3 * BLOCK, 3 * BLOCK, 3 * BLOCK)
    device = world.started(AccessMode.READ, **properties)
    for number in (2, 1, 2, 3, 3, 1):
        assert device.seek_file(number) is not None
        buffer = memoryview(bytearray(BLOCK))
        for _ in range(reading):
            if device.in_file:
                device.read_blocks(buffer)
        assert device.seek_file(number) is not None
        assert read_rest(device) == parts[number - 1]
    device.finish()


@pytest.mark.parametrize("properties", WAYS)
@pytest.mark.parametrize("knows", [True, False])
def test_append(world: TapeWorld, properties: dict[str, Any], knows: bool) -> None:
    """Each way to the end of the data; what was there stays."""
    parts = world.written(BLOCK, 2 * BLOCK)
    world.drive.change(knows_place=knows)
    for _ in range(2):
        device = world.started(AccessMode.APPEND, **properties)
        assert device.file == len(parts)
        data = some_bytes(BLOCK)
        assert write_part(device, data) == len(parts) + 1
        parts.append(data)
        device.finish()
    device = world.started(AccessMode.READ)
    for number, part in enumerate(parts, 1):
        device.seek_file(number)
        assert read_rest(device) == part
    device.finish()


@pytest.mark.parametrize("properties", [{}, {"eom": False}])
def test_append_behind_two_filemarks(world: TapeWorld, properties: dict[str, Any]) -> None:
    """As other systems end a tape: those that are too many go, so that nobody who reads up to
    them takes them for the end."""
    world.written(BLOCK)
    drive = world.drive.open("", os.O_RDWR)
    mtio.operate(drive, Op.EOM)
    mtio.operate(drive, Op.WEOF, 2)
    drive.close()
    device = world.started(AccessMode.APPEND, **properties)
    data = some_bytes(BLOCK)
    assert write_part(device, data) == 2
    device.finish()
    assert [len(file) for file in files_on(world.directory / "cartridge")] == [1, 2, 2]
    device = world.started(AccessMode.READ)
    assert device.seek_file(2) is not None
    assert read_rest(device) == data
    device.finish()


@pytest.mark.parametrize("properties", [{}, {"eom": False}])
def test_append_behind_a_file_without_end(world: TapeWorld, properties: dict[str, Any]) -> None:
    """A power failure left it: it gets a filemark, and no later file becomes a part of it."""
    world.written(BLOCK)
    cartridge = world.directory / "cartridge"
    device = world.started(AccessMode.APPEND)
    assert device.start_file(PART).number == 2
    device.write_blocks(some_bytes(2 * BLOCK))
    content = cartridge.read_bytes()
    device.finish()
    cartridge.write_bytes(content)
    assert len(files_on(cartridge)[2]) == 3
    device = world.started(AccessMode.APPEND, **properties)
    data = some_bytes(BLOCK)
    assert write_part(device, data) == 3
    device.finish()
    assert [len(file) for file in files_on(cartridge)] == [1, 2, 3, 2]
    assert files_on(cartridge)[3][1] == data


def test_append_where_no_end_is_found(world: TapeWorld) -> None:
    """Without EOM and FSF a file without end is not left behind: nothing is appended."""
    world.written(BLOCK)
    cartridge = world.directory / "cartridge"
    device = world.started(AccessMode.APPEND)
    device.start_file(PART)
    content = cartridge.read_bytes()
    device.finish()
    cartridge.write_bytes(content)
    device = world.device(eom=False, fsf=False)
    with pytest.raises(VolumeFailed, match=r"the end of the data: Input/output error \(EIO, spac"):
        device.start(AccessMode.APPEND)
    device.finish()


def test_a_drive_without_eom(world: TapeWorld) -> None:
    """It fails; the property says so, and the way goes on without."""
    world.written(BLOCK)
    world.drive.change(lacks=("EOM",))
    device = world.device()
    with pytest.raises(VolumeFailed, match=r"Error seeking to the end of the data: .*EIO, spacing"):
        device.start(AccessMode.APPEND)
    device.finish()
    device = world.started(AccessMode.APPEND, eom=False)
    assert device.start_file(PART).number == 2
    device.finish()


@pytest.mark.parametrize(
    ("lacks", "wanted", "text"),
    [
        ("FSF", 2, r"Could not seek forward to file 2: .*EIO, MTFSF on .*dmesg"),
        ("BSF", 1, r"Could not seek backward to file 1: .*EIO, MTBSF on .*dmesg"),
    ],
)
def test_spacing_that_fails(world: TapeWorld, lacks: str, wanted: int, text: str) -> None:
    """An error, other than at the end of the data, is told as one."""
    world.written(BLOCK, BLOCK)
    device = world.started(AccessMode.READ)
    device.finish()
    world.drive.change(lacks=(lacks,))
    device = world.started(AccessMode.READ)
    if wanted == 1:
        device.seek_file(1)
    with pytest.raises(VolumeFailed, match=text) as caught:
        device.seek_file(wanted)
    assert caught.value.status is BAD
    assert device.error == caught.value.text
    device.finish()


def test_spacing_that_goes_astray(world: TapeWorld) -> None:
    """What the driver counted is compared."""
    world.written(BLOCK, BLOCK)
    device = world.started(AccessMode.READ)
    device._place.at = 1  # as after a bus reset that nobody told of
    with pytest.raises(DeviceError, match="Could not seek to file 2 correctly; got 1") as caught:
        device.seek_file(2)
    assert caught.value.status is Status.DEVICE_ERROR
    assert device.seek_file(2) is not None
    device.finish()


# -- records ----------------------------------------------------------------------------------


@pytest.mark.parametrize("bsr", [True, False])
@pytest.mark.parametrize("knows", [True, False])
def test_longer_records_than_expected(world: TapeWorld, bsr: bool, knows: bool) -> None:
    """They are expected from then on, and none is lost."""
    (data,) = world.written(5 * 4 * BLOCK, block_size=4 * BLOCK)
    world.drive.change(knows_place=knows)
    device = world.device(bsr=bsr)
    assert device.read_label().label == LABEL
    assert device.properties.number("read_block_size") == 4 * BLOCK
    device.start(AccessMode.READ)
    assert device.block_size == 4 * BLOCK  # by which the padding is judged
    assert device.seek_file(1) is not None
    assert read_rest(device, 4 * BLOCK) == data
    device.finish()
    assert device.block_size == BLOCK  # with which it is written


@pytest.mark.parametrize("bsr", [True, False])
@pytest.mark.parametrize("knows", [True, False])
@pytest.mark.parametrize("size", [16 * BLOCK, 17 * BLOCK, 64 * BLOCK])
def test_records_that_grow_within_a_file(
    world: TapeWorld, bsr: bool, knows: bool, size: int
) -> None:
    """As only a foreign program writes them."""
    world.written(2 * BLOCK)
    drive = world.drive.open("", os.O_RDWR)
    mtio.operate(drive, Op.FSF)
    mtio.operate(drive, Op.FSR, 2)
    data = [some_bytes(BLOCK), some_bytes(7 * BLOCK), some_bytes(5), some_bytes(16 * BLOCK)]
    for record in data:
        drive.write(record)
    drive.close()
    world.drive.change(knows_place=knows)
    device = world.started(AccessMode.READ, bsr=bsr)
    device.seek_file(1)
    assert read_rest(device, size)[BLOCK:] == b"".join(data)
    device.finish()


def test_a_longer_record_than_any(world: TapeWorld) -> None:
    """It is not read, nor passed over."""
    world.written(BLOCK)
    drive = world.drive.open("", os.O_RDWR)
    mtio.operate(drive, Op.FSF)
    mtio.operate(drive, Op.FSR, 1)
    drive.write(bytes(16 * 1024 * 1024 + 1))
    drive.write(b"more")
    drive.close()
    device = world.started(AccessMode.READ)
    device.seek_file(1)
    for _ in range(2):
        with pytest.raises(VolumeFailed, match=r"too small: a record of more than 16777216"):
            read_rest(device)
    device.finish()


def test_going_back_fails(world: TapeWorld) -> None:
    """The record is lost to the drive, so it is an error, and stays one."""
    world.written(8 * BLOCK, block_size=8 * BLOCK)
    drive = world.drive.open("", os.O_RDWR)
    mtio.operate(drive, Op.FSF)
    mtio.operate(drive, Op.FSR, 1)
    drive.write(bytes(16 * BLOCK))
    drive.close()
    world.drive.change(lacks=("BSR",))
    device = world.started(AccessMode.READ)
    device.seek_file(1)
    for _ in range(2):
        with pytest.raises(VolumeFailed, match=r"going back to it failed: .*MTBSR"):
            read_rest(device)
    device.finish()


def test_an_error_while_reading(world: TapeWorld) -> None:
    """What was read before it is given; then the error, as often as one asks: the drive may
    stand behind the bad record already."""
    (data,) = world.written(9 * BLOCK)
    world.drive.change(faults=(Fault(call="read", after=6),))
    device = world.started(AccessMode.READ)
    device.seek_file(1)
    buffer = memoryview(bytearray(16 * BLOCK))
    assert device.read_blocks(buffer) == 4 * BLOCK
    assert buffer[: 4 * BLOCK] == data[: 4 * BLOCK]
    for _ in range(2):
        with pytest.raises(VolumeFailed) as caught:
            device.read_blocks(buffer)
        assert "file 1, record 5: Input/output error (EIO, read on" in caught.value.text
        assert caught.value.status is BAD
    assert device.in_file
    assert device.seek_file(1) is not None
    assert read_rest(device) == data
    device.finish()


def test_a_damaged_header(world: TapeWorld) -> None:
    """A file that begins with something else is no end of the tape."""
    world.written(BLOCK, BLOCK)
    drive = world.drive.open("", os.O_RDWR)
    mtio.operate(drive, Op.FSF, 2)
    drive.write(some_bytes(BLOCK))
    drive.close()
    device = world.started(AccessMode.READ)
    with pytest.raises(VolumeFailed, match="Invalid amanda header while reading file header"):
        device.seek_file(2)
    assert not device.in_file
    assert device.seek_file(1) is not None
    device.finish()
    world.drive.change(faults=(Fault(call="read", after=1),))
    device = world.started(AccessMode.READ)
    with pytest.raises(
        VolumeFailed, match=r"Error reading Amanda header: .*file 1, record 0: .*EIO"
    ):
        device.seek_file(1)
    device.finish()


def test_a_small_header(world: TapeWorld) -> None:
    """Amanda writes none."""
    world.written(BLOCK)
    drive = world.drive.open("", os.O_RDWR)
    mtio.operate(drive, Op.FSF)
    drive.write(b"AMANDA: SPLIT_FILE")
    drive.close()
    device = world.started(AccessMode.READ)
    with pytest.raises(VolumeFailed, match="header is too small: 18 bytes"):
        device.seek_file(1)
    device.finish()


def test_the_label_was_changed(world: TapeWorld) -> None:
    """Nothing is appended to another volume than the one that was looked at."""
    world.written(BLOCK)
    device = world.device()
    device.read_label()
    device.finish()
    other = world.device()
    other.start(AccessMode.WRITE, "TAPE-02", "X")
    other.finish()
    with pytest.raises(VolumeFailed, match="Volume label is 'TAPE-02', but was 'TAPE-01'"):
        device.start(AccessMode.APPEND)
    device.finish()


# -- properties -------------------------------------------------------------------------------


def test_properties(world: TapeWorld) -> None:
    """Names and defaults are stock's."""
    properties = world.device().properties
    told = {prop.name: prop.value for prop in properties}
    for name in ("fsf", "bsf", "fsr", "bsr", "eom", "nonblocking_open", "appendable"):
        assert told[name] is True
    for name in ("fsf_after_filemark", "bsf_after_eom", "broken_gmt_online", "leom"):
        assert told[name] is False
    assert (told["final_filemarks"], told["read_block_size"], told["streaming"]) == (2, 0, 1)
    assert (told["min_block_size"], told["max_block_size"]) == (32768, 16777216)
    assert (told["concurrency"], told["full_deletion"], told["compression"]) == (0, False, None)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("block_size", "1k", "it must be between 32768 and 16777216"),
        ("block_size", "17m", "it must be between 32768 and 16777216"),
        ("read_block_size", "16k", "it must be between 32768 and 16777216"),
        ("read_buffer_size", "16k", "it must be between 32768 and 16777216"),
        ("final_filemarks", "3", "it must be 1 or 2"),
        ("fsf", "perhaps", "The value is no allowed"),
        ("max_volume_usage", "1g", "unknwon device-property"),
        ("fsync", "yes", "unknwon device-property"),
    ],
)
def test_refused_values(world: TapeWorld, name: str, value: str, text: str) -> None:
    """The value and what was expected."""
    device = world.device()
    before = device.properties[name].value if name in device.properties else None
    with pytest.raises(PropertyRefused) as caught:
        device.properties.set(name, value)
    assert text in caught.value.text
    assert name not in device.properties or device.properties[name].value == before


def test_phases(world: TapeWorld) -> None:
    """What must be known before the start cannot be changed after it."""
    device = world.started(read_buffer_size="64k")
    assert device.properties.number("read_block_size") == 65536
    for name in ("leom", "fsf", "final_filemarks", "read_block_size", "nonblocking_open"):
        with pytest.raises(PropertyRefused, match="Not allowed to set property"):
            device.properties.set(name, "1")
    device.properties.set("compression", "yes")
    device.finish()
