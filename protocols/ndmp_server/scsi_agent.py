"""The SCSI requests: a medium changer [ndmp 3.12], [ndmp-server 5]."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocols.ndmp import messages as m
from protocols.ndmp.codes import ErrorCode
from protocols.ndmp_server import commands, smc
from protocols.ndmp_server.interfaces import CheckCondition, Refused, Robot, Shelf

if TYPE_CHECKING:
    from protocols.ndmp_server.session import Session


class ScsiAgent:
    """The changer of a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._robot: Robot | None = None

    @property
    def is_open(self) -> bool:
        return self._robot is not None

    def release(self) -> None:
        """Close the device, if one is open."""
        if self._robot is not None:
            self._robot.user = None
        self._robot = None

    def scsi_open(self, request: m.ScsiOpen) -> m.ErrorReply:
        if self.is_open or self._session.tape.drive is not None:
            raise Refused(ErrorCode.DEVICE_OPENED)
        robot = self._session.house.robots.get(request.device)
        if robot is None:
            raise Refused(ErrorCode.NO_DEVICE)
        if robot.user is not None:
            raise Refused(ErrorCode.DEVICE_BUSY)
        self._robot, robot.user = robot, self._session
        return m.ErrorReply()

    def _opened(self) -> Robot:
        if self._robot is None:
            raise Refused(ErrorCode.DEV_NOT_OPEN)
        return self._robot

    def scsi_close(self, request: m.ScsiClose) -> m.ErrorReply:
        self._opened()
        self.release()
        return m.ErrorReply()

    def scsi_get_state(self, request: m.ScsiGetState) -> m.ScsiGetStateReply:
        self._opened()
        return m.ScsiGetStateReply()

    def scsi_reset_device(self, request: m.ScsiResetDevice) -> m.ErrorReply:
        self._opened()
        return m.ErrorReply()

    async def scsi_execute_cdb(self, request: m.ScsiExecuteCdb) -> m.ExecuteCdbReply:
        robot = self._opened()
        profile = self._session.profile
        return await commands.executed(request, profile, lambda cdb: self._execute(robot, cdb))

    async def _execute(self, robot: Robot, cdb: bytes) -> bytes:
        match cdb[0], len(cdb):
            case ((commands.TEST_UNIT_READY | commands.INITIALIZE), 6):
                return b""
            case commands.REQUEST_SENSE, 6:
                return commands.no_sense(cdb)
            case commands.INQUIRY, 6:
                own = self._session.house.identity
                return commands.inquiry(commands.CHANGER, own.vendor, own.product, cdb)
            case (commands.MODE_SENSE, 6) | (commands.MODE_SENSE_10, 10):
                return smc.addresses(await robot.look(), cdb)
            case commands.ELEMENT_STATUS, 12:
                return smc.element_status(await robot.look(), cdb)
            case commands.MOVE_MEDIUM, 12:
                source, target = (int.from_bytes(cdb[at : at + 2], "big") for at in (4, 6))
                await self._move(robot, source, target)
                return b""
        raise CheckCondition(commands.BAD_COMMAND)

    async def _move(self, robot: Robot, source: int, target: int) -> None:
        contents = await robot.look()
        places = [smc.element(address) for address in (source, target)]
        held: list[object] = []
        for place in places:
            row = None
            if place is not None:
                row = contents.drives if place.kind is Shelf.DRIVE else contents.slots
            if place is None or row is None or place.number >= len(row):
                raise CheckCondition(commands.BAD_ADDRESS)
            held.append(row[place.number])
        if held[1] is not None and source != target:
            raise CheckCondition(commands.DESTINATION_FULL)
        if held[0] is None:
            raise CheckCondition(commands.SOURCE_EMPTY)
        for place in places:
            in_use = place is not None and place.kind is Shelf.DRIVE
            if place is not None and in_use and robot.drives[place.number].user is not None:
                self._refuse_used()
        if source != target and places[0] is not None and places[1] is not None:
            await robot.move(places[0], places[1])

    def _refuse_used(self) -> None:
        if self._session.profile.busy_drive_refused:
            raise Refused(ErrorCode.DEVICE_BUSY)
        raise CheckCondition(commands.REMOVAL_PREVENTED)
