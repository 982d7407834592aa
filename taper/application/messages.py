"""What the application says while it dumps: messages on descriptor 3, the index on descriptor 4."""

from __future__ import annotations

import os
from typing import IO

from protocols.application import one_line
from protocols.crc import Crc
from protocols.gnutar import Kind, Rules, index_line, total_bytes
from taper.application.errors import ApplicationError, reason

MESSAGES = 3
INDEX = 4
_LONGEST_LINE = 1 << 20


class Messages:
    """The lines that Amanda's client passes on to the dumper."""

    def __init__(self, descriptor: int = MESSAGES) -> None:
        self._descriptor = descriptor

    def _say(self, line: str) -> None:
        data = os.fsencode(line) + b"\n"
        while data:
            data = data[os.write(self._descriptor, data) :]

    def note(self, kind: Kind, text: str) -> None:
        """A message: normal ones are for the curious, strange ones make the dump STRANGE."""
        if kind is Kind.ERROR:
            self.error(text)
        elif kind is not Kind.IGNORE:
            self._say(f"{kind.value} {' '.join(text.splitlines())}")

    def error(self, text: str) -> None:
        """The dump failed."""
        self._say(f"sendbackup: error [{one_line(text)}]")

    def size(self, kib: int) -> None:
        self._say(f"sendbackup: size {kib}")

    def crc(self, crc: Crc) -> None:
        """Nothing changes the bytes between tar and the wire: both are the same."""
        self._say(f"sendbackup: native-CRC {crc}")
        self._say(f"sendbackup: client-CRC {crc}")


class TarListener:
    """Reads tar's standard error to its end: names to the index, messages to whom they concern.

    :ivar total: bytes that tar says it wrote; None: it did not say
    :ivar failure: why names or messages could not be passed on
    """

    def __init__(self, rules: Rules, messages: Messages, index: IO[bytes] | None) -> None:
        self.total: int | None = None
        self.failure: ApplicationError | None = None
        self._rules = rules
        self._messages = messages
        self._index = index

    def listen(self, stream: IO[bytes]) -> None:
        """Read to the end, whatever happens: tar must not wait for a reader."""
        while line := stream.readline(_LONGEST_LINE):
            if self.failure is None:
                try:
                    self._take(line)
                except OSError as error:
                    text = f"cannot pass on what tar says: {reason(error)}"
                    self.failure = ApplicationError(text)

    def _take(self, line: bytes) -> None:
        name = index_line(line)
        if name is not None:
            if self._index is not None:
                self._index.write(name)
            return
        text = os.fsdecode(line.rstrip(b"\n"))
        total = total_bytes(line)
        if total is not None:
            self.total = total
            self._messages.note(Kind.NORMAL, text)
        elif text:
            self._messages.note(self._rules.judge(text), text)
