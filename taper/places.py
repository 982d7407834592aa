"""Where this installation of ours keeps its own records: in its (virtual) environment.

For all who need that before anything else is imported.
"""

from __future__ import annotations

import os
import sys

OURS = "etc/twisted-taper"
RECORD = "amanda.json"
"""What is recorded of Amanda."""
DAEMON = "daemon"
"""Where the daemon is that serves Amanda's driver, if one does."""


def place_of(name: str, prefix: str | None = None) -> str:
    """The path of one of these records.

    :param prefix: of the environment; None: ours
    """
    return os.path.join(sys.prefix if prefix is None else prefix, OURS, name)


def record_stamp() -> str:
    """Tells whether the record of Amanda is the one that another process has read."""
    try:
        found = os.stat(place_of(RECORD))
    except OSError:
        return ""
    return f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"
