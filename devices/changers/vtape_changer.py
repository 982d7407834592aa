"""What changers of vtapes in one directory share: reservations and the current slot.

chg-disk and chg-diskflat differ in what a slot is; who holds one, which is current, and the meta
label of the directory stand in the same kind of state file [changers 3.1, 3.2].
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from devices.changers.base import check_request
from devices.changers.blocking import BlockingChanger, BlockingReservation
from devices.changers.setup import ChangerSetup
from devices.changers.state import RELEASE_GRACE, StateFile
from devices.changers.vtape_state import VtapeState
from devices.errors import ChangerError, ChangerReason, DeviceError, Status
from devices.interfaces import (
    AccessMode,
    ChangerInfo,
    IDevice,
    InventoryEntry,
    IReservation,
    LoadRequest,
    Relative,
    SlotState,
    VolumeReading,
)
from protocols.header import HeaderType


class VtapeChanger(BlockingChanger):
    """Slots below one directory; who uses one is written in the state file.

    :raise ChangerError: fatal: no such directory, or a property that is no number;
        NOTFOUND: no removable disk is mounted, and we may not mount one
    """

    global_space = True

    def __init__(self, setup: ChangerSetup) -> None:
        super().__init__(setup)
        directory = setup.argument
        lock_timeout = setup.lock_timeout()
        self._auto_create = setup.boolean("auto-create-slot")
        self._state_file = StateFile(
            setup.changerfile or f"{directory}/state", lock_timeout=lock_timeout, stop=setup.stop
        )
        # Reservations whose release could not be recorded, by drive [changers quirk 20].
        self._unrecorded: dict[str, int] = {}
        if not os.path.isdir(directory):
            raise ChangerError(setup.placed(f"directory '{directory}' does not exist"))
        self._root = None
        if setup.boolean("removable"):
            from devices.changers.removable import removable_root  # few need it

            self._root = removable_root(setup, directory, lock_timeout)
            self._root.require()

    # what a kind of slot is

    def _slots_now(self, state: VtapeState) -> list[int]:
        """The numbers of all slots, in order."""
        raise NotImplementedError

    def _entries(self, state: VtapeState) -> list[InventoryEntry]:
        """The inventory."""
        raise NotImplementedError

    def _find(self, state: VtapeState, label: str) -> int | None:
        """The slot whose file names promise ``label``."""
        raise NotImplementedError

    def _follows_at_once(self, slot: int, state: VtapeState) -> bool:
        """``slot`` may be walked to from the one before it: known without a list of all slots."""
        raise NotImplementedError

    def _provide(self, state: VtapeState, slot: int, mode: AccessMode) -> bool:
        """Make sure that the slot can be loaded. :return: it was made just now

        :raise ChangerError: INVALID: there is none, or DEVICE
        """
        raise NotImplementedError

    def _device_name(self, state: VtapeState, slot: int) -> str:
        """What to open for the slot."""
        raise NotImplementedError

    def _in_use_text(self, label: str, slot: int, drive: str, pid: int) -> str:
        """For a volume found by label and held by somebody."""
        raise NotImplementedError

    def _first_new(self, state: VtapeState) -> int:
        """The slot to begin with where there is none yet; 0: none can be made."""
        return 0

    def _linked(self) -> int | None:
        """The current slot as told outside of the state."""
        return None

    def _link(self, slot: int) -> None:
        """Tell the current slot outside of the state."""

    def _remove_if_blank(self, slot: int) -> None:
        """Take back a slot that was made just now."""

    # what every operation is wrapped in

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        """Keep a removable disk mounted meanwhile."""
        if self._root is None:
            yield
            return
        self._root.enter()
        try:
            yield
        finally:
            self._root.leave()

    @contextmanager
    def _locked(self, grace: float = 0.0) -> Iterator[VtapeState]:
        unrecorded = dict(self._unrecorded)
        with self._state_file.locked(grace) as data:
            state = VtapeState(data, self.setup)
            for drive, slot in unrecorded.items():
                state.drop(drive, slot)
            yield state
        for drive in unrecorded:
            del self._unrecorded[drive]

    # operations

    def load(self, request: LoadRequest) -> IReservation:
        check_request(request)
        with ExitStack() as use:
            use.enter_context(self._in_use())
            with self._locked() as state:
                slot, created = self._choose(state, request)
                if request.set_current:
                    self._set_current(state, slot)
                meta = state.meta
                name = self._device_name(state, slot)
                drive = state.take(slot)
            held = _Held(drive, slot, created, use)
            try:
                device = self._open(name)
                reading = device.read_label()
                reservation = _VtapeReservation(self, held, device, reading, meta)
            except BaseException:
                self.give_back(held)
                raise
            held.use = use.pop_all()
        _check_found(request.label, reservation)
        return reservation

    def info(self) -> ChangerInfo:
        with self._in_use(), self._locked() as state:
            slots = tuple(str(slot) for slot in self._slots_now(state))
        return ChangerInfo(
            num_slots=len(slots),
            slots=slots,
            vendor_string=f"chg-{self.setup.kind}",
            fast_search=True,
        )

    def inventory(self) -> list[InventoryEntry]:
        with self._in_use(), self._locked() as state:
            return self._entries(state)

    def reset(self) -> None:
        with self._in_use(), self._locked() as state:
            slots = self._slots_now(state)
            if slots:
                self._set_current(state, slots[0])

    def get_meta_label(self) -> str | None:
        with self._in_use(), self._locked() as state:
            return state.meta

    def set_meta_label(self, meta: str | None) -> None:
        with self._in_use(), self._locked() as state:
            state.meta = meta

    def close(self) -> None:
        try:
            super().close()
            if self._unrecorded:
                with self._in_use(), self._locked(RELEASE_GRACE):
                    pass  # taking the lock records them
        finally:
            if self._root is not None:
                self._root.close()

    # slots

    def _runtapes(self) -> int:
        return (self.setup.storage.runtapes if self.setup.storage else 0) or 1

    def _current(self, state: VtapeState) -> int:
        """The current slot, which need not exist; 0: none does, and none can be made."""
        slots = self._slots_now(state)
        for slot in (state.current(), self._linked(), *slots[:1]):
            # stock calls 0 current where no slot is
            if slot is not None and (slot or 0 in slots):
                return slot
        return self._first_new(state)

    def _set_current(self, state: VtapeState, slot: int) -> None:
        state.set_current(slot)
        self._link(slot)

    def _choose(self, state: VtapeState, request: LoadRequest) -> tuple[int, bool]:
        """The slot asked for, which exists and is free; and whether it was made just now."""
        if request.label is not None:
            found = self._find(state, request.label)
            if found is None:
                raise ChangerError(f"Label '{request.label}' not found", ChangerReason.NOTFOUND)
            slot = found
        elif request.slot is not None:
            slot = _parse_slot(request.slot)
        elif request.relative is Relative.CURRENT:
            slot = self._current(state)
        else:
            slot = self._following(state, request.after)
            if request.set_current:
                self._set_current(state, slot)
        if str(slot) in request.except_slots:
            raise ChangerError("all slots have been loaded", ChangerReason.NOTFOUND)
        created = self._provide(state, slot, request.mode)
        holder = state.holder(slot)
        if holder is not None:
            if request.label is not None:
                text = self._in_use_text(request.label, slot, holder.drive, holder.pid)
                raise ChangerError(text, ChangerReason.VOLINUSE)
            by = f"in use by drive '{holder.drive}' and process '{holder.pid}'"
            text = f"Slot {slot} is already {by}"
            raise ChangerError(text, ChangerReason.VOLINUSE, str(slot))
        return slot, created

    def _following(self, state: VtapeState, after: str | None) -> int:
        """The slot after ``after``, or else the current one; the very first if there is none."""
        if after is not None:
            return self._next(state, _parse_slot(after))
        return self._first_new(state) or self._next(state, self._current(state))

    def _next(self, state: VtapeState, slot: int) -> int:
        """The slot after ``slot``: one more, or else the next there is, from the end the first.

        :raise ChangerError: NOTFOUND: there is none, which ends a scan [changers quirk 11]
        """
        if self._follows_at_once(slot + 1, state):
            return slot + 1
        slots = self._slots_now(state)
        if slot + 1 in slots:
            return slot + 1
        if not slots:
            raise ChangerError("all slots have been loaded", ChangerReason.NOTFOUND)
        following = slots.index(slot) + 1 if slot in slots else 0
        return slots[following % len(slots)]

    def _open(self, name: str) -> IDevice:
        try:
            return self.open_configured(name)
        except DeviceError as error:
            text = f"opening '{name}': {error.text}"
            raise ChangerError(text, ChangerReason.DEVICE) from error

    def give_back(self, held: _Held) -> None:
        """The changer's part of a release; a slot made for nothing goes away again."""
        self._unrecorded[held.drive] = held.slot
        with held.use, self._locked(RELEASE_GRACE):
            if held.created:
                self._remove_if_blank(held.slot)


class _Held:
    """What one reservation holds: a drive entry, a slot, and the mounted disk."""

    def __init__(self, drive: str, slot: int, created: bool, use: ExitStack) -> None:
        self.drive = drive
        self.slot = slot
        self.created = created
        self.use = use


class _VtapeReservation(BlockingReservation):
    """A slot held by this process, as the state file says."""

    def __init__(
        self,
        changer: VtapeChanger,
        held: _Held,
        device: IDevice,
        reading: VolumeReading,
        meta: str | None,
    ) -> None:
        super().__init__(
            changer, str(held.slot), device, reading, lambda eject, another: changer.give_back(held)
        )
        self._vtapes = changer
        self.meta = meta

    def get_meta_label(self) -> str | None:
        return self._vtapes.get_meta_label()

    def set_meta_label(self, meta: str | None) -> None:
        self._vtapes.set_meta_label(meta)
        self.meta = meta


def listed(
    slot: str, label: str | None = None, *, reserved: bool = False, current: bool = False
) -> InventoryEntry:
    """A slot as its file names tell; no volume is opened for an inventory [changers quirk 32]."""
    return InventoryEntry(
        slot=slot,
        state=SlotState.FULL,
        device_status=Status.SUCCESS if label else Status.VOLUME_UNLABELED,
        header_type=HeaderType.TAPESTART if label else HeaderType.EMPTY,
        label=label,
        reserved=reserved,
        current=current,
    )


def _parse_slot(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text)
    raise ChangerError(f"Slot {text} not found", ChangerReason.INVALID, text)


def _check_found(label: str | None, reservation: BlockingReservation) -> None:
    """A file's name is a hint, its header is the truth [changers quirk 32]."""
    found = reservation.reading
    if label is None or found.status is not Status.SUCCESS or found.label == label:
        return
    reservation.release()
    text = f"Found unexpected tape '{found.label}' while looking for '{label}'"
    raise ChangerError(text, ChangerReason.NOTFOUND, reservation.slot)
