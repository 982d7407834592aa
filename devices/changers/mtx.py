"""chg-robot: a library whose robot is moved by the program ``mtx`` [changers 3.8]."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import implementer

from devices.changers.robot import RobotChanger
from devices.changers.robot_arm import IRobot
from devices.changers.robot_settings import read_settings
from devices.errors import ChangerError, ChangerReason
from devices.programs import Ended, ProgramFailed, Programs, find_program
from protocols import mtx
from protocols.mtx import MAX_OUTPUT, MtxError
from protocols.twisted_transports.haste import Haste

if TYPE_CHECKING:
    from devices.changers.setup import ChangerSetup
    from devices.interfaces import IAsyncDevice
    from protocols.library import RobotStatus

MTX = "/usr/sbin/mtx"
"""Where stock looks for it, if no property says otherwise."""

# Seconds. Longer than mtx itself gives a SCSI command, which is 300: killing mtx stops no arm.
_STATUS, _MOVE = 600.0, 900.0

_TRIES, _PAUSE = 120, 1.0
_NOT_YET = ("Not Ready", "No Sense")
"""Sense keys of a robot that is still looking round, say after a door was opened."""

_log = logging.getLogger(__name__)


def open_robot_changer(setup: ChangerSetup) -> RobotChanger:
    """The changer as the registry opens it.

    :raise ChangerError: fatal: there is no such robot, or a property says something impossible
    """
    settings = read_settings(setup)
    device = setup.argument
    programs = setup.values("mtx")
    if len(programs) > 1:
        setup.refuse("mtx", "only one value allowed for 'mtx'", "the path of one program")
    wanted = programs[0] if programs else MTX
    if not os.path.exists(device):
        expected = "the robot's SCSI generic device, such as chg-robot:/dev/sg3,"
        setup.refuse("tpchanger", f"'{device}' not found", expected)
    program = find_program(wanted)
    if program is None:
        setup.refuse("mtx", f"'{wanted}' not found", "the path of the program mtx")
    context = setup.context
    haste = context.haste or Haste(context.reactor)
    robot = MtxRobot(
        *(Programs(context.reactor, haste), haste, program, device),
        barcodes=not settings.ignore_barcodes,
    )
    return RobotChanger(setup, settings, robot)


@implementer(IRobot)
class MtxRobot:
    """A SCSI media changer of this host, by way of mtx.

    :param programs: runs mtx, as :class:`devices.programs.Programs`
    :param haste: shortens all waits when all is to end
    :param program: path of mtx
    :param device: of the robot
    :param barcodes: whether it reads them
    """

    def __init__(
        self, programs: Programs, haste: Haste, program: str, device: str, *, barcodes: bool
    ) -> None:
        self._programs = programs
        self._haste = haste
        self._program = program
        self._device = device
        self._barcodes = barcodes

    def prepare(self, device: IAsyncDevice) -> None:
        """Drives need know nothing of the robot."""

    def status(self) -> Deferred[RobotStatus]:
        return Deferred.fromCoroutine(self._status())

    async def _status(self) -> RobotStatus:
        arguments = mtx.status_arguments(self._device, barcodes=self._barcodes)
        ended = await self._run(arguments, _STATUS, ChangerReason.INVALID)
        for _ in range(_TRIES - 1):
            waiting = ended.status and mtx.sense_key(ended.output) in _NOT_YET
            if not waiting or self._haste.begun:
                break
            await self._haste.pause(_PAUSE)
            ended = await self._run(arguments, _STATUS, ChangerReason.INVALID)
        if ended.status != 0:
            text = mtx.describe_failure(ended.output, ended.how, of_status=True)
            raise ChangerError(text, ChangerReason.INVALID)
        try:
            return mtx.parse_status(ended.output, barcodes=self._barcodes)
        except MtxError as error:
            raise ChangerError(f"error from mtx: {error}", ChangerReason.INVALID) from error

    def load(self, slot: str, drive: str) -> Deferred[None]:
        return self._move("load", slot, drive)

    def unload(self, drive: str, slot: str) -> Deferred[None]:
        return self._move("unload", slot, drive)

    def transfer(self, source: str, target: str) -> Deferred[None]:
        return self._move("transfer", source, target)

    def _move(self, move: str, first: str, second: str) -> Deferred[None]:
        async def do() -> None:
            try:
                arguments = mtx.move_arguments(self._device, move, first, second)
            except MtxError as error:
                raise ChangerError(str(error), ChangerReason.UNKNOWN) from error
            ended = await self._run(arguments, _MOVE, ChangerReason.UNKNOWN)
            if ended.status != 0:
                text = mtx.describe_failure(ended.output, ended.how)
                raise ChangerError(text, ChangerReason.UNKNOWN)

        return Deferred.fromCoroutine(do())

    def vendor(self) -> Deferred[str]:
        return Deferred.fromCoroutine(self._vendor())

    async def _vendor(self) -> str:
        ended = await self._run(mtx.inquiry_arguments(self._device), _STATUS, ChangerReason.UNKNOWN)
        if ended.status != 0:
            text = mtx.describe_failure(ended.output, ended.how)
            raise ChangerError(text, ChangerReason.UNKNOWN)
        return mtx.parse_inquiry(ended.output)

    async def _run(self, arguments: list[str], seconds: float, reason: ChangerReason) -> Ended:
        words = [self._program, *arguments]
        _log.debug("running %s", words)
        try:
            return await self._programs.run(words, seconds=seconds, most=MAX_OUTPUT)
        except ProgramFailed as error:
            raise ChangerError(f"error from mtx: {error}", reason) from error
