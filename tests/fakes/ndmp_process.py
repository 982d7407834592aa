"""Our NDMP server as a process of its own, beside a taper, and its tapes as files.

The process lets a test kill a server, and costs the test no reactor.
"""

from __future__ import annotations

import contextlib
import selectors
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tests.fakes.medium import Medium

SECONDS = 30
"""How long a start or an answer may take."""
ROOT = Path(__file__).parents[2]


class NdmpProcess:
    """A context manager; the server listens inside.

    :param tapes: drive's device name to the limit of the tape in it, as ``Limits.parse``; the
        tape is a file of the same name, in ``directory``
    :param slots: limits of the tapes ``s1``, ``s2``, ... of a changer ``robot``, whose ``drives``
        are empty
    :param where: the tapes are kept; None: where temporary files are
    :param arguments: more of the command line, see ``python -m tests.fakes.ndmp_server --help``
    :ivar port: where it listens, on 127.0.0.1.
    :ivar log: every request, fault and post, a line each.
    """

    def __init__(
        self,
        tapes: dict[str, str] | None = None,
        *,
        slots: Sequence[str] = (),
        drives: int = 2,
        arguments: Sequence[str] = (),
        where: str | None = None,
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="ndmp-tapes.", dir=where))
        self.log = self.directory / "log"
        self.port = 0
        self.tapes = list(tapes or {}) + [f"s{number + 1}" for number in range(len(slots))]
        command = [sys.executable, "-m", "tests.fakes.ndmp_server", "--log", str(self.log)]
        for name, limit in (tapes or {}).items():
            command += ["--tape", f"{name}={self._tape(name, limit)}"]
        if slots:
            command += ["--changer", "robot"]
            for drive in range(drives):
                command += ["--empty-drive", f"d{drive}"]
            for number, limit in enumerate(slots):
                command += ["--slot", self._tape(f"s{number + 1}", limit)]
        self._command = [*command, *arguments]
        self._process: subprocess.Popen[str] | None = None

    def _tape(self, name: str, limit: str) -> str:
        path = self.directory / name
        return f"{path}:{limit}" if limit else str(path)

    def __enter__(self) -> NdmpProcess:
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        words = self._line().split()
        assert words[0] == "READY", words
        self.port = int(words[1])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        shutil.rmtree(self.directory)

    def _line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            assert selector.select(SECONDS), "nothing from the NDMP server"
        return self._process.stdout.readline().strip()

    def kill(self) -> None:
        """End the process at once; its connections are reset or closed by the kernel."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with contextlib.suppress(BrokenPipeError):
                process.communicate()

    def command(self, text: str) -> str:
        """Say something on its standard input. :return: ``OK`` or ``ERROR why``"""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()
        return self._line()

    def said(self, text: str) -> int:
        """How many lines of the log have this in them."""
        return self.log.read_text().count(text)

    def url(self, name: str) -> str:
        """The Amanda device name of a drive."""
        return f"ndmp:127.0.0.1:{self.port}@{name}"

    def files(self, name: str) -> list[list[bytes]]:
        """The files of a tape, each a list of its records."""
        medium = Medium.in_file(self.directory / name)
        try:
            return medium.files()
        finally:
            medium.close()
