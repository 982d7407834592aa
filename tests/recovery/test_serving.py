"""The process, as amandad starts it: a packet on stdin, one on stdout, numbered descriptors."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from protocols.recovery.features import OURS
from taper.recovery.streams import FIRST, MAX_PACKET

SECONDS = 60
SERVICE = (sys.executable, "-m", "taper.recovery.cli", "amandad", "local")
HIGH = 200
"""A number above those that amandad gives to its streams."""
ROOT = Path(__file__).parents[2]


class Amandad:
    """What amandad does for a service.

    :ivar said: on the control stream, and by itself; to be read once the process has ended
    """

    def __init__(self, place: Path, packet: str) -> None:
        self._ends: dict[int, int] = {}
        given = {}
        for number, reads in ((150, False), (151, True), (152, False), (154, False), (155, True)):
            reading, writing = os.pipe()
            self._ends[number], end = (writing, reading) if reads else (reading, writing)
            given[number] = fcntl.fcntl(end, fcntl.F_DUPFD, HIGH)
            os.close(end)
        # only there they get their numbers, which here may be anybody's
        numbered = " ".join(f"{number}>&{end} {end}>&-" for number, end in given.items())
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" {numbered}', "-", *SERVICE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=tuple(given.values()),
            cwd=place,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "AMANDA_CONFIG_DIR": str(place / "etc"),
                "AMANDA_STATE_DIR": str(place / "state"),
                "AMANDA_TMPDIR": str(place / "tmp"),
                "AMANDA_DBGDIR": str(place / "dbg"),
            },
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

    def hang_up(self) -> None:
        """Say nothing more."""
        os.close(self._ends.pop(FIRST + 1))

    def end(self) -> tuple[int, str, str]:
        """Status, the packet, and what was said on the control stream."""
        assert self.process.stdout is not None
        packet = self.process.stdout.read().decode()
        said = bytearray()
        while piece := os.read(self._ends[FIRST], 65536):
            said += piece
        return self.process.wait(SECONDS), packet, said.decode()

    def close(self) -> None:
        """Release everything."""
        self._stuck.cancel()
        self.process.kill()
        self.process.communicate()
        for end in self._ends.values():
            os.close(end)


@pytest.fixture
def amandads(tmp_path: Path) -> Iterator[list[Amandad]]:
    """Those that a test has made."""
    (tmp_path / "etc").mkdir()
    made: list[Amandad] = []
    yield made
    for one in made:
        one.close()


def start(amandads: list[Amandad], place: Path, packet: str) -> Amandad:
    amandads.append(Amandad(place, packet))
    return amandads[-1]


def test_another_auth(amandads: list[Amandad], tmp_path: Path) -> None:
    amandad = start(amandads, tmp_path, f"OPTIONS features={OURS.text()};auth=bsdtcp;\n")
    status, packet, _ = amandad.end()
    text = "recover program requested auth 'bsdtcp', but amandad is using auth 'local'"
    assert (status, packet) == (1, f"ERROR {text}\n\n")


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        ("OPTIONS features=zz;\n", "expected hex digits"),
        ("x" * (MAX_PACKET + 1), f"longer than {MAX_PACKET} bytes"),
    ],
)
def test_bad_packets(amandads: list[Amandad], tmp_path: Path, packet: str, words: str) -> None:
    status, said, _ = start(amandads, tmp_path, packet).end()
    assert status == 1
    assert said.startswith("ERROR ")
    assert words in said


def test_a_peer_without_a_state_stream(amandads: list[Amandad], tmp_path: Path) -> None:
    """It hangs up before it has asked for anything."""
    amandad = start(amandads, tmp_path, "OPTIONS auth=local;\n")
    amandad.hang_up()
    assert amandad.end() == (1, "CONNECT CTL 150 DATA 151\n\n", "")


def test_a_configuration_that_is_not_there(amandads: list[Amandad], tmp_path: Path) -> None:
    amandad = start(amandads, tmp_path, f"OPTIONS features={OURS.text()};auth=local;\n")
    amandad.type("CONFIG=NONE", "LABEL=S:D:1", "END")
    status, packet, said = amandad.end()
    assert (status, packet) == (1, "CONNECT CTL 150 DATA 151 STATE 152\n\n")
    assert said == "MESSAGE recovery failed: Errors processing config file\r\n"


def test_a_request_for_another_file(amandads: list[Amandad], tmp_path: Path) -> None:
    amandad = start(amandads, tmp_path, f"OPTIONS features={OURS.text()};auth=local;\n")
    amandad.type("CONFIG=../../tmp/mine", "LABEL=S:D:1", "END")
    status, _, said = amandad.end()
    assert status == 1
    assert said.startswith("MESSAGE recovery failed: CONFIG is '../../tmp/mine'")
