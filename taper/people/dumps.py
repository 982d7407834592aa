"""``taperctl dumps``: which dumps there are, where they lie, and whether they can still be had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocols.stored import BrokenPart
from taper.people.catalogue import Copy, HeldDump
from taper.people.exits import Exit
from taper.people.reading import read_catalogue
from taper.people.restore.finding import level_number
from taper.people.telling import Answer, Column, Table, moment, printable, size

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from protocols.crc import Crc
    from protocols.stored import StoredPart
    from taper.people.site import Site

_COLUMNS = (
    Column("host"),
    Column("disk"),
    Column("dumped"),
    Column("level", right=True),
    Column("size", right=True),
    Column("parts", right=True),
    Column("checksum"),
    Column("where"),
    Column("can it be restored?"),
)


async def dumps(site: Site, options: argparse.Namespace) -> Answer:
    """See :mod:`taper.people.commands`."""
    catalogue = await site.call(read_catalogue, site.config)
    found = list(catalogue.of(options.host, options.disk))
    baseless = without_base(found)
    of = ":".join(printable(name) for name in (options.host, options.disk) if name is not None)
    shown: Sequence[Table | str] = (Table(_COLUMNS, [_row(dump, baseless) for dump in found]),)
    if not found:
        shown = (f"There is no dump{of and f' of {of}'}, on volumes or on a holding disk.",)
    return Answer(
        record={
            "schema": "taper/dumps/1",
            "config": site.config.name,
            "dumps": [{**record(dump), "base_missing": _key(dump) in baseless} for dump in found],
        },
        shown=shown,
        exit=Exit.WELL if found else Exit.FOUND,
    )


_Key = tuple[str, str, str, int]
"""Host, disk, datestamp and level of a dump."""


def _key(dump: Copy | HeldDump) -> _Key:
    told = dump if isinstance(dump, HeldDump) else dump.dump.name
    return told.host.lower(), told.disk, told.datestamp, level_number(told.level)


def without_base(dumps: Iterable[Copy | HeldDump]) -> frozenset[_Key]:
    """Those that are there as a whole, of which something is not that they build on: the last one
    before of a lower level, and what that builds on."""
    whole: dict[_Key, bool] = {}
    for dump in dumps:
        whole[_key(dump)] = whole.get(_key(dump), False) or dump.restorable
    latest: dict[tuple[str, str], dict[int, tuple[int, bool]]] = {}
    found = set()
    for number, key in enumerate(sorted(whole, key=lambda key: key[2:])):
        host, disk, _, level = key
        levels = latest.setdefault((host, disk), {})
        before = [one for lower, one in levels.items() if lower < level]
        complete = level == 0 or (bool(before) and max(before)[1])
        levels[level] = number, complete and whole[key]
        if whole[key] and not complete:
            found.add(key)
    return frozenset(found)


def _row(dump: Copy | HeldDump, baseless: frozenset[_Key]) -> tuple[str, ...]:
    fate = "yes" if dump.lacks is None else f"no: {printable(dump.lacks)}"
    if _key(dump) in baseless:
        fate = "only what changed: what it builds on is gone"
    if isinstance(dump, HeldDump):
        return (
            *(printable(dump.host), printable(dump.disk), moment(dump.datestamp), dump.level),
            *(size(dump.size), "", "", printable(dump.path), fate),
        )
    told = dump.dump
    name = told.name
    volumes = ", ".join(printable(label) for label in told.labels)
    return (
        *(printable(name.host), printable(name.disk), moment(name.datestamp), name.level),
        *(size(told.size), str(len(told.parts)), _shown(told.crc)),
        f"{printable(name.storage)}: {volumes}",
        fate,
    )


def _shown(crc: Crc) -> str:
    return f"{crc.value:08x}" if crc.known else ""


def record(dump: Copy | HeldDump) -> dict[str, Any]:
    """A dump for ``--json``."""
    if isinstance(dump, HeldDump):
        return {
            "host": dump.host,
            "disk": dump.disk,
            "datestamp": dump.datestamp,
            "level": int(dump.level),
            "restorable": dump.restorable,
            "lacks": dump.lacks,
            "size": dump.size,
            "holding_file": dump.path,
            **dict.fromkeys(("storage", "pool", "written", "end", "original_size", "seconds")),
            **dict.fromkeys(("server_crc", "client_crc", "native_crc")),
            "volumes": [],
            "parts": [],
        }
    told = dump.dump
    name = told.name
    return {
        "host": name.host,
        "disk": name.disk,
        "datestamp": name.datestamp,
        "level": int(name.level) if name.level.isdecimal() else name.level,
        "restorable": dump.restorable,
        "lacks": dump.lacks,
        "size": told.size,
        "holding_file": None,
        "storage": name.storage,
        "pool": told.pool,
        "written": told.written,
        "end": told.end.value,
        "original_size": None if told.orig_kb is None else told.orig_kb * 1024,
        "seconds": told.seconds,
        "server_crc": _recorded(told.crc),
        "client_crc": _recorded(told.client_crc),
        "native_crc": _recorded(told.native_crc),
        "volumes": [{"label": label, "gone": label in dump.gone} for label in told.labels],
        "parts": [_part(part) for part in told.places],
    }


def _recorded(crc: Crc) -> str | None:
    return str(crc) if crc.known else None


def _part(part: StoredPart | BrokenPart) -> dict[str, Any]:
    return {
        "number": part.number,
        "volume": part.label,
        "file": part.fileno,
        "size": part.about,
        "good": not isinstance(part, BrokenPart),
        "why": part.why if isinstance(part, BrokenPart) else None,
    }
