"""Dumps on volumes, as the trace logs tell of them: what is read to vault or to restore one
[data-plane 4.4].

Pure: lines of one log go in, values come out; which logs to read is the caller's business
(:mod:`taper.run.vault_catalog`, :mod:`taper.people.reading`).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator

from attrs import evolve, field, frozen

from protocols.crc import UNKNOWN, Crc
from protocols.header import Header
from protocols.stats import parse_stats
from protocols.tracelog import Done, Fail, Part, Partial, PartPartial, Start, read_record

MAX_PARTS = 1_000_000
"""Parts of a dump that are believed."""

_MAX_DIGITS = 19

_TYPES = ("START", "PART", "PARTPARTIAL", "DONE", "PARTIAL", "FAIL")
_PROGRAMS = ("taper", "amvault")


def full_stamp(stamp: str) -> str:
    """A datestamp in 14 digits; one of 8 means midnight."""
    return f"{stamp}000000" if len(stamp) == 8 else stamp


@frozen(kw_only=True)
class DumpName:
    """What tells a copy of a dump from all others.

    :ivar datestamp: of the dump, in 14 digits.
    :ivar level: as text.
    """

    storage: str
    host: str
    disk: str
    datestamp: str
    level: str

    def describe(self) -> str:
        return f"{self.host}:{self.disk} level {self.level} of {self.datestamp} on {self.storage}"

    def mismatch(self, header: Header, part: StoredPart | BrokenPart) -> str | None:
        """What is wrong with the header found where a part of it should be [data-plane 4.4]."""
        differences = [
            f"got {what} '{found}'; expected '{expected}'"
            for what, found, expected in (
                ("hostname", header.host, self.host),
                ("disk", header.disk, self.disk),
                ("datestamp", full_stamp(header.datestamp), self.datestamp),
                ("dumplevel", str(header.level), self.level),
                ("partnum", str(header.partnum), str(part.number)),
            )
            if found != expected
        ]
        if not differences:
            return None
        text = "; ".join(differences)
        return f"header on {part.place} does not match expectations: {text}"


@frozen(kw_only=True)
class StoredPart:
    """A good part.

    :ivar number: from 1.
    :ivar size: bytes of payload; None: the log tells whole KiB only.
    :ivar about: the same as far as the log tells it: a whole number of KiB where ``size`` is None.
    """

    label: str
    fileno: int
    number: int
    size: int | None
    about: int = field(default=0, eq=False)

    @property
    def place(self) -> str:
        return f"'{self.label}' file {self.fileno}" if self.label else f"part {self.number}"


@frozen(kw_only=True)
class StoredDump:
    """A complete dump, or what a log tells of one that is not (:meth:`ToldDump.as_remains`).

    :ivar written: the datestamp of its volumes' labels, 14 digits.
    :ivar parts: all of them, in order.
    :ivar crc: of its bytes, as stored; may be unknown, like the next two.
    :ivar native_crc: of what the application sent.
    :ivar client_crc: of what the client sent.
    """

    name: DumpName
    written: str
    parts: tuple[StoredPart, ...]
    crc: Crc
    native_crc: Crc = UNKNOWN
    client_crc: Crc = UNKNOWN

    @property
    def labels(self) -> tuple[str, ...]:
        """The volumes, in the order of reading."""
        return tuple(dict.fromkeys(part.label for part in self.parts if part.label))

    def mismatch(self, header: Header, part: StoredPart) -> str | None:
        """What is wrong with the header found where ``part`` should be [data-plane 4.4]."""
        return self.name.mismatch(header, part)


@frozen(kw_only=True)
class BrokenPart:
    """A part that is on a volume, or was begun there, and is not good.

    :ivar fileno: of its file; 0: nothing of it is there.
    :ivar about: bytes of payload that were written.
    :ivar why: what the log says.
    """

    label: str
    fileno: int
    number: int
    about: int
    why: str

    @property
    def place(self) -> str:
        return f"'{self.label}' file {self.fileno}"


class End(enum.Enum):
    """How a log says that a dump ended."""

    DONE = "done"
    PARTIAL = "partial"
    FAILED = "failed"
    OPEN = "open"
    """It does not say: the taper is at it, or died."""


@frozen(kw_only=True)
class ToldDump:
    """What one log tells of a copy of a dump, whole or not.

    :ivar written: the datestamp of its volumes' labels, 14 digits.
    :ivar parts: the good ones, by their numbers; of several for one number the last.
    :ivar broken: parts that are not good, in the log's order.
    :ivar count: how many parts its end tells of.
    :ivar crc: of its bytes, as stored; may be unknown, like the next two.
    :ivar native_crc: of what the application sent.
    :ivar client_crc: of what the client sent.
    :ivar seconds: that writing took.
    :ivar orig_kb: KiB of what the application sent; None: the log does not tell.
    :ivar why: what the log says of one that is not whole.
    """

    name: DumpName
    pool: str
    written: str
    end: End
    parts: tuple[StoredPart, ...]
    broken: tuple[BrokenPart, ...] = ()
    count: int = 0
    crc: Crc = UNKNOWN
    native_crc: Crc = UNKNOWN
    client_crc: Crc = UNKNOWN
    seconds: float = 0.0
    orig_kb: int | None = None
    why: str = ""

    @property
    def is_whole(self) -> bool:
        """DONE was said, and all parts are there."""
        return (
            self.end is End.DONE
            and 0 < self.count <= MAX_PARTS
            and [part.number for part in self.parts[: self.count]] == list(range(1, self.count + 1))
        )

    @property
    def places(self) -> tuple[StoredPart | BrokenPart, ...]:
        """All that is of it on volumes, good or not."""
        return (*self.parts, *self.broken)

    @property
    def size(self) -> int:
        """Bytes of its good parts, as far as the log tells."""
        return sum(part.about for part in self.parts)

    @property
    def labels(self) -> tuple[str, ...]:
        """The volumes of its good parts, in the order of reading."""
        return tuple(dict.fromkeys(part.label for part in self.parts))

    def as_stored(self) -> StoredDump:
        """The dump as it is read; only of one that is whole."""
        return StoredDump(
            name=self.name,
            written=self.written,
            parts=self.parts[: self.count],
            crc=self.crc,
            native_crc=self.native_crc,
            client_crc=self.client_crc,
        )

    def as_remains(self) -> StoredDump:
        """The dump as it is read as far as it goes.

        One part without a label stands for those in a row that the log does not tell of. Its size
        is known where the log tells that of the dump, and there is one such row only. Where a dump
        broke off, the part in which it did is the last one, its size not known.
        """
        numbers = [part.number for part in self.parts]
        last = min(max([*numbers, self.count]), MAX_PARTS)
        if self.end is End.DONE and 0 < self.count <= MAX_PARTS:
            last = self.count
        good = [part for part in self.parts if part.number <= last]
        found: list[StoredPart] = []
        following = 1
        for part in good:
            if part.number > following:
                found.append(_nowhere(following))
            found.append(part)
            following = part.number + 1
        if self.end is not End.DONE:
            broken = [one for one in self.broken if one.fileno and one.number == following]
            found += [_begun_part(one) for one in broken[-1:]]
            following += bool(broken)
        if following <= last:
            found.append(_nowhere(following))
        rows = [index for index, part in enumerate(found) if not part.label]
        sizes = [part.size for part in good]
        if self.end is End.DONE and self.crc.known and len(rows) == 1 and None not in sizes:
            size = self.crc.size - sum(size or 0 for size in sizes)
            if size > 0:
                found[rows[0]] = evolve(found[rows[0]], size=size)
        return StoredDump(
            name=self.name,
            written=self.written,
            parts=tuple(found),
            crc=self.crc if self.end is End.DONE else UNKNOWN,
            native_crc=self.native_crc if self.end is End.DONE else UNKNOWN,
            client_crc=self.client_crc if self.end is End.DONE else UNKNOWN,
        )


def _nowhere(number: int) -> StoredPart:
    return StoredPart(label="", fileno=0, number=number, size=None)


def _begun_part(part: BrokenPart) -> StoredPart:
    return StoredPart(
        label=part.label, fileno=part.fileno, number=part.number, size=None, about=part.about
    )


def told_dumps(
    lines: Iterable[str], log_datestamp: str, *, default_storage: str
) -> Iterator[ToldDump]:
    """All copies of dumps that one log tells of, whole or not, in the order of their ends.

    A part counts if the log has its volume's START. A dump that was begun anew forgets what it had
    before. Those whose end the log does not tell come last.

    :param log_datestamp: of the log's name; a volume labelled with another does not count.
    :param default_storage: that of lines without one, from before there were storages.
    """
    reader = _Reader(full_stamp(log_datestamp), default_storage)
    for line in lines:
        type_, _, rest = line.partition(" ")
        if type_ not in _TYPES:
            continue
        program, _, text = rest.rstrip("\r\n").partition(" ")
        if program in _PROGRAMS:
            ended = reader.take(read_record(type_, text))
            if ended is not None:
                yield ended
    yield from reader.without_end()


def stored_dumps(
    lines: Iterable[str], log_datestamp: str, wanted: DumpName, *, default_storage: str
) -> list[StoredDump]:
    """All complete copies of a dump that one log tells of, in its order; see :func:`told_dumps`."""
    told = told_dumps(lines, log_datestamp, default_storage=default_storage)
    return [dump.as_stored() for dump in told if dump.name == wanted and dump.is_whole]


def dump_at(
    lines: Iterable[str], label: str, fileno: int, *, default_storage: str
) -> DumpName | None:
    """The dump that a log says to lie in a file of a volume; the last one, if there are several."""
    found = None
    for line in lines:
        type_, _, rest = line.partition(" ")
        program, _, text = rest.rstrip("\r\n").partition(" ")
        if type_ != "PART" or program not in _PROGRAMS:
            continue
        record = read_record(type_, text)
        if isinstance(record, Part) and (record.label, record.fileno) == (label, fileno):
            found = _name_of(record, default_storage)
    return found


def _name_of(record: Part | PartPartial | Done | Partial | Fail, default_storage: str) -> DumpName:
    return DumpName(
        storage=record.storage or default_storage,
        host=record.host,
        disk=record.disk,
        datestamp=full_stamp(record.datestamp),
        level=record.level,
    )


class _Reader:
    """What was seen so far of dumps that have not ended."""

    def __init__(self, stamp: str, default_storage: str) -> None:
        self._stamp = stamp
        self._default_storage = default_storage
        self._labels: set[str] = set()
        self._open: dict[DumpName, _Begun] = {}

    def take(self, record: object) -> ToldDump | None:
        """Look at one record. :return: the dump that it ends"""
        if isinstance(record, Start):
            if full_stamp(record.datestamp) == self._stamp:
                self._labels.add(record.label)
        elif isinstance(record, Part | PartPartial):
            self._add(record)
        elif isinstance(record, Done | Partial | Fail):
            return self._ended(record)
        return None

    def without_end(self) -> Iterator[ToldDump]:
        for name, begun in self._open.items():
            yield ToldDump(
                name=name,
                pool=begun.pool,
                written=self._stamp,
                end=End.OPEN,
                parts=begun.good(),
                broken=tuple(begun.broken),
                why="the trace log does not tell how it ended",
            )

    def _add(self, record: Part | PartPartial) -> None:
        if record.label not in self._labels or record.partnum < 1:
            return
        name = _name_of(record, self._default_storage)
        begun = self._open.setdefault(name, _Begun(record.pool))
        stats = parse_stats(record.stats)
        about = stats.size if stats is not None else 0
        if isinstance(record, PartPartial):
            begun.broken.append(
                BrokenPart(
                    label=record.label,
                    fileno=record.fileno,
                    number=record.partnum,
                    about=about,
                    why=record.text,
                )
            )
        elif record.fileno >= 1:
            exact = stats is not None and " bytes " in record.stats
            begun.parts[record.partnum] = StoredPart(
                label=record.label,
                fileno=record.fileno,
                number=record.partnum,
                size=about if exact else None,
                about=about,
            )

    def _ended(self, record: Done | Partial | Fail) -> ToldDump | None:
        name = _name_of(record, self._default_storage)
        begun = self._open.pop(name, None)
        if begun is None:
            if isinstance(record, Fail):
                return None  # nothing of it is on volumes
            begun = _Begun(record.pool)
        if isinstance(record, Fail):
            return ToldDump(
                name=name,
                pool=begun.pool,
                written=self._stamp,
                end=End.FAILED,
                parts=begun.good(),
                broken=tuple(begun.broken),
                why=record.text,
            )
        stats = parse_stats(record.stats)
        orig = stats.orig_kb if stats is not None else None
        counted = orig is not None and orig.isascii() and orig.isdigit() and len(orig) < _MAX_DIGITS
        return ToldDump(
            name=name,
            pool=begun.pool,
            written=self._stamp,
            end=End.PARTIAL if isinstance(record, Partial) else End.DONE,
            parts=begun.good(),
            broken=tuple(begun.broken),
            count=record.parts,
            crc=record.server_crc,
            native_crc=record.native_crc,
            client_crc=record.client_crc,
            seconds=stats.seconds if stats is not None else 0.0,
            orig_kb=int(orig) if orig is not None and counted else None,
            why=(record.text or "its dumper failed") if isinstance(record, Partial) else "",
        )


class _Begun:
    """A dump that has not ended."""

    def __init__(self, pool: str) -> None:
        self.pool = pool
        self.parts: dict[int, StoredPart] = {}
        self.broken: list[BrokenPart] = []

    def good(self) -> tuple[StoredPart, ...]:
        return tuple(self.parts[number] for number in sorted(self.parts))
