"""What a directory tree is made of, and what happens to it: inodes, their names, events."""

from __future__ import annotations

import os
import stat
import threading
from typing import Any

from tests.crash.events import (
    ROOT,
    Call,
    Change,
    Event,
    Heard,
    Kind,
    Make,
    Names,
    Told,
    Tree,
)


class Watch:
    """Knows what is below a directory, and keeps what happens to it in order.

    :ivar tree: what was there.
    :ivar events: what happened, with the call that did it.
    """

    def __init__(self, root: str) -> None:
        self._root = os.path.realpath(root)
        self._lock = threading.RLock()
        self._live: dict[tuple[int, int], int] = {}
        self._next = ROOT
        self._syncs = 0
        self.tree = Tree({}, {})
        self.events: list[tuple[Event, Call]] = []

    # what is told by those who talk

    def told(self, line: str) -> None:
        with self._lock:
            self.events.append((Told(line), Call("told", "")))

    def heard(self, line: str) -> None:
        with self._lock:
            self.events.append((Heard(line), Call("heard", "")))

    # inodes and names

    def look(self) -> None:
        """See what is there."""
        inodes: dict[int, tuple[Make, bytes]] = {}
        entries: dict[int, dict[str, int]] = {}

        def take(path: str) -> int:
            facts = os.lstat(path)
            key = (facts.st_dev, facts.st_ino)
            if key in self._live:
                return self._live[key]
            number = self._live[key] = self._new_inode()
            if stat.S_ISDIR(facts.st_mode):
                inodes[number] = (Make(number, Kind.DIRECTORY), b"")
                entries[number] = {
                    name: take(f"{path}/{name}") for name in sorted(os.listdir(path))
                }
            elif stat.S_ISLNK(facts.st_mode):
                inodes[number] = (Make(number, Kind.LINK, os.readlink(path)), b"")
            else:
                with open(path, "rb") as file:
                    inodes[number] = (Make(number, Kind.FILE), file.read())
            return number

        take(self._root)
        self.tree = Tree(inodes, entries)

    def _new_inode(self) -> int:
        self._next += 1
        return self._next - 1

    def _record(self, event: Event, name: str, path: str) -> None:
        with self._lock:
            self.events.append((event, Call(name, path)))

    def _known(self, facts: os.stat_result) -> int | None:
        return self._live.get((facts.st_dev, facts.st_ino))

    def _place(self, path: Any, dir_fd: int | None = None) -> tuple[int | None, str, str]:
        """The directory's inode, if it is one of ours; the name in it; the whole path."""
        text = os.fsdecode(path)
        if dir_fd is not None:
            text = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), text)
        parent, name = os.path.split(os.path.abspath(text))
        parent = os.path.realpath(parent)
        try:
            directory = self._known(os.stat(parent))
        except OSError:
            directory = None
        return directory, name, os.path.join(parent, name)

    def _below(self, path: str) -> str:
        return os.path.relpath(path, self._root)

    def _file(self, fd: int) -> tuple[int | None, str]:
        """Inode and path of an open file that is one of ours."""
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode) and not stat.S_ISDIR(facts.st_mode):
            return None, ""
        number = self._known(facts)
        if number is None:
            return None, ""
        return number, self._below(os.readlink(f"/proc/self/fd/{fd}").removesuffix(" (deleted)"))

    def _made(self, name: str, path: str, directory: int, entry: str, kind: Kind) -> None:
        """What is at ``path`` was made just now."""
        facts = os.lstat(path)
        number = self._live[facts.st_dev, facts.st_ino] = self._new_inode()
        target = os.readlink(path) if kind is Kind.LINK else ""
        where = self._below(path)
        self._record(Make(number, kind, target), "", where)
        self._record(Names((Change(directory, entry, number),)), name, where)
