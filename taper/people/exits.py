"""How a command for people ends, and one that a monitoring system runs."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from taper.core.errors import SourceFault


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


class NotAtHand(SourceFault):
    """A volume is not in the changers, or cannot be had from them now; the command ends with
    :attr:`Exit.ABSENT`.

    :ivar no_drive: it is there, and no drive is free for it.
    """

    taper_code = 7003

    def __init__(self, text: str, *, no_drive: bool = False) -> None:
        super().__init__(text)
        self.no_drive = no_drive


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


MEANINGS: Mapping[Exit, str] = {
    Exit.WELL: "all was done, and all is well",
    Exit.FAILED: "it could not be done; stderr says why",
    Exit.USAGE: "the command line is wrong",
    Exit.FOUND: "it was done, and something is not as it should be: damage, a label that is there "
    "twice, no volume for tonight, no such dump",
    Exit.ABSENT: "volumes are needed that are not at hand",
    Exit.INTERRUPTED: "interrupted; drives and slots were given back",
}
"""What people are told of them, in docs/commands.md and in the manual page."""

STATES: Mapping[State, str] = {
    State.OK: "OK",
    State.WARNING: "WARNING: the last dump of a disk is older than `--warning` (36h), fewer "
    "volumes are left than `--volumes-warning` (`runtapes`), a dump failed, is partial or missing, "
    "or the last run died",
    State.CRITICAL: "CRITICAL: a disk has no dump that can be restored, or its last one is older "
    "than `--critical` (60h); fewer volumes are left than `--volumes-critical` (1), or tonight's "
    "scan would take none",
    State.UNKNOWN: "UNKNOWN: it could not be found out; the line says why. So for a wrong command "
    "line, and where slots of unknown content decide",
}
"""The same of a plugin's."""
