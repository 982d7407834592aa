"""chg-diskflat: a directory of one-file vtapes [changers 3.2].

A slot is nothing but the label that the storage's autolabel template makes of its number, and a
volume is the file of that name. So this changer reads the tapelist: what is listed there without
a file is a volume that somebody took away, not a blank one.
"""

from __future__ import annotations

import os

from attrs import frozen

from devices.changers.setup import ChangerSetup
from devices.changers.vtape_changer import VtapeChanger, listed
from devices.changers.vtape_state import VtapeState
from devices.errors import ChangerError, ChangerReason
from devices.interfaces import AccessMode, InventoryEntry, SlotState
from devices.tapelist_file import configured_tapelist
from devices.vtape import names_a_file
from protocols.labels import LabelError, make_label, make_meta_label, slot_of_label

DEFAULT_SLOTS = 100


@frozen
class _Look:
    """The directory and the tapelist at one moment.

    :ivar volumes: slots that have a file.
    :ivar missing: slots whose label is in the tapelist, for this storage, and have no file.
    """

    volumes: frozenset[int]
    missing: frozenset[int]

    @property
    def last(self) -> int:
        return max(self.volumes | self.missing, default=0)


class DiskflatChanger(VtapeChanger):
    """Slots are numbers up to ``num-slot``; volumes are files named after their labels.

    :raise ChangerError: fatal: as from the base; the directory or a volume is not accessible, or
        the autolabel template does not name slots
    """

    def __init__(self, setup: ChangerSetup) -> None:
        wanted = setup.integer("num-slot")
        self._num_slot = DEFAULT_SLOTS if wanted is None else wanted
        self._directory = setup.argument
        storage, general = setup.storage, setup.config.general
        self._autolabel = general.autolabel if storage is None else storage.autolabel
        self._meta_autolabel = general.meta_autolabel if storage is None else storage.meta_autolabel
        super().__init__(setup)
        self._validate()

    def _validate(self) -> None:
        if not self._num_slot and self._auto_create:
            text = "property 'auto-create-slot' set but property 'num-slot' is not set"
            raise ChangerError(self.setup.placed(text))
        if not self._autolabel.template:
            raise ChangerError(self.setup.placed("template is not set, you must set autolabel"))
        if not os.access(self._directory, os.W_OK):
            raise ChangerError(f"Cannot write to directory '{self._directory}': Permission denied")
        try:
            names_slots = self._slot_of(self._make_label(1, None), None) == 1
        except LabelError as error:
            raise ChangerError(self.setup.placed(error.text)) from error
        if not names_slots:
            text = (
                f"autolabel '{self._autolabel.template}' has a counter beside its '$s', "
                "so a slot has no label of its own"
            )
            raise ChangerError(self.setup.placed(text))
        for entry in configured_tapelist(self.setup.config).entries:
            path = self._path(entry.label)
            ours = self._is_ours(entry.storage) and self._slot_of(entry.label, entry.meta)
            if ours and os.path.exists(path) and not os.access(path, os.R_OK):
                raise ChangerError(f"Can't read '{path}': Permission denied")

    # labels and slots

    def _is_ours(self, storage: str | None) -> bool:
        return storage is None or storage == self.setup.storage_name

    def _make_label(self, slot: int, meta: str | None) -> str:
        config = self.setup.config
        return make_label(
            self._autolabel.template,
            (),
            config=config.name,
            org=config.general.org,
            storage=self.setup.storage_name,
            barcode=None,
            meta=meta,
            slot=str(slot),
        )

    def _slot_of(self, label: str, meta: str | None) -> int | None:
        config = self.setup.config
        return slot_of_label(
            self._autolabel.template or "",
            label,
            config=config.name,
            org=config.general.org,
            storage=self.setup.storage_name,
            meta=meta,
        )

    def _meta(self, state: VtapeState) -> str | None:
        """The directory's meta label, or the one that its first new volume will bring."""
        if state.meta is not None or not self._meta_autolabel:
            return state.meta
        config, known = self.setup.config, configured_tapelist(self.setup.config).entries
        return make_meta_label(
            self._meta_autolabel, known, config=config.name, org=config.general.org
        )

    def _label(self, state: VtapeState, slot: int) -> str:
        """The label that the volume of a slot has, or would get."""
        try:
            return self._make_label(slot, self._meta(state))
        except LabelError as error:
            text = f"Can't find label for slot '{slot}'"
            raise ChangerError(text, ChangerReason.DEVICE, str(slot)) from error

    def _path(self, label: str) -> str:
        return f"{self._directory}/{label}"

    def _look(self, state: VtapeState) -> _Look:
        tapelist = configured_tapelist(self.setup.config)
        meta = self._meta(state)
        try:
            names = os.listdir(self._directory)
        except OSError as error:
            text = f"Can't read '{self._directory}': {error.strerror}"
            raise ChangerError(text) from error
        volumes = {self._slot_of(name, meta) for name in names}
        entries = [entry for entry in tapelist.entries if self._is_ours(entry.storage)]
        known = {self._slot_of(entry.label, entry.meta) for entry in entries}
        there = frozenset(slot for slot in volumes if slot is not None)
        return _Look(there, frozenset(slot for slot in known if slot is not None) - there)

    # what VtapeChanger asks

    def _slots_now(self, state: VtapeState) -> list[int]:
        return self._numbers(self._look(state))

    def _numbers(self, look: _Look) -> list[int]:
        """Slots up to the last known one, and with auto-create as many blank ones as a run needs;
        in an empty directory one.

        A slot above num-slot cannot be loaded, but is listed when something is known of it.
        """
        known = look.volumes | look.missing
        if not known and not self._auto_create and self._num_slot:
            return [1]
        numbers = set(range(1, min(look.last, self._num_slot) + 1))
        if self._auto_create:
            blank = len(numbers - known)
            last = min(look.last + max(self._runtapes() - blank, 0), self._num_slot)
            numbers.update(range(1, last + 1))
        return sorted(numbers | known)

    def _find(self, state: VtapeState, label: str) -> int | None:
        if not names_a_file(label) or not os.path.exists(self._path(label)):
            return None
        return self._slot_of(label, self._meta(state))

    def _follows_at_once(self, slot: int, state: VtapeState) -> bool:
        try:
            return os.path.exists(self._path(self._label(state, slot)))
        except ChangerError:
            return False  # such a slot is in no list either

    def _provide(self, state: VtapeState, slot: int, mode: AccessMode) -> bool:
        label = self._label(state, slot)
        path = self._path(label)
        if os.path.exists(path):
            return False
        if not 1 <= slot <= self._num_slot:
            raise ChangerError(f"Slot {slot} not found", ChangerReason.INVALID, str(slot))
        if configured_tapelist(self.setup.config).lookup(label) is not None:
            text = f"label '{label}' already in tapelist and slot file '{path}' do not exists"
            raise ChangerError(text, ChangerReason.INVALID, str(slot))
        return False

    def _device_name(self, state: VtapeState, slot: int) -> str:
        return f"diskflat:{self._path(self._label(state, slot))}"

    def _in_use_text(self, label: str, slot: int, drive: str, pid: int) -> str:
        return f"Slot {slot}, containing '{label}', is already in use by drive '{drive}'"

    def _entries(self, state: VtapeState) -> list[InventoryEntry]:
        look = self._look(state)
        current = self._current(state)
        return [self._entry(state, slot, look, current) for slot in self._numbers(look)]

    def _entry(self, state: VtapeState, slot: int, look: _Look, current: int) -> InventoryEntry:
        reserved, is_current = state.holder(slot) is not None, slot == current
        if slot in look.missing:
            return InventoryEntry(
                slot=str(slot), state=SlotState.EMPTY, reserved=reserved, current=is_current
            )
        label = self._label(state, slot)
        try:
            is_blank = os.stat(self._path(label)).st_size == 0
        except FileNotFoundError:
            is_blank = True
        return listed(str(slot), None if is_blank else label, reserved=reserved, current=is_current)
