"""What a disk may hold after a power cut, as POSIX allows.

What a file has got since its last synchronisation may be there, or not, or in part, or only its
size; and so for each write by itself. Directory entries that were made or taken away since the last
synchronisation of *their directory* may be there in any combination in which the history of each
name makes sense; a rename within one directory happens or not. Synchronising a file says nothing of
its name, as POSIX has it; with ``lax`` it does, as on Linux's usual file systems.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from math import inf

from attrs import define, field

from tests.crash.events import (
    ROOT,
    Event,
    Kind,
    Make,
    Names,
    SyncBegun,
    Synced,
    SyncFailed,
    Tree,
    Truncate,
    Write,
)


class Blob:
    """Contents of a file; what is computed of them is remembered."""

    __slots__ = ("__dict__", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data

    @cached_property
    def digest(self) -> bytes:
        return hashlib.blake2b(self.data, digest_size=16).digest()


EMPTY = Blob(b"")
Node = Blob | str | None
"""A file's contents, a symbolic link's target, or None for a directory."""


class Image:
    """What is found after a crash.

    :ivar nodes: what is there, by path below the root.
    """

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self.nodes = nodes

    @cached_property
    def digest(self) -> bytes:
        whole = hashlib.blake2b(digest_size=16)
        for path, node in sorted(self.nodes.items()):
            whole.update(path.encode("utf-8", "surrogateescape") + b"\0")
            if isinstance(node, Blob):
                whole.update(b"f" + node.digest)
            else:
                whole.update(b"d" if node is None else b"l" + node.encode())
        return whole.digest()


Change = Write | Truncate


def applied(data: bytes, changes: Iterable[Change]) -> bytes:
    """What a file holds after changes; what is not written within its size is zero."""
    result = bytearray(data)
    for change in changes:
        if isinstance(change, Truncate):
            del result[change.size :]
            result.extend(bytes(change.size - len(result)))
        else:
            end = change.offset + len(change.data)
            result.extend(bytes(max(0, end - len(result))))
            result[change.offset : end] = change.data
    return bytes(result)


def sized(data: bytes, changes: Iterable[Change]) -> bytes:
    """The size that a file has after changes, with nothing of what was written."""
    result = bytearray(data)
    for change in changes:
        if isinstance(change, Truncate):
            del result[change.size :]
            end = change.size
        else:
            end = change.offset + len(change.data)
        result.extend(bytes(max(0, end - len(result))))
    return bytes(result)


@define
class _Inode:
    """A file, directory or link.

    :ivar durable: contents that are on the disk.
    :ivar pending: what has happened to them since, with the moment; those that no synchronisation
        covers any more have none.
    :ivar now: what a reader finds.
    """

    make: Make
    durable: Blob = EMPTY
    pending: list[tuple[float, Change]] = field(factory=list)
    now: Blob = field()

    @now.default
    def _unchanged(self) -> Blob:
        return self.durable

    def changed(self, moment: int, change: Change) -> None:
        self.pending.append((moment, change))
        self.now = Blob(applied(self.now.data, [change]))

    def synced(self, moment: int) -> None:
        """What came before ``moment`` is on the disk."""
        covered = [change for when, change in self.pending if when < moment]
        if covered:
            all_of_it = len(covered) == len(self.pending)
            self.durable = self.now if all_of_it else Blob(applied(self.durable.data, covered))
            self.pending = [change for change in self.pending if change[0] >= moment]

    def failed(self, moment: int) -> None:
        """What came before ``moment`` may be lost, whatever is synchronised later."""
        self.pending = [(inf if when < moment else when, change) for when, change in self.pending]

    @property
    def changes(self) -> list[Change]:
        return [change for _, change in self.pending]


@define(eq=False)
class Naming:
    """Entries that changed together and are not yet all on the disk.

    :ivar unsynced: directories not synchronised since.
    :ivar after: earlier ones that touch the same names.
    """

    moment: int
    names: Names
    unsynced: set[int]
    after: list[Naming]

    def with_causes(self) -> Iterator[Naming]:
        """This, and what must have happened before it."""
        yield self
        for earlier in self.after:
            yield from earlier.with_causes()


class Disk:
    """A tree to which things happen one by one.

    :ivar namings: changes of names that a crash may still undo.
    """

    def __init__(self, tree: Tree, lax: bool = False) -> None:
        self._lax = lax
        self._moment = 0
        self._inodes = {
            number: _Inode(make, Blob(data)) for number, (make, data) in tree.inodes.items()
        }
        self._entries = {number: dict(names) for number, names in tree.entries.items()}
        self._begun: dict[int, int] = {}
        self.namings: list[Naming] = []

    def happen(self, event: Event) -> bool:
        """Let one thing happen. :return: whether it may have changed what a crash leaves"""
        self._moment += 1
        match event:
            case Make():
                self._inodes[event.inode] = _Inode(event)
                if event.kind is Kind.DIRECTORY:
                    self._entries[event.inode] = {}
                return False
            case Names():
                self._name(event)
            case Write() | Truncate():
                self._inodes[event.inode].changed(self._moment, event)
            case SyncBegun():
                self._begun[event.number] = self._moment
                return False
            case Synced():
                self._sync(event.inode, self._begun.pop(event.number))
            case SyncFailed():
                self._fail(event.inode, self._begun.pop(event.number))
                return False
            case _:
                return False
        return True

    def _name(self, names: Names) -> None:
        touched = {(change.directory, change.name) for change in names.changes}
        after = [
            naming
            for naming in self.namings
            if touched & {(change.directory, change.name) for change in naming.names.changes}
        ]
        unsynced = {change.directory for change in names.changes}
        self.namings.append(Naming(self._moment, names, unsynced, after))

    def _sync(self, inode: int, moment: int) -> None:
        if self._inodes[inode].make.kind is not Kind.DIRECTORY:
            self._inodes[inode].synced(moment)
            if self._lax:
                self._settle(
                    naming
                    for naming in self.namings
                    if naming.moment < moment
                    and any(change.inode == inode for change in naming.names.changes)
                )
            return
        settled = []
        for naming in self.namings:
            if naming.moment < moment:
                naming.unsynced.discard(inode)
                if not naming.unsynced:
                    settled.append(naming)
        self._settle(settled)

    def _fail(self, inode: int, moment: int) -> None:
        """A directory's entries may be stored by a later synchronisation, a file's data not."""
        if self._inodes[inode].make.kind is Kind.FILE:
            self._inodes[inode].failed(moment)

    def _settle(self, namings: Iterable[Naming]) -> None:
        settled = {one for naming in namings for one in naming.with_causes()}
        self._apply(self._entries, (naming for naming in self.namings if naming in settled))
        self.namings = [naming for naming in self.namings if naming not in settled]
        for naming in self.namings:
            naming.after = [one for one in naming.after if one not in settled]

    @staticmethod
    def _apply(entries: dict[int, dict[str, int]], namings: Iterable[Naming]) -> None:
        for naming in namings:
            for change in naming.names.changes:
                if change.inode is None:
                    entries[change.directory].pop(change.name, None)
                else:
                    entries[change.directory][change.name] = change.inode

    # what a crash leaves

    def changes(self, inode: int) -> list[Change]:
        """What has happened to a file since it was synchronised."""
        return self._inodes[inode].changes

    def durable(self, inode: int) -> Blob:
        """What of a file is surely there, if nothing that came later is."""
        return self._inodes[inode].durable

    def now(self, inode: int) -> Blob:
        """What a reader finds in a file now."""
        return self._inodes[inode].now

    def unsettled(self) -> list[int]:
        """Files that a crash may leave in more than one way."""
        return [number for number, inode in self._inodes.items() if inode.pending]

    def image(self, kept: Iterable[Naming], contents: Callable[[int], Blob]) -> Image:
        """What a crash leaves.

        :param kept: changes of names that were on the disk, with all that came before them
        :param contents: of each file that has a name then
        """
        wanted = set(kept)
        entries = self._entries
        if wanted:
            touched = {change.directory for one in wanted for change in one.names.changes}
            entries = entries | {number: dict(entries[number]) for number in touched}
            self._apply(entries, (naming for naming in self.namings if naming in wanted))
        nodes: dict[str, Node] = {}

        def walk(directory: int, prefix: str) -> None:
            for name, number in entries[directory].items():
                make = self._inodes[number].make
                path = prefix + name
                if make.kind is Kind.DIRECTORY:
                    nodes[path] = None
                    walk(number, path + "/")
                elif make.kind is Kind.LINK:
                    nodes[path] = make.target
                else:
                    nodes[path] = contents(number)

        walk(ROOT, "")
        return Image(nodes)
