"""What comes from a dump's source: counted as it comes, and what went wrong with it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from taper.plane.crc import RunningCrc, prepare
from taper.plane.interfaces import ShortOfRoom, SourceError

if TYPE_CHECKING:
    from protocols.crc import Crc
    from taper.plane.interfaces import ISource


class Intake:
    """Reads a source for whoever does it: one thread at a time.

    :ivar crc: of the bytes read so far, each counted once.
    :ivar read_error: the source's failure, an input error, if it failed.
    :ivar trouble: what this host lacked, if that ended the reading: an error of the device's side.
    :ivar seconds: spent reading.
    :ivar size: bytes read.
    """

    def __init__(self, source: ISource, done: Crc) -> None:
        """:param done: of bytes that were read before, elsewhere"""
        self.crc = RunningCrc(done)
        self.read_error: str | None = None
        self.trouble: str | None = None
        self.seconds = 0.0
        self.size = 0
        self._reading: float | None = None
        self.source = source

    def prepare(self) -> None:
        """Have at hand what reading needs, before any volume is touched; blocks.

        :raise ShortOfRoom: it cannot be had
        """
        prepare()

    def read_into(self, space: memoryview) -> int:
        """Fill the front of ``space`` and count it. :return: bytes; 0: the end, or cancelled"""
        began = self._reading = time.monotonic()
        size = self.source.read_into(space)
        if size:
            self.crc.update(space[:size])
            self.size += size
        self._reading = None
        self.seconds += time.monotonic() - began
        return size

    def spent(self) -> float:
        """Seconds spent reading until now; from any thread, and a little less than true now and
        then."""
        seconds, began = self.seconds, self._reading
        return seconds if began is None else seconds + max(time.monotonic() - began, 0.0)

    def note(self, error: BaseException, *, halted: bool) -> bool:
        """Keep what ended the reading.

        :param halted: the dump was stopped before, so that a failing source says nothing new
        :return: it was foreseen; anything else is told too, and the caller should raise it where
            somebody sees it
        """
        if isinstance(error, ShortOfRoom):
            self.trouble = str(error)
        elif isinstance(error, SourceError):
            if not halted:
                self.read_error = str(error)
        elif isinstance(error, MemoryError):
            self.trouble = "Not enough memory to read the dump"
        else:
            self.read_error = f"error while reading: {error!r}"
            return False
        return True
