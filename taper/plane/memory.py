"""Memory that is taken piece by piece, and never the last of the machine.

A kernel that overcommits refuses hardly any request and kills somebody later. So whoever takes
much asks first how much is left.
"""

from __future__ import annotations

import contextlib
import resource
from mmap import MADV_HUGEPAGE, MAP_ANONYMOUS, MAP_PRIVATE, mmap

from taper.plane.interfaces import reason

RESERVE = 64 * 1024 * 1024
"""Bytes of memory that are left to others, and to the threads of this process."""

_MEMINFO = "/proc/meminfo"
_CGROUPS = "/sys/fs/cgroup"


class NoMemory(Exception):
    """There is no such piece of memory to be had. Its text says why."""

    taper_code = 8004


def allocate(size: int, *, large_pages: bool = False) -> memoryview:
    """Get ``size`` bytes, whatever is left.

    :param large_pages: in pages as large as the system has them, if it can: what goes to a disk
        past the page cache then takes less of the processor's time
    :raise NoMemory: the system refuses
    """
    try:
        memory = mmap(-1, size, MAP_PRIVATE | MAP_ANONYMOUS)
        if large_pages:
            with contextlib.suppress(OSError):  # a kernel without them
                memory.madvise(MADV_HUGEPAGE)
        return memoryview(memory)
    except OSError as error:
        raise NoMemory(reason(error)) from error
    except (OverflowError, MemoryError) as error:
        raise NoMemory("Cannot allocate memory") from error


def allocate_more(size: int) -> memoryview:
    """Get ``size`` bytes more, unless too little would be left to others.

    :raise NoMemory: the system refuses, or has too little left
    """
    free = memory_left()
    if free is not None and free < size + RESERVE:
        raise NoMemory(f"{free >> 20} MiB of memory are left")
    return allocate(size)


def memory_left() -> int | None:
    """Bytes that this process can still get: of the machine, swap included, of the control groups
    that it is in, and within its own limits. None: the system does not tell."""
    everywhere = (_of_machine(), *_of_groups(), *_of_process())
    known = [size for size in everywhere if size is not None]
    return min(known, default=None)


def _of_machine() -> int | None:
    facts = _facts(_MEMINFO)
    available = facts.get("MemAvailable:")
    return None if available is None else (available + facts.get("SwapFree:", 0)) * 1024


def _of_process() -> list[int | None]:
    """What the limits of this process leave (``ulimit -v`` and ``ulimit -d``)."""
    words = _text("/proc/self/statm").split()
    left: list[int | None] = []
    for kind, word in ((resource.RLIMIT_AS, 0), (resource.RLIMIT_DATA, 5)):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY and len(words) > word:
            left.append(max(limit - int(words[word]) * resource.getpagesize(), 0))
    return left


def _of_groups() -> list[int | None]:
    """What each limit of control groups (version 2) leaves, from our own group upwards."""
    path = _text("/proc/self/cgroup").rpartition("0::")[2].strip()
    left: list[int | None] = []
    while path.startswith("/") and path != "/":
        group = f"{_CGROUPS}{path}"
        path = path.rpartition("/")[0]
        limit, used = _text(f"{group}/memory.max").strip(), _text(f"{group}/memory.current").strip()
        if limit.isdigit() and used.isdigit():
            # pages of files that nobody uses are given up before anything else
            spare = _facts(f"{group}/memory.stat").get("inactive_file", 0)
            left.append(max(int(limit) - int(used) + spare, 0))
    return left


def _facts(path: str) -> dict[str, int]:
    """Lines of a name and a number."""
    lines = (line.split() for line in _text(path).splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}


def _text(path: str) -> str:
    """The text of a file of the kernel; empty where it has none."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
