"""How much memory is left, and what is taken of it."""

from __future__ import annotations

import errno
import mmap
import os
import resource
from pathlib import Path
from typing import ClassVar

import pytest

from taper.plane import memory
from taper.plane.memory import NoMemory, allocate, allocate_more, memory_left


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Files of a kernel, by their path; they are there once they are looked at."""
    files: dict[str, str] = {}
    monkeypatch.setattr(memory, "_text", lambda path: files.get(path, ""))
    return files


def test_what_the_machine_has_left(kernel: dict[str, str]) -> None:
    assert memory_left() is None
    kernel["/proc/meminfo"] = "MemTotal: 9 kB\nMemAvailable:  5 kB\nSwapFree: 2 kB\nHugePages: 0\n"
    assert memory_left() == 7 * 1024


def test_the_narrowest_group_counts(kernel: dict[str, str]) -> None:
    kernel["/proc/meminfo"] = "MemAvailable: 500 kB\n"
    kernel["/proc/self/cgroup"] = "4:memory:/old\n0::/system.slice/amanda.service\n"
    kernel["/sys/fs/cgroup/system.slice/memory.max"] = "9000\n"
    kernel["/sys/fs/cgroup/system.slice/memory.current"] = "4000\n"
    kernel["/sys/fs/cgroup/system.slice/memory.stat"] = "anon 3000\ninactive_file 1000\n"
    kernel["/sys/fs/cgroup/system.slice/amanda.service/memory.max"] = "max\n"
    assert memory_left() == 6000


def test_the_limits_of_the_process_count(
    kernel: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel["/proc/self/statm"] = "1000 7 6 5 0 900 0\n"
    limits = {resource.RLIMIT_AS: 5000 * 4096, resource.RLIMIT_DATA: 2000 * 4096}
    monkeypatch.setattr(resource, "getpagesize", lambda: 4096)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (limits[kind], -1))
    assert memory_left() == 1100 * 4096
    limits[resource.RLIMIT_DATA] = resource.RLIM_INFINITY
    assert memory_left() == 4000 * 4096


def test_too_little_is_left_to_others(kernel: dict[str, str]) -> None:
    assert len(allocate_more(4096)) == 4096  # nobody knows
    kernel["/proc/meminfo"] = "MemAvailable: 70000 kB\n"
    assert len(allocate_more(4 << 20)) == 4 << 20
    with pytest.raises(NoMemory, match=r"^68 MiB of memory are left$"):
        allocate_more(5 << 20)


@pytest.mark.parametrize("size", [1 << 62, 1 << 80])
def test_what_no_machine_has_is_refused(size: int) -> None:
    with pytest.raises(NoMemory, match=r"^Cannot allocate memory$"):
        allocate(size)


def test_this_machine_tells() -> None:
    left = memory_left()
    assert left is None or left > 0


def test_large_pages_are_no_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are asked for, and a kernel without them gives others."""

    class Small(mmap.mmap):
        asked: ClassVar[list[int]] = []

        def madvise(self, option: int, *rest: int) -> None:
            self.asked.append(option)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(memory, "mmap", Small)
    assert len(allocate(4096)) == 4096
    assert not Small.asked
    assert len(allocate(4096, large_pages=True)) == 4096
    assert Small.asked == [mmap.MADV_HUGEPAGE]
