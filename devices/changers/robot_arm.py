"""The arm of a library: what it is asked, when, and what the state says of it then [changers 3.8].

Everything here happens while the state file is locked.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import Interface

if TYPE_CHECKING:
    from devices.changers.robot_settings import RobotSettings
    from devices.changers.robot_state import RobotState
    from devices.context import DeviceContext
    from devices.interfaces import IAsyncDevice
    from protocols.library import RobotStatus
    from protocols.twisted_transports.haste import Haste

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


class Arm:
    """Moves volumes and keeps the state true to it.

    :param robot: provides IRobot
    :param haste: shortens all waits when all is to end
    """

    def __init__(
        self, robot: Any, settings: RobotSettings, context: DeviceContext, haste: Haste
    ) -> None:
        self._robot = robot
        self._settings = settings
        self._seconds = context.reactor.seconds
        self._now = context.now
        self._haste = haste
        self._ready_at = self._seconds()
        self._looked = False

    async def refresh(self, state: RobotState) -> None:
        """Ask the robot, unless it was asked a moment ago and nobody else can have moved."""
        now = int(self._now())
        last = _time(state.raw.get("last_status"))
        recent = last <= now < last + self._settings.status_interval
        if self._looked and recent and state.slots:
            return
        await self._wait_for_last_operation(state)
        state.merge(await self._robot.status())
        if not self._looked:
            self._check_drives(state)
        self._looked = True
        state.raw["last_status"] = int(self._now())

    async def refresh_after_failure(self, state: RobotState) -> None:
        """Ask the robot again if a move has failed since it was asked."""
        if not _time(state.raw.get("last_status")):
            await self.refresh(state)

    def _check_drives(self, state: RobotState) -> None:
        for drive, name in self._settings.tape_devices:
            if drive not in state.drives:
                _log.warning("the robot has no drive %s, which should be '%s'", drive, name)

    async def load(self, state: RobotState, slot: str, drive: str) -> None:
        """Put the volume of ``slot`` into ``drive``, which is empty."""
        await self._wait_for_last_operation(state)
        await self._move(state, self._robot.load(slot, drive))
        state.note_loaded(slot, drive)
        self.note_operation(state, 0)

    async def unload(self, state: RobotState, drive: str, slot: str) -> None:
        """Put what is in ``drive`` into ``slot``."""
        await self._wait_for_last_operation(state)
        await self._move(state, self._robot.unload(drive, slot))
        state.note_unloaded(drive, slot)
        self.note_operation(state, self._settings.unload_delay)

    async def transfer(self, state: RobotState, source: str, target: str) -> None:
        """Move a volume from slot to slot."""
        await self._wait_for_last_operation(state)
        await self._move(state, self._robot.transfer(source, target))
        state.note_moved(source, target)
        self.note_operation(state, 0)

    async def _move(self, state: RobotState, moving: Deferred[None]) -> None:
        """After a move that failed or was given up nobody knows what is where: whoever locks the
        state next, of ours or of stock, has to ask."""
        try:
            await moving
        except BaseException:
            state.raw["last_status"] = 0
            raise

    def note_operation(self, state: RobotState, delay: int) -> None:
        """Something was moved or ejected; the next move begins ``delay`` seconds from now."""
        state.raw["last_operation_time"] = int(self._now())
        state.raw["last_operation_delay"] = delay
        self._ready_at = self._seconds() + delay

    async def _wait_for_last_operation(self, state: RobotState) -> None:
        now = int(self._now())
        begun = _time(state.raw.get("last_operation_time"))
        end = begun + _time(state.raw.get("last_operation_delay"))
        left = self._ready_at - self._seconds()  # of our own, whatever the clock says
        if begun <= now < end:  # a clock going backwards does not hold us
            left = max(left, end - now)
        if left > 0:
            await self._haste.pause(left)


def _time(value: Any) -> int:
    """A time or delay in the state, 0 if it is none."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
