"""The state file of a robot, and what the robot itself says, made one [changers 3.8].

Shared with stock: key names, nesting, numbers as plain integers. A volume in a drive still belongs
to the slot it came from, which shows it as full with ``loaded_in``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from devices.changers.holders import holder_is_alive, own_mark
from devices.changers.state import lookup, subhash
from devices.errors import Status
from devices.interfaces import InventoryEntry, SlotState, VolumeReading
from protocols.header import HeaderType

if TYPE_CHECKING:
    from devices.changers.robot_settings import RobotSettings
    from devices.changers.setup import ChangerSetup
    from protocols.library import Place, RobotStatus

FULL, EMPTY = int(SlotState.FULL), int(SlotState.EMPTY)

_log = logging.getLogger(__name__)


class RobotState:
    """The state of one locked section, as a user of one configuration, storage and changer."""

    def __init__(self, state: dict[str, Any], setup: ChangerSetup, settings: RobotSettings) -> None:
        self._state = state
        self._settings = settings
        self._config = setup.config.name
        self._user = (
            "current_slot",
            *("config", setup.config.name),
            *("storage", setup.storage_name),
            "changer",
        )
        self._changer = setup.name

    @property
    def raw(self) -> dict[str, Any]:
        """The state itself, for the times of the last status and operation."""
        return self._state

    # what is where

    @property
    def slots(self) -> dict[str, dict[str, Any]]:
        return _entries(self._state, "slots")

    @property
    def drives(self) -> dict[str, dict[str, Any]]:
        return _entries(self._state, "drives")

    def slot_numbers(self) -> list[str]:
        """Known slots in numeric order."""
        return sorted((slot for slot in self.slots if slot.isdigit()), key=int)

    def is_full(self, slot: str) -> bool:
        return _number(self.slots[slot].get("state")) == FULL

    def loaded_in(self, slot: str) -> str | None:
        drive = self.slots[slot].get("loaded_in")
        return None if drive is None or drive == "" else str(drive)

    def is_held(self, drive: str) -> bool:
        """A living process has reserved what is in the drive."""
        holder = lookup(self.drives, drive, "res_info")
        return isinstance(holder, dict) and holder_is_alive(holder)

    def is_ours(self, drive: str) -> bool:
        """This very process has reserved what is in the drive."""
        holder = lookup(self.drives, drive, "res_info")
        return isinstance(holder, dict) and own_mark().items() <= holder.items()

    def in_drive(self, drive: str) -> str | None:
        """The home slot of the volume in ``drive``; None for an empty drive or unknown home."""
        entry = self.drives.get(drive, {})
        home = entry.get("orig_slot")
        full = _number(entry.get("state")) == FULL
        return str(home) if full and home not in (None, "") else None

    def can_be_emptied(self, drive: str) -> bool:
        """There is nothing in the drive, or a slot that it can be put into."""
        return not self.is_drive_full(drive) or self.in_drive(drive) is not None

    def is_drive_full(self, drive: str) -> bool:
        return _number(self.drives.get(drive, {}).get("state")) == FULL

    # merging what the robot says

    def merge(self, status: RobotStatus) -> None:
        """Bring slots and drives up to date; dead reservations vanish."""
        old_slots, old_drives = self.slots, self.drives
        self._state["slots"] = {
            slot: self._merged_slot(old_slots.get(slot, {}), place)
            for slot, place in status.slots.items()
        }
        drives: dict[str, dict[str, Any]] = {}
        self._state["drives"] = drives
        for drive, place in status.drives.items():
            old = old_drives.get(drive, {})
            holder = old.get("res_info")
            if isinstance(holder, dict) and holder_is_alive(holder):
                drives[drive] = old
            elif not place.full:
                drives[drive] = {**old, **_NO_VOLUME, "state": EMPTY, "orig_slot": None}
                drives[drive].pop("res_info", None)
            else:
                drives[drive] = self._merged_drive(old, place)
            self._show_loaded(drive, old_slots)
        if self.current() is None:
            self._choose_first()

    def _merged_slot(self, old: dict[str, Any], place: Place) -> dict[str, Any]:
        kept = {**old, "ie": int(place.import_export), "loaded_in": None}
        if not place.full:
            return {**kept, **_NO_VOLUME, **_NO_READING, "state": EMPTY}
        if place.barcode is None:
            if _number(old.get("state")) == FULL and not old.get("barcode"):
                return kept
            return {**kept, **_NO_VOLUME, **_NO_READING, "state": FULL}
        label = lookup(self._state, "bc2lb", place.barcode)
        kept |= {"state": FULL, "barcode": place.barcode, "label": label}
        if _text(old.get("barcode")) == place.barcode and old.get("label") == label:
            return kept
        return {**kept, **(_GOOD_READING if label else _NO_READING)}

    def _merged_drive(self, old: dict[str, Any], place: Place) -> dict[str, Any]:
        same = _text(old.get("barcode")) == place.barcode and _number(old.get("state")) == FULL
        own = old.get("orig_slot") if same else None
        home = place.source
        if own not in (None, "") and (home is None or self._settings.trust_own_slot):
            home = str(own)
        home = self._free_home(home)
        label = old.get("label") if same and home is not None and str(own) == home else None
        if label is None and place.barcode is not None:
            label = lookup(self._state, "bc2lb", place.barcode)
        merged = {**old, "state": FULL, "barcode": place.barcode, "label": label}
        merged.pop("res_info", None)
        return {**merged, "orig_slot": home}

    def _free_home(self, home: str | None) -> str | None:
        """``home`` if it is empty, else another empty slot that we may use, else any."""
        slots = self.slots
        if home is not None and home in slots and not self.is_full(home):
            return home
        empty = [slot for slot in self.slot_numbers() if not self.is_full(slot)]
        allowed = [slot for slot in empty if self._settings.allows(slot)]
        wanted_is_ours = home is None or self._settings.allows(home)
        found = next(iter((allowed if wanted_is_ours else []) + empty), None)
        _log.warning("slot '%s' of a loaded volume is not free; using '%s'", home, found)
        return found

    def _show_loaded(self, drive: str, old_slots: Mapping[str, dict[str, Any]]) -> None:
        """Let the home slot of the drive's volume show it."""
        home = self.in_drive(drive)
        if home is None or home not in self.slots:
            return
        entry, old = self.drives[drive], old_slots.get(home, {})
        shown = self.slots[home]
        same = (old.get("label"), old.get("barcode")) == (entry["label"], entry["barcode"])
        reading = {key: old.get(key) for key in _NO_READING} if same else _NO_READING
        if not same and entry["label"] is not None:
            reading = _GOOD_READING
        shown.update(reading)
        shown.update(
            state=FULL, label=entry["label"], barcode=entry["barcode"], loaded_in=_tidy(drive)
        )

    # the current slot

    def current(self) -> str | None:
        """This user's current slot, with the forms of older versions; None if there is none."""
        found = lookup(self._state, *self._user, self._changer)
        if found is None:
            found = self._state.get("current_slot")
            if isinstance(found, dict):
                found = found.get(self._config)
        if isinstance(found, dict) or found is None:
            return None
        slot = str(found)
        return slot if slot.isdigit() else None

    def set_current(self, slot: str | None) -> None:
        if not isinstance(self._state.get("current_slot"), dict):
            self._state["current_slot"] = {}
        value = None if slot is None else int(slot)
        subhash(self._state, *self._user)[self._changer] = value

    def _choose_first(self) -> None:
        self.set_current(next(iter(self.usable_slots()), None))

    def usable_slots(self) -> list[str]:
        """Full slots that use-slots allows, in numeric order."""
        numbers = self.slot_numbers()
        return [slot for slot in numbers if self.is_full(slot) and self._settings.allows(slot)]

    # changes

    def take(self, drive: str) -> None:
        """Enter this process as the holder of what is in ``drive``."""
        self.drives[drive]["res_info"] = own_mark()

    def drop(self, drive: str) -> None:
        self.drives[drive]["res_info"] = None

    def note_used(self, drive: str) -> None:
        """``drive`` was chosen: it is now the one most recently used."""
        self._state["drive_lru"] = [*(other for other in self.lru() if other != drive), drive]

    def lru(self) -> list[str]:
        """Drives, the one least recently used first."""
        used = self._state.get("drive_lru")
        return [str(drive) for drive in used] if isinstance(used, list) else []

    def note_loaded(self, slot: str, drive: str) -> None:
        """The robot put the volume of ``slot`` into ``drive``."""
        shown = self.slots[slot]
        shown["loaded_in"] = _tidy(drive)
        self.drives.setdefault(drive, {}).update(
            state=FULL, label=shown.get("label"), barcode=shown.get("barcode"), orig_slot=int(slot)
        )
        self.drives[drive].pop("res_info", None)

    def note_unloaded(self, drive: str, slot: str) -> None:
        """The robot put the volume in ``drive`` into ``slot``."""
        entry = self.drives[drive]
        home = self.in_drive(drive)
        reading: Mapping[str, Any] = _NO_READING
        if home is not None and home in self.slots:
            reading = {key: self.slots[home].get(key) for key in _NO_READING}
            self.slots[home].update(**_NO_VOLUME, **_NO_READING, loaded_in=None, state=EMPTY)
        self.slots.setdefault(slot, {}).update(
            **reading,
            state=FULL,
            label=entry.get("label"),
            barcode=entry.get("barcode"),
            loaded_in=None,
        )
        entry.update(**_NO_VOLUME, state=EMPTY, orig_slot=None)
        entry.pop("res_info", None)

    def note_moved(self, source: str, target: str) -> None:
        """The robot moved a volume from slot to slot."""
        moved = self.slots[source]
        keys = ("label", "barcode", *_NO_READING)
        self.slots[target].update({key: moved.get(key) for key in keys}, state=FULL, loaded_in=None)
        moved.update(**_NO_VOLUME, **_NO_READING, loaded_in=None, state=EMPTY)

    def note_label(self, slot: str, label: str | None, reading: VolumeReading | None) -> None:
        """The volume of ``slot`` bears ``label``, as ``reading`` found or a writer told."""
        entry = self.slots[slot]
        entry["label"] = label
        if reading is not None:
            entry |= _reading_of(reading)
        elif label is not None:
            entry |= _GOOD_READING
        else:
            entry |= _BLANK_READING
        drive = self.loaded_in(slot)
        if drive is not None and drive in self.drives:
            self.drives[drive]["label"] = label
        barcode = entry.get("barcode")
        if barcode:
            known = subhash(self._state, "bc2lb")
            # one label, one barcode: the last seen
            for other in [code for code, old in known.items() if old == label and label]:
                del known[other]
            if label is not None:
                known[str(barcode)] = label
            else:
                known.pop(str(barcode), None)

    def note_error(self, slot: str, reading: VolumeReading) -> None:
        """Labelling failed."""
        self.slots[slot] |= _reading_of(reading)

    def record_label(self, slot: str, label: str) -> None:
        """A person says that the volume of ``slot`` bears ``label``; nobody has read it."""
        self._forget_label(label)
        self.slots[slot]["label"] = label
        if barcode := self.slots[slot].get("barcode"):
            subhash(self._state, "bc2lb")[str(barcode)] = label

    def _forget_label(self, label: str) -> None:
        """No volume is known by ``label`` any more."""
        known = subhash(self._state, "bc2lb")
        for barcode in [barcode for barcode, old in known.items() if old == label]:
            del known[barcode]
        for entry in self.slots.values():
            if entry.get("label") == label:
                entry |= {"label": None, **_NO_READING}

    def forget(self, slot: str) -> None:
        """Nothing is known of the volume in ``slot`` any more, not by its barcode either."""
        self.slots[slot] |= {"label": None, **_NO_READING}
        subhash(self._state, "bc2lb").pop(str(self.slots[slot].get("barcode")), None)
        drive = self.loaded_in(slot)
        if drive is not None and drive in self.drives:
            self.drives[drive]["label"] = None

    # telling

    def inventory(self) -> list[InventoryEntry]:
        """All slots that use-slots allows."""
        current = self.current()
        return [
            self._told(slot, current) for slot in self.slot_numbers() if self._settings.allows(slot)
        ]

    def _told(self, slot: str, current: str | None) -> InventoryEntry:
        entry = self.slots[slot]
        drive = self.loaded_in(slot)
        status, header = _number(entry.get("device_status")), _number(entry.get("f_type"))
        known = header is not None and header in set(HeaderType)
        return InventoryEntry(
            slot=slot,
            state=SlotState.FULL if self.is_full(slot) else SlotState.EMPTY,
            device_status=None if status is None else Status(status & 31),
            device_error=_text(entry.get("device_error")),
            header_type=HeaderType(header) if header is not None and known else None,
            label=_text(entry.get("label")),
            barcode=_text(entry.get("barcode")),
            reserved=drive is not None and self.is_held(drive),
            loaded_in=drive,
            import_export=bool(_number(entry.get("ie"))),
            current=slot == current,
        )


_NO_VOLUME: Mapping[str, Any] = {"label": None, "barcode": None}
_NO_READING: Mapping[str, Any] = {"device_status": None, "device_error": None, "f_type": None}
_GOOD_READING: Mapping[str, Any] = {
    "device_status": 0,
    "device_error": None,
    "f_type": int(HeaderType.TAPESTART),
}
_BLANK_READING: Mapping[str, Any] = {
    "device_status": int(Status.VOLUME_UNLABELED),
    "device_error": None,
    "f_type": int(HeaderType.EMPTY),
}


def _reading_of(reading: VolumeReading) -> dict[str, Any]:
    header = reading.header_type
    return {
        "device_status": int(reading.status),
        "device_error": reading.error,
        "f_type": None if header is None else int(header),
    }


def _entries(state: dict[str, Any], key: str) -> dict[str, dict[str, Any]]:
    """The hash of hashes at ``key``; what else stands there is dropped."""
    entries = subhash(state, key)
    for name in [name for name, entry in entries.items() if not isinstance(entry, dict)]:
        del entries[name]
    entries.pop("", None)  # stock's place for volumes of unknown origin [changers quirk 22]
    return entries


def _number(value: Any) -> int | None:
    """A number however it is written; None for anything else."""
    if isinstance(value, str):
        body = value[1:] if value[:1] in "+-" else value
        return int(value) if body.isascii() and body.isdigit() and len(body) < 19 else None
    return value if isinstance(value, int) else None


def _tidy(drive: str) -> int | str:
    return int(drive) if drive.isdigit() else drive


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
