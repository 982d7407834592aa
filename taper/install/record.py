"""Writing the record of the installation of Amanda that ours works for."""

from __future__ import annotations

import os
import tempfile

from protocols.installation import Installation, render


def evolve(installation: Installation, **changes: str) -> Installation:
    """The same with some values changed."""
    return Installation(**{**installation.values(), **changes})


def write_record(path: str, installation: Installation) -> None:
    """Put a record in place, for all to read; the old one is there until the new one is whole.

    :raise OSError: it cannot be written
    """
    directory = os.path.dirname(path)
    for each in (os.path.dirname(directory), directory):
        if not os.path.isdir(each):
            os.mkdir(each)
            os.chmod(each, 0o755)  # whatever the umask is: the dump user reads there
    descriptor, name = tempfile.mkstemp(prefix=".amanda.", dir=directory)
    try:
        with open(descriptor, "wb") as file:
            file.write(render(installation))
            os.fchmod(descriptor, 0o644)
            file.flush()
            os.fsync(descriptor)
        os.rename(name, path)
    except BaseException:
        os.unlink(name)
        raise
