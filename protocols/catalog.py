"""The catalogue: which dumps lie on which volumes, as the trace logs tell it.

Pure: the text of one log goes in, values come out; which logs to read is the caller's business
(:mod:`taper.run.history`). There may be thousands of logs with a hundred dumps each, so a log's
dumps are told by what they have in common, and only lines of an unusual form are read word by
word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import NamedTuple

from protocols.tracelog import Done, Part, PartPartial, Start, read_record

Disk = tuple[str, str]
"""Host and disk name."""


class DumpCopy(NamedTuple):
    """One dump, on the volumes that hold its parts; with its disk, all that retention asks for.

    Dumps of many disks may share it, as a night's full dumps on one volume do.

    :ivar volumes: (label, timestamp the volume was labelled with); none for a dump that waits
        on a holding disk. When the tapelist has another timestamp, the volume was overwritten.
    :ivar done: it is there as a whole.
    """

    timestamp: str
    level: int
    volumes: frozenset[tuple[str, str]] = frozenset()
    done: bool = True


DumpsTold = Mapping[DumpCopy, tuple[Disk, ...]]
"""What one log tells: copies, and of which disks there is one like that."""

# A line is looked at if it begins like this [config 5.2].
_LINES = re.compile(r"^(START|PART|PARTPARTIAL|DONE) (?:taper|amvault) (.*)$", re.MULTILINE)

# The text of a line as tapers since 3.5 write it, as long as nothing in it is escaped. Every other
# form is read by read_record. The words cannot be told apart in two ways, so this is linear.
_WORD = r'([^ "\\]+|"[^"\\]*")'
_POOL = r'("ST:[^"\\]*" "POOL:[^"\\]*")'
_NUMBER = r"-?[0-9]{1,19}"
_STATS = r'\[sec[^"\\\]]*\]'
_PART = rf"{_POOL} {_WORD} {_NUMBER} {_WORD} {_WORD} {_WORD} {_NUMBER}/-?[0-9]+ ([0-9]{{1,3}})"
_CRC = r'(?:[^ "\\]+)'
_USUAL = {
    "PART": re.compile(rf"{_PART} {_STATS}"),
    "PARTPARTIAL": re.compile(rf"{_PART} {_STATS} .*"),
    "DONE": re.compile(
        rf"{_POOL} {_WORD} {_WORD} {_WORD} {_NUMBER} ([0-9]{{1,3}}) {_CRC} {_CRC} {_CRC} {_STATS}"
    ),
}

_QUOTES_OF_POOL = 4

_Dump = tuple[str, ...]
"""What tells a copy of a dump from all others in the same log: storage and pool, host, disk,
timestamp, level."""


def dumps_of_log(blocks: Iterable[str], log_datestamp: str, known: dict[Disk, Disk]) -> DumpsTold:
    """The dumps that one log tells of.

    :param blocks: the log's text, cut at line ends only.
    :param log_datestamp: of the log's name; taken for a volume whose START it does not have.
    :param known: disks met so far, each of which is kept once; it grows.
    """
    written: dict[str, str] = {}
    labels: dict[_Dump, dict[str, None]] = {}
    done: set[_Dump] = set()
    for block in blocks:
        for type_, text in _LINES.findall(block):
            if type_ == "START":
                _read_start(text, written)
                continue
            words = _read_usual(type_, text) or _read_words(type_, text)
            if words is None:
                continue
            if type_ == "DONE":
                done.add(words)
            else:
                pool, label, *rest = words
                labels.setdefault((pool, *rest), {})[label] = None
    return _told(labels, done, lambda label: written.get(label, log_datestamp), known)


def _read_start(text: str, written: dict[str, str]) -> None:
    record = read_record("START", text.removesuffix("\r"))
    if isinstance(record, Start):
        written[record.label] = record.datestamp


def _read_usual(type_: str, text: str) -> tuple[str, ...] | None:
    """The words that matter: storage and pool, label if it is a part, host, disk, time, level."""
    usual = _USUAL[type_].fullmatch(text)
    if usual is None:
        return None
    if text.count('"') == _QUOTES_OF_POOL:
        return usual.groups()
    pool, *words = usual.groups()
    return (pool, *(word.strip('"') for word in words))


def _read_words(type_: str, text: str) -> tuple[str, ...] | None:
    """The same of a line in any form; None: it is not what it looks like."""
    record = read_record(type_, text.removesuffix("\r"))
    if not isinstance(record, Part | PartPartial | Done):
        return None
    level = record.level
    if not (level.isascii() and level.isdigit() and len(level) < 4):
        return None
    pool = f'"ST:{record.storage}" "POOL:{record.pool}"'
    words = (record.host, record.disk, record.datestamp, level)
    return (pool, *words) if isinstance(record, Done) else (pool, record.label, *words)


def _told(
    labels: Mapping[_Dump, Iterable[str]],
    done: set[_Dump],
    written: Callable[[str], str],
    known: dict[Disk, Disk],
) -> DumpsTold:
    """Put together what the dumps have in common."""
    told: dict[DumpCopy, list[Disk]] = {}
    volumes: dict[tuple[str, ...], frozenset[tuple[str, str]]] = {}
    for dump, its in labels.items():
        _, host, disk, timestamp, level = dump
        key = tuple(its)
        if key not in volumes:
            volumes[key] = frozenset((label, written(label)) for label in key)
        copy = DumpCopy(timestamp, int(level), volumes[key], dump in done)
        told.setdefault(copy, []).append(known.setdefault((host, disk), (host, disk)))
    return {copy: tuple(disks) for copy, disks in told.items()}


def by_disk(logs: Iterable[DumpsTold]) -> dict[Disk, list[DumpCopy]]:
    """All dumps of each disk, the newest first, higher levels first; disks in order."""
    found: dict[Disk, list[DumpCopy]] = {}
    for told in logs:
        for copy, disks in told.items():
            for disk in disks:
                found.setdefault(disk, []).append(copy)
    for copies in found.values():
        copies.sort(key=attrgetter("timestamp", "level"), reverse=True)
    return dict(sorted(found.items()))
