"""The bytes of a dump on their way to whoever unpacks it: followed, and ended where no more can be
had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import implementer

from protocols.tararchive import ArchiveScanner, Hole, Member
from taper.people.restore.finding import covers, member_name
from taper.people.telling import printable
from taper.plane.interfaces import ISource, SourceError

if TYPE_CHECKING:
    from taper.flow.salvaged import SalvagedOrigin


_MOST_NAMES = 500_000
"""So many names of an archive are kept; of an archive with more nobody says what it left out."""


class Contents:
    """What an archive turned out to have.

    :ivar files: how many members are no directories.
    :ivar damaged: names of members of which bytes are missing; those that are wanted only.
    :ivar seen: of the paths that are wanted, those that are there.
    :ivar last: name of the last file of which all was seen; empty: there was none.
    :ivar not_found: of how many spellings of paths there is no member.
    :ivar members: names of the members, if paths are wanted, and of what the archive says that it
        has: a socket is no member of any, nor is what could not be read.
    :ivar kept: names that the archive lists below the paths that are wanted, and has no member of,
        as they were dumped before.
    :ivar renamed: old and new names of directories, since the dump that this one builds on.
    """

    def __init__(self, paths: tuple[str, ...]) -> None:
        self.files = 0
        self.damaged: list[str] = []
        self.last = ""
        self.seen: set[str] = set()
        self._spelled: set[tuple[str, bool]] = set()
        self.members: set[str] = set()
        self.kept: set[str] = set()
        self.renamed: list[tuple[str, str]] = []
        self._old_name = ""
        self._paths = paths
        self._scanner = ArchiveScanner(self._take, self._list)

    def _take(self, member: Member) -> None:
        name = member_name(member.name)
        wanted = [path for path in self._paths if covers(path, name)]
        if self._paths and not wanted:
            return
        self.seen.update(wanted)
        self._spelled.update((path, member.name.startswith("./")) for path in wanted)
        self.files += not member.is_directory
        if wanted and len(self.members) < _MOST_NAMES:
            self.members.add(name)
        if member.damaged:
            self.damaged.append(name)
        elif not member.is_directory:
            self.last = name

    def _list(self, directory: str, mark: str, name: str) -> None:
        if mark in "NY" and self._paths:
            names = self.kept if mark == "N" else self.members
            whole = member_name(f"{member_name(directory)}/{name}")
            if len(names) < _MOST_NAMES and any(covers(path, whole) for path in self._paths):
                names.add(whole)
        elif mark == "R":
            self._old_name = member_name(name)
        elif mark == "T" and self._old_name and len(self.renamed) < _MOST_NAMES:
            self.renamed.append((self._old_name, member_name(name)))

    @property
    def names_known(self) -> bool:
        """All names that are wanted are in ``members`` and ``kept``."""
        return max(len(self.members), len(self.kept)) < _MOST_NAMES

    def feed(self, data: memoryview) -> None:
        self._scanner.feed(data)

    def lose(self, size: int) -> None:
        self._scanner.lose(size)

    def end(self) -> None:
        self._scanner.end()

    @property
    def not_found(self) -> int:
        return 2 * len(self._paths) - len(self._spelled)

    @property
    def holes(self) -> list[Hole]:
        """Places where members may have been."""
        return self._scanner.holes

    @property
    def ended(self) -> bool:
        """The archive came to its end."""
        return self._scanner.ended


def moved_away(renamed: list[tuple[str, str]]) -> list[str]:
    """What is wrong where directories were renamed, and tar was not told to rename them."""
    return [
        f"directory {printable(old)} was renamed to {printable(new)} before this dump: what did "
        "not change in it since is under its old name"
        for old, new in renamed
    ]


@implementer(ISource)
class Watched:
    """A source that never fails: what cannot be read ends it, and the fault is kept.

    Whoever takes the bytes gets all that there are.

    :ivar fault: why the source ended before its end.
    """

    def __init__(
        self, source: ISource, origin: SalvagedOrigin | None, contents: Contents | None
    ) -> None:
        """:param source: ours to read and to close
        :param origin: of a dump on volumes, which fills in what is lost
        :param contents: of the archive; None: it is none
        """
        self.fault: str | None = None
        self._source = source
        self._origin = origin
        self._contents = contents
        self._cancelled = False

    def read_into(self, buffer: memoryview) -> int:
        if self.fault is not None:
            return 0
        try:
            size: int = self._source.read_into(buffer)
        except SourceError as fault:
            if self._cancelled:
                raise
            self.fault = str(fault)
            size = 0
        if self._contents is not None:
            self._follow(self._contents, buffer[:size])
        return size

    def _follow(self, contents: Contents, data: memoryview) -> None:
        salvaged = None if self._origin is None else self._origin.salvaged
        if not data:
            contents.end()
        elif salvaged is not None and salvaged.filled:
            contents.lose(len(data))
        else:
            contents.feed(data)

    def cancel(self) -> None:
        self._cancelled = True
        self._source.cancel()

    def close(self) -> None:
        self._source.close()
