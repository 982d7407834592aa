"""The tape server as a process of its own: ``taper ndmp-tape``."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

SECONDS = 60
TAPER = (sys.executable, "-m", "taper.cli")
TWISTD = (f"{sys.prefix}/bin/twistd", "--nodaemon", "--pidfile=")
ROOT = Path(__file__).parents[2]
_LISTENS = re.compile(rb"listening on \S+:(\d+)")


class TapeServerProcess:
    """A context manager; the server listens inside.

    :param drives: sections ``[drive NAME]`` and ``[library NAME]`` of its settings
    :param server: more lines of ``[server]``
    :param inside: what to put before the command, e.g. to run it on another host
    :param host: address to listen on
    :param program: TAPER or TWISTD
    :ivar port: where it listens
    :ivar directory: removed in the end
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
        self.port = 0
        accounts = self.directory / "accounts"
        accounts.write_text("ndmp:ndmp\n")
        accounts.chmod(0o600)
        head = f"[server]\nlisten = {host}:0\naccounts = {accounts}\n{server}\n"
        self._conf = self.directory / "conf"
        self._conf.write_text(head + drives)
        self._command = [*inside, *program, "ndmp-tape", "--config", str(self._conf)]
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._said = b""

    def add(self, drives: str) -> None:
        """More sections, of drives and libraries below ``directory``."""
        self._conf.write_text(self._conf.read_text() + drives)

    def __enter__(self) -> TapeServerProcess:
        self._process = process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            process_group=0,
        )
        try:
            self.port = self._port_of(process)
        except BaseException:
            self.kill()
            shutil.rmtree(self.directory)
            raise
        self._reader = threading.Thread(target=self._keep_log, args=(process.stdout,))
        self._reader.start()
        return self

    def _keep_log(self, stream: IO[bytes]) -> None:
        """Read all it logs: with a full pipe it would stand still."""
        while more := stream.read(65536):
            self._said += more

    def _port_of(self, process: subprocess.Popen[bytes]) -> int:
        """Where it says that it listens."""
        self._said = b""
        while not (found := _LISTENS.search(self._said)):
            assert process.stdout is not None
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                assert selector.select(SECONDS), "nothing from the tape server"
            more = os.read(process.stdout.fileno(), 65536)
            assert more, self._said.decode()
            self._said += more
        self._said = self._said[found.end() :]
        return int(found[1])

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
        shutil.rmtree(self.directory)

    @property
    def pid(self) -> int:
        """Of the server, while it runs."""
        assert self._process is not None, "it does not run"
        return self._process.pid

    def end(self) -> str:
        """End it as an administrator does. :return: what it logged"""
        process, self._process = self._process, None
        if process is None:
            return ""
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS)
            return self._whole_log(process)
        process.kill()
        raise AssertionError("the tape server did not end")

    def _whole_log(self, process: subprocess.Popen[bytes]) -> str:
        if self._reader is not None:
            self._reader.join()
        assert process.stdout is not None
        process.stdout.close()
        return self._said.decode()

    def kill(self) -> None:
        """End it at once."""
        process, self._process = self._process, None
        assert process is not None, "it does not run"
        process.kill()
        process.wait()
        self._whole_log(process)

    def url(self, name: str) -> str:
        """The Amanda device name of a drive."""
        return f"ndmp:127.0.0.1:{self.port}@{name}"
