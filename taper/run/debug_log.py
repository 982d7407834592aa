"""The debug log of one process (taper-protocol 6.5, config-and-state 5.4). Nobody parses it."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from taper.run.paths import give, make_private

SECONDS_A_DAY = 86400
TRIES = 1000


class DebugLog:
    """A debug file; where none can be made, what is debugged is lost, and stderr says so once.

    :ivar path: of the file, or None.
    """

    def __init__(self, directory: str, now: float) -> None:
        """Create ``DIRECTORY/server/taper.TIMESTAMP[NNN].debug``."""
        self._root = directory
        self._file: int | None = None
        self._lost = False
        self.path: str | None = None
        try:
            self._create(os.path.join(directory, "server"), now)
        except OSError as fault:
            sys.stderr.write(f"taper: no debug file: {fault}\n")

    def _create(self, directory: str, now: float) -> None:
        make_private(directory)
        stamp = time.strftime("%Y%m%d%H%M%S", time.localtime(now))
        for number in range(-1, TRIES):
            suffix = "" if number < 0 else f"{number:03d}"
            path = os.path.join(directory, f"taper.{stamp}{suffix}.debug")
            try:
                descriptor = os.open(
                    path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640
                )
            except FileExistsError:
                continue
            os.fchmod(descriptor, 0o640)  # whatever the umask is
            give(descriptor)
            self.path = path
            self._file = descriptor
            return
        raise FileExistsError(f"too many debug files taper.{stamp}*.debug in {directory}")

    def write(self, text: str) -> None:
        """Add a text of one or more lines."""
        if self._file is None:
            return
        now = time.time()
        stamp = time.strftime("%a %b %d %H:%M:%S", time.localtime(now))
        year = time.strftime("%Y", time.localtime(now))
        fraction = f"{now % 1:.9f}"[1:]
        thread = threading.get_ident()
        head = f"{stamp}{fraction} {year}: pid {os.getpid()}: thd-0x{thread:x}: taper: "
        # one write, since lanes write here as well
        lines = "".join(f"{head}{line}\n" for line in text.splitlines())
        try:
            os.write(self._file, lines.encode("utf-8", "surrogateescape"))
        except OSError as fault:
            # no dump ends because nobody can read later how it went
            if not self._lost:
                sys.stderr.write(f"taper: debug file {self.path}: {fault}\n")
            self._lost = True

    def move_to(self, config_name: str) -> None:
        """Move the file to the directory of the configuration, now that it is known."""
        if self.path is None:
            return
        safe = config_name.translate(str.maketrans("/:\\", "___"))
        directory = os.path.join(self._root, "server", safe)
        target = os.path.join(directory, os.path.basename(self.path))
        try:
            make_private(directory)
            if not os.path.exists(target):
                os.rename(self.path, target)
                self.path = target
        except OSError as fault:
            self.write(f"debug file stays where it is: {fault}")

    def close(self, keep_days: int, now: float) -> None:
        """Close the file and remove those of ours that are older than ``keep_days``."""
        self.write(f"pid {os.getpid()} finish time {time.ctime(now)}")
        if self._file is None or self.path is None:
            return
        os.close(self._file)
        self._file = None
        oldest = time.strftime("%Y%m%d%H%M%S", time.localtime(now - keep_days * SECONDS_A_DAY))
        directory = os.path.dirname(self.path)
        try:
            for name in expired(os.listdir(directory), f"taper.{oldest}.debug"):
                with suppress(FileNotFoundError):  # another taper is tidying up as well
                    os.unlink(os.path.join(directory, name))
        except OSError as fault:
            sys.stderr.write(f"taper: cannot remove old debug files: {fault}\n")


class DebugHandler(logging.Handler):
    """Takes the warnings of ``devices`` to the debug log."""

    def __init__(self, debug: DebugLog) -> None:
        super().__init__(logging.WARNING)
        self._debug = debug

    def emit(self, record: logging.LogRecord) -> None:
        self._debug.write(f"{record.name}: {record.getMessage()}")


def expired(names: Sequence[str], oldest: str) -> list[str]:
    """Our debug files whose names sort below ``oldest``; other programs' are none of ours."""
    return [
        name
        for name in names
        if name.startswith("taper.2") and name.endswith(".debug") and name < oldest
    ]
