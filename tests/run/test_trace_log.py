"""The trace log, shared with every other program of the run."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from protocols.tracelog import Info, Start, TapeInfo
from taper.core.interfaces import ITraceLog
from taper.run.trace_log import TraceLog, append_record
from tests.fakes.lane import SteppedLane


def test_records_are_appended_in_the_order_of_asking(tmp_path: Path) -> None:
    """Behind what others wrote; the Deferred fires when the line is in the file."""
    path = tmp_path / "log"
    path.write_text("INFO driver hello\n")
    lane = SteppedLane()
    log = TraceLog(str(path), lane)
    verifyObject(ITraceLog, log)
    first, second = log.append(Info("one")), log.append(TapeInfo(label="V", kb=1, fm=2))
    assert not first.called
    lane.step()
    assert first.called
    assert not second.called
    lane.drain()
    assert path.read_text() == (
        "INFO driver hello\nINFO taper one\nINFO taper tape V kb 1 fm 2 [OK]\n"
    )


START = Start(datestamp="1", storage="S", pool="P", label="V", tape=1)


def watch_syncs(patch: pytest.MonkeyPatch, path: Path) -> list[str]:
    """What is synchronised: the text that the log has then, or the name of a directory."""
    seen: list[str] = []

    def sync(descriptor: int) -> None:
        place = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        seen.append(place.name if place.is_dir() else path.read_text())

    patch.setattr(os, "fdatasync", sync)
    patch.setattr(os, "fsync", sync)
    return seen


def test_what_a_reply_follows_is_on_the_disk_before_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is the log's name, once; notes are not waited for."""
    directory = tmp_path / "logdir"
    directory.mkdir()
    path = directory / "log"
    synced = watch_syncs(monkeypatch, path)
    lane = SteppedLane()
    log = TraceLog(str(path), lane)
    log.append(Info("one"))
    lane.drain()
    assert synced == []
    written = log.append(START)
    lane.work()
    assert synced == [path.read_text(), "logdir"]
    assert "START taper" in synced[0]
    assert not written.called
    lane.drain()
    assert written.called
    log.append(START)
    lane.drain()
    assert synced[2:] == [path.read_text()]
    path.unlink()  # and somebody else makes it anew
    log.append(START)
    lane.drain()
    assert synced[3:] == [path.read_text(), "logdir"]


def test_one_synchronisation_serves_all_records_that_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second call finds its record on the disk; each is told in its turn."""
    path = tmp_path / "log"
    synced = watch_syncs(monkeypatch, path)
    lane = SteppedLane()
    log = TraceLog(str(path), lane)
    told: list[int] = []
    for number, record in enumerate([START, Info("two"), START]):
        log.append(record).addCallback(lambda _, number=number: told.append(number))
    lane.drain()
    assert told == [0, 1, 2]
    assert synced == [path.read_text(), tmp_path.name]
    assert len(synced[0].splitlines()) == 3


def test_a_disk_that_does_not_take_the_log_fails_what_a_reply_would_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a record that shares the synchronisation; a note is in the file all the same."""

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", broken)
    lane = SteppedLane()
    log = TraceLog(str(tmp_path / "log"), lane)
    told: list[object] = []
    for record in (START, Info("two"), START):
        log.append(record).addBoth(lambda result: told.append(getattr(result, "type", result)))
    lane.drain()
    assert told == [OSError, None, OSError]


def test_a_record_that_cannot_be_written_fails_alone(tmp_path: Path) -> None:
    """One that is no record at all, between two that are."""
    path = tmp_path / "log"
    lane = SteppedLane()
    log = TraceLog(str(path), lane)
    told: list[bool] = []
    for record in (START, object(), START):
        log.append(record).addCallbacks(
            lambda _: told.append(True), lambda failure: told.append(False)
        )
    lane.drain()
    assert told == [True, False, True]
    assert len(path.read_text().splitlines()) == 2


def test_a_log_that_is_no_file_is_not_synchronised(tmp_path: Path) -> None:
    """Somebody wants none."""
    lane = SteppedLane()
    log = TraceLog(os.devnull, lane)
    written = log.append(START)
    lane.drain()
    assert written.called
    assert written.result is None


def test_a_new_log_is_private(tmp_path: Path) -> None:
    append_record(str(tmp_path / "log"), Info("x"))
    assert stat.S_IMODE(os.stat(tmp_path / "log").st_mode) == 0o600


def test_a_line_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up in the middle of it leaves no half line for the next to hide in."""
    path = tmp_path / "log"
    append_record(str(path), Info("one"))
    real = os.write
    room = [4]

    def nearly_full(descriptor: int, data: bytes) -> int:
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[: room.pop()])

    with monkeypatch.context() as patch:
        patch.setattr("taper.run.trace_log.os.write", nearly_full)
        with pytest.raises(OSError, match="No space left"):
            append_record(str(path), Info("two"))
    append_record(str(path), Info("three"))
    assert path.read_text() == "INFO taper one\nINFO taper three\n"


def test_it_waits_for_others_who_hold_the_lock(tmp_path: Path) -> None:
    """Another process writes half a line, and the rest a moment later, under the lock."""
    path = tmp_path / "log"
    script = (
        "import fcntl, sys, time\n"
        f"file = open({str(path)!r}, 'a')\n"
        "fcntl.lockf(file, fcntl.LOCK_EX)\n"
        "file.write('INFO driver '); file.flush()\n"
        "print('locked', flush=True)\n"
        "time.sleep(0.2)\n"
        "file.write('whole\\n')\n"
        "file.close()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        append_record(str(path), Info("ours"))
    assert path.read_text() == "INFO driver whole\nINFO taper ours\n"


def test_a_log_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    lane = SteppedLane()
    failures: list[object] = []
    log = TraceLog(str(tmp_path / "no/such/log"), lane)
    log.append(Info("x")).addErrback(lambda failure: failures.append(failure.type))
    lane.drain()
    assert failures == [FileNotFoundError]


def test_records_that_belong_together_are_written_so_far_as_they_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One synchronisation serves them; none is written behind one that could not be."""
    path = tmp_path / "log"
    synced = watch_syncs(monkeypatch, path)
    lane = SteppedLane()
    log = TraceLog(str(path), lane)
    written = log.append(START, Info("two"), START)
    lane.drain()
    assert written.called
    assert synced == [path.read_text(), tmp_path.name]
    before = path.read_text()
    assert len(before.splitlines()) == 3
    failed: list[object] = []
    log.append(Info("four"), "no record", START).addErrback(failed.append)
    lane.drain()
    assert len(failed) == 1
    assert path.read_text() == before + "INFO taper four\n"
