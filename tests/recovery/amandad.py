"""What amandad does for a service: a packet on stdin, one on stdout, numbered descriptors."""

from __future__ import annotations

import fcntl
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

from taper.recovery.streams import FIRST

SECONDS = 60
HIGH = 200
"""A number above those that amandad gives to its streams."""
_DATA = FIRST + 2


class Amandad:
    """One service, and all of its streams.

    :param service: its command line
    :ivar said: on the control stream, as far as it was read
    """

    def __init__(
        self, service: Sequence[str], packet: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self._ends: dict[int, int] = {}
        self.said = bytearray()
        given = {}
        for number, reads in ((150, False), (151, True), (152, False), (154, False), (155, True)):
            reading, writing = os.pipe()
            self._ends[number], end = (writing, reading) if reads else (reading, writing)
            given[number] = fcntl.fcntl(end, fcntl.F_DUPFD, HIGH)
            os.close(end)
        # only there they get their numbers, which here may be anybody's
        numbered = " ".join(f"{number}>&{end} {end}>&-" for number, end in given.items())
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" {numbered}', "-", *service],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=tuple(given.values()),
            env=environment,
        )
        self._stuck = threading.Timer(10 * SECONDS, self.process.kill)
        self._stuck.daemon = True
        self._stuck.start()
        for end in given.values():
            os.close(end)
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it may have seen enough before all is written
            self.process.stdin.write(packet.encode())
            self.process.stdin.close()
        self.process.stdin = None

    def type(self, *lines: str) -> None:
        """Say this on the control stream."""
        os.write(self._ends[FIRST + 1], "".join(f"{line}\r\n" for line in lines).encode())

    def wait_for(self, text: str) -> str:
        """Wait until it has said a line that begins with this. :return: the rest of the line"""
        while True:
            for line in self.said.decode().splitlines(keepends=True):
                if line.startswith(text) and line.endswith("\n"):
                    return line.removeprefix(text).strip()
            piece = os.read(self._ends[FIRST], 65536)
            assert piece, self.said
            self.said += piece

    def read_data(self, size: int = -1) -> bytes:
        """So many bytes of the data stream; all, to its end."""
        data = bytearray()
        while size < 0 or len(data) < size:
            piece = os.read(self._ends[_DATA], 65536 if size < 0 else size - len(data))
            if not piece:
                break
            data += piece
        return bytes(data)

    def hang_up(self) -> None:
        """Say nothing more."""
        os.close(self._ends.pop(FIRST + 1))

    def end(self) -> tuple[int, str, str]:
        """Status, the packet, and what was said on the control stream."""
        assert self.process.stdout is not None
        packet = self.process.stdout.read().decode()
        while piece := os.read(self._ends[FIRST], 65536):
            self.said += piece
        return self.process.wait(SECONDS), packet, self.said.decode()

    def close(self) -> None:
        """Release everything."""
        self._stuck.cancel()
        self.process.kill()
        self.process.communicate()
        for end in self._ends.values():
            os.close(end)
