"""What this process has open.

Other tests, and the collector of garbage, may close at any moment what earlier tests have left. So
ask what is *new*, and never how much there is.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress

_PLACE = "/proc/self/fd"


def descriptors() -> set[tuple[int, str]]:
    """Number of each descriptor, and what it is: a path, or ``socket:[inode]`` and the like."""
    found = set()
    for name in os.listdir(_PLACE):
        with suppress(FileNotFoundError):  # the one that lists them, or closed meanwhile
            found.add((int(name), os.readlink(f"{_PLACE}/{name}")))
    return found


def threads(name: str) -> set[threading.Thread]:
    """Those that run, and whose names begin so."""
    return {thread for thread in threading.enumerate() if thread.name.startswith(name)}
