"""A changer on paper: what is in a real one, to be scanned, labelled and written as often as one
likes, while the real one stands still."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import define, evolve, frozen
from twisted.internet.defer import Deferred, execute, succeed
from zope.interface import implementer

from devices.changers.base import check_request
from devices.errors import ChangerError, ChangerReason, Status
from devices.interfaces import (
    AccessMode,
    ChangerInfo,
    IAsyncChanger,
    IAsyncDevice,
    IAsyncReservation,
    InventoryEntry,
    LoadRequest,
    Relative,
    SlotState,
    VolumeReading,
)
from protocols.header import HeaderType

if TYPE_CHECKING:
    from collections.abc import Callable

    from devices.interfaces import IDeviceFacts

BLANK = VolumeReading(Status.VOLUME_UNLABELED, HeaderType.EMPTY, error="it is blank")


@define
class PaperSlot:
    """A slot, and what is known of it.

    :ivar entry: what the changer's inventory says.
    :ivar reading: what the volume's label says; None: nobody knows, or it cannot be had.
    :ivar trouble: why the volume cannot be loaded.
    """

    entry: InventoryEntry
    reading: VolumeReading | None = None
    trouble: ChangerError | None = None
    barcode: str | None = None
    meta: str | None = None

    @property
    def name(self) -> str:
        return self.entry.slot

    @property
    def is_unknown(self) -> bool:
        """There may be a volume in it, and nobody knows which."""
        return self.reading is None and self.trouble is None

    @classmethod
    def listed(cls, entry: InventoryEntry) -> PaperSlot:
        """As the inventory has it."""
        slot = cls(entry, barcode=entry.barcode)
        if entry.state is SlotState.EMPTY:
            text = f"slot {entry.slot} is empty"
            slot.trouble = ChangerError(text, ChangerReason.EMPTY, entry.slot)
        elif entry.reserved:
            text = f"slot {entry.slot} is in use by another program"
            slot.trouble = ChangerError(text, ChangerReason.VOLINUSE, entry.slot)
        elif entry.label is not None or entry.device_status is not None:
            slot.reading = VolumeReading(
                entry.device_status or Status.SUCCESS,
                entry.header_type or (HeaderType.TAPESTART if entry.label is not None else None),
                entry.label,
                error=entry.device_error,
            )
        return slot

    def write(self, label: str, stamp: str) -> None:
        """The volume gets a label."""
        reading = VolumeReading(Status.SUCCESS, HeaderType.TAPESTART, label, stamp)
        self.reading = reading
        self.entry = evolve(
            self.entry,
            state=SlotState.FULL,
            device_status=Status.SUCCESS,
            device_error=None,
            header_type=HeaderType.TAPESTART,
            label=label,
        )


@define
class _Facts:
    """As much of a device's facts as a scan may ask for."""

    name: str
    access_mode: AccessMode = AccessMode.NULL


@implementer(IAsyncDevice)
class _PaperDevice:
    """A drive in which nothing ever happens."""

    def __init__(self, slot: PaperSlot) -> None:
        self.facts: IDeviceFacts = _Facts(slot.name)  # type: ignore[assignment]
        self._slot = slot

    def read_label(self) -> Deferred[VolumeReading]:
        return succeed(self._slot.reading or BLANK)

    def start(
        self, mode: AccessMode, label: str | None = None, timestamp: str | None = None
    ) -> Deferred[None]:
        return succeed(None)

    def erase(self) -> Deferred[None]:
        return succeed(None)

    def eject(self) -> Deferred[None]:
        return succeed(None)

    def hurry(self) -> None:
        """Nothing is ever waited for."""

    def finish(self) -> Deferred[None]:
        return succeed(None)

    def close(self) -> Deferred[None]:
        return succeed(None)


@implementer(IAsyncReservation)
class PaperReservation:
    """A slot that a scan holds."""

    def __init__(self, slot: PaperSlot, reading: VolumeReading, held: set[str]) -> None:
        self.slot = slot.name
        self.device: IAsyncDevice = _PaperDevice(slot)
        self.reading = reading
        self.barcode = slot.barcode
        self.meta = slot.meta
        self._held = held
        held.add(slot.name)

    def release(self, eject: bool = False, need_another: bool = False) -> Deferred[None]:
        self._held.discard(self.slot)
        return succeed(None)

    def set_label(self, label: str | None) -> Deferred[None]:
        return succeed(None)

    def set_device_error(self, reading: VolumeReading) -> Deferred[None]:
        return succeed(None)

    def get_meta_label(self) -> Deferred[str | None]:
        return succeed(self.meta)

    def set_meta_label(self, meta: str | None) -> Deferred[None]:
        return succeed(None)


@frozen(kw_only=True)
class ChangerFacts:
    """What a scan asks a changer besides; see :class:`devices.interfaces.IAsyncChanger`."""

    name: str
    has_inventory: bool = True
    scan_require_update: bool = False
    global_space: bool = False
    fast_search: bool = True


@implementer(IAsyncChanger)
class PaperChanger:
    """The slots, which only change as far as they are on this paper.

    :ivar asked: slots of unknown content that a scan wanted to load.
    """

    def __init__(self, facts: ChangerFacts, slots: Sequence[PaperSlot]) -> None:
        self.name = facts.name
        self.has_inventory = facts.has_inventory
        self.scan_require_update = facts.scan_require_update
        self.global_space = facts.global_space
        self.asked: list[str] = []
        self.slots = {slot.name: slot for slot in slots}
        self._fast_search = facts.fast_search
        self._current = next((slot.name for slot in slots if slot.entry.current), None)
        self._held: set[str] = set()

    def load(self, request: LoadRequest) -> Deferred[IAsyncReservation]:
        loading: Callable[[], IAsyncReservation] = lambda: self._load(request)  # noqa: E731
        return execute(loading)

    def _load(self, request: LoadRequest) -> PaperReservation:
        check_request(request)
        name = self._find(request)
        if name in request.except_slots:
            raise ChangerError("all slots have been loaded", ChangerReason.NOTFOUND)
        slot = self.slots.get(name)
        if slot is None:
            raise ChangerError(f"slot {name} not found", ChangerReason.INVALID, name)
        if request.set_current:
            self._current = name
        if slot.trouble is not None:
            raise slot.trouble
        if name in self._held:
            raise ChangerError(f"slot {name} is in use", ChangerReason.VOLINUSE, name)
        if slot.reading is None:
            if name not in self.asked:
                self.asked.append(name)
            text = f"slot {name}: nobody knows what is in it until it is loaded"
            raise ChangerError(text, ChangerReason.VOLINUSE, name)
        return PaperReservation(slot, slot.reading, self._held)

    def _find(self, request: LoadRequest) -> str:
        if request.slot is not None:
            return request.slot
        if request.label is not None:
            for slot in self.slots.values():
                if slot.entry.label == request.label:
                    return slot.name
            raise ChangerError(f"label '{request.label}' not found", ChangerReason.NOTFOUND)
        names = list(self.slots)
        current = self._current or next(iter(names), "0")
        if request.relative is Relative.CURRENT:
            return current
        after = request.after or current
        if not names:
            raise ChangerError("there are no slots", ChangerReason.NOTFOUND)
        if after not in names:
            return names[0]
        return names[(names.index(after) + 1) % len(names)]

    def info(self) -> Deferred[ChangerInfo]:
        return succeed(
            ChangerInfo(
                num_slots=len(self.slots),
                slots=tuple(self.slots),
                fast_search=self._fast_search,
            )
        )

    def inventory(self) -> Deferred[list[InventoryEntry]]:
        return succeed(
            [evolve(slot.entry, current=slot.name == self._current) for slot in self.slots.values()]
        )

    def update(self, changed: str | None = None) -> Deferred[None]:
        return succeed(None)

    def reset(self) -> Deferred[None]:
        self._current = next(iter(self.slots), None)
        return succeed(None)

    def eject(self, drive: str | None = None) -> Deferred[None]:
        return succeed(None)

    def move(self, source: str, target: str) -> Deferred[None]:
        return succeed(None)

    def close(self) -> Deferred[None]:
        return succeed(None)
