"""How a command for people ends, and one that a monitoring system runs."""

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


class State(enum.IntEnum):
    """Exit statuses of a plugin, by the convention of Nagios and Icinga."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3
    """Nobody knows: it could not be found out."""

    @property
    def badness(self) -> int:
        """The higher, the sooner somebody should look: what is known to be bad outweighs what is
        not known."""
        return (State.OK, State.UNKNOWN, State.WARNING, State.CRITICAL).index(self)
