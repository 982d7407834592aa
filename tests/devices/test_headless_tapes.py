"""The data of a file on a tape of which the first record is damaged, or cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve
from zope.interface.verify import verifyObject

from devices.errors import DeviceError
from devices.interfaces import AccessMode, IFindsData
from devices.tape import TapeDevice
from tests.contract.device import read_rest
from tests.devices.tape_world import BLOCK, TapeWorld
from tests.fakes.medium import Medium
from tests.fakes.tape import read_facts, write_facts

BADLY = {
    "zeros": bytes(BLOCK),
    "other bytes": b"x" * BLOCK,
    "a short record": b"x" * 100,
    "a long record": b"x" * 3 * BLOCK,
    "unreadable": None,
}
SIZES = (2 * BLOCK, 3 * BLOCK, BLOCK)


def damage(cartridge: Path, file: int, record: bytes | None) -> None:
    """Put something in the place of a header; None: what no drive can read."""
    if record is None:
        facts = read_facts(cartridge)
        write_facts(cartridge, evolve(facts, unreadable=(*facts.unreadable, (file, 0))))
        return
    medium = Medium.in_file(cartridge)
    medium.replace(file, 0, record)
    medium.close()


@pytest.fixture
def world(tmp_path: Path) -> TapeWorld:
    return TapeWorld(tmp_path)


def read_all(device: TapeDevice, *headless: int) -> list[bytes]:
    """The data of all files, those of some of them behind no header."""
    found = []
    for number in range(1, len(SIZES) + 1):
        if number in headless:
            with pytest.raises(DeviceError):
                device.seek_file(number)
            assert device.seek_data(number) is None  # type: ignore[func-returns-value]
        else:
            assert device.seek_file(number) is not None
        assert (device.file, device.in_file) == (number, True)
        found.append(read_rest(device))
    return found


@pytest.mark.parametrize("how", BADLY)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_what_is_behind_a_damaged_header(world: TapeWorld, how: str, number: int) -> None:
    """It is read to its end, and so are the files behind it."""
    cartridge = world.insert()
    parts = world.written(*SIZES)
    damage(cartridge, number, BADLY[how])
    device = world.started(AccessMode.READ)
    verifyObject(IFindsData, device)
    assert read_all(device, number) == parts
    assert device.seek_data(number) is None  # type: ignore[func-returns-value]
    assert read_rest(device) == parts[number - 1]
    device.finish()


@pytest.mark.parametrize(
    ("knows_place", "properties"),
    [(False, {}), (True, {"bsf": False, "fsf": False}), (True, {"bsr": False, "eom": False})],
)
def test_drives_that_know_or_can_little(
    world: TapeWorld, knows_place: bool, properties: dict[str, bool]
) -> None:
    cartridge = world.insert()
    parts = world.written(*SIZES)
    world.drive.change(knows_place=knows_place)
    damage(cartridge, 1, BADLY["zeros"])
    damage(cartridge, 2, None)
    if "fsf" in properties:  # what is not spaced over must be read
        write_facts(cartridge, evolve(read_facts(cartridge), unreadable=()))
        damage(cartridge, 2, BADLY["other bytes"])
    device = world.started(AccessMode.READ, **properties)
    assert read_all(device, 1, 2) == parts
    device.finish()


def test_larger_records_than_are_expected(world: TapeWorld) -> None:
    """The data's own are read as ever."""
    cartridge = world.insert()
    (data,) = world.written(4 * BLOCK, block_size=2 * BLOCK)
    damage(cartridge, 1, None)
    device = world.started(AccessMode.READ)
    device.seek_data(1)
    assert read_rest(device, 8 * BLOCK) == data
    assert device.block_size == 2 * BLOCK


@pytest.mark.parametrize("properties", [{}, {"fsr": False}])
def test_what_is_no_file_with_a_damaged_header(
    world: TapeWorld, properties: dict[str, bool]
) -> None:
    """One whose header can be read, whatever it says; none at all; a record that nobody passes."""
    cartridge = world.insert()
    parts = world.written(*SIZES)
    device = world.started(AccessMode.READ, **properties)
    with pytest.raises(DeviceError, match="can be read"):
        device.seek_data(2)
    for number in (0, 4, 9):
        with pytest.raises(DeviceError, match=f"File {number} not found"):
            device.seek_data(number)
    assert not device.in_file
    device.finish()
    damage(cartridge, 2, None)
    world.drive.change(lacks=("FSR",))
    device = world.started(AccessMode.READ, **properties)
    with pytest.raises(DeviceError, match="; it cannot be passed"):
        device.seek_data(2)
    assert device.seek_file(3) is not None
    assert read_rest(device) == parts[2]
    device.finish()
