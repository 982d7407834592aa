"""Is a process still there, and is it the same one?"""

from __future__ import annotations

import functools
import os

MAX_PID = 2**31 - 1


def is_alive(pid: int) -> bool:
    """Whether ``pid`` is a living process: zombies are dead, another user's process lives."""
    if not 0 < pid <= MAX_PID:
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


def _status_fields(pid: int) -> dict[str, str]:
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
