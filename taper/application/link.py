"""Our application among Amanda's: a launcher in the directory where its client looks for them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile

from taper.ownership import not_roots_alone

NAME = "amdirecttar"
MARK = "# Put here by twisted-taper; its taperctl takes it away."
LAUNCHER = '#!/bin/sh\n{mark}\nexec {python} -I -m taper.application.cli "$@"\n'
_LONGEST_LAUNCHER = 1 << 16


class LinkRefused(Exception):
    """Nothing was changed; the text says why."""

    taper_code = 8008


def is_linked(directory: str) -> bool:
    """Our launcher is there.

    :raise OSError: what is there cannot be read
    """
    try:
        with open(os.path.join(directory, NAME), encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST_LAUNCHER).split("\n")[1:2] == [MARK]
    except FileNotFoundError:
        return False


def _check_place(directory: str) -> None:
    """Refuse what is no directory, and to touch what others have put there."""
    if not os.path.isdir(directory):
        raise LinkRefused(f"{directory} is no directory; is Amanda's client installed?")
    path = os.path.join(directory, NAME)
    if os.path.lexists(path) and not is_linked(directory):
        raise LinkRefused(f"{path} is there already, and not put there by us")


def _check_owners(*paths: str) -> None:
    """Root neither puts in place nor runs what others may change: Amanda's client runs it as root.
    Whoever is not root can do this to himself only."""
    if os.geteuid() != 0:
        return
    ours = os.path.dirname(os.path.abspath(__file__))
    reason = not_roots_alone(*map(os.path.abspath, paths), ours)
    if reason is not None:
        raise LinkRefused(reason)


def interpreter_of(path: str) -> str:
    """The program that our launcher runs. :raise LinkRefused: somebody else wrote it"""
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        lines = file.read(_LONGEST_LAUNCHER).split("\n")
    try:
        words = shlex.split(lines[2].removeprefix("exec ")) if len(lines) > 2 else []
    except ValueError:
        words = []
    if not words or not os.path.isabs(words[0]):
        raise LinkRefused(f"{path} is not the launcher that was installed")
    return words[0]


def check(directory: str) -> bool:
    """What :func:`link` checks, and that a launcher of ours runs.

    :return: there is one
    :raise LinkRefused: there is no such directory, something else of that name is in it, ours
        does not run, or others than root may change it
    :raise OSError: what is there cannot be read
    """
    _check_place(directory)
    if not is_linked(directory):
        return False
    path = os.path.join(directory, NAME)
    _check_owners(path, interpreter_of(path))
    done = subprocess.run(
        [path, "support"], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd="/"
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().split("\n")[-1]
        raise LinkRefused(f"{path} does not run: status {done.returncode}, {said}")
    return True


def link(directory: str) -> str:
    """Put the launcher there, over an older one of ours; it runs this Python.

    :return: its path
    :raise LinkRefused: there is no such directory, something else of that name is in it, or
        others than root may change it or this installation
    :raise OSError: it cannot be written
    """
    _check_place(directory)
    _check_owners(directory, sys.executable)
    path = os.path.join(directory, NAME)
    descriptor, name = tempfile.mkstemp(prefix=f".{NAME}.", dir=directory)
    try:
        with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(LAUNCHER.format(mark=MARK, python=shlex.quote(sys.executable)))
            file.flush()
            os.fchmod(descriptor, 0o755)
            os.fsync(descriptor)
        os.rename(name, path)
    except BaseException:
        os.unlink(name)
        raise
    return path


def unlink(directory: str) -> bool:
    """Take our launcher away. :return: it was there"""
    if not is_linked(directory):
        return False
    os.unlink(os.path.join(directory, NAME))
    return True
