"""chg-aggregate: several changers as one, their slots one after the other [changers 3.7].

A slot is called ``K:S``: slot ``S`` of child ``K``, counted from 0. Reservations are the children's
own, under another name; this changer's state file only tells the current slot.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from attrs import evolve
from zope.interface import implementer

from devices.changers.base import Changer, check_request, surely
from devices.changers.children import Children
from devices.changers.laned_state import LanedState
from devices.changers.setup import ChangerSetup
from devices.changers.state import lookup, subhash
from devices.errors import ChangerError, ChangerReason
from devices.interfaces import ChangerInfo, IAsyncReservation, InventoryEntry, LoadRequest, Relative
from protocols.braces import collapse_braces

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from devices.interfaces import IAsyncChanger, IAsyncDevice, VolumeReading

_USUAL_FIRST = "0:1"
"""The current slot where nobody has said anything."""


class AggregateChanger(Changer):
    """Children of any kind.

    :raise ChangerError: see :class:`devices.changers.children.Children`
    """

    def __init__(self, setup: ChangerSetup) -> None:
        super().__init__(setup)
        self._children = Children(
            setup, setup.storage, allow_missing=setup.boolean("allow-missing-changer")
        )
        opened = self._children.opened.values()
        self.has_inventory = all(child.has_inventory for child in opened)
        self.scan_require_update = any(child.scan_require_update for child in opened)
        self._state_file = LanedState(setup, state_path(setup), setup.lock_timeout())
        self._user = (
            "current_slot_csc",
            *(setup.config.name, "storage", setup.storage_name, "changer"),
        )

    # which slot

    async def _current(self) -> str | None:
        """The current slot, None where nobody has said anything."""
        async with self._state_file.locked() as state:
            found = lookup(state, *self._user, self.name) or state.get("current_slot")
        return found if isinstance(found, str) and found else None

    async def _set_current(self, slot: str) -> None:
        async with self._state_file.locked() as state:
            subhash(state, *self._user)[self.name] = slot
            state["current_slot"] = slot

    async def _choose(self, request: LoadRequest) -> str:
        if request.slot is not None:
            return request.slot
        if request.label is not None:
            for entry in await self._listed():
                if entry.label == request.label:
                    return entry.slot
            raise ChangerError(f"label {request.label} not found", ChangerReason.NOTFOUND)
        current = await self._current()
        if request.relative is Relative.CURRENT:
            return _first_of(await self._listed()) if current is None else current
        slots = [entry.slot for entry in await self._listed()]
        begin = next((slot for slot in (request.after, current) if slot in slots), None)
        after = slots.index(begin) + 1 if begin is not None else 0
        for slot in (*slots[after:], *slots[:after]):
            if slot not in request.except_slots and slot != begin:
                return slot
        raise ChangerError("all slots have been loaded", ChangerReason.NOTFOUND)

    def _child_of(self, slot: str) -> tuple[int, IAsyncChanger, str]:
        """Number, child and the child's own name of a slot."""
        kid, _, inner = slot.partition(":")
        number = int(kid) if kid.isascii() and kid.isdigit() and len(kid) < 6 else -1
        child = self._children.opened.get(number)
        if child is None:
            raise ChangerError(f"no changer {kid}", ChangerReason.INVALID, slot)
        return number, child, inner

    # operations

    async def _load(self, request: LoadRequest) -> Any:
        check_request(request)
        slot = await self._choose(request)
        if slot in request.except_slots:
            raise ChangerError("all slots have been loaded", ChangerReason.NOTFOUND)
        number, child, inner = self._child_of(slot)
        asked = LoadRequest(slot=inner, set_current=request.set_current, mode=request.mode)
        try:
            held = await child.load(asked)
        except ChangerError as error:
            # a scan must know which slot of ours it was
            named = None if error.slot is None else f"{number}:{error.slot}"
            raise ChangerError(error.message, error.reason, named) from error
        try:
            _check_label(request.label, slot, held.reading)
            found = f"{number}:{held.slot}"
            await self._set_current(found)
        except BaseException:
            await surely(_released(held))
            raise
        return AggregateReservation(held, found)

    async def _info(self) -> ChangerInfo:
        told = await self._children.ask(lambda _, child: child.info())
        vendors = [info.vendor_string for info in told.values() if info.vendor_string]
        return ChangerInfo(
            num_slots=sum(info.num_slots for info in told.values()),
            slots=tuple(f"{kid}:{slot}" for kid, info in told.items() for slot in info.slots),
            vendor_string=collapse_braces(vendors) if vendors else "",
            fast_search=all(info.fast_search for info in told.values()) and bool(told),
        )

    async def _inventory(self) -> list[InventoryEntry]:
        entries = await self._listed()
        current = await self._current() or _first_of(entries)
        return [evolve(entry, current=entry.slot == current) for entry in entries]

    async def _listed(self) -> list[InventoryEntry]:
        """The inventories of all children, one after the other, by our names of the slots."""
        told = await self._children.ask(lambda _, child: child.inventory())
        return [
            evolve(entry, slot=f"{kid}:{entry.slot}", current=False)
            for kid, entries in told.items()
            for entry in entries
        ]

    async def _reset(self) -> None:
        await self._children.ask(lambda _, child: child.reset())
        await self._set_current(_USUAL_FIRST)

    async def _eject(self, drive: str | None) -> None:
        if drive is not None:
            text = "Can't specify drive fo eject command"
            raise ChangerError(text, ChangerReason.NOTIMPL)
        await self._children.ask(lambda _, child: child.eject())

    async def _update(self, changed: str | None) -> None:
        """``K:A-K:B`` and ``K:S=LABEL`` are for one child, ``K`` and ``K-L`` for all of some."""
        if changed is None:
            await self._update_all()
            return
        ranges, equals, label = changed.partition("=")
        wanted: dict[int, list[str]] = {}
        whole: set[int] = set()
        for item in ranges.split(","):
            for kid, inner in self._meant(item.strip()):
                wanted.setdefault(kid, []).append(inner or "")
                whole |= set() if inner else {kid}
        if equals and whole:
            raise _bad_range(changed, "slots, not whole children, before '='")

        def update(kid: int, child: IAsyncChanger) -> Deferred[None]:
            slots = ",".join(wanted[kid])
            return child.update(None if kid in whole else f"{slots}{equals}{label}")

        await self._children.ask(update, wanted)

    async def _update_all(self) -> None:
        """All children that know of updates, if any does."""
        answers = await self._children.ask_each(lambda _, child: child.update())
        faults = {kid: one for kid, one in answers.items() if isinstance(one, ChangerError)}
        if len(faults) < len(answers):
            faults = {
                k: one for k, one in faults.items() if one.reason is not ChangerReason.NOTIMPL
            }
        if faults:
            raise self._children.error(faults)

    def _meant(self, item: str) -> Iterable[tuple[int, str | None]]:
        """The children that ``K:A-K:B``, ``K:A``, ``K-L`` or ``K`` names, each with the range of
        its slots, None for all of them."""
        first, dash, last = item.partition("-")
        low, _, begin = self._child_of(first)
        high, _, end = self._child_of(last) if dash else (low, None, begin)
        if bool(begin) != bool(end) or (begin and low != high) or low > high:
            raise _bad_range(item, "slots of one child, as 0:1-0:4, or children, as 0-1")
        if begin:
            return [(low, f"{begin}-{end}" if dash else begin)]
        return [(kid, None) for kid in self._children.opened if low <= kid <= high]

    async def _settle(self) -> None:
        await super()._settle()
        await self._state_file.settle()

    async def _end(self) -> None:
        try:
            await self._children.close()
        finally:
            await self._state_file.stop()


@implementer(IAsyncReservation)
class AggregateReservation:
    """A child's reservation under our name of the slot.

    :param held: the child's
    """

    def __init__(self, held: IAsyncReservation, slot: str) -> None:
        self._held = held
        self.slot = slot
        self.device: IAsyncDevice = held.device
        self.reading: VolumeReading = held.reading
        self.barcode: str | None = held.barcode

    @property
    def meta(self) -> str | None:
        meta: str | None = self._held.meta
        return meta

    def release(self, eject: bool = False, need_another: bool = False) -> Deferred[None]:
        return self._held.release(eject, need_another)

    def set_label(self, label: str | None) -> Deferred[None]:
        return self._held.set_label(label)

    def set_device_error(self, reading: VolumeReading) -> Deferred[None]:
        return self._held.set_device_error(reading)

    def get_meta_label(self) -> Deferred[str | None]:
        return self._held.get_meta_label()

    def set_meta_label(self, meta: str | None) -> Deferred[None]:
        return self._held.set_meta_label(meta)


def state_path(setup: ChangerSetup) -> str:
    """Where stock has the state: a relative name counts from where its programs work."""
    name = setup.text("state-filename")
    if name is not None:
        return os.path.join(setup.context.tmpdir, name)
    owner = "default" if setup.section is None else setup.section.name
    return f"{setup.context.config_root}/{owner}.state"


def _first_of(entries: list[InventoryEntry]) -> str:
    slots = [entry.slot for entry in entries]
    return _USUAL_FIRST if _USUAL_FIRST in slots or not slots else slots[0]


def _check_label(label: str | None, slot: str, reading: VolumeReading) -> None:
    """The inventory may be old; the volume's own label is the truth."""
    if label is None or reading.label is None or reading.label == label:
        return
    text = f"Found unexpected tape '{reading.label}' while looking for '{label}'"
    raise ChangerError(text, ChangerReason.NOTFOUND, slot)


def _bad_range(text: str, expected: str) -> ChangerError:
    return ChangerError(f"invalid slots '{text}': {expected} expected", ChangerReason.INVALID)


async def _released(held: IAsyncReservation) -> None:
    await held.release()
