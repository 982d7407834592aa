"""``taperctl volumes``: which volumes there are, where, and whether they may be written over."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from protocols.stored import full_stamp
from protocols.tapelist import TapelistEntry
from taper.people import keeping
from taper.people.exits import Exit
from taper.people.reading import read_catalogue
from taper.people.shelf import Shelf, content, described, look
from taper.people.telling import Answer, Column, Table, moment, printable, size

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from devices.interfaces import InventoryEntry
    from protocols.conf import Config, Storage
    from taper.core.retention import Retention
    from taper.people.catalogue import Catalogue
    from taper.people.site import Site

_NUMBERS = re.compile(r"[0-9]+|[^0-9]+")
_COLUMNS = (
    Column("volume"),
    Column("storage"),
    Column("slot"),
    Column("barcode"),
    Column("written"),
    Column("used", right=True),
    Column("dumps", right=True),
    Column("may it be written over?"),
)


@frozen(kw_only=True)
class Place:
    """Where a volume is."""

    changer: str
    entry: InventoryEntry


@frozen(kw_only=True)
class Found:
    """A volume: of the tapelist, in a slot, or both.

    :ivar entry: None: the tapelist does not know it.
    :ivar places: more than one is a mistake, as no two volumes may have one label.
    """

    entry: TapelistEntry | None = None
    storage: str | None = None
    places: list[Place] = field(factory=list)

    @property
    def label(self) -> str | None:
        if self.entry is not None:
            return self.entry.label
        return self.places[0].entry.label

    @property
    def barcode(self) -> str | None:
        """What the changer reads, else what the tapelist has."""
        read = next((place.entry.barcode for place in self.places if place.entry.barcode), None)
        return read or (self.entry.barcode if self.entry is not None else None)


async def volumes(site: Site, options: argparse.Namespace) -> Answer:
    """See :mod:`taper.people.commands`."""
    storages = site.storages(options.storage)
    catalogue = await site.call(read_catalogue, site.config)
    history = site.history()
    await history.refresh()
    retention = history.retention(catalogue.tapelist)
    shelves = [] if options.offline else await look(site, storages)
    found = find(catalogue, retention, storages, shelves, all_storages=options.storage is None)
    telling = Telling(site.config, catalogue, retention, storages)
    troubles = [f"changer {it.name}: {it.trouble}" for it in shelves if it.trouble is not None]
    troubles += [
        f"volume {printable(one.label)} is in more than one slot"
        for one in found
        if one.label is not None and len(one.places) > 1
    ]
    return Answer(
        record={
            "schema": "taper/volumes/1",
            "config": site.config.name,
            "volumes": [telling.record(one) for one in found],
            "troubles": troubles,
        },
        shown=(Table(_COLUMNS, [telling.row(one) for one in found]), *map(printable, troubles)),
        exit=Exit.FOUND if troubles else Exit.WELL,
    )


def find(
    catalogue: Catalogue,
    retention: Retention,
    storages: Sequence[Storage],
    shelves: Iterable[Shelf],
    *,
    all_storages: bool,
) -> list[Found]:
    """The volumes of the tapelist, in the order of storages and labels, then what else is in slots.

    :param all_storages: those of the tapelist, too, that are of none of these storages
    """
    known: dict[str, Found] = {}
    barcodes: dict[str, Found] = {}
    for entry in catalogue.tapelist.entries:
        owner = _owner(entry, retention, storages)
        if owner is None and not all_storages:
            continue
        one = known[entry.label] = Found(entry=entry, storage=owner)
        if entry.barcode:
            barcodes.setdefault(entry.barcode, one)
    others = []
    for shelf in shelves:
        for slot in shelf.entries:
            place = Place(changer=shelf.name, entry=slot)
            listed = _listed(slot, known, barcodes)
            if listed is not None:
                listed.places.append(place)
            elif content(slot) != "empty":
                others.append(Found(storage=shelf.storages[0].name, places=[place]))
    order = {storage.name: number for number, storage in enumerate(storages)}
    listed_ones = sorted(
        known.values(),
        key=lambda one: (order.get(one.storage or "", len(order)), _natural(one.label or "")),
    )
    return [*listed_ones, *others]


def _owner(entry: TapelistEntry, retention: Retention, storages: Sequence[Storage]) -> str | None:
    """The storage whose volume it is: what the tapelist says, else the first that could use it."""
    names = [storage.name for storage in storages]
    if entry.storage is not None:
        return entry.storage if entry.storage in names else None
    return next((it.name for it in storages if retention.belongs_to(entry, it)), None)


def _listed(
    slot: InventoryEntry, known: dict[str, Found], barcodes: dict[str, Found]
) -> Found | None:
    if slot.label is not None:
        return known.get(slot.label)
    if content(slot) == "unknown" and slot.barcode:
        return barcodes.get(slot.barcode)
    return None


def _natural(label: str) -> list[tuple[int, str]]:
    """Labels are sorted by the numbers in them."""
    words = _NUMBERS.findall(label)
    return [(int(word[:18]), "") if word[:1].isdigit() else (-1, word) for word in words]


class Telling:
    """Volumes in words and as records."""

    def __init__(
        self,
        config: Config,
        catalogue: Catalogue,
        retention: Retention,
        storages: Sequence[Storage],
    ) -> None:
        self._config = config
        self._catalogue = catalogue
        self._retention = retention
        self._storages = {storage.name: storage for storage in storages}

    def row(self, one: Found) -> tuple[str, ...]:
        slots = [_slot_of(place) for place in one.places]
        entry = one.entry
        if entry is None:
            seen = one.places[0].entry
            label = "-" if seen.label is None else printable(seen.label)
            state = described(seen) if seen.label is None else "it is not in the tapelist"
            where = (label, one.storage or "", ", ".join(slots), printable(one.barcode or ""))
            return (*where, "", "", "", state)
        use = self._catalogue.use_of(entry.label)
        return (
            printable(entry.label),
            printable(one.storage or entry.storage or ""),
            ", ".join(slots),
            printable(one.barcode or ""),
            "never" if _is_new(entry) else moment(full_stamp(entry.datestamp)),
            size(use.size) if use.parts else "",
            str(use.dumps) if use.parts else "",
            self._fate(one, entry),
        )

    def _fate(self, one: Found, entry: TapelistEntry) -> str:
        reason = self._reason(one, entry)
        if reason is None:
            return "yes"
        return f"no: {printable(reason)}"

    def _reason(self, one: Found, entry: TapelistEntry) -> str | None:
        storage = self._storages.get(one.storage or "")
        if storage is not None:
            return keeping.why_not(self._retention, entry, storage)
        reasons = [
            keeping.why_not(self._retention, entry, storage) for storage in self._storages.values()
        ]
        return None if None in reasons or not reasons else reasons[0]

    def record(self, one: Found) -> dict[str, Any]:
        entry, seen = one.entry, one.places[0].entry if one.places else None
        record: dict[str, Any] = {
            "label": one.label,
            "listed": entry is not None,
            "storage": one.storage,
            "capacity": self._capacity(one.storage),
            "barcode": one.barcode,
            "content": content(seen) if seen is not None else None,
            "places": [_place(place) for place in one.places],
        }
        if entry is None:
            return {**record, **dict.fromkeys(_OF_THE_TAPELIST), "kept_by": []}
        use, reason = self._catalogue.use_of(entry.label), self._reason(one, entry)
        return {
            **record,
            "pool": entry.pool,
            "config": entry.config,
            "meta": entry.meta,
            "written": None if _is_new(entry) else full_stamp(entry.datestamp),
            "reuse": entry.reuse,
            "block_size": None if entry.blocksize is None else entry.blocksize * 1024,
            "used": use.size,
            "parts": use.parts,
            "broken_parts": use.broken,
            "dumps": use.dumps,
            "overwritable": reason is None,
            "reason": reason,
            "kept_by": [
                keeping.recorded(kept, entry.datestamp)
                for kept in self._retention.kept_by(entry.label)
            ],
        }

    def _capacity(self, storage: str | None) -> int | None:
        """Bytes of a whole volume, as the tapetype has it."""
        found = self._storages.get(storage or "")
        tapetype = None if found is None else self._config.tapetype(found.tapetype)
        return None if tapetype is None else tapetype.length * 1024


_OF_THE_TAPELIST = (
    *("pool", "config", "meta", "written", "reuse", "block_size", "used", "parts"),
    *("broken_parts", "dumps", "overwritable", "reason"),
)


def _is_new(entry: TapelistEntry) -> bool:
    return entry.datestamp in ("0", "1")


def _slot_of(place: Place) -> str:
    """The slot, and what is to be known of it."""
    entry = place.entry
    marks = []
    if entry.loaded_in is not None:
        marks.append(f"in drive {entry.loaded_in}")
    if entry.reserved:
        marks.append("in use")
    return printable(f"{entry.slot} ({', '.join(marks)})" if marks else entry.slot)


def _place(place: Place) -> dict[str, Any]:
    entry = place.entry
    return {
        "changer": place.changer,
        "slot": entry.slot,
        "drive": entry.loaded_in,
        "in_use": entry.reserved,
        "current": entry.current,
        "import_export": entry.import_export,
    }
