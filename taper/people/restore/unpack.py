"""Who is given a dump: GNU tar, the application that made it, or standard output."""

from __future__ import annotations

import fcntl
import functools
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from devices.threads import start_thread
from taper.last_words import STDOUT, CannotStart, reason

if TYPE_CHECKING:
    from protocols.conf import Config
    from protocols.header import Header

_MOST_SAID = 65536
"""Bytes of what a program says that are kept."""
_PIPE = 1 << 20
"""Bytes that may be on their way to a program."""
_SUMMARY = "Exiting with failure status due to previous errors"
_NOT_FOUND = "Not found in archive"
"""How lines of tar end, in no language but C."""


class Taker(Protocol):
    """Who is given a dump.

    :ivar name: for people.
    :ivar descriptor: where the bytes go; whoever sends them closes it.
    """

    name: str
    descriptor: int

    def kill(self) -> None:
        """End it now. Any thread; safe to repeat."""

    def wait(self) -> None:
        """Wait for its end; blocks."""

    def complaints(self, not_found: int = 0) -> list[str]:
        """What it has to say, if it did not end well.

        :param not_found: of how many names it is to say that they are not in the archive
        """


class Output:
    """Standard output."""

    def __init__(self) -> None:
        self.name = "the reader of standard output"
        self._blocked = os.get_blocking(STDOUT)
        self.descriptor = os.dup(STDOUT)

    def kill(self) -> None:
        """Whoever reads sees the end."""

    def wait(self) -> None:
        os.set_blocking(STDOUT, self._blocked)

    def complaints(self, not_found: int = 0) -> list[str]:
        return []


class Program:
    """A program that reads the dump from its standard input."""

    def __init__(self, command: Sequence[str], surroundings: Mapping[str, Any]) -> None:
        """:param surroundings: user and environment, as Popen takes them
        :raise CannotStart: it cannot be run
        """
        self.name = command[0].rpartition("/")[2]
        reading, self.descriptor = os.pipe()
        with suppress(OSError):  # it is only faster so
            fcntl.fcntl(self.descriptor, fcntl.F_SETPIPE_SZ, _PIPE)
        try:
            # a session of its own: the terminal's Ctrl-C is for us alone
            self._process = subprocess.Popen(
                command,
                stdin=reading,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
                umask=0o022,
                **surroundings,
            )
        except OSError as fault:
            os.close(self.descriptor)
            raise CannotStart(f"cannot run {command[0]}: {reason(fault)}") from fault
        finally:
            os.close(reading)
        self._said = bytearray()
        self._listener: threading.Thread = start_thread(
            "restore listener", functools.partial(_listen, self._process, self._said)
        )

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> None:
        self._process.wait()
        self._listener.join()

    def complaints(self, not_found: int = 0) -> list[str]:
        status = self._process.returncode
        if not status:
            return []
        said = self._said.decode("utf-8", "surrogateescape").splitlines()
        absent = [line for line in said if line.endswith(_NOT_FOUND)]
        lines = [line for line in said if not line.endswith((_SUMMARY, _NOT_FOUND))]
        if len(absent) != not_found:
            lines += absent
        if lines or (absent and len(absent) == not_found):
            return lines
        how = f"status {status}" if status > 0 else f"signal {-status}"
        return [f"{self.name} ended with {how}"]


def _listen(process: subprocess.Popen[bytes], said: bytearray) -> None:
    assert process.stderr is not None
    with process.stderr as pipe:
        while piece := pipe.read(_MOST_SAID):
            said += piece[: _MOST_SAID - len(said)]


def extracting(
    tar: str, directory: str, paths: Sequence[str], *, alone: bool, root: bool
) -> list[str]:
    """The command that unpacks an archive.

    :param paths: below the disk's directory; none: everything
    :param alone: nothing else is in the directory, so that what an incremental archive does not
        list may be deleted
    :param root: owners can be restored
    """
    return [
        tar,
        "--extract",
        "--file=-",
        f"--directory={directory}",
        "--preserve-permissions",
        "--numeric-owner",
        "--same-owner" if root else "--no-same-owner",
        *(["--incremental"] if alone else []),
        "--no-wildcards",
        "--",
        *(spelling for path in paths for spelling in spellings(path)),
    ]


def spellings(path: str) -> tuple[str, str]:
    """How the members of an archive may be named."""
    return f"./{path}", path


def by_application(
    config: Config, header: Header, program: str, directory: str, paths: Sequence[str]
) -> list[str]:
    """The command by which an application restores its own dumps, with the properties that the
    configuration gives it."""
    command = [
        *(program, "restore"),
        *("--config", config.name),
        *("--host", header.host),
        *("--disk", header.disk),
        *("--level", str(header.level)),
        *("--target", directory),
    ]
    for section in config.applications():
        if section.plugin == header.application:
            for name, its in section.property.items():
                for value in its:
                    command += [f"--{name.lower()}", value]
            break
    return [*command, *(f"./{path}" for path in paths)]
