"""The tape server as a process of its own: ``taper ndmp-tape``."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

SECONDS = 60
TAPER = (sys.executable, "-m", "taper.cli")
TWISTD = (f"{sys.prefix}/bin/twistd", "--nodaemon", "--pidfile=")
ROOT = Path(__file__).parents[2]
_LISTENS = re.compile(r"listening on \S+:(\d+)\s")


class TapeServerProcess:
    """A context manager; the server listens inside.

    :param drives: sections ``[drive NAME]`` and ``[library NAME]`` of its settings
    :param server: more lines of ``[server]``
    :param inside: what to put before the command, e.g. to run it on another host
    :param host: address to listen on
    :param program: TAPER or TWISTD
    :ivar port: where it listens
    """

    def __init__(
        self,
        drives: str,
        server: str = "",
        *,
        inside: Sequence[str] = (),
        host: str = "127.0.0.1",
        program: Sequence[str] = TAPER,
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="tape-server."))
        self._log = self.directory / "log"
        self._told = self.port = 0
        accounts = self.directory / "accounts"
        accounts.write_text("ndmp:ndmp\n")
        accounts.chmod(0o600)
        head = f"[server]\nlisten = {host}:0\naccounts = {accounts}\n{server}\n"
        conf = self.directory / "conf"
        conf.write_text(head + drives)
        self._command = [*inside, *program, "ndmp-tape", "--config", str(conf)]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> TapeServerProcess:
        # a file and not a pipe: nobody has to read it while the server writes
        with self._log.open("wb") as log:
            self._process = process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self.port = self._port_of(process)
        except BaseException:
            self.kill()
            shutil.rmtree(self.directory)
            raise
        return self

    def _port_of(self, process: subprocess.Popen[bytes]) -> int:
        """Where it says that it listens."""
        end = time.monotonic() + SECONDS
        while not (found := _LISTENS.search(self._log.read_text())):
            assert process.poll() is None, self._log.read_text()
            assert time.monotonic() < end, "the tape server does not listen"
            time.sleep(0.02)
        self._told = found.end()
        return int(found[1])

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
        shutil.rmtree(self.directory)

    def end(self) -> str:
        """End it as an administrator does. :return: what it logged since it listened"""
        process, self._process = self._process, None
        if process is None:
            return ""
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS)
            return self._log.read_text()[self._told :]
        process.kill()
        raise AssertionError("the tape server did not end")

    def kill(self) -> None:
        """End it at once."""
        process, self._process = self._process, None
        assert process is not None, "it does not run"
        process.kill()
        process.wait()

    def url(self, name: str) -> str:
        """The Amanda device name of a drive."""
        return f"ndmp:127.0.0.1:{self.port}@{name}"
