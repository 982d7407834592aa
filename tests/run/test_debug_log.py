"""The debug file of a process."""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from pathlib import Path

import pytest

from taper.run.debug_log import DebugLog, expired

NOW = 1_780_000_000.0
STAMP = time.strftime("%Y%m%d%H%M%S", time.localtime(NOW))


def test_its_place_mode_and_lines(tmp_path: Path) -> None:
    """Private directories; mode 0640 whatever the umask; one head a line."""
    log = DebugLog(str(tmp_path / "dbg"), NOW)
    assert log.path == str(tmp_path / "dbg/server" / f"taper.{STAMP}.debug")
    assert stat.S_IMODE(os.stat(log.path).st_mode) == 0o640
    assert stat.S_IMODE(os.stat(tmp_path / "dbg/server").st_mode) == 0o700
    log.write("one\ntwo \udcff")
    lines = Path(log.path).read_bytes().splitlines()
    head = rb"\w{3} \w{3} \d\d \d\d:\d\d:\d\d\.\d{9} \d{4}: pid \d+: thd-0x[0-9a-f]+: taper: "
    assert [re.fullmatch(head + rb"(.*)", line).group(1) for line in lines] == [  # type: ignore[union-attr]
        b"one",
        b"two \xff",
    ]


def test_two_in_one_second(tmp_path: Path) -> None:
    names = [os.path.basename(DebugLog(str(tmp_path), NOW).path or "") for _ in range(3)]
    assert names == [f"taper.{STAMP}{n}.debug" for n in ("", "000", "001")]


def test_it_moves_to_its_configuration(tmp_path: Path) -> None:
    log = DebugLog(str(tmp_path), NOW)
    log.write("before")
    log.move_to("a/b:c")
    log.write("after")
    assert log.path == str(tmp_path / "server/a_b_c" / f"taper.{STAMP}.debug")
    assert Path(log.path).read_text().count("taper: ") == 2


def test_it_stays_where_it_cannot_move(tmp_path: Path) -> None:
    """A file where the directory should be, or another log of that name."""
    log = DebugLog(str(tmp_path), NOW)
    (tmp_path / "server/X").write_text("")
    log.move_to("X")
    assert log.path == str(tmp_path / "server" / f"taper.{STAMP}.debug")
    assert "stays where it is" in Path(log.path).read_text()
    taken = tmp_path / "server/Y" / f"taper.{STAMP}.debug"
    taken.parent.mkdir()
    taken.write_text("mine")
    log.move_to("Y")
    assert taken.read_text() == "mine"


def test_no_place_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The taper works without, and says so once."""
    (tmp_path / "server").write_text("")
    log = DebugLog(str(tmp_path), NOW)
    assert log.path is None
    log.write("lost")
    log.move_to("X")
    log.close(4, NOW)
    assert capsys.readouterr().err.startswith("taper: no debug file: ")


def test_a_full_disk_under_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing ends for that; stderr hears it once."""
    log = DebugLog(str(tmp_path), NOW)

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("taper.run.debug_log.os.write", full)
        log.write("one")
        log.write("two")
    assert capsys.readouterr().err.count("No space left on device") == 1
    log.write("three")
    assert log.path is not None
    assert Path(log.path).read_text().endswith("taper: three\n")


def test_old_files_of_ours_go(tmp_path: Path) -> None:
    """Those older than debug-days; no other program's, and never the present one."""
    log = DebugLog(str(tmp_path), NOW)
    old = time.strftime("%Y%m%d%H%M%S", time.localtime(NOW - 5 * 86400))
    young = time.strftime("%Y%m%d%H%M%S", time.localtime(NOW - 3 * 86400))
    for name in (f"taper.{old}.debug", f"taper.{young}.debug", f"driver.{old}.debug"):
        (tmp_path / "server" / name).write_text("")
    log.close(4, NOW)
    log.close(4, NOW)
    assert sorted(os.listdir(tmp_path / "server")) == [
        f"driver.{old}.debug",
        f"taper.{young}.debug",
        f"taper.{STAMP}.debug",
    ]


def test_a_directory_that_is_gone_is_no_trouble(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = DebugLog(str(tmp_path / "dbg"), NOW)
    os.rename(tmp_path / "dbg", tmp_path / "away")
    log.close(4, NOW)
    assert "cannot remove old debug files" in capsys.readouterr().err


def test_only_our_names_expire() -> None:
    names = ["taper.20250101000000.debug", "taper.txt", "taper.20250101000000.log", "x.debug"]
    assert expired(names, "taper.20260101000000.debug") == names[:1]
