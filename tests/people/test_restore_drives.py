"""``taperctl restore`` with several drives: nobody waits for a mount."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred

from devices.file import FileDevice
from devices.interfaces import AccessMode
from taper.people.exits import Exit
from tests.people.archives import AGAIN, HOME, found, two_nights
from tests.people.robots import into_library
from tests.people.test_verify_drives import hold


class Overlapping:
    """Drives of which one mounts C02 only when C01 is being read, and another reads C01 on only
    when C02 is mounted: one drive alone would come to no end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads = threading.Event()
        self.mounted = threading.Event()
        usual_read, usual_start = FileDevice.read_blocks, FileDevice.start

        def read_blocks(device: FileDevice, buffer: memoryview) -> int:
            if device.label == "C01":
                self.reads.set()
                assert self.mounted.wait(60), "it waits for the first to be read"
            return usual_read(device, buffer)

        def start(device: FileDevice, mode: AccessMode, *more: str | None) -> None:
            if device.label == "C02":
                assert self.reads.wait(60), "it is mounted before the first is read"
                usual_start(device, mode, *more)
                self.mounted.set()
            else:
                usual_start(device, mode, *more)

        monkeypatch.setattr(FileDevice, "read_blocks", read_blocks)
        monkeypatch.setattr(FileDevice, "start", start)


@pytest.mark.parametrize("robot", [False, True])
@ensureDeferred
async def test_the_next_volume_is_mounted_while_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, robot: bool
) -> None:
    nights = await two_nights(tmp_path)
    if robot:
        library = await into_library(nights, tmp_path, drives=2, volumes=2)
    Overlapping(monkeypatch)
    said = await nights.lines("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
    assert found(tmp_path / "back") == HOME.files() | AGAIN.files()
    assert said[-1] == "Restored. All checksums are as they were when it was dumped."
    order = [line for line in said if line.startswith("Reading volume")]
    assert order == ["Reading volume C01", "Reading volume C02"]
    if robot:
        assert sorted(library.places().values()) == ["drive 0", "drive 1"]


@ensureDeferred
async def test_one_drive_will_do(tmp_path: Path) -> None:
    """The library has no other: nothing is said of it, and nobody is asked."""
    nights = await two_nights(tmp_path)
    await into_library(nights, tmp_path, drives=1, volumes=2)
    await nights.lines("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
    assert found(tmp_path / "back") == HOME.files() | AGAIN.files()
    assert nights.said == []


@pytest.mark.parametrize("drives", [1, 2])
@ensureDeferred
async def test_so_many_drives_as_may_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drives: int
) -> None:
    nights = await two_nights(tmp_path)
    open_now: set[int] = set()
    most = [0]
    start, finish = FileDevice.start, FileDevice.finish

    def starts(device: FileDevice, mode: AccessMode, *more: str | None) -> None:
        start(device, mode, *more)
        open_now.add(id(device))
        most[0] = max(most[0], len(open_now))

    def finishes(device: FileDevice) -> None:
        open_now.discard(id(device))
        finish(device)

    monkeypatch.setattr(FileDevice, "start", starts)
    monkeypatch.setattr(FileDevice, "finish", finishes)
    words = ("restore", "localhost", "/home", "--drives", str(drives), "--to")
    await nights.lines(*words, str(tmp_path / "back"))
    assert found(tmp_path / "back") == HOME.files() | AGAIN.files()
    assert most == [drives]
    assert (await nights.run(*words[:-2], "0", "--to", "x"))[0] == Exit.USAGE
    assert nights.said[-1] == "--drives 0: 1 to 64 expected"


@ensureDeferred
async def test_a_drive_that_another_program_has_is_not_taken(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    library = await into_library(nights, tmp_path, drives=2, volumes=2)
    held = await hold(nights, "C02")
    place = library.places()["A00002"]
    words = ("restore", "localhost", "/home", "--level", "0", "--to", str(tmp_path / "back"))
    await nights.lines(*words)
    assert found(tmp_path / "back") == HOME.files()
    assert library.places()["A00002"] == place
    record = await nights.record(
        *("restore", "localhost", "/home", "--partial", "--to", str(tmp_path / "all")),
        exit=Exit.FOUND,
    )
    assert "is reserved" in record["outcomes"][1]["faults"][0]
    await held()
