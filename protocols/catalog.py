"""The catalogue: which dump parts lie on which volume, as the trace logs tell it.

Pure: lines of one log go in, values come out; which logs to read is the caller's business
(:mod:`taper.run.history`).
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from protocols.tracelog import Done, Part, PartPartial, Start, read_record


@frozen(kw_only=True)
class CataloguedPart:
    """One good or bad part on a volume (config-and-state 5.2).

    :ivar label: the volume.
    :ivar written: the timestamp under which the volume was labelled. When the tapelist has
        another one, the volume was overwritten and the part is gone.
    :ivar timestamp: of the dump.
    :ivar partnum: from 1.
    :ivar good: the part itself is complete (PART, not PARTPARTIAL).
    :ivar dump_done: the same log says DONE for the dump.
    """

    label: str
    written: str
    fileno: int
    storage: str
    pool: str
    host: str
    disk: str
    timestamp: str
    level: int
    partnum: int
    good: bool
    dump_done: bool


@frozen(kw_only=True)
class DumpCopy:
    """One dump, on the volumes that hold its parts; all that retention asks for.

    :ivar volumes: (label, timestamp the volume was labelled with); none for a dump that waits
        on a holding disk.
    :ivar done: it is there as a whole.
    """

    host: str
    disk: str
    timestamp: str
    level: int
    volumes: frozenset[tuple[str, str]] = frozenset()
    done: bool = True


_TYPES = ("START", "PART", "PARTPARTIAL", "DONE")
_PROGRAMS = ("taper", "amvault")


def parts_of_log(lines: Iterable[str], log_datestamp: str) -> list[CataloguedPart]:
    """All parts that one log tells of, in its order.

    :param log_datestamp: of the log's name; taken for a volume whose START it does not have.
    """
    written: dict[str, str] = {}
    parts: list[Part | PartPartial] = []
    done = set()
    for line in lines:
        type_, _, rest = line.partition(" ")
        if type_ not in _TYPES:
            continue
        program, _, text = rest.rstrip("\n").partition(" ")
        if program not in _PROGRAMS:
            continue
        record = read_record(type_, text)
        if isinstance(record, Start):
            written[record.label] = record.datestamp
        elif isinstance(record, Part | PartPartial):
            parts.append(record)
        elif isinstance(record, Done):
            done.add(_dump_of(record))
    return [
        CataloguedPart(
            label=part.label,
            written=written.get(part.label, log_datestamp),
            fileno=part.fileno,
            storage=part.storage,
            pool=part.pool,
            host=part.host,
            disk=part.disk,
            timestamp=part.datestamp,
            level=int(part.level),
            partnum=part.partnum,
            good=isinstance(part, Part),
            dump_done=_dump_of(part) in done,
        )
        for part in parts
        if part.level.isascii() and part.level.isdigit() and len(part.level) < 4
    ]


def _dump_of(record: Part | PartPartial | Done) -> tuple[str, ...]:
    """What tells a copy of a dump from all others in the same log."""
    return (
        record.storage,
        record.pool,
        record.host,
        record.disk,
        record.datestamp,
        record.level,
    )


def copies_of_dumps(parts: Iterable[CataloguedPart]) -> list[DumpCopy]:
    """The dumps that the parts of one log make up."""
    by_dump: dict[tuple[str | int, ...], list[CataloguedPart]] = {}
    for part in parts:
        key = (part.storage, part.pool, part.host, part.disk, part.timestamp, part.level)
        by_dump.setdefault(key, []).append(part)
    return [
        DumpCopy(
            host=parts[0].host,
            disk=parts[0].disk,
            timestamp=parts[0].timestamp,
            level=parts[0].level,
            volumes=frozenset((part.label, part.written) for part in parts),
            done=parts[0].dump_done,
        )
        for parts in by_dump.values()
    ]
