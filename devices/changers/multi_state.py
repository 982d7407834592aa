"""What the state file of a chg-multi says [changers 3.5].

Shared with stock: the key names, the nesting, and that a slot's entry is keyed by its device. Stock
lets an entry live on when a holder goes, and takes only its ``pid`` out; so what we say of the
holder's start stands in a hash of its own, ``holder``, and counts only while the two name one pid.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from devices.changers.holders import holder_is_alive, holder_pid, own_mark
from devices.changers.state import lookup, subhash
from devices.errors import Status
from devices.interfaces import InventoryEntry, SlotState, VolumeReading
from protocols.header import HeaderType

if TYPE_CHECKING:
    from devices.changers.setup import ChangerSetup


class MultiState:
    """The state of one locked section, as a user of one configuration, storage and changer.

    All methods take the slot's device, which is its key here.
    """

    def __init__(self, state: dict[str, Any], setup: ChangerSetup) -> None:
        self._state = state
        self._config = setup.config.name
        self._user = ("current_slot_csc", self._config, "storage", setup.storage_name, "changer")
        self._changer = setup.name

    def _entry(self, device: str) -> dict[str, Any]:
        """What is known of the slot; changes to it count only if it is there already."""
        entry = lookup(self._state, "slots", device)
        return entry if isinstance(entry, dict) else {}

    def _own_entry(self, device: str) -> dict[str, Any]:
        """What is known of the slot, to be changed."""
        return subhash(self._state, "slots", device)

    # the current slot

    def current(self) -> tuple[Any, ...]:
        """Devices that may be the current one, the best first."""
        return (
            lookup(self._state, *self._user, self._changer),
            lookup(self._state, "current_slot_by_config", self._config),
            self._state.get("current_slot"),
        )

    def set_current(self, device: str) -> None:
        subhash(self._state, *self._user)[self._changer] = device
        subhash(self._state, "current_slot_by_config")[self._config] = device

    # who holds what

    def holder(self, device: str) -> int | None:
        """The living process that holds the slot; a dead one's entry is dropped."""
        entry = self._entry(device)
        pid = holder_pid(entry)
        mark = entry.get("holder")
        if not isinstance(mark, dict) or holder_pid(mark) != pid:
            mark = {"pid": pid}
        if pid is not None and holder_is_alive(mark):
            return pid
        entry.pop("pid", None)
        entry.pop("holder", None)
        return None

    def take(self, device: str) -> None:
        """Enter this process as the holder of the slot."""
        mark = own_mark()
        self._own_entry(device).update(pid=mark["pid"], holder=mark)

    def drop(self, device: str) -> None:
        """Give back what :meth:`take` took; nothing if it has become somebody else's."""
        entry = self._entry(device)
        mark = own_mark()
        if holder_pid(entry) == mark["pid"] and entry.get("holder") == mark:
            del entry["pid"], entry["holder"]

    # what is known of volumes

    def find(self, label: str, devices: Iterable[str]) -> str | None:
        """The device whose volume was last seen to bear ``label``."""
        found = (device for device in devices if self._entry(device).get("label") == label)
        return next(found, None)

    def note_reading(self, device: str, reading: VolumeReading) -> None:
        """What was found in the slot."""
        entry = self._own_entry(device)
        entry |= {"state": int(SlotState.FULL), "label": reading.label}
        self.note_error(device, reading)
        if reading.header_type is None:
            entry.pop("f_type", None)
        else:
            entry["f_type"] = str(int(reading.header_type))

    def note_error(self, device: str, reading: VolumeReading) -> None:
        """What the device says of the volume, its label aside."""
        good = reading.status is Status.SUCCESS
        self._own_entry(device).update(
            state=int(SlotState.FULL),
            device_status=str(int(reading.status)),
            device_error=None if good else reading.error,
        )

    def note_label(self, device: str, label: str | None) -> None:
        """The volume was given this label, or lost it."""
        if label is None:
            blank = VolumeReading(Status.VOLUME_UNLABELED, HeaderType.EMPTY)
            self.note_reading(device, blank)
        else:
            good = VolumeReading(Status.SUCCESS, HeaderType.TAPESTART, label)
            self.note_reading(device, good)

    def record(self, device: str, label: str) -> None:
        """An operator says that this volume bears ``label``, and so no other does."""
        slots = self._state.get("slots")
        for entry in slots.values() if isinstance(slots, dict) else ():
            if isinstance(entry, dict) and entry.get("label") == label:
                entry["label"] = None
        self._own_entry(device)["label"] = label

    def forget(self, device: str) -> None:
        """Nothing is known of the slot any more."""
        slots = self._state.get("slots")
        if isinstance(slots, dict):
            slots.pop(device, None)

    def forget_all(self) -> None:
        """Nothing is known of any slot but who holds it [changers quirk 23]."""
        slots = self._state.get("slots")
        names = list(slots) if isinstance(slots, dict) else []
        held = {name: self._entry(name) for name in names if self.holder(name) is not None}
        self._state["slots"] = {
            name: {key: entry[key] for key in ("pid", "holder") if key in entry}
            for name, entry in held.items()
        }

    def is_in_error(self, device: str) -> bool:
        """The last reading failed."""
        return bool(_number(self._entry(device).get("device_status")))

    def told(self, slot: str, device: str, *, current: bool) -> InventoryEntry:
        """The slot as an inventory has it. What no reading confirms is not told."""
        entry = self._entry(device)
        status = _number(entry.get("device_status"))
        header = _number(entry.get("f_type"))
        state = _number(entry.get("state"))
        known = status is not None
        good = status == 0
        return InventoryEntry(
            slot=slot,
            state=SlotState(state) if state in _STATES else SlotState.UNKNOWN,
            device_status=None if status is None else Status(status & 31),
            device_error=_text(entry.get("device_error")) if known and not good else None,
            header_type=HeaderType(header) if known and header in _HEADERS else None,
            label=_text(entry.get("label")) if known else None,
            reserved=self.holder(device) is not None,
            current=current,
        )


_STATES = frozenset(SlotState)
_HEADERS = frozenset(HeaderType)


def _number(value: Any) -> int | None:
    """A number however it is written; None for anything else."""
    text = str(value)
    body = text.removeprefix("-")
    return int(text) if body.isascii() and body.isdigit() and len(body) < 19 else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
