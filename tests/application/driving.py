"""Runs the application as Amanda's client does: messages on descriptor 3, the index on 4."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import define, field, frozen

ROOT = Path(__file__).parents[2]
SECONDS = 30


@frozen
class Said:
    """What a run of the application left.

    :ivar messages: lines of descriptor 3
    :ivar index: lines of descriptor 4
    """

    status: int
    out: bytes
    err: str
    messages: list[str]
    index: list[str]

    @property
    def error(self) -> str:
        """The one error line."""
        (line,) = [line for line in self.messages if line.startswith("sendbackup: error [")]
        return line.removeprefix("sendbackup: error [").removesuffix("]")


def command(place: Path, *arguments: str) -> list[str]:
    """The command line, with descriptors 3 and 4 on files in ``place``."""
    script = f'exec 3>{place}/messages 4>{place}/index; exec "$@"'
    ours = [sys.executable, "-m", "taper.application.cli", *arguments]
    return ["bash", "-c", script, "bash", *ours]


def start(place: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start it and leave it running."""
    return subprocess.Popen(
        command(place, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def said(place: Path, process: subprocess.Popen[bytes]) -> Said:
    """Wait for its end."""
    out, err = process.communicate(timeout=SECONDS)

    def lines(name: str) -> list[str]:
        return (place / name).read_text(errors="surrogateescape").splitlines()

    return Said(process.returncode, out, err.decode(), lines("messages"), lines("index"))


def run(place: Path, *arguments: str, stdin: bytes = b"", cwd: Path | None = None) -> Said:
    """Run it to its end."""
    done = subprocess.run(
        command(place, *arguments),
        input=stdin,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=cwd,
        timeout=SECONDS,
    )
    messages, index = (
        (place / name).read_text(errors="surrogateescape").splitlines()
        for name in ("messages", "index")
    )
    return Said(done.returncode, done.stdout, done.stderr.decode(), messages, index)


@define
class Peer:
    """The other end of a data connection, which serves one connection in a thread.

    :ivar received: what came
    :ivar reset: the connection ended with a reset, not with an end of stream
    """

    serve: Callable[[socket.socket, Peer], None]
    host: str = "127.0.0.1"
    received: bytearray = field(factory=bytearray)
    reset: bool = False
    port: int = field(init=False)
    _listener: socket.socket = field(init=False)
    _thread: threading.Thread = field(init=False)

    def __attrs_post_init__(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, 0), family=family)
        self._listener.settimeout(SECONDS)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def _run(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        connection.settimeout(SECONDS)
        with connection:
            try:
                self.serve(connection, self)
            except ConnectionResetError:
                self.reset = True

    def join(self) -> None:
        """Wait for the end of the conversation."""
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()
        self._listener.close()


def take_all(connection: socket.socket, peer: Peer) -> None:
    """Read to the end."""
    while data := connection.recv(1 << 16):
        peer.received += data


def answer(*addresses: str) -> Callable[[socket.socket, Peer], None]:
    """Serve as an IndirectTCP listener."""

    def serve(connection: socket.socket, _peer: Peer) -> None:
        connection.sendall(" ".join(addresses).encode())

    return serve


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def direct(*addresses: str) -> Sequence[str]:
    """Options for these addresses, one each."""
    pairs = [word for address in addresses for word in ("--direct-tcp", address)]
    return ["--data-path", "directtcp", *pairs]
