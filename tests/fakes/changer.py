"""A changer in memory: slots with fake volumes."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from devices.changers.base import check_request
from devices.errors import ChangerError, ChangerReason, Status
from devices.interfaces import (
    ChangerInfo,
    IChanger,
    InventoryEntry,
    IReservation,
    LoadRequest,
    Relative,
    SlotState,
    VolumeReading,
)
from protocols.header import HeaderType
from tests.fakes.device import FakeDevice, FakeVolume


@implementer(IReservation)
class FakeReservation:
    """A slot of a FakeChanger; ``calls`` tells what was done with it."""

    def __init__(self, changer: FakeChanger, slot: str) -> None:
        self.changer = changer
        self.slot = slot
        self.device: Any = FakeDevice(changer.volumes[slot], name=f"fake:{slot}")
        self.reading: VolumeReading = self.device.read_label()
        self.barcode: str | None = None
        self.meta = changer.meta
        self.calls: list[tuple[Any, ...]] = []
        self._released = False

    def release(self, eject: bool = False, need_another: bool = False) -> None:
        if self._released:
            return
        self._released = True
        self.calls.append(("release", eject, need_another))
        self.device.finish()
        del self.changer.held[self.slot]

    def set_label(self, label: str | None) -> None:
        self.calls.append(("set_label", label))

    def set_device_error(self, reading: VolumeReading) -> None:
        self.calls.append(("set_device_error", reading))

    def get_meta_label(self) -> str | None:
        return self.changer.meta

    def set_meta_label(self, meta: str | None) -> None:
        self.changer.meta = self.meta = meta


@implementer(IChanger)
class FakeChanger:
    """Slots ``1`` to N holding ``volumes``, each in a drive of its own."""

    has_inventory = True
    scan_require_update = False
    global_space = False

    def __init__(self, *volumes: FakeVolume, name: str = "fake") -> None:
        self.name = name
        self.volumes = {str(number): volume for number, volume in enumerate(volumes, 1)}
        self.held: dict[str, FakeReservation] = {}
        self.current = "1"
        self.meta: str | None = None

    def load(self, request: LoadRequest) -> FakeReservation:
        check_request(request)
        slot = self._slot(request)
        if slot in request.except_slots:
            raise ChangerError("all slots have been loaded", ChangerReason.NOTFOUND)
        if slot not in self.volumes:
            raise ChangerError(f"Slot {slot} not found", ChangerReason.INVALID, slot)
        if slot in self.held:
            raise ChangerError(f"Slot {slot} is already in use", ChangerReason.VOLINUSE, slot)
        if request.set_current:
            self.current = slot
        self.held[slot] = FakeReservation(self, slot)
        return self.held[slot]

    def _slot(self, request: LoadRequest) -> str:
        if request.label is not None:
            for slot, volume in self.volumes.items():
                if volume.label == request.label:
                    return slot
            raise ChangerError(f"Label '{request.label}' not found", ChangerReason.NOTFOUND)
        if request.slot is not None:
            return request.slot
        if request.relative is Relative.CURRENT:
            return self.current
        slots = list(self.volumes)
        after = self.current if request.after is None else request.after
        return slots[(slots.index(after) + 1) % len(slots)]

    def info(self) -> ChangerInfo:
        return ChangerInfo(num_slots=len(self.volumes), slots=tuple(self.volumes), fast_search=True)

    def inventory(self) -> list[InventoryEntry]:
        return [
            InventoryEntry(
                slot=slot,
                state=SlotState.FULL,
                device_status=Status.SUCCESS if volume.label else Status.VOLUME_UNLABELED,
                header_type=HeaderType.TAPESTART if volume.label else HeaderType.EMPTY,
                label=volume.label,
                reserved=slot in self.held,
                current=slot == self.current,
            )
            for slot, volume in self.volumes.items()
        ]

    def reset(self) -> None:
        self.current = "1"

    def eject(self, drive: str | None = None) -> None:
        raise ChangerError("'fake' does not support eject", ChangerReason.NOTIMPL)

    def update(self, changed: str | None = None) -> None:
        """What is in the slots is always known."""

    def move(self, source: str, target: str) -> None:
        self.volumes[target], self.volumes[source] = self.volumes[source], FakeVolume()

    def close(self) -> None:
        for reservation in list(self.held.values()):
            reservation.release()
