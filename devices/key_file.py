"""The key of a rendezvous, in a file that nobody else may read."""

from __future__ import annotations

import os
import stat

from devices.regular import open_regular, read_at_most
from protocols.rendezvous.keys import LARGEST_KEY, KeyRefused, key_of


def read_key(path: str) -> bytes:
    """The key in a file of ours or root's that its owner alone can read and change; where that is
    root, its group may read it. Blocks.

    :raise KeyRefused: it cannot be used; the text names the file and says why
    """
    try:
        with open(open_regular(path, os.O_RDONLY), "rb") as file:
            found = os.fstat(file.fileno())
            if found.st_uid not in (os.geteuid(), 0):
                raise KeyRefused(f"it belongs to user {found.st_uid}")
            allowed = stat.S_IRWXU | (stat.S_IRGRP if found.st_uid == 0 else 0)
            if stat.S_IMODE(found.st_mode) & ~allowed:
                mode = stat.S_IMODE(found.st_mode)
                raise KeyRefused(f"others can read or change it: its mode is {mode:04o}, not 0600")
            return key_of(read_at_most(file, LARGEST_KEY + 1))
    except OSError as fault:
        raise KeyRefused(f"{path}: {fault.strerror or fault}") from fault
    except KeyRefused as fault:
        raise KeyRefused(f"{path}: {fault}") from None
