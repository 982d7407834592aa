"""GNU tar, as the dumper of the demonstration and as the one that restores."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable

from protocols.crc import Crc
from taper.demo.screen import DemoFailed, printable
from taper.plane.crc import RunningCrc

_BUFFER = 1 << 18
_SHOWN_LINES = 5


def find_tar() -> str:
    """The path of GNU tar. :raise DemoFailed: there is none"""
    for path in filter(None, map(shutil.which, ("tar", "gtar"))):
        said = subprocess.run([path, "--version"], capture_output=True, check=False).stdout
        if b"GNU tar" in said:
            return path
    raise DemoFailed("GNU tar is needed to dump and restore files, and there is none")


class Tar:
    """One run of tar, its data counted on the way.

    :ivar crc: of the data so far
    :ivar status: how it ended; None before that
    :param errors: path of a file that takes its stderr
    """

    def __init__(self, command: list[str], errors: str) -> None:
        self.crc = RunningCrc()
        self.status: int | None = None
        self._command = command
        self._errors = errors
        self._guard = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def dump_to(self, sink: Callable[[memoryview], None]) -> Crc:
        """Let it write an archive, into ``sink``; blocks until its end."""
        process = self._start(stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            buffer = memoryview(bytearray(_BUFFER))
            with process.stdout as pipe:
                while got := pipe.readinto(buffer):  # type: ignore[attr-defined]
                    self.crc.update(buffer[:got])
                    sink(buffer[:got])
        finally:
            self._finish(process)
        return self.crc.value()

    def restore_from(self, blocks: Iterable[memoryview]) -> Crc:
        """Let it read an archive; all of it is counted, even what tar does not want to have."""
        process = self._start(stdin=subprocess.PIPE)
        try:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
                reading = True
                for block in blocks:
                    self.crc.update(block)
                    try:
                        while reading and block:
                            block = block[pipe.write(block) :]
                    except BrokenPipeError:
                        reading = False
            self.status = process.wait()
        finally:
            self._finish(process)
        return self.crc.value()

    def stop(self) -> None:
        """End it at once; from any thread."""
        with self._guard:
            self._stopped = True
            if self._process is not None and self.status is None:
                self._process.kill()

    def _start(self, **pipe: int) -> subprocess.Popen[bytes]:
        with self._guard:
            if self._stopped:
                raise DemoFailed("tar was stopped before it began")
            with open(self._errors, "wb") as errors:
                # a session of its own: the terminal's Ctrl-C is for us alone
                self._process = subprocess.Popen(
                    self._command,
                    bufsize=0,
                    stderr=errors,
                    env={**os.environ, "LC_ALL": "C"},
                    start_new_session=True,
                    **pipe,  # type: ignore[call-overload]
                )
        return self._process

    def _finish(self, process: subprocess.Popen[bytes]) -> None:
        """However it went, leave no process. One that has closed its output ends by itself."""
        try:
            status = process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        with self._guard:
            self.status = status

    @property
    def died(self) -> bool:
        """It was killed, or did not end by its own judgement."""
        return self.status is None or self.status < 0 or self.status > 2

    def complaints(self) -> list[str]:
        """The first lines of its stderr."""
        if self._process is None:
            return []
        with open(self._errors, "rb") as errors:
            lines = [printable(line) for line in errors.read(1 << 16).splitlines()]
        more = len(lines) - _SHOWN_LINES
        return lines[:_SHOWN_LINES] + ([f"... and {more} more"] if more > 0 else [])


def dumping(tar: str, source: bytes, names: str) -> list[str]:
    """The command that writes an archive of the names listed in a file."""
    directory = os.fsdecode(source)
    what = ["-C", directory, "--no-recursion", "--null", "--verbatim-files-from", "-T", names]
    how = ["--format=posix", "--numeric-owner", "--blocking-factor=64"]
    return [tar, *what, *how, "--create", "--file=-"]


def restoring(tar: str, target: str, owners: bool) -> list[str]:
    """The command that restores an archive into a directory."""
    owner = "--same-owner" if owners else "--no-same-owner"
    how = ["--same-permissions", "--numeric-owner", owner, "--delay-directory-restore"]
    return [tar, "-C", target, *how, "--blocking-factor=64", "--extract", "--file=-"]
