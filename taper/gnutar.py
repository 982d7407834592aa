"""GNU tar as this machine has it: which program that is, and what it is run with."""

from __future__ import annotations

import os

USUAL = ("/bin/tar", "/usr/bin/tar", "/usr/local/bin/gtar", "/usr/bin/gtar")


def find_tar() -> str | None:
    """The tar to run; None: there is none where one is expected."""
    for path in USUAL:
        if os.access(path, os.X_OK):
            return path
    return None


def environment() -> dict[str, str]:
    """Of every tar: messages are matched, so they must be in no language but C."""
    return {"LC_ALL": "C", "PATH": "/usr/local/bin:/usr/bin:/bin"}
