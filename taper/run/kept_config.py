"""The configuration that a daemon has read for one command, for the next one that asks for it.

A driver starts a taper for each storage, night after night, and waits for each; some hundred lines
take longer to read than all else of a start that is served. What was read is kept as long as all of
its files, and what the meaning of a line depends on, are as they were; what is not certain is read
anew.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import field, mutable

from taper.run.amanda_version import amanda_version
from taper.run.setup import load_config, read_file

if TYPE_CHECKING:
    from protocols.conf import Config
    from protocols.conf.values import Version
    from taper.run.options import Options
    from taper.run.paths import Paths

SETTLED = 2.0
"""Seconds since the last change of a file after which the next one shows: within a tick of the
clock of its file system it could look the same after two."""

Look = tuple[int, ...]

MISSING: Look = (0,)
_DIRECTORY: Look = (stat.S_IFDIR,)
_EXPECTED: dict[Look, type[OSError]] = {MISSING: FileNotFoundError, _DIRECTORY: IsADirectoryError}


@mutable
class _Reading:
    """How a configuration was read.

    :ivar asked: whose it is, in the words of who wanted it
    :ivar files: how each looked that was read, or was not there
    :ivar versions: what Amanda's was, each time it mattered
    :ivar noted: what was noted meanwhile
    :ivar said: its messages
    :ivar certain: another reading would be the same unless something of that is different
    """

    asked: tuple[object, ...]
    files: dict[str, Look] = field(factory=dict)
    versions: list[Version | None] = field(factory=list)
    noted: list[str] = field(factory=list)
    said: list[str] = field(factory=list)
    certain: bool = True

    def read(self, path: str) -> bytes:
        """Read a file of it. :raise OSError: it cannot be"""
        before = look(path)
        if self.files.setdefault(path, before) != before:
            self.certain = False
        try:
            data = read_file(path)
        except OSError as fault:
            if not isinstance(fault, _EXPECTED.get(before, ())):
                self.certain = False
            raise
        if look(path) != before or not is_settled(before):
            self.certain = False
        return data

    def version(self) -> Version | None:
        """Ask for Amanda's version."""
        self.versions.append(amanda_version())
        return self.versions[-1]

    @property
    def holds(self) -> bool:
        """All that it depends on is as it was."""
        return (
            self.certain
            and all(look(path) == before for path, before in self.files.items())
            and all(version == amanda_version() for version in set(self.versions))
        )


def look(path: str) -> Look:
    """What is different after a file has changed; of a directory only that it is one."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return MISSING
    except OSError as fault:
        return (fault.errno or -1,)
    if stat.S_ISDIR(found.st_mode):
        return _DIRECTORY
    changed = (found.st_mtime_ns, found.st_ctime_ns)
    return (found.st_dev, found.st_ino, found.st_mode, found.st_size, *changed)


def is_settled(seen: Look) -> bool:
    """A file was not changed just before it looked so."""
    return time.time() - max(seen[-2:]) / 1e9 > SETTLED


class KeptConfig:
    """Reads configurations, and keeps the last one."""

    def __init__(self) -> None:
        self._last: tuple[_Reading, Config] | None = None

    def load(
        self,
        options: Options,
        paths: Paths,
        note: Callable[[str], object],
        say: Callable[[str], object],
        directory: str,
    ) -> Config:
        """As :func:`load_config` does; of one that cannot be used nothing is noted.

        :raise StartFailed: a message was an error
        """
        asked = (options.config_name, options.overrides, paths.config_root, directory)
        if self._last is None or self._last[0].asked != asked or not self._last[0].holds:
            self._last = None
            reading = _Reading(asked)
            config = load_config(
                options,
                paths,
                reading.noted.append,
                reading.said.append,
                directory,
                reading.read,
                reading.version,
            )
            self._last = reading, config
        reading, config = self._last
        for text in reading.noted:
            note(text)
        for text in reading.said:
            say(text)
        return config
