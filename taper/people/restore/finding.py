"""What there is to restore of a disk, as the catalogue tells it, and which names an index has.
All of it blocks."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import IO, TYPE_CHECKING, cast

from attrs import evolve

from devices.regular import open_regular
from protocols.stored import End
from taper.people.catalogue import HeldDump, missing_of, together
from taper.people.reading import is_under_way, read_past
from taper.people.restore.plan import Lacking, NothingToRestore, Restorable
from taper.people.telling import printable
from taper.recovery.wanted import index_stem

if TYPE_CHECKING:
    from protocols.conf import Config
    from protocols.tararchive import Hole
    from taper.people.catalogue import Catalogue, Copy

_MAX_LINE = 65536
_MOST_NAMES = 100_000
"""Lost files that are named."""
_INDEXES = (".gz", "-unsorted.gz", "", "-unsorted")
"""Endings of indexes that are in the order of the archive."""
_SORTED = ("-sorted.gz", "-sorted")
_ESCAPED = re.compile(r"\\([0-7]{3}|.)", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def find_disk_name(catalogue: Catalogue, host: str, disk: str) -> tuple[str, str]:
    """Host and disk as the catalogue spells them.

    :raise NothingToRestore: there are none like that
    """
    known = dict.fromkeys(map(disk_of, catalogue.of()))
    for name in known:
        if name[0].lower() == host.lower() and name[1] == disk:
            return name
    if not known:
        raise NothingToRestore("no trace log tells of any dump")
    spelled = {f"{one} {other}": (one, other) for one, other in known}
    import difflib

    close = difflib.get_close_matches(f"{host} {disk}", spelled, cutoff=0.5) or sorted(spelled)
    raise NothingToRestore(
        f"there is no dump of {printable(f'{host} {disk}')}; there are dumps of "
        f"{', '.join(printable(name) for name in close[:10])}"
    )


def disk_of(dump: Copy | HeldDump) -> tuple[str, str]:
    """Its host and disk."""
    if isinstance(dump, HeldDump):
        return dump.host, dump.disk
    return dump.dump.name.host, dump.dump.name.disk


def restorables(catalogue: Catalogue, host: str, disk: str) -> list[Restorable]:
    """The dumps of a disk that are there as a whole."""
    return [as_restorable(dump) for dump in catalogue.of(host, disk) if dump.restorable]


def all_copies(catalogue: Catalogue, host: str, disk: str) -> tuple[Restorable, ...]:
    """The dumps of a disk, as far as there is anything of them; those on holding disks first."""
    return tuple(
        as_restorable(dump) if dump.restorable else as_remains(dump)
        for dump in catalogue.of(host, disk)
    )


def lost(catalogue: Catalogue, host: str, disk: str) -> dict[tuple[str, int], str]:
    """Datestamp and level of the dumps of a disk of which no copy is there as a whole, each with
    what is missing."""
    there = {copy.key for copy in restorables(catalogue, host, disk)}
    found: dict[tuple[str, int], str] = {}
    for dump in catalogue.of(host, disk):
        told = dump if isinstance(dump, HeldDump) else dump.dump.name
        key = told.datestamp, level_number(told.level)
        if key not in there:
            found[key] = dump.lacks or ""
    return found


def newer(
    config: Config, catalogue: Catalogue, host: str, disk: str, stamp: str
) -> tuple[Lacking, ...]:
    """The dumps of a disk that are newer than this datestamp, and of which no copy is there as a
    whole; but for those that are being written.

    :raise HistoryError: a log cannot be read
    """
    past = read_past(config, catalogue.tapelist, stamp)
    known = lost(past, host, disk) | lost(catalogue, host, disk)
    there = {copy.key for copy in restorables(catalogue, host, disk)}
    being_written = {
        key
        for dump in (*catalogue.of(host, disk), *past.of(host, disk))
        for run, key in _unfinished(dump)
        if key[0] > stamp and is_under_way(config, run)
    }
    return tuple(
        Lacking(datestamp=key[0], level=key[1], why=why)
        for key, why in sorted(known.items())
        if key[0] > stamp and key not in there and key not in being_written
    )


def with_past(config: Config, catalogue: Catalogue) -> Catalogue:
    """The catalogue, with the dumps of which the tapelist has no volume any more.

    :raise HistoryError: a log cannot be read
    """
    return together(catalogue, read_past(config, catalogue.tapelist, ""))


def remains(config: Config, catalogue: Catalogue, host: str, disk: str) -> list[Restorable]:
    """What there is of the dumps of a disk that are not whole, the newest first; but for those that
    are being written.

    :raise HistoryError: a log cannot be read
    """
    found = [
        as_remains(dump)
        for dump in catalogue.of(host, disk)
        if not dump.restorable
        and not any(is_under_way(config, run) for run, _ in _unfinished(dump))
    ]
    left = [one for one in found if one.parts or one.holding is not None]
    return sorted(left, key=lambda one: one.key, reverse=True)


def as_remains(dump: Copy | HeldDump) -> Restorable:
    """One that is not there as a whole, as far as it goes."""
    if isinstance(dump, HeldDump):
        return evolve(as_restorable(dump), lacks=dump.lacks, unfinished=True)
    stored = dump.dump.as_remains()
    gone = {label: "the volume was written again" for label in dump.overwritten}
    if not all(part.label for part in stored.parts):
        gone[""] = missing_of(dump.dump)
    found = Restorable(
        datestamp=stored.name.datestamp,
        level=level_number(stored.name.level),
        size=None,
        dump=stored,
        lacks=dump.lacks,
        unfinished=dump.dump.end is not End.DONE,
        gone=tuple(gone.items()),
    )
    return evolve(found, size=sum(part.about for part in found.parts))


def lacking(catalogue: Catalogue, host: str, disk: str) -> list[Lacking]:
    """The dumps of a disk of which no copy is there as a whole, the newest first."""
    left = {
        one.key
        for one in map(as_remains, catalogue.of(host, disk))
        if one.parts or one.holding is not None
    }
    return [
        Lacking(datestamp=key[0], level=key[1], why=why, left=key in left)
        for key, why in sorted(lost(catalogue, host, disk).items(), reverse=True)
    ]


def _unfinished(dump: Copy | HeldDump) -> Iterator[tuple[str, tuple[str, int]]]:
    """The run that may be writing a dump, and which dump that is."""
    if isinstance(dump, HeldDump):
        if dump.path.endswith(".tmp"):
            yield dump.datestamp, (dump.datestamp, level_number(dump.level))
    elif dump.dump.end is End.OPEN:
        name = dump.dump.name
        yield dump.dump.written, (name.datestamp, level_number(name.level))


def as_restorable(dump: Copy | HeldDump) -> Restorable:
    """One that is there as a whole."""
    if isinstance(dump, HeldDump):
        return Restorable(
            datestamp=dump.datestamp,
            level=level_number(dump.level),
            size=dump.size,
            holding=dump.path,
        )
    stored = dump.dump.as_stored()
    return Restorable(
        datestamp=stored.name.datestamp,
        level=level_number(stored.name.level),
        size=stored.crc.size if stored.crc.known else dump.dump.size,
        dump=stored,
    )


def level_number(text: str) -> int:
    """A level of a trace log; what is none is taken for a full dump."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0


def plain_path(path: str) -> str:
    """A path below the disk's own directory, as an archive spells it, less the ``./``.

    :raise ValueError: it is none
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or not parts:
        raise ValueError(f"'{path}' is no path below the disk's directory")
    return "/".join(parts)


def covers(path: str, name: str) -> bool:
    """A name is a path that is wanted, or lies below it."""
    return name == path or name.startswith(f"{path}/")


def listed(
    config: Config, host: str, disk: str, dump: Restorable, endings: tuple[str, ...] = _INDEXES
) -> Iterator[str] | None:
    """The names that the index of a dump has, without their first slash; those of directories end
    with one. None: there is no index.

    :param endings: of the files that will do
    :raise OSError: it cannot be read
    """
    stem = index_stem(config, host, disk, dump.datestamp, str(dump.level))
    for suffix in endings:
        try:
            descriptor = open_regular(f"{stem}{suffix}", os.O_RDONLY)
        except FileNotFoundError:
            continue
        file: IO[bytes] = os.fdopen(descriptor, "rb")
        return _names(cast("IO[bytes]", gzip.open(file)) if suffix.endswith(".gz") else file)
    return None


def _names(file: IO[bytes]) -> Iterator[str]:
    with file:
        try:
            while line := file.readline(_MAX_LINE):
                text = line.decode("utf-8", "surrogateescape").rstrip("\n")
                yield _unescaped(text).removeprefix("/")
        except (EOFError, zlib.error) as fault:
            raise OSError(f"the index is damaged: {fault}") from fault


def _unescaped(text: str) -> str:
    """A name as it is, from one as tar lists it."""
    if "\\" not in text:
        return text

    def plain(found: re.Match[str]) -> str:
        word = found.group(1)
        if len(word) == 3:
            return chr(int(word, 8) & 0xFF)
        return _LETTERS.get(word, word)

    # what is escaped are the bytes of letters
    data = _ESCAPED.sub(plain, text.encode("utf-8", "surrogateescape").decode("latin-1"))
    return data.encode("latin-1").decode("utf-8", "surrogateescape")


def paths_in(
    config: Config, host: str, disk: str, dump: Restorable, paths: tuple[str, ...]
) -> tuple[str, ...] | None:
    """Those of the paths that a dump has; None: no index tells. One without any name is what is
    left where making it has failed: every dump has a name at least."""
    try:
        names = listed(config, host, disk, dump, _INDEXES + _SORTED)
        if names is None:
            return None
        left, found, empty = set(paths), set(), True
        for name in names:
            empty = False
            here = {path for path in left if covers(path, name.rstrip("/"))}
            found |= here
            left -= here
            if not left:
                break
    except OSError:
        return None  # the dump itself has to tell
    if empty:
        return None
    return tuple(path for path in paths if path in found)


def names_in(
    config: Config, host: str, disk: str, dump: Restorable, holes: Iterable[Hole]
) -> tuple[str, ...]:
    """Names of the files that must have been in holes of an archive, as far as an index tells."""
    try:
        names = listed(config, host, disk, dump)
        return () if names is None else tuple(islice(_between(names, holes), _MOST_NAMES))
    except OSError:
        return ()  # nobody knows them


def _between(names: Iterator[str], holes: Iterable[Hole]) -> Iterator[str]:
    for hole in holes:
        before, after = member_name(hole.before), member_name(hole.after)
        if hole.before and not any(name.rstrip("/") == before for name in names):
            return
        for name in names:
            if hole.after and name.rstrip("/") == after:
                names = chain([name], names)
                break
            if name and not name.endswith("/"):
                yield name


def member_name(name: str) -> str:
    """The name of an archive's member, spelled like :func:`plain_path`."""
    return name.removeprefix("./").strip("/")
