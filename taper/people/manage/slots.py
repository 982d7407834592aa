"""``taperctl update`` and ``move``: what a changer knows of its slots, and what is in which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devices.interfaces import SlotState
from taper.last_words import CannotStart
from taper.people.exits import Exit
from taper.people.manage.workbench import dialogue_of, storage_of
from taper.people.shelf import content
from taper.people.shelf import described as described_entry
from taper.people.telling import Answer, Column, Table, printable
from taper.people.tonight import entries_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from devices.interfaces import IAsyncChanger, InventoryEntry
    from protocols.conf import Storage
    from taper.people.site import Site

_COLUMNS = (Column("slot"), Column("barcode"), Column("volume"), Column("before"))


async def update(site: Site, options: argparse.Namespace) -> Answer:
    """See :mod:`taper.people.manage.declared`."""
    storage = storage_of(site, options.storage)
    changer = site.shelves.open_changer(storage.name)
    try:
        slots = (await changer.info()).slots
        before = await entries_of(changer, slots)
        which = "all slots" if options.slots is None else printable(options.slots)
        plan = f"Changer {printable(changer.name)} is to update what it knows of: {which}"
        if options.dry_run:
            looked = _table(before, before)
            return _updated(site, storage, changer, before, before, [plan, looked], done=False)
        dialogue_of(site).show(Answer(record={}, shown=(plan,)))
        await changer.update(options.slots)
        after = await entries_of(changer, slots)
        return _updated(site, storage, changer, before, after, [_table(before, after)], done=True)
    finally:
        await site.close_changer(changer)


def _table(before: Sequence[InventoryEntry], after: Sequence[InventoryEntry]) -> Table:
    """All slots; and of those that have changed, how they were."""
    old = {entry.slot: _told(entry) for entry in before}
    rows = []
    for entry in after:
        now, then = _told(entry), old.get(entry.slot, "-")
        barcode = printable(entry.barcode or "-")
        rows.append((printable(entry.slot), barcode, now, "" if now == then else then))
    return Table(_COLUMNS, rows)


def _told(entry: InventoryEntry) -> str:
    return described_entry(entry) if entry.label is None else printable(entry.label)


def _updated(
    site: Site,
    storage: Storage,
    changer: IAsyncChanger,
    before: Sequence[InventoryEntry],
    after: Sequence[InventoryEntry],
    shown: Sequence[Table | str],
    *,
    done: bool,
) -> Answer:
    old = {entry.slot: entry for entry in before}
    slots = [
        {
            **_recorded(entry),
            "before": _recorded(old[entry.slot]) if entry.slot in old else None,
        }
        for entry in after
    ]
    record = {**_head("update", site, storage, changer), "slots": slots, "done": done}
    return Answer(record=record, shown=shown)


def _recorded(entry: InventoryEntry) -> dict[str, Any]:
    return {
        "slot": entry.slot,
        "barcode": entry.barcode,
        "label": entry.label,
        "content": content(entry),
    }


def _head(command: str, site: Site, storage: Storage, changer: IAsyncChanger) -> Mapping[str, Any]:
    return {
        "schema": f"taper/{command}/1",
        "config": site.config.name,
        "storage": storage.name,
        "changer": changer.name,
    }


async def move(site: Site, options: argparse.Namespace) -> Answer:
    """See :mod:`taper.people.manage.declared`."""
    storage = storage_of(site, options.storage)
    changer = site.shelves.open_changer(storage.name)
    source, target = options.source, options.target
    try:
        entries = {entry.slot: entry for entry in await changer.inventory()}
        moved = entries.get(source)
        refused = _why_not(changer, entries, source, target)
        what = "what is in it" if moved is None else _moved(moved)
        plan = f"From slot {printable(source)} to slot {printable(target)}: {what}."
        record = {
            **_head("move", site, storage, changer),
            "from": source,
            "to": target,
            "label": None if moved is None else moved.label,
            "barcode": None if moved is None else moved.barcode,
            "refused": refused,
        }
        if options.dry_run:
            shown = [plan] if refused is None else [plan, f"It stays: {printable(refused)}"]
            exit = Exit.WELL if refused is None else Exit.FOUND
            return Answer(record={**record, "done": False}, shown=shown, exit=exit)
        if refused is not None:
            raise CannotStart(f"nothing was moved: {printable(refused)}", code=8013)
        dialogue_of(site).show(Answer(record={}, shown=(plan,)))
        await changer.move(source, target)
        shown = [f"It is in slot {printable(target)} now."]
        return Answer(record={**record, "done": True}, shown=shown)
    finally:
        await site.close_changer(changer)


def _moved(entry: InventoryEntry) -> str:
    told = f"volume {printable(entry.label)}" if entry.label else "a volume"
    return f"{told}, barcode {printable(entry.barcode)}" if entry.barcode else told


def _why_not(
    changer: IAsyncChanger, entries: Mapping[str, InventoryEntry], source: str, target: str
) -> str | None:
    """What is against it, as far as the changer knows; it looks itself, too."""
    if changer.global_space:
        return f"in changer {changer.name} each volume has its slot for ever"
    for slot in (source, target):
        if slot not in entries:
            return f"changer {changer.name} has no slot {slot}"
    if entries[source].state is SlotState.EMPTY:
        return f"slot {source} is empty"
    if entries[source].reserved:
        return f"the volume of slot {source} is in use"
    if entries[target].state is SlotState.FULL:
        return f"slot {target} is not empty"
    return None
