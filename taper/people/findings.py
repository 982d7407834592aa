"""What is wrong with volumes, as values."""

from __future__ import annotations

import enum
from typing import Any

from attrs import frozen

from protocols.errorcode import coded, named
from protocols.stored import DumpName
from taper.people.telling import moment, printable


class Wrong(enum.Enum):
    """Kinds of findings."""

    LABEL = "label"
    """The volume's label is not what the tapelist says, or cannot be read."""
    HEADER = "header"
    """A file's header cannot be read, or differs from the log or from its neighbours."""
    MISSING = "missing"
    """A file of which the log tells is not there."""
    UNLISTED = "unlisted"
    """A file that is there, of which no log tells."""
    LENGTH = "length"
    """A part is shorter or longer than the log says."""
    UNREADABLE = "unreadable"
    """The device could not read on."""
    CHECKSUM = "checksum"
    """What was read of a dump has another checksum than what was written."""

    @property
    def code(self) -> int:
        return _CODES[self]


_CODES = {
    Wrong.LABEL: 7020,
    Wrong.HEADER: 7021,
    Wrong.MISSING: 7022,
    Wrong.UNLISTED: 7023,
    Wrong.LENGTH: 7024,
    Wrong.UNREADABLE: 7025,
    Wrong.CHECKSUM: 7026,
}


@frozen(kw_only=True)
class Finding:
    """One thing that is wrong.

    :ivar volume: the label by which the volume is known.
    :ivar file: its number; None: the whole volume, or a dump that has several.
    :ivar part: of the dump, from 1.
    :ivar block: in which it is, from 0, the header not counted; None: nobody knows.
    :ivar byte: of the part, likewise.
    :ivar text: what is wrong, as a clause.
    :ivar volumes: all on which it may be; none: on that one.
    """

    wrong: Wrong
    text: str
    volume: str
    file: int | None = None
    dump: DumpName | None = None
    part: int | None = None
    block: int | None = None
    byte: int | None = None
    volumes: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Where it is, for people."""
        words = [f"volume {printable(self.volume)}"]
        if self.file is not None:
            words.append(f"file {self.file}")
        if self.block is not None:
            words.append(f"block {self.block}")
        if self.dump is not None:
            name = self.dump
            part = f"part {self.part} of " if self.part is not None else ""
            disk = f"{printable(name.host)}:{printable(name.disk)}"
            words.append(f"{part}{disk} level {name.level} of {moment(name.datestamp)}")
        return ", ".join(words)

    def __str__(self) -> str:
        return f"{self.place}: {coded(printable(self.text), self.wrong.code)}"

    def record(self) -> dict[str, Any]:
        """For ``--json``."""
        dump = self.dump
        return {
            "kind": self.wrong.value,
            "code": named(self.wrong.code),
            "text": self.text,
            "volume": self.volume,
            "volumes": list(self.volumes or (self.volume,)),
            "file": self.file,
            "host": None if dump is None else dump.host,
            "disk": None if dump is None else dump.disk,
            "datestamp": None if dump is None else dump.datestamp,
            "level": None if dump is None else dump.level,
            "part": self.part,
            "block": self.block,
            "byte": self.byte,
        }
