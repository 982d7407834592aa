"""What the state file of a directory of vtapes says [changers 3.1].

Shared with stock: the key names, the nesting and who counts as a holder are the contract.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from devices.changers.holders import holder_is_alive, holder_pid, own_mark
from devices.changers.state import lookup, subhash
from protocols.records import Record

if TYPE_CHECKING:
    from devices.changers.setup import ChangerSetup

_SLOT = re.compile(r"slot([0-9]{1,18})", re.ASCII)

_log = logging.getLogger(__name__)


class Holder(Record):
    """Who holds a slot: the key in ``drives`` and the process."""

    drive: str
    pid: int


def slot_number(value: Any) -> int | None:
    """The number in ``slotN``, wherever a state or a link says so."""
    match = _SLOT.match(value) if isinstance(value, str) else None
    return int(match[1]) if match else None


class SlotHolders:
    """Who holds which slot, in one locked section of the state.

    Entries of ``drives`` that nobody holds any more are dropped at once.
    """

    def __init__(self, state: dict[str, Any]) -> None:
        self._state = state
        self._prune()

    def _drives(self) -> dict[str, Any]:
        drives = self._state.get("drives")
        return drives if isinstance(drives, dict) else {}

    def _prune(self) -> None:
        drives = self._drives()
        for drive, entry in list(drives.items()):
            if (
                not isinstance(entry, dict)
                or entry.get("slot") is None
                or not holder_is_alive(entry)
            ):
                del drives[drive]
            elif slot_number(entry["slot"]) is None:
                _log.warning("invalid slot '%s' for drive '%s'", entry["slot"], drive)

    def holder(self, slot: int) -> Holder | None:
        for drive, entry in self._drives().items():
            pid = holder_pid(entry)
            if slot_number(entry["slot"]) == slot and pid is not None:
                return Holder(drive, pid)
        return None

    def take(self, slot: int) -> str:
        """Enter this process as the holder of ``slot``. :return: the drive"""
        drives = subhash(self._state, "drives")
        drive = next(name for n in range(len(drives) + 1) if (name := f"drive{n}") not in drives)
        drives[drive] = {"slot": f"slot{slot}", **own_mark()}
        return drive

    def drop(self, drive: str, slot: int) -> None:
        """Give back what :meth:`take` took; nothing if the entry has become somebody else's."""
        drives = self._drives()
        entry = drives.get(drive)
        mark = {"slot": f"slot{slot}", **own_mark()}
        if isinstance(entry, dict) and mark.items() <= {**entry, "pid": holder_pid(entry)}.items():
            del drives[drive]


class VtapeState(SlotHolders):
    """The state of one locked section, as a user of one configuration, storage and changer."""

    def __init__(self, state: dict[str, Any], setup: ChangerSetup) -> None:
        super().__init__(state)
        self._user = (
            "current_slot",
            *("config", setup.config.name),
            *("storage", setup.storage_name),
            "changer",
        )
        self._changer = setup.name

    def current(self) -> int | None:
        """The current slot: this user's own, else the one last set by anybody, else None."""
        own = slot_number(lookup(self._state, *self._user, self._changer))
        return slot_number(self._state.get("current")) if own is None else own

    def set_current(self, slot: int) -> None:
        self._state["current"] = f"slot{slot}"
        subhash(self._state, *self._user)[self._changer] = f"slot{slot}"

    @property
    def meta(self) -> str | None:
        """The meta label of the whole root."""
        meta = self._state.get("meta")
        return None if meta is None else str(meta)

    @meta.setter
    def meta(self, meta: str | None) -> None:
        self._state["meta"] = meta
