"""Can the dump user run what is put in place?"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from typing import Any

from taper.install.programs import find
from taper.install.refused import Refused
from taper.install.standin import Program
from taper.ownership import not_roots_alone

_SECONDS = 60
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The package taper, wherever this installation has it."""


def as_user(user: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as the dump user; whoever is not root can only try it himself."""
    change: dict[str, Any] = {}
    if os.geteuid() == 0:
        known = pwd.getpwnam(user)
        groups = os.getgrouplist(user, known.pw_gid)
        change = {"user": known.pw_uid, "group": known.pw_gid, "extra_groups": groups}
    return subprocess.run(
        command,
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=_SECONDS,
        **change,
    )


def check_paths(user: str, path: str, python: str = sys.executable) -> None:
    """Name the directory that keeps the dump user from the launcher or this installation."""
    try:
        pwd.getpwnam(user)
    except KeyError:
        raise Refused(f"there is no user {user}; --user names the dump user") from None
    check_owners(path, python, _PACKAGE)
    for what in (path, python, os.path.realpath(python), _PACKAGE):
        step = what
        steps = []
        while step != "/":
            step = os.path.dirname(step)
            steps.append(step)
        for directory in reversed(steps):
            if as_user(user, find("test") or "test", "-x", directory).returncode:
                raise Refused(
                    f"user {user} may not enter {directory}, but {what} is there;\n"
                    f"it must be where {user} can read it, for example in /opt/twisted-taper"
                )


def check_owners(*paths: str) -> None:
    """Name what others than root may change: root runs it, and every dump depends on it."""
    reason = not_roots_alone(*paths)
    if reason is not None:
        raise Refused(reason)


def check_launcher(
    launcher: str, user: str, program: Program, python: str = sys.executable
) -> None:
    """Run it as the dump user, and import all that a real start does."""
    done = as_user(user, launcher, "--version")
    if not _is_ours(done):
        raise Refused(_failure(f"user {user} cannot run this installation", done))
    done = as_user(user, python, "-I", "-c", f"import {program.proof}")
    if done.returncode:
        raise Refused(_failure(f"user {user} cannot import this installation", done))


def _is_ours(done: subprocess.CompletedProcess[str]) -> bool:
    """What ``--version`` said; an older one of ours did not say whose it is."""
    return not done.returncode and done.stdout.startswith("taper-")


def _failure(text: str, done: subprocess.CompletedProcess[str]) -> str:
    said = (done.stderr or done.stdout).strip().split("\n")[-1]
    return f"{text}: status {done.returncode}, {said or 'nothing said'}"
