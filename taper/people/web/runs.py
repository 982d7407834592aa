"""Timelines of runs, read from the files in which the driver tells of them; it blocks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from devices.regular import open_regular
from taper.people.web.timeline import Timeline, read_timeline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from protocols.conf import Config

MOST_BYTES = 64 * 2**20
"""Of a file that are read."""
_MOST_LINE = 65536
_MOST_KNOWN = 16
_DIGITS = (14, 8)


class Runs:
    """Remembers the last ones."""

    def __init__(self, config: Config) -> None:
        self._logdir = config.path(config.general.logdir)
        self._known: dict[str, tuple[tuple[int, int, int], Timeline | None]] = {}

    def timeline(self, stamp: str) -> Timeline | None:
        """How a run went; None: no driver has told of it, or it cannot be read.

        :param stamp: 14 digits
        """
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) == _DIGITS[0]):
            return None
        for digits in _DIGITS:
            path = f"{self._logdir}/amdump.{stamp[:digits]}"
            try:
                return self._read(path)
            except OSError:
                continue  # tidied away, or never there
        return None

    def _read(self, path: str) -> Timeline | None:
        with open(path, "rb", opener=open_regular) as file:
            facts = os.fstat(file.fileno())
            state = facts.st_ino, facts.st_size, facts.st_mtime_ns
            known = self._known.pop(path, None)
            if known is None or known[0] != state:
                known = state, read_timeline(_lines(file))
        self._known[path] = known
        while len(self._known) > _MOST_KNOWN:
            del self._known[next(iter(self._known))]
        return known[1]


def _lines(file: BinaryIO) -> Iterator[str]:
    read = 0
    while read < MOST_BYTES and (line := file.readline(_MOST_LINE)):
        read += len(line)
        yield line.decode("utf-8", "surrogateescape")
