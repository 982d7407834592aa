"""``twistd taper`` as a process that serves the taper that Amanda starts, and that taper."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.run.sessions import PATIENCE, Place
from tests.run.test_stdio import environment

TWISTD = "from twisted.scripts.twistd import run; run()"
TAPER = (
    f"import sys; sys.path.append({sysconfig.get_path('purelib')!r}); "
    "import taper.cli, taper.daemon_client; "
    f"taper.daemon_client.ANSWER_PATIENCE = {PATIENCE}; taper.cli.begin()"
)
"""A taper that gives the daemon time, however busy the machine is; it begins as by our launcher."""
DOOR = "door"
OUTPUT = "daemon.out"


class Daemon:
    """The process, and what it says to systemd.

    :ivar process: which serves from the first
    """

    def __init__(self, place: Place, process: subprocess.Popen[bytes], told: socket.socket) -> None:
        self.place = place
        self.process = process
        self._told = told

    def hear(self, word: str) -> str:
        """The next that it tells systemd and has this word."""
        end = time.monotonic() + PATIENCE
        while True:
            assert time.monotonic() < end, f"no {word}"
            try:
                said = self._told.recv(4096).decode()
            except TimeoutError:
                assert self.process.poll() is None, (self.place.root / OUTPUT).read_text()
                continue
            if word in said:
                return said

    def end(self, number: int = signal.SIGTERM) -> int:
        """Let it end. :return: its exit status"""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def daemon(place: Place, *words: str, door: str | None = None, **settings: str) -> Iterator[Daemon]:
    """A daemon that is ready; it ends with the block.

    :param words: more of its command line
    :param settings: more of its environment
    """
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    address = place.root / "notify"
    told.bind(str(address))
    told.settimeout(1)
    command = [sys.executable, "-c", TWISTD, "-n", "--pidfile="]
    process = subprocess.Popen(
        [
            *(*command, "taper", "--config", "C"),
            *("--driver", door or f"unix:{place.root}/{DOOR}", *words),
        ],
        stdin=subprocess.DEVNULL,
        stdout=(place.root / OUTPUT).open("ab"),
        stderr=subprocess.STDOUT,
        env={**environment(place), "NOTIFY_SOCKET": str(address), **settings},
        cwd=place.root,
    )
    found = Daemon(place, process, told)
    try:
        found.hear("READY=1")
        yield found
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        told.close()
        address.unlink()


class Driver:
    """The driver of a taper, which it has started with the stock command line.

    :param errors: descriptor of the taper's error output; None: of a file
    :param most_open: limit of the taper's descriptors
    """

    def __init__(
        self,
        place: Place,
        *words: str,
        errors: int | None = None,
        most_open: int | None = None,
        **settings: str,
    ) -> None:
        self._ours, theirs = socket.socketpair()
        self._ours.settimeout(PATIENCE)
        self.errors = place.root / "errors"
        limit = () if most_open is None else ("prlimit", f"--nofile={most_open}")
        with self.errors.open("ab") as usual:
            self.process = subprocess.Popen(
                [
                    *(*limit, sys.executable, "-S", "-c", TAPER, "C", "--storage", "C"),
                    *("--log-filename", str(place.log), *words),
                ],
                stdin=theirs,
                stdout=theirs,
                stderr=usual if errors is None else errors,
                env={**environment(place), **settings},
                cwd=place.root,
            )
        theirs.close()
        self._lines = self._ours.makefile("r")

    def say(self, line: str) -> None:
        self._ours.sendall(f"{line}\n".encode())

    def hear(self) -> str:
        """The next line; empty: there is none any more."""
        try:
            return self._lines.readline().rstrip("\n")
        except ConnectionResetError:  # of a taper that has not read all
            return ""

    def ask(self, line: str, word: str) -> str:
        """Say a line, and hear on until one begins so."""
        self.say(line)
        while True:
            reply = self.hear()
            assert reply, f"no {word}: {self.errors.read_text()}"
            if reply.startswith(word):
                return reply

    def rest(self) -> list[str]:
        """All that is still said, and the end."""
        return list(iter(self.hear, ""))

    def say_no_more(self) -> None:
        """Shut down one direction only."""
        self._ours.shutdown(socket.SHUT_WR)

    def hang_up(self) -> None:
        """Be gone, as one that was killed is."""
        self._lines.close()
        self._ours.close()

    def wait(self) -> int:
        """:return: the exit status of the taper"""
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.hang_up()


@contextmanager
def driver(
    place: Place,
    *words: str,
    errors: int | None = None,
    most_open: int | None = None,
    **settings: str,
) -> Iterator[Driver]:
    """It starts a taper, for as long as the block lasts."""
    found = Driver(place, *words, errors=errors, most_open=most_open, **settings)
    try:
        yield found
    finally:
        found.close()


def by_daemon(place: Place) -> tuple[str, str]:
    """The option for a taper that lets it serve."""
    return "--daemon", f"unix:{place.root}/{DOOR}"


def title(pid: int) -> str:
    """What ``ps`` shows."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()


def logged_pids(place: Place) -> set[int]:
    """Processes that the trace log names."""
    words = [line.split() for line in place.log.read_text().splitlines()]
    return {int(line[-1]) for line in words if line[2:3] in (["pid"], ["pid-done"])}
