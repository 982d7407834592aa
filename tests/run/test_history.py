"""Reading what retention must know besides the tapelist."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, execute
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from devices.patience import Patience
from protocols.conf import Holdingdisk, LabelStr, Policy, Storage
from protocols.header import Header, HeaderType, build_header
from protocols.tapelist import parse_tapelist
from taper.core.interfaces import IHistory
from taper.run.history import History, HistoryError, read_locked
from tests.fakes.config import make_config

NOW = datetime(2026, 11, 23, 12)
STATS = "[sec 0.100000 bytes 1048576 kps 10240.000000]"
CRC = "6689cf21:3010560"


def stamp(days_ago: float) -> str:
    return (NOW - timedelta(days=days_ago)).strftime("%Y%m%d%H%M%S")


def at_once(function: Callable[..., Any], *args: Any) -> Deferred[Any]:
    return execute(function, *args)


def history_in(directory: Path, notes: list[str] | None = None, **rules: int) -> History:
    """Storage S of pool P in a config directory, with this policy."""
    policy = Policy(
        "K", **{"retention_tapes": 0} | {f"retention_{rule}": n for rule, n in rules.items()}
    )
    config = make_config(
        policy,
        Storage("S", tapepool="P", policy="K", labelstr=LabelStr("^V")),
        Holdingdisk("hd", directory=str(directory / "holding")),
        directory=str(directory),
        logdir="log",
        holdingdisk=("hd",),
    )
    note: Callable[[str], object] = (lambda text: None) if notes is None else notes.append
    return History(config, at_once, now=NOW.timestamp, note=note)


def write_log(directory: Path, name: str, days: float, label: str, level: int = 0) -> None:
    ts = stamp(days)
    words = '"ST:S" "POOL:P"'
    (directory / "log").mkdir(exist_ok=True)
    (directory / "log" / name).write_text(
        f"START taper datestamp {ts} {words} label {label} tape 1\n"
        f"PART taper {words} {label} 1 host / {ts} 1/-1 {level} {STATS}\n"
        f"DONE taper {words} host / {ts} 1 {level} {CRC} {CRC} {CRC} {STATS}\n"
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Three volumes: a full dump each, the last in the middle of a run with two logs."""
    lines = [f"{stamp(days)} V{i} reuse POOL:P\n" for i, days in enumerate((0, 3, 9))]
    (tmp_path / "tapelist").write_text("".join(lines))
    write_log(tmp_path, f"log.{stamp(0)}.1", 0, "V0")
    (tmp_path / "log" / f"log.{stamp(0)}.0").write_text("INFO planner planner pid 1\n")
    write_log(tmp_path, f"log.{stamp(3)}.amflush", 3, "V1")
    write_log(tmp_path, f"log.{stamp(9)}", 9, "V2")
    return tmp_path


def reasons(history: History, directory: Path) -> list[str | None]:
    tapelist = parse_tapelist((directory / "tapelist").read_bytes())
    retention = history.retention(tapelist)
    return [retention.retained_by(f"V{i}") for i in range(3)]


def refresh(history: History) -> object:
    """None, or the failure."""
    results: list[object] = []
    history.refresh().addBoth(results.append)
    return results[0]


def test_it_provides_the_interface(tmp_path: Path) -> None:
    """The core sees no more than that."""
    verifyObject(IHistory, history_in(tmp_path))


def test_logs_are_read_where_a_policy_asks_for_them(directory: Path) -> None:
    """All names a run's log may have."""
    history = history_in(directory, full=2)
    assert refresh(history) is None
    assert reasons(history, directory) == ["retention-full", "retention-full", None]
    history = history_in(directory, full=3)
    assert refresh(history) is None
    assert reasons(history, directory) == ["retention-full"] * 3


def test_nothing_is_read_where_no_policy_asks(directory: Path) -> None:
    """Most sites keep a number of volumes, and their logs may be huge."""
    (directory / "log" / f"log.{stamp(0)}.0").chmod(0)
    (directory / "tapelist").rename(directory / "elsewhere")
    history = history_in(directory)
    assert refresh(history) is None
    (directory / "elsewhere").rename(directory / "tapelist")
    assert reasons(history, directory) == [None, None, None]


def test_a_log_that_grows_is_read_again(directory: Path) -> None:
    """During a run, our own does."""
    history = history_in(directory, recover=1)
    assert refresh(history) is None
    assert reasons(history, directory) == ["retention-recover", "retention-recover", None]
    (directory / "log" / f"log.{stamp(3)}.amflush").write_text("INFO nothing\n")
    assert refresh(history) is None
    assert reasons(history, directory) == ["retention-recover", None, "retention-recover"]


def test_a_volume_written_since_the_last_look_is_kept(directory: Path) -> None:
    """Its log was not read: what it holds is not known."""
    history = history_in(directory, full=1)
    with open(directory / "tapelist", "r+") as file:
        lines = file.read()
        file.seek(0)
        file.write(lines.replace(stamp(9), stamp(8)))
    with pytest.raises(HistoryError):
        reasons(history, directory)
    assert refresh(history) is None
    assert reasons(history, directory) == ["retention-full", None, None]
    (directory / "tapelist").write_text(lines)
    assert reasons(history, directory) == ["retention-full", None, "logs not read yet"]


def test_a_log_with_other_line_ends_protects_as_well(directory: Path) -> None:
    """CR LF, as a log has that was edited or copied elsewhere."""
    for path in (directory / "log").iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    history = history_in(directory, full=3)
    assert refresh(history) is None
    assert reasons(history, directory) == ["retention-full"] * 3


def failure(history: History) -> str:
    fault = refresh(history)
    assert isinstance(fault, Failure)
    assert isinstance(fault.value, HistoryError)
    return str(fault.value)


def test_a_log_that_cannot_be_read_is_named(directory: Path) -> None:
    """So is what follows: no volume is taken. It is not taken for a log that is not there."""
    path = directory / "log" / f"log.{stamp(9)}"
    path.unlink()
    path.symlink_to(path)
    history = history_in(directory, full=3)
    reason = "what must be kept is not known without it"
    told = f"cannot read the trace log {path}: Too many levels of symbolic links; {reason}"
    assert failure(history) == told
    path.unlink()
    os.mkfifo(path)
    assert failure(history).startswith(f"cannot read the trace log {path}: ")
    path.unlink()
    assert refresh(history) is None


def test_what_else_cannot_be_read_is_named(directory: Path) -> None:
    """A command file, and the directory of a run on a holding disk."""
    command_file = directory / "command_file"
    command_file.symlink_to(command_file)
    history = history_in(directory, full=3)
    assert failure(history) == (
        f"cannot read the command file {command_file}: Too many levels of symbolic links; "
        "what must be kept is not known without it"
    )
    command_file.unlink()
    holding = directory / "holding"
    holding.mkdir()
    (holding / "20260101").symlink_to(holding / "20260101")
    assert failure(history) == (
        f"cannot read {holding}/20260101 on a holding disk: Too many levels of symbolic links; "
        "what its dumps build on is not known without it"
    )


def test_dumps_on_holding_disks_count(directory: Path) -> None:
    """They build on what is on volumes; chunks, other files and rubbish are no dumps."""
    run = directory / "holding" / stamp(0)
    run.mkdir(parents=True)
    header = Header(
        type=HeaderType.DUMPFILE,
        datestamp=stamp(0),
        host="h2",
        disk="/",
        level=1,
        program="GNUTAR",
    )
    (run / "h2._.1").write_bytes(build_header(header, 32768, None))
    (run / "rubbish").write_bytes(b"x")
    (directory / "holding" / "lost+found").mkdir()
    with open(directory / "log" / f"log.{stamp(9)}", "a") as log:
        log.write(f'PART taper "ST:S" "POOL:P" V2 2 h2 / {stamp(9)} 1/-1 0 {STATS}\n')
    history = history_in(directory, recover=1)
    assert refresh(history) is None
    assert reasons(history, directory)[2] == "retention-recover"


def test_commands_are_read(directory: Path) -> None:
    """And a line without meaning is told."""
    (directory / "command_file").write_text(
        'VERSION 1\nID 2\n1 COPY DailySet S P V2 1 " ;V2 ;" 0 host / 1 0 off WORKING:0 TODO\n??\n'
    )
    notes: list[str] = []
    history = history_in(directory, notes)
    assert refresh(history) is None
    assert reasons(history, directory) == [None, None, "command-copy"]
    assert notes == [f"{directory}/command_file: line not understood: ??"]


def test_a_missing_command_file_is_not_made(directory: Path) -> None:
    """Looking changes nothing."""
    assert read_locked(str(directory / "command_file"), Patience()) == b""
    assert not (directory / "command_file").exists()


def test_a_locked_command_file_is_waited_for(directory: Path) -> None:
    """Somebody rewrites it in place just now; but not for ever, and not when we are to end."""
    path = directory / "command_file"
    path.write_text("VERSION 1\n")
    script = (
        "import fcntl,os,sys; fd=os.open(sys.argv[1], os.O_RDWR); fcntl.lockf(fd, fcntl.LOCK_EX);"
        "print(1, flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline()
    with pytest.raises(HistoryError, match="locked by another process for over 60 s"):
        read_locked(str(path), Patience(0.0))
    stop = threading.Event()
    stop.set()
    with pytest.raises(HistoryError, match=r"is locked by another process$"):
        read_locked(str(path), Patience(stop=stop))

    class Waited(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            holder.communicate()  # and so it lets go
            return False

    assert read_locked(str(path), Patience(stop=Waited())) == b"VERSION 1\n"


def test_days_are_counted_back_from_now(directory: Path) -> None:
    """In local time; a policy of a million days is as good as for ever."""
    history = history_in(directory, days=4)
    assert refresh(history) is None
    assert reasons(history, directory) == ["retention-days", "retention-days", None]
    history = history_in(directory, days=10**6)
    assert refresh(history) is None
    assert reasons(history, directory) == ["retention-days"] * 3
