"""What happens to a directory tree, and what is said meanwhile, in one order."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

from attrs import field, frozen


class Kind(enum.Enum):
    """What an inode is."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"


@frozen
class Make:
    """An inode comes to be. Inodes have numbers of our own, never used twice.

    :ivar target: of a symbolic link.
    """

    inode: int
    kind: Kind
    target: str = ""


@frozen
class Change:
    """An entry of a directory; ``inode`` None: it is taken away."""

    directory: int
    name: str
    inode: int | None


@frozen
class Names:
    """Entries that change together: one, or the two of a rename."""

    changes: tuple[Change, ...]


@frozen
class Write:
    """Bytes put into a file, at a place that is known by now whatever call put them there."""

    inode: int
    offset: int
    data: bytes = field(repr=lambda data: f"{len(data)} bytes")


@frozen
class Truncate:
    """The size of a file was set."""

    inode: int
    size: int


@frozen
class SyncBegun:
    """A synchronisation of a file or directory was asked for: it covers what came before."""

    inode: int
    number: int


@frozen
class Synced:
    """The synchronisation of that number has ended well: what it covers is on the disk."""

    inode: int
    number: int


@frozen
class SyncFailed:
    """The synchronisation of that number failed. What of a file's data it was to cover is perhaps
    never stored, and no later one tells of it; Linux forgets such data."""

    inode: int
    number: int


@frozen
class Told:
    """A reply, as it leaves for the driver."""

    line: str


@frozen
class Heard:
    """A line of the driver."""

    line: str


Event = Make | Names | Write | Truncate | SyncBegun | Synced | SyncFailed | Told | Heard


@frozen
class Call:
    """A system call that made an event.

    :ivar path: of the file, below the recorded directory.
    """

    name: str
    path: str


Calls = Sequence[Call]

ROOT = 0
"""The inode of the recorded directory."""


@frozen
class Tree:
    """What is there when a recording begins: all of it is on the disk.

    :ivar inodes: by number, with the contents of files.
    :ivar entries: of each directory.
    """

    inodes: Mapping[int, tuple[Make, bytes]]
    entries: Mapping[int, Mapping[str, int]]
