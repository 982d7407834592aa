"""The real ``ndmjob`` of Amanda: as a tape server for tests, and as a client of another one.

It keeps its protocol log where Amanda's debug files are, so it always runs in a mount namespace,
where that directory is our own [ndmp 5.1, 5.2, 5.6].
"""

from __future__ import annotations

import contextlib
import os
import pwd
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from tests.namespace import USER, missing

NDMJOB = "/usr/lib/amanda/ndmjob"
SECONDS = 60
"""How long a start, an end or a conformance run may take."""

Command = Callable[..., list[str]]
"""Makes the command line that runs a program as the dump user, as ``Namespace.command``."""


def missing_ndmjob() -> str | None:
    """Why no test can run ndmjob here; None: it can."""
    return missing(NDMJOB)


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def give_to_dump_user(path: Path) -> None:
    """Let the dump user write it."""
    user = pwd.getpwnam(USER)
    os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


@contextlib.contextmanager
def private_command() -> Iterator[Command]:
    """Runs programs as the dump user, with a debug directory of their own that goes afterwards."""
    logs = Path(tempfile.mkdtemp(prefix="ndmjob-logs."))
    give_to_dump_user(logs)

    def command(*program: str, cwd: str = "/") -> list[str]:
        script = f'mount --bind {logs} /var/log/amanda; cd {cwd}; exec "$@"'
        user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
        return ["unshare", "-m", "sh", "-ec", script, "sh", *user, *program]

    try:
        yield command
    finally:
        shutil.rmtree(logs)


class NdmJob:
    """``ndmjob`` as a tape server; also a context manager, started on entry.

    Tapes are plain files of :ivar:`directory`; the directory itself is the changer's device.

    :ivar port: where it listens, on every IPv4 address
    :ivar directory: of the tapes; ours and the dump user's to write
    :param tape_limit: bytes of a tape file; early warning comes 64 KiB before
    :param command: the namespace to run in, see :data:`Command`; None: one of its own
    :param directory: an existing one to use, as seen from here; None: one of its own, removed
    :param seen_as: the same directory as seen in the namespace of ``command``
    """

    username = password = "ndmp"

    def __init__(
        self,
        *,
        tape_limit: int | None = None,
        command: Command | None = None,
        directory: Path | None = None,
        seen_as: str | None = None,
        debug_level: int = 0,
    ) -> None:
        self._cleanup = contextlib.ExitStack()
        if directory is None:
            directory = Path(tempfile.mkdtemp(prefix="ndmjob-tapes."))
            self._cleanup.callback(shutil.rmtree, directory)
            directory.chmod(0o777)
            give_to_dump_user(directory)
        self.directory = directory
        self._seen_as = seen_as or str(directory)
        self._command = command
        self._options = [f"-d{debug_level}", "-o", "test-daemon"]
        if tape_limit is not None:
            self._options += ["-o", f"tape-limit={tape_limit}"]
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> NdmJob:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the server on a free port; it listens when this returns."""
        command = self._command or self._cleanup.enter_context(private_command())
        self.port = free_port()
        self._process = subprocess.Popen(
            command(NDMJOB, *self._options, "-p", str(self.port)),
            stdin=subprocess.PIPE,  # at its end the server ends
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            ready = bool(selector.select(SECONDS)) and self._process.stdout.readline()
        if ready != b"READY\n":
            self.close()
            raise RuntimeError(f"ndmjob on port {self.port} said {ready!r} instead of READY")

    def stop(self) -> None:
        """End the server and every session of it; locks that sessions held are left over."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None

    def end_gently(self) -> None:
        """Close its standard input: no new session, those that are open go on."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(SECONDS)

    def close(self) -> None:
        """Stop, and remove what was made."""
        self.stop()
        self._cleanup.close()

    @property
    def group(self) -> int:
        """The process group of the server and its sessions, while it runs."""
        assert self._process is not None
        return self._process.pid

    # tapes

    def device(self, name: str) -> str:
        """The tape's device name for a client, e.g. of ``ndmp:HOST:PORT@DEVICE``."""
        return f"{self._seen_as}/{name}"

    def url(self, name: str) -> str:
        """The Amanda device name of a tape."""
        return f"ndmp:127.0.0.1:{self.port}@{self.device(name)}"

    def blank(self, name: str) -> Path:
        """Put an empty tape into place."""
        path = self.directory / name
        path.write_bytes(b"")
        give_to_dump_user(path)
        path.with_name(f"{name}.pos").unlink(missing_ok=True)
        self.unlock(name)
        return path

    def unlock(self, name: str) -> None:
        """Remove the lock that a session without TAPE_CLOSE left over."""
        (self.directory / f"{name}.lck").unlink(missing_ok=True)

    def locked(self, name: str) -> bool:
        """A session has the tape open, or had it and never closed it."""
        return (self.directory / f"{name}.lck").exists()


def run_client(arguments: Sequence[str], *, seconds: float = SECONDS) -> tuple[int, str]:
    """Run ndmjob as a client, e.g. with the conformance tests.

    :return: its exit status, and everything it said
    """
    with private_command() as command:
        done = subprocess.run(
            command(NDMJOB, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )
        return done.returncode, done.stdout


def conformance(test: str, port: int, *, tape: str = "", agent: str = "4m") -> tuple[int, str]:
    """Run one of ndmjob's conformance tests against a server on localhost.

    :param test: ``test-mover``, ``test-tape``, ``test-data``
    :param agent: version and authentication, e.g. ``4m``, ``3t``
    """
    where = "-D" if test == "test-data" else "-T"
    arguments = ["-vv", "-o", "no-time-stamps", "-o", test]
    arguments += [where, f"127.0.0.1:{port}/{agent},ndmp,ndmp"]
    return run_client([*arguments, *(["-f", tape] if tape else [])])
