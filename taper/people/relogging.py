"""A tapelist and trace logs, made anew of what stands on volumes: for whoever has lost them.

Pure. The headers tell to which dump a file belongs, and which part of it it is. Whether all of a
dump is there, only its checksum tells, where the header has it; see :class:`Proof`.
"""

from __future__ import annotations

import enum
import functools
import itertools
from collections.abc import Iterable, Iterator

from attrs import evolve, field, frozen

from protocols.crc import UNKNOWN, Crc
from protocols.header import Header
from protocols.records import Record
from protocols.stats import format_stats
from protocols.stored import full_stamp
from protocols.tapelist import Tapelist, TapelistEntry
from protocols.tracelog import Done, Part, Partial, Start, encode
from taper.plane.crc import joined, without_zeros

_MOST_CHOICES = 64
"""So many ways of choosing among parts that are there twice are tried."""


@frozen(kw_only=True)
class FoundFile:
    """A file with a part of a dump.

    :ivar last: no other file follows it on its volume.
    """

    volume: FoundVolume
    number: int
    header: Header
    crc: Crc
    last: bool = False


@frozen(kw_only=True, eq=False)
class FoundVolume:
    """A volume that was read.

    :ivar stamp: of its label, 14 digits.
    :ivar block_size: bytes.
    """

    label: str
    stamp: str
    storage: str
    pool: str
    config: str
    block_size: int
    barcode: str | None = None
    meta: str | None = None
    files: list[FoundFile] = field(factory=list, repr=False)


class Proof(enum.Enum):
    """What is known of a dump's completeness."""

    CHECKSUM = "checksum"
    """All its parts are there, and make up the checksum that its header tells."""
    NONE = "none"
    """Its parts follow each other from the first on, and nothing tells whether another follows."""
    LACKING = "lacking"
    """Parts are missing, or the checksum is another one."""


@frozen(kw_only=True)
class FoundDump:
    """A dump, made up of files.

    :ivar parts: in order.
    :ivar lacks: with LACKING, what is missing.
    """

    parts: tuple[FoundFile, ...]
    proof: Proof
    lacks: str = ""

    @property
    def header(self) -> Header:
        return self.parts[0].header

    @property
    def crc(self) -> Crc:
        return functools.reduce(joined, (part.crc for part in self.parts), UNKNOWN)


_Key = tuple[str, str, str, str, int]
"""A run, and a dump of it: the label's stamp, host, disk, stamp, level."""


def put_together(volumes: Iterable[FoundVolume]) -> list[FoundDump]:
    """The dumps that the files are parts of, run after run."""
    found: dict[_Key, dict[int, list[FoundFile]]] = {}
    for volume in volumes:
        for file in volume.files:
            header = file.header
            key = (
                *(volume.stamp, header.host, header.disk),
                *(full_stamp(header.datestamp), header.level),
            )
            found.setdefault(key, {}).setdefault(max(header.partnum, 1), []).append(file)
    return [_dump(parts) for _, parts in sorted(found.items())]


def _unpadded(chosen: tuple[FoundFile, ...], size: int) -> tuple[FoundFile, ...]:
    """The last part without zeros that may fill its last block; the checksum proves that they are
    some."""
    last = chosen[-1]
    padding = sum(file.crc.size for file in chosen) - size
    if not 0 < padding < min(last.volume.block_size, last.crc.size):
        return chosen
    return (*chosen[:-1], evolve(last, crc=without_zeros(last.crc, padding)))


def _dump(parts: dict[int, list[FoundFile]]) -> FoundDump:
    """Choose among files of the same part: a taper writes a part again that met the end of a
    volume, so the one that something follows is the better one, then the longer one."""
    last = max(parts)
    numbers = [number for number in range(1, last + 1) if number in parts]
    choices = [
        sorted(parts[number], key=lambda file: (file.last, -file.crc.size)) for number in numbers
    ]
    first = tuple(files[0] for files in choices)
    expected = first[0].header.server_crc
    missing = sorted(set(range(1, last + 1)) - set(numbers))
    if missing:
        some = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        lacks = f"part {some} is on no volume that was read"
        return FoundDump(parts=first, proof=Proof.LACKING, lacks=lacks)
    if not expected.known:
        return FoundDump(parts=first, proof=Proof.NONE)
    for chosen in itertools.islice(itertools.product(*choices), _MOST_CHOICES):
        for parts_of_it in (chosen, _unpadded(chosen, expected.size)):
            if functools.reduce(joined, (file.crc for file in parts_of_it), UNKNOWN) == expected:
                return FoundDump(parts=parts_of_it, proof=Proof.CHECKSUM)
    size = sum(file.crc.size for file in first)
    lacks = f"its {size} bytes do not make up the checksum {expected} of its header"
    return FoundDump(parts=first, proof=Proof.LACKING, lacks=lacks)


def make_tapelist(volumes: Iterable[FoundVolume]) -> Tapelist:
    """The list of these volumes; none of them may be written over before somebody says so."""
    entries: dict[str, TapelistEntry] = {}
    for volume in sorted(volumes, key=lambda it: it.stamp):
        entries[volume.label] = TapelistEntry(
            datestamp=volume.stamp,
            label=volume.label,
            reuse=False,
            barcode=volume.barcode,
            meta=volume.meta,
            blocksize=volume.block_size // 1024,
            pool=volume.pool,
            storage=volume.storage,
            config=volume.config,
        )
    return Tapelist.of(entries.values())


def make_logs(
    volumes: Iterable[FoundVolume], dumps: Iterable[FoundDump]
) -> Iterator[tuple[str, bytes]]:
    """The trace logs: the stamp of each run, and what its log says."""
    runs: dict[str, list[Record]] = {}
    for volume in volumes:
        records = runs.setdefault(volume.stamp, [])
        tape = sum(isinstance(record, Start) for record in records) + 1
        records.append(Start(volume.stamp, volume.storage, volume.pool, volume.label, tape))
    for dump in dumps:
        runs[dump.parts[0].volume.stamp] += _records(dump)
    for stamp, records in sorted(runs.items()):
        yield stamp, b"".join(map(encode, records))


def _records(dump: FoundDump) -> Iterator[Record]:
    header = dump.header
    volume = dump.parts[0].volume
    stamp, level = full_stamp(header.datestamp), str(header.level)
    orig = str(header.orig_size) if header.orig_size else None
    for part in dump.parts:
        yield Part(
            part.volume.storage,
            part.volume.pool,
            part.volume.label,
            part.number,
            header.host,
            header.disk,
            stamp,
            max(part.header.partnum, 1),
            level,
            format_stats(0, part.crc.size, orig),
        )
    size = sum(part.crc.size for part in dump.parts)
    told = (
        *(volume.storage, volume.pool, header.host, header.disk, stamp, len(dump.parts), level),
        *(header.native_crc, header.client_crc, header.server_crc),
        format_stats(0, size, orig),
    )
    yield Partial(*told, dump.lacks) if dump.proof is Proof.LACKING else Done(*told)
