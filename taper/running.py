"""Which tapers run on this machine, ours or Amanda's own."""

from __future__ import annotations

import os
import re
import subprocess

_PROC = "/proc"
_INTERPRETER = re.compile(r"(perl|python)[0-9.]*\Z")
_MODULE = "taper.cli"


def running_tapers(proc: str = _PROC) -> list[int]:
    """Processes that are tapers, in our mount namespace: a container's have another installation.

    :return: their pids; none where nobody may look
    """
    if not os.path.exists(f"{proc}/self/cmdline"):
        return _told_by_ps()
    ours = _namespace(proc, "self")
    found = []
    for name in os.listdir(proc):
        if name.isdigit() and is_taper(_words(proc, name)) and _namespace(proc, name) == ours:
            found.append(int(name))
    return sorted(found)


def is_taper(words: list[str]) -> bool:
    """A command line is that of a taper, as Amanda's own programs judge it; one of ours shows
    itself like that too once it has begun."""
    if not words:
        return False
    name = os.path.basename(words[0])
    if _INTERPRETER.match(name):
        if _MODULE in words[1:]:
            return True
        name = os.path.basename(next((word for word in words[1:] if not word.startswith("-")), ""))
    return name == "taper"


def _told_by_ps() -> list[int]:
    """Where there is no ``/proc`` of Linux's kind, as with BSD."""
    asked = ["ps", "-ax", "-o", "pid=", "-o", "args="]
    said = subprocess.run(asked, capture_output=True, check=True).stdout
    lines = [line.split() for line in os.fsdecode(said).splitlines()]
    return sorted(int(words[0]) for words in lines if words and is_taper(words[1:]))


def _words(proc: str, name: str) -> list[str]:
    try:
        with open(f"{proc}/{name}/cmdline", encoding="utf-8", errors="surrogateescape") as file:
            # a title that a process shows has blanks between its words
            return file.read().replace("\0", " ").split()
    except OSError:
        return []  # it ended


def _namespace(proc: str, name: str) -> str | None:
    try:
        return os.readlink(f"{proc}/{name}/ns/mnt")
    except OSError:
        return None
