"""Files that a mover reads of which the first record is damaged, or cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from zope.interface.verify import verifyObject

from devices.errors import DeviceError
from devices.interfaces import IFindsData
from protocols.ndmp.codes import ErrorCode
from tests.devices.ndmp_world import BLOCK, turning
from tests.fakes.medium import Medium
from tests.fakes.ndmp_server import Wrong
from tests.fakes.turning import Turning
from tests.flow.test_mover_reader import DATA, Reading

__all__ = ["turning"]

BADLY = {
    "zeros": bytes(BLOCK),
    "other bytes": b"x" * BLOCK,
    "a short record": b"x" * 100,
    "a long record": b"x" * 3 * BLOCK,
    "unreadable": None,
}
FILES = (DATA[: 4 * BLOCK], DATA[4 * BLOCK :].ljust(3 * BLOCK, b"\0"))


class Unreadable:
    """No drive can read the first record of some files of a tape."""

    def __init__(self, medium: Medium, *files: int) -> None:
        self._medium = medium
        self._places = {(file, 1) for file in files}

    def apply(self, session: object, data: bytes) -> bytes:
        if (self._medium.file_num, self._medium.blockno) not in self._places:
            return data
        return Wrong(ErrorCode.IO).apply(session, data)  # type: ignore[arg-type, return-value]


@pytest.fixture
def reading(turning: Turning) -> Iterator[Reading]:
    reading = Reading(turning)
    yield reading
    reading.close()


def damage(reading: Reading, how: str, *files: int) -> None:
    medium, record = reading.world.media["drive0"], BADLY[how]
    if record is None:
        reading.world.server.faults.plant(Unreadable(medium, *files), "TAPE_READ", times=None)
        return
    at = medium.index
    for file in files:
        medium.replace(file, 0, record)
    medium.go_to(at)


@pytest.mark.parametrize(
    ("how", "numbers"), [*((how, (2,)) for how in BADLY), ("unreadable", (1, 2)), ("zeros", (1,))]
)
def test_what_is_behind_a_damaged_header(
    reading: Reading, how: str, numbers: tuple[int, ...]
) -> None:
    """It is read to its end, and so is the other file, by one run of the mover after another."""
    damage(reading, how, *numbers)
    volume = reading.volume
    verifyObject(IFindsData, volume)
    assert volume.timestamp == "20260102030405"
    for number in (1, 2, 1):
        found = reading.in_thread(lambda number=number: volume.seek_file(number))
        if number in numbers:
            assert isinstance(found, DeviceError)
            assert reading.in_thread(lambda number=number: volume.seek_data(number)) is None
        else:
            assert found.partnum == number
        assert volume.file == number
        assert reading.in_thread(reading.read_file) == FILES[number - 1]
    reading.turning.run(volume.close())
    assert volume.well


def test_what_is_no_file_with_a_damaged_header(reading: Reading) -> None:
    """One whose header can be read, whatever it says; none at all; one that nobody can go to."""
    volume = reading.volume
    for number, text in (
        (2, "header can be read"),
        (3, "File 3 not found"),
        (0, "cannot seek to file 0"),
        (9, "Could not seek forward to file 9"),
    ):
        fault = reading.in_thread(lambda number=number: volume.seek_data(number))
        assert isinstance(fault, DeviceError)
        assert text in fault.text
    medium = reading.world.media["drive0"]
    reading.world.server.faults.plant(Unreadable(medium, 1), "TAPE_READ", times=None)
    reading.world.server.faults.plant(Wrong(ErrorCode.IO), "TAPE_MTIO", times=None)
    assert isinstance(reading.in_thread(lambda: volume.seek_data(1)), DeviceError)
