"""A library with a robot, whatever its commands travel on [changers 3.8].

The state file, shared with stock programs, is locked during every operation, a whole load
included; its blocking lock and the reading and writing of it are done in a lane.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from devices.changers.base import Changer, Reservation, check_request
from devices.changers.laned_state import LanedState
from devices.changers.robot_arm import Arm
from devices.changers.robot_choice import choose_drive, choose_slot, slots_to_update
from devices.changers.robot_state import RobotState
from devices.changers.state import RELEASE_GRACE
from devices.errors import ChangerError, ChangerReason, DeviceError, Status
from devices.interfaces import (
    ChangerInfo,
    IAsyncDevice,
    InventoryEntry,
    LoadRequest,
    Relative,
    VolumeReading,
)
from devices.registry import split_device_name
from devices.serials import serial_of
from devices.tapelist_file import configured_tapelist
from protocols.twisted_transports.haste import Haste

if TYPE_CHECKING:
    from devices.changers.robot_settings import RobotSettings
    from devices.changers.setup import ChangerSetup


_NO_NAME = re.compile("[^a-zA-Z0-9]+")
_NOT_READY = Status.VOLUME_MISSING | Status.DEVICE_BUSY

_log = logging.getLogger(__name__)


def state_file_name(setup: ChangerSetup) -> str:
    """How stock calls the state file of a robot whose section names none."""
    return _NO_NAME.sub("-", f"chg-{setup.kind}:{setup.argument}")


class RobotChanger(Changer):
    """Slots, drives and a robot.

    :param robot: provides :class:`devices.changers.robot_arm.IRobot`
    """

    def __init__(self, setup: ChangerSetup, settings: RobotSettings, robot: Any) -> None:
        super().__init__(setup)
        self._settings = settings
        self._robot = robot
        context = setup.context
        self._seconds = context.reactor.seconds
        self._haste = context.haste or Haste(context.reactor)
        self._arm = Arm(robot, settings, context, self._haste)
        self._state_file = LanedState(
            setup,
            setup.changerfile or f"{context.statedir}/{state_file_name(setup)}",
            settings.lock_timeout,
        )
        self._vendor: str | None = None

    def _prepare(self, device: IAsyncDevice) -> None:
        self._robot.prepare(device)

    # what every operation is wrapped in

    @asynccontextmanager
    async def _locked(self, grace: float = 0.0, *, look: bool = True) -> AsyncIterator[RobotState]:
        """Hold the state file.

        :param look: bring it up to date first
        """
        async with self._state_file.locked(grace) as data:
            state = RobotState(data, self.setup, self._settings)
            if look:
                await self._arm.refresh(state)
            yield state

    # operations

    async def _load(self, request: LoadRequest) -> Reservation:
        check_request(request)
        async with self._locked() as state:
            slot = choose_slot(state, self._settings, request)
            if request.set_current and request.relative is Relative.NEXT:
                state.set_current(slot)
            drive = await self._bring(state, slot)
            device, reading = await self._read(drive)
            barcode = state.slots[slot].get("barcode")
            try:
                self._check_volume(state, slot, request.label, reading)
                if request.set_current:
                    state.set_current(slot)
                await self._check_barcode(slot, reading.label, barcode)
            except BaseException:
                await self._put_away(device)
                raise
            state.take(drive)

        async def give_back(eject: bool, need_another: bool) -> None:
            await self._in_turn(lambda: self._give_back(drive, eject))

        return Reservation(
            self,
            slot,
            device,
            reading,
            give_back,
            barcode=None if barcode is None else str(barcode),
        )

    async def _bring(self, state: RobotState, slot: str) -> str:
        """Have the volume of ``slot`` in a drive of ours. :return: the drive"""
        drive = state.loaded_in(slot)
        if drive is not None:
            if state.is_held(drive):
                raise ChangerError(
                    f"the requested volume is in use (drive {drive})", ChangerReason.VOLINUSE, slot
                )
            if self._settings.device_of(drive) is None:
                text = (
                    f"the requested volume is in drive {drive}, "
                    "which this changer instance cannot access"
                )
                raise ChangerError(text, ChangerReason.INVALID, slot)
            return drive
        drive = choose_drive(state, self._settings)
        if state.is_drive_full(drive):
            await self._unload(state, drive)
        await self._arm.load(state, slot, drive)
        return drive

    async def _unload(self, state: RobotState, drive: str, target: str | None = None) -> None:
        """Put what is in ``drive`` into ``target``, or where it came from."""
        settings = self._settings
        slot = target or state.in_drive(drive)
        if slot is None:
            raise ChangerError(f"drive '{drive}' is empty", ChangerReason.INVALID)
        if settings.eject_before_unload and settings.device_of(drive) is not None:
            await self._eject_medium(await self._device_of(drive))
            self._arm.note_operation(state, settings.eject_delay)
        await self._arm.unload(state, drive, slot)

    async def _device_of(self, drive: str) -> str:
        """The device of one of our drives: that of its serial number, where one is given."""
        serial = self._settings.serials.get(drive)
        if serial is None:
            return dict(self._settings.tape_devices)[drive]
        found = await self._state_file.in_lane(self._serials)
        for name, its_own in found.items():
            if its_own == serial:
                return name
        told = ", ".join(f"'{name}' {its_own or 'none'}" for name, its_own in found.items())
        text = f"no tape device has the serial number '{serial}' of drive {drive}, but {told}"
        raise ChangerError(text, ChangerReason.DEVICE)

    def _serials(self) -> dict[str, str | None]:
        """Serial numbers by device; blocks."""
        nodes = {
            name: split_device_name(name, self.setup.config)
            for _, name in self._settings.tape_devices
        }
        return {
            name: serial_of(node) if scheme == "tape" else None
            for name, (scheme, node) in nodes.items()
        }

    async def _eject_medium(self, name: str) -> None:
        try:
            device = self._open_configured(name)
            try:
                await device.eject()
            finally:
                await self._put_away(device)
        except DeviceError as error:
            text = f"while ejecting volume: {error.text}"
            raise ChangerError(text, ChangerReason.UNKNOWN) from error

    async def _read(self, drive: str) -> tuple[IAsyncDevice, VolumeReading]:
        """Open the drive's device and read the label, with patience for a volume that settles."""
        name = await self._device_of(drive)
        try:
            device = self._open_configured(name)
        except DeviceError as error:
            raise ChangerError(f"opening '{name}': {error.text}", ChangerReason.DEVICE) from error
        try:
            return device, await self._settled_reading(device)
        except BaseException:
            await self._put_away(device)
            raise

    async def _settled_reading(self, device: IAsyncDevice) -> VolumeReading:
        poll = self._settings.load_poll
        if poll.delay:
            await self._haste.pause(poll.delay)
        end = self._seconds() - poll.delay + poll.until
        while True:
            reading = await device.read_label()
            again = self._seconds() + poll.every
            if not reading.status & _NOT_READY or not poll.every or again > end:
                return reading
            await self._haste.pause(poll.every)

    def _check_volume(
        self, state: RobotState, slot: str, wanted: str | None, reading: VolumeReading
    ) -> None:
        """Record what was found; refuse another volume than the one asked for."""
        state.note_label(slot, reading.label, reading)
        if wanted is not None and reading.label != wanted:
            found = f"unexpected tape '{reading.label}'" if reading.label else "unlabeled tape"
            text = f"Found {found} while looking for '{wanted}'"
            raise ChangerError(text, ChangerReason.NOTFOUND, slot)

    async def _check_barcode(self, slot: str, label: str | None, barcode: object) -> None:
        """Refuse a volume whose label the tapelist knows on a cartridge of another barcode."""
        if not label or not barcode:
            return
        tapelist = await self._state_file.in_lane(configured_tapelist, self.setup.config)
        known = tapelist.lookup(label)
        if known is not None and known.barcode and known.barcode != str(barcode):
            text = (
                f"Slot {slot}, label '{label}', mismatch barcode between changer '{barcode}' "
                f"and tapelist file '{known.barcode}'"
            )
            raise ChangerError(text, ChangerReason.DEVICE, slot)

    async def _give_back(self, drive: str, eject: bool) -> None:
        """The changer's part of a release, which a robot that does not answer cannot keep back."""
        async with self._locked(RELEASE_GRACE, look=False) as state:
            if drive not in state.drives or not state.is_ours(drive):
                raise ChangerError("reservation belongs to another instance")
            state.drop(drive)
            if not eject:
                return
            await self._arm.refresh(state)
            if state.is_drive_full(drive):  # else somebody was quicker
                await self._unload(state, drive)

    async def _vendor_string(self) -> str:
        """Who made the robot: for people only, so not knowing it stops nothing."""
        if self._vendor is None:
            try:
                self._vendor = await self._robot.vendor()
            except ChangerError as error:
                _log.warning("%s: the robot does not say who made it: %s", self.name, error)
        return self._vendor or ""

    async def _info(self) -> ChangerInfo:
        vendor = await self._vendor_string()
        async with self._locked() as state:
            slots = tuple(slot for slot in state.slot_numbers() if self._settings.allows(slot))
        return ChangerInfo(
            num_slots=len(slots),
            slots=slots,
            vendor_string=vendor,
            fast_search=self._settings.fast_search,
        )

    async def _inventory(self) -> list[InventoryEntry]:
        async with self._locked() as state:
            return state.inventory()

    async def _reset(self) -> None:
        async with self._locked() as state:
            state.set_current(next(iter(state.usable_slots()), None))

    async def _eject(self, drive: str | None) -> None:
        """Unload a drive; which one may be left out where there is only one."""
        async with self._locked() as state:
            drives = [number for number, _ in self._settings.tape_devices]
            if drive is None:
                if len(drives) != 1:
                    raise ChangerError("no drive specified", ChangerReason.INVALID)
                drive = drives[0]
            if drive not in state.drives:
                raise ChangerError(f"invalid drive '{drive}'", ChangerReason.INVALID)
            if drive not in drives:
                text = f"this changer instance is not configured to access drive {drive}"
                raise ChangerError(text, ChangerReason.INVALID)
            if state.is_held(drive):
                text = f"tape in drive '{drive}' is in use"
                raise ChangerError(text, ChangerReason.VOLINUSE)
            if not state.is_drive_full(drive):
                raise ChangerError(f"drive '{drive}' is empty", ChangerReason.INVALID)
            await self._unload(state, drive)

    async def _update(self, changed: str | None) -> None:
        """``N=LABEL`` records, ``RANGES=`` forgets, ``RANGES`` or None looks."""
        async with self._locked() as state:
            work = slots_to_update(state, self._settings, changed)
            if work.label is not None:
                state.record_label(work.slots[0], work.label)
                return
            for slot in work.slots:
                if work.forget:
                    state.forget(slot)
                    continue
                try:
                    await self._look_into(state, slot)
                except ChangerError as error:  # the other slots may be well
                    _log.warning("slot %s is not looked at: %s", slot, error)

    async def _look_into(self, state: RobotState, slot: str) -> None:
        await self._arm.refresh_after_failure(state)
        drive = await self._bring(state, slot)
        device, reading = await self._read(drive)
        await self._put_away(device)
        state.note_label(slot, reading.label, reading)

    async def _move(self, source: str, target: str) -> None:
        async with self._locked() as state:
            for slot in (source, target):
                if slot not in state.slots or not self._settings.allows(slot):
                    raise ChangerError(f"invalid slot {slot}", ChangerReason.INVALID, slot)
            if not state.is_full(source):
                raise ChangerError(f"slot {source} is empty", ChangerReason.INVALID, source)
            drive = state.loaded_in(source)
            if drive is not None and state.is_held(drive):
                text = f"slot {source} is currently loaded and reserved"
                raise ChangerError(text, ChangerReason.INVALID, source)
            if state.is_full(target):
                raise ChangerError(f"slot {target} is not empty", ChangerReason.INVALID, target)
            if drive is None:
                await self._arm.transfer(state, source, target)
            else:
                await self._unload(state, drive, target)

    async def note_label(self, slot: str, label: str | None) -> None:
        async def note() -> None:
            async with self._locked(look=False) as state:
                if slot in state.slots:
                    state.note_label(slot, label, None)

        await self._in_turn(note)

    async def note_error(self, slot: str, reading: VolumeReading) -> None:
        async def note() -> None:
            async with self._locked(look=False) as state:
                if slot in state.slots:
                    state.note_error(slot, reading)

        await self._in_turn(note)

    async def _settle(self) -> None:
        await super()._settle()
        await self._state_file.settle()

    async def _end(self) -> None:
        await self._state_file.stop()
