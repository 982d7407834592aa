"""Is the process that holds a slot still there? [changers 3.1, quirk 21]

Stock knows a holder by its pid alone, so a recycled pid blocks a slot for ever. We write one more
key beside the pid, which stock keeps and ignores: when that process began.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from devices.processes import MAX_PID, is_alive, start_mark

#: The extra key beside ``pid``: ``BOOT/TICKS`` of the holder's start.
STARTED = "started"


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
    return pid if isinstance(pid, int) and 0 < pid <= MAX_PID else None


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
