"""The index of the trace logs: what each log told when it was last read, as one file (ours).

Pure: bytes in, values out; the file itself is the business of :mod:`taper.run.log_index`. It is a
line that names the form and has a checksum of the rest, and the rest as JSON::

    {"disks": [[host, disk], ...],
     "logs": {name: [[inode, size, mtime, ctime],
                     [[timestamp, level, done, [[label, written], ...], [disk numbers]], ...]]}}

It only ever saves reading a log again, so whatever is wrong with it, it counts as absent.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from protocols.catalog import Disk, DumpCopy, DumpsTold

#: Raise the number whenever the same log would be read differently.
_FORM = b"taper log index 1"

#: Larger files are not believed: some 3,000 logs of 100 dumps each need 2 MiB.
MAX_INDEX_BYTES = 256 * 2**20


class Stamp(NamedTuple):
    """By what a file is known to be the one that was read. Times in nanoseconds."""

    inode: int
    size: int
    mtime: int
    ctime: int


class KnownLog(NamedTuple):
    """What a log told, and which state of its file that was."""

    stamp: Stamp
    told: DumpsTold


def format_index(logs: Mapping[str, KnownLog]) -> bytes:
    """The whole file. ``logs`` goes by the names of the files."""
    numbers: dict[Disk, int] = {}

    def number(disk: Disk) -> int:
        return numbers.setdefault(disk, len(numbers))

    body = {
        "logs": {
            name: [known.stamp, [_row(copy, map(number, its)) for copy, its in known.told.items()]]
            for name, known in logs.items()
        },
        "disks": list(numbers),
    }
    data = json.dumps(body, separators=(",", ":")).encode()
    return b"%s %08x\n%s\n" % (_FORM, zlib.crc32(data), data)


def _row(copy: DumpCopy, disks: Any) -> list[Any]:
    volumes = sorted(copy.volumes)
    return [copy.timestamp, copy.level, copy.done, volumes, list(disks)]


def parse_index(data: bytes, disks: dict[Disk, Disk]) -> dict[str, KnownLog] | None:
    """Read what :func:`format_index` wrote; None if it is anything else, or damaged.

    :param disks: disks met so far, each of which is kept once; it grows.
    """
    head, _, rest = data.partition(b"\n")
    body = rest.removesuffix(b"\n")
    if head != b"%s %08x" % (_FORM, zlib.crc32(body)):
        return None
    try:
        read = json.loads(body)
        table = [_disk(row, disks) for row in read["disks"]]
        return {
            name: KnownLog(_stamp(stamp), dict(_copy(row, table) for row in rows))
            for name, (stamp, rows) in read["logs"].items()
        }
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return None  # the right checksum of something else


def _disk(row: Any, disks: dict[Disk, Disk]) -> Disk:
    host, disk = row
    found = (_text(host), _text(disk))
    return disks.setdefault(found, found)


def _stamp(row: Any) -> Stamp:
    stamp = Stamp(*row)
    if not all(type(number) is int for number in stamp):
        raise TypeError("a log's stamp has a part that is no number")
    return stamp


def _copy(row: Any, table: list[Disk]) -> tuple[DumpCopy, tuple[Disk, ...]]:
    timestamp, level, done, volumes, numbers = row
    if type(level) is not int or type(done) is not bool or (numbers and min(numbers) < 0):
        raise TypeError("a dump has a level, an end or a disk that cannot be")
    labels = frozenset((_text(label), _text(written)) for label, written in volumes)
    copy = DumpCopy(_text(timestamp), level, labels, done)
    return copy, tuple([table[number] for number in numbers])


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError("a name or time is no text")
    return value
