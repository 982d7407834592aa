"""What the lines of a trace log say, as values [protocol 6.1], [config 5.2].

Statistics fields hold what :func:`protocols.stats.format_stats` made. Part totals are always
unknown (-1) and therefore no field.
"""

from __future__ import annotations

from protocols.crc import Crc
from protocols.records import Record


class Info(Record):
    """A note, e.g. of a scan."""

    text: str


class PidStart(Record):
    """First line of a process."""

    pid: int


class PidDone(Record):
    """Last line of a process that ended cleanly."""

    pid: int


class TapeInfo(Record):
    """A volume was released.

    :ivar kb: floor(bytes of good parts / 1024)
    :ivar fm: number of the last file; -1 if there is only the label.
    """

    label: str
    kb: int
    fm: int


class Start(Record):
    """A volume was labelled; ``tape`` counts the volumes of a process from 1."""

    datestamp: str
    storage: str
    pool: str
    label: str
    tape: int


class Part(Record):
    """A good part."""

    storage: str
    pool: str
    label: str
    fileno: int
    host: str
    disk: str
    datestamp: str
    partnum: int
    level: str
    stats: str


class PartPartial(Record):
    """A part that is not good on the volume, and why."""

    storage: str
    pool: str
    label: str
    fileno: int
    host: str
    disk: str
    datestamp: str
    partnum: int
    level: str
    stats: str
    text: str


class Done(Record):
    """A dump is complete; ``parts`` is the number of the last part."""

    storage: str
    pool: str
    host: str
    disk: str
    datestamp: str
    parts: int
    level: str
    native_crc: Crc
    client_crc: Crc
    server_crc: Crc
    stats: str


class Partial(Record):
    """A dump is on volumes in part, or whole but its dumper failed (then without text)."""

    storage: str
    pool: str
    host: str
    disk: str
    datestamp: str
    parts: int
    level: str
    native_crc: Crc
    client_crc: Crc
    server_crc: Crc
    stats: str
    text: str | None = None


class Fail(Record):
    """Nothing of a dump is on volumes.

    :ivar config: the driver denied a volume; False: an error.
    :ivar vault: it was a VAULT-WRITE.
    """

    storage: str
    pool: str
    host: str
    disk: str
    datestamp: str
    level: str
    config: bool
    text: str
    vault: bool = False


class Error(Record):
    """A bad command, or another error that has no form of its own."""

    text: str


class NoTapeError(Record):
    """No volume could be had at the start."""

    text: str


class NoTapeConfig(Record):
    """The driver denied a volume."""

    reason: str


class Warning_(Record):
    """A warning about one dump."""

    host: str
    disk: str
    text: str


class Fatal(Record):
    """The process is about to end with an error."""

    text: str


class Other(Record):
    """Any other line: of another program, or of a form not known here. ``text`` is as it stands."""

    type: str
    program: str
    text: str
