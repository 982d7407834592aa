"""What the taper says to the driver [protocol 3.2]."""

from __future__ import annotations

from protocols.crc import Crc
from protocols.driver.messages import Message

ALLOW_TAKE_SCRIBE_FROM = "ALLOW-TAKE-SCRIBE-FROM"
NO_TAKE_SCRIBE_FROM = "NO-TAKE-SCRIBE-FROM"
INPUT_GOOD = "INPUT-GOOD"
INPUT_ERROR = "INPUT-ERROR"
TAPE_GOOD = "TAPE-GOOD"
TAPE_ERROR = "TAPE-ERROR"
TAPE_CONFIG = "TAPE-CONFIG"

SETUP = "SETUP"
"""The worker named in a TAPE-ERROR when storage or changer cannot be opened."""

WORDS = {
    "allow": (ALLOW_TAKE_SCRIBE_FROM, NO_TAKE_SCRIBE_FROM),
    "input": (INPUT_GOOD, INPUT_ERROR),
    "tape": (TAPE_GOOD, TAPE_ERROR, TAPE_CONFIG),
}
"""Fields that hold one of a few words."""


class TaperOk(Message, name="TAPER-OK"):
    """The worker's first scan found a volume; ``allow`` is a ``*_TAKE_SCRIBE_FROM`` word."""

    worker: str
    allow: str


class TapeError(Message, name="TAPE-ERROR"):
    """The worker's first scan failed, or (worker ``SETUP``) nothing can be opened."""

    worker: str
    text: str


class Port(Message, name="PORT"):
    """Where the header and the data of a PORT-WRITE are awaited."""

    worker: str
    handle: str
    header_port: int
    ipports: tuple[str, ...]


class ShmName(Message, name="SHM-NAME"):
    """Where the header and the data of a SHM-WRITE are awaited."""

    worker: str
    handle: str
    header_port: int
    shm_name: str


class RequestNewTape(Message, name="REQUEST-NEW-TAPE"):
    """A volume is needed now."""

    worker: str
    handle: str


class NewTape(Message, name="NEW-TAPE"):
    """A volume is labelled and about to be written."""

    worker: str
    handle: str
    label: str


class NoNewTape(Message, name="NO-NEW-TAPE"):
    """After permission, no volume could be found or labelled."""

    worker: str
    handle: str


class Ready(Message, name="READY"):
    """The first part is about to be written."""

    worker: str
    handle: str


class PartDone(Message, name="PARTDONE"):
    """A part is on a volume; ``stats`` as :func:`protocols.stats.format_stats` makes it."""

    worker: str
    handle: str
    label: str
    fileno: int
    kb: int
    stats: str


class DumperStatus(Message, name="DUMPER-STATUS"):
    """The data ended; what does the dumper say?"""

    worker: str
    handle: str


class Done(Message, name="DONE"):
    """End of a dump, all good [protocol 3.4]."""

    worker: str
    handle: str
    input: str
    tape: str
    server_crc: Crc
    stats: str
    inputerr: str
    tapererr: str


class Partial(Message, name="PARTIAL"):
    """End of a dump of which a part is on volumes [protocol 3.4]."""

    worker: str
    handle: str
    input: str
    tape: str
    server_crc: Crc
    stats: str
    inputerr: str
    tapererr: str


class Failed(Message, name="FAILED"):
    """End of a dump of which nothing is on volumes [protocol 3.4]."""

    worker: str
    handle: str
    input: str
    tape: str
    inputerr: str
    tapererr: str


class ClosedVolume(Message, name="CLOSED-VOLUME"):
    """The volume is released."""

    worker: str


class OpenedSourceVolume(Message, name="OPENED-SOURCE-VOLUME"):
    """Vaulting reads from this volume."""

    worker: str
    handle: str
    label: str


class ClosedSourceVolume(Message, name="CLOSED-SOURCE-VOLUME"):
    """Vaulting closed its source volume."""

    worker: str


class BadCommand(Message, name="BAD-COMMAND"):
    """A command could not be taken [protocol 3.5]. Fatal for the driver."""

    text: str


REPLIES: dict[str, type[Message]] = {
    message.name: message
    for message in (
        TaperOk,
        TapeError,
        Port,
        ShmName,
        RequestNewTape,
        NewTape,
        NoNewTape,
        Ready,
        PartDone,
        DumperStatus,
        Done,
        Partial,
        Failed,
        ClosedVolume,
        OpenedSourceVolume,
        ClosedSourceVolume,
        BadCommand,
    )
}
