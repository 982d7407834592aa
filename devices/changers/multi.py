"""chg-multi: several devices, each a slot of its own [changers 3.5]."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from devices.changers.base import Changer, Reservation, check_request, surely
from devices.changers.laned_state import LanedState
from devices.changers.multi_state import MultiState
from devices.changers.setup import ChangerSetup
from devices.changers.state import RELEASE_GRACE
from devices.errors import ChangerError, ChangerReason, DeviceError
from devices.interfaces import ChangerInfo, InventoryEntry, LoadRequest, Relative, VolumeReading
from devices.registry import import_devices
from protocols.braces import BraceError, expand_braces

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice

_RANGE = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")

_log = logging.getLogger(__name__)


class MultiChanger(Changer):
    """Slots that are devices; who uses one, and what is in it, is written in the state file.

    :raise ChangerError: fatal: the name is no list of devices, or there is no place for the state
    """

    def __init__(self, setup: ChangerSetup) -> None:
        super().__init__(setup)
        first = setup.integer("first-slot", 1)
        names = _device_names(setup)
        self._names = {str(slot): name for slot, name in enumerate(names, first or 0)}
        self._devices = {slot: _unaliased(setup, name) for slot, name in self._names.items()}
        self._slots = {device: slot for slot, device in self._devices.items()}
        import_devices(names, setup.config)
        self._current_slot: str | None = None
        # reservations whose release could not be recorded [changers quirk 20]
        self._unrecorded: set[str] = set()
        config = setup.config
        path = setup.changerfile or config.general.changerfile
        if not path:
            raise setup.mistake(
                f"no changerfile specified for changer '{setup.name}'",
                "the name of a state file, as parameter 'changerfile',",
            )
        self._state_file = LanedState(setup, config.path(path), setup.lock_timeout())

    @asynccontextmanager
    async def _locked(self, grace: float = 0.0) -> AsyncIterator[MultiState]:
        async with self._state_file.locked(grace) as data:
            state = MultiState(data, self.setup)
            unrecorded = set(self._unrecorded)
            for device in unrecorded:
                state.drop(device)
            yield state
        self._unrecorded -= unrecorded

    # which slot

    def _current(self, state: MultiState) -> str:
        """The current slot: as this changer last set it, else as the state says, else the first."""
        if self._current_slot is not None:
            return self._current_slot
        found = (self._slots.get(str(device)) for device in state.current() if device is not None)
        return next((slot for slot in found if slot is not None), next(iter(self._names)))

    def _set_current(self, state: MultiState, slot: str) -> None:
        self._current_slot = slot
        state.set_current(self._devices[slot])

    def _next(self, slot: str) -> str:
        slots = list(self._names)
        return slots[(slots.index(slot) + 1) % len(slots)] if slot in slots else slots[0]

    def _choose(self, state: MultiState, request: LoadRequest) -> str:
        """The slot asked for, which exists and is free."""
        if request.label is not None:
            device = state.find(request.label, self._slots)
            if device is None:
                raise ChangerError(f"Label '{request.label}' not found", ChangerReason.NOTFOUND)
            slot = self._slots[device]
        elif request.slot is not None:
            slot = request.slot
        elif request.relative is Relative.CURRENT:
            slot = self._current(state)
        else:
            slot = self._next(self._current(state) if request.after is None else request.after)
            if request.set_current:
                self._set_current(state, slot)
        if slot in request.except_slots:
            raise ChangerError("all slots have been loaded", ChangerReason.NOTFOUND)
        if slot not in self._devices:
            raise ChangerError(f"Slot {slot} not defined", ChangerReason.NOTFOUND, slot)
        self._check_free(state, slot)
        return slot

    def _check_free(self, state: MultiState, slot: str) -> None:
        pid = state.holder(self._devices[slot])
        if pid is not None:
            text = f"Slot {slot} is already in use by process '{pid}'"
            raise ChangerError(text, ChangerReason.VOLINUSE, slot)

    # operations

    async def _load(self, request: LoadRequest) -> Reservation:
        check_request(request)
        async with self._locked() as state:
            slot = self._choose(state, request)
            if request.set_current:
                self._set_current(state, slot)
            state.take(self._devices[slot])
        try:
            device, reading = await self._look_into(slot)
            try:
                _check_found(request.label, slot, reading)
            except ChangerError:
                await self._put_away(device)
                raise
        except BaseException:
            await surely(self._drop(slot))
            raise

        async def give_back(eject: bool, need_another: bool) -> None:
            await self._give_back(slot, device, eject)

        return Reservation(self, slot, device, reading, give_back)

    async def _look_into(self, slot: str) -> tuple[IAsyncDevice, VolumeReading]:
        """Open the device of a slot that is ours, and record what is in it."""
        device = self._open(slot, f"opening '{slot}': ")
        try:
            reading = await device.read_label()
            async with self._locked() as state:
                state.note_reading(self._devices[slot], reading)
        except BaseException:
            await self._put_away(device)
            raise
        return device, reading

    def _open(self, slot: str, prefix: str = "") -> IAsyncDevice:
        try:
            return self._open_configured(self._names[slot])
        except DeviceError as error:
            text = self.setup.placed(f"{prefix}{error.text}")
            raise ChangerError(text, ChangerReason.DEVICE) from error

    async def _drop(self, slot: str) -> None:
        """Let others have the slot; if that cannot be recorded now, then later."""
        self._unrecorded.add(self._devices[slot])
        async with self._locked(RELEASE_GRACE):
            pass  # taking the lock records it

    async def _give_back(self, slot: str, device: IAsyncDevice, eject: bool) -> None:
        """The changer's part of a release."""
        try:
            if eject:
                await device.eject()
        except DeviceError as error:
            _log.warning("cannot eject '%s': %s", self._names[slot], error)
        finally:
            await self._drop(slot)

    async def _info(self) -> ChangerInfo:
        return ChangerInfo(
            num_slots=len(self._names), slots=tuple(self._names), vendor_string="chg-multi"
        )

    async def _inventory(self) -> list[InventoryEntry]:
        async with self._locked() as state:
            current = self._current(state)
            return [
                state.told(slot, device, current=slot == current)
                for slot, device in self._devices.items()
            ]

    async def _reset(self) -> None:
        async with self._locked() as state:
            state.forget_all()
            self._set_current(state, next(iter(self._names)))

    async def _eject(self, drive: str | None) -> None:
        async with self._locked() as state:
            slot = self._current(state) if drive is None else drive
            if slot not in self._devices:
                raise ChangerError(f"Invalid slot '{slot}'", ChangerReason.INVALID, slot)
            self._check_free(state, slot)
            state.take(self._devices[slot])
        try:
            device = self._open(slot)
            try:
                await device.eject()
            except DeviceError as error:
                raise ChangerError(error.text, ChangerReason.INVALID, slot) from error
            finally:
                await self._put_away(device)
        finally:
            await surely(self._drop(slot))

    async def _update(self, changed: str | None) -> None:
        """``N=LABEL`` records, ``RANGES=`` forgets, ``RANGES`` or None looks [changers 2.2]."""
        ranges, equals, label = (changed or "").partition("=")
        async with self._locked() as state:
            slots = self._slots_of(state, ranges) if ranges else list(self._names)
            if label:
                if len(slots) != 1:
                    text = f"slot '{ranges}': Invalid slot"
                    raise ChangerError(text, ChangerReason.INVALID, ranges)
                state.record(self._devices[slots[0]], label)
                return
            free = [slot for slot in slots if self._is_free(state, slot)]
            if equals:
                for slot in free:
                    state.forget(self._devices[slot])
                return
        for slot in free:
            await self._look_again(slot)

    def _slots_of(self, state: MultiState, ranges: str) -> list[str]:
        """The slots that ``1-3,5,error`` names.

        :raise ChangerError: one that is named cannot be
        """
        named: set[str] = set()
        for item in ranges.split(","):
            if item == "error":
                wanted = [s for s, device in self._devices.items() if state.is_in_error(device)]
            else:
                wanted = self._range(item.strip())
            named.update(wanted)
        return [slot for slot in self._names if slot in named]

    def _range(self, item: str) -> list[str]:
        match = _RANGE.fullmatch(item)
        if match is None:
            what = "slots range" if "-" in item else "slot"
            raise ChangerError(f"slot '{item}': Invalid {what}", ChangerReason.INVALID, item)
        first, last = int(match[1]), int(match[2] or match[1])
        found = [slot for slot in self._names if first <= int(slot) <= last]
        if not found:
            raise ChangerError(f"slot '{item}': Does not exist", ChangerReason.INVALID, item)
        return found

    def _is_free(self, state: MultiState, slot: str) -> bool:
        try:
            self._check_free(state, slot)
        except ChangerError as error:
            _log.info("slot %s is not looked at: %s", slot, error)
            return False
        return True

    async def _look_again(self, slot: str) -> None:
        """Load it and let it go, unless somebody has it now."""
        try:
            reservation = await self._load(LoadRequest(slot=slot))
        except ChangerError as error:
            if error.reason is not ChangerReason.VOLINUSE:
                raise
            _log.info("slot %s is not looked at: %s", slot, error)
            return
        await reservation.release()

    async def note_label(self, slot: str, label: str | None) -> None:
        async with self._locked() as state:
            state.note_label(self._devices[slot], label)

    async def note_error(self, slot: str, reading: VolumeReading) -> None:
        async with self._locked() as state:
            state.note_error(self._devices[slot], reading)

    async def _settle(self) -> None:
        await super()._settle()
        await self._state_file.settle()

    async def _end(self) -> None:
        try:
            if self._unrecorded:
                async with self._locked(RELEASE_GRACE):
                    pass  # taking the lock records them
        finally:
            await self._state_file.stop()


def _device_names(setup: ChangerSetup) -> tuple[str, ...]:
    text = f"no devices specified by 'chg-multi:{setup.argument}'"
    expected = "a list of devices, such as chg-multi:{file:/a,file:/b} or chg-multi:file:/a{1..9},"
    try:
        names = expand_braces(setup.argument)
    except BraceError as error:
        raise setup.mistake(f"{text}: {error}", expected) from error
    if not all(names):
        raise setup.mistake(text, expected)
    return names


def _unaliased(setup: ChangerSetup, name: str) -> str:
    """What the state file calls the device: what an alias stands for, or the name as it is."""
    section = setup.config.device(name)
    return name if section is None else section.tapedev or name


def _check_found(label: str | None, slot: str, reading: VolumeReading) -> None:
    """The state may be old; the volume's own label is the truth [changers quirk 23]."""
    if label is None or reading.label == label:
        return
    found = f"unexpected tape '{reading.label}'" if reading.label else "unlabeled tape"
    text = f"Found {found} while looking for '{label}'"
    raise ChangerError(text, ChangerReason.NOTFOUND, slot)
