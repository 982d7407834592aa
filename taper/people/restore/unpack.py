"""Who is given a dump: GNU tar, the application that made it, or standard output."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, Protocol

from devices.threads import ThreadRefused, start_thread
from taper.last_words import STDOUT, CannotStart, reason
from taper.recovery.pipes import widen

MOST_SAID = 65536
"""Bytes of what a program says that are kept."""
_LAST_WORDS_SECONDS = 10.0
_SELINUX = "/sys/fs/selinux"
"""There where the kernel knows contexts; elsewhere none can be set, nor means anything."""
_SUMMARY = "Exiting with failure status due to previous errors"
_NOT_FOUND = "Not found in archive"
"""How lines of tar end, in no language but C."""
_SHOWN = 5
"""Lines as the next ones that are shown: where none can be set, each file may have one."""
_NOT_SET = ": Cannot set "
"""What tar says of an attribute or access control list that it leaves out, and ends well."""


class Refused(CannotStart):
    """The dump cannot be unpacked like that; the text says what can be done."""

    taper_code = 7006


class Taker(Protocol):
    """Who is given a dump.

    :ivar name: for people.
    :ivar descriptor: where the bytes go; whoever sends them closes it.
    """

    name: str
    descriptor: int

    @property
    def lost(self) -> bool:
        """Nobody can know any more what it made of what it was given."""

    def begin(self) -> None:
        """Wait until it takes the dump; blocks.

        :raise RecoveryFailed: it will not
        :raise Refused: it is not there
        """

    def kill(self) -> None:
        """End it now. Any thread; safe to repeat."""

    def wait(self, seconds: float | None = None) -> None:
        """Wait for its end; blocks.

        :param seconds: end it then
        """

    def complaints(self, not_found: int = 0) -> list[str]:
        """What it has to say, if not all was done.

        :param not_found: of how many names it is to say that they are not in the archive
        """


class Output:
    """Standard output."""

    lost = False

    def __init__(self) -> None:
        self.name = "the reader of standard output"
        self._blocked = os.get_blocking(STDOUT)
        self.descriptor = os.dup(STDOUT)
        widen(self.descriptor)

    def begin(self) -> None:
        """Whoever reads is there, or is not."""

    def kill(self) -> None:
        """Whoever reads sees the end."""

    def wait(self, seconds: float | None = None) -> None:
        os.set_blocking(STDOUT, self._blocked)

    def complaints(self, not_found: int = 0) -> list[str]:
        return []


def give_up(taker: Taker) -> None:
    """Let go of one that was begun for nobody; blocks."""
    taker.kill()  # first: the end of its input it would take for the end of a dump
    os.close(taker.descriptor)
    taker.wait()


class Program:
    """A program that reads the dump from its standard input.

    :ivar said: what it has said on its error output, as far as that is kept.
    """

    lost = False

    def __init__(
        self,
        command: Sequence[str],
        surroundings: Mapping[str, Any],
        hear: Callable[[bytes], object] | None = None,
    ) -> None:
        """:param surroundings: user and environment, as Popen takes them
        :param hear: is given what it says on its standard output, by a thread, and nothing when
            that ends
        :raise CannotStart: it cannot be run
        """
        self.name = command[0].rpartition("/")[2]
        reading, self.descriptor = os.pipe()
        widen(self.descriptor)
        try:
            # a session of its own: the terminal's Ctrl-C is for us alone
            self._process = subprocess.Popen(
                command,
                stdin=reading,
                stdout=subprocess.DEVNULL if hear is None else subprocess.PIPE,
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
        self.said = bytearray()
        self._listeners: list[threading.Thread] = []
        try:
            self._listen(self._process.stderr, self._keep)
            if hear is not None:
                self._listen(self._process.stdout, hear)
        except ThreadRefused:
            self.kill()
            self._process.wait()
            os.close(self.descriptor)
            raise

    def _listen(self, pipe: IO[bytes] | None, hear: Callable[[bytes], object]) -> None:
        listen = functools.partial(_listen, pipe, hear)
        self._listeners.append(start_thread("restore listener", listen))

    def _keep(self, piece: bytes) -> None:
        self.said += piece[: MOST_SAID - len(self.said)]

    @property
    def status(self) -> int:
        """With which it ended, or less than zero by which signal; only when it has."""
        return self._process.returncode

    def begin(self) -> None:
        """It runs."""

    def kill(self) -> None:
        if self._process.poll() is None:
            with suppress(ProcessLookupError):  # it has just ended
                os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self, seconds: float | None = None) -> None:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        for listener in self._listeners:
            # what it has left behind may hold its error output for ever
            listener.join(_LAST_WORDS_SECONDS)

    def complaints(self, not_found: int = 0) -> list[str]:
        if not self.status:
            return read_left_out(bytes(self.said))
        lines = read_complaints(bytes(self.said), not_found)
        return [f"{self.name} ended with {how_ended(self.status)}"] if lines is None else lines


def _listen(pipe: IO[bytes] | None, hear: Callable[[bytes], object]) -> None:
    assert pipe is not None, "it was asked for"
    with pipe:
        while piece := pipe.read(MOST_SAID):
            hear(piece)
    hear(b"")


def read_left_out(said: bytes) -> list[str]:
    """What a program that ended well says all the same that it has left out."""
    lines = said.decode("utf-8", "surrogateescape").splitlines()
    lines = [line for line in lines if _NOT_SET in line]
    more = len(lines) - _SHOWN
    return lines if more <= 1 else [*lines[:_SHOWN], f"... and {more} more like these"]


def read_complaints(said: bytes, not_found: int) -> list[str] | None:
    """What a program that failed has to complain of; None: it has not said why it failed.

    :param not_found: of how many names tar is to say that they are not in the archive, which is no
        complaint
    """
    told = said.decode("utf-8", "surrogateescape").splitlines()
    absent = [line for line in told if line.endswith(_NOT_FOUND)]
    lines = [line for line in told if not line.endswith((_SUMMARY, _NOT_FOUND))]
    if len(absent) != not_found:
        lines += absent
    return lines if lines or (absent and len(absent) == not_found) else None


def how_ended(status: int) -> str:
    """How a process ended, as part of a sentence. :param status: as Popen tells it"""
    return f"status {status}" if status >= 0 else f"signal {-status}"


def extracting(
    tar: str,
    directory: str,
    paths: Sequence[str],
    *,
    alone: bool,
    root: bool,
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
        *("--acls", "--xattrs"),  # if the archive has them
        *(["--selinux"] if os.path.isdir(_SELINUX) else []),
        *(["--xattrs-include=*"] if root else []),  # else the user's alone, others need root
        *(["--incremental"] if alone else []),
        "--no-wildcards",
        "--",
        *(spelling for path in paths for spelling in spellings(path)),
    ]


def spellings(path: str) -> tuple[str, str]:
    """How the members of an archive may be named."""
    return f"./{path}", path
