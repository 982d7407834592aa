"""A private mount namespace with Amanda directories of its own; the machine's are never touched."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

USER = "backup"
ROOMS = ("/etc/amanda", "/var/lib/amanda", "/var/log/amanda", "/tmp/amanda")
SECONDS = 120
"""How long one command may take."""


def missing(*programs: str) -> str | None:
    """Why no test can be run in a namespace here; None: they can."""
    if os.geteuid() != 0:
        return "needs root, to make a mount namespace"
    for program in programs:
        if not os.path.exists(program):
            return f"{program} is not installed"
    if not any(entry.pw_name == USER for entry in pwd.getpwall()):
        return f"there is no user {USER}"
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True)
    return None if probe.returncode == 0 else "mount namespaces are not allowed"


def make_temporary_directory() -> None:
    """A place to mount on, made as Amanda would: it takes no directory of another owner."""
    user = pwd.getpwnam(USER)
    with contextlib.suppress(FileExistsError):
        os.mkdir("/tmp/amanda", mode=0o700)
        os.chown("/tmp/amanda", user.pw_uid, user.pw_gid)


class Namespace:
    """A mount namespace, and the files and commands in it.

    :ivar environment: of every command run as the dump user
    """

    def __init__(self) -> None:
        self.user = pwd.getpwnam(USER)
        self.environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "HOME": "/tmp/amanda",
        }
        self.base = Path(tempfile.mkdtemp(prefix="taper-system."))
        self.base.chmod(0o755)
        make_temporary_directory()
        mounts = []
        for number, room in enumerate(ROOMS):
            (self.base / str(number)).mkdir(mode=0o700)
            os.chown(self.base / str(number), self.user.pw_uid, self.user.pw_gid)
            mounts.append(f"mount --bind {self.base}/{number} {room}")
        # cat keeps the namespace alive; it ends by itself when this process is gone
        self._keeper = subprocess.Popen(
            ["unshare", "-m", "sh", "-ec", "\n".join([*mounts, "echo ready", "exec cat"])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._keeper.stdout is not None
        assert self._keeper.stdout.readline() == b"ready\n", "no private mount namespace"

    def close(self) -> None:
        """End the namespace, remove what was made."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._keeper.pid, signal.SIGKILL)
        self._keeper.communicate()
        shutil.rmtree(self.base)

    # files, by the path that the programs see

    def path(self, path: str) -> Path:
        """The path by which a file of the namespace is found from outside of it."""
        return Path(f"/proc/{self._keeper.pid}/root{path}")

    def own(self, path: str) -> None:
        """Give a file to the dump user."""
        os.chown(self.path(path), self.user.pw_uid, self.user.pw_gid, follow_symlinks=False)

    def mkdir(self, path: str) -> str:
        """Make a directory of the dump user, parents too."""
        at = Path(path)
        for step in [*reversed(at.parents), at]:
            if not self.path(str(step)).exists():
                self.path(str(step)).mkdir(mode=0o755)
                self.own(str(step))
        return path

    def write(self, path: str, content: bytes | str) -> str:
        """Write a file of the dump user."""
        self.mkdir(str(Path(path).parent))
        self.path(path).write_bytes(content.encode() if isinstance(content, str) else content)
        self.own(path)
        return path

    def read(self, path: str) -> str:
        """The text of a file; empty if there is none."""
        found = self.path(path)
        return found.read_text(errors="surrogateescape") if found.exists() else ""

    # commands

    def inside(self, *command: str) -> None:
        """Run a command as root in the namespace; it must succeed."""
        done = subprocess.run(
            ["nsenter", "-t", str(self._keeper.pid), "-m", *command],
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"

    def command(self, *command: str, cwd: str = "/tmp/amanda") -> list[str]:
        """The command line that runs a command as the dump user in the namespace."""
        user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
        namespace = ["nsenter", "-t", str(self._keeper.pid), "-m"]
        return [*namespace, *user, "env", "-C", cwd, *command]

    def root_command(self, *command: str, cwd: str = "/tmp/amanda") -> list[str]:
        """The command line that runs a command as root in the namespace."""
        return ["nsenter", "-t", str(self._keeper.pid), "-m", "env", "-C", cwd, *command]

    def run(
        self,
        *command: str,
        cwd: str = "/tmp/amanda",
        typed: str = "",
        more: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as the dump user.

        :param typed: its standard input
        :param more: environment variables
        :return: with everything it said, stderr too, as ``stdout``
        """
        return subprocess.run(
            self.command(*command, cwd=cwd),
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="surrogateescape",
            timeout=SECONDS,
            env={**self.environment, **(more or {})},
        )

    def mount_small(self, path: str, kib: int) -> None:
        """Put a really small file system on a directory."""
        self.mkdir(path)
        self.inside("mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=755", "tmpfs", path)
        self.own(path)
