"""The bytes of a dump on their way to whoever unpacks it: followed, and ended where no more can be
had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import implementer

from protocols.tararchive import ArchiveScanner, Hole, Member
from taper.people.restore.finding import covers, member_name
from taper.plane.interfaces import ISource, SourceError

if TYPE_CHECKING:
    from taper.flow.salvaged import SalvagedOrigin


class Contents:
    """What an archive turned out to have.

    :ivar files: how many members are no directories.
    :ivar damaged: names of members of which bytes are missing; those that are wanted only.
    :ivar seen: of the paths that are wanted, those that are there.
    :ivar last: name of the last file of which all was seen; empty: there was none.
    :ivar not_found: of how many spellings of paths there is no member.
    """

    def __init__(self, paths: tuple[str, ...]) -> None:
        self.files = 0
        self.damaged: list[str] = []
        self.last = ""
        self.seen: set[str] = set()
        self._spelled: set[tuple[str, bool]] = set()
        self._paths = paths
        self._scanner = ArchiveScanner(self._take)

    def _take(self, member: Member) -> None:
        name = member_name(member.name)
        wanted = [path for path in self._paths if covers(path, name)]
        if self._paths and not wanted:
            return
        self.seen.update(wanted)
        self._spelled.update((path, member.name.startswith("./")) for path in wanted)
        self.files += not member.is_directory
        if member.damaged:
            self.damaged.append(name)
        elif not member.is_directory:
            self.last = name

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
