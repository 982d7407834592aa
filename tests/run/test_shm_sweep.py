"""What dead tapers leave in shared memory goes, and nothing else."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from protocols.shmring import PIDS, RingNames, build_control
from taper.run.shm_sweep import OLD, sweep


@pytest.fixture
def dead() -> int:
    """The number of a process that is no more."""
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid


def leave(place: Path, pid: int, more: int = 0) -> RingNames:
    """The files of a ring."""
    names = RingNames.make(pid, 0)
    block = bytearray(build_control(names, pid))
    block[PIDS + 4 : PIDS + 8] = more.to_bytes(4, "little")
    for name in names.semaphores:
        (place / f"sem.{name[1:]}").write_bytes(bytes(32))
    (place / names.data[1:]).write_bytes(b"")
    (place / names.control[1:]).write_bytes(block)
    return names


@pytest.fixture(autouse=True)
def long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file's ctime cannot be set, so the clock goes on instead."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 2 * OLD)


def test_a_ring_of_the_dead_is_removed(tmp_path: Path, dead: int) -> None:
    names = leave(tmp_path, dead)
    assert sweep(str(tmp_path)) == [names.control]
    assert list(tmp_path.iterdir()) == []


def test_a_ring_with_objects_missing_is_removed(tmp_path: Path, dead: int) -> None:
    names = leave(tmp_path, dead)
    (tmp_path / names.data[1:]).unlink()
    assert sweep(str(tmp_path)) == [names.control]
    assert list(tmp_path.iterdir()) == []


def test_a_young_ring_stays(tmp_path: Path, dead: int) -> None:
    """A reader has touched it within the 300 s."""
    names = leave(tmp_path, dead)
    os.utime(tmp_path / names.control[1:], (time.time() - OLD / 2, 0))
    assert sweep(str(tmp_path)) == []
    assert len(list(tmp_path.iterdir())) == 6


def test_a_ring_of_the_living_stays(tmp_path: Path, dead: int) -> None:
    """The taper died, but a dumper still holds on."""
    leave(tmp_path, dead, os.getpid())
    assert sweep(str(tmp_path)) == []


@pytest.mark.parametrize("block", [b"", bytes(471), bytes(473), bytes(472), b"\xff" * 472])
def test_what_is_no_ring_stays(tmp_path: Path, block: bytes) -> None:
    path = tmp_path / "amanda_shm_control-1-0"
    path.write_bytes(block)
    assert sweep(str(tmp_path)) == []
    assert path.exists()


def test_names_that_leave_the_folder_are_not_followed(tmp_path: Path, dead: int) -> None:
    inside = tmp_path / "shm"
    inside.mkdir()
    victim = tmp_path / "victim"
    victim.touch()
    names = leave(inside, dead)
    control = inside / names.control[1:]
    block = control.read_bytes().replace(names.data.encode(), b"/amanda_/../../victim".ljust(25))
    control.write_bytes(block[:472])
    assert sweep(str(inside)) == []
    assert victim.exists()


def test_a_link_is_not_followed(tmp_path: Path, dead: int) -> None:
    names = leave(tmp_path, dead)
    control = tmp_path / names.control[1:]
    control.rename(tmp_path / "elsewhere")
    control.symlink_to("elsewhere")
    assert sweep(str(tmp_path)) == []


def test_a_machine_without_shared_memory(tmp_path: Path) -> None:
    assert sweep(str(tmp_path / "nowhere")) == []
