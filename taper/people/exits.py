"""How a command for people ends."""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """Exit statuses; docs/commands.md has them as a table."""

    WELL = 0
    """All was done, and all is well."""
    FAILED = 1
    """It could not be done; stderr says why."""
    USAGE = 2
    """The command line is wrong."""
    FOUND = 3
    """It was done, and something is not as it should be; the output says what."""
    ABSENT = 4
    """Volumes are needed that are not at hand; the output says which."""
    INTERRUPTED = 130
    """A signal ended it."""
