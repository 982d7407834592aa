"""Status files, which amstatus reads while a dump runs."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from taper.core.interfaces import IStatusFile, IStatusFiles
from taper.run.status_files import OLD, StatusFiles, sweep
from tests.fakes.lane import SteppedLane
from tests.opened import descriptors


class Room:
    """A directory for status files, a clock and a lane."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.lane = SteppedLane()
        self.files = StatusFiles(self.clock, self.lane, str(directory))
        self.written = 0

    def create(self) -> IStatusFile:
        found: list[IStatusFile] = []
        self.files.create(lambda: self.written).addCallback(found.append)
        self.lane.drain()
        return found[0]

    def after(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.lane.drain()


def test_a_dump_from_begin_to_end(tmp_path: Path) -> None:
    """``0`` at once, then the bytes every 5 s, also when they become fewer; then no file."""
    room = Room(tmp_path / "amanda")
    file = room.create()
    verifyObject(IStatusFiles, room.files)
    verifyObject(IStatusFile, file)
    assert re.fullmatch(r"taper_status_file_[A-Za-z0-9]{6}", os.path.basename(file.path))
    assert stat.S_IMODE(os.stat(file.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(tmp_path / "amanda").st_mode) == 0o700
    shown = [Path(file.path).read_text()]
    for written in (123456, 7, 10**15):
        room.written = written
        room.after(4.9)
        shown.append(Path(file.path).read_text())
        room.after(0.1)
        shown.append(Path(file.path).read_text())
    assert shown == ["0", "0", "123456", "123456", "7", "7", str(10**15)]
    removed = file.remove()
    room.lane.drain()
    assert removed.called
    assert os.listdir(tmp_path / "amanda") == []
    assert not room.clock.getDelayedCalls()


def test_names_differ(tmp_path: Path) -> None:
    room = Room(tmp_path)
    assert len({room.create().path for _ in range(20)}) == 20


def test_a_file_that_somebody_removed(tmp_path: Path) -> None:
    room = Room(tmp_path)
    file = room.create()
    os.unlink(file.path)
    room.after(5)
    outcome: list[object] = []
    file.remove().addBoth(outcome.append)
    room.lane.drain()
    assert outcome == [None]


def fails(deferred: Deferred[IStatusFile], room: Room) -> type[BaseException]:
    failures: list[type[BaseException]] = []
    deferred.addErrback(lambda failure: failures.append(failure.type))
    room.lane.drain()
    return failures[0]


def test_no_directory_for_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    room = Room(tmp_path / "file/amanda")
    assert issubclass(fails(room.files.create(lambda: 0), room), OSError)
    assert not room.clock.getDelayedCalls()


def test_a_full_disk_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    room = Room(tmp_path)
    monkeypatch.setattr("taper.run.status_files.os.write", full)
    before = descriptors()
    assert fails(room.files.create(lambda: 0), room) is OSError
    assert os.listdir(tmp_path) == []
    assert descriptors() <= before


def test_a_disk_that_fills_up_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next refresh tries again."""
    room = Room(tmp_path)
    file = room.create()

    def full(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("taper.run.status_files.os.pwrite", full)
        room.written = 5
        room.after(5)
        assert Path(file.path).read_text() == "0"
    room.after(5)
    assert Path(file.path).read_text() == "5"
    file.remove()
    room.lane.drain()


def test_what_dead_tapers_left_is_removed(tmp_path: Path) -> None:
    """A week after it was last written; nothing else, and no directory is no trouble."""
    now = 1_780_000_000.0
    names = {
        "taper_status_file_dead00": now - OLD - 1,
        "taper_status_file_live00": now - OLD + 1,
        "other_file": 0.0,
    }
    for name, written in names.items():
        (tmp_path / name).write_text("0")
        os.utime(tmp_path / name, (written, written))
    (tmp_path / "taper_status_file_link00").symlink_to("other_file")
    (tmp_path / "taper_status_file_dir000").mkdir()
    sweep(str(tmp_path), now)
    assert not (tmp_path / "taper_status_file_dead00").exists()
    assert len(list(tmp_path.iterdir())) == 4
    sweep(str(tmp_path / "nowhere"), now)
