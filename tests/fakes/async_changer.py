"""A changer in memory with its reservations and devices, on Deferreds, and a clock-free gate.

It behaves like a library that knows what is in its slots (or, on wish, does not), counts what is
reserved, and breaks the test that releases something twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from attrs import define, field
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

UNLABELED_TEXT = "File 0 not found"


@define
class FakeVolume:
    """A volume in a slot.

    :ivar listed_label: the label the inventory tells, when it is not the volume's.
    :ivar known: the inventory tells the volume's state.
    :ivar in_use: somebody else holds it.
    :ivar load_error: what a load fails with.
    :ivar meta_error: what asking for the meta label fails with.
    :ivar release_error: what a release fails with, having released.
    :ivar access_mode: of the device that it is in.
    """

    label: str | None = None
    status: Status = Status.SUCCESS
    header_type: HeaderType | None = HeaderType.TAPESTART
    error: str | None = None
    timestamp: str | None = None
    barcode: str | None = None
    meta: str | None = None
    listed_label: str | None = None
    known: bool = True
    in_use: bool = False
    load_error: ChangerError | None = None
    meta_error: ChangerError | None = None
    release_error: ChangerError | None = None
    access_mode: AccessMode = AccessMode.NULL

    def finish(self) -> None:
        self.access_mode = AccessMode.NULL

    def reading(self) -> VolumeReading:
        return VolumeReading(self.status, self.header_type, self.label, self.timestamp, self.error)


def blank(header_type: HeaderType | None = HeaderType.EMPTY, **facts: Any) -> FakeVolume:
    """A volume without any header."""
    return FakeVolume(
        status=Status.VOLUME_UNLABELED, header_type=header_type, error=UNLABELED_TEXT, **facts
    )


def foreign(**facts: Any) -> FakeVolume:
    """A volume with something on it that is not Amanda's."""
    return FakeVolume(
        status=Status.VOLUME_UNLABELED, header_type=HeaderType.WEIRD, error="not Amanda's", **facts
    )


def bad(
    status: Status = Status.VOLUME_ERROR, error: str = "it squeaks", **facts: Any
) -> FakeVolume:
    """A volume or drive in error."""
    return FakeVolume(status=status, header_type=None, error=error, **facts)


@define
class Gate:
    """Lets operations happen at once, or, when shut, one by one and in order.

    :ivar open: operations happen at once.
    """

    open: bool = True
    waiting: list[tuple[Deferred[Any], Callable[[], Any]]] = field(factory=list)

    def pass_through(self, operation: Callable[[], Any]) -> Deferred[Any]:
        if self.open:
            return execute(operation)
        deferred: Deferred[Any] = Deferred(self._give_up)
        self.waiting.append((deferred, operation))
        return deferred

    def _give_up(self, deferred: Deferred[Any]) -> None:
        self.waiting = [pair for pair in self.waiting if pair[0] is not deferred]

    def step(self) -> bool:
        """Let the next operation happen. :return: False if none waits"""
        if not self.waiting:
            return False
        deferred, operation = self.waiting.pop(0)
        try:
            result = operation()
        except Exception as fault:  # whatever it is, it belongs to the one who asked
            deferred.errback(fault)
        else:
            deferred.callback(result)
        return True


@implementer(IAsyncDevice)
class FakeAsyncDevice:
    """A drive with a volume, which is all that is to be known of it."""

    def __init__(self, volume: FakeVolume, gate: Gate) -> None:
        self.facts = volume
        self._gate = gate

    def read_label(self) -> Deferred[VolumeReading]:
        return self._gate.pass_through(self.facts.reading)

    def start(
        self, mode: AccessMode, label: str | None = None, timestamp: str | None = None
    ) -> Deferred[None]:
        def write_label() -> None:
            self.facts.access_mode = mode
            if mode is AccessMode.WRITE:
                self.facts.label, self.facts.timestamp = label, timestamp
                self.facts.status = Status.SUCCESS
                self.facts.header_type = HeaderType.TAPESTART

        return self._gate.pass_through(write_label)

    def erase(self) -> Deferred[None]:
        def forget() -> None:
            self.facts.label, self.facts.timestamp = None, None
            self.facts.status = Status.VOLUME_UNLABELED
            self.facts.header_type = HeaderType.EMPTY

        return self._gate.pass_through(forget)

    def eject(self) -> Deferred[None]:
        return self._gate.pass_through(lambda: None)

    def close(self) -> Deferred[None]:
        return succeed(None)

    def hurry(self) -> None:
        """What is done here is done at once."""

    def finish(self) -> Deferred[None]:
        return self._gate.pass_through(self.facts.finish)


@implementer(IAsyncReservation)
class FakeAsyncReservation:
    """A slot held; a second release is a mistake of the test's subject."""

    def __init__(self, changer: FakeAsyncChanger, slot: str, volume: FakeVolume) -> None:
        self._changer = changer
        self._volume = volume
        self.slot = slot
        self.device = FakeAsyncDevice(volume, changer.gate)
        self.reading = volume.reading()
        self.barcode = volume.barcode
        self.meta = volume.meta
        self.label_set: str | None = None

    def release(self, eject: bool = False, need_another: bool = False) -> Deferred[None]:
        self._changer.release_begins(self)

        def give_back() -> None:
            self._volume.finish()
            self._changer.reserved.remove(self)
            if self._volume.release_error is not None:
                raise self._volume.release_error

        return self._changer.gate.pass_through(give_back)

    def set_label(self, label: str | None) -> Deferred[None]:
        self.label_set = label
        return self._changer.gate.pass_through(lambda: None)

    def set_device_error(self, reading: VolumeReading) -> Deferred[None]:
        return self._changer.gate.pass_through(lambda: None)

    def get_meta_label(self) -> Deferred[str | None]:
        def look() -> str | None:
            if self._volume.meta_error is not None:
                raise self._volume.meta_error
            return self._volume.meta

        return self._changer.gate.pass_through(look)

    def set_meta_label(self, meta: str | None) -> Deferred[None]:
        def keep() -> None:
            self._volume.meta = meta

        return self._changer.gate.pass_through(keep)


@implementer(IAsyncChanger)
class FakeAsyncChanger:
    """Slots with volumes; None is a slot without one.

    :ivar current: the current slot, or None when it was never set.
    :ivar reserved: what is held and not yet released.
    :ivar requests: every load asked for.
    :ivar updates: how often ``update`` was called.
    :ivar inventories: how often the inventory was read.
    """

    name = "fake"
    global_space = False

    def __init__(
        self,
        slots: Mapping[str, FakeVolume | None],
        *,
        fast_search: bool = True,
        has_inventory: bool = True,
        scan_require_update: bool = False,
    ) -> None:
        self.slots = dict(slots)
        self.fast_search = fast_search
        self.has_inventory = has_inventory
        self.scan_require_update = scan_require_update
        self.current: str | None = next(iter(self.slots), None)
        self.gate = Gate()
        self.reserved: list[FakeAsyncReservation] = []
        self.requests: list[LoadRequest] = []
        self.inventory_error: ChangerError | None = None
        self.updates = 0
        self.inventories = 0
        self._releasing: list[FakeAsyncReservation] = []

    @property
    def loaded(self) -> list[str]:
        """What was loaded, as the requests named it: a label, a slot, ``current`` or ``next``."""
        return [
            r.label or r.slot or (r.relative.value if r.relative else "") for r in self.requests
        ]

    def release_begins(self, held: FakeAsyncReservation) -> None:
        if held in self._releasing:
            raise AssertionError(f"slot {held.slot} was released twice")
        self._releasing.append(held)

    def load(self, request: LoadRequest) -> Deferred[IAsyncReservation]:
        self.requests.append(request)
        return self.gate.pass_through(lambda: self._load(request))

    def _load(self, request: LoadRequest) -> FakeAsyncReservation:
        check_request(request)
        slot = self._find(request)
        if slot in request.except_slots:
            raise ChangerError("all slots have been loaded", ChangerReason.NOTFOUND)
        if slot not in self.slots:
            raise ChangerError(f"Slot {slot} not found", ChangerReason.INVALID, slot)
        volume = self.slots[slot]
        if volume is None:
            raise ChangerError(f"Slot {slot} is empty", ChangerReason.EMPTY, slot)
        if volume.load_error is not None:
            raise volume.load_error
        if volume.in_use or any(held.slot == slot for held in self.reserved):
            text = f"Slot {slot} is already in use"
            raise ChangerError(text, ChangerReason.VOLINUSE, slot)
        if request.set_current:
            self.current = slot
        volume.known = True
        held = FakeAsyncReservation(self, slot, volume)
        self.reserved.append(held)
        return held

    def _find(self, request: LoadRequest) -> str:
        if request.slot is not None:
            return request.slot
        if request.label is not None:
            for slot, volume in self.slots.items():
                if volume is not None and (volume.listed_label or volume.label) == request.label:
                    return slot
            raise ChangerError(f"Label '{request.label}' not found", ChangerReason.NOTFOUND)
        if request.relative is Relative.CURRENT:
            return self.current or "0"
        start = request.after or self.current
        names = list(self.slots)
        if start not in names:
            raise ChangerError(f"Slot {start or ''} not found", ChangerReason.INVALID)
        return names[(names.index(start) + 1) % len(names)]

    def info(self) -> Deferred[ChangerInfo]:
        facts = ChangerInfo(
            num_slots=len(self.slots), slots=tuple(self.slots), fast_search=self.fast_search
        )
        return self.gate.pass_through(lambda: facts)

    def inventory(self) -> Deferred[list[InventoryEntry]]:
        self.inventories += 1

        def look() -> list[InventoryEntry]:
            if self.inventory_error is not None:
                raise self.inventory_error
            return [self._entry(slot, volume) for slot, volume in self.slots.items()]

        return self.gate.pass_through(look)

    def _entry(self, slot: str, volume: FakeVolume | None) -> InventoryEntry:
        current = slot == self.current
        if volume is None:
            return InventoryEntry(slot=slot, state=SlotState.EMPTY, current=current)
        if not volume.known:
            return InventoryEntry(slot=slot, state=SlotState.UNKNOWN, current=current)
        status, header_type = volume.status, volume.header_type
        if volume.listed_label is not None:
            # As chg-disk: the name of the file is believed.
            status, header_type = Status.SUCCESS, HeaderType.TAPESTART
        return InventoryEntry(
            slot=slot,
            state=SlotState.FULL,
            device_status=status,
            device_error=volume.error,
            header_type=header_type,
            label=volume.listed_label or volume.label,
            barcode=volume.barcode,
            reserved=volume.in_use or any(held.slot == slot for held in self.reserved),
            current=current,
        )

    def update(self, changed: str | None = None) -> Deferred[None]:
        self.updates += 1
        return self.gate.pass_through(lambda: None)

    def reset(self) -> Deferred[None]:
        def to_first() -> None:
            self.current = next(iter(self.slots), None)

        return self.gate.pass_through(to_first)

    def eject(self, drive: str | None = None) -> Deferred[None]:
        return self.gate.pass_through(lambda: self._refuse("eject"))

    def move(self, source: str, target: str) -> Deferred[None]:
        return self.gate.pass_through(lambda: self._refuse("move"))

    def _refuse(self, operation: str) -> NoReturn:
        raise ChangerError(f"'fake' does not support {operation}", ChangerReason.NOTIMPL)

    def close(self) -> Deferred[None]:
        def give_back() -> None:
            while self.reserved:
                self.reserved.pop().device.facts.finish()

        return self.gate.pass_through(give_back)
