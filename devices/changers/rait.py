"""chg-rait: a ``rait:`` device over the volumes of several changers [changers 3.6].

A slot is called ``{A,B,...}``, by the children's slots. The children know of no storage; nothing is
kept of the whole.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from devices.changers.base import Changer, Reservation, check_request, surely
from devices.changers.children import MISSING, Children, combined
from devices.changers.setup import ChangerSetup
from devices.errors import ChangerError, ChangerReason, DeviceError, Status
from devices.interfaces import (
    ChangerInfo,
    IAsyncReservation,
    InventoryEntry,
    IPumpedDevice,
    LoadRequest,
    SlotState,
    VolumeReading,
)
from devices.lane import LaneDevice
from devices.rait import RaitDevice
from protocols.braces import BraceError, collapse_braces, expand_braces
from protocols.header import HeaderType

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from devices.interfaces import IDevice


_END = "all slots have been loaded"

_log = logging.getLogger(__name__)


class RaitChanger(Changer):
    """Children of any kind whose devices this process writes block by block.

    :raise ChangerError: see :class:`devices.changers.children.Children`; or more than one is
        missing
    """

    def __init__(self, setup: ChangerSetup) -> None:
        super().__init__(setup)
        self._children = Children(setup, None)
        self._width = len(self._children.names)
        opened = self._children.opened.values()
        if len(opened) < self._width - 1 or not opened:
            raise setup.mistake(
                f"'chg-rait:{setup.argument}' lacks {self._width - len(opened)} child changers",
                f"at most one {MISSING}",
            )
        self.has_inventory = all(child.has_inventory for child in opened)
        self.scan_require_update = any(child.scan_require_update for child in opened)

    def _names_of(self, text: str, what: str) -> dict[int, str]:
        """What a name in braces says for each child; one name is for all of them."""
        try:
            names = expand_braces(text)
        except BraceError:
            names = ()
        if len(names) == 1:
            names = (text,) * self._width
        if len(names) != self._width:
            error = f"{what} string '{text}' does not specify {self._width} child {what}s"
            raise ChangerError(error, ChangerReason.INVALID, text if what == "slot" else None)
        return dict(enumerate(names))

    def _whole(self, names: Mapping[int, str | None], missing: str) -> str | None:
        """The name in braces made of the children's; None: one of them has none."""
        all_of = [names.get(n, missing) for n in range(self._width)]
        known = [name for name in all_of if name is not None]
        return collapse_braces(known) if len(known) == self._width else None

    # loading

    async def _load(self, request: LoadRequest) -> Reservation:
        check_request(request)
        requests = self._requests(request)
        answers = await self._children.ask_each(
            lambda n, child: child.load(requests[n]), dispose=lambda one: one.release()
        )
        held: dict[int, IAsyncReservation] = {}
        faults: dict[int, ChangerError] = {}
        for n, answer in answers.items():
            if isinstance(answer, ChangerError):
                faults[n] = answer
            else:
                held[n] = answer
        try:
            if faults:
                raise self._load_error(held, faults)
            return await self._combine(held)
        except BaseException:
            await surely(self._release_all(held.values()))
            raise

    def _requests(self, request: LoadRequest) -> dict[int, LoadRequest]:
        """What each child is asked for."""
        none: dict[int, str] = {}
        slots = none if request.slot is None else self._names_of(request.slot, "slot")
        after = none if request.after is None else self._names_of(request.after, "slot")
        excluded = [self._names_of(slot, "slot") for slot in request.except_slots]
        return {
            n: request.evolve(
                slot=slots.get(n),
                after=after.get(n),
                except_slots=frozenset(slot[n] for slot in excluded),
            )
            for n in range(self._width)
        }

    def _load_error(
        self, held: Mapping[int, IAsyncReservation], faults: Mapping[int, ChangerError]
    ) -> ChangerError:
        """One error of those of the children. It names the slot, if all children know theirs, so
        that a scan can leave it out."""
        if all(fault.message == _END for fault in faults.values()):
            return ChangerError(_END, ChangerReason.NOTFOUND)
        error = combined([(f"from {self._children.names[n]}", f) for n, f in faults.items()])
        slots = {n: one.slot for n, one in held.items()} | {n: f.slot for n, f in faults.items()}
        return ChangerError(error.message, error.reason, self._whole(slots, MISSING))

    async def _combine(self, held: Mapping[int, IAsyncReservation]) -> Reservation:
        blocking: list[IDevice | None] = [None] * self._width
        for n, one in held.items():
            if not IPumpedDevice.providedBy(one.device):
                text = (
                    f"'{one.device.facts.name}' of {self._children.names[n]} takes data from "
                    "connections only, and cannot be a part of a rait"
                )
                raise ChangerError(text, ChangerReason.DEVICE)
            blocking[n] = IPumpedDevice(one.device).blocking
        names = {n: one.device.facts.name for n, one in held.items()}
        name = f"rait:{self._whole(names, 'MISSING')}"
        rait = RaitDevice(name, blocking)
        slot = self._whole({n: one.slot for n, one in held.items()}, MISSING) or ""
        device = LaneDevice(rait, self.setup.context.make_lane(f"device {slot}"))
        try:
            self.setup.configure(rait)
            reading = await device.read_label()
        except BaseException:
            await self._put_away(device)
            raise
        barcode = self._whole({n: one.barcode or "" for n, one in held.items()}, MISSING)
        return RaitReservation(self, slot, device, reading, dict(held), barcode)

    async def _release_all(
        self, held: Any, eject: bool = False, need_another: bool = False
    ) -> None:
        """Release all of them; the first error is raised when all have been."""
        first: Exception | None = None
        for releasing in [one.release(eject, need_another) for one in held]:
            try:
                await releasing
            except (ChangerError, DeviceError) as error:
                first = first or error
        if first is not None:
            raise first

    # the rest

    async def _info(self) -> ChangerInfo:
        told = await self._children.ask(lambda _, child: child.info())
        counts = {info.num_slots for info in told.values()}
        if len(counts) > 1:
            _log.warning("%s: children have different numbers of slots: %s", self.name, counts)
        slots = [
            self._whole({n: info.slots[at] for n, info in told.items()}, MISSING) or ""
            for at in range(min(counts))
        ]
        vendors = [info.vendor_string for info in told.values() if info.vendor_string]
        return ChangerInfo(
            num_slots=len(slots),
            slots=tuple(slots),
            vendor_string=collapse_braces(vendors) if vendors else "",
            fast_search=all(info.fast_search for info in told.values()),
        )

    async def _inventory(self) -> list[InventoryEntry]:
        told = await self._children.ask(lambda _, child: child.inventory())
        if len({len(entries) for entries in told.values()}) > 1:
            text = "could not generate consistent inventory from rait child changers"
            raise ChangerError(text, ChangerReason.NOTIMPL)
        rows = zip(*told.values(), strict=True)
        return [self._merged(dict(zip(told, row, strict=True))) for row in rows]

    def _merged(self, entries: Mapping[int, InventoryEntry]) -> InventoryEntry:
        """The entries of one place in all children as one."""
        all_of = list(entries.values())
        labels = {entry.label for entry in all_of}
        statuses = [entry.device_status for entry in all_of if entry.device_status is not None]
        status = Status.SUCCESS
        for one in statuses:
            status |= one
        headers = [entry.header_type for entry in all_of]
        others = [header for header in headers if header is not HeaderType.TAPESTART]
        empty = any(entry.state is SlotState.EMPTY for entry in all_of)
        return InventoryEntry(
            slot=self._whole({n: entry.slot for n, entry in entries.items()}, MISSING) or "",
            state=SlotState.EMPTY if empty else SlotState.FULL,
            device_status=status if statuses else None,
            device_error=next((e.device_error for e in all_of if e.device_error), None),
            header_type=others[-1] if others else HeaderType.TAPESTART,
            label=labels.pop() if len(labels) == 1 else None,
            barcode=self._whole({n: entry.barcode for n, entry in entries.items()}, MISSING),
            reserved=any(entry.reserved for entry in all_of),
            loaded_in=self._whole({n: entry.loaded_in for n, entry in entries.items()}, MISSING),
            import_export=all(entry.import_export for entry in all_of),
        )

    async def _reset(self) -> None:
        await self._children.ask(lambda _, child: child.reset())

    async def _update(self, changed: str | None) -> None:
        await self._children.ask(lambda _, child: child.update(changed))

    async def _eject(self, drive: str | None) -> None:
        drives: dict[int, str] = {} if drive is None else self._names_of(drive, "drive")
        await self._children.ask(lambda n, child: child.eject(drives.get(n)))

    async def _end(self) -> None:
        await self._children.close()


class RaitReservation(Reservation):
    """The reservations of all children, with one device over theirs.

    :param held: the children's, by number
    """

    def __init__(
        self,
        changer: RaitChanger,
        slot: str,
        device: LaneDevice,
        reading: VolumeReading,
        held: Mapping[int, IAsyncReservation],
        barcode: str | None,
    ) -> None:
        async def give_back(eject: bool, need_another: bool) -> None:
            await changer._release_all(held.values(), eject, need_another)

        super().__init__(changer, slot, device, reading, give_back, barcode=barcode)
        self._held = list(held.values())

    def set_label(self, label: str | None) -> Deferred[None]:
        """Unlike stock's, the children are told, too [changers quirk 24]."""
        return surely(self._tell_all(lambda one: one.set_label(label)))

    def set_device_error(self, reading: VolumeReading) -> Deferred[None]:
        return surely(self._tell_all(lambda one: one.set_device_error(reading)))

    async def _tell_all(self, tell: Callable[[IAsyncReservation], Deferred[None]]) -> None:
        for telling in [tell(one) for one in self._held]:
            await telling
