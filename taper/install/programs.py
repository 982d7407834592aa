"""Finding programs of the system, whatever the surroundings of the administrator are."""

from __future__ import annotations

import os
import shutil

_ALSO = ("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/sbin", "/bin")
"""Where they are looked for after the directories of PATH."""


def find(name: str) -> str | None:
    """Path of a program; None if there is none. A PATH that lacks the usual directories must not
    make a machine with dpkg look like one without."""
    path = [each for each in os.environ.get("PATH", "").split(os.pathsep) if each]
    found = shutil.which(name, path=os.pathsep.join((*path, *_ALSO)))
    return None if found is None else os.path.abspath(found)
