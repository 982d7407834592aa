"""Where this installation of ours keeps its own records: in its (virtual) environment.

For all who need that before anything else is imported, as the command that a daemon serves does.
"""

import posix
import sys

OURS = "etc/twisted-taper"
RECORD = "amanda.json"
"""What is recorded of Amanda."""
DAEMON = "daemon"
"""Where the daemon is that serves Amanda's driver, if one does."""


def prefix_of(python: str) -> str:
    """The environment of an interpreter, which lies in its ``bin``."""
    return python.rpartition("/")[0].rpartition("/")[0]


def place_of(name: str, prefix: str | None = None) -> str:
    """The path of one of these records.

    :param prefix: of the environment; None: ours
    """
    if prefix is None:
        # what ``site`` would tell, where the launcher spares it (taper.install.standin)
        prefix = prefix_of(sys.executable) if sys.flags.no_site else sys.prefix
    return f"{prefix}/{OURS}/{name}"


def record_stamp() -> str:
    """Tells whether the record of Amanda is the one that another process has read."""
    try:
        found = posix.stat(place_of(RECORD))
    except OSError:
        return ""
    return f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"
