"""What the driver says to the taper [protocol 3.1]."""

from __future__ import annotations

from typing import ClassVar

from protocols.crc import Crc
from protocols.driver.messages import Message, SplitFields


class StartTaper(Message, name="START-TAPER"):
    """Create a worker and let it look for a volume.

    :ivar taper: our name in the driver's messages, for the status-file line.
    :ivar storage: ignored; the option ``--storage`` rules.
    :ivar timestamp: write timestamp of every volume the worker labels, 8 or 14 digits.
    """

    taper: str
    worker: str
    storage: str
    timestamp: str


class FileWrite(Message, name="FILE-WRITE"):
    """Write a holding file; ``orig_kb`` is text as given, perhaps empty, ``level`` digits."""

    worker: str
    handle: str
    filename: str
    hostname: str
    diskname: str
    level: str
    datestamp: str
    split: SplitFields
    orig_kb: str


class PortWrite(Message, name="PORT-WRITE"):
    """Write what comes over TCP; ``data_path`` is ``AMANDA`` or ``DIRECTTCP``."""

    worker: str
    handle: str
    hostname: str
    diskname: str
    level: str
    datestamp: str
    split: SplitFields
    data_path: str


class ShmWrite(Message, name="SHM-WRITE"):
    """Write what comes through a ring in shared memory."""

    worker: str
    handle: str
    hostname: str
    diskname: str
    level: str
    datestamp: str
    split: SplitFields
    data_path: str


class VaultWrite(Message, name="VAULT-WRITE"):
    """Copy a dump from another storage."""

    worker: str
    handle: str
    src_storage: str
    src_pool: str
    src_label: str
    hostname: str
    diskname: str
    level: str
    datestamp: str
    split: SplitFields
    orig_kb: str


class StartScan(Message, name="START-SCAN"):
    """Look for a volume, without permission to use it yet."""

    worker: str
    handle: str


class NewTape(Message, name="NEW-TAPE"):
    """Permission to use one more volume."""

    worker: str
    handle: str


class NoNewTape(Message, name="NO-NEW-TAPE"):
    """Denial of one more volume, and why."""

    worker: str
    handle: str
    reason: str


class TakeScribeFrom(Message, name="TAKE-SCRIBE-FROM"):
    """Take over the volume or reservation of ``from_worker``, which ceases to exist."""

    worker: str
    handle: str
    from_worker: str


class Done(Message, name="DONE"):
    """The dumper is done; its checksums."""

    unquoted: ClassVar[tuple[str, ...]] = ("native_crc", "client_crc", "server_crc")

    worker: str
    handle: str
    orig_kb: str
    native_crc: Crc
    client_crc: Crc
    server_crc: Crc


class Failed(Message, name="FAILED"):
    """The dumper failed."""

    worker: str
    handle: str


class CloseVolume(Message, name="CLOSE-VOLUME"):
    """Finish and release a started volume."""

    worker: str


class CloseSourceVolume(Message, name="CLOSE-SOURCE-VOLUME"):
    """Close the volume that vaulting reads from."""

    worker: str


class Quit(Message, name="QUIT"):
    """End; also what end of file means."""


WriteCommand = FileWrite | PortWrite | ShmWrite | VaultWrite
"""The commands that ask for a dump to be written."""

COMMANDS: dict[str, type[Message]] = {
    message.name: message
    for message in (
        StartTaper,
        FileWrite,
        PortWrite,
        ShmWrite,
        VaultWrite,
        StartScan,
        NewTape,
        NoNewTape,
        TakeScribeFrom,
        Done,
        Failed,
        CloseVolume,
        CloseSourceVolume,
        Quit,
    )
}
