"""A library with a robot, whatever its commands travel on [changers 3.8].

The state file, shared with stock programs, is locked during every operation, a whole load
included; its blocking lock and the reading and writing of it are done in a lane.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import Interface

from devices.changers.base import Changer, Reservation, check_request
from devices.changers.laned_state import LanedState
from devices.changers.robot_choice import choose_drive, choose_slot, slots_to_update
from devices.changers.robot_settings import read_settings
from devices.changers.robot_state import RobotState, RobotStatus
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
from protocols.twisted_transports.haste import Haste

if TYPE_CHECKING:
    from devices.changers.base import ChangerSetup


_NOT_READY = Status.VOLUME_MISSING | Status.DEVICE_BUSY

_log = logging.getLogger(__name__)


class IRobot(Interface):
    """The arm of a library. Operations fail with :class:`devices.errors.ChangerError`."""

    def status() -> Deferred[RobotStatus]:
        """What is where."""

    def load(slot: str, drive: str) -> Deferred[None]:
        """Put the volume of a slot into a drive."""

    def unload(drive: str, slot: str) -> Deferred[None]:
        """Put the volume in a drive into a slot."""

    def transfer(source: str, target: str) -> Deferred[None]:
        """Move a volume from slot to slot."""

    def vendor() -> Deferred[str]:
        """Who made it, for people."""

    def prepare(device: IAsyncDevice) -> None:
        """Set what a drive's device must know of the way to the robot."""


class RobotChanger(Changer):
    """Slots, drives and a robot.

    :param robot: provides IRobot
    :param default_state: path of the state file where the section names none
    :raise ChangerError: fatal: a property says something impossible
    """

    def __init__(self, setup: ChangerSetup, robot: Any, default_state: str) -> None:
        super().__init__(setup)
        self._settings = read_settings(setup)
        self._robot = robot
        context = setup.context
        self._reactor = context.reactor
        self._haste = context.haste or Haste(context.reactor)
        self._now = context.now
        self._ready_at = context.reactor.seconds()
        self._state_file = LanedState(
            setup, setup.changerfile or default_state, self._settings.lock_timeout
        )
        self._looked = False

    def _prepare(self, device: IAsyncDevice) -> None:
        self._robot.prepare(device)

    # what every operation is wrapped in

    @asynccontextmanager
    async def _locked(self, grace: float = 0.0) -> AsyncIterator[RobotState]:
        """Hold the state file, brought up to date."""
        async with self._state_file.locked(grace) as data:
            state = RobotState(data, self.setup, self._settings)
            await self._refresh(state)
            yield state

    async def _refresh(self, state: RobotState) -> None:
        """Ask the robot, unless it was asked a moment ago and nobody else can have moved."""
        now = int(self._now())
        last = _time(state.raw.get("last_status"))
        recent = last <= now < last + self._settings.status_interval
        if self._looked and recent and state.slots:
            return
        await self._wait_for_last_operation(state)
        state.merge(await self._robot.status())
        self._looked = True
        state.raw["last_status"] = int(self._now())

    async def _wait_for_last_operation(self, state: RobotState) -> None:
        now = int(self._now())
        begun = _time(state.raw.get("last_operation_time"))
        end = begun + _time(state.raw.get("last_operation_delay"))
        left = self._ready_at - self._reactor.seconds()  # of our own, whatever the clock says
        if begun <= now < end:  # a clock going backwards does not hold us
            left = max(left, end - now)
        if left > 0:
            await self._pause(left)

    async def _pause(self, seconds: float) -> None:
        over: Deferred[None] = Deferred(lambda _: timer.cancel())
        timer = self._haste.call_later(seconds, over.callback, None)
        await over

    def _note_operation(self, state: RobotState, delay: int) -> None:
        state.raw["last_operation_time"] = int(self._now())
        state.raw["last_operation_delay"] = delay
        self._ready_at = self._reactor.seconds() + delay

    # operations

    async def _load(self, request: LoadRequest) -> Reservation:
        check_request(request)
        async with self._locked() as state:
            slot = choose_slot(state, self._settings, request)
            if request.set_current and request.relative is Relative.NEXT:
                state.set_current(slot)
            drive = await self._bring(state, slot)
            device, reading = await self._read(drive)
            try:
                self._check_volume(state, slot, request.label, reading)
            except BaseException:
                await self._put_away(device)
                raise
            if request.set_current:
                state.set_current(slot)
            state.take(drive)
            barcode = state.slots[slot].get("barcode")

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
        await self._wait_for_last_operation(state)
        await self._robot.load(slot, drive)
        self._note_operation(state, 0)
        state.note_loaded(slot, drive)
        return drive

    async def _unload(self, state: RobotState, drive: str, target: str | None = None) -> None:
        """Put what is in ``drive`` into ``target``, or where it came from."""
        settings = self._settings
        slot = target or state.in_drive(drive)
        if slot is None:
            raise ChangerError(f"drive '{drive}' is empty", ChangerReason.INVALID)
        name = settings.device_of(drive)
        if settings.eject_before_unload and name is not None:
            await self._eject_medium(name)
            self._note_operation(state, settings.eject_delay)
        await self._wait_for_last_operation(state)
        await self._robot.unload(drive, slot)
        state.note_unloaded(drive, slot)
        self._note_operation(state, settings.unload_delay)

    async def _eject_medium(self, name: str) -> None:
        try:
            device = self._open_configured(name)
            try:
                await device.eject()
            finally:
                await self._put_away(device)
        except DeviceError as error:
            text = f"while ejecting '{name}': {error.text}"
            raise ChangerError(text, ChangerReason.DEVICE) from error

    async def _read(self, drive: str) -> tuple[IAsyncDevice, VolumeReading]:
        """Open the drive's device and read the label, with patience for a volume that settles."""
        name = self._settings.device_of(drive)
        assert name is not None, "only drives of ours are chosen"
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
            await self._pause(poll.delay)
        end = self._reactor.seconds() - poll.delay + poll.until
        while True:
            reading = await device.read_label()
            again = self._reactor.seconds() + poll.every
            if not reading.status & _NOT_READY or not poll.every or again > end:
                return reading
            await self._pause(poll.every)

    def _check_volume(
        self, state: RobotState, slot: str, wanted: str | None, reading: VolumeReading
    ) -> None:
        """Record what was found; refuse another volume than the one asked for."""
        state.note_label(slot, reading.label, reading)
        if wanted is not None and reading.label != wanted:
            found = f"unexpected tape '{reading.label}'" if reading.label else "unlabeled tape"
            text = f"Found {found} while looking for '{wanted}'"
            raise ChangerError(text, ChangerReason.NOTFOUND, slot)

    async def _give_back(self, drive: str, eject: bool) -> None:
        """The changer's part of a release."""
        async with self._locked(RELEASE_GRACE) as state:
            if drive not in state.drives or not state.is_ours(drive):
                raise ChangerError("reservation belongs to another instance")
            state.drop(drive)
            if eject:
                await self._unload(state, drive)

    async def _info(self) -> ChangerInfo:
        vendor = await self._robot.vendor()
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
            if drive not in drives or drive not in state.drives:
                raise ChangerError(f"invalid drive '{drive}'", ChangerReason.INVALID)
            if state.is_held(drive):
                text = f"tape in drive '{drive}' is in use"
                raise ChangerError(text, ChangerReason.DRIVEINUSE)
            if not state.is_drive_full(drive):
                raise ChangerError(f"drive '{drive}' is empty", ChangerReason.INVALID)
            await self._unload(state, drive)

    async def _update(self, changed: str | None) -> None:
        """``N=LABEL`` records, ``RANGES=`` forgets, ``RANGES`` or None looks."""
        async with self._locked() as state:
            work = slots_to_update(state, self._settings, changed)
            for slot in work.recorded:
                state.note_label(slot, work.label, None)
            for slot in work.forgotten:
                state.forget(slot)
            for slot in work.looked_at:
                await self._look_into(state, slot)

    async def _look_into(self, state: RobotState, slot: str) -> None:
        try:
            drive = await self._bring(state, slot)
        except ChangerError as error:
            if error.reason is not ChangerReason.VOLINUSE:
                raise
            _log.info("slot %s is not looked at: %s", slot, error.message)
            return
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
            if state.is_full(target):
                raise ChangerError(f"slot {target} is not empty", ChangerReason.INVALID, target)
            drive = state.loaded_in(source)
            if drive is None:
                await self._wait_for_last_operation(state)
                await self._robot.transfer(source, target)
                state.note_moved(source, target)
                self._note_operation(state, 0)
            elif state.is_held(drive):
                text = f"slot {source} is currently loaded"
                raise ChangerError(text, ChangerReason.VOLINUSE, source)
            else:
                await self._unload(state, drive, target)

    async def note_label(self, slot: str, label: str | None) -> None:
        async def note() -> None:
            async with self._locked() as state:
                if slot in state.slots:
                    state.note_label(slot, label, None)

        await self._in_turn(note)

    async def note_error(self, slot: str, reading: VolumeReading) -> None:
        async def note() -> None:
            async with self._locked() as state:
                if slot in state.slots:
                    state.note_error(slot, reading)

        await self._in_turn(note)

    async def _settle(self) -> None:
        await super()._settle()
        await self._state_file.settle()

    async def _end(self) -> None:
        await self._state_file.stop()


def _time(value: Any) -> int:
    """A time or delay in the state, 0 if it is none."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
