"""The catalogue as people ask for it: which dumps there are, where they lie, and whether they can
still be had.

Pure: a tapelist and what the trace logs and holding disks tell go in (:mod:`taper.people.reading`
reads them), values come out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import field, frozen

from protocols.header import Header
from protocols.stored import BrokenPart, End, StoredPart, ToldDump, full_stamp
from protocols.tapelist import Tapelist, TapelistEntry

_SHOWN_PARTS = 5
"""Numbers of missing parts that a sentence names."""


@frozen(kw_only=True)
class Copy:
    """A dump on volumes, whole or not.

    :ivar dump: what the log tells of it.
    :ivar gone: labels of its volumes that were written again since, or are in no tapelist.
    :ivar forgotten: those of them that are in no tapelist: what is on them may still be there.
    """

    dump: ToldDump
    gone: tuple[str, ...] = ()
    forgotten: tuple[str, ...] = ()

    @property
    def restorable(self) -> bool:
        """All of it is on volumes that nobody has written again."""
        return self.dump.is_whole and not self.gone

    @property
    def overwritten(self) -> tuple[str, ...]:
        """Labels of its volumes that were written again since."""
        return tuple(label for label in self.gone if label not in self.forgotten)

    @property
    def lacks(self) -> str | None:
        """What it wants to be whole, as a clause for people; None: nothing."""
        if self.restorable:
            return None
        reasons = []
        if self.overwritten:
            reasons.append(f"{_volumes(self.overwritten)} written again")
        if self.forgotten:
            reasons.append(f"{_volumes(self.forgotten)} forgotten (not in the tapelist)")
        if self.dump.end is not End.DONE:
            reasons.append(f"{self.dump.end.value}: {self.dump.why}")
        elif not self.dump.is_whole:
            reasons.append(missing_of(self.dump))
        return "; ".join(reasons)


def _volumes(labels: tuple[str, ...]) -> str:
    return f"{'volume' if len(labels) == 1 else 'volumes'} {', '.join(labels)}"


def missing_of(dump: ToldDump) -> str:
    """What the log does not tell of a dump that is not whole, as a clause for people."""
    there = {part.number for part in dump.parts}
    missing = []
    for number in range(1, dump.count + 1):
        if number not in there:
            missing.append(str(number))
            if len(missing) > _SHOWN_PARTS:
                missing[-1] = "..."
                break
    if not missing:
        return f"the log tells of {dump.count} parts"
    return (
        f"the log does not tell of {'part' if len(missing) == 1 else 'parts'} {', '.join(missing)}"
    )


@frozen(kw_only=True)
class HeldDump:
    """A dump that waits on a holding disk.

    :ivar path: of its first file.
    :ivar datestamp: of the dump, 14 digits.
    :ivar level: as text.
    :ivar size: bytes of the dump in all its files.
    :ivar lacks: what it wants to be whole; None: nothing.
    """

    path: str
    host: str
    disk: str
    datestamp: str
    level: str
    size: int
    lacks: str | None = None

    @property
    def restorable(self) -> bool:
        return self.lacks is None


@frozen(kw_only=True)
class Use:
    """What the logs tell of one volume, as it is written now.

    :ivar size: bytes of payload in all its parts.
    :ivar parts: how many there are.
    :ivar broken: how many of them are not good.
    :ivar dumps: of how many copies of dumps they are.
    """

    size: int = 0
    parts: int = 0
    broken: int = 0
    dumps: int = 0


@frozen
class Catalogue:
    """All that is known.

    :ivar copies: the dumps on volumes, the newest first; of one run in the order of their ends.
    :ivar held: those on holding disks, likewise.
    """

    tapelist: Tapelist
    copies: tuple[Copy, ...]
    held: tuple[HeldDump, ...] = ()
    _on: dict[str, list[Copy]] = field(init=False, factory=dict, eq=False, repr=False)
    _of: dict[tuple[str, str], list[Copy | HeldDump]] = field(
        init=False, factory=dict, eq=False, repr=False
    )

    def __attrs_post_init__(self) -> None:
        for held in self.held:
            self._of.setdefault((held.host.lower(), held.disk), []).append(held)
        for copy in self.copies:
            name = copy.dump.name
            self._of.setdefault((name.host.lower(), name.disk), []).append(copy)
            places = {part.label for part in copy.dump.places}
            for label in places:
                if is_written_as(self.tapelist.lookup(label), copy.dump.written):
                    self._on.setdefault(label, []).append(copy)

    def of(self, host: str | None = None, disk: str | None = None) -> Iterator[Copy | HeldDump]:
        """The dumps of a host, or of one disk of it, the newest first; those that wait on holding
        disks before those on volumes.

        :param host: its case does not matter; None: all hosts
        :param disk: None: all disks
        """
        if host is not None and disk is not None:
            yield from self._of.get((host.lower(), disk), ())
            return
        for held in self.held:
            if _is_of(held.host, held.disk, host, disk):
                yield held
        for copy in self.copies:
            if _is_of(copy.dump.name.host, copy.dump.name.disk, host, disk):
                yield copy

    def on(self, label: str) -> tuple[Copy, ...]:
        """The dumps that have a part, good or not, on a volume as it is written now."""
        return tuple(self._on.get(label, ()))

    def parts_on(self, label: str) -> list[tuple[Copy, StoredPart | BrokenPart]]:
        """The files of a volume as it is written now, by their numbers."""
        found: list[tuple[Copy, StoredPart | BrokenPart]] = [
            (copy, part)
            for copy in self.on(label)
            for part in copy.dump.places
            if part.label == label and part.fileno
        ]
        return sorted(found, key=lambda one: one[1].fileno)

    def written_instead(self, label: str, header: Header) -> StoredPart | None:
        """The part that a file without one was to be: a taper that finds no room behind the header
        goes on with another volume, and logs nothing of the first.

        :param label: of the volume with the file
        """
        entry = self.tapelist.lookup(label)
        for copy in self.copies:
            if not is_written_as(entry, copy.dump.written):
                continue
            for part in copy.dump.parts:
                if part.label != label and copy.dump.name.mismatch(header, part) is None:
                    return part
        return None

    def use_of(self, label: str) -> Use:
        """How much is on a volume."""
        found = self.parts_on(label)
        return Use(
            size=sum(part.about for _, part in found),
            parts=len(found),
            broken=sum(isinstance(part, BrokenPart) for _, part in found),
            dumps=len({id(copy) for copy, _ in found}),
        )


def _is_of(its_host: str, its_disk: str, host: str | None, disk: str | None) -> bool:
    if host is not None and host.lower() != its_host.lower():
        return False
    return disk is None or disk == its_disk


def is_written_as(entry: TapelistEntry | None, stamp: str) -> bool:
    """The tapelist has a volume as it was labelled then.

    :param stamp: 14 digits
    """
    return entry is not None and full_stamp(entry.datestamp) == stamp


def make_catalogue(
    tapelist: Tapelist, told: Iterable[ToldDump], held: Iterable[HeldDump] = ()
) -> Catalogue:
    """Put together what all the logs and holding disks tell.

    :param told: in the order of the logs, the oldest first
    """
    copies = []
    for dump in told:
        gone = [
            label
            for label in dump.labels
            if not is_written_as(tapelist.lookup(label), dump.written)
        ]
        forgotten = tuple(label for label in gone if tapelist.lookup(label) is None)
        copies.append(Copy(dump=dump, gone=tuple(gone), forgotten=forgotten))
    return Catalogue(
        tapelist,
        _newest_first(copies),
        tuple(sorted(held, key=lambda dump: dump.datestamp, reverse=True)),
    )


def together(catalogue: Catalogue, past: Catalogue) -> Catalogue:
    """A catalogue with the copies on volumes of another one, too."""
    return Catalogue(
        catalogue.tapelist, _newest_first([*past.copies, *catalogue.copies]), catalogue.held
    )


def _newest_first(copies: Iterable[Copy]) -> tuple[Copy, ...]:
    return tuple(sorted(copies, key=lambda copy: copy.dump.name.datestamp, reverse=True))
