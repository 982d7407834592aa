"""One dump on volumes, as the trace logs tell it: what is read to vault it [data-plane 4.4].

Pure: lines of one log go in, values come out; which logs to read is the caller's business
(:mod:`taper.run.vault_catalog`).
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from protocols.crc import UNKNOWN, Crc
from protocols.header import Header
from protocols.stats import parse_stats
from protocols.tracelog import Done, Fail, Part, Partial, Start, read_record

MAX_PARTS = 1_000_000
"""Parts of a dump that are believed."""

_TYPES = ("START", "PART", "DONE", "PARTIAL", "FAIL")
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


@frozen(kw_only=True)
class StoredPart:
    """A good part.

    :ivar number: from 1.
    :ivar size: bytes of payload; None: the log tells whole KiB only.
    """

    label: str
    fileno: int
    number: int
    size: int | None

    @property
    def place(self) -> str:
        return f"'{self.label}' file {self.fileno}"


@frozen(kw_only=True)
class StoredDump:
    """A complete dump.

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
        return tuple(dict.fromkeys(part.label for part in self.parts))

    def mismatch(self, header: Header, part: StoredPart) -> str | None:
        """What is wrong with the header found where ``part`` should be [data-plane 4.4]."""
        name = self.name
        differences = [
            f"got {what} '{found}'; expected '{expected}'"
            for what, found, expected in (
                ("hostname", header.host, name.host),
                ("disk", header.disk, name.disk),
                ("datestamp", full_stamp(header.datestamp), name.datestamp),
                ("dumplevel", str(header.level), name.level),
                ("partnum", str(header.partnum), str(part.number)),
            )
            if found != expected
        ]
        if not differences:
            return None
        text = "; ".join(differences)
        return f"header on {part.place} does not match expectations: {text}"


def stored_dumps(
    lines: Iterable[str], log_datestamp: str, wanted: DumpName, *, default_storage: str
) -> list[StoredDump]:
    """All complete copies of a dump that one log tells of, in its order.

    A part counts if the log has its volume's START; of several good lines for one part the last
    counts. A dump that was begun anew forgets what it had before.

    :param log_datestamp: of the log's name; a volume labelled with another does not count.
    :param default_storage: that of lines without one, from before there were storages.
    """
    search = _Search(full_stamp(log_datestamp), wanted, default_storage)
    for line in lines:
        type_, _, rest = line.partition(" ")
        if type_ not in _TYPES:
            continue
        program, _, text = rest.rstrip("\r\n").partition(" ")
        if program in _PROGRAMS:
            search.take(read_record(type_, text))
    return search.found


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


def _name_of(record: Part | Done | Partial | Fail, default_storage: str) -> DumpName:
    return DumpName(
        storage=record.storage or default_storage,
        host=record.host,
        disk=record.disk,
        datestamp=full_stamp(record.datestamp),
        level=record.level,
    )


class _Search:
    """What was seen of the wanted dump so far."""

    def __init__(self, stamp: str, wanted: DumpName, default_storage: str) -> None:
        self.found: list[StoredDump] = []
        self._stamp = stamp
        self._wanted = wanted
        self._default_storage = default_storage
        self._labels: set[str] = set()
        self._parts: dict[int, StoredPart] = {}

    def take(self, record: object) -> None:
        """Look at one record."""
        if isinstance(record, Start):
            if full_stamp(record.datestamp) == self._stamp:
                self._labels.add(record.label)
        elif isinstance(record, Part):
            if self._is_wanted(record):
                self._add(record)
        elif isinstance(record, Done):
            if self._is_wanted(record):
                self._complete(record)
                self._parts = {}
        elif isinstance(record, Partial | Fail) and self._is_wanted(record):
            self._parts = {}

    def _is_wanted(self, record: Part | Done | Partial | Fail) -> bool:
        return _name_of(record, self._default_storage) == self._wanted

    def _add(self, record: Part) -> None:
        if record.label not in self._labels or record.fileno < 1 or record.partnum < 1:
            return
        stats = parse_stats(record.stats)
        exact = stats is not None and " bytes " in record.stats
        self._parts[record.partnum] = StoredPart(
            label=record.label,
            fileno=record.fileno,
            number=record.partnum,
            size=stats.size if stats is not None and exact else None,
        )

    def _complete(self, record: Done) -> None:
        """DONE was said; but all parts must be there."""
        count = record.parts
        if not 0 < count <= MAX_PARTS or any(n not in self._parts for n in range(1, count + 1)):
            return
        self.found.append(
            StoredDump(
                name=self._wanted,
                written=self._stamp,
                parts=tuple(self._parts[number] for number in range(1, count + 1)),
                crc=record.server_crc,
                native_crc=record.native_crc,
                client_crc=record.client_crc,
            )
        )
