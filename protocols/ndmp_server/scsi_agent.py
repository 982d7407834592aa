"""The SCSI requests: a medium changer [ndmp 3.12], [ndmp-server 5]."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocols.ndmp import messages as m
from protocols.ndmp.codes import ErrorCode
from protocols.ndmp_server import smc
from protocols.ndmp_server.interfaces import MoveRefused, Refused, Robot, Shelf

if TYPE_CHECKING:
    from protocols.ndmp_server.session import Session

_LONGEST_CDB = 16
_MOST_FLAGS = 2


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
        cdb = bytes(request.cdb)
        if not request.timeout and self._session.profile.timeout_needed:
            raise Refused(ErrorCode.TIMEOUT)
        if not 1 <= len(cdb) <= _LONGEST_CDB or request.flags > _MOST_FLAGS:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        try:
            datain = (await self._execute(robot, cdb))[: request.datain_length]
        except MoveRefused as fault:
            sense = smc.sense_data(fault.args[0])
            return m.ExecuteCdbReply(status=smc.CHECK_CONDITION, ext_sense=sense)
        return m.ExecuteCdbReply(datain=datain)

    async def _execute(self, robot: Robot, cdb: bytes) -> bytes:
        command = cdb[0]
        if smc.NO_DATA.get(command) == len(cdb):
            return b""
        if command == smc.INQUIRY and len(cdb) == 6:
            own = self._session.house.identity
            return smc.inquiry(own.vendor, own.product)
        if command == smc.ELEMENT_STATUS and len(cdb) == 12:
            return smc.element_status(await robot.look(), cdb)
        if command == smc.MOVE_MEDIUM and len(cdb) == 12:
            source, target = (int.from_bytes(cdb[at : at + 2], "big") for at in (4, 6))
            await self._move(robot, source, target)
            return b""
        raise MoveRefused(smc.BAD_COMMAND)

    async def _move(self, robot: Robot, source: int, target: int) -> None:
        contents = await robot.look()
        places = [smc.element(address) for address in (source, target)]
        held: list[object] = []
        for place in places:
            row = None
            if place is not None:
                row = contents.drives if place.kind is Shelf.DRIVE else contents.slots
            if place is None or row is None or place.number >= len(row):
                raise MoveRefused(smc.BAD_ADDRESS)
            held.append(row[place.number])
        if held[1] is not None and source != target:
            raise MoveRefused(smc.DESTINATION_FULL)
        if held[0] is None:
            raise MoveRefused(smc.SOURCE_EMPTY)
        for place in places:
            in_use = place is not None and place.kind is Shelf.DRIVE
            if place is not None and in_use and robot.drives[place.number].user is not None:
                self._refuse_used()
        if source != target and places[0] is not None and places[1] is not None:
            await robot.move(places[0], places[1])

    def _refuse_used(self) -> None:
        if self._session.profile.busy_drive_refused:
            raise Refused(ErrorCode.DEVICE_BUSY)
        raise MoveRefused(smc.REMOVAL_PREVENTED)
