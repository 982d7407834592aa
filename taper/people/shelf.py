"""What is in the changers, as they know it: nothing is loaded for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from attrs import frozen

from devices.errors import ChangerError, ChangerReason, DeviceError
from devices.interfaces import InventoryEntry, SlotState
from devices.registry import find_changer
from protocols.errorcode import coded
from protocols.header import HeaderType
from taper.core.errors import SourceFault
from taper.people.telling import printable

if TYPE_CHECKING:
    from protocols.conf import Storage
    from taper.people.site import Site


@frozen(kw_only=True)
class Shelf:
    """One changer.

    :ivar name: as the configuration calls it.
    :ivar storages: that have their volumes in it.
    :ivar entries: its slots.
    :ivar trouble: why they are not known; None: they are.
    """

    name: str
    storages: tuple[Storage, ...]
    entries: tuple[InventoryEntry, ...] = ()
    trouble: str | None = None


def changers_of(site: Site, storages: Iterable[Storage]) -> dict[str, list[Storage]]:
    """The changers of these storages, by what they are: two storages may have the same."""
    found: dict[str, list[Storage]] = {}
    for storage in storages:
        try:
            changer = find_changer(None, site.config, storage)
            name = changer.name
        except ChangerError:
            name = storage.name  # opening it tells what is wrong with it
        found.setdefault(name, []).append(storage)
    return found


async def look(site: Site, storages: Iterable[Storage]) -> list[Shelf]:
    """Ask the changers of these storages for what they have."""
    return [
        await _look_into(site, name, tuple(those))
        for name, those in changers_of(site, storages).items()
    ]


async def _look_into(site: Site, name: str, storages: tuple[Storage, ...]) -> Shelf:
    try:
        changer = site.shelves.open_changer(storages[0].name)
    except SourceFault as fault:
        return Shelf(name=name, storages=storages, trouble=coded(fault.text, fault))
    try:
        entries = await changer.inventory()
    except ChangerError as fault:
        text = fault.message
        if fault.reason is ChangerReason.NOTIMPL:
            text = f"{text}: what is in it shows only when it is loaded"
        return Shelf(name=name, storages=storages, trouble=coded(text, fault))
    except (DeviceError, OSError) as fault:
        return Shelf(name=name, storages=storages, trouble=coded(str(fault), fault))
    finally:
        await site.close_changer(changer)
    return Shelf(name=name, storages=storages, entries=tuple(entries))


def doubled(shelves: Iterable[Shelf]) -> dict[str, str]:
    """Labels that several volumes in one changer have, each with where these are, for people."""
    found: dict[str, str] = {}
    for shelf in shelves:
        slots: dict[str, list[str]] = {}
        for entry in shelf.entries:
            if entry.label is not None:
                slots.setdefault(entry.label, []).append(entry.slot)
        for label, those in slots.items():
            if len(those) > 1:
                found[label] = f"slots {', '.join(those)} of {shelf.name}"
    return found


def content(entry: InventoryEntry) -> str:
    """What a changer says of a slot, in a word: ``empty``, ``unknown``, ``labelled``, ``blank``,
    ``foreign`` (not Amanda's) or ``error``."""
    if entry.state is SlotState.EMPTY:
        return "empty"
    if entry.label is not None:
        return "labelled"
    if entry.header_type is HeaderType.WEIRD:
        return "foreign"
    if entry.header_type is HeaderType.EMPTY:
        return "blank"
    if entry.device_status:
        return "error"
    return "unknown"


def described(entry: InventoryEntry) -> str:
    """The same for people, of a slot without a label."""
    word = content(entry)
    if word == "error" and entry.device_error:
        return f"error: {printable(entry.device_error)}"
    return {
        "foreign": "not a volume of Amanda's",
        "unknown": "not known until it is loaded",
        "empty": "no volume",
    }.get(word, word)
