"""Rooms: directories with a small Debian each, in which commands are run as root of that Debian."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
_ENTER = """
set -e
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/dev/shm"
mount -t tmpfs tmpfs "$1/run"
room=$1
shift
exec chroot "$room" "$@"
"""


class Failed(Exception):
    """A command failed; the text has what it said."""


def need(*programs: str) -> None:
    """:raise Failed: one of them is missing, or we are not root"""
    if os.geteuid() != 0:
        raise Failed("root is needed, to make a Debian")
    for program in programs:
        if shutil.which(program) is None:
            raise Failed(f"there is no {program}; apt-get install {program}")


def stock(path: Path, packages: Sequence[str], hook: str = "") -> Path:
    """A Debian in a tar, made if it is not there.

    :param hook: a command of a shell in it, which is run when all is installed
    """
    if path.exists():
        return path
    need("mmdebstrap")
    draft = path.with_suffix(".draft.tar")
    hooks = [f"--customize-hook=chroot \"$1\" sh -c '{hook}'"] if hook else []
    packages = ("ca-certificates", *packages)
    options = ["--variant=minbase", f"--include={','.join(packages)}", *hooks]
    run(["mmdebstrap", *options, SUITE, str(draft), MIRROR])
    draft.rename(path)
    return path


class Room:
    """A directory with a Debian."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *command: str, user: str = "", status: int = 0) -> str:
        """Run a command, which must end with this status.

        :return: what it said, stderr too
        :raise Failed: it ended with another
        """
        words = ["runuser", "-u", user, "--", *command] if user else command
        return run(self.command(*words), status)

    def command(self, *command: str) -> list[str]:
        """What runs a command in here."""
        inside = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts"]
        return [*inside, "sh", "-c", _ENTER, "sh", str(self.path), *command]

    def shell(self, script: str, user: str = "", status: int = 0) -> str:
        """The same of a script, up to its first command that fails."""
        return self.run("sh", "-ec", script, user=user, status=status)


@contextmanager
def room(tar: Path) -> Iterator[Room]:
    """A new room with what is in a tar; in the end it is gone."""
    path = Path(tempfile.mkdtemp(prefix="taper-deb."))
    path.chmod(0o755)
    try:
        run(["tar", "-C", str(path), "-xf", str(tar), "--numeric-owner"])
        yield Room(path)
    finally:
        shutil.rmtree(path)


def run(command: Sequence[str], status: int = 0) -> str:
    """See :meth:`Room.run`."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=clean_environment(),
        cwd="/",
    )
    if done.returncode != status:
        what = f"{' '.join(command)}\nended with status {done.returncode}, not {status}"
        raise Failed(f"{what}:\n{done.stdout}")
    return done.stdout


def clean_environment() -> dict[str, str]:
    """Of commands in a room: nothing of ours but where temporary files go."""
    return {
        **{name: os.environ[name] for name in ("TMPDIR",) if name in os.environ},
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        "HOME": "/root",
    }


def expect(text: str, said: str) -> None:
    """:raise Failed: it is not in what was said"""
    if text not in said:
        raise Failed(f"{text!r} is not in what was said:\n{said}")


def say(text: str) -> None:
    """Tell whoever waits what is done now."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
