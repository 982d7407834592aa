"""A dump as it was before the server compressed or encrypted it."""

from __future__ import annotations

import functools
import os
import subprocess
import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from devices.threads import start_thread
from taper.plane.crc import RunningCrc, prepare
from taper.plane.interfaces import ISource, SourceError, reason
from taper.recovery.pipes import widen

if TYPE_CHECKING:
    from protocols.crc import Crc

CHUNK = 1024 * 1024
_GZIP_WARNED, _GZIP_PADDING = 2, b"trailing garbage ignored"
_MOST_SAID = 4096
"""Bytes of what a program says that are kept."""


@implementer(ISource)
class Counted:
    """A source, and the checksum of what was read from it."""

    def __init__(self, source: ISource) -> None:
        prepare()
        self._source = source
        self._crc = RunningCrc()

    def crc(self) -> Crc:
        """Of what was read so far. Any thread."""
        return self._crc.value()

    def read_into(self, buffer: memoryview) -> int:
        size: int = self._source.read_into(buffer)
        self._crc.update(buffer[:size])
        return size

    def cancel(self) -> None:
        self._source.cancel()

    def close(self) -> None:
        self._source.close()


@implementer(ISource)
class Undone:
    """What comes out of a chain of programs that a source is fed to.

    A program that fails, or is fed with less than all, is a failure of the source.
    """

    def __init__(
        self,
        source: ISource,
        commands: tuple[tuple[str, ...], ...],
        surroundings: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """:param source: ours to read and to close
        :param surroundings: user and environment of the programs, as Popen takes them
        """
        self._source = source
        self._commands = commands
        self._surroundings = surroundings
        self._programs: list[subprocess.Popen[bytes]] = []
        self._said: list[bytearray] = []
        self._threads: list[threading.Thread] = []
        self._fault: str | None = None
        self._cancelled = False
        self._ended = False

    def read_into(self, buffer: memoryview) -> int:
        if not self._programs and not self._cancelled:
            self._begin()
        if self._cancelled or self._ended:
            return 0
        stdout: Any = self._programs[-1].stdout
        size = 0
        # programs write small pieces, and each that is handed on wakes somebody
        while size < len(buffer) and (got := os.readv(stdout.fileno(), [buffer[size:]])):
            size += got
        if not size:
            self._ended = True
            self._judge()
        return size

    def _begin(self) -> None:
        stdin: Any = subprocess.PIPE
        for command in self._commands:
            try:
                program = subprocess.Popen(
                    command,
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    **self._surroundings,
                )
            except OSError as fault:
                raise SourceError(f"cannot run {command[0]}: {reason(fault)}", code=7009) from fault
            if self._programs:
                stdin.close()  # the program has it
            for pipe in (program.stdin, program.stdout):
                if pipe is not None:
                    widen(pipe.fileno())
            self._programs.append(program)
            said = bytearray()
            self._said.append(said)
            listen = functools.partial(_listen, program, said)
            self._threads.append(start_thread("recovery listener", listen))
            stdin = program.stdout
        self._threads.append(start_thread("recovery filler", self._fill))

    def _fill(self) -> None:
        target: Any = self._programs[0].stdin
        buffer = memoryview(bytearray(CHUNK))
        try:
            while size := self._source.read_into(buffer):
                data = buffer[:size]
                while data:
                    data = data[target.write(data) :]
        except SourceError as fault:
            self._fault = str(fault)
        except OSError as fault:
            self._fault = f"{self._commands[0][0]} takes no more: {reason(fault)}"
        except MemoryError:
            self._fault = "not enough memory"
        finally:
            if self._fault is not None:
                self._kill()  # nothing that comes out of it now may be taken for the whole
            target.close()

    def _kill(self) -> None:
        for program in self._programs:
            program.kill()

    def _judge(self) -> None:
        """All has come out, if all went well.

        :raise SourceError: it did not
        """
        for thread in self._threads:
            thread.join()
        bad = [
            (command[0], status, said)
            for command, program, said in zip(
                self._commands, self._programs, self._said, strict=True
            )
            if (status := program.wait()) and not _only_warned(status, said)
        ]
        if self._fault is not None and not any(status > 0 for _, status, _ in bad):
            raise SourceError(self._fault)
        for name, status, said in bad:
            words = said.decode("utf-8", "replace").strip()
            raise SourceError(
                f"{name} failed with status {status}: {words or 'it says nothing'}", code=7009
            )

    def cancel(self) -> None:
        self._cancelled = True
        self._source.cancel()
        self._kill()

    def close(self) -> None:
        if self._programs:
            self._kill()
            for thread in self._threads:
                thread.join()
            for program in self._programs:
                program.wait()
                for pipe in (program.stdout, program.stderr):
                    if pipe is not None:
                        pipe.close()
        self._source.close()


def _only_warned(status: int, said: bytearray) -> bool:
    """gzip minds what fills the last block of a volume."""
    return status == _GZIP_WARNED and _GZIP_PADDING in said


def _listen(program: subprocess.Popen[bytes], said: bytearray) -> None:
    pipe: Any = program.stderr
    while piece := pipe.read(_MOST_SAID):
        said += piece[: _MOST_SAID - len(said)]
