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

from protocols.tracelog import Info, TapeInfo
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
