"""chg-disk: a directory of vtapes [changers 3.1]."""

from __future__ import annotations

from devices.changers.setup import ChangerSetup
from devices.changers.slots import SlotDirectories
from devices.changers.vtape_changer import VtapeChanger, listed
from devices.changers.vtape_state import VtapeState
from devices.errors import ChangerError, ChangerReason, Status
from devices.interfaces import AccessMode, InventoryEntry, SlotState
from protocols.header import HeaderType


class DiskChanger(VtapeChanger):
    """Slots are directories ``slotN``; the link ``data`` leads to the current one.

    With ``auto-create-slot`` directories up to ``num-slot`` are made when they are to be written.
    Where only ``num-slot`` is set, the first slot of an empty directory is.
    """

    def __init__(self, setup: ChangerSetup) -> None:
        # as in stock, nothing and 0 are 1, but what is no number is 0
        given = setup.text("num-slot") not in (None, "", "0")
        self._num_slot = (setup.integer("num-slot") or 0) if given else 1
        self._begins = bool(setup.values("num-slot")) and not setup.values("auto-create-slot")
        self._slots = SlotDirectories(setup.argument)
        super().__init__(setup)

    def _slots_now(self, state: VtapeState) -> list[int]:
        return self._slots.numbers()

    def _find(self, state: VtapeState, label: str) -> int | None:
        return self._slots.find(label)

    def _device_name(self, state: VtapeState, slot: int) -> str:
        return f"file:{self._slots.path(slot)}"

    def _in_use_text(self, label: str, slot: int, drive: str, pid: int) -> str:
        return (
            f"Slot {slot}, containing '{label}', is already in use by drive '{drive}' "
            f"and process '{pid}'"
        )

    def _linked(self) -> int | None:
        return self._slots.linked()

    def _link(self, slot: int) -> None:
        self._slots.link(slot)

    def _remove_if_blank(self, slot: int) -> None:
        self._slots.remove_if_blank(slot)

    def _entries(self, state: VtapeState) -> list[InventoryEntry]:
        current = self._current(state)
        slots = self._slots.numbers()
        entries = [self._entry(state, slot, current) for slot in slots]
        blank = sum(entry.header_type is HeaderType.EMPTY for entry in entries)
        last = slots[-1] if slots else 0
        runtapes = self._runtapes()
        if self._auto_create and blank < runtapes:
            entries += [
                listed(str(slot))
                for slot in range(last + 1, min(last + runtapes - blank, self._num_slot) + 1)
            ]
        elif self._first_new(state):
            entries.append(listed(str(self._first_new(state))))
        return entries

    def _entry(self, state: VtapeState, slot: int, current: int) -> InventoryEntry:
        reserved, is_current = state.holder(slot) is not None, slot == current
        try:
            label = self._slots.label(slot) or None
        except OSError as error:
            return InventoryEntry(
                slot=str(slot),
                state=SlotState.FULL,
                device_status=Status.DEVICE_ERROR,
                device_error=f"Error checking directory {error.filename}: {error.strerror}",
                reserved=reserved,
                current=is_current,
            )
        return listed(str(slot), label, reserved=reserved, current=is_current)

    def _follows_at_once(self, slot: int, state: VtapeState) -> bool:
        return self._slots.is_plain(slot) or self._may_create(slot)

    def _first_new(self, state: VtapeState) -> int:
        return 1 if self._may_create(1) and not self._slots.numbers() else 0

    def _may_create(self, slot: int) -> bool:
        if self._begins:
            return slot == 1 and not self._slots.numbers()
        return self._auto_create and 1 <= slot <= self._num_slot

    def _provide(self, state: VtapeState, slot: int, mode: AccessMode) -> bool:
        """Make sure of the slot's directory; only a writer makes new ones [changers quirk 16]."""
        if self._slots.exists(slot):
            return False
        if mode is not AccessMode.READ and self._may_create(slot) and self._slots.create(slot):
            return True
        raise ChangerError(f"Slot {slot} not found", ChangerReason.INVALID, str(slot))
