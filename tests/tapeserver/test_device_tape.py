"""A real drive behaves as NDMP wants a tape to, whatever ``st`` makes of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.tape_drive import open_tape
from protocols.ndmp_server.interfaces import Refused, TapeEnd
from taper.tapeserver.device_tape import DeviceTape, DriveVolume
from tests.fakes.medium import Medium
from tests.fakes.tape import load, make_cartridge, make_drive, open_simulated

MOTIONS = ("forward_records", "back_records", "forward_filemarks", "back_filemarks")
STEPS = st.one_of(
    st.tuples(st.sampled_from(MOTIONS), st.integers(0, 5)),
    st.tuples(st.sampled_from(("rewind", "read", "read", "run", "write", "mark", "again"))),
)


@contextmanager
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="drive.") as path:
        yield Path(path)


def opened(place: Path) -> DeviceTape:
    return DeviceTape(open_tape(str(place / "nst0"), open_simulated, nonblocking=True))


def drive_in(place: Path, **facts: Any) -> DeviceTape:
    """A drive with a blank cartridge."""
    make_drive(place / "nst0")
    load(place / "nst0", make_cartridge(place / "cartridge", fresh=True, **facts))
    return opened(place)


def record(number: int) -> bytes:
    return number.to_bytes(4, "big") * 16


def end_writing(model: Medium, wrote: list[bool]) -> None:
    if wrote[0]:
        model.write_filemark()
        wrote[0] = False


@settings(max_examples=60)
@given(
    files=st.lists(st.integers(0, 3), max_size=4),
    steps=st.lists(STEPS, min_size=1, max_size=20),
)
def test_it_is_a_tape(files: list[int], steps: list[tuple[Any, ...]]) -> None:
    """Position and contents are those of a tape that counts, over a change of clients too."""
    with directory() as place:
        tape, model, wrote = drive_in(place), Medium(), [False]
        for number, records in enumerate(files):
            for one in (tape, model):
                for count in range(records):
                    assert one.write(record(10 * number + count)) is None
                one.write_filemark()
        for count, (name, *arguments) in enumerate(steps):
            if name == "write":
                assert tape.write(record(900 + count)) is model.write(record(900 + count)) is None
                wrote[0] = True
            elif name == "mark":
                tape.write_filemark()
                model.write_filemark()
                wrote[0] = False
            else:
                if name == "back_records" and wrote[0] and arguments[0]:
                    model.write_filemark()
                    model.back_filemarks(1)
                    wrote[0] = False
                elif name in ("rewind", "read", "run") or (arguments and arguments[0]):
                    end_writing(model, wrote)
                if name == "again":
                    end_writing(model, wrote)
                    tape.close()
                    tape = opened(place)
                    if (tape.file_num, tape.blockno) != (model.file_num, model.blockno):
                        assert (tape.file_num, tape.blockno) == (0, 0)
                        model.rewind()
                elif name == "run":
                    one, other = bytearray(200), bytearray(200)
                    assert _run(tape, one) == _run(model, other)
                    assert one == other
                else:
                    assert getattr(tape, name)(*arguments) == getattr(model, name)(*arguments)
            assert (tape.file_num, tape.blockno) == (model.file_num, model.blockno), name
            assert tape.behind_filemark == model.behind_filemark
        end_writing(model, wrote)
        tape.close()
        found = Medium.in_file(place / "cartridge")
        assert found.files() == model.files()
        found.close()


def _run(tape: Any, buffer: bytearray) -> int | TapeEnd:
    view, done = memoryview(buffer), 0
    while done + 64 <= len(buffer):
        got = tape.read_run(view[done:], 64)
        if isinstance(got, TapeEnd):
            return done or got
        done += got
    return done


def test_early_warning_refuses_once_and_the_end_for_good() -> None:
    """Though the driver refuses every other record behind the warning."""
    with directory() as place:
        tape = drive_in(place, early=256, capacity=640)
        data = memoryview(b"".join(record(number) for number in range(20)))
        wrote, end = tape.write_run(data, 64)
        assert end is TapeEnd.EARLY
        again, end = tape.write_run(data[wrote:], 64)
        assert (wrote + again, end) == (640, TapeEnd.FULL)
        assert tape.write_filemark() is None
        tape.close()
        assert [len(file) for file in Medium.in_file(place / "cartridge").files()] == [10]


def test_a_protected_cartridge_is_read_only() -> None:
    """And is told so before anybody writes."""
    with directory() as place:
        tape = drive_in(place, write_protected=True)
        assert tape.write_protected
        assert tape.read() is TapeEnd.NOTHING
        tape.close()


class _Drive:
    medium: Any = None


def test_a_drive_is_opened_with_its_client_and_closed() -> None:
    """An empty one has no tape; one that somebody else has is busy; unloading ejects."""
    with directory() as place:
        make_drive(place / "nst0")
        volume, drive = DriveVolume(str(place / "nst0"), open_simulated), _Drive()
        anybody: Any = drive
        volume.claim(anybody)
        assert drive.medium is None
        load(place / "nst0", make_cartridge(place / "cartridge"))
        volume.claim(anybody)
        assert isinstance(drive.medium, DeviceTape)
        with pytest.raises(Refused, match="Device or resource busy"):
            DriveVolume(str(place / "nst0"), open_simulated).claim(anybody)
        volume.unload(anybody)
        assert drive.medium is None
        volume.claim(anybody)
        assert drive.medium is None
        with pytest.raises(Refused, match="Can't open tape device"):
            DriveVolume(str(place / "none"), open_simulated).claim(anybody)
