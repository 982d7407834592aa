"""Is the process that holds a slot still there? (scan-and-changers 3.1, quirk 21)

Stock knows a holder by its pid alone, so a recycled pid blocks a slot for ever. We write one more
key beside the pid, which stock keeps and ignores: when that process began.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

#: The extra key beside ``pid``: ``BOOT/TICKS`` of the holder's start.
STARTED = "started"

_MAX_PID = 2**31 - 1


def is_alive(pid: int) -> bool:
    """Whether ``pid`` is a living process: zombies are dead, another user's process lives."""
    if not 0 < pid <= _MAX_PID:
        return False
    if pid == os.getpid():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    fields = _status_fields(pid)
    # Without /proc (or hidden by it) the signal's answer has to do. A Tgid of its own tells a
    # process from a mere thread, whose number kill accepts as well.
    return not fields or (
        fields.get("State", "")[:1] not in ("Z", "X") and fields.get("Tgid", str(pid)) == str(pid)
    )


def start_mark(pid: int) -> str | None:
    """What tells this process from a later one of the same pid; None where the system hides it."""
    try:
        boot = _boot()
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return None
    # The second field is the program's name in brackets and may hold anything.
    fields = stat.rpartition(b")")[2].split()
    return f"{boot}/{fields[19].decode()}" if len(fields) > 19 else None


@functools.cache
def _boot() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def own_mark() -> dict[str, Any]:
    """What a reservation of this process says about its holder: ``pid`` and, if known, start."""
    mark: dict[str, Any] = {"pid": os.getpid()}
    started = start_mark(os.getpid())
    if started is not None:
        mark[STARTED] = started
    return mark


def holder_pid(entry: Mapping[str, Any]) -> int | None:
    """The pid in a reservation, None if there is none that could be one."""
    pid = entry.get("pid")
    if isinstance(pid, str) and pid.isascii() and pid.isdigit() and len(pid) <= 10:
        pid = int(pid)
    return pid if isinstance(pid, int) and 0 < pid <= _MAX_PID else None


def holder_is_alive(entry: Mapping[str, Any]) -> bool:
    """Whether the process that made the reservation ``entry`` still lives."""
    pid = holder_pid(entry)
    if pid is None or not is_alive(pid):
        return False
    now = start_mark(pid)
    if now is None:
        return True
    started = entry.get(STARTED)
    if started is None:
        # We always write the mark: an entry with our pid and without it is from an earlier
        # process, a stock one.
        return pid != os.getpid()
    return bool(started == now)


def _status_fields(pid: int) -> dict[str, str]:
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
