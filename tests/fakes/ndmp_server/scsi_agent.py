"""The SCSI requests: a medium changer [ndmp 3.12, 5.4]."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocols.ndmp import messages as m
from protocols.ndmp.codes import ErrorCode
from tests.fakes.medium import Medium
from tests.fakes.ndmp_server.drives import Refused, Robot

if TYPE_CHECKING:
    from tests.fakes.ndmp_server.session import Session

ARM = 16
FIRST_DRIVE = 128
FIRST_SLOT = 1024
_TEST_UNIT_READY, _INQUIRY, _MOVE_MEDIUM, _ELEMENT_STATUS = 0x00, 0x12, 0xA5, 0xB8
_PAGE_ARM, _PAGE_SLOT, _PAGE_DRIVE = 1, 2, 4
_DESCRIPTOR = 12 + 36
CHECK_CONDITION = 2
BAD_ADDRESS = bytes.fromhex("72052101 00000000")
SOURCE_EMPTY = bytes.fromhex("72053b0e 00000000")
DESTINATION_FULL = bytes.fromhex("72053b0d 00000000")
BAD_COMMAND = bytes.fromhex("72052000 00000000")


class _Sense(Exception):
    """A command ends with this sense."""


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
        robot = self._session.server.robots.get(request.device)
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

    def scsi_execute_cdb(self, request: m.ScsiExecuteCdb) -> m.ExecuteCdbReply:
        robot = self._opened()
        cdb = bytes(request.cdb)
        if not request.timeout:  # some servers take it for "at once"
            raise Refused(ErrorCode.TIMEOUT)
        try:
            datain = self._execute(robot, cdb)[: request.datain_length]
        except _Sense as sense:
            return m.ExecuteCdbReply(status=CHECK_CONDITION, ext_sense=sense.args[0])
        return m.ExecuteCdbReply(datain=datain)

    def _execute(self, robot: Robot, cdb: bytes) -> bytes:
        command = cdb[0] if cdb else None
        if command == _TEST_UNIT_READY and len(cdb) == 6:
            return b""
        if command == _INQUIRY and len(cdb) == 6:
            return b"\x08\x80\x05\x02\x5b\0\0\0TAPER   TEST CHANGER    0001".ljust(96, b"\0")
        if command == _ELEMENT_STATUS and len(cdb) == 12:
            return _element_status(robot)[: int.from_bytes(cdb[7:10], "big")]
        if command == _MOVE_MEDIUM and len(cdb) == 12:
            source, target = (int.from_bytes(cdb[at : at + 2], "big") for at in (4, 6))
            self._move(robot, source, target)
            return b""
        raise _Sense(BAD_COMMAND)

    def _move(self, robot: Robot, source: int, target: int) -> None:
        medium = _get(robot, source)
        if _get(robot, target) is not None and source != target:
            raise _Sense(DESTINATION_FULL)
        if medium is None:
            raise _Sense(SOURCE_EMPTY)
        for address in (source, target):
            in_use = FIRST_DRIVE <= address < FIRST_SLOT and robot.drives[address - FIRST_DRIVE]
            if in_use and in_use.user is not None:
                raise Refused(ErrorCode.DEVICE_BUSY)
        medium.rewind()
        _put(robot, source, None)
        _put(robot, target, medium)
        if source >= FIRST_SLOT and target < FIRST_SLOT:
            robot.came_from[target - FIRST_DRIVE] = source


def _get(robot: Robot, address: int) -> Medium | None:
    if 0 <= address - FIRST_DRIVE < len(robot.drives):
        return robot.drives[address - FIRST_DRIVE].medium
    if 0 <= address - FIRST_SLOT < len(robot.slots):
        return robot.slots[address - FIRST_SLOT]
    raise _Sense(BAD_ADDRESS)


def _put(robot: Robot, address: int, medium: Medium | None) -> None:
    if address < FIRST_SLOT:
        robot.drives[address - FIRST_DRIVE].medium = medium
    else:
        robot.slots[address - FIRST_SLOT] = medium


def _element_status(robot: Robot) -> bytes:
    drives = [
        _descriptor(FIRST_DRIVE + number, drive.medium, robot.came_from.get(number))
        for number, drive in enumerate(robot.drives)
    ]
    slots = [_descriptor(FIRST_SLOT + number, tape) for number, tape in enumerate(robot.slots)]
    pages = _page(_PAGE_ARM, [_descriptor(ARM, None)])
    pages += _page(_PAGE_DRIVE, drives) + _page(_PAGE_SLOT, slots)
    count = 1 + len(drives) + len(slots)
    return ARM.to_bytes(2, "big") + count.to_bytes(2, "big") + len(pages).to_bytes(4, "big") + pages


def _page(kind: int, descriptors: list[bytes]) -> bytes:
    content = b"".join(descriptors)
    lengths = _DESCRIPTOR.to_bytes(2, "big") + len(content).to_bytes(4, "big")
    return bytes((kind, 0x80)) + lengths + content


def _descriptor(address: int, medium: Medium | None, source: int | None = None) -> bytes:
    full = medium is not None
    flags = 0x08 | full  # accessible
    head = address.to_bytes(2, "big") + bytes((flags, 0, 0, 0, 0, 0, 0))
    known = full and source is not None
    head += bytes((0x80 if known else 0,)) + ((source or 0) if known else 0).to_bytes(2, "big")
    label = medium.barcode if medium is not None else ""
    return head + label.encode().ljust(32)[:32] + bytes(4)
