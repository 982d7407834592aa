"""What is left over goes, as far as it can."""

from __future__ import annotations

import errno
import logging
import os
import time
from pathlib import Path

import pytest

from taper.run import shm_sweep, status_files
from taper.run.assembly import sweep_up
from taper.run.debug_log import DebugLog
from taper.run.tidying import tidy

NOW = time.time()


def refuse(monkeypatch: pytest.MonkeyPatch, stays: str) -> None:
    """Let files with this in their names not be removed."""
    unlink = os.unlink

    def unlinked(path: str, *, dir_fd: int | None = None) -> None:
        if stays in path:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", unlinked)


def test_one_that_stays_keeps_none_of_the_others(tmp_path: Path) -> None:
    for name in ("a", "d"):
        (tmp_path / name).touch()
    (tmp_path / "b").mkdir()
    with pytest.raises(OSError, match="directory"):
        tidy([tmp_path / name for name in "abcd"], os.unlink)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_old_status_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{status_files.PREFIX}{letter * 6}" for letter in "abc"]
    for name in names:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    refuse(monkeypatch, names[1])
    with pytest.raises(PermissionError, match=names[1]):
        status_files.sweep(str(tmp_path), NOW)
    assert [path.name for path in tmp_path.iterdir()] == [names[1]]


def test_old_debug_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = DebugLog(str(tmp_path), NOW)
    old = [tmp_path / "server" / f"taper.2020010100000{number}.debug" for number in range(3)]
    for path in old:
        path.touch()
    refuse(monkeypatch, old[1].name)
    log.close(4, NOW)
    assert "cannot remove old debug files" in capsys.readouterr().err
    assert [path for path in old if path.exists()] == [old[1]]


def test_rings_that_stay_do_not_keep_status_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    left = tmp_path / f"{status_files.PREFIX}aaaaaa"
    left.touch()
    os.utime(left, (0, 0))

    def sweep() -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), "/dev/shm/x")

    monkeypatch.setattr(shm_sweep, "sweep", sweep)
    with caplog.at_level(logging.WARNING):
        sweep_up(str(tmp_path))
    assert "cannot remove all rings that were left over" in caplog.text
    assert not left.exists()
