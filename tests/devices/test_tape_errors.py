"""What ``tape:`` says of drives and cartridges that cannot be used, and what its status is then."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from attrs import evolve

from devices import mtio
from devices.errors import DeviceBusy, DeviceError, Status, VolumeFailed
from devices.interfaces import AccessMode
from devices.mtio import Gmt, Op
from protocols.header import HeaderType
from tests.devices.tape_world import BLOCK, LABEL, PART, STAMP, TapeWorld, some_bytes
from tests.fakes.tape import DriveFacts, Fault, unload, write_facts
from tests.fakes.tape.cartridge import CartridgeFacts

ERROR, BUSY, MISSING = Status.DEVICE_ERROR, Status.DEVICE_BUSY, Status.VOLUME_MISSING
UNLABELED, VOLUME = Status.VOLUME_UNLABELED, Status.VOLUME_ERROR


@pytest.fixture
def world(tmp_path: Path) -> TapeWorld:
    return TapeWorld(tmp_path)


def check(world: TapeWorld, status: Status, *words: str, **properties: object) -> None:
    """Reading the label tells this status, and these words; then nothing keeps the drive."""
    device = world.device(**properties)
    reading = device.read_label()
    assert (reading.status, device.status) == (status, status), reading
    assert reading.error is not None
    for word in words:
        assert word in reading.error, reading.error
    assert device.error == reading.error
    device.finish()
    assert not world.drive.is_open


def test_an_empty_drive(world: TapeWorld) -> None:
    """Volume missing, so that a changer waits for it."""
    check(world, MISSING, f"Tape device {world.node} is not ready or is empty", "ENOMEDIUM")
    check(world, MISSING, "ENOMEDIUM, open", "put a cartridge", nonblocking_open=False)


def test_an_ejected_cartridge(world: TapeWorld) -> None:
    """It hangs out of the drive: no medium; pushed in again it is there."""
    cartridge = world.insert()
    world.device().eject()
    check(world, MISSING, "is not ready or is empty")
    world.swap(cartridge)
    check(world, UNLABELED | VOLUME, "Error reading Amanda header: no data")


def test_a_slow_load(world: TapeWorld) -> None:
    """Busy while it loads, and no more when it has."""
    world.insert(load_polls=2)
    for _ in range(2):
        check(world, ERROR | BUSY, "is not ready: Input/output error (EIO, MTNOP", "still loading")
    check(world, UNLABELED | VOLUME, "no data")


def test_a_cleaning_cartridge(world: TapeWorld) -> None:
    """It is named among what may be the reason; nobody asks it for ever."""
    world.insert(cleaning=True)
    check(world, ERROR | BUSY, "cleaning cartridge", "mt -f")


def test_a_drive_that_does_not_know_its_medium(world: TapeWorld) -> None:
    """Without BROKEN_GMT_ONLINE it counts as empty; with it the drive's word is not taken."""
    world.drive.change(online=False)
    world.insert()
    check(world, MISSING, f"Tape device {world.node} is empty")
    check(world, UNLABELED | VOLUME, "no data", broken_gmt_online=True)


def test_a_drive_that_tells_nothing(world: TapeWorld) -> None:
    """As stock: a volume error."""
    world.insert()
    world.drive.change(faults=(Fault(call="GET"),))
    check(world, VOLUME, "is not ready or is empty", "EIO, MTIOCGET")


def test_a_drive_in_use(world: TapeWorld) -> None:
    """Tried a few times, then it is busy: which is no error of the volume."""
    world.insert()
    other = world.device()
    other.read_label()
    world.drive.calls()
    device = world.device()
    reading = device.read_label()
    assert reading.status is BUSY
    assert reading.error is not None
    assert "Can't open tape device" in reading.error
    assert f"fuser -v {world.node}" in reading.error
    assert len(world.drive.calls()) == 11
    with pytest.raises(DeviceBusy):
        device.start(AccessMode.WRITE, LABEL, STAMP)
    other.finish()
    assert device.read_label().status is UNLABELED | VOLUME
    device.finish()


@pytest.mark.parametrize(
    ("code", "advice"),
    [("ENXIO", "power and cables"), ("ENOENT", "lsscsi"), ("EIO", "dmesg"), ("EINTR", "")],
)
def test_a_drive_that_cannot_be_opened(world: TapeWorld, code: str, advice: str) -> None:
    """The error, what failed, and what to look at."""
    world.insert()
    world.drive.change(faults=(Fault(call="open", code=code, times=-1),))
    text = os.strerror(getattr(errno, code))
    check(world, ERROR, f"Can't open tape device {world.node}: {text} ({code}, open on", advice)


def test_no_device_file_of_that_name(world: TapeWorld) -> None:
    """As with a wrong name in tapedev."""
    world.drive.directory.rename(world.directory / "gone")
    device = world.device()
    assert device.read_label().status is ERROR
    assert "ENOENT" in (device.error or "")


def test_old_systems_cannot_open_without_blocking(world: TapeWorld) -> None:
    """Then it is opened in the usual way."""
    world.insert()
    world.drive.change(faults=(Fault(call="open", code="EINVAL"),))
    check(world, UNLABELED | VOLUME, "no data")


def test_fixed_blocks_of_another_size(world: TapeWorld) -> None:
    """Said with both sizes and what to do; with the same size all is well."""
    world.insert()
    world.drive.change(block_size=65536)
    text = f"Device {world.node} use fixed block size of 65536 and tapetype use {BLOCK}"
    check(world, ERROR | VOLUME, text, "setblk 0")
    (data,) = world.written(3 * 65536, block_size=65536)
    device = world.started(AccessMode.READ, block_size=65536)
    device.seek_file(1)
    buffer = memoryview(bytearray(4 * 65536))
    assert device.read_blocks(buffer) == len(data)
    device.finish()


def test_write_protection(world: TapeWorld) -> None:
    """It is read; for writing it is refused before anything, with the tab named."""
    cartridge = world.insert()
    world.written(BLOCK)
    write_facts(cartridge, CartridgeFacts(write_protected=True))
    before = cartridge.read_bytes()
    device = world.device()
    assert device.read_label().label == LABEL
    for mode in (AccessMode.WRITE, AccessMode.APPEND):
        with pytest.raises(VolumeFailed) as caught:
            device.start(mode, LABEL, STAMP)
        assert caught.value.status is ERROR | VOLUME
        text = f"Can't open tape device {world.node} for writing: Read-only file system (EROFS"
        assert caught.value.text.startswith(text)
        assert caught.value.text.endswith("look at the cartridge's write-protect tab")
        assert device.access_mode is AccessMode.NULL
        device.finish()
    device.start(AccessMode.READ)
    assert device.seek_file(1) is not None
    device.finish()
    assert cartridge.read_bytes() == before


def test_write_protection_that_the_open_did_not_notice(
    world: TapeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drive's own word counts, too."""
    cartridge = world.insert()
    device = world.device()
    assert device.read_label().status is UNLABELED | VOLUME
    tape = device._tape
    assert tape is not None
    told = evolve(tape.state(), flags=Gmt.ONLINE | Gmt.WR_PROT)
    monkeypatch.setattr(tape, "try_state", lambda: told)
    before = cartridge.read_bytes()
    with pytest.raises(VolumeFailed, match=r"is write protected: .* tab") as caught:
        device.start(AccessMode.WRITE, LABEL, STAMP)
    assert caught.value.status is VOLUME
    device.finish()
    assert cartridge.read_bytes() == before


def test_a_device_file_that_may_only_be_read(world: TapeWorld) -> None:
    """So with permissions: the reason is the one that opening it gave."""
    world.insert()
    world.drive.change(faults=(Fault(call="open", code="EACCES"),))
    device = world.device()
    assert device.read_label().status is UNLABELED | VOLUME
    with pytest.raises(VolumeFailed) as caught:
        device.start(AccessMode.WRITE, LABEL, STAMP)
    assert caught.value.status is ERROR | VOLUME
    text = f"Can't open tape device {world.node} for writing: Permission denied (EACCES, open"
    assert caught.value.text.startswith(text)
    assert "ls -l" in caught.value.text
    device.finish()


def test_a_cartridge_that_was_never_written(world: TapeWorld) -> None:
    """Drives give an error for it, not an end of file. As they tell, too, that no filemark is on
    it, it is as blank as others."""
    world.insert(fresh=True)
    device = world.device()
    reading = device.read_label()
    assert (reading.status, reading.header_type) == (UNLABELED | VOLUME, HeaderType.EMPTY)
    assert reading.error == "Error reading Amanda header: no data"
    device.start(AccessMode.WRITE, LABEL, STAMP)
    device.finish()
    assert world.device().read_label().label == LABEL


@pytest.mark.parametrize("lacks", [(), ("FSF",)])
def test_a_label_that_cannot_be_read(world: TapeWorld, lacks: tuple[str, ...]) -> None:
    """It is no blank cartridge, which might be labelled for whatever is on it."""
    world.insert()
    world.written(BLOCK)
    world.drive.change(faults=(Fault(call="read", times=-1),), lacks=lacks)
    device = world.device()
    reading = device.read_label()
    assert (reading.status, reading.header_type) == (ERROR | VOLUME, None)
    assert reading.error is not None
    text = f"Error reading Amanda header: Error reading {BLOCK} bytes from {world.node}: file 0, "
    assert reading.error.startswith(f"{text}record 0: Input/output error (EIO, read on")
    assert "dmesg" in reading.error
    device.finish()


def test_what_is_not_amandas(world: TapeWorld) -> None:
    """A large record: not labelled. A small one cannot be told from a damaged label."""
    world.insert()
    readings = []
    for size in (BLOCK, 10240):
        drive = world.drive.open("", os.O_RDWR)
        mtio.operate(drive, Op.REW)
        drive.write(some_bytes(size))
        drive.close()
        device = world.device()
        readings.append(device.read_label())
        device.finish()
    large, small = readings
    assert (large.status, large.header_type) == (UNLABELED, HeaderType.WEIRD)
    assert large.error == "No tapestart header -- unlabeled device?"
    assert (small.status, small.header_type) == (ERROR | VOLUME, None)
    assert small.error == "header is too small: 10240 bytes, expected 32768 or more"


def test_a_rewind_that_succeeds_at_last(world: TapeWorld) -> None:
    """Tried five times, three seconds apart."""
    world.insert()
    world.drive.change(faults=(Fault(call="REW", times=4),))
    check(world, UNLABELED | VOLUME, "no data")
    assert world.slept == [3.0] * 4
    world.drive.change(faults=(Fault(call="REW", times=-1),))
    check(world, ERROR | VOLUME, "Error rewinding device", "EIO, MTREW", "dmesg")
    assert world.slept == [3.0] * 8


def test_a_cartridge_taken_away_meanwhile(world: TapeWorld) -> None:
    """Reading the label again looks at what is there now."""
    world.insert()
    world.written(BLOCK)
    device = world.device()
    assert device.read_label().label == LABEL
    device.finish()
    unload(world.node)
    assert device.read_label().status is MISSING
    assert device.label is None


def test_compression_is_refused(world: TapeWorld) -> None:
    """The drive is not used as it was not to be used; the text names the property."""
    world.insert()
    world.drive.change(faults=(Fault(call="COMPRESSION", code="EINVAL", times=-1),))
    text = "Error setting COMPRESSION property: Invalid argument (EINVAL, MTCOMPRESSION"
    check(world, ERROR, text, compression=True)


def test_ejecting_fails(world: TapeWorld) -> None:
    """It is told, and the drive is closed."""
    world.insert()
    world.drive.change(faults=(Fault(call="OFFL"),))
    device = world.device()
    with pytest.raises(DeviceError, match=r"Error ejecting .*EIO, MTOFFL"):
        device.eject()
    world.device().eject()


def test_a_tape_that_was_moved(world: TapeWorld) -> None:
    """Another program moved it through another door: nothing is written where it stands."""
    cartridge = world.insert()
    device = world.started()
    assert device.start_file(PART).number == 1
    device.write_blocks(some_bytes(2 * BLOCK))
    device.finish_file()
    tape = device._tape
    assert tape is not None
    mtio.operate(tape.drive, Op.REW)
    before = cartridge.read_bytes()
    with pytest.raises(VolumeFailed) as caught:
        device.start_file(PART)
    assert "stands at file 0, block 0, but file 2 is to be written" in caught.value.text
    assert cartridge.read_bytes() == before
    device.finish()
    assert world.device().read_label().label == LABEL


def test_facts_of_a_drive_are_kept(world: TapeWorld) -> None:
    """What a test wants is what the drive does."""
    world.drive.change(lacks=("EOM",))
    assert world.drive.facts == DriveFacts(lacks=("EOM",))
