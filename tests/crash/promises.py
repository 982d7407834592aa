"""What a taper has promised by what it told the driver."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import define, field, frozen

from protocols.driver.codec import decode_command, decode_reply
from protocols.driver.commands import StartTaper
from protocols.driver.replies import Done, Failed, NewTape, PartDone, Partial
from tests.crash.events import Heard, Told
from tests.crash.stage import Dumped

BYTES = re.compile(r" bytes (\d+) ")


@frozen
class PartPromise:
    """A part is on a volume.

    :ivar offset: of its first byte in the dump.
    :ivar stamp: of the run.
    """

    dump: Dumped
    label: str
    fileno: int
    number: int
    offset: int
    size: int
    stamp: str

    @property
    def data(self) -> bytes:
        return self.dump.data[self.offset : self.offset + self.size]


@define
class Promises:
    """All that was told up to a moment.

    :ivar volumes: labels, and the runs that told them.
    :ivar ended: dumps by the word that ended them.
    """

    parts: list[PartPromise] = field(factory=list)
    volumes: list[tuple[str, str]] = field(factory=list)
    ended: list[tuple[str, Dumped]] = field(factory=list)
    _stamp: str = ""

    @classmethod
    def made(cls, said: Iterable[Told | Heard], dumps: Mapping[str, Dumped]) -> Promises:
        """What lines promise."""
        promises = cls()
        for line in said:
            promises.hear(line, dumps)
        return promises

    def hear(self, said: Told | Heard, dumps: Mapping[str, Dumped]) -> None:
        """Take one line."""
        if isinstance(said, Heard):
            command: Any = decode_command(said.line.encode("utf-8", "surrogateescape"))
            if isinstance(command, StartTaper):
                self._stamp = command.timestamp
            return
        reply: Any = decode_reply(said.line.encode("utf-8", "surrogateescape"))
        if isinstance(reply, NewTape):
            self.volumes.append((reply.label, self._stamp))
        elif isinstance(reply, PartDone):
            dump = dumps[reply.handle]
            before = self.parts_of(dump)
            size = BYTES.search(reply.stats)
            assert size is not None, reply
            self.parts.append(
                PartPromise(
                    dump,
                    reply.label,
                    reply.fileno,
                    len(before) + 1,
                    sum(part.size for part in before),
                    int(size[1]),
                    self._stamp,
                )
            )
        elif isinstance(reply, Done | Partial | Failed):
            self.ended.append((reply.name, dumps[reply.handle]))

    def parts_of(self, dump: Dumped) -> list[PartPromise]:
        return [part for part in self.parts if part.dump is dump]
